"""Commands in files of their own, and what all commands share. A module here adds its command with `add`.

Nothing heavy is imported before a command runs: `--help` is quick.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from closedloop.errors import ConfigError, showable

if TYPE_CHECKING:
    from closedloop.protocol import Protocol
    from closedloop.rig import Rig


def add_set(parser: argparse.ArgumentParser) -> None:
    """The option --set, kept as `overrides`."""
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="change one field of the protocol (detector.threshold=5) or the rig (rig.daq.port=COM3); may be repeated",
    )


def configured(options: argparse.Namespace) -> tuple[Protocol, Rig | None]:
    """Protocol and rig with their overrides; the problems of both are reported together."""
    from closedloop.protocol import load_protocol, split_overrides
    from closedloop.rig import load_rig

    for_protocol, for_rig = split_overrides(options.overrides)
    problems: list[str] = []
    protocol, rig = None, None
    try:
        protocol = load_protocol(options.protocol, for_protocol)
    except ConfigError as error:
        problems += error.problems
    try:
        rig_name = getattr(options, "rig", None)
        rig = load_rig(rig_name, for_rig) if rig_name else None
    except ConfigError as error:
        problems += error.problems
    if problems or protocol is None:
        raise ConfigError(*problems)
    return protocol, rig


def quantity_of(text: str, kind: str) -> float:
    """A number with its unit, in the first unit of its kind, a name in `model` such as Seconds.

    Raises:
        ValueError: it is none; says why.
    """
    from pydantic import TypeAdapter, ValidationError

    from closedloop import model

    try:
        value: float = TypeAdapter(getattr(model, kind)).validate_python(text)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error
    return value


def duration_s(text: str | None, option: str = "--duration") -> float | None:
    """Seconds of an option that is a time; None of None.

    Raises:
        ConfigError: it is no time, or none at all.
    """
    if text is None:
        return None
    try:
        seconds = quantity_of(text, "Seconds")
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from error
    if not 0 < seconds < float("inf"):
        raise ConfigError(f"{option}: must be longer than nothing (got {text}); write for example 20s")
    return seconds


def say(line: str) -> None:
    """A line for the person who waits, on standard error."""
    print(_shown(line), file=sys.stderr)


def show(result: dict[str, Any], lines: Sequence[str], *, as_json: bool) -> None:
    """The result on standard output: one JSON object, or lines for people."""
    if as_json:
        print(json.dumps(result))
        return
    for line in lines:
        print(_fitted(_shown(line)))


def _shown(lines: str) -> str:
    """Names and texts in it may come from a stranger's file: a terminal shows them, and obeys nothing."""
    return "\n".join(showable(line) for line in lines.split("\n"))


def _fitted(line: str) -> str:
    """A line too wide for the terminal as several, the others indented; whole where it goes into a file or a pipe.

    In a table of names and texts ("  name  text") the texts stay under one another.
    """
    if not sys.stdout.isatty():
        return line
    column = re.match(r"\s{8,}|\s+\S+(?: \S+)*\s{2,}", line)
    width = max(40, shutil.get_terminal_size().columns)
    indent = " " * (column.end() if column else len(line) - len(line.lstrip()) + 4)
    return textwrap.fill(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, replace_whitespace=False
    )
