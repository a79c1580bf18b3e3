"""What a watcher says of a session follows from its recording: counts, dose, averages, rates, and how it stands."""

from __future__ import annotations

import math
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from closedloop.arming import Phase
from closedloop.health import HEALTH
from closedloop.optics import Warmth, warmed
from closedloop.recording import Recording, RecordingWriter, create, row_dtype
from closedloop.recording.layout import Layout
from closedloop.steps import RESTARTED, STEP, VALID, WARM
from closedloop.train import Refusal
from closedloop.watching import averages, rates, signal_windows
from closedloop.watching.dose import Pulses
from closedloop.watching.status import State, trip_words, veto_words
from closedloop.watching.tallies import Histogram
from closedloop.watching.watch import Watch
from closedloop.wire import Reason

RATE_HZ = 100
NOON = datetime(2025, 6, 1, 12, 0, 0)
STARTED_NS = 5_000_000_000_000
ROW = row_dtype(STEP)
BOARD = {"board": 1, "firmware": 1, "wire_hash": 1, "unique_id": 1, "reset_cause": 1}
HEADER = {
    "rate_mhz": RATE_HZ * 1000,
    "nano_units": 100_000,
    "input_names": ["lever", "chamber"],
    "started_ns": STARTED_NS,
    "protocol": {"warm_up": "5 s"},
    "rig": {"daq": {"port": "/dev/ttyACM0"}, "stimulator": {"port": "/dev/ttyACM1"}},
    "decisions": ["fire", "test"],
    "limits": {
        "short_window_ms": 60_000,
        "short_on_ms": 15_000,
        "long_window_ms": 600_000,
        "long_on_ms": 60_000,
        "trains_per_minute": 60,
        "on_us": 500_000,
        "off_us": 100_000,
        "lease_ms": 250,
        "level": 65_535,
    },
    "command": {"on_us": 200_000, "period_us": 500_000, "pulses": 3, "level": 32_768, "ramp_off_us": 0},
    "tip_mw": 5.0,
    "boards": {"daq": BOARD, "stimulator": BOARD},
    "speed": 1.0,
    "expected_s": 60.0,
    "by_hand": True,
}
TRAIN_S = 1.2  # 3 pulses of 0.2 s, one every 0.5 s
FIT = VALID | WARM


