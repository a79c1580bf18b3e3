"""What is done in a session, as a frozen value: the experiment's YAML. It names no port and no pin, and starts nothing.

A protocol runs unchanged on another lab's rig. It becomes a loop through `Protocol.plan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from closedloop import wire
from closedloop.detectors import Detector
from closedloop.features import Feature
from closedloop.limits import Limits, command
from closedloop.loop import Plan
from closedloop.model import Model, OneOf, Seconds, source_digest
from closedloop.policies import Policy
from closedloop.quality import Quality
from closedloop.readings import FLAG_NO_CONTROL, Stream
from closedloop.train import Train
from closedloop.yaml_file import load, resolve


def _as_chain(value: Any) -> Any:
    """A single feature may be written without a list."""
    return [value] if isinstance(value, dict) else value


class Protocol(Model):
    """An experiment's session."""

    version: Literal[1] = Field(description="Of this file's format.")
    name: str = Field(
        min_length=1, max_length=80, examples=["my_protocol"], description="Shown wherever the session is."
    )
    condition: str = Field(
        "-",
        min_length=1,
        max_length=40,
        description="Opaque code of the experiment's arm: what screens and summaries show in its place.",
    )
    description: str = Field("", description="For people.")
    warm_up: Seconds = Field(ge=0, description="Nothing fires before so much sample time, from the start or a restart.")
    duration: Seconds = Field(gt=0, description="Sample time of a session, unless --duration says otherwise.")
    features: Annotated[
        tuple[Annotated[Feature, OneOf("closedloop.features")], ...],
        BeforeValidator(_as_chain),
        Field(
            min_length=1,
            examples=["[{kind: dff}]"],
            description="Reading to number; each next one takes the last one's number.",
        ),
    ]
    detector: Annotated[Detector, OneOf("closedloop.detectors")] = Field(
        examples=["{kind: threshold}"], description="Number to score."
    )
    policy: Annotated[Policy, OneOf("closedloop.policies")] = Field(
        examples=["{kind: closed_loop}"], description="Score to wanted train."
    )
    light: Train = Field(examples=["{on: 500 ms, level: 50 %}"], description="What one train is.")
    recovery: Seconds = Field(0.5, ge=0, description="After light, baseline and statistics stay frozen for so long.")
    quality: Quality = Field(default_factory=Quality, description="When the signal is not fit to act on.")
    limits: Limits | None = Field(None, description="Tighter limits than the rig's.")

    @model_validator(mode="after")
    def _time_is_left_to_act(self) -> Self:
        if self.duration <= self.warm_up:
            raise ValueError(
                f"duration ({self.duration:g} s) is over before warm_up ({self.warm_up:g} s) is; lengthen duration"
            )
        return self

    def plan(self, limits: wire.Limits, full_power_mw: float | None) -> Plan:
        """The loop's parts under these limits.

        Args:
            limits: those in force.
            full_power_mw: the rig's power at the tip at full level; None without calibration.
        """
        known = self.light.power is None or full_power_mw is not None
        return Plan(
            features=self.features,
            detector=self.detector,
            policy=self.policy,
            quality=self.quality,
            train=self.light,
            level=command(self.light, full_power_mw).level if known else 0,  # unknown: no limit can be judged by it
            limits=limits,
            warm_up_s=self.warm_up,
            recovery_s=self.recovery,
        )

    def part_digests(self) -> dict[str, str]:
        """Which version of each part's file this protocol ran with."""
        parts = [*self.features, self.detector, self.policy]
        return {f"{type(part).__module__}": source_digest(type(part)) for part in parts}

    def notes(self, rate_hz: float) -> list[str]:
        """What a user should know of the features at this rate."""
        return [note for feature in self.features for note in feature.notes(rate_hz)]


def needs_control(protocol: Protocol, stream: Stream) -> list[str]:
    """What is wrong with this protocol for a recording without a control channel, if it is one."""
    if len(stream.readings) == 0 or not stream.readings["flags"][0] & FLAG_NO_CONTROL:
        return []
    return [
        f"features.{at}: {feature.kind} needs a control channel, {stream.source} has none; use mode off, or dff"
        for at, feature in enumerate(protocol.features)
        if feature.needs_control
    ]


def load_protocol(name: str, overrides: Sequence[str] = ()) -> Protocol:
    """The protocol of a path, or of the bare name of a file in configs/protocols.

    Raises:
        ConfigError: one line a problem.
    """
    mistaken = {"daq": "belongs to a rig, and this must be a protocol; give the rig after --rig"}
    return load(Protocol, resolve(name, "protocols"), overrides, mistaken)


def split_overrides(items: Sequence[str]) -> tuple[list[str], list[str]]:
    """`--set` items for the protocol, and those for the rig without their "rig."."""
    rig = [item.removeprefix("rig.") for item in items if item.startswith("rig.")]
    return [item for item in items if not item.startswith("rig.")], rig
