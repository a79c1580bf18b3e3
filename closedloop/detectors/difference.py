"""How fast a value rises, in robust standard deviations of how fast it usually does. Blind to what is slow."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from closedloop.detectors import Detector
from closedloop.model import Seconds, kernel
from closedloop.online import robust, windows


@kernel
def _score(memory: Any, p: Any, value: float) -> float:
    return robust.deviation(memory.past, p.past, windows.with_next(memory.recent, p.readings, value))


@kernel
def _follow(memory: Any, p: Any, value: float) -> None:
    if robust.is_number(value):
        windows.push(memory.recent, p.readings, value)


@kernel
def _learn(memory: Any, p: Any, value: float) -> None:
    if windows.is_full(memory.recent, p.readings):
        robust.add(memory.past, p.past, memory.recent.latest)


@kernel
def _resume(memory: Any, p: Any) -> None:
    windows.empty(memory.recent)


class Difference(Detector):
    """(d - median) / (1.4826 MAD) of d = mean of the last `window` minus mean of the `window` before it.

    The best of the simple choices on real background (SCIENCE 5.4, 6.4): at equal false alarms it finds 61 % of 2 %
    transients where a threshold on dF/F finds 7 %, as slow noise falls out of it. In white noise it is the worst
    (SCIENCE 5.3). Median and MAD are those of the differences of the last `baseline`, of the past alone; while a
    detection holds them still, the two windows go on. nan until the baseline is full, until both windows hold clean
    readings only, and where all differences are equal.
    """

    kind: Literal["difference"] = "difference"
    window: Seconds = Field(0.1, gt=0, description="Length of each of the two windows.")
    baseline: Seconds = Field(60.0, gt=0, description="Trailing window of the median and the MAD of the differences.")

    memory_type: ClassVar[np.dtype[Any]] = np.dtype(
        [("recent", windows.ADJACENT), ("past", robust.TRAILING)], align=True
    )
    parameter_type: ClassVar[np.dtype[Any]] = np.dtype(
        [("readings", "i8"), ("past", robust.TRAILING_PARAMETERS)], align=True
    )
    score: ClassVar[Any] = staticmethod(_score)
    learn: ClassVar[Any] = staticmethod(_learn)
    follow: ClassVar[Any] = staticmethod(_follow)
    resume: ClassVar[Any] = staticmethod(_resume)

    def notes(self, rate_hz: float) -> list[str]:
        """Says where a window cannot be as long as asked for."""
        return windows.notes("difference", self.window, rate_hz)

    def parameters(self, rate_hz: float) -> Any:
        """One record: readings of a window, and how the baseline is kept."""
        together = np.zeros(1, self.parameter_type)
        together["readings"] = windows.readings_of(self.window, rate_hz)
        together["past"] = robust.trailing(self.baseline, rate_hz)
        return together
