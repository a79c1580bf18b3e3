"""What every board answers: who it is, what time it has, how its line has been. And that it starts dark."""

from __future__ import annotations

from commands import arm, armed, fire, set_limits

from closedloop.clock import tick_difference
from closedloop.wire import (
    WIRE_HASH,
    Board,
    ClockQuery,
    ClockReply,
    Fired,
    Identify,
    Identity,
    Reason,
    Refused,
    ResetCause,
    State,
    Statistics,
    StatisticsQuery,
    Status,
)


def test_a_board_says_who_it_is_at_start_and_when_asked(bench):
    for line, board in ((bench.daq, Board.DAQ), (bench.stimulator, Board.STIMULATOR)):
        bench.run_until(lambda line=line: line.last(Identity), 4.0)
        at_start = line.all(Identity)[0]
        asked = bench.ask(line, Identify(), Identity)
        assert asked == at_start
        assert asked.wire_hash == WIRE_HASH
        assert asked.board in {board, Board.BOTH}
        assert asked.reset_cause in {ResetCause.POWER_ON, ResetCause.EXTERNAL}


def test_it_is_dark_at_start_and_stays_so_unarmed(bench):
    bench.stream()
    bench.run(0.2)
    bench.stimulator.say(fire(1))
    bench.run_until(lambda: bench.stimulator.last(Refused), 1.0)
    bench.run(0.2)
    assert bench.stimulator.last(Refused) == Refused(1, Reason.NOT_ARMED)
    assert bench.light() == []


def test_without_limits_it_does_not_arm(bench):
    status = arm(bench)
    assert (status.state, status.reason) == (State.DISARMED, Reason.LIMITS_UNSET)
    bench.stimulator.say(fire(1))
    bench.run(0.1)
    assert bench.light() == []


def test_a_clock_counts_microseconds(bench):
    for line in (bench.daq, bench.stimulator):
        first, at_s = bench.ask(line, ClockQuery(7), ClockReply), bench.now_s
        bench.run(1.0)
        second, later_s = bench.ask(line, ClockQuery(8), ClockReply), bench.now_s
        assert (first.query, second.query) == (7, 8)
        passed_us = (later_s - at_s) * 1e6
        assert (
            abs(tick_difference(second.ticks, first.ticks) - passed_us)
            < 2e6 * (bench.step_s + bench.command_s) + 200 + passed_us * bench.clock_error
        )


def test_frames_and_damage_are_counted(bench):
    for line in (bench.daq, bench.stimulator):
        before = bench.ask(line, StatisticsQuery(), Statistics)
        line.write(b"\x05abcdefg\x00")
        after = bench.ask(line, StatisticsQuery(), Statistics)
        assert after.damaged_frames == before.damaged_frames + 1
        assert after.frames == before.frames + 1
        assert after.overruns == before.overruns


def test_each_reset_is_dark_says_its_cause_and_forgets_limits_and_arming(bench):
    armed(bench)
    for cause in (ResetCause.EXTERNAL, ResetCause.BROWN_OUT, ResetCause.WATCHDOG, ResetCause.POWER_ON):
        since = len(bench.stimulator.heard)
        bench.reset_stimulator(cause)
        bench.run_until(lambda since=since: bench.stimulator.last(Identity, since), 4.0)
        assert bench.stimulator.last(Identity).reset_cause == cause
        status = arm(bench)
        assert (status.state, status.reason) == (State.DISARMED, Reason.LIMITS_UNSET)
        bench.stimulator.say(fire(1))
        bench.run(0.1)
        assert not bench.light()


def test_a_reset_in_mid_train_is_dark_at_once_and_does_not_go_on(bench):
    armed(bench)
    bench.stimulator.say(fire(1, on_us=50_000, period_us=100_000, pulses=10))
    bench.run_until(lambda: len(bench.spans()) == 3 and bench.is_lit(), 2.0)
    at_s = bench.now_s
    bench.reset_stimulator(ResetCause.BROWN_OUT)
    bench.run(1.5)
    assert len(bench.spans()) == 3
    assert bench.spans()[-1].fall_s <= at_s + bench.command_s
    assert not bench.stimulator.all(Fired)
    set_limits(bench)
    assert arm(bench).state == State.ARMED
    bench.run(0.5)
    assert len(bench.spans()) == 3


def test_disarmed_is_the_first_state(bench):
    set_limits(bench)
    assert not bench.stimulator.all(Status)
