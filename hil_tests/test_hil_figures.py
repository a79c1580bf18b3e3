"""What must hold of time, on the real firmware in emulation: latencies, widths, and a stream without gaps.

The figures themselves are `benchmarks/firmware.py`'s; all of it is in virtual time, so the computer's speed is in none.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

STEPS = 110  # of voltage; of fewer, one in a hundred is not known
MOST_WIDTH_ERROR_CYCLES = 4  # what the emulator's time stamps are good for
MOST_P99_US = {
    "host, ideal bridge, 1 M": 2_000,
    "host, 16U2, 1 M": 6_500,
    "host, 16U2, 500 k": 6_500,
    "on-board, two boards, 500 k": 1_300,
}


pytestmark = pytest.mark.backends("emulated-uno")


@pytest.fixture
def figures(backend: str) -> Any:
    """The benchmark, once the firmware and the emulator are there."""
    assert backend == "emulated-uno"
    import firmware

    return firmware


@pytest.mark.parametrize("name", MOST_P99_US)
def test_light_follows_a_step_of_voltage_soon_enough_and_lasts_as_long_as_asked(figures: Any, name: str) -> None:
    way = next(way for way in figures.PATHS if way.name == name)
    found = figures.steps(way, STEPS)
    assert found.missed == 0
    assert float(np.percentile(found.latencies_us, 99)) <= MOST_P99_US[name]
    assert max(abs(error) for error in found.width_errors) <= MOST_WIDTH_ERROR_CYCLES


@pytest.mark.parametrize("baud", [500_000, 1_000_000])
def test_a_minute_at_1_khz_has_no_gap(figures: Any, baud: int) -> None:
    found = figures.stream(baud, 60.0)
    assert found["readings"] >= 59_990
    assert (found["gaps"], found["sent_less_received"], found["dropped_by_board"], found["damaged_frames"]) == (0,) * 4


def test_equal_runs_are_equal_to_the_bit(figures: Any) -> None:
    way = figures.PATHS[0]
    assert figures.steps(way, 12) == figures.steps(way, 12)
