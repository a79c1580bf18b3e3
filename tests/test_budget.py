"""The light budget: what is computed, what is warned of, and what is refused before anything is started."""

from __future__ import annotations

import json
import os
import shutil
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from closedloop import commands, limits, optics
from closedloop.analysis.budget import Budget, budget, lines
from closedloop.busiest import busiest
from closedloop.limits import Limits
from closedloop.preparation import Preparation
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


def test_on_a_narrow_terminal_the_texts_stay_under_one_another(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((70, 24)))
    said = lines(budget_of())
    commands.show({}, said, as_json=False)
    shown = capsys.readouterr().out.splitlines()
    column = said[1].index("0.6 s of light")
    assert len(shown) > len(said)
    assert all(len(line) <= 70 and line[:column].rstrip()[:2] in ("", "  ") for line in shown[1:])
    assert all(line[column - 1] == " " and line[column] != " " for line in shown[1:])


def test_refusals_stand_in_the_lines() -> None:
    found = budget_of("light.on=2 s")
    assert [line.split("REFUSED")[1].strip() for line in lines(found) if "REFUSED" in line] == list(found.refusals)


# Opsin, heat bounds, the whole session


def prepared(**changed: object) -> Protocol:
    said: dict[str, object] = {"opsin": "Jaws", "indicator": "GCaMP6f", "compartment": "soma", "same_fibre": True}
    return load_protocol("withdrawal_inhibition").model_copy(
        update={"preparation": Preparation.model_validate(said | {"site": "VP"} | changed)}
    )


def test_the_budget_says_how_deep_the_opsin_is_reached_and_what_photometry_light_opens() -> None:
    found = budget(prepared(), load_rig("simulated"))
    assert (found.opsin, found.needed_mw_per_mm2) == ("Jaws", (5, 10))
    assert found.reached_mm is not None
    deepest = optics.depth_reached(5, 5, 0.2, 0.39)[1]
    assert found.reached_mm == pytest.approx((optics.depth_reached(10, 5, 0.2, 0.39)[0], deepest))
    assert [(one.nm, one.mw_per_mm2) for one in found.photometry] == [
        (470, pytest.approx(optics.tip_irradiance(0.03, 0.2))),
        (405, pytest.approx(optics.tip_irradiance(0.02, 0.2))),
    ]
    assert any("less than the 5 to 10 that opens half of Jaws (unverified)" in said for said in found.warnings)
    shown = "\n".join(lines(found))
    assert "needs 5 to 10 mW/mm2 (unverified); met to a depth of 0.3 to 0.49 mm" in shown
    assert "470 nm 0.955 mW/mm2 (opens 0 to 16 %)" in shown


def test_an_invalid_pair_is_refused_in_the_budget_and_not_on_another_fibre() -> None:
    rig = load_rig("simulated")
    (said,) = budget(prepared(opsin="GtACR2"), rig).refusals
    assert said.startswith("preparation.opsin: GtACR2 with GCaMP6f on one fibre is not valid")
    apart = budget(prepared(opsin="GtACR2", same_fibre=False), rig)
    assert (apart.refusals, apart.photometry) == ((), ())


def test_an_invalid_pair_does_not_matter_where_there_is_no_light() -> None:
    assert budget(prepared(opsin="GtACR2"), dry_rig()).refusals == ()


def test_a_wanted_irradiance_that_is_met_is_not_warned_of() -> None:
    found = budget(prepared(needed="3 mW/mm2"), load_rig("simulated"))
    assert not any("at the target" in said for said in found.warnings)
    assert found.needed_source == "as the protocol says"


def test_a_budget_with_all_there_is_to_say_still_fits_a_screen() -> None:
    said = lines(budget(prepared(compartment="terminals"), load_rig("simulated")))
    assert len(said) <= 32


