"""How fast a board's clock runs against the host's, from the readings' arrivals alone. No clock is read here.

A reading can be delayed on its way, and never comes early. So the true relation of the two clocks is the line below all
arrivals and as near to them as can be: an edge of their lower convex hull (Moon, Skelly and Towsley, "Estimation and
removal of clock skew from network delay measurements", INFOCOM 1999; the edge under the mean is its optimum).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_BIN_US = 1_000_000  # of these arrivals the quickest is kept
_MOST_POINTS = 4096  # then two bins become one: memory stays flat, however long the session
_LEAST_US = 10_000_000  # of sample time; in less, the jitter of arrivals is more than a clock's error

Ints = npt.NDArray[np.int64]


class _Point(NamedTuple):
    ticks: int
    late_ns: int  # host time less the ticks' own


class ClockLine:
    """The quickest arrivals of a session, in flat memory, and the line through them."""

    def __init__(self) -> None:
        self._bin_us = _BIN_US
        self._points: dict[int, _Point] = {}

    def add(self, ticks: Ints, host_ns: Ints) -> None:
        """Arrivals: microseconds on the board's clock, rising, and nanoseconds on the host's."""
        late = host_ns - 1000 * ticks
        bins = ticks // self._bin_us
        begins = np.flatnonzero(np.diff(bins, prepend=bins[:1] - 1))
        for begin, end in zip(begins.tolist(), [*begins[1:].tolist(), len(bins)], strict=True):
            at = begin + int(late[begin:end].argmin())
            self._keep(int(bins[begin]), _Point(int(ticks[at]), int(late[at])))
        while len(self._points) > _MOST_POINTS:
            self._widen()

    def _keep(self, number: int, point: _Point) -> None:
        known = self._points.get(number)
        if known is None or point.late_ns < known.late_ns:
            self._points[number] = point

    def _widen(self) -> None:
        points, self._points = self._points, {}
        self._bin_us *= 2
        for number, point in points.items():
            self._keep(number // 2, point)

    @property
    def ppm(self) -> float:
        """How much faster the board's clock runs than the host's, in 1e-6; nan in less than 10 s, or without times."""
        points = sorted(self._points.values())
        if not points or points[-1].ticks - points[0].ticks < _LEAST_US:
            return math.nan
        begin, end = _edge_below(points, sum(p.ticks for p in points) / len(points))
        slope = (end.late_ns - begin.late_ns) / (end.ticks - begin.ticks)  # ns of the host gained per us of the board
        if slope <= -1000:  # the host's clock stood still: these are no host's times
            return math.nan
        return (1000 / (1000 + slope) - 1) * 1e6


def _edge_below(points: list[_Point], at: float) -> tuple[_Point, _Point]:
    """The edge of the lower convex hull (Andrew's monotone chain) that spans these ticks."""
    hull: list[_Point] = []
    for point in points:
        while len(hull) > 1 and not _turns_up(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    return next((a, b) for a, b in pairwise(hull) if a.ticks <= at <= b.ticks)


def _turns_up(a: _Point, b: _Point, c: _Point) -> bool:
    return (b.ticks - a.ticks) * (c.late_ns - a.late_ns) > (b.late_ns - a.late_ns) * (c.ticks - a.ticks)
