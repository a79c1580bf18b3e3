"""A hand at the dashboard in a real window system: X itself moves the pointer and presses the keys.

Run as a program of its own, because an application has one platform a process:

    DISPLAY=:99 python tests/desk.py SCENARIO DATA_FOLDER

It prints one line a step. What came of it is for the test to find in the recording, not here.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

MOST_S = 60.0


@contextmanager
def display():
    """A virtual screen; its name."""
    read, write = os.pipe()
    options = ["-screen", "0", "1366x768x24", "-nolisten", "tcp", "-displayfd", str(write)]
    server = subprocess.Popen(["Xvfb", *options], pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as said:
            yield f":{said.readline().strip()}"
    finally:
        server.terminate()
        server.wait()


class Desk:
    """The window, as its own program makes it, and a hand."""

    def __init__(self, data: Path) -> None:
        from closedloop.dashboard import app
        from closedloop.dashboard.layout_memory import LayoutMemory
        from closedloop.dashboard.theme import DARK
        from closedloop.dashboard.window import Window

        self.application = app.make(DARK)
        self.window = Window(LayoutMemory())
        app.survive_errors(self.window.problems.say)
        self.station = self.window.idle("demo", "simulated", data)
        self.window.resize(1366, 728)
        self.window.show()
        self.window.activateWindow()
        self.until("a window with the keyboard", self.window.isActiveWindow)

    @property
    def page(self):
        return self.station.page

    @property
    def words(self) -> str:
        """The state that the strip shows."""
        return self.station.state.value if self.station.state else ""

    def until(self, what: str, condition: Callable[[], object]) -> None:
        """Let the window live until something is so."""
        from PyQt6.QtCore import QEventLoop

        deadline = time.monotonic() + MOST_S
        while not condition():
            if time.monotonic() > deadline:
                self.window.grab().save(str(Path(os.environ["CLOSEDLOOP_CONFIG"]) / "late.png"))
                raise SystemExit(f"waited {MOST_S:g} s in vain for {what}; the state is {self.words!r}")
            self.application.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 20)
        print(what, flush=True)

    def until_state(self, *words: str) -> None:
        self.until(" or ".join(words), lambda: self.words in words)

    def hand(self, *what: object) -> None:
        """What X is to do; the window lives meanwhile."""
        process = subprocess.Popen(["xdotool", *(str(part) for part in what)])
        while process.poll() is None:
            self.application.processEvents()
        self.application.processEvents()

    def click(self, widget, name: str) -> None:
        """Press and let go of the left button, in the middle of a widget."""
        self.until(f"{name} can be clicked", lambda: widget.isVisible() and widget.isEnabled())
        middle = widget.mapToGlobal(widget.rect().center())
        self.hand("mousemove", middle.x(), middle.y(), "click", 1)
        print(f"clicked {name}", flush=True)

    def key(self, *keys: str) -> None:
        self.hand("key", *keys)
        print(f"pressed {' '.join(keys)}", flush=True)

    def type(self, text: str) -> None:
        self.hand("type", "--delay", "5", text)

    def leave(self) -> None:
        from closedloop.dashboard import app

        self.window.close()
        app.leave(0)


def clicks(desk: Desk) -> None:
    """Everything by the pointer: start, note, arm in two steps, a test pulse, the red button."""
    desk.click(desk.station.setup.start, "Start")
    desk.until_state("READY TO ARM")
    desk.click(desk.page.controls.arm, "Arm")
    desk.until("asks to confirm", lambda: desk.page.controls.arm.is_asking)
    bounce = time.monotonic() + 1.0  # a second click of one hand is not a second step
    desk.until("a moment", lambda: time.monotonic() > bounce)
    desk.click(desk.page.controls.arm, "Arm again")
    desk.until_state("ARMED", "LIGHT ON")
    desk.until_state("LIGHT ON")
    desk.until_state("ARMED")
    rest = time.monotonic() + 1.5
    desk.until("the rest after a train", lambda: time.monotonic() > rest)
    desk.click(desk.page.controls.pulse, "Test pulse")
    desk.until("a pulse by hand", lambda: desk.station.watch.tallies.decisions.get("test"))
    desk.click(desk.page.controls.disarm, "Disarm")
    desk.until_state("READY TO ARM")
    desk.click(desk.page.red, "the red button")
    desk.until_state("STOPPED")


def keys(desk: Desk) -> None:
    """Everything by the keyboard: start, note, threshold, arm in two steps, light, Esc in a text field."""
    desk.key("ctrl+Return")
    desk.until_state("WARM-UP", "READY TO ARM")
    desk.until("a note can be written", desk.page.controls.note.isEnabled)
    desk.key("ctrl+n")
    desk.type("lever jammed")
    desk.key("Return")
    desk.until_state("READY TO ARM")
    desk.key("ctrl+l")
    desk.key("ctrl+a")
    desk.type("4.5")
    desk.key("Return")
    desk.until("the threshold in force", lambda: desk.page.controls.in_force.threshold == 4.5)
    desk.key("ctrl+r")
    desk.until("asks to confirm", lambda: desk.page.controls.arm.is_asking)
    bounce = time.monotonic() + 1.0
    desk.until("a moment", lambda: time.monotonic() > bounce)
    desk.key("ctrl+r")
    desk.until_state("LIGHT ON")
    desk.until_state("ARMED")
    desk.key("ctrl+n")
    desk.type("and now")
    desk.key("Escape")
    desk.until_state("STOPPED")


def killed(desk: Desk) -> None:
    """The window is killed while its session runs."""
    desk.key("ctrl+Return")
    desk.until_state("READY TO ARM")
    print(f"folder {desk.station.watch.follower.folder}", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    os.environ["QT_QPA_PLATFORM"] = "xcb"
    scenario = {"clicks": clicks, "keys": keys, "killed": killed}[sys.argv[1]]
    at = Desk(Path(sys.argv[2]))
    scenario(at)
    at.leave()
