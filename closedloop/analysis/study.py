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
    Estimate,
    Floats,
    How,
    Trace,
    activity,
    chain_from,
    students,
    trace,
    typical,
)
from closedloop.analysis.anchoring import BASELINE, half_width, percent
from closedloop.anchor import Anchor
from closedloop.errors import ConfigError
from closedloop.protocol import Protocol

MEASURES = ("level", "rate", "gain")
UNITS = {"level": "% of the reference", "rate": "events/min", "gain": "% event height"}
ALL = ""  # in place of a session: all of the phase
TOLD, NOT_TOLD, REFUSED, NONE = "told", "not told", "refused", "none"  # kinds of verdict

_WITHDRAWAL = re.compile(r"withdrawal\D*(\d+(?:\.\d+)?)?")
_UNKNOWN = Estimate(np.nan, np.nan, np.nan, 0)


class Asked(NamedTuple):
    """A recording to report on; animal and phase where it does not say them itself."""

    path: Path
    animal: str | None = None
    phase: str | None = None


class Verdict(NamedTuple):
    """What may be said: one of the kinds above, and the words."""

    kind: str
    words: str


@dataclass(frozen=True)
class Row:
    """One number of the table.

    Attributes:
        session: its source; ALL for all sessions of the phase.
        measure: level, rate or gain, in UNITS.
        n: what the interval is made of: seconds that are independent, events, peaks; sessions for a phase's level.
        trains: trains of light that were delivered.
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
class Reference:
    """What an animal was like without drug: its anchor, or its own baseline sessions.

    Attributes:
        counts: events in each of its sessions.
        minutes: clean sample time of each.
        logs: mean ln(peak height) of each session that has peaks.
        peaks: how many heights each of those is the mean of.
        log_sd: SD of ln(peak height).
        levels: mean level of each session, ln units; empty if they cannot be compared.
        anchor: None where there is none, and no verdict on level.
    """

    counts: tuple[int, ...]
    minutes: tuple[float, ...]
    logs: tuple[float, ...]
    peaks: tuple[int, ...]
    log_sd: float
    levels: tuple[float, ...]
    anchor: Anchor | None

    def rate(self) -> tuple[float, Spread]:
        """Mean of ln(events a minute), and how far one more session may lie from it."""
        counts = np.maximum(self.counts, 0.5)  # of no event the logarithm has no end
        return float(np.log(sum(counts) / sum(self.minutes))), Spread.of(np.log(counts / self.minutes), 1 / counts)

    def gain(self) -> tuple[float, Spread]:
        """Mean of ln(peak height), and how far one more session may lie from it."""
        logs, peaks = np.array(self.logs), np.array(self.peaks, float)
        return float(np.average(logs, weights=peaks)), Spread.of(logs, self.log_sd**2 / peaks)


class Spread(NamedTuple):
    """How sessions that are alike scatter.

    Attributes:
        chance: variance of their common mean by counting alone.
        between: variance from session to session beyond that, by the method of moments; 0 if there is none.
        sessions: how many they are.
    """

    chance: float
    between: float
    sessions: int

    @classmethod
    def of(cls, values: Floats, variances: Floats) -> Spread:
        """From the sessions' numbers, and the variance that chance gives each."""
        chance = 1 / float(np.sum(1 / variances))
        found = float(np.var(values, ddof=1) - np.mean(variances)) if len(values) > 1 else 0.0
        return cls(chance, max(0.0, found), len(values))

    def half_width(self, chance: float, sessions: int) -> float:
        """Half of the 95 % interval of the difference between the common mean and that of more sessions.

        Variances add up; what is known from few sessions lowers the degrees of freedom (Satterthwaite 1946, Biometrics
        Bulletin 2:110).

        Args:
            chance: variance of those sessions' mean by counting alone.
            sessions: how many those are.
        """
        between = self.between * (1 / sessions + 1 / self.sessions)
        total = self.chance + chance + between
        freedom = (self.sessions - 1) * (total / between) ** 2 if between > 0 else np.inf
        return students(freedom) * float(np.sqrt(total))


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


class _Measured(NamedTuple):
    """A session and its events."""

    traced: Trace
    found: Activity


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
    """The table for a terminal: one line for each animal, phase and measure."""
    cells = [("animal", "phase", "measure", "value", "95 % interval", "verdict")]
    for row in found.rows:
        if row.session != ALL:
            continue
        lit = f" [light: {row.trains} trains]" if row.trains else ""
        value, span = (f"{row.value:.3g}", f"{row.low:.3g} to {row.high:.3g}") if row.n else ("-", "-")
        cells.append((row.animal, row.phase, f"{row.measure}, {UNITS[row.measure]}", value, span, row.verdict + lit))
    widths = [max(len(cell[at]) for cell in cells) for at in range(5)]
    table = ["  ".join([*(c.ljust(w) for c, w in zip(cell, widths, strict=False)), cell[5]]) for cell in cells]
    return [*table, *found.notes]


