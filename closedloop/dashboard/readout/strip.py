"""The state of a session in words that are read from across the room. It never hides that nothing is recorded."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from PyQt6.QtCore import QRectF
from PyQt6.QtGui import QColor, QFont, QPainter, QResizeEvent
from PyQt6.QtWidgets import QHBoxLayout, QSizePolicy, QWidget

from closedloop.dashboard.panel import Panel, alone
from closedloop.dashboard.readout import amounts, shapes
from closedloop.dashboard.readout.lettering import CENTRE, RIGHT, contrast, fitted, ink, wrapped, write
from closedloop.dashboard.readout.painted import Painted
from closedloop.dashboard.readout.strip_words import Times, course_times, times, with_gates
from closedloop.dashboard.style import digits_font, words_font
from closedloop.dashboard.theme import DARK, Theme
from closedloop.watching.course import Course
from closedloop.watching.status import Line, State, Status
from closedloop.watching.watch import Watch

HEIGHT_PX = 100
_HELD_NS = 500_000_000  # so that short trains blink at most twice a second
_SPACE = 4
_LINE_PX = 19  # of the reason
_TAG_PX = 94
_CLOCK_PX = 214
_STILL_ARMED = "armed"
_BRIEF = (State.LIT, State.VETOED)
_LATCHABLE = (State.READY, State.ARMING, State.ARMED, State.VETOED, State.PAUSED)  # of the rest other words count
_NO_MORE_LIGHT = "LIMIT REACHED: no light from here on"
_CALM_ENDS = (State.COMPLETED, State.STOPPED)


class Look(NamedTuple):
    """How a state is shown; `loud`: in its colour all over."""

    shape: str
    colour: str
    loud: bool = False


LOOKS = {
    State.STARTING: Look("dots", "dim"),
    State.WARM_UP: Look("ring", "signal"),
    State.READY: Look("half", "signal"),
    State.ARMING: Look("most", "warn"),
    State.ARMED: Look("disc", "good"),
    State.LIT: Look("sun", "light"),
    State.VETOED: Look("wave", "warn"),
    State.PAUSED: Look("pause", "warn"),
    State.UNWIRED: Look("dash", "dim"),
    State.TRIPPED: Look("triangle", "danger", loud=True),
    State.DEVICE_LOST: Look("cross", "danger", loud=True),
    State.STOPPED: Look("square", "text"),
    State.COMPLETED: Look("tick", "text"),
    State.FAILED: Look("cross", "danger", loud=True),
    State.BROKEN_OFF: Look("broken", "danger", loud=True),
    State.UNREADABLE: Look("question", "danger", loud=True),
}
_LINE_LOOKS = {
    "ok": Look("disc", "good"),
    "late": Look("clock", "warn"),
    "silent": Look("triangle", "danger"),
    "lost": Look("cross", "danger"),
    "none": Look("dash", "dim"),
    "ended": Look("frame", "dim"),
}
_UNKNOWN_LOOK = Look("question", "dim")


class _Block(Painted):
    """A framed part of the strip."""

    def __init__(self, theme: Theme, least_px: int, parent: QWidget) -> None:
        super().__init__(theme, parent, least_px=least_px, high_px=HEIGHT_PX - 2 * _SPACE)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Expanding)


class _Headline(_Block):
    """Shape, state and reason; and that the board is armed, where the state does not say so."""

    value = (State.STARTING, "", False, False)

    def show_state(self, state: State, reason: str, *, armed: bool, latched: bool = False) -> None:
        """Show it; `latched`: the reason is that a limit of the session was reached, and stands out."""
        if (state, reason, armed, latched) == self.value and self.accessibleName():
            return
        self.value = (state, reason, armed, latched)
        beside = f" ({_STILL_ARMED})" if armed else ""
        self.say(f"{state.value}{beside}: {reason}" if reason else f"{state.value}{beside}")

    @property
    def state(self) -> State:
        return self.value[0]

    def paint(self, painter: QPainter) -> None:
        state, reason, armed, latched = self.value
        look = LOOKS[state]
        hue = self.colour(look.colour)
        loud = look.loud or contrast(hue, self.colour("panel")) < 2
        box = self.framed(painter, look.colour, look.colour if loud else "panel", 3.0)
        strong = ink(hue) if loud else hue
        shapes.draw(painter, look.shape, QRectF(box.left(), box.top() + 8, 62, box.height() - 16), strong)
        words = box.adjusted(76, 0, 0, 0)
        lines = wrapped(reason, self._small(), words.width(), 2 if not latched else 1)
        room = words.adjusted(0, 0, -_TAG_PX if armed else 0, 0)
        above = self._paint_word(painter, room, state.value, strong, lines=len(lines))
        if latched:
            self._paint_latched(
                painter, QRectF(words.left(), above - 4, words.width(), box.bottom() - above + 6), reason
            )
            lines = []
        for number, line in enumerate(lines):
            below = QRectF(words.left(), above + _LINE_PX * number, words.width(), _LINE_PX)
            write(painter, below, line, self._small(), strong if loud else self.colour("text"))
        if armed:
            self._paint_armed(painter, QRectF(words.right() - _TAG_PX + 6, words.top(), _TAG_PX - 6, 18))

    def _paint_word(self, painter: QPainter, box: QRectF, word: str, colour: QColor, *, lines: int) -> float:
        """The state, in the middle of what the reason leaves; returns where the reason begins."""
        high = min(56.0, box.height() - _LINE_PX * lines)
        top = box.top() + (box.height() - high - _LINE_PX * lines) / 2
        font = fitted(words_font(self.theme, 46, bold=True), word, box.width(), 26)
        write(painter, QRectF(box.left(), top, box.width(), high), word, font, colour)
        return top + high

    def _paint_latched(self, painter: QPainter, box: QRectF, reason: str) -> None:
        """On a ground of its own, as large as fits: nobody is to wait for light that does not come."""
        painter.fillRect(box, self.colour("danger"))
        shapes.draw(
            painter, "triangle", QRectF(box.left() + 4, box.top() + 2, 20, box.height() - 4), self.colour("light")
        )
        font = fitted(words_font(self.theme, 21, bold=True), reason, box.width() - 36, 13)
        write(painter, box.adjusted(30, 0, -4, 0), reason, font, ink(self.colour("danger")))

    def _paint_armed(self, painter: QPainter, box: QRectF) -> None:
        shapes.draw(painter, "disc", QRectF(box.left(), box.top(), 18, 18), self.colour("good"))
        write(painter, box.adjusted(22, 0, 0, 0), "armed", words_font(self.theme, 14, bold=True), self.colour("text"))

    def _small(self) -> QFont:
        return words_font(self.theme, 15)


class _Record(NamedTuple):
    kind: str  # rec, low, review, not
    first: str
    second: str


class _Recording(_Block):
    """REC with size and free disk time, or NOT RECORDING."""

    value = _Record("", "", "")

    def show_record(self, value: _Record) -> None:
        if value == self.value:
            return
        self.value = value
        words = {"rec": "recording", "low": "recording, disk low", "review": "review"}.get(value.kind, "NOT RECORDING")
        self.say(", ".join(filter(None, (words, value.first, value.second))))

    def paint(self, painter: QPainter) -> None:
        if self.value.kind == "not":
            self._paint_loud(painter)
        elif self.value.kind == "review":
            self._paint_review(painter)
        else:
            self._paint_recording(painter, low=self.value.kind == "low")

    def _paint_loud(self, painter: QPainter) -> None:
        box = self.framed(painter, "danger", "danger", 3.0)
        colour = ink(self.colour("danger"))
        font = fitted(words_font(self.theme, 40, bold=True), "RECORDING", box.width() - 4, 20)
        for half, word in enumerate(("NOT", "RECORDING")):
            line = QRectF(box.left(), box.top() + half * box.height() / 2, box.width(), box.height() / 2)
            write(painter, line, word, font, colour, CENTRE)

    def _paint_review(self, painter: QPainter) -> None:
        box = self.framed(painter)
        _three_rows(painter, box, self.theme, "REVIEW", self.value.first, self.value.second, self.colour("text"))

    def _paint_recording(self, painter: QPainter, *, low: bool) -> None:
        box = self.framed(painter, "warn" if low else "line", width=3.0 if low else 1.0)
        shapes.draw(painter, "disc", QRectF(box.left(), box.top() + 4, 20, 24), self.colour("danger"))
        beside = box.adjusted(28, 0, 0, 0)
        strong = self.colour("warn" if low else "text")
        _three_rows(painter, beside, self.theme, "REC", self.value.first, self.value.second, strong)
        if low:
            shapes.draw(painter, "triangle", QRectF(box.left(), box.bottom() - 24, 22, 22), self.colour("warn"))


def _three_rows(
    painter: QPainter, box: QRectF, theme: Theme, title: str, second: str, third: str, colour: QColor
) -> None:
    """A large word over two lines."""
    write(painter, QRectF(box.left(), box.top(), box.width(), 34), title, words_font(theme, 26, bold=True), colour)
    write(painter, QRectF(box.left(), box.top() + 36, box.width(), 24), second, digits_font(theme, 17), colour)
    write(painter, QRectF(box.left(), box.top() + 60, box.width(), 24), third, words_font(theme, 15), colour)


class _Clock(_Block):
    """Which part of the session, how long still, how long already."""

    value = Times("", "", "")

    def show_times(self, value: Times) -> None:
        if value == self.value:
            return
        self.value = value
        self.say(f"{value.above}: {value.time}, {value.below}")

    def paint(self, painter: QPainter) -> None:
        box = self.framed(painter)
        top = QRectF(box.left(), box.top() - 2, box.width(), 24)
        name = words_font(self.theme, 20 if self.value.is_block else 15, bold=self.value.is_block)
        tone = self.colour("text" if self.value.is_block else "dim")
        write(painter, top, self.value.above, fitted(name, self.value.above, box.width(), 14), tone)
        middle = QRectF(box.left(), box.top() + 20, box.width(), 40)
        font = fitted(digits_font(self.theme, 30, bold=True), self.value.time, box.width(), 14)
        write(painter, middle, self.value.time, font, self.colour("text"))
        bottom = QRectF(box.left(), box.top() + 60, box.width(), 24)
        font = fitted(words_font(self.theme, 15), self.value.below, box.width(), 12)
        write(painter, bottom, self.value.below, font, self.colour("text"))


class _Link(NamedTuple):
    name: str
    state: str
    words: str


class _Links(_Block):
    """DAQ, stimulator and heartbeat: a shape, a name and a word each."""

    value: tuple[_Link, ...] = ()

    def show_links(self, value: tuple[_Link, ...]) -> None:
        if value == self.value:
            return
        self.value = value
        self.say("\n".join(f"{link.name}: {link.words}" for link in value))

    def paint(self, painter: QPainter) -> None:
        box = self.framed(painter)
        high = box.height() / 3
        for row, link in enumerate(self.value):
            line = QRectF(box.left(), box.top() + row * high, box.width(), high)
            look = _LINE_LOOKS.get(link.state, _UNKNOWN_LOOK)
            shapes.draw(
                painter, look.shape, QRectF(line.left(), line.top() + 4, 20, high - 8), self.colour(look.colour)
            )
            write(painter, line.adjusted(30, 0, 0, 0), link.name, words_font(self.theme, 15), self.colour("dim"))
            name_px = 30 + painter.fontMetrics().horizontalAdvance(link.name) + 8
            bad = link.state in ("late", "silent", "lost")
            font = words_font(self.theme, 16, bold=True)
            said = self.colour(look.colour if bad else "text")
            write(painter, line.adjusted(name_px, 0, 0, 0), _short(link), font, said, RIGHT)


def _short(link: _Link) -> str:
    return link.words if link.name == "heartbeat" else link.state


class StateStrip(Panel):
    """The strip along the top: state, recording, links, time. Where it is narrow, time goes first, then links."""

    def __init__(
        self,
        theme: Theme = DARK,
        parent: QWidget | None = None,
        *,
        now_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        super().__init__(theme, parent)
        self._now_ns = now_ns
        self._since_ns = 0
        self._headline = _Headline(theme, 400, self)
        self._headline.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self._clock = _Clock(theme, _CLOCK_PX, self)
        self._recording = _Recording(theme, 250, self)
        self._links = _Links(theme, 210, self)
        row = QHBoxLayout(self)
        row.setContentsMargins(_SPACE, _SPACE, _SPACE, _SPACE)
        row.setSpacing(_SPACE)
        for block in self._blocks():
            row.addWidget(block)
        self.setFixedHeight(HEIGHT_PX)
        self.setMinimumWidth(self._headline.least_px + self._recording.least_px + 3 * _SPACE)

    def show_watch(self, watch: Watch) -> None:
        """Draw the state a watch is in."""
        status = with_gates(watch.status, watch.course)
        self.show_status(status, watch.course, latched=watch.dose.latched is not None)

    def show_status(self, status: Status, course: Course | None = None, *, latched: bool = False) -> None:
        """Draw this state; a state that lasted less than half a second stays that long, unless a graver one comes.

        Args:
            status: how the session stands.
            course: which block is on; None where there are none.
            latched: whether a limit of the session was reached.
        """
        self._show_state(status, latched=latched)
        self._recording.show_record(_record(status))
        self._links.show_links(_links(status))
        self._clock.show_times(times(status) if course is None else course_times(status, course))

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        for block in self._blocks():
            block.set_theme(theme)

    def said(self) -> dict[str, str]:
        """What the visible blocks say, in words."""
        names = ("state", "time", "recording", "links")
        blocks = zip(names, self._blocks(), strict=True)
        return {name: block.accessibleName() for name, block in blocks if not block.isHidden()}

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802  # Qt's name
        """Leave out what has no room."""
        super().resizeEvent(event)
        room = self.width() - self.minimumWidth()
        for block in (self._links, self._clock):
            room -= block.least_px + _SPACE
            block.setVisible(room >= 0)

    def _blocks(self) -> tuple[_Block, ...]:
        return self._headline, self._clock, self._recording, self._links

    def _show_state(self, status: Status, *, latched: bool) -> None:
        now_ns = self._now_ns()
        shown = self._headline.state
        held = shown in _BRIEF and now_ns - self._since_ns < _HELD_NS
        if held and status.state in (State.ARMED, State.READY, State.ARMING, State.WARM_UP):
            return
        if status.state is not shown:
            self._since_ns = now_ns
        armed = status.is_armed and status.state is State.VETOED
        if latched and status.is_recording and status.state in _LATCHABLE:
            self._headline.show_state(status.state, _NO_MORE_LIGHT, armed=armed, latched=True)
        else:
            self._headline.show_state(status.state, status.reason, armed=armed)


def _record(status: Status) -> _Record:
    grown = amounts.size(status.size_bytes)
    if not status.is_recording:
        calm = status.state in _CALM_ENDS
        return _Record("review", "not recording", f"{grown}, session over") if calm else _Record("not", "", "")
    left = f"disk: {amounts.about(status.free_s)} left" if status.free_s is not None else _free(status)
    return _Record("low", grown, left.replace("disk:", "DISK LOW:")) if status.disk_low else _Record("rec", grown, left)


def _free(status: Status) -> str:
    return f"disk: {amounts.size(status.free_bytes)} left"


def _links(status: Status) -> tuple[_Link, ...]:
    return _link("DAQ", status.daq), _link("stimulator", status.stimulator), _heartbeat(status)


def _link(name: str, line: Line | None) -> _Link:
    return _Link(name, "none", "none in this rig") if line is None else _Link(name, line.state, line.words)


def _heartbeat(status: Status) -> _Link:
    age_s, line = status.heartbeat_age_s, status.stimulator
    if age_s is None or line is None:
        return _Link("heartbeat", "none", "none")
    return _Link("heartbeat", line.state, f"{age_s:.1f} s")


if __name__ == "__main__":
    raise SystemExit(alone(StateStrip))
