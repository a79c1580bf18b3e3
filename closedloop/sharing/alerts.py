"""What in a session is worth calling somebody for, each once. Nothing is sent here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from closedloop.errors import ConfigError
from closedloop.recording import Event
from closedloop.sharing import one_line
from closedloop.watching.status import State, Status, trip_words

HOWS = ("tripped", "device_lost", "failed", "broken_off", "stopped", "completed")
_OF_STATE = {
    State.TRIPPED: "tripped",
    State.DEVICE_LOST: "device_lost",
    State.FAILED: "failed",
    State.BROKEN_OFF: "broken_off",
    State.STOPPED: "stopped",
    State.COMPLETED: "completed",
}


class Alert(NamedTuple):
    """One thing to be told. Of a blinded session no word of it tells the arm.

    Attributes:
        how: one of HOWS.
        reason: in words, on one line.
        session: the session's folder.
        subject: the animal, or "test".
        rig: its name.
    """

    how: str
    reason: str
    session: Path
    subject: str
    rig: str

    def as_dict(self) -> dict[str, str]:
        """For JSON; the folder by its last two names, which say nothing about the computer."""
        return {**self._asdict(), "session": "/".join(self.session.parts[-2:])}


def chosen(text: str) -> tuple[str, ...]:
    """The endings of --alert-on: names with commas between.

    Raises:
        ConfigError: one of them is unknown.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in HOWS]
    if unknown or not names:
        said = f"unknown: {', '.join(unknown)}" if unknown else "nothing is named"
        raise ConfigError(f"--alert-on: {said} (got {text!r}); choose of {', '.join(HOWS)}, with commas between")
    return names


class Alarm:
    """What of one session has been told, and what has not.

    Args:
        folder: the session's.
        wanted: of HOWS.
    """

    def __init__(self, folder: Path, wanted: Collection[str]) -> None:
        self._folder = folder
        self._wanted = frozenset(wanted)
        self._told: set[str] = set()

    def due(self, header: dict[str, Any], events: Sequence[Event], status: Status, *, is_over: bool) -> list[Alert]:
        """What is to be told now; each `how` once a session.

        Args:
            header: the recording's.
            events: the new ones.
            status: how it stands.
            is_over: whether the session has ended, or broken off.
        """
        due = [("tripped", trip_words(event.reason)) for event in events if event.kind == "trip"]
        how = _OF_STATE.get(status.state) if is_over else None
        if how is not None:
            due.append((how, status.reason))
        return [self._alert(header, *one) for one in due if self._is_new(one[0])]

    def _is_new(self, how: str) -> bool:
        new = how in self._wanted and how not in self._told
        self._told.add(how)
        return new

    def _alert(self, header: dict[str, Any], how: str, reason: str) -> Alert:
        rig = (header.get("rig") or {}).get("name") or "rig"
        subject = header.get("subject") or "test"
        return Alert(how, one_line(reason), self._folder, one_line(subject, 64), one_line(rig, 80))
