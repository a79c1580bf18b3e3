"""The scores of the last minutes as bars, with both thresholds. It counts nothing, and a click here applies nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from PyQt6.QtCore import QRectF, Qt, pyqtSignal
from PyQt6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen
from PyQt6.QtWidgets import QSizePolicy, QWidget

from closedloop.dashboard import style
from closedloop.dashboard.inputs.bounds import Bounds
from closedloop.dashboard.theme import Theme

MARGIN_PX = 8.0
AXIS_PX = 18.0


class ScoreChart(QWidget):
    """How often each score was there, in a logarithmic scale; where the mouse is, a threshold is tried.

    Attributes:
        hovered: emitted with the score under the mouse.
        clicked: likewise, when it is pressed.
    """

    hovered = pyqtSignal(float)
    clicked = pyqtSignal(float)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.theme = theme
        self.setMouseTracking(True)
        self.setMinimumHeight(104)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip("Scores of the last minutes. Move to try a threshold, click to put it into the field")
        self.setAccessibleName("Scores of the last minutes")
        self._counts: Sequence[int] = ()
        self._low, self._high = 0.0, 1.0
        self._lines: tuple[Bounds | None, Bounds | None] = (None, None)

    def show_scores(self, scores: dict[str, Any] | None, cursor: Bounds | None, in_force: Bounds | None) -> None:
        """New bars, and lines at both thresholds."""
        if scores:
            self._counts, self._low, self._high = scores["counts"], scores["low"], scores["high"]
        self._lines = (cursor, in_force)
        self.update()

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Try what is under the mouse."""
        if event is not None and self._counts:
            self.hovered.emit(self._score_at(event.position().x()))

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Choose it."""
        if event is not None and self._counts:
            self.clicked.emit(self._score_at(event.position().x()))

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Bars, lines, an axis with its name."""
        with QPainter(self) as painter:
            box = self._box()
            painter.fillRect(self.rect(), QColor(self.theme.panel))
            painter.setFont(style.words_font(self.theme, self.theme.font_px - 2))
            if self._counts:
                self._paint_bars(painter, box)
                self._paint_axis(painter, box)
                self._paint_lines(painter, box)
            else:
                painter.setPen(QColor(self.theme.dim))
                painter.drawText(box, Qt.AlignmentFlag.AlignCenter, "no scores yet: they come after warm-up")

    def _box(self) -> QRectF:
        return QRectF(self.rect()).adjusted(MARGIN_PX, AXIS_PX, -MARGIN_PX, -AXIS_PX)

    def _score_at(self, x: float) -> float:
        box = self._box()
        part = (x - box.left()) / max(1.0, box.width())
        score = self._low + min(1.0, max(0.0, part)) * (self._shown_high - self._low)
        return round(score, 1)

    @property
    def _shown_high(self) -> float:
        """The thresholds are always in the picture."""
        thresholds = [setting.threshold for setting in self._lines if setting is not None]
        return max(self._high, *thresholds, self._low + 1e-9) if thresholds else max(self._high, self._low + 1e-9)

    def _x(self, box: QRectF, score: float) -> float:
        part = (score - self._low) / (self._shown_high - self._low)
        return box.left() + min(1.0, max(0.0, part)) * box.width()

    def _paint_bars(self, painter: QPainter, box: QRectF) -> None:
        most = math.log1p(max(self._counts)) or 1.0
        step = (self._high - self._low) / len(self._counts)
        for at, count in enumerate(self._counts):
            left, right = self._x(box, self._low + at * step), self._x(box, self._low + (at + 1) * step)
            height = box.height() * math.log1p(count) / most
            bar = QRectF(left, box.bottom() - height, max(1.0, right - left - 0.5), height)
            painter.fillRect(bar, QColor(self.theme.score))

    def _paint_axis(self, painter: QPainter, box: QRectF) -> None:
        painter.setPen(QColor(self.theme.dim))
        below = QRectF(box.left(), box.bottom() + 1, box.width(), AXIS_PX)
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft, f"{self._low:.3g}")
        painter.drawText(below, Qt.AlignmentFlag.AlignRight, f"{self._shown_high:.3g}")
        painter.drawText(below, Qt.AlignmentFlag.AlignHCenter, "score; bars: readings, log scale")

    def _paint_lines(self, painter: QPainter, box: QRectF) -> None:
        """The one in force is solid, the one tried is dashed; both say their number."""
        cursor, in_force = self._lines
        tried = cursor is not None and cursor != in_force
        lower = tried and in_force is not None and cursor is not None and cursor.threshold < in_force.threshold
        if in_force is not None:
            self._paint_line(painter, box, in_force.threshold, "now", left=tried and not lower)
        if tried and cursor is not None:
            self._paint_line(painter, box, cursor.threshold, "try", left=lower)

    def _paint_line(self, painter: QPainter, box: QRectF, score: float, name: str, *, left: bool) -> None:
        """Its number stands on the side away from the other line."""
        x = self._x(box, score)
        colour = QColor(self.theme.threshold if name == "try" else self.theme.text)
        painter.setPen(QPen(colour, 1, Qt.PenStyle.DashLine if name == "try" else Qt.PenStyle.SolidLine))
        painter.drawLine(round(x), round(box.top()), round(x), round(box.bottom()))
        words = f"{name} {score:.4g}"
        width = painter.fontMetrics().horizontalAdvance(words) + 4.0
        begin = min(max(box.left(), x - width if left else x + 3), box.right() - width)
        painter.drawText(QRectF(begin, 1, width, AXIS_PX), Qt.AlignmentFlag.AlignLeft, words)
