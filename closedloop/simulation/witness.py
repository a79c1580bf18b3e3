"""Looks at the virtual boards after each turn and writes the truth about them. It changes nothing that they do.

Each line has `device_us` (the DAQ's clock), `time_s` (the same from the stream's first reading, null before there is
one) and `host_ns` (when it was written). Labels and visits of the arena's chambers have the animal's own `time_s`,
from its first reading.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from closedloop.simulation.animal import VirtualAnimal
from closedloop.simulation.arena import VirtualArena
from closedloop.simulation.daq_board import DaqBoard
from closedloop.simulation.stimulator_board import StimulatorBoard
from closedloop.simulation.truth import Truth
from closedloop.wire import State

_EDGES_KEPT = 4096  # the newest; a reading asks for the light since the one before it


class Witness:
    """Remembers how far it has written."""

    def __init__(
        self,
        truth: Truth,
        daq: DaqBoard,
        stimulator: StimulatorBoard,
        animal: VirtualAnimal | None,
        arena: VirtualArena | None = None,
    ) -> None:
        self._truth = truth
        self._daq = daq
        self._stimulator = stimulator
        self._animal = animal
        self._arena = arena
        self._streams = self._edges = self._visits = 0
        self._state = State.DISARMED

    def note(self, kind: str, at_us: int, **values: Any) -> None:
        """One line about this device time (the DAQ's)."""
        time_s = (at_us - self._daq.started_us) / 1e6 if self._daq.streams else None
        self._truth.write(kind, time_s=time_s, device_us=at_us, host_ns=time.perf_counter_ns(), **values)

    def look(self, now_us: int, daq_us: Callable[[int], int]) -> None:
        """Write what is new; `daq_us` turns the stimulator's time into the DAQ's."""
        if self._daq.streams > self._streams:
            self._streams = self._daq.streams
            self.note("stream", self._daq.started_us)
        edges = self._stimulator.edges
        if len(edges) > self._edges:
            self._write_edges(daq_us)
        if self._stimulator.state is not self._state:
            self._state = self._stimulator.state
            self.note("state", now_us, state=self._state.name)
        self._write_labels()
        self._write_visits()

    def _write_edges(self, daq_us: Callable[[int], int]) -> None:
        """What is written and long past is forgotten: a session may last for days."""
        edges = self._stimulator.edges
        for at_us, level in edges[self._edges :]:
            self.note("light", daq_us(at_us), level=level, stimulator_us=at_us)
        if len(edges) > _EDGES_KEPT:
            self._stimulator.forget_edges(edges[-_EDGES_KEPT // 2][0])
        self._edges = len(edges)

    def _write_visits(self) -> None:
        """The path through the arena; the first visit when the first stream has begun."""
        if self._arena is None or self._streams == 0:
            return
        path = self._arena.path
        for visit in path[self._visits :]:
            self._truth.write("visit", time_s=visit.time_s, chamber=visit.chamber)
        self._visits = len(path)

    def _write_labels(self) -> None:
        if self._animal is None:
            return
        for label in self._animal.labels:
            fields = asdict(label)
            self._truth.write("label", what=fields.pop("kind"), **fields)
        self._animal.labels.clear()
