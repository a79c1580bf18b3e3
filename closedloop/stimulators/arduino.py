"""Our stimulator board (an Arduino with this project's firmware, or the virtual one) on a serial port."""

from __future__ import annotations

from typing import Literal
from zlib import crc32

from pydantic import Field

from closedloop import wire
from closedloop.errors import DeviceError
from closedloop.link import Link
from closedloop.model import PortName
from closedloop.port import Port
from closedloop.stimulators import Stimulator


class Arduino(Stimulator):
    """A board that runs our stimulator firmware."""

    kind: Literal["arduino"] = "arduino"
    port: PortName = Field(description="Serial port, or 'simulated'.")
    baud: int = Field(500_000, ge=9600, le=2_000_000, description="Bits a second on the line.")

    @property
    def wired_to(self) -> str:
        """The port."""
        return self.port

    def open(self, port_name: str, limits: wire.Limits, daq: Link | None = None) -> Link:
        """Open the port; our firmware must answer, go dark, and confirm the limits by their check."""
        link = daq or Link(Port(port_name, self.baud))
        try:
            if daq is None:
                link.handshake(wire.Board.STIMULATOR)
            elif daq.identity is None or daq.identity.board != wire.Board.BOTH:
                raise DeviceError(f"{port_name}: this board only measures; flash it with the role both, or add another")
            link.send(wire.Dark())
            answer, _ = link.request(limits, wire.LimitsSet)
            if answer.crc != crc32(wire.pack(limits)):
                raise DeviceError(f"{port_name}: the stimulator keeps other limits than it was given; reset it")
        except DeviceError:
            link.close()
            raise
        return link

    def prepare(self, link: Link, train: wire.Prepare) -> None:
        """The board confirms by the check of what it took."""
        answer, _ = link.request(train, wire.Prepared)
        if answer.crc != crc32(wire.pack(train)):
            raise DeviceError(f"{link.port.name}: the stimulator keeps another train than it was given; reset it")
