"""Reads a table of rows, while it grows or years later. The file is never changed, mapped or kept open.

Not mapped, because a mapped reader dies of a bus error when the file is cut short, and on Windows keeps the
writer from cutting it. A reader and the writer's mapping need not see the same bytes in the same moment (ARM,
Windows); the checks cover that as they cover damage, and the next look finds what this one did not.
"""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

from closedloop.errors import RecordingError
from closedloop.recording import lock
from closedloop.recording.layout import (
    CHECK,
    CHUNK_ROWS,
    COUNTER,
    FIELDS_AT,
    HEAD_AT,
    LOCK_AT,
    PAGE_BYTES,
    SYNCED_AT,
    DType,
    Rows,
    parse,
    row_check,
)


class TableReader:
    """Reads a table; one that is being written is followed by calling `rows(seen)` again. For one thread.

    Rows that are not known to be on the disk are checked, each of them once; reading stops before the first
    that is damaged.

    Attributes:
        cut: rows that should be there and are lost or damaged, as of the last look.

    Raises:
        RecordingError: here and in all methods: the file cannot be opened; here: it is not a table, is of a
            newer version, or its first page is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.cut = 0
        self._path = path
        self._good = 0
        self._bad_at: int | None = None
        with self._open() as file:
            self._layout = parse(_read_first_page(file), path)
            self._look(file)

    @property
    def dtype(self) -> DType:
        """Of the rows."""
        return self._layout.dtype

    @property
    def head(self) -> int:
        """Rows that can be read now."""
        with self._open() as file:
            return self._look(file)

    @property
    def being_written(self) -> bool:
        """Whether the writer is alive and has not closed the table."""
        with self._open() as file:
            return lock.is_taken(file, LOCK_AT)

    def rows(self, start: int = 0, stop: int | None = None) -> Rows:
        """A read-only, contiguous copy of rows [start, stop), as far as there are any; as a slice counts."""
        with self._open() as file:
            start, stop, _ = slice(start, stop).indices(self._look(file))
            stored = self._read(file, start, max(start, stop))
        rows = np.ascontiguousarray(stored[:, : self._layout.row_bytes]).reshape(-1).view(self.dtype)
        rows.flags.writeable = False
        return rows

    def verify(self) -> int:
        """Checks all rows, those on the disk too, and cuts at the first damaged one from now on.

        Returns:
            How many rows are good.
        """
        with self._open() as file:
            head = self._look(file)
            good = self._count_good(file, 0, head)
            if good < head:
                self._bad_at = good
            return self._look(file)

    def _open(self) -> FileIO:
        try:
            return self._path.open("rb", buffering=0)
        except OSError as error:
            raise RecordingError(f"{self._path}: cannot be opened: {error.strerror}") from error

    def _look(self, file: FileIO) -> int:
        head, synced = _read_counters(file)
        there = max(0, os.fstat(file.fileno()).st_size - PAGE_BYTES) // self._layout.stride
        end = min(head, there)
        if self._bad_at is not None:
            end = min(end, self._bad_at)
        known = min(end, max(self._good, synced))
        self._good = known + self._count_good(file, known, end)
        self.cut = head - self._good
        return self._good

    def _count_good(self, file: FileIO, start: int, stop: int) -> int:
        """How many rows of [start, stop) there are before the first that is damaged or gone."""
        for first in range(start, stop, CHUNK_ROWS):
            last = min(stop, first + CHUNK_ROWS)
            good = self._good_rows(self._read(file, first, last), first)
            if good < last - first:
                return first + good - start
        return stop - start

    def _good_rows(self, stored: npt.NDArray[np.uint8], first: int) -> int:
        _, row_bytes, stride = self._layout
        data = stored.reshape(-1).data
        for i in range(len(stored)):
            check_at = i * stride + row_bytes
            if CHECK.unpack_from(data, check_at)[0] != row_check(data[i * stride : check_at], first + i):
                return i
        return len(stored)

    def _read(self, file: FileIO, start: int, stop: int) -> npt.NDArray[np.uint8]:
        """Rows as stored, with their checks, one a line; fewer, if the file was cut in this very moment."""
        stored = np.empty((stop - start, self._layout.stride), np.uint8)
        file.seek(PAGE_BYTES + start * self._layout.stride)
        got = _fill(file, stored.reshape(-1).data)
        return stored[: got // self._layout.stride]


def _read_first_page(file: FileIO) -> bytes:
    page = bytearray(LOCK_AT)
    file.seek(0)
    return bytes(page[: _fill(file, memoryview(page))])


def _read_counters(file: FileIO) -> tuple[int, int]:
    page = _read_first_page(file)
    if len(page) < FIELDS_AT:
        return 0, 0
    return COUNTER.unpack_from(page, HEAD_AT)[0], COUNTER.unpack_from(page, SYNCED_AT)[0]


def _fill(file: FileIO, into: memoryview) -> int:
    """Bytes read: one read may give fewer than there are (on Linux never more than 2 GiB)."""
    got = 0
    while got < len(into) and (more := file.readinto(into[got:])):
        got += more
    return got
