"""The most light that a protocol could give: one train after another, as early as every limit lets it. Starts nothing.

The rules are those of limits.py, in closed form for trains that are all alike; a test holds the two together.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from closedloop import wire
from closedloop.optics import Warmth, warmed, warmed_by_pulses
from closedloop.train import Train

_MINUTE_US = 60_000_000


@dataclass(frozen=True)
class Busiest:
    """Trains as close as they may come.

    Attributes:
        train: each of them.
        starts_us: when each begins, from 0.
    """

    train: Train
    starts_us: tuple[int, ...]

    def lit_us(self, window_us: int) -> int:
        """The most light in any window that ends with a train."""
        ends = [start + self.train.span_us for start in self.starts_us]
        return max(_lit_since(ends[: i + 1], self.train.lit_us, end - window_us) for i, end in enumerate(ends))

    def trains(self, window_us: int) -> int:
        """The most trains that begin within any window."""
        starts = self.starts_us
        return max(i + 1 - bisect_right(starts, start - window_us) for i, start in enumerate(starts))

    def kelvin(self, power_mw: float) -> float:
        """Highest warming by the conservative two-pole model; half of a ramp counts as full light."""
        train, warmth, highest, last_us = self.train, Warmth(), 0.0, 0
        on_s, period_s, ramp_s = train.on_us / 1e6, train.period_us / 1e6, train.ramp_off_us / 2e6
        for start_us in self.starts_us:
            warmth = warmed(warmth, 0.0, (start_us - last_us) / 1e6)
            first = warmed(warmth, power_mw, on_s)
            last = warmed(warmed_by_pulses(warmth, power_mw, on_s, period_s, train.count), power_mw, ramp_s)
            highest = max(highest, first.kelvin, last.kelvin)
            warmth, last_us = warmed(last, 0.0, ramp_s), start_us + train.span_us
        return highest


def busiest(train: Train, refractory_s: float, limits: wire.Limits, for_s: float, interval_s: float = 0.0) -> Busiest:
    """Trains from 0 on, each as early as it may come; a train that may never come is given once.

    Args:
        train: each of them.
        refractory_s: from the end of one to the earliest start of the next.
        limits: those in force.
        for_s: no train begins later than this.
        interval_s: from the start of one to the earliest start of the next.
    """
    rest_us = max(round(refractory_s * 1e6), limits.off_us, round(interval_s * 1e6) - train.span_us)
    starts, ends = [0], [train.span_us]
    if train.lit_us > 1000 * min(limits.short_on_ms, limits.long_on_ms):
        return Busiest(train, (0,))
    while (start := _earliest(starts, ends, train, ends[-1] + rest_us, limits)) <= for_s * 1e6:
        starts.append(start)
        ends.append(start + train.span_us)
    return Busiest(train, tuple(starts))


def _earliest(starts: list[int], ends: list[int], train: Train, start: int, limits: wire.Limits) -> int:
    if len(starts) >= limits.trains_per_minute:
        start = max(start, starts[-limits.trains_per_minute] + _MINUTE_US)
    windows = (limits.short_window_ms, limits.short_on_ms), (limits.long_window_ms, limits.long_on_ms)
    for window_ms, on_ms in windows:
        since = start + train.first_pulse_us - window_ms * 1000
        while (excess := _lit_since(ends, train.lit_us, since) + train.lit_us - on_ms * 1000) > 0:
            oldest = ends[bisect_right(ends, since)]
            counted = min(train.lit_us, oldest - since)
            since = oldest - max(0, counted - excess)  # always later than before: less of the oldest is left
        start = since + window_ms * 1000 - train.first_pulse_us
    return start


def _lit_since(ends: list[int], lit_us: int, since_us: int) -> int:
    """Light of trains with these ends after a time; of the one that is cut, what lies after it at most."""
    first = bisect_right(ends, since_us)
    if first == len(ends):
        return 0
    return min(lit_us, ends[first] - since_us) + (len(ends) - first - 1) * lit_us
