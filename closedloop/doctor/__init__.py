"""What on this computer would spoil timing or lose data, and what mends it. Nothing is changed, and nothing is armed.

Every probe takes a `Computer`, a measurement or a folder as an argument and gives a `Finding`, so that a computer that
is not at hand can be made up. Sessions are asked for nothing here: what one was really given is in its header.json.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from closedloop.doctor import data, load, measure, ports, power, program, rig_ports, rights, timing
from closedloop.doctor.computer import Computer, this_computer
from closedloop.doctor.data import Plan
from closedloop.doctor.finding import Finding, Mend, State, counts, worst_first
from closedloop.protocol import Protocol
from closedloop.recording import row_dtype
from closedloop.recording.layout import DType
from closedloop.request import Request
from closedloop.rig import Rig
from closedloop.steps import STEP

__all__ = [
    "STEPS",
    "Computer",
    "Finding",
    "Mend",
    "Plan",
    "State",
    "counts",
    "examine",
    "plan_of",
    "this_computer",
    "worst_first",
]

STEPS = 6  # calls of `examine`'s `done`
_RATE_HZ, _LASTS_S = 130.0, 3600.0


def plan_of(out: Path, protocol: Protocol | None = None, rig: Rig | None = None) -> Plan:
    """What would be recorded: the protocol's whole length, or an hour; at the rig's rate, or at 130 Hz.

    Raises:
        ConfigError: the protocol can't be run on the rig at all.
    """
    rate_hz = rig.daq.rate if rig else _RATE_HZ
    lasts_s = protocol.lasts_s if protocol else _LASTS_S
    what = f"'{protocol.name}', {_time(lasts_s)}" if protocol else _time(lasts_s)
    step = _step_type(protocol, rig, out) if protocol and rig else STEP
    return Plan(out, rate_hz, row_dtype(step), lasts_s, f"{what} at {rate_hz:g} readings/s")


def _time(seconds: float) -> str:
    return f"{seconds / 60:.3g} min" if seconds >= 60 else f"{seconds:.3g} s"


def _step_type(protocol: Protocol, rig: Rig, out: Path) -> DType:
    """What the protocol's parts show of themselves is recorded, too."""
    from closedloop.loop import Loop

    request = Request(protocol=protocol, rig=rig, out=out, seed=0)
    plan = protocol.plan(request.limits, rig.full_power_mw, rig.photometry, request.setting)
    return Loop(plan, rate_hz=rig.daq.rate, nano_units=1).step_type


def examine(
    computer: Computer, plan: Plan, rig: Rig | None = None, done: Callable[[], object] = lambda: None
) -> list[Finding]:
    """Everything, worst first. It takes 4 s, more on a slow disk, and 4 s more for each board that is silent.

    Args:
        computer: the one it runs on: measurements are of that one.
        plan: what is to be recorded, and where.
        rig: whose ports are opened; None opens none. Opening a port restarts an Arduino Uno.
        done: called after each of STEPS parts.
    """
    found: list[Finding] = []
    for part in _parts(computer, plan, rig):
        found += part
        done()
    return worst_first(found)


def _parts(computer: Computer, plan: Plan, rig: Rig | None) -> Iterator[list[Finding]]:
    yield rig_ports.findings(rig) if rig else []
    waiting = getattr(rig, "waiting", None)
    yield [*ports.findings(computer), *power.findings(computer, waiting), *rights.findings(computer)]
    yield [timing.virtual(computer), *load.findings(computer), timing.clock_source(computer)]
    yield [timing.clock(computer, measure.clock_steps()), _wake_ups(computer, plan)]
    yield _data(computer, plan)
    yield program.findings(computer)


def _wake_ups(computer: Computer, plan: Plan) -> Finding:
    ordinary = measure.wake_ups()
    with computer.real_time() as refused:
        first = measure.wake_ups() if refused is None else None
    return timing.wake_ups(computer, ordinary, plan.rate_hz, first)


def _data(computer: Computer, plan: Plan) -> list[Finding]:
    folder = data.there(plan.folder)
    look = measure.disk(folder, plan.dtype)
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        free = None
    return [
        data.kind(computer, folder),
        data.cloud(plan.folder.expanduser().resolve()),
        data.space(plan, free),
        data.speed(plan, look),
        data.locks(look),
    ]
