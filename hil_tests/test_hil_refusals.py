"""Every reason for which a board refuses light, each met once; and limits that nobody can loosen."""

from __future__ import annotations

from zlib import crc32

import pytest
from commands import FULL, LIMITS, arm, armed, fire, lit_by, prepare, set_limits

from closedloop.wire import (
    CEILING,
    ON_BOARD_TRAIN,
    Arm,
    ClockQuery,
    ClockReply,
    Disarm,
    Fired,
    Limits,
    LimitsSet,
    Prepared,
    Reason,
    Refused,
    State,
    Status,
    pack,
)

HUGE = Limits(*(2**32 - 1,) * 6, *(2**16 - 1,) * 3)._replace(off_us=0)


def refused(bench, order):
    """The reason given; and no light came of it."""
    before = len(bench.light())
    answer = bench.ask(bench.stimulator, order, Refused)
    assert answer.train == order.train
    bench.run(0.02)
    assert len(bench.light()) == before
    return Reason(answer.reason)


def given(bench, order):
    bench.stimulator.say(order)
    bench.run_until(lambda: any(f.train == order.train for f in bench.stimulator.all(Fired)), 3.0)


MALFORMED = {
    "no on-time": {"on_us": 0},
    "shorter than an edge can follow": {"on_us": 49},
    "no pulses": {"pulses": 0},
    "no level": {"level": 0},
    "period as long as the light": {"pulses": 2, "period_us": 10_000},
    "no period": {"pulses": 2, "period_us": 0},
    "less darkness than the least between pulses": {"pulses": 2, "period_us": 11_999},
    "longer than ticks can tell": {"pulses": 65_535, "period_us": 40_000},
    "all bits": {"on_us": 2**32 - 1, "period_us": 2**32 - 1, "pulses": 65_535, "ramp_off_us": 2**32 - 1},
    "scheduled is neither 0 nor 1": {"scheduled": 2},
}


