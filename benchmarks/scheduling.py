"""Who runs at which priority, and whether cores are kept from halting. It asks and tells; what cannot be had is said.

A far end and a bare echo at another priority than the program's would compare schedulers, not programs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

_AWAKE = Path("/dev/cpu_dma_latency")
BOARD_PRIORITY = 80  # above any program under test: a board is a computer of its own and never waits for this one


class Scheduling(NamedTuple):
    """A Linux scheduling policy with its priority; `str` gives both as words."""

    policy: int
    priority: int

    def __str__(self) -> str:
        names = {"SCHED_OTHER": "normal", "SCHED_FIFO": "fifo", "SCHED_RR": "round robin", "SCHED_BATCH": "batch"}
        known = {getattr(os, name, None): word for name, word in names.items()}
        word = known.get(self.policy, f"policy {self.policy}")
        return f"{word} {self.priority}" if self.priority else word


def of(process: int) -> Scheduling | None:
    """The highest priority that any thread of a process has; None where the system does not tell."""
    if sys.platform != "linux":
        return None
    try:
        threads = [int(entry.name) for entry in Path(f"/proc/{process}/task").iterdir()]
        found = [Scheduling(os.sched_getscheduler(t), os.sched_getparam(t).sched_priority) for t in threads]
    except OSError:
        return None
    return max(found, key=lambda one: one.priority, default=None)


def give(processes: Iterable[int], wanted: Scheduling) -> str:
    """Set every thread of these processes; what they have now, or why they have not what was wanted."""
    if sys.platform != "linux":
        return "normal: only Linux can be asked for another"
    try:
        for process in processes:
            for entry in Path(f"/proc/{process}/task").iterdir():
                os.sched_setscheduler(int(entry.name), wanted.policy, os.sched_param(wanted.priority))
    except OSError as error:
        return f"normal: {wanted} was refused ({error.strerror})"
    return str(wanted)


def above_all(process: int) -> str:
    """Put the far end above everything that is measured; what it has now."""
    if sys.platform != "linux":
        return "normal: only Linux can be asked for another"
    return give([process], Scheduling(os.SCHED_FIFO, BOARD_PRIORITY))


@contextmanager
def awake(*, wanted: bool) -> Iterator[str]:
    """Keep every core from halting (Linux: /dev/cpu_dma_latency held at 0 microseconds); says what came of it."""
    if not wanted:
        yield "not asked for"
        return
    try:
        file = os.open(_AWAKE, os.O_WRONLY)
    except OSError as error:
        yield f"not had: {_AWAKE}: {error.strerror}"
        return
    try:
        os.write(file, (0).to_bytes(4, "little"))
        yield "held"
    finally:
        os.close(file)
