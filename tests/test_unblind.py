"""Unblinding: nothing is told before the audit has it, and nothing that was tampered with is believed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sessions import command
from study_files import day, plain_study, randomised, run_all

from closedloop import seal
from closedloop.errors import ConfigError
from closedloop.recording.folder import UNBLINDED
from closedloop.studies import audit
from closedloop.studies.files import Opened, open_study
from closedloop.studies.reporting import material
from closedloop.studies.unblinding import unblind


def after_a_day(folder: Path) -> Opened:
    """A study with one session of each animal in its arm, and one baseline."""
    opened = randomised(folder)
    run_all(opened, day(-3))
    run_all(opened, day(1))
    return opened


def told(opened: Opened) -> list[Path]:
    return sorted((opened.files.study.parent / "data").glob(f"sub-*/ses-*/{UNBLINDED}"))


def test_it_tells_the_arms_and_writes_them_into_the_sessions_that_had_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = after_a_day(tmp_path)
    done = command(capsys, "unblind", opened.files.study, "--reason", "the paper", "--by", "A. Person", "--json")
    assert done.code == 0
    assert {row["animal"]: row["arm"] for row in done.summary["animals"]} == {
        animal.id: opened.arm_of(animal.id) for animal in opened.study.animals
    }
    assert len(told(opened)) == 4  # of eight sessions: the baselines had no arm
    said = json.loads(told(opened)[0].read_text())
    assert said["arm"] == opened.arm_of(said["animal"])
    assert said["audit"]["why"] == "the paper"


def test_one_animal_alone_leaves_the_others_blind(tmp_path: Path) -> None:
    opened = after_a_day(tmp_path)
    truths, _ = unblind(opened.files.study, "it fell ill", "A. Person", "M02")
    assert [one.animal for one in truths] == ["M02"]
    assert [path.parts[-3] for path in told(opened)] == ["sub-M02"]
    groups = material(opened.files.study).groups
    assert groups["M02"] == opened.arm_of("M02")
    assert all(groups[name].startswith("code ") for name in ("M01", "M03", "M04"))


def test_the_audit_says_who_when_why_and_of_whom(tmp_path: Path) -> None:
    opened = after_a_day(tmp_path)
    unblind(opened.files.study, "first", "A. Person", "M01")
    unblind(opened.files.study, "all", "B. Person")
    first, second = audit.read(opened.files.audit)
    assert (first["who"], first["why"], first["animals"]) == ("A. Person", "first", ["M01"])
    assert second["animals"] == ["M01", "M02", "M03", "M04"]
    assert first["key_sha256"] == opened.allocation.commitment
    assert second["previous"]


def test_before_unblinding_the_report_groups_by_code(tmp_path: Path) -> None:
    opened = after_a_day(tmp_path)
    found = material(opened.files.study)
    assert set(found.groups.values()) == {f"code {one.code}" for one in opened.allocation.animals}
    assert len(found.sessions) == 8


def test_a_study_that_is_not_blind_groups_by_arm(tmp_path: Path) -> None:
    opened = randomised(tmp_path, plain_study(blind=False))
    run_all(opened, day(1))
    assert set(material(opened.files.study).groups.values()) == {"closed_loop", "dark"}


def test_nothing_is_told_while_a_session_of_the_animal_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = after_a_day(tmp_path)
    folder = told_later = next((tmp_path / "data").glob("sub-M01/*03T*"))
    (folder / "summary.json").unlink()
    monkeypatch.setattr("closedloop.recording.Recording.being_written", property(lambda self: True))
    with pytest.raises(ConfigError, match="is running, and nobody must know its arm now"):
        unblind(opened.files.study, "why", "who")
    assert not (told_later / UNBLINDED).exists()
    assert audit.read(opened.files.audit) == []


def test_reason_and_name_must_say_something(tmp_path: Path) -> None:
    opened = after_a_day(tmp_path)
    with pytest.raises(ConfigError, match="must say something"):
        unblind(opened.files.study, "  ", "who")


def test_an_exchanged_key_is_refused_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened = after_a_day(tmp_path)
    key = seal.unseal(opened.files.key.read_text())
    key["arms"] = dict.fromkeys(key["arms"], "closed_loop")
    opened.files.key.write_text(seal.seal(key))  # well sealed, and not what was drawn
    done = command(capsys, "unblind", opened.files.study, "--reason", "r", "--by", "b")
    assert done.code == 2
    assert "is not the key that was drawn: the allocation's commitment does not fit it" in done.said
    assert told(opened) == []
    assert audit.read(opened.files.audit) == []


def test_a_changed_line_of_the_audit_is_seen_and_stops_everything(tmp_path: Path) -> None:
    opened = after_a_day(tmp_path)
    unblind(opened.files.study, "first", "A. Person", "M01")
    unblind(opened.files.study, "second", "A. Person", "M02")
    lines = opened.files.audit.read_text().splitlines()
    opened.files.audit.write_text("\n".join([lines[0].replace("first", "fist"), lines[1], ""]))
    with pytest.raises(ConfigError, match=r"audit\.jsonl:2: does not follow from the line before it"):
        unblind(opened.files.study, "third", "A. Person", "M03")
    assert [path.parts[-3] for path in told(opened)] == ["sub-M01", "sub-M02"]


def test_a_line_taken_out_of_the_audit_is_seen(tmp_path: Path) -> None:
    opened = after_a_day(tmp_path)
    for name in ("M01", "M02", "M03"):
        unblind(opened.files.study, name, "A. Person", name)
    lines = opened.files.audit.read_text().splitlines()
    opened.files.audit.write_text("\n".join([lines[0], lines[2], ""]))
    with pytest.raises(ConfigError, match="was changed or taken out"):
        audit.read(opened.files.audit)


def test_the_commitment_is_of_the_key_alone(tmp_path: Path) -> None:
    opened = randomised(tmp_path)
    value = seal.unseal(opened.files.key.read_text())
    assert seal.commitment(value) == opened.allocation.commitment
    assert open_study(opened.files.study).key.salt == value["salt"]


def test_the_report_takes_a_study_file_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened = randomised(tmp_path)
    nothing = command(capsys, "study", "report", opened.files.study)
    assert nothing.code == 2
    assert "no session of it was run to its end yet" in nothing.said
    both = command(capsys, "study", "report", opened.files.study, "elsewhere")
    assert both.code == 2
    assert "give it alone" in both.said
