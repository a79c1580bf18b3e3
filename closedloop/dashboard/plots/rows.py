"""The rows of the live view: a plot for each trace, and lanes of light and inputs. They draw what they are given.

Marks, titles and grids are painted in pixels by two layers a plot, below and above its curves: few calls, whatever
there is to show. Curves come decimated to the plot's width, and lines are one pixel wide, for these are fast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import QBrush, QColor, QFont, QFontMetricsF, QImage, QPainter, QPen, QPolygonF

from closedloop.dashboard.plots.axes import Reach, clock, decimals_of, number, short, step_of, ticks, time_step_s
from closedloop.dashboard.plots.picture import Array, Look, Subject, extent_of
from closedloop.dashboard.plots.shades import (
    BLOCKS,
    Shade,
    lane_of,
    look_of,
    paint_background,
    paint_blocks,
    paint_labels_beside,
    paint_lane,
    paint_triangles,
    strip_of,
    tint,
)
from closedloop.dashboard.theme import Theme
from closedloop.watching.traces import Traces

AXIS_PX = 64
LANE_PX = 20
_LEAST_LANE_PX = 13
BOTTOM_PX = 38
_TICK_PX = 90
_EDGE_PX = 6.0
_TITLE_PX = 18.0
_LARGER_PX = 13  # than the theme's font
_LEAST_LARGE_PX = 40  # of a plot, for large digits
_LETTER_PX = 6.5  # of a unit beside the axis; where a plot is too low for it, the title says it alone
_TITLE_PART = 0.3  # of a low plot, at most


class TimeBox(pg.ViewBox):  # type: ignore[misc]
    """A plot whose wheel and drag are wishes for another part of the session; it never moves by itself."""

    def __init__(self, zoom: Callable[[float, float], None], pan: Callable[[float], None]) -> None:
        super().__init__(enableMenu=False, enableMouse=False, defaultPadding=0.0)
        self._zoom, self._pan = zoom, pan
        self.disableAutoRange()

    def wheelEvent(self, ev: Any, axis: int | None = None) -> None:  # noqa: N802 - Qt's name
        """Zoom about the cursor."""
        del axis
        ev.accept()
        self._zoom(0.999 ** ev.delta(), float(self.mapToView(ev.pos()).x()))

    def mouseDragEvent(self, ev: Any, axis: int | None = None) -> None:  # noqa: N802 - pyqtgraph's name
        """Pan."""
        del axis
        ev.accept()
        (since_s, until_s), _ = self.viewRange()
        self._pan((ev.lastPos().x() - ev.pos().x()) * (until_s - since_s) / max(1.0, self.width()))


class Layer(pg.GraphicsObject):  # type: ignore[misc]
    """Something painted in pixels over or under the curves of one plot."""

    def __init__(self, box: TimeBox, depth: float, paint: Callable[[QPainter, QRectF], None]) -> None:
        super().__init__(box)
        self._box, self._paint = box, paint
        self.setZValue(depth)
        box.sigResized.connect(self._resized)

    def boundingRect(self) -> QRectF:  # noqa: N802 - Qt's name
        """All of the plot."""
        return QRectF(self._box.rect())

    def paint(self, painter: QPainter, *_: Any) -> None:
        """Called by Qt."""
        self._paint(painter, self.boundingRect())

    def _resized(self, *_: Any) -> None:
        self.prepareGeometryChange()


class TimeAxis(pg.AxisItem):  # type: ignore[misc]
    """Minutes and seconds of the session."""

    def tickSpacing(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, float]]:  # noqa: N802, N803
        """One kind of tick, far enough from the next to be read."""
        return [(time_step_s(maxVal - minVal, max(2, int(size / _TICK_PX))), 0.0)]

    def tickStrings(self, values: Sequence[float], scale: float, spacing: float) -> list[str]:  # noqa: N802
        """As on a clock."""
        del scale
        return [clock(value, decimals_of(spacing)) for value in values]


class ValueAxis(pg.AxisItem):  # type: ignore[misc]
    """Few round numbers, that a low plot has room for."""

    def tickSpacing(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, float]]:  # noqa: N802, N803
        """About one tick in 20 pixels."""
        return [(step_of(maxVal - minVal, max(2, int(size / 20))), 0.0)]

    def tickStrings(self, values: Sequence[float], scale: float, spacing: float) -> list[str]:  # noqa: N802
        """As many digits as tell them apart."""
        del scale
        return [f"{value + 0.0:.{decimals_of(spacing)}f}" if self._has_room(value) else "" for value in values]

    def _has_room(self, value: float) -> bool:
        """Whether a number at this height is not cut by the plot's end."""
        low, high = self.range
        edge = _EDGE_PX / max(1.0, self.size().height()) * (high - low)
        return bool(low + edge <= value <= high - edge)


