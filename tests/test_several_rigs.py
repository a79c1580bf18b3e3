"""benchmarks/rigs.py in a tiny form: two rigs at once, and some minutes of a day. No figure of speed is judged here."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from closedloop.errors import ConfigError

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def together() -> dict[str, Any]:
    command = [sys.executable, str(BENCHMARKS / "rigs.py"), "--json", "--rigs", "1", "--fast", "1", "--seconds", "4"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    result: dict[str, Any] = json.loads(ran.stdout)
    return result


def test_of_two_rigs_at_once_every_reading_is_accounted_for(together: dict[str, Any]) -> None:
    assert together["failed"] == []
    assert [rig["rate_hz"] for rig in together["rigs"]] == [130, 1000]
    for rig in together["rigs"]:
        assert rig["sent"] > 0
        assert (rig["missing"], rig["unaccounted"], rig["repeated"], rig["damaged"]) == (0, 0, 0, 0)


def test_of_two_rigs_at_once_cost_and_delays_are_told(together: dict[str, Any]) -> None:
    for what in ("engine", "rig"):
        assert together["cpu"][what]["processes"] <= 2  # fewer, where a busy test machine ended a session early
        assert together["memory_mb"][what].keys() == {"all", "most"}
    assert together["age_us"]["p50"] > 0
    assert together["rigs"][0].keys() >= {"held_up", "stale", "together", "health_overruns"}


@pytest.fixture(scope="module")
def day() -> Any:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return importlib.import_module("day")
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_some_minutes_of_a_day_lose_nothing_and_survive_a_wrap_of_the_clock(day: Any) -> None:
    result = day.measure(0.02)
    assert result["ended"] == "completed"
    assert (result["missing"], result["unaccounted"], result["ticks_wrong"]) == (0, 0, 0)
    assert result["wraps"] == 1
    assert result["trains"] > 0
    assert result["light_on_error_us"] < 500
    assert "x real time" in " ".join(day.table(result))


def test_a_slope_has_its_interval(day: Any) -> None:
    hours = np.linspace(1, 24, 276)
    noise = np.random.default_rng(1).standard_normal(len(hours))
    slope = day._slope(hours, 150 + 0.1 * hours + noise)
    assert slope["low"] < 0.1 < slope["high"]
    assert slope["high"] - slope["low"] < 0.1
    assert day._slope(hours, np.full(len(hours), 144.1)) == {"is": 0, "low": 0, "high": 0}


def test_a_day_that_the_disk_cannot_hold_is_refused_before_it_begins(day: Any) -> None:
    with pytest.raises(ConfigError, match="are free"):
        day.measure(1e9)


def test_a_day_refused_is_one_line_and_no_traceback(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "rigs.py"), "--day", "--hours", "1e9"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert ran.returncode == 2
    assert ran.stderr.count("\n") == 1
    assert "GB are needed" in ran.stderr
