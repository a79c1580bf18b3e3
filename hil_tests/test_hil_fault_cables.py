"""The fault list, cables: a whole recorded session on each backend, judged by light, recording and the line's tap."""

from __future__ import annotations

import random

import pytest
from controller_session import LEASE_S
from fault_judge import report
from fault_session import EVENT_S, FaultSession
from line import Wear

pytestmark = pytest.mark.backends("mock", "emulated-uno")

AGAIN_S = EVENT_S + 3.0


@pytest.mark.parametrize("usb", [True, False], ids=["told by the system", "silent"])
@pytest.mark.parametrize("which", ["both", "daq", "stimulator"])
def test_a_cable_pulled_while_lit_is_dark_within_the_lease_and_said(bench, tmp_path, faults, which, usb):
    session = FaultSession(bench, tmp_path, (EVENT_S, AGAIN_S), usb=usb)
    pulled_s = session.until_lit()
    for line in [bench.daq, bench.stimulator] if which == "both" else [getattr(bench, which)]:
        line.cut = True
    session.for_s(5.0).boards_for_s(1.0)
    seen = report("unplug_on", session, pulled_s, LEASE_S + bench.command_s)
    assert "device_lost" in seen.told or "tripped" in seen.told or "unanswered" in seen.told
    faults(seen)


def test_a_cable_pulled_in_mid_frame_and_put_back_costs_readings_that_are_all_counted(bench, tmp_path, faults):
    session = FaultSession(bench, tmp_path, (EVENT_S, AGAIN_S), on_s=0.2)
    session.for_s(EVENT_S - 0.5)
    dice, times = random.Random(4), 20
    for _ in range(times):
        bench.daq.snip_to_host, bench.stimulator.snip_to_board = dice.randrange(1, 150), dice.randrange(1, 40)
        session.for_s(0.06)
        bench.daq.snip_to_host = bench.stimulator.snip_to_board = None
        bench.plug_cables()
        session.for_s(dice.uniform(0.05, 0.2))
    session.for_s(2.0)
    assert session.how is None
    assert session.controller.counter.missing > 20
    faults(report("unplug_frame", session, bench.now_s, times=times))


def test_answers_that_never_arrive_are_said_and_never_double_light(bench, tmp_path, faults):
    session = FaultSession(bench, tmp_path, (EVENT_S, AGAIN_S), on_s=0.2)
    session.for_s(EVENT_S - 0.5)
    bench.stimulator.deaf = True
    session.for_s(7.0)
    assert session.how == "device_lost"
    assert "no answer from the stimulator" in session.controller.ending.reason
    trains = session.begun()
    assert len(trains) == len(set(trains)) == len(bench.spans())
    faults(report("stuck_answer", session, bench.now_s))


def test_a_trip_that_was_lost_on_the_way_lights_nothing(bench, tmp_path, faults):
    """Interlock opened and closed again while what the board says is lost: it stays dark, and says so when asked."""
    session = FaultSession(bench, tmp_path, (EVENT_S, AGAIN_S))
    opened_s = session.until_lit()
    bench.stimulator.to_host = Wear(lost=1.0)
    bench.set_interlock(closed=False)
    session.for_s(0.1)
    bench.set_interlock(closed=True)
    bench.stimulator.to_host = None
    session.for_s(4.5)
    assert session.how == "tripped"  # by the first train that is refused as not armed
    faults(report("interlock", session, opened_s, bench.command_s))


def test_an_interlock_opened_while_lit_is_dark_at_once_and_ends_the_session(bench, tmp_path, faults):
    session = FaultSession(bench, tmp_path, (EVENT_S, AGAIN_S))
    opened_s = session.until_lit()
    bench.set_interlock(closed=False)
    session.for_s(0.1)
    bench.set_interlock(closed=True)
    session.for_s(1.0).boards_for_s(1.0)
    assert session.how == "tripped"
    faults(report("interlock", session, opened_s, bench.command_s))
