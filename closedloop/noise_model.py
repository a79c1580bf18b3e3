"""Parts that make coloured noise white: where their autoregressive model comes from. Nothing is computed here."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from closedloop.anchor import Anchor
from closedloop.errors import ConfigError
from closedloop.model import Hertz, Part
from closedloop.online import autoregressive

_RATE_TOLERANCE = 0.02  # a model is of steps in time; at another rate it foretells something else


class NoiseModel(Part):
    """Base of parts with a model that is learned in the session, given, or the animal's anchor's."""

    order: int = Field(16, ge=1, le=autoregressive.MOST, description="Past readings that a reading is foretold from.")
    model: Literal["epoch", "anchor"] = Field("epoch", description="Learned anew, or from the animal's anchor.")
    coefficients: tuple[float, ...] = Field(
        (), max_length=autoregressive.MOST, description="A model given, that of the last reading first."
    )
    sd: float | None = Field(None, gt=0, description="... and the SD of its innovations, in units of the input.")
    rate: Hertz | None = Field(None, gt=0, description="... and the readings a second it was learned at.")

    @model_validator(mode="after")
    def _a_given_model_is_whole(self) -> Self:
        given = {bool(self.coefficients), self.sd is not None, self.rate is not None}
        if len(given) == 2:
            raise ValueError("a given model needs coefficients, sd and rate; add what is missing, or leave all out")
        return self

    @property
    def keeps_its_start(self) -> bool:
        """Unless the model is given, or the anchor's."""
        return not self.coefficients and self.model == "epoch"

    @property
    def needs_anchor(self) -> bool:
        """Whether the model is still to be taken from the animal's anchor."""
        return self.model == "anchor" and not self.coefficients

    def anchored(self, anchor: Anchor) -> Self:
        """With the anchor's model, if that is the one asked for; its order is the anchor's."""
        if not self.needs_anchor:
            return self
        noise = anchor.noise
        return self.model_copy(update={"coefficients": noise.coefficients, "sd": noise.sd, "rate": noise.rate})

    def set_given(self, record: Any, rate_hz: float) -> None:
        """Put order and model, if one is given, into a record of parameters: order, given, sd, coefficients.

        Raises:
            ConfigError: the model is to come from an anchor and there is none, or is one of another rate.
        """
        if self.needs_anchor:
            raise ConfigError(f"{self.kind}: model is 'anchor', and there is no anchor; add 'anchor: FILE'")
        record["order"] = len(self.coefficients) or self.order
        if self.sd is None or self.rate is None:
            return
        if abs(self.rate / rate_hz - 1) > _RATE_TOLERANCE:
            raise ConfigError(
                f"{self.kind}: its model is of {self.rate:g} readings/s, and these come at {rate_hz:g}; "
                "use model: epoch, or an anchor of recordings at this rate"
            )
        record["given"], record["sd"] = 1, self.sd
        record["coefficients"][0, : len(self.coefficients)] = self.coefficients
