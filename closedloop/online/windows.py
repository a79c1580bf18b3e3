"""Means of two short windows that lie side by side and slide by one reading: nothing that left is ever subtracted.

A running sum (add what comes, subtract what goes) keeps each rounding error, and one huge value spoils it for good.
Here the readings come in blocks as long as a window. At place j of a block, the newer window is this block through j
and the block before after j; the older window is the block before through j and the one before that after j. The
sums over the finished blocks are made once, at the end of each block, so a reading costs two additions, a value is gone
when it has left the older window, and a constant gives exactly zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from closedloop.model import kernel

LONGEST = 512  # readings of one window

_MOST = 1e15  # some hundred thousand years

ADJACENT = np.dtype(
    [
        ("count", "i8"),  # readings since the windows were empty, as far as it matters
        ("at", "i8"),  # place in the block
        ("sum", "f8"),  # of the block so far
        ("latest", "f8"),  # difference of the means at the last reading
        ("block", "f8", (LONGEST,)),
        ("tail", "f8", (LONGEST,)),  # sum of the block before, after this place
        ("older", "f8", (LONGEST,)),  # sum of the older window at this place
    ],
    align=True,
)


def readings_in(seconds: float, rate_hz: float, least: int = 1) -> int:
    """Readings in so much time: `least` or more, and never more than a record's integer can hold."""
    return max(least, round(min(seconds * rate_hz, _MOST)))


def readings_of(window_s: float, rate_hz: float) -> int:
    """Readings of one of two adjacent windows, from 1 to LONGEST."""
    return min(readings_in(window_s, rate_hz), LONGEST)


def notes(kind: str, window_s: float, rate_hz: float) -> list[str]:
    """Says where a window is not as long as asked for."""
    readings = readings_of(window_s, rate_hz)
    if 0.5 <= window_s * rate_hz < LONGEST + 0.5:
        return []
    used = f"{readings} {'is' if readings == 1 else 'are'} used ({readings / rate_hz * 1e3:.3g} ms)"
    asked = f"{window_s * 1e3:g} ms would be {window_s * rate_hz:.3g} readings at {rate_hz:g} readings/s"
    return [f"{kind}: a window of {asked}; {used}"]


@kernel
def empty(memory: Any) -> None:
    """No reading is left in the windows."""
    memory.count = 0
    memory.at = 0
    memory.sum = 0.0


@kernel
def is_full(memory: Any, readings: int) -> bool:
    """Whether both windows are full, so that `latest` is known."""
    return memory.count >= 2 * readings  # type: ignore[no-any-return]


@kernel
def with_next(memory: Any, readings: int, value: float) -> float:
    """Newer mean minus older mean if `value` came next; nan while the windows would not be full. Changes nothing."""
    if memory.count + 1 < 2 * readings:
        return np.nan
    newer = memory.sum + value + memory.tail[memory.at]
    return (newer - memory.older[memory.at]) / readings  # type: ignore[no-any-return]


@kernel
def push(memory: Any, readings: int, value: float) -> float:
    """One more reading; newer mean minus older mean, nan while the windows are not full."""
    memory.latest = with_next(memory, readings, value)
    memory.count = min(memory.count + 1, 2 * readings)
    at = memory.at
    memory.block[at] = value
    memory.sum += value
    memory.at = at + 1
    if memory.at == readings:
        _turn(memory, readings)
    return memory.latest  # type: ignore[no-any-return]


@kernel
def _turn(memory: Any, readings: int) -> None:
    """The block is full: it becomes the one before, and the next begins."""
    head = 0.0
    for at in range(readings):
        head += memory.block[at]
        memory.older[at] = head + memory.tail[at]
    tail = 0.0
    for at in range(readings - 1, -1, -1):
        memory.tail[at] = tail
        tail += memory.block[at]
    memory.at = 0
    memory.sum = 0.0