class Scene:
    """A session as an engine would record it, on a clock that is told what time it is."""

    def __init__(self, data, **changes):
        self.folder = create(data, None, NOON)
        header = {**HEADER, **changes}
        self.writer = RecordingWriter.open(self.folder, header=header, protocol="a: 1\n", rig="b: 2\n", dtype=ROW)
        self.rows = 0
        self.seq = 0

    @property
    def ticks(self):
        return max(0, self.rows - 1) * 1_000_000 // RATE_HZ

    @property
    def now_ns(self):
        return STARTED_NS + self.ticks * 1000

    def record(self, seconds, **fields):
        """Readings for so long, with these fields."""
        rows = np.zeros(round(seconds * RATE_HZ), ROW)
        number = np.arange(self.rows, self.rows + len(rows))
        rows["ticks"] = number * (1_000_000 // RATE_HZ)
        rows["seq"] = np.arange(self.seq, self.seq + len(rows))
        rows["host_ns"] = STARTED_NS + rows["ticks"] * 1000
        rows["signal_lit"], rows["bits"] = 1000, FIT
        for name, value in fields.items():
            rows[name] = value
        self.writer.append(rows)
        self.rows += len(rows)
        self.seq += len(rows)
        return self

    def tell(self, kind, at_s=None, **about):
        ticks = self.ticks if at_s is None else round(at_s * 1e6)
        self.writer.event(kind, ticks=ticks, host_ns=STARTED_NS + ticks * 1000, **about)
        return self

    def train(self, number, at_s, kind="fire", latency_us=1500.0, lit_us=600_000.0, off_s=None, **off):
        self.tell("decision", at_s, train=number, reason=kind)
        self.tell("command", at_s, train=number, value=90.0)
        self.tell("light_on", at_s, train=number, value=latency_us)
        return self.tell("light_off", at_s + TRAIN_S if off_s is None else off_s, train=number, value=lit_us, **off)

    def health(self, phase, **fields):
        row = np.zeros(1, HEALTH)
        row["ticks"], row["host_ns"], row["phase"] = self.ticks, self.now_ns, phase
        row["heartbeat_ns"] = row["daq_heard_ns"] = row["stimulator_heard_ns"] = self.now_ns - 5_000_000
        row["daq_residual_us"], row["stimulator_residual_us"] = 12.0, math.nan
        for name, value in fields.items():
            row[name] = value
        self.writer.health(row)
        return self

    def end(self, how="completed", reason="the duration is over", **about):
        self.writer.close({"ended": how, "reason": reason, "sent": None, **about})
        return self

    def watch(self, after_s=0.0):
        """All of it taken in, so long after the last reading."""
        return look(Watch(self.folder), self.now_ns + round(after_s * 1e9))


def look(watch, now_ns):
    for _ in range(8):
        watch.turn(now_ns)
    return watch


@pytest.fixture
def scene(tmp_path):
    made = []

    def make(**changes):
        made.append(Scene(tmp_path / str(len(made)), **changes))
        return made[-1]

    yield make
    for one in made:
        one.writer.close({"ended": "stopped", "reason": "the test is over"})


# How a session stands

VETO = int(Refusal.UNPLUGGED)
NO_BOARD = {"boards": {"daq": BOARD}}
STANDS = {
    "warm-up by health": (lambda s: s.record(1, bits=0).health(Phase.WARMING), State.WARM_UP, "4 s left"),
    "warm-up without health": (lambda s: s.record(1, bits=0), State.WARM_UP, "4 s left"),
    "warm-up begun anew": (
        lambda s: s.record(7).record(0.01, bits=RESTARTED).record(2, bits=0).health(Phase.WARMING),
        State.WARM_UP,
        "3 s left",
    ),
    "a veto in warm-up": (
        lambda s: s.record(1, bits=0, veto=VETO).health(Phase.WARMING),
        State.WARM_UP,
        "is the fibre plugged in?",
    ),
    "warm, and not fit": (
        lambda s: s.record(6, bits=WARM, veto=VETO).health(Phase.WARMING),
        State.WARM_UP,
        "is the fibre plugged in?",
    ),
    "ready": (lambda s: s.record(6).health(Phase.READY), State.READY, "arm when"),
    "ready, with a veto": (lambda s: s.record(6, veto=VETO).health(Phase.READY), State.VETOED, "fibre plugged in"),
    "arming": (lambda s: s.record(6).health(Phase.ARMING), State.ARMING, "asked to arm"),
    "arming without health": (lambda s: s.record(6).tell("note", reason="arm"), State.ARMING, "asked to arm"),
    "armed": (lambda s: s.record(6).health(Phase.RUNNING), State.ARMED, "light is given when"),
    "armed without health": (
        lambda s: s.record(6).tell("note", reason="arm").tell("note", reason="armed"),
        State.ARMED,
        "light is given when",
    ),
    "an event newer than health": (
        lambda s: s.record(6).health(Phase.READY).record(0.1).tell("note", reason="armed"),
        State.ARMED,
        "light",
    ),
    "health newer than an event": (
        lambda s: s.record(6).tell("note", reason="armed").record(0.1).health(Phase.READY),
        State.READY,
        "arm when",
    ),
    "armed, learning anew": (
        lambda s: s.record(6).record(0.01, bits=RESTARTED).record(1, bits=0).health(Phase.RUNNING),
        State.ARMED,
        "4 s left",
    ),
    "disarmed": (
        lambda s: s.record(6).tell("note", reason="armed").record(1).tell("note", reason="disarmed"),
        State.READY,
        "arm when",
    ),
    "armed, with a veto": (lambda s: s.record(6, veto=VETO).health(Phase.RUNNING), State.VETOED, "fibre plugged in"),
    "light without its end": (
        lambda s: s.record(6).health(Phase.RUNNING).tell("light_on", train=3, value=1.0),
        State.LIT,
        "train 3",
    ),
    "light before a veto": (
        lambda s: s.record(6, veto=VETO).health(Phase.RUNNING).tell("light_on", train=3, value=1.0),
        State.LIT,
        "train 3",
    ),
    "light of the trigger line": (
        lambda s: s.record(6).health(Phase.RUNNING).tell("light_on", train=2**31 + 1, reason="on_board"),
        State.LIT,
        "trigger line",
    ),
    "light that is over": (
        lambda s: s.record(6).health(Phase.RUNNING).train(3, 4.0),
        State.ARMED,
        "light is given when",
    ),
    "light too short to be seen": (
        lambda s: s.record(6).health(Phase.RUNNING).train(3, 5.9, off_s=5.91),
        State.LIT,
        "train 3",
    ),
    "light whose end was never told": (
        lambda s: s.record(6).health(Phase.RUNNING).tell("light_on", 3.0, train=3, value=1.0),
        State.ARMED,
        "light is given when",
    ),
    "the copy of the light": (lambda s: s.record(6, flags=8).health(Phase.RUNNING), State.LIT, "output high"),
    "light while not armed": (lambda s: s.record(6, flags=8).health(Phase.READY), State.LIT, "it is not armed"),
    "a trip before the end": (
        lambda s: s.record(6).tell("trip", reason="interlock_open"),
        State.TRIPPED,
        "lid, key and stop button",
    ),
    "ended, being closed": (lambda s: s.record(6).health(Phase.ENDED), State.STOPPED, "being closed"),
    "no reading yet": (lambda s: s, State.STARTING, "first reading"),
    "completed": (lambda s: s.record(6).end(), State.COMPLETED, "the duration is over"),
    "stopped": (lambda s: s.record(6).end("stopped", "Esc"), State.STOPPED, "Esc"),
    "stopped while lit": (
        lambda s: s.record(6).tell("light_on", train=3, value=1.0).end("stopped", "Esc"),
        State.STOPPED,
        "Esc",
    ),
    "tripped": (
        lambda s: s.record(6).tell("trip", reason="lease_expired").end("tripped", "the stimulator tripped"),
        State.TRIPPED,
        "no heartbeat came in time",
    ),
    "device lost": (
        lambda s: s.record(6).end("device_lost", "no reading from the DAQ for 2 s"),
        State.DEVICE_LOST,
        "no reading from the DAQ",
    ),
    "failed": (lambda s: s.record(6).end("failed", "KeyError: 3"), State.FAILED, "KeyError"),
    "an ending of a later version": (lambda s: s.record(6).end("paused", "later"), State.FAILED, "later"),
}


@pytest.mark.parametrize(("tell", "state", "words"), STANDS.values(), ids=STANDS)
def test_the_word_and_its_reason_follow_from_the_recording(scene, tell, state, words):
    one = tell(scene())
    status = one.watch().status
    assert (status.state, words in status.reason) == (state, True), status.reason
    assert status.is_recording == (not Recording.open(one.folder).finished)


def test_without_a_stimulator_nothing_is_ready_to_arm_and_no_link_is_shown(scene):
    status = scene(**NO_BOARD).record(6).health(Phase.WARMING).watch().status
    assert status.state is State.UNWIRED
    assert status.stimulator is None
    assert status.heartbeat_age_s is None
    veto = scene(**NO_BOARD).record(6, veto=VETO).health(Phase.WARMING).watch().status
    assert veto.state is State.VETOED


def test_in_warm_up_it_is_said_whether_arming_follows_by_itself(scene):
    one = scene().record(1, bits=0)
    assert "by itself" not in one.watch().status.reason
    assert "by itself" in one.tell("note", reason="arm_asked").watch().status.reason
    assert "by itself" not in one.tell("note", reason="disarmed").watch().status.reason
    assert "by itself" in scene(by_hand=False).record(1, bits=0).watch().status.reason
    assert "by itself" not in scene(by_hand=False, **NO_BOARD).record(1, bits=0).watch().status.reason


def test_only_a_board_that_said_so_is_armed(scene):
    armed = scene().record(6, veto=VETO).health(Phase.RUNNING)
    assert armed.watch().status.is_armed
    assert not armed.tell("trip", reason="interlock_open").watch().status.is_armed
    assert not armed.end("tripped").watch().status.is_armed


def test_an_engine_that_died_is_broken_off_and_does_not_record(scene):
    one = scene().record(6).health(Phase.RUNNING)
    one.writer.close({})
    (one.folder / "summary.json").unlink()
    status = one.watch().status
    assert status.state is State.BROKEN_OFF
    assert not status.is_recording
    assert "its lease" in status.reason


def test_before_the_session_begins_it_is_starting_and_all_parts_are_there(tmp_path):
    watch = look(Watch(tmp_path), STARTED_NS)
    assert watch.status.state is State.STARTING
    assert not watch.status.is_recording
    assert watch.dose.gauges(0.0) == ()
    assert watch.peri.averages() == []
    assert watch.rates.occupancy() == []
    assert watch.tallies.missing == 0
    assert watch.header == {}


def test_what_cannot_be_read_is_said_with_what_to_do(scene):
    one = scene().record(1).end()
    path = one.folder / "header.json"
    path.write_text(path.read_text().replace('"format_version": 1', '"format_version": 9'))
    status = one.watch().status
    assert status.state is State.UNREADABLE
    assert "update closedloop" in status.reason
    assert not status.is_recording


def test_every_veto_and_every_reason_of_a_trip_has_a_sentence():
    vetoes = [r for r in Refusal if Refusal.GAP <= r <= Refusal.NO_SIGNAL]
    assert len({veto_words(r) for r in vetoes}) == len(vetoes)
    assert all(": " in veto_words(r) for r in vetoes)
    assert all("start a new session" in trip_words(r.name.lower()) for r in Reason)
    assert "update closedloop" in veto_words(200)


# The lines, the clock, the disk


@pytest.mark.parametrize(
    ("after_s", "state"), [(0.0, "ok"), (0.29, "ok"), (0.4, "late"), (1.9, "late"), (2.5, "silent"), (3600, "silent")]
)
def test_the_daq_is_judged_by_the_age_of_its_last_reading(scene, after_s, state):
    assert scene().record(6).watch(after_s).status.daq.state == state


@pytest.mark.parametrize(("after_s", "state"), [(0.0, "ok"), (2.4, "ok"), (3.0, "late"), (6.0, "silent")])
def test_the_stimulator_is_judged_by_its_answers_to_the_clock(scene, after_s, state):
    status = scene().record(6).health(Phase.RUNNING).watch(after_s).status
    assert status.stimulator.state == state


def test_a_slow_recording_is_late_by_its_own_period(scene):
    slow = scene(rate_mhz=10_000).record(6)
    assert slow.watch(0.45).status.daq.state == "ok"


def test_a_stimulator_that_nobody_told_of_is_neither_well_nor_lost(scene):
    assert scene().record(6).watch().status.stimulator.state == "none"
    assert scene().record(6).health(Phase.RUNNING, stimulator_heard_ns=0).watch().status.stimulator.state == "none"


@pytest.mark.parametrize(
    ("reason", "daq", "stimulator"),
    [
        ("no reading from the DAQ for 2 s; check its cable", "lost", "ended"),
        ("the stimulator does not confirm that it is armed", "ended", "lost"),
        ("/dev/ttyACM1: the device is gone; check cable and power", "ended", "lost"),
        ("something else", "ended", "ended"),
    ],
)
def test_the_board_that_the_reason_names_is_lost(scene, reason, daq, stimulator):
    status = scene().record(6).end("device_lost", reason).watch().status
    assert (status.daq.state, status.stimulator.state) == (daq, stimulator)


def test_the_clock_of_another_boot_makes_no_ages(scene):
    ended = scene().record(6).health(Phase.RUNNING).end()
    for now_ns in (0, 10**18):
        status = look(Watch(ended.folder), now_ns).status
        assert (status.daq.state, status.stimulator.state) == ("ended", "ended")
        assert status.heartbeat_age_s is None
        assert status.free_s is None
    running = scene().record(6).health(Phase.RUNNING)
    status = look(Watch(running.folder), 0).status
    assert status.daq.state == "ok"
    assert status.heartbeat_age_s == pytest.approx(0.01)


def test_the_heartbeats_age_rests_while_all_is_well_and_grows_when_the_engine_hangs(scene):
    one = scene().record(6).health(Phase.RUNNING)
    watch = Watch(one.folder)
    well = [look(watch, one.now_ns + ms * 1_000_000).status.heartbeat_age_s for ms in (0, 20, 120, 249)]
    assert well == pytest.approx([0.01] * 4)
    assert look(watch, one.now_ns + 1_250_000_000).status.heartbeat_age_s == pytest.approx(1.01)


def test_the_heartbeats_age_grows_when_readings_stop_and_the_engine_does_not(scene):
    one = scene().record(6).health(Phase.RUNNING, host_ns=STARTED_NS + 9_000_000_000)
    age_s = look(Watch(one.folder), STARTED_NS + 9_010_000_000).status.heartbeat_age_s
    assert age_s == pytest.approx(9 - 5.99 + 0.01)


def test_time_left_is_of_sample_time_and_unknown_without_a_plan(scene):
    status = scene().record(6).watch().status
    assert (status.elapsed_s, status.left_s) == pytest.approx((6.0, 54.0))
    assert scene(expected_s=None).record(6).watch().status.left_s is None
    assert scene().record(6).end().watch().status.left_s is None


def test_disk_time_is_what_is_free_over_the_rate_of_this_session(scene, monkeypatch):
    usage = {"free": Layout.of(ROW).stride * RATE_HZ * 1.1 * 3600}
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), usage))
    one = scene().record(6)
    status = one.watch().status
    assert status.free_s == pytest.approx(3600)
    assert status.disk_low  # less than 500 MB
    usage["free"] = 10**12
    watch = one.watch()
    assert not watch.status.disk_low
    usage["free"] = 0
    watch.turn(one.now_ns + 900_000_000)
    assert watch.status.free_bytes == 10**12
    watch.turn(one.now_ns + 1_000_000_000)
    assert watch.status.free_bytes == 0
    assert watch.status.disk_low


