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
import time
from pathlib import Path

_KEPT_S = 30 * 86_400  # what no start has used for so long is thrown away
_USED = "used"
_PACKAGE = Path(__file__).parent


def place() -> Path | None:
    """A folder for these very sources that can be written to, made if need be; None where there is none."""
    home = _base() / "closedloop-kernels"
    folder = home / _digest()
    try:
        if folder.is_dir() and any(file.stat().st_size == 0 for file in folder.rglob("*.*")):
            shutil.rmtree(folder, ignore_errors=True)  # what a power cut leaves of a file
        folder.mkdir(parents=True, exist_ok=True)
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
