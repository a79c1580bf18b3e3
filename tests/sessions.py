"""Sessions on the simulated rig, started the way a user starts them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from closedloop import cli
from closedloop.recording import Recording


@dataclass(frozen=True)
class Ran:
    """What a command left: its exit code, its JSON, what it said, and the recording."""

    code: int
    summary: dict[str, Any]
    said: str

    @property
    def recording(self) -> Recording:
        return Recording.open(self.summary["session"])

    @property
    def truth(self) -> list[dict[str, Any]]:
        return truth(Path(self.summary["session"]))


def truth(session: Path) -> list[dict[str, Any]]:
    """What the virtual boards know really happened; a last line cut short is left out."""
    lines = (session / "truth" / "truth.jsonl").read_text().split("\n")
    return [json.loads(line) for line in lines[:-1]]


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> Ran:
    """Run one command line in this process; its standard output must be one JSON object and nothing else."""
    capsys.readouterr()
    code = cli.main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return Ran(code, json.loads(out) if out else {}, err)