def _traced(one: Asked, anchor_of: dict[str, Anchor], protocol: Protocol | None) -> Trace:
    """The session by its animal's chain, so that it is measured as the anchor was."""
    how = How(protocol=protocol, subject=one.animal, phase=one.phase)
    anchor = anchor_of.get(one.animal or _subject_of(one.path) or "")
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
    phases: dict[str, list[_Measured]] = {}
    names: dict[str, str] = {}
    for traced in traces:
        key = traced.phase.strip().casefold()
        names.setdefault(key, traced.phase.strip())
        phases.setdefault(key, []).append(_Measured(traced, activity(traced, size, release)))
    reference = _anchored(anchor) if anchor else _baseline([s for key, s in phases.items() if key.startswith(BASELINE)])
    rows: list[Row] = []
    for key in sorted(phases, key=_order):
        rows += _phase(name, names[key], phases[key], reference)
    return Animal(name, tuple(names[key] for key in sorted(phases, key=_order)), reference, tuple(rows))


def _size(traces: Sequence[Trace]) -> tuple[float, float]:
    """What counts as an event without an anchor: by the baseline sessions or, if there are none, by all."""
    drug_free = [traced for traced in traces if traced.phase.strip().casefold().startswith(BASELINE)]
    size = anchoring.event_size(drug_free or traces)
    return size, anchoring.RELEASE * size


def _anchored(anchor: Anchor) -> Reference:
    minutes = tuple(session.minutes for session in anchor.sessions)
    events, level = anchor.events, anchor.level
    counts = tuple(round(rate * m) for rate, m in zip(events.rates, minutes, strict=True))
    levels = level.sessions if level else ()
    return Reference(counts, minutes, events.log_means, events.log_counts, events.log_sd or 0.0, levels, anchor)


def _baseline(phases: Sequence[Sequence[_Measured]]) -> Reference | None:
    sessions = [session for phase in phases for session in phase]
    if not sessions:
        return None
    logs = [np.log(one.found.peaks) for one in sessions if len(one.found.peaks)]
    together = np.concatenate(logs) if logs else np.zeros(0)
    means = [one.traced.course.mean for one in sessions if one.traced.course]
    return Reference(
        counts=tuple(one.found.count for one in sessions),
        minutes=tuple(one.found.minutes for one in sessions),
        logs=tuple(float(np.mean(one)) for one in logs),
        peaks=tuple(len(one) for one in logs),
        log_sd=float(np.std(together, ddof=1)) if len(together) > 1 else 0.0,
        levels=tuple(means) if _alike(sessions) else (),
        anchor=None,
    )


def _alike(sessions: Sequence[_Measured]) -> bool:
    first = sessions[0].traced.photometry
    others = [one.traced.photometry for one in sessions]
    return all(first is None or one is None or not first.mismatches(one) for one in others)


def _phase(animal: str, phase: str, sessions: Sequence[_Measured], reference: Reference | None) -> Iterator[Row]:
    """Rows of the phase as a whole, then of its sessions."""
    yield from _rows(animal, phase, ALL, sessions, reference)
    for one in sessions:
        yield from _rows(animal, phase, one.traced.source, [one], reference)


def _rows(
    animal: str, phase: str, session: str, sessions: Sequence[_Measured], reference: Reference | None
) -> Iterator[Row]:
    trains = sum(one.traced.trains for one in sessions)
    whole = Activity(
        sum(one.found.count for one in sessions),
        sum(one.found.minutes for one in sessions),
        np.concatenate([one.found.peaks for one in sessions]),
    )
    known = _is_reference(phase, sessions, reference)
    for measure, (estimate, verdict) in {
        "level": _level(sessions, reference),
        "rate": (whole.rate, _rate_verdict(whole, len(sessions), reference)),
        "gain": _gain(whole, len(sessions), reference),
    }.items():
        said = Verdict(NONE, "the reference") if known and np.isfinite(estimate.value) else verdict
        yield Row(animal, phase, session, measure, *estimate, trains, *said)


def _is_reference(phase: str, sessions: Sequence[_Measured], reference: Reference | None) -> bool:
    """Whether these sessions are what they would be compared with."""
    if reference is None or reference.anchor is None:
        return phase.casefold().startswith(BASELINE)
    anchored = {session.sha256 for session in reference.anchor.sessions}
    return all(one.traced.sha256 in anchored for one in sessions)