@pytest.mark.parametrize("fields", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_train_is_refused(bench, fields):
    armed(bench)
    assert refused(bench, fire(1)._replace(**fields)) in {Reason.BAD_REQUEST, Reason.ON_TIME}
    given(bench, fire(2))


def test_a_number_of_the_boards_own_is_refused(bench):
    armed(bench)
    assert refused(bench, fire(ON_BOARD_TRAIN)) is Reason.BAD_REQUEST
    assert refused(bench, fire(2**32 - 1)) is Reason.BAD_REQUEST
    given(bench, fire(1))


@pytest.mark.parametrize(
    "fields", [{"on_us": 100_001}, {"on_us": 90_000, "ramp_off_us": 10_001}, {"on_us": 100, "ramp_off_us": 2**32 - 50}]
)
def test_longer_than_the_longest_is_refused_ramp_included(bench, fields):
    armed(bench, LIMITS._replace(on_us=100_000))
    assert refused(bench, fire(1, **fields)) is Reason.ON_TIME


def test_too_soon_after_the_last_light_is_refused(bench):
    armed(bench, LIMITS._replace(off_us=200_000))
    bench.run(0.2)  # a board that has just started has rested for 2 ms only, as far as it knows
    given(bench, fire(1))
    assert refused(bench, fire(2)) is Reason.OFF_TIME
    bench.run(0.2)
    given(bench, fire(3))


def test_brighter_than_allowed_is_refused(bench):
    armed(bench, LIMITS._replace(level=FULL // 4))
    assert refused(bench, fire(1, level=FULL // 4 + 1)) is Reason.LEVEL
    given(bench, fire(2, level=FULL // 4))


def test_busy_while_a_train_runs_or_waits(bench):
    armed(bench)
    lit_by(bench, fire(1, on_us=200_000))
    answer = bench.ask(bench.stimulator, fire(2), Refused)
    assert answer == Refused(2, Reason.BUSY)


def test_the_short_window_is_kept(bench):
    armed(bench, LIMITS._replace(short_on_ms=100))
    given(bench, fire(1, on_us=60_000))
    bench.run(0.1)
    assert refused(bench, fire(2, on_us=40_001)) is Reason.DUTY_SHORT
    given(bench, fire(3, on_us=40_000))
    bench.run(0.1)
    assert refused(bench, fire(4, on_us=50)) is Reason.DUTY_SHORT


def test_a_train_that_would_exceed_it_is_refused_as_a_whole(bench):
    armed(bench, LIMITS._replace(short_on_ms=100))
    assert refused(bench, fire(1, on_us=10_000, period_us=50_000, pulses=11)) is Reason.DUTY_SHORT


def test_the_long_window_is_kept(bench):
    armed(bench, LIMITS._replace(long_on_ms=100))
    given(bench, fire(1, on_us=60_000))
    bench.run(0.1)
    assert refused(bench, fire(2, on_us=40_001)) is Reason.DUTY_LONG


def test_trains_a_minute_are_counted(bench):
    armed(bench, LIMITS._replace(trains_per_minute=3))
    for train in (1, 2, 3):
        given(bench, fire(train, on_us=1_000))
        bench.run(0.02)
    assert refused(bench, fire(4, on_us=1_000)) is Reason.TRAIN_RATE


def test_the_dose_outlives_a_new_session(bench):
    armed(bench, LIMITS._replace(short_on_ms=100))
    given(bench, fire(1, on_us=80_000))
    bench.stimulator.say(Disarm())
    bench.run(0.05)
    armed(bench, LIMITS._replace(short_on_ms=100))
    assert refused(bench, fire(1, on_us=30_000)) is Reason.DUTY_SHORT


def test_an_open_interlock_refuses_arming_and_light(bench):
    bench.stream()
    set_limits(bench)
    bench.set_interlock(closed=False)
    bench.run(0.05)
    status = bench.ask(bench.stimulator, Arm(), Status)
    assert status.state != State.ARMED
    assert status.reason == Reason.INTERLOCK_OPEN
    assert refused(bench, fire(1)) is Reason.INTERLOCK_OPEN


def test_a_shut_gate_refuses_light_and_trips_nothing(bench):
    armed(bench)
    bench.set_gate(is_open=False)
    bench.run(0.02)
    assert refused(bench, fire(1)) is Reason.GATE_CLOSED
    bench.set_gate(is_open=True)
    bench.run(0.02)
    given(bench, fire(2))


def test_far_ahead_is_refused(bench):
    armed(bench)
    now = bench.ask(bench.stimulator, ClockQuery(1), ClockReply)
    start = (now.ticks + 10_500_000) % (1 << 32)
    assert refused(bench, fire(1, scheduled=1, start=start)) is Reason.BAD_REQUEST


@pytest.mark.parametrize("wanted", [HUGE, CEILING, CEILING._replace(on_us=5_000_000, lease_ms=60_000, off_us=0)])
def test_limits_that_exceed_the_ceiling_become_the_ceiling(bench, wanted):
    answer = set_limits(bench, wanted)
    assert answer == LimitsSet(crc32(pack(CEILING)))
    bench.stream()
    assert arm(bench).state == State.ARMED
    assert refused(bench, fire(1, on_us=1_000_001)) is Reason.ON_TIME
    given(bench, fire(2, on_us=1_000_000))


def test_the_lease_never_exceeds_the_ceiling(bench):
    set_limits(bench, HUGE)
    bench.stream()
    assert arm(bench).state == State.ARMED
    lit_by(bench, fire(1, on_us=1_000_000))
    bench.heartbeats = False
    bench.run(0.7)
    assert not bench.is_lit()
    assert bench.spans()[0].width_us < 1e6 * (CEILING.lease_ms / 1e3 + bench.command_s)


def test_limits_sent_while_armed_change_nothing(bench):
    tight = LIMITS._replace(on_us=50_000)
    armed(bench, tight)
    assert set_limits(bench, CEILING) == LimitsSet(crc32(pack(tight)))
    assert refused(bench, fire(1, on_us=50_001)) is Reason.ON_TIME


def test_the_last_of_many_limits_said_while_disarmed_is_in_force(bench):
    for on_us in (10_000, 200_000, 30_000):
        limits = LIMITS._replace(on_us=on_us)
        assert set_limits(bench, limits) == LimitsSet(crc32(pack(limits)))
    bench.stream()
    assert arm(bench).state == State.ARMED
    assert refused(bench, fire(1, on_us=30_001)) is Reason.ON_TIME


def test_a_lease_of_nothing_never_arms(bench):
    bench.stream()
    set_limits(bench, LIMITS._replace(lease_ms=0))
    assert arm(bench).state == State.DISARMED


def test_the_trigger_is_refused_by_the_same_limits(bench):
    armed(bench, LIMITS._replace(on_us=10_000))
    bench.ask(bench.stimulator, prepare(on_us=10_001), Prepared)
    bench.pull_trigger()
    bench.run_until(lambda: bench.stimulator.last(Refused), 1.0)
    assert bench.stimulator.last(Refused) == Refused(ON_BOARD_TRAIN + 1, Reason.ON_TIME)
    bench.run(0.1)
    assert bench.light() == []
