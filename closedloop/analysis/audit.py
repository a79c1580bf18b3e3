"""The audit of a recorded session, finished or not: what was measured, against its bounds. It changes nothing.

The rows are read in blocks, each once, so that memory stays flat however long the session was. See `docs/audit.md`.
"""

from __future__ import annotations

from closedloop.errors import RecordingError
from closedloop.recording import Event, Recording, TableReader
from closedloop.recording.events import EventTail
from closedloop.recording.folder import EVENTS, HEALTH_TABLE
from closedloop.watching.auditing import Audit, Closed, Findings, judge

__all__ = ["Audit", "audit"]

_BLOCK = 1 << 15  # rows read at once: some 4 MB
_EVENT_BYTES = 1 << 20


def audit(recording: Recording) -> Audit:
    """What was measured in this session, each thing against its bound.

    Of a blinded session it says what is the same in every arm.

    Raises:
        RecordingError: the recording cannot be read.
    """
    found = Findings(recording.header)
    tail = _take(found, recording)
    _take_health(found, recording)
    running = not recording.finished and recording.being_written
    summary = recording.summary
    found.close()
    found.end(summary or {})
    return judge(found, Closed(summary, running, recording.table.cut, tail.cut))


def _take(found: Findings, recording: Recording) -> EventTail:
    """Rows and events in their order, as stored: of a blinded session the findings use only what all arms share."""
    table, tail = recording.table, EventTail(recording.folder / EVENTS)
    waiting: list[Event] = []
    start = 0
    while len(rows := table.rows(start, start + _BLOCK)):
        found.add_rows(rows)
        start += len(rows)
        waiting = _hear(found, tail, waiting, int(rows["ticks"][-1]))
    while waiting or not tail.at_end:
        waiting = _hear(found, tail, waiting, None)
    return tail


def _hear(found: Findings, tail: EventTail, waiting: list[Event], until_ticks: int | None) -> list[Event]:
    """Events up to these ticks (None: of one more look); returns those that are later."""
    while True:
        waiting = waiting or tail.more(_EVENT_BYTES)
        later = next((at for at, e in enumerate(waiting) if until_ticks is not None and e.ticks > until_ticks), None)
        found.add_events(waiting[:later])
        if later is not None:
            return waiting[later:]
        waiting = []
        if tail.at_end or until_ticks is None:
            return waiting


def _take_health(found: Findings, recording: Recording) -> None:
    """None in recordings older than that table, or where it cannot be read."""
    path = recording.folder / HEALTH_TABLE
    if not path.exists():
        return
    try:
        table, start = TableReader(path), 0
        while len(rows := table.rows(start, start + _BLOCK)):
            found.add_health(rows)
            start += len(rows)
    except RecordingError:
        return
