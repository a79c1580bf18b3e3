"""Appends rows to a file that others are reading. A row once appended is never changed.

The file is mapped into memory: an append is a copy and not a system call, and what was copied outlives the
process. Space on the disk is taken a chunk at a time, ahead of the rows, by `sync`: the thread that waits for the
disk maps the next chunk, and makes the pages ready that are written next. Where it was too late, `append` does so.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from mmap import PAGESIZE, mmap
from pathlib import Path

from closedloop.errors import RecordingError
from closedloop.recording import lock
from closedloop.recording.layout import (
    CHUNK_ROWS,
    COUNTER,
    HEAD_AT,
    LOCK_AT,
    PAGE_BYTES,
    SYNCED_AT,
    DType,
    Layout,
    Rows,
    first_page,
    row_check,
)
from closedloop.recording.space import FULL, allocate, touch


class TableWriter:
    """Makes a table and appends to it.

    One thread appends. One other may call `sync` at the same time, and has ended before `close` is called.

    Attributes:
        dtype: of the rows, as given.

    Raises:
        FileExistsError: there is a file of that name; a table is written once.
        OSError: the folder is missing or read-only, the disk is full or knows no locks.
        ValueError: a field of the row is not a plain number, or there are too many.
    """

    def __init__(self, path: Path, dtype: DType) -> None:
        self.dtype = dtype
        self._path = path
        self._layout = Layout.of(dtype)
        self._pack_row = struct.Struct(f"<{dtype.itemsize}sI").pack_into
        self._head = 0
        self._settled = False
        self._touched_at = 0  # head when pages were last made ready
        self._number = 0  # of the chunk that rows go to
        self._ahead: tuple[int, mmap] | None = None  # the next chunk and its number, for `append` to take
        page = first_page(self._layout)
        self._file = path.open("x+b", buffering=0)
        try:
            lock.take(self._file, LOCK_AT)
            self._chunk = self._map_chunk(0)
            self._counters = mmap(self._file.fileno(), PAGE_BYTES)
        except OSError:
            self._file.close()
            raise
        self._counters[:] = page

    @property
    def head(self) -> int:
        """Rows appended so far."""
        return self._head

    def append(self, rows: Rows) -> None:
        """Adds any number of rows; when it returns, they outlive this process.

        Raises:
            RecordingError: the disk is full; the rows for which there was space are kept.
            TypeError: the rows are not of the table's dtype.
        """
        if rows.dtype is not self.dtype and rows.dtype != self.dtype:
            raise TypeError(f"rows of {rows.dtype} in a table of {self.dtype}")
        data = rows.tobytes()
        _, row_bytes, stride = self._layout
        index = self._head
        for at in range(0, len(data), row_bytes):
            slot = index % CHUNK_ROWS
            if slot == 0 and index > 0:
                self._publish(index)
                self._next_chunk(index // CHUNK_ROWS)
            row = data[at : at + row_bytes]
            self._pack_row(self._chunk, PAGE_BYTES + slot * stride, row, row_check(row, index))
            index += 1
        self._publish(index)

    def sync(self) -> None:
        """Waits until what was appended before this call is on the disk: bounds what a power cut can take.

        An append never waits for this, however slow the disk. Space for the next chunk is taken first, and if there is
        none now, `append` will say so when it needs it.

        Raises:
            RecordingError: the disk refused; what was appended may not outlive a power cut.
        """
        head = self._head
        with suppress(OSError):
            self._map_ahead()
        try:
            self._flush()
        except OSError as error:
            raise RecordingError(f"{self._path}: not written to the disk: {error.strerror}") from error
        self._touch()
        COUNTER.pack_into(self._counters, SYNCED_AT, head)

    def settle(self) -> None:
        """Syncs, and gives back the space beyond the last row; the file stays locked until `close`. Again: nothing.

        Raises:
            RecordingError: the disk refused.
        """
        if self._settled:
            return
        self._settled = True
        try:
            self.sync()
        finally:
            self._release()

    def close(self) -> None:
        """Settles, and lets the file go. Closing again does nothing.

        Raises:
            RecordingError: the disk refused; the table is closed all the same.
        """
        try:
            self.settle()
        finally:
            self._file.close()

    def _publish(self, head: int) -> None:
        self._head = head
        COUNTER.pack_into(self._counters, HEAD_AT, head)

    def _next_chunk(self, number: int) -> None:
        ahead, self._ahead = self._ahead, None
        try:
            chunk = ahead[1] if ahead is not None and ahead[0] == number else self._map_chunk(number)
            if not hasattr(os, "fdatasync"):
                self._chunk.flush()  # `sync` will not see this mapping again
        except OSError as error:
            said = "no space for more rows" if error.errno in FULL else "more rows can't be kept"
            raise RecordingError(f"{self._path}: {said}: {error.strerror}") from error
        self._chunk = chunk  # the old one is unmapped once a syncing thread, too, has let go of it
        self._number = number

    def _map_ahead(self) -> None:
        """The chunk after the one in use. If `append` maps the same one meanwhile, both see the same pages."""
        number = self._number + 1
        ahead = self._ahead
        if ahead is None or ahead[0] != number:
            self._ahead = number, self._map_chunk(number)

    def _map_chunk(self, number: int) -> mmap:
        """Maps a chunk of rows. They begin PAGE_BYTES into it: a mapping must begin on a boundary."""
        start = number * CHUNK_ROWS * self._layout.stride
        size = PAGE_BYTES + CHUNK_ROWS * self._layout.stride
        allocate(self._file, start + size)
        return mmap(self._file.fileno(), size, offset=start)

    def _flush(self) -> None:
        if hasattr(os, "fdatasync"):  # on Linux it writes what was changed through a mapping, too
            os.fdatasync(self._file.fileno())
            return
        self._chunk.flush()  # keeps the GIL until the disk is done, so it is not used where not needed
        self._counters.flush()
        os.fsync(self._file.fileno())

    def _touch(self) -> None:
        """Makes ready what rows are written to until the next sync, by how many came since the last one.

        A sync leaves every page write-protected, so that the system learns of the next write to it: all that was made
        ready before is undone by then, and what is not used is written once more. Hence few pages, each time.
        """
        head, chunk, ahead = self._head, self._chunk, self._ahead
        stride = self._layout.stride
        coming = (head - self._touched_at) * stride * 5 // 4 + 2 * PAGE_BYTES
        self._touched_at = head
        slot = min(max(0, head - self._number * CHUNK_ROWS), CHUNK_ROWS)  # another chunk may have begun just now
        start = (PAGE_BYTES + slot * stride) // PAGESIZE * PAGESIZE
        stop = min(start + coming, len(chunk))
        touch(self._counters, 0, PAGE_BYTES)
        touch(chunk, start, stop)
        if ahead is not None:
            touch(ahead[1], 0, min(start + coming - stop, len(ahead[1])))

    def _release(self) -> None:
        self._chunk.close()
        if self._ahead is not None:
            self._ahead[1].close()
        self._counters.close()  # before the cut: Windows does not cut a mapped file
        try:
            self._file.truncate(PAGE_BYTES + self._head * self._layout.stride)
            os.fsync(self._file.fileno())
        except OSError as error:
            raise RecordingError(f"{self._path}: could not be closed: {error.strerror}") from error
