"""Thresholds to try, where nobody says which: laid by the part of the recordings that is fitted on, and by it alone.

Where the grid lies is already a choice. So each half lays its own, and no setting chosen on one half is of a grid that
has seen the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from closedloop.analysis.detection import batches
from closedloop.analysis.tuning.grid import is_computed, with_threshold
from closedloop.analysis.tuning.material import HALVES, Detect, Material, Part, detected, parts_of, scores_of
from closedloop.errors import ConfigError
from closedloop.loop import Loop
from closedloop.protocol import Protocol
from closedloop.steps import VALID, WARM

_WIDE, _CLOSE = 8, 9  # over all scores, twice; and between two of them that have the wanted rate between them
_ROUNDS = 2  # ... and once more between two of those
_BLOCK_S = 1.0  # its scores are compared by their largest one in so long
_DIGITS = 3
_NEVER = 1e12  # a threshold that no score reaches


def thresholds(
    protocol: Protocol,
    materials: Sequence[Material],
    wanted_per_h: float,
    window_s: float,
    detect: Detect,
    *,
    halved: bool,
) -> dict[str, tuple[str, ...]]:
    """Thresholds to try: over all scores, and closely where the false alarms are as many as wanted.

    None lies below the protocol's release.

    Args:
        protocol: what they are for.
        materials: recordings to fit on.
        wanted_per_h: false alarms an hour.
        window_s: longest delay of a hit.
        detect: runs loops.
        halved: whether each half lays its own.

    Returns:
        By name of the part that laid them, in order.

    Raises:
        ConfigError: no score is known, or all lie below release.
    """
    if hasattr(protocol.detector, "of"):
        raise ConfigError(
            f"--vary: missing; detector {protocol.detector.kind} counts its members, so say whose threshold is to be "
            "tried, for example --vary detector.of.0.threshold=3:8:10"
        )
    parts = parts_of(materials, protocol.warm_up, halved=halved)
    laid = _wide(protocol, materials, parts)
    rates: dict[str, dict[float, float]] = {name: {} for name in parts}
    for _ in range(_ROUNDS):
        new = sorted(set().union(*laid.values()) - next(iter(rates.values())).keys())
        changed = [with_threshold(protocol, value) for value in new]
        for value, found in zip(new, detected(changed, materials, detect), strict=True):
            for name, part in parts.items():
                rates[name][value] = scores_of(found, materials, part, window_s).rate
        for name, own in laid.items():
            low, high = _bracket({value: rates[name][value] for value in own}, wanted_per_h)
            own.update(_rounded(np.linspace(low, high, _CLOSE)))
    return {name: tuple(f"{value:.{_DIGITS + 2}g}" for value in sorted(own)) for name, own in laid.items()}


def _bracket(rates: dict[float, float], wanted_per_h: float) -> tuple[float, float]:
    """From the highest threshold that has too many false alarms to the next one above it, which has not."""
    downward = sorted(rates, reverse=True)
    few = 0
    while few < len(downward) and rates[downward[few]] <= wanted_per_h:
        few += 1
    return downward[min(few, len(downward) - 1)], downward[max(few - 1, 0)]


def _rounded(values: Any) -> set[float]:
    return {float(f"{value:.{_DIGITS}g}") for value in values}


def _wide(
    protocol: Protocol, materials: Sequence[Material], parts: dict[str, list[Part | None]]
) -> dict[str, set[float]]:
    """Thresholds from one crossing in two seconds, at most, to none; each by a factor rarer than the one before.

    Evidence that adds up falls back at each detection. So scores are looked at as they are with the protocol's own
    threshold, and with one that is never reached.

    Raises:
        ConfigError: no score is known, or all lie below release.
    """
    release = -np.inf if is_computed(protocol) else protocol.detector.release
    looks = [
        [_largest(looked_at, material) for material in materials]
        for looked_at in (protocol, with_threshold(protocol, _NEVER))
    ]
    made: dict[str, set[float]] = {}
    for name, part in parts.items():
        spread: set[float] = set()
        for look in looks:
            found = [_within(*one, where) for one, where in zip(look, part, strict=True)]
            spread |= _spread(found, f"{_names(materials)}{f', {name}' if name in HALVES else ''}", protocol.warm_up)
        made[name] = {value for value in spread if value >= release}
        if not made[name]:
            raise ConfigError(
                f"{_names(materials)}: all scores lie below detector.release ({release:g}), the largest is "
                f"{max(spread):.3g}; lower it with --set detector.release=..."
            )
    return made


def _spread(found: Sequence[Any], place: str, warm_up_s: float) -> set[float]:
    largest = np.sort(np.concatenate(found))[::-1]
    if len(largest) == 0:
        raise ConfigError(
            f"{place}: no score is known after warm-up ({warm_up_s:g} s): too short, or vetoed throughout; see what "
            "closedloop replay says of it"
        )
    top = largest[0] + 0.05 * abs(largest[0])
    return _rounded([*largest[np.geomspace(1, max(1, len(largest) // 2), _WIDE).astype(int) - 1], top])


def _names(materials: Sequence[Material]) -> str:
    return ", ".join(material.name for material in materials)


def _within(ticks: Any, scores: Any, part: Part | None) -> Any:
    return scores if part is None else scores[(ticks >= part[0]) & (ticks < part[1])]


def _largest(protocol: Protocol, material: Material) -> tuple[Any, Any]:
    """The largest score in each second that is fit to act on, after that second's first tick.

    Taken where false alarms are counted: without the events that were put in.
    """
    plan, stream = material.runs(protocol)[-1]
    loop = Loop(plan, rate_hz=stream.rate_hz, nano_units=stream.nano_units)
    steps = np.zeros(min(len(stream.readings), len(next(batches(stream), ()))), loop.step_type)
    block = max(1, round(_BLOCK_S * stream.rate_hz))
    ticks, found = [np.zeros(0, np.int64)], [np.zeros(0)]
    for batch in batches(stream):
        made = loop.run(batch, steps[: len(batch)])
        known = (made["bits"] & (VALID | WARM)) == VALID | WARM
        if np.count_nonzero(known):
            scores = made["score"][known]
            starts = np.arange(0, len(scores), block)
            ticks.append(batch["ticks"][known][starts])
            found.append(np.maximum.reduceat(scores, starts))
    return np.concatenate(ticks), np.concatenate(found)
