"""Is this reading fit to act on? Any doubt is a veto with its reason; nothing here repairs a signal.

Every rule judges by sample time and by past readings alone, in relative terms, so that volts, counts and camera
units are treated alike:

    gap         more than `longest_gap` since the last reading
    dropped     the converter lost part of the reading; or signal and control stand where the other one stood: one lost
                frame of a camera exchanges them for the rest of the session (PHOTOMETRY 1.7)
    saturated   the converter's top was reached
    flat        one and the same count for `flat_after`
    unplugged   the signal or the control fell by more than `largest_step` below its own slow level
    jump        ... or rose by as much
    no_signal   nothing but white noise so far, judged by windows of `presence_window`: no fibre, or no light in it
    below_dark  the signal's slow level is not above that of the LED off: no LED, or the two samples exchanged

A veto lasts until its cause has been gone for `settle`. A higher level that stays is accepted after `settle` and
everything learned before is forgotten (a fibre was plugged in); a lower one never is (it was unplugged). Measured on a
recording plugged in late and out early: unplugging is a fall of 46 % (signal) and 68 % (control), not of 100 %.
A control without light from the first reading on is no veto: what needs it does not know a value (nan) by itself, and
what does not may go on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from closedloop.model import Fraction, Model, Seconds, kernel
from closedloop.readings import FLAG_CONTROL_SATURATED, FLAG_DROPPED_CONVERSIONS, FLAG_SIGNAL_SATURATED
from closedloop.train import Refusal

RESTART = 64  # added to the verdict: forget all that was learned, the signal is another one now

_LEVEL_S = 10.0  # time constant of the slow level
_CANDIDATE_S = 2.0  # ... and of a level that may replace it
_SAME = 0.03  # levels this near to each other are one; channels less than twice as far apart cannot be told apart
_FAST_S = 0.05  # readings are averaged for so long before they are judged: noise is no jump
_JUDGED_S = 2.0  # the level is averaged for so long before anything is compared with it
_LONG_S = 10.0  # after a disturbance or gap of this length nothing learned before is trusted
_BLOCK_S = 0.5
_BLOCKS = 240
_WHITE = 0.7  # von Neumann ratio below which a trace has structure; white noise gives 1 +- 1/sqrt(blocks)


class Quality(Model):
    """When a signal is not fit to act on."""

    largest_step: Fraction = Field(0.3, gt=0, le=10, description="Largest believable change against the slow level.")
    settle: Seconds = Field(5.0, ge=0, description="A veto lasts this long after its cause has gone.")
    flat_after: Seconds = Field(0.5, gt=0, description="One and the same count for this long is no signal.")
    longest_gap: Seconds = Field(
        0.2, gt=0, description="Readings further apart than this, and than three periods, are a gap."
    )
    presence_window: Seconds | None = Field(
        None,
        ge=10,
        le=_BLOCKS * _BLOCK_S,
        description="Nothing may fire before two windows of this length in a row show more than white noise.",
    )


MEMORY = np.dtype(
    [
        ("count", "i8"),  # readings that made the level
        ("level", "f8"),
        ("control_level", "f8"),
        ("fast", "f8"),
        ("control_fast", "f8"),
        ("candidate", "f8"),
        ("control_candidate", "f8"),
        ("steady_since", "i8"),  # ticks since which the candidate has not moved; -1: none
        ("disturbed_since", "i8"),  # ticks; -1: not disturbed
        ("exchanged", "i8"),  # signal and control stand where the other one stood
        ("last_ticks", "i8"),
        ("last_count", "i4"),
        ("repeats", "i8"),
        ("until", "i8"),
        ("reason", "i8"),
        ("block_sum", "f8"),
        ("block_count", "i8"),
        ("blocks", "i8"),
        ("windows", "i8"),
        ("ring", "f8", (_BLOCKS,)),
        ("present", "u1"),
        ("started", "u1"),
    ],
    align=True,
)
PARAMETERS = np.dtype(
    [
        ("step", "f8"),
        ("settle_us", "i8"),
        ("flat_readings", "i8"),
        ("gap_us", "i8"),
        ("long_us", "i8"),
        ("full", "i8"),  # readings in the slow level's time constant
        ("alpha", "f8"),
        ("candidate_alpha", "f8"),
        ("fast_alpha", "f8"),
        ("judged", "i8"),
        ("block_readings", "i8"),
        ("window_blocks", "i8"),
    ],
    align=True,
)


def parameters(quality: Quality, rate_hz: float) -> Any:
    """One PARAMETERS record for readings at `rate_hz`."""
    window = quality.presence_window
    full = max(1, round(_LEVEL_S * rate_hz))
    return np.array(
        [
            (
                quality.largest_step,
                round(quality.settle * 1e6),
                max(8, round(quality.flat_after * rate_hz)),
                round(max(quality.longest_gap, 3 / rate_hz) * 1e6),
                round(_LONG_S * 1e6),
                full,
                1 / full,
                1 / (_CANDIDATE_S * rate_hz),
                min(1.0, 1 / (_FAST_S * rate_hz)),
                round(_JUDGED_S * rate_hz),
                max(1, round(_BLOCK_S * rate_hz)),
                0 if window is None else round(window / _BLOCK_S),
            )
        ],
        PARAMETERS,
    )


@kernel
def _deviates(value: float, level: float, step: float) -> int:
    """-1 fell, 1 rose, 0 neither; nan and a level that is not positive say nothing, see `_below_dark`."""
    if not level > 0.0 or not abs(value - level) > step * level:
        return 0
    return 1 if value > level else -1


@kernel
def _average(memory: Any, p: Any, signal: float, control: float) -> None:
    """Follow the slow level: plainly until the memory is full, then exponentially."""
    memory.count += 1
    alpha = p.alpha if memory.count >= p.full else 1.0 / memory.count
    memory.level += alpha * (signal - memory.level)
    memory.control_level += alpha * (control - memory.control_level)


@kernel
def _has_structure(ring: Any, blocks: int) -> bool:
    """Von Neumann ratio of block means: about 1 for white noise, far less for anything slow."""
    mean = 0.0
    for i in range(blocks):
        mean += ring[i] / blocks
    spread, steps = 0.0, 0.0
    for i in range(blocks):
        spread += (ring[i] - mean) ** 2
        if i > 0:
            steps += (ring[i] - ring[i - 1]) ** 2
    return steps < _WHITE * 2.0 * spread


@kernel
def _look_for_structure(memory: Any, p: Any, signal: float) -> None:
    """Two windows in a row must show it: a switch-on step alone, or chance, makes one."""
    memory.block_sum += signal
    memory.block_count += 1
    if memory.block_count < p.block_readings:
        return
    memory.ring[memory.blocks] = memory.block_sum / memory.block_count
    memory.block_sum = 0.0
    memory.block_count = 0
    memory.blocks += 1
    if memory.blocks < p.window_blocks:
        return
    memory.windows = memory.windows + 1 if _has_structure(memory.ring, memory.blocks) else 0
    memory.blocks = 0
    if memory.windows >= 2:
        memory.present = 1


@kernel
def _is_steady(memory: Any, p: Any, ticks: int, signal: float, control: float) -> bool:
    """While disturbed: is there a new level that has been steady for `settle`?"""
    moved = (
        memory.steady_since < 0
        or _deviates(signal, memory.candidate, p.step) != 0
        or _deviates(control, memory.control_candidate, p.step) != 0
    )
    if moved:
        memory.steady_since = ticks
        memory.candidate = signal
        memory.control_candidate = control
        return False
    memory.candidate += p.candidate_alpha * (signal - memory.candidate)
    memory.control_candidate += p.candidate_alpha * (control - memory.control_candidate)
    return ticks - memory.steady_since >= max(p.settle_us, p.long_us)  # type: ignore[no-any-return]


@kernel
def _is_lower(memory: Any, p: Any) -> bool:
    fell = _deviates(memory.candidate, memory.level, p.step) < 0
    return fell or _deviates(memory.control_candidate, memory.control_level, p.step) < 0


@kernel
def _are_exchanged(memory: Any, signal: float, control: float) -> bool:
    """Whether signal and control took each other's level, and the brighter one has been the darker one ever since."""
    level, control_level = memory.level, memory.control_level
    if not (signal - control) * (level - control_level) < 0.0:
        memory.exchanged = 0
    elif memory.exchanged == 0:
        apart = abs(level - control_level) > 2.0 * _SAME * max(level, control_level)
        crossed = abs(signal - control_level) < _SAME * control_level and abs(control - level) < _SAME * level
        memory.exchanged = apart and crossed
    return memory.exchanged != 0  # type: ignore[no-any-return]


