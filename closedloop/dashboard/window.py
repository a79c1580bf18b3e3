"""One window, a tab or a tile a rig. Each rig's session is a process of its own and goes on without the window."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

from PyQt6.QtCore import QSignalBlocker, Qt, pyqtSignal
from PyQt6.QtGui import QCloseEvent, QKeySequence, QResizeEvent, QShortcut
from PyQt6.QtWidgets import (
    QApplication,
    QFileDialog,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QTabBar,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from closedloop.dashboard import style
from closedloop.dashboard.emergency import Emergency
from closedloop.dashboard.guide import Guide
from closedloop.dashboard.help_overlay import HelpOverlay, keys_of
from closedloop.dashboard.launch import running_sessions
from closedloop.dashboard.layout_memory import LayoutMemory
from closedloop.dashboard.problems import ProblemBar
from closedloop.dashboard.station import Station
from closedloop.dashboard.theme import DARK, LIGHT, Theme

_SMALLEST = (1140, 640)
_MOST_RIGS = 9
_MOST_WHOLE_TITLES = 3  # beyond, a tab says number and state; its tip says all
_TILE_PX = 676  # the least width of a tile


class Window(QWidget):
    """All rigs.

    Attributes:
        stations: one a rig, in the order of their tabs.
        problems: the bar for everything that went wrong.
        guide: the strip of words for the first start.
        left_running: sessions that were on screen when the window was closed, and go on.
        closed: emitted when the window has closed.
    """

    closed = pyqtSignal()

    def __init__(self, memory: LayoutMemory, theme: Theme = DARK) -> None:
        super().__init__()
        self.stations: list[Station] = []
        self.left_running: list[Path] = []
        self.theme = theme
        self._memory = memory
        self._tiled = False
        self._columns_shown = 1
        self.tabs = QTabBar()
        self.tabs.setExpanding(False)
        self.tabs.setUsesScrollButtons(False)
        self.tabs.setElideMode(Qt.TextElideMode.ElideRight)
        self.tabs.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.tabs.currentChanged.connect(self._arrange)
        self.problems = ProblemBar(theme)
        self.guide = Guide(theme)
        self.guide.try_asked.connect(self.try_simulated)
        self.guide.put_away.connect(partial(memory.keep, "guide", "done"))
        self.guide.setVisible(not memory.is_guide_done)
        self._deck = QGridLayout()
        self._deck.setSpacing(6)
        self._lay_out()
        self.help: HelpOverlay | None = None
        self._make_keys()
        self._emergency = Emergency(self.dark, self.dark_everywhere, self)
        self.setMinimumSize(*_SMALLEST)
        self.setWindowTitle("closedloop")
        self._watch_keys()

    @property
    def current(self) -> Station | None:
        """The rig whose tab is chosen."""
        index = self.tabs.currentIndex()
        return self.stations[index] if 0 <= index < len(self.stations) else None

    @property
    def shown(self) -> list[Station]:
        """The rigs that are on screen: the one of the tab, or all as tiles."""
        if self._tiled:
            return list(self.stations)
        return [self.current] if self.current else []

    def dark(self) -> None:
        """Dark, now, for all that is on screen."""
        self._make_dark(self.shown)

    def dark_everywhere(self) -> None:
        """Dark, now, on every rig."""
        self._make_dark(self.stations)

    def add_station(self) -> Station:
        """Another rig, not running yet; its tab is chosen."""
        station = Station(self._memory.logs, self.theme)
        self.stations.append(station)
        station.said.connect(self.problems.say)
        station.changed.connect(self._retitle)
        station.setup.start_asked.connect(self._remember)
        blocked = QSignalBlocker(self.tabs)
        index = self.tabs.addTab("")
        self.tabs.setCurrentIndex(index)
        blocked.unblock()
        self._arrange()
        self._retitle()
        return station

    def watch(self, folder: Path) -> Station:
        """A tab for a session that runs or has ended; an unused tab is taken first."""
        free = self.current if self.current and self.current.watch is None else None
        station = free or self.add_station()
        station.attach(folder)
        return station

    def attach_running(self, data: Path) -> None:
        """A tab for each session that is being written in a data folder."""
        for folder in running_sessions(data):
            self.watch(folder)

    def idle(self, protocol: str = "", rig: str = "", data: Path | None = None) -> Station:
        """A tab for a new session, set up as asked, or as the last time."""
        station = self.add_station()
        memory = self._memory
        if out := str(data or memory.text("out")):
            station.setup.out.setText(out)
        station.setup.choose(protocol or memory.text("protocol"), rig or memory.text("rig"))
        return station

    def try_simulated(self) -> None:
        """Start the demo protocol on the simulated rig."""
        station = self.current
        if station is None or station.is_running:
            return
        station.leave()
        station.setup.choose("demo", "simulated")
        if not station.setup.problems:
            station.start(station.setup.request())

    def close_station(self) -> None:
        """Close the chosen tab; its session goes on."""
        station = self.current
        if station is None or len(self.stations) == 1:
            return
        index = self.stations.index(station)
        self.stations.remove(station)
        blocked = QSignalBlocker(self.tabs)
        self.tabs.removeTab(index)
        blocked.unblock()
        self._deck.removeWidget(station)
        station.shut()
        station.hide()
        station.deleteLater()
        self._arrange()

    def toggle_tiles(self) -> None:
        """All rigs at once, or one."""
        self._tiled = not self._tiled
        self._arrange()

    def toggle_theme(self) -> None:
        """Dark for the rig, light for the office."""
        self.set_theme(LIGHT if self.theme is DARK else DARK)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours, all over."""
        self.theme = theme
        self._memory.keep("theme", theme.name)
        application = QApplication.instance()
        if isinstance(application, QApplication):
            style.apply(application, theme)
        self.problems.set_theme(theme)
        self.guide.set_theme(theme)
        if self.help is not None:
            self.help.set_theme(theme)
        for station in self.stations:
            station.set_theme(theme)

    def open_recording(self) -> None:
        """Choose a session folder; the window stays as it is meanwhile."""
        dialog = QFileDialog(self, "Open a session: choose its folder (ses-…)", self._memory.text("out") or ".")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setOption(QFileDialog.Option.DontUseNativeDialog)  # so that Esc stays ours
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.fileSelected.connect(lambda name: self.watch(Path(name)))
        dialog.open()

    def closeEvent(self, event: QCloseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Remember size and place, let go of everything; sessions go on."""
        self.left_running += [s.folder for s in self.stations if s.folder is not None and s.is_running]
        self._memory.keep("geometry", self.saveGeometry())
        self._memory.save()
        application = QApplication.instance()
        if application is not None:
            application.removeEventFilter(self._emergency)
        for station in self.stations:
            station.shut()
        super().closeEvent(event)
        self.closed.emit()

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        """The help sheet lies over all of it, and tiles lie side by side as far as there is room."""
        super().resizeEvent(event)
        if self._tiled and self._columns_shown != self._columns():
            self._arrange()
        if self.help is not None:
            self.help.cover()

    def _lay_out(self) -> None:
        self.stop_all = QPushButton("STOP ALL\nShift+Esc")
        self.stop_all.setProperty("tone", "danger")
        self.stop_all.setToolTip("Dark at once on every rig, and end their sessions (Shift+Esc)")
        self.stop_all.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.stop_all.pressed.connect(self.dark_everywhere)
        row = QHBoxLayout()
        row.setSpacing(6)
        row.addWidget(self.tabs, 1)
        for words, tip, do in self._tools():
            row.addWidget(_tool(words, tip, do))
        row.addWidget(self.stop_all)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 4, 6, 6)
        column.setSpacing(4)
        column.addLayout(row)
        inside = QWidget()
        inside.setLayout(self._deck)
        self._deck.setContentsMargins(0, 0, 0, 0)
        area = QScrollArea()
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setWidgetResizable(True)
        area.setWidget(inside)
        column.addWidget(area, 1)
        column.addWidget(self.guide)
        column.addWidget(self.problems)

    def _tools(self) -> tuple[tuple[str, str, Callable[[], object]], ...]:
        return (
            ("+ Rig", "Another rig (F4)", self.add_station_if_room),
            ("Tiles", "All rigs at once, or one (F3)", self.toggle_tiles),
            ("Open…", "Open a recording (Ctrl+O)", self.open_recording),
            ("Theme", "Dark or light (F2)", self.toggle_theme),
            ("? Keys", "All keys (F1)", self.help_asked),
        )

    def add_station_if_room(self) -> None:
        """Another rig, up to nine."""
        if len(self.stations) < _MOST_RIGS:
            self.idle()

    def help_asked(self) -> None:
        """Show all keys, or put them away."""
        if self.help is None:
            plots = self.stations[0].page.plots if self.stations else None
            self.help = HelpOverlay(self.theme, self, keys_of(plots.keys) if plots else ())
        self.help.toggle()

    def _make_keys(self) -> None:
        keys: dict[str, Callable[[], object]] = {
            "F1": self.help_asked,
            "?": self.help_asked,
            "F2": self.toggle_theme,
            "F3": self.toggle_tiles,
            "F4": self.add_station_if_room,
            "F5": self._new_session,
            "F8": self.problems.dismiss,
            "Ctrl+Tab": partial(self._turn_tab, 1),
            "Ctrl+Shift+Tab": partial(self._turn_tab, -1),
            "Ctrl+O": self.open_recording,
            "Ctrl+W": self.close_station,
            "Ctrl+Q": self.close,
        }
        keys |= {f"Ctrl+{n}": partial(self.tabs.setCurrentIndex, n - 1) for n in range(1, _MOST_RIGS + 1)}
        for key, do in keys.items():
            shortcut = QShortcut(QKeySequence(key), self)
            shortcut.setAutoRepeat(False)
            shortcut.activated.connect(do)

    def _make_dark(self, stations: list[Station]) -> None:
        """All orders first, and only then what is on screen."""
        for station in stations:
            station.dark()
        for station in stations:
            station.show_dark()
        if self.help is not None:
            self.help.hide()

    def _watch_keys(self) -> None:
        application = QApplication.instance()
        if application is not None:
            application.installEventFilter(self._emergency)

    def _new_session(self) -> None:
        if self.current is not None:
            self.current.leave()

    def _turn_tab(self, by: int) -> None:
        if self.stations:
            self.tabs.setCurrentIndex((self.tabs.currentIndex() + by) % len(self.stations))

    def _remember(self, request: object) -> None:
        for name in ("protocol", "rig", "out"):
            self._memory.keep(name, str(getattr(request, name)))

    def _arrange(self, *_: object) -> None:
        """Put the stations where they belong: one over all, or all in a grid."""
        columns = self._columns_shown = self._columns()
        compact = self._tiled and len(self.stations) > 1
        current = self.current
        for index, station in enumerate(self.stations):
            self._deck.removeWidget(station)
            row, column = divmod(index, columns) if self._tiled else (0, 0)
            self._deck.addWidget(station, row, column)
            station.set_compact(compact)
            station.setVisible(self._tiled or station is current)
        self.stop_all.setVisible(len(self.stations) > 1)
        self._retitle()

    def _columns(self) -> int:
        """How many tiles lie side by side: as many as rows, if they have the width that a state needs."""
        if not self._tiled:
            return 1
        return max(1, min(math.ceil(math.sqrt(len(self.stations))), self.width() // _TILE_PX))

    def _retitle(self) -> None:
        for index, station in enumerate(self.stations):
            state = station.state
            name = f"{index + 1}  {station.title}"
            whole = f"{name} · {state.value}" if state else name
            brief = f"{index + 1}  {state.value}" if state else name
            self.tabs.setTabText(index, whole if len(self.stations) <= _MOST_WHOLE_TITLES else brief)
            self.tabs.setTabToolTip(index, whole)
            station.page.set_name(name)
        current = self.current
        state = current.state if current else None
        if current is not None and self.guide.isVisibleTo(self):
            self.guide.follow(state)
        self.setWindowTitle(f"{current.title} · {state.value} – closedloop" if current and state else "closedloop")


def _tool(words: str, tip: str, do: Callable[[], object]) -> QToolButton:
    button = QToolButton()
    button.setText(words)
    button.setToolTip(tip)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    button.setMinimumHeight(44)
    button.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Fixed)
    button.clicked.connect(lambda _=False: do())
    return button
