"""Text painted into boxes: made smaller, wrapped or elided, never cut off without a sign. It knows no session."""

from __future__ import annotations

from PyQt6.QtCore import QRectF, Qt
from PyQt6.QtGui import QColor, QFont, QFontMetricsF, QPainter

LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
CENTRE = Qt.AlignmentFlag.AlignCenter


def ink(colour: QColor) -> QColor:
    """Black or white: which is easier to read on this colour."""
    return QColor("#0b0d0f") if _luminance(colour) > 0.179 else QColor("#ffffff")


def contrast(one: QColor, other: QColor) -> float:
    """From 1, the same, to 21, black on white (WCAG 2.2, contrast ratio)."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: QColor) -> float:
    red, green, blue = (_linear(part) for part in (colour.redF(), colour.greenF(), colour.blueF()))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4


def fitted(font: QFont, text: str, width: float, least_px: int) -> QFont:
    """The font, made smaller until the text fits the width, but not below `least_px`."""
    fitting = QFont(font)
    for px in range(font.pixelSize(), least_px - 1, -1):
        fitting.setPixelSize(px)
        if QFontMetricsF(fitting).horizontalAdvance(text) <= width:
            break
    return fitting


def wrapped(text: str, font: QFont, width: float, most: int) -> list[str]:
    """The text in at most so many lines; what does not fit the last ends in an ellipsis."""
    metrics = QFontMetricsF(font)
    lines: list[str] = []
    rest = text.split()
    while rest and len(lines) < most - 1:
        taken = _taken(rest, metrics, width)
        lines.append(metrics.elidedText(" ".join(rest[:taken]), Qt.TextElideMode.ElideRight, width))
        rest = rest[taken:]
    if rest:
        lines.append(metrics.elidedText(" ".join(rest), Qt.TextElideMode.ElideRight, width))
    return lines


def _taken(words: list[str], metrics: QFontMetricsF, width: float) -> int:
    """How many of the words fit one line: at least one."""
    taken = 1
    while taken < len(words) and metrics.horizontalAdvance(" ".join(words[: taken + 1])) <= width:
        taken += 1
    return taken


def write(
    painter: QPainter, box: QRectF, text: str, font: QFont, colour: QColor, align: Qt.AlignmentFlag = LEFT
) -> None:
    """One line of text into a box; elided if it does not fit."""
    painter.setFont(font)
    painter.setPen(colour)
    painter.drawText(box, align, QFontMetricsF(font).elidedText(text, Qt.TextElideMode.ElideRight, box.width()))
