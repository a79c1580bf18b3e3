"""One session: check, open, arm, run, always go dark, close. It decides nothing about light.

`run` is called by whoever starts a session, and stays in its process; `_conduct` is what happens in the engine's own
process. If anything at all goes wrong there, the light is dark and the recording closed before the error is raised
again: this file holds the one broad catch of the program.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from closedloop import realtime, wire
from closedloop.controller import Controller, Ending, Orders
from closedloop.engine import Acquisition, Control, EngineProcess, conduct
from closedloop.errors import ClosedLoopError
from closedloop.intake import Intake
from closedloop.link import Link
from closedloop.loop import Loop
from closedloop.model import digest
from closedloop.readings import MOST_AT_ONCE, READING, Readings
from closedloop.recording import RecordingWriter, Rows, create, row_dtype
from closedloop.recording.blinding import NeutralRecorder, Sealed
from closedloop.recording.folder import HEADER
from closedloop.request import Request, refuse
from closedloop.rig import SIMULATED
from closedloop.simulation import virtual_rig
from closedloop.steps import Steps
from closedloop.yaml_file import dump, text_of

_LOOK_S = 0.1


class Outcome(NamedTuple):
    """Where the recording is, and how the session ended; `interrupted` by Ctrl-C."""

    folder: Path
    ending: Ending
    interrupted: bool


class _Ports(NamedTuple):
    daq: str
    stimulator: str | None


class _About(NamedTuple):
    input_names: tuple[str, ...]
    expected_s: float


def run(request: Request, look: Callable[[Path], None] = lambda _: None) -> Outcome:
    """Run one session to its end, however it ends.

    Args:
        request: what to run.
        look: called about ten times a second with the session folder, to show progress from the recording.

    Raises:
        ConfigError: nothing was started.
        DeviceError: a device could not be opened, or the engine was killed.
    """
    refuse(request)
    with _folder(request) as folder, _ports(request, folder) as ports:
        engine = EngineProcess(_conduct, _for_engine(request), folder, ports, _for_header(request))
        interrupted = False
        while True:
            try:
                while not engine.wait(_LOOK_S):
                    look(folder)
                return Outcome(folder, engine.result(), interrupted)
            except KeyboardInterrupt:
                interrupted = True
                engine.stop("interrupted")


@contextlib.contextmanager
def _folder(request: Request) -> Iterator[Path]:
    """A new session folder; taken away again if the session never began."""
    folder = create(request.out, request.subject, datetime.now().astimezone())
    try:
        yield folder
    finally:
        if not (folder / HEADER).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _for_engine(request: Request) -> Request:
    """Without the played recording, which is the rig's to play.

    That ends when it ends, blocks when the last one is over (which a pause delays), and all else by duration.
    """
    duration_s = request.duration_s if request.play or request.protocol.blocks else request.expected_s
    return replace(request, play=None, duration_s=duration_s)


def _for_header(request: Request) -> _About:
    """What the played recording, if there is one, says of the session."""
    return _About(request.input_names, request.expected_s)


@contextlib.contextmanager
def _ports(request: Request, folder: Path) -> Iterator[_Ports]:
    """The rig's ports; a simulated rig is started first, in a process of its own, and stopped at the end."""
    rig = request.rig
    if rig.daq.port != SIMULATED or rig.simulation is None:
        yield _Ports(rig.daq.port, rig.stimulator.wired_to)
        return
    virtual = virtual_rig.start(
        rig.simulation,
        rate_hz=rig.daq.rate,
        seed=request.seed,
        stream=request.play,
        speed=request.speed,
        truth=folder / "truth",
        inputs=rig.inputs,
    )
    try:
        yield _Ports(virtual.daq_port, virtual.stimulator_port if rig.stimulator.wired_to else None)
    finally:
        virtual.stop()


