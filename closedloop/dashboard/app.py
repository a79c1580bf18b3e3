"""The Qt application around the window: scale, theme, priority, signals, and the last resort for errors.

It must never take time from the loop, and an error in a panel must never take the window away.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import NoReturn

from PyQt6.QtCore import QMessageLogContext, Qt, QtMsgType, qInstallMessageHandler
from PyQt6.QtWidgets import QApplication

from closedloop.dashboard import style
from closedloop.dashboard.theme import Theme

_CHATTER = "propagateSizeHints"  # the platform without a display says that it has no window manager
_NO_DISPLAY = "no display is found (DISPLAY and WAYLAND_DISPLAY are not set); run in a desktop session, or headless"
_NO_CURSOR = "Qt needs the system library libxcb-cursor0 here; install it (apt install libxcb-cursor0)"


def no_window(environment: dict[str, str]) -> str:
    """Why there can be no window on this computer, and what to do; empty if there can be one."""
    if not sys.platform.startswith("linux") or environment.get("QT_QPA_PLATFORM"):
        return ""
    if environment.get("WAYLAND_DISPLAY"):
        return ""
    if not environment.get("DISPLAY"):
        return _NO_DISPLAY
    try:
        ctypes.CDLL("libxcb-cursor.so.0")
    except OSError:
        return _NO_CURSOR
    return ""


def make(theme: Theme) -> QApplication:
    """The application; there is one a process."""
    there = QApplication.instance()
    if not isinstance(there, QApplication):
        rounding = Qt.HighDpiScaleFactorRoundingPolicy.PassThrough
        QApplication.setHighDpiScaleFactorRoundingPolicy(rounding)
        there = QApplication(["closedloop"])
        QApplication.setAttribute(Qt.ApplicationAttribute.AA_DontUseNativeDialogs)  # so that Esc is ours in them too
    there.setApplicationName("closedloop")
    there.setApplicationDisplayName("closedloop")
    qInstallMessageHandler(_pass_on)
    style.apply(there, theme)
    return there


def _pass_on(_kind: QtMsgType, _context: QMessageLogContext, said: str | None) -> None:
    """What Qt says, without chatter."""
    if said and _CHATTER not in said:
        sys.stderr.write(f"{said}\n")


def close_on_signals(close: Callable[[], object]) -> None:
    """Let Ctrl-C and SIGTERM close the window properly. Python looks for them when a timer of the window runs."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: close())


def leave(code: int) -> NoReturn:
    """End the process once the window is closed, as it is.

    The interpreter's own end would destroy Qt's objects in any order, which now and then crashes inside Qt after all
    work is done (seen once in some hundred runs): an exit code of -11 for a session that went well.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def survive_errors(say: Callable[[str], None]) -> None:
    """Say an error that nobody caught, and go on: Qt would end the process. Each place is printed once."""
    seen: set[tuple[str, str, int]] = set()

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        place = _place(kind, trace)
        if place in seen:
            return
        seen.add(place)
        traceback.print_exception(kind, error, trace)
        with contextlib.suppress(RuntimeError):  # the window is gone already
            say(f"an error of this window, please report it: {kind.__name__}: {error} ({place[1]}, line {place[2]})")

    sys.excepthook = hook


def _place(kind: type[BaseException], trace: TracebackType | None) -> tuple[str, str, int]:
    frames = traceback.extract_tb(trace)
    last = frames[-1] if frames else None
    return kind.__name__, last.filename if last else "", (last.lineno or 0) if last else 0
