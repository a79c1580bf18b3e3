"""The boards' real firmware on emulated processors, in lock-step virtual time. Judged by the light pin's own log.

Emulation is not silicon: what it can't show is in docs/emulation.md. The firmware is taken as built, or built here.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from bench import Bench, CannotDo, Edge

from closedloop.wire import Identity, ResetCause, StreamSettings

VARIANTS = ("emulated-uno", "emulated-mega", "emulated-both")
FIRMWARE = Path(__file__).parents[1] / "firmware"
BUILD = Path(os.environ.get("FIRMWARE_BUILD", FIRMWARE / "build"))
BAUD = 500_000
_CHIPS = {"uno": "atmega328p", "mega": "atmega2560", "both": "atmega328p"}
_AMBIENT_MV, _CONTROL_MV, _NOISE_MV = 400.0, 1000.0, 2.0
_BOOT_S = 0.5
_TRIES = 5
_LEAP_S = 0.05  # in which the firmware, too, has lived through what it leapt over
_FULL_DUTY, _NOT_DRIVEN = 255, 256
_WATCHDOG_FLAG = 8  # of MCUSR
_PIN, _LEVEL = 1, 4  # kinds of the emulator's events
_DAQ_STATE, _NEXT_SEQ_AT = "_ZL3daq", 62  # firmware/daq/daq.ino's daq_t, and where next_seq is in it


def missing() -> str | None:
    """Why no board can be emulated here, or None. Builds the firmware first."""
    try:
        from emulator import library
    except ImportError as problem:
        return f"the emulator can't be loaded ({problem})"
    reason = library.missing()
    if reason is not None:
        return str(reason)
    return _built()


@functools.cache
def _built() -> str | None:
    """Build what is not up to date, unless a build was named. Returns why that is not possible, or None."""
    if BUILD != FIRMWARE / "build":
        return None if BUILD.is_dir() else f"no firmware in {BUILD}"
    make = [shutil.which("make") or "make", "-s", "-C", str(FIRMWARE)]
    built = subprocess.run(make, capture_output=True, text=True, check=False)
    return f"the firmware can't be built: {built.stderr[-500:]}" if built.returncode else None


def elves(variant: str, baud: int = BAUD) -> tuple[Path, Path]:
    """Firmware of the DAQ and of the stimulator; one file where one board is both."""
    board = variant.removeprefix("emulated-")
    if board == "both":
        return (BUILD / f"uno-{baud}" / "both.elf",) * 2
    folder = BUILD / f"{board}-{baud}"
    return folder / "daq.elf", folder / "stimulator.elf"


class EmulatedBench(Bench):
    """Two emulated boards with wires between them, or one that is both."""

    step_s = 250e-6
    edge_resolution_s = 0.25e-6 + 1e-9  # four cycles: the pin log falls on instructions
    command_s = 3e-3  # the longest command takes 0.7 ms on the line, and waits for what was written before it

    def __init__(
        self, variant: str, *, stimulator_ppm: float = 0.0, daq_ppm: float = 0.0, baud: int = BAUD, seed: int = 1
    ) -> None:
        from emulator.bench import Bench as Rig
        from emulator.board import EmulatedBoard

        super().__init__()
        self.name = variant
        self.is_one_board = variant == "emulated-both"
        self.clock_error = 1.01e-6 * max(abs(stimulator_ppm), abs(daq_ppm))
        chip = _CHIPS[variant.removeprefix("emulated-")]
        daq_elf, stimulator_elf = elves(variant, baud)
        self.daq_board: Any = EmulatedBoard(daq_elf, chip, ppm=daq_ppm, seed=seed)
        self.stimulator_board: Any = self.daq_board
        boards = {"daq": self.daq_board}
        if not self.is_one_board:
            self.stimulator_board = EmulatedBoard(stimulator_elf, chip, ppm=stimulator_ppm, seed=seed + 1)
            boards = {"stimulator": self.stimulator_board} | boards
        self.rig: Any = Rig(**boards)
        self._stimulator_name = "daq" if self.is_one_board else "stimulator"
        self._edges: list[Edge] = []
        self._seen_events = 0
        self._duty = _NOT_DRIVEN
        self._first_number = 0
        self._set_up()

    def _set_up(self) -> None:
        stimulator = self._stimulator_name
        self.stimulator_board.set_pin("D4", level=False)
        self.stimulator_board.set_pin("D12", level=True)
        self.rig.wire(stimulator, "D8", "daq", "A1")
        if not self.is_one_board:
            self.rig.wire("daq", "D7", stimulator, "D2")
        self.daq_board.set_leds("D5", "D6")
        self.photodetector(1.0)
        if self.is_one_board:
            self.stimulator = self.daq
        self.run_until(lambda: self.daq.last(Identity) and self.stimulator.last(Identity), _BOOT_S)

    def _write_daq(self, data: bytes) -> None:
        self.rig.lines["daq"].write(data)

    def _write_stimulator(self, data: bytes) -> None:
        self.rig.lines[self._stimulator_name].write(data)

    def _advance(self, until_s: float) -> float:
        until_ns = round(until_s * 1e9)
        self.rig.run(until_ns, step_ns=max(1, until_ns - self.rig.now_ns))
        return until_s

    def _listen(self) -> None:
        self.daq.take(self.rig.lines["daq"].read(), self.now_s)
        if not self.is_one_board:
            self.stimulator.take(self.rig.lines["stimulator"].read(), self.now_s)

    def _digest(self) -> None:
        """What the board's log says since the last look, of light and level."""
        board = self.stimulator_board
        board.drain()
        port, bit = board.bit(board.light_pin)
        where = ord(port) << 8 | bit
        for event in board.events[self._seen_events :]:
            if event.kind == _PIN and event.value >> 8 == where:
                self._edges.append(Edge(board.ns_of(event.cycle) / 1e9, bool(event.value & 1)))
            elif event.kind == _LEVEL:
                self._duty = event.value
        self._seen_events = len(board.events)

    def light(self) -> list[Edge]:
        """As the light gate's pin was logged, to the cycle."""
        self._digest()
        return self._edges

    def level(self) -> float:
        self._digest()
        return 0.0 if self._duty == _NOT_DRIVEN else self._duty / _FULL_DUTY

    def set_interlock(self, closed: bool) -> None:
        self.note("interlock closed" if closed else "interlock open")
        self.stimulator_board.set_pin("D4", level=not closed)

    def set_gate(self, is_open: bool) -> None:
        self.note("gate open" if is_open else "gate shut")
        self.stimulator_board.set_pin("D12", level=is_open)

    def pull_trigger(self) -> None:
        self.note("trigger")
        self.stimulator_board.set_pin("D2", level=True)
        self.run(500e-6)
        self.stimulator_board.set_pin("D2", level=False)

    def reset_stimulator(self, cause: ResetCause = ResetCause.EXTERNAL) -> None:
        from emulator.board import Cause

        self.note("reset")
        flags = {
            ResetCause.POWER_ON: int(Cause.POWER_ON),
            ResetCause.EXTERNAL: int(Cause.EXTERNAL),
            ResetCause.BROWN_OUT: int(Cause.BROWN_OUT),
            ResetCause.WATCHDOG: _WATCHDOG_FLAG,
        }
        garbage = 7 if cause is ResetCause.POWER_ON else 0
        self.stimulator_board.reset(flags[cause], garbage=garbage)

    def reset_daq(self, cause: ResetCause = ResetCause.EXTERNAL) -> None:
        from emulator.board import Cause

        self.daq_board.reset(int(Cause.BROWN_OUT if cause is ResetCause.BROWN_OUT else Cause.EXTERNAL))

    def leap_daq_clock(self, seconds: float) -> None:
        """In steps of 65.5 ms, by the second highest byte."""
        steps = round(seconds * 1e6 / (1 << 16))
        high = self.daq_board.peek("clock_base", 2, 1)
        if high + steps > 0xFF:
            raise CannotDo("the clock's second byte would overflow")
        self._leap(self.daq_board, 2, high + steps)

    def number_readings_from(self, seq: int) -> None:
        self._first_number = seq

    def stream(self, rate_hz: float = 100.0) -> StreamSettings:
        """The stream; before its first reading is taken, the firmware's own count is set, where a test wants so."""
        settings = super().stream(rate_hz)
        if self._first_number:
            self.daq_board.poke(_DAQ_STATE, self._first_number, _NEXT_SEQ_AT, 4)
        return settings

    def spoil_readings(self, *, flat: bool) -> None:
        """A voltage beyond the converter's range; or one without any noise, within it."""
        for state in range(8):
            self.daq_board.set_voltage("A0", state, 600.0 if flat else 5_500.0, 0.0)

    def mend_readings(self) -> None:
        self.photodetector(1.0)

    def hang_stimulator(self, *, interrupts: bool) -> None:
        self.stimulator_board.hang(interrupts=interrupts)

    def near_wrap(self, in_s: float) -> None:
        """The clock leaps ahead, by less than half a wrap at a time, while nothing is armed."""
        boards = {id(board): board for board in (self.daq_board, self.stimulator_board)}.values()
        aim = (1 << 32) - round(in_s * 1e6)
        for board in boards:
            for high in (0x3F, 0x7E, 0xBD, aim >> 24):
                self._leap(board, 3, high)
            self._leap(board, 2, aim >> 16 & 0xFF)

    def _leap(self, board: Any, at: int, value: int) -> None:
        """One byte, so that the firmware reads either the old time or the new; again if its own sum overwrote it."""
        for _ in range(_TRIES):
            board.poke("clock_base", value, at, 1)
            self.run(_LEAP_S)
            if board.peek("clock_base", at, 1) >= value:
                return
        raise CannotDo(f"the clock of {board.elf.name} does not take {value:#x}")

    def photodetector(self, volts: float) -> None:
        for state in range(8):
            mv = _AMBIENT_MV + (_CONTROL_MV if state & 1 else 0.0) + (volts * 1e3 if state & 2 else 0.0)
            self.daq_board.set_voltage("A0", state, mv, _NOISE_MV)

    def forget(self, kept: int = 50) -> None:
        """The logs of both boards as well; light and level stay known."""
        super().forget(kept)
        self._digest()
        for board in self.rig.boards.values():
            board.drain()
            board.events.clear()
        self._seen_events = 0

    def finish(self) -> None:
        self._digest()

    def close(self) -> None:
        for board in self.rig.boards.values():
            board.close()
