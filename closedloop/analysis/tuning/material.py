"""A recording to tune on: what is to be detected in it, and what it is run under. Nothing is chosen here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from closedloop import wire
from closedloop.analysis.activity import digest_of
from closedloop.analysis.detection import Detected
from closedloop.analysis.replay import open_recording
from closedloop.analysis.scoring import Score, Ticks, pooled, score, without_events
from closedloop.analysis.workers import Run
from closedloop.anchor import Photometry, photometry_of
from closedloop.errors import ConfigError
from closedloop.protocol import PLAIN, Protocol, Setting
from closedloop.readings import Stream

HALVES = ("first half", "second half")

Detect = Callable[[Sequence[Run]], list[Detected]]
Part = tuple[int, int]  # ticks: from, until


class Events(NamedTuple):
    """What is to be detected in a recording.

    Attributes:
        stream: the recording to detect them in.
        onsets: their ticks; None where nobody knows.
        bare: the recording without the events that were put into it; None if none were.
    """

    stream: Stream
    onsets: Ticks | None
    bare: Stream | None = None


@dataclass(frozen=True)
class Material:
    """A recording to tune on.

    Attributes:
        name: for people.
        stream: its readings.
        onsets: ticks of what is to be detected; None where nobody knows.
        limits: it is run under these.
        full_power_mw: at the tip; None without calibration.
        photometry: what it was measured with; None if it does not say.
        bare: the recording before events were put into it, to count false alarms on; None if none were.
        setting: what else its session brought.
    """

    name: str
    stream: Stream
    onsets: Ticks | None
    limits: wire.Limits
    full_power_mw: float | None
    photometry: Photometry | None = None
    bare: Stream | None = None
    setting: Setting = PLAIN

    def runs(self, protocol: Protocol) -> list[Run]:
        """The protocol over it and, where events were put in, over the recording as it was."""
        plan = protocol.plan(self.limits, self.full_power_mw, self.photometry, self.setting)
        return [Run(plan, stream) for stream in (self.stream, self.bare) if stream is not None]

    def score(self, found: Sequence[Detected], window_s: float, part: Part | None = None) -> Score:
        """How well that went; `found` is what its `runs` detect."""
        first, *bare = found
        scored = score(first.ticks, self.onsets, first.watched, window_s, part)
        for one in bare:
            scored = without_events(scored, score(one.ticks, None, one.watched, window_s, part))
        return scored

    def halves(self, warm_up_s: float) -> tuple[Part, Part]:
        """Halves of the time after warm-up.

        Raises:
            ConfigError: there is none.
        """
        end = round(self.stream.duration_s * 1e6)
        seam = (round(warm_up_s * 1e6) + end) // 2
        if warm_up_s >= self.stream.duration_s:
            raise ConfigError(
                f"{self.name}: {self.stream.duration_s:g} s, and warm_up takes {warm_up_s:g} s; use a longer "
                "recording, or --set warm_up=..."
            )
        return (0, seam), (seam, end + 1)


def material_of(path: Path, protocol: Protocol, events: Callable[[Stream], Events]) -> Material:
    """A recording as material, under the limits of its own session, if it is one.

    Args:
        path: a session folder, or a file of any format we know.
        protocol: what will be run over it, in many settings.
        events: gets the recording, returns what is to be detected.

    Raises:
        RecordingError: it cannot be read.
        ConfigError: the protocol needs a control channel and there is none, or its anchor is of another animal.
    """
    opened = open_recording(path)
    plan = opened.plan(protocol)
    header = opened.recording.header if opened.recording else None
    stream, onsets, bare = events(opened.stream)
    power = header["full_power_mw"] if header else None
    measured = photometry_of(header, str(path)) if header else None
    return Material(str(path), stream, onsets, plan.limits, power, measured, bare, opened.setting(protocol))


def each_once(materials: Sequence[Material]) -> None:
    """What is scored on must not be what was chosen by, and an hour given twice is no second hour.

    Raises:
        ConfigError: the same readings are in two of them.
    """
    seen: dict[str, str] = {}
    for material in materials:
        stream = material.bare or material.stream
        digest = digest_of(stream.readings)
        if digest in seen:
            raise ConfigError(f"{material.name}: the same recording as {seen[digest]}; give each one once")
        seen[digest] = material.name


def detected(
    protocols: Sequence[Protocol], materials: Sequence[Material], detect: Detect
) -> Iterator[list[list[Detected]]]:
    """For each protocol, for each recording, what its `runs` detect."""
    counts = [1 if material.bare is None else 2 for material in materials]
    found = iter(detect([run for one in protocols for material in materials for run in material.runs(one)]))
    for _ in protocols:
        yield [list(islice(found, count)) for count in counts]


def parts_of(materials: Sequence[Material], warm_up_s: float, *, halved: bool) -> dict[str, list[Part | None]]:
    """What is fitted on, by name: halves of each recording, or all of all.

    Raises:
        ConfigError: a recording is over before warm-up is.
    """
    halves = [material.halves(warm_up_s) for material in materials]
    if not halved:
        return {"fitted": [None] * len(materials)}
    return {name: [half[at] for half in halves] for at, name in enumerate(HALVES)}


def scores_of(
    found: Sequence[Sequence[Detected]], materials: Sequence[Material], parts: Sequence[Part | None], window_s: float
) -> Score:
    """One setting, in these parts of all recordings together."""
    each = zip(found, materials, parts, strict=True)
    return pooled([material.score(mine, window_s, part) for mine, material, part in each])
