"""Trains by plan: what was decided and not refused, whatever the arm made of it. From rows and refusals alone.

Every arm plans alike, so this is what a blinded session shows in place of its light.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np

from closedloop.recording import Event, Rows
from closedloop.steps import LATCHED
from closedloop.watching.follower import Fresh

_REMEMBERED = 1024  # trains whose refusal may still be told


class PlannedTrain(NamedTuple):
    """One train; seconds since the first reading."""

    train: int
    decided_s: float
    on_s: float


class Plans(NamedTuple):
    """What changed in one turn: trains that came, and earlier ones taken back because the rig or the board refused."""

    made: tuple[PlannedTrain, ...]
    taken_back: tuple[PlannedTrain, ...]


class Planned:
    """Follows the plan of one session.

    Attributes:
        counted: trains that the loop has counted against the limits of the session; also what was refused afterwards.
        count: trains planned, without those.
    """

    def __init__(self) -> None:
        self.counted = 0
        self.count = 0
        self._waiting: OrderedDict[int, PlannedTrain] = OrderedDict()

    def add(self, fresh: Fresh) -> Plans:
        """Take in what one turn found."""
        made = planned_in(fresh.rows)
        self.counted += len(made)
        for one in made:
            self._waiting[one.train] = one
        refused = [self._refused(event) for event in fresh.events if event.kind == "refused"]
        back = {one for one in refused if one is not None}
        self.count += len(made) - len(back)
        while len(self._waiting) > _REMEMBERED:
            self._waiting.popitem(last=False)
        return Plans(tuple(one for one in made if one not in back), tuple(sorted(back - set(made))))

    def _refused(self, event: Event) -> PlannedTrain | None:
        return self._waiting.pop(event.train, None) if event.train is not None else None


def planned_in(rows: Rows) -> list[PlannedTrain]:
    """Trains that were decided in these rows, that the loop did not refuse, and no limit of the session turned dark."""
    there = rows.dtype.names or ()
    if not {"train", "decision", "refused"} <= set(there):
        return []
    latched = rows["bits"] & LATCHED != 0
    taken = rows[(rows["train"] != 0) & (rows["decision"] != 0) & (rows["refused"] == 0) & ~latched]
    ahead = taken["ahead"] if "ahead" in there else np.zeros(len(taken))
    starts = taken["ticks"].astype(np.float64) + ahead
    return [
        PlannedTrain(int(train), float(ticks) / 1e6, float(start) / 1e6)
        for train, ticks, start in zip(taken["train"], taken["ticks"], starts, strict=True)
    ]


def train_s(header: dict[str, Any]) -> float:
    """Light of one whole train, by plan."""
    command = header.get("command")
    if not command:
        return 0.0
    return float(command["on_us"] * command["pulses"] + command["ramp_off_us"]) / 1e6
