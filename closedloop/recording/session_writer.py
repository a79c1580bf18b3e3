"""Writes one session folder, from just before the first reading to the summary. It decides nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from closedloop.errors import ConfigError, RecordingError
from closedloop.health import HEALTH
from closedloop.readings import READING
from closedloop.recording import folder as files
from closedloop.recording.events import EventWriter
from closedloop.recording.layout import DType
from closedloop.recording.session_reader import lacking
from closedloop.recording.space import Reserve
from closedloop.recording.table_writer import TableWriter

_RESERVE_BYTES = 256 * 1024  # a thousand events and the summary


def row_dtype(step: DType) -> DType:
    """One row: the reading, `host_ns` (its arrival on the host's monotonic clock), and the loop's step."""
    fields: list[tuple[str, Any]] = [(name, READING[name]) for name in READING.names or ()]
    fields.append(("host_ns", "<i8"))
    fields += [(name, step[name]) for name in step.names or ()]
    return np.dtype(fields, align=True)


class RecordingWriter:
    """Writes one session. One thread appends and adds events; one other may call `sync` at the same time.

    Attributes:
        folder: the session folder.
        append: adds rows, see `TableWriter.append`.
        event: adds an event, see `EventWriter.append`.
        health: adds rows of HEALTH.
    """

    def __init__(
        self, folder: Path, table: TableWriter, health: TableWriter, events: EventWriter, reserve: Reserve
    ) -> None:
        self.folder = folder
        self._tables = (table, health)
        self._events = events
        self._reserve = reserve
        self._closed = False
        self.append = table.append  # themselves and not wrapped: this is the hot path
        self.event = events.append
        self.health = health.append

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        header: Mapping[str, Any],
        protocol: str,
        rig: str,
        dtype: DType,
        sealed: str | None = None,
    ) -> RecordingWriter:
        """Begins the recording in a folder made by `create`.

        Args:
            folder: where nothing has been recorded yet.
            header: what a reader years later must know, as plain JSON; `rate_mhz`, `nano_units` and
                `input_names` must be in it. nan becomes null.
            protocol: text of the protocol as run.
            rig: text of the rig as run.
            dtype: of one row, see `row_dtype`.
            sealed: of a blinded session, what was put apart; see `blinding`.

        Raises:
            ConfigError: the folder holds a recording, or cannot be written, or the disk is full.
            ValueError: the header lacks what a replay needs.
        """
        if lacking(header):
            raise ValueError(f"a header needs {lacking(header)}")
        with _in_words(folder), ExitStack() as opened:
            table = TableWriter(folder / files.TABLE, dtype)
            opened.callback(table.close)
            health = TableWriter(folder / files.HEALTH_TABLE, HEALTH)
            opened.callback(health.close)
            reserve = Reserve(folder / files.RESERVE, _RESERVE_BYTES)
            events = EventWriter(folder / files.EVENTS, make_space=reserve.release)
            opened.callback(events.close)
            files.write_text(folder / files.PROTOCOL, protocol)
            files.write_text(folder / files.RIG, rig)
            if sealed is not None:
                files.write_text(folder / files.SEALED, sealed)
            table.sync()  # before the header is there: a power cut leaves no session without its tables
            health.sync()
            about = {**header, "format": files.FORMAT, "format_version": files.VERSION}
            files.write_map(folder / files.HEADER, about)
            opened.pop_all()
        return cls(folder, table, health, events, reserve)

    def sync(self) -> None:
        """Waits until what was written before this call is on the disk; to be called once a second.

        Raises:
            RecordingError: the disk refused, or is full and events are written into the reserve: time to end.
        """
        for table in self._tables:
            table.sync()
        self._events.sync()
        if self._reserve.released:
            raise RecordingError(f"{self.folder}: the disk is full; make space, then start a new session")

    def close(self, summary: Mapping[str, Any]) -> None:
        """Ends the recording. Closing again does nothing.

        Raises:
            RecordingError: the disk refused; what could be closed is closed.
        """
        if self._closed:
            return
        self._closed = True
        with ExitStack() as closing:  # from the last to the first, each even if another fails
            for table in self._tables:
                closing.callback(table.close)  # gives up the lock: until the summary is there the session is ours
            closing.callback(self._write_summary, summary)
            closing.callback(self._reserve.release)
            closing.callback(self._events.close)
            for table in self._tables:
                closing.callback(table.settle)

    def _write_summary(self, summary: Mapping[str, Any]) -> None:
        path = self.folder / files.SUMMARY
        try:
            files.write_map(path, summary)
        except OSError as error:
            raise RecordingError(f"{path}: could not be written: {error.strerror}") from error


@contextmanager
def _in_words(folder: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise ConfigError(f"{folder}: already holds a recording; a session folder is written once") from error
    except RecordingError as error:
        raise ConfigError(f"{error}; choose another data folder with --out") from error
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}; choose another data folder with --out") from error
