"""The virtual arena: its path is the seed's, its bits are the path, and light moves it as assumed and no further."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from closedloop.errors import ConfigError
from closedloop.model import FROM_FILE
from closedloop.readings import READING, Stream
from closedloop.rig import load_rig
from closedloop.simulation import Simulation
from closedloop.simulation.animal import Animal, VirtualAnimal
from closedloop.simulation.arena import SHORTEST_S, Arena, Presses, VirtualArena
from closedloop.simulation.daq_board import Live
from closedloop.simulation.rig_process import Order, Rig
from closedloop.simulation.truth import Truth, read
from closedloop.simulation.virtual_rig import start

RATE_HZ = 130.0
NAMES = ("lever", "paired", "neutral", "unpaired")
BOX = Arena(
    chambers=("paired", "neutral", "unpaired"),
    passage="neutral",
    dwell=5.0,
    preference={"neutral": 0.3},
    presses=(Presses(input="lever", rate=20.0, chamber="paired"),),
)
MINUTES_30 = int(1800 * RATE_HZ)


def box(effect: float = 0.0, seed: int = 1, rate_hz: float = RATE_HZ, arena: Arena = BOX) -> VirtualArena:
    return VirtualArena(arena.model_copy(update={"effect": effect}), NAMES, rate_hz, seed)


def dark(readings: int = MINUTES_30) -> np.ndarray:
    return np.zeros(readings)


def some_light(readings: int = MINUTES_30, seed: int = 5) -> np.ndarray:
    """Half-second pulses at random times."""
    on = np.repeat(np.random.default_rng(seed).random(readings // 65 + 1) < 0.1, 65)[:readings]
    return on * 0.5


def light_in_paired(arena: VirtualArena, readings: int, level: float) -> None:
    """Light whenever it is in the paired chamber, reading by reading."""
    inputs = 0
    for _ in range(readings):
        inputs = arena.reading(level if inputs >> 1 & 1 else 0.0)


def share(arena: VirtualArena, end_s: float) -> float:
    spent = arena.occupancy_s(end_s)
    return spent["paired"] / (spent["paired"] + spent["unpaired"])


def test_without_an_effect_light_changes_nothing():
    lit, unlit = box(), box()
    np.testing.assert_array_equal(lit.run(some_light()), unlit.run(dark()))
    assert lit.path == unlit.path
    assert len(lit.path) > 100


def test_in_the_dark_an_effect_changes_nothing():
    one, other = box(effect=0.5), box(effect=-0.5)
    np.testing.assert_array_equal(one.run(dark()), other.run(dark()))
    assert one.path == other.path == _path_of(box())


def _path_of(arena: VirtualArena) -> list:
    arena.run(dark())
    return arena.path


def test_another_seed_is_another_path():
    assert _path_of(box(seed=1)) != _path_of(box(seed=2))


def test_until_the_first_light_every_effect_has_one_path():
    light = dark()
    light[MINUTES_30 // 2 :] = some_light()[MINUTES_30 // 2 :]
    moved, still = box(effect=0.1), box()
    moved.run(light)
    still.run(light)
    first_s = MINUTES_30 / 2 / RATE_HZ
    before = [visit for visit in still.path if visit.time_s < first_s]
    assert moved.path[: len(before)] == before
    assert moved.path != still.path


@pytest.mark.parametrize(("effect", "sign"), [(0.05, 1), (-0.05, -1)])
def test_light_in_a_chamber_moves_the_preference_in_the_assumed_direction(effect, sign):
    shares = []
    for seed in range(4):
        arena, still = box(effect, seed), box(0.0, seed)
        readings = int(600 * RATE_HZ)
        light_in_paired(arena, readings, 1.0)
        still.run(dark(readings))
        shares.append(share(arena, 600.0) - share(still, 600.0))
    assert sign * np.mean(shares) > 0.1


def test_light_changes_a_preference_by_no_more_than_allowed():
    arena = box(effect=9.0)
    arena.run(np.ones(MINUTES_30))
    assert np.exp(arena._memory["gained"][0]).max() == pytest.approx(BOX.most)


def test_one_by_one_is_all_at_once():
    light, many, single = some_light(20_000), box(0.1), box(0.1)
    all_at_once = many.run(light)
    one_by_one = np.array([single.reading(level) for level in light[:5000]])
    rest = np.concatenate([single.run(part) for part in np.array_split(light[5000:], [1, 1000, 1024, 9000])])
    np.testing.assert_array_equal(np.concatenate([one_by_one, rest]), all_at_once)
    assert single.path == many.path


def test_the_path_does_not_depend_on_how_often_it_is_looked_at():
    seldom, often = box(rate_hz=10.0), box(rate_hz=1000.0)
    seldom.run(dark(18_000))
    often.run(dark(1_800_000))
    assert [visit.chamber for visit in seldom.path] == [visit.chamber for visit in often.path][: len(seldom.path)]
    for one, other in zip(seldom.path, often.path, strict=False):
        assert one.time_s == pytest.approx(other.time_s, abs=1e-8)


def test_bits_are_in_the_order_of_the_rigs_inputs_and_one_chamber_is_high():
    inputs = box().run(dark())
    bits = {name: inputs >> at & 1 for at, name in enumerate(NAMES)}
    np.testing.assert_array_equal(bits["paired"] + bits["neutral"] + bits["unpaired"], 1)
    assert bits["neutral"][0] == 1  # it begins in the passage
    assert set(bits["paired"][bits["lever"] == 1]) == {1}  # the lever stands there


def test_occupancy_by_bits_is_the_true_paths():
    arena = box()
    inputs = arena.run(dark())
    true_s = arena.occupancy_s(MINUTES_30 / RATE_HZ)
    assert sum(true_s.values()) == pytest.approx(1800.0)
    for chamber, spent_s in true_s.items():
        seen_s = np.count_nonzero(inputs >> NAMES.index(chamber) & 1) / RATE_HZ
        visits = sum(visit.chamber == chamber for visit in arena.path)
        assert abs(seen_s - spent_s) <= (visits + 1) / RATE_HZ


def test_each_bit_changes_at_the_first_reading_after_the_path_did():
    arena = box()
    inputs = arena.run(dark(20_000))
    for visit in arena.path[1:40]:
        at = int(np.ceil(visit.time_s * RATE_HZ))
        bit = NAMES.index(visit.chamber)
        assert inputs[at - 1] >> bit & 1 == 0
        assert inputs[at] >> bit & 1 == 1


def test_all_ways_lead_through_the_passage():
    path = _path_of(box())
    for one, other in pairwise(path):
        assert (one.chamber == "neutral") != (other.chamber == "neutral")
    assert min(np.diff([visit.time_s for visit in path])) >= SHORTEST_S


def test_without_a_passage_every_chamber_opens_into_every_other():
    path = _path_of(box(arena=Arena(chambers=("paired", "neutral", "unpaired"), dwell=2.0)))
    assert len({(one.chamber, other.chamber) for one, other in pairwise(path)}) == 6


def test_time_in_a_chamber_goes_with_its_preference():
    arena = Arena(chambers=("paired", "unpaired"), dwell=2.0, dwell_law="exponential", preference={"paired": 3.0})
    found = VirtualArena(arena, ("paired", "unpaired"), 10.0, 3)
    found.run(dark(10 * 36_000))
    assert share(found, 36_000.0) == pytest.approx(0.75, abs=0.02)


def test_a_lever_is_pressed_at_its_rate():
    presses = Presses(input="lever", rate=6.0, lasts=0.5)
    lever = VirtualArena(BOX.model_copy(update={"presses": (presses,)}), NAMES, 100.0, 4)
    closed = lever.run(dark(100 * 7200)) & 1
    assert np.count_nonzero(np.diff(closed.astype(int)) == 1) == pytest.approx(7200 / (10 + 0.5), rel=0.1)
    assert closed.mean() == pytest.approx(0.5 / 10.5, rel=0.15)


def test_going_back_to_a_mark_undoes_the_light_since():
    arena, still = box(0.3), box(0.3)
    arena.run(dark(5000))
    mark = arena.mark()
    arena.run(np.ones(20_000))
    arena.back_to(mark)
    arena.run(dark(20_000))
    still.run(dark(25_000))
    assert arena.path == still.path


def test_going_back_to_a_mark_undoes_an_animals_light_since():
    animal, still = (VirtualAnimal(Animal(preset="withdrawal"), RATE_HZ, 2) for _ in range(2))
    first = [animal.run(dark(count)) for count in (1024, 100)]
    mark = animal.mark()
    animal.run(np.ones(animal.draw_ahead()))
    animal.back_to(mark)
    readings = np.concatenate([*first, animal.run(dark(924)), animal.run(dark(100_000))])
    expected = still.run(dark(len(readings)))
    for column in ("signal_lit", "signal_dark", "control_lit", "control_dark", "flags", "seq"):
        np.testing.assert_array_equal(readings[column], expected[column])
    assert animal.labels == still.labels
    with pytest.raises(ValueError, match="before the last draw"):
        animal.back_to(mark)


INVALID = [
    ({"chambers": ["paired"]}, "at least 2"),
    ({"passage": "hall"}, "no chamber is called 'hall'; chambers are paired, neutral, unpaired"),
    ({"start": "hall"}, "start: no chamber"),
    ({"preference": {"hall": 2.0}}, "preference.hall: no chamber"),
    ({"preference": {"paired": 0.0}}, "greater than or equal to 0.05"),
    ({"presses": [{"input": "lever", "chamber": "hall"}]}, "presses.0.chamber: no chamber"),
    ({"presses": [{"input": "paired"}]}, "input 'paired' is moved by two things"),
    ({"chambers": ["paired", "paired"]}, "moved by two things"),
    ({"effect": "-95 %"}, "greater than or equal to -0.9"),
    ({"effect": 2}, "needs a unit"),
    ({"dwell": "1 ms"}, "greater than or equal to 0.2"),
    ({"dwel": "1 s"}, "Extra inputs"),
]


@pytest.mark.parametrize(("given", "said"), INVALID, ids=[str(given) for given, _ in INVALID])
def test_an_arena_that_cannot_be_is_refused(given, said):
    with pytest.raises(ValidationError, match=said):
        Arena.model_validate({"chambers": ["paired", "neutral", "unpaired"], **given}, context=FROM_FILE)


def test_an_arena_of_a_rig_without_its_inputs_is_refused_before_anything_starts():
    with pytest.raises(
        ConfigError, match=r"simulation.arena: 'neutral' is none of the rig's inputs \(paired, unpaired"
    ):
        start(Simulation(arena=BOX), rate_hz=RATE_HZ, seed=1, inputs=("paired", "unpaired", "lever"))


def test_the_boards_readings_carry_the_arenas_inputs():
    live = Live(VirtualAnimal(Animal(), RATE_HZ, 1), RATE_HZ, box(), len(NAMES))
    inputs = [live.take(0.0).inputs for _ in range(3000)]
    np.testing.assert_array_equal(inputs, box().run(dark(3000)))
    assert live.input_count == len(NAMES)


def test_without_an_arena_all_inputs_stay_low():
    live = Live(VirtualAnimal(Animal(), RATE_HZ, 1), RATE_HZ)
    assert {live.take(0.0).inputs for _ in range(100)} == {0}
    assert live.input_count == 0


def test_a_played_recording_keeps_its_own_inputs(tmp_path):
    readings = np.zeros(50, READING)
    readings["ticks"], readings["seq"] = np.arange(50) * 10_000, np.arange(50)
    readings["inputs"] = np.arange(50) % 4
    stream = Stream(readings, 100_000, 1, "made here", ("a", "b"))
    with Truth(tmp_path) as truth:
        rig = Rig(Order(Simulation(arena=BOX), RATE_HZ, 1, stream, 1.0, tmp_path, NAMES), truth)
        source = rig._source()
        assert [source.take(0.0).inputs for _ in range(50)] == (np.arange(50) % 4).tolist()
        for cable in (rig.daq_cable, rig.stimulator_cable):
            cable.unplug()


def test_the_truth_tells_the_path(tmp_path: Path):
    simulation = load_rig("simulated_cpp").simulation
    assert simulation is not None
    with Truth(tmp_path) as truth:
        rig = Rig(Order(simulation, RATE_HZ, 7, None, 1.0, tmp_path, ("paired", "neutral", "unpaired", "lever")), truth)
        rig.daq.streams = 1
        for _ in range(20_000):
            rig.daq._source.take(0.0)
        rig._witness.look(0, lambda at: at)
        for cable in (rig.daq_cable, rig.stimulator_cable):
            cable.unplug()
    assert simulation.arena is not None
    path = VirtualArena(simulation.arena, ("paired", "neutral", "unpaired", "lever"), RATE_HZ, 7)
    path.run(dark(20_000))
    told = [(line["time_s"], line["chamber"]) for line in read(tmp_path) if line["kind"] == "visit"]
    assert told == [tuple(visit) for visit in path.path]
    assert len(told) > 5
