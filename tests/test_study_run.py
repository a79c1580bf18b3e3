"""`run --study` fills a session in, and refuses the wrong phase, protocol, rig, anchor, animal or day."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sessions import command
from study_files import DAY_0, FOLLOWS, QUICK, day, filled, plain_study, randomised, run, run_all

from closedloop import policies
from closedloop.errors import ConfigError
from closedloop.recording import Recording
from closedloop.studies import audit
from closedloop.studies.files import Opened

ANCHOR = Path(__file__).parents[1] / "configs" / "anchors" / "simulated.json"


def first(opened: Opened) -> str:
    """The animal that is first in the order of the day."""
    return next(one.id for one in opened.allocation.animals if one.rank == 1)


def refused(opened: Opened, subject: str, at: int, **asked: Any) -> str:
    with pytest.raises(ConfigError) as error:
        filled(opened, subject, day(at), **asked)
    return str(error.value)


def test_everything_is_filled_in(tmp_path: Path) -> None:
    opened = randomised(tmp_path)
    name = first(opened)
    found = filled(opened, name, day(1))
    placed = opened.allocation.placed(name)
    assert found.protocol.condition == placed.code
    assert found.protocol.phase == "withdrawal day 1"
    assert found.protocol.policy.kind == {"closed_loop": "closed_loop", "dark": "sham"}[opened.arm_of(name)]
    assert (found.rig.name, found.out, found.blind) == ("simulated", (tmp_path / "data").resolve(), True)
    assert found.study["session"] == 1
    assert found.study["drawn"] == placed.drawn


def test_arms_of_one_phase_differ_in_the_policy_and_the_code_alone(tmp_path: Path) -> None:
    opened = randomised(tmp_path)
    run_all(opened, day(1))
    both = [filled(opened, one.id, day(1), reason="once more").protocol for one in opened.allocation.animals]
    same = [protocol.model_dump(exclude={"policy", "condition"}) for protocol in both]
    assert all(one == same[0] for one in same)
    assert {protocol.policy.kind for protocol in both} == {"closed_loop", "sham"}


def test_where_arms_do_not_apply_the_protocols_own_policy_runs_and_nothing_is_blind(tmp_path: Path) -> None:
    opened = randomised(tmp_path)
    for animal in opened.study.animals:
        found = filled(opened, animal.id, day(-3))
        assert (found.protocol.policy.kind, found.protocol.condition, found.blind) == ("sham", "-", False)


def test_the_header_says_nothing_of_the_arm(tmp_path: Path) -> None:
    opened = randomised(tmp_path)
    said = json.dumps(filled(opened, first(opened), day(1)).study)
    assert "closed_loop" not in said
    assert "dark" not in said
    assert "sham" not in said


def test_conditions_come_in_the_animals_order(tmp_path: Path) -> None:
    opened = randomised(tmp_path)
    order = opened.allocation.placed("M02").orders["re-exposure"]
    labels = []
    for at in (7, 8, 9, 10):
        labels.append(filled(opened, "M02", day(at)).protocol.phase)
        run(opened, "M02", day(at))
    assert labels == [f"re-exposure {one}" for one in order]


def test_a_late_session_is_the_one_that_is_due_first(tmp_path: Path) -> None:
    opened = randomised(tmp_path)
    assert filled(opened, "M01", day(8)).study["session"] == 1  # day 7 was missed, and may be a day late


def test_the_wrong_phase_protocol_rig_and_animal_are_refused(tmp_path: Path) -> None:
    opened = randomised(tmp_path)
    name = first(opened)
    assert "M01 has baseline on 2026-02-27, not this" in refused(opened, "M01", -3, phase="re-exposure")
    assert "is no phase of this study" in refused(opened, name, 1, phase="withdrawal")
    assert "is not that of withdrawal day 1, which is quick.yaml" in refused(opened, name, 1, protocol="demo")
    assert f"is not that of {name}, which is simulated" in refused(opened, name, 1, rig="simulated_withdrawal")
    assert "is no animal of small" in refused(opened, "M99", 1)


def test_the_right_protocol_may_be_typed(tmp_path: Path) -> None:
    opened = randomised(tmp_path)
    asked = {"protocol": str(tmp_path / "quick.yaml"), "rig": "simulated", "phase": "withdrawal day 1"}
    assert filled(opened, first(opened), day(1), **asked).protocol.name == "quick"


def test_a_day_without_a_session_says_when_the_next_is_and_how_to_catch_up(tmp_path: Path) -> None:
    opened = randomised(tmp_path)
    assert refused(opened, "M01", -9) == "M01: nothing is due on 2026-02-21; next is baseline on 2026-02-27"
    assert "withdrawal day 1 was on 2026-03-03 and was missed" in refused(opened, "M01", 4)
    assert "--date 2026-03-03 --reason TEXT" in refused(opened, "M01", 4)


def test_catching_up_needs_a_reason_and_keeps_it(tmp_path: Path) -> None:
    opened = randomised(tmp_path)
    name = first(opened)
    assert "say why with --reason" in refused(opened, name, 4, on=day(1))
    said = filled(opened, name, day(4), on=day(1), reason="the laser was away").study
    assert (said["due"], said["run_on"], said["reason"]) == (str(day(1)), str(day(4)), "the laser was away")
    assert "is not today" in said["exceptions"][0]


def test_a_session_is_not_run_twice_without_a_reason(tmp_path: Path) -> None:
    opened = randomised(tmp_path)
    folder = run(opened, "M01", day(-3))
    assert f"was run already ({folder})" in refused(opened, "M01", -3)
    assert filled(opened, "M01", day(-3), reason="loose fibre").study["exceptions"]


def test_one_that_was_broken_off_may_be_run_again(tmp_path: Path) -> None:
    opened = randomised(tmp_path)
    run(opened, "M01", day(-3), ended="tripped")
    assert filled(opened, "M01", day(-3)).study["session"] == 1


def test_the_order_of_the_day_holds_for_every_animal_alike(tmp_path: Path) -> None:
    opened = randomised(tmp_path)
    order = [one.id for one in sorted(opened.allocation.animals, key=lambda one: one.rank)]
    for name in order[1:]:
        assert f"{order[0]}" in refused(opened, name, 1)
        assert "comes first in the order of the day" in refused(opened, name, 1)
    run_all(opened, day(1))


def test_an_animal_begun_without_its_anchor_or_with_anothers_is_refused(tmp_path: Path) -> None:
    opened = randomised(tmp_path, plain_study(anchor="{animal}.json"))
    name = first(opened)
    assert f"{name} has no anchor yet; make it of its sessions of baseline: closedloop anchor" in refused(
        opened, name, 1
    )
    (tmp_path / f"{name}.json").write_bytes(ANCHOR.read_bytes())
    assert f"is the anchor of virtual, not of {name}; give its own" in refused(opened, name, 1)
    assert filled(opened, name, day(-3)).protocol.anchor is None  # it is made of these


def test_an_anchor_that_was_exchanged_after_a_session_is_refused(tmp_path: Path) -> None:
    opened = randomised(tmp_path, anchored())
    (tmp_path / "virtual.json").write_bytes(ANCHOR.read_bytes())
    done = run(opened, "virtual", day(1), reason="order")
    said = json.loads((done / "header.json").read_text())
    said["study"]["anchor_sha256"] = "0" * 64
    (done / "header.json").write_text(json.dumps(said))
    assert f"is not the anchor that {done} was run with" in refused(opened, "virtual", 7)


def anchored() -> dict[str, Any]:
    """A study of the animal that the shipped anchor is of, with the protocols' chain that the anchor tells of."""
    said = plain_study(anchor="{animal}.json")
    said["animals"][0]["id"] = "virtual"
    for phase in said["phases"]:
        phase["protocol"] = "withdrawal_inhibition"
    return said


