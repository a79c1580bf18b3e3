"""Digital inputs that must agree before light may be given: a chamber, a lever, a beam, a wheel. They only refuse.

A gate opens only after its input has been so for the whole of `debounce`, and a level's gate closes at once: a doubt
keeps it shut.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from closedloop.errors import ConfigError
from closedloop.model import Model, Rate, Seconds, kernel

MOST_GATES = 8
_MOST_EDGES = 256
_KINDS = ("high", "low", "rising", "falling", "turning")
_EDGE, _TURNING = 2, 4  # kinds from _EDGE on open for a while, by edges


class Gate(Model):
    """One condition; all gates of a protocol must be open."""

    input: str = Field(min_length=1, examples=["paired"], description="Name of a digital input of the rig.")
    when: Literal["high", "low", "rising", "falling", "turning"] = Field(
        "high", description="Open while the input is high or low, for `hold` after an edge, or while a wheel turns."
    )
    debounce: Seconds = Field(0.0, ge=0, le=10, description="The input must have been so for this long first.")
    hold: Seconds = Field(0.0, ge=0, le=3600, description="Stays open for so long after; an edge needs it.")
    at_least: Rate | None = Field(None, gt=0, description="Of turning: rising edges a minute, over `window`.")
    window: Seconds = Field(1.0, gt=0, le=60, description="Of turning: edges are counted over so long.")

    @model_validator(mode="after")
    def _says_all_it_needs(self) -> Self:
        if self.when in ("rising", "falling") and self.hold == 0:
            raise ValueError(f"when: {self.when} opens at an edge; say for how long, with 'hold: 2 s'")
        if (self.when == "turning") != (self.at_least is not None):
            raise ValueError("at_least belongs to 'when: turning', and turning needs it; write for example '60 /min'")
        if self.edges > _MOST_EDGES:
            raise ValueError(f"at_least: {self.edges} edges within window are more than {_MOST_EDGES}; shorten window")
        return self

    @property
    def edges(self) -> int:
        """Edges that the window must hold."""
        return max(1, round((self.at_least or 0.0) * self.window / 60))

    @property
    def words(self) -> str:
        """For people: 'paired high'."""
        return f"{self.input} {self.when}"


_ONE = [("kind", "i8"), ("bit", "i8"), ("debounce_us", "i8"), ("hold_us", "i8"), ("edges", "i8"), ("window_us", "i8")]
PARAMETERS = np.dtype([("count", "i8"), ("of", np.dtype(_ONE, align=True), (MOST_GATES,))], align=True)
_KEPT = [
    ("known", "i8"),
    ("active", "i8"),
    ("since", "i8"),
    ("steady", "i8"),
    ("until", "i8"),
    ("edges", "i8"),
    ("at", "i8", (_MOST_EDGES,)),
]
MEMORY = np.dtype([("open", "i8"), ("of", np.dtype(_KEPT, align=True), (MOST_GATES,))], align=True)


def problems(gates: Sequence[Gate], names: Sequence[str]) -> list[str]:
    """Why these gates cannot work with inputs of these names."""
    known = ", ".join(names) or "none"
    return [
        f"gates.{at}.input: there is no input '{gate.input}' here (inputs: {known}); name one, or wire it"
        for at, gate in enumerate(gates)
        if gate.input not in names
    ]


def parameters(gates: Sequence[Gate], names: Sequence[str]) -> Any:
    """One PARAMETERS record.

    Raises:
        ConfigError: an input is not among the names.
    """
    if wrong := problems(gates, names):
        raise ConfigError(*wrong)
    p = np.zeros(1, PARAMETERS)
    p["count"] = len(gates)
    for at, gate in enumerate(gates):
        times = (round(one * 1e6) for one in (gate.debounce, gate.hold))
        p["of"][0, at] = (
            _KINDS.index(gate.when),
            names.index(gate.input),
            *times,
            gate.edges,
            round(gate.window * 1e6),
        )
    return p


@kernel
def look(memory: Any, p: Any, inputs: int, ticks: int) -> bool:
    """Whether all gates are open at this reading."""
    all_open = True
    for i in range(p.count):
        if not _is_open(memory.of[i], p.of[i], inputs, ticks):
            all_open = False
    memory.open = all_open
    return all_open


@kernel
def _is_open(memory: Any, p: Any, inputs: int, ticks: int) -> bool:
    high = (inputs >> p.bit) & 1
    active = high == 0 if p.kind in (1, 3) else high == 1
    _follow(memory, p, active, ticks)
    if p.kind < _EDGE:
        if memory.steady:
            memory.until = ticks + p.hold_us
        return memory.steady != 0 or (p.hold_us > 0 and ticks <= memory.until)  # type: ignore[no-any-return]
    if p.kind == _TURNING and memory.edges >= p.edges:
        oldest = memory.at[(memory.edges - p.edges) % _MOST_EDGES]
        if ticks - oldest < p.window_us:
            memory.until = ticks + p.hold_us
            return True
    return ticks <= memory.until  # type: ignore[no-any-return]


@kernel
def _follow(memory: Any, p: Any, active: bool, ticks: int) -> None:
    """Take in one reading of the input: `steady` after it has been so for `debounce`, and an edge where that begins."""
    if memory.known == 0:
        memory.known = 1
        memory.active = active
        memory.since = ticks
        memory.until = ticks - 1
        memory.steady = active and p.kind >= _EDGE  # what was so before the session is no edge
    if active != (memory.active != 0):
        memory.active = active
        memory.since = ticks
    if not active:
        memory.steady = 0
    elif memory.steady == 0 and ticks - memory.since >= p.debounce_us:
        memory.steady = 1
        _edge(memory, p, ticks)


@kernel
def _edge(memory: Any, p: Any, ticks: int) -> None:
    memory.at[memory.edges % _MOST_EDGES] = ticks
    memory.edges += 1
    if p.kind in (2, 3):
        memory.until = ticks + p.hold_us
