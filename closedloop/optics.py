"""How bright it is at the target and how warm it gets: pure functions of light and time. They decide nothing.

These are models with large uncertainty: measured attenuation differs twofold between brain regions (9.8-20 per mm at
453 nm), and a surface camera has seen ten times the heating that such models give (Arias-Gil et al. 2016). They serve
to compare settings and to warn early, not to replace a power meter or an opsin-free control group.

Lengths are in mm, powers in mW, irradiances in mW/mm2, times in seconds, temperatures in kelvin above rest.
"""

from __future__ import annotations

import math
from typing import NamedTuple

REFRACTIVE_INDEX = 1.36  # grey matter
SCATTERING_ARAVANIS = 11.2  # per mm, mouse (Aravanis et al. 2007)
SCATTERING_FOUTZ = 7.37  # per mm, at 473 nm (Foutz et al. 2012)
ABSORPTION_FOUTZ = 0.125  # per mm, at 473 nm

HEAT_CAPACITY = 3.80  # mJ per mm3 and kelvin: 1.04e-6 kg/mm3 times 3650 J/kg/K
CONDUCTIVITY = 0.527  # mW per mm and kelvin
DIFFUSIVITY = CONDUCTIVITY / HEAT_CAPACITY  # mm2 per second

MOST_KELVIN = 1.0  # modelled warming that a protocol may reach at worst
WARMING = 0.25  # kelvin per mW, the plateau measured 0.1 mm from a tip at 473 nm (Biomed. Opt. Express 7:4450)
FAST_S, SLOW_S = 0.5, 10.0  # time constants of the two poles


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


def adiabatic_heating(irradiance: float, absorption: float, on_s: float) -> float:
    """Warming if no heat could leave: mu_a I t / (rho c); an upper bound for short pulses.

    Args:
        irradiance: in mW/mm2.
        absorption: coefficient mu_a, per mm; 0.05 at 640 nm, 0.37 at 480 nm (Johansson 2010).
        on_s: how long the light is on.
    """
    return absorption * irradiance * on_s / HEAT_CAPACITY


def conducted_heating(power_mw: float, distance_mm: float, on_s: float = math.inf) -> float:
    """Warming at a distance from a point that takes up all the power: P / (4 pi k r) erfc(r / sqrt(4 alpha t)).

    Without perfusion, so an upper bound for long times; steady state by default (Carslaw and Jaeger 1959).
    """
    steady = power_mw / (4 * math.pi * CONDUCTIVITY * distance_mm)
    return steady * math.erfc(distance_mm / math.sqrt(4 * DIFFUSIVITY * on_s)) if on_s > 0 else 0.0


class Warmth(NamedTuple):
    """The two poles of the running heat budget, each in kelvin above rest. Both begin at zero."""

    fast: float = 0.0
    slow: float = 0.0

    @property
    def kelvin(self) -> float:
        """The worse of the two: fast for single pulses, slow for what adds up over many."""
        return max(self.fast, self.slow)


def warmed(warmth: Warmth, power_mw: float, for_s: float) -> Warmth:
    """The heat budget after some time at constant power: T e^(-t/tau) + R P (1 - e^(-t/tau)) for each pole.

    Conservative: either pole reaches the whole of the plateau measured at 0.1 mm (0.25 K/mW) by itself, and the worse
    one counts.

    Args:
        warmth: the budget so far.
        power_mw: at the tip, during all of this time; 0 to let it cool.
        for_s: how long.
    """
    plateau = WARMING * power_mw
    keeps_fast, keeps_slow = math.exp(-for_s / FAST_S), math.exp(-for_s / SLOW_S)
    return Warmth(
        plateau + (warmth.fast - plateau) * keeps_fast,
        plateau + (warmth.slow - plateau) * keeps_slow,
    )


def warmed_by_pulses(warmth: Warmth, power_mw: float, on_s: float, period_s: float, count: int) -> Warmth:
    """The heat budget at the end of the last of several equal pulses, exactly and in one step.

    Each pole goes from cycle to cycle towards its own steady cycle as a geometric series.

    Args:
        warmth: the budget before the first pulse.
        power_mw: at the tip, while a pulse is on.
        on_s: each pulse.
        period_s: from one pulse's start to the next; at least `on_s`.
        count: pulses, at least one.
    """
    if count == 1:
        return warmed(warmth, power_mw, on_s)
    gained = warmed(warmed(Warmth(), power_mw, on_s), 0.0, period_s - on_s)
    before_last = Warmth(
        _after_cycles(warmth.fast, gained.fast, period_s / FAST_S, count - 1),
        _after_cycles(warmth.slow, gained.slow, period_s / SLOW_S, count - 1),
    )
    return warmed(before_last, power_mw, on_s)


def _after_cycles(kelvin: float, gained: float, cycle: float, count: int) -> float:
    """One pole after `count` cycles of `cycle` time constants, each of which adds `gained` and lets the rest decay."""
    steady = gained / -math.expm1(-cycle)
    return steady + (kelvin - steady) * math.exp(-cycle * count)
