"""One session on a virtual animal in virtual time: readings, the loop's steps, light, and back into the next readings.

Light can act on readings after the one it was decided on, and on none before. So a whole stretch of readings is made
under the light that is known, and the loop runs over it at full speed; where it decides on light, animal, arena and
loop go back to the stretch's beginning, come again to that very reading, and go on under the new light. What a live
run would see reading by reading is the same to the last bit (tests say so), and thousands of times slower.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from closedloop.analysis.rehearsal.light import FULL, Light
from closedloop.analysis.rehearsal.order import Order, loop_of, problems
from closedloop.errors import ConfigError
from closedloop.policies import FIRE
from closedloop.readings import FLAG_LIGHT, Readings
from closedloop.simulation.animal import VirtualAnimal
from closedloop.simulation.arena import VirtualArena, Visit
from closedloop.steps import DETECTED, Steps
from closedloop.train import Refusal


@dataclass(frozen=True)
class Rehearsed:
    """What came of one session; everything known by the simulation's truth.

    Attributes:
        duration_s: of sample time.
        detections: of the loop.
        decisions: by name, those that were not refused.
        refused: by reason.
        planned: trains that were not refused, lit or dark by their arm.
        starts_us: first light of each delivered train.
        on_s: light in all, ramps included.
        full_s: the same in seconds of full light.
        energy_mj: at the fibre's tip; None without calibration.
        path: visits to chambers; empty without an arena.
        occupancy_s: by chamber.
        readings: made by animal and arena; None if they were not kept.
        steps: the loop's; None if they were not kept.
    """

    duration_s: float
    detections: int
    decisions: dict[str, int]
    refused: dict[str, int]
    planned: int
    starts_us: tuple[int, ...]
    on_s: float
    full_s: float
    energy_mj: float | None
    path: tuple[Visit, ...]
    occupancy_s: dict[str, float]
    readings: Readings | None = None
    steps: Steps | None = None


class _Counts:
    """Sums of steps, so that none need be kept."""

    def __init__(self, decisions: tuple[str, ...]) -> None:
        self._names = decisions
        self._given = np.zeros(256, np.int64)
        self._refused = np.zeros(256, np.int64)
        self.detections = 0

    def add(self, steps: Steps) -> None:
        """These, too."""
        wanted = steps[steps["decision"] != 0]
        self.detections += int(np.count_nonzero(steps["bits"] & DETECTED))
        given = wanted["decision"][wanted["refused"] == 0]
        self._given += np.bincount(given, minlength=256)
        numbered = steps["refused"][steps["train"] != 0]
        self._refused += np.bincount(numbered, minlength=256)

    @property
    def decisions(self) -> dict[str, int]:
        """By name; those refused are not in it."""
        return {name: int(self._given[at + 1]) for at, name in enumerate(self._names)}

    @property
    def refused(self) -> dict[str, int]:
        """By reason."""
        codes = [int(code) for code in np.flatnonzero(self._refused) if code]
        return {Refusal(code).name.lower(): int(self._refused[code]) for code in codes}


class _Session:
    """Animal, arena, loop and light of one session, and how far they are."""

    def __init__(self, order: Order) -> None:
        self._rate_mhz = round(order.rate_hz * 1000)
        self.order = order
        self.animal = VirtualAnimal(order.animal, order.rate_hz, order.seed)
        arena, names = order.arena, tuple(order.rig.inputs)
        self.arena = None if arena is None else VirtualArena(arena, names, order.rate_hz, order.seed)
        self.loop = loop_of(order, self.animal.nano_units)
        self.command = order.rig.command(order.protocol.light)
        self.light = Light(self.command)
        decisions = order.protocol.decisions
        self._lit = decisions.index(FIRE) + 1 if FIRE in decisions else 0
        self.counts = _Counts(decisions)
        self.done = 0
        self._since_us = 0
        self.kept: list[tuple[Readings, Steps]] = []

    def _ticks(self, count: int) -> npt.NDArray[np.int64]:
        """When readings are due, as the virtual board has it: rounded to the microsecond, without drift."""
        seq = np.arange(self.done, self.done + count, dtype=np.int64)
        return (seq * 1_000_000_000 + self._rate_mhz // 2) // self._rate_mhz

    def stretch(self) -> int:
        """Readings up to the next light, or to the end of what the animal has drawn; returns how many."""
        count = min(self.order.readings - self.done, self.animal.draw_ahead())
        if not self._lit:
            self._keep(*self._make(count))
            return count
        back = self._mark()
        readings, steps = self._make(count)
        first = self._first_lit(steps)
        if first is not None and first < count - 1:
            self._back_to(back)
            count = first + 1
            readings, steps = self._make(count)
        if first is not None:
            ahead = int(steps["ahead"][first])
            self.light.give(int(readings["ticks"][first]) + (ahead or self.order.delay_us))
        self._keep(readings, steps)
        return count

    def _make(self, count: int) -> tuple[Readings, Steps]:
        ticks = self._ticks(count)
        light = self.light.mean(self._since_us, ticks)
        readings = self.animal.run(light)
        readings["ticks"] = ticks
        if self.arena is not None:
            readings["inputs"] = self.arena.run(light)
        readings["flags"] |= np.where(light > 0, FLAG_LIGHT, 0).astype(np.uint16)
        return readings, self.loop.run(readings)

    def _first_lit(self, steps: Steps) -> int | None:
        """The first of these steps that decides on light."""
        wanted = np.flatnonzero(steps["decision"] == self._lit)
        given = wanted[steps["refused"][wanted] == 0]
        return int(given[0]) if len(given) else None

    def _mark(self) -> tuple[Any, ...]:
        return self.animal.mark(), None if self.arena is None else self.arena.mark(), self.loop.mark()

    def _back_to(self, mark: tuple[Any, ...]) -> None:
        self.animal.back_to(mark[0])
        if self.arena is not None:
            self.arena.back_to(mark[1])
        self.loop.back_to(mark[2])

    def _keep(self, readings: Readings, steps: Steps) -> None:
        self.done += len(readings)
        self._since_us = int(readings["ticks"][-1])
        self.counts.add(steps)
        if self.order.keep:
            self.kept.append((readings, steps))

    def result(self) -> Rehearsed:
        """What it came to."""
        order, end_us = self.order, self._since_us
        train, decisions = order.protocol.light, self.counts.decisions
        given_s = [min(max(end_us - start_us, 0), train.span_us) for start_us in self.light.starts_us]
        full_s, tip_mw = self.light.dose_s(end_us), order.rig.tip_mw(train)
        end_s = order.readings / order.rate_hz
        return Rehearsed(
            duration_s=end_s,
            detections=self.counts.detections,
            decisions=decisions,
            refused=self.counts.refused,
            planned=sum(decisions.values()),
            starts_us=tuple(start_us for start_us in self.light.starts_us if start_us < end_us),
            on_s=sum(s * train.lit_us / train.span_us for s in given_s) / 1e6,
            full_s=full_s,
            energy_mj=None if tip_mw is None else tip_mw * full_s * FULL / self.command.level,
            path=() if self.arena is None else tuple(self.arena.path),
            occupancy_s={} if self.arena is None else self.arena.occupancy_s(end_s),
            readings=np.concatenate([one for one, _ in self.kept]) if order.keep else None,
            steps=np.concatenate([one for _, one in self.kept]) if order.keep else None,
        )


def rehearse(order: Order, advance: Callable[[int], None] = lambda _: None) -> Rehearsed:
    """One session from its first reading to its last.

    Args:
        order: what is to be rehearsed.
        advance: called now and then with the readings done since; it raises if the rest is to be left.

    Raises:
        ConfigError: it could not be run on this rig; see `problems`.
    """
    if wrong := problems(order):
        raise ConfigError(*wrong)
    session = _Session(order)
    while session.done < order.readings:
        advance(session.stretch())
    return session.result()


def compile_all(orders: list[Order]) -> None:
    """Make the machine code of all of them here, once, or every thread would make it."""
    for order in orders:
        nano_units = VirtualAnimal(order.animal, order.rate_hz, 0).nano_units
        loop_of(order, nano_units).compile()
