"""Trains as a virtual stimulator gives them, and what of them falls into each reading. Times are the DAQ's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from closedloop.limits import Command
from closedloop.simulation.light_train import edges_of
from closedloop.wire import Fire

FULL = 65_535


class Light:
    """The light of one session.

    Args:
        command: the session's train, as the board is told it.

    Attributes:
        starts_us: first light of every train so far.
    """

    def __init__(self, command: Command) -> None:
        fire = Fire(0, *command, 0, 0)
        edges = list(edges_of(fire, 0))
        self._at_us = np.array([at_us for at_us, _ in edges], np.float64)
        level = np.array([level for _, level in edges], np.float64) / FULL
        self._dose_us = np.concatenate([[0.0], np.cumsum(np.diff(self._at_us) * level[:-1])])
        self.starts_us: list[int] = []

    @property
    def span_us(self) -> float:
        """From a train's first light to its last."""
        return float(self._at_us[-1])

    def give(self, start_us: int) -> None:
        """One train more, after all those before it."""
        self.starts_us.append(start_us)

    def mean(self, since_us: int, ticks: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Mean part of full light, 0 to 1, between each of these times and the one before it.

        Args:
            since_us: the time before the first.
            ticks: microseconds, rising.
        """
        edges = np.concatenate([[since_us], ticks])
        spans = np.diff(edges)
        dose = np.zeros(len(ticks))
        for start_us in reversed(self.starts_us):
            if start_us + self.span_us <= since_us:
                break
            dose += np.diff(np.interp(edges - start_us, self._at_us, self._dose_us))
        return np.divide(dose, spans, out=np.zeros(len(ticks)), where=spans > 0)

    def dose_s(self, end_us: int) -> float:
        """Seconds of full light until a time; half power for two seconds is one."""
        since = end_us - np.array(self.starts_us, np.float64)
        return float(np.interp(since, self._at_us, self._dose_us).sum()) / 1e6
