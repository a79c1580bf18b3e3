"""The real firmware in emulation, in virtual time: from a step of voltage to light, by which path and how soon.

    python benchmarks/firmware.py                 120 steps a path, 5 s of stream
    python benchmarks/firmware.py --long --json   600 steps a path, 60 s of stream, as one JSON object

Two Unos (or one, in both roles) run the very hex that a lab would flash; a bridge model stands between each and the
host, and the host is a threshold that answers at once, or after `--host-us`. Edges are stamped to the processor cycle
(62.5 ns). Nothing here depends on the speed of this computer but the line `emulated_to_real`. What emulation does not
show is in docs/emulation.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
from machine import machine, percentiles

ROOT = Path(__file__).resolve().parents[1]
FIRMWARE = ROOT / "firmware"
sys.path[:0] = [str(FIRMWARE)]

from emulator.bench import Bench, Line  # noqa: E402
from emulator.board import CRYSTAL_HZ, EmulatedBoard  # noqa: E402
from emulator.bridge import Bridge, Ftdi, Ideal, Uno16U2  # noqa: E402
from emulator.plant import Plant  # noqa: E402

from closedloop import wire  # noqa: E402
from closedloop.framing import Decoder, encode  # noqa: E402

RATE_HZ = 1000
PULSE_US = 5_000
STEPS_A_BENCH = 55  # the board allows 60 trains a minute
BRIDGES: dict[str, Callable[[], Bridge]] = {
    "ideal": Ideal,
    "16u2": Uno16U2,
    "ftdi_1ms": lambda: Ftdi(1),
    "ftdi_16ms": lambda: Ftdi(16),
}
_MS = 1_000_000
_POLL_NS = 50_000
_STEP = 1.5  # dF/F: from 1.9 to 4.2 V at the photodetector while the 470 nm LED is on
_CROSSING = 0.15  # ... and what counts as an event: one of a reading's eight conversions behind the step is enough


class Way(NamedTuple):
    """From voltage to light: on which line, over which bridge, decided where."""

    name: str
    baud: int
    bridge: str = "ideal"
    on_board: bool = False
    one_board: bool = False


PATHS = (
    Way("host, ideal bridge, 1 M", 1_000_000),
    Way("host, ideal bridge, 500 k", 500_000),
    Way("host, 16U2, 1 M", 1_000_000, "16u2"),
    Way("host, 16U2, 500 k", 500_000, "16u2"),
    Way("host, FTDI 1 ms, 1 M", 1_000_000, "ftdi_1ms"),
    Way("host, FTDI 16 ms, 1 M", 1_000_000, "ftdi_16ms"),
    Way("host, one board, 1 M", 1_000_000, one_board=True),
    Way("on-board, two boards, 500 k", 500_000, on_board=True),
    Way("on-board, one board, 500 k", 500_000, on_board=True, one_board=True),
)


class Port:
    """Messages over one line of the bench."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self._decoder = Decoder()

    @property
    def damaged(self) -> int:
        """Frames lost to damage."""
        return self._decoder.damaged

    def say(self, *messages: wire.Message) -> None:
        """Write these, now."""
        self.line.write(b"".join(encode(wire.pack(m)) for m in messages))

    def hear(self) -> list[wire.Message]:
        """All that came since the last call."""
        found = (wire.unpack(payload) for payload in self._decoder.feed(self.line.read()))
        return [message for message in found if message is not None]


