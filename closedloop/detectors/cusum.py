"""Evidence for a lasting shift of the mean, added up reading by reading: for shifts too small for one reading."""

from __future__ import annotations

from math import erf, exp, expm1, pi, sqrt
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from closedloop.detectors import Detector
from closedloop.model import Rate, Seconds, kernel
from closedloop.online.robust import is_number

_FIRST_S = 60.0  # the plain average of this long is a baseline good enough to be compared with
_EARLY = 32  # readings averaged before any is clipped
_CLIP = 1.5  # SD beyond which a reading pulls no harder; 96 % efficient in Gaussian noise (Huber 1964)
_OVERSHOOT = 1.166  # 2 * 0.583 SD by which a Gaussian walk passes two bounds on average (Siegmund 1985)
_KEPT = 2.0  # thresholds of evidence that are kept
_LEAST = 0.1  # nats; no threshold is lower
_RELEASE = 0.5  # of a threshold computed here

_INSIDE = erf(_CLIP / sqrt(2))  # share of a Gaussian within the clip ...
_CLIPPED_SQUARE = (
    _INSIDE - 2 * _CLIP * exp(-(_CLIP**2) / 2) / sqrt(2 * pi) + _CLIP**2 * (1 - _INSIDE)
)  # ... and mean square


@kernel
def _evidence(memory: Any, p: Any, value: float) -> float:
    """Evidence with this value added: max(0, S + log-likelihood ratio), in nats; nan while the baseline is unknown."""
    mean = p.mean if p.knows_mean else memory.mean
    sd = p.sd if p.knows_sd else np.sqrt(memory.variance)
    if (memory.count < p.first and not (p.knows_mean and p.knows_sd)) or not sd > 0.0:
        return np.nan
    z = p.sign * (value - mean) / sd
    return max(0.0, memory.evidence + p.shift * (z - 0.5 * p.shift))  # type: ignore[no-any-return]


@kernel
def _score(memory: Any, p: Any, value: float) -> float:
    return _evidence(memory, p, value) if is_number(value) else np.nan


@kernel
def _follow(memory: Any, p: Any, value: float) -> None:
    evidence = _score(memory, p, value)
    if not np.isnan(evidence):
        memory.evidence = min(evidence, p.most)


@kernel
def _learn(memory: Any, p: Any, value: float) -> None:
    """Mean and variance, plainly at first, then exponentially weighted with clipped departures (Huber's proposal 2)."""
    if not is_number(value):
        return
    memory.count += 1
    weight = max(1.0 / memory.count, p.alpha)
    departure = value - memory.mean
    if memory.count <= _EARLY or not memory.variance > 0.0:
        memory.mean += weight * departure
        memory.variance += weight * (departure * (value - memory.mean) - memory.variance)
        return
    widest = _CLIP * np.sqrt(memory.variance)
    clipped = min(max(departure, -widest), widest)
    memory.mean += weight * clipped / _INSIDE
    memory.variance += weight * (clipped * clipped / _CLIPPED_SQUARE - memory.variance)


@kernel
def _resume(memory: Any, p: Any) -> None:
    memory.evidence = 0.0


@kernel
def _baseline_mean(memory: Any, p: Any) -> float:
    if p.knows_mean:
        return p.mean  # type: ignore[no-any-return]
    return memory.mean if memory.count >= p.first else np.nan


@kernel
def _baseline_sd(memory: Any, p: Any) -> float:
    if p.knows_sd:
        return p.sd  # type: ignore[no-any-return]
    return np.sqrt(memory.variance) if memory.count >= p.first else np.nan


def readings_between_alarms(threshold: float, shift: float) -> float:
    """Mean number of readings to a false alarm, in independent Gaussian noise of known mean and SD.

    (exp(d b) - d b - 1) / (d^2 / 2) with b = threshold / d + 1.166 for a shift of d SD (Siegmund 1985, eq. 2.58;
    SCIENCE 5.2). Exact to 1 % up to d = 1; at 2 there are 6 % more false alarms than it says, at 3 19 %.

    Args:
        threshold: in nats.
        shift: that is looked for, in SD.
    """
    exponent = threshold + _OVERSHOOT * shift
    return 2 * (expm1(exponent) - exponent) / shift**2


def threshold_for(readings: float, shift: float) -> float:
    """The threshold, in nats, with one false alarm in so many readings on average; the inverse of the above."""
    low, high = 0.0, 700.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if readings_between_alarms(middle, shift) < readings else (low, middle)
    return max(high, _LEAST)


