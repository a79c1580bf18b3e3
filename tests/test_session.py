"""Whole sessions through real serial bytes: the engine in its own process, the boards in theirs."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sessions import command, truth

from closedloop.analysis.replay import replay
from closedloop.protocol import load_protocol
from closedloop.recording import Recording
from closedloop.steps import STEP, shown_in

RECORDINGS = [
    "m17-R-2018-12-12-090409.ppd",
    "1396_OF-2022-04-06-111534.ppd",
    "martianova_example.csv",
    "phat_laser_npm.csv",
    "ibl_77a6741c_bleaching.csv",
    "ibl_npm_region4_unplugged.csv",
]
MEASURED = """version: 1
name: measured
warm_up: 3 s
duration: 20 s
features: [{kind: isosbestic, baseline: 5 s, epoch: 5 s}]
detector:
  kind: all
  of:
    - kind: state
      event: 3 %
      level: {window: 2 s, mean: 0.2, sd: 0.02, smallest: 5 %}
      rate: {base_rate: 6 /min}
      gain: {reference: 10 %, spread: 0.4}
    - {kind: difference, baseline: 3 s}
policy: {kind: closed_loop, refractory: 2 s}
light: {on: 200 ms, power: 5 mW}
"""
LEASE_US = 250_000
PLUGGED_IN_S, PULLED_OUT_S = 4.2 * 60, 25.8 * 60  # of ibl_npm_region4_unplugged.csv


def steps_of(recording: Recording) -> np.ndarray:
    rows = recording.rows()
    steps = np.zeros(len(rows), STEP)
    for name in STEP.names or ():
        steps[name] = rows[name]
    return steps


def test_the_demo_gives_light_and_loses_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran = command(capsys, "demo", "--headless", "--duration", "15s", "--seed", 3, "--json", "--out", tmp_path)
    summary = ran.summary
    assert ran.code == 0
    assert summary["ended"] == "completed"
    assert summary["readings"] == {"received": 1951, "missing": 0, "damaged_frames": 0}
    trains = summary["trains"]
    assert trains["commanded"] == trains["delivered"] >= 1
    assert trains["on_s"] == pytest.approx(0.2 * trains["delivered"])
    assert trains["energy_mj"] == pytest.approx(5 * trains["on_s"])
    rises = [t for t in ran.truth if t["kind"] == "light" and t["level"] > 0]
    assert len(rises) == trains["delivered"]
    assert summary["latency_us"]["read_to_command"]["max"] > 0


def test_sham_sends_no_fire_and_gives_no_light_also_over_tcp(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--headless", "--duration", "15s", "--seed", 3, "--json", "--out", tmp_path]
    options += ["--set", "policy.kind=sham", "--set", "rig.simulation.transport=tcp"]
    ran = command(capsys, "demo", *options)
    assert ran.code == 0
    assert ran.summary["decisions"]["sham"] >= 1
    assert ran.summary["trains"] == {
        "commanded": 0,
        "delivered": 0,
        "on_board": 0,
        "on_s": 0.0,
        "energy_mj": 0.0,
    }
    assert not [t for t in ran.truth if t["kind"] == "light"]


@pytest.mark.parametrize("name", RECORDINGS)
def test_live_and_replayed_steps_are_the_same_to_the_last_bit(
    name: str, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = shared_data / name
    options = ["--rig", "simulated", "--play", file, "--speed", 1000, "--headless", "--json", "--seed", 5]
    ran = command(capsys, "run", "withdrawal_inhibition", *options, "--out", tmp_path)
    assert ran.code == 0, ran.said
    live = steps_of(ran.recording)
    protocol = load_protocol("withdrawal_inhibition")
    of_session, of_file = replay(Path(ran.summary["session"]), protocol), replay(file, protocol)
    assert len(live) == len(of_file.steps)
    for field in STEP.names or ():
        np.testing.assert_array_equal(live[field], of_session.steps[field], err_msg=f"session: {field}")
        np.testing.assert_array_equal(live[field], of_file.steps[field], err_msg=f"file: {field}")
    assert ran.summary["readings"]["missing"] == 0
    assert ran.summary["decisions"] == of_file.summary()["decisions"]
    if name.startswith("m17"):
        assert ran.summary["trains"]["delivered"] > 50
    if name.startswith("ibl_npm"):
        _assert_no_light_outside_the_connected_stretch(ran)


def test_what_parts_show_of_themselves_replays_to_the_last_bit_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = tmp_path / "measured.yaml"
    name.write_text(MEASURED, encoding="utf-8")
    ran = command(capsys, "run", name, "--rig", "simulated", "--duration", "20s", "--headless", "--json", "--seed", 5,
                  "--out", tmp_path)  # fmt: skip
    assert ran.code == 0, ran.said
    assert "arning" not in ran.said
    live, again = ran.recording.rows(), replay(Path(ran.summary["session"]), load_protocol(str(name))).steps
    shown = shown_in(live.dtype)
    assert shown == ("isosbestic_slope", "isosbestic_r", "state_score", "level", "rate", "gain", "difference_score")
    for field in again.dtype.names or ():
        np.testing.assert_array_equal(live[field], again[field], err_msg=field)
    for field in ("isosbestic_slope", "state_score", "level", "difference_score"):
        assert np.isfinite(live[field][-100:]).any(), field
    assert ran.recording.header["bounds"] == {"threshold": 2.0, "release": 2.0, "highest": 2.0}


def _assert_no_light_outside_the_connected_stretch(ran: Any) -> None:
    events = ran.recording.events()
    lit_s = [e.ticks / 1e6 for e in events if e.kind == "light_on"]
    assert lit_s
    assert all(PLUGGED_IN_S < t < PULLED_OUT_S for t in lit_s)
    reasons = {e.reason for e in events if e.kind == "refused"}
    assert {"warm_up", "unplugged"} <= reasons
    detections = {e.train for e in events if e.kind == "detection" and not PLUGGED_IN_S < e.ticks / 1e6 < PULLED_OUT_S}
    assert detections <= {e.train for e in events if e.kind == "refused"}


@contextmanager
def running(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A command in a process group of its own, as from a shell; gone at the end whatever happened."""
    line = [sys.executable, "-m", "closedloop.cli", *(str(a) for a in arguments)]
    process = subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, bufsize=1
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for_light(process: subprocess.Popen[str], data: Path) -> Path:
    """Follow the recording until a train is on; returns the session folder. Fails if the command ends before."""
    while True:
        sessions = list(data.glob("sub-*/ses-*"))
        if sessions and (sessions[0] / "header.json").exists():
            events = Recording.open(sessions[0]).events()
            on = {e.train for e in events if e.kind == "light_on"} - {e.train for e in events if e.kind == "light_off"}
            if on:
                return sessions[0]
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.05)
        assert process.poll() is None, process.communicate()[1]


