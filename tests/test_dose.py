"""The light of a session against its limits, through the loop: what is reached is said once and holds to the end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from partner_sessions import logged
from plans import NANO_UNITS, RATE_HZ, noise, plan, readings, with_events
from virtual_session import VirtualSession

from closedloop import dose
from closedloop.dose import DoseLimits
from closedloop.limits import Limits
from closedloop.loop import Loop
from closedloop.optics import Warmth, warmed, warmed_by_pulses
from closedloop.policies.catch import Catch
from closedloop.policies.sham import Sham
from closedloop.steps import LATCHED
from closedloop.train import Refusal, Train

EVENTS_S = [12.0, 16.0, 20.0, 24.0, 28.0, 32.0]
ROWS = readings(with_events(noise(40), EVENTS_S))
NAMES = plan().decisions


def loop_of(**changes: Any) -> Loop:
    return Loop(plan(**changes), rate_hz=RATE_HZ, nano_units=NANO_UNITS)


def said(steps: Any, names: tuple[str, ...] = NAMES) -> list[tuple[str, str]]:
    at = np.flatnonzero(steps["decision"])
    return [(names[steps["decision"][i] - 1], Refusal(int(steps["refused"][i])).name) for i in at]


REACHED = [
    (DoseLimits(trains=3), "DOSE_TRAINS"),
    (DoseLimits(on_s=0.7), "DOSE_ON"),  # 200 ms each
    (DoseLimits(on_s=0.6), "DOSE_ON"),
    (DoseLimits(energy_mj=3.2), "DOSE_ENERGY"),  # 1 mJ each
    (DoseLimits(trains=9, on_s=99.0, energy_mj=3.0), "DOSE_ENERGY"),
]


@pytest.mark.parametrize(("limit", "reason"), REACHED)
def test_reaching_a_limit_refuses_that_train_and_turns_light_to_sham_from_there_on(
    limit: DoseLimits, reason: str
) -> None:
    steps = loop_of(dose=limit, power_mw=5.0).run(ROWS)
    assert said(steps) == [("fire", "NONE")] * 3 + [("fire", reason)] + [("sham", "NONE")] * 2
    latched = (steps["bits"] & LATCHED) != 0
    assert latched.tolist() == (np.arange(len(ROWS)) >= 2400).tolist()


@pytest.mark.parametrize(("limit", "reason"), REACHED)
def test_a_live_session_says_so_once_and_stays_dark(limit: DoseLimits, reason: str) -> None:
    ran = VirtualSession(ROWS, plan(dose=limit, power_mw=5.0)).run(39)
    assert len(ran.lit_s) == 3
    notes = [e for e in ran.notebook.events if e["kind"] == "note" and e["reason"] == "latched"]
    assert len(notes) == 1
    assert notes[0]["ticks"] == 24_000_000
    assert reason.lower() in notes[0]["text"]
    assert ran.notebook.kinds("refused") == [reason.lower()]
    assert ran.notebook.kinds("decision") == ["fire"] * 4 + ["sham"] * 2


def test_sham_trains_count_like_the_others_so_that_arms_do_not_part() -> None:
    closed, sham = (loop_of(dose=DoseLimits(trains=3), policy=one).run(ROWS) for one in (plan().policy, Sham()))
    same = [name for name in closed.dtype.names if name != "decision"]
    assert all(closed[name].tobytes() == sham[name].tobytes() for name in same)


def test_catch_trials_count_like_the_others() -> None:
    p = plan(dose=DoseLimits(trains=3), policy=Catch(probability=0.5), seed=2)
    steps = Loop(p, rate_hz=RATE_HZ, nano_units=NANO_UNITS).run(ROWS)
    given = [decision for decision, refused in said(steps, p.decisions)[:3] if refused == "NONE"]
    assert len(given) == 3
    assert (steps["bits"][-1] & LATCHED) != 0


def test_a_test_pulse_after_the_limit_is_refused_with_that_limit() -> None:
    loop = loop_of(dose=DoseLimits(trains=2))
    parts = [loop.run(ROWS[:2700])]
    loop.ask_test_pulse()
    parts.append(loop.run(ROWS[2700:]))
    assert ("test", "DOSE_TRAINS") in said(np.concatenate(parts))
    assert said(np.concatenate(parts)).count(("fire", "NONE")) == 2


def test_a_restart_of_the_baseline_gives_no_new_dose() -> None:
    rows = readings(with_events(noise(90), [*EVENTS_S, 60.0, 70.0, 80.0]))
    rows = np.delete(rows, np.arange(3600, 5000))
    steps = loop_of(dose=DoseLimits(trains=4)).run(rows)
    assert said(steps).count(("fire", "NONE")) == 4
    assert said(steps)[-1] == ("sham", "NONE")


def test_the_least_of_all_that_is_asked_counts() -> None:
    rig = Limits(trains_per_session=50, session_on=20.0, heating=0.8)
    protocol = Limits(trains_per_session=60, session_on=10.0, session_energy=40.0)
    assert dose.effective(rig, protocol) == DoseLimits(50, 10.0, 40.0, 0.8)
    assert dose.effective(None, None) == dose.NO_LIMITS


def test_limits_that_cannot_be_kept_are_refused_before_the_start() -> None:
    train = Train(on=0.2)
    (unknown,) = dose.impossible(train, None, DoseLimits(energy_mj=5.0))
    assert "give the rig a light section" in unknown
    (none,) = dose.impossible(train, 5.0, DoseLimits(energy_mj=0.5))
    assert "dose_energy lets not one train begin" in none
    assert dose.impossible(train, 5.0, DoseLimits(energy_mj=1.0)) == []


# heat

HOT = Train(on=0.2)
OFTEN = readings(with_events(noise(60), [float(at) for at in np.arange(10, 58, 1.0)]))


def kelvin_of_one(power_mw: float) -> float:
    warmth = warmed_by_pulses(Warmth(), power_mw, HOT.on, HOT.on, 1)
    return max(warmth.fast, warmth.slow)


def test_warming_is_unknown_without_calibration_and_nothing_is_refused_by_it() -> None:
    steps = loop_of(power_mw=None).run(ROWS)
    assert np.isnan(steps["kelvin"]).all()
    assert "HEAT" not in {reason for _, reason in said(steps)}


def test_a_train_that_would_warm_too_much_is_refused_until_it_has_cooled() -> None:
    most = 1.1 * kelvin_of_one(20.0)
    steps = loop_of(
        power_mw=20.0, dose=DoseLimits(kelvin=most), policy=plan().policy.model_copy(update={"refractory": 0.1})
    ).run(OFTEN)
    reasons = [reason for _, reason in said(steps)]
    assert reasons[0] == "NONE"
    first = reasons.index("HEAT")
    assert "NONE" in reasons[first:]  # it cooled, and light came again
    assert not (steps["bits"] & LATCHED).any()
    assert np.nanmax(steps["kelvin"]) <= most


def test_modelled_warming_is_never_less_than_the_pulse_by_pulse_model() -> None:
    steps = loop_of(power_mw=8.0).run(ROWS)
    at = [round(event * RATE_HZ) for event in EVENTS_S]
    warmth, last_s = Warmth(), EVENTS_S[0]
    for index, event in zip(at, EVENTS_S, strict=True):
        warmth = warmed(warmth, 0.0, event - last_s)
        warmth = warmed_by_pulses(warmth, 8.0, HOT.on, HOT.on, 1)
        last_s = event + HOT.on
        true_peak = max(warmth.fast, warmth.slow)
        assert steps["kelvin"][index] >= true_peak - 1e-9
        assert steps["kelvin"][index] == pytest.approx(true_peak, rel=0.02)
    assert (np.diff(steps["kelvin"][at[-1] + 30 :]) <= 0).all()


def test_cuts_change_no_dose() -> None:
    changes: Any = {"power_mw": 8.0, "dose": DoseLimits(trains=4)}
    whole, loop = loop_of(**changes).run(ROWS), loop_of(**changes)
    parts = [loop.run(part) for part in np.split(ROWS, [5, 1200, 1201, 1621, 2500])]
    assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_doses_stand_through_a_pause() -> None:
    ran = logged(ROWS, plan(dose=DoseLimits(trains=3), power_mw=5.0), pauses=((17.0, 19.0),))
    assert said(ran.steps).count(("fire", "NONE")) == 3
