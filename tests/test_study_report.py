"""The report of a study file: its own sessions and anchors, animals under their codes until the key is opened."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sessions import command
from study_files import day, filled, plain_study, randomised
from study_sessions import animal_readings, protocol
from study_sessions import session as recorded

from closedloop.simulation.animal_model import State
from closedloop.studies.files import Opened

COURSE = [(-3, "baseline", State()), (-2, "baseline", State()), (1, "withdrawal day 1", State(event_rate=9.0))]


def lived(opened: Opened, name: str, seed: int) -> list[Path]:
    """Sessions of a virtual animal, as the study would have had them run."""
    made = []
    for at, (number, phase, state) in enumerate(COURSE):
        readings, scale = animal_readings(state, minutes=10, seed=seed + at)
        study = filled(opened, name, day(number), reason="out of order").study
        folder = opened.files.study.parent / "data" / f"sub-{name}" / f"ses-{day(number):%Y%m%d}T100000"
        made.append(recorded(folder, readings, scale, subject=name, ran=protocol(phase)))
        header = json.loads((folder / "header.json").read_text())
        (folder / "header.json").write_text(json.dumps(header | {"study": study}))
    return made


def test_a_study_file_stands_for_its_sessions_and_arms_are_shown_once_the_key_was_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = randomised(tmp_path, plain_study(animals=2))
    folders = [folder for at, name in enumerate(("M01", "M02")) for folder in lived(opened, name, 10 * at)]
    study = opened.files.study
    by_study = command(capsys, "study", "report", study, "--json")
    assert by_study.code == 0, by_study.said
    by_session = command(capsys, "study", "report", *folders, "--json")
    assert by_study.summary["rows"] == by_session.summary["rows"]
    codes = {one.id: f"code {one.code}" for one in opened.allocation.animals}
    assert by_study.summary["groups"] == codes
    assert command(capsys, "unblind", study, "--animal", "M02", "--reason", "r", "--by", "b", "--json").code == 0
    after = command(capsys, "study", "report", study, "--json").summary["groups"]
    assert after == codes | {"M02": opened.arm_of("M02")}
