"""What a person may ask of a running session: arm, disarm, a test pulse, other bounds, a note. It decides nothing.

What stands here afterwards is what the recording says, under blocked signals: a readback is never an order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from PyQt6.QtCore import QSignalBlocker, Qt, QTimer, pyqtSignal
from PyQt6.QtGui import QKeyEvent, QKeySequence, QShortcut, QWheelEvent
from PyQt6.QtWidgets import (
    QDoubleSpinBox,
    QGridLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from closedloop.control import AddNote, Arm, Disarm, Order, SetThreshold, TestPulse
from closedloop.dashboard import style
from closedloop.dashboard.panel import Panel, alone
from closedloop.dashboard.theme import DARK, Theme
from closedloop.watching.marks import Happening
from closedloop.watching.status import State, Status
from closedloop.watching.watch import Watch

CONFIRM_S = 5.0
BOUNCE_S = 0.4  # a glove's double press is one press
TICK_MS = 100
MOST_SCORE = 1000.0
_LOOKED_BACK = 200
_NOTE_LONGEST = 1000
_NOT_DONE = ("arm: ", "threshold: ")  # how the session words an order that it did not carry out
_OVER = {
    State.STOPPED,
    State.COMPLETED,
    State.FAILED,
    State.TRIPPED,
    State.DEVICE_LOST,
    State.BROKEN_OFF,
    State.UNREADABLE,
}
_TO_BE_ARMED = "to be armed as soon as warm-up is over"
_DISARMED = "disarmed by hand"
_ENTER = (Qt.Key.Key_Return, Qt.Key.Key_Enter)


class Bounds(NamedTuple):
    """Of the detector's score; nan is unknown."""

    threshold: float
    release: float


class ArmButton(QPushButton):
    """Two presses, some time apart, make an order; Enter is a press too, Escape takes the first one back.

    Attributes:
        confirmed: emitted at the second press.
    """

    confirmed = pyqtSignal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMinimumHeight(style.GLOVE_PX)
        self._words = "Arm"
        self._left_ms = 0
        self._timer = QTimer(self)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self.count_down)
        self.clicked.connect(self._pressed)

    @property
    def is_asking(self) -> bool:
        """Whether it was pressed once and waits for the second time."""
        return self._left_ms > 0

    def offer(self, words: str, *, may: bool) -> None:
        """What it says when it is not asking, and whether it may be pressed at all."""
        self._words = words
        if not may:
            self._left_ms = 0
            self._timer.stop()
        if self.isEnabled() != may:
            self.setEnabled(may)
        self._show()

    def cancel(self) -> None:
        """As if it had not been pressed."""
        self._left_ms = 0
        self._timer.stop()
        self._show()

    def count_down(self) -> None:
        """A tenth of a second has gone by."""
        self._left_ms = max(0, self._left_ms - TICK_MS)
        if not self._left_ms:
            self._timer.stop()
        self._show()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """Enter presses; Escape takes back."""
        if event is None or event.isAutoRepeat():
            return
        if event.key() in _ENTER:
            self.click()
        elif event.key() == Qt.Key.Key_Escape and self.is_asking:
            self.cancel()
        else:
            super().keyPressEvent(event)

    def _pressed(self) -> None:
        if not self.is_asking:
            self._left_ms = round(CONFIRM_S * 1000)
            self._timer.start()
            self.setFocus()
        elif self._is_past_bounce:
            self.cancel()
            self.confirmed.emit()
        self._show()

    @property
    def _is_past_bounce(self) -> bool:
        return self._left_ms <= (CONFIRM_S - BOUNCE_S) * 1000

    def _show(self) -> None:
        tone = "warn" if self.is_asking else ""
        words = f"CONFIRM: arm the light ({math.ceil(self._left_ms / 1000)} s)" if self._is_past_bounce else "Arm? …"
        words = words if self.is_asking else self._words
        if self.text() != words:
            self.setText(words)
        if self.property("tone") != tone:
            _set_tone(self, tone)


