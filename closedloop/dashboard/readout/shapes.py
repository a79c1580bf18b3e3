"""Shapes that say a state without colour and without words, drawn with a painter. They know no session."""

from __future__ import annotations

import math
from collections.abc import Callable

from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import QColor, QPainter, QPen, QPolygonF

Draw = Callable[[QPainter, QRectF, QColor], None]


def draw(painter: QPainter, shape: str, box: QRectF, colour: QColor) -> None:
    """Draw a shape into the largest square in the middle of a box; a name that is not known is a ring.

    Args:
        painter: whose pen, brush and hints are as before afterwards.
        shape: one of SHAPES.
        box: where.
        colour: of line and filling.
    """
    side = min(box.width(), box.height())
    square = QRectF(box.center().x() - side / 2, box.center().y() - side / 2, side, side)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(_line(colour, side))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    SHAPES.get(shape, _ring)(painter, _inset(square, 0.08), colour)
    painter.restore()


def _line(colour: QColor, side: float) -> QPen:
    pen = QPen(colour, max(2.0, side * 0.1))
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    return pen


def _inset(box: QRectF, part: float) -> QRectF:
    by = box.width() * part
    return box.adjusted(by, by, -by, -by)


def _at(box: QRectF, x: float, y: float) -> QPointF:
    return QPointF(box.left() + x * box.width(), box.top() + y * box.height())


def _around(box: QRectF, turns: float, radius: float) -> QPointF:
    angle = 2 * math.pi * turns
    return _at(box, 0.5 + radius * math.sin(angle), 0.5 - radius * math.cos(angle))


def _ring(painter: QPainter, box: QRectF, colour: QColor) -> None:
    painter.drawEllipse(box)


def _dots(painter: QPainter, box: QRectF, colour: QColor) -> None:
    painter.setBrush(colour)
    painter.setPen(Qt.PenStyle.NoPen)
    for x in (0.12, 0.5, 0.88):
        painter.drawEllipse(_at(box, x, 0.5), box.width() * 0.12, box.width() * 0.12)


def _clock(painter: QPainter, box: QRectF, colour: QColor) -> None:
    painter.drawEllipse(box)
    painter.drawLine(_at(box, 0.5, 0.5), _at(box, 0.5, 0.22))
    painter.drawLine(_at(box, 0.5, 0.5), _at(box, 0.7, 0.62))


def _half(painter: QPainter, box: QRectF, colour: QColor) -> None:
    painter.drawEllipse(box)
    painter.setBrush(colour)
    painter.drawChord(box, 180 * 16, 180 * 16)


def _most(painter: QPainter, box: QRectF, colour: QColor) -> None:
    painter.drawEllipse(box)
    painter.setBrush(colour)
    painter.drawPie(box, 90 * 16, -270 * 16)


def _disc(painter: QPainter, box: QRectF, colour: QColor) -> None:
    painter.setBrush(colour)
    painter.drawEllipse(box)


def _sun(painter: QPainter, box: QRectF, colour: QColor) -> None:
    painter.setBrush(colour)
    painter.drawEllipse(_at(box, 0.5, 0.5), box.width() * 0.22, box.width() * 0.22)
    for ray in range(8):
        painter.drawLine(_around(box, ray / 8, 0.38), _around(box, ray / 8, 0.52))


def _wave(painter: QPainter, box: QRectF, colour: QColor) -> None:
    """A trace, crossed out."""
    points = [(0.0, 0.6), (0.22, 0.6), (0.36, 0.2), (0.52, 0.85), (0.66, 0.6), (1.0, 0.6)]
    painter.drawPolyline(QPolygonF([_at(box, x, y) for x, y in points]))
    painter.drawLine(_at(box, 0.06, 0.98), _at(box, 0.94, 0.02))


def _triangle(painter: QPainter, box: QRectF, colour: QColor) -> None:
    """A warning triangle: filled, its mark cut out."""
    painter.setBrush(colour)
    painter.drawPolygon(QPolygonF([_at(box, 0.5, 0.06), _at(box, 1.0, 0.94), _at(box, 0.0, 0.94)]))
    ink = QColor(Qt.GlobalColor.white) if colour.lightnessF() < 0.5 else QColor(Qt.GlobalColor.black)
    painter.setPen(_line(ink, box.width()))
    painter.drawLine(_at(box, 0.5, 0.42), _at(box, 0.5, 0.64))
    painter.drawPoint(_at(box, 0.5, 0.83))


def _cross(painter: QPainter, box: QRectF, colour: QColor) -> None:
    pen = painter.pen()
    pen.setWidthF(pen.widthF() * 1.8)
    painter.setPen(pen)
    painter.drawLine(_at(box, 0.1, 0.1), _at(box, 0.9, 0.9))
    painter.drawLine(_at(box, 0.9, 0.1), _at(box, 0.1, 0.9))


def _square(painter: QPainter, box: QRectF, colour: QColor) -> None:
    painter.setBrush(colour)
    painter.drawRect(_inset(box, 0.08))


def _frame(painter: QPainter, box: QRectF, colour: QColor) -> None:
    painter.drawRect(_inset(box, 0.08))


def _tick(painter: QPainter, box: QRectF, colour: QColor) -> None:
    painter.drawRect(_inset(box, 0.02))
    painter.drawPolyline(QPolygonF([_at(box, 0.24, 0.52), _at(box, 0.44, 0.72), _at(box, 0.78, 0.28)]))


def _broken(painter: QPainter, box: QRectF, colour: QColor) -> None:
    """Two halves of a square, torn apart."""
    painter.setBrush(colour)
    tear = [(0.5, 0.0), (0.38, 0.33), (0.52, 0.66), (0.4, 1.0)]
    left = [(-0.06 + x - 0.02, y) for x, y in tear]
    right = [(0.12 + x, y) for x, y in tear]
    painter.drawPolygon(QPolygonF([_at(box, x, y) for x, y in [(0.0, 0.0), *left, (0.0, 1.0)]]))
    painter.drawPolygon(QPolygonF([_at(box, x, y) for x, y in [(1.0, 0.0), *right, (1.0, 1.0)]]))


def _question(painter: QPainter, box: QRectF, colour: QColor) -> None:
    painter.drawArc(QRectF(_at(box, 0.22, 0.0), _at(box, 0.78, 0.56)), 160 * 16, -250 * 16)
    painter.drawLine(_at(box, 0.5, 0.56), _at(box, 0.5, 0.68))
    painter.drawPoint(_at(box, 0.5, 0.94))


def _dash(painter: QPainter, box: QRectF, colour: QColor) -> None:
    painter.drawLine(_at(box, 0.1, 0.5), _at(box, 0.9, 0.5))


def _pause(painter: QPainter, box: QRectF, colour: QColor) -> None:
    """Two upright bars."""
    painter.setBrush(colour)
    for x in (0.14, 0.62):
        painter.drawRect(QRectF(_at(box, x, 0.08), _at(box, x + 0.24, 0.92)))


SHAPES: dict[str, Draw] = {
    "ring": _ring,
    "dots": _dots,
    "clock": _clock,
    "half": _half,
    "most": _most,
    "disc": _disc,
    "sun": _sun,
    "wave": _wave,
    "triangle": _triangle,
    "cross": _cross,
    "square": _square,
    "frame": _frame,
    "tick": _tick,
    "broken": _broken,
    "question": _question,
    "dash": _dash,
    "pause": _pause,
}
