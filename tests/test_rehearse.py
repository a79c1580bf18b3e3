"""One rehearsed session: readings are the animal's under its own light, steps are the loop's, and light is gated."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from closedloop.analysis.rehearsal.driver import Rehearsed, rehearse
from closedloop.analysis.rehearsal.light import Light
from closedloop.analysis.rehearsal.order import DELAY_US, Order, loop_of
from closedloop.errors import ConfigError
from closedloop.limits import Command
from closedloop.model import FROM_FILE
from closedloop.policies.closed_loop import ClosedLoop
from closedloop.policies.sham import Sham
from closedloop.protocol import Protocol
from closedloop.readings import FLAG_LIGHT, READING
from closedloop.rig import load_rig
from closedloop.simulation.animal import Animal, VirtualAnimal
from closedloop.simulation.arena import VirtualArena
from closedloop.simulation.light_train import edges_of
from closedloop.steps import DETECTED
from closedloop.train import Refusal
from closedloop.wire import Fire

RIG = load_rig("simulated_cpp")
ANIMAL = Animal(preset="demo")
SEED = 11
PROTOCOL = Protocol.model_validate(
    {
        "version": 1,
        "name": "trial",
        "warm_up": "10 s",
        "duration": "150 s",
        "features": [{"kind": "dff"}],
        "detector": {"kind": "threshold", "threshold": 4.0, "release": 2.0, "window": "10 s"},
        "policy": {"kind": "closed_loop", "refractory": "1 s"},
        "gates": [{"input": "paired"}],
        "light": {"on": "300 ms", "power": "5 mW", "ramp_off": "50 ms"},
        "quality": {"settle": "1 s"},
    },
    context=FROM_FILE,
)


def order(effect: float = 0.0, *, lit: bool = True, gated: bool = True, seed: int = SEED) -> Order:
    assert RIG.simulation is not None
    assert RIG.simulation.arena is not None
    arena = RIG.simulation.arena.model_copy(update={"effect": effect, "dwell": 4.0})
    protocol = PROTOCOL if lit else PROTOCOL.in_arm(Sham(refractory=1.0), "other")
    if not gated:
        protocol = protocol.model_copy(update={"gates": ()})
    return Order(protocol, RIG, ANIMAL, arena, seed, keep=True)


@cache
def rehearsed(effect: float = 0.0, *, lit: bool = True, gated: bool = True, seed: int = SEED) -> Rehearsed:
    return rehearse(order(effect, lit=lit, gated=gated, seed=seed))


def same(one: np.ndarray, other: np.ndarray) -> bool:
    return all(np.array_equal(one[name], other[name], equal_nan=True) for name in one.dtype.names)


def test_the_steps_are_the_loops_on_the_readings_that_were_made():
    found = rehearsed(0.05)
    nano_units = VirtualAnimal(ANIMAL, RIG.daq.rate, SEED).nano_units
    assert len(found.starts_us) > 10
    assert same(loop_of(order(0.05), nano_units).run(found.readings), found.steps)


def light_between(edges: list[tuple[int, int]], since_us: int, until_us: int) -> float:
    """Mean level, edge by edge."""
    if until_us <= since_us:
        return 0.0
    before = [level for at_us, level in edges if at_us <= since_us]
    within = [(at_us, level) for at_us, level in edges if since_us < at_us < until_us]
    course = [(since_us, before[-1] if before else 0), *within, (until_us, 0)]
    dose = sum(level * (end_us - at_us) for (at_us, level), (end_us, _) in pairwise(course))
    return dose / 65_535 / (until_us - since_us)


def reading_by_reading(asked: Order, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The closed loop as a live run has it: one reading, one step, light from then on."""
    rate_hz = asked.rig.daq.rate
    animal = VirtualAnimal(asked.animal, rate_hz, asked.seed)
    arena = VirtualArena(asked.arena, asked.rig.inputs, rate_hz, asked.seed)
    loop = loop_of(asked, animal.nano_units)
    train, level = asked.protocol.light, round(0.5 * 65_535)
    edges: list[tuple[int, int]] = []
    readings, steps, since_us = np.zeros(count, READING), [], 0
    for n in range(count):
        ticks = (n * 1_000_000_000 + 65_000) // 130_000
        light = light_between(edges[-200:], since_us, ticks)
        lit, dark, control_lit, control_dark, flags = animal.reading(light)
        flags |= FLAG_LIGHT if light > 0 else 0
        readings[n] = (ticks, n, lit, dark, control_lit, control_dark, arena.reading(light), flags)
        steps.append(loop.run(readings[n : n + 1]))
        if steps[-1]["decision"][0] == 1 and steps[-1]["refused"][0] == 0:
            fire = Fire(1, train.on_us, train.period_us, train.count, level, train.ramp_off_us, 0, 0)
            edges += list(edges_of(fire, ticks + DELAY_US))
        since_us = ticks
    return readings, np.concatenate(steps)


def test_stretches_give_what_a_live_run_gives_reading_by_reading():
    found = rehearsed(0.05)
    readings, steps = reading_by_reading(order(0.05), 13_000)
    assert np.count_nonzero(readings["flags"] & FLAG_LIGHT) > 300
    for name in READING.names:
        np.testing.assert_array_equal(found.readings[name][:13_000], readings[name], err_msg=name)
    assert same(found.steps[:13_000], steps)


