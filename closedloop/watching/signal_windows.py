"""The signal of any stretch of a session's time, without keeping all of it. It reads, and averages nothing."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from closedloop.recording import Rows

Numbers = npt.NDArray[np.float64]

_RECENT_ROWS = 1 << 16  # kept in memory: a window and more at every rate of a board
_MOST_MARKS = 4096  # where in the table which time is


class SignalWindows:
    """The signal of any stretch of time: of the last readings from memory, of earlier ones from the disk."""

    def __init__(self, scale: float, fetch: Callable[[int, int], Rows]) -> None:
        self.last_s = -math.inf
        self._scale = scale
        self._fetch = fetch
        self._count = 0  # rows seen
        self._kept = np.zeros((2, 2 * _RECENT_ROWS))  # ticks and signal of the last of them
        self._end = 0
        self._marks: list[tuple[float, int]] = []  # ticks and number of some rows
        self._every = _RECENT_ROWS // 64

    def add(self, rows: Rows) -> None:
        """The next rows of the table."""
        self._mark(rows["ticks"])
        self._count += len(rows)
        self.last_s = float(rows["ticks"][-1]) / 1e6
        rows = rows[-_RECENT_ROWS:]
        if self._end + len(rows) > self._kept.shape[1]:
            kept = self._kept[:, self._end - _RECENT_ROWS : self._end].copy()
            self._kept[:, :_RECENT_ROWS] = kept
            self._end = _RECENT_ROWS
        now = slice(self._end, self._end + len(rows))
        self._kept[0, now] = rows["ticks"]
        self._kept[1, now] = self._of(rows)
        self._end = now.stop

    def window(self, since_s: float, until_s: float) -> tuple[Numbers, Numbers, int]:
        """Ticks and signal of a stretch of time, and how many rows were read from the disk for it."""
        ticks, values = self._kept[:, : self._end]
        read = 0
        if self._end < self._count and ticks[0] > since_s * 1e6:
            rows = self._fetch(*self._numbers(since_s * 1e6, until_s * 1e6))
            ticks, values, read = rows["ticks"].astype(np.float64), self._of(rows), len(rows)
        first, last = np.searchsorted(ticks, (since_s * 1e6, until_s * 1e6))
        return ticks[first:last], values[first:last], read

    def _of(self, rows: Rows) -> Numbers:
        volts: Numbers = (rows["signal_lit"].astype(np.float64) - rows["signal_dark"]) * self._scale
        return volts

    def _mark(self, ticks: npt.NDArray[np.int64]) -> None:
        first = -self._count % self._every
        self._marks += [(float(ticks[at]), self._count + at) for at in range(first, len(ticks), self._every)]
        if len(self._marks) > _MOST_MARKS:
            self._marks = self._marks[::2]
            self._every *= 2

    def _numbers(self, since: float, until: float) -> tuple[int, int]:
        """Numbers of rows between which all of this time lies."""
        first = max(0, bisect_right(self._marks, (since, 0)) - 1)
        last = bisect_right(self._marks, (until, self._count))
        return self._marks[first][1], self._marks[last][1] if last < len(self._marks) else self._count
