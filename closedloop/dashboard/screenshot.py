"""A picture of the whole window, taken once there is all to see. It works without a display, by Qt's own platform."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PyQt6.QtCore import QObject, QTimer
from PyQt6.QtWidgets import QApplication

from closedloop.dashboard.window import Window
from closedloop.watching.status import State

_LOOK_MS = 100
_REPAINTS = 5
_MOST_LOOKS = 1200  # two minutes: a session that has not begun by then is not waited for


class Screenshot(QObject):
    """Waits until the window shows what is wanted, saves it, and says how that went.

    Args:
        window: of which the picture is taken.
        path: PNG or whatever else its ending says.
        done: called once with what went wrong; empty if nothing did.
        wanted: the state to wait for; None: the end of the session, or a page before one that was checked.
    """

    def __init__(self, window: Window, path: Path, done: Callable[[str], object], wanted: State | None = None) -> None:
        super().__init__(window)
        self._window = window
        self._path = path
        self._done = done
        self._wanted = wanted
        self._left = _REPAINTS
        self._looks = 0
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)
        self._timer.start(_LOOK_MS)

    def _look(self) -> None:
        """A few more repaints once all is there: texts and ranges follow one another."""
        self._looks += 1
        if not self._is_there() and not self._is_in_vain():
            self._left = _REPAINTS
            return
        self._left -= 1 if self._wanted is None else _REPAINTS
        if self._left > 0:
            return
        self._timer.stop()
        self._done(grab(self._window, self._path))

    def _is_there(self) -> bool:
        stations = self._window.shown
        if self._wanted is not None:
            return any(station.state is self._wanted for station in stations)
        return all(station.is_shown_whole for station in stations)

    def _is_in_vain(self) -> bool:
        return self._looks > _MOST_LOOKS and not any(station.is_begun for station in self._window.shown)


def grab(window: Window, path: Path) -> str:
    """Save the window as it is now; what went wrong, in words."""
    for station in window.shown:
        station.redraw()
    QApplication.processEvents()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"{path.parent}: {error.strerror}; choose another place for the picture"
    if window.grab().save(str(path)):
        return ""
    return f"{path}: the picture cannot be written; use an ending such as .png, in a folder that can be written"
