"""A session that a person pauses: dark, recorded, its blocks' clock still; and nobody but a person arms again."""

from __future__ import annotations

import numpy as np
import pytest
from plans import NANO_UNITS, RATE_HZ, noise, plan, readings, with_events
from virtual_session import VirtualSession

from closedloop.arming import Phase
from closedloop.changes import changes_in, rerun
from closedloop.control import Arm, Disarm, Order, Pause, Resume
from closedloop.loop import Loop
from closedloop.recording import Event
from closedloop.schedule import OVER, Block
from closedloop.wire import State

EVENTS_S = [10.0, 15.0, 20.0, 25.0, 30.0, 35.0]


def session(**changes: object) -> VirtualSession:
    return VirtualSession(readings(with_events(noise(40), EVENTS_S)), plan(**changes))


def obey(ran: VirtualSession, *orders: Order) -> VirtualSession:
    for order in orders:
        ran.controller.obey(order, ran.now_us * 1000)
    return ran


def notes(ran: VirtualSession) -> list[str]:
    return [event["reason"] for event in ran.notebook.events if event["kind"] == "note"]


def test_paused_is_dark_and_recorded_and_resumed_it_lights_again() -> None:
    ran = obey(session().run(12), Pause()).run(22)
    assert ran.stimulator.state is State.DISARMED
    assert ran.notebook.kinds("refused") == ["paused", "paused"]
    assert ran.controller.phase is Phase.READY
    obey(ran, Resume()).run(32)
    assert ran.lit_s == pytest.approx([10.0, 25.0, 30.0], abs=0.003)
    assert [one for one in notes(ran) if one in ("paused", "resumed")] == ["paused", "resumed"]


def test_a_pause_in_mid_train_cuts_it_short() -> None:
    ran = obey(session().run(10.1), Pause()).run(11)
    assert ran.stimulator.lit_us(0, ran.now_us) < 110_000


def test_what_was_disarmed_during_a_pause_is_not_armed_by_resuming() -> None:
    ran = obey(session().run(12), Pause(), Disarm(), Resume()).run(22)
    assert ran.stimulator.state is State.DISARMED
    assert ran.lit_s == pytest.approx([10.0], abs=0.003)
    assert obey(ran, Arm()).run(27).lit_s == pytest.approx([10.0, 25.0], abs=0.003)


def test_what_was_not_armed_when_it_was_paused_is_not_armed_by_resuming() -> None:
    ran = obey(session().run(12), Disarm(), Pause(), Resume()).run(22)
    assert ran.lit_s == pytest.approx([10.0], abs=0.003)


def test_a_second_pause_and_a_resume_of_nothing_are_refused_in_words() -> None:
    ran = obey(session().run(12), Resume(), Pause(), Pause())
    said = [event["text"] for event in ran.notebook.events if event.get("reason") == "order_refused"]
    assert said == ["resume: the session is not paused", "pause: the session is paused already"]


def test_blocks_wait_and_the_session_ends_so_much_later() -> None:
    blocks = (Block(name="one", lasts=6.0), Block(name="two", lasts=4.0))
    ran = obey(session(blocks=blocks).run(10.5), Pause()).run(15.5)
    obey(ran, Resume()).run(40)
    assert ran.controller.ending is not None
    assert ran.controller.ending.reason == "the last block is over"
    rows, steps = ran.rows, np.concatenate(ran.notebook.steps)
    begins = {int(block): rows["ticks"][np.argmax(steps["block"] == block)] / 1e6 for block in (1, 2, OVER)}
    period = 1 / RATE_HZ
    assert begins[1] == pytest.approx(8.0, abs=period)
    assert begins[2] == pytest.approx(8.0 + 6.0 + 5.0, abs=3 * period)
    assert begins[OVER] - begins[2] == pytest.approx(4.0, abs=period)


def test_a_paused_session_replays_to_the_last_bit() -> None:
    ran = obey(session().run(12), Pause()).run(17)
    obey(ran, Resume()).run(39)
    steps = np.concatenate(ran.notebook.steps)
    events = [
        Event(0, e["ticks"], e["kind"], e.get("train"), e.get("reason"), e.get("value"), e.get("text"), 0)
        for e in ran.notebook.events
    ]
    loop = Loop(ran.plan, rate_hz=RATE_HZ, nano_units=NANO_UNITS)
    again = [batch.copy() for batch in rerun(loop, ran.rows, changes_in(events), 500)]
    assert np.concatenate(again).tobytes() == steps.tobytes()