class Number(QDoubleSpinBox):
    """A bound of the score; the wheel turns it only while it has the keyboard."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setRange(-MOST_SCORE, MOST_SCORE)
        self.setDecimals(2)
        self.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setSingleStep(0.1)
        self.setMinimumHeight(style.GLOVE_PX)
        self.setKeyboardTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(name)

    def wheelEvent(self, event: QWheelEvent | None) -> None:  # noqa: N802 - Qt's name
        """Left to the page unless it is meant."""
        if self.hasFocus():
            super().wheelEvent(event)
        elif event is not None:
            event.ignore()


class Controls(Panel):
    """All orders but the stop, which has its own way.

    Attributes:
        asked: emitted with an order of `closedloop.control`.
        cursor_moved: emitted with threshold and release as they stand here, applied or not.
        in_force_changed: emitted with threshold and release as the session has them.
    """

    asked = pyqtSignal(object)
    cursor_moved = pyqtSignal(float, float)
    in_force_changed = pyqtSignal(float, float)

    def __init__(self, theme: Theme = DARK, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self._folder: object = None
        self._version = -1
        self._state: State | None = None
        self._newest_n = -1
        self._pulse_after_n: int | None = None
        self._pulse_train: int | None = None
        self._in_force = Bounds(math.nan, math.nan)
        self._why_fixed = ""
        self._will_arm: bool | None = None
        self._steps: list[QPushButton] = []
        self._make()
        self._lay_out()
        self._connect()
        self.set_theme(theme)
        self._allow(Status(State.STARTING, ""), {})

    @property
    def bounds(self) -> Bounds:
        """As they stand here, applied or not."""
        return Bounds(self.threshold.value(), self.release.value())

    @property
    def in_force(self) -> Bounds:
        """As the session has them; nan where it is not known."""
        return self._in_force

    def show_watch(self, watch: Watch) -> None:
        """What is offered follows the session's state; the bounds follow the recording, unless somebody is at them."""
        if watch is not self._folder:
            self._begin(watch)
        if watch.version == self._version:
            return
        self._version = watch.version
        self._take_in(reversed(watch.marks.happenings(None, _LOOKED_BACK)))
        self._read_back(watch)
        self._allow(watch.status, watch.header)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        large = style.words_font(theme, theme.number_px - 2, bold=True)
        for button in (self.arm, self.disarm, self.apply):
            button.setFont(large)
        self.pulse.setFont(style.words_font(theme, theme.font_px + 1, bold=True))
        for number in (self.threshold, self.release):
            number.setFont(style.digits_font(theme))
        self.setStyleSheet(
            f"#dim {{ color: {theme.dim}; }} #said {{ font-size: {theme.font_px + 1}px; }}"
            f"QLineEdit, QDoubleSpinBox {{ min-height: {style.GLOVE_PX - 6}px; }}"
        )
        self.say(self.said.text(), str(self.said.property("tone") or ""))

    def say(self, words: str, tone: str = "") -> None:
        """What came of the last order, in words."""
        self.said.setText(words)
        _set_tone(self.said, tone)
        colour = getattr(self.theme, tone) if tone else self.theme.text
        self.said.setStyleSheet(f"color: {colour};")

    def point_at(self, threshold: float) -> None:
        """Move the cursor there, as if typed; nothing is applied, and the release never lies above it."""
        if self.threshold.isEnabled():
            self.release.setValue(min(self.release.value(), threshold))
            self.threshold.setValue(threshold)

    def cancel(self) -> None:
        """Take back a first press of Arm."""
        self.arm.cancel()

    def _make(self) -> None:
        self.arm = ArmButton()
        self.disarm = _button("Disarm", "Dark, and no light until armed again; the recording goes on (Ctrl+D)")
        self.pulse = _button("Test pulse", "")
        self.threshold, self.release = Number("threshold"), Number("release")
        self.apply = _button("Apply", "From the next reading on; recorded with its time (Enter in a field)")
        self.note = QLineEdit()
        self.note.setMinimumHeight(style.GLOVE_PX)
        self.note.setMaxLength(_NOTE_LONGEST)
        self.note.setPlaceholderText("a remark, then Enter  (Ctrl+N)")
        self.note.setToolTip("A remark, recorded at the time of the last reading; Ctrl+N leads here")
        self.note.setAccessibleName("Note")
        self.said = QLabel()
        self.said.setObjectName("said")
        self.said.setWordWrap(True)
        self.said.setTextFormat(Qt.TextFormat.PlainText)
        self.why = QLabel()
        self.why.setObjectName("dim")
        self.why.setWordWrap(True)

    def _lay_out(self) -> None:
        grid = QGridLayout()
        grid.setColumnStretch(2, 1)
        grid.addWidget(self.arm, 0, 0, 1, 4)
        grid.addWidget(self.disarm, 0, 4)
        grid.addWidget(self.pulse, 1, 0, 1, 5)
        self._lay_out_number(grid, 2, "Thresho&ld\n(score)", self.threshold)
        self._lay_out_number(grid, 3, "R&elease\n(score)", self.release)
        for wide in (self.arm, self.pulse):
            wide.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)  # no text makes the column wider
        self.apply.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        grid.addWidget(self.apply, 2, 4, 2, 1)
        grid.addWidget(self.why, 4, 0, 1, 5)
        grid.addWidget(self.note, 5, 0, 1, 5)
        grid.addWidget(self.said, 6, 0, 1, 5)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(8, 8, 8, 8)
        outer.addLayout(grid)
        outer.addStretch(1)

    def _lay_out_number(self, grid: QGridLayout, row: int, name: str, number: Number) -> None:
        label = QLabel(name)
        label.setObjectName("dim")
        label.setBuddy(number)
        less, more = _step_button("−", number, -1), _step_button("+", number, 1)
        self._steps += [less, more]
        for column, widget in enumerate((label, less, number, more)):
            grid.addWidget(widget, row, column)

    def _connect(self) -> None:
        self.arm.confirmed.connect(self._ask_arm)
        self.disarm.clicked.connect(self._ask_disarm)
        self.pulse.clicked.connect(self._ask_pulse)
        self.apply.clicked.connect(self._ask_threshold)
        self.note.returnPressed.connect(self._ask_note)
        for number in (self.threshold, self.release):
            number.valueChanged.connect(self._cursor)
            if (line := number.lineEdit()) is not None:
                line.returnPressed.connect(self._ask_threshold)
        keys = {
            "Ctrl+R": self.arm.click,
            "Ctrl+D": self.disarm.click,
            "Ctrl+T": self.pulse.click,
            "Ctrl+N": self.note.setFocus,
            "Ctrl+L": self._to_threshold,
        }
        for key, act in keys.items():
            shortcut = QShortcut(QKeySequence(key), self)
            shortcut.setAutoRepeat(False)
            shortcut.activated.connect(act)

    def _to_threshold(self) -> None:
        self.threshold.setFocus()
        self.threshold.selectAll()

    def _begin(self, watch: Watch) -> None:
        """Another session: nothing of the last one holds."""
        self._folder, self._version, self._newest_n = watch, -1, -1
        self._state = None
        self._pulse_after_n, self._pulse_train = None, None
        self._in_force = Bounds(math.nan, math.nan)
        self._will_arm = None
        self.arm.cancel()
        self.say("")

    def _ask(self, order: Order, words: str) -> None:
        self.say(words)
        self.asked.emit(order)

    def _ask_arm(self) -> None:
        self._ask(Arm(), "Arming was asked for.")

    def _ask_disarm(self) -> None:
        self.arm.cancel()
        self._ask(Disarm(), "Disarming was asked for.")

    def _ask_pulse(self) -> None:
        self._pulse_after_n, self._pulse_train = self._newest_n, None
        self._ask(TestPulse(), "A test pulse was asked for.")

    def _ask_threshold(self) -> None:
        if self.apply.isEnabled():
            wanted = self.bounds
            self._ask(SetThreshold(*wanted), f"Threshold {wanted.threshold:g}, release {wanted.release:g} asked for.")

    def _ask_note(self) -> None:
        text = self.note.text().strip()
        if text and self.note.isEnabled():
            self._ask(AddNote(text), "The note was sent.")
            self.note.clear()

    def _cursor(self) -> None:
        self._show_apply()
        self.cursor_moved.emit(*self.bounds)

    def _take_in(self, happenings: Iterable[Happening]) -> None:
        """What the recording says of what was asked for."""
        for happening in happenings:
            if happening.n > self._newest_n:
                self._newest_n = happening.n
                self._judge(happening)

    def _judge(self, happening: Happening) -> None:
        if happening.kind == "note":
            self._judge_note(happening.words)
        if self._pulse_after_n is None or happening.n <= self._pulse_after_n or happening.train is None:
            return
        if happening.kind == "decision" and self._pulse_train is None and happening.words.startswith("test "):
            self._pulse_train = happening.train
        elif happening.train == self._pulse_train:
            self._tell_pulse(happening)

    def _judge_note(self, words: str) -> None:
        if words.startswith(_NOT_DONE):
            self.say(f"Not done: {words}", "warn")
        elif words == _TO_BE_ARMED:
            self._will_arm = True
        elif words.startswith(_DISARMED):
            self._will_arm = False

    def _tell_pulse(self, happening: Happening) -> None:
        if happening.kind == "refused":
            self.say(f"The test pulse was refused: {happening.words}", "warn")
        elif happening.kind == "light":
            self.say(f"The test pulse was given (train {happening.train}).", "good")
        else:
            return
        self._pulse_after_n = None

    def _read_back(self, watch: Watch) -> None:
        """The bounds in force into the fields, unless somebody is changing them."""
        untouched, before = self._is_untouched, self._in_force
        detector, releases = _section(watch.header, "protocol", "detector"), watch.marks.releases
        threshold = watch.traces.latest("threshold")
        threshold = _number(detector.get("threshold")) if math.isnan(threshold) else threshold
        self._in_force = Bounds(threshold, releases[-1][1] if releases else _number(detector.get("release")))
        if untouched:
            self._put(self._in_force)
        if self._in_force != before and not any(math.isnan(value) for value in self._in_force):
            self.in_force_changed.emit(*self._in_force)

    @property
    def _is_untouched(self) -> bool:
        if self.threshold.hasFocus() or self.release.hasFocus():
            return False
        pairs = zip(self.bounds, self._in_force, strict=True)
        return all(math.isnan(there) or _same(here, there) for here, there in pairs)

    def _put(self, bounds: Bounds) -> None:
        before = self.bounds
        for number, value in zip((self.threshold, self.release), bounds, strict=True):
            if not math.isnan(value) and not _same(number.value(), value):
                blocked = QSignalBlocker(number)
                number.setValue(value)
                blocked.unblock()
        if self.bounds != before:
            self.cursor_moved.emit(*self.bounds)

    def _allow(self, status: Status, header: dict[str, Any]) -> None:
        state = status.state
        running = bool(header) and state not in _OVER
        wired = bool(header) and state is not State.UNWIRED and "stimulator" in header.get("boards", {"stimulator": 0})
        self._why_fixed = _why_fixed(header, running=running)
        waits = state in (State.WARM_UP, State.STARTING)
        will_arm = waits and (not header.get("by_hand") if self._will_arm is None else self._will_arm)
        may = running and wired and not will_arm and _may_arm(status)
        self.arm.offer(_arm_words(status, running=running, wired=wired, will_arm=will_arm), may=may)
        self.arm.setToolTip("Two presses let the loop give light: the second within 5 s of the first (Ctrl+R, Enter)")
        self.disarm.setEnabled(running and wired)
        self.pulse.setEnabled(running and status.is_armed)
        when = "" if status.is_armed or not running else ", when armed"
        self.pulse.setText(f"Test pulse\n{train_words(header)}{when}" if header else "Test pulse")
        self.pulse.setToolTip(f"One train by hand, inside all limits: {train_words(header)}; only when armed (Ctrl+T)")
        for field in (self.threshold, self.release, *self._steps):
            field.setEnabled(bool(header) and not _is_on_board(header))
        self.note.setEnabled(running)
        self.note.setVisible(state not in _OVER)
        if state in _OVER and self._state not in _OVER:
            self.say(f"{state.value}: {status.reason}" if status.reason else state.value)
        self._state = state
        self._show_apply()

    def _show_apply(self) -> None:
        wanted = self.bounds
        upside_down = wanted.release > wanted.threshold
        changed = not all(_same(here, there) for here, there in zip(wanted, self._in_force, strict=True))
        self.apply.setEnabled(not self._why_fixed and changed and not upside_down)
        said = self._why_fixed
        if not said and upside_down:
            said = f"Release ({wanted.release:g}) must not lie above threshold ({wanted.threshold:g}); lower release."
        elif not said and changed and not math.isnan(self._in_force.threshold):
            said = f"Not applied yet; in force: {self._in_force.threshold:g}, release {self._in_force.release:g}."
        if self.why.text() != said:
            self.why.setText(said)


