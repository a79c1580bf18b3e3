"""Occupancy of inputs, counts of blocks and light outside a gate, from what was recorded, live and afterwards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from plans import RATE_HZ
from recorded_session import INPUTS, Recorded, protocol, ran, signal

from closedloop import terminal
from closedloop.analysis import occupancy
from closedloop.analysis.summary import summarise
from closedloop.readings import Readings
from closedloop.recording import Recording
from closedloop.watching.pulses import Pulses
from closedloop.watching.watch import Watch

PATH = ((10.0, 14.0), (16.5, 30.0), (31.0, 35.1))
PERIOD_S = 1 / RATE_HZ


def summary_of(folder: Path) -> dict:
    return summarise(Recording.open(folder))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An animal that goes in and out of the paired chamber."""
    return ran(tmp_path_factory.mktemp("data"), {"kind": "closed_loop"}, played=signal(paired=PATH), blind=False)


def test_occupancy_is_the_path_that_the_animal_went(folder: Path) -> None:
    summary = summary_of(folder)
    true_s = sum(until - since for since, until in PATH)
    paired, neutral = (summary["inputs"][name] for name in INPUTS)
    assert paired["on_s"] == pytest.approx(true_s, abs=len(PATH) * PERIOD_S)
    assert paired["on_s"] + neutral["on_s"] == pytest.approx(summary["duration_s"])
    assert paired["entries"] == len(PATH)
    assert neutral["entries"] == len(PATH)  # it was there from the beginning: no entry


def test_the_live_view_counts_the_same_in_turns_of_any_size(folder: Path) -> None:
    summary = summary_of(folder)
    for most_rows in (37, 20_000):
        watch = Watch(folder)
        for _ in range(200):
            watch.turn(0, most_rows)
        for one in watch.rates.occupancy():
            assert one.high_s == pytest.approx(summary["inputs"][one.name]["on_s"])
            assert one.entries == summary["inputs"][one.name]["entries"]


def test_what_was_lost_in_a_gap_counts_for_no_chamber(tmp_path: Path) -> None:
    live = Recorded(tmp_path, protocol(), blind=False, played=signal(paired=PATH), by_hand=True)  # dark: no lease ends
    live.run(20)
    live.to_daq.board.mute = True
    live.run(21.5)
    live.to_daq.board.mute = False
    summary = summary_of(live.whole())
    lost_s = summary["readings"]["missing"] * PERIOD_S
    assert lost_s == pytest.approx(1.5, abs=2 * PERIOD_S)
    paired_s = sum(until - since for since, until in PATH)
    assert summary["inputs"]["paired"]["on_s"] == pytest.approx(paired_s - lost_s, abs=len(PATH) * PERIOD_S)
    assert summary["inputs"]["paired"]["entries"] == len(PATH)


def test_blocks_divide_the_session_and_their_counts_add_up(folder: Path) -> None:
    summary = summary_of(folder)
    blocks = summary["blocks"]
    assert [block["name"] for block in blocks] == ["baseline", "conditioning", "washout"]
    assert [block["from_s"] for block in blocks] == [8.0, 15.0, 40.0]
    assert [block["lasts_s"] for block in blocks] == pytest.approx([7.0, 25.0, 15.0])
    assert sum(block["trains"]["delivered"] for block in blocks) == summary["trains"]["delivered"] > 0
    assert sum(block["trains"]["planned"] for block in blocks) == summary["dose"]["planned"]["trains"]
    assert blocks[0]["trains"]["delivered"] == blocks[2]["trains"]["delivered"] == 0
    assert sum(sum(block["refused"].values()) for block in blocks) == sum(summary["refused"].values()) > 0
    in_blocks_s = sum(block["inputs"]["paired"]["on_s"] for block in blocks)
    assert in_blocks_s == pytest.approx(summary["inputs"]["paired"]["on_s"])  # it stayed outside during warm-up


def test_no_train_begins_outside_the_gate_by_delivered_light(folder: Path) -> None:
    recording = Recording.open(folder)
    lit = [event.ticks / 1e6 for event in recording.events() if event.kind == "light_on"]
    assert lit
    assert all(any(since <= at < until + PERIOD_S for since, until in PATH) for at in lit)


def test_the_tail_of_a_train_that_began_inside_is_counted_outside(tmp_path: Path) -> None:
    inside = Recording.open(ran(tmp_path / "a", {"kind": "closed_loop"}, blind=False))
    on_s = next(event.ticks / 1e6 for event in inside.events() if event.kind == "light_on")
    assert summarise(inside)["outside_gate_s"] == 0.0
    left_s = on_s + 0.05
    folder = ran(tmp_path / "b", {"kind": "closed_loop"}, played=signal(paired=((10.0, left_s),)), blind=False)
    summary = summary_of(folder)
    assert summary["trains"]["delivered"] == 1
    assert summary["outside_gate_s"] == pytest.approx(0.15, abs=2 * PERIOD_S)
    assert any("outside a gate" in line for line in terminal.outcome(summary))


def test_a_train_of_pulses_counts_its_light_and_not_its_pauses() -> None:
    pulses = Pulses(on_s=0.1, period_s=0.5, count=3, ramp_off_s=0.0)
    times_s = np.arange(0, 3, 0.01)
    is_open = times_s < 1.55  # the last pulse is half over
    lit = occupancy.Lit(0.505, 0.505 + pulses.span_s, 0.3)
    assert occupancy._outside(lit, pulses, times_s, is_open) == pytest.approx(0.1 - 0.045, abs=0.01)


def test_a_paused_block_is_as_long_as_the_animal_was_in_it(tmp_path: Path) -> None:
    from closedloop import control

    live = Recorded(tmp_path, protocol(), blind=False, played=_long())
    live.run(20)
    live.controller.obey(control.Pause(), live.now_us * 1000)
    live.run(25)
    live.controller.obey(control.Resume(), live.now_us * 1000)
    summary = summary_of(live.whole())
    assert summary["blocks"][1]["lasts_s"] == pytest.approx(30.0, abs=3 * PERIOD_S)
    assert summary["blocks"][2]["lasts_s"] == pytest.approx(15.0, abs=3 * PERIOD_S)


def _long() -> Readings:
    return signal(80.0)
