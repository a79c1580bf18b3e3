"""The DAQ's stream: every reading numbered and on time, what is lost counted, what can't be carried refused."""

from __future__ import annotations

from itertools import pairwise

import pytest
from commands import armed, fire, lit_by

from closedloop.clock import tick_difference
from closedloop.wire import (
    Flag,
    Reading,
    Statistics,
    StatisticsQuery,
    StreamEnd,
    StreamRefused,
    StreamSettings,
    StreamStart,
    StreamStop,
)


def end_of(bench):
    return bench.ask(bench.daq, StreamStop(), StreamEnd)


@pytest.mark.parametrize("rate_hz", [10, 100, 130, 250, 500, 1000])
def test_readings_come_without_a_gap_at_the_rate_that_was_said(bench, rate_hz):
    settings = bench.stream(rate_hz)
    assert abs(settings.rate_mhz - 1000 * rate_hz) <= settings.rate_mhz / 1000
    bench.run(1.0)
    end = end_of(bench)
    readings = bench.daq.all(Reading)
    assert [r.seq for r in readings] == list(range(len(readings)))
    assert (end.sent, end.dropped) == (len(readings), 0)
    assert len(readings) >= rate_hz - 3
    period_us = 1e9 / settings.rate_mhz
    steps_us = [tick_difference(b.ticks, a.ticks) for a, b in pairwise(readings)]
    assert all(abs(step - period_us) <= max(60, period_us / 50) for step in steps_us)
    whole_us = tick_difference(readings[-1].ticks, readings[0].ticks)
    assert abs(whole_us / (len(readings) - 1) - period_us) < 1e-3 * period_us
    assert bench.ask(bench.daq, StatisticsQuery(), Statistics).overruns == 0


def test_a_rate_that_the_line_cannot_carry_is_refused_with_the_highest_it_can(bench):
    answer = bench.ask(bench.daq, StreamStart(3_000_000), StreamRefused)
    assert 100_000 <= answer.most_mhz < 3_000_000
    bench.run(0.1)
    assert not bench.daq.all(Reading)
    bench.stream(answer.most_mhz / 1000)
    bench.run(0.3)
    end = end_of(bench)
    assert end.dropped == 0
    assert end.sent == len(bench.daq.all(Reading)) > 0


def test_a_refused_rate_leaves_a_running_stream_alone(bench):
    bench.stream(100)
    bench.run(0.2)
    bench.ask(bench.daq, StreamStart(2_000_000_000), StreamRefused)
    bench.run(0.2)
    readings = bench.daq.all(Reading)
    assert [r.seq for r in readings] == list(range(len(readings)))
    assert len(readings) > 30


def test_a_new_stream_begins_at_reading_nought(bench):
    bench.stream(250)
    bench.run(0.1)
    since = len(bench.daq.heard)
    bench.stream(100)
    bench.run(0.1)
    heard = [h.message for h in bench.daq.heard[since:]]
    at = next(i for i, m in enumerate(heard) if isinstance(m, StreamSettings))
    assert [m.seq for m in heard[at + 1 :] if isinstance(m, Reading)] == list(range(len(heard) - at - 1))


def test_after_the_end_nothing_more_comes_and_the_end_can_be_asked_again(bench):
    bench.stream(500)
    bench.run(0.1)
    first = end_of(bench)
    since = len(bench.daq.heard)
    bench.run(0.1)
    assert not bench.daq.all(Reading, since)
    assert end_of(bench) == first


def test_the_detectors_voltage_is_the_reading(bench):
    per_volt = bench.stream(100) and bench.counts_per_volt()
    for volts in (0.5, 1.0, 2.0):
        bench.photodetector(volts)
        bench.run(0.05)
        reading = bench.daq.last(Reading)
        assert (reading.signal_lit - reading.signal_dark) / per_volt == pytest.approx(volts, abs=0.02)
        assert (reading.control_lit - reading.control_dark) / per_volt == pytest.approx(1.0, abs=0.02)
        assert not reading.flags & (Flag.SIGNAL_SATURATED | Flag.DROPPED_CONVERSIONS)


@pytest.mark.backends("emulated")
def test_a_saturated_detector_is_flagged(bench):
    bench.stream(100)
    bench.photodetector(5.5)
    bench.run(0.05)
    assert bench.daq.last(Reading).flags & Flag.SIGNAL_SATURATED
    assert not bench.daq.last(Reading).flags & Flag.CONTROL_SATURATED
    bench.photodetector(1.0)
    bench.run(0.05)
    assert not bench.daq.last(Reading).flags & Flag.SIGNAL_SATURATED


def test_the_daq_sees_the_stimulators_light_on_its_own_clock(bench):
    armed(bench, rate_hz=500)
    lit_by(bench, fire(1, on_us=200_000))
    bench.run(0.4)
    readings = bench.daq.all(Reading)
    lit = [r for r in readings if r.flags & Flag.LIGHT]
    assert [r.seq for r in lit] == list(range(lit[0].seq, lit[0].seq + len(lit)))
    assert abs(tick_difference(lit[-1].ticks, lit[0].ticks) - 200_000) <= 2 * 2_000 + 100
    assert not readings[-1].flags & Flag.LIGHT


def test_a_full_stream_and_a_busy_stimulator_lose_nothing(bench):
    armed(bench, rate_hz=1000)
    before = [bench.ask(line, StatisticsQuery(), Statistics) for line in (bench.daq, bench.stimulator)]
    for train in range(1, 11):
        bench.stimulator.say(fire(train, on_us=2_000, period_us=5_000, pulses=10))
        bench.run(0.1)
    assert len(bench.spans()) == 100
    end = end_of(bench)
    readings = bench.daq.all(Reading)
    assert [r.seq for r in readings] == list(range(end.sent))
    assert end.dropped == 0
    after = [bench.ask(line, StatisticsQuery(), Statistics) for line in (bench.daq, bench.stimulator)]
    assert [s.damaged_frames for s in after] == [s.damaged_frames for s in before]
    assert [s.overruns for s in after] == [s.overruns for s in before]
