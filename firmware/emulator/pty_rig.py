"""Emulated boards in real time behind pseudo-terminals, for smoke tests with real processes. Asserts no latency, ever.

    python -m emulator.pty_rig --daq DAQ.elf --stimulator STIMULATOR.elf --log LOG

prints one line of JSON with the port of each board and runs until SIGTERM, SIGINT or the end of its standard input.
Tests judge by the log, in board time: a rig that cannot keep up with the wall clock falls behind rather than hurry.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import IO

from emulator.bench import Bench
from emulator.board import EmulatedBoard, Event, Kind
from emulator.plant import Optics, Plant

SLICE_NS = 250_000
LONGEST_LAG_NS = 5_000_000
ROLES = ("daq", "stimulator", "both")


class PtyRig:
    """Boards whose lines are pseudo-terminals. The slave ends stay open here, so a client may come and go."""

    def __init__(self, boards: dict[str, EmulatedBoard], log: IO[str]) -> None:
        import tty

        self.bench = Bench(**boards)
        self._log = log
        self._masters: dict[int, str] = {}
        self.ports: dict[str, str] = {}
        self._slaves: list[int] = []
        self.stopping = False
        self.lag_ns = self.longest_lag_ns = self.lost_ns = self.refused_bytes = self.slices = 0
        for name in boards:
            master, slave = os.openpty()
            tty.setraw(slave)
            os.set_blocking(master, False)
            self._masters[master] = name
            self._slaves.append(slave)
            self.ports[name] = os.ttyname(slave)

    def run(self) -> None:
        """Runs until `stopping`, or until standard input ends."""
        start_ns = time.monotonic_ns()
        while not self.stopping:
            self.bench.run(self.bench.now_ns + SLICE_NS)
            self._from_boards()
            self._report()
            lag_ns = time.monotonic_ns() - start_ns - self.bench.now_ns
            self._account(lag_ns)
            if lag_ns > LONGEST_LAG_NS:
                start_ns += lag_ns
                self.lost_ns += lag_ns
            self._wait(max(-lag_ns, 0))
        self._write({"event": "end", "ns": self.bench.now_ns, **self.statistics()})

    def statistics(self) -> dict[str, float]:
        """How well the rig kept up with the wall clock."""
        return {
            "mean_lag_us": round(self.lag_ns / max(self.slices, 1) / 1000, 1),
            "longest_lag_us": round(self.longest_lag_ns / 1000, 1),
            "lost_ms": round(self.lost_ns / 1e6, 3),
            "refused_bytes": self.refused_bytes,
        }

    def close(self) -> None:
        """Closes the terminals."""
        for end in (*self._masters, *self._slaves):
            os.close(end)

    def _account(self, lag_ns: int) -> None:
        self.slices += 1
        self.lag_ns += max(lag_ns, 0)
        self.longest_lag_ns = max(self.longest_lag_ns, lag_ns)

    def _wait(self, ns: int) -> None:
        """Until the next slice is due, or at once for what the clients send."""
        deadline_ns = time.monotonic_ns() + ns
        while True:
            left_s = max(deadline_ns - time.monotonic_ns(), 0) / 1e9
            ready, _, _ = select.select([*self._masters, sys.stdin], [], [], left_s)
            for end in ready:
                self._from_client(end)
            if self.stopping or not left_s:
                return

    def _from_client(self, end: int | IO[str]) -> None:
        if not isinstance(end, int):
            self.stopping = not os.read(end.fileno(), 4096)
            return
        self.bench.lines[self._masters[end]].write(os.read(end, 4096))

    def _from_boards(self) -> None:
        for master, name in self._masters.items():
            data = self.bench.lines[name].read()
            if not data:
                continue
            try:
                taken = os.write(master, data)
            except BlockingIOError:
                taken = 0
            self.refused_bytes += len(data) - taken

    def _report(self) -> None:
        for name, board in self.bench.boards.items():
            light = ord(board.bit(board.light_pin)[0]) << 8 | board.bit(board.light_pin)[1]
            for event in board.drain():
                self._one(name, board, event, light)
            board.events.clear()

    def _one(self, name: str, board: EmulatedBoard, event: Event, light: int) -> None:
        about: dict[str, object] = {"board": name, "ns": board.ns_of(event.cycle), "cycle": event.cycle}
        if event.kind == Kind.PIN and event.value >> 8 == light:
            self._write({"event": "light", "level": event.value & 1, **about})
        elif event.kind == Kind.RECEIVED:
            self._write({"event": "received", "message": event.value, **about})
        elif event.kind in {Kind.RESET, Kind.OVERRUN, Kind.CRASH}:
            self._write({"event": Kind(event.kind).name.lower(), "value": event.value, **about})

    def _write(self, row: dict[str, object]) -> None:
        self._log.write(json.dumps(row) + "\n")
        self._log.flush()


def lay_wires(bench: Bench) -> None:
    """The wires of the documented rig: interlock closed, TTL copy and trigger between the two boards, a fibre."""
    light = "both" if "both" in bench.boards else "stimulator"
    daq = "both" if "both" in bench.boards else "daq"
    if light in bench.boards:
        bench.boards[light].set_pin("D4", False)
    if daq in bench.boards:
        plant = Plant(bench.boards[daq], Optics())
        if light in bench.boards:
            bench.wire(light, "D8", daq, "A1")
            bench.wire(daq, "D7", light, "D2")
            bench.shine(light, daq)
            bench.grow(plant, light)


def main() -> int:
    """Starts the rig from the command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m emulator.pty_rig", description="Emulated boards in real time.")
    for role in ROLES:
        parser.add_argument(f"--{role}", type=Path, metavar="ELF")
    parser.add_argument("--mcu", default="atmega328p")
    parser.add_argument("--log", type=Path, required=True, help="light edges and received frames, as JSON lines")
    arguments = parser.parse_args()
    if os.name != "posix":
        sys.stderr.write("pseudo-terminals need Linux or macOS; on Windows use the virtual rig instead\n")
        return 2
    elfs = {role: getattr(arguments, role) for role in ROLES if getattr(arguments, role)}
    if not elfs:
        parser.error("give at least one of --daq, --stimulator, --both")
    boards = {role: EmulatedBoard(elf, arguments.mcu) for role, elf in elfs.items()}
    with arguments.log.open("w", encoding="utf-8") as log:
        rig = PtyRig(boards, log)
        lay_wires(rig.bench)

        def stop(number: int, frame: FrameType | None) -> None:
            rig.stopping = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        sys.stdout.write(json.dumps(rig.ports) + "\n")
        sys.stdout.flush()
        rig.run()
        rig.close()
    sys.stderr.write(json.dumps(rig.statistics()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
