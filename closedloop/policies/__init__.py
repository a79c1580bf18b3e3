"""Score to wanted train: one file a policy, named by its `kind`. A policy wants; it never sends.

A policy is a frozen model, a memory that starts as zeros, and compiled kernels:

    decide(memory, parameters, detected, high, ticks, since) -> int

returns 0 for nothing, or the number (from 1) of one of its `decisions`. `ticks` are the reading's, `since` is the time
in its block in microseconds, without pauses. Light is given for the decision named `fire` alone; every other one is
recorded, counted against the same limits, and stays dark, so that arms differ in nothing but the light.

    ahead(memory, parameters, since) -> int      microseconds from this reading to the first light; asked after `decide`
    taken(memory, parameters, decision) -> None  called when what was decided was not refused

What is random is drawn before the session from its seed, and is in the recording before the first reading: `drawn`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from closedloop import wire
from closedloop.model import Part, Seconds, kernel

FIRE, SHAM, CATCH = "fire", "sham", "catch"  # decisions


@kernel
def at_once(memory: Any, p: Any, since: int) -> int:
    """First light follows the reading."""
    return 0


@kernel
def not_counted(memory: Any, p: Any, decision: int) -> None:
    """For a policy that need not know what was refused."""


class Policy(Part):
    """Base of all policies."""

    refractory: Seconds = Field(2.0, ge=0, description="From the end of one train to the earliest start of the next.")
    least_interval: Seconds = Field(0.0, ge=0, description="From the start of one train to the start of the next.")

    decisions: ClassVar[tuple[str, ...]]
    decide: ClassVar[Callable[..., int]]
    ahead: ClassVar[Callable[..., int]] = staticmethod(at_once)
    taken: ClassVar[Callable[..., None]] = staticmethod(not_counted)
    memory_type: ClassVar[np.dtype[Any]] = np.dtype([("unused", "i8")])
    parameter_type: ClassVar[np.dtype[Any]] = np.dtype([("unused", "i8")])

    @property
    def fire_code(self) -> int:
        """The decision number that means light; 0 if this policy never gives any."""
        return self.decisions.index(FIRE) + 1 if FIRE in self.decisions else 0

    def watch(self, rate_hz: float, warm_up_s: float) -> wire.Watch | None:
        """What the DAQ board is to watch for by itself; None where the host decides."""
        del rate_hz, warm_up_s
        return None

    def parameters(self, rate_hz: float, seed: int) -> Any:
        """One record of `parameter_type`; a policy without numbers of its own has nothing to say.

        Args:
            rate_hz: readings a second.
            seed: of what is drawn; the same seed gives the same trains.
        """
        del rate_hz, seed
        return np.zeros(1, self.parameter_type)

    def drawn(self, seed: int) -> Mapping[str, Any] | None:
        """What is drawn before the session, as plain values for the recording; None where nothing is."""
        del seed
        return None

    def problems(
        self,
        command: Mapping[str, int],
        lit_s: float,
        limits: wire.Limits | None = None,
        tip_mw: float | None = None,
    ) -> list[str]:
        """Why it cannot work with a train as the board is told it; nothing if it can.

        Args:
            command: the session's train as in `limits.Command`.
            lit_s: light of one such train.
            limits: those in force; None where they are not known.
            tip_mw: power of such a train at the tip; None without calibration.
        """
        del command, lit_s, limits, tip_mw
        return []

    def notes(self) -> list[str]:
        """What a user should know of it; shown by `check`."""
        return []


@kernel
def on_detection(memory: Any, p: Any, detected: bool, high: bool, ticks: int, since: int) -> int:
    """The first decision of the policy, at each detection."""
    return 1 if detected else 0


@kernel
def never(memory: Any, p: Any, detected: bool, high: bool, ticks: int, since: int) -> int:
    """Nothing is wanted."""
    return 0
