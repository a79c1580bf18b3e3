"""A fluorescent slab in place of a virtual animal: the same fibre, filters and converter, and nothing that lives.

What light does to the signal is measured here, as on a bench (SCIENCE 4.3), because in an animal inhibition would be
measured with it.
"""

from __future__ import annotations

from closedloop.simulation.animal_model import Animal, Blood, Inhibition, Motion, Phase, State


def slab(animal: Animal) -> Animal:
    """The same optics and electronics without neurons, blood and movement; bleaching and white noise stay."""
    still = {
        "states": {"slab": State(event_rate=0.0)},
        "sequence": (Phase(state="slab", lasts=3600.0),),
        "motion": Motion(wander=0.0, dip_rate=0.0),
        "blood": Blood(wander=0.0),
        "noise": animal.noise.model_copy(update={"red": 0.0}),
        "inhibition": Inhibition(efficacy=0.0),
    }
    return animal.model_copy(update=still)
