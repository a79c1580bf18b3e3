"""The fault list, hosts and boards that stop, hang, starve or restart. Judged as in test_hil_fault_cables.py."""

from __future__ import annotations

import random

import pytest
from controller_session import LEASE_S
from fault_judge import judge, report
from fault_session import EVENT_S, FaultSession
from fault_table import Report

from closedloop.wire import ResetCause

pytestmark = pytest.mark.backends("mock", "emulated-uno")

EVENTS_S = (EVENT_S, EVENT_S + 3.0)
WATCHDOG_S = 0.08


def test_a_killed_host_leaves_darkness_within_the_lease_and_all_it_recorded(bench, tmp_path, faults):
    dice = random.Random(8)
    for kill in range(3):
        session = FaultSession(bench, tmp_path / str(kill))
        session.until_lit()
        session.for_s(dice.uniform(0.0, 0.6))
        killed_s = bench.now_s
        session.boards_for_s(1.0)
        assert not bench.is_lit()
        recording = session.reopened()
        assert not recording.finished
        since = [span for span in bench.spans() if span.rise_s >= session._from_s]
        assert len(since) == 1
        assert since[0].fall_s - killed_s <= LEASE_S + bench.command_s
        lost = _lost_by_a_dead_host(session, recording)
        said = "`broken off`; `closedloop recover` says what was saved"
        dark_ms = (since[0].fall_s - killed_s) * 1e3
        faults(Report("host_killed", bench.name, 1, said, lost=lost, dark_ms=dark_ms))
        bench.resume_host()
        session.writer.close({})


def _lost_by_a_dead_host(session, recording):
    bench = session.bench
    verdict = judge(session, recording, bench.now_s, None)
    assert session.controller.counter.received == len(recording.rows())
    return verdict.lost


def test_a_host_stopped_for_two_seconds_ends_tripped_and_fires_nothing_late(bench, tmp_path, faults):
    session = FaultSession(bench, tmp_path, (EVENT_S, EVENT_S + 1.5))
    stopped_s = session.until_lit()
    session.host_runs = False
    session.for_s(2.0)
    said = len(session.begun())
    session.host_runs = True
    session.for_s(2.0).boards_for_s(1.0)
    assert session.how == "tripped"
    assert len(session.begun()) == said
    faults(report("host_stopped", session, stopped_s, LEASE_S + bench.command_s))


@pytest.mark.parametrize(("every_ms", "how"), [(40, None), (200, None), (400, "tripped")])
def test_a_starved_reader_is_late_and_says_so_or_ends_dark(bench, tmp_path, faults, every_ms, how):
    """Every so often it gets one turn. Beyond 100 ms its readings are stale; beyond the lease it is dark."""
    session = FaultSession(bench, tmp_path, EVENTS_S, on_s=0.2)
    session.for_s(EVENT_S - 0.5)
    starved_s = bench.now_s
    while bench.now_s < starved_s + 4.5 and session.how is None:
        session.boards_for_s(every_ms / 1e3)
        session.step()
    assert session.how == how
    times = round((bench.now_s - starved_s) * 1e3 / every_ms)
    within_s = LEASE_S + bench.command_s if how else None
    faults(report("starved", session, starved_s, within_s, times=times))


@pytest.mark.parametrize("cause", [ResetCause.BROWN_OUT, ResetCause.EXTERNAL])
def test_a_stimulator_that_restarts_in_mid_train_is_dark_at_once_and_stays_so(bench, tmp_path, faults, cause):
    session = FaultSession(bench, tmp_path, EVENTS_S)
    reset_s = session.until_lit()
    bench.reset_stimulator(cause)
    session.for_s(4.0).boards_for_s(1.0)
    assert session.how == "device_lost"
    faults(report("stimulator_reset", session, reset_s, bench.command_s))


def test_a_daq_that_restarts_in_mid_train_ends_the_session_and_the_light(bench, tmp_path, faults):
    session = FaultSession(bench, tmp_path, EVENTS_S)
    reset_s = session.until_lit()
    bench.reset_daq(ResetCause.BROWN_OUT)
    session.for_s(4.0).boards_for_s(1.0)
    assert session.how in {"device_lost", "tripped"}
    faults(report("daq_reset", session, reset_s, LEASE_S + bench.command_s))


@pytest.mark.parametrize("interrupts", [True, False], ids=["interrupts go on", "interrupts off"])
@pytest.mark.backends("emulated-uno")
def test_a_stimulator_that_hangs_in_mid_pulse_is_dark_by_its_watchdog(bench, tmp_path, faults, interrupts):
    session = FaultSession(bench, tmp_path, EVENTS_S)
    hung_s = session.until_lit()
    bench.hang_stimulator(interrupts=interrupts)
    session.for_s(0.05)
    bench.note("reset")
    session.for_s(4.0).boards_for_s(1.0)
    assert session.how == "device_lost"
    faults(report("hang", session, hung_s, WATCHDOG_S))


@pytest.mark.parametrize("flat", [True, False], ids=["flat", "impossible"])
def test_a_signal_that_cannot_be_lights_nothing_and_is_refused_with_its_reason(bench, tmp_path, faults, flat):
    """Two seconds of it, with events before and after; within it there is nothing to detect but the fault itself."""
    session = FaultSession(bench, tmp_path, (EVENT_S, EVENT_S + 6.0), on_s=0.2)
    session.for_s(EVENT_S + 1.5)
    spoilt_s = bench.now_s
    bench.spoil_readings(flat=flat)
    session.for_s(2.0)
    bench.mend_readings()
    mended_s = bench.now_s
    session.for_s(4.0)
    assert not [span for span in bench.spans() if spoilt_s < span.rise_s < mended_s + 1.0]
    seen = report("flat" if flat else "odd_samples", session, spoilt_s)
    assert "flat" in seen.told if flat else "saturated" in seen.told
    faults(seen)
