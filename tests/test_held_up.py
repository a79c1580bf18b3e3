"""The simulated rig in virtual time: what a computer too busy to run it changes, and what it must not."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import plans
import pytest
from test_virtual_rig import LEASE_S, LIMITS, fire, readings_in, recording
from virtual_session import Notebook

from closedloop import wire
from closedloop.controller import Controller, Orders
from closedloop.framing import Decoder, encode
from closedloop.limits import command
from closedloop.loop import Loop
from closedloop.readings import FLAG_LIGHT, FLAG_TRIGGER, Stream
from closedloop.simulation import Simulation, daq_board, stimulator_board
from closedloop.simulation.rig_process import Order, Rig, Wall
from closedloop.simulation.truth import Truth, read


class Memory:
    """A board's port whose bytes stay in this process."""

    name = "memory"

    def __init__(self) -> None:
        self.to_board, self.to_host = bytearray(), bytearray()

    def fileno(self) -> int:
        return -1

    def read(self) -> bytes:
        data = bytes(self.to_board)
        self.to_board.clear()
        return data

    def write(self, data: bytes) -> int:
        self.to_host += data
        return len(data)

    def close(self) -> None:
        """Nothing is open."""


class Virtual(Wall):
    """Waiting takes as long as it was meant to, and as much longer as this process is to be held up."""

    def __init__(self) -> None:
        self.ns = self.late_ns = 0

    def now_ns(self) -> int:
        return self.ns

    def wait(self, ports: Any, _full: Any, timeout_s: float) -> Any:
        if not any(port.to_board for port in ports):
            self.ns += ceil(timeout_s * 1e9)
        self.ns += self.late_ns
        self.late_ns = 0
        return [port for port in ports if port.to_board]


class VirtualHost:
    """A rig in virtual time, and a host that answers at once."""

    def __init__(
        self, stream: Stream | None = None, rate_hz: float = 100.0, truth: Truth | None = None, **rig: Any
    ) -> None:
        self.wall = Virtual()
        simulation = Simulation(transport="tcp", **rig)
        self.rig = Rig(Order(simulation, rate_hz, 1, stream, 1.0, None), truth or Truth(None), self.wall)
        self.lines = {}
        for name, cable in (("daq", self.rig.daq_cable), ("stimulator", self.rig.stimulator_cable)):
            assert cable.port is not None
            cable.port.close()
            cable.port = Memory()
            self.lines[name] = (cable.port, Decoder())
        self.heard: dict[str, list[Any]] = {"daq": [], "stimulator": []}
        self.beats = False

    def say(self, board: str, *messages: wire.Message) -> None:
        self.lines[board][0].to_board += b"".join(encode(wire.pack(m)) for m in messages)

    def turn(self, held_up_us: int = 0) -> None:
        """One turn of the rig; the host then hears what it said."""
        self.wall.late_ns = held_up_us * 1000
        self.rig.turn()
        for name, (port, decoder) in self.lines.items():
            new = [message for p in decoder.feed(bytes(port.to_host)) if (message := wire.unpack(p)) is not None]
            port.to_host.clear()
            self.heard[name] += new
            if self.beats and readings_in(new):
                self.say("stimulator", wire.Heartbeat(readings_in(new)[-1].seq))

    def until(self, seconds: float, held_up_us: Iterator[int] | None = None) -> VirtualHost:
        while self.wall.ns < seconds * 1e9:
            self.turn(next(held_up_us) if held_up_us is not None else 0)
        return self

    def begin(self) -> VirtualHost:
        self.say("daq", wire.StreamStart(0))
        self.say("stimulator", LIMITS, wire.Arm())
        self.beats = True
        return self

    def all(self, board: str, kind: type) -> list[Any]:
        return [m for m in self.heard[board] if isinstance(m, kind)]


def hold_ups(most_us: int, seed: int = 1) -> Iterator[int]:
    """One turn in ten is held up."""
    dice = np.random.default_rng(seed)
    while True:
        yield int(dice.integers(most_us)) if dice.random() < 0.1 else 0


