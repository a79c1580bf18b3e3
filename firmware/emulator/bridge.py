"""USB bridges: when the host can read what a board has sent. Pure memory of bytes and times; no port is touched.

Sources: the 16U2's own firmware (arduino-core-avr 1.8.7) for its 4.096 ms timer and its 96 bytes; FTDI's application
note AN232B-04 for the latency timer and the 62-byte packets. USB itself is simplified to whole frames of 1 ms.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

USB_FRAME_NS = 1_000_000


class Bridge(Protocol):
    """What stands between a board's UART and the host's port."""

    def take(self, sent: Iterable[tuple[int, int]], now_ns: int) -> bytes:
        """Takes over bytes with the times of their last bits, and returns what the host can read by now."""
        ...

    def to_board(self, now_ns: int) -> int:
        """When the first start bit of what the host writes now can begin."""
        ...


def next_frame(ns: int) -> int:
    """The start of the next USB frame, or this instant if one starts now."""
    return -(-ns // USB_FRAME_NS) * USB_FRAME_NS


class Ideal:
    """No bridge: a byte is readable as soon as its last bit is out."""

    def __init__(self) -> None:
        self._held: list[tuple[int, int]] = []

    def take(self, sent: Iterable[tuple[int, int]], now_ns: int) -> bytes:
        """What is due by now."""
        self._held += sent
        ready = bytes(byte for due, byte in self._held if due <= now_ns)
        self._held = self._held[len(ready) :]
        return ready

    def to_board(self, now_ns: int) -> int:
        """At once."""
        return now_ns


class _Packets:
    """A bridge that collects bytes and lets them go in packets, each readable at the next USB frame."""

    def __init__(self, period_ns: int, most: int, *, usb_to_board: bool) -> None:
        self._period_ns, self._most, self._usb_to_board = period_ns, most, usb_to_board
        self._timer_ns = period_ns
        self._waiting = bytearray()
        self._released: list[tuple[int, bytes]] = []

    def _release(self, ns: int) -> None:
        if self._waiting:
            self._released.append((next_frame(ns), bytes(self._waiting)))
            self._waiting.clear()

    def _expire(self, ns: int) -> None:
        while self._timer_ns <= ns:
            self._release(self._timer_ns)
            self._timer_ns += self._period_ns

    def _full(self, ns: int) -> None:
        self._release(ns)

    def take(self, sent: Iterable[tuple[int, int]], now_ns: int) -> bytes:
        """What has been let go and has had its USB frame by now."""
        for due, byte in sent:
            self._expire(due)
            self._waiting.append(byte)
            if len(self._waiting) > self._most:
                self._full(due)
        self._expire(now_ns)
        ready = [packet for readable, packet in self._released if readable <= now_ns]
        self._released = self._released[len(ready) :]
        return b"".join(ready)

    def to_board(self, now_ns: int) -> int:
        """At once, or at the next USB frame."""
        return next_frame(now_ns) if self._usb_to_board else now_ns


class Uno16U2(_Packets):
    """The 16U2 of a genuine Uno or Mega: a free-running timer of 4.096 ms, or more than 96 bytes."""

    PERIOD_NS = 4_096_000
    MOST_BYTES = 96

    def __init__(self, *, phase_ns: int = PERIOD_NS, usb_to_board: bool = False) -> None:
        super().__init__(self.PERIOD_NS, self.MOST_BYTES, usb_to_board=usb_to_board)
        self._timer_ns = phase_ns


class Ftdi(_Packets):
    """An FTDI chip: a packet when its latency timer expires (16 ms unless set) or 62 bytes wait; either restarts it."""

    PACKET_BYTES = 62

    def __init__(self, latency_ms: int = 16, *, usb_to_board: bool = False) -> None:
        super().__init__(latency_ms * 1_000_000, self.PACKET_BYTES - 1, usb_to_board=usb_to_board)

    def _full(self, ns: int) -> None:
        super()._full(ns)
        self._timer_ns = ns + self._period_ns
