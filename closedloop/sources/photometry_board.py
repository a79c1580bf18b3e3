"""Our photometry DAQ board. Messages to readings: what is damaged or lost is counted and left out, never made up."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from closedloop import wire
from closedloop.clock import TickCounter
from closedloop.errors import DeviceError
from closedloop.link import Link
from closedloop.port import Port
from closedloop.readings import READING, Readings
from closedloop.sources import Source

_MOST = 256  # readings handed on at once; one read of a port holds at most half as many
_SEQ_WRAP = 1 << 32
_SEQ_HALF = 1 << 31


class PhotometryBoard(Source):
    """A board that runs our DAQ firmware, or the virtual one."""

    kind: Literal["photometry_board"] = "photometry_board"
    baud: int = Field(500_000, ge=9600, le=2_000_000, description="Bits a second on the line.")

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
        return link.request(wire.StreamStart(round(self.rate * 1000)), wire.StreamSettings)


class ReadingCounter:
    """Readings of the wire to readings of the loop: ticks without wrap from the first one, and what is missing.

    Attributes:
        received: readings accepted.
        missing: readings the board sent and nobody received, from jumps of their numbers.
        repeated: readings that came again or out of order, and were left out.
    """

    def __init__(self) -> None:
        self.received = 0
        self.missing = 0
        self.repeated = 0
        self._ticks = TickCounter()
        self._first = 0
        self._last_seq = -1
        self._rows = np.zeros(_MOST, READING)

    def accept(self, messages: list[wire.Reading]) -> Readings:
        """The new ones among these, at most 256, as READING rows; the array is used again at the next call."""
        count = 0
        for message in messages:
            if not self._is_next(message.seq):
                continue
            ticks = self._ticks.extend(message.ticks)
            if self.received == 0:
                self._first = ticks
            seq, _, *rest = message
            self._rows[count] = (ticks - self._first, seq, *rest)
            self.received += 1
            count += 1
        return self._rows[:count]

    @property
    def first_ticks(self) -> int:
        """The board's ticks at the first reading, on the unwrapped count."""
        return self._first

    def _is_next(self, seq: int) -> bool:
        if self.received == 0:
            self.missing += seq
        else:
            step = (seq - self._last_seq + _SEQ_HALF) % _SEQ_WRAP - _SEQ_HALF
            if step <= 0:
                self.repeated += 1
                return False
            self.missing += step - 1
        self._last_seq = seq
        return True
