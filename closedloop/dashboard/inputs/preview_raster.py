"""The times at which trains would have begun, tried and in force, one above the other. It finds no train itself."""

from __future__ import annotations

from PyQt6.QtCore import QRectF, Qt
from PyQt6.QtGui import QColor, QPainter, QPaintEvent
from PyQt6.QtWidgets import QSizePolicy, QWidget

from closedloop.dashboard import style
from closedloop.dashboard.inputs.preview_chart import AXIS_PX, MARGIN_PX
from closedloop.dashboard.inputs.preview_process import Answer
from closedloop.dashboard.theme import Theme


class Raster(QWidget):
    """When trains would have begun: one row for what is tried, one for what is in force."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.theme = theme
        self.setMinimumHeight(74)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("When trains would have begun")
        self._rows: list[tuple[str, str, Answer]] = []

    def show_times(self, there: Answer | None, now: Answer | None) -> None:
        """New rows; an answer that is a problem has no times."""
        rows = (("try", "threshold", there), ("now", "text", now))
        self._rows = [(name, colour, answer) for name, colour, answer in rows if answer and "fires" in answer]
        self.update()

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Ticks, and an axis with its unit."""
        with QPainter(self) as painter:
            painter.fillRect(self.rect(), QColor(self.theme.panel))
            painter.setFont(style.words_font(self.theme, self.theme.font_px - 2))
            box = QRectF(self.rect()).adjusted(34, 4, -MARGIN_PX, -AXIS_PX - 2)
            for at, (name, colour, answer) in enumerate(self._rows):
                height = box.height() / 2
                row = QRectF(box.left(), box.top() + at * height, box.width(), height - 4)
                self._paint_row(painter, row, name, QColor(getattr(self.theme, colour)), answer)
            if self._rows:
                self._paint_axis(painter, box, self._rows[0][2])

    def _paint_row(self, painter: QPainter, row: QRectF, name: str, colour: QColor, answer: Answer) -> None:
        painter.setPen(colour)
        label = QRectF(4, row.top(), 30, row.height())
        painter.drawText(label, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, name)
        since_s, span_s = answer["since_s"], max(1e-9, answer["until_s"] - answer["since_s"])
        times = answer["detections"] if answer["decision"] == "on_board" else answer["fires"]
        for at_s in times:
            x = round(row.left() + (at_s - since_s) / span_s * row.width())
            painter.drawLine(x, round(row.top()), x, round(row.bottom()))

    def _paint_axis(self, painter: QPainter, box: QRectF, answer: Answer) -> None:
        painter.setPen(QColor(self.theme.dim))
        below = QRectF(box.left(), box.bottom() + 2, box.width(), AXIS_PX)
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft, f"{answer['since_s']:.0f} s")
        painter.drawText(below, Qt.AlignmentFlag.AlignHCenter, "time in the session")
        painter.drawText(below, Qt.AlignmentFlag.AlignRight, f"{answer['until_s']:.0f} s")
