"""Which opsin, indicator and light go together: the table of the domain notes, case by case, and its page."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from closedloop import optics, preparation
from closedloop.anchor import Photometry
from closedloop.fibre import Fibre
from closedloop.model import FROM_FILE
from closedloop.optics import Findings, PhotometryLight, compatible
from closedloop.preparation import Preparation
from closedloop.train import Train

DOCS = Path(__file__).parents[1] / "docs"
LIGHTS = (PhotometryLight(470, 0.24), PhotometryLight(405, 0.1))
JAWS_FIBRE = Fibre(wavelength=638, full_power=10, core=200, aperture=0.39)
PHOTOMETRY = Photometry(sensor="GCaMP6f, lot 3", fibre="VP", signal_power=0.03, control_power=0.02)
RAMP = Train(on=0.5, ramp_off=0.1)


def tables() -> Any:
    spec = importlib.util.spec_from_file_location("light_tables", DOCS / "light_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def prepared(**changed: object) -> Preparation:
    said: dict[str, object] = {"opsin": "Jaws", "indicator": "GCaMP6f", "compartment": "soma", "same_fibre": True}
    return Preparation.model_validate(said | {"site": "VP"} | changed)


def found(train: Train | None = RAMP, light: Fibre | None = JAWS_FIBRE, **changed: object) -> Findings:
    return preparation.findings(prepared(**changed), light, PHOTOMETRY, train)


GREEN = ["GCaMP6f", "GCaMP6s", "jGCaMP8m", "jGCaMP7f", "dLight1.3b", "GRAB_DA2m", "iGluSnFR", "GFP", "other green"]
RED = ["jRGECO1a", "RCaMP1.07", "jRCaMP1b", "tdTomato", "other red"]


@pytest.mark.parametrize("indicator", GREEN[:3])
@pytest.mark.parametrize("opsin", ["GtACR1", "GtACR2", "stGtACR2", "PPO", "eOPN3"])
def test_a_green_indicator_and_an_opsin_that_its_light_drives_are_refused_on_one_fibre(
    indicator: str, opsin: str
) -> None:
    said = compatible(indicator, opsin, 470, LIGHTS)
    assert len(said.refusals) == 1
    assert "is not valid" in said.refusals[0]
    assert "; use " in said.refusals[0]
    assert compatible(indicator, opsin, 470, LIGHTS, same_fibre=False).refusals == ()


@pytest.mark.parametrize("opsin", ["eNpHR3.0", "Arch3.0", "ArchT", "PPO", "eOPN3"])
def test_a_red_indicator_and_an_opsin_that_its_light_drives_are_refused_on_one_fibre(opsin: str) -> None:
    assert compatible("jRGECO1a", opsin, 590).refusals
    assert compatible("jRGECO1a", opsin, 590, same_fibre=False).refusals == ()


@pytest.mark.parametrize(
    ("indicator", "opsin", "nm"),
    [("GCaMP6f", "Jaws", 638), ("GCaMP6f", "eNpHR3.0", 590), ("GCaMP6f", "ArchT", 594), ("jRCaMP1b", "GtACR2", 470)],
)
def test_what_can_work_is_not_refused(indicator: str, opsin: str, nm: float) -> None:
    assert compatible(indicator, opsin, nm, LIGHTS).refusals == ()


def test_the_best_pair_is_not_warned_of() -> None:
    said = compatible("GCaMP6f", "Jaws", 638, LIGHTS)
    assert said.warnings == ()
    assert any("best pair" in one for one in said.notes)


def test_blue_light_and_an_indicator_made_of_mapple_is_a_warning_marked_unverified() -> None:
    assert any("photoswitches" in one and "unverified" in one for one in compatible("jRGECO1a", "GtACR2", 470).warnings)
    assert not any("photoswitches" in one for one in compatible("jRCaMP1b", "GtACR2", 470).warnings)


def test_the_part_of_gtacr2_that_photometry_light_opens_is_that_of_the_published_model() -> None:
    assert optics.part_open(0.24, 0.04) == pytest.approx(0.84, abs=0.03)


def test_the_part_that_photometry_light_opens_stands_in_the_warning_in_numbers() -> None:
    said = " ".join(compatible("GCaMP6f", "eNpHR3.0", 590, LIGHTS).warnings)
    low, high = 0.37 * 0.24 / (0.37 * 0.24 + 4), 0.37 * 0.24 / (0.37 * 0.24 + 1)
    assert f"{100 * low:.2g} to {100 * high:.2g} % by 0.24 mW/mm2 of 470 nm" in said
    assert "of 405 nm" in said


def test_an_unknown_sensitivity_gives_a_bound_and_says_so() -> None:
    said = " ".join(compatible("GCaMP6f", "ArchT", 594, LIGHTS).warnings)
    assert f"at most {100 * 0.24 / 2.24:.2g} %" in said
    assert "not known" in said


def test_photometry_light_of_unknown_power_is_not_reckoned_with() -> None:
    said = compatible("GCaMP6f", "eNpHR3.0", 590, [PhotometryLight(470, None)])
    assert not any("opens" in one for one in said.warnings)


@given(st.floats(0, 100), st.floats(0, 100), st.floats(0.001, 10), st.floats(0, 1))
def test_more_light_opens_more_and_never_all(one: float, other: float, half: float, sensitivity: float) -> None:
    less, more = sorted((one, other))
    assert 0 <= optics.part_open(less, half, sensitivity) <= optics.part_open(more, half, sensitivity) <= 1
    assert optics.part_open(half, half) == pytest.approx(0.5)


@pytest.mark.parametrize("opsin", [one.name for one in optics.OPSINS])
@pytest.mark.parametrize("indicator", [*GREEN, *RED])
def test_every_pair_has_a_verdict_with_a_reason_and_what_to_do(indicator: str, opsin: str) -> None:
    said = compatible(indicator, opsin, 638, LIGHTS)
    assert all(": " in one for one in (*said.refusals, *said.warnings))
    assert all("; " in one for one in said.refusals)


def test_an_animal_without_an_opsin_goes_with_anything() -> None:
    said = found(opsin="none")
    assert (said.refusals, said.warnings) == ((), ())


@pytest.mark.parametrize(
    ("changed", "light", "train", "phrase"),
    [
        ({"opsin": "ArchT", "compartment": "terminals"}, JAWS_FIBRE, RAMP, "spontaneous release"),
        ({"opsin": "eNpHR3.0", "compartment": "terminals"}, JAWS_FIBRE, RAMP, "pumps are weakest there"),
        ({"opsin": "GtACR2", "compartment": "terminals"}, JAWS_FIBRE, RAMP, "excite them at light onset"),
        ({"opsin": "Jaws"}, JAWS_FIBRE, Train(on=0.5), "more excitable after light"),
        ({"opsin": "ArchT"}, JAWS_FIBRE, Train(on=0.5), "without a ramp off"),
        ({"opsin": "eOPN3", "compartment": "terminals"}, JAWS_FIBRE, RAMP, "acts for minutes"),
        ({"opsin": "eOPN3"}, JAWS_FIBRE, RAMP, "silences terminals"),
        ({"opsin": "PPO"}, JAWS_FIBRE, RAMP, "until amber light"),
        ({"opsin": "GtACR2", "same_fibre": False}, JAWS_FIBRE, RAMP, "works below 550 nm (unverified)"),
        ({"opsin": "Jaws"}, JAWS_FIBRE.model_copy(update={"wavelength": 520.0}), RAMP, "the light is 520 nm"),
        ({"opsin": "Jaws"}, JAWS_FIBRE.model_copy(update={"wavelength": 520.0}), RAMP, "detector to saturate"),
        ({"opsin": "MsACR1"}, JAWS_FIBRE, RAMP, "what blue light does to MsACR1"),
        ({"opsin": "Jaws"}, JAWS_FIBRE, Train(on=0.01, period=0.1, count=5, ramp_off=0.1), "nothing is inhibited"),
        ({"indicator": "GCaMP8m"}, JAWS_FIBRE, RAMP, "the rig measures GCaMP6f"),
        ({"indicator": "jRGECO1a"}, JAWS_FIBRE, RAMP, "bleeds into the red detector"),
    ],
)
def test_what_can_spoil_the_result_is_warned_of(
    changed: dict[str, object], light: Fibre, train: Train, phrase: str
) -> None:
    warnings = found(train, light, **changed).warnings
    assert any(phrase in said for said in warnings), warnings


def test_a_sound_preparation_gives_no_warning() -> None:
    assert found().warnings == ()


def test_problems_name_the_field_and_are_none_without_a_preparation() -> None:
    assert preparation.problems(None, JAWS_FIBRE, PHOTOMETRY) == []
    assert preparation.problems(prepared(), None, None) == []
    (said,) = preparation.problems(prepared(opsin="GtACR2"), JAWS_FIBRE, PHOTOMETRY)
    assert said.startswith("preparation.opsin: GtACR2 with GCaMP6f")


def test_the_needed_irradiance_is_the_wanted_one_or_that_which_opens_half() -> None:
    assert prepared(needed="3 mW/mm2").needed_irradiance(638) == (3, 3)
    assert prepared().needed_irradiance(638) == (5, 10)
    assert prepared(opsin="eNpHR3.0").needed_irradiance(470) == pytest.approx((1 / 0.37, 4 / 0.37))
    assert prepared(opsin="GtACR2").needed_irradiance(638) is None  # it does not work there
    assert prepared(opsin="eOPN3").needed_irradiance(520) is None  # no number is known
    assert prepared(opsin="none").needed_irradiance(638) is None


@pytest.mark.parametrize(
    ("written", "meant"),
    [("jaws", "Jaws"), ("STGTACR2", "stGtACR2"), ("eNpHR", "eNpHR3.0"), ("Arch", "Arch3.0"), ("None", "none")],
)
def test_an_opsins_name_is_read_in_any_case(written: str, meant: str) -> None:
    assert prepared(opsin=written).opsin == meant


@pytest.mark.parametrize(
    ("changed", "phrase"),
    [
        ({"opsin": "Jawz"}, "did you mean 'Jaws'"),
        ({"opsin": "ChR2"}, "unknown opsin"),
        ({"indicator": "calcein"}, "unknown indicator"),
        ({"compartment": "axon"}, "soma"),
        ({"needed": "5 mW"}, "no unit of irradiance"),
        ({"needed": "0 mW/mm2"}, "greater than 0"),
        ({"fibre": "left"}, "Extra inputs"),
    ],
)
def test_a_preparation_that_cannot_be_is_refused(changed: dict[str, object], phrase: str) -> None:
    with pytest.raises(ValidationError, match=phrase):
        prepared(**changed)


def test_yes_and_no_are_understood_as_a_file_has_them() -> None:
    said = prepared().model_dump(mode="json")
    for word, meant in (("yes", True), ("no", False), ("true", True), ("false", False)):
        assert Preparation.model_validate(said | {"same_fibre": word}, context=FROM_FILE).same_fibre is meant


def test_the_page_shows_what_the_functions_give() -> None:
    made = tables()
    shown = made.shown((DOCS / "light_and_heat.md").read_text(encoding="utf-8"))
    assert set(shown) == set(made.TABLES)
    for name, table in shown.items():
        assert table == made.TABLES[name](), f"{name}: run python docs/light_tables.py"


def test_every_figure_without_a_source_is_called_unverified_on_the_page() -> None:
    rows = tables().opsins().splitlines()[2:]
    for row, one in zip(rows, optics.OPSINS, strict=True):
        assert row.startswith(f"| {one.name} |")
        assert ("unverified" in one.half_source) or "cleo" in one.half_source
