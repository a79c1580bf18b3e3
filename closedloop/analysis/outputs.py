"""Folders that results are written into."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from closedloop.errors import ConfigError


@contextlib.contextmanager
def writable(out: Path, names: Sequence[str] = ()) -> Iterator[None]:
    """The folder, made if need be; what the disk refuses within is said in words.

    Args:
        out: the folder; by default it stands beside a recording, which may be a stranger's.
        names: files that will be written: a link of such a name is taken away, not written through.

    Raises:
        ConfigError: the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        for link in (out / name for name in names):
            if link.is_symlink():
                link.unlink()
        yield
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written ({error.strerror}); choose another folder with --out") from error
