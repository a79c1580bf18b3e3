"""Blocks, pauses, gates, inputs and the session's limits are on the window as they are in the recording."""

from __future__ import annotations

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest
from experiment_session import GATES, RATE_HZ, Session
from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QApplication, QWidget

from closedloop.control import Pause, Resume
from closedloop.dashboard.inputs.arm_button import BOUNCE_S, TICK_MS
from closedloop.dashboard.inputs.controls import Controls
from closedloop.dashboard.plots.figure import save_figure
from closedloop.dashboard.plots.picture import Look, Marker
from closedloop.dashboard.plots.plots import Plots
from closedloop.dashboard.plots.shades import BLOCKS, lane_of, look_of
from closedloop.dashboard.readout.gauges import Gauges
from closedloop.dashboard.readout.inputs import Inputs
from closedloop.dashboard.readout.strip import HEIGHT_PX, StateStrip
from closedloop.dashboard.session_page import SessionPage
from closedloop.schedule import OVER
from closedloop.steps import GATE_OPEN
from closedloop.train import Refusal
from closedloop.watching.status import State

STRIP_PX = 1366 - 190
PERIOD_S = 1 / RATE_HZ


@pytest.fixture
def session(tmp_path):
    made = Session(tmp_path / "session")
    yield made
    made.close()


def shown(qtbot, widget, width=STRIP_PX, height=HEIGHT_PX):
    """The widget on the screen; it is kept until it is closed, for what is taken apart while it is painted crashes."""
    qtbot.addWidget(widget, before_close_func=lambda _, kept=widget: kept.hide())
    widget.resize(width, height)
    widget.show()
    QApplication.processEvents()
    return widget


def strip_of(qtbot, session):
    strip = shown(qtbot, StateStrip())
    strip.show_watch(session.look())
    return strip.said()


# Where the session is


def test_the_blocks_so_far_are_those_of_the_rows(session):
    session.read(5.0)
    session.enter(1, 20.0)
    session.enter(2, 7.0)

    course = session.look().course

    assert [(one.number, one.name) for one in course.stretches] == [(0, "warm-up"), (1, "baseline"), (2, "closed loop")]
    assert [one.until_s for one in course.stretches] == pytest.approx([5.0, 25.0, None], nan_ok=True)
    assert (course.number, course.name, course.after) == (2, "closed loop", "washout")


def test_what_is_left_of_a_block_is_time_and_trains(session):
    session.read(5.0)
    session.enter(1, 20.0)
    session.enter(2, 6.0)
    session.train()
    session.train(refused=Refusal.REFRACTORY)

    left = session.look().course.left

    assert left.seconds == pytest.approx(40 - 6.52, abs=2 * PERIOD_S)
    assert (left.trains, left.readings) == (2, None)


def test_a_pause_stops_the_clock_of_the_block_and_of_its_readings(session):
    session.read(5.0)
    session.enter(3, 2.0)
    session.note("paused", "paused by hand: dark, and the blocks' clock stands still")
    session.read(30.0)
    paused = session.look().course.left
    session.note("resumed", "resumed by hand")
    session.read(3.0)

    left = session.look().course.left

    assert paused.seconds == pytest.approx(8.0, abs=2 * PERIOD_S)
    assert left.seconds == pytest.approx(5.0, abs=2 * PERIOD_S)
    assert left.readings == 800 - 500
    assert not session.watch.course.is_paused


def test_the_strip_says_which_block_is_on_and_how_long_still(qtbot, session):
    session.read(2.0)
    assert strip_of(qtbot, session)["time"] == "warm-up: 0:03 left, then baseline"
    session.read(3.0)
    session.enter(1, 4.0)
    assert strip_of(qtbot, session)["time"] == "baseline 1/3: 0:16 left, then closed loop"
    session.enter(2, 1.0)
    assert strip_of(qtbot, session)["time"] == "closed loop 2/3: 0:39 left, or 3 trains, then washout"
    session.enter(3, 1.0)
    assert strip_of(qtbot, session)["time"] == "washout 3/3: 0:09 left, or 700 readings, then the end"
    session.enter(OVER, 0.1)
    assert strip_of(qtbot, session)["time"].startswith("over: ")


def test_without_blocks_the_strip_says_the_time_of_the_session(qtbot, tmp_path):
    plain = Session(tmp_path / "plain", protocol={"blocks": []})
    plain.read(15.0)
    assert strip_of(qtbot, plain)["time"] == "session, time left: 1:00, 0:15 so far"
    plain.close()


