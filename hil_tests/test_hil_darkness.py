"""Every way into the dark: lease, interlock, gate, Dark, Disarm. A trip is latched; nothing arms itself again."""

from __future__ import annotations

import pytest
from commands import EARLY_S, LEASE_S, arm, armed, fire, lit_by

from closedloop.wire import (
    ClockQuery,
    ClockReply,
    Dark,
    Disarm,
    Fired,
    Heartbeat,
    Identity,
    Reason,
    Refused,
    ResetCause,
    State,
    Status,
    StreamStop,
    Trip,
)

WATCHDOG_S = 0.08  # 60 ms by the data sheet, from an oscillator that may be slow


def last_beat_s(bench):
    return max(s.at_s for s in bench.stimulator.said if isinstance(s.message, Heartbeat))


def test_without_heartbeats_it_is_dark_at_the_lease_and_not_before(bench):
    armed(bench)
    lit_by(bench, fire(1, on_us=1_000_000))
    bench.run(0.1)
    bench.heartbeats = False
    bench.run(2 * LEASE_S)
    [span] = bench.spans()
    after_s = span.fall_s - last_beat_s(bench)
    slack_s = bench.command_s + bench.edge_resolution_s
    assert LEASE_S - EARLY_S <= after_s <= LEASE_S + slack_s
    assert bench.stimulator.last(Trip).reason == Reason.LEASE_EXPIRED
    assert bench.stimulator.last(Fired).reason == Reason.LEASE_EXPIRED
    assert bench.stimulator.last(Status).state == State.TRIPPED


@pytest.mark.parametrize("interrupts", [True, False], ids=["interrupts go on", "interrupts off"])
@pytest.mark.backends("emulated")
def test_a_program_that_hangs_in_mid_pulse_leaves_darkness_and_the_watchdog_says_so(bench, interrupts):
    armed(bench)
    lit_by(bench, fire(1, on_us=1_000_000))
    bench.run(0.1)
    hung_s, since = bench.now_s, len(bench.stimulator.heard)
    bench.hang_stimulator(interrupts=interrupts)
    bench.run(0.05)
    bench.note("reset")  # the watchdog's, in a moment
    bench.run(1.0)
    assert bench.stimulator.last(Identity, since).reset_cause == ResetCause.WATCHDOG
    [span] = bench.spans()
    assert span.fall_s - hung_s <= WATCHDOG_S
    assert arm(bench).reason == Reason.LIMITS_UNSET


def test_heartbeats_keep_it_armed_for_as_long_as_they_come(bench):
    armed(bench)
    bench.run(8 * LEASE_S)
    assert not bench.stimulator.all(Trip)
    bench.stimulator.say(fire(1))
    bench.run(0.1)
    assert len(bench.spans()) == 1


@pytest.mark.backends("mock", "emulated")  # on a desk, a DAQ that is silent sees no light either
def test_a_silent_daq_is_dark_although_the_host_lives(bench):
    armed(bench)
    lit_by(bench, fire(1, on_us=1_000_000))
    bench.daq.say(StreamStop())
    bench.run(2 * LEASE_S)
    assert not bench.is_lit()
    assert bench.stimulator.last(Trip).reason == Reason.LEASE_EXPIRED


def test_a_trip_is_left_by_arm_alone(bench):
    armed(bench)
    bench.heartbeats = False
    bench.run(2 * LEASE_S)
    assert bench.stimulator.last(Status).state == State.TRIPPED
    bench.heartbeats = True
    bench.run(2 * LEASE_S)
    bench.stimulator.say(fire(1))
    bench.stimulator.say(Dark())
    bench.stimulator.say(Disarm())
    bench.run(0.2)
    assert bench.stimulator.last(Refused) == Refused(1, Reason.NOT_ARMED)
    status = bench.stimulator.last(Status)
    assert (status.state, status.reason) == (State.TRIPPED, Reason.LEASE_EXPIRED)
    assert bench.light() == []
    assert arm(bench).state == State.ARMED
    bench.stimulator.say(fire(2))
    bench.run(0.1)
    assert len(bench.spans()) == 1


