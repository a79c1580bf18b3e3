"""What light may never exceed, kept on sample time. The only way to a command; it cannot be configured away.

The limit in force is the tightest of three: the ceiling compiled into every stimulator board (wire.CEILING), the
rig's, and the protocol's. The board holds the same limits on its own and on its own clock; this ledger refuses first.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from closedloop import wire
from closedloop.model import Fraction, Kelvin, Millijoules, Model, Seconds, kernel
from closedloop.train import Refusal, Train

CEILING = wire.CEILING
_KEPT = 1024  # trains remembered; at the ceiling of 60 a minute the long window holds 600


class Limits(Model):
    """Limits of a rig or a protocol. Each may only be tighter than the board's ceiling; absent means the ceiling."""

    longest_on: Seconds | None = Field(None, gt=0, description="Longest single pulse.")
    least_off: Seconds | None = Field(None, gt=0, description="Shortest darkness between two pulses.")
    short_duty: Fraction | None = Field(None, gt=0, le=1, description="Largest part lit of any 60 s.")
    long_duty: Fraction | None = Field(None, gt=0, le=1, description="Largest part lit of any 10 min.")
    trains_per_minute: int | None = Field(None, ge=1, description="Most trains in any 60 s.")
    level: Fraction | None = Field(None, gt=0, le=1, description="Highest level, as part of full power.")
    trains_per_session: int | None = Field(None, ge=1, description="Then light turns to sham for the session's rest.")
    session_on: Seconds | None = Field(None, gt=0, description="Light of a whole session; then sham.")
    session_energy: Millijoules | None = Field(
        None, gt=0, description="Energy of a whole session at the tip; then sham. Needs the rig's calibration."
    )
    heating: Kelvin | None = Field(
        None, gt=0, le=1, description="Most modelled warming; a train beyond it is refused until it has cooled."
    )

    @model_validator(mode="after")
    def _only_tighter(self) -> Self:
        looser = [
            f"{name} may not exceed the board's ceiling of {_words(name)}; lower it"
            if name != "least_off"
            else f"{name} may not be below the board's least of {_words(name)}; raise it"
            for name in _CEILING_S
            if getattr(self, name) is not None and _looser(name, getattr(self, name))
        ]
        if looser:
            raise ValueError("\n".join(looser))
        return self


_CEILING_S = {
    "longest_on": CEILING.on_us / 1e6,
    "least_off": CEILING.off_us / 1e6,
    "short_duty": CEILING.short_on_ms / CEILING.short_window_ms,
    "long_duty": CEILING.long_on_ms / CEILING.long_window_ms,
    "trains_per_minute": CEILING.trains_per_minute,
    "level": CEILING.level / 65_535,
}


def _looser(name: str, value: float) -> bool:
    return value < _CEILING_S[name] if name == "least_off" else value > _CEILING_S[name]


def _words(name: str) -> str:
    value = _CEILING_S[name]
    if name in ("short_duty", "long_duty", "level"):
        return f"{value * 100:g} %"
    return f"{value:g}" if name == "trains_per_minute" else f"{value * 1000:g} ms"


def effective(*asked: Limits | None, lease_s: float) -> wire.Limits:
    """The tightest of the ceiling and all that was asked, as the board is told.

    Args:
        asked: the rig's and the protocol's limits, None where there are none.
        lease_s: seconds the board stays armed without a heartbeat.
    """

    def given(name: str) -> list[float]:
        values = [getattr(limits, name) for limits in asked if limits is not None]
        return [_CEILING_S[name], *(float(value) for value in values if value is not None)]

    def least(name: str) -> float:
        return min(given(name))

    return wire.Limits(
        on_us=round(least("longest_on") * 1e6),
        off_us=round(max(given("least_off")) * 1e6),
        short_window_ms=CEILING.short_window_ms,
        short_on_ms=int(least("short_duty") * CEILING.short_window_ms + 0.5),
        long_window_ms=CEILING.long_window_ms,
        long_on_ms=int(least("long_duty") * CEILING.long_window_ms + 0.5),
        trains_per_minute=int(least("trains_per_minute")),
        lease_ms=min(round(lease_s * 1000), CEILING.lease_ms),
        level=round(least("level") * 65_535),
    )


MEMORY = np.dtype(
    [("count", "i8"), ("start", "i8", (_KEPT,)), ("end", "i8", (_KEPT,)), ("lit", "i8", (_KEPT,))], align=True
)
PARAMETERS = np.dtype(
    [(name, "i8") for name in ("on_us", "lit_us", "span_us", "first_pulse_us", "level")]
    + [("limit_" + name, "i8") for name in wire.Limits._fields],
    align=True,
)


class Command(NamedTuple):
    """A train as the board is told it."""

    on_us: int
    period_us: int
    pulses: int
    level: int
    ramp_off_us: int


def command(train: Train, full_power_mw: float | None) -> Command:
    """The train in the board's units; its power becomes a level where the rig's full power is known."""
    part = train.level if train.power is None or full_power_mw is None else train.power / full_power_mw
    return Command(train.on_us, train.period_us, train.count, round(part * 65_535), train.ramp_off_us)


_LONGEST_TRAIN_US = 1 << 31  # beyond this, differences of the board's wrapping ticks are ambiguous


