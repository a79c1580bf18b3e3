"""Foreign recordings to readings. What cannot be read is an error, and what was lost stays missing.

A format is one file in this folder with `WHAT` (for messages), `recognises(path, head)` and `read(path)`,
and a place in `KNOWN` below. Which one reads a file is decided by what is in it; its name counts only where
the content is too damaged to tell.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from closedloop import plain_file
from closedloop.errors import RecordingError
from closedloop.formats import neurophotometrics_csv, plain_csv, ppd, pyphotometry_csv
from closedloop.readings import Stream

HEAD_BYTES = 65536  # enough for the header line of any camera file we know


class Format(NamedTuple):
    """One kind of file."""

    what: str
    recognises: Callable[[Path, bytes], bool]
    read: Callable[[Path], Stream]


KNOWN = tuple(
    Format(module.WHAT, module.recognises, module.read)
    for module in (ppd, pyphotometry_csv, neurophotometrics_csv, plain_csv)
)


def read(path: Path) -> Stream:
    """The readings of a foreign recording, whichever known format it has.

    Raises:
        RecordingError: it is not there, of no known format, or damaged; one line that says what to do.
    """
    head = _head(path)
    for known in KNOWN:
        if known.recognises(path, head):
            return known.read(path)
    raise RecordingError(f"{path}: not a recording we know; known are {'; '.join(known.what for known in KNOWN)}")


def _head(path: Path) -> bytes:
    try:
        with plain_file.opened(path) as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise RecordingError(f"{path}: cannot be opened: {error.strerror}; check the path") from error
    if not head:
        raise RecordingError(f"{path}: the file is empty; was it copied completely?")
    return head
