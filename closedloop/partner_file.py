"""Where a partner's trains are read from: a session folder, or a file. Nothing is changed there.

    a session folder      light as the stimulator told it, on the DAQ's clock, by block
    FILE.csv              `time_s`, and `block` (1, 2 ...) if there are several: seconds since the block began; or an
                          exported events.csv (`time_s,kind,...`): seconds since the session's first reading
    FILE.yaml             what `Partner.save` wrote

Time counts from where the block began, pauses left out, so that a session of the same animal gets its own trains back
at the very places where they were. The first block of the partner's that its protocol's own policy decided in stands
for the first such block here, the second for the second: an arm of a study changes nothing but that policy.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from pydantic import TypeAdapter, ValidationError, ValidationInfo

from closedloop import plain_file
from closedloop.errors import ConfigError
from closedloop.model import Seconds
from closedloop.partner import Partner
from closedloop.yaml_file import load
from closedloop.yaml_tree import shown

_SECONDS: TypeAdapter[float] = TypeAdapter(Seconds)
_LIT = {"fire", "on_board"}  # decisions of policies that give light; a blinded session names none of them


def as_partner(value: Any, info: ValidationInfo) -> Any:
    """For a field: a path stands for the trains in it; a relative one begins at the protocol's own folder."""
    if not isinstance(value, (str, Path)):
        return value
    context = info.context or {}
    path = context.get("folder", Path()) / value
    try:
        if context.get("typed"):
            _refuse_blinded(path)
        return read(path)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    except OSError as error:  # a name that no file can have
        said = f"cannot be read ({error.strerror}); give a session folder, or a file of trains"
        raise ValueError(f"{shown(value)}: {said}") from error


def _refuse_blinded(folder: Path) -> None:
    """A partner that a person names, not a study: how many trains a blinded session gave would tell its arm."""
    if not (folder / "header.json").is_file() or (folder / "unblinded.json").is_file():
        return
    if _header(folder).get("blinded"):
        raise ConfigError(f"{folder}: is blinded, and its trains would tell its arm; run closedloop unblind first")


def read(path: Path) -> Partner:
    """The trains of a session folder or of a file.

    Raises:
        ConfigError: there are none to be had; says why, and what to do.
    """
    if path.is_dir():
        return _of_session(path)
    if path.suffix == ".csv":
        return _of_csv(path)
    if path.suffix in (".yaml", ".yml"):
        return load(Partner, path)
    there = "is neither a session folder nor a .csv or .yaml of trains" if path.exists() else "is not there"
    raise ConfigError(f"{path}: {there}; give a session folder, or a file of trains")


def _of_csv(path: Path) -> Partner:
    data = _bytes(path)
    try:
        lines = csv.DictReader(data.decode("utf-8").splitlines())
        columns = set(lines.fieldnames or ())
        if "time_s" not in columns:
            raise ConfigError(f"{path}:1: has no column time_s; write 'time_s', and below it a time a line")
        rows = [(lines.line_num, row) for row in lines if "kind" not in columns or row["kind"] == "light_on"]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read as CSV ({error}); export it anew") from error
    times: dict[int, list[int]] = {1: []}
    for number, row in rows:
        block = _number(row.get("block") or "1" if "kind" not in columns else "1", "block", f"{path}:{number}")
        if not (1 <= block <= 32 and block == int(block)):
            raise ConfigError(f"{path}:{number}: block must be 1 to 32 (got {row['block']}); number them from 1 on")
        time_us = round(_number(row["time_s"], "time_s", f"{path}:{number}") * 1e6)
        mine = times.setdefault(int(block), [])
        if time_us < 0 or (mine and time_us <= mine[-1]):
            said = "time_s must rise from 0 on, within a block"
            raise ConfigError(f"{path}:{number}: {said} (got {row['time_s']}); put them in order, each once")
        mine.append(time_us)
    by_block = [times.get(at, []) for at in range(1, max(times) + 1)]
    clock = "session" if "kind" in columns else "block"
    return _partner(path, {"sha256": hashlib.sha256(data).hexdigest(), "clock": clock, "times_us": by_block})


