"""The audit of a session: each thing that is measured in every session, its bound, and words where it is outside.

`findings` gathers figures, the others judge them: `loop` speed and steadiness, `readings` whether all are accounted
for, `clocks` whether moments can be believed, `files` the rest. What a bound means and what to do is told at length
in `docs/audit.md`.
"""

from __future__ import annotations

from closedloop.watching.auditing.clocks import certainty
from closedloop.watching.auditing.files import means, remains
from closedloop.watching.auditing.findings import Findings
from closedloop.watching.auditing.item import GOOD, OUTSIDE, UNKNOWN, Audit, Closed, Item
from closedloop.watching.auditing.loop import latencies, steadiness
from closedloop.watching.auditing.readings import completeness

__all__ = ["GOOD", "OUTSIDE", "UNKNOWN", "Audit", "Closed", "Findings", "Item", "judge"]


def judge(found: Findings, closed: Closed) -> Audit:
    """All that the findings say; of a blinded session nothing that tells its arm."""
    parts = (latencies, steadiness, completeness, certainty, remains)
    items = tuple(item for part in parts for item in part(found, closed))
    return Audit((*items, means(found, items)))
