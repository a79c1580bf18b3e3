"""What a loop detects in a recording, and when it watched: the live loop, in batches, with nothing else kept.

Memory does not grow with the recording. The detections are those of `replay` with the same protocol, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from closedloop.analysis.scoring import Floats, Spans, Ticks
from closedloop.loop import Loop, Plan
from closedloop.model import kernel
from closedloop.readings import FLAG_LIGHT, READING, Stream
from closedloop.steps import DETECTED, RESTARTED, STEP, VALID, WARM

BATCH = 20_000  # readings; their steps stay in the processor's cache


@dataclass(frozen=True)
class Detected:
    """Detections of one run over one recording.

    Attributes:
        ticks: of each detection, warm-up and vetoed ones too.
        scores: of each.
        watched: when a detection could have led to a train: after warm-up, no veto, no light from elsewhere. The
            loop's own trains are in it, for an event that begins in one is missed.
        trains: trains that would have been given.
        readings: run through.
    """

    ticks: Ticks
    scores: Floats
    watched: Spans
    trains: int
    readings: int


@kernel
def _look(
    memory: Any, period: int, ticks: Any, flags: Any, bits: Any, veto: Any, given: Any, found: Any, edges: Any
) -> int:
    """Indices of detections into `found`, the watched spans that end here into `edges`; returns how many spans."""
    spans, detections, trains = 0, 0, memory.trains
    known, watching, since = memory.known != 0, memory.watching != 0, memory.since  # kept out of memory: twice as fast
    for i in range(len(ticks)):
        said = bits[i]
        if said & (RESTARTED | VALID | DETECTED):
            known = said & VALID != 0 or (known and said & RESTARTED == 0)
            if said & DETECTED:
                found[detections] = i
                detections += 1
        if given[0][i] != 0 and given[1][i] == 0:
            trains += 1
        watched = known and said & WARM != 0 and veto[i] == 0 and flags[i] & FLAG_LIGHT == 0
        if watched == watching:
            continue
        if watched:
            since = ticks[i]
        else:
            last = ticks[i - 1] if i > 0 else memory.last
            edges[spans, 0], edges[spans, 1] = since, last + period  # not this reading's time: a gap may lie between
            spans += 1
        watching = watched
    memory.known, memory.watching, memory.since, memory.trains = known, watching, since, trains
    memory.detections = detections
    if len(ticks) > 0:
        memory.last = ticks[len(ticks) - 1]
    return spans


_LOOK = np.dtype([(name, "i8") for name in ("known", "watching", "since", "last", "detections", "trains")], align=True)


def detect(plan: Plan, stream: Stream, advance: Callable[[int], None] = lambda _: None) -> Detected:
    """All of a recording through a fresh loop.

    Args:
        plan: the loop's parts; `Protocol.plan` makes one.
        stream: the recording.
        advance: called with the readings of each batch once it is done.
    """
    loop = Loop(plan, rate_hz=stream.rate_hz, nano_units=stream.nano_units)
    period = round(1e6 / stream.rate_hz)
    memory = np.zeros(1, _LOOK)
    steps = np.zeros(min(BATCH, len(stream.readings)), loop.step_type)
    found, edges = np.zeros(len(steps), np.int64), np.zeros((len(steps), 2), np.int64)
    ticks: list[Ticks] = []
    scores: list[Floats] = []
    spans: list[Spans] = []
    for batch in batches(stream):
        made = loop.run(batch, steps[: len(batch)])
        ended = _look(memory[0], period, *_columns(batch, made), found, edges)
        at = found[: int(memory["detections"][0])]
        ticks.append(batch["ticks"][at])
        scores.append(made["score"][at])
        spans.append(edges[:ended].copy())
        advance(len(batch))
    if memory["watching"][0]:
        spans.append(np.array([[memory["since"][0], memory["last"][0] + period]], np.int64))
    return Detected(
        np.concatenate([np.zeros(0, np.int64), *ticks]),
        np.concatenate([np.zeros(0), *scores]),
        np.concatenate([np.zeros((0, 2), np.int64), *spans]),
        int(memory["trains"][0]),
        len(stream.readings),
    )


def batches(stream: Stream) -> Iterator[Any]:
    """The readings, a batch at a time."""
    for at in range(0, len(stream.readings), BATCH):
        yield stream.readings[at : at + BATCH]


def _columns(readings: Any, steps: Any) -> tuple[Any, Any, Any, Any, Any]:
    """What `_look` reads; the same types whatever else is in a step."""
    given = steps["decision"], steps["refused"]
    return readings["ticks"], readings["flags"], steps["bits"], steps["veto"], given


def compile_look() -> None:
    """Make the machine code of `detect` itself now; that of its loop is `Loop.compile`'s."""
    some = np.zeros(2, READING), np.zeros(2, STEP)  # a column of fewer is contiguous: other machine code
    _look(np.zeros(1, _LOOK)[0], 1, *_columns(*some), np.zeros(2, np.int64), np.zeros((2, 2), np.int64))
