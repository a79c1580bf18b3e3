"""`closedloop study`: what is due, and level, rate and gain of each animal in each phase, as a table and a figure."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from closedloop.commands import say, show, study_plan
from closedloop.errors import ConfigError


def add(commands: Any) -> None:
    """The command and what it can do."""
    parser = commands.add_parser("study", help="animals and phases of a study, side by side")
    verbs = parser.add_subparsers(required=True, metavar="WHAT")
    study_plan.add(verbs)
    report = verbs.add_parser("report", help="level, rate and gain per animal and phase, with intervals")
    one = report.add_argument
    one("sessions", metavar="SESSION", type=Path, nargs="+", help="session folders or files; or a study file")
    one("--anchor", metavar="FILE", type=Path, action="append", default=[], help="of an animal; may be repeated")
    one("--protocol", metavar="PROTOCOL", help="chain of features and warm-up, for files or in place of the sessions'")
    one("--phase", metavar="SESSION=PHASE", action="append", default=[], help="of a recording that does not say")
    one("--animal", metavar="SESSION=ID", action="append", default=[], help="of a recording that does not say")
    one("--out", metavar="DIR", type=Path, help="write study.csv, study.svg and study.png here")
    one("--json", action="store_true", help="one JSON object on standard output")
    report.set_defaults(command=_report)


def _report(options: argparse.Namespace) -> int:
    from closedloop import terminal
    from closedloop.analysis.study import table
    from closedloop.analysis.study.figure import write
    from closedloop.anchor import read
    from closedloop.protocol import load_protocol

    groups = _take_study(options)
    phases = _named(options.phase, "--phase", options.sessions)
    animals = _named(options.animal, "--animal", options.sessions)
    protocol = load_protocol(options.protocol) if options.protocol else None
    asked = [table.Asked(path, animals.get(path), phases.get(path)) for path in options.sessions]
    with terminal.counting("sessions") as bar:
        task = bar.add_task("", total=len(asked))
        anchors = [read(path) for path in options.anchor]
        report = table.report(asked, anchors, protocol, lambda: bar.advance(task))
    written = {}
    if options.out:
        written = {path.suffix[1:]: str(path) for path in write(report, options.out)}
    result = report.as_dict() | {"groups": groups, "files": written}
    show(result, [*_grouped(groups), *table.lines(report), *written.values()], as_json=options.json)
    return 0


def _take_study(options: argparse.Namespace) -> dict[str, str]:
    """Put a study's sessions and anchors in the place of its file; code or arm of each animal, if that is known.

    Raises:
        ConfigError: the study is wrong, or given beside sessions.
    """
    if not any(path.suffix in (".yaml", ".yml") for path in options.sessions):
        return {}
    if len(options.sessions) > 1 or options.phase or options.animal or options.anchor:
        raise ConfigError("SESSION: a study file says its sessions, animals, phases and anchors; give it alone")
    from closedloop.studies.reporting import material

    found = material(options.sessions[0])
    for note in found.notes:
        say(note)
    options.sessions, options.anchor = list(found.sessions), list(found.anchors)
    return found.groups


def _grouped(groups: dict[str, str]) -> Iterator[str]:
    """Animals by what they have in common."""
    for group in sorted(set(groups.values())):
        yield f"{group}: {', '.join(sorted(name for name, its in groups.items() if its == group))}"


def _named(said: list[str], option: str, sessions: list[Path]) -> dict[Path, str]:
    """What was said of single sessions.

    Raises:
        ConfigError: it names none of them.
    """
    found = {}
    for text in said:
        name, equals, value = text.rpartition("=")
        if not equals or not value or Path(name) not in sessions:
            raise ConfigError(f"{option}: must read SESSION=VALUE, of a session that is given (got {text})")
        found[Path(name)] = value
    return found
