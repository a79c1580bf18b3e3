"""An animal's drug-free reference: its level, rate and gain, frozen and hashed. Nothing is measured here.

A session by itself cannot tell a tonic shift: z-scores and fits with an intercept take any constant offset out
(SCIENCE 1.7). So level, rate and gain are compared with what several drug-free sessions of the same animal, through
the same fibre, with the same sensor under the same light gave. `analysis.anchoring` makes one; here is what it says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from closedloop import plain_file
from closedloop.errors import ConfigError, RecordingError
from closedloop.model import FROM_FILE, Fraction, Hertz, Milliwatts, Model, Rate, Seconds

LEAST_SESSIONS = 3
MOST_BUSY = 0.9
_POWER_TOLERANCE = 0.05  # of LED power at the tip; a ratio of channels moves with it one to one


class Photometry(Model):
    """What a signal is measured with; a level can only be compared between sessions in which all of it is the same."""

    sensor: str = Field(min_length=1, max_length=80, examples=["GCaMP6f"], description="Indicator, with its lot.")
    fibre: str = Field(min_length=1, max_length=80, examples=["VP-left"], description="Which implanted fibre.")
    signal_power: Milliwatts = Field(gt=0, le=10, description="470 nm LED at the tip of the patch cord.")
    control_power: Milliwatts | None = Field(None, gt=0, le=10, description="405 nm LED at the tip of the patch cord.")
    signal_dark: float = Field(
        0.0, description="Signal with the cord in the dark, LEDs on, in the recording's units: autofluorescence."
    )
    control_dark: float = Field(0.0, description="The same of the control.")

    def mismatches(self, other: Photometry) -> list[str]:
        """What differs so much that levels cannot be compared, as 'sensor: GCaMP6f, not GCaMP8m'."""
        said = [
            f"{name}: {getattr(other, name)}, not {getattr(self, name)}"
            for name in ("sensor", "fibre")
            if getattr(self, name) != getattr(other, name)
        ]
        for name in ("signal_power", "control_power"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if (mine is None) != (theirs is None) or (mine and abs(theirs / mine - 1) > _POWER_TOLERANCE):
                said.append(f"{name}: {_milliwatts(theirs)}, not {_milliwatts(mine)}")
        return said


def photometry_of(header: Mapping[str, Any], source: str) -> Photometry | None:
    """What a session's rig said it measures with, if it did; `source` is for messages.

    Raises:
        RecordingError: what it said cannot be read.
    """
    said = (header.get("rig") or {}).get("photometry")
    if said is None:
        return None
    try:
        return Photometry.model_validate(said, context=FROM_FILE)
    except ValidationError as error:
        raise RecordingError(f"{source}: its rig's photometry cannot be read: {error.errors()[0]['msg']}") from error


def _milliwatts(power: float | None) -> str:
    return "not given" if power is None else f"{power:g} mW"


class Level(Model):
    """The tonic level: ln((F470 - D470) / (F405 - D405))."""

    mean: float = Field(description="Mean of the sessions' means.")
    between: float = Field(ge=0, description="SD of the sessions' means.")
    within: float = Field(gt=0, description="SD of one-second means about their session's slow course.")
    correlation: Seconds = Field(gt=0, description="Correlation time of those.")
    smallest_shift: float = Field(gt=0, description="Smallest shift of one session that can be told, in ln units.")
    sessions: tuple[float, ...] = Field(min_length=LEAST_SESSIONS, description="The sessions' means.")


class Events(Model):
    """Transients of the feature chain: what counts as one, how many there are, and how large they are."""

    size: Fraction = Field(gt=0, description="An event begins where the chain's number rises through this.")
    release: Fraction = Field(description="... and is over where it falls below this.")
    rate: Rate = Field(ge=0, description="Mean of the sessions.")
    rates: tuple[Rate, ...] = Field(min_length=LEAST_SESSIONS, description="The sessions' rates.")
    count: int = Field(ge=0, description="Events in all sessions.")
    busy: Fraction = Field(
        0.0, ge=0, le=MOST_BUSY, description="Part of the time in which one was up, so none could begin."
    )
    log_mean: float | None = Field(None, description="Mean of ln(peak amplitude).")
    log_sd: float | None = Field(None, ge=0, description="Its SD.")
    log_means: tuple[float, ...] = Field((), description="That mean of each session that has peaks.")
    log_counts: tuple[int, ...] = Field((), description="Of how many peaks each of those is.")
    quantiles: dict[str, Fraction] = Field(
        default_factory=dict, description="Peak amplitude by percent of events: '10', '25', '50', '75', '90', '95'."
    )


class Noise(Model):
    """Autoregressive model of the feature chain: x[t] = sum(coefficients[i] x[t-1-i]) + innovation."""

    rate: Hertz = Field(gt=0, description="Readings a second it was fitted at.")
    coefficients: tuple[float, ...] = Field(min_length=1, max_length=64, description="Of the last reading first.")
    sd: float = Field(gt=0, description="SD of the innovations.")


class Session(Model):
    """One drug-free session that the anchor is made of."""

    source: str = Field(description="Where it was read from.")
    started: str | None = Field(None, description="Date and time, where the recording says so.")
    sha256: str = Field(description="Of its readings.")
    minutes: float = Field(gt=0, description="Clean sample time after warm-up.")


class Anchor(Model):
    """One animal, one fibre, one sensor."""

    format: Literal["closedloop-anchor"] = Field("closedloop-anchor", description="What this file is.")
    version: Literal[1] = Field(1, description="Of this file's format.")
    subject: str = Field(min_length=1, max_length=80, description="The animal.")
    photometry: Photometry = Field(description="What its sessions were measured with.")
    features: tuple[dict[str, Any], ...] = Field(description="The chain whose events and noise are told.")
    warm_up: Seconds = Field(300.0, ge=0, description="Left out from each session's start: bleaching is fastest there.")
    level: Level | None = Field(description="None of recordings without a control.")
    events: Events = Field(description="Transients of that chain.")
    noise: Noise = Field(description="Noise of that chain.")
    sessions: tuple[Session, ...] = Field(min_length=LEAST_SESSIONS, description="What it is made of.")
    made_by: str = Field("", description="Program and version.")
    sha256: str = Field("", description="Of all the rest.")

    @model_validator(mode="after")
    def _is_as_it_was_made(self) -> Self:
        if self.sha256 and self.sha256 != self.digest():
            raise ValueError("an anchor is frozen, and this one was changed after it was made; make it anew")
        return self

    def digest(self) -> str:
        """SHA-256 of all but the digest itself, in hex."""
        said = self.model_dump(mode="json", exclude={"sha256"})
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    def frozen(self) -> Anchor:
        """The same, with its digest."""
        return self.model_copy(update={"sha256": self.digest()})

    def tells_of(self, features: Sequence[Model]) -> bool:
        """Whether its events and noise are those of this chain, field by field."""
        return [feature.model_dump(mode="json") for feature in features] == list(self.features)

    @property
    def chain(self) -> str:
        """The chain it tells of, for people."""
        return ", ".join(str(feature.get("kind")) for feature in self.features)

    def mismatches(self, subject: str | None, photometry: Photometry | None) -> list[str]:
        """Why sessions of this animal on this rig cannot be compared with the anchor; nothing if they can."""
        said = []
        if subject not in (None, self.subject):
            said.append(f"subject: {subject}, not {self.subject}; use this animal's own anchor")
        if photometry is None:
            return [*said, "the rig does not say what it measures with; give it a photometry section"]
        others = self.photometry.mismatches(photometry)
        return said + [f"{one}; use an anchor made with the same, or set the rig as it was" for one in others]

    def save(self, path: Path) -> None:
        """Write it, never over another file.

        Raises:
            ConfigError: the file is there already, or cannot be written.
        """
        text = json.dumps(self.frozen().model_dump(mode="json"), indent=1, ensure_ascii=False)
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text + "\n")
        except FileExistsError as error:
            raise ConfigError(f"{path}: is there already, and an anchor is frozen; choose another name") from error
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written ({error.strerror}); choose another place") from error


def read(path: Path) -> Anchor:
    """The anchor in a file.

    Raises:
        ConfigError: there is none, or it was changed after it was made.
    """
    try:
        data = json.loads(plain_file.read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else "not JSON"
        raise ConfigError(f"{path}: cannot be read as an anchor ({why}); make one with closedloop anchor") from error
    if not isinstance(data, dict) or data.get("format") != "closedloop-anchor" or not data.get("sha256"):
        raise ConfigError(f"{path}: is no anchor; make one with closedloop anchor")
    if data.get("version") != 1:
        said = f"is an anchor of version {data.get('version')}, and this program reads version 1"
        raise ConfigError(f"{path}: {said}; use the program that made it, or make it anew")
    try:
        return Anchor.model_validate(data, context=FROM_FILE)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        remedy = "" if "make it anew" in said else "; an anchor is never changed by hand, make it anew"
        raise ConfigError(f"{path}: {place}: {said}{remedy}" if place else f"{path}: {said}{remedy}") from error
