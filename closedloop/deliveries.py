"""Trains commanded or triggered, until the stimulator has told their end. Light is what it told, not what was asked."""

from __future__ import annotations

from dataclasses import dataclass

from closedloop import wire
from closedloop.intake import Intake
from closedloop.logbook import Logbook
from closedloop.timekeeper import DAQ, STIMULATOR, Timekeeper

ON_BOARD = "on_board"  # the reason of light that the trigger line began

_UNANSWERED_NS = 500_000_000


@dataclass
class _Train:
    at_ns: int | None  # None: nobody commanded it, the trigger line began it
    started: bool = False


class Deliveries:
    """Takes the stimulator's echoes, each train's once, and logs them on the DAQ's clock."""

    def __init__(self, log: Logbook, times: Timekeeper, counter: Intake) -> None:
        self._log = log
        self._times = times
        self._counter = counter
        self._last_on_board = wire.ON_BOARD_TRAIN
        self._trains: dict[int, _Train] = {}

    @property
    def outstanding(self) -> int:
        """Trains commanded, or begun by the trigger line, and not over."""
        return len(self._trains)

    def command(self, train: int, at_ns: int) -> None:
        """This train's command was written at this host time."""
        self._trains[train] = _Train(at_ns)

    def on_started(self, started: wire.Started, now_ns: int) -> None:
        """First light, as delivered."""
        self._await_on_board(started.train)
        train = self._trains.get(started.train)
        if train is None or train.started:
            return
        train.started = True
        on_ns = self._times.host_ns(STIMULATOR, started.on_ticks)
        latency_us = None if on_ns is None or train.at_ns is None else (on_ns - train.at_ns) / 1000
        path = ON_BOARD if train.at_ns is None else None
        self._log.event("light_on", now_ns, self._daq_ticks(on_ns), train=started.train, reason=path, value=latency_us)

    def _await_on_board(self, number: int) -> None:
        """A train that nobody here commanded, but the trigger line began; each is told once."""
        if number > self._last_on_board:
            self._last_on_board = number
            self._trains[number] = _Train(at_ns=None)

    def on_fired(self, fired: wire.Fired, now_ns: int) -> None:
        """Last light, as delivered; the first as well, if its own message was lost."""
        self.on_started(wire.Started(fired.train, fired.on_ticks), now_ns)
        if self._trains.pop(fired.train, None) is None:
            return
        ticks = self._daq_ticks(self._times.host_ns(STIMULATOR, fired.off_ticks))
        reason = wire.named(wire.Reason, fired.reason) if fired.reason else None
        self._log.event("light_off", now_ns, ticks, train=fired.train, reason=reason, value=float(fired.lit_us))

    def on_refused(self, refused: wire.Refused, now_ns: int) -> None:
        """The board's own refusal."""
        self._await_on_board(refused.train)
        if self._trains.pop(refused.train, None) is None:
            return
        reason = wire.named(wire.Reason, refused.reason)
        self._log.event("refused", now_ns, train=refused.train, reason=reason, text="by the stimulator")

    def give_up_unanswered(self, now_ns: int) -> None:
        """A command that nobody answered was lost on the line; it is not sent again, for it would come late."""
        awaited = [(n, t.at_ns) for n, t in self._trains.items() if not t.started and t.at_ns is not None]
        for train in [n for n, at_ns in awaited if now_ns - at_ns > _UNANSWERED_NS]:
            del self._trains[train]
            self._log.event("refused", now_ns, train=train, reason="unanswered", text="the command was lost")

    def _daq_ticks(self, host_ns: int | None) -> int | None:
        """Ticks since the first reading at a host time near the last one; None where it cannot be known."""
        last = self._log.ticks
        since = None if host_ns is None else self._times.ticks_since(DAQ, self._counter.first_ticks + last, host_ns)
        return None if since is None else last + since
