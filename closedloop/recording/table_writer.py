"""Appends rows to a file that others are reading. A row once appended is never changed.

The file is mapped into memory: an append is a copy and not a system call, and what was copied outlives the
process. Space on the disk is taken a chunk at a time, ahead of the rows.
"""

from __future__ import annotations

import os
import struct
from mmap import mmap
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
from closedloop.recording.space import allocate


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

        Raises:
            RecordingError: the disk refused; what was appended may not outlive a power cut.
        """
        head = self._head
        try:
            self._flush()
        except OSError as error:
            raise RecordingError(f"{self._path}: not written to the disk: {error.strerror}") from error
        COUNTER.pack_into(self._counters, SYNCED_AT, head)

    def close(self) -> None:
        """Syncs, and gives back the space beyond the last row. Closing again does nothing.

        Raises:
            RecordingError: the disk refused; the table is closed all the same.
        """
        if self._file.closed:
            return
        try:
            self.sync()
        finally:
            self._release()

    def _publish(self, head: int) -> None:
        self._head = head
        COUNTER.pack_into(self._counters, HEAD_AT, head)

    def _next_chunk(self, number: int) -> None:
        try:
            chunk = self._map_chunk(number)
            if not hasattr(os, "fdatasync"):
                self._chunk.flush()  # `sync` will not see this mapping again
        except OSError as error:
            raise RecordingError(f"{self._path}: no space for more rows: {error.strerror}") from error
        self._chunk = chunk  # the old one is unmapped once a syncing thread, too, has let go of it

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

    def _release(self) -> None:
        self._chunk.close()
        self._counters.close()  # before the cut: Windows does not cut a mapped file
        try:
            self._file.truncate(PAGE_BYTES + self._head * self._layout.stride)
            os.fsync(self._file.fileno())
        except OSError as error:
            raise RecordingError(f"{self._path}: could not be closed: {error.strerror}") from error
        finally:
            self._file.close()
