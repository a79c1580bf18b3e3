"""The curves of a session, ready to be drawn at any zoom: decimated, and no extreme of them is ever lost.

Memory does not grow with the session: the newest readings are kept as they are; of all of them there is the least and
the greatest in cells of time, which become twice as long whenever there would be too many; and what lies between is
read from the recording again, a page at a time. Nothing is drawn here, and nothing is filled in: where no readings
are, a curve is nan.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from closedloop.readings import FLAG_NO_CONTROL, scale_of
from closedloop.recording import Rows

NAMES = ("signal", "control", "feature", "score", "threshold")
MOST_SHOWN = 12  # of what the session's parts show of themselves: memory stays bounded, 4 MB a curve

_NEWEST = 1 << 17  # readings kept as they are, at least
_MOST_CELLS = 1 << 18
_CELL_READINGS = 8  # of the first cells' length, about
_PAGE = 1 << 14  # rows read from the disk at once
_MOST_PAGES = 20  # kept in memory
_MOST_ROWS = 8 * _PAGE  # of a past range for which the disk is read
_LEAST_POINTS = 16
_MOST_PICTURES = 6  # remembered: some plots side by side
_GAP_PERIODS = 1.5  # beyond this, a reading is missing
_EXTENT_POINTS = 512
_FAR = 20.0  # widths of the middle 96 % beyond which an axis does not follow: an unplugged fibre, not a transient
_FURTHEST_US = 1 << 60

Floats = npt.NDArray[np.float64]
Fetch = Callable[[int, int], Rows]
_Ticks = npt.NDArray[np.int64]
_Singles = npt.NDArray[np.float32]


class _Cells(NamedTuple):
    """Readings side by side, each cell one or many of them.

    Attributes:
        first: ticks of each cell's first reading.
        last: ticks of each cell's last reading.
        low: the least value in each cell, nan where none is known; channels x cells.
        high: the greatest, likewise.
        single: whether each cell is one reading, and `low` and `high` are the same.
    """

    first: _Ticks
    last: _Ticks
    low: _Singles
    high: _Singles
    single: bool = False

    @classmethod
    def of(cls, ticks: _Ticks, values: _Singles) -> _Cells:
        """Each reading its own cell."""
        return cls(ticks, ticks, values, values, single=True)

    def between(self, start: int, stop: int) -> _Cells:
        """Those of these indices; nothing is copied."""
        at = slice(start, stop)
        return _Cells(self.first[at], self.last[at], self.low[:, at], self.high[:, at], self.single)

    def around(self, since: int, until: int) -> _Cells:
        """Those of a range of ticks, and one more on either side: a line comes from somewhere."""
        start = int(np.searchsorted(self.first, since)) - 1
        stop = int(np.searchsorted(self.first, until, side="right")) + 1
        return self.between(max(0, start), min(len(self.first), stop))


def values_of(rows: Rows, nano_units: int, shown: Sequence[str] = ()) -> dict[str, Floats]:
    """What the curves show of rows, by name, in volts and in the loop's own numbers; unknown is nan."""
    scale = scale_of(nano_units)
    values = {name: np.full(len(rows), np.nan) for name in (*NAMES, *shown)}
    there = rows.dtype.names or ()
    for name in ("signal", "control"):
        if f"{name}_lit" in there:
            lit, dark = rows[f"{name}_lit"].astype(np.int64), rows[f"{name}_dark"].astype(np.int64)
            values[name] = (lit - dark) * scale
    if "flags" in there:
        values["control"][(rows["flags"] & FLAG_NO_CONTROL) != 0] = np.nan
    for name in ("feature", "score", "threshold", *shown):
        if name in there:
            values[name] = rows[name].astype(np.float64)
    return values


def _singles(rows: Rows, nano_units: int, shown: Sequence[str]) -> _Singles:
    """The same, as channels x rows; single precision is finer than any screen."""
    with np.errstate(over="ignore"):
        together = np.stack(list(values_of(rows, nano_units, shown).values())).astype(np.float32)
    together[np.isinf(together)] = np.nan
    return together


