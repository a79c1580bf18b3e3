"""A study file: animals, arms, phases and how animals come to arms. What it says is checked here; nothing is drawn.

Arms differ in nothing but their `policy`: everything else is the phase's protocol, the same in every arm. Which
animal is in which arm is never in this file: `closedloop randomise` draws it (SCIENCE 2.1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from closedloop.arm_policy import ANIMAL, OWN, PARTNER, Problem, placeholders, refuse
from closedloop.errors import ConfigError
from closedloop.model import Model
from closedloop.study_parts import SOME, AllocationRule, Animal, Arm, Phase, Slot
from closedloop.yaml_file import load, resolve
from closedloop.yaml_tree import Place, read

__all__ = ["AllocationRule", "Animal", "Arm", "Phase", "Slot", "Study", "file_of", "load_study"]


_MOST_CELLS = 512  # combinations of counterbalanced levels; each is looked at for each animal


class Study(Model):
    """A study: what is done to whom, when."""

    version: Literal[1] = Field(description="Of this file's format.")
    name: str = Field(min_length=1, max_length=80, examples=["my_study"], description="Shown wherever the study is.")
    description: str = Field("", description="For people.")
    seed: int | None = Field(
        None, ge=0, le=2**53, description="Of the allocation; left out, one is drawn and sealed with the key."
    )
    blind: bool = Field(True, description="Whether nobody is to see an animal's arm before closedloop unblind.")
    rig: str = Field(min_length=1, examples=["simulated"], description="A path, or a bare name in configs/.")
    data: str = Field("closedloop-data", min_length=1, description="Folder of its sessions, from this file's own.")
    anchor: str | None = Field(
        None, examples=["anchors/{animal}.json"], description="Pattern of the animals' anchors; {animal} is its id."
    )
    animals: tuple[Animal, ...] = Field(
        examples=["[{id: M01, start: 2026-03-02}]"], json_schema_extra=SOME, description="In the order they came."
    )
    arms: tuple[Arm, ...] = Field(
        examples=["[{name: sham, policy: {kind: sham}}]"],
        json_schema_extra=SOME,
        description="What is compared; they differ in their policy alone.",
    )
    phases: tuple[Phase, ...] = Field(
        examples=["[{name: baseline, days: 0, protocol: baseline}]"],
        json_schema_extra=SOME,
        description="The timeline.",
    )
    allocation: AllocationRule = Field(default_factory=AllocationRule, description="How animals come to arms.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        empty: list[Problem] = [
            ((), f"{field} are none; add one") for field in ("animals", "arms", "phases") if not getattr(self, field)
        ]
        refuse(self, empty)
        rules = (self._animals, self._anchors, self._yoking, self._names, self._days, self._rule)
        refuse(self, [problem for rule in rules for problem in rule()])
        return self

    def _animals(self) -> Iterator[Problem]:
        for at, count in _repeated([animal.id for animal in self.animals]):
            yield ("animals", at), f"id is used {count} times; each animal has its own"
        if len(self.animals) < len(self.arms):
            yield (), f"animals are {len(self.animals)}, fewer than the {len(self.arms)} arms; add animals"

    def _anchors(self) -> Iterator[Problem]:
        for at, animal in enumerate(self.animals):
            yield from _braces(("animals", at), "anchor", animal.anchor)
        yield from _braces((), "anchor", self.anchor)
        if self.anchor is not None and "{animal}" not in self.anchor and len(self.animals) > 1:
            yield (), "anchor is one file for all animals, and each has its own; write anchors/{animal}.json"

    def _yoking(self) -> Iterator[Problem]:
        sources = {arm.name for arm in self.arms if arm.yoked_to is None}
        for at, arm in enumerate(self.arms):
            if arm.yoked_to is not None and arm.yoked_to not in sources:
                known = " or ".join(sorted(sources))
                yield ("arms", at), f"yoked_to must be an arm that is not yoked itself; use {known}"
            if arm.yoked_to is not None and PARTNER not in arm.placeholders:
                yield ("arms", at), "yoked_to has no use without {partner} in the policy; write partner: '{partner}'"
            for said in arm.placeholders:
                if problem := self._meaningless(said, arm):
                    yield ("arms", at, "policy"), f"names {{{said}}}, {problem}"

    def _meaningless(self, placeholder: str, arm: Arm) -> str:
        """Why a placeholder of an arm's policy can't be filled in; empty if it can."""
        if placeholder == PARTNER:
            return "" if arm.yoked_to else "and the arm has none; add 'yoked_to: ARM' beside policy"
        if placeholder.startswith(OWN):
            first = min((day for phase in self.phases if phase.arms for day in phase.days), default=0)
            early = [phase.name for phase in self.phases if phase.days[-1] < first]
            there = placeholder.removeprefix(OWN).strip() in early
            return "" if there else f"and no phase before those with arms is called so; {_known(early)}"
        return "" if placeholder == ANIMAL else "which means nothing; use {partner}, {animal} or {own: PHASE}"

    def _names(self) -> Iterator[Problem]:
        for field, names in (("arms", [a.name for a in self.arms]), ("phases", [p.name for p in self.phases])):
            for at, count in _repeated(names):
                yield (field, at), f"name is used {count} times; each has its own"
        plain = {phase.name for phase in self.phases}
        for at, phase in enumerate(self.phases):
            for label in (phase.label(one) for one in phase.conditions):
                if label in plain:
                    yield ("phases", at), f"conditions make a phase '{label}', which is there already; rename one"

    def _days(self) -> Iterator[Problem]:
        """Two sessions of one animal on one day are two phases that cannot be told apart."""
        taken: dict[int, str] = {}
        for at, phase in enumerate(self.phases):
            for day in phase.days:
                if (other := taken.setdefault(day, phase.name)) != phase.name:
                    yield ("phases", at), f"days has day {day} of '{other}', too; give it another, one session a day"
        if not any(phase.arms for phase in self.phases):
            yield (
                (),
                "phases have arms nowhere, so nothing would differ; add 'arms: yes' to some",
            )

    def _rule(self) -> Iterator[Problem]:
        rule, shares = self.allocation, sum(arm.share for arm in self.arms)
        if rule.block is not None and rule.block % shares:
            yield ("allocation",), f"block must be a multiple of all arms' shares, {shares}; make it {shares}"
        if rule.block is not None and rule.method == "complete":
            yield ("allocation",), "block has no use with method complete; take one of them out"
        if prod(len(levels) for levels in rule.counterbalance.values()) > _MOST_CELLS:
            yield ("allocation",), f"counterbalance has more than {_MOST_CELLS} combinations; take some factors out"
        for name in rule.stratify:
            lacking = [animal.id for animal in self.animals if animal.trait(name) is None]
            if lacking:
                yield ("allocation",), f"stratify names {name}, which {lacking[0]} does not have; add it to its traits"

    def arm(self, name: str) -> Arm:
        """The arm of this name; KeyError if there is none, for names come from a key that was checked."""
        return {arm.name: arm for arm in self.arms}[name]

    def animal(self, name: str) -> Animal:
        """The animal of this name.

        Raises:
            ConfigError: the study has none; names the study's animals.
        """
        for animal in self.animals:
            if animal.id == name:
                return animal
        known = ", ".join(animal.id for animal in self.animals)
        raise ConfigError(f"--subject: {name}: is no animal of {self.name}; its animals are {known}")

    @property
    def slots(self) -> list[Slot]:
        """All sessions of one animal, day by day."""
        every = [Slot(phase, at + 1, day) for phase in self.phases for at, day in enumerate(phase.days)]
        return sorted(every, key=lambda slot: slot.day)

    def anchor_of(self, animal: Animal) -> str | None:
        """The file of the animal's anchor, as the study says it; None if it says none."""
        text = animal.anchor or self.anchor
        return None if text is None else text.replace("{animal}", animal.id)

    def rig_of(self, animal: Animal) -> str:
        """The rig of the animal's sessions."""
        return animal.rig or self.rig


