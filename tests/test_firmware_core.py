"""The stimulator's firmware core, compiled for this computer, against its Python twin: equal to the microsecond.

What holds for the virtual board in all other tests therefore holds for the code that runs on the real one; what the
registers below it make of that is the emulator's to show.
"""

from __future__ import annotations

import ctypes
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from closedloop import wire
from closedloop.framing import encode
from closedloop.simulation.serial_end import TICKS
from closedloop.simulation.stimulator_board import BOOT_TICKS, UNIQUE_ID, StimulatorBoard
from closedloop.wire import CEILING

ROOT = Path(__file__).parents[1]
CORE = ROOT / "firmware" / "core"
SOURCES = [
    ROOT / "tests" / "twin.c",
    *(CORE / f"{name}.c" for name in ("framing", "board", "interlock", "train", "stimulator")),
]
STRICT = ("-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-Wconversion")


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler: the firmware's core can't be compiled here")
    made = tmp_path_factory.mktemp("twin") / "twin.so"
    subprocess.run([compiler, *STRICT, "-shared", "-fPIC", f"-I{CORE}", "-o", made, *SOURCES], check=True)
    return ctypes.CDLL(str(made))


class Pair:
    """Both boards, told the same at the same microsecond."""

    def __init__(self, library: ctypes.CDLL, lead_us: int = 0) -> None:
        self.c = library
        self.python = StimulatorBoard(lead_us=lead_us, notice_us=lead_us)
        self.now_us = self.trains = 0
        self.c.twin_start(self.ticks, lead_us, lead_us, ctypes.c_uint64(UNIQUE_ID))
        self.same()

    @property
    def ticks(self) -> int:
        return (self.now_us + BOOT_TICKS) % TICKS

    def receive(self, data: bytes) -> None:
        self.python.receive(data, self.now_us)
        self.c.twin_receive(data, len(data), self.ticks)
        self.same()

    def say(self, *messages: wire.Message) -> None:
        self.receive(b"".join(encode(wire.pack(m)) for m in messages))

    def wait(self, us: int) -> None:
        self.now_us += us
        self.python.advance(self.now_us)
        self.c.twin_advance(self.ticks)
        self.same()

    def interlock(self, *, closed: bool) -> None:
        self.python.set_interlock(closed, self.now_us)
        self.c.twin_interlock(int(closed), self.ticks)
        self.same()

    def gate(self, *, is_open: bool) -> None:
        self.python.set_gate(is_open, self.now_us)
        self.c.twin_gate(int(is_open), self.ticks)
        self.same()

    def trigger(self) -> None:
        self.python.trigger(self.now_us)
        self.c.twin_trigger(self.ticks)
        self.same()

    def same(self) -> None:
        """What they said, the light they gave, and their state."""
        said = (ctypes.c_uint8 * (1 << 16))()
        assert bytes(said[: self.c.twin_output(said)]) == self.python.take_output()
        pairs = (ctypes.c_uint32 * (1 << 17))()
        count = self.c.twin_edges(pairs)
        edges = [((at + BOOT_TICKS) % TICKS, round(level * 65_535)) for at, level in self.python.edges]
        assert [(pairs[2 * i], pairs[2 * i + 1]) for i in range(count)] == edges
        self.python.edges.clear()
        assert self.c.twin_state() == self.python.state


def _often(rng: random.Random, usual: list[int], rare: list[int]) -> int:
    """Mostly what a host would send, now and then what it never should."""
    return rng.choice(rare) if rng.random() < 0.04 else rng.choice(usual)


def _limits(rng: random.Random) -> wire.Limits:
    return CEILING._replace(
        on_us=_often(rng, [400_000, 1_000_000], [50_000, 5_000_000]),
        off_us=_often(rng, [2_000, 30_000], [0, 700_000]),
        short_window_ms=_often(rng, [60_000], [1, 90_000]),
        short_on_ms=_often(rng, [2_000, 15_000], [300, 99_000]),
        long_on_ms=_often(rng, [5_000, 60_000], [900, 999_000]),
        trains_per_minute=_often(rng, [10, 60], [0, 2, 500]),
        lease_ms=_often(rng, [250, 500], [0, 20, 5_000]),
        level=_often(rng, [65_535], [1, 30_000]),
    )


