"""What a study has due today, and whether one of its sessions may be run: in the words of `closedloop study plan`.

Nothing here says an arm. A session of a blinded study is judged with its arm by the loaders, and shown without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import NamedTuple

from closedloop.analysis import budget
from closedloop.analysis.budget import Budget
from closedloop.arm_policy import policy_of
from closedloop.errors import ConfigError
from closedloop.studies.files import Files
from closedloop.studies.filling import Asked, study_request
from closedloop.studies.plan import Plan, plan
from closedloop.studies.sessions import Entry
from closedloop.study import file_of, load_study
from closedloop.yaml_tree import read

_OF_POLICY = re.compile(r" \(\w+\)$")  # at the end of a block's words


class Due(NamedTuple):
    """One session of the day.

    Attributes:
        animal: whose.
        phase: of the study.
        words: the whole of it, in one line.
        may_run: whether it is still to be run today; False of one that was done, or is running.
    """

    animal: str
    phase: str
    words: str
    may_run: bool


class Day(NamedTuple):
    """A study today.

    Attributes:
        name: of the study.
        due: in the order of the day.
        missed: of each animal, in words; these are caught up with on the command line alone, with date and reason.
        next: the next session of each animal, in words.
        problems: what must be done first, each with how; with a study that cannot be read, why.
    """

    name: str = ""
    due: tuple[Due, ...] = ()
    missed: tuple[str, ...] = ()
    next: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class Judged(NamedTuple):
    """One session of a study: why it may not be run, its files, and its light budget; None where it is not known."""

    problems: tuple[str, ...]
    budget: Budget | None


def day_of(study: Path, today: date) -> Day:
    """What is to be done today."""
    try:
        found = plan(study, today)
    except ConfigError as error:
        return Day(study.stem, problems=tuple(error.problems))
    due = tuple(_due(found, one) for one in found.today)
    coming = tuple(f"{one.on:%a %d %b}: {one.animal.id}, {one.label}" for one in found.next)
    return Day(found.study.name, due, tuple(_missed(found)), coming, found.problems)


def files_of(study: Path, animal: str, phase: str) -> tuple[str, str, str]:
    """Protocol, rig and data folder of an animal's session, as paths; "" of what is not known."""
    try:
        found = load_study(study)
        protocol = next((one.protocol for one in found.phases if one.name == phase), "")
        named = ((protocol, "protocols"), (found.rig_of(found.animal(animal)), "rigs"))
        files = [str(file_of(name, folder, study)) if name else "" for name, folder in named]
    except ConfigError:
        return "", "", ""
    return files[0], files[1], str(Files(study).data(found))


def judged(study: Path, asked: Asked, today: date) -> Judged:
    """Whether this session may be run, as `closedloop run --study` would say it."""
    try:
        filled = study_request(study, asked, today)
    except ConfigError as error:
        return Judged(tuple(error.problems), None)
    shown = filled.protocol
    if filled.study["arms"]:
        place = file_of(_protocol_name(study, str(filled.study["phase"])), "protocols", study)
        _, written = read(place)
        shown = shown.in_arm(policy_of(written["policy"], {}, place.parent), shown.condition)
    found = budget.budget(shown, filled.rig)
    return Judged(found.refusals, _without_policies(found) if filled.study["arms"] else found)


def _protocol_name(study: Path, phase: str) -> str:
    return next(one.protocol for one in load_study(study).phases if one.name == phase)


def _without_policies(found: Budget) -> Budget:
    """The same in every arm: no policy is named."""
    blocks = tuple(_OF_POLICY.sub("", block) for block in found.blocks)
    notes = tuple(note for note in found.notes if not note.startswith("policy "))
    return replace(found, blocks=blocks, notes=notes)


def _missed(found: Plan) -> Iterator[str]:
    by_animal: dict[str, list[str]] = {}
    for one in found.missed:
        by_animal.setdefault(one.animal.id, []).append(f"{_label(one)} ({one.on:%d %b})")
    yield from (f"{animal}: {', '.join(labels)}" for animal, labels in by_animal.items())


def _label(one: Entry) -> str:
    many = len(one.slot.phase.days)
    return one.label if many == 1 else f"{one.label}, {one.slot.session} of {many}"


def _due(found: Plan, one: Entry) -> Due:
    return Due(one.animal.id, one.slot.phase.name, "   ".join(_words(found, one)), one.state not in ("done", "running"))


def _words(found: Plan, one: Entry) -> Iterator[str]:
    yield one.animal.id
    yield _label(one)
    placed = found.placed(one)
    if placed is not None:
        if one.slot.phase.arms:
            yield f"code {placed.code}"
        yield from (f"{name.replace('_', ' ')} {level}" for name, level in placed.drawn.items())
    late = f" since {one.on:%d %b}" if one.on < found.on and one.state != "done" else ""
    yield f"{one.state}{late}"
