"""Power calibration: what the table gives, what it refuses, and how a rig and its session use it."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from closedloop import calibration, limits, optics, yaml_file
from closedloop.analysis.budget import budget, lines
from closedloop.calibration import Calibration
from closedloop.cli import main
from closedloop.errors import ConfigError
from closedloop.protocol import load_protocol
from closedloop.rig import Rig, load_rig
from closedloop.train import Train

CONFIGS = Path(__file__).parents[1] / "configs"
EXAMPLE = CONFIGS / "calibrations" / "example.yaml"
DAY = datetime.date(2026, 3, 10)  # eight days after the example's table
IN_FORCE = limits.effective(lease_s=0.25)


@pytest.fixture
def example() -> Calibration:
    return calibration.read(EXAMPLE)


def written(folder: Path, *changes: tuple[str, str]) -> Path:
    """The example with some of its text replaced."""
    text = EXAMPLE.read_text(encoding="utf-8")
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path = folder / "cord.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def rig_file(folder: Path, light: str = "calibration: cord.yaml") -> Path:
    """The simulated rig with a calibration in place of its full power."""
    text = (CONFIGS / "rigs" / "simulated.yaml").read_text(encoding="utf-8")
    path = folder / "rig.yaml"
    path.write_text(text.replace("full_power: 10 mW", light), encoding="utf-8")
    return path


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    written(tmp_path)
    return load_rig(str(rig_file(tmp_path)))


# The curve


def test_the_curve_goes_through_every_point_at_the_tip(example: Calibration) -> None:
    for point in example.table:
        assert example.power_of(point.level) == pytest.approx(0.85 * point.power)
        assert example.level_of(0.85 * point.power) == pytest.approx(point.level, abs=1e-6)


@given(st.floats(0.17, 10.37))
def test_a_power_and_its_level_lead_to_one_another(power_mw: float) -> None:
    example = calibration.read(EXAMPLE)
    assert example.power_of(example.level_of(power_mw)) == pytest.approx(power_mw, rel=1e-6)


def test_a_higher_level_never_gives_less(example: Calibration) -> None:
    powers = [example.power_of(level) for level in np.linspace(0.15, 1.0, 400)]
    assert powers == sorted(powers, key=lambda value: value or 0)
    assert None not in powers


def test_nothing_is_believed_beyond_the_table(example: Calibration) -> None:
    assert example.power_of(0.1499) is None
    assert example.power_of(1.01) is None
    with pytest.raises(ConfigError, match=r"beyond the calibration's most \(10.37 mW at the tip\)"):
        example.level_of(10.38)
    with pytest.raises(ConfigError, match=r"below the calibration's least \(0.17 mW at the tip\)"):
        example.level_of(0.16)


def test_a_changed_copy_has_its_own_curve(example: Calibration) -> None:
    assert example.power_of(0.5) == pytest.approx(0.85 * 5.8)
    assert example.model_copy(update={"coupling": 1.0}).power_of(0.5) == pytest.approx(5.8)


# Age and drift


@pytest.mark.parametrize(("days", "fine"), [(7, True), (14, True), (15, False), (300, False)])
def test_a_calibration_is_good_for_fourteen_days(example: Calibration, days: int, fine: bool) -> None:
    problems = example.problems(example.date + datetime.timedelta(days=days))
    assert (problems == []) == fine
    if not fine:
        said = f"measured on 2026-03-02, {days} days ago, and 14 are the limit"
        assert problems == [f"{said}; measure the table anew (docs/calibrate_power.md)"]


@pytest.mark.parametrize(
    ("power", "fine"), [("5.3 mW", True), ("6.3 mW", True), ("5.2 mW", False), ("6.5 mW", False), ("0 mW", False)]
)
def test_a_drift_of_more_than_a_tenth_is_refused(tmp_path: Path, power: str, fine: bool) -> None:
    made = calibration.read(written(tmp_path, ("power: 5.6 mW", f"power: {power}")))
    problems = made.problems(DAY)
    assert (problems == []) == fine
    if not fine:
        assert "2026-03-09" in problems[0]
        assert "10 % is the limit; clean the cord, or measure" in problems[0]


def test_limits_may_be_tighter(tmp_path: Path) -> None:
    made = calibration.read(written(tmp_path, ("coupling: 85 %", "coupling: 85 %\ngood_for: 3\nlargest_drift: 2 %")))
    assert len(made.problems(DAY)) == 2


def test_a_date_to_come_is_refused(example: Calibration) -> None:
    (said,) = example.problems(datetime.date(2026, 3, 8))
    assert said == "dated 2026-03-09, and today is 2026-03-08; correct its date, or this computer's"


def test_a_check_does_not_make_the_table_younger(example: Calibration) -> None:
    assert example.check is not None
    assert example.problems(example.check.date + datetime.timedelta(days=10)) != []


# What no table may be


def _ends_in(line: str, changes: list[tuple[str, str]]) -> bool:
    """Whether this is the line that was changed, or the last of those that were put in its place."""
    return changes[0][1].splitlines()[-1] in line


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ([("power: 9.4 mW", "power: 5.7 mW")], "is not more than the one before (5.8 mW)"),
        ([("power: 9.4 mW", "power: 5.80 mW")], "is not more than the one before"),
        ([("level: 75 %", "level: 50.0 %")], "stands twice"),
        ([("level: 75 %", "level: 40 %")], "is below the one before (got 40 %); write levels from low to high"),
        ([("level: 100 %, power: 12.2", "level: 101 %, power: 12.2")], "must be at most 100 %"),
        ([("level: 15 %", "level: -1 %")], "must be at least 0 %"),
        ([("power: 0.2 mW", "power: -0.2 mW")], "must be at least 0 mW"),
        ([("power: 0.2 mW", "power: 0.2")], "needs a unit"),
        ([("power: 0.2 mW", "power: 5 nm")], "is no unit of power"),
        ([("coupling: 85 %", "coupling: 120 %")], "must be at most 100 %"),
        ([("date: 2026-03-02", "date: 2nd of March")], "is no date (got 2nd of March); write year-month-day"),
        ([("wavelength: 638 nm ", "wavelenght: 638 nm ")], "did you mean 'wavelength'?"),
        ([("coupling: 85 %", "coupling: 85 %\ngood_for: 30")], "must be at most 14"),
        ([("coupling: 85 %", "coupling: 85 %\nlargest_drift: 20 %")], "must be at most 10 %"),
        ([("date: 2026-03-09", "date: 2026-03-01")], "is before the table's own date"),
        ([("level: 50 %, power: 5.6", "level: 10 %, power: 5.6")], "is not within the table"),
    ],
)
def test_a_mistake_is_explained_with_file_line_and_what_to_do(
    tmp_path: Path, changes: list[tuple[str, str]], says: str
) -> None:
    path = written(tmp_path, *changes)
    with pytest.raises(ConfigError) as refused:
        calibration.read(path)
    told = [said for said in refused.value.problems if says in said]
    assert told, refused.value.problems
    line = next(at for at, one in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if _ends_in(one, changes))
    assert told[0].startswith(f"{path}:{line}: ")
    assert "; " in told[0]


def test_what_is_left_out_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="operator: missing field; add it"):
        calibration.read(written(tmp_path, ("operator: AB", "")))


def test_two_points_are_too_few(tmp_path: Path) -> None:
    kept = [one for one in EXAMPLE.read_text(encoding="utf-8").splitlines() if "30 %" not in one and "75 %" not in one]
    few = [one for one in kept if "15 %, " not in one and "level: 100 %" not in one]
    (tmp_path / "few.yaml").write_text("\n".join(few), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"table: .*at least 3 items"):
        calibration.read(tmp_path / "few.yaml")


@given(start=st.integers(0, 1600), length=st.integers(0, 60), put=st.text(max_size=8))
@settings(max_examples=150, deadline=None)
def test_no_damage_to_a_file_gives_anything_but_lines(
    tmp_path_factory: pytest.TempPathFactory, start: int, length: int, put: str
) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    path = tmp_path_factory.getbasetemp() / "damaged.yaml"
    path.write_bytes((text[:start] + put + text[start + length :]).encode("utf-8", "replace"))
    problems: tuple[str, ...] = ()
    try:
        calibration.read(path).problems(DAY)
    except ConfigError as refused:
        problems = tuple(refused.problems)
    assert all(said.startswith(f"{path}:") for said in problems)


# In a rig


def test_a_rig_takes_levels_from_the_curve(rig: Rig) -> None:
    train = Train(on=0.2, power=0.85 * 5.8)
    assert rig.level_of(0.85 * 5.8) == pytest.approx(0.5, abs=1e-6)
    assert rig.power_of(0.5) == pytest.approx(0.85 * 5.8)
    assert rig.tip_mw(Train(on=0.2, level=0.5)) == pytest.approx(0.85 * 5.8)
    assert rig.full_power_mw == pytest.approx(0.85 * 12.2)
    assert rig.command(train).level == pytest.approx(0.5 * 65_535, abs=1)
    assert rig.impossible(train, IN_FORCE) == []


def test_without_a_table_there_is_a_straight_line() -> None:
    rig = load_rig("simulated")
    assert (rig.level_of(5.0), rig.power_of(0.25)) == (0.5, 2.5)
    assert rig.command(Train(on=0.2, power=5.0)) == limits.command(Train(on=0.2, power=5.0), 10.0)
    assert rig.light_problems(DAY) == []


def test_without_any_light_section_nothing_is_known() -> None:
    rig = load_rig("simulated").model_copy(update={"light": None})
    assert (rig.power_of(0.5), rig.full_power_mw) == (None, None)
    with pytest.raises(ConfigError, match="no calibration"):
        rig.level_of(1.0)
    assert rig.command(Train(on=0.2, level=0.5)).level == round(0.5 * 65_535)


@pytest.mark.parametrize(
    ("train", "says"),
    [
        (Train(on=0.2, power=10.5), "light.power: 10.5 mW is beyond the calibration's most"),
        (Train(on=0.2, power=0.1), "light.power: 0.1 mW is below the calibration's least"),
        (Train(on=0.2, level=0.1), "light.level: 10 % is beyond the calibration's table (15 to 100 %)"),
    ],
)
def test_what_the_table_does_not_hold_is_refused(rig: Rig, train: Train, says: str) -> None:
    (said,) = rig.impossible(train, IN_FORCE)
    assert said.startswith(says)
    assert "; " in said


def test_the_limit_of_the_level_counts_on_the_curve(rig: Rig) -> None:
    tight = limits.effective(limits.Limits(level=0.49), lease_s=0.25)
    train = Train(on=0.2, power=0.85 * 5.8)
    assert any("above the limit in force (49 %)" in said for said in rig.impossible(train, tight))


def test_a_rig_with_its_table_reads_back_from_what_is_recorded(rig: Rig, tmp_path: Path) -> None:
    path = tmp_path / "elsewhere" / "rig.yaml"
    path.parent.mkdir()
    path.write_text(yaml_file.dump(rig), encoding="utf-8")
    assert load_rig(str(path)) == rig
    assert Rig.model_validate(json.loads(rig.model_dump_json())) == rig


@pytest.mark.parametrize(
    ("light", "says"),
    [
        ("calibration: nowhere.yaml", "light.calibration: "),
        ("depth_: 1 mm", "unknown field"),
        ("calibration: cord.yaml\n  full_power: 20 mW", "is not the calibration's most (10.37 mW at the tip)"),
        ("", "light.full_power: is missing, and so is a calibration"),
    ],
)
def test_a_rig_with_a_mistaken_calibration_is_refused(tmp_path: Path, light: str, says: str) -> None:
    written(tmp_path)
    path = rig_file(tmp_path, light)
    with pytest.raises(ConfigError) as refused:
        load_rig(str(path))
    told = [said for said in refused.value.problems if says in said]
    assert told, refused.value.problems
    assert told[0].startswith(f"{path}:")


def test_a_mistake_in_the_calibration_names_both_files(tmp_path: Path) -> None:
    cord = written(tmp_path, ("power: 9.4 mW", "power: 5.7 mW"))
    path = rig_file(tmp_path)
    with pytest.raises(ConfigError) as refused:
        load_rig(str(path))
    (said,) = refused.value.problems
    assert said.startswith(f"{path}:")
    assert f"{cord}:27: table.4.power" in said


def test_another_wavelength_is_refused(tmp_path: Path) -> None:
    written(tmp_path, ("wavelength: 638 nm ", "wavelength: 594 nm "))
    with pytest.raises(ConfigError, match=r"light.wavelength: .*is not that of the calibration \(594 nm\)"):
        load_rig(str(rig_file(tmp_path)))


def test_age_and_drift_are_told_of_the_rig(rig: Rig) -> None:
    assert rig.light_problems(DAY) == []
    (said,) = rig.light_problems(DAY + datetime.timedelta(days=30))
    assert said.startswith("light.calibration: measured on 2026-03-02, 38 days ago")


def test_a_rig_that_gives_no_light_needs_no_fresh_table(rig: Rig) -> None:
    dry = Rig.model_validate(rig.model_dump(mode="json") | {"stimulator": {"kind": "dry_run"}})
    assert dry.light_problems(DAY + datetime.timedelta(days=300)) == []


def test_heat_is_a_problem_of_the_rig(rig: Rig) -> None:
    assert rig.heat_problems(Train(on=0.5, power=5.0), 5.0, IN_FORCE) == []
    (said,) = rig.heat_problems(Train(on=0.9, power=9.0), 5.0, IN_FORCE)
    assert said.startswith("heat: modelled warming")
    assert f"above {optics.MOST_KELVIN:g} K" in said


# In the budget


def test_the_budget_uses_and_names_the_calibration(rig: Rig) -> None:
    found = budget(load_protocol("withdrawal_inhibition"), rig, DAY)
    assert found.refusals == ()
    assert found.level == pytest.approx(rig.level_of(5.0))
    assert found.calibration == ("cord 3, 638 nm, 0.17 to 10.4 mW at the tip; 2026-03-02, 8 days old; drift -3.4 %")
    assert any(found.calibration in line for line in lines(found))


def test_the_budget_refuses_an_old_calibration(rig: Rig) -> None:
    found = budget(load_protocol("withdrawal_inhibition"), rig, DAY + datetime.timedelta(days=30))
    assert [said.partition(":")[0] for said in found.refusals] == ["light.calibration"]


def test_check_refuses_an_old_calibration_with_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path)
    assert main(["check", "withdrawal_inhibition", "--rig", str(rig_file(tmp_path))]) == 2
    said = capsys.readouterr()
    assert "REFUSED" in said.out
    assert "measured on 2026-03-02" in said.out
    assert said.err == ""
