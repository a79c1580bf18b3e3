"""One pulse's course told from noise: how large it is, when it is over, how fast it goes. Plain numbers in and out.

Single readings cannot tell when a pulse is over: a third of pure noise lies beyond 1 sigma. So the course of a pulse is
taken to be the median course of all pulses times its own size by least squares, shrunk towards 1 by as much as noise
alone would scatter it (James and Stein 1961). A pulse is over where that falls below 1 sigma for good.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
from scipy.optimize import OptimizeWarning, curve_fit

from closedloop.artefact import Numbers

_WIDEN = 0.1  # half the width over which a course is averaged, as a part of the time since the edge
_END = 0.9  # a course must have ended within this part of what was seen after light
_MEDIAN_ERROR = 1.2533  # of a median of normal numbers, in SD over the root of their number: sqrt(pi / 2)
_ERRORS = 4.0  # a fitted size so many times its own error is more than none


def smoothed(course: Numbers) -> Numbers:
    """Means over a fifth of the time since the edge: what decays at any speed keeps its shape, and late noise goes."""
    sums = np.concatenate([[0.0], np.cumsum(course)])
    at = np.arange(len(course))
    half = (_WIDEN * at).astype(np.int64)
    first, end = at - half, np.minimum(at + half + 1, len(course))
    means: Numbers = (sums[end] - sums[first]) / (end - first)
    return means


def sizes(after: Numbers, template: Numbers, sigma: float, before: int) -> Numbers:
    """Size of each pulse's course against the median one, less what noise alone would scatter.

    Args:
        after: readings after each pulse less its level before; of shape (pulses, readings), nan where there is none.
        template: smoothed median of them.
        sigma: SD of one reading.
        before: readings that each level is the median of; its error is shared by all readings of a pulse.
    """
    known = np.isfinite(after)
    power = (known * template**2).sum(axis=1)
    if len(after) < 2 or not power.min() > 0:
        return np.ones(len(after))
    found = np.where(known, after, 0.0) @ template / power
    middle = float(np.median(power))
    noise = sigma**2 * (1 / middle + _MEDIAN_ERROR**2 / before * float(template.sum() / middle) ** 2)
    variance = float(np.var(found, ddof=1))
    kept = max(0.0, 1.0 - noise / variance) if variance > 0 else 0.0
    scales: Numbers = 1.0 + kept * (found - 1.0)
    return scales


def recovery_s(course: Numbers, sigma: float, rate_hz: float, affected: bool) -> float:
    """Seconds after light by which the last reading beyond 1 sigma has come; inf where none was seen to be the last.

    Reading n of `course` ends less than n + 2 readings after light. The one in which light ends holds some of it.
    """
    beyond = np.flatnonzero(np.abs(course) >= sigma)
    if len(beyond) == 0:
        return 1 / rate_hz if affected else 0.0
    last = int(beyond[-1])
    return (last + 2) / rate_hz if last < _END * len(course) else math.inf


def quantile(values: Numbers, part: float) -> float:
    """The smallest value that so many of them do not exceed."""
    return float(np.sort(values)[max(0, math.ceil(part * len(values)) - 1)])


def decay_s(template: Numbers, rate_hz: float) -> float | None:
    """Time constant of an exponential fitted to what is left after light; None where nothing is there, or none fits."""
    time_s = np.arange(1, len(template) + 1) / rate_hz

    def left(at: Numbers, size: float, rate: float) -> Numbers:
        values: Numbers = size * np.exp(-at * rate)
        return values

    first = float(template[0])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OptimizeWarning)  # then the error is infinite, and nothing is told
            (size, rate), errors = curve_fit(left, time_s, template, p0=(first, 10 / time_s[-1]))
    except RuntimeError:  # no exponential fits
        return None
    sure = abs(size) > _ERRORS * math.sqrt(errors[0, 0]) and rate > _ERRORS * math.sqrt(errors[1, 1])
    return float(1 / rate) if sure else None
