"""Score to wanted train: one file a policy, named by its `kind`. A policy wants; it never sends.

A policy is a frozen model, a memory that starts as zeros, and one kernel

    decide(memory, parameters, detected, high, ticks) -> int

which returns 0 for nothing, or the number (from 1) of one of its `decisions`. Light is given for the decision named
`fire` alone; every other one is recorded, counted against the same limits, and stays dark, so that arms differ in
nothing but the light.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from closedloop import wire
from closedloop.model import Part, Seconds, kernel


class Policy(Part):
    """Base of all policies."""

    refractory: Seconds = Field(2.0, ge=0, description="From the end of one train to the earliest start of the next.")

    decisions: ClassVar[tuple[str, ...]]
    decide: ClassVar[Callable[..., int]]
    memory_type: ClassVar[np.dtype[Any]] = np.dtype([("unused", "i8")])
    parameter_type: ClassVar[np.dtype[Any]] = np.dtype([("unused", "i8")])

    @property
    def fire_code(self) -> int:
        """The decision number that means light; 0 if this policy never gives any."""
        return self.decisions.index("fire") + 1 if "fire" in self.decisions else 0

    def watch(self, rate_hz: float, warm_up_s: float) -> wire.Watch | None:
        """What the DAQ board is to watch for by itself; None where the host decides."""
        del rate_hz, warm_up_s
        return None

    def parameters(self, rate_hz: float) -> Any:
        """One record of `parameter_type`; a policy without numbers of its own has nothing to say."""
        del rate_hz
        return np.zeros(1, self.parameter_type)


@kernel
def on_detection(memory: Any, p: Any, detected: bool, high: bool, ticks: int) -> int:
    """The first decision of the policy, at each detection."""
    return 1 if detected else 0
