"""What the heights of transients say: evidence that they have grown, and by how much the last ones have."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np

from closedloop.model import kernel

MOST = 64  # heights kept

HEIGHT_MEMORY = np.dtype([("count", "i8"), ("logarithms", "f8", (MOST,))], align=True)


@kernel
def evidence(height: float, mean: float, sd: float, shift: float, clip: float) -> float:
    """Log-likelihood ratio, in nats, of a log-normal height: grown by `shift` against not.

    Args:
        height: of one event, above 0.
        mean: of ln(height) when calm.
        sd: of ln(height).
        shift: of ln(height), above 0.
        clip: departures from half the shift beyond so many SD count as this many.
    """
    if not (height > 0.0 and sd > 0.0):
        return 0.0
    away = (log(height) - mean - shift / 2) / sd
    return shift / sd * min(max(away, -clip), clip)


@kernel
def add(memory: Any, recent: int, height: float) -> None:
    """Keep one more height, above 0, of which the last `recent` count."""
    if height > 0.0:
        memory.logarithms[memory.count % recent] = log(height)
        memory.count += 1


@kernel
def gain(memory: Any, recent: int, mean: float) -> float:
    """Geometric mean of the last `recent` heights over exp(mean); nan before there are so many."""
    if memory.count < recent:
        return np.nan
    total = 0.0
    for i in range(recent):
        total += memory.logarithms[i]
    return np.exp(total / recent - mean)  # type: ignore[no-any-return]
