"""The DAQ's firmware core, compiled for this computer: watching equal to its Python twin in every bit, and the stream.

What the registers below it make of that, LEDs and converter and line, is the emulator's to show.
"""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import subprocess
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedloop import wire
from closedloop.dead_time import board_phases
from closedloop.framing import Decoder, encode
from closedloop.simulation.watcher import NOBODY, Watcher
from closedloop.wire import Feature, Flag, Reading, Watch

ROOT = Path(__file__).parents[1]
CORE = ROOT / "firmware" / "core"
SOURCES = [ROOT / "tests" / "daq_twin.c", *(CORE / f"{name}.c" for name in ("framing", "board", "watch", "daq"))]
STRICT = ("-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-Wconversion")
TRAPS = ("-fsanitize=undefined", "-fsanitize-undefined-trap-on-error")
MOST_COUNTS = 1023 * 64
ROOM_NEEDED = 35 + 80


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        assert not os.environ.get("CI"), "no C compiler under CI"
        pytest.skip("no C compiler: the firmware's core can't be compiled here")
    made = tmp_path_factory.mktemp("daq_twin") / "daq_twin.so"
    subprocess.run([compiler, *STRICT, *TRAPS, "-shared", "-fPIC", f"-I{CORE}", "-o", made, *SOURCES], check=True)
    return ctypes.CDLL(str(made))


