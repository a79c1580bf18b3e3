"""The codec: whole, byte by byte and cut up anywhere it says the same, and damage is counted, never believed."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedloop.framing import MAX_FRAME, MAX_PAYLOAD, Decoder, _unstuff, decode, encode

HOSTILE = Path(__file__).parents[1] / "benchmarks" / "hostile_bytes.py"

payloads = st.binary(min_size=1, max_size=MAX_PAYLOAD)
zeros_and_more = st.lists(st.sampled_from([0, 0, 1, 255]), min_size=1, max_size=MAX_PAYLOAD).map(bytes)
any_payload = payloads | zeros_and_more


def cut_up(line: bytes, sizes: list[int]) -> list[bytes]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(line[at : at + size])
        at += size
    return [*pieces, line[at:]]


def feed_all(decoder: Decoder, pieces: list[bytes]) -> list[bytes]:
    return [payload for piece in pieces for payload in decoder.feed(piece)]


@given(any_payload)
def test_a_payload_comes_back(payload: bytes) -> None:
    assert decode(encode(payload)[:-1]) == payload


@given(any_payload)
def test_a_zero_is_only_at_the_end(payload: bytes) -> None:
    frame = encode(payload)
    assert frame.index(0) == len(frame) - 1
    assert len(frame) - 1 <= MAX_FRAME


@given(st.lists(any_payload, max_size=5), st.lists(st.integers(0, 30), max_size=20))
def test_any_cut_gives_the_same_as_the_whole_line(sent: list[bytes], sizes: list[int]) -> None:
    line = b"".join(encode(payload) for payload in sent)
    assert feed_all(Decoder(), [line]) == sent
    assert feed_all(Decoder(), cut_up(line, sizes)) == sent


@given(st.binary(max_size=400), st.lists(st.integers(0, 30), max_size=20))
def test_noise_is_judged_alike_however_it_is_cut_up(line: bytes, sizes: list[int]) -> None:
    whole, bytewise, cut = Decoder(), Decoder(), Decoder()
    expected = feed_all(whole, [line])
    assert feed_all(bytewise, [line[i : i + 1] for i in range(len(line))]) == expected
    assert feed_all(cut, cut_up(line, sizes)) == expected
    ended = b"\0"  # an overlong frame is counted when it ends
    assert whole.feed(ended) == bytewise.feed(ended) == cut.feed(ended)
    assert whole.damaged == bytewise.damaged == cut.damaged


@given(any_payload, st.data())
def test_one_flipped_bit_is_never_accepted(payload: bytes, data: st.DataObject) -> None:
    frame = bytearray(encode(payload)[:-1])
    bit = data.draw(st.integers(0, 8 * len(frame) - 1))
    frame[bit // 8] ^= 1 << bit % 8
    assert feed_all(Decoder(), [bytes(frame) + b"\0"]) == []


@given(any_payload, any_payload, st.data())
def test_a_truncated_frame_costs_at_most_the_next_one(first: bytes, second: bytes, data: st.DataObject) -> None:
    frame = encode(first)
    kept = data.draw(st.integers(1, len(frame) - 1))
    decoder = Decoder()
    assert decoder.feed(frame[:kept] + encode(second) + encode(second)) == [second]
    assert decoder.damaged == 1


@given(any_payload)
def test_a_frame_that_comes_twice_is_accepted_twice(payload: bytes) -> None:
    assert Decoder().feed(encode(payload) * 2) == [payload, payload]


@given(any_payload, st.integers(0, 4))
def test_a_reader_that_joins_in_the_middle_is_in_step_at_the_next_frame(payload: bytes, zeros: int) -> None:
    frame = encode(payload)
    line = frame[len(frame) // 2 :] + b"\0" * zeros + frame
    assert Decoder().feed(line)[-1:] == [payload]


@given(st.lists(st.integers(0, 300), min_size=1, max_size=8))
def test_an_overlong_frame_is_counted_once_and_never_kept(sizes: list[int]) -> None:
    decoder = Decoder()
    for size in [*sizes, MAX_FRAME + 1]:
        assert decoder.feed(b"\x07" * size) == []
        assert len(decoder._rest) <= MAX_FRAME
    assert decoder.feed(b"\0" + encode(b"next")) == [b"next"]
    assert decoder.damaged == 1


@pytest.mark.parametrize("size", [0, MAX_PAYLOAD + 1])
def test_a_payload_that_no_board_could_hold_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="1 to 64 bytes"):
        encode(bytes(size))


class WithoutCheck(Decoder):
    """Believes every frame whose COBS adds up."""

    def _close(self, frame: bytes) -> bytes | None:
        checked = _unstuff(frame) if 6 <= len(frame) <= MAX_FRAME else None
        return checked[:-4] if checked else super()._close(frame)


class Forgetful(Decoder):
    """Loses what a read left unfinished, now and then."""

    def feed(self, data: bytes) -> list[bytes]:
        self._rest = b"" if len(data) == 7 else self._rest
        return super().feed(data)


class Uncounted(Decoder):
    """Counts no damage."""

    def feed(self, data: bytes) -> list[bytes]:
        payloads = super().feed(data)
        self.damaged = 0
        return payloads


@pytest.fixture(scope="module")
def hostile() -> Any:
    return runpy.run_path(str(HOSTILE))["run"]


def test_millions_of_spoiled_bytes_forge_nothing_and_lose_nothing(hostile: Any) -> None:
    result = hostile(3_000_000, 7)
    assert (result["forged"], result["lost"], result["misread"], result["miscounted"]) == (0, 0, 0, 0)
    assert result["damaged"] > 20_000
    assert result["accepted"] > 50_000


@pytest.mark.parametrize(
    ("wrong", "noticed"), [(WithoutCheck, "forged"), (Forgetful, "lost"), (Uncounted, "miscounted")]
)
def test_a_decoder_that_is_wrong_is_noticed(hostile: Any, wrong: type[Decoder], noticed: str) -> None:
    assert hostile(1_000_000, 8, wrong())[noticed] > 0
