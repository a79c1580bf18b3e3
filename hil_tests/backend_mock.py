"""The virtual boards in virtual time: the rules, exact to the microsecond, with no firmware, port or wall clock."""

from __future__ import annotations

import random
from collections.abc import Callable

from bench import Bench, Edge

from closedloop.readings import COUNT_MAX, FLAG_SIGNAL_SATURATED
from closedloop.simulation.daq_board import BOOT_TICKS, DaqBoard, Sample
from closedloop.simulation.stimulator_board import StimulatorBoard
from closedloop.wire import ResetCause, StreamSettings

_NANO_UNITS = 305_176  # 5 V / 1024 counts / 16 conversions
_DARK_COUNTS, _CONTROL_COUNTS, _NOISE_COUNTS = 800, 4_077, 3
TICKS = 1 << 32
MOST_MHZ = 1_000_000


class _Detector:
    """A source of readings whose voltage the bench sets."""

    nano_units = _NANO_UNITS
    input_count = 3

    def __init__(self) -> None:
        self.rate_mhz = 100_000
        self.volts = 1.0
        self.spoilt: Callable[[Sample], Sample] | None = None
        self.first_number = 0
        self._seq = 0
        self._dice = random.Random(1)

    def rewind(self) -> None:
        self._seq = 0

    def due_us(self, ahead: int = 0) -> int:
        """The first reading takes a period too; periods are whole microseconds, as on a real board."""
        return (self._seq + 1 + ahead) * round(1e9 / self.rate_mhz)

    def take(self, _light: float, /) -> Sample:
        noise, more = (round(self._dice.gauss(0, _NOISE_COUNTS)) for _ in range(2))
        lit = _DARK_COUNTS + round(self.volts * 1e9 / _NANO_UNITS) + noise
        number = (self._seq + self.first_number) % TICKS
        sample = Sample(number, lit, _DARK_COUNTS, _CONTROL_COUNTS + more, _DARK_COUNTS, inputs=0, flags=0)
        self._seq += 1
        return self.spoilt(sample) if self.spoilt else sample


def _impossible(sample: Sample) -> Sample:
    """A kind of nonsense for each of five readings in turn."""
    counts = ((COUNT_MAX, 0), (-COUNT_MAX - 1, 0), (0, COUNT_MAX), (COUNT_MAX, -COUNT_MAX - 1), (0, 5_000))
    lit, dark = counts[sample.seq % len(counts)]
    flags = FLAG_SIGNAL_SATURATED if sample.seq % 2 else 0
    return sample._replace(signal_lit=lit, signal_dark=dark, control_lit=lit, control_dark=dark, flags=flags)


def _flat(sample: Sample) -> Sample:
    return sample._replace(signal_lit=4_000, control_lit=_CONTROL_COUNTS)


class MockBench(Bench):
    """A virtual DAQ and a virtual stimulator with wires between them."""

    name = "mock"
    step_s = 1e-3
    edge_resolution_s = 1e-6
    command_s = 1e-6

    def __init__(self, *, stimulator_ppm: float = 0.0, daq_ppm: float = 0.0) -> None:
        super().__init__()
        self._detector = _Detector()
        self.clock_error = 1.01e-6 * max(abs(stimulator_ppm), abs(daq_ppm))
        self._rates = 1 + daq_ppm / 1e6, 1 + stimulator_ppm / 1e6
        self.daq_board = self._new_daq(0, BOOT_TICKS)
        self.stimulator_board = StimulatorBoard()

    def _new_daq(self, now_us: int, boot_ticks: int) -> DaqBoard:
        board = DaqBoard(self._detector, now_us=now_us, boot_ticks=boot_ticks, most_rate_mhz=MOST_MHZ)
        board.on_trigger = self._on_trigger
        return board

    def _daq_us(self, at_s: float) -> int:
        return round(at_s * 1e6 * self._rates[0])

    def _stimulator_us(self, at_s: float) -> int:
        return round(at_s * 1e6 * self._rates[1])

    def _write_daq(self, data: bytes) -> None:
        self.daq_board.receive(data, self._daq_us(self.board_s))

    def _write_stimulator(self, data: bytes) -> None:
        self.stimulator_board.receive(data, self._stimulator_us(self.board_s))

    def _on_trigger(self, daq_us: int) -> None:
        """The wire between the boards: their clocks meet in the bench's time."""
        self.stimulator_board.trigger(self._stimulator_us(daq_us / self._rates[0] / 1e6))

    def _advance(self, until_s: float) -> float:
        self.daq_board.advance(self._daq_us(until_s), self._light_between)
        self.stimulator_board.advance(self._stimulator_us(until_s))
        return until_s

    def _light_between(self, since_us: int, until_us: int) -> float:
        since, until = (self._stimulator_us(us / self._rates[0] / 1e6) for us in (since_us, until_us))
        self.stimulator_board.advance(until)
        return self.stimulator_board.mean_level(since, until)

    def _listen(self) -> None:
        self.daq.take(self.daq_board.take_output(), self.now_s)
        self.stimulator.take(self.stimulator_board.take_output(), self.now_s)

    def light(self) -> list[Edge]:
        """As the virtual board kept it; steps of a ramp are no edges."""
        edges: list[Edge] = []
        for at_us, level in self.stimulator_board.edges:
            if not edges or edges[-1].lit != (level > 0):
                edges.append(Edge(at_us / self._rates[1] / 1e6, level > 0))
        return edges

    def stream(self, rate_hz: float = 100.0) -> StreamSettings:
        """A virtual DAQ has the one rate of its source, so the source is told."""
        self._detector.rate_mhz = round(rate_hz * 1e3)
        return super().stream(rate_hz)

    def level(self) -> float:
        return self.stimulator_board.light

    def set_interlock(self, closed: bool) -> None:
        self.note("interlock closed" if closed else "interlock open")
        self.stimulator_board.set_interlock(closed, self._stimulator_us(self.board_s))

    def set_gate(self, is_open: bool) -> None:
        self.note("gate open" if is_open else "gate shut")
        self.stimulator_board.set_gate(is_open, self._stimulator_us(self.board_s))

    def pull_trigger(self) -> None:
        self.note("trigger")
        self.stimulator_board.trigger(self._stimulator_us(self.board_s))

    def reset_stimulator(self, cause: ResetCause = ResetCause.EXTERNAL) -> None:
        self.note("reset")
        self.stimulator_board.reset(cause, self._stimulator_us(self.board_s))

    def reset_daq(self, cause: ResetCause = ResetCause.EXTERNAL) -> None:
        self.daq_board.reset(cause, self._daq_us(self.board_s))

    def leap_daq_clock(self, seconds: float) -> None:
        self.daq_board.serial._boot_ticks += round(seconds * 1e6)

    def number_readings_from(self, seq: int) -> None:
        self._detector.first_number = seq

    def spoil_readings(self, *, flat: bool) -> None:
        self._detector.spoilt = _flat if flat else _impossible

    def mend_readings(self) -> None:
        self._detector.spoilt = None

    def near_wrap(self, in_s: float) -> None:
        boot_ticks = TICKS - round(in_s * 1e6)
        now = self._stimulator_us(self.board_s)
        self.stimulator_board = StimulatorBoard(now_us=now, boot_ticks=boot_ticks)
        self.daq_board = self._new_daq(self._daq_us(self.board_s), boot_ticks)

    def photodetector(self, volts: float) -> None:
        self._detector.volts = volts
