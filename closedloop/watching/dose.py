"""The light that was delivered, against its limits and as heat. It limits nothing: the loop and the board do that.

Light is what the stimulator told. Within a train it is taken to lie as the pulses were planned, up to the train's told
end; a train whose end was not told runs to its planned one. Warming is the model of optics.py: it compares, and proves
nothing.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import Any, NamedTuple

from closedloop.optics import MOST_KELVIN, Warmth, warmed, warmed_by_pulses
from closedloop.recording import Event
from closedloop.watching.follower import Fresh

_MINUTE_S = 60.0
_KEPT_TRAINS = 4096  # the longest window can hold 600 at the highest rate of any board


class Gauge(NamedTuple):
    """One figure against its limit.

    Attributes:
        name: of the figure.
        value: nan is unknown.
        limit: the most that is allowed; None where nothing limits it.
        unit: of both.
        note: what to know of it, in words.
    """

    name: str
    value: float
    limit: float | None
    unit: str
    note: str


@dataclass(frozen=True)
class Pulses:
    """The train of a protocol as the board was told, in seconds."""

    on_s: float
    period_s: float
    count: int
    ramp_off_s: float

    @classmethod
    def of(cls, command: dict[str, int]) -> Pulses:
        """From the header's command."""
        period_s = max(command["period_us"], command["on_us"]) / 1e6
        return cls(command["on_us"] / 1e6, period_s, command["pulses"], command["ramp_off_us"] / 1e6)

    @property
    def span_s(self) -> float:
        """From first light to last."""
        return (self.count - 1) * self.period_s + self.on_s + self.ramp_off_s

    def lit_s(self, since_on_s: float) -> float:
        """Light so long after the first light."""
        if since_on_s <= 0:
            return 0.0
        begun = min(int(since_on_s / self.period_s), self.count - 1)
        last_s = self.on_s + (self.ramp_off_s if begun == self.count - 1 else 0.0)
        return begun * self.on_s + min(since_on_s - begun * self.period_s, last_s)

    def warmth(self, before: Warmth, power_mw: float, since_on_s: float) -> Warmth:
        """The heat budget so long after the first light, within the train."""
        over = min(int((since_on_s - self.on_s) / self.period_s) + 1, self.count) if since_on_s >= self.on_s else 0
        if over == 0:
            return warmed(before, power_mw, max(0.0, since_on_s))
        warmth = warmed_by_pulses(before, power_mw, self.on_s, self.period_s, over)
        rest_s = since_on_s - (over - 1) * self.period_s - self.on_s
        if over == self.count:
            return warmed(warmth, power_mw, min(rest_s, self.ramp_off_s))
        dark_s = min(rest_s, self.period_s - self.on_s)
        return warmed(warmed(warmth, 0.0, dark_s), power_mw, rest_s - dark_s)


@dataclass
class _Delivered:
    """A train that was lit, and what all trains before it had given."""

    train: int | None
    on_s: float
    over_s: float  # told, or planned
    before_s: float  # light of all earlier trains
    told_s: float = math.inf  # its own light


class Dose:
    """What was delivered lately; `gauges` compares it with the limits in force."""

    def __init__(self, header: dict[str, Any]) -> None:
        self._limits: dict[str, int] = header.get("limits", {})
        self._tip_mw: float | None = header.get("tip_mw")
        self._pulses = Pulses.of(header["command"]) if header.get("command") else None
        self._trains: list[_Delivered] = []
        self._warmth, self._warmth_at_s = Warmth(), 0.0  # as the last train of all began
        self._warmest = 0.0

    def add(self, fresh: Fresh) -> None:
        """Take in the light that was told since."""
        for event in fresh.events:
            if event.kind == "light_on":
                self._begin(event)
            elif event.kind == "light_off":
                self._end(event)

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
                "as delivered",
            ),
            self._energy(now_s, long_s),
            self._warming(now_s),
        )

    def _lit(self, window: str, now_s: float) -> Gauge:
        window_s, most_s = self._limits[f"{window}_window_ms"] / 1000, self._limits[f"{window}_on_ms"] / 1000
        lit_s = self._lit_until(now_s) - self._lit_until(now_s - window_s)
        note = f"{100 * lit_s / window_s:.1f} % lit, at most {100 * most_s / window_s:.3g} %"
        return Gauge(f"lit in {span(window_s)}", lit_s, most_s, "s", note)

    def _energy(self, now_s: float, window_s: float) -> Gauge:
        name = f"energy in {span(window_s)}"
        if self._tip_mw is None:
            return Gauge(name, math.nan, None, "mJ", "unknown: the rig's light has no calibration")
        lit_s = self._lit_until(now_s) - self._lit_until(now_s - window_s)
        note = f"at the tip; {self._tip_mw * lit_s / window_s:.2g} mW on average"
        return Gauge(name, self._tip_mw * lit_s, None, "mJ", note)

    def _warming(self, now_s: float) -> Gauge:
        if self._tip_mw is None:
            return Gauge("warming", math.nan, MOST_KELVIN, "K", "unknown: the rig's light has no calibration")
        kelvin = self._warmth_until(now_s).kelvin
        note = f"a conservative model at the tip; at most {max(kelvin, self._warmest):.2f} K so far"
        return Gauge("warming", kelvin, MOST_KELVIN, "K", note)

    # Light

    def _begin(self, event: Event) -> None:
        if self._pulses is None:
            return
        on_s = event.ticks / 1e6
        before_s = 0.0
        if self._trains:
            last = self._trains[-1]
            before_s = last.before_s + self._light_of(last, on_s)
            self._warmth = self._warmth_until(on_s)
        self._warmth_at_s = on_s
        self._trains.append(_Delivered(event.train, on_s, on_s + self._pulses.span_s, before_s))
        if len(self._trains) > 2 * _KEPT_TRAINS:
            del self._trains[:_KEPT_TRAINS]

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
