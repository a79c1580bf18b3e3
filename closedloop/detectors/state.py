"""Probability that the animal is hyperactive, against its own anchor. Level, rate and gain stay three things."""

from __future__ import annotations

from functools import lru_cache
from math import exp, expm1, log, log1p, sqrt
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from closedloop import anchor as anchors
from closedloop import chain
from closedloop.anchor import Anchor
from closedloop.chain import Chain, Shown
from closedloop.detectors import Kernels, OwnFeature
from closedloop.detectors.on_events import _OnEvents, usual_onset_rate
from closedloop.model import Fraction, Model, Rate, Seconds, kernel, kinds
from closedloop.online import two_state


@lru_cache(maxsize=64)
def _with_level(own: Chain, shown: Shown) -> Kernels:
    """The kernels with the level's own chain before them, whose number is kept in the memory from `prepare` on."""
    value_of, resume_chain = own.value, own.resume

    @kernel
    def prepare(memory: Any, p: Any, signal: float, control: float, learn: bool) -> None:
        memory.inner.input = value_of(memory.chain, p.chain, signal, control, learn)

    @kernel
    def score(memory: Any, p: Any, value: float) -> float:
        return two_state.score(memory.inner, p.inner, value)

    @kernel
    def follow(memory: Any, p: Any, value: float) -> None:
        two_state.follow(memory.inner, p.inner, value)

    @kernel
    def resume(memory: Any, p: Any) -> None:
        resume_chain(memory.chain, p.chain)
        two_state.resume(memory.inner, p.inner)

    within = tuple((name, chain.within("inner", of)) for name, of in shown)
    return Kernels(score, State.learn, follow, resume, prepare, within)


def _ratio() -> tuple[Any, ...]:
    made: Any = kinds("closedloop.features")["ratio"]
    return (made(),)


