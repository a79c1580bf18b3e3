"""A train pulse by pulse: its light and its warmth so long after its first light. It knows no session."""

from __future__ import annotations

from dataclasses import dataclass

from closedloop.optics import Warmth, warmed, warmed_by_pulses


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
