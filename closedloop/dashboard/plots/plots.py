"""The live view: traces, light and inputs on one time axis, while a session runs and afterwards. It only looks.

A picture is drawn again only if something in it has changed, and costs the same whatever the session's length.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyqtgraph as pg
from PyQt6.QtCore import QEvent, QObject, QPointF, Qt
from PyQt6.QtGui import QAction, QKeyEvent, QResizeEvent
from PyQt6.QtWidgets import QFileDialog, QLabel, QVBoxLayout, QWidget

from closedloop.dashboard.inputs.header_words import session_words
from closedloop.dashboard.panel import Panel, alone
from closedloop.dashboard.plots.axes import Reach, clock
from closedloop.dashboard.plots.figure import FILTERS, default_name, save_figure
from closedloop.dashboard.plots.key import PlotKey
from closedloop.dashboard.plots.picture import Choice, Look, Marker, Subject, release_at, subjects_of
from closedloop.dashboard.plots.rows import LaneRow, TimeAxis, TimeBox, TraceRow, ValueAxis
from closedloop.dashboard.plots.shades import BLOCKS, Shades, strip_of
from closedloop.dashboard.plots.timeline import TimelineBar
from closedloop.dashboard.theme import DARK, Theme
from closedloop.errors import ClosedLoopError
from closedloop.watching.follower import Stage
from closedloop.watching.watch import Watch

_PANS = {Qt.Key.Key_Left: -0.1, Qt.Key.Key_Right: 0.1, Qt.Key.Key_PageUp: -0.9, Qt.Key.Key_PageDown: 0.9}
_IN_TILE = ("signal", "score")
_LANES_AT = 64  # row of the layout: below all plots that there may be
_EMPTY = {
    Stage.WAITING: "Waiting for the session to begin.\nIt begins when the boards have answered.",
    Stage.RUNNING: "Waiting for the first reading.\nIf none comes: is the photometry board plugged in, its LEDs on?",
    Stage.FINISHED: "This session ended before its first reading: there is nothing to show.",
    Stage.BROKEN_OFF: "This session was broken off before its first reading: there is nothing to show.",
    Stage.UNREADABLE: "This recording cannot be read.",
}


class Plots(Panel):
    """The live view of one session.

    Attributes:
        timeline: which part is on screen.
        keys: what can be done by key; their texts are for a help page.
    """

    def __init__(self, theme: Theme = DARK, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self.timeline = TimelineBar(theme, self)
        self._watch: Watch | None = None
        self._is_compact = False
        self._choice = Choice.MAIN
        self._shown: object = None
        self._mouse: QPointF | None = None
        self._header: dict[str, Any] | None = None
        self._whose = ""
        self._marker = Marker()
        self._key = PlotKey(theme, self)
        self._canvas = pg.GraphicsLayoutWidget(self)
        self._empty = QLabel("", self._canvas)
        self._empty.setTextFormat(Qt.TextFormat.PlainText)
        self._subjects = subjects_of({})
        self._rows = self._make_rows()
        self._lanes = self._make_lanes()
        self._arrange()
        self.keys = self._make_keys()
        self.set_theme(theme)
        self._refresh_empty("Waiting for the first reading.")

    def show_watch(self, watch: Watch) -> None:
        """Draw what is on screen, if anything in it is new."""
        if watch is not self._watch:
            self._begin(watch)
        since_s, until_s = self.timeline.window_s(watch.traces.last_s)
        hover_s = self._hover_s(since_s, until_s)
        state = (id(watch), watch.version, since_s, until_s, hover_s, self._canvas.size(), self.theme, self.is_locked)
        if state == self._shown:
            return
        self._shown = state
        self._refresh_subjects(watch)
        self._refresh_empty(_words_of_nothing(watch))
        self._draw(watch, since_s, until_s, hover_s)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        self._shown = None
        self.timeline.set_theme(theme)
        self._key.set_theme(theme)
        self._canvas.setBackground(theme.ground)
        for row in self._rows:
            row.set_theme(theme)
        self._lanes.set_theme(theme)
        self.setStyleSheet(f"Plots, TimelineBar {{ background: {theme.ground}; }}")
        self._empty.setStyleSheet(
            f"background: {theme.panel}; color: {theme.text}; font-size: {theme.number_px}px; padding: 16px;"
        )

    def set_compact(self, compact: bool) -> None:
        """For a tile: signal, score and light alone, for more would be too low to be read."""
        if compact == self._is_compact:
            return
        self._is_compact = compact
        self._shown = self._header = None
        self.timeline.setVisible(not compact)
        self._choose()

    def jump(self, at_s: float) -> None:
        """Stand still around a moment; `EventsList.jumped` goes here."""
        self.timeline.jump(at_s)

    @property
    def is_locked(self) -> bool:
        """Whether the y axes stay as they are."""
        return self._rows[0].reach.is_locked

    def lock(self, locked: bool) -> None:
        """Keep the y axes as they are, or let them follow."""
        for row in self._rows:
            row.reach.is_locked = locked

    def ask_figure(self) -> None:
        """Ask where to, without holding up the window, and save what is on screen."""
        if self._watch is None:
            return
        since_s, until_s = self.timeline.window_s(self._watch.traces.last_s)
        name = str(Path.home() / default_name(self._watch.follower.folder, since_s, until_s))
        dialog = QFileDialog(self, "Save a figure", name, FILTERS)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("svg")
        dialog.setModal(False)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda path: self.save_figure(Path(path), since_s, until_s))
        dialog.show()

    def save_figure(self, path: Path, since_s: float, until_s: float) -> None:
        """Save a stretch as a figure, and say above the plots how that went."""
        if self._watch is None:
            return
        try:
            save_figure(self._watch, since_s, until_s, path)
        except ClosedLoopError as error:
            self._key.say(str(error))
        else:
            self._key.say(f"figure saved: {path}")

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802 - Qt's name
        """The mouse left the plots."""
        if event is not None and event.type() == QEvent.Type.Leave:
            self._mouse = None
        return super().eventFilter(watched, event)

    def keyPressEvent(self, a0: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """Arrows and pages move through the session while the plots have the focus."""
        key = None if a0 is None else a0.key()
        if key in _PANS:
            self.timeline.pan_parts(_PANS[Qt.Key(key)])
        elif key == Qt.Key.Key_Home:
            self.timeline.jump(0.0)
        elif key == Qt.Key.Key_End:
            self.timeline.setValue(self.timeline.value().followed())
        else:
            super().keyPressEvent(a0)

    def _make_rows(self) -> list[TraceRow]:
        return [self._make_row(number, subject) for number, subject in enumerate(subjects_of({}))]

    def _make_row(self, number: int, subject: Subject) -> TraceRow:
        plot = self._add_plot(number, ValueAxis("left"), pg.AxisItem("bottom"))
        plot.hideAxis("bottom")
        return TraceRow(plot, subject, self.theme, bounds=subject.name == "score")

    def _make_lanes(self) -> LaneRow:
        return LaneRow(self._add_plot(_LANES_AT, pg.AxisItem("left"), TimeAxis("bottom")), self.theme)

    def _add_plot(self, number: int, left: pg.AxisItem, bottom: pg.AxisItem) -> Any:
        box = TimeBox(self.timeline.zoom, self.timeline.pan)
        return self._canvas.addPlot(number, 0, viewBox=box, axisItems={"left": left, "bottom": bottom})

    def _arrange(self) -> None:
        layout = self._canvas.ci.layout
        layout.setSpacing(3)
        layout.setContentsMargins(0, 0, 8, 0)
        self._canvas.setFrameShape(self._canvas.Shape.NoFrame)
        self._canvas.setViewportUpdateMode(self._canvas.ViewportUpdateMode.FullViewportUpdate)
        self._canvas.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._canvas.scene().sigMouseMoved.connect(self._moved)
        self._canvas.viewport().installEventFilter(self)
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._empty.setWordWrap(True)
        self._empty.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self._key)
        column.addWidget(self._canvas, 1)
        column.addWidget(self.timeline)
        self.timeline.figure_asked.connect(self.ask_figure)
        self.timeline.choice_asked.connect(self._next_choice)

    def _make_keys(self) -> list[QAction]:
        self.timeline.add_keys(self)
        self.timeline.add_key(self, "Main plots, signals, or all that is measured", ("M",), self._next_choice)
        self.timeline.add_key(self, "Lock the y axes, or let them follow", ("L",), self._toggle_lock)
        return self.timeline.keys

    def _next_choice(self) -> None:
        """Other plots, where there are others."""
        if not any(subject.is_measure for subject in self._subjects):
            return
        self._choice = self._chosen.after(self._subjects)
        self._shown = None
        self._choose()

    @property
    def _chosen(self) -> Choice:
        """As wished for, if this session has something of the kind."""
        return self._choice if self._choice.wanted(self._subjects) else Choice.SIGNALS

    def _choose(self) -> None:
        """Show the plots that were chosen."""
        subjects = self._subjects
        high_px = self._canvas.height() - self._lanes.height_px(self._canvas.height())
        wanted = _IN_TILE if self._is_compact else self._chosen.wanted(subjects, high_px)
        for number, row in enumerate(self._rows):
            row.plot.setVisible(number < len(subjects) and row.subject.name in wanted)
        is_choice = any(subject.is_measure for subject in subjects)
        self.timeline.show_choice(self._chosen.value if is_choice else "")

    def _toggle_lock(self) -> None:
        self.lock(not self.is_locked)

    def _moved(self, at: QPointF) -> None:
        self._mouse = at

    def _hover_s(self, since_s: float, until_s: float) -> float | None:
        if self._mouse is None:
            return None
        box = self._lanes.box.sceneBoundingRect()
        part = (self._mouse.x() - box.left()) / max(1.0, box.width())
        return since_s + part * (until_s - since_s) if 0 <= part <= 1 else None

    def _refresh_subjects(self, watch: Watch) -> None:
        """Titles, units and lanes, once the header is known."""
        if watch.header is self._header:
            return
        self._header = watch.header
        self._whose = session_words(watch.header)
        self._subjects = subjects_of(watch.header, watch.traces.shown)
        for number in range(len(self._rows), len(self._subjects)):
            self._rows.append(self._make_row(number, self._subjects[number]))
        for row, subject in zip(self._rows, self._subjects, strict=False):  # those of another session stay hidden
            row.set_subject(subject)
        self._choose()
        names = () if self._is_compact else tuple(watch.marks.input_names)
        self._lanes.set_inputs(names, blocks=watch.course.has_blocks, blinded=watch.dose.blinded)
        self._fit_lanes()

    def resizeEvent(self, a0: QResizeEvent | None) -> None:  # noqa: N802 - Qt's name
        """Lanes are low where there is little room."""
        super().resizeEvent(a0)
        self._fit_lanes()
        self._choose()

    def _begin(self, watch: Watch) -> None:
        """Another session: its newest reading, on axes of its own."""
        self._watch = watch
        self._choice = Choice.MAIN
        self.timeline.setValue(self.timeline.value().followed())
        self._marker = Marker()
        for row in self._rows:
            row.reach = Reach()

    def _fit_lanes(self) -> None:
        height_px = self._lanes.height_px(self._canvas.height())
        self._canvas.ci.layout.setRowFixedHeight(_LANES_AT, height_px)

    def _draw(self, watch: Watch, since_s: float, until_s: float, hover_s: float | None) -> None:
        width = self._lanes.box.width()
        look = Look(since_s, until_s, {}, hover_s)
        shades = self._marker.shades(watch.marks, look, watch.traces.last_s, width, watch.course)
        look = look._replace(shades=shades)
        strip = strip_of(self.theme, shades, width)
        for row in (row for row in self._rows if row.plot.isVisible()):
            row.draw(watch.traces, look, strip, lambda times_s: release_at(watch.header, watch.marks, times_s))
        kinds = tuple(watch.marks.kinds)
        self._lanes.draw(look, is_dark=watch.traces.rows > 0 and not _asked_for_light(kinds))
        self._key.show_kinds(kinds, ("decided",) if watch.dose.blinded else ("light",))
        self._key.show_words(self._words(hover_s, shades))

    def _words(self, hover_s: float | None, shades: Shades) -> str:
        """What is under the mouse."""
        if hover_s is None:
            return "y axes locked (L)" if self.is_locked else self._whose
        width = self._lanes.box.width()
        since_s, until_s = self._lanes.box.viewRange()[0]
        x = (hover_s - since_s) / max(1e-9, until_s - since_s) * width
        names = [_words_at(kind, mark.label) for kind in shades for mark in shades[kind] if _covers(mark, x)]
        return "   ".join([f"at {clock(hover_s, 2)}", *names[:3]])

    def _refresh_empty(self, words: str) -> None:
        self._empty.setVisible(bool(words))
        if words:
            self._empty.setText(words)
            self._empty.setGeometry(self._canvas.rect())


def _words_of_nothing(watch: Watch) -> str:
    """What to say in place of plots; nothing once there are readings."""
    if watch.traces.rows:
        return ""
    problem = watch.follower.problem
    return "\n".join(part for part in (_EMPTY[watch.follower.stage], problem) if part)


def _asked_for_light(kinds: tuple[str, ...]) -> bool:
    other = ("veto", "paused", "gap", "detection", "trip", "note")
    return any(kind not in other and not kind.startswith("input:") for kind in kinds)


def _covers(mark: Any, x: float) -> bool:
    return bool(mark.left - 3 <= x <= max(mark.right, mark.left) + 3)


def _words_at(kind: str, label: str) -> str:
    name = "block" if kind in BLOCKS else kind.removeprefix("input:")
    return label if name in label else f"{name}: {label}" if label else name


if __name__ == "__main__":
    raise SystemExit(alone(Plots))
