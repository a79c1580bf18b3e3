"""The dashboard in a real window system, worked by pointer and keys; what came of it is looked for in the recording."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from desk import display
from sessions import truth

from closedloop.analysis.replay import replay
from closedloop.control import Stop
from closedloop.protocol import load_protocol
from closedloop.recording import Event, Recording
from closedloop.remote import Remote

DESK = Path(__file__).with_name("desk.py")
WITHIN_S = 180


@pytest.fixture(scope="module")
def screen() -> Iterator[str]:
    """A virtual screen, required in CI."""
    if missing := [tool for tool in ("Xvfb", "xdotool") if not shutil.which(tool)]:
        if os.environ.get("CI"):
            pytest.fail(f"{', '.join(missing)}: not installed")
        pytest.skip(f"needs {', '.join(missing)}")
    with display() as name:
        yield name


def at_the_desk(screen: str, scenario: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run one scenario; its steps on standard output."""
    own = {"PYTHONFAULTHANDLER": "1", "DISPLAY": screen, "CLOSEDLOOP_CONFIG": str(folder / "config")}
    environment = {**os.environ, **own}
    command = [sys.executable, DESK, scenario, folder / "data"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=WITHIN_S, check=False)


def until(condition: Callable[[], object]) -> None:
    """Wait for another process."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline


def session_of(folder: Path) -> Recording:
    (found,) = (folder / "data").glob("sub-*/ses-*")
    return Recording.open(found)


def told(recording: Recording, kind: str) -> list[Event]:
    return [event for event in recording.events() if event.kind == kind]


def notes(recording: Recording) -> list[str | None]:
    return [event.reason for event in told(recording, "note")]


def test_a_session_by_clicks_starts_arms_gives_light_and_is_stopped_by_the_red_button(
    screen: str, tmp_path: Path
) -> None:
    done = at_the_desk(screen, "clicks", tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    session = session_of(tmp_path)
    order = [n for n in notes(session) if n in ("ready", "arm_asked", "armed", "test_pulse", "disarmed")]
    assert order == ["ready", "arm_asked", "armed", "test_pulse", "disarmed"]
    decisions = [e.reason for e in told(session, "decision")]
    assert "fire" in decisions
    assert "test" in decisions
    tested = next(e.train for e in told(session, "decision") if e.reason == "test")
    assert tested in {e.train for e in told(session, "light_on")}
    assert session.summary is not None
    assert session.summary["ended"] == "stopped"
    assert "red button" in session.summary["reason"] or "Esc" in session.summary["reason"]
    lit = [t for t in truth(session.folder) if t["kind"] == "light" and t["level"] > 0]
    assert len(lit) == len(told(session, "light_on"))


def test_a_session_by_keys_notes_sets_the_threshold_and_esc_in_a_text_field_is_dark(
    screen: str, tmp_path: Path
) -> None:
    done = at_the_desk(screen, "keys", tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    session = session_of(tmp_path)
    assert [e.text for e in told(session, "note") if e.reason == "remark"] == ["lever jammed"]
    changed = [e for e in told(session, "note") if e.reason == "threshold"]
    assert [e.value for e in changed] == [4.5]
    rows = session.rows()
    assert set(rows["threshold"][rows["ticks"] > changed[0].ticks]) == {4.5}
    assert told(session, "light_on")
    assert session.summary is not None
    assert session.summary["ended"] == "stopped"
    assert "Esc" in session.summary["reason"]
    again = replay(session.folder, load_protocol(str(session.folder / "protocol.yaml")))
    assert again.steps["score"].tobytes() == rows["score"].tobytes()
    assert again.steps["bits"].tobytes() == rows["bits"].tobytes()


def test_a_killed_dashboard_leaves_the_session_it_started_running_and_whole(screen: str, tmp_path: Path) -> None:
    done = at_the_desk(screen, "killed", tmp_path)
    assert done.returncode == -signal.SIGKILL, done.stderr
    session = session_of(tmp_path)
    assert session.being_written
    before = session.table.head
    until(lambda: session.table.head > before + 130)
    remote = Remote(session.folder)
    assert remote.send(Stop("by the test"))
    until(lambda: session.summary)
    remote.close()
    assert session.summary is not None
    assert session.summary["reason"] == "by the test"
    assert session.summary["sent"] == session.table.head
