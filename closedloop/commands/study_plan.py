"""`closedloop study plan`: what is to be run today for whom."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from closedloop.commands import show

if TYPE_CHECKING:
    from closedloop.studies.plan import Plan
    from closedloop.studies.sessions import Entry


def add(verbs: Any) -> None:
    """The verb and its options."""
    parser = verbs.add_parser("plan", help="what is to be run today, for whom, and how; what was missed")
    one = parser.add_argument
    one("study", metavar="STUDY.yaml", type=Path)
    one("--date", metavar="DATE", help="year-month-day (default: today)")
    one("--json", action="store_true", help="one JSON object on standard output")
    parser.set_defaults(command=_plan)


def _plan(options: argparse.Namespace) -> int:
    from datetime import date

    from closedloop.studies import plan

    on = plan.parse_date(options.date) or date.today()  # the one on the wall beside the rig
    found = plan.plan(options.study, on)
    show(plan.as_dict(found), list(_lines(found)), as_json=options.json)
    return 0


def _lines(found: Plan) -> Iterator[str]:
    done = sum(one.state == "done" for one in found.entries)
    yield f"{found.study.name}, {found.on:%A %Y-%m-%d}: {done} of {len(found.entries)} sessions done"
    for problem in found.problems:
        yield f"first: {problem}"
    run = f"closedloop run --study {found.files.study} --subject"
    if found.today:
        yield "today:"
        yield from _table(found, found.today)
        due = next((one for one in found.today if one.state in ("due", "broken off")), None)
        if due is not None and found.allocation is not None:
            yield f"  {run} {due.animal.id}"
    else:
        yield "today: nothing is due"
    if found.missed:
        yield "missed:"
        yield from _missed(found.missed)
        late = found.missed[-1]
        yield f"  {run} {late.animal.id} --date {late.on} --reason TEXT"
    if found.next and not found.today:
        yield "next:"
        yield from _table(found, found.next)


def _table(found: Plan, some: Sequence[Entry]) -> list[str]:
    """Sessions, one a row; a column in which nothing differs from the day's date or the study's rig is left out."""
    from closedloop import terminal_table

    columns: dict[str, list[str]] = {
        "order": [str(placed.rank) if (placed := found.placed(one)) else "-" for one in some],
        "animal": [one.animal.id for one in some],
        "session": [_session(one) for one in some],
        "date": [one.on.isoformat() for one in some],
        "state": [one.state for one in some],
        "code": [placed.code if (placed := found.placed(one)) and one.slot.phase.arms else "-" for one in some],
        "drawn": [", ".join(placed.drawn.values()) if (placed := found.placed(one)) else "" for one in some],
        "protocol": [one.slot.phase.protocol for one in some],
        "rig": [found.study.rig_of(one.animal) for one in some],
    }
    usual = {"date": found.on.isoformat(), "rig": found.study.rig, "drawn": "", "code": "-"}
    shown = {name: cells for name, cells in columns.items() if set(cells) != {usual.get(name)}}
    return terminal_table.lines(terminal_table.of(shown, wide=("session", "protocol", "rig")))


def _session(one: Entry) -> str:
    days = len(one.slot.phase.days)
    return one.label if days == 1 else f"{one.label}, {one.slot.session} of {days}"


def _missed(some: Sequence[Entry]) -> list[str]:
    """What was missed, one row for an animal's phase."""
    from closedloop import terminal_table

    grouped: dict[tuple[str, str], list[Entry]] = {}
    for one in some:
        grouped.setdefault((one.animal.id, one.slot.phase.name), []).append(one)
    columns = {
        "animal": [animal for animal, _ in grouped],
        "phase": [phase for _, phase in grouped],
        "sessions": [f"{len(its)} of {len(its[0].slot.phase.days)}" for its in grouped.values()],
        "dates": [", ".join(one.on.isoformat() for one in its) for its in grouped.values()],
    }
    return terminal_table.lines(terminal_table.of(columns, wide=("phase", "dates")))