def impossible(train: Train, full_power_mw: float | None, limits: wire.Limits) -> list[str]:
    """Why the loop or the board would refuse every single train like this one; empty if neither would.

    A ramp is light: like the board, this counts it as part of the last pulse.

    Args:
        train: as the protocol has it.
        full_power_mw: the rig's power at the tip at full level; None without calibration.
        limits: those in force.

    Returns:
        One line a problem, each beginning with the field concerned.
    """
    return [*_impossible_power(train, full_power_mw, limits), *_impossible_times(train, limits)]


def _impossible_power(train: Train, full_power_mw: float | None, limits: wire.Limits) -> list[str]:
    if train.power is not None and full_power_mw is not None and train.power > full_power_mw:
        said = f"light.power: {train.power:g} mW is more than the rig's full power ({full_power_mw:g} mW); lower it"
        return [said]
    name = "power" if train.power is not None and full_power_mw is not None else "level"
    level = command(train, full_power_mw).level
    if level == 0:
        return [f"light.{name}: less than the board's smallest step (1/65535 of full power); raise it"]
    if level > limits.level:
        said = f"{level / 655.35:.3g} % of full power is above the limit in force ({limits.level / 655.35:.3g} %)"
        return [f"light.{name}: {said}; lower it"]
    return []


def _impossible_times(train: Train, limits: wire.Limits) -> list[str]:
    pulse_us, rest_us = train.on_us + train.ramp_off_us, train.period_us - train.on_us
    short_us, long_us = limits.short_on_ms * 1000, limits.long_on_ms * 1000
    short_s, long_s = limits.short_window_ms / 1000, limits.long_window_ms / 1000
    lit = f"light.count: one train is {_seconds(train.lit_us)} of light, the limit in force is"
    cases = {
        "light.on: shorter than the board's clock ticks (1 us); lengthen it": train.on_us == 0,
        f"light.on: with its ramp {_seconds(pulse_us)}, longer than the limit in force ({_seconds(limits.on_us)}); "
        "shorten on or ramp_off": pulse_us > limits.on_us,
        f"light.period: leaves {_seconds(rest_us)} of darkness between pulses, the limit in force is "
        f"{_seconds(limits.off_us)}; lengthen it": train.count > 1 and rest_us < limits.off_us,
        f"{lit} {_seconds(short_us)} in {short_s:g} s; give fewer or shorter pulses": train.lit_us > short_us,
        f"{lit} {_seconds(long_us)} in {long_s:g} s; give fewer or shorter pulses": train.lit_us > long_us,
        f"light.count: one train lasts {_seconds(train.span_us)}, the board takes at most "
        f"{_seconds(_LONGEST_TRAIN_US)}; give fewer pulses": train.span_us > _LONGEST_TRAIN_US,
    }
    return [said for said, holds in cases.items() if holds]


def _seconds(us: int) -> str:
    return f"{us / 1e6:g} s" if us >= 1_000_000 else f"{us / 1000:g} ms"


def parameters(train: Train, level: int, limits: wire.Limits) -> Any:
    """One PARAMETERS record: what one train costs, and what is allowed. The ramp is light of the last pulse."""
    longest_us = train.on_us + train.ramp_off_us
    return np.array([(longest_us, train.lit_us, train.span_us, train.first_pulse_us, level, *limits)], PARAMETERS)


@kernel
def _lit_since(memory: Any, since: int) -> int:
    """Microseconds of light planned after `since`, the part of a train that lies after it included."""
    total = 0
    oldest = max(0, memory.count - _KEPT)
    for i in range(memory.count - 1, oldest - 1, -1):
        end = memory.end[i % _KEPT]
        if end <= since:
            break
        total += min(memory.lit[i % _KEPT], end - since)
    return total


@kernel
def _trains_since(memory: Any, since: int) -> int:
    oldest = max(0, memory.count - _KEPT)
    for i in range(memory.count - 1, oldest - 1, -1):
        if memory.start[i % _KEPT] <= since:
            return memory.count - 1 - i  # type: ignore[no-any-return]
    return memory.count - oldest  # type: ignore[no-any-return]


@kernel
def refusal(memory: Any, p: Any, ticks: int) -> int:
    """The Refusal for a train that would start at `ticks` (microseconds), or 0; changes nothing."""
    if p.on_us > p.limit_on_us:
        return Refusal.ON_TIME.value
    if p.level > p.limit_level:
        return Refusal.LEVEL.value
    if memory.count > 0 and ticks - memory.end[(memory.count - 1) % _KEPT] < p.limit_off_us:
        return Refusal.OFF_TIME.value
    if _trains_since(memory, ticks - 60_000_000) >= p.limit_trains_per_minute:
        return Refusal.TRAIN_RATE.value
    # The sum of a window is largest at some pulse's end. All of this train, and all that the window of its first
    # pulse's end still holds, is at least that, and the same for a train of one pulse.
    fall = ticks + p.first_pulse_us
    if _lit_since(memory, fall - p.limit_short_window_ms * 1000) + p.lit_us > p.limit_short_on_ms * 1000:
        return Refusal.DUTY_SHORT.value
    if _lit_since(memory, fall - p.limit_long_window_ms * 1000) + p.lit_us > p.limit_long_on_ms * 1000:
        return Refusal.DUTY_LONG.value
    return 0


@kernel
def spend(memory: Any, p: Any, ticks: int) -> None:
    """Enter a train that starts at `ticks` into the ledger, whether its light is real or sham."""
    at = memory.count % _KEPT
    memory.start[at] = ticks
    memory.end[at] = ticks + p.span_us
    memory.lit[at] = p.lit_us
    memory.count += 1
