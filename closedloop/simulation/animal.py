"""The virtual animal: readings for light, and the truth about every event kept as labels.

It is what a detector and a closed loop can be judged by, not a model to learn biology from (`animal_model` says
what is measured, published or invented). The same animal, rate, seed and light give the same counts, however they
were asked for; the same seed gives the same candidate events whatever the light.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from closedloop.readings import READING, Readings
from closedloop.simulation.animal_kernel import BLOCK, NORMALS, WHITE, memory, parameters, step
from closedloop.simulation.animal_model import Animal
from closedloop.simulation.animal_script import LONGEST_S, Burst, Stretch, dips, script

__all__ = ["Animal", "Label", "VirtualAnimal"]

SUPPRESSED = 0.5  # an event of which light took at least this part counts as suppressed
_READINGS = 1024  # drawn at a time


@dataclass(frozen=True)
class Label:
    """Something that truly happened, known when it is over.

    Attributes:
        kind: a transient, or the beginning of a state.
        time_s: when it began, in seconds from the first reading.
        state: the state it began in, or that began.
        amplitude: peak dF/F that was left by the light, for small dF/F; None for a state.
        candidate: peak dF/F there would have been in the dark; None for a state.
        lasts_s: length of the burst; None for a state.
        suppressed: light took half of it or more.
    """

    kind: Literal["event", "state"]
    time_s: float
    state: str
    amplitude: float | None = None
    candidate: float | None = None
    lasts_s: float | None = None
    suppressed: bool = False


class _Box(NamedTuple):
    """A column of what is drawn is raised by `height` from one time to another."""

    column: str
    start_s: float
    end_s: float
    height: float


class Mark(NamedTuple):
    """Where an animal was; see `VirtualAnimal.mark`."""

    memory: Any
    readings: int
    labels: int
    ending: list[tuple[int, int, Stretch | Burst]]


class VirtualAnimal:
    """One animal in one session.

    Reading number n is taken n / rate_hz seconds after the first and is the mean over the time since the one
    before.

    Args:
        animal: what it is.
        rate_hz: readings a second.
        seed: of everything random.

    Attributes:
        labels: what has truly happened so far, in the order in which it was over; only ever appended to. Who has
            written them down and asks for no mark may clear it.
    """

    def __init__(self, animal: Animal, rate_hz: float, seed: int) -> None:
        self.labels: list[Label] = []
        self._animal, self._rate_hz = animal, rate_hz
        dwell, events, motion, noise = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(4))
        self._script, self._dips = script(animal, dwell, events), dips(animal, motion)
        self._next_item, self._next_dip = next(self._script), next(self._dips, None)
        self._noise = noise
        self._parameters = parameters(animal, rate_hz)
        self._memory = np.array([memory(animal, noise.standard_normal(WHITE))])
        self._boxes: list[_Box] = []
        self._ending: list[tuple[int, int, Stretch | Burst]] = []
        self._begun = 0
        self._count = 0
        self._kept = 2 + int(np.ceil(LONGEST_S * rate_hz))
        self._left = np.ones(self._kept + _READINGS)  # of the readings drawn, and of those `kept` before them
        self._drawn = np.zeros(_READINGS, BLOCK)
        self._drawn_from = -_READINGS
        self._one_light, self._one = np.zeros(1), np.zeros((1, 5), np.int32)
        step(
            self._memory[0],
            self._parameters,
            self._drawn[:0],
            self._one_light[:0],
            self._one[:0],
            self._left[:0],
        )

    @property
    def nano_units(self) -> int:
        """Volts per count, in 1e-9."""
        converter = self._animal.converter
        return max(1, round(converter.full_scale_volts * 1e9 / (1 << converter.bits)))

    def reading(self, light: float) -> tuple[int, int, int, int, int]:
        """The next reading.

        Args:
            light: mean part of full light since the last reading, 0 to 1.

        Returns:
            Counts of signal lit, signal dark, control lit, control dark; and flags.
        """
        self._one_light[0] = light
        self._advance(self._one_light, self._one)
        signal_lit, signal_dark, control_lit, control_dark, flags = self._one[0].tolist()
        return signal_lit, signal_dark, control_lit, control_dark, flags

    def run(self, light: npt.NDArray[np.float64]) -> Readings:
        """As many readings as there are values of light, the same as one by one; their ticks begin at 0."""
        counts = np.zeros((len(light), 5), np.int32)
        first, done = self._count, 0
        while done < len(light):
            ahead = self._drawn_from + _READINGS - self._count or _READINGS
            until = min(len(light), done + ahead)
            self._advance(light[done:until], counts[done:until])
            done = until
        readings = np.zeros(len(light), READING)
        readings["seq"] = np.arange(first, self._count)
        readings["ticks"] = np.rint(np.arange(len(light)) * 1e6 / self._rate_hz)
        for column, name in enumerate(("signal_lit", "signal_dark", "control_lit", "control_dark", "flags")):
            readings[name] = counts[:, column]
        return readings

    def draw_ahead(self) -> int:
        """Readings of which everything random is drawn, at least one: there is a way back to a mark among them."""
        if self._count == self._drawn_from + _READINGS:
            self._draw()
        return self._drawn_from + _READINGS - self._count

    def mark(self) -> Mark:
        """Where it is now, for `back_to`."""
        self.draw_ahead()
        return Mark(self._memory.copy(), self._count, len(self.labels), self._ending.copy())

    def back_to(self, mark: Mark) -> None:
        """Live from the mark on again, under another light; nothing may have been drawn since: see `draw_ahead`."""
        if mark.readings < self._drawn_from:
            raise ValueError(f"reading {mark.readings} is before the last draw, of {self._drawn_from}")
        self._memory[:] = mark.memory
        self._count, self._ending = mark.readings, mark.ending.copy()
        del self.labels[mark.labels :]

    def _advance(self, light: npt.NDArray[np.float64], counts: npt.NDArray[np.int32]) -> None:
        """Readings that all lie within what is drawn, or begin the next draw."""
        if self._count == self._drawn_from + _READINGS:
            self._draw()
        row = self._count - self._drawn_from
        drawn = self._drawn[row : row + len(light)]
        left = self._left[self._kept + row : self._kept + row + len(light)]
        step(self._memory[0], self._parameters, drawn, light, counts, left)
        self._count += len(light)
        while self._ending and self._ending[0][0] < self._count:
            self.labels.append(self._label(heapq.heappop(self._ending)[2]))

    def _draw(self) -> None:
        """Everything about the next readings that no light can change."""
        self._drawn_from += _READINGS
        self._left[: self._kept] = self._left[_READINGS:].copy()
        self._drawn = np.zeros(_READINGS, BLOCK)
        self._drawn["normals"] = self._noise.standard_normal((_READINGS, NORMALS))
        end_s = (self._drawn_from + _READINGS) / self._rate_hz
        self._begin_until(end_s)
        for box in self._boxes:
            self._raise(box)
        self._boxes = [box for box in self._boxes if box.end_s > end_s - 1 / self._rate_hz]

    def _begin_until(self, end_s: float) -> None:
        """All states, bursts and dips that begin before this time."""
        while self._next_item.start_s < end_s:
            self._begin(self._next_item)
            self._next_item = next(self._script)
        while self._next_dip is not None and self._next_dip.start_s < end_s:
            dip = self._next_dip
            self._boxes.append(_Box("dip", dip.start_s, dip.end_s, dip.height))
            self._next_dip = next(self._dips, None)

    def _begin(self, item: Stretch | Burst) -> None:
        if isinstance(item, Burst):
            self._boxes.append(_Box("drive", item.start_s, item.end_s, item.height))
            known_s = item.end_s
        else:
            state = self._animal.states[item.state]
            start_s = item.start_s or -1.0  # the first reading is a mean over the time before it
            self._boxes.append(_Box("level", start_s, item.end_s, state.level))
            self._boxes.append(_Box("blood", start_s, item.end_s, state.blood))
            known_s = item.start_s
        heapq.heappush(self._ending, (int(np.ceil(known_s * self._rate_hz)), self._begun, item))
        self._begun += 1

    def _raise(self, box: _Box) -> None:
        first, covered = self._covered(box, self._drawn_from, self._drawn_from + _READINGS)
        at = first - self._drawn_from
        self._drawn[box.column][at : at + len(covered)] += box.height * covered

    def _covered(self, box: _Box | Burst, least: int, end: int) -> tuple[int, npt.NDArray[np.float64]]:
        """First reading from `least` to `end` that a box may touch, and what part of each one it covers."""
        first = max(least, int(box.start_s * self._rate_hz))
        last = min(end, int(box.end_s * self._rate_hz) + 2)
        edges = np.arange(first - 1, max(first, last)) / self._rate_hz
        return first, np.diff(np.clip(edges, box.start_s, box.end_s)) * self._rate_hz

    def _label(self, item: Stretch | Burst) -> Label:
        if isinstance(item, Stretch):
            return Label("state", item.start_s, item.state)
        oldest = self._drawn_from - self._kept
        first, covered = self._covered(item, oldest, self._drawn_from + _READINGS)
        left = self._left[first - oldest : first - oldest + len(covered)]
        share = float(np.sum(covered * left) / np.sum(covered))
        return Label(
            "event",
            item.start_s,
            item.state,
            amplitude=item.amplitude * share,
            candidate=item.amplitude,
            lasts_s=item.end_s - item.start_s,
            suppressed=share <= SUPPRESSED,
        )
