"""What a study file is made of: animals, arms, phases, and the rule by which animals come to arms. Each by itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic.config import JsonDict

from closedloop.arm_policy import POLICIES, PolicyAsWritten, placeholders
from closedloop.model import Model
from closedloop.yaml_tree import shown

SOME: JsonDict = {"minItems": 1}  # checked by a rule below: pydantic counts what is wrong as what is lacking

Word = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=40)]
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,64}$")]  # what BIDS allows, and a session folder is named by
Text = Annotated[str, Field(min_length=1, max_length=40)]


def _as_date(value: Any) -> Any:
    if isinstance(value, date):
        return value
    try:
        return _in_our_time(date.fromisoformat(str(value)))
    except ValueError as error:
        raise ValueError(f"is no date (got {shown(value)}); write year-month-day, such as 2026-03-02") from error


def _in_our_time(start: date) -> date:
    """Days are counted from it, so it must not be at a calendar's end."""
    if not 2000 <= start.year < 2200:
        raise ValueError("no day of our time")
    return start


def _one_or_many(value: Any) -> Any:
    """A single value may be written without a list."""
    return value if isinstance(value, (list, tuple)) else [value]


class Animal(Model):
    """One animal of the study."""

    id: Label = Field(examples=["M01"], description="Letters and digits; its sessions' folder is called by it.")
    sex: Literal["female", "male", "unknown"] = Field("unknown", description="Arms are balanced within it.")
    start: Annotated[date, BeforeValidator(_as_date)] = Field(
        examples=["2026-03-02"], description="The date of its day 0."
    )
    anchor: str | None = Field(None, description="Its drug-free reference, in place of the study's pattern.")
    rig: str | None = Field(None, description="The rig it is always run on, in place of the study's.")
    traits: dict[Word, str] = Field(default_factory=dict, description="What else it has: box, genotype, hemisphere.")

    def trait(self, name: str) -> str | None:
        """The value of a trait that arms are balanced within; None where the animal does not have it."""
        return self.sex if name == "sex" else self.traits.get(name)


class Arm(Model):
    """One arm: a policy. Nothing else may differ between arms."""

    name: Word = Field(examples=["sham"], description="Shown only where the study is not blind, or after unblinding.")
    policy: Annotated[dict[str, Any], PolicyAsWritten(POLICIES)] = Field(
        examples=["{kind: sham}"], description="In place of the protocol's own, in phases that have arms."
    )
    share: int = Field(1, ge=1, le=20, description="Animals in it, relative to the other arms.")
    yoked_to: Word | None = Field(
        None, description="Arm that the partner of each animal is drawn from; '{partner}' is that partner's session."
    )

    @model_validator(mode="after")
    def _host_decides(self) -> Self:
        if self.policy.get("kind") == "on_board":
            raise ValueError(
                "policy: on_board decides on the board, by another detector and without the others' refusals; make it "
                "a protocol of its own"
            )
        return self

    @property
    def placeholders(self) -> list[str]:
        """What stands in braces in the policy."""
        texts = [said for said in self.policy.values() if isinstance(said, str)]
        return [found for text in texts for found in placeholders(text)]


class Phase(Model):
    """A part of the timeline: one session on each of its days."""

    name: Text = Field(examples=["withdrawal day 7"], description="Sessions are tabulated by it.")
    days: Annotated[tuple[Annotated[int, Field(ge=-3650, le=3650)], ...], BeforeValidator(_one_or_many)] = Field(
        examples=["[1, 7, 14]"],
        json_schema_extra=SOME,
        description="Counted from the animal's day 0; earlier ones are negative.",
    )
    protocol: str = Field(min_length=1, examples=["baseline"], description="A path, or a bare name in configs/.")
    arms: bool = Field(False, description="Whether the arm's policy takes the place of the protocol's own.")
    anchor: Literal["makes", "uses", "none"] = Field(
        "uses", description="Whether the animal's anchor is made of these sessions, used in them, or neither."
    )
    conditions: tuple[Text, ...] = Field(
        (),
        max_length=12,
        description="One a day, in an order of the animal's own: cocaine, cue, saline, novelty.",
    )
    late: int = Field(0, ge=0, le=60, description="Days after its day on which a session may still be run.")

    @model_validator(mode="after")
    def _days_and_conditions_fit(self) -> Self:
        if not self.days:
            raise ValueError("days are none; add one")
        if list(self.days) != sorted(set(self.days)):
            raise ValueError("days must be in order, each once; sort them")
        if len(set(self.conditions)) < len(self.conditions):
            raise ValueError("conditions must differ from each other; take the double one out")
        if self.conditions and len(self.days) % len(self.conditions):
            raise ValueError(
                f"days must be {len(self.conditions)}, or a multiple of it: one for each condition; add days or take "
                "conditions out"
            )
        return self

    def label(self, condition: str | None) -> str:
        """What its sessions are tabulated under."""
        return self.name if condition is None else f"{self.name} {condition}"


class AllocationRule(Model):
    """How animals come to arms, sides and orders."""

    method: Literal["blocks", "complete"] = Field("blocks", description="Permuted blocks, or all of a stratum at once.")
    block: int | None = Field(
        None, ge=2, le=200, description="Animals a block, a multiple of all shares; left out: all shares once."
    )
    stratify: tuple[Word, ...] = Field((), description="Arms are balanced within these: sex, or a trait.")
    counterbalance: dict[Word, Annotated[tuple[Text, ...], Field(min_length=2)]] = Field(
        default_factory=dict,
        examples=["{paired_side: [left, right]}"],
        description="What is drawn for each animal, in equal numbers within each arm.",
    )


class Slot(NamedTuple):
    """One session that is to be.

    Attributes:
        phase: of the study.
        session: which of the phase's, from 1.
        day: counted from the animal's day 0.
    """

    phase: Phase
    session: int
    day: int

    def condition(self, order: Sequence[str]) -> str | None:
        """Which of the phase's conditions it is, in an animal's order; an order shorter than the days begins anew."""
        return order[(self.session - 1) % len(order)] if order else None
