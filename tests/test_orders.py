"""What a person asks of a running session: what comes of it, how it is recorded, that it replays to the last bit."""

from __future__ import annotations

import json
import os
import select
import socket
import stat
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from plans import NANO_UNITS, RATE_HZ, noise, plan, readings, with_events
from virtual_session import VirtualSession

from closedloop import control, framing, wire
from closedloop.arming import Phase
from closedloop.changes import changes_in, rerun
from closedloop.control import AddNote, Arm, Disarm, Order, SetThreshold, Stop, line_of, order_of
from closedloop.controller import Controller, Orders
from closedloop.detectors.cusum import Cusum
from closedloop.door import FILE, Door
from closedloop.engine import Acquisition, Chore
from closedloop.link import Link
from closedloop.loop import Loop
from closedloop.policies.on_board import OnBoard
from closedloop.policies.sham import Sham
from closedloop.port import Port
from closedloop.recording import Event
from closedloop.remote import Remote
from closedloop.wire import State

EVENTS = [15.0, 20.0, 25.0, 30.0]
ORDERS = [
    *(Stop("Esc"), Arm(), Disarm(), control.Pause(), control.Resume(), control.TestPulse()),
    *(SetThreshold(5.5, 2.5), AddNote("lever jammed")),
]


def session(*, by_hand: bool = True, **changes: object) -> VirtualSession:
    return VirtualSession(readings(with_events(noise(40), EVENTS)), plan(**changes), by_hand=by_hand)


def obey(ran: VirtualSession, *orders: Order) -> VirtualSession:
    for order in orders:
        ran.controller.obey(order, ran.now_us * 1000)
    return ran


def notes(ran: VirtualSession) -> list[str]:
    return ran.notebook.kinds("note")


def test_nothing_is_armed_before_a_person_says_so() -> None:
    ran = session().run(22)
    assert ran.controller.phase is Phase.READY
    assert ran.stimulator.state is State.DISARMED
    assert ran.lit_s == []
    assert ran.notebook.kinds("refused")[-2:] == ["not_armed", "not_armed"]


def test_an_arm_after_warm_up_arms_at_once() -> None:
    ran = obey(session().run(17), Arm()).run(28)
    assert ran.lit_s == pytest.approx([20.0, 25.0], abs=0.003)
    assert notes(ran)[-3:] == ["arm_asked", "arm", "armed"]


def test_an_arm_in_warm_up_waits_for_its_end() -> None:
    ran = obey(session().run(2), Arm())
    assert ran.run(7).stimulator.state is State.DISARMED
    assert ran.run(16).lit_s == pytest.approx([15.0], abs=0.003)


def test_disarmed_is_dark_until_armed_again_and_the_recording_goes_on() -> None:
    ran = obey(session(by_hand=False).run(17), Disarm()).run(22)
    assert ran.stimulator.state is State.DISARMED
    assert ran.lit_s == pytest.approx([15.0], abs=0.003)
    assert ran.controller.phase is Phase.READY
    obey(ran, Arm()).run(27)
    assert ran.lit_s == pytest.approx([15.0, 25.0], abs=0.003)


def test_disarm_in_mid_train_cuts_it_short_with_the_reason() -> None:
    ran = session(by_hand=False).run(15.1)
    assert obey(ran, Disarm()).run(16).stimulator.lit_us(0, ran.now_us) < 110_000
    assert [e["reason"] for e in ran.notebook.events if e["kind"] == "light_off"] == ["host_disarmed"]


def test_disarm_in_warm_up_takes_the_arming_back() -> None:
    ran = obey(session(by_hand=False).run(2), Disarm()).run(17)
    assert ran.lit_s == []


def test_a_test_pulse_is_a_train_like_any_other_and_named() -> None:
    ran = obey(session(by_hand=False).run(17.5), control.TestPulse()).run(18)
    assert ran.lit_s == pytest.approx([15.0, 17.5], abs=0.02)
    assert ran.notebook.kinds("decision") == ["fire", "test"]
    assert "test_pulse" in notes(ran)


def test_a_test_pulse_is_refused_as_any_other_train_is() -> None:
    ran = obey(session(by_hand=False).run(16), control.TestPulse()).run(16.5)  # within the refractory time
    assert ran.notebook.kinds("refused") == ["refractory"]
    early = obey(session(by_hand=False).run(2), control.TestPulse()).run(3)
    assert early.notebook.kinds("refused") == ["warm_up"]
    unarmed = obey(session().run(17.5), control.TestPulse()).run(18)
    assert unarmed.notebook.kinds("refused")[-1] == "not_armed"
    assert early.lit_s == unarmed.lit_s == []


def test_a_test_pulse_is_light_in_a_sham_arm_too() -> None:
    ran = obey(session(by_hand=False, policy=Sham(refractory=2.0)).run(18), control.TestPulse()).run(22)
    assert ran.lit_s == pytest.approx([18.0], abs=0.02)
    assert ran.notebook.kinds("decision") == ["sham", "test", "sham"]


