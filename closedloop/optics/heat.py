"""How warm it gets: pure functions of power and time. They decide nothing.

Lengths are in mm, powers in mW, irradiances in mW/mm2, times in seconds, temperatures in kelvin above rest.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

HEAT_CAPACITY = 3.80  # mJ per mm3 and kelvin: 1.04e-6 kg/mm3 times 3650 J/kg/K
CONDUCTIVITY = 0.527  # mW per mm and kelvin
DIFFUSIVITY = CONDUCTIVITY / HEAT_CAPACITY  # mm2 per second

MOST_KELVIN = 1.0  # modelled warming that a protocol may reach at worst
WARMING = 0.25  # kelvin per mW, the plateau measured 0.1 mm from a tip at 473 nm (Biomed. Opt. Express 7:4450)
FAST_S, SLOW_S = 0.5, 10.0  # time constants of the two poles


class Tissue(NamedTuple):
    """What tissue does to light of one wavelength.

    Attributes:
        nm: wavelength.
        absorption: coefficient mu_a, per mm.
        scattering: coefficient mu_s, per mm; None where the source has none.
    """

    nm: float
    absorption: float
    scattering: float | None


# Johansson 2010, as in the code of Stujenske et al. 2015 (repository XiaxiaXu/Toolbox_LFP_Spike).
TISSUE = (
    Tissue(480, 0.37, 11.0),
    Tissue(560, 0.26, None),
    Tissue(580, 0.19, 9.7),
    Tissue(640, 0.05, 9.0),
    Tissue(780, 0.02, 7.8),
)
_BEYOND_NM = 10.0  # so far beyond the table its end still serves: a 470 nm LED is not refused


def absorption(nm: float) -> float | None:
    """Absorption coefficient mu_a of tissue, per mm, straight between the table's points; None beyond them.

    Beyond means by more than 10 nm: blood absorbs far more at 405 nm than at 480 nm, so nothing is carried on.
    """
    first, last = TISSUE[0], TISSUE[-1]
    if not first.nm - _BEYOND_NM <= nm <= last.nm + _BEYOND_NM:
        return None
    within = min(max(nm, first.nm), last.nm)
    low, high = next(pair for pair in pairwise(TISSUE) if pair[0].nm <= within <= pair[1].nm)
    return low.absorption + (high.absorption - low.absorption) * (within - low.nm) / (high.nm - low.nm)


def adiabatic_heating(irradiance: float, absorption: float, on_s: float) -> float:
    """Warming if no heat could leave: mu_a I t / (rho c); an upper bound for short pulses.

    Args:
        irradiance: in mW/mm2.
        absorption: coefficient mu_a, per mm, as `absorption(nm)` gives.
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
