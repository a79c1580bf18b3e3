"""Low-pass of whatever comes before it in the chain. Causal: it delays, and never looks ahead."""

from __future__ import annotations

from math import pi, sqrt, tan
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from closedloop.features import Feature
from closedloop.model import Hertz, kernel
from closedloop.online import robust
from closedloop.online.windows import readings_in

_HIGHEST = 0.45  # of the rate; above this nothing is left to filter


@kernel
def _value(memory: Any, p: Any, signal: float, control: float, learn: bool) -> float:
    if not robust.is_number(signal):
        return np.nan
    if memory.count == 0:  # as if the first value had always been there
        memory.z2 = signal * (p.b2 - p.a2)
        memory.z1 = signal * (p.b1 - p.a1) + memory.z2
    out = p.b0 * signal + memory.z1
    memory.z1 = p.b1 * signal - p.a1 * out + memory.z2
    memory.z2 = p.b2 * signal - p.a2 * out
    if memory.count < p.settle:  # still as noisy as the one value it began with
        memory.count += 1
        return np.nan
    memory.count = max(memory.count, 1)
    return out  # type: ignore[no-any-return]


@kernel
def _resume(memory: Any, p: Any) -> None:
    memory.count = 0


class Lowpass(Feature):
    """Second-order Butterworth by the bilinear transform, started at steady state on its first value.

    Delay to half of a step: 46 ms at 5 Hz, 115 ms at 2 Hz (PHOTOMETRY 4.2). At the start, and after light or a veto,
    it begins anew from one clean value, and is nan for 1 / cutoff, until less than 2 % of that is left: one value is
    several times as noisy as what the filter gives, and would look like an event. Above 0.45 of the rate it passes
    everything through and says so.
    """

    kind: Literal["lowpass"] = "lowpass"
    cutoff: Hertz = Field(5.0, gt=0, description="-3 dB frequency.")

    memory_type: ClassVar[np.dtype[Any]] = np.dtype([("count", "i8"), ("z1", "f8"), ("z2", "f8")], align=True)
    parameter_type: ClassVar[np.dtype[Any]] = np.dtype(
        [("settle", "i8")] + [(n, "f8") for n in ("b0", "b1", "b2", "a1", "a2")], align=True
    )
    value: ClassVar[Any] = staticmethod(_value)
    resume: ClassVar[Any] = staticmethod(_resume)

    def notes(self, rate_hz: float) -> list[str]:
        """Says where the filter has nothing to do."""
        if self.cutoff < _HIGHEST * rate_hz:
            return []
        return [f"lowpass: {self.cutoff:g} Hz can't be filtered at {rate_hz:g} readings/s; values pass unchanged"]

    def parameters(self, rate_hz: float) -> Any:
        """One record: readings until it has settled, and biquad coefficients, a0 = 1."""
        if self.cutoff >= _HIGHEST * rate_hz:
            return np.array([(0, 1.0, 0.0, 0.0, 0.0, 0.0)], self.parameter_type)
        k = tan(pi * self.cutoff / rate_hz)
        norm = 1 / (1 + sqrt(2) * k + k * k)
        b0 = k * k * norm
        a1, a2 = 2 * (k * k - 1) * norm, (1 - sqrt(2) * k + k * k) * norm
        settle = readings_in(1 / self.cutoff, rate_hz)
        return np.array([(settle, b0, 2 * b0, b0, a1, a2)], self.parameter_type)
