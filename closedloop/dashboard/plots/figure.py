"""A stretch of a session as a figure for a paper: PNG or SVG, axes with units, on white. It writes one file alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PyQt6.QtCore import QBuffer, QIODevice, QPointF, QRectF, QSize, Qt
from PyQt6.QtGui import QColor, QFont, QImage, QPainter, QPen, QPolygonF
from PyQt6.QtSvg import QSvgGenerator

from closedloop.dashboard.plots.axes import Reach, clock, decimals_of, step_of, ticks, time_step_s
from closedloop.dashboard.plots.picture import Array, Look, Marker, Subject, extent_of, release_at, subjects_of
from closedloop.dashboard.plots.shades import (
    BLOCKS,
    Shade,
    Shades,
    lane_of,
    look_of,
    paint_blocks,
    paint_labels,
    paint_lane,
    paint_triangles,
    tint,
)
from closedloop.dashboard.theme import LIGHT
from closedloop.errors import ClosedLoopError
from closedloop.watching.watch import Watch

FILTERS = "Drawing, to edit or print (*.svg);;Picture, 300 dots an inch (*.png)"

_WIDTH = 680  # of a page's text, 180 mm, in units of 1/96 inch
_DOTS = 300 / 96
_LEFT, _RIGHT, _TOP, _BOTTOM = 84.0, 22.0, 28.0, 46.0
_TRACE, _LANE, _APART = 84.0, 16.0, 10.0
_POINTS = 1200
_SHADED = (BLOCKS[1], "paused", "gap", "veto", "light")


class FigureError(ClosedLoopError):
    """A figure could not be written."""


class _Page(NamedTuple):
    """What is drawn, and on what."""

    painter: QPainter
    watch: Watch
    look: Look

    @property
    def width(self) -> float:
        """Of the plots."""
        return _WIDTH - _LEFT - _RIGHT


def default_name(folder: Path, since_s: float, until_s: float) -> str:
    """A file name that says which session and which seconds.

    >>> default_name(Path("data/sub-m17/ses-20260102T030405"), 10, 40)
    'sub-m17_ses-20260102T030405_10-40s.svg'
    """
    names = [part for part in folder.parts[-2:] if part.startswith(("sub-", "ses-"))]
    return f"{'_'.join(names) or 'session'}_{since_s:.0f}-{until_s:.0f}s.svg"


def save_figure(watch: Watch, since_s: float, until_s: float, path: Path) -> None:
    """Draw a stretch of a session into a file whose name ends in .png or .svg.

    Raises:
        FigureError: another kind of file, nothing to draw, or the file cannot be written.
    """
    makers: dict[str, Callable[..., bytes]] = {".png": _png, ".svg": _svg}
    make = makers.get(path.suffix.lower())
    if make is None:
        raise FigureError(f"{path.name}: a figure is a .png or an .svg file; choose one of these endings")
    if not watch.traces.rows:
        raise FigureError("there are no readings yet: there is nothing to draw")
    try:
        path.write_bytes(make(watch, since_s, until_s))
    except OSError as error:
        raise FigureError(f"{path}: the figure was not written: {error.strerror}; choose another folder") from error


def _png(watch: Watch, since_s: float, until_s: float) -> bytes:
    height = _height(watch, since_s, until_s)
    image = QImage(round(_WIDTH * _DOTS), round(height * _DOTS), QImage.Format.Format_RGB32)
    image.setDotsPerMeterX(round(300 / 0.0254))
    image.setDotsPerMeterY(round(300 / 0.0254))
    image.fill(QColor("white"))
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.scale(_DOTS, _DOTS)
    _paint(painter, watch, since_s, until_s)
    painter.end()
    return _bytes_of(lambda buffer: image.save(buffer, "PNG"))


def _svg(watch: Watch, since_s: float, until_s: float) -> bytes:
    height = _height(watch, since_s, until_s)

    def write(buffer: QBuffer) -> None:
        generator = QSvgGenerator()
        generator.setOutputDevice(buffer)
        generator.setResolution(96)
        generator.setSize(QSize(_WIDTH, math.ceil(height)))
        generator.setViewBox(QRectF(0, 0, _WIDTH, height))
        generator.setTitle(_caption(watch, since_s, until_s))
        painter = QPainter(generator)
        _paint(painter, watch, since_s, until_s)
        painter.end()

    return _bytes_of(write)


def _bytes_of(write: Callable[[QBuffer], object]) -> bytes:
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    write(buffer)
    buffer.close()
    return bytes(buffer.data().data())


def _caption(watch: Watch, since_s: float, until_s: float) -> str:
    session = " ".join(watch.follower.folder.parts[-2:])
    protocol = watch.header.get("protocol_name") or "unknown"
    return f"{session}, protocol {protocol}, {clock(since_s, 1)} to {clock(until_s, 1)}"


def _subjects(watch: Watch, since_s: float, until_s: float) -> list[Subject]:
    """The traces that there is something of."""
    subjects = subjects_of(watch.header, watch.traces.shown)
    return [s for s in subjects if watch.traces.extent(s.name, since_s, until_s) is not None]


def _height(watch: Watch, since_s: float, until_s: float) -> float:
    lanes = len(_lanes(watch))
    traces = len(_subjects(watch, since_s, until_s))
    return _TOP + traces * (_TRACE + _APART) + lanes * _LANE + _BOTTOM


def _lanes(watch: Watch) -> dict[str, str]:
    """Blocks if there are any, light, what was wanted and not given if there is any, and inputs."""
    blocks = {"block": "block"} if watch.course.has_blocks else {}
    withheld = any(lane_of(kind) == "withheld" for kind in watch.marks.kinds)
    inputs = {f"input:{name}": name for name in watch.marks.input_names}
    return {
        **blocks,
        "light": "planned" if watch.dose.blinded else "light",
        **({"withheld": "withheld"} if withheld else {}),
        **inputs,
    }


def _paint(painter: QPainter, watch: Watch, since_s: float, until_s: float) -> None:
    width = _WIDTH - _LEFT - _RIGHT
    look = Look(since_s, until_s, {})
    shades = Marker().shades(watch.marks, look, watch.traces.last_s, width, watch.course)
    look = look._replace(shades=_within(shades, width))
    page = _Page(painter, watch, look)
    _write(painter, QRectF(_LEFT, 2, width, 14), _caption(watch, since_s, until_s), Qt.AlignmentFlag.AlignLeft, 9)
    top = _TOP
    for subject in _subjects(watch, since_s, until_s):
        _paint_trace(page, subject, top)
        top += _TRACE + _APART
    bottom = _paint_lanes(page, top)
    _paint_names(page)
    _paint_time(page, bottom)


def _paint_trace(page: _Page, subject: Subject, top: float) -> None:
    painter, look = page.painter, page.look
    x, y = page.watch.traces.curve(subject.name, look.since_s, look.until_s, _POINTS)
    y = y * subject.scale
    reach = Reach()
    reach.follow(extent_of(page.watch.traces, subject, look))
    bounds_x, bounds_y = np.empty(0), np.empty(0)
    if subject.name == "score":
        bounds_x, bounds_y = page.watch.traces.curve("threshold", look.since_s, look.until_s, _POINTS)
        reach.follow(_joined(reach, bounds_y))
    painter.save()
    painter.translate(_LEFT, top)
    _paint_shaded(page, _TRACE)
    _paint_band(page, reach, bounds_x, bounds_y)
    _paint_usual(page, reach, subject)
    _paint_curve(page, reach, x, y, QPen(QColor(getattr(LIGHT, subject.colour)), 0.8))
    _paint_curve(page, reach, bounds_x, bounds_y, QPen(QColor(LIGHT.threshold), 0.8, Qt.PenStyle.DashLine))
    _paint_beyond(page, reach, x, y, getattr(LIGHT, subject.colour))
    _paint_value_axis(page, reach, subject)
    painter.restore()


def _joined(reach: Reach, values: Array) -> tuple[float, float] | None:
    known = values[np.isfinite(values)]
    if not known.size:
        return None
    ends = [float(known.min()), float(known.max())]
    return min([reach.low, *ends]), max([reach.high, *ends])


def _paint_shaded(page: _Page, height: float) -> None:
    """Light, vetoes and gaps behind the curves; a mark without length is a line."""
    painter = page.painter
    colours = {BLOCKS[1]: LIGHT.line, "paused": LIGHT.warn, "gap": LIGHT.gap, "veto": LIGHT.veto, "light": LIGHT.light}
    painter.setPen(Qt.PenStyle.NoPen)
    for kind in _SHADED:
        painter.setBrush(tint(colours[kind], 0.35))
        for mark in page.look.shades.get(kind, ()):
            painter.drawRect(QRectF(mark.left, 0, max(0.5, mark.right - mark.left), height))


def _paint_names(page: _Page) -> None:
    """What the shaded stretches are, above the first plot where there is room."""
    painter = page.painter
    painter.save()
    painter.translate(_LEFT, _TOP - 11)
    painter.setFont(_font(8))
    for kind in ("gap", "veto", "paused"):
        paint_labels(painter, LIGHT, page.look.shades.get(kind, ()), QRectF(0, 0, page.width, 10))
    painter.restore()


def _paint_band(page: _Page, reach: Reach, x: Array, y: Array) -> None:
    release = release_at(page.watch.header, page.watch.marks, x)
    known = np.isfinite(y) & np.isfinite(release)
    if not known.any():
        return
    across = _across(page, x[known])
    upper = list(zip(across, _down(reach, y[known]), strict=True))
    lower = list(zip(across, _down(reach, release[known]), strict=True))
    page.painter.setPen(Qt.PenStyle.NoPen)
    page.painter.setBrush(tint(LIGHT.threshold, 0.18))
    page.painter.drawPolygon(QPolygonF([QPointF(*at) for at in (*upper, *reversed(lower))]))


def _paint_usual(page: _Page, reach: Reach, subject: Subject) -> None:
    """What the trace is compared with."""
    if subject.usual is not None:
        page.painter.setPen(QPen(QColor(LIGHT.threshold), 0.8, Qt.PenStyle.DashLine))
        y = _down(reach, np.array([subject.usual]))[0]
        page.painter.drawLine(QPointF(0, y), QPointF(page.width, y))


def _paint_curve(page: _Page, reach: Reach, x: Array, y: Array, pen: QPen) -> None:
    page.painter.setPen(pen)
    page.painter.setBrush(Qt.BrushStyle.NoBrush)
    for piece in _pieces(np.isfinite(y)):
        points = zip(_across(page, x[piece]), _down(reach, y[piece]), strict=True)
        page.painter.drawPolyline(QPolygonF([QPointF(*at) for at in points]))


def _paint_beyond(page: _Page, reach: Reach, x: Array, y: Array, colour: str) -> None:
    """Arrows where the curve goes on beyond its axis."""
    paint_triangles(page.painter, colour, _across(page, x[y > reach.high]), -7.0, up=True)
    paint_triangles(page.painter, colour, _across(page, x[y < reach.low]), _TRACE + 7.0, up=False)


def _pieces(known: Any) -> Iterator[slice]:
    """Stretches of what is known."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], known, [False])).astype(np.int8)))
    for start, stop in edges.reshape(-1, 2).tolist():
        yield slice(start, stop)


