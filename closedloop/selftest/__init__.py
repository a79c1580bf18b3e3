"""The self-test of a rig: how soon, how long, and whether light goes out. It gives real light, and ends dark.

The light is a few short pulses at a quarter of full power, within the rig's limits. Nothing of it is meant for an
animal: the fibre belongs out of it, into a beam dump or in front of a photodiode.
"""

from __future__ import annotations

import contextlib
import gc
import json
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from closedloop import wire
from closedloop.errors import DeviceError
from closedloop.limits import effective
from closedloop.link import Link
from closedloop.port import wait
from closedloop.rig import SIMULATED, Rig
from closedloop.selftest.bench import DAQ, STIMULATOR, Bench
from closedloop.selftest.check import Check
from closedloop.selftest.figure import figure
from closedloop.selftest.measured import measured
from closedloop.selftest.procedure import plan, procedure
from closedloop.selftest.record import Record
from closedloop.selftest.safety import safety
from closedloop.simulation import virtual_rig

__all__ = ["Check", "Result", "announcement", "checks", "exit_code", "lines", "selftest", "write"]

TRAINS = 20
_TURN_S = 0.005
_SAFETY, _DEVICE = 4, DeviceError.exit_code

Say = Callable[[str], None]


def checks(record: Record) -> list[Check]:
    """Every check, in the order in which they are read."""
    return [*measured(record), *safety(record)]


class Result(NamedTuple):
    """What was seen, and what to think of it."""

    record: Record
    checks: list[Check]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"exit_code": exit_code(self.checks), "checks": [check.as_dict() for check in self.checks]}


def announcement(rig: Rig, trains: int = TRAINS) -> list[str]:
    """What a person must know before the light comes on."""
    limits = _limits(rig)
    if limits is None:
        return ["this rig has no stimulator: the self-test gives no light"]
    light = plan(limits, rig.daq.rate, trains)
    percent = light.level / 655.35
    power = f", {percent / 100 * rig.full_power_mw:.2g} mW" if rig.full_power_mw is not None else ""
    widths_ms = [us / 1e3 for us in light.widths_us]
    dose = (
        f"{len(light.widths_us)} pulses of {min(widths_ms):.3g} to {max(widths_ms):.3g} ms and two longer trains, "
        f"at most {light.most_lit_us / 1e6:.2f} s of light in all, at {percent:.0f} % of full power{power}."
    )
    return [
        "LIGHT WILL BE GIVEN. No animal on the fibre: disconnect it, and point it into a beam dump or at a photodiode.",
        dose,
        "Ctrl-C ends it, dark.",
    ]


def selftest(rig: Rig, trains: int = TRAINS, say: Say = lambda _: None, seed: int = 0) -> Result:
    """Run the self-test; the stimulator is told to go dark at the end, whatever the end is.

    Args:
        rig: on its own ports, or simulated.
        trains: pulses to be measured; the limits may allow fewer in a minute.
        say: called with one line a step.
        seed: of a simulated rig.

    Raises:
        DeviceError: a board could not be opened, was lost, restarted, or speaks another version.
    """
    with contextlib.ExitStack() as opened:
        daq_port, stimulator_port = opened.enter_context(_ports(rig, seed))
        daq = rig.daq.open(daq_port)
        opened.callback(daq.close)
        limits = _limits(rig)
        stimulator = None
        if stimulator_port is not None and limits is not None:
            stimulator = rig.stimulator.open(stimulator_port, limits, daq if stimulator_port == daq_port else None)
        if stimulator is not None:
            opened.callback(stimulator.close)
            opened.callback(_dark, stimulator)
        settings, early = rig.daq.start(daq)
        record = Record(rig.daq.rate, settings, is_one_board=stimulator is daq)
        if stimulator is not None and limits is not None:
            record.limits, record.plan = limits, plan(limits, settings.rate_mhz / 1000, trains)
        bench = Bench(record, daq, stimulator, time.monotonic_ns)
        bench.heard(DAQ, early, time.monotonic_ns())
        _drive(bench, daq, stimulator, say)
        record.damaged = sum(link.damaged for link in {daq, stimulator} if link is not None)
    return Result(record, checks(record))


def _limits(rig: Rig) -> wire.Limits | None:
    return effective(rig.limits, lease_s=rig.stimulator.lease) if rig.stimulator.wired_to is not None else None


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


def _drive(bench: Bench, daq: Link, stimulator: Link | None, say: Say) -> None:
    """Turn by turn until the procedure is over; a collection of garbage would show as a late heartbeat."""
    links = {DAQ: daq} | ({STIMULATOR: stimulator} if stimulator not in (None, daq) else {})
    boards = {id(link.port): (board, link) for board, link in links.items() if link is not None}
    ports = [link.port for _, link in boards.values()]
    gc.collect()
    gc.freeze()
    try:
        for _ in procedure(bench, say):
            for port in wait(ports, _TURN_S):
                board, link = boards[id(port)]
                messages = link.decode(port.read())
                bench.heard(board, messages, time.monotonic_ns())
            bench.turn(time.monotonic_ns())
    finally:
        gc.unfreeze()


def exit_code(found: Sequence[Check]) -> int:
    """0 if all is ok, 4 if a safety check failed, 3 if anything else failed or was not measured."""
    if any(check.safety and check.verdict == "not ok" for check in found):
        return _SAFETY
    return 0 if all(check.verdict == "ok" for check in found) else _DEVICE


def lines(found: Sequence[Check]) -> list[str]:
    """For people."""
    counts = {verdict: sum(check.verdict == verdict for check in found) for verdict in ("ok", "not ok", "not measured")}
    total = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return [*(f"{check.verdict:<13} {check.name:<30} {check.said}" for check in found), total]


def write(result: Result, rig: Rig, folder: Path, now: datetime) -> tuple[Path, Path]:
    """Keep the picture and the figures; returns the two files."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"selftest_{rig.name}_{now:%Y%m%dT%H%M%S}"
    picture, figures = folder / f"{stem}.svg", folder / f"{stem}.json"
    picture.write_text(figure(result.record, result.checks, f"self-test of {rig.name}, {now:%Y-%m-%d %H:%M}"), "utf-8")
    figures.write_text(json.dumps({"rig": rig.model_dump(mode="json"), **result.as_dict()}, indent=1), "utf-8")
    return picture, figures
