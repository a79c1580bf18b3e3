"""Nothing is wanted by itself: for baselines and washouts, and for test pulses by hand."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from closedloop.policies import Policy, never


class Manual(Policy):
    """Detections are recorded, and light is a person's to ask for (a test pulse), within every limit."""

    kind: Literal["manual"] = "manual"
    decisions: ClassVar[tuple[str, ...]] = ()
    decide: ClassVar[Any] = staticmethod(never)