def _across(page: _Page, times_s: Array) -> list[float]:
    look = page.look
    within: Array = np.clip((times_s - look.since_s) / (look.until_s - look.since_s), 0.0, 1.0) * page.width
    return [float(x) for x in within]


def _down(reach: Reach, values: Array) -> list[float]:
    within: Array = np.clip((reach.high - values) / (reach.high - reach.low), 0.0, 1.0) * _TRACE
    return [float(y) for y in within]


def _paint_value_axis(page: _Page, reach: Reach, subject: Subject) -> None:
    painter = page.painter
    painter.setPen(QPen(QColor("black"), 0.8))
    painter.drawLine(QPointF(0, 0), QPointF(0, _TRACE))
    step = step_of(reach.high - reach.low, 4)
    for value in ticks(reach.low, reach.high, step):
        y = _down(reach, np.array([value]))[0]
        painter.drawLine(QPointF(-4, y), QPointF(0, y))
        _write(painter, QRectF(-46, y - 7, 40, 14), f"{value + 0.0:.{decimals_of(step)}f}", Qt.AlignmentFlag.AlignRight)
    painter.save()
    painter.translate(-62, _TRACE / 2)
    painter.rotate(-90)
    title = subject.title.split(" (", maxsplit=1)[0]
    _write(painter, QRectF(-60, -14, 120, 13), title, Qt.AlignmentFlag.AlignHCenter)
    if subject.unit:
        _write(painter, QRectF(-60, -1, 120, 13), f"({subject.unit})", Qt.AlignmentFlag.AlignHCenter)
    painter.restore()


