"""Level, rate and gain of one recording, by the kernels that run live. Nothing is compared here.

A recording is run through a chain of features as the loop runs it. What is left out: warm-up, readings under a veto,
and our own light with its recovery. What is left gives three numbers, each by itself (SCIENCE 1.7):

    level   mean of ln((F470 - D470) / (F405 - D405)), D being what the cord gives in the dark (`level_course`)
    rate    events a minute: the chain's number rises through a fixed size
    gain    median height of those events
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import TypeAdapter, ValidationError

from closedloop import formats
from closedloop.analysis.estimates import Bools, Estimate, Floats, poisson, typical
from closedloop.analysis.level_course import Course, course_of, has_structure
from closedloop.anchor import Photometry, photometry_of
from closedloop.detectors.threshold import Threshold
from closedloop.errors import ConfigError, RecordingError
from closedloop.features import Feature
from closedloop.limits import effective
from closedloop.loop import Loop, Plan
from closedloop.model import FROM_FILE, OneOf
from closedloop.online.events import events_in
from closedloop.policies.sham import Sham
from closedloop.protocol import Protocol, needs_control
from closedloop.readings import FLAG_LIGHT, Readings, Stream
from closedloop.recording import Recording
from closedloop.steps import PLANNED, VALID, WARM
from closedloop.watching.planned import planned_in

ROBUST = 1.4826  # MAD to SD, for a normal distribution
_MOST_CUT = 0.1  # part of the events whose end was not seen, above which the others are too small a choice

Chain = tuple[Feature, ...]
_CHAIN: TypeAdapter[Chain] = TypeAdapter(tuple[Annotated[Feature, OneOf("closedloop.features")], ...])


@dataclass(frozen=True)
class Trace:
    """A recording as a chain of features makes it.

    Attributes:
        source: folder or file, for messages.
        subject: the animal; None if nobody says.
        started: date and time, where the recording says so.
        phase: of the study.
        photometry: what it was measured with; None if nobody says.
        rate_hz: readings a second.
        sha256: of the readings.
        trains: how many trains of light were delivered; planned, where the session is blinded.
        blinded: whether the arm is not to be seen.
        features: the chain.
        warm_up_s: left out from the start.
        values: the chain's number at each reading.
        clean: which readings count.
        course: the level; None without a control channel, or where it is not positive.
        present: whether the signal is more than white noise.
    """

    source: str
    subject: str | None
    started: str | None
    phase: str
    photometry: Photometry | None
    rate_hz: float
    sha256: str
    trains: int
    blinded: bool
    features: Chain
    warm_up_s: float
    values: Floats
    clean: Bools
    course: Course | None
    present: bool

    @property
    def minutes(self) -> float:
        """Clean sample time."""
        return float(np.count_nonzero(self.clean)) / self.rate_hz / 60

    @property
    def scatter(self) -> float:
        """Robust SD of the chain's number."""
        kept = self.values[self.clean]
        return ROBUST * float(np.median(np.abs(kept - np.median(kept)))) if len(kept) else 0.0


@dataclass(frozen=True)
class Activity:
    """Events of one recording.

    Attributes:
        count: how many began.
        minutes: in how much clean sample time.
        peaks: height of those whose end was seen.
    """

    count: int
    minutes: float
    peaks: Floats

    @property
    def rate(self) -> Estimate:
        """Events a minute, with the exact Poisson interval."""
        return poisson(self.count, self.minutes)

    @property
    def gain(self) -> Estimate | None:
        """Median height, see `typical`; None where light or a veto cut more than a tenth of the events short."""
        return None if self.count - len(self.peaks) > max(1, _MOST_CUT * self.count) else typical(self.peaks)


class How(NamedTuple):
    """How recordings are to be read; what is None comes from the recording itself.

    Attributes:
        protocol: its quality rules and, unless they are given, its chain and warm-up.
        features: the chain.
        warm_up_s: left out from the start.
        subject: the animal.
        phase: of the study.
        photometry: what it was measured with, of a recording that does not say.
    """

    protocol: Protocol | None = None
    features: Chain | None = None
    warm_up_s: float | None = None
    subject: str | None = None
    phase: str | None = None
    photometry: Photometry | None = None


