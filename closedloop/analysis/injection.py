"""Events of which the onset is known: transients multiplied into a real background, and the virtual animal's own.

A known transient in a real background is the truth to be trusted most (SCIENCE 6.1, 6.4): noise, motion and the
animal's own events are real, and only the added events are counted as such. The animal's own events then count as
false alarms, so rates are pessimistic.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from closedloop.analysis.scoring import Floats, Ticks
from closedloop.errors import ConfigError
from closedloop.readings import COUNT_MAX, Stream
from closedloop.simulation.animal import Animal, VirtualAnimal
from closedloop.simulation.animal_script import LONGEST_S

_TAIL = 12.0  # decay times after which nothing is left (6e-6 of the peak)


@dataclass(frozen=True)
class Transient:
    """Two exponentials: exp(-t / decay) - exp(-t / rise), scaled to its peak.

    Attributes:
        size: peak dF/F; 0.02 is 2 %.
        rise_s: time constant.
        decay_s: time constant, longer than the rise.
    """

    size: float
    rise_s: float = 0.05
    decay_s: float = 0.5

    @property
    def peak_s(self) -> float:
        """From onset to peak."""
        return float(np.log(self.decay_s / self.rise_s) / (1 / self.rise_s - 1 / self.decay_s))

    def dff(self, since_s: Floats) -> Floats:
        """dF/F so many seconds after the onset; 0 before it."""
        since = np.maximum(since_s, 0.0)
        peak = np.exp(-self.peak_s / self.decay_s) - np.exp(-self.peak_s / self.rise_s)
        return np.asarray(self.size * (np.exp(-since / self.decay_s) - np.exp(-since / self.rise_s)) / peak)


def random_onsets(stream: Stream, seed: int, every_s: float = 15.0, apart_s: float = 5.0) -> Ticks:
    """Ticks of onsets at random times between readings, at least `apart_s` apart and `every_s` on average.

    Raises:
        ConfigError: the recording is too short for one, or the times do not fit together.
    """
    if not 0 < apart_s < every_s:
        raise ConfigError(f"injected events: {every_s:g} s on average, {apart_s:g} s at least; lengthen the first")
    dice = np.random.default_rng(seed)
    gaps = apart_s + dice.exponential(every_s - apart_s, 2 + round(2 * stream.duration_s / every_s))
    onsets = np.cumsum(gaps)
    onsets = onsets[onsets < stream.duration_s - apart_s]
    if len(onsets) == 0:
        raise ConfigError(f"{stream.source}: {stream.duration_s:g} s is too short to put events in; use a longer one")
    return np.rint(onsets * 1e6).astype(np.int64)


def inject(stream: Stream, transient: Transient, onsets: Ticks) -> Stream:
    """The recording as it would have been with these events in it.

    What the LED gives (lit - dark) is multiplied by 1 + dF/F and rounded to whole counts; what is there without the
    LED, and the control, stay as they were.
    """
    ticks = stream.readings["ticks"]
    dff = np.zeros(len(ticks))
    for onset in onsets.tolist():
        first, last = np.searchsorted(ticks, (onset, onset + round(_TAIL * transient.decay_s * 1e6)))
        dff[first:last] += transient.dff((ticks[first:last] - onset) / 1e6)
    readings = stream.readings.copy()
    dark = readings["signal_dark"].astype(np.float64)
    lit = dark + np.rint((readings["signal_lit"] - dark) * (1 + dff))
    readings["signal_lit"] = np.clip(lit, -COUNT_MAX, COUNT_MAX)
    return replace(stream, readings=readings, source=f"{stream.source} + {transient.size * 100:g} % events")


def virtual(animal: Animal, hours: float, rate_hz: float, seed: int) -> tuple[Stream, Ticks]:
    """A virtual animal in the dark for so long, and the onsets of its events."""
    beyond = round(LONGEST_S * rate_hz) + 2  # an event is told when it is over
    count = round(hours * 3600 * rate_hz)
    made = VirtualAnimal(animal, rate_hz, seed)
    readings = made.run(np.zeros(count + beyond))[:count]
    source = f"virtual animal {animal.preset}, {hours:g} h, seed {seed}"
    stream = Stream(readings, round(rate_hz * 1000), made.nano_units, source)
    onsets = np.sort([label.time_s for label in made.labels if label.kind == "event"])
    return stream, np.rint(onsets[onsets < hours * 3600] * 1e6).astype(np.int64)
