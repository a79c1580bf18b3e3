"""One writer a file: a lock that the system takes back when its holder dies, so that none is ever stale.

Only the two systems' calls are here; what is locked and why is the caller's business.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from io import FileIO

if sys.platform == "win32":
    import msvcrt

    def take(file: FileIO, at: int) -> None:
        """Locks the file for this process; `at` is the byte that stands for it, where a system locks bytes.

        Raises:
            OSError: somebody else holds it, or this disk knows no locks.
        """
        file.seek(at)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)

    def is_taken(file: FileIO, at: int) -> bool:
        """Whether somebody holds the file now."""
        file.seek(at)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return True
        file.seek(at)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
        return False

else:
    import fcntl

    _TRIES = 100  # a reader that asks `is_taken` holds it, too, for some microseconds

    def take(file: FileIO, at: int) -> None:
        """Locks the file for this process; `at` is the byte that stands for it, where a system locks bytes.

        Raises:
            OSError: somebody else holds it, or this disk knows no locks.
        """
        del at
        for _ in range(_TRIES):
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def is_taken(file: FileIO, at: int) -> bool:
        """Whether somebody holds the file now."""
        del at
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(file, fcntl.LOCK_UN)
        return False
