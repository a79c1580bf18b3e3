"""Your own two boards on their ports, in wall time, with a jumper from the stimulator's light copy to the DAQ's input.

Light is really given: fibre off, or source off, before these tests. Only light that the DAQ saw counts here, to within
a reading; what the stimulator itself says of its edges is asserted beside it. No test may take this for a photodiode.
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable, Sequence

import pytest
from bench import Bench, CannotDo, Edge
from line import Line

from closedloop.clock import TickCounter
from closedloop.errors import DeviceError
from closedloop.port import Port, wait
from closedloop.wire import Dark, Flag, Identify, Identity, Reading, StreamStop

_BEHIND_S = 0.05
_BOOT_S = 4.0  # opening the port resets an Uno, whose bootloader takes up to 2 s


def missing(config: pytest.Config) -> str | None:
    """Why there are no boards here, or None."""
    if not config.getoption("--stim-port") or not config.getoption("--daq-port"):
        return "no boards: give --daq-port and --stim-port (the same twice for one board that is both)"
    return None


class BoardBench(Bench):
    """Real boards; what hands would have to do is asked of the person with --interactive, else skipped."""

    name = "board"
    step_s = 1e-3
    edge_resolution_s = 2.2e-3  # two readings at 1 kHz
    least_rate_hz = 1000.0
    command_s = 0.05
    clock_error = 5e-3  # a ceramic resonator's, as on most Unos

    def __init__(self, config: pytest.Config, **skew: float) -> None:
        if any(skew.values()):
            raise CannotDo("the clocks of real boards are as they are")
        super().__init__()
        names = [config.getoption("--daq-port"), config.getoption("--stim-port")]
        self._person = bool(config.getoption("--interactive"))
        self._ports = {name: Port(name, config.getoption("--baud")) for name in dict.fromkeys(names)}
        self._lines: dict[Port, Line] = {self._ports[names[0]]: self.daq}
        if names[0] == names[1]:
            self.stimulator = self.daq
        else:
            self._lines[self._ports[names[1]]] = self.stimulator
        self._daq_port, self._stimulator_port = self._ports[names[0]], self._ports[names[1]]
        self._start_ns = time.monotonic_ns()
        self._edges: list[Edge] = []  # by the DAQ's own ticks
        self._looked_at = 0
        self._counter = TickCounter()
        self._apart_s = float("inf")  # between the bench's time and those ticks
        self._wake_up()

    def _wake_up(self) -> None:
        """Opening a port resets an Uno or Mega, which so forgets its dose; and only so do all tests fit in a minute."""
        end_s = self.now_s + _BOOT_S
        while self.now_s < end_s and not all(line.last(Identity) for line in self._lines.values()):
            for line in self._lines.values():
                line.say(Identify())
            self.run(0.25)
        if not all(line.last(Identity) for line in self._lines.values()):
            raise DeviceError("a board does not answer; is our firmware on it?")
        for line in self._lines.values():
            line.say(Dark(), StreamStop())
        self.run(0.1)
        for line in self._lines.values():
            line.heard[:] = [heard for heard in line.heard if isinstance(heard.message, Identity)]
            line.said.clear()

    def _write_daq(self, data: bytes) -> None:
        self._daq_port.write(data)

    def _write_stimulator(self, data: bytes) -> None:
        self._stimulator_port.write(data)

    def _advance(self, until_s: float) -> float:
        """Wait for bytes, at most until then; a stopped host leaves them where they are."""
        ports: Sequence[Port] = list(self._lines) if self.host_runs else ()
        while (left_s := until_s - self._clock_s()) > 0:
            if wait(list(ports), left_s) and self.host_runs:
                break
        return self._clock_s()

    def _clock_s(self) -> float:
        return (time.monotonic_ns() - self._start_ns) / 1e9

    def _listen(self) -> None:
        for port, line in self._lines.items():
            if port.waiting:
                line.take(port.read(), self._clock_s())

    def run_until(self, condition: Callable[[], object], within_s: float) -> None:
        """And a little longer: what the DAQ saw of it comes after what the stimulator says of it."""
        super().run_until(condition, within_s)
        self.run(_BEHIND_S)

    def light(self) -> list[Edge]:
        """As the DAQ saw it through the jumper, by its own ticks: a host that reads late does not move an edge.

        The quickest of all readings says how far ticks and bench are apart; drift within one test is left in.
        """
        for heard_s, message in self.daq.heard[self._looked_at :]:
            if isinstance(message, Reading):
                board_s = self._counter.extend(message.ticks) / 1e6
                self._apart_s = min(self._apart_s, heard_s - board_s)
                lit = bool(message.flags & Flag.LIGHT)
                if lit != (bool(self._edges) and self._edges[-1].lit):
                    self._edges.append(Edge(board_s, lit))
        self._looked_at = len(self.daq.heard)
        return [Edge(at_s + self._apart_s, lit) for at_s, lit in self._edges]

    def set_interlock(self, closed: bool) -> None:
        self._ask(f"{'close' if closed else 'open'} the interlock, then press Enter: ")
        self.note("interlock closed" if closed else "interlock open")

    def set_gate(self, is_open: bool) -> None:
        self._ask(f"{'take the wire from D12 to GND away' if is_open else 'connect D12 to GND'}, then press Enter: ")
        self.note("gate open" if is_open else "gate shut")

    def _ask(self, what: str) -> None:
        """Time goes on meanwhile, heartbeats with it."""
        if not self._person or os.name != "posix":
            raise CannotDo(f"needs a hand ({what.split(',', maxsplit=1)[0]}); run with --interactive -s")
        sys.stderr.write(f"\n{what}")
        sys.stderr.flush()
        while not select.select([sys.stdin], [], [], 0)[0]:
            self.run(0.05)
        sys.stdin.readline()

    def finish(self) -> None:
        """Dark, whatever the test left behind."""
        for line in self._lines.values():
            line.cut, line.to_board = False, None
            line.say(Dark())
        self.host_runs, self.heartbeats = True, False
        self.run(0.1)  # in which its end is seen
        self.daq.say(StreamStop())
        self.run(0.05)

    def close(self) -> None:
        for port in self._lines:
            port.close()