def test_a_pause_is_the_word_of_the_strip_and_not_a_remark_that_says_so(qtbot, session):
    session.read(6.0)
    session.note("ready", "warm-up is over: waits for a person to arm")
    session.note("remark", "paused by hand: dark, and the blocks' clock stands still")
    assert strip_of(qtbot, session)["state"].startswith("READY TO ARM")

    session.note("paused", "paused by hand: dark, and the blocks' clock stands still")
    session.read(0.1)
    assert strip_of(qtbot, session)["state"].startswith("PAUSED: dark")

    session.note("resumed", "resumed by hand")
    session.read(0.1)
    assert session.look().status.state is State.READY


# Gates


def test_a_gate_says_what_it_waits_for(session):
    session.bits &= ~GATE_OPEN
    session.read(6.0)
    (gate,) = session.look().course.gates
    assert (gate.words, gate.is_open, gate.why) == ("paired high", False, "the input is low")

    session.read(0.1, inputs=1)
    (gate,) = session.look().course.gates
    assert not gate.is_open
    assert gate.why == "0.1 s more"

    session.inputs, session.bits = 1, session.bits | GATE_OPEN
    session.read(1.0)
    (gate,) = session.look().course.gates
    assert (gate.is_open, gate.why) == (True, "")


def test_of_several_gates_the_one_that_is_shut_is_named(tmp_path):
    gates = [*GATES, {"input": "lever", "when": "rising", "hold": "2 s"}]
    session = Session(tmp_path / "two", protocol={"gates": gates})
    session.bits &= ~GATE_OPEN
    session.inputs = 1
    session.read(3.0)
    assert [gate.is_open for gate in session.look().course.gates] == [True, False]
    session.read(0.1, inputs=5)
    session.read(1.5, bits=session.bits | GATE_OPEN)
    assert [gate.is_open for gate in session.look().course.gates] == [True, True]
    session.read(1.0)
    assert [(gate.is_open, gate.why) for gate in session.look().course.gates] == [(True, ""), (False, "no edge lately")]
    session.close()


# Limits of the session


def test_a_limit_that_is_reached_stands_in_the_strip_in_place_of_the_reason(qtbot, session):
    session.read(6.0)
    session.arm()
    session.enter(2, 1.0)
    assert "LIMIT" not in strip_of(qtbot, session)["state"]

    session.latch()
    session.read(1.0)

    assert strip_of(qtbot, session)["state"] == "ARMED: LIMIT REACHED: no light from here on"


LIMITED = {
    "protocol": {"limits": {"trains_per_session": 4, "session_on": "3 s"}},
    "rig": {"name": "box", "limits": {"session_energy": "12 mJ", "trains_per_minute": 20}},
    "dose": {"trains": 4, "on_s": 3.0, "energy_mj": 12.0, "kelvin": 1.0},
}


def gauges_of(qtbot, session):
    panel = shown(qtbot, Gauges(), 420, 500)
    panel.show_watch(session.look())
    return panel.findChild(QWidget).accessibleName().splitlines()


def test_a_gauge_of_the_session_says_whose_limit_it_is(qtbot, tmp_path):
    session = Session(tmp_path / "limited", **LIMITED)
    session.read(6.0)
    session.train()
    said = gauges_of(qtbot, session)
    session.close()

    assert said[0].startswith("trains in all: 1 of 4 trains: 25 % of the protocol's limit")
    assert said[2].startswith("energy in all: 2.50 of 12 mJ: 21 % of the rig's limit")
    assert any(line.startswith("warming") and "the board's ceiling" in line for line in said)


def test_a_limit_that_is_reached_heads_the_gauges(qtbot, tmp_path):
    session = Session(tmp_path / "limited", **LIMITED)
    session.read(6.0)
    for _ in range(4):
        session.train()
    assert "LIMIT REACHED" not in gauges_of(qtbot, session)[0]
    session.latch()

    said = gauges_of(qtbot, session)
    session.close()

    assert said[:2] == ["LIMIT REACHED: sham from here on", "the session's limit of trains, at 0:08"]
    assert said[2].startswith("trains in all: 4 of 4 trains: REACHED")


# Pause and resume


@pytest.fixture
def controls(qtbot):
    made = Controls()
    qtbot.addWidget(made)
    made.resize(430, 430)
    made.show()
    made.orders = []
    made.asked.connect(made.orders.append)
    return made


