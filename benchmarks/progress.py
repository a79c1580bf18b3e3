"""A bar on standard error for benchmarks that take minutes or hours. Standard output is left to the figures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")


def each(items: Iterable[T], what: str) -> Iterator[T]:
    """The items one by one, with a bar that says how far it is and how long the rest will take.

    Args:
        items: what is worked through; without a length the bar only moves.
        what: said before the bar.
    """
    total = len(items) if isinstance(items, Sized) else None
    yield from track(items, f"{what:40}", total=total, console=Console(stderr=True))
