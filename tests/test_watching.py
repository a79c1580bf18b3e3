"""Watching on the board itself: what raises the trigger, what must not, and what the level learns from."""

from __future__ import annotations

from zlib import crc32

import numpy as np
import pytest

from closedloop import framing, wire
from closedloop.readings import READING, Stream
from closedloop.simulation.daq_board import DaqBoard, Playback
from closedloop.simulation.watcher import NOBODY, Watcher
from closedloop.wire import Feature, Flag, Reading, Watch

PERCENT = 655  # of the level, in 1/65536
BASE = 10_000
STEP_US = 10_000
SETTINGS = Watch(
    feature=Feature.SIGNAL,
    shift=6,
    threshold=10 * PERCENT,
    release=5 * PERCENT,
    minimum=2,
    warm_up=40,
    refractory_us=0,
)


class Bench:
    """A watcher and a stream of readings whose dark is 500 counts."""

    def __init__(self, first_ticks: int = 0, **changes: int) -> None:
        self.watcher = Watcher()
        assert self.watcher.set(SETTINGS._replace(**changes))
        self.ticks = first_ticks

    def give(self, *signals: int, control: int = BASE, flags: int = 0) -> list[bool]:
        return [self.one(signal, control, flags) for signal in signals]

    def one(self, signal: int, control: int = BASE, flags: int = 0) -> bool:
        self.ticks = (self.ticks + STEP_US) % 2**32
        return self.watcher.take(Reading(0, self.ticks, signal + 500, 500, control + 500, 500, 0, flags))

    def warm(self) -> Bench:
        assert not any(self.give(*[BASE] * 100))
        return self


