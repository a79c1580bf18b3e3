"""What a virtual arena is: chambers, how the animal moves, what light is ASSUMED to do. Nothing moves here.

All of it is invented, to try a protocol with. What light does to a preference is no finding: it is what somebody wants
to see the consequences of, in both directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from closedloop.model import Fraction, Model, Rate, Seconds

InputName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


class Presses(Model):
    """A lever, a beam or a wheel's switch: closed now and then, whatever the light."""

    input: InputName = Field(description="Name of one of the rig's inputs.")
    rate: Rate = Field(default=2.0, gt=0, le=6000, description="How often it closes, on average, where it can.")
    lasts: Seconds = Field(default=0.3, ge=0.001, le=60, description="Mean time it stays closed.")
    chamber: InputName | None = Field(None, description="Where it stands; none: the animal can reach it everywhere.")


class Arena(Model):
    """Chambers with an input each, high while the animal is there, and how it moves between them."""

    chambers: tuple[InputName, ...] = Field(
        min_length=2, max_length=8, examples=["[paired, neutral, unpaired]"], description="Names of the rig's inputs."
    )
    passage: InputName | None = Field(
        None, description="Chamber that all ways lead through; none: each opens into each."
    )
    start: InputName | None = Field(None, description="Where a session begins; none: the passage, or the first.")
    dwell: Seconds = Field(
        default=15.0, ge=0.2, le=3600, description="Of a visit at preference 1: the median; the mean if exponential."
    )
    dwell_law: Literal["log_normal", "exponential"] = Field("log_normal", description="How visits vary in length.")
    dwell_spread: float = Field(default=0.8, ge=0, le=2, description="SD of the logarithm, where it is log-normal.")
    preference: dict[str, Annotated[float, Field(ge=0.05, le=20)]] = Field(
        default_factory=dict, description="How long visits of a chamber last against the others'; 1 where not given."
    )
    effect: Fraction = Field(
        default=0.0,
        ge=-0.9,
        le=9,
        description="ASSUMED, no finding: by how much each second of full light changes the preference for the "
        "chamber it falls in. Above 0 % it draws the animal there, below it drives it away; 0 % does nothing.",
    )
    most: float = Field(
        default=5.0, ge=1, le=100, description="Light changes a preference by no more than this factor."
    )
    presses: tuple[Presses, ...] = Field((), max_length=8, description="Other inputs: levers, beams, wheels.")

    @property
    def inputs(self) -> tuple[str, ...]:
        """Every input that the arena moves."""
        return (*self.chambers, *(one.input for one in self.presses))

    @property
    def first(self) -> int:
        """Number of the chamber a session begins in."""
        return self.chambers.index(self.start or self.passage or self.chambers[0])

    @model_validator(mode="after")
    def _names_are_chambers(self) -> Self:
        known = ", ".join(self.chambers)
        named = {"passage": self.passage, "start": self.start}
        named |= {f"preference.{name}": name for name in self.preference}
        named |= {f"presses.{at}.chamber": one.chamber for at, one in enumerate(self.presses)}
        wrong = [
            f"{field}: no chamber is called '{name}'; chambers are {known}"
            for field, name in named.items()
            if name is not None and name not in self.chambers
        ]
        twice = sorted({name for name in self.inputs if self.inputs.count(name) > 1})
        wrong += [f"input '{name}' is moved by two things; give each an input of its own" for name in twice]
        if wrong:
            raise ValueError("\n".join(wrong))
        return self

    def input_problems(self, names: Sequence[str]) -> list[str]:
        """Which of the arena's inputs a rig with these names does not have, one line each."""
        return [
            f"simulation.arena: '{name}' is none of the rig's inputs ({', '.join(names) or 'there are none'}); add it "
            "to 'inputs'"
            for name in self.inputs
            if name not in names
        ]
