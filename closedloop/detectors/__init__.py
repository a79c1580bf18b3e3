"""Number to score: one file a detector, named by its `kind`. A detector never fires: it says how unusual a value is.

A detector is a frozen model, a memory that starts as zeros, and two kernels

    score(memory, parameters, value) -> float     changes nothing; nan while warming up or unknowable
    learn(memory, parameters, value) -> None      called only when the value is clean: no light, no veto, no nan, and
                                                  while no detection holds the statistics still

Where it needs them, it has more:

    follow(memory, parameters, value) -> None     for evidence that adds up: called for every clean value, before
                                                  `learn`, while a detection holds too
    resume(memory, parameters) -> None            before the first clean value after light or a veto: what lies in
                                                  short windows is from before, or an artefact
    shown = {"rate": kernel}                      (memory, parameters) -> float, recorded at each reading by this name

What makes a crossing of a score is the same for all and stands here: up through `threshold` for `minimum_duration`,
over again only after falling below `release`. An unknown score (nan) is neither high nor low: it changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any, ClassVar, NamedTuple, Self

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from closedloop import chain
from closedloop.anchor import Anchor
from closedloop.chain import Chain, Kernel, Shown, nothing
from closedloop.model import OneOf, Part, Seconds, as_list, kernel

OwnFeature = Annotated[Part, OneOf("closedloop.features")]


@kernel
def no_learning(memory: Any, p: Any, value: float) -> None:
    """For a detector that has nothing to learn or to follow."""


@kernel
def no_input(memory: Any, p: Any, signal: float, control: float, learn: bool) -> None:
    """For a detector that needs nothing but the protocol's chain."""


class Kernels(NamedTuple):
    """A detector's compiled functions.

    `prepare` comes first at each reading: (memory, parameters, signal, control, learn) -> None. It is how a detector
    with a chain of its own gets its number.
    """

    score: Kernel
    learn: Kernel
    follow: Kernel = no_learning
    resume: Kernel = nothing
    prepare: Kernel = no_input
    shown: Shown = ()


class Detector(Part):
    """Base of all detectors."""

    threshold: float = Field(4.0, description="Score at which hyperactivity begins.")
    release: float = Field(2.0, description="Score below which it is over (hysteresis).")
    minimum_duration: Seconds = Field(0.0, ge=0, description="How long the score must stay up before it counts.")
    hold: Seconds = Field(10.0, ge=0, description="Longest time the statistics are held still by a detection.")
    features: Annotated[tuple[OwnFeature, ...], BeforeValidator(as_list)] = Field(
        (), max_length=8, description="A chain of its own, from the reading; without it the protocol's is used."
    )

    score: ClassVar[Callable[..., float]]
    learn: ClassVar[Callable[..., None]] = staticmethod(no_learning)
    follow: ClassVar[Callable[..., None]] = staticmethod(no_learning)
    resume: ClassVar[Callable[..., None]] = staticmethod(nothing)
    shown: ClassVar[dict[str, Callable[..., float]]] = {}
    score_unit: ClassVar[str] = "SD"  # of the score, for people
    knows_nan: ClassVar[bool] = False  # whether follow and learn are to be called on nan, too

    @model_validator(mode="after")
    def _hysteresis_is_downward(self) -> Self:
        if self.release > self.threshold:
            raise ValueError(
                f"release ({self.release:g}) must not lie above threshold ({self.threshold:g}); lower release"
            )
        return self

    def kernels(self) -> Kernels:
        """The compiled functions, for a memory and parameters of this very detector; a chain of its own left out."""
        made = type(self)
        return Kernels(made.score, made.learn, made.follow, made.resume, shown=tuple(made.shown.items()))

    def anchored(self, anchor: Anchor) -> Self:
        """The same detector with what it leaves open taken from the animal's anchor.

        Raises:
            ValueError: the anchor does not allow what is asked for; says why.
        """
        del anchor
        return self

    @property
    def needs_anchor(self) -> bool:
        """Whether something is left open that only an animal's anchor can say."""
        return False

    @property
    def needs_control(self) -> bool:
        """Whether the score is unknowable without a control channel."""
        # not any(...): once the detector of that name is imported, `any` is a module here
        return True in [getattr(feature, "needs_control", False) for feature in self.features]

    def notes(self, rate_hz: float) -> list[str]:
        """What a user should know of this detector at this rate; shown by `check`."""
        del rate_hz
        return []

    def highest(self, rate_hz: float) -> float | None:
        """The most that the score can come to at this rate; None where nothing caps it."""
        del rate_hz
        return None

    def parameters(self, rate_hz: float) -> Any:
        """One record of `parameter_type` for readings at `rate_hz`."""
        raise NotImplementedError

    def crossing(self, rate_hz: float) -> Any:
        """One CROSSING_PARAMETERS record."""
        need = max(1, int(np.ceil(self.minimum_duration * rate_hz - 1e-9)))
        hold_us = round(self.hold * 1e6)
        return np.array([(self.threshold, self.release, need, hold_us)], CROSSING_PARAMETERS)


