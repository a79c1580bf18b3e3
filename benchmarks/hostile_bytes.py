"""Hostile bytes: damaged frames by the thousand through the decoder, none of which may come out as something else.

    python benchmarks/hostile_bytes.py                 20,000 damaged frames
    python benchmarks/hostile_bytes.py --long --json   a million, as one JSON object

Each frame sent is a random message. On the line frames are flipped, cut, doubled, spliced, stuffed with random bytes
and cut up into random chunks. A payload that comes out and did not go in is forged; there must be none.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Iterator

from closedloop.framing import Decoder, encode
from closedloop.wire import TABLE, pack, unpack

SHORT, LONG = 20_000, 1_000_000
_NUMBERS = tuple(TABLE)
_SIZES = {number: len(pack(message(*[0] * len(message._fields)))) for number, message in TABLE.items()}


def random_payload(dice: random.Random) -> bytes:
    """A message of any kind; small and extreme values are common, because zeros are what COBS is about."""
    number = dice.choice(_NUMBERS)
    body = bytes(dice.choice((0, 0, 1, 255, dice.randrange(256))) for _ in range(_SIZES[number] - 1))
    return bytes((number,)) + body


def flip(frame: bytes, dice: random.Random) -> bytes:
    """One to four bits, anywhere, the closing zero included."""
    damaged = bytearray(frame)
    for _ in range(dice.randint(1, 4)):
        damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
    return bytes(damaged)


def truncate(frame: bytes, dice: random.Random) -> bytes:
    """The front or the back is missing."""
    at = dice.randrange(1, len(frame))
    return frame[:at] if dice.random() < 0.5 else frame[at:]


def drop(frame: bytes, dice: random.Random) -> bytes:
    """A stretch in the middle is missing, as when a receive buffer overruns."""
    at = dice.randrange(len(frame))
    return frame[:at] + frame[at + dice.randint(1, 4) :]


def stutter(frame: bytes, dice: random.Random) -> bytes:
    """A stretch comes twice."""
    at = dice.randrange(len(frame))
    return frame[: at + dice.randint(1, 8)] + frame[at:]


def stuff(frame: bytes, dice: random.Random) -> bytes:
    """Random bytes in the middle."""
    at = dice.randrange(len(frame))
    return frame[:at] + dice.randbytes(dice.randint(1, 8)) + frame[at:]


def replace(frame: bytes, dice: random.Random) -> bytes:
    """Nothing but noise, as long as the frame."""
    return dice.randbytes(len(frame) - 1) + b"\0"


def double(frame: bytes, dice: random.Random) -> bytes:
    """The whole frame twice: allowed through, twice; what is done with it is the board's affair."""
    return frame * dice.randint(2, 3)


HARMS: tuple[Callable[[bytes, random.Random], bytes], ...] = (flip, truncate, drop, stutter, stuff, replace, double)


def chunks(line: bytes, dice: random.Random) -> Iterator[bytes]:
    """The line cut up at random, as reads cut it up."""
    at = 0
    while at < len(line):
        size = dice.randint(1, 300)
        yield line[at : at + size]
        at += size


def received(decoder: Decoder, cuts: Iterator[bytes]) -> Iterator[bytes]:
    """Payloads in the order in which they come out."""
    for cut in cuts:
        yield from decoder.feed(cut)


def run(frames: int, seed: int) -> dict[str, float | int]:
    """Send so many damaged frames, and the same number of whole ones among them; count what comes out."""
    dice = random.Random(seed)
    decoder = Decoder()
    before: set[bytes] = set()  # what was sent in the stretch before this one, whose end may still be on the line
    sent: set[bytes] = set()
    line = bytearray()
    accepted = forged = misread = line_bytes = 0
    began = time.perf_counter()
    for at in range(frames):
        whole, victim = random_payload(dice), random_payload(dice)
        sent |= {whole, victim}
        line += encode(whole) + dice.choice(HARMS)(encode(victim), dice)
        if len(line) < 65_536 and at < frames - 1:
            continue
        line_bytes += len(line)
        for payload in received(decoder, chunks(bytes(line), dice)):
            accepted += 1
            forged += payload not in sent and payload not in before
            message = unpack(payload)
            misread += message is None or pack(message) != payload
        line.clear()
        before, sent = sent, set()
    return {
        "damaged_sent": frames,
        "whole_sent": frames,
        "line_bytes": line_bytes,
        "accepted": accepted,
        "rejected": decoder.damaged,
        "forged": forged,
        "misread": misread,
        "seconds": round(time.perf_counter() - began, 2),
        "seed": seed,
    }


def main() -> int:
    """The command line; 0 if nothing was forged."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=SHORT, help="damaged frames to send")
    parser.add_argument("--long", action="store_true", help="a million")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    asked = parser.parse_args()
    result = run(LONG if asked.long else asked.frames, asked.seed)
    text = json.dumps(result) if asked.json else "\n".join(f"{name:14}{value}" for name, value in result.items())
    sys.stdout.write(text + "\n")
    return 1 if result["forged"] or result["misread"] else 0


if __name__ == "__main__":
    sys.exit(main())
