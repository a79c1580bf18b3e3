"""How the loop is, one row a quarter of a second: the second table of a session folder. No clock is read here."""

from __future__ import annotations

import numpy as np

HEALTH = np.dtype(
    [
        ("ticks", "<i8"),  # of the last reading
        ("host_ns", "<i8"),  # when this row was written
        ("heartbeat_ns", "<i8"),  # when the last heartbeat was written to the stimulator; 0: none yet
        ("daq_heard_ns", "<i8"),  # when bytes last came from the DAQ; 0: none yet
        ("stimulator_heard_ns", "<i8"),
        ("daq_residual_us", "<f8"),  # last clock answer against the fit; nan: unknown
        ("stimulator_residual_us", "<f8"),
        ("daq_round_trip_us", "<f8"),  # of the last clock question
        ("stimulator_round_trip_us", "<f8"),
        ("damaged", "<u4"),  # frames, both lines
        ("repeated", "<u4"),  # readings that came twice
        ("outstanding", "<u4"),  # trains commanded and not over
        ("phase", "u1"),  # arming.Phase
        ("armed", "u1"),  # 1: the board said so, and nothing has ended it since
    ],
    align=True,
)
