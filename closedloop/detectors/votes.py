"""What `any` and `all` share: several detectors on the same readings, counted. A member learns from clean values alone.

Each member keeps its own statistics and its own crossing, with its own threshold, release, duration and hold; all of
them are counted in clean readings, so that light and vetoes do not age them. What a member says while it is unknown
(nan) is neither high nor low. One that was high stays so for `_LAPSE_S`: else the few readings that a short window
takes to fill again after light would end a detection, and the same event would begin a second one. It does not count
towards a new detection meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from closedloop import chain, detectors
from closedloop.anchor import Anchor
from closedloop.chain import Kernel, Shown, one_after_the_other, within
from closedloop.detectors import Detector, Kernels
from closedloop.model import OneOf, kernel

MOST_MEMBERS = 6
DEEPEST = 3
_LAPSE_S = 10.0  # a member that was high and is unknown for longer is no longer taken as high

_MEMORY = np.dtype(
    [
        ("above", "i8"),  # readings in a row at or above the threshold
        ("high", "i8"),
        ("since", "i8"),  # clean readings since it became high
        ("unknown", "i8"),  # clean readings in a row without a score
        ("fresh", "i8"),  # the score below is this reading's
        ("score", "f8"),
    ],
    align=True,
)
_PARAMETERS = np.dtype(
    [("threshold", "f8"), ("release", "f8"), ("need", "i8"), ("hold", "i8"), ("lapse", "i8")], align=True
)
_COUNT = np.dtype([("enough", "f8")])


@kernel
def _would_be_high(memory: Any, p: Any, score: float) -> bool:
    """Whether a member is high with this score; changes nothing."""
    if np.isnan(score):
        return False
    if memory.high != 0:
        return score >= p.release  # type: ignore[no-any-return]
    return score >= p.threshold and memory.above + 1 >= p.need  # type: ignore[no-any-return]


@kernel
def _held(memory: Any, p: Any) -> bool:
    """Whether a member's statistics stand still; not for ever, or a gate that is up for minutes would never learn."""
    if memory.high == 0:
        return memory.above != 0  # type: ignore[no-any-return]
    return memory.since < p.hold  # type: ignore[no-any-return]


@kernel
def _cross(memory: Any, p: Any, score: float) -> None:
    """One clean reading of a member."""
    memory.score = score
    memory.fresh = 1
    if np.isnan(score):
        memory.unknown += 1
        if memory.unknown > p.lapse:
            memory.high = 0
            memory.above = 0
        return
    memory.unknown = 0
    was = memory.high
    memory.high = _would_be_high(memory, p, score)
    memory.since = memory.since + 1 if was != 0 and memory.high != 0 else 0
    memory.above = memory.above + 1 if score >= p.threshold and memory.high == 0 else 0


@kernel
def _score_of_this_reading(memory: Any, p: Any) -> float:
    return memory.score if memory.fresh != 0 else np.nan


@lru_cache(maxsize=256)
def _count(scores: tuple[Kernel, ...], at: int = 0) -> Kernel:
    """Members known, members high with this value, and members unknown that were high."""
    if at == len(scores):

        @kernel
        def counted(memory: Any, p: Any, value: float, known: int, high: int, kept: int) -> tuple[int, int, int]:
            return known, high, kept

        return counted
    score_of, rest, name = scores[at], _count(scores, at + 1), _name(at, len(scores))

    @kernel
    def count(memory: Any, p: Any, value: float, known: int, high: int, kept: int) -> tuple[int, int, int]:
        member, its = memory[name], p[name]
        score = score_of(member.inner, its.inner, value)
        if np.isnan(score):
            kept += member.crossing.high != 0
        else:
            known += 1
            high += _would_be_high(member.crossing, its.crossing, score)
        return rest(memory, p, value, known, high, kept)  # type: ignore[no-any-return]

    return count


