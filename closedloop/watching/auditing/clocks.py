"""Whether moments can be believed: boards' clocks against the computer's, and the wall clock."""

from __future__ import annotations

import math
from collections.abc import Iterator

from closedloop.watching.auditing.findings import DAQ, STIMULATOR, Clock, Findings
from closedloop.watching.auditing.item import (
    DOCTOR,
    DRIFT_PPM,
    GOOD,
    OLDER,
    OUTSIDE,
    RESIDUAL_US,
    UNCERTAIN_US,
    UNKNOWN,
    Closed,
    Figures,
    Item,
    is_real,
    known,
    ms,
    none_of,
    often,
    played,
)


def certainty(found: Findings, _: Closed) -> Iterator[Item]:
    """How well it is known when something was."""
    yield _drift(found)
    boards = found.header.get("boards") or {}
    for board in (DAQ, STIMULATOR):
        if board in boards:
            yield _clock(board, found.clocks[board])
    steps = found.clock_steps
    said = f"a board's clock jumped {often(steps)}, or this computer slept: times across the jump are wrong by as much"
    yield none_of(
        "clock_steps", "jumps of a board's clock", steps, f"{said}; keep it awake, and look at boards' supplies"
    )
    yield _wall(found)


def _drift(found: Findings) -> Item:
    ppm = found.line.ppm if is_real(found) else math.nan
    fitted = found.clocks[DAQ].drift_ppm
    title, bound = "DAQ's clock against the computer's", f"{DRIFT_PPM:g} ppm"
    figures: Figures = {"arrivals_ppm": known(ppm), "answers_ppm": known(fitted)}
    if math.isnan(ppm):
        why = "less than 10 s of readings" if is_real(found) else played(found)
        return Item("drift", title, figures, "", bound, UNKNOWN, why)
    words = f"{ppm:+.0f} ppm by arrivals" + ("" if math.isnan(fitted) else f", {fitted:+.0f} ppm by its answers")
    if max(abs(ppm), 0.0 if math.isnan(fitted) else abs(fitted)) <= DRIFT_PPM:
        return Item("drift", title, figures, words, bound, GOOD)
    apart_s = abs(ppm) * 3600 / 1e6
    said = f"the DAQ's clock and this computer's differ by {words}, {apart_s:.1f} s an hour: it has a ceramic resonator"
    said += ", or a clock was set or stopped; beside another device use a shared pulse (docs/boards.md)"
    return Item("drift", title, figures, words, bound, OUTSIDE, said)


def _clock(board: str, clock: Clock) -> Item:
    title = f"{board}'s clock" if board != DAQ else "DAQ's clock"
    bound = f"median residual within {ms(RESIDUAL_US)}, uncertainty within {ms(UNCERTAIN_US)}"
    residual, uncertainty = clock.residual, clock.uncertainty
    figures: Figures = {
        "residual_p50_us": known(residual.p50),
        "residual_max_us": known(residual.max),
        "uncertainty_p50_us": known(uncertainty.p50),
        "uncertainty_max_us": known(uncertainty.max),
        "round_trip_p50_us": known(clock.round_trip.p50),
        "drift_ppm": known(clock.drift_ppm),
    }
    name = f"clock_{board}"
    if not residual.n:
        return Item(name, title, figures, "", bound, UNKNOWN, "its clock was not asked often enough")
    words = f"residual {ms(residual.p50)} median, {ms(residual.max)} at most"
    words += f"; uncertainty {ms(uncertainty.p50)}" if uncertainty.n else ""
    off = residual.p50 > RESIDUAL_US or (uncertainty.n > 0 and uncertainty.p50 > UNCERTAIN_US)
    if not off:
        return Item(name, title, figures, words, bound, GOOD)
    said = f"the {title} is badly known ({words}): moments of light are as uncertain; its answers are slow or uneven"
    return Item(name, title, figures, words, bound, OUTSIDE, f"{said}: {DOCTOR}")


def _wall(found: Findings) -> Item:
    title, bound = "wall clock set", "not during a session"
    figures: Figures = {"steps": found.wall_steps, "largest_s": found.wall_step_ns / 1e9}
    if found.health is None or "wall_offset_ns" not in (found.health.dtype.names or ()):
        return Item("wall_clock", title, {"steps": None, "largest_s": None}, "", bound, UNKNOWN, OLDER)
    words = often(found.wall_steps) + (f", by {ms(found.wall_step_ns / 1000)} at most" if found.wall_steps else "")
    if not found.wall_steps:
        return Item("wall_clock", title, figures, words, bound, GOOD)
    said = f"this computer's wall clock was set {words}: no time in this recording is touched, but programs that stamp"
    said += " by the wall clock no longer agree with it; let the clock be kept by NTP, before a session"
    return Item("wall_clock", title, figures, words, bound, OUTSIDE, said)
