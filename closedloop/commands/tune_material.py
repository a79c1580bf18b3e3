"""What `closedloop tune` is given: recordings with labels or injected events, or a virtual animal, as material."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from closedloop.commands import quantity_of
from closedloop.errors import ConfigError

if TYPE_CHECKING:
    from closedloop.analysis.scoring import Ticks
    from closedloop.analysis.tuning.material import Events, Material
    from closedloop.protocol import Protocol
    from closedloop.readings import Stream

_ANIMAL_HZ = 130.0


def quantity(option: str, text: str, kind: str) -> float:
    """A number above 0 with its unit, in the first unit of its kind."""
    try:
        value = quantity_of(text, kind)
    except ValueError as error:
        raise ConfigError(f"{option}: {error} (got {text})") from error
    if not value > 0:
        raise ConfigError(f"{option}: must be more than nothing (got {text})")
    return value


def window_s(options: argparse.Namespace) -> float:
    """The longest delay of a hit."""
    return quantity("--window", options.window, "Seconds")


def materials(options: argparse.Namespace, protocol: Protocol) -> tuple[list[Material], list[Material], str]:
    """Recordings to choose by, those held out, and in words what is to be detected."""
    if options.animal:
        return [_animal(options, protocol)], [], f"those of a virtual animal ({options.animal}, seed {options.seed})"
    if options.inject:
        return _injected(options, protocol)
    labels = options.labels or [None] * len(options.recordings)
    score_labels = options.score_labels or [None] * len(options.score)
    fit = [_labelled(path, file, protocol) for path, file in zip(options.recordings, labels, strict=True)]
    held = [_labelled(path, file, protocol) for path, file in zip(options.score, score_labels, strict=True)]
    files = ", ".join(str(file) for file in [*labels, *score_labels] if file)
    return fit, held, f"labels of {files}" if files else "none known; every detection counts as a false alarm"


def _labelled(path: Path, labels: Path | None, protocol: Protocol) -> Material:
    from closedloop.analysis.tuning.material import Events, material_of

    def events(stream: Stream) -> Events:
        return Events(stream, None if labels is None else _onsets(labels, stream))

    return material_of(path, protocol, events)


def _onsets(file: Path, stream: Stream) -> Ticks:
    """Labels of a recording.

    Raises:
        RecordingError: the file cannot be read, or is not about this recording.
    """
    import numpy as np

    from closedloop.errors import RecordingError
    from closedloop.formats import table

    try:
        read = table.read(file, ("time_s",))
    except OSError as error:
        raise RecordingError(f"{file}: cannot be opened: {error.strerror}; check the path") from error
    times = read.column("time_s")
    _, first, count = np.unique(times, return_index=True, return_counts=True)
    beyond = np.flatnonzero(~((times >= 0) & (times < stream.duration_s)))
    if len(beyond):
        said = f"time_s: {times[beyond[0]]:g} lies outside the recording ({stream.source}, {stream.duration_s:g} s)"
        raise RecordingError(f"{file}:{read.lines[beyond[0]]}: {said}; give seconds from its first reading")
    if len(twice := first[count > 1]):
        said = f"time_s: {times[twice[0]]:g} is there more than once"
        raise RecordingError(f"{file}:{read.lines[twice[0]]}: {said}; give each onset once")
    return np.rint(np.sort(times) * 1e6).astype(np.int64)


def _injected(options: argparse.Namespace, protocol: Protocol) -> tuple[list[Material], list[Material], str]:
    from closedloop.analysis.injection import Transient, inject, random_onsets
    from closedloop.analysis.tuning.material import Events, material_of

    size = quantity("--inject", options.inject, "Fraction")
    rise_s = quantity("--inject-rise", options.inject_rise, "Seconds")
    decay_s = quantity("--inject-decay", options.inject_decay, "Seconds")
    every_s = quantity("--inject-every", options.inject_every, "Seconds")
    if not rise_s < decay_s:
        raise ConfigError(f"--inject-rise: must be shorter than the decay (got {rise_s:g} s and {decay_s:g} s)")
    transient, apart_s = Transient(size, rise_s, decay_s), max(window_s(options), 2 * decay_s)
    if not apart_s < every_s:
        said = f"--inject-every: must be longer than window and than twice the decay (got {every_s:g} s); lengthen it"
        raise ConfigError(said)

    def made(at: int) -> Callable[[Stream], Events]:
        def with_events(stream: Stream) -> Events:
            onsets = random_onsets(stream, options.seed + at, every_s, apart_s)
            return Events(inject(stream, transient, onsets), onsets, stream)

        return with_events

    paths = [*options.recordings, *options.score]
    found = [material_of(path, protocol, made(at)) for at, path in enumerate(paths)]
    truth = (
        f"injected, {100 * size:g} % dF/F, rise {rise_s:g} s, decay {decay_s:g} s, seed {options.seed}; "
        "false alarms are counted without them"
    )
    return found[: len(options.recordings)], found[len(options.recordings) :], truth


def _animal(options: argparse.Namespace, protocol: Protocol) -> Material:
    from difflib import get_close_matches

    from closedloop.analysis.injection import virtual
    from closedloop.analysis.tuning.material import Material
    from closedloop.limits import effective
    from closedloop.simulation.animal import Animal
    from closedloop.simulation.animal_presets import PRESETS

    if options.animal not in PRESETS:
        near = get_close_matches(options.animal, PRESETS, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(PRESETS)}"
        raise ConfigError(f"--animal: there is no '{options.animal}'; {hint}")
    animal = Animal.model_validate({"preset": options.animal})
    stream, onsets = virtual(animal, options.hours, _ANIMAL_HZ, options.seed)
    return Material(stream.source, stream, onsets, effective(protocol.limits, lease_s=0.5), None)
