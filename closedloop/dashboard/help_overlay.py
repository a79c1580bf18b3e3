"""All keys on one sheet over the window: F1 or ?. It takes no key itself, so that Esc is dark here as everywhere."""

from __future__ import annotations

from collections.abc import Iterable

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QAction, QMouseEvent
from PyQt6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from closedloop.dashboard.theme import Theme

Keys = tuple[tuple[str, str], ...]  # the key, and what it does

_LEFT_FREE_PX = 156

STOP: Keys = (
    ("Esc", "dark at once, and end the sessions on screen"),
    ("Shift+Esc", "dark at once on every rig"),
)
LIGHT: Keys = (
    ("Ctrl+R", "arm: press twice"),
    ("Ctrl+P", "pause: dark, blocks stand still; press twice to resume"),
    ("Ctrl+D", "disarm: dark, the recording goes on"),
    ("Ctrl+T", "test pulse, inside the limits"),
    ("Ctrl+L", "to the threshold"),
    ("Ctrl+N", "to the note"),
)
WINDOW: Keys = (
    ("F1, ?", "this sheet"),
    ("F2", "dark or light theme"),
    ("F3", "all rigs as tiles, or one"),
    ("F4", "another rig"),
    ("F5", "a new session on this rig, when it has ended"),
    ("F8", "put a problem away"),
    ("Ctrl+Tab", "next rig"),
    ("Ctrl+1 … 9", "rig 1 … 9"),
    ("Ctrl+O", "open a recording"),
    ("Ctrl+Return", "start the session that is set up"),
    ("Ctrl+W", "close this rig's tab; its session goes on"),
    ("Ctrl+Q", "close the window; sessions go on"),
)
IN_PLOTS: Keys = (
    ("← →, Page ↑ ↓", "move, from within the plots"),
    ("Home, End", "to the beginning; to the newest reading"),
)


class HelpOverlay(QFrame):
    """Lies over the window while it is shown, below its state; a click puts it away.

    Args:
        theme: its colours.
        parent: what it lies over.
        plots: the keys of the plots, which know them best.
    """

    def __init__(self, theme: Theme, parent: QWidget, plots: Keys = ()) -> None:
        super().__init__(parent)
        self.setObjectName("help")
        first, second = QVBoxLayout(), QVBoxLayout()
        first.addLayout(_group("Stop", STOP))
        first.addSpacing(10)
        first.addLayout(_group("Light", LIGHT))
        first.addStretch(1)
        second.addLayout(_group("Window", WINDOW))
        second.addStretch(1)
        columns = QHBoxLayout()
        columns.setSpacing(28)
        columns.addLayout(first, 5)
        columns.addLayout(second, 6)
        if plots:
            third = QVBoxLayout()
            third.addLayout(_group("Plots", plots + IN_PLOTS))
            third.addStretch(1)
            columns.addLayout(third, 7)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(32, 14, 32, 10)
        outer.addLayout(columns, 1)
        last = QLabel("F1 or a click puts this sheet away")
        last.setProperty("dim", True)
        outer.addWidget(last)
        self.set_theme(theme)
        self.hide()

    def toggle(self) -> None:
        """Show it, or put it away."""
        if self.isVisible():
            self.hide()
            return
        self.cover()
        self.show()
        self.raise_()

    def cover(self) -> None:
        """Be as wide as the parent; tabs, state and the red button stay in sight."""
        parent = self.parentWidget()
        if parent is not None:
            self.setGeometry(parent.rect().adjusted(0, _LEFT_FREE_PX, 0, 0))

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self.setStyleSheet(
            f"#help {{ background: {theme.ground}; border: 2px solid {theme.signal}; }}"
            f"#help QLabel {{ color: {theme.text}; font-size: 16px; }}"
            f'#help QLabel[dim="true"] {{ color: {theme.dim}; }}'
            f'#help QLabel[key="true"] {{ color: {theme.signal}; font-weight: bold; }}'
            f'#help QLabel[head="true"] {{ font-size: 22px; font-weight: bold; }}'
        )

    def mousePressEvent(self, _event: QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        """A click anywhere puts it away."""
        self.hide()


def keys_of(actions: Iterable[QAction]) -> Keys:
    """What a list of actions says of itself."""
    return tuple((" or ".join(key.toString() for key in action.shortcuts()), _low(action.text())) for action in actions)


def _low(words: str) -> str:
    return words[:1].lower() + words[1:]


def _group(title: str, keys: Keys) -> QVBoxLayout:
    head = QLabel(title)
    head.setProperty("head", True)
    head.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
    grid = QGridLayout()
    grid.setHorizontalSpacing(18)
    grid.setVerticalSpacing(6)
    for row, (key, what) in enumerate(keys):
        name = QLabel(key)
        name.setProperty("key", True)
        grid.addWidget(name, row, 0, Qt.AlignmentFlag.AlignTop)
        words = QLabel(what)
        words.setWordWrap(True)
        grid.addWidget(words, row, 1, Qt.AlignmentFlag.AlignTop)
    grid.setColumnStretch(1, 1)
    column = QVBoxLayout()
    column.setSpacing(4)
    column.addWidget(head)
    column.addLayout(grid)
    column.addStretch(1)
    return column
