"""The fault list, clocks: drift, wraps, leaps, standing still, a host asleep. Judged as in test_hil_fault_cables.py."""

from __future__ import annotations

import time

import numpy as np
import pytest
from controller_session import LEASE_S
from fault_judge import report
from fault_session import EVENT_S, FaultSession

pytestmark = pytest.mark.backends("mock", "emulated-uno")

EVENTS_S = (EVENT_S, EVENT_S + 3.0)
AGAIN_WITHIN_S = 6.0  # after a clock was found to have moved, light is allowed again within so long


def notes(session):
    return [e.reason for e in session.reopened().events() if e.kind == "note"]


def refusals(session):
    return {e.reason for e in session.reopened().events() if e.kind == "refused"}


@pytest.mark.parametrize(("daq_ppm", "stimulator_ppm"), [(200, -200), (-200, 200)])
def test_clocks_that_drift_by_200_ppm_change_nothing(make_bench, tmp_path, faults, daq_ppm, stimulator_ppm):
    bench = make_bench(daq_ppm=daq_ppm, stimulator_ppm=stimulator_ppm)
    session = FaultSession(bench, tmp_path, EVENTS_S, on_s=0.2)
    session.for_s(EVENTS_S[-1] + 1.0)
    assert len(bench.spans()) == 2
    faults(report("drift", session, bench.now_s))


def test_ticks_that_wrap_in_mid_train_change_nothing(bench, tmp_path, faults):
    bench.near_wrap(in_s=EVENT_S + 0.3)
    session = FaultSession(bench, tmp_path, EVENTS_S)
    session.for_s(EVENTS_S[-1] + 1.5)
    assert len(bench.spans()) == 2
    ticks = session.reopened().rows()["ticks"]
    assert np.all(np.diff(ticks) > 0)
    faults(report("wrap_ticks", session, bench.now_s))


def test_numbers_of_readings_that_wrap_change_nothing(bench, tmp_path, faults):
    first = (1 << 32) - 700
    bench.number_readings_from(first)
    session = FaultSession(bench, tmp_path, EVENTS_S, on_s=0.2)
    session.for_s(EVENTS_S[-1] + 1.0)
    assert len(bench.spans()) == 2
    numbers = session.reopened().rows()["seq"]
    assert (numbers[0], numbers[-1]) == (first, len(numbers) - 700 - 1)
    faults(report("wrap_seq", session, bench.now_s, before=first))


def test_a_wall_clock_that_is_set_in_mid_session_changes_no_row_and_no_event(make_bench, tmp_path, faults, monkeypatch):
    def ran(folder, at_s=()):
        bench = make_bench()
        session = FaultSession(bench, tmp_path / folder, EVENTS_S, on_s=0.2)
        for moment_s, seconds in at_s:
            session.for_s(moment_s)
            clock, clock_ns = time.time, time.time_ns
            monkeypatch.setattr(time, "time", lambda clock=clock, by=seconds: clock() + by)
            monkeypatch.setattr(time, "time_ns", lambda clock=clock_ns, by=seconds: clock() + by * 10**9)
        session.for_s(EVENTS_S[-1] + 1.0 - sum(moment_s for moment_s, _ in at_s))
        return session

    plain, stepped = ran("plain"), ran("stepped", ((EVENT_S + 0.1, 3600), (1.5, -7200)))
    rows, same = plain.reopened().rows(), stepped.reopened().rows()
    for name in rows.dtype.names:
        np.testing.assert_array_equal(rows[name], same[name], err_msg=name)
    assert plain.reopened().events() == stepped.reopened().events()
    plain.close()
    faults(report("wall_clock", stepped, stepped.bench.now_s, times=2))


def test_boards_that_stood_still_are_stale_for_some_seconds_at_most_and_it_is_noted(bench, tmp_path, faults):
    """As a simulated rig does that is held up: both clocks fall behind the host's, and no lease runs meanwhile."""
    events_s = (EVENT_S, EVENT_S + AGAIN_WITHIN_S)
    session = FaultSession(bench, tmp_path, events_s, on_s=0.2)
    session.for_s(EVENT_S - 0.5)
    bench.boards_run = False
    session.for_s(0.4)
    bench.boards_run = True
    session.for_s(AGAIN_WITHIN_S + 2.0)
    assert refusals(session) <= {"stale"}
    assert bench.spans()[-1].rise_s - session._from_s > events_s[-1], "light is not allowed again"
    assert "clock_step" in notes(session)
    faults(report("clock_stands", session, bench.now_s))


def test_a_clock_that_leaps_ahead_is_noted_and_light_is_allowed_again(bench, tmp_path, faults):
    events_s = (EVENT_S, EVENT_S + AGAIN_WITHIN_S)
    session = FaultSession(bench, tmp_path, events_s, on_s=0.2)
    session.for_s(EVENT_S - 0.5)
    bench.leap_daq_clock(2.0)
    session.for_s(AGAIN_WITHIN_S + 2.0)
    assert refusals(session) <= {"gap", "stale"}
    assert bench.spans()[-1].rise_s - session._from_s > events_s[-1], "light is not allowed again"
    assert "clock_step" in notes(session)
    faults(report("clock_jumps", session, bench.now_s))


def test_a_host_that_slept_while_lit_ends_tripped_and_lights_nothing_late(bench, tmp_path, faults):
    session = FaultSession(bench, tmp_path, (EVENT_S, EVENT_S + 1.5, EVENT_S + 4.0))
    slept_s = session.until_lit()
    session.sleep(3.0)
    session.for_s(3.0).boards_for_s(1.0)
    assert session.how == "tripped"
    faults(report("suspend", session, slept_s, LEASE_S + bench.command_s))
