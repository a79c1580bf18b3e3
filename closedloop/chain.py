"""Compiled parts put together: a chain of features as one kernel, and records side by side as one record.

What is put together is told apart by identity alone, so the same kernels give the same compiled chain, and the same
fields the same type: numba knows a type at once by identity (2 us, not 8).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from closedloop.model import kernel

Kernel = Callable[..., Any]
Shown = tuple[tuple[str, Kernel], ...]  # names, and what gives the number: (memory, parameters) -> float


class Chain(NamedTuple):
    """Features one after the other: each gets the number of the one before as its signal, and the same control.

    Attributes:
        value: (memory, parameters, signal, control, learn) -> float.
        resume: (memory, parameters) -> None.
        shown: what of their memory is recorded at each reading.
    """

    value: Kernel
    resume: Kernel
    shown: Shown


def chain(features: Sequence[Any]) -> Chain:
    """The kernels of a chain of features, for a memory and parameters as `memory_of` and `parameters_of` make them."""
    return _chain(tuple((type(f).value, type(f).resume, tuple(type(f).shown.items())) for f in features))


def memory_of(features: Sequence[Any]) -> np.dtype[Any]:
    """The memory of a chain."""
    return record(tuple((_name(at, len(features)), feature.memory_layout()) for at, feature in enumerate(features)))


def parameters_of(features: Sequence[Any], rate_hz: float) -> Any:
    """One record: the parameters of a chain for readings at `rate_hz`."""
    count = len(features)
    return side_by_side({_name(at, count): feature.parameters(rate_hz) for at, feature in enumerate(features)})


@lru_cache(maxsize=256)
def record(fields: tuple[tuple[str, np.dtype[Any]], ...]) -> np.dtype[Any]:
    """A type of these fields; one and the same object for the same ones."""
    return np.dtype(list(fields), align=True)


def side_by_side(records: dict[str, Any]) -> Any:
    """Arrays of one record each as one record of all of them."""
    together = np.zeros(1, record(tuple((name, one.dtype) for name, one in records.items())))
    for name, one in records.items():
        together[name] = one
    return together


@kernel
def nothing(memory: Any, p: Any) -> None:
    """For a part that has nothing to do here."""


def done_by(kernel_of: Kernel) -> Kernel:
    """The kernel, or one that does nothing in place of `nothing`: for this composition alone, as `_name` is."""
    if kernel_of is not nothing:
        return kernel_of

    @kernel
    def nothing_here(memory: Any, p: Any) -> None:
        pass

    return nothing_here


@lru_cache(maxsize=256)
def within(name: str, kernel_of: Kernel) -> Kernel:
    """The kernel of (memory, parameters) of a part that lies at this name within a larger one."""

    @kernel
    def inside(memory: Any, p: Any) -> Any:
        return kernel_of(memory[name], p[name])

    return inside


@lru_cache(maxsize=256)
def one_after_the_other(first: Kernel, second: Kernel) -> Kernel:
    """Two kernels of (memory, parameters), done in this order."""
    if second is nothing:
        return first
    if first is nothing:
        return second

    @kernel
    def both(memory: Any, p: Any) -> None:
        first(memory, p)
        second(memory, p)

    return both


def _name(at: int, count: int) -> str:
    """Where a feature lies; and of how many, so that no memory is the beginning of another: numba mixes those up."""
    return f"feature_{at + 1}_of_{count}"


@lru_cache(maxsize=256)
def _chain(parts: tuple[tuple[Kernel, Kernel, Shown], ...]) -> Chain:
    resume, shown = nothing, []
    for at, (_, resumes, shows) in enumerate(parts):
        place = _name(at, len(parts))
        resume = one_after_the_other(resume, nothing if resumes is nothing else within(place, resumes))
        shown += [(name, within(place, kernel_of)) for name, kernel_of in shows]
    return Chain(_values(tuple(value for value, _, _ in parts)), resume, tuple(shown))


@lru_cache(maxsize=256)
def _values(values: tuple[Kernel, ...], at: int = 0) -> Kernel:
    value_of, name = values[at], _name(at, len(values))
    if at == len(values) - 1:

        @kernel
        def last(memory: Any, p: Any, signal: float, control: float, learn: bool) -> float:
            return value_of(memory[name], p[name], signal, control, learn)  # type: ignore[no-any-return]

        return last
    rest = _values(values, at + 1)

    @kernel
    def value(memory: Any, p: Any, signal: float, control: float, learn: bool) -> float:
        number = value_of(memory[name], p[name], signal, control, learn)
        return rest(memory, p, number, control, learn)  # type: ignore[no-any-return]

    return value