CROSSING_MEMORY = np.dtype([("above", "i8"), ("high", "i8"), ("since", "i8")], align=True)
CROSSING_PARAMETERS = np.dtype([("threshold", "f8"), ("release", "f8"), ("need", "i8"), ("hold_us", "i8")], align=True)


@kernel
def cross(memory: Any, p: Any, score: float, ticks: int) -> bool:
    """True at the one reading where hyperactivity begins."""
    if np.isnan(score):
        return False
    if memory.high:
        if score < p.release:
            memory.high = 0
            memory.above = 0
        return False
    memory.above = memory.above + 1 if score >= p.threshold else 0
    if memory.above < p.need:
        return False
    memory.high = 1
    memory.since = ticks
    return True


@kernel
def held(memory: Any, p: Any, ticks: int) -> bool:
    """Whether a detection holds the statistics still; not for ever, or one wrong baseline would stay for good."""
    if memory.above == 0 and not memory.high:
        return False
    return not memory.high or ticks - memory.since < p.hold_us


def anchored(detector: Any, anchor: Anchor) -> Any:
    """The detector, and the chain of its own, with what they leave open taken from the anchor.

    Raises:
        ValueError: the anchor does not allow what is asked for; says why.
    """
    made, own = detector.anchored(anchor), detector.features
    if not own:
        return made
    needy = [at for at, feature in enumerate(own) if feature.needs_anchor]
    before = own[: needy[0]] if needy else own
    if (needy or detector.needs_anchor) and not anchor.tells_of(before):
        raise ValueError(
            f"{detector.kind}: what comes before it in its own features is not the chain that the anchor tells of "
            f"({anchor.chain}); use that chain, field by field"
        )
    return made.model_copy(update={"features": tuple(feature.anchored(anchor) for feature in own)})


class Whole(NamedTuple):
    """A detector with its own chain, if it has one, ready for a loop."""

    kernels: Kernels
    memory: np.dtype[Any]
    parameters: Callable[[float], Any]


def whole(detector: Detector) -> Whole:
    """The detector as a loop takes it: kernels, memory and parameters that fit one another."""
    kernels = detector.kernels() if detector.knows_nan else _known_values_only(detector.kernels())
    if not detector.features:
        return Whole(kernels, detector.memory_layout(), detector.parameters)
    own = detector.features

    def parameters(rate_hz: float) -> Any:
        return chain.side_by_side({"chain": chain.parameters_of(own, rate_hz), "inner": detector.parameters(rate_hz)})

    fields = (("input", np.dtype("f8")), ("chain", chain.memory_of(own)), ("inner", detector.memory_layout()))
    return Whole(_with_chain(chain.chain(own), kernels), chain.record(fields), parameters)


@lru_cache(maxsize=256)
def _known_values_only(inner: Kernels) -> Kernels:
    """The same kernels, not called on nan; what does nothing does so for this detector alone, see `chain.done_by`."""
    kernels = inner._replace(learn=_unless_nan(inner.learn), follow=_unless_nan(inner.follow))
    if inner.prepare is not no_input:
        return kernels

    @kernel
    def nothing_to_prepare(memory: Any, p: Any, signal: float, control: float, learn: bool) -> None:
        pass

    return kernels._replace(prepare=nothing_to_prepare)


def _unless_nan(inner: Kernel) -> Kernel:
    if inner is no_learning:

        @kernel
        def nothing_to_learn(memory: Any, p: Any, value: float) -> None:
            pass

        return nothing_to_learn

    @kernel
    def outer(memory: Any, p: Any, value: float) -> None:
        if not np.isnan(value):
            inner(memory, p, value)

    return outer


@lru_cache(maxsize=256)
def _with_chain(own: Chain, inner: Kernels) -> Kernels:
    """The same kernels on the number of an own chain, which is kept in the memory from `prepare` on."""
    value_of, resume_chain = own.value, chain.within("chain", own.resume)
    score_of, learn_from, followed, prepared = inner.score, inner.learn, inner.follow, inner.prepare

    @kernel
    def prepare(memory: Any, p: Any, signal: float, control: float, learn: bool) -> None:
        memory.input = value_of(memory.chain, p.chain, signal, control, learn)
        prepared(memory.inner, p.inner, signal, control, learn)

    @kernel
    def score(memory: Any, p: Any, value: float) -> float:
        return score_of(memory.inner, p.inner, memory.input)  # type: ignore[no-any-return]

    @kernel
    def learn(memory: Any, p: Any, value: float) -> None:
        learn_from(memory.inner, p.inner, memory.input)

    @kernel
    def follow(memory: Any, p: Any, value: float) -> None:
        followed(memory.inner, p.inner, memory.input)

    resume = chain.one_after_the_other(resume_chain, chain.within("inner", inner.resume))
    shown = tuple((name, chain.within("chain", of)) for name, of in own.shown)
    shown += tuple((name, chain.within("inner", of)) for name, of in inner.shown)
    return Kernels(score, learn, follow, resume, prepare, shown)
