"""A simulated rig as its user sees it: two port names, and a process that must be stopped.

The boards live in a process of their own, so that nothing but bytes connects them with the program that opens the
ports. It ends when it is stopped and when its parent dies.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from closedloop.errors import ClosedLoopError, ConfigError, DeviceError
from closedloop.readings import Stream
from closedloop.simulation import Simulation
from closedloop.simulation.rig_process import Order, serve
from closedloop.spawning import trusted_imports

_START_WITHIN_S = 60.0  # a first run compiles the virtual animal
_STOP_WITHIN_S = 5.0


class VirtualRig:
    """A running simulated rig.

    Attributes:
        daq_port: what pyserial opens to reach the DAQ board.
        stimulator_port: the same for the stimulator board.
        pid: number of its process.
    """

    def __init__(self, order: Order) -> None:
        context = multiprocessing.get_context("spawn")
        self._control, theirs = context.Pipe()
        # daemon: an interpreter that exits without stop() must not wait for ever for a rig that waits for it
        self._process = context.Process(target=serve, args=(order, theirs), name="closedloop-rig", daemon=True)
        with trusted_imports():
            self._process.start()
        theirs.close()
        self.daq_port, self.stimulator_port = self._hear_ports()
        self.pid = self._process.pid

    def _hear_ports(self) -> tuple[str, str]:
        try:
            said = self._control.recv() if self._control.poll(_START_WITHIN_S) else None
        except (EOFError, OSError):
            said = None
        if isinstance(said, tuple):
            daq, stimulator = said
            return daq, stimulator
        self.stop()
        if isinstance(said, ClosedLoopError):
            raise said
        raise DeviceError(f"the simulated rig did not start within {_START_WITHIN_S:g} s; is this computer very busy?")

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process.is_alive()

    def open_interlock(self) -> None:
        """As if somebody opened the box."""
        self._say("open interlock")

    def close_interlock(self) -> None:
        """As if somebody closed the box again."""
        self._say("close interlock")

    def reset_stimulator(self) -> None:
        """As if its supply had dipped."""
        self._say("reset stimulator")

    def unplug(self) -> None:
        """Pull both cables, for good."""
        self._say("unplug")

    def stop(self) -> None:
        """End the process and wait until it has ended; twice does no harm. The truth stays."""
        self._say("stop")
        self._process.join(_STOP_WITHIN_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._control.close()

    def _say(self, command: str) -> None:
        try:
            self._control.send(command)
        except OSError:
            return  # it has ended

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start(
    simulation: Simulation,
    *,
    rate_hz: float,
    seed: int,
    stream: Stream | None = None,
    speed: float = 1.0,
    truth: Path | None = None,
    inputs: Sequence[str] = (),
) -> VirtualRig:
    """Start a simulated rig; it runs until it is stopped.

    Args:
        simulation: the rig file's section.
        rate_hz: readings per second of the virtual animal; a recording has its own.
        seed: of the animal and of the faults.
        stream: a recording to play instead of the animal.
        speed: how many times faster than the wall; above 1 only with a recording, and never faster than the host
            follows.
        truth: folder in which what really happened is written down.
        inputs: names of the rig's digital inputs, bit 0 first; what an arena moves must be among them.

    Raises:
        ConfigError: a speed that cannot be, a transport that this system does not have, or an arena whose inputs the
            rig does not have.
        DeviceError: the process did not start.
    """
    if not speed > 0:
        raise ConfigError(f"--speed: must be above 0 (got {speed:g}); give for example 20")
    if speed != 1 and stream is None:
        raise ConfigError(f"--speed: only a recording can be played faster (got {speed:g}); add --play RECORDING")
    if stream is None and simulation.arena is not None and (problems := simulation.arena.input_problems(inputs)):
        raise ConfigError(*problems)
    return VirtualRig(Order(simulation, rate_hz, seed, stream, speed, truth, tuple(inputs)))
