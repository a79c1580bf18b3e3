"""Which sessions below a data folder are to be followed: those that run, and those that begin. Nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from closedloop.errors import RecordingError
from closedloop.recording import Recording
from closedloop.recording.folder import HEADER, SUMMARY

_SESSIONS = "sub-*/ses-*"


def is_session(folder: Path) -> bool:
    """Whether a path is that of one session, begun or about to begin, and not of a data folder."""
    return (folder / HEADER).is_file() or folder.name.startswith("ses-")


class Sessions:
    """Below one data folder.

    Args:
        data: the folder.
        since: when watching began; a session that had ended by then is not followed.
    """

    def __init__(self, data: Path, since: datetime) -> None:
        self._data = data
        self._since = since
        self._known: set[Path] = set()
        self._first = True

    def fresh(self) -> list[tuple[Path, bool]]:
        """Those to be followed from now on, each once; and whether it began while this looked on."""
        begun = [folder for folder in self._unknown() if (folder / HEADER).is_file()]
        self._known.update(begun)
        is_first, self._first = self._first, False
        return [(folder, not is_first) for folder in sorted(begun) if self._is_wanted(folder, is_first=is_first)]

    def _unknown(self) -> Iterator[Path]:
        return (folder for folder in self._data.glob(_SESSIONS) if folder not in self._known)

    def _is_wanted(self, folder: Path, *, is_first: bool) -> bool:
        """One that was there before must run; a new one may have ended already, if it is no copy of an old one."""
        if is_first and (folder / SUMMARY).is_file():
            return False
        try:
            recording = Recording.open(folder)
            return recording.being_written or (not is_first and self._began_later(recording))
        except (RecordingError, OSError):
            return False

    def _began_later(self, recording: Recording) -> bool:
        try:
            return datetime.fromisoformat(str(recording.header.get("started"))) >= self._since
        except (TypeError, ValueError):  # no date, or one without its zone
            return False
