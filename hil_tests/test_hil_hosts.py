"""Boards that restart, hosts that hear nothing, two hosts at once, and messages that are not for this board."""

from __future__ import annotations

import random

import pytest
from commands import LIMITS, armed, fire
from fault_table import Report

from closedloop import framing, wire
from closedloop.wire import (
    Dark,
    Fire,
    Fired,
    Heartbeat,
    Identity,
    Reading,
    Reason,
    Refused,
    State,
    Status,
    StreamEnd,
    StreamStop,
    Trip,
)


def frame(message):
    return framing.encode(wire.pack(message))


def test_a_reset_in_mid_session_is_said_and_the_train_is_not_resumed(bench):
    armed(bench)
    bench.stimulator.say(fire(1, on_us=100_000, period_us=200_000, pulses=5))
    bench.run_until(lambda: len(bench.spans()) == 2 and bench.is_lit(), 2.0)
    since = len(bench.stimulator.heard)
    bench.reset_stimulator()
    bench.run(2.0)
    assert bench.stimulator.last(Identity, since) is not None
    assert len(bench.spans()) == 2
    bench.stimulator.say(fire(2))
    bench.run(0.1)
    assert len(bench.spans()) == 2


def test_answers_that_never_arrive_do_not_prolong_or_repeat_light(bench):
    """A stuck acknowledgement: the host hears nothing of the stimulator, and asks again and again."""
    armed(bench)
    bench.stimulator.deaf = True
    if bench.stimulator is bench.daq:
        pytest.skip("one board has one line: deaf to it is a silent DAQ, which is another test")
    for _ in range(20):
        bench.stimulator.say(fire(1, on_us=20_000))
        bench.run(0.02)
    assert len(bench.spans()) == 1
    bench.stimulator.deaf = False
    bench.stimulator.say(fire(1, on_us=20_000))
    bench.run(0.1)
    assert bench.stimulator.last(Fired).train == 1
    assert len(bench.spans()) == 1


def test_two_hosts_on_one_port_give_no_light_beyond_the_limits(bench, faults):
    """Their frames mix: whole, and cut into each other. Either's Dark is obeyed."""
    armed(bench)
    dice = random.Random(3)
    mine, theirs = 1, 1_000
    for turn in range(60):
        bench.stimulator.say(fire(mine + turn, on_us=4_000))
        other = frame(fire(theirs + turn, on_us=6_000))
        cut = dice.randrange(len(other))
        bench.stimulator.write(other[:cut])
        bench.stimulator.say(Heartbeat(turn))
        bench.stimulator.write(other[cut:])
        if turn % 20 == 7:
            bench.stimulator.say(fire(theirs + turn, on_us=6_000))
        bench.run(0.03)
    widths = {round(s.width_us) for s in bench.spans()}
    assert widths <= {4_000, 6_000}
    assert len(bench.spans()) <= 60
    bench.stimulator.say(Dark())
    bench.run(0.05)
    assert bench.stimulator.last(Status).state == State.DISARMED
    said = "nothing by the board, which obeys both within its limits; the lock of the port keeps the second host out"
    faults(Report("two_hosts", bench.name, 60, said))


def test_a_second_host_cannot_loosen_limits_in_mid_session(bench):
    armed(bench, LIMITS._replace(on_us=20_000))
    bench.stimulator.say(LIMITS, wire.CEILING, LIMITS._replace(on_us=1_000_000))
    bench.run(0.05)
    answer = bench.ask(bench.stimulator, fire(1, on_us=20_001), Refused)
    assert answer == Refused(1, Reason.ON_TIME)


def test_a_board_that_hears_the_other_boards_messages_does_nothing(bench):
    """Cables exchanged, or what boards say looped back to them."""
    armed(bench)
    for message in (
        Reading(1, 2, 3, 4, 5, 6, 7, 8),
        Identity(2, 1, 3, 4, 1),
        Fired(1, 2, 3, 4, 5, 0),
        Status(2, 0, 1),
        Trip(12, 1),
        StreamEnd(1, 2),
        Refused(1, 2),
    ):
        bench.stimulator.write(frame(message))
    if bench.stimulator is not bench.daq:
        bench.daq.write(frame(Fire(1, 1000, 0, 1, 65_535, 0, 0, 0)))
        bench.stimulator.write(frame(StreamStop()))
    bench.run(0.2)
    assert bench.light() == []
    bench.stimulator.say(fire(1))
    bench.run(0.1)
    assert len(bench.spans()) == 1
