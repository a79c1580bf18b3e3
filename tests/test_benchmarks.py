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
        command, capture_output=True, text=True, env=os.environ | environment, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.fixture(scope="module")
def latency() -> dict[str, Any]:
    if sys.platform == "win32" or shutil.which("cc") is None:
        pytest.skip("no pseudo-terminals, or no C compiler called cc")
    return run("latency.py", "--rate", "130", "--rounds", "1", "--chunk-ms", "400")


def test_latency_tells_the_machine_and_what_was_measured(latency: dict[str, Any]) -> None:
    assert latency["machine"].keys() >= MACHINE
    assert latency["benchmark"] == "latency"
    assert "microseconds" in latency["measured"]


def test_latency_has_percentiles_of_the_program_and_of_the_echo(latency: dict[str, Any]) -> None:
    (rate,) = latency["rates"]
    for name in ("heartbeat_us", "fire_us", "command_us", "echo_us", "echo_apart_us"):
        assert rate[name].keys() >= PERCENTILES
    assert rate["command_us"]["n"] == rate["heartbeat_us"]["n"] + rate["fire_us"]["n"]
    assert rate["ratio"]["command_to_echo"].keys() == {"p50", "p99", "p99_9"}


def test_every_bright_reading_of_the_latency_run_fires_and_nothing_else_does(latency: dict[str, Any]) -> None:
    (rate,) = latency["rates"]
    assert rate["ended"] == "completed"
    assert (rate["events"], rate["missed"], rate["unexpected"]) == (4, 0, 0)
    assert rate["fire_us"]["n"] == 4


def test_a_percentile_of_too_few_samples_is_unknown(latency: dict[str, Any]) -> None:
    (rate,) = latency["rates"]
    assert rate["fire_us"]["p50"] is not None
    assert rate["fire_us"]["p99"] is None


def test_latency_without_a_compiler_says_so_and_is_no_failure(tmp_path: Path) -> None:
    result = run("latency.py", PATH=str(tmp_path))
    assert result["rates"] is None
    assert "compiler" in result["skipped"]


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
    assert run("hostile_bytes.py", "--frames", "500")["forged"] == 0


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
