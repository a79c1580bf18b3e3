"""Every detection is decided on, timed and recorded as if it gave a train, and no light is given."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from closedloop.policies import Policy, on_detection


class Sham(Policy):
    """The same code path as closed_loop, dark."""

    kind: Literal["sham"] = "sham"
    decisions: ClassVar[tuple[str, ...]] = ("sham",)
    decide: ClassVar[Any] = staticmethod(on_detection)
