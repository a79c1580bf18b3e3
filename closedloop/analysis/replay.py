"""The live loop over a finished recording, as fast as it goes. It reaches no device and waits for nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from closedloop import formats, wire
from closedloop.analysis.summary import count_steps, missing
from closedloop.changes import Change, changes_in, rerun
from closedloop.errors import ConfigError
from closedloop.limits import effective
from closedloop.loop import TEST, Loop, Steps, told
from closedloop.model import digest
from closedloop.protocol import Protocol, needs_control
from closedloop.readings import Stream
from closedloop.recording import Event, Recording
from closedloop.train import Refusal

_BATCH = 100_000


@dataclass(frozen=True)
class Replayed:
    """A recording with what the loop made of it; `steps` has one STEP for each of the stream's readings."""

    stream: Stream
    protocol: Protocol
    seed: int
    steps: Steps
    decisions: tuple[str, ...]

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
        readings = self.stream.readings
        counted = count_steps(self.steps, self.decisions)
        return {
            "session": None,
            "protocol": self.protocol.name,
            "condition": self.protocol.condition,
            "seed": self.seed,
            "duration_s": self.stream.duration_s,
            "rate_hz": self.stream.rate_hz,
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


def read_recording(path: Path) -> Stream:
    """A session folder, or a file of any format we know, as one stream.

    Raises:
        RecordingError: it cannot be read; the message says why.
    """
    return _opened(path)[0]


def replay(
    path: Path, protocol: Protocol, seed: int | None = None, advance: Callable[[int, int], None] = lambda *_: None
) -> Replayed:
    """All readings of a recording through a fresh loop, in batches.

    A session is replayed under the limits and the calibration it was run with, a file under the board's ceiling and the
    protocol's own limits. With the very protocol it ran with, what a person changed meanwhile is done again, too.

    Args:
        path: a session folder, or a file of any format we know.
        protocol: what to run over it.
        seed: None for the session's own, or 0.
        advance: called with readings done and readings in all, for a progress bar.

    Raises:
        RecordingError: it cannot be read.
        ConfigError: the protocol needs a control channel and there is none.
    """
    stream, recording = _opened(path)
    header = recording.header if recording else None
    if problems := needs_control(protocol, stream):
        raise ConfigError(*problems)
    limits = wire.Limits(**header["limits"]) if header else effective(protocol.limits, lease_s=0.5)
    plan = protocol.plan(limits, header["full_power_mw"] if header else None)
    loop = Loop(plan, rate_hz=stream.rate_hz, nano_units=stream.nano_units)
    readings = stream.readings
    steps = np.zeros(len(readings), loop.step_type)
    done = 0
    for batch in rerun(loop, readings, _changes(recording, protocol), _BATCH):
        steps[done : done + len(batch)] = batch
        done += len(batch)
        advance(len(batch), len(readings))
    own_seed = header["seed"] if header else 0
    decisions = (*protocol.policy.decisions, TEST)
    return Replayed(stream, protocol, own_seed if seed is None else seed, steps, decisions)


def _changes(recording: Recording | None, protocol: Protocol) -> list[Change]:
    """What a person changed while the session ran; another protocol than it ran with is replayed as it stands."""
    if recording is None or recording.header["hashes"]["protocol"] != digest(protocol):
        return []
    return changes_in(recording.events())


def _opened(path: Path) -> tuple[Stream, Recording | None]:
    if not path.is_dir():
        return formats.read(path), None
    recording = Recording.open(path)
    return recording.stream, recording
