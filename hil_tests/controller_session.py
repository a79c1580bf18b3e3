"""The real controller and loop on a bench in virtual time, in place of the bench's own host. Nothing is judged here.

The animal is a voltage: steps of signal at given times, which the loop is to detect.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zlib import crc32

from bench import Bench
from commands import prepared, set_limits
from line import Line

from closedloop import limits, wire
from closedloop.controller import Controller, Orders
from closedloop.detectors.threshold import Threshold
from closedloop.features.dff import Dff
from closedloop.loop import Loop, Plan
from closedloop.policies.closed_loop import ClosedLoop
from closedloop.quality import Quality
from closedloop.readings import Readings
from closedloop.train import Train

RATE_HZ = 100.0
LEASE_S = 0.25
REST_V, EVENT_V, EVENT_S = 1.0, 1.1, 0.5
ON_S = 0.2
WARM_UP_S = 8.0


class Notebook:
    """Keeps rows and events in memory."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.events: list[dict[str, Any]] = []
        self.healths: list[Any] = []

    def append(self, readings: Readings, _steps: Any, _host_ns: int) -> None:
        """As the recorder's."""
        self.rows.append(readings.copy())

    def health(self, row: Any) -> None:
        """As the recorder's."""
        self.healths.append(row.copy())

    def event(self, kind: str, **values: Any) -> None:
        """As the recorder's."""
        self.events.append({"kind": kind, **values})


class _Sender:
    """A line as the controller wants it."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def send(self, message: wire.Message) -> None:
        """Say it; an unplugged cable is silent here, as a cut wire behind a USB adapter is."""
        self._line.say(message)


class ControllerSession:
    """A session from limits to whatever ends it.

    Attributes:
        controller: the program's own.
        notebook: what it would have recorded.
        host_runs: False while the program is stopped.
    """

    def __init__(
        self, bench: Bench, events_s: Sequence[float], on_s: float = ON_S, warm_up_s: float = WARM_UP_S
    ) -> None:
        """Set limits and start the stream; times of events count from here."""
        self.bench = bench
        self.notebook = Notebook()
        self.host_runs = True
        self._events_s = events_s
        self._volts = REST_V
        self._heard = {id(line): 0 for line in (bench.daq, bench.stimulator)}
        bench.heartbeats = False
        self._from_s = bench.now_s
        self._plan = _plan(on_s, warm_up_s)
        bench.photodetector(REST_V)
        assert set_limits(bench, self._plan.limits).crc == crc32(wire.pack(self._plan.limits))
        prepared(bench, _prepare(self._plan))
        settings = bench.stream(RATE_HZ)
        orders = Orders(
            rate_hz=RATE_HZ,
            decisions=self._plan.decisions,
            duration_us=None,
            real_time=True,
        )
        loop = Loop(self._plan, rate_hz=RATE_HZ, nano_units=settings.nano_units)
        self._loop = loop
        daq, stimulator = self._sender(bench.daq), self._sender(bench.stimulator)
        self.controller = Controller(orders, loop, daq, stimulator, self._recorder(settings), self.now_ns)
        self._skip_what_was_heard()

    def now_ns(self) -> int:
        """The host's monotonic clock."""
        return round(self.bench.now_s * 1e9)

    def _sender(self, line: Line) -> Any:
        return _Sender(line)

    def _recorder(self, _settings: wire.StreamSettings) -> Any:
        return self.notebook

    def _skip_what_was_heard(self) -> None:
        """Of the DAQ all up to the settings of this stream, which are the session's to hear; of the stimulator all."""
        daq, stimulator = self.bench.daq, self.bench.stimulator
        self._heard[id(stimulator)] = len(stimulator.heard)
        settings = [at for at, heard in enumerate(daq.heard) if isinstance(heard.message, wire.StreamSettings)]
        self._heard[id(daq)] = settings[-1] + 1

    def run(self, until_s: float) -> ControllerSession:
        """Let virtual time pass until then, or until the session ends."""
        while self.bench.now_s - self._from_s < until_s and self.controller.ending is None:
            self.step()
        return self

    def step(self) -> None:
        """One look of the host at its lines."""
        self._live()
        self.bench.host_runs = self.host_runs
        self.bench.run(self.bench.step_s)
        if self.host_runs:
            self.look()

    def look(self) -> None:
        """What the engine does in one turn: the stimulator first, for what it says may be a trip."""
        now_ns = self.now_ns()
        self.controller.stimulator_messages(self._news(self.bench.stimulator), now_ns)
        self.controller.daq_messages(self._news(self.bench.daq), now_ns)
        self.controller.housekeeping(now_ns)

    def _live(self) -> None:
        passed_s = self.bench.now_s - self._from_s
        volts = EVENT_V if any(0 <= passed_s - at_s < EVENT_S for at_s in self._events_s) else REST_V
        if volts != self._volts:
            self.bench.photodetector(volts)
            self._volts = volts

    def _news(self, line: Line) -> list[wire.Message]:
        since = self._heard[id(line)]
        self._heard[id(line)] = len(line.heard)
        return [heard.message for heard in line.heard[since:]]

    def begun(self) -> list[int]:
        """Numbers of all trains that the program asked for."""
        return [s.message.train for s in self.bench.stimulator.said if isinstance(s.message, wire.Begin)]

    @property
    def how(self) -> str | None:
        """How it ended, None while it goes on."""
        return self.controller.ending.how if self.controller.ending else None


def _prepare(plan: Plan) -> wire.Prepare:
    """The session's train as the board is told it."""
    c = limits.command(plan.train, None)
    return wire.Prepare(c.on_us, c.period_us, c.pulses, c.level, c.ramp_off_us, by_trigger=0)


def _plan(on_s: float, warm_up_s: float) -> Plan:
    """A short loop: dF/F over 10 s, threshold 6 over 5 s."""
    return Plan(
        features=(Dff(baseline=10.0),),
        detector=Threshold(threshold=6.0, release=3.0, window=5.0),
        policy=ClosedLoop(refractory=2.0),
        quality=Quality(settle=1.0),
        train=Train(on=on_s),
        level=65_535,
        limits=limits.effective(lease_s=LEASE_S),
        warm_up_s=warm_up_s,
        recovery_s=0.5,
    )
