"""Light as asked for: width, trains, ramp, level, start at a tick; and each number once."""

from __future__ import annotations

from itertools import pairwise

import pytest
from commands import FULL, LEASE_S, LIMITS, armed, fire, lit_by, prepare, prepared, set_limits

from closedloop.clock import tick_difference
from closedloop.wire import Begin, ClockQuery, ClockReply, Disarm, Fired, Reason, Refused, Started

TICK_US = 1


def done(bench, train, within_s=3.0):
    """The train's end, once it is heard."""
    bench.run_until(lambda: any(f.train == train for f in bench.stimulator.all(Fired)), within_s)
    return next(f for f in bench.stimulator.all(Fired) if f.train == train)


def edge_us(bench):
    return 1e6 * bench.edge_resolution_s


@pytest.mark.parametrize("on_us", [50, 60, 75, 100, 150, 250, 1_000, 9_999, 32_767, 32_768, 40_001, 250_000, 1_000_000])
def test_a_pulse_is_as_long_as_asked(bench, on_us):
    armed(bench)
    started = lit_by(bench, fire(1, on_us))
    fired = done(bench, 1)
    if bench.sees(on_us):
        [span] = bench.spans()
        assert abs(span.width_us - on_us) <= edge_us(bench) + on_us * bench.clock_error
    assert fired == Fired(1, started.on_ticks, fired.off_ticks, 1, on_us, Reason.NONE)
    assert tick_difference(fired.off_ticks, fired.on_ticks) == on_us


def test_a_train_has_its_pulses_at_its_period(bench):
    armed(bench)
    bench.stimulator.say(fire(1, on_us=5_000, period_us=50_000, pulses=20))
    fired = done(bench, 1)
    spans = bench.spans()
    assert (fired.pulses, fired.lit_us, len(spans)) == (20, 100_000, 20)
    assert all(abs(s.width_us - 5_000) <= edge_us(bench) for s in spans)
    gaps_us = [(b.rise_s - a.rise_s) * 1e6 for a, b in pairwise(spans)]
    assert all(abs(gap - 50_000) <= edge_us(bench) + 50_000 * bench.clock_error for gap in gaps_us)


def test_a_fast_train_keeps_the_least_darkness(bench):
    armed(bench)
    bench.stimulator.say(fire(1, on_us=1_000, period_us=3_000, pulses=300))
    assert done(bench, 1).pulses == 300
    assert len(bench.spans()) == 300


def test_a_ramp_prolongs_the_light_and_falls(bench):
    armed(bench)
    lit_by(bench, fire(1, on_us=100_000, ramp_off_us=200_000))
    assert bench.level() == pytest.approx(1.0, abs=0.01)
    levels = []
    while bench.is_lit():
        bench.run(0.02)
        levels.append(bench.level())
    assert done(bench, 1).lit_us == 300_000
    [span] = bench.spans()
    assert abs(span.width_us - 300_000) <= edge_us(bench)
    falling = levels[4:-1]
    assert all(a >= b for a, b in pairwise(levels))
    assert len({round(level, 2) for level in falling}) > 6
    assert levels[-1] == 0.0


