"""Reads one session folder: of a session that runs, has ended or was broken off. Nothing in it is changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from closedloop.errors import RecordingError
from closedloop.health import HEALTH
from closedloop.readings import READING, Stream
from closedloop.recording import folder as files
from closedloop.recording.events import Event, EventReader
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
        table: its rows, one a reading; `table.cut` rows are lost, and `table.verify()` checks them all.
        log: its events; `log.cut` bytes are lost.
    """

    def __init__(self, folder: Path, header: dict[str, Any]) -> None:
        self.folder = folder
        self.header = header
        self.table = TableReader(folder / files.TABLE)
        self.log = EventReader(folder / files.EVENTS)
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
        return cls(folder, _read_header(folder / files.HEADER))

    def rows(self, start: int = 0, stop: int | None = None) -> Rows:
        """Rows [start, stop), as far as there are any now; see `TableReader.rows`."""
        return self.table.rows(start, stop)

    def events(self, after: int = -1) -> list[Event]:
        """Events whose number is greater than `after`; see `EventReader.events`."""
        return self.log.events(after)

    def health(self, start: int = 0) -> Rows:
        """Rows of HEALTH from `start` on, as far as there are any now; none in recordings older than that table."""
        if self._health is None:
            path = self.folder / files.HEALTH_TABLE
            if not path.exists():
                return np.zeros(0, HEALTH)
            self._health = TableReader(path)
        return self._health.rows(start)

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
        return files.read_map(self.folder / files.SUMMARY) if self.finished else None

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
    return header
