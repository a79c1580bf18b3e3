"""The live view shows what the recording holds, moves as it is told, and says what it cannot show."""

from __future__ import annotations

import math
import os
from contextlib import contextmanager
from xml.etree import ElementTree

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import numpy as np
import pytest
from PyQt6.QtCore import QEvent, QObject, QPoint, QPointF, Qt
from PyQt6.QtGui import QColor, QImage, QMouseEvent, QWheelEvent
from PyQt6.QtWidgets import QApplication

from closedloop.dashboard.plots import axes
from closedloop.dashboard.plots.events_list import EventsList
from closedloop.dashboard.plots.figure import FigureError, save_figure
from closedloop.dashboard.plots.picture import release_at, subjects_of
from closedloop.dashboard.plots.plots import Plots
from closedloop.dashboard.plots.shades import Shade, look_of, strip_of
from closedloop.dashboard.plots.timeline import SPANS, TimelineBar, View
from closedloop.dashboard.theme import DARK, LIGHT
from closedloop.recording import RecordingWriter, row_dtype
from closedloop.steps import STEP, VALID, WARM, step_type
from closedloop.watching.measured import begun_with
from closedloop.watching.watch import Watch

RATE_HZ = 100
LAST_S = 60.0
ROW = row_dtype(STEP)
LIT_S, SHAM_S, REFUSED_S, GAP_S, SPIKE_S = 41.0, 44.0, 47.0, 50.0, 53.0
HEADER = {
    "rate_mhz": RATE_HZ * 1000,
    "nano_units": 100_000,
    "input_names": ["lever", "chamber"],
    "protocol": {"features": [{"kind": "dff"}, {"kind": "lowpass"}], "detector": {"threshold": 4.0, "release": 2.0}},
    "protocol_name": "night <1>",
    "decisions": ["fire", "blue_moon"],
    "command": {"on_us": 1_000_000, "period_us": 1_000_000, "pulses": 1, "level": 32_768, "ramp_off_us": 0},
}


