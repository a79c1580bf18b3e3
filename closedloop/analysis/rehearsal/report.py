"""A rehearsal in numbers: doses, their match, triggers and preference by phase and arm, and power. It shows nothing.

The reference of a phase is its closed-loop arm, for doses; and its sham arm, for preference: what light did.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from closedloop.analysis.rehearsal.driver import Rehearsed
from closedloop.analysis.rehearsal.power import STUDIES, P, Power, power
from closedloop.analysis.rehearsal.whole import Key, Whole
from closedloop.errors import ConfigError
from closedloop.simulation.arena import Arena

ASSUMED = (
    "Virtual animals under an assumed effect of light: a trial of the design, no finding. "
    "Animals, their spread and the effect are made up."
)
MATCH = 0.05  # doses within this part of the reference's count as matched

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """One phase and arm under one assumed effect; means over animals, each over its sessions.

    Attributes:
        effect: assumed change of preference for each second of full light, as a part.
        phase: of the study.
        arm: or - where the protocol's own policy stands.
        state: what the animals are in.
        animals: virtual ones.
        sessions: of each.
        detections_per_min: of the loop.
        planned: trains a session that were decided on and not refused, lit or dark by the arm.
        trains: delivered, a session.
        on_s: light a session.
        energy_mj: a session; None without calibration.
        refused_gate: of those decided on, the part refused because a gate was shut; None where nothing was.
        planned_match: planned trains against the closed-loop arm's, as a ratio of means; None where it has none.
        on_match: the same of delivered light.
        preference: part of the time on the sides that is spent in the chamber asked about; None without an arena.
        preference_sd: between animals.
    """

    effect: float
    phase: str
    arm: str
    state: str
    animals: int
    sessions: int
    detections_per_min: float
    planned: float
    trains: float
    on_s: float
    energy_mj: float | None
    refused_gate: float | None
    planned_match: float | None
    on_match: float | None
    preference: float | None
    preference_sd: float | None


@dataclass(frozen=True)
class Contrast:
    """Power of one arm against the reference arm, in one phase, under one assumed effect."""

    effect: float
    phase: str
    arm: str
    against: str
    difference: float | None
    power: tuple[Power, ...]


@dataclass(frozen=True)
class Report:
    """The numbers of a rehearsal.

    Args:
        whole: what was rehearsed.
        chamber: whose share of the time is the outcome.
    """

    whole: Whole
    chamber: str | None

    @property
    def _phases(self) -> list[str]:
        return [phase.name for phase in self.whole.script.study.phases]

    def _arms(self, phase: str) -> list[str]:
        study = self.whole.script.study
        return self.whole.script.arms(next(one for one in study.phases if one.name == phase))

    def _kind(self, arm: str) -> str:
        found = self.whole.script.arm(arm)
        return "" if found is None else str(found.policy.get("kind"))

    def _first(self, arms: list[str], kind: str) -> str:
        return next((arm for arm in arms if self._kind(arm) == kind), arms[0])

    def _sessions(self, effect: float, phase: str, arm: str) -> dict[Key, Rehearsed]:
        """In the order of animals and sessions."""
        return {
            key: one
            for key, one in sorted(self.whole.sessions.items())
            if (key.effect, key.phase, key.arm) == (effect, phase, arm)
        }

    def outcome(self, effect: float, phase: str, arm: str) -> Floats:
        """Preference of each animal, the mean over its sessions; nan where it was on neither side."""
        found = np.full((self.whole.animals, len(self._slots(phase))), np.nan)
        for key, one in self._sessions(effect, phase, arm).items():
            found[key.animal, key.session - 1] = self.preference(one)
        known = np.isfinite(found)
        total = np.where(known, found, 0.0).sum(axis=1)
        mean: Floats = np.divide(total, known.sum(axis=1), out=np.full(len(found), np.nan), where=known.any(axis=1))
        return mean

    def _slots(self, phase: str) -> list[int]:
        return [slot.session for slot in self.whole.script.study.slots if slot.phase.name == phase]

    def preference(self, session: Rehearsed) -> float:
        """Part of the time on the sides that is spent in the chamber asked about."""
        arena = self.whole.script.simulation.arena
        if arena is None or self.chamber is None:
            return float("nan")
        sides = sum(spent for name, spent in session.occupancy_s.items() if name != arena.passage)
        return session.occupancy_s[self.chamber] / sides if sides > 0 else float("nan")

    @cached_property
    def rows(self) -> list[Row]:
        """By effect, phase and arm."""
        return [
            self._row(effect, phase, arm)
            for effect in self.whole.effects
            for phase in self._phases
            for arm in self._arms(phase)
        ]

    def _row(self, effect: float, phase: str, arm: str) -> Row:
        arms = self._arms(phase)
        sessions = list(self._sessions(effect, phase, arm).values())
        others = list(self._sessions(effect, phase, self._first(arms, "closed_loop")).values())
        liked = self.outcome(effect, phase, arm)
        liked = liked[np.isfinite(liked)]
        on_s, planned = _mean([one.on_s for one in sessions]), _mean([one.planned for one in sessions])
        energy = [one.energy_mj for one in sessions if one.energy_mj is not None]
        return Row(
            effect=effect,
            phase=phase,
            arm=arm,
            state=self.whole.script.state(phase),
            animals=self.whole.animals,
            sessions=len(self._slots(phase)),
            detections_per_min=_mean([60 * one.detections / one.duration_s for one in sessions]),
            planned=planned,
            trains=_mean([len(one.starts_us) for one in sessions]),
            on_s=on_s,
            energy_mj=_mean(energy) if energy else None,
            refused_gate=_gated(sessions),
            planned_match=_ratio(planned, _mean([one.planned for one in others])) if len(arms) > 1 else None,
            on_match=_ratio(on_s, _mean([one.on_s for one in others])) if len(arms) > 1 else None,
            preference=_mean(liked) if len(liked) else None,
            preference_sd=float(np.std(liked, ddof=1)) if len(liked) > 1 else None,
        )

    @property
    def idle(self) -> list[str]:
        """Phases with arms in which no train was planned in any of them: nothing is compared there."""
        planned = {row.phase: 0.0 for row in self.rows if len(self._arms(row.phase)) > 1}
        for row in self.rows:
            if row.phase in planned:
                planned[row.phase] += row.planned
        return [phase for phase, count in planned.items() if not count]

    @cached_property
    def contrasts(self) -> list[Contrast]:
        """Each arm against the sham arm (or the first), in each phase with arms; none without an arena."""
        if self.chamber is None:
            return []
        return [
            self._contrast(effect, phase, arm, against)
            for effect in self.whole.effects
            for phase in self._phases
            if len(arms := self._arms(phase)) > 1
            for against in [self._first(arms, "sham")]
            for arm in arms
            if arm != against
        ]

    def _contrast(self, effect: float, phase: str, arm: str, against: str) -> Contrast:
        one, other = self.outcome(effect, phase, arm), self.outcome(effect, phase, against)
        known = np.isfinite(one) & np.isfinite(other)
        difference = _mean((one - other)[known]) if known.any() else None
        return Contrast(effect, phase, arm, against, difference, tuple(power(one, other, self.whole.seed)))

    def as_dict(self) -> dict[str, Any]:
        """All of it, for --json; the same for the same study and seed."""
        whole = self.whole
        return {
            "study": whole.script.study.name,
            "rig": whole.script.rig.name,
            "assumed": ASSUMED,
            "animals": whole.animals,
            "seed": whole.seed,
            "effects": list(whole.effects),
            "spread": whole.spread._asdict(),
            "chamber": self.chamber,
            "readings": len(whole.effects) * whole.script.readings(whole.animals),
            "idle": self.idle,
            "rows": [asdict(row) for row in self.rows],
            "power": {"test": "Welch", "p": P, "simulated_studies": STUDIES, "contrasts": self._powers()},
        }

    def _powers(self) -> list[dict[str, Any]]:
        return [asdict(one) | {"power": [size._asdict() for size in one.power]} for one in self.contrasts]


def outcome_chamber(arena: Arena | None, gated: list[str], asked: str | None) -> str | None:
    """The chamber whose share of the time is the outcome: the one asked for, else one that gates light, else the first.

    Raises:
        ConfigError: there is no such chamber.
    """
    if arena is None:
        if asked is not None:
            raise ConfigError(
                f"--chamber: the rig has no arena (got {asked}); name a rig with one: --rig simulated_cpp"
            )
        return None
    if asked is not None and asked not in arena.chambers:
        raise ConfigError(f"--chamber: no chamber is called so (got {asked}); chambers are {_list(arena)}")
    gating = [name for name in gated if name in arena.chambers]
    return asked or next(iter(gating), arena.chambers[0])


def _list(arena: Arena) -> str:
    return ", ".join(arena.chambers)


def _mean(values: Any) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _ratio(one: float, other: float) -> float | None:
    return one / other if other > 0 else None


def _gated(sessions: list[Rehearsed]) -> float | None:
    """Part of what was decided on that a shut gate refused."""
    shut = sum(one.refused.get("gate", 0) for one in sessions)
    asked = sum(one.planned for one in sessions) + sum(sum(one.refused.values()) for one in sessions)
    return shut / asked if asked else None
