"""What goes wrong on a line: bits flip, bytes and frames are lost, doubled, swapped. From a seed; never from chance."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Rates:
    """Probabilities: the first three per byte, the last three per frame (what ends with a zero)."""

    flip: float = 0.0
    drop: float = 0.0
    double: float = 0.0
    frame_drop: float = 0.0
    frame_double: float = 0.0
    frame_swap: float = 0.0


class Faults:
    """One direction of a line. `counts` says how often each fault has struck, by its name in `Rates`."""

    def __init__(self, rates: Rates, seed: int) -> None:
        self.rates = rates
        self.counts = dict.fromkeys(Rates.__dataclass_fields__, 0)
        self._random = random.Random(seed)  # noqa: S311 - noise on a line, not a secret
        self._frame = bytearray()
        self._swapped = b""

    def _strikes(self, name: str) -> bool:
        rate: float = getattr(self.rates, name)
        struck = rate > 0 and self._random.random() < rate
        self.counts[name] += struck
        return struck

    def _byte(self, byte: int) -> bytes:
        if self._strikes("drop"):
            return b""
        if self._strikes("flip"):
            byte ^= 1 << self._random.randrange(8)
        return bytes((byte, byte)) if self._strikes("double") else bytes((byte,))

    def _whole(self, frame: bytes) -> bytes:
        if self._strikes("frame_drop"):
            return b""
        if self._strikes("frame_double"):
            frame += frame
        if not self._swapped and self._strikes("frame_swap"):
            self._swapped = frame
            return b""
        frame, self._swapped = frame + self._swapped, b""
        return frame

    def through(self, data: bytes) -> bytes:
        """What comes out at the other end now; with faults of whole frames, a frame waits until its zero is there."""
        rates = self.rates
        if rates.frame_drop or rates.frame_double or rates.frame_swap:
            frames = b""
            for byte in data:
                self._frame.append(byte)
                if not byte:
                    frames += self._whole(bytes(self._frame))
                    self._frame.clear()
            data = frames
        if not (rates.flip or rates.drop or rates.double):
            return data
        return b"".join(map(self._byte, data))
