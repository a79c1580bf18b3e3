"""What a session is done with: which device on which port, with which calibration. It names no experiment."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from closedloop import wire
from closedloop.anchor import Photometry
from closedloop.artefact import Artefact, as_artefact
from closedloop.busiest import busiest
from closedloop.errors import ConfigError
from closedloop.fibre import Fibre
from closedloop.limits import Command, Limits, command, impossible
from closedloop.model import InFile, Model, OneOf
from closedloop.optics import MOST_KELVIN
from closedloop.realtime import Waiting
from closedloop.simulation import Simulation
from closedloop.sources import Source
from closedloop.stimulators import Stimulator
from closedloop.train import Train
from closedloop.yaml_file import load, resolve

SIMULATED = "simulated"
_READINGS_A_LEASE = 2
HEAT_SETTLES_S = 1200.0  # two long windows: the dose repeats itself by then


class Rig(Model):
    """One rig."""

    version: Literal[1] = Field(description="Of this file's format.")
    name: str = Field(min_length=1, max_length=80, examples=["my_rig"], description="Shown wherever the rig is.")
    description: str = Field("", description="For people.")
    daq: Annotated[Source, OneOf("closedloop.sources")] = Field(
        examples=["{kind: photometry_board, port: COM3}"], description="The device that measures."
    )
    stimulator: Annotated[Stimulator, OneOf("closedloop.stimulators")] = Field(
        examples=["{kind: arduino, port: COM4}"], description="The device that gives light."
    )
    light: Fibre | None = Field(None, description="The light's way; without it power and energy are unknown.")
    photometry: Photometry | None = Field(
        None, description="What the signal is measured with; a protocol with an anchor needs it."
    )
    artefact: Annotated[Artefact | None, BeforeValidator(as_artefact), InFile()] = Field(
        None, description="What light does to the signal here, made by closedloop selftest --artefact."
    )
    limits: Limits | None = Field(None, description="Tighter limits than the stimulator board's own.")
    inputs: tuple[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")], ...] = Field(
        (), max_length=16, description="Names of the DAQ's digital inputs, in order."
    )
    waiting: Waiting = Field(
        "sleep",
        description="How the engine waits for bytes: sleep; awake (Linux: while a session runs no core of the computer "
        "sleeps, which costs power and saves 0.1 ms); spin (it asks without end, which costs a whole core).",
    )
    simulation: Simulation | None = Field(None, description="What stands in for the hardware at port 'simulated'.")

    @model_validator(mode="after")
    def _devices_fit_together(self) -> Self:
        problems = [*self._port_problems(), *self.lease_problems(self.daq.rate)]
        if len(set(self.inputs)) < len(self.inputs):
            problems.append("inputs have one name twice, so that a gate could mean either; give each its own")
        if self.simulation is not None and self.simulation.arena is not None:
            problems += self.simulation.arena.input_problems(self.inputs)
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _port_problems(self) -> list[str]:
        measures, lights = self.daq.port, self.stimulator.wired_to
        if measures == lights != SIMULATED:
            return self._one_board_problems()
        if SIMULATED in (measures, lights) and self.simulation is None:
            return ["simulation is missing, and port 'simulated' needs it; add 'simulation: {}'"]
        if lights is not None and (measures == SIMULATED) != (lights == SIMULATED):
            return [
                f"stimulator.port ({lights}) does not go with daq.port ({measures}); make both simulated, or neither"
            ]
        return []

    def _one_board_problems(self) -> list[str]:
        """One board in both roles, on one port, has one baud rate."""
        bauds = {getattr(self.daq, "baud", None), getattr(self.stimulator, "baud", None)}
        if len(bauds) == 1 and None not in bauds:
            return []
        return [f"stimulator.baud is not the daq's, and both are on one port ({self.daq.port}); make them equal"]

    def lease_problems(self, rate_hz: float) -> list[str]:
        """Why the lease is too short for readings at this rate; a played recording has its own."""
        least_s = _READINGS_A_LEASE / rate_hz
        if self.stimulator.lease >= least_s:
            return []
        said = (
            f"stimulator.lease ({self.stimulator.lease * 1000:g} ms) is shorter than two readings at "
            f"{rate_hz:g} Hz, so light could never stay on; make it {least_s * 1000:g} ms or longer"
        )
        return [said]

    def impossible(self, train: Train, in_force: wire.Limits) -> list[str]:
        """Why every train like this one would be refused here; nothing where the rig gives no light at all.

        Args:
            train: as the protocol has it.
            in_force: the limits.
        """
        if self.stimulator.wired_to is None:
            return []
        if self.light is None and train.power is not None:
            said = "the rig has no calibration to set a power by; give it a light section, or use 'level'"
            return [f"light.power: {said}"]
        if self.light is not None and (problems := self.light.power_problems(train.power, train.level)):
            return problems
        return impossible(train, self._straight_mw(train), in_force)

    @property
    def full_power_mw(self) -> float | None:
        """At the tip at full level, or at the highest level of the calibration; None without calibration."""
        return None if self.light is None else self.light.top_mw

    def level_of(self, power_mw: float) -> float:
        """The level, 0 to 1, that gives a power at the tip; above 1 where that is more than full power.

        Raises:
            ConfigError: the rig has no calibration, or the power is beyond its table.
        """
        if self.light is None:
            raise ConfigError("light.power: the rig has no calibration to set a power by; give it a light section")
        return self.light.level_of(power_mw)

    def power_of(self, level: float) -> float | None:
        """Power at the tip at a level, 0 to 1; None without calibration, or beyond its table."""
        return None if self.light is None else self.light.power_of(level)

    def tip_mw(self, train: Train) -> float | None:
        """Power at the tip while a pulse of this train is on; None without calibration."""
        if self.light is None:
            return None
        return train.power if train.power is not None else self.power_of(train.level)

    def command(self, train: Train) -> Command:
        """The train as the board is told it; its power becomes a level by the calibration.

        Raises:
            ConfigError: its power is beyond the calibration's table.
        """
        return command(train, self._straight_mw(train))

    def _straight_mw(self, train: Train) -> float | None:
        """Full power of the straight line through nothing and this train: one that has its level by the curve."""
        if self.light is None or self.light.calibration is None or train.power is None:
            return self.full_power_mw
        return train.power / self.light.level_of(train.power)

    @property
    def recovery_s(self) -> float:
        """After light, as measured on this rig; 0 where it was not."""
        return self.artefact.recovery if self.artefact else 0.0

    def artefact_problems(self) -> list[str]:
        """Why the measured artefact is not of this rig and its light; nothing if it is, or there is none."""
        if self.artefact is None:
            return []
        wavelength = self.light.wavelength if self.light else None
        return [
            f"artefact: of another {said}; measure it here" for said in self.artefact.mismatches(self.name, wavelength)
        ]

    def light_problems(self, today: datetime.date) -> list[str]:
        """Why the calibration may not be used today: too old, or drifted. Nothing if it may, or there is no table.

        Args:
            today: the day of the session.
        """
        if self.light is None or self.light.calibration is None or self.stimulator.wired_to is None:
            return []
        return [f"light.calibration: {said}" for said in self.light.calibration.problems(today)]

    def heat_problems(
        self, train: Train, refractory_s: float, in_force: wire.Limits, interval_s: float = 0.0
    ) -> list[str]:
        """Why tissue could become too warm: trains as early as all limits let them come, by the two-pole model.

        Args:
            train: as the protocol has it.
            refractory_s: the policy's.
            in_force: the limits.
            interval_s: the policy's least interval from start to start.
        """
        power_mw = self.tip_mw(train)
        if power_mw is None or self.stimulator.wired_to is None:
            return []
        return too_warm(busiest(train, refractory_s, in_force, HEAT_SETTLES_S, interval_s).kelvin(power_mw))


def too_warm(kelvin: float) -> list[str]:
    """The refusal of a protocol that could come to so much modelled warming; nothing if it may."""
    if kelvin <= MOST_KELVIN:
        return []
    said = f"modelled warming {kelvin:.2f} K is above {MOST_KELVIN:g} K"
    return [f"heat: {said}; shorten light.on or lower the power"]


def load_rig(name: str, overrides: Sequence[str] = ()) -> Rig:
    """The rig of a path, or of the bare name of a file in configs/rigs.

    Raises:
        ConfigError: one line a problem.
    """
    mistaken = {"detector": "belongs to a protocol, and this must be a rig; give for example --rig simulated"}
    return load(Rig, resolve(name, "rigs"), overrides, mistaken)
