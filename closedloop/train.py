"""A train of light pulses, and the reasons for which one is not given. Nothing here sends anything."""

from __future__ import annotations

from enum import IntEnum
from typing import Self

from pydantic import Field, model_validator

from closedloop.model import Fraction, Milliwatts, Model, Seconds


class Refusal(IntEnum):
    """Why the host did not ask for light. The first that applies is the one recorded."""

    NONE = 0
    WARM_UP = 1  # the protocol's warm-up is not over, or began anew
    GAP = 2  # readings are missing
    DROPPED = 3  # the converter lost part of this reading, or the LEDs lost their order
    SATURATED = 4
    FLAT = 5  # the same count over and over: no living signal does that
    UNPLUGGED = 6  # the level fell far below what it was
    JUMP = 7  # the level leapt: handling, a cable, a lamp
    NO_SIGNAL = 8  # nothing but white noise so far: is the fibre connected, are the LEDs on?
    REFRACTORY = 9
    ON_TIME = 10
    OFF_TIME = 11
    DUTY_SHORT = 12
    DUTY_LONG = 13
    TRAIN_RATE = 14
    LEVEL = 15
    STALE = 16  # live only: the reading was too old by the time it was understood
    NOT_ARMED = 17  # live only
    BELOW_DARK = 18  # no brighter with the LED on than with it off
    GATE = 19  # a digital input keeps it shut
    PAUSED = 20
    UNKNOWN_SCORE = 21  # a planned train, while the detector does not know
    DOSE_TRAINS = 22  # the session's limits, reached for good
    DOSE_ON = 23
    DOSE_ENERGY = 24
    HEAT = 25  # modelled warming would exceed the limit; it cools
    NO_CLOCK = 26  # live only: a planned train, while the stimulator's clock is not known
    ENDED = 27  # the last block is over


class Train(Model):
    """One train: `count` pulses of `on`, a new one every `period`, then a ramp down from the last."""

    on: Seconds = Field(gt=0, description="How long each pulse is lit.")
    period: Seconds | None = Field(None, gt=0, description="From one pulse's start to the next; needed if count > 1.")
    count: int = Field(1, ge=1, le=65_535, description="Pulses in a train.")
    power: Milliwatts | None = Field(None, gt=0, description="At the fibre's tip; needs the rig's calibration.")
    level: Fraction = Field(1.0, gt=0, le=1, description="Part of full power, where the rig has no calibration.")
    ramp_off: Seconds = Field(
        0.0, ge=0, le=1, description="Ramp down after the last pulse; spares pump opsins a rebound."
    )

    @model_validator(mode="after")
    def _pulses_do_not_touch(self) -> Self:
        if self.count > 1 and self.period is None:
            raise ValueError(f"count ({self.count}) of several pulses needs a period; add it, such as 'period: 2 s'")
        if self.period is not None and self.period <= self.on:
            raise ValueError(f"period ({self.period:g} s) must be longer than on ({self.on:g} s); lengthen it")
        return self

    @property
    def on_us(self) -> int:
        """Each pulse, in whole microseconds."""
        return round(self.on * 1e6)

    @property
    def period_us(self) -> int:
        """Start to start, in whole microseconds; the pulse itself if there is only one."""
        return round((self.period or self.on) * 1e6)

    @property
    def ramp_off_us(self) -> int:
        """The ramp, in whole microseconds."""
        return round(self.ramp_off * 1e6)

    @property
    def lit_us(self) -> int:
        """All light of a train, ramp included, in microseconds."""
        return self.count * self.on_us + self.ramp_off_us

    @property
    def span_us(self) -> int:
        """From first light to last, ramp included, in microseconds."""
        return (self.count - 1) * self.period_us + self.on_us + self.ramp_off_us

    @property
    def first_pulse_us(self) -> int:
        """From first light to the end of the first pulse, a ramp included if it is the only one, in microseconds."""
        return self.span_us if self.count == 1 else self.on_us
