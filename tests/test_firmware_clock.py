"""The board's ticks out of a 16-bit count and a base: right at every instant, also just around an overflow."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

CORE = Path(__file__).parent.parent / "firmware" / "core"
SOURCE = f"""
#include "{CORE / "clock.h"}"
uint32_t ticks(uint32_t base, uint16_t count, uint8_t pending) {{ return clock_ticks(base, count, pending); }}
uint16_t count(uint32_t ticks) {{ return clock_count(ticks); }}
uint8_t reached(uint32_t now, uint32_t at) {{ return clock_reached(now, at); }}
"""
WRAP = 1 << 32
PER_OVERFLOW = 32768
INSTANTS = st.integers(0, 3 * WRAP)  # half microseconds since the start, over several wraps of the ticks


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        assert not os.environ.get("CI"), "no C compiler under CI"
        pytest.skip("no C compiler here")
    folder = tmp_path_factory.mktemp("clock")
    (folder / "clock.c").write_text(SOURCE)
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-shared", "-fPIC"]
    library = folder / "clock.so"
    subprocess.run([compiler, *flags, "-o", str(library), str(folder / "clock.c")], check=True)
    loaded = ctypes.CDLL(str(library))
    loaded.ticks.restype, loaded.ticks.argtypes = ctypes.c_uint32, (ctypes.c_uint32, ctypes.c_uint16, ctypes.c_uint8)
    loaded.count.restype, loaded.count.argtypes = ctypes.c_uint16, (ctypes.c_uint32,)
    loaded.reached.restype, loaded.reached.argtypes = ctypes.c_uint8, (ctypes.c_uint32, ctypes.c_uint32)
    return loaded


@given(half_us=INSTANTS)
def test_ticks_are_the_microseconds_since_the_start(clock: ctypes.CDLL, half_us: int) -> None:
    overflows, count = divmod(half_us, 1 << 16)
    assert clock.ticks(overflows * PER_OVERFLOW % WRAP, count, 0) == half_us // 2 % WRAP


@given(overflows=st.integers(1, 1 << 18), count=st.integers(0, 200), early=st.integers(0, 200))
def test_an_overflow_that_no_interrupt_has_served_is_counted_once(
    clock: ctypes.CDLL, overflows: int, count: int, early: int
) -> None:
    base_before = (overflows - 1) * PER_OVERFLOW % WRAP
    after = (overflows * (1 << 16) + count) // 2 % WRAP
    before = (overflows * (1 << 16) - 1 - early) // 2 % WRAP
    assert clock.ticks(base_before, count, 1) == after
    assert clock.ticks(base_before, 0xFFFF - early, 1) == before  # the count was read before it overflowed


@given(half_us=INSTANTS)
def test_a_tick_and_its_count_convert_into_one_another(clock: ctypes.CDLL, half_us: int) -> None:
    assert clock.count(half_us // 2 % WRAP) == half_us % (1 << 16) & ~1


@given(now=st.integers(0, WRAP - 1), us=st.integers(1, (1 << 31) - 1))
def test_what_is_to_come_is_not_reached_also_across_the_wrap(clock: ctypes.CDLL, now: int, us: int) -> None:
    assert clock.reached((now + us) % WRAP, now)
    assert clock.reached(now, now)
    assert not clock.reached(now, (now + us) % WRAP)