LONG_TRAINS = ["--set", "light.on=900ms", "--set", "light.power=3 mW", "--set", "policy.refractory=500ms"]


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX")
def test_an_engine_killed_while_light_is_on_ends_dark_and_loses_no_reading(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--headless", "--duration", "120s", "--seed", 3, "--out", tmp_path, *LONG_TRAINS]
    with running("demo", *options) as process:
        session = wait_for_light(process, tmp_path)
        os.kill(json.loads((session / "header.json").read_text())["computer"]["engine_pid"], signal.SIGKILL)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "the engine died" in said
    assert "Traceback" not in said
    true = truth(session)
    lights = [t for t in true if t["kind"] == "light"]
    tripped = [t for t in true if t["kind"] == "state" and t["state"] == "TRIPPED"]
    assert len(tripped) == 1
    assert lights[-1]["level"] == 0
    assert lights[-1]["device_us"] <= tripped[0]["device_us"]

    recording = Recording.open(session)
    rows = recording.rows()
    assert not recording.finished
    assert tripped[0]["device_us"] - _device_us(true, int(rows["ticks"][-1])) <= LEASE_US + 20_000
    assert cli_export(session, tmp_path / "csv") == 0
    with (tmp_path / "csv" / "samples.csv").open() as file:
        samples = list(csv.DictReader(file))
    assert len(samples) == len(rows) > 500
    assert [int(s["device_ticks"]) for s in samples[:2]] == [
        int(e.value or 0) for e in recording.events() if e.reason == "first_reading"
    ] + [int(samples[0]["device_ticks"]) + int(rows["ticks"][1])]
    assert np.array_equal(np.diff(rows["seq"]), np.ones(len(rows) - 1))


def _device_us(true: list[dict[str, Any]], ticks: int) -> int:
    start = next(t for t in true if t["kind"] == "stream")
    return int(start["device_us"]) + ticks


def cli_export(session: Path, out: Path) -> int:
    from closedloop import cli

    return cli.main(["export", str(session), "--to", "csv", "--out", str(out)])


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
def test_ctrl_c_goes_dark_closes_the_recording_and_exits_130(tmp_path: Path) -> None:
    options = ["--headless", "--duration", "120s", "--seed", 3, "--json", "--out", tmp_path, *LONG_TRAINS]
    with running("demo", *options) as process:
        session = wait_for_light(process, tmp_path)
        os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to every process of the group
        out, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    summary = json.loads(out)
    assert summary["ended"] == "stopped"
    assert summary["readings"]["missing"] == 0
    assert [t["level"] for t in truth(session) if t["kind"] == "light"][-1] == 0
    cut = [e for e in Recording.open(session).events() if e.kind == "light_off"][-1]
    assert cut.reason == "host_dark"


def test_a_recording_that_cannot_be_read_is_exit_5(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nonsense = tmp_path / "nonsense.ppd"
    nonsense.write_bytes(b"\x10\x00 not a header at all")
    ran = command(capsys, "replay", nonsense, "--protocol", "demo", "--json")
    assert ran.code == 5
    assert "nonsense.ppd" in ran.said
    assert command(capsys, "export", tmp_path, "--to", "csv").code == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "demo", "--rig", "arduino_uno", "--play", "x.csv"], "x.csv"),
        (["demo", "--speed", "5", "--headless"], "--speed"),
        (["demo", "--duration", "20", "--headless"], "--duration"),
        (["demo", "--subject", "../x", "--headless"], "--subject"),
        (["run", "nothing", "--rig", "simulated"], "nothing"),
        (["demo", "--set", "detector.thresold=4"], "did you mean 'threshold'"),
        (["demo", "--set", "rig.daq.rat=4"], "did you mean 'rate'"),
        (["demo", "--set", "light.power=20 mW"], "full power"),
        (["demo", "--set", "light.on=2 s"], "longer than the limit"),
        (["demo", "--set", "rig.light=null"], "no calibration"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_a_wrong_command_line_starts_nothing(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = command(capsys, *arguments)
    assert ran.code in (2, 5)
    assert said in ran.said
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_not_there_is_exit_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran = command(capsys, "run", "demo", "--rig", "arduino_uno", "--headless", "--json", "--out", tmp_path)
    assert ran.code == 3
    assert "/dev/ttyACM" in ran.said
    assert list(tmp_path.glob("sub-*/*")) == []  # a session that never began leaves no folder