def test_the_animals_anchor_goes_into_the_protocol(tmp_path: Path) -> None:
    opened = randomised(tmp_path, anchored())
    (tmp_path / "virtual.json").write_bytes(ANCHOR.read_bytes())
    found = filled(opened, "virtual", day(1), reason="order")
    assert found.protocol.anchor is not None
    assert found.study["anchor_sha256"] == found.protocol.anchor.sha256


def test_a_protocol_changed_after_randomising_is_refused_and_its_comments_may_change(tmp_path: Path) -> None:
    opened = randomised(tmp_path)
    (tmp_path / "quick.yaml").write_text(f"# a remark\n{QUICK}")
    filled(opened, "M01", day(-3))
    (tmp_path / "quick.yaml").write_text(QUICK.replace("100 ms", "200 ms"))
    assert "quick.yaml:1: was changed after animals were allocated" in refused(opened, "M01", -3)


@pytest.fixture
def yoked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A study with an arm whose policy names the partner's session."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "follows.py").write_text(FOLLOWS)
    monkeypatch.setattr(policies, "__path__", [*policies.__path__, str(tmp_path / "parts")])
    said = plain_study()
    said["arms"][1] = {
        "name": "second",
        "yoked_to": "closed_loop",
        "policy": {"kind": "follows", "partner": "{partner}"},
    }
    return said


