"""Trains at times that were fixed before the session: what `yoked` and `open_loop` share. This is no policy itself.

A train is wanted at the first reading that is no more than `lead` before its time, once, whether it is refused or not.
Where readings were missing until after its time it is wanted at once, so that it is refused, or late, on the record:
none is left out in silence. Trains that their block's end cut off are the exception, and all that is planned is in the
recording.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from closedloop.model import kernel
from closedloop.partner import MOST_TRAINS

MOST_STRETCHES = 32  # blocks of a session
MEMORY = np.dtype([(name, "i8") for name in ("since", "stretch", "next", "ahead")], align=True)
PARAMETERS = np.dtype(
    [
        ("lead_us", "i8"),
        ("by_session", "i8"),  # times count from the session's first reading, not from its block's
        ("first", "i8", (MOST_STRETCHES + 1,)),  # of each stretch in `times_us`; the last is their number
        ("times_us", "i8", (MOST_TRAINS,)),
    ],
    align=True,
)
_LEAST_LEAD_US = 25_000  # more than a serial line and a host are late
_LEAD_PERIODS = 2


def lead_us(rate_hz: float) -> int:
    """How long before its time a train is sent to the board: the line's delays, and at least two readings."""
    return max(_LEAST_LEAD_US, round(_LEAD_PERIODS * 1e6 / rate_hz))


def parameters(stretches: Sequence[Sequence[int]], rate_hz: float, *, by_session: bool = False) -> Any:
    """One PARAMETERS record.

    Args:
        stretches: first light in microseconds, rising, one list for each block in which the policy is asked.
        rate_hz: readings a second.
        by_session: whether times count from the session's first reading.
    """
    p = np.zeros(1, PARAMETERS)
    flat = [at for stretch in stretches for at in stretch]
    p["lead_us"], p["by_session"] = lead_us(rate_hz), by_session
    p["times_us"][0, : len(flat)] = flat
    p["first"] = len(flat)
    p["first"][0, : len(stretches)] = np.cumsum([0, *(len(stretch) for stretch in stretches)])[:-1]
    return p


@kernel
def decide(memory: Any, p: Any, detected: bool, high: bool, ticks: int, since: int) -> int:
    """The first decision, at the reading before each planned time."""
    now = ticks if p.by_session else since
    if now < 0:
        return 0  # warm-up: no block has begun
    if now < memory.since and memory.stretch < MOST_STRETCHES:  # the next block of this policy's
        memory.stretch += 1
        memory.next = p.first[memory.stretch]
    memory.since = now
    if memory.next >= p.first[min(memory.stretch + 1, MOST_STRETCHES)]:
        return 0
    due = p.times_us[memory.next]
    if now < due - p.lead_us:
        return 0
    memory.next += 1
    memory.ahead = max(0, due - now)
    return 1


@kernel
def ahead(memory: Any, p: Any, since: int) -> int:
    """From the reading at which a train was wanted to its time."""
    return memory.ahead  # type: ignore[no-any-return]
