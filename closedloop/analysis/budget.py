"""The light budget: what a protocol on a rig could give at worst, and what would be refused. It starts nothing.

Every figure is for the worst case: every train comes as early as the limits and the refractory time let it, and a ramp
counts as light. The models of light and heat are rough (see optics.py); they compare settings, they don't prove safety.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import expm1
from typing import Any

from closedloop import limits, optics, wire
from closedloop.analysis.busiest import Busiest, busiest
from closedloop.anchor import Anchor
from closedloop.optics import MOST_KELVIN
from closedloop.protocol import Protocol
from closedloop.rig import Fibre, Rig
from closedloop.train import Train

WARN_KELVIN = 0.5
WARN_MEAN_MW = 2.0
WARN_TIP = 75.0  # mW/mm2
_SIMULATED_S = 1200.0  # two long windows: the dose repeats itself by then
_LEASE_S = wire.CEILING.lease_ms / 1000  # of a rig that is not known


@dataclass(frozen=True)
class Budget:
    """What a session could give at worst; None is unknown.

    Attributes:
        protocol: its name.
        condition: its opaque arm code.
        rig: its name.
        tip_mw: power at the fibre's tip while lit.
        tip_mw_per_mm2: irradiance there.
        target_mw_per_mm2: irradiance at the target by two models, the lower first.
        lit_s: light of one train.
        span_s: from its first light to its last.
        trains_per_minute: most trains in any 60 s.
        short_duty: largest part lit of any 60 s.
        long_duty: largest part lit of any 10 min.
        mean_mw: over the busiest 10 min.
        heating_kelvin: highest warming at the tip by the conservative two-pole model.
        energy_per_train_mj: of one train.
        limits: those in force, in words.
        notes: what to know of the features.
        warnings: what to think about.
        refusals: why this will not run; empty if it will.
    """

    protocol: str
    condition: str
    rig: str | None
    tip_mw: float | None
    tip_mw_per_mm2: float | None
    target_mw_per_mm2: tuple[float, float] | None
    lit_s: float
    span_s: float
    trains_per_minute: int
    short_duty: float
    long_duty: float
    mean_mw: float | None
    heating_kelvin: float | None
    energy_per_train_mj: float | None
    limits: tuple[str, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    refusals: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def budget(protocol: Protocol, rig: Rig | None = None) -> Budget:
    """The light budget of a protocol; without a rig, under the board's ceiling and as far as it can be known."""
    train, fibre = protocol.light, rig.light if rig else None
    lease_s = rig.stimulator.lease if rig else _LEASE_S
    in_force = limits.effective(rig.limits if rig else None, protocol.limits, lease_s=lease_s)
    tip_mw = rig.tip_mw(train) if rig else train.power
    worst = busiest(train, protocol.policy.refractory, in_force, _SIMULATED_S)
    long_duty = worst.lit_us(in_force.long_window_ms * 1000) / (in_force.long_window_ms * 1000)
    kelvin = None if tip_mw is None else worst.kelvin(tip_mw)
    mean_mw = None if tip_mw is None else tip_mw * long_duty
    tip = None if tip_mw is None or fibre is None else optics.tip_irradiance(tip_mw, fibre.core / 1000)
    return Budget(
        protocol=protocol.name,
        condition=protocol.condition,
        rig=rig.name if rig else None,
        tip_mw=tip_mw,
        tip_mw_per_mm2=tip,
        target_mw_per_mm2=_target(tip_mw, fibre),
        lit_s=train.lit_us / 1e6,
        span_s=train.span_us / 1e6,
        trains_per_minute=worst.trains(60_000_000),
        short_duty=worst.lit_us(in_force.short_window_ms * 1000) / (in_force.short_window_ms * 1000),
        long_duty=long_duty,
        mean_mw=mean_mw,
        heating_kelvin=kelvin,
        energy_per_train_mj=None if tip_mw is None else tip_mw * train.lit_us / 1e6,
        limits=tuple(_in_words(in_force)),
        notes=tuple(_notes(protocol, rig)),
        warnings=(*_dose_warnings(tip, mean_mw, kelvin), *_setting_warnings(protocol, rig, worst)),
        refusals=(*_anchor_refusals(protocol, rig), *_refusals(train, rig, in_force, kelvin)),
    )


def _target(tip_mw: float | None, fibre: Fibre | None) -> tuple[float, float] | None:
    if tip_mw is None or fibre is None:
        return None
    return optics.target_irradiance(tip_mw, fibre.core / 1000, fibre.aperture, fibre.depth)


def _in_words(in_force: wire.Limits) -> Iterator[str]:
    short, long = in_force.short_on_ms / in_force.short_window_ms, in_force.long_on_ms / in_force.long_window_ms
    yield f"longest pulse, its ramp included: {in_force.on_us / 1000:g} ms"
    yield f"least darkness between pulses: {in_force.off_us / 1000:g} ms"
    yield f"lit: at most {_share(short)} of any {_span(in_force.short_window_ms)}"
    yield f"lit: at most {_share(long)} of any {_span(in_force.long_window_ms)}"
    yield f"trains: at most {in_force.trains_per_minute} in any 60 s"
    yield f"level: at most {_share(in_force.level / 65_535)} of full power"
    yield f"dark by itself {in_force.lease_ms} ms after the host's last word"


