"""`closedloop recover`: closes a session that was broken off, and says what was saved."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from closedloop.commands import show

_WHAT = {"readings": "readings", "events": "events", "health": "rows of health"}


def add(commands: Any) -> None:
    """The command and its options."""
    parser = commands.add_parser(
        "recover",
        help="close a session that was broken off, and say what was saved",
        description="Closes a session whose engine crashed, was killed or lost power. Whole rows and events are not "
        "changed; what was torn is kept beside, as NAME.torn. A second time changes nothing.",
    )
    parser.add_argument("session", metavar="SESSION", type=Path)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.set_defaults(command=_recover)


def _recover(options: argparse.Namespace) -> int:
    from closedloop.recording import recover

    changed, summary = recover(options.session)
    known = {name: summary.get(name) for name in ("ended", "reason", "recovered")}
    trains = summary.get("unfinished_trains")
    result = {"session": str(options.session), "changed": changed, **known, "unfinished_trains": trains}
    show(result, [_heading(options.session, changed, summary), *_lines(summary)], as_json=options.json)
    return 0


def _heading(session: Path, changed: bool, summary: dict[str, Any]) -> str:
    if changed:
        return f"{session}: closed; it ended as {summary.get('ended')}"
    by_whom = "recovered before" if summary.get("recovered") else "closed properly"
    return f"{session}: nothing to do, it was {by_whom}; it ended as {summary.get('ended')}"


def _lines(summary: dict[str, Any]) -> list[str]:
    recovered = summary.get("recovered") or {}
    lines = [_line(what, recovered[name]) for name, what in _WHAT.items() if recovered.get(name)]
    if recovered and (trains := summary.get("unfinished_trains")):
        of = "1 train" if trains == 1 else f"{trains:,} trains"
        lines.append(f"  the end of {of} is not recorded: the stimulator ended the light by its lease")
    if recovered.get("silent_s"):
        lines.append(f"  the last sign of life came {recovered['silent_s']:.2f} s after the last reading")
    return lines


def _line(what: str, told: dict[str, int]) -> str:
    said = f"  {told['saved']:,} {what} saved"
    if told["lost"]:
        said += f", {told['lost']:,} lost"
    if told["apart"]:
        said += f", {told['apart']:,} whole ones behind a damaged one left in the file, unread"
    if told["torn_bytes"]:
        said += f", {told['torn_bytes']:,} torn bytes kept beside"
    return said
