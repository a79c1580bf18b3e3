"""The serial end that every virtual board has: bytes to messages, counts, and the questions that all boards answer.

No I/O happens here and no clock is read: bytes come in with the device time at which they came, and wait inside
until they are taken out.
"""

from __future__ import annotations

from collections.abc import Iterator

from closedloop import framing
from closedloop.wire import (
    WIRE_HASH,
    Board,
    ClockQuery,
    ClockReply,
    Identify,
    Identity,
    Message,
    ResetCause,
    Statistics,
    StatisticsQuery,
    pack,
    unpack,
)

FIRMWARE = 1
TICKS = 1 << 32  # ticks on the wire wrap here


class SerialEnd:
    """Frames, counts and identity of one board.

    Attributes:
        ignored: well-formed frames that were not for this board: unknown, or of the wrong direction.
        overruns: what the board lost by itself, as its Statistics say.
    """

    def __init__(self, board: Board, *, now_us: int, boot_ticks: int, unique_id: int) -> None:
        self._board = board
        self._boot_ticks = boot_ticks
        self._unique_id = unique_id
        self._out = bytearray()
        self.restart(ResetCause.POWER_ON, now_us)

    def restart(self, cause: ResetCause, now_us: int) -> None:
        """Forget everything, as a reset does, and say who is here; ticks start at the boot ticks again."""
        self._started_us = now_us
        self._cause = cause
        self._decoder = framing.Decoder()
        self.frames = self.ignored = self.overruns = 0
        self._out.clear()
        self.say(self._identity())

    def ticks(self, at_us: int) -> int:
        """Device time as the wire carries it."""
        return (at_us - self._started_us + self._boot_ticks) % TICKS

    def when_us(self, ticks: int, now_us: int) -> int:
        """The device time nearest to now that has these ticks."""
        ahead = (ticks - self.ticks(now_us) + TICKS // 2) % TICKS - TICKS // 2
        return now_us + ahead

    def say(self, message: Message) -> None:
        """Frame a message; it waits for `take_output`."""
        self._out += framing.encode(pack(message))

    def take_output(self) -> bytes:
        """All bytes said since the last call."""
        out = bytes(self._out)
        self._out.clear()
        return out

    def hear(self, data: bytes, now_us: int) -> Iterator[Message]:
        """Messages in these bytes that are left for the board, in order; the common questions are answered here."""
        for payload in self._decoder.feed(data):
            self.frames += 1
            message = unpack(payload)
            answer = self._answer(message, now_us)
            if answer is not None:
                self.say(answer)
            elif message is None:
                self.ignored += 1
            else:
                yield message

    def _answer(self, message: Message | None, now_us: int) -> Message | None:
        match message:
            case Identify():
                return self._identity()
            case ClockQuery(query):
                return ClockReply(query, self.ticks(now_us))
            case StatisticsQuery():
                return Statistics(self.frames, self._decoder.damaged, self.overruns)
        return None

    def _identity(self) -> Identity:
        return Identity(self._board, FIRMWARE, WIRE_HASH, self._unique_id, self._cause)
