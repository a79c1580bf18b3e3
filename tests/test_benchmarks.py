"""Each benchmark in a tiny form: it runs and says what it promises to. No figure is judged here."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
PERCENTILES = {"n", "p50", "p99", "p99_9", "max"}
MACHINE = {"cpu", "cores", "kernel", "python"}


def run(name: str, *arguments: str, **environment: str) -> dict[str, Any]:
    command = [sys.executable, str(BENCHMARKS / name), "--json", *arguments]
    ran = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | environment, timeout=400, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


CONDITIONS = ["idle", "burnt", "dashboard"]


@pytest.fixture(scope="module")
def latency() -> dict[str, Any]:
    if sys.platform == "win32" or shutil.which("cc") is None:
        pytest.skip("no pseudo-terminals, or no C compiler called cc")
    only = [word for condition in CONDITIONS for word in ("--only", condition)]
    return run("latency.py", *only, "--rate", "130", "--rounds", "1", "--chunk-ms", "400", QT_QPA_PLATFORM="offscreen")


def test_latency_tells_the_machine_and_what_was_measured(latency: dict[str, Any]) -> None:
    assert latency["machine"].keys() >= MACHINE
    assert latency["benchmark"] == "latency"
    assert "microseconds" in latency["measured"]
    assert latency["kept_awake"] == "not asked for"
    assert latency["timeflux"].startswith("not asked for")


def test_latency_has_percentiles_of_the_program_and_of_the_echo_in_every_condition(latency: dict[str, Any]) -> None:
    assert [run["condition"] for run in latency["runs"]] == CONDITIONS
    for run in latency["runs"]:
        for name in ("heartbeat_us", "fire_us", "command_us", "echo_us", "echo_apart_us"):
            assert run[name].keys() >= PERCENTILES
        assert run["command_us"]["n"] == run["heartbeat_us"]["n"] + run["fire_us"]["n"]
        assert run["ratio"]["command_to_echo"].keys() == {"p50", "p99", "p99_9"}
        assert run["aim"]["command_to_echo"].keys() == {"p50", "p99"}
        assert run["priorities"].keys() >= {"board", "engine", "echo"}


def test_every_bright_reading_of_the_latency_run_fires_and_nothing_else_does(latency: dict[str, Any]) -> None:
    for run in latency["runs"]:
        trains = 4 if run["condition"] == "idle" else 2  # one for each chunk of the program's, more where peers are
        assert run["ended"] == "completed"
        assert (run["events"], run["missed"], run["unexpected"]) == (trains, 0, 0)
        assert run["fire_us"]["n"] == trains


def test_a_percentile_of_too_few_samples_is_unknown(latency: dict[str, Any]) -> None:
    for run in latency["runs"]:
        assert run["fire_us"]["p50"] is not None
        assert run["fire_us"]["p99"] is None
        assert run["ratio"]["fire_to_echo_apart"]["p99"] is None


def test_peers_take_their_turns_in_the_same_run_and_answer_every_bright_reading(latency: dict[str, Any]) -> None:
    idle, *others = latency["runs"]
    assert list(idle["peers"]) == ["pyserial_blocking", "reader_thread"]
    for name, peer in idle["peers"].items():
        assert peer["answer_us"]["n"] == peer["asked"] > 0
        assert (peer["missed"], peer["unexpected"]) == (0, 0)
        assert idle["ratio"][f"command_to_{name}"]["p50"] > 0
    assert not any(other["peers"] for other in others)


def test_latency_without_a_compiler_says_so_and_is_no_failure(tmp_path: Path) -> None:
    result = run("latency.py", PATH=str(tmp_path))
    assert result["runs"] is None
    assert "compiler" in result["skipped"]


@pytest.fixture
def beside_latency(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of that name, out of the benchmarks' folder."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


DEAF = """
import sys
import serial
from frame import HEAD, SIZE, answer, hello

port, asked = serial.Serial(sys.argv[1]), 0
port.write(hello())
while True:
    said = answer(port.read(SIZE))
    asked += bool(said)
    if said and asked % 2:
        port.write(said)
