"""The board's codec, compiled for this computer, against the host's: the same payloads and the same damage, always.

The library is built with the sanitizers' trap, so that a read or a shift out of bounds ends the test run.
"""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedloop.framing import MAX_FRAME, MAX_PAYLOAD, Decoder, encode

FIRMWARE = Path(__file__).parents[1] / "firmware"
SOURCES = [FIRMWARE / "core" / "framing.c", FIRMWARE / "proofs" / "framing_library.c"]
FLAGS = ["-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]

payloads = st.binary(min_size=1, max_size=MAX_PAYLOAD)
zeros_and_more = st.lists(st.sampled_from([0, 0, 1, 255]), min_size=1, max_size=MAX_PAYLOAD).map(bytes)
any_payload = payloads | zeros_and_more
cuts = st.lists(st.integers(0, 30), max_size=20)


class Heard(NamedTuple):
    """What a decoder made of a line."""

    payloads: list[bytes]
    good: int
    damaged: int


class BoardDecoder:
    """framing_t of the firmware, with the host decoder's face."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._memory = ctypes.create_string_buffer(library.library_framing_size())
        library.framing_init(self._memory)

    def feed(self, data: bytes) -> list[bytes]:
        out = ctypes.create_string_buffer(len(data) + MAX_FRAME + 1)
        written = self._library.library_feed(self._memory, data, len(data), out)
        return list(_split(out.raw[:written]))

    def counts(self) -> tuple[int, int]:
        counts = (ctypes.c_uint32 * 2)()
        self._library.library_counts(self._memory, counts)
        return counts[0], counts[1]


def _split(records: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(records):
        end = at + 1 + records[at]
        yield records[at + 1 : end]
        at = end


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        if os.environ.get("CI"):
            pytest.fail("no C compiler: the board's codec is not compared with the host's")
        pytest.skip("no C compiler here (cc or gcc)")
    built = tmp_path_factory.mktemp("framing") / "framing.so"
    sources = [str(source) for source in SOURCES]
    subprocess.run(
        [compiler, *FLAGS, "-I", str(FIRMWARE / "core"), "-shared", "-fPIC", *sources, "-o", str(built)], check=True
    )
    return ctypes.CDLL(str(built))


def by_board(library: ctypes.CDLL, pieces: list[bytes]) -> Heard:
    decoder = BoardDecoder(library)
    heard = [payload for piece in pieces for payload in decoder.feed(piece)]
    return Heard(heard, *decoder.counts())


def by_host(pieces: list[bytes]) -> Heard:
    decoder = Decoder()
    heard = [payload for piece in pieces for payload in decoder.feed(piece)]
    return Heard(heard, len(heard), decoder.damaged)


def cut_up(line: bytes, sizes: list[int]) -> list[bytes]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(line[at : at + size])
        at += size
    return [*pieces, line[at:]]


def check_alike(library: ctypes.CDLL, line: bytes, sizes: list[int]) -> Heard:
    """Whole, one byte at a time and cut up, by both: one and the same answer, which is returned."""
    heard = by_host([line])
    bytewise = [line[at : at + 1] for at in range(len(line))]
    for pieces in ([line], bytewise, cut_up(line, sizes)):
        assert by_board(library, pieces) == heard
        assert by_host(pieces) == heard
    return heard


def board_frame(library: ctypes.CDLL, payload: bytes) -> bytes:
    frame = ctypes.create_string_buffer(MAX_FRAME + 1)
    length = library.library_encode(payload, len(payload), frame)
    return frame.raw[:length]


@given(any_payload)
def test_board_and_host_write_the_same_frame(library: ctypes.CDLL, payload: bytes) -> None:
    assert board_frame(library, payload) == encode(payload)


@pytest.mark.parametrize("filling", [b"\x00", b"\x01", b"\xff", b"\x00\x01", b"\x07\x00\x00"])
def test_every_length_of_payload_is_written_and_read_alike(library: ctypes.CDLL, filling: bytes) -> None:
    sent = [(filling * MAX_PAYLOAD)[:length] for length in range(1, MAX_PAYLOAD + 1)]
    line = b"".join(board_frame(library, payload) for payload in sent)
    assert line == b"".join(encode(payload) for payload in sent)
    assert check_alike(library, line, [1, 2, 3, 5, 8, 13, 21, 34, 55]) == Heard(sent, MAX_PAYLOAD, 0)


@given(st.lists(any_payload, max_size=5), cuts)
def test_good_frames_are_read_alike_however_they_are_cut_up(
    library: ctypes.CDLL, sent: list[bytes], sizes: list[int]
) -> None:
    line = b"".join(encode(payload) for payload in sent)
    assert check_alike(library, line, sizes) == Heard(sent, len(sent), 0)


@given(st.binary(max_size=400), cuts)
def test_random_bytes_are_judged_alike(library: ctypes.CDLL, line: bytes, sizes: list[int]) -> None:
    check_alike(library, line + b"\0", sizes)


@given(any_payload, cuts, st.data())
def test_a_damaged_frame_is_judged_alike(
    library: ctypes.CDLL, payload: bytes, sizes: list[int], data: st.DataObject
) -> None:
    frame = bytearray(encode(payload))
    for _ in range(data.draw(st.integers(1, 4))):
        bit = data.draw(st.integers(0, 8 * len(frame) - 1))
        frame[bit // 8] ^= 1 << bit % 8
    check_alike(library, bytes(frame) + b"\0" + encode(b"next"), sizes)


@pytest.mark.parametrize("length", range(2 * MAX_FRAME + 4))
def test_a_frame_of_any_length_is_judged_alike(library: ctypes.CDLL, length: int) -> None:
    for filling in (b"\x01", b"\x02", b"\xff"):
        check_alike(library, filling * length + b"\0" + encode(b"next"), [length])


def _hostile_line(dice: random.Random, frames: int) -> bytes:
    """Frames of which about a third are flipped, cut, spliced or followed by noise."""
    line = bytearray()
    for _ in range(frames):
        frame = bytearray(encode(dice.randbytes(dice.randint(1, MAX_PAYLOAD))))
        kind = dice.randrange(12)
        if kind == 0:
            frame[dice.randrange(len(frame))] ^= 1 << dice.randrange(8)
        elif kind == 1:
            del frame[dice.randrange(len(frame)) :]
        elif kind == 2:
            frame += dice.randbytes(dice.randint(1, 150))
        elif kind == 3:
            frame[: dice.randrange(len(frame))] = b""
        line += frame
    return bytes(line) + b"\0"


@pytest.mark.parametrize("seed", range(4))
def test_tens_of_thousands_of_frames_are_judged_alike(library: ctypes.CDLL, seed: int) -> None:
    dice = random.Random(seed)
    line = _hostile_line(dice, 10_000)
    sizes = [dice.randint(0, 200) for _ in range(2_000)]
    heard = by_host([line])
    assert by_board(library, [line]) == heard
    assert by_board(library, cut_up(line, sizes)) == heard
    assert heard.good > 5_000
    assert heard.damaged > 1_000


def test_a_million_random_bytes_are_judged_alike(library: ctypes.CDLL) -> None:
    line = random.Random(1).randbytes(1_000_000) + b"\0"
    heard = by_host([line])
    assert by_board(library, [line]) == heard
    assert heard.damaged > 3_000
