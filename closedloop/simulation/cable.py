"""One board's cable: its port, a bounded queue towards the host, and the wear in both directions. It never waits."""

from __future__ import annotations

from closedloop.simulation.faults import Faults, Line
from closedloop.simulation.ports import BoardPort

_QUEUE_BYTES = 65_536  # waiting for the host to read, as in a serial driver; about 1600 readings
_READING_BYTES = 40


class Cable:
    """One board's port with a queue towards the host, worn in both directions."""

    def __init__(self, port: BoardPort, faults: Faults, seed: str) -> None:
        self.port: BoardPort | None = port
        self._queue = bytearray()
        self._to_host = Line(faults, f"{seed} to host")
        self._to_board = Line(faults, f"{seed} to board")

    @property
    def room(self) -> int:
        """Readings that the queue still takes."""
        return (_QUEUE_BYTES - len(self._queue)) // _READING_BYTES

    @property
    def waits(self) -> bool:
        """Whether the host has not taken everything."""
        return bool(self._queue)

    def read(self) -> bytes:
        """What the host sent."""
        return self._to_board.carry(self.port.read()) if self.port else b""

    def write(self, data: bytes) -> None:
        """Send, and keep what is not taken."""
        if self.port is None or not (data or self._queue):
            return
        self._queue += self._to_host.carry(data)
        if self._queue:
            del self._queue[: self.port.write(bytes(self._queue))]

    def unplug(self) -> None:
        """For good."""
        if self.port is not None:
            self.port.close()
            self.port = None
        self._queue.clear()