def _button(name: str, about: str) -> QPushButton:
    button = QPushButton(name)
    button.setMinimumHeight(style.GLOVE_PX)
    button.setToolTip(about)
    return button


def _step_button(sign: str, number: Number, steps: int) -> QPushButton:
    """A step that gloves can press; held down, it goes on."""
    button = QPushButton(sign)
    button.setFixedSize(style.GLOVE_PX, style.GLOVE_PX)
    button.setStyleSheet("padding: 0;")
    button.setAutoRepeat(True)
    button.setAccessibleName(f"{number.accessibleName()} {sign}")
    button.clicked.connect(lambda _: number.stepBy(steps))
    return button


def _set_tone(widget: QWidget, tone: str) -> None:
    """What the style sheet colours it by."""
    widget.setProperty("tone", tone)
    if (look := widget.style()) is not None:
        look.unpolish(widget)
        look.polish(widget)


def _same(here: float, there: float) -> bool:
    return abs(here - there) < 0.005  # fields show two decimals


def _section(header: dict[str, Any], *names: str) -> dict[str, Any]:
    """A map inside maps; empty where there is none."""
    found: Any = header
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def _may_arm(status: Status) -> bool:
    return not status.is_armed and status.state not in (State.ARMING, State.ARMED, State.LIT)


