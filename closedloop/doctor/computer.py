"""The computer as the probes see it: everything they ask is a field of `Computer`, so that a made-up one can be given.

Nothing is changed here, and no probe reaches around it.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import psutil

from closedloop.doctor.registry import LocalMachine, Registry
from closedloop.realtime import PRIORITY

LINUX, MACOS, WINDOWS = "Linux", "Darwin", "Windows"
_ANSWER_WITHIN_S = 5.0


class Mount(NamedTuple):
    """A file system: where it is seen, of what kind, and how it was attached."""

    point: str
    kind: str
    options: str = ""


class Battery(NamedTuple):
    """A battery: whether mains power is connected (None: not said), and how full it is."""

    plugged: bool | None
    percent: float


class Memory(NamedTuple):
    """Main memory and swap, in bytes."""

    total: int
    available: int
    swap_total: int
    swap_used: int


class Person(NamedTuple):
    """Who runs this: name, whether that is the administrator, and the groups in force; None is not known."""

    name: str
    root: bool | None = None
    groups: frozenset[str] | None = None


_SOMEBODY = Person("me")


@dataclass(frozen=True)
class Computer:
    """What can be asked of a computer.

    Attributes:
        system: "Linux", "Darwin", "Windows", or another as `platform.system` has it.
        root: below which /sys, /proc and /dev are.
        person: who runs this.
        limits: soft limits by name, `rtprio` and `memlock` (bytes); -1 is none; what the system lacks is left out.
        mounts: file systems.
        cores: logical cores that this process may use; None: not known.
        load: processes that ran or wanted to, mean of a minute; None: not known.
        memory: None: not known.
        battery: None: there is none, or it is not said.
        programs: names of the programs that run.
        ask: what a system program prints; None where it is not there or fails.
        registry: of Windows.
        may_open: whether this person may read and write a device.
        real_time: the engine's real-time scheduling, as long as this context lasts; why not, or None if it is had.
    """

    system: str
    root: Path = Path("/")
    person: Person = _SOMEBODY
    limits: Mapping[str, int] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    cores: int | None = None
    load: float | None = None
    memory: Memory | None = None
    battery: Battery | None = None
    programs: frozenset[str] = frozenset()
    ask: Callable[[Sequence[str]], str | None] = lambda _: None
    registry: Registry = field(default_factory=Registry)
    may_open: Callable[[Path], bool] = lambda _: True
    real_time: Callable[[], AbstractContextManager[str | None]] = lambda: contextlib.nullcontext("not tried")

    def text(self, path: str) -> str | None:
        """What is in a small file of the system, stripped; None if it is not there or may not be read."""
        try:
            return (self.root / path).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return None

    def number(self, path: str) -> int | None:
        """The same as a whole number; None if it is none."""
        text = self.text(path)
        try:
            return None if text is None else int(text)
        except ValueError:
            return None

    def paths(self, pattern: str) -> list[Path]:
        """Paths below the root, in the order of their names."""
        with contextlib.suppress(OSError):
            return sorted(self.root.glob(pattern))
        return []


def this_computer() -> Computer:
    """The one that this runs on. It takes a fraction of a second."""
    return Computer(
        system=platform.system(),
        person=_person(),
        limits=_limits(),
        mounts=_mounts(),
        cores=_cores(),
        load=_load(),
        memory=_memory(),
        battery=_battery(),
        programs=_programs(),
        ask=_ask,
        registry=LocalMachine(),
        may_open=lambda path: os.access(path, os.R_OK | os.W_OK),
        real_time=_real_time,
    )


def _ask(words: Sequence[str]) -> str | None:
    program = shutil.which(words[0])
    if program is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - an argument list of our own, without a shell
            [program, *words[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ANSWER_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _person() -> Person:
    name = os.environ.get("USERNAME") or os.environ.get("USER") or os.environ.get("LOGNAME") or "me"
    if sys.platform == "win32":
        return Person(name)
    import grp
    import pwd

    with contextlib.suppress(KeyError):
        name = pwd.getpwuid(os.getuid()).pw_name
    groups = set()
    for number in {os.getgid(), *os.getgroups()}:
        with contextlib.suppress(KeyError):
            groups.add(grp.getgrgid(number).gr_name)
    return Person(name, os.geteuid() == 0, frozenset(groups))


def _limits() -> dict[str, int]:
    if sys.platform == "win32":
        return {}
    import resource

    known = {"rtprio": getattr(resource, "RLIMIT_RTPRIO", None), "memlock": getattr(resource, "RLIMIT_MEMLOCK", None)}
    soft = {name: resource.getrlimit(which)[0] for name, which in known.items() if which is not None}
    return {name: -1 if limit == resource.RLIM_INFINITY else limit for name, limit in soft.items()}


def _mounts() -> tuple[Mount, ...]:
    try:
        return tuple(Mount(m.mountpoint, m.fstype, m.opts) for m in psutil.disk_partitions(all=True))
    except (OSError, psutil.Error):
        return ()


def _cores() -> int | None:
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed is not None else os.cpu_count()


def _load() -> float | None:
    if platform.system() == WINDOWS:
        return None  # psutil begins to count when first asked, and would say 0
    try:
        return float(psutil.getloadavg()[0])
    except OSError:
        return None


def _memory() -> Memory | None:
    try:
        main, swap = psutil.virtual_memory(), psutil.swap_memory()
    except (OSError, RuntimeError, psutil.Error):
        return None
    return Memory(main.total, main.available, swap.total, swap.used)


def _battery() -> Battery | None:
    asked = getattr(psutil, "sensors_battery", None)
    try:
        found = None if asked is None else asked()
    except (OSError, RuntimeError, psutil.Error):
        return None
    return None if found is None else Battery(found.power_plugged, float(found.percent))


def _programs() -> frozenset[str]:
    try:
        return frozenset(process.info["name"] or "" for process in psutil.process_iter(["name"]))
    except (OSError, psutil.Error):
        return frozenset()


@contextlib.contextmanager
def _real_time() -> Iterator[str | None]:
    """Of the calling thread alone, given back at the end."""
    if not hasattr(os, "sched_setscheduler"):
        yield "this system has no such call"
        return
    before, how = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except OSError as error:
        yield error.strerror or "refused"
        return
    try:
        yield None
    finally:
        os.sched_setscheduler(0, before, how)
