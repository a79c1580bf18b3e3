"""The tonic level: log of signal over control, each above its dark offset. It has no baseline and learns nothing."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from closedloop.anchor import Anchor
from closedloop.features import Feature
from closedloop.model import kernel
from closedloop.online import robust


@kernel
def _value(memory: Any, p: Any, signal: float, control: float, learn: bool) -> float:
    lit, reference = signal - p.signal_dark, control - p.control_dark
    if not (robust.is_number(lit) and robust.is_number(reference) and lit > 0.0 and reference > 0.0):
        return np.nan
    return np.log(lit) - np.log(reference)  # type: ignore[no-any-return]


class Ratio(Feature):
    """ln((F470 - D470) / (F405 - D405)), the one number that keeps a tonic shift (SCIENCE 1.7).

    What both channels lose together, in the fibre or its coupling, cancels; a session's own baseline is never taken
    out, so values are compared with the animal's anchor. What does not cancel: drift of one LED, autofluorescence,
    blood, growing expression. The noise of both channels is in it; a lowpass after it takes that out.

    D is dark offset and autofluorescence of the patch cord, in the recording's units. Left open, it is taken from the
    anchor, and is 0 without one. nan where a channel is not above its offset, or there is no control.

    Example:
        >>> import numpy as np
        >>> ratio = Ratio(signal_dark=1.0, control_dark=0.5)
        >>> memory, p = np.zeros(1, ratio.memory_type), ratio.parameters(100.0)
        >>> [round(ratio.value(memory[0], p[0], 1.0 + f, 0.5 + c, True), 4) for f, c in ((2.0, 2.0), (2.2, 2.0))]
        [0.0, 0.0953]
    """

    kind: Literal["ratio"] = "ratio"
    signal_dark: float | None = Field(
        None, description="Signal with the cord in the dark, in the recording's units; without it, the anchor's."
    )
    control_dark: float | None = Field(
        None, description="Control with the cord in the dark, in the recording's units; without it, the anchor's."
    )

    memory_type: ClassVar[np.dtype[Any]] = np.dtype([("nothing", "u1")], align=True)
    parameter_type: ClassVar[np.dtype[Any]] = np.dtype([("signal_dark", "f8"), ("control_dark", "f8")], align=True)
    value: ClassVar[Any] = staticmethod(_value)

    @property
    def needs_control(self) -> bool:
        """Always."""
        return True

    def anchored(self, anchor: Anchor) -> Self:
        """The same with the anchor's dark offsets where none are given."""
        offsets = {name: getattr(anchor.photometry, name) for name in self._open()}
        return self.model_copy(update=offsets)

    def notes(self, rate_hz: float) -> list[str]:
        """Says which dark offsets nobody gave."""
        del rate_hz
        if not self._open():
            return []
        return [f"ratio: no {' and no '.join(self._open())}, so 0 is taken; give it, or an anchor"]

    def parameters(self, rate_hz: float) -> Any:
        """One record: the dark offsets."""
        del rate_hz
        return np.array([(self.signal_dark or 0.0, self.control_dark or 0.0)], self.parameter_type)

    def _open(self) -> list[str]:
        return [name for name in ("signal_dark", "control_dark") if getattr(self, name) is None]
