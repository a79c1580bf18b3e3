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

from closedloop import plain_file
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

    A row is checked before it is given. Those that are known to be on the disk are not checked before: opening a long
    recording takes no longer than opening a short one. Reading stops before the first row that is damaged.

    Attributes:
        cut: rows that should be there and are lost or damaged, as of the last look.

    Raises:
        RecordingError: here and in all methods: the file cannot be opened; here: it is not a table, is of a
            newer version, or its first page is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.cut = 0
        self._path = path
        self._good = 0  # rows that are known to be on the disk or were checked
        self._checked = 0  # rows from the first on, without a gap, that this reader has checked itself
        self._synced = 0
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
        """A read-only, contiguous copy of rows [start, stop), as far as there are any good ones; as a slice counts."""
        with self._open() as file:
            start, stop, _ = slice(start, stop).indices(self._look(file))
            if stop - start > CHUNK_ROWS:
                stop = self._not_in_a_hole(file, start, stop)
            stored = self._read(file, start, max(start, stop))
            if start + len(stored) > self._checked:
                stored = self._believed(file, stored, start)
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
            self._checked = max(self._checked, good)
            return self._cut_at(file, good) if good < head else head

    def whole_after(self, start: int) -> npt.NDArray[np.int64]:
        """Numbers of all rows from `start` to the end of the file whose check is right, damaged ones between or not."""
        with self._open() as file:
            there = self._there(file)
            found = [
                first + np.flatnonzero(self._whole(self._read(file, first, min(there, first + CHUNK_ROWS)), first))
                for first in range(start, there, CHUNK_ROWS)
            ]
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    def end_of(self, rows: int) -> int:
        """Length of the file with so many rows and nothing after them."""
        return PAGE_BYTES + rows * self._layout.stride

    def _there(self, file: FileIO) -> int:
        """Rows for which the file is long enough."""
        return max(0, os.fstat(file.fileno()).st_size - PAGE_BYTES) // self._layout.stride

    def _not_in_a_hole(self, file: FileIO, start: int, stop: int) -> int:
        """`stop`, or before: a file may claim more rows than any memory holds, and have a hole in their place."""
        if self._good_rows(self._read(file, stop - 1, stop), stop - 1):
            return stop
        good = start + self._count_good(file, start, stop)
        self._cut_at(file, good)
        return good

    def _believed(self, file: FileIO, stored: npt.NDArray[np.uint8], start: int) -> npt.NDArray[np.uint8]:
        """Of rows as stored, those before the first that is damaged; each is checked once, if read in order."""
        good = self._good_rows(stored, start)
        if start <= self._checked:
            self._checked = max(self._checked, start + good)
        if good < len(stored) and start + good < self._synced:
            self._cut_at(file, start + good)
        return stored[:good]

    def _cut_at(self, file: FileIO, row: int) -> int:
        """From now on reading stops before this row; how many there are then."""
        self._bad_at = row if self._bad_at is None else min(self._bad_at, row)
        return self._look(file)

    def _open(self) -> FileIO:
        try:
            return plain_file.opened(self._path)
        except OSError as error:
            raise RecordingError(f"{self._path}: cannot be opened: {error.strerror}") from error

    def _look(self, file: FileIO) -> int:
        head, self._synced = _read_counters(file)
        there = self._there(file)
        if self._bad_at is not None:
            there = min(there, self._bad_at)
        end = min(head, there)
        known = min(end, max(self._good, self._synced))
        good = known + self._count_good(file, known, end)
        if good == end:
            good = self._end_uncounted(file, end, there)
        self._good = good
        self.cut = max(0, head - good)
        return good

    def _end_uncounted(self, file: FileIO, start: int, stop: int) -> int:
        """Where the whole rows end that follow the last one counted: in a power cut a row may outlive its count."""
        step = 1  # nearly always there is none
        while start < stop:
            last = min(start + step, stop)
            good = self._count_good(file, start, last)
            if start + good < last:
                return start + good
            start, step = last, CHUNK_ROWS
        return start

    def _count_good(self, file: FileIO, start: int, stop: int) -> int:
        """How many rows of [start, stop) there are before the first that is damaged or gone."""
        for first in range(start, stop, CHUNK_ROWS):
            last = min(stop, first + CHUNK_ROWS)
            good = self._good_rows(self._read(file, first, last), first)
            if good < last - first:
                return first + good - start
        return max(0, stop - start)

    def _good_rows(self, stored: npt.NDArray[np.uint8], first: int) -> int:
        """How many there are before the first that is damaged; the first of them is row number `first`."""
        for at in range(0, len(stored), CHUNK_ROWS):
            whole = self._whole(stored[at : at + CHUNK_ROWS], first + at)
            if not whole.all():
                return at + int(whole.argmin())
        return len(stored)

    def _whole(self, stored: npt.NDArray[np.uint8], first: int) -> npt.NDArray[np.bool_]:
        """Of each row whether its check is right."""
        _, row_bytes, _ = self._layout
        texts = np.ascontiguousarray(stored[:, :row_bytes]).view(f"V{row_bytes}").reshape(-1).tolist()
        checks = np.ascontiguousarray(stored[:, row_bytes : row_bytes + CHECK.size]).view("<u4").reshape(-1)
        of_rows = map(row_check, texts, range(first, first + len(texts)))
        whole: npt.NDArray[np.bool_] = np.fromiter(of_rows, np.uint32, len(texts)) == checks
        return whole

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
