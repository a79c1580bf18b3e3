"""The C library by ctypes: built when it is missing or older than its sources. Nothing about boards is decided here."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
BUILD = HERE.parent / "build" / "emulator"
HEADER = Path("/usr/include/simavr/sim_avr.h")
EVENT = "<QII"

_P, _U8, _U32, _U64, _I32 = ctypes.c_void_p, ctypes.c_uint8, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_int
_CHAR, _TEXT, _I64 = ctypes.c_char, ctypes.c_char_p, ctypes.c_int64
SIGNATURES: dict[str, tuple[type | None, tuple[type, ...]]] = {
    "new": (_P, (_TEXT, _TEXT, ctypes.c_double, _U64)),
    "free": (None, (_P,)),
    "run": (_I32, (_P, _U64)),
    "run_together": (_I32, (_P, _P, _P, _U32, _U32, _P)),
    "cycle": (_U64, (_P,)),
    "write": (None, (_P, _TEXT, _U32, _U64)),
    "read": (_U32, (_P, _U64, _P, _P, _U32)),
    "events": (_U32, (_P, _P, _U32)),
    "set_pin": (None, (_P, _CHAR, _U8, _U8)),
    "outputs": (_U8, (_P, _CHAR)),
    "mute": (None, (_P, _CHAR, _U8)),
    "wire": (_I32, (_P, _CHAR, _U8, _P, _U32, _CHAR, _U8)),
    "set_voltage": (None, (_P, _U32, _U32, _I64, _I64)),
    "set_led": (None, (_P, _U32, _CHAR, _U8)),
    "eeprom": (_I32, (_P, _U32, _I32)),
    "peek": (_U8, (_P, _U32)),
    "poke": (None, (_P, _U32, _U8)),
    "hang": (None, (_P, _U8)),
    "ram_end": (_U32, (_P,)),
    "reset": (None, (_P, _U8, _U64, _U64)),
}


def missing() -> str | None:
    """What stands in the way of emulated boards on this machine, or None."""
    absent = [tool for tool in ("gcc", "make", "avr-gcc") if not shutil.which(tool)]
    if not HEADER.exists():
        absent.append("libsimavr-dev")
    if not Path("/usr/include/libelf.h").exists():
        absent.append("libelf-dev")
    if not absent:
        return None
    return f"emulated boards need {', '.join(absent)} (Debian: gcc make gcc-avr avr-libc libsimavr-dev libelf-dev)"


@functools.cache
def load() -> ctypes.CDLL:
    """The library, built if need be; raises RuntimeError with what to install where that cannot be."""
    absent = missing()
    if absent:
        raise RuntimeError(absent)
    library = BUILD / "libemulator.so"
    make("libemulator.so")
    loaded = ctypes.CDLL(str(library))
    for name, (result, arguments) in SIGNATURES.items():
        function = getattr(loaded, f"emulator_{name}")
        function.restype, function.argtypes = result, list(arguments)
    return loaded


def make(target: str) -> Path:
    """Builds one file below the build folder, and returns its path; raises RuntimeError with the compiler's words."""
    path = BUILD / target
    command = ["make", "-s", "-C", str(HERE), f"BUILD={BUILD}", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr or done.stdout}")
    return path
