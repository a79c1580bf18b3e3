"""What a virtual animal is: its states, indicator, fibre and converter, with units. Nothing is simulated here.

Of the defaults, those marked [m] were measured on two pyPhotometry recordings at 130 Hz (GCaMP6f and dLight in
the striatal dopamine system, each with a red control); those marked [p] are published; the others are invented,
chosen so that traces look like photometry. No recording of ventral pallidal glutamate neurons in withdrawal was
at hand. That withdrawal makes them hyperactive, and that photometry would show it, is a hypothesis which the
states called `withdrawal` simulate; it is not a finding.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from closedloop.model import Fraction, Hertz, Model, Rate, Seconds
from closedloop.simulation.animal_presets import PRESETS, PresetName


class State(Model):
    """How the neurons behave while a state lasts: three things that a detector may tell apart, and blood."""

    level: Fraction = Field(default=0.0, gt=-1, le=5, description="Tonic shift of dF/F.")
    event_rate: Rate = Field(default=4.0, ge=0, le=600, description="Transients a minute.")
    gain: float = Field(default=1.0, ge=0, le=100, description="Size of the transients, 1 being `events.amplitude`.")
    blood: Fraction = Field(
        default=0.0, gt=-0.5, lt=0.5, description="Part of the 470 nm signal that more blood takes away."
    )


class Phase(Model):
    """A stretch of the sequence."""

    state: str = Field(description="Name of one of the states.")
    lasts: Seconds = Field(gt=0, description="How long; the mean, where dwell is exponential.")


class Events(Model):
    """Transients: bursts of activity of log-normal size and length."""

    amplitude: Fraction = Field(default=0.04, ge=0, le=10, description="Median peak dF/F at gain 1.")
    amplitude_spread: float = Field(default=0.4, ge=0, le=2, description="SD of its logarithm.")
    lasts: Seconds = Field(
        default=0.6, ge=0.001, le=10, description="Median length of a burst; none is longer than 10 s."
    )
    lasts_spread: float = Field(default=0.4, ge=0, le=2, description="SD of its logarithm.")
    regularity: float = Field(
        default=1.0,
        ge=1,
        le=1000,
        description="Shape of the gamma intervals: 1 is a Poisson process, 100 nearly a clock.",
    )


class Indicator(Model):
    """From population activity to dF/F: two time constants, then a Hill curve."""

    rise: Seconds = Field(default=0.1, gt=0, description="Population rise: 0.1-0.5 s, slower than the indicator's own.")
    decay: Seconds = Field(default=0.6, gt=0, description="Population decay: 0.5-3 s.")
    resting: Fraction = Field(
        default=0.04, ge=0, lt=1, description="dF/F that activity at rest makes: what full inhibition takes away."
    )
    hill: float = Field(default=2.0, ge=1, le=4, description="Steepness; 2-3 for GCaMP.")
    half: float = Field(default=5.0, gt=0, description="Activity of half saturation, as a multiple of the resting one.")
    control_response: Fraction = Field(
        default=0.0,
        ge=-1,
        le=1,
        description="dF/F of the control for each of the signal; below 0 is the wrong-signed control.",
    )

    @model_validator(mode="after")
    def _rises_faster_than_it_decays(self) -> Self:
        if not self.rise < self.decay:
            raise ValueError("the rise must be shorter than the decay; shorten indicator.rise")
        return self


class Bleaching(Model):
    """Loss of fluorescence: two exponentials."""

    fast: Fraction = Field(default=0.02, ge=0, lt=1, description="Part lost quickly, after switching on.")
    fast_time: Seconds = Field(default=120.0, gt=0, description="Its time constant.")
    slow: Fraction = Field(default=0.1, ge=0, lt=1, description="Part lost slowly; in all 7 % in the first hour [m].")
    slow_time: Seconds = Field(default=5400.0, gt=0, description="Its time constant.")

    @model_validator(mode="after")
    def _something_is_left(self) -> Self:
        if self.fast + self.slow >= 1:
            raise ValueError("fast and slow together must leave something; lower one of them")
        return self


class Motion(Model):
    """Bending and twisting of fibre and head: shared by both channels."""

    wander: Fraction = Field(default=0.002, ge=0, lt=0.5, description="SD of the shared slow changes, below 0.5 Hz.")
    dip_rate: Rate = Field(default=0.07, ge=0, le=600, description="Dips a minute; four an hour [m].")
    dip_depth: Fraction = Field(default=0.06, ge=0, lt=1, description="Median depth of a dip.")
    dip_lasts: Seconds = Field(default=2.0, ge=0.001, le=10, description="Median length of a dip.")
    control_share: float = Field(default=1.0, ge=0, le=2, description="How much of all this the control sees.")


class Blood(Model):
    """Haemodynamics: absorption that differs between the two wavelengths."""

    wander: Fraction = Field(default=0.002, ge=0, lt=0.5, description="SD of the slow changes at 470 nm, below 0.1 Hz.")
    control_ratio: float = Field(default=1.8, ge=0, le=10, description="Absorption at 405 nm against that at 470 nm.")


class Noise(Model):
    """Noise of each channel by itself; parts are of the channel's level at the start."""

    white: Fraction = Field(
        default=0.005, ge=0, lt=1, description="SD of one reading of the signal: 0.35-0.7 % at 130 Hz [m]."
    )
    control_white: Fraction = Field(default=0.005, ge=0, lt=1, description="The same of the control.")
    red: Fraction = Field(
        default=0.006, ge=0, lt=1, description="SD of the coloured noise below 3 Hz, in both channels [m]."
    )
    shot: Fraction = Field(
        default=0.002, ge=0, lt=1, description="SD of photon noise at the starting level; goes with its root."
    )
    electronic: Fraction = Field(
        default=0.0001, ge=0, lt=1, description="SD with the LED off, of the converter's full scale."
    )
    line: Fraction = Field(default=0.001, ge=0, lt=1, description="Size of mains pick-up, as aliased by sampling.")
    line_frequency: Hertz = Field(default=50.0, gt=0, description="Of the mains.")


