"""dF/F after taking out what the control channel shares with the signal. It must not mirror a wrong-signed control."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from closedloop.features import Feature
from closedloop.model import Seconds, kernel
from closedloop.online import robust
from closedloop.online.windows import readings_in

_FIRST_S = 1.0
_FIRST_SLOPE_S = 5.0  # so long nobody knows what an outlier is
_OUTLIER = 4.0  # residuals beyond this many of their own SD do not teach the slope
_BELIEVABLE = 1.0  # nothing that happens in a fibre changes the light by more than this share of it


@kernel
def _slope(memory: Any, p: Any) -> float:
    """Slope of signal on control, clamped so that a wrong-signed or wild control is left out, not mirrored."""
    if not (memory.variance > 0.0 and memory.covariance > 0.0):
        return 0.0
    return min(memory.covariance / memory.variance, p.steepest)  # type: ignore[no-any-return]


@kernel
def _learn_slope(memory: Any, p: Any, signal: float, control: float) -> None:
    """Recursive least squares of slope and offset, exponentially weighted, on relative departures from the baselines.

    Outliers are left out of it, but count, clipped, in the size of what is usual: it grows if they go on.
    """
    if not (abs(signal) < _BELIEVABLE and abs(control) < _BELIEVABLE):
        return
    x, y = control - memory.mean_control, signal - memory.mean_signal
    squared = (y - memory.slope * x) ** 2
    widest = _OUTLIER * _OUTLIER * memory.residual
    if memory.slope_count < p.first_slope or not widest > 0.0:
        widest = np.inf  # nobody knows yet
    memory.slope_count += 1
    weight = p.slope_alpha if memory.slope_count >= p.epoch else 1.0 / memory.slope_count
    if squared <= widest:
        memory.mean_control += weight * x
        memory.mean_signal += weight * y
        memory.variance = (1.0 - weight) * (memory.variance + weight * x * x)
        memory.covariance = (1.0 - weight) * (memory.covariance + weight * x * y)
        memory.signal_variance = (1.0 - weight) * (memory.signal_variance + weight * y * y)
        memory.slope = _slope(memory, p)
    memory.residual += weight * (min(squared, widest) - memory.residual)


@kernel
def _learn_baselines(memory: Any, p: Any, signal: float, control: float, divisible: bool) -> None:
    count = memory.count + 1 if divisible else 1  # what nothing can be divided by is no baseline: begin anew
    weight = p.alpha if count >= p.full else 1.0 / count
    memory.count = count
    memory.signal += weight * (signal - memory.signal)
    memory.control += weight * (control - memory.control)


@kernel
def _learns_slope(memory: Any, p: Any) -> bool:
    return p.mode == 2 or (p.mode == 1 and memory.slope_count < p.epoch)  # type: ignore[no-any-return]


@kernel
def _value(memory: Any, p: Any, signal: float, control: float, learn: bool) -> float:
    if p.mode == 0:
        control = 1.0  # and so is its baseline: it changes nothing
    if not robust.is_number(signal) or not robust.is_number(control):
        return np.nan
    signal_0, control_0 = memory.signal, memory.control
    signal_up, control_up = signal - signal_0, control - control_0
    divisible = signal_0 > 0.0 and control_0 > 0.0
    known = divisible and memory.count >= p.first
    out = np.nan
    if known:  # (F - E) / E as one fraction: a division is what takes longest here
        shared = memory.slope * control_up
        expected = signal_0 * (control_0 + shared)
        if expected > 0.0:
            out = (control_0 * signal_up - signal_0 * shared) / expected
    if learn:
        if known and _learns_slope(memory, p):
            _learn_slope(memory, p, signal_up / signal_0, control_up / control_0)
        _learn_baselines(memory, p, signal, control, divisible)
    return out if robust.is_number(out) else np.nan


@kernel
def _shown_slope(memory: Any, p: Any) -> float:
    """The slope in use; nan while unknown."""
    return memory.slope if memory.variance > 0.0 else np.nan


@kernel
def _shown_correlation(memory: Any, p: Any) -> float:
    """Pearson's r of what the slope was learned from, signed; nan while unknown."""
    if not memory.variance > 0.0 or not memory.signal_variance > 0.0:
        return np.nan
    return memory.covariance / np.sqrt(memory.variance * memory.signal_variance)  # type: ignore[no-any-return]


class Isosbestic(Feature):
    """(F - E) / E with E = F0 (1 + slope (C - C0) / C0): running baselines F0, C0, and a clamped regression slope.

    `off` uses no control; `fixed` learns the slope during the first `epoch` of clean readings and keeps it, so a drug
    step later on cannot bend it; `adaptive` goes on learning with time constant `epoch`. Residuals beyond 4 SD are left
    out, and so are changes of more than 100 %. The slope is of relative changes, as light lost in a fibre is lost in
    proportion, however far each channel has bleached. It stays within 0 and `steepest`: the isosbestic channel is often
    wrong-signed (PHOTOMETRY 4.1), and then it is better left out. Slope and correlation are shown at each reading: a
    slope on a control that is not correlated adds noise (PHOTOMETRY 4.2).
    It keeps events, not level: the running baselines take any constant offset out (SCIENCE 1.7). nan before one second
    has been averaged and where a baseline is not positive; such baselines are thrown away, so one second of light is
    enough to know a value again.
    """

    kind: Literal["isosbestic"] = "isosbestic"
    mode: Literal["off", "fixed", "adaptive"] = Field("adaptive", description="How the control is used.")
    baseline: Seconds = Field(60.0, gt=0, description="Time constant of both running baselines.")
    epoch: Seconds = Field(120.0, gt=0, description="Learning epoch (fixed) or time constant (adaptive) of the slope.")
    steepest: float = Field(2.0, gt=0, le=10, description="Largest slope, in relative change per relative change.")

    memory_type: ClassVar[np.dtype[Any]] = np.dtype(
        [("count", "i8"), ("slope_count", "i8")]
        + [(n, "f8") for n in ("signal", "control", "mean_signal", "mean_control")]
        + [(n, "f8") for n in ("slope", "variance", "covariance", "signal_variance", "residual")],
        align=True,
    )
    parameter_type: ClassVar[np.dtype[Any]] = np.dtype(
        [(n, "i8") for n in ("mode", "first", "full", "first_slope", "epoch")]
        + [(n, "f8") for n in ("alpha", "slope_alpha", "steepest")],
        align=True,
    )
    value: ClassVar[Any] = staticmethod(_value)
    shown: ClassVar[dict[str, Any]] = {"isosbestic_slope": _shown_slope, "isosbestic_r": _shown_correlation}

    @property
    def keeps_its_start(self) -> bool:
        """Where the slope is fixed after its epoch."""
        return self.mode == "fixed"

    @property
    def needs_control(self) -> bool:
        """True unless the mode is off."""
        return self.mode != "off"

    def parameters(self, rate_hz: float) -> Any:
        """One record: mode, counts of readings, weights."""
        mode = ("off", "fixed", "adaptive").index(self.mode)
        first = readings_in(min(_FIRST_S, self.baseline), rate_hz)
        full = readings_in(self.baseline, rate_hz)
        epoch = readings_in(self.epoch, rate_hz, least=2)
        first_slope = min(epoch, readings_in(_FIRST_SLOPE_S, rate_hz, least=2))
        together = (mode, first, full, first_slope, epoch, 1 / full, 1 / epoch, self.steepest)
        return np.array([together], self.parameter_type)
