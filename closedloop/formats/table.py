"""Text of comma-separated numbers to columns. A cell that is no number is an error with its line.

The common case, every cell a number, is read by numpy in one go. Only a file that is not so plain (an empty
cell, a blank line, a quoted number, damage) is gone through cell by cell, which then knows the line of what
is wrong.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from closedloop.errors import RecordingError

Column = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """Columns of numbers and where in the file each row stood.

    Attributes:
        path: the file.
        names: the columns that were read.
        values: of shape (rows, names); nan where a cell is empty or says nan.
        lines: line of the file of each row; the header is line 1.
    """

    path: Path
    names: tuple[str, ...]
    values: npt.NDArray[np.float64]
    lines: npt.NDArray[np.int64]

    def column(self, name: str) -> Column:
        """One column by its name."""
        return self.values[:, self.names.index(name)]

    def fault(self, row: int, what: str) -> RecordingError:
        """An error about this row, ready to raise."""
        return RecordingError(f"{self.path}:{self.lines[row]}: {what}")


def header_of(head: bytes) -> tuple[str, ...]:
    """Column names in the first line of these bytes; empty where they are not text."""
    try:
        line = head.split(b"\n", 1)[0].decode("utf-8-sig")
        return tuple(name.strip() for name in next(csv.reader([line]), []))
    except (UnicodeDecodeError, csv.Error):
        return ()


def header(path: Path) -> tuple[str, ...]:
    """Column names of a file."""
    with path.open("rb") as file:
        return header_of(file.readline())


def read(path: Path, names: Sequence[str]) -> Table:
    """These columns of a file.

    Raises:
        RecordingError: not text, a column missing or there twice, no rows, or a row with a damaged cell.
    """
    text = _text(path)
    columns = header(path)
    where = [_place(path, columns, name) for name in names]
    values = _all_at_once(text, len(columns), where)
    if values is None:
        found = _cell_by_cell(path, text, len(columns), names, where)
    else:
        found = Table(path, tuple(names), values, np.arange(2, 2 + len(values)))
    if len(found.values) == 0:
        raise RecordingError(f"{path}: no rows after the header; nothing was recorded")
    infinite = np.isinf(found.values).any(axis=1)
    if infinite.any():
        raise found.fault(int(np.argmax(infinite)), "a number is infinite; leave it empty if unknown")
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordingError(f"{path}: byte {error.start} is not UTF-8; save it as 'CSV UTF-8'") from error


def _place(path: Path, columns: tuple[str, ...], name: str) -> int:
    if columns.count(name) != 1:
        number = "more than one" if name in columns else "no"
        raise RecordingError(f"{path}:1: {number} column '{name}'; the columns are {', '.join(columns)}")
    return columns.index(name)


def _all_at_once(text: str, width: int, where: Sequence[int]) -> npt.NDArray[np.float64] | None:
    """The values, or None unless every line has `width` cells and those wanted are plain numbers."""
    rows = text.count("\n") - text.endswith("\n")
    if rows == 0 or text.count(",") != (rows + 1) * (width - 1):
        return None
    lines = io.StringIO(text)
    try:
        values = np.loadtxt(lines, delimiter=",", skiprows=1, usecols=where, comments=None, ndmin=2)
    except ValueError:
        return None
    return values if len(values) == rows else None


def _cell_by_cell(path: Path, text: str, width: int, names: Sequence[str], where: Sequence[int]) -> Table:
    lines, rows = [], []
    for line, cells in _rows(path, text):
        if len(cells) != width:
            raise RecordingError(f"{path}:{line}: {len(cells)} cells, {width} columns; mend or cut the row")
        lines.append(line)
        rows.append([_number(path, line, name, cells[at]) for name, at in zip(names, where, strict=True)])
    values = np.array(rows, np.float64).reshape(-1, len(names))
    return Table(path, tuple(names), values, np.array(lines, np.int64))


def _rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """Line and cells of each row that is not blank, without the header."""
    reader = csv.reader(io.StringIO(text))
    try:
        for cells in reader:
            if cells and reader.line_num > 1:
                yield reader.line_num, cells
    except csv.Error as error:
        raise RecordingError(f"{path}:{reader.line_num}: {error}; the file is damaged") from error


def _number(path: Path, line: int, name: str, cell: str) -> float:
    text = cell.strip()
    if not text:
        return float("nan")
    try:
        return float(text)
    except ValueError:
        what = f"{name} is no number (got {cell[:40]!r}); correct the cell or empty it"
        raise RecordingError(f"{path}:{line}: {what}") from None
