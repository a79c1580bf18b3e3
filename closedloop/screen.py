"""Opens the dashboard as a process of its own, so that nothing that happens to a window happens to a session.

It is reached by its module's name alone: nothing here, and nothing below, imports Qt.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_PICTURE_WITHIN_S = 120.0  # a long session is read first
_CLOSE_WITHIN_S = 10.0
_MODULE = "closedloop.dashboard"
_STDERR = 2  # standard output is for results
_UNSEEN = ("offscreen", "minimal")  # Qt's platforms without a screen


def command(*arguments: object) -> list[str]:
    """The command line of a dashboard; it looks for modules in no folder that it happens to start in (-P)."""
    return [sys.executable, "-P", "-m", _MODULE, *(str(argument) for argument in arguments)]


def show(*arguments: object) -> int:
    """A dashboard in front, until it is closed; its exit code."""
    with subprocess.Popen(command(*arguments), stdout=_STDERR) as window:  # noqa: S603 - our own module
        while True:
            try:
                return window.wait()
            except KeyboardInterrupt:
                window.terminate()


class Beside:
    """The dashboard beside a session that this program runs: opened when the session's folder is there.

    It stays open when the session is over, where somebody can see it. It holds none of this program's pipes, so that
    who started this program need not wait for a window.

    Args:
        wanted: False for none at all.
        picture: a file to take a picture into at the end, with or without a display.
        say: is given, line by line, what a window said that could not be opened.
    """

    def __init__(self, *, wanted: bool, picture: Path | None, say: Callable[[str], None]) -> None:
        self._wanted = wanted or picture is not None
        self._is_unseen = not wanted or os.environ.get("QT_QPA_PLATFORM") in _UNSEEN
        self._hidden = {} if wanted else {"QT_QPA_PLATFORM": "offscreen"}
        self._picture = picture
        self._say = say
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed on leaving
        self._window: subprocess.Popen[bytes] | None = None

    def look(self, folder: Path) -> None:
        """Open it, once; and tell at once if that fails."""
        if self._window is None and self._wanted:
            self._open(folder)
        elif self._window is not None and self._window.poll():
            self._tell()

    def _open(self, folder: Path) -> None:
        options: Sequence[object] = ["--screenshot", self._picture] if self._picture else []
        self._window = subprocess.Popen(  # noqa: S603 - our own module
            command("watch", folder, *options),
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=self._said,
            env=os.environ | self._hidden,
        )

    def _tell(self) -> None:
        self._said.seek(0)
        for line in self._said.read().decode(errors="replace").splitlines():
            self._say(line)
        self._said.truncate(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._window is not None:
            if self._picture is not None:
                self._end(self._window, _PICTURE_WITHIN_S)
            elif self._is_unseen:
                self._window.terminate()
                self._end(self._window, _CLOSE_WITHIN_S)
            if self._window.poll():
                self._tell()
        self._said.close()

    @staticmethod
    def _end(window: subprocess.Popen[bytes], within_s: float) -> None:
        try:
            window.wait(within_s)
        except subprocess.TimeoutExpired:
            window.kill()
            window.wait()
