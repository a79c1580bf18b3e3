"""What may be said of level, rate and gain against an animal's reference, and when nothing may be said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from closedloop.analysis.activity import Activity
from closedloop.analysis.anchoring import half_width, percent
from closedloop.analysis.estimates import Estimate, typical
from closedloop.analysis.study.reference import Measured, Reference

TOLD, NOT_TOLD, REFUSED, NONE = "told", "not told", "refused", "none"  # kinds of verdict
_UNKNOWN = Estimate(np.nan, np.nan, np.nan, 0)


class Verdict(NamedTuple):
    """What may be said: one of the kinds above, and the words."""

    kind: str
    words: str


def level(sessions: Sequence[Measured], reference: Reference | None) -> tuple[Estimate, Verdict]:
    """Shift of the level in percent of the reference."""
    courses = [one.traced.course for one in sessions if one.traced.course]
    if len(courses) < len(sessions):
        return _UNKNOWN, Verdict(NONE, "no control channel")
    if reference is None or not reference.levels:
        return _UNKNOWN, Verdict(NONE, "no anchor and no baseline session to compare with")
    shift = float(np.mean([one.mean for one in courses]) - np.mean(reference.levels))
    error = float(np.sum([one.error**2 for one in courses])) / len(courses) ** 2
    known = len(reference.levels)
    if reference.anchor is None or reference.anchor.level is None:
        if known < 2:
            return _UNKNOWN._replace(value=percent(shift), n=len(courses)), Verdict(NONE, "no anchor, no verdict")
        between = float(np.std(reference.levels, ddof=1))
        half = half_width(between, known, len(courses), error)
        return _percents(shift, half, len(courses)), Verdict(NONE, "no anchor, no verdict")
    if any(one.traced.photometry is None for one in sessions):
        return _UNKNOWN, Verdict(REFUSED, "refused: the recording does not say what it was measured with")
    level = reference.anchor.level
    half = half_width(level.between, known, len(courses), error)
    return _percents(shift, half, len(courses)), level_verdict(shift, half, level.smallest_shift)


def _percents(shift: float, half: float, n: int) -> Estimate:
    return Estimate(percent(shift), percent(shift - half), percent(shift + half), n)


def level_verdict(shift: float, half: float, smallest: float) -> Verdict:
    """Raised or lowered, none beyond what can be told, or nothing at all."""
    if abs(shift) > half:
        return Verdict(TOLD, "raised" if shift > 0 else "lowered")
    if abs(shift) + half <= smallest:
        return Verdict(NOT_TOLD, f"no shift beyond ±{percent(smallest):.2g} %")
    words = f"{percent(shift):+.2g} % is below the smallest detectable shift of {percent(half):.2g} %"
    return Verdict(REFUSED, f"refused: {words}")


def rate_verdict(found: Activity, sessions: int, reference: Reference | None) -> Verdict:
    """Ratio of the rate to the reference's."""
    if reference is None:
        return Verdict(NONE, "no baseline to compare with")
    if not found.count or not sum(reference.counts):
        return Verdict(NOT_TOLD, "too few events to compare")
    mean, spread = reference.rate()
    return _ratio_verdict(float(np.log(found.rate.value)) - mean, spread.half_width(1 / found.count, sessions))


def gain(found: Activity, sessions: int, reference: Reference | None) -> tuple[Estimate, Verdict]:
    """Typical height in percent, and its ratio to the reference's."""
    estimate = found.gain
    if estimate is None:
        cut = found.count - len(found.peaks)
        few = typical(found.peaks) is None
        said = (
            "too few events" if few else f"{cut} of {found.count} events were cut short; the others are no fair choice"
        )
        return _UNKNOWN, Verdict(NONE, said)
    shown = Estimate(100 * estimate.value, 100 * estimate.low, 100 * estimate.high, estimate.n)
    if reference is None or not reference.log_sd > 0:
        return shown, Verdict(NONE, "no baseline to compare with")
    mean, spread = reference.gain()
    logs = np.log(found.peaks)
    half = spread.half_width(float(np.var(logs, ddof=1)) / len(logs), sessions)
    return shown, _ratio_verdict(float(np.mean(logs)) - mean, half)


def _ratio_verdict(ratio: float, half: float) -> Verdict:
    low, value, high = (float(np.exp(x)) for x in (ratio - half, ratio, ratio + half))
    span = f"x{value:.2f} of the reference ({low:.2f} to {high:.2f})"
    if low <= 1 <= high:
        return Verdict(NOT_TOLD, f"no change told: {span}")
    return Verdict(TOLD, f"{'raised' if ratio > 0 else 'lowered'}: {span}")
