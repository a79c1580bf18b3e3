"""What a rig's light does to its signal: measured, judged, and written down. It gives real light, and ends dark.

The fibre is in a fluorescent slab; a simulated rig has one in place of its animal.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from closedloop.analysis.artefact import Found, Take, measure
from closedloop.artefact import LEAST_PULSES, Artefact
from closedloop.errors import ConfigError, DeviceError, RecordingError
from closedloop.rig import Rig
from closedloop.selftest.artefact_light import Hearer, Plan, Wish, plan, procedure, take
from closedloop.selftest.boards import drive, in_force, opened
from closedloop.selftest.record import Record
from closedloop.simulation.slab import slab


class Measurement(NamedTuple):
    """What was given, what came, and what is to be made of it."""

    rig: Rig
    light: Plan
    take: Take
    found: Found

    @property
    def exit_code(self) -> int:
        """0 if a template was learned and the light's traces end in time, else 3."""
        good = self.found.is_over and self.found.pulses >= LEAST_PULSES
        return 0 if good else DeviceError.exit_code


def planned(rig: Rig, wish: Wish) -> Plan:
    """The light that would be given; nothing is opened.

    Raises:
        ConfigError: the rig gives no light, or none like this.
    """
    limits = in_force(rig)
    if limits is None:
        raise ConfigError("stimulator: this rig gives no light, so it has no artefact; choose a rig with a stimulator")
    return plan(wish, limits, rig.daq.rate)


def announcement(rig: Rig, light: Plan) -> list[str]:
    """What a person must know before the light comes on."""
    percent, power_mw = light.level / 655.35, rig.power_of(light.level / 65_535)
    power = "" if power_mw is None else f", {power_mw:.2g} mW"
    dose = (
        f"{light.pulses} pulses of {light.on_us / 1e3:.4g} ms at {percent:.3g} % of full power{power}, one every "
        f"{light.period_s:.3g} s; {light.lit_s:.3g} s of light in all, {_duration(light.lasts_s)}."
    )
    return [
        "LIGHT WILL BE GIVEN. No animal on the fibre: put its tip into a fluorescent slab, photometry light on.",
        dose,
        "Ctrl-C ends it, dark.",
    ]


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s"


def run(rig: Rig, light: Plan, done: Callable[[], None] = lambda: None, seed: int = 0) -> Measurement:
    """Give the pulses and measure; the stimulator is told to go dark at the end, whatever the end is.

    Args:
        rig: on its own ports, or simulated.
        light: of `planned`.
        done: called after each pulse.
        seed: of a simulated rig.

    Raises:
        DeviceError: a board could not be opened, was lost, or gives no light; or there is no signal.
    """
    if rig.simulation is not None:
        still = rig.simulation.model_copy(update={"animal": slab(rig.simulation.animal)})
        rig = rig.model_copy(update={"simulation": still})
    with opened(rig, seed) as boards:
        record = Record(rig.daq.rate, boards.settings, boards.limits, is_one_board=boards.stimulator is boards.daq)
        bench = Hearer(record, boards.daq, boards.stimulator, time.perf_counter_ns)
        drive(bench, boards, procedure(bench, light, done))
    seen = take(bench, light, boards.settings)
    try:
        return Measurement(rig, light, seen, measure(seen))
    except RecordingError as error:
        raise DeviceError(f"{error}; is the tip in the slab, are the LEDs on, is the detector connected?") from error


def artefact(measured: Measurement, now: datetime, data: Path) -> Artefact | None:
    """The file's content; None where the light's traces outlast what was looked at.

    Args:
        measured: of `run`.
        now: when.
        data: the file with the readings, already written.
    """
    rig, light, found = measured.rig, measured.light, measured.found
    if found.signal.course is None or (found.control is not None and found.control.course is None):
        return None
    return Artefact(
        rig=rig.name,
        measured=now,
        wavelength=rig.light.wavelength if rig.light else None,
        level=light.level / 65_535,
        power=rig.power_of(light.level / 65_535),
        on=light.on_us / 1e6,
        rate=measured.take.rate_hz,
        pulses=found.pulses,
        left_out=found.left_out + light.pulses - len(measured.take.pulses_us),
        signal=found.signal.course,
        control=found.control.course if found.control else None,
        data=data.name,
        sha256=hashlib.sha256(data.read_bytes()).hexdigest(),
        made_by=f"closedloop {version('closedloop')}",
    )