def _fire(rng: random.Random, pair: Pair) -> wire.Fire:
    pair.trains += 1
    ahead = _often(rng, [40, 5_000, 200_000], [-5, 0, 1, 39, 41, 10_000_000, 10_000_001, 1 << 31])
    on_us = _often(rng, [50, 1_000, 50_000, 300_000], [0, 49, 1_000_000, 1_000_001, TICKS - 1])
    return wire.Fire(
        train=_often(rng, [pair.trains], [0, 1, 5, pair.trains - 1, pair.trains - 4, 1 << 31, TICKS - 1]) % TICKS,
        on_us=on_us,
        period_us=_often(rng, [on_us + 2_000, on_us + 30_000], [0, on_us + 1_999, on_us, TICKS - 1]) % TICKS,
        pulses=_often(rng, [1, 1, 2, 3, 7], [0, 1074, 65_535]),
        level=_often(rng, [1, 2, 30_000, 65_535], [0]),
        ramp_off_us=_often(rng, [0, 0, 0, 1, 999, 1_000, 1_001, 50_000, 99_456], [900_000, TICKS - 1]),
        scheduled=_often(rng, [0, 0, 1], [2, 255]),
        start=(pair.ticks + ahead) % TICKS,
    )


def _prepare(rng: random.Random, pair: Pair) -> None:
    fire = _fire(rng, pair)
    pair.say(wire.Prepare(fire.on_us, fire.period_us, fire.pulses, fire.level, fire.ramp_off_us, rng.randrange(2)))


def _begin(rng: random.Random, pair: Pair) -> None:
    pair.trains += 1
    pair.say(wire.Begin(_often(rng, [pair.trains], [0, 1, pair.trains - 1, 1 << 31])))


def _new_session(rng: random.Random, pair: Pair) -> None:
    pair.say(wire.Dark(), _limits(rng), wire.Arm())
    pair.trains = 0


def _question(rng: random.Random, pair: Pair) -> None:
    pair.say(rng.choice([wire.ClockQuery(7), wire.Identify(), wire.StatisticsQuery(), wire.StreamStart(0)]))


# What can happen to a stimulator, and how often.
_DEEDS: tuple[tuple[int, Callable[[random.Random, Pair], None]], ...] = (
    (40, lambda rng, pair: pair.say(_fire(rng, pair))),
    (30, lambda rng, pair: pair.say(wire.Heartbeat(1))),
    (12, lambda rng, pair: pair.say(wire.Arm())),
    (8, lambda rng, pair: pair.trigger()),
    (4, _prepare),
    (8, _begin),
    (2, _new_session),
    (2, _question),
    (1, lambda rng, pair: pair.say(rng.choice([wire.Dark(), wire.Disarm()]))),
    (1, lambda rng, pair: pair.say(_limits(rng))),
    (1, lambda rng, pair: pair.interlock(closed=False)),
    (1, lambda rng, pair: pair.gate(is_open=False)),
)


def _anything(rng: random.Random, pair: Pair) -> None:
    weights, deeds = zip(*_DEEDS, strict=True)
    rng.choices(deeds, weights)[0](rng, pair)
    if rng.random() < 0.2:
        pair.interlock(closed=True)
        pair.gate(is_open=True)


def _time_passes(rng: random.Random, pair: Pair) -> None:
    """A moment, or, with heartbeats, longer: so that windows fill and empty."""
    for _ in range(rng.choice([0, 0, 1, 3, 30])):
        pair.wait(rng.choice([15_000, 100_000]))
        pair.say(wire.Heartbeat(1))
    pair.wait(_often(rng, [0, 1, 50, 999, 20_000, 49_999, 100_000], [250_000, 500_000]))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("lead_us", [0, 40])
def test_firmware_and_virtual_board_do_the_same_whatever_happens(library: Any, seed: int, lead_us: int) -> None:
    rng, pair = random.Random(seed * 2 + lead_us), Pair(library, lead_us)
    _new_session(rng, pair)
    for _ in range(1000):
        _anything(rng, pair)
        _time_passes(rng, pair)


@settings(max_examples=60, deadline=None)
@given(data=st.lists(st.tuples(st.binary(max_size=90), st.integers(0, 300_000)), max_size=20))
def test_firmware_and_virtual_board_make_the_same_of_noise(library: Any, data: list[tuple[bytes, int]]) -> None:
    pair = Pair(library)
    pair.say(CEILING, wire.Arm())
    for noise, us in data:
        pair.receive(noise)
        pair.wait(us)


def test_a_full_hour_of_trains_is_the_same_in_every_window_and_across_every_wrap(library: Any) -> None:
    """71.6 minutes and more: ticks wrap, rings turn, limits refuse and allow again."""
    rng, pair = random.Random(1), Pair(library)
    pair.say(CEILING._replace(short_on_ms=5_000, long_on_ms=20_000), wire.Arm())
    for train in range(1, 9_000):
        pair.say(wire.Heartbeat(train), wire.Fire(train, rng.randrange(50, 900_000), 0, 1, 65_535, 0, 0, 0))
        pair.wait(rng.randrange(100_000, 499_999))
        pair.say(wire.Heartbeat(train))
        pair.wait(rng.randrange(100_000, 499_999))
    assert pair.now_us > TICKS
