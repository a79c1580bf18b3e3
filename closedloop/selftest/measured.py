"""Verdicts on readings, clocks, latencies and pulse widths. No I/O happens here."""

from __future__ import annotations

import math
from collections.abc import Sequence

from closedloop import wire
from closedloop.clock import tick_difference
from closedloop.selftest.bench import DAQ, STIMULATOR
from closedloop.selftest.check import NO_CLOCK, WIRE_IT, Check, at_most, uncertain_ms, unmeasured
from closedloop.selftest.record import Record, Shot
from closedloop.selftest.sight import Seen, seen

COMMAND_TO_LIGHT_MS = 10.0
READING_TO_LIGHT_MS = 15.0
WIDTH_US = 4.0
RATE_PERCENT = 1.0
CLOCK_PPM = 5000.0  # what a session can follow without taking readings for late
RATIO_PPM = 10_000.0  # two ceramic resonators, 0.5 % each
_READINGS_TOO_MANY = 2.1  # a reading is lit that saw any light: one more at each end, of a pulse that is not too long
_SHARE = 0.95  # latencies are judged by this quantile


def measured(record: Record) -> list[Check]:
    """Every check but those of safety."""
    return [*_stream(record), *_clocks(record), *_latencies(record), *_widths(record)]


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that so many of them do not exceed; nan of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


# What comes in


def _stream(record: Record) -> list[Check]:
    if not record.sights:
        return [unmeasured("readings", "no reading came")]
    return [_losses(record), _rate(record)]


def _losses(record: Record) -> Check:
    name, end = "readings", record.stream_end
    if end is None:
        return unmeasured(name, f"{len(record.sights)} came, and the DAQ did not say how many it sent")
    dropped_conversions = sum(bool(sight.flags & wire.Flag.DROPPED_CONVERSIONS) for sight in record.sights)
    counts = {
        "missing": end.sent + end.dropped - len(record.sights),
        "with dropped conversions": dropped_conversions,
        "damaged frames to the host": record.damaged,
        "damaged frames to the boards": sum(s.damaged_frames for s in record.statistics.values()),
        "overruns": sum(s.overruns for s in record.statistics.values()),
    }
    said = ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "none missing"
    return at_most(name, sum(abs(n) for n in counts.values()), "", 0, f"{len(record.sights)} received, {said}")


def _rate(record: Record) -> Check:
    first, last = record.sights[0], record.sights[-1]
    if DAQ not in record.ppm or last.seq == first.seq:
        return unmeasured("reading rate", NO_CLOCK)
    took_s = tick_difference(last.ticks, first.ticks) / 1e6 / (1 + record.ppm[DAQ] / 1e6)
    rate_hz, asked_hz = (last.seq - first.seq) / took_s, record.asked_rate_hz
    said = f"{rate_hz:.3f} a second by this computer's clock, asked for {asked_hz:g}"
    return at_most("reading rate", (rate_hz / asked_hz - 1) * 100, "%", RATE_PERCENT, said)


def _clocks(record: Record) -> list[Check]:
    found = []
    ppm = record.ppm
    if DAQ in ppm:
        found.append(
            at_most("DAQ's clock", ppm[DAQ], "ppm", CLOCK_PPM, f"{round(ppm[DAQ]):+d} ppm against this computer's")
        )
    else:
        found.append(unmeasured("DAQ's clock", NO_CLOCK))
    if record.limits is None or record.is_one_board:
        return found
    if {DAQ, STIMULATOR} <= set(ppm):
        ratio = ppm[STIMULATOR] - ppm[DAQ]
        found.append(
            at_most("clock ratio", ratio, "ppm", RATIO_PPM, f"stimulator {round(ratio):+d} ppm against the DAQ")
        )
    else:
        found.append(unmeasured("clock ratio", NO_CLOCK))
    return found


# How soon, and how long


def _latencies(record: Record) -> list[Check]:
    if record.limits is None:
        return [unmeasured("light", "the rig has no stimulator")]
    shots = record.of("width")
    given = [shot for shot in shots if shot.was_lit]
    if not given:
        return [unmeasured("light", _why_dark(record, shots))]
    uncertain = uncertain_ms(record)
    board = [(shot.on_ns - shot.sent_ns) / 1e6 for shot in given if shot.on_ns is not None]
    from_reading = [
        (shot.on_ns - shot.reading.host_ns) / 1e6
        for shot in given
        if shot.on_ns is not None and shot.reading is not None and shot.reading.host_ns is not None
    ]
    return [
        _given(shots, given),
        _spread("command to light", board, COMMAND_TO_LIGHT_MS, uncertain),
        _spread("reading to light", from_reading, READING_TO_LIGHT_MS, 2 * uncertain),
        _by_daq(record, given),
    ]


