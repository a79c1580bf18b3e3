"""The controls: each order is asked for once and on purpose, and what stands there is what the recording says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import numpy as np
import pytest
from PyQt6.QtCore import Qt
from pytestqt.qtbot import QtBot

from closedloop import control
from closedloop.control import AddNote, Arm, Disarm, SetThreshold, line_of, order_of
from closedloop.dashboard.inputs.arm_button import BOUNCE_S, CONFIRM_S, TICK_MS
from closedloop.dashboard.inputs.controls import Controls
from closedloop.dashboard.inputs.header_words import train_words
from closedloop.dashboard.style import GLOVE_PX
from closedloop.dashboard.theme import THEMES
from closedloop.health import HEALTH
from closedloop.recording import RecordingWriter, row_dtype
from closedloop.steps import STEP, VALID, WARM
from closedloop.watching.watch import Watch

ROW = row_dtype(STEP)
RATE_HZ = 100
COMMAND = {"on_us": 200_000, "period_us": 200_000, "pulses": 1, "level": 32_768, "ramp_off_us": 0}
HEADER = {
    "rate_mhz": RATE_HZ * 1000,
    "nano_units": 1000,
    "input_names": [],
    "by_hand": True,
    "command": COMMAND,
    "tip_mw": 5.0,
    "decisions": ["fire", "test"],
    "boards": {"daq": {}, "stimulator": {}},
    "protocol": {
        "warm_up": "2 s",
        "detector": {"kind": "threshold", "threshold": 5.0, "release": 2.0},
        "policy": {"kind": "closed_loop"},
    },
}
BOUNCE_TICKS = round(BOUNCE_S * 1000 / TICK_MS)
ALL_TICKS = round(CONFIRM_S * 1000 / TICK_MS)


class Session:
    """A real recording that is being written, as an engine would, and who watches it."""

    def __init__(self, folder: Path, **header) -> None:
        folder.mkdir(parents=True)
        made = HEADER | header
        self.writer = RecordingWriter.open(folder, header=made, protocol="name: p\n", rig="name: r\n", dtype=ROW)
        self.watch = Watch(folder)
        self._rows = 0
        self.note("first_reading", "the first reading")

    def read(self, seconds, threshold=5.0, bits=VALID | WARM):
        rows = np.zeros(round(seconds * RATE_HZ), ROW)
        numbers = np.arange(self._rows, self._rows + len(rows))
        rows["ticks"], rows["seq"] = numbers * (1_000_000 // RATE_HZ), numbers
        rows["threshold"], rows["bits"], rows["signal_lit"] = threshold, bits, 1000 + numbers % 5
        self._rows += len(rows)
        self.writer.append(rows)

    def warm_up(self, seconds):
        """Readings before warm-up is over, and the controller's own word that it is not."""
        self.read(seconds, bits=0)
        health = np.zeros(1, HEALTH)
        health["ticks"], health["host_ns"], health["phase"] = self.ticks, self.ticks * 1000, 1
        self.writer.health(health)

    @property
    def ticks(self):
        return self._rows * (1_000_000 // RATE_HZ)

    def event(self, kind, **fields):
        self.writer.event(kind, ticks=self.ticks, host_ns=self.ticks * 1000, **fields)

    def note(self, reason, text=None, value=None):
        self.event("note", reason=reason, text=text, value=value)

    def ready(self):
        self.read(3.0)
        self.note("ready", "warm-up is over: waits for a person to arm")

    def armed(self):
        self.note("arm", "the stimulator is asked to arm")
        self.note("armed", "armed")
        self.read(0.1)

    def close(self, **summary):
        self.writer.close({"ended": "completed", "reason": "the duration is over"} | summary)


@pytest.fixture
def session(tmp_path) -> Iterator[Session]:
    made = Session(tmp_path / "session")
    yield made
    made.close()


@pytest.fixture
def controls(qtbot: QtBot) -> Controls:
    made = Controls()
    qtbot.addWidget(made)
    made.resize(400, 430)
    made.show()
    made.orders = []
    made.asked.connect(made.orders.append)
    return made


def see(controls, session):
    session.watch.turn(0)
    controls.show_watch(session.watch)


def ticks(controls, count):
    for _ in range(count):
        controls.arm.count_down()


def confirm(controls, qtbot):
    qtbot.mouseClick(controls.arm, Qt.MouseButton.LeftButton)
    ticks(controls, BOUNCE_TICKS)
    qtbot.mouseClick(controls.arm, Qt.MouseButton.LeftButton)


# Arming


def test_before_there_is_a_session_nothing_can_be_asked(controls, qtbot, tmp_path):
    watch = Watch(tmp_path / "nowhere")
    watch.turn(0)
    controls.show_watch(watch)

    for button in (controls.arm, controls.disarm, controls.pulse, controls.apply):
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    assert controls.orders == []
    assert not controls.note.isEnabled()
    assert controls.why.text() != ""


def test_arming_takes_two_presses(controls, qtbot, session):
    session.ready()
    see(controls, session)
    assert controls.arm.text() == "Arm"

    qtbot.mouseClick(controls.arm, Qt.MouseButton.LeftButton)
    ticks(controls, BOUNCE_TICKS)
    assert controls.orders == []
    assert controls.arm.text() == "CONFIRM: arm the light (5 s)"

    qtbot.mouseClick(controls.arm, Qt.MouseButton.LeftButton)
    assert controls.orders == [Arm()]
    assert controls.arm.text() == "Arm"


def test_a_double_press_of_a_glove_does_not_arm(controls, qtbot, session):
    session.ready()
    see(controls, session)

    qtbot.mouseClick(controls.arm, Qt.MouseButton.LeftButton)
    qtbot.mouseDClick(controls.arm, Qt.MouseButton.LeftButton)
    ticks(controls, BOUNCE_TICKS - 1)
    qtbot.mouseClick(controls.arm, Qt.MouseButton.LeftButton)

    assert controls.orders == []


def test_a_first_press_that_is_not_confirmed_is_forgotten_after_five_seconds(controls, qtbot, session):
    session.ready()
    see(controls, session)

    qtbot.mouseClick(controls.arm, Qt.MouseButton.LeftButton)
    ticks(controls, ALL_TICKS)

    assert controls.arm.text() == "Arm"
    qtbot.mouseClick(controls.arm, Qt.MouseButton.LeftButton)
    assert controls.orders == []


def test_the_countdown_goes_on_while_the_session_is_looked_at(controls, qtbot, session):
    session.ready()
    see(controls, session)
    qtbot.mouseClick(controls.arm, Qt.MouseButton.LeftButton)
    ticks(controls, 20)

    session.read(0.5)
    see(controls, session)

    assert controls.arm.text() == "CONFIRM: arm the light (3 s)"


def test_escape_takes_the_first_press_back(controls, qtbot, session):
    session.ready()
    see(controls, session)
    qtbot.mouseClick(controls.arm, Qt.MouseButton.LeftButton)
    ticks(controls, BOUNCE_TICKS)

    qtbot.keyClick(controls.arm, Qt.Key.Key_Escape)
    qtbot.keyClick(controls.arm, Qt.Key.Key_Return)

    assert controls.orders == []


def test_arming_by_keys_alone(controls, qtbot, session):
    session.ready()
    see(controls, session)

    qtbot.keyClick(controls, Qt.Key.Key_R, Qt.KeyboardModifier.ControlModifier)
    ticks(controls, BOUNCE_TICKS)
    assert controls.orders == []
    qtbot.keyClick(controls.arm, Qt.Key.Key_Return)

    assert controls.orders == [Arm()]


def test_a_tripped_session_takes_back_what_was_half_pressed(controls, qtbot, session):
    session.ready()
    see(controls, session)
    qtbot.mouseClick(controls.arm, Qt.MouseButton.LeftButton)

    session.close(ended="tripped", reason="the stimulator tripped: lease_expired")
    see(controls, session)

    assert not controls.arm.is_asking
    assert controls.arm.text() == "The session is over"
    assert controls.said.text() == f"TRIPPED: {session.watch.status.reason}"
    assert controls.note.isHidden()
    qtbot.mouseClick(controls.arm, Qt.MouseButton.LeftButton)
    assert controls.orders == []


def test_what_is_armed_already_is_not_offered_again(controls, qtbot, session):
    session.ready()
    session.armed()
    see(controls, session)

    confirm(controls, qtbot)

    assert controls.arm.text() == "Armed"
    assert controls.orders == []


def test_arming_ahead_in_warm_up_is_shown_as_asked_for_and_can_be_taken_back(controls, qtbot, session):
    session.warm_up(1.0)
    see(controls, session)
    assert controls.arm.text() == "Arm after warm-up"
    confirm(controls, qtbot)
    assert controls.orders == [Arm()]

    session.note("arm_asked", "to be armed as soon as warm-up is over")
    session.warm_up(0.1)
    see(controls, session)
    assert controls.arm.text() == "Arms after warm-up …"
    assert not controls.arm.isEnabled()

    qtbot.mouseClick(controls.disarm, Qt.MouseButton.LeftButton)
    session.note("disarmed", "disarmed by hand: dark until armed again")
    session.warm_up(0.1)
    see(controls, session)
    assert controls.orders == [Arm(), Disarm()]
    assert controls.arm.text() == "Arm after warm-up"


def test_a_session_that_arms_by_itself_says_so(controls, tmp_path):
    session = Session(tmp_path / "by_itself", by_hand=False)
    session.warm_up(1.0)
    see(controls, session)
    session.close()

    assert controls.arm.text() == "Arms after warm-up …"


def test_a_rig_without_a_stimulator_has_nothing_to_arm(controls, tmp_path):
    session = Session(tmp_path / "dark", boards={"daq": {}})
    session.read(3.0)
    see(controls, session)
    session.close()

    assert controls.arm.text() == "This rig gives no light"
    assert not controls.arm.isEnabled()
    assert not controls.disarm.isEnabled()


def test_disarming_takes_one_press(controls, qtbot, session):
    session.ready()
    session.armed()
    see(controls, session)

    qtbot.keyClick(controls, Qt.Key.Key_D, Qt.KeyboardModifier.ControlModifier)
    qtbot.mouseClick(controls.disarm, Qt.MouseButton.LeftButton)

    assert controls.orders == [Disarm(), Disarm()]


# The test pulse


def test_a_test_pulse_says_what_it_does_and_is_there_only_when_armed(controls, qtbot, session):
    session.ready()
    see(controls, session)
    qtbot.keyClick(controls, Qt.Key.Key_T, Qt.KeyboardModifier.ControlModifier)
    assert controls.orders == []
    assert "when armed" in controls.pulse.text()

    session.armed()
    see(controls, session)
    qtbot.keyClick(controls, Qt.Key.Key_T, Qt.KeyboardModifier.ControlModifier)

    assert controls.pulse.text() == "Test pulse\n200 ms at 5 mW"
    assert controls.orders == [control.TestPulse()]


def test_a_refused_test_pulse_is_said_with_its_reason(controls, qtbot, session):
    session.ready()
    session.armed()
    session.event("decision", train=1, reason="test")
    session.event("refused", train=1, reason="duty_short")
    see(controls, session)
    qtbot.mouseClick(controls.pulse, Qt.MouseButton.LeftButton)
    assert "asked for" in controls.said.text()

    session.event("decision", train=2, reason="fire")
    session.event("refused", train=2, reason="on_time")
    session.event("decision", train=3, reason="test")
    session.event("refused", train=3, reason="refractory")
    see(controls, session)

    assert "refused" in controls.said.text()
    assert "refractory" in controls.said.text()


def test_a_test_pulse_that_gave_light_is_said_to_have(controls, qtbot, session):
    session.ready()
    session.armed()
    see(controls, session)
    qtbot.mouseClick(controls.pulse, Qt.MouseButton.LeftButton)

    session.event("decision", train=1, reason="test")
    session.event("command", train=1, value=200.0)
    session.event("light_on", train=1, value=900.0)
    see(controls, session)

    assert controls.said.text() == "The test pulse was given (train 1)."


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"command": COMMAND, "tip_mw": 5.0}, "200 ms at 5 mW"),
        ({"command": COMMAND | {"pulses": 3}, "tip_mw": None}, "3 pulses of 200 ms at 50 % of full power"),
        ({"command": COMMAND | {"on_us": 1_500_000}, "tip_mw": 0.25}, "1.5 s at 0.25 mW"),
        ({}, "one train of the protocol"),
    ],
)
def test_a_train_in_words(header, words):
    assert train_words(header) == words