def test_bounds_of_heat_are_those_of_the_functions() -> None:
    found = budget_of("light.ramp_off=0 s")
    absorbed = optics.absorption(638)
    assert absorbed is not None
    tip = optics.tip_irradiance(5, 0.2)
    assert found.adiabatic_kelvin == pytest.approx(optics.adiabatic_heating(tip, absorbed, 0.5))
    assert found.conducted_kelvin == pytest.approx(optics.conducted_heating(5, 0.25, 0.5))
    assert found.conducted_mean_kelvin == pytest.approx(optics.conducted_heating(found.mean_mw or 0, 0.25))


def test_heat_of_a_wavelength_without_a_known_absorption_is_unknown() -> None:
    fibre = load_rig("simulated").light
    assert fibre is not None
    rig = load_rig("simulated").model_copy(update={"light": fibre.model_copy(update={"wavelength": 405.0})})
    found = budget_of(rig=rig)
    assert found.adiabatic_kelvin is None
    assert not any("no heat left" in line for line in lines(found))


def test_a_whole_session_is_the_busiest_one_after_warm_up() -> None:
    found = budget_of("warm_up=5 min", "duration=30 min", "light.ramp_off=0 s")
    assert found.session_trains == 25 * 10  # ten a minute
    assert found.session_on_s == pytest.approx(found.session_trains * 0.5)
    assert found.session_energy_mj == pytest.approx(found.session_on_s * 5)


def test_the_sessions_own_limits_count() -> None:
    found = budget_of("limits.trains_per_session=40", "limits.session_on=10 s", "light.ramp_off=0 s")
    assert found.session_trains == 20
    assert "at most 40 trains in the whole session" in found.limits
    assert "at most 10 s of light in the whole session" in found.limits


def test_a_limit_of_the_session_that_lets_nothing_begin_is_refused() -> None:
    assert any("dose_on lets not one train begin" in said for said in budget_of("limits.session_on=100 ms").refusals)


def test_a_tighter_limit_of_heat_than_trains_in_a_row_keep_to_is_a_warning() -> None:
    hasty = ("light.on=100 ms", "light.ramp_off=0 s", "policy.refractory=100 ms", "limits.trains_per_minute=60")
    found = budget_of("limits.heating=0.3 K", *hasty)
    assert found.refusals == ()
    assert any("the limit of 0.3 K will hold trains back" in said for said in found.warnings)


def test_a_limit_of_heat_that_no_train_keeps_to_is_refused() -> None:
    (said,) = budget_of("limits.heating=0.6 K").refusals
    assert said.startswith("heat: one train warms by 0.87 K (modelled), above 0.6 K")


BLOCKS = (
    "[{name: baseline, lasts: 10 min, policy: {kind: manual}}, {name: loop, lasts: 10 min}, {name: end, lasts: 5 min}]"
)


def in_blocks(*overrides: str) -> Budget:
    protocol = load_protocol("withdrawal_inhibition", ("duration=", f"blocks={BLOCKS}", *overrides))
    return budget(protocol, load_rig("simulated"))


def test_only_blocks_that_act_count_in_a_session() -> None:
    found = in_blocks("light.ramp_off=0 s")
    assert found.session_trains == 15 * 10
    assert [said.partition(" ")[0] for said in found.blocks] == ["baseline", "loop", "end"]
    assert any("baseline 10 min (manual), then loop 10 min (closed_loop)" in line for line in lines(found))


def test_the_worst_case_is_that_of_the_busiest_policy() -> None:
    quick = in_blocks("blocks.2.policy={kind: closed_loop, refractory: 0 s}", "limits.trains_per_minute=60")
    slow = in_blocks("limits.trains_per_minute=60")
    assert quick.trains_per_minute > slow.trains_per_minute


def test_a_least_interval_holds_trains_apart() -> None:
    found = budget_of("policy.least_interval=20 s")
    assert found.trains_per_minute == 3


def test_a_gate_on_an_input_that_the_rig_has_not_is_refused() -> None:
    (said,) = budget_of("gates=[{input: wheel, when: high}]").refusals
    assert said.startswith("gates.0.input: there is no input 'wheel' here")
    assert budget_of("gates=[{input: chamber, when: high}]").refusals == ()


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
