"""Number to score: one file a detector, named by its `kind`. A detector never fires: it says how unusual a value is.

A detector is a frozen model, a memory that starts as zeros, and two kernels

    score(memory, parameters, value) -> float     changes nothing; nan while warming up or unknowable
    learn(memory, parameters, value) -> None      called only when the value is clean: no light, no veto, no nan

What makes a crossing of a score is the same for all and stands here: up through `threshold` for `minimum_duration`,
over again only after falling below `release`. An unknown score (nan) is neither high nor low: it changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from closedloop.model import Part, Seconds, kernel


class Detector(Part):
    """Base of all detectors."""

    threshold: float = Field(4.0, description="Score at which hyperactivity begins.")
    release: float = Field(2.0, description="Score below which it is over (hysteresis).")
    minimum_duration: Seconds = Field(0.0, ge=0, description="How long the score must stay up before it counts.")
    hold: Seconds = Field(10.0, ge=0, description="Longest time the statistics are held still by a detection.")

    score: ClassVar[Callable[..., float]]
    learn: ClassVar[Callable[..., None]]

    @model_validator(mode="after")
    def _hysteresis_is_downward(self) -> Self:
        if self.release > self.threshold:
            raise ValueError(
                f"release ({self.release:g}) must not lie above threshold ({self.threshold:g}); lower release"
            )
        return self

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
