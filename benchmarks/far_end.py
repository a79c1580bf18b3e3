"""The far end of latency.py, echo.c: its plan of chunks, how it is compiled and started, and what it prints.

It also holds the session that is measured against it.
"""

from __future__ import annotations

import select
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import scheduling

from closedloop import wire
from closedloop.detectors.threshold import Threshold
from closedloop.features.dff import Dff
from closedloop.features.lowpass import Lowpass
from closedloop.policies.closed_loop import ClosedLoop
from closedloop.protocol import Protocol
from closedloop.quality import Quality
from closedloop.realtime import Waiting
from closedloop.request import Request
from closedloop.rig import Rig
from closedloop.sources.photometry_board import PhotometryBoard
from closedloop.stimulators.arduino import Arduino
from closedloop.train import Train

CHUNK_MS = 1300  # a chunk is shorter than the 2 s after which the program calls a silent board lost
PROGRAM_MS = 700  # the program has twice as many chunks as each echo; the first 100 ms of any are not measured
WARM_MS = 3000


class Plan(NamedTuple):
    """Which chunks, how long, in which order."""

    rate_hz: int
    rounds: int
    chunk_ms: int = CHUNK_MS
    program_ms: int = PROGRAM_MS
    warm_ms: int = WARM_MS
    peers: int = 0
    peers_every: int = 1  # a turn for each peer in every so many rounds

    def letters(self) -> str:
        """As echo.c takes it: the program between any two others."""
        turns = "".join(f"p{nth + 1}" for nth in range(self.peers))
        return "".join("pepa" + (turns if i % self.peers_every == 0 else "") for i in range(self.rounds))

    def expected_s(self) -> float:
        """How long all chunks together take, in seconds."""
        letters = self.letters()
        programs = letters.count("p")
        return (programs * self.program_ms + (len(letters) - programs) * self.chunk_ms) / 1000

    def chunks_s(self, letter: str) -> float:
        """How long all chunks of this letter together take, in seconds."""
        return self.letters().count(letter) * (self.program_ms if letter == "p" else self.chunk_ms) / 1000


class FarEnd:
    """echo.c, running."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        if process.stdout is None:
            raise RuntimeError("the board has no standard output")
        self.process, self._out = process, process.stdout
        self.daq, self.stimulator, *peers, echo = self._out.readline().split()
        self.peers: list[str] = peers
        self.echo = int(echo)
        self.scheduling = scheduling.above_all(process.pid)
        self._begun = False

    def begun(self) -> bool:
        """Whether everyone was ready and the plan has begun."""
        if not self._begun and select.select([self._out], [], [], 0)[0]:
            self._begun = self._out.readline().startswith("# begun")
        return self._begun

    def said(self) -> str:
        """What it measured, once it is over.

        Raises:
            RuntimeError: it gave up; the reason is on standard error.
        """
        text, _ = self.process.communicate()
        if self.process.returncode:
            raise RuntimeError(f"the board ended with {self.process.returncode}")
        return text


@contextmanager
def running(compiler: str, plan: Plan) -> Iterator[FarEnd]:
    """echo.c, compiled with this program's own wire.h, and running."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "wire.h").write_text(wire.c_header(), encoding="utf-8")
        binary, source = Path(folder, "echo"), Path(__file__).with_name("echo.c")
        subprocess.run([compiler, "-std=c11", "-O2", "-Wall", "-I", folder, "-o", binary, source], check=True)
        numbers = [plan.rate_hz * 1000, plan.chunk_ms, plan.program_ms, plan.warm_ms, plan.peers]
        process = subprocess.Popen(
            [binary, *map(str, numbers), plan.letters()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            yield FarEnd(process)
        finally:
            process.kill()
            process.communicate()


def request(rate_hz: int, daq: str, stimulator: str, out: Path, waiting: Waiting = "sleep") -> Request:
    """A session whose every bright reading is a detection, and that takes the others' chunks for no fault."""
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
        waiting=waiting,
        daq=PhotometryBoard(port=daq, rate=float(rate_hz)),
        stimulator=Arduino(port=stimulator, lease=0.5),
    )
    return Request(protocol=protocol, rig=rig, out=out, seed=1)


def parse(said: str) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Microseconds by kind (h, f, e, a, 1 ...), and counts by name, of what the board printed."""
    samples: dict[str, list[float]] = {kind: [] for kind in "hfea"}
    counts: dict[str, int] = {}
    for line in said.splitlines():
        kind, *rest = line.split()
        if kind == "#":
            counts[rest[0]] = int(rest[1])
        else:
            samples.setdefault(kind, []).append(float(rest[0]))
    return samples, counts