def press(qtbot, button, bounce=True):
    for _ in range(round(BOUNCE_S * 1000 / TICK_MS) if bounce else 0):
        button.count_down()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def paused(session):
    session.note("paused", "paused by hand: dark, and the blocks' clock stands still")
    session.read(0.1)


def armed(session):
    session.read(6.0)
    session.note("ready", "warm-up is over: waits for a person to arm")
    session.arm()
    session.read(0.1)


def test_one_press_pauses_and_two_resume(qtbot, controls, session):
    armed(session)
    controls.show_watch(session.look())
    press(qtbot, controls.pause)
    assert controls.orders == [Pause()]

    paused(session)
    controls.show_watch(session.look())
    assert controls.pause.text() == "Resume"
    press(qtbot, controls.pause)
    assert controls.orders == [Pause()]
    press(qtbot, controls.pause)
    assert controls.orders == [Pause(), Resume()]


def test_a_double_press_of_a_glove_on_pause_does_not_resume(qtbot, controls, session):
    armed(session)
    controls.show_watch(session.look())
    press(qtbot, controls.pause)
    paused(session)
    controls.show_watch(session.look())
    press(qtbot, controls.pause)
    press(qtbot, controls.pause, bounce=False)
    assert controls.orders == [Pause()]


def test_a_second_pause_is_refused_by_the_session_and_that_is_said(qtbot, controls, session):
    armed(session)
    controls.show_watch(session.look())
    press(qtbot, controls.pause)
    press(qtbot, controls.pause)  # before anything was recorded of the first
    assert controls.orders == [Pause(), Pause()]
    session.note("order_refused", "pause: the session is paused already")
    session.read(0.1)

    controls.show_watch(session.look())

    assert controls.said.text() == "Not done: pause: the session is paused already"


def test_while_paused_arming_is_not_offered_and_disarming_is(qtbot, controls, session):
    armed(session)
    paused(session)
    controls.show_watch(session.look())
    assert controls.arm.text() == "Paused: resume first"
    assert not controls.arm.isEnabled()
    assert controls.disarm.isEnabled()


def test_pausing_by_key(qtbot, controls, session):
    armed(session)
    controls.show_watch(session.look())
    qtbot.keyClick(controls, Qt.Key.Key_P, Qt.KeyboardModifier.ControlModifier)
    assert controls.orders == [Pause()]


# Inputs


def test_inputs_say_their_level_their_time_and_their_entries(qtbot, session):
    session.bits &= ~GATE_OPEN
    session.read(6.0)
    session.train(refused=Refusal.GATE)
    session.inputs, session.bits = 1, session.bits | GATE_OPEN
    session.read(3.0)
    session.inputs, session.bits = 2, session.bits & ~GATE_OPEN
    session.read(1.0)
    panel = shown(qtbot, Inputs(), 430, 150)
    panel.show_watch(session.look())

    assert panel.said.splitlines() == [
        "GATE SHUT: no light",
        "refused by gate: 1",
        "paired high: shut, the input is low",
        "paired: low, 0:03 30 % 1 entry",
        "neutral: high, 0:01 10 % 1 entry",
        "lever: low, 0:00 0 % 0 entries",
    ]


def test_a_rig_without_inputs_has_no_panel_of_them(qtbot, tmp_path):
    bare = Session(tmp_path / "bare", input_names=[], protocol={"gates": []})
    bare.read(6.0)
    page = shown(qtbot, SessionPage(lambda: None), 1366, 690)
    page.begin(bare.look())
    bare.close()
    assert not page.inputs.isVisible()


def test_armed_behind_a_shut_gate_says_so_in_the_strip(qtbot, session):
    session.bits &= ~GATE_OPEN
    armed(session)
    assert strip_of(qtbot, session)["state"] == "ARMED: gate shut: paired high (the input is low)"


# The timeline


def shades_of(session, since_s, until_s, width=1000.0):
    watch = session.look()
    return Marker().shades(watch.marks, Look(since_s, until_s, {}), watch.traces.last_s, width, watch.course)


def test_blocks_are_shaded_by_turns_and_named(session):
    session.read(5.0)
    session.enter(1, 20.0)
    session.enter(2, 25.0)

    found = shades_of(session, 0.0, 50.0)

    even, odd = (found[kind] for kind in BLOCKS)
    assert [mark.label for mark in even] == ["warm-up", "closed loop"]
    assert [mark.label for mark in odd] == ["baseline"]
    assert (odd[0].left, odd[0].right) == (pytest.approx(100, abs=1), pytest.approx(500, abs=1))
    assert even[1].right == pytest.approx(1000, abs=1)
    assert {lane_of(kind) for kind in BLOCKS} == {"block"}