def _as_chain(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


class LevelEvidence(Model):
    """What a shifted level is."""

    smallest: Fraction | None = Field(
        None, gt=0, description="Smallest shift worth acting on; left out: the smallest that the anchor can tell."
    )
    window: Seconds = Field(60.0, ge=1, le=3600, description="The level is the mean over so much clean time.")
    features: Annotated[tuple[OwnFeature, ...], BeforeValidator(_as_chain)] = Field(
        default_factory=_ratio, min_length=1, max_length=8, description="From the reading to ln(470 / 405)."
    )
    mean: float | None = Field(None, description="Level when calm, ln units; left out: the anchor's.")
    sd: float | None = Field(
        None, gt=0, description="SD of such a mean from session to session, ln units; left out: the anchor's."
    )


class RateEvidence(Model):
    """What a raised rate is."""

    times: float = Field(2.0, gt=1, le=20, description="Smallest factor of the rate worth acting on.")
    base_rate: Rate | None = Field(
        None, gt=0, description="Onsets when calm, a minute in which one could begin; left out: the anchor's."
    )


class GainEvidence(Model):
    """What larger events are."""

    times: float = Field(1.5, gt=1, le=20, description="Smallest factor of the heights worth acting on.")
    reference: Fraction | None = Field(
        None, gt=0, description="Geometric mean of the heights when calm; left out: the anchor's."
    )
    spread: float | None = Field(None, gt=0, le=3, description="SD of their natural logarithm; left out: the anchor's.")


class State(_OnEvents):
    """Two-state Bayes filter (SCIENCE 5.1, 5.4): calm, or hyperactive in level, rate or gain, or in several.

    p' = p (1 - q10) + (1 - p) q01; odds' = p' / (1 - p') L, with q01 and q10 of one reading from the mean dwell times.
    When events become hyperactive, rate, gain or both are equally likely to be what they show: a measure that is raised
    is not outvoted by one that is not. An onset multiplies the odds by `rate.times`, and time in which one could begin
    by exp(-(times - 1) base_rate dt); a height counts as it does in `gain`. These add up from reading to reading.

    The level does not: the session's offset from the anchor is one draw, and a minute more of the same session is not
    another. So the mean m of the last window is weighed once, at the output, by exp((d / s2) (m - mean - d / 2)) times
    the prior odds, d = ln(1 + smallest), s2 = between2 (1 + 1 / n) + within2 / n_eff of n sessions (SCIENCE 1.7). A
    smaller d than the anchor can tell is refused. Blood and LED drift move a level as neurons do; only what the
    anchor sessions saw of it is in s2. The score is the probability that level or events, or both, are not calm.

    All time is that of clean readings. nan until the level's window is full, if it is used.
    """

    kind: Literal["state"] = "state"
    threshold: float = Field(0.95, ge=0, le=1, description="Probability at which hyperactivity begins.")
    release: float = Field(0.5, ge=0, le=1, description="Probability below which it is over (hysteresis).")
    minimum_duration: Seconds = Field(5.0, ge=0, description="How long it must stay up before it counts (dwell).")
    level: LevelEvidence | None = Field(None, description="Evidence of the tonic level; left out: none.")
    rate: RateEvidence | None = Field(default=RateEvidence(), description="Evidence of events a minute; null: none.")
    gain: GainEvidence | None = Field(default=GainEvidence(), description="Evidence of their heights; null: none.")
    calm: Seconds = Field(1200.0, gt=0, description="How long the animal stays calm, on average.")
    hyperactive: Seconds = Field(600.0, gt=0, description="How long it stays hyperactive, on average.")
    memory_type: ClassVar[np.dtype[Any]] = two_state.STATE_MEMORY
    parameter_type: ClassVar[np.dtype[Any]] = two_state.STATE_PARAMETERS
    score_unit: ClassVar[str] = "probability"  # of the score
    score: ClassVar[Any] = staticmethod(two_state.score)
    follow: ClassVar[Any] = staticmethod(two_state.follow)
    resume: ClassVar[Any] = staticmethod(two_state.resume)

    @model_validator(mode="after")
    def _something_is_asked(self) -> Self:
        if self.level is None and self.rate is None and self.gain is None:
            raise ValueError("needs at least one of level, rate and gain")
        self.refuse_release_above_event()
        return self

    @property
    def needs_anchor(self) -> bool:
        """Whether anything to compare with is left open."""
        open_level = self.level is not None and None in (self.level.smallest, self.level.mean, self.level.sd)
        open_rate = self.rate is not None and self.rate.base_rate is None
        open_gain = self.gain is not None and None in (self.gain.reference, self.gain.spread)
        open_event = self.event is None and not (self.rate is None and self.gain is None)
        return open_level or open_rate or open_gain or open_event

    @property
    def needs_control(self) -> bool:
        """Whether the level, or a chain of its own, is unknowable without a control channel."""
        level = () if self.level is None else self.level.features
        return super().needs_control or any(getattr(feature, "needs_control", False) for feature in level)

    def anchored(self, anchor: Anchor) -> Self:
        """Level, rate, gain and size of events to compare with are the animal's, where they are left open.

        Raises:
            ValueError: the level can't be told so finely, or there is nothing to compare with.
        """
        said = self.event_of(anchor)
        if self.level is not None:
            said["level"] = _anchored_level(self.level, anchor)
        if self.rate is not None and self.rate.base_rate is None:
            said["rate"] = self.rate.model_copy(update={"base_rate": usual_onset_rate(anchor)})
        if self.gain is not None:
            said["gain"] = _anchored_gain(self.gain, anchor.events)
        return self.model_copy(update=said)

    def memory_layout(self) -> np.dtype[Any]:
        """With that of the level's chain, if there is one."""
        if self.level is None:
            return self.memory_type
        return chain.record((("chain", chain.memory_of(self.level.features)), ("inner", self.memory_type)))

    def kernels(self) -> Kernels:
        """With the level's chain before them, if there is one."""
        measures = (
            ("level", self.level, two_state.level_shift),
            ("rate", self.rate, two_state.shown_rate),
            ("gain", self.gain, two_state.shown_gain),
        )
        shown = tuple((name, of) for name, measure, of in measures if measure is not None)
        if self.level is not None:
            return _with_level(chain.chain(self.level.features), shown)
        return super().kernels()._replace(shown=shown)

    def highest(self, rate_hz: float) -> float:
        """A probability."""
        del rate_hz
        return 1.0

    def parameters(self, rate_hz: float) -> Any:
        """One record, with those of the level's chain if there is one."""
        record = np.zeros(1, self.parameter_type)
        record["events"] = self.event_parameters(rate_hz)
        record["rises"] = two_state.chance(self.calm, rate_hz)
        record["calms"] = two_state.chance(self.hyperactive, rate_hz)
        record["enters"] = two_state.equally(self._of_events()) * record["rises"]
        record["alpha"], record["a_minute"] = min(1.0, 1 / (two_state.SHOWN_S * rate_hz)), 60 * rate_hz
        if self.rate is not None:
            record["times"] = self.rate.times
            record["quiet"] = exp(-(self.rate.times - 1) * (self.rate.base_rate or 0.0) / (60 * rate_hz))
        if self.gain is not None:
            known = self.gain.reference is not None and self.gain.spread is not None
            record["log_mean"] = log(self.gain.reference) if self.gain.reference else np.nan
            record["log_sd"] = self.gain.spread if known else 0.0  # 0: a height says nothing
            record["grown"] = log(self.gain.times)
        if self.level is None:
            return record
        level = self.level
        record["bin"] = max(1, round(level.window * rate_hz / two_state.BINS))
        record["level_mean"] = np.nan if level.mean is None else level.mean
        record["shift"] = np.nan if level.smallest is None else log1p(level.smallest)
        record["variance"] = np.nan if level.sd is None else level.sd**2
        return chain.side_by_side({"chain": chain.parameters_of(level.features, rate_hz), "inner": record})

    def _of_events(self) -> int:
        """Which measures of events are chosen, as a set."""
        return two_state.RATE * (self.rate is not None) + two_state.GAIN * (self.gain is not None)


def _anchored_gain(gain: GainEvidence, known: anchors.Events) -> GainEvidence:
    if gain.reference is not None and gain.spread is not None:
        return gain
    if known.log_mean is None or not known.log_sd:
        raise ValueError("gain: the anchor holds no events to compare heights with; leave it out with 'gain: null'")
    reference = exp(known.log_mean) if gain.reference is None else gain.reference
    return gain.model_copy(update={"reference": reference, "spread": gain.spread or known.log_sd})


def _anchored_level(level: LevelEvidence, anchor: Anchor) -> LevelEvidence:
    known = anchor.level
    if known is None:
        raise ValueError("level: the anchor holds none, for it was made without a control channel; leave level out")
    finest = known.smallest_shift
    if level.smallest is not None and log1p(level.smallest) < finest:
        raise ValueError(
            f"level: a verdict on a shift of {100 * level.smallest:.3g} % is refused, for sessions of "
            f"{anchor.subject} differ by themselves and the smallest that can be told is {100 * expm1(finest):.3g} %; "
            "ask for no less in level.smallest, or make an anchor of more drug-free sessions"
        )
    said = {
        "features": tuple(_anchored(feature, anchor) for feature in level.features),
        "smallest": expm1(finest) if level.smallest is None else level.smallest,
        "mean": known.mean if level.mean is None else level.mean,
        "sd": _spread(known, level.window) if level.sd is None else level.sd,
    }
    return level.model_copy(update=said)


def _anchored(feature: Any, anchor: Anchor) -> Any:
    return feature.anchored(anchor)


def _spread(known: anchors.Level, window_s: float) -> float:
    """SD of a window's mean in a session of its own, about the mean of the anchor's sessions (SCIENCE 1.7)."""
    independent = max(1.0, window_s / (2 * known.correlation))
    return sqrt(known.between**2 * (1 + 1 / len(known.sessions)) + known.within**2 / independent)
