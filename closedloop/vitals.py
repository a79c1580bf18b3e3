"""Whether boards and loop still live: what was heard when, how the loop keeps up, and silence in words.

No clock is read and no port: the controller says what happens, and when.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from closedloop.health import HEALTH, Pace
from closedloop.timekeeper import DAQ, STIMULATOR, Timekeeper

_EVERY_NS = 250_000_000  # between two rows of HEALTH
_SILENT_NS = 2_000_000_000
_SILENT_PERIODS = 20
_MUTE_NS = 5_000_000_000  # the stimulator is asked about once a second


class Vitals:
    """Of one session.

    Attributes:
        heartbeat_ns: when the last heartbeat was written; 0: none yet.
        heard_ns: when each board was last heard; the stimulator's echoes of light do not count, for they tell an arm.
        pace: how the loop keeps up.
    """

    def __init__(self, times: Timekeeper, rate_hz: float, *, lit: bool) -> None:
        """Begin at the first look; `lit` where the rig has a stimulator."""
        self.heartbeat_ns = 0
        self.heard_ns = {DAQ: 0, STIMULATOR: 0}
        self.pace = Pace()
        self._times = times
        self._lit = lit
        self._silent_ns = max(_SILENT_NS, int(_SILENT_PERIODS / rate_hz * 1e9))
        self._began_ns = 0
        self._reading_ns = 0
        self._next_ns = 0

    def reading(self, now_ns: int) -> None:
        """A good reading came."""
        self._reading_ns = now_ns

    def silence(self, now_ns: int) -> str:
        """Which board says nothing any more, though its adapter may still be there; empty while both do."""
        self._began_ns = self._began_ns or now_ns
        if self._lit and now_ns - max(self._began_ns, self.heard_ns[STIMULATOR]) > _MUTE_NS:
            return f"no answer from the stimulator for {_MUTE_NS / 1e9:g} s; check its cable and power"
        if now_ns - max(self._began_ns, self._reading_ns) > self._silent_ns:
            return f"no reading from the DAQ for {self._silent_ns / 1e9:g} s; check its cable and power"
        return ""

    def row(self, now_ns: int) -> npt.NDArray[np.void] | None:
        """One row of HEALTH, if it is time for one; what is not of boards and pace is the caller's to fill in."""
        if now_ns < self._next_ns:
            return None
        self._next_ns = now_ns + _EVERY_NS
        row = np.zeros(1, HEALTH)
        row["host_ns"], row["heartbeat_ns"] = now_ns, self.heartbeat_ns
        for board, heard_ns in self.heard_ns.items():
            row[f"{board}_heard_ns"] = heard_ns
            for name, figure in self._times.figures(board).items():
                row[f"{board}_{name}"] = figure
        row["clock_steps"] = self._times.steps
        self.pace.tell(row)
        return row
