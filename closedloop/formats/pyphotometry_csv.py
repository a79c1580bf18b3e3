"""pyPhotometry's CSV files. Without its .json such a file has no rate, scale or mode: it is refused.

Codes as in the .ppd, but in pulsed modes already with the dark ones taken off. Columns are Analog1, Analog2,
[Analog3,] Digital1[, Digital2].
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from closedloop.errors import RecordingError
from closedloop.formats import ppd, table
from closedloop.readings import Stream

WHAT = "pyPhotometry .csv with its .json"


def recognises(_path: Path, head: bytes) -> bool:
    """Whether the first column is called Analog1."""
    return table.header_of(head)[:1] == ("Analog1",)


def read(path: Path) -> Stream:
    """The readings of one CSV; its header is the .json of the same name.

    Raises:
        RecordingError: no .json, columns that do not suit its mode, or a cell that is no whole number.
    """
    beside = path.with_suffix(".json")
    header = replace(ppd.parse_header(str(beside), _json(path, beside)), source=str(path))
    analog = tuple(f"Analog{1 + channel}" for channel in range(header.mode.channels))
    digital = tuple(f"Digital{1 + bit}" for bit in range(len(header.inputs)))
    if set(table.header(path)) != {*analog, *digital}:
        columns = ", ".join((*analog, *digital))
        raise RecordingError(f"{path}:1: columns should be {columns} in the mode that {beside.name} gives")
    found = table.read(path, (*analog, *digital))
    lit = [_whole(found, name, -2 * ppd.ADC_MAX, 2 * ppd.ADC_MAX) for name in analog]
    bits = [_whole(found, name, 0, 1) for name in digital]
    codes = np.column_stack(lit)
    return ppd.stream_of_codes(header, codes, np.zeros_like(codes), np.column_stack(bits))


def _json(path: Path, beside: Path) -> bytes:
    try:
        return beside.read_bytes()
    except OSError as error:
        raise RecordingError(
            f"{path}: the header {beside.name} beside it cannot be opened: {error.strerror}; "
            "pyPhotometry writes both, keep them together"
        ) from error


def _whole(found: table.Table, name: str, least: int, most: int) -> ppd.Codes:
    """A column of whole numbers with nothing missing."""
    values = found.column(name)
    good = (values == np.rint(values)) & (values >= least) & (values <= most)
    if not good.all():
        row = int(np.argmin(good))
        raise found.fault(row, f"{name} must be whole, from {least} to {most} (got {values[row]:g})")
    return values.astype(np.int32)
