"""One quiet bar for everything that went wrong, in words. It never takes the keyboard or hides a state."""

from __future__ import annotations

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

from closedloop.dashboard.style import plain_tip
from closedloop.dashboard.theme import DARK, Theme

_KEPT = 50
_TALLEST_PX = 92


class ProblemBar(QFrame):
    """The newest problem, how many there are, and a way to put it away. Hidden while there is none.

    Attributes:
        problems: all that were said and not put away, oldest first; a repeated one is there once.
        changed: emitted when they change.
    """

    changed = pyqtSignal()

    def __init__(self, theme: Theme = DARK, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("problems")
        self.problems: list[str] = []
        self._text = QLabel()
        self._text.setWordWrap(True)
        self._text.setTextFormat(Qt.TextFormat.PlainText)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._count = QLabel()
        self._count.setTextFormat(Qt.TextFormat.PlainText)
        self.dismiss_button = QPushButton("Put away (F8)")
        self.dismiss_button.setMinimumHeight(44)
        self.dismiss_button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.dismiss_button.clicked.connect(self.dismiss)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 4, 6, 4)
        row.addWidget(self._text, 1)
        row.addWidget(self._count)
        row.addWidget(self.dismiss_button)
        self.setMaximumHeight(_TALLEST_PX)
        self.set_theme(theme)
        self._follow()

    def say(self, problem: str) -> None:
        """Show a problem; one that is known already becomes the newest."""
        text = " ".join(problem.split())
        if not text or text == self.newest:
            return
        others = [known for known in self.problems if known != text]
        self.problems = [*others[-_KEPT + 1 :], text]
        self._follow()

    def dismiss(self) -> None:
        """Put the newest away; the one before it is shown."""
        del self.problems[-1:]
        self._follow()

    @property
    def newest(self) -> str:
        """What is shown; empty if there is nothing."""
        return self.problems[-1] if self.problems else ""

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self.setStyleSheet(
            f"#problems {{ background: {theme.panel}; border: 2px solid {theme.warn}; border-radius: 4px; }}"
            f"#problems QLabel {{ color: {theme.text}; font-size: {theme.font_px + 1}px; border: none; }}"
        )

    def _follow(self) -> None:
        self._text.setText(f"⚠  {self.newest}")
        self._text.setToolTip(plain_tip(self.newest))
        self._count.setText(f"{len(self.problems)} problems" if len(self.problems) > 1 else "")
        self.setVisible(bool(self.problems))
        self.changed.emit()