def test_an_interlock_opened_while_on_is_dark_and_trips_and_closing_it_does_not_re_arm(bench):
    armed(bench)
    lit_by(bench, fire(1, on_us=1_000_000))
    bench.run(0.1)
    opened_s = bench.now_s
    bench.set_interlock(closed=False)
    bench.run(0.1)
    [span] = bench.spans()
    assert span.fall_s - opened_s <= bench.command_s
    assert bench.stimulator.last(Trip).reason == Reason.INTERLOCK_OPEN
    assert bench.stimulator.last(Fired).reason == Reason.INTERLOCK_OPEN
    bench.set_interlock(closed=True)
    bench.run(0.5)
    bench.stimulator.say(fire(2))
    bench.run(0.1)
    assert bench.stimulator.last(Refused) == Refused(2, Reason.NOT_ARMED)
    assert len(bench.spans()) == 1


def test_a_gate_shut_while_on_cuts_the_train_and_trips_nothing(bench):
    armed(bench)
    bench.stimulator.say(fire(1, on_us=100_000, period_us=200_000, pulses=5))
    bench.run_until(bench.is_lit, 1.0)
    bench.run(0.02)
    shut_s = bench.now_s
    bench.set_gate(is_open=False)
    bench.run(0.5)
    [span] = bench.spans()
    assert span.fall_s - shut_s <= bench.command_s
    assert bench.stimulator.last(Fired).reason == Reason.GATE_CLOSED
    bench.set_gate(is_open=True)
    bench.run(0.5)
    assert len(bench.spans()) == 1
    assert not bench.stimulator.all(Trip)
    bench.stimulator.say(fire(2))
    bench.run(0.1)
    assert len(bench.spans()) == 2


@pytest.mark.parametrize(("word", "reason"), [(Dark(), Reason.HOST_DARK), (Disarm(), Reason.HOST_DISARMED)])
def test_dark_and_disarm_are_obeyed_in_mid_pulse(bench, word, reason):
    armed(bench)
    lit_by(bench, fire(1, on_us=1_000_000))
    bench.run(0.05)
    said_s = bench.now_s
    bench.stimulator.say(word)
    bench.run(0.2)
    [span] = bench.spans()
    assert span.fall_s - said_s <= bench.command_s
    assert bench.stimulator.last(Fired).reason == reason
    assert bench.stimulator.last(Status).state == State.DISARMED
    bench.stimulator.say(fire(2))
    bench.run(0.1)
    assert len(bench.spans()) == 1


def test_dark_takes_back_a_train_that_waits_for_its_tick(bench):
    armed(bench)
    now = bench.ask(bench.stimulator, ClockQuery(1), ClockReply)
    bench.stimulator.say(fire(1, scheduled=1, start=(now.ticks + 100_000) % (1 << 32)))
    bench.run(0.05)
    bench.stimulator.say(Dark())
    bench.run(0.3)
    assert bench.light() == []
    assert bench.stimulator.last(Refused) == Refused(1, Reason.HOST_DARK)


@pytest.mark.parametrize("after_us", range(9_000, 10_400, 50))
@pytest.mark.backends("mock", "emulated-uno", "emulated-both")
def test_dark_near_an_edge_is_dark(make_bench, after_us):
    """The command races the rise of a scheduled pulse, by steps of 50 us."""
    bench = make_bench()
    armed(bench)
    now = bench.ask(bench.stimulator, ClockQuery(1), ClockReply)
    bench.stimulator.say(fire(1, on_us=100_000, scheduled=1, start=(now.ticks + 12_000) % (1 << 32)))
    bench.run(after_us / 1e6)
    bench.stimulator.say(Dark())
    said_s = bench.now_s
    bench.run(0.2)
    assert all(span.fall_s <= said_s + bench.command_s for span in bench.spans())


def test_arming_twice_is_harmless_and_lights_nothing(bench):
    armed(bench)
    assert arm(bench).state == State.ARMED
    bench.run(LEASE_S)
    assert bench.light() == []
