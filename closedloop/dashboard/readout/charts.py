"""Small charts painted by hand, which take no mouse and are made in microseconds. They know no session.

A plot widget that pans and zooms costs tens of milliseconds to make; here one may appear while a session runs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import QColor, QPainter, QPen, QPolygonF
from PyQt6.QtWidgets import QWidget

from closedloop.dashboard.readout.lettering import CENTRE, RIGHT, write
from closedloop.dashboard.readout.painted import Painted
from closedloop.dashboard.style import mixed, words_font
from closedloop.dashboard.theme import Theme

Floats = npt.NDArray[np.float64]
_LEFT_PX, _TOP_PX, _RIGHT_PX = 52, 8, 20  # the same for all, so that charts below each other are in line
_TICKS_PX, _LABEL_PX = 16, 16
_X_APART_PX, _Y_APART_PX = 40, 17
_FONT_PX = 11
_TINT = 0.4


class Curve(NamedTuple):
    """A line through points, open where one is nan; `dots` marks each point, `px` is how thick it is."""

    x: Floats
    y: Floats
    colour: str
    dots: bool = False
    px: int = 1


class Band(NamedTuple):
    """The area between two lines, open where either is nan."""

    x: Floats
    low: Floats
    high: Floats
    colour: str


class Steps(NamedTuple):
    """Bars from 0, side by side."""

    edges: Floats
    heights: Floats
    colour: str


class Upright(NamedTuple):
    """A dashed line from bottom to top."""

    x: float
    colour: str


class Axis(NamedTuple):
    """From where to where, what that is with its unit, and what stands at which value; without ticks, at round ones."""

    low: float
    high: float
    label: str
    ticks: tuple[tuple[float, str], ...] = ()


Layer = Curve | Band | Steps | Upright


class Chart(Painted):
    """Layers over two axes."""

    def __init__(self, theme: Theme, parent: QWidget, *, high_px: int) -> None:
        super().__init__(theme, parent, least_px=160, high_px=high_px)
        self.across = Axis(0, 1, "")
        self.up = Axis(0, 1, "")
        self.layers: tuple[Layer, ...] = ()

    def show_layers(self, across: Axis, up: Axis, layers: tuple[Layer, ...]) -> None:
        """Paint these, from the back to the front."""
        self.across, self.up, self.layers = across, up, layers
        self.update()

    def paint(self, painter: QPainter) -> None:
        """Ground, axes, layers."""
        painter.fillRect(self.rect(), self.colour("panel"))
        below = _TICKS_PX + (_LABEL_PX if self.across.label else 2)
        area = QRectF(self.rect()).adjusted(_LEFT_PX, _TOP_PX, -_RIGHT_PX, -below)
        self._paint_across(painter, area)
        self._paint_up(painter, area)
        painter.setClipRect(area.adjusted(0, -1, 1, 1))
        for layer in self.layers:
            self._paint_layer(painter, area, layer)

    def _paint_across(self, painter: QPainter, area: QRectF) -> None:
        painter.setPen(QPen(self.colour("line"), 1))
        painter.drawLine(area.bottomLeft(), area.bottomRight())
        font, text = words_font(self.theme, _FONT_PX), self.colour("text")
        ticks = self.across.ticks or _round_ticks(self.across, area.width() / _X_APART_PX)
        for value, words in ticks:
            x = _x(area, self.across, value)
            painter.setPen(QPen(self.colour("line"), 1))
            painter.drawLine(QPointF(x, area.bottom()), QPointF(x, area.bottom() + (4 if words else 2)))
            wide = _X_APART_PX + 8.0
            left = min(x - wide / 2, self.width() - wide)
            write(painter, QRectF(left, area.bottom() + 3, wide, _TICKS_PX - 2), words, font, text, CENTRE)
        label = QRectF(area.left(), area.bottom() + _TICKS_PX, area.width(), _LABEL_PX)
        write(painter, label, self.across.label, font, self.colour("dim"), CENTRE)

    def _paint_up(self, painter: QPainter, area: QRectF) -> None:
        font = words_font(self.theme, _FONT_PX)
        for value, words in self.up.ticks or _round_ticks(self.up, area.height() / _Y_APART_PX):
            y = _y(area, self.up, value)
            painter.setPen(QPen(mixed(self.theme.line, self.theme.panel, 0.6), 1))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            line = QRectF(_LABEL_PX, y - 7, area.left() - _LABEL_PX - 5, 14)
            write(painter, line, words, font, self.colour("text"), RIGHT)
        painter.save()
        painter.translate(2, area.bottom())
        painter.rotate(-90)
        write(painter, QRectF(0, 0, area.height(), _LABEL_PX), self.up.label, font, self.colour("dim"), CENTRE)
        painter.restore()

    def _paint_layer(self, painter: QPainter, area: QRectF, layer: Layer) -> None:
        colour = self.colour(layer.colour)
        painter.setPen(QPen(colour, 1))
        if isinstance(layer, Curve):
            self._paint_curve(painter, area, layer, colour)
        elif isinstance(layer, Band):
            self._paint_band(painter, area, layer)
        elif isinstance(layer, Steps):
            self._paint_steps(painter, area, layer)
        else:
            painter.setPen(QPen(colour, 1, Qt.PenStyle.DashLine))
            x = _x(area, self.across, layer.x)
            painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))

    def _paint_curve(self, painter: QPainter, area: QRectF, curve: Curve, colour: QColor) -> None:
        painter.setPen(QPen(colour, curve.px))
        for part in _known(curve.y):
            points = self._points(area, curve.x[part], curve.y[part])
            painter.drawPolyline(QPolygonF(points))
            if curve.dots:
                painter.setBrush(colour)
                for point in points:
                    painter.drawEllipse(point, 2, 2)

    def _paint_band(self, painter: QPainter, area: QRectF, band: Band) -> None:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._tint(band.colour))
        for part in _known(band.low + band.high):
            there = self._points(area, band.x[part], band.high[part])
            back = self._points(area, band.x[part], band.low[part])
            painter.drawPolygon(QPolygonF([*there, *reversed(back)]))

    def _paint_steps(self, painter: QPainter, area: QRectF, steps: Steps) -> None:
        painter.setBrush(self._tint(steps.colour))
        floor = _y(area, self.up, 0.0)
        for bar in np.flatnonzero(steps.heights).tolist():
            left, right = (_x(area, self.across, float(edge)) for edge in steps.edges[bar : bar + 2])
            top = _y(area, self.up, float(steps.heights[bar]))
            painter.drawRect(QRectF(left, top, right - left, floor - top))

    def _points(self, area: QRectF, x: Floats, y: Floats) -> list[QPointF]:
        across = (area.left() + (x - self.across.low) / (self.across.high - self.across.low) * area.width()).tolist()
        up = (area.bottom() - (y - self.up.low) / (self.up.high - self.up.low) * area.height()).tolist()
        return [QPointF(*point) for point in zip(across, up, strict=True)]

    def _tint(self, name: str) -> QColor:
        return mixed(getattr(self.theme, name), self.theme.panel, _TINT)


def _x(area: QRectF, axis: Axis, value: float) -> float:
    return area.left() + (value - axis.low) / (axis.high - axis.low) * area.width()


def _y(area: QRectF, axis: Axis, value: float) -> float:
    return area.bottom() - (value - axis.low) / (axis.high - axis.low) * area.height()


def _known(values: Floats) -> list[slice]:
    """The stretches without nan."""
    known = np.concatenate(([False], np.isfinite(values), [False]))
    edges = np.flatnonzero(known[1:] != known[:-1]).tolist()
    return [slice(start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def _round_ticks(axis: Axis, most: float) -> list[tuple[float, str]]:
    """Multiples of 1, 2 or 5 times a power of ten, at most so many."""
    rough = (axis.high - axis.low) / max(1.0, most)
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(part * power for part in (1, 2, 5, 10) if part * power >= rough * 0.999)
    first, last = int(np.ceil(axis.low / step - 1e-6)), int(np.floor(axis.high / step + 1e-6))
    return [(float(n * step), f"{n * step:.6g}") for n in range(first, last + 1)]


def even_range(low: float, high: float) -> tuple[float, float]:
    """A range of half a leading digit around both, so that it seldom changes while data come in."""
    reach = max(abs(low), abs(high), 1e-12)
    step = 10.0 ** np.floor(np.log10(reach)) / 2
    bottom = np.floor(low / step)
    return float(bottom * step), float(max(np.ceil(high / step), bottom + 1) * step)


def limits(arrays: list[Floats]) -> tuple[float, float] | None:
    """The least and the largest of all that is known; None if nothing is."""
    values: Floats = np.concatenate([np.empty(0), *(array[np.isfinite(array)] for array in arrays)])
    return (float(values.min()), float(values.max())) if len(values) else None
