from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedloop import wire
from closedloop.clock import ClockFit, TickCounter, tick_difference
from closedloop.timekeeper import Timekeeper

WRAP = 1 << 32


@given(st.lists(st.integers(-(2**31) + 1, 2**31 - 1), max_size=50), st.integers(0, WRAP - 1))
def test_a_counter_undoes_any_wrap_forward_and_back(steps: list[int], start: int) -> None:
    counter, true = TickCounter(), start
    assert counter.extend(start) == start
    for step in steps:
        true += step
        assert counter.extend(true % WRAP) == true


def test_differences_are_taken_across_the_wrap() -> None:
    assert tick_difference(5, WRAP - 5) == 10
    assert tick_difference(WRAP - 5, 5) == -10


def fitted(drift_ppm: float, *, start: int = WRAP - 20_000_000, slow_every: int = 3) -> ClockFit:
    """A minute of answers once a second; every third comes back 30 ms late."""
    fit, random = ClockFit(), np.random.default_rng(1)
    for second in range(60):
        asked_ns = second * 1_000_000_000
        there_ns, back_ns = random.integers(80_000, 120_000, 2)
        ticks = start + round((asked_ns + there_ns) / 1000 * (1 + drift_ppm * 1e-6))
        late_ns = 30_000_000 if second % slow_every == 0 else 0
        fit.add(asked_ns, int(asked_ns + there_ns + back_ns + late_ns), ticks % WRAP)
    return fit


@pytest.mark.parametrize("drift_ppm", [0.0, 200.0, -200.0])
def test_host_time_of_ticks_is_right_within_the_round_trip_despite_drift_wrap_and_slow_answers(
    drift_ppm: float,
) -> None:
    fit = fitted(drift_ppm)
    for second in (30, 55, 59.5, 61):
        ticks = (WRAP - 20_000_000 + round(second * 1e6 * (1 + drift_ppm * 1e-6))) % WRAP
        assert fit.host_ns(ticks) == pytest.approx(second * 1e9, abs=60_000)
    assert 80_000 <= fit.uncertainty_ns <= 120_000


def test_a_clock_that_never_answered_is_not_made_up() -> None:
    assert not ClockFit().known
    with pytest.raises(ValueError, match="unknown before its first answer"):
        ClockFit().host_ns(1)
    with pytest.raises(ValueError, match="unknown before its first answer"):
        ClockFit().ticks_at(1)


def test_questions_go_to_each_board_about_once_a_second_and_late_answers_are_left_out() -> None:
    times = Timekeeper(("daq", "stimulator"), real_time=True)
    first = times.questions(0)
    assert set(first) == {"daq", "stimulator"}
    assert times.questions(500_000_000) == {}
    assert set(times.questions(1_000_000_000)) == {"daq", "stimulator"}
    times.on_reply(wire.ClockReply(first["daq"].query, 7), 1_100_000_000)
    assert times.host_ns("daq", 7) is None


def test_accelerated_time_has_no_host_time() -> None:
    times = Timekeeper(("daq",), real_time=False)
    question = times.questions(0)["daq"]
    times.on_reply(wire.ClockReply(question.query, 7), 100)
    assert times.host_ns("daq", 7) is None
    assert times.ticks_since("daq", 0, 100) is None


def test_lateness_is_counted_from_the_quickest_and_forgets_it_slowly() -> None:
    times = Timekeeper(("daq",), real_time=True)
    assert times.lateness_ns(0, 5_000_000) == 0
    assert times.lateness_ns(10_000, 14_000_000) == 0  # quicker by a millisecond
    assert times.lateness_ns(20_000, 224_000_000) == pytest.approx(200_000_000, rel=0.01)
    late = [times.lateness_ns(20_000 + n * 10_000, 224_000_000 + n * 10_000_000) for n in range(60_000)]
    assert late[-1] < 1_000_000  # ten minutes later the new delay is the normal one


@pytest.mark.parametrize("ppm", [-5000, 5000])
def test_a_resonator_half_a_percent_off_does_not_make_readings_late(ppm: int) -> None:
    times = Timekeeper(("daq",), real_time=True)
    late = [times.lateness_ns(n * 10_000, round(n * 10_000_000 * (1 - ppm * 1e-6))) for n in range(60_000)]
    assert max(late) < 1_000_000
