"""Allocation: the same for the same seed, balanced, sealed, and made once."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sessions import command
from study_files import FOLLOWS, day, plain_study, randomised, run, write_study

from closedloop import policies, seal
from closedloop.errors import RecordingError
from closedloop.studies.allocation import Drawn, draw, stratum, williams
from closedloop.studies.files import Files, open_study
from closedloop.study import Study, load_study


def study_of(folder: Path, **said: Any) -> Study:
    return load_study(write_study(folder, plain_study(**said)))


def three_arms() -> list[dict[str, Any]]:
    return [
        {"name": name, "policy": {"kind": kind}} for name, kind in (("a", "closed_loop"), ("b", "sham"), ("c", "sham"))
    ]


@pytest.fixture
def follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """An arm whose policy names its partner's session."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "follows.py").write_text(FOLLOWS)
    monkeypatch.setattr(policies, "__path__", [*policies.__path__, str(tmp_path / "parts")])
    return {"name": "second", "yoked_to": "closed_loop", "policy": {"kind": "follows", "partner": "{partner}"}}


def test_the_same_seed_draws_the_same_and_another_one_something_else(tmp_path: Path) -> None:
    study = study_of(tmp_path, animals=12)
    assert draw(study, 7) == draw(study, 7)
    assert len({tuple(draw(study, seed).arms.values()) for seed in range(20)}) > 10


def counts_within(study: Study, drawn: Drawn) -> list[Counter[str]]:
    strata: dict[tuple[str, ...], Counter[str]] = {}
    for animal in study.animals:
        strata.setdefault(stratum(study, animal), Counter()).update([drawn.arms[animal.id]])
    return list(strata.values())


@pytest.mark.parametrize("method", ["blocks", "complete"])
def test_arms_are_equal_overall_and_differ_by_one_at_most_within_strata(tmp_path: Path, method: str) -> None:
    study = study_of(tmp_path, animals=12, arms=three_arms(), allocation={"method": method, "stratify": ["sex"]})
    for seed in range(50):
        drawn = draw(study, seed)
        assert set(Counter(drawn.arms.values()).values()) == {4}
        assert all(max(one.values()) - min(one.values()) <= 1 for one in counts_within(study, drawn))


def test_what_does_not_fill_a_block_comes_from_one_pool_so_that_arms_stay_equal(tmp_path: Path) -> None:
    study = study_of(tmp_path, animals=10, allocation={"stratify": ["sex"]})  # five of each sex, two arms
    assert all(set(Counter(draw(study, seed).arms.values()).values()) == {5} for seed in range(50))


def test_each_block_in_order_of_the_file_holds_every_arm(tmp_path: Path) -> None:
    study = study_of(tmp_path, animals=12, arms=three_arms(), allocation={})
    for seed in range(30):
        arms = list(draw(study, seed).arms.values())
        assert all(sorted(arms[at : at + 3]) == ["a", "b", "c"] for at in range(0, 12, 3))


def test_shares_are_kept(tmp_path: Path) -> None:
    arms = three_arms()
    arms[0]["share"] = 2
    study = study_of(tmp_path, animals=12, arms=arms, allocation={"block": 4})
    assert Counter(draw(study, 1).arms.values()) == {"a": 6, "b": 3, "c": 3}


def test_every_animal_comes_into_every_arm_equally_often(tmp_path: Path) -> None:
    study = study_of(tmp_path, animals=4)
    first = Counter(draw(study, seed).arms["M01"] for seed in range(400))
    assert abs(first["closed_loop"] - 200) < 60  # 6 SD of a fair coin


def test_sides_are_equal_within_arms_for_each_factor(tmp_path: Path) -> None:
    rule = {"stratify": ["sex"], "counterbalance": {"paired_side": ["left", "right"], "box": ["one", "two", "three"]}}
    study = study_of(tmp_path, animals=12, allocation=rule)
    for seed in range(30):
        drawn = draw(study, seed)
        for factor in rule["counterbalance"]:
            for arm in ("closed_loop", "dark"):
                mine = Counter(drawn.levels[name][factor] for name, its in drawn.arms.items() if its == arm)
                assert max(mine.values()) - min(mine.values()) <= 1
            both = Counter(levels[factor] for levels in drawn.levels.values())
            assert max(both.values()) - min(both.values()) <= 1


