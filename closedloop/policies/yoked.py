"""Another session's delivered trains at the very same times, whatever the signal does now: dose without contingency.

The partner is another animal, or better the animal's own earlier session: that one avoids the classical bias of yoking
(Church 1964, unverified).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from closedloop import wire
from closedloop.model import InFile, Seconds
from closedloop.partner import Partner
from closedloop.partner_file import as_partner
from closedloop.policies import FIRE, Policy, planned


class Yoked(Policy):
    """The partner's trains."""

    kind: Literal["yoked"] = "yoked"
    refractory: Seconds = Field(
        0.0, ge=0, description="From the end of one train to the next; the partner kept its own."
    )
    least_interval: Seconds = Field(
        0.0, ge=0, description="From the start of one train to the next; left out, the shortest of the partner's."
    )
    partner: Annotated[Partner, BeforeValidator(as_partner), InFile()] = Field(
        examples=["data/sub-M17/ses-20260301T100000"],
        description="Session folder whose trains are given again, or a .csv or .yaml of trains.",
    )

    decisions: ClassVar[tuple[str, ...]] = (FIRE,)
    decide: ClassVar[Any] = staticmethod(planned.decide)
    ahead: ClassVar[Any] = staticmethod(planned.ahead)
    memory_type: ClassVar[Any] = planned.MEMORY
    parameter_type: ClassVar[Any] = planned.PARAMETERS

    @model_validator(mode="after")
    def _keeps_as_far_apart_as_the_partner(self) -> Self:
        if "least_interval" not in self.model_fields_set:  # so that the worst case is the partner's, not the rig's
            object.__setattr__(self, "least_interval", self.partner.least_interval_s)
        return self

    def parameters(self, rate_hz: float, seed: int) -> Any:
        """The partner's times."""
        del seed
        return planned.parameters(self.partner.times_us, rate_hz, by_session=self.partner.clock == "session")

    def problems(
        self,
        command: Mapping[str, int],
        lit_s: float,
        limits: wire.Limits | None = None,
        tip_mw: float | None = None,
    ) -> list[str]:
        """Where the partner's light or limits differ in ways that matter."""
        return self.partner.problems(command, lit_s, limits, tip_mw)

    def notes(self) -> list[str]:
        """What is given again, and what of the partner's is not."""
        return self.partner.notes()
