"""Closes a session that was broken off: a crash, a kill, a power cut. It adds no row, no event and no time of its own.

The summary is written last and at once: a recover that is itself broken off is finished by the next one, with the same
bytes. Nobody who reads the session notices, but for the summary: what could be read before is what can be read after.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from closedloop import door
from closedloop.errors import ConfigError, RecordingError
from closedloop.recording import cut, lock
from closedloop.recording import folder as files
from closedloop.recording.events import Event
from closedloop.recording.layout import LOCK_AT
from closedloop.recording.session_reader import Recording

BROKEN_OFF = "broken_off"
_REASON = "the engine did not close the session (it crashed, was killed, or power was cut); closedloop recover did"
_LEFT_BEHIND = (door.FILE, files.RESERVE, files.HEADER + files.PART)


class Recovered(NamedTuple):
    """What came of it.

    Attributes:
        changed: whether there was anything to do.
        summary: of the session, as readers show it.
    """

    changed: bool
    summary: dict[str, Any]


def recover(folder: Path) -> Recovered:
    """Closes the session in this folder, if nobody else will.

    Raises:
        ConfigError: the session is running, or is being recovered by somebody else.
        RecordingError: it cannot be read, or may not be changed; nothing is lost.
    """
    recording = Recording.open(folder)
    _refuse_links(folder)
    with _in_words(folder), _held(folder):
        changed = not recording.finished
        if changed:
            _close(recording)
    return Recovered(changed, recording.summary or {})


def _refuse_links(folder: Path) -> None:
    """What a link leads to is not this session's alone: it may be read, and is not cut."""
    for name in (files.TABLE, files.HEALTH_TABLE, files.EVENTS):
        if (folder / name).is_symlink():
            raise RecordingError(f"{folder / name}: a link, and what it leads to is not changed; recover it there")


def _close(recording: Recording) -> None:
    folder = recording.folder
    said = _said_at_the_end(folder)
    readings, log = cut.of_table(folder / files.TABLE), cut.of_log(folder / files.EVENTS, recording.log)
    health = _of_health(folder / files.HEALTH_TABLE)
    summary = {**_outcome(recording), **said}
    for one in (readings, log, health):
        if one is not None:
            one.make()
    for name in _LEFT_BEHIND:
        (folder / name).unlink(missing_ok=True)
    told = {"readings": readings.told(), "health": health and health.told(), "events": log.told()}
    files.write_map(folder / files.SUMMARY, {**summary, "recovered": {**told, **_times(recording)}})


def _said_at_the_end(folder: Path) -> dict[str, Any]:
    """The engine's own summary, if it was whole and only its name was still to be changed."""
    with suppress(RecordingError):
        said = files.read_map(folder / (files.SUMMARY + files.PART))
        return said if "ended" in said else {}
    return {}


def _of_health(path: Path) -> cut.Cut | None:
    """None where there is none, or none that can be read: then it is left as it is."""
    with suppress(RecordingError):
        return cut.of_table(path) if path.exists() else None
    return None


def _outcome(recording: Recording) -> dict[str, Any]:
    """How it ended, as far as rows and events tell."""
    outcome: dict[str, Any] = {
        "ended": BROKEN_OFF,
        "reason": _REASON,
        "unfinished_trains": unfinished(recording.log.events()),
    }
    with suppress(RecordingError):
        last = recording.health(-1)
        for name, column in (("repeated", "repeated"), ("damaged_frames", "damaged")):
            if len(last) and column in (last.dtype.names or ()):
                outcome[name] = int(last[column][0])
    return outcome


def unfinished(events: Iterable[Event]) -> int:
    """Trains that were commanded or lit and whose end is not recorded: their stimulator ended them by its lease."""
    begun, over = set(), set()
    for event in events:
        if event.kind in ("command", "light_on"):
            begun.add(event.train)
        elif event.kind in ("light_off", "refused"):
            over.add(event.train)
    return len(begun - over)


def _times(recording: Recording) -> dict[str, float | None]:
    """Host time from the session's start to the last sign of life, and from the last reading to there, in seconds."""
    row = recording.rows(-1)["host_ns"].tolist()
    signs = list(row)
    with suppress(RecordingError):
        signs += recording.health(-1)["host_ns"].tolist()
    began = recording.header.get("started_ns")
    return {
        "lasted_s": (max(signs) - began) / 1e9 if signs and isinstance(began, int) else None,
        "silent_s": (max(signs) - row[0]) / 1e9 if row else None,
    }


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """The writer's lock: neither an engine nor another recover has it meanwhile."""
    with (folder / files.TABLE).open("r+b", buffering=0) as file:
        try:
            lock.take(file, LOCK_AT)
        except OSError as error:
            said = "the session is running, or is being recovered just now; stop it, or wait, and try again"
            raise ConfigError(f"{folder}: {said}") from error
        yield


@contextmanager
def _in_words(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        said = f"could not be closed: {error.strerror or error}; nothing is lost, it can be read as it is"
        raise RecordingError(f"{folder}: {said}") from error
