"""The host's end of one board's line: says messages, hears and dates them. It never waits and decides nothing.

Everything said and heard is kept with its time in the bench's seconds, for the tests and for the monitor.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from closedloop import framing, wire

M = TypeVar("M", bound=wire.Message)
_HISTORY_FRAMES = 8  # an old frame that comes again is one of so many


class Said(NamedTuple):
    """A message on its way to the board, at the time it was written; `surely` it came if the cable was whole."""

    at_s: float
    message: wire.Message
    surely: bool


class Heard(NamedTuple):
    """A message from the board, at the time its last byte came."""

    at_s: float
    message: wire.Message


@dataclass
class Wear:
    """A bad cable in one direction: each fraction is of the frames, and the dice are seeded."""

    damaged: float = 0.0
    lost: float = 0.0
    doubled: float = 0.0
    reordered: float = 0.0
    seed: int = 1
    count: int = field(default=0, init=False)
    _rest: bytes = field(default=b"", init=False)
    _old: list[bytes] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)

    def carry(self, data: bytes) -> bytes:
        """What comes out at the other end; a frame leaves when its closing zero has gone in."""
        *frames, self._rest = (self._rest + data).split(b"\0")
        return b"".join(self._worn(frame + b"\0") for frame in frames)

    def _worn(self, frame: bytes) -> bytes:
        out = frame
        if self._happens(self.damaged):
            bit = self._dice.randrange(8 * len(out))
            out = out[: bit // 8] + bytes((out[bit // 8] ^ 1 << bit % 8,)) + out[bit // 8 + 1 :]
        if self._happens(self.lost):
            at = self._dice.randrange(len(out))
            out = out[:at] + out[at + 1 :]
        if self._happens(self.doubled):
            out += frame
        if self._old and self._happens(self.reordered):
            out += self._dice.choice(self._old)
        self._old = [*self._old[-_HISTORY_FRAMES:], frame]
        return out

    def _happens(self, fraction: float) -> bool:
        happens = fraction > 0 and self._dice.random() < fraction
        self.count += happens
        return happens


class Line:
    """What the host knows of one board.

    Attributes:
        said: all messages written, also those that the cable then lost.
        heard: all messages that came in whole.
        cut: the cable is out, in both directions.
        deaf: what the board says is lost; what the host says arrives.
        snip_to_host: the cable comes out when so many more bytes have come from the board, be it in mid-frame.
        snip_to_board: the same, of bytes to it.
        tap: told, before any wear, what the board put on the line and when; it hears frames as a host would.
        damaged: frames from the board with a bad check.
    """

    def __init__(self, write: Callable[[bytes], None], now_s: Callable[[], float]) -> None:
        self.said: list[Said] = []
        self.heard: list[Heard] = []
        self.cut = self.deaf = False
        self.to_board: Wear | None = None
        self.to_host: Wear | None = None
        self.snip_to_host: int | None = None
        self.snip_to_board: int | None = None
        self.tap: Callable[[float, bytes], None] | None = None
        self._write = write
        self._now_s = now_s
        self._decoder = framing.Decoder()

    @property
    def damaged(self) -> int:
        """Frames from the board that were thrown away."""
        return self._decoder.damaged

    def say(self, *messages: wire.Message) -> None:
        """Write messages, in one write."""
        surely = not self.cut and self.to_board is None
        self.said += [Said(self._now_s(), message, surely) for message in messages]
        self.write(b"".join(framing.encode(wire.pack(message)) for message in messages))

    def write(self, raw: bytes) -> None:
        """Write bytes as they are."""
        if self.cut:
            return
        if self.snip_to_board is not None:
            raw, self.snip_to_board = self._snip(raw, self.snip_to_board)
        self._write(self.to_board.carry(raw) if self.to_board else raw)

    def take(self, data: bytes, at_s: float) -> None:
        """Bytes that came from the board."""
        if self.tap and data:
            self.tap(at_s, data)
        if self.cut or self.deaf:
            return
        if self.snip_to_host is not None:
            data, self.snip_to_host = self._snip(data, self.snip_to_host)
        if self.to_host:
            data = self.to_host.carry(data)
        for payload in self._decoder.feed(data):
            message = wire.unpack(payload)
            if message is not None:
                self.heard.append(Heard(at_s, message))

    def _snip(self, data: bytes, left: int) -> tuple[bytes, int | None]:
        """What still gets through, and how many more bytes will; with the last of them the cable is out."""
        self.cut = len(data) >= left
        return data[:left], None if self.cut else left - len(data)

    def all(self, kind: type[M], since: int = 0) -> list[M]:
        """All messages of one kind among those heard from this index on."""
        return [heard.message for heard in self.heard[since:] if isinstance(heard.message, kind)]

    def last(self, kind: type[M], since: int = 0) -> M | None:
        """The newest message of one kind, None if there is none."""
        found = self.all(kind, since)
        return found[-1] if found else None
