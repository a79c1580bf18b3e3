"""How bright it is at the target: pure functions of power, fibre and depth. They decide nothing.

Lengths are in mm, powers in mW, irradiances in mW/mm2, wavelengths in nm.
"""

from __future__ import annotations

import math
from collections.abc import Callable

REFRACTIVE_INDEX = 1.36  # grey matter
SCATTERING_ARAVANIS = 11.2  # per mm, mouse; 10.3 in rat (both unverified)
SCATTERING_FOUTZ = 7.37  # per mm, at 473 nm (Foutz et al. 2012)
ABSORPTION_FOUTZ = 0.125  # per mm, at 473 nm
_DEEPEST_MM = 20.0  # no brain of these animals is deeper


def tip_irradiance(power_mw: float, core_mm: float) -> float:
    """Irradiance at the fibre's tip, 4 P / (pi d^2), taken as even over the core."""
    return 4 * power_mw / (math.pi * core_mm**2)


def aravanis(depth_mm: float, core_mm: float, aperture: float, scattering: float = SCATTERING_ARAVANIS) -> float:
    """Irradiance at a depth as part of that at the tip, by Aravanis et al. 2007 (J. Neural Eng. 4:S143).

    Scattering without absorption, times the spread of a cone: rho^2 / ((S z + 1) (z + rho)^2), where
    rho = r sqrt((n / NA)^2 - 1).

    Args:
        depth_mm: from the tip, straight ahead.
        core_mm: the fibre core's diameter.
        aperture: the fibre's numerical aperture.
        scattering: coefficient S, per mm.
    """
    rho = core_mm / 2 * math.sqrt((REFRACTIVE_INDEX / aperture) ** 2 - 1)
    return rho**2 / ((scattering * depth_mm + 1) * (depth_mm + rho) ** 2)


def foutz(
    depth_mm: float,
    core_mm: float,
    aperture: float,
    scattering: float = SCATTERING_FOUTZ,
    absorption: float = ABSORPTION_FOUTZ,
) -> float:
    """Irradiance at a depth as part of that at the tip, by Foutz et al. 2012 (J. Neurophysiol. 107:3235).

    Kubelka-Munk's transmission b / (a sinh(b S z) + b cosh(b S z)) with a = 1 + K/S and b = sqrt(a^2 - 1), times the
    spread of a cone of light, on its axis. It becomes the model of Aravanis as absorption goes to zero.

    Args:
        depth_mm: from the tip, straight ahead.
        core_mm: the fibre core's diameter.
        aperture: the fibre's numerical aperture.
        scattering: coefficient S, per mm.
        absorption: coefficient K, per mm; above zero.
    """
    radius = core_mm / 2
    spread = radius + depth_mm * math.tan(math.asin(aperture / REFRACTIVE_INDEX))
    a = 1 + absorption / scattering
    b = math.sqrt(a**2 - 1)
    through = b * scattering * depth_mm
    if through > 700:  # cosh would overflow, and nothing is left anyway
        return 0.0
    return (radius / spread) ** 2 * b / (a * math.sinh(through) + b * math.cosh(through))


def target_irradiance(power_mw: float, core_mm: float, aperture: float, depth_mm: float) -> tuple[float, float]:
    """Irradiance at the target by both models, the lower first: the truth need not lie between them."""
    tip = tip_irradiance(power_mw, core_mm)
    low, high = sorted((aravanis(depth_mm, core_mm, aperture), foutz(depth_mm, core_mm, aperture)))
    return tip * low, tip * high


def depth_reached(needed: float, power_mw: float, core_mm: float, aperture: float) -> tuple[float, float]:
    """How deep an irradiance is met, by both models, the lesser depth first; 0 if it is not even met at the tip.

    Args:
        needed: irradiance, in mW/mm2; above zero.
        power_mw: at the tip.
        core_mm: the fibre core's diameter.
        aperture: the fibre's numerical aperture.
    """
    part = needed / tip_irradiance(power_mw, core_mm)
    near, far = sorted(depth_of_part(part, model, core_mm, aperture) for model in (aravanis, foutz))
    return near, far


def depth_of_part(part: float, model: Callable[[float, float, float], float], core_mm: float, aperture: float) -> float:
    """The depth at which so much of the tip's irradiance is left, by bisection; 20 mm at most.

    Args:
        part: of the irradiance at the tip; above zero.
        model: `aravanis` or `foutz`, which fall with depth from 1 at the tip.
        core_mm: the fibre core's diameter.
        aperture: the fibre's numerical aperture.
    """
    if part >= 1:
        return 0.0
    near, far = 0.0, _DEEPEST_MM
    for _ in range(60):  # more halvings than a float has digits
        middle = (near + far) / 2
        near, far = (middle, far) if model(middle, core_mm, aperture) >= part else (near, middle)
    return near
