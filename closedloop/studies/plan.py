"""`closedloop study plan`: what is to be run on a day for whom, what was missed, and what is still lacking.

It is read from the study, its allocation and the session folders each time; nothing is ticked off by hand. It never
opens the key: what it prints is the same in every arm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from closedloop.errors import ConfigError
from closedloop.studies.files import Allocation, Files, Placed, load_allocation
from closedloop.studies.needed import anchor_advice
from closedloop.studies.sessions import Entry, Ran, entries, ran
from closedloop.study import Study, load_study

_OPEN = ("due", "running", "broken off")


@dataclass(frozen=True)
class Plan:
    """A study on one day.

    Attributes:
        study: the study.
        files: where everything is.
        on: the date.
        allocation: None while it is not randomised.
        entries: all sessions of all animals.
        problems: what must be done first, each with how.
    """

    study: Study
    files: Files
    on: date
    allocation: Allocation | None
    entries: tuple[Entry, ...]
    problems: tuple[str, ...]

    def placed(self, entry: Entry) -> Placed | None:
        """The public allocation of an entry's animal."""
        return None if self.allocation is None else self.allocation.placed(entry.animal.id)

    @property
    def today(self) -> list[Entry]:
        """What is due, in the order of the day; what was done today, too."""
        open_now = [one for one in self.entries if one.state in _OPEN or (one.state == "done" and one.on == self.on)]
        return sorted(open_now, key=self._rank)

    def _rank(self, entry: Entry) -> int:
        placed = self.placed(entry)
        return placed.rank if placed else 0

    @property
    def missed(self) -> list[Entry]:
        """What can only be caught up with, for a reason."""
        return [one for one in self.entries if one.state == "missed"]

    @property
    def next(self) -> list[Entry]:
        """The next session of each animal."""
        first: dict[str, Entry] = {}
        for one in self.entries:
            if one.state == "upcoming":
                first.setdefault(one.animal.id, one)
        return sorted(first.values(), key=lambda one: (one.on, self._rank(one)))


def plan(path: Path | str, on: date) -> Plan:
    """The plan of a day.

    Raises:
        ConfigError: the study is wrong, or its allocation is not its own.
    """
    files = Files(Path(path))
    study = load_study(path)
    allocation = load_allocation(files, study) if files.allocation.exists() else None
    sessions, unreadable = ran(study, files.data(study))
    orders = {} if allocation is None else {one.id: one.orders for one in allocation.animals}
    every = tuple(entries(study, orders, sessions, on))
    problems = [*_unmade(files, study, every, sessions), *unreadable]
    if allocation is None:
        problems.insert(0, f"animals are not allocated yet; run closedloop randomise {files.study}")
    return Plan(study, files, on, allocation, every, tuple(problems))


def _unmade(files: Files, study: Study, every: Sequence[Entry], sessions: Sequence[Ran]) -> Iterator[str]:
    """Anchors that are not there though a session that uses them is due, or though all they are made of is."""
    for animal in study.animals:
        name = study.anchor_of(animal)
        if name is None or (files.study.parent / name).exists():
            continue
        mine = [one for one in every if one.animal.id == animal.id]
        makes = [one for one in mine if one.slot.phase.anchor == "makes"]
        wanted = any(one.state in _OPEN and one.slot.phase.anchor == "uses" for one in mine)
        ready = bool(makes) and all(one.state == "done" for one in makes)
        if ready:
            folders, out = " ".join(str(one.folder) for one in makes), files.study.parent / name
            yield f"{animal.id}: its anchor is not made; run closedloop anchor {folders} --out {out}"
        elif wanted:
            yield f"{animal.id}: its anchor is not made, and a session needs it; {anchor_advice(study, animal.id)}"


def as_dict(found: Plan) -> dict[str, Any]:
    """Plain values for JSON."""
    return {
        "study": found.study.name,
        "date": found.on.isoformat(),
        "randomised": found.allocation is not None,
        "today": [_row(found, one) for one in found.today],
        "missed": [_row(found, one) for one in found.missed],
        "next": [_row(found, one) for one in found.next],
        "counts": dict(Counter(one.state for one in found.entries)),
        "problems": list(found.problems),
    }


def _row(found: Plan, one: Entry) -> dict[str, Any]:
    placed = found.placed(one)
    return {
        "animal": one.animal.id,
        "phase": one.slot.phase.name,
        "label": one.label,
        "condition": one.condition,
        "session": one.slot.session,
        "sessions": len(one.slot.phase.days),
        "day": one.slot.day,
        "on": one.on.isoformat(),
        "state": one.state,
        "protocol": one.slot.phase.protocol,
        "rig": found.study.rig_of(one.animal),
        "rank": placed.rank if placed else None,
        "code": placed.code if placed and one.slot.phase.arms else None,
        "drawn": dict(placed.drawn) if placed else {},
        "folder": str(one.folder) if one.folder else None,
    }


def parse_date(text: str | None, option: str = "--date") -> date | None:
    """A date as typed; None of None.

    Raises:
        ConfigError: it is none.
    """
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{option}: is no date (got {text}); write year-month-day, such as 2026-03-09") from error