def make_rows(seconds=LAST_S, since_s=0.0):
    rows = np.zeros(round((seconds - since_s) * RATE_HZ), ROW)
    number = np.arange(round(since_s * RATE_HZ), round(seconds * RATE_HZ))
    rows["ticks"] = number * (1_000_000 // RATE_HZ)
    rows["seq"] = number
    rows["signal_lit"] = 10_000 + number % 7 * 10
    rows["control_lit"] = 8_000 + number % 5 * 10
    rows["feature"], rows["score"], rows["threshold"] = 0.01, 1.0, 4.0
    rows["bits"] = VALID | WARM
    return rows


def eventful_rows():
    """A minute with one reading far above all others, and half a second missing."""
    rows = make_rows()
    rows["signal_lit"][round(SPIKE_S * RATE_HZ)] = 11_000
    at_s = rows["ticks"] / 1e6
    return rows[(at_s <= GAP_S) | (at_s > GAP_S + 0.5)]


EVENTS = (
    ("note", 10.0, {"reason": "remark", "text": "moved the lamp"}),
    ("note", 20.0, {"reason": "threshold", "value": 5.0, "text": "release 3"}),
    ("detection", LIT_S, {"train": 1, "value": 4.5}),
    ("decision", LIT_S, {"train": 1, "reason": "fire"}),
    ("light_on", LIT_S, {"train": 1, "value": 900.0}),
    ("light_off", LIT_S + 1, {"train": 1, "value": 1e6}),
    ("input", 42.0, {"reason": "lever", "value": 1.0}),
    ("input", 43.0, {"reason": "lever", "value": 0.0}),
    ("decision", SHAM_S, {"train": 2, "reason": "blue_moon"}),
    ("decision", REFUSED_S, {"train": 3, "reason": "fire"}),
    ("refused", REFUSED_S, {"train": 3, "reason": "refractory"}),
    ("gap", GAP_S + 0.51, {"reason": "missing", "value": 50.0}),
    ("note", 55.0, {"reason": "flat"}),
    ("note", 57.0, {"reason": "veto_over"}),
)


def begin(folder):
    folder.mkdir(parents=True)
    return RecordingWriter.open(folder, header=HEADER, protocol="", rig="", dtype=ROW)


@contextmanager
def running(folder):
    """A session that is being written."""
    writer = begin(folder)
    try:
        yield writer
    finally:
        writer.close({"ended": "completed"})


def record(writer, rows, events):
    writer.append(rows)
    for kind, at_s, more in events:
        writer.event(kind, ticks=round(at_s * 1e6), host_ns=0, **more)


def read(watch):
    """All there is now."""
    version = None
    while version != watch.version or watch.loaded < 1:
        version = watch.version
        watch.turn(0)
    return watch


@pytest.fixture
def watch(tmp_path):
    """An eventful session, over."""
    folder = tmp_path / "sub-m17" / "ses-20260102T030405"
    writer = begin(folder)
    record(writer, eventful_rows(), EVENTS)
    writer.close({"ended": "completed", "reason": "the duration is over"})
    return read(Watch(folder))


def shown(qtbot, panel, watch, width=900, height=560):
    qtbot.addWidget(panel)
    panel.resize(width, height)
    panel.show()
    for _ in range(3):
        QApplication.processEvents()
        panel.show_watch(watch)
    return panel


def painted(plots, watch):
    """The plots as a picture."""
    plots.show_watch(watch)
    QApplication.processEvents()
    return plots._canvas.grab().toImage()


def colour_at(plots, picture, lane, at_s):
    """What is painted in a lane at a moment."""
    box = plots._lanes.box.sceneBoundingRect()
    since_s, until_s = plots.timeline.value().window(LAST_S)
    lanes = list(plots._lanes.lanes)
    x = box.left() + (at_s - since_s) / (until_s - since_s) * box.width()
    y = box.top() + (lanes.index(lane) + 0.5) / len(lanes) * box.height()
    return QColor(picture.pixel(round(x), round(y))).name()


class Paints(QObject):
    """Counts how often a widget is painted."""

    def __init__(self, widget):
        super().__init__(widget)
        self.count = 0
        widget.installEventFilter(self)

    def eventFilter(self, watched, event):  # noqa: N802
        self.count += event.type() == QEvent.Type.Paint
        return False


# What is on screen


def test_the_newest_reading_stays_on_screen_until_someone_pans() -> None:
    view = View(10.0)
    assert view.window(100.0) == (90.0, 100.0)
    moved = view.panned(-5.0, 100.0)
    assert not moved.is_following
    assert moved.window(100.0) == moved.window(200.0) == (85.0, 95.0)
    assert moved.followed().window(200.0) == (190.0, 200.0)


def test_a_session_shorter_than_the_span_begins_at_the_left() -> None:
    assert View(30.0).window(3.0) == (0.0, 30.0)


@pytest.mark.parametrize("last_s", [0.0, 1.0, 61.3, 3600.0, 28_800.0])
def test_the_whole_session_is_on_screen_with_little_beside_it(last_s) -> None:
    since_s, until_s = View(None).window(last_s)
    assert since_s == 0
    assert last_s <= until_s <= max(5.0, 1.02 * last_s)


@pytest.mark.parametrize("factor", [0.1, 0.5, 1.0, 1.7])
def test_zooming_keeps_the_moment_under_the_mouse_where_it_is(factor) -> None:
    before, after = View(20.0, 60.0).window(100.0), View(20.0, 60.0).zoomed(factor, 55.0, 100.0).window(100.0)
    parts = [(55.0 - since_s) / (until_s - since_s) for since_s, until_s in (before, after)]
    assert parts[0] == pytest.approx(parts[1])


def test_zooming_goes_on_following_and_ends_at_the_whole_session() -> None:
    assert View(20.0).zoomed(0.5, 3.0, 100.0) == View(10.0)
    assert View(20.0).zoomed(10.0, 3.0, 100.0) == View(None)


@pytest.mark.parametrize("by_s", [-1e6, 1e6])
def test_panning_does_not_leave_the_session(by_s) -> None:
    since_s, until_s = View(20.0, 60.0).panned(by_s, 100.0).window(100.0)
    assert since_s >= 0
    assert until_s <= 100
    assert until_s - since_s == 20


def test_a_jump_puts_the_moment_in_the_middle_and_stands_still() -> None:
    for view in (View(30.0), View(None)):
        jumped = view.jumped(50.0, 100.0)
        assert jumped.window(100.0) == jumped.window(200.0) == (35.0, 65.0)


# The bar


def test_each_button_shows_its_span(qtbot) -> None:
    bar = TimelineBar()
    qtbot.addWidget(bar)
    bar.window_s(1000.0)
    for name, span_s in SPANS.items():
        bar.spans[name].click()
        assert bar.value().span_s == span_s
        assert [button.text() for button in bar.spans.values() if button.isChecked()] == [name]


def test_a_growing_session_moves_the_scroll_bar_and_is_no_wish_of_anyone(qtbot) -> None:
    bar = TimelineBar()
    qtbot.addWidget(bar)
    wishes = []
    bar.changed.connect(wishes.append)
    for last_s in range(200):
        bar.window_s(float(last_s))
    assert wishes == []
    assert bar.value().is_following
    assert bar.slider.value() == bar.slider.maximum()


def test_the_scroll_bar_pans_and_the_button_follows_again(qtbot) -> None:
    bar = TimelineBar()
    qtbot.addWidget(bar)
    bar.window_s(130.0)
    bar.slider.setValue(bar.slider.maximum() // 2)
    assert bar.value() == View(30.0, 80.0)
    assert "Follow" in bar.follow.text()
    bar.follow.click()
    assert bar.value() == View(30.0)


def test_all_of_the_bar_is_done_by_key(qtbot, watch) -> None:
    plots = shown(qtbot, Plots(), watch)
    plots.activateWindow()
    qtbot.waitUntil(plots.isActiveWindow)
    bar = plots.timeline
    for key, view in (
        (Qt.Key.Key_1, View(5.0)),
        (Qt.Key.Key_5, View(None)),
        (Qt.Key.Key_3, View(120.0)),
        (Qt.Key.Key_2, View(30.0)),
        (Qt.Key.Key_Plus, View(15.0)),
        (Qt.Key.Key_Minus, View(30.0)),
        (Qt.Key.Key_F, View(30.0, LAST_S - 0.01)),
        (Qt.Key.Key_Comma, View(30.0, LAST_S - 15.01)),
        (Qt.Key.Key_Period, View(30.0, LAST_S - 0.01)),
        (Qt.Key.Key_PageUp, View(30.0, LAST_S - 27.01)),
        (Qt.Key.Key_End, View(30.0)),
        (Qt.Key.Key_Home, View(30.0, 30.0)),
        (Qt.Key.Key_F, View(30.0)),
    ):
        qtbot.keyClick(plots, key)
        plots.show_watch(watch)
        assert bar.value().span_s == view.span_s, key
        assert bar.value().until_s == (None if view.until_s is None else pytest.approx(view.until_s)), key


def test_keys_are_dead_while_the_bar_is_hidden_so_that_another_rig_has_them(qtbot, watch) -> None:
    plots = shown(qtbot, Plots(), watch)
    assert all(action.isEnabled() for action in plots.keys)
    plots.timeline.hide()
    qtbot.keyClick(plots, Qt.Key.Key_5)
    assert plots.timeline.value() == View(30.0)


# Axes


def test_an_axis_does_not_move_with_every_reading_but_at_once_with_a_transient() -> None:
    reach = axes.Reach()
    assert reach.follow((0.0, 1.0))
    assert not any(reach.follow((0.05 * n % 0.3, 1.0 - 0.04 * n % 0.3)) for n in range(50))
    assert reach.follow((0.0, 3.0))
    assert reach.low <= 0 < 3 <= reach.high
    assert reach.follow((0.0, 0.5))
    assert reach.high < 1


def test_a_locked_axis_stays_and_an_unknown_extent_changes_nothing() -> None:
    reach = axes.Reach()
    assert not reach.follow(None)
    assert not reach.follow((math.nan, 1.0))
    reach.follow((0.0, 1.0))
    reach.is_locked = True
    assert not reach.follow((0.0, 9.0))


def test_a_flat_signal_has_an_axis() -> None:
    for value in (0.0, 2.5, -1e-6):
        reach = axes.Reach()
        reach.follow((value, value))
        assert reach.low < value < reach.high


@pytest.mark.parametrize("span", [1e-6, 0.3, 7.0, 100.0, 30_000.0])
def test_ticks_are_few_round_and_told_apart(span) -> None:
    step = axes.step_of(span, 4)
    found = axes.ticks(0.0, span, step)
    assert 2 <= len(found) <= 5
    assert len({f"{tick:.{axes.decimals_of(step)}f}" for tick in found}) == len(found)


@pytest.mark.parametrize("span_s", [0.05, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0, 28_800.0])
def test_ticks_of_time_are_few_and_stand_on_the_clock(span_s) -> None:
    step_s = axes.time_step_s(span_s, 8)
    assert 2 <= span_s / step_s <= 8
    assert step_s < 1 or step_s == round(step_s)


# The plots


def test_before_the_first_reading_words_say_what_is_waited_for(qtbot, tmp_path) -> None:
    plots = shown(qtbot, Plots(), Watch(tmp_path / "nowhere"))
    assert plots._empty.isVisible()
    assert "Waiting" in plots._empty.text()
    with running(tmp_path / "ses") as writer:
        watch = Watch(tmp_path / "ses")
        watch.turn(0)
        plots.show_watch(watch)
        assert "first reading" in plots._empty.text()
        writer.append(make_rows(1.0))
        plots.show_watch(read(watch))
        assert not plots._empty.isVisible()


def test_a_transient_of_one_reading_is_drawn_at_every_span(qtbot, watch) -> None:
    plots = shown(qtbot, Plots(), watch)
    for span_s in SPANS.values():
        plots.timeline.setValue(View(span_s, LAST_S))
        plots.timeline.jump(SPIKE_S) if span_s == 5.0 else None
        plots.show_watch(watch)
        assert plots._rows[0].drawn.y[np.isfinite(plots._rows[0].drawn.y)].max() == pytest.approx(1.1)


def test_missing_readings_are_a_break_in_every_curve(qtbot, watch) -> None:
    plots = shown(qtbot, Plots(), watch)
    for row in plots._rows:
        at = np.isnan(row.drawn.y)
        assert at.any()
        assert all(GAP_S <= time_s <= GAP_S + 0.51 for time_s in row.drawn.x[at])


def test_light_stands_in_its_lane_and_what_was_not_given_below_it(qtbot, watch) -> None:
    plots = shown(qtbot, Plots(), watch)
    picture = painted(plots, watch)
    lit = DARK.light
    assert colour_at(plots, picture, "light", LIT_S + 0.5) == lit
    for at_s in (SHAM_S + 0.5, REFUSED_S, 45.5):
        assert colour_at(plots, picture, "light", at_s) != lit
    assert colour_at(plots, picture, "withheld", REFUSED_S) == DARK.refused
    assert colour_at(plots, picture, "withheld", SHAM_S + 0.5) not in (DARK.panel, DARK.refused)
    assert colour_at(plots, picture, "withheld", LIT_S - 2.0) == DARK.panel


def test_inputs_are_discovered_and_have_lanes(qtbot, watch) -> None:
    plots = shown(qtbot, Plots(), watch)
    assert list(plots._lanes.lanes)[-2:] == ["input:lever", "input:chamber"]
    picture = painted(plots, watch)
    assert colour_at(plots, picture, "input:lever", 42.5) == DARK.text
    assert colour_at(plots, picture, "input:lever", 43.5) == DARK.panel
    assert colour_at(plots, picture, "input:chamber", 42.5) == DARK.panel


def test_a_tile_shows_signal_score_and_light_alone_and_the_whole_comes_back(qtbot, watch) -> None:
    plots = shown(qtbot, Plots(), watch, 480, 230)
    plots.set_compact(True)
    plots.show_watch(watch)
    assert [row.subject.name for row in plots._rows if row.plot.isVisible()] == ["signal", "score"]
    assert not any(lane.startswith("input:") for lane in plots._lanes.lanes)
    plots.set_compact(False)
    plots.show_watch(watch)
    assert all(row.plot.isVisible() for row in plots._rows)
    assert any(lane.startswith("input:") for lane in plots._lanes.lanes)


def test_a_kind_of_decision_nobody_knew_is_named_in_the_key(qtbot, watch) -> None:
    plots = shown(qtbot, Plots(), watch)
    assert look_of("blue_moon") == "withheld"
    assert {"light", "blue_moon", "refused", "veto", "gap", "detection"} == set(plots._key._kinds)


def test_light_that_goes_on_ends_at_the_newest_reading(qtbot, tmp_path) -> None:
    with running(tmp_path / "ses") as writer:
        record(writer, make_rows(20.0), [("light_on", 19.5, {"train": 1, "value": 900.0})])
        watch = read(Watch(tmp_path / "ses"))
        plots = shown(qtbot, Plots(), watch)
        width = plots._lanes.box.width()
        mark = plots._lanes._look.shades["light"][-1]
        assert mark.right == pytest.approx(19.99 / 30 * width)
        writer.append(make_rows(20.2, 20.0))
        plots.show_watch(read(watch))
        assert plots._lanes._look.shades["light"][-1].right == pytest.approx(20.19 / 30 * width)


def test_a_session_without_light_says_so_until_there_is_some(qtbot, tmp_path) -> None:
    with running(tmp_path / "ses") as writer:
        writer.append(make_rows(5.0))
        watch = read(Watch(tmp_path / "ses"))
        plots = shown(qtbot, Plots(), watch)
        assert plots._lanes._is_dark
        writer.event("decision", ticks=4_000_000, host_ns=0, train=1, reason="fire")
        writer.event("refused", ticks=4_000_000, host_ns=0, train=1, reason="unplugged")
        plots.show_watch(read(watch))
        assert not plots._lanes._is_dark


def test_the_band_of_hysteresis_follows_changes_by_hand(watch) -> None:
    assert release_at(watch.header, watch.marks, np.array([0.0, 19.9, 20.1, 59.0])).tolist() == [2.0, 2.0, 3.0, 3.0]


def test_the_threshold_is_on_screen_however_low_the_score(qtbot, watch) -> None:
    row = shown(qtbot, Plots(), watch)._rows[3]
    assert row.reach.low < 1.0 < 4.0 < row.reach.high


def test_the_mouse_reads_values_and_marks(qtbot, watch) -> None:
    plots = shown(qtbot, Plots(), watch)
    box = plots._lanes.box.sceneBoundingRect()
    since_s, until_s = plots.timeline.value().window(watch.traces.last_s)
    x = box.left() + (SPIKE_S - since_s) / (until_s - since_s) * box.width()
    plots._canvas.scene().sigMouseMoved.emit(QPointF(x, 50.0))
    plots.show_watch(watch)
    assert "1.1" in plots._rows[0].words
    x = box.left() + (LIT_S + 0.5 - since_s) / (until_s - since_s) * box.width()
    plots._canvas.scene().sigMouseMoved.emit(QPointF(x, 50.0))
    plots.show_watch(watch)
    assert "0:41.5" in plots._key._words
    assert "light" in plots._key._words
    QApplication.sendEvent(plots._canvas.viewport(), QEvent(QEvent.Type.Leave))
    plots.show_watch(watch)
    assert plots._key._words == ""


def test_the_wheel_zooms_about_the_mouse(qtbot, watch) -> None:
    plots = shown(qtbot, Plots(), watch)
    plots.jump(30.0)
    plots.show_watch(watch)
    box = plots._lanes.box.sceneBoundingRect()
    at = QPointF(box.left() + 0.25 * box.width(), 100.0)
    wheel = QWheelEvent(
        at,
        at,
        QPoint(),
        QPoint(0, 240),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(plots._canvas.viewport(), wheel)
    since_s, until_s = plots.timeline.value().window(LAST_S)
    assert until_s - since_s < 25
    assert since_s + 0.25 * (until_s - since_s) == pytest.approx(22.5, abs=0.1)


def test_dragging_pans_and_following_ends(qtbot, watch) -> None:
    plots = shown(qtbot, Plots(), watch)
    viewport = plots._canvas.viewport()
    box = plots._lanes.box.sceneBoundingRect()
    qtbot.mousePress(viewport, Qt.MouseButton.LeftButton, pos=QPoint(200, 100))
    for x in range(220, 401, 20):
        move = QMouseEvent(
            QEvent.Type.MouseMove,
            QPointF(x, 100),
            QPointF(x, 100),
            Qt.MouseButton.NoButton,
            Qt.MouseButton.LeftButton,
            Qt.KeyboardModifier.NoModifier,
        )
        plots._canvas.lastMouseTime = 0
        QApplication.sendEvent(viewport, move)
    qtbot.mouseRelease(viewport, Qt.MouseButton.LeftButton, pos=QPoint(400, 100))
    by_s = LAST_S - 0.01 - (plots.timeline.value().until_s or math.nan)
    assert by_s == pytest.approx(200 / box.width() * 30.0, rel=0.15)


def test_a_still_picture_is_not_painted_again(qtbot, watch) -> None:
    plots = shown(qtbot, Plots(), watch)
    QApplication.processEvents()
    paints = Paints(plots._canvas.viewport())
    for _ in range(10):
        plots.show_watch(watch)
        QApplication.processEvents()
    assert paints.count == 0
    plots.timeline.pan(-1.0)
    plots.show_watch(watch)
    QApplication.processEvents()
    assert paints.count > 0


def test_locked_axes_stay_when_another_part_is_shown(qtbot, watch) -> None:
    plots = shown(qtbot, Plots(), watch)
    plots.jump(15.0)
    plots.show_watch(watch)
    plots.lock(True)
    low, high = plots._rows[0].reach.low, plots._rows[0].reach.high
    plots.jump(SPIKE_S)
    plots.show_watch(watch)
    assert (plots._rows[0].reach.low, plots._rows[0].reach.high) == (low, high)
    assert "locked" in plots._key._words
    plots.lock(False)
    plots.show_watch(watch)
    assert plots._rows[0].reach.high > 1.1


def test_another_session_is_followed_from_its_newest_reading_on_axes_of_its_own(qtbot, watch, tmp_path) -> None:
    plots = shown(qtbot, Plots(), watch)
    plots.lock(True)
    plots.jump(10.0)
    with running(tmp_path / "ses") as writer:
        rows = make_rows(5.0)
        rows["signal_lit"] += 10_000
        writer.append(rows)
        plots.show_watch(read(Watch(tmp_path / "ses")))
        assert plots.timeline.value().is_following
        assert not plots.is_locked
        assert plots._rows[0].reach.low < 2.0 < plots._rows[0].reach.high


def test_a_recording_that_tells_nothing_of_its_protocol_is_shown(qtbot, tmp_path) -> None:
    for protocol in (None, {}, {"features": None, "detector": None}):
        watch = Watch(tmp_path)
        watch.header.update(HEADER | {"protocol": protocol})
        assert np.isnan(release_at(watch.header, watch.marks, np.zeros(2))).all()
        assert len(subjects_of(watch.header)) == 4


def test_another_theme_is_taken_at_once(qtbot, watch) -> None:
    plots = shown(qtbot, Plots(DARK), watch)
    plots.set_theme(LIGHT)
    picture = painted(plots, watch)
    assert colour_at(plots, picture, "light", LIT_S + 0.5) == LIGHT.light
    assert colour_at(plots, picture, "input:chamber", 42.5) == LIGHT.panel


@pytest.mark.parametrize("size", [(200, 120), (640, 300), (1366, 560)])
def test_any_size_is_drawn(qtbot, watch, size) -> None:
    plots = shown(qtbot, Plots(), watch, *size)
    assert not painted(plots, watch).isNull()


def test_thin_marks_behind_the_curves_are_never_lost() -> None:
    strip = strip_of(DARK, {"light": [Shade(10.2, 10.3, ""), Shade(99.9, 99.95, "")]}, 100)
    ground = strip.pixel(0, 0)
    assert [x for x in range(100) if strip.pixel(x, 0) != ground] == [10, 99]


def test_the_chain_of_features_and_its_unit_are_named() -> None:
    feature = subjects_of(HEADER)[2]
    assert "dff" in feature.title
    assert feature.unit == "dF/F"
    assert all(subject.unit and subject.absent for subject in subjects_of({}))


def test_plots_leave_no_widget_behind(qtbot, watch) -> None:
    QApplication.processEvents()
    before = len(QApplication.allWidgets())
    for _ in range(3):
        plots = Plots()
        plots.resize(600, 400)
        plots.show()
        plots.show_watch(watch)
        plots.close()
        plots.deleteLater()
        del plots
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        QApplication.processEvents()
    assert len(QApplication.allWidgets()) <= before


# The list of events


def lines(events):
    model = events.list.model()
    return [model.data(model.index(row)) for row in range(model.rowCount())]


def test_events_are_listed_newest_first_in_words(qtbot, watch) -> None:
    events = shown(qtbot, EventsList(), watch, 430, 500)
    found = lines(events)
    assert len(found) == len(EVENTS)
    assert "0:57.00" in found[0]
    assert "moved the lamp" in found[-1]


def test_the_list_shows_one_kind_if_asked(qtbot, watch) -> None:
    events = shown(qtbot, EventsList(), watch, 430, 500)
    assert {"light", "refused", "gap", "note"} <= {events.kinds.itemText(n) for n in range(events.kinds.count())}
    events.kinds.setCurrentText("refused")
    events.show_watch(watch)
    assert len(lines(events)) == 1
    assert "refractory" in lines(events)[0]


def test_click_and_enter_jump_to_the_event(qtbot, watch) -> None:
    events = shown(qtbot, EventsList(), watch, 430, 500)
    plots = shown(qtbot, Plots(), watch)
    events.jumped.connect(plots.jump)
    events.kinds.setCurrentText("gap")
    events.show_watch(watch)
    QApplication.processEvents()
    at = events.list.visualRect(events.list.model().index(0, 0)).center()
    qtbot.mouseClick(events.list.viewport(), Qt.MouseButton.LeftButton, pos=at)
    assert plots.timeline.value().until_s == pytest.approx(min(LAST_S - 0.01, GAP_S + 15.51))
    plots.timeline.setValue(View(5.0))
    qtbot.keyClick(events.list, Qt.Key.Key_Return)
    assert plots.timeline.value() == View(5.0, pytest.approx(GAP_S + 3.01))


def test_what_is_selected_stays_selected_when_more_happens(qtbot, tmp_path) -> None:
    with running(tmp_path / "ses") as writer:
        record(writer, make_rows(5.0), [("note", 1.0, {"reason": "remark", "text": "first"})])
        watch = read(Watch(tmp_path / "ses"))
        events = shown(qtbot, EventsList(), watch, 430, 500)
        events.list.setCurrentIndex(events.list.model().index(0, 0))
        record(writer, make_rows(6.0, 5.0), [("note", 5.5, {"reason": "remark", "text": "second"})])
        events.show_watch(read(watch))
        assert [words.split()[-1] for words in lines(events)] == ["second", "first"]
        assert events.list.currentIndex().row() == 1


def test_an_empty_list_says_what_will_stand_there(qtbot, tmp_path) -> None:
    events = shown(qtbot, EventsList(), Watch(tmp_path / "nowhere"), 430, 500)
    assert events._empty.isVisible()


# Figures


def test_a_drawing_has_units_on_its_axes_and_words_that_can_be_edited(qtbot, watch, tmp_path) -> None:
    path = tmp_path / "figure.svg"
    save_figure(watch, 35.0, 60.0, path)
    tree = ElementTree.fromstring(path.read_bytes())
    words = " ".join("".join(element.itertext()) for element in tree.iter("{http://www.w3.org/2000/svg}text"))
    for word in ("470 nm signal", "405 nm control", "(V)", "(dF/F)", "(SD)", "min:s", "lever", "light", "withheld"):
        assert word in words
    assert "ses-20260102T030405" in words


def test_a_picture_has_300_dots_an_inch_and_shows_the_light(qtbot, watch, tmp_path) -> None:
    path = tmp_path / "figure.PNG"
    save_figure(watch, 35.0, 60.0, path)
    image = QImage(str(path))
    assert image.dotsPerMeterX() == pytest.approx(300 / 0.0254, rel=0.01)
    light = QColor(LIGHT.light).rgb()
    assert any(image.pixel(x, y) == light for x in range(0, image.width(), 5) for y in range(0, image.height(), 10))


@pytest.mark.parametrize(
    ("name", "words"), [("figure.bmp", ".png or an .svg"), ("missing/figure.svg", "choose another folder")]
)
def test_a_figure_that_cannot_be_written_says_why(qtbot, watch, tmp_path, name, words) -> None:
    with pytest.raises(FigureError, match=words):
        save_figure(watch, 0.0, 60.0, tmp_path / name)
    plots = shown(qtbot, Plots(), watch)
    plots.save_figure(tmp_path / name, 0.0, 60.0)
    assert words in plots._key._said


def test_there_is_no_figure_of_nothing(tmp_path) -> None:
    with pytest.raises(FigureError, match="no readings"):
        save_figure(Watch(tmp_path), 0.0, 1.0, tmp_path / "figure.svg")


def test_saving_a_figure_changes_nothing_in_the_session(qtbot, watch, tmp_path) -> None:
    folder = watch.follower.folder
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    save_figure(watch, 0.0, 60.0, tmp_path / "figure.svg")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_asking_where_to_save_holds_nothing_up(qtbot, watch) -> None:
    plots = shown(qtbot, Plots(), watch)
    plots.timeline.figure.click()
    dialogs = [widget for widget in QApplication.topLevelWidgets() if widget.windowTitle() == "Save a figure"]
    assert len(dialogs) == 1
    assert not dialogs[0].isModal()
    dialogs[0].reject()


# What the session's parts show of themselves

SHOWN = ("noise_sd", "threshold_score", "gain", "rate", "level")
STATE = {
    "features": [{"kind": "dff"}],
    "anchor": {"events": {"rate": "3 /min"}},
    "detector": {
        "kind": "any",
        "of": [{"kind": "state", "threshold": 0.9}, {"kind": "threshold", "threshold": 4.5}],
        "threshold": 1.0,
        "release": 1.0,
    },
}


@pytest.fixture
def measured(tmp_path):
    """A session in which level, rate, gain, a member's score and something nobody knows are shown."""
    folder = tmp_path / "sub-m17" / "ses-20260102T030406"
    folder.mkdir(parents=True)
    dtype = row_dtype(step_type(SHOWN))
    writer = RecordingWriter.open(folder, header=HEADER | {"protocol": STATE}, protocol="", rig="", dtype=dtype)
    plain = make_rows()
    rows = np.zeros(len(plain), dtype)
    for name in ROW.names:
        rows[name] = plain[name]
    for name, value in zip(SHOWN, (0.5, 3.0, 1.5, 9.0, 0.024), strict=True):
        rows[name] = value
    rows["rate"][:4000] = np.nan
    writer.append(rows)
    writer.close({"ended": "completed"})
    return read(Watch(folder))


def on_screen(plots):
    return [row.subject.name for row in plots._rows if row.plot.isVisible()]


def test_level_rate_and_gain_stand_beside_the_signal_each_with_what_is_usual(qtbot, measured) -> None:
    plots = shown(qtbot, Plots(), measured, 1000, 1000)
    assert on_screen(plots) == ["signal", "control", "feature", "score", "level", "rate", "gain"]
    level, rate, gain = plots._rows[4:7]
    assert level.words == "level   2.400 %   (usual 0)"
    assert rate.words == "event rate   9.000 /min   (usual 3)"
    assert gain.words == "event gain   1.500 ×   (usual 1)"
    for row, usual in ((level, 0.0), (rate, 3.0), (gain, 1.0)):
        assert row.reach.low < usual < row.reach.high
    assert np.isnan(rate.drawn.y).any()
    assert np.nanmax(level.drawn.y) == pytest.approx(2.4)


def test_where_there_is_little_room_control_and_feature_are_left_for_another_look(qtbot, measured) -> None:
    plots = shown(qtbot, Plots(), measured, 900, 480)
    assert on_screen(plots) == ["signal", "score", "level", "rate", "gain"]
    assert plots.timeline.choice.text() == "Main  M"
    plots.timeline.choice.click()
    assert on_screen(plots) == ["signal", "control", "feature", "score"]
    plots.timeline.choice.click()
    assert on_screen(plots) == ["score", "level", "rate", "gain", "threshold_score", "noise_sd"]
    plots.show_watch(measured)
    score, member = plots._rows[3], plots._rows[7]
    assert score.reach.low < 0 < 2 < score.reach.high  # of two members, whatever it has been
    assert (member.subject.unit, member.subject.usual) == ("SD", 4.5)
    plots.timeline.choice.click()
    assert plots.timeline.choice.text() == "Main  M"
    plots.set_compact(True)
    assert on_screen(plots) == ["signal", "score"]


def test_a_session_that_shows_nothing_has_no_choice_and_nothing_of_the_last_one(qtbot, measured, watch) -> None:
    plots = shown(qtbot, Plots(), measured, 900, 480)
    plots.show_watch(watch)
    assert on_screen(plots) == ["signal", "control", "feature", "score"]
    assert not plots.timeline.choice.isVisible()
    plots._next_choice()
    assert on_screen(plots) == ["signal", "control", "feature", "score"]
    plots.show_watch(measured)
    assert "level" in on_screen(plots)


def test_a_figure_has_what_is_measured_with_units(measured, tmp_path) -> None:
    path = tmp_path / "figure.svg"
    save_figure(measured, 0.0, 60.0, path)
    words = " ".join(ElementTree.parse(path).getroot().itertext())
    for said in ("level", "(%)", "event rate", "(/min)", "event gain", "(×)", "threshold score", "noise sd"):
        assert said in words


def test_bounds_that_a_detector_computed_are_those_of_the_recording() -> None:
    header = {"protocol": STATE, "bounds": {"threshold": 7.5, "release": 3.75, "highest": 15.0}}
    assert begun_with(header) == (7.5, 3.75, 15.0)
    assert begun_with({"protocol": STATE})[:2] == (1.0, 1.0)
    assert math.isnan(begun_with({}).threshold)
