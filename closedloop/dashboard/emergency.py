"""Esc and the red button: dark, at once. It knows no plot, no panel and no reader, and waits for nothing.

Esc is taken before any widget gets it, so that a text field, an open list or an overlay cannot swallow it. It is then
handed on: a list that is open closes as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from PyQt6.QtCore import QEvent, QObject, Qt
from PyQt6.QtGui import QKeyEvent
from PyQt6.QtWidgets import QPushButton, QSizePolicy, QWidget

from closedloop.dashboard.theme import DARK, Theme

_WIDTH_PX, _WORD_PX = 190, 28
_COMPACT_PX, _COMPACT_WORD_PX = 120, 22
_ONE_PRESS_NS = 50_000_000  # nobody presses twice as quickly
_KEY_PRESSES = (QEvent.Type.ShortcutOverride, QEvent.Type.KeyPress)


class Emergency(QObject):
    """Watches all keys of the application.

    Args:
        dark: what Esc does.
        dark_everywhere: what Shift+Esc does.
        parent: who keeps it.
    """

    def __init__(self, dark: Callable[[], None], dark_everywhere: Callable[[], None], parent: QObject) -> None:
        super().__init__(parent)
        self._dark = dark
        self._dark_everywhere = dark_everywhere
        self._answered_ns = {False: 0, True: 0}

    def eventFilter(self, _watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        """Act on Esc; everything goes on to where it was going."""
        if event is not None and event.type() in _KEY_PRESSES and isinstance(event, QKeyEvent) and _is_escape(event):
            self._answer(event)
        return False

    def _answer(self, event: QKeyEvent) -> None:
        """Once a press, though Qt offers one press many times: as a shortcut, to the window, and to every parent."""
        everywhere = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        now_ns = time.perf_counter_ns()
        if now_ns - self._answered_ns[everywhere] < _ONE_PRESS_NS:
            return
        self._answered_ns[everywhere] = now_ns
        (self._dark_everywhere if everywhere else self._dark)()


def _is_escape(event: QKeyEvent) -> bool:
    return event.key() == Qt.Key.Key_Escape and not event.isAutoRepeat()


class RedButton(QPushButton):
    """Acts when it is pressed, not when it is let go; never takes the keyboard's focus."""

    def __init__(self, dark: Callable[[], None], theme: Theme = DARK, parent: QWidget | None = None) -> None:
        super().__init__("DARK\nEsc", parent)
        self.setAccessibleName("Dark at once, and end the session")
        self.setToolTip("Dark at once, and end the session (Esc)")
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Expanding)
        self._is_quiet = False
        self._word_px = _WORD_PX
        self._theme = theme
        self.set_compact(False)
        self.pressed.connect(dark)

    def set_quiet(self, quiet: bool) -> None:
        """An outline while nothing runs that could be stopped; it works all the same."""
        if quiet != self._is_quiet:
            self._is_quiet = quiet
            self.set_theme(self._theme)

    def set_compact(self, compact: bool) -> None:
        """Narrower, for a tile."""
        self.setFixedWidth(_COMPACT_PX if compact else _WIDTH_PX)
        self.setText("DARK" if compact else "DARK\nEsc")  # Esc is for all tiles
        self._word_px = _COMPACT_WORD_PX if compact else _WORD_PX
        self.set_theme(self._theme)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self._theme = theme
        ground, ink, edge = (theme.danger, "#ffffff", "#ffffff")
        if self._is_quiet:
            ground, ink, edge = (theme.ground, theme.dim, theme.line)
        self.setStyleSheet(
            f"QPushButton {{ background: {ground}; color: {ink}; border: 3px solid {edge};"
            f" border-radius: 10px; font-size: {self._word_px}px; font-weight: 800; margin: 4px; padding: 0; }}"
            f"QPushButton:pressed {{ background: #ffffff; color: {theme.danger}; }}"
        )
