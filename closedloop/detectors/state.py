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
from closedloop.detectors import Detector, Kernels, OwnFeature
from closedloop.model import Fraction, Model, Rate, Seconds, kernel, kinds
from closedloop.online import events, heights

_RATE, _GAIN = 1, 2  # what events may show of a hyperactive state: either, or both
_SETS = 4
_BINS = 60  # of the window of the level
_CLIP = 2.0  # SD: what a single height can say
_MOST = 30.0  # nats: what a level can say
_RECENT = 10  # heights of which the gain that is shown is the geometric mean
_SHOWN_S = 120.0  # trailing (exponential) window of the rate that is shown
_KNOWN = 0.5  # of its weight must have been seen


@kernel
def _rate_factor(memory: Any, p: Any, value: float) -> float:
    """Likelihood of what this value says about the rate: raised against not (SCIENCE 5.1, Poisson)."""
    factor = p.quiet if events.ready(memory.events, p.events) else 1.0
    return factor * p.times if events.begins(memory.events, p.events, value) else factor


@kernel
def _gain_factor(memory: Any, p: Any, value: float) -> float:
    """The same of the height of an event that ends with this value."""
    if not events.ends(memory.events, p.events, value):
        return 1.0
    return np.exp(heights.evidence(events.height(memory.events), p.log_mean, p.log_sd, p.grown, _CLIP))  # type: ignore[no-any-return]


@kernel
def _level_factor(memory: Any, p: Any) -> float:
    """The same of the mean level of the window: a Gaussian shifted by `shift`."""
    said = p.shift / p.variance * (memory.level - p.level_mean - p.shift / 2)
    return np.exp(min(max(said, -_MOST), _MOST))  # type: ignore[no-any-return]


@kernel
def _stays(memory: Any, p: Any) -> float:
    """Probability of calm after one reading's time, in units of what it was before."""
    total = 0.0
    for at in range(1, _SETS):
        total += memory.odds[at]
    return 1.0 - p.rises + p.calms * total  # type: ignore[no-any-return]


@kernel
def _odds(memory: Any, p: Any, at: int, stays: float, rate: float, gain: float) -> float:
    """Odds of one set against calm, one reading on."""
    odds = (memory.odds[at] * (1.0 - p.calms) + p.enters[at]) / stays
    if at & _RATE:
        odds *= rate
    if at & _GAIN:
        odds *= gain
    return odds  # type: ignore[no-any-return]


@kernel
def _score(memory: Any, p: Any, value: float) -> float:
    if np.isnan(value) or memory.seen == 0 or (p.bin > 0 and memory.bins < _BINS):
        return np.nan
    stays, rate, gain = _stays(memory, p), _rate_factor(memory, p, value), _gain_factor(memory, p, value)
    total = 0.0
    for at in range(1, _SETS):
        total += _odds(memory, p, at, stays, rate, gain)
    if p.bin > 0:
        total += (1.0 + total) * p.rises / p.calms * _level_factor(memory, p)  # calm is calm in both
    return total / (1.0 + total)


@kernel
def _follow_level(memory: Any, p: Any) -> None:
    """Means of one bin after the other, and the mean of them all."""
    if p.bin == 0 or np.isnan(memory.input):
        return
    memory.bin_sum += memory.input
    memory.bin_count += 1
    if memory.bin_count < p.bin:
        return
    memory.ring[memory.bins % _BINS] = memory.bin_sum / memory.bin_count
    memory.bin_sum, memory.bin_count = 0.0, 0
    memory.bins += 1
    if memory.bins == 2 * _BINS:
        memory.bins = _BINS  # as full as before; the count must not grow for ever
    memory.level = np.mean(memory.ring)


@kernel
def _follow(memory: Any, p: Any, value: float) -> None:
    stays, rate, gain = _stays(memory, p), _rate_factor(memory, p, value), _gain_factor(memory, p, value)
    for at in range(1, _SETS):
        memory.odds[at] = _odds(memory, p, at, stays, rate, gain)
    what = events.follow(memory.events, p.events, value)
    if what & events.OVER:
        heights.add(memory.heights, _RECENT, memory.events.height)
    memory.weight += p.alpha * (1.0 - memory.weight)
    memory.recent += p.alpha * ((what & events.ONSET) - memory.recent)
    memory.seen = 1
    _follow_level(memory, p)


@kernel
def _resume(memory: Any, p: Any) -> None:
    events.resume(memory.events, p.events)  # the level's window holds clean readings alone, and is slow: it stays


@kernel
def _show_level(memory: Any, p: Any) -> float:
    return np.expm1(memory.level - p.level_mean) if memory.bins >= _BINS else np.nan


@kernel
def _show_rate(memory: Any, p: Any) -> float:
    return memory.recent / memory.weight * p.a_minute if memory.weight >= _KNOWN else np.nan


@kernel
def _show_gain(memory: Any, p: Any) -> float:
    return heights.gain(memory.heights, _RECENT, p.log_mean)


