"""How much the last moment differs from the moment before it. It knows no baseline and no level."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from closedloop.features import Feature
from closedloop.model import Seconds, kernel
from closedloop.online import robust, windows


@kernel
def _value(memory: Any, p: Any, signal: float, control: float, learn: bool) -> float:
    if not robust.is_number(signal):
        return np.nan
    return windows.push(memory, p.readings, signal)


@kernel
def _resume(memory: Any, p: Any) -> None:
    windows.empty(memory)


class Difference(Feature):
    """Mean of the last `window` minus the mean of the `window` before it, of what comes before it in the chain.

    The best of the simple choices on real background: slow drift and low-frequency noise fall out (SCIENCE 5.4, 6.4).
    In the unit of what it is made of: after dff, in dF/F. It learns nothing; nan until both windows are full of
    clean readings, at the start and after light or a veto. A step shows at once and is fully seen after `window`.

    Example:
        >>> import numpy as np
        >>> difference = Difference(window=2.0)
        >>> memory, p = np.zeros(1, difference.memory_type), difference.parameters(1.0)
        >>> [difference.value(memory[0], p[0], f, np.nan, True) for f in (1.0, 1.0, 1.0, 3.0, 3.0)]
        [nan, nan, nan, 1.0, 2.0]
    """

    kind: Literal["difference"] = "difference"
    window: Seconds = Field(0.1, gt=0, description="Length of each of the two windows.")

    memory_type: ClassVar[np.dtype[Any]] = windows.ADJACENT
    parameter_type: ClassVar[np.dtype[Any]] = np.dtype([("readings", "i8")], align=True)
    value: ClassVar[Any] = staticmethod(_value)
    resume: ClassVar[Any] = staticmethod(_resume)

    def notes(self, rate_hz: float) -> list[str]:
        """Says where a window cannot be as long as asked for."""
        return windows.notes("difference", self.window, rate_hz)

    def parameters(self, rate_hz: float) -> Any:
        """One record: readings of a window."""
        return np.array([(windows.readings_of(self.window, rate_hz),)], self.parameter_type)