def test_the_level_is_as_asked_and_nothing_in_the_dark(bench):
    armed(bench)
    for train, level in enumerate((FULL, FULL // 2, FULL // 8), 1):
        lit_by(bench, fire(train, on_us=20_000, level=level))
        assert bench.level() == pytest.approx(level / FULL, abs=0.01)
        done(bench, train)
        assert bench.level() == 0.0
        bench.run(0.05)


def test_a_scheduled_train_starts_at_its_tick(bench):
    armed(bench)
    now = bench.ask(bench.stimulator, ClockQuery(1), ClockReply)
    for train, ahead_us in enumerate((10_000, 40_000, 333_333), 1):
        now = bench.ask(bench.stimulator, ClockQuery(train), ClockReply)
        start = (now.ticks + ahead_us) % (1 << 32)
        bench.stimulator.say(fire(train, on_us=5_000, scheduled=1, start=start))
        fired = done(bench, train)
        assert fired.on_ticks == start
        bench.run(0.02)
    first, second = bench.spans()[0], bench.spans()[1]
    ticks = [f.on_ticks for f in bench.stimulator.all(Fired)]
    apart_us = (second.rise_s - first.rise_s) * 1e6
    assert abs(apart_us - tick_difference(ticks[1], ticks[0])) <= edge_us(bench) + TICK_US


def test_a_late_start_is_refused_and_never_run(bench):
    armed(bench)
    now = bench.ask(bench.stimulator, ClockQuery(1), ClockReply)
    for train, behind_us in enumerate((1, 1_000, 2_000_000, 1 << 30), 1):
        start = (now.ticks - behind_us) % (1 << 32)
        answer = bench.ask(bench.stimulator, fire(train, scheduled=1, start=start), Refused)
        assert answer == Refused(train, Reason.LATE)
    bench.run(LEASE_S)
    assert bench.light() == []


def test_a_command_that_comes_twice_lights_once_and_is_answered_twice(bench):
    armed(bench)
    bench.stimulator.say(fire(1), fire(1))
    first = done(bench, 1)
    bench.stimulator.say(fire(1))
    bench.run_until(lambda: len(bench.stimulator.all(Fired)) == 2, 1.0)
    assert bench.stimulator.all(Fired) == [first, first]
    assert len(bench.spans()) == 1


def test_the_prepared_train_begins_under_its_number_once(bench):
    prepared(armed(bench), prepare(on_us=4_000, pulses=3, period_us=20_000))
    bench.stimulator.say(Begin(1), Begin(1))
    fired = done(bench, 1)
    assert (fired.pulses, fired.lit_us) == (3, 12_000)
    bench.stimulator.say(Begin(1))
    bench.run_until(lambda: len(bench.stimulator.all(Fired)) == 2, 1.0)
    assert bench.stimulator.all(Fired) == [fired, fired]
    assert len(bench.spans()) == 3
    bench.run(0.02)
    bench.stimulator.say(Begin(2))
    assert done(bench, 2).pulses == 3


def test_begin_without_a_prepared_train_is_refused(bench):
    armed(bench)
    assert bench.ask(bench.stimulator, Begin(1), Refused) == Refused(1, Reason.BAD_REQUEST)
    bench.run(0.1)
    assert bench.light() == []


def test_a_refused_number_stays_refused(bench):
    set_limits(bench)
    refused = bench.ask(bench.stimulator, fire(1), Refused)
    armed(bench, LIMITS._replace(lease_ms=200))
    assert refused == Refused(1, Reason.NOT_ARMED)
    again = bench.ask(bench.stimulator, fire(2, on_us=2_000_000), Refused)
    assert again == Refused(2, Reason.ON_TIME)
    assert bench.ask(bench.stimulator, fire(2, on_us=1_000), Refused) == again
    assert bench.light() == []


def test_an_older_number_never_lights(bench):
    armed(bench)
    bench.stimulator.say(fire(50))
    done(bench, 50)
    bench.run(0.05)
    for train in (49, 1, 0, 50):
        bench.stimulator.say(fire(train, on_us=2_000))
        bench.run(0.05)
    assert len(bench.spans()) == 1
    bench.stimulator.say(fire(51))
    assert done(bench, 51).pulses == 1


def test_numbers_begin_anew_with_a_new_session(bench):
    armed(bench)
    bench.stimulator.say(fire(7))
    done(bench, 7)
    bench.stimulator.say(Disarm())
    set_limits(bench)
    armed(bench)
    bench.stimulator.say(fire(1))
    bench.run_until(lambda: len(bench.stimulator.all(Fired)) == 2, 1.0)
    assert bench.stimulator.last(Fired).train == 1


def test_every_train_is_announced_before_it_is_reported(bench):
    armed(bench)
    for train in range(1, 6):
        bench.stimulator.say(fire(train, on_us=3_000))
        bench.run(0.05)
    kinds = [type(h.message) for h in bench.stimulator.heard if isinstance(h.message, Started | Fired)]
    assert kinds == [Started, Fired] * 5
