"""One session to be rehearsed, why it could not be run, and the loop it gets: that of a session on this rig."""

from __future__ import annotations

from dataclasses import dataclass

from closedloop import dose, gates, limits
from closedloop.loop import Loop, Plan
from closedloop.protocol import Protocol, Setting
from closedloop.rig import Rig
from closedloop.simulation.animal import Animal
from closedloop.simulation.arena import Arena

DELAY_US = 5_000  # from a reading to the light it decides on; benchmarks/latency.py measures what it is on a rig


@dataclass(frozen=True)
class Order:
    """One session to be rehearsed.

    Attributes:
        protocol: what is done; its policy is the arm's already.
        rig: what it is done with; its animal and arena are not asked, those below are.
        animal: the virtual animal of this session.
        arena: where it is; None where inputs stay low.
        seed: of animal and arena: the same in every arm, so that arms share what would happen in the dark.
        policy_seed: of what the policy draws.
        duration_s: of sample time; None for the protocol's.
        delay_us: from a reading to the light it decides on.
        keep: whether readings and steps are kept; a session of 30 min is 25 MB.
    """

    protocol: Protocol
    rig: Rig
    animal: Animal
    arena: Arena | None
    seed: int
    policy_seed: int = 0
    duration_s: float | None = None
    delay_us: int = DELAY_US
    keep: bool = False

    @property
    def rate_hz(self) -> float:
        """Readings a second."""
        return self.rig.daq.rate

    @property
    def readings(self) -> int:
        """In all."""
        return max(1, round((self.duration_s or self.protocol.lasts_s) * self.rate_hz))


def plan_of(order: Order) -> Plan:
    """The loop's parts, as a session on this rig would have them."""
    rig, protocol = order.rig, order.protocol
    in_force = limits.effective(rig.limits, protocol.limits, lease_s=rig.stimulator.lease)
    session_dose = dose.effective(rig.limits, protocol.limits)
    setting = Setting(order.policy_seed, tuple(rig.inputs), session_dose, level=rig.command(protocol.light).level)
    return protocol.plan(in_force, rig.full_power_mw, rig.photometry, setting)


def problems(order: Order) -> list[str]:
    """Why this session could not be run on this rig, as `closedloop run` would say it."""
    rig, protocol = order.rig, order.protocol
    in_force = limits.effective(rig.limits, protocol.limits, lease_s=rig.stimulator.lease)
    session_dose, light = dose.effective(rig.limits, protocol.limits), protocol.light
    said = [*protocol.rate_problems(order.rate_hz), *rig.impossible(light, in_force)]
    said += [*dose.impossible(light, rig.tip_mw(light), session_dose), *gates.problems(protocol.gates, rig.inputs)]
    if any(policy.kind == "on_board" for policy in protocol.policies):
        said.append("policy on_board: detection on the DAQ board is not rehearsed; run it on the simulated rig")
    return said


def loop_of(order: Order, nano_units: int) -> Loop:
    """A fresh loop for it."""
    return Loop(plan_of(order), rate_hz=order.rate_hz, nano_units=nano_units)
