"""A protocol on a rig with its worst case: every train as early as all limits let it come. It starts nothing."""

from __future__ import annotations

from datetime import date
from math import ceil
from typing import NamedTuple

from closedloop import dose, limits, wire
from closedloop.busiest import Busiest, busiest
from closedloop.dose import DoseLimits
from closedloop.fibre import Fibre
from closedloop.policies import Policy
from closedloop.protocol import Protocol
from closedloop.rig import HEAT_SETTLES_S, Rig
from closedloop.train import Train

_HOUR_S = 3600.0
_LEASE_S = wire.CEILING.lease_ms / 1000  # of a rig that is not known


class Worst(NamedTuple):
    """The worst of several policies, figure by figure: which one it is may differ between a minute and ten."""

    each: tuple[Busiest, ...]

    def lit_us(self, window_us: int) -> int:
        """The most light in any window, in microseconds."""
        return max(one.lit_us(window_us) for one in self.each)

    def trains(self, window_us: int) -> int:
        """The most trains that begin within any window."""
        return max(one.trains(window_us) for one in self.each)

    def kelvin(self, power_mw: float) -> float:
        """Highest warming by the conservative two-pole model."""
        return max(one.kelvin(power_mw) for one in self.each)


class Case(NamedTuple):
    """What is judged, with what follows from it at once."""

    protocol: Protocol
    rig: Rig | None
    today: date
    in_force: wire.Limits
    dose: DoseLimits
    tip_mw: float | None
    worst: Worst

    @property
    def train(self) -> Train:
        """The protocol's."""
        return self.protocol.light

    @property
    def fibre(self) -> Fibre | None:
        """The light's way; None if it is not known."""
        return self.rig.light if self.rig else None

    @property
    def is_lit(self) -> bool:
        """Whether anything could give light."""
        return self.rig is None or self.rig.stimulator.wired_to is not None


def case_of(protocol: Protocol, rig: Rig | None, today: date) -> Case:
    """What is judged: limits in force, the power at the tip, and the worst case of each policy that acts."""
    lease_s = rig.stimulator.lease if rig else _LEASE_S
    asked = (rig.limits if rig else None, protocol.limits)
    in_force = limits.effective(*asked, lease_s=lease_s)
    tip_mw = rig.tip_mw(protocol.light) if rig else protocol.light.power
    worst = tuple(
        busiest(protocol.light, one.refractory, in_force, HEAT_SETTLES_S, one.least_interval)
        for one in acting(protocol)
    )
    return Case(protocol, rig, today, in_force, dose.effective(*asked), tip_mw, Worst(worst))


def acting(protocol: Protocol) -> list[Policy]:
    """The policies that may want a train by themselves; the protocol's own where none does."""
    return [one for one in protocol.policies if one.decisions] or [protocol.policy]


def session_trains(case: Case) -> int:
    """Most trains of a session: in each block as early as all limits let them come, up to the session's own limit."""
    protocol, total = case.protocol, 0
    stretches = [(block.policy or protocol.policy, block.lasts, block.trains) for block in protocol.blocks]
    for policy, lasts_s, most in stretches or [(protocol.policy, protocol.lasts_s - protocol.warm_up, None)]:
        if not policy.decisions:
            continue
        trains = _most(case, policy, lasts_s)
        total += trains if most is None else min(trains, most)
    return min(total, dose.most_trains(case.train, case.tip_mw, case.dose)[0])


def _most(case: Case, policy: Policy, lasts_s: float) -> int:
    """Most trains of one policy within so long; beyond two hours the second hour's count stands for each later one."""
    within_s = min(lasts_s, 2 * _HOUR_S)
    starts_us = busiest(case.train, policy.refractory, case.in_force, within_s - 1e-6, policy.least_interval).starts_us
    later = sum(start_us >= _HOUR_S * 1e6 for start_us in starts_us)
    return len(starts_us) + later * ceil((lasts_s - within_s) / _HOUR_S)


def duty(worst: Worst, window_ms: int) -> float:
    """Largest part lit of any such window."""
    return worst.lit_us(window_ms * 1000) / (window_ms * 1000)
