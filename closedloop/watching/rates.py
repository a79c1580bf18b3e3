"""How often events came, and how long each digital input was high, over the whole session. It keeps few numbers.

A rate is per minute in which the score was known: warm-up and lost readings are no time in which nothing happened.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from closedloop.recording import Rows
from closedloop.watching.follower import Fresh

Numbers = npt.NDArray[np.float64]

_FIRST_WIDTH_S = 10.0
_MOST_BINS = 240
_LEAST_KNOWN = 0.25  # of a bin, for a rate to be told
_MOST_INPUTS = 16


class Occupancy(NamedTuple):
    """One digital input so far.

    Attributes:
        name: from the rig.
        part: of all readings, while it was high, 0 to 1; nan of none.
        high_s: in all.
        entries: how often it rose.
    """

    name: str
    part: float
    high_s: float
    entries: int


class Rates:
    """Event rate in bins that double in width when there are too many; occupancy of the inputs."""

    def __init__(self, header: dict[str, Any] | None = None) -> None:
        header = header or {}
        self._names: tuple[str, ...] = tuple(header.get("input_names", ()))
        self._period_s = 1000 / header["rate_mhz"] if header.get("rate_mhz") else 0.0
        self._width_s = _FIRST_WIDTH_S
        self._events: Numbers = np.zeros(_MOST_BINS)
        self._known: Numbers = np.zeros(_MOST_BINS)  # readings with a score
        self._bins = 0
        self._readings = 0
        self._high = np.zeros(_MOST_INPUTS, np.int64)
        self._entries = np.zeros(_MOST_INPUTS, np.int64)
        self._inputs: int | None = None

    def add(self, fresh: Fresh) -> None:
        """Take in what was recorded since."""
        times = [event.ticks / 1e6 for event in fresh.events if event.kind == "detection"]
        self._count(self._events, np.array(times))
        if not len(fresh.rows):
            return
        self._count(self._known, fresh.rows["ticks"][np.isfinite(fresh.rows["score"])] / 1e6)
        self._watch_inputs(fresh.rows)

    def event_rate(self) -> tuple[Numbers, Numbers]:
        """Middle of each bin, in seconds, and events a minute; nan where too little is known to tell."""
        time_s = np.arange(0.5, self._bins, dtype=np.float64) * self._width_s
        known_s = self._known[: self._bins] * self._period_s
        per_min: Numbers = np.full(self._bins, np.nan)
        enough = known_s >= _LEAST_KNOWN * self._width_s
        np.divide(60 * self._events[: self._bins], known_s, out=per_min, where=enough)
        return time_s, per_min

    def occupancy(self) -> list[Occupancy]:
        """Each input that has a name, and any other that was ever high, in the order of their bits."""
        seen = [bit for bit in range(_MOST_INPUTS) if bit < len(self._names) or self._high[bit]]
        return [self._occupancy(bit) for bit in seen]

    def _occupancy(self, bit: int) -> Occupancy:
        name = self._names[bit] if bit < len(self._names) else f"digital_{bit + 1}"
        high = int(self._high[bit])
        part = high / self._readings if self._readings else float("nan")
        return Occupancy(name, part, high * self._period_s, int(self._entries[bit]))

    def _count(self, bins: Numbers, time_s: Numbers) -> None:
        if not len(time_s):
            return
        last_s = float(time_s.max())
        while last_s >= self._width_s * _MOST_BINS:
            self._widen()
        at = (np.maximum(time_s, 0.0) / self._width_s).astype(np.int64)
        bins += np.bincount(at, minlength=_MOST_BINS)
        self._bins = max(self._bins, int(at.max()) + 1)

    def _widen(self) -> None:
        """Two bins become one."""
        for bins in (self._events, self._known):
            bins[: _MOST_BINS // 2] = bins[0::2] + bins[1::2]
            bins[_MOST_BINS // 2 :] = 0
        self._width_s *= 2
        self._bins = -(-self._bins // 2)

    def _watch_inputs(self, rows: Rows) -> None:
        inputs = rows["inputs"]
        self._readings += len(rows)
        before = int(inputs[0]) if self._inputs is None else self._inputs
        self._inputs = int(inputs[-1])
        rises = ~np.concatenate((np.array([before], inputs.dtype), inputs[:-1])) & inputs
        used = int(np.bitwise_or.reduce(inputs))
        for bit in (bit for bit in range(_MOST_INPUTS) if used >> bit & 1):
            self._high[bit] += np.count_nonzero(inputs & (1 << bit))
            self._entries[bit] += np.count_nonzero(rises & (1 << bit))
