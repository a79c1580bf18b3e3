"""Which moment of one clock was which of another: the host's, the DAQ's, the stimulator's. It reads no clock itself."""

from __future__ import annotations

import math

from closedloop import wire
from closedloop.clock import ClockFit, tick_difference

DAQ, STIMULATOR = "daq", "stimulator"  # the two boards of a rig

_QUERY_NS = 983_900_000  # an odd period, so as not to beat with others
_HASTE_NS = 50_000_000  # between questions while a clock is not known well
_HASTY = 8  # questions of that kind at the start
_JITTERY_NS = 20_000  # a line known no better than this ...
_OFTEN_NS = 196_780_000  # ... is asked about so often
_TRUSTED_NS = 600_000_000_000  # a line that had no answer for so long tells nothing any more
_LEAK = 6e-3  # per ns: how fast the quickest arrival is forgotten; covers a ceramic resonator, 0.5 % off


class Timekeeper:
    """The boards' clocks as far as their answers tell, and how old readings are when they come.

    A recording played faster than it was made has no relation to the host's time that means anything; there the DAQ's
    last reading is all that is known of the moment.
    """

    def __init__(self, boards: tuple[str, ...], *, real_time: bool) -> None:
        self.real_time = real_time
        self._fits = {board: ClockFit() for board in boards}
        self._asked: dict[int, tuple[str, int]] = {}
        self._queries = 0
        self._rounds = 0
        self._next_query_ns = 0
        self._last_ns: int | None = None
        self._quickest = 0.0
        self.round_trip_us = dict.fromkeys(boards, math.nan)  # of the last question

    def questions(self, now_ns: int) -> dict[str, wire.ClockQuery]:
        """A query for each board, about once a second, sooner while a clock is not known well; otherwise none."""
        if now_ns < self._next_query_ns:
            return {}
        self._rounds += 1
        self._next_query_ns = now_ns + self._pause_ns()
        self._asked = {n: (board, at_ns) for n, (board, at_ns) in self._asked.items() if now_ns - at_ns < _QUERY_NS}
        return {board: self._question(board, now_ns) for board in self._fits}

    def _pause_ns(self) -> int:
        """Until the next question: slow answers say little, so more of them are asked for."""
        if self._rounds < _HASTY or any(fit.doubted for fit in self._fits.values()):
            return _HASTE_NS
        return _OFTEN_NS if any(fit.error_ns > _JITTERY_NS for fit in self._fits.values()) else _QUERY_NS

    def _question(self, board: str, now_ns: int) -> wire.ClockQuery:
        self._queries += 1
        self._asked[self._queries] = (board, now_ns)
        return wire.ClockQuery(self._queries)

    def on_reply(self, reply: wire.ClockReply, now_ns: int) -> float | None:
        """A board's answer; one that nobody waits for any more is left out.

        Returns:
            By how many microseconds the board's clock has jumped (above 0: back), where this answer shows it.
        """
        board, asked_ns = self._asked.pop(reply.query, ("", 0))
        if not board:
            return None
        fit = self._fits[board]
        self.round_trip_us[board] = (now_ns - asked_ns) / 1000
        before = fit.steps
        fit.add(asked_ns, now_ns, reply.ticks)
        if fit.doubted:
            self._next_query_ns = min(self._next_query_ns, now_ns + _HASTE_NS)
        return fit.step_us if fit.steps > before else None

    @property
    def steps(self) -> int:
        """Jumps of any clock so far."""
        return sum(fit.steps for fit in self._fits.values())

    def figures(self, board: str) -> dict[str, float]:
        """How well a board's clock is known, as fields of HEALTH without the board's name; nan: unknown."""
        fit = self._fits.get(board)
        if fit is None or not fit.known:
            return dict.fromkeys(("residual_us", "round_trip_us", "drift_ppm", "uncertainty_us"), math.nan)
        return {
            "residual_us": fit.residual_ns / 1000,
            "round_trip_us": self.round_trip_us[board],
            "drift_ppm": fit.drift_ppm,
            "uncertainty_us": fit.uncertainty_ns / 1000,
        }

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

    def age_ns(self, ticks: int, now_ns: int) -> float:
        """How old the DAQ's newest reading is, by its 32-bit or unwrapped ticks, at this host time.

        By the line through the board's answers; before there is one, and where the board stopped answering, by how
        much later it comes than the quickest of late. That is slower to forgive a clock that stood still.
        """
        late_ns = self._lateness_ns(ticks, now_ns)
        fit = self._fits[DAQ]
        if not self.real_time or not fit.known or now_ns - fit.answered_ns > _TRUSTED_NS:
            return late_ns
        return float(now_ns - fit.host_ns(ticks))

    def _lateness_ns(self, ticks: int, now_ns: int) -> float:
        """How much later this reading comes than the quickest did of late; the quickest is slowly forgotten."""
        offset = float(now_ns - ticks * 1000)
        if self._last_ns is None:
            self._quickest = offset
        else:
            self._quickest = min(offset, self._quickest + _LEAK * (now_ns - self._last_ns))
        self._last_ns = now_ns
        return offset - self._quickest
