"""Whose each limit in force is: the board's ceiling, the rig's or the protocol's. Nothing is limited here."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from closedloop.limits import CEILING, Limits
from closedloop.optics import MOST_KELVIN

_NAMES = {  # figure: field of Limits, and the ceiling; None where there is none
    "short": ("short_duty", CEILING.short_on_ms / CEILING.short_window_ms),
    "long": ("long_duty", CEILING.long_on_ms / CEILING.long_window_ms),
    "trains_per_minute": ("trains_per_minute", float(CEILING.trains_per_minute)),
    "trains": ("trains_per_session", None),
    "on_s": ("session_on", None),
    "energy_mj": ("session_energy", None),
    "kelvin": ("heating", MOST_KELVIN),
}
DOSE = ("trains", "on_s", "energy_mj", "kelvin")  # of a whole session, as in the header


def whose(header: dict[str, Any]) -> dict[str, str]:
    """For each figure "ceiling", "rig" or "protocol": the one that is least; "" where nothing limits it."""
    asked = {name: _limits(header.get(name)) for name in ("rig", "protocol")}
    return {figure: _least(field, ceiling, asked) for figure, (field, ceiling) in _NAMES.items()}


def dose_limits(header: dict[str, Any]) -> dict[str, float | None]:
    """Of the whole session, by figure; all None in recordings older than these limits."""
    said = header.get("dose")
    known = said if isinstance(said, dict) else {}
    return {figure: known.get(figure) for figure in DOSE}


def _least(field: str, ceiling: float | None, asked: dict[str, Limits | None]) -> str:
    values = [] if ceiling is None else [(ceiling, "ceiling")]
    for name, limits in asked.items():
        value = None if limits is None else getattr(limits, field)
        values += [] if value is None else [(float(value), name)]
    return min(values, key=lambda one: one[0])[1] if values else ""


def _limits(part: Any) -> Limits | None:
    """What the header holds of the limits of a rig or a protocol; None where it holds none that can be read."""
    said = part.get("limits") if isinstance(part, dict) else None
    if not isinstance(said, dict):
        return None
    try:
        return Limits.model_validate({name: value for name, value in said.items() if name in Limits.model_fields})
    except ValidationError:
        return None
