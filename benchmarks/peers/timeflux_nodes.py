"""Two nodes for Timeflux (timeflux.io): a port as a source of readings, and a threshold that writes to the same port.

Written as Timeflux's own nodes are: a source hands on what came since the last cycle as one data frame, a row a
reading, and never waits; the graph's rate says how often. It runs in Timeflux's own environment, not in ours.
"""

from __future__ import annotations

import numpy as np
import serial
from frame import SIZE, THRESHOLD, hello
from timeflux.core.node import Node

_FRAME = np.dtype([("number", "<u4"), ("ticks", "<u4"), ("signal", "<i4"), ("rest", f"V{SIZE - 12}")])
_PORTS: dict[str, serial.Serial] = {}


def _port(name: str) -> serial.Serial:
    """One port for both nodes, which run in one process."""
    if name not in _PORTS:
        _PORTS[name] = serial.Serial(name, 115_200, timeout=0)
    return _PORTS[name]


class Source(Node):  # type: ignore[misc]
    """Readings of a serial port, as columns number and signal."""

    def __init__(self, port: str) -> None:
        self._port = _port(port)
        self._held = b""
        self._port.write(hello())

    def update(self) -> None:
        """Hand on what has come."""
        self._held += self._port.read(65_536)
        whole = len(self._held) // SIZE
        if not whole:
            return
        readings = np.frombuffer(self._held, _FRAME, whole)
        self._held = self._held[whole * SIZE :]
        rows = np.column_stack([readings["number"], readings["signal"]]).astype(np.int64)
        self.o.set(rows, names=["number", "signal"])


class Threshold(Node):  # type: ignore[misc]
    """Write a byte for each reading above the threshold."""

    def __init__(self, port: str) -> None:
        self._port = _port(port)

    def update(self) -> None:
        """Look through what the source handed on."""
        if not self.i.ready():
            return
        rows = self.i.data
        bright = rows.loc[rows["signal"] > THRESHOLD, "number"]
        if len(bright):
            self._port.write(bytes(int(number) & 0xFF for number in bright))
