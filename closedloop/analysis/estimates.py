"""Numbers with their 95 % intervals: a rate, a typical height, Student's t. Nothing is compared here."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

_CONFIDENCE = 0.95
_LEAST_PEAKS = 5

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


class Estimate(NamedTuple):
    """A number with its 95 % interval, and how many independent things it is made of."""

    value: float
    low: float
    high: float
    n: float


def poisson_interval(count: int) -> tuple[float, float]:
    """Exact 95 % interval of the mean of a Poisson count (Garwood 1936, Biometrika 28:437)."""
    tail = (1 - _CONFIDENCE) / 2
    low = float(stats.chi2.ppf(tail, 2 * count)) / 2 if count else 0.0
    return low, float(stats.chi2.ppf(1 - tail, 2 * count + 2)) / 2


def poisson(count: int, minutes: float) -> Estimate:
    """Events a minute with the exact interval of their count."""
    if not minutes > 0:
        return Estimate(np.nan, np.nan, np.nan, 0)
    low, high = poisson_interval(count)
    return Estimate(count / minutes, low / minutes, high / minutes, count)


def typical(peaks: Floats) -> Estimate | None:
    """Geometric mean of heights, the median of a log-normal distribution, with its t interval; None of under five."""
    if len(peaks) < _LEAST_PEAKS:
        return None
    logs = np.log(peaks)
    half = students(len(logs) - 1) * float(np.std(logs, ddof=1)) / np.sqrt(len(logs))
    middle = float(np.mean(logs))
    low, value, high = (float(np.exp(x)) for x in (middle - half, middle, middle + half))
    return Estimate(value, low, high, len(logs))


def students(freedom: float) -> float:
    """Student's t of the two-sided 95 % interval; no fewer than one degree of freedom is believed."""
    return float(stats.t.ppf(1 - (1 - _CONFIDENCE) / 2, max(1.0, freedom)))
