"""What the signal did around each decision, averaged by what was decided and what came of it. Nothing is fitted.

Around a decision, dF/F is in percent of the signal's own mean over the 5 s before; the feature has no part in it. A
decision is counted once all of its window has been recorded, if at least half of those 5 s were. Where the rig has a
learned template of its light's artefact, the same is averaged less that template, beside what was recorded.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from closedloop.deliveries import ON_BOARD
from closedloop.readings import scale_of
from closedloop.recording import Event, Rows
from closedloop.watching.follower import Fresh
from closedloop.watching.own_light import OwnLight
from closedloop.watching.signal_windows import SignalWindows

Numbers = npt.NDArray[np.float64]

BEFORE_S, AFTER_S, BIN_S = 5.0, 10.0, 0.1
_BASE_BINS = round(BEFORE_S / BIN_S)
_BINS = round((BEFORE_S + AFTER_S) / BIN_S)
_LEAST_KNOWN = 0.5  # of the time before, for a level to compare with

_AT_ONCE = 16  # windows a turn
_ROWS_AT_ONCE = 20_000  # read from the disk for them

_T_97_5 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)  # Student's t, 1 to 10 degrees
_Z_97_5 = 1.959964


class Average(NamedTuple):
    """One kind of decision.

    Attributes:
        key: the decision, and what came of it: "fire: delivered", "fire: refused", "sham" ...
        n: decisions averaged.
        time_s: middle of each bin, from the decision.
        mean: in each bin; nan where nothing was recorded.
        low: lower end of the mean's 95 % confidence interval; nan where fewer than two are known.
        high: its upper end.
        unit: of mean, low and high.
        less: the mean less the rig's artefact template; None where there is none, or no light was near.
    """

    key: str
    n: int
    time_s: Numbers
    mean: Numbers
    low: Numbers
    high: Numbers
    unit: str
    less: Numbers | None = None


@dataclass
class _Sums:
    """Of one kind, bin by bin: how many values are known, their mean, and the squares of what is off it."""

    n: int = 0
    known: Numbers = field(default_factory=lambda: np.zeros(_BINS))
    mean: Numbers = field(default_factory=lambda: np.zeros(_BINS))
    squares: Numbers = field(default_factory=lambda: np.zeros(_BINS))
    taken: Numbers = field(default_factory=lambda: np.zeros(_BINS))  # by the template, sum over decisions
    lit: int = 0  # decisions with light near, of which a template was taken away

    def take(self, raw: Numbers, less: Numbers) -> None:
        """What the template took from the decision just added."""
        self.taken += np.nan_to_num(raw - less)
        self.lit += 1

    def add(self, values: Numbers) -> None:
        """One more decision (Welford 1962)."""
        self.n += 1
        told = np.isfinite(values)
        self.known += told
        off = np.where(told, values - self.mean, 0.0)
        self.mean += off / np.maximum(self.known, 1)
        self.squares += np.where(told, off * (values - self.mean), 0.0)


@dataclass
class _Pending:
    at_s: float
    train: int | None
    name: str
    outcome: str = ""

    @property
    def key(self) -> str:
        """The kind that it belongs to."""
        return f"{self.name}: {self.outcome}" if self.outcome else self.name


class PeriEvents:
    """Averages of all decisions of a session; kinds and outcomes are found in it."""

    def __init__(self, header: dict[str, Any], fetch: Callable[[int, int], Rows]) -> None:
        self._signal = SignalWindows(scale_of(header.get("nano_units", 0)), fetch)
        self._light = OwnLight(header)
        self._pending: deque[_Pending] = deque()
        self._by_train: dict[int, _Pending] = {}
        self._sums: dict[str, _Sums] = {}
        self._heard_s = -math.inf  # what came of decisions until then has been told

    def add(self, fresh: Fresh) -> None:
        """Take in what was recorded since; see `turn`."""
        if len(fresh.rows):
            self._signal.add(fresh.rows)
        for event in fresh.events:
            self._hear(event)
        last_s = self._signal.last_s
        self._heard_s = max(event.ticks for event in fresh.events) / 1e6 if fresh.events else last_s

    def turn(self) -> bool:
        """Average a few decisions whose window has been recorded; returns whether there were any."""
        read = done = 0
        until_s = min(self._signal.last_s, self._heard_s)
        while self._pending and until_s >= self._pending[0].at_s + AFTER_S:
            if done == _AT_ONCE or read >= _ROWS_AT_ONCE:
                break
            done += 1
            read += self._average(self._pending.popleft())
        return done > 0

    def averages(self) -> list[Average]:
        """One for each kind that was averaged at least once, by name."""
        return [_average(key, self._sums[key]) for key in sorted(self._sums)]

    def _hear(self, event: Event) -> None:
        self._light.hear(event)
        match event.kind:
            case "decision":
                self._await(event, event.reason or "unnamed")
            case "light_on":
                if event.reason == ON_BOARD:
                    self._await(event, ON_BOARD)
                self._come_of(event.train, "delivered")
            case "refused":
                self._come_of(event.train, "refused")

    def _await(self, event: Event, name: str) -> None:
        pending = _Pending(event.ticks / 1e6, event.train, name)
        self._pending.append(pending)
        if event.train is not None:
            self._by_train[event.train] = pending

    def _come_of(self, train: int | None, outcome: str) -> None:
        pending = None if train is None else self._by_train.get(train)
        if pending is not None:
            pending.outcome = outcome

    def _average(self, pending: _Pending) -> int:
        """Adds one decision to its kind; returns how many rows were read from the disk for it."""
        if pending.train is not None:
            self._by_train.pop(pending.train, None)
        ticks, values, read = self._signal.window(pending.at_s - BEFORE_S, pending.at_s + AFTER_S)
        since_us = ticks - pending.at_s * 1e6
        dff = _dff(since_us, values)
        if dff is None:
            return read
        sums = self._sums.setdefault(pending.key, _Sums())
        sums.add(dff)
        less = self._light.less(ticks, values)
        less_dff = None if less is None else _dff(since_us, less)
        if less_dff is not None:
            sums.take(dff, less_dff)
        return read


def _dff(since_us: Numbers, signal: Numbers) -> Numbers | None:
    """Bins of dF/F in percent, or None where the level before is not known or not above zero."""
    edges = np.searchsorted(since_us, (np.arange(_BINS + 1) * BIN_S - BEFORE_S) * 1e6)
    counts = np.diff(edges)
    sums = np.add.reduceat(np.append(signal, 0.0), edges[:-1])
    values: Numbers = np.full(_BINS, np.nan)
    np.divide(sums, counts, out=values, where=counts > 0)
    before = values[:_BASE_BINS]
    if np.isfinite(before).sum() < _LEAST_KNOWN * _BASE_BINS:
        return None
    base = float(np.nanmean(before))
    return 100 * (values - base) / base if base > 0 else None


def _average(key: str, sums: _Sums) -> Average:
    time_s = np.arange(0.5, _BINS, dtype=np.float64) * BIN_S - BEFORE_S
    mean: Numbers = np.where(sums.known > 0, sums.mean, np.nan)
    half: Numbers = np.full(_BINS, np.nan)
    two = sums.known >= 2
    known = sums.known[two]
    half[two] = _t(known - 1) * np.sqrt(sums.squares[two] / (known - 1) / known)
    less = mean - sums.taken / np.maximum(sums.known, 1) if sums.lit else None
    return Average(key, sums.n, time_s, mean, mean - half, mean + half, "% dF/F", less)


def _t(degrees: Numbers) -> Numbers:
    """Student's t that leaves 2.5 % above: by table, then by its series in 1 / degrees (Abramowitz, Stegun 26.7.5)."""
    z = _Z_97_5
    series = z + (z**3 + z) / 4 / degrees + (5 * z**5 + 16 * z**3 + 3 * z) / 96 / degrees**2
    table = np.array(_T_97_5)
    at = np.minimum(degrees, len(table)).astype(np.int64) - 1
    return np.where(degrees <= len(table), table[at], series)
