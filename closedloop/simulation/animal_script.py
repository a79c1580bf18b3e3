"""What a virtual animal would do in the dark. Light is unknown here, so that arms share their candidate events.

Times are drawn one after the other, in continuous time, from generators of their own: the same seed gives the same
states and events whatever the rate, the noise or the light.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from closedloop.simulation.animal_model import Animal, Indicator

SHORTEST_S, LONGEST_S = 0.001, 10.0  # of a burst or dip


@dataclass(frozen=True)
class Stretch:
    """A state that lasts from one time to another."""

    start_s: float
    end_s: float
    state: str


@dataclass(frozen=True)
class Burst:
    """A burst of activity, or a dip, from one time to another.

    Attributes:
        start_s: when it begins.
        end_s: when it ends.
        height: activity while it lasts, in units of small dF/F; of a dip, the depth.
        amplitude: peak dF/F that it makes if no light falls; of a dip, the depth.
        state: the state in which it began; of a dip, nothing.
    """

    start_s: float
    end_s: float
    height: float
    amplitude: float
    state: str


def script(animal: Animal, dwell: np.random.Generator, random: np.random.Generator) -> Iterator[Stretch | Burst]:
    """States and, after each, the bursts that begin in it; in order of their beginning, without end."""
    start_s = 0.0
    while True:
        for phase in animal.sequence:
            factor = dwell.exponential() if animal.dwell == "exponential" else 1.0
            stretch = Stretch(start_s, start_s + phase.lasts * factor, phase.state)
            yield stretch
            yield from _bursts(animal, stretch, random)
            start_s = stretch.end_s


def _bursts(animal: Animal, stretch: Stretch, random: np.random.Generator) -> Iterator[Burst]:
    state, events = animal.states[stretch.state], animal.events
    for start_s in _onsets(stretch, state.event_rate, events.regularity, random):
        amplitude = state.gain * _log_normal(random, events.amplitude, events.amplitude_spread)
        lasts_s = _length(random, events.lasts, events.lasts_spread)
        height = amplitude / peak_of_box(lasts_s, animal.indicator)
        yield Burst(start_s, start_s + lasts_s, height, amplitude, stretch.state)


def dips(animal: Animal, random: np.random.Generator) -> Iterator[Burst]:
    """Dips of the shared light path, in order; at random times."""
    motion = animal.motion
    start_s = 0.0
    while motion.dip_rate > 0:
        start_s += random.exponential() * 60 / motion.dip_rate
        depth = min(_log_normal(random, motion.dip_depth, 0.3), 0.9)
        lasts_s = _length(random, motion.dip_lasts, 0.3)
        yield Burst(start_s, start_s + lasts_s, depth, depth, "")


def peak_of_box(lasts_s: float, indicator: Indicator) -> float:
    """Peak response to activity of height 1 that lasts so long: two time constants in a row.

    The response rises until the end of the box and a little beyond; there h(t) = h(t - lasts_s), h being the
    impulse response.
    """
    rise, decay = indicator.rise, indicator.decay
    log_ratio = _log_expm1(lasts_s / rise) - _log_expm1(lasts_s / decay)
    at_s = log_ratio / (1 / rise - 1 / decay)
    return _step_response(at_s, rise, decay) - _step_response(at_s - lasts_s, rise, decay)


def _log_expm1(x: float) -> float:
    return float(x + np.log(-np.expm1(-x)))


def _step_response(t: float, rise: float, decay: float) -> float:
    return float(1 - (decay * np.exp(-t / decay) - rise * np.exp(-t / rise)) / (decay - rise))


def _onsets(stretch: Stretch, per_minute: float, shape: float, random: np.random.Generator) -> Iterator[float]:
    """A stationary renewal process with gamma intervals.

    The first interval is what is left of one that began before (its length-biased draw has shape + 1), so that
    the rate is right from the beginning of a stretch.
    """
    if per_minute == 0:
        return
    mean_s = 60 / per_minute
    at_s = stretch.start_s + random.uniform() * random.gamma(shape + 1, mean_s / shape)
    while at_s < stretch.end_s:
        yield at_s
        at_s += random.gamma(shape, mean_s / shape)


def _log_normal(random: np.random.Generator, median: float, spread: float) -> float:
    return float(median * np.exp(spread * random.standard_normal()))


def _length(random: np.random.Generator, median_s: float, spread: float) -> float:
    return min(max(_log_normal(random, median_s, spread), SHORTEST_S), LONGEST_S)
