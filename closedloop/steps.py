"""What the loop says of each reading, and what these numbers mean as events. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from closedloop import chain
from closedloop.readings import READING
from closedloop.train import Refusal

STEP = np.dtype(
    [
        ("feature", "<f8"),
        ("score", "<f8"),
        ("threshold", "<f8"),
        ("train", "<u4"),  # number of the detection or wanted train; 0: none here
        ("bits", "u1"),  # VALID ... below
        ("veto", "u1"),  # Refusal: why this reading is not fit to act on
        ("decision", "u1"),  # number in the policy's decisions; 0: nothing wanted
        ("refused", "u1"),  # Refusal: why what was wanted is not given
        ("ahead", "<u4"),  # microseconds from this reading to the first light that is wanted
        ("block", "<u4"),  # 0 warm-up, 1 the first, schedule.OVER after the last
        ("kelvin", "<f8"),  # modelled warming by plan; nan without calibration
    ],
    align=True,
)

VALID = 1  # fit to act on: no veto, no light of ours, a score that is known
HIGH = 2  # hyperactivity goes on
DETECTED = 4  # ... and begins here
PLANNED = 8  # within a train of ours or its recovery, by plan
WARM = 32  # the protocol's warm-up is over
RESTARTED = 16  # all that was learned was forgotten at this reading
GATE_OPEN = 64  # all gates, or there are none
LATCHED = 128  # a limit of the session is reached: what would be light is sham from here on

_SHOWN = np.dtype("<f4")
Steps = npt.NDArray[np.void]


def told(step: Any, decisions: tuple[str, ...], refused: Refusal) -> list[tuple[str, str | None, float | None]]:
    """The events of one step that has a train number, as (kind, reason, value), in the order in which they happened.

    Args:
        step: one STEP.
        decisions: the policy's, number 1 first.
        refused: the loop's own refusal, or what a live run had to add to it.
    """
    events: list[tuple[str, str | None, float | None]] = []
    if step["bits"] & DETECTED:
        events.append(("detection", None, float(step["score"])))
    if step["decision"]:
        events.append(("decision", decisions[int(step["decision"]) - 1], None))
    if refused:
        events.append(("refused", refused.name.lower(), None))
    return events


def step_type(shown: Iterable[str]) -> np.dtype[Any]:
    """STEP with a number more for each of these names."""
    return chain.record((*((name, STEP[name]) for name in STEP.names or ()), *((name, _SHOWN) for name in shown)))


def shown_in(row: np.dtype[Any]) -> tuple[str, ...]:
    """What parts show of themselves in steps, or in a recording's rows, of this type."""
    common = {*(READING.names or ()), *(STEP.names or ()), "host_ns"}
    return tuple(name for name in row.names or () if name not in common)
