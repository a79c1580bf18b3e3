"""A session of a day in virtual time: does memory grow, do clocks survive their wraps, how soon does it open?

Loop, controller and recording are the program's own, and so are both virtual boards, which are spoken to in bytes. Only
the ports, the threads and the waiting are left out. The stimulator's clock runs 50 ppm fast against the DAQ's.
"""

from __future__ import annotations

import contextlib
import gc
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
from accounts import own_mb
from progress import each
from scipy import stats

from closedloop import framing, wire
from closedloop.controller import Controller, Orders
from closedloop.detectors.threshold import Threshold
from closedloop.errors import ConfigError
from closedloop.features.dff import Dff
from closedloop.features.lowpass import Lowpass
from closedloop.limits import effective
from closedloop.loop import Loop, Plan
from closedloop.policies.closed_loop import ClosedLoop
from closedloop.quality import Quality
from closedloop.recording import Recording, RecordingWriter, row_dtype
from closedloop.session import _Rows
from closedloop.simulation.animal import Animal, VirtualAnimal
from closedloop.simulation.daq_board import DaqBoard, Live
from closedloop.simulation.pace import Drift
from closedloop.simulation.stimulator_board import StimulatorBoard
from closedloop.train import Train

RATE_HZ, DRIFT_PPM = 130.0, 50.0
READ_AFTER_US, ANSWER_US = 200, 300  # from a reading's end, and from a question, to the host
STEP_S, SETTLED_H = 300, 1.0  # between two looks at memory; after so long it must be flat
BYTES_AN_HOUR = 120e6  # of the recording, with room; asked for before anything begins
MEASURED = (
    "memory_mb_per_h: slope of what the process alone holds, after the first hour or the first quarter, with its 95 % "
    "interval; objects_per_h: the same of Python's allocated blocks. open_s: open the recording, its head, its last "
    "1000 rows and all events; open_cpu_s: the processor's time of that. light_on_error_us: the worst difference "
    "between the light_on that the controller wrote, brought from one board's clock to the other's, and the truth. "
    "wraps: of the DAQ's 32-bit ticks. ticks_wrong: rows that are not at the time of their number."
)


class _Line:
    """Bytes to a board and back, in virtual time; the clock of its board may drift."""

    damaged = 0

    def __init__(self, board: DaqBoard | StimulatorBoard) -> None:
        self.board, self.board_us = board, 0
        self._decoder = framing.Decoder()

    def send(self, message: wire.Message) -> None:
        """A frame, which the board has at once."""
        self.board.receive(framing.encode(wire.pack(message)), self.board_us)

    def hear(self) -> list[wire.Message]:
        """What the board has said since."""
        data = self.board.take_output()
        heard = [wire.unpack(payload) for payload in self._decoder.feed(data)] if data else []
        return [message for message in heard if message is not None]


