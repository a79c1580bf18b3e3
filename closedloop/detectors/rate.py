"""More transients a minute than this animal has: a sum of evidence over events. How high they are is not asked."""

from __future__ import annotations

from math import log
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from closedloop.anchor import Anchor
from closedloop.detectors import Detector
from closedloop.model import Fraction, Rate, Seconds, kernel
from closedloop.online import events
from closedloop.online.run_length import poisson_threshold

_RELEASE = 0.5  # of a threshold that was computed
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


class EventRate(Detector):
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
    event: Fraction | None = Field(
        None, gt=0, description="An event begins where the number rises through this; left out: the anchor's."
    )
    event_release: Fraction | None = Field(
        None, description="... and is over below this; left out: the anchor's, or half of a given event."
    )
    base_rate: Rate | None = Field(
        None, gt=0, description="Onsets when calm, a minute in which one could begin; left out: the anchor's."
    )
    baseline: Seconds | None = Field(
        None, gt=0, description="Learn the base rate from so much clean time instead, then keep it."
    )
    times: float = Field(2.0, gt=1, le=20, description="Smallest factor of the base rate worth acting on.")
    false_alarms: Rate | None = Field(
        None, gt=0, description="So many false alarms are wanted: threshold and release are computed from it."
    )
    window: Seconds = Field(120.0, gt=0, description="Trailing (exponential) window of the rate that is shown.")

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
    score_unit: ClassVar[str] = "nats"  # of the score
    score: ClassVar[Any] = staticmethod(_score)
    follow: ClassVar[Any] = staticmethod(_follow)
    resume: ClassVar[Any] = staticmethod(_resume)
    shown: ClassVar[dict[str, Any]] = {"rate": _rate}

    @model_validator(mode="after")
    def _one_base_rate(self) -> Self:
        if self.baseline is not None and self.base_rate is not None:
            raise ValueError("base_rate is given, so nothing is learned from baseline; leave one of them out")
        if self.baseline is not None and self.false_alarms is not None:
            raise ValueError(
                "a threshold can be computed for a known base rate only; give base_rate or an anchor and leave "
                "baseline out, or give a threshold and leave false_alarms out"
            )
        if self.event is not None and self.event_release is not None and self.event_release > self.event:
            raise ValueError("event_release must not lie above event; lower event_release")
        self.bounds()
        return self

    @property
    def keeps_its_start(self) -> bool:
        """Where what is usual is learned from `baseline`."""
        return self.baseline is not None

    @property
    def needs_anchor(self) -> bool:
        """Whether the size of an event or the base rate is left open."""
        return self.event is None or (self.base_rate is None and self.baseline is None)

    def anchored(self, anchor: Anchor) -> Self:
        """Size of an event and base rate are the animal's, where they are left open."""
        said: dict[str, Any] = {}
        if self.event is None:
            said = {"event": anchor.events.size, "event_release": anchor.events.release}
        if self.base_rate is None and self.baseline is None:
            minutes = sum(session.minutes for session in anchor.sessions)
            said["base_rate"] = events.usual_rate(anchor.events.rate, minutes) / (1 - anchor.events.busy)
        made = self.model_copy(update=said)
        made.bounds()
        return made

    def notes(self, rate_hz: float) -> list[str]:
        """The threshold that was computed, or how well a base rate that is learned can be known."""
        del rate_hz
        if self.false_alarms is not None and not self.needs_anchor:
            nats, release = self.bounds()
            bounds = f"threshold {nats:.2f} and release {release:.2f}"
            return [f"rate: {bounds}, for false alarms at {60 * self.false_alarms:g} /h"]
        if self.baseline is None:
            return []
        minutes = self.baseline / 60
        said = f"rate: a base rate learned from {minutes:g} min is wrong by some {100 / (3 * minutes) ** 0.5:.0f} % "
        return [said + "if there are 3 events a minute, and false alarms with it; an anchor knows it better"]

    def highest(self, rate_hz: float) -> float:
        """The cap of the sum, in nats: two events above the threshold that the session begins with."""
        del rate_hz
        return self.bounds()[0] + _SPARE_EVENTS * log(self.times)

    def parameters(self, rate_hz: float) -> Any:
        """One record: what an event is, and evidence for each event and reading."""
        size = np.inf if self.event is None else self.event
        release = size / 2 if self.event_release is None else self.event_release
        jump, minute = log(self.times), 60 * rate_hz
        record = np.zeros(1, self.parameter_type)
        record["events"] = events.event_parameters(rate_hz, size, release)
        record["baseline"] = 0 if self.baseline is None else max(1, round(self.baseline * rate_hz))
        record["jump"], record["fall_an_event"] = jump, self.times - 1
        record["fall"] = (self.times - 1) * (self.base_rate or 0.0) / minute
        record["highest"] = self.highest(rate_hz)
        record["alpha"], record["a_minute"] = 1 / (self.window * rate_hz), minute
        return record

    def crossing(self, rate_hz: float) -> Any:
        """Threshold and release as computed from the wanted false alarms, if they are."""
        record = super().crossing(rate_hz)
        record["threshold"], record["release"] = self.bounds()
        return record

    def bounds(self) -> tuple[float, float]:
        """Threshold and release in force, in nats.

        Raises:
            ValueError: the wanted rate of false alarms can't be had.
        """
        if self.false_alarms is None or self.base_rate is None:
            return self.threshold, self.release
        alarms = self.false_alarms / self.base_rate
        try:
            nats = poisson_threshold(self.times, alarms, _RELEASE, _SPARE_EVENTS * log(self.times))
        except ValueError as error:
            raise ValueError(f"false_alarms: {error} at {self.base_rate:g} events a minute") from error
        return nats, _RELEASE * nats
