"""A study's sessions side by side: level, rate and gain of each animal in each phase, never pooled into one number.

Each is compared with the animal's own drug-free reference: its anchor or, without one, its sessions of phase
baseline. Rate and gain are ratios that a loss of light cannot move; they are the first things to look at. The level
needs an anchor: without one it is shown against the animal's baseline sessions, and no verdict is given (SCIENCE 1.7).

    level   raised or lowered where the 95 % interval of the shift leaves nothing out; see analysis/anchoring.py
    rate    ratio of Poisson counts
    gain    ratio of typical event heights

Both ratios are of logarithms, and widened by what the reference's own sessions differ beyond chance (`Spread`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from closedloop.analysis import anchoring
from closedloop.analysis.activity import (
    Activity,
    How,
    Trace,
    activity,
    chain_from,
    trace,
)
from closedloop.analysis.anchoring import BASELINE
from closedloop.analysis.study.reference import Measured, Reference, anchored, by_baseline
from closedloop.analysis.study.verdict import NONE, Verdict, gain, level, rate_verdict
from closedloop.anchor import Anchor
from closedloop.errors import ConfigError
from closedloop.protocol import Protocol

MEASURES = ("level", "rate", "gain")
UNITS = {"level": "% of the reference", "rate": "events/min", "gain": "% event height"}
ALL = ""  # in place of a session: all of the phase

_WITHDRAWAL = re.compile(r"withdrawal\D*(\d+(?:\.\d+)?)?")


class Asked(NamedTuple):
    """A recording to report on; animal and phase where it does not say them itself."""

    path: Path
    animal: str | None = None
    phase: str | None = None


@dataclass(frozen=True)
class Row:
    """One number of the table.

    Attributes:
        session: its source; ALL for all sessions of the phase.
        measure: level, rate or gain, in UNITS.
        n: what the interval is made of: seconds that are independent, events, peaks; sessions for a phase's level.
        trains: trains of light that were delivered; of blinded sessions those planned, lit or dark by their arm.
        kind: of the verdict.
        verdict: in words; empty for a session in a phase of several.
    """

    animal: str
    phase: str
    session: str
    measure: str
    value: float
    low: float
    high: float
    n: float
    trains: int
    kind: str
    verdict: str


@dataclass(frozen=True)
class Animal:
    """One animal of the study."""

    name: str
    phases: tuple[str, ...]
    reference: Reference | None
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Report:
    """All animals, and the phases in the order of the study."""

    phases: tuple[str, ...]
    animals: tuple[Animal, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def rows(self) -> list[Row]:
        """All rows, animal by animal."""
        return [row for animal in self.animals for row in animal.rows]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is unknown is null."""
        rows = [{name: _plain(value) for name, value in asdict(row).items()} for row in self.rows]
        return {"phases": list(self.phases), "rows": rows, "notes": list(self.notes)}


