"""How much light a stimulator board has given, and why it will not give more.

Exact sums over sliding windows in integer microseconds, taken at every instant of a train before its first light. No
check here can be switched off, and none trusts the host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from closedloop.wire import Fire, Limits, Reason

LONGEST_WAIT_US = 10_000_000  # a start may be scheduled this far ahead
LONGEST_TRAIN_US = 1 << 31  # beyond this, differences of wrapping ticks are ambiguous
MINUTE_US = 60_000_000
RAMP_STEP_US = 1_000
FULL_LEVEL = 65_535

_LARGER_IS_TIGHTER = ("off_us", "short_window_ms", "long_window_ms")

Times = npt.NDArray[np.int64]


def tighter(one: Limits, other: Limits) -> Limits:
    """Field by field the tighter of two sets of limits."""
    pairs = zip(Limits._fields, one, other, strict=True)
    return Limits(*(max(a, b) if name in _LARGER_IS_TIGHTER else min(a, b) for name, a, b in pairs))


def train_us(fire: Fire) -> int:
    """From a train's first light to its last, ramp included."""
    return (fire.pulses - 1) * fire.period_us + fire.on_us + fire.ramp_off_us


def edges_of(fire: Fire, start_us: int) -> Iterator[tuple[int, float]]:
    """Every change of level of a train, as (device time, level from 0 to 1); the ramp falls in steps of 1 ms."""
    level = fire.level / FULL_LEVEL
    for pulse in range(fire.pulses - 1):
        rise_us = start_us + pulse * fire.period_us
        yield rise_us, level
        yield rise_us + fire.on_us, 0.0
    last_us = start_us + (fire.pulses - 1) * fire.period_us
    yield last_us, level
    fall_us = last_us + fire.on_us
    for passed_us in range(RAMP_STEP_US, fire.ramp_off_us, RAMP_STEP_US):
        yield fall_us + passed_us, level * (1 - passed_us / fire.ramp_off_us)
    yield fall_us + fire.ramp_off_us, 0.0


class Ledger:
    """Light as delivered: spans from rise to fall, and the first light of each train."""

    def __init__(self) -> None:
        self._spans: list[tuple[int, int]] = []
        self._trains_us: list[int] = []

    def add_span(self, rise_us: int, fall_us: int) -> None:
        """Light was on between these two."""
        self._spans.append((rise_us, fall_us))

    def add_train(self, start_us: int) -> None:
        """A train gave its first light."""
        self._trains_us.append(start_us)

    def rest_us(self, at_us: int) -> int | None:
        """Darkness since the last light, None where there was none."""
        return at_us - self._spans[-1][1] if self._spans else None

    def trains_since(self, since_us: int) -> int:
        """Trains begun after this."""
        return sum(start > since_us for start in self._trains_us)

    def forget_before(self, before_us: int) -> None:
        """Drop what no window reaches any more, keeping the last span for the rest."""
        kept = [span for span in self._spans if span[1] > before_us]
        self._spans = kept or self._spans[-1:]
        self._trains_us = [start for start in self._trains_us if start > before_us]

    def most_lit_us(self, window_us: int, fire: Fire, start_us: int) -> int:
        """The most light that any window ending during this train would hold, this train included.

        While light is on, the sum over a window that ends now cannot fall; so its largest values are at the falls.
        """
        first = [(rise - start_us, fall - start_us) for rise, fall in self._spans]
        old = np.array(first, dtype=np.int64).reshape(-1, 2)
        rises = np.arange(fire.pulses, dtype=np.int64) * fire.period_us
        falls = rises + fire.on_us
        falls[-1] += fire.ramp_off_us
        all_rises = np.concatenate([old[:, 0], rises])
        all_falls = np.concatenate([old[:, 1], falls])
        sums = _lit_before(falls, all_rises, all_falls) - _lit_before(falls - window_us, all_rises, all_falls)
        return int(sums.max())


def _lit_before(times: Times, rises: Times, falls: Times) -> Times:
    """Lit microseconds before each time, of spans in order that do not overlap."""
    sums = np.concatenate([[0], np.cumsum(falls - rises)])
    begun = np.searchsorted(rises, times, side="right")
    last_fall = np.concatenate([[np.iinfo(np.int64).min], falls])[begun]
    return np.asarray(sums[begun] - np.maximum(last_fall, times) + times, dtype=np.int64)


class Request(NamedTuple):
    """All that a refusal depends on, beyond the board's state."""

    fire: Fire
    start_us: int
    now_us: int
    limits: Limits
    ledger: Ledger


def _is_malformed(r: Request) -> bool:
    fire = r.fire
    if 0 in (fire.on_us, fire.pulses, fire.level) or fire.scheduled > 1:
        return True
    if fire.pulses > 1 and (fire.period_us <= fire.on_us or fire.period_us - fire.on_us < r.limits.off_us):
        return True
    return train_us(fire) > LONGEST_TRAIN_US or r.start_us > r.now_us + LONGEST_WAIT_US


def _rests_too_little(r: Request) -> bool:
    rest_us = r.ledger.rest_us(r.start_us)
    return rest_us is not None and rest_us < r.limits.off_us


def _exceeds(r: Request, window_ms: int, on_ms: int) -> bool:
    return r.ledger.most_lit_us(window_ms * 1000, r.fire, r.start_us) > on_ms * 1000


# In this order; the first that holds is the reason given. A ramp is light: it counts as part of the last pulse.
CHECKS: tuple[tuple[Reason, Callable[[Request], bool]], ...] = (
    (Reason.BAD_REQUEST, _is_malformed),
    (Reason.ON_TIME, lambda r: r.fire.on_us + r.fire.ramp_off_us > r.limits.on_us),
    (Reason.OFF_TIME, _rests_too_little),
    (Reason.LEVEL, lambda r: r.fire.level > r.limits.level),
    (Reason.DUTY_SHORT, lambda r: _exceeds(r, r.limits.short_window_ms, r.limits.short_on_ms)),
    (Reason.DUTY_LONG, lambda r: _exceeds(r, r.limits.long_window_ms, r.limits.long_on_ms)),
    (Reason.TRAIN_RATE, lambda r: r.ledger.trains_since(r.start_us - MINUTE_US) >= r.limits.trains_per_minute),
    (Reason.LATE, lambda r: r.start_us < r.now_us),
)


def refusal(request: Request) -> Reason:
    """Why this train may not be given, or NONE."""
    windows_ms = (request.limits.short_window_ms, request.limits.long_window_ms)
    request.ledger.forget_before(request.now_us - max(MINUTE_US, *(ms * 1000 for ms in windows_ms)))
    return next((reason for reason, holds in CHECKS if holds(request)), Reason.NONE)