@lru_cache(maxsize=256)
def _prepare(prepares: tuple[Kernel, ...], at: int = 0) -> Kernel:
    """Chains of their own, each learning unless its own member is held."""
    if at == len(prepares):

        @kernel
        def prepared_all(memory: Any, p: Any, signal: float, control: float, learn: bool) -> None:
            pass

        return prepared_all
    prepared, rest, name = prepares[at], _prepare(prepares, at + 1), _name(at, len(prepares))

    @kernel
    def prepare(memory: Any, p: Any, signal: float, control: float, learn: bool) -> None:
        member, its = memory[name], p[name]
        member.crossing.fresh = 0
        teach = learn and not _held(member.crossing, its.crossing)
        prepared(member.inner, its.inner, signal, control, teach)
        rest(memory, p, signal, control, learn)

    return prepare


def _nothing_more() -> Kernel:
    """After the last member; one for each composition, so that numba compiles it for one type of memory alone."""

    @kernel
    def nothing_more(memory: Any, p: Any, value: float) -> None:
        pass

    return nothing_more


@lru_cache(maxsize=256)
def _follow(members: tuple[Kernels, ...], at: int = 0) -> Kernel:
    """Each member's crossing and evidence move on by one clean reading."""
    if at == len(members):
        return _nothing_more()
    score_of, followed = members[at].score, members[at].follow
    rest, name = _follow(members, at + 1), _name(at, len(members))

    @kernel
    def follow(memory: Any, p: Any, value: float) -> None:
        member, its = memory[name], p[name]
        _cross(member.crossing, its.crossing, score_of(member.inner, its.inner, value))
        followed(member.inner, its.inner, value)
        rest(memory, p, value)

    return follow


@lru_cache(maxsize=256)
def _learn(learns: tuple[Kernel, ...], at: int = 0) -> Kernel:
    """Each member's statistics, unless the member itself is held."""
    if at == len(learns):
        return _nothing_more()
    learn_from, rest, name = learns[at], _learn(learns, at + 1), _name(at, len(learns))

    @kernel
    def learn(memory: Any, p: Any, value: float) -> None:
        member, its = memory[name], p[name]
        if not _held(member.crossing, its.crossing):
            learn_from(member.inner, its.inner, value)
        rest(memory, p, value)

    return learn


@lru_cache(maxsize=256)
def _together(members: tuple[Kernels, ...], named: tuple[str, ...]) -> Kernels:
    """The members' kernels as those of one detector."""
    count = _count(tuple(one.score for one in members))

    @kernel
    def score(memory: Any, p: Any, value: float) -> float:
        known, high, kept = count(memory, p, value, 0, 0, 0)
        if known == 0 or (kept > 0 and high < p.count.enough):
            return np.nan
        return float(high)

    resume = chain.nothing
    for at, one in enumerate(members):
        if one.resume is not chain.nothing:
            resume = one_after_the_other(resume, within(_name(at, len(members)), within("inner", one.resume)))
    return Kernels(
        score,
        _learn(tuple(one.learn for one in members)),
        _follow(members),
        resume,
        _prepare(tuple(one.prepare for one in members)),
        tuple(_shown(members, named)),
    )


def _shown(members: tuple[Kernels, ...], named: tuple[str, ...]) -> Iterator[tuple[str, Kernel]]:
    """Each member's score by the name of its kind, and what it shows itself."""
    for at, (one, kind) in enumerate(zip(members, named, strict=True)):
        yield f"{kind}_score", within(_name(at, len(members)), within("crossing", _score_of_this_reading))
        inner: Shown = one.shown
        for name, number_of in inner:
            yield name, within(_name(at, len(members)), within("inner", number_of))


def _name(at: int, members: int) -> str:
    """Where a member lies; it says of how many, so that no memory is the beginning of another: numba would mix them."""
    return f"member_{at + 1}_of_{members}"


