"""Space on the disk and its pages in memory, taken before they are needed. What is stored there others decide."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from mmap import mmap
from pathlib import Path

FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}  # a disk, a file, or what one user may have
_POPULATE_WRITE = 23  # MADV_POPULATE_WRITE, Linux 5.14 and later; Python's mmap does not name it


def _madvise() -> Callable[..., int] | None:
    """The system's call, which Python's own `mmap.madvise` makes too, but while no other thread can run."""
    if sys.platform != "linux":
        return None
    call = ctypes.CDLL(None).madvise
    call.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    call.restype = ctypes.c_int
    found: Callable[..., int] = call
    return found


_ADVISE = _madvise()


def touch(mapping: mmap, start: int, stop: int) -> None:
    """Makes the pages of [start, stop) ready to be written, and changes no byte in them.

    Without it the first write to each page stops for the system to find it, and now and then for the disk. To be called
    from a thread that may wait. Does nothing where the system has no such call: then the first write takes that long.

    Args:
        mapping: of a file; it stays open until this returns.
        start: a multiple of the page size.
        stop: at most the length of the mapping.
    """
    if _ADVISE is None or stop <= start:
        return
    first = ctypes.c_char.from_buffer(mapping, start)  # holds the mapping open
    _ADVISE(ctypes.addressof(first), stop - start, _POPULATE_WRITE)


def allocate(file: FileIO, size: int) -> None:
    """Makes the file at least `size` bytes long, with space on the disk for all of them.

    Touching a mapped page that has no space kills the process, without an error; hence here and now.

    Raises:
        OSError: the disk is full; the file may have grown.
    """
    missing = size - os.fstat(file.fileno()).st_size
    if missing <= 0:
        return
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    file.seek(0, os.SEEK_END)
    while missing > 0:
        missing -= file.write(bytes(missing))


class Reserve:
    """Space held back so that on a full disk a session can still say how it ended: a file of nothing.

    Attributes:
        released: whether it was given up.

    Raises:
        OSError: the disk has no space even for this.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.released = False
        self._path = path
        with path.open("xb", buffering=0) as file:
            allocate(file, size)

    def release(self) -> bool:
        """Gives the space to whoever writes next; whether there was any to give."""
        if self.released:
            return False
        self.released = True
        with suppress(OSError):  # a disk that went read-only gives nothing back; who writes next is told why
            self._path.unlink(missing_ok=True)
        return True
