"""Verdicts on what must hold for light to be under control. No I/O happens here."""

from __future__ import annotations

from zlib import crc32

from closedloop import wire
from closedloop.selftest.check import NO_CLOCK, WIRE_IT, Check, at_most, uncertain_ms, unmeasured
from closedloop.selftest.record import Record, Shot
from closedloop.selftest.sight import seen, stray

DARK_MS = 50.0
LEASE_SLACK_MS = 0.5  # of the board's ticks
DELIVERY_MS = 10.0  # of a heartbeat to the board, where only the host's clock can tell


def safety(record: Record) -> list[Check]:
    """Every check whose failing means that light is not under control; none where there is no stimulator."""
    if record.limits is None:
        return []
    return [
        _refusal(record, "disarmed", "refused while disarmed"),
        _kept_ceiling(record),
        _refusal(record, "on_time", "refused if too long"),
        *([_refusal(record, "level", "refused if too strong")] if record.limits.level < wire.CEILING.level else []),
        _dark(record),
        _lease(record, record.limits),
        _lease_seen(record, record.limits),
        _refusal(record, "tripped", "refused after the trip"),
        _trips(record),
        _stray(record),
    ]


def _refusal(record: Record, purpose: str, name: str) -> Check:
    shots = record.of(purpose)
    if not shots:
        return unmeasured(name, "not tried, because the stimulator could not be armed", safety=True)
    (shot,) = shots
    if shot.was_lit or seen(record, shot) is not None:
        return Check(name, "not ok", "light was given", safety=True)
    if shot.refused is None:
        return unmeasured(name, "the stimulator did not answer", safety=True)
    return Check(name, "ok", f"refused: {wire.named(wire.Reason, shot.refused)}", safety=True)


def _kept_ceiling(record: Record) -> Check:
    name = "limits stay under the ceiling"
    if record.ceiling_crc is None:
        return unmeasured(name, "the stimulator did not confirm its limits", safety=True)
    kept = record.ceiling_crc == crc32(wire.pack(wire.CEILING))
    said = (
        "looser ones were tightened" if kept else "the stimulator took looser limits than its ceiling, or has another"
    )
    return Check(name, "ok" if kept else "not ok", said, safety=True)


def _dark(record: Record) -> Check:
    name, shots = "dark on command", record.of("dark")
    if not shots or record.dark_sent_ns is None or not shots[0].was_lit:
        return unmeasured(name, "no light was on to be taken away", safety=True)
    (shot,) = shots
    if shot.fired is None:
        return Check(name, "not ok", "the stimulator did not say that the light went out", safety=True)
    if shot.off_ns is None:
        return unmeasured(name, f"the light went out, {NO_CLOCK}", safety=True)
    if shot.fired.reason != wire.Reason.HOST_DARK:
        return unmeasured(name, f"the light had ended before: {_ended(shot)}", safety=True)
    after_ms = (shot.off_ns - record.dark_sent_ns) / 1e6
    if after_ms < -uncertain_ms(record):  # no darkness is earlier than its cause
        return unmeasured(name, f"the light went out, {NO_CLOCK}", safety=True)
    return at_most(name, after_ms, "ms", DARK_MS, f"{after_ms:.2f} ms in mid-pulse", safety=True)


def _ended(shot: Shot) -> str:
    return wire.named(wire.Reason, shot.fired.reason) if shot.fired else "not at all"


def _lease(record: Record, limits: wire.Limits) -> Check:
    name, shots = "dark without heartbeats", record.of("lease")
    if not shots or record.last_heartbeat_ns is None:
        return unmeasured(name, "no light was on when heartbeats stopped", safety=True)
    (shot,) = shots
    if shot.fired is None:
        return Check(name, "not ok", "the light did not go out", safety=True)
    if shot.fired.reason != wire.Reason.LEASE_EXPIRED:
        return Check(name, "not ok", f"the train ended by itself: {_ended(shot)}", safety=True)
    if record.last_heartbeat_ticks is None:
        return unmeasured(name, "the stimulator did not say its time", safety=True)
    after_ms = ((shot.fired.off_ticks - record.last_heartbeat_ticks) % 2**32) / 1e3
    said = f"{after_ms:.2f} ms after the last one, lease {limits.lease_ms} ms"
    return at_most(name, after_ms, "ms", limits.lease_ms + LEASE_SLACK_MS, said, safety=True)


def _lease_seen(record: Record, limits: wire.Limits) -> Check:
    name, shots = "... seen by the DAQ", record.of("lease")
    view = seen(record, shots[0]) if shots else None
    if view is None or record.last_heartbeat_ns is None:
        return unmeasured(name, f"the DAQ saw no light; {WIRE_IT}", safety=True)
    if view.last_ns is None:
        return unmeasured(name, NO_CLOCK, safety=True)
    after_ms = (view.last_ns - record.last_heartbeat_ns) / 1e6
    limit_ms = limits.lease_ms + DELIVERY_MS + record.period_ns / 1e6
    return at_most(
        name, after_ms, "ms", round(limit_ms, 1), f"last light in the reading at {after_ms:.1f} ms", safety=True
    )


def _trips(record: Record) -> Check:
    unexpected = [reason for requests, reason in record.trips if not _expected(record, requests, reason)]
    said = ", ".join(wire.named(wire.Reason, reason) for reason in unexpected) or "none but the one provoked"
    return at_most("unexpected trips", len(unexpected), "", 0, said)


def _expected(record: Record, requests: int, reason: int) -> bool:
    return reason == wire.Reason.LEASE_EXPIRED and requests > 0 and record.shots[requests - 1].purpose == "lease"


def _stray(record: Record) -> Check:
    name, count = "light that nobody asked for", stray(record)
    if count is None:
        return unmeasured(name, f"the DAQ saw no light by its TTL copy; {WIRE_IT}", safety=True)
    return at_most(name, count, "readings", 0, f"{count} of {len(record.sights)} readings", safety=True)
