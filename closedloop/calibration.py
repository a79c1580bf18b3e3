"""A power calibration: which level gives how many milliwatts, as a power meter showed it. It measures nothing itself.

Light sources are not straight lines: a laser has a threshold, an LED bends as it warms. So the table is interpolated
by a monotone cubic (PCHIP, Fritsch and Carlson 1980), one curve for both directions, and nothing is carried on beyond
it. It ages: it is
refused after 14 days, or once a check shows that the power has drifted by more than a tenth (SCIENCE 3.3).
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from closedloop.errors import ConfigError
from closedloop.model import Fraction, InFile, Milliwatts, Model, Nanometres
from closedloop.yaml_file import load

LEAST_POINTS = 3
MOST_DAYS = 14
MOST_DRIFT = 0.1
_ANEW = "measure the table anew (docs/calibrate_power.md)"


def _as_day(value: Any) -> Any:
    """A date as it is written in a file: year, month, day."""
    try:
        return datetime.date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError as error:
        said = "is no date; write year-month-day, for example '2026-03-02'"
        raise PydanticCustomError("quantity", "{said}", {"said": said}) from error


Day = Annotated[datetime.date, BeforeValidator(_as_day)]


class Point(Model):
    """One line of the table."""

    level: Fraction = Field(ge=0, le=1, description="What the source was set to.")
    power: Milliwatts = Field(ge=0, le=1000, description="What the meter showed at the end of the patch cord.")


class Check(Point):
    """One reading of the meter since: has the power drifted?"""

    date: Day = Field(examples=["2026-03-02"], description="When.")


class Calibration(Model):
    """One source, one wavelength, one patch cord."""

    version: Literal[1] = Field(description="Of this file's format.")
    wavelength: Nanometres = Field(ge=300, le=1100, description="Of the light, and as the meter was set.")
    patch_cord: str = Field(min_length=1, max_length=80, examples=["cord 3"], description="Which; each has its own.")
    date: Day = Field(examples=["2026-03-02"], description="When the table was measured.")
    meter: str = Field(min_length=1, max_length=80, examples=["PM100D, S130C"], description="Meter and its head.")
    operator: str = Field(min_length=1, max_length=80, examples=["AB"], description="Who measured.")
    coupling: Fraction = Field(
        gt=0,
        le=1,
        description="Part of the power at the cord's end that leaves the implant's tip, measured before surgery.",
    )
    table: tuple[Point, ...] = Field(
        min_length=LEAST_POINTS,
        max_length=200,
        examples=["[{level: 10 %, power: 1 mW}]"],
        description="Level against power at the cord's end, rising.",
    )
    check: Check | None = Field(None, description="One level measured again, best before each session.")
    good_for: int = Field(MOST_DAYS, ge=1, le=MOST_DAYS, description="Days after which it is refused.")
    largest_drift: Fraction = Field(MOST_DRIFT, gt=0, le=MOST_DRIFT, description="Drift beyond which it is refused.")

    @model_validator(mode="after")
    def _can_be_read_both_ways(self) -> Self:
        problems = [*_table_problems(self.table), *self._check_problems()]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _check_problems(self) -> Iterator[str]:
        if self.check is None:
            return
        if self.check.date < self.date:
            yield f"check.date ({self.check.date}) is before the table's own date ({self.date}); leave the check out"
        low, high = self.table[0].level, self.table[-1].level
        if not low <= self.check.level <= high or self.check.level == 0:
            yield (
                f"check.level ({_percent(self.check.level)}) is not within the table ({_percent(low)} to "
                f"{_percent(high)}); check a level that the table holds"
            )

    def _curve(self) -> Callable[[float], float]:
        """Level to power at the cord's end; made anew each time, so that no copy of the model keeps an older one."""
        from scipy.interpolate import PchipInterpolator  # slow to import, and a rig without a table needs none

        return PchipInterpolator([p.level for p in self.table], [p.power for p in self.table])  # type: ignore[no-any-return]

    @property
    def range_mw(self) -> tuple[float, float]:
        """Least and most power at the implant's tip that the table holds."""
        return self.table[0].power * self.coupling, self.table[-1].power * self.coupling

    @property
    def levels(self) -> tuple[float, float]:
        """Lowest and highest level that the table holds."""
        return self.table[0].level, self.table[-1].level

    def power_of(self, level: float) -> float | None:
        """Milliwatts at the implant's tip at a level; None beyond the table."""
        low, high = self.levels
        return float(self._curve()(level)) * self.coupling if low <= level <= high else None

    def level_of(self, power_mw: float) -> float:
        """The level that gives a power at the implant's tip.

        Raises:
            ConfigError: beyond the table, at either end.
        """
        if problems := self.power_problems(power_mw):
            raise ConfigError(*problems)
        from scipy.optimize import brentq

        at_cord = min(max(power_mw / self.coupling, self.table[0].power), self.table[-1].power)  # but for rounding
        curve = self._curve()
        return float(brentq(lambda level: float(curve(level)) - at_cord, *self.levels, xtol=1e-9))

    def power_problems(self, power_mw: float) -> list[str]:
        """Why the table cannot tell the level of a power; nothing if it can."""
        low, high = self.range_mw
        if power_mw > high:
            return [f"{power_mw:g} mW is beyond the calibration's most ({high:.4g} mW at the tip); lower it"]
        if power_mw < low:
            said = f"{power_mw:g} mW is below the calibration's least ({low:.3g} mW at the tip)"
            return [f"{said}; raise it, or measure lower levels too"]
        return []

    @property
    def drift(self) -> float | None:
        """How far the check lies from the table, as a part of it; None without a check."""
        if self.check is None:
            return None
        return self.check.power / float(self._curve()(self.check.level)) - 1

    def age_days(self, today: datetime.date) -> int:
        """Days since the table was measured."""
        return (today - self.date).days

    def problems(self, today: datetime.date) -> list[str]:
        """Why it may not be used today: too old, from the future, or drifted. Nothing if it may.

        Args:
            today: the day of the session.
        """
        return [*self._age_problems(today), *self._drift_problems()]

    def _age_problems(self, today: datetime.date) -> Iterator[str]:
        days = self.age_days(today)
        if days > self.good_for:
            yield f"measured on {self.date}, {days} days ago, and {self.good_for} are the limit; {_ANEW}"
        latest = self.date if self.check is None else self.check.date
        if latest > today:
            yield f"dated {latest}, and today is {today}; correct its date, or this computer's"

    def _drift_problems(self) -> Iterator[str]:
        drift = self.drift
        if drift is None or self.check is None or abs(drift) <= self.largest_drift:
            return
        seen = f"check of {self.check.date}: {self.check.power:g} mW at {_percent(self.check.level)}"
        limit = f"{_percent(self.largest_drift)} is the limit"
        yield f"drifted by {drift * 100:+.0f} % since {self.date} ({seen}), and {limit}; clean the cord, or {_ANEW}"

    def summary(self, today: datetime.date) -> str:
        """In one line: which, how old, how far it has drifted."""
        days = self.age_days(today)
        drift = "not checked since" if self.drift is None else f"drift {self.drift * 100:+.1f} %"
        low, high = self.range_mw
        said = f"{self.patch_cord}, {self.wavelength:g} nm, {low:.3g} to {high:.3g} mW at the tip"
        return f"{said}; {self.date}, {days} {'day' if days == 1 else 'days'} old; {drift}"


