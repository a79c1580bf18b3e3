"""The light given against what may be given: bars with value, limit and words. It holds no limit itself."""

from __future__ import annotations

import math
from typing import NamedTuple

from PyQt6.QtCore import QRectF, Qt
from PyQt6.QtGui import QBrush, QFont, QPainter, QPen
from PyQt6.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from closedloop.dashboard.panel import Panel, alone
from closedloop.dashboard.readout import amounts, shapes
from closedloop.dashboard.readout.lettering import RIGHT, fitted, ink, write
from closedloop.dashboard.readout.painted import Painted
from closedloop.dashboard.style import digits_font, words_font
from closedloop.dashboard.theme import DARK, Theme
from closedloop.watching.dose import Gauge, Latched
from closedloop.watching.watch import Watch

_LINE_PX, _BAR_PX, _SPACE_PX = 21, 9, 6
_REACHED_PX = 62
_EMPTY_PX = 40
_NEAR, _AT = 0.8, 0.995  # parts of a limit
_LEAST_PX = 300


_WHOSE = {"ceiling": "the board's ceiling", "rig": "the rig's limit", "protocol": "the protocol's limit"}
_LIMIT_NAMES = {"dose_trains": "trains", "dose_on": "time lit", "dose_energy": "energy"}
_OF_LATCH = {"dose_trains": "trains in all", "dose_on": "lit in all", "dose_energy": "energy in all"}


class _Row(NamedTuple):
    name: str
    amount: str
    words: str
    note: str
    part: float | None  # of the limit; None: there is no limit, or the value is unknown


def _row(gauge: Gauge, latched: Latched | None) -> _Row:
    if gauge.limit is None or not math.isfinite(gauge.value):
        return _Row(gauge.name, amounts.number(gauge.value, gauge.unit), gauge.note, "", None)
    part = round(gauge.value / gauge.limit, 3) if gauge.limit else 1.0
    of = f"{amounts.number(gauge.value)} of {amounts.number(gauge.limit, gauge.unit)}"
    if latched is not None and _OF_LATCH.get(latched.limit) == gauge.name:
        most = f"{amounts.number(min(gauge.value, gauge.limit))} of {amounts.number(gauge.limit, gauge.unit)}"
        return _Row(gauge.name, most, "REACHED", gauge.note, 1.0)  # what is decided later gives no light
    return _Row(gauge.name, of, _words(part, _WHOSE.get(gauge.whose, "the limit")), gauge.note, part)


def _words(part: float, whose: str) -> str:
    if part >= _AT:
        return f"OVER {whose.upper()}" if part > 1 else f"AT {whose.upper()}"
    said = f"{100 * part:.0f} % of {whose}"
    return f"{said}: NEAR" if part >= _NEAR else said


def _tone(part: float) -> str:
    if part >= _AT:
        return "danger"
    return "warn" if part >= _NEAR else "good"


def _high(row: _Row) -> int:
    return _LINE_PX + _SPACE_PX + (0 if row.part is None else _BAR_PX)


