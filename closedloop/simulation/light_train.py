"""When a train's level changes: the twin of firmware/core/train.c. It plans; the interlock decides."""

from __future__ import annotations

from collections.abc import Iterator

from closedloop.wire import Fire

SHORTEST_ON_US = 50  # what an output compare can end after it has begun
LONGEST_TRAIN_US = 1 << 31  # beyond this, differences of wrapping ticks are ambiguous
LONGEST_WAIT_US = 10_000_000  # a start may be scheduled this far ahead
RAMP_STEP_US = 1_000


def is_sound(fire: Fire, off_us: int) -> bool:
    """Whether these times add up to a train that a board could follow."""
    if fire.on_us < SHORTEST_ON_US or fire.pulses == 0:
        return False
    if fire.pulses == 1:
        return True
    gap_us = fire.period_us - fire.on_us
    return gap_us > 0 and gap_us >= off_us and fire.period_us * fire.pulses <= LONGEST_TRAIN_US


def edges_of(fire: Fire, start_us: int) -> Iterator[tuple[int, int]]:
    """Every change of level of a train, as (device time, level from 0 to 65535); the ramp falls in steps of 1 ms."""
    for pulse in range(fire.pulses - 1):
        rise_us = start_us + pulse * fire.period_us
        yield rise_us, fire.level
        yield rise_us + fire.on_us, 0
    last_us = start_us + (fire.pulses - 1) * fire.period_us
    yield last_us, fire.level
    fall_us = last_us + fire.on_us
    steps = -(-fire.ramp_off_us // RAMP_STEP_US)
    for step in range(1, steps):
        yield fall_us + step * RAMP_STEP_US, max(1, fire.level * (steps - step) // steps)
    yield fall_us + fire.ramp_off_us, 0
