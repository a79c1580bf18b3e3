"""What goes wrong on the way, on purpose and reproducibly. No I/O and no clock."""

from __future__ import annotations

import random

from pydantic import Field

from closedloop.model import Fraction, Model, Seconds


class Faults(Model):
    """Faults of the simulated rig; times count from the stream's first reading."""

    damaged_fraction: Fraction = Field(0.0, ge=0, le=1, description="Part of the frames with one bit flipped.")
    duplicated_fraction: Fraction = Field(0.0, ge=0, le=1, description="Part of the frames that come twice.")
    truncated_fraction: Fraction = Field(0.0, ge=0, le=1, description="Part of the frames that lose their end.")
    stall_at: Seconds | None = Field(None, ge=0, description="When the DAQ stops sending.")
    stall_for: Seconds = Field(1.0, gt=0, description="For how long; those readings are lost.")
    unplug_at: Seconds | None = Field(None, ge=0, description="When both cables are pulled.")


class Line:
    """A cable in one direction, worn as `Faults` says, with dice of its own."""

    def __init__(self, faults: Faults, seed: str) -> None:
        self._faults = faults
        self._dice = random.Random(seed)  # noqa: S311 - dice, no secrets
        fractions = (faults.damaged_fraction, faults.duplicated_fraction, faults.truncated_fraction)
        self._is_worn = any(fractions)

    def carry(self, data: bytes) -> bytes:
        """The bytes that come out at the other end."""
        if not self._is_worn or not data:
            return data
        *frames, rest = data.split(b"\0")
        return b"".join(self._wear(frame + b"\0") for frame in frames) + rest

    def _wear(self, frame: bytes) -> bytes:
        times = 2 if self._happens(self._faults.duplicated_fraction) else 1
        return b"".join(self._truncate(self._flip(frame)) for _ in range(times))

    def _flip(self, frame: bytes) -> bytes:
        if not self._happens(self._faults.damaged_fraction):
            return frame
        bit = self._dice.randrange(8 * len(frame))
        flipped = frame[bit // 8] ^ 1 << bit % 8
        return frame[: bit // 8] + bytes((flipped,)) + frame[bit // 8 + 1 :]

    def _truncate(self, frame: bytes) -> bytes:
        if not self._happens(self._faults.truncated_fraction):
            return frame
        return frame[: self._dice.randrange(len(frame))]

    def _happens(self, fraction: float) -> bool:
        return self._dice.random() < fraction
