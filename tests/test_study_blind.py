"""A blind study on the simulated rig, from allocation to unblinding: yoked trains are given, and no name gets out."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest
from sessions import command
from study_files import plain_study, write_study

from closedloop.recording import Recording
from closedloop.recording.folder import UNBLINDED
from closedloop.studies.files import open_study

SESSION = """version: 1
name: often
warm_up: 500 ms
duration: 5 s
features: [{kind: dff, baseline: 200 ms}]
detector: {kind: difference, baseline: 500 ms, threshold: 2}
policy: {kind: sham}
light: {on: 100 ms, power: 5 mW}
"""
NAMES = re.compile(rb"thesource|follower|closed_loop|yoked")  # of the arms and of their policies


def names_in(folder: Path) -> list[str]:
    """Files that name an arm; what virtual boards note of the truth is no part of a real session."""
    files = [path for path in folder.rglob("*") if path.is_file() and "truth" not in path.parts]
    return [path.name for path in files if NAMES.search(path.read_bytes())]


def test_a_blind_study_from_allocation_to_unblinding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = plain_study(animals=2, allocation={})
    said["arms"] = [
        {"name": "thesource", "policy": {"kind": "closed_loop"}},
        {"name": "follower", "yoked_to": "thesource", "policy": {"kind": "yoked", "partner": "{partner}"}},
    ]
    said["phases"] = [{"name": "withdrawal day 1", "days": 0, "protocol": "often.yaml", "arms": "yes", "late": 1}]
    for animal in said["animals"]:
        animal["start"] = date.today().isoformat()
    path = write_study(tmp_path, said)
    (tmp_path / "often.yaml").write_text(SESSION)

    heard = [command(capsys, "randomise", path, "--seed", 2, "--json")]
    plan = command(capsys, "study", "plan", path, "--json")
    order = [row["animal"] for row in plan.summary["today"]]
    ran = [command(capsys, "run", "--study", path, "--subject", name, "--headless", "--json") for name in order]
    heard += [plan, *ran, command(capsys, "study", "plan", path, "--json")]
    assert [one.code for one in heard] == [0] * 5, [one.said for one in heard]
    for one in heard:
        assert not NAMES.search(f"{one.summary} {one.said}".encode())
    assert names_in(tmp_path / "data") == []
    assert [one.summary["condition"] for one in ran] == [row["code"] for row in plan.summary["today"]]

    opened = open_study(path)
    assert [opened.arm_of(name) for name in order] == ["thesource", "follower"]
    assert command(capsys, "unblind", path, "--reason", "a test", "--by", "nobody", "--json").code == 0
    recordings = [Recording.open(one.summary["session"]) for one in ran]
    lights = [[event.ticks for event in one.events() if event.kind == "light_on"] for one in recordings]
    assert len(lights[0]) >= 1
    assert len(lights[0]) == len(lights[1])
    assert names_in(tmp_path / "data") == [UNBLINDED] * 2