class _Bars(Painted):
    """One row a gauge; above them what was reached for good."""

    value: tuple[_Row, ...] = ()
    reached: tuple[str, ...] = ()

    def show_rows(self, value: tuple[_Row, ...], reached: tuple[str, ...]) -> None:
        if (value, reached) == (self.value, self.reached):
            return
        self.value, self.reached = value, reached
        self.set_high(sum(map(_high, value)) + 10 + (_REACHED_PX if reached else 0))
        rows = [": ".join(filter(None, (row.name, row.amount, row.words, row.note))) for row in value]
        self.say("\n".join([*reached, *rows]))

    def paint(self, painter: QPainter) -> None:
        box = self.framed(painter)
        if not self.value:
            write(painter, box, "no limits known before the session begins", self._words(), self.colour("dim"))
        top = box.top()
        if self.reached:
            self._paint_reached(painter, QRectF(4, 4, self.width() - 8, _REACHED_PX - 4))
            top += _REACHED_PX
        for row in self.value:
            self._paint_row(painter, QRectF(box.left(), top, box.width(), _LINE_PX), row)
            top += _high(row)

    def _paint_reached(self, painter: QPainter, box: QRectF) -> None:
        danger = self.colour("danger")
        painter.fillRect(box, danger)
        mark = QRectF(box.left() + 6, box.top() + 4, 34, box.height() - 8)
        shapes.draw(painter, "triangle", mark, self.colour("light"))
        words = box.adjusted(50, 2, -6, -2)
        high = words.height() / len(self.reached)
        for number, line in enumerate(self.reached):
            row = QRectF(words.left(), words.top() + number * high, words.width(), high)
            font = fitted(words_font(self.theme, 16 if number == 0 else 14, bold=True), line, row.width(), 11)
            write(painter, row, line, font, ink(danger))

    def _paint_row(self, painter: QPainter, line: QRectF, row: _Row) -> None:
        """Name, words and amount in one line, and the bar under it."""
        tone = "dim" if row.part is None else _tone(row.part)
        write(painter, line, row.amount, digits_font(self.theme, 15), self.colour("text"), RIGHT)
        line = line.adjusted(0, 0, -painter.fontMetrics().horizontalAdvance(row.amount) - 10, 0)
        write(painter, line, row.name, self._words(), self.colour("text"))
        line = line.adjusted(painter.fontMetrics().horizontalAdvance(row.name) + 10, 0, 0, 0)
        font = words_font(self.theme, 12, bold=tone in ("warn", "danger"))
        write(painter, line, row.words, font, self.colour("dim" if tone == "good" else tone))
        if row.part is not None:
            wide = self.width() - 2 * 10.0
            self._paint_bar(painter, QRectF(10, line.bottom() + 1, wide, _BAR_PX), row.part, tone)

    def _paint_bar(self, painter: QPainter, bar: QRectF, part: float, tone: str) -> None:
        """Filled as far as the limit is used; hatched besides where that is near."""
        filled = QRectF(bar.left(), bar.top(), bar.width() * min(1.0, max(0.0, part)), bar.height())
        painter.fillRect(bar, self.colour("ground"))
        painter.fillRect(filled, self.colour(tone))
        if tone != "good":
            painter.fillRect(filled, QBrush(self.colour("ground"), Qt.BrushStyle.BDiagPattern))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(self.colour("line" if tone == "good" else tone), 1))
        painter.drawRect(bar)

    def _words(self) -> QFont:
        return words_font(self.theme)


def _reached(latched: Latched | None, is_blinded: bool) -> tuple[str, ...]:
    if latched is None:
        return ()
    said = "no light from here on" if is_blinded else "sham from here on"
    which = _LIMIT_NAMES.get(latched.limit, "light")
    return f"LIMIT REACHED: {said}", f"the session's limit of {which}, at {amounts.clock(latched.at_s)}"


class Gauges(Panel):
    """Light of the last minute and ten minutes, trains, energy and modelled warming, against their limits."""

    def __init__(self, theme: Theme = DARK, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self._bars = _Bars(theme, self, least_px=_LEAST_PX, high_px=_EMPTY_PX)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._bars)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_watch(self, watch: Watch) -> None:
        """Draw the dose as of the last reading."""
        dose = watch.dose
        self.show_gauges(dose.gauges(watch.traces.last_s), dose.latched, is_blinded=dose.blinded)

    def show_gauges(
        self, gauges: tuple[Gauge, ...], latched: Latched | None = None, *, is_blinded: bool = False
    ) -> None:
        """Draw these gauges, those of the whole session first: reaching one of these is for good.

        Args:
            gauges: in any order.
            latched: the limit of the session that was reached.
            is_blinded: whether nothing may tell the arms from each other, not even the word for a dark train.
        """
        in_order = sorted(gauges, key=lambda gauge: gauge.name not in _OF_LATCH.values())
        self._bars.show_rows(tuple(_row(gauge, latched) for gauge in in_order), _reached(latched, is_blinded))

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        self._bars.set_theme(theme)


if __name__ == "__main__":
    raise SystemExit(alone(Gauges))
