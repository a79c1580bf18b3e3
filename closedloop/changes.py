"""What a person changed while a session ran, and the loop run again with the same changes at the same readings.

A change is a note in the recording, at the ticks of the last reading before it: it counts from the next one on. So a
session in which the threshold was moved replays to the last bit as well. No file is read here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from closedloop.loop import Loop
from closedloop.readings import Readings
from closedloop.steps import Steps

PAUSED, RESUMED = "paused", "resumed"  # notes' reasons
THRESHOLD = "threshold"  # a note's reason: value is the new threshold, text says "release 2.0"
TEST_PULSE = "test_pulse"
_RELEASE = "release "


class Change(NamedTuple):
    """One change, from the reading after `ticks` on: bounds, a pause, or (with neither) a test pulse."""

    ticks: int
    bounds: tuple[float, float] | None = None
    paused: bool | None = None

    def apply(self, loop: Loop) -> None:
        """Make it."""
        if self.bounds is not None:
            loop.set_threshold(*self.bounds)
        elif self.paused is not None:
            loop.pause(self.paused)
        else:
            loop.ask_test_pulse()


def changes_in(events: Iterable[Any]) -> list[Change]:
    """The changes among a recording's events (`recording.Event`), in order."""
    return [change for event in events if event.kind == "note" and (change := _change(event))]


def _change(event: Any) -> Change | None:
    if event.reason == TEST_PULSE:
        return Change(event.ticks)
    if event.reason in (PAUSED, RESUMED):
        return Change(event.ticks, paused=event.reason == PAUSED)
    if event.reason == THRESHOLD and event.value is not None:
        return Change(event.ticks, (event.value, float((event.text or "").removeprefix(_RELEASE))))
    return None


def rerun(loop: Loop, readings: Readings, changes: Iterable[Change], batch: int) -> Iterator[Steps]:
    """Steps of all readings, in batches of at most so many, each change made where it was made.

    The steps of each batch lie where those of the one before lay: memory that is touched for the first time costs
    more than the loop does. Take from them what is needed before the next.

    Args:
        loop: with a fresh memory.
        readings: array of READING, in order of ticks.
        changes: in order of ticks.
        batch: most readings at once.
    """
    done, steps = 0, np.zeros(min(batch, len(readings)), loop.step_type)
    for change in changes:
        until = int(np.searchsorted(readings["ticks"], change.ticks, side="right"))
        yield from _batches(loop, readings[done:until], steps)
        done = max(done, until)
        change.apply(loop)
    yield from _batches(loop, readings[done:], steps)


def _batches(loop: Loop, readings: Readings, steps: Steps) -> Iterator[Steps]:
    for at in range(0, len(readings), len(steps) or 1):
        some = readings[at : at + len(steps)]
        yield loop.run(some, steps[: len(some)])
