"""What was done to a study's allocation: one line each, by whom, when and why. Lines are added, never changed.

Each line holds the SHA-256 of the line before it, so that a line that was changed or taken out is seen. Who rewrites
the whole file is not seen; whoever fears that keeps the last line's digest elsewhere, for example in a notebook.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from closedloop.errors import ConfigError


def append(path: Path, what: str, *, who: str | None = None, **said: Any) -> dict[str, Any]:
    """Add a line, and wait until it is on the disk; returns what it says.

    Args:
        path: of the audit file; made if there is none.
        what: was done, in a word.
        who: did it; None for the computer's user.
        said: more of it, plain values.

    Raises:
        ConfigError: the file cannot be written, or was tampered with before.
    """
    lines = _lines(path)
    _check(path, lines)
    record = {
        "n": len(lines) + 1,
        "at": datetime.now().astimezone().isoformat(timespec="seconds"),
        "who": who or _user(),
        "what": what,
        **said,
        "previous": _digest(lines[-1]) if lines else "",
    }
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); nothing was done") from error
    return record


def read(path: Path) -> list[dict[str, Any]]:
    """All records, oldest first; none where there is no file.

    Raises:
        ConfigError: a line was changed, taken out or cannot be read.
    """
    return _check(path, _lines(path))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); restore it from a copy") from error


def _check(path: Path, lines: list[str]) -> list[dict[str, Any]]:
    records, previous = [], ""
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise ConfigError(f"{path}:{number}: is no audit record; restore the file from a copy")
        if record.get("previous") != previous or record.get("n") != number:
            said = "does not follow from the line before it, so one of them was changed or taken out"
            raise ConfigError(f"{path}:{number}: {said}; restore the file from a copy")
        records.append(record)
        previous = _digest(line)
    return records


def _digest(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"
