"""The recording is the bus: the engine appends to a session folder, all others read it, then or years later.

There is no second way to see a session, and looking at one never changes it.
"""

from __future__ import annotations

from closedloop.recording.events import Event, EventReader, EventWriter
from closedloop.recording.folder import create
from closedloop.recording.layout import Rows
from closedloop.recording.recovery import Recovered, recover
from closedloop.recording.session_reader import Recording
from closedloop.recording.session_writer import RecordingWriter, row_dtype
from closedloop.recording.table_reader import TableReader
from closedloop.recording.table_writer import TableWriter

__all__ = [
    "Event",
    "EventReader",
    "EventWriter",
    "Recording",
    "RecordingWriter",
    "Recovered",
    "Rows",
    "TableReader",
    "TableWriter",
    "create",
    "recover",
    "row_dtype",
]
