"""How long the loop takes, as it runs: two histograms, and their median, p99 and maximum in words."""

from __future__ import annotations

import math

import numpy as np
from PyQt6.QtCore import QRectF
from PyQt6.QtGui import QPainter
from PyQt6.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from closedloop.dashboard.panel import Panel, alone
from closedloop.dashboard.readout import amounts
from closedloop.dashboard.readout.charts import Axis, Chart, Steps, even_range
from closedloop.dashboard.readout.lettering import fitted, write
from closedloop.dashboard.readout.painted import Painted
from closedloop.dashboard.style import words_font
from closedloop.dashboard.theme import DARK, Theme
from closedloop.watching.tallies import Histogram
from closedloop.watching.watch import Watch

_HIGH_PX = 98
_ARROWS = {"read_to_command": "read \u2192 command", "command_to_light": "command \u2192 light"}
_HUES = {"read_to_command": "signal", "command_to_light": "threshold"}
_EMPTY = {
    "read_to_command": "no train commanded yet",
    "command_to_light": "no light yet that both clocks could time",
}


def words(histogram: Histogram) -> str:
    """Its figures, for people."""
    named = (("median", histogram.p50), ("p99", histogram.p99), ("max", histogram.max))
    return ", ".join(f"{name} {amounts.micros(value)}" for name, value in named)


def decades(histogram: Histogram) -> tuple[int, int]:
    """The powers of ten, of microseconds, between which all of it lies: two apart at least."""
    used = np.flatnonzero(histogram.counts)
    low = math.floor(math.log10(histogram.edges[used[0]]) + 1e-9)
    high = math.ceil(math.log10(histogram.edges[used[-1] + 1]) - 1e-9)
    return low, max(high, low + 2)


class _Heading(Painted):
    """What was timed, and its figures."""

    name, figures = "", ""

    def show_figures(self, name: str, figures: str) -> None:
        self.name, self.figures = name, figures
        self.say(f"{name}: {figures}")

    def paint(self, painter: QPainter) -> None:
        box, bold = QRectF(self.rect()), words_font(self.theme, bold=True)
        write(painter, box, self.name, bold, self.colour("text"))
        rest = box.adjusted(painter.fontMetrics().horizontalAdvance(self.name) + 12, 0, 0, 0)
        font = fitted(words_font(self.theme), self.figures, rest.width(), 10)
        write(painter, rest, self.figures, font, self.colour("text"))


class _Bars(QWidget):
    """One histogram under its figures."""

    def __init__(self, key: str, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._key = key
        self._n = 0
        self._head = _Heading(theme, self, least_px=160, high_px=24)
        self._chart = Chart(theme, self, high_px=_HIGH_PX)
        self._chart.show_layers(_across(1, 4), Axis(0, 10, "trains"), ())
        self._head.show_figures(_ARROWS[key], _EMPTY[key])
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._head)
        column.addWidget(self._chart)

    def show_histogram(self, histogram: Histogram) -> None:
        if histogram.n == self._n or not histogram.n:
            return
        self._n = histogram.n
        self._head.show_figures(_ARROWS[self._key], words(histogram))
        heights = histogram.counts.astype(np.float64)
        steps = Steps(np.log10(histogram.edges), heights, _HUES[self._key])
        highest = even_range(0.0, max(4.0, float(heights.max())))[1]
        self._chart.show_layers(_across(*decades(histogram)), Axis(0, highest, "trains"), (steps,))

    def set_theme(self, theme: Theme) -> None:
        self._head.set_theme(theme)
        self._chart.set_theme(theme)

    @property
    def said(self) -> str:
        return self._head.accessibleName()


def _across(low: int, high: int) -> Axis:
    """Powers of ten of microseconds, with room for their labels at both ends."""
    marks = [(float(power), amounts.micros(10.0**power)) for power in range(low, high + 1)]
    between = [(power + math.log10(part), "") for power in range(low, high) for part in range(2, 10)]
    room = 0.05 * (high - low)
    return Axis(low - room, high + room, "", (*marks, *between))


class Latency(Panel):
    """Live histograms: from bytes read to command written, and from command to light by the board's clock."""

    def __init__(self, theme: Theme = DARK, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self._bars = {key: _Bars(key, theme, self) for key in _ARROWS}
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for bars in self._bars.values():
            column.addWidget(bars)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_watch(self, watch: Watch) -> None:
        """Draw the latencies so far."""
        self.show_latencies(watch.tallies.latency)

    def show_latencies(self, latency: dict[str, Histogram]) -> None:
        """Draw these histograms."""
        for key, bars in self._bars.items():
            if key in latency:
                bars.show_histogram(latency[key])

    def said(self) -> list[str]:
        """What is said above the histograms."""
        return [bars.said for bars in self._bars.values()]

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        for bars in self._bars.values():
            bars.set_theme(theme)


if __name__ == "__main__":
    raise SystemExit(alone(Latency))
