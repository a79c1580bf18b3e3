"""Space on the disk, taken before it is needed. What is stored in it is the business of others."""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path


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
        self._path.unlink(missing_ok=True)
        return True
