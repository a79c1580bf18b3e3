"""Follows one session folder in short turns: what is new since the last turn, in the order in which it happened.

It never raises for what it finds in the folder, never reads more in a turn than it was told to, never keeps a file open
and never changes anything. A folder that is not a session yet, a table that shrinks and a folder that vanishes are said
in words in `problem`, and looked at again in the next turn. Of a blinded session it finds what is the same in every arm
(`recording.blinding`).
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from closedloop.errors import RecordingError
from closedloop.health import HEALTH
from closedloop.readings import FLAG_LIGHT, READING
from closedloop.recording import Event, Recording, Rows, row_dtype
from closedloop.recording import folder as files
from closedloop.recording.events import EventTail
from closedloop.recording.layout import PAGE_BYTES, Layout
from closedloop.recording.table_reader import TableReader
from closedloop.steps import STEP, shown_in

_EVENT_BYTES = 1 << 16  # of the log in one turn: some 400 events
_LOOKS_OPENED = 2  # without writer and summary before a session just opened counts as broken off
_LOOKS_ENDING = 30  # ... and one that was seen alive: closing it waits for the disk
_LOOKS_HEADLESS = 30  # at a table that nobody writes, without a header beside it
_KINDS: dict[str, tuple[type, ...]] = {  # of what may be missing from a header, but not be something else
    "protocol": (dict,),
    "rig": (dict,),
    "boards": (dict,),
    "decisions": (list,),
    "limits": (dict, type(None)),
    "command": (dict, type(None)),
    "speed": (int, float, type(None)),
    "tip_mw": (int, float, type(None)),
    "full_power_mw": (int, float, type(None)),
    "expected_s": (int, float, type(None)),
    "bounds": (dict,),
    "computer": (dict,),
}
_LATER = ("ahead", "block", "kelvin")  # columns that older recordings lack
_HEALTH_FIRST = (  # of health: what the oldest have, and what watching cannot do without
    "ticks",
    "host_ns",
    "heartbeat_ns",
    "stimulator_heard_ns",
    "damaged",
    "repeated",
    "phase",
    "armed",
)
_TRUTH = "truth"  # what the simulated rig puts into the folder before the session begins


class Stage(Enum):
    """How far a session has come, as its folder tells."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"
    BROKEN_OFF = "broken off"
    UNREADABLE = "unreadable"


class Fresh(NamedTuple):
    """What one turn found.

    Attributes:
        rows: the next rows of the table.
        events: events up to the time of the last row; all there are, once all rows are read.
        health: rows of HEALTH, likewise.
        output_high: whether the newest reading saw the stimulator's output high, which rows of blinded sessions hide.
    """

    rows: Rows
    events: list[Event]
    health: Rows
    output_high: bool = False


