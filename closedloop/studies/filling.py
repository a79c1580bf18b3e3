"""`closedloop run --study`: from a study and an animal to a session that is complete, or the reasons why not.

What a study leaves open is filled in here: protocol, arm, anchor, rig, folder, seed. What somebody says besides must
agree with it. Nothing is started here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from closedloop.arm_policy import policy_of
from closedloop.errors import ConfigError
from closedloop.protocol import Protocol, load_protocol
from closedloop.rig import Rig, load_rig
from closedloop.studies import audit
from closedloop.studies.files import Files, Opened, open_study, protocol_digest
from closedloop.studies.needed import Places, anchor_file
from closedloop.studies.sessions import Entry, Ran, entries, ran
from closedloop.study import file_of
from closedloop.yaml_file import resolve


@dataclass(frozen=True)
class Asked:
    """What somebody typed.

    Attributes:
        subject: the animal.
        protocol: a name or path; None for the study's.
        rig: the same of the rig.
        phase: of the study; None for that of the day.
        on: the date; None for today.
        reason: why a session is run on another date, again, or out of order.
        rig_overrides: such as "daq.port=COM3".
    """

    subject: str
    protocol: str | None = None
    rig: str | None = None
    phase: str | None = None
    on: date | None = None
    reason: str | None = None
    rig_overrides: Sequence[str] = ()


@dataclass(frozen=True)
class Filled:
    """A session of a study, complete.

    Attributes:
        protocol: in the animal's arm, with its anchor and phase.
        rig: it is run on.
        study: for the recording's header; tells nothing of the arm.
        blind: whether the arm is kept from whoever watches.
        out: the data folder.
        seed: of everything random in the session.
    """

    protocol: Protocol
    rig: Rig
    study: dict[str, Any]
    blind: bool
    out: Path
    seed: int


def study_request(path: Path | str, asked: Asked, today: date) -> Filled:
    """The session that is due.

    Args:
        path: of the study file.
        asked: what somebody typed.
        today: the date, by the calendar of the rig's computer.

    Raises:
        ConfigError: one line a reason why nothing may be run.
    """
    opened = open_study(path)
    opened.study.animal(asked.subject)
    sessions, _ = ran(opened.study, opened.files.data(opened.study))
    orders = {one.id: one.orders for one in opened.allocation.animals}
    every = list(entries(opened.study, orders, sessions, asked.on or today))
    entry = _entry([one for one in every if one.animal.id == asked.subject], asked, asked.on or today)
    exceptions = _exceptions(entry, every, opened, asked, today)
    if exceptions and not asked.reason:
        raise ConfigError(*(f"{one}; if it must be so, say why with --reason" for one in exceptions))
    problems = [*_protocol_problems(opened, entry, asked), *_rig_problems(opened, entry, asked)]
    if problems:
        raise ConfigError(*problems)
    protocol = _protocol(opened, entry, sessions)
    rig = load_rig(str(file_of(opened.study.rig_of(entry.animal), "rigs", opened.files.study)), asked.rig_overrides)
    return Filled(
        protocol=protocol,
        rig=rig,
        study=_for_header(opened, entry, protocol, asked, exceptions, today),
        blind=opened.study.blind and entry.slot.phase.arms,
        out=opened.files.data(opened.study),
        seed=opened.seed_of(entry.animal.id, entry.slot.phase.name, entry.slot.session),
    )


def note_exceptions(path: Path | str, said: dict[str, Any]) -> None:
    """Put into the study's audit what is done in spite of it; nothing where nothing is.

    Args:
        path: of the study file.
        said: of the session, for its header.

    Raises:
        ConfigError: the audit can't be written.
    """
    if said["exceptions"]:
        which = {name: said[name] for name in ("animal", "phase", "session", "exceptions")}
        audit.append(Files(Path(path)).audit, "exception", why=said["reason"], **which)


def _entry(mine: list[Entry], asked: Asked, on: date) -> Entry:
    """The animal's session of that day.

    Raises:
        ConfigError: there is none, or it is another phase's; says when there is.
    """
    known = dict.fromkeys(one.slot.phase.name for one in mine)
    if asked.phase is not None and asked.phase not in known:
        raise ConfigError(f"--phase: {asked.phase}: is no phase of this study; use one of {', '.join(known)}")
    today = [one for one in mine if _may_be_on(one, on)]
    for wanted in ("due", "broken off", "running", "done"):
        for one in today:
            if one.state == wanted and asked.phase in (None, one.slot.phase.name):
                return one
    whose = mine[0].animal.id
    if today:
        raise ConfigError(
            f"--phase: {asked.phase}: {whose} has {today[0].slot.phase.name} on {on}, not this; leave --phase out"
        )
    ahead = [one for one in mine if one.on > on and asked.phase in (None, one.slot.phase.name)]
    behind = [
        one for one in mine if one.on < on and one.state == "missed" and asked.phase in (None, one.slot.phase.name)
    ]
    said = f"{whose}: nothing is due on {on}" + (f" in {asked.phase}" if asked.phase else "")
    if behind:
        late = behind[-1]
        said += f"; {late.label} was on {late.on} and was missed: to catch up, add --date {late.on} --reason TEXT"
    elif ahead:
        said += f"; next is {ahead[0].label} on {ahead[0].on}"
    raise ConfigError(said if behind or ahead else f"{said}; all is done or over, see closedloop study plan")


def _may_be_on(entry: Entry, on: date) -> bool:
    return 0 <= (on - entry.on).days <= entry.slot.phase.late


def _exceptions(entry: Entry, every: list[Entry], opened: Opened, asked: Asked, today: date) -> list[str]:
    """What of this needs a reason."""
    who = entry.animal.id
    which = f"{who}, {entry.label}, session {entry.slot.session}"
    if entry.state == "running":
        raise ConfigError(f"{which}: is running now ({entry.folder}); watch it with closedloop watch")
    said = []
    if asked.on is not None and asked.on != today:
        said.append(f"--date: {asked.on}: is not today ({today})")
    if entry.state == "done":
        said.append(f"{which}: was run already ({entry.folder})")
    rank = {one.id: one.rank for one in opened.allocation.animals}
    if entry.slot.phase.arms:
        first = [
            one.animal.id
            for one in every
            if one.on == entry.on and one.slot.phase.arms and one.state == "due" and rank[one.animal.id] < rank[who]
        ]
        if first:
            said.append(f"{who}: {', '.join(first)} comes first in the order of the day")
    return said


def _protocol_problems(opened: Opened, entry: Entry, asked: Asked) -> list[str]:
    name = entry.slot.phase.protocol
    path = file_of(name, "protocols", opened.files.study)
    problems = []
    if asked.protocol is not None and not _same(asked.protocol, name, "protocols", opened.files.study):
        problems.append(
            f"PROTOCOL: {asked.protocol}: is not that of {entry.slot.phase.name}, which is {name}; leave it out"
        )
    if opened.allocation.protocols.get(name) != protocol_digest(path):
        problems.append(f"{path}:1: was changed after animals were allocated; restore it as it was")
    return problems


def _rig_problems(opened: Opened, entry: Entry, asked: Asked) -> list[str]:
    name = opened.study.rig_of(entry.animal)
    if asked.rig is None or _same(asked.rig, name, "rigs", opened.files.study):
        return []
    return [f"--rig: {asked.rig}: is not that of {entry.animal.id}, which is {name}; leave it out"]


def _same(typed: str, meant: str, folder: str, study_path: Path) -> bool:
    """Whether both are one file."""
    if typed == meant:
        return True
    return resolve(typed, folder).resolve() == file_of(meant, folder, study_path).resolve()


def _protocol(opened: Opened, entry: Entry, sessions: list[Ran]) -> Protocol:
    """The phase's protocol with the animal's anchor and, where the phase has arms, in the animal's arm."""
    phase = entry.slot.phase
    path = file_of(phase.protocol, "protocols", opened.files.study)
    anchor = anchor_file(opened, entry, sessions) if phase.anchor == "uses" else None
    protocol = load_protocol(str(path), [] if anchor is None else [f"anchor={anchor}"])
    protocol = protocol.model_copy(update={"phase": entry.label})
    if not phase.arms:
        return protocol
    written = opened.study.arm(opened.arm_of(entry.animal.id)).policy
    policy = policy_of(written, Places(opened, entry, sessions), opened.files.study.parent)
    return protocol.in_arm(policy, opened.allocation.placed(entry.animal.id).code)


def _for_header(
    opened: Opened, entry: Entry, protocol: Protocol, asked: Asked, exceptions: Sequence[str], today: date
) -> dict[str, Any]:
    placed = opened.allocation.placed(entry.animal.id)
    return {
        "name": opened.study.name,
        "animal": entry.animal.id,
        "phase": entry.slot.phase.name,
        "label": entry.label,
        "condition": entry.condition,
        "session": entry.slot.session,
        "sessions": len(entry.slot.phase.days),
        "day": entry.slot.day,
        "due": entry.on.isoformat(),
        "run_on": today.isoformat(),
        "arms": entry.slot.phase.arms,
        "code": placed.code,
        "drawn": dict(placed.drawn),
        "study_sha256": opened.allocation.study_sha256,
        "commitment": opened.allocation.commitment,
        "protocol_sha256": opened.allocation.protocols[entry.slot.phase.protocol],
        "anchor_sha256": None if protocol.anchor is None else protocol.anchor.sha256,
        "exceptions": list(exceptions),
        "reason": asked.reason if exceptions else None,
    }
