"""A session's signal less what its own light adds to it, and a template learned from a session itself.

A template may only be learned where light does nothing else to the signal: without opsin, for real inhibition would be
taken away with the artefact (SCIENCE 4.4); and from trains that no event of the signal called for, for the event would
be taken away as well. Everywhere else the rig's own file is needed, measured in a slab. Recordings stay as they are.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from closedloop.analysis.activity import digest_of
from closedloop.analysis.artefact import Take, measure
from closedloop.artefact import LEAST_PULSES, Artefact, Light, Numbers, less
from closedloop.errors import RecordingError
from closedloop.readings import scale_of
from closedloop.recording import Recording
from closedloop.watching.own_light import part_of, pulses_of

BLIND_TO_THE_SIGNAL = ("open_loop", "yoked", "manual")  # policies whose trains no event of this signal calls for
_BEFORE_S = 1.0


class Cleaned(NamedTuple):
    """Both channels less the template, in the recording's units, beside what was recorded.

    Attributes:
        ticks: of the readings, microseconds.
        signal, control: less the template.
        signal_raw, control_raw: as recorded.
        pulses: delivered pulses whose artefact was taken away.
    """

    ticks: npt.NDArray[np.int64]
    signal: Numbers
    control: Numbers
    signal_raw: Numbers
    control_raw: Numbers
    pulses: int


def delivered(recording: Recording) -> npt.NDArray[np.int64]:
    """First and last light of each delivered pulse, in microseconds on the readings' clock; of shape (pulses, 2)."""
    command = recording.header.get("command") or {}
    began: dict[int | None, int] = {}
    found: list[tuple[int, int]] = []
    for event in recording.events():
        if event.kind == "light_on":
            began[event.train] = event.ticks
        elif event.kind == "light_off" and event.train in began:
            found += pulses_of(command, began.pop(event.train), event.ticks)
    return np.array(found, np.int64).reshape(-1, 2)


def cleaned(recording: Recording, artefact: Artefact) -> Cleaned:
    """What a report may show beside the raw signal.

    Args:
        recording: of a session.
        artefact: the rig's.

    Raises:
        RecordingError: the artefact was not learned from pulses enough, or the readings cannot be read.
    """
    if not artefact.learned:
        raise RecordingError(
            f"{recording.folder}: its artefact was measured with {artefact.pulses} pulses, and a template needs "
            f"{LEAST_PULSES}; measure it anew with closedloop selftest --artefact"
        )
    stream = recording.stream
    scale, rows = scale_of(stream.nano_units), stream.readings
    pulses = delivered(recording)
    light = Light(pulses, stream.rate_hz, part_of(recording.header, artefact))
    signal, control = (
        (rows[f"{name}_lit"].astype(np.float64) - rows[f"{name}_dark"]) * scale for name in ("signal", "control")
    )
    ticks = rows["ticks"]
    return Cleaned(
        ticks,
        less(signal, ticks, artefact, "signal", light),
        less(control, ticks, artefact, "control", light),
        signal,
        control,
        len(pulses),
    )


def own(recording: Recording, after_s: float = 2.0) -> Artefact:
    """A template from a session's own trains.

    Args:
        recording: of an animal without opsin, or of a slab, in which light did not depend on the signal.
        after_s: of the time after each pulse that is looked at.

    Raises:
        RecordingError: light may have done something else to the signal, or there are too few pulses; says why.
    """
    _refuse_what_is_more_than_artefact(recording)
    stream, pulses = recording.stream, delivered(recording)
    found = measure(Take(stream.readings, stream.rate_hz, stream.nano_units, pulses, _BEFORE_S, after_s))
    if found.pulses < LEAST_PULSES:
        said = f"{found.pulses} pulses have all their readings, and a template is learned from {LEAST_PULSES}"
        raise RecordingError(f"{recording.folder}: {said}; record more, or measure the rig's in a slab")
    if found.signal.course is None or (found.control is not None and found.control.course is None):
        said = f"the signal is not back within {after_s:g} s after light"
        raise RecordingError(f"{recording.folder}: {said}; look at more of the time after it")
    header: dict[str, Any] = recording.header
    rig, light = header.get("rig") or {}, header.get("command") or {}
    return Artefact(
        rig=str(rig.get("name", "unknown")),
        measured=datetime.fromisoformat(str(header["started"])),
        level=max(1, int(light.get("level", 65_535))) / 65_535,
        power=header.get("tip_mw"),
        on=float(np.median(pulses[:, 1] - pulses[:, 0])) / 1e6,
        rate=stream.rate_hz,
        pulses=found.pulses,
        left_out=found.left_out,
        signal=found.signal.course,
        control=found.control.course if found.control else None,
        data=recording.folder.name,
        sha256=digest_of(stream.readings),
    )


def _refuse_what_is_more_than_artefact(recording: Recording) -> None:
    protocol = recording.header.get("protocol") or {}
    opsin = (protocol.get("preparation") or {}).get("opsin")
    if opsin != "none":
        said = "its protocol does not say so" if opsin is None else f"this animal has {opsin}"
        raise RecordingError(
            f"{recording.folder}: a template may be learned only from animals without opsin, and {said}: inhibition "
            "would be taken away with the artefact; use the rig's artefact, measured in a slab"
        )
    policies = {str((block.get("policy") or protocol.get("policy") or {}).get("kind")) for block in _blocks(protocol)}
    if contingent := sorted(policies - set(BLIND_TO_THE_SIGNAL)):
        raise RecordingError(
            f"{recording.folder}: with the policy {contingent[0]} light follows events of the signal, which would be "
            f"taken away with the artefact; use a session with {', '.join(BLIND_TO_THE_SIGNAL)}, or the rig's artefact"
        )


def _blocks(protocol: dict[str, Any]) -> list[dict[str, Any]]:
    return list(protocol.get("blocks") or [{}])
