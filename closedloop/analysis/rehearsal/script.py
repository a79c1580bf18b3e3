"""A study with its protocols and a simulated rig, ready to be rehearsed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from closedloop.analysis.rehearsal.animals import state_of
from closedloop.errors import ConfigError
from closedloop.protocol import Protocol, load_protocol
from closedloop.rig import Rig, load_rig
from closedloop.simulation import Simulation
from closedloop.study import Arm, Phase, Study, file_of, load_study

_ANCHOR = "configs/anchors/simulated.json"
NO_ARM = "-"  # of phases in which the protocol's own policy stands


@dataclass(frozen=True)
class Script:
    """A study, ready to be rehearsed.

    Attributes:
        path: of the study file.
        study: what is in it.
        rig: a simulated one.
        protocols: by phase.
        duration_s: of each session; None for the protocols'.
    """

    path: Path
    study: Study
    rig: Rig
    protocols: dict[str, Protocol]
    duration_s: float | None = None

    @property
    def simulation(self) -> Simulation:
        """What stands in for the hardware."""
        return self.rig.simulation or Simulation()

    def arms(self, phase: Phase) -> list[str]:
        """Names of the arms of a phase, those that others are yoked to first."""
        if not phase.arms:
            return [NO_ARM]
        return [arm.name for arm in sorted(self.study.arms, key=lambda arm: arm.yoked_to is not None)]

    def arm(self, name: str) -> Arm | None:
        """The arm of this name; None of NO_ARM."""
        return next((arm for arm in self.study.arms if arm.name == name), None)

    def state(self, phase: str) -> str:
        """What its animals are in."""
        return state_of(self.simulation.animal, phase)

    def readings(self, animals: int) -> int:
        """Of one rehearsal of the whole."""
        each = sum(
            len(self.arms(slot.phase))
            * round((self.duration_s or self.protocols[slot.phase.name].lasts_s) * self.rate_hz)
            for slot in self.study.slots
        )
        return animals * each

    @property
    def rate_hz(self) -> float:
        """Readings a second."""
        return self.rig.daq.rate


def read(path: Path, rig: str | None = None, duration_s: float | None = None, anchor: Path | None = None) -> Script:
    """A study with its protocols and a simulated rig.

    Args:
        path: of the study file.
        rig: in place of the study's.
        duration_s: of each session, in place of the protocols'.
        anchor: of all virtual animals, in phases that use one; None for what the protocols have.

    Raises:
        ConfigError: one line a problem.
    """
    study = load_study(path)
    found = load_rig(rig) if rig is not None else load_rig(str(file_of(study.rig, "rigs", path)))
    if found.simulation is None:
        said = f"{path}: rig: {found.name} is no simulated rig, and a rehearsal needs virtual animals"
        raise ConfigError(f"{said}; name one with --rig, such as --rig simulated_cpp")
    protocols = {one.name: _protocol(one, path, anchor) for one in study.phases}
    arena = found.simulation.arena
    if wrong := arena.input_problems(found.inputs) if arena else []:
        raise ConfigError(*(f"{found.name}: {one}" for one in wrong))
    return Script(path, study, found, protocols, duration_s)


def _protocol(phase: Phase, path: Path, anchor: Path | None) -> Protocol:
    given = [f"anchor={anchor.absolute()}"] if anchor is not None and phase.anchor == "uses" else []
    try:
        return load_protocol(str(file_of(phase.protocol, "protocols", path)), given)
    except ConfigError as error:
        if anchor is not None or not any("anchor" in problem for problem in error.problems):
            raise
        said = f"{path}: phase {phase.name}: give the virtual animals an anchor, such as --anchor {_ANCHOR}"
        raise ConfigError(*error.problems, said) from error
