"""Numbers on axes: where ticks stand, what they say, and how far an axis reaches. No Qt, and nothing is drawn here."""

from __future__ import annotations

import math

_TIME_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800)
_ROOM = 0.15  # of the extent, kept free on either side
_LEAST_PART = 0.35  # of the axis that must be used, or the axis shrinks


def step_of(span: float, most: int) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that cuts a span into at most so many parts."""
    if not (math.isfinite(span) and span > 0):
        return 1.0
    least = span / max(1, most)
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def time_step_s(span_s: float, most: int) -> float:
    """Like `step_of`, but on a clock: above a second in parts of minutes and hours."""
    least = span_s / max(1, most)
    if least <= 1:
        return min(1.0, step_of(span_s, most))
    return float(next((step for step in _TIME_STEPS_S if step >= least), 3600 * math.ceil(least / 3600)))


def ticks(low: float, high: float, step: float) -> list[float]:
    """All multiples of the step from low to high."""
    if not (math.isfinite(low) and math.isfinite(high) and step > 0):
        return []
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, min(last, first + 1000) + 1)]


def decimals_of(step: float) -> int:
    """How many digits after the point tell two ticks apart."""
    return max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 0


def clock(seconds: float, decimals: int = 0) -> str:
    """Minutes and seconds, with hours when there are any: `0:07.5`, `1:02:03`.

    >>> clock(7.5, 1), clock(3723), clock(-5)
    ('0:07.5', '1:02:03', '-0:05')
    """
    if not math.isfinite(seconds):
        return "–"
    units = round(abs(seconds) * 10**decimals)
    whole, part = divmod(units, 10**decimals)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    sign = "-" if seconds < 0 and units else ""
    head = f"{hours}:{minute:02d}" if hours else f"{minute}"
    return f"{sign}{head}:{second:02d}" + (f".{part:0{decimals}d}" if decimals else "")


def number(value: float) -> str:
    """A reading for people: four digits that matter, a dash if it is unknown.

    >>> number(0.123456), number(-3.0), number(float("nan"))
    ('0.1235', '-3.000', '–')
    """
    if not math.isfinite(value):
        return "–"
    if value and not 1e-3 <= abs(value) < 1e4:
        return f"{value:.2e}"
    return f"{value:#.4g}".rstrip(".")


def short(value: float, *, signed: bool = False) -> str:
    """A number to be read from afar: two digits that matter, a dash if it is unknown.

    >>> short(3.14159), short(-0.24, signed=True), short(12.6), short(float("nan"))
    ('3.1', '-0.2', '13', '–')
    """
    if not math.isfinite(value):
        return "–"
    return f"{value:{'+' if signed else ''}.{0 if abs(value) >= 9.95 else 1}f}"


class Reach:
    """How far a y axis goes: at once as far as the data do, but back only when most of it stands empty.

    Attributes:
        is_locked: a person wants it as it is.
        low, high: of the axis; nan before there is anything.
    """

    def __init__(self) -> None:
        self.is_locked = False
        self.low = self.high = math.nan

    def follow(self, extent: tuple[float, float] | None) -> bool:
        """Take in what the data span; returns whether the axis moved."""
        if extent is None or not all(math.isfinite(end) for end in extent):
            return False
        if self.low <= self.high and (self.is_locked or self._holds(*extent)):
            return False
        low, high = extent
        room = _ROOM * (high - low) or 0.05 * abs(high) or 1.0
        self.low, self.high = low - room, high + room
        return True

    def _holds(self, low: float, high: float) -> bool:
        return self.low <= low and high <= self.high and high - low >= _LEAST_PART * (self.high - self.low)
