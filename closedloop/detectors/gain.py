"""Larger transients than this animal has: a sum of evidence over their heights. How many there are is not asked."""

from __future__ import annotations

from math import exp, log
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from closedloop.anchor import Anchor
from closedloop.detectors.on_events import RELEASE, Usual, _EventSum, usual_rate
from closedloop.model import Fraction, Rate, kernel
from closedloop.online import events, heights
from closedloop.online.run_length import gauss_threshold

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


class EventGain(_EventSum):
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
    recent: int = Field(
        10, ge=2, le=heights.MOST, description="Events of which the gain that is shown is the geometric mean."
    )

    usual: ClassVar[Usual] = Usual(
        fields=("reference", "spread"),
        name="spread",
        twice="reference and spread are learned from baseline; give either those two or baseline",
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
    score: ClassVar[Any] = staticmethod(_score)
    follow: ClassVar[Any] = staticmethod(_follow)
    resume: ClassVar[Any] = staticmethod(_resume)
    shown: ClassVar[dict[str, Any]] = {"gain": _gain}

    @property
    def _heights_open(self) -> bool:
        return self.baseline is None and (self.reference is None or self.spread is None)

    @property
    def needs_anchor(self) -> bool:
        """Whether the size of an event or the heights to compare with are left open."""
        alarms_open = self.false_alarms is not None and self.base_rate is None
        return self.event is None or self._heights_open or alarms_open

    def usual_of(self, anchor: Anchor) -> dict[str, Any]:
        """Height and rate of the animal's events, where they are left open.

        Raises:
            ValueError: the anchor holds no events.
        """
        said: dict[str, Any] = {}
        known = anchor.events
        if self._heights_open:
            if known.log_mean is None or not known.log_sd:
                raise ValueError("gain: the anchor holds no events to compare heights with; leave gain out")
            said["reference"] = exp(known.log_mean) if self.reference is None else self.reference
            said["spread"] = known.log_sd if self.spread is None else self.spread
        if self.base_rate is None:
            said["base_rate"] = usual_rate(anchor)
        return said

    def how_well_known(self, baseline: float) -> str:
        """The mean of n logarithms is wrong by about their SD / sqrt(n)."""
        said = f"heights learned from {baseline} events are wrong by some {100 * 0.5 / baseline**0.5:.0f} % if their "
        return said + "logarithm has an SD of 0.5, and false alarms with them; an anchor knows them better"

    def parameters(self, rate_hz: float) -> Any:
        """One record: what an event is, and what heights are compared with."""
        record = np.zeros(1, self.parameter_type)
        record["events"] = self.event_parameters(rate_hz)
        record["learns"], record["recent"] = self.baseline or 0, self.recent
        record["mean"] = np.nan if self.reference is None else log(self.reference)
        record["sd"] = np.nan if self.spread is None else self.spread
        record["shift"], record["clip"] = log(self.times), _CLIP
        record["highest"] = self.highest(rate_hz)
        return record

    def spare(self) -> float:
        """Nats of two typical events of the raised state."""
        return _SPARE_EVENTS * (log(self.times) / (self.spread or 0.5)) ** 2 / 2

    def computed_threshold(self, alarms: float) -> float | None:
        """Threshold, in nats, for so many false alarms an event; None while the spread is unknown.

        Raises:
            ValueError: it can't be had.
        """
        if self.spread is None:
            return None
        return gauss_threshold(log(self.times) / self.spread, _CLIP, alarms, RELEASE, self.spare())
