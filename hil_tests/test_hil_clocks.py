"""Clocks that are off, and every counter of time at its wrap: 32 bits of ticks, 16 bits of timer."""

from __future__ import annotations

import pytest
from commands import EARLY_S, LEASE_S, armed, fire, lit_by

from closedloop.clock import ClockFit, tick_difference
from closedloop.wire import (
    ClockQuery,
    ClockReply,
    Fired,
    Heartbeat,
    Reading,
    Reason,
    Trip,
)


@pytest.mark.parametrize(("daq_ppm", "stimulator_ppm"), [(200, -200), (-200, 200)])
@pytest.mark.backends("mock", "emulated-uno")
def test_clocks_that_are_off_by_200_ppm_change_no_limit_and_are_measured(make_bench, daq_ppm, stimulator_ppm):
    bench = make_bench(daq_ppm=daq_ppm, stimulator_ppm=stimulator_ppm)
    armed(bench)
    lit_by(bench, fire(1, on_us=1_000_000))
    bench.run(1.5)
    [span] = bench.spans()
    assert abs(span.width_us - 1_000_000 / (1 + stimulator_ppm / 1e6)) < 2
    assert bench.stimulator.last(Fired).lit_us == 1_000_000
    assert not bench.stimulator.all(Trip)
    measured = _ppm(bench, bench.stimulator, 10) - _ppm(bench, bench.daq, 10)
    assert measured == pytest.approx(stimulator_ppm - daq_ppm, abs=60)


def _ppm(bench, line, seconds):
    """How far a board's ticks run ahead of the bench's time, in parts per million."""
    first = bench.ask(line, ClockQuery(1), ClockReply)
    since_s = bench.now_s
    bench.run(seconds)
    last = bench.ask(line, ClockQuery(2), ClockReply)
    return 1e6 * (tick_difference(last.ticks, first.ticks) / 1e6 / (bench.now_s - since_s) - 1)


def test_every_counter_of_time_may_wrap_in_mid_train(bench):
    bench.near_wrap(in_s=1.0)
    armed(bench, rate_hz=500)
    bench.stimulator.say(fire(1, on_us=30_000, period_us=70_000, pulses=25))
    bench.run(2.2)
    spans = bench.spans()
    assert len(spans) == 25
    assert all(abs(s.width_us - 30_000) <= 1e6 * bench.edge_resolution_s for s in spans)
    fired = bench.stimulator.last(Fired)
    assert fired.off_ticks < fired.on_ticks
    assert (fired.pulses, fired.lit_us, fired.reason) == (25, 750_000, Reason.NONE)
    readings = bench.daq.all(Reading)
    assert [r.seq for r in readings] == list(range(len(readings)))
    assert readings[-1].ticks < readings[0].ticks
    assert not bench.stimulator.all(Trip)


@pytest.mark.parametrize("ahead_us", [900_000, 1_000_000, 1_010_000, 1_100_000])
def test_a_start_on_the_far_side_of_the_wrap_is_exact(bench, ahead_us):
    bench.near_wrap(in_s=1.0)
    armed(bench)
    now = bench.ask(bench.stimulator, ClockQuery(1), ClockReply)
    start = (now.ticks + ahead_us) % (1 << 32)
    bench.stimulator.say(fire(1, on_us=20_000, scheduled=1, start=start))
    bench.run(1.4)
    assert bench.stimulator.last(Fired).on_ticks == start
    assert abs(bench.spans()[0].width_us - 20_000) <= 1e6 * bench.edge_resolution_s


@pytest.mark.parametrize("in_s", [0.1, 0.3])
def test_the_lease_ends_at_its_time_across_the_wrap(bench, in_s):
    bench.near_wrap(in_s=in_s)
    armed(bench)
    bench.heartbeats = False
    bench.stimulator.say(Heartbeat(1))
    beaten_s = bench.now_s
    bench.stimulator.say(fire(1, on_us=1_000_000))
    bench.run(0.5)
    [span] = bench.spans()
    assert LEASE_S - EARLY_S <= span.fall_s - beaten_s <= LEASE_S + bench.command_s


@pytest.mark.backends("mock", "emulated-uno")
def test_pulses_across_each_of_a_thousand_overflows_of_the_timer_are_exact(bench):
    """The timer of 16 bits overflows every 32.768 ms; a period near that walks through every phase of it."""
    armed(bench)
    bench.stimulator.say(fire(1, on_us=2_000, period_us=32_801, pulses=1000))
    bench.run(34)
    spans = bench.spans()
    assert len(spans) == 1000
    assert all(abs(s.width_us - 2_000) <= 1e6 * bench.edge_resolution_s for s in spans)
    assert bench.stimulator.last(Fired).lit_us == 2_000_000


def test_the_clocks_of_both_boards_are_fitted_to_the_hosts(bench):
    fit = ClockFit()
    for query in range(5):
        asked_s = bench.now_s
        reply = bench.ask(bench.stimulator, ClockQuery(query), ClockReply)
        fit.add(round(asked_s * 1e9), round(bench.now_s * 1e9), reply.ticks)
        bench.run(0.5)
    reply = bench.ask(bench.stimulator, ClockQuery(9), ClockReply)
    error_ns = abs(fit.host_ns(reply.ticks) - bench.now_s * 1e9)
    assert error_ns < 1e9 * (2 * bench.step_s + bench.command_s)
