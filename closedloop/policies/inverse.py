"""Light while the animal is quiet: the same detector, flipped. Is it the state that matters, or any light?

A quiet stretch is one in which the score does not stand above its bounds. What is unknown is not quiet: the loop
refuses such a train with its reason, and the wait begins anew (SCIENCE 2.1).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from closedloop.model import Seconds, kernel
from closedloop.policies import FIRE, Policy

_LEAST_RETRY_US = 1_000_000
_MEMORY = np.dtype([(name, "i8") for name in ("since", "started", "next", "done", "ticks")], align=True)
_PARAMETERS = np.dtype([("after_us", "i8"), ("every_us", "i8")], align=True)


@kernel
def _decide(memory: Any, p: Any, detected: bool, high: bool, ticks: int, since: int) -> int:
    memory.ticks = ticks
    if since < 0:
        return 0
    if high or detected or since < memory.since or memory.started == 0:  # a quiet stretch begins after this reading
        memory.started = 1
        memory.next = ticks + p.after_us
        memory.done = 0
    memory.since = since
    if high or memory.done != 0 or ticks < memory.next:
        return 0
    memory.next = ticks + max(p.after_us, _LEAST_RETRY_US)  # unless it is taken: then see below
    return 1


@kernel
def _taken(memory: Any, p: Any, decision: int) -> None:
    memory.done = p.every_us == 0
    memory.next = memory.ticks + p.every_us


class Inverse(Policy):
    """Light in the low state."""

    kind: Literal["inverse"] = "inverse"
    after: Seconds = Field(2.0, gt=0, le=3600, description="So long below release, since the last event.")
    every: Seconds | None = Field(
        None, gt=0, le=3600, description="Again each time so long in a quiet stretch; left out: one train a stretch."
    )

    decisions: ClassVar[tuple[str, ...]] = (FIRE,)
    decide: ClassVar[Any] = staticmethod(_decide)
    taken: ClassVar[Any] = staticmethod(_taken)
    memory_type: ClassVar[np.dtype[Any]] = _MEMORY
    parameter_type: ClassVar[np.dtype[Any]] = _PARAMETERS

    def parameters(self, rate_hz: float, seed: int) -> Any:
        """Times in microseconds; 0 for no repetition."""
        del rate_hz, seed
        return np.array([(round(self.after * 1e6), round((self.every or 0.0) * 1e6))], _PARAMETERS)
