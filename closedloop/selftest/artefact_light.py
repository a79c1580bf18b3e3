"""The light with which a rig's artefact is measured: equal pulses, far enough apart, within every limit. No I/O here.

The fibre is in a fluorescent slab, or in the tissue of an animal without opsin; never in one whose neurons light
inhibits, for that inhibition would be measured with the artefact.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from closedloop import wire
from closedloop.analysis.artefact import Take
from closedloop.clock import tick_difference
from closedloop.errors import ConfigError, DeviceError
from closedloop.readings import READING, Readings
from closedloop.selftest.bench import Bench
from closedloop.selftest.procedure import SETTLE_S, Turns, armed, counted, next_reading, until, until_over

BEFORE_S = 1.0
_LEAST_BEFORE = 30  # readings before a pulse: its noise is known to some 13 %
_LEAST_LIT = 3.5  # readings in a pulse, so that two are lit throughout
_SPARE = 1.05  # the board keeps its windows in buckets, and counts up to one too many
_SCATTER_S = 0.05  # so that pulses fall anywhere between readings, and anywhere on the mains
_GOLDEN = 0.6180339887498949  # its multiples scatter most evenly
_MOST_REFUSED = 3


class Wish(NamedTuple):
    """What a person asks for.

    Attributes:
        pulses: how many.
        on_s: each lit for so long.
        after_s: what is looked at after each.
        level: part of full power; None means the highest that the limits allow.
    """

    pulses: int = 60
    on_s: float = 0.5
    after_s: float = 2.0
    level: float | None = None


class Plan(NamedTuple):
    """What will be given; times in seconds, `level` in 1/65535 of full power."""

    pulses: int
    on_us: int
    level: int
    before_s: float
    after_s: float
    period_s: float

    @property
    def lit_s(self) -> float:
        """All light."""
        return self.pulses * self.on_us / 1e6

    @property
    def lasts_s(self) -> float:
        """From the first reading to the last, about."""
        return SETTLE_S + self.pulses * (self.period_s + _SCATTER_S / 2)


def plan(wish: Wish, limits: wire.Limits, rate_hz: float) -> Plan:
    """Pulses as wished for, as far apart as every limit needs them to be.

    Args:
        wish: what was asked for.
        limits: in force.
        rate_hz: readings a second.

    Raises:
        ConfigError: no such pulse may be given, or too few readings would see it.
    """
    on_us = round(max(wish.on_s, _LEAST_LIT / rate_hz) * 1e6)
    level = limits.level if wish.level is None else round(wish.level * 65_535)
    _refuse_beyond(on_us, level, limits, rate_hz)
    before_s = max(BEFORE_S, _LEAST_BEFORE / rate_hz)
    on_s, lit_s = on_us / 1e6, wish.pulses * on_us / 1e6
    apart_s = [before_s + on_s + wish.after_s, _SPARE * 60 / limits.trains_per_minute]
    for window_ms, most_ms in (
        (limits.short_window_ms, limits.short_on_ms),
        (limits.long_window_ms, limits.long_on_ms),
    ):
        if lit_s * 1e3 > most_ms:
            fit = math.floor(most_ms / 1e3 / on_s)  # pulses that may fall into one window
            apart_s.append(_SPARE * window_ms / 1e3 / max(1, fit))
    return Plan(wish.pulses, on_us, level, before_s, wish.after_s, max(apart_s))


def _refuse_beyond(on_us: int, level: int, limits: wire.Limits, rate_hz: float) -> None:
    least_ms = _LEAST_LIT / rate_hz * 1e3
    if on_us > limits.on_us:
        raise ConfigError(
            f"--on: pulses of {on_us / 1e3:g} ms are longer than the limit in force ({limits.on_us / 1e3:g} ms); "
            f"shorten them (at {rate_hz:g} readings a second {least_ms:.3g} ms at least), or measure more often"
        )
    if level > limits.level:
        raise ConfigError(
            f"--level: {level / 655.35:.3g} % is above the limit in force ({limits.level / 655.35:.3g} %); lower it"
        )
    if level < 1:
        raise ConfigError("--level: less than the board's smallest step (1/65535 of full power); raise it")
    if on_us / 1e3 > min(limits.short_on_ms, limits.long_on_ms):
        raise ConfigError("--on: one such pulse is more light than the rig's limits allow; shorten it")


class Hearer(Bench):
    """A bench that keeps every reading whole, and not only when it came."""

    def __init__(self, *given: object) -> None:
        super().__init__(*given)  # type: ignore[arg-type]
        self.readings: list[wire.Reading] = []

    def heard(self, board: str, messages: list[wire.Message], now_ns: int) -> None:
        """Take what a board said; see `Bench.heard`."""
        self.readings += [message for message in messages if isinstance(message, wire.Reading)]
        super().heard(board, messages, now_ns)


def procedure(bench: Bench, light: Plan, done: Callable[[], None]) -> Turns:
    """The pulses, one by one; `done` is called after each.

    Raises:
        DeviceError: the stimulator was not armed, tripped, or refuses.
    """
    yield from until(bench, lambda: False, SETTLE_S)
    if not (yield from armed(bench)):
        reasons = [wire.named(wire.Reason, why) for _, why in bench.record.states if why]
        raise DeviceError(f"the stimulator was not armed: {', '.join(reasons) or 'no answer'}; close the interlock")
    for number in range(light.pulses):
        began_ns = bench.now_ns
        yield from until(bench, lambda: False, light.before_s + _SCATTER_S * (number * _GOLDEN % 1))
        yield from next_reading(bench)
        shot = bench.fire("artefact", light.on_us, light.level)
        yield from until_over(bench, shot, light.on_us / 1e6 + 1)
        yield from until(bench, lambda: False, light.after_s + _SCATTER_S)
        rest_s = light.period_s - (bench.now_ns - began_ns) / 1e9
        yield from until(bench, lambda: False, rest_s)
        _unless_refused(bench)
        done()
    yield from counted(bench)


def _unless_refused(bench: Bench) -> None:
    if bench.record.trips:
        raise DeviceError(f"the stimulator tripped: {wire.named(wire.Reason, bench.record.trips[0][1])}")
    last = bench.record.shots[-_MOST_REFUSED:]
    if len(last) == _MOST_REFUSED and all(shot.refused is not None for shot in last):
        reason = wire.named(wire.Reason, last[-1].refused or 0)
        raise DeviceError(f"the stimulator refuses light: {reason}; wait ten minutes if it has given its dose already")


def take(bench: Hearer, light: Plan, settings: wire.StreamSettings) -> Take:
    """Readings and pulses on one clock, the DAQ's.

    Raises:
        DeviceError: no pulse was given, or the boards' clocks are not known.
    """
    readings = _rows(bench.readings)
    known = [(s.host_ns, tick) for s, tick in zip(bench.record.sights, readings["ticks"], strict=True) if s.host_ns]
    lit = [(s.on_ns, s.off_ns) for s in bench.record.of("artefact") if s.on_ns is not None and s.off_ns is not None]
    if not known or not lit:
        raise DeviceError("no pulse was given whose times are known; run closedloop selftest first")
    host_ns, ticks = np.array(known, np.float64).T
    host_ns, first = np.unique(host_ns, return_index=True)  # a fit that has moved may set two readings to one time
    pulses: npt.NDArray[np.int64] = np.rint(np.interp(np.array(lit, np.float64), host_ns, ticks[first])).astype(
        np.int64
    )
    return Take(readings, settings.rate_mhz / 1000, settings.nano_units, pulses, light.before_s, light.after_s)


def _rows(messages: list[wire.Reading]) -> Readings:
    """Readings as a recording has them; ticks from 0, wrap undone."""
    rows = np.zeros(len(messages), READING)
    ticks = 0
    for at, message in enumerate(messages):
        ticks += tick_difference(message.ticks, messages[at - 1].ticks) if at else 0
        rows[at] = (ticks, message.seq, *message[2:])
    return rows
