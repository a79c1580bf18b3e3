"""Our photometry DAQ board: opened, compared, started. What it sends is for `intake`."""

from __future__ import annotations

from typing import Literal, Self, cast
from zlib import crc32

from pydantic import Field, model_validator

from closedloop import wire
from closedloop.errors import DeviceError
from closedloop.framing import FRAMING
from closedloop.link import Link
from closedloop.port import Port
from closedloop.sources import Source

_BITS_A_READING = 10 * (wire.size(wire.Reading) + FRAMING)
_START_AGAIN_S = 2.0  # a second question begins the stream anew, which would end the session
_SHARE_OF_LINE = 0.8  # the rest is for answers, and for what a bridge does to the pace


def most_rate_hz(baud: int) -> float:
    """Readings a second that a line of so many bits a second carries, with room for all else that is said."""
    return _SHARE_OF_LINE * baud / _BITS_A_READING


class PhotometryBoard(Source):
    """A board that runs our DAQ firmware, or the virtual one."""

    kind: Literal["photometry_board"] = "photometry_board"
    baud: int = Field(500_000, ge=9600, le=2_000_000, description="Bits a second on the line.")

    @model_validator(mode="after")
    def _line_carries_the_rate(self) -> Self:
        most_hz = most_rate_hz(self.baud)
        if self.rate > most_hz:
            raise ValueError(
                f"rate ({self.rate:g} Hz) is more than a line of {self.baud} bits a second carries ({most_hz:g} Hz); "
                "lower it, or raise baud on the board and here"
            )
        return self

    def open(self, port_name: str) -> Link:
        """Open the port; our DAQ firmware must answer."""
        link = Link(Port(port_name, self.baud))
        try:
            link.handshake(wire.Board.DAQ)
        except DeviceError:
            link.close()
            raise
        return link

    def start(self, link: Link) -> tuple[wire.StreamSettings, list[wire.Message]]:
        """Ask for the rig's rate; a board that plays a recording has its own."""
        answer, behind = link.request(
            wire.StreamStart(round(self.rate * 1000)),
            wire.StreamSettings,
            wire.StreamRefused,
            again_s=_START_AGAIN_S,
        )
        if isinstance(answer, wire.StreamSettings):
            return answer, behind
        most_hz = cast("wire.StreamRefused", answer).most_mhz / 1000
        raise DeviceError(
            f"{link.port.name}: the board can't give {self.rate:g} readings a second, at most {most_hz:g}; "
            "lower daq.rate, or flash it with a higher baud rate"
        )

    def watch(self, link: Link, watch: wire.Watch) -> None:
        """The board confirms by the check of what it took."""
        answer, _ = link.request(watch, wire.WatchSet)
        if answer.crc != crc32(wire.pack(watch)):
            raise DeviceError(f"{link.port.name}: the board can't watch for what the protocol's policy asks for")
