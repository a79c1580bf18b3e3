"""What is done in a session, as a frozen value: the experiment's YAML. It names no port and no pin, and starts nothing.

A protocol runs unchanged on another lab's rig. It becomes a loop through `Protocol.plan`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from closedloop import anchor as anchors
from closedloop import detectors, dose, online, wire
from closedloop.anchor import Anchor, Photometry
from closedloop.deciding import decisions_of, seed_of
from closedloop.detectors import Detector
from closedloop.dose import DoseLimits
from closedloop.errors import ConfigError
from closedloop.features import Feature
from closedloop.gates import MOST_GATES, Gate
from closedloop.limits import Command, Limits, command
from closedloop.loop import Plan
from closedloop.model import InFile, Model, OneOf, Part, Seconds, as_list, parts_within, source_digest
from closedloop.policies import Policy
from closedloop.preparation import Preparation
from closedloop.quality import Quality
from closedloop.readings import FLAG_NO_CONTROL, Stream
from closedloop.schedule import MOST_BLOCKS, Block, policies_of
from closedloop.train import Train
from closedloop.yaml_file import load, resolve


def _as_anchor(value: Any, info: ValidationInfo) -> Any:
    """A path stands for the anchor in that file; a relative one begins at the protocol's own folder."""
    if not isinstance(value, str):
        return value
    folder = (info.context or {}).get("folder", Path())
    try:
        return anchors.read(folder / value)
    except ConfigError as error:
        raise ValueError(str(error)) from error


_LONGEST_S = 7 * 24 * 3600.0  # a week; what is longer is a slip of the pen, and would take the budget for ever


class Setting(NamedTuple):
    """What a session brings to a protocol's plan.

    Attributes:
        seed: of what the policies draw.
        input_names: of the digital inputs, in the order of their bits.
        dose: the session's limits; None for the protocol's own.
        recovery_s: measured on the rig; the longer of this and the protocol's counts.
        level: of the light in 1/65535 of full power, from the rig's calibration curve; None for a straight line.
        power_mw: of the light at the tip, from that curve; None for the straight line.
        real_time: False of a recording that is played faster than it was made.
    """

    seed: int = 0
    input_names: tuple[str, ...] = ()
    dose: DoseLimits | None = None
    recovery_s: float = 0.0
    level: int | None = None
    power_mw: float | None = None
    real_time: bool = True

    @classmethod
    def of(cls, header: Mapping[str, Any], light: Train) -> Self:
        """What a recorded session brought to its plan; level and power only for the very light that it gave."""
        same = header.get("protocol", {}).get("light") == light.model_dump(mode="json")
        said, command = header.get("dose"), header.get("command")
        return cls(
            seed=header.get("seed", 0),
            input_names=tuple(header.get("input_names", ())),
            dose=DoseLimits(**said) if said else None,
            recovery_s=header.get("recovery_s", 0.0),
            level=command["level"] if same and command else None,
            power_mw=header.get("tip_mw") if same else None,
            real_time=header.get("speed", 1) == 1,
        )


