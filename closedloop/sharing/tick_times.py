"""When a reading was, on the host's clock: a line through the quickest arrivals. No clock is read here.

Readings arrive late by as much as cable and computer hold them up, and never early. So of each second the reading that
came soonest is kept, and a straight line through those of the last minute turns DAQ ticks into host time. All streams
and events of a session are put on the same line, so that they lie beside one another as they do on the DAQ's own clock.
The line is later than the reading itself by the shortest way from board to program, which nobody can see from here.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

_SECOND_US = 1_000_000
_KEPT = 60  # seconds
_FEWEST = 5  # seconds, before the slope is trusted
_STEP_NS = 50e6  # off the line: a clock stepped, or the computer slept
_STEPPED = 3  # seconds in a row that are off

Whole = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]


class TickTimes:
    """Of one session.

    Args:
        speed: how many times as fast as the clock a simulated session runs.
    """

    def __init__(self, speed: float = 1.0) -> None:
        self._usual = 1000.0 / speed  # ns a tick
        self._kept: deque[tuple[int, int]] = deque(maxlen=_KEPT)
        self._slope = self._usual
        self._from = (0, 0.0)  # ticks, ns
        self._off: deque[tuple[int, int]] = deque(maxlen=_STEPPED)

    @property
    def is_known(self) -> bool:
        """Whether there was a reading to go by."""
        return bool(self._kept)

    def add(self, ticks: Whole, host_ns: Whole) -> None:
        """Readings, and when their bytes were read; in order."""
        seconds = ticks // _SECOND_US
        starts = [0, *(np.flatnonzero(np.diff(seconds)) + 1).tolist()] if len(ticks) else []
        for start, stop in zip(starts, [*starts[1:], len(ticks)], strict=False):
            since, delay = ticks[start:stop] - ticks[start], host_ns[start:stop] - host_ns[start]
            soonest = start + int(np.argmin(delay - since * self._usual))
            self._take(int(ticks[soonest]), int(host_ns[soonest]))

    def ns(self, ticks: Whole | int) -> Numbers:
        """Host time in nanoseconds, by the line as it is now; nan before the first reading."""
        if not self._kept:
            return np.full(np.shape(ticks), np.nan)
        at, from_ns = self._from
        return np.asarray(from_ns + (np.asarray(ticks) - at) * self._slope, np.float64)

    def _take(self, ticks: int, host_ns: int) -> None:
        self._watch_for_step(ticks, host_ns)
        if self._kept and self._kept[-1][0] // _SECOND_US == ticks // _SECOND_US:
            before = self._kept.pop()
            gained = (host_ns - before[1]) - (ticks - before[0]) * self._usual
            ticks, host_ns = (ticks, host_ns) if gained < 0 else before
        self._kept.append((ticks, host_ns))
        self._fit()

    def _watch_for_step(self, ticks: int, host_ns: int) -> None:
        """After a few seconds that all lie off the line, only they are believed."""
        if not self._kept or abs(host_ns - float(self.ns(ticks))) < _STEP_NS:
            self._off.clear()
            return
        if not self._off or ticks // _SECOND_US != self._off[-1][0] // _SECOND_US:
            self._off.append((ticks, host_ns))
        if len(self._off) == _STEPPED:
            self._kept.clear()
            self._kept.extend(self._off)
            self._off.clear()

    def _fit(self) -> None:
        at = self._kept[0]
        points = np.array(self._kept, np.int64) - np.array(at, np.int64)
        x, y = points[:, 0].astype(np.float64), points[:, 1].astype(np.float64)
        if len(points) < _FEWEST:
            self._slope = self._usual
            self._from = at[0], at[1] + float(np.min(y - x * self._usual))
            return
        self._slope = float(np.dot(x - x.mean(), y - y.mean()) / np.dot(x - x.mean(), x - x.mean()))
        self._from = at[0], at[1] + float(y.mean() - self._slope * x.mean())
