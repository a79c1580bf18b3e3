"""How a table of rows lies in its file. No file is opened here.

    byte 0      what this file is: magic, version, sizes, and the check of these and of the fields
    byte 64     head: rows appended; stored after the rows
    byte 128    synced: rows known to be on the disk; stored after the sync
    byte 192    the fields of a row, as JSON
    byte 4096   the rows, each followed by its check and padded to a multiple of 8 bytes

All numbers are little endian. A row's check is the CRC-32 of its bytes seeded with its index, so that a torn
row, a page that never reached the disk, and a row that belongs elsewhere are seen and cut, not believed.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt

from closedloop.errors import RecordingError

DType = np.dtype[np.void]
Rows = npt.NDArray[np.void]

MAGIC = b"CLTABLE\n"
VERSION = 1
PAGE_BYTES = 4096
HEAD_AT, SYNCED_AT, FIELDS_AT = 64, 128, 192  # apart, so that two threads do not fight for a cache line
LOCK_AT = PAGE_BYTES - 1  # on Windows a locked byte cannot be read: nothing is in it, and readers stop short
CHUNK_ROWS = 8192  # times a stride of n x 8 bytes = n x 64 KiB, from where every system can map a file

CHECK = struct.Struct("<I")
COUNTER = struct.Struct("@Q")  # native, because that is a single store; "<Q" is stored byte by byte

_OTHERS = "it was not written by closedloop; restore it from a copy"
_PREFIX = struct.Struct("<8sIIII")  # magic, version, bytes of a row, bytes from row to row, bytes of JSON


class Layout(NamedTuple):
    """Where the rows are.

    Attributes:
        dtype: of one row, without its check.
        row_bytes: bytes of one row, without its check.
        stride: bytes from one row to the next.
    """

    dtype: DType
    row_bytes: int
    stride: int

    @classmethod
    def of(cls, dtype: DType) -> Layout:
        """The layout of rows of this dtype."""
        stride = -(-(dtype.itemsize + CHECK.size) // 8) * 8
        return cls(dtype, dtype.itemsize, stride)


def row_check(row: bytes | memoryview, index: int) -> int:
    """What is stored after the row that is number `index`."""
    return crc32(row, index & 0xFFFFFFFF)


def first_page(layout: Layout) -> bytes:
    """The first PAGE_BYTES of an empty table.

    Raises:
        ValueError: a field is not a plain number, or there are too many.
    """
    fields = _fields(layout.dtype)
    prefix = _PREFIX.pack(MAGIC, VERSION, layout.row_bytes, layout.stride, len(fields))
    check = CHECK.pack(crc32(prefix + fields))
    page = (prefix + check).ljust(FIELDS_AT, b"\0") + fields
    if len(page) > LOCK_AT:
        raise ValueError(f"{len(layout.dtype.names or ())} fields do not fit the first page of a table")
    return page.ljust(PAGE_BYTES, b"\0")


def parse(page: bytes, path: Path) -> Layout:
    """The layout that a first page describes; `path` is for messages.

    Raises:
        RecordingError: not a table, of a newer version, or damaged.
    """
    if not page.startswith(MAGIC) or len(page) < FIELDS_AT:
        raise RecordingError(f"{path}: not a table of rows, or its first page is lost; restore it from a copy")
    _, version, row_bytes, stride, size = _PREFIX.unpack_from(page)
    if version > VERSION:
        raise RecordingError(f"{path}: version {version} is newer than {VERSION}; update closedloop to read it")
    fields = page[FIELDS_AT : FIELDS_AT + size]
    if CHECK.unpack_from(page, _PREFIX.size)[0] != crc32(page[: _PREFIX.size] + fields):
        raise RecordingError(f"{path}: its first page is damaged; restore it from a copy")
    try:
        layout = Layout.of(_dtype(json.loads(fields)))
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError) as error:
        raise RecordingError(f"{path}: its first page describes no rows of plain numbers; {_OTHERS}") from error
    if layout[1:] != (row_bytes, stride):
        raise RecordingError(f"{path}: its first page contradicts itself; {_OTHERS}")
    return layout


def _fields(dtype: DType) -> bytes:
    _refuse_strange(dtype)
    fields = dict(dtype.fields or {})
    about = {
        "names": list(fields),
        "formats": [field[0].str for field in fields.values()],
        "offsets": [field[1] for field in fields.values()],
        "itemsize": dtype.itemsize,
        "aligned": dtype.isalignedstruct,
    }
    return json.dumps(about, separators=(",", ":")).encode()


def _dtype(about: dict[str, Any]) -> DType:
    fields: Any = {name: about[name] for name in ("names", "formats", "offsets", "itemsize")}
    dtype: DType = np.dtype(fields, align=bool(about["aligned"]))
    _refuse_strange(dtype)
    return dtype


def _refuse_strange(dtype: DType) -> None:
    """Refuse what is not a row of numbers: of others' objects and texts nothing is ever made.

    Raises:
        ValueError: a field is not a plain number, or there are none.
    """
    fields = dict(dtype.fields or {})
    if not fields or any(field[0].kind not in "biuf" for field in fields.values()):
        raise ValueError(f"the rows of a table have named fields of plain numbers (got {dtype})")
