"""What a person may ask of a running session: arm, pause, disarm, a test pulse, other bounds, a note.

It decides nothing. What stands here afterwards is what the recording says, under blocked signals: a readback is never
an order.
"""

from __future__ import annotations

import math
from typing import Any

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtGui import QKeySequence, QShortcut
from PyQt6.QtWidgets import QGridLayout, QLabel, QLineEdit, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from closedloop.control import AddNote, Arm, Disarm, Order, Pause, Resume, SetThreshold, TestPulse
from closedloop.dashboard import style
from closedloop.dashboard.inputs.arm_button import ArmButton, PauseButton
from closedloop.dashboard.inputs.bounds import Bounds, BoundsField
from closedloop.dashboard.inputs.header_words import (
    OVER,
    arm_words,
    is_on_board,
    section,
    train_words,
    why_fixed,
)
from closedloop.dashboard.inputs.order_outcome import OrderOutcome
from closedloop.dashboard.inputs.tone import set_tone
from closedloop.dashboard.panel import Panel, alone
from closedloop.dashboard.theme import DARK, Theme
from closedloop.watching.measured import begun_with, unit_of
from closedloop.watching.status import State, Status
from closedloop.watching.watch import Watch

_PAUSE_TIP = "Dark, and the block's clock stands still; the recording goes on (Ctrl+P)"
_RESUME_TIP = "Two presses go on where it was paused; armed again if it was armed then (Ctrl+P, Enter)"
_LOOKED_BACK = 200
_NOTE_LONGEST = 1000


