"""Our stimulator board (an Arduino with this project's firmware, or the virtual one) on a serial port."""

from __future__ import annotations

import time
from typing import Literal
from zlib import crc32

from pydantic import Field

from closedloop import wire
from closedloop.errors import DeviceError
from closedloop.link import ANSWER_WITHIN_S, Link
from closedloop.port import Port, wait
from closedloop.stimulators import Stimulator


class Arduino(Stimulator):
    """A board that runs our stimulator firmware."""

    kind: Literal["arduino"] = "arduino"
    port: str = Field(description="Serial port, or 'simulated'.")
    baud: int = Field(500_000, ge=9600, le=2_000_000, description="Bits a second on the line.")


def open_board(stimulator: Arduino, port_name: str) -> Link:
    """Open the port, make sure that our firmware answers, and make it dark before anything else.

    Raises:
        DeviceError: no such port, no answer, another board or another version.
    """
    link = Link(Port(port_name, stimulator.baud))
    try:
        link.handshake(wire.Board.STIMULATOR)
        link.send(wire.Dark())
    except DeviceError:
        link.close()
        raise
    return link


def set_limits(link: Link, limits: wire.Limits) -> None:
    """Tell the board its limits and compare what it says is now in force.

    Raises:
        DeviceError: no answer, or the board's own limits are tighter than the host believes.
    """
    link.send(limits)
    deadline = time.monotonic() + ANSWER_WITHIN_S
    while (left := deadline - time.monotonic()) > 0:
        if not wait([link.port], left):
            continue
        for message in link.decode(link.port.read()):
            if not isinstance(message, wire.LimitsSet):
                continue
            if message.crc == crc32(wire.pack(limits)):
                return
            raise DeviceError(
                f"{link.port.name}: the stimulator keeps other limits than it was sent; reset it, or put this "
                "program's firmware on it"
            )
    raise DeviceError(f"{link.port.name}: the stimulator does not confirm its limits; reset it and try again")
