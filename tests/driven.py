"""A detector's kernels over an array, as the loop calls them for clean values."""

from __future__ import annotations

from typing import Any

from closedloop.model import kernel


@kernel
def drive(score_of: Any, follow: Any, learn: Any, memory: Any, p: Any, values: Any, learns: bool, out: Any) -> None:
    for i in range(len(values)):
        out[i] = score_of(memory, p, values[i])
        follow(memory, p, values[i])
        if learns:
            learn(memory, p, values[i])
