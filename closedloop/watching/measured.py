"""What the columns mean that a session's parts show of themselves, and the bounds that it began with. Nothing is drawn.

Level, rate and gain stay three measures, each with what is usual for it: the level and the heights of the animal's
anchor, and its rate of events, or the base rate that the protocol gives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from closedloop import detectors
from closedloop.model import Quantity, Rate, kinds

_PER_MINUTE: Quantity = Rate.__metadata__[0]  # type: ignore[attr-defined]
_AGAIN = re.compile(r"_\d+$")  # of a name that several parts show
_SCORE = "_score"
_MAIN = {"level": ("level", "%", 100.0), "rate": ("event rate", "/min", 1.0), "gain": ("event gain", "×", 1.0)}


class Measure(NamedTuple):
    """One column.

    Attributes:
        name: of the column.
        title: for people.
        unit: of the values times `scale`; "" where it has none, or is not known here.
        scale: from the column's number to that unit.
        usual: in that unit, what it is compared with; None where nothing is known.
        usual_name: what that is.
        is_main: level, rate or gain.
    """

    name: str
    title: str
    unit: str = ""
    scale: float = 1.0
    usual: float | None = None
    usual_name: str = ""
    is_main: bool = False


class Bounds(NamedTuple):
    """Of the detector's score, as a session began; nan where its recording does not say.

    Attributes:
        threshold: where hyperactivity begins.
        release: below which it is over.
        highest: that the score can come to; nan where nothing caps it, too.
    """

    threshold: float
    release: float
    highest: float = float("nan")


def in_order(shown: Sequence[str]) -> tuple[str, ...]:
    """The columns as they are shown: level, rate and gain, then members' scores, then all others."""

    def place(name: str) -> int:
        plain = _AGAIN.sub("", name)
        return tuple(_MAIN).index(plain) if plain in _MAIN else 3 + (not plain.endswith(_SCORE))

    return tuple(sorted(shown, key=place))


def measures(header: dict[str, Any], shown: Sequence[str]) -> tuple[Measure, ...]:
    """What each of these columns is, in the order of `in_order`."""
    protocol = _map(header.get("protocol"))
    members = dict(_named(_members(_map(protocol.get("detector")))))
    return tuple(_measure(name, protocol, members) for name in in_order(shown))


def unit_of(detector: dict[str, Any]) -> str:
    """Of a detector's score; a detector that is not known here has none that could be told."""
    found = kinds(detectors).get(str(detector.get("kind", "threshold")))
    return str(getattr(found, "score_unit", ""))


def span_of(detector: dict[str, Any]) -> tuple[float, float] | None:
    """What a detector's score can be, where that is known beforehand: a probability, or a number of members."""
    unit = unit_of(detector)
    if unit == "probability":
        return 0.0, 1.0
    members = detector.get("of")
    return (0.0, float(len(members))) if unit == "members" and isinstance(members, list) and members else None


def begun_with(header: dict[str, Any]) -> Bounds:
    """As recorded when the session began; of an older recording, as its protocol has them."""
    told, protocol = _map(header.get("bounds")), _map(_map(header.get("protocol")).get("detector"))
    threshold, release = (_number(told.get(name, protocol.get(name))) for name in ("threshold", "release"))
    return Bounds(threshold, release, _number(told.get("highest")))


def too_high(threshold: float, highest: float) -> str:
    """Why a threshold cannot be reached; "" if it can."""
    if not threshold > highest:
        return ""
    return f"{threshold:g} would never be reached: the score goes up to {highest:.4g} in this session."


def _measure(name: str, protocol: dict[str, Any], members: dict[str, dict[str, Any]]) -> Measure:
    plain = _AGAIN.sub("", name)
    if plain in _MAIN:
        title, unit, scale = _MAIN[plain]
        title += name.removeprefix(plain).replace("_", " ")
        return Measure(name, title, unit, scale, *_usual(plain, protocol), is_main=True)
    title = name.replace("_", " ")
    if name not in members:
        return Measure(name, title)
    member = members[name]
    computed = member.get("false_alarms") is not None
    usual = None if computed else _number(member.get("threshold"))
    known = usual is not None and np.isfinite(usual)
    return Measure(name, title, unit_of(member), 1.0, usual if known else None, "threshold" if known else "")


def _usual(plain: str, protocol: dict[str, Any]) -> tuple[float | None, str]:
    if plain in ("level", "gain"):
        return {"level": 0.0, "gain": 1.0}[plain], "usual"
    anchor = _map(protocol.get("anchor"))
    rates = [_map(anchor.get("events")).get("rate"), *_base_rates(_map(protocol.get("detector")))]
    known = [rate for rate in map(_a_minute, rates) if rate is not None]
    return (known[0], "usual") if known else (None, "")


def _base_rates(detector: dict[str, Any]) -> Iterator[Any]:
    yield detector.get("base_rate")
    yield _map(detector.get("rate")).get("base_rate")
    for member in _list(detector.get("of")):
        yield from _base_rates(_map(member))


def _a_minute(rate: Any) -> float | None:
    if isinstance(rate, str):
        try:
            return _PER_MINUTE.parse(rate)
        except ValueError:
            return None
    return float(rate) if isinstance(rate, (int, float)) else None


def _members(detector: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Members, and theirs, in the order in which their scores become columns."""
    for member in map(_map, _list(detector.get("of"))):
        yield member
        yield from _members(member)


def _named(members: Iterator[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each by the name of its column: the second of a kind has a 2 (see `loop`)."""
    seen: dict[str, int] = {}
    for member in members:
        name = f"{member.get('kind')}{_SCORE}"
        seen[name] = seen.get(name, 0) + 1
        yield (name if seen[name] == 1 else f"{name}_{seen[name]}"), member


def _map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: Any) -> float:
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if known else float("nan")