class _Day:
    """One session that goes on until it is let be."""

    def __init__(self, folder: Path) -> None:
        self.now_us = self.asked_us = 0
        self.light_error_us = 0.0
        self._drift = Drift(DRIFT_PPM)
        animal = VirtualAnimal(Animal(preset="demo"), RATE_HZ, seed=1)
        self._labels = animal.labels
        self.daq, self.stimulator = DaqBoard(Live(animal, RATE_HZ)), StimulatorBoard()
        self._to_daq, self._to_stimulator = _Line(self.daq), _Line(self.stimulator)
        plan = _plan()
        loop = Loop(plan, rate_hz=RATE_HZ, nano_units=animal.nano_units)
        self.writer = RecordingWriter.open(
            folder, header=_header(animal, plan), protocol="", rig="", dtype=row_dtype(loop.step_type)
        )
        rows = _Rows(self.writer, loop.step_type, ())
        self._keep = rows.event
        rows.event = self._event
        self._begin(plan)
        orders = Orders(rate_hz=RATE_HZ, decisions=plan.decisions, duration_us=None, real_time=True)
        self.controller = Controller(orders, loop, self._to_daq, self._to_stimulator, rows, lambda: self.now_us * 1000)

    def _begin(self, plan: Plan) -> None:
        """As session.py does, before the stream."""
        self._to_stimulator.send(plan.limits)
        self._to_stimulator.send(wire.Prepare(round(plan.train.on * 1e6), 10_000_000, 1, plan.level, 0, by_trigger=0))
        self._to_daq.send(wire.StreamStart(0))
        for line in (self._to_daq, self._to_stimulator):
            line.hear()  # identities and settings, which are the session's to hear and not the controller's

    def _event(self, kind: str, **about: Any) -> None:
        """Keep it; and compare a light that the controller places on the DAQ's clock with the truth."""
        self._keep(kind, **about)
        if kind == "light_on":
            rise_us = next(at_us for at_us, level in reversed(self.stimulator.edges) if level > 0)
            error_us = about["ticks"] - self._drift.daq_us(rise_us)
            self.light_error_us = max(self.light_error_us, abs(error_us))

    def run_until(self, until_s: float) -> None:
        """Reading by reading."""
        while self.now_us < until_s * 1e6 and self.controller.ending is None:
            self._pass_to((self.daq.next_due_us or 0) + READ_AFTER_US)
            self._hear_stimulator()
            self.controller.daq_messages(self._to_daq.hear(), self.now_us * 1000)
            self.controller.housekeeping(self.now_us * 1000)
            self._pass_to(self.now_us + ANSWER_US)
            self._hear_stimulator()
            if other := self._to_daq.hear():  # an answer to a question about the clock
                self.controller.daq_messages(other, self.now_us * 1000)
        self.stimulator.forget_edges(self.stimulator_us - 60_000_000)  # the truth, which nobody writes down here
        self._labels.clear()

    def _hear_stimulator(self) -> None:
        if heard := self._to_stimulator.hear():
            self.controller.stimulator_messages(heard, self.now_us * 1000)

    def _pass_to(self, at_us: int) -> None:
        self.now_us = self._to_daq.board_us = at_us
        self._to_stimulator.board_us = self.stimulator_us
        self.stimulator.advance(self.stimulator_us)
        self.daq.advance(at_us, self._light_between)

    @property
    def stimulator_us(self) -> int:
        """What its clock shows."""
        return self._drift.stimulator_us(self.now_us)

    def _light_between(self, since_us: int, until_us: int) -> float:
        return self.stimulator.mean_level(self._drift.stimulator_us(since_us), self._drift.stimulator_us(until_us))


def _plan() -> Plan:
    return Plan(
        features=(Dff(baseline=30.0), Lowpass(cutoff=3.0)),
        detector=Threshold(threshold=3.0, release=1.0, window=60.0),
        policy=ClosedLoop(refractory=5.0),
        quality=Quality(),
        train=Train(on=0.2),
        level=65_535,
        limits=effective(lease_s=0.25),
        warm_up_s=60.0,
        recovery_s=0.5,
    )


def _header(animal: VirtualAnimal, plan: Plan) -> dict[str, Any]:
    return {
        "rate_mhz": round(RATE_HZ * 1000),
        "nano_units": animal.nano_units,
        "input_names": [],
        "decisions": list(plan.decisions),
    }


def measure(hours: float) -> dict[str, Any]:
    """So many hours, in a folder that is taken away again.

    Raises:
        ConfigError: there is not space enough for the recording.
    """
    with tempfile.TemporaryDirectory() as at:
        free, needed = shutil.disk_usage(at).free, hours * BYTES_AN_HOUR
        if free < needed:
            raise ConfigError(
                f"{at}: {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} are free; set TMPDIR elsewhere"
            )
        folder = Path(at, "session")
        folder.mkdir()
        day = _Day(folder)
        began_s, looks = time.perf_counter(), _run(day, hours)
        took_s = time.perf_counter() - began_s
        hours = day.now_us / 3.6e9  # fewer than asked for, if interrupted
        day.controller.end("completed", "the day is over")
        day.writer.close({"ended": "completed"})
        return _memory(looks) | _recording(folder) | _clocks(day, folder, hours) | {
            "hours": round(hours, 2),
            "took_s": round(took_s, 1),
            "times_real_time": round(hours * 3600 / took_s, 1),
        }  # fmt: skip


