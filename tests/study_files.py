"""Study files for tests, and sessions of them that were never run: folders with the header that a run would write."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from closedloop.recording import RecordingWriter, create
from closedloop.studies.files import Files, Opened, open_study
from closedloop.studies.filling import Asked, Filled, study_request
from closedloop.studies.making import make, write
from closedloop.study import load_study

DAY_0 = date(2026, 3, 2)
QUICK = """version: 1
name: quick
warm_up: 200 ms
duration: 1500 ms
features: [{kind: dff, baseline: 200 ms}]
detector: {kind: difference, baseline: 500 ms}
policy: {kind: sham}
light: {on: 100 ms, power: 5 mW}
"""
FOLLOWS = '''"""A policy that names another session, for tests of what stands in braces."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from closedloop.policies import Policy, on_detection


class Follows(Policy):
    kind: Literal["follows"] = "follows"
    partner: str = Field(description="Another session.")
    decisions: ClassVar[tuple[str, ...]] = ("sham",)
    decide: ClassVar[Any] = staticmethod(on_detection)
'''


def day(number: int) -> date:
    """The date of a day of the study."""
    return DAY_0 + timedelta(days=number)


def plain_study(animals: int = 4, **changes: Any) -> dict[str, Any]:
    """A small study as plain values: two arms, and phases that are done on days -3 to -1, 1, and 7 to 10."""
    said: dict[str, Any] = {
        "version": 1,
        "name": "small",
        "rig": "simulated",
        "data": "data",
        "animals": [
            {"id": f"M{at + 1:02d}", "sex": "male" if at % 2 else "female", "start": str(DAY_0)}
            for at in range(animals)
        ],
        "arms": [
            {"name": "closed_loop", "policy": {"kind": "closed_loop"}},
            {"name": "dark", "policy": {"kind": "sham"}},
        ],
        "phases": [
            {"name": "baseline", "days": [-3, -2, -1], "protocol": "quick.yaml", "anchor": "makes"},
            {"name": "withdrawal day 1", "days": 1, "protocol": "quick.yaml", "arms": "yes"},
            {
                "name": "re-exposure",
                "days": [7, 8, 9, 10],
                "protocol": "quick.yaml",
                "conditions": ["cocaine", "cue", "saline", "novelty"],
                "late": 1,
            },
        ],
        "allocation": {"stratify": ["sex"], "counterbalance": {"paired_side": ["left", "right"]}},
    }
    return said | changes


def write_study(folder: Path, said: dict[str, Any]) -> Path:
    """The study as a file, its protocol beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "quick.yaml").write_text(QUICK)
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(said, sort_keys=False))
    return path


def randomised(folder: Path, said: dict[str, Any] | None = None, seed: int = 3) -> Opened:
    """A study that was randomised."""
    path = write_study(folder, said or plain_study())
    allocation, key, _ = make(load_study(path), path, seed)
    write(Files(path), allocation, key)
    return open_study(path)


def filled(opened: Opened, subject: str, today: date, **asked: Any) -> Filled:
    """What a session of an animal would be on a date."""
    return study_request(opened.files.study, Asked(subject, **asked), today)


def session(out: Path, study: dict[str, Any], ended: str | None = "completed") -> Path:
    """The folder of a session that says so of its study; without an end it was broken off."""
    at = datetime.fromisoformat(f"{study['run_on']}T10:00:00+00:00")
    folder = create(out, study["animal"], at)
    header = {"started": at.isoformat(), "rate_mhz": 130_000, "nano_units": 1, "input_names": [], "study": study}
    dtype = np.dtype([("ticks", "<i8")])
    writer = RecordingWriter.open(folder, header=header, protocol=QUICK, rig="", dtype=dtype)
    if ended is not None:
        writer.close({"ended": ended, "reason": "test"})
        return folder
    writer.close({"ended": "failed", "reason": ""})
    (folder / "summary.json").unlink()
    return folder


def run(opened: Opened, subject: str, today: date, ended: str | None = "completed", **asked: Any) -> Path:
    """As if that session had been run."""
    found = filled(opened, subject, today, **asked)
    return session(found.out, found.study, ended)


def run_all(opened: Opened, today: date) -> list[Path]:
    """As if every animal's session of a day had been run, in the order of the day."""
    order = sorted(opened.allocation.animals, key=lambda one: one.rank)
    return [run(opened, one.id, today) for one in order]
