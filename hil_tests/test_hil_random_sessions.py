"""Sessions made of dice: sensible orders, absurd ones, hands on every contact. The judge alone says what was wrong."""

from __future__ import annotations

import random

import pytest
from commands import FULL, LIMITS, arm, fire, set_limits

from closedloop import framing, wire
from closedloop.wire import CEILING, Begin, ClockQuery, ClockReply, Dark, Disarm, Fire, Limits, Prepare, State, Watch

_SILENT = {wire.StreamStart, wire.StreamStop, wire.Heartbeat}


def some_fire(dice, train, now_ticks):
    on_us = dice.choice((49, 50, 300, 5_000, 40_000, 300_000, 1_000_000, 1_000_001))
    return Fire(
        train,
        on_us,
        on_us + dice.choice((0, 1_999, 2_000, 2_500, 60_000)),
        dice.choice((0, 1, 1, 1, 2, 20)),
        dice.choice((0, 1, FULL // 2, FULL)),
        dice.choice((0, 0, 0, 500, 20_000)),
        dice.choice((0, 0, 0, 1, 2)),
        (now_ticks + dice.choice((-1_000, 0, 60, 200, 1_000, 25_000, 70_000, 11_000_000))) % (1 << 32),
    )


def some_limits(dice):
    return Limits(*(dice.choice((low, low, high)) for low, high in zip(LIMITS, CEILING, strict=True)))._replace(
        on_us=dice.choice((0, 60, 50_000, 1_000_000, 2**32 - 1)),
        off_us=dice.choice((0, 2_000, 50_000)),
        short_on_ms=dice.choice((300, 15_000)),
        trains_per_minute=dice.choice((3, 60, 60_000)),
        lease_ms=dice.choice((30, 100, 500, 65_535)),
    )


def any_message(dice):
    """A right check on random fields: another program's, or another version's."""
    message = dice.choice([m for m in wire.TABLE.values() if m not in _SILENT])
    size = len(wire.pack(message(*(0 for _ in message._fields)))) - 1
    number = next(n for n, m in wire.TABLE.items() if m is message)
    alphabet = dice.choice((range(256), (0, 0, 0, 0x20), (0, 1, 0x10, 0xFF)))
    return bytes((number, *(dice.choice(alphabet) for _ in range(size))))


def say_payload(bench, payload):
    """So that the judge knows of it if it is an order."""
    message = wire.unpack(payload)
    if message is None:
        bench.stimulator.write(framing.encode(payload))
    else:
        bench.stimulator.say(message)


class Dice:
    """One player of the host and of all hands."""

    def __init__(self, bench, seed):
        self.bench, self.dice = bench, random.Random(seed)
        self.train = 0
        self.now_ticks = 0
        self.is_one_board = bench.stimulator is bench.daq

    def begin(self):
        bench = self.bench
        bench.stream(100)
        bench.set_gate(is_open=True)
        bench.set_interlock(closed=True)
        bench.run(0.02)
        bench.stimulator.say(Dark())
        bench.run(0.02)
        limits = some_limits(self.dice)
        set_limits(bench, limits)
        arm(bench)
        bench.stimulator.say(self.some_prepare())
        bench.stimulator.say(fire(1, on_us=3_000))
        bench.run(0.02)
        self.train = 1

    def some_prepare(self):
        return Prepare(*some_fire(self.dice, 1, 0)[1:6], by_trigger=self.dice.choice((0, 1, 1, 2)))

    def move(self):
        """One order or one hand, and a little time."""
        dice, bench = self.dice, self.bench
        kinds = {
            self._fire: 20, self._again: 4, self._begin: 12, self._clock: 6, self._any: 6, self._hand: 18,
            lambda: bench.stimulator.say(self.some_prepare()): 3,
            lambda: bench.stimulator.say(dice.choice((Dark(), Disarm()))): 3,
            lambda: bench.stimulator.say(some_limits(dice)): 3,
            lambda: bench.stimulator.say(wire.Arm()): 5,
        }  # fmt: skip
        dice.choices(list(kinds), list(kinds.values()))[0]()
        bench.run(dice.choice((0.0005, 0.003, 0.02, 0.08)))
        reply = bench.stimulator.last(ClockReply, max(0, len(bench.stimulator.heard) - 50))
        self.now_ticks = reply.ticks if reply else self.now_ticks

    def _fire(self):
        self.train += 1
        self._again()

    def _again(self):
        self.bench.stimulator.say(some_fire(self.dice, self.train, self.now_ticks))

    def _begin(self):
        self.train += 1
        self.bench.stimulator.say(Begin(self.train))

    def _clock(self):
        self.bench.stimulator.say(ClockQuery(1))

    def _any(self):
        say_payload(self.bench, any_message(self.dice))

    def _hand(self):
        dice, bench = self.dice, self.bench
        kind = dice.choices(("trigger", "gate", "interlock", "pause", "cut"), (8, 4, 2, 2, 2))[0]
        if kind == "trigger":
            bench.pull_trigger()
        elif kind == "gate":
            bench.set_gate(is_open=dice.random() < 0.6)
        elif kind == "interlock":
            bench.set_interlock(closed=dice.random() < 0.6)
        elif kind == "pause":
            bench.heartbeats = not bench.heartbeats
        elif kind == "cut":
            bench.cut_cables()
            bench.run(dice.choice((0.01, 0.2)))
            bench.plug_cables()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.backends("mock", "emulated")
def test_a_session_of_dice_gives_no_light_that_the_judge_would_not(bench, seed):
    player = Dice(bench, seed)
    for _ in range(8):
        player.begin()
        bench.heartbeats = True
        for _ in range(40):
            player.move()
    assert bench.light(), "no light at all proves nothing"
    bench.heartbeats = True
    bench.stimulator.say(Dark())
    bench.run(0.2)
    assert not bench.is_lit()
    assert bench.stimulator.last(wire.Status).state != State.ARMED


def test_watching_with_random_settings_lights_nothing_unarmed(bench):
    dice = random.Random(9)
    bench.stream(500)
    for _ in range(30):
        bench.daq.say(Watch(*(dice.randrange(4) if dice.random() < 0.7 else dice.randrange(256) for _ in range(7))))
        bench.run(0.05)
    assert bench.light() == []
