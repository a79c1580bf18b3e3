"""What a session is done with: which device on which port, with which calibration. It names no experiment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from closedloop import wire
from closedloop.anchor import Photometry
from closedloop.limits import Limits, impossible
from closedloop.model import Micrometres, Millimetres, Milliwatts, Model, Nanometres, OneOf
from closedloop.simulation import Simulation
from closedloop.sources import Source
from closedloop.stimulators import Stimulator
from closedloop.train import Train
from closedloop.yaml_file import load, resolve

SIMULATED = "simulated"
_READINGS_A_LEASE = 2


class Fibre(Model):
    """The light's way into the tissue, and what leaves its end."""

    wavelength: Nanometres = Field(ge=300, le=1100, description="Of the inhibitory light.")
    full_power: Milliwatts = Field(gt=0, le=500, description="Measured at the fibre's tip at full level.")
    core: Micrometres = Field(gt=0, le=2000, description="Diameter of the fibre's core.")
    aperture: float = Field(gt=0, lt=1.3, description="Numerical aperture of the fibre.")
    depth: Millimetres = Field(0.5, ge=0, le=10, description="From the tip to the target.")


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
    light: Fibre | None = Field(None, description="Calibration; without it power and energy are unknown.")
    photometry: Photometry | None = Field(
        None, description="What the signal is measured with; a protocol with an anchor needs it."
    )
    limits: Limits | None = Field(None, description="Tighter limits than the stimulator board's own.")
    inputs: tuple[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")], ...] = Field(
        (), max_length=16, description="Names of the DAQ's digital inputs, in order."
    )
    simulation: Simulation | None = Field(None, description="What stands in for the hardware at port 'simulated'.")

    @model_validator(mode="after")
    def _devices_fit_together(self) -> Self:
        problems = [*self._port_problems(), *self.lease_problems(self.daq.rate)]
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
        return impossible(train, self.full_power_mw, in_force)

    @property
    def full_power_mw(self) -> float | None:
        """At the tip at full level; None without calibration."""
        return None if self.light is None else self.light.full_power

    def tip_mw(self, train: Train) -> float | None:
        """Power at the tip while a pulse of this train is on; None without calibration."""
        if self.light is None:
            return None
        return train.power if train.power is not None else train.level * self.light.full_power


def load_rig(name: str, overrides: Sequence[str] = ()) -> Rig:
    """The rig of a path, or of the bare name of a file in configs/rigs.

    Raises:
        ConfigError: one line a problem.
    """
    mistaken = {"detector": "belongs to a protocol, and this must be a rig; give for example --rig simulated"}
    return load(Rig, resolve(name, "rigs"), overrides, mistaken)
