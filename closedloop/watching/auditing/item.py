"""What an audit is made of: items, their bounds, and the words in which figures are told. Nothing is judged here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from closedloop.watching.auditing.findings import LATE_US, Findings

Figures = Mapping[str, float | int | str | None]

GOOD, OUTSIDE, UNKNOWN = "good", "outside", "unknown"

# A command takes 0.1 to 0.3 ms of an idle computer. At 5 ms something else has had the processor, and at 130 Hz the
# next reading is nearly there.
COMMAND_US = 5_000.0
LIGHT_US = LATE_US  # from the command written to light: a frame on the line takes 1 ms, a USB frame 1 ms
PLAN_US = 2_000.0  # a planned train begins by the board's own clock; the rest is how well two clocks are known
STALE_US = 100_000.0  # what the loop itself refuses as too old to act on (`stale`)
PART_LATE = 0.01  # of the quarters of a second: now and then any desktop system is 10 ms late
PART_WAITED = 0.001  # of the arrivals: a thousandth is a computer that was busy once, not one that is always slow
ONCE = 1  # in a short session, a single time is no habit
GAP_PERIODS = 5  # without a reading; and never less than STALE_US
DRIFT_PPM = 500.0  # a quartz is within 100; a ceramic resonator may be off by thousands, and wants to be known
RESIDUAL_US = 1_000.0  # in the median: what a clock's answer may be off the line before "when" means little
UNCERTAIN_US = 2_000.0  # in the median: an answer over USB takes 1 to 2 ms, over a slow latency timer 16
PART_OF_LEASE = 0.5  # a heartbeat that comes this late is half way to a trip
HEALTH_NS = 1_000_000_000  # between two rows of health, which are a quarter of a second apart

DOCTOR = "`closedloop doctor` says what is in the way"
OLDER = "not in recordings of this age"


class Item(NamedTuple):
    """One thing that was audited.

    Attributes:
        name: for scripts.
        title: for people.
        figures: what was measured, by names that end in the unit; None is unknown.
        words: the same for people.
        bound: in words.
        state: good, outside or unknown.
        said: where outside, what it means and what to do; where unknown, why.
    """

    name: str
    title: str
    figures: Figures
    words: str
    bound: str
    state: str
    said: str = ""

    def told(self) -> dict[str, Any]:
        """As JSON, without its name."""
        told = {name: said for name, said in self._asdict().items() if name != "name"}
        return told | {"figures": dict(self.figures)}


class Audit(NamedTuple):
    """Of one session."""

    items: tuple[Item, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for each thing that was outside its bound."""
        return tuple(item.said for item in self.items if item.state == OUTSIDE)

    def told(self) -> dict[str, Any]:
        """As JSON."""
        items = {item.name: item.told() for item in self.items}
        return {"good": not self.warnings, "warnings": list(self.warnings), "items": items}


class Closed(NamedTuple):
    """What is known of the end.

    Attributes:
        summary: how it ended; None: it runs, or was broken off.
        running: whether it is being written now.
        cut_rows, cut_bytes: of rows and events that should be there and cannot be read.
    """

    summary: dict[str, Any] | None
    running: bool = False
    cut_rows: int = 0
    cut_bytes: int = 0


def none_of(name: str, title: str, count: int, said: str) -> Item:
    """Something of which there must be none."""
    state = OUTSIDE if count else GOOD
    return Item(name, title, {"n": count}, str(count), "none", state, said if count else "")


def often(count: int) -> str:
    """Never, once, or how many times."""
    return {0: "never", 1: "once"}.get(count, f"{count} times")


def is_real(found: Findings) -> bool:
    """Whether sample time and the host's are one: not where a recording was played faster."""
    return float(found.header.get("speed") or 1) == 1


def played(found: Findings) -> str:
    """Why nothing is said of real time."""
    return f"played {found.header.get('speed'):g} times as fast: its times have no relation to this computer's"


def known(value: float) -> float | None:
    """A number; None in place of nan."""
    return value if math.isfinite(value) else None


def ms(value_us: float) -> str:
    """A time in the unit that suits it, three digits."""
    if not math.isfinite(value_us):
        return "unknown"
    if abs(value_us) < 1_000:
        return f"{value_us:.3g} µs"
    return f"{value_us / 1e3:.3g} ms" if abs(value_us) < 1e6 else f"{value_us / 1e6:.4g} s"
