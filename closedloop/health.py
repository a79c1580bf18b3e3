"""How the loop is, one row a quarter of a second: the second table of a session folder. No clock is read here."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

HEALTH = np.dtype(
    [
        ("ticks", "<i8"),  # of the last reading
        ("host_ns", "<i8"),  # when this row was written
        ("heartbeat_ns", "<i8"),  # when the last heartbeat was written to the stimulator; 0: none yet
        ("daq_heard_ns", "<i8"),  # when bytes last came from the DAQ; 0: none yet
        ("stimulator_heard_ns", "<i8"),  # when the stimulator last answered; its echoes of light are not counted
        ("daq_residual_us", "<f8"),  # last clock answer against the fit; nan: unknown
        ("stimulator_residual_us", "<f8"),
        ("daq_round_trip_us", "<f8"),  # of the last clock question
        ("stimulator_round_trip_us", "<f8"),
        ("daq_drift_ppm", "<f8"),  # how much faster the board's clock runs than the host's; nan: unknown
        ("stimulator_drift_ppm", "<f8"),
        ("daq_uncertainty_us", "<f8"),  # of what host time a board's tick was
        ("stimulator_uncertainty_us", "<f8"),
        ("age_us", "<f8"),  # since the row before: the greatest age of a newest reading when it was understood
        ("turn_us", "<f8"),  # since the row before: the longest turn, from bytes read to all written down
        ("wall_offset_ns", "<i8"),  # wall clock less monotonic clock: jumps when the wall clock is set; 0: unknown
        ("most", "<u4"),  # since the row before: most readings in one arrival
        ("overruns", "<u4"),  # arrivals in which a reading had waited for another
        ("clock_steps", "<u4"),  # jumps of a board's clock, or of the host's while it slept
        ("damaged", "<u4"),  # frames, both lines
        ("repeated", "<u4"),  # readings that came twice
        ("outstanding", "<u4"),  # trains commanded and not over
        ("phase", "u1"),  # arming.Phase
        ("armed", "u1"),  # 1: the board said so, and nothing has ended it since
    ],
    align=True,
)


class Pace:
    """How the loop keeps up: the worst since it was last told, and what counts from the start."""

    def __init__(self) -> None:
        self._overruns = 0
        self._most = 0
        self._age_ns = math.nan
        self._turn_ns = math.nan

    def count(self, readings: int, age_ns: float, turn_ns: int) -> None:
        """One arrival: how many readings came at once, how old the newest was, how long the turn took."""
        self._overruns += readings > 1
        self._most = max(self._most, readings)
        self._age_ns = age_ns if not age_ns <= self._age_ns else self._age_ns
        self._turn_ns = turn_ns if not turn_ns <= self._turn_ns else self._turn_ns

    def tell(self, row: npt.NDArray[np.void]) -> None:
        """Into a row of HEALTH; the worst begins anew."""
        row["age_us"], row["turn_us"] = self._age_ns / 1000, self._turn_ns / 1000
        row["most"], row["overruns"] = self._most, self._overruns
        self._most, self._age_ns, self._turn_ns = 0, math.nan, math.nan
