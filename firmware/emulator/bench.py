"""Boards, wires and a host in lock-step virtual time: equal inputs give bit-identical logs. No wall clock, no thread.

At each step all boards run side by side to the same virtual time; then what a bridge lets through is readable, and the
host is called. A wire carries an edge at its exact cycle to a board that is run later in the same slice, and up to one
slice (20 us) late to one that was run before it: put the sender first.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable

from emulator import library
from emulator.board import EmulatedBoard
from emulator.bridge import Bridge, Ideal
from emulator.faults import Faults, Rates
from emulator.plant import Plant

STEP_NS = 50_000
SLICE_NS = 20_000
PLANT_NS = 1_000_000
INPUT_PIN, INPUT_LIGHT = 1, 2


class Line:
    """The host's end of a board's port: reads what the bridge lets through, writes through the faults of the line."""

    def __init__(self, board: EmulatedBoard, bridge: Bridge, faults: tuple[Faults, Faults]) -> None:
        self.board, self.bridge = board, bridge
        self.faults_in, self.faults_out = faults
        self.cut = False
        self.now_ns = 0
        self._readable = bytearray()
        self._ideal = isinstance(bridge, Ideal)

    def collect(self, now_ns: int, due: bool = True) -> None:
        """Moves what is due by now within reach of `read`; an unplugged line loses it."""
        self.now_ns = now_ns
        if self._ideal:  # the same bytes as by the bridge, without a tuple for each
            arrived = self.board.receive(now_ns) if due else b""
        else:
            arrived = self.bridge.take(self.board.receive_timed(now_ns) if due else (), now_ns)
        if arrived and not self.cut:
            self._readable += self.faults_in.through(arrived)

    def read(self) -> bytes:
        """All that the host can read now."""
        if not self._readable:
            return b""
        data = bytes(self._readable)
        self._readable.clear()
        return data

    def write(self, data: bytes) -> None:
        """Sends to the board, now; what is written to an unplugged line is lost."""
        if not self.cut:
            self.board.send(self.faults_out.through(data), self.bridge.to_board(self.now_ns))


class Bench:
    """Several boards with their lines and wires. `boards` are run in this order within each slice."""

    def __init__(self, **boards: EmulatedBoard) -> None:
        self.boards = boards
        self.lines: dict[str, Line] = {}
        self.now_ns = 0
        self.stalled_until_ns = 0
        self._plant: tuple[Plant, EmulatedBoard] | None = None
        self._plant_due_ns = 0
        self._sliced = False
        self._c = library.load()
        count = len(boards)
        self._handles = (ctypes.c_void_p * count)(*(board.handle for board in boards.values()))
        self._boards = list(boards.values())
        self._due = ctypes.c_uint32()
        self._from, self._until = (ctypes.c_uint64 * count)(), (ctypes.c_uint64 * count)()
        for name in boards:
            self.connect(name)

    def connect(self, name: str, bridge: Bridge | None = None, rates: Rates | None = None, seed: int = 0) -> Line:
        """Lays a new line to a board, in place of the one it has; the same faults strike both ways."""
        faults = Faults(rates or Rates(), 2 * seed), Faults(rates or Rates(), 2 * seed + 1)
        self.lines[name] = Line(self.boards[name], bridge or Ideal(), faults)
        self.lines[name].now_ns = self.now_ns
        return self.lines[name]

    def wire(self, sender: str, pin: str, receiver: str, to_pin: str) -> None:
        """Joins an output to an input, which follows it from its next edge on, and is low until then."""
        port, bit = self.boards[sender].bit(pin)
        to_port, to_bit = self.boards[receiver].bit(to_pin)
        self.boards[receiver].set_pin(to_pin, self.boards[sender].pin(pin))
        self._join(sender, port, bit, receiver, INPUT_PIN, to_port, to_bit)

    def shine(self, sender: str, receiver: str) -> None:
        """Lets a stimulator's light fall on the photodetector of another board (`Optics.leak_mv`)."""
        port, bit = self.boards[sender].bit(self.boards[sender].light_pin)
        self._join(sender, port, bit, receiver, INPUT_LIGHT, "A", 0)

    def _join(self, sender: str, port: str, bit: int, receiver: str, what: int, to_port: str, to_bit: int) -> None:
        handles = self.boards[sender].handle, self.boards[receiver].handle
        if self._c.emulator_wire(handles[0], port.encode(), bit, handles[1], what, to_port.encode(), to_bit):
            raise ValueError(f"{sender} has no room for another wire (16 are possible)")
        order = list(self.boards)
        self._sliced |= order.index(sender) > order.index(receiver)

    def grow(self, plant: Plant, stimulator: str) -> None:
        """Puts an animal on the bench, which the light of this board inhibits."""
        self._plant = plant, self.boards[stimulator]

    def run(self, until_ns: int, host: Callable[[int], None] | None = None, step_ns: int = STEP_NS) -> None:
        """Runs to this virtual time, and calls `host(now_ns)` after each step unless it is stalled.

        Raises StoppedError where a board's processor stops for good.
        """
        while self.now_ns < until_ns:
            self._step(min(self.now_ns + step_ns, until_ns))
            if host is not None and self.now_ns >= self.stalled_until_ns:
                host(self.now_ns)

    def _step(self, to_ns: int) -> None:
        slices = -(-(to_ns - self.now_ns) // SLICE_NS) if self._sliced else 1
        count = len(self._handles)
        for i, board in enumerate(self._boards):
            self._from[i], self._until[i] = self._until[i], board.cycle_of(to_ns)
        due = self._due
        failed = self._c.emulator_run_together(self._handles, self._from, self._until, count, slices, ctypes.byref(due))
        if failed:
            self._boards[failed - 1].check(-1)
        self.now_ns = to_ns
        for i, line in enumerate(self.lines.values()):
            line.collect(to_ns, bool(due.value >> i & 1))
        if self._plant and to_ns >= self._plant_due_ns:
            plant, stimulator = self._plant
            plant.step(to_ns, stimulator.pin(stimulator.light_pin))
            self._plant_due_ns = to_ns + PLANT_NS

    def log_hash(self) -> str:
        """SHA-256 of all boards' logs: equal inputs give equal hashes."""
        together = "".join(f"{name} {board.log_hash()}\n" for name, board in self.boards.items())
        return hashlib.sha256(together.encode()).hexdigest()
