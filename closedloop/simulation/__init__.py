"""The simulated rig: a virtual animal and virtual boards behind real ports. They speak bytes, like the real ones.

Nothing outside this package may know that a board is virtual; whoever opens its port can't tell.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from closedloop.model import Model
from closedloop.simulation.animal import Animal
from closedloop.simulation.arena import Arena
from closedloop.simulation.faults import Faults


class Simulation(Model):
    """What stands in for the hardware: the `simulation` section of a rig file."""

    animal: Animal = Field(default_factory=lambda: Animal(preset="demo"), description="The virtual animal.")
    arena: Arena | None = Field(
        None, description="Chambers, levers and beams that move the rig's digital inputs; none: they stay low."
    )
    transport: Literal["auto", "pty", "tcp"] = Field(
        "auto", description="Pseudo-terminals (not on Windows) or TCP on this computer; auto takes the first it can."
    )
    clock_drift_ppm: float = Field(
        0.0, ge=-1000, le=1000, description="How much faster the stimulator's clock runs than the DAQ's, in 1e-6."
    )
    faults: Faults = Field(default_factory=Faults, description="What goes wrong, for tests.")
