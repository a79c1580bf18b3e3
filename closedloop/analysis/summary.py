"""A recording in one JSON object: the public summary that `run`, `demo` and `replay` print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from closedloop.deliveries import ON_BOARD
from closedloop.loop import DETECTED, TEST, Steps
from closedloop.readings import duration_s
from closedloop.recording import Event, Recording
from closedloop.train import Refusal


def summarise(recording: Recording) -> dict[str, Any]:
    """The summary of a session, finished or not.

    Raises:
        RecordingError: the recording cannot be read.
    """
    header, rows, events = recording.header, recording.rows(), recording.events()
    outcome = recording.summary or {"ended": "broken_off", "reason": "the engine did not close the session"}
    counted = count_steps(rows, header["decisions"])
    refused = Counter(e.reason for e in events if e.kind == "refused")
    on_s = lit_s(events, header["command"])
    power_mw = header["tip_mw"]
    return {
        "session": str(recording.folder),
        "protocol": header["protocol_name"],
        "condition": header["condition"],
        "seed": header["seed"],
        "duration_s": duration_s(rows["ticks"], header["rate_mhz"] / 1000),
        "rate_hz": header["rate_mhz"] / 1000,
        "readings": {
            "received": len(rows),
            "missing": missing(rows["seq"], outcome.get("sent")),
            "damaged_frames": outcome.get("damaged_frames", 0),
        },
        "detections": counted["detections"],
        "decisions": counted["decisions"],
        "refused": dict(sorted(refused.items())),
        "trains": {
            "commanded": sum(e.kind == "command" for e in events),
            "delivered": sum(e.kind == "light_on" for e in events),
            "on_board": sum(e.kind == "light_on" and e.reason == ON_BOARD for e in events),
            "on_s": on_s,
            "energy_mj": None if power_mw is None else on_s * power_mw,
        },
        "latency_us": {
            "read_to_command": percentiles(_values(events, "command")),
            "command_to_light": percentiles(_values(events, "light_on")),
        },
        "ended": outcome["ended"],
        "reason": outcome["reason"],
    }


def lit_s(events: Sequence[Event], command: dict[str, int]) -> float:
    """Seconds of light as the board told; a train whose end was never heard counts as if it had run to its end."""
    told = {e.train: e.value or 0.0 for e in events if e.kind == "light_off"}
    planned_us = command["on_us"] * command["pulses"] + command["ramp_off_us"]
    unheard = [e for e in events if e.kind == "light_on" and e.train not in told]
    return (sum(told.values()) + planned_us * len(unheard)) / 1e6


def count_steps(steps: Steps, decisions: Sequence[str]) -> dict[str, Any]:
    """Detections, decisions that were not refused by the loop, and the loop's refusals, from its steps alone."""
    numbered = steps[steps["train"] != 0]
    taken = numbered["decision"][numbered["refused"] == 0]
    kinds = {name: int(np.count_nonzero(taken == code + 1)) for code, name in enumerate(decisions)}
    if not kinds.get(TEST):
        kinds.pop(TEST, None)  # named only where a person asked for one
    refused = Counter(Refusal(code).name.lower() for code in numbered["refused"] if code)
    return {
        "detections": int(np.count_nonzero(numbered["bits"] & DETECTED)),
        "decisions": kinds,
        "refused": dict(sorted(refused.items())),
    }


def missing(seq: Any, sent: int | None) -> int:
    """Readings the board sent and nobody received: by its own count at the end, else by the jumps of its numbers."""
    if sent is not None:
        return max(0, sent - len(seq))
    if len(seq) == 0:
        return 0
    span = (int(seq[-1]) - int(seq[0])) % (1 << 32)
    return int(seq[0]) + span + 1 - len(seq)


def percentiles(values: Sequence[float]) -> dict[str, float] | None:
    """p50, p99, p99.9 and the largest; None of nothing."""
    if not values:
        return None
    p50, p99, p99_9 = np.percentile(np.asarray(values), (50, 99, 99.9))
    return {"p50": float(p50), "p99": float(p99), "p99_9": float(p99_9), "max": float(max(values))}


def _values(events: Iterable[Event], kind: str) -> list[float]:
    return [e.value for e in events if e.kind == kind and e.value is not None]