def test_a_disk_that_cannot_be_asked_is_unknown_and_not_low(scene, monkeypatch):
    def gone(_):
        raise OSError(5, "gone")

    monkeypatch.setattr("shutil.disk_usage", gone)
    status = scene().record(6).watch().status
    assert (status.free_s, status.free_bytes, status.disk_low) == (None, None, False)


# Counts


def test_counts_are_those_of_the_events_and_kinds_are_found_in_them(scene):
    one = scene().record(20)
    one.tell("detection", 1, train=1, value=6.0).train(1, 1.0)
    one.tell("detection", 4, train=2, value=6.0).tell("decision", 4, train=2, reason="fire")
    one.tell("refused", 4, train=2, reason="refractory")
    one.tell("decision", 6, train=3, reason="withheld")
    one.train(4, 8.0, kind="test", off_s=8.1, lit_us=100_000.0, reason="host_dark")
    one.tell("light_on", 12, train=2**31 + 1, reason="on_board").tell("light_off", 13.2, train=2**31 + 1, value=6e5)
    tallies = one.watch().tallies
    assert tallies.detections == 2
    assert tallies.decisions == {"fire": 2, "test": 1, "withheld": 1}
    assert tallies.given == {"fire": 1, "test": 1, "withheld": 1}
    assert tallies.trains == {"commanded": 2, "delivered": 3, "cut_short": 1, "on_board": 1}
    assert tallies.refused == {"refractory": 1}
    assert tallies.lit_s == pytest.approx(1.3)
    assert tallies.energy_mj == pytest.approx(6.5)
    assert tallies.received == 2000


