"""Whether the program itself is whole: Python, its libraries, and where compiled kernels are kept."""

from __future__ import annotations

import importlib
import platform
import sys
from collections.abc import Callable
from pathlib import Path

from closedloop import kernel_cache
from closedloop.doctor.computer import LINUX, Computer
from closedloop.doctor.finding import Finding, Mend, bad, good, warn

PYTHON, NUMBA, QT, KERNELS = "Python", "numba", "Qt", "compiled kernels"
_QT = "PyQt6.QtWidgets"  # the name alone: this package shows nothing


def missing(module: str) -> str | None:
    """Why a module can't be had, or None if it can. Libraries that do not fit each other fail in many ways."""
    try:
        importlib.import_module(module)
    except (ImportError, OSError, AttributeError, SystemError) as problem:
        return str(problem)
    return None


def findings(
    computer: Computer,
    why_missing: Callable[[str], str | None] = missing,
    place: Callable[[], Path | None] = kernel_cache.place,
) -> list[Finding]:
    """All that is asked here, in the order in which it is shown."""
    return [python(), numba(why_missing), qt(computer, why_missing), kernels(place())]


def python(version: tuple[int, ...] = sys.version_info[:3], bits: int = sys.maxsize.bit_length() + 1) -> Finding:
    """Its version, and that it is one of 64 bits."""
    said = f"{'.'.join(map(str, version))} of {bits} bits, {platform.python_implementation()}"
    if bits < 64:
        return bad(PYTHON, f"{said}: numba has no such", Mend("install Python of 64 bits, from python.org"))
    return good(PYTHON, said)


def numba(why_missing: Callable[[str], str | None] = missing) -> Finding:
    """What makes machine code of the detectors."""
    why = why_missing("numba")
    if why is None:
        return good(NUMBA, "can be loaded")
    return bad(NUMBA, f"can't be loaded: {why}", Mend("in this program's environment", ("pip install closedloop",)))


def qt(computer: Computer, why_missing: Callable[[str], str | None] = missing) -> Finding:
    """What draws the dashboard."""
    why = why_missing(_QT)
    if why is None:
        return good(QT, "can be loaded")
    packages = "sudo apt install libegl1 libgl1 libxkbcommon0 libxcb-cursor0 libdbus-1-3 libfontconfig1"
    mend = Mend("in this program's environment", ("pip install --force-reinstall PyQt6",))
    if computer.system == LINUX and ".so" in why:
        mend = Mend("install what Qt needs of the system", (packages,))
    return warn(QT, f"no dashboard, sessions need --headless: {why}", mend)


def kernels(folder: Path | None) -> Finding:
    """Whether machine code can be kept, so that a session need not compile for seconds each time."""
    if folder is None:
        mend = Mend("name a folder that you may write to", ("export NUMBA_CACHE_DIR=FOLDER",))
        return warn(KERNELS, "can't be kept: each session compiles anew, 10 s or more", mend)
    count = sum(1 for _ in folder.rglob("*.nbc"))
    return good(
        KERNELS, f"{count} files in {folder}" if count else f"none yet; the first session makes them in {folder}"
    )
