"""Larger transients than this animal has: a sum of evidence over their heights. How many there are is not asked."""

from __future__ import annotations

from math import exp, log
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from closedloop.anchor import Anchor
from closedloop.detectors import Detector
from closedloop.model import Fraction, Rate, kernel
from closedloop.online import events, heights
from closedloop.online.run_length import gauss_threshold

_RELEASE = 0.5  # of a threshold that was computed
_CLIP = 2.0  # SD: what a single height can say, so that one artefact is no more than one large event
_SPARE_EVENTS = 2  # the sum is capped at what so many typical events of the raised state add above the threshold


@kernel
def _next(memory: Any, p: Any, value: float) -> float:
    """The sum as it is with this value: only the end of an event changes it."""
    if not events.ends(memory.events, p.events, value):
        return float(memory.sum)
    mean, sd = (memory.mean, memory.sd) if p.learns > 0 else (p.mean, p.sd)
    said = heights.evidence(events.height(memory.events), mean, sd, p.shift, p.clip)
    return float(min(max(0.0, memory.sum + said), p.highest))


@kernel
def _score(memory: Any, p: Any, value: float) -> float:
    if np.isnan(value) or memory.seen == 0 or memory.learned < p.learns:
        return np.nan
    return _next(memory, p, value)


@kernel
def _learn_height(memory: Any, height: float) -> None:
    """Running mean and SD of the logarithm (Welford 1962)."""
    memory.learned += 1
    away = log(height) - memory.mean
    memory.mean += away / memory.learned
    memory.squares += away * (log(height) - memory.mean)
    memory.sd = np.sqrt(memory.squares / max(1, memory.learned - 1))


@kernel
def _follow(memory: Any, p: Any, value: float) -> None:
    memory.seen = 1
    knows = memory.learned >= p.learns
    if knows:
        memory.sum = _next(memory, p, value)
    if not events.follow(memory.events, p.events, value) & events.OVER:
        return
    heights.add(memory.heights, p.recent, memory.events.height)
    if not knows:
        _learn_height(memory, memory.events.height)


@kernel
def _resume(memory: Any, p: Any) -> None:
    events.resume(memory.events, p.events)


@kernel
def _gain(memory: Any, p: Any) -> float:
    """Geometric mean of the last heights, as a multiple of the reference."""
    if memory.learned < p.learns:
        return np.nan
    return heights.gain(memory.heights, p.recent, memory.mean if p.learns > 0 else p.mean)