@kernel
def _cause(exchanged: bool, fell: bool) -> int:
    if exchanged:
        return Refusal.DROPPED.value
    return Refusal.UNPLUGGED.value if fell else Refusal.JUMP.value


@kernel
def _veto(memory: Any, ticks: int, settle_us: int, reason: int) -> int:
    memory.until = ticks + settle_us
    memory.reason = reason
    return reason


@kernel
def _below_dark(memory: Any, p: Any, ticks: int, signal: float, control: float) -> int:
    """Where there is no level to compare with: one that is positive and steady is accepted."""
    if not signal > 0.0:
        memory.steady_since = -1
        _average(memory, p, signal, control)
    elif _is_steady(memory, p, ticks, signal, control):
        return RESTART
    return _veto(memory, ticks, p.settle_us, Refusal.BELOW_DARK.value)


@kernel
def _level_verdict(memory: Any, p: Any, ticks: int, new_signal: float, new_control: float) -> int:
    if memory.count < p.judged:
        _average(memory, p, new_signal, new_control)
        memory.fast = memory.level
        memory.control_fast = memory.control_level
        return 0
    memory.fast += p.fast_alpha * (new_signal - memory.fast)
    memory.control_fast += p.fast_alpha * (new_control - memory.control_fast)
    signal, control = memory.fast, memory.control_fast
    if not memory.level > 0.0:
        return _below_dark(memory, p, ticks, signal, control)
    moved = _deviates(signal, memory.level, p.step)
    control_moved = _deviates(control, memory.control_level, p.step)
    exchanged = _are_exchanged(memory, signal, control)
    if moved == 0 and control_moved == 0 and not exchanged:
        lasted = ticks - memory.disturbed_since if memory.disturbed_since >= 0 else 0
        memory.disturbed_since = -1
        memory.steady_since = -1
        _average(memory, p, signal, control)
        return RESTART if lasted > p.long_us else 0
    if memory.disturbed_since < 0:
        memory.disturbed_since = ticks
    if _is_steady(memory, p, ticks, signal, control) and not exchanged and not _is_lower(memory, p):
        return RESTART
    return _veto(memory, ticks, p.settle_us, _cause(exchanged, moved < 0 or control_moved < 0))


