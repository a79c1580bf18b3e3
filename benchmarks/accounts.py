"""What one session's recording says of it: readings, each accounted for; and delays. Nothing is measured here."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from closedloop.recording import Recording
from closedloop.simulation import truth

Microseconds = npt.NDArray[np.float64]


def own_mb(process: psutil.Process) -> float:
    """Megabytes that this process alone holds.

    On Linux without libraries and files: their pages count as its own or not as other processes come and go.
    """
    memory = process.memory_info()
    shared = getattr(memory, "shared", None)
    return float(process.memory_full_info().uss if shared is None else memory.rss - shared) / 1e6


def account(recording: Recording) -> dict[str, Any]:
    """Readings sent against those recorded and those reported missing; and what was noticed on the way."""
    rows, events, summary = recording.rows(), recording.events(), recording.summary or {}
    sent = summary.get("sent")
    dropped = (summary.get("statistics", {}).get("daq") or {}).get("overruns", 0)
    missing = sum(int(e.value or 0) for e in events if e.kind == "gap")
    held_up = [line["seconds"] * 1000 for line in _truth(recording) if line["kind"] == "held_up"]
    return {
        "recorded": len(rows),
        "sent": sent,
        "dropped_by_board": dropped,
        "missing": missing,
        "unaccounted": None if sent is None else sent + dropped - len(rows) - missing,
        "repeated": summary.get("repeated"),
        "damaged": summary.get("damaged_frames"),
        "together": int(np.sum(np.diff(rows["host_ns"]) == 0)),
        "stale": sum(e.kind == "refused" and e.reason == "stale" for e in events),
        "commands": sum(e.kind == "command" for e in events),
        "trains": sum(e.kind == "light_on" for e in events),
        "unanswered": sum(e.kind == "refused" and e.reason == "unanswered" for e in events),
        "held_up": len(held_up),
        "held_up_ms": round(sum(held_up), 1),
    } | _of_health(recording)


def _of_health(recording: Recording) -> dict[str, Any]:
    """What the engine itself says of its worst, where its recording has it."""
    health = recording.health()
    names = [name for name in ("age_us", "turn_us", "overruns", "clock_steps") if name in (health.dtype.names or ())]
    return {f"health_{name}": _most(health[name]) for name in names}


def _most(values: npt.NDArray[Any]) -> float | None:
    known = values[np.isfinite(values)]
    return round(float(known.max()), 1) if len(known) else None


def delays_of(recording: Recording, since_ns: int, until_ns: int) -> dict[str, Microseconds]:
    """Microseconds of what happened between two host times; see `rigs.MEASURED`."""
    rows, events = recording.rows(), recording.events()
    inside = [e for e in events if since_ns <= e.host_ns < until_ns]
    late_us = (rows["host_ns"] - rows["ticks"] * 1000) / 1000
    is_inside = (rows["host_ns"] >= since_ns) & (rows["host_ns"] < until_ns)
    return {
        "command_us": np.array([e.value for e in inside if e.kind == "command"], float),
        "light_us": _to_light(recording, since_ns, until_ns),
        "age_us": late_us[is_inside] - late_us.min(initial=np.inf),
    }


def _to_light(recording: Recording, since_ns: int, until_ns: int) -> Microseconds:
    """From each reading that asked for light to the light, both by the simulated rig's own clock.

    The truth has no numbers of trains; the order of its rises is that in which the recording saw light begin.
    """
    events = recording.events()
    asked_us = {e.train: e.ticks for e in events if e.kind == "command"}
    lit = [e for e in events if e.kind == "light_on"]
    rises = [line for line in _truth(recording) if line["kind"] == "light" and line["level"] > 0]
    if len(lit) != len(rises):
        return np.zeros(0)
    pairs = zip(lit, rises, strict=True)
    return np.array(
        [rise["time_s"] * 1e6 - asked_us[e.train] for e, rise in pairs if since_ns <= e.host_ns < until_ns], float
    )


def _truth(recording: Recording) -> list[dict[str, Any]]:
    return truth.read(recording.folder / "truth")
