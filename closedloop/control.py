"""What may be asked of a running session, as values and as the lines of text that carry them. No socket is opened here.

Orders are few, and none of them makes light by itself: the loop, its limits and the board decide as always.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields

LONGEST_LINE = 4096
DESERTED = "the program that started the engine is gone"  # a session's reason to stop that no person gave
_LONGEST_TEXT = 1000
_LARGEST = 1e300  # beyond it whole numbers do not fit a float, and no score lies there


@dataclass(frozen=True)
class Stop:
    """Dark at once, then end the session."""

    reason: str = "stopped by hand"


@dataclass(frozen=True)
class Arm:
    """Let the board be armed, now or as soon as warm-up is over."""


@dataclass(frozen=True)
class Disarm:
    """Dark, and no light until armed again; the recording goes on."""


@dataclass(frozen=True)
class Pause:
    """Dark, and the blocks' clock stands still; the recording goes on."""


@dataclass(frozen=True)
class Resume:
    """Go on where the session was paused; armed again if it was armed then."""


@dataclass(frozen=True)
class TestPulse:
    """One train of the protocol, by hand: refused for the same reasons as any other."""


@dataclass(frozen=True)
class SetThreshold:
    """Other bounds of the detector's score, from the next reading on."""

    threshold: float
    release: float


@dataclass(frozen=True)
class AddNote:
    """A remark of a person, at the time of the last reading."""

    text: str


Order = Stop | Arm | Disarm | Pause | Resume | TestPulse | SetThreshold | AddNote
_KINDS: dict[str, type[Order]] = {
    "stop": Stop,
    "arm": Arm,
    "disarm": Disarm,
    "pause": Pause,
    "resume": Resume,
    "test_pulse": TestPulse,
    "threshold": SetThreshold,
    "note": AddNote,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def line_of(order: Order, token: str) -> bytes:
    """An order as the line that carries it."""
    return json.dumps({"token": token, "order": _NAMES[type(order)], **asdict(order)}).encode() + b"\n"


def order_of(message: dict[str, object]) -> Order:
    """The order that a message's fields make.

    Raises:
        ValueError: an unknown order, a field too many or too few, of another type, or a number without end.
    """
    kind = _KINDS.get(str(message.get("order")))
    if kind is None:
        raise ValueError(f"unknown order {message.get('order')!r}; known: {', '.join(_KINDS)}")
    given = {name: value for name, value in message.items() if name not in ("token", "order")}
    if wrong := set(given) ^ {field.name for field in fields(kind)}:
        raise ValueError(f"{_NAMES[kind]}: wrong fields {', '.join(sorted(wrong))}")
    order = kind(**{name: _plain(name, value) for name, value in given.items()})  # type: ignore[arg-type]
    if isinstance(order, SetThreshold) and order.release > order.threshold:
        raise ValueError(f"release ({order.release:g}) must not lie above threshold ({order.threshold:g})")
    return order


def _plain(name: str, value: object) -> str | float:
    if name in ("text", "reason"):
        if isinstance(value, str) and 0 < len(value) <= _LONGEST_TEXT:
            return value.encode(errors="replace").decode()  # half a surrogate pair goes into no file
        raise ValueError(f"{name}: must be a text of 1 to {_LONGEST_TEXT} characters")
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _LARGEST:
        return float(value)
    raise ValueError(f"{name}: must be a number (got {str(value)[:40]!r})")
