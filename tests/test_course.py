"""What a watcher says of each single gate is what the loop makes of it, for inputs of any kind; by sample time."""

from __future__ import annotations

import numpy as np
import pytest
from experiment_session import RATE_HZ, ROW, header

from closedloop import gates
from closedloop.gates import Gate
from closedloop.health import HEALTH
from closedloop.watching.course import Course
from closedloop.watching.follower import Fresh

PERIOD_US = 1_000_000 // RATE_HZ
GATES = {
    "high": Gate(input="paired", when="high"),
    "low, debounced": Gate(input="paired", when="low", debounce=0.1),
    "high, held": Gate(input="paired", when="high", debounce=0.05, hold=0.4),
    "rising": Gate(input="paired", when="rising", debounce=0.03, hold=0.5),
    "falling": Gate(input="paired", when="falling", hold=0.2),
    "turning": Gate(input="paired", when="turning", at_least=180.0, window=2.0, hold=0.3),
}


def wandering(seed, count=6000):
    """An input that stays high or low for some readings, now and then for many."""
    dice = np.random.default_rng(seed)
    lengths = dice.geometric(0.08, count) * dice.choice([1, 1, 6], count)
    return np.repeat(np.arange(count) % 2, lengths)[:count].astype(np.int64)


@pytest.mark.parametrize("gate", GATES.values(), ids=GATES.keys())
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_gate_is_open_when_the_loop_has_it_open(gate, seed):
    inputs = wandering(seed)
    written = gate.model_dump(mode="json", exclude_none=True)
    course = Course(header(protocol={"gates": [written]}))
    memory, parameters = np.zeros(1, gates.MEMORY), gates.parameters([gate], ("paired", "neutral", "lever"))
    dice = np.random.default_rng(seed + 10)
    at, seen = 0, []
    while at < len(inputs):
        many = int(dice.integers(1, 30))
        rows = np.zeros(len(inputs[at : at + many]), ROW)
        rows["ticks"] = np.arange(at, at + len(rows)) * PERIOD_US
        rows["inputs"] = inputs[at : at + many]
        for row in rows:
            is_open = gates.look(memory[0], parameters[0], int(row["inputs"]), int(row["ticks"]))
        course.add(Fresh(rows, [], np.zeros(0, HEALTH)))
        seen.append((course.gates[0].is_open, bool(is_open)))
        at += many

    assert {True, False} <= {loop for _, loop in seen}
    wrong = sum(said != loop for said, loop in seen)
    assert wrong == 0
