"""The controller against virtual boards in virtual time: no port, no process, no wall clock. Lines can be cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from plans import NANO_UNITS, RATE_HZ, plan

from closedloop import framing, wire
from closedloop.controller import Controller, Orders
from closedloop.errors import DeviceError
from closedloop.limits import command
from closedloop.loop import Loop, Plan
from closedloop.readings import Readings, Stream
from closedloop.simulation.daq_board import DaqBoard, Playback
from closedloop.simulation.stimulator_board import StimulatorBoard

STEP_US = 1000


@dataclass
class Line:
    """From the host to a board and back; `cut` is an unplugged cable, `wear` a bad one."""

    board: Any
    now_us: Callable[[], int]
    cut: bool = False
    wear: Callable[[bytes], bytes] = bytes
    decoder: framing.Decoder = field(default_factory=framing.Decoder)
    sent: list[wire.Message] = field(default_factory=list)

    def send(self, message: wire.Message) -> None:
        if self.cut:
            raise DeviceError("the cable is cut")
        self.sent.append(message)
        self.board.receive(self.wear(framing.encode(wire.pack(message))), self.now_us())

    def hear(self) -> list[wire.Message]:
        data = self.wear(self.board.take_output())
        if self.cut:
            return []
        return [m for payload in self.decoder.feed(data) if (m := wire.unpack(payload)) is not None]


class Notebook:
    """Keeps rows and events in memory."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.steps: list[Any] = []
        self.events: list[dict[str, Any]] = []
        self.healths: list[Any] = []

    def append(self, readings: Readings, steps: Any, host_ns: int) -> None:
        self.rows.append(readings.copy())
        self.steps.append(steps.copy())

    def health(self, row: Any) -> None:
        self.healths.append(row.copy())

    def event(self, kind: str, **values: Any) -> None:
        self.events.append({"kind": kind, **values})

    def kinds(self, kind: str) -> list[Any]:
        return [e["reason"] for e in self.events if e["kind"] == kind]


class VirtualSession:
    """One session over a given signal (volts, one a reading)."""

    def __init__(
        self, signal: Readings, loop_plan: Plan | None = None, *, lit: bool = True, by_hand: bool = False
    ) -> None:
        self.now_us = 0
        self.plan = loop_plan or plan()
        stream = Stream(signal, round(RATE_HZ * 1000), NANO_UNITS, "virtual")
        self.stimulator = StimulatorBoard()
        self.to_daq = Line(DaqBoard(Playback(stream)), lambda: self.now_us)
        self.to_stimulator = Line(self.stimulator, lambda: self.now_us)
        self.to_daq.board.on_trigger = self.stimulator.trigger
        self.stimulator.receive(framing.encode(wire.pack(self.plan.limits)), 0)
        self.stimulator.take_output()
        self.notebook = Notebook()
        orders = Orders(
            rate_hz=RATE_HZ,
            decisions=self.plan.decisions,
            command=command(self.plan.train, None),
            duration_us=None,
            real_time=True,
            by_hand=by_hand,
            by_board=self.plan.policy.watch(RATE_HZ, self.plan.warm_up_s) is not None,
        )
        loop = Loop(self.plan, rate_hz=RATE_HZ, nano_units=NANO_UNITS)
        stimulator = self.to_stimulator if lit else None
        self.controller = Controller(orders, loop, self.to_daq, stimulator, self.notebook, lambda: self.now_us * 1000)
        self.to_daq.board.take_output()
        self._hand_over(lit)
        self.to_daq.send(wire.StreamStart(0))
        self.to_daq.hear()  # the settings, which are the session's to hear and not the controller's
        self.host_stopped = False

    def _hand_over(self, lit: bool) -> None:
        """As session.py does, before the stream."""
        watch = self.plan.policy.watch(RATE_HZ, self.plan.warm_up_s)
        c = command(self.plan.train, None)
        by_trigger = int(watch is not None)
        if lit:
            self.to_stimulator.send(wire.Prepare(c.on_us, c.period_us, c.pulses, c.level, c.ramp_off_us, by_trigger))
        if watch is not None:
            self.to_daq.send(watch)

    def run(self, until_s: float) -> VirtualSession:
        """Let virtual time pass."""
        while self.now_us < until_s * 1e6 and self.controller.ending is None:
            self.step()
        return self

    def step(self) -> None:
        """One millisecond: boards first, then what the host hears of them."""
        self.now_us += STEP_US
        self.stimulator.advance(self.now_us)
        self.to_daq.board.advance(self.now_us, self.stimulator.mean_level)
        if self.host_stopped:
            return
        now_ns = self.now_us * 1000
        self.controller.stimulator_messages(self.to_stimulator.hear(), now_ns)
        self.controller.daq_messages(self.to_daq.hear(), now_ns)
        self.controller.housekeeping(now_ns)

    def step_as_one_board(self) -> None:
        """The same, where both boards speak on one line."""
        self.now_us += STEP_US
        self.stimulator.advance(self.now_us)
        self.to_daq.board.advance(self.now_us, self.stimulator.mean_level)
        now_ns = self.now_us * 1000
        self.controller.messages_of_both([*self.to_daq.hear(), *self.to_stimulator.hear()], now_ns)
        self.controller.housekeeping(now_ns)

    def let_it_be(self, seconds: float) -> VirtualSession:
        """Time passes for the boards alone, whatever has become of the host."""
        end_us = self.now_us + round(seconds * 1e6)
        while self.now_us < end_us:
            self.now_us += STEP_US
            self.stimulator.advance(self.now_us)
        return self

    @property
    def lit_s(self) -> list[float]:
        """Rises of light, as delivered, in seconds of virtual time."""
        return [round(us / 1e6, 3) for us, level in self.stimulator.edges if level > 0]

    @property
    def rows(self) -> Any:
        return np.concatenate(self.notebook.rows)
