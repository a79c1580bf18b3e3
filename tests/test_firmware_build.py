"""The firmware builds: for each board and line, always to the same bytes, with room to spare, for the Arduino IDE."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

FIRMWARE = Path(__file__).parent.parent / "firmware"
ARDUINO_CORE = Path("/usr/share/arduino/hardware/arduino/avr/cores/arduino/Arduino.h")
CHIPS = {"uno": "atmega328p", "mega": "atmega2560"}
LINES = ("500000", "1000000")
SKETCHES = ("daq", "stimulator", "both")
MOST_FLASH, MOST_RAM = 50.0, 75.0  # per cent; the rest of the RAM is the stack's
MOST_FLASH_OF_BOTH_ON_UNO = 65.0  # two roles in 32 KiB: above the half that each role alone keeps to


def _need(tool: str, present: bool, package: str) -> None:
    if present:
        return
    assert not os.environ.get("CI"), f"no {tool} under CI: install {package}"
    pytest.skip(f"no {tool} here (Debian: {package})")


def _make(build: Path, *targets: str) -> None:
    command = ["make", "-s", "-C", str(FIRMWARE), f"BUILD={build}", *targets]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in done.stderr


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    _need("avr-gcc", shutil.which("avr-gcc") is not None, "gcc-avr avr-libc make")
    folder = tmp_path_factory.mktemp("firmware")
    _make(folder, "all")
    return folder


def _hashes(build: Path) -> dict[str, str]:
    found = sorted(build.glob("*/*.hex"))
    return {str(path.relative_to(build)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def _used(elf: Path, chip: str) -> dict[str, float]:
    said = subprocess.run(["avr-size", "-C", f"--mcu={chip}", str(elf)], capture_output=True, text=True, check=True)
    return {kind: float(percent) for kind, percent in re.findall(r"(Program|Data):.*\(([\d.]+)% Full\)", said.stdout)}


def test_every_sketch_builds_for_every_board_and_line_without_a_warning(build: Path) -> None:
    assert set(_hashes(build)) == {f"{b}-{n}/{s}.hex" for b in CHIPS for n in LINES for s in SKETCHES}


def test_a_second_build_elsewhere_gives_the_same_bytes(build: Path, tmp_path: Path) -> None:
    _make(tmp_path, "all")
    assert _hashes(tmp_path) == _hashes(build)


@pytest.mark.parametrize("board", CHIPS)
@pytest.mark.parametrize("sketch", SKETCHES)
def test_flash_and_ram_leave_room(build: Path, board: str, sketch: str) -> None:
    used = _used(build / f"{board}-500000" / f"{sketch}.elf", CHIPS[board])
    most_flash = MOST_FLASH_OF_BOTH_ON_UNO if (board, sketch) == ("uno", "both") else MOST_FLASH
    assert used["Program"] < most_flash
    assert used["Data"] < MOST_RAM


def test_the_converter_takes_the_place_of_the_pwm(build: Path, tmp_path: Path) -> None:
    _make(tmp_path, "LEVEL=dac", "all")
    assert (tmp_path / "uno-500000-dac" / "stimulator.hex").exists()
    assert not set(_hashes(tmp_path).values()) & {
        value for name, value in _hashes(build).items() if not name.endswith("daq.hex")
    }


def test_the_sketches_compile_against_the_arduino_core(tmp_path: Path) -> None:
    _need("avr-gcc", shutil.which("avr-gcc") is not None, "gcc-avr avr-libc make")
    _need("Arduino core", ARDUINO_CORE.exists(), "arduino-core-avr")
    _make(tmp_path, "arduino")
    assert set(_hashes(tmp_path)) == {f"arduino/{b}-{s}.hex" for b in CHIPS for s in SKETCHES}
    assert (tmp_path / "arduino" / "stimulator" / "src" / "avr" / "shutter.c").exists()


def test_no_source_waits_or_takes_from_a_heap() -> None:
    sources = [path for name in ("core", "avr", *SKETCHES) for path in (FIRMWARE / name).glob("*.*")]
    banned = re.compile(r"\b(_?delay(_ms|_us|Microseconds)?|malloc|calloc|free|String|millis|micros)\s*\(")
    assert {path.name for path in sources if banned.search(path.read_text())} == set()
