"""Bytes to payloads and back. No I/O happens here, and damage is counted, never raised.

A frame is COBS(payload + CRC-32 of the payload, little endian) followed by one zero byte. COBS (Cheshire & Baker
1999) leaves no zero inside, so a zero always ends a frame and a reader that joins in the middle is back in step at
the next one. The check has 32 bits because here a forged frame is light: 16 bits let one damaged frame in 65,536
through.
"""

from __future__ import annotations

from zlib import crc32

MAX_PAYLOAD = 64  # bytes; what a board's buffer holds; 254 would be the most that COBS codes in one block
FRAMING = 4 + 1 + 1  # bytes that a frame adds to its payload: check, COBS code byte, closing zero
MAX_FRAME = MAX_PAYLOAD + FRAMING - 1  # with check and COBS code byte, without the closing zero


def encode(payload: bytes) -> bytes:
    """The frame, closing zero included.

    Raises:
        ValueError: the payload is empty or longer than MAX_PAYLOAD bytes.
    """
    if not 0 < len(payload) <= MAX_PAYLOAD:
        raise ValueError(f"a payload has 1 to {MAX_PAYLOAD} bytes (got {len(payload)})")
    checked = payload + crc32(payload).to_bytes(4, "little")
    blocks = [bytes((len(run) + 1,)) + run for run in checked.split(b"\0")]
    return b"".join(blocks) + b"\0"


def _unstuff(frame: bytes) -> bytes | None:
    """The bytes that COBS packed, or None where the code bytes do not add up. The frame holds no zero.

    Each code byte says where the next one stands, and stands itself where a zero was.
    """
    out, at = bytearray(frame), 0
    while at < len(frame):
        out[at] = 0
        at += frame[at]
    return bytes(out[1:]) if at == len(frame) else None


def decode(frame: bytes) -> bytes | None:
    """The payload of one frame given without its closing zero, or None if it is damaged."""
    if not 6 <= len(frame) <= MAX_FRAME or 0 in frame:
        return None
    checked = _unstuff(frame)
    if checked is None or crc32(checked[:-4]) != int.from_bytes(checked[-4:], "little"):
        return None
    return checked[:-4]


class Decoder:
    """Remembers the unfinished frame between reads, however the bytes were cut up.

    Attributes:
        damaged: frames thrown away since the start: bad check, bad length, or overlong.
    """

    def __init__(self) -> None:
        self.damaged = 0
        self._rest = b""
        self._skipping = False

    @property
    def unfinished(self) -> bytes:
        """What has come of a frame that is not over."""
        return self._rest

    def feed(self, data: bytes) -> list[bytes]:
        """Payloads of all frames that these bytes complete, in order."""
        *ended, rest = (self._rest + data).split(b"\0")
        payloads = [payload for frame in ended if (payload := self._close(frame)) is not None]
        if len(rest) > MAX_FRAME:  # no frame is this long: count it once, and wait for a zero
            self._skipping = True
            rest = b""
        self._rest = rest
        return payloads

    def _close(self, frame: bytes) -> bytes | None:
        if self._skipping:
            self._skipping = False
            self.damaged += 1
            return None
        if not frame:  # two zeros in a row: an empty frame is a line being cleared, not damage
            return None
        payload = decode(frame)
        if payload is None:
            self.damaged += 1
        return payload
