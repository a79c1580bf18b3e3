"""Study files, allocations and keys that are wrong: refused with file, line and what to do, and nothing is written."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from sessions import command
from study_files import day, filled, plain_study, randomised, write_study

from closedloop import seal
from closedloop.errors import ConfigError
from closedloop.studies.files import Opened, open_study

Change = Callable[[dict[str, Any]], Any]


def put(*at: Any) -> Change:
    """Put the last of these at the place that the others say."""
    *place, last, value = at

    def change(said: dict[str, Any]) -> None:
        holder: Any = said
        for part in place:
            holder = holder[part]
        holder[last] = value

    return change


MISTAKES: list[tuple[str, Change, str]] = [
    ("unknown field", put("arm", []), "arm: unknown field; did you mean 'arms'?"),
    ("no version", lambda said: said.pop("version"), "version: missing field; add it"),
    ("another version", put("version", 2), "version: must be 1 (got 2)"),
    ("no animals", put("animals", []), "animals: are none (got an empty list); add one"),
    ("fewer animals than arms", lambda said: said["animals"].__delitem__(slice(1, None)), "animals: are 1, fewer than"),
    ("an id twice", put("animals", 1, "id", "M01"), "animals.1.id: is used 2 times (got M01); each animal has its own"),
    ("an id that is no folder", put("animals", 0, "id", "../x"), "animals.0.id: is no name (got ../x)"),
    ("an unknown sex", put("animals", 0, "sex", "femal"), "animals.0.sex: must be 'female', 'male' or 'unknown'"),
    ("no such date", put("animals", 0, "start", "2026-02-30"), "animals.0.start: is no date (got 2026-02-30); write"),
    ("a start left out", lambda said: said["animals"][0].pop("start"), "animals.0.start: missing field; add it"),
    ("one anchor for all", put("anchor", "a.json"), "anchor: is one file for all animals, and each has its own"),
    ("braces that mean nothing", put("anchor", "{mouse}.json"), "anchor: names {mouse}, which means nothing"),
    ("no arms", put("arms", []), "arms: are none (got an empty list); add one"),
    ("an unknown policy", put("arms", 0, "policy", "kind", "closed_lop"), "did you mean 'closed_loop'?"),
    (
        "an arm that the board decides",
        put("arms", 1, "policy", {"kind": "on_board"}),
        "policy: on_board decides on the",
    ),
    ("a policy without kind", put("arms", 0, "policy", {}), "arms.0.policy.kind: missing field; known in policies"),
    ("a policy's typo", put("arms", 0, "policy", "refractry", "2 s"), "policy.refractry: unknown field; did you mean"),
    ("no unit in a policy", put("arms", 0, "policy", "refractory", 2), "policy.refractory: needs a unit (got 2)"),
    ("an arm twice", put("arms", 1, "name", "closed_loop"), "arms.1.name: is used 2 times (got closed_loop)"),
    ("an arm that differs in more", put("arms", 1, "detector", {}), "arms.1.detector: unknown field"),
    ("a share of nothing", put("arms", 1, "share", 0), "arms.1.share: must be at least 1 (got 0)"),
    ("yoked to nothing", put("arms", 1, "yoked_to", "nobody"), "arms.1.yoked_to: must be an arm that is not yoked"),
    ("a partner without one", put("arms", 1, "policy", "refractory", "{partner}"), "and the arm has none"),
    ("its own of no phase", put("arms", 1, "policy", "refractory", "{own: x}"), "no phase before those with arms"),
    ("braces in a policy", put("arms", 1, "policy", "refractory", "{foo}"), "names {foo}, which means nothing"),
    ("no phases", put("phases", []), "phases: are none (got an empty list); add one"),
    ("a phase twice", put("phases", 1, "name", "baseline"), "phases.1.name: is used 2 times (got baseline)"),
    ("a phase without days", put("phases", 1, "days", []), "phases.1.days: are none (got an empty list); add one"),
    ("days in disorder", put("phases", 0, "days", [3, 1]), "phases.0.days: must be in order, each once"),
    ("two sessions a day", put("phases", 1, "days", 7), "phases.2.days: has day 7 of 'withdrawal day 1', too"),
    ("half a day", put("phases", 1, "days", 1.5), "phases.1.days"),
    ("days and conditions", put("phases", 2, "days", [7, 8, 9]), "phases.2.days: must be 4, or a multiple of it"),
    ("a condition twice", put("phases", 2, "conditions", ["a", "a"]), "phases.2.conditions: must differ"),
    ("no such protocol", put("phases", 0, "protocol", "basline"), "phases.0.protocol: basline: no such file; did you"),
    ("no such rig", put("rig", "simulatd"), "rig: simulatd: no such file; did you mean 'simulated'?"),
    ("an animal's rig", put("animals", 2, "rig", "x"), "animals.2.rig: x: no such file"),
    ("arms nowhere", put("phases", 1, "arms", "no"), "phases: have arms nowhere, so nothing would differ"),
    ("a method", put("allocation", "method", "coin"), "allocation.method: must be 'blocks' or 'complete' (got coin)"),
    ("half a block", put("allocation", "block", 3), "allocation.block: must be a multiple of all arms' shares, 2"),
    ("strata that are not", put("allocation", "stratify", ["box"]), "allocation.stratify: names box, which M01 does"),
    ("one side", put("allocation", "counterbalance", {"side": ["left"]}), "allocation.counterbalance.side"),
    ("a seed below nothing", put("seed", -1), "seed: must be at least 0 (got -1)"),
]


@pytest.mark.parametrize(("change", "said"), [one[1:] for one in MISTAKES], ids=[one[0] for one in MISTAKES])
def test_a_wrong_study_is_refused_by_every_command_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Change, said: str
) -> None:
    study = copy.deepcopy(plain_study())
    change(study)
    path = write_study(tmp_path, study)
    before = sorted(tmp_path.rglob("*"))
    for verb in (
        ["randomise", path],
        ["study", "plan", path],
        ["run", "--headless", "--subject", "M01", "--study", path],
    ):
        done = command(capsys, *verb)
        assert done.code == 2
        assert said in done.said
        place, line, _ = done.said.split(":", 2)
        assert place == str(path)
        assert 1 <= int(line) <= len(path.read_text().splitlines())
    assert sorted(tmp_path.rglob("*")) == before


def test_all_mistakes_are_said_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = plain_study(seed=-1)
    study["animals"][0]["sex"] = "m"
    study["phases"][1]["days"] = "soon"
    study["arms"][1]["policy"]["kind"] = "sam"
    assert len(command(capsys, "randomise", write_study(tmp_path, study)).said.splitlines()) == 4


@pytest.mark.parametrize("kind", ["protocol", "rig", "nothing", "list", "binary", "folder"])
def test_another_kind_of_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    configs = Path(__file__).parents[1] / "configs"
    made = tmp_path / "made.yaml"
    made.write_bytes({"nothing": b"", "list": b"- a", "binary": b"\xff\xfe\x00"}.get(kind, b""))
    path = {
        "protocol": configs / "protocols" / "baseline.yaml",
        "rig": configs / "rigs" / "simulated.yaml",
        "folder": tmp_path,
    }.get(kind, made)
    done = command(capsys, "randomise", path)
    assert done.code == 2
    assert len(done.said.splitlines()) == 1


def rewrite(path: Path, change: Change) -> None:
    said = yaml.safe_load(path.read_text())
    change(said)
    path.write_text(yaml.safe_dump(said, sort_keys=False))


def reseal(opened: Opened, change: Change) -> None:
    key = seal.unseal(opened.files.key.read_text())
    change(key)
    opened.files.key.write_text(seal.seal(key))


TAMPERED: list[tuple[str, Callable[[Opened], Any], str]] = [
    ("no allocation", lambda o: o.files.allocation.unlink(), "was not randomised yet; run closedloop randomise"),
    ("no key", lambda o: o.files.key.unlink(), "study.key: cannot be read (No such file or directory)"),
    ("an empty key", lambda o: o.files.key.write_text(""), "is nothing that closedloop sealed"),
    ("a binary key", lambda o: o.files.key.write_bytes(b"\xff\xfe"), "study.key: cannot be read (not text)"),
    ("a key cut short", lambda o: o.files.key.write_text(o.files.key.read_text()[:-40]), "study.key: damaged"),
    ("a key's arms", lambda o: reseal(o, put("arms", {})), "is not the key that was drawn"),
    ("a key's seed", lambda o: reseal(o, put("seed", 4)), "is not the key that was drawn"),
    (
        "an animal more",
        lambda o: rewrite(o.files.study, lambda s: s["animals"].pop()),
        "was changed after animals were",
    ),
    ("a start moved", lambda o: rewrite(o.files.study, put("animals", 0, "start", "2026-03-05")), "was changed after"),
    ("an arm's policy", lambda o: rewrite(o.files.study, put("arms", 1, "policy", "kind", "manual")), "was changed"),
    (
        "a code",
        lambda o: rewrite(o.files.allocation, put("animals", 0, "code", "AAAA")),
        "was changed after it was drawn",
    ),
    ("a side", lambda o: rewrite(o.files.allocation, put("animals", 0, "drawn", {})), "was changed after it was drawn"),
    (
        "a rank",
        lambda o: rewrite(o.files.allocation, put("animals", 0, "rank", 0)),
        "animals.0.rank: must be at least 1",
    ),
    (
        "the commitment",
        lambda o: rewrite(o.files.allocation, put("commitment", "0" * 64)),
        "is not the key that was drawn",
    ),
    ("no commitment", lambda o: rewrite(o.files.allocation, put("commitment", "x")), "commitment: "),
    ("another study's", lambda o: rewrite(o.files.allocation, put("study", "big")), "is that of big, not of small"),
    ("a field more", lambda o: rewrite(o.files.allocation, put("arms", {})), "arms: unknown field"),
    ("no YAML", lambda o: o.files.allocation.write_text("{"), "study.allocation.yaml:"),
    ("an animal's entry", lambda o: rewrite(o.files.allocation, lambda s: s["animals"].pop()), "are not the study's"),
]


@pytest.mark.parametrize(("tamper", "said"), [one[1:] for one in TAMPERED], ids=[one[0] for one in TAMPERED])
def test_what_was_tampered_with_is_refused_and_nothing_is_run_or_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tamper: Callable[[Opened], Any], said: str
) -> None:
    opened = randomised(tmp_path)
    tamper(opened)
    before = sorted(tmp_path.rglob("*"))
    for verb in (["unblind", "--reason", "r", "--by", "b"], ["run", "--headless", "--subject", "M01", "--study"]):
        done = command(capsys, *verb, opened.files.study)
        assert done.code == 2
        assert said in done.said
    assert sorted(tmp_path.rglob("*")) == before


def test_a_key_of_another_allocation_of_the_same_study_does_not_open_it(tmp_path: Path) -> None:
    mine = randomised(tmp_path / "mine")
    other = randomised(tmp_path / "other")  # the same seed, and another salt
    mine.files.key.write_bytes(other.files.key.read_bytes())
    with pytest.raises(ConfigError, match="is not the key that was drawn"):
        open_study(mine.files.study)


def test_what_may_change_may_change(tmp_path: Path) -> None:
    opened = randomised(tmp_path)
    rewrite(opened.files.study, put("description", "moved to the other room"))
    rewrite(opened.files.study, put("data", "elsewhere"))
    assert filled(opened, "M01", day(-3)).out == (tmp_path / "elsewhere").resolve()


def test_the_study_on_the_page_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = Path(__file__).parents[1]
    page = (root / "docs" / "run_a_study.md").read_text(encoding="utf-8")
    shown = re.search(r"^```yaml\n(version: 1\n.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert shown is not None
    path = tmp_path / "my_study.yaml"
    path.write_text(shown[1], encoding="utf-8")
    for rig in ("my_rig.yaml", "other_rig.yaml"):
        (tmp_path / rig).write_bytes((root / "configs" / "rigs" / "simulated.yaml").read_bytes())
    assert command(capsys, "randomise", path, "--json").summary["balance"]["sex"] == {"female": 2, "male": 2}
