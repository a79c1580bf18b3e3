"""What every backend is to a test: two boards, a host that pumps heartbeats, a log of light. It judges nothing.

Times are seconds of the bench: virtual where boards are virtual, wall time on real boards. A backend that can't do
something raises `CannotDo` with the reason, and the test is skipped with it; it never pretends.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from line import Line, Wear
from monitor import Episode

from closedloop import wire
from closedloop.clock import tick_difference

M = TypeVar("M", bound=wire.Message)
_HEARTBEAT_US = 10_000  # of sample time between heartbeats


class CannotDo(Exception):  # noqa: N818 - no error: the test is skipped
    """This backend has no such hand: why, in words. The test is skipped with it."""


class Edge(NamedTuple):
    """The light changed."""

    at_s: float
    lit: bool


class Span(NamedTuple):
    """The light was on, from rise to fall."""

    rise_s: float
    fall_s: float

    @property
    def width_us(self) -> float:
        """Length of the light."""
        return (self.fall_s - self.rise_s) * 1e6


class Bench(ABC):
    """Two boards and their host.

    Attributes:
        name: the backend's, as in the test's id.
        now_s: time of the bench.
        step_s: the host looks at its lines this often.
        edge_resolution_s: how exactly `light` is known; also the error allowed to a pulse's width.
        command_s: most time from writing a command, or moving a contact, to its effect on an idle board.
        least_rate_hz: the slowest stream that shows light well enough.
        clock_error: how far the boards' clocks may differ from the bench's, as a part of 1.
        host_runs: False while the host is stopped: it neither reads nor writes, and bytes for it wait.
        heartbeats: whether an arriving reading makes the host send one.
        boards_run: False while the boards' time stands still, as that of simulated boards that are held up.
        episodes: what was done to the board by hand, for the monitor.
    """

    name = "?"
    step_s = 1e-3
    edge_resolution_s = 1e-6
    command_s = 2e-3
    clock_error = 0.0
    least_rate_hz = 0.0

    def __init__(self) -> None:
        self.now_s = 0.0
        self.host_runs = self.heartbeats = self.boards_run = True
        self._stood = [(0.0, 0.0)]  # from this time of the boards on they are so much behind the bench's
        self.episodes: list[Episode] = []
        self.daq = Line(self._write_daq, lambda: self.now_s)
        self.stimulator = Line(self._write_stimulator, lambda: self.now_s)
        self._pumped = 0
        self._beaten_at: int | None = None

    # Hands of the backend.

    @abstractmethod
    def _write_daq(self, data: bytes) -> None: ...

    @abstractmethod
    def _write_stimulator(self, data: bytes) -> None: ...

    @abstractmethod
    def _advance(self, until_s: float) -> float:
        """Let the boards live until then, or until they speak; and say what time it is."""

    @abstractmethod
    def _listen(self) -> None:
        """Hand to both lines what has come for the host."""

    @abstractmethod
    def light(self) -> list[Edge]:
        """Every change of light since the bench was made, in order, in the boards' time."""

    def is_lit(self) -> bool:
        """Whether there is light now."""
        edges = self.light()
        return bool(edges) and edges[-1].lit

    def set_interlock(self, closed: bool) -> None:
        """Open or close the interlock's contact."""
        raise CannotDo("nobody is there to move the interlock")

    def set_gate(self, is_open: bool) -> None:
        """Let the external gate input allow light, or forbid it."""
        raise CannotDo("nothing drives the gate input")

    def pull_trigger(self) -> None:
        """A pulse on the stimulator's trigger input."""
        raise CannotDo("nothing drives the trigger input")

    def reset_stimulator(self, cause: wire.ResetCause = wire.ResetCause.EXTERNAL) -> None:
        """Reset the stimulator board, as its button, its power or its watchdog would."""
        raise CannotDo("nobody is there to reset the board")

    def reset_daq(self, cause: wire.ResetCause = wire.ResetCause.EXTERNAL) -> None:
        """Reset the DAQ board."""
        raise CannotDo("nobody is there to reset the board")

    def leap_daq_clock(self, seconds: float) -> None:
        """Make the DAQ's ticks leap ahead by about so much."""
        raise CannotDo("a real clock does not leap")

    def number_readings_from(self, seq: int) -> None:
        """Give the next reading of a stream this number."""
        raise CannotDo("a real board numbers its readings from 0")

    def spoil_readings(self, *, flat: bool) -> None:
        """Make readings a flat line, or counts that cannot be: both ends of their range, saturated, below dark."""
        raise CannotDo("nothing drives the photodetector's input")

    def mend_readings(self) -> None:
        """As before they were spoilt."""
        raise CannotDo("nothing drives the photodetector's input")

    def hang_stimulator(self, *, interrupts: bool) -> None:
        """Make the stimulator's main loop turn no more, its interrupts on or off, until something resets it."""
        raise CannotDo("only an emulated processor can be made to hang")

    def near_wrap(self, in_s: float) -> None:
        """Make both boards' 32-bit ticks wrap so long from now. Before anything was said; the boards restart."""
        raise CannotDo("a real clock wraps every 71.6 minutes only")

    def photodetector(self, volts: float) -> None:
        """Put this voltage on the detector's input while the 470 nm LED is on."""
        raise CannotDo("nothing drives the photodetector's input")

    def counts_per_volt(self) -> float:
        """Counts of a reading that one volt makes at the rate of the stream that runs."""
        settings = self.daq.last(wire.StreamSettings)
        return 1e9 / settings.nano_units if settings else float("nan")

    def level(self) -> float:
        """The level now, 0 to 1, of the output that sets it."""
        raise CannotDo("nothing measures the level")

    def stream(self, rate_hz: float = 100.0) -> wire.StreamSettings:
        """Start the DAQ's stream."""
        return self.ask(self.daq, wire.StreamStart(round(rate_hz * 1000)), wire.StreamSettings)

    # The host.

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end_s = self.now_s + seconds
        while self.now_s < end_s - 1e-9:
            self._step(min(self.step_s, end_s - self.now_s))

    def run_until(self, condition: Callable[[], object], within_s: float) -> None:
        """Let time pass until something is so.

        Raises:
            AssertionError: it did not become so in time.
        """
        end_s = self.now_s + within_s
        while not condition():
            if self.now_s > end_s:
                raise AssertionError(f"it did not happen within {within_s:g} s")
            self._step(self.step_s)

    def ask(self, line: Line, question: wire.Message, kind: type[M], within_s: float = 1.0) -> M:
        """Say something and wait for one kind of answer.

        Raises:
            AssertionError: no such answer came in time.
        """
        since = len(line.heard)
        line.say(question)
        self.run_until(lambda: line.last(kind, since), within_s)
        return line.all(kind, since)[0]

    @property
    def board_s(self) -> float:
        """The boards' time, behind the bench's where it stood still."""
        return self.now_s - self._stood[-1][1]

    def _bench_s(self, board_s: float) -> float:
        """The bench's time of a time of the boards."""
        return board_s + next(behind_s for from_s, behind_s in reversed(self._stood) if from_s <= board_s)

    def _step(self, seconds: float) -> None:
        if self.boards_run:
            self.now_s = self._bench_s(self._advance(self.board_s + seconds))
        else:
            self._stood.append((self.board_s, self._stood[-1][1] + seconds))
            self.now_s += seconds
        if self.host_runs:
            self._listen()
            self._pump()

    def _pump(self) -> None:
        """A heartbeat because a reading came, at most one every 10 ms of sample time, and never because time passed."""
        readings = self.daq.all(wire.Reading, self._pumped)
        self._pumped = len(self.daq.heard)
        for reading in readings if self.heartbeats else ():
            since_us = _HEARTBEAT_US if self._beaten_at is None else tick_difference(reading.ticks, self._beaten_at)
            if since_us >= _HEARTBEAT_US or since_us < 0:
                self._beaten_at = reading.ticks
                self.stimulator.say(wire.Heartbeat(reading.seq))

    def forget(self, kept: int = 50) -> None:
        """Throw away old messages and heartbeats, so that a long run does not fill the memory; orders are kept."""
        for line in (self.daq, self.stimulator):
            del line.heard[:-kept]
            orders = [one for one in line.said[:-kept] if not isinstance(one.message, wire.Heartbeat)]
            line.said[:-kept] = orders
        self._pumped = len(self.daq.heard)

    def stop_host(self) -> None:
        """As SIGSTOP or a sleeping computer: nothing is read or written."""
        self.host_runs = False

    def resume_host(self) -> None:
        """All that waited is heard at once."""
        self.host_runs = True

    def cut_cables(self) -> None:
        """Pull both cables."""
        self.daq.cut = self.stimulator.cut = True

    def plug_cables(self) -> None:
        """Both cables again."""
        self.daq.cut = self.stimulator.cut = False

    def wear(self, seed: int = 1, **fractions: Any) -> list[Wear]:
        """Make both lines bad, in both directions; see `Wear`."""
        wears = [Wear(seed=seed + at, **fractions) for at in range(4)]
        self.daq.to_board, self.daq.to_host, self.stimulator.to_board, self.stimulator.to_host = wears
        return wears

    # What is often asked of it.

    def sees(self, us: float) -> bool:
        """Whether light or darkness of this length can be seen at all."""
        return us > 1e6 * self.edge_resolution_s

    def spans(self) -> list[Span]:
        """Lit spans; light that is still on ends now."""
        spans, rise_s = [], None
        for at_s, lit in self.light():
            if lit and rise_s is None:
                rise_s = self._bench_s(at_s)
            elif not lit and rise_s is not None:
                spans.append(Span(rise_s, self._bench_s(at_s)))
                rise_s = None
        return [*spans, Span(rise_s, self.now_s)] if rise_s is not None else spans

    def note(self, kind: str) -> None:
        """Tell the monitor what was done by hand."""
        self.episodes.append(Episode(self.now_s, kind))

    def finish(self) -> None:  # noqa: B027 - nothing to do is a way to do it
        """Let what is still on its way be seen, before the light is judged."""

    def close(self) -> None:  # noqa: B027
        """Let go of the boards."""
