"""Whether a train that is wanted may begin, and what is remembered once it does: all on sample time, in one place.

The reasons against it come in a fixed order, and the first is the one recorded. Nothing here wants a train.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from closedloop import dose, limits, schedule
from closedloop.model import kernel
from closedloop.train import Refusal

STATE = np.dtype(
    [
        ("started", "i8"),
        ("first", "i8"),
        ("warm_from", "i8"),
        ("frozen_until", "i8"),
        ("resting_until", "i8"),
        ("train", "i8"),
        ("restarted", "i8"),
        ("began", "i8"),  # first light of the last train, by plan
        ("asked", "i8"),
        ("unclean", "i8"),  # the last reading was light, its artefact, or vetoed
        ("latched", "i8"),  # Refusal: the limit of the session that was reached
        ("block", "i8"),
        ("rules", "i8"),  # the block whose rests and bounds hold: the last one's, too, once it is over
    ],
    align=True,
)
SESSION = np.dtype(
    [
        ("scale", "f8"),
        ("warm_up_us", "i8"),
        ("recovery_us", "i8"),
        ("lit_recovery_us", "i8"),  # after delivered light
        ("span_us", "i8"),
        ("fire_code", "i8"),
        ("sham_code", "i8"),
        ("test_code", "i8"),
    ],
    align=True,
)

NEVER = 1 << 62
_LATE_US = 20_000  # so much later than planned light may be; the TTL copy tells of any that is later still


@kernel
def reason(  # noqa: C901 - the reasons in their order, in one place
    memory: Any, parameters: Any, score: float, ticks: int, start: int, veto: int
) -> int:
    """Refusal for a train that is wanted at this reading, with its first light at `start`; or 0."""
    state, p, schedule_p = memory.state, parameters.session, parameters.schedule
    if state.block == schedule.OVER:
        return Refusal.ENDED.value
    if ticks - state.warm_from < p.warm_up_us:
        return Refusal.WARM_UP.value
    if memory.schedule.paused != 0:
        return Refusal.PAUSED.value
    if veto != 0:
        return veto
    if np.isnan(score):
        return Refusal.UNKNOWN_SCORE.value
    if memory.gates.open == 0:
        return Refusal.GATE.value
    if start < state.resting_until or start - state.began < schedule_p.least_interval_us[state.rules]:
        return Refusal.REFRACTORY.value
    if state.latched == 0:
        over = dose.refusal(memory.dose, parameters.dose)
        if over != 0:
            return over
    return limits.refusal(memory.ledger, parameters.train, start)


@kernel
def commit(memory: Any, parameters: Any, start: int) -> None:
    """A train is given, or kept dark by its arm; its first light is at `start`, by plan."""
    state, p = memory.state, parameters.session
    limits.spend(memory.ledger, parameters.train, start)
    dose.spend(memory.dose, parameters.dose, start)
    memory.schedule.trains += 1
    state.began = start
    state.frozen_until = max(state.frozen_until, start + p.span_us + _LATE_US + p.recovery_us)
    state.resting_until = start + p.span_us + parameters.schedule.refractory_us[state.rules]


@kernel
def wanted_in_truth(state: Any, p: Any, wanted: int) -> int:
    """The test pulse that a person asked for, where nothing else is wanted; sham for light once a limit is reached."""
    if wanted == 0 and state.asked != 0:
        state.asked = 0
        return p.test_code  # type: ignore[no-any-return]
    if state.latched != 0 and wanted == p.fire_code:
        return p.sham_code  # type: ignore[no-any-return]
    return wanted


@kernel
def latch(state: Any, p: Any, wanted: int, refused: int) -> int:
    """Remember the first limit of the session that was reached; the reason, or that limit for a test pulse after it."""
    if Refusal.DOSE_TRAINS.value <= refused <= Refusal.DOSE_ENERGY.value:
        state.latched = refused
    elif refused == 0 and state.latched != 0 and wanted == p.test_code:
        return state.latched  # type: ignore[no-any-return]
    return refused


@kernel
def enter(memory: Any, parameters: Any, block: int) -> None:
    """The bounds of the score that belong to this block."""
    state, crossing_p, schedule_p = memory.state, parameters.crossing, parameters.schedule
    state.block = block
    if block != schedule.OVER:
        state.rules = block
        crossing_p.threshold = schedule_p.threshold[block]
        crossing_p.release = schedule_p.release[block]
