"""Device ticks to time. No clock is read here: the caller says when.

Boards count microseconds in 32 bits, which wrap every 71.6 minutes; hosts count nanoseconds. `TickCounter` undoes the
wrap, `ClockFit` says what host time a board's tick was, and how far that may be wrong.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

_WRAP = 1 << 32
_HALF = 1 << 31
_KEPT = 64  # answers remembered
_SLOWEST = 2.0  # answers slower than this many times the fastest say little about the offset


def tick_difference(later: int, earlier: int) -> int:
    """Microseconds between two counts of one board, either of them wrapped or not, if less than half a wrap apart."""
    return (later - earlier + _HALF) % _WRAP - _HALF


class TickCounter:
    """32-bit ticks to an unbounded count. Good for steps of less than half a wrap (35.8 minutes), back or forth."""

    def __init__(self) -> None:
        self._last: int | None = None

    def extend(self, ticks: int) -> int:
        """The count of these 32-bit ticks; the first call's count is its ticks."""
        if self._last is None:
            self._last = ticks
            return ticks
        self._last += tick_difference(ticks, self._last)
        return self._last


class _Answer(NamedTuple):
    host_ns: int  # halfway between question and answer
    round_trip_ns: int
    ticks: int


class ClockFit:
    """Line through (ticks, host time) of a board's answers; slow answers are left out.

    The offset is that of the fastest answers, good to half their round trip; the drift is the slope through them.
    """

    def __init__(self) -> None:
        self._counter = TickCounter()
        self._answers: deque[_Answer] = deque(maxlen=_KEPT)
        self._ns_per_tick = 1000.0
        self._anchor: _Answer | None = None

    def add(self, asked_ns: int, answered_ns: int, ticks: int) -> None:
        """One clock query and its reply, on the host's monotonic clock and the board's 32-bit ticks."""
        answer = _Answer((asked_ns + answered_ns) // 2, answered_ns - asked_ns, self._counter.extend(ticks))
        self._answers.append(answer)
        fastest = min(a.round_trip_ns for a in self._answers)
        good = [a for a in self._answers if a.round_trip_ns <= _SLOWEST * fastest]
        mean_ticks = sum(a.ticks for a in good) / len(good)
        mean_ns = sum(a.host_ns for a in good) / len(good)
        spread = sum((a.ticks - mean_ticks) ** 2 for a in good)
        if spread > 0:
            shared = sum((a.ticks - mean_ticks) * (a.host_ns - mean_ns) for a in good)
            self._ns_per_tick = shared / spread
        self._anchor = _Answer(round(mean_ns), fastest, round(mean_ticks))

    @property
    def known(self) -> bool:
        """Whether any answer has come."""
        return self._anchor is not None

    @property
    def uncertainty_ns(self) -> int:
        """Half the fastest round trip: what symmetric delays cannot rule out."""
        return self._anchor.round_trip_ns // 2 if self._anchor else 0

    def host_ns(self, ticks: int) -> int:
        """Host time of these 32-bit ticks, near the last answer (within half a wrap).

        Raises:
            ValueError: no answer has come yet.
        """
        if self._anchor is None:
            raise ValueError("the board's clock is unknown before its first answer")
        return self._anchor.host_ns + round(tick_difference(ticks, self._anchor.ticks) * self._ns_per_tick)

    def ticks_at(self, host_ns: int) -> float:
        """Unwrapped ticks at a host time, on the count that `TickCounter` of the same board began.

        Raises:
            ValueError: no answer has come yet.
        """
        if self._anchor is None:
            raise ValueError("the board's clock is unknown before its first answer")
        return self._anchor.ticks + (host_ns - self._anchor.host_ns) / self._ns_per_tick
