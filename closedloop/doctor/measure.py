"""What is measured and not asked: how late waits end, how finely the clock steps, how fast the disk takes a recording.

Small: a second of waiting at a time, and some 10 MB on the disk, which are gone afterwards.
"""

from __future__ import annotations

import os
import select
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from closedloop.errors import RecordingError
from closedloop.recording import TableWriter, lock
from closedloop.recording.layout import LOCK_AT, DType

WAITS = 330
WAIT_S = 0.003
_READS = 20_000
_SYNCS = 20
_ROWS_A_SYNC = 130  # a second of readings, as a session syncs them
_CHUNK = 1 << 20
_CHUNKS = 8
_LONGEST_S = 4.0  # of either measurement on a disk that is very slow


class WakeUps(NamedTuple):
    """How much later than asked waits ended, in us."""

    waits: int
    p50_us: float
    p99_us: float
    max_us: float


class ClockSteps(NamedTuple):
    """The monotonic clock: its smallest step and what reading it takes, in ns; and how often it went backwards."""

    step_ns: int
    read_ns: float
    backwards: int


class DiskLook(NamedTuple):
    """A data folder's disk, tried with a recording's own writer.

    Attributes:
        problem: why a recording can't be begun here; all else is nan then.
        locked_out: whether a second writer is kept out of a file that has one.
        sync_p50_ms, sync_max_ms: to get a second of readings onto the disk.
        mb_per_s: of one large file.
    """

    problem: str | None = None
    locked_out: bool = False
    sync_p50_ms: float = float("nan")
    sync_max_ms: float = float("nan")
    mb_per_s: float = float("nan")


def wake_ups(
    waits: int = WAITS, clock: Callable[[], int] = time.perf_counter_ns, wait: Callable[[float], None] | None = None
) -> WakeUps:
    """Wait so often for WAIT_S, without spinning, as the engine waits for a port.

    Args:
        waits: how often; 330 take a second.
        clock: nanoseconds; the finest one, since on Windows the monotonic one may be what is wrong.
        wait: for so many seconds; default: the system's own.
    """
    if wait is not None:
        return _late(waits, clock, wait)
    if os.name != "posix":
        return _late(waits, clock, time.sleep)  # noqa: TID251 - a port is asked between sleeps there, so this is measured
    quiet, other = socket.socketpair()
    with quiet, other:
        return _late(waits, clock, lambda seconds: _silence(quiet, seconds))


def _silence(quiet: socket.socket, seconds: float) -> None:
    select.select([quiet], [], [], seconds)


def _late(waits: int, clock: Callable[[], int], wait: Callable[[float], None]) -> WakeUps:
    late_us = np.empty(waits)
    for index in range(waits):
        before = clock()
        wait(WAIT_S)
        late_us[index] = (clock() - before) / 1e3 - WAIT_S * 1e6
    p50, p99 = np.percentile(late_us, (50, 99))
    return WakeUps(waits, float(p50), float(p99), float(late_us.max()))


def clock_steps(clock: Callable[[], int] = time.perf_counter_ns) -> ClockSteps:
    """Read the clock that sessions go by many times in a row; a few ms."""
    began = time.perf_counter_ns()
    times = np.array([clock() for _ in range(_READS)], np.int64)
    took_ns = time.perf_counter_ns() - began
    steps = np.diff(times)
    forward = steps[steps > 0]
    smallest = int(forward.min()) if len(forward) else round(time.get_clock_info("perf_counter").resolution * 1e9)
    return ClockSteps(smallest, took_ns / _READS, int((steps < 0).sum()))


def disk(folder: Path, dtype: DType) -> DiskLook:
    """Write what a session would, wait until it is on the disk, and take it away again.

    Args:
        folder: must exist.
        dtype: of a row of the recording.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".closedloop-doctor-", dir=folder) as name:
            path = Path(name)
            locked_out, syncs_ms = _as_a_session(path / "rows.table", dtype)
            mb_per_s = _large(path / "large")
    except (OSError, RecordingError) as problem:
        return DiskLook(getattr(problem, "strerror", None) or str(problem))
    return DiskLook(None, locked_out, float(np.median(syncs_ms)), max(syncs_ms), mb_per_s)


def _as_a_session(path: Path, dtype: DType) -> tuple[bool, list[float]]:
    rows = np.zeros(_ROWS_A_SYNC, dtype)
    table = TableWriter(path, dtype)
    syncs_ms: list[float] = []
    try:
        with path.open("r+b", buffering=0) as other:
            locked_out = lock.is_taken(other, LOCK_AT)
        while len(syncs_ms) < _SYNCS and sum(syncs_ms) < _LONGEST_S * 1e3:
            table.append(rows)
            before = time.perf_counter_ns()
            table.sync()
            syncs_ms.append((time.perf_counter_ns() - before) / 1e6)
    finally:
        table.close()
    return locked_out, syncs_ms


def _large(path: Path) -> float:
    """Millions of bytes a second, with the wait until they are on the disk."""
    chunk = np.random.default_rng(0).bytes(_CHUNK)  # what a disk that compresses can't make smaller
    written, before = 0, time.perf_counter()
    with path.open("wb", buffering=0) as file:
        for _ in range(_CHUNKS):
            written += file.write(chunk)
            os.fsync(file.fileno())
            if time.perf_counter() - before > _LONGEST_S:
                break
    return written / 1e6 / (time.perf_counter() - before)
