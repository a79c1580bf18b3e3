"""One line of a self-test's verdict."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from closedloop.selftest.record import Record

Verdict = Literal["ok", "not ok", "not measured"]

NO_CLOCK = "too few of its answers belong together; is this computer very busy?"
WIRE_IT = "wire the stimulator's D8 to the DAQ's A1, or hold a photodiode on A0 to the fibre"


@dataclass(frozen=True)
class Check:
    """One line of the verdict.

    Attributes:
        value: the figure that is judged, None where there is none.
        limit: what it may not exceed, None likewise.
        safety: whether failing it means that light is not under control.
    """

    name: str
    verdict: Verdict
    said: str
    value: float | None = None
    unit: str = ""
    limit: float | None = None
    safety: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def at_most(name: str, value: float, unit: str, limit: float, said: str, *, safety: bool = False) -> Check:
    """Judged by a figure; its sign does not matter."""
    verdict: Verdict = "ok" if abs(value) <= limit else "not ok"
    return Check(name, verdict, f"{said} (limit {limit:g}{unit and ' '}{unit})", value, unit, limit, safety)


def unmeasured(name: str, why: str, *, safety: bool = False) -> Check:
    """What was not seen never passes."""
    return Check(name, "not measured", why, safety=safety)


def uncertain_ms(record: Record) -> float:
    """By how much a time on the host's clock may be wrong that was read from a board's."""
    return max(record.clock_ns.values(), default=0) / 1e6
