"""The process behind a simulated rig: one thread, one loop, both boards. It must never wait for the host.

One turn: wait until a board has something to do or the host says something, take what came, let device time pass, send.

A board's clock never stands still, and neither does the simulated one, also while a busy computer holds this process
up: what fell due meanwhile happens at its own microsecond, and is sent as soon as the process runs again. To the host
that is a line that was slow for a moment: readings come late and several at once, none is lost, and the boards' clocks
keep their relation to the host's. The lease alone does not run meanwhile. Nobody could hear the host, who had nothing
to answer either, and a computer that is slow to simulate is no host that has died. `held_up` in the truth says when.
"""

from __future__ import annotations

import gc
import select
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from closedloop.errors import ClosedLoopError
from closedloop.readings import Stream
from closedloop.simulation import Simulation
from closedloop.simulation.animal import VirtualAnimal
from closedloop.simulation.arena import VirtualArena
from closedloop.simulation.cable import Cable
from closedloop.simulation.daq_board import DaqBoard, Live, Playback
from closedloop.simulation.pace import Drift, Pace
from closedloop.simulation.ports import BoardPort, open_port
from closedloop.simulation.stimulator_board import StimulatorBoard
from closedloop.simulation.truth import Truth
from closedloop.simulation.witness import Witness
from closedloop.wire import ResetCause, State

WINDOW = 16  # readings that a fast recording may be ahead of the host's last heartbeat
_LONGEST_TURN_NS = 50_000_000
_HELD_UP_NS = 20_000_000
_LISTEN_EVERY_NS = 20_000_000
_LAST_NS = 1_000_000_000


@dataclass(frozen=True)
class Order:
    """What to simulate; see `virtual_rig.start`."""

    simulation: Simulation
    rate_hz: float
    seed: int
    stream: Stream | None
    speed: float
    truth: Path | None
    inputs: tuple[str, ...] = ()


class Wall:
    """The wall's time, and waiting in it."""

    def now_ns(self) -> int:
        """Of the host's monotonic clock."""
        return time.perf_counter_ns()

    def wait(self, ports: Sequence[BoardPort], full: Sequence[BoardPort], timeout_s: float) -> Sequence[BoardPort]:
        """Those of the ports that have bytes: at once if any has, or one of the full ones takes more, or in the end."""
        if not ports:
            time.sleep(timeout_s)  # select on nothing is an error on Windows
            return ()
        return select.select(ports, full, (), timeout_s)[0]