class Cusum(Detector):
    """S = max(0, S + d (z - d / 2)), z = (x - mean) / sd: Page's cumulative sum for a Gaussian shift of d SD.

    The soonest possible for a given rate of false alarms if readings are independent and Gaussian and d is the shift
    that comes (Page 1954; Moustakides 1986). Photometry is not independent: put `whiten` before it, or an independent
    threshold gives 59 false alarms for 1 at a lag-1 correlation of 0.3 (SCIENCE 5.2). The score is S in nats.

    Mean and SD are learned with time constant `baseline`, or given. A mean that is wrong by e SD multiplies false
    alarms by exp(2 e S / d), so the baseline must be long: 5 min at 130 Hz give e = 0.004. That is why it is no median
    of a few hundred values, and why readings pull it by no more than 1.5 SD. A lasting shift becomes the baseline in
    turn, except while a detection holds.

    S is kept up to twice the threshold that the session began with, so that after the shift it falls below the
    release in one and a half times the time it took to find it; a threshold raised beyond that while the session runs
    is never reached. S is 0 again after light or a veto.
    """

    kind: Literal["cusum"] = "cusum"
    threshold: float = Field(
        11.0, gt=0, description="Evidence in nats at which hyperactivity begins; 11: 1 /h at 130 Hz."
    )
    release: float = Field(5.5, description="Evidence below which it is over (hysteresis).")
    shift: float = Field(1.0, gt=0, le=10, description="Smallest shift worth acting on, in SD of what is scored.")
    direction: Literal["up", "down"] = Field("up", description="Which way it goes.")
    false_alarms: Rate | None = Field(
        None, gt=0, description="In place of threshold: the rate in white noise. The release is half of it then."
    )
    baseline: Seconds = Field(300.0, gt=0, description="Time constant of mean and SD.")
    mean: float | None = Field(None, description="Of the baseline, if it is known; learned otherwise.")
    sd: float | None = Field(None, gt=0, description="Of the baseline, if it is known; learned otherwise.")

    memory_type: ClassVar[np.dtype[Any]] = np.dtype(
        [("count", "i8"), ("mean", "f8"), ("variance", "f8"), ("evidence", "f8")], align=True
    )
    parameter_type: ClassVar[np.dtype[Any]] = np.dtype(
        [("first", "i8"), ("knows_mean", "i8"), ("knows_sd", "i8")]
        + [(n, "f8") for n in ("mean", "sd", "sign", "shift", "alpha", "most")],
        align=True,
    )
    score_unit: ClassVar[str] = "nats"  # of the score
    score: ClassVar[Any] = staticmethod(_score)
    learn: ClassVar[Any] = staticmethod(_learn)
    follow: ClassVar[Any] = staticmethod(_follow)
    resume: ClassVar[Any] = staticmethod(_resume)
    shown: ClassVar[dict[str, Any]] = {"baseline_mean": _baseline_mean, "baseline_sd": _baseline_sd}

    def bounds(self, rate_hz: float) -> tuple[float, float]:
        """Threshold and release in nats: those given, or those of `false_alarms` at this rate."""
        if self.false_alarms is None:
            return self.threshold, self.release
        threshold = threshold_for(60 * rate_hz / self.false_alarms, self.shift)
        return threshold, _RELEASE * threshold

    def crossing(self, rate_hz: float) -> Any:
        """One CROSSING_PARAMETERS record, with the bounds of `false_alarms` where that is given."""
        made = super().crossing(rate_hz)
        made["threshold"], made["release"] = self.bounds(rate_hz)
        return made

    def notes(self, rate_hz: float) -> list[str]:
        """Says what the threshold means in false alarms, or the false alarms in threshold."""
        threshold, release = self.bounds(rate_hz)
        each_h = 3600 * rate_hz / readings_between_alarms(threshold, self.shift)
        bounds = f"threshold {threshold:.3g}, release {release:.3g}"
        return [f"cusum: {bounds}: {each_h:.2g} /h false alarms in white Gaussian noise; more in any other"]

    def highest(self, rate_hz: float) -> float:
        """What is kept of the evidence, in nats: twice the threshold that the session begins with."""
        return _KEPT * self.bounds(rate_hz)[0]

    def parameters(self, rate_hz: float) -> Any:
        """One record: readings before the first score, what is known, the shift, weight of a reading, most evidence."""
        first = max(_EARLY, round(min(_FIRST_S, self.baseline) * rate_hz))
        known = (self.mean is not None, self.sd is not None, self.mean or 0.0, self.sd or 0.0)
        sign = 1.0 if self.direction == "up" else -1.0
        made = (first, *known, sign, self.shift, 1 / (self.baseline * rate_hz), self.highest(rate_hz))
        return np.array([made], self.parameter_type)
