"""Every detection is decided on, and some trains, drawn in advance, are left out: what does one train do?

Which ones is drawn from the seed before the session (`drawn` in the header) and used up one by one, by decisions that
were not refused. So each event is randomised by itself, whatever the animal did before (a micro-randomised design;
SCIENCE 2.1), and within one animal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from closedloop.model import Fraction, kernel
from closedloop.policies import CATCH, FIRE, Policy

MOST_DRAWN = 1 << 17  # at the boards' ceiling of 60 trains a minute, 36 hours
_TOLD = 4096  # of them in the header, as text; all of them by their hash
_MEMORY = np.dtype([("used", "i8")], align=True)
_PARAMETERS = np.dtype([("catch", "u1", (MOST_DRAWN,))], align=True)


@kernel
def _decide(memory: Any, p: Any, detected: bool, high: bool, ticks: int, since: int) -> int:
    if not detected:
        return 0
    if memory.used >= MOST_DRAWN:
        return 2  # nothing is drawn for it: dark
    return 2 if p.catch[memory.used] else 1


@kernel
def _taken(memory: Any, p: Any, decision: int) -> None:
    memory.used += 1


class Catch(Policy):
    """Light at each detection, but for a random part of them."""

    kind: Literal["catch"] = "catch"
    probability: Fraction = Field(0.25, gt=0, lt=1, description="Of a train that it is left out.")
    by: Literal["bernoulli", "permuted_blocks"] = Field(
        "bernoulli", description="Each for itself, or the very share in every `block` of trains, in random order."
    )
    block: int = Field(8, ge=2, le=64, description="Trains in a permuted block; probability x block is a whole number.")

    decisions: ClassVar[tuple[str, ...]] = (FIRE, CATCH)
    decide: ClassVar[Any] = staticmethod(_decide)
    taken: ClassVar[Any] = staticmethod(_taken)
    memory_type: ClassVar[np.dtype[Any]] = _MEMORY
    parameter_type: ClassVar[np.dtype[Any]] = _PARAMETERS

    @model_validator(mode="after")
    def _share_is_whole(self) -> Self:
        left_out = self.probability * self.block
        if self.by == "permuted_blocks" and not (abs(left_out - round(left_out)) < 1e-9 and round(left_out) >= 1):
            raise ValueError(
                f"block ({self.block}) does not hold a whole number of catch trials at probability "
                f"{self.probability * 100:g} %; choose a block such as 4 for 25 %"
            )
        return self

    def assignment(self, seed: int) -> Any:
        """1 for each train that is left out, in the order of use; all that a session can need."""
        random = np.random.default_rng(seed)
        if self.by == "bernoulli":
            return (random.random(MOST_DRAWN) < self.probability).astype("u1")
        blocks = np.zeros((-(-MOST_DRAWN // self.block), self.block), "u1")
        blocks[:, : round(self.probability * self.block)] = 1
        return random.permuted(blocks, axis=1).ravel()[:MOST_DRAWN]

    def parameters(self, rate_hz: float, seed: int) -> Any:
        """The assignment."""
        del rate_hz
        p = np.zeros(1, _PARAMETERS)
        p["catch"] = self.assignment(seed)
        return p

    def drawn(self, seed: int) -> Mapping[str, Any]:
        """The first of the assignment as text, f for fire and c for catch; the SHA-256 of all of it as such text."""
        text = "".join("fc"[one] for one in self.assignment(seed).tolist())
        return {
            "probability": self.probability,
            "by": self.by,
            "block": self.block if self.by == "permuted_blocks" else None,
            "drawn": MOST_DRAWN,
            "shown": _TOLD,
            "assignment": text[:_TOLD],
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
        }
