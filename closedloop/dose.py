"""What a session has given so far, by plan: trains, light and modelled warming. Reaching a session's limit is for good.

The limits of a session are the least of the rig's and the protocol's; nothing is counted again after a restart of the
baseline. Trains that stay dark by their arm are counted like the others, so that arms differ in nothing but the light;
what was delivered in truth is the stimulator's to tell (`recording`, `watching`).

Warming follows the conservative two-pole budget of `optics` with a train taken as a whole: from its first light until
its last the modelled value is that of its warmest end, so it is never too low.
"""

from __future__ import annotations

from math import exp
from typing import Any, NamedTuple

import numpy as np

from closedloop.limits import Limits
from closedloop.model import kernel
from closedloop.optics import FAST_S, MOST_KELVIN, SLOW_S, Warmth, warmed, warmed_by_pulses
from closedloop.train import Refusal, Train

_NO_LIMIT = 1 << 62
_COLD = 1e-6  # kelvin; below it nothing is left to follow


class DoseLimits(NamedTuple):
    """Of a whole session; the last is of any moment."""

    trains: int | None = None
    on_s: float | None = None
    energy_mj: float | None = None
    kelvin: float = MOST_KELVIN


NO_LIMITS = DoseLimits()


def effective(*asked: Limits | None) -> DoseLimits:
    """The least of all that was asked; None where there are no limits."""

    def least(name: str) -> Any:
        values = [getattr(limits, name) for limits in asked if limits is not None]
        return min((value for value in values if value is not None), default=None)

    most_kelvin = least("heating")
    on_s, energy_mj = least("session_on"), least("session_energy")
    return DoseLimits(least("trains_per_session"), on_s, energy_mj, MOST_KELVIN if most_kelvin is None else most_kelvin)


def impossible(train: Train, power_mw: float | None, limits: DoseLimits) -> list[str]:
    """Why these limits cannot be kept, or let no single train begin; nothing if they can."""
    said = []
    if limits.energy_mj is not None and power_mw is None:
        said.append(
            "limits.session_energy: energy is unknown without the rig's calibration; give the rig a light section"
        )
    most, which = most_trains(train, power_mw, limits)
    if most == 0:
        said.append(f"limits: {which.name.lower()} lets not one train begin; raise it, or shorten light")
    kelvin = _gained(train, power_mw or 0.0).kelvin
    if kelvin > limits.kelvin:
        much = f"one train warms by {kelvin:.2f} K (modelled), above {limits.kelvin:g} K"
        said.append(f"heat: {much}; shorten light.on or lower the power")
    return said


def _gained(train: Train, power_mw: float) -> Warmth:
    """Warmth at the end of one train that begins cold; its ramp counts as light."""
    pulses = warmed_by_pulses(Warmth(), power_mw, train.on, train.period or train.on, train.count)
    return warmed(pulses, power_mw, train.ramp_off)


MEMORY = np.dtype([("trains", "i8"), ("at", "i8"), ("fast", "f8"), ("slow", "f8")], align=True)
PARAMETERS = np.dtype(
    [
        ("most_trains", "i8"),
        ("which", "i8"),  # the Refusal that most_trains stands for
        ("most_kelvin", "f8"),
        ("known", "i8"),
        ("span_us", "i8"),
        ("keep_fast", "f8"),  # over a train
        ("keep_slow", "f8"),
        ("gain_fast", "f8"),
        ("gain_slow", "f8"),
        ("period_us", "i8"),
        ("period_fast", "f8"),  # over one period of readings
        ("period_slow", "f8"),
    ],
    align=True,
)


def most_trains(train: Train, power_mw: float | None, limits: DoseLimits) -> tuple[int, Refusal]:
    """How many of these trains a session may give, and which limit says so: all are alike, so one number says it."""
    cases = [(_NO_LIMIT, Refusal.DOSE_TRAINS)]
    if limits.trains is not None:
        cases.append((limits.trains, Refusal.DOSE_TRAINS))
    if limits.on_s is not None:
        cases.append((round(limits.on_s * 1e6) // train.lit_us, Refusal.DOSE_ON))
    if limits.energy_mj is not None and power_mw is not None:
        cases.append((int(limits.energy_mj / (power_mw * train.lit_us / 1e6) + 1e-9), Refusal.DOSE_ENERGY))
    return min(cases)


def parameters(train: Train, power_mw: float | None, limits: DoseLimits, rate_hz: float) -> Any:
    """One PARAMETERS record.

    Args:
        train: of the session.
        power_mw: at the fibre's tip while it is lit; None without calibration, and then warming is unknown.
        limits: in force.
        rate_hz: readings a second.
    """
    most, which = most_trains(train, power_mw, limits)
    most = min(most, _NO_LIMIT)  # a limit beyond 64 bits is none
    span_s, period_s = train.span_us / 1e6, 1 / rate_hz
    gained = _gained(train, power_mw or 0.0)
    row = (
        *(most, which, limits.kelvin, power_mw is not None, train.span_us),
        *(exp(-span_s / FAST_S), exp(-span_s / SLOW_S), gained.fast, gained.slow),
        *(round(period_s * 1e6), exp(-period_s / FAST_S), exp(-period_s / SLOW_S)),
    )
    return np.array([row], PARAMETERS)


@kernel
def cool(memory: Any, p: Any, ticks: int) -> None:
    """Bring the warmth to this reading."""
    passed = ticks - memory.at
    if passed <= 0:
        return  # within a train: its end's warmth counts already
    memory.at = ticks
    if memory.slow + memory.fast < _COLD:
        memory.fast = 0.0
        memory.slow = 0.0
    elif abs(passed - p.period_us) <= 1:
        memory.fast *= p.period_fast
        memory.slow *= p.period_slow
    else:
        memory.fast *= np.exp(-passed / (1e6 * FAST_S))
        memory.slow *= np.exp(-passed / (1e6 * SLOW_S))


@kernel
def kelvin(memory: Any, p: Any) -> float:
    """Modelled warming now; nan where the power is unknown."""
    return max(memory.fast, memory.slow) if p.known else np.nan


@kernel
def refusal(memory: Any, p: Any) -> int:
    """The Refusal for one more train, or 0; changes nothing."""
    if memory.trains >= p.most_trains:
        return p.which  # type: ignore[no-any-return]
    peak = max(memory.fast * p.keep_fast + p.gain_fast, memory.slow * p.keep_slow + p.gain_slow)
    if p.known and peak > p.most_kelvin:
        return Refusal.HEAT.value
    return 0


@kernel
def spend(memory: Any, p: Any, start: int) -> None:
    """Enter a train with its first light at `start`, whether it is real or sham."""
    memory.trains += 1
    memory.fast = memory.fast * p.keep_fast + p.gain_fast
    memory.slow = memory.slow * p.keep_slow + p.gain_slow
    memory.at = start + p.span_us
