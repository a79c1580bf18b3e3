"""Where a firmware's variables lie in RAM, read from its ELF file's symbol table. Reads files; runs nothing."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

RAM_OFFSET = 0x800000  # the GNU linker puts RAM above flash, at this address
SYMBOL_TABLE = 2


class Symbol(NamedTuple):
    """A variable: its address in data space and its size in bytes."""

    address: int
    size: int


def ram_symbols(elf: Path) -> dict[str, Symbol]:
    """All named variables in RAM; raises ValueError where the file is no 32-bit little-endian ELF."""
    data = elf.read_bytes()
    if data[:6] != b"\x7fELF\x01\x01":
        raise ValueError(f"{elf} is not a 32-bit little-endian ELF file")
    table, entry, count = struct.unpack_from("<I", data, 32)[0], *struct.unpack_from("<HH", data, 46)
    sections = [struct.unpack_from("<10I", data, table + entry * i) for i in range(count)]
    symbols: dict[str, Symbol] = {}
    for section in sections:
        if section[1] != SYMBOL_TABLE:
            continue
        names = sections[section[6]][4]
        for offset in range(section[4], section[4] + section[5], 16):
            name, value, size, _, _, _ = struct.unpack_from("<IIIBBH", data, offset)
            if size and RAM_OFFSET <= value < 2 * RAM_OFFSET:
                end = data.index(b"\0", names + name)
                symbols[data[names + name : end].decode()] = Symbol(value - RAM_OFFSET, size)
    return symbols
