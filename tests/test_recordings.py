"""What the loop makes of the real recordings, whatever the settings: no light where there is no fibre."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from closedloop.analysis.replay import Replayed, replay
from closedloop.protocol import load_protocol
from closedloop.train import Refusal

PLUGGED_IN_S, PULLED_OUT_S = 4.2 * 60, 25.7 * 60  # of ibl_npm_region4_unplugged.csv


def fired_s(replayed: Replayed) -> np.ndarray:
    steps = replayed.steps
    ticks = replayed.stream.readings["ticks"][(steps["decision"] != 0) & (steps["refused"] == 0)]
    return np.asarray(ticks / 1e6)


@pytest.mark.parametrize("warm_up", ["10 s", "60 s", "300 s"])
@pytest.mark.parametrize("window", ["10 s", "60 s"])
def test_an_unplugged_fibre_never_fires_whatever_the_warm_up(warm_up: str, window: str, shared_data: Path) -> None:
    protocol = load_protocol("withdrawal_inhibition", [f"warm_up={warm_up}", f"detector.window={window}"])
    replayed = replay(shared_data / "ibl_npm_region4_unplugged.csv", protocol)
    fired = fired_s(replayed)
    assert len(fired) > 0
    assert np.all((fired > PLUGGED_IN_S) & (fired < PULLED_OUT_S))
    vetoes = replayed.steps["veto"]
    seconds = replayed.stream.readings["ticks"] / 1e6
    assert set(vetoes[seconds < 200]) <= {Refusal.NO_SIGNAL}
    assert set(vetoes[seconds > PULLED_OUT_S + 60]) == {Refusal.UNPLUGGED}


def test_the_six_evoked_events_of_a_small_recording_are_found_and_nothing_else(shared_data: Path) -> None:
    fired = fired_s(replay(shared_data / "martianova_example.csv", load_protocol("demo")))
    assert len(fired) == 6
    assert np.all(np.diff(fired) > 30)


def test_bouts_are_found_in_the_main_recording_after_the_warm_up_alone(shared_data: Path) -> None:
    fired = fired_s(replay(shared_data / "m17-R-2018-12-12-090409.ppd", load_protocol("withdrawal_inhibition")))
    assert fired.min() > 300
    assert 1 < len(fired) / (fired.max() / 60) < 10  # an offline analysis of it finds about 4 peaks a minute
