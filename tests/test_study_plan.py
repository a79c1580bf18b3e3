"""What is due, was missed or is lacking: read from the study and its session folders alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from sessions import command
from study_files import day, plain_study, randomised, run, run_all, session, write_study

from closedloop import cli
from closedloop.studies.plan import Plan, plan
from closedloop.studies.sessions import Entry


def states(found: Plan, animal: str) -> dict[str, str]:
    return {f"{one.label} {one.slot.session}": one.state for one in found.entries if one.animal.id == animal}


def of(entries: list[Entry]) -> list[str]:
    return [one.animal.id for one in entries]


def test_what_is_due_today_is_shown_in_the_order_of_the_day(tmp_path: Path) -> None:
    opened = randomised(tmp_path)
    found = plan(opened.files.study, day(1))
    order = [one.id for one in sorted(opened.allocation.animals, key=lambda one: one.rank)]
    assert of(found.today) == order
    assert {one.label for one in found.today} == {"withdrawal day 1"}


def test_a_session_that_was_run_is_done_and_one_that_failed_is_not(tmp_path: Path) -> None:
    opened = randomised(tmp_path)
    run(opened, "M01", day(-3))
    run(opened, "M02", day(-3), ended="device_lost")
    run(opened, "M03", day(-3), ended=None)
    run(opened, "M04", day(-3), ended="stopped")
    found = plan(opened.files.study, day(-3))
    assert {one.animal.id: one.state for one in found.today} == {
        "M01": "done",
        "M02": "due",
        "M03": "due",
        "M04": "done",
    }


def test_a_session_not_run_on_its_day_is_missed_but_for_the_days_it_may_be_late(tmp_path: Path) -> None:
    opened = randomised(tmp_path)
    found = plan(opened.files.study, day(8))
    mine = states(found, "M01")
    assert [state for name, state in mine.items() if name.startswith(("baseline", "withdrawal"))] == ["missed"] * 4
    assert [state for name, state in mine.items() if name.startswith("re-exposure")] == [
        "due",
        "due",
        "upcoming",
        "upcoming",
    ]


def test_conditions_follow_each_animals_own_order(tmp_path: Path) -> None:
    opened = randomised(tmp_path)
    found = plan(opened.files.study, day(0))
    for placed in opened.allocation.animals:
        mine = [one.condition for one in found.entries if one.animal.id == placed.id and one.condition]
        assert tuple(mine) == placed.orders["re-exposure"]
        assert sorted(mine) == ["cocaine", "cue", "novelty", "saline"]


def test_sessions_of_other_studies_do_not_count(tmp_path: Path) -> None:
    opened = randomised(tmp_path)
    folder = run(opened, "M01", day(-3))
    said = json.loads((folder / "header.json").read_text())["study"]
    shutil.rmtree(folder)
    session(tmp_path / "data", said | {"name": "another"})
    assert states(plan(opened.files.study, day(-3)), "M01")["baseline 1"] == "due"


def test_a_session_run_again_counts_and_the_first_does_not(tmp_path: Path) -> None:
    opened = randomised(tmp_path)
    run(opened, "M01", day(-3))
    second = run(opened, "M01", day(-3), reason="the fibre was loose")
    found = plan(opened.files.study, day(-3))
    assert [one.folder for one in found.entries if one.animal.id == "M01" and one.state == "done"] == [second]


def test_an_anchor_that_is_not_made_is_said_with_the_command_that_makes_it(tmp_path: Path) -> None:
    opened = randomised(tmp_path, plain_study(anchor="anchors/{animal}.json"))
    early = plan(opened.files.study, day(-1)).problems
    assert early == ()
    folders = [run(opened, "M01", day(at)) for at in (-3, -2, -1)]
    made_of = " ".join(map(str, folders))
    out = tmp_path / "anchors" / "M01.json"
    assert plan(opened.files.study, day(0)).problems == (
        f"M01: its anchor is not made; run closedloop anchor {made_of} --out {out}",
    )
    due = plan(opened.files.study, day(1)).problems
    assert any(line.startswith("M02: its anchor is not made, and a session needs it") for line in due)


def test_a_damaged_session_is_named_and_the_rest_is_still_planned(tmp_path: Path) -> None:
    opened = randomised(tmp_path)
    folder = run(opened, "M01", day(-3))
    (folder / "header.json").write_text("{")
    found = plan(opened.files.study, day(-3))
    assert len(found.today) == 4
    assert any(str(folder) in problem for problem in found.problems)


def test_before_randomising_it_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_study(tmp_path, plain_study())
    done = command(capsys, "study", "plan", path, "--date", day(-3), "--json")
    assert done.code == 0
    assert done.summary["problems"][0] == f"animals are not allocated yet; run closedloop randomise {path}"
    assert [row["code"] for row in done.summary["today"]] == [None] * 4


def test_the_table_names_codes_where_arms_apply_and_never_an_arm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = randomised(tmp_path)
    assert cli.main(["study", "plan", str(opened.files.study), "--date", str(day(1))]) == 0
    shown = capsys.readouterr().out
    assert all(one.code in shown for one in opened.allocation.animals)
    assert "closed_loop" not in shown
    assert "dark" not in shown
    assert f"closedloop run --study {opened.files.study} --subject" in shown
    assert "missed:" in shown  # the baselines


def test_it_needs_no_key(tmp_path: Path) -> None:
    opened = randomised(tmp_path)
    opened.files.key.unlink()
    assert len(plan(opened.files.study, day(1)).today) == 4


def test_a_whole_study_comes_to_its_end(tmp_path: Path) -> None:
    opened = randomised(tmp_path)
    for at in (-3, -2, -1, 1, 7, 8, 9, 10):
        run_all(opened, day(at))
    found = plan(opened.files.study, day(11))
    assert {one.state for one in found.entries} == {"done"}
    assert found.today == []


def test_a_wrong_date_is_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_study(tmp_path, plain_study())
    done = command(capsys, "study", "plan", path, "--date", "tomorrow")
    assert done.code == 2
    assert done.said.startswith("--date: is no date (got tomorrow)")
