"""Reading to number: one file a feature, named by its `kind`. A feature never sees the future and decides nothing.

A feature is a frozen model of what the YAML says, a memory of fixed size that starts as zeros, and a kernel

    value(memory, parameters, signal, control, learn) -> float

which returns nan where the number is unknowable, leaves its memory alone on nan, and learns no baseline unless
`learn` is true (it is false under our own light, through recovery, under a veto, and while a detection holds). In a
chain the first feature gets the reading's signal; each next one gets the number of the one before in its place, and
the same control. Where it needs them, it has two things more:

    resume(memory, parameters) -> None            before the first clean reading after light or a veto: what lies in
                                                  short windows is from before, or an artefact
    shown = {"slope": kernel}                     (memory, parameters) -> float, recorded at each reading by this name
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

from closedloop.anchor import Anchor
from closedloop.chain import nothing
from closedloop.model import Part


class Feature(Part):
    """Base of all features."""

    value: ClassVar[Callable[..., float]]
    resume: ClassVar[Callable[..., None]] = staticmethod(nothing)
    shown: ClassVar[dict[str, Callable[..., float]]] = {}

    @property
    def needs_control(self) -> bool:
        """Whether the feature is unknowable without a control channel."""
        return False

    @property
    def needs_anchor(self) -> bool:
        """Whether something is left open that only an animal's anchor can say."""
        return False

    def anchored(self, anchor: Anchor) -> Self:
        """The same feature with what it leaves open taken from the animal's anchor."""
        del anchor
        return self

    def notes(self, rate_hz: float) -> list[str]:
        """What a user should know of this feature at this rate; shown by `check` and recorded."""
        del rate_hz
        return []

    def parameters(self, rate_hz: float) -> Any:
        """One record of `parameter_type` for readings at `rate_hz`."""
        raise NotImplementedError
