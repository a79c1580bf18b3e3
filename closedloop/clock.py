"""Device ticks to time. No clock is read here: the caller says when.

Boards count microseconds in 32 bits, which wrap every 71.6 minutes; hosts count nanoseconds. `TickCounter` undoes the
wrap, `ClockFit` says what host time a board's tick was, and how far that may be wrong.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

_WRAP = 1 << 32
_HALF = 1 << 31
_KEPT = 128  # answers remembered
_SETTLED = 3  # answers before a jump can be told from a line that is not known yet
_NOMINAL = 1000.0  # ns a tick
_STRAY_NS = 2.0  # standard deviation of a board's ns a tick before anything is known; a ceramic resonator may be 5 off
_STRAY = 0.005  # by how much the slope may still be wrong when a jump is judged
_FADE_NS = 60e9  # after so long an answer weighs 1/e
_FINEST_NS = 2_000.0  # no answer is better than this
_SYMMETRY = 0.2  # part of the quickest round trip by which there and back may differ
_SMALLEST_JUMP_NS = 2_000_000.0  # what is less is drift, and taken up by the line


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
    """Line through (ticks, host time) of a board's answers: old ones fade, slow ones weigh little.

    An answer's middle may be wrong by half of what its round trip took longer than the quickest of late. As that is a
    bias and no noise, weights fall with its fourth power; they decay with age, too (as in Klipper's clock
    synchronisation, which throws slow answers away instead). The slope is held near 1000 ns a tick until the answers
    know better. What no delay can explain is a jump: the board's clock stood still or began anew, or this computer
    slept. One such answer is kept apart; a second that agrees with it begins a new line.

    Attributes:
        steps: jumps found so far.
        step_us: by how much the board's clock went back (above 0) or ahead at the last of them.
        residual_ns: of the last answer against the line before it; nan: there was none.
        error_ns: how far the line may be off by what answers came late, in one direction or the other.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.step_us = 0.0
        self.residual_ns = math.nan
        self.error_ns = math.nan
        self._counter = TickCounter()
        self._answers: deque[_Answer] = deque(maxlen=_KEPT)
        self._apart: list[_Answer] = []
        self._apart_ns = 0.0
        self._ns_per_tick = _NOMINAL
        self._anchor: _Answer | None = None
        self._slope_error_ns = 0.0

    def add(self, asked_ns: int, answered_ns: int, ticks: int) -> None:
        """One clock query and its reply, on the host's monotonic clock and the board's 32-bit ticks."""
        answer = _Answer((asked_ns + answered_ns) // 2, answered_ns - asked_ns, self._counter.extend(ticks))
        if self._anchor is not None:
            self.residual_ns = float(answer.host_ns - self._at(answer.ticks))
        if not self._has_jumped(answer):
            self._answers.append(answer)
            self._draw()

    def _has_jumped(self, answer: _Answer) -> bool:
        """Whether it is kept apart for now; the second one in agreement is the start of a new line."""
        if self._anchor is None or len(self._answers) < _SETTLED:
            return False
        since_ns = abs(answer.host_ns - self._answers[-1].host_ns)
        allowed_ns = _SMALLEST_JUMP_NS + _STRAY * since_ns + (answer.round_trip_ns + self._anchor.round_trip_ns) / 2
        if abs(self.residual_ns) <= allowed_ns:
            self._apart.clear()
            return False
        agrees = bool(self._apart) and abs(self.residual_ns - self._apart_ns) <= allowed_ns
        self._apart_ns = self.residual_ns
        self._apart = [*self._apart, answer] if agrees else [answer]
        if agrees:
            self.steps += 1
            self.step_us = self.residual_ns / 1000
            self._answers = deque(self._apart[:-1], maxlen=_KEPT)
            self._apart = []
        return not agrees

    def _draw(self) -> None:
        """Weighted least squares, with a prior on the slope alone."""
        base = self._answers[-1]
        quickest_ns = min(a.round_trip_ns for a in self._answers)
        floor_ns = _FINEST_NS + _SYMMETRY * quickest_ns
        weight = of_ticks = of_ns = of_late = 0.0
        weights = []
        for a in self._answers:
            late_ns = 0.5 * (a.round_trip_ns - quickest_ns)
            w = math.exp((a.host_ns - base.host_ns) / _FADE_NS) / (floor_ns + late_ns) ** 4
            weights.append(w)
            weight += w
            of_ticks += w * (a.ticks - base.ticks)
            of_ns += w * (a.host_ns - base.host_ns)
            of_late += w * late_ns
        mean_ticks, mean_ns, self.error_ns = of_ticks / weight, of_ns / weight, of_late / weight
        doubt = weight / len(weights) * (floor_ns + self.error_ns) ** 2
        known = doubt / _STRAY_NS**2
        spread, shared = known, known * _NOMINAL
        for w, a in zip(weights, self._answers, strict=True):
            ticks = a.ticks - base.ticks - mean_ticks
            spread += w * ticks * ticks
            shared += w * ticks * (a.host_ns - base.host_ns - mean_ns)
        self._ns_per_tick = shared / spread
        self._slope_error_ns = math.sqrt(doubt / spread) * abs(mean_ticks)
        at = round(mean_ticks)
        host_ns = base.host_ns + mean_ns + (at - mean_ticks) * self._ns_per_tick
        self._anchor = _Answer(round(host_ns), quickest_ns, base.ticks + at)

    @property
    def known(self) -> bool:
        """Whether any answer has come."""
        return self._anchor is not None

    @property
    def doubted(self) -> bool:
        """Whether the last answer did not fit the line, and another is needed to know why."""
        return bool(self._apart)

    @property
    def answered_ns(self) -> int:
        """Host time of the last answer that is in the line; 0 before the first."""
        return self._answers[-1].host_ns if self._answers else 0

    @property
    def drift_ppm(self) -> float:
        """How much faster the board's clock runs than the host's; nan while nobody can know."""
        return (_NOMINAL / self._ns_per_tick - 1) * 1e6 if len(self._answers) > 1 else math.nan

    @property
    def uncertainty_ns(self) -> int:
        """Half the quickest round trip, which symmetric delays cannot rule out, and the error of the line itself.

        At the last answer; a slope that is not well known yet counts as far as that one is from the middle of all.
        """
        if self._anchor is None:
            return 0
        return self._anchor.round_trip_ns // 2 + round(self.error_ns + self._slope_error_ns)

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

    def _at(self, ticks: int) -> int:
        """Host time of unwrapped ticks."""
        anchor = self._anchor or self._answers[-1]
        return anchor.host_ns + round((ticks - anchor.ticks) * self._ns_per_tick)
