"""The virtual arena: which chamber the animal is in, and what it presses, as the DAQ's digital inputs. No I/O.

It stands in for a place preference box, so that gates, occupancy and a study's power can be tried before an animal
is. What light does to the preference is an ASSUMPTION of whoever writes the rig, made to be tried in both directions;
it is not a finding, and neither is anything else in here.

A visit lasts its own draw times the chamber's preference, and the next chamber is drawn, too. All draws come from
generators of their own and are numbered by visit, so the same seed gives the same path in the dark whatever the
light; with `effect` 0 %, whatever the light. The path is in continuous time: readings only look at it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from closedloop.model import kernel
from closedloop.simulation.arena_model import Arena, Presses

__all__ = ["Arena", "Presses", "VirtualArena", "Visit"]

SHORTEST_S = 0.1  # of a visit: nobody crosses a chamber faster
_AHEAD = 64  # visits drawn at a time, more where a call needs more


class Visit(NamedTuple):
    """The animal entered a chamber at a time, in seconds from the first reading."""

    time_s: float
    chamber: str


_MEMORY = np.dtype(
    [
        ("count", "i8"),  # readings so far
        ("at_s", "f8"),
        ("chamber", "i8"),
        ("visit", "i8"),  # draws used
        ("left", "f8"),  # of this visit's draw, in seconds at preference 1
        ("least_s", "f8"),  # it ends no earlier
        ("gained", "f8", (8,)),  # logarithm of what light made of each preference
    ],
    align=True,
)
_PARAMETERS = np.dtype(
    [
        ("rate_hz", "f8"),
        ("chambers", "i8"),
        ("passage", "i8"),  # -1: none
        ("preference", "f8", (8,)),
        ("effect", "f8"),  # logarithm, of a second of full light
        ("most", "f8"),  # logarithm
    ],
    align=True,
)


@kernel
def _next_chamber(m: Any, p: Any, drawn: float) -> int:
    """The way out that a number from 0 to 1 picks; all are alike."""
    if p.passage >= 0 and m.chamber != p.passage:
        return int(p.passage)
    other = min(int(drawn * (p.chambers - 1)), int(p.chambers) - 2)
    return other if other < m.chamber else other + 1


@kernel
def _walk(m: Any, p: Any, draws: Any, light: Any, chambers: Any, path: Any) -> int:
    """Where the animal is at each reading.

    Args:
        m: one _MEMORY record.
        p: one _PARAMETERS record.
        draws: dwell in seconds and a number from 0 to 1, for each visit; there are enough of them.
        light: mean part of full light since the last reading, 0 to 1.
        chambers: written; number of the chamber at each reading's instant.
        path: written; time and chamber of every visit that began meanwhile.

    Returns:
        How many visits began.
    """
    begun = 0
    for i in range(len(light)):
        end_s = m.count / p.rate_hz
        m.count += 1
        gained = m.gained[m.chamber] + p.effect * light[i] * (end_s - m.at_s)
        m.gained[m.chamber] = min(max(gained, -p.most), p.most)
        while True:
            weight = p.preference[m.chamber] * np.exp(m.gained[m.chamber])
            leaves_s = max(m.at_s + m.left * weight, m.least_s)
            if leaves_s > end_s:
                break
            m.chamber = _next_chamber(m, p, draws[m.visit, 1])
            m.left = draws[m.visit, 0]
            m.visit += 1
            m.at_s = leaves_s
            m.least_s = leaves_s + SHORTEST_S
            path[begun, 0], path[begun, 1] = leaves_s, m.chamber
            begun += 1
        m.left -= (end_s - m.at_s) / weight
        m.at_s = end_s
        chambers[i] = m.chamber
    return begun


class Mark(NamedTuple):
    """Where an arena was; see `VirtualArena.mark`."""

    memory: Any
    visits: int


class _Switch:
    """One of `Presses`: drawn in continuous time, and never asked about light."""

    def __init__(self, presses: Presses, chamber: int | None, bit: int, random: np.random.Generator) -> None:
        self._presses, self._chamber, self._bit, self._random = presses, chamber, bit, random
        self._starts, self._ends = np.zeros(0), np.zeros(0)
        self._draw()

    def _draw(self) -> None:
        open_s = self._random.exponential(60 / self._presses.rate, _AHEAD)
        closed_s = self._random.exponential(self._presses.lasts, _AHEAD)
        first_s = float(self._ends[-1]) if len(self._ends) else 0.0
        ends = first_s + np.cumsum(open_s + closed_s)
        self._starts = np.concatenate([self._starts, ends - closed_s])
        self._ends = np.concatenate([self._ends, ends])

    def bits(self, times_s: npt.NDArray[np.float64], chambers: npt.NDArray[np.int8]) -> npt.NDArray[np.uint16]:
        """Its bit at each reading; open where the animal can't reach it."""
        while self._ends[-1] <= times_s[-1]:
            self._draw()
        at = np.searchsorted(self._ends, times_s, side="right")
        closed = times_s >= self._starts[at]
        if self._chamber is not None:
            closed &= chambers == self._chamber
        return closed.astype(np.uint16) << np.uint16(self._bit)