class EventGain(Detector):
    """CUSUM of log-normal event heights: S = max(0, S + (d / s2) (ln h - m - d / 2)), d = ln(times).

    Its score is S in nats; m and s are mean and SD of ln h of this animal's events: the anchor's, given, or learned
    from the first `baseline` events and then frozen. Heights of transients are close to log-normal and the sum uses
    all that a height says, where an exceedance of one quantile uses a yes or no; what one event can say is clipped at
    2 SD, so that an artefact, however high, is worth no more than a large event. With `false_alarms` the threshold is
    computed for such heights at the base rate of events, and release is half of it.

    Events below `event` are not seen. When all grow, more of the small ones are, so the heights that are seen grow by
    less than the gain.
    """

    kind: Literal["gain"] = "gain"
    event: Fraction | None = Field(
        None, gt=0, description="An event begins where the number rises through this; left out: the anchor's."
    )
    event_release: Fraction | None = Field(
        None, description="... and is over below this; left out: the anchor's, or half of a given event."
    )
    reference: Fraction | None = Field(
        None, gt=0, description="Geometric mean of the heights when calm; left out: the anchor's."
    )
    spread: float | None = Field(None, gt=0, le=3, description="SD of their natural logarithm; left out: the anchor's.")
    baseline: int | None = Field(
        None, ge=8, le=10_000, description="Learn both from so many first events instead, then keep them."
    )
    base_rate: Rate | None = Field(
        None, gt=0, description="Events a minute when calm, for false_alarms; left out: the anchor's."
    )
    times: float = Field(1.5, gt=1, le=20, description="Smallest factor of the heights worth acting on.")
    false_alarms: Rate | None = Field(
        None, gt=0, description="So many false alarms are wanted: threshold and release are computed from it."
    )
    recent: int = Field(
        10, ge=2, le=heights.MOST, description="Events of which the gain that is shown is the geometric mean."
    )

    memory_type: ClassVar[np.dtype[Any]] = np.dtype(
        [("seen", "i8"), ("learned", "i8"), ("events", events.EVENT_MEMORY), ("heights", heights.HEIGHT_MEMORY)]
        + [(name, "f8") for name in ("sum", "mean", "squares", "sd")],
        align=True,
    )
    parameter_type: ClassVar[np.dtype[Any]] = np.dtype(
        [("learns", "i8"), ("recent", "i8"), ("events", events.EVENT_PARAMETERS)]
        + [(name, "f8") for name in ("mean", "sd", "shift", "clip", "highest")],
        align=True,
    )
    score_unit: ClassVar[str] = "nats"  # of the score
    score: ClassVar[Any] = staticmethod(_score)
    follow: ClassVar[Any] = staticmethod(_follow)
    resume: ClassVar[Any] = staticmethod(_resume)
    shown: ClassVar[dict[str, Any]] = {"gain": _gain}

    @model_validator(mode="after")
    def _one_reference(self) -> Self:
        if self.baseline is not None and (self.reference is not None or self.spread is not None):
            raise ValueError("reference and spread are learned from baseline; give either those two or baseline")
        if self.baseline is not None and self.false_alarms is not None:
            raise ValueError(
                "a threshold can be computed for a known spread only; give reference and spread or an anchor and "
                "leave baseline out, or give a threshold and leave false_alarms out"
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
        """Whether the size of an event or the heights to compare with are left open."""
        heights_open = self.baseline is None and (self.reference is None or self.spread is None)
        return self.event is None or heights_open or (self.false_alarms is not None and self.base_rate is None)

    def anchored(self, anchor: Anchor) -> Self:
        """Size, height and rate of events are the animal's, where they are left open."""
        said: dict[str, Any] = {}
        known = anchor.events
        if self.event is None:
            said = {"event": known.size, "event_release": known.release}
        if self.baseline is None and (self.reference is None or self.spread is None):
            if known.log_mean is None or not known.log_sd:
                raise ValueError("gain: the anchor holds no events to compare heights with; leave gain out")
            said["reference"] = exp(known.log_mean) if self.reference is None else self.reference
            said["spread"] = known.log_sd if self.spread is None else self.spread
        if self.base_rate is None:
            minutes = sum(session.minutes for session in anchor.sessions)
            said["base_rate"] = events.usual_rate(known.rate, minutes)
        made = self.model_copy(update=said)
        made.bounds()
        return made

    def notes(self, rate_hz: float) -> list[str]:
        """The threshold that was computed, or how well heights that are learned can be known."""
        del rate_hz
        if self.false_alarms is not None and not self.needs_anchor:
            nats, release = self.bounds()
            bounds = f"threshold {nats:.2f} and release {release:.2f}"
            return [f"gain: {bounds}, for false alarms at {60 * self.false_alarms:g} /h"]
        if self.baseline is None:
            return []
        percent = 100 * 0.5 / self.baseline**0.5
        said = f"gain: heights learned from {self.baseline} events are wrong by some {percent:.0f} % if their "
        return [said + "logarithm has an SD of 0.5, and false alarms with them; an anchor knows them better"]

    def highest(self, rate_hz: float) -> float:
        """The cap of the sum, in nats: two typical events above the threshold that the session begins with."""
        del rate_hz
        return self.bounds()[0] + self._spare()

    def parameters(self, rate_hz: float) -> Any:
        """One record: what an event is, and what heights are compared with."""
        size = np.inf if self.event is None else self.event
        release = size / 2 if self.event_release is None else self.event_release
        record = np.zeros(1, self.parameter_type)
        record["events"] = events.event_parameters(rate_hz, size, release)
        record["learns"], record["recent"] = self.baseline or 0, self.recent
        record["mean"] = np.nan if self.reference is None else log(self.reference)
        record["sd"] = np.nan if self.spread is None else self.spread
        record["shift"], record["clip"] = log(self.times), _CLIP
        record["highest"] = self.highest(rate_hz)
        return record

    def crossing(self, rate_hz: float) -> Any:
        """Threshold and release as computed from the wanted false alarms, if they are."""
        record = super().crossing(rate_hz)
        record["threshold"], record["release"] = self.bounds()
        return record

    def _spare(self) -> float:
        """Nats above the threshold at which the sum is capped."""
        return _SPARE_EVENTS * (log(self.times) / (self.spread or 0.5)) ** 2 / 2

    def bounds(self) -> tuple[float, float]:
        """Threshold and release in force, in nats.

        Raises:
            ValueError: the wanted rate of false alarms can't be had.
        """
        if self.false_alarms is None or self.base_rate is None or self.spread is None:
            return self.threshold, self.release
        alarms = self.false_alarms / self.base_rate
        try:
            nats = gauss_threshold(log(self.times) / self.spread, _CLIP, alarms, _RELEASE, self._spare())
        except ValueError as error:
            raise ValueError(f"false_alarms: {error} at {self.base_rate:g} events a minute") from error
        return nats, _RELEASE * nats