def test_a_train_whose_end_was_not_told_counts_as_planned_once_the_session_is_over(scene):
    one = scene().record(6).tell("light_on", 3, train=1, value=1.0)
    assert one.watch().tallies.lit_s == 0
    assert one.end().watch().tallies.lit_s == pytest.approx(0.6)


def test_energy_is_unknown_without_a_calibration_and_not_zero(scene):
    watch = scene(tip_mw=None).record(6).train(1, 1.0).watch()
    assert watch.tallies.energy_mj is None
    gauges = {gauge.name: gauge for gauge in watch.dose.gauges(6.0)}
    assert math.isnan(gauges["energy in 10 min"].value)
    assert math.isnan(gauges["warming"].value)
    assert "no calibration" in gauges["warming"].note


def test_missing_readings_are_the_jumps_until_the_board_has_told_its_count(scene):
    one = scene()
    one.seq = 2
    one.record(1)
    one.seq += 7
    one.record(1)
    assert one.watch().tallies.missing == 9
    assert one.end(sent=212).watch().tallies.missing == 12


def test_lines_are_as_the_newest_health_says_and_unknown_residuals_are_absent(scene):
    one = scene().record(1).health(Phase.WARMING, damaged=3, repeated=1)
    tallies = one.watch().tallies
    assert (tallies.damaged, tallies.repeated) == (3, 1)
    assert tallies.residual_us == {"daq": 12.0}
    tallies = one.end(damaged_frames=5, repeated=2).watch().tallies
    assert (tallies.damaged, tallies.repeated) == (5, 2)


