"""Many runs of the loop at once: on the cores of this computer, or on a Dask cluster. The results are the same.

On this computer they are threads of one process: the compiled loop gives up Python's lock, and all of them read the
same recordings. A run depends on nothing but its plan and its recording, so who runs it, and when, changes no bit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.metadata import version
from typing import Any, NamedTuple, TypeVar

from closedloop.analysis.detection import Detected, compile_look, detect
from closedloop.errors import ConfigError
from closedloop.loop import Loop, Plan
from closedloop.readings import Stream

_LOOK_S = 0.1  # between two looks at how far it is
_CONNECT_S = 10

A = TypeVar("A")
B = TypeVar("B")


class Run(NamedTuple):
    """One plan over one recording."""

    plan: Plan
    stream: Stream


class _Stopped(Exception):  # noqa: N818 - nothing went wrong
    """The others are to end."""


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def everywhere(
    work: Callable[[A, Callable[[int], None]], B],
    items: Sequence[A],
    jobs: int,
    advance: Callable[[int], None] = lambda _: None,
) -> list[B]:
    """What the work makes of each item, in order, on so many threads.

    Args:
        work: gets an item, and what to call with the readings done, now and then: it raises if the rest is to end.
        items: one piece of work each.
        jobs: threads.
        advance: called in this thread with the readings done since the last call.

    Raises:
        KeyboardInterrupt: within a batch of somebody pressing Ctrl-C.
    """
    done = [0] * len(items)
    stopped: list[bool] = []

    def one(at: int) -> B:
        def count(readings: int) -> None:
            if stopped:
                raise _Stopped
            done[at] += readings

        return work(items[at], count)

    told = 0
    with ThreadPoolExecutor(min(jobs, len(items)) or 1, "loop") as pool:
        futures = [pool.submit(one, at) for at in range(len(items))]
        try:
            for _ in _until_done(futures):
                advance(sum(done) - told)
                told = sum(done)
        except BaseException:
            stopped.append(True)
            pool.shutdown(cancel_futures=True)
            raise
    return [future.result() for future in futures]


def _until_done(futures: Iterable[Future[B]]) -> Iterator[None]:
    """Now and then while any is at work, and once at the end; an error of one is raised at once."""
    left = set(futures)
    while left:
        ended, left = wait(left, _LOOK_S, FIRST_COMPLETED)
        for future in ended:
            future.result()
        yield


def detect_here(runs: Sequence[Run], jobs: int, advance: Callable[[int], None] = lambda _: None) -> list[Detected]:
    """What each run detects, on so many threads of this process."""
    for plan, stream in {id(run.plan): run for run in runs}.values():  # here, or every thread would compile the same
        Loop(plan, rate_hz=stream.rate_hz, nano_units=stream.nano_units).compile()
    compile_look()
    return everywhere(lambda run, count: detect(run.plan, run.stream, count), runs, jobs, advance)


def detect_on_cluster(
    runs: Sequence[Run], address: str, advance: Callable[[int], None] = lambda _: None
) -> list[Detected]:
    """The same, spread over the workers of a Dask scheduler; each recording is sent once.

    Raises:
        ConfigError: Dask is not installed, the scheduler does not answer, or its workers are of another version.
    """
    with _client(address) as client:
        _same_versions(client, address)
        streams = {id(run.stream): run.stream for run in runs}
        sent = dict(zip(streams, client.scatter(list(streams.values())), strict=True))
        futures = [client.submit(detect, run.plan, sent[id(run.stream)], pure=False) for run in runs]
        try:
            for at in _ended(client, futures):
                advance(len(runs[at].stream.readings))
            return list(client.gather(futures))
        except BaseException:
            client.cancel(futures)
            raise


def _ended(client: Any, futures: Sequence[Any]) -> Iterator[int]:
    """The number of each future as it ends."""
    number = {future.key: at for at, future in enumerate(futures)}
    for future in _distributed().as_completed(futures, loop=client.loop):
        yield number[future.key]


def _distributed() -> Any:
    try:
        return import_module("distributed")
    except ImportError as error:
        raise ConfigError("--scheduler: Dask is not installed; pip install 'closedloop[cluster]'") from error


@contextmanager
def _client(address: str) -> Iterator[Any]:
    distributed = _distributed()
    try:
        client = distributed.Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        said = f"--scheduler: no Dask scheduler answers at {address}; start one with dask scheduler, or leave this out"
        raise ConfigError(said) from error
    try:
        yield client
    finally:
        with suppress(OSError, TimeoutError):
            client.close()


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("closedloop", "numba", "numpy")}


def _same_versions(client: Any, address: str) -> None:
    """Other versions may give other numbers; workers that are none give no numbers at all."""
    found = client.run(_versions, on_error="return")
    if not found:
        raise ConfigError(f"--scheduler: {address} has no workers; start some with dask worker {address}")
    for worker, theirs in found.items():
        if theirs != _versions():
            raise ConfigError(f"--scheduler: worker {worker} has {theirs}, not {_versions()}; install the same there")
