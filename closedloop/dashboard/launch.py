"""Starts a session as a process of its own and reads what it says. A session's life must never hang on the window's.

There is no pipe between the two: a session writes to a log file, finds nothing on its standard input, and lies in a
process group of its own. So the window may be closed, killed or crash, and the session goes on. No Qt here.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from closedloop.errors import RecordingError
from closedloop.recording import Recording

_KEPT_LOGS = 20
_KEPT_LINES = 200
_NEWEST = 8
_FOLDER = "session: "
_TRACEBACK = "Traceback (most recent call last):"
_POSIX = os.name == "posix"
if sys.platform == "win32":
    _FLAGS = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.NORMAL_PRIORITY_CLASS
else:
    _FLAGS = 0


class Launched:
    """A session that was started here.

    Attributes:
        log: the file that holds all it said.
        folder: of its recording; None until it is made.
        said: its newest lines, without the one that names the folder.
        exit_code: None while it runs.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.log = log
        self.folder: Path | None = None
        self.said: list[str] = []
        self.exit_code: int | None = None
        self._process = process
        self._read_bytes = 0
        self._unfinished = b""

    def poll(self) -> None:
        """Take in what is new; returns at once."""
        self.exit_code = self._process.poll()  # before its last words are read, so that none is missed
        with contextlib.suppress(OSError), self.log.open("rb") as log:
            log.seek(self._read_bytes)
            data = log.read()
            self._read_bytes += len(data)
            self._take(self._unfinished + data)

    def stop(self) -> None:
        """Ask it to go dark and end, as Ctrl-C would; returns at once."""
        if self._process.poll() is not None:
            return
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                self._process.send_signal(signal.CTRL_BREAK_EVENT)
            else:
                self._process.send_signal(signal.SIGTERM)  # SIGINT may have been inherited as ignored

    def kill(self) -> None:
        """End it and all that it started, whatever they do; the boards go dark when their lease is over."""
        if self._process.poll() is not None:
            return
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                self._process.kill()
            else:
                os.killpg(self._process.pid, signal.SIGKILL)

    def wait(self, most_s: float) -> int | None:
        """Its exit code when it has ended, or None after `most_s`; not for the window."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(most_s)
        self.poll()
        return self.exit_code

    @property
    def problems(self) -> list[str]:
        """Why it ended as it did, in its own words; of a program error only the last line, and where the rest is."""
        if not self.exit_code:
            return []
        if _TRACEBACK in self.said:
            return [f"{self.said[-1]}; this is an error of the program: please report it, with the file {self.log}"]
        return self.said or [f"the session's process ended with code {self.exit_code}, and said nothing; try again"]

    def _take(self, data: bytes) -> None:
        *lines, self._unfinished = data.split(b"\n")
        for line in lines:
            text = line.decode(errors="replace").rstrip()
            if text.startswith(_FOLDER):
                self.folder = Path(text.removeprefix(_FOLDER))
            elif text:
                self.said.append(text)
        del self.said[:-_KEPT_LINES]


def launch(arguments: Sequence[str], logs: Path) -> Launched:
    """Start `closedloop ARGUMENTS`.

    Args:
        arguments: of the command line, from `run` on.
        logs: folder of the log files; made if need be, and the oldest are taken away.

    Raises:
        OSError: no log can be written there, or no process be started.
    """
    logs.mkdir(parents=True, exist_ok=True)
    _prune(logs)
    number, name = tempfile.mkstemp(prefix="run-", suffix=".log", dir=logs)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
    try:
        process = subprocess.Popen(  # noqa: S603 - an argument list, without a shell
            [sys.executable, "-P", "-m", "closedloop.cli", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=number,
            stderr=number,
            env=environment,
            start_new_session=_POSIX,
            creationflags=_FLAGS,
        )
    finally:
        os.close(number)
    return Launched(process, Path(name))


def running_sessions(data: Path) -> list[Path]:
    """Sessions in a data folder that are being written now, oldest first; only the newest few folders are looked at."""
    try:
        folders = sorted(data.glob("sub-*/ses-*"), key=lambda folder: folder.name)
    except OSError:
        return []
    return [folder for folder in folders[-_NEWEST:] if _is_running(folder)]


def _is_running(folder: Path) -> bool:
    try:
        return Recording.open(folder).being_written
    except (RecordingError, OSError):
        return False


def _prune(logs: Path) -> None:
    old = sorted(logs.glob("run-*.log"), key=lambda log: log.stat().st_mtime)
    for log in old[: -_KEPT_LOGS + 1]:
        with contextlib.suppress(OSError):
            log.unlink()
