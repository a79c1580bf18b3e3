"""The live loop over a finished recording, as fast as it goes. It reaches no device and waits for nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from closedloop import formats, gates, wire
from closedloop.analysis.counting import count_steps, missing
from closedloop.analysis.detection import BATCH
from closedloop.anchor import photometry_of
from closedloop.changes import Change, changes_in, rerun
from closedloop.deciding import TEST
from closedloop.errors import ConfigError
from closedloop.limits import effective
from closedloop.loop import Loop, Plan
from closedloop.model import digest
from closedloop.protocol import Protocol, Setting, needs_control
from closedloop.readings import Stream
from closedloop.recording import Event, Recording
from closedloop.steps import STEP, Steps, told
from closedloop.train import Refusal


@dataclass(frozen=True)
class Replayed:
    """A recording with what the loop made of it; `steps` has one STEP for each of the stream's readings.

    Where `blinded`, the copy of the light in the readings must not be shown.
    """

    stream: Stream
    protocol: Protocol
    seed: int
    steps: Steps
    decisions: tuple[str, ...]
    blinded: bool = False

    def events(self) -> Iterator[Event]:
        """What the loop would have done, as events; there is no light in a replay."""
        numbered = np.flatnonzero(self.steps["train"])
        for at in numbered:
            step, ticks = self.steps[at], int(self.stream.readings["ticks"][at])
            refused = Refusal(step["refused"])
            for kind, reason, value in told(step, self.decisions, refused):
                yield Event(0, ticks, kind, int(step["train"]), reason, value, None, 0)

    def summary(self) -> dict[str, Any]:
        """The public summary; what only a live run can know is null or zero."""
        return _summary(self.stream, self.protocol, self.seed, count_steps(self.steps, self.decisions))


@dataclass(frozen=True)
class Opened:
    """A recording, ready to be run through loops.

    Attributes:
        stream: its readings, of a blinded session with the copy of the light.
        recording: the session it is, a blinded one with its arm, which nothing that is printed may name; None of a
            file of another program.
        blinded: whether light must not be shown.
    """

    stream: Stream
    recording: Recording | None
    blinded: bool = False

    def plan(self, protocol: Protocol, seed: int | None = None) -> Plan:
        """The protocol under what the session was run with: its limits and its calibration.

        A file is replayed under the board's ceiling and the protocol's own limits.

        Raises:
            ConfigError: the protocol needs a control channel and there is none, or its anchor is of another animal.
        """
        problems = [*needs_control(protocol, self.stream), *_anchor_problems(self.recording, protocol)]
        problems += gates.problems(protocol.gates, self.stream.input_names)
        if problems:
            raise ConfigError(*problems)
        header = self.recording.header if self.recording else None
        limits = wire.Limits(**header["limits"]) if header else effective(protocol.limits, lease_s=0.5)
        setting = self.setting(protocol)._replace(seed=self.seed(seed))
        if header is None:
            return protocol.plan(limits, None, None, setting)
        return protocol.plan(limits, header["full_power_mw"], photometry_of(header, self.stream.source), setting)

    def setting(self, protocol: Protocol) -> Setting:
        """What the session brought to its plan, or what a file can tell."""
        if self.recording is None:
            return Setting(input_names=tuple(self.stream.input_names))
        return Setting.of(self.recording.header, protocol.light)

    def seed(self, seed: int | None) -> int:
        """This seed, or the session's own, or 0."""
        own = self.recording.header["seed"] if self.recording else 0
        return own if seed is None else seed

    def steps(self, protocol: Protocol, seed: int | None = None) -> tuple[Loop, Iterator[Steps]]:
        """A fresh loop, and what it makes of the readings, in batches; `seed` is for what policies draw.

        With the very protocol that a session ran with, what a person changed meanwhile is done again, too.
        """
        loop = Loop(self.plan(protocol, seed), rate_hz=self.stream.rate_hz, nano_units=self.stream.nano_units)
        return loop, rerun(loop, self.stream.readings, _changes(self.recording, protocol), BATCH)


