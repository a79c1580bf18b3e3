"""Sessions on virtual boards in virtual time, with one clock or two that drift, and their light as session folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from plans import NANO_UNITS, RATE_HZ
from virtual_session import STEP_US, Notebook, VirtualSession

from closedloop import limits, wire
from closedloop.logbook import Logbook
from closedloop.loop import Loop, Plan
from closedloop.readings import Readings
from closedloop.recording import RecordingWriter, row_dtype
from closedloop.schedule import Block
from closedloop.steps import STEP
from closedloop.yaml_file import dump

_OF_THE_DAQ = (wire.StreamStart, wire.StreamStop, wire.Watch, wire.ClockQuery)


class OneBoard(VirtualSession):
    """Both roles on one board: one line, one clock."""

    def __init__(self, signal: Readings, loop_plan: Plan) -> None:
        super().__init__(signal, loop_plan)
        stimulator, send = self.to_stimulator, self.to_daq.send
        self.stimulator.serial._boot_ticks = self.to_daq.board.serial._boot_ticks

        def send_to_either(message: wire.Message) -> None:
            (send if isinstance(message, _OF_THE_DAQ) else stimulator.send)(message)

        self.to_daq.send = send_to_either  # type: ignore[method-assign]
        self.controller._boards["stimulator"] = self.to_daq

    def step(self) -> None:
        self.step_as_one_board()


class TwoClocks(VirtualSession):
    """Two boards; the stimulator's crystal runs fast, and what it says comes up to `late_ms` late, at random."""

    def __init__(self, signal: Readings, loop_plan: Plan, drift_ppm: float = 0.0, late_ms: int = 0) -> None:
        super().__init__(signal, loop_plan)
        self.drift = drift_ppm * 1e-6
        self.to_stimulator.now_us = self.stimulator_us
        self._random, self._late_ms, self._waits = np.random.default_rng(3), late_ms, 0

    def stimulator_us(self) -> int:
        return round(self.now_us * (1 + self.drift))

    def step(self) -> None:
        self.now_us += STEP_US
        self.stimulator.advance(self.stimulator_us())
        self.to_daq.board.advance(self.now_us, lambda a, b: 0.0)
        now_ns = self.now_us * 1000
        if self._waits == 0:
            self.controller.stimulator_messages(self.to_stimulator.hear(), now_ns)
            self._waits = int(self._random.integers(0, self._late_ms + 1))
        else:
            self._waits -= 1
        self.controller.daq_messages(self.to_daq.hear(), now_ns)
        self.controller.housekeeping(now_ns)

    @property
    def true_rises_us(self) -> list[float]:
        """Rises of light in true time, which is the DAQ's."""
        return [us / (1 + self.drift) for us, level in self.stimulator.edges if level > 0]


def rises_us(ran: VirtualSession) -> list[int]:
    """Rises of light on the DAQ's clock: its first reading is at the session's first microsecond."""
    return [us - ran.to_daq.board.started_us for us, level in ran.stimulator.edges if level > 0]


def planned_us(ran: VirtualSession) -> list[int]:
    """When light was to be, by reading and `ahead`, of all that was not refused."""
    steps, rows = np.concatenate(ran.notebook.steps), ran.rows
    given = (steps["decision"] != 0) & (steps["refused"] == 0)
    return (rows["ticks"][given] + steps["ahead"][given]).tolist()  # type: ignore[no-any-return]


def session_folder(folder: Path, ran: VirtualSession | Logged, **header: Any) -> Path:
    """The session with its events as a folder; rows are left out, but for their type."""
    p = ran.plan
    told = {
        "subject": "M17",
        "protocol": {
            "warm_up": f"{p.warm_up_s!r} s",
            "blocks": [block.model_dump(mode="json", exclude_none=True) for block in p.blocks],
        },
        "decisions": list(p.decisions),
        "command": limits.command(p.train, None)._asdict(),
        "tip_mw": None,
        "rate_mhz": round(RATE_HZ * 1000),
        "nano_units": NANO_UNITS,
        "input_names": [],
        "speed": 1,
    }
    folder.mkdir(parents=True)
    dtype = row_dtype((ran.notebook.steps or [np.zeros(0, STEP)])[0].dtype)
    writer = RecordingWriter.open(folder, header=told | header, protocol=dump(p.train), rig="", dtype=dtype)
    for event in ran.notebook.events:
        writer.event(**event)
    writer.close({"ended": "completed", "reason": "test"})
    return folder


@dataclass
class Logged:
    """A run of the loop alone, with its events as a live session keeps them; light begins where it was planned."""

    plan: Plan
    notebook: Notebook
    steps: Any
    rows: Readings

    @property
    def since_start_s(self) -> list[float]:
        """First light that was not refused, in seconds since the first reading."""
        given = (self.steps["decision"] != 0) & (self.steps["refused"] == 0)
        return ((self.rows["ticks"][given] + self.steps["ahead"][given]) / 1e6).tolist()  # type: ignore[no-any-return]


def logged(rows: Readings, loop_plan: Plan, pauses: tuple[tuple[float, float], ...] = ()) -> Logged:
    """Run it, paused from and until these seconds."""
    notebook, loop = Notebook(), Loop(loop_plan, rate_hz=RATE_HZ, nano_units=NANO_UNITS)
    log = Logbook(notebook, (), tuple(b.name for b in loop_plan.blocks))
    changes = sorted([(at, True) for at, _ in pauses] + [(until, False) for _, until in pauses])
    cuts = np.searchsorted(rows["ticks"], [at * 1e6 for at, _ in changes]).tolist()
    made = []
    for part, change in zip(np.split(rows, cuts), [*changes, None], strict=True):
        made.append(loop.run(part))
        log.keep(part, made[-1], 0, 0)
        given = np.flatnonzero((made[-1]["decision"] != 0) & (made[-1]["refused"] == 0))
        for at in given:
            ticks, train = int(part["ticks"][at]), int(made[-1]["train"][at])
            log.event("decision", 0, ticks, train=train, reason="fire")
            log.event("light_on", 0, ticks + int(made[-1]["ahead"][at]), train=train, value=1.0)
        if change is not None:
            loop.pause(change[1])
            log.note("paused" if change[1] else "resumed", "by hand", 0)
    return Logged(loop_plan, notebook, np.concatenate(made), rows)


def block(name: str, lasts: float, **more: Any) -> Block:
    return Block(name=name, lasts=lasts, **more)
