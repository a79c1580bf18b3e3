"""Transients in a stream of numbers: where one begins, and how high it was once it is over. It decides nothing.

An event begins where the number rises through `size`, from below, and is over where it falls below `release`. One
that comes down by `size` and rises by `size` again is two, for at nine events a minute many a one begins on the tail
of the last; the height of the second is counted from there. One that lasts longer than `longest` is none: a step of
the baseline is not an event for ever, and its height is not that of a transient. It has been counted at its onset by
then, and has no height. The same kernels count live, for an animal's anchor and for a study's report.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from closedloop.model import kernel

LONGEST_S = 10.0

NOTHING, ONSET, OVER = 0, 1, 2  # what a value is; ONSET + OVER: it ends one event and begins the next

_UNKNOWN, _BELOW, _WITHIN, _LOST = 0, 1, 2, 3  # lost: still up, but no longer (or never) an event

EVENT_MEMORY = np.dtype(
    [
        ("state", "i8"),
        ("lasted", "i8"),
        ("base", "f8"),  # what this event's height is counted from
        ("peak", "f8"),
        ("trough", "f8"),  # lowest since the peak
        ("height", "f8"),  # of the last event that was seen to its end
    ],
    align=True,
)
EVENT_PARAMETERS = np.dtype([("size", "f8"), ("release", "f8"), ("longest", "i8")], align=True)


def event_parameters(rate_hz: float, size: float, release: float, longest_s: float = LONGEST_S) -> Any:
    """One EVENT_PARAMETERS record.

    Args:
        rate_hz: readings a second.
        size: where an event begins, in the stream's units (dF/F).
        release: below which it is over.
        longest_s: what lasts longer is no event.

    Raises:
        ValueError: release lies above size.
    """
    if not release <= size:
        raise ValueError(f"an event's release ({release:g}) must not lie above its size ({size:g}); lower release")
    return np.array([(size, release, max(1, round(longest_s * rate_hz)))], EVENT_PARAMETERS)


def usual_rate(rate: float, minutes: float) -> float:
    """Events a minute to compare with, never 0: where none was seen, half of one in all those minutes."""
    return rate or 0.5 / max(minutes, 1e-9)


@kernel
def ready(memory: Any, p: Any) -> bool:
    """Whether an event could begin with the next value: not before the last one has come down by `size`."""
    return memory.state == _BELOW or (memory.state == _WITHIN and memory.peak - memory.trough >= p.size)  # type: ignore[no-any-return]


@kernel
def begins(memory: Any, p: Any, value: float) -> bool:
    """Whether an event begins with this value; changes nothing."""
    if not ready(memory, p):
        return False
    return value >= (p.size if memory.state == _BELOW else memory.trough + p.size)  # type: ignore[no-any-return]


@kernel
def ends(memory: Any, p: Any, value: float) -> bool:
    """Whether an event ends with this value; `height` says how high it was. Changes nothing."""
    return memory.state == _WITHIN and (value < p.release or begins(memory, p, value))


@kernel
def height(memory: Any) -> float:
    """How high the event in progress is so far."""
    return memory.peak - memory.base  # type: ignore[no-any-return]


@kernel
def _begin(memory: Any, base: float, value: float) -> None:
    memory.state, memory.lasted = _WITHIN, 1
    memory.base, memory.peak, memory.trough = base, value, value


@kernel
def _go_on(memory: Any, p: Any, value: float) -> None:
    """One more value of an event."""
    memory.trough = min(memory.trough, value)
    if value > memory.peak:
        memory.peak = memory.trough = value
    memory.lasted += 1
    if memory.lasted > p.longest:
        memory.state = _LOST


@kernel
def follow(memory: Any, p: Any, value: float) -> int:
    """Take one clean value, never nan.

    Returns:
        NOTHING, ONSET, OVER (`memory.height` is then the height of the one that is over) or ONSET + OVER.
    """
    over, onset = ends(memory, p, value), begins(memory, p, value)
    if over:
        memory.height = height(memory)
    if onset:
        _begin(memory, memory.trough if over else 0.0, value)
    elif over:
        memory.state = _BELOW
    elif memory.state == _WITHIN:
        _go_on(memory, p, value)
    elif memory.state == _LOST:
        memory.state = _BELOW if value < p.release else _LOST
    elif memory.state == _UNKNOWN:
        memory.state = _BELOW if value < p.size else _LOST
    return onset * ONSET + over * OVER


@kernel
def resume(memory: Any, p: Any) -> None:
    """Before the first clean value after some that were not: an event in progress is dropped, its end was not seen."""
    memory.state = _UNKNOWN


@kernel
def _scan(memory: Any, p: Any, values: Any, clean: Any, onsets: Any, peaks: Any, times: Any) -> int:
    found, broken = 0, False
    for i in range(len(values)):
        if not clean[i] or np.isnan(values[i]):
            broken = True
            continue
        if broken:
            resume(memory, p)
            broken = False
        times[0] += 1
        times[1] += not ready(memory, p)
        what = follow(memory, p, values[i])
        if what & OVER:
            peaks[found - 1] = memory.height
        if what & ONSET:
            onsets[found], peaks[found] = i, np.nan
            found += 1
    return found


def events_in(
    values: npt.NDArray[np.float64],
    clean: npt.NDArray[np.bool_],
    rate_hz: float,
    size: float,
    release: float,
    longest_s: float = LONGEST_S,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """All events of an array, found as they are found live.

    Args:
        values: of shape (n,), in dF/F.
        clean: of shape (n,): fit to be used; what is not, and nan, is left out.
        rate_hz: readings a second.
        size: where an event begins.
        release: below which it is over.
        longest_s: what lasts longer is no event.

    Returns:
        Index of each onset, and each event's height; nan for one whose end was not seen or that lasted too long.

    Raises:
        ValueError: release lies above size.
    """
    onsets, peaks, _ = _all(values, clean, event_parameters(rate_hz, size, release, longest_s))
    return onsets, peaks


def busy_share(
    values: npt.NDArray[np.float64],
    clean: npt.NDArray[np.bool_],
    rate_hz: float,
    size: float,
    release: float,
    longest_s: float = LONGEST_S,
) -> float:
    """Part of clean time in which no event could begin, for one was still up; arguments as those of `events_in`.

    Onsets over the rest of the time are the rate of a Poisson process, however long its events last.
    """
    _, _, (seen, busy) = _all(values, clean, event_parameters(rate_hz, size, release, longest_s))
    return float(busy / seen) if seen else 0.0


def _all(
    values: npt.NDArray[np.float64], clean: npt.NDArray[np.bool_], p: Any
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Onsets, peaks, and readings seen and of those busy."""
    memory, times = np.zeros(1, EVENT_MEMORY), np.zeros(2, np.int64)
    most = len(values) // 2 + 1  # from one onset to the next it takes a lower value
    onsets, peaks = np.empty(most, np.int64), np.empty(most)
    values, clean = np.ascontiguousarray(values, np.float64), np.ascontiguousarray(clean, np.bool_)
    found = _scan(memory[0], p[0], values, clean, onsets, peaks, times)
    return onsets[:found].copy(), peaks[:found].copy(), times
