"""`closedloop study report`: level, rate and gain of each animal in each phase, as a table and a figure."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from closedloop.commands import show
from closedloop.errors import ConfigError


def add(commands: Any) -> None:
    """The command and what it can do."""
    parser = commands.add_parser("study", help="animals and phases of a study, side by side")
    verbs = parser.add_subparsers(required=True, metavar="WHAT")
    report = verbs.add_parser("report", help="level, rate and gain per animal and phase, with intervals")
    one = report.add_argument
    one("sessions", metavar="SESSION", type=Path, nargs="+", help="session folders, or files")
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
    show(report.as_dict() | {"files": written}, [*table.lines(report), *written.values()], as_json=options.json)
    return 0


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
