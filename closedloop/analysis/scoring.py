"""Detections against what truly happened: hits, false alarms, delays, each with its interval. All in sample time.

One event takes one detection: the earliest one not yet taken from its onset to `window` after it. Every other
detection is a false alarm, the second one in a window too. Time in which nobody watched (warm-up, vetoes, light) is
left out of the hours, with the events and the detections in it (SCIENCE 6.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import exp, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from closedloop.analysis.estimates import poisson_interval

Ticks = npt.NDArray[np.int64]  # microseconds
Spans = npt.NDArray[np.int64]  # of shape (n, 2): from, until; ordered and apart
Floats = npt.NDArray[np.float64]

_Z = 1.959963984540054  # of a two-sided 95 % interval
_US_PER_H = 3.6e9


@dataclass(frozen=True)
class Score:
    """How well events were detected in some stretch of watched time.

    Attributes:
        window_s: a detection later than this after the onset is none.
        hours: watched.
        false_alarms: detections that answer no event.
        delays_s: one for each event; nan where it was missed.
        followed_s: one for each event: how long it could have been detected, at most `window_s`.
        labelled: whether there were labels at all; without them each detection counts as a false alarm.
        among: where false alarms were counted in the same recording without its injected events: those that were
            counted between the events, and the hours of that.
    """

    window_s: float
    hours: float
    false_alarms: int
    delays_s: Floats
    followed_s: Floats
    labelled: bool = True
    among: tuple[int, float] = (0, 0.0)

    @property
    def events(self) -> int:
        """Events that could have been detected."""
        return len(self.delays_s)

    @property
    def hits(self) -> int:
        """Events that were."""
        return int(np.count_nonzero(~np.isnan(self.delays_s)))

    @property
    def rate(self) -> float:
        """False alarms an hour; nan of no time."""
        return self.false_alarms / self.hours if self.hours > 0 else float("nan")

    @property
    def rate_interval(self) -> tuple[float, float]:
        """Exact Poisson 95 % interval of that."""
        if self.hours <= 0:
            return float("nan"), float("nan")
        low, high = poisson_interval(self.false_alarms)
        return low / self.hours, high / self.hours

    @property
    def rate_among(self) -> float:
        """False alarms an hour between injected events; nan where none were injected."""
        count, hours = self.among
        return count / hours if hours > 0 else float("nan")

    @property
    def share(self) -> float:
        """Hits over events; nan of no events."""
        return self.hits / self.events if self.events else float("nan")

    @property
    def share_interval(self) -> tuple[float, float]:
        """Wilson 95 % interval of that."""
        return wilson(self.hits, self.events)

    @property
    def chance(self) -> float:
        """Part of all windows that would hold a detection if there were false alarms alone, at this rate."""
        return 1 - exp(-self.rate * self.window_s / 3600) if self.hours > 0 else float("nan")

    @cached_property
    def _survival(self) -> tuple[Floats, Floats]:
        missed = np.isnan(self.delays_s)
        return survival(np.where(missed, self.followed_s, self.delays_s), ~missed)

    def delay(self, part: float) -> float:
        """Seconds within which this part of all events is detected, misses censored; nan where fewer ever are."""
        times, left = self._survival
        done = np.flatnonzero(1 - left >= part - 1e-12)
        return float(times[done[0]]) if len(done) else float("nan")

    @property
    def restricted_mean_s(self) -> float:
        """Mean delay where a miss counts as `window_s`: the area under the survival curve; nan of no events."""
        if not self.events:
            return float("nan")
        times, left = self._survival
        edges = np.concatenate([[0.0], times, [self.window_s]])
        return float(np.sum(np.diff(edges) * np.concatenate([[1.0], left])))

    @property
    def median_of_hits_s(self) -> float:
        """Median delay of the hits alone, as many papers give it; it says nothing of the misses."""
        hits = self.delays_s[~np.isnan(self.delays_s)]
        return float(np.median(hits)) if len(hits) else float("nan")

    def as_dict(self) -> dict[str, Any]:
        """For JSON; what is unknown is null."""
        said: dict[str, Any] = {
            "hours": self.hours,
            "false_alarms": self.false_alarms,
            "false_alarms_per_h": _known(self.rate),
            "false_alarms_per_h_95": [_known(edge) for edge in self.rate_interval],
            "false_alarms_among_events_per_h": _known(self.rate_among),
        }
        if not self.labelled:
            return said
        return said | {
            "events": self.events,
            "hits": self.hits,
            "detected": _known(self.share),
            "detected_95": [_known(edge) for edge in self.share_interval],
            "chance": _known(self.chance),
            "delay_s": {
                "median": _known(self.delay(0.5)),
                "p95": _known(self.delay(0.95)),
                "restricted_mean": _known(self.restricted_mean_s),
                "median_of_hits": _known(self.median_of_hits_s),
            },
        }


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def score(
    detections: Ticks, onsets: Ticks | None, watched: Spans, window_s: float, part: tuple[int, int] | None = None
) -> Score:
    """Detections of one recording, scored.

    Args:
        detections: ticks of each, in order.
        onsets: ticks of each true onset, in order; None where nobody knows.
        watched: when a detection could have been acted on.
        window_s: longest delay of a hit.
        part: only what begins from one tick until before another; matching is done over the whole recording first, so
            that an event at the seam keeps its detection.
    """
    labelled, window_us = onsets is not None, round(window_s * 1e6)
    detections = detections[inside(detections, watched)]
    onsets = np.zeros(0, np.int64) if onsets is None else onsets[inside(onsets, watched)]
    taken = match(detections, onsets, window_us)
    free = np.ones(len(detections), bool)
    free[taken[taken >= 0]] = False
    delays = np.full(len(onsets), np.nan)
    delays[taken >= 0] = (detections[taken[taken >= 0]] - onsets[taken >= 0]) / 1e6
    left_us = until_end(onsets, watched) if len(onsets) else np.zeros(0, np.int64)
    followed = np.minimum(left_us, window_us) / 1e6
    start, end = part or (np.iinfo(np.int64).min, np.iinfo(np.int64).max)
    mine, false = (onsets >= start) & (onsets < end), detections[free]
    return Score(
        window_s=window_s,
        hours=length_us(clipped(watched, start, end)) / _US_PER_H,
        false_alarms=int(np.count_nonzero((false >= start) & (false < end))),
        delays_s=delays[mine],
        followed_s=followed[mine],
        labelled=labelled,
    )


def without_events(scored: Score, bare: Score) -> Score:
    """Hits as they were scored with injected events, false alarms as the same recording gives them without.

    So are detectors compared with known transients in a real background (SCIENCE 6.4): an injected event keeps the
    animal's own ones, and noise, from being detected while it lasts, and raises the spread that scores are divided by.
    Both lower the count; one event detected twice raises it. That count is kept as `among`.
    """
    counted = scored.false_alarms, scored.hours
    return replace(scored, false_alarms=bare.false_alarms, hours=bare.hours, among=counted)


def pooled(scores: Sequence[Score]) -> Score:
    """Several recordings or parts as one; all with the same window."""
    first = scores[0]
    return replace(
        first,
        hours=sum(one.hours for one in scores),
        false_alarms=sum(one.false_alarms for one in scores),
        delays_s=np.concatenate([one.delays_s for one in scores]),
        followed_s=np.concatenate([one.followed_s for one in scores]),
        labelled=all(one.labelled for one in scores),
        among=(sum(one.among[0] for one in scores), sum(one.among[1] for one in scores)),
    )


def match(detections: Ticks, onsets: Ticks, window_us: int) -> Ticks:
    """For each onset the index of its detection, or -1; both in order, each detection taken once.

    A detection belongs to an onset if onset <= detection < onset + window. Going through the onsets in order and
    taking the earliest free detection finds the most pairs there are, as all windows are of one length.
    """
    taken, at = [-1] * len(onsets), 0
    times, first = detections.tolist(), np.searchsorted(detections, onsets).tolist()
    for number, onset in enumerate(onsets.tolist()):
        at = max(at, first[number])
        if at < len(times) and times[at] < onset + window_us:
            taken[number] = at
            at += 1
    return np.array(taken, np.int64)


def inside(ticks: Ticks, spans: Spans) -> npt.NDArray[np.bool_]:
    """Which ticks lie within one of the spans."""
    at = np.searchsorted(spans[:, 0], ticks, side="right") - 1
    known = at >= 0
    within = np.zeros(len(ticks), bool)
    within[known] = ticks[known] < spans[at[known], 1]
    return within


def until_end(ticks: Ticks, spans: Spans) -> Ticks:
    """From each of these ticks, all of which lie within spans, to the end of the span it lies in."""
    return np.asarray(spans[np.searchsorted(spans[:, 0], ticks, side="right") - 1, 1] - ticks, np.int64)


def clipped(spans: Spans, start: int, end: int) -> Spans:
    """What of the spans lies from start until end."""
    cut = np.clip(spans, start, end)
    return cut[cut[:, 1] > cut[:, 0]]


def length_us(spans: Spans) -> int:
    """Microseconds in all."""
    return int(np.sum(spans[:, 1] - spans[:, 0]))


def wilson(hits: int, of: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927); nan of nothing."""
    if of == 0:
        return float("nan"), float("nan")
    share, weight = hits / of, _Z**2 / of
    middle = (share + weight / 2) / (1 + weight)
    reach = sqrt(share * (1 - share) * weight + weight**2 / 4) / (1 + weight)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def survival(times: Floats, happened: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Kaplan-Meier estimate: the times at which something happened, and the part that is left after each.

    Args:
        times: of each event or, where it did not happen, how long it was waited for.
        happened: whether it did.
    """
    at = np.unique(times[happened])
    waited = np.sort(times)
    risk = len(times) - np.searchsorted(waited, at)
    count = np.searchsorted(np.sort(times[happened]), at, side="right")
    return at, np.asarray(np.cumprod(1 - np.diff(count, prepend=0) / risk), np.float64)
