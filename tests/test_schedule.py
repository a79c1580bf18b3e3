"""Blocks of a session through the loop: their order, their ends, their policies and bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from partner_sessions import block, logged
from plans import NANO_UNITS, RATE_HZ, noise, plan, readings, with_events
from pydantic import ValidationError

from closedloop.loop import Loop
from closedloop.policies.closed_loop import ClosedLoop
from closedloop.policies.manual import Manual
from closedloop.policies.sham import Sham
from closedloop.schedule import OVER, Block
from closedloop.steps import DETECTED, RESTARTED, WARM
from closedloop.train import Refusal

OFTEN = [float(at) for at in range(10, 58, 3)]
OFF = Manual()


def loop_of(**changes: Any) -> Loop:
    return Loop(plan(**changes), rate_hz=RATE_HZ, nano_units=NANO_UNITS)


def entered_s(steps: Any, rows: Any) -> dict[int, float]:
    """When each block began: the time of its first reading."""
    numbers, first = np.unique(steps["block"], return_index=True)
    return dict(zip(numbers.tolist(), (rows["ticks"][first] / 1e6).tolist(), strict=True))


def decided(steps: Any, rows: Any) -> list[tuple[float, int, str]]:
    at = np.flatnonzero(steps["decision"])
    return [
        (float(rows["ticks"][i]) / 1e6, int(steps["decision"][i]), Refusal(int(steps["refused"][i])).name) for i in at
    ]


def test_blocks_follow_warm_up_in_order_and_each_lasts_its_time() -> None:
    rows = readings(noise(40))
    blocks = (block("baseline", 5.0, policy=OFF), block("loop", 10.0), block("washout", 2.5, policy=OFF))
    steps = loop_of(blocks=blocks).run(rows)
    assert entered_s(steps, rows) == {0: 0.0, 1: 8.0, 2: 13.0, 3: 23.0, OVER: 25.5}
    assert (np.diff(np.where(steps["block"] == OVER, 4, steps["block"]).astype(int)) >= 0).all()


def test_without_blocks_there_is_one_that_does_not_end() -> None:
    rows = readings(noise(40))
    assert entered_s(loop_of().run(rows), rows) == {0: 0.0, 1: 8.0}


def test_a_block_ends_by_trains_that_were_not_refused() -> None:
    rows = readings(with_events(noise(60), OFTEN))
    steps = loop_of(blocks=(block("loop", 1000.0, trains=4), block("washout", 1000.0, policy=OFF))).run(rows)
    given = [at for at, _, refused in decided(steps, rows) if refused == "NONE"]
    assert len(given) == 4
    assert np.isclose(entered_s(steps, rows)[2], given[3] + 1 / RATE_HZ)


def test_refused_trains_do_not_end_a_block() -> None:
    rows = readings(with_events(noise(60), OFTEN))
    changes: Any = {"policy": ClosedLoop(refractory=5.0)}
    steps = loop_of(blocks=(block("loop", 1000.0, trains=4), block("washout", 1000.0, policy=OFF)), **changes).run(rows)
    said = [refused for _, _, refused in decided(steps, rows)]
    assert said.count("NONE") == 4
    assert said.count("REFRACTORY") == 3


def test_a_block_ends_by_readings_received() -> None:
    rows = readings(noise(40))
    steps = loop_of(blocks=(block("one", 1000.0, readings=321), block("two", 1000.0))).run(rows)
    assert np.count_nonzero(steps["block"] == 1) == 321


def test_a_gap_counts_as_time_and_may_pass_a_whole_block() -> None:
    rows = readings(noise(60))
    rows = np.delete(rows, np.arange(1500, 2400))  # 15 to 24 s
    blocks = (block("one", 5.0), block("two", 10.0), block("three", 10.0))
    steps = loop_of(blocks=blocks).run(rows)
    assert entered_s(steps, rows) == {0: 0.0, 1: 8.0, 2: 13.0, 3: 24.0, OVER: 33.0}


def test_a_pause_moves_all_that_follows_and_light_is_refused_in_it() -> None:
    rows = readings(with_events(noise(60), [16.0, 22.0]))
    blocks = (block("one", 5.0, policy=OFF), block("loop", 10.0), block("three", 10.0))
    ran = logged(rows, plan(blocks=blocks), pauses=((15.0, 20.0), (30.0, 30.5)))
    assert entered_s(ran.steps, rows) == {0: 0.0, 1: 8.0, 2: 13.0, 3: 28.01 - 0.01, OVER: 38.5}
    assert decided(ran.steps, rows) == [(16.0, 1, "PAUSED"), (22.0, 1, "NONE")]


def test_a_pause_does_not_hide_detections() -> None:
    rows = readings(with_events(noise(30), [16.0]))
    ran = logged(rows, plan(), pauses=((12.0, 20.0),))
    assert np.count_nonzero(ran.steps["bits"] & DETECTED) == 1


def test_a_restart_of_the_baseline_begins_warm_up_and_no_block() -> None:
    rows = readings(with_events(noise(80), [20.0, 46.0, 60.0]))
    rows = np.delete(rows, np.arange(2500, 4000))  # 25 to 40 s: all that was learned is forgotten
    steps = loop_of(blocks=(block("one", 22.0), block("two", 100.0))).run(rows)
    assert (steps["bits"] & RESTARTED).any()
    assert entered_s(steps, rows) == {0: 0.0, 1: 8.0, 2: 40.0}
    after = (rows["ticks"] >= 40e6) & (rows["ticks"] < 47.9e6)
    assert not (steps["bits"][after] & WARM).any()
    assert (60.0, 1, "NONE") in decided(steps, rows)
    assert all(at < 25 or at > 48 for at, _, refused in decided(steps, rows) if refused == "NONE")


def test_each_block_asks_its_own_policy() -> None:
    rows = readings(with_events(noise(60), OFTEN))
    blocks = (block("base", 6.0, policy=OFF), block("sham", 12.0, policy=Sham()), block("loop", 12.0))
    loop = loop_of(blocks=blocks)
    steps = loop.run(rows)
    names = plan(blocks=blocks).decisions
    by_block = {
        number: {names[d - 1] for d in steps["decision"][steps["block"] == number] if d} for number in (1, 2, 3)
    }
    assert by_block == {1: set(), 2: {"sham"}, 3: {"fire"}}
    assert not steps["decision"][steps["block"] == OVER].any()


def test_each_block_has_its_own_refractory_and_least_interval() -> None:
    rows = readings(with_events(noise(60), OFTEN))
    blocks = (
        block("one", 20.0, policy=ClosedLoop(refractory=7.0)),
        block("two", 25.0, policy=ClosedLoop(refractory=0.0, least_interval=6.0)),
    )
    steps = loop_of(blocks=blocks).run(rows)
    given = [at for at, _, refused in decided(steps, rows) if refused == "NONE"]
    assert given == [10.0, 19.0, 28.0, 34.0, 40.0, 46.0, 52.0]


def test_thresholds_belong_to_their_blocks() -> None:
    rows = readings(noise(50))
    blocks = (block("one", 10.0), block("two", 10.0, threshold=9.0, release=4.0), block("three", 10.0, threshold=2.0))
    steps = loop_of(blocks=blocks).run(rows)
    seen = {number: set(steps["threshold"][steps["block"] == number].tolist()) for number in (0, 1, 2, 3)}
    assert seen == {0: {6.0}, 1: {6.0}, 2: {9.0}, 3: {2.0}}


def test_a_live_change_of_the_threshold_spares_blocks_that_have_their_own() -> None:
    rows = readings(noise(60))
    blocks = (block("one", 10.0), block("two", 10.0, threshold=9.0), block("three", 10.0))
    loop = loop_of(blocks=blocks)
    first = loop.run(rows[:1000])
    loop.set_threshold(4.0, 2.0)
    steps = np.concatenate([first, loop.run(rows[1000:])])
    seen = {number: set(steps["threshold"][steps["block"] == number].tolist()) for number in (1, 2, 3)}
    assert seen == {1: {6.0, 4.0}, 2: {9.0}, 3: {4.0}}


def test_a_live_change_in_a_block_with_its_own_threshold_ends_with_the_block() -> None:
    rows = readings(noise(60))
    loop = loop_of(blocks=(block("one", 10.0, threshold=9.0), block("two", 10.0), block("three", 10.0)))
    first = loop.run(rows[:1000])
    loop.set_threshold(4.0, 2.0)
    steps = np.concatenate([first, loop.run(rows[1000:])])
    seen = {number: set(steps["threshold"][steps["block"] == number].tolist()) for number in (1, 2, 3)}
    assert seen == {1: {9.0, 4.0}, 2: {6.0}, 3: {6.0}}


@pytest.mark.parametrize("cuts", [[1], [799, 800, 801], list(range(1, 4000)), [1300, 2300]])
def test_cuts_anywhere_change_no_block(cuts: list[int]) -> None:
    rows = readings(with_events(noise(40), OFTEN[:10]))
    blocks = (block("one", 5.0, trains=2), block("two", 10.0, readings=700, policy=Sham()), block("three", 9.0))
    whole, loop = loop_of(blocks=blocks).run(rows), loop_of(blocks=blocks)
    assert np.concatenate([loop.run(part) for part in np.split(rows, cuts)]).tobytes() == whole.tobytes()


def test_a_test_pulse_is_given_in_any_block_and_with_a_detection_the_policy_goes_first() -> None:
    rows = readings(with_events(noise(50), [22.0, 30.0]))
    loop = loop_of(blocks=(block("base", 20.0, policy=OFF), block("loop", 20.0)))
    parts = []
    for begin, end in ((0, 1500), (1500, 3000), (3000, 5000)):
        parts.append(loop.run(rows[begin:end]))
        loop.ask_test_pulse()
    steps, names = np.concatenate(parts), plan(blocks=(block("b", 1.0, policy=OFF),)).decisions
    assert names == ("fire", "test", "sham")
    said = [(at, names[number - 1], refused) for at, number, refused in decided(steps, rows)]
    assert (15.0, "test", "NONE") in said
    assert (30.0, "fire", "NONE") in said  # the detection's; the test pulse waits until nothing else is wanted
    assert (30.01, "test", "REFRACTORY") in said


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"lasts": 0.0}, "lasts"),
        ({"trains": 0}, "trains"),
        ({"release": 2.0}, "release needs a threshold"),
        ({"threshold": 1.0, "release": 2.0}, "release needs a threshold that is not below it"),
        ({"name": ""}, "name"),
        ({"length": 5}, "length"),
    ],
)
def test_a_block_that_makes_no_sense_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Block(**({"name": "x", "lasts": 1.0} | fields))
