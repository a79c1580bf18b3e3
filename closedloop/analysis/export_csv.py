"""`samples.csv` and `events.csv`: float text round-trips exactly, and nothing is filled in or smoothed."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from closedloop.analysis.outputs import writable
from closedloop.analysis.replay import Replayed
from closedloop.loop import VALID, Steps
from closedloop.readings import FLAG_LIGHT, FLAG_NO_CONTROL, Readings, scale_of
from closedloop.recording import Event, Recording

SAMPLE_COLUMNS = ("time_s", "device_ticks", "signal", "control", "feature", "score", "threshold", "lit", "valid")
EVENT_COLUMNS = ("time_s", "kind", "train", "reason", "value")
_BATCH = 10_000


def export_session(recording: Recording, out: Path, advance: Callable[[int], None] = lambda _: None) -> list[Path]:
    """Both files of a session; returns their paths.

    Raises:
        RecordingError: the recording cannot be read.
        ConfigError: the folder cannot be written.
    """
    rows, events = recording.rows(), recording.events()
    header = recording.header
    first = next((int(e.value or 0) for e in events if e.reason == "first_reading"), 0)
    with writable(out):
        samples = _write_samples(out, rows, rows, header["nano_units"], header["input_names"], first, advance)
        return [samples, _write_events(out, events)]


def export_replay(replayed: Replayed, out: Path, advance: Callable[[int], None] = lambda _: None) -> list[Path]:
    """Both files of a replay; returns their paths.

    Raises:
        ConfigError: the folder cannot be written.
    """
    stream = replayed.stream
    names = stream.input_names
    with writable(out):
        samples = _write_samples(out, stream.readings, replayed.steps, stream.nano_units, names, 0, advance)
        return [samples, _write_events(out, replayed.events())]


def _write_samples(
    out: Path,
    readings: Readings,
    steps: Steps,
    nano_units: int,
    input_names: Sequence[str],
    first_ticks: int,
    advance: Callable[[int], None],
) -> Path:
    path = out / "samples.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*SAMPLE_COLUMNS, *(f"input_{name}" for name in input_names)])
        for start in range(0, len(readings), _BATCH):
            part = slice(start, start + _BATCH)
            writer.writerows(_sample_rows(readings[part], steps[part], nano_units, len(input_names), first_ticks))
            advance(len(readings[part]))
    return path


def _sample_rows(
    readings: Any, steps: Any, nano_units: int, inputs: int, first_ticks: int
) -> Iterable[tuple[Any, ...]]:
    scale = scale_of(nano_units)
    signal = (readings["signal_lit"].astype(np.int64) - readings["signal_dark"]) * scale
    control = (readings["control_lit"].astype(np.int64) - readings["control_dark"]) * scale
    control[(readings["flags"] & FLAG_NO_CONTROL) != 0] = np.nan
    columns = [
        readings["ticks"] / 1e6,
        readings["ticks"] + first_ticks,
        signal,
        control,
        steps["feature"],
        steps["score"],
        steps["threshold"],
        (readings["flags"] & FLAG_LIGHT != 0).astype(int),
        (steps["bits"] & VALID != 0).astype(int),
        *(readings["inputs"] >> bit & 1 for bit in range(inputs)),
    ]
    return zip(*(column.tolist() for column in columns), strict=True)


def _write_events(out: Path, events: Iterable[Event]) -> Path:
    path = out / "events.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(EVENT_COLUMNS)
        for e in sorted(events, key=lambda e: e.ticks):
            writer.writerow([e.ticks / 1e6, e.kind, e.train, e.reason if e.text is None else _with_text(e), e.value])
    return path


def _with_text(event: Event) -> str:
    return f"{event.reason}: {event.text}" if event.reason else str(event.text)
