"""Puts this program's firmware on a board: builds it, uploads it, asks the board who it is. It never gives light.

A build happens in a copy of the sources, because an installed package may not be written to.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from closedloop import wire
from closedloop.errors import ConfigError, DeviceError
from closedloop.flash_steps import BAUDS, ROLES, Job, Role, Step, Tools, installed, mistakes, sketch_folder, steps
from closedloop.link import ANSWER_WITHIN_S, Link, named
from closedloop.port import Port

_LAST_LINES = 12  # of a tool that failed
_LONGEST_STEP_S = 120.0
_PRESENT_WITHIN_S = ANSWER_WITHIN_S
_ANSWER_WITHIN_S = 6.0  # after an upload the bootloader waits for another one first
_SOURCES = ("core", "avr")
_CONTINUED = re.compile(r"\\\n\s*")
_VARIABLE = re.compile(r"^(\w+) = (.*)$", re.MULTILINE)
_REFERENCE = re.compile(r"\$\((\w+)\)")
_LEFT_OUT = ("build", "emulator", "proofs")

Say = Callable[[str], None]


def flash(job: Job, say: Say = lambda _: None) -> dict[str, Any]:
    """Build and upload, and make sure that the board then speaks this program's wire version.

    Args:
        job: what is to be put where.
        say: called with one line a step.

    Returns:
        Who answers now, as plain values for JSON.

    Raises:
        ConfigError: a wrong request, a missing tool, no role, or a build that failed; nothing was uploaded.
        DeviceError: no such port, the upload failed, or another board answers than was put there.
    """
    problems = mistakes(job)
    if problems:
        raise ConfigError(*problems)
    tools, sources = installed(), firmware_folder()
    steps(job, job.role or "daq", tools, sources)  # whether all tools are there, before the board is asked
    Port(job.port, job.baud).close()  # a port that is not there keeps avrdude trying for ever on a Mega
    role = job.role or _present_role(job)
    say("switch the light source off: a board's pins float while its firmware is replaced")
    with tempfile.TemporaryDirectory(prefix="closedloop-") as folder:
        copy = _copied(sources, Path(folder) / "firmware", role, tools)
        for step in steps(job, role, tools, copy):
            say(f"{step.what} ...")
            run(step)
    say("asking the board who it is ...")
    return _verified(replace(job, role=role))


def firmware_folder() -> Path:
    """The sources: beside the package in a checkout, inside it in a wheel.

    Raises:
        ConfigError: they are in neither place.
    """
    package = Path(__file__).parent
    for place in (package.parent / "firmware", package / "firmware"):
        if (place / "core").is_dir():
            return place
    raise ConfigError(f"the firmware's sources are not in {package.parent} or {package}; install the program anew")


def run(step: Step) -> None:
    """Run one tool to its end.

    Raises:
        ClosedLoopError: of the step's kind, with the tool's last lines.
    """
    tool = Path(step.command[0]).name
    try:
        done = subprocess.run(  # noqa: S603 - an argument list, without a shell
            step.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_LONGEST_STEP_S,
            check=False,
        )
    except subprocess.TimeoutExpired as problem:
        raise step.failure(f"{step.what}: {tool} did not end within {_LONGEST_STEP_S:g} s; {step.hint}") from problem
    except OSError as problem:
        raise step.failure(f"{step.what}: {tool} can't be run ({problem.strerror})") from problem
    if done.returncode:
        raise step.failure(_failure(step, tool, done.returncode, done.stdout))


def _failure(step: Step, tool: str, code: int, output: str) -> str:
    said = [line.rstrip() for line in output.splitlines() if line.strip()][-_LAST_LINES:]
    hint = [step.hint] if step.hint else []
    return "\n".join([f"{step.what}: {tool} ended with {code}; its last lines:", *(f"  {x}" for x in said), *hint])


def _copied(sources: Path, copy: Path, role: Role, tools: Tools) -> Path:
    """A copy that may be written to; for arduino-cli also the sketch with its own sources beside it."""
    shutil.copytree(sources, copy, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    if not tools.can_make:
        lay_out(copy, role)
    return copy


def lay_out(sources: Path, role: Role) -> Path:
    """The sketch as the Arduino IDE wants it, in the build folder: the same files as `make arduino` puts there."""
    sketch = sketch_folder(sources, role)
    needed = parts((sources / "Makefile").read_text("utf-8"), role)
    for name in _SOURCES:
        (sketch / "src" / name).mkdir(parents=True)
        for header in (sources / name).glob("*.h"):
            shutil.copy(header, sketch / "src" / name)
    for part in needed:
        shutil.copy(sources / f"{part}.c", sketch / "src" / f"{part}.c")
    ino = (sources / role / f"{role}.ino").read_text("utf-8")
    (sketch / f"{role}.ino").write_text(ino.replace('#include "../', '#include "src/'), "utf-8")
    return sketch


def parts(makefile: str, role: Role) -> list[str]:
    """The sources of a sketch, as the Makefile lists them: such as core/daq."""
    listed: dict[str, str] = dict(_VARIABLE.findall(_CONTINUED.sub(" ", makefile)))
    wanted = listed[f"{role}_parts"]
    while (name := _REFERENCE.search(wanted)) is not None:
        wanted = wanted.replace(name[0], listed[name[1]])
    return wanted.split()


def _present_role(job: Job) -> Role:
    """What the board on the port says that it is, at either speed."""
    for baud in sorted(BAUDS, key=lambda baud: baud != job.baud):
        link = Link(Port(job.port, baud))
        try:
            identity = link.ask(_PRESENT_WITHIN_S)
        except DeviceError:
            continue
        finally:
            link.close()
        if identity.board in ROLES:
            return ROLES[identity.board]
    raise ConfigError(
        f"--role: nothing on {job.port} says what it is, so say what it shall be: --role daq, stimulator or both"
    )


def _verified(job: Job) -> dict[str, Any]:
    link = Link(Port(job.port, job.baud))
    try:
        identity = link.ask(_ANSWER_WITHIN_S)
    finally:
        link.close()
    if identity.wire_hash != wire.WIRE_HASH:
        raise DeviceError(
            f"{job.port}: after the upload the board speaks wire version {identity.wire_hash:08x}, this program "
            f"{wire.WIRE_HASH:08x}; firmware and program are of different versions: install the program anew"
        )
    if ROLES.get(identity.board) != job.role:
        raise DeviceError(f"{job.port}: after the upload a {named(identity.board)} answers, not a {job.role} board")
    return {
        "port": job.port,
        "board": job.board,
        "role": job.role,
        "baud": job.baud,
        "firmware": identity.firmware,
        "wire": f"{identity.wire_hash:08x}",
        "unique_id": f"{identity.unique_id:016x}",
    }


def lines(done: dict[str, Any]) -> list[str]:
    """For people."""
    said = "{port}: {role} firmware {firmware}, wire {wire}, {baud} baud, board {unique_id}".format(**done)
    return [said, "next: closedloop devices, then closedloop selftest --rig RIG (with the fibre out of the animal)"]
