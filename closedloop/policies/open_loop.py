"""Trains at times that nothing in the signal decides: the effect of any light at that rate.

With a partner, the intervals between its delivered trains in another order, so that number, light, energy and the
distribution of intervals are the very same. Without one, so many trains within so long, with exponential intervals
above the least. Both are drawn from the seed before the session, and are in its header (SCIENCE 2.1).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from closedloop import wire
from closedloop.model import InFile, Seconds
from closedloop.partner import MOST_TRAINS, Partner, span_us
from closedloop.partner_file import as_partner
from closedloop.policies import FIRE, Policy, planned

_LEAST_INTERVAL_S = 5.0
_TOLD = 1024  # times in the header; all of them by their hash


class OpenLoop(Policy):
    """Planned trains."""

    kind: Literal["open_loop"] = "open_loop"
    refractory: Seconds = Field(
        0.0, ge=0, description="From the end of one train to the earliest start of the next; drawn times keep to it."
    )
    least_interval: Seconds = Field(
        0.0, ge=0, description="From start to start; left out, the shortest of the partner's, or 5 s without one."
    )
    partner: Annotated[Partner | None, BeforeValidator(as_partner), InFile()] = Field(
        None, description="Session folder whose intervals are given in another order, or a .csv or .yaml of trains."
    )
    trains: int = Field(20, ge=1, le=2048, description="In each block, without a partner.")
    within: Seconds = Field(1200.0, gt=0, le=86_400, description="From the block's start, without a partner.")

    decisions: ClassVar[tuple[str, ...]] = (FIRE,)
    decide: ClassVar[Any] = staticmethod(planned.decide)
    ahead: ClassVar[Any] = staticmethod(planned.ahead)
    memory_type: ClassVar[Any] = planned.MEMORY
    parameter_type: ClassVar[Any] = planned.PARAMETERS

    @model_validator(mode="after")
    def _keeps_its_trains_apart(self) -> Self:
        if "least_interval" not in self.model_fields_set:
            apart_s = _LEAST_INTERVAL_S if self.partner is None else self.partner.least_interval_s
            object.__setattr__(self, "least_interval", apart_s)
        return self

    @model_validator(mode="after")
    def _one_source_of_times(self) -> Self:
        given = {"trains", "within"} & self.model_fields_set
        if self.partner is not None and any(
            getattr(self, name) != type(self).model_fields[name].default for name in given
        ):
            raise ValueError(
                f"{min(given)} and partner both say when trains are; leave {' and '.join(sorted(given))} out"
            )
        if self.partner is None and self.within <= (self.trains - 1) * self.least_interval:
            raise ValueError(
                f"within ({self.within:g} s) is too short for {self.trains} trains, least_interval "
                f"{self.least_interval:g} s apart; lengthen it, or ask for fewer trains"
            )
        return self

    def times_us(self, seed: int) -> tuple[tuple[int, ...], ...]:
        """First light of each train since its block began, one list a block."""
        random = np.random.default_rng(seed)
        if self.partner is not None:
            return tuple(_shuffled(times, random) for times in self.partner.times_us)
        blocks = max(1, min(planned.MOST_STRETCHES, MOST_TRAINS // self.trains))
        return tuple(self._drawn_times(random) for _ in range(blocks))

    def _drawn_times(self, random: np.random.Generator) -> tuple[int, ...]:
        """Uniform in what the least intervals leave of `within`: intervals that are exponential above the least."""
        gaps_us = np.arange(self.trains) * round(self.least_interval * 1e6)
        free_us = np.sort(random.random(self.trains)) * (self.within * 1e6 - gaps_us[-1])
        return tuple((free_us.astype(int) + gaps_us).tolist())

    def parameters(self, rate_hz: float, seed: int) -> Any:
        """The drawn times."""
        by_session = self.partner is not None and self.partner.clock == "session"
        return planned.parameters(self.times_us(seed), rate_hz, by_session=by_session)

    def drawn(self, seed: int) -> Mapping[str, Any]:
        """Times of each block's trains, as far as there is room, and the SHA-256 of all of them."""
        times = self.times_us(seed)
        room, told = _TOLD, []
        for block in times:
            told.append(list(block[:room]))
            room -= len(told[-1])
            if room <= 0:
                break
        return {"times_us": told, "sha256": hashlib.sha256(repr(times).encode()).hexdigest()}

    def problems(
        self,
        command: Mapping[str, int],
        lit_s: float,
        limits: wire.Limits | None = None,
        tip_mw: float | None = None,
    ) -> list[str]:
        """Trains that would meet each other, or a partner whose light or limits differ in ways that matter."""
        if self.partner is not None:
            return self.partner.problems(command, lit_s, limits, tip_mw)
        span_s = span_us(command) / 1e6
        if self.trains == 1 or self.least_interval >= span_s + self.refractory:
            return []
        said = f"a train lasts {span_s:g} s, and {self.refractory:g} s of refractory follow"
        return [f"least_interval ({self.least_interval:g} s) lets trains meet: {said}; lengthen least_interval"]

    def notes(self) -> list[str]:
        """Of a partner's trains."""
        return [] if self.partner is None else self.partner.notes()


def _shuffled(times: Sequence[int], random: np.random.Generator) -> tuple[int, ...]:
    """The same intervals in another order, from the same first train on."""
    if len(times) < 2:
        return tuple(times)
    return tuple(np.cumsum([times[0], *random.permutation(np.diff(times))]).tolist())
