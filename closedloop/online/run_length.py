"""How high a CUSUM's threshold must be for a wanted rate of false alarms. Computed before a session, never within one.

A CUSUM is a Markov chain, so the mean time from one false alarm to the next solves a linear system on a grid of its
values (Brook and Evans 1972, Biometrika 59:539; for counts Lucas 1985, Technometrics 27:129). Here the chain goes on
after an alarm, as it does in the loop: the next alarm must wait until the sum has fallen below release. A cycle is
therefore the time from release up to the alarm, and from there down again, with the sum capped as the detector caps
it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

_CELLS = 40  # of the grid, for each jump of the Poisson sum
_STEPS = 80  # of the grid from 0 to the threshold, for the sum of a Gaussian
_HIGHEST = 24.0  # nats: beyond any rate of false alarms that could be measured
_CLOSE = 1e-3  # nats

Floats = npt.NDArray[np.float64]


@lru_cache(maxsize=256)
def poisson_threshold(times: float, alarms: float, release: float, spare: float) -> float:
    """Threshold in nats of W = max(0, W + n ln(times) - (times - 1) rate dt), n events in dt at that rate.

    Args:
        times: factor of the rate that the sum is made for, above 1.
        alarms: false alarms wanted for each event at the base rate: alarms an hour over events an hour.
        release: as part of the threshold, above 0.
        spare: nats above the threshold at which the sum is capped.

    Raises:
        ValueError: even the lowest threshold gives fewer alarms, or the highest gives more.
    """
    return _solve(lambda nats: poisson_alarms(times, nats, release, spare), alarms)


@lru_cache(maxsize=256)
def gauss_threshold(shift: float, clip: float, alarms: float, release: float, spare: float) -> float:
    """Threshold in nats of S = max(0, S + shift (z - shift / 2)), z standard normal and clipped.

    Args:
        shift: that the sum is made for, in SD.
        clip: largest |z - shift / 2| that counts, in SD.
        alarms: false alarms wanted for each value.
        release: as part of the threshold, above 0.
        spare: nats above the threshold at which the sum is capped.

    Raises:
        ValueError: even the lowest threshold gives fewer alarms, or the highest gives more.
    """
    return _solve(lambda nats: gauss_alarms(shift, clip, nats, release, spare), alarms)


def poisson_alarms(times: float, nats: float, release: float, spare: float) -> float:
    """False alarms for each event at the base rate, at a threshold of so many nats."""
    cell = float(np.log(times)) / _CELLS
    step = cell / (times - 1)  # how long the sum takes to fall by one cell, in mean intervals of events
    below, release_cell, cells = _places(nats, release, spare, cell)
    chain = np.zeros((cells, cells))
    rows = np.arange(cells)
    fallen = np.maximum(rows - 1, 0)
    chances = np.exp(-step) * np.array([1.0, step])
    for events, chance in enumerate([*chances, 1 - chances.sum()]):
        chain[rows, np.minimum(fallen + events * _CELLS, cells - 1)] += chance
    return 1 / _cycle(chain, below, release_cell, step)


def gauss_alarms(shift: float, clip: float, nats: float, release: float, spare: float) -> float:
    """False alarms for each standard normal value, at a threshold of so many nats."""
    cell = nats / (_STEPS - 0.5)  # the threshold then lies between two cells
    below, release_cell, cells = _places(nats, release, spare, cell)
    edges = (np.arange(cells - 1)[None, :] + 0.5 - np.arange(cells)[:, None]) * cell / shift
    upto = np.where(edges >= clip, 1.0, np.where(edges < -clip, 0.0, ndtr(edges + shift / 2)))
    chain = np.diff(upto, axis=1, prepend=0.0, append=1.0)
    return 1 / _cycle(chain, below, release_cell, 1.0)


def _places(nats: float, release: float, spare: float, cell: float) -> tuple[int, int, int]:
    """Cells below the threshold, the first cell that is not below release, and how many there are."""
    below = max(1, round(nats / cell))  # half a cell early: an event lies half a step before the step's end
    release_cell = min(max(1, round(release * nats / cell)), below)
    return below, release_cell, max(below, round((nats + spare) / cell)) + 1


def _solve(alarms_at: Callable[[float], float], wanted: float) -> float:
    """Where a falling function has this value: the range is doubled, then halved."""
    low, high = 0.0, 1.0
    while alarms_at(high) > wanted:
        low, high = high, 2 * high
        if high > _HIGHEST:
            raise ValueError("so few false alarms can't be had; allow more")
    if low == 0.0 and alarms_at(0.05) < wanted:
        raise ValueError("so many false alarms can't be had; allow fewer")
    while high - low > _CLOSE:
        middle = (low + high) / 2
        low, high = (middle, high) if alarms_at(middle) > wanted else (low, middle)
    return high


def _cycle(chain: Floats, below: int, release: int, step: float) -> float:
    """Mean time from one alarm to the next.

    Args:
        chain: probability of going from cell to cell in one step, of shape (n, n).
        below: how many cells are below the threshold.
        release: first cell that is not below release.
        step: time of one step.
    """
    up = np.eye(below) - chain[:below, :below]
    alarm = chain[:below, below:]  # ... and where above the threshold it leads
    down = np.eye(len(chain) - release) - chain[release:, release:]
    over = chain[release:, :release]
    to_alarm = np.linalg.solve(up, np.column_stack([np.full(below, step), alarm]))
    to_release = np.linalg.solve(down, np.column_stack([np.full(len(down), step), over]))[below - release :]
    time = to_alarm[:release, 0] + to_alarm[:release, 1:] @ to_release[:, 0]
    again = to_alarm[:release, 1:] @ to_release[:, 1:]  # where below release the next cycle begins
    begins = np.full(release, 1 / release)
    for _ in range(64):  # forgets where it began within a few cycles
        begins = begins @ again
    return float(begins @ time)
