"""Running median of three or five: single wild readings are left out. Causal, so it delays by half its width."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from closedloop.features import Feature
from closedloop.model import kernel
from closedloop.online import robust

_WIDEST = 5


@kernel
def _median(last: Any, width: int) -> float:
    """Of the first `width` (3 or 5): half of them cannot be below it, nor above."""
    for i in range(width):
        below, equal = 0, 0
        for j in range(width):
            below += last[j] < last[i]
            equal += last[j] == last[i]
        if below <= width // 2 < below + equal:
            return last[i]  # type: ignore[no-any-return]
    return np.nan


@kernel
def _value(memory: Any, p: Any, signal: float, control: float, learn: bool) -> float:
    if not robust.is_number(signal):
        return np.nan
    memory.last[memory.at] = signal
    memory.at = 0 if memory.at + 1 == p.width else memory.at + 1
    memory.count = min(memory.count + 1, p.width)
    return _median(memory.last, p.width) if memory.count == p.width else np.nan


@kernel
def _resume(memory: Any, p: Any) -> None:
    memory.count = 0


class Despike(Feature):
    """Median of the last `width` readings: up to 1 (of 3) or 2 (of 5) wild ones in a row leave no trace.

    It costs 1 or 2 readings of delay, 8 or 15 ms at 130 Hz (PHOTOMETRY 4.2). It delays what comes before it in the
    chain and not the control, so its place is after isosbestic or ratio. It learns nothing; nan until `width`
    clean readings have come, at the start and after light or a veto.

    Example:
        >>> import numpy as np
        >>> despike = Despike(width=3)
        >>> memory, p = np.zeros(1, despike.memory_type), despike.parameters(100.0)
        >>> [despike.value(memory[0], p[0], f, np.nan, True) for f in (1.0, 2.0, 90.0, 3.0, 4.0)]
        [nan, nan, 2.0, 3.0, 4.0]
    """

    kind: Literal["despike"] = "despike"
    width: Literal[3, 5] = Field(3, description="Readings the median is taken of, 3 or 5.")

    memory_type: ClassVar[np.dtype[Any]] = np.dtype(
        [("count", "i8"), ("at", "i8"), ("last", "f8", (_WIDEST,))], align=True
    )
    parameter_type: ClassVar[np.dtype[Any]] = np.dtype([("width", "i8")], align=True)
    value: ClassVar[Any] = staticmethod(_value)
    resume: ClassVar[Any] = staticmethod(_resume)

    def parameters(self, rate_hz: float) -> Any:
        """One record: the width."""
        del rate_hz
        return np.array([(self.width,)], self.parameter_type)
