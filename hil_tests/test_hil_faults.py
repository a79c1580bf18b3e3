"""Cables and hosts that fail, on purpose: unplugged, worn, stopped, killed. After each, darkness and a true report."""

from __future__ import annotations

import random

import pytest
from commands import LEASE_S, LIMITS, arm, armed, fire, lit_by, set_limits
from fault_table import Report

from closedloop import framing, wire
from closedloop.wire import (
    ClockQuery,
    ClockReply,
    Fired,
    Reason,
    Refused,
    State,
    Statistics,
    StatisticsQuery,
)

KILLED = "`broken off`; `closedloop recover` says what was saved"


def frame(message):
    return framing.encode(wire.pack(message))


def test_unplugged_while_on_is_dark_within_the_lease(bench):
    armed(bench)
    lit_by(bench, fire(1, on_us=1_000_000))
    bench.run(0.1)
    cut_s = bench.now_s
    bench.cut_cables()
    bench.run(3 * LEASE_S)
    [span] = bench.spans()
    assert 0 < span.fall_s - cut_s <= LEASE_S + bench.command_s
    bench.plug_cables()
    bench.run(LEASE_S)
    bench.stimulator.say(fire(2))
    bench.run(0.1)
    assert bench.stimulator.last(Refused) == Refused(2, Reason.NOT_ARMED)
    assert len(bench.spans()) == 1


@pytest.mark.parametrize("whole", [1, 7, 20, 29])
def test_unplugged_in_mid_frame_and_plugged_in_again_lights_nothing(bench, whole):
    armed(bench)
    half = frame(fire(1))[:whole]
    bench.stimulator.write(half)
    bench.cut_cables()
    bench.run(0.1)
    bench.plug_cables()
    bench.run(0.05)
    assert bench.light() == []
    bench.stimulator.write(frame(fire(2))[whole:])  # the rest of another: a forged whole
    bench.run(0.1)
    assert all(heard.message.train == 2 for heard in bench.stimulator.heard if isinstance(heard.message, Fired))
    assert arm(bench).state == State.ARMED


def test_a_half_command_does_not_spoil_the_next(bench):
    armed(bench)
    bench.stimulator.write(frame(fire(1))[:12])
    bench.run(0.05)
    bench.stimulator.write(b"\0")
    bench.stimulator.say(fire(2))
    bench.run(0.1)
    assert [f.train for f in bench.stimulator.all(Fired)] == [2]
    assert bench.ask(bench.stimulator, StatisticsQuery(), Statistics).damaged_frames == 1


def test_a_host_that_stood_still_for_two_seconds_fires_nothing_late(bench):
    armed(bench)
    now = bench.ask(bench.stimulator, ClockQuery(1), ClockReply)
    lit_by(bench, fire(1, on_us=1_000_000))
    stopped_s = bench.now_s
    bench.stop_host()
    bench.run(2.0)
    bench.resume_host()
    late = (now.ticks + 1_000_000) % (1 << 32)
    bench.stimulator.say(fire(2, scheduled=1, start=late), fire(3))
    bench.run(0.2)
    [span] = bench.spans()
    assert span.fall_s - stopped_s <= LEASE_S + bench.command_s
    assert {r.train: r.reason for r in bench.stimulator.all(Refused)} == {2: Reason.NOT_ARMED, 3: Reason.NOT_ARMED}
    assert arm(bench).state == State.ARMED
    answer = bench.ask(bench.stimulator, fire(4, scheduled=1, start=late), Refused)
    assert answer == Refused(4, Reason.LATE)
    assert len(bench.spans()) == 1


@pytest.mark.backends("mock", "emulated-uno")
def test_killed_at_a_hundred_random_moments_of_pulses_it_is_dark_within_the_lease(make_bench, faults):
    """The host dies without a word: no heartbeat, no Dark. A fresh one arms again."""
    dice = random.Random(11)
    for life in range(5):
        bench = make_bench()
        bench.stream()
        for kill in range(1, 21):
            bench.resume_host()
            bench.run(0.05)
            set_limits(bench, LIMITS._replace(lease_ms=100))
            assert arm(bench).state == State.ARMED
            bench.stimulator.say(fire(1, on_us=400_000))
            bench.run_until(bench.is_lit, 0.2)
            bench.run(dice.uniform(0, 0.38))
            assert bench.is_lit()
            killed_s = bench.now_s
            bench.stop_host()
            bench.run(0.13)
            assert not bench.is_lit(), (life, kill)
            dark_s = bench.spans()[-1].fall_s - killed_s
            assert dark_s <= 0.1 + bench.command_s
            assert len(bench.spans()) == kill
            faults(Report("host_killed", bench.name, 1, KILLED, dark_ms=1e3 * dark_s))


@pytest.mark.parametrize("seed", range(2))
def test_a_worn_line_gives_no_light_but_what_was_asked_for(bench, seed):
    armed(bench, rate_hz=500)
    bench.run(0.1)
    wears = bench.wear(seed=10 * seed, damaged=1e-3, lost=1e-3, doubled=1e-3, reordered=1e-3)
    _many_trains(bench, 50)
    told = [f for f in bench.stimulator.all(Fired) if f.reason == Reason.NONE]
    assert len({f.train for f in told}) >= 40
    assert all(f.lit_us == 5_000 for f in told)
    assert sum(wear.count for wear in wears) >= 1


@pytest.mark.parametrize("kind", ["damaged", "lost", "doubled", "reordered"])
def test_a_line_a_hundred_times_worse_gives_no_light_but_what_was_asked_for(bench, kind):
    """One frame in ten: trains are lost, the session trips perhaps, and no pulse is longer, later or another's."""
    armed(bench)
    bench.run(0.1)
    wears = bench.wear(seed=5, **{kind: 0.1})
    _many_trains(bench, 50)
    assert all(abs(s.width_us - 5_000) <= 1e6 * bench.edge_resolution_s for s in bench.spans())
    assert sum(wear.count for wear in wears) > 5
    trains = list(dict.fromkeys(f.train for f in bench.stimulator.all(Fired)))
    assert trains == sorted(trains)
    assert len(bench.spans()) <= 50


def _many_trains(bench, count):
    for train in range(1, count + 1):
        bench.stimulator.say(fire(train, on_us=5_000))
        bench.run(0.05)


def test_an_old_command_that_comes_again_later_lights_nothing(bench):
    armed(bench)
    old = [frame(fire(train, on_us=3_000)) for train in range(1, 6)]
    for train in range(1, 6):
        bench.stimulator.say(fire(train, on_us=3_000))
        bench.run(0.05)
    for again in reversed(old):
        bench.stimulator.write(again)
        bench.run(0.02)
    assert len(bench.spans()) == 5
