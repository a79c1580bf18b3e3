"""The inhibitory light's way into the tissue: wavelength, fibre, and which level gives how many milliwatts at its tip.

The power is either a straight line through one measurement (`full_power`) or, better, a calibration curve.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from closedloop.calibration import CalibrationFile
from closedloop.model import Micrometres, Millimetres, Milliwatts, Model, Nanometres

_SAME_NM = 1.0
_SAME_POWER = 0.01


class Fibre(Model):
    """The light's way into the tissue, and what leaves its end."""

    wavelength: Nanometres = Field(ge=300, le=1100, description="Of the inhibitory light.")
    full_power: Milliwatts | None = Field(
        None, gt=0, le=500, description="Measured at the fibre's tip at full level; a calibration says it by itself."
    )
    core: Micrometres = Field(ge=1, le=2000, description="Diameter of the fibre's core.")
    aperture: float = Field(ge=0.01, lt=1.3, description="Numerical aperture of the fibre.")
    depth: Millimetres = Field(0.5, ge=0, le=10, description="From the tip to the target.")
    calibration: CalibrationFile = Field(
        None, description="File of level against power, measured with a meter (docs/calibrate_power.md)."
    )

    @model_validator(mode="after")
    def _power_is_known_once(self) -> Self:
        if self.calibration is None:
            if self.full_power is None:
                raise ValueError(
                    "full_power is missing, and so is a calibration; write for example 'full_power: 10 mW', or "
                    "'calibration: FILE'"
                )
            return self
        nm, top_mw = self.calibration.wavelength, self.calibration.range_mw[1]
        if abs(nm - self.wavelength) > _SAME_NM:
            raise ValueError(
                f"wavelength ({self.wavelength:g} nm) is not that of the calibration ({nm:g} nm); give the "
                "calibration of this source"
            )
        if self.full_power is not None and abs(self.full_power / top_mw - 1) > _SAME_POWER:
            raise ValueError(
                f"full_power ({self.full_power:g} mW) is not the calibration's most ({top_mw:.4g} mW at the tip); "
                "leave full_power out"
            )
        return self

    @property
    def top_mw(self) -> float:
        """The most power that is known of, at the tip."""
        if self.calibration is not None:
            return self.calibration.range_mw[1]
        return self.full_power or 0.0

    def level_of(self, power_mw: float) -> float:
        """The level, 0 to 1, that gives a power at the tip.

        Raises:
            ConfigError: beyond the calibration's table; above full power, without one, it is above 1.
        """
        return power_mw / self.top_mw if self.calibration is None else self.calibration.level_of(power_mw)

    def power_of(self, level: float) -> float | None:
        """Power at the tip at a level, 0 to 1; None beyond the calibration's table."""
        return level * self.top_mw if self.calibration is None else self.calibration.power_of(level)

    def power_problems(self, power_mw: float | None, level: float) -> list[str]:
        """Why the calibration cannot serve a train of this power, or of this level where it has none.

        Args:
            power_mw: at the tip; None where the train says a level.
            level: 0 to 1.
        """
        if self.calibration is None:
            return []
        if power_mw is not None:
            return [f"light.power: {said}" for said in self.calibration.power_problems(power_mw)]
        if self.calibration.power_of(level) is not None:
            return []
        low, high = (100 * end for end in self.calibration.levels)
        said = f"{100 * level:.3g} % is beyond the calibration's table ({low:.3g} to {high:.3g} %)"
        return [f"light.level: {said}; choose one within it, or measure more levels"]
