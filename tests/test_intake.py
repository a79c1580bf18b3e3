"""The compiled way of a reading is the same as the plain one: framing, wire and counting one after another."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from closedloop import framing, wire
from closedloop.clock import TickCounter
from closedloop.intake import MOST_BYTES, Intake
from closedloop.readings import READING


class Plain:
    """What `Intake` does, in the plainest way."""

    def __init__(self) -> None:
        self.decoder, self.counter = framing.Decoder(), TickCounter()
        self.rows: list[tuple[int, ...]] = []
        self.others: list[wire.Message] = []
        self.missing = self.repeated = self.unknown = self.first = 0
        self.seq: int | None = None

    def feed(self, data: bytes) -> None:
        for payload in self.decoder.feed(data):
            message = wire.unpack(payload)
            if message is None:
                self.unknown += 1
            elif isinstance(message, wire.Reading):
                self.count(message)
            else:
                self.others.append(message)

    def count(self, message: wire.Reading) -> None:
        step = message.seq + 1 if self.seq is None else (message.seq - self.seq + 2**31) % 2**32 - 2**31
        if step <= 0:
            self.repeated += 1
            return
        ticks = self.counter.extend(message.ticks)
        self.first = ticks if self.seq is None else self.first
        self.missing += step - 1
        self.seq = message.seq
        self.rows.append((ticks - self.first, *message[:1], *message[2:]))


def both(
    chunks: list[bytes], unfinished: bytes = b""
) -> tuple[Plain, Intake, list[tuple[int, ...]], list[wire.Message]]:
    plain, intake = Plain(), Intake(unfinished)
    plain.feed(unfinished)
    rows: list[tuple[int, ...]] = []
    others: list[wire.Message] = []
    for chunk in chunks:
        plain.feed(chunk)
        taken, messages = intake.feed(chunk)
        rows += [tuple(row) for row in taken.tolist()]
        others += messages
    return plain, intake, rows, others


def same(chunks: list[bytes], unfinished: bytes = b"") -> Intake:
    plain, intake, rows, others = both(chunks, unfinished)
    assert rows == plain.rows
    assert others == plain.others
    counted = (intake.missing, intake.repeated, intake.unknown, intake.damaged, intake.received)
    assert counted == (plain.missing, plain.repeated, plain.unknown, plain.decoder.damaged, len(plain.rows))
    assert intake.first_ticks == plain.first
    return intake


def frame(message: wire.Message) -> bytes:
    return framing.encode(wire.pack(message))


U32, I32, U16 = st.integers(0, 2**32 - 1), st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**16 - 1)
READINGS = st.builds(wire.Reading, U32, U32, I32, I32, I32, I32, U16, U16)
OTHERS = st.one_of(
    st.builds(wire.ClockReply, U32, U32), st.builds(wire.StreamEnd, U32, U32), st.just(wire.StatisticsQuery())
)
PIECES = st.one_of(READINGS.map(frame), OTHERS.map(frame), st.binary(max_size=90), st.just(b"\0"), st.just(b"\0\0"))


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=12), st.lists(st.integers(1, 60), min_size=1, max_size=6), st.binary(max_size=40))
def test_any_bytes_however_cut_up_give_what_the_plain_way_gives(
    pieces: list[bytes], cuts: list[int], unfinished: bytes
) -> None:
    data, chunks, at = b"".join(pieces), [], 0
    while data:
        size = cuts[at % len(cuts)]
        chunks.append(data[:size])
        data, at = data[size:], at + 1
    same(chunks, unfinished.replace(b"\0", b"\1"))


def test_a_worn_line_gives_what_the_plain_way_gives_byte_by_byte_and_at_once() -> None:
    dice = random.Random(5)
    line = bytearray()
    for n in range(3000):
        line += frame(wire.Reading(n, n * 7692 % 2**32, dice.randrange(2**20), 3, 4, 5, n % 4, 0))
        if n % 50 == 0:
            line += frame(wire.ClockReply(n, n))
    for _ in range(400):
        line[dice.randrange(len(line))] ^= 1 << dice.randrange(8)
    at_once = same([bytes(line[i : i + MOST_BYTES]) for i in range(0, len(line), MOST_BYTES)])
    one_by_one = same([bytes((byte,)) for byte in line])
    assert at_once.damaged == one_by_one.damaged > 100
    assert at_once.missing == one_by_one.missing > 100


@pytest.mark.parametrize("start", [2**32 - 5, 2**31 - 5])
def test_numbers_and_ticks_wrap_without_a_gap(start: int) -> None:
    data = b"".join(
        frame(wire.Reading((start + n) % 2**32, (start + 9 * n) % 2**32, 1, 1, 1, 1, 0, 0)) for n in range(20)
    )
    intake = Intake()
    first = frame(wire.Reading(start, start, 1, 1, 1, 1, 0, 0))
    intake.feed(first)
    before = intake.missing
    rows, _ = intake.feed(data[len(first) :])
    assert rows["ticks"].tolist() == [9 * n for n in range(1, 20)]
    assert (intake.missing - before, intake.repeated, intake.received) == (0, 0, 20)


def test_messages_and_bytes_are_counted_alike() -> None:
    readings = [wire.Reading(seq, seq * 10, 1, 2, 3, 4, 5, 6) for seq in (0, 1, 1, 4, 3, 5)]
    by_message, by_bytes = Intake(), Intake()
    accepted = by_message.accept(readings).copy()
    taken, _ = by_bytes.feed(b"".join(frame(reading) for reading in readings))
    assert accepted.dtype == taken.dtype == READING
    assert np.array_equal(accepted, taken)
    assert (by_message.missing, by_message.repeated) == (by_bytes.missing, by_bytes.repeated) == (2, 2)


def test_a_full_buffer_of_the_shortest_frames_fits() -> None:
    shortest = frame(wire.StatisticsQuery())
    same([(shortest * MOST_BYTES)[:MOST_BYTES]])
