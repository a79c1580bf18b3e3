"""One session as it is shared: what is new of it for streams, how it stands, and what is to be told. Nothing is sent.

Of a blinded session nothing here knows the arm: it follows what is the same in every arm (`watching.follower`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from closedloop.recording import Event, Rows
from closedloop.sharing import one_line
from closedloop.sharing.alerts import Alarm, Alert
from closedloop.sharing.tick_times import Numbers, TickTimes
from closedloop.train import Refusal
from closedloop.watching.course import Course
from closedloop.watching.follower import Follower, Fresh, Stage
from closedloop.watching.standing import Look, Standing
from closedloop.watching.status import State, Status
from closedloop.watching.tallies import Tallies

_OVER = (Stage.FINISHED, Stage.BROKEN_OFF)


class News(NamedTuple):
    """What one turn found.

    Attributes:
        rows: readings since sharing began.
        rows_ns: when each was, on the host's monotonic clock.
        events: likewise.
        events_ns: likewise.
        alerts: to be told.
    """

    rows: Rows
    rows_ns: Numbers
    events: list[Event]
    events_ns: Numbers
    alerts: list[Alert]


class FollowedSession:
    """One session.

    Args:
        folder: the session's.
        since_ns: host's monotonic clock; what was recorded before is counted and not streamed.
        wanted: alerts, of `alerts.HOWS`.
    """

    def __init__(self, folder: Path, since_ns: int, wanted: Collection[str] = ()) -> None:
        self.folder = folder
        self._follower = Follower(folder)
        self._since_ns = since_ns
        self._alarm = Alarm(folder, wanted)
        self._health: Any = None
        self._begin({})
        self.status: Status = self._standing.status(self._look(since_ns))

    @property
    def header(self) -> dict[str, Any]:
        """What was run, on what; empty until the session has begun."""
        return self._follower.header

    @property
    def blinded(self) -> bool:
        """Whether the arm is kept from whoever watches."""
        return bool(self.header.get("blinded"))

    @property
    def stage(self) -> Stage:
        """How far it has come."""
        return self._follower.stage

    @property
    def is_over(self) -> bool:
        """Whether it has ended or broken off, and all of it has been read."""
        return self.stage in _OVER and self.caught_up

    @property
    def caught_up(self) -> bool:
        """Whether all that is there has been read."""
        return self._follower.loaded == 1.0

    def turn(self, now_ns: int) -> News:
        """What is new. Never raises for what is in the folder."""
        fresh = self._follower.turn()
        if self.header and not self._begun:
            self._begin(self.header)
        self._take(fresh)
        self.status = self._standing.status(self._look(now_ns))
        alerts = self._alarm.due(self.header, fresh.events, self.status, is_over=self.is_over)
        return self._news(fresh, alerts)

    def state(self, now_ns: int) -> dict[str, Any]:
        """How it stands, for JSON: numbers that are unknown are None."""
        header, status = self.header, self.status
        is_lit = status.state is State.LIT
        return {
            "rig": one_line((header.get("rig") or {}).get("name") or "", 80) or None,
            "session": "/".join(self.folder.parts[-2:]),
            "subject": header.get("subject"),
            "protocol": header.get("protocol_name"),
            "phase": status.state.value,
            "reason": one_line(status.reason),
            "armed": status.is_armed,
            "light": None if self.blinded else is_lit,
            "block": self._course.name,
            "elapsed_s": round(status.elapsed_s, 3),
            "left_s": None if status.left_s is None else round(status.left_s, 3),
            "readings": self._tallies.received,
            "missing": self._tallies.missing,
            "detections": self._tallies.detections,
            "vetoes": dict(self._vetoes),
            "age_s": self._age_s(now_ns),
            **{name: self._figure(name) for name in CLOCKS},
            "ended": status.state.value if self.is_over else None,
        }

    def clock(self) -> dict[str, float | None]:
        """What is known of the boards' clocks, in microseconds and ppm."""
        return {name: self._figure(name) for name in CLOCKS}

    def _begin(self, header: dict[str, Any]) -> None:
        self._begun = bool(header)
        self._standing = Standing(self.folder, header)
        self._tallies = Tallies(header)
        self._course = Course(header)
        self._vetoes: Counter[str] = Counter()
        self._last_ns: int | None = None
        self._times = TickTimes(float(header.get("speed") or 1))

    def _take(self, fresh: Fresh) -> None:
        for part in (self._standing, self._tallies, self._course):
            part.add(fresh)
        if len(fresh.health):
            self._health = fresh.health[-1]
        if len(fresh.rows):
            self._last_ns = int(fresh.rows["host_ns"][-1])
            self._times.add(fresh.rows["ticks"].astype(np.int64), fresh.rows["host_ns"].astype(np.int64))
            for code, n in enumerate(np.bincount(fresh.rows["veto"]).tolist()):
                if code and n:
                    self._vetoes[_veto(code)] += n
        if self._follower.summary is not None and self.caught_up:
            self._tallies.end(self._follower.summary)

    def _news(self, fresh: Fresh, alerts: list[Alert]) -> News:
        rows = fresh.rows[fresh.rows["host_ns"] >= self._since_ns] if len(fresh.rows) else fresh.rows
        events = [event for event in fresh.events if event.host_ns >= self._since_ns]
        ticks = np.array([event.ticks for event in events], np.int64)
        return News(rows, self._ns(rows["ticks"].astype(np.int64)), events, self._events_ns(events, ticks), alerts)

    def _ns(self, ticks: np.ndarray[Any, np.dtype[np.int64]]) -> Numbers:
        return self._times.ns(ticks)

    def _events_ns(self, events: list[Event], ticks: np.ndarray[Any, np.dtype[np.int64]]) -> Numbers:
        """By their ticks, as the readings; by when the host knew where there is no reading yet."""
        known = np.array([event.host_ns for event in events], np.float64)
        return np.where(np.isfinite(by_ticks := self._ns(ticks)), by_ticks, known)

    def _look(self, now_ns: int) -> Look:
        one = self._follower
        return Look(one.stage, one.problem, one.summary, one.size_bytes, self.caught_up, now_ns)

    def _age_s(self, now_ns: int) -> float | None:
        """Since the last reading came, while the session runs."""
        if self.stage is not Stage.RUNNING or self._last_ns is None:
            return None
        return round(max(0, now_ns - self._last_ns) / 1e9, 3)

    def _figure(self, name: str) -> float | None:
        """A column of health, of its last row; None where it is unknown or the recording has no such column."""
        if self._health is None or name not in (self._health.dtype.names or ()):
            return None
        value = float(self._health[name])
        return round(value, 3) if math.isfinite(value) else None


CLOCKS = (
    "daq_residual_us",
    "stimulator_residual_us",
    "daq_uncertainty_us",
    "stimulator_uncertainty_us",
    "daq_drift_ppm",
    "stimulator_drift_ppm",
)


def _veto(code: int) -> str:
    try:
        return Refusal(code).name.lower()
    except ValueError:
        return f"veto {code}"
