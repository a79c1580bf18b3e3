"""Makes simulated.json again: the anchor of a virtual animal, from five drug-free sessions on the simulated rig.

    python configs/anchors/make_simulated.py [FILE]

It does in a minute what would take five times half an hour: `closedloop run baseline --rig simulated`, and then
`closedloop anchor` over the sessions. Nothing of it is an animal's.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from closedloop import cli
from closedloop.protocol import load_protocol
from closedloop.readings import Readings
from closedloop.rig import load_rig
from closedloop.simulation.animal import Animal, VirtualAnimal

FILE = Path(__file__).with_name("simulated.json")
DAYS = 5
RATIO_SD = 0.01  # of ln(470 / 405) from day to day: how well a ratio comes back after plugging in again (invented)
LIGHT_SD = 0.05  # of the light that comes through, in both channels alike


def animal(day: int) -> Animal:
    """The animal of the preset `withdrawal` before it: its baseline alone, as plugged in on that day."""
    calm = Animal.model_validate({"preset": "withdrawal"})
    random = np.random.default_rng(day)
    through, ratio = np.exp(LIGHT_SD * random.standard_normal()), np.exp(RATIO_SD * random.standard_normal())
    bright = {"signal": calm.converter.signal * through * ratio, "control": calm.converter.control * through}
    return calm.model_copy(
        update={
            "sequence": (calm.sequence[0].model_copy(update={"lasts": 36_000.0}),),
            "converter": calm.converter.model_copy(update=bright),
        }
    )


def save(path: Path, readings: Readings, nano_units: int) -> None:
    """A plain CSV, in the units of a recording."""
    signal, control = (
        (readings[f"{name}_lit"].astype(np.int64) - readings[f"{name}_dark"]) * nano_units / 1e9
        for name in ("signal", "control")
    )
    table = np.column_stack([readings["ticks"] / 1e6, signal, control])
    np.savetxt(path, table, delimiter=",", header="time_s,signal,control", comments="", fmt="%.9f")


def make(file: Path) -> int:
    """The anchor, into a file that is not there yet; the exit code of `closedloop anchor`."""
    protocol, rig = load_protocol("baseline"), load_rig("simulated")
    if rig.photometry is None:
        raise SystemExit("the simulated rig does not say what it measures with; give it a photometry section")
    said = rig.photometry
    options = ["--protocol", "baseline", "--subject", "virtual", "--sensor", said.sensor, "--fibre", said.fibre]
    powers = ["--signal-power", f"{said.signal_power} mW", "--control-power", f"{said.control_power} mW"]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # so that the anchor names its sessions without a place on this computer
        names = [f"virtual_day_{day}.csv" for day in range(1, DAYS + 1)]
        for day, name in enumerate(names, 1):
            virtual = VirtualAnimal(animal(day), rig.daq.rate, seed=day)
            save(Path(name), virtual.run(np.zeros(round(protocol.lasts_s * rig.daq.rate))), virtual.nano_units)
        code = cli.main(["anchor", *names, "--out", str(file), *options, *powers])
        os.chdir(file.parent)
    return code


if __name__ == "__main__":
    sys.exit(make(Path(sys.argv[1] if sys.argv[1:] else FILE).resolve()))
