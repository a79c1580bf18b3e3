"""The session folder: its name, what lies in it, and files that are there whole or not at all.

    header.json     what was run, on what; written when all is ready for the first row
    protocol.yaml   as run
    sealed          blinded sessions only: what names the arm, see blinding.py
    unblinded.json  once the study was unblinded: by whom and why; readers show the truth from then on
    rig.yaml        as run
    readings.table  one row a reading: what came in and what the loop made of it
    health.table    one row a quarter of a second: how the loop itself is
    events.jsonl    one line an event
    control.json    where orders are taken while it runs, for its owner alone; gone when it has ended
    reserve         nothing: space for the last events and the summary, given up when the disk is full
    summary.json    the outcome, written at the end, or by `recover`; without it the session did not end properly
    *.torn          what `recover` cut off the end of a file

A folder is written once. No subject's name leads out of the data folder.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from closedloop import plain_file
from closedloop.errors import ConfigError, RecordingError

FORMAT = "closedloop session"
VERSION = 1
HEADER = "header.json"
PROTOCOL = "protocol.yaml"
RIG = "rig.yaml"
TABLE = "readings.table"
HEALTH_TABLE = "health.table"
EVENTS = "events.jsonl"
RESERVE = "reserve"
SUMMARY = "summary.json"
SEALED = "sealed"
UNBLINDED = "unblinded.json"
PART = ".part"  # what is being written has a name that ends so, until it is whole

_LABEL = re.compile(r"[A-Za-z0-9]{1,64}")  # what BIDS allows in a label


def subject_problem(label: str) -> str:
    """Why an animal cannot be called so, in words; empty if it can."""
    if _LABEL.fullmatch(label):
        return ""
    said = "1 to 64 letters and digits (A-Z, a-z, 0-9), nothing else"
    return f"--subject: {said} (got {label!r}); write for example 'M17'"


def create(data: Path, subject: str | None, started: datetime) -> Path:
    """Makes DATA/sub-SUBJECT/ses-YYYYMMDDTHHMMSS/; where that second is taken, the next that is free.

    Raises:
        ConfigError: the subject has other characters than letters and digits, or the folder cannot be made.
    """
    label = "test" if subject is None else subject
    if problem := subject_problem(label):
        raise ConfigError(problem)
    parent = data / f"sub-{label}"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = _first_free(parent, started)
        for made_in in (parent, data):
            sync_folder(made_in)
        return folder
    except OSError as error:
        raise ConfigError(f"{parent}: {error.strerror}; choose another data folder with --out") from error


def _first_free(parent: Path, started: datetime) -> Path:
    while True:
        folder = parent / f"ses-{started:%Y%m%dT%H%M%S}"
        try:
            folder.mkdir()
        except FileExistsError:
            started += timedelta(seconds=1)
        else:
            return folder


def read_map(path: Path) -> dict[str, Any]:
    """A JSON file that holds a map.

    Raises:
        RecordingError: it cannot be opened, is not JSON, or holds something else.
    """
    try:
        value = json.loads(plain_file.read_bytes(path))
    except OSError as error:
        raise RecordingError(f"{path}: cannot be opened: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RecordingError(f"{path}: damaged: {error}; restore it from a copy") from error
    if not isinstance(value, dict):
        raise RecordingError(f"{path}: damaged: not a map; restore it from a copy")
    return value


def write_map(path: Path, value: Mapping[str, Any]) -> None:
    """Writes a map as JSON: the file is whole or not there, and outlives a power cut. nan becomes null.

    Raises:
        OSError: the disk refused.
        TypeError: the map holds something that is not JSON.
    """
    write_bytes(path, (json.dumps(plain(value), indent=1, allow_nan=False) + "\n").encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file, also in place of another: it is whole or not there, and outlives a power cut.

    Raises:
        OSError: the disk refused.
    """
    part = path.with_name(path.name + PART)
    part.unlink(missing_ok=True)
    _write_new(part, data)
    part.replace(path)
    sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Makes a new file and waits until it is on the disk.

    Raises:
        FileExistsError: there is a file of that name.
        OSError: the disk refused.
    """
    _write_new(path, text.encode())


def _write_new(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Waits until the names in a folder are on the disk, where a system lets one wait for that.

    Raises:
        OSError: the disk refused.
    """
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def plain(value: Any) -> Any:
    """JSON knows neither numpy's numbers nor nan: unknown is null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value
