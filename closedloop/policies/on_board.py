"""The DAQ board watches by itself and raises a wire to the stimulator, so that light does not wait for USB.

The host arms, limits and records, and its own loop runs along; it asks for no light. Which path fired is in the
recording: trains of the wire are numbered from 2**31 + 1 up, and their light has the reason `on_board`.
"""

from __future__ import annotations

from math import log2
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from closedloop import wire
from closedloop.model import Fraction, Seconds
from closedloop.policies import Policy, never

_PARTS = 1 << 16  # the board reckons dF/F in these
_MOST_SHIFT = 16
_FEATURES = {"signal": wire.Feature.SIGNAL, "signal_less_control": wire.Feature.SIGNAL_LESS_CONTROL}


class OnBoard(Policy):
    """Detection on the DAQ board, by a plain threshold on dF/F; needs a wire from its trigger output."""

    kind: Literal["on_board"] = "on_board"
    feature: Literal["signal", "signal_less_control"] = Field(
        "signal", description="dF/F of the signal, or less that of the control."
    )
    baseline: Seconds = Field(
        10.0, gt=0, le=3600, description="Time constant of the running level; the board takes the nearest power of two."
    )
    threshold: Fraction = Field(0.05, gt=0, lt=1, description="dF/F at which the line rises.")
    release: Fraction = Field(0.02, ge=0, lt=1, description="dF/F below which the next crossing may begin.")
    minimum_duration: Seconds = Field(0.0, ge=0, le=10, description="High for at least so long.")

    decisions: ClassVar[tuple[str, ...]] = ("on_board",)
    decide: ClassVar[Any] = staticmethod(never)

    @model_validator(mode="after")
    def _release_is_below(self) -> Self:
        if self.release > self.threshold:
            raise ValueError(f"release ({self.release:g}) may not exceed threshold ({self.threshold:g}); lower it")
        return self

    def watch(self, rate_hz: float, warm_up_s: float) -> wire.Watch:
        """What the board is told: times become readings, fractions 1/65536."""
        return wire.Watch(
            feature=_FEATURES[self.feature],
            shift=min(_MOST_SHIFT, max(0, round(log2(max(1.0, self.baseline * rate_hz))))),
            threshold=max(1, round(self.threshold * _PARTS)),
            release=round(self.release * _PARTS),
            minimum=max(1, round(self.minimum_duration * rate_hz)),
            warm_up=round(warm_up_s * rate_hz),
            refractory_us=round(self.refractory * 1e6),
        )
