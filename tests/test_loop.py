from __future__ import annotations

import numpy as np
import pytest
from plans import NANO_UNITS, RATE_HZ, noise, plan, readings, with_events

from closedloop import limits as host_limits
from closedloop.features.isosbestic import Isosbestic
from closedloop.features.lowpass import Lowpass
from closedloop.loop import Loop
from closedloop.policies.sham import Sham
from closedloop.quality import Quality
from closedloop.readings import (
    FLAG_DROPPED_CONVERSIONS,
    FLAG_LIGHT,
    FLAG_NO_CONTROL,
    FLAG_SIGNAL_SATURATED,
    Readings,
)
from closedloop.steps import DETECTED, HIGH, PLANNED, RESTARTED, VALID, Steps
from closedloop.train import Refusal, Train


def steps_of(rows: np.ndarray, cuts: list[int] | None = None, **changes: object) -> Steps:
    loop = Loop(plan(**changes), rate_hz=RATE_HZ, nano_units=NANO_UNITS)
    return np.concatenate([loop.run(part) for part in np.split(rows, cuts or [])])


def fired_s(rows: np.ndarray, steps: Steps) -> list[float]:
    fired = (steps["decision"] != 0) & (steps["refused"] == 0)
    return [round(float(t) / 1e6, 2) for t in rows["ticks"][fired]]


def refusals(steps: Steps) -> list[str]:
    return [Refusal(code).name for code in steps["refused"][steps["train"] != 0]]


def test_an_event_fires_once_where_it_begins() -> None:
    rows = readings(with_events(noise(30), [15.0]))
    steps = steps_of(rows)
    assert fired_s(rows, steps) == [15.0]
    assert np.count_nonzero(steps["bits"] & DETECTED) == 1


def test_sharp_cuts_anywhere_change_nothing() -> None:
    rows = readings(with_events(noise(40), [15.0, 25.0, 31.0]))
    whole = steps_of(rows, features=(Isosbestic(baseline=10.0), Lowpass(cutoff=5.0)))
    for cuts in ([1], [1500], list(range(1, len(rows))), [7, 8, 9, 2000, 2001]):
        parts = steps_of(rows, cuts, features=(Isosbestic(baseline=10.0), Lowpass(cutoff=5.0)))
        assert parts.tobytes() == whole.tobytes()


def test_the_future_does_not_change_the_past() -> None:
    signal = with_events(noise(40), [15.0, 25.0])
    other = signal.copy()
    other[2600:] *= 3
    same = steps_of(readings(signal))[:2600]
    assert steps_of(readings(other))[:2600].tobytes() == same.tobytes()


def test_nothing_fires_during_warm_up() -> None:
    rows = readings(with_events(noise(30), [7.0, 15.0]))
    steps = steps_of(rows, warm_up_s=10.0)
    assert refusals(steps) == ["WARM_UP", "NONE"]
    assert fired_s(rows, steps) == [15.0]


def test_refractory_counts_from_the_end_of_the_train_on_sample_time() -> None:
    rows = readings(with_events(noise(30), [15.0, 16.5, 18.0], lasts_s=0.3))
    steps = steps_of(rows)
    assert refusals(steps) == ["NONE", "REFRACTORY", "NONE"]


def test_loops_of_one_shape_share_their_record_types() -> None:
    one, two = (Loop(plan(), rate_hz=RATE_HZ, nano_units=NANO_UNITS) for _ in range(2))
    assert one._memory.dtype is two._memory.dtype
    assert one._parameters.dtype is two._parameters.dtype


def test_sham_differs_from_closed_loop_in_nothing_but_the_light() -> None:
    rows = readings(with_events(noise(60), [15.0, 16.5, 25.0, 40.0]))
    real, sham = steps_of(rows), steps_of(rows, policy=Sham(refractory=2.0))
    assert sham.tobytes() == real.tobytes()  # the same numbered decision; its name and its light are the policy's
    assert Sham().fire_code == 0


def test_light_leak_does_not_become_baseline() -> None:
    signal = with_events(noise(30), [15.0], lasts_s=0.05)
    leaking = signal.copy()
    leaking[1501:1521] *= 1.2  # our own light leaks into the detector for as long as the train lasts
    clean, leaked = steps_of(readings(signal)), steps_of(readings(leaking))
    after = slice(1600, None)
    assert np.array_equal(clean["feature"][after], leaked["feature"][after])
    assert np.array_equal(clean["score"][after], leaked["score"][after])


def test_readings_under_our_own_light_are_marked_and_never_detect() -> None:
    rows = readings(with_events(noise(30), [15.0, 15.3]))
    steps = steps_of(rows)
    planned = (steps["bits"] & PLANNED) != 0
    assert planned[1500:1570].all()
    assert not planned[1575:].any()
    assert not (steps["bits"][planned] & VALID)[1:].any()