@pytest.mark.parametrize("n", range(2, 9))
def test_williams_square_balances_places_and_what_comes_before(n: int) -> None:
    rows = williams(n)
    assert all(sorted(row) == list(range(n)) for row in rows)
    times = len(rows) // n
    assert all(set(Counter(row[at] for row in rows).values()) == {times} for at in range(n))
    before = Counter(pair for row in rows for pair in pairwise(row))
    assert set(before.values()) == {times}
    assert len(before) == n * (n - 1)


def test_orders_are_dealt_evenly_and_within_arms(tmp_path: Path) -> None:
    study = study_of(tmp_path, animals=8)
    drawn = draw(study, 4)
    for arm in ("closed_loop", "dark"):
        rows = Counter(drawn.orders[name]["re-exposure"] for name, its in drawn.arms.items() if its == arm)
        assert set(rows.values()) == {1}
        assert len(rows) == 4


def test_codes_are_one_for_each_animal_and_say_nothing(tmp_path: Path) -> None:
    study = study_of(tmp_path, animals=12)
    codes = draw(study, 5).codes
    assert len(set(codes.values())) == 12
    assert not {"closed", "dark", "sham"} & {code.lower() for code in codes.values()}


def test_a_yoked_animal_has_a_partner_that_is_run_before_it(tmp_path: Path, follows: dict[str, Any]) -> None:
    said = plain_study(animals=9)
    said["arms"].append(follows)
    said["phases"][2]["arms"] = "yes"
    study = load_study(write_study(tmp_path, said))
    for seed in range(30):
        drawn = draw(study, seed)
        yoked = [name for name, arm in drawn.arms.items() if arm == "second"]
        assert sorted(drawn.partners) == sorted(yoked)
        for name, partner in drawn.partners.items():
            assert drawn.arms[partner] == "closed_loop"
            assert drawn.ranks[partner] < drawn.ranks[name]
            assert drawn.orders[partner]["re-exposure"] == drawn.orders[name]["re-exposure"]
        assert sorted(drawn.ranks.values()) == list(range(1, 10))


def test_partners_begin_no_later_and_are_of_the_own_stratum_where_they_can(
    tmp_path: Path, follows: dict[str, Any]
) -> None:
    said = plain_study(animals=12)
    said["arms"].append(follows)
    for at in range(6):
        said["animals"][at]["start"] = "2026-03-09"  # a week later than the rest
    study = load_study(write_study(tmp_path, said))
    begins = {animal.id: animal.start for animal in study.animals}
    for seed in range(30):
        assert all(begins[partner] <= begins[name] for name, partner in draw(study, seed).partners.items())


def test_an_animal_that_begins_first_is_never_yoked(tmp_path: Path, follows: dict[str, Any]) -> None:
    said = plain_study(animals=3)
    said["arms"].append(follows)
    for at, animal in enumerate(said["animals"]):
        animal["start"] = f"2026-03-0{at + 2}"
    study = load_study(write_study(tmp_path, said))
    assert "second" not in {draw(study, seed).arms["M01"] for seed in range(50)}


