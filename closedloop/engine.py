"""The only file that starts threads and processes: the acquisition thread, and the process it lives in.

The engine's process holds four threads. `acquisition` waits for bytes and hands them to the controller; nothing else
touches the loop. `sync` waits for the disk once a second. `door` hears orders from the dashboard, the main thread the
program that started the engine: a stop that either hears writes Dark to the stimulator by itself, so that it waits
neither for a reader that is busy or starved, nor for a disk.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from multiprocessing import connection
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from closedloop import realtime, wire
from closedloop.control import DESERTED, Order, Stop
from closedloop.controller import Controller, Ending
from closedloop.door import Door
from closedloop.errors import ClosedLoopError, DeviceError
from closedloop.link import Link
from closedloop.port import Waiter
from closedloop.spawning import trusted_imports

Control = Connection  # how the parent reaches the engine: a reason to stop, or its own end

_HOUSEKEEPING_S = 0.1
_SYNC_S = 1.0
_SWITCH_S = 50e-6  # how long another thread may keep the interpreter from the reader; 5 ms is usual
_TIDY_NS = 1_000_000_000
_FAREWELL_S = 0.5  # after dark, for the boards' last words


class Acquisition:
    """The thread between ports and controller; it keeps its name, its stop, and the exception it died of."""

    def __init__(self, controller: Controller, daq: Link, stimulator: Link | None, *, spin: bool = False) -> None:
        self.error: Exception | None = None
        self._controller = controller
        self._daq = daq
        self._stimulator = stimulator
        daq.stream_into(controller.counter)
        self._links = [daq] if stimulator in (None, daq) else [stimulator, daq]
        self._by_port = {link.port: link for link in self._links}
        self._waiter = Waiter([link.port for link in self._links], spin=spin)
        self._next_tidy_ns = 0
        self._stop = threading.Event()
        self._reason = ""
        self._asked: deque[Order] = deque()
        self.done, self._done = multiprocessing.Pipe(duplex=False)
        self._thread = threading.Thread(target=self._run, name="acquisition")

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self, reason: str) -> None:
        """Dark now, from the caller's own thread; then ask the reader to end the session."""
        self._reason = reason
        self._stop.set()
        if self._stimulator is None:
            return
        try:
            self._stimulator.send(wire.Dark())
        except DeviceError:
            return  # gone: its lease ends in the dark; the reader will find out and say so

    def obey(self, order: Order) -> None:
        """Stop from the caller's own thread; hand all else to the reader, which does it between two readings."""
        if isinstance(order, Stop):
            self.stop(order.reason)
        else:
            self._asked.append(order)

    def join(self) -> None:
        """Wait until the thread has ended; `done` becomes readable when it does."""
        self._thread.join()

    def _run(self) -> None:
        try:
            while self._controller.ending is None:
                self._turn(_HOUSEKEEPING_S)
            self._listen_to_last_words()
        except Exception as error:  # noqa: BLE001 - kept for session.py, which goes dark and raises it again
            self.error = error
        finally:
            self._waiter.close()
            self._done.send_bytes(b"done")

    def _turn(self, timeout_s: float) -> None:
        """Wait for bytes, hand them on; the stimulator first, for what it says may be a trip."""
        controller = self._controller
        ready = self._waiter.wait(timeout_s)
        if len(ready) == 1:
            self._hand_on(self._by_port[ready[0]])
        elif ready:
            for link in self._links:
                if link.port in ready:
                    self._hand_on(link)
        if self._stop.is_set():
            controller.end("stopped", self._reason)
        while self._asked and controller.counter.received:
            controller.obey(self._asked.popleft(), time.perf_counter_ns())
        now_ns = time.perf_counter_ns()
        controller.housekeeping(now_ns)
        if ready and now_ns >= self._next_tidy_ns:  # just after a reading: the next one is a while away
            self._next_tidy_ns = now_ns + _TIDY_NS
            realtime.tidy()

    def _hand_on(self, link: Link) -> None:
        controller = self._controller
        try:
            now_ns, readings, messages = link.take()
            if readings is None:
                controller.stimulator_messages(messages, now_ns)
            elif self._daq is self._stimulator:
                controller.arrival_of_both(readings, messages, now_ns)
            else:
                controller.arrival(readings, messages, now_ns)
        except DeviceError as problem:
            controller.end("device_lost", str(problem))

    def _listen_to_last_words(self) -> None:
        """Dark is sent; hear how the last train ended and how many readings were sent, but not for long."""
        try:
            self._daq.send(wire.StreamStop())
            for link in self._links:
                link.send(wire.StatisticsQuery())
        except DeviceError:
            return
        deadline = time.perf_counter() + _FAREWELL_S
        while (left := deadline - time.perf_counter()) > 0:
            self._turn(left)
            c = self._controller
            if len(c.statistics) == len(self._links) and c.outstanding == 0 and c.sent_by_board is not None:
                return


