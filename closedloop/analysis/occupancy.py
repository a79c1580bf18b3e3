"""Where a session's time went: each input high, each block, and light outside an open gate. From rows and events alone.

Time is readings received times their period: what was lost in a gap is counted nowhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from closedloop.analysis.counting import count_steps, delivered_trains
from closedloop.recording import Event, Rows
from closedloop.schedule import OVER
from closedloop.steps import GATE_OPEN
from closedloop.watching.planned import planned_in
from closedloop.watching.pulses import Pulses


class Lit(NamedTuple):
    """A train's first light and last, in seconds; `lit_s` of light in all."""

    on_s: float
    over_s: float
    lit_s: float


def inputs(rows: Rows, names: Sequence[str], rate_hz: float) -> dict[str, dict[str, float]]:
    """Of each input that has a name: seconds high, and how often it rose."""
    if "inputs" not in (rows.dtype.names or ()):
        return {}
    said = {}
    for bit, name in enumerate(names):
        high = (rows["inputs"] >> bit & 1).astype(bool)
        rises = int(np.count_nonzero(high[1:] & ~high[:-1]))
        said[name] = {"on_s": float(np.count_nonzero(high) / rate_hz), "entries": rises}
    return said


def blocks(rows: Rows, events: Sequence[Event], header: dict[str, Any]) -> list[dict[str, Any]]:
    """Each block that was begun, in order, with what was counted in it; none in a session without blocks.

    `lasts_s` is from its first reading to the end of its last, with any pause in it.
    """
    names = header.get("blocks") or []
    if "block" not in (rows.dtype.names or ()) or not names:
        return []
    numbers = rows["block"]
    begun = [n for n in np.unique(numbers).tolist() if 0 < n < OVER and n <= len(names)]
    rate_hz = header["rate_mhz"] / 1000
    refused = _by_block(rows, [e for e in events if e.kind == "refused"])
    light = _by_block(rows, [e for e in events if e.kind == "light_on"])
    said = []
    for number in begun:
        mine = rows[numbers == number]
        counted = count_steps(mine, header["decisions"])
        reasons = Counter(str(e.reason) for e in refused.get(number, ()))
        said.append(
            {
                "name": names[number - 1],
                "from_s": float(mine["ticks"][0]) / 1e6,
                "lasts_s": float(int(mine["ticks"][-1]) - int(mine["ticks"][0])) / 1e6 + 1 / rate_hz,
                "readings": len(mine),
                "detections": counted["detections"],
                "decisions": counted["decisions"],
                "refused": dict(sorted(reasons.items())),
                "trains": {
                    "planned": _planned(mine, refused.get(number, [])),
                    "delivered": None if header.get("blinded") else len(light.get(number, ())),
                },
                "inputs": inputs(mine, header["input_names"], rate_hz),
            }
        )
    return said


def _planned(rows: Rows, refused: Sequence[Event]) -> int:
    told = {event.train for event in refused}
    return sum(one.train not in told for one in planned_in(rows))


def _by_block(rows: Rows, events: Sequence[Event]) -> dict[int, list[Event]]:
    """Events by the block in which their train was decided or, where there is none, in which they happened."""
    numbered = rows[rows["train"] != 0]
    block_of = dict(zip(numbered["train"].tolist(), numbered["block"].tolist(), strict=True))
    found: dict[int, list[Event]] = {}
    for event in events:
        at = max(0, int(np.searchsorted(rows["ticks"], event.ticks, side="right")) - 1)
        block = block_of.get(event.train, int(rows["block"][at]) if len(rows) else 0)
        found.setdefault(block, []).append(event)
    return found


def outside_gate_s(rows: Rows, events: Sequence[Event], header: dict[str, Any]) -> float:
    """Seconds of light while a gate was shut: the tail of a train that began while all were open.

    A blinded session's light is taken as planned. Where readings are missing the gates count as they were last.
    """
    if "bits" not in (rows.dtype.names or ()) or "kelvin" not in (rows.dtype.names or ()):
        return 0.0  # older than gates
    pulses = Pulses.of(header["command"])
    lit = planned_light(rows, events, pulses) if header.get("blinded") else delivered_light(events, pulses)
    is_open = (rows["bits"] & GATE_OPEN) != 0
    if not lit or is_open.all():
        return 0.0
    times_s = rows["ticks"] / 1e6
    return float(sum(_outside(one, pulses, times_s, is_open) for one in lit))


def _outside(one: Lit, pulses: Pulses, times_s: Any, is_open: Any) -> float:
    first = max(0, int(np.searchsorted(times_s, one.on_s, side="right")) - 1)
    last = int(np.searchsorted(times_s, one.over_s))
    edges = np.concatenate(([one.on_s], times_s[first + 1 : last], [one.over_s]))
    total_s = pulses.lit_s(one.over_s - one.on_s)
    shut = [
        pulses.lit_s(until - one.on_s) - pulses.lit_s(since - one.on_s)
        for since, until, gate in zip(edges[:-1], edges[1:], is_open[first : first + len(edges) - 1], strict=True)
        if not gate
    ]
    return sum(shut) * (one.lit_s / total_s if total_s > 0 else 0.0)


def planned_light(rows: Rows, events: Sequence[Event], pulses: Pulses) -> list[Lit]:
    """Trains by plan that nothing refused."""
    refused = {event.train for event in events if event.kind == "refused"}
    whole_s = pulses.lit_s(pulses.span_s)
    return [Lit(p.on_s, p.on_s + pulses.span_s, whole_s) for p in planned_in(rows) if p.train not in refused]


def delivered_light(events: Sequence[Event], pulses: Pulses) -> list[Lit]:
    """Trains as the stimulator told them; one whose end was not told ran to its planned one."""
    whole_s = pulses.lit_s(pulses.span_s)
    found = []
    for on, off in delivered_trains(events):
        over = None if off is None else off.ticks / 1e6
        told_s = None if off is None or off.value is None else off.value / 1e6
        on_s = on.ticks / 1e6
        over_s = on_s + pulses.span_s if over is None else max(on_s, over)
        found.append(Lit(on_s, over_s, whole_s if told_s is None else told_s))
    return found