def _level(sessions: Sequence[_Measured], reference: Reference | None) -> tuple[Estimate, Verdict]:
    """Shift of the level in percent of the reference."""
    courses = [one.traced.course for one in sessions if one.traced.course]
    if len(courses) < len(sessions):
        return _UNKNOWN, Verdict(NONE, "no control channel")
    if reference is None or not reference.levels:
        return _UNKNOWN, Verdict(NONE, "no anchor and no baseline session to compare with")
    shift = float(np.mean([one.mean for one in courses]) - np.mean(reference.levels))
    error = float(np.sum([one.error**2 for one in courses])) / len(courses) ** 2
    known = len(reference.levels)
    if reference.anchor is None or reference.anchor.level is None:
        if known < 2:
            return _UNKNOWN._replace(value=percent(shift), n=len(courses)), Verdict(NONE, "no anchor, no verdict")
        between = float(np.std(reference.levels, ddof=1))
        half = half_width(between, known, len(courses), error)
        return _percents(shift, half, len(courses)), Verdict(NONE, "no anchor, no verdict")
    if any(one.traced.photometry is None for one in sessions):
        return _UNKNOWN, Verdict(REFUSED, "refused: the recording does not say what it was measured with")
    level = reference.anchor.level
    half = half_width(level.between, known, len(courses), error)
    return _percents(shift, half, len(courses)), _level_verdict(shift, half, level.smallest_shift)


def _percents(shift: float, half: float, n: int) -> Estimate:
    return Estimate(percent(shift), percent(shift - half), percent(shift + half), n)


def _level_verdict(shift: float, half: float, smallest: float) -> Verdict:
    """Raised or lowered, none beyond what can be told, or nothing at all."""
    if abs(shift) > half:
        return Verdict(TOLD, "raised" if shift > 0 else "lowered")
    if abs(shift) + half <= smallest:
        return Verdict(NOT_TOLD, f"no shift beyond ±{percent(smallest):.2g} %")
    words = f"{percent(shift):+.2g} % is below the smallest detectable shift of {percent(half):.2g} %"
    return Verdict(REFUSED, f"refused: {words}")


def _rate_verdict(found: Activity, sessions: int, reference: Reference | None) -> Verdict:
    """Ratio of the rate to the reference's."""
    if reference is None:
        return Verdict(NONE, "no baseline to compare with")
    if not found.count or not sum(reference.counts):
        return Verdict(NOT_TOLD, "too few events to compare")
    mean, spread = reference.rate()
    return _ratio_verdict(float(np.log(found.rate.value)) - mean, spread.half_width(1 / found.count, sessions))


def _gain(found: Activity, sessions: int, reference: Reference | None) -> tuple[Estimate, Verdict]:
    """Typical height in percent, and its ratio to the reference's."""
    estimate = found.gain
    if estimate is None:
        cut = found.count - len(found.peaks)
        few = typical(found.peaks) is None
        said = (
            "too few events" if few else f"{cut} of {found.count} events were cut short; the others are no fair choice"
        )
        return _UNKNOWN, Verdict(NONE, said)
    shown = Estimate(100 * estimate.value, 100 * estimate.low, 100 * estimate.high, estimate.n)
    if reference is None or not reference.log_sd > 0:
        return shown, Verdict(NONE, "no baseline to compare with")
    mean, spread = reference.gain()
    logs = np.log(found.peaks)
    half = spread.half_width(float(np.var(logs, ddof=1)) / len(logs), sessions)
    return shown, _ratio_verdict(float(np.mean(logs)) - mean, half)


def _ratio_verdict(ratio: float, half: float) -> Verdict:
    low, value, high = (float(np.exp(x)) for x in (ratio - half, ratio, ratio + half))
    span = f"x{value:.2f} of the reference ({low:.2f} to {high:.2f})"
    if low <= 1 <= high:
        return Verdict(NOT_TOLD, f"no change told: {span}")
    return Verdict(TOLD, f"{'raised' if ratio > 0 else 'lowered'}: {span}")


def _order(phase: str) -> tuple[int, float, str]:
    """Baseline, withdrawal by its days, re-exposure, all others by name."""
    name = phase.strip().casefold()
    if name.startswith(BASELINE):
        return 0, 0.0, name
    if found := _WITHDRAWAL.match(name):
        return 1, float(found[1] or 0), name
    return (2, 0.0, name) if name.startswith(("re-exposure", "reexposure", "re_exposure")) else (3, 0.0, name)


def _notes(traces: dict[str, list[Trace]], anchor_of: dict[str, Anchor]) -> Iterator[str]:
    if lit := sum(traced.trains > 0 for sessions in traces.values() for traced in sessions):
        yield f"light was given in {lit} session(s); its trains and their recovery are left out, what it did is not"
    if bare := [name for name in traces if name not in anchor_of]:
        yield f"no anchor of {', '.join(sorted(bare))}: no verdict on level; make one with closedloop anchor"


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value