PLAIN = Setting()


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
    phase: str = Field(
        "-",
        min_length=1,
        max_length=40,
        examples=["withdrawal day 7"],
        description="Of the study: baseline, withdrawal day 7, re-exposure. Sessions are tabulated by it.",
    )
    description: str = Field("", description="For people.")
    anchor: Annotated[Anchor | None, BeforeValidator(_as_anchor), InFile()] = Field(
        None, description="File of the animal's drug-free reference, made by closedloop anchor."
    )
    warm_up: Seconds = Field(ge=0, description="Nothing fires before so much sample time, from the start or a restart.")
    duration: Seconds | None = Field(
        None,
        gt=0,
        description="Sample time of a session, unless --duration says otherwise; not where there are blocks.",
    )
    features: Annotated[
        tuple[Annotated[Feature, OneOf("closedloop.features")], ...],
        BeforeValidator(as_list),
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
        examples=["{kind: closed_loop}"], description="Score to wanted train. A study's arm replaces it."
    )
    blocks: tuple[Block, ...] = Field(
        (), max_length=MOST_BLOCKS, description="What follows warm-up, one after the other; none: one without end."
    )
    gates: Annotated[tuple[Gate, ...], BeforeValidator(as_list)] = Field(
        (), max_length=MOST_GATES, description="Digital inputs that must all agree before light may be given."
    )
    light: Train = Field(examples=["{on: 500 ms, level: 50 %}"], description="What one train is.")
    recovery: Seconds = Field(0.5, ge=0, description="After light, baseline and statistics stay frozen for so long.")
    quality: Quality = Field(default_factory=Quality, description="When the signal is not fit to act on.")
    limits: Limits | None = Field(None, description="Tighter limits than the rig's.")
    preparation: Preparation | None = Field(None, description="Opsin, indicator and where the light goes.")

    @model_validator(mode="after")
    def _time_is_left_to_act(self) -> Self:
        if self.blocks and self.duration is not None:
            raise ValueError("duration and blocks both say how long a session is; leave duration out")
        if not self.blocks and self.duration is None:
            raise ValueError("duration: missing; write for example 'duration: 30 min', or give blocks")
        if self.duration is not None and self.duration <= self.warm_up:
            raise ValueError(
                f"duration ({self.duration:g} s) is over before warm_up ({self.warm_up:g} s) is; lengthen duration"
            )
        if self.lasts_s > _LONGEST_S:
            raise ValueError(f"the session lasts {self.lasts_s / 3600:g} h, more than 168 h; shorten it or its blocks")
        return self

    @model_validator(mode="after")
    def _board_detects_alone(self) -> Self:
        kinds = [policy.kind for policy in self.policies]
        if "on_board" in kinds and (len(kinds) > 1 or self.gates):
            raise ValueError(
                "policy on_board: the board knows no blocks with other policies, and no gates; leave them out"
            )
        return self

    @property
    def policies(self) -> tuple[Policy, ...]:
        """The protocol's own and those of its blocks, each once."""
        return policies_of(self.policy, self.blocks)

    @property
    def decisions(self) -> tuple[str, ...]:
        """All that may be decided in a session, number 1 first."""
        return decisions_of(self.policy, self.blocks)

    @property
    def lasts_s(self) -> float:
        """Sample time of a session, without pauses."""
        return self.duration if self.duration is not None else self.warm_up + sum(b.lasts for b in self.blocks)

    @property
    def block_names(self) -> tuple[str, ...]:
        """By number in the recording's rows, from 1 on; without blocks none."""
        return tuple(block.name for block in self.blocks)

    def in_arm(self, policy: Policy, code: str) -> Self:
        """The same session in an arm of a study: another policy, and the arm's opaque code."""
        return self.model_copy(update={"policy": policy, "condition": code})

    def drawn(self, seed: int) -> list[dict[str, Any]]:
        """What the policies draw before the session, as plain values for the recording."""
        all_drawn = [(one.kind, one.drawn(seed_of(seed, at))) for at, one in enumerate(self.policies)]
        return [{"policy": kind, **drawn} for kind, drawn in all_drawn if drawn is not None]

    @model_validator(mode="after")
    def _anchor_says_what_is_left_open(self) -> Self:
        open_parts = [part.kind for part in self._parts() if getattr(part, "needs_anchor", False)]
        if self.anchor is None and open_parts:
            raise ValueError(
                f"{open_parts[0]} compares with the animal's anchor, and there is none; add 'anchor: FILE', made by "
                "closedloop anchor"
            )
        if self.anchor is not None and not self.anchor.tells_of(self.features):
            raise ValueError(
                f"anchor: its events and noise are those of another chain of features ({self.anchor.chain}); use that "
                "chain, field by field, and give a detector that needs another one 'features' of its own"
            )
        self.anchored_parts()
        return self

    def _parts(self) -> list[Part]:
        """Features, detector and policy, and what they are made of."""
        return [part for one in (*self.features, self.detector, *self.policies) for part in parts_within(one)]

    def anchored_parts(self, photometry: Photometry | None = None) -> tuple[tuple[Feature, ...], Detector]:
        """Features and detector, with what they leave open taken from the anchor.

        Args:
            photometry: of the session's rig: the dark offsets of the day count, not those of the anchor's days.

        Raises:
            ValueError: the anchor does not allow what is asked for; says why.
        """
        if self.anchor is None:
            return self.features, self.detector
        anchor = self.anchor if photometry is None else self.anchor.model_copy(update={"photometry": photometry})
        return tuple(feature.anchored(anchor) for feature in self.features), detectors.anchored(self.detector, anchor)

    def anchor_problems(self, subject: str | None, photometry: Photometry | None) -> list[str]:
        """Why the anchor cannot serve this animal on a rig that measures so; nothing if it can, or there is none."""
        if self.anchor is None:
            return []
        return [f"anchor of {self.anchor.subject}: {one}" for one in self.anchor.mismatches(subject, photometry)]

    def plan(
        self,
        limits: wire.Limits,
        full_power_mw: float | None,
        photometry: Photometry | None = None,
        setting: Setting = PLAIN,
    ) -> Plan:
        """The loop's parts under these limits.

        Args:
            limits: those in force.
            full_power_mw: the rig's power at the tip at full level; None without calibration.
            photometry: what the rig measures with; None where it does not say.
            setting: all else that a session has and a protocol has not.
        """
        known = self.light.power is None or full_power_mw is not None
        features, detector = self.anchored_parts(photometry)
        power_mw = self.light.power if setting.power_mw is None else setting.power_mw
        if power_mw is None and full_power_mw is not None:
            power_mw = self.light.level * full_power_mw
        level = command(self.light, full_power_mw).level if setting.level is None else setting.level
        return Plan(
            features=features,
            detector=detector,
            policy=self.policy,
            quality=self.quality,
            train=self.light,
            level=level if known else 0,  # unknown: no limit can be judged by it
            limits=limits,
            warm_up_s=self.warm_up,
            recovery_s=max(self.recovery, setting.recovery_s),
            blocks=self.blocks,
            gates=self.gates,
            input_names=setting.input_names,
            dose=setting.dose if setting.dose is not None else dose.effective(self.limits),
            power_mw=power_mw,
            seed=setting.seed,
            real_time=setting.real_time,
        )

    def rate_problems(self, rate_hz: float) -> list[str]:
        """Why the parts cannot work on so many readings a second; nothing if they can."""
        problems: list[str] = []
        features, detector = self.anchored_parts()
        for make in (*(feature.parameters for feature in features), detectors.whole(detector).parameters):
            try:
                make(rate_hz)
            except ConfigError as error:
                problems += error.problems
        return problems

    def policy_problems(
        self, command: Command, limits: wire.Limits | None = None, tip_mw: float | None = None
    ) -> list[str]:
        """Why the policies cannot work with this protocol's train; nothing if they can.

        Args:
            command: the train as the board is told it.
            limits: those in force.
            tip_mw: power at the tip while it is lit; None if unknown.
        """
        told, lit_s = command._asdict(), self.light.lit_us / 1e6
        return [
            f"policy {one.kind}: {said}" for one in self.policies for said in one.problems(told, lit_s, limits, tip_mw)
        ]

    def part_digests(self) -> dict[str, str]:
        """Which version of each part's file this protocol ran with, of its bases, and of the statistics they share."""
        kinds = [kind for part in self._parts() for kind in type(part).__mro__ if issubclass(kind, Part)]
        return {kind.__module__: source_digest(kind) for kind in kinds} | online.source_digests()

    def notes(self, rate_hz: float) -> list[str]:
        """What a user should know of the features at this rate."""
        features, detector = self.anchored_parts()
        said = [note for feature in features for note in feature.notes(rate_hz)]
        return said + detector.notes(rate_hz)


def needs_control(protocol: Protocol, stream: Stream) -> list[str]:
    """What is wrong with this protocol for a recording without a control channel, if it is one."""
    if len(stream.readings) == 0 or not stream.readings["flags"][0] & FLAG_NO_CONTROL:
        return []
    needy = {f"features.{at}": feature.kind for at, feature in enumerate(protocol.features) if feature.needs_control}
    if protocol.detector.needs_control:
        needy["detector"] = protocol.detector.kind
    return [
        f"{place}: {kind} needs a control channel, {stream.source} has none; use mode off, or dff"
        for place, kind in needy.items()
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