def report(
    asked: Sequence[Asked],
    anchors: Sequence[Anchor],
    protocol: Protocol | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Report:
    """The study's numbers.

    Args:
        asked: its sessions.
        anchors: of its animals, at most one each.
        protocol: chain, warm-up and quality rules in place of the sessions' own.
        advance: called after each session.

    Raises:
        RecordingError: a session cannot be read.
        ConfigError: sessions and anchors do not go together; one line a reason.
    """
    anchor_of = _by_animal(anchors)
    traces: dict[str, list[Trace]] = {}
    for one in asked:
        traced = _traced(one, anchor_of, protocol)
        traces.setdefault(traced.subject or "-", []).append(traced)
        advance()
    if problems := list(_problems(traces, anchor_of)):
        raise ConfigError(*dict.fromkeys(problems))
    animals = tuple(_animal(name, traces[name], anchor_of.get(name)) for name in sorted(traces))
    phases = {phase.casefold(): phase for animal in animals for phase in animal.phases}
    notes = tuple(_notes(traces, anchor_of))
    return Report(tuple(sorted(phases.values(), key=_order)), animals, notes)


def lines(found: Report) -> list[str]:
    """The table for a terminal: one line for each measure, under each animal and phase."""
    whole = [row for row in found.rows if row.session == ALL]
    cells = [("", "value", "95 % interval", "verdict"), *(_cells(row) for row in whole)]
    widths = [max(len(cell[at]) for cell in cells) for at in range(3)]
    first, *table = ["  " + "  ".join([*map(str.ljust, cell, widths), cell[3]]) for cell in cells]
    said, last = [first], ("", "")
    for row, line in zip(whole, table, strict=True):
        if (row.animal, row.phase) != last:
            lit = f"  [{row.trains} trains]" if row.trains else ""
            said.append(f"{row.animal}, {row.phase}{lit}")
            last = row.animal, row.phase
        said.append(line)
    return [*said, *found.notes]


def _cells(row: Row) -> tuple[str, str, str, str]:
    value = f"{row.value:.3g}" if np.isfinite(row.value) else "-"
    span = f"{row.low:.3g} to {row.high:.3g}" if np.isfinite(row.low) else "-"
    return f"{row.measure}, {UNITS[row.measure]}", value, span, row.verdict


def _traced(one: Asked, anchor_of: dict[str, Anchor], protocol: Protocol | None) -> Trace:
    """The session by its animal's chain, so that it is measured as the anchor was."""
    how = How(protocol=protocol, subject=one.animal, phase=one.phase)
    own = _subject_of(one.path)
    if own is not None and one.animal not in (None, own):
        raise ConfigError(f"--animal: {one.path} says that it is of {own}, not {one.animal}; leave this out")
    anchor = anchor_of.get(own or one.animal or "")
    if anchor is None:
        return trace(one.path, how)
    chain = tuple(feature.anchored(anchor) for feature in chain_from(anchor.features))
    return trace(one.path, how._replace(features=chain, warm_up_s=anchor.warm_up))


def _subject_of(path: Path) -> str | None:
    from closedloop.recording import Recording

    return Recording.open(path).header.get("subject") if path.is_dir() else None


def _by_animal(anchors: Sequence[Anchor]) -> dict[str, Anchor]:
    found = {anchor.subject: anchor for anchor in anchors}
    if len(found) < len(anchors):
        twice = next(a.subject for a in anchors if sum(b.subject == a.subject for b in anchors) > 1)
        raise ConfigError(f"--anchor: two anchors of {twice}; an animal has one")
    return found


def _problems(traces: dict[str, list[Trace]], anchor_of: dict[str, Anchor]) -> Iterator[str]:
    for name in anchor_of.keys() - traces.keys():
        yield f"--anchor: of {name}, and no session of that animal was given; its sessions are of {', '.join(traces)}"
    for name, sessions in traces.items():
        seen: dict[str, str] = {}
        for traced in sessions:
            yield from _unfit(traced, sessions[0], anchor_of.get(name))
            if traced.sha256 in seen:
                yield f"{traced.source}: the same recording as {seen[traced.sha256]}; give each session once"
            seen[traced.sha256] = traced.source


def _unfit(traced: Trace, first: Trace, anchor: Anchor | None) -> Iterator[str]:
    """Why a session cannot be compared with the others of its animal."""
    if traced.subject is None:
        yield f"{traced.source}: it does not say which animal this is; give --animal {traced.source}=ID"
    if not traced.minutes > 0:
        yield f"{traced.source}: nothing in it is fit for use after {traced.warm_up_s / 60:.3g} min of warm-up"
    if anchor is None and (traced.features != first.features or traced.warm_up_s != first.warm_up_s):
        yield f"{traced.source}: other features or another warm_up than {first.source}; give --anchor or --protocol"
    if anchor is not None and traced.photometry is not None:
        for said in anchor.photometry.mismatches(traced.photometry):
            yield f"{traced.source}: {said}, as in the anchor of {anchor.subject}; use the anchor of this fibre"


def _animal(name: str, traces: Sequence[Trace], anchor: Anchor | None) -> Animal:
    size, release = (anchor.events.size, anchor.events.release) if anchor else _size(traces)
    phases: dict[str, list[Measured]] = {}
    names: dict[str, str] = {}
    for traced in traces:
        key = traced.phase.strip().casefold()
        names.setdefault(key, traced.phase.strip())
        phases.setdefault(key, []).append(Measured(traced, activity(traced, size, release)))
    reference = (
        anchored(anchor) if anchor else by_baseline([s for key, s in phases.items() if key.startswith(BASELINE)])
    )
    rows: list[Row] = []
    for key in sorted(phases, key=_order):
        rows += _phase(name, names[key], phases[key], reference)
    return Animal(name, tuple(names[key] for key in sorted(phases, key=_order)), reference, tuple(rows))


def _size(traces: Sequence[Trace]) -> tuple[float, float]:
    """What counts as an event without an anchor: by the baseline sessions or, if there are none, by all."""
    drug_free = [traced for traced in traces if traced.phase.strip().casefold().startswith(BASELINE)]
    size = anchoring.event_size(drug_free or traces)
    return size, anchoring.RELEASE * size


def _phase(animal: str, phase: str, sessions: Sequence[Measured], reference: Reference | None) -> Iterator[Row]:
    """Rows of the phase as a whole, then of its sessions."""
    yield from _rows(animal, phase, ALL, sessions, reference)
    for one in sessions:
        yield from _rows(animal, phase, one.traced.source, [one], reference)


def _rows(
    animal: str, phase: str, session: str, sessions: Sequence[Measured], reference: Reference | None
) -> Iterator[Row]:
    trains = sum(one.traced.trains for one in sessions)
    whole = Activity(
        sum(one.found.count for one in sessions),
        sum(one.found.minutes for one in sessions),
        np.concatenate([one.found.peaks for one in sessions]),
    )
    known = _is_reference(phase, sessions, reference)
    for measure, (estimate, verdict) in {
        "level": level(sessions, reference),
        "rate": (whole.rate, rate_verdict(whole, len(sessions), reference)),
        "gain": gain(whole, len(sessions), reference),
    }.items():
        said = Verdict(NONE, "the reference") if known and np.isfinite(estimate.value) else verdict
        yield Row(animal, phase, session, measure, *estimate, trains, *said)


def _is_reference(phase: str, sessions: Sequence[Measured], reference: Reference | None) -> bool:
    """Whether these sessions are what they would be compared with."""
    if reference is None or reference.anchor is None:
        return phase.casefold().startswith(BASELINE)
    anchored = {session.sha256 for session in reference.anchor.sessions}
    return all(one.traced.sha256 in anchored for one in sessions)


def _order(phase: str) -> tuple[int, float, str]:
    """Baseline, withdrawal by its days, re-exposure, all others by name."""
    name = phase.strip().casefold()
    if name.startswith(BASELINE):
        return 0, 0.0, name
    if found := _WITHDRAWAL.match(name):
        return 1, float(found[1] or 0), name
    return (2, 0.0, name) if name.startswith(("re-exposure", "reexposure", "re_exposure")) else (3, 0.0, name)


def _notes(traces: dict[str, list[Trace]], anchor_of: dict[str, Anchor]) -> Iterator[str]:
    every = [traced for sessions in traces.values() for traced in sessions]
    if lit := sum(traced.trains > 0 for traced in every if not traced.blinded):
        yield f"light was given in {lit} session(s); its trains and their recovery are left out, what it did is not"
    if hidden := sum(traced.blinded for traced in every):
        yield f"{hidden} session(s) are blinded: their trains are those planned, lit or dark by their arm, and left out"
    if bare := [name for name in traces if name not in anchor_of]:
        yield f"no anchor of {', '.join(sorted(bare))}: no verdict on level; make one with closedloop anchor"


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value