def open_recording(path: Path) -> Opened:
    """A session folder, or a file of any format we know.

    Raises:
        RecordingError: it cannot be read; the message says why.
    """
    if not path.is_dir():
        return Opened(formats.read(path), None)
    recording = Recording.open(path)
    true = recording.sealed()
    return Opened(true.stream, true, recording.blinded)


def read_recording(path: Path) -> Stream:
    """A session folder, or a file of any format we know, as one stream.

    Raises:
        RecordingError: it cannot be read; the message says why.
    """
    return open_recording(path).stream


def replay(
    path: Path, protocol: Protocol, seed: int | None = None, advance: Callable[[int, int], None] = lambda *_: None
) -> Replayed:
    """All readings of a recording through a fresh loop, in batches, with every step kept; see `Opened`.

    Args:
        path: a session folder, or a file of any format we know.
        protocol: what to run over it.
        seed: None for the session's own, or 0.
        advance: called with readings done and readings in all, for a progress bar.

    Raises:
        RecordingError: it cannot be read.
        ConfigError: the protocol needs a control channel and there is none, or its anchor is of another animal.
    """
    opened = open_recording(path)
    count = len(opened.stream.readings)
    loop, batches = opened.steps(protocol, seed)
    steps = np.zeros(count, loop.step_type)
    done = 0
    for batch in batches:
        steps[done : done + len(batch)] = batch
        done += len(batch)
        advance(len(batch), count)
    return Replayed(opened.stream, protocol, opened.seed(seed), steps, protocol.decisions, opened.blinded)


def summary_of(
    opened: Opened, protocol: Protocol, seed: int | None = None, advance: Callable[[int, int], None] = lambda *_: None
) -> dict[str, Any]:
    """The summary of a replay; no step is kept, however long the recording is. For arguments see `replay`."""
    decisions = protocol.decisions
    counted = count_steps(np.zeros(0, STEP), decisions)
    _, batches = opened.steps(protocol, seed)
    for batch in batches:
        counted = _added(counted, count_steps(batch, decisions))
        advance(len(batch), len(opened.stream.readings))
    return _summary(opened.stream, protocol, opened.seed(seed), counted)


def _added(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Counts of two stretches together; a decision of zero stays named."""
    both: dict[str, Any] = {"detections": one["detections"] + other["detections"]}
    for name in ("decisions", "refused"):
        both[name] = {key: one[name].get(key, 0) + other[name].get(key, 0) for key in {**one[name], **other[name]}}
    return both | {"refused": dict(sorted(both["refused"].items()))}


def _summary(stream: Stream, protocol: Protocol, seed: int, counted: dict[str, Any]) -> dict[str, Any]:
    readings = stream.readings
    return {
        "session": None,
        "protocol": protocol.name,
        "condition": protocol.condition,
        "seed": seed,
        "duration_s": stream.duration_s,
        "rate_hz": stream.rate_hz,
        "readings": {"received": len(readings), "missing": missing(readings["seq"], None), "damaged_frames": 0},
        **counted,
        "trains": {
            "commanded": sum(counted["decisions"].get(lit, 0) for lit in ("fire", TEST)),
            "delivered": 0,
            "on_board": 0,
            "on_s": 0.0,
            "energy_mj": None,
        },
        "latency_us": {"read_to_command": None, "command_to_light": None},
        "ended": "completed",
        "reason": "the recording is over",
    }


def _anchor_problems(recording: Recording | None, protocol: Protocol) -> list[str]:
    """Why the protocol's anchor is not of the session's animal and fibre; a file does not say, and is believed."""
    if recording is None:
        return []
    measured = photometry_of(recording.header, str(recording.folder))
    problems = protocol.anchor_problems(recording.header.get("subject"), measured)
    return [f"{recording.folder}: {problem}" for problem in problems]


def _changes(recording: Recording | None, protocol: Protocol) -> list[Change]:
    """What a person changed while the session ran; another protocol than it ran with is replayed as it stands."""
    if recording is None or recording.header["hashes"]["protocol"] != digest(protocol):
        return []
    return changes_in(recording.events())
