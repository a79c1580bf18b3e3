"""What one reading is, wherever it came from: a board, a recording, or the virtual animal.

A reading is what the converter counted, not what somebody made of it: integer counts with the LED on
(`lit`) and off (`dark`), the board's own ticks, and flags. Multiplying by the scale is left to the loop,
so that a board and a file of the same counts give the same numbers to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from closedloop.errors import RecordingError
from closedloop.wire import Flag

READING = np.dtype(
    [
        ("ticks", "<i8"),  # microseconds on the DAQ's clock since its first reading, wrap undone
        ("seq", "<u4"),  # the DAQ's own count; a jump is a missing reading
        ("signal_lit", "<i4"),  # 470 nm: counts with the LED on
        ("signal_dark", "<i4"),  # 470 nm: counts with the LED off; 0 where the device subtracts by itself
        ("control_lit", "<i4"),  # 405 nm
        ("control_dark", "<i4"),
        ("inputs", "<u2"),  # digital inputs, bit 0 first
        ("flags", "<u2"),  # wire.Flag
    ],
    align=True,
)

# As plain numbers, for compiled code
FLAG_SIGNAL_SATURATED = int(Flag.SIGNAL_SATURATED)
FLAG_CONTROL_SATURATED = int(Flag.CONTROL_SATURATED)
FLAG_DROPPED_CONVERSIONS = int(Flag.DROPPED_CONVERSIONS)
FLAG_LIGHT = int(Flag.LIGHT)
FLAG_NO_CONTROL = int(Flag.NO_CONTROL)
FLAG_TRIGGER = int(Flag.TRIGGER)

COUNT_MAX = 2**31 - 1
MOST_AT_ONCE = 256  # readings that a live session hands on in one array; one read of a port holds half as many

Readings = npt.NDArray[np.void]


def scale_of(nano_units: int) -> float:
    """Units per count. Boards and files both carry it as whole nano-units, so that both divide once, here."""
    return nano_units / 1e9


@dataclass(frozen=True)
class Stream:
    """A finite run of readings with what is needed to make numbers of them.

    Attributes:
        readings: array of READING, ticks increasing, first ticks 0.
        rate_mhz: nominal readings a second, in millihertz.
        nano_units: units (volts, counts) of the signal and control per count, in 1e-9.
        source: what it was read from, for messages and the recording's header.
        input_names: name of each digital input in bit order.
    """

    readings: Readings
    rate_mhz: int
    nano_units: int
    source: str
    input_names: tuple[str, ...] = field(default=())

    @property
    def rate_hz(self) -> float:
        """Nominal readings per second."""
        return self.rate_mhz / 1000

    @property
    def duration_s(self) -> float:
        """From the first reading to the end of the last, in seconds."""
        return duration_s(self.readings["ticks"], self.rate_hz)


def duration_s(ticks: npt.NDArray[np.int64], rate_hz: float) -> float:
    """From the first reading, at tick 0, to the end of the last, in seconds of sample time; 0 of none."""
    return float(ticks[-1]) / 1e6 + 1 / rate_hz if len(ticks) else 0.0


def nominal_rate_mhz(ticks: npt.NDArray[np.int64]) -> int:
    """Readings a second of irregular ticks (microseconds), in millihertz: from the median step.

    Raises:
        RecordingError: fewer than two readings, or the median step is not positive.
    """
    if len(ticks) < 2:
        raise RecordingError(f"only {len(ticks)} reading(s): a recording needs at least two to have a rate")
    step_us = float(np.median(np.diff(ticks)))
    if not step_us > 0:
        raise RecordingError(f"the median time step is {step_us / 1e6:g} s; times must increase")
    return round(1e9 / step_us)


def digitise(values: npt.NDArray[np.float64]) -> int:
    """Smallest scale, in whole nano-units per count, at which every finite value fits a signed 32-bit count."""
    finite = values[np.isfinite(values)]
    largest = float(np.max(np.abs(finite))) if len(finite) else 0.0
    return max(1, int(np.ceil(largest * 1e9 / COUNT_MAX)))


def to_counts(values: npt.NDArray[np.float64], nano_units: int) -> npt.NDArray[np.int32]:
    """Values (units) as the counts a converter of that scale would have given, rounded to the nearest."""
    counts = np.rint(np.nan_to_num(values) * 1e9 / nano_units)
    return np.clip(counts, -COUNT_MAX, COUNT_MAX).astype(np.int32)
