"""One session's traffic: bytes in; commands, rows and events out. No thread, no port that is read, no clock of its own.

The order within one arrival is the order of its worth: decode, decide, command light, prove to the stimulator that a
good reading came, and only then write down what happened. Time is given by the caller, so the same controller runs on
wall time with serial ports and on virtual time with emulated boards.

    WARMING --(first reading fit to act on)--> ARMING --(board says armed)--> RUNNING --> ENDED
       any state --(end, stop, trip, lost device)--> ENDED: dark first, then told why. Nothing leads back to RUNNING.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple, Protocol

import numpy as np

from closedloop import loop as loops
from closedloop import wire
from closedloop.clock import ClockFit, tick_difference
from closedloop.errors import DeviceError
from closedloop.limits import Command
from closedloop.loop import RESTARTED, VALID, WARM, Loop
from closedloop.readings import Readings
from closedloop.sources.photometry_board import ReadingCounter
from closedloop.train import Refusal

_HEARTBEAT_US = 10_000  # of sample time between heartbeats
_STALE_NS = 100_000_000  # a reading later than this against the quickest one is too old to act on
_LEAK = 5e-4  # per ns: how fast the quickest arrival is forgotten; covers a clock 500 ppm off
_CLOCK_NS = 983_900_000  # an odd period, so as not to beat with others
_SILENT_NS = 2_000_000_000
_SILENT_PERIODS = 20


class Phase(Enum):
    """Where the session is."""

    WARMING = "warm-up"
    ARMING = "arming"
    RUNNING = "running"
    ENDED = "ended"


class Ending(NamedTuple):
    """How a session ended: completed, stopped, tripped or device_lost; and why, in words."""

    how: str
    reason: str


class Sender(Protocol):
    """What carries messages to a board."""

    def send(self, message: wire.Message) -> None:
        """Write one message.

        Raises:
            DeviceError: the board is gone.
        """


class Recorder(Protocol):
    """What keeps rows and events."""

    def append(self, readings: Readings, steps: loops.Steps, host_ns: int) -> None:
        """Keep the readings of one arrival with what was made of them."""

    def event(
        self,
        kind: str,
        *,
        ticks: int,
        host_ns: int,
        train: int | None = None,
        reason: str | None = None,
        value: float | None = None,
        text: str | None = None,
    ) -> None:
        """Keep one event."""


@dataclass(frozen=True)
class Orders:
    """What the controller is to do; fixed for the session."""

    rate_hz: float
    decisions: tuple[str, ...]  # the policy's, number 1 first
    fire_code: int
    command: Command
    limits: wire.Limits
    duration_us: int | None
    lit: bool  # whether there is a stimulator to arm at all
    real_time: bool  # False when a recording is played faster than it was made
    input_names: tuple[str, ...] = ()


@dataclass
class _Outstanding:
    """A train that was commanded and not yet answered for."""

    commanded_ns: int
    started: bool = False


@dataclass
class Tally:
    """Counts for the progress line; the recording is what reports are made of."""

    detections: int = 0
    commanded: int = 0
    delivered: int = 0
    refused: Counter[str] = field(default_factory=Counter)


class Controller:
    """Decides nothing that the loop does not decide, and forgets nothing that the boards report."""

    def __init__(
        self,
        orders: Orders,
        loop: Loop,
        daq: Sender,
        stimulator: Sender,
        recorder: Recorder,
        counter: ReadingCounter,
        now_ns: Callable[[], int],
    ) -> None:
        self.phase = Phase.WARMING
        self.ending: Ending | None = None
        self.tally = Tally()
        self.counter = counter
        self.stimulator_clock = ClockFit()
        self.daq_clock = ClockFit()
        self.sent_by_board: int | None = None
        self.statistics: dict[str, wire.Statistics] = {}
        self._orders = orders
        self._loop = loop
        self._daq = daq
        self._stimulator = stimulator
        self._recorder = recorder
        self._now_ns = now_ns
        self._outstanding: dict[int, _Outstanding] = {}
        self._ticks = 0
        self._last_reading_ns: int | None = None
        self._next_heartbeat = 0
        self._quickest: float | None = None
        self._veto = 0
        self._inputs: int | None = None
        self._queries = 0
        self._asked: dict[int, tuple[ClockFit, int]] = {}
        self._next_query_ns = 0
        self._told: dict[type[Any], Callable[[Any, int], None]] = {
            wire.Started: self._on_started,
            wire.Fired: self._on_fired,
            wire.Refused: self._on_refused,
            wire.Trip: self._on_trip,
            wire.Status: self._on_status,
            wire.ClockReply: self._on_clock,
        }

    # Readings

    def daq_messages(self, messages: list[wire.Message], now_ns: int) -> None:
        """What the DAQ said, in the order it said it, at the moment its bytes were read."""
        readings = [m for m in messages if type(m) is wire.Reading]
        if readings:
            self._on_readings(readings, now_ns)
        if len(readings) == len(messages):
            return
        for message in messages:
            if isinstance(message, wire.ClockReply):
                self._on_clock(message, now_ns)
            elif isinstance(message, wire.Statistics):
                self.statistics["daq"] = message
            elif isinstance(message, wire.StreamEnd):
                self.sent_by_board = message.sent
                self.end("completed", "the stream ended")
            elif isinstance(message, wire.Identity):
                self.end("device_lost", f"the DAQ board restarted ({_reset(message)}); it starts anew at zero")

    def _on_readings(self, messages: list[wire.Reading], now_ns: int) -> None:
        missing = self.counter.missing
        readings = self.counter.accept(messages)
        if len(readings) == 0:
            return
        steps = self._loop.run(readings)
        self._act(readings, steps, now_ns)
        self._prove_life(readings)
        self._recorder.append(readings, steps, now_ns)
        self._note_gap(missing, readings, now_ns)
        self._note_changes(readings, steps, now_ns)
        if self.counter.received == len(readings):
            self._event("note", now_ns, 0, reason="first_reading", value=float(self.counter.first_ticks))
        self._last_reading_ns = now_ns
        self._ticks = int(readings["ticks"][-1])
        duration_us = self._orders.duration_us
        if duration_us is not None and self._ticks >= duration_us:
            self.end("completed", "the duration is over")

    def _act(self, readings: Readings, steps: loops.Steps, now_ns: int) -> None:
        """Command what these steps want, first of all things."""
        age_floor = self._age_floor(int(readings["ticks"][-1]), now_ns)
        if not steps["train"].any():
            return
        for at in np.flatnonzero(steps["train"]):
            step = steps[at]
            age_ns = now_ns - int(readings["ticks"][at]) * 1000 - age_floor
            self._carry_out(step, int(readings["ticks"][at]), age_ns, now_ns)

    def _carry_out(self, step: Any, ticks: int, age_ns: float, now_ns: int) -> None:
        train = int(step["train"])
        refused = Refusal(step["refused"])
        fires = refused == 0 and step["decision"] != 0 and step["decision"] == self._orders.fire_code
        if fires:
            refused = self._live_refusal(age_ns)
        if fires and not refused:
            c = self._orders.command
            self._tell(wire.Fire(train, c.on_us, c.period_us, c.pulses, c.level, c.ramp_off_us, scheduled=0, start=0))
            commanded_ns = self._now_ns()
            self._outstanding[train] = _Outstanding(commanded_ns)
        for kind, reason, value in loops.told(step, self._orders.decisions, refused):
            self._count(kind, reason)
            self._event(kind, now_ns, ticks, train=train, reason=reason, value=value)
        if fires and not refused:
            self.tally.commanded += 1
            self._event("command", commanded_ns, ticks, train=train, value=(commanded_ns - now_ns) / 1000)

    def _count(self, kind: str, reason: str | None) -> None:
        if kind == "detection":
            self.tally.detections += 1
        elif kind == "refused" and reason:
            self.tally.refused[reason] += 1

    def _live_refusal(self, age_ns: float) -> Refusal:
        """What only a live run can know: is the board armed, and is the reading fresh?"""
        if not self._orders.lit or self.phase is not Phase.RUNNING:
            return Refusal.NOT_ARMED
        if self._orders.real_time and age_ns > _STALE_NS:
            return Refusal.STALE
        return Refusal.NONE

    def _age_floor(self, ticks: int, now_ns: int) -> float:
        """Host time of tick zero had it come as quickly as the quickest reading of late; forgets slowly."""
        offset = float(now_ns - ticks * 1000)
        if self._quickest is None or self._last_reading_ns is None:
            self._quickest = offset
        else:
            self._quickest = min(offset, self._quickest + _LEAK * (now_ns - self._last_reading_ns))
        return self._quickest

    def _prove_life(self, readings: Readings) -> None:
        """A heartbeat, because a good reading arrived; never because time passed."""
        ticks = int(readings["ticks"][-1])
        if not self._orders.lit or self.ending is not None or ticks < self._next_heartbeat:
            return
        self._next_heartbeat = ticks + _HEARTBEAT_US
        self._tell(wire.Heartbeat(int(readings["seq"][-1])))

    def _note_gap(self, missing_before: int, readings: Readings, now_ns: int) -> None:
        missing = self.counter.missing - missing_before
        if missing:
            self._event("gap", now_ns, int(readings["ticks"][0]), reason="missing", value=float(missing))

    def _note_changes(self, readings: Readings, steps: loops.Steps, now_ns: int) -> None:
        """Veto, restart, arming and digital inputs, where they change."""
        self._note_inputs(readings, now_ns)
        if (steps["veto"] != self._veto).any():
            self._note_vetoes(readings, steps["veto"], now_ns)
        if (steps["bits"] & RESTARTED).any():
            at = int(np.flatnonzero(steps["bits"] & RESTARTED)[0])
            self._event("note", now_ns, int(readings["ticks"][at]), reason="restarted", text="warm-up begins anew")
        fit = VALID | WARM
        if self.phase is Phase.WARMING and self._orders.lit and (steps["bits"] & fit == fit).any():
            self._arm(now_ns)

    def _note_vetoes(self, readings: Readings, vetoes: Any, now_ns: int) -> None:
        for ticks, veto in zip(readings["ticks"], vetoes, strict=True):
            if veto == self._veto:
                continue
            self._veto = int(veto)
            reason = Refusal(veto).name.lower() if veto else "veto_over"
            self._event("note", now_ns, int(ticks), reason=reason)

    def _note_inputs(self, readings: Readings, now_ns: int) -> None:
        inputs = readings["inputs"]
        if self._inputs is not None and not (inputs != self._inputs).any():
            return
        for ticks, value in zip(readings["ticks"], inputs, strict=True):
            self._note_input(int(ticks), int(value), now_ns)

    def _note_input(self, ticks: int, value: int, now_ns: int) -> None:
        if self._inputs is None:
            self._inputs = value
        changed = self._inputs ^ value
        self._inputs = value
        names = self._orders.input_names
        for bit in range(changed.bit_length()):
            if changed >> bit & 1:
                name = names[bit] if bit < len(names) else f"digital_{bit + 1}"
                self._event("input", now_ns, ticks, reason=name, value=float(value >> bit & 1))

    # Light

    def _arm(self, now_ns: int) -> None:
        self.phase = Phase.ARMING
        self._tell(wire.Arm())
        self._event("note", now_ns, reason="arm", text="warm-up is over: the stimulator is asked to arm")

    def stimulator_messages(self, messages: list[wire.Message], now_ns: int) -> None:
        """What the stimulator said, in the order it said it."""
        for message in messages:
            answer = self._told.get(type(message))
            if answer is not None:
                answer(message, now_ns)
            elif isinstance(message, wire.Statistics):
                self.statistics["stimulator"] = message
            elif isinstance(message, wire.Identity) and self.ending is None:
                self.end("device_lost", f"the stimulator restarted ({_reset(message)}); it is dark and disarmed")

    def _on_status(self, status: wire.Status, now_ns: int) -> None:
        reason = _reason(status.reason)
        if status.state == wire.State.ARMED and self.phase is Phase.ARMING:
            self.phase = Phase.RUNNING
            self._event("note", now_ns, reason="armed", text="the stimulator is armed")
        elif status.state == wire.State.TRIPPED or self.phase is Phase.ARMING:
            self._trip(reason, now_ns)

    def _on_trip(self, trip: wire.Trip, now_ns: int) -> None:
        self._trip(_reason(trip.reason), now_ns)

    def _trip(self, reason: str, now_ns: int) -> None:
        if self.ending is not None:
            return
        self._event("trip", now_ns, reason=reason)
        self.end("tripped", f"the stimulator tripped: {reason}")

    def _on_started(self, started: wire.Started, now_ns: int) -> None:
        train = self._outstanding.get(started.train)
        if train is None or train.started:
            return
        train.started = True
        self.tally.delivered += 1
        on_ns = self._stimulator_ns(started.on_ticks, now_ns)
        latency_us = (on_ns - train.commanded_ns) / 1000 if self._timed else None
        self._event("light_on", now_ns, self._daq_ticks(on_ns), train=started.train, value=latency_us)

    def _on_fired(self, fired: wire.Fired, now_ns: int) -> None:
        if self._outstanding.pop(fired.train, None) is None:
            return
        off_ns = self._stimulator_ns(fired.off_ticks, now_ns)
        reason = _reason(fired.reason) if fired.reason else None
        ticks = self._daq_ticks(off_ns)
        self._event("light_off", now_ns, ticks, train=fired.train, reason=reason, value=float(fired.lit_us))

    def _on_refused(self, refused: wire.Refused, now_ns: int) -> None:
        if self._outstanding.pop(refused.train, None) is None:
            return
        reason = _reason(refused.reason)
        self.tally.refused[reason] += 1
        self._event("refused", now_ns, train=refused.train, reason=reason, text="by the stimulator")

    # Clocks

    @property
    def _timed(self) -> bool:
        return self._orders.real_time and self.stimulator_clock.known

    def _stimulator_ns(self, ticks: int, now_ns: int) -> int:
        return self.stimulator_clock.host_ns(ticks) if self._timed else now_ns

    def _daq_ticks(self, host_ns: int) -> int:
        """Microseconds since the first reading, on the DAQ's clock; by its last reading where that is all we know."""
        if not (self._orders.real_time and self.daq_clock.known):
            return self._ticks
        last = self.counter.first_ticks + self._ticks
        return self._ticks + tick_difference(round(self.daq_clock.ticks_at(host_ns)), last)

    def _on_clock(self, reply: wire.ClockReply, now_ns: int) -> None:
        fit, asked_ns = self._asked.pop(reply.query, (None, 0))
        if fit is not None:
            fit.add(asked_ns, now_ns, reply.ticks)

    def ask_clocks(self, now_ns: int) -> None:
        """One clock query to each board; answers come back as messages."""
        for board, fit in ((self._daq, self.daq_clock), (self._stimulator, self.stimulator_clock)):
            if board is self._stimulator and not self._orders.lit:
                continue
            self._queries += 1
            self._asked[self._queries] = (fit, now_ns)
            self._tell(wire.ClockQuery(self._queries), board)

    # Time and end

    def housekeeping(self, now_ns: int) -> None:
        """Called now and then, also while nothing arrives: clock queries, and the silence of a DAQ."""
        if now_ns >= self._next_query_ns:
            self._next_query_ns = now_ns + _CLOCK_NS
            self._asked.clear()
            self.ask_clocks(now_ns)
        if self._last_reading_ns is None:
            self._last_reading_ns = now_ns
        silent_ns = max(_SILENT_NS, int(_SILENT_PERIODS / self._orders.rate_hz * 1e9))
        if now_ns - self._last_reading_ns > silent_ns:
            self.end("device_lost", f"no reading from the DAQ for {silent_ns / 1e9:g} s; check its cable and power")

    def note(self, text: str, now_ns: int, reason: str = "note") -> None:
        """A remark with its time."""
        self._event("note", now_ns, reason=reason, text=text)

    def end(self, how: str, reason: str) -> None:
        """Dark, at once; the first cause is the one that counts."""
        if self.ending is not None:
            return
        self.ending = Ending(how, reason)
        self.phase = Phase.ENDED
        if not self._orders.lit:
            return
        try:
            self._stimulator.send(wire.Dark())
        except DeviceError as problem:
            self.ending = Ending("device_lost", str(problem))

    def _tell(self, message: wire.Message, board: Sender | None = None) -> None:
        """Write to a board (the stimulator); if it is gone the session ends, and the readings at hand are recorded."""
        try:
            (board or self._stimulator).send(message)
        except DeviceError as problem:  # its lease ends in the dark without us
            self.end("device_lost", str(problem))

    @property
    def outstanding(self) -> int:
        """Trains commanded and not yet answered for."""
        return len(self._outstanding)

    @property
    def veto(self) -> str:
        """The reason why the last reading was not fit to act on, or an empty text."""
        return Refusal(self._veto).name.lower() if self._veto else ""

    @property
    def seconds(self) -> float:
        """Sample time of the last reading."""
        return self._ticks / 1e6

    def _event(
        self,
        kind: str,
        now_ns: int,
        ticks: int | None = None,
        *,
        train: int | None = None,
        reason: str | None = None,
        value: float | None = None,
        text: str | None = None,
    ) -> None:
        self._recorder.event(
            kind,
            ticks=self._ticks if ticks is None else ticks,
            host_ns=now_ns,
            train=train,
            reason=reason,
            value=value,
            text=text,
        )


def _reason(code: int) -> str:
    try:
        return wire.Reason(code).name.lower()
    except ValueError:
        return f"reason_{code}"


def _reset(identity: wire.Identity) -> str:
    try:
        return wire.ResetCause(identity.reset_cause).name.lower().replace("_", " ")
    except ValueError:
        return "unknown cause"
