"""All rigs of a lab at one look, from what their computers put out. Nothing is asked of a rig, and nothing is sent.

What comes from the network is not believed to be well made: it is looked through, and shown on one line without
anything that could move a terminal's cursor.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from closedloop.sharing import one_line

SILENT_S = 3.0  # without a state, which comes every second
_MOST_BYTES = 20_000
_MOST_RIGS = 500
_OVER_S = 600.0  # after which a session that has ended is not shown any more
_TEXTS = ("rig", "computer", "session", "subject", "protocol", "phase", "reason", "block", "ended")


class Told(NamedTuple):
    """One state, as it came.

    Attributes:
        source: of the stream.
        computer: as the streaming layer names it.
        text: JSON.
    """

    source: str
    computer: str
    text: str


class RigState(NamedTuple):
    """One rig.

    Attributes:
        source: of its stream.
        state: what it told last, texts on one line; what is missing in it is absent.
        heard_s: monotonic seconds of this computer, when that came.
    """

    source: str
    state: dict[str, Any]
    heard_s: float

    def silent_s(self, now_s: float) -> float | None:
        """How long nothing came, if that is too long; None while it is heard, and after its end was told."""
        since_s = now_s - self.heard_s
        return since_s if since_s > SILENT_S and not self.state.get("ended") else None

    def as_dict(self, now_s: float) -> dict[str, Any]:
        """For JSON: a rig that is silent is not armed, lit or in any phase that one could know of."""
        silent_s = self.silent_s(now_s)
        state = self.state if silent_s is None else self.state | dict.fromkeys(_NOW)
        heard = {"heard_s_ago": round(now_s - self.heard_s, 3), "silent": silent_s is not None}
        return {**state, **heard, "source": one_line(self.source)}


NONE = "no rig is heard; are they shared (closedloop share --lsl), and does the network let LSL pass? (UDP 16571)"
_NOW = ("phase", "armed", "light", "block", "age_s")  # of which only a rig that is heard can tell


class Rigs:
    """All that were heard since this began."""

    def __init__(self) -> None:
        self._rigs: dict[str, RigState] = {}

    def take(self, told: Iterable[Told], now_s: float) -> None:
        """What came."""
        for one in told:
            state = _state(one)
            if state is not None and (one.source in self._rigs or len(self._rigs) < _MOST_RIGS):
                self._rigs[one.source] = RigState(one.source, state, now_s)

    def all(self, now_s: float) -> list[RigState]:
        """By computer, rig and session. What is over goes after a while; what fell silent stays."""
        old = [one for one in self._rigs.values() if one.state.get("ended") and now_s - one.heard_s > _OVER_S]
        for one in old:
            del self._rigs[one.source]
        return sorted(self._rigs.values(), key=lambda one: [str(one.state.get(name)) for name in _ORDER])


_WRONG = ("TRIPPED", "DEVICE LOST", "FAILED", "BROKEN OFF", "CANNOT READ")
_WIDE = {"phase": 20, "block": 12, "last heard": 10}  # so that columns stand still while words change
_ORDER = ("computer", "rig", "session")
COLUMNS = ("rig", "subject", "phase", "armed", "light", "block", "missing", "last heard")


def table(rigs: Iterable[RigState], now_s: float) -> Table:
    """A line a rig; what is not as it should be in colour."""
    drawn = Table(box=SIMPLE, pad_edge=False)
    for column in COLUMNS:
        drawn.add_column(column, min_width=_WIDE.get(column))
    for rig in rigs:
        drawn.add_row(*(Text(cell) for cell in cells(rig, now_s)), style=_style(rig, now_s))
    return drawn


def _style(rig: RigState, now_s: float) -> str:
    if rig.silent_s(now_s) is not None or _stuck_s(rig.state) is not None or rig.state.get("phase") in _WRONG:
        return "bold red"
    return "bold blue" if rig.state.get("light") is True else "dim" if rig.state.get("ended") else ""


def cells(rig: RigState, now_s: float) -> tuple[str, ...]:
    """One line of the table, for COLUMNS."""
    state, silent_s = rig.state, rig.silent_s(now_s)
    name = f"{state.get('rig') or 'rig'} / {state.get('computer') or '?'}"
    missing = str(state.get("missing", "?"))
    if silent_s is not None:
        said = f"silent for {silent_s:.0f} s"
        return name, _text(state, "subject"), said, "?", "?", "?", missing, f"{silent_s:.0f} s ago"
    phase, stuck_s = _text(state, "phase"), _stuck_s(state)
    if state.get("ended"):
        return name, _text(state, "subject"), phase, "no", "-", "-", missing, f"{now_s - rig.heard_s:.0f} s ago"
    if stuck_s is not None:
        said = f"no reading for {stuck_s:.0f} s"
        return name, _text(state, "subject"), said, "?", "?", _text(state, "block"), missing, "now"
    now = (_yes(state.get("armed")), _light(state), _text(state, "block"))
    return name, _text(state, "subject"), phase, *now, missing, "now"


def _stuck_s(state: dict[str, Any]) -> float | None:
    """How long the rig that tells its state has had no reading, if that is too long to say how it is."""
    age_s = state.get("age_s")
    return float(age_s) if isinstance(age_s, int | float) and age_s > SILENT_S else None


def _text(state: dict[str, Any], name: str) -> str:
    return str(state.get(name) or "-")


def _yes(said: Any) -> str:
    return {True: "armed", False: "no"}.get(said, "?") if isinstance(said, bool) else "?"


def _light(state: dict[str, Any]) -> str:
    lit = state.get("light")
    return "blinded" if lit is None else "ON" if lit is True else "dark"


def _state(told: Told) -> dict[str, Any] | None:
    """What it says; None of what is no state."""
    if len(told.text) > _MOST_BYTES:
        return None
    try:
        said = json.loads(told.text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    kept = {one_line(key, 40): _plain(value) for key, value in list(said.items())[:60]}
    texts = {name: None if kept.get(name) is None else str(kept[name]) for name in _TEXTS}
    return kept | texts | {"computer": texts["computer"] or one_line(told.computer, 80)}


def _plain(value: Any) -> Any:
    """A number, a word, or a map of numbers; nothing else is of use here."""
    if isinstance(value, bool) or value is None or isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {one_line(key, 40): number for key, number in list(value.items())[:60] if isinstance(number, int)}
    return one_line(value)
