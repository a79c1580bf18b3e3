"""A session in blocks: which one is on at a reading, by sample time. It wants nothing and refuses nothing by itself.

Warm-up comes before the first block and after it the blocks follow, each with its policy, its bounds of the score and
its end. Their clock is the readings' own: it goes on through a gap, for an animal's time does, and stands still while
a person pauses the session. A restart of the baseline begins warm-up anew, and no block: light is refused meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field, model_validator

from closedloop.model import Model, OneOf, Seconds, kernel
from closedloop.policies import Policy

MOST_BLOCKS = 32
WARM_UP = 0  # the block's number before the first
OVER = 255  # ... and after the last
_NEVER = 1 << 62


class Block(Model):
    """One stretch of a session."""

    name: str = Field(min_length=1, max_length=40, examples=["baseline"], description="Shown wherever the block is.")
    lasts: Seconds = Field(gt=0, description="Sample time after which it ends at the latest; pauses do not count.")
    trains: int | None = Field(None, ge=1, description="It ends earlier after so many decisions that were not refused.")
    readings: int | None = Field(None, ge=1, description="It ends earlier after so many readings received.")
    policy: Annotated[Policy | None, OneOf("closedloop.policies")] = Field(
        None, description="Of this block; the protocol's, if left out. A study's arm replaces the protocol's alone."
    )
    threshold: float | None = Field(None, description="Of the score, in this block.")
    release: float | None = Field(None, description="Score below which it is over, in this block; needs threshold.")

    @model_validator(mode="after")
    def _bounds_belong_together(self) -> Self:
        if self.release is not None and (self.threshold is None or self.release > self.threshold):
            raise ValueError("release needs a threshold that is not below it; give both, or leave release out")
        return self


MEMORY = np.dtype(
    [(name, "i8") for name in ("at", "clock", "last", "began", "trains", "readings", "paused", "until")], align=True
)
PARAMETERS = np.dtype(
    [
        ("count", "i8"),
        ("warm_up_us", "i8"),
        ("lasts_us", "i8", (MOST_BLOCKS,)),
        ("trains", "i8", (MOST_BLOCKS,)),
        ("readings", "i8", (MOST_BLOCKS,)),
        ("policy", "i8", (MOST_BLOCKS + 1,)),  # by block number; 0 of warm-up
        ("refractory_us", "i8", (MOST_BLOCKS + 1,)),
        ("least_interval_us", "i8", (MOST_BLOCKS + 1,)),
        ("threshold", "f8", (MOST_BLOCKS + 1,)),
        ("release", "f8", (MOST_BLOCKS + 1,)),
    ],
    align=True,
)


def policies_of(policy: Policy, blocks: Sequence[Block]) -> tuple[Policy, ...]:
    """The protocol's policy and those of the blocks, each once."""
    found = [policy]
    found += [b.policy for b in blocks if b.policy is not None]
    return tuple(one for at, one in enumerate(found) if one not in found[:at])


def parameters(policy: Policy, blocks: Sequence[Block], warm_up_s: float, bounds: tuple[float, float]) -> Any:
    """One PARAMETERS record; without blocks there is one that never ends.

    Args:
        policy: the protocol's.
        blocks: in their order.
        warm_up_s: before the first.
        bounds: threshold and release where a block has none of its own.
    """
    p = np.zeros(1, PARAMETERS)
    policies = policies_of(policy, blocks)
    p["count"], p["warm_up_us"] = max(1, len(blocks)), round(warm_up_s * 1e6)
    p["lasts_us"], p["trains"], p["readings"] = _NEVER, _NEVER, _NEVER
    p["threshold"], p["release"] = bounds
    of_block = [policy, *(block.policy or policy for block in blocks)]
    for at, one in enumerate(of_block if blocks else [policy, policy]):
        p["policy"][0, at] = policies.index(one)
        p["refractory_us"][0, at] = round(one.refractory * 1e6)
        p["least_interval_us"][0, at] = round(one.least_interval * 1e6)
    for at, block in enumerate(blocks):
        p["lasts_us"][0, at] = round(block.lasts * 1e6)
        p["trains"][0, at] = block.trains or _NEVER
        p["readings"][0, at] = block.readings or _NEVER
        if block.threshold is not None:
            p["threshold"][0, at + 1] = block.threshold
            p["release"][0, at + 1] = min(bounds[1], block.threshold) if block.release is None else block.release
    return p


@kernel
def now(memory: Any, p: Any, ticks: int, since_start: int) -> int:
    """What `advance` says, which need not be asked before `until`: nothing but time can end what is on till then."""
    if ticks >= memory.until:
        return _noted(memory, p, ticks, advance(memory, p, ticks, since_start), since_start)
    memory.clock += ticks - memory.last
    memory.last = ticks
    return memory.at  # type: ignore[no-any-return]


@kernel
def _noted(memory: Any, p: Any, ticks: int, block: int, since_start: int) -> int:
    """The block, and until when it is on for certain: not beyond this reading, where more than time can end it."""
    memory.until = ticks
    if block == WARM_UP:
        memory.until = ticks + p.warm_up_us - since_start
    elif block != OVER and memory.paused == 0 and p.trains[block - 1] == _NEVER and p.readings[block - 1] == _NEVER:
        memory.until = ticks + p.lasts_us[block - 1] - (memory.clock - memory.began)
    return block


@kernel
def advance(memory: Any, p: Any, ticks: int, since_start: int) -> int:
    """The number of the block that this reading is in: WARM_UP, 1 for the first, or OVER.

    Args:
        memory: MEMORY.
        p: PARAMETERS.
        ticks: of the reading.
        since_start: microseconds since the session's first reading.
    """
    if memory.at == WARM_UP:
        memory.last = ticks
        if since_start < p.warm_up_us:
            return WARM_UP
        memory.at = 1
        memory.clock = since_start - p.warm_up_us
    elif memory.paused == 0:
        memory.clock += ticks - memory.last
    memory.last = ticks
    while memory.at != OVER and _is_over(memory, p):
        memory.began = min(memory.began + p.lasts_us[memory.at - 1], memory.clock)
        memory.trains = 0
        memory.readings = 0
        memory.at = memory.at + 1 if memory.at < p.count else OVER
    if memory.paused == 0:
        memory.readings += 1
    return memory.at  # type: ignore[no-any-return]


@kernel
def _is_over(memory: Any, p: Any) -> bool:
    at = memory.at - 1
    return (  # type: ignore[no-any-return]
        memory.clock - memory.began >= p.lasts_us[at]
        or memory.trains >= p.trains[at]
        or memory.readings >= p.readings[at]
    )