def test_the_trigger_comes_at_the_reading_that_completes_the_minimum() -> None:
    bench = Bench(minimum=3).warm()
    assert bench.give(*[BASE * 12 // 10] * 5) == [False, False, True, False, False]


def test_a_rise_below_the_threshold_or_too_short_raises_nothing() -> None:
    bench = Bench().warm()
    assert not any(bench.give(*[BASE * 109 // 100] * 20))
    assert not any(bench.give(BASE * 2, BASE, BASE * 2, BASE))


def test_there_is_no_second_trigger_before_the_release() -> None:
    bench = Bench().warm()
    high, between = BASE * 120 // 100, BASE * 107 // 100
    assert sum(bench.give(high, high, between, high, high, between, high, high)) == 1
    assert bench.give(BASE, high, high) == [False, False, True]


def test_a_crossing_in_the_refractory_time_is_lost_and_does_not_come_late() -> None:
    bench = Bench(refractory_us=10 * STEP_US).warm()
    high = BASE * 120 // 100
    assert bench.give(high, high) == [False, True]
    assert not any(bench.give(BASE, *[high] * 20))
    assert bench.give(BASE, high, high) == [False, False, True]


def test_the_refractory_time_counts_across_the_wrap_of_the_ticks_and_outlives_new_settings() -> None:
    bench = Bench(first_ticks=2**32 - 104 * STEP_US, refractory_us=200 * STEP_US).warm()
    high = BASE * 120 // 100
    assert any(bench.give(high, high))
    bench.watcher.set(SETTINGS._replace(warm_up=0, refractory_us=200 * STEP_US))
    bench.watcher.restart()
    bench.give(*[BASE] * 100)
    assert not any(bench.give(high, high))
    bench.give(*[BASE] * 100)
    assert any(bench.give(high, high))


def test_a_crossing_in_the_warm_up_gives_no_trigger() -> None:
    bench = Bench(warm_up=60)
    bench.give(*[BASE] * 50)
    assert not any(bench.give(*[BASE * 2] * 30))
    assert any(bench.give(BASE, BASE * 2, BASE * 2))


def test_the_level_is_a_plain_mean_until_its_memory_is_full() -> None:
    bench = Bench(warm_up=0)
    bench.give(*[BASE] * 10)  # a running mean started at zero would be at a seventh of the level now
    assert bench.give(*[BASE * 109 // 100] * 3) == [False] * 3


def test_the_level_of_steady_counts_is_these_counts() -> None:
    bench = Bench(threshold=1, release=0, minimum=1)
    assert not any(bench.give(*[BASE + 1] * 1000))


def test_the_level_follows_with_the_time_constant_it_was_told() -> None:
    bench = Bench()
    bench.give(*[BASE] * 200)
    bench.give(*[BASE * 105 // 100] * 64)
    level = bench.watcher._signal / 64
    assert (level - BASE) / (BASE * 0.05) == pytest.approx(1 - (1 - 1 / 64) ** 64, abs=0.01)


@pytest.mark.parametrize("unfit", [Flag.SIGNAL_SATURATED, Flag.CONTROL_SATURATED, Flag.DROPPED_CONVERSIONS])
def test_an_unfit_reading_is_neither_high_nor_low_and_is_not_learned(unfit: Flag) -> None:
    bench = Bench().warm()
    high = BASE * 120 // 100
    level = bench.watcher._signal
    assert not any(bench.give(*[high] * 10, flags=unfit))
    assert bench.watcher._signal == level
    assert not bench.one(high)
    bench.one(BASE * 5, flags=unfit)
    assert bench.one(high)


def test_our_own_light_is_not_learned() -> None:
    bench = Bench().warm()
    bench.give(*[BASE // 2] * 200, flags=Flag.LIGHT)
    assert not any(bench.give(*[BASE] * 10))


def test_what_is_high_is_not_learned_but_not_for_ever() -> None:
    bench = Bench().warm()
    level = bench.watcher._signal
    bench.give(*[BASE * 2] * 63)
    assert bench.watcher._signal == level
    bench.give(*[BASE * 2] * 400)
    assert bench.watcher._signal / 64 == pytest.approx(BASE * 2, rel=0.1)


def test_what_moves_both_channels_alike_is_no_event_of_the_signal_less_the_control() -> None:
    bench = Bench(feature=Feature.SIGNAL_LESS_CONTROL).warm()
    assert not any(bench.give(*[BASE * 2] * 5, control=BASE * 2))
    assert bench.give(*[BASE * 120 // 100] * 2) == [False, True]


def test_without_a_control_channel_its_difference_is_unknown() -> None:
    bench = Bench(feature=Feature.SIGNAL_LESS_CONTROL)
    assert not any(bench.give(*[BASE] * 100, *[BASE * 3] * 5, flags=Flag.NO_CONTROL))


def test_noise_about_nothing_raises_nothing() -> None:
    bench = Bench(minimum=1)
    assert not any(bench.give(*[0, 3, -4, 60, 1, 0, -9, 25] * 40))


def test_settings_that_cannot_be_obeyed_change_nothing() -> None:
    bench = Bench().warm()
    for nonsense in ({"feature": 3}, {"shift": 17}, {"minimum": 0}, {"release": SETTINGS.threshold + 1}):
        assert not bench.watcher.set(SETTINGS._replace(**nonsense))
    assert bench.watcher.settings == SETTINGS
    assert any(bench.give(*[BASE * 120 // 100] * 2))


def test_a_threshold_of_zero_ends_watching() -> None:
    bench = Bench().warm()
    assert bench.watcher.set(NOBODY)
    assert not any(bench.give(*[BASE * 2] * 5))


def no_light(_since_us: int, _until_us: int) -> float:
    return 0.0


class Board:
    """A virtual DAQ that plays 100 readings a second, of which these rows are high."""

    def __init__(self, rows: int, *high: int, most_rate_mhz: int | None = None) -> None:
        readings = np.zeros(rows, READING)
        readings["ticks"], readings["seq"] = np.arange(rows) * STEP_US, np.arange(rows)
        readings["signal_lit"] = readings["control_lit"] = BASE
        readings["signal_lit"][list(high)] = BASE * 2
        self.board = DaqBoard(Playback(Stream(readings, 100_000, 1000, "a test")), most_rate_mhz=most_rate_mhz)
        self.triggers: list[int] = []
        self.board.on_trigger = self.triggers.append
        self.now_us = 0
        self.heard()

    def heard(self) -> list[wire.Message]:
        payloads = framing.Decoder().feed(self.board.take_output())
        return [m for payload in payloads if (m := wire.unpack(payload))]

    def say(self, message: wire.Message) -> list[wire.Message]:
        self.board.receive(framing.encode(wire.pack(message)), self.now_us)
        return self.heard()

    def run(self, us: int, **line: int) -> list[wire.Reading]:
        self.now_us += us
        self.board.advance(self.now_us, no_light, **line)
        return [m for m in self.heard() if isinstance(m, wire.Reading)]


def test_the_virtual_board_echoes_the_settings_in_force() -> None:
    board = Board(10)
    assert board.say(SETTINGS) == [wire.WatchSet(crc32(wire.pack(SETTINGS)))]
    assert board.say(SETTINGS._replace(shift=20)) == [wire.WatchSet(crc32(wire.pack(SETTINGS)))]


def test_the_virtual_board_raises_its_trigger_at_the_readings_own_time_and_flags_it() -> None:
    board = Board(200, 100, 101, 102)
    board.say(SETTINGS)
    board.say(wire.StreamStart(0))
    readings = board.run(2_000_000)
    assert [r.seq for r in readings if r.flags & Flag.TRIGGER] == [101]
    assert board.triggers == [101 * STEP_US]


def test_the_trigger_does_not_wait_for_the_line() -> None:
    board = Board(200, 100, 101, 102)
    board.say(SETTINGS)
    board.say(wire.StreamStart(0))
    assert board.run(2_000_000, room=0) == []
    assert board.triggers == [101 * STEP_US]


def test_a_board_that_is_held_up_or_was_reset_watches_nothing() -> None:
    board = Board(200, 100, 101, 102)
    board.say(SETTINGS)
    board.board.mute = True
    board.say(wire.StreamStart(0))
    board.run(2_000_000)
    board.board.mute = False
    board.board.reset(wire.ResetCause.EXTERNAL, board.now_us)
    board.say(wire.StreamStart(0))
    board.run(2_000_000)
    assert board.triggers == []


def test_a_rate_above_what_the_board_can_carry_is_refused_and_the_stream_goes_on() -> None:
    board = Board(200, most_rate_mhz=100_000)
    board.say(wire.StreamStart(0))
    assert board.say(wire.StreamStart(100_001)) == [wire.StreamRefused(100_000)]
    assert len(board.run(100_000)) == 11