class _Rows:
    """Puts readings and steps side by side as rows of the recording; of the lines it knows what was damaged."""

    def __init__(self, writer: RecordingWriter, step_type: np.dtype[Any], links: tuple[Link | None, ...]) -> None:
        self.dtype = row_dtype(step_type)
        self.event = writer.event
        self._health = writer.health
        self._links = {link for link in links if link is not None}
        self._append = writer.append
        parts = np.zeros(
            MOST_AT_ONCE, np.dtype([("reading", READING), ("host_ns", "<i8"), ("step", step_type)], align=True)
        )
        self._reading, self._host_ns, self._step = parts["reading"], parts["host_ns"], parts["step"]
        self._rows = parts.view(self.dtype)
        self._one = self._rows[:1]

    def append(self, readings: Readings, steps: Steps, host_ns: int) -> None:
        """Keep the readings of one arrival."""
        count = len(readings)
        self._reading[:count] = readings
        self._host_ns[:count] = host_ns
        self._step[:count] = steps
        self._append(self._one if count == 1 else self._rows[:count])

    def health(self, row: Rows) -> None:
        """Keep how the loop is, and how its lines are."""
        row["damaged"] = sum(link.damaged for link in self._links)
        self._health(row)


def _conduct(control: Control, request: Request, folder: Path, ports: _Ports, about: _About) -> Ending:
    """The session, in the engine's process."""
    setting = request.setting
    plan = request.protocol.plan(request.limits, request.rig.full_power_mw, request.rig.photometry, setting)
    with contextlib.ExitStack() as opened:
        daq = request.rig.daq.open(ports.daq)
        opened.callback(daq.close)
        shared = daq if ports.stimulator == ports.daq else None
        stimulator = request.rig.stimulator.open(ports.stimulator or "", request.limits, shared)
        if stimulator is not None:
            opened.callback(stimulator.close)
        _hand_over(request, daq, stimulator)
        Loop(plan, rate_hz=request.rig.daq.rate, nano_units=1).compile()  # before the stream, which does not wait
        Intake()
        lines = [link for link in (daq, stimulator) if link is not None]
        means = realtime.prepared(
            request.rig.waiting,
            real_time=request.speed == 1,
            low_latency=all(link.port.low_latency for link in lines),
        )
        had = {name: one._asdict() for name, one in opened.enter_context(means).items()}
        settings, early = request.rig.daq.start(daq)
        loop = Loop(plan, rate_hz=settings.rate_mhz / 1000, nano_units=settings.nano_units)
        header = _header(request, settings, about, daq, stimulator) | {"bounds": _bounds(loop), "real_time": had}
        writer = begin_recording(request, folder, header, row_dtype(loop.step_type))
        rows = _Rows(writer, loop.step_type, (daq, stimulator))
        controller = Controller(
            _orders(request, settings, about.input_names),
            loop,
            daq,
            stimulator,
            NeutralRecorder(rows, request.protocol.decisions) if request.blind else rows,
            time.perf_counter_ns,
            time.time_ns,
        )
        try:
            controller.daq_messages(early, time.perf_counter_ns())
            acquisition = Acquisition(controller, daq, stimulator, spin=request.rig.waiting == "spin")
            ending = conduct(acquisition, controller, writer.sync, control, folder)
        except Exception as problem:
            failed = Ending("failed", _why(problem, request))
            controller.end(*failed)
            writer.close(_outcome(controller, daq, stimulator, failed))
            raise
        writer.close(_outcome(controller, daq, stimulator))
        return ending


def begin_recording(request: Request, folder: Path, header: dict[str, Any], dtype: np.dtype[Any]) -> RecordingWriter:
    """The recording of a session; of a blinded one, what names the arm is put apart (see `recording.blinding`)."""
    protocol, rig, sealed = dump(request.protocol), dump(request.rig), None
    if request.blind:
        apart = Sealed(header, protocol, request.protocol.condition)
        fields = request.protocol.model_dump(mode="json", exclude_none=True)
        protocol = text_of(fields | {"policy": apart.header["protocol"]["policy"]})
        header, sealed = apart.header, apart.text
    return RecordingWriter.open(folder, header=header, protocol=protocol, rig=rig, dtype=dtype, sealed=sealed)


