"""dF/F after taking out what the control channel shares with the signal. It must not mirror a wrong-signed control."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from closedloop.features import Feature
from closedloop.model import Seconds, kernel

_FIRST_S = 1.0
_OUTLIER = 4.0  # residuals beyond this many of their own SD do not teach the slope


@kernel
def _slope(memory: Any, p: Any) -> float:
    """Slope of signal on control, clamped so that a wrong-signed or wild control is left out, not mirrored."""
    if p.mode == 0 or not memory.variance > 0.0:
        return 0.0
    steepest = p.steepest * memory.signal / memory.control
    return min(max(memory.covariance / memory.variance, 0.0), steepest)  # type: ignore[no-any-return]


@kernel
def _learn_slope(memory: Any, p: Any, ds: float, dc: float) -> None:
    """Exponentially weighted covariance of the departures from the two baselines, outliers left out."""
    residual = ds - _slope(memory, p) * dc
    widest = _OUTLIER * np.sqrt(memory.residual)
    early = memory.slope_count < p.first_slope
    memory.slope_count += 1
    weight = max(1.0 / memory.slope_count, p.slope_alpha)
    if early or abs(residual) <= widest:
        memory.variance += weight * (dc * dc - memory.variance)
        memory.covariance += weight * (ds * dc - memory.covariance)
    clipped = residual if early else min(max(residual, -widest), widest)
    memory.residual += weight * (clipped * clipped - memory.residual)


@kernel
def _value(memory: Any, p: Any, signal: float, control: float, learn: bool) -> float:
    if np.isnan(signal) or (p.mode != 0 and np.isnan(control)):
        return np.nan
    known = memory.count >= p.first and memory.signal > 0.0 and (p.mode == 0 or memory.control > 0.0)
    out = np.nan
    if known:
        expected = memory.signal
        if p.mode != 0:
            expected += _slope(memory, p) * (control - memory.control)
        out = (signal - expected) / expected if expected > 0.0 else np.nan
    if not (learn or memory.count == 0):
        return out
    if known and (p.mode == 2 or (p.mode == 1 and memory.slope_count < p.epoch)):
        _learn_slope(memory, p, signal - memory.signal, control - memory.control)
    memory.count += 1
    weight = max(1.0 / memory.count, p.alpha)
    memory.signal += weight * (signal - memory.signal)
    if p.mode != 0:
        memory.control += weight * (control - memory.control)
    return out


class Isosbestic(Feature):
    """(F - E) / E with E = F0 + slope * (C - C0): running baselines F0, C0, and a clamped regression slope.

    `off` uses no control; `fixed` learns the slope during the first `epoch` and keeps it; `adaptive` goes on learning
    with time constant `epoch`, leaving out residuals beyond 4 SD. The slope, in relative units, stays within
    0 and `steepest`: the isosbestic channel is often wrong-signed (PHOTOMETRY 4.1), and then it is better left out.
    It keeps events, not level: the running baselines take any constant offset out (SCIENCE 1.7).
    """

    kind: Literal["isosbestic"] = "isosbestic"
    mode: Literal["off", "fixed", "adaptive"] = Field("adaptive", description="How the control is used.")
    baseline: Seconds = Field(60.0, gt=0, description="Time constant of both running baselines.")
    epoch: Seconds = Field(120.0, gt=0, description="Learning epoch (fixed) or time constant (adaptive) of the slope.")
    steepest: float = Field(2.0, gt=0, le=10, description="Largest slope, in relative change per relative change.")

    memory_type: ClassVar[np.dtype[Any]] = np.dtype(
        [("count", "i8"), ("slope_count", "i8")]
        + [(n, "f8") for n in ("signal", "control", "variance", "covariance", "residual")],
        align=True,
    )
    parameter_type: ClassVar[np.dtype[Any]] = np.dtype(
        [("mode", "i8"), ("first", "i8"), ("first_slope", "i8"), ("epoch", "i8")]
        + [(n, "f8") for n in ("alpha", "slope_alpha", "steepest")],
        align=True,
    )
    value: ClassVar[Any] = staticmethod(_value)

    @property
    def needs_control(self) -> bool:
        """True unless the mode is off."""
        return self.mode != "off"

    def parameters(self, rate_hz: float) -> Any:
        """One record: mode, counts of readings, weights."""
        mode = ("off", "fixed", "adaptive").index(self.mode)
        first = max(1, round(min(_FIRST_S, self.baseline) * rate_hz))
        epoch = max(2, round(self.epoch * rate_hz))
        first_slope = min(epoch, max(2, round(5 * rate_hz)))
        alpha, slope_alpha = 1 / (self.baseline * rate_hz), 1 / epoch
        return np.array([(mode, first, first_slope, epoch, alpha, slope_alpha, self.steepest)], self.parameter_type)
