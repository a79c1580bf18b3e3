"""All sessions that are shared, in short turns: follow, stream, say how they stand, call somebody. For one thread."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path
from typing import Any

from closedloop.sharing import one_line
from closedloop.sharing.alerts import HOWS
from closedloop.sharing.following import FollowedSession
from closedloop.sharing.found import Sessions, is_session
from closedloop.sharing.hooks import Hooks
from closedloop.sharing.lsl import Outlets
from closedloop.watching.follower import Stage

_SECOND_NS = 1_000_000_000
_SCAN_NS = _SECOND_NS  # for sessions that begin
_STATE_NS = _SECOND_NS
_MEASURE_NS = 10 * _SECOND_NS  # LSL's clock against the host's
_AFTER_NS = 5 * _SECOND_NS  # outlets stay for so long, so that the end is received
_UNREADABLE_NS = 30 * _SECOND_NS

Say = Callable[[str], None]


class _One:
    """One session with its outlets.

    Args:
        folder: the session's.
        now_ns: host's monotonic clock.
        since_ns: readings from then on are streamed.
        wanted: alerts.
    """

    def __init__(self, folder: Path, now_ns: int, since_ns: int, wanted: Collection[str]) -> None:
        self.session = FollowedSession(folder, since_ns, wanted)
        self.outlets: Outlets | None = None
        self.state_ns = self.measured_ns = self.read_ns = now_ns
        self.over_ns: int | None = None
        self.problem = ""


class Share:
    """Of one session, or of all that begin below a data folder.

    Args:
        path: of a session folder, or of a data folder.
        computer: this one's name.
        hooks: for alerts, or None.
        wanted: which alerts, of `alerts.HOWS`.
        lsl: pylsl, as `lsl.library` gives it, or None.
        say: is given what a person should know, line by line.
        now_ns: host's monotonic clock.
        started: the wall clock now, with its zone.

    Attributes:
        done: sessions that are over and no longer shared.
    """

    def __init__(
        self,
        path: Path,
        *,
        computer: str,
        hooks: Hooks | None,
        wanted: Collection[str] = HOWS,
        lsl: Any,
        say: Say,
        now_ns: int,
        started: datetime,
    ) -> None:
        self._computer = computer
        self._hooks = hooks
        self._wanted = tuple(wanted) if hooks is not None else ()
        self._lsl = lsl
        self._say = say
        self._sessions = None if is_session(path) else Sessions(path, started)
        self._scanned_ns = now_ns - _SCAN_NS
        self._shared: list[_One] = [] if self._sessions is not None else [_One(path, now_ns, now_ns, self._wanted)]
        self.done = 0

    @property
    def is_over(self) -> bool:
        """Whether it was of one session, and that has ended."""
        return self._sessions is None and not self._shared

    def turn(self, now_ns: int) -> bool:
        """Take in what is new, and pass it on; returns whether more waits to be read at once."""
        self._scan(now_ns)
        for one in self._shared:
            self._turn(one, now_ns)
        left = [one for one in self._shared if not self._is_done(one, now_ns)]
        self.done += len(self._shared) - len(left)
        self._shared = left
        if self._hooks is not None:
            self._hooks.look(now_ns)
        return any(one.session.stage is not Stage.WAITING and not one.session.caught_up for one in self._shared)

    def close(self) -> None:
        """All outlets are taken back; alerts that are being told get their time."""
        self._shared = []
        if self._hooks is not None:
            self._hooks.close()

    def _scan(self, now_ns: int) -> None:
        if self._sessions is None or now_ns - self._scanned_ns < _SCAN_NS:
            return
        self._scanned_ns = now_ns
        for folder, is_seen_whole in self._sessions.fresh():
            self._shared.append(_One(folder, now_ns, 0 if is_seen_whole else now_ns, self._wanted))

    def _turn(self, one: _One, now_ns: int) -> None:
        news = one.session.turn(now_ns)
        if self._lsl is not None and one.session.header and one.outlets is None:
            self._open(one)
        if one.outlets is not None:
            one.outlets.push(news)
        for alert in news.alerts:
            if self._hooks is not None:
                self._hooks.tell(alert, now_ns)
        self._watch(one, now_ns)
        self._tell(one, now_ns)

    def _open(self, one: _One) -> None:
        session = one.session
        one.outlets = Outlets(self._lsl, session.header, session.folder, self._computer, session.clock())
        one.state_ns -= _STATE_NS  # the first is told at once
        light = "without its light: it is blinded" if session.blinded else "with its light"
        self._say(f"shared: {session.folder}, {light}")

    def _watch(self, one: _One, now_ns: int) -> None:
        """That it cannot be read is said, once; that it is over is remembered."""
        session = one.session
        if session.stage is not Stage.UNREADABLE:
            one.read_ns, one.problem = now_ns, ""
        elif session.status.reason != one.problem:
            one.problem = session.status.reason
            self._say(one_line(one.problem))
        if session.is_over and one.over_ns is None:
            one.over_ns = now_ns
            one.state_ns = now_ns - _STATE_NS  # its end is told at once
            self._say(f"over: {session.folder}: {session.status.state.value}: {one_line(session.status.reason)}")

    def _tell(self, one: _One, now_ns: int) -> None:
        if one.outlets is None or now_ns - one.state_ns < _STATE_NS:
            return
        one.state_ns = now_ns
        if now_ns - one.measured_ns >= _MEASURE_NS:
            one.measured_ns = now_ns
            one.outlets.measure()
        one.outlets.tell({"computer": self._computer, **one.session.state(now_ns)}, now_ns)

    def _is_done(self, one: _One, now_ns: int) -> bool:
        if one.over_ns is not None:
            return now_ns - one.over_ns >= (_AFTER_NS if one.outlets is not None else 0)
        return now_ns - one.read_ns >= _UNREADABLE_NS