"""


def test_what_a_peer_does_not_answer_is_counted_and_never_timed(
    beside_latency: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = shutil.which("cc")
    if sys.platform == "win32" or compiler is None:
        pytest.skip("no pseudo-terminals, or no C compiler called cc")
    latency_run, peer_processes = beside_latency("latency_run"), beside_latency("peer_processes")
    shutil.copy(BENCHMARKS / "peers" / "frame.py", tmp_path)
    (tmp_path / "deaf.py").write_text(DEAF)
    monkeypatch.setattr(peer_processes, "PEERS", tmp_path)
    plan = latency_run.Plan(130, rounds=1, chunk_ms=400, program_ms=400)
    deaf = peer_processes.Peer("deaf", "answers every other time", sys.executable)
    found = latency_run.measure(compiler, latency_run.Asked("idle", plan, (deaf,)))["peers"]["deaf"]
    assert found["answer_us"]["n"] + found["missed"] == found["asked"]
    assert abs(found["missed"] - found["asked"] / 2) <= 1
    assert found["unexpected"] == 0


def test_the_program_has_a_chunk_between_any_two_others(beside_latency: Any) -> None:
    plan = beside_latency("far_end").Plan(130, rounds=3, peers=2, peers_every=2)
    assert plan.letters() == "pepap1p2" + "pepa" + "pepap1p2"
    assert plan.expected_s() == pytest.approx(10 * 0.7 + 10 * 1.3)


def test_the_long_form_has_20_000_readings_of_program_and_echoes_and_stays_under_three_quarters_of_an_hour(
    beside_latency: Any,
) -> None:
    latency, far_end = beside_latency("latency"), beside_latency("far_end")
    total_s = 0.0
    for rate, rounds in latency.LONG.items():
        for peers in (5, 0, 0):  # idle, dashboard, burnt
            plan = far_end.Plan(rate, rounds, peers=peers, peers_every=latency.PEERS_EVERY)
            letters = plan.letters()
            for letter, length_ms in (("p", plan.program_ms), ("e", plan.chunk_ms), ("a", plan.chunk_ms)):
                assert letters.count(letter) * (length_ms - 100) / 1000 * rate >= 20_000
            total_s += plan.expected_s()
    assert total_s < 45 * 60


def test_priorities_are_given_and_told_or_told_why_not(beside_latency: Any) -> None:
    scheduling = beside_latency("scheduling")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as sleeper:
        told = scheduling.above_all(sleeper.pid)
        has = scheduling.of(sleeper.pid)
    if sys.platform == "linux":
        assert told == str(has) or "refused" in told
    else:
        assert has is None


def test_the_table_names_means_that_were_not_had_and_runs_that_failed(
    latency: dict[str, Any], beside_latency: Any
) -> None:
    means = {"memory_lock": {"had": True, "why": ""}, "scheduling": {"had": False, "why": "no rights"}}
    idle = latency["runs"][0] | {"real_time": means}
    failed = {"condition": "burnt", "rate_hz": 130, "failed": "the board ended with 1"}
    lines = "\n".join(beside_latency("latency").table(latency | {"runs": [idle, failed]}))
    assert "memory_lock had; scheduling not had (no rights)" in lines
    assert "failed: the board ended with 1" in lines
    assert "p99 not known" in lines


def test_a_machine_without_timeflux_says_why(
    beside_latency: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer_processes = beside_latency("peer_processes")
    monkeypatch.setattr(peer_processes, "_cache", lambda: tmp_path / "file")
    (tmp_path / "file").write_text("a file, where a folder would have to be made")
    python, why = peer_processes.timeflux_python()
    assert python is None
    assert why


def test_replay_has_both_rates_of_both_chains() -> None:
    result = run("replay.py", "--readings", "20000", "--runs", "2")
    assert result["machine"].keys() >= MACHINE
    assert [chain["chain"].split("+")[0] for chain in result["chains"]] == ["dff", "isosbestic"]
    for chain in result["chains"]:
        assert chain["loop_per_s"].keys() == chain["scipy_per_s"].keys() == {"best", "median"}
        assert chain["ratio"] > 0
        assert chain["one_reading_us"].keys() == {"p50", "p99"}


def test_replay_compares_filters_that_compute_the_same() -> None:
    result = run("replay.py", "--readings", "200000", "--runs", "1")
    assert all(chain["same"] > 0.99 for chain in result["chains"])


def test_hostile_bytes_tell_what_was_forged() -> None:
    result = run("hostile_bytes.py", "--bytes", "200000")
    assert result["bytes"] >= 200_000
    assert (result["forged"], result["lost"], result["misread"], result["miscounted"]) == (0, 0, 0, 0)


def test_tuning_gives_the_same_numbers_on_one_thread_and_on_all() -> None:
    result = run("tune.py", "--settings", "8", "--hours", "0.25")
    assert result["machine"].keys() >= MACHINE
    assert (result["settings"], result["hours"], result["aim_s"]) == (8, 0.25, None)
    assert result["same"] is True
    assert result["readings_per_s"] > 0
    assert result["held_out"]["hours"] > 0.1


def test_a_rehearsal_gives_the_same_report_on_one_thread_and_on_all() -> None:
    result = run("rehearse.py", "--animals", "2", "--minutes", "4")
    assert result["machine"].keys() >= MACHINE
    assert (result["animals"], result["days"], result["session_s"]) == (2, 3, 240)
    assert result["same"] is True
    assert result["readings"] > 300_000


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    if sys.platform == "win32" or shutil.which("cc") is None:
        pytest.skip("no pseudo-terminals, or no C compiler called cc")
    return run("dashboard.py", "--tiny", QT_QPA_PLATFORM="offscreen")


def test_the_dashboard_is_measured_beside_a_session_and_without(dashboard: dict[str, Any]) -> None:
    (rate,) = dashboard["loop"].values()
    assert rate["ended"] == "completed"
    assert rate["with_us"]["n"] > 0
    assert rate["without_us"]["n"] > 0


def test_repaints_memory_and_esc_of_the_dashboard_have_figures(dashboard: dict[str, Any]) -> None:
    assert dashboard["repaint"]["whole session"]["a_second"] > 0
    assert len(dashboard["memory"]["own_mb"]) == 2
    assert [esc["n"] for esc in dashboard["esc"].values()] == [1, 1, 1]


@pytest.fixture
def detection_noise(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("detection_noise")


def test_detectors_name_their_sections_and_refuse_another() -> None:
    command = [sys.executable, str(BENCHMARKS / "detectors.py"), "--only", "noises"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 2
    assert "noise" in ran.stderr


def test_the_exact_cusum_has_the_run_length_that_is_computed(detection_noise: Any) -> None:
    for shift in (0.5, 1.0):
        threshold = detection_noise.exact_threshold(60.0, shift)
        assert detection_noise.run_length(threshold, shift) == pytest.approx(7800, rel=1e-6)
        noise = np.random.default_rng(1).standard_normal(8_000_000)
        counted = detection_noise.alarms_with_restart(noise, shift, threshold)
        assert counted == pytest.approx(len(noise) / 7800, rel=0.1)


def test_a_rate_has_its_poisson_interval(detection_noise: Any) -> None:
    none, ten = detection_noise.rate(0, 10.0), detection_noise.rate(10, 10.0)
    assert (none["low"], none["high"]) == (0.0, pytest.approx(0.369, abs=0.001))
    assert (ten["per_h"], ten["low"], ten["high"]) == (
        1.0,
        pytest.approx(0.48, abs=0.01),
        pytest.approx(1.84, abs=0.01),
    )


def test_white_and_coloured_noise_have_every_figure_with_its_interval(detection_noise: Any) -> None:
    size = detection_noise.Size(white=1, changes=24, coloured=1, calibration=1)
    white = detection_noise.white(1.0, size, 1)
    assert white["delay"]["n"] == 24
    assert white["delay"]["missed"] == white["false_alarms"]["vetoed"] == 0
    assert 0 < white["efficiency_low"] <= white["efficiency"] <= white["efficiency_high"]
    coloured = detection_noise.coloured_noise(0.9, 1.0, size, 1)
    assert list(coloured["false_alarms"]) == [
        "not_whitened", "epoch_60_s", "epoch_300_s", "anchored", "anchored_calibrated"
    ]  # fmt: skip
    for found in (white["false_alarms"], *coloured["false_alarms"].values()):
        assert found["low"] <= found["per_h"] <= found["high"]
    result = {"rate_hz": 130.0, "white": [white], "coloured": [coloured]}
    assert len(list(detection_noise.lines(json.loads(json.dumps(result))))) == 11
