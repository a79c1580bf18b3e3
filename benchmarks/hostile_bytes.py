"""Hostile bytes at the decoder: nothing may come out that was not sent, and nothing that was sent whole may be lost.

    python benchmarks/hostile_bytes.py                 a few million bytes
    python benchmarks/hostile_bytes.py --long --json   10^9 bytes, in two processes, as one JSON object
    python benchmarks/hostile_bytes.py --decoder MODULE:NAME   another decoder than closedloop.framing:Decoder

The line is random messages as frames, in blocks. Each block is spoiled anew: bits flipped, pieces cut out, doubled,
put elsewhere, overwritten by noise, noise and zeros put in, and frames whose check is sound COBS but wrong. Then it is
cut up at random, as reads cut it up, and every byte goes through the decoder.

The judge knows no COBS and no check. It cuts the line at its zeros, and a piece that equals a frame that was sent, byte
by byte, is that frame; any other piece that is not empty is damaged. Decoder and judge must agree on every payload, in
order, and on the count of damage. A payload that comes out and is none of the judge's is forged. The check has 32 bits:
one damaged frame with sound COBS in 4.3 * 10^9 passes by chance, and `expected_by_chance` says how many that makes.
Such a payload is no message yet, for its length has to be that of its number: `forged_messages` counts those it fits.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Protocol
from zlib import crc32

import numpy as np
import numpy.typing as npt

from closedloop.framing import MAX_FRAME, MAX_PAYLOAD, encode
from closedloop.wire import TABLE, pack, unpack

SHORT, LONG = 5_000_000, 1_000_000_000  # bytes
PROCESSES = 2  # of the long form
DECODER = "closedloop.framing:Decoder"
_BLOCK_FRAMES = 4096
_POOL_FRAMES = 2048  # drawn anew for each block
_FALSE_CHECKS = 256  # frames of a pool whose check is wrong
_NUMBERS = tuple(TABLE)
_SIZES = {number: len(pack(message(*[0] * len(message._fields)))) for number, message in TABLE.items()}

Bytes = npt.NDArray[np.uint8]
Harm = Callable[[Bytes, np.random.Generator], Bytes]


class AnyDecoder(Protocol):
    """What is tried: bytes in, payloads out, damage counted."""

    damaged: int

    def feed(self, data: bytes) -> list[bytes]:
        """Payloads of all frames that these bytes complete, in order."""


def random_payload(dice: random.Random) -> bytes:
    """A message of any kind, or any bytes; zeros and extremes are common, because zeros are what COBS is about."""
    number = dice.choice(_NUMBERS)
    size = _SIZES[number] - 1 if dice.random() < 0.9 else dice.randrange(MAX_PAYLOAD)
    body = dice.randbytes(size)
    return bytes((number,)) + (body if dice.random() < 0.5 else body.translate(_EXTREMES))


_EXTREMES = bytes((0, 0, 1, 255, at)[at % 5] for at in range(256))


def false_frame(payload: bytes, dice: random.Random) -> bytes:
    """Sound COBS around a payload whose check is another's: one that a decoder without a check would believe.

    No check is wrong by a few bits, and none has a start that is: flips would mend some, and that is no forgery.
    """
    false = bytearray(payload)
    false[dice.randrange(len(false))] ^= dice.randint(1, 255)
    checks = (crc32(payload), crc32(false, 0x5A5A5A5A), crc32(false) ^ 0xFFFFFFFF, crc32(false) ^ 0xA5A5A5A5)
    checked = bytes(false) + dice.choice(checks).to_bytes(4, "little")
    return b"".join(bytes((len(run) + 1,)) + run for run in checked.split(b"\0")) + b"\0"


def flip(line: Bytes, dice: np.random.Generator) -> Bytes:
    """Single bits, anywhere, closing zeros included."""
    at = dice.integers(len(line), size=dice.integers(1, len(line) // 60))
    line[at] ^= np.left_shift(1, dice.integers(8, size=len(at))).astype(np.uint8)
    return line


def burst(line: Bytes, dice: np.random.Generator) -> Bytes:
    """Stretches of noise."""
    for at in dice.integers(len(line), size=dice.integers(1, 60)):
        stretch = line[at : at + dice.integers(1, 400)]
        stretch[:] = dice.integers(256, size=len(stretch), dtype=np.uint8)
    return line


def drop(line: Bytes, dice: np.random.Generator) -> Bytes:
    """Bytes are missing, as when a receive buffer overruns."""
    kept = np.ones(len(line), bool)
    for at in dice.integers(len(line), size=dice.integers(1, 600)):
        kept[at : at + dice.integers(1, 6)] = False
    return line[kept]


def stuff(line: Bytes, dice: np.random.Generator) -> Bytes:
    """Bytes that nobody sent, zeros among them."""
    at = dice.integers(len(line), size=dice.integers(1, 1500))
    return np.insert(line, at, dice.integers(256, size=len(at), dtype=np.uint8) * (dice.random(len(at)) < 0.8))


def shuffle(line: Bytes, dice: np.random.Generator) -> Bytes:
    """Pieces cut anywhere come twice, elsewhere or not at all."""
    pieces = np.split(line, np.sort(dice.integers(len(line), size=dice.integers(1, 800))))
    order = np.arange(len(pieces))
    moved = dice.integers(len(pieces), size=len(pieces) // 4 + 1)
    order[moved] = dice.integers(len(pieces), size=len(moved))
    return np.concatenate([pieces[at] for at in order])


def noise(line: Bytes, dice: np.random.Generator) -> Bytes:
    """Nothing but random bytes."""
    return dice.integers(256, size=len(line), dtype=np.uint8)


def nothing(line: Bytes, dice: np.random.Generator) -> Bytes:
    """As sent."""
    del dice
    return line


HARMS: tuple[Harm, ...] = (flip, burst, drop, stuff, shuffle)


def spoiled(line: bytes, dice: np.random.Generator) -> bytes:
    """The line with one to three harms, now and then none, or noise alone."""
    damaged = np.frombuffer(line, np.uint8).copy()
    fate = dice.random()
    chosen: list[Harm] = [HARMS[at] for at in dice.integers(len(HARMS), size=dice.integers(1, 4))]
    for harm in [noise] if fate < 0.05 else [nothing] if fate < 0.1 else chosen:
        damaged = harm(damaged, dice)
    return damaged.tobytes()


def chunks(line: bytes, dice: random.Random) -> Iterator[bytes]:
    """The line cut up at random, from single bytes to thousands."""
    at = 0
    while at < len(line):
        size = int(2 ** dice.uniform(0, 14))
        yield line[at : at + size]
        at += size


class Judge:
    """Cuts the line at its zeros, and knows a frame by all its bytes.

    Attributes:
        damaged: pieces that are no frame and not empty.
    """

    def __init__(self) -> None:
        self.damaged = 0
        self._rest = b""

    def expected(self, line: bytes, sent: dict[bytes, bytes]) -> list[bytes]:
        """The payloads of this part of the line; `sent`: payload by frame, the closing zero left out."""
        *pieces, rest = (self._rest + line).split(b"\0")
        self._rest = rest[: MAX_FRAME + 1]  # longer is no frame, whatever follows
        found = [payload for piece in pieces if (payload := sent.get(piece)) is not None]
        self.damaged += len(pieces) - len(found) - pieces.count(b"")
        return found


def run(most_bytes: int, seed: int, decoder: AnyDecoder | None = None, *, progress: bool = False) -> dict[str, int]:
    """Send so many bytes, count what comes out. All counts are exact; see the module's text."""
    tried: AnyDecoder = made(DECODER) if decoder is None else decoder
    dice, judge, spoiler = random.Random(seed), Judge(), np.random.default_rng(seed)
    counts = Counter(bytes=0, frames_sent=0, accepted=0, forged=0, forged_messages=0, lost=0, misread=0)
    before: dict[bytes, bytes] = {}  # of the block before, whose last frame may end in this one
    told = time.perf_counter()
    while counts["bytes"] < most_bytes:
        payloads = [random_payload(dice) for _ in range(_POOL_FRAMES)]
        frames = [encode(payload) for payload in payloads]
        sent = dict(zip((frame[:-1] for frame in frames), payloads, strict=True))
        frames += [false_frame(payload, dice) for payload in payloads[:_FALSE_CHECKS]]
        line = spoiled(b"".join(dice.choices(frames, k=_BLOCK_FRAMES)), spoiler)
        _compare(tried, line, judge.expected(line, before | sent), dice, counts)
        counts["frames_sent"] += _BLOCK_FRAMES
        before = sent
        if progress and time.perf_counter() - told > 2:
            told = time.perf_counter()
            sys.stderr.write(f"\r{counts['bytes']:>14,} of {most_bytes:,} bytes, {counts['forged']} forged")
            sys.stderr.flush()
    counts["damaged"] = tried.damaged
    counts["miscounted"] = abs(tried.damaged + counts["forged"] - counts["lost"] - judge.damaged)
    return dict(counts)


