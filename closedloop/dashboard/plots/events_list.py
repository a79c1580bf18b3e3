"""What happened, newest first, to read and to jump to. It keeps nothing: the newest thousand of a kind are shown."""

from __future__ import annotations

from typing import Any

from PyQt6.QtCore import QAbstractListModel, QModelIndex, QSignalBlocker, Qt, pyqtSignal
from PyQt6.QtGui import QColor
from PyQt6.QtWidgets import QAbstractItemView, QComboBox, QLabel, QListView, QStackedLayout, QVBoxLayout, QWidget

from closedloop.dashboard.panel import Panel, alone
from closedloop.dashboard.plots.axes import clock
from closedloop.dashboard.style import plain_tip
from closedloop.dashboard.theme import DARK, Theme
from closedloop.watching.marks import Happening
from closedloop.watching.watch import Watch

_MOST = 1000
_ALL = "everything"
_SIGNS = {
    "light": "■",
    "decision": "◆",
    "detection": "▼",
    "refused": "✕",
    "veto": "▨",
    "gap": "▒",
    "input": "▬",
    "trip": "‼",
    "note": "✎",
    "command": "→",
}


class _Model(QAbstractListModel):
    """Happenings as lines of text."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.happenings: list[Happening] = []
        self.colours: dict[str, str] = {}

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        """How many lines."""
        return 0 if parent is not None and parent.isValid() else len(self.happenings)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """One line: when, what sort, in words."""
        happening = self.happenings[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return f"{clock(happening.at_s, 2):>9}  {_SIGNS.get(happening.kind, '·')}  {happening.words}"
        if role == Qt.ItemDataRole.ToolTipRole:
            return plain_tip(happening.words)
        if role == Qt.ItemDataRole.ForegroundRole and happening.kind in self.colours:
            return QColor(self.colours[happening.kind])
        return None

    def show(self, happenings: list[Happening]) -> None:
        """Other lines. What came on top is put on top: a selected line stays the one it was."""
        newest = self.happenings[0].n if self.happenings else None
        fresh = next((row for row, happening in enumerate(happenings) if happening.n == newest), None)
        if fresh is None or len(happenings) < len(self.happenings):
            self.beginResetModel()
            self.happenings = happenings
            self.endResetModel()
        elif fresh:
            self._put_on_top(happenings, fresh)

    def _put_on_top(self, happenings: list[Happening], fresh: int) -> None:
        self.beginInsertRows(QModelIndex(), 0, fresh - 1)
        self.happenings = happenings[:fresh] + self.happenings
        self.endInsertRows()
        if len(self.happenings) > _MOST:
            self.beginRemoveRows(QModelIndex(), _MOST, len(self.happenings) - 1)
            del self.happenings[_MOST:]
            self.endRemoveRows()


class EventsList(Panel):
    """A list to choose from; `jumped` carries the seconds of what was clicked, or chosen with Enter."""

    jumped = pyqtSignal(float)

    def __init__(self, theme: Theme = DARK, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self.kinds = QComboBox(self)
        self.kinds.addItem(_ALL, None)
        self.kinds.setMinimumHeight(44)
        self.kinds.setAccessibleName("Kind of event")
        self.list = QListView(self)
        self._model = _Model(self)
        self._empty = QLabel("Nothing has happened yet.\nDetections, light, refusals and notes will stand here.", self)
        self._seen: object = None
        self._arrange()
        self.set_theme(theme)

    def show_watch(self, watch: Watch) -> None:
        """Show what is new."""
        if not self.isVisible():
            return
        newest = watch.marks.happenings(None, 1)
        seen = (id(watch.marks), newest[0].n if newest else None, self.kinds.currentData())
        if seen == self._seen:
            return
        self._seen = seen
        happenings = watch.marks.happenings(self.kinds.currentData(), _MOST)
        self._discover(set(watch.marks.happening_kinds))
        self._model.show(happenings)
        self._stack.setCurrentIndex(0 if happenings else 1)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        self._model.colours = {
            "light": theme.light if theme.name == "dark" else theme.text,
            "refused": theme.refused,
            "trip": theme.danger,
            "gap": theme.warn,
        }
        self.setStyleSheet(
            f"EventsList {{ background: {theme.ground}; }}"
            f"QListView, QComboBox, QLabel {{ background: {theme.panel}; color: {theme.text};"
            f" font-size: {theme.font_px + 1}px; border: 1px solid {theme.line}; }}"
            "QListView::item { padding-left: 4px; min-height: 30px; }"
            f"QListView::item:selected {{ background: {theme.line}; color: {theme.text}; }}"
            f"QScrollBar {{ background: {theme.panel}; width: 20px; }}"
            f"QScrollBar::handle {{ background: {theme.dim}; min-height: 28px; border-radius: 3px; margin: 2px; }}"
            f"QScrollBar::add-line, QScrollBar::sub-line {{ height: 0; }}"
            f"QComboBox {{ padding-left: 8px; }}"
            f"QComboBox QAbstractItemView {{ background: {theme.panel}; color: {theme.text}; }}"
        )
        self._seen = None

    def _arrange(self) -> None:
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.list.setModel(self._model)
        self.list.setUniformItemSizes(True)
        self.list.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setTextElideMode(Qt.TextElideMode.ElideRight)
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._empty.setWordWrap(True)
        self._stack = QStackedLayout()
        self._stack.addWidget(self.list)
        self._stack.addWidget(self._empty)
        self._stack.setCurrentIndex(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.kinds)
        column.addLayout(self._stack, 1)
        self.list.clicked.connect(self._jump)
        self.list.activated.connect(self._jump)

    def _jump(self, index: QModelIndex) -> None:
        self.jumped.emit(self._model.happenings[index.row()].at_s)

    def _discover(self, kinds: set[str]) -> None:
        """A choice for each kind that there is; none is known beforehand."""
        known = {self.kinds.itemData(row) for row in range(self.kinds.count())}
        blocked = QSignalBlocker(self.kinds)
        for kind in sorted(kinds - known):
            self.kinds.addItem(kind, kind)
        blocked.unblock()


if __name__ == "__main__":
    raise SystemExit(alone(EventsList))
