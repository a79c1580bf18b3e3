"""The self-test's steps, in order, over a `Bench`. No I/O happens here: each `yield` waits for the next turn.

Light is asked for in a few short pulses, within the limits in force. Whoever runs this must send Dark at the end,
whatever the end is.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

from closedloop import wire
from closedloop.selftest.bench import DAQ, Bench
from closedloop.selftest.record import Plan, Shot

Turns = Generator[None, None, None]
Wait = Generator[None, None, bool]
Say = Callable[[str], None]

LOOSER = wire.Limits(
    on_us=2**32 - 1,
    off_us=0,
    short_window_ms=1,
    short_on_ms=2**32 - 1,
    long_window_ms=1,
    long_on_ms=2**32 - 1,
    trains_per_minute=2**16 - 1,
    lease_ms=2**16 - 1,
    level=2**16 - 1,
)
SETTLE_S = 2.5  # for the clocks to be known
_LEVEL = 65_535 // 4
_WIDTHS_US = (5_000, 10_000, 20_000, 50_000)
_WIDTHS_READINGS = (2.5, 3.5, 4.5, 6.5)  # so that the DAQ sees each pulse in several readings
_REST_US = 300_000
_LIT_S = 0.05  # of the long train, before light is taken away
_ANSWER_S = 1.0
_READ_ONLY_S = 10.0
_OTHER_TRAINS = 2  # besides the measured ones


def plan(limits: wire.Limits, rate_hz: float, trains: int) -> Plan:
    """The light to ask for: as many trains as wished for, or as the limits allow in a minute.

    Args:
        limits: in force.
        rate_hz: readings a second.
        trains: single pulses to be measured.
    """
    reading_us = 1e6 / rate_hz
    widths = [
        min(limits.on_us, round(max(least, readings * reading_us)))
        for least, readings in zip(_WIDTHS_US, _WIDTHS_READINGS, strict=True)
    ]
    count = max(1, min(trains, limits.trains_per_minute - _OTHER_TRAINS))
    wished_us = round(2e6 * _LIT_S) + limits.lease_ms * 1500
    on_us = min(wished_us, limits.on_us)
    period_us = on_us + limits.off_us
    return Plan(
        widths_us=tuple(widths[at % len(widths)] for at in range(count)),
        level=max(1, min(_LEVEL, limits.level)),
        long_on_us=on_us,
        long_period_us=period_us,
        long_pulses=-(-wished_us // period_us),
        rest_us=max(_REST_US, limits.off_us),
    )


def procedure(bench: Bench, say: Say) -> Turns:
    """The whole self-test; where the stimulator cannot be armed, the steps that need it are left out."""
    limits, light = bench.record.limits, bench.record.plan
    if limits is None or light is None:
        say("no stimulator in this rig: readings only")
        yield from until(bench, lambda: False, _READ_ONLY_S)
    else:
        say("dark: clocks, and requests that must be refused")
        yield from until(bench, lambda: False, SETTLE_S)
        yield from _refused(bench, "disarmed", on_us=light.widths_us[0], level=light.level)
        yield from _ceiling(bench, limits)
        if (yield from armed(bench)):
            say(f"light: {len(light.widths_us)} pulses")
            yield from _pulses(bench, light)
            yield from _over_limits(bench, limits, light)
            yield from _darkened(bench, light)
        if not bench.record.trips and (yield from armed(bench)):
            say("light: heartbeats stop in mid-pulse")
            yield from _lease(bench, limits, light)
            yield from _refused(bench, "tripped", on_us=light.widths_us[0], level=light.level)
    say("dark: counting what was lost")
    yield from counted(bench)


def until(bench: Bench, holds: Callable[[], bool], within_s: float) -> Wait:
    """Let turns pass until this holds, at most so long; whether it does."""
    end_ns = bench.now_ns + round(within_s * 1e9)
    while not holds():
        if bench.now_ns >= end_ns:
            return False
        yield
    return True


def next_reading(bench: Bench) -> Wait:
    """Wait for one more reading; whether it came."""
    seen = len(bench.record.sights)
    return (yield from until(bench, lambda: len(bench.record.sights) > seen, 3.0))


def some_readings(bench: Bench, count: int) -> Wait:
    """Wait for so many more readings; whether they came."""
    wanted = len(bench.record.sights) + count
    return (
        yield from until(bench, lambda: len(bench.record.sights) >= wanted, count * bench.record.period_ns / 1e9 + 1)
    )


def _refused(bench: Bench, purpose: str, *, on_us: int, level: int) -> Turns:
    """A request that the board must refuse; if it gives light all the same, that ends at once."""
    yield from next_reading(bench)
    shot = bench.fire(purpose, on_us, level)
    yield from until(bench, lambda: shot.is_over or shot.was_lit, _ANSWER_S)
    if shot.was_lit:
        bench.say(wire.Dark())
    yield from some_readings(bench, 3)


def _ceiling(bench: Bench, limits: wire.Limits) -> Turns:
    """Limits looser than the board's own, while it is disarmed; then those of the rig again."""
    bench.limits_crc = None
    bench.say(LOOSER)
    yield from until(bench, lambda: bench.limits_crc is not None, _ANSWER_S)
    bench.record.ceiling_crc, bench.limits_crc = bench.limits_crc, None
    bench.say(limits)
    yield from until(bench, lambda: bench.limits_crc is not None, _ANSWER_S)


