"""Host latency: from a reading written by the board to the command that it caused, read back by the board.

    python benchmarks/latency.py                 about 40 s
    python benchmarks/latency.py --long --json   about 15 minutes, as one JSON object

The program under test is a whole session as `closedloop run` starts it: engine process, serial ports, handshake, loop,
recording to disk. The board is echo.c, which also times a bare read-write echo in C on the same kind of
pseudo-terminal, in chunks that alternate with the program's, so that both see the same machine. USB, a real board and
light are not in these figures.

The echo comes in two forms. Left alone (`echo`) its two ends settle on one core, and an answer costs no more than a
change of process: the least that is possible. With its ends on two cores (`echo_apart`) a sleeping core has to be woken
for each way, as it has for any program that hears from a board: that is the floor for this one.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine, percentiles, ratios, say

from closedloop import session, wire
from closedloop.detectors.threshold import Threshold
from closedloop.features.dff import Dff
from closedloop.features.lowpass import Lowpass
from closedloop.policies.closed_loop import ClosedLoop
from closedloop.protocol import Protocol
from closedloop.quality import Quality
from closedloop.request import Request
from closedloop.rig import Rig
from closedloop.sources.photometry_board import PhotometryBoard
from closedloop.stimulators.arduino import Arduino
from closedloop.train import Train

CHUNK_MS, WARM_MS = 1200, 3000  # a chunk is shorter than the 2 s after which the program calls a silent board lost
SHORT, LONG = {130: 2, 1000: 2}, {130: 129, 1000: 42}  # rounds; long: over 20,000 readings and 10,000 commands each
MEASURED = (
    "microseconds from just before write() of a reading to just after read() of the command it caused, both by the "
    "board's clock. heartbeat: due at the first reading 10 ms after the last one's, timed from that reading; fire: two "
    "readings a chunk are 20 % brighter, and each is to fire one train of 1 ms; command: both together. echo: a frame "
    "as long as a reading, read and written back by a C process, where the kernel puts it; echo_apart: with its two "
    "ends kept on two cores. The program is not pinned. Chunks alternate: program, echo, program, echo_apart."
)


@contextmanager
def board(compiler: str, rate_hz: int, rounds: int, chunk_ms: int) -> Iterator[subprocess.Popen[str]]:
    """echo.c, compiled with this program's own wire.h, and running."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "wire.h").write_text(wire.c_header(), encoding="utf-8")
        binary, source = Path(folder, "echo"), Path(__file__).with_name("echo.c")
        subprocess.run([compiler, "-std=c11", "-O2", "-Wall", "-I", folder, "-o", binary, source], check=True)
        arguments = [rate_hz * 1000, rounds, chunk_ms, WARM_MS]
        process = subprocess.Popen(
            [binary, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def request(rate_hz: int, daq: str, stimulator: str, out: Path) -> Request:
    """A session whose every bright reading is a detection of its own, and that takes the echo's chunks for no fault."""
    protocol = Protocol(
        version=1,
        name="latency",
        warm_up=2.5,
        duration=86_400.0,
        features=(Dff(baseline=10.0), Lowpass(cutoff=0.3 * rate_hz)),
        detector=Threshold(threshold=8.0, release=3.0, window=1.0),
        policy=ClosedLoop(refractory=0.0),
        light=Train(on=0.001),
        recovery=0.0,
        quality=Quality(settle=0.5, longest_gap=10.0),
    )
    rig = Rig(
        version=1,
        name="latency",
        daq=PhotometryBoard(port=daq, rate=float(rate_hz)),
        stimulator=Arduino(port=stimulator, lease=0.5),
    )
    return Request(protocol=protocol, rig=rig, out=out, seed=1)


def measure(compiler: str, rate_hz: int, rounds: int, chunk_ms: int) -> dict[str, Any]:
    """One session at this rate."""
    ended, said = conduct(compiler, rate_hz, rounds, chunk_ms)
    return {"rate_hz": rate_hz, "ended": ended} | results(said)


def conduct(
    compiler: str, rate_hz: int, rounds: int, chunk_ms: int, look: Callable[[Path], None] = lambda _: None
) -> tuple[str, str]:
    """One session at this rate: how it ended, and what the board measured; `look` as in `session.run`."""
    with board(compiler, rate_hz, rounds, chunk_ms) as process, tempfile.TemporaryDirectory() as out:
        daq, stimulator = _first_line(process).split()
        outcome = session.run(request(rate_hz, daq, stimulator, Path(out)), look)
        said, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"the board ended with {process.returncode}; the session: {outcome.ending}")
    return outcome.ending.how, said


def _first_line(process: subprocess.Popen[str]) -> str:
    if process.stdout is None:
        raise RuntimeError("the board has no standard output")
    return process.stdout.readline()


def results(said: str) -> dict[str, Any]:
    """Counts, percentiles in microseconds, and ratios to the echo, of what the board printed."""
    samples: dict[str, list[float]] = {"h": [], "f": [], "e": [], "a": []}
    counts: dict[str, int] = {}
    for line in said.splitlines():
        kind, *rest = line.split()
        if kind == "#":
            counts[rest[0]] = int(rest[1])
        else:
            samples[kind].append(float(rest[0]))
    heartbeat, fire, echo, apart = (percentiles(np.array(samples[kind])) for kind in "hfea")
    command = percentiles(np.array(samples["h"] + samples["f"]))
    return counts | {
        "heartbeat_us": heartbeat,
        "fire_us": fire,
        "command_us": command,
        "echo_us": echo,
        "echo_apart_us": apart,
        "ratio": {
            "command_to_echo": ratios(command, echo),
            "command_to_echo_apart": ratios(command, apart),
            "fire_to_echo_apart": ratios(fire, apart),
        },
    }


def table(result: dict[str, Any]) -> Iterator[str]:
    """For people."""
    if result["rates"] is None:
        yield result["skipped"]
        return
    yield f"{'rate':>8} {'':19}{'n':>8}{'p50':>10}{'p99':>10}{'p99.9':>10}{'max':>10}   (microseconds)"
    for rate in result["rates"]:
        for name in ("heartbeat", "fire", "command", "echo", "echo_apart"):
            yield _row(f"{rate['rate_hz']} Hz", name, rate[f"{name}_us"])
        for name, ratio in rate["ratio"].items():
            yield _row("ratio", name, {"n": "", "max": None, **ratio})
        yield f"{'':9}events {rate['events']}, missed {rate['missed']}, unexpected {rate['unexpected']}"


def _row(rate: str, name: str, values: dict[str, Any]) -> str:
    cells = (values[p] for p in ("p50", "p99", "p99_9", "max"))
    return f"{rate:>8} {name:22}{values['n']:>5}" + "".join(f"{'-' if c is None else c:>10}" for c in cells)


def main() -> int:
    """The command line; 0 also where there is no compiler, which the result then says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--long", action="store_true", help="about 15 minutes")
    parser.add_argument("--rate", type=int, action="append", help="readings a second; may be repeated")
    parser.add_argument("--rounds", type=int, help="chunks of each kind")
    parser.add_argument("--chunk-ms", type=int, default=CHUNK_MS, help="length of a chunk, at most 1500")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    asked = parser.parse_args()
    rounds = LONG if asked.long else SHORT
    result: dict[str, Any] = {
        "benchmark": "latency",
        "form": "long" if asked.long else "short",
        "machine": machine(),
        "measured": MEASURED,
        "rates": None,
    }
    compiler = shutil.which("cc")
    if compiler is None or sys.platform == "win32":
        result["skipped"] = "latency: needs pseudo-terminals and a C compiler called cc (Debian: apt install gcc)"
    else:
        rates = asked.rate or list(rounds)
        result["rates"] = [measure(compiler, r, asked.rounds or rounds.get(r, 3), asked.chunk_ms) for r in rates]
    say(result, table(result), as_json=asked.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