def test_an_unknown_latency_is_left_out(scene):
    one = scene().record(20).train(1, 1.0, latency_us=None).train(2, 5.0, latency_us=math.nan).train(3, 9.0)
    latency = one.watch().tallies.latency
    assert latency["command_to_light"].n == 1
    assert latency["command_to_light"].max == 1500.0
    assert latency["read_to_command"].n == 3


@given(st.lists(st.floats(2.0, 5e6), min_size=1, max_size=200))
@settings(deadline=None)
def test_quantiles_of_a_histogram_are_within_a_bin_of_the_truth(values):
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    truth = sorted(values)[math.ceil(0.99 * len(values)) - 1]
    assert histogram.n == sum(histogram.counts) == len(values)
    assert histogram.max == max(values)
    assert truth / 1.11 <= histogram.p99 <= truth * 1.11


def test_what_lies_beyond_a_histogram_is_counted_at_its_ends():
    histogram = Histogram()
    assert math.isnan(histogram.p50)
    for value in (-5.0, 0.0, 1e9):
        histogram.add(value)
    assert (histogram.counts[0], histogram.counts[-1], histogram.n) == (2, 1, 3)


# Dose


def value(gauges, name):
    return next(gauge for gauge in gauges if gauge.name == name).value


def test_light_is_counted_in_sliding_windows_as_delivered(scene):
    one = scene().record(700)
    for number, at_s in enumerate((1, 30, 59, 300)):
        one.train(number + 1, float(at_s))
    dose = one.watch().dose
    lit = [value(dose.gauges(now_s), "lit in 60 s") for now_s in (0.9, 1.1, 1.35, 58, 70, 300.1, 500)]
    assert lit == pytest.approx([0, 0.1, 0.2, 1.2, 1.2, 0.1, 0])
    assert value(dose.gauges(620), "lit in 10 min") == pytest.approx(1.8)
    assert value(dose.gauges(620), "energy in 10 min") == pytest.approx(9.0)
    assert [value(dose.gauges(now_s), "trains in 60 s") for now_s in (60, 62, 310)] == [3, 2, 1]


