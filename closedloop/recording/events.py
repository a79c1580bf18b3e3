"""What happened, one line of JSON an event. Lines are only ever added, each in one write.

A line ends in its own check, the CRC-32 of the text before it:

    {"n":12,"ticks":81500000,"kind":"light_on","train":3,...,"text":null,"check":"5be0cd19"}

so that a torn or damaged line is seen. Reading stops before it: what follows may lack its cause.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from closedloop import plain_file
from closedloop.errors import RecordingError
from closedloop.recording.space import FULL

_PIECE_BYTES = 1 << 24
_BEFORE_CHECK = b',"check":"'
_AFTER_CHECK = b'"}'


class Event(NamedTuple):
    """One thing that happened.

    Attributes:
        n: its number in this recording, from 0, without gaps.
        ticks: when, in microseconds on the DAQ's clock.
        kind: detection, decision, command, light_on, light_off, refused, gap, input, trip, note ...
        train: the train it belongs to, or None.
        reason: why, in one word, or None.
        value: a number that goes with it, or None; nan is a value that is unknown.
        text: words for people, or None.
        host_ns: when the host knew, on its monotonic clock.
    """

    n: int
    ticks: int
    kind: str
    train: int | None
    reason: str | None
    value: float | None
    text: str | None
    host_ns: int


_WORDS, _NUMBER = (str, type(None)), (int, float, type(None))
_KINDS = (int, int, str, (int, type(None)), _WORDS, _NUMBER, _WORDS, int)  # of the fields of an Event


def _to_json(value: float | None) -> float | str | None:
    """JSON has no nan and no infinities: they are written as the text "nan", "inf" and "-inf"."""
    if value is None or math.isfinite(value):
        return value
    return str(value)


def _line(event: Event) -> bytes:
    fields = event._asdict() | {"value": _to_json(event.value)}
    text = json.dumps(fields, separators=(",", ":"), allow_nan=False)[:-1].encode()
    return text + _BEFORE_CHECK + b"%08x" % crc32(text) + _AFTER_CHECK + b"\n"


def _event(line: bytes) -> Event | None:
    """The event of a line given without its end, or None if it is damaged, or was not written by EventWriter."""
    text, _, check = line.rpartition(_BEFORE_CHECK)
    if check != b"%08x" % crc32(text) + _AFTER_CHECK:
        return None
    try:
        fields: dict[str, Any] = json.loads((text + b"}").decode())
        if isinstance(fields.get("value"), str):
            fields["value"] = float(fields["value"])
        values: list[Any] = [fields.get(name) for name in Event._fields]
    except (ValueError, AttributeError, RecursionError):
        return None
    return Event(*values) if all(map(_fits, values, _KINDS)) else None


def _fits(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and (not isinstance(value, int) or -(2**63) <= value < 2**63)


def whole_bytes(path: Path) -> tuple[int, int]:
    """Where the last whole line of a log ends, and how many whole lines there are, also behind damaged ones.

    Raises:
        RecordingError: the file cannot be opened.
    """
    end = at = count = 0
    for line in _read(path, 0, None).split(b"\n")[:-1]:
        at += len(line) + 1
        if _event(line) is not None:
            end, count = at, count + 1
    return end, count


class EventWriter:
    """Makes an event log and adds to it; for one thread.

    Args:
        path: of a new file.
        make_space: called when the disk is full; returns whether to try again.

    Raises:
        FileExistsError: there is a file of that name; a log is written once.
        OSError: the folder is missing or read-only.
    """

    def __init__(self, path: Path, make_space: Callable[[], bool] = lambda: False) -> None:
        self._path = path
        self._make_space = make_space
        self._file = path.open("xb", buffering=0)
        self._count = 0
        self._size = 0

    def append(
        self,
        kind: str,
        *,
        ticks: int,
        host_ns: int,
        train: int | None = None,
        reason: str | None = None,
        value: float | None = None,
        text: str | None = None,
    ) -> None:
        """Adds one event; when it returns, the event outlives this process.

        Raises:
            RecordingError: the disk is full.
        """
        whole = None if train is None else int(train)  # numpy's numbers are not JSON
        number = None if value is None else float(value)
        event = Event(self._count, int(ticks), kind, whole, reason, number, text, int(host_ns))
        self._write(_line(event))
        self._count += 1

    def sync(self) -> None:
        """Waits until all that was added before is on the disk; another thread may call it.

        Raises:
            RecordingError: the disk refused.
        """
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise RecordingError(f"{self._path}: not written to the disk: {error.strerror}") from error

    def close(self) -> None:
        """Syncs and closes. Closing again does nothing."""
        if self._file.closed:
            return
        try:
            self.sync()
        finally:
            self._file.close()

    def _write(self, line: bytes) -> None:
        problem = self._attempt(line)
        if problem and self._make_space():
            problem = self._attempt(line)
        if problem:
            raise RecordingError(f"{self._path}: {problem}")
        self._size += len(line)

    def _attempt(self, line: bytes) -> str | None:
        """What kept the line from being written, or None. A torn line is taken back: it would hide the next."""
        try:
            if self._file.write(line) == len(line):
                return None
            self._file.truncate(self._size)
            self._file.seek(self._size)
        except OSError as error:
            is_full = error.errno in FULL
            return f"{'no space for more events' if is_full else 'an event was not written'}: {error.strerror}"
        return "no space for more events: the disk is full"


def _read(path: Path, start: int, most_bytes: int | None) -> bytes:
    try:
        with plain_file.opened(path) as file:
            file.seek(start)
            return _to_the_end(file) if most_bytes is None else file.read(most_bytes)
    except OSError as error:
        raise RecordingError(f"{path}: cannot be opened: {error.strerror}") from error


def _to_the_end(file: FileIO) -> bytes:
    """All there is; but no line is so long as a piece, so what follows one without an end is a hole, and no event."""
    pieces = []
    while piece := file.read(_PIECE_BYTES):
        pieces.append(piece)
        if b"\n" not in piece:
            break
    return b"".join(pieces)


class EventTail:
    """Reads an event log forwards, each event once, while it grows or years later. Keeps no event and no open file.

    Attributes:
        cut: bytes after the last whole line, torn or damaged, as of the last look that came to the end.
        at_end: whether the last look came to the end of what there was.
        read_bytes: bytes of the events given so far.
        count: events given so far.
    """

    def __init__(self, path: Path) -> None:
        self.cut = 0
        self.at_end = False
        self.read_bytes = 0
        self.count = 0
        self._path = path

    def more(self, most_bytes: int | None = None) -> list[Event]:
        """The next events, as far as there are any now.

        Args:
            most_bytes: how far to read at once; a longer line is read all the same. None: to the end.

        Raises:
            RecordingError: the file cannot be opened.
        """
        data = _read(self._path, self.read_bytes, most_bytes)
        self.at_end = most_bytes is None or len(data) < most_bytes
        if not self.at_end and b"\n" not in data:
            data, self.at_end = _read(self._path, self.read_bytes, None), True
        before = self.read_bytes
        events = self._take(data)
        if self.at_end:
            self.cut = len(data) - (self.read_bytes - before)
        return events

    def _take(self, data: bytes) -> list[Event]:
        """All events before the first damaged or unfinished line."""
        taken = []
        for line in data.split(b"\n")[:-1]:
            event = _event(line)
            if event is None or event.n != self.count:
                break
            taken.append(event)
            self.count += 1
            self.read_bytes += len(line) + 1
        return taken


class EventReader:
    """Reads an event log, whether or not it is being written. Keeps no file open and changes nothing.

    Attributes:
        cut: bytes after the last whole line, torn or damaged, as of the last look.
    """

    def __init__(self, path: Path) -> None:
        self._tail = EventTail(path)
        self._events: list[Event] = []

    @property
    def cut(self) -> int:
        """Bytes after the last whole line."""
        return self._tail.cut

    def events(self, after: int = -1) -> list[Event]:
        """Events whose number is greater than `after`, as far as there are any now.

        Raises:
            RecordingError: the file cannot be opened.
        """
        self._events += self._tail.more()
        return self._events[max(0, after + 1) :]
