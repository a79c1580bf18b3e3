"""Reads one session folder: of a session that runs, has ended or was broken off. Nothing in it is changed.

Of a blinded session it shows what is the same in every arm, until the folder says that the study was unblinded.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from closedloop.errors import RecordingError
from closedloop.health import HEALTH
from closedloop.readings import READING, Stream
from closedloop.recording import blinding
from closedloop.recording import folder as files
from closedloop.recording.events import Event, EventReader
from closedloop.recording.header import Header
from closedloop.recording.layout import Rows
from closedloop.recording.table_reader import TableReader

_REPLAY_NEEDS: dict[str, type | tuple[type, ...]] = {
    "rate_mhz": int,
    "nano_units": int,
    "input_names": (list, tuple),
}


class Recording:
    """Reads one session. Keeps no file open. For one thread.

    Attributes:
        folder: the session folder.
        header: what was run, on what.
        table: its rows as stored, one a reading; `table.cut` rows are lost, and `table.verify()` checks them all.
        log: its events as stored; `log.cut` bytes are lost.
        neutral: how a blinded session is shown; None where the arm may be known.
    """

    def __init__(self, folder: Path, header: dict[str, Any]) -> None:
        self.folder = folder
        self.header = header
        self.table = TableReader(folder / files.TABLE)
        self.log = EventReader(folder / files.EVENTS)
        self.neutral = _neutral(header, folder) if blinding.is_blinded(header) else None
        self._open = blinding.Open(header.get("decisions") or ())
        self._shown: list[Event] = []
        self._read = 0
        self._health: TableReader | None = None

    @classmethod
    def open(cls, path: Path | str) -> Recording:
        """The recording in a session folder.

        Raises:
            RecordingError: not a session folder, written by a newer version, or damaged beyond reading.
        """
        folder = Path(path)
        if not (folder / files.HEADER).is_file():
            raise RecordingError(f"{folder}: {_why_no_header(folder)}")
        recording = cls(folder, _read_header(folder / files.HEADER))
        return recording.sealed() if (folder / files.UNBLINDED).is_file() else recording

    @property
    def blinded(self) -> bool:
        """Whether the arm is kept from whoever reads this."""
        return self.neutral is not None

    def sealed(self) -> Recording:
        """The same recording with its arm, for analysis that does not say it; itself if the session is not blinded.

        Raises:
            RecordingError: what was put apart is missing, damaged or of another session.
        """
        return Recording(self.folder, self._opened()) if self.blinded else self

    def _opened(self) -> Header:
        return Header(blinding.opened(self.header, self.folder), self.folder / files.SEALED)

    def rows(self, start: int = 0, stop: int | None = None) -> Rows:
        """Rows [start, stop), as far as there are any now; see `TableReader.rows`."""
        rows = self.table.rows(start, stop)
        return rows if self.neutral is None else self.neutral.rows(rows)

    def events(self, after: int = -1) -> list[Event]:
        """Events whose number is greater than `after`; see `EventReader.events`."""
        fresh = self.log.events(self._read - 1)
        self._read += len(fresh)
        self._shown += self.shown(fresh)
        return self._shown[max(0, after + 1) :]

    def shown(self, stored: list[Event]) -> list[Event]:
        """The next events of the log as they may be shown, for one who reads the log alone: each once, in order."""
        return (self.neutral or self._open).events(stored)

    def health(self, start: int = 0) -> Rows:
        """Rows of HEALTH from `start` on, as far as there are any now; none in recordings older than that table."""
        if self._health is None:
            path = self.folder / files.HEALTH_TABLE
            if not path.exists():
                return np.zeros(0, HEALTH)
            self._health = TableReader(path)
        rows = self._health.rows(start)
        return rows if self.neutral is None else self.neutral.health(rows)

    @property
    def finished(self) -> bool:
        """Whether the session was closed properly."""
        return (self.folder / files.SUMMARY).is_file()

    @property
    def being_written(self) -> bool:
        """Whether the session is running; neither this nor `finished`: it was broken off."""
        return self.table.being_written

    @property
    def summary(self) -> dict[str, Any] | None:
        """The outcome; None while the session runs, or if it was broken off.

        Raises:
            RecordingError: there is one, and it is damaged.
        """
        summary = files.read_map(self.folder / files.SUMMARY) if self.finished else None
        return summary if self.neutral is None else self.neutral.outcome(summary)

    @property
    def stream(self) -> Stream:
        """The readings alone, to replay.

        Raises:
            RecordingError: the rows hold no readings.
        """
        rows = self.rows()
        missing = set(READING.names or ()) - set(rows.dtype.names or ())
        if missing:
            raise RecordingError(f"{self.folder / files.TABLE}: its rows lack {', '.join(sorted(missing))}")
        readings = np.empty(len(rows), READING)
        for name in READING.names or ():
            readings[name] = rows[name]
        names = tuple(self.header["input_names"])
        return Stream(readings, self.header["rate_mhz"], self.header["nano_units"], str(self.folder), names)


def _neutral(header: dict[str, Any], folder: Path) -> blinding.Neutral:
    """How it is shown; only which number a test has is taken from what was put apart."""
    try:
        return blinding.Neutral(blinding.opened(header, folder).get("decisions") or ())
    except RecordingError:
        return blinding.Neutral()


def lacking(header: Mapping[str, Any]) -> str:
    """What a replay needs and this header does not have, as a list in words; empty if all is there."""
    return ", ".join(name for name, kind in _REPLAY_NEEDS.items() if not isinstance(header.get(name), kind))


def _why_no_header(folder: Path) -> str:
    if not folder.is_dir():
        return "there is no such session folder"
    if (folder / files.TABLE).exists():
        return f"{files.HEADER} is missing: the session never began, or the file was removed"
    return f"not a session folder: it has no {files.HEADER}"


def _read_header(path: Path) -> dict[str, Any]:
    header = files.read_map(path)
    version = header.get("format_version")
    if header.get("format") != files.FORMAT or not isinstance(version, int):
        raise RecordingError(f"{path}: not the header of a closedloop session")
    if version > files.VERSION:
        raise RecordingError(f"{path}: format {version} is newer than {files.VERSION}; update closedloop to read it")
    if lacking(header):
        raise RecordingError(f"{path}: damaged: no usable {lacking(header)}; restore it from a copy")
    return Header(header, path)