def test_a_train_cut_short_counts_its_own_light_and_one_untold_its_planned(scene):
    one = scene().record(20).train(1, 1.0, off_s=1.6, lit_us=300_000.0, reason="host_dark")
    one.tell("light_on", 10, train=2, value=1.0)
    dose = one.watch().dose
    assert value(dose.gauges(5), "lit in 60 s") == pytest.approx(0.3)
    assert value(dose.gauges(20), "lit in 60 s") == pytest.approx(0.9)


def test_gauges_have_the_limits_in_force_with_their_units(scene):
    gauges = scene().record(1).watch().dose.gauges(1.0)
    assert [(g.name, g.limit, g.unit) for g in gauges] == [
        ("lit in 60 s", 15.0, "s"),
        ("lit in 10 min", 60.0, "s"),
        ("trains in 60 s", 60.0, "trains"),
        ("energy in 10 min", None, "mJ"),
        ("warming", 1.0, "K"),
    ]
    assert all(gauge.note for gauge in gauges)


@given(
    on_ms=st.integers(1, 400),
    dark_ms=st.integers(1, 400),
    count=st.integers(1, 6),
    ramp_ms=st.integers(0, 200),
    at_ms=st.integers(0, 6000),
)
@settings(deadline=None)
def test_light_and_heat_in_a_train_are_those_of_its_milliseconds_one_by_one(on_ms, dark_ms, count, ramp_ms, at_ms):
    period_ms = on_ms + dark_ms
    pulses = Pulses(on_ms / 1000, period_ms / 1000, count, ramp_ms / 1000)
    lit = [t % period_ms < on_ms for t in range((count - 1) * period_ms)] + [True] * (on_ms + ramp_ms)
    lit = lit[:at_ms]
    warmth = Warmth()
    for one in lit:
        warmth = warmed(warmth, 5.0 if one else 0.0, 0.001)
    assert pulses.lit_s(at_ms / 1000) == pytest.approx(sum(lit) / 1000)
    assert pulses.warmth(Warmth(), 5.0, len(lit) / 1000) == pytest.approx(warmth)