def test_a_pause_is_a_stretch_of_its_own_and_no_veto(session):
    session.read(6.0)
    paused(session)
    session.read(3.9)
    session.note("resumed", "resumed by hand")
    session.read(2.0)

    found = shades_of(session, 0.0, 12.0, 1200.0)

    assert "veto" not in found
    assert [(mark.label, look_of("paused")) for mark in found["paused"]] == [("paused", "paused")]
    assert (found["paused"][0].left, found["paused"][0].right) == (
        pytest.approx(600, abs=2),
        pytest.approx(1000, abs=2),
    )


def test_plots_have_a_lane_for_blocks_where_there_are_blocks(qtbot, session, tmp_path):
    session.read(5.0)
    session.enter(1, 2.0)
    plots = shown(qtbot, Plots(), 900, 560)
    plots.show_watch(session.look())
    assert list(plots._lanes.lanes)[:2] == ["block", "light"]

    plain = Session(tmp_path / "plain", protocol={"blocks": []})
    plain.read(5.0)
    plots.show_watch(plain.look())
    plain.close()
    assert list(plots._lanes.lanes)[:2] == ["light", "withheld"]


def test_a_figure_names_the_blocks(session, tmp_path):
    session.read(5.0)
    session.enter(1, 20.0)
    save_figure(session.look(), 0.0, 25.0, tmp_path / "figure.svg")
    drawing = (tmp_path / "figure.svg").read_text(encoding="utf-8")
    assert ">baseline</text>" in drawing
    assert ">block</text>" in drawing


# Blinded


def blinded(folder, decision):
    """The same session in an arm; what a reader of a blinded recording gets is the same in each."""
    made = Session(
        folder,
        blinded="K7",
        condition="K7",
        subject="M17",
        decisions=["decided", "test"],
        protocol={"policy": {"kind": "blinded", "code": "K7"}, "phase": "withdrawal day 7", **LIMITED["protocol"]},
        dose=LIMITED["dose"],
    )
    made.read(6.0)
    armed(made)
    for _ in range(3):
        made.train(name="decided", delivered=decision == "fire")
        made.read(0.5 if decision == "fire" else 1.0)
    made.latch(name="decided", said="the session's limit is reached (dose_trains): no light from here on")
    made.read(1.0)
    return made


def words_on(widget):
    found = []
    for child in [widget, *widget.findChildren(QWidget)]:
        found += [child.accessibleName(), child.toolTip()]
        found += [child.text()] if callable(getattr(child, "text", None)) else []
    return "\n".join(filter(None, found))


def test_a_blinded_session_shows_the_plan_and_the_code_and_the_same_in_every_arm(qtbot, tmp_path):
    pages = []
    for arm in ("fire", "sham"):
        session = blinded(tmp_path / arm, arm)
        page = shown(qtbot, SessionPage(lambda: None), 1366, 690)
        page.begin(session.look())
        page.show_all(session.watch)
        kinds = set(session.watch.marks.kinds)
        session.close()
        assert "decided" in kinds
        assert not kinds & {"light", "fire", "sham"}
        assert look_of("decided") == "planned"
        assert lane_of("decided") == "light"
        assert page.plots._lanes.lanes["light"] == "planned"
        assert page.plots._whose == "M17   withdrawal day 7   code K7, blinded"
        pages.append(words_on(page))
    assert pages[0] == pages[1]
    assert all(word not in pages[0] for word in ("sham", "fire", "closed_loop", "closed loop policy"))
    assert "LIMIT REACHED: no light from here on" in pages[0]
    assert "time lit, by plan" in pages[0]


def test_of_a_test_pulse_in_a_blinded_session_it_is_said_that_it_was_decided(qtbot, controls, tmp_path):
    session = blinded(tmp_path / "pulse", "fire")
    controls.show_watch(session.look())
    controls.pulse.click()
    session.train(decision=2, name="test")
    controls.show_watch(session.look())
    assert controls.said.text() == "The test pulse was decided (train 5); its light is not shown."

    controls.pulse.click()
    session.train(decision=2, name="test", refused=Refusal.REFRACTORY)
    controls.show_watch(session.look())
    session.close()
    assert controls.said.text() == "The test pulse was refused: train 6 refused: refractory"
