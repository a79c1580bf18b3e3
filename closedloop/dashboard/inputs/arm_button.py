"""A button that arms only when pressed twice, on purpose. It gives no order itself, and a double press is one press."""

from __future__ import annotations

import math

from PyQt6.QtCore import Qt, QTimer, pyqtSignal
from PyQt6.QtGui import QKeyEvent
from PyQt6.QtWidgets import QPushButton, QWidget

from closedloop.dashboard import style
from closedloop.dashboard.inputs.tone import set_tone

CONFIRM_S = 5.0
BOUNCE_S = 0.4  # a glove's double press is one press
TICK_MS = 100
_ENTER = (Qt.Key.Key_Return, Qt.Key.Key_Enter)


class ArmButton(QPushButton):
    """Two presses, some time apart, make an order; Enter is a press too, Escape takes the first one back.

    Attributes:
        confirmed: emitted at the second press.
    """

    confirmed = pyqtSignal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMinimumHeight(style.GLOVE_PX)
        self._words = "Arm"
        self._left_ms = 0
        self._timer = QTimer(self)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self.count_down)
        self.clicked.connect(self._pressed)

    @property
    def is_asking(self) -> bool:
        """Whether it was pressed once and waits for the second time."""
        return self._left_ms > 0

    def offer(self, words: str, *, may: bool) -> None:
        """What it says when it is not asking, and whether it may be pressed at all."""
        self._words = words
        if not may:
            self._left_ms = 0
            self._timer.stop()
        if self.isEnabled() != may:
            self.setEnabled(may)
        self._show()

    def cancel(self) -> None:
        """As if it had not been pressed."""
        self._left_ms = 0
        self._timer.stop()
        self._show()

    def count_down(self) -> None:
        """A tenth of a second has gone by."""
        self._left_ms = max(0, self._left_ms - TICK_MS)
        if not self._left_ms:
            self._timer.stop()
        self._show()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """Enter presses; Escape takes back."""
        if event is None or event.isAutoRepeat():
            return
        if event.key() in _ENTER:
            self.click()
        elif event.key() == Qt.Key.Key_Escape and self.is_asking:
            self.cancel()
        else:
            super().keyPressEvent(event)

    def _pressed(self) -> None:
        if not self.is_asking:
            self._left_ms = round(CONFIRM_S * 1000)
            self._timer.start()
            self.setFocus()
        elif self._is_past_bounce:
            self.cancel()
            self.confirmed.emit()
        self._show()

    @property
    def _is_past_bounce(self) -> bool:
        return self._left_ms <= (CONFIRM_S - BOUNCE_S) * 1000

    def _show(self) -> None:
        tone = "warn" if self.is_asking else ""
        words = f"CONFIRM: arm the light ({math.ceil(self._left_ms / 1000)} s)" if self._is_past_bounce else "Arm? …"
        words = words if self.is_asking else self._words
        if self.text() != words:
            self.setText(words)
        if self.property("tone") != tone:
            set_tone(self, tone)
