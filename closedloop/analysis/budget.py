"""The light budget: what a protocol on a rig could give at worst, and what would be refused. It starts nothing.

Every figure is for the worst case: every train comes as early as the limits and the refractory time let it, and a ramp
counts as light. The models of light and heat are rough (see optics); they compare settings, they don't prove safety.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from closedloop import optics, preparation
from closedloop.analysis import budget_remarks as remarks
from closedloop.analysis.budget_table import Budget, Opened, lines
from closedloop.analysis.worst_case import Case, case_of, duty, session_trains
from closedloop.fibre import Fibre
from closedloop.preparation import Preparation
from closedloop.protocol import Protocol
from closedloop.rig import Rig

__all__ = ["Budget", "budget", "lines"]

CONDUCTED_MM = 0.25


def budget(protocol: Protocol, rig: Rig | None = None, today: date | None = None) -> Budget:
    """The light budget of a protocol; without a rig, under the board's ceiling and as far as it can be known.

    Args:
        protocol: with its blocks, policies and preparation.
        rig: None if it is not known.
        today: by which a calibration's age is judged; default: this computer's date.
    """
    case = case_of(protocol, rig, date.today() if today is None else today)
    train, fibre, tip_mw, worst = case.train, case.fibre, case.tip_mw, case.worst
    long_duty = duty(worst, case.in_force.long_window_ms)
    mean_mw = None if tip_mw is None else tip_mw * long_duty
    kelvin = None if tip_mw is None else worst.kelvin(tip_mw)
    tip = None if tip_mw is None or fibre is None else optics.tip_irradiance(tip_mw, fibre.core / 1000)
    trains = session_trains(case)
    prepared = protocol.preparation
    needed = None if prepared is None else prepared.needed_irradiance(fibre.wavelength if fibre else None)
    target = _target(tip_mw, fibre)
    found = preparation.findings(prepared, fibre, rig.photometry if rig else None, train)
    pulse_s = (train.on_us + (train.ramp_off_us if train.count == 1 else 0)) / 1e6
    return Budget(
        protocol=protocol.name,
        condition=protocol.condition,
        rig=rig.name if rig else None,
        tip_mw=tip_mw,
        level=_level(case),
        tip_mw_per_mm2=tip,
        target_mw_per_mm2=target,
        depth_mm=fibre.depth if fibre else None,
        opsin=prepared.opsin if prepared else None,
        needed_mw_per_mm2=needed,
        needed_source=remarks.source(prepared),
        reached_mm=_reached(needed, tip_mw, fibre),
        photometry=tuple(_opened(prepared, rig)),
        lit_s=train.lit_us / 1e6,
        span_s=train.span_us / 1e6,
        trains_per_minute=worst.trains(60_000_000),
        short_duty=duty(worst, case.in_force.short_window_ms),
        long_duty=long_duty,
        mean_mw=mean_mw,
        heating_kelvin=kelvin,
        adiabatic_kelvin=_adiabatic(tip, fibre, pulse_s),
        conducted_kelvin=None if tip_mw is None else optics.conducted_heating(tip_mw, CONDUCTED_MM, pulse_s),
        conducted_mean_kelvin=None if mean_mw is None else optics.conducted_heating(mean_mw, CONDUCTED_MM),
        energy_per_train_mj=None if tip_mw is None else tip_mw * train.lit_us / 1e6,
        session_trains=trains,
        session_on_s=trains * train.lit_us / 1e6,
        session_energy_mj=None if tip_mw is None else trains * tip_mw * train.lit_us / 1e6,
        blocks=tuple(_blocks(protocol)),
        calibration=_calibration(case),
        limits=(*remarks.in_words(case.in_force), *remarks.dose_in_words(case.dose)),
        notes=(*remarks.notes(protocol, rig), *found.notes),
        warnings=tuple(
            dict.fromkeys(
                (
                    *remarks.dose_warnings(tip, mean_mw, kelvin, case.dose),
                    *remarks.target_warnings(prepared, needed, target),
                    *found.warnings,
                    *remarks.setting_warnings(case),
                )
            )
        ),
        refusals=tuple(remarks.refusals(case, found, kelvin)),
    )


def _level(case: Case) -> float | None:
    if case.rig is None or case.fibre is None:
        return case.train.level if case.train.power is None else None
    if case.fibre.power_problems(case.train.power, case.train.level):
        return None
    return case.train.level if case.train.power is None else case.rig.level_of(case.train.power)


def _target(tip_mw: float | None, fibre: Fibre | None) -> tuple[float, float] | None:
    if tip_mw is None or fibre is None:
        return None
    return optics.target_irradiance(tip_mw, fibre.core / 1000, fibre.aperture, fibre.depth)


def _reached(
    needed: tuple[float, float] | None, tip_mw: float | None, fibre: Fibre | None
) -> tuple[float, float] | None:
    """Depth at which the irradiance is met: the least for the highest named, the most for the lowest."""
    if needed is None or tip_mw is None or fibre is None:
        return None
    low, high = (optics.depth_reached(one, tip_mw, fibre.core / 1000, fibre.aperture) for one in needed)
    return high[0], low[1]


def _opened(prepared: Preparation | None, rig: Rig | None) -> Iterator[Opened]:
    """What photometry light does; of another fibre, whose core is not known, nothing."""
    if prepared is None or rig is None or not prepared.same_fibre:
        return
    found = prepared.found
    for light in preparation.photometry_lights(prepared, rig.light, rig.photometry):
        yield Opened(light.nm, light.irradiance, None if found is None else optics.opened(found, light))


def _adiabatic(tip: float | None, fibre: Fibre | None, pulse_s: float) -> float | None:
    absorbed = None if fibre is None else optics.absorption(fibre.wavelength)
    return None if tip is None or absorbed is None else optics.adiabatic_heating(tip, absorbed, pulse_s)


def _blocks(protocol: Protocol) -> Iterator[str]:
    for block in protocol.blocks:
        lasts = f"{block.lasts:g} s" if block.lasts < 60 else f"{block.lasts / 60:.3g} min"
        yield f"{block.name} {lasts} ({(block.policy or protocol.policy).kind})"


def _calibration(case: Case) -> str | None:
    if case.fibre is None:
        return None
    if case.fibre.calibration is None:
        return f"none: a straight line to {case.fibre.top_mw:g} mW at full level"
    return case.fibre.calibration.summary(case.today)
