"""Opens the dashboard as a process of its own, so that nothing that happens to a window happens to a session.

It is reached by its module's name alone: nothing here, and nothing below, imports Qt.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_PICTURE_WITHIN_S = 120.0  # a long session is read first
_MODULE = "closedloop.dashboard"
_STDERR = 2  # standard output is for results


def command(*arguments: object) -> list[str]:
    """The command line of a dashboard."""
    return [sys.executable, "-m", _MODULE, *(str(argument) for argument in arguments)]


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

    It stays open when the session is over, but for a picture, which is waited for.

    Args:
        wanted: False for none at all.
        picture: a file to take a picture into at the end, with or without a display.
    """

    def __init__(self, *, wanted: bool, picture: Path | None) -> None:
        self._wanted = wanted or picture is not None
        self._hidden = not wanted
        self._picture = picture
        self._window: subprocess.Popen[bytes] | None = None

    def look(self, folder: Path) -> None:
        """Open it, once."""
        if self._window is not None or not self._wanted:
            return
        environment = os.environ | ({"QT_QPA_PLATFORM": "offscreen"} if self._hidden else {})
        options: Sequence[object] = ["--screenshot", self._picture] if self._picture else []
        self._window = subprocess.Popen(  # noqa: S603 - our own module
            command("watch", folder, *options), stdin=subprocess.DEVNULL, stdout=_STDERR, env=environment
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._window is None or self._picture is None:
            return
        try:
            self._window.wait(_PICTURE_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._window.kill()
            self._window.wait()
