"""The sessions that a study has due today, to be picked from. It knows no file and starts nothing."""

from __future__ import annotations

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtGui import QColor
from PyQt6.QtWidgets import QListWidget, QListWidgetItem, QWidget

from closedloop.dashboard.inputs.study_day import Day, Due
from closedloop.dashboard.theme import Theme

_ROLE = Qt.ItemDataRole.UserRole


class StudyList(QListWidget):
    """A line for each session; one that is done cannot be picked.

    Attributes:
        chosen: emitted with the Due that a person wants to run.
    """

    chosen = pyqtSignal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: tuple[Day, str] | None = None
        self.setWordWrap(True)
        self.setAccessibleName("Sessions due today")
        self.setToolTip("A click fills in animal, protocol and rig; it starts nothing")
        self.itemActivated.connect(self._choose)
        self.itemClicked.connect(self._choose)

    def show_day(self, day: Day, theme: Theme) -> None:
        """The day's sessions, what comes next, and what must be done first."""
        if (day, theme.name) == self._shown:
            return
        self._shown = day, theme.name
        at = self.currentRow()
        self.clear()
        for one in day.due:
            self._add(f"{'○' if one.may_run else '✓'}  {one.words}", theme.text if one.may_run else theme.dim, one)
        if not day.due and not day.problems:
            self._add("Nothing is due today.", theme.text)
        for problem in day.problems:
            self._add(f"✕  {problem}", theme.danger)
        if day.missed:
            self._add("Missed; run on the command line, with --date and --reason:", theme.warn)
        for said in day.missed:
            self._add(f"    {said}", theme.warn)
        for said in day.next:
            self._add(f"next, {said}", theme.dim)
        self.setCurrentRow(at)
        self.setStyleSheet(f"QListWidget::item {{ padding: 6px 3px; font-size: {theme.font_px + 2}px; }}")

    def words(self) -> list[str]:
        """All lines."""
        return [item.text() for row in range(self.count()) if (item := self.item(row)) is not None]

    def _add(self, words: str, colour: str, due: Due | None = None) -> None:
        item = QListWidgetItem(words, self)
        item.setForeground(QColor(colour))
        item.setData(_ROLE, due)
        if due is None or not due.may_run:
            item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsSelectable)

    def _choose(self, item: QListWidgetItem) -> None:
        due = item.data(_ROLE)
        if isinstance(due, Due) and due.may_run:
            self.chosen.emit(due)
