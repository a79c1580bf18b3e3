"""What several tests say to a stimulator, and how a session is brought up. Nothing is judged here."""

from __future__ import annotations

from zlib import crc32

from bench import Bench

from closedloop.wire import CEILING, Arm, Fire, Limits, LimitsSet, Prepare, Prepared, Started, State, Status, pack

LEASE_S = 0.25
LIMITS = CEILING._replace(lease_ms=round(LEASE_S * 1000))
FULL = 65_535
EARLY_S = 1.1e-3  # a board takes a heartbeat to be as old as one that waited for its longest turn


def fire(train: int = 1, on_us: int = 10_000, **fields: int) -> Fire:
    """One pulse at full level, at once, unless told otherwise."""
    plain = Fire(train, on_us, 0, 1, FULL, 0, scheduled=0, start=0)
    return plain._replace(**fields)


def prepare(on_us: int = 10_000, **fields: int) -> Prepare:
    """One pulse at full level, for Begin and for the trigger line."""
    return Prepare(on_us, 0, 1, FULL, 0, by_trigger=1)._replace(**fields)


def set_limits(bench: Bench, limits: Limits = LIMITS) -> LimitsSet:
    """Set limits, and hear what is in force."""
    return bench.ask(bench.stimulator, limits, LimitsSet)


def arm(bench: Bench) -> Status:
    """Ask for arming, and hear what became of it."""
    return bench.ask(bench.stimulator, Arm(), Status)


def armed(bench: Bench, limits: Limits = LIMITS, rate_hz: float = 100.0) -> Bench:
    """The bench with readings, heartbeats, limits, and an armed stimulator."""
    bench.stream(max(rate_hz, bench.least_rate_hz))
    answer = set_limits(bench, limits)
    assert answer.crc == crc32(pack(limits))
    status = arm(bench)
    assert status.state == State.ARMED
    return bench


def prepared(bench: Bench, message: Prepare | None = None) -> Bench:
    """The bench with a train ready for the trigger line."""
    message = message or prepare()
    answer = bench.ask(bench.stimulator, message, Prepared)
    assert answer.crc == crc32(pack(message))
    return bench


def lit_by(bench: Bench, order: Fire) -> Started:
    """Give the order and wait for its first light."""
    return bench.ask(bench.stimulator, order, Started)
