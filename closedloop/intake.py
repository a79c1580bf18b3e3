"""The DAQ's bytes to readings, in machine code. No I/O happens here; damage is counted, never raised.

What `framing.Decoder`, `wire.unpack` and the counting of numbers and ticks do one after another is here one function,
because it stands between a reading and its light. Tests feed both the same bytes and compare. Messages that are no
readings come out as they are, for `wire.unpack`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from closedloop import wire
from closedloop.framing import MAX_FRAME, MAX_PAYLOAD
from closedloop.model import direct, kernel
from closedloop.readings import MOST_AT_ONCE, READING, Readings

MOST_BYTES = 4096  # taken at once
_FEWEST = 7  # bytes of the shortest frame
MOST_OTHERS = (MOST_BYTES + MAX_FRAME) // _FEWEST + 1
_NUMBER = next(number for number, message in wire.TABLE.items() if message is wire.Reading)
_SIZE = wire.size(wire.Reading)

STATE = np.dtype(
    [
        ("held", "u1", (MAX_FRAME,)),  # of the unfinished frame
        ("size", "<i8"),
        ("skipping", "<i8"),  # 1: overlong, wait for the next zero
        ("damaged", "<i8"),
        ("first", "<i8"),  # ticks of the first reading
        ("ticks", "<i8"),  # of the last one, wrap undone
        ("seq", "<i8"),  # of the last one
        ("received", "<i8"),
        ("missing", "<i8"),
        ("repeated", "<i8"),
    ],
    align=True,
)


def _crc_table() -> npt.NDArray[np.uint32]:
    """CRC-32 of each byte (reflected polynomial 0xEDB88320, as in zlib)."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0xEDB88320), table >> 1)
    return table.astype(np.uint32)


_CRC = _crc_table()


@kernel
def _payload_size(frame: Any, size: int) -> int:
    """Bytes of the payload, which replaces the frame; 0 of a damaged one."""
    if size < 6 or size > MAX_FRAME:
        return 0
    at = 0
    while at < size:  # each code byte says where the next one stands, and stands itself where a zero was
        step = frame[at]
        frame[at] = 0
        at += step
    if at != size:
        return 0
    crc = np.uint32(0xFFFFFFFF)
    for i in range(1, size - 4):
        crc = (crc >> np.uint32(8)) ^ _CRC[(crc ^ frame[i]) & np.uint32(0xFF)]
    crc = ~crc
    for i in range(4):
        if frame[size - 4 + i] != (crc >> np.uint32(8 * i)) & np.uint32(0xFF):
            return 0
    return size - 5


@kernel
def _whole(frame: Any, at: int, size: int) -> int:
    """An unsigned number of so many bytes, least first."""
    value = np.int64(0)
    for i in range(size):
        value |= np.int64(frame[at + i]) << (8 * i)
    return value  # type: ignore[return-value]


@kernel
def _signed(frame: Any, at: int) -> int:
    """A signed number of four bytes, least first."""
    value = _whole(frame, at, 4)
    return value - (1 << 32) if value >= 1 << 31 else value


@kernel
def _count(state: Any, seq: int, ticks: int) -> bool:
    """Whether this is a new reading; what is missing before it, and its ticks without wrap, go into the state."""
    if state.received == 0:
        state.missing += seq
        state.first = ticks
        state.ticks = ticks
    else:
        step = (seq - state.seq + (1 << 31)) % (1 << 32) - (1 << 31)
        if step <= 0:
            state.repeated += 1
            return False
        state.missing += step - 1
        state.ticks += (ticks - state.ticks + (1 << 31)) % (1 << 32) - (1 << 31)
    state.seq = seq
    state.received += 1
    return True


@kernel
def hold(state: Any, byte: int) -> bool:
    """Keep one byte of the line; whether a frame ends with it."""
    if byte == 0:
        return True
    if state.size < MAX_FRAME:
        state.held[state.size] = byte
        state.size += 1
    else:
        state.skipping = 1  # no frame is this long: count it once, and wait for a zero
    return False


@kernel
def close(state: Any) -> int:
    """Bytes of the payload of the frame that ends here, in `held` from 1 on; 0: there is none, or it is damaged."""
    length = state.size
    state.size = 0
    if state.skipping == 0:
        if length == 0:
            return 0  # two zeros in a row: a line being cleared, not damage
        payload = _payload_size(state.held, length)
        if payload != 0:
            return payload
    state.skipping = 0
    state.damaged += 1
    return 0


