"""Opens files that others may have made, and only if they are files. What is in them is not judged here.

A name in a stranger's session folder or configuration may lead to a pipe, which keeps a reader waiting for ever, or to
a device that never ends. Links are followed: data sets are often kept as links to files elsewhere, and a reader can do
no more with what it finds there than its user can.
"""

from __future__ import annotations

import errno
import os
import stat
from io import FileIO
from pathlib import Path

MOST_BYTES = 64 * 2**20  # of a file that is read whole and is no recording
_WITHOUT_WAITING = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def opened(path: Path) -> FileIO:
    """An ordinary file, for reading, without a buffer. Never waits.

    Raises:
        OSError: it is not there, may not be read, or is a folder, a pipe or a device; `strerror` says which.
    """
    try:
        descriptor = os.open(path, _WITHOUT_WAITING)
    except ValueError as error:  # a NUL in the name
        raise OSError(errno.EINVAL, "no file has such a name", str(path)) from error
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "a pipe or a device, not a file", str(path))
        return FileIO(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """All of an ordinary file.

    Raises:
        OSError: as `opened`, or it is longer than it can sensibly be.
    """
    with opened(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise OSError(errno.EFBIG, f"longer than {most:,} bytes", str(path))
        return file.read(most)


def read_text(path: Path, most: int = MOST_BYTES) -> str:
    """All of an ordinary text file, in UTF-8, with or without a byte order mark, its lines ended by newlines alone.

    Raises:
        OSError: as `read_bytes`.
        UnicodeDecodeError: it is not UTF-8.
    """
    text = read_bytes(path, most).decode("utf-8-sig")
    return text.replace("\r\n", "\n").replace("\r", "\n")