class VirtualArena:
    """One animal's way through the arena in one session.

    Args:
        arena: what it is.
        names: of the rig's inputs, bit 0 first.
        rate_hz: readings a second; reading number n looks at time n / rate_hz.
        seed: of everything random.

    Attributes:
        path: every visit that has begun, the first at time 0.

    Raises:
        ValueError: an input that the rig does not have.
    """

    def __init__(self, arena: Arena, names: Sequence[str], rate_hz: float, seed: int) -> None:
        if problems := arena.input_problems(names):
            raise ValueError("\n".join(problems))
        visits, *switches = map(np.random.default_rng, np.random.SeedSequence([seed, 1]).spawn(1 + len(arena.presses)))
        self._arena, self._rate_hz, self._random = arena, rate_hz, visits
        self._draws = np.zeros((0, 2))
        self._parameters = _parameters(arena, rate_hz)
        self._memory = np.zeros(1, _MEMORY)
        self._extend(1)
        self._memory["chamber"], self._memory["left"] = arena.first, self._draws[0, 0]
        self._memory["visit"], self._memory["least_s"] = 1, SHORTEST_S
        self.path = [Visit(0.0, arena.chambers[arena.first])]
        self._bits = np.array([1 << names.index(chamber) for chamber in arena.chambers], np.uint16)
        numbers = [None if one.chamber is None else arena.chambers.index(one.chamber) for one in arena.presses]
        self._switches = [
            _Switch(one, number, names.index(one.input), random)
            for one, number, random in zip(arena.presses, numbers, switches, strict=True)
        ]
        self._one_light = np.zeros(1)
        self.run(self._one_light[:0])  # compiled before the first reading

    def reading(self, light: float) -> int:
        """Digital inputs at the next reading, bit 0 first.

        Args:
            light: mean part of full light since the last reading, 0 to 1.
        """
        self._one_light[0] = light
        return int(self.run(self._one_light)[0])

    def run(self, light: npt.NDArray[np.float64]) -> npt.NDArray[np.uint16]:
        """As many readings as there are values of light, the same as one by one."""
        first, most = int(self._memory["count"][0]), int(len(light) / self._rate_hz / SHORTEST_S) + 2
        self._extend(most)
        chambers, path = np.zeros(len(light), np.int8), np.zeros((most, 2))
        begun = _walk(self._memory[0], self._parameters, self._draws, light, chambers, path)
        self.path += [Visit(time_s, self._arena.chambers[int(chamber)]) for time_s, chamber in path[:begun].tolist()]
        inputs: npt.NDArray[np.uint16] = self._bits[chambers]
        if self._switches and len(light):
            times_s = np.arange(first, first + len(light)) / self._rate_hz
            for switch in self._switches:
                inputs |= switch.bits(times_s, chambers)
        return inputs

    def mark(self) -> Mark:
        """Where it is now, for `back_to`."""
        return Mark(self._memory.copy(), len(self.path))

    def back_to(self, mark: Mark) -> None:
        """Forget what came after the mark; what was drawn stays drawn, so the same light gives the same path."""
        self._memory[:] = mark.memory
        del self.path[mark.visits :]

    def occupancy_s(self, end_s: float) -> dict[str, float]:
        """Seconds spent in each chamber by the true path until this time."""
        times = np.array([visit.time_s for visit in self.path] + [np.inf])
        spent = dict.fromkeys(self._arena.chambers, 0.0)
        for visit, lasts_s in zip(self.path, np.diff(np.minimum(times, end_s)), strict=True):
            spent[visit.chamber] += float(lasts_s)
        return spent

    def _extend(self, visits: int) -> None:
        """Have draws for so many more visits; drawn a fixed number at a time, so that nobody's asking changes them."""
        while len(self._draws) < int(self._memory["visit"][0]) + visits:
            arena, normals = self._arena, self._random.standard_normal(_AHEAD)
            spread_s = arena.dwell * np.exp(arena.dwell_spread * normals)
            flat_s = self._random.exponential(arena.dwell, _AHEAD)
            dwell_s = spread_s if arena.dwell_law == "log_normal" else flat_s
            more = np.column_stack([dwell_s, self._random.uniform(size=_AHEAD)])
            self._draws = np.concatenate([self._draws, more])


def _parameters(arena: Arena, rate_hz: float) -> Any:
    p = np.zeros(1, _PARAMETERS)[0]
    p["rate_hz"], p["chambers"] = rate_hz, len(arena.chambers)
    p["passage"] = -1 if arena.passage is None else arena.chambers.index(arena.passage)
    p["preference"] = 1.0
    p["preference"][: len(arena.chambers)] = [arena.preference.get(name, 1.0) for name in arena.chambers]
    p["effect"], p["most"] = np.log1p(arena.effect), np.log(arena.most)
    return p
