"""Settings to try: a protocol with some of its fields changed, in all combinations. Nothing is run here."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from closedloop.errors import ConfigError
from closedloop.protocol import Protocol, load_protocol

THRESHOLD = "detector.threshold"
MOST = 10_000  # settings
_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(\D*?)\s*")
_EXAMPLE = "write for example detector.threshold=3:8:20 or detector.window='30 s,60 s'"


@dataclass(frozen=True)
class Setting:
    """One protocol to try.

    Attributes:
        changed: field and value, as text, of each that is varied.
        protocol: with those changed.
    """

    changed: tuple[tuple[str, str], ...]
    protocol: Protocol

    @property
    def name(self) -> str:
        """As --set would say it."""
        return " ".join(f"{key}={value}" for key, value in self.changed) or "as it stands"

    @property
    def others(self) -> tuple[tuple[str, str], ...]:
        """What is changed besides the threshold."""
        return tuple(pair for pair in self.changed if pair[0] != THRESHOLD)

    @property
    def threshold(self) -> float:
        """Of its detector."""
        return self.protocol.detector.threshold


@dataclass(frozen=True)
class Grid:
    """Settings, and why some combinations are none.

    Attributes:
        settings: those that a protocol allows.
        left_out: how many it does not.
        why: what is wrong with the first of those.
    """

    settings: tuple[Setting, ...]
    left_out: int = 0
    why: str = ""


def varied(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Values to try by field, from 'KEY=a,b,c' or 'KEY=FROM:TO:COUNT'.

    Raises:
        ConfigError: one line for each that cannot be understood.
    """
    found: dict[str, tuple[str, ...]] = {}
    problems = []
    for text in texts:
        key, equals, said = text.partition("=")
        if not key or not equals:
            problems.append(f"--vary: {text}: must read KEY=VALUES; {_EXAMPLE}")
        elif key in found:
            problems.append(f"--vary: {key}: is there twice; give all its values at once")
        else:
            try:
                found[key] = values(said)
            except ValueError as error:
                problems.append(f"--vary: {key}: {error} (got {said or 'nothing'}); {_EXAMPLE}")
    if problems:
        raise ConfigError(*problems)
    return found


def values(text: str) -> tuple[str, ...]:
    """The values of 'a,b,c', or of 'FROM:TO:COUNT', both ends included; each one once.

    Raises:
        ValueError: there are none, or a range makes no sense; says why.
    """
    parts = text.split(":")
    if len(parts) == 1:
        found = [part.strip() for part in text.split(",")]
        if not all(found):
            raise ValueError("has an empty value")
        return tuple(dict.fromkeys(found))
    if len(parts) != 3:
        raise ValueError("a range must read FROM:TO:COUNT")
    first, last, count = _NUMBER.fullmatch(parts[0]), _NUMBER.fullmatch(parts[1]), parts[2].strip()
    if first is None or last is None or first[2] not in ("", last[2]):
        raise ValueError("the ends of a range must be numbers in one unit")
    if not count.isdecimal() or not 2 <= int(count) <= MOST:
        raise ValueError(f"a range needs a count from 2 to {MOST}")
    low, high, unit = float(first[1]), float(last[1]), last[2]
    steps = int(count) - 1
    numbers = [low + (high - low) * at / steps for at in range(steps + 1)]
    return tuple(dict.fromkeys(f"{number:.6g} {unit}".strip() for number in numbers))


def grid(name: str, overrides: Sequence[str], vary: dict[str, tuple[str, ...]]) -> Grid:
    """All combinations of these values in a protocol.

    Args:
        name: of the protocol, as typed.
        overrides: what is changed in all of them, as --set says it.
        vary: values by field.

    Raises:
        ConfigError: too many, or none that is a protocol; then what is wrong with the first.
    """
    count = math.prod(len(some) for some in vary.values())
    if count > MOST:
        raise ConfigError(f"--vary: {count} settings, at most {MOST} are tried at once; give fewer values")
    settings: list[Setting] = []
    wrong: list[ConfigError] = []
    for chosen in product(*vary.values()):
        changed = tuple(zip(vary, chosen, strict=True))
        try:
            settings.append(Setting(changed, load_protocol(name, [*overrides, *_sets(changed)])))
        except ConfigError as error:
            wrong.append(error)
    if not settings:
        raise ConfigError(*(said.replace("--set:", "--vary:") for said in wrong[0].problems))
    return Grid(tuple(settings), len(wrong), wrong[0].problems[0] if wrong else "")


def _sets(changed: Iterable[tuple[str, str]]) -> list[str]:
    return [f"{key}={value}" for key, value in changed]


def fragment(setting: Setting) -> dict[str, Any]:
    """What the setting changes, as the part of a protocol's YAML that says it; a list is given whole."""
    whole = setting.protocol.model_dump(mode="json", exclude_none=True)
    made: dict[str, Any] = {}
    for key, _ in setting.changed:
        _copy(whole, made, key.split("."))
    return made


def _copy(whole: Any, made: dict[str, Any], places: Sequence[str]) -> None:
    first, *rest = places
    if not rest or isinstance(whole[first], list):
        made[first] = whole[first]
        return
    _copy(whole[first], made.setdefault(first, {}), rest)
