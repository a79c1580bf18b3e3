"""What the signal did around each kind of decision, how the event rate goes, and how long inputs were high.

Nothing is averaged here, and no kind is known by name: a row appears for whatever the recording has.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from PyQt6.QtCore import QRectF, Qt
from PyQt6.QtGui import QPainter
from PyQt6.QtWidgets import QFrame, QLabel, QScrollArea, QVBoxLayout, QWidget

from closedloop.dashboard.panel import Panel, alone
from closedloop.dashboard.readout import amounts, charts, shapes
from closedloop.dashboard.readout.charts import Axis, Band, Chart, Curve, Floats, Layer, Upright
from closedloop.dashboard.readout.lettering import RIGHT, write
from closedloop.dashboard.readout.painted import Painted
from closedloop.dashboard.style import digits_font, words_font
from closedloop.dashboard.theme import DARK, Theme
from closedloop.watching.averages import Average
from closedloop.watching.rates import Occupancy
from closedloop.watching.watch import Watch

_EVERY_NS = 500_000_000  # averages change slowly
_ROW_PX, _RATE_PX, _INPUT_PX = 118, 124, 40
_LONG_S = 900.0  # from here on, time is in minutes
_NO_AVERAGES = "No decision with enough signal around it yet. A row appears 10 s after the first of its kind."
_LESS = "; thin raw, thick less artefact"
_NO_RATE = "No rate yet: it needs a score, which comes after warm-up."
_NO_INPUTS = "No digital inputs are named in this rig."
_SHAPES = (("delivered", "sun"), ("refused", "cross"), ("commanded", "dots"))


def _title(average: Average) -> str:
    many = f"n = {amounts.whole(average.n)}"
    alone = "" if average.n > 1 else " (no interval of one)"
    return f"{average.key}, {many}{alone}" + ("" if average.less is None else _LESS)


def _shape(key: str) -> str:
    return next((shape for word, shape in _SHAPES if word in key), "ring")


def _bounds(averages: list[Average]) -> tuple[float, float]:
    """One scale for all; the interval of the first few decisions is too wide to decide it."""
    means = charts.limits([line for one in averages for line in (one.mean, one.less) if line is not None])
    if means is None:
        return -1.0, 1.0
    most = 2 * max(abs(end) for end in means)
    bands = [np.clip(band, -most, most) for one in averages for band in (one.low, one.high)]
    found = charts.limits([np.array(means), *bands])
    return charts.even_range(*found) if found else (-1.0, 1.0)


class _Heading(Painted):
    """A shape and words over a plot."""

    words, shape = "", ""

    def show_words(self, words: str, shape: str) -> None:
        if (words, shape) == (self.words, self.shape):
            return
        self.words, self.shape = words, shape
        self.say(words)

    def paint(self, painter: QPainter) -> None:
        box = QRectF(self.rect())
        shapes.draw(
            painter, self.shape, QRectF(box.left() + 2, box.top() + 2, 18, box.height() - 4), self.colour("text")
        )
        write(painter, box.adjusted(28, 0, 0, 0), self.words, words_font(self.theme, bold=True), self.colour("text"))


class _Row(QWidget):
    """The average around one kind of decision, with its 95 % interval."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._head = _Heading(theme, self, least_px=160, high_px=22)
        self._chart = Chart(theme, self, high_px=_ROW_PX)
        self._shown: tuple[int, tuple[float, float]] | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._head)
        column.addWidget(self._chart)

    def show_average(self, average: Average, bounds: tuple[float, float]) -> None:
        if (average.n, bounds) == self._shown:
            return
        self._shown = (average.n, bounds)
        self._head.show_words(_title(average), _shape(average.key))
        time_s = average.time_s
        across = Axis(round(float(time_s[0])), round(float(time_s[-1])), "time from the decision (s)")
        band = Band(time_s, average.low, average.high, "signal")
        layers: list[Layer] = [band, Upright(0.0, "text"), Curve(time_s, average.mean, "signal")]
        if average.less is not None:
            layers.append(Curve(time_s, average.less, "signal", px=2))
        self._chart.show_layers(across, Axis(*bounds, average.unit), tuple(layers))

    def set_theme(self, theme: Theme) -> None:
        self._head.set_theme(theme)
        self._chart.set_theme(theme)

    @property
    def said(self) -> str:
        return self._head.words


def _trend(time_s: Floats, per_min: Floats) -> tuple[Axis, Axis, tuple[Layer, ...]]:
    """Events a minute over the session, as axes and layers."""
    until_s = float(time_s[-1] + time_s[0])
    unit, scale = ("min", 60.0) if until_s > _LONG_S else ("s", 1.0)
    highest = charts.even_range(0.0, max(1.0, float(np.nanmax(per_min))))[1]
    across = Axis(0.0, until_s / scale, f"time in the session ({unit})")
    return across, Axis(0.0, highest, "events/min"), (Curve(time_s / scale, per_min, "score", dots=True),)


