"""The level of one recording: means of whole seconds, how long they stay alike, and the error of their mean.

Neighbouring seconds are not independent, so the error of the mean is that of fewer of them (SCIENCE 1.7). It is silent
on what differs from day to day. Whether the signal is more than white noise is told here too, from half seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from closedloop.analysis.estimates import Bools, Estimate, Floats, students
from closedloop.anchor import Photometry
from closedloop.readings import FLAG_NO_CONTROL, Readings, Stream, scale_of

_LEAST_FILLED = 0.5  # part of a second that must be clean for its mean to count
_WHITE = 0.7  # von Neumann ratio below which half-second means have structure, as in quality.py


@dataclass(frozen=True)
class Course:
    """The level of one recording.

    Attributes:
        mean: of the one-second means, in ln units.
        within: SD of those about the recording's slow course, a parabola.
        correlation_s: their correlation time: half a second if each is independent of the last.
        seconds: how many there are.
    """

    mean: float
    within: float
    correlation_s: float
    seconds: int

    @property
    def independent(self) -> float:
        """n_eff = T / (2 tau) (SCIENCE 1.7)."""
        return max(1.0, self.seconds / (2 * self.correlation_s))

    @property
    def error(self) -> float:
        """Standard error of the mean within the recording."""
        return self.within / float(np.sqrt(self.independent))

    def estimate(self) -> Estimate:
        """The mean with the interval of the recording's own scatter; of what differs between days it is silent."""
        half = students(self.independent - 1) * self.error
        return Estimate(self.mean, self.mean - half, self.mean + half, self.independent)


def _light(readings: Readings, channel: str) -> Floats:
    """LED on less LED off, in counts; `channel` is signal or control."""
    counts: Floats = readings[f"{channel}_lit"].astype(np.float64) - readings[f"{channel}_dark"]
    return counts


def course_of(stream: Stream, clean: Bools, photometry: Photometry | None) -> Course | None:
    """Course of the level over the clean readings.

    None without a control channel, or where fewer than four seconds are filled and positive.

    Args:
        stream: the recording.
        clean: which of its readings count.
        photometry: says what the cord gives in the dark; None: nothing.
    """
    readings, scale = stream.readings, scale_of(stream.nano_units)
    if len(readings) == 0 or readings["flags"][0] & FLAG_NO_CONTROL:
        return None
    signal_dark, control_dark = (photometry.signal_dark, photometry.control_dark) if photometry else (0.0, 0.0)
    signal = _light(readings, "signal") * scale - signal_dark
    control = _light(readings, "control") * scale - control_dark
    known = clean & (signal > 0) & (control > 0)
    ratio = np.log(signal[known] / control[known])
    at, means = _means(readings["ticks"][known] / 1e6, ratio, stream.rate_hz)
    return course(at, means) if len(means) > 3 else None


def course(at: npt.NDArray[np.int64], means: Floats) -> Course:
    """Mean, scatter and correlation time of one-second means; what is missing between them is left out.

    Args:
        at: the second of each, rising.
        means: in ln units.
    """
    time = (at - at[0]) / max(1, at[-1] - at[0])
    rest = means - np.polyval(np.polyfit(time, means, 2), time)
    within = float(np.sqrt(np.sum(rest**2) / (len(rest) - 3)))
    return Course(float(np.mean(means)), within, _correlation_s(at, rest), len(means))


def _means(seconds: Floats, values: Floats, rate_hz: float) -> tuple[npt.NDArray[np.int64], Floats]:
    """Means of whole seconds, of those that are filled at least by half."""
    whole = np.floor(seconds).astype(np.int64)
    if len(whole) == 0:
        return whole, values
    counts = np.bincount(whole)
    sums = np.bincount(whole, weights=values)
    at = np.flatnonzero(counts >= max(1.0, _LEAST_FILLED * rate_hz))
    return at, sums[at] / counts[at]


def _correlation_s(at: npt.NDArray[np.int64], rest: Floats) -> float:
    """Half a second and the sum of the autocorrelations, up to the first that is not positive.

    So that n_eff = T / (2 tau) counts every second of white noise, and one second in 2 tau of what is slower.
    """
    laid = np.full(at[-1] - at[0] + 1, np.nan)
    laid[at - at[0]] = rest
    variance = float(np.mean(rest**2))
    total = 0.5
    for lag in range(1, len(laid) // 4):
        pairs = laid[lag:] * laid[:-lag]
        pairs = pairs[np.isfinite(pairs)]
        correlation = float(np.mean(pairs)) / variance if len(pairs) > 2 and variance > 0 else 0.0
        if not correlation > 0:
            break
        total += correlation
    return total


def has_structure(readings: Readings, clean: Bools, rate_hz: float) -> bool:
    """Whether half-second means of the signal are more than white noise; von Neumann's ratio is 1 for that."""
    block = max(1, round(rate_hz / 2))
    kept = _light(readings, "signal")[clean]
    means = kept[: len(kept) // block * block].reshape(-1, block).mean(axis=1)
    spread = 2 * float(np.sum((means - means.mean()) ** 2)) if len(means) > 1 else 0.0
    return spread > 0 and float(np.sum(np.diff(means) ** 2)) < _WHITE * spread
