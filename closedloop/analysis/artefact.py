"""What light does to the signal, measured from readings around pulses: no more than medians, and how long they last.

Only pulses with every reading around them count, each against its own level before. The recovery time is the time after
light by which 99 % of pulses are back within 1 sigma of the noise before them, for good (SCIENCE 4.3);
`artefact_course` says how one pulse's course is told from noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from closedloop.analysis.artefact_course import decay_s, quantile, recovery_s, sizes, smoothed
from closedloop.artefact import Course, Numbers
from closedloop.errors import RecordingError
from closedloop.readings import FLAG_CONTROL_SATURATED, FLAG_NO_CONTROL, FLAG_SIGNAL_SATURATED, Readings, scale_of

SHARE = 0.99  # of pulses that are over by the recovery time
_MAD_TO_SD = 1.4826
_LEAST_BEFORE = 8  # readings before a pulse that say its level and noise
_NOISES = 4.0  # a departure so many times its own error is one

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Take:
    """Readings with pulses of light in them.

    Attributes:
        readings: array of READING, ticks increasing.
        rate_hz: readings a second.
        nano_units: units of the signal per count, in 1e-9.
        pulses_us: first and last light of each pulse on the readings' own clock; of shape (pulses, 2).
        before_s: of each pulse's time before, that is looked at.
        after_s: of its time after.
    """

    readings: Readings
    rate_hz: float
    nano_units: int
    pulses_us: npt.NDArray[np.int64]
    before_s: float
    after_s: float


class Measured(NamedTuple):
    """One channel.

    Attributes:
        course: what was measured; None where the signal was not back in time, and so nothing is known of recovery.
        lit, after: each pulse's readings less its level before, in units; of shape (pulses, readings).
        recoveries_s: of each pulse; inf where it was not back in what was seen.
        level, sigma: as in `Course`.
        template: smoothed median of `after`.
    """

    course: Course | None
    lit: Numbers
    after: Numbers
    recoveries_s: Numbers
    level: float
    sigma: float
    template: Numbers


class Found(NamedTuple):
    """Both channels, and how many pulses they were measured from."""

    signal: Measured
    control: Measured | None
    pulses: int
    left_out: int

    @property
    def is_over(self) -> bool:
        """Whether light's traces were gone within what was seen after it, in every channel."""
        return self.signal.course is not None and (self.control is None or self.control.course is not None)


def measure(take: Take) -> Found:
    """What light added to both channels.

    Raises:
        RecordingError: no pulse has readings around it, or there is no signal.
    """
    whole = [at for at, pulse in enumerate(take.pulses_us) if _is_whole(take, pulse)]
    if not whole:
        raise RecordingError("no pulse of light has all readings before and after it; nothing can be measured")
    pulses = take.pulses_us[whole]
    signal = _channel(take, pulses, "signal")
    has_control = not bool(take.readings["flags"][0] & FLAG_NO_CONTROL)
    control = _channel(take, pulses, "control") if has_control else None
    return Found(signal, control, len(whole), len(take.pulses_us) - len(whole))


def _is_whole(take: Take, pulse: npt.NDArray[np.int64]) -> bool:
    """Whether no reading is missing around this pulse, and no light of another falls into it."""
    first, last = _around(take, pulse)
    seqs = take.readings["seq"][first:last].astype(np.int64)
    wished = (pulse[1] - pulse[0]) / 1e6 + take.before_s + take.after_s
    if len(seqs) < math.floor(wished * take.rate_hz) - 1 or seqs[-1] - seqs[0] != len(seqs) - 1:
        return False
    since, until = pulse[0] - take.before_s * 1e6, pulse[1] + take.after_s * 1e6
    others = (take.pulses_us[:, 1] > since) & (take.pulses_us[:, 0] < until)
    return int(others.sum()) == 1


def _around(take: Take, pulse: npt.NDArray[np.int64]) -> tuple[int, int]:
    edges = (pulse[0] - take.before_s * 1e6, pulse[1] + take.after_s * 1e6)
    first, last = np.searchsorted(take.readings["ticks"], edges)
    return int(first), int(last)