def _hand_over(request: Request, daq: Link, stimulator: Link | None) -> None:
    """The session's train; and what to watch for, where the policy leaves detection to the board."""
    protocol, rig = request.protocol, request.rig
    watch = protocol.policy.watch(rig.daq.rate, protocol.warm_up)
    if watch is not None:
        rig.daq.watch(daq, watch)
    if stimulator is not None:
        c = rig.command(protocol.light)
        by_trigger = int(watch is not None)
        train = wire.Prepare(c.on_us, c.period_us, c.pulses, c.level, c.ramp_off_us, by_trigger)
        rig.stimulator.prepare(stimulator, train)


def _orders(request: Request, settings: wire.StreamSettings, names: tuple[str, ...]) -> Orders:
    policy = request.protocol.policy
    duration_s = request.duration_s
    return Orders(
        rate_hz=settings.rate_mhz / 1000,
        decisions=request.protocol.decisions,
        duration_us=None if duration_s is None else round(duration_s * 1e6),
        real_time=request.speed == 1,
        input_names=names,
        by_hand=request.by_hand,
        by_board=policy.watch(settings.rate_mhz / 1000, request.protocol.warm_up) is not None,
        command=request.rig.command(request.protocol.light),
        blocks=request.protocol.block_names,
    )


def _header(
    request: Request, settings: wire.StreamSettings, about: _About, daq: Link, stimulator: Link | None
) -> dict[str, Any]:
    protocol, rig = request.protocol, request.rig
    return {
        "program": {"closedloop": version("closedloop"), "python": platform.python_version(), "wire": wire.WIRE_HASH},
        "computer": {"system": platform.platform(), "engine_pid": os.getpid()},
        "started": datetime.now().astimezone().isoformat(),
        "started_ns": time.perf_counter_ns(),
        "subject": request.subject,
        "protocol_name": protocol.name,
        "condition": protocol.condition,
        "protocol": protocol.model_dump(mode="json"),
        "rig": rig.model_dump(mode="json"),
        "hashes": {"protocol": digest(protocol), "rig": digest(rig), "parts": protocol.part_digests()},
        "seed": request.seed,
        "decisions": list(protocol.decisions),
        "drawn": protocol.drawn(request.seed),
        "blinded": None,
        "blocks": list(protocol.block_names),
        "study": request.study,
        "by_hand": request.by_hand,
        "expected_s": about.expected_s,
        "limits": request.limits._asdict(),
        "dose": request.dose._asdict(),
        "command": rig.command(protocol.light)._asdict(),
        "recovery_s": rig.recovery_s,
        "full_power_mw": rig.full_power_mw,
        "tip_mw": rig.tip_mw(protocol.light),
        "rate_mhz": settings.rate_mhz,
        "nano_units": settings.nano_units,
        "input_names": list(about.input_names),
        "boards": {
            name: link.identity._asdict()
            for name, link in (("daq", daq), ("stimulator", stimulator))
            if link is not None and link.identity is not None
        },
        "speed": request.speed,
    }


def _bounds(loop: Loop) -> dict[str, float | None]:
    """Of the score, as the session begins: a detector may have computed them; `highest` is the most it can come to."""
    threshold, release = loop.bounds
    return {"threshold": threshold, "release": release, "highest": loop.highest}


def _why(problem: Exception, request: Request) -> str:
    """What went wrong: in its own words, or, if it is a fault of this program, with its name; without a blinded arm."""
    said = str(problem) if isinstance(problem, ClosedLoopError) else f"{type(problem).__name__}: {problem}"
    return said.replace(request.protocol.policy.kind, "the arm's policy") if request.blind else said


def _outcome(
    controller: Controller, daq: Link, stimulator: Link | None, failed: Ending | None = None
) -> dict[str, Any]:
    """How it ended; that it failed counts, even if it was stopped or over before."""
    ending = failed or controller.ending or Ending("failed", "")
    return {
        "ended": ending.how,
        "reason": ending.reason,
        "sent": controller.sent_by_board,
        "repeated": controller.counter.repeated,
        "damaged_frames": daq.damaged + (stimulator.damaged if stimulator else 0),
        "unfinished_trains": controller.outstanding,
        "statistics": {name: s._asdict() for name, s in controller.statistics.items()},
    }
