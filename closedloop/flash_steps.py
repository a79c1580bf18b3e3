"""Which tools put firmware on a board, with which words, and how to get them. Nothing is run here."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from closedloop import wire
from closedloop.errors import ClosedLoopError, ConfigError, DeviceError

Role = Literal["daq", "stimulator", "both"]
BAUDS = (500_000, 1_000_000)
ROLES: Mapping[int, Role] = {wire.Board.DAQ: "daq", wire.Board.STIMULATOR: "stimulator", wire.Board.BOTH: "both"}
_TOOLS = ("make", "avr-gcc", "avrdude", "arduino-cli")


class Chip(NamedTuple):
    """How one kind of board is built for and uploaded to."""

    build: str  # its name in the Makefile
    part: str  # avrdude's name of the microcontroller
    programmer: str  # avrdude's name of the bootloader
    upload_baud: int
    fqbn: str  # arduino-cli's name of the board
    more: tuple[str, ...] = ()


CHIPS: Mapping[str, Chip] = {
    "uno": Chip("uno", "atmega328p", "arduino", 115_200, "arduino:avr:uno"),
    "nano": Chip("uno", "atmega328p", "arduino", 115_200, "arduino:avr:nano:cpu=atmega328"),
    "mega": Chip("mega", "atmega2560", "wiring", 115_200, "arduino:avr:mega:cpu=atmega2560", ("-D",)),
}
_OLD_NANO = CHIPS["nano"]._replace(upload_baud=57_600, fqbn="arduino:avr:nano:cpu=atmega328old")


@dataclass(frozen=True)
class Job:
    """What is to be put where; `role` None means the one that the board has."""

    board: str
    port: str
    role: Role | None = None
    baud: int = BAUDS[0]
    old_bootloader: bool = False

    @property
    def chip(self) -> Chip:
        """What kind of board it is."""
        return _OLD_NANO if self.old_bootloader else CHIPS[self.board]


class Tools(NamedTuple):
    """Where the tools are, None for one that is not installed."""

    make: str | None
    avr_gcc: str | None
    avrdude: str | None
    arduino_cli: str | None

    @property
    def can_make(self) -> bool:
        """Whether the Makefile can build here."""
        return self.make is not None and self.avr_gcc is not None


class Step(NamedTuple):
    """One tool to run; `failure` is what its failing means to the user."""

    what: str
    command: tuple[str, ...]
    failure: type[ClosedLoopError]
    hint: str


def installed() -> Tools:
    """The tools on this computer's PATH."""
    return Tools(*(shutil.which(name) for name in _TOOLS))


def mistakes(job: Job) -> list[str]:
    """What is wrong with the request, one line each."""
    problems = []
    if job.board not in CHIPS:
        problems.append(f"--board: no such board (got {job.board}); known are {', '.join(CHIPS)}")
    if job.baud not in BAUDS:
        problems.append(f"--baud: must be {BAUDS[0]} or {BAUDS[1]} (got {job.baud})")
    if job.old_bootloader and job.board != "nano":
        problems.append(f"--old-bootloader: only a nano has one (got --board {job.board}); leave it out")
    return problems


def steps(job: Job, role: Role, tools: Tools, sources: Path, system: str = sys.platform) -> list[Step]:
    """The tools to run, in order.

    Args:
        job: what is to be put where.
        role: what the board shall be.
        tools: those there are.
        sources: the folder of the firmware, which the build writes into.
        system: `sys.platform`, for what to install.

    Raises:
        ConfigError: a tool is missing; one line says which, the next ones how to install it.
    """
    can_build, can_upload = tools.can_make or tools.arduino_cli, tools.avrdude or tools.arduino_cli
    if not (can_build and can_upload):
        raise ConfigError(*_missing(tools), *to_install(system))
    folder = sources / "build" / f"{job.chip.build}-{job.baud}"
    if tools.can_make:
        hex_file = folder / f"{role}.hex"
        build = Step("building with avr-gcc", _make(tools, sources, hex_file), ConfigError, "")
    else:
        hex_file = folder / f"{role}.ino.hex"
        build = Step("building with arduino-cli", _compile(job, role, tools, sources, folder), ConfigError, _CORE)
    upload = _avrdude(job, tools, hex_file) if tools.avrdude else _arduino_upload(job, tools, hex_file)
    name = "avrdude" if tools.avrdude else "arduino-cli"
    return [build, Step(f"uploading with {name}", upload, DeviceError, _upload_hint(job))]


_CORE = "if its core is missing: arduino-cli core install arduino:avr"


def _make(tools: Tools, sources: Path, hex_file: Path) -> tuple[str, ...]:
    return (str(tools.make), "-C", str(sources), hex_file.relative_to(sources).as_posix())


def _compile(job: Job, role: Role, tools: Tools, sources: Path, folder: Path) -> tuple[str, ...]:
    """The baud rate is the one thing that the sources leave to the build."""
    define = f"-DBAUD={job.baud}UL"
    properties = (f"compiler.c.extra_flags={define}", f"compiler.cpp.extra_flags={define}")
    options = [part for text in properties for part in ("--build-property", text)]
    out = ("--output-dir", str(folder))
    return (
        str(tools.arduino_cli),
        "compile",
        "--fqbn",
        job.chip.fqbn,
        *options,
        *out,
        str(sketch_folder(sources, role)),
    )


def sketch_folder(sources: Path, role: Role) -> Path:
    """Where arduino-cli finds the sketch with all its sources, as the Arduino IDE wants them."""
    return sources / "build" / "arduino" / role


def _avrdude(job: Job, tools: Tools, hex_file: Path) -> tuple[str, ...]:
    chip = job.chip
    way = ("-c", chip.programmer, "-p", chip.part, "-P", job.port, "-b", str(chip.upload_baud), *chip.more)
    return (str(tools.avrdude), *way, "-U", f"flash:w:{hex_file}:i")


def _arduino_upload(job: Job, tools: Tools, hex_file: Path) -> tuple[str, ...]:
    file = ("--input-file", str(hex_file))
    return (str(tools.arduino_cli), "upload", "--fqbn", job.chip.fqbn, "--port", job.port, *file)


def _upload_hint(job: Job) -> str:
    if job.board == "nano" and not job.old_bootloader:
        return "many Nanos have the older bootloader: try again with --old-bootloader"
    return "is it that port, and that kind of board, and does no other program use it? see: closedloop devices"


def _missing(tools: Tools) -> list[str]:
    lines = []
    if not (tools.can_make or tools.arduino_cli):
        lines.append("the firmware can't be built: neither avr-gcc with make nor arduino-cli is on the PATH")
    if not (tools.avrdude or tools.arduino_cli):
        lines.append("the firmware can't be uploaded: neither avrdude nor arduino-cli is on the PATH")
    return lines


_CLI_THEN = "arduino-cli core update-index && arduino-cli core install arduino:avr"
_INSTALL = {
    "linux": ["  sudo apt install gcc-avr avr-libc avrdude make"],
    "darwin": ["  brew install arduino-cli", f"  {_CLI_THEN}"],
    "win32": [
        "  winget install ArduinoSA.CLI        (or: choco install arduino-cli)",
        "  then, in a new window:",
        "  arduino-cli core update-index",
        "  arduino-cli core install arduino:avr",
        "or without any command: docs/build_a_rig.md shows how with the Arduino IDE",
    ],
}


def to_install(system: str) -> list[str]:
    """What to type on this system (`sys.platform`) to get the tools."""
    return ["install them with:", *_INSTALL.get(system, [f"  arduino-cli from your packages, then {_CLI_THEN}"])]
