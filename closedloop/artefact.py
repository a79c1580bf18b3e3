"""What a rig's own light does to its own signal, measured with the fibre in a fluorescent slab. No I/O of boards here.

Light leaks through the filters, makes fibre, glue and tissue glow for a while after it, and may drive the detector
into saturation (SCIENCE 4). `closedloop selftest --artefact` measures it and writes the file that is read here: how
long the detector needs after light, and the median course of signal and control, to be taken away for display.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationInfo, model_validator

from closedloop.errors import ConfigError
from closedloop.model import Fraction, Hertz, Milliwatts, Model, Nanometres, Seconds
from closedloop.yaml_file import dump, load

LEAST_PULSES = 50  # for a template to be called learned (SCIENCE 4.4)

Numbers = npt.NDArray[np.float64]


class Course(Model):
    """One channel: its level, its noise, and the median over pulses of what light adds to it, reading by reading."""

    level: float = Field(gt=0, description="Median before the pulses, in the recording's units.")
    sigma: float = Field(gt=0, description="SD of one reading before the pulses, in the same units.")
    size: float = Field(ge=0, description="Median departure while lit, in the same units.")
    size_dff: Fraction = Field(ge=0, description="The same as a part of the level.")
    decay: Seconds | None = Field(None, gt=0, description="Until 1/e of what is left at the end of light is left.")
    recovery: Seconds = Field(ge=0, description="99 % of pulses are back within 1 sigma so long after light.")
    saturated: int = Field(0, ge=0, description="Pulses in which the converter's top was reached.")
    lit: tuple[float, ...] = Field(min_length=1, description="What is added to each reading that is lit throughout.")
    after: tuple[float, ...] = Field(min_length=1, description="What is added to each one that is dark throughout.")
    lit_spread: tuple[float, ...] = Field((), description="SD between pulses of each of `lit`.")
    after_spread: tuple[float, ...] = Field((), description="SD between pulses of each of `after`.")


class Artefact(Model):
    """One rig, one light, one pulse: what it leaves behind in the signal."""

    format: Literal["closedloop-artefact"] = Field("closedloop-artefact", description="What this file is.")
    version: Literal[1] = Field(1, description="Of this file's format.")
    rig: str = Field(min_length=1, max_length=80, description="Name of the rig it was measured on.")
    measured: datetime = Field(description="When.")
    wavelength: Nanometres | None = Field(None, gt=0, description="Of the light, where the rig says so.")
    level: Fraction = Field(gt=0, le=1, description="Of the pulses, as part of full power.")
    power: Milliwatts | None = Field(None, gt=0, description="The same at the fibre's tip, where the rig says so.")
    on: Seconds = Field(gt=0, description="How long each pulse was lit.")
    rate: Hertz = Field(gt=0, description="Readings a second.")
    pulses: int = Field(ge=1, description="Pulses that it is the median of.")
    left_out: int = Field(0, ge=0, description="Pulses that were not given, or of which readings are missing.")
    signal: Course = Field(description="470 nm.")
    control: Course | None = Field(None, description="405 nm; none where there is no control.")
    data: str = Field("", description="Name of the file with the readings.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Of that file.")
    made_by: str = Field("", description="Program and version.")

    @model_validator(mode="after")
    def _readings_are_as_long(self) -> Self:
        for name, course in (("signal", self.signal), ("control", self.control)):
            pairs = ((course.lit, course.lit_spread), (course.after, course.after_spread)) if course else ()
            if any(spread and len(spread) != len(values) for values, spread in pairs):
                raise ValueError(f"{name}: a spread has not as many readings as its course; measure the artefact anew")
        return self

    @property
    def recovery(self) -> float:
        """Seconds after light in which the signal is not to be believed: the longer of signal and control."""
        return max(self.signal.recovery, self.control.recovery if self.control else 0.0)

    @property
    def tail(self) -> float:
        """Seconds after light that the courses tell of."""
        return (len(self.signal.after) + 1) / self.rate

    @property
    def learned(self) -> bool:
        """Whether there were pulses enough for a template to be taken away (SCIENCE 4.4)."""
        return self.pulses >= LEAST_PULSES

    @property
    def saturated(self) -> int:
        """Pulses in which a channel reached the converter's top."""
        return max(self.signal.saturated, self.control.saturated if self.control else 0)

    def added(self, course: Course, since: Numbers, on: float, rate: float, part: float = 1.0) -> Numbers:
        """What one pulse adds to readings of a channel, in the recording's units.

        A reading is the mean over the time since the one before: its lit part takes from `lit`, its dark part from
        `after`. A longer pulse than the measured ones is taken to go on as they ended, and a stronger or weaker one
        to add more or less in proportion: true of what leaks and glows, not of a detector that saturates.

        Args:
            course: the channel's.
            since: seconds from the pulse's beginning to the end of each reading.
            on: seconds that it was lit.
            rate: readings a second.
            part: power of the pulse, as a part of the power that was measured with.
        """
        step = 1 / rate
        begin = since - step
        lit = np.clip(np.minimum(since, on) - np.maximum(begin, 0.0), 0.0, step)
        dark = np.clip(since - np.maximum(begin, on), 0.0, step)
        under = np.interp((np.maximum(begin, 0.0) + np.minimum(since, on)) / 2, self._middles(course.lit), course.lit)
        late = (np.maximum(begin, on) + since) / 2 - on
        left = np.interp(late, self._middles(course.after), course.after, right=0.0)
        both: Numbers = part * (lit * under + dark * left) / step
        return both

    def _middles(self, values: tuple[float, ...]) -> Numbers:
        """Seconds from an edge of light to the middle of each reading of a course, on average over its phases."""
        middles: Numbers = np.arange(1, len(values) + 1, dtype=np.float64) / self.rate
        return middles

    def part(self, level: float, power: float | None) -> float:
        """How strong a pulse is against the measured ones: by power where both are known, else by level."""
        if power is not None and self.power is not None:
            return power / self.power
        return level / self.level

    def notes(self, protocol_recovery: float) -> list[str]:
        """What a user of this artefact should know, for a protocol whose recovery is so many seconds."""
        said = []
        if self.recovery > protocol_recovery:
            said.append(
                f"artefact: on this rig the signal needs {self.recovery * 1e3:.4g} ms after light, the protocol's "
                f"recovery is {protocol_recovery * 1e3:.4g} ms; the longer one is kept to"
            )
        if not self.learned:
            said.append(
                f"artefact: measured with {self.pulses} pulses, and a template needs {LEAST_PULSES}; nothing is taken "
                "away from what is shown"
            )
        if self.saturated:
            said.append(
                f"artefact: the converter saturated in {self.saturated} of {self.pulses} pulses; what is under light "
                "cannot be recovered by a template"
            )
        return said

    def mismatches(self, rig: str, wavelength: float | None) -> list[str]:
        """Why it does not tell of this rig, as 'rig: mine, not yours'; nothing if it does."""
        said = [] if rig == self.rig else [f"rig: {self.rig}, not {rig}"]
        if None not in (wavelength, self.wavelength) and wavelength != self.wavelength:
            said.append(f"wavelength: {self.wavelength:g} nm, not {wavelength:g} nm")
        return said

    def save(self, path: Path) -> None:
        """Write it as YAML.

        Raises:
            ConfigError: it cannot be written.
        """
        try:
            path.write_text(dump(self), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written ({error.strerror}); choose another place") from error


def read(path: Path) -> Artefact:
    """The artefact in a file.

    Raises:
        ConfigError: one line a problem.
    """
    mistaken = {
        "daq": "belongs to a rig, and this must be an artefact; make one with closedloop selftest --artefact",
        "detector": "belongs to a protocol, and this must be an artefact; make one with closedloop selftest --artefact",
    }
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; make one with closedloop selftest --artefact")
    return load(Artefact, path, mistaken=mistaken)


def as_artefact(value: Any, info: ValidationInfo) -> Any:
    """For a field `artefact`: a path stands for what is in that file; a relative one begins at the rig's own folder."""
    if not isinstance(value, str):
        return value
    folder = (info.context or {}).get("folder", Path())
    try:
        return read(folder / value)
    except ConfigError as error:
        raise ValueError(str(error)) from error


class Light(NamedTuple):
    """Pulses as delivered.

    Attributes:
        pulses_us: first and last light of each, in microseconds on the readings' clock; of shape (pulses, 2).
        rate_hz: readings a second.
        part: power of all of them, as a part of the power that the artefact was measured with.
    """

    pulses_us: npt.NDArray[np.int64]
    rate_hz: float
    part: float = 1.0


def less(values: Numbers, ticks: npt.NDArray[Any], artefact: Artefact, name: str, light: Light) -> Numbers:
    """A channel's values in units, less what light added to them by the artefact's template; a new array.

    Args:
        values: of one channel, in the recording's units.
        ticks: of the readings, in microseconds, increasing.
        artefact: of the rig.
        name: 'signal' or 'control'.
        light: the pulses.
    """
    course = artefact.signal if name == "signal" else artefact.control
    left: Numbers = values.copy()
    if course is None:
        return left
    tail_us = artefact.tail * 1e6
    for on_us, off_us in light.pulses_us:
        first, last = np.searchsorted(ticks, (on_us, off_us + tail_us), side="right")
        since = (ticks[first:last] - on_us) / 1e6
        left[first:last] -= artefact.added(course, since, (off_us - on_us) / 1e6, light.rate_hz, light.part)
    return left