class Follower:
    """Reads one session folder, from before it begins until after it has ended. For one thread.

    Attributes:
        stage: how far the session has come.
        problem: what is wrong and what to do, in words; empty if nothing is.
        header: what was run, on what; empty until it has begun.
        summary: how it ended, or None.
        size_bytes: of rows, events and health so far; of a blinded session without the events.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stage = Stage.WAITING
        self.problem = ""
        self.header: dict[str, Any] = {}
        self.summary: dict[str, Any] | None = None
        self.size_bytes = 0
        self._recording: Recording | None = None
        self._dtype = row_dtype(STEP)
        self._tail = EventTail(folder / files.EVENTS)
        self._events: list[Event] = []
        self._health: Rows = np.zeros(0, HEALTH)
        self._rows_read = 0
        self._rows_there = 0
        self._health_read = 0
        self._last_ticks = -1
        self._seen_alive = False
        self._looks_without_writer = 0
        self._beside: dict[str, str] = {}  # what is wrong with the files beside the table

    @property
    def loaded(self) -> float:
        """Part of the rows there that has been read, 0 to 1; 1 only if no event or health row waits either."""
        if self._recording is None:
            return 0.0
        part = self._rows_read / self._rows_there if self._rows_there else 1.0
        unread = not self._tail.at_end and not self._beside.get("events")
        waiting = unread or len(self._events) or len(self._health)
        return min(part, 0.99) if waiting else part

    @property
    def shown(self) -> tuple[str, ...]:
        """Columns that the session's parts show of themselves; known as soon as the header is."""
        return shown_in(self._dtype)

    @property
    def cut(self) -> tuple[int, int]:
        """Rows and bytes of events that should be there and cannot be read."""
        return (0, 0) if self._recording is None else (self._recording.table.cut, self._tail.cut)

    def turn(self, most_rows: int = 20_000) -> Fresh:
        """What is new, as far as it fits in one turn; empty where nothing is or can be read."""
        try:
            recording = self._opened()
            if recording is None:
                return self._nothing()
            self._judge(recording)
            rows = self._next_rows(recording, most_rows)
        except RecordingError as error:
            return self._unreadable(str(error))
        except OSError as error:
            return self._unreadable(f"{self.folder}: {error.strerror or error}")
        fresh = Fresh(
            rows, self._next_events(recording), self._next_health(recording), self._output_high(recording, rows)
        )
        self.problem = self._damage(recording)
        self.size_bytes = self._measured(recording)
        return fresh

    def rows(self, start: int, stop: int) -> Rows:
        """Rows [start, stop) from the disk, whether or not they were read before; none where that fails."""
        if self._recording is None or stop <= start:
            return np.zeros(0, self._dtype)
        try:
            return self._recording.rows(max(0, start), stop)
        except (RecordingError, OSError):
            return np.zeros(0, self._dtype)

    def _nothing(self) -> Fresh:
        return Fresh(np.zeros(0, self._dtype), [], np.zeros(0, HEALTH))

    def _unreadable(self, why: str) -> Fresh:
        self.stage = Stage.UNREADABLE
        if not self.folder.is_dir():
            why = f"{self.folder}: the folder is gone: moved, renamed, or on a disk that was taken out; put it back"
        self.problem = _advised(why)
        return self._nothing()

    def _opened(self) -> Recording | None:
        if self._recording is None and not (self.folder / files.HEADER).is_file():
            self.stage = Stage.WAITING
            self.problem = _why_not_begun(self.folder)
            if self._is_headless():
                raise RecordingError(
                    f"{self.folder}: {files.HEADER} is missing: the session never began, or the file was removed; "
                    "restore it from a copy, or start a new session"
                )
            return None
        if self._recording is None:
            recording = Recording.open(self.folder)
            _refuse_strange(recording)
            self._recording = recording
            self.header = recording.header
            self._dtype = recording.table.dtype
        return self._recording

    def _is_headless(self) -> bool:
        """Whether there is a table that nobody writes: a session makes its table first, and then its header."""
        table = self.folder / files.TABLE
        if not table.is_file() or _is_written(table):
            self._looks_without_writer = 0
            return False
        self._looks_without_writer += 1
        return self._looks_without_writer > _LOOKS_HEADLESS

    def _judge(self, recording: Recording) -> None:
        """The stage. Asked before the rows are read: what a writer that is gone had written is all there."""
        self._read_summary(recording)
        if self.summary is not None:
            self.stage = Stage.FINISHED
        elif recording.being_written:
            self._seen_alive = True
            self._looks_without_writer = 0
            self.stage = Stage.RUNNING
        else:
            self._looks_without_writer += 1
            patience = _LOOKS_ENDING if self._seen_alive else _LOOKS_OPENED
            self.stage = Stage.BROKEN_OFF if self._looks_without_writer > patience else Stage.RUNNING

    def _read_summary(self, recording: Recording) -> None:
        if self.summary is not None:
            return
        self._beside["summary"] = ""
        try:
            self.summary = recording.summary
        except RecordingError as error:
            self._beside["summary"] = str(error)

    def _next_rows(self, recording: Recording, most_rows: int) -> Rows:
        rows = recording.rows(self._rows_read, self._rows_read + most_rows)
        self._rows_read += len(rows)
        whole = len(rows) < most_rows
        self._rows_there = self._rows_read if whole else max(self._rows_read, recording.table.head)
        if len(rows):
            self._last_ticks = int(rows["ticks"][-1])
        return rows

    def _output_high(self, recording: Recording, rows: Rows) -> bool:
        """As stored: light that nobody planned must be seen in a blinded session, too."""
        if len(rows) == 0:
            return False
        newest = recording.table.rows(self._rows_read - 1, self._rows_read) if recording.blinded else rows[-1:]
        return bool(len(newest) and newest["flags"][-1] & FLAG_LIGHT)

    @property
    def _caught_up(self) -> bool:
        return self._rows_read >= self._rows_there

    def _next_events(self, recording: Recording) -> list[Event]:
        self._beside["events"] = ""
        if not self._events:
            try:
                self._events = recording.shown(self._tail.more(_EVENT_BYTES))
            except RecordingError as error:
                self._beside["events"] = str(error)
        due = len(self._events)
        if not self._caught_up:
            later = (at for at, event in enumerate(self._events) if event.ticks > self._last_ticks)
            due = next(later, due)
        events, self._events = self._events[:due], self._events[due:]
        return events

    def _next_health(self, recording: Recording) -> Rows:
        self._beside["health"] = ""
        if not len(self._health):
            try:
                self._health = _rows_of_health(recording.health(self._health_read), self.folder)
            except (RecordingError, OSError) as error:
                self._beside["health"] = str(error)
        due = len(self._health)
        if not self._caught_up:
            due = int(np.searchsorted(self._health["ticks"], self._last_ticks, side="right"))
        health, self._health = self._health[:due], self._health[due:]
        self._health_read += due
        return health

    def _damage(self, recording: Recording) -> str:
        """What cannot be read, though the session can."""
        if words := " ".join(_advised(why) for why in self._beside.values() if why):
            return words
        if self.stage is Stage.RUNNING:
            return ""  # what is not whole may be so in a moment
        if recording.table.cut:
            lost = f"the last {recording.table.cut} readings are lost or damaged"
            return f"{recording.folder}: {lost}; what is before them is shown, restore the rest from a copy"
        if self._tail.cut:
            lost = f"events after number {self._tail.count - 1} are lost or damaged"
            return f"{recording.folder}: {lost}; what is before them is shown, restore the rest from a copy"
        return ""

    def _measured(self, recording: Recording) -> int:
        rows = self._rows_there * Layout.of(recording.table.dtype).stride
        health = (self._health_read + len(self._health)) * Layout.of(self._health.dtype).stride
        events = 0 if recording.blinded else self._tail.read_bytes  # light has lines in it
        return PAGE_BYTES + rows + events + health


