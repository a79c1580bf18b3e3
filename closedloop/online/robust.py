"""Median and MAD of a trailing window, kept up to date one value at a time; and what a number fit for sums is.

The window is kept as at most 511 values, evenly spaced in time, in order of time and in order of size, so a new one
costs a shift and not a sort. Values are never altered here, so whatever entered leaves for good with the window.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from closedloop.model import kernel
from closedloop.online.windows import readings_in

POINTS = 511  # most values kept; odd, so that the median is one of them
SD_OF_MAD = 1.4826  # of a Gaussian

_ONE = np.uint64(1)
_LARGEST = 1e50  # what is made of it, squared, still is a number

TRAILING = np.dtype(
    [
        ("count", "i8"),
        ("next", "i8"),
        ("skipped", "i8"),
        ("median", "f8"),  # of a full window; 0 before
        ("mad", "f8"),
        ("ring", "f8", (POINTS,)),
        ("ordered", "f8", (POINTS,)),
    ],
    align=True,
)
TRAILING_PARAMETERS = np.dtype([("points", "i8"), ("stride", "i8")], align=True)


def trailing(window_s: float, rate_hz: float) -> Any:
    """One TRAILING_PARAMETERS record: values kept (odd), and readings from one kept value to the next."""
    readings = readings_in(window_s, rate_hz, least=3)
    stride = -(-readings // POINTS)
    points = readings // stride
    return np.array([(points - 1 + points % 2, stride)], TRAILING_PARAMETERS)


@kernel
def is_number(value: float) -> bool:
    """Whether a value can be learned from: no nan, no infinity, nothing so large that its square is none."""
    return abs(value) < _LARGEST


@kernel
def deviation(memory: Any, p: Any, value: float) -> float:
    """Robust standard deviations above the median; nan until the window is full, and where all of it is equal."""
    if not is_number(value) or memory.count < p.points or not memory.mad > 0.0:
        return np.nan
    return (value - memory.median) / (SD_OF_MAD * memory.mad)  # type: ignore[no-any-return]


@kernel
def add(memory: Any, p: Any, value: float) -> None:
    """One more value into the window, of which every `stride`-th is kept; what is no number is left out."""
    if not is_number(value):
        return
    memory.skipped += 1
    if memory.skipped < p.stride:
        return
    memory.skipped = 0
    at = memory.next
    if memory.count == p.points:
        replace(memory.ordered, memory.count, memory.ring[at], value)
    else:
        insert(memory.ordered, memory.count, value)
        memory.count += 1
    memory.ring[at] = value
    memory.next = 0 if at + 1 == p.points else at + 1
    if memory.count == p.points:
        memory.median = memory.ordered[p.points // 2]
        memory.mad = mad(memory.ordered, p.points)


@kernel
def place(ordered: Any, size: int, value: float) -> int:
    """First index whose value is not below `value`; halves without a branch, for nobody could foretell it."""
    at, left = 0, size
    while left > 0:
        half = (left + 1) // 2
        at += half if ordered[at + half - 1] < value else 0
        left -= half
    return at


@kernel
def insert(ordered: Any, size: int, value: float) -> None:
    """One more value into the first `size`, which are in order."""
    at = place(ordered, size, value)
    for i in range(size, at, -1):
        ordered[i] = ordered[i - 1]
    ordered[at] = value


@kernel
def replace(ordered: Any, size: int, old: float, new: float) -> None:
    """Take one value out and put another in; only what lies between the two moves.

    Places are unsigned, so that none can mean one from the end: the moves are several values at a time then, and the
    whole takes a third of the time.
    """
    at, to = np.uint64(place(ordered, size, old)), np.uint64(place(ordered, size, new))
    if to > at:
        to -= _ONE  # the old one is gone
        for i in range(at, to):
            ordered[i] = ordered[i + _ONE]
    else:
        for i in range(at - to):
            ordered[at - i] = ordered[at - i - _ONE]
    ordered[to] = new


@kernel
def mad(ordered: Any, size: int) -> float:
    """Median distance from the median, `size` odd: the (n // 2)-th nearest neighbour of the middle value.

    Distances grow to either side, so it is the split of those neighbours into `below` on the left and the rest on the
    right at which no farther one was taken before a nearer one.
    """
    middle = size // 2
    median = ordered[middle]
    low, high = 0, middle
    while low < high:
        below = (low + high) // 2
        if median - ordered[middle - below - 1] < ordered[2 * middle - below] - median:
            low = below + 1
        else:
            high = below
    left = median - ordered[middle - low] if low > 0 else 0.0
    right = ordered[2 * middle - low] - median if low < middle else 0.0
    return max(left, right)
