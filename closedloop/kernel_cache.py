"""Where compiled kernels are kept from one start to the next, so that a session begins seconds sooner.

A kernel is made of kernels in other files, and numba looks at its own file alone when it asks whether what was kept is
still true. So the place has the hash of all of the program's sources in its name: one changed letter, and everything is
compiled anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import stat
import time
from pathlib import Path

_KEPT_S = 30 * 86_400  # what no start has used for so long is thrown away
_USED = "used"
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_PACKAGE = Path(__file__).parent


def place() -> Path | None:
    """A folder for these very sources that can be written to, made if need be; None where there is none.

    What is kept is machine code and pickles, which run when they are read: a folder that somebody else owns or may
    write to is not used.
    """
    home = _base() / "closedloop-kernels"
    folder = home / _digest()
    try:
        if not (_claim(home) and _claim(folder)):
            return None
        if folder.is_dir() and any(file.stat().st_size == 0 for file in folder.rglob("*.nb[ci]")):
            shutil.rmtree(folder, ignore_errors=True)  # what a power cut leaves of a file
            _claim(folder)
        (folder / _USED).touch()
    except OSError:
        return None
    _clear(home)
    return folder


def _base() -> Path:
    """The user's folder for what can be made again, as each system has it."""
    if told := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(told)
    if platform.system() == "Windows":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if platform.system() == "Darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _claim(folder: Path) -> bool:
    """Make a folder that nobody else can put anything into; False where one of that name is another user's.

    One of our own that others could write to is emptied. Windows gives a user's own folders to that user alone.

    Raises:
        OSError: it cannot be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not hasattr(os, "geteuid"):
        return True
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        return False
    if found.st_mode & _OTHERS_WRITE:
        shutil.rmtree(folder)
        folder.mkdir(mode=0o700)
    return True


def _digest() -> str:
    """Of every source file of the program, by name and content."""
    found = hashlib.sha256()
    for file in sorted(_PACKAGE.rglob("*.py")):
        found.update(str(file.relative_to(_PACKAGE)).encode())
        found.update(file.read_bytes())
    return found.hexdigest()[:16]


def _clear(home: Path) -> None:
    """Throw away what belongs to sources that were not started for long."""
    oldest = time.time() - _KEPT_S  # noqa: TID251 - files are dated by the wall clock
    with contextlib.suppress(OSError):
        for used in home.glob(f"*/{_USED}"):
            if used.stat().st_mtime < oldest:
                shutil.rmtree(used.parent, ignore_errors=True)
