"""The fault list, frames: damaged, lost, repeated and out of order. Judged as in test_hil_fault_cables.py."""

from __future__ import annotations

import pytest
from fault_judge import report
from fault_session import EVENT_S, FaultSession

pytestmark = pytest.mark.backends("mock", "emulated-uno")


def worn(bench, tmp_path, seconds, **fractions):
    """A session on cables that are bad in both directions, an event every 3 s; and how many frames were worn."""
    events_s = [EVENT_S + 3.0 * at for at in range(round((seconds - EVENT_S) / 3.0))]
    session = FaultSession(bench, tmp_path, events_s, on_s=0.2)
    session.for_s(1.0)
    wears = bench.wear(seed=31, **fractions)
    session.for_s(seconds)
    bench.daq.to_board = bench.daq.to_host = bench.stimulator.to_board = bench.stimulator.to_host = None
    session.for_s(0.3)
    return session, sum(wear.count for wear in wears)


@pytest.mark.parametrize("part", [1e-3, 0.02])
def test_damaged_frames_cost_readings_that_are_all_counted_and_light_nothing(bench, tmp_path, faults, part):
    session, times = worn(bench, tmp_path, 20.0, damaged=part)
    assert times > 1000 * part
    faults(report("damaged", session, bench.now_s, times=times))


@pytest.mark.parametrize("kind", ["doubled", "reordered", "lost"])
def test_repeated_reordered_and_lost_frames_light_nothing_twice(bench, tmp_path, faults, kind):
    session, times = worn(bench, tmp_path, 10.0, **{kind: 0.02})
    assert times > 20
    trains = session.begun()
    assert len(trains) == len(set(trains))
    faults(report("reordered", session, bench.now_s, times=times))