def _run(day: _Day, hours: float) -> npt.NDArray[np.float64]:
    """Of each look: virtual hours, megabytes, and thousands of Python's blocks. Ctrl-C ends it early."""
    process, looks = psutil.Process(), [(0.0, own_mb(psutil.Process()), sys.getallocatedblocks() / 1e3)]
    steps = max(1, round(hours * 3600 / min(STEP_S, hours * 3600 / 12)))
    with contextlib.suppress(KeyboardInterrupt):
        for step in each(range(1, steps + 1), "a day of one session"):
            day.run_until(hours * 3600 * step / steps)
            day.writer.sync()
            gc.collect()
            looks.append((hours * step / steps, own_mb(process), sys.getallocatedblocks() / 1e3))
    return np.array(looks)


def _memory(looks: npt.NDArray[np.float64]) -> dict[str, Any]:
    if len(looks) < 8:
        raise ConfigError("interrupted before there was anything to say; let it run for a quarter of its hours")
    late = looks[looks[:, 0] > min(SETTLED_H, looks[-1, 0] / 4)]
    return {
        "memory_mb": {"settled": round(float(late[0, 1]), 1), "end": round(float(late[-1, 1]), 1)},
        "memory_mb_per_h": _slope(late[:, 0], late[:, 1]),
        "objects_per_h": _slope(late[:, 0], late[:, 2] * 1e3),
    }


def _slope(hours: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> dict[str, float]:
    """Least squares, with its 95 % interval."""
    line = stats.linregress(hours, values)
    half = 0.0 if np.ptp(values) == 0 else float(line.stderr * stats.t.ppf(0.975, len(hours) - 2))
    return {
        name: round(float(x), 3)
        for name, x in (("is", line.slope), ("low", line.slope - half), ("high", line.slope + half))
    }


def _recording(folder: Path) -> dict[str, Any]:
    began_s, cpu_s = time.perf_counter(), time.process_time()
    recording = Recording.open(folder)
    head = recording.table.head
    recording.rows(head - 1000, head)
    rows_s = time.perf_counter() - began_s
    events = recording.events()
    return {
        "open_s": round(time.perf_counter() - began_s, 3),
        "open_cpu_s": round(time.process_time() - cpu_s, 3),
        "of_that_events_s": round(time.perf_counter() - began_s - rows_s, 3),
        "rows": head,
        "events": len(events),
        "trains": sum(e.kind == "light_on" for e in events),
        "gigabytes": round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9, 3),
    }


def _clocks(day: _Day, folder: Path, hours: float) -> dict[str, Any]:
    rows = Recording.open(folder).rows()
    right = (rows["seq"].astype(np.int64) * 1_000_000_000 + round(RATE_HZ * 500)) // round(RATE_HZ * 1000)
    first, last = (int(day.daq.serial.ticks(us)) for us in (day.daq.started_us, day.now_us))
    passed = day.now_us - day.daq.started_us
    return {
        "ended": day.controller.ending.how if day.controller.ending else None,
        "wraps": (first + passed - last) >> 32,
        "missing": int(day.controller.counter.missing),
        "unaccounted": day.daq.sent + day.daq.dropped - len(rows) - int(day.controller.counter.missing),
        "ticks_wrong": int(np.sum(rows["ticks"] != right)),
        "light_on_error_us": round(day.light_error_us, 1),
        "unfinished_trains": day.controller.outstanding,
        "expected_rows": round(hours * 3600 * RATE_HZ),
    }


def table(result: dict[str, Any]) -> Iterator[str]:
    """For people."""
    memory, slope = result["memory_mb"], result["memory_mb_per_h"]
    yield f"{result['hours']:g} h at {RATE_HZ:g} Hz in {result['took_s']} s: {result['times_real_time']} x real time"
    yield (
        f"  {result['rows']} rows, {result['missing']} missing, {result['unaccounted']} unaccounted, "
        f"{result['trains']} trains, {result['events']} events; {result['gigabytes']} GB"
    )
    yield f"  memory {memory['settled']} MB, at the end {memory['end']} MB"
    yield f"  slope {slope['is']} MB/h ({slope['low']} to {slope['high']})"
    yield f"  opens in {result['open_s']} s ({result['open_cpu_s']} s of cpu), events {result['of_that_events_s']} s"
    yield (
        f"  {result['wraps']} wraps of the clock; rows at a wrong time: {result['ticks_wrong']}; light_on wrong by "
        f"{result['light_on_error_us']} us at most"
    )