def trace(path: Path, how: How) -> Trace:
    """One recording through the chain.

    Args:
        path: a session folder, or a file of any known format.
        how: what to take in place of what the recording says.

    Raises:
        RecordingError: it cannot be read.
        ConfigError: what it does not say is not given either; or the chain cannot be used on it.
    """
    recording = Recording.open(path) if path.is_dir() else None
    true = recording.sealed() if recording else None  # a blinded session, too, is measured as it was
    stream = true.stream if true else formats.read(path)
    protocol = how.protocol or _protocol_of(path, true)
    if problems := needs_control(protocol, stream):
        raise ConfigError(*problems)
    header = recording.header if recording else {}
    photometry = photometry_of(header, str(path)) or how.photometry
    features = how.features or protocol.anchored_parts()[0]
    warm_up_s = protocol.warm_up if how.warm_up_s is None else how.warm_up_s
    own, trains = _own_light(stream.readings, recording, protocol.recovery)
    steps = _run(stream, own, protocol, features, warm_up_s)
    clean = (steps["bits"] & (VALID | WARM)) == VALID | WARM
    clean &= np.isfinite(steps["feature"])
    return Trace(
        source=str(path),
        subject=header.get("subject") or how.subject,
        started=header.get("started"),
        phase=how.phase or (header.get("protocol") or {}).get("phase") or "-",
        photometry=photometry,
        rate_hz=stream.rate_hz,
        sha256=digest_of(stream.readings),
        trains=trains,
        blinded=recording is not None and bool(recording.blinded),
        features=features,
        warm_up_s=warm_up_s,
        values=steps["feature"].copy(),
        clean=clean,
        course=course_of(stream, clean, photometry),
        present=has_structure(stream.readings, clean, stream.rate_hz),
    )


def activity(traced: Trace, size: float, release: float) -> Activity:
    """Events of a trace; `size` and `release` are those of the chain's number, as in online/events.py."""
    onsets, peaks = events_in(traced.values, traced.clean, traced.rate_hz, size, release)
    return Activity(len(onsets), traced.minutes, peaks[np.isfinite(peaks)])


def chain_from(parts: tuple[dict[str, Any], ...]) -> Chain:
    """Features from what a file says of them.

    Raises:
        ConfigError: this version does not know them.
    """
    try:
        return _CHAIN.validate_python(parts, context=FROM_FILE)
    except ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"features: {said}; was it made with another version?") from error


def _protocol_of(path: Path, recording: Recording | None) -> Protocol:
    if recording is None:
        raise ConfigError(f"{path}: a file says nothing of a chain of features; give --protocol")
    try:
        return Protocol.model_validate(recording.header.get("protocol"), context=FROM_FILE)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RecordingError(
            f"{path}: its protocol cannot be used: {place}: {first['msg']}; give --protocol"
        ) from error


def _own_light(readings: Readings, recording: Recording | None, recovery_s: float) -> tuple[Bools, int]:
    """Readings under light of ours or its recovery, and how many trains were delivered.

    The stimulator's TTL copy in the readings says when; where it is not wired, all that was planned counts as lit. So
    it does in a blinded session, for every arm must come out alike.
    """
    if recording is not None and recording.blinded:
        rows = recording.rows(0, len(readings))
        refused = {event.train for event in recording.events() if event.kind == "refused"}
        planned = sum(one.train not in refused for one in planned_in(rows))
        return (rows["bits"] & PLANNED) != 0, planned
    flagged = (readings["flags"] & FLAG_LIGHT) != 0
    rises = int(np.count_nonzero(np.diff(flagged.astype(np.int8), prepend=0) == 1))
    told = sum(event.kind == "light_on" for event in recording.events()) if recording else 0
    if flagged.any():
        ticks = readings["ticks"]
        last = np.maximum.accumulate(np.where(flagged, ticks, np.iinfo(np.int64).min // 2))
        return ticks - last <= recovery_s * 1e6, told or rises
    if recording is None or not told:
        return flagged, 0
    return (recording.rows(0, len(readings))["bits"] & PLANNED) != 0, told


def _run(stream: Stream, own: Bools, protocol: Protocol, features: Chain, warm_up_s: float) -> Any:
    """Steps of a loop that gives no light: every train is refused, so nothing is left out but what `own` says."""
    readings = stream.readings.copy()
    readings["flags"] |= np.where(own, FLAG_LIGHT, 0).astype(readings["flags"].dtype)
    plan = Plan(
        features=features,
        detector=Threshold(threshold=4.0, release=2.0),  # holds the baselines while an event lasts
        policy=Sham(),
        quality=protocol.quality,
        train=protocol.light,
        level=0,
        limits=effective(lease_s=0.5)._replace(trains_per_minute=0),
        warm_up_s=warm_up_s,
        recovery_s=0.0,
    )
    return Loop(plan, rate_hz=stream.rate_hz, nano_units=stream.nano_units).run(readings)


def digest_of(readings: Readings) -> str:
    """SHA-256 of the readings, field by field: what lies between the fields is nothing."""
    sha = hashlib.sha256()
    for name in readings.dtype.names or ():
        sha.update(np.ascontiguousarray(readings[name]).tobytes())
    return sha.hexdigest()
