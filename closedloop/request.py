"""What is to be run, with everything that can be known of it beforehand; and what is refused before anything starts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from closedloop import dose, gates, preparation, wire
from closedloop.dose import DoseLimits
from closedloop.errors import ConfigError
from closedloop.limits import effective
from closedloop.protocol import Protocol, Setting, needs_control
from closedloop.readings import Stream
from closedloop.rig import SIMULATED, Rig


@dataclass(frozen=True)
class Request:
    """What is to be run, all of it checked already.

    Attributes:
        protocol: what is done.
        rig: what it is done with.
        subject: the animal; None for the folder's default.
        out: the data folder.
        duration_s: of sample time; None for the protocol's, or all of a played recording.
        seed: of everything random in the session.
        play: a recording for the simulated DAQ to play in the virtual animal's place.
        speed: how many times as fast, 1 unless something is played.
        by_hand: whether arming waits for a person.
        study: name, phase and code of the study that this session is of; None for none.
        blind: whether the arm is kept from whoever watches.
    """

    protocol: Protocol
    rig: Rig
    out: Path
    seed: int
    subject: str | None = None
    duration_s: float | None = None
    play: Stream | None = None
    speed: float = 1.0
    by_hand: bool = False
    study: dict[str, Any] | None = None
    blind: bool = False

    @property
    def expected_s(self) -> float:
        """Sample time until the end, as far as it is known now."""
        if self.play is not None:
            return min(self.duration_s or self.play.duration_s, self.play.duration_s)
        return self.duration_s or self.protocol.lasts_s

    @property
    def limits(self) -> wire.Limits:
        """The tightest of the board's ceiling, the rig's limits and the protocol's."""
        return effective(self.rig.limits, self.protocol.limits, lease_s=self.rig.stimulator.lease)

    @property
    def dose(self) -> DoseLimits:
        """Of the whole session: the least of the rig's and the protocol's."""
        return dose.effective(self.rig.limits, self.protocol.limits)

    @property
    def input_names(self) -> tuple[str, ...]:
        """Of the digital inputs, in the order of their bits."""
        return tuple(self.play.input_names) if self.play else tuple(self.rig.inputs)

    @property
    def setting(self) -> Setting:
        """What the session brings to its protocol's plan."""
        light = self.protocol.light
        return Setting(
            seed=self.seed,
            input_names=self.input_names,
            dose=self.dose,
            recovery_s=self.rig.recovery_s,
            level=self.rig.command(light).level,
            power_mw=self.rig.tip_mw(light),
            real_time=self.speed == 1,
        )


def refuse(request: Request) -> None:
    """Refuse what cannot work, before anything is started.

    Raises:
        ConfigError: with one line a problem.
    """
    problems = []
    if request.play is not None and request.rig.daq.port != SIMULATED:
        problems.append("--play: only the simulated rig plays a recording; use --rig simulated")
    if request.speed != 1 and request.play is None:
        problems.append("--speed: only a played recording can be sped up; add --play RECORDING")
    if request.play is not None:
        problems += request.rig.lease_problems(request.play.rate_hz)
        problems += needs_control(request.protocol, request.play)
    problems += request.protocol.rate_problems(request.play.rate_hz if request.play else request.rig.daq.rate)
    problems += request.rig.impossible(request.protocol.light, request.limits)
    problems += request.rig.light_problems(datetime.now().astimezone().date())
    problems += request.rig.artefact_problems()
    problems += preparation.problems(request.protocol.preparation, request.rig.light, request.rig.photometry)
    problems += dose.impossible(request.protocol.light, request.rig.tip_mw(request.protocol.light), request.dose)
    problems += _heat_problems(request)
    problems += gates.problems(request.protocol.gates, request.input_names)
    problems += _policy_problems(request)
    problems += request.protocol.anchor_problems(request.subject, request.rig.photometry)
    if request.protocol.anchor is not None and request.subject is None:
        problems.append(f"--subject: the anchor is of {request.protocol.anchor.subject}; say which animal this is")
    if problems:
        raise ConfigError(*problems)


def _heat_problems(request: Request) -> list[str]:
    """Why tissue could become too warm by any of the policies, each said once."""
    light, rig = request.protocol.light, request.rig
    lit = [policy for policy in request.protocol.policies if policy.fire_code]
    found = [rig.heat_problems(light, one.refractory, request.limits, one.least_interval) for one in lit]
    return list(dict.fromkeys(said for problems in found for said in problems))


def _policy_problems(request: Request) -> list[str]:
    """Why the policies cannot work here; of a blinded session without what they say, for it names the arm."""
    protocol = request.protocol
    rig, light = request.rig, protocol.light
    problems = protocol.policy_problems(rig.command(light), request.limits, rig.tip_mw(light))
    if not request.blind:
        return problems
    if protocol.policy.watch(request.rig.daq.rate, protocol.warm_up) is not None:
        problems.append("the board would decide by itself")  # and tell the arms apart by what it says
    who = "whoever keeps the study's key finds out by closedloop check with that arm's policy"
    return [f"condition {protocol.condition}: the arm's policy cannot work here; {who}"] if problems else []
