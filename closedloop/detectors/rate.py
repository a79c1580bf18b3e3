"""More transients a minute than this animal has: a sum of evidence over events. How high they are is not asked."""

from __future__ import annotations

from math import log
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from closedloop.anchor import Anchor
from closedloop.detectors.on_events import RELEASE, Usual, _EventSum, usual_onset_rate
from closedloop.model import Rate, Seconds, kernel
from closedloop.online import events
from closedloop.online.run_length import poisson_threshold

_SPARE_EVENTS = 2  # the sum is capped so many events above the threshold, so that it comes down in reasonable time
_KNOWN = 0.5  # of a trailing window's weight must have been seen before a rate is shown


@kernel
def _fall(memory: Any, p: Any) -> float:
    """Evidence against a raised rate in one reading without an onset; 0 while the base rate is unknown."""
    return memory.fall if p.baseline > 0 else p.fall  # type: ignore[no-any-return]


@kernel
def _next(memory: Any, p: Any, value: float) -> float:
    """The sum as it is with this value."""
    rest = memory.sum
    if events.ready(memory.events, p.events):  # no onset was possible in any other time, so it says nothing
        rest = max(0.0, rest - _fall(memory, p))
    if events.begins(memory.events, p.events, value):
        rest += p.jump
    return float(min(rest, p.highest))


@kernel
def _score(memory: Any, p: Any, value: float) -> float:
    if np.isnan(value) or memory.seen == 0 or memory.seen < p.baseline:
        return np.nan
    return _next(memory, p, value)


@kernel
def _follow(memory: Any, p: Any, value: float) -> None:
    knows = memory.seen >= p.baseline
    if knows:
        memory.sum = _next(memory, p, value)
    memory.open += events.ready(memory.events, p.events)
    onset = events.follow(memory.events, p.events, value) & events.ONSET
    memory.seen += 1
    memory.weight += p.alpha * (1.0 - memory.weight)
    memory.recent += p.alpha * (onset - memory.recent)
    if not knows:
        memory.onsets += onset
        memory.fall = p.fall_an_event * (memory.onsets + 0.5) / max(1, memory.open)


@kernel
def _resume(memory: Any, p: Any) -> None:
    events.resume(memory.events, p.events)


@kernel
def _rate(memory: Any, p: Any) -> float:
    """Events a minute in the trailing window."""
    if memory.weight < _KNOWN:
        return np.nan
    return memory.recent / memory.weight * p.a_minute  # type: ignore[no-any-return]


class EventRate(_EventSum):
    """Poisson CUSUM, W = max(0, W - (times - 1) base_rate dt) + n ln(times), of n onsets in dt (SCIENCE 5.1).

    Its score is W in nats. An event begins where the number rises through `event` (`online.events`), and time is that
    of clean readings in which one could begin: while one is still up there is none, and with that time left out
    onsets are a Poisson process however long events last. The base rate is the anchor's, or is given, or is learned
    from the first `baseline` and then frozen; one learned from n events is wrong by about 1 / sqrt(n), and false
    alarms with it. W is capped two events above the threshold. With `false_alarms` the threshold is computed for
    Poisson events at the base rate, and release is half of it.

    It cannot be quick: at one false alarm an hour 3 events a minute turned into 9 are found after a minute, into 6
    after two and a half (SCIENCE 5.2).
    """

    kind: Literal["rate"] = "rate"
    base_rate: Rate | None = Field(
        None, gt=0, description="Onsets when calm, a minute in which one could begin; left out: the anchor's."
    )
    baseline: Seconds | None = Field(
        None, gt=0, description="Learn the base rate from so much clean time instead, then keep it."
    )
    times: float = Field(2.0, gt=1, le=20, description="Smallest factor of the base rate worth acting on.")
    window: Seconds = Field(120.0, gt=0, description="Trailing (exponential) window of the rate that is shown.")

    usual: ClassVar[Usual] = Usual(
        fields=("base_rate",),
        name="base rate",
        twice="base_rate is given, so nothing is learned from baseline; leave one of them out",
    )
    memory_type: ClassVar[np.dtype[Any]] = np.dtype(
        [("seen", "i8"), ("open", "i8"), ("onsets", "i8"), ("events", events.EVENT_MEMORY)]
        + [(name, "f8") for name in ("sum", "fall", "weight", "recent")],
        align=True,
    )
    parameter_type: ClassVar[np.dtype[Any]] = np.dtype(
        [("baseline", "i8"), ("events", events.EVENT_PARAMETERS)]
        + [(name, "f8") for name in ("jump", "fall", "fall_an_event", "highest", "alpha", "a_minute")],
        align=True,
    )
    score: ClassVar[Any] = staticmethod(_score)
    follow: ClassVar[Any] = staticmethod(_follow)
    resume: ClassVar[Any] = staticmethod(_resume)
    shown: ClassVar[dict[str, Any]] = {"rate": _rate}

    @property
    def needs_anchor(self) -> bool:
        """Whether the size of an event or the base rate is left open."""
        return self.event is None or (self.base_rate is None and self.baseline is None)

    def usual_of(self, anchor: Anchor) -> dict[str, Any]:
        """The animal's base rate, where it is left open."""
        if self.base_rate is not None or self.baseline is not None:
            return {}
        return {"base_rate": usual_onset_rate(anchor)}

    def how_well_known(self, baseline: float) -> str:
        """A base rate learned from n events is wrong by about 1 / sqrt(n)."""
        minutes = baseline / 60
        said = f"a base rate learned from {minutes:g} min is wrong by some {100 / (3 * minutes) ** 0.5:.0f} % "
        return said + "if there are 3 events a minute, and false alarms with it; an anchor knows it better"

    def parameters(self, rate_hz: float) -> Any:
        """One record: what an event is, and evidence for each event and reading."""
        jump, minute = log(self.times), 60 * rate_hz
        record = np.zeros(1, self.parameter_type)
        record["events"] = self.event_parameters(rate_hz)
        record["baseline"] = 0 if self.baseline is None else max(1, round(self.baseline * rate_hz))
        record["jump"], record["fall_an_event"] = jump, self.times - 1
        record["fall"] = (self.times - 1) * (self.base_rate or 0.0) / minute
        record["highest"] = self.highest(rate_hz)
        record["alpha"], record["a_minute"] = 1 / (self.window * rate_hz), minute
        return record

    def spare(self) -> float:
        """Nats of two events."""
        return _SPARE_EVENTS * log(self.times)

    def computed_threshold(self, alarms: float) -> float | None:
        """Threshold, in nats, for so many false alarms an event.

        Raises:
            ValueError: it can't be had.
        """
        return poisson_threshold(self.times, alarms, RELEASE, self.spare())
