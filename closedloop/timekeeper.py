"""Which moment of one clock was which of another: the host's, the DAQ's, the stimulator's. It reads no clock itself."""

from __future__ import annotations

import math

from closedloop import wire
from closedloop.clock import ClockFit, tick_difference

DAQ, STIMULATOR = "daq", "stimulator"  # the two boards of a rig

_QUERY_NS = 983_900_000  # an odd period, so as not to beat with others
_LEAK = 6e-3  # per ns: how fast the quickest arrival is forgotten; covers a ceramic resonator, 0.5 % off


class Timekeeper:
    """The boards' clocks as far as their answers tell, and how late readings come.

    A recording played faster than it was made has no relation to the host's time that means anything; there the DAQ's
    last reading is all that is known of the moment.
    """

    def __init__(self, boards: tuple[str, ...], *, real_time: bool) -> None:
        self.real_time = real_time
        self._fits = {board: ClockFit() for board in boards}
        self._asked: dict[int, tuple[str, int]] = {}
        self._queries = 0
        self._next_query_ns = 0
        self._last_ns: int | None = None
        self._quickest = 0.0
        self.residual_us = dict.fromkeys(boards, math.nan)  # of the last answer against the line before it
        self.round_trip_us = dict.fromkeys(boards, math.nan)  # of the last question

    def questions(self, now_ns: int) -> dict[str, wire.ClockQuery]:
        """A query for each board, about once a second; otherwise none."""
        if now_ns < self._next_query_ns:
            return {}
        self._next_query_ns = now_ns + _QUERY_NS
        self._asked.clear()
        return {board: self._question(board, now_ns) for board in self._fits}

    def _question(self, board: str, now_ns: int) -> wire.ClockQuery:
        self._queries += 1
        self._asked[self._queries] = (board, now_ns)
        return wire.ClockQuery(self._queries)

    def on_reply(self, reply: wire.ClockReply, now_ns: int) -> None:
        """A board's answer; one that nobody waits for any more is left out."""
        board, asked_ns = self._asked.pop(reply.query, ("", 0))
        if board:
            self._judge(board, reply.ticks, asked_ns, now_ns)
            self._fits[board].add(asked_ns, now_ns, reply.ticks)

    def _judge(self, board: str, ticks: int, asked_ns: int, now_ns: int) -> None:
        self.round_trip_us[board] = (now_ns - asked_ns) / 1000
        if self._fits[board].known:
            self.residual_us[board] = (self._fits[board].host_ns(ticks) - (asked_ns + now_ns) // 2) / 1000

    def host_ns(self, board: str, ticks: int) -> int | None:
        """Host time of a board's 32-bit ticks; None where it cannot be known."""
        fit = self._fits[board]
        return fit.host_ns(ticks) if self.real_time and fit.known else None

    def ticks_since(self, board: str, earlier_ticks: int, host_ns: int) -> int | None:
        """Microseconds on a board's clock from its ticks to a host time near them; None where it cannot be known."""
        fit = self._fits[board]
        if not (self.real_time and fit.known):
            return None
        return tick_difference(round(fit.ticks_at(host_ns)), earlier_ticks)

    def ticks_of(self, board: str, other: str, ticks: int) -> int | None:
        """A board's 32-bit ticks at the other one's; None where either clock is not known, or no time is real."""
        host_ns = self.host_ns(other, ticks % (1 << 32))
        if host_ns is None or not self._fits[board].known:
            return None
        return round(self._fits[board].ticks_at(host_ns)) % (1 << 32)

    def lateness_ns(self, ticks: int, now_ns: int) -> float:
        """How much later this newest reading comes than the quickest did of late; the quickest is slowly forgotten."""
        offset = float(now_ns - ticks * 1000)
        if self._last_ns is None:
            self._quickest = offset
        else:
            self._quickest = min(offset, self._quickest + _LEAK * (now_ns - self._last_ns))
        self._last_ns = now_ns
        return offset - self._quickest