@lru_cache(maxsize=64)
def _with_level(own: Chain, shown: Shown) -> Kernels:
    """The kernels with the level's own chain before them, whose number is kept in the memory from `prepare` on."""
    value_of, resume_chain = own.value, own.resume

    @kernel
    def prepare(memory: Any, p: Any, signal: float, control: float, learn: bool) -> None:
        memory.inner.input = value_of(memory.chain, p.chain, signal, control, learn)

    @kernel
    def score(memory: Any, p: Any, value: float) -> float:
        return _score(memory.inner, p.inner, value)

    @kernel
    def follow(memory: Any, p: Any, value: float) -> None:
        _follow(memory.inner, p.inner, value)

    @kernel
    def resume(memory: Any, p: Any) -> None:
        resume_chain(memory.chain, p.chain)
        _resume(memory.inner, p.inner)

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


class State(Detector):
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
    event: Fraction | None = Field(
        None, gt=0, description="An event begins where the number rises through this; left out: the anchor's."
    )
    event_release: Fraction | None = Field(
        None, description="... and is over below this; left out: the anchor's, or half of a given event."
    )

    memory_type: ClassVar[np.dtype[Any]] = np.dtype(
        [("seen", "i8"), ("bins", "i8"), ("bin_count", "i8"), ("events", events.EVENT_MEMORY)]
        + [("heights", heights.HEIGHT_MEMORY), ("odds", "f8", (_SETS,)), ("ring", "f8", (_BINS,))]
        + [(name, "f8") for name in ("input", "bin_sum", "level", "weight", "recent")],
        align=True,
    )
    parameter_type: ClassVar[np.dtype[Any]] = np.dtype(
        [("bin", "i8"), ("events", events.EVENT_PARAMETERS), ("enters", "f8", (_SETS,))]
        + [(n, "f8") for n in ("rises", "calms", "times", "quiet", "log_mean", "log_sd", "grown")]
        + [(n, "f8") for n in ("level_mean", "shift", "variance", "alpha", "a_minute")],
        align=True,
    )
    score_unit: ClassVar[str] = "probability"  # of the score
    score: ClassVar[Any] = staticmethod(_score)
    follow: ClassVar[Any] = staticmethod(_follow)
    resume: ClassVar[Any] = staticmethod(_resume)

    @model_validator(mode="after")
    def _something_is_asked(self) -> Self:
        if self.level is None and self.rate is None and self.gain is None:
            raise ValueError("needs at least one of level, rate and gain")
        if self.event is not None and self.event_release is not None and self.event_release > self.event:
            raise ValueError("event_release must not lie above event; lower event_release")
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
        said: dict[str, Any] = {}
        if self.event is None:
            said = {"event": anchor.events.size, "event_release": anchor.events.release}
        if self.level is not None:
            said["level"] = _anchored_level(self.level, anchor)
        if self.rate is not None and self.rate.base_rate is None:
            said["rate"] = self.rate.model_copy(update={"base_rate": _usual_rate(anchor)})
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
            ("level", self.level, _show_level),
            ("rate", self.rate, _show_rate),
            ("gain", self.gain, _show_gain),
        )
        shown = tuple((name, of) for name, measure, of in measures if measure is not None)
        if self.level is not None:
            return _with_level(chain.chain(self.level.features), shown)
        return Kernels(_score, State.learn, _follow, _resume, shown=shown)

    def highest(self, rate_hz: float) -> float:
        """A probability."""
        del rate_hz
        return 1.0

    def parameters(self, rate_hz: float) -> Any:
        """One record, with those of the level's chain if there is one."""
        record = np.zeros(1, self.parameter_type)
        size = np.inf if self.event is None else self.event
        release = size / 2 if self.event_release is None else self.event_release
        record["events"] = events.event_parameters(rate_hz, size, release)
        record["rises"], record["calms"] = _chance(self.calm, rate_hz), _chance(self.hyperactive, rate_hz)
        record["enters"] = _equally(self._of_events()) * record["rises"]
        record["alpha"], record["a_minute"] = min(1.0, 1 / (_SHOWN_S * rate_hz)), 60 * rate_hz
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
        record["bin"] = max(1, round(level.window * rate_hz / _BINS))
        record["level_mean"] = np.nan if level.mean is None else level.mean
        record["shift"] = np.nan if level.smallest is None else log1p(level.smallest)
        record["variance"] = np.nan if level.sd is None else level.sd**2
        return chain.side_by_side({"chain": chain.parameters_of(level.features, rate_hz), "inner": record})

    def _of_events(self) -> int:
        """Which measures of events are chosen, as a set."""
        return _RATE * (self.rate is not None) + _GAIN * (self.gain is not None)


def _chance(dwell_s: float, rate_hz: float) -> float:
    """Of leaving a state within one reading's time."""
    return -expm1(-1 / (dwell_s * rate_hz))


def _equally(measures: int) -> Any:
    """The same weight for each set of the chosen measures but the empty one; they add up to 1, or 0."""
    weights = np.array([float(at > 0 and at & ~measures == 0) for at in range(_SETS)])
    return weights / max(1.0, weights.sum())


def _usual_rate(anchor: Anchor) -> float:
    minutes = sum(session.minutes for session in anchor.sessions)
    return events.usual_rate(anchor.events.rate, minutes) / (1 - anchor.events.busy)


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
