"""Cuts what was torn off the end of a table or an event log. Nothing that is whole is changed, and no byte is lost.

A file is cut after its last whole row or line, wherever the first damaged one may be: what is whole behind a hole stays
in its place, though reading stops before the hole. What is cut off goes into a file beside, NAME.torn, first.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from closedloop.recording import folder as files
from closedloop.recording.events import EventReader, whole_bytes
from closedloop.recording.table_reader import TableReader

TORN = ".torn"


class Cut(NamedTuple):
    """Where a file is to be cut, or was.

    Attributes:
        path: of the file.
        end: its length when it is cut.
        good: rows or lines that are given by readers.
        lost: rows that were counted and are not given; of a log always 0, for it keeps no count.
        apart: whole rows or lines that lie behind a damaged one, and are not given.
    """

    path: Path
    end: int
    good: int
    lost: int
    apart: int

    @property
    def torn(self) -> Path:
        """Where what is cut off is kept."""
        return self.path.with_name(self.path.name + TORN)

    def make(self) -> None:
        """Keeps what is beyond the end beside, if it is anything, and cuts. Doing it again changes nothing.

        Raises:
            OSError: the disk refused; what was to be cut off is still there.
        """
        with self.path.open("r+b", buffering=0) as file:
            if os.fstat(file.fileno()).st_size <= self.end:
                return
            file.seek(self.end)
            tail = file.read().rstrip(b"\0")  # space that was taken ahead is zeros
            if tail:
                files.write_bytes(self.torn, tail)
            file.truncate(self.end)
            os.fsync(file.fileno())

    def told(self) -> dict[str, int]:
        """As numbers, from what is there once it is made: the same however often it was made."""
        kept = self.torn.stat().st_size if self.torn.exists() else 0
        return {"saved": self.good, "lost": self.lost, "apart": self.apart, "torn_bytes": kept}


def of_table(path: Path) -> Cut:
    """Where a table that nobody writes is to be cut.

    Raises:
        RecordingError: it cannot be read.
    """
    reader = TableReader(path)
    good = reader.head
    whole = reader.whole_after(good)
    end = int(whole[-1]) + 1 if len(whole) else good
    return Cut(path, reader.end_of(end), good, reader.cut, int(np.count_nonzero(whole > good)))


def of_log(path: Path, log: EventReader) -> Cut:
    """Where an event log that nobody writes is to be cut; `log` reads it.

    Raises:
        RecordingError: it cannot be read.
    """
    good = len(log.events())
    end, lines = whole_bytes(path) if log.cut else (path.stat().st_size, good)
    return Cut(path, end, good, 0, max(0, lines - good))
