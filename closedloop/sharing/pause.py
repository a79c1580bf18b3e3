"""The one place where time is let pass: files that grow and networks that fall silent tell nobody."""

from __future__ import annotations

import time


def pause(seconds: float) -> None:
    """Let so much time pass."""
    time.sleep(seconds)  # noqa: TID251 - there is nothing to wait for