def font_of(theme: Theme, bigger: int = 0) -> QFont:
    """The theme's font for plots."""
    font = QFont()
    font.setPixelSize(theme.font_px + bigger)
    return font


def pixels(times_s: Array, look: Look, width: float) -> Array:
    """Where moments stand on a plot so wide."""
    return (times_s - look.since_s) * (width / max(1e-9, look.until_s - look.since_s))


def grid_s(look: Look, width: float) -> list[float]:
    """The times that have a line."""
    step_s = time_step_s(look.until_s - look.since_s, max(2, int(width / _TICK_PX)))
    return ticks(look.since_s, look.until_s, step_s)


def style_axes(plot: Any, theme: Theme) -> None:
    """Colours and fonts of the axes of one plot."""
    for side in ("left", "bottom"):
        axis = plot.getAxis(side)
        axis.setPen(pg.mkPen(theme.line))
        axis.setTextPen(pg.mkPen(theme.text))
        axis.setStyle(tickFont=font_of(theme, -1), tickLength=-4, autoExpandTextSpace=False)
        axis.label.setFont(font_of(theme, -1))
    plot.getAxis("left").setWidth(AXIS_PX)
    plot.getAxis("bottom").setHeight(BOTTOM_PX)


def paint_grid(painter: QPainter, theme: Theme, rect: QRectF, look: Look) -> None:
    """Thin lines at the times that have a number."""
    painter.setPen(QPen(tint(theme.line, 0.6)))
    for x in pixels(np.array(grid_s(look, rect.width())), look, rect.width()).tolist():
        painter.drawLine(QPointF(x, 0), QPointF(x, rect.height()))


def paint_cursor(painter: QPainter, theme: Theme, rect: QRectF, look: Look) -> None:
    """A thin line under the mouse."""
    if look.hover_s is None:
        return
    x = float(pixels(np.array([look.hover_s]), look, rect.width())[0])
    painter.setPen(QPen(QColor(theme.text), 1, Qt.PenStyle.DotLine))
    painter.drawLine(QPointF(x, 0), QPointF(x, rect.height()))


