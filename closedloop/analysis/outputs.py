"""Folders that results are written into."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from closedloop.errors import ConfigError


@contextlib.contextmanager
def writable(out: Path) -> Iterator[None]:
    """The folder, made if need be; what the disk refuses within is said in words.

    Raises:
        ConfigError: the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written ({error.strerror}); choose another folder with --out") from error
