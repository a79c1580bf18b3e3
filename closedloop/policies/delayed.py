"""Each detection gives its train some time later: the same triggers and dose, without the contingency in time.

The delay is fixed, or drawn from the seed before the session (`drawn` in the header; SCIENCE 2.1). One train is pending
at most. What another detection meanwhile does is `on_new`'s to say; it is recorded as a detection in any case.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from closedloop.model import Seconds, kernel
from closedloop.policies import FIRE, Policy
from closedloop.policies.planned import lead_us

MOST_DRAWN = 1 << 16
_TOLD = 1024  # delays in the header; all of them by their hash
_ON_NEW = ("keep", "restart", "drop")
_KEEP, _DROP = 0, 2

_MEMORY = np.dtype([(name, "i8") for name in ("since", "pending", "due", "used", "ahead")], align=True)
_PARAMETERS = np.dtype([("lead_us", "i8"), ("on_new", "i8"), ("delay_us", "u4", (MOST_DRAWN,))], align=True)


@kernel
def _decide(memory: Any, p: Any, detected: bool, high: bool, ticks: int, since: int) -> int:
    if since < memory.since:  # another block began: what was pending belonged to the one before
        memory.pending = 0
    memory.since = max(since, 0)
    if detected and since >= 0:
        _plan(memory, p, ticks)
    if memory.pending == 0 or ticks < memory.due - p.lead_us:
        return 0
    memory.pending = 0
    memory.ahead = max(0, memory.due - ticks)
    return 1


@kernel
def _plan(memory: Any, p: Any, ticks: int) -> None:
    """A train for this detection, if none is pending; otherwise as `on_new` says."""
    if memory.pending != 0 and p.on_new == _KEEP:
        return
    if memory.pending != 0 and p.on_new == _DROP:
        memory.pending = 0
        return
    memory.pending = 1
    memory.due = ticks + p.delay_us[memory.used % MOST_DRAWN]
    memory.used += 1


@kernel
def _ahead(memory: Any, p: Any, since: int) -> int:
    return memory.ahead  # type: ignore[no-any-return]


class Delayed(Policy):
    """Light some time after each detection."""

    kind: Literal["delayed"] = "delayed"
    delay: Seconds = Field(10.0, ge=0, le=3600, description="From the detection to the train.")
    jitter: Seconds = Field(0.0, ge=0, le=600, description="On top of it, drawn evenly between nothing and this.")
    on_new: Literal["keep", "restart", "drop"] = Field(
        "keep",
        description="A detection while a train is pending: keeps it, begins the delay anew, or drops the train.",
    )

    decisions: ClassVar[tuple[str, ...]] = (FIRE,)
    decide: ClassVar[Any] = staticmethod(_decide)
    ahead: ClassVar[Any] = staticmethod(_ahead)
    memory_type: ClassVar[np.dtype[Any]] = _MEMORY
    parameter_type: ClassVar[np.dtype[Any]] = _PARAMETERS

    def delays_us(self, seed: int) -> Any:
        """Delay of each train that is planned, in the order of planning."""
        drawn = np.random.default_rng(seed).random(MOST_DRAWN) * self.jitter
        return np.rint((self.delay + drawn) * 1e6).astype("u4")

    def parameters(self, rate_hz: float, seed: int) -> Any:
        """The drawn delays."""
        p = np.zeros(1, _PARAMETERS)
        p["lead_us"], p["on_new"] = lead_us(rate_hz), _ON_NEW.index(self.on_new)
        p["delay_us"] = self.delays_us(seed)
        return p

    def drawn(self, seed: int) -> Mapping[str, Any] | None:
        """The first delays, and the SHA-256 of all of them as little-endian u4; None without jitter."""
        if self.jitter == 0:
            return None
        delays = self.delays_us(seed)
        digest = hashlib.sha256(delays.astype("<u4").tobytes()).hexdigest()
        return {"delay_us": delays[:_TOLD].tolist(), "drawn": MOST_DRAWN, "shown": _TOLD, "sha256": digest}
