"""Digital inputs and gates: which are high, for how long and how often, and which gate keeps light back.

It opens no gate. Time and entries are counted over the whole session, as the summary counts them.
"""

from __future__ import annotations

from typing import NamedTuple

from PyQt6.QtCore import QRectF
from PyQt6.QtGui import QPainter
from PyQt6.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from closedloop.dashboard.panel import Panel, alone
from closedloop.dashboard.readout import amounts, shapes
from closedloop.dashboard.readout.lettering import RIGHT, write
from closedloop.dashboard.readout.painted import Painted
from closedloop.dashboard.style import digits_font, words_font
from closedloop.dashboard.theme import DARK, Theme
from closedloop.watching.rates import Occupancy
from closedloop.watching.watch import Watch

_HEAD_PX, _LINE_PX = 27, 20
_LEAST_PX = 300
_LEVEL_PX = 150  # where an input's level stands
_GATE = "gate"  # the refusal


class GateLine(NamedTuple):
    """One gate: what it wants, whether it is open, and what it waits for."""

    words: str
    is_open: bool
    why: str


class InputLine(NamedTuple):
    """One input: whether it is high now; for how long so far, in which part of the session, and how often it rose."""

    name: str
    is_high: bool | None  # None: no reading yet
    high_s: float
    part: float
    entries: int

    @property
    def amount(self) -> str:
        """In figures."""
        part = amounts.UNKNOWN if self.part != self.part else f"{100 * self.part:.0f} %"
        entries = "1 entry" if self.entries == 1 else f"{amounts.whole(self.entries)} entries"
        return f"{amounts.clock(self.high_s):>6}  {part:>5}  {entries:>11}"


class Picture(NamedTuple):
    """All of the panel."""

    gates: tuple[GateLine, ...]
    is_open: bool
    refused: int
    inputs: tuple[InputLine, ...]

    @property
    def head(self) -> str:
        """Of all gates together."""
        return "GATE OPEN" if self.is_open else "GATE SHUT: no light"

    @property
    def withheld(self) -> str:
        """How often a gate was the reason."""
        return f"refused by gate: {amounts.whole(self.refused)}"


def picture(watch: Watch) -> Picture:
    """What a session's inputs and gates are now."""
    course = watch.course
    return Picture(
        tuple(GateLine(gate.words, gate.is_open, gate.why) for gate in course.gates),
        course.are_gates_open,
        watch.tallies.refused.get(_GATE, 0),
        tuple(_line(one, bit, course.inputs) for bit, one in enumerate(watch.rates.occupancy())),
    )


def _line(one: Occupancy, bit: int, inputs: int | None) -> InputLine:
    is_high = None if inputs is None else bool(inputs >> bit & 1)
    return InputLine(one.name, is_high, one.high_s, one.part, one.entries)


class _Sheet(Painted):
    """The gates, if there are any, and a line for each input."""

    value = Picture((), True, 0, ())

    def show_picture(self, value: Picture) -> None:
        if value == self.value:
            return
        self.value = value
        self.set_high(round(self._gates_px + len(value.inputs) * _LINE_PX + 10))
        self.say("\n".join(self._words()))

    def paint(self, painter: QPainter) -> None:
        ground = "line" if not self.value.gates else "good" if self.value.is_open else "refused"
        box = self.framed(painter, ground, width=2.0 if self.value.gates else 1.0)
        top = box.top()
        if self.value.gates:
            self._paint_head(painter, QRectF(box.left(), top, box.width(), _HEAD_PX))
            top += _HEAD_PX
            for gate in self.value.gates:
                self._paint_gate(painter, QRectF(box.left(), top, box.width(), _LINE_PX), gate)
                top += _LINE_PX
        for one in self.value.inputs:
            self._paint_input(painter, QRectF(box.left(), top, box.width(), _LINE_PX), one)
            top += _LINE_PX

    @property
    def _gates_px(self) -> float:
        return _HEAD_PX + len(self.value.gates) * _LINE_PX if self.value.gates else 0

    def _words(self) -> list[str]:
        value = self.value
        gates = [f"{gate.words}: {'open' if gate.is_open else f'shut, {gate.why}'}" for gate in value.gates]
        head = [value.head, value.withheld, *gates] if gates else []
        levels = {True: "high", False: "low", None: "no reading yet"}
        return [*head, *(f"{one.name}: {levels[one.is_high]}, {' '.join(one.amount.split())}" for one in value.inputs)]

    def _paint_head(self, painter: QPainter, line: QRectF) -> None:
        hue = self.colour("good" if self.value.is_open else "refused")
        mark = QRectF(line.left(), line.top() + 3, 20, line.height() - 6)
        shapes.draw(painter, "disc" if self.value.is_open else "cross", mark, hue)
        write(painter, line.adjusted(28, 0, 0, 0), self.value.head, words_font(self.theme, 17, bold=True), hue)
        said = self.colour("refused" if self.value.refused else "dim")
        write(painter, line, self.value.withheld, words_font(self.theme, 14, bold=True), said, RIGHT)

    def _paint_gate(self, painter: QPainter, line: QRectF, gate: GateLine) -> None:
        hue = self.colour("good" if gate.is_open else "refused")
        mark = QRectF(line.left() + 3, line.top() + 3, 14, line.height() - 6)
        shapes.draw(painter, "disc" if gate.is_open else "cross", mark, hue)
        why = "" if gate.is_open else f": {gate.why}"
        write(painter, line.adjusted(28, 0, 0, 0), f"{gate.words}{why}", words_font(self.theme), self.colour("text"))

    def _paint_input(self, painter: QPainter, line: QRectF, one: InputLine) -> None:
        mark = QRectF(line.left() + 3, line.top() + 3, 14, line.height() - 6)
        tone = self.colour("text" if one.is_high else "dim")
        shapes.draw(painter, "square" if one.is_high else "frame", mark, tone)
        write(painter, line.adjusted(28, 0, 0, 0), one.amount, digits_font(self.theme, 13), self.colour("text"), RIGHT)
        taken = painter.fontMetrics().horizontalAdvance(one.amount)
        name = QRectF(line.left() + 28, line.top(), _LEVEL_PX - 36, line.height())
        write(painter, name, one.name, words_font(self.theme, bold=bool(one.is_high)), tone)
        level = QRectF(line.left() + _LEVEL_PX, line.top(), line.width() - taken - _LEVEL_PX, line.height())
        words = "" if one.is_high is None else "HIGH" if one.is_high else "low"
        write(painter, level, words, words_font(self.theme, bold=bool(one.is_high)), tone)


class Inputs(Panel):
    """Gates and inputs of one session; not there where the rig names no inputs."""

    def __init__(self, theme: Theme = DARK, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self._sheet = _Sheet(theme, self, least_px=_LEAST_PX, high_px=_LINE_PX)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._sheet)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    @property
    def said(self) -> str:
        """All of it, in words."""
        return self._sheet.accessibleName()

    def show_watch(self, watch: Watch) -> None:
        """Draw what is known as of the last reading."""
        self.show_picture(picture(watch))

    def show_picture(self, value: Picture) -> None:
        """Draw this."""
        self._sheet.show_picture(value)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        self._sheet.set_theme(theme)


if __name__ == "__main__":
    raise SystemExit(alone(Inputs))