class Converter(Model):
    """From light to counts; parts are of full scale."""

    bits: int = Field(
        default=15, ge=8, le=24, description="Counts run from 0 to 2**bits - 1; 15 as pyPhotometry has [p]."
    )
    full_scale_volts: float = Field(default=3.316777, gt=0, le=1000, description="32768 steps of 101.22 uV [p].")
    signal: Fraction = Field(default=0.3, gt=0, description="Fluorescence of the signal at the start.")
    control: Fraction = Field(default=0.25, gt=0, description="Fluorescence of the control at the start.")
    offset: Fraction = Field(default=0.01, ge=0, lt=1, description="Converter's offset with everything dark.")
    ambient: Fraction = Field(default=0.005, ge=0, lt=1, description="Room light, seen with the LED on and off.")


class Artefact(Model):
    """What stimulation light does to the detector."""

    leak: Fraction = Field(
        default=0.005, ge=0, description="Light that gets through the filters at full light, of full scale."
    )
    uncancelled: Fraction = Field(
        default=0.1, ge=0, le=1, description="Part of it that reading with the LED off misses."
    )
    tail: Fraction = Field(
        default=0.2, ge=0, le=1, description="Part of it that lingers: autofluorescence, the amplifier."
    )
    decay: Seconds = Field(default=0.2, gt=0, description="Time constant of what lingers.")


class Inhibition(Model):
    """What stimulation light does to the neurons."""

    efficacy: Fraction = Field(default=0.8, ge=0, le=1, description="Part of all activity that full light takes away.")
    opsin_on: Seconds = Field(default=0.01, gt=0, description="Time constant of the opsin's opening.")
    opsin_off: Seconds = Field(
        default=0.01, gt=0, description="Of its closing; about 10 ms for pumps such as Jaws, ArchT."
    )


class Animal(Model):
    """A virtual animal; a field that is given stands above the preset's."""

    preset: PresetName = Field(default="akam_like", description="Where all fields that are not given come from.")
    states: dict[str, State] = Field(
        default_factory=lambda: {"baseline": State()}, min_length=1, description="States by name."
    )
    sequence: tuple[Phase, ...] = Field(
        default=(Phase(state="baseline", lasts=3600.0),),
        min_length=1,
        description="Phases; they repeat for ever.",
    )
    dwell: Literal["fixed", "exponential"] = Field(
        default="fixed", description="Whether phases last as told, or on average."
    )
    events: Events = Events()
    indicator: Indicator = Indicator()
    bleaching: Bleaching = Bleaching()
    control_bleaching: Bleaching = Bleaching()
    motion: Motion = Motion()
    blood: Blood = Blood()
    noise: Noise = Noise()
    converter: Converter = Converter()
    artefact: Artefact = Artefact()
    inhibition: Inhibition = Inhibition()

    @model_validator(mode="before")
    @classmethod
    def _preset_first(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return _merged(PRESETS.get(given.get("preset", "akam_like"), {}), given)

    @model_validator(mode="after")
    def _phases_name_states(self) -> Self:
        unknown = [phase.state for phase in self.sequence if phase.state not in self.states]
        if unknown:
            known = ", ".join(self.states)
            raise ValueError(f"sequence: no state is called '{unknown[0]}'; states are {known}")
        return self


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Both, field by field; where they meet `over` counts."""
    both = {key: _merged(under[key], value) if _maps(under.get(key), value) else value for key, value in over.items()}
    return under | both


def _maps(one: object, other: object) -> bool:
    return isinstance(one, dict) and isinstance(other, dict)
