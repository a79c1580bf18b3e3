"""Buttons that lead to light only when pressed twice, on purpose. They give no order; a double press is one press."""

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

    Args:
        words: what it says until it is offered something else.
        question: what it says after the first press.

    Attributes:
        confirmed: emitted at the second press.
    """

    confirmed = pyqtSignal()

    def __init__(
        self, words: str = "Arm", question: str = "CONFIRM: arm the light", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setMinimumHeight(style.GLOVE_PX)
        self._words, self._question = words, question
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
    def _doubt(self) -> str:
        """While a second press would not count."""
        return f"{self._words.partition(' ')[0]}? …"

    @property
    def _is_past_bounce(self) -> bool:
        return self._left_ms <= (CONFIRM_S - BOUNCE_S) * 1000

    def _show(self) -> None:
        tone = "warn" if self.is_asking else ""
        asks = f"{self._question} ({math.ceil(self._left_ms / 1000)} s)" if self._is_past_bounce else self._doubt
        words = asks if self.is_asking else self._words
        if self.text() != words:
            self.setText(words)
        if self.property("tone") != tone:
            set_tone(self, tone)


class PauseButton(ArmButton):
    """Pause at one press, for that is dark; Resume at two, for that arms again what was armed.

    Attributes:
        pause_asked: emitted at a press while nothing is paused.
    """

    pause_asked = pyqtSignal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Pause", "Resume?", parent)
        self._is_paused = False

    @property
    def is_paused(self) -> bool:
        """Whether it offers to resume."""
        return self._is_paused

    def offer_pause(self, *, paused: bool, may: bool) -> None:
        """Whether the session is paused, as it has been recorded, and whether anything may be asked of it."""
        if paused != self._is_paused:
            self.cancel()
        self._is_paused = paused
        self.offer("Resume" if paused else "Pause", may=may)

    def _pressed(self) -> None:
        if self._is_paused:
            super()._pressed()
        else:
            self.pause_asked.emit()
