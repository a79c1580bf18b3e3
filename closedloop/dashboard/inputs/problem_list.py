"""All that is wrong with a session to be started, one line each. It finds no problem itself, and hides none."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import QListWidget, QListWidgetItem, QWidget

from closedloop.dashboard.theme import Theme

_WRONG = "✕ "
_LABELS = {
    "--set: ": "",
    "--subject": "Subject",
    "--duration": "Duration",
    "--seed": "Seed",
    "--out": "Data folder",
    "--reason": "Reason",
}


class ProblemList(QListWidget):
    """The lines that `closedloop check` would say, worded as beside the fields.

    Attributes:
        chosen: emitted with the words of a problem that a person wants to mend.
    """

    chosen = pyqtSignal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWordWrap(True)
        self.setAccessibleName("Problems")
        self.setToolTip("Enter or a click leads to the field")
        self._is_wrong = False
        self.itemActivated.connect(self._choose)
        self.itemClicked.connect(self._choose)

    def show_problems(self, problems: Sequence[str], last_try: Sequence[str], theme: Theme) -> None:
        """What is wrong now, and why the last try never began."""
        tried = [f"{_WRONG}the last try: {said}" for said in last_try if said not in problems]
        shown = [*(f"{_WRONG}{plain(problem)}" for problem in problems), *tried] or ["✓ none"]
        if shown != [self._listed(row) for row in range(self.count())]:
            self.clear()
            self.addItems(shown)
        self._is_wrong = bool(problems or last_try)
        self.set_theme(theme)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        colour = theme.danger if self._is_wrong else theme.good
        self.setStyleSheet(f"QListWidget::item {{ color: {colour}; padding: 3px; }}")

    def _listed(self, row: int) -> str:
        item = self.item(row)
        return item.text() if item else ""

    def _choose(self, item: QListWidgetItem) -> None:
        self.chosen.emit(item.text().removeprefix(_WRONG))


def plain(problem: str) -> str:
    """As it reads beside the fields, and not on a command line."""
    for option, label in _LABELS.items():
        if problem.startswith(option):
            return label + problem.removeprefix(option)
    return problem