def _number(text: str | None, name: str, where: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not abs(value) < 1e9:
        raise ConfigError(f"{where}: {name} is no time (got {text}); write a number of seconds")
    return value


def _bytes(path: Path) -> bytes:
    try:
        return plain_file.read_bytes(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give a session folder, or a file") from error


def _partner(path: Path, values: Mapping[str, Any]) -> Partner:
    source = "/".join(path.resolve().parts[-2:])  # the same however the path was written, and on another computer
    try:
        return Partner.model_validate({"source": source, **values})
    except ValidationError as error:
        raise ConfigError(f"{path}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from error


class _Event(NamedTuple):
    """What is needed of a recording's event."""

    ticks: int
    kind: str
    train: int | None
    reason: str | None
    value: float | None


def _of_session(folder: Path) -> Partner:
    header = _header(folder)
    data = _bytes(folder / "events.jsonl")
    events = list(_events(data, folder / "events.jsonl"))
    try:
        placed = _placed(header, events, folder)
        told = not header.get("blinded") and "decisions" in header
        lit = bool(_LIT & set(header.get("decisions") or ()))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ConfigError(f"{folder}: its header.json is damaged; restore it from a copy") from error
    if told and not any(placed.times_us) and not lit:
        raise ConfigError(f"{folder}: gave no light, and none of its policies can; give a session that had light")
    return _partner(
        folder,
        {
            "sha256": hashlib.sha256(data).hexdigest(),
            "subject": header.get("subject"),
            "times_us": placed.times_us,
            "command": header.get("command"),
            "tip_mw": header.get("tip_mw"),
            "left_out": placed.left_out,
            "cut_short": sum(e.kind == "light_off" and bool(e.reason) for e in events),
        },
    )


def _header(folder: Path) -> dict[str, Any]:
    """The header of a session that is over and ran in real time.

    Raises:
        ConfigError: it is no such session.
    """
    try:
        header = json.loads(_bytes(folder / "header.json"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{folder}: its header.json is damaged; restore it from a copy") from error
    if not isinstance(header, dict) or header.get("format") != "closedloop session":
        raise ConfigError(f"{folder}: is no session of closedloop; give a session folder, or a file of trains")
    if not (folder / "summary.json").is_file():
        raise ConfigError(f"{folder}: is not over, or was broken off; wait for its end, or run closedloop recover")
    if header.get("speed", 1) != 1:
        raise ConfigError(f"{folder}: was played faster than it was made, so its light has no times; give another")
    return header


def _events(data: bytes, path: Path) -> Iterable[_Event]:
    """Events of a log, each line with its own check (see `recording.events`, which stands above this layer)."""
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        text, _, check = line.rpartition(b',"check":"')
        if check != b'%08x"}' % crc32(text):
            raise ConfigError(f"{path}:{number}: is damaged; restore it from a copy, or give another session")
        try:
            fields = json.loads(text + b"}")
            yield _checked(_Event(*(fields.get(name) for name in _Event._fields)))
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            said = "is no event of closedloop's; restore it from a copy, or give another session"
            raise ConfigError(f"{path}:{number}: {said}") from error


def _checked(event: _Event) -> _Event:
    """The same event, if its fields are what the program writes.

    Raises:
        TypeError: one is something else.
    """
    if not (_is_whole(event.ticks) and isinstance(event.kind, str) and (event.train is None or _is_whole(event.train))):
        raise TypeError("ticks, kind or train")
    if not isinstance(event.reason, str | None):
        raise TypeError("reason")
    return event if event.value is None else event._replace(value=float(event.value))


def _is_whole(number: object) -> bool:
    return isinstance(number, int) and abs(number) < 1 << 63


class _Placed(NamedTuple):
    times_us: list[list[int]]
    left_out: int


def _placed(header: Mapping[str, Any], events: Sequence[_Event], folder: Path) -> _Placed:
    """First light of each train, by block and since it began."""
    decided = {e.train: e.ticks for e in events if e.kind == "decision" and e.train is not None}
    protocol = header["protocol"]
    clock = _Clock(round(_SECONDS.validate_python(protocol["warm_up"]) * 1e6), events)
    blocks = protocol.get("blocks") or []
    begins = _begins(blocks, events, clock)
    times: dict[int, list[int]] = {}
    for e in events:
        if e.kind != "light_on":
            continue
        if e.reason is None and e.value is None:
            said = "does not know when its light was, for a board's clock was not known"
            raise ConfigError(f"{folder}: {said}; give another session")
        number = max((n for n, (ticks, _) in begins.items() if ticks <= decided.get(e.train or 0, e.ticks)), default=0)
        times.setdefault(number, []).append(clock.at(e.ticks) - begins.get(number, (0, 0))[1])
    own = [at for at, block in enumerate(blocks, 1) if not block.get("policy")] or [1]
    chosen = own if any(at in times for at in own) else [at for at in range(1, len(blocks) + 1) if at in times] or own
    left_out = sum(len(some) for at, some in times.items() if at not in chosen)
    return _Placed([times.get(at, []) for at in chosen], left_out)


class _Clock:
    """Time of the blocks, as `schedule.advance` reckons it: from the end of warm-up on, without pauses."""

    def __init__(self, warm_up_us: int, events: Sequence[_Event]) -> None:
        self.warm_up_us = warm_up_us
        self._pauses: list[tuple[int, int]] = []
        paused: int | None = None
        for e in events:
            if e.kind == "note" and e.reason == "paused":
                paused = e.ticks
            elif e.kind == "note" and e.reason == "resumed" and paused is not None:
                self._pauses.append((max(paused, warm_up_us), e.ticks))
                paused = None
        if paused is not None:
            self._pauses.append((max(paused, warm_up_us), 1 << 62))

    def at(self, ticks: int) -> int:
        """Microseconds at these ticks; negative in warm-up."""
        paused = sum(max(0, min(end, ticks) - begin) for begin, end in self._pauses)
        return ticks - self.warm_up_us - paused


def _begins(blocks: Sequence[Any], events: Sequence[_Event], clock: _Clock) -> dict[int, tuple[int, int]]:
    """Each block's first reading, and its beginning on the blocks' clock; by number, from 1 on."""
    if not blocks:
        return {1: (clock.warm_up_us, 0)}
    lasts_us = [round(_SECONDS.validate_python(block["lasts"]) * 1e6) for block in blocks]
    found: dict[int, tuple[int, int]] = {}
    began, at = 0, 1
    for e in events:
        if e.kind != "note" or e.reason != "block" or e.value is None:
            continue
        while at < min(int(e.value), len(blocks) + 1):  # as schedule.advance does
            began = min(began + lasts_us[at - 1], clock.at(e.ticks))
            at += 1
        found[at] = (e.ticks, began)
    return found