def test_a_threshold_counts_from_the_next_reading_on_and_is_in_every_row() -> None:
    ran = obey(session(by_hand=False).run(17), SetThreshold(1000.0, 3.0)).run(22)
    assert ran.lit_s == pytest.approx([15.0], abs=0.003)
    steps = np.concatenate(ran.notebook.steps)
    changed = np.flatnonzero(np.diff(steps["threshold"]))
    assert len(changed) == 1
    assert ran.rows["ticks"][changed[0] + 1] / 1e6 == pytest.approx(17.0, abs=0.03)
    told = [e for e in ran.notebook.events if e.get("reason") == "threshold"]
    assert [(e["value"], e["text"]) for e in told] == [(1000.0, "release 3.0")]


def test_a_threshold_that_the_evidence_never_reaches_is_refused_with_the_reason() -> None:
    ran = session(by_hand=False, detector=Cusum(threshold=11.0, release=5.0)).run(2)
    obey(ran, SetThreshold(22.1, 5.0))
    assert notes(ran)[-1] == "order_refused"
    assert "threshold: 22.1 would never be reached, the score goes up to 22" in ran.notebook.events[-1]["text"]
    obey(ran, SetThreshold(22.0, 5.0)).run(3)
    assert notes(ran)[-1] == "threshold"
    assert np.concatenate(ran.notebook.steps)["threshold"][-1] == 22.0


def test_what_cannot_be_done_is_written_down_with_its_reason() -> None:
    on_board = session(by_hand=False, policy=OnBoard()).run(2)
    assert notes(obey(on_board, SetThreshold(5.0, 2.0)))[-1] == "order_refused"
    dark = VirtualSession(readings(noise(20)), lit=False).run(10)
    assert notes(obey(dark, Arm()))[-1] == "order_refused"
    armed = session(by_hand=False).run(12)
    assert notes(obey(armed, Arm()))[-1] == "order_refused"


def test_a_note_keeps_the_words_and_the_time_of_the_last_reading() -> None:
    ran = obey(session().run(5), AddNote("lever jammed"))
    last = ran.notebook.events[-1]
    assert (last["reason"], last["text"]) == ("remark", "lever jammed")
    assert last["ticks"] == ran.rows["ticks"][-1]


def test_stop_is_dark_and_the_end() -> None:
    ran = obey(session(by_hand=False).run(15.1), Stop("Esc")).let_it_be(0.1)
    assert ran.controller.ending == ("stopped", "Esc")
    assert ran.stimulator.lit_us(0, ran.now_us) < 110_000


def test_a_session_with_changes_replays_to_the_last_bit() -> None:
    ran = obey(session(by_hand=False).run(17), control.TestPulse()).run(22)
    obey(ran, SetThreshold(20.0, 1.5)).run(24)
    obey(ran, SetThreshold(4.0, 1.5), control.TestPulse()).run(39)
    events = [Event(n, e["ticks"], e["kind"], None, e.get("reason"), e.get("value"), e.get("text"), 0)
              for n, e in enumerate(ran.notebook.events)]  # fmt: skip
    loop = Loop(ran.plan, rate_hz=RATE_HZ, nano_units=NANO_UNITS)
    again = np.concatenate([steps.copy() for steps in rerun(loop, ran.rows, changes_in(events), 700)])
    assert again.tobytes() == np.concatenate(ran.notebook.steps).tobytes()
    assert len({*again["threshold"]}) == 3
    without = np.concatenate(
        [steps.copy() for steps in rerun(Loop(ran.plan, rate_hz=RATE_HZ, nano_units=NANO_UNITS), ran.rows, [], 700)]
    )
    assert without.tobytes() != again.tobytes()


def test_health_is_told_four_times_a_second_with_phase_and_clocks() -> None:
    ran = session(by_hand=False).run(20)
    health = np.concatenate(ran.notebook.healths)
    assert len(health) == pytest.approx(80, abs=2)
    assert health["phase"][0] == 1
    assert health["phase"][-1] == 4
    assert (health["armed"] == (health["phase"] == 4)).all()
    assert abs(health["stimulator_residual_us"][-1]) < 2000
    assert (np.diff(health["heartbeat_ns"][4:]) > 0).all()


@pytest.mark.parametrize("order", ORDERS)
def test_an_order_is_the_same_after_its_way(order: Order) -> None:
    assert order_of(json.loads(line_of(order, "token"))) == order


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"order": "fire"},
        {"order": "arm", "now": True},
        {"order": "note"},
        {"order": "note", "text": ""},
        {"order": "note", "text": "x" * 1001},
        {"order": "note", "text": ["x"]},
        {"order": "threshold", "threshold": "4", "release": 2},
        {"order": "threshold", "threshold": True, "release": 0},
        {"order": "threshold", "threshold": float("nan"), "release": 2},
        {"order": "threshold", "threshold": 2, "release": 4},
    ],
)
def test_what_is_no_order_is_refused_in_words(message: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"\w+ "):
        order_of(message)


