"""What is expressed in the animal and where light reaches it: opsin, indicator, compartment, fibre. It starts nothing.

The optional `preparation` section of a protocol. Without it nothing can be said of whether light and opsin go together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from closedloop import optics
from closedloop.anchor import Photometry
from closedloop.fibre import Fibre
from closedloop.model import Model, Quantity
from closedloop.optics import Findings, Opsin, PhotometryLight
from closedloop.train import Train

_LEAST_RAMP_S = 0.1  # linear or exponential ramps of 100-500 ms spare pumps a rebound (SCIENCE 3.3)

Irradiance = Annotated[
    float, Quantity("irradiance", {"mW/mm2": "1", "mW/mm²": "1", "uW/mm2": "1e-3", "µW/mm2": "1e-3"}, "5 mW/mm2")
]


class Preparation(Model):
    """The animal's side of the light's way."""

    opsin: Annotated[str, AfterValidator(optics.opsin_name)] = Field(
        examples=["Jaws"], description="Which opsin is expressed; none is a control animal without one."
    )
    indicator: Annotated[str, AfterValidator(optics.indicator_name)] = Field(
        examples=["GCaMP6f"], description="Which indicator (or plain fluorophore) is measured."
    )
    compartment: Literal["soma", "terminals"] = Field(description="What of the cells the light falls on.")
    same_fibre: bool = Field(description="Whether photometry and inhibitory light leave one and the same fibre.")
    site: str = Field(min_length=1, max_length=80, examples=["VP"], description="Where the light falls; for people.")
    needed: Irradiance | None = Field(
        None, gt=0, description="Irradiance wanted at the target; else the opsin's half-saturating one is shown."
    )

    @property
    def found(self) -> Opsin | None:
        """What is known of the opsin; None for a control animal without one."""
        return optics.opsin(self.opsin)

    def needed_irradiance(self, nm: float | None) -> tuple[float, float] | None:
        """Lowest and highest irradiance to be met at the target: the one wanted, or the opsin's half-saturating.

        None if no number is known, or the opsin is not known to work at this wavelength. Within its band an unknown
        sensitivity counts as that of the peak.

        Args:
            nm: of the inhibitory light; None if it is not known.
        """
        if self.needed is not None:
            return self.needed, self.needed
        opsin = self.found
        if opsin is None or opsin.half is None or (nm is not None and not opsin.works_at(nm)):
            return None
        part = 1.0 if nm is None else opsin.sensitivity(nm) or 1.0
        return opsin.half[0] / part, opsin.half[1] / part


def photometry_lights(
    preparation: Preparation, light: Fibre | None, photometry: Photometry | None
) -> tuple[PhotometryLight, ...]:
    """The lights that the signal is measured with, and how bright each is at the fibre's tip.

    Powers are those at the end of the patch cord, so the irradiance is an upper bound: the implant's coupling is
    not taken off.

    Args:
        preparation: names the indicator, and so the wavelengths.
        light: of the rig, for the fibre's core; None if the rig has none.
        photometry: of the rig, for the powers; None if it does not say.
    """
    family = optics.indicator(preparation.indicator)
    powers = (None, None) if photometry is None else (photometry.signal_power, photometry.control_power)
    both = zip((family.signal_nm, family.control_nm), powers, strict=True)
    return tuple(PhotometryLight(nm, _at_tip(power_mw, light)) for nm, power_mw in both)


def _at_tip(power_mw: float | None, light: Fibre | None) -> float | None:
    return None if power_mw is None or light is None else optics.tip_irradiance(power_mw, light.core / 1000)


def findings(
    preparation: Preparation | None, light: Fibre | None, photometry: Photometry | None, train: Train | None = None
) -> Findings:
    """All that is to be said of an animal on a rig: what is not valid, what can spoil the result, what to know.

    Args:
        preparation: None where the protocol has none: nothing is said.
        light: of the rig.
        photometry: of the rig.
        train: what would be given; None leaves out what depends on it.
    """
    if preparation is None:
        return Findings()
    lights = photometry_lights(preparation, light, photometry)
    together = optics.compatible(
        preparation.indicator,
        preparation.opsin,
        None if light is None else light.wavelength,
        lights,
        same_fibre=preparation.same_fibre,
    )
    warnings = [*_sensor_warnings(preparation, photometry)]
    opsin = preparation.found
    if opsin is not None:
        warnings += [*_place_warnings(opsin, preparation.compartment), *_time_warnings(opsin, train)]
    return together.and_also(Findings(warnings=tuple(warnings)))


def problems(preparation: Preparation | None, light: Fibre | None, photometry: Photometry | None) -> list[str]:
    """Why this animal on this rig is no valid experiment; nothing if it is, or the protocol does not say.

    Args:
        preparation: the protocol's.
        light: of the rig.
        photometry: of the rig.
    """
    return [f"preparation.{said}" for said in findings(preparation, light, photometry).refusals]


def _sensor_warnings(preparation: Preparation, photometry: Photometry | None) -> Iterator[str]:
    if photometry is None:
        return
    said = photometry.sensor.partition(",")[0].strip()
    try:
        optics.indicator(said)
    except ValueError:
        return  # a name of one's own
    if said.lower() != preparation.indicator.lower():
        yield f"indicator: the preparation has {preparation.indicator}, and the rig measures {said}; correct one"


def _place_warnings(opsin: Opsin, compartment: str) -> Iterator[str]:
    if compartment == "soma":
        if opsin.mechanism == "Gi/o GPCR":
            yield f"soma: {opsin.name} silences terminals; at somata its effect has to be shown (unverified)"
        return
    if opsin.mechanism == "H+ pump":
        yield f"terminals: {opsin.name} raises pH, calcium and spontaneous release with minutes of light (unverified)"
    elif opsin.mechanism == "Cl- pump":
        yield f"terminals: pumps are weakest there, so {opsin.name} may inhibit little; show that it does (unverified)"
    elif opsin.mechanism == "Cl- channel":
        yield f"terminals: {opsin.name} can excite them at light onset (Mahn 2018)"


def _time_warnings(opsin: Opsin, train: Train | None) -> Iterator[str]:
    if opsin.minutes:
        yield f"time: {opsin.name} acts for minutes (Mahn 2021): it cannot follow events from moment to moment"
    elif opsin.name == "PPO":
        yield "time: PPO stays on until amber light switches it off (Copits 2021); this rig gives one wavelength"
    if train is None or not opsin.is_pump:
        return
    if train.ramp_off < _LEAST_RAMP_S:
        why = "chloride load makes cells more excitable after light" if opsin.mechanism == "Cl- pump" else "rebound"
        said = f"ramp: {opsin.name} without a ramp off: {why}"
        source = " (Raimondo 2012)" if opsin.mechanism == "Cl- pump" else " (unverified)"
        yield f"{said}{source}; give light.ramp_off of 100 to 500 ms"
    if train.count > 1:
        yield f"pulses: {opsin.name} is off {opsin.off} after each pulse: between them nothing is inhibited"