def armed(bench: Bench) -> Wait:
    """Ask for the stimulator to be armed; whether it is."""
    yield from next_reading(bench)
    bench.say(wire.Arm())
    return (yield from until(bench, lambda: bench.state == wire.State.ARMED, _ANSWER_S))


def _pulses(bench: Bench, light: Plan) -> Turns:
    for width_us in light.widths_us:
        yield from until(bench, lambda: False, light.rest_us / 1e6)
        yield from next_reading(bench)
        shot = bench.fire("width", width_us, light.level)
        yield from until_over(bench, shot)
        yield from some_readings(bench, 3)
        if bench.record.trips:
            return


def until_over(bench: Bench, shot: Shot, within_s: float = 2.5) -> Turns:
    """Wait for the last answer to a request."""
    yield from until(bench, lambda: shot.is_over, within_s)


def _over_limits(bench: Bench, limits: wire.Limits, light: Plan) -> Turns:
    yield from until(bench, lambda: False, light.rest_us / 1e6)
    yield from _refused(bench, "on_time", on_us=limits.on_us + 1, level=light.level)
    if limits.level < wire.CEILING.level:
        yield from until(bench, lambda: False, light.rest_us / 1e6)
        yield from _refused(bench, "level", on_us=light.widths_us[0], level=limits.level + 1)


def _long(bench: Bench, purpose: str, light: Plan) -> Generator[None, None, Shot | None]:
    """A train that is lit for a while already, or None where it was not given."""
    yield from until(bench, lambda: False, light.rest_us / 1e6)
    yield from next_reading(bench)
    period_us = light.long_period_us if light.long_pulses > 1 else 0
    shot = bench.fire(purpose, light.long_on_us, light.level, period_us=period_us, pulses=light.long_pulses)
    yield from until(bench, lambda: shot.is_over or shot.was_lit, _ANSWER_S)
    if shot.is_over or not shot.was_lit:
        return None
    yield from until(bench, lambda: False, _LIT_S)
    return None if shot.is_over else shot


def _darkened(bench: Bench, light: Plan) -> Turns:
    shot = yield from _long(bench, "dark", light)
    bench.record.dark_sent_ns = bench.say(wire.Dark())
    if shot is not None:
        yield from until_over(bench, shot)
    yield from some_readings(bench, 3)


def _lease(bench: Bench, limits: wire.Limits, light: Plan) -> Turns:
    shot = yield from _long(bench, "lease", light)
    if shot is None:
        return
    bench.record.last_heartbeat_ns, query = bench.last_heartbeat()
    yield from until(
        bench, lambda: shot.is_over and bench.reply(query) is not None, 3 * limits.lease_ms / 1e3 + _ANSWER_S
    )
    bench.record.last_heartbeat_ticks = bench.reply(query)
    bench.beats = True
    yield from some_readings(bench, 3)


def counted(bench: Bench) -> Turns:
    """Dark, the end of the stream, and what the boards counted."""
    if bench.record.limits is not None:
        bench.say(wire.Dark())
    bench.say(wire.StreamStop(), DAQ)
    yield from until(bench, lambda: bench.record.stream_end is not None, _ANSWER_S)
    for board in bench.boards:
        bench.say(wire.StatisticsQuery(), board)
    yield from until(bench, lambda: len(bench.record.statistics) == len(bench.boards), _ANSWER_S)