def _span(ms: int) -> str:
    return f"{ms / 1000:g} s" if ms < 120_000 else f"{ms / 60_000:g} min"


def _share(part: float) -> str:
    return f"{part * 100:.3g} %"


def _notes(protocol: Protocol, rig: Rig | None) -> Iterator[str]:
    if rig is None:
        yield "no rig given: limits are the board's own, irradiance is unknown; add --rig"
    if protocol.policy.fire_code == 0:
        yield f"policy {protocol.policy.kind} gives no light; the figures are those of the arm it stands beside"
    if protocol.anchor is not None:
        yield _of_anchor(protocol.anchor)
    yield from protocol.notes(rig.daq.rate if rig else 130.0)


def _of_anchor(anchor: Anchor) -> str:
    """What the animal is compared with."""
    events, level = anchor.events, anchor.level
    said = f"events are rises through {100 * events.size:.3g} %, {events.rate:.3g} /min"
    told = "no level" if level is None else f"a level shift of {100 * expm1(level.smallest_shift):.2g} % can be told"
    return f"anchor of {anchor.subject}, {len(anchor.sessions)} sessions: {said}; {told}"


def _dose_warnings(tip: float | None, mean_mw: float | None, kelvin: float | None) -> Iterator[str]:
    if kelvin is not None and WARN_KELVIN < kelvin <= MOST_KELVIN:
        yield f"heat: modelled warming {kelvin:.2f} K is above {WARN_KELVIN:g} K; shorten light.on or lower the power"
    if mean_mw is not None and mean_mw > WARN_MEAN_MW:
        yield f"power: {mean_mw:.3g} mW over 10 min is above {WARN_MEAN_MW:g} mW (a working limit, unverified)"
    if tip is not None and tip > WARN_TIP:
        yield f"irradiance: {tip:.3g} mW/mm2 at the tip is above {WARN_TIP:g} (a working limit, unverified)"


def _setting_warnings(protocol: Protocol, rig: Rig | None, worst: Busiest) -> Iterator[str]:
    if rig is not None and rig.stimulator.wired_to is None:
        yield f"stimulator {rig.stimulator.kind} gives no light: every train will be refused"
    yield from _held_back(protocol, worst)


def _held_back(protocol: Protocol, worst: Busiest) -> Iterator[str]:
    """The first window in which the limits, and not the refractory time, decide how many trains there can be."""
    cycle_us = max(1, worst.train.span_us + round(protocol.policy.refractory * 1e6))
    for window_s in (60, 600):
        wanted, most = -(-window_s * 1_000_000 // cycle_us), worst.trains(window_s * 1_000_000)
        if protocol.duration > window_s and most < wanted:
            said = f"refractory {protocol.policy.refractory:g} s would let {wanted} trains begin in {window_s} s"
            yield f"{said}, the limits let {most}"
            return


def _anchor_refusals(protocol: Protocol, rig: Rig | None) -> list[str]:
    """Why levels on this rig can't be compared with the protocol's anchor; the animal is not known here."""
    return protocol.anchor_problems(None, rig.photometry) if rig else []


def _refusals(train: Train, rig: Rig | None, in_force: wire.Limits, kelvin: float | None) -> Iterator[str]:
    if rig is not None and rig.stimulator.wired_to is None:
        return  # there is no light to refuse
    yield from rig.impossible(train, in_force) if rig else limits.impossible(train, None, in_force)
    if kelvin is not None and kelvin > MOST_KELVIN:
        yield f"heat: modelled warming {kelvin:.2f} K is above {MOST_KELVIN:g} K; shorten light.on or lower the power"


def lines(found: Budget) -> list[str]:
    """The budget as aligned text for a terminal, one screen high."""
    rows = [(name, text) for name, text in _rows(found) if text]
    width = max(len(name) for name, _ in rows)
    head = f"{found.protocol} (condition {found.condition}) on {found.rig or 'no rig'}"
    return [head, *(f"  {name:<{width}}  {text}" for name, text in rows)]


def _rows(found: Budget) -> Iterator[tuple[str, str]]:
    yield "one train", f"{found.lit_s:g} s of light within {found.span_s:g} s"
    yield "power at the tip", _known(found.tip_mw, "mW")
    yield "irradiance at the tip", _known(found.tip_mw_per_mm2, "mW/mm2")
    yield "irradiance at the target", _range(found.target_mw_per_mm2)
    yield "energy of a train", _known(found.energy_per_train_mj, "mJ")
    yield "at worst", f"{found.trains_per_minute} trains in 60 s"
    yield "", f"lit {_share(found.short_duty)} of 60 s, {_share(found.long_duty)} of 10 min"
    yield "mean power at worst", _known(found.mean_mw, "mW over 10 min")
    yield "warming at worst", _known(found.heating_kelvin, "K (a conservative model)")
    for title, said in (("limits in force", found.limits), ("note", found.notes), ("warning", found.warnings)):
        yield from zip((title, *[""] * (len(said) - 1)), said, strict=False)
    yield from (("REFUSED", said) for said in found.refusals)
    if not found.refusals:
        yield "verdict", "nothing would be refused"


def _known(value: float | None, unit: str) -> str:
    return "unknown" if value is None else f"{value:.3g} {unit}"


def _range(values: tuple[float, float] | None) -> str:
    return "unknown" if values is None else f"{values[0]:.3g} to {values[1]:.3g} mW/mm2 (two models)"
