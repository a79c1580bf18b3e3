"""One line above the plots: what each kind of mark means, and what is under the mouse. It decides nothing."""

from __future__ import annotations

from PyQt6.QtCore import QRectF, Qt, QTimer
from PyQt6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PyQt6.QtWidgets import QWidget

from closedloop.dashboard.plots.rows import AXIS_PX, font_of
from closedloop.dashboard.plots.shades import Shade, look_of, paint_lane, paint_triangles
from closedloop.dashboard.theme import Theme

_HEIGHT_PX = 24
_SWATCH_PX = 22
_SAID_MS = 8000
_ORDER = ("light", "planned", "withheld", "refused", "detection", "veto", "paused", "gap", "trip")
_WORDS = {"light": "light", "decided": "planned train", "veto": "signal veto", "gap": "gap", "trip": "trip"}


class PlotKey(QWidget):
    """Shapes and their names, for the kinds that this session has; light always."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._kinds: tuple[str, ...] = ("light",)
        self._words = ""
        self._said = ""
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.hush)  # no lambda: it would outlive the widget
        self.setFixedHeight(_HEIGHT_PX)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self._theme = theme
        self.update()

    def show_kinds(self, kinds: tuple[str, ...], always: tuple[str, ...] = ("light",)) -> None:
        """The kinds of mark that there are, and those that are named in any case."""
        shown = {*always, *(kind for kind in kinds if look_of(kind) in _ORDER)}
        ordered = tuple(sorted(shown, key=lambda kind: (_ORDER.index(look_of(kind)), kind)))
        if ordered != self._kinds:
            self._kinds = ordered
            self.update()

    def show_words(self, words: str) -> None:
        """What is under the mouse."""
        if words != self._words:
            self._words = words
            self.update()

    def say(self, words: str) -> None:
        """News, for some seconds."""
        self._said = words
        self._timer.start(_SAID_MS) if words else self._timer.stop()
        self.update()

    def hush(self) -> None:
        """No news."""
        self.say("")

    def paintEvent(self, a0: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Called by Qt."""
        del a0
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(self._theme.ground))
        painter.setFont(font_of(self._theme))
        left = float(AXIS_PX)
        for kind in self._kinds:
            left = self._paint_kind(painter, kind, left)
        self._paint_words(painter, self._said or self._words)
        painter.end()

    def _paint_words(self, painter: QPainter, words: str) -> None:
        """At the right end, over the key where there is no room beside it."""
        if not words:
            return
        most_px = self.width() - AXIS_PX - 10
        elided = painter.fontMetrics().elidedText(words, Qt.TextElideMode.ElideMiddle, most_px)
        width = painter.fontMetrics().horizontalAdvance(elided) + 12
        room = QRectF(self.width() - width - 8, 0, width, _HEIGHT_PX)
        painter.fillRect(room, QColor(self._theme.ground))
        painter.setPen(QPen(QColor(self._theme.text)))
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, elided)

    def _paint_kind(self, painter: QPainter, kind: str, left: float) -> float:
        """A shape and its name; returns where the next one stands."""
        look = look_of(kind)
        painter.save()
        painter.translate(left, 5)
        _paint_swatch(painter, self._theme, look)
        painter.restore()
        words = _WORDS.get(kind, kind.replace("_", " "))
        width = painter.fontMetrics().horizontalAdvance(words)
        painter.setPen(QPen(QColor(self._theme.dim)))
        at = QRectF(left + _SWATCH_PX + 6, 0, width + 2, _HEIGHT_PX)
        painter.drawText(at, Qt.AlignmentFlag.AlignVCenter, words)
        return at.right() + 14


def _paint_swatch(painter: QPainter, theme: Theme, look: str) -> None:
    size = QRectF(0, 0, _SWATCH_PX, 14)
    if look == "detection":
        paint_triangles(painter, theme.text, [11.0], 12.0, up=False)
    elif look == "refused":
        paint_lane(painter, theme, look, [Shade(11.0, 11.0, "")], size)
    elif look == "trip":
        painter.fillRect(QRectF(9.5, 0, 3, 14), QColor(theme.danger))
    else:
        paint_lane(painter, theme, look, [Shade(0.0, size.width(), "")], size)