class WatchPair:
    """The watcher in C and the one in Python, told the same."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.c, self.python = library, Watcher()
        self.c.twin_start(500_000)

    def set(self, settings: Watch) -> bool:
        taken = bool(self.c.watch_twin_set(wire.pack(settings)[1:]))
        assert taken == self.python.set(settings)
        return taken

    def restart(self) -> None:
        self.c.watch_twin_restart()
        self.python.restart()

    def take(self, reading: Reading) -> bool:
        triggers = bool(self.c.watch_twin_take(wire.pack(reading)[1:]))
        assert triggers == self.python.take(reading)
        state = (ctypes.c_uint32 * 8)()
        self.c.watch_twin_state(state)
        p = self.python
        assert list(state) == [
            p._signal,
            p._control,
            p._known,
            p._seen,
            p._held,
            p._above,
            int(p._high),
            int(p._resting),
        ]
        return triggers


Row = tuple[int, tuple[int, int, int, int], int]

counts = st.integers(0, MOST_COUNTS)
steady = st.integers(990, 1100)
flags = st.sampled_from([0] * 12 + [1, 2, 4, 8, 8, 16, 9, 63])
readings = st.lists(
    st.builds(
        lambda step, values, flags: (step, values, flags),
        st.integers(0, 2_000_000) | st.just(2**32 - 1),
        st.tuples(counts, counts, counts, counts) | st.tuples(steady, st.just(3), steady, st.just(3)),
        flags,
    ),
    max_size=80,
)
watches = st.builds(
    Watch,
    feature=st.integers(0, 3),
    shift=st.integers(0, 4) | st.integers(0, 18),
    threshold=st.integers(0, 4000) | st.integers(0, 65535),
    release=st.integers(0, 2000) | st.integers(0, 65535),
    minimum=st.integers(0, 4) | st.just(65535),
    warm_up=st.integers(0, 20),
    refractory_us=st.integers(0, 3_000_000) | st.just(2**32 - 1),
)


@given(watches, readings, watches, readings)
def test_the_board_watches_as_its_twin_does_in_every_bit(
    library: ctypes.CDLL, first: Watch, before: list[Row], second: Watch, after: list[Row]
) -> None:
    pair, ticks = WatchPair(library), 2**32 - 5_000_000
    for settings, rows in ((first, before), (second, after)):
        pair.set(settings)
        for step, (signal, dark, control, control_dark), flag in rows:
            ticks = (ticks + step) % 2**32
            pair.take(Reading(0, ticks, signal, dark, control, control_dark, 0, flag))
        pair.restart()


@pytest.mark.parametrize("shift", [0, 5, 10, 15, 16])
@pytest.mark.parametrize("feature", list(Feature))
def test_long_streams_of_the_highest_counts_overflow_nowhere(
    library: ctypes.CDLL, shift: int, feature: Feature
) -> None:
    pair, seeded = WatchPair(library), random.Random(shift)
    assert pair.set(Watch(feature, shift, 3000, 1000, 2, 10, 100_000))
    triggers = 0
    for i in range(8000 if shift < 15 else 140_000):
        low = MOST_COUNTS // 2 if i % 1000 < 40 else MOST_COUNTS
        noise = seeded.randrange(200)
        triggers += pair.take(Reading(i, i * 1000 % 2**32, MOST_COUNTS - noise, 0, low - noise, 0, 0, 0))
    assert triggers > 0 if feature == Feature.SIGNAL_LESS_CONTROL and shift >= 5 else triggers == 0


class Daq:
    """The core of the board, with nothing but its messages and what it asked of the layer below."""

    def __init__(self, library: ctypes.CDLL, baud: int = 500_000) -> None:
        self.c = library
        self.c.twin_lost.restype = ctypes.c_uint32
        self.c.twin_start(baud)

    def say(self, message: wire.Message) -> list[wire.Message]:
        payload = wire.pack(message)
        assert self.c.twin_obey(payload, len(payload)) == 1
        return self.heard()

    def take(self, ticks: int = 0, *, missed: int = 0, signal: int = 1000, flags: int = 0) -> list[wire.Message]:
        sums = (ctypes.c_uint16 * 5)(100, 700, signal, 2, flags)
        self.c.twin_take(sums, ticks, missed, ticks)
        self.c.twin_advance(ticks)
        return self.heard()

    def heard(self) -> list[wire.Message]:
        bytes_out = ctypes.create_string_buffer(1 << 14)
        length = self.c.twin_output(bytes_out)
        return [m for payload in Decoder().feed(bytes_out.raw[:length]) if (m := wire.unpack(payload))]

    def doings(self) -> str:
        text = ctypes.create_string_buffer(64)
        self.c.twin_doings(text)
        return text.value.decode()


def seq_of(messages: list[wire.Message]) -> int:
    [reading] = messages
    assert isinstance(reading, Reading)
    return reading.seq


@pytest.fixture
def daq(library: ctypes.CDLL) -> Daq:
    return Daq(library)


def plan(library: ctypes.CDLL, rate_mhz: int) -> tuple[int, ...]:
    values = (ctypes.c_uint32 * 5)()
    library.twin_plan(rate_mhz, values)
    return tuple(values)


@given(st.integers(10_000, 1_000_000))
def test_every_rate_has_a_plan_whose_phases_fit_its_period(library: ctypes.CDLL, rate_mhz: int) -> None:
    period_us, phase_us, settle_us, conversions, conversion_us = plan(library, rate_mhz)
    assert period_us == round(1e9 / rate_mhz) or abs(period_us - 1e9 / rate_mhz) == 0.5
    assert 50 <= settle_us <= 200
    assert phase_us - settle_us >= conversions * (conversion_us + 4)
    assert 3 * phase_us + 30 <= period_us


@given(st.integers(10_000, 1_000_000))
def test_dead_time_is_told_by_the_boards_own_phases(library: ctypes.CDLL, rate_mhz: int) -> None:
    period_us, phase_us, *_ = plan(library, rate_mhz)
    assert board_phases(rate_mhz / 1000) == (period_us, phase_us)


def test_slow_streams_use_all_bits_of_the_converter_and_fast_ones_average_more(library: ctypes.CDLL) -> None:
    chosen = {rate: plan(library, rate * 1000)[3:] for rate in (10, 130, 200, 250, 500, 1000)}
    slow, fast = 104, 26
    assert chosen == {
        10: (16, slow),
        130: (16, slow),
        200: (8, slow),
        250: (8, slow),
        500: (16, fast),
        1000: (8, fast),
    }


def test_settings_say_what_the_period_of_whole_microseconds_really_gives(daq: Daq) -> None:
    [settings] = daq.say(wire.StreamStart(130_000))
    assert settings == wire.StreamSettings(rate_mhz=round(1e9 / 7692), nano_units=305176, inputs=3)
    assert daq.doings() == "EMS"  # an old stream ends, the settings come before the first reading
    assert daq.say(wire.StreamStart(0)) == [settings]


@pytest.mark.parametrize(("baud", "most_mhz"), [(115_200, 263_300), (500_000, 1_000_000), (1_000_000, 1_000_000)])
def test_a_rate_beyond_line_or_converter_is_refused_and_starts_nothing(
    library: ctypes.CDLL, baud: int, most_mhz: int
) -> None:
    daq = Daq(library, baud)
    assert daq.say(wire.StreamStart(most_mhz + 1)) == [wire.StreamRefused(most_mhz)]
    assert daq.doings() == "M"
    assert isinstance(daq.say(wire.StreamStart(most_mhz))[0], wire.StreamSettings)
    assert most_mhz / 1000 * 35 * 10 <= 0.8 * baud


def test_a_frame_of_a_reading_has_the_length_that_the_budget_of_the_line_counts() -> None:
    assert len(encode(wire.pack(Reading(1, 2, 3, 4, 5, 6, 7, 8)))) == 35


def test_readings_are_numbered_from_each_start_and_both_darks_are_the_dark_sum(daq: Daq) -> None:
    daq.say(wire.StreamStart(0))
    assert daq.take(77) == [Reading(0, 77, 1000, 100, 700, 100, 2, 0)]
    assert seq_of(daq.take(78)) == 1
    daq.say(wire.StreamStart(0))
    assert seq_of(daq.take(79)) == 0


def test_what_found_no_room_or_no_time_is_counted_and_its_number_is_missing(daq: Daq, library: ctypes.CDLL) -> None:
    daq.say(wire.StreamStart(0))
    library.twin_room(ROOM_NEEDED - 1)
    assert daq.take(1) == []
    library.twin_room(ROOM_NEEDED)
    assert seq_of(daq.take(2)) == 1
    assert seq_of(daq.take(3, missed=2)) == 4
    assert daq.say(wire.StreamStop()) == [wire.StreamEnd(sent=2, dropped=3)]
    assert library.twin_lost() == 3


def test_a_reading_that_lacks_conversions_is_sent_and_counted(daq: Daq, library: ctypes.CDLL) -> None:
    daq.say(wire.StreamStart(0))
    [reading] = daq.take(1, flags=Flag.DROPPED_CONVERSIONS)
    assert isinstance(reading, Reading)
    assert reading.flags == Flag.DROPPED_CONVERSIONS
    assert daq.say(wire.StreamStop()) == [wire.StreamEnd(1, 0)]
    assert library.twin_lost() == 1


def test_a_reading_that_was_taken_when_the_stop_came_leaves_before_the_end(daq: Daq, library: ctypes.CDLL) -> None:
    daq.say(wire.StreamStart(0))
    library.twin_take((ctypes.c_uint16 * 5)(100, 700, 1000, 2, 0), 5, 0, 5)
    assert daq.say(wire.StreamStop()) == [Reading(0, 5, 1000, 100, 700, 100, 2, 0), wire.StreamEnd(1, 0)]


def test_the_end_of_no_stream_is_said_too(daq: Daq) -> None:
    assert daq.say(wire.StreamStop()) == [wire.StreamEnd(0, 0)]


def test_the_board_echoes_what_it_watches_for_and_keeps_it_where_new_settings_are_nonsense(daq: Daq) -> None:
    good = Watch(Feature.SIGNAL, 3, 6554, 3277, 1, 4, 0)
    assert daq.say(good) == [wire.WatchSet(crc32(wire.pack(good)))]
    assert daq.say(good._replace(minimum=0)) == [wire.WatchSet(crc32(wire.pack(good)))]
    assert daq.say(NOBODY) == [wire.WatchSet(crc32(wire.pack(NOBODY)))]


def test_the_trigger_line_rises_before_the_reading_is_sent_and_falls_after_half_a_millisecond(
    daq: Daq, library: ctypes.CDLL
) -> None:
    daq.say(Watch(Feature.SIGNAL, 3, 6554, 3277, 1, 4, 0))
    daq.say(wire.StreamStart(0))
    for ticks in range(8):
        daq.take(ticks)
    daq.doings()
    at = 2**32 - 100
    [reading] = daq.take(at, signal=1300)
    assert isinstance(reading, Reading)
    assert reading.flags == Flag.TRIGGER
    assert daq.doings() == "TM"
    library.twin_advance((at + 499) % 2**32)
    assert daq.doings() == ""
    library.twin_advance((at + 500) % 2**32)
    library.twin_advance((at + 501) % 2**32)
    assert daq.doings() == "t"


def test_messages_of_others_and_of_a_wrong_length_are_not_for_a_daq(library: ctypes.CDLL, daq: Daq) -> None:
    others = [wire.pack(wire.Arm()), wire.pack(wire.Identify()), b"\x10", b"\x10\0\0\0", b"\x12\0", b"\xff"]
    assert [library.twin_obey(payload, len(payload)) for payload in others] == [0] * len(others)
    assert daq.heard() == []
