"""A widget that paints one value, and only when it has changed. It knows no session."""

from __future__ import annotations

from PyQt6.QtCore import QRectF, QSize
from PyQt6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PyQt6.QtWidgets import QSizePolicy, QWidget

from closedloop.dashboard.style import plain_tip
from closedloop.dashboard.theme import Theme


class Painted(QWidget):
    """Base of what is painted by hand."""

    def __init__(self, theme: Theme, parent: QWidget, *, least_px: int, high_px: int) -> None:
        super().__init__(parent)
        self.theme = theme
        self.least_px = least_px
        self._high_px = high_px
        self.setMinimumWidth(least_px)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def paint(self, painter: QPainter) -> None:
        """Paint the value."""
        raise NotImplementedError

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802  # Qt's name
        """Qt asks for the picture."""
        painter = QPainter(self)
        try:
            self.paint(painter)
        finally:
            painter.end()

    def sizeHint(self) -> QSize:  # noqa: N802  # Qt's name
        """As wide as need be, and as high as was said last."""
        return QSize(self.least_px, self._high_px)

    def set_high(self, px: int) -> None:
        """Ask for another height."""
        if px != self._high_px:
            self._high_px = px
            self.updateGeometry()

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self.theme = theme
        self.update()

    def say(self, words: str) -> None:
        """What is painted, in words: for the tooltip, and for those who are read to. Paints it anew."""
        self.setToolTip(plain_tip(words))
        self.setAccessibleName(words)
        self.update()

    def colour(self, name: str) -> QColor:
        """A colour of the theme."""
        return QColor(getattr(self.theme, name))

    def framed(self, painter: QPainter, edge: str = "line", ground: str = "panel", width: float = 1.0) -> QRectF:
        """Paints ground and frame; returns what is left inside."""
        painter.setPen(QPen(self.colour(edge), width))
        painter.setBrush(self.colour(ground))
        half = width / 2
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(half, half, -half, -half), 4, 4)
        return QRectF(self.rect()).adjusted(10, 5, -10, -5)