# Threshold and release


def test_bounds_come_from_the_recording_and_are_not_echoed(controls, session):
    moved = []
    controls.threshold.valueChanged.connect(moved.append)
    session.ready()
    see(controls, session)
    assert controls.bounds == (5.0, 2.0)

    session.note("threshold", "release 1.5", value=4.0)
    session.read(0.1, threshold=4.0)
    see(controls, session)

    assert controls.bounds == controls.in_force == (4.0, 1.5)
    assert moved == []
    assert controls.orders == []


def test_other_bounds_are_asked_for_when_they_are_applied_and_not_before(controls, qtbot, session):
    session.ready()
    see(controls, session)
    assert not controls.apply.isEnabled()

    controls.threshold.setValue(4.5)
    assert controls.orders == []
    assert "in force: 5, release 2" in controls.why.text()
    qtbot.mouseClick(controls.apply, Qt.MouseButton.LeftButton)

    assert controls.orders == [SetThreshold(4.5, 2.0)]
    session.note("threshold", "release 2.0", value=4.5)
    session.read(0.1, threshold=4.5)
    see(controls, session)
    assert not controls.apply.isEnabled()
    assert controls.why.text() == ""


def test_bounds_that_somebody_is_changing_are_not_overwritten(controls, session):
    session.ready()
    see(controls, session)
    controls.threshold.setValue(4.2)

    session.read(1.0)
    see(controls, session)

    assert controls.bounds == (4.2, 2.0)