def _arm_words(status: Status, *, running: bool, wired: bool, will_arm: bool) -> str:
    if status.state in _OVER:
        return "The session is over"
    if not running:
        return "Arm: not begun yet"
    if not wired:
        return "This rig gives no light"
    if status.state is State.ARMING:
        return "Arming …"
    if status.is_armed:
        return "Armed"
    if will_arm:
        return "Arms after warm-up …"
    return "Arm after warm-up" if status.state in (State.WARM_UP, State.STARTING) else "Arm"


def _is_on_board(header: dict[str, Any]) -> bool:
    return _section(header, "protocol", "policy").get("kind") == "on_board"


def _why_fixed(header: dict[str, Any], *, running: bool) -> str:
    """Why the bounds cannot be changed; "" if they can."""
    if _is_on_board(header):
        return "The DAQ board detects by its own threshold here, which cannot be changed while it runs."
    if running:
        return ""
    return "The session is over: these move the preview alone." if header else "Bounds can be set while a session runs."


def train_words(header: dict[str, Any]) -> str:
    """One train, in words: "2 pulses of 200 ms at 5 mW"."""
    command = _section(header, "command")
    on_us, pulses = _number(command.get("on_us")), _number(command.get("pulses"))
    if math.isnan(on_us) or math.isnan(pulses):
        return "one train of the protocol"
    each = f"{on_us / 1e6:g} s" if on_us >= 1e6 else f"{on_us / 1e3:g} ms"
    given = each if pulses == 1 else f"{pulses:g} pulses of {each}"
    power, level = _number(header.get("tip_mw")), _number(command.get("level"))
    strength = f"{power:.3g} mW" if not math.isnan(power) else f"{level / 655.35:.3g} % of full power"
    return f"{given} at {strength}"


if __name__ == "__main__":
    raise SystemExit(alone(Controls))
