"""`samples.csv` and `events.csv`: float text round-trips exactly, and nothing is filled in or smoothed.

Of a session `dose.csv`, one line a planned train, and `totals.json`, its summary, stand beside them. Of a blinded
session all that is delivered is left out, and `lit` is by plan: from the first light to the last of a planned train.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from closedloop.analysis.counting import delivered_trains, lit_s
from closedloop.analysis.occupancy import planned_light
from closedloop.analysis.outputs import writable
from closedloop.analysis.replay import Replayed
from closedloop.analysis.summary import summarise
from closedloop.readings import FLAG_LIGHT, FLAG_NO_CONTROL, Readings, scale_of
from closedloop.recording import Event, Recording, Rows
from closedloop.recording.folder import plain
from closedloop.steps import VALID, Steps
from closedloop.watching.planned import planned_in, train_s
from closedloop.watching.pulses import Pulses

SAMPLE_COLUMNS = ("time_s", "device_ticks", "signal", "control", "feature", "score", "threshold", "lit", "valid")
EVENT_COLUMNS = ("time_s", "kind", "train", "reason", "value")
DOSE_COLUMNS = ("time_s", "train", "planned_s", "delivered_s", "on_s", "energy_mj", "kelvin")
FILES = ("samples.csv", "events.csv", "dose.csv", "totals.json")
_BATCH = 10_000


def export_session(recording: Recording, out: Path, advance: Callable[[int], None] = lambda _: None) -> list[Path]:
    """All files of a session; returns their paths.

    Raises:
        RecordingError: the recording cannot be read.
        ConfigError: the folder cannot be written.
    """
    rows, events = recording.rows(), recording.events()
    header = recording.header
    first = next((int(e.value or 0) for e in events if e.reason == "first_reading"), 0)
    with writable(out, FILES):
        samples = out / "samples.csv"
        lit = _planned_lit(rows, events, header) if recording.blinded else rows["flags"] & FLAG_LIGHT != 0
        _write_samples(
            samples, (rows, rows, lit.astype(int)), header["nano_units"], header["input_names"], first, advance
        )
        told = {name: said for name, said in summarise(recording).items() if name != "session"}
        (out / "totals.json").write_text(json.dumps(plain(told), indent=1) + "\n", encoding="utf-8")
        return [samples, _write_events(out, events), _write_dose(out, rows, events, header), out / "totals.json"]


def export_replay(replayed: Replayed, out: Path, advance: Callable[[int], None] = lambda _: None) -> list[Path]:
    """Both files of a replay; returns their paths.

    Raises:
        ConfigError: the folder cannot be written.
    """
    stream = replayed.stream
    names = stream.input_names
    with writable(out, FILES):
        samples, unknown = (
            out / "samples.csv",
            np.full(len(stream.readings), ""),
        )  # light must not be shown, nor guessed
        lit = unknown if replayed.blinded else (stream.readings["flags"] & FLAG_LIGHT != 0).astype(int)
        _write_samples(samples, (stream.readings, replayed.steps, lit), stream.nano_units, names, 0, advance)
        return [samples, _write_events(out, replayed.events())]


def _planned_lit(rows: Rows, events: Sequence[Event], header: dict[str, Any]) -> Any:
    """Whether each reading lies within a planned train that nothing refused."""
    times_s, lit = rows["ticks"] / 1e6, np.zeros(len(rows), bool)
    for train in planned_light(rows, events, Pulses.of(header["command"])):
        lit[np.searchsorted(times_s, train.on_s) : np.searchsorted(times_s, train.over_s)] = True
    return lit


def _write_dose(out: Path, rows: Rows, events: Sequence[Event], header: dict[str, Any]) -> Path:
    """One line a planned train: its light by plan and as delivered, what came together so far, and how warm it got."""
    path, power_mw = out / "dose.csv", header["tip_mw"]
    refused = {event.train for event in events if event.kind == "refused"}
    delivered = {
        on.train: lit_s(told, header["command"]) for on, off in delivered_trains(events) for told in [_told(on, off)]
    }
    together_s, planned_s = 0.0, train_s(header)
    kelvins = dict(zip(rows["train"].tolist(), rows["kelvin"].tolist(), strict=True)) if _has(rows, "kelvin") else {}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(DOSE_COLUMNS)
        for one in planned_in(rows):
            if one.train in refused:
                continue
            given_s = None if header.get("blinded") else delivered.get(one.train, 0.0)
            together_s += planned_s if given_s is None else given_s
            energy_mj = None if power_mw is None else together_s * power_mw
            kelvin = kelvins.get(one.train, math.nan)
            writer.writerow([one.on_s, one.train, planned_s, given_s, together_s, energy_mj, kelvin])
    return path


def _told(on: Event, off: Event | None) -> list[Event]:
    return [on] if off is None else [on, off]


def _has(rows: Rows, name: str) -> bool:
    return name in (rows.dtype.names or ())


def _write_samples(
    path: Path,
    together: tuple[Readings, Steps, Any],
    nano_units: int,
    input_names: Sequence[str],
    first_ticks: int,
    advance: Callable[[int], None],
) -> None:
    """Readings, steps and whether each was lit, as columns."""
    readings, steps, lit = together
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*SAMPLE_COLUMNS, *(f"input_{name}" for name in input_names)])
        for start in range(0, len(readings), _BATCH):
            part = slice(start, start + _BATCH)
            some = readings[part], steps[part], lit[part]
            writer.writerows(_sample_rows(*some, nano_units, len(input_names), first_ticks))
            advance(len(readings[part]))


def _sample_rows(
    readings: Any, steps: Any, lit: Any, nano_units: int, inputs: int, first_ticks: int
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
        lit,
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
