"""The compiled way of bytes to payloads as a decoder by itself, so that hostile_bytes.py can try it.

    python benchmarks/hostile_bytes.py --decoder compiled_decoder:Compiled

`intake.Intake` gives rows, not payloads. Here the same kernels, those that hold a frame together and close it, hand
every payload out, readings too; what a row is made of is left to tests/test_intake.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from closedloop import intake
from closedloop.framing import MAX_PAYLOAD
from closedloop.model import kernel


@kernel
def _payloads(states: Any, data: Any, size: int, others: Any, sizes: Any) -> int:
    """All payloads that these bytes complete; how many."""
    state = states[0]
    count = 0
    for i in range(size):
        if intake.hold(state, data[i]):
            payload = intake.close(state)
            if payload != 0:
                others[count, :payload] = state.held[1 : 1 + payload]
                sizes[count] = payload
                count += 1
    return count


class Compiled:
    """As `framing.Decoder`."""

    def __init__(self) -> None:
        self._state = np.zeros(1, intake.STATE)
        self._others = np.zeros((intake.MOST_OTHERS, MAX_PAYLOAD), np.uint8)
        self._sizes = np.zeros(intake.MOST_OTHERS, np.int64)

    @property
    def damaged(self) -> int:
        """Frames thrown away."""
        return int(self._state["damaged"][0])

    def feed(self, data: bytes) -> list[bytes]:
        """Payloads of all frames that these bytes complete, in order."""
        found = []
        for at in range(0, len(data), intake.MOST_BYTES):
            part = np.frombuffer(data[at : at + intake.MOST_BYTES], np.uint8)
            count = _payloads(self._state, part, len(part), self._others, self._sizes)
            found += [self._others[n, : self._sizes[n]].tobytes() for n in range(count)]
        return found
