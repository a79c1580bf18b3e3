from __future__ import annotations

from itertools import pairwise

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


def asked(times: Timekeeper, seconds: float, *, from_ns: int = 0) -> list[int]:
    """When questions go out, in ms, if somebody looks every ms and every answer is quick."""
    sent = []
    for at_ns in range(from_ns, from_ns + round(seconds * 1e9), 1_000_000):
        for question in times.questions(at_ns).values():
            times.on_reply(wire.ClockReply(question.query, at_ns // 1000 % WRAP), at_ns)
            sent.append(at_ns // 1_000_000)
    return sent


def test_questions_come_quickly_at_first_and_then_about_once_a_second() -> None:
    sent = asked(Timekeeper(("daq",), real_time=True), 5)
    assert sent[:8] == [0, 50, 100, 150, 200, 250, 300, 350]
    assert all(980 <= later - earlier <= 990 for earlier, later in pairwise(sent[7:]))


def test_each_board_is_asked_and_an_answer_after_a_second_is_left_out() -> None:
    times = Timekeeper(("daq", "stimulator"), real_time=True)
    first = times.questions(0)
    assert set(first) == {"daq", "stimulator"}
    times.questions(1_000_000_000)
    times.on_reply(wire.ClockReply(first["daq"].query, 7), 1_100_000_000)
    assert times.host_ns("daq", 7) is None


def jittery(times: Timekeeper, seconds: int, jump_us: int = 0, *, late_ns: int = 3_000_000) -> list[float]:
    """Errors of a board's clock in us, answers up to `late_ns` late; half-way the clock goes back by `jump_us`."""
    random, errors, jumps = np.random.default_rng(3), [], []
    for at_ns in range(0, seconds * 1_000_000_000, 5_000_000):
        back_us = jump_us if at_ns >= seconds * 500_000_000 else 0
        true = round(at_ns / 1000 * (1 + 50e-6)) - back_us
        for question in times.questions(at_ns).values():
            there_ns, back_ns = 80_000, 80_000 + int(random.integers(0, late_ns))
            answer = wire.ClockReply(question.query, (true + there_ns // 1000) % WRAP)
            jumps.append(times.on_reply(answer, at_ns + there_ns + back_ns))
        if (host_ns := times.host_ns("daq", true % WRAP)) is not None:
            errors.append((host_ns - at_ns) / 1000)
    assert [j is not None for j in jumps].count(True) == (1 if jump_us else 0)
    return errors


def test_answers_up_to_3_ms_late_leave_the_clock_good_to_a_few_tenths_of_a_ms() -> None:
    errors = np.abs(jittery(Timekeeper(("daq",), real_time=True), 120))
    assert np.median(errors[4000:]) < 150
    assert errors[4000:].max() < 500


@pytest.mark.parametrize("jump_us", [20_000, 400_000, -2_000_000])
def test_a_clock_that_stood_still_or_jumped_is_known_again_within_a_second_or_two(jump_us: int) -> None:
    errors = np.abs(jittery(Timekeeper(("daq",), real_time=True), 60, jump_us))
    assert errors[6000 - 10] < 1000
    assert errors[6000 + 10] == pytest.approx(abs(jump_us), abs=1000)
    assert errors[6000 + 400 :].max() < 10_000  # two seconds later


def test_one_answer_that_makes_no_sense_changes_nothing() -> None:
    times = Timekeeper(("daq",), real_time=True)
    asked(times, 10)
    before = times.host_ns("daq", 9_000_000)
    question = times.questions(11_000_000_000)["daq"]
    assert times.on_reply(wire.ClockReply(question.query, 5), 11_000_000_000) is None
    assert times.host_ns("daq", 9_000_000) == before
    asked(times, 5, from_ns=11_001_000_000)
    assert times.steps == 0
    assert times.host_ns("daq", 9_000_000) == pytest.approx(before, abs=10_000)


def test_accelerated_time_has_no_host_time() -> None:
    times = Timekeeper(("daq",), real_time=False)
    question = times.questions(0)["daq"]
    times.on_reply(wire.ClockReply(question.query, 7), 100)
    assert times.host_ns("daq", 7) is None
    assert times.ticks_since("daq", 0, 100) is None


def test_a_reading_is_as_old_as_the_clock_says_however_steady_its_delay() -> None:
    times = Timekeeper(("daq",), real_time=True)
    asked(times, 10)
    assert times.age_ns(9_850_000, 10_000_000_000) == pytest.approx(150_000_000, abs=100_000)


def test_before_the_clock_is_known_age_is_counted_from_the_quickest_and_forgets_it_slowly() -> None:
    times = Timekeeper(("daq",), real_time=True)
    assert times.age_ns(0, 5_000_000) == 0
    assert times.age_ns(10_000, 14_000_000) == 0  # quicker by a millisecond
    assert times.age_ns(20_000, 224_000_000) == pytest.approx(200_000_000, rel=0.01)
    late = [times.age_ns(20_000 + n * 10_000, 224_000_000 + n * 10_000_000) for n in range(60_000)]
    assert late[-1] < 1_000_000  # ten minutes later the new delay is the normal one


@pytest.mark.parametrize("ppm", [-5000, 5000])
def test_a_resonator_half_a_percent_off_does_not_make_readings_late(ppm: int) -> None:
    times = Timekeeper(("daq",), real_time=True)
    late = [times.age_ns(n * 10_000, round(n * 10_000_000 * (1 - ppm * 1e-6))) for n in range(60_000)]
    assert max(late) < 1_000_000