@kernel
def _start(memory: Any, ticks: int) -> None:
    memory.started = 1
    memory.last_ticks = ticks
    memory.disturbed_since = -1
    memory.steady_since = -1


@kernel
def _reading_verdict(memory: Any, p: Any, count: int, flags: int) -> int:
    """What is wrong with the reading by itself."""
    memory.repeats = memory.repeats + 1 if count == memory.last_count else 0
    memory.last_count = count
    if flags & (FLAG_SIGNAL_SATURATED | FLAG_CONTROL_SATURATED):
        return Refusal.SATURATED.value
    if flags & FLAG_DROPPED_CONVERSIONS:
        return Refusal.DROPPED.value
    return Refusal.FLAT.value if memory.repeats >= p.flat_readings else 0


@kernel
def verdict(memory: Any, p: Any, ticks: int, count: int, flags: int, signal: float, control: float, own: bool) -> int:
    """The Refusal for acting on this reading, 0 for none, with RESTART added where memory must be made fresh.

    Under our own light, and until its artefact is over, only a gap is judged: the rest would judge the light.

    Args:
        memory: one MEMORY record, all zero at the start.
        p: one PARAMETERS record.
        ticks: microseconds.
        count: the signal's raw count with the LED on.
        flags: readings.FLAG_...
        signal: in the stream's units, LED off subtracted.
        control: the same, nan where there is none.
        own: our own light is on, or its artefact is not over.
    """
    if memory.started == 0:
        _start(memory, ticks)
    gap_us = ticks - memory.last_ticks
    memory.last_ticks = ticks
    if gap_us > p.gap_us:
        reason = _veto(memory, ticks, p.settle_us, Refusal.GAP.value)
        return reason + (RESTART if gap_us > p.long_us else 0)
    if own:
        memory.repeats = 0
        return memory.reason if ticks < memory.until else 0
    cause = _reading_verdict(memory, p, count, flags)
    if cause != 0:
        return _veto(memory, ticks, p.settle_us, cause)
    level = _level_verdict(memory, p, ticks, signal, control)
    if level != 0:
        return level
    absent = p.window_blocks > 0 and memory.present == 0
    if absent:
        _look_for_structure(memory, p, signal)
    if ticks < memory.until:
        return memory.reason  # type: ignore[no-any-return]
    return Refusal.NO_SIGNAL.value if absent else 0