def _known(names: Sequence[str]) -> str:
    return f"use one of {', '.join(names)}" if names else "there is none, so take it out"


def _repeated(names: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Where a name stands that was there before, and how often it is there."""
    counts = Counter(names)
    return ((at, counts[name]) for at, name in enumerate(names) if name in names[:at])


def _braces(at: Place, field: str, text: str | None) -> Iterator[Problem]:
    for said in placeholders(text):
        if said != ANIMAL:
            yield at, f"{field} names {{{said}}}, which means nothing; use {{animal}}"


def load_study(path: Path | str) -> Study:
    """The study in a file; the protocols and rigs it names are there, though not read yet.

    Raises:
        ConfigError: one line a problem.
    """
    mistaken = {
        "detector": "belongs to a protocol, and this must be a study; give the study file",
        "daq": "belongs to a rig, and this must be a study; give the study file",
    }
    study = load(Study, path, (), mistaken)
    _find_files(study, Path(path))
    return study


def _find_files(study: Study, path: Path) -> None:
    """Raises ConfigError for protocols and rigs that are not there, at their lines."""
    tree, _ = read(path)
    wanted: list[tuple[Place, str, str]] = [(("rig",), study.rig, "rigs")]
    wanted += [(("phases", at, "protocol"), p.protocol, "protocols") for at, p in enumerate(study.phases)]
    wanted += [(("animals", at, "rig"), a.rig, "rigs") for at, a in enumerate(study.animals) if a.rig]
    problems = []
    for at, name, folder in wanted:
        try:
            file_of(name, folder, path)
        except ConfigError as error:
            where = ".".join(str(part) for part in at)
            problems.append(f"{path}:{tree.line(at)}: {where}: {error}")
    if problems:
        raise ConfigError(*problems)


def file_of(name: str, folder: str, study_path: Path) -> Path:
    """The file that a study means: from its own folder, else as on the command line.

    Raises:
        ConfigError: there is no such file.
    """
    beside = study_path.parent / name
    return beside if beside.is_file() else resolve(name, folder)
