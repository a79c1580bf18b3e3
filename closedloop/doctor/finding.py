"""One thing that was looked at: how it is, with its figure, and what mends it. Unknown is said, never guessed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """How something is. Bad is what loses data or ends a session; a warning is what costs time, or may."""

    BAD = "bad"
    WARN = "warn"
    UNKNOWN = "unknown"
    GOOD = "good"


@dataclass(frozen=True)
class Mend:
    """What to do.

    Attributes:
        do: one sentence; it may name a setting to click.
        paste: lines for a file or a terminal, whole.
        then: what is to be done after that.
    """

    do: str
    paste: tuple[str, ...] = ()
    then: str = ""


@dataclass(frozen=True)
class Finding:
    """One finding.

    Attributes:
        name: what was looked at.
        state: how it is.
        found: what was found, in words, with figures and units.
        value: the figure, if there is one that says it all.
        unit: of the value.
        mend: None where there is nothing to mend, or nothing that would.
    """

    name: str
    state: State
    found: str
    value: float | None = None
    unit: str | None = None
    mend: Mend | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"state": self.state.value}


def good(name: str, found: str, value: float | None = None, unit: str | None = None) -> Finding:
    """Nothing to mend."""
    return Finding(name, State.GOOD, found, value, unit)


def warn(name: str, found: str, mend: Mend | None, value: float | None = None, unit: str | None = None) -> Finding:
    """It costs time, or may."""
    return Finding(name, State.WARN, found, value, unit, mend)


def bad(name: str, found: str, mend: Mend | None, value: float | None = None, unit: str | None = None) -> Finding:
    """It loses data, or ends or prevents a session."""
    return Finding(name, State.BAD, found, value, unit, mend)


def unknown(name: str, found: str, mend: Mend | None = None) -> Finding:
    """This system does not say, or there is nothing here to look at; `mend` is how to see for oneself."""
    return Finding(name, State.UNKNOWN, found, None, None, mend)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Bad, then warnings, then unknown, then good; within these in the order in which they were looked at."""
    order = list(State)
    return sorted(findings, key=lambda finding: order.index(finding.state))


def counts(findings: Sequence[Finding]) -> dict[str, int]:
    """How many there are of each state."""
    return {state.value: sum(finding.state is state for finding in findings) for state in State}
