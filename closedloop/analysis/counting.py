"""Counts that summaries are made of: steps, light, what is missing, and the spread of latencies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from closedloop.deciding import TEST
from closedloop.recording import Event
from closedloop.steps import DETECTED, Steps
from closedloop.train import Refusal


def delivered_trains(events: Sequence[Event]) -> list[tuple[Event, Event | None]]:
    """First light and last of each train, as the stimulator told them; None where the end was not told."""
    ends = {event.train: event for event in events if event.kind == "light_off"}
    return [(event, ends.get(event.train)) for event in events if event.kind == "light_on"]


def lit_s(events: Sequence[Event], command: dict[str, int]) -> float:
    """Seconds of light as the board told; a train whose end was never heard counts as if it had run to its end."""
    told = {e.train: e.value or 0.0 for e in events if e.kind == "light_off"}
    planned_us = command["on_us"] * command["pulses"] + command["ramp_off_us"]
    unheard = [e for e in events if e.kind == "light_on" and e.train not in told]
    return (sum(told.values()) + planned_us * len(unheard)) / 1e6


def count_steps(steps: Steps, decisions: Sequence[str]) -> dict[str, Any]:
    """Detections, decisions that were not refused by the loop, and the loop's refusals, from its steps alone.

    What no policy of the session decides by itself (a person's test, sham after a limit was reached) is named only
    where it was decided.
    """
    numbered = steps[steps["train"] != 0]
    taken = numbered["decision"][numbered["refused"] == 0]
    kinds = {name: int(np.count_nonzero(taken == code + 1)) for code, name in enumerate(decisions)}
    others = decisions[decisions.index(TEST) :] if TEST in decisions else ()
    kinds = {name: count for name, count in kinds.items() if count or name not in others}
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