@dataclass
class Drawn:
    """The curve that is on screen."""

    x: Array = field(default_factory=lambda: np.empty(0))
    y: Array = field(default_factory=lambda: np.empty(0))

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to see."""
        return not np.isfinite(self.y).any()

    def words(self, time_s: float, reach_s: float) -> str:
        """The value at a moment; least and greatest, where what is within reach of it has several."""
        near = slice(int(np.searchsorted(self.x, time_s - reach_s)), int(np.searchsorted(self.x, time_s + reach_s)) + 1)
        is_near = np.abs(self.x[near] - time_s) <= 2 * reach_s
        known = self.y[near][is_near & np.isfinite(self.y[near])]
        if not known.size:
            return number(math.nan)
        low, high = number(float(known.min())), number(float(known.max()))
        return low if low == high else f"{low} … {high}"


class TraceRow:
    """One plot of one trace, with the threshold and its band if it has one.

    Attributes:
        plot: the plot.
        reach: of its y axis.
    """

    def __init__(self, plot: Any, subject: Subject, theme: Theme, bounds: bool = False) -> None:
        self.plot, self.box, self.subject, self.theme = plot, plot.getViewBox(), subject, theme
        self.reach = Reach()
        self.drawn = Drawn()
        self._bounds: Drawn | None = Drawn() if bounds else None
        self._release: Array = np.empty(0)
        self._look = Look(0.0, 1.0, {})
        self._strip = strip_of(theme, {}, 1.0)
        self._latest = math.nan
        self._y = (0.0, 1.0)
        self._curve = pg.PlotCurveItem()
        self._line = pg.PlotCurveItem()
        for item in (self._line, self._curve):
            plot.addItem(item)
        self._below = Layer(self.box, -10, self._paint_below)
        self._above = Layer(self.box, 10, self._paint_above)
        plot.hideButtons()
        for side in ("left", "bottom"):
            plot.getAxis(side).enableAutoSIPrefix(False)
        self.set_subject(subject)
        self.set_theme(theme)

    def set_subject(self, subject: Subject) -> None:
        """Another title and unit."""
        self.subject = subject
        self.plot.getAxis("left").setLabel(subject.unit)
        self._curve.setPen(pg.mkPen(getattr(self.theme, subject.colour), width=1))

    def set_theme(self, theme: Theme) -> None:
        """Other colours."""
        self.theme = theme
        self._curve.setPen(pg.mkPen(getattr(theme, self.subject.colour), width=1))
        self._line.setPen(pg.mkPen(theme.threshold, width=1))
        style_axes(self.plot, theme)

    def draw(self, traces: Traces, look: Look, strip: QImage, release: Callable[[Array], Array]) -> None:
        """Show this part of the session; `strip` is what lies behind it."""
        points = max(2, int(self.box.width()))
        self._look, self._strip = look, strip
        self._latest = traces.latest(self.subject.name) * self.subject.scale
        self.drawn = _draw(self._curve, traces, self.subject.name, look, points, self.subject.scale)
        extent = extent_of(traces, self.subject, look)
        if self._bounds is not None:
            self._bounds = _draw(self._line, traces, "threshold", look, points)
            self._release = release(self._bounds.x)
            extent = _with(extent, self._bounds.y, self._release)
        self.plot.getAxis("left").showLabel(self.box.height() >= _LETTER_PX * len(self.subject.unit))
        self.reach.follow(extent)
        self._set_y()
        self.box.setXRange(look.since_s, look.until_s, padding=0)
        self._below.update()
        self._above.update()

    @property
    def words(self) -> str:
        """Title and value: under the mouse, or the latest."""
        look = self._look
        value = number(self._latest)
        if look.hover_s is not None:
            value = self.drawn.words(look.hover_s, 1.5 * (look.until_s - look.since_s) / max(1.0, self.box.width()))
        usual = "" if self.subject.usual is None else f"   ({self.subject.usual_name} {self.subject.usual:g})"
        return f"{self.subject.title}   {value}{self.subject.in_unit}{usual}"

    def _set_y(self) -> None:
        """The curve keeps clear of the title."""
        reach, height = self.reach, max(1.0, self.box.height())
        if reach.low < reach.high:
            part = 1.0 - min(_TITLE_PX, _TITLE_PART * height) / height
            y = (reach.low, reach.low + (reach.high - reach.low) / part)
            if y != self._y:
                self._y = y
                self.box.setYRange(*y, padding=0)

    def _height(self, rect: QRectF, values: Array) -> Array:
        low, high = self._y
        return (high - values) * (rect.height() / (high - low))

    def _paint_below(self, painter: QPainter, rect: QRectF) -> None:
        painter.setFont(font_of(self.theme, -2))
        is_top = self.subject.name == "signal"
        paint_background(painter, self.theme, self._strip, self._look.shades, rect, labels=is_top)
        paint_grid(painter, self.theme, rect, self._look)
        if self._bounds is not None and self._bounds.x.size:
            self._paint_band(painter, rect, self._bounds)
        if self.subject.usual is not None:
            y = float(self._height(rect, np.array([self.subject.usual]))[0])
            painter.setPen(QPen(QColor(self.theme.threshold), 1, Qt.PenStyle.DashLine))
            painter.drawLine(QPointF(0, y), QPointF(rect.width(), y))

    def _paint_band(self, painter: QPainter, rect: QRectF, bounds: Drawn) -> None:
        corner = _corners(bounds.y, self._release)
        if not corner.any():
            return
        x = pixels(bounds.x[corner], self._look, rect.width())
        upper, lower = self._height(rect, bounds.y[corner]), self._height(rect, self._release[corner])
        outline = zip(np.append(x, x[::-1]).tolist(), np.append(upper, lower[::-1]).tolist(), strict=True)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QBrush(tint(self.theme.threshold, 0.22)))
        painter.drawPolygon(QPolygonF([QPointF(*at) for at in outline]))

    def _paint_above(self, painter: QPainter, rect: QRectF) -> None:
        self._paint_beyond(painter, rect)
        if self.subject.name == "score":
            at = [mark.left for mark in self._look.shades.get("detection", ())]
            paint_triangles(painter, self.theme.text, at, rect.height() - 2.0, up=False)
        paint_cursor(painter, self.theme, rect, self._look)
        painter.setFont(font_of(self.theme))
        width = painter.fontMetrics().horizontalAdvance(self.words)
        painter.fillRect(QRectF(2, 1, width + 10, _TITLE_PX), tint(self.theme.panel, 0.85))
        painter.setPen(QPen(QColor(getattr(self.theme, self.subject.colour))))
        painter.drawText(QRectF(7, 1, width + 4, _TITLE_PX), Qt.AlignmentFlag.AlignVCenter, self.words)
        if self.drawn.is_empty:
            painter.setPen(QPen(QColor(self.theme.dim)))
            painter.drawText(rect, Qt.AlignmentFlag.AlignCenter, self.subject.absent)
        elif self.subject.is_main and rect.height() >= _LEAST_LARGE_PX:
            self._paint_large(painter, rect)

    def _paint_large(self, painter: QPainter, rect: QRectF) -> None:
        """The latest value, to be read from across the room."""
        painter.setFont(font_of(self.theme, _LARGER_PX))
        words = f"{short(self._latest, signed=self.subject.usual == 0)}{self.subject.in_unit}"
        metrics = painter.fontMetrics()
        room = QRectF(rect.width() - metrics.horizontalAdvance(words) - 14, 2, 1, metrics.height())
        room.setRight(rect.width() - 2)
        painter.fillRect(room, tint(self.theme.panel, 0.85))
        painter.drawText(room, Qt.AlignmentFlag.AlignCenter, words)

    def _paint_beyond(self, painter: QPainter, rect: QRectF) -> None:
        """Where the curve leaves the plot, an arrow says so: nothing is hidden by the axis."""
        colour = getattr(self.theme, self.subject.colour)
        for beyond, tip, up in (
            (self.drawn.y > self._y[1], 1.0, True),
            (self.drawn.y < self._y[0], rect.height() - 1.0, False),
        ):
            if beyond.any():
                x = pixels(self.drawn.x[beyond], self._look, rect.width())
                paint_triangles(painter, colour, np.unique(x // 10 * 10 + 5).tolist(), tip, up)


class LaneRow:
    """Light in a lane of its own, notes and each digital input in others; the time axis is theirs."""

    def __init__(self, plot: Any, theme: Theme) -> None:
        self.plot, self.box, self.theme = plot, plot.getViewBox(), theme
        self.lanes: dict[str, str] = {}
        self._look = Look(0.0, 1.0, {})
        self._is_dark = False
        self._below = Layer(self.box, -10, self._paint)
        plot.hideButtons()
        plot.getAxis("left").setStyle(hideOverlappingLabels=False)
        plot.getAxis("bottom").enableAutoSIPrefix(False)
        plot.getAxis("bottom").setLabel("time since the first reading (min:s)")
        self.set_inputs(())
        self.set_theme(theme)

    def height_px(self, of_px: int) -> int:
        """What it takes of a picture so high."""
        most_px = min(LANE_PX, of_px // 25, 130 // len(self.lanes))
        return len(self.lanes) * max(_LEAST_LANE_PX, most_px) + BOTTOM_PX + 4

    def set_inputs(self, names: tuple[str, ...], *, blocks: bool = False, blinded: bool = False) -> None:
        """Lanes for these inputs, below those of blocks, light, what was wanted and not given, and notes."""
        self.lanes = {"block": "block"} if blocks else {}
        self.lanes |= (
            {"light": "planned", "withheld": "refused"} if blinded else {"light": "light", "withheld": "withheld"}
        )
        self.lanes |= {"note": "notes"}
        self.lanes |= {f"input:{name}": name for name in names}
        self.box.setYRange(0, len(self.lanes), padding=0)
        metrics = QFontMetricsF(font_of(self.theme, -1))
        elided = [metrics.elidedText(name, Qt.TextElideMode.ElideRight, AXIS_PX - 10) for name in self.lanes.values()]
        labels = [(len(elided) - 0.5 - place, name) for place, name in enumerate(elided)]
        self.plot.getAxis("left").setTicks([labels])

    def set_theme(self, theme: Theme) -> None:
        """Other colours."""
        self.theme = theme
        style_axes(self.plot, theme)

    def draw(self, look: Look, is_dark: bool) -> None:
        """Show this part of the session; `is_dark`: there has been no light, and none was wanted."""
        self._look, self._is_dark = look, is_dark
        self.box.setXRange(look.since_s, look.until_s, padding=0)
        self._below.update()

    def _paint(self, painter: QPainter, rect: QRectF) -> None:
        theme, look = self.theme, self._look
        painter.setFont(font_of(theme, -2))
        behind = {
            kind: marks for kind, marks in look.shades.items() if kind in ("gap", "veto", "paused", "trip", *BLOCKS)
        }
        paint_background(painter, theme, strip_of(theme, behind, rect.width()), behind, rect)
        paint_grid(painter, theme, rect, look)
        lane_px = rect.height() / len(self.lanes)
        for place, kind in enumerate(self.lanes):
            painter.setPen(QPen(QColor(theme.line)))
            painter.drawLine(QPointF(0, place * lane_px), QPointF(rect.width(), place * lane_px))
            row = QRectF(0, place * lane_px, rect.width(), lane_px)
            self._paint_lane(painter, kind, row)
        paint_cursor(painter, theme, rect, look)

    def _paint_lane(self, painter: QPainter, lane: str, row: QRectF) -> None:
        theme, shades = self.theme, self._look.shades
        if lane == "block":
            paint_blocks(painter, theme, shades, row)
            return
        written: list[Shade] = []
        for kind in shades:
            if lane_of(kind) == lane:
                paint_lane(painter, theme, look_of(kind), shades[kind], row)
                written.extend(shades[kind])
        if lane in ("light", "withheld", "note"):
            paint_labels_beside(painter, theme, sorted(written), row)
        if lane == "light" and self._is_dark:
            painter.setPen(QPen(QColor(theme.dim)))
            painter.drawText(row, Qt.AlignmentFlag.AlignCenter, "no light yet, and none was asked for")


def _draw(item: Any, traces: Traces, name: str, look: Look, points: int, scale: float = 1.0) -> Drawn:
    x, y = traces.curve(name, look.since_s, look.until_s, points)
    y = y if scale == 1.0 else y * scale
    whole = bool(np.isfinite(y).all())
    item.setData(x, y, connect="all" if whole else "finite", skipFiniteCheck=whole)
    return Drawn(x, y)


def _with(extent: tuple[float, float] | None, *more: Array) -> tuple[float, float] | None:
    ends = [*(extent or ())]
    for values in more:
        known = values[np.isfinite(values)]
        ends += [float(known.min()), float(known.max())] if known.size else []
    return (min(ends), max(ends)) if ends else None


def _corners(upper: Array, lower: Array) -> npt.NDArray[np.bool_]:
    """Where the outline of a band turns: mostly at its two ends alone."""
    known = np.isfinite(upper) & np.isfinite(lower)
    turns = np.ones(len(upper), np.bool_)
    same = (upper[1:] == upper[:-1]) & (lower[1:] == lower[:-1])
    turns[1:-1] = ~(same[1:] & same[:-1])
    return known & turns
