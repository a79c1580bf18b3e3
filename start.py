#!/usr/bin/env python3
"""Sets everything up in a folder of its own and starts it: nothing but Python 3.11 or newer is needed.

    python3 start.py demo           the whole system on a simulated rig; any closedloop command can stand here
    python3 start.py test           every test, with what the tests need

All output of the set-up goes to standard error, so that what the program prints can be piped.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("lint-imports",),
)
# By what each is looked for: a compiler for the host's side, the boards' toolchain and emulator, the proofs' tools
DEBIAN_FOR_TESTS = {
    "gcc": "gcc libc6-dev make",
    "avr-gcc": "gcc-avr avr-libc binutils-avr libsimavr-dev libelf-dev arduino-core-avr",
    "clang": "clang libclang-rt-14-dev",
    "frama-c": "frama-c-base why3 z3 cvc4",
    "Xvfb": "xvfb",
    "xdotool": "xdotool",
}
# What Qt finds on a desktop, and a bare machine lacks: by the library that is missed, as Debian names its package
DEBIAN_FOR_WINDOWS = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1 fonts-dejavu-core",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
}
WITH_WINDOW = ("demo", "run", "watch", "dashboard")


def say(text: str) -> None:
    """A line for the person who waits, out of the way of what the program prints."""
    print(text, file=sys.stderr, flush=True)


def run(*command: object, check: bool = True, **more: object) -> int:
    """Run a command of the set-up with its output on standard error."""
    done = subprocess.run([str(part) for part in command], stdout=sys.stderr, check=False, **more)  # type: ignore[call-overload]
    if check and done.returncode:
        say(f"set-up failed at: {' '.join(str(part) for part in command)}")
        raise SystemExit(done.returncode)
    return int(done.returncode)


def debian(*packages: str) -> bool:
    """Install Debian packages where that is possible; otherwise name them."""
    if not shutil.which("apt-get") or os.geteuid() != 0:
        say(f"these packages are needed and can't be installed from here; please install: {' '.join(packages)}")
        return False
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run("apt-get", "update", "-q", check=False, env=environment)
    return run("apt-get", "install", "-qy", "--no-install-recommends", *packages, check=False, env=environment) == 0


def missing_for_windows() -> list[str]:
    """Debian packages of the libraries that Qt needs and this Linux machine does not have."""
    if platform.system() != "Linux":
        return []
    packages = []
    for library, package in DEBIAN_FOR_WINDOWS.items():
        try:
            ctypes.CDLL(library)
        except OSError:
            packages += package.split()
    return packages


def wants_window(arguments: list[str]) -> bool:
    """Whether a window will be drawn: there is a screen for it, or a picture is asked for."""
    has_screen = platform.system() != "Linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    asked = "--screenshot" in arguments or (has_screen and "--headless" not in arguments)
    return arguments[0] in WITH_WINDOW and bool(asked)


def make_venv() -> None:
    """A virtual environment; Debian splits the module that makes it from Python itself."""
    if PYTHON.exists():
        return
    if run(sys.executable, "-m", "venv", VENV, check=False) == 0 and PYTHON.exists():
        return
    shutil.rmtree(VENV, ignore_errors=True)
    if not debian("python3-venv"):
        raise SystemExit(2)
    run(sys.executable, "-m", "venv", VENV)


def install(extra: str, lock: Path) -> None:
    """The locked packages and this program, unless that has been done for this very lock."""
    stamp = VENV / f"installed-{extra or 'plain'}"
    wanted = hashlib.sha256(lock.read_bytes() + (HERE / "pyproject.toml").read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    say(f"setting up in {VENV} (once; about a minute) ...")
    pip = (PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    target = f"{HERE}[{extra}]" if extra else str(HERE)
    run(*pip, "--constraint", lock, "--editable", target)
    stamp.write_text(wanted)


def test(arguments: list[str]) -> int:
    """Every check and every test; `--quick` leaves the checks out. Other arguments are pytest's."""
    install("dev", HERE / "requirements.lock")
    missing = [packages for tool, packages in DEBIAN_FOR_TESTS.items() if not shutil.which(tool)]
    missing += missing_for_windows()
    if missing and platform.system() == "Linux":
        debian(*" ".join(missing).split())
    checks = () if "--quick" in arguments else CHECKS
    for name, *rest in checks:
        say(f"-- {' '.join([name, *rest])}")
        if (code := subprocess.run([BIN / name, *rest], cwd=HERE, check=False).returncode) != 0:
            return code
    rest = [a for a in arguments if a != "--quick"]
    return subprocess.run([PYTHON, "-m", "pytest", *rest], cwd=HERE, check=False).returncode


def main(arguments: list[str]) -> int:
    """Set up what the command needs, then hand over to it."""
    if sys.version_info < (3, 11):
        say(f"Python 3.11 or newer is needed (this is {platform.python_version()}); install it and try again")
        return 2
    if not arguments:
        say(__doc__ or "")
        return 2
    make_venv()
    if arguments[0] == "test":
        return test(arguments[1:])
    install("", HERE / "requirements.lock")
    if wants_window(arguments) and (missing := missing_for_windows()):
        debian(*missing)
    command = [str(BIN / "closedloop"), *arguments]
    if os.name == "posix":
        os.execv(command[0], command)  # Ctrl-C and kill then reach the program itself
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
