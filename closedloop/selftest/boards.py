"""A rig's boards opened for a self-test, and its turns. Whatever the end is, the stimulator is told to go dark."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Iterator
from typing import NamedTuple

from closedloop import wire
from closedloop.errors import DeviceError
from closedloop.limits import effective
from closedloop.link import Link
from closedloop.port import wait
from closedloop.rig import SIMULATED, Rig
from closedloop.selftest.bench import DAQ, STIMULATOR, Bench
from closedloop.selftest.procedure import Turns
from closedloop.simulation import virtual_rig

_TURN_S = 0.005


class Boards(NamedTuple):
    """What is open.

    Attributes:
        daq: streams.
        stimulator: the same link where one board is both; None where the rig gives no light.
        limits: in force on it; None likewise.
        settings: what the DAQ said of its stream.
        early: messages that came with that.
    """

    daq: Link
    stimulator: Link | None
    limits: wire.Limits | None
    settings: wire.StreamSettings
    early: list[wire.Message]


def in_force(rig: Rig) -> wire.Limits | None:
    """The rig's limits as the board is told; None where the rig gives no light."""
    return effective(rig.limits, lease_s=rig.stimulator.lease) if rig.stimulator.wired_to is not None else None


@contextlib.contextmanager
def opened(rig: Rig, seed: int) -> Iterator[Boards]:
    """Boards with a stream running and limits set; dark and closed at the end.

    Args:
        rig: on its own ports, or simulated.
        seed: of a simulated rig.

    Raises:
        DeviceError: a board could not be opened, or speaks another version.
    """
    with contextlib.ExitStack() as stack:
        daq_port, stimulator_port = stack.enter_context(_ports(rig, seed))
        daq = rig.daq.open(daq_port)
        stack.callback(daq.close)
        limits = in_force(rig)
        stimulator = None
        if stimulator_port is not None and limits is not None:
            stimulator = rig.stimulator.open(stimulator_port, limits, daq if stimulator_port == daq_port else None)
        if stimulator is not None:
            stack.callback(stimulator.close)
            stack.callback(_dark, stimulator)
        settings, early = rig.daq.start(daq)
        yield Boards(daq, stimulator, limits, settings, early)


@contextlib.contextmanager
def _ports(rig: Rig, seed: int) -> Iterator[tuple[str, str | None]]:
    if rig.daq.port != SIMULATED or rig.simulation is None:
        yield rig.daq.port, rig.stimulator.wired_to
        return
    with virtual_rig.start(rig.simulation, rate_hz=rig.daq.rate, seed=seed) as virtual:
        yield virtual.daq_port, virtual.stimulator_port if rig.stimulator.wired_to else None


def _dark(stimulator: Link) -> None:
    with contextlib.suppress(DeviceError):  # it is gone, and its lease ends by itself
        stimulator.send(wire.Dark())


def drive(bench: Bench, boards: Boards, steps: Turns) -> None:
    """Turn by turn until the steps are over; a collection of garbage would show as a late heartbeat."""
    bench.heard(DAQ, boards.early, time.perf_counter_ns())
    daq, stimulator = boards.daq, boards.stimulator
    links = {DAQ: daq} | ({STIMULATOR: stimulator} if stimulator is not None and stimulator is not daq else {})
    by_port = {id(link.port): (board, link) for board, link in links.items()}
    ports = [link.port for link in links.values()]
    gc.collect()
    gc.freeze()
    try:
        for _ in steps:
            for port in wait(ports, _TURN_S):
                board, link = by_port[id(port)]
                messages = link.decode(port.read())
                bench.heard(board, messages, time.perf_counter_ns())
            bench.turn(time.perf_counter_ns())
    finally:
        gc.unfreeze()
        bench.record.damaged = sum(link.damaged for link in links.values())