class Rig:
    """Two boards and their wires, or one in both roles, armed and streaming; a host that fires on a crossing."""

    def __init__(self, path: Way, seed: int, host_us: int = 0) -> None:
        folder = FIRMWARE / "build" / f"uno-{path.baud}"
        roles = ("both",) if path.one_board else ("daq", "stimulator")
        self.boards = {role: EmulatedBoard(folder / f"{role}.elf", seed=seed + n) for n, role in enumerate(roles)}
        self.bench = Bench(**self.boards)
        self.light = self.boards[roles[-1]]
        self.light.set_pin("D4", level=False)
        self.light.set_pin("D12", level=True)
        ports = {role: Port(self.bench.connect(role, BRIDGES[path.bridge]())) for role in roles}
        self.daq, self.stimulator = ports[roles[0]], ports[roles[-1]]
        if not path.one_board:
            self.bench.wire("daq", "D7", "stimulator", "D2")
            self.bench.wire("stimulator", "D8", "daq", "A1")
        self.plant = Plant(self.boards[roles[0]])
        self.readings: list[wire.Reading] = []
        self.heard: list[wire.Message] = []
        self._path = path
        self._host_ns = host_us * 1000
        self._waiting: list[tuple[int, wire.Begin]] = []
        self._train = 0
        self._was_high = True
        self._beat_at: int | None = None
        self._baseline = 0.0

    def start(self, rate_hz: int = RATE_HZ) -> None:
        """Boot, limits, stream, watch, arm; then let the baseline settle."""
        self.bench.run(200 * _MS)
        self.stimulator.say(wire.Dark(), wire.CEILING)
        self.bench.run(self.bench.now_ns + 20 * _MS, self._listen)
        if self._path.on_board:
            threshold = round(_CROSSING * 65_536)
            self.daq.say(wire.Watch(wire.Feature.SIGNAL, 8, threshold, threshold // 2, 1, 300, 30_000))
        self.stimulator.say(wire.Prepare(PULSE_US, 0, 1, 65_535, 0, by_trigger=int(self._path.on_board)))
        self.daq.say(wire.StreamStart(rate_hz * 1000))
        self.bench.run(self.bench.now_ns + 400 * _MS, self._listen)
        self.stimulator.say(wire.Arm())
        self.bench.run(self.bench.now_ns + 30 * _MS, self._listen)
        recent = self.readings[-100:]
        self._baseline = float(np.mean([r.signal_lit - r.signal_dark for r in recent]))

    def run(self, until_ns: int) -> None:
        """Live on to this virtual time, the host listening every 50 us."""
        self.bench.run(until_ns, self._listen, _POLL_NS)

    def _listen(self, now_ns: int) -> None:
        messages = self.daq.hear()
        if self.stimulator is not self.daq:
            self.heard += self.stimulator.hear()  # one board says everything on one line
        for message in messages:
            if isinstance(message, wire.Reading):
                self._judge(message, now_ns)
            else:
                self.heard.append(message)
        while self._waiting and self._waiting[0][0] <= now_ns:
            self.stimulator.say(self._waiting.pop(0)[1])
        if self._beat_at is not None:  # light first, as the program has it
            self.stimulator.say(wire.Heartbeat(self._beat_at))
            self._beat_at = None

    def _judge(self, reading: wire.Reading, now_ns: int) -> None:
        self.readings.append(reading)
        if self._baseline and not self._path.on_board:
            is_high = reading.signal_lit - reading.signal_dark > (1 + _CROSSING) * self._baseline
            if is_high and not self._was_high:
                self._train += 1
                self._waiting.append((now_ns + self._host_ns, wire.Begin(self._train)))
            self._was_high = is_high
        self._beat_at = reading.seq if reading.seq % 10 == 0 else self._beat_at

    def close(self) -> None:
        """Free the boards."""
        for board in self.boards.values():
            board.close()


class Found(NamedTuple):
    """What one path showed: latencies (us), widths of pulses (cycles), steps without light."""

    latencies_us: list[float]
    width_errors: list[int]
    missed: int


def steps(path: Way, count: int, seed: int = 1, host_us: int = 0) -> Found:
    """Steps of voltage at random moments, and the light that follows each."""
    found = Found([], [], 0)
    while len(found.latencies_us) + found.missed < count:
        n = min(STEPS_A_BENCH, count - len(found.latencies_us) - found.missed)
        part = _steps(path, n, seed + len(found.latencies_us), host_us)
        found = Found(
            found.latencies_us + part.latencies_us, found.width_errors + part.width_errors, found.missed + part.missed
        )
    return found


def _steps(path: Way, count: int, seed: int, host_us: int) -> Found:
    dice, rig = Random(seed), Rig(path, seed, host_us)
    rig.start()
    stepped_ns = []
    for _ in range(count):
        rig.run(rig.bench.now_ns + dice.randrange(40 * _MS, 80 * _MS))
        rig.plant.set_dff(_STEP)
        stepped_ns.append(rig.bench.now_ns)
        rig.run(rig.bench.now_ns + 30 * _MS)
        rig.plant.set_dff(0.0)
    rig.run(rig.bench.now_ns + 50 * _MS)
    pulses = list(_pulses(rig.light))
    rig.close()
    latencies, missed = [], 0
    for at_ns in stepped_ns:
        rises = [rise.ns for rise, _ in pulses if 0 <= rise.ns - at_ns < 40 * _MS]
        missed += not rises
        latencies += [(rises[0] - at_ns) / 1000] if rises else []
    wanted = PULSE_US * CRYSTAL_HZ // 1_000_000
    return Found(latencies, [fall.cycle - rise.cycle - wanted for rise, fall in pulses], missed)


def _pulses(board: EmulatedBoard) -> Iterator[tuple[Any, Any]]:
    edges = board.light_edges()
    yield from zip(edges[::2], edges[1::2], strict=False)


def stream(baud: int, seconds: float, rate_hz: int = RATE_HZ) -> dict[str, Any]:
    """A stream beside heartbeats and light: gaps, damage and what the board says it lost; and how fast it ran."""
    rig = Rig(Way("stream", baud), seed=3)
    began = time.perf_counter()
    rig.start(rate_hz)
    start_ns = rig.bench.now_ns
    first = len(rig.readings)
    rig.run(start_ns + round(seconds * 1e9))
    took_s = time.perf_counter() - began
    emulated_s = rig.bench.now_ns / 1e9
    rig.daq.say(wire.StreamStop())
    rig.run(rig.bench.now_ns + 20 * _MS)
    end = next(m for m in rig.heard if isinstance(m, wire.StreamEnd))
    numbers = [r.seq for r in rig.readings]
    result = {
        "baud": baud,
        "rate_hz": rate_hz,
        "seconds": seconds,
        "readings": len(numbers) - first,
        "gaps": sum(b - a != 1 for a, b in pairwise(numbers)),
        "sent_less_received": end.sent - len(numbers),
        "dropped_by_board": end.dropped,
        "damaged_frames": rig.daq.damaged,
        "emulated_to_real": round(emulated_s / took_s, 2),
    }
    rig.close()
    return result


def sizes() -> dict[str, dict[str, int]]:
    """Flash and RAM (bytes, stack left out) of each firmware, from its ELF."""
    found = {}
    for elf in sorted((FIRMWARE / "build").glob("*-500000/*.elf")):
        ran = subprocess.run(["avr-size", "-A", str(elf)], capture_output=True, text=True, check=True)
        part = {line.split()[0]: int(line.split()[1]) for line in ran.stdout.splitlines() if line.startswith(".")}
        flash, ram = part[".text"] + part.get(".data", 0), part.get(".data", 0) + part.get(".bss", 0)
        found[f"{elf.parent.name.partition('-')[0]} {elf.stem}"] = {"flash": flash, "ram": ram}
    return found


def build() -> None:
    """Make the firmware; quick where nothing has changed."""
    subprocess.run(["make", "-s", "-C", str(FIRMWARE)], check=True, stdout=sys.stderr)


def measure(count: int, seconds: float, host_us: int) -> dict[str, Any]:
    """Everything, as plain values."""
    build()
    paths = []
    for path in PATHS:
        print(f"{path.name} ...", file=sys.stderr)
        found = steps(path, count, host_us=host_us)
        errors = found.width_errors
        paths.append(
            {
                "path": path.name,
                "latency_us": percentiles(np.array(found.latencies_us)),
                "missed": found.missed,
                "width_error_cycles": [min(errors), max(errors)],
            }
        )
    return {
        "benchmark": "firmware",
        "measured": "microseconds from a step of voltage to the light gate's rise, in emulation",
        "machine": machine(),
        "rate_hz": RATE_HZ,
        "host_us": host_us,
        "paths": paths,
        "streams": [stream(baud, seconds) for baud in (500_000, 1_000_000)],
        "sizes": sizes(),
    }


def show(result: dict[str, Any]) -> None:
    """A table for people."""
    print(f"step of voltage to light, {result['rate_hz']} readings/s, host {result['host_us']} us, in emulation (us)")
    for row in result["paths"]:
        t, (least, most) = row["latency_us"], row["width_error_cycles"]
        print(
            f"  {row['path']:<30} n {t['n']:>4}  p50 {t['p50']:>8}  p99 {t['p99']!s:>8}  max {t['max']:>8}  "
            f"missed {row['missed']}  pulse {least:+d} to {most:+d} cycles"
        )
    for row in result["streams"]:
        print(
            f"  {row['seconds']:g} s at {row['rate_hz']}/s and {row['baud']} baud: {row['readings']} readings, "
            f"{row['gaps']} gaps, {row['dropped_by_board']} dropped; {row['emulated_to_real']} x real time"
        )
    for name, size in result["sizes"].items():
        print(f"  {name:<18} flash {size['flash']:>6} B  RAM {size['ram']:>5} B")


def main() -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", action="store_true", help="figures worth quoting")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--steps", type=int, help="a path (default: 120, long: 600)")
    parser.add_argument("--seconds", type=float, help="of stream (default: 5, long: 60)")
    parser.add_argument("--host-us", type=int, default=0, help="what the host takes from a reading to its command")
    options = parser.parse_args()
    count = options.steps or (600 if options.long else 120)
    result = measure(count, options.seconds or (60.0 if options.long else 5.0), options.host_us)
    if options.json:
        print(json.dumps(result))
    else:
        show(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
