"""Session folders of a virtual animal, made without ports or processes: for anchors and for the report of a study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from closedloop.anchor import Photometry
from closedloop.loop import Loop
from closedloop.policies.closed_loop import ClosedLoop
from closedloop.protocol import Protocol, load_protocol
from closedloop.readings import READING, Readings
from closedloop.recording import RecordingWriter, row_dtype
from closedloop.rig import load_rig
from closedloop.simulation.animal import Animal, VirtualAnimal
from closedloop.simulation.animal_model import Phase, State
from closedloop.yaml_file import dump

RATE_HZ = 130.0
PHOTOMETRY = Photometry(sensor="GCaMP6f", fibre="VP-left", signal_power=0.03, control_power=0.02)


def protocol(phase: str = "baseline", **changes: Any) -> Protocol:
    """The shipped baseline protocol, with a shorter warm-up and presence window so that twelve minutes are enough."""
    loaded = load_protocol("baseline", ["warm_up=2 min", "quality.presence_window=30 s"])
    return loaded.model_copy(update={"phase": phase, **changes})


def animal_readings(
    state: State, *, minutes: float, seed: int, coupling: float = 1.0, ratio: float = 0.0, light: Any = None
) -> tuple[Readings, int]:
    """Readings of an animal in one state, and their scale.

    Args:
        state: of the neurons.
        minutes: how long.
        seed: of everything random.
        coupling: part of the light that comes through, in both channels.
        ratio: shift of ln(signal / control) that has nothing to do with neurons: what differs between days.
        light: part of full light at each reading; None for darkness.
    """
    plain = Animal()
    bright = {
        "signal": plain.converter.signal * coupling * float(np.exp(ratio)),
        "control": plain.converter.control * coupling,
    }
    animal = Animal(
        states={"only": state},
        sequence=(Phase(state="only", lasts=36_000.0),),
        converter=plain.converter.model_copy(update=bright),
    )
    virtual = VirtualAnimal(animal, RATE_HZ, seed)
    return virtual.run(np.zeros(round(minutes * 60 * RATE_HZ)) if light is None else light), virtual.nano_units


def session(
    folder: Path,
    readings: Readings,
    nano_units: int,
    *,
    subject: str = "M17",
    ran: Protocol | None = None,
    photometry: Photometry | None = PHOTOMETRY,
    day: int = 1,
    delivers: bool = False,
) -> Path:
    """A finished session folder with these readings, and the rows that a live run would have written."""
    ran = ran or protocol()
    if delivers:
        ran = ran.model_copy(update={"policy": ClosedLoop(refractory=5.0)})
    rig = load_rig("simulated").model_copy(update={"photometry": photometry})
    limits = ran.plan(_limits(), rig.full_power_mw)
    loop = Loop(limits, rate_hz=RATE_HZ, nano_units=nano_units)
    steps = loop.run(readings)
    header = {
        "started": f"2026-03-{day:02d}T10:00:00+01:00",
        "subject": subject,
        "protocol_name": ran.name,
        "condition": ran.condition,
        "protocol": ran.model_dump(mode="json"),
        "rig": rig.model_dump(mode="json"),
        "hashes": {"protocol": "-"},
        "seed": 1,
        "decisions": [*ran.policy.decisions, "test"],
        "limits": _limits()._asdict(),
        "full_power_mw": rig.full_power_mw,
        "rate_mhz": round(RATE_HZ * 1000),
        "nano_units": nano_units,
        "input_names": [],
    }
    folder.mkdir(parents=True)
    dtype = row_dtype(loop.step_type)
    writer = RecordingWriter.open(folder, header=header, protocol=dump(ran), rig=dump(rig), dtype=dtype)
    rows = np.zeros(len(readings), dtype)
    for source in (readings, steps):
        for name in source.dtype.names or ():
            rows[name] = source[name]
    writer.append(rows)
    fired = np.flatnonzero((steps["decision"] != 0) & (steps["refused"] == 0)) if delivers else ()
    for at in fired:
        told = {"train": int(steps["train"][at]), "value": 300.0}
        writer.event("light_on", ticks=int(readings["ticks"][at]), host_ns=0, **told)
    writer.close({"ended": "completed", "reason": "test"})
    return folder


def csv_file(path: Path, readings: Readings, nano_units: int) -> Path:
    """The same readings as a plain CSV."""
    signal = (readings["signal_lit"].astype(np.int64) - readings["signal_dark"]) * nano_units / 1e9
    control = (readings["control_lit"].astype(np.int64) - readings["control_dark"]) * nano_units / 1e9
    table = np.column_stack([readings["ticks"] / 1e6, signal, control])
    np.savetxt(path, table, delimiter=",", header="time_s,signal,control", comments="", fmt="%.9f")
    return path


def noise_readings(minutes: float, seed: int = 0) -> Readings:
    """White noise on a steady level: a fibre in nothing."""
    count = round(minutes * 60 * RATE_HZ)
    random = np.random.default_rng(seed)
    readings = np.zeros(count, READING)
    readings["ticks"] = np.rint(np.arange(count) * 1e6 / RATE_HZ)
    readings["seq"] = np.arange(count)
    readings["signal_lit"] = np.rint(9000 + 40 * random.standard_normal(count))
    readings["control_lit"] = np.rint(8000 + 40 * random.standard_normal(count))
    return readings


def _limits() -> Any:
    from closedloop.limits import effective

    return effective(lease_s=0.25)
