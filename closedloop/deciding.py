"""The policies of a session as one: each block asks its own, and all their decisions have numbers of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from closedloop import chain
from closedloop.chain import Kernel
from closedloop.model import kernel
from closedloop.policies import FIRE, SHAM, Policy
from closedloop.schedule import MOST_BLOCKS, Block, policies_of

TEST = "test"  # the decision of a person

_MOST_DECISIONS = 8
CODES = np.dtype([("of", "i8", (MOST_BLOCKS + 1, _MOST_DECISIONS))], align=True)


class Deciding(NamedTuple):
    """The kernels of several policies; `which` counts them from 0.

    Attributes:
        decide: (which, memory, parameters, detected, high, ticks, since) -> int, as the policy numbers its decisions.
        ahead: (which, memory, parameters, since) -> int.
        taken: (which, memory, parameters, decision) -> None.
    """

    decide: Kernel
    ahead: Kernel
    taken: Kernel


class Policies(NamedTuple):
    """What a loop needs of them: kernels, memory and parameters that fit one another.

    Attributes:
        codes: one CODES record: number of a decision in `decisions_of`, by policy and by its own number; 0 stays 0.
    """

    kernels: Deciding
    memory: np.dtype[Any]
    parameters: Callable[[float, int], Any]
    codes: Any


def decisions_of(policy: Policy, blocks: Sequence[Block]) -> tuple[str, ...]:
    """All that may be decided in a session, number 1 first: the policies', a person's, and sham in place of light."""
    named = [name for one in policies_of(policy, blocks) for name in one.decisions]
    return tuple(dict.fromkeys([*named, TEST, *([SHAM] if FIRE in named else [])]))


def deciding(policy: Policy, blocks: Sequence[Block]) -> Policies:
    """The protocol's policy and those of its blocks."""
    policies, decisions = policies_of(policy, blocks), decisions_of(policy, blocks)
    names = [_name(at, len(policies)) for at in range(len(policies))]
    codes = np.zeros(1, CODES)
    for at, one in enumerate(policies):
        codes["of"][0, at, 1 : len(one.decisions) + 1] = [decisions.index(name) + 1 for name in one.decisions]

    def parameters(rate_hz: float, seed: int) -> Any:
        return chain.side_by_side(
            {
                name: one.parameters(rate_hz, seed_of(seed, at))
                for at, (name, one) in enumerate(zip(names, policies, strict=True))
            }
        )

    kernels = _deciding(tuple((type(one).decide, type(one).ahead, type(one).taken) for one in policies))
    memory = chain.record(tuple((name, one.memory_layout()) for name, one in zip(names, policies, strict=True)))
    return Policies(kernels, memory, parameters, codes)


def seed_of(seed: int, at: int) -> int:
    """Of one policy of a session, from the session's: that of the first is the session's own."""
    return seed + at * 1_000_003


def _name(at: int, count: int) -> str:
    return f"policy_{at + 1}_of_{count}"


@lru_cache(maxsize=256)
def _deciding(parts: tuple[tuple[Kernel, Kernel, Kernel], ...], at: int = 0) -> Deciding:
    (decide_of, ahead_of, taken_of), name, last = parts[at], _name(at, len(parts)), at == len(parts) - 1
    rest = _none if last else _deciding(parts, at + 1)
    decide_rest, ahead_rest, taken_rest = rest

    @kernel
    def decide(which: int, memory: Any, p: Any, detected: bool, high: bool, ticks: int, since: int) -> int:
        if which == at:
            return decide_of(memory.policies[name], p.policies[name], detected, high, ticks, since)  # type: ignore[no-any-return]
        return decide_rest(which, memory, p, detected, high, ticks, since)  # type: ignore[no-any-return]

    @kernel
    def ahead(which: int, memory: Any, p: Any, since: int) -> int:
        if which == at:
            return ahead_of(memory.policies[name], p.policies[name], since)  # type: ignore[no-any-return]
        return ahead_rest(which, memory, p, since)  # type: ignore[no-any-return]

    @kernel
    def taken(which: int, memory: Any, p: Any, decision: int) -> None:
        if which == at:
            taken_of(memory.policies[name], p.policies[name], decision)
        else:
            taken_rest(which, memory, p, decision)

    return Deciding(decide, ahead, taken)


@kernel
def _decide_none(which: int, memory: Any, p: Any, detected: bool, high: bool, ticks: int, since: int) -> int:
    return 0


@kernel
def _ahead_none(which: int, memory: Any, p: Any, since: int) -> int:
    return 0


@kernel
def _taken_none(which: int, memory: Any, p: Any, decision: int) -> None:
    pass


_none = Deciding(_decide_none, _ahead_none, _taken_none)