def _compare(tried: AnyDecoder, line: bytes, expected: list[bytes], dice: random.Random, counts: Counter[str]) -> None:
    """Feed one block, and count what differs from what the judge found in it."""
    got = [payload for piece in chunks(line, dice) for payload in tried.feed(piece)]
    counts["bytes"] += len(line)
    counts["accepted"] += len(got)
    if got != expected:
        came, due = Counter(got), Counter(expected)
        counts["forged"] += (came - due).total()
        counts["forged_messages"] += sum(unpack(payload) is not None for payload in (came - due).elements())
        counts["lost"] += (due - came).total()
        counts["misread"] += came == due  # the same, in another order
    for payload in got[:64]:  # of every block: what is accepted means what it says
        message = unpack(payload)
        counts["misread"] += message is not None and pack(message) != payload


def made(name: str) -> Any:
    """A new decoder, by MODULE:NAME."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)()


def _one(most_bytes: int, seed: int, name: str, progress: bool) -> dict[str, int]:
    return run(most_bytes, seed, made(name), progress=progress)


def run_in(processes: int, most_bytes: int, seed: int, name: str = DECODER) -> dict[str, Any]:
    """The same in several processes, each with its own seed and part of the bytes; the counts are summed."""
    began = time.perf_counter()
    part, seeds = -(-most_bytes // processes), range(seed, seed + processes)
    shown = [at == 0 for at in range(processes)]
    if processes == 1:
        parts = [_one(part, seed, name, True)]
    else:
        with ProcessPoolExecutor(processes) as pool:
            parts = list(pool.map(_one, [part] * processes, seeds, [name] * processes, shown))
    counts: Counter[str] = Counter()
    for one in parts:
        counts.update(one)
    seconds = time.perf_counter() - began
    return {
        "decoder": name,
        **counts,
        "expected_by_chance": counts["damaged"] / 2**32,
        "seconds": round(seconds, 1),
        "bytes_per_s": round(counts["bytes"] / seconds),
        "processes": processes,
        "seed": seed,
    }


def main() -> int:
    """The command line; 0 if no message was forged, none lost, and no more got past the check than chance explains."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bytes", type=int, help=f"bytes to send (default {SHORT:,}; --long: {LONG:,})")
    parser.add_argument("--long", action="store_true", help="10^9 bytes, in two processes")
    parser.add_argument("--processes", type=int, help=f"at a time (default 1; --long: {PROCESSES})")
    parser.add_argument("--decoder", default=DECODER, metavar="MODULE:NAME", help="what to try (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    asked = parser.parse_args()
    processes = asked.processes or (PROCESSES if asked.long else 1)
    result = run_in(processes, asked.bytes or (LONG if asked.long else SHORT), asked.seed, asked.decoder)
    sys.stderr.write("\r" + " " * 60 + "\r")
    text = json.dumps(result) if asked.json else "\n".join(f"{name:20}{value}" for name, value in result.items())
    sys.stdout.write(text + "\n")
    wrong = any(result[name] for name in ("forged_messages", "lost", "misread", "miscounted"))
    return 1 if wrong or result["forged"] > 1 + 4 * result["expected_by_chance"] else 0


if __name__ == "__main__":
    sys.exit(main())
