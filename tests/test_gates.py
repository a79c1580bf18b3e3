"""Gates through the loop: each kind, debounce and hold; no train begins outside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from partner_sessions import block, logged
from plans import NANO_UNITS, RATE_HZ, noise, plan, readings, with_events
from pydantic import ValidationError
from virtual_session import VirtualSession

from closedloop import gates
from closedloop.errors import ConfigError
from closedloop.gates import Gate
from closedloop.loop import Loop
from closedloop.policies.delayed import Delayed
from closedloop.policies.yoked import Yoked
from closedloop.readings import Readings
from closedloop.steps import GATE_OPEN
from closedloop.train import Refusal

NAMES = ("chamber", "wheel")


def rows_with(high_s: list[tuple[float, float]], bit: int = 0, seconds: float = 40, events: Any = ()) -> Readings:
    """Readings with an input that is high from and until these seconds."""
    rows = readings(with_events(noise(seconds), list(events)))
    for begin, end in high_s:
        rows["inputs"][round(begin * RATE_HZ) : round(end * RATE_HZ)] |= 1 << bit
    return rows


def steps_of(rows: Readings, *wanted: Gate, **changes: Any) -> Any:
    loop = Loop(plan(gates=wanted, input_names=NAMES, **changes), rate_hz=RATE_HZ, nano_units=NANO_UNITS)
    return loop.run(rows)


def open_s(rows: Readings, *wanted: Gate) -> list[tuple[float, float]]:
    """Stretches of readings at which all gates are open."""
    is_open = np.concatenate([[False], (steps_of(rows, *wanted)["bits"] & GATE_OPEN) != 0, [False]])
    edges = np.flatnonzero(is_open[1:] != is_open[:-1]) / RATE_HZ
    return [(float(a), float(b)) for a, b in edges.reshape(-1, 2)]


HIGH = [(10.0, 12.0), (20.0, 20.05), (30.0, 35.0)]
CASES: list[tuple[dict[str, Any], list[tuple[float, float]]]] = [
    ({"when": "high"}, HIGH),
    ({"when": "high", "debounce": 0.1}, [(10.1, 12.0), (30.1, 35.0)]),
    ({"when": "high", "hold": 1.0}, [(10.0, 13.0), (20.0, 21.05), (30.0, 36.0)]),
    ({"when": "high", "debounce": 0.1, "hold": 1.0}, [(10.1, 13.0), (30.1, 36.0)]),
    ({"when": "low"}, [(0.0, 10.0), (12.0, 20.0), (20.05, 30.0), (35.0, 40.0)]),
    ({"when": "low", "debounce": 9.0}, [(9.0, 10.0), (29.05, 30.0)]),
    ({"when": "rising", "hold": 0.5}, [(10.0, 10.51), (20.0, 20.51), (30.0, 30.51)]),
    ({"when": "rising", "hold": 0.5, "debounce": 0.1}, [(10.1, 10.61), (30.1, 30.61)]),
    ({"when": "falling", "hold": 0.5}, [(12.0, 12.51), (20.05, 20.56), (35.0, 35.51)]),
]


@pytest.mark.parametrize(("fields", "expected"), CASES, ids=lambda value: str(value)[:60])
def test_a_gate_opens_and_closes_when_it_says(fields: dict[str, Any], expected: list[tuple[float, float]]) -> None:
    assert np.allclose(open_s(rows_with(HIGH), Gate(input="chamber", **fields)), expected)


def test_what_was_so_before_the_session_is_no_edge() -> None:
    rows = rows_with([(0.0, 5.0), (10.0, 12.0)])
    assert np.allclose(open_s(rows, Gate(input="chamber", when="rising", hold=1.0)), [(10.0, 11.01)])


def test_a_wheel_opens_while_it_turns_fast_enough() -> None:
    slow = [(at, at + 0.1) for at in np.arange(5.0, 15.0, 1.0)]
    fast = [(at, at + 0.1) for at in np.arange(20.0, 26.0, 0.25)]
    gate = Gate(input="wheel", when="turning", at_least=180.0, window=1.0)
    ((begin, end),) = open_s(rows_with([*slow, *fast], bit=1), gate)
    assert np.isclose(begin, 20.5)  # the third edge within a second
    assert 26.0 <= end <= 26.51
    held = Gate(input="wheel", when="turning", at_least=180.0, window=1.0, hold=2.0)
    ((_, later),) = open_s(rows_with([*slow, *fast], bit=1), held)
    assert np.isclose(later - end, 2.0)


def test_contact_bounce_is_not_counted_as_turning() -> None:
    bounce = [(10 + at, 10 + at + 0.01) for at in np.arange(0.0, 1.0, 0.02)]
    gate = Gate(input="wheel", when="turning", at_least=180.0, debounce=0.05)
    assert open_s(rows_with(bounce, bit=1), gate) == []


def test_all_gates_must_be_open() -> None:
    rows = rows_with([(10.0, 20.0)])
    rows["inputs"][1500:2500] |= 2
    assert open_s(rows, Gate(input="chamber"), Gate(input="wheel")) == [(15.0, 20.0)]


def test_without_gates_all_is_open() -> None:
    assert open_s(rows_with([])) == [(0.0, 40.0)]


def test_a_gap_neither_opens_a_gate_that_waits_nor_keeps_one_open() -> None:
    rows = rows_with([(10.0, 11.0), (14.0, 20.0)])
    cut = np.delete(rows, np.arange(1050, 1450))
    is_open = steps_of(cut, Gate(input="chamber", hold=1.0))["bits"] & GATE_OPEN
    at = cut["ticks"][is_open != 0] / 1e6
    assert at.min() == 10.0
    assert (at[at < 14] <= 11.5).all()


def test_light_is_refused_outside_with_its_reason_and_given_inside() -> None:
    events = [12.0, 18.0, 24.0, 30.0]
    rows = rows_with([(17.0, 26.0)], events=events)
    steps = steps_of(rows, Gate(input="chamber"))
    said = {
        float(rows["ticks"][i]) / 1e6: Refusal(int(steps["refused"][i])).name for i in np.flatnonzero(steps["decision"])
    }
    assert said == {12.0: "GATE", 18.0: "NONE", 24.0: "NONE", 30.0: "GATE"}


@pytest.mark.parametrize(
    "policy",
    [Delayed(delay=3.0), Yoked.model_validate({"partner": {"source": "x", "times_us": [[5_000_000, 12_000_000]]}})],
)
def test_a_planned_train_asks_the_gate_at_its_own_reading(policy: Any) -> None:
    rows = rows_with([(17.0, 26.0)], events=[10.0, 17.0])
    steps = steps_of(rows, Gate(input="chamber"), policy=policy)
    said = [Refusal(int(r)).name for r in steps["refused"][steps["decision"] != 0]]
    assert said == ["GATE", "NONE"]


def test_no_light_begins_outside_the_gate_as_delivered() -> None:
    random = np.random.default_rng(4)
    edges = np.cumsum(random.uniform(0.5, 3.0, 40))
    inside = [(float(a), float(b)) for a, b in edges.reshape(-1, 2) if b < 58]
    rows = rows_with(inside, seconds=60, events=[float(at) for at in np.arange(9.0, 58, 1.3)])
    ran = VirtualSession(rows, plan(gates=(Gate(input="chamber", debounce=0.1),), input_names=NAMES)).run(59)
    assert len(ran.lit_s) > 3
    late_s = 0.01  # the virtual line's
    for lit in ran.lit_s:
        assert any(a + 0.1 - 1e-6 <= lit <= b + late_s for a, b in inside), lit
    assert "gate" in ran.notebook.kinds("refused")


def test_blocks_and_gates_go_together() -> None:
    blocks = (block("one", 10.0), block("two", 10.0))
    rows = rows_with([(15.0, 40.0)], events=[12.0, 16.0, 22.0, 30.0])
    ran = logged(rows, plan(blocks=blocks, gates=(Gate(input="chamber"),), input_names=NAMES))
    assert ran.since_start_s == [16.0, 22.0]


def test_an_input_that_the_rig_has_not_is_refused_by_its_name() -> None:
    (said,) = gates.problems([Gate(input="chamber"), Gate(input="lever")], NAMES)
    assert said == "gates.1.input: there is no input 'lever' here (inputs: chamber, wheel); name one, or wire it"
    with pytest.raises(ConfigError, match="lever"):
        gates.parameters([Gate(input="lever")], NAMES)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"when": "rising"}, "say for how long"),
        ({"when": "falling"}, "say for how long"),
        ({"when": "turning"}, "turning needs it"),
        ({"at_least": 5.0}, "belongs to 'when: turning'"),
        ({"when": "turning", "at_least": 6000.0, "window": 60.0}, "shorten window"),
        ({"when": "open"}, "when"),
        ({"debounce": -1.0}, "debounce"),
        ({"hold": 1e6}, "hold"),
    ],
)
def test_a_gate_that_makes_no_sense_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Gate(**({"input": "x"} | fields))
