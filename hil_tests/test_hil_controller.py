"""The program's own controller and loop against the boards: it fires on what happens, and what befalls it ends dark."""

from __future__ import annotations

import pytest
from controller_session import LEASE_S, ControllerSession

from closedloop.wire import Dark, Fired, Reason, Refused, Trip

pytestmark = pytest.mark.backends("mock", "emulated-uno")


def running(bench, on_s=0.2, events_s=(10.0, 14.0)):
    """A session that has just lit for its first event."""
    session = ControllerSession(bench, events_s, on_s)
    while not bench.is_lit():
        session.step()
        assert session.how is None
        assert bench.now_s < events_s[0] + 3
    return session


def test_the_loop_lights_at_each_event_and_at_nothing_else(bench):
    session = ControllerSession(bench, events_s=(10.0, 14.0, 18.0)).run(20.0)
    rises_s = [span.rise_s for span in bench.spans()]
    assert len(rises_s) == 3
    for rise_s, event_s in zip(rises_s, (10.0, 14.0, 18.0), strict=True):
        assert 0 < rise_s - event_s < 0.2
    assert [f.train for f in bench.stimulator.all(Fired)] == [1, 2, 3]
    assert all(abs(s.width_us - 200_000) <= 1e6 * bench.edge_resolution_s for s in bench.spans())
    assert session.how is None


def test_a_host_stopped_while_lit_and_resumed_after_two_seconds_ends_tripped_and_fires_nothing_late(bench):
    session = running(bench, on_s=0.9, events_s=(10.0, 11.5))
    stopped_s = bench.now_s
    session.host_runs = False
    for _ in range(round(2.0 / bench.step_s)):
        session.step()
    [span] = bench.spans()
    assert span.fall_s - stopped_s <= LEASE_S + bench.command_s
    said = len(session.begun())
    session.host_runs = True
    session.run(16.0)
    assert session.how == "tripped"
    assert len(session.begun()) == said
    assert bench.stimulator.last(Trip).reason == Reason.LEASE_EXPIRED
    bench.run(1.0)
    assert len(bench.spans()) == 1


def test_a_stuck_acknowledgement_never_doubles_light(bench):
    session = running(bench, events_s=(10.0, 14.0, 18.0))
    bench.stimulator.deaf = True
    session.run(22.0)
    trains = session.begun()
    assert len(trains) == len(set(trains))
    assert len(bench.spans()) == len(trains)


def test_unplugged_while_lit_is_dark_within_the_lease_and_ends_the_session(bench):
    session = running(bench, on_s=0.9)
    cut_s = bench.now_s
    bench.cut_cables()
    session.run(20.0)
    [span] = bench.spans()
    assert span.fall_s - cut_s <= LEASE_S + bench.command_s
    assert session.how in {"device_lost", "tripped"}


def test_a_board_reset_in_mid_train_ends_the_session_and_stays_dark(bench):
    session = running(bench, on_s=0.9)
    bench.run(0.05)
    bench.reset_stimulator()
    session.run(16.0)
    assert session.how is not None
    assert len(bench.spans()) == 1
    bench.run(1.0)
    assert len(bench.spans()) == 1


def test_an_interlock_opened_while_lit_ends_the_session_tripped(bench):
    session = running(bench, on_s=0.9)
    bench.set_interlock(closed=False)
    bench.run(0.05)
    assert not bench.is_lit()
    bench.set_interlock(closed=True)
    session.run(16.0)
    assert session.how == "tripped"
    assert len(bench.spans()) == 1


def test_a_gate_shut_while_lit_costs_that_train_alone(bench):
    session = running(bench, on_s=0.9)
    bench.set_gate(is_open=False)
    bench.run(0.2)
    assert not bench.is_lit()
    bench.set_gate(is_open=True)
    session.run(16.0)
    assert session.how is None
    assert len(bench.spans()) == 2
    assert bench.stimulator.all(Fired)[0].reason == Reason.GATE_CLOSED


def test_a_session_on_worn_cables_gives_no_light_that_it_did_not_ask_for(bench):
    session = ControllerSession(bench, events_s=(10.0, 14.0, 18.0, 22.0))
    bench.wear(seed=3, damaged=1e-3, lost=1e-3, doubled=1e-3, reordered=1e-3)
    session.run(25.0)
    asked = set(session.begun())
    done = {f.train for f in bench.stimulator.all(Fired)} | {r.train for r in bench.stimulator.all(Refused)}
    assert done <= asked
    assert len(bench.spans()) <= len(asked)
    bench.stimulator.say(Dark())