class _Inputs(Painted):
    """How long each digital input was high."""

    value: tuple[Occupancy, ...] = ()

    def show_inputs(self, value: tuple[Occupancy, ...]) -> None:
        if value == self.value:
            return
        self.value = value
        self.set_high(_INPUT_PX * len(value) + 12)
        self.say("\n".join(f"{name}: {_occupied(part, high_s, n)}" for name, part, high_s, n in value))

    def paint(self, painter: QPainter) -> None:
        box = self.framed(painter)
        for number, one in enumerate(self.value):
            self._paint_input(painter, QRectF(box.left(), box.top() + number * _INPUT_PX, box.width(), _INPUT_PX), one)

    def _paint_input(self, painter: QPainter, box: QRectF, one: Occupancy) -> None:
        line = QRectF(box.left(), box.top(), box.width(), 22)
        figures = _occupied(one.part, one.high_s, one.entries)
        write(painter, line, figures, digits_font(self.theme, 13), self.colour("text"), RIGHT)
        taken = painter.fontMetrics().horizontalAdvance(figures) + 8
        write(painter, line.adjusted(0, 0, -taken, 0), one.name, words_font(self.theme), self.colour("text"))
        bar = QRectF(box.left(), line.bottom() + 1, box.width(), 9)
        painter.fillRect(bar, self.colour("line"))
        part = one.part if np.isfinite(one.part) else 0.0
        painter.fillRect(QRectF(bar.left(), bar.top(), bar.width() * part, bar.height()), self.colour("signal"))


def _occupied(part: float, high_s: float, entries: int) -> str:
    if not np.isfinite(part):
        return amounts.UNKNOWN
    times = "1 entry" if entries == 1 else f"{amounts.whole(entries)} entries"
    return f"{100 * part:.1f} %, {amounts.about(high_s)}, {times}"


class Averages(Panel):
    """Peri-event averages, a row a kind; below them the event rate and the occupancy of inputs."""

    def __init__(
        self,
        theme: Theme = DARK,
        parent: QWidget | None = None,
        *,
        now_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        super().__init__(theme, parent)
        self._now_ns = now_ns
        self._drawn: tuple[int, int] | None = None
        self._rows: dict[str, _Row] = {}
        inside = QWidget(self)
        self._inside = inside
        self._around = QVBoxLayout()
        self._trend = Chart(theme, inside, high_px=_RATE_PX)
        self._inputs = _Inputs(theme, inside, least_px=160, high_px=_INPUT_PX)
        self._column = QVBoxLayout(inside)
        self._column.setContentsMargins(4, 4, 4, 4)
        self._no_averages = self._section("The signal around each decision, mean and 95 % interval", _NO_AVERAGES)
        self._column.addLayout(self._around)
        self._no_rate = self._section("Event rate", _NO_RATE, self._trend)
        self._no_inputs = self._section("Digital inputs, part of the time high", _NO_INPUTS, self._inputs)
        self._column.addStretch()
        scroll = QScrollArea(self)
        scroll.setWidget(inside)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        outside = QVBoxLayout(self)
        outside.setContentsMargins(0, 0, 0, 0)
        outside.addWidget(scroll)

    def show_watch(self, watch: Watch) -> None:
        """Draw what is known, twice a second at most, and only where it is seen."""
        now_ns = self._now_ns()
        recent = self._drawn is not None and (self._drawn[0] == watch.version or now_ns - self._drawn[1] < _EVERY_NS)
        if recent or not self.isVisible():
            return
        self._drawn = (watch.version, now_ns)
        self.show_averages(watch.peri.averages())
        self.show_rate(*watch.rates.event_rate())
        self.show_occupancy(watch.rates.occupancy())

    def show_averages(self, averages: list[Average]) -> None:
        """Draw these averages, all on one scale."""
        self._no_averages.setVisible(not averages)
        bounds = _bounds(averages)
        for average in averages:
            self._row(average.key).show_average(average, bounds)

    def show_rate(self, time_s: Floats, per_min: Floats) -> None:
        """Draw the event rate."""
        known = bool(np.isfinite(per_min).any())
        self._trend.setVisible(known)
        self._no_rate.setVisible(not known)
        if known:
            self._trend.show_layers(*_trend(time_s, per_min))

    def show_occupancy(self, occupancy: list[Occupancy]) -> None:
        """Draw how long the inputs were high."""
        self._inputs.setVisible(bool(occupancy))
        self._no_inputs.setVisible(not occupancy)
        self._inputs.show_inputs(tuple(occupancy))

    def said(self) -> list[str]:
        """What stands over the rows, and in place of what is not there."""
        missing = [
            label.text() for label in (self._no_averages, self._no_rate, self._no_inputs) if not label.isHidden()
        ]
        return [row.said for row in self._rows.values()] + missing

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        for row in self._rows.values():
            row.set_theme(theme)
        self._trend.set_theme(theme)
        self._inputs.set_theme(theme)

    def _row(self, key: str) -> _Row:
        if key not in self._rows:
            self._rows[key] = _Row(self.theme, self._inside)
            self._around.addWidget(self._rows[key])
        return self._rows[key]

    def _section(self, title: str, empty: str, shown: QWidget | None = None) -> QLabel:
        """A heading, and what is shown under it; returns the words for when there is nothing to show."""
        heading, instead = QLabel(title, self._inside), QLabel(empty, self._inside)
        heading.setProperty("dim", "true")
        instead.setWordWrap(True)
        self._column.addWidget(heading)
        self._column.addWidget(instead)
        if shown is not None:
            self._column.addWidget(shown)
            shown.hide()
        return instead


if __name__ == "__main__":
    raise SystemExit(alone(Averages))
