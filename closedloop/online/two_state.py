"""Odds that events are hyperactive in rate, height or both, and a level that is weighed once (SCIENCE 5.1, 5.4).

Kernels of the detector `state`, which says what they are for. The odds are kept of each set of measures against calm,
and go on from value to value; the level is kept as the mean of a ring of bins. They compare with nothing of their own:
what is usual is in the parameters.
"""

from __future__ import annotations

from math import expm1
from typing import Any

import numpy as np
import numpy.typing as npt

from closedloop.model import kernel
from closedloop.online import events, heights

RATE, GAIN = 1, 2  # what events may show of a hyperactive state: either, or both
_SETS = 4
BINS = 60  # of the window of the level
_CLIP = 2.0  # SD: what a single height can say
_MOST = 30.0  # nats: what a level can say
_RECENT = 10  # heights of which the gain that is shown is the geometric mean
SHOWN_S = 120.0  # trailing (exponential) window of the rate that is shown
_KNOWN = 0.5  # of its weight must have been seen

STATE_MEMORY = np.dtype(
    [("seen", "i8"), ("bins", "i8"), ("bin_count", "i8"), ("events", events.EVENT_MEMORY)]
    + [("heights", heights.HEIGHT_MEMORY), ("odds", "f8", (_SETS,)), ("ring", "f8", (BINS,))]
    + [(name, "f8") for name in ("input", "bin_sum", "level", "weight", "recent")],
    align=True,
)
STATE_PARAMETERS = np.dtype(
    [("bin", "i8"), ("events", events.EVENT_PARAMETERS), ("enters", "f8", (_SETS,))]
    + [(name, "f8") for name in ("rises", "calms", "times", "quiet", "log_mean", "log_sd", "grown")]
    + [(name, "f8") for name in ("level_mean", "shift", "variance", "alpha", "a_minute")],
    align=True,
)


def chance(dwell_s: float, rate_hz: float) -> float:
    """Of leaving a state within one reading's time."""
    return -expm1(-1 / (dwell_s * rate_hz))


def equally(measures: int) -> npt.NDArray[np.float64]:
    """The same weight for each set of the chosen measures but the empty one; they add up to 1, or 0."""
    weights = np.array([float(at > 0 and at & ~measures == 0) for at in range(_SETS)])
    return weights / max(1.0, float(weights.sum()))


@kernel
def _rate_factor(memory: Any, p: Any, value: float) -> float:
    """Likelihood of what this value says about the rate: raised against not (SCIENCE 5.1, Poisson)."""
    factor = p.quiet if events.ready(memory.events, p.events) else 1.0
    return factor * p.times if events.begins(memory.events, p.events, value) else factor


@kernel
def _gain_factor(memory: Any, p: Any, value: float) -> float:
    """The same of the height of an event that ends with this value."""
    if not events.ends(memory.events, p.events, value):
        return 1.0
    return np.exp(heights.evidence(events.height(memory.events), p.log_mean, p.log_sd, p.grown, _CLIP))  # type: ignore[no-any-return]


@kernel
def _level_factor(memory: Any, p: Any) -> float:
    """The same of the mean level of the window: a Gaussian shifted by `shift`."""
    said = p.shift / p.variance * (memory.level - p.level_mean - p.shift / 2)
    return np.exp(min(max(said, -_MOST), _MOST))  # type: ignore[no-any-return]


@kernel
def _stays(memory: Any, p: Any) -> float:
    """Probability of calm after one reading's time, in units of what it was before."""
    total = 0.0
    for at in range(1, _SETS):
        total += memory.odds[at]
    return 1.0 - p.rises + p.calms * total  # type: ignore[no-any-return]


@kernel
def _odds(memory: Any, p: Any, at: int, stays: float, rate: float, gain: float) -> float:
    """Odds of one set against calm, one reading on."""
    odds = (memory.odds[at] * (1.0 - p.calms) + p.enters[at]) / stays
    if at & RATE:
        odds *= rate
    if at & GAIN:
        odds *= gain
    return odds  # type: ignore[no-any-return]


@kernel
def score(memory: Any, p: Any, value: float) -> float:
    """Probability that level or events, or both, are not calm; nan until the level's window is full."""
    if np.isnan(value) or memory.seen == 0 or (p.bin > 0 and memory.bins < BINS):
        return np.nan
    stays, rate, gain = _stays(memory, p), _rate_factor(memory, p, value), _gain_factor(memory, p, value)
    total = 0.0
    for at in range(1, _SETS):
        total += _odds(memory, p, at, stays, rate, gain)
    if p.bin > 0:
        total += (1.0 + total) * p.rises / p.calms * _level_factor(memory, p)  # calm is calm in both
    return total / (1.0 + total)


@kernel
def _follow_level(memory: Any, p: Any) -> None:
    """Means of one bin after the other, and the mean of them all."""
    if p.bin == 0 or np.isnan(memory.input):
        return
    memory.bin_sum += memory.input
    memory.bin_count += 1
    if memory.bin_count < p.bin:
        return
    memory.ring[memory.bins % BINS] = memory.bin_sum / memory.bin_count
    memory.bin_sum, memory.bin_count = 0.0, 0
    memory.bins += 1
    if memory.bins == 2 * BINS:
        memory.bins = BINS  # as full as before; the count must not grow for ever
    memory.level = np.mean(memory.ring)


@kernel
def follow(memory: Any, p: Any, value: float) -> None:
    """One clean value: odds, events and level move on."""
    stays, rate, gain = _stays(memory, p), _rate_factor(memory, p, value), _gain_factor(memory, p, value)
    for at in range(1, _SETS):
        memory.odds[at] = _odds(memory, p, at, stays, rate, gain)
    what = events.follow(memory.events, p.events, value)
    if what & events.OVER:
        heights.add(memory.heights, _RECENT, memory.events.height)
    memory.weight += p.alpha * (1.0 - memory.weight)
    memory.recent += p.alpha * ((what & events.ONSET) - memory.recent)
    memory.seen = 1
    _follow_level(memory, p)


@kernel
def resume(memory: Any, p: Any) -> None:
    """After light, an artefact or a veto."""
    events.resume(memory.events, p.events)  # the level's window holds clean readings alone, and is slow: it stays


@kernel
def level_shift(memory: Any, p: Any) -> float:
    """Of the window's mean level from the mean when calm, as a fraction."""
    return np.expm1(memory.level - p.level_mean) if memory.bins >= BINS else np.nan


@kernel
def shown_rate(memory: Any, p: Any) -> float:
    """Events a minute in the trailing window."""
    return memory.recent / memory.weight * p.a_minute if memory.weight >= _KNOWN else np.nan


@kernel
def shown_gain(memory: Any, p: Any) -> float:
    """Geometric mean of the last heights, as a multiple of that when calm."""
    return heights.gain(memory.heights, _RECENT, p.log_mean)
