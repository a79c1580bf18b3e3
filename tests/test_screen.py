"""The window beside a session that a command line runs: scripts get their end, and no window is left unseen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil


def demo(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """As a script runs it: both outputs through pipes, which have to be closed at the end."""
    bare = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "QT_QPA_PLATFORM")}
    environment = bare | {"CLOSEDLOOP_CONFIG": str(folder / "config")} | environment
    command = [sys.executable, "-m", "closedloop.cli", "demo", "--duration", "6s", "--json", "--out", folder, *options]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)


def windows(folder: Path) -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["cmdline"]) if any(str(folder) in w for w in p.info["cmdline"] or ())]


def test_a_window_that_nobody_sees_is_closed_with_its_session_and_a_picture_is_taken(tmp_path: Path) -> None:
    picture = tmp_path / "end.png"
    done = demo(tmp_path, "--screenshot", str(picture), QT_QPA_PLATFORM="offscreen")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ended"] == "completed"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert windows(tmp_path) == []


def test_without_a_display_the_session_runs_and_one_line_says_what_to_do(tmp_path: Path) -> None:
    done = demo(tmp_path)
    assert done.returncode == 0
    assert json.loads(done.stdout)["ended"] == "completed"
    if sys.platform.startswith("linux"):
        assert [line for line in done.stderr.splitlines() if "display" in line] != []
    assert "Traceback" not in done.stderr
    for window in windows(tmp_path):  # a system that always has a display
        window.kill()
