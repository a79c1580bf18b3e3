from __future__ import annotations

import numpy as np
import pytest
from plans import noise, plan, readings, with_events
from virtual_session import VirtualSession

from closedloop import framing, limits, wire
from closedloop.arming import Phase
from closedloop.policies.on_board import OnBoard
from closedloop.policies.sham import Sham
from closedloop.train import Train
from closedloop.wire import ResetCause, State

EVENTS = [15.0, 20.0, 25.0]


def session(**changes: object) -> VirtualSession:
    return VirtualSession(readings(with_events(noise(40), EVENTS)), plan(**changes))


def of_type(messages: list[wire.Message], kind: type) -> list[wire.Message]:
    return [m for m in messages if isinstance(m, kind)]


def test_an_event_becomes_light_and_its_echo_is_recorded() -> None:
    ran = session().run(30)
    assert ran.lit_s == pytest.approx(EVENTS, abs=0.003)
    assert ran.stimulator.lit_us(0, ran.now_us) == 3 * 200_000
    lit = [e for e in ran.notebook.events if e["kind"] == "light_on"]
    assert [e["train"] for e in lit] == [1, 2, 3]
    assert [e["ticks"] / 1e6 for e in lit] == pytest.approx(EVENTS, abs=0.003)
    assert [e["value"] for e in ran.notebook.events if e["kind"] == "light_off"] == [200_000.0] * 3


ON_BOARD = OnBoard(baseline=5.0, threshold=0.04, release=0.02, refractory=1.0)


def test_light_that_the_trigger_line_began_is_recorded_as_such_and_nothing_is_commanded() -> None:
    ran = session(policy=ON_BOARD).run(30)
    assert ran.lit_s == pytest.approx(EVENTS, abs=0.003)
    lit = [e for e in ran.notebook.events if e["kind"] == "light_on"]
    assert [(e["train"], e["reason"]) for e in lit] == [(wire.ON_BOARD_TRAIN + n, "on_board") for n in (1, 2, 3)]
    assert [e["ticks"] / 1e6 for e in lit] == pytest.approx(EVENTS, abs=0.003)
    assert ran.notebook.kinds("command") == []
    assert ran.notebook.kinds("note").count("trigger") == 3
    assert len([e for e in ran.notebook.events if e["kind"] == "light_off"]) == 3
    assert ran.controller.outstanding == 0


def test_the_trigger_line_gives_no_light_while_the_host_has_not_armed() -> None:
    ran = session(policy=ON_BOARD, warm_up_s=28.0)
    ran.to_daq.send(ON_BOARD.watch(100.0, 5.0))
    ran.run(27)
    assert ran.to_daq.board.watcher.settings.threshold > 0
    assert ran.lit_s == []


def test_a_triggered_train_that_the_board_refuses_is_recorded_with_its_reason() -> None:
    tight = limits.effective(lease_s=0.25)._replace(trains_per_minute=1)
    ran = session(policy=ON_BOARD, limits=tight).run(30)
    assert len(ran.lit_s) == 1
    refused = [(e["train"], e["reason"]) for e in ran.notebook.events if e["kind"] == "refused" and e.get("text")]
    assert refused == [(wire.ON_BOARD_TRAIN + n, "train_rate") for n in (2, 3)]


def test_one_board_in_both_roles_is_heard_as_two() -> None:
    two, one = session(), session()
    while one.now_us < 30e6:
        two.step()
        one.step_as_one_board()
    assert one.lit_s == two.lit_s
    assert one.notebook.events == two.notebook.events


def test_each_stage_has_its_own_record_with_one_train_number() -> None:
    ran = session().run(17)
    of_first = [e["kind"] for e in ran.notebook.events if e.get("train") == 1]
    assert of_first == ["detection", "decision", "command", "light_on", "light_off"]


def test_arming_waits_for_the_warm_up_and_happens_once() -> None:
    ran = session(warm_up_s=12.0).run(11.9)
    assert ran.stimulator.state is State.DISARMED
    ran.run(30)
    assert len(of_type(ran.to_stimulator.sent, wire.Arm)) == 1
    assert ran.controller.phase is Phase.RUNNING


def test_an_arm_that_is_not_confirmed_ends_the_session_in_the_dark() -> None:
    ran = session()
    ran.to_stimulator.wear = lambda data: b"" if _holds(data, wire.Arm) else data
    ran.run(30)
    assert ran.controller.ending is not None
    assert ran.controller.ending.how == "device_lost"
    assert "does not confirm" in ran.controller.ending.reason
    assert ran.stimulator.state is State.DISARMED
    assert len([m for m in ran.to_stimulator.sent if isinstance(m, wire.Arm)]) == 1


