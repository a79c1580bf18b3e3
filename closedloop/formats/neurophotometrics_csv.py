"""Neurophotometrics camera files. A frame is told by its LED bits, never by its place among the others.

One row a camera frame, LEDs taking turns; `LedState` or `Flags` says which was on in its low bits (1: 415 nm,
2: 470, 4: 560) and, where the camera recorded them, the digital lines in the higher ones (by the names of the
Bonsai package; the firmware's own header swaps 0 and 1 of in and out). A reading is a 470 nm frame of the
first green region with the 415 nm frame before it, so that it holds nothing from the future. Rows with no
LED, or with 415 and 470 at once, are start-up frames or fill-ins for lost ones, and are left out.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from closedloop.errors import RecordingError
from closedloop.formats import table, timed
from closedloop.formats.timed import Rows
from closedloop.readings import FLAG_DROPPED_CONVERSIONS, Stream

WHAT = "Neurophotometrics .csv"

LED_415, LED_470, LEDS = 1, 2, 7
LINES = ("out_1", "out_0", "stimulation", "camera_2", "camera_3", "in_1", "in_0")  # flag bits 3 to 9
STATES = ("LedState", "Flags")
CLOCKS = ("Timestamp", "SystemTimestamp", "ComputerTimestamp")  # the first that there is
COUNTER = "FrameCounter"
REGION = re.compile(r"Region\d+[GR]|[GR]\d+")
LONGEST_FRAME = 1.0  # seconds; frames take 5-65 ms, so a clock whose steps exceed this counts milliseconds


def recognises(_path: Path, head: bytes) -> bool:
    """Whether there are columns of LED states and of regions."""
    header = table.header_of(head)
    return any(name in header for name in STATES) and any(REGION.fullmatch(name) for name in header)


def read(path: Path) -> Stream:
    """The readings of the first green region, or of the first region where none is green.

    Raises:
        RecordingError: no clock, no 470 nm frames, a damaged cell, or time not increasing.
    """
    header = table.header(path)
    clock, region = _clock(path, header), _region(header)
    state = next(name for name in STATES if name in header)
    found = table.read(path, [clock, state, region, *(name for name in header if name == COUNTER)])
    flags = _whole(found, state)
    leds = flags & LEDS
    frames = np.flatnonzero((leds != 0) & (leds & (LED_415 | LED_470) != LED_415 | LED_470))
    rows, control = _paired(path, frames, leds, found.column(region))
    measured = timed.Measured(
        rows=rows,
        time_s=_seconds(found.column(clock))[rows],
        signal=found.column(region)[rows],
        control=control,
        seq=_numbers(found, rows),
        flags=_breaks(frames, leds, rows),
        inputs=(flags[rows] >> 3 & 0x7F).astype(np.uint16),
    )
    return timed.stream(found, measured, LINES if (flags > LEDS).any() else ())


def _clock(path: Path, header: tuple[str, ...]) -> str:
    for name in CLOCKS:
        if name in header:
            return name
    raise RecordingError(f"{path}:1: no clock; expected a column {' or '.join(CLOCKS)}")


def _region(header: tuple[str, ...]) -> str:
    regions = [name for name in header if REGION.fullmatch(name)]
    return next((name for name in regions if "G" in name), regions[0])


def _seconds(clock: table.Column) -> table.Column:
    """The camera's clock counts seconds, the computer's milliseconds."""
    steps = np.diff(clock[~np.isnan(clock)])
    return clock / 1000 if len(steps) and np.median(steps) > LONGEST_FRAME else clock


def _whole(found: table.Table, name: str) -> Rows:
    values = found.column(name)
    good = (values == np.rint(values)) & (values >= 0) & (values < 2**16)
    if not good.all():
        row = int(np.argmin(good))
        raise found.fault(row, f"{name} must be a whole number of flag bits (got {values[row]:g})")
    return values.astype(np.int64)


def _paired(path: Path, frames: Rows, leds: Rows, values: table.Column) -> tuple[Rows, table.Column]:
    """Rows at 470 nm, and the last value at 415 nm before each; nan where the file has no 415 nm at all."""
    signal = frames[leds[frames] & LED_470 > 0]
    control = frames[leds[frames] & LED_415 > 0]
    if len(signal) == 0:
        raise RecordingError(f"{path}: no frame was lit at 470 nm; is its LED state the camera's own?")
    if len(control) == 0:
        return signal, np.full(len(signal), np.nan)
    before = np.searchsorted(control, signal) - 1
    return signal[before >= 0], values[control[before[before >= 0]]]


def _numbers(found: table.Table, rows: Rows) -> Rows:
    """Number of each reading: by the frame counter where there is one, so that lost frames are missed."""
    in_order = np.arange(len(rows))
    if COUNTER not in found.names or len(rows) < 2:
        return in_order
    counter = found.column(COUNTER)[rows]
    cycle = np.median(np.diff(counter))
    if not cycle > 0:
        return in_order
    numbers: Rows = np.rint((counter - counter[0]) / cycle).astype(np.int64)
    return numbers if (np.diff(numbers) > 0).all() else in_order


def _breaks(frames: Rows, leds: Rows, rows: Rows) -> timed.Words:
    """A flag on each reading since whose predecessor the LEDs did not come in their usual order.

    The usual successor of two frames is the one most often seen in this file.
    """
    flags = np.zeros(len(rows), np.uint16)
    order = leds[frames]
    if len(order) < 3:
        return flags
    pairs = order[:-2] * (LEDS + 1) + order[1:-1]
    seen = np.zeros(((LEDS + 1) ** 2, LEDS + 1), np.int64)
    np.add.at(seen, (pairs, order[2:]), 1)
    broken = frames[2:][seen.argmax(axis=1)[pairs] != order[2:]]
    affected = np.searchsorted(rows, broken)
    flags[affected[affected < len(rows)]] = FLAG_DROPPED_CONVERSIONS
    return flags