def _channel(take: Take, pulses: npt.NDArray[np.int64], name: str) -> Measured:
    rows = [take.readings[slice(*_around(take, pulse))] for pulse in pulses]
    scale = scale_of(take.nano_units)
    values = [(row[f"{name}_lit"].astype(np.float64) - row[f"{name}_dark"]) * scale for row in rows]
    befores = [v[row["ticks"] <= pulse[0]] for v, row, pulse in zip(values, rows, pulses, strict=True)]
    if min(map(len, befores)) < _LEAST_BEFORE:
        raise RecordingError(f"fewer than {_LEAST_BEFORE} readings before a pulse; nothing can be measured")
    levels = np.array([np.median(before) for before in befores])
    off = np.concatenate([before - level for before, level in zip(befores, levels, strict=True)])
    level, sigma = float(np.median(levels)), float(_MAD_TO_SD * np.median(np.abs(off)))
    if not (sigma > 0 and level > _NOISES * sigma / math.sqrt(len(off))):
        raise RecordingError(
            f"there is no {name}: with its LED on it is no brighter than with it off, or never changes"
        )
    lit, after = _aligned(take, pulses, rows, [v - base for v, base in zip(values, levels, strict=True)])
    flag = FLAG_SIGNAL_SATURATED if name == "signal" else FLAG_CONTROL_SATURATED
    saturated = sum(bool(np.any(row["flags"] & flag)) for row in rows)
    return _measured(take.rate_hz, _Aligned(lit, after, level, sigma, saturated, min(map(len, befores))))


class _Aligned(NamedTuple):
    lit: Numbers
    after: Numbers
    level: float
    sigma: float
    saturated: int
    before: int  # readings that each pulse's level is the median of


def _aligned(
    take: Take, pulses: npt.NDArray[np.int64], rows: list[Readings], values: list[Numbers]
) -> tuple[Numbers, Numbers]:
    """Readings lit throughout, counted from the first light, and readings dark throughout, from the last."""
    step_us = 1e6 / take.rate_hz
    lit_count = max(1, math.floor(float(np.min(pulses[:, 1] - pulses[:, 0])) / step_us) - 1)
    after_count = max(1, math.floor(take.after_s * take.rate_hz) - 1)
    lit, after = np.full((len(pulses), lit_count), np.nan), np.full((len(pulses), after_count), np.nan)
    for at, (pulse, row, value) in enumerate(zip(pulses, rows, values, strict=True)):
        end_us = row["ticks"].astype(np.float64)
        _place(lit[at], (end_us - step_us - pulse[0]) / step_us, value, end_us <= pulse[1])
        _place(after[at], (end_us - step_us - pulse[1]) / step_us, value, end_us > pulse[1])
    return lit, after


def _place(places: Numbers, since: Numbers, values: Numbers, wanted: Bools) -> None:
    number = np.floor(since + 1e-6).astype(np.int64)
    wanted = wanted & (number >= 0) & (number < len(places))
    places[number[wanted]] = values[wanted]


def _measured(rate_hz: float, given: _Aligned) -> Measured:
    lit, after = _median(given.lit), _median(given.after)
    template, under = smoothed(after), smoothed(lit)
    lit_spread, after_spread = _spread(given.lit), _spread(given.after)
    scales = sizes(given.after, template, given.sigma, given.before)
    affected = bool(np.any(np.abs(under) >= given.sigma))
    recoveries = np.array([recovery_s(scale * template, given.sigma, rate_hz, affected) for scale in scales])
    recovery = quantile(recoveries, SHARE)
    size = abs(float(np.median(under)))
    course = None
    if math.isfinite(recovery):
        course = Course(
            level=given.level,
            sigma=given.sigma,
            size=size,
            size_dff=size / given.level,
            decay=decay_s(template, rate_hz),
            recovery=recovery,
            saturated=given.saturated,
            lit=tuple(under.tolist()),
            after=tuple(template.tolist()),
            lit_spread=tuple(lit_spread.tolist()),
            after_spread=tuple(after_spread.tolist()),
        )
    return Measured(course, given.lit, given.after, recoveries, given.level, given.sigma, template)


def _median(values: Numbers) -> Numbers:
    """Over pulses; where a jitter of times left a place empty in all of them, what its neighbours say."""
    known = np.isfinite(values).any(axis=0)
    found = np.zeros(values.shape[1])
    found[known] = np.nanmedian(values[:, known], axis=0)
    at = np.arange(len(found))
    if known.any() and not known.all():
        found[~known] = np.interp(at[~known], at[known], found[known])
    return found


def _spread(values: Numbers) -> Numbers:
    known = np.isfinite(values).any(axis=0)
    found = np.zeros(values.shape[1])
    some = values[:, known]
    found[known] = _MAD_TO_SD * np.nanmedian(np.abs(some - np.nanmedian(some, axis=0)), axis=0)
    return found
