"""The virtual boards, spoken to in bytes: every refusal, every way into the dark, and an independent judge of light."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from zlib import crc32

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from closedloop import wire
from closedloop.clock import TickCounter, tick_difference
from closedloop.framing import Decoder, encode
from closedloop.readings import FLAG_LIGHT, FLAG_NO_CONTROL, READING, Stream
from closedloop.simulation.daq_board import DaqBoard, Live, Playback
from closedloop.simulation.interlock import NEXT, tighter
from closedloop.simulation.stimulator_board import StimulatorBoard
from closedloop.wire import CEILING, Reason, State

LEASE_US = 250_000
LIMITS = CEILING._replace(lease_ms=LEASE_US // 1000)
SECOND = 1_000_000


class Bench:
    """A host at a board, in device time."""

    def __init__(self, board: StimulatorBoard | DaqBoard, now_us: int = 0) -> None:
        self.board = board
        self.now_us = now_us
        self._decoder = Decoder()

    def say(self, *messages: wire.Message) -> list[wire.Message]:
        self.board.receive(b"".join(encode(wire.pack(m)) for m in messages), self.now_us)
        return self.heard()

    def heard(self) -> list[wire.Message]:
        messages = [wire.unpack(payload) for payload in self._decoder.feed(self.board.take_output())]
        return [m for m in messages if m is not None]


class StimulatorBench(Bench):
    board: StimulatorBoard

    def __init__(self, limits: wire.Limits | None = LIMITS, **board: int) -> None:
        super().__init__(StimulatorBoard(**board), board.get("now_us", 0))  # type: ignore[arg-type]
        self.heard()
        if limits is not None:
            self.say(limits, wire.Arm())

    def wait(self, us: int) -> list[wire.Message]:
        """Time passes in silence."""
        self.now_us += us
        self.board.advance(self.now_us)
        return self.heard()

    def live(self, us: int) -> list[wire.Message]:
        """Time passes with heartbeats."""
        heard, end_us = [], self.now_us + us
        while self.now_us < end_us:
            heard += self.say(wire.Heartbeat(1))
            heard += self.wait(min(100_000, end_us - self.now_us))
        return heard + self.say(wire.Heartbeat(1))


def fire(train: int = 1, **fields: int) -> wire.Fire:
    plain = wire.Fire(train, 10_000, 0, 1, 65_535, 0, scheduled=0, start=0)
    return plain._replace(**fields)


def pulses_of(board: StimulatorBoard) -> list[tuple[int, int]]:
    """Lit spans, from the edges alone."""
    spans, rise = [], None
    for at_us, level in board.edges:
        if level > 0 and rise is None:
            rise = at_us
        elif level == 0 and rise is not None:
            spans.append((rise, at_us))
            rise = None
    return spans if rise is None else [*spans, (rise, at_us)]


# Start-up and common questions


def test_a_board_starts_dark_disarmed_and_says_who_it_is() -> None:
    bench = Bench(StimulatorBoard())
    [identity] = bench.heard()
    assert isinstance(identity, wire.Identity)
    assert (identity.board, identity.wire_hash) == (wire.Board.STIMULATOR, wire.WIRE_HASH)
    assert identity.reset_cause == wire.ResetCause.POWER_ON
    assert bench.board.state is State.DISARMED
    assert bench.board.light == 0
    assert bench.say(wire.Identify()) == [identity]


def test_the_clock_is_answered_with_the_ticks_of_the_question() -> None:
    bench = StimulatorBench(limits=None, boot_ticks=2**32 - 1000)
    bench.wait(1500)
    assert bench.say(wire.ClockQuery(77)) == [wire.ClockReply(77, 500)]


def test_statistics_count_frames_and_damage() -> None:
    bench = StimulatorBench(limits=None)
    bench.board.receive(b"\x05\x01\x02\x03\x04\x05\x06\0", 0)
    bench.say(wire.Heartbeat(1))
    assert bench.say(wire.StatisticsQuery()) == [wire.Statistics(2, 1, 0)]


@pytest.mark.parametrize("message", [wire.StreamStart(0), wire.Fired(1, 0, 0, 1, 1, 0), wire.Trip(1, 1)])
def test_messages_of_the_wrong_direction_are_counted_and_nothing_else(message: wire.Message) -> None:
    bench = StimulatorBench()
    assert bench.say(message) == []
    assert bench.board.serial.ignored == 1
    assert bench.board.state is State.ARMED


def test_unknown_messages_are_counted_and_nothing_else() -> None:
    bench = StimulatorBench()
    bench.board.receive(encode(b"\xee\x01") + encode(b"\x26"), 0)
    assert bench.heard() == []
    assert bench.board.serial.ignored == 2


# Limits


def test_limits_in_force_are_the_tighter_of_asked_and_ceiling_field_by_field() -> None:
    bench = StimulatorBench(limits=None)
    looser = wire.Limits(5_000_000, 1, 1, 60_000, 1, 600_000, 600, 5_000, 65_535)
    assert bench.say(looser) == [wire.LimitsSet(crc32(wire.pack(CEILING)))]
    tight = wire.Limits(1_000, 5_000, 60_000, 100, 600_000, 200, 2, 50, 1_000)
    assert bench.say(tight) == [wire.LimitsSet(crc32(wire.pack(tight)))]
    assert tighter(looser) == CEILING


def test_windows_are_the_boards_own_and_a_host_that_asks_for_others_hears_so() -> None:
    bench = StimulatorBench(limits=None)
    longer = CEILING._replace(short_window_ms=90_000)
    [answer] = bench.say(longer)
    assert answer == wire.LimitsSet(crc32(wire.pack(CEILING)))
    assert answer != wire.LimitsSet(crc32(wire.pack(longer)))


def test_while_armed_limits_do_not_change_and_the_answer_says_what_is_in_force() -> None:
    given = LIMITS._replace(on_us=500_000)
    bench = StimulatorBench(given)
    for asked in (LIMITS._replace(on_us=900_000), LIMITS._replace(on_us=100_000)):
        assert bench.say(asked) == [wire.LimitsSet(crc32(wire.pack(given)))]
        assert bench.board.limits.on_us == 500_000
    bench.say(wire.Disarm(), LIMITS)
    assert bench.board.limits.on_us == 1_000_000


def test_without_limits_the_board_does_not_arm() -> None:
    bench = StimulatorBench(limits=None)
    [status] = bench.say(wire.Arm())
    assert status == wire.Status(State.DISARMED, Reason.LIMITS_UNSET, status.ticks)  # type: ignore[union-attr]
    assert bench.board.state is State.DISARMED


def test_a_lease_of_nothing_does_not_arm() -> None:
    bench = StimulatorBench(LIMITS._replace(lease_ms=0))
    assert bench.board.state is State.DISARMED


# States


def cause(bench: StimulatorBench, reason: Reason) -> None:
    match reason:
        case Reason.NONE:
            bench.board.set_interlock(True, bench.now_us)
            bench.say(wire.Arm())
        case Reason.HOST_DISARMED:
            bench.say(wire.Disarm())
        case Reason.HOST_DARK:
            bench.say(wire.Dark())
        case Reason.LEASE_EXPIRED:
            bench.wait(LEASE_US)
        case Reason.INTERLOCK_OPEN:
            bench.board.set_interlock(False, bench.now_us)


def test_every_transition_of_the_table_happens_and_says_so() -> None:
    ways = {State.DISARMED: [wire.Disarm()], State.ARMED: [], State.TRIPPED: []}
    for before, row in NEXT.items():
        for reason, after in row.items():
            bench = StimulatorBench()
            bench.say(*ways[before])
            if before is State.TRIPPED:
                bench.board.set_interlock(False, 0)
            assert bench.board.state is before
            cause(bench, reason)
            assert bench.board.state is after, (before, reason)
            assert bench.board.light == 0


def test_arming_is_refused_while_the_interlock_is_open_and_closing_it_does_not_arm() -> None:
    bench = StimulatorBench()
    bench.board.set_interlock(False, 0)
    trip, status = bench.heard()
    assert isinstance(trip, wire.Trip)
    assert (trip.reason, status) == (
        Reason.INTERLOCK_OPEN,
        wire.Status(State.TRIPPED, Reason.INTERLOCK_OPEN, trip.ticks),
    )
    [refused] = bench.say(wire.Arm())
    assert (refused.state, refused.reason) == (State.TRIPPED, Reason.INTERLOCK_OPEN)  # type: ignore[union-attr]
    bench.board.set_interlock(True, 0)
    assert bench.board.state is State.TRIPPED
    [armed] = bench.say(wire.Arm())
    assert (armed.state, armed.reason) == (State.ARMED, Reason.NONE)  # type: ignore[union-attr]


def test_a_trip_stays_latched_with_its_reason_until_arm() -> None:
    bench = StimulatorBench()
    bench.wait(LEASE_US)
    for message in (wire.Dark(), wire.Disarm()):
        [status] = bench.say(message)
        assert (status.state, status.reason) == (State.TRIPPED, Reason.LEASE_EXPIRED)  # type: ignore[union-attr]
    bench.say(wire.Heartbeat(1))
    assert bench.board.state is State.TRIPPED
    bench.say(wire.Arm())
    assert bench.board.state is State.ARMED


def test_the_lease_ends_the_light_to_the_microsecond() -> None:
    bench = StimulatorBench()
    bench.wait(1_234)
    bench.say(wire.Heartbeat(5), fire(on_us=900_000))
    bench.wait(LEASE_US - 1)
    assert bench.board.light == 1
    fired, trip, _status = bench.wait(1)
    assert pulses_of(bench.board) == [(1_234, 1_234 + LEASE_US)]
    assert (fired.lit_us, fired.reason) == (LEASE_US, Reason.LEASE_EXPIRED)  # type: ignore[union-attr]
    assert (trip.reason, bench.board.state) == (Reason.LEASE_EXPIRED, State.TRIPPED)  # type: ignore[union-attr]


def test_a_heartbeat_after_the_end_of_the_lease_comes_too_late_even_if_it_is_processed_first() -> None:
    bench = StimulatorBench()
    bench.say(fire(on_us=900_000))
    bench.now_us = 10 * LEASE_US
    bench.say(wire.Heartbeat(1))
    assert bench.board.state is State.TRIPPED
    assert pulses_of(bench.board) == [(0, LEASE_US)]


def test_heartbeats_keep_light_and_are_noted_before_arming() -> None:
    bench = StimulatorBench(limits=None)
    bench.say(wire.Heartbeat(41))
    assert bench.board.last_heartbeat == 41
    bench.say(LIMITS, wire.Arm(), fire(on_us=900_000))
    bench.live(SECOND)
    assert pulses_of(bench.board) == [(0, 900_000)]
    assert bench.board.state is State.ARMED


@pytest.mark.parametrize(
    ("message", "reason"), [(wire.Dark(), Reason.HOST_DARK), (wire.Disarm(), Reason.HOST_DISARMED)]
)
def test_dark_and_disarm_end_light_at_once(message: wire.Message, reason: Reason) -> None:
    bench = StimulatorBench()
    bench.say(fire(on_us=900_000, ramp_off_us=50_000))
    bench.wait(777)
    fired, status = bench.say(message)
    assert pulses_of(bench.board) == [(0, 777)]
    assert (fired.lit_us, fired.pulses, fired.reason) == (777, 1, reason)  # type: ignore[union-attr]
    assert (status.state, status.reason) == (State.DISARMED, reason)  # type: ignore[union-attr]


def test_dark_cuts_a_ramp_too() -> None:
    bench = StimulatorBench()
    bench.say(fire(ramp_off_us=50_000))
    bench.wait(20_500)
    assert 0 < bench.board.light < 1
    bench.say(wire.Dark())
    assert bench.board.light == 0
    assert bench.board.edges[-1] == (20_500, 0.0)


def test_dark_is_answered_in_every_state() -> None:
    bench = StimulatorBench(limits=None)
    assert isinstance(bench.say(wire.Dark())[-1], wire.Status)
    bench.say(LIMITS, wire.Arm())
    assert isinstance(bench.say(wire.Dark())[-1], wire.Status)
    bench.board.set_interlock(False, 0)
    bench.heard()
    assert isinstance(bench.say(wire.Dark())[-1], wire.Status)


def test_a_reset_in_mid_train_comes_up_dark_disarmed_and_without_limits() -> None:
    bench = StimulatorBench()
    bench.say(fire(on_us=900_000))
    bench.now_us = 500
    bench.board.reset(wire.ResetCause.BROWN_OUT, bench.now_us)
    [identity] = bench.heard()
    assert identity.reset_cause == wire.ResetCause.BROWN_OUT  # type: ignore[union-attr]
    assert pulses_of(bench.board) == [(0, 500)]
    assert bench.board.state is State.DISARMED
    [status] = bench.say(wire.Arm())
    assert status.reason == Reason.LIMITS_UNSET  # type: ignore[union-attr]
    bench.wait(SECOND)
    assert len(pulses_of(bench.board)) == 1


# Trains


def test_a_train_is_delivered_to_the_microsecond_and_told() -> None:
    bench = StimulatorBench()
    bench.wait(100)
    [started] = bench.say(fire(9, on_us=5_000, period_us=20_000, pulses=3, level=32_768))
    heard = bench.wait(100_000)
    boot = bench.board.serial.ticks(0)
    assert started == wire.Started(9, (boot + 100) % 2**32)
    assert heard == [wire.Fired(9, (boot + 100) % 2**32, (boot + 45_100) % 2**32, 3, 15_000, 0)]
    assert pulses_of(bench.board) == [(100, 5_100), (20_100, 25_100), (40_100, 45_100)]
    assert {level for _, level in bench.board.edges} == {0.0, 32_768 / 65_535}


def test_a_new_session_on_a_board_that_stayed_on_counts_its_trains_from_one_again() -> None:
    bench = StimulatorBench()
    bench.say(fire(1))
    bench.wait(100_000)
    bench.say(wire.Dark(), LIMITS, wire.Arm())
    bench.say(fire(1))
    bench.wait(100_000)
    assert len(pulses_of(bench.board)) == 2


def test_limits_sent_while_armed_do_not_let_an_old_train_fire_again() -> None:
    bench = StimulatorBench()
    bench.say(fire(1))
    bench.wait(100_000)
    bench.say(LIMITS, fire(1))
    bench.wait(100_000)
    assert len(pulses_of(bench.board)) == 1


def test_a_ramp_falls_from_the_level_to_darkness_and_counts_as_light() -> None:
    bench = StimulatorBench()
    bench.say(fire(ramp_off_us=10_000))
    [fired] = bench.wait(SECOND // 10)
    levels = [level for _, level in bench.board.edges]
    assert levels == pytest.approx([1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0], abs=1e-4)
    assert bench.board.edges[-1][0] == 20_000
    assert fired.lit_us == 20_000  # type: ignore[union-attr]
    assert bench.board.mean_level(0, 20_000) == pytest.approx((10 + 10 * 0.55) / 20, abs=1e-4)


def test_a_scheduled_train_starts_at_its_tick_across_the_wrap() -> None:
    bench = StimulatorBench(boot_ticks=2**32 - 5_000)
    start = bench.board.serial.ticks(20_000)
    assert start == 15_000
    assert bench.say(fire(scheduled=1, start=start)) == []
    started, fired = bench.wait(40_000)
    assert (started.on_ticks, fired.off_ticks) == (15_000, 25_000)  # type: ignore[union-attr]
    assert pulses_of(bench.board) == [(20_000, 30_000)]


def test_dark_before_the_first_light_refuses_a_scheduled_train() -> None:
    bench = StimulatorBench()
    bench.say(fire(4, scheduled=1, start=bench.board.serial.ticks(100_000)))
    bench.wait(50_000)
    refused, _status = bench.say(wire.Dark())
    assert refused == wire.Refused(4, Reason.HOST_DARK)
    bench.say(wire.Arm())
    bench.live(SECOND)
    assert bench.board.edges == []


def test_a_fire_sent_twice_fires_once_and_is_answered_twice() -> None:
    bench = StimulatorBench()
    assert len(bench.say(fire(3), fire(3))) == 1
    bench.wait(5_000)
    assert bench.say(fire(3)) == []
    [fired] = bench.wait(20_000)
    assert bench.say(fire(3), fire(3)) == [fired, fired]
    bench.wait(100_000)
    assert len(pulses_of(bench.board)) == 1


def test_a_delivered_train_is_not_called_refused_when_it_is_asked_for_again_after_the_end() -> None:
    bench = StimulatorBench()
    bench.say(fire(3))
    [fired] = bench.wait(20_000)
    bench.say(wire.Disarm())
    assert bench.say(fire(3)) == [fired]


def test_a_refused_train_stays_refused() -> None:
    bench = StimulatorBench()
    bench.say(wire.Disarm())
    assert bench.say(fire(3)) == [wire.Refused(3, Reason.NOT_ARMED)]
    bench.say(wire.Arm())
    assert bench.say(fire(3)) == [wire.Refused(3, Reason.NOT_ARMED)]
    assert bench.board.edges == []


def test_four_answers_are_kept_and_an_older_train_is_never_lit_and_never_answered() -> None:
    bench = StimulatorBench()
    first = bench.say(fire(1, on_us=0))
    for train in range(2, 5):
        bench.say(fire(train, on_us=0))
    assert bench.say(fire(1)) == first
    bench.say(fire(5, on_us=0))
    assert bench.say(fire(1)) == []
    assert bench.board.edges == []


def test_a_train_that_overtook_an_older_one_keeps_it_dark() -> None:
    bench = StimulatorBench()
    bench.say(fire(7))
    bench.wait(20_000)
    assert bench.say(fire(6)) == []
    assert len(pulses_of(bench.board)) == 1


def test_numbers_of_the_trigger_line_are_not_the_hosts_to_give() -> None:
    bench = StimulatorBench()
    number = wire.ON_BOARD_TRAIN
    assert bench.say(fire(number)) == [wire.Refused(number, Reason.BAD_REQUEST)]
    assert isinstance(bench.say(fire(1))[0], wire.Started)


REFUSALS = {
    "no on-time": (Reason.BAD_REQUEST, {"on_us": 0}),
    "no pulses": (Reason.BAD_REQUEST, {"pulses": 0}),
    "no level": (Reason.BAD_REQUEST, {"level": 0}),
    "pulses that touch": (Reason.BAD_REQUEST, {"pulses": 2, "period_us": 10_000}),
    "pulses that overlap": (Reason.BAD_REQUEST, {"pulses": 2, "period_us": 5_000}),
    "pulses with too little rest": (Reason.BAD_REQUEST, {"pulses": 2, "period_us": 11_999}),
    "a train without end": (Reason.BAD_REQUEST, {"pulses": 65_535, "period_us": 2**32 - 1}),
    "neither now nor scheduled": (Reason.BAD_REQUEST, {"scheduled": 2}),
    "too long": (Reason.ON_TIME, {"on_us": 500_001}),
    "too long with its ramp": (Reason.ON_TIME, {"on_us": 450_000, "ramp_off_us": 50_001}),
    "too strong": (Reason.LEVEL, {"level": 60_001}),
    "more than the short window holds": (Reason.DUTY_SHORT, {"on_us": 400_000, "period_us": 500_000, "pulses": 6}),
    "more than the short window holds, spread over two": (
        Reason.DUTY_SHORT,
        {"on_us": 400_000, "period_us": 61_000_000, "pulses": 6},
    ),
    "shorter than an output compare can end": (Reason.BAD_REQUEST, {"on_us": 49}),
}
TIGHT = wire.Limits(500_000, 2_000, 60_000, 2_000, 600_000, 3_500, 3, 250, 60_000)


@pytest.mark.parametrize(("reason", "fields"), REFUSALS.values(), ids=REFUSALS)
def test_refused(reason: Reason, fields: dict[str, int]) -> None:
    bench = StimulatorBench(TIGHT)
    assert bench.say(fire(**{"level": 60_000, **fields})) == [wire.Refused(1, reason)]
    bench.wait(LEASE_US - 1)
    assert bench.board.edges == []


def test_a_ramp_counts_as_light_in_every_window() -> None:
    bench = StimulatorBench(TIGHT)
    ramped = {"level": 1, "on_us": 380_000, "period_us": 500_000, "pulses": 5}
    assert bench.say(fire(1, ramp_off_us=100_001, **ramped)) == [wire.Refused(1, Reason.DUTY_SHORT)]
    assert isinstance(bench.say(fire(2, ramp_off_us=100_000, **ramped))[0], wire.Started)


def test_light_counts_until_it_has_left_the_long_window_however_long_ago_the_short_one() -> None:
    bench = StimulatorBench(TIGHT)
    for train in (1, 2):
        bench.say(fire(train, level=1, on_us=400_000, period_us=500_000, pulses=4))
        bench.live(62 * SECOND)
    assert bench.say(fire(8, level=1, on_us=300_001)) == [wire.Refused(8, Reason.DUTY_LONG)]
    assert isinstance(bench.say(fire(9, level=1, on_us=300_000))[0], wire.Started)


EDGE_OF_ALLOWED = {
    "longest": {"on_us": 450_000, "ramp_off_us": 50_000},
    "least rest": {"pulses": 2, "period_us": 12_000},
    "all the short window holds": {"on_us": 400_000, "period_us": 500_000, "pulses": 5},
}


@pytest.mark.parametrize("fields", EDGE_OF_ALLOWED.values(), ids=EDGE_OF_ALLOWED)
def test_exactly_the_limit_is_allowed(fields: dict[str, int]) -> None:
    bench = StimulatorBench(TIGHT)
    assert isinstance(bench.say(fire(**{"level": 60_000, **fields}))[0], wire.Started)


def test_refused_while_a_train_runs_or_waits() -> None:
    bench = StimulatorBench()
    bench.say(fire(1))
    assert bench.say(fire(2)) == [wire.Refused(2, Reason.BUSY)]
    bench.wait(20_000)
    bench.say(fire(3, scheduled=1, start=bench.board.serial.ticks(100_000)))
    assert bench.say(fire(4)) == [wire.Refused(4, Reason.BUSY)]


def test_refused_when_not_armed_or_with_the_interlock_open() -> None:
    bench = StimulatorBench()
    bench.say(wire.Disarm())
    assert bench.say(fire(1)) == [wire.Refused(1, Reason.NOT_ARMED)]
    bench.board.set_interlock(False, 0)
    bench.heard()
    assert bench.say(fire(2)) == [wire.Refused(2, Reason.INTERLOCK_OPEN)]


def test_refused_too_soon_after_the_last_light() -> None:
    bench = StimulatorBench(LIMITS._replace(off_us=30_000))
    bench.wait(28_000)  # since the start, which counts as 2 ms
    bench.say(fire(1))
    bench.wait(10_000 + 29_999)
    assert bench.say(fire(2)) == [wire.Refused(2, Reason.OFF_TIME)]
    bench.wait(1)
    assert isinstance(bench.say(fire(3))[0], wire.Started)


def test_refused_above_the_trains_a_minute_in_any_minute() -> None:
    """The first bucket leaves the ring between 60 and 61 s after its light."""
    bench = StimulatorBench(LIMITS._replace(trains_per_minute=3))
    for train in range(1, 4):
        bench.say(fire(train))
        bench.live(SECOND)
    assert bench.say(fire(4)) == [wire.Refused(4, Reason.TRAIN_RATE)]
    bench.live(58 * SECOND - 1)
    assert bench.say(fire(5)) == [wire.Refused(5, Reason.TRAIN_RATE)]
    bench.live(1)
    assert isinstance(bench.say(fire(6))[0], wire.Started)


def test_a_refused_or_cancelled_train_does_not_count_as_one_of_the_minute() -> None:
    bench = StimulatorBench(LIMITS._replace(trains_per_minute=1))
    bench.say(fire(1, on_us=0))
    bench.say(fire(2, scheduled=1, start=bench.board.serial.ticks(50_000)), wire.Dark(), wire.Arm())
    assert isinstance(bench.say(fire(3))[0], wire.Started)


def test_refused_when_its_tick_has_passed_or_is_too_far_ahead() -> None:
    bench = StimulatorBench()
    bench.live(SECOND)
    ticks = bench.board.serial.ticks
    assert bench.say(fire(1, scheduled=1, start=ticks(bench.now_us - 1))) == [wire.Refused(1, Reason.LATE)]
    too_far = fire(2, scheduled=1, start=ticks(bench.now_us + 10 * SECOND + 1))
    assert bench.say(too_far) == [wire.Refused(2, Reason.BAD_REQUEST)]
    assert isinstance(bench.say(fire(3, scheduled=1, start=ticks(bench.now_us)))[0], wire.Started)


def test_a_trains_light_is_granted_as_a_whole_or_not_at_all() -> None:
    """Also where its pulses lie so far apart that each window holds only some of them."""
    bench = StimulatorBench(TIGHT._replace(trains_per_minute=60))
    for train in (1, 2, 3):
        bench.say(fire(train, level=1, on_us=400_000))
        bench.live(SECOND)
    assert bench.say(fire(4, level=1, on_us=401_000, pulses=2, period_us=50 * SECOND)) == [
        wire.Refused(4, Reason.DUTY_SHORT)
    ]
    assert isinstance(bench.say(fire(5, level=1, on_us=400_000, pulses=2, period_us=50 * SECOND))[0], wire.Started)


def test_duty_comes_back_as_light_leaves_the_window_a_bucket_later_at_most() -> None:
    bench = StimulatorBench(TIGHT)
    bench.say(fire(1, level=1, on_us=400_000, period_us=500_000, pulses=5))
    bench.live(3 * SECOND)
    assert bench.say(fire(2, level=1)) == [wire.Refused(2, Reason.DUTY_SHORT)]
    bench.live(57 * SECOND - 1)
    assert bench.say(fire(3, level=1)) == [wire.Refused(3, Reason.DUTY_SHORT)]
    bench.live(SECOND + 1)
    assert isinstance(bench.say(fire(4, level=1))[0], wire.Started)


# Gate and trigger


def test_a_shut_gate_cuts_the_train_refuses_the_next_and_trips_nothing() -> None:
    bench = StimulatorBench()
    bench.say(fire(1, on_us=200_000))
    bench.wait(777)
    bench.board.set_gate(False, bench.now_us)
    [fired] = bench.heard()
    assert (fired.lit_us, fired.reason) == (777, Reason.GATE_CLOSED)  # type: ignore[union-attr]
    assert bench.say(fire(2)) == [wire.Refused(2, Reason.GATE_CLOSED)]
    assert bench.board.state is State.ARMED
    bench.board.set_gate(True, bench.now_us)
    bench.wait(2_000)
    assert isinstance(bench.say(fire(3))[0], wire.Started)


PREPARED = wire.Prepare(10_000, 0, 1, 65_535, 0, by_trigger=1)


def test_begin_gives_the_prepared_train_its_number() -> None:
    bench = StimulatorBench()
    bench.say(PREPARED._replace(by_trigger=0))
    [started] = bench.say(wire.Begin(7))
    assert started.train == 7  # type: ignore[union-attr]
    bench.wait(20_000)
    assert bench.say(wire.Begin(7), wire.Begin(6))[0].lit_us == 10_000  # type: ignore[union-attr]
    assert pulses_of(bench.board) == [(0, 10_000)]
    assert bench.say(PREPARED._replace(pulses=0), wire.Begin(8))[-1] == wire.Refused(8, Reason.BAD_REQUEST)


def test_the_trigger_line_begins_nothing_that_was_not_prepared_for_it() -> None:
    bench = StimulatorBench()
    bench.say(PREPARED._replace(by_trigger=0))
    bench.board.trigger(bench.now_us)
    assert bench.board.edges == []


def test_a_trigger_begins_the_prepared_train_and_its_number_says_so() -> None:
    bench = StimulatorBench()
    assert bench.say(PREPARED) == [wire.Prepared(crc32(wire.pack(PREPARED)))]
    bench.board.trigger(bench.now_us)
    [started] = bench.heard()
    [fired] = bench.wait(20_000)
    assert started.train == fired.train == wire.ON_BOARD_TRAIN + 1  # type: ignore[union-attr]
    assert pulses_of(bench.board) == [(0, 10_000)]


def test_a_trigger_does_nothing_unless_armed_and_prepared_and_while_a_train_runs() -> None:
    bench = StimulatorBench()
    bench.board.trigger(0)
    bench.say(PREPARED, wire.Disarm())
    bench.board.trigger(0)
    assert bench.board.edges == []
    bench.say(wire.Arm())
    bench.board.trigger(0)
    bench.board.trigger(0)
    bench.wait(50_000)
    assert len(pulses_of(bench.board)) == 1
    bench.say(PREPARED._replace(pulses=0))
    bench.board.trigger(bench.now_us)
    assert bench.heard() == []


def test_a_triggered_train_is_limited_like_any_other() -> None:
    bench = StimulatorBench(LIMITS._replace(trains_per_minute=1))
    bench.say(PREPARED)
    bench.board.trigger(0)
    bench.live(SECOND)
    bench.board.trigger(bench.now_us)
    assert bench.heard() == [wire.Refused(wire.ON_BOARD_TRAIN + 2, Reason.TRAIN_RATE)]


def test_a_new_session_takes_back_what_was_prepared() -> None:
    bench = StimulatorBench()
    bench.say(PREPARED, wire.Dark(), LIMITS, wire.Arm())
    bench.board.trigger(bench.now_us)
    assert bench.board.edges == []


def test_light_is_told_for_any_stretch() -> None:
    bench = StimulatorBench()
    bench.say(fire(on_us=10_000, period_us=20_000, pulses=2))
    bench.wait(50_000)
    assert bench.board.lit_us(0, 50_000) == 20_000
    assert bench.board.lit_us(5_000, 25_000) == 10_000
    assert bench.board.lit_us(10_000, 20_000) == 0
    assert bench.board.mean_level(5_000, 15_000) == 0.5
    assert bench.board.mean_level(40_000, 50_000) == 0


def test_ticks_wrap_and_light_goes_on() -> None:
    bench = StimulatorBench(boot_ticks=2**32 - 1_000)
    bench.say(fire(on_us=10_000))
    [fired] = bench.wait(20_000)
    assert isinstance(fired, wire.Fired)
    assert tick_difference(fired.off_ticks, fired.on_ticks) == 10_000
    assert fired.off_ticks == 9_000


@given(st.integers(0, 2**31), st.lists(st.integers(1, 40), max_size=12))
def test_bytes_cut_up_anywhere_mean_the_same(now_us: int, sizes: list[int]) -> None:
    messages = [LIMITS, wire.Arm(), wire.ClockQuery(1), fire(1), wire.Heartbeat(3), fire(2), wire.Dark()]
    line = b"".join(encode(wire.pack(m)) for m in messages)
    whole, cut = StimulatorBoard(now_us=now_us), StimulatorBoard(now_us=now_us)
    whole.receive(line, now_us)
    for size in [*sizes, len(line)]:
        cut.receive(line[:size], now_us)
        line = line[size:]
    assert cut.take_output() == whole.take_output()
    assert cut.edges == whole.edges


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_noise_never_makes_light_and_raises_nothing(noise: list[bytes]) -> None:
    bench = StimulatorBench()
    for data in noise:
        bench.board.receive(data, bench.now_us)
    bench.wait(SECOND)
    assert bench.board.edges == []


# An independent judge: it knows what was said and when, and looks at the edges alone.

HARSH = wire.Limits(300_000, 5_000, 60_000, 1_000, 600_000, 2_200, 12, 200, 40_000)


class LightIsJudged(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.bench = StimulatorBench(limits=None)
        self.board = self.bench.board
        self.permitted: list[tuple[int, int]] = []  # from arming to the end of lease, dark, interlock
        self.until_us: int | None = None
        self.interlock_closed = True
        self.train = 0
        self.started: list[tuple[int, int]] = []  # train, and when it was heard of at the latest

    def _extend(self) -> None:
        if self.until_us is None:
            self.permitted.append((self.bench.now_us, 0))
        self.until_us = self.bench.now_us + HARSH.lease_ms * 1000
        self.permitted[-1] = (self.permitted[-1][0], self.until_us)

    def _forbid(self) -> None:
        if self.until_us is not None:
            self.permitted[-1] = (self.permitted[-1][0], self.bench.now_us)
            self.until_us = None

    def _say(self, *messages: wire.Message) -> None:
        self._hear(self.bench.say(*messages))

    def _hear(self, messages: list[wire.Message]) -> None:
        self.started += [(m.train, self.bench.now_us) for m in messages if isinstance(m, wire.Started)]

    def _pass(self, us: int) -> None:
        self._hear(self.bench.wait(us))
        if self.until_us is not None and self.bench.now_us >= self.until_us:
            self.until_us = None

    def _beat(self) -> None:
        if self.until_us is not None:
            self._extend()
        self._say(wire.Heartbeat(1))

    def _live(self, us: int) -> None:
        for _ in range(us // 100_000):
            self._beat()
            self._pass(100_000)
        self._beat()
        self._pass(us % 100_000)

    @initialize()
    def begin(self) -> None:
        self._say(HARSH)
        self.arm(close=True)

    @rule(close=st.booleans())
    def arm(self, close: bool) -> None:
        if close:
            self.interlock_closed = True
            self.board.set_interlock(True, self.bench.now_us)
        if self.interlock_closed:
            self._extend()
        self._say(wire.Arm())

    def _take_light_away(self, how: str) -> None:
        if how == "silence":
            self._pass(HARSH.lease_ms * 1000)
            return
        self._forbid()
        if how == "interlock":
            self.interlock_closed = False
            self.board.set_interlock(False, self.bench.now_us)
        else:
            self._say(wire.Dark() if how == "dark" else wire.Disarm())
        self._live(300_000)

    @rule(us=st.integers(1, 190_000), beats=st.booleans())
    def wait(self, us: int, beats: bool) -> None:
        if beats:
            self._beat()
        self._pass(us)

    @rule(seconds=st.integers(1, 70))
    def live(self, seconds: int) -> None:
        self._live(seconds * SECOND)

    @rule(looser=st.integers(0, 2**32 - 1))
    def ask_for_looser_limits_while_armed(self, looser: int) -> None:
        if self.until_us is not None:
            self._say(HARSH._replace(on_us=max(looser, HARSH.on_us), off_us=0, short_on_ms=2**31, level=65_535))

    @rule(
        on_us=st.sampled_from([0, 1, 20_000, 299_000, 300_000, 300_001]) | st.integers(0, 320_000),
        rest_us=st.sampled_from([0, 4_999, 5_000]) | st.integers(0, 300_000),
        pulses=st.integers(0, 6),
        level=st.sampled_from([0, 1, 40_000, 40_000, 40_001]),
        ramp_us=st.sampled_from([0, 0, 500, 7_500, 20_000]),
        ahead_us=st.none() | st.integers(-1_000, 150_000),
        then_us=st.sampled_from([0, 1, 100_000]) | st.integers(0, 1_500_000),
        cut=st.sampled_from(["", "", "dark", "disarm", "interlock", "silence"]),
    )
    def ask_for_light(
        self,
        on_us: int,
        rest_us: int,
        pulses: int,
        level: int,
        ramp_us: int,
        ahead_us: int | None,
        then_us: int,
        cut: str,
    ) -> None:
        self.train += 1
        ticks = self.board.serial.ticks(self.bench.now_us + (ahead_us or 0))
        scheduled = int(ahead_us is not None)
        self._say(wire.Fire(self.train, on_us, on_us + rest_us, pulses, level, ramp_us, scheduled, ticks))
        self._live(then_us)
        if cut:
            self._take_light_away(cut)

    @rule(
        on_us=st.integers(1, 300_000),
        rest_us=st.integers(0, 20_000),
        ramp_us=st.integers(0, 20_000),
        cut=st.sampled_from(["dark", "disarm", "interlock", "silence"]),
    )
    def ask_again_and_again(self, on_us: int, rest_us: int, ramp_us: int, cut: str) -> None:
        """Each train twice over, and the next as soon as may be, until nothing is left in any window; first one cut."""
        self.train += 1
        self._say(fire(self.train, on_us=on_us, level=40_000))
        self._take_light_away(cut)
        self.arm(close=True)
        for _ in range(10):
            self.train += 1
            asked = fire(self.train, on_us=on_us, level=40_000, ramp_off_us=ramp_us)
            self._say(asked, asked)
            self._pass(on_us // 2 if on_us < 300_000 else 0)
            self.train += 1
            self._say(asked._replace(train=self.train))
            self._live(on_us + ramp_us + rest_us)
            self._say(asked)

    @precondition(lambda self: self.until_us is not None)
    @rule(on_us=st.integers(100_000, 300_000), period_s=st.integers(1, 55))
    def ask_for_light_later_than_the_old_leaves_the_window(self, on_us: int, period_s: int) -> None:
        for _ in range(3):
            self.train += 1
            self._say(fire(self.train, on_us=300_000, level=40_000))
            self._live(400_000)
        self._live((60 - period_s) * SECOND)
        self.train += 1
        self._say(fire(self.train, on_us=on_us, level=40_000, pulses=2, period_us=period_s * SECOND))
        self._live((period_s + 1) * SECOND)

    @invariant()
    def light_is_permitted(self) -> None:
        for rise, fall in pulses_of(self.board):
            assert any(start <= rise <= fall <= end for start, end in self.permitted)
        if self.until_us is None:
            assert self.board.light == 0
        assert (self.board.state is State.ARMED) == (self.until_us is not None)

    @invariant()
    def each_train_starts_once_and_no_minute_has_too_many(self) -> None:
        trains = [train for train, _ in self.started]
        assert len(trains) == len(set(trains))
        most = HARSH.trains_per_minute
        heard_us = [at_us for _, at_us in self.started]
        a_little_us = 200_000  # heard of so much after it began, at most
        pairs = zip(heard_us, heard_us[most:], strict=False)
        assert all(later - earlier >= 60 * SECOND - a_little_us for earlier, later in pairs)

    @invariant()
    def light_is_within_limits(self) -> None:
        spans = pulses_of(self.board)
        assert all(fall - rise <= HARSH.on_us for rise, fall in spans)
        assert all(level <= HARSH.level / 65_535 for _, level in self.board.edges)
        assert all(after[0] - before[1] >= HARSH.off_us for before, after in pairwise(spans))
        for window_ms, on_ms in (
            (HARSH.short_window_ms, HARSH.short_on_ms),
            (HARSH.long_window_ms, HARSH.long_on_ms),
        ):
            assert all(lit <= on_ms * 1000 for lit in windows(spans, window_ms * 1000))


def windows(spans: list[tuple[int, int]], window_us: int) -> Iterator[int]:
    """Light in every window that ends with a pulse, added up the plain way."""
    for _, end in spans:
        yield sum(max(0, min(fall, end) - max(rise, end - window_us)) for rise, fall in spans)


LightIsJudged.TestCase.settings = settings(
    max_examples=80, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestLightIsJudged = LightIsJudged.TestCase


# DAQ


class Flat:
    """An animal that says what light it saw."""

    nano_units = 1000

    def reading(self, light: float) -> tuple[int, int, int, int, int]:
        return (1000 + round(1000 * light), 10, 500, 11, 0)


def no_light(_since_us: int, _until_us: int) -> float:
    return 0.0


def recording(n: int = 5, **columns: object) -> Stream:
    readings = np.zeros(n, READING)
    readings["ticks"] = np.arange(n) * 10_000
    readings["seq"] = np.arange(n)
    readings["signal_lit"] = np.arange(n) + 100
    for name, values in columns.items():
        readings[name] = values
    return Stream(readings, rate_mhz=100_000, nano_units=7, source="a test", input_names=("lever",))


class DaqBench(Bench):
    board: DaqBoard

    def __init__(self, board: DaqBoard) -> None:
        super().__init__(board)
        self.heard()

    def wait(self, us: int, light: object = no_light, **line: int) -> list[wire.Message]:
        self.now_us += us
        self.board.advance(self.now_us, light, **line)  # type: ignore[arg-type]
        return self.heard()


def readings_in(messages: list[wire.Message]) -> list[wire.Reading]:
    return [m for m in messages if isinstance(m, wire.Reading)]


def test_a_daq_is_silent_until_it_is_asked_and_says_first_what_will_come() -> None:
    bench = DaqBench(DaqBoard(Live(Flat(), 130.0)))
    assert bench.wait(SECOND) == []
    assert bench.say(wire.StreamStart(0)) == [wire.StreamSettings(130_000, 1000, 0)]
    assert bench.board.next_due_us == SECOND
    readings = readings_in(bench.wait(SECOND))
    assert [r.seq for r in readings] == list(range(131))


def test_readings_keep_the_nominal_rate_without_drift() -> None:
    bench = DaqBench(DaqBoard(Live(Flat(), 130.0), boot_ticks=0))
    bench.say(wire.StreamStart(0))
    readings = readings_in(bench.wait(60 * SECOND))
    assert [r.ticks for r in readings] == [round(n * 1e6 / 130) for n in range(60 * 130 + 1)]


def test_ticks_of_a_stream_wrap_after_thirty_seconds() -> None:
    bench = DaqBench(DaqBoard(Live(Flat(), 10.0)))
    bench.say(wire.StreamStart(0))
    ticks = [r.ticks for r in readings_in(bench.wait(40 * SECOND))]
    assert ticks[299] > ticks[300] == 0
    counter = TickCounter()
    assert np.all(np.diff([counter.extend(t) for t in ticks]) == 100_000)


def test_light_reaches_the_animal_and_flags_every_reading_that_it_touched() -> None:
    def light(since_us: int, until_us: int) -> float:
        return 0.25 if since_us < 15_000 <= until_us else 0.0

    bench = DaqBench(DaqBoard(Live(Flat(), 100.0)))
    bench.say(wire.StreamStart(0))
    readings = readings_in(bench.wait(30_000, light))
    assert [r.flags for r in readings] == [0, 0, FLAG_LIGHT, 0]
    assert [r.signal_lit for r in readings] == [1000, 1000, 1250, 1000]


def test_a_recording_is_played_as_it_is_and_then_ends() -> None:
    stream = recording(5, flags=FLAG_NO_CONTROL, inputs=[0, 1, 1, 0, 0], control_dark=-3)
    bench = DaqBench(DaqBoard(Playback(stream), boot_ticks=0))
    [settings_said] = bench.say(wire.StreamStart(0))
    assert settings_said == wire.StreamSettings(100_000, 7, 1)
    *readings, end = bench.wait(SECOND)
    assert [tuple(r) for r in readings] == [
        (n, n * 10_000, 100 + n, 0, 0, -3, [0, 1, 1, 0, 0][n], FLAG_NO_CONTROL) for n in range(5)
    ]
    assert end == wire.StreamEnd(5, 0)
    assert bench.wait(SECOND) == []
    assert bench.say(wire.StreamStop()) == [end]


def test_gaps_of_a_recording_stay_gaps() -> None:
    stream = recording(4, seq=[7, 8, 11, 12], ticks=[0, 10_000, 40_000, 50_000])
    bench = DaqBench(DaqBoard(Playback(stream)))
    bench.say(wire.StreamStart(0))
    *readings, end = bench.wait(SECOND)
    assert [r.seq for r in readings_in(readings)] == [0, 1, 4, 5]
    assert end == wire.StreamEnd(4, 2)


def test_an_empty_recording_ends_at_once() -> None:
    bench = DaqBench(DaqBoard(Playback(recording(0))))
    assert bench.say(wire.StreamStart(0))[-1] == wire.StreamEnd(0, 0)


def test_each_stream_starts_at_number_zero_and_a_recording_at_its_beginning() -> None:
    bench = DaqBench(DaqBoard(Playback(recording(5))))
    bench.say(wire.StreamStart(0))
    bench.wait(25_000)
    assert bench.say(wire.StreamStop()) == [wire.StreamEnd(3, 0)]
    assert bench.wait(SECOND) == []
    bench.say(wire.StreamStart(0))
    assert [r.seq for r in readings_in(bench.wait(SECOND))] == [0, 1, 2, 3, 4]


def test_what_the_line_cannot_take_is_dropped_counted_and_seen_in_the_numbers() -> None:
    bench = DaqBench(DaqBoard(Playback(recording(5))))
    bench.say(wire.StreamStart(0))
    first = readings_in(bench.wait(15_000, room=9))
    lost = readings_in(bench.wait(10_000, room=0))
    *rest, end = bench.wait(SECOND)
    assert [r.seq for r in first + lost + readings_in(rest)] == [0, 1, 3, 4]
    assert end == wire.StreamEnd(4, 1)
    assert bench.say(wire.StatisticsQuery()) == [wire.Statistics(2, 0, 1)]


def test_a_board_that_may_wait_loses_nothing_and_keeps_the_times() -> None:
    bench = DaqBench(DaqBoard(Playback(recording(5)), boot_ticks=0, waits_for_line=True))
    bench.say(wire.StreamStart(0))
    held = readings_in(bench.wait(SECOND, room=2))
    *rest, end = bench.wait(SECOND, room=9)
    assert [r.ticks for r in held + readings_in(rest)] == [0, 10_000, 20_000, 30_000, 40_000]
    assert end == wire.StreamEnd(5, 0)


def test_a_mute_board_loses_its_readings() -> None:
    bench = DaqBench(DaqBoard(Playback(recording(5)), waits_for_line=True))
    bench.say(wire.StreamStart(0))
    bench.board.mute = True
    assert bench.wait(25_000) == []
    bench.board.mute = False
    assert [r.seq for r in readings_in(bench.wait(SECOND))] == [3, 4]


def test_a_daq_takes_no_orders_for_light() -> None:
    bench = DaqBench(DaqBoard(Live(Flat(), 100.0)))
    assert bench.say(wire.Arm(), fire(1)) == []
    assert bench.board.serial.ignored == 2


def test_a_daq_reset_ends_the_stream_and_says_who_is_there() -> None:
    bench = DaqBench(DaqBoard(Live(Flat(), 100.0)))
    bench.say(wire.StreamStart(0))
    bench.board.reset(wire.ResetCause.WATCHDOG, 5_000)
    [identity] = bench.wait(SECOND)
    assert (identity.board, identity.reset_cause) == (wire.Board.DAQ, 4)  # type: ignore[union-attr]
