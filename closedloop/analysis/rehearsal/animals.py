"""Virtual animals drawn around a rig's: they differ in how often and how much their neurons fire, and what they prefer.

How much animals differ is assumed, like the animals themselves; it decides how many of them a study takes, so it is
said in every report. In a phase that is called by a state of the rig's animal, the animal is in that state all the
session; in one that is called by the last state of its script (`re_exposure`), or by none, it goes through the script.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from closedloop.simulation.animal_model import Animal, Phase, State
from closedloop.simulation.arena import Arena

SCRIPT = "script"  # in place of a state's name
_RATE_MAX, _GAIN_MAX = 600.0, 100.0  # of the animal's model
_PREFERENCE = (0.05, 20.0)  # of the arena's


class Spread(NamedTuple):
    """SD, between animals, of the logarithm of each; ASSUMED."""

    rate: float = 0.3
    gain: float = 0.2
    preference: float = 0.25


SPREAD = Spread()


class Drawn(NamedTuple):
    """One virtual animal; the arena with its own preferences, if there is an arena."""

    animal: Animal
    arena: Arena | None


def draw(animal: Animal, arena: Arena | None, count: int, seed: int, spread: Spread) -> list[Drawn]:
    """So many animals; the first of more are the same as those of fewer."""
    seeds = np.random.SeedSequence([seed, 2]).spawn(count)
    return [_one(animal, arena, np.random.default_rng(one), spread) for one in seeds]


def _one(animal: Animal, arena: Arena | None, random: np.random.Generator, spread: Spread) -> Drawn:
    rate, gain = np.exp(np.array([spread.rate, spread.gain]) * random.standard_normal(2)).tolist()
    states = {name: _changed(state, rate, gain) for name, state in animal.states.items()}
    own = animal.model_copy(update={"states": states})
    if arena is None:
        return Drawn(own, None)
    sides = [name for name in arena.chambers if name != arena.passage]
    factors = np.exp(spread.preference * random.standard_normal(len(sides))).tolist()
    least, most = _PREFERENCE
    liked = {
        name: min(max(arena.preference.get(name, 1.0) * factor, least), most)
        for name, factor in zip(sides, factors, strict=True)
    }
    return Drawn(own, arena.model_copy(update={"preference": arena.preference | liked}))


def _changed(state: State, rate: float, gain: float) -> State:
    return state.model_copy(
        update={"event_rate": min(state.event_rate * rate, _RATE_MAX), "gain": min(state.gain * gain, _GAIN_MAX)}
    )


def state_of(animal: Animal, phase: str) -> str:
    """The state an animal is in during a phase of this name, or SCRIPT."""
    said = _letters(phase)
    named = [name for name in animal.states if _letters(name) in said and name != animal.sequence[-1].state]
    return max(named, key=len, default=SCRIPT)


def in_phase(animal: Animal, phase: str) -> Animal:
    """The animal in a session of this phase."""
    state = state_of(animal, phase)
    if state == SCRIPT:
        return animal
    return animal.model_copy(update={"sequence": (Phase(state=state, lasts=3600.0),), "dwell": "fixed"})


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())