def _paint_lanes(page: _Page, top: float) -> float:
    """Light and inputs; returns where the time axis goes."""
    painter, shades = page.painter, page.look.shades
    for lane, name in _lanes(page.watch).items():
        kinds = [kind for kind in shades if lane_of(kind) == lane and kind not in BLOCKS]
        _write(painter, QRectF(0, top + 1, _LEFT - 6, _LANE - 2), name, Qt.AlignmentFlag.AlignRight)
        painter.save()
        painter.translate(_LEFT, top)
        for kind in kinds:
            paint_lane(painter, LIGHT, look_of(kind), shades.get(kind, ()), QRectF(0, 0, page.width, _LANE))
        if lane == "block":
            painter.setFont(_font(9))
            paint_blocks(painter, LIGHT, shades, QRectF(0, 0, page.width, _LANE))
        painter.restore()
        top += _LANE
    return top


def _paint_time(page: _Page, top: float) -> None:
    painter, look = page.painter, page.look
    painter.setPen(QPen(QColor("black"), 0.8))
    painter.drawLine(QPointF(_LEFT, top + 3), QPointF(_LEFT + page.width, top + 3))
    step_s = time_step_s(look.until_s - look.since_s, 8)
    for time_s in ticks(look.since_s, look.until_s, step_s):
        x = _LEFT + _across(page, np.array([time_s]))[0]
        painter.drawLine(QPointF(x, top + 3), QPointF(x, top + 7))
        _write(
            painter, QRectF(x - 40, top + 8, 80, 14), clock(time_s, decimals_of(step_s)), Qt.AlignmentFlag.AlignHCenter
        )
    title = "time since the first reading (min:s)"
    _write(painter, QRectF(_LEFT, top + 24, page.width, 14), title, Qt.AlignmentFlag.AlignHCenter)


def _write(painter: QPainter, room: QRectF, words: str, align: Qt.AlignmentFlag, size: int = 10) -> None:
    painter.setFont(_font(size))
    pen = painter.pen()
    painter.setPen(QPen(QColor("black")))
    painter.drawText(room, align | Qt.AlignmentFlag.AlignVCenter | Qt.TextFlag.TextDontClip, words)
    painter.setPen(pen)


def _font(size: int) -> QFont:
    font = QFont("Arial")
    font.setStyleHint(QFont.StyleHint.SansSerif)
    font.setPixelSize(size)
    return font


def _within(shades: Shades, width: float) -> Shades:
    """Nothing beyond the plot: a drawing has no clipping."""
    return {
        kind: [Shade(max(0.0, m.left), min(width, m.right), m.label) for m in marks if m.right >= 0 and m.left <= width]
        for kind, marks in shades.items()
    }