class _Newest:
    """The newest readings as they came, at least _NEWEST of them, in one piece."""

    def __init__(self, channels: int) -> None:
        self.first_row = 0
        self._ticks = np.zeros(2 * _NEWEST, np.int64)
        self._values = np.zeros((channels, 2 * _NEWEST), np.float32)
        self._count = 0

    @property
    def cells(self) -> _Cells:
        ticks, values = self._ticks[: self._count], self._values[:, : self._count]
        return _Cells.of(ticks, values)

    def add(self, ticks: _Ticks, values: _Singles) -> None:
        for start in range(0, len(ticks), _NEWEST):
            self._add(ticks[start : start + _NEWEST], values[:, start : start + _NEWEST])

    def _add(self, ticks: _Ticks, values: _Singles) -> None:
        surplus = self._count - _NEWEST
        if self._count + len(ticks) > 2 * _NEWEST:
            self._ticks[:_NEWEST] = self._ticks[surplus : self._count]
            self._values[:, :_NEWEST] = self._values[:, surplus : self._count]
            self.first_row += surplus
            self._count = _NEWEST
        at = slice(self._count, self._count + len(ticks))
        self._ticks[at] = ticks
        self._values[:, at] = values
        self._count += len(ticks)


class _Overview:
    """The least and the greatest of all readings in cells of time, which double where there would be too many."""

    def __init__(self, cell_us: int, channels: int) -> None:
        self._cell_us = cell_us
        self._count = 0
        self._first = np.zeros(_MOST_CELLS, np.int64)
        self._last = np.zeros(_MOST_CELLS, np.int64)
        self._row = np.zeros(_MOST_CELLS, np.int64)
        self._low = np.zeros((channels, _MOST_CELLS), np.float32)
        self._high = np.zeros((channels, _MOST_CELLS), np.float32)

    @property
    def cells(self) -> _Cells:
        return _Cells(self._first, self._last, self._low, self._high).between(0, self._count)

    def add(self, ticks: _Ticks, values: _Singles, row: int) -> None:
        """Readings, the first of which is this row of the table."""
        for start in range(0, len(ticks), _PAGE):
            stop = start + _PAGE
            self._add(ticks[start:stop], values[:, start:stop], row + start)

    def row_before(self, ticks: int) -> int:
        """A row not after these ticks, and not much before."""
        at = int(np.searchsorted(self._first[: self._count], ticks, side="right")) - 1
        return int(self._row[at]) if at >= 0 else 0

    def row_after(self, ticks: int, end: int) -> int:
        """A row after these ticks, and not much; `end` if there is none."""
        at = int(np.searchsorted(self._first[: self._count], ticks, side="right"))
        return int(self._row[at]) if at < self._count else end

    def _add(self, ticks: _Ticks, values: _Singles, row: int) -> None:
        starts = _starts(ticks // self._cell_us)
        while self._count + len(starts) > _MOST_CELLS:
            self._double()
            starts = _starts(ticks // self._cell_us)
        new = _gathered(_Cells.of(ticks, values), starts)
        joins = self._count > 0 and self._first[self._count - 1] // self._cell_us == ticks[0] // self._cell_us
        if joins:
            self._widen_last(new)
        self._append(new.between(int(joins), len(starts)), starts[int(joins) :] + row)

    def _widen_last(self, new: _Cells) -> None:
        at = self._count - 1
        self._last[at] = new.last[0]
        self._low[:, at] = np.fmin(self._low[:, at], new.low[:, 0])
        self._high[:, at] = np.fmax(self._high[:, at], new.high[:, 0])

    def _append(self, new: _Cells, rows: npt.NDArray[np.intp]) -> None:
        at = slice(self._count, self._count + len(rows))
        self._first[at], self._last[at], self._row[at] = new.first, new.last, rows
        self._low[:, at], self._high[:, at] = new.low, new.high
        self._count += len(rows)

    def _double(self) -> None:
        self._cell_us *= 2
        starts = _starts(self._first[: self._count] // self._cell_us)
        ends = np.append(starts[1:], self._count) - 1  # the cell itself, or the one after: never more than two
        count = len(starts)
        self._first[:count], self._last[:count], self._row[:count] = (
            self._first[starts],
            self._last[ends],
            self._row[starts],
        )
        for low, high in zip(self._low, self._high, strict=True):
            low[:count] = np.fmin(low[starts], low[ends])
            high[:count] = np.fmax(high[starts], high[ends])
        self._count = count


def _starts(labels: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Where runs of equal labels begin."""
    return np.concatenate(([0], np.flatnonzero(labels[1:] != labels[:-1]) + 1)).astype(np.intp)


def _gathered(cells: _Cells, starts: npt.NDArray[np.intp]) -> _Cells:
    """Fewer and wider cells: each from one of these starts to the next."""
    ends = np.append(starts[1:], len(cells.first)) - 1
    low = np.fmin.reduceat(cells.low, starts, axis=1)
    high = np.fmax.reduceat(cells.high, starts, axis=1)
    return _Cells(cells.first[starts], cells.last[ends], low, high)


class _Pages:
    """Past readings, read from the recording again; as many of them as fit are remembered."""

    def __init__(self, fetch: Fetch, nano_units: int, shown: Sequence[str]) -> None:
        self._fetch = fetch
        self._nano_units = nano_units
        self._shown = shown
        self._pages: OrderedDict[int, _Cells] = OrderedDict()
        self._together: tuple[range, _Cells] | None = None

    def cells(self, start: int, stop: int) -> _Cells | None:
        """Pages in which these rows are; None where they cannot be read."""
        numbers = range(start // _PAGE, -(-stop // _PAGE))
        if self._together is not None and self._together[0] == numbers:
            return self._together[1]
        pages = [page for page in map(self._page, numbers) if page is not None]
        if not pages or len(pages) < len(numbers):
            return None
        ticks = np.concatenate([page.first for page in pages])
        values = np.concatenate([page.low for page in pages], axis=1)
        self._together = numbers, _Cells.of(ticks, values)
        return self._together[1]

    def _page(self, number: int) -> _Cells | None:
        """One page, all of it or None."""
        page = self._pages.pop(number, None)
        if page is None:
            rows = self._fetch(number * _PAGE, (number + 1) * _PAGE)
            if len(rows) < _PAGE:
                return None
            page = _Cells.of(rows["ticks"].astype(np.int64), _singles(rows, self._nano_units, self._shown))
        self._pages[number] = page
        while len(self._pages) > _MOST_PAGES:
            self._pages.popitem(last=False)
        return page


class _Picture(NamedTuple):
    """What is drawn of one range: few cells, and where the line is broken."""

    cells: _Cells
    breaks: npt.NDArray[np.intp]  # before these cells readings are missing

    @property
    def points(self) -> int:
        """How many points a curve of it has."""
        return len(self.cells.first) * (1 if self.cells.single else 2) + len(self.breaks)

    def curve(self, channel: int) -> tuple[Floats, Floats]:
        """Seconds and values, nan at each break."""
        first, last, low, high, single = self.cells
        if single:
            x, y, at = first / 1e6, low[channel].astype(np.float64), self.breaks
        else:
            x = np.column_stack((first, last)).reshape(-1) / 1e6
            y = np.column_stack((low[channel], high[channel])).reshape(-1).astype(np.float64)
            at = 2 * self.breaks
        if len(at) == 0:
            return x, y
        between = (last[self.breaks - 1] + first[self.breaks]) / 2e6
        return np.insert(x, at, between), np.insert(y, at, np.nan)


def _broken(cells: _Cells, gap_us: float) -> _Picture:
    silence = cells.first[1:] - cells.last[:-1]
    return _Picture(cells, np.flatnonzero(silence > gap_us) + 1)


def _in_columns(cells: _Cells, since: int, until: int, columns: int, gap_us: float) -> _Picture:
    """At most so many columns and three more. Their edges are the same however the range is moved: nothing flickers."""
    width = max(1, -(-(until - since) // columns))
    edges = np.arange(since // width, until // width + 2) * width
    starts = np.searchsorted(cells.first, edges)
    starts = np.unique(np.concatenate(([0], starts[starts < len(cells.first)])))
    return _broken(_gathered(cells, starts), max(gap_us, width))


def _draw(cells: _Cells, since: int, until: int, points: int, gap_us: float) -> _Picture:
    """At most 2 x points of these cells."""
    picture = _broken(cells, gap_us)
    if picture.points > 2 * points:
        picture = _in_columns(cells, since, until, points - 4, gap_us)
    if picture.points > 2 * points:
        picture = _in_columns(cells, since, until, 2 * points // 3 - 4, gap_us)
    return picture


class Traces:
    """All curves of one session. Times are seconds since the first reading.

    Args:
        header: of the recording.
        fetch: rows [start, stop) of the recording; fewer, or none, where they cannot be read.
        shown: columns besides NAMES that the session's parts show of themselves; the first MOST_SHOWN become curves.

    Attributes:
        names: of the curves; signal and control in volts, the others as the loop has them.
        shown: those of them that parts show of themselves.
        rows: readings so far.
    """

    def __init__(self, header: dict[str, Any], fetch: Fetch, shown: Sequence[str] = ()) -> None:
        self.shown = tuple(shown[:MOST_SHOWN])
        self.names = (*NAMES, *self.shown)
        self.rows = 0
        rate_mhz = header.get("rate_mhz") or 0
        self._nano_units: int = header.get("nano_units") or 0
        self._period_us = 1e9 / rate_mhz if rate_mhz else float("inf")
        cell_us = min(1 << 30, _CELL_READINGS * self._period_us)
        self._newest = _Newest(len(self.names))
        self._overview = _Overview(max(1, round(cell_us)), len(self.names))
        self._pages = _Pages(fetch, self._nano_units, self.shown)
        self._last_us = 0
        self._latest = dict.fromkeys(self.names, float("nan"))
        self._pictures: OrderedDict[tuple[int, int, int], tuple[int, _Picture]] = OrderedDict()

    def add(self, rows: Rows) -> None:
        """The next rows of the recording."""
        if len(rows) == 0:
            return
        ticks = rows["ticks"].astype(np.int64)
        values = _singles(rows, self._nano_units, self.shown)
        self._newest.add(ticks, values)
        self._overview.add(ticks, values, self.rows)
        self.rows += len(rows)
        self._last_us = int(ticks[-1])
        latest = values_of(rows[-1:], self._nano_units, self.shown)
        self._latest = {name: float(value[-1]) for name, value in latest.items()}

    @property
    def last_s(self) -> float:
        """When the last reading was; 0 if there is none."""
        return self._last_us / 1e6

    @property
    def duration_s(self) -> float:
        """From the first reading to the end of the last; 0 if there is none."""
        return (self._last_us + self._period_us) / 1e6 if self.rows and np.isfinite(self._period_us) else self.last_s

    def latest(self, name: str) -> float:
        """The last reading's value; nan if it is unknown."""
        return self._latest[name]

    def curve(self, name: str, since_s: float, until_s: float, points: int) -> tuple[Floats, Floats]:
        """A range of one curve, to be drawn `points` pixels wide.

        Args:
            name: one of `names`.
            since_s: where it begins; one reading before is given as well, and one after its end.
            until_s: where it ends.
            points: columns in each of which the least and the greatest are kept; no fewer than 16 are made.

        Returns:
            Seconds and values, at most 2 x points; nan where a value is unknown, and between readings a gap apart.
        """
        return self._picture(since_s, until_s, points).curve(self.names.index(name))

    def extent(self, name: str, since_s: float, until_s: float) -> tuple[float, float] | None:
        """The least and the greatest of a range, for an axis; what lies absurdly far out is left out; or None."""
        _, y = self.curve(name, since_s, until_s, _EXTENT_POINTS)
        y = y[np.isfinite(y)]
        if len(y) == 0:
            return None
        low, high = np.percentile(y, (2, 98))
        far = _FAR * (high - low) or float("inf")
        return float(max(y.min(), low - far)), float(min(y.max(), high + far))

    def _picture(self, since_s: float, until_s: float, points: int) -> _Picture:
        since, until = _ticks(since_s), _ticks(until_s)
        points = max(_LEAST_POINTS, points)
        key = (since, max(since, until), points)
        known = self._pictures.pop(key, None)
        if known is None or known[0] not in (self.rows, -1):
            known = self._drawn(*key)
        self._pictures[key] = known
        if len(self._pictures) > _MOST_PICTURES:
            self._pictures.popitem(last=False)
        return known[1]

    def _drawn(self, since: int, until: int, points: int) -> tuple[int, _Picture]:
        """A picture, and of how many rows it is; -1 if more of them will not change it."""
        over = until < self._last_us
        cells = self._source(since, until, points).around(since, until)
        return -1 if over else self.rows, _draw(cells, since, until, points, _GAP_PERIODS * self._period_us)

    def _source(self, since: int, until: int, points: int) -> _Cells:
        """The cheapest cells that are fine enough for this range."""
        overview = self._overview.cells
        if len(overview.around(since, until).first) >= 2 * points:
            return overview
        newest = self._newest
        if newest.first_row == 0 or since > newest.cells.first[0]:
            return newest.cells
        start, stop = self._overview.row_before(since), self._overview.row_after(until, self.rows)
        past = self._pages.cells(start, stop) if stop - start <= _MOST_ROWS else None
        return overview if past is None else past


def _ticks(seconds: float) -> int:
    return round(min(max(seconds * 1e6, -_FURTHEST_US), _FURTHEST_US))