def _given(shots: list[Shot], given: list[Shot]) -> Check:
    refused = ", ".join({wire.named(wire.Reason, shot.refused) for shot in shots if shot.refused is not None})
    said = f"{len(given)} of {len(shots)} pulses given" + (f"; refused: {refused}" if refused else "")
    return at_most("light", len(shots) - len(given), "missing", 0, said)


def _why_dark(record: Record, shots: list[Shot]) -> str:
    if record.trips:
        return f"the stimulator tripped: {wire.named(wire.Reason, record.trips[0][1])}"
    reasons = {wire.named(wire.Reason, shot.refused) for shot in shots if shot.refused is not None}
    reasons |= {wire.named(wire.Reason, why) for state, why in record.states if state != wire.State.ARMED and why}
    said = ", ".join(sorted(reasons)) or "no answer"
    hint = "; close the interlock" if "interlock_open" in reasons else ""
    hint = (
        "; wait ten minutes, the board has given its dose"
        if reasons & {"train_rate", "duty_short", "duty_long"}
        else hint
    )
    return f"no light was given: {said}{hint}"


def _spread(name: str, values_ms: list[float], limit_ms: float, uncertain_ms: float, more: str = "") -> Check:
    if not values_ms:
        return unmeasured(name, NO_CLOCK)
    if min(values_ms) < -uncertain_ms:  # no light is earlier than its cause
        return unmeasured(name, NO_CLOCK)
    most = quantile(values_ms, _SHARE)
    said = f"{quantile(values_ms, 0.5):.2f} ms median, {most:.2f} ms at 95 %, {max(values_ms):.2f} ms at most"
    return at_most(name, most, "ms", limit_ms, f"{said}{more}, good to {uncertain_ms:.2f} ms")


def _by_daq(record: Record, given: list[Shot]) -> Check:
    name = "light, seen by the DAQ"
    by_shot = [seen(record, shot) for shot in given]
    views = [view for view in by_shot if view is not None]
    if not views:
        return unmeasured(name, f"the DAQ saw no light; {WIRE_IT}")
    pairs = [(shot, view) for shot, view in zip(given, by_shot, strict=True) if view is not None]
    late_ms = [(view.first_ns - shot.sent_ns) / 1e6 for shot, view in pairs if view.first_ns is not None]
    limit_ms = round(COMMAND_TO_LIGHT_MS + 2 * record.period_ns / 1e6, 1)
    readings = quantile([float(view.readings_until) for view in views], 0.5)
    by = "its TTL copy" if views[0].by_flag else "the photodetector"
    said = f"{len(views)} of {len(given)} by {by}, in reading {readings:.0f}"
    if len(views) < len(given):
        return Check(name, "not ok", said, len(given) - len(views), "missing", 0)
    return _spread(name, late_ms, limit_ms, uncertain_ms(record), f"; {said}")


def _widths(record: Record) -> list[Check]:
    if record.limits is None:
        return []
    fired = [(shot, shot.fired) for shot in record.of("width") if shot.fired is not None and shot.fired.reason == 0]
    if not fired:
        return [unmeasured("pulse width", "no pulse was given to its end")]
    errors_us = [(fire.off_ticks - fire.on_ticks) % 2**32 - shot.on_us for shot, fire in fired]
    worst = max(errors_us, key=abs)
    said = f"{worst:+d} us at worst of {len(fired)}, by the board's own ticks"
    return [at_most("pulse width", worst, "us", WIDTH_US, said), _widths_seen(record, [shot for shot, _ in fired])]


def _widths_seen(record: Record, shots: list[Shot]) -> Check:
    name = "pulse width, seen by the DAQ"
    pairs = [(shot, view) for shot in shots if (view := seen(record, shot)) is not None]
    if not pairs:
        return unmeasured(name, f"the DAQ saw no light; {WIRE_IT}")
    period_ms = record.period_ns / 1e6
    worst = max((width_error_ms(record, shot, view) for shot, view in pairs), key=abs)
    said = f"{worst:+.2f} ms at worst of {len(pairs)}, in steps of one reading"
    return at_most(name, worst, "ms", round(_READINGS_TOO_MANY * period_ms, 2), said)


def width_error_ms(record: Record, shot: Shot, view: Seen) -> float:
    """By how much the readings that saw this pulse are longer or shorter than it."""
    return view.lit_readings * record.period_ns / 1e6 - shot.on_us / 1e3
