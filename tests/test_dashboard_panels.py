"""What the strip, the figures, the gauges, the histograms and the averages show is what the session is."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from datetime import datetime

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import numpy as np
import pytest
from PyQt6.QtCore import QEvent, QObject
from PyQt6.QtGui import QColor, QFontMetricsF, QPalette
from PyQt6.QtWidgets import QApplication, QPushButton, QWidget

from closedloop.dashboard import style
from closedloop.dashboard.readout import amounts, charts, shapes
from closedloop.dashboard.readout.audit import AuditSheet
from closedloop.dashboard.readout.averages import Averages
from closedloop.dashboard.readout.gauges import Gauges
from closedloop.dashboard.readout.latency import Latency, decades
from closedloop.dashboard.readout.lettering import contrast, fitted, ink, wrapped
from closedloop.dashboard.readout.numbers import Numbers, groups
from closedloop.dashboard.readout.strip import HEIGHT_PX, LOOKS, StateStrip
from closedloop.dashboard.theme import DARK, LIGHT
from closedloop.health import HEALTH
from closedloop.recording import RecordingWriter, create, row_dtype
from closedloop.steps import STEP, VALID, WARM
from closedloop.watching.auditing import Findings
from closedloop.watching.averages import Average
from closedloop.watching.dose import Gauge
from closedloop.watching.rates import Occupancy
from closedloop.watching.status import Line, State, Status
from closedloop.watching.tallies import Histogram, Tallies
from closedloop.watching.watch import Watch

STRIP_PX = 1366 - 190  # beside the red button of the smallest screen
RATE_HZ = 100
ROW = row_dtype(STEP)
BOARD = {"board": 1, "firmware": 1, "wire_hash": 1, "unique_id": 1, "reset_cause": 1}
HEADER = {
    "rate_mhz": RATE_HZ * 1000,
    "nano_units": 100_000,
    "input_names": ["lever", "chamber"],
    "started_ns": 0,
    "protocol": {"warm_up": "5 s"},
    "rig": {"daq": {"port": "/dev/ttyACM0"}, "stimulator": {"port": "/dev/ttyACM1"}},
    "decisions": ["fire", "blue_moon"],
    "limits": {
        "on_us": 500_000,
        "off_us": 100_000,
        "level": 65_535,
        "short_window_ms": 60_000,
        "short_on_ms": 15_000,
        "long_window_ms": 600_000,
        "long_on_ms": 60_000,
        "trains_per_minute": 60,
        "lease_ms": 250,
    },
    "command": {"on_us": 200_000, "period_us": 200_000, "pulses": 1, "level": 32_768, "ramp_off_us": 0},
    "tip_mw": 5.0,
    "boards": {"daq": BOARD, "stimulator": BOARD},
    "speed": 1.0,
    "expected_s": 60.0,
}
OK = Line("ok", "last reading just now")
RUNNING = Status(
    state=State.ARMED,
    reason="light may be given",
    elapsed_s=751.2,
    left_s=449.0,
    is_recording=True,
    size_bytes=12_300_000,
    free_s=41 * 3600.0,
    free_bytes=40_000_000_000,
    daq=OK,
    stimulator=OK,
    heartbeat_age_s=0.1,
    is_armed=True,
)


class Clock:
    """A monotonic clock that is told what time it is."""

    def __init__(self):
        self.now_ns = 0

    def __call__(self):
        return self.now_ns


class Paints(QObject):
    """Remembers what in a widget was painted."""

    def __init__(self, widget):
        super().__init__(widget)
        self.painted = set()
        for each in (widget, *widget.findChildren(QWidget)):
            each.installEventFilter(self)

    def eventFilter(self, watched, event):  # noqa: N802
        if event.type() == QEvent.Type.Paint:
            self.painted.add(watched.accessibleName())
        return False


def shown(qtbot, widget, width=STRIP_PX, height=HEIGHT_PX):
    qtbot.addWidget(widget)
    widget.resize(width, height)
    widget.show()
    QApplication.processEvents()
    return widget


def part_of(widget, colour):
    """How much of a widget is painted in this colour, 0 to 1."""
    QApplication.processEvents()
    picture = widget.grab().toImage()
    want = QColor(colour).rgb()
    dots = [picture.pixel(x, y) == want for x in range(0, picture.width(), 3) for y in range(0, picture.height(), 3)]
    return sum(dots) / len(dots)


def recorded(folder):
    """A session of 30 s: 12 readings missing, a train at 8 s, one refused at 12 s, one withheld at 15 s."""
    writer = RecordingWriter.open(
        create(folder, None, datetime(2025, 6, 1, 12, 0, 0)), header=HEADER, protocol="a: 1\n", rig="b: 2\n", dtype=ROW
    )
    rows = np.zeros(30 * RATE_HZ, ROW)
    rows["ticks"] = np.arange(len(rows)) * (1_000_000 // RATE_HZ)
    rows["seq"] = np.arange(len(rows)) + 12 * (np.arange(len(rows)) >= 2500)
    rows["signal_lit"], rows["bits"], rows["score"] = 1000, VALID | WARM, 0.5
    rows["inputs"][1000:1500] = 1
    writer.append(rows)
    for train, at_s, kind in ((1, 8, "fire"), (2, 12, "fire"), (3, 15, "blue_moon")):
        told = {"ticks": at_s * 1_000_000, "host_ns": 0, "train": train}
        writer.event("detection", value=3.0, **told)
        writer.event("decision", reason=kind, **told)
    writer.event("command", ticks=8_000_000, host_ns=0, train=1, value=130.0)
    writer.event("light_on", ticks=8_000_000, host_ns=0, train=1, value=1500.0)
    writer.event("light_off", ticks=8_200_000, host_ns=0, train=1, value=200_000.0)
    writer.event("refused", ticks=12_000_000, host_ns=0, train=2, reason="duty_short")
    health = np.zeros(1, HEALTH)
    health["ticks"], health["daq_residual_us"], health["stimulator_residual_us"] = 29_000_000, 12.0, math.nan
    writer.health(health)
    writer.close({"ended": "completed", "reason": "the duration is over"})
    return writer


def taken_in(folder):
    watch = Watch(folder)
    for _ in range(20):
        watch.turn(0)
    return watch


def figures(tallies, findings=None):
    shown = groups(tallies, findings or Findings(HEADER))
    return {figure.name: figure.words for group in shown for figure in group.figures}


def clocks(watch):
    shown = [group for group in groups(watch.tallies, watch.findings) if group.title.startswith("CLOCK OF")]
    return {group.title: {figure.name: figure.words for figure in group.figures} for group in shown}


def marked(findings):
    shown = groups(Tallies(HEADER), findings)
    return {(figure.name, figure.words): figure.tone for group in shown for figure in group.figures if figure.tone}


# The strip


def test_every_state_has_a_word_and_a_shape_that_no_other_way_of_standing_has():
    assert set(LOOKS) == set(State)
    going_on = [state for state, look in LOOKS.items() if not look.loud]
    assert len({LOOKS[state].shape for state in going_on}) == len(going_on)
    assert {look.shape for look in LOOKS.values()} <= set(shapes.SHAPES)
    assert len({state.value for state in State}) == len(State)


@pytest.mark.parametrize("theme", [DARK, LIGHT], ids=lambda theme: theme.name)
def test_each_state_is_painted_unlike_every_other(qtbot, theme):
    pictures = set()
    for state in State:
        strip = shown(qtbot, StateStrip(theme))
        strip.show_status(replace(RUNNING, state=state, reason=""))
        picture = strip.grab().toImage()
        pictures.add(bytes(picture.constBits().asarray(picture.sizeInBytes())))
    assert len(pictures) == len(State)


def test_the_strip_says_state_reason_time_disk_and_links_in_words(qtbot):
    strip = shown(qtbot, StateStrip())
    strip.show_status(replace(RUNNING, daq=Line("late", "no reading for 0.8 s")))
    said = strip.said()
    assert said["state"] == "ARMED: light may be given"
    assert said["time"] == "session, time left: 7:29, 12:31 so far"
    assert said["recording"] == "recording, 12.3 MB, disk: 41 h left"
    assert said["links"].splitlines()[0] == "DAQ: no reading for 0.8 s"
    assert said["links"].splitlines()[2] == "heartbeat: 0.1 s"


@pytest.mark.parametrize(
    "state", [State.STARTING, State.TRIPPED, State.DEVICE_LOST, State.FAILED, State.BROKEN_OFF, State.UNREADABLE]
)
def test_not_recording_fills_its_block_with_the_colour_of_danger(qtbot, state):
    strip = shown(qtbot, StateStrip())
    strip.show_status(replace(RUNNING, state=state, is_recording=False))
    assert strip.said()["recording"] == "NOT RECORDING"
    block = next(child for child in strip.findChildren(QWidget) if child.accessibleName() == "NOT RECORDING")
    assert part_of(block, DARK.danger) > 0.5


@pytest.mark.parametrize("state", [State.COMPLETED, State.STOPPED])
def test_a_session_that_ended_well_is_reviewed_in_calm(qtbot, state):
    strip = shown(qtbot, StateStrip())
    strip.show_status(replace(RUNNING, state=state, is_recording=False, left_s=None, free_s=None))
    assert strip.said()["recording"] == "review, not recording, 12.3 MB, session over"
    assert strip.said()["time"] == "session: 12:31, in all"
    assert part_of(strip, DARK.danger) == 0


def test_a_running_session_is_never_shown_as_a_review(qtbot):
    strip = shown(qtbot, StateStrip())
    for state in State:
        strip.show_status(replace(RUNNING, state=state))
        assert strip.said()["recording"].startswith("recording")


def test_a_disk_that_fills_up_is_said_with_the_time_that_is_left(qtbot):
    strip = shown(qtbot, StateStrip())
    strip.show_status(replace(RUNNING, disk_low=True, free_s=1320.0))
    assert strip.said()["recording"] == "recording, disk low, 12.3 MB, DISK LOW: 22 min left"


def test_the_strip_fits_beside_the_red_button_of_the_smallest_screen(qtbot):
    strip = shown(qtbot, StateStrip())
    strip.show_status(RUNNING)
    assert strip.width() == STRIP_PX
    assert strip.height() <= 104
    assert list(strip.said()) == ["state", "time", "recording", "links"]


def test_where_it_is_narrow_time_goes_first_then_the_links_and_recording_never(qtbot):
    strip = shown(qtbot, StateStrip())
    strip.show_status(RUNNING)
    strip.resize(1000, HEIGHT_PX)
    assert list(strip.said()) == ["state", "recording", "links"]
    strip.resize(700, HEIGHT_PX)
    assert list(strip.said()) == ["state", "recording"]
    strip.resize(STRIP_PX, HEIGHT_PX)
    assert list(strip.said()) == ["state", "time", "recording", "links"]


def test_short_trains_do_not_blink_faster_than_twice_a_second(qtbot):
    clock = Clock()
    strip = shown(qtbot, StateStrip(now_ns=clock))
    changes, before = 0, ""
    for frame in range(300):  # 10 s of 5 trains a second
        clock.now_ns = frame * 33_333_333
        strip.show_status(replace(RUNNING, state=State.LIT if frame % 6 < 2 else State.ARMED, reason=""))
        changes += strip.said()["state"] == "LIGHT ON" and before != "LIGHT ON"
        before = strip.said()["state"]
    assert 2 <= changes <= 20


def test_light_that_is_over_is_shown_for_half_a_second_and_no_longer(qtbot):
    clock = Clock()
    strip = shown(qtbot, StateStrip(now_ns=clock))
    strip.show_status(replace(RUNNING, state=State.LIT, reason="train 3"))
    clock.now_ns = 499_000_000
    strip.show_status(RUNNING)
    assert strip.said()["state"] == "LIGHT ON: train 3"
    clock.now_ns = 501_000_000
    strip.show_status(RUNNING)
    assert strip.said()["state"].startswith("ARMED")


def test_an_alarm_does_not_wait_for_light_to_have_been_seen(qtbot):
    strip = shown(qtbot, StateStrip(now_ns=Clock()))
    strip.show_status(replace(RUNNING, state=State.LIT))
    strip.show_status(replace(RUNNING, state=State.TRIPPED, reason="the interlock is open"))
    assert strip.said()["state"] == "TRIPPED: the interlock is open"


def test_a_veto_says_that_the_board_is_still_armed(qtbot):
    strip = shown(qtbot, StateStrip())
    strip.show_status(replace(RUNNING, state=State.VETOED, reason="is the fibre plugged in?"))
    assert strip.said()["state"] == "SIGNAL VETO (armed): is the fibre plugged in?"


def test_a_reason_too_long_for_the_strip_is_whole_in_its_tooltip(qtbot):
    strip = shown(qtbot, StateStrip())
    reason = "look at the cable, " * 40
    strip.show_status(replace(RUNNING, reason=reason))
    assert any(child.toolTip() == f"ARMED: {reason}" for child in strip.findChildren(QWidget))


def test_what_has_not_changed_is_not_painted_again(qtbot):
    strip = shown(qtbot, StateStrip())
    strip.show_status(RUNNING)
    QApplication.processEvents()
    paints = Paints(strip)
    for _ in range(50):
        strip.show_status(RUNNING)
        QApplication.processEvents()
    assert paints.painted == set()
    strip.show_status(replace(RUNNING, elapsed_s=753.0, left_s=447.0))
    QApplication.processEvents()
    assert paints.painted == {strip.accessibleName(), strip.said()["time"]}


@pytest.mark.parametrize("theme", [DARK, LIGHT], ids=lambda theme: theme.name)
def test_words_stand_out_from_what_they_are_painted_on(theme):
    for look in LOOKS.values():
        hue = QColor(getattr(theme, look.colour))
        on_panel = contrast(hue, QColor(theme.panel))
        assert max(contrast(ink(hue), hue), on_panel) >= 4.5 if look.loud or on_panel < 2 else on_panel >= 3
    assert contrast(QColor(theme.text), QColor(theme.panel)) >= 7
    assert contrast(QColor(theme.dim), QColor(theme.panel)) >= 4.5


def test_a_finished_recording_is_shown_as_it_ended(qtbot, tmp_path):
    strip = shown(qtbot, StateStrip())
    strip.show_watch(taken_in(recorded(tmp_path).folder))
    said = strip.said()
    assert said["state"].startswith("COMPLETED")
    assert said["recording"].startswith("review, not recording")
    assert said["time"].startswith("session: 0:29") or said["time"].startswith("session: 0:30")


# Figures


def test_decisions_refusals_and_boards_are_whatever_the_recording_has(tmp_path):
    watch = taken_in(recorded(tmp_path).folder)
    found = figures(watch.tallies)
    assert (found["detections"], found["fire"], found["fire, given"], found["blue moon"]) == ("3", "2", "1", "1")
    assert (found["commanded"], found["delivered"], found["duty short"]) == ("1", "1", "1")
    assert (found["received"], found["missing"]) == ("3\u2009000", "12")
    assert clocks(watch)["CLOCK OF THE DAQ"]["residual"] == "12 µs"
    assert clocks(watch)["CLOCK OF THE STIMULATOR"]["residual"] == "–"
    assert (found["time lit"], found["energy"]) == ("0.20 s", "1 mJ")


def test_missing_readings_are_marked_and_none_are_not():
    tallies = Tallies(HEADER)
    findings = Findings(HEADER)
    assert not any(figure.tone for group in groups(tallies, findings) for figure in group.figures)
    tallies.damaged = 2
    toned = [figure for group in groups(tallies, findings) for figure in group.figures if figure.tone]
    assert [(figure.name, figure.words) for figure in toned] == [("damaged", "2")]


def test_what_is_out_of_its_bound_while_it_runs_is_marked_by_how_bad_it_is():
    findings = Findings(HEADER)
    health = np.zeros(1, HEALTH)
    health["ticks"], health["age_us"], health["turn_us"] = 2_000_000, 12_000.0, 300_000.0
    health["daq_residual_us"], health["daq_uncertainty_us"], health["daq_drift_ppm"] = -1500.0, 80.0, -900.0
    health["stimulator_uncertainty_us"], health["clock_steps"] = 4000.0, 1
    findings.add_health(health)
    assert marked(findings) == {
        ("reading age", "12 ms"): "warn",
        ("longest turn", "300 ms"): "danger",
        ("clock jumps", "1"): "warn",
        ("residual", "-1.50 ms"): "warn",
        ("drift", "-900.0 ppm"): "warn",
        ("uncertainty", "4 ms"): "warn",
    }


def test_health_without_the_new_fields_is_unknown_and_not_nothing():
    findings = Findings(HEADER)
    names = ("ticks", "host_ns", "heartbeat_ns", "daq_residual_us", "damaged", "repeated", "phase")
    findings.add_health(np.zeros(1, np.dtype([(name, HEALTH[name]) for name in names])))
    found = figures(Tallies(HEADER), findings)
    assert (found["reading age"], found["longest turn"], found["drift"]) == ("–", "–", "–")
    assert not marked(findings)


# The audit


def test_the_audit_is_there_once_the_session_is_over_and_says_what_was_lost(qtbot, tmp_path):
    watch = taken_in(recorded(tmp_path).folder)
    sheet = shown(qtbot, AuditSheet(), 430, 400)
    sheet.show_watch(watch)
    first, *rest = sheet.said.splitlines()
    assert first == f"SELF-AUDIT: {len(watch.audit.warnings)} warnings"
    assert rest[0].startswith("readings missing: 12 readings")
    assert any(line.startswith("damaged frames: 0") for line in rest)
    assert AuditSheet().said == ""


def test_the_whole_audit_has_room_however_narrow_the_sheet(qtbot, tmp_path):
    watch = taken_in(recorded(tmp_path).folder)
    highs = []
    for width in (600, 320):
        sheet = shown(qtbot, AuditSheet(), width, 400)
        sheet.show_watch(watch)
        QApplication.processEvents()
        highs.append(sheet.sizeHint().height())
    assert highs[1] > highs[0] > 300


def test_energy_without_a_calibration_is_unknown_and_not_nothing():
    assert figures(Tallies({**HEADER, "tip_mw": None}))["energy"] == "unknown"


def test_figures_grow_with_what_is_discovered(qtbot):
    numbers = shown(qtbot, Numbers(), 430, 300)
    numbers.show_tallies(Tallies(HEADER), Findings(HEADER))
    before = numbers.sizeHint().height()
    numbers.show_tallies(Tallies({**HEADER, "decisions": [f"arm {n}" for n in range(20)]}), Findings(HEADER))
    assert numbers.sizeHint().height() > before + 100
    said = [child.accessibleName() for child in numbers.findChildren(QWidget)]
    assert any("arm 19: 0" in words for words in said)


def test_digits_are_all_of_one_width():
    metrics = QFontMetricsF(style.digits_font(DARK))
    assert len({metrics.horizontalAdvance(digit) for digit in "0123456789"}) == 1


# Gauges


@pytest.mark.parametrize(
    ("gauge", "said"),
    [
        (Gauge("lit", 1.5, 15.0, "s", "told"), "lit: 1.50 of 15 s: 10 % of the limit: told"),
        (Gauge("lit", 13.5, 15.0, "s", ""), "lit: 13.5 of 15 s: 90 % of the limit: NEAR"),
        (Gauge("trains", 60.0, 60.0, "trains", ""), "trains: 60 of 60 trains: AT THE LIMIT"),
        (Gauge("warming", 1.2, 1.0, "K", ""), "warming: 1.20 of 1 K: OVER THE LIMIT"),
        (Gauge("energy", 65.4, None, "mJ", "at the tip"), "energy: 65.4 mJ: at the tip"),
        (Gauge("warming", math.nan, 1.0, "K", "unknown: not calibrated"), "warming: –: unknown: not calibrated"),
        (Gauge("lit", 0.0, 0.0, "s", ""), "lit: 0 of 0 s: AT THE LIMIT"),
    ],
)
def test_a_gauge_says_value_limit_unit_and_how_near(qtbot, gauge, said):
    gauges = shown(qtbot, Gauges(), 430, 300)
    gauges.show_gauges((gauge,))
    assert said in [child.toolTip() for child in gauges.findChildren(QWidget)]


def test_a_bar_is_filled_as_far_as_the_limit_is_used(qtbot):
    gauges = shown(qtbot, Gauges(), 430, 300)
    parts = []
    for value in (0.0, 25.0, 50.0):
        gauges.show_gauges((Gauge("lit", value, 100.0, "s", ""),))
        parts.append(part_of(gauges, DARK.good))
    assert parts[0] == 0
    assert parts[2] == pytest.approx(2 * parts[1], rel=0.1)


def test_the_gauges_of_a_recording_are_its_dose(qtbot, tmp_path):
    gauges = shown(qtbot, Gauges(), 430, 300)
    gauges.show_watch(taken_in(recorded(tmp_path).folder))
    said = "\n".join(child.toolTip() for child in gauges.findChildren(QWidget))
    assert "0.20 of 15 s" in said
    assert "1 of 60 trains" in said


# Latency


def test_latencies_are_told_with_median_p99_and_maximum(qtbot, tmp_path):
    latency = shown(qtbot, Latency(), 430, 300)
    assert "no train commanded yet" in latency.said()[0]
    latency.show_watch(taken_in(recorded(tmp_path).folder))
    assert latency.said()[0].endswith("max 130 µs")
    assert latency.said()[1].endswith("max 1.50 ms")


def test_the_axis_of_a_histogram_reaches_over_all_of_it():
    histogram = Histogram()
    for value_us in (130.0, 150.0, 42_000.0):
        histogram.add(value_us)
    assert decades(histogram) == (2, 5)


def test_a_histogram_of_one_value_has_an_axis_of_two_decades():
    histogram = Histogram()
    histogram.add(130.0)
    assert decades(histogram) == (2, 4)


# Averages


def average(key, n, height=4.0):
    time_s = np.arange(-4.95, 10, 0.1)
    mean = np.where(time_s > 0, height, 0.0)
    half = np.full(len(time_s), math.nan if n < 2 else 0.5)
    return Average(key, n, time_s, mean, mean - half, mean + half, "% dF/F")


def test_a_row_appears_for_whatever_kind_of_decision_there_is(qtbot):
    averages = shown(qtbot, Averages(), 430, 800)
    averages.show_averages([average("fire: delivered", 12)])
    averages.show_averages([average("fire: delivered", 13), average("blue moon", 1)])
    assert averages.said()[:2] == ["fire: delivered, n = 13", "blue moon, n = 1 (no interval of one)"]


def test_a_row_says_that_the_lights_artefact_was_taken_away(qtbot):
    averages = shown(qtbot, Averages(), 430, 800)
    raw = average("fire: delivered", 12)
    averages.show_averages([raw._replace(less=raw.mean / 2), average("sham", 3)])
    assert averages.said()[:2] == ["fire: delivered, n = 12; thin raw, thick less artefact", "sham, n = 3"]


def test_what_is_not_there_yet_is_explained(qtbot):
    averages = shown(qtbot, Averages(), 430, 800)
    averages.show_averages([])
    averages.show_rate(np.array([5.0]), np.array([math.nan]))
    averages.show_occupancy([])
    assert [words.split(" ")[:3] for words in averages.said()] == [
        ["No", "decision", "with"],
        ["No", "rate", "yet:"],
        ["No", "digital", "inputs"],
    ]


def test_rate_and_occupancy_take_the_place_of_their_explanation(qtbot):
    averages = shown(qtbot, Averages(), 430, 800)
    averages.show_averages([average("sham", 5)])
    averages.show_rate(np.array([5.0, 15.0]), np.array([math.nan, 6.0]))
    averages.show_occupancy([Occupancy("nose poke", 0.25, 75.0, 3)])
    assert averages.said() == ["sham, n = 5"]
    said = [child.toolTip() for child in averages.findChildren(QWidget)]
    assert "nose poke: 25.0 %, 75 s, 3 entries" in said


def test_averages_of_a_recording_are_drawn_where_they_are_seen_and_not_elsewhere(qtbot, tmp_path):
    watch = taken_in(recorded(tmp_path).folder)
    averages = Averages(now_ns=Clock())
    qtbot.addWidget(averages)
    averages.show_watch(watch)
    assert averages.said()[0].startswith("No decision")
    averages.show()
    averages.show_watch(watch)
    assert averages.said() == [f"{one.key}, n = 1 (no interval of one)" for one in watch.peri.averages()]
    assert len(averages.said()) == 3


def test_averages_are_made_twice_a_second_at_most(qtbot, tmp_path):
    clock = Clock()
    watch = taken_in(recorded(tmp_path).folder)
    averages = shown(qtbot, Averages(now_ns=clock), 430, 800)
    averages.show_watch(watch)
    watch.version += 1
    averages.show_rate(np.array([5.0]), np.array([math.nan]))
    averages.show_watch(watch)
    assert "No rate yet: it needs a score, which comes after warm-up." in averages.said()
    clock.now_ns = 600_000_000
    averages.show_watch(watch)
    assert averages.said() == [f"{one.key}, n = 1 (no interval of one)" for one in watch.peri.averages()]


def test_the_wide_interval_of_two_decisions_does_not_flatten_the_others(qtbot):
    averages = shown(qtbot, Averages(), 430, 800)
    few = average("test: delivered", 2)
    wide = few._replace(low=few.mean - 400, high=few.mean + 400)
    averages.show_averages([average("fire: delivered", 40), wide])
    tops = [chart.up.high for chart in averages.findChildren(charts.Chart) if chart.up.label == "% dF/F"]
    assert tops == [10.0, 10.0] or max(tops) <= 10


# Charts


def test_a_curve_is_open_where_nothing_is_known(qtbot):
    window = QWidget()
    chart = charts.Chart(DARK, window, high_px=120)
    shown(qtbot, window, 400, 120)
    chart.resize(400, 120)
    x = np.linspace(0, 1, 100)
    across, up = charts.Axis(0, 1, "time (s)"), charts.Axis(0, 1, "V")
    chart.show_layers(across, up, (charts.Curve(x, np.full(100, 0.5), "signal"),))
    whole = part_of(chart, DARK.signal)
    chart.show_layers(across, up, (charts.Curve(x, np.where(x > 0.5, math.nan, 0.5), "signal"),))
    assert 0.3 * whole < part_of(chart, DARK.signal) < 0.7 * whole


@pytest.mark.parametrize(("low", "high"), [(-4.5, 4.5), (0.0, 350.0), (0.0, 1.0), (-1e-6, 2e-6), (3.0, 3.1)])
def test_ticks_are_round_and_few(low, high):
    ticks = charts._round_ticks(charts.Axis(low, high, ""), 5)
    assert 2 <= len(ticks) <= 6
    assert all(low - 1e-12 <= value <= high + 1e-12 and len(words) < 9 for value, words in ticks)


def test_a_range_holds_what_it_was_made_for_and_is_never_empty():
    for low, high in ((-3.2, 4.4), (0.0, 0.0), (0.0, 97.0), (-5.0, -5.0)):
        bottom, top = charts.even_range(low, high)
        assert bottom <= low <= high <= top
        assert bottom < top


# Words and looks


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (amounts.clock(7.9), "0:07"),
        (amounts.clock(4351), "1:12:31"),
        (amounts.size(0), "0 kB"),
        (amounts.size(999_600), "1.0 MB"),
        (amounts.size(None), "–"),
        (amounts.about(41 * 3600), "41 h"),
        (amounts.about(1320), "22 min"),
        (amounts.about(40 * 86_400), "40 days"),
        (amounts.micros(131.8), "132 µs"),
        (amounts.micros(2210), "2.21 ms"),
        (amounts.micros(math.nan), "–"),
        (amounts.number(0.0421, "mJ"), "0.042 mJ"),
        (amounts.number(None, "mJ"), "–"),
        (amounts.whole(1_234_567), "1\u2009234\u2009567"),
    ],
)
def test_amounts_are_told_in_few_digits_with_their_unit(said, words):
    assert said == words


def test_text_is_made_smaller_or_wrapped_and_never_cut_without_a_sign(qtbot):
    font = style.words_font(DARK, 40, bold=True)
    assert QFontMetricsF(fitted(font, "READY TO ARM", 200, 10)).horizontalAdvance("READY TO ARM") <= 200
    lines = wrapped("one two three four five six seven eight nine ten", style.words_font(DARK, 15), 120, 2)
    assert len(lines) == 2
    assert lines[1].endswith("…")
    assert wrapped("short", style.words_font(DARK, 15), 120, 2) == ["short"]
    assert wrapped("", style.words_font(DARK, 15), 120, 2) == []


@pytest.mark.parametrize("theme", [DARK, LIGHT], ids=lambda theme: theme.name)
def test_a_theme_dresses_a_window_and_what_is_in_it(qtbot, theme):
    window = QWidget()
    qtbot.addWidget(window)
    button = QPushButton("arm", window)
    style.apply(window, theme)
    window.show()
    assert window.palette().color(QPalette.ColorRole.Window).name() == theme.ground
    assert button.sizeHint().height() >= style.GLOVE_PX
    assert part_of(button, theme.panel) > 0.3


@pytest.mark.parametrize("make", [StateStrip, Numbers, Gauges, Latency, Averages])
def test_a_panel_takes_another_theme_while_it_is_shown(qtbot, tmp_path, make):
    panel = shown(qtbot, make(), 900, 600)
    watch = taken_in(recorded(tmp_path).folder)
    panel.show_watch(watch)
    assert part_of(panel, LIGHT.panel) == 0
    panel.set_theme(LIGHT)
    panel.show_watch(watch)
    assert part_of(panel, LIGHT.panel) > 0.1


@pytest.mark.parametrize("make", [StateStrip, Numbers, Gauges, Latency, Averages])
def test_a_panel_shows_a_session_that_has_not_begun(qtbot, tmp_path, make):
    panel = shown(qtbot, make(), 900, 600)
    panel.show_watch(taken_in(tmp_path))
    assert not panel.grab().isNull()


@pytest.mark.parametrize("make", [StateStrip, Numbers, Gauges, Latency, Averages])
def test_a_panel_leaves_no_widget_behind(qtbot, tmp_path, make):
    watch = taken_in(recorded(tmp_path).folder)
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    before = len(QApplication.allWidgets())
    panel = make()
    panel.show()
    panel.show_watch(watch)
    panel.close()
    panel.deleteLater()
    del panel
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert len(QApplication.allWidgets()) == before