def test_a_release_above_the_threshold_cannot_be_applied_and_says_why(controls, qtbot, session):
    session.ready()
    see(controls, session)
    controls.release.setValue(6.0)

    qtbot.keyClick(controls.release, Qt.Key.Key_Return)

    assert controls.orders == []
    assert "Release (6) must not lie above threshold (5)" in controls.why.text()


def test_bounds_by_keys_alone(controls, qtbot, session):
    session.ready()
    see(controls, session)

    qtbot.keyClick(controls, Qt.Key.Key_L, Qt.KeyboardModifier.ControlModifier)
    controls.threshold.lineEdit().selectAll()
    qtbot.keyClicks(controls.threshold, "3.75")
    qtbot.keyClick(controls.threshold, Qt.Key.Key_Return)

    assert controls.orders == [SetThreshold(3.75, 2.0)]


def test_steps_that_gloves_can_press_move_the_bound_by_a_tenth(controls, qtbot, session):
    session.ready()
    see(controls, session)
    less = next(step for step in controls._steps if step.accessibleName() == "threshold −")

    qtbot.mouseClick(less, Qt.MouseButton.LeftButton)

    assert controls.bounds == (pytest.approx(4.9), 2.0)


def test_a_score_that_is_pointed_at_becomes_the_threshold_and_pulls_the_release_down(controls, session):
    session.ready()
    see(controls, session)

    controls.point_at(1.4)

    assert controls.bounds == (1.4, 1.4)
    assert controls.orders == []