def _table_problems(table: Sequence[Point]) -> Iterator[str]:
    for at, (one, after) in enumerate(pairwise(table), 1):
        if after.level == one.level:
            yield f"table.{at}.level ({_percent(after.level)}) stands twice; keep one, best the mean of both"
        elif after.level < one.level:
            yield f"table.{at}.level ({_percent(after.level)}) is below the one before; write levels from low to high"
        elif after.power <= one.power:
            yield (
                f"table.{at}.power ({after.power:g} mW) is not more than the one before ({one.power:g} mW); "
                "measure again, and leave out levels at which the source is dark"
            )


def _percent(part: float) -> str:
    return f"{part * 100:.3g} %"


def read(path: Path) -> Calibration:
    """The calibration in a file.

    Raises:
        ConfigError: one line a problem.
    """
    mistaken = {"daq": "belongs to a rig, and this must be a calibration"}
    return load(Calibration, path, mistaken=mistaken)


def _from_file(value: Any, info: ValidationInfo) -> Any:
    """A path stands for the calibration in that file; a relative one begins at the rig's own folder."""
    if not isinstance(value, str):
        return value
    try:
        return read((info.context or {}).get("folder", Path()) / value)
    except ConfigError as error:
        raise ValueError(str(error)) from error


CalibrationFile = Annotated[Calibration | None, BeforeValidator(_from_file), InFile()]
