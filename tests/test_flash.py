"""Firmware onto a board: the commands for every board and tool, and what is said when one fails. Tools are fakes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from closedloop import flash, wire
from closedloop.errors import ConfigError, DeviceError
from closedloop.flash_steps import BAUDS, CHIPS, Job, Role, Step, Tools, installed, mistakes, steps, to_install
from closedloop.rig import load_rig
from closedloop.simulation import virtual_rig
from closedloop.simulation.virtual_rig import VirtualRig

ALL = Tools("/bin/make", "/bin/avr-gcc", "/bin/avrdude", "/bin/arduino-cli")
AVR = Tools("/bin/make", "/bin/avr-gcc", "/bin/avrdude", None)
ARDUINO = Tools(None, None, None, "/bin/arduino-cli")
NONE = Tools(None, None, None, None)
SOURCES = Path("/somewhere/firmware")

posix = pytest.mark.skipif(os.name != "posix", reason="the fake tools are shell scripts")


def words(step: Step) -> str:
    return " ".join(step.command)


@pytest.mark.parametrize(
    ("board", "old", "said"),
    [
        ("uno", False, "-c arduino -p atmega328p -P COM3 -b 115200 -U"),
        ("nano", False, "-c arduino -p atmega328p -P COM3 -b 115200 -U"),
        ("nano", True, "-c arduino -p atmega328p -P COM3 -b 57600 -U"),
        ("mega", False, "-c wiring -p atmega2560 -P COM3 -b 115200 -D -U"),
    ],
)
def test_avrdude_is_told_chip_bootloader_and_speed(board: str, old: bool, said: str) -> None:
    build, upload = steps(Job(board, "COM3", old_bootloader=old), "daq", AVR, SOURCES)
    assert said in words(upload)
    chip = "mega" if board == "mega" else "uno"
    hex_file = f"build/{chip}-500000/daq.hex"
    assert words(build) == f"/bin/make -C {SOURCES} {hex_file}"
    assert upload.command[-1] == f"flash:w:{SOURCES / hex_file}:i"


def test_the_baud_rate_asked_for_is_the_one_built() -> None:
    for tools in (AVR, ARDUINO):
        build, upload = steps(Job("uno", "COM3", baud=1_000_000), "both", tools, SOURCES)
        assert "1000000" in words(build)
        assert "uno-1000000" in words(upload)


@pytest.mark.parametrize(
    ("board", "old", "fqbn"),
    [
        ("uno", False, "arduino:avr:uno"),
        ("nano", False, "arduino:avr:nano:cpu=atmega328"),
        ("nano", True, "arduino:avr:nano:cpu=atmega328old"),
        ("mega", False, "arduino:avr:mega:cpu=atmega2560"),
    ],
)
def test_arduino_cli_alone_builds_and_uploads(board: str, old: bool, fqbn: str) -> None:
    build, upload = steps(Job(board, "COM3", old_bootloader=old), "stimulator", ARDUINO, SOURCES)
    assert words(build).startswith(f"/bin/arduino-cli compile --fqbn {fqbn} ")
    assert build.command[-1].endswith("stimulator")
    assert words(upload).startswith(f"/bin/arduino-cli upload --fqbn {fqbn} --port COM3 ")
    out = build.command[build.command.index("--output-dir") + 1]
    assert upload.command[-1] == str(Path(out) / "stimulator.ino.hex")


def test_avr_gcc_and_avrdude_go_first_where_both_are_there() -> None:
    build, upload = steps(Job("uno", "COM3"), "daq", ALL, SOURCES)
    assert (build.command[0], upload.command[0]) == ("/bin/make", "/bin/avrdude")


def test_tools_may_be_mixed() -> None:
    build, upload = steps(
        Job("uno", "COM3"), "daq", AVR._replace(avrdude=None, arduino_cli="/bin/arduino-cli"), SOURCES
    )
    assert build.command[0] == "/bin/make"
    assert upload.command[-1] == str(SOURCES / "build/uno-500000/daq.hex")


@pytest.mark.parametrize(
    ("system", "said"),
    [
        ("linux", "sudo apt install gcc-avr avr-libc avrdude make"),
        ("darwin", "brew install arduino-cli"),
        ("win32", "winget install ArduinoSA.CLI"),
        ("sunos5", "arduino-cli"),
    ],
)
def test_missing_tools_are_named_with_the_commands_that_install_them(system: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        steps(Job("uno", "COM3"), "daq", NONE, SOURCES, system)
    assert "can't be built" in caught.value.problems[0]
    assert "can't be uploaded" in caught.value.problems[1]
    assert said in str(caught.value)
    assert said in "\n".join(to_install(system))


def test_one_missing_tool_is_the_only_one_named() -> None:
    with pytest.raises(ConfigError, match="can't be uploaded") as caught:
        steps(Job("uno", "COM3"), "daq", AVR._replace(avrdude=None), SOURCES)
    assert "can't be built" not in str(caught.value)


def test_all_mistakes_of_a_request_are_said_at_once() -> None:
    said = mistakes(Job("due", "COM3", baud=115_200, old_bootloader=True))
    assert [line.partition(":")[0] for line in said] == ["--board", "--baud", "--old-bootloader"]
    assert [line for board in CHIPS for line in mistakes(Job(board, "COM3"))] == []
    with pytest.raises(ConfigError, match="--baud"):
        flash.flash(Job("uno", "COM3", baud=9600))


def test_a_tool_that_fails_is_quoted_with_its_last_lines() -> None:
    script = "import sys; print('first'); [print('line', n) for n in range(40)]; sys.exit(7)"
    with pytest.raises(DeviceError) as caught:
        flash.run(Step("uploading", (sys.executable, "-c", script), DeviceError, "try the other one"))
    said = str(caught.value)
    assert "ended with 7" in said
    assert "line 39" in said
    assert "first" not in said
    assert said.endswith("try the other one")


def test_a_tool_that_cannot_be_run_is_said() -> None:
    with pytest.raises(ConfigError, match="can't be run"):
        flash.run(Step("building", ("/nowhere/make",), ConfigError, ""))


@pytest.fixture
def rig() -> Iterator[VirtualRig]:
    simulated = load_rig("simulated")
    assert simulated.simulation is not None
    with virtual_rig.start(simulated.simulation, rate_hz=130, seed=1) as running:
        yield running


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Fake tools alone on PATH, that write down how they were called; make and avr-gcc, and avrdude."""
    written = tmp_path / "log"
    for name in ("make", "avr-gcc", "avrdude"):
        tool = tmp_path / name
        tool.write_text(f'#!/bin/sh\necho {name} "$@" >> {written}\n')
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return written


