"""The header of a session as its readers get it: each field of the kind that it was written as, or it is refused.

Readers need not ask again, whoever wrote the file. What is missing altogether, as in older recordings, is said by name
when somebody asks for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from closedloop import wire
from closedloop.dose import DoseLimits
from closedloop.errors import RecordingError

_LARGEST = 2**63 - 1  # what 64 bits hold; clocks of the system count nanoseconds
_LONGEST = 10_000  # characters, or entries
_MAPS = ("limits", "command")  # null is as good as missing: readers look into them

Fits = Callable[[Any], bool]


class Header(dict[str, Any]):
    """A checked header; asking for what it lacks is told in words.

    Args:
        fields: as read.
        path: of the file, for messages.

    Raises:
        RecordingError: a field is of another kind than the program writes; here, and of `header[name]`: it is missing.
    """

    def __init__(self, fields: Mapping[str, Any], path: Path) -> None:
        wrong = [name for name, fits in _FIELDS.items() if name in fields and not fits(fields[name])]
        if wrong:
            raise RecordingError(f"{path}: damaged: no usable {', '.join(wrong)}; restore it from a copy")
        super().__init__({name: said for name, said in fields.items() if said is not None or name not in _MAPS})
        self._path = path

    def __missing__(self, name: str) -> Any:
        """What is said where a field is missing.

        Raises:
            RecordingError: always.
        """
        raise RecordingError(f"{self._path}: has no {name}; it is of an older version, or damaged")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _number(value: Any) -> bool:
    return _whole(value) or (isinstance(value, float) and math.isfinite(value))


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST


def _texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) <= _LONGEST and all(map(_text, value))


def _map(value: Any) -> bool:
    return isinstance(value, dict)


def _truth(value: Any) -> bool:
    return isinstance(value, bool)


def _or_none(fits: Fits) -> Fits:
    return lambda value: value is None or fits(value)


def _map_of(fits: Fits, *needed: str) -> Fits:
    """A map whose values are all so, with at least these names."""
    return lambda value: _map(value) and all(map(fits, value.values())) and all(name in value for name in needed)


def _protocol(value: Any) -> bool:
    """A map in which the parts that are looked into are what they should be; the rest is judged by who needs it."""
    if not _map(value) or not isinstance(value.get("features") or [], list):
        return False
    return all(_or_none(_map)(value.get(name)) for name in ("detector", "light", "policy", "limits"))


def _dose(value: Any) -> bool:
    """Limits of a session; older recordings lack some."""
    known = _map_of(_or_none(_number))(value) and set(value) <= set(DoseLimits._fields)
    return known and value.get("kelvin", 0) is not None


def _exactly(names: Sequence[str], fits: Fits) -> Fits:
    """A map of these names, all of them and no others, whose values are all so."""
    return lambda value: _map_of(fits, *names)(value) and len(value) == len(names)


_COMMAND = _map_of(_whole, "on_us", "period_us", "pulses", "level", "ramp_off_us")

_FIELDS: dict[str, Fits] = {
    "rate_mhz": lambda value: _whole(value) and value > 0,
    "nano_units": lambda value: _whole(value) and value > 0,
    "input_names": lambda value: _texts(value) and len(value) <= 16,
    "program": _map,
    "computer": _map,
    "started": _text,
    "started_ns": _whole,
    "subject": _or_none(_text),
    "protocol_name": _text,
    "condition": _or_none(_text),
    "protocol": _protocol,
    "rig": _map,
    "hashes": lambda value: _map(value) and _or_none(_text)(value.get("protocol", 0)),
    "seed": _whole,
    "decisions": _texts,
    "blinded": _or_none(_text),
    "blocks": _texts,
    "study": _or_none(_map),
    "by_hand": _truth,
    "expected_s": _or_none(_number),
    "limits": _or_none(_exactly(wire.Limits._fields, _whole)),
    "dose": _or_none(_dose),
    "command": _or_none(_COMMAND),
    "recovery_s": _number,
    "full_power_mw": _or_none(_number),
    "tip_mw": _or_none(_number),
    "boards": _map_of(_map),
    "speed": _or_none(_number),
    "bounds": _map_of(_or_none(_number)),
    "real_time": _map,
}
