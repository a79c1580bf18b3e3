"""What is said of a light budget in words: limits, notes, warnings and refusals. It starts nothing."""

from __future__ import annotations

from collections.abc import Iterator
from math import expm1

from closedloop import dose, gates, limits, wire
from closedloop.analysis.budget_table import share, span
from closedloop.analysis.worst_case import Case, acting
from closedloop.anchor import Anchor
from closedloop.dose import DoseLimits
from closedloop.optics import MOST_KELVIN, Findings
from closedloop.preparation import Preparation
from closedloop.protocol import Protocol
from closedloop.rig import Rig, too_warm

WARN_KELVIN = 0.5
WARN_MEAN_MW = 2.0
WARN_TIP = 75.0  # mW/mm2


def in_words(in_force: wire.Limits) -> Iterator[str]:
    """The limits in force, one by one."""
    short, long = in_force.short_on_ms / in_force.short_window_ms, in_force.long_on_ms / in_force.long_window_ms
    yield f"longest pulse, its ramp included: {in_force.on_us / 1000:g} ms"
    yield f"least darkness between pulses: {in_force.off_us / 1000:g} ms"
    yield f"lit: at most {share(short)} of any {_span(in_force.short_window_ms)}"
    yield f"lit: at most {share(long)} of any {_span(in_force.long_window_ms)}"
    yield f"trains: at most {in_force.trains_per_minute} in any 60 s"
    yield f"level: at most {share(in_force.level / 65_535)} of full power"
    yield f"dark by itself {in_force.lease_ms} ms after the host's last word"


def dose_in_words(most: DoseLimits) -> Iterator[str]:
    """The limits of a whole session, and of warming."""
    whole = {
        "trains": most.trains,
        "s of light": most.on_s,
        "mJ": most.energy_mj,
    }
    for unit, value in whole.items():
        if value is not None:
            yield f"at most {value:g} {unit} in the whole session"
    yield f"modelled warming: at most {most.kelvin:g} K"


def _span(ms: int) -> str:
    return f"{ms / 1000:g} s" if ms < 120_000 else f"{ms / 60_000:g} min"


def notes(protocol: Protocol, rig: Rig | None) -> Iterator[str]:
    """What to know of a protocol."""
    if rig is None:
        yield "no rig given: limits are the board's own, irradiance is unknown; add --rig"
    elif protocol.preparation is None:
        yield "no preparation given: whether opsin, indicator and light go together is not judged"
    if all(policy.fire_code == 0 for policy in protocol.policies):
        yield f"policy {protocol.policy.kind} gives no light; the figures are those of the arm it stands beside"
    if protocol.anchor is not None:
        yield _of_anchor(protocol.anchor)
    yield from protocol.notes(rig.daq.rate if rig else 130.0)
    if rig is not None and rig.artefact is not None:
        yield from rig.artefact.notes(protocol.recovery)
    for policy in protocol.policies:
        yield from (f"policy {policy.kind}: {said}" for said in policy.notes())


def _of_anchor(anchor: Anchor) -> str:
    """What the animal is compared with."""
    events, level = anchor.events, anchor.level
    said = f"events are rises through {100 * events.size:.3g} %, {events.rate:.3g} /min"
    told = "no level" if level is None else f"a level shift of {100 * expm1(level.smallest_shift):.2g} % can be told"
    return f"anchor of {anchor.subject}, {len(anchor.sessions)} sessions: {said}; {told}"


def dose_warnings(tip: float | None, mean_mw: float | None, kelvin: float | None, most: DoseLimits) -> Iterator[str]:
    """Light and heat that are allowed, and more than one should want."""
    if kelvin is not None and WARN_KELVIN < kelvin <= MOST_KELVIN:
        yield f"heat: modelled warming {kelvin:.2f} K is above {WARN_KELVIN:g} K; shorten light.on or lower the power"
    if kelvin is not None and most.kelvin < kelvin <= MOST_KELVIN:
        yield f"heat: the limit of {most.kelvin:g} K will hold trains back until it has cooled"
    if mean_mw is not None and mean_mw > WARN_MEAN_MW:
        yield f"power: {mean_mw:.3g} mW over 10 min is above {WARN_MEAN_MW:g} mW (a working limit, unverified)"
    if tip is not None and tip > WARN_TIP:
        yield f"irradiance: {tip:.3g} mW/mm2 at the tip is above {WARN_TIP:g} (a working limit, unverified)"


def target_warnings(
    prepared: Preparation | None, needed: tuple[float, float] | None, target: tuple[float, float] | None
) -> Iterator[str]:
    """Less light at the target than is wanted, or than opens half of the opsin."""
    if prepared is None or needed is None or target is None or target[0] >= needed[1]:
        return
    least = "is less than" if target[1] < needed[0] else "may be less than"
    wanted = "wanted" if prepared.needed is not None else f"that opens half of {prepared.opsin} ({source(prepared)})"
    said = f"{span(target)} mW/mm2 at the target {least} the {span(needed)} {wanted}"
    yield f"irradiance: {said}; raise the power, or bring the tip nearer"


def setting_warnings(case: Case) -> Iterator[str]:
    """What of the settings is not as it may seem."""
    if case.rig is not None and not case.is_lit:
        yield f"stimulator {case.rig.stimulator.kind} gives no light: every train will be refused"
    yield from _held_back(case)


def _held_back(case: Case) -> Iterator[str]:
    """The first window in which the limits, and not the refractory time, decide how many trains there can be."""
    policy = min(
        acting(case.protocol), key=lambda one: max(one.refractory, one.least_interval - case.train.span_us / 1e6)
    )
    rest_us = max(round(policy.refractory * 1e6), round(policy.least_interval * 1e6) - case.train.span_us)
    cycle_us = max(1, case.train.span_us + rest_us)
    for window_s in (60, 600):
        wanted, most = -(-window_s * 1_000_000 // cycle_us), case.worst.trains(window_s * 1_000_000)
        if case.protocol.lasts_s > window_s and most < wanted:
            said = f"refractory {policy.refractory:g} s would let {wanted} trains begin in {window_s} s"
            yield f"{said}, the limits let {most}"
            return


def refusals(case: Case, found: Findings, kelvin: float | None) -> Iterator[str]:
    """What will not run: the anchor, what does not go together, the calibration, the train, its dose and its heat."""
    if case.rig is not None:
        yield from case.protocol.anchor_problems(None, case.rig.photometry)
        yield from gates.problems(case.protocol.gates, case.rig.inputs)
    if not case.is_lit:
        return  # there is no light to refuse
    yield from (f"preparation.{said}" for said in found.refusals)
    yield from _light_refusals(case)
    yield from too_warm(0.0 if kelvin is None else kelvin)


def _light_refusals(case: Case) -> Iterator[str]:
    if case.rig is None:
        yield from limits.impossible(case.train, None, case.in_force)
        return
    yield from case.rig.light_problems(case.today)
    yield from case.rig.artefact_problems()
    impossible = case.rig.impossible(case.train, case.in_force)
    yield from impossible
    yield from dose.impossible(case.train, case.tip_mw, case.dose)
    if not impossible:
        yield from case.protocol.policy_problems(case.rig.command(case.train), case.in_force, case.tip_mw)


def source(prepared: Preparation | None) -> str | None:
    """Where the irradiance that is needed is from."""
    if prepared is None or prepared.found is None:
        return None
    return "as the protocol says" if prepared.needed is not None else prepared.found.half_source