def test_a_stream_that_begins_anew_is_not_taken_for_the_old_one() -> None:
    ran = session().run(12)
    ran.to_daq.send(wire.StreamStart(0))
    ran.run(13)
    assert ran.controller.ending is not None
    assert "anew" in ran.controller.ending.reason


def test_heartbeats_are_sent_because_readings_arrive_and_name_them() -> None:
    ran = session().run(10)
    beats = [m.seq for m in ran.to_stimulator.sent if isinstance(m, wire.Heartbeat)]
    assert beats == list(range(len(beats)))
    assert len(beats) >= 1000
    before = len(ran.to_stimulator.sent)
    ran.to_daq.cut = True
    for _ in range(1000):
        ran.step()
    assert of_type(ran.to_stimulator.sent[before:], wire.Heartbeat) == []


def test_a_silent_daq_ends_dark_by_the_lease_and_trips_the_session() -> None:
    ran = session(train=Train(on=0.9)).run(15.1)
    assert ran.stimulator.light > 0
    ran.to_daq.board.mute = True
    last_us = ran.now_us
    ran.run(20)
    assert ran.controller.ending is not None
    assert ran.controller.ending.how == "tripped"
    assert "lease_expired" in ran.controller.ending.reason
    assert ran.stimulator.light == 0
    assert ran.stimulator.edges[-1][0] <= last_us + 250_000
    assert ran.notebook.kinds("trip") == ["lease_expired"]


def test_a_stimulator_whose_answers_are_lost_is_a_lost_device_and_dark() -> None:
    ran = session(train=Train(on=0.9)).run(12)
    hear = ran.to_stimulator.hear
    ran.to_stimulator.hear = lambda: hear()[:0]
    ran.run(60)
    assert ran.controller.ending is not None
    assert ran.controller.ending.how == "device_lost"
    assert "no answer from the stimulator" in ran.controller.ending.reason
    assert ran.now_us < 18e6
    assert ran.stimulator.light == 0
    assert ran.stimulator.state is State.DISARMED


def test_a_trip_that_was_lost_on_the_line_ends_the_session_at_the_first_train_refused() -> None:
    ran = session().run(12)
    hear = ran.to_stimulator.hear
    ran.to_stimulator.hear = lambda: [m for m in hear() if not isinstance(m, wire.Trip | wire.Status)]
    ran.to_stimulator.wear = lambda data: b"" if _holds(data, wire.Heartbeat) else data
    ran.run(13)
    ran.to_stimulator.wear = bytes
    assert ran.controller.phase is Phase.RUNNING
    ran.run(60)
    assert ran.lit_s == []
    assert ran.controller.ending is not None
    assert ran.controller.ending.how == "tripped"
    assert "not armed any more" in ran.controller.ending.reason
    assert ran.notebook.kinds("refused") == ["not_armed"]


def test_a_daq_that_never_speaks_is_a_lost_device() -> None:
    ran = session()
    ran.to_daq.board.mute = True
    ran.run(5)
    assert ran.controller.ending is not None
    assert ran.controller.ending.how == "device_lost"
    assert "DAQ" in ran.controller.ending.reason


def test_a_stopped_host_leaves_darkness_and_does_not_fire_late() -> None:
    ran = session().run(14.9)
    ran.host_stopped = True
    for _ in range(2000):
        ran.step()
    assert ran.stimulator.state is State.TRIPPED
    ran.host_stopped = False
    ran.run(30)
    assert ran.lit_s == []
    assert ran.controller.ending is not None
    assert ran.controller.ending.how == "tripped"
    assert len(ran.rows) >= 1690  # what had piled up in the meantime is recorded all the same
    assert ran.notebook.kinds("refused") == ["not_armed"]


def test_readings_that_arrive_too_late_are_refused_as_stale() -> None:
    ran = session().run(14.95)
    ran.host_stopped = True
    for _ in range(200):  # less than the lease
        ran.step()
    ran.host_stopped = False
    ran.run(17)
    assert ran.notebook.kinds("refused") == ["stale"]
    assert ran.lit_s == []


def test_sham_sends_no_fire() -> None:
    ran = session(policy=Sham(refractory=2.0)).run(30)
    assert of_type(ran.to_stimulator.sent, wire.Begin) == []
    assert ran.notebook.kinds("decision") == ["sham"] * 3
    assert ran.lit_s == []


def test_an_opened_interlock_trips_and_closing_it_does_not_re_arm() -> None:
    ran = session(train=Train(on=0.9)).run(15.1)
    ran.stimulator.set_interlock(closed=False, now_us=ran.now_us)
    assert ran.stimulator.light == 0
    ran.run(16)
    ran.stimulator.set_interlock(closed=True, now_us=ran.now_us)
    ran.let_it_be(5)
    assert ran.controller.ending is not None
    assert ran.controller.ending.how == "tripped"
    assert ran.stimulator.state is not State.ARMED
    assert len(ran.lit_s) == 1


