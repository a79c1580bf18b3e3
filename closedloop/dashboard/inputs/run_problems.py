"""What is wrong with a session's own settings: duration, seed, subject, data folder. Nothing is made here.

The words are those of the command line: where, what was expected, what came, what to do.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from closedloop.dashboard.inputs.launch_request import LaunchRequest
from closedloop.model import Quantity, Seconds
from closedloop.recording.folder import subject_problem

LEAST_FREE_BYTES = 500_000_000


def run_problems(asked: LaunchRequest, seed: str) -> Iterator[str]:
    """All of them; the seed as it was typed, for what is no seed is not in the request."""
    if asked.duration is not None:
        yield from _duration_problems(asked.duration)
    if seed and not is_seed(seed):
        yield f"--seed: must be a whole number from 0 on (got {seed}); leave it empty to have one drawn"
    if asked.subject and (problem := subject_problem(asked.subject)):
        yield problem
    yield from _folder_problems(asked.out)


def is_seed(text: str) -> bool:
    """Whether it is a whole number, not below 0."""
    return text.isascii() and text.isdecimal()


def free_bytes(folder: Path) -> int | None:
    """On the disk of a folder that need not be there yet; None if the disk does not say."""
    try:
        return shutil.disk_usage(_nearest(folder)).free
    except OSError:
        return None


def _duration_problems(text: str) -> Iterator[str]:
    quantity: Any = next(found for found in get_args(Seconds) if isinstance(found, Quantity))
    try:
        if quantity.parse(text) <= 0:
            yield f"--duration: must be longer than nothing (got {text}); write for example 20s"
    except ValueError as error:
        yield f"--duration: {error}"


def _folder_problems(folder: Path) -> Iterator[str]:
    place = _nearest(folder)
    if not place.is_dir():
        yield f"--out: {place} is a file, and the recording needs a folder; choose another data folder"
        return
    if not os.access(place, os.W_OK):
        yield f"--out: {place}: cannot be written; choose another data folder"
        return
    free = free_bytes(folder)
    if free is not None and free < LEAST_FREE_BYTES:
        said = f"only {free / 1e6:.0f} MB are free, a session wants {LEAST_FREE_BYTES / 1e6:.0f}"
        yield f"--out: {place}: {said}; make space or choose another data folder"


def _nearest(folder: Path) -> Path:
    """The folder itself, or what there is of its way."""
    return next((place for place in (folder, *folder.absolute().parents) if place.exists()), Path.cwd())