class Chore:
    """A thread beside the reader, for what must not hold it up; `failed` becomes readable if it dies.

    Args:
        name: of the thread.
        work: what it does until `end` is called.
        end: asks `work` to end, from another thread.
        loss: what the session is without, if it dies; a reason to stop.
    """

    def __init__(self, name: str, work: Callable[[], None], end: Callable[[], object], loss: str) -> None:
        self.error: Exception | None = None
        self.loss = loss
        self._work = work
        self._end = end
        self.failed, self._failed = multiprocessing.Pipe(duplex=False)
        self._thread = threading.Thread(target=self._run, name=name)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End it, and wait until it has ended."""
        self._end()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - kept for `conduct`, which goes dark and raises it again
            self.error = error
            self._failed.send_bytes(b"failed")


def _syncing(sync: Callable[[], None]) -> Chore:
    over = threading.Event()

    def work() -> None:
        while not over.wait(_SYNC_S):
            sync()

    return Chore("sync", work, over.set, "the recording can't be kept")


def conduct(
    acquisition: Acquisition, controller: Controller, sync: Callable[[], None], control: Control, folder: Path
) -> Ending:
    """Run until the session ends: sync once a second, take orders, and stop when told or when nobody is there to tell.

    Raises:
        Exception: whatever the acquisition thread died of, or why the recording can't be kept.
    """
    sys.setswitchinterval(_SWITCH_S)
    door = Door(folder, acquisition.obey)
    chores = (_syncing(sync), Chore("door", door.serve, door.close, "orders can't be heard"))
    for thread in (acquisition, *chores):
        thread.start()
    try:
        _listen(acquisition, chores, control)
    except BaseException:
        acquisition.stop("the engine can't listen")
        raise
    finally:
        acquisition.join()
        for chore in chores:
            chore.stop()
    for thread in (acquisition, *chores):
        if thread.error is not None:
            raise thread.error
    return controller.ending or Ending("stopped", "")


def _listen(acquisition: Acquisition, chores: tuple[Chore, ...], control: Control) -> None:
    """Until the session is over: a word from the program that started us, or a chore that died, ends it."""
    failures = {chore.failed: chore for chore in chores}
    listened = [acquisition.done, control, *failures]
    while acquisition.done not in (ready := connection.wait(listened)):
        for said in [one for one in listened if one in ready]:
            acquisition.stop(_heard(control) if said is control else failures[said].loss)
            listened.remove(said)


def _heard(control: Connection) -> str:
    """The reason to stop: what was said, or that nobody is there any more to say it."""
    try:
        return str(control.recv())
    except (EOFError, OSError):
        return DESERTED


class EngineProcess:
    """A process of its own for `work(control, *args)`; its result or its error comes back over a pipe."""

    def __init__(self, work: Callable[..., Any], *args: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._control, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(work, theirs, args), name="closedloop-engine")
        with trusted_imports():
            self._process.start()
        theirs.close()
        self._answer: tuple[str, Any] | None = None

    def stop(self, reason: str) -> None:
        """Ask it to go dark and close; does nothing if it has ended."""
        with contextlib.suppress(OSError):
            self._control.send(reason)

    def wait(self, timeout_s: float) -> bool:
        """Whether it has ended, or said how it ended, within so long."""
        self._hear(timeout_s)
        return self._answer is not None or not self._process.is_alive()

    def _hear(self, timeout_s: float) -> None:
        try:
            if self._answer is None and self._control.poll(timeout_s):
                self._answer = self._control.recv()
        except (EOFError, OSError):
            self._process.join()

    def result(self) -> Any:
        """What `work` returned, once it has ended.

        Raises:
            ClosedLoopError: as raised by `work`, or that it failed by a fault of its own.
            DeviceError: the process was killed.
        """
        self._process.join()
        self._hear(0)  # what it said last, between the last look and its end
        if self._answer is None:
            raise _unheard(self._process.exitcode or 0)
        kind, value = self._answer
        if kind == "error":
            raise value
        return value


def _unheard(exit_code: int) -> ClosedLoopError:
    if exit_code > 0:
        return ClosedLoopError("the engine failed by a fault of this program, told above; it went dark and closed")
    return DeviceError(
        f"the engine died (exit code {exit_code}); the stimulator goes dark by its lease, and all readings up to then "
        "are in the recording"
    )


def _serve(work: Callable[..., Any], control: Connection, args: tuple[Any, ...]) -> None:
    """The engine process: Ctrl-C is the parent's to hear, and comes as a stop over the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        answer: tuple[str, Any] = ("result", work(control, *args))
    except ClosedLoopError as error:
        answer = ("error", error)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # nobody is left to hear it
        control.send(answer)
