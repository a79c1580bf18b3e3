"""Reading to number: one file a feature, named by its `kind`. A feature never sees the future and decides nothing.

A feature is a frozen model of what the YAML says, a memory of fixed size that starts as zeros, and one kernel

    value(memory, parameters, signal, control, learn) -> float

which returns nan where the number is unknowable, leaves its memory alone on nan, and learns no baseline unless
`learn` is true (it is false under our own light, through recovery and under a veto). In a chain the first feature gets
the reading's signal; each next one gets the number of the one before in its place, and the same control.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from closedloop.model import Part


class Feature(Part):
    """Base of all features."""

    value: ClassVar[Callable[..., float]]

    @property
    def needs_control(self) -> bool:
        """Whether the feature is unknowable without a control channel."""
        return False

    def notes(self, rate_hz: float) -> list[str]:
        """What a user should know of this feature at this rate; shown by `check` and recorded."""
        del rate_hz
        return []

    def parameters(self, rate_hz: float) -> Any:
        """One record of `parameter_type` for readings at `rate_hz`."""
        raise NotImplementedError