@posix
def test_a_board_keeps_the_role_that_it_has(rig: VirtualRig, log: Path) -> None:
    said: list[str] = []
    done = flash.flash(Job("uno", rig.stimulator_port), said.append)
    assert done["role"] == "stimulator"
    assert done["wire"] == f"{wire.WIRE_HASH:08x}"
    build, upload = log.read_text().splitlines()
    assert build.startswith("make -C ")
    assert build.endswith("build/uno-500000/stimulator.hex")
    assert f"-P {rig.stimulator_port} " in upload
    assert [line.split()[0] for line in said] == ["switch", "building", "uploading", "asking"]
    assert rig.stimulator_port in flash.lines(done)[0]


@posix
def test_another_role_than_was_put_there_is_an_error(rig: VirtualRig, log: Path) -> None:
    with pytest.raises(DeviceError, match="a DAQ board answers, not a stimulator"):
        flash.flash(Job("uno", rig.daq_port, role="stimulator"))
    assert "avrdude" in log.read_text()


@posix
def test_another_version_than_was_put_there_is_an_error(
    rig: VirtualRig, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "WIRE_HASH", 0x1234_5678)
    with pytest.raises(DeviceError, match="12345678"):
        flash.flash(Job("uno", rig.daq_port, role="daq"))


@posix
def test_an_upload_that_fails_is_a_device_error(rig: VirtualRig, log: Path) -> None:
    (log.parent / "avrdude").write_text("#!/bin/sh\necho not in sync: resp=0x00\nexit 1\n")
    with pytest.raises(DeviceError, match="not in sync") as caught:
        flash.flash(Job("nano", rig.daq_port, role="daq"))
    assert "--old-bootloader" in str(caught.value)


@pytest.fixture
def silent_port() -> Iterator[str]:
    """A port that is there, and on which nobody answers."""
    mine, theirs = os.openpty()
    yield os.ttyname(theirs)
    os.close(mine)
    os.close(theirs)


@posix
def test_a_build_that_fails_uploads_nothing(log: Path, silent_port: str) -> None:
    (log.parent / "make").write_text("#!/bin/sh\necho light.c:1: error: x >&2\nexit 2\n")
    with pytest.raises(ConfigError, match=r"light\.c:1"):
        flash.flash(Job("uno", silent_port, role="daq"))
    assert not log.exists()


@posix
def test_a_board_that_says_nothing_needs_a_role(log: Path, silent_port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flash, "_PRESENT_WITHIN_S", 0.1)
    with pytest.raises(ConfigError, match="--role daq, stimulator or both"):
        flash.flash(Job("uno", silent_port))
    assert not log.exists()


@posix
@pytest.mark.parametrize("role", [None, "daq"])
def test_a_port_that_is_not_there_is_a_device_error_before_any_tool_is_run(log: Path, role: Role | None) -> None:
    with pytest.raises(DeviceError, match="can't be opened"):
        flash.flash(Job("uno", "/dev/nowhere", role=role))
    assert not log.exists()


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of the firmware's sources, without anything built."""
    return Path(shutil.copytree(flash.firmware_folder(), tmp_path / "firmware", ignore=shutil.ignore_patterns("build")))


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("role", ["daq", "stimulator", "both"])
def test_the_arduino_layout_is_that_of_the_makefile(sources: Path, role: Role) -> None:
    mine = flash.lay_out(sources, role)
    laid_out = {file.relative_to(mine): file.read_bytes() for file in mine.rglob("*.*")}
    shutil.rmtree(mine)
    subprocess.run(["make", "-C", sources, f"build/arduino/{role}/{role}.ino"], check=True, capture_output=True)
    assert laid_out == {file.relative_to(mine): file.read_bytes() for file in mine.rglob("*.*")}
    assert Path(f"{role}.ino") in laid_out
    assert len(laid_out) > 10


@pytest.mark.skipif(not installed().can_make, reason="avr-gcc and make are not installed")
def test_the_build_step_makes_the_file_that_the_upload_takes(sources: Path) -> None:
    build, upload = steps(Job("nano", "COM3"), "daq", installed()._replace(avrdude="avrdude"), sources)
    flash.run(build)
    hex_file = Path(upload.command[-1].removeprefix("flash:w:").removesuffix(":i"))
    assert hex_file.read_text().startswith(":10")


def test_the_firmware_is_found_beside_the_package() -> None:
    assert (flash.firmware_folder() / "core" / "wire.h").is_file()
    assert len(BAUDS) == 2
