"""A place preference session on the virtual rig, over its ports: what the rehearsal assumes is what a session does."""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path

import numpy as np
import pytest
from sessions import Ran, command

from closedloop.rig import load_rig
from closedloop.simulation.arena import VirtualArena

PROTOCOL = """
version: 1
name: cpp
warm_up: 3 s
duration: 18 s
features: {kind: dff, baseline: 20 s}
detector: {kind: threshold, threshold: 5.0, release: 2.0, window: 8 s}
policy: {kind: closed_loop, refractory: 200 ms}
gates: {input: paired}
light: {on: 100 ms, power: 4 mW}
recovery: 100 ms
quality: {settle: 1 s}
"""
NAMES = ("paired", "neutral", "unpaired", "lever")
SEED = 1
CHANGES = {
    "rig.simulation.animal.preset": "demo",
    "rig.simulation.animal.sequence": "[{state: withdrawal, lasts: 1 h}]",
    "rig.simulation.animal.states.withdrawal.event_rate": "15 /min",
    "rig.simulation.arena.dwell": "1.5 s",
    "rig.simulation.arena.preference.neutral": "1",
}


@pytest.fixture
def ran(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Ran:
    (tmp_path / "cpp.yaml").write_text(PROTOCOL, encoding="utf-8")
    sets = [part for name, value in CHANGES.items() for part in ("--set", f"{name}={value}")]
    options = ("--rig", "simulated_cpp", "--headless", "--seed", SEED, "--json", "--out", tmp_path / "data", *sets)
    return command(capsys, "run", tmp_path / "cpp.yaml", *options)


def visits(ran: Ran) -> list[tuple[float, str]]:
    return [(line["time_s"], line["chamber"]) for line in ran.truth if line["kind"] == "visit"]


def test_a_place_preference_session_gives_light_in_its_chamber_alone(ran: Ran) -> None:
    path = visits(ran)
    times = [time_s for time_s, _ in path]
    rises = [line["time_s"] for line in ran.truth if line["kind"] == "light" and line["level"] > 0]
    assert len(rises) >= 1  # a busy computer may be too late for one
    assert {path[bisect_right(times, rise_s) - 1][1] for rise_s in rises} == {"paired"}
    assert ran.summary["refused"]["gate"] >= 1

    rows = ran.recording.rows(0)
    end_s = rows["ticks"][-1] / 1e6
    for bit, name in enumerate(NAMES[:3]):
        seen_s = np.count_nonzero(rows["inputs"] >> bit & 1) / 130
        ends = np.minimum([*times[1:], end_s], end_s)
        true_s = sum(end - start for (start, where), end in zip(path, ends, strict=True) if where == name)
        assert seen_s == pytest.approx(true_s, abs=len(path) / 130)

    simulation = load_rig(
        "simulated_cpp", [f"{name.removeprefix('rig.')}={CHANGES[name]}" for name in CHANGES]
    ).simulation
    assert simulation is not None
    assert simulation.arena is not None
    alone = VirtualArena(simulation.arena, NAMES, 130.0, SEED)
    alone.run(np.zeros(130 * 30))
    assert path == [tuple(visit) for visit in alone.path][: len(path)]
    assert len(path) > 8
