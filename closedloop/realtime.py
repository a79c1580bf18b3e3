"""What the engine asks of the computer, so that it is not made to wait: each thing is had, or not had and why.

Nothing here is needed for safety, and a session runs without any of it; what was not had is in the recording's header
and on the terminal. `closedloop doctor` says how to get it.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import psutil

Waiting = Literal["sleep", "awake", "spin"]  # how the reader waits for bytes; see `rig.Rig.waiting`

CORES_AWAKE = Path("/dev/cpu_dma_latency")  # while it is held open with 0 in it, Linux lets no core sleep
PRIORITY = 20  # of 1 to 99: above all ordinary programs, below the kernel's own threads (50)
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
_GIVEN = "run 'closedloop doctor' for how to give this right"


class Had(NamedTuple):
    """Whether something was had of the computer; if not, why, in words."""

    had: bool
    why: str = ""


def priority(waiting: Waiting) -> Had:
    """Let this process, and the threads it starts from now on, go before all ordinary programs.

    A reader that spins does not get it: it would shut out everything else on its core.
    """
    if waiting == "spin":
        return Had(False, "a reader that spins must leave its core to others now and then")
    if hasattr(os, "sched_setscheduler"):
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
        except OSError as problem:
            return Had(False, f"{problem.strerror}; {_GIVEN}")
        return Had(True)
    return _high_priority()


def _high_priority() -> Had:
    """The next best where there is no real-time class for programs."""
    wanted = psutil.HIGH_PRIORITY_CLASS if sys.platform == "win32" else -10
    try:
        psutil.Process().nice(wanted)
    except (psutil.Error, OSError):
        return Had(False, f"no right to a higher priority; {_GIVEN}")
    return Had(True)


def memory_lock() -> Had:
    """Keep in memory what is in memory, and what will be: a page that was swapped out costs milliseconds."""
    if not sys.platform.startswith("linux"):
        return Had(False, "this system does not let a program keep all of its memory")
    import resource

    most, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if most != resource.RLIM_INFINITY and os.geteuid() != 0:  # a limit would make later allocations fail
        return Had(False, f"this user may lock {most // 1024} kB; {_GIVEN}")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) != 0:
        return Had(False, f"{os.strerror(ctypes.get_errno())}; {_GIVEN}")
    return Had(True)


def collector() -> Had:
    """No garbage collection while a reading waits: all there is by now is left alone, the rest is `tidied`."""
    gc.collect()
    gc.freeze()
    gc.disable()
    return Had(True)


def tidy() -> None:
    """Collect what little has come since; to be called where nothing waits."""
    gc.collect(1)


@contextmanager
def cores_awake() -> Iterator[Had]:
    """Let no core of this computer sleep: waking one takes up to some 100 microseconds.

    It costs power and warmth, but no time of other programs. It ends with this process, however that ends.
    """
    try:
        held = CORES_AWAKE.open("wb", buffering=0)
    except OSError as problem:
        yield Had(False, f"{CORES_AWAKE}: {problem.strerror}; {_GIVEN}")
        return
    with held:
        held.write(bytes(4))
        yield Had(True)


@contextmanager
def prepared(waiting: Waiting, *, real_time: bool, low_latency: bool) -> Iterator[dict[str, Had]]:
    """All that was asked for, for the process that calls; given back when it ends, the cores' sleep before.

    Args:
        waiting: how the reader waits.
        real_time: False of a recording that is played faster than it was made: it gets no priority over others.
        low_latency: whether the ports' drivers took the wish to hand bytes on at once.
    """
    played = Had(False, "a recording is played faster than it was made")
    port = Had(low_latency, "" if low_latency else "a port's driver takes no such wish; its latency timer counts")
    means = {
        "priority": priority(waiting) if real_time else played,
        "memory_lock": memory_lock() if real_time else played,
        "collector": collector(),
        "low_latency_ports": port,
    }
    if waiting != "awake":
        yield means
        return
    with cores_awake() as awake:
        yield means | {"cores_awake": awake}
