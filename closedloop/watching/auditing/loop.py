"""Whether the loop was quick and steady enough: latencies, ages, waiting, silence, heartbeats."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from closedloop.watching.auditing.findings import LATE_US, STIMULATOR, Findings
from closedloop.watching.auditing.item import (
    COMMAND_US,
    DOCTOR,
    GAP_PERIODS,
    GOOD,
    HEALTH_NS,
    LIGHT_US,
    OLDER,
    ONCE,
    OUTSIDE,
    PART_LATE,
    PART_OF_LEASE,
    PART_WAITED,
    PLAN_US,
    STALE_US,
    UNKNOWN,
    Closed,
    Figures,
    Item,
    is_real,
    ms,
    played,
)
from closedloop.watching.tallies import Histogram


def latencies(found: Findings, _: Closed) -> Iterator[Item]:
    """How long it took to light; of a blinded session nothing, for arms differ in it."""
    if found.blinded:
        return
    yield _latency("read_to_command", "read to command", found.commands_us, COMMAND_US, "no train was commanded", _slow)
    yield _latency("command_to_light", "command to light", found.lights_us, LIGHT_US, _no_light(found), _dim)
    if found.plans_us:
        errors = np.abs(np.asarray(found.plans_us))
        yield _latency("planned_light", "planned light, error", errors, PLAN_US, "", _off_plan)


def _latency(name: str, title: str, values_us: Any, bound_us: float, unknown: str, said: Any) -> Item:
    bound = f"99 of 100 within {ms(bound_us)}, all within {ms(STALE_US)}"
    if not len(values_us):
        return Item(name, title, {"n": 0}, "none", bound, UNKNOWN, unknown)
    p50, p99, p99_9 = (float(p) for p in np.percentile(np.asarray(values_us), (50, 99, 99.9)))
    most = float(max(values_us))
    figures: Figures = {"n": len(values_us), "p50_us": p50, "p99_us": p99, "p99_9_us": p99_9, "max_us": most}
    words = f"{ms(p50)} median, {ms(p99)} p99, {ms(most)} at most, of {len(values_us)}"
    outside = p99 > bound_us or most > STALE_US
    return Item(name, title, figures, words, bound, OUTSIDE if outside else GOOD, said(p99, most) if outside else "")


def _no_light(found: Findings) -> str:
    return "no light that both clocks could time" if is_real(found) else played(found)


def _slow(p99_us: float, most_us: float) -> str:
    late = f"1 command in 100 was written more than {ms(p99_us)} after its reading, the slowest after {ms(most_us)}"
    return f"{late}: light came later than it should; something else had the processor: {DOCTOR}"


def _dim(p99_us: float, most_us: float) -> str:
    late = f"1 train in 100 lit more than {ms(p99_us)} after its command, the slowest after {ms(most_us)}"
    return f"{late}: the line to the stimulator is slow, or its clock badly known; {DOCTOR}"


def _off_plan(p99_us: float, most_us: float) -> str:
    late = f"1 planned train in 100 was more than {ms(p99_us)} off its plan, the worst {ms(most_us)}"
    return f"{late}: the boards' clocks are badly known; {DOCTOR}, and look at the clocks below"


def steadiness(found: Findings, _: Closed) -> Iterator[Item]:
    """Whether the loop kept up, all the time."""
    if not found.blinded:  # a turn in which light is commanded is longer
        yield _worst("turn", "longest turn", found.turn, found.turn_late, True, found)
    yield _worst("age", "reading age", found.age, found.age_late, is_real(found), found)
    yield _waiting(found)
    yield _silence(found)
    if STIMULATOR in (found.header.get("boards") or {}):
        yield _heartbeat(found)
    yield _own_rows(found)


def _worst(name: str, title: str, worst: Histogram, late: int, is_known: bool, found: Findings) -> Item:
    """The worst of each quarter of a second: rarely above 10 ms, never above what is stale."""
    bound = f"above {ms(LATE_US)} in 1 of 100 looks (four a second), never above {ms(STALE_US)}"
    if not is_known or not worst.n:
        why = OLDER if is_known else played(found)
        return Item(name, title, {"max_us": None, "late": None}, "", bound, UNKNOWN, why)
    figures: Figures = {"p50_us": worst.p50, "p99_us": worst.p99, "max_us": worst.max, "late": late, "rows": worst.n}
    words = f"{ms(worst.max)} at most" + (f", above {ms(LATE_US)} in {late} of {worst.n} looks" if late else "")
    if late <= max(ONCE, PART_LATE * worst.n) and worst.max <= STALE_US:
        return Item(name, title, figures, words, bound, GOOD)
    what = {
        "turn": "the loop was held up: readings and heartbeats waited for it",
        "age": "readings were old when they were acted on, so light came late; above 100 ms it is refused as stale",
    }[name]
    return Item(name, title, figures, words, bound, OUTSIDE, f"{title} {words}: {what}; {DOCTOR}")


def _waiting(found: Findings) -> Item:
    bound = f"in 1 of {1 / PART_WAITED:.0f} arrivals"
    figures: Figures = {"arrivals": found.arrivals, "waited": found.waited, "most_in_one": found.most}
    words = f"{found.waited} of {found.arrivals} arrivals, {found.most} readings in one at most"
    title = "readings that waited"
    if not found.arrivals or not is_real(found):
        why = "no reading came" if not found.arrivals else played(found)
        return Item("overruns", title, figures, words, bound, UNKNOWN, why)
    if found.waited <= max(ONCE, PART_WAITED * found.arrivals):
        return Item("overruns", title, figures, words, bound, GOOD)
    said = f"readings waited for one another in {words}: light came late by as much; it is the adapter's latency"
    return Item("overruns", title, figures, words, bound, OUTSIDE, f"{said} timer, or a busy computer: {DOCTOR}")


def _silence(found: Findings) -> Item:
    rate_hz = found.header["rate_mhz"] / 1000
    most_s = max(STALE_US / 1e6, GAP_PERIODS / rate_hz)
    gap_s = found.longest_gap_ns / 1e9
    bound, words = f"{ms(most_s * 1e6)}", f"{ms(gap_s * 1e6)}"
    title = "longest without a reading"
    figures: Figures = {"longest_s": gap_s}
    if gap_s <= most_s:
        return Item("gaps", title, figures, words, bound, GOOD)
    said = f"nothing came from the DAQ for {words}, and what came then was old: look at its cable, and {DOCTOR}"
    return Item("gaps", title, figures, words, bound, OUTSIDE, said)


def _heartbeat(found: Findings) -> Item:
    lease_ms = (found.header.get("limits") or {}).get("lease_ms")
    title = "longest without a heartbeat"
    if not found.heartbeat_ns or not isinstance(lease_ms, int | float) or lease_ms <= 0:
        return Item("heartbeat", title, {"longest_s": None}, "", "", UNKNOWN, "no heartbeat is on record")
    longest_us = max(found.heartbeat_ns, found.longest_gap_ns) / 1000
    figures: Figures = {"longest_s": longest_us / 1e6, "lease_s": lease_ms / 1000}
    words = ms(longest_us)
    bound = f"half of the lease, {ms(PART_OF_LEASE * lease_ms * 1000)}"
    if longest_us <= PART_OF_LEASE * lease_ms * 1000:
        return Item("heartbeat", title, figures, words, bound, GOOD)
    said = f"the stimulator had no heartbeat for {words}; after {lease_ms} ms it goes dark and trips: {DOCTOR}"
    return Item("heartbeat", title, figures, words, bound, OUTSIDE, said)


def _own_rows(found: Findings) -> Item:
    title, bound = "longest without a look at itself", ms(HEALTH_NS / 1000)
    if found.health_rows < 2:
        return Item("health", title, {"longest_s": None}, "", bound, UNKNOWN, "the recording has no rows of health")
    words = ms(found.health_gap_ns / 1000)
    figures: Figures = {"longest_s": found.health_gap_ns / 1e9, "rows": found.health_rows}
    if found.health_gap_ns <= HEALTH_NS:
        return Item("health", title, figures, words, bound, GOOD)
    said = f"the engine was held up for {words}: it was stopped, or the computer slept or was out of memory; {DOCTOR}"
    return Item("health", title, figures, words, bound, OUTSIDE, said)