def _refuse_strange(recording: Recording) -> None:
    """Refuse a header or a table in which nothing can be found.

    Raises:
        RecordingError: which, and what to do.
    """
    wrong = [n for n, kinds in _KINDS.items() if n in recording.header and not isinstance(recording.header[n], kinds)]
    if wrong:
        said = f"damaged: no usable {', '.join(wrong)}; restore it from a copy"
        raise RecordingError(f"{recording.folder / files.HEADER}: {said}")
    if lacking := _lacking(recording.table.dtype, READING, STEP, optional=_LATER):
        said = f"its rows lack {lacking}; it is of another version of closedloop, or not this session's"
        raise RecordingError(f"{recording.folder / files.TABLE}: {said}")


def _advised(why: str) -> str:
    """A problem, with what to do where it does not say so itself."""
    return why if "; " in why else f"{why}; may you read it? if it is lost, restore it from a copy"


def _rows_of_health(rows: Rows, folder: Path) -> Rows:
    if lacking := ", ".join(name for name in _HEALTH_FIRST if name not in (rows.dtype.names or ())):
        raise RecordingError(f"{folder / files.HEALTH_TABLE}: its rows lack {lacking}; the links are not shown")
    return rows


def _lacking(dtype: np.dtype[np.void], *wanted: np.dtype[np.void], optional: tuple[str, ...] = ()) -> str:
    there = {*(dtype.names or ()), *optional}
    return ", ".join(name for one in wanted for name in one.names or () if name not in there)


def _is_written(table: Path) -> bool:
    """Whether somebody writes it now; without its first page it is just being made, or was left behind."""
    try:
        return TableReader(table).being_written
    except RecordingError:
        return False


def _why_not_begun(folder: Path) -> str:
    try:
        names = {path.name for path in folder.iterdir()}
    except NotADirectoryError:
        return f"{folder}: this is a file; name the session's folder"
    except OSError:
        return f"{folder}: there is no such folder; check its name, or start the session"
    if names and not names & {files.TABLE, files.EVENTS, files.PROTOCOL, files.RESERVE, _TRUTH}:
        return f"{folder}: not a session folder, it has no {files.HEADER}; choose one whose name begins with ses-"
    return ""