def test_a_board_that_detects_by_itself_has_bounds_that_cannot_be_changed_and_says_so(controls, tmp_path):
    on_board = HEADER["protocol"] | {"policy": {"kind": "on_board"}}
    session = Session(tmp_path / "on_board", protocol=on_board)
    session.ready()
    see(controls, session)
    session.close()

    assert not controls.threshold.isEnabled()
    assert "The DAQ board detects by its own threshold" in controls.why.text()


def test_after_the_session_the_bounds_move_the_preview_and_are_never_an_order(controls, qtbot, session):
    session.ready()
    session.close()
    see(controls, session)

    with qtbot.waitSignal(controls.cursor_moved) as moved:
        controls.threshold.setValue(4.0)
    qtbot.keyClick(controls.threshold, Qt.Key.Key_Return)
    qtbot.mouseClick(controls.apply, Qt.MouseButton.LeftButton)

    assert moved.args == [4.0, 2.0]
    assert "preview alone" in controls.why.text()
    assert controls.orders == []


def test_an_order_that_the_session_did_not_carry_out_is_said(controls, session):
    session.ready()
    session.note("order_refused", "threshold: the DAQ board detects by itself here")
    see(controls, session)

    assert controls.said.text() == "Not done: threshold: the DAQ board detects by itself here"


