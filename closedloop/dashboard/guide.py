"""The first start: words that lead through a session on the simulated rig. It presses nothing by itself."""

from __future__ import annotations

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

from closedloop.dashboard.theme import DARK, Theme
from closedloop.watching.status import State

_IDLE = (
    "First time here? Try a session on the simulated rig: a virtual animal, virtual boards, no hardware. "
    "Its folder is kept like any other."
)
_STEPS = {
    State.STARTING: "The session is starting: virtual boards, handshake, machine code. The first time takes longest.",
    State.WARM_UP: "Warm-up: the loop learns the signal and gives no light. READY TO ARM comes by itself.",
    State.READY: "The signal is good. Arm: press Ctrl+R, read what the button says, press Ctrl+R again.",
    State.ARMING: "The board is asked to arm. It answers within a moment.",
    State.ARMED: "Armed: light comes when the score passes the threshold. Ctrl+T: a test pulse. Esc: dark, always.",
    State.LIT: "Light is on, shaded in the plots as it was delivered. Esc would be dark at once, and end the session.",
    State.VETOED: "The signal is not fit to act on, so there is no light; the words under the state say why.",
    State.UNWIRED: "This rig has no stimulator: everything runs, and no light is given. Esc ends the session.",
}
_DONE = (
    "That was a session. Scroll back through it, click an event, save a figure; F5 begins another. F1 shows all keys."
)


class Guide(QFrame):
    """What to do next, in words.

    Attributes:
        try_asked: emitted when the simulated rig is to be opened.
        put_away: emitted when the guide is not wanted any more.
    """

    try_asked = pyqtSignal()
    put_away = pyqtSignal()

    def __init__(self, theme: Theme = DARK, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("guide")
        self._words = QLabel(_IDLE)
        self._words.setTextFormat(Qt.TextFormat.PlainText)
        self._words.setWordWrap(True)
        self._words.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.try_button = QPushButton("&Try the simulated rig")
        self.try_button.setProperty("tone", "good")
        self.try_button.clicked.connect(lambda _=False: self.try_asked.emit())
        self.away_button = QPushButton("Put away")
        self.away_button.clicked.connect(lambda _=False: self._away())
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 4, 6, 4)
        row.addWidget(self._words, 1)
        for button in (self.try_button, self.away_button):
            button.setMinimumHeight(44)
            row.addWidget(button, 0, Qt.AlignmentFlag.AlignVCenter)
        self.set_theme(theme)

    @property
    def words(self) -> str:
        """What it says."""
        return self._words.text()

    def follow(self, state: State | None) -> None:
        """Say what comes next in this state; None: there is no session."""
        self.try_button.setVisible(state is None)
        words = _IDLE if state is None else _STEPS.get(state, _DONE)
        if words != self.words:
            self._words.setText(words)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self.setStyleSheet(
            f"#guide {{ background: {theme.panel}; border: 2px solid {theme.signal}; border-radius: 4px; }}"
            f"#guide QLabel {{ color: {theme.text}; font-size: {theme.font_px + 2}px; border: none; }}"
        )

    def _away(self) -> None:
        self.hide()
        self.put_away.emit()
