"""`closedloop unblind`: opens the key, says who had what, and says in the audit that it did."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from closedloop.commands import show


def add(commands: Any) -> None:
    """The command and its options."""
    parser = commands.add_parser("unblind", help="open a study's key, with an audit record")
    one = parser.add_argument
    one("study", metavar="STUDY.yaml", type=Path)
    one("--reason", metavar="TEXT", required=True, help="why; kept in the audit")
    one("--by", metavar="NAME", required=True, help="who does it; kept in the audit")
    one("--animal", metavar="ID", help="this one alone (default: all)")
    one("--json", action="store_true", help="one JSON object on standard output")
    parser.set_defaults(command=_unblind)


def _unblind(options: argparse.Namespace) -> int:
    from rich.table import Table

    from closedloop import terminal_table
    from closedloop.studies.files import Files
    from closedloop.studies.unblinding import unblind

    truths, record = unblind(options.study, options.reason, options.by, options.animal)
    table = Table("animal", "code", "arm", "partner", "sessions")
    for one in truths:
        table.add_row(one.animal, one.code, one.arm, one.partner or "-", str(len(one.sessions)))
    rows = [
        {
            "animal": one.animal,
            "code": one.code,
            "arm": one.arm,
            "policy": one.policy,
            "partner": one.partner,
            "sessions": [str(folder) for folder in one.sessions],
        }
        for one in truths
    ]
    where = Files(options.study).audit
    lines = [*terminal_table.lines(table), f"{where}: record {record['n']}, {record['at']}, {record['who']}"]
    show({"animals": rows, "record": record, "audit": str(where)}, lines, as_json=options.json)
    return 0
