"""Light in tissue and what it does: irradiance, heat, opsins, and which of them go together. Pure; it decides nothing.

These are models with large uncertainty: measured attenuation differs twofold between brain regions (9.8-20 per mm at
453 nm), and a surface camera has seen ten times the heating that such models give (Arias-Gil et al. 2016). They serve
to compare settings and to warn early, not to replace a power meter or an opsin-free control group.

Lengths are in mm, powers in mW, irradiances in mW/mm2, times in seconds, temperatures in kelvin above rest.
"""

from __future__ import annotations

from closedloop.optics.compatibility import Findings, PhotometryLight, compatible, opened
from closedloop.optics.heat import (
    CONDUCTIVITY,
    DIFFUSIVITY,
    FAST_S,
    HEAT_CAPACITY,
    MOST_KELVIN,
    SLOW_S,
    TISSUE,
    WARMING,
    Tissue,
    Warmth,
    absorption,
    adiabatic_heating,
    conducted_heating,
    warmed,
    warmed_by_pulses,
)
from closedloop.optics.irradiance import (
    ABSORPTION_FOUTZ,
    REFRACTIVE_INDEX,
    SCATTERING_ARAVANIS,
    SCATTERING_FOUTZ,
    aravanis,
    depth_of_part,
    depth_reached,
    foutz,
    target_irradiance,
    tip_irradiance,
)
from closedloop.optics.opsins import (
    INDICATORS,
    NONE,
    OPSINS,
    Indicator,
    Opsin,
    indicator,
    indicator_name,
    opsin,
    opsin_name,
    part_open,
)

__all__ = [
    "ABSORPTION_FOUTZ",
    "CONDUCTIVITY",
    "DIFFUSIVITY",
    "FAST_S",
    "HEAT_CAPACITY",
    "INDICATORS",
    "MOST_KELVIN",
    "NONE",
    "OPSINS",
    "REFRACTIVE_INDEX",
    "SCATTERING_ARAVANIS",
    "SCATTERING_FOUTZ",
    "SLOW_S",
    "TISSUE",
    "WARMING",
    "Findings",
    "Indicator",
    "Opsin",
    "PhotometryLight",
    "Tissue",
    "Warmth",
    "absorption",
    "adiabatic_heating",
    "aravanis",
    "compatible",
    "conducted_heating",
    "depth_of_part",
    "depth_reached",
    "foutz",
    "indicator",
    "indicator_name",
    "opened",
    "opsin",
    "opsin_name",
    "part_open",
    "target_irradiance",
    "tip_irradiance",
    "warmed",
    "warmed_by_pulses",
]
