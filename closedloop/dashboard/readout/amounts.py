"""Numbers in words, as a person across the room reads them. Unknown is a dash, never 0."""

from __future__ import annotations

import math

from closedloop.watching.measured import measures

UNKNOWN = "–"


def clock(seconds: float) -> str:
    """Seconds as 0:07, 12:31 or 1:12:31."""
    whole = int(max(0.0, seconds))
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def size(count: float | None) -> str:
    """Bytes as 812 kB, 12.3 MB, 4.1 GB."""
    if count is None or not math.isfinite(count):
        return UNKNOWN
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if count >= scale * 0.9995:
            return f"{count / scale:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"


def about(seconds: float | None) -> str:
    """A length of time, roughly: 40 s, 22 min, 5.5 h, 12 days."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 36_000:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"


def micros(value_us: float | None) -> str:
    """Microseconds in three digits, with the unit that suits them."""
    if value_us is None or not math.isfinite(value_us):
        return UNKNOWN
    if abs(value_us) < 999.5:
        return f"{value_us:.3g} µs" if abs(value_us) < 9.95 else f"{value_us:.0f} µs"
    if abs(value_us) < 999_500:
        return f"{_three(value_us / 1e3)} ms"
    return f"{_three(value_us / 1e6)} s"


def number(value: float | None, unit: str = "") -> str:
    """A number in three digits with its unit."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return f"{_three(value)} {unit}".strip()


def shown(name: str, value: float) -> str:
    """A number that a part shows of itself, in the unit that its name has in this field."""
    if not math.isfinite(value):
        return UNKNOWN
    (measure,) = measures({}, [name])
    in_unit = measure.scale * value
    return f"{in_unit:+.1f} %" if measure.unit == "%" else number(in_unit, measure.unit)


def whole(count: int) -> str:
    """A count, its thousands set apart by thin spaces."""
    return f"{count:,}".replace(",", "\u2009")


def _three(value: float) -> str:
    if abs(value) >= 99.95 or value == round(value):
        return f"{value:.0f}"
    if abs(value) >= 9.995:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.0995 else f"{value:.2g}"