@kernel
def _count_one(states: Any, seq: int, ticks: int) -> bool:
    """`_count`, as Python calls it."""
    return _count(states[0], seq, ticks)


@kernel
def _write_down(row: Any, state: Any) -> None:
    """The reading in `held` as a row; it has been counted."""
    held = state.held
    row.ticks = state.ticks - state.first
    row.seq = state.seq
    row.signal_lit = _signed(held, 10)
    row.signal_dark = _signed(held, 14)
    row.control_lit = _signed(held, 18)
    row.control_dark = _signed(held, 22)
    row.inputs = _whole(held, 26, 2)
    row.flags = _whole(held, 28, 2)


@kernel
def _take(states: Any, data: Any, size: int, rows: Any, others: Any, sizes: Any) -> int:
    """All frames that these bytes complete: readings into rows, other payloads into others.

    Returns:
        Rows, plus 65,536 for each other payload.
    """
    state = states[0]
    held = state.held
    count = 0
    strange = 0
    for i in range(size):
        if not hold(state, data[i]):
            continue
        payload = close(state)
        if payload == _SIZE and held[1] == _NUMBER:
            if _count(state, _whole(held, 2, 4), _whole(held, 6, 4)):
                _write_down(rows[count], state)
                count += 1
        elif payload != 0:
            others[strange, :payload] = held[1 : 1 + payload]
            sizes[strange] = payload
            strange += 1
    return count + (strange << 16)


class Intake:
    """The DAQ's line while it streams: what is unfinished, what is missing, and ticks without wrap.

    Attributes:
        buffer: where up to MOST_BYTES are read into, for `take`.
        unknown: frames with a good check that are no message of ours.
    """

    def __init__(self, unfinished: bytes = b"") -> None:
        """Begin with what the handshake has left over of an unfinished frame; compiled here, not at the first byte."""
        self.buffer = np.zeros(MOST_BYTES, np.uint8)
        self.unknown = 0
        self._state = np.zeros(1, STATE)
        self._rows = np.zeros(MOST_AT_ONCE, READING)
        self._one = self._rows[:1]
        self._others = np.zeros((MOST_OTHERS, MAX_PAYLOAD), np.uint8)
        self._sizes = np.zeros(MOST_OTHERS, np.int64)
        arrays = self._state, self.buffer, 0, self._rows, self._others, self._sizes
        self._take = direct(_take, *arrays)
        self._count = direct(_count_one, self._state, 0, 0)
        if unfinished:
            self.feed(unfinished)

    def take(self, size: int) -> tuple[Readings, list[wire.Message]]:
        """New readings in the first `size` bytes of the buffer, and all other messages, in their order.

        The readings' array is used again at the next call.
        """
        found = self._take(self._state, self.buffer, size, self._rows, self._others, self._sizes)
        if found == 1:
            return self._one, _NOTHING
        return self._rows[: found & 0xFFFF], self._messages(found >> 16)

    def feed(self, data: bytes) -> tuple[Readings, list[wire.Message]]:
        """As `take`, of bytes from elsewhere, at most MOST_BYTES."""
        self.buffer[: len(data)] = np.frombuffer(data, np.uint8)
        return self.take(len(data))

    def accept(self, messages: list[wire.Reading]) -> Readings:
        """The new ones of these readings, at most 256; the array is used again at the next call."""
        count = 0
        for message in messages:
            if self._count(self._state, message.seq, message.ticks):
                seq, _, *rest = message
                self._rows[count] = (self._state["ticks"][0] - self.first_ticks, seq, *rest)
                count += 1
        return self._rows[:count]

    def _messages(self, count: int) -> list[wire.Message]:
        messages = []
        for at in range(count):
            message = wire.unpack(self._others[at, : self._sizes[at]].tobytes())
            if message is None:
                self.unknown += 1
            else:
                messages.append(message)
        return messages

    @property
    def received(self) -> int:
        """Readings accepted."""
        return int(self._state["received"][0])

    @property
    def missing(self) -> int:
        """Readings that the board sent and nobody received, from jumps of their numbers."""
        return int(self._state["missing"][0])

    @property
    def repeated(self) -> int:
        """Readings that came again or out of order, and were left out."""
        return int(self._state["repeated"][0])

    @property
    def damaged(self) -> int:
        """Frames thrown away: bad check, bad length, or overlong."""
        return int(self._state["damaged"][0])

    @property
    def first_ticks(self) -> int:
        """The board's ticks at the first reading, on the unwrapped count."""
        return int(self._state["first"][0])


_NOTHING: list[wire.Message] = []