def test_the_boards_clocks_run_on_while_the_simulator_is_held_up() -> None:
    host = VirtualHost(clock_drift_ppm=100.0)
    for query in range(1, 6):
        for board in host.lines:
            host.say(board, wire.ClockQuery(query))
        host.turn(held_up_us=300_000)
        replies = [host.all(board, wire.ClockReply)[-1] for board in host.lines]
        passed_us = host.wall.ns // 1000
        assert [reply.query for reply in replies] == [query, query]
        assert replies[0].ticks == (daq_board.BOOT_TICKS + passed_us) % 2**32
        assert replies[1].ticks == (stimulator_board.BOOT_TICKS + passed_us + passed_us * 100 // 1_000_000) % 2**32


def test_a_simulator_that_is_held_up_loses_no_reading_and_changes_none() -> None:
    steady = VirtualHost().begin().until(20.0)
    busy = VirtualHost().begin().until(20.0, hold_ups(400_000))
    both = min(len(steady.all("daq", wire.Reading)), len(busy.all("daq", wire.Reading)))
    assert both > 1900
    assert steady.all("daq", wire.Reading)[:both] == busy.all("daq", wire.Reading)[:both]
    assert [r.seq for r in busy.all("daq", wire.Reading)] == list(range(len(busy.all("daq", wire.Reading))))


def test_a_simulator_that_is_held_up_does_not_end_a_lease_and_a_silent_host_does() -> None:
    host = VirtualHost().begin().until(1.0, hold_ups(round(3e6 * LEASE_S)))
    host.until(10.0, hold_ups(round(3e6 * LEASE_S)))
    assert not host.all("stimulator", wire.Trip)
    host.beats = False
    silent_us = host.wall.ns // 1000
    host.until(10.5 + LEASE_S)
    [trip] = host.all("stimulator", wire.Trip)
    assert trip.reason == wire.Reason.LEASE_EXPIRED
    ended_us = (trip.ticks - stimulator_board.BOOT_TICKS) % 2**32
    assert ended_us - silent_us <= LEASE_S * 1e6


def test_a_lease_that_had_begun_to_run_out_goes_on_where_it_was_when_the_simulator_was_held_up() -> None:
    host = VirtualHost(stream=recording(60.0))
    host.say("stimulator", LIMITS, wire.Arm())
    host.turn()
    armed_us = host.wall.ns // 1000
    host.until(0.1)
    host.turn(held_up_us=700_000)
    host.until(2.0)
    [trip] = host.all("stimulator", wire.Trip)
    ended_us = (trip.ticks - stimulator_board.BOOT_TICKS) % 2**32
    assert ended_us == armed_us + round(LEASE_S * 1e6) + 700_000 + 1


def test_a_pulse_ends_at_its_own_microsecond_however_long_the_simulator_is_held_up(tmp_path: Path) -> None:
    with Truth(tmp_path) as truth:
        host = VirtualHost(stream=recording(60.0), truth=truth).begin().until(0.5)
        host.say("stimulator", fire(1, on_us=30_000))
        host.turn()
        host.turn(held_up_us=400_000)
        host.until(1.5)
    [fired] = host.all("stimulator", wire.Fired)
    assert (fired.lit_us, fired.reason) == (30_000, 0)
    lit = [r.seq for r in host.all("daq", wire.Reading) if r.flags & FLAG_LIGHT]
    assert 3 <= len(lit) <= 4
    assert lit == list(range(lit[0], lit[-1] + 1))
    assert [line["seconds"] for line in read(tmp_path) if line["kind"] == "held_up"] == [pytest.approx(0.4)]


def test_a_trigger_within_a_hold_up_begins_its_train_at_its_own_reading() -> None:
    stream = recording(60.0)
    stream.readings["signal_lit"] = 10_000
    stream.readings["signal_lit"][500:] = 20_000
    host = VirtualHost(stream=stream)
    host.begin()
    host.say("stimulator", wire.Prepare(5_000, 10_000, 1, 65_535, 0, by_trigger=1))
    host.say("daq", wire.Watch(wire.Feature.SIGNAL, 4, 6_000, 3_000, 1, 100, 1_000_000))
    host.until(4.9)
    host.turn(held_up_us=500_000)
    host.until(6.0)
    [trigger] = [r for r in host.all("daq", wire.Reading) if r.flags & FLAG_TRIGGER]
    [started] = host.all("stimulator", wire.Started)
    assert trigger.seq == 500
    at_us = (trigger.ticks - daq_board.BOOT_TICKS) % 2**32
    assert (started.on_ticks - stimulator_board.BOOT_TICKS) % 2**32 == at_us


class Board:
    """One board of a virtual host, as a controller wants it."""

    def __init__(self, host: VirtualHost, name: str) -> None:
        self._host, self._name, self._seen = host, name, len(host.heard[name])

    def send(self, message: wire.Message) -> None:
        self._host.say(self._name, message)

    def news(self) -> list[wire.Message]:
        heard = self._host.heard[self._name]
        new, self._seen = heard[self._seen :], len(heard)
        return new


def conducted(until_s: float, held_up_us: Iterator[int] | None = None) -> Notebook:
    """The program's own controller at a rig in virtual time, with one event every three seconds."""
    volts = plans.with_events(plans.noise(until_s + 1), [12.0 + 3 * n for n in range(round(until_s / 3) - 4)])
    stream = Stream(plans.readings(volts), round(plans.RATE_HZ * 1000), plans.NANO_UNITS, "a test")
    host, the_plan, notebook = VirtualHost(stream=stream), plans.plan(), Notebook()
    c = command(the_plan.train, None)
    host.say("stimulator", the_plan.limits)
    host.say("stimulator", wire.Prepare(c.on_us, c.period_us, c.pulses, c.level, c.ramp_off_us, by_trigger=0))
    host.say("daq", wire.StreamStart(0))
    host.turn()
    daq, stimulator = Board(host, "daq"), Board(host, "stimulator")
    orders = Orders(rate_hz=plans.RATE_HZ, decisions=the_plan.decisions, duration_us=None, real_time=True)
    loop = Loop(the_plan, rate_hz=plans.RATE_HZ, nano_units=plans.NANO_UNITS)
    controller = Controller(orders, loop, daq, stimulator, notebook, host.wall.now_ns)
    while host.wall.ns < until_s * 1e9 and controller.ending is None:
        host.turn(next(held_up_us) if held_up_us is not None else 0)
        controller.stimulator_messages(stimulator.news(), host.wall.ns)
        controller.daq_messages(daq.news(), host.wall.ns)
        controller.housekeeping(host.wall.ns)
    assert controller.ending is None
    return notebook


def test_a_simulator_that_is_held_up_makes_no_reading_stale_for_longer_than_it_was_held_up() -> None:
    """Were its clocks to stand still meanwhile, all readings from then on would look late."""
    steady = conducted(45.0)
    trains = sum(event["kind"] == "light_on" for event in steady.events)
    assert trains > 8
    busy = conducted(45.0, hold_ups(90_000))
    assert "stale" not in busy.kinds("refused")
    assert sum(event["kind"] == "light_on" for event in busy.events) == trains
    once = (400_000 if turn == 2500 else 0 for turn in count())
    after = conducted(45.0, once)
    assert after.kinds("refused").count("stale") <= 1
    assert sum(event["kind"] == "light_on" for event in after.events) >= trains - 1


def test_a_day_of_light_leaves_no_edges_behind_but_the_newest(tmp_path: Path) -> None:
    with Truth(tmp_path) as truth:
        host = VirtualHost(stream=recording(1.0), truth=truth)
        board = host.rig.stimulator
        for n in range(10_000):
            board.edges.append((n * 10, float(n % 2)))
            host.rig._witness.look(n * 10, int)
    assert len(board.edges) <= 4096 + 1
    board.advance(100_000)
    assert board.mean_level(90_000, 99_000) == pytest.approx(0.5)
    assert len([line for line in read(tmp_path) if line["kind"] == "light"]) == 10_000


def test_what_is_forgotten_of_light_leaves_the_level_that_was_then() -> None:
    board = stimulator_board.StimulatorBoard()
    board.edges[:] = [(100, 1.0), (200, 0.0), (300, 0.5), (400, 0.0)]
    board.advance(500)
    board.forget_edges(350)
    assert board.edges == [(300, 0.5), (400, 0.0)]
    assert board.mean_level(350, 450) == 0.25
    board.forget_edges(10_000)
    assert board.edges == [(400, 0.0)]
