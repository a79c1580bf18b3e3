"""What is lost from the files, and what was not had of the system."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from closedloop.watching.auditing.findings import Findings
from closedloop.watching.auditing.item import DOCTOR, GOOD, OLDER, OUTSIDE, UNKNOWN, Closed, Item


def remains(found: Findings, closed: Closed) -> Iterator[Item]:
    """What cannot be read any more."""
    title = "lost from the files"
    rows, event_bytes = _lost(closed)
    figures: dict[str, Any] = {"rows": rows}
    if not found.blinded:
        figures["event_bytes"] = event_bytes  # how long the lost line is might tell which it was
    if closed.running:
        yield Item("files", title, figures, "", "nothing", UNKNOWN, "the session runs")
        return
    if not (rows or event_bytes):
        yield Item("files", title, figures, "nothing", "nothing", GOOD)
        return
    lost = [f"{rows} rows"] if rows else []
    lost += ["the last events"] if event_bytes else []
    said = f"{' and '.join(lost)} cannot be read: they were not on the disk when the power went, or the file is damaged"
    yield Item("files", title, figures, " and ".join(lost), "nothing", OUTSIDE, f"{said}; restore it from a copy")


def _lost(closed: Closed) -> tuple[int, int]:
    """Rows, and bytes of events; also those that `closedloop recover` has put apart since."""
    recovered = (closed.summary or {}).get("recovered")
    readings, events = (_count(recovered, *where) for where in (("readings", "lost"), ("events", "torn_bytes")))
    return closed.cut_rows + readings, closed.cut_bytes + events


def _count(told: Any, part: str, name: str) -> int:
    one = told.get(part) if isinstance(told, dict) else None
    count = one.get(name) if isinstance(one, dict) else None
    return count if isinstance(count, int) else 0


_OF_THE_COMPUTER = ("read_to_command", "turn", "age", "overruns", "gaps", "heartbeat", "health")


def means(found: Findings, items: tuple[Item, ...]) -> Item:
    """What the engine asked of the system for itself and did not get: told as a warning only where it was too slow."""
    title, bound = "real-time means not had", "needed where the loop was too slow"
    asked = found.header.get("real_time")
    if not isinstance(asked, dict):
        return Item("real_time", title, {"not_had": None}, "", bound, UNKNOWN, OLDER)
    told = {name: one for name, one in asked.items() if isinstance(one, dict)}
    lacking = {name: str(one.get("why") or "no reason was given") for name, one in told.items() if not one.get("had")}
    figures: dict[str, Any] = {"not_had": ", ".join(lacking) or ""}
    words = "; ".join(f"{name}: {why}" for name, why in lacking.items()) or "all were had"
    slow = any(item.state == OUTSIDE for item in items if item.name in _OF_THE_COMPUTER)
    if not (lacking and slow):
        return Item("real_time", title, figures, words, bound, GOOD)
    said = f"the engine was too slow, and did not have what would make it steadier ({words}); {DOCTOR}"
    return Item("real_time", title, figures, words, bound, OUTSIDE, said)
