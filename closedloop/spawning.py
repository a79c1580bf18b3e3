"""How processes of this program are started: what they import is this program's, and nobody else's. It starts none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_SAFE_PATH = "PYTHONSAFEPATH"


@contextmanager
def trusted_imports() -> Iterator[None]:
    """A process started here looks for no module in the folder that the program was started in.

    A file of the name of a module, in a folder that came from a stranger, would be run otherwise.
    """
    before = os.environ.get(_SAFE_PATH)
    os.environ[_SAFE_PATH] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SAFE_PATH]
        else:
            os.environ[_SAFE_PATH] = before
