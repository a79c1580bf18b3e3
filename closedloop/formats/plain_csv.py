"""Plain CSV files: `time_s,signal,control`. Any other column is refused: it may be one of these, misspelt.

`control` may be absent; columns whose name starts with `input_` are digital inputs, 0 or 1. An empty signal
is a reading that was lost; an empty control is unknown for that reading.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from closedloop.errors import RecordingError
from closedloop.formats import table, timed
from closedloop.readings import Stream

WHAT = "plain .csv with the header time_s,signal,control"

COLUMNS = ("time_s", "signal", "control")
INPUT = "input_"
MOST_INPUTS = 16  # bits of a reading


def recognises(_path: Path, head: bytes) -> bool:
    """Whether there is a column called time_s."""
    return "time_s" in table.header_of(head)


def read(path: Path) -> Stream:
    """The readings of one plain CSV.

    Raises:
        RecordingError: a column misnamed or missing, a cell that is no number, or time not increasing.
    """
    names = _columns(path)
    found = table.read(path, names)
    rows = np.arange(len(found.values))
    inputs = tuple(name for name in names if name.startswith(INPUT))
    measured = timed.Measured(
        rows=rows,
        time_s=found.column("time_s"),
        signal=found.column("signal"),
        control=found.column("control") if "control" in names else np.full(len(rows), np.nan),
        seq=rows,
        flags=np.zeros(len(rows), np.uint16),
        inputs=_bits(found, inputs),
    )
    return timed.stream(found, measured, tuple(name.removeprefix(INPUT) for name in inputs))


def _columns(path: Path) -> tuple[str, ...]:
    """Names in the header, all of them known."""
    header = table.header(path)
    unknown = [name for name in header if name not in COLUMNS and not name.startswith(INPUT)]
    if unknown or "signal" not in header:
        wrong = f"unknown column {unknown[0]!r}" if unknown else "no column 'signal'"
        raise RecordingError(f"{path}:1: {wrong}; columns are time_s, signal, control and {INPUT}NAME")
    if sum(name.startswith(INPUT) for name in header) > MOST_INPUTS:
        raise RecordingError(f"{path}:1: more than {MOST_INPUTS} inputs; leave out those that are not needed")
    return header


def _bits(found: table.Table, inputs: tuple[str, ...]) -> timed.Words:
    word = np.zeros(len(found.values), np.uint16)
    for bit, name in enumerate(inputs):
        column = found.column(name)
        good = (column == 0) | (column == 1)
        if not good.all():
            row = int(np.argmin(good))
            raise found.fault(row, f"{name} must be 0 or 1 (got {column[row]:g})")
        word |= column.astype(np.uint16) << np.uint16(bit)
    return word
