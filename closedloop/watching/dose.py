"""The ledger of light: by plan and as delivered, against its limits and as heat. The loop and the board limit it.

Delivered is what the stimulator told. Within a train light is taken to lie as the pulses were planned, up to the
train's told end; a train whose end was not told runs to its planned one. Of a blinded session nothing delivered is
known here, and the plan stands in its place. Warming is the model of `optics`: it compares, and proves nothing.

The limits of a whole session count what the loop planned, in every arm alike; reaching one latches sham.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from closedloop.optics import MOST_KELVIN, Warmth, warmed
from closedloop.recording import Event
from closedloop.watching.bounds import dose_limits, whose
from closedloop.watching.follower import Fresh
from closedloop.watching.planned import Planned, PlannedTrain, train_s
from closedloop.watching.pulses import Pulses

_MINUTE_S = 60.0
_KEPT_TRAINS = 4096  # the longest window can hold 600 at the highest rate of any board
_SESSION = {"trains": ("trains in all", "trains"), "on_s": ("lit in all", "s"), "energy_mj": ("energy in all", "mJ")}


class Gauge(NamedTuple):
    """One figure against its limit.

    Attributes:
        name: of the figure.
        value: nan is unknown.
        limit: the most that is allowed; None where nothing limits it.
        unit: of both.
        note: what to know of it, in words.
        whose: the limit is: ceiling, rig or protocol; "" where there is none, or it is not known.
    """

    name: str
    value: float
    limit: float | None
    unit: str
    note: str
    whose: str = ""


class Latched(NamedTuple):
    """That a limit of the session was reached: which (`dose_trains`, `dose_on`, `dose_energy`), and when."""

    limit: str
    at_s: float

    @property
    def words(self) -> str:
        """For people."""
        return f"{_LIMITS.get(self.limit, self.limit)} reached: no light from {self.at_s:.0f} s on"


_LIMITS = {
    "dose_trains": "the session's limit of trains is",
    "dose_on": "the session's limit of light is",
    "dose_energy": "the session's limit of energy is",
}


@dataclass
class _Delivered:
    """A train that was lit, and what all trains before it had given."""

    train: int | None
    on_s: float
    over_s: float  # told, or planned
    before_s: float  # light of all earlier trains
    before: tuple[Warmth, float]  # the heat budget as the one before it began, and when that was
    told_s: float = math.inf  # its own light


class Dose:
    """What was planned and delivered; `gauges` compares it with the limits in force, `ledger` sums it up.

    Attributes:
        blinded: whether nothing delivered is known here, and the plan stands in its place.
        latched: the limit of the session that was reached; None while none was.
    """

    def __init__(self, header: dict[str, Any]) -> None:
        self.blinded = bool(header.get("blinded"))
        self.latched: Latched | None = None
        self._planned = Planned()
        self._train_s = train_s(header)
        self._session, self._whose = dose_limits(header), whose(header)
        self._planned_kelvin = math.nan
        self._warmest_by_plan = math.nan
        self._delivered = 0
        self._limits: dict[str, int] = header.get("limits", {})
        self._tip_mw: float | None = header.get("tip_mw")
        self._pulses = Pulses.of(header["command"]) if header.get("command") else None
        self._trains: list[_Delivered] = []
        self._warmth, self._warmth_at_s = Warmth(), 0.0  # as the last train of all began
        self._warmest = 0.0

    def add(self, fresh: Fresh) -> None:
        """Take in what was planned and what was told since."""
        plans = self._planned.add(fresh)
        if self.blinded:
            for one in plans.made:
                self._begin(one.train, one.on_s)
            for one in plans.taken_back:
                self._take_back(one)
        for event in fresh.events:
            self._hear(event)
        if len(fresh.rows) and "kelvin" in (fresh.rows.dtype.names or ()):
            kelvin = fresh.rows["kelvin"]
            self._planned_kelvin = float(kelvin[-1])
            self._warmest_by_plan = float(np.fmax(self._warmest_by_plan, np.fmax.reduce(kelvin)))

    def _hear(self, event: Event) -> None:
        if event.kind == "light_on":
            self._begin(event.train, event.ticks / 1e6)
        elif event.kind == "light_off":
            self._end(event)
        elif event.kind == "note" and event.reason == "latched":
            self._latch(event)

    def gauges(self, now_s: float) -> tuple[Gauge, ...]:
        """All figures at this sample time; none before the limits are known."""
        limits = self._limits
        if not limits or self._pulses is None:
            return ()
        long_s = limits["long_window_ms"] / 1000
        return (
            self._lit("short", now_s),
            self._lit("long", now_s),
            Gauge(
                "trains in 60 s",
                float(self._begun(now_s) - self._begun(now_s - _MINUTE_S)),
                float(limits["trains_per_minute"]),
                "trains",
                self._as_known,
                self._whose["trains_per_minute"],
            ),
            self._energy(now_s, long_s),
            self._warming(now_s),
            *self._of_session(now_s),
        )

    @property
    def _as_known(self) -> str:
        return "by plan" if self.blinded else "as delivered"

    def _of_session(self, now_s: float) -> Iterator[Gauge]:
        """What the session's own limits count; no gauge of what nothing limits."""
        counted, tip_mw = self._planned.counted, self._tip_mw
        on_s = counted * self._train_s
        values = {"trains": float(counted), "on_s": on_s, "energy_mj": math.nan if tip_mw is None else on_s * tip_mw}
        delivered = {"trains": float(self._delivered), "on_s": self._lit_until(now_s)}
        delivered["energy_mj"] = math.nan if tip_mw is None else delivered["on_s"] * tip_mw
        for figure, (name, unit) in _SESSION.items():
            limit = self._session[figure]
            if limit is not None:
                told = "" if self.blinded else f", {delivered[figure]:.4g} {unit} delivered"
                reached = f"; {self.latched.words}" if self.latched else ""
                note = f"by plan, as the limit counts{told}{reached}"
                yield Gauge(name, values[figure], float(limit), unit, note, self._whose[figure])

    def ledger(self) -> dict[str, Any]:
        """All of the session so far, as plain values: planned, delivered (None where blinded), limits, what latched."""
        planned = self._planned.count
        return {
            "planned": self._sum(planned, planned * self._train_s, self._warmest_by_plan),
            "delivered": None if self.blinded else self._sum(self._delivered, self._all_lit_s, self._most_kelvin),
            "limits": {
                figure: {"most": limit, "of": self._whose[figure] or None} for figure, limit in self._session.items()
            },
            "latched": self.latched._asdict() if self.latched else None,
        }

    def _sum(self, trains: int, on_s: float, kelvin: float) -> dict[str, Any]:
        energy_mj = None if self._tip_mw is None else on_s * self._tip_mw
        known = self._tip_mw is not None and not math.isnan(kelvin)
        rounded = None if energy_mj is None else round(energy_mj, 9)
        return {"trains": trains, "on_s": round(on_s, 9), "energy_mj": rounded, "kelvin": kelvin if known else None}

    @property
    def _all_lit_s(self) -> float:
        """Light of the session; what was not told to its end as planned."""
        return self._lit_until(math.inf)

    @property
    def _most_kelvin(self) -> float:
        last = self._trains[-1].over_s if self._trains else 0.0
        return max(self._warmest, self._warmth_until(last).kelvin)

    def _lit(self, window: str, now_s: float) -> Gauge:
        window_s, most_s = self._limits[f"{window}_window_ms"] / 1000, self._limits[f"{window}_on_ms"] / 1000
        lit_s = self._lit_until(now_s) - self._lit_until(now_s - window_s)
        note = f"{100 * lit_s / window_s:.1f} % lit, at most {100 * most_s / window_s:.3g} %"
        return Gauge(f"lit in {span(window_s)}", lit_s, most_s, "s", note, self._whose[window])

    def _energy(self, now_s: float, window_s: float) -> Gauge:
        name = f"energy in {span(window_s)}"
        if self._tip_mw is None:
            return Gauge(name, math.nan, None, "mJ", "unknown: the rig's light has no calibration")
        lit_s = self._lit_until(now_s) - self._lit_until(now_s - window_s)
        note = f"at the tip; {self._tip_mw * lit_s / window_s:.2g} mW on average"
        return Gauge(name, self._tip_mw * lit_s, None, "mJ", note)

    def _warming(self, now_s: float) -> Gauge:
        most, of = self._session["kelvin"] or MOST_KELVIN, self._whose["kelvin"]
        if self._tip_mw is None:
            return Gauge("warming", math.nan, most, "K", "unknown: the rig's light has no calibration", of)
        kelvin = self._warmth_until(now_s).kelvin
        by_plan = "" if math.isnan(self._planned_kelvin) else f"; {self._planned_kelvin:.2f} K by plan"
        note = f"a conservative model at the tip; at most {max(kelvin, self._warmest):.2f} K so far{by_plan}"
        return Gauge("warming", kelvin, most, "K", note, of)

    # Light

    def _latch(self, event: Event) -> None:
        found = re.search(r"\((dose_\w+)\)", event.text or "")
        self.latched = self.latched or Latched(found[1] if found else "dose", event.ticks / 1e6)

    def _begin(self, train: int | None, on_s: float) -> None:
        self._delivered += 1
        if self._pulses is None:
            return
        before_s, before = 0.0, (self._warmth, self._warmth_at_s)
        if self._trains:
            last = self._trains[-1]
            before_s = last.before_s + self._light_of(last, on_s)
            self._warmth = self._warmth_until(on_s)
            self._warmest = max(self._warmest, self._warmth_until(last.over_s).kelvin)
        self._warmth_at_s = on_s
        self._trains.append(_Delivered(train, on_s, on_s + self._pulses.span_s, before_s, before))
        if len(self._trains) > 2 * _KEPT_TRAINS:
            del self._trains[:_KEPT_TRAINS]

    def _take_back(self, planned: PlannedTrain) -> None:
        """A train that was planned and is not given after all, if it is the last one."""
        self._delivered -= 1
        if self._trains and self._trains[-1].train == planned.train:
            self._warmth, self._warmth_at_s = self._trains.pop().before

    def _end(self, event: Event) -> None:
        if not self._trains or self._trains[-1].train != event.train:
            return
        last = self._trains[-1]
        last.over_s = max(last.on_s, event.ticks / 1e6)
        last.told_s = math.inf if event.value is None else event.value / 1e6
        self._warmest = max(self._warmest, self._warmth_until(last.over_s).kelvin)

    def _light_of(self, train: _Delivered, until_s: float) -> float:
        if self._pulses is None:
            return 0.0
        return min(self._pulses.lit_s(min(until_s, train.over_s) - train.on_s), train.told_s)

    def _begun(self, until_s: float) -> int:
        """How many of the trains that are kept had begun by then."""
        return bisect_right(self._trains, until_s, key=lambda train: train.on_s)

    def _lit_until(self, until_s: float) -> float:
        """Light until then, of the whole session."""
        begun = self._begun(until_s)
        if begun == 0:
            return self._trains[0].before_s if self._trains else 0.0
        last = self._trains[begun - 1]
        return last.before_s + self._light_of(last, until_s)

    # Heat

    def _warmth_until(self, until_s: float) -> Warmth:
        """The heat budget at a time not before the last train's begin."""
        if not self._trains or self._pulses is None or self._tip_mw is None:
            return Warmth()
        last = self._trains[-1]
        lit_until_s = min(max(until_s, self._warmth_at_s), last.over_s)
        warmth = self._pulses.warmth(self._warmth, self._tip_mw, lit_until_s - last.on_s)
        return warmed(warmth, 0.0, max(0.0, until_s - lit_until_s))


def span(seconds: float) -> str:
    """A window as people say it."""
    return f"{seconds:g} s" if seconds < 120 else f"{seconds / 60:g} min"
