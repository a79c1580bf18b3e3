"""Trains that were commanded, until the stimulator has told their end. Light is what it told, never what was asked."""

from __future__ import annotations

from dataclasses import dataclass

from closedloop import wire
from closedloop.logbook import Logbook
from closedloop.sources.photometry_board import ReadingCounter
from closedloop.timekeeper import DAQ, STIMULATOR, Timekeeper

_UNANSWERED_NS = 500_000_000


@dataclass
class _Commanded:
    at_ns: int
    started: bool = False


class Deliveries:
    """Takes the stimulator's echoes, each train's once, and logs them on the DAQ's clock."""

    def __init__(self, log: Logbook, times: Timekeeper, counter: ReadingCounter) -> None:
        self._log = log
        self._times = times
        self._counter = counter
        self._commanded: dict[int, _Commanded] = {}

    @property
    def outstanding(self) -> int:
        """Trains commanded and not over."""
        return len(self._commanded)

    def command(self, train: int, at_ns: int) -> None:
        """This train's Fire was written at this host time."""
        self._commanded[train] = _Commanded(at_ns)

    def on_started(self, started: wire.Started, now_ns: int) -> None:
        """First light, as delivered."""
        train = self._commanded.get(started.train)
        if train is None or train.started:
            return
        train.started = True
        on_ns = self._times.host_ns(STIMULATOR, started.on_ticks)
        latency_us = None if on_ns is None else (on_ns - train.at_ns) / 1000
        self._log.event("light_on", now_ns, self._daq_ticks(on_ns), train=started.train, value=latency_us)

    def on_fired(self, fired: wire.Fired, now_ns: int) -> None:
        """Last light, as delivered; the first as well, if its own message was lost."""
        self.on_started(wire.Started(fired.train, fired.on_ticks), now_ns)
        if self._commanded.pop(fired.train, None) is None:
            return
        ticks = self._daq_ticks(self._times.host_ns(STIMULATOR, fired.off_ticks))
        reason = wire.named(wire.Reason, fired.reason) if fired.reason else None
        self._log.event("light_off", now_ns, ticks, train=fired.train, reason=reason, value=float(fired.lit_us))

    def on_refused(self, refused: wire.Refused, now_ns: int) -> None:
        """The board's own refusal."""
        if self._commanded.pop(refused.train, None) is None:
            return
        reason = wire.named(wire.Reason, refused.reason)
        self._log.event("refused", now_ns, train=refused.train, reason=reason, text="by the stimulator")

    def give_up_unanswered(self, now_ns: int) -> None:
        """A command that nobody answered was lost on the line; it is not sent again, for it would come late."""
        lost = [n for n, c in self._commanded.items() if not c.started and now_ns - c.at_ns > _UNANSWERED_NS]
        for train in lost:
            del self._commanded[train]
            self._log.event("refused", now_ns, train=train, reason="unanswered", text="the command was lost")

    def _daq_ticks(self, host_ns: int | None) -> int | None:
        """Ticks since the first reading at a host time near the last one; None where it cannot be known."""
        last = self._log.ticks
        since = None if host_ns is None else self._times.ticks_since(DAQ, self._counter.first_ticks + last, host_ns)
        return None if since is None else last + since