def test_warming_cools_after_the_train_and_the_highest_is_kept_in_words(scene):
    dose = scene().record(120).train(1, 1.0).watch().dose
    during, after, later = (value(dose.gauges(now_s), "warming") for now_s in (2.2, 4.0, 100.0))
    assert during > after > later > 0
    assert later < 0.001
    note = next(g.note for g in dose.gauges(100.0) if g.name == "warming")
    assert f"{during:.2f} K so far" in note


# Averages


def test_each_kind_of_decision_and_what_came_of_it_has_its_own_average(scene):
    one = scene().record(100)
    one.train(1, 10.0).train(2, 30.0, kind="test")
    one.tell("decision", 50, train=3, reason="fire").tell("refused", 50, train=3, reason="refractory")
    one.tell("decision", 60, train=4, reason="withheld")
    one.tell("light_on", 70, train=2**31 + 1, reason="on_board").tell("light_off", 71, train=2**31 + 1, value=1.0)
    found = {average.key: average.n for average in one.watch().peri.averages()}
    assert found == {
        "fire: delivered": 1,
        "fire: refused": 1,
        "on_board: delivered": 1,
        "test: delivered": 1,
        "withheld": 1,
    }


def test_an_average_is_in_percent_of_the_signals_own_level_before(scene):
    one = scene()
    for number, gain in enumerate((1.2, 1.4), start=1):
        one.record(10, signal_lit=1000 * number).record(10, signal_lit=round(1000 * number * gain))
        one.tell("decision", 20 * number - 10, train=number, reason="sham")
    (average,) = one.record(5).watch().peri.averages()
    assert (average.n, average.unit) == (2, "% dF/F")
    assert average.time_s[[0, 49, 50, -1]] == pytest.approx([-4.95, -0.05, 0.05, 9.95])
    assert average.mean[:50] == pytest.approx(0, abs=1e-9)
    assert average.mean[50:] == pytest.approx(30)
    half = 12.706 * 10  # t of one degree of freedom, times the standard error of 20 and 40
    assert average.low[60] == pytest.approx(30 - half)
    assert average.high[60] == pytest.approx(30 + half)


def test_one_decision_has_a_mean_and_no_interval(scene):
    (average,) = scene().record(30).tell("decision", 10, train=1, reason="sham").watch().peri.averages()
    assert np.isfinite(average.mean).all()
    assert np.isnan(average.low).all()


def test_lost_readings_are_left_out_and_not_filled(scene):
    one = scene().record(11)
    one.rows += 300
    (average,) = one.record(30).tell("decision", 10, train=1, reason="sham").watch().peri.averages()
    gone = np.isnan(average.mean)
    assert np.flatnonzero(gone).tolist() == list(range(60, 90))


@pytest.mark.parametrize("at_s", [1.0, 92.0])
def test_a_decision_without_its_level_before_or_its_end_is_not_averaged(scene, at_s):
    assert scene().record(100).tell("decision", at_s, train=1, reason="sham").watch().peri.averages() == []


def test_a_window_that_left_memory_is_read_from_the_disk(scene, monkeypatch):
    monkeypatch.setattr(signal_windows, "_RECENT_ROWS", 500)
    one = scene()
    for number in range(1, 6):
        one.record(10, signal_lit=1000).record(10, signal_lit=1000 + 100 * number)
        one.tell("decision", 20 * number - 10, train=number, reason="sham")
    (average,) = one.record(15).watch().peri.averages()
    assert average.n == 5
    assert average.mean[50:] == pytest.approx(30)


def test_decisions_that_were_averaged_are_forgotten(scene):
    one = scene()
    watch = Watch(one.folder)
    for number in range(1, 400):
        one.record(1).tell("decision", train=number, reason="fire").tell("refused", train=number, reason="refractory")
        watch.turn(one.now_ns)
    assert sum(average.n for average in watch.peri.averages()) > 370
    assert len(watch.peri._pending) < 20
    assert len(watch.peri._by_train) < 20


