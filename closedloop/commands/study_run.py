"""The part of `closedloop run` that takes a session from a study: `--study`, and what may be said besides."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from closedloop.commands import say
from closedloop.errors import ConfigError

if TYPE_CHECKING:
    from closedloop.studies.filling import Filled

_ALONE = ("phase", "date", "reason")  # options that mean nothing without a study
_OF_THE_STUDY = ("duration", "seed", "out")  # what the study says itself
_PORT = re.compile(r"(daq|stimulator)\.port=")  # all of a rig that may differ from one computer to the next


def add(parser: argparse.ArgumentParser) -> None:
    """The options."""
    one = parser.add_argument_group("a session of a study").add_argument
    one("--study", metavar="STUDY.yaml", type=Path, help="fills in PROTOCOL, RIG, arm, anchor, phase, folder and seed")
    one("--phase", metavar="NAME", help="refuse any other phase of the study than this")
    one("--date", metavar="DATE", help="run what was due on this date (year-month-day); needs --reason")
    one("--reason", metavar="TEXT", help="why a session is run on another date, again, or out of order; kept")


def filled(options: argparse.Namespace) -> Filled | None:
    """The session of the study that is asked for; None where no study is.

    Raises:
        ConfigError: one line a reason why it may not be run.
    """
    path: Path | None = getattr(options, "study", None)
    if path is None:
        _refuse_without_study(options)
        return None
    from datetime import date

    from closedloop.protocol import split_overrides
    from closedloop.studies.filling import Asked, study_request
    from closedloop.studies.plan import parse_date

    for_protocol, for_rig = split_overrides(options.overrides)
    _refuse_changes(options, for_protocol, for_rig)
    asked = Asked(
        subject=options.subject,
        protocol=options.protocol,
        rig=options.rig,
        phase=options.phase,
        on=parse_date(options.date),
        reason=options.reason,
        rig_overrides=for_rig,
    )
    return study_request(path, asked, date.today())


def begin(options: argparse.Namespace, said: dict[str, Any]) -> None:
    """Say what is about to be run, and keep what is done in spite of the study; `said` is for the header."""
    from closedloop.studies.filling import note_exceptions

    note_exceptions(options.study, said)
    drawn = "".join(f", {name} {level}" for name, level in said["drawn"].items())
    say(f"{said['name']}: {said['animal']}, {said['label']}, session {said['session']} of {said['sessions']}{drawn}")


def _refuse_without_study(options: argparse.Namespace) -> None:
    said = [f"--{name}: belongs to a study; add --study STUDY.yaml" for name in _ALONE if getattr(options, name, None)]
    if options.protocol is None:
        said.append("PROTOCOL: missing; give one, or --study STUDY.yaml, which says it")
    if options.rig is None:
        said.append("--rig: a session needs a rig; add --rig simulated, or your own")
    if said:
        raise ConfigError(*said)


def _refuse_changes(options: argparse.Namespace, for_protocol: list[str], for_rig: list[str]) -> None:
    """Sessions of a study differ in nothing that somebody typed."""
    said = []
    if options.subject is None:
        said.append("--subject: missing; say which animal of the study this is")
    if for_protocol:
        said.append(f"--set: {for_protocol[0]}: a study's sessions run their protocol as it is; take it out")
    other = [item for item in for_rig if not _PORT.match(item)]
    if other:
        what = "only ports may be another in a study's session, for light and limits are the same in all of them"
        said.append(f"--set: rig.{other[0]}: {what}; take it out")
    changed = [name for name in _OF_THE_STUDY if getattr(options, name) not in (None, options.defaults.get(name))]
    said += [f"--{name}: the study says it; take it out" for name in changed]
    if said:
        raise ConfigError(*said)


def taken(found: Filled) -> dict[str, Any]:
    """What of a request the study says."""
    names = ("protocol", "rig", "out", "seed", "study", "blind")
    return {name: getattr(found, name) for name in names}
