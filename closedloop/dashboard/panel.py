"""What every panel is: a widget that draws one `Watch` and decides nothing; and how one is run alone to work on it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from PyQt6.QtCore import QTimer
from PyQt6.QtWidgets import QApplication, QWidget

from closedloop.dashboard.theme import DARK, Theme
from closedloop.watching.watch import Watch

REPAINT_MS = 33


class Panel(QWidget):
    """Base of all panels."""

    def __init__(self, theme: Theme = DARK, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.theme = theme

    def show_watch(self, watch: Watch) -> None:
        """Draw what is known now; called at most 30 times a second, and to be done in a few milliseconds."""
        raise NotImplementedError

    def set_theme(self, theme: Theme) -> None:
        """Take other colours; `show_watch` follows."""
        self.theme = theme


def alone(make: Callable[[], Panel]) -> int:
    """Run one panel by itself on the session folder that the command line names: `python -m ... SESSION`."""
    application = QApplication(sys.argv)
    panel = make()
    watch = Watch(Path(sys.argv[1]))

    def look() -> None:
        watch.turn(time.perf_counter_ns())
        panel.show_watch(watch)

    timer = QTimer(panel)
    timer.timeout.connect(look)
    timer.start(REPAINT_MS)
    panel.resize(900, 600)
    panel.show()
    return application.exec()