def test_the_command_writes_both_halves_and_prints_no_arm(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_study(tmp_path, plain_study(animals=8))
    done = command(capsys, "randomise", path, "--seed", 11, "--json")
    assert done.code == 0
    public = (tmp_path / "study.allocation.yaml").read_text()
    for text in (json.dumps(done.summary), done.said, public, (tmp_path / "study.audit.jsonl").read_text()):
        assert "closed_loop" not in text
        assert "dark" not in text
    assert "closed_loop" not in (tmp_path / "study.key").read_text()
    assert done.summary["balance"]["animals in an arm"] == {"arm 1": 4, "arm 2": 4}
    assert open_study(path).arm_of("M01") in ("closed_loop", "dark")


def test_people_see_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_study(tmp_path, plain_study(animals=8))
    from closedloop import cli

    assert cli.main(["randomise", str(path), "--seed", "11"]) == 0
    shown = capsys.readouterr().out
    assert "M08" in shown
    assert "paired_side" in shown
    assert "re-exposure:" in shown
    assert "closed_loop" not in shown
    assert "dark" not in shown


def test_a_second_time_is_refused_and_asked_for_draws_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_study(tmp_path, plain_study())
    first = command(capsys, "randomise", path, "--json").summary["commitment"]
    again = command(capsys, "randomise", path, "--json")
    assert again.code == 2
    assert "--again" in again.said
    assert open_study(path).allocation.commitment == first
    anew = command(capsys, "randomise", path, "--again", "--json")
    assert anew.code == 0
    assert anew.summary["commitment"] != first
    lines = [json.loads(line) for line in Files(path).audit.read_text().splitlines()]
    assert [line["what"] for line in lines] == ["randomise", "randomise again"]
    assert [line["commitment"] for line in lines] == [first, anew.summary["commitment"]]


def test_an_allocation_that_was_used_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened = randomised(tmp_path)
    run(opened, "M01", day(-3))
    refused = command(capsys, "randomise", opened.files.study, "--again")
    assert refused.code == 2
    assert "1 sessions were run with it" in refused.said
    assert open_study(opened.files.study).allocation == opened.allocation


def test_a_seed_draws_the_same_again_and_its_commitment_differs_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = []
    for name in ("one", "two"):
        path = write_study(tmp_path / name, plain_study())
        made.append(command(capsys, "randomise", path, "--seed", 4, "--json").summary)
    assert made[0]["animals"] == made[1]["animals"]
    assert made[0]["commitment"] != made[1]["commitment"]  # or who knows the seed could try them all out


def test_the_seeds_of_sessions_are_the_studys_own_and_differ(tmp_path: Path) -> None:
    opened = randomised(tmp_path)
    seeds = {opened.seed_of(animal.id, "baseline", at) for animal in opened.study.animals for at in (1, 2, 3)}
    assert len(seeds) == 12
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert randomised(tmp_path / "other").seed_of("M01", "baseline", 1) == opened.seed_of("M01", "baseline", 1)


def test_what_is_sealed_comes_back_and_cannot_be_read_in_passing() -> None:
    value = {"arms": {"K7QF": "closed_loop"}, "seed": 3, "text": "µ"}
    sealed = seal.seal(value)
    assert seal.unseal(sealed) == value
    assert "closed_loop" not in sealed
    assert "K7QF" not in sealed
    assert seal.commitment(value) != seal.commitment(value | {"seed": 4})


@pytest.mark.parametrize("at", range(0, 200, 7))
def test_sealed_text_with_one_character_changed_is_refused(at: int) -> None:
    sealed = seal.seal({"arms": {"K7QF": "closed_loop", "B3XY": "sham"}, "salt": "0123456789abcdef"})
    at %= len(sealed) - 1
    other = "A" if sealed[at] != "A" else "B"
    with pytest.raises(RecordingError):
        seal.unseal(sealed[:at] + other + sealed[at + 1 :])


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("start", "9999-12-31", "is no date"),
        ("counterbalance", {f"f{at}": [f"l{n}" for n in range(8)] for at in range(9)}, "more than 512 combinations"),
    ],
)
def test_what_could_not_be_reckoned_with_is_refused(tmp_path: Path, field: str, value: Any, says: str) -> None:
    study = study_of(tmp_path, animals=4)
    fields = study.model_dump(mode="json")
    place = fields["animals"][0] if field == "start" else fields["allocation"]
    place[field] = value
    with pytest.raises(ValueError, match=says):
        Study.model_validate(fields)
