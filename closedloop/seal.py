"""What is not to be read in passing: a map as one line of text, and back. This is no cipher; never take it for one.

The rig's own computer has to open it without asking anybody, so anybody who means to can. It keeps an arm's name out
of what an honest person sees, and it shows whether what was sealed was changed: that is all that blinding needs, and
all that it gives. `commitment` lets a public file vouch for a sealed one without telling what is in it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Mapping
from typing import Any

from closedloop.errors import RecordingError

_MAGIC = "closedloop-seal-1"
_MOST_BYTES = 4_000_000  # of what is unpacked; nothing that is sealed comes near


def seal(value: Mapping[str, Any]) -> str:
    """A map of plain values as text: what it is, the SHA-256 of what is in it, and the packed rest.

    Raises:
        TypeError: it holds something that is not JSON.
    """
    plain = _canonical(value)
    packed = base64.b64encode(zlib.compress(plain, 9)).decode()
    return f"{_MAGIC} {hashlib.sha256(plain).hexdigest()} {packed}\n"


def unseal(text: str, source: str = "sealed text") -> dict[str, Any]:
    """What was sealed.

    Args:
        text: as `seal` gave it.
        source: where it was read from, for messages.

    Raises:
        RecordingError: it is nothing sealed, or was changed since.
    """
    parts = text.split()
    if len(parts) != 3 or parts[0] != _MAGIC:
        raise RecordingError(f"{source}: is nothing that closedloop sealed; restore it from a copy")
    try:
        plain = _unpacked(parts[2])
        value = json.loads(plain)
    except (binascii.Error, zlib.error, ValueError, RecursionError) as error:
        raise RecordingError(f"{source}: damaged: it cannot be opened; restore it from a copy") from error
    if hashlib.sha256(plain).hexdigest() != parts[1] or not isinstance(value, dict):
        raise RecordingError(f"{source}: was changed after it was sealed; restore it from a copy")
    return value


def commitment(value: Mapping[str, Any]) -> str:
    """SHA-256 of a map, in hex. What can be guessed is guessed by trying: put a random `salt` into the map."""
    return hashlib.sha256(_canonical(value)).hexdigest()


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _unpacked(packed: str) -> bytes:
    unpacker = zlib.decompressobj()
    plain = unpacker.decompress(base64.b64decode(packed, validate=True), _MOST_BYTES)
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("not whole")
    return plain
