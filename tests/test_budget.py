"""The light budget: what is computed, what is warned of, and what is refused before anything is started."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from closedloop import limits
from closedloop.analysis.budget import Budget, budget, lines
from closedloop.analysis.busiest import busiest
from closedloop.limits import Limits
from closedloop.protocol import Protocol, load_protocol
from closedloop.rig import Rig, load_rig
from closedloop.train import Refusal, Train

LIMITS = limits.effective(lease_s=0.25)


def budget_of(*overrides: str, rig: Rig | None = None) -> Budget:
    return budget(load_protocol("withdrawal_inhibition", overrides), rig or load_rig("simulated"))


def test_figures_of_a_known_protocol() -> None:
    found = budget_of("limits.trains_per_minute=10", "light.ramp_off=0 s")
    assert found.tip_mw == 5.0
    assert found.tip_mw_per_mm2 == pytest.approx(159, rel=0.005)
    assert found.target_mw_per_mm2 is not None
    assert found.target_mw_per_mm2[0] < found.target_mw_per_mm2[1]
    assert (found.lit_s, found.span_s) == (0.5, 0.5)
    assert found.energy_per_train_mj == pytest.approx(2.5)
    assert found.trains_per_minute == 10
    assert found.short_duty == pytest.approx(10 * 0.5 / 60)
    assert found.mean_mw == pytest.approx(5 * found.long_duty)
    assert found.refusals == ()


def test_pulse_trains_count_their_lit_time_not_their_span() -> None:
    found = budget_of("light.period=50 ms", "light.on=5 ms", "light.count=20", "light.ramp_off=0 s")
    assert (found.lit_s, found.span_s) == (pytest.approx(0.1), pytest.approx(0.955))


def test_without_a_rig_what_cannot_be_known_is_none() -> None:
    found = budget(load_protocol("withdrawal_inhibition"))
    assert (found.rig, found.tip_mw_per_mm2, found.target_mw_per_mm2) == (None, None, None)
    assert found.tip_mw == 5.0


def test_without_calibration_power_and_heat_are_unknown_and_said_to_be() -> None:
    rig = load_rig("simulated").model_copy(update={"light": None})
    found = budget_of(rig=rig)
    assert (found.tip_mw, found.heating_kelvin, found.energy_per_train_mj, found.mean_mw) == (None,) * 4
    assert any(said.startswith("light.power: the rig has no calibration") for said in found.refusals)
    assert budget(without_power(), rig).refusals == ()


@pytest.mark.parametrize(
    ("overrides", "phrase"),
    [
        (["light.power=10.5 mW", "light.on=50 ms"], "light.power: 10.5 mW is more than the rig's full power (10 mW)"),
        (["light.on=950 ms"], "light.on: with its ramp 1.05 s, longer than the limit in force (1 s)"),
        (["light.on=300 ms", "limits.longest_on=200 ms"], "longer than the limit in force (200 ms)"),
        (["light.on=0.1 us", "light.ramp_off=0 s"], "light.on: shorter than the board's clock ticks"),
        (
            ["light.power=5 mW", "limits.level=40 %"],
            "light.power: 50 % of full power is above the limit in force (40 %)",
        ),
        (["light.count=2", "light.period=501 ms"], "light.period: leaves 1 ms of darkness between pulses"),
        (["light.count=40", "light.period=1 s"], "light.count: one train is 20.1 s of light"),
        (["light.count=30", "light.period=100 s"], "light.count: one train lasts 2900.6 s"),
        (["light.power=10 mW"], "heat: modelled warming"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_would_never_be_given_is_refused(overrides: list[str], phrase: str) -> None:
    refusals = budget_of(*overrides).refusals
    assert any(phrase in said for said in refusals), refusals
    assert all("; " in said for said in refusals), "each says what to do"


def test_the_rigs_limits_count_as_well_as_the_protocols() -> None:
    rig = load_rig("simulated").model_copy(update={"limits": Limits(longest_on=0.25)})
    assert any("limit in force (250 ms)" in said for said in budget_of(rig=rig).refusals)


@pytest.mark.parametrize(
    ("overrides", "phrase"),
    [
        (["light.on=300 ms"], "above 0.5 K"),
        (["light.power=2 mW", "limits.trains_per_minute=60", "policy.refractory=0 s"], "the limits let"),
        (["light.power=5 mW"], "159 mW/mm2 at the tip is above 75 (a working limit, unverified)"),
        (["policy.refractory=1 s"], "refractory 1 s would let"),
    ],
)
def test_what_should_be_thought_about_is_a_warning(overrides: list[str], phrase: str) -> None:
    found = budget_of(*overrides)
    assert any(phrase in said for said in found.warnings), found.warnings
    assert found.refusals == ()


def test_high_mean_power_is_a_warning() -> None:
    fibre = load_rig("simulated").light
    assert fibre is not None
    rig = load_rig("simulated").model_copy(update={"light": fibre.model_copy(update={"full_power": 100.0})})
    found = budget_of(
        "light.power=30 mW", "light.on=50 ms", "policy.refractory=0 s", "limits.trains_per_minute=60", rig=rig
    )
    assert found.mean_mw == pytest.approx(3.0, rel=0.01)
    assert any("above 2 mW (a working limit, unverified)" in said for said in found.warnings)


def test_a_gentle_protocol_gives_no_warning() -> None:
    assert budget_of("light.on=100 ms", "light.power=2 mW", "limits.trains_per_minute=12").warnings == ()


def test_a_dry_run_says_that_no_light_will_come() -> None:
    found = budget_of(rig=dry_rig())
    assert any("dry_run gives no light" in said for said in found.warnings)
    assert found.refusals == ()


def without_power() -> Protocol:
    protocol = load_protocol("withdrawal_inhibition")
    return protocol.model_copy(update={"light": Train(on=0.5, level=0.5)})


def dry_rig() -> Rig:
    return Rig.model_validate(
        {
            "version": 1,
            "name": "dry",
            "daq": {"kind": "photometry_board", "port": "simulated"},
            "stimulator": {"kind": "dry_run"},
            "simulation": {},
        }
    )


def test_sham_has_the_same_figures_and_says_that_it_is_dark() -> None:
    rig = load_rig("simulated")
    sham, real = budget(load_protocol("withdrawal_sham"), rig), budget(load_protocol("withdrawal_inhibition"), rig)
    assert (sham.heating_kelvin, sham.long_duty, sham.refusals) == (real.heating_kelvin, real.long_duty, real.refusals)
    assert any("gives no light" in said for said in sham.notes)


def test_as_dict_is_plain_json_and_loses_nothing() -> None:
    found = budget_of("light.on=2 s")
    assert set(json.loads(json.dumps(found.as_dict()))) == set(Budget.__dataclass_fields__)


def test_lines_fit_one_screen_and_name_their_units() -> None:
    said = lines(budget_of())
    assert len(said) <= 24
    assert all(len(line) <= 120 for line in said)
    for unit in ("mW", "mW/mm2", "mJ", "K", "ms", "%"):
        assert any(f" {unit}" in line for line in said), unit


def test_refusals_stand_in_the_lines() -> None:
    found = budget_of("light.on=2 s")
    assert [line.split("REFUSED")[1].strip() for line in lines(found) if "REFUSED" in line] == list(found.refusals)


TRAINS = st.builds(
    lambda on, rest, count: Train(on=on, period=on + rest, count=count),
    st.floats(0.005, 1.0),
    st.floats(0.002, 1.0),
    st.integers(1, 8),
)


@settings(max_examples=30, deadline=None)
@given(TRAINS, st.floats(0, 10), st.integers(1, 60), st.floats(0.01, 0.25), st.floats(0.01, 0.1))
def test_the_busiest_schedule_is_what_the_ledger_allows_and_no_later(
    train: Train, refractory_s: float, rate: int, short: float, long: float
) -> None:
    asked = Limits(trains_per_minute=rate, short_duty=short, long_duty=long)
    in_force = limits.effective(asked, lease_s=0.25)
    if limits.impossible(train, None, in_force):
        return
    memory, p = np.zeros(1, limits.MEMORY)[0], limits.parameters(train, 65_535, in_force)[0]
    starts = busiest(train, refractory_s, in_force, 700).starts_us
    for i, start in enumerate(starts[:200]):
        assert limits.refusal(memory, p, start) == Refusal.NONE
        earliest = starts[i - 1] + train.span_us + round(refractory_s * 1e6) if i else start
        if start > earliest:
            assert limits.refusal(memory, p, start - 1) != Refusal.NONE
        limits.spend(memory, p, start)


@settings(max_examples=30, deadline=None)
@given(TRAINS, st.floats(0, 10))
def test_no_window_of_the_busiest_schedule_exceeds_the_ceiling(train: Train, refractory_s: float) -> None:
    if limits.impossible(train, None, LIMITS):
        return
    worst = busiest(train, refractory_s, LIMITS, 1200)
    assert worst.lit_us(60_000_000) <= LIMITS.short_on_ms * 1000
    assert worst.lit_us(600_000_000) <= LIMITS.long_on_ms * 1000
    assert worst.trains(60_000_000) <= LIMITS.trains_per_minute


def test_a_train_cut_by_the_window_does_not_hold_the_schedule_for_ever() -> None:
    in_force = limits.effective(Limits(short_duty=0.228, long_duty=0.049), lease_s=0.25)
    worst = busiest(Train(on=0.385, period=1.188, count=7), 3.97, in_force, 700)
    assert worst.lit_us(600_000_000) <= in_force.long_on_ms * 1000


def test_an_impossible_train_is_given_once_so_that_its_figures_can_be_shown() -> None:
    assert busiest(Train(on=100.0), 1.0, LIMITS, 1200).starts_us == (0,)
