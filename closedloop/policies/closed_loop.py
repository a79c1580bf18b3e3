"""Every detection gives a train. The arm whose effect is asked about; whether it helps is what the study finds out."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from closedloop.policies import Policy, on_detection


class ClosedLoop(Policy):
    """Light at each detection."""

    kind: Literal["closed_loop"] = "closed_loop"
    decisions: ClassVar[tuple[str, ...]] = ("fire",)
    decide: ClassVar[Any] = staticmethod(on_detection)
