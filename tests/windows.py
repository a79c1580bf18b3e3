"""Windows with a memory of their own, and the processes that they started; all of it is gone at the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pytestqt.qtbot import QtBot

from closedloop.dashboard.launch import Launched
from closedloop.dashboard.layout_memory import LayoutMemory
from closedloop.dashboard.window import Window

END_MS = 60_000


class Windows:
    """Windows that are opened one after the other."""

    def __init__(self, qtbot: QtBot, folder: Path) -> None:
        self.qtbot = qtbot
        self.folder = folder
        self.launched: list[Launched] = []
        self._memory = LayoutMemory(folder / "config")
        self._windows: list[Window] = []

    def open(self) -> Window:
        window = Window(self._memory)
        self.qtbot.addWidget(window)
        self._windows.append(window)
        window.resize(1366, 728)
        window.show()
        self.qtbot.waitExposed(window)
        window.activateWindow()
        self.until(window.isActiveWindow)
        return window

    def until(self, is_so: Callable[[], object]) -> None:
        self.qtbot.waitUntil(lambda: bool(is_so()), timeout=END_MS)

    def close(self) -> None:
        for window in self._windows:
            window.close()
        for one in self.launched:
            one.kill()
            one.wait(END_MS / 1000)
