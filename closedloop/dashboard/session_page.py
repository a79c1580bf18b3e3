"""The panels of one session: strip and red button, plots, a column of tabs. It passes on, and knows nothing itself.

A picture is made in steps, each a few milliseconds, so that no event is long. The strip and the plots are in every
picture; of the other panels one at a time, and only those on screen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtGui import QKeySequence, QResizeEvent, QShortcut
from PyQt6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from closedloop.dashboard.emergency import RedButton
from closedloop.dashboard.inputs.controls import Controls
from closedloop.dashboard.inputs.preview import Preview
from closedloop.dashboard.panel import Panel
from closedloop.dashboard.plots.events_list import EventsList
from closedloop.dashboard.plots.plots import Plots
from closedloop.dashboard.readout.audit import AuditSheet
from closedloop.dashboard.readout.averages import Averages
from closedloop.dashboard.readout.gauges import Gauges
from closedloop.dashboard.readout.inputs import Inputs
from closedloop.dashboard.readout.latency import Latency
from closedloop.dashboard.readout.numbers import Numbers
from closedloop.dashboard.readout.strip import StateStrip
from closedloop.dashboard.style import plain_tip, words_font
from closedloop.dashboard.theme import DARK, Theme
from closedloop.watching.status import State
from closedloop.watching.watch import Watch

COLUMN_PX = 454
_TALL_PX = 880  # from here on the numbers stand between inputs and gauges, on one page
_STRIP_PX = 104
_TILE_RED_PX = 400
_TILE_PLOTS_PX = 220
_TILE_NAME_PX = 120
_OVER = (
    State.TRIPPED,
    State.DEVICE_LOST,
    State.STOPPED,
    State.COMPLETED,
    State.FAILED,
    State.BROKEN_OFF,
    State.UNREADABLE,
)


class SessionPage(QWidget):
    """All panels of one session.

    Attributes:
        asked: emitted with an order for the session.
        new_asked: emitted when a new session is wanted, after this one has ended.
        red: the red button.
        name: which rig this is, on a tile; elsewhere its tab says it.
    """

    asked = pyqtSignal(object)
    new_asked = pyqtSignal()

    def __init__(self, dark: Callable[[], None], theme: Theme = DARK, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.red = RedButton(dark, theme)
        self.name = QLabel()
        self.name.setTextFormat(Qt.TextFormat.PlainText)
        self.name.setFont(words_font(theme, theme.font_px + 2, bold=True))
        self.name.setFixedWidth(_TILE_NAME_PX)
        self.name.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.name.hide()
        self.strip = StateStrip(theme)
        self.plots = Plots(theme)
        self.controls = Controls(theme)
        self.numbers = Numbers(theme)
        self.inputs = Inputs(theme)
        self.gauges = Gauges(theme)
        self.preview = Preview(theme)
        self.averages = Averages(theme)
        self.latency = Latency(theme)
        self.audit = AuditSheet(theme)
        self.audit.hide()
        self.events = EventsList(theme)
        self.new_button = QPushButton("New session (F5)")
        self.new_button.setMinimumHeight(44)
        self.new_button.setProperty("tone", "good")
        self.new_button.clicked.connect(lambda _=False: self.new_asked.emit())
        self.new_button.hide()
        self._others = (
            self.controls,
            self.numbers,
            self.inputs,
            self.gauges,
            self.preview,
            self.averages,
            self.latency,
            self.audit,
            self.events,
        )
        self._next = 0
        self._is_tall = False
        self._is_compact = False
        self._warned = False
        self._lay_out()
        self._keys = self._make_keys()
        self.tabs.currentChanged.connect(self._mind_keys)
        self.controls.asked.connect(self.asked)
        self.controls.cursor_moved.connect(self.preview.set_cursor)
        self.preview.pointed.connect(self.controls.point_at)
        self.events.jumped.connect(self.plots.jump)

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All of them."""
        return (self.strip, self.plots, *self._others)

    def begin(self, watch: Watch) -> None:
        """Another session."""
        self.new_button.hide()
        self.show_all(watch)

    def release(self) -> None:
        """The session is left: what a panel runs for it ends."""
        self.preview.stop()

    def cancel(self) -> None:
        """Esc was pressed: nothing half done stays, such as the first of two steps to arm."""
        self.controls.cancel()

    def steps(self, watch: Watch) -> Iterator[Callable[[], None]]:
        """What makes one picture, in small parts."""
        yield partial(self.plots.show_watch, watch)
        yield partial(self._show_strip, watch)
        panel = self._next_panel()
        if panel is not None:
            yield partial(panel.show_watch, watch)

    def show_all(self, watch: Watch) -> None:
        """All panels at once; not for a window that someone works with."""
        self._show_strip(watch)
        for panel in (self.plots, *self._others):
            panel.show_watch(watch)

    def set_name(self, name: str) -> None:
        """Which rig this is; too long a name is cut, and its tip says all."""
        metrics = self.name.fontMetrics()
        self.name.setText(metrics.elidedText(name, Qt.TextElideMode.ElideRight, _TILE_NAME_PX))
        self.name.setToolTip(plain_tip(name))

    def set_compact(self, compact: bool) -> None:
        """As a tile: strip and plots alone; the red button beside the plots, for the strip needs all the width."""
        self.column.setVisible(not compact)
        self.plots.set_compact(compact)
        self.plots.setMinimumHeight(_TILE_PLOTS_PX if compact else 0)
        self.red.set_compact(compact)
        if compact != self._is_compact:
            self._is_compact = compact
            self.name.setVisible(compact)
            before, after = (self._top, self._side) if compact else (self._side, self._top)
            before.removeWidget(self.red)
            after.addWidget(self.red)
            self.red.setMaximumHeight(_TILE_RED_PX if compact else _STRIP_PX)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self.red.set_theme(theme)
        for panel in self.panels:
            panel.set_theme(theme)

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        """Where there is room, the numbers need no tab of their own."""
        super().resizeEvent(event)
        tall = self.height() >= _TALL_PX
        if tall != self._is_tall:
            self._is_tall = tall
            if tall:
                self._run.insertWidget(2, self.numbers)
            else:
                self._numbers.insertWidget(1, self.numbers, 1)
            self._name_numbers()

    def _show_strip(self, watch: Watch) -> None:
        self.strip.show_watch(watch)
        is_over = watch.status.state in _OVER
        self.inputs.setVisible(bool(watch.marks.input_names))
        self.latency.setVisible(not watch.dose.blinded)  # it would tell which trains were commanded
        self.audit.setVisible(watch.audit is not None)
        self._warned = watch.audit is not None and bool(watch.audit.warnings)
        self._name_numbers()
        self.new_button.setVisible(is_over)
        self.red.set_quiet(is_over)
        in_force = self.controls.in_force
        if math.isfinite(in_force.threshold + in_force.release):
            self.preview.set_in_force(*in_force)

    def _name_numbers(self) -> None:
        """Its tab is marked where the audit of the session has warnings."""
        name = ("Loop" if self._is_tall else "Numbers") + (" \u25b2" if self._warned else "")
        if self.tabs.tabText(1) != name:
            self.tabs.setTabText(1, name)

    def _next_panel(self) -> Panel | None:
        """The next panel that is on screen; each has its turn."""
        for _ in self._others:
            panel = self._others[self._next]
            self._next = (self._next + 1) % len(self._others)
            if panel.isVisible():
                return panel
        return None

    def _make_keys(self) -> list[QShortcut]:
        """The keys of the controls, for when another tab hides them: they come to the front, and the key works."""
        controls = self.controls
        keys: dict[str, Callable[[], object]] = {
            "Ctrl+R": controls.arm.click,
            "Ctrl+P": controls.pause.click,
            "Ctrl+D": controls.disarm.click,
            "Ctrl+T": controls.pulse.click,
            "Ctrl+N": controls.note.setFocus,
            "Ctrl+L": controls.threshold.setFocus,
        }
        made = []
        for key, act in keys.items():
            shortcut = QShortcut(QKeySequence(key), self.column)
            shortcut.setAutoRepeat(False)
            shortcut.setEnabled(False)
            shortcut.activated.connect(partial(self._bring_controls, act))
            made.append(shortcut)
        return made

    def _bring_controls(self, act: Callable[[], object]) -> None:
        self.tabs.setCurrentIndex(0)
        act()

    def _mind_keys(self, tab: int) -> None:
        """Never two of one key at once: Qt would take neither."""
        for shortcut in self._keys:
            shortcut.setEnabled(tab != 0)

    def _lay_out(self) -> None:
        self._top = QHBoxLayout()
        self._top.setSpacing(4)
        self._top.addWidget(self.strip, 1)
        self._top.addWidget(self.red)
        self.strip.setMaximumHeight(_STRIP_PX)
        self.red.setMaximumHeight(_STRIP_PX)
        self.tabs = QTabWidget()
        self.tabs.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        run, self._run = _scrolled(self.controls, self.inputs, self.gauges, fills=False)
        numbers, self._numbers = _scrolled(self.audit, self.numbers, self.latency)
        self.tabs.addTab(run, "Run")
        self.tabs.addTab(numbers, "Numbers")
        self.tabs.addTab(_scrolled(self.averages)[0], "Averages")
        self.tabs.addTab(self.events, "Events")
        self.tabs.addTab(_scrolled(self.preview)[0], "Preview")
        self.column = QWidget()
        self.column.setFixedWidth(COLUMN_PX)
        column = QVBoxLayout(self.column)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.tabs, 1)
        column.addWidget(self.new_button)
        self._below = QHBoxLayout()
        self._below.setSpacing(6)
        self._below.addWidget(self.plots, 1)
        self._below.addWidget(self.column)
        self._side = QVBoxLayout()
        self._side.addWidget(self.name)
        self._below.addLayout(self._side)
        page = QVBoxLayout(self)
        page.setContentsMargins(0, 0, 0, 0)
        page.setSpacing(4)
        page.addLayout(self._top)
        page.addLayout(self._below, 1)


def _scrolled(*panels: Panel, fills: bool = True) -> tuple[QScrollArea, QVBoxLayout]:
    """Panels one below the other, and their layout; what does not fit is reached by scrolling."""
    inside = QWidget()
    column = QVBoxLayout(inside)
    column.setContentsMargins(0, 2, 0, 2)
    column.setSpacing(4)
    for panel in panels:
        column.addWidget(panel, int(fills))
    if not fills:
        column.addStretch(1)
    area = QScrollArea()
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setWidgetResizable(True)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setWidget(inside)
    return area, column