def test_a_yoked_animal_gets_its_partners_session_and_waits_for_it(tmp_path: Path, yoked: dict[str, Any]) -> None:
    opened = randomised(tmp_path, yoked)
    mine = next(animal.id for animal in opened.study.animals if opened.arm_of(animal.id) == "second")
    partner = opened.partner_of(mine)
    assert partner is not None
    assert f"needs the session withdrawal day 1 of {partner}" in refused(opened, mine, 1, reason="out of order")
    folder = run(opened, partner, day(1), reason="out of order")
    found = filled(opened, mine, day(1), reason="out of order").protocol.policy
    assert getattr(found, "partner", None) == str(folder.resolve())


def test_an_animals_own_earlier_session_can_be_named(tmp_path: Path, yoked: dict[str, Any]) -> None:
    yoked["arms"][1] = {"name": "own", "policy": {"kind": "follows", "partner": "{own: baseline}"}}
    opened = randomised(tmp_path, yoked)
    mine = next(animal.id for animal in opened.study.animals if opened.arm_of(animal.id) == "own")
    for at in (-3, -2, -1):
        last = run(opened, mine, day(at))
    assert getattr(filled(opened, mine, day(1), reason="x").protocol.policy, "partner", None) == str(last.resolve())


def test_a_whole_session_of_a_study_runs_and_says_whose_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = randomised(tmp_path)
    study = opened.files.study
    wrong = command(capsys, "run", "--study", study, "--subject", "M01", "--headless", "--json")
    assert wrong.code == 2  # DAY_0 is not today
    caught_up = ("--date", day(-3), "--reason", "a test")
    done = command(capsys, "run", "--study", study, "--subject", "M01", *caught_up, "--headless", "--json")
    assert done.code == 0, done.said
    header = Recording.open(done.summary["session"]).header
    assert (header["study"]["animal"], header["study"]["phase"], header["subject"]) == ("M01", "baseline", "M01")
    assert Path(done.summary["session"]).is_relative_to(tmp_path / "data")
    assert header["seed"] == opened.seed_of("M01", "baseline", 1)
    assert [one["what"] for one in audit.read(opened.files.audit)] == ["exception"]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["--set", "detector.threshold=9"], "--set: detector.threshold=9: a study's sessions run their protocol"),
        (["--set", "rig.limits.trains_per_session=1"], "--set: rig.limits.trains_per_session=1: only ports may be"),
        (["--set", "rig.light.full_power=5 mW"], "--set: rig.light.full_power=5 mW: only ports may be another"),
        (["--duration", "1 min"], "--duration: the study says it"),
        (["--seed", "4"], "--seed: the study says it"),
        (["--out", "elsewhere"], "--out: the study says it"),
        (["--date", "2026-13-01"], "--date: is no date"),
    ],
)
def test_what_the_study_says_is_not_said_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], typed: list[str], said: str
) -> None:
    opened = randomised(tmp_path)
    done = command(capsys, "run", "--study", opened.files.study, "--subject", "M01", "--headless", *typed)
    assert done.code == 2
    assert done.said.startswith(said)
    assert not (tmp_path / "data").exists()


def test_without_a_study_protocol_and_rig_are_needed_as_ever(capsys: pytest.CaptureFixture[str]) -> None:
    done = command(capsys, "run", "--phase", "x", "--headless")
    assert done.code == 2
    assert [line.partition(":")[0] for line in done.said.splitlines()] == ["--phase", "PROTOCOL", "--rig"]


def test_a_study_without_its_animal_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened = randomised(tmp_path)
    done = command(capsys, "run", "--study", opened.files.study, "--headless")
    assert (done.code, done.said) == (2, "--subject: missing; say which animal of the study this is\n")
    assert opened.study.animals[0].start == DAY_0