class Written(NamedTuple):
    """The files of one measurement; no artefact where none could be measured."""

    artefact: Path | None
    picture: Path
    figures: Path
    data: Path


def write(measured: Measurement, folder: Path, now: datetime) -> Written:
    """Readings, artefact, picture and figures as files in a folder.

    Raises:
        ConfigError: they cannot be written.
    """
    from closedloop.selftest.artefact_figure import save

    stem = f"artefact_{measured.rig.name}_{now:%Y%m%dT%H%M%S}"
    data, picture, figures = (folder / f"{stem}{end}" for end in (".npz", ".svg", ".json"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        seen = measured.take
        np.savez_compressed(
            data,
            readings=seen.readings,
            pulses_us=seen.pulses_us,
            rate_hz=seen.rate_hz,
            nano_units=seen.nano_units,
        )
        made = artefact(measured, now, data)
        where = folder / f"{stem}.yaml" if made else None
        if made and where:
            made.save(where)
        save(measured.found, seen.rate_hz, f"{measured.rig.name}, {now:%Y-%m-%d %H:%M}", picture)
        figures.write_text(json.dumps(as_dict(measured) | {"rig": measured.rig.model_dump(mode="json")}, indent=1))
    except OSError as error:
        raise ConfigError(f"--out: {folder}: cannot be written ({error.strerror}); choose another folder") from error
    return Written(where, picture, figures, data)


def as_dict(measured: Measurement) -> dict[str, Any]:
    """Plain values for JSON."""
    found = measured.found
    channels = {"signal": found.signal} | ({"control": found.control} if found.control else {})
    return {
        "exit_code": measured.exit_code,
        "pulses": found.pulses,
        "left_out": found.left_out + measured.light.pulses - len(measured.take.pulses_us),
        "learned": found.pulses >= LEAST_PULSES,
        "over": found.is_over,
        "recovery_s": max(channel.course.recovery for channel in channels.values() if channel.course)
        if found.is_over
        else None,
        "light": measured.light._asdict(),
        "channels": {
            name: None if one.course is None else one.course.model_dump(mode="python") for name, one in channels.items()
        },
    }


def lines(measured: Measurement) -> list[str]:
    """For people: each channel, then what follows from it."""
    found, after_s = measured.found, measured.light.after_s
    said = [f"{found.pulses} of {measured.light.pulses} pulses measured"]
    for name, one in (("signal", found.signal), ("control", found.control)):
        if one is None:
            continue
        if one.course is None:
            said.append(f"{name:<8} not back within {after_s:g} s after light")
            continue
        course = one.course
        decay = "" if course.decay is None else f", decays with {course.decay * 1e3:.3g} ms"
        full = f"; SATURATED in {course.saturated} pulses" if course.saturated else ""
        size = f"{course.size_dff * 100:.2g} % dF/F under light ({course.size / course.sigma:.2g} sigma)"
        back = f"99 % of pulses back within 1 sigma {course.recovery * 1e3:.4g} ms after light"
        said.append(f"{name:<8} {size}{decay}; {back}{full}")
    return [*said, _verdict(measured)]


def _verdict(measured: Measurement) -> str:
    found = measured.found
    if not found.is_over:
        return (
            f"not measured: give it longer, such as --after {5 * measured.light.after_s:g}s; no artefact file written"
        )
    if found.pulses < LEAST_PULSES:
        return (
            f"not enough: {found.pulses} pulses, and a template is learned from {LEAST_PULSES}; the recovery time is "
            "rough, and nothing will be taken away from what is shown"
        )
    return "learned: give the file to the rig as 'artefact: FILE'"