def test_light_seen_by_the_ttl_copy_freezes_what_the_plan_did_not_know() -> None:
    rows = readings(noise(30))
    lit = rows.copy()
    lit["flags"][2000:2100] |= FLAG_LIGHT
    lit["signal_lit"][2000:2100] *= 2
    steps = steps_of(lit)
    assert not (steps["bits"][2000:2100] & (VALID | DETECTED)).any()
    assert not (steps["bits"][2100:] & DETECTED).any()


def test_an_unknown_value_is_neither_high_nor_low() -> None:
    rows = readings(with_events(noise(30), [15.0], lasts_s=1.0), control=noise(30, seed=3))
    rows["flags"][1550] |= FLAG_NO_CONTROL
    steps = steps_of(rows, features=(Isosbestic(mode="adaptive", baseline=10.0),), train=Train(on=0.01), recovery_s=0.0)
    assert np.isnan(steps["score"][1550])
    assert (steps["bits"][1551] & HIGH) != 0
    assert np.count_nonzero(steps["bits"] & DETECTED) == 1


@pytest.mark.parametrize(
    ("flag", "reason"),
    [(FLAG_SIGNAL_SATURATED, "SATURATED"), (FLAG_DROPPED_CONVERSIONS, "DROPPED")],
)
def test_a_flagged_reading_vetoes_with_its_reason(flag: int, reason: str) -> None:
    rows = readings(with_events(noise(30), [15.0]))
    rows["flags"][1495] |= flag
    assert refusals(steps_of(rows)) == [reason]


def test_a_gap_vetoes_and_a_long_one_begins_anew() -> None:
    rows = readings(with_events(noise(60), [15.3, 42.0]))
    short = np.delete(rows, slice(1460, 1490))
    assert refusals(steps_of(short)) == ["GAP", "NONE"]
    long = np.delete(rows, slice(2000, 3500))
    steps = steps_of(long)
    assert refusals(steps) == ["NONE", "WARM_UP"]
    assert np.count_nonzero(steps["bits"] & RESTARTED) == 1


def test_a_flat_line_is_no_signal() -> None:
    signal = noise(30)
    signal[1000:1495] = signal[1000]
    assert refusals(steps_of(readings(with_events(signal, [15.0])))) == ["FLAT"]


def test_an_unplugged_fibre_never_fires_and_a_replugged_one_begins_anew() -> None:
    signal = noise(90)
    signal[2000:4000] = noise(20, seed=2, level=0.4, sd=0.001)
    signal[1990:2000] *= 3  # the hand on the cable
    signal = with_events(signal, [25.0, 47.0, 60.0])
    rows = readings(signal)
    steps = steps_of(rows)
    assert refusals(steps) == ["JUMP", "WARM_UP", "NONE"]
    assert set(steps["veto"][2010:3990]) == {Refusal.UNPLUGGED}
    assert fired_s(rows, steps) == [60.0]


def test_a_fibre_plugged_in_late_begins_anew_at_its_own_level() -> None:
    signal = noise(90)
    signal[:2000] = noise(20, seed=2, level=0.3, sd=0.001)
    rows = readings(with_events(signal, [21.0, 60.0]))
    steps = steps_of(rows)
    assert fired_s(rows, steps) == [60.0]
    assert set(refusals(steps)) >= {"JUMP", "NONE"}


def test_a_signal_below_its_dark_never_fires_and_light_begins_anew() -> None:
    rows = readings(with_events(noise(90), [15.0, 32.0, 60.0]))
    rows["signal_dark"][:3000] = 2 * rows["signal_lit"][:3000]
    steps = steps_of(rows)
    assert set(steps["veto"][210:3000]) == {Refusal.BELOW_DARK}
    assert np.isnan(steps["feature"][:3000]).all() or len(set(steps["score"][210:3000])) == 1
    assert fired_s(rows, steps) == [60.0]
    assert np.count_nonzero(steps["bits"] & RESTARTED) == 1


def test_a_control_without_light_is_no_veto_where_nobody_asks_for_it() -> None:
    rows = readings(with_events(noise(30), [15.0]))
    rows["control_dark"] = 2 * rows["control_lit"]
    assert fired_s(rows, steps_of(rows)) == [15.0]


def exchanged(rows: Readings, begin: int, end: int | None = None) -> Readings:
    """The same readings with signal and control in each other's place."""
    rows = rows.copy()
    signal = rows["signal_lit"][begin:end].copy()
    rows["signal_lit"][begin:end] = rows["control_lit"][begin:end]
    rows["control_lit"][begin:end] = signal
    return rows


@pytest.mark.parametrize("level", [0.8, 0.9, 1.1, 1.25])
def test_exchanged_channels_are_vetoed_until_they_change_back(level: float) -> None:
    bleaching = np.linspace(1.0, 0.96, 9000)
    control = noise(90, seed=5, level=level) * bleaching
    rows = readings(with_events(noise(90) * bleaching, [float(at) for at in range(31, 60, 3)] + [75.0]), control)
    steps = steps_of(exchanged(rows, 3000, 6000))
    assert set(steps["veto"][3090:6000]) == {Refusal.DROPPED}
    assert not [at for at in fired_s(rows, steps) if 30.1 < at < 60.0]
    assert set(steps["veto"][6150:]) == {0}
    assert steps_of(rows)["veto"].max() == 0


