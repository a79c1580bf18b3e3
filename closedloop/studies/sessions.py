"""Which sessions of a study were run, and which are due: from the session folders alone. Nothing is kept elsewhere.

A session folder says in its header, under `study`, whose session of which phase it is; see `studies.filling`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple

from closedloop.control import DESERTED
from closedloop.errors import RecordingError
from closedloop.recording import Recording
from closedloop.recording.folder import HEADER, read_map
from closedloop.study import Animal, Slot, Study

State = Literal["done", "running", "broken off", "due", "missed", "upcoming"]

Place = tuple[str, str, int]  # animal, phase, session

_WHOLE = ("completed", "stopped")
_BROKEN_OFF = "broken off"


class Ran(NamedTuple):
    """One session that was run, or is running.

    Attributes:
        folder: of the session.
        study: what its header says of the study.
        ended: how; None while it runs.
    """

    folder: Path
    study: dict[str, Any]
    ended: str | None

    @property
    def place(self) -> Place:
        """Animal, phase and session: which one it is."""
        session = self.study.get("session")
        return str(self.study.get("animal")), str(self.study.get("phase")), session if isinstance(session, int) else 0

    @property
    def whole(self) -> bool:
        """Whether it counts: it came to its end, or somebody ended it."""
        return self.ended in _WHOLE


def ran(study: Study, data: Path) -> tuple[list[Ran], list[str]]:
    """Every session of this study in a data folder, oldest first; and what could not be read."""
    found, problems = [], []
    for animal in study.animals:
        for header in sorted((data / f"sub-{animal.id}").glob(f"ses-*/{HEADER}")):
            try:
                one = _one(header, study.name)
            except RecordingError as error:
                problems.append(str(error))
                continue
            found += [one] if one else []
    return sorted(found, key=lambda one: one.folder.name), problems


def _one(header: Path, name: str) -> Ran | None:
    said = read_map(header)
    study = said.get("study")
    if not isinstance(study, dict) or study.get("name") != name:
        return None
    recording = Recording(header.parent, said)
    summary = recording.summary
    if summary is None:
        return Ran(header.parent, study, None if recording.being_written else _BROKEN_OFF)
    deserted = summary.get("reason") == DESERTED  # killed, and closed all the same
    return Ran(header.parent, study, _BROKEN_OFF if deserted else str(summary.get("ended")))


def counting(sessions: Sequence[Ran]) -> dict[Place, Ran]:
    """The session that counts of each that was to be: the last whole one, or the last one where none is."""
    found: dict[Place, Ran] = {}
    for one in sessions:
        if one.whole or one.place not in found or not found[one.place].whole:
            found[one.place] = one
    return found


@dataclass(frozen=True)
class Entry:
    """One session that is to be, or was.

    Attributes:
        animal: whose.
        slot: which.
        on: the date it is due on.
        condition: of the phase, in the animal's order; None where it has none.
        state: of it today.
        folder: of the session that counts, or else of the last one; None if there is none.
    """

    animal: Animal
    slot: Slot
    on: date
    condition: str | None
    state: State
    folder: Path | None

    @property
    def label(self) -> str:
        """What it is tabulated under."""
        return self.slot.phase.label(self.condition)


def entries(
    study: Study, orders: dict[str, dict[str, tuple[str, ...]]], sessions: Sequence[Ran], today: date
) -> Iterator[Entry]:
    """All sessions of all animals, animal by animal, day by day.

    Args:
        study: whose.
        orders: of the conditions, by animal and phase; without them conditions are not known.
        sessions: that were run.
        today: the date.
    """
    of_place = counting(sessions)
    for animal in study.animals:
        for slot in study.slots:
            on = animal.start + timedelta(days=slot.day)
            counts = of_place.get((animal.id, slot.phase.name, slot.session))
            condition = slot.condition(orders.get(animal.id, {}).get(slot.phase.name, ()))
            state = _state(counts, on, slot.phase.late, today)
            yield Entry(animal, slot, on, condition, state, counts.folder if counts else None)


def _state(one: Ran | None, on: date, late: int, today: date) -> State:
    if one is not None and one.whole:
        return "done"
    if one is not None and one.ended is None:
        return "running"
    if today < on:
        return "upcoming"
    if today <= on + timedelta(days=late):
        return "due"
    return "missed" if one is None else "broken off"
