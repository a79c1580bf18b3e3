"""The light given against what may be given: bars with value, limit and words. It holds no limit itself."""

from __future__ import annotations

import math
from typing import NamedTuple

from PyQt6.QtCore import QRectF, Qt
from PyQt6.QtGui import QBrush, QFont, QPainter, QPen
from PyQt6.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from closedloop.dashboard.panel import Panel, alone
from closedloop.dashboard.readout import amounts
from closedloop.dashboard.readout.lettering import RIGHT, write
from closedloop.dashboard.readout.painted import Painted
from closedloop.dashboard.style import digits_font, words_font
from closedloop.dashboard.theme import DARK, Theme
from closedloop.watching.dose import Gauge
from closedloop.watching.watch import Watch

_LINE_PX, _BAR_PX, _SPACE_PX = 21, 9, 6
_EMPTY_PX = 40
_NEAR, _AT = 0.8, 0.995  # parts of a limit
_LEAST_PX = 300


class _Row(NamedTuple):
    name: str
    amount: str
    words: str
    note: str
    part: float | None  # of the limit; None: there is no limit, or the value is unknown


def _row(gauge: Gauge) -> _Row:
    if gauge.limit is None or not math.isfinite(gauge.value):
        return _Row(gauge.name, amounts.number(gauge.value, gauge.unit), gauge.note, "", None)
    part = round(gauge.value / gauge.limit, 3) if gauge.limit else 1.0
    of = f"{amounts.number(gauge.value)} of {amounts.number(gauge.limit, gauge.unit)}"
    return _Row(gauge.name, of, _words(part), gauge.note, part)


def _words(part: float) -> str:
    if part >= _AT:
        return "OVER THE LIMIT" if part > 1 else "AT THE LIMIT"
    said = f"{100 * part:.0f} % of the limit"
    return f"{said}: NEAR" if part >= _NEAR else said


def _tone(part: float) -> str:
    if part >= _AT:
        return "danger"
    return "warn" if part >= _NEAR else "good"


def _high(row: _Row) -> int:
    return _LINE_PX + _SPACE_PX + (0 if row.part is None else _BAR_PX)


class _Bars(Painted):
    """One row a gauge."""

    value: tuple[_Row, ...] = ()

    def show_rows(self, value: tuple[_Row, ...]) -> None:
        if value == self.value:
            return
        self.value = value
        self.set_high(sum(map(_high, value)) + 10)
        self.say("\n".join(": ".join(filter(None, (row.name, row.amount, row.words, row.note))) for row in value))

    def paint(self, painter: QPainter) -> None:
        box = self.framed(painter)
        if not self.value:
            write(painter, box, "no limits known before the session begins", self._words(), self.colour("dim"))
        top = box.top()
        for row in self.value:
            self._paint_row(painter, QRectF(box.left(), top, box.width(), _LINE_PX), row)
            top += _high(row)

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
        self.show_gauges(watch.dose.gauges(watch.traces.last_s))

    def show_gauges(self, gauges: tuple[Gauge, ...]) -> None:
        """Draw these gauges."""
        self._bars.show_rows(tuple(_row(gauge) for gauge in gauges))

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        self._bars.set_theme(theme)


if __name__ == "__main__":
    raise SystemExit(alone(Gauges))