def test_at_the_rate_of_a_camera_the_first_exchanged_reading_is_vetoed() -> None:
    rows = readings(noise(30), noise(30, seed=5, level=1.1), rate_hz=10.0)
    steps = Loop(plan(), rate_hz=10.0, nano_units=NANO_UNITS).run(exchanged(rows, 1500))
    assert set(steps["veto"][1500:]) == {Refusal.DROPPED}
    assert not steps["veto"][:1500].any()


def test_white_noise_alone_is_taken_for_an_unplugged_fibre_where_presence_is_asked_for() -> None:
    asked = Quality(settle=1.0, presence_window=10.0)
    rows = readings(with_events(noise(60), [40.0]))
    assert refusals(steps_of(rows, quality=asked)) == ["NO_SIGNAL"]
    step = noise(60)
    step[:200] *= 1.1  # the LEDs have just been switched on: one window with a step in it is not enough
    assert fired_s(readings(step), steps_of(readings(with_events(step, [40.0])), quality=asked)) == []
    slow = 1 + 0.02 * np.sin(np.arange(6000) / 300)
    alive = readings(with_events(noise(60) * slow, [40.0], size=0.2))
    assert fired_s(alive, steps_of(alive, quality=asked)) == [40.0]


def test_a_lasting_shift_does_not_hold_the_statistics_for_ever() -> None:
    signal = noise(120)
    signal[2000:] *= 1.15
    steps = steps_of(readings(with_events(signal, [100.0])))
    assert (steps["bits"][2100] & HIGH) != 0
    assert (steps["bits"][9500] & HIGH) == 0
    assert np.count_nonzero(steps["bits"] & DETECTED) == 2


def test_limits_refuse_with_their_reason() -> None:
    rows = readings(with_events(noise(60), [15.0, 20.0, 25.0, 30.0]))
    tight = plan().limits._replace(trains_per_minute=2)
    assert refusals(steps_of(rows, limits=tight)) == ["NONE", "NONE", "TRAIN_RATE", "TRAIN_RATE"]
    short = plan().limits._replace(short_on_ms=500)
    assert refusals(steps_of(rows, limits=short)) == ["NONE", "NONE", "DUTY_SHORT", "DUTY_SHORT"]
    assert set(refusals(steps_of(rows, limits=plan().limits._replace(on_us=1000)))) == {"ON_TIME"}
    assert set(refusals(steps_of(rows, limits=plan().limits._replace(level=1000)))) == {"LEVEL"}


def test_the_duty_of_a_long_train_counts_what_its_first_pulse_still_meets() -> None:
    limits = plan().limits._replace(short_on_ms=2000)
    ledger = np.zeros(1, host_limits.MEMORY)[0]
    one = host_limits.parameters(Train(on=0.5), 65_535, limits)[0]
    for second in (0, 1, 2):
        assert host_limits.refusal(ledger, one, second * 1_000_000) == 0
        host_limits.spend(ledger, one, second * 1_000_000)
    two = host_limits.parameters(Train(on=0.6, period=59.0, count=2), 65_535, limits)[0]
    assert host_limits.refusal(ledger, two, 30_000_000) == Refusal.DUTY_SHORT
    assert host_limits.refusal(ledger, two, 63_000_000) == 0


@pytest.mark.parametrize("value", [0, 1, -1, 2**31 - 1, -(2**31 - 1)])
def test_nonsense_counts_never_fire_and_leave_a_detector_that_lives(value: int) -> None:
    rows = readings(with_events(noise(90), [80.0]))
    rows["signal_lit"][2000:2100] = value
    steps = steps_of(rows)
    assert fired_s(rows, steps) == [80.0]


def test_time_running_backwards_never_fires() -> None:
    rows = readings(with_events(noise(30), [15.0]))
    rows["ticks"] = rows["ticks"][::-1]
    assert fired_s(rows, steps_of(rows)) == []


def test_readings_as_they_come_give_the_steps_of_a_replay_to_the_last_bit() -> None:
    given = readings(with_events(noise(20), (12.0, 15.0)))
    whole = Loop(plan(), rate_hz=RATE_HZ, nano_units=NANO_UNITS).run(given)
    for cut in (1, 3, 256):
        live = Loop(plan(), rate_hz=RATE_HZ, nano_units=NANO_UNITS)
        taken = [live.take(given[at : at + cut]).copy() for at in range(0, len(given), cut)]
        assert np.concatenate(taken).tobytes() == whole.tobytes()


def test_an_array_that_is_laid_out_otherwise_is_taken_all_the_same() -> None:
    given = readings(noise(2))
    spread = np.zeros(2 * len(given), given.dtype)[::2]
    spread[:] = given
    whole = Loop(plan(), rate_hz=RATE_HZ, nano_units=NANO_UNITS).run(given)
    live = Loop(plan(), rate_hz=RATE_HZ, nano_units=NANO_UNITS)
    assert live.take(spread[:200]).tobytes() == whole[:200].tobytes()