@given(degrees=st.integers(1, 500))
@settings(deadline=None)
def test_students_t_is_right_to_a_thousandth(degrees):
    from scipy import stats

    assert averages._t(np.array([float(degrees)]))[0] == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-3)


# Rates


def test_events_a_minute_are_of_the_time_in_which_the_score_was_known(scene):
    one = scene().record(10, score=math.nan).record(25)
    for at_s in (12, 14, 31):
        one.tell("detection", at_s, train=1, value=6.0)
    time_s, per_min = one.watch().rates.event_rate()
    assert time_s == pytest.approx([5, 15, 25, 35])
    assert per_min == pytest.approx([math.nan, 12, 0, 12], nan_ok=True)


def test_a_long_session_keeps_few_bins_and_loses_no_event():
    part = rates.Rates(HEADER)
    events = np.random.default_rng(1).uniform(0, 8 * 3600, 5000)
    for since_s in range(0, 8 * 3600, 60):
        part._count(part._known, np.arange(since_s, since_s + 60, 1 / RATE_HZ))
        part._count(part._events, events[(events >= since_s) & (events < since_s + 60)])
    time_s, per_min = part.event_rate()
    assert 100 < len(time_s) <= 240
    assert np.nansum(per_min * np.diff(time_s)[0] / 60) == pytest.approx(5000, rel=0.01)


def test_occupancy_is_of_readings_and_an_input_without_a_name_is_found(scene):
    one = scene().record(2, inputs=1).record(6).record(2, inputs=0b101)
    lever, chamber, third = one.watch().rates.occupancy()
    assert lever == ("lever", pytest.approx(0.4), pytest.approx(4.0), 1)
    assert chamber == ("chamber", 0.0, 0.0, 0)
    assert third == ("digital_3", pytest.approx(0.2), pytest.approx(2.0), 1)


# The watch


def test_watching_in_pieces_says_the_same_as_looking_at_the_whole(scene):
    one = scene().health(Phase.WARMING)
    watch = Watch(one.folder)
    for number in range(1, 8):
        one.record(10, signal_lit=1000 + 50 * number, inputs=number % 2).health(Phase.RUNNING)
        one.tell("detection", 10 * number - 5, train=number, value=6.0).train(number, 10.0 * number - 5)
        watch.turn(one.now_ns, most_rows=300)
    one.end()
    look(watch, one.now_ns)
    look(watch, one.now_ns)
    whole = one.watch()
    assert watch.status == whole.status
    assert watch.tallies.decisions == whole.tallies.decisions
    assert watch.dose.gauges(70.0) == whole.dose.gauges(70.0)
    assert watch.rates.occupancy() == whole.rates.occupancy()
    for mine, theirs in zip(watch.peri.averages(), whole.peri.averages(), strict=True):
        assert mine.n == theirs.n
        assert mine.mean == pytest.approx(theirs.mean)


def test_the_version_grows_when_something_changed_and_rests_when_nothing_did(scene):
    one = scene().record(6).end()
    watch = one.watch()
    before = watch.version
    assert look(watch, one.now_ns).version == before
    assert not watch.live


def test_a_session_that_began_while_it_was_watched_is_taken_up(scene, tmp_path):
    one = scene()
    header = one.folder / "header.json"
    text = header.read_text()
    header.unlink()
    watch = look(Watch(one.folder), one.now_ns)
    assert watch.status.state is State.STARTING
    header.write_text(text)
    one.record(6).health(Phase.READY)
    look(watch, one.now_ns)
    assert watch.live
    assert watch.status.state is State.READY
    assert watch.rates.occupancy()[0].name == "lever"


def test_while_an_old_part_is_read_the_past_is_not_shown_as_now(scene):
    one = scene().record(6).health(Phase.RUNNING).record(60).health(Phase.READY)
    watch = Watch(one.folder)
    watch.turn(one.now_ns, most_rows=700)
    assert watch.status.state is State.STARTING
    assert watch.status.daq.state == "none"
    assert watch.status.is_recording
    assert not watch.status.is_armed
    assert look(watch, one.now_ns).status.state is State.READY