class Rig:
    """Two boards, two cables, one device time (the DAQ's; the stimulator's drifts against it).

    Args:
        order: what to simulate.
        truth: where it is written down.
        wall: what device time is kept by; another one in tests.
    """

    def __init__(self, order: Order, truth: Truth, wall: Wall | None = None) -> None:
        simulation = order.simulation
        self._order = order
        self._wall = wall or Wall()
        self._is_fast = order.speed > 1
        self._animal: VirtualAnimal | None = None
        self._arena: VirtualArena | None = None
        self.daq = DaqBoard(self._source(), waits_for_line=self._is_fast)
        self.stimulator = StimulatorBoard()
        self.daq.on_trigger = self._trigger
        self.daq_cable = self._cable("daq")
        self.stimulator_cable = self._cable("stimulator")
        self._drift = Drift(simulation.clock_drift_ppm)
        self._pace = Pace(order.speed, self._wall.now_ns())
        self._witness = Witness(truth, self.daq, self.stimulator, self._animal, self._arena)

    def _trigger(self, daq_us: int) -> None:
        """The wire from the DAQ's trigger output."""
        self.stimulator.trigger(self._drift.stimulator_us(daq_us))

    def _source(self) -> Live | Playback:
        if self._order.stream is not None:
            return Playback(self._order.stream)
        order, arena = self._order, self._order.simulation.arena
        self._animal = VirtualAnimal(order.simulation.animal, order.rate_hz, order.seed)
        if arena is None:
            return Live(self._animal, order.rate_hz)
        self._arena = VirtualArena(arena, order.inputs, order.rate_hz, order.seed)
        return Live(self._animal, order.rate_hz, self._arena, len(order.inputs))

    def _cable(self, name: str) -> Cable:
        simulation = self._order.simulation
        return Cable(open_port(simulation.transport), simulation.faults, f"{self._order.seed} {name}")

    def turn(self) -> None:
        """Wait, listen, let time pass, write down what really happened, and speak."""
        fast_until_us = self._fast_until_us()
        wake_ns = self._wake_ns(fast_until_us)
        ready = self._wait(wake_ns)
        wall_ns = self._wall.now_ns()
        late_ns = wall_ns - wake_ns
        if late_ns > _HELD_UP_NS:
            self._witness.note("held_up", self._pace.now_us, seconds=late_ns / 1e9)
            self.stimulator.prolong_lease(late_ns // 1000 + 1)  # 1: what is found on waking came before it ended
        now_us = self._pace.advance(wall_ns, fast_until_us)
        if late_ns > _HELD_UP_NS:
            self._let_time_pass(now_us)  # before what is found: a trigger of back then finds the boards of back then
        self._listen(now_us, ready)
        self._let_time_pass(now_us)
        self._witness.look(now_us, self._drift.daq_us)  # before a word is said: what a host heard of is in the truth
        self._speak()

    def obey(self, command: str) -> None:
        """One of `virtual_rig`'s commands; they are the hands at the rig."""
        at_us = self._drift.stimulator_us(self._pace.now_us)
        match command:
            case "open interlock" | "close interlock":
                self.stimulator.set_interlock(command == "close interlock", at_us)
            case "reset stimulator":
                self.stimulator.reset(ResetCause.BROWN_OUT, at_us)
            case "unplug":
                self._unplug()

    def _fast_until_us(self) -> int | None:
        """Device time beyond which the host must be waited for; None where nobody follows yet, or no hurry is made."""
        is_followed = self.stimulator.state is State.ARMED or self.stimulator.last_heartbeat is not None
        if not (self._is_fast and is_followed):
            return None
        limits_us = (self._window_end_us(), self._half_lease_us())
        return min((limit for limit in limits_us if limit is not None), default=None)

    def _window_end_us(self) -> int | None:
        """When the last reading of the window is due; now, if it has been sent; None past the recording's end."""
        followed = self.stimulator.last_heartbeat
        if followed is None or followed > self.daq.last_seq:  # none yet in this stream
            followed = -1
        left = WINDOW - (self.daq.last_seq - followed)
        return self.daq.due_us(left - 1) if left > 0 else self._pace.now_us

    def _half_lease_us(self) -> int | None:
        """A fast recording may use up half the lease; the rest is left to the host in wall time."""
        until_us = self.stimulator.lease_until_us
        if until_us is None:
            return None
        return self._drift.daq_us(until_us - self.stimulator.limits.lease_ms * 500)

    def _wake_ns(self, fast_until_us: int | None) -> int:
        stimulator_us = self.stimulator.next_due_us
        dues_us = [
            None if stimulator_us is None else self._drift.daq_us(stimulator_us),
            None if self._is_held_by_line() else self.daq.next_due_us,
            self._fault_us(self._order.simulation.faults.unplug_at),
        ]
        wakes_ns = [self._pace.wall_ns_of(due, fast_until_us) for due in dues_us if due is not None]
        return min([*wakes_ns, self._wall.now_ns() + _LONGEST_TURN_NS])

    def _is_held_by_line(self) -> bool:
        return self._is_fast and self.daq_cable.room <= 0

    def _fault_us(self, at_s: float | None) -> int | None:
        """Device time of a fault that is set for so long after the first reading."""
        if at_s is None or self.daq.streams == 0 or self.daq_cable.port is None:
            return None
        return self.daq.started_us + round(at_s * 1e6)

    def _wait(self, wake_ns: int) -> Sequence[BoardPort]:
        """Those of the ports that have bytes."""
        cables = [cable for cable in (self.daq_cable, self.stimulator_cable) if cable.port]
        ports = [cable.port for cable in cables if cable.port]
        full = [cable.port for cable in cables if cable.port and cable.waits]
        return self._wall.wait(ports, full, max(0, wake_ns - self._wall.now_ns()) / 1e9)

    def _listen(self, now_us: int, ready: Sequence[BoardPort]) -> None:
        """Bytes found on waking came before a lease ended meanwhile: whether we woke late is not the host's fault."""
        if self.stimulator_cable.port in ready and (data := self.stimulator_cable.read()):
            stimulator_us, lease_us = self._drift.stimulator_us(now_us), self.stimulator.lease_until_us
            self.stimulator.receive(data, stimulator_us if lease_us is None else min(stimulator_us, lease_us - 1))
        if self.daq_cable.port in ready and (data := self.daq_cable.read()):
            self.daq.receive(data, now_us)

    def _let_time_pass(self, now_us: int) -> None:
        """Each thing at its own instant, however much of it there is: see `_light_between`."""
        faults = self._order.simulation.faults
        stall_us, unplug_us = self._fault_us(faults.stall_at), self._fault_us(faults.unplug_at)
        self.daq.mute = stall_us is not None and stall_us <= now_us < stall_us + faults.stall_for * 1e6
        self.daq.advance(now_us, self._light_between, room=self.daq_cable.room)
        self.stimulator.advance(self._drift.stimulator_us(now_us))
        if unplug_us is not None and unplug_us <= now_us:
            self._unplug()

    def _light_between(self, since_us: int, until_us: int) -> float:
        """What a reading contains. The stimulator is brought to the reading's end, where a trigger is to find it."""
        since_us, until_us = self._drift.stimulator_us(since_us), self._drift.stimulator_us(until_us)
        self.stimulator.advance(until_us)
        return self.stimulator.mean_level(since_us, until_us)

    def _speak(self) -> None:
        self.daq_cable.write(self.daq.take_output())
        self.stimulator_cable.write(self.stimulator.take_output())

    def _unplug(self) -> None:
        self._witness.note("unplugged", self._pace.now_us)
        self.daq_cable.unplug()
        self.stimulator_cable.unplug()


def serve(order: Order, control: Connection) -> None:
    """The process: tell the ports, then turn until told to stop, or until nobody is there to tell."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to hear; it stops us after going dark
    with Truth(order.truth) as truth:
        try:
            rig = Rig(order, truth)
        except ClosedLoopError as error:
            control.send(error)
            return
        ports = (rig.daq_cable.port, rig.stimulator_cable.port)
        control.send(tuple(port.name for port in ports if port))
        gc.freeze()  # what start-up made stays; collecting it again and again would hold the loop up
        _run(rig, control)


def _run(rig: Rig, control: Connection) -> None:
    listen_ns = 0
    while True:
        if time.perf_counter_ns() >= listen_ns:
            listen_ns = time.perf_counter_ns() + _LISTEN_EVERY_NS
            if not _obey_all(rig.obey, control):
                break
        rig.turn()
    end_ns = time.perf_counter_ns() + _LAST_NS
    while rig.stimulator.state is State.ARMED and time.perf_counter_ns() < end_ns:
        rig.turn()  # nobody is there any more: see its lease end


def _obey_all(obey: Callable[[str], None], control: Connection) -> bool:
    """Carry out what the parent says; False when it says stop, or is gone."""
    try:
        while control.poll():
            command = control.recv()
            if command == "stop":
                return False
            obey(command)
    except (EOFError, OSError):
        return False
    return True