class Controls(Panel):
    """All orders but the stop, which has its own way.

    Attributes:
        asked: emitted with an order of `closedloop.control`.
        cursor_moved: emitted with threshold and release as they stand here, applied or not.
    """

    asked = pyqtSignal(object)
    cursor_moved = pyqtSignal(float, float)

    def __init__(self, theme: Theme = DARK, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self._folder: object = None
        self._version = -1
        self._state: State | None = None
        self._outcome = OrderOutcome()
        self._make()
        self._lay_out()
        self._connect()
        self.set_theme(theme)
        self._allow(Status(State.STARTING, ""), {})

    @property
    def bounds(self) -> Bounds:
        """As they stand here, applied or not."""
        return self._bounds.value()

    @property
    def in_force(self) -> Bounds:
        """As the session has them; nan where it is not known."""
        return self._bounds.in_force

    def show_watch(self, watch: Watch) -> None:
        """What is offered follows the session's state; the bounds follow the recording, unless somebody is at them."""
        if watch is not self._folder:
            self._begin(watch)
        if watch.version == self._version:
            return
        self._version = watch.version
        self._outcome.is_blinded = watch.dose.blinded
        for said in self._outcome.take_in(reversed(watch.marks.happenings(None, _LOOKED_BACK))):
            self.say(*said)
        self._bounds.read_back(_in_force(watch))
        self._bounds.cap(begun_with(watch.header).highest)
        self._allow(watch.status, watch.header)
        if watch.header:
            self._bounds.set_unit(unit_of(section(watch.header, "protocol", "detector")))

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        large = style.words_font(theme, theme.number_px - 2, bold=True)
        for button in (self.arm, self.pause, self.disarm):
            button.setFont(large)
        self.pulse.setFont(style.words_font(theme, theme.font_px + 1, bold=True))
        self._bounds.set_theme(theme)
        self.setStyleSheet(
            f"#dim {{ color: {theme.dim}; }} #said {{ font-size: {theme.font_px + 1}px; }}"
            f"QLineEdit, QDoubleSpinBox {{ min-height: {style.GLOVE_PX - 6}px; }}"
        )
        self.apply.setMinimumWidth(self.disarm.sizeHint().width())  # they stand in one column
        self.say(self.said.text(), str(self.said.property("tone") or ""))

    def say(self, words: str, tone: str = "") -> None:
        """What came of the last order, in words."""
        self.said.setText(words)
        set_tone(self.said, tone)
        colour = getattr(self.theme, tone) if tone else self.theme.text
        self.said.setStyleSheet(f"color: {colour};")

    def point_at(self, threshold: float) -> None:
        """Move the cursor there, as if typed; nothing is applied, and the release never lies above it."""
        self._bounds.point_at(threshold)

    def cancel(self) -> None:
        """Take back a first press of Arm or Resume."""
        self.arm.cancel()
        self.pause.cancel()

    def _make(self) -> None:
        self.arm = ArmButton()
        self.pause = PauseButton()
        self.disarm = _button("Disarm", "Dark, and no light until armed again; the recording goes on (Ctrl+D)")
        self.pulse = _button("Test pulse", "")
        self._bounds = BoundsField()
        self.threshold, self.release = self._bounds.threshold, self._bounds.release
        self.apply, self.why, self._steps = self._bounds.apply, self._bounds.why, self._bounds.steps
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

    def _lay_out(self) -> None:
        grid = QGridLayout()
        grid.setColumnStretch(0, 1)
        grid.addWidget(self.arm, 0, 0)
        grid.addWidget(self.pause, 0, 1)
        grid.addWidget(self.disarm, 0, 2)
        for row, widget in enumerate((self.pulse, self._bounds, self.note, self.said), start=1):
            grid.addWidget(widget, row, 0, 1, 3)
        for wide in (self.arm, self.pulse):
            wide.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)  # no text makes the column wider
        outer = QVBoxLayout(self)
        outer.setContentsMargins(8, 8, 8, 8)
        outer.addLayout(grid)
        outer.addStretch(1)

    def _connect(self) -> None:
        self.arm.confirmed.connect(self._ask_arm)
        self.pause.pause_asked.connect(self._ask_pause)
        self.pause.confirmed.connect(self._ask_resume)
        self.disarm.clicked.connect(self._ask_disarm)
        self.pulse.clicked.connect(self._ask_pulse)
        self.note.returnPressed.connect(self._ask_note)
        self._bounds.applied.connect(self._ask_threshold)
        self._bounds.valueChanged.connect(self.cursor_moved)
        keys = {
            "Ctrl+R": self.arm.click,
            "Ctrl+P": self.pause.click,
            "Ctrl+D": self.disarm.click,
            "Ctrl+T": self.pulse.click,
            "Ctrl+N": self.note.setFocus,
            "Ctrl+L": self._bounds.take_keyboard,
        }
        for key, act in keys.items():
            shortcut = QShortcut(QKeySequence(key), self)
            shortcut.setAutoRepeat(False)
            shortcut.activated.connect(act)

    def _begin(self, watch: Watch) -> None:
        """Another session: nothing of the last one holds."""
        self._folder, self._version, self._state = watch, -1, None
        self._outcome = OrderOutcome()
        self._bounds.begin()
        self.cancel()
        self.say("")

    def _ask(self, order: Order, words: str) -> None:
        self.say(words)
        self.asked.emit(order)

    def _ask_arm(self) -> None:
        self._ask(Arm(), "Arming was asked for.")

    def _ask_pause(self) -> None:
        self.arm.cancel()
        self._ask(Pause(), "Pausing was asked for.")

    def _ask_resume(self) -> None:
        self._ask(Resume(), "Resuming was asked for.")

    def _ask_disarm(self) -> None:
        self.cancel()
        self._ask(Disarm(), "Disarming was asked for.")

    def _ask_pulse(self) -> None:
        self._outcome.await_pulse()
        self._ask(TestPulse(), "A test pulse was asked for.")

    def _ask_threshold(self, wanted: Bounds) -> None:
        self._ask(SetThreshold(*wanted), f"Threshold {wanted.threshold:g}, release {wanted.release:g} asked for.")

    def _ask_note(self) -> None:
        text = self.note.text().strip()
        if text and self.note.isEnabled():
            self._ask(AddNote(text), "The note was sent.")
            self.note.clear()

    def _allow(self, status: Status, header: dict[str, Any]) -> None:
        state = status.state
        running = bool(header) and state not in OVER
        wired = bool(header) and state is not State.UNWIRED and "stimulator" in header.get("boards", {"stimulator": 0})
        self._allow_arm(status, header, running=running, wired=wired)
        paused = state is State.PAUSED or (self.pause.is_paused and state is State.LIT)
        self.pause.offer_pause(paused=paused, may=running)
        self.pause.setToolTip(_RESUME_TIP if paused else _PAUSE_TIP)
        self.disarm.setEnabled(running and wired)
        self.pulse.setEnabled(running and status.is_armed)
        when = "" if status.is_armed or not running else ", when armed"
        self.pulse.setText(f"Test pulse\n{train_words(header)}{when}" if header else "Test pulse")
        self.pulse.setToolTip(f"One train by hand, inside all limits: {train_words(header)}; only when armed (Ctrl+T)")
        self.note.setEnabled(running)
        self.note.setVisible(state not in OVER)
        if state in OVER and self._state not in OVER:
            self.say(f"{state.value}: {status.reason}" if status.reason else state.value)
        self._state = state
        may_turn = bool(header) and not is_on_board(header)
        self._bounds.allow(may_turn=may_turn, why_fixed=why_fixed(header, running=running))

    def _allow_arm(self, status: Status, header: dict[str, Any], *, running: bool, wired: bool) -> None:
        waits = status.state in (State.WARM_UP, State.STARTING)
        asked = self._outcome.will_arm
        will_arm = waits and (not header.get("by_hand") if asked is None else asked)
        is_dark = not status.is_armed and status.state not in (State.ARMING, State.ARMED, State.LIT)
        may = running and wired and not will_arm and is_dark and status.state is not State.PAUSED
        self.arm.offer(arm_words(status, running=running, wired=wired, will_arm=will_arm), may=may)
        self.arm.setToolTip("Two presses let the loop give light: the second within 5 s of the first (Ctrl+R, Enter)")


def _in_force(watch: Watch) -> Bounds:
    """As the recording has them last; the header's until a reading or an order says otherwise."""
    begun, releases = begun_with(watch.header), watch.marks.releases
    threshold = watch.traces.latest("threshold")
    threshold = begun.threshold if math.isnan(threshold) else threshold
    return Bounds(threshold, releases[-1][1] if releases else begun.release)


def _button(name: str, about: str) -> QPushButton:
    button = QPushButton(name)
    button.setMinimumHeight(style.GLOVE_PX)
    button.setToolTip(about)
    return button


if __name__ == "__main__":
    raise SystemExit(alone(Controls))