# Notes


def test_a_note_is_sent_by_enter_and_the_line_is_free_again(controls, qtbot, session):
    session.ready()
    see(controls, session)

    qtbot.keyClick(controls, Qt.Key.Key_N, Qt.KeyboardModifier.ControlModifier)
    qtbot.keyClicks(controls.note, "  animal turned, cable free ")
    qtbot.keyClick(controls.note, Qt.Key.Key_Return)
    qtbot.keyClick(controls.note, Qt.Key.Key_Return)

    assert controls.orders == [AddNote("animal turned, cable free")]
    assert controls.note.text() == ""


def test_the_longest_note_that_can_be_typed_is_one_that_the_session_takes(controls, qtbot, session):
    session.ready()
    see(controls, session)
    controls.note.setText("ä" * 5000)

    qtbot.keyClick(controls.note, Qt.Key.Key_Return)

    (order,) = controls.orders
    message = {"order": "note", "text": order.text, "token": "t"}
    assert order_of(message) == order
    assert line_of(order, "t").endswith(b"\n")


# All of it


def test_another_session_begins_without_anything_of_the_last(controls, qtbot, session, tmp_path):
    session.ready()
    see(controls, session)
    controls.threshold.setValue(9.0)
    qtbot.mouseClick(controls.arm, Qt.MouseButton.LeftButton)

    other = Session(tmp_path / "other", protocol=HEADER["protocol"] | {"detector": {"threshold": 3.0, "release": 1.0}})
    other.read(0.1, threshold=3.0)
    see(controls, other)
    other.close()

    assert controls.bounds == (3.0, 1.0)
    assert not controls.arm.is_asking


def test_everything_that_is_pressed_is_as_high_as_a_glove_needs(controls, session):
    session.ready()
    see(controls, session)

    pressed = [controls.arm, controls.disarm, controls.pulse, controls.apply, *controls._steps]

    assert min(button.height() for button in pressed) >= GLOVE_PX


@pytest.mark.parametrize("theme", THEMES.values(), ids=lambda theme: theme.name)
def test_a_theme_changes_looks_and_asks_nothing(controls, session, theme):
    session.ready()
    see(controls, session)

    controls.set_theme(theme)

    assert controls.orders == []
    assert controls.theme is theme


def test_bounds_that_the_detector_computed_are_in_force_from_the_start(qtbot, tmp_path) -> None:
    detector = {"kind": "cusum", "threshold": 11.0, "release": 5.5, "false_alarms": "1 /h"}
    header = {"protocol": HEADER["protocol"] | {"detector": detector}}
    bounds = {"threshold": 7.11, "release": 3.555, "highest": 14.22}
    session, controls = Session(tmp_path / "cusum", bounds=bounds, **header), Controls()
    qtbot.addWidget(controls)
    session.watch.turn(0)
    controls.show_watch(session.watch)
    assert controls.in_force == (7.11, 3.555)
    session.close()


def test_a_threshold_that_the_score_never_reaches_is_not_offered(qtbot, tmp_path) -> None:
    session = Session(tmp_path / "capped", bounds={"threshold": 5.0, "release": 2.0, "highest": 10.0})
    controls = Controls()
    qtbot.addWidget(controls)
    session.ready()
    session.watch.turn(0)
    controls.show_watch(session.watch)
    controls.threshold.setValue(10.0)
    assert controls.apply.isEnabled()
    controls.threshold.setValue(10.1)
    assert not controls.apply.isEnabled()
    assert "never be reached" in controls.why.text()
    session.close()


def test_a_probability_is_set_in_hundredths(qtbot, tmp_path) -> None:
    detector = {"kind": "state", "threshold": 0.95, "release": 0.5}
    session = Session(tmp_path / "state", protocol=HEADER["protocol"] | {"detector": detector})
    controls = Controls()
    qtbot.addWidget(controls)
    session.read(3.0, threshold=0.95)
    session.watch.turn(0)
    controls.show_watch(session.watch)
    controls.threshold.stepUp()
    assert controls.threshold.value() == pytest.approx(0.96)
    session.close()
