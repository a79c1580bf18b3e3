"""A loop and a virtual animal that sees its light, reading by reading, in compiled code: hours in seconds.

The light of a train falls on the readings after the one that asked for it, for as long as the train lasts. All else is
what a session does: `Loop` and `VirtualAnimal` themselves, no copy of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numba
import numpy as np

from closedloop.loop import Loop
from closedloop.readings import READING, Readings
from closedloop.simulation.animal import VirtualAnimal
from closedloop.simulation.animal_kernel import step as animal_step
from closedloop.steps import Steps

_BLOCK = 1024  # readings that an animal draws at a time


@lru_cache(maxsize=32)
def _stepper(loop_run: Any) -> Any:
    """Animal and loop in turn until the block ends, or the loop forgets what it has learned."""

    @numba.njit(nogil=True, error_model="numpy")
    def steps_until(animal: Any, inputs: Any, state: Any, memories: Any, parameters: Any, rows: Any, out: Any) -> Any:
        m, p, drawn, left = animal
        light, counts = inputs
        at = state["at"]
        while at < len(rows):
            now, before = rows[at].ticks, rows[at].ticks - state["period_us"]
            covered = min(now, state["lit_until"]) - max(before, state["lit_from"])
            light[0] = max(0.0, covered / state["period_us"])
            animal_step(m, p, drawn[at : at + 1], light, counts, left[at : at + 1])
            rows[at].signal_lit, rows[at].signal_dark = counts[0, 0], counts[0, 1]
            rows[at].control_lit, rows[at].control_dark = counts[0, 2], counts[0, 3]
            rows[at].flags = counts[0, 4]
            if loop_run(memories, parameters, rows[at : at + 1], out[at : at + 1]) == 0:
                state["at"] = at
                return True
            if out[at].decision == state["fire"] and out[at].refused == 0:
                state["lit_from"] = now + state["delay_us"]
                state["lit_until"] = state["lit_from"] + state["on_us"]
            at += 1
        state["at"] = at
        return False

    return steps_until


_STATE = np.dtype(
    [(name, "i8") for name in ("at", "period_us", "lit_from", "lit_until", "on_us", "delay_us", "fire")],
    align=True,
)


def together(
    animal: VirtualAnimal, loop: Loop, *, rate_hz: float, hours: float, on_us: int, fire: int, delay_us: int = 0
) -> Iterator[tuple[Readings, Steps]]:
    """Readings and steps of a session, a block at a time.

    Args:
        animal: a fresh one.
        loop: a fresh one, at the same rate.
        rate_hz: readings a second.
        hours: of sample time.
        on_us: light of a train, in microseconds.
        fire: the number of the decision that gives light; 0 if none does.
        delay_us: from the reading that asked for a train to its light.

    Yields:
        Readings and steps, valid until the next.
    """
    state = np.zeros(1, _STATE)
    state["delay_us"] = delay_us
    state["period_us"], state["on_us"], state["fire"] = round(1e6 / rate_hz), on_us, fire or -1
    inputs = np.zeros(1), np.zeros((1, 5), np.int32)
    go, total, done = _stepper(loop._run), round(hours * 3600 * rate_hz), 0
    while done < total:
        animal._draw()
        rows = np.zeros(min(_BLOCK, total - done), READING)
        rows["seq"] = np.arange(done, done + len(rows))
        rows["ticks"] = np.rint(rows["seq"] * (1e6 / rate_hz))
        out = np.zeros(len(rows), loop.step_type)
        _block(animal, loop, go, state, inputs, rows, out)
        animal._count += len(rows)
        done += len(rows)
        yield rows, out


def _block(animal: VirtualAnimal, loop: Loop, go: Any, state: Any, inputs: Any, rows: Readings, out: Any) -> None:
    state["at"] = 0
    left = animal._left[animal._kept :]
    machine = (animal._memory[0], animal._parameters, animal._drawn, left)
    while go(machine, inputs, state[0], loop._memory, loop._parameters, rows, out):
        at = int(state["at"][0])
        loop._forget(int(rows["ticks"][at]))  # as Loop.run does; the reading itself comes once more
        loop._run(loop._memory, loop._parameters, rows[at : at + 1], out[at : at + 1])
        state["at"] = at + 1
