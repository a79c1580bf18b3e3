"""How marks of a session look: light, trains withheld or refused, vetoes, gaps, inputs. Painted, never decided, here.

Every kind has a shape of its own, so that no colour has to be told from another:

    light      filled             veto   hatched            detection   triangle, pointing down
    withheld   outline, hatched   gap    dense dots      refused     cross
    trip       thick line         input  filled, lower   note        flag
    planned    outline, crossed   (of a blinded session: in every arm alike)
    paused     upright lines      block  every other one on a lighter ground, its name in its lane
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, zip_longest
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import QBrush, QColor, QFontMetricsF, QImage, QPainter, QPen, QPolygonF

from closedloop.dashboard.theme import Theme
from closedloop.recording.blinding import NAMES

_PLAIN = ("light", "refused", "veto", "paused", "gap", "detection", "trip", "note")
_MOST_LABELS = 60
_LABEL_ROOM_PX = 6.0
_SIDE_PX = 8.0
_PLANNED = NAMES  # marks of these kinds are in blinded sessions alone
BLOCKS = ("block:even", "block:odd")  # every other one is shaded, so that each is seen
_BACKGROUND = ("block", "paused", "gap", "veto", "withheld", "planned", "light")  # the last one on top
_BEHIND = {
    "block": ("line", 0.45),
    "paused": ("warn", 0.16),
    "gap": ("gap", 0.5),
    "veto": ("veto", 0.3),
    "withheld": ("withheld", 0.3),
    "planned": ("light", 0.18),
    "light": ("light", 0.32),
}
_SIGN_PX = 5.0
_WIDE_PX = 10.0
_MOST_WIDE = 40
_MANY = 150  # marks, beyond which each is a pixel wide
_NO_PEN = QPen(Qt.PenStyle.NoPen)
_NAMED = ("gap", "veto", "paused")


class Shade(NamedTuple):
    """A mark in pixels of the plot.

    Attributes:
        left, right: where; the same for a moment.
        label: words, if there is room.
    """

    left: float
    right: float
    label: str


Shades = Mapping[str, Sequence[Shade]]


def look_of(kind: str) -> str:
    """As what a kind of mark is drawn; a decision whose name is not known here gave no light by design."""
    if kind.startswith("input:"):
        return "input"
    if kind in BLOCKS:
        return "block"
    if kind in _PLANNED:
        return "planned"
    return kind if kind in _PLAIN else "withheld"


def lane_of(kind: str) -> str:
    """The lane it stands in: what gave no light stands below what did."""
    return {"refused": "withheld", "planned": "light", "input": kind}.get(look_of(kind), look_of(kind))


def tint(colour: str, opacity: float) -> QColor:
    """A colour one can see through."""
    made = QColor(colour)
    made.setAlphaF(opacity)
    return made


def mixed(ground: str, colour: str, part: float) -> QColor:
    """How a colour of this opacity looks on a ground, without being seen through."""
    below, above = QColor(ground), QColor(colour)
    shares = zip(below.getRgb()[:3], above.getRgb()[:3], strict=True)
    return QColor(*(round((1 - part) * (low or 0) + part * (high or 0)) for low, high in shares))


def brush_of(theme: Theme, look: str) -> QBrush:
    """The filling of a kind of mark."""
    if look == "veto":
        return QBrush(tint(theme.veto, 0.7), Qt.BrushStyle.BDiagPattern)
    if look == "paused":
        return QBrush(tint(theme.warn, 0.5), Qt.BrushStyle.VerPattern)
    if look == "planned":
        return QBrush(tint(theme.light, 0.8), Qt.BrushStyle.DiagCrossPattern)
    if look == "gap":
        return QBrush(tint(theme.gap, 1.0), Qt.BrushStyle.Dense4Pattern)
    if look == "withheld":
        return QBrush(tint(theme.withheld, 0.9), Qt.BrushStyle.FDiagPattern)
    return QBrush(QColor(theme.light if look == "light" else theme.text))


def strip_of(theme: Theme, shades: Shades, width: float) -> QImage:
    """What lies behind all curves of a picture as a single row of pixels, made once and drawn in every plot.

    It has no transparency: what is seen through costs ten times as much to draw.
    """
    columns = max(1, math.ceil(width))
    row = np.full(columns, mixed(theme.panel, theme.panel, 1.0).rgb(), np.uint32)
    for look in _BACKGROUND:
        colour, part = _BEHIND[look]
        for kind in shades:
            if look_of(kind) == look and shades[kind] and kind != BLOCKS[0]:
                row[_covered(shades[kind], columns)] = mixed(theme.panel, getattr(theme, colour), part).rgb()
    return QImage(row.tobytes(), columns, 1, 4 * columns, QImage.Format.Format_RGB32).copy()


def paint_background(
    painter: QPainter, theme: Theme, strip: QImage, shades: Shades, rect: QRectF, labels: bool = False
) -> None:
    """What lies behind the curves: times without readings, not fit to act on, lit. Wide ones have their pattern."""
    painter.drawImage(rect, strip)
    for kind in shades:
        look = look_of(kind)
        if look == "block":
            _paint_lines(painter, QPen(QColor(theme.dim), 1), shades[kind], rect.height())
        elif look in _BACKGROUND and look != "light":
            wide = [mark for mark in shades[kind] if mark.right - mark.left > _WIDE_PX][:_MOST_WIDE]
            _paint_blocks(painter, brush_of(theme, look), _edge(theme, look), wide, 0.0, rect.height())
        if look == "trip":
            _paint_lines(painter, QPen(QColor(theme.danger), 3), shades[kind], rect.height())
        if labels and look in _NAMED:
            paint_labels(painter, theme, shades[kind], QRectF(0, rect.height() - 17, rect.width(), 15))
        if labels and look == "trip":
            paint_labels_beside(painter, theme, shades[kind], QRectF(0, rect.height() - 38, rect.width(), 19))


def _covered(marks: Sequence[Shade], columns: int) -> npt.NDArray[np.bool_]:
    """Which columns of pixels have a mark; none is thinner than one."""
    ends = np.array([(mark.left, mark.right) for mark in marks])
    first = np.clip(np.floor(ends[:, 0]), 0, columns).astype(np.int64)
    last = np.clip(np.rint(ends[:, 1]), 0, columns).astype(np.int64)
    change = np.bincount(first, minlength=columns + 2) - np.bincount(
        np.minimum(np.maximum(last, first + 1), columns + 1), minlength=columns + 2
    )
    covered: npt.NDArray[np.bool_] = np.cumsum(change)[:columns] > 0
    return covered


def paint_lane(painter: QPainter, theme: Theme, look: str, marks: Sequence[Shade], row: QRectF) -> None:
    """One kind of mark in a row of its own; `row` gives top and height."""
    if look == "refused":
        _paint_crosses(painter, theme, marks, row)
        return
    if look == "note":
        _paint_flags(painter, theme, marks, row)
        return
    inset = 0.2 if look == "input" else 0.1
    top, height = row.top() + inset * row.height(), (1 - 2 * inset) * row.height()
    brush = brush_of(theme, look)
    if brush.style() != Qt.BrushStyle.SolidPattern:
        ground = QBrush(mixed(theme.panel, brush.color().name(), 0.35))
        _paint_blocks(painter, ground, _NO_PEN, marks, top, height)
        marks = marks if len(marks) <= _MOST_WIDE else ()
    _paint_blocks(painter, brush, _edge(theme, look), marks, top, height)


def paint_blocks(painter: QPainter, theme: Theme, shades: Shades, row: QRectF) -> None:
    """The blocks of a protocol in a row of their own, each with its name as far as there is room for it."""
    metrics = QFontMetricsF(painter.font())
    for kind, part in zip(BLOCKS, (0.0, 0.45), strict=True):
        for mark in shades.get(kind, ()):
            left, right = max(0.0, mark.left), min(row.right(), mark.right)
            room = QRectF(left, row.top() + 1, max(1.0, right - left), row.height() - 1)
            painter.fillRect(room, mixed(theme.panel, theme.line, part))
            painter.setPen(QPen(QColor(theme.dim)))
            if mark.left >= 0:
                painter.drawLine(QPointF(left, row.top()), QPointF(left, row.bottom()))
            said = metrics.elidedText(mark.label, Qt.TextElideMode.ElideRight, room.width() - 8)
            painter.setPen(QPen(QColor(theme.text)))
            painter.drawText(room.adjusted(4, 0, -4, 0), Qt.AlignmentFlag.AlignVCenter, said if len(said) > 1 else "")


def paint_triangles(painter: QPainter, colour: str, at: Iterable[float], tip: float, up: bool) -> None:
    """A small triangle at each x, its tip at the height `tip`; of those that would cover each other, one."""
    painter.setPen(_NO_PEN)
    painter.setBrush(QBrush(QColor(colour)))
    back = 8.0 if up else -8.0
    for x in _apart(at):
        painter.drawPolygon(QPolygonF([QPointF(x, tip), QPointF(x - 4.5, tip + back), QPointF(x + 4.5, tip + back)]))


def _apart(at: Iterable[float]) -> list[float]:
    """One place in every few pixels."""
    return list({int(x // _SIGN_PX): x for x in at}.values())


def paint_labels(painter: QPainter, theme: Theme, marks: Sequence[Shade], row: QRectF) -> None:
    """The words of those marks that are wide enough for them."""
    metrics = QFontMetricsF(painter.font())
    wide = (mark for mark in marks if mark.label and mark.right - max(0.0, mark.left) > _LABEL_ROOM_PX)
    for mark in islice(wide, _MOST_LABELS):
        left, width = max(0.0, mark.left), metrics.horizontalAdvance(mark.label)
        if width + _LABEL_ROOM_PX <= mark.right - left:
            _paint_label(painter, theme, QRectF(left + 3, row.top(), width + 4, row.height()), mark.label)


def paint_labels_beside(painter: QPainter, theme: Theme, marks: Sequence[Shade], row: QRectF) -> None:
    """The words of marks in a lane: after each where there is room before the next, or else before it."""
    if len(marks) > _MANY:
        return
    metrics = QFontMetricsF(painter.font())
    free = 0.0  # from here on nothing is written
    for mark, following in zip_longest(marks, marks[1:]):
        width = metrics.horizontalAdvance(mark.label) + 4
        after, before = mark.right + _SIDE_PX, mark.left - _SIDE_PX - width
        if mark.label and after + width <= (following.left - _SIDE_PX if following else row.width()):
            _paint_label(painter, theme, QRectF(after, row.top() + 2, width, row.height() - 4), mark.label)
            free = after + width
        elif mark.label and free <= before:
            _paint_label(painter, theme, QRectF(before, row.top() + 2, width, row.height() - 4), mark.label)
        free = max(free, mark.right + _SIDE_PX)


def _paint_label(painter: QPainter, theme: Theme, room: QRectF, words: str) -> None:
    painter.fillRect(room, tint(theme.panel, 0.8))
    painter.setPen(QPen(QColor(theme.text)))
    painter.drawText(room, Qt.AlignmentFlag.AlignCenter, words)


def _edge(theme: Theme, look: str) -> QPen:
    colours = {
        "withheld": theme.withheld,
        "veto": theme.veto,
        "gap": theme.gap,
        "paused": theme.warn,
        "planned": theme.light,
    }
    return QPen(QColor(colours[look])) if look in colours else _NO_PEN


def _paint_blocks(
    painter: QPainter, brush: QBrush, pen: QPen, marks: Sequence[Shade], top: float, height: float
) -> None:
    """All blocks of one filling in one call, on whole pixels: between them, many thin ones make false patterns."""
    if not marks:
        return
    painter.setPen(pen)
    painter.setBrush(brush)
    least = 1 if len(marks) > _MANY else 2
    snapped = [(math.floor(mark.left), round(mark.right)) for mark in marks]
    painter.drawRects(*[QRectF(left, top, max(least, right - left), height) for left, right in snapped])


def _paint_lines(painter: QPainter, pen: QPen, marks: Sequence[Shade], height: float) -> None:
    painter.setPen(pen)
    for mark in marks:
        painter.drawLine(QPointF(mark.left, 0), QPointF(mark.left, height))


def _paint_crosses(painter: QPainter, theme: Theme, marks: Sequence[Shade], row: QRectF) -> None:
    painter.setPen(QPen(QColor(theme.refused), 2))
    size = min(5.0, 0.32 * row.height())
    middle = row.center().y()
    for x in _apart(mark.left for mark in marks):
        painter.drawLine(QPointF(x - size, middle - size), QPointF(x + size, middle + size))
        painter.drawLine(QPointF(x - size, middle + size), QPointF(x + size, middle - size))


def _paint_flags(painter: QPainter, theme: Theme, marks: Sequence[Shade], row: QRectF) -> None:
    painter.setPen(QPen(QColor(theme.text)))
    painter.setBrush(QBrush(QColor(theme.dim)))
    top, bottom = row.top() + 3, row.bottom() - 2
    for mark in marks:
        painter.drawLine(QPointF(mark.left, top), QPointF(mark.left, bottom))
        flag = [QPointF(mark.left, top), QPointF(mark.left + 6, top + 3.5), QPointF(mark.left, top + 7)]
        painter.drawPolygon(QPolygonF(flag))
