"""The program as its user starts it, on the real firmware behind pseudo-terminals in real time: does all fit together?

No time is judged here: a busy machine makes the emulated rig late, readings then come late, and late readings give no
light. What is judged holds on any machine: nothing is lost, and the light is dark at the end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from backend_emulated import BAUD, BUILD, FIRMWARE

pytestmark = [
    pytest.mark.backends("emulated-uno"),
    pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals need Linux or macOS"),
]
ROLES = {"two boards": ("daq", "stimulator"), "one board": ("both",)}


@pytest.mark.parametrize("protocol", ["demo", "on_board"])
@pytest.mark.parametrize("roles", ROLES.values(), ids=ROLES)
def test_a_session_on_the_real_firmware_loses_nothing_and_ends_dark(
    backend: str, tmp_path: Path, roles: tuple[str, ...], protocol: str
) -> None:
    log = tmp_path / "rig.jsonl"
    elves = [argument for role in roles for argument in (f"--{role}", BUILD / f"uno-{BAUD}" / f"{role}.elf")]
    rig = subprocess.Popen(
        [sys.executable, "-m", "emulator.pty_rig", *elves, "--log", log],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(FIRMWARE)},
    )
    try:
        ports = json.loads(rig.stdout.readline())
        wired = [f"rig.daq.port={ports[roles[0]]}", f"rig.stimulator.port={ports[roles[-1]]}"]
        changes = [argument for change in [*wired, "warm_up=2s"] for argument in ("--set", change)]
        options = ["--rig", "arduino_uno", "--duration", "6s", "--headless", "--json", "--out", tmp_path / "data"]
        program = [sys.executable, "-m", "closedloop.cli", "run", protocol, *options, *changes]
        ran = subprocess.run(program, capture_output=True, text=True, timeout=120, check=False)
    finally:
        rig.stdin.close()
        rig.wait()
        rig.stdout.close()
    assert ran.returncode == 0, ran.stderr
    summary = json.loads(ran.stdout)
    assert summary["ended"] == "completed"
    assert summary["readings"]["received"] >= 700
    assert (summary["readings"]["missing"], summary["readings"]["damaged_frames"]) == (0, 0)
    light = [row["level"] for row in map(json.loads, log.read_text().splitlines()) if row["event"] == "light"]
    assert not light or light[-1] == 0
