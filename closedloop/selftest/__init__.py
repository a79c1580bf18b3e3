"""The self-test of a rig: how soon, how long, and whether light goes out. It gives real light, and ends dark.

The light is a few short pulses at a quarter of full power, within the rig's limits. Nothing of it is meant for an
animal: the fibre belongs out of it, into a beam dump or in front of a photodiode.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from closedloop.errors import DeviceError
from closedloop.rig import Rig
from closedloop.selftest.bench import Bench
from closedloop.selftest.boards import drive, in_force, opened
from closedloop.selftest.check import Check
from closedloop.selftest.figure import figure
from closedloop.selftest.measured import measured
from closedloop.selftest.procedure import plan, procedure
from closedloop.selftest.record import Record
from closedloop.selftest.safety import safety

__all__ = ["Check", "Result", "announcement", "checks", "exit_code", "lines", "selftest", "write"]

TRAINS = 20
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
    limits = in_force(rig)
    if limits is None:
        return ["this rig has no stimulator: the self-test gives no light"]
    light = plan(limits, rig.daq.rate, trains)
    percent, power_mw = light.level / 655.35, rig.power_of(light.level / 65_535)
    power = "" if power_mw is None else f", {power_mw:.2g} mW"
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
    with opened(rig, seed) as boards:
        record = Record(rig.daq.rate, boards.settings, is_one_board=boards.stimulator is boards.daq)
        if boards.stimulator is not None and boards.limits is not None:
            record.limits = boards.limits
            record.plan = plan(boards.limits, boards.settings.rate_mhz / 1000, trains)
        bench = Bench(record, boards.daq, boards.stimulator, time.perf_counter_ns)
        drive(bench, boards, procedure(bench, say))
    return Result(record, checks(record))


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