@pytest.mark.parametrize("which", ["stimulator", "daq"])
def test_a_board_that_restarts_is_a_lost_device_and_nothing_re_arms(which: str) -> None:
    ran = session(train=Train(on=0.9)).run(15.1)
    board = ran.stimulator if which == "stimulator" else ran.to_daq.board
    board.reset(ResetCause.BROWN_OUT, ran.now_us)
    ran.run(30)
    assert ran.controller.ending is not None
    assert ran.controller.ending.how == "device_lost"
    assert "brown out" in ran.controller.ending.reason
    ran.let_it_be(1)
    assert ran.stimulator.light == 0
    assert ran.stimulator.state is State.DISARMED


def test_a_lost_stimulator_ends_the_session_and_the_reading_at_hand_is_kept() -> None:
    ran = session().run(14.995)
    ran.to_stimulator.cut = True
    ran.run(30)
    assert ran.controller.ending is not None
    assert ran.controller.ending.how == "device_lost"
    assert len(ran.rows) == ran.controller.counter.received
    ran.let_it_be(1)
    assert ran.stimulator.light == 0


def test_a_command_lost_on_the_line_is_recorded_as_unanswered_and_not_sent_again() -> None:
    ran = session().run(14.5)
    begin = wire.Begin
    ran.to_stimulator.wear = lambda data: b"" if _holds(data, begin) else data
    ran.run(17)
    ran.to_stimulator.wear = bytes
    ran.run(30)
    assert ran.notebook.kinds("refused") == ["unanswered"]
    assert len(ran.lit_s) == 2
    assert len([m for m in ran.to_stimulator.sent if isinstance(m, wire.Begin)]) == 3


def _holds(data: bytes, kind: type) -> bool:
    return any(isinstance(wire.unpack(p), kind) for p in framing.Decoder().feed(data))


def test_a_lost_started_message_does_not_hide_delivered_light() -> None:
    ran = session().run(14.5)
    ran.to_stimulator.wear = lambda data: b"" if _holds(data, wire.Started) else data
    ran.run(17)
    lit = [e for e in ran.notebook.events if e["kind"] in ("light_on", "light_off")]
    assert [e["kind"] for e in lit] == ["light_on", "light_off"]
    assert ran.notebook.kinds("refused") == []


def test_stop_is_dark_at_once_and_cuts_the_train() -> None:
    ran = session(train=Train(on=0.9)).run(15.1)
    ran.controller.end("stopped", "by hand")
    assert ran.stimulator.light == 0
    assert ran.stimulator.state is State.DISARMED


def test_damaged_and_repeated_frames_cost_readings_and_nothing_else() -> None:
    ran = session()
    random = np.random.default_rng(4)

    def wear(data: bytes) -> bytes:
        """One frame in fifty damaged, one in fifty sent twice."""
        frames = [f + b"\0" for f in data.split(b"\0") if f]
        worn = b""
        for frame in frames:
            luck = random.random()
            at = int(random.integers(len(frame) - 1))
            damaged = frame[:at] + bytes([frame[at] ^ 1 or 1]) + frame[at + 1 :]
            worn += damaged if luck < 0.02 else frame * (2 if luck > 0.98 else 1)
        return worn

    ran.to_daq.wear = wear
    ran.run(39)
    counter = ran.controller.counter
    assert counter.missing > 20
    assert counter.repeated > 20
    assert counter.received + counter.missing == int(ran.rows["seq"][-1]) + 1
    assert sum(e["value"] for e in ran.notebook.events if e["kind"] == "gap") == counter.missing
    assert len(ran.lit_s) == 3
    assert np.all(np.diff(ran.rows["ticks"]) > 0)


def test_without_a_stimulator_every_wanted_train_is_refused() -> None:
    ran = VirtualSession(readings(with_events(noise(30), EVENTS)), lit=False).run(29)
    assert ran.notebook.kinds("refused") == ["not_armed"] * 3
    assert ran.to_stimulator.sent == []


def test_digital_inputs_are_recorded_where_they_change() -> None:
    rows = readings(noise(20))
    rows["inputs"][500:700] |= 1
    rows["inputs"][600:] |= 2
    ran = VirtualSession(rows).run(15)
    changes = [(e["reason"], e["value"], e["ticks"]) for e in ran.notebook.events if e["kind"] == "input"]
    assert changes == [
        ("digital_1", 1.0, 5_000_000),
        ("digital_2", 1.0, 6_000_000),
        ("digital_1", 0.0, 7_000_000),
    ]


def test_the_end_of_the_stream_completes_the_session_and_says_what_was_sent() -> None:
    ran = session().run(60)
    assert ran.controller.ending is not None
    assert ran.controller.ending.how == "completed"
    assert ran.controller.sent_by_board == 4000 == len(ran.rows)
    assert ran.stimulator.state is State.DISARMED
