"""What the audit of a session is made of: figures, gathered from the recording while it grows or years later.

It takes rows, events and rows of health in any blocks, each kind in its order and rows before the events they caused,
and keeps no more of them than a few thousand numbers and one for each train. It judges nothing. Of a blinded session it
counts nothing that differs between arms.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from closedloop.arming import Phase
from closedloop.deliveries import ON_BOARD
from closedloop.recording import Event, Rows
from closedloop.watching.auditing.clock_line import ClockLine
from closedloop.watching.follower import Fresh
from closedloop.watching.tallies import Histogram

DAQ, STIMULATOR = "daq", "stimulator"
LATE = ("stale", "unanswered", "late", "no_clock")  # refusals that only slowness or a bad line makes
LATE_BLINDED = ("stale",)  # the rest is refused to light alone, and would tell the arm
BEGINNING_US = 1_000_000  # of sample time, in which the engine starts its threads; nothing can be armed yet
LATE_US = 10_000.0  # a delay worth a warning if it is frequent; see item.py

_SEQ_WRAP = 1 << 32
_SEQ_HALF = 1 << 31
_REMEMBERED = 1024  # planned trains whose light may still be told
_WALL_STEP_NS = 10_000_000  # less than this is how a clock is disciplined (NTP slews), not set
_WALL_SLEW = 1e-3  # at most so much does disciplining change it in the meantime

Floats = npt.NDArray[np.float64]


class Findings:
    """Everything of one session that its audit is about.

    Attributes:
        received, first_seq, last_seq: readings, and their numbers.
        jumped: readings missing by jumps of these numbers, those before the first included.
        disordered: rows whose number is not above the one before; there must be none.
        told_missing: readings that events of the recording report as missing.
        arrivals, waited, most: of readings; those in which readings waited for one another; most readings in one. As
            all that is about speed without the BEGINNING_US.
        longest_gap_ns: between two arrivals.
        line: the DAQ's clock against the host's, by the arrivals.
        commands_us, lights_us, plans_us: each train's latency, and of planned trains the error against the plan.
        refused: by reason, those of LATE.
        age, turn: in each quarter of a second, the worst.
        age_late, turn_late: how many of these were above LATE_US.
        clocks: by board.
        damaged, repeated: frames and readings.
        wall_steps, wall_step_ns: how often the wall clock was set, and by how much at most.
        heartbeat_ns: longest without a heartbeat.
        health_rows, health_gap_ns: rows of health, and the longest time between two.
        health: the last row of health, as an array of one; None before there is one.
    """

    def __init__(self, header: dict[str, Any]) -> None:
        self.header = header
        self.blinded = bool(header.get("blinded"))
        self.received = self.jumped = self.disordered = self.told_missing = 0
        self.first_seq = self.last_seq = 0
        self.arrivals = self.waited = self.most = 0
        self.longest_gap_ns = 0
        self.line = ClockLine()
        self.commands_us, self.lights_us, self.plans_us = array("d"), array("d"), array("d")
        self.refused: Counter[str] = Counter()
        self.age, self.turn = Histogram(), Histogram()
        self.age_late = self.turn_late = 0
        self.clocks = {DAQ: Clock(), STIMULATOR: Clock()}
        self.damaged = self.repeated = 0
        self.wall_steps = self.wall_step_ns = 0
        self.heartbeat_ns = 0
        self.health_rows = self.health_gap_ns = 0
        self.health: Any = None
        self._stepped = self._told_steps = 0
        self._host_ns: int | None = None
        self._run = 0
        self._planned: OrderedDict[int, int] = OrderedDict()

    def add(self, fresh: Fresh) -> None:
        """Take in what one turn found."""
        self.add_rows(fresh.rows)
        self.add_events(fresh.events)
        self.add_health(fresh.health)

    # Readings

    def add_rows(self, rows: Rows) -> None:
        """The next rows of the table."""
        if len(rows) == 0:
            return
        ticks, host_ns = rows["ticks"].astype(np.int64), rows["host_ns"].astype(np.int64)
        self._count(rows["seq"].astype(np.int64))
        begin = int(np.searchsorted(ticks, BEGINNING_US))
        if begin < len(rows):
            self._note_arrivals(host_ns[begin:])
            self.line.add(ticks[begin:], host_ns[begin:])
        if not self.blinded and "ahead" in (rows.dtype.names or ()):
            for row in rows[(rows["train"] != 0) & (rows["ahead"] != 0)]:
                self._planned[int(row["train"])] = int(row["ticks"]) + int(row["ahead"])
            while len(self._planned) > _REMEMBERED:
                self._planned.popitem(last=False)

    def _count(self, seq: npt.NDArray[np.int64]) -> None:
        if self.received == 0:
            self.first_seq = int(seq[0])
            self.jumped = self.first_seq
            before = seq[:1] - 1
        else:
            before = np.array([self.last_seq])
        steps = (np.diff(seq, prepend=before) + _SEQ_HALF) % _SEQ_WRAP - _SEQ_HALF
        self.jumped += int((steps[steps > 1] - 1).sum())
        self.disordered += int(np.count_nonzero(steps < 1))
        self.received += len(seq)
        self.last_seq = int(seq[-1])

    def _note_arrivals(self, host_ns: npt.NDArray[np.int64]) -> None:
        """Readings that were read at once have one host time."""
        before = host_ns[0] - 1 if self._host_ns is None else self._host_ns
        steps = np.diff(host_ns, prepend=before)
        begins = np.flatnonzero(steps)
        if len(begins) == 0:
            self._run += len(host_ns)
        else:
            sizes = np.diff(begins, prepend=0)
            sizes[0] += self._run
            self._close(sizes)
            self._run = len(host_ns) - int(begins[-1])
            self._note_gap(steps if self._host_ns is not None else steps[1:])
        self._host_ns = int(host_ns[-1])

    def _close(self, sizes: npt.NDArray[np.int64]) -> None:
        self.arrivals += int(np.count_nonzero(sizes))
        self.waited += int(np.count_nonzero(sizes > 1))
        self.most = max(self.most, int(sizes.max()))

    def _note_gap(self, steps: npt.NDArray[np.int64]) -> None:
        if len(steps):
            self.longest_gap_ns = max(self.longest_gap_ns, int(steps.max()))

    def close(self) -> None:
        """No more rows will come: the last arrival is whole."""
        if self._run:
            self._close(np.array([self._run]))
            self._run = 0

    # Events

    def add_events(self, events: Sequence[Event]) -> None:
        """The next events, as they may be shown."""
        for event in events:
            if event.kind == "gap":
                self.told_missing += int(event.value or 0)
            elif event.kind == "refused":
                self._on_refused(event)
            elif event.kind == "note" and event.reason == "clock_step":
                self._stepped += 1
            elif not self.blinded:
                self._on_light(event)

    def _on_refused(self, event: Event) -> None:
        if event.reason in (LATE_BLINDED if self.blinded else LATE):
            self.refused[str(event.reason)] += 1

    def _on_light(self, event: Event) -> None:
        if event.value is None:
            return
        if event.kind == "command":
            self.commands_us.append(event.value)
        elif event.kind == "light_on" and event.reason != ON_BOARD:
            planned = self._planned.pop(event.train or 0, None)
            if planned is None:
                self.lights_us.append(event.value)
            else:
                self.plans_us.append(float(event.ticks - planned))

    # Health

    def add_health(self, rows: Rows) -> None:
        """The next rows of health; fields that an older recording lacks stay unknown."""
        if len(rows) == 0:
            return
        last, begun = rows[-1], rows[rows["ticks"] >= BEGINNING_US]
        age_us, turn_us = _column(begun, "age_us"), _column(begun, "turn_us")
        self.age.add_all(age_us)
        self.turn.add_all(turn_us)
        self.age_late += int(np.count_nonzero(age_us > LATE_US))
        self.turn_late += int(np.count_nonzero(turn_us > LATE_US))
        for board, clock in self.clocks.items():
            clock.add(rows, board)
        self._note_intervals(rows)
        self._note_heartbeats(begun)
        self.damaged, self.repeated = int(last["damaged"]), int(last["repeated"])
        if "clock_steps" in (rows.dtype.names or ()):
            self._told_steps = int(last["clock_steps"])
        self.health_rows += len(rows)
        self.health = rows[-1:]

    def _note_intervals(self, rows: Rows) -> None:
        """Between rows of health; and what the wall clock did meanwhile."""
        whole = rows if self.health is None else np.concatenate((self.health, rows))
        if len(whole) < 2:
            return
        passed = np.diff(whole["host_ns"])
        self.health_gap_ns = max(self.health_gap_ns, int(passed.max()))
        if "wall_offset_ns" in (rows.dtype.names or ()):
            moved = np.abs(np.diff(whole["wall_offset_ns"]))
            steps = moved[moved > _WALL_STEP_NS + _WALL_SLEW * passed]
            self.wall_steps += len(steps)
            self.wall_step_ns = max(self.wall_step_ns, int(steps.max(initial=0)))

    def _note_heartbeats(self, rows: Rows) -> None:
        """After the session's end none are due."""
        due = rows[(rows["heartbeat_ns"] != 0) & (rows["phase"] != Phase.ENDED)]
        if len(due):
            self.heartbeat_ns = max(self.heartbeat_ns, int((due["host_ns"] - due["heartbeat_ns"]).max()))

    @property
    def clock_steps(self) -> int:
        """Jumps of a board's clock, by rows of health or by events, whichever tell more."""
        return max(self._stepped, self._told_steps)

    def end(self, summary: dict[str, Any]) -> None:
        """The session has ended: what it told at its end holds."""
        self.damaged = int(summary.get("damaged_frames") or self.damaged)
        self.repeated = int(summary.get("repeated") or self.repeated)


class Clock:
    """What rows of health say of one board's clock.

    Attributes:
        residual, uncertainty, round_trip: in microseconds, without their signs.
        drift_ppm: the last that was known; nan: none.
    """

    def __init__(self) -> None:
        self.residual, self.uncertainty, self.round_trip = Histogram(), Histogram(), Histogram()
        self.drift_ppm = math.nan

    def add(self, rows: Rows, board: str) -> None:
        """The next rows of health."""
        self.residual.add_all(np.abs(_column(rows, f"{board}_residual_us")))
        self.uncertainty.add_all(_column(rows, f"{board}_uncertainty_us"))
        self.round_trip.add_all(_column(rows, f"{board}_round_trip_us"))
        drift = _column(rows, f"{board}_drift_ppm")
        known = drift[np.isfinite(drift)]
        if len(known):
            self.drift_ppm = float(known[-1])


def _column(rows: Rows, name: str) -> Floats:
    """A column of health; nothing but nan where the recording is older than the column."""
    if name not in (rows.dtype.names or ()):
        return np.full(len(rows), np.nan)
    return rows[name].astype(np.float64)