class _Votes(Detector):
    """Base of `any` and `all`: the score is how many members are high with this value.

    nan while no member is known, and while one that was high is unknown and too few of the others are high.
    """

    score_unit: ClassVar[str] = "members"
    all_needed: ClassVar[bool]  # where no threshold is given
    knows_nan: ClassVar[bool] = True  # a member with a chain of its own may be known where the protocol's chain is not

    threshold: float = Field(
        default_factory=lambda: 1.0, ge=1, description="How many members must be high together; `any`: 1, `all`: all."
    )
    release: float = Field(
        default_factory=lambda: 1.0,
        gt=0,
        description="Over when fewer are high; the threshold unless told otherwise.",
    )
    of: tuple[Annotated[Detector, OneOf("closedloop.detectors")], ...] = Field(
        json_schema_extra={"minItems": 2, "maxItems": MOST_MEMBERS},
        examples=["[{kind: difference}, {kind: threshold}]"],
        description="The members: detectors with thresholds of their own, each on the protocol's chain or its own.",
    )

    @model_validator(mode="before")
    @classmethod
    def _as_many_as_its_name_says(cls, given: Any) -> Any:
        if not isinstance(given, dict) or not isinstance(given.get("of"), (list, tuple)):
            return given
        members = len(given["of"])
        if not 2 <= members <= MOST_MEMBERS:  # said here, for pydantic counts only those without a mistake
            raise ValueError(
                f"of has {members} of the 2 to {MOST_MEMBERS} members that it may have; change their number"
            )
        needed = float(members) if cls.all_needed else 1.0
        filled = {"threshold": needed, **given}
        return {"release": filled["threshold"], **filled}

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        if self.threshold > len(self.of):
            raise ValueError(
                f"threshold ({self.threshold:g}) is more than the {len(self.of)} members there are; lower threshold"
            )
        if self.depth > DEEPEST:
            raise ValueError(f"of is nested {self.depth} deep, and {DEEPEST} is the most; take a level out")
        return self

    @property
    def depth(self) -> int:
        """1 where no member has members in turn."""
        return 1 + max(member.depth if isinstance(member, _Votes) else 0 for member in self.of)

    def kernels(self) -> Kernels:
        """The members' kernels as those of one detector."""
        whole = tuple(detectors.whole(member).kernels for member in self.of)
        return _together(whole, tuple(member.kind for member in self.of))

    def memory_layout(self) -> np.dtype[Any]:
        """The members' memories, each with its crossing."""
        return chain.record(
            tuple(
                (
                    _name(at, len(self.of)),
                    chain.record((("inner", detectors.whole(member).memory), ("crossing", _MEMORY))),
                )
                for at, member in enumerate(self.of)
            )
        )

    def highest(self, rate_hz: float) -> float:
        """All members."""
        del rate_hz
        return float(len(self.of))

    def parameters(self, rate_hz: float) -> Any:
        """One record: the members' parameters, each with its crossing in readings; and how many are enough."""
        own = {"count": np.array([(self.threshold,)], _COUNT)}
        for at, member in enumerate(self.of):
            crossing = member.crossing(rate_hz)[0]
            hold, lapse = round(float(crossing["hold_us"]) * rate_hz / 1e6), round(_LAPSE_S * rate_hz)
            bounds = (crossing["threshold"], crossing["release"], crossing["need"], hold, lapse)
            both = {"inner": detectors.whole(member).parameters(rate_hz), "crossing": np.array([bounds], _PARAMETERS)}
            own[_name(at, len(self.of))] = chain.side_by_side(both)
        return chain.side_by_side(own)

    def anchored(self, anchor: Anchor) -> Self:
        """The same, with what any member leaves open taken from the animal's anchor.

        Raises:
            ValueError: the anchor does not allow what a member asks for; says which, and why.
        """
        return self.model_copy(update={"of": tuple(detectors.anchored(member, anchor) for member in self.of)})

    @property
    def needs_anchor(self) -> bool:
        """Whether any member does."""
        return any(member.needs_anchor for member in self.of)

    @property
    def needs_control(self) -> bool:
        """Whether any member does."""
        return super().needs_control or any(member.needs_control for member in self.of)

    def notes(self, rate_hz: float) -> list[str]:
        """What a user should know of the members."""
        return [note for member in self.of for note in member.notes(rate_hz)]
