"""Settings to try: a protocol with some of its fields changed, in all combinations. Nothing is run here."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from typing import Any

from pydantic import ValidationError

from closedloop.errors import ConfigError
from closedloop.model import FROM_FILE
from closedloop.protocol import Protocol, load_protocol
from closedloop.yaml_file import resolve
from closedloop.yaml_tree import plain, read

THRESHOLD = "detector.threshold"
_COMPUTED = "detector.false_alarms"
_RELEASE = 0.5  # of a threshold in place of a computed one, as detectors compute theirs
_USUAL_HZ = 130.0
MOST = 10_000  # settings
_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(\D*?)\s*")
_EXAMPLE = "write for example detector.threshold=3:8:20 or detector.window='30 s,60 s'"


@dataclass(frozen=True)
class Setting:
    """One protocol to try.

    Attributes:
        changed: field and value, as text, of each that is varied.
        protocol: with those changed.
        along: what had to change with them, so that they are what is in force; see `_along`.
    """

    changed: tuple[tuple[str, str], ...]
    protocol: Protocol
    along: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """As --set would say it."""
        return " ".join(f"{key}={value}" for key, value in self.changed) or "as it stands"

    @property
    def others(self) -> tuple[tuple[str, str], ...]:
        """What is changed besides the threshold."""
        return tuple(pair for pair in self.changed if pair[0] not in (THRESHOLD, _COMPUTED))

    @property
    def threshold(self) -> float:
        """The one in force at a usual rate of readings, whether it is given or computed."""
        _, detector = self.protocol.anchored_parts()
        return float(detector.crossing(_USUAL_HZ)["threshold"][0])


def is_computed(protocol: Protocol) -> bool:
    """Whether the detector computes its threshold, from the false alarms that are wanted."""
    return getattr(protocol.detector, "false_alarms", None) is not None


def with_threshold(protocol: Protocol, threshold: float) -> Protocol:
    """The same with this threshold in force."""
    changed: dict[str, Any] = {"threshold": threshold}
    if is_computed(protocol):
        changed |= {"false_alarms": None, "release": _RELEASE * threshold}
    return protocol.model_copy(update={"detector": protocol.detector.model_copy(update=changed)})


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
    make = _Maker(name, overrides)
    settings: list[Setting] = []
    wrong: list[ConfigError] = []
    for chosen in product(*vary.values()):
        changed = tuple(zip(vary, chosen, strict=True))
        along = _along(make.data, changed, overrides)
        try:
            settings.append(Setting(changed, make([*changed, *along], known=bool(wrong)), along))
        except ConfigError as error:
            wrong.append(error)
    if not settings:
        raise ConfigError(*(said.replace("--set:", "--vary:") for said in wrong[0].problems))
    return Grid(tuple(settings), len(wrong), wrong[0].problems[0] if wrong else "")


class _Maker:
    """Protocols from one file that is read once: reading YAML takes ten times as long as judging it."""

    def __init__(self, name: str, overrides: Sequence[str]) -> None:
        self.name, self.overrides = name, overrides
        path = resolve(name, "protocols")
        self.context = {**FROM_FILE, "folder": path.parent}
        tree, self.data = read(path)
        self.sound = not tree.problems and _put(self.data, [_pair(text) for text in overrides])

    def __call__(self, sets: Sequence[tuple[str, str]], *, known: bool) -> Protocol:
        """The protocol with these fields changed.

        Raises:
            ConfigError: it is none; without words, if those of another one are known already.
        """
        data = deepcopy(self.data)
        if self.sound and _put(data, sets):
            try:
                return Protocol.model_validate(data, context=self.context)
            except ValidationError as error:
                if known:
                    raise ConfigError("") from error
        return load_protocol(self.name, [*self.overrides, *(f"{key}={value}" for key, value in sets)])


def _put(data: Any, sets: Iterable[tuple[str, str]]) -> bool:
    """Change fields that are there; False where a place is not, which has to be said in words."""
    try:
        for key, value in sets:
            *places, last = key.split(".")
            holder = data
            for place in places:
                holder = holder[_key(holder, place)]
            holder[_key(holder, last)] = plain(value)
    except (LookupError, TypeError, ValueError):
        return False
    return True


def _key(holder: Any, place: str) -> str | int:
    return int(place) if isinstance(holder, list) else place


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key, value


def _along(data: Any, changed: Iterable[tuple[str, str]], overrides: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """What has to change with a threshold that would otherwise be computed from `false_alarms`: that, and release.

    Such a release is half of the threshold, as it is computed; one that was asked for stays.
    """
    values = dict(changed)
    asked = values.keys() | {key for key, _ in map(_pair, overrides)}
    made: list[tuple[str, str]] = []
    for key, value in values.items():
        place, _, last = key.rpartition(".")
        rate, release = f"{place}.false_alarms", f"{place}.release"
        if last != "threshold" or rate in values or _at(data, rate) is None:
            continue
        made.append((rate, "null"))
        if release not in asked and isinstance(number := plain(value), int | float):
            made.append((release, f"{_RELEASE * number:.6g}"))
    return tuple(made)


def _at(data: Any, key: str) -> Any:
    try:
        for place in key.split("."):
            data = data[_key(data, place)]
    except (LookupError, TypeError, ValueError):
        return None
    return data


def fragment(setting: Setting) -> dict[str, Any]:
    """What the setting changes, as the part of a protocol's YAML that says it; a list is given whole."""
    whole = setting.protocol.model_dump(mode="json", exclude_none=True)
    made: dict[str, Any] = {}
    for key, _ in (*setting.changed, *setting.along):
        _copy(whole, made, key.split("."))
    return made


def _copy(whole: Any, made: dict[str, Any], places: Sequence[str]) -> None:
    first, *rest = places
    if not rest or isinstance(whole.get(first), list):
        made[first] = whole.get(first)
        return
    _copy(whole[first], made.setdefault(first, {}), rest)
