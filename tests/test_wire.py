"""Every message, once: it comes back as it went, and the C header is of this very table."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedloop import wire
from closedloop.framing import MAX_PAYLOAD, Decoder, encode

HEADER = Path(__file__).parents[1] / "firmware" / "core" / "wire.h"
RANGES = {"B": (0, 2**8 - 1), "H": (0, 2**16 - 1), "I": (0, 2**32 - 1), "Q": (0, 2**64 - 1), "i": (-(2**31), 2**31 - 1)}
MESSAGES = list(wire.TABLE.values())


def codes_of(message: type) -> list[str]:
    hints = get_type_hints(message, include_extras=True)
    return [get_args(hints[name])[1] for name in message._fields]


def values_of(message: type) -> st.SearchStrategy[wire.Message]:
    return st.builds(message, *[st.integers(*RANGES[code]) for code in codes_of(message)])


any_message = st.one_of([values_of(message) for message in MESSAGES])


@given(any_message)
def test_a_message_comes_back_as_it_went(message: wire.Message) -> None:
    assert wire.unpack(wire.pack(message)) == message
    assert type(wire.unpack(wire.pack(message))) is type(message)


@given(st.lists(any_message, max_size=6))
def test_messages_survive_the_line(messages: list[wire.Message]) -> None:
    line = b"".join(encode(wire.pack(message)) for message in messages)
    assert [wire.unpack(payload) for payload in Decoder().feed(line)] == messages


@given(st.binary(min_size=1, max_size=MAX_PAYLOAD))
def test_unpack_raises_for_nothing(payload: bytes) -> None:
    message = wire.unpack(payload)
    assert message is None or wire.pack(message) == payload


@given(any_message, st.binary(min_size=1, max_size=4))
def test_a_message_of_another_length_is_none_of_ours(message: wire.Message, extra: bytes) -> None:
    assert wire.unpack(wire.pack(message) + extra) is None
    assert wire.unpack(wire.pack(message)[:-1] or b"\xff") is None


@pytest.mark.parametrize("message", [m for m in MESSAGES if m._fields], ids=lambda m: m.__name__)
def test_a_value_that_does_not_fit_is_the_senders_bug(message: type) -> None:
    with pytest.raises(struct.error):
        wire.pack(message(*[RANGES[code][1] + 1 for code in codes_of(message)]))


def test_every_message_is_in_the_table_once_and_fits_a_board() -> None:
    assert set(get_args(wire.Message)) == set(MESSAGES)
    assert len(set(MESSAGES)) == len(MESSAGES)
    for message in MESSAGES:
        assert len(wire.pack(message(*[0] * len(message._fields)))) <= MAX_PAYLOAD


def test_the_hash_is_of_numbers_fields_enums_and_ceiling() -> None:
    text = wire.describe()
    for part in ("Fire", "on_us", "'I'", "LEASE_EXPIRED", "ceiling (1000000,"):
        assert part in text
    assert 0 < wire.WIRE_HASH < 2**32


def test_the_header_in_the_firmware_is_of_this_table() -> None:
    printed = subprocess.run([sys.executable, "-m", "closedloop.wire"], capture_output=True, text=True, check=True)
    assert HEADER.read_text(encoding="utf-8") == printed.stdout, "run: python -m closedloop.wire > firmware/core/wire.h"


def test_the_c_compiler_agrees_on_every_size(tmp_path: Path) -> None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here")
    checks = [
        f'_Static_assert(sizeof(wire_{wire._upper(m.__name__).lower()}_t) == {size}, "{m.__name__}");'
        for m in MESSAGES
        if (size := len(wire.pack(m(*[0] * len(m._fields)))) - 1)
    ]
    source = tmp_path / "sizes.c"
    source.write_text("\n".join([f'#include "{HEADER}"', *checks, "int main(void) { return 0; }", ""]))
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    done = subprocess.run([compiler, *flags, str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(checks) > 15
