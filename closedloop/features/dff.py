"""Change of the signal relative to its own slow past, dF/F. It removes level on purpose: never read it as one."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from closedloop.features import Feature
from closedloop.model import Seconds, kernel
from closedloop.online import robust
from closedloop.online.windows import readings_in

_FIRST_S = 1.0  # the plain average of this long is a baseline good enough to divide by


@kernel
def _value(memory: Any, p: Any, signal: float, control: float, learn: bool) -> float:
    if not robust.is_number(signal):
        return np.nan
    known = memory.count >= p.first and memory.baseline > 0.0
    dff = (signal - memory.baseline) / memory.baseline if known else np.nan
    if learn:
        if not memory.baseline > 0.0:
            memory.count = 0  # what nothing can be divided by is no baseline: begin anew
        memory.count += 1
        memory.baseline += max(1.0 / memory.count, p.alpha) * (signal - memory.baseline)
    return dff if robust.is_number(dff) else np.nan


class Dff(Feature):
    """(F - F0) / F0 with F0 a causal running mean: plain until `baseline` has passed, exponential from then on.

    A change that lasts longer than `baseline` becomes the baseline: a tonic shift decays as exp(-t / baseline)
    (SCIENCE 1.7). Before one second has been averaged, and where F0 is not positive, the value is nan; an F0 that is
    not positive is thrown away, so one second of light is enough to know a value again.

    Example:
        >>> import numpy as np
        >>> dff = Dff(baseline=10.0)
        >>> memory, p = np.zeros(1, dff.memory_type), dff.parameters(2.0)
        >>> [round(dff.value(memory[0], p[0], f, np.nan, True), 3) for f in (10.0, 10.0, 11.0)]
        [nan, nan, 0.1]
    """

    kind: Literal["dff"] = "dff"
    baseline: Seconds = Field(60.0, gt=0, description="Time constant of the running baseline.")

    memory_type: ClassVar[np.dtype[Any]] = np.dtype([("count", "i8"), ("baseline", "f8")], align=True)
    parameter_type: ClassVar[np.dtype[Any]] = np.dtype([("first", "i8"), ("alpha", "f8")], align=True)
    value: ClassVar[Any] = staticmethod(_value)

    def parameters(self, rate_hz: float) -> Any:
        """One record: readings before the first value, and the weight of a new reading."""
        first = readings_in(min(_FIRST_S, self.baseline), rate_hz)
        return np.array([(first, 1 / max(1.0, self.baseline * rate_hz))], self.parameter_type)
