"""Figures in groups, as the numbers of a session are shown; and those of how the loop is now. It counts nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from closedloop.dashboard.readout import amounts
from closedloop.watching.auditing import Findings
from closedloop.watching.auditing.findings import LATE_US
from closedloop.watching.auditing.item import (
    DRIFT_PPM,
    ONCE,
    PART_WAITED,
    RESIDUAL_US,
    STALE_US,
    UNCERTAIN_US,
)

_BOARDS = ("daq", "stimulator")
_NAMES = {"daq": "DAQ"}


class Figure(NamedTuple):
    """One number: what it is, and how much in words. `tone` (warn, danger) where it should be looked at."""

    name: str
    words: str
    tone: str = ""


class Group(NamedTuple):
    """Figures under one heading."""

    title: str
    figures: tuple[Figure, ...]


def loop_groups(findings: Findings) -> Iterator[Group]:
    """How the loop and its clocks are now, each figure by the bound that the session's audit has for it."""
    row = None if findings.health is None else findings.health[0]
    yield Group("LOOP", tuple(_loop(findings, row)))
    boards = [board for board in _BOARDS if board in (findings.header.get("boards") or {})]
    for board in boards:
        yield Group(f"CLOCK OF THE {board.upper()}", tuple(_clock(board, row)))
    if not boards:
        yield Group("CLOCKS", (Figure("boards", "not told"),))


def _loop(findings: Findings, row: Any) -> Iterator[Figure]:
    age_us = _field(row, "age_us")
    yield Figure("reading age", amounts.micros(age_us), _tone(age_us, LATE_US, STALE_US))
    if not findings.blinded:  # light makes a turn longer
        turn_us = _field(row, "turn_us")
        yield Figure("longest turn", amounts.micros(turn_us), _tone(turn_us, LATE_US, STALE_US))
    often = findings.waited > max(ONCE, PART_WAITED * findings.arrivals)
    yield Figure("arrivals that waited", amounts.whole(findings.waited), "warn" if often else "")
    steps = findings.clock_steps
    yield Figure("clock jumps", amounts.whole(steps), "warn" if steps else "")


def _clock(board: str, row: Any) -> Iterator[Figure]:
    residual_us, uncertainty_us = _field(row, f"{board}_residual_us"), _field(row, f"{board}_uncertainty_us")
    drift_ppm = _field(row, f"{board}_drift_ppm")
    yield Figure("residual", amounts.micros(residual_us), _tone(residual_us, RESIDUAL_US))
    yield Figure("uncertainty", amounts.micros(uncertainty_us), _tone(uncertainty_us, UNCERTAIN_US))
    yield Figure("drift", _ppm(drift_ppm), _tone(drift_ppm, DRIFT_PPM))


def _ppm(value: float) -> str:
    return f"{value:+.1f} ppm" if math.isfinite(value) else amounts.UNKNOWN


def _field(row: Any, name: str) -> float:
    """Of a row of health; nan where there is none, or it is older than the field."""
    return float(row[name]) if row is not None and name in row.dtype.names else math.nan


def _tone(value: float, warn: float, danger: float = math.inf) -> str:
    """By its bounds; what is unknown needs no look."""
    size = abs(value)
    return "danger" if size > danger else "warn" if size > warn else ""
