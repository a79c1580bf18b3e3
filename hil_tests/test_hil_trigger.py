"""The path that crosses no cable to the host: the DAQ raises a line; an armed and prepared stimulator lights."""

from __future__ import annotations

from zlib import crc32

from commands import arm, armed, prepare, prepared, set_limits

from closedloop.clock import tick_difference
from closedloop.wire import (
    ON_BOARD_TRAIN,
    Arm,
    Begin,
    Dark,
    Feature,
    Fired,
    Flag,
    Prepared,
    Reading,
    Reason,
    Started,
    State,
    Watch,
    WatchSet,
    pack,
)

WATCH = Watch(
    feature=Feature.SIGNAL, shift=5, threshold=6554, release=3277, minimum=1, warm_up=50, refractory_us=300_000
)  # 10 % up, 5 % down


def watching(bench, watch=WATCH):
    answer = bench.ask(bench.daq, watch, WatchSet)
    assert answer.crc == crc32(pack(watch))
    return bench


def settled(bench):
    """Armed and prepared, the board watching at 500 Hz, its warm-up over."""
    bench.photodetector(1.0)
    armed(bench, rate_hz=500)
    prepared(bench)
    watching(bench)
    bench.run(0.4)
    assert not bench.light()
    return bench


def tell_the_judge(bench):
    """What the board says that it triggered by itself was asked for, by Watch and Prepare."""
    for heard in bench.daq.heard:
        if isinstance(heard.message, Reading) and heard.message.flags & Flag.TRIGGER:
            bench.note("trigger")


def test_the_trigger_line_begins_the_prepared_train_numbered_by_the_board(bench):
    prepared(armed(bench), prepare(on_us=5_000, pulses=3, period_us=20_000))
    for number in (1, 2):
        bench.pull_trigger()
        bench.run(0.2)
        fired = bench.stimulator.last(Fired)
        assert (fired.train, fired.pulses, fired.lit_us) == (ON_BOARD_TRAIN + number, 3, 15_000)
        assert bench.stimulator.last(Started).train == fired.train
    assert len(bench.spans()) == 6


def test_the_trigger_lights_nothing_unless_armed(bench):
    bench.stream()
    set_limits(bench)
    prepared(bench)
    bench.pull_trigger()
    bench.run(0.1)
    assert bench.light() == []
    assert arm(bench).state == State.ARMED
    bench.run(0.1)
    assert bench.light() == []
    bench.stimulator.say(Dark())
    bench.run(0.05)
    bench.pull_trigger()
    bench.run(0.1)
    assert bench.light() == []


def test_the_trigger_lights_nothing_where_nothing_is_prepared(bench):
    armed(bench)
    bench.pull_trigger()
    bench.run(0.1)
    assert bench.light() == []
    prepared(bench)
    bench.ask(bench.stimulator, prepare(pulses=0), Prepared)
    bench.pull_trigger()
    bench.run(0.1)
    assert bench.light() == []


def test_the_trigger_lights_nothing_where_the_train_is_for_begin_alone(bench):
    prepared(armed(bench), prepare(by_trigger=0))
    bench.pull_trigger()
    bench.run(0.1)
    assert bench.light() == []
    bench.stimulator.say(Begin(1))
    bench.run(0.1)
    assert len(bench.spans()) == 1


def test_what_was_prepared_does_not_outlive_the_session(bench):
    prepared(armed(bench))
    bench.stimulator.say(Dark())
    bench.run(0.05)
    set_limits(bench)
    bench.stimulator.say(Arm())
    bench.run(0.05)
    bench.pull_trigger()
    bench.run(0.1)
    assert bench.light() == []


def test_a_trigger_while_a_train_runs_adds_nothing(bench):
    prepared(armed(bench), prepare(on_us=100_000))
    bench.pull_trigger()
    bench.run(0.03)
    bench.pull_trigger()
    bench.run(0.3)
    [span] = bench.spans()
    assert abs(span.width_us - 100_000) <= 1e6 * bench.edge_resolution_s


def test_the_board_that_watches_lights_by_itself_and_marks_the_reading(bench):
    settled(bench)
    stepped_s = bench.now_s
    bench.photodetector(1.5)
    bench.run(0.2)
    tell_the_judge(bench)
    marked = [r for r in bench.daq.all(Reading) if r.flags & Flag.TRIGGER]
    assert len(marked) == 1
    [span] = bench.spans()
    assert 0 <= span.rise_s - stepped_s <= 3 * 2e-3 + bench.command_s
    fired = bench.stimulator.last(Fired)
    assert (fired.train, fired.reason) == (ON_BOARD_TRAIN + 1, Reason.NONE)
    lit = [r for r in bench.daq.all(Reading) if r.flags & Flag.LIGHT]
    assert 0 <= tick_difference(lit[0].ticks, marked[0].ticks) <= 2 * 2_000 + 100


def test_the_watching_board_rests_and_waits_for_the_signal_to_fall(bench):
    settled(bench)
    for _ in range(3):
        bench.photodetector(1.5)
        bench.run(0.1)
        bench.photodetector(1.0)
        bench.run(0.5)
    tell_the_judge(bench)
    marked = [r.ticks for r in bench.daq.all(Reading) if r.flags & Flag.TRIGGER]
    assert len(marked) == 3
    assert len(bench.spans()) == 3


def test_a_watching_board_lights_nothing_where_the_host_did_not_arm(bench):
    bench.photodetector(1.0)
    bench.stream(500)
    set_limits(bench)
    prepared(bench)
    watching(bench)
    bench.run(0.4)
    bench.photodetector(1.5)
    bench.run(0.2)
    assert any(r.flags & Flag.TRIGGER for r in bench.daq.all(Reading))
    assert bench.light() == []


def test_a_watching_board_is_dark_once_the_host_is_silent(bench):
    settled(bench)
    bench.stop_host()
    bench.run(0.5)
    bench.photodetector(1.5)
    bench.run(0.3)
    assert bench.light() == []


def test_watching_ends_when_told(bench):
    settled(bench)
    bench.ask(bench.daq, WATCH._replace(threshold=0), WatchSet)
    bench.photodetector(1.5)
    bench.run(0.3)
    assert bench.light() == []