def test_the_same_seed_is_the_same_session_and_another_is_not():
    again = rehearse(order(0.05))
    assert same(again.readings, rehearsed(0.05).readings)
    assert again.path == rehearsed(0.05).path
    assert not same(rehearsed(0.05, seed=SEED + 1).readings, again.readings)


def test_without_an_effect_both_arms_have_one_path_and_one_animal_until_the_first_light():
    lit, dark = rehearsed(), rehearsed(lit=False)
    assert lit.path == dark.path
    np.testing.assert_array_equal(lit.readings["inputs"], dark.readings["inputs"])
    first = int(np.flatnonzero(lit.readings["flags"] & FLAG_LIGHT)[0])
    assert same(lit.readings[:first], dark.readings[:first])
    assert not same(lit.readings, dark.readings)
    same_steps = [name for name in lit.steps.dtype.names if name != "decision"]
    for name in same_steps:
        np.testing.assert_array_equal(lit.steps[name][:first], dark.steps[name][:first], err_msg=name)


def test_with_an_effect_the_path_is_another_after_light_alone():
    still, moved = rehearsed(), rehearsed(0.5)
    first_s = moved.starts_us[0] / 1e6
    assert [one for one in moved.path if one.time_s < first_s] == [one for one in still.path if one.time_s < first_s]
    assert moved.path != still.path


def chamber_at(found: Rehearsed, time_s: float) -> str:
    at = bisect_right([visit.time_s for visit in found.path], time_s)
    return found.path[at - 1].chamber


def test_delivered_light_begins_in_the_gates_chamber_alone():
    found = rehearsed()
    inside = [chamber_at(found, start_us / 1e6) for start_us in found.starts_us]
    assert set(inside) == {"paired"}
    assert len(inside) > 10
    without = rehearsed(gated=False)
    outside = [chamber_at(without, start_us / 1e6) for start_us in without.starts_us]
    assert set(outside) == {"paired", "neutral", "unpaired"}
    assert found.refused["gate"] > 10


def test_light_in_the_readings_is_that_of_the_trains():
    found = rehearsed()
    lit = np.flatnonzero(found.readings["flags"] & FLAG_LIGHT)
    ticks = found.readings["ticks"]
    covered = np.zeros(len(ticks), bool)
    for start_us in found.starts_us:
        covered |= (ticks > start_us) & (np.concatenate([[0], ticks[:-1]]) < start_us + PROTOCOL.light.span_us)
    np.testing.assert_array_equal(lit, np.flatnonzero(covered))


def test_sums_are_those_of_the_steps():
    found = rehearsed()
    steps = found.steps
    assert found.detections == np.count_nonzero(steps["bits"] & DETECTED)
    given = (steps["decision"] == 1) & (steps["refused"] == 0)
    assert found.decisions["fire"] == found.planned == np.count_nonzero(given) == len(found.starts_us)
    assert found.refused["gate"] == np.count_nonzero(steps["refused"] == Refusal.GATE)
    np.testing.assert_array_equal(found.starts_us, found.readings["ticks"][given] + DELAY_US)
    assert found.on_s == pytest.approx(0.35 * len(found.starts_us))
    ramped = 0.3 + 0.05 * np.mean(np.arange(1, 51) / 50)
    assert found.energy_mj == pytest.approx(5 * ramped * len(found.starts_us), rel=1e-3)
    assert sum(found.occupancy_s.values()) == pytest.approx(150.0)


def test_a_dark_arm_plans_what_it_does_not_give():
    found = rehearsed(lit=False)
    assert found.starts_us == ()
    assert found.on_s == found.energy_mj == 0
    assert found.planned == found.decisions["sham"] > 10


def test_light_without_an_arena_leaves_inputs_low():
    found = rehearse(replace(order(gated=False), arena=None, duration_s=30.0))
    assert not found.readings["inputs"].any()
    assert found.path == ()
    assert found.occupancy_s == {}


def test_a_protocol_whose_board_detects_is_refused():
    from closedloop.policies.on_board import OnBoard

    protocol = PROTOCOL.model_copy(update={"policy": OnBoard(), "gates": ()})
    with pytest.raises(ConfigError, match="on_board"):
        rehearse(replace(order(), protocol=protocol))


def test_mean_light_is_the_trains_over_each_reading():
    light = Light(Command(on_us=10_000, period_us=30_000, pulses=2, level=32_768, ramp_off_us=0))
    light.give(100_000)
    found = light.mean(90_000, np.array([105_000, 110_000, 125_000, 135_000, 150_000, 160_000]))
    half = 32_768 / 65_535
    np.testing.assert_allclose(found, half * np.array([1 / 3, 1, 0, 0.5, 1 / 3, 0]), atol=1e-12)
    assert light.dose_s(10**9) == pytest.approx(0.02 * half)
    assert light.dose_s(105_000) == pytest.approx(0.005 * half)
    assert light.span_us == 40_000


def test_arms_of_a_protocol_differ_in_the_policy_alone():
    lit, dark = order().protocol, order(lit=False).protocol
    assert isinstance(lit.policy, ClosedLoop)
    assert dark.model_copy(update={"policy": lit.policy, "condition": lit.condition}) == lit