class House:
    """A door with somebody at it."""

    def __init__(self, folder: Path) -> None:
        self.taken: list[Order] = []
        self.rang = threading.Event()
        self.door = Door(folder, self.take)
        self.thread = threading.Thread(target=self.door.serve)
        self.thread.start()

    def take(self, order: Order) -> None:
        self.taken.append(order)
        self.rang.set()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    opened = House(tmp_path)
    yield opened
    opened.door.close()
    opened.thread.join()
    assert not (tmp_path / FILE).exists()


def test_orders_arrive_in_order(house: House, tmp_path: Path) -> None:
    remote = Remote(tmp_path)
    for order in ORDERS:
        assert remote.send(order)
    while len(house.taken) < len(ORDERS):
        assert house.rang.wait(5)
    assert house.taken == ORDERS
    assert remote.answers() == []
    remote.close()


def test_the_way_in_is_for_its_owner_alone(house: House, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) & 0o077 == 0


def answer_to(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as line:
        line.sendall(data)
        answer = line.recv(1000)
        if not answer:
            raise ConnectionResetError("reset")
        return answer


def test_nonsense_and_strangers_are_shown_out_and_the_door_stays_open(house: House, tmp_path: Path) -> None:
    way = json.loads((tmp_path / FILE).read_text())
    assert b"token" in answer_to(way["port"], line_of(Stop(), "another"))
    assert b"not understood" in answer_to(way["port"], b"\xff\xfe{}[\n")
    assert b"token" in answer_to(way["port"], b"[1]\n")
    assert b"unknown order" in answer_to(
        way["port"], json.dumps({"token": way["token"], "order": "fire"}).encode() + b"\n"
    )
    with pytest.raises(OSError, match=r"reset|abort"):  # shown out in mid-word
        assert answer_to(way["port"], b"x" * 1_000_000) != b""
    crowd = [socket.create_connection(("127.0.0.1", way["port"])) for _ in range(40)]
    remote = Remote(tmp_path)
    assert remote.send(Arm())
    assert house.rang.wait(5)
    assert house.taken == [Arm()]
    remote.close()
    for line in crowd:
        line.close()


def test_an_order_to_a_session_that_has_ended_is_said_not_to_have_gone(tmp_path: Path) -> None:
    remote = Remote(tmp_path)
    assert not remote.send(Stop())
    assert "takes no orders" in remote.answers()[0]


class Stuck:
    """A recorder whose disk does not answer."""

    def __init__(self) -> None:
        self.entered, self.goes_on = threading.Event(), threading.Event()

    def append(self, *_: object) -> None:
        self.entered.set()
        assert self.goes_on.wait(30)

    def event(self, kind: str, **about: object) -> None: ...

    def health(self, row: object) -> None: ...


@pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")
def test_stop_reaches_the_stimulator_while_the_reader_is_stuck() -> None:
    import tty

    daq, stimulator = os.openpty(), os.openpty()
    for end in (*daq, *stimulator):
        tty.setraw(end)
    links = [Link(Port(os.ttyname(theirs), 500_000)) for _, theirs in (daq, stimulator)]
    stuck = Stuck()
    orders = Orders(rate_hz=RATE_HZ, decisions=("fire", "test"), duration_us=None, real_time=True)
    loop = Loop(plan(), rate_hz=RATE_HZ, nano_units=NANO_UNITS)
    controller = Controller(orders, loop, *links, stuck, time.monotonic_ns)
    acquisition = Acquisition(controller, *links)
    acquisition.start()
    os.write(daq[0], framing.encode(wire.pack(wire.Reading(0, 0, 1000, 0, 800, 0, 0, 0))))
    assert stuck.entered.wait(30)
    acquisition.obey(Stop("Esc"))
    decoder, heard = framing.Decoder(), []
    while wire.Dark() not in heard:
        assert select.select([stimulator[0]], [], [], 30)[0]
        heard += [wire.unpack(payload) for payload in decoder.feed(os.read(stimulator[0], 4096))]
    assert not stuck.goes_on.is_set()
    stuck.goes_on.set()
    acquisition.join()
    assert acquisition.error is None
    assert controller.ending == ("stopped", "Esc")
    for link in links:
        link.close()
    for end in (*daq, *stimulator):
        os.close(end)
    acquisition.done.close()


def test_a_thread_beside_the_reader_that_dies_says_so_and_keeps_its_error() -> None:
    def work() -> None:
        raise OSError("no more sockets")

    chore = Chore("door", work, lambda: None, "orders can't be heard")
    chore.start()
    assert chore.failed.poll(30)
    chore.stop()
    assert str(chore.error) == "no more sockets"
    chore.failed.close()
