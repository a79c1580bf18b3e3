"""Whether what stands on the page before a session may be run, in the words of the command line. It starts nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from typing import NamedTuple, TypeVar

from closedloop.analysis import budget
from closedloop.analysis.budget import Budget
from closedloop.dashboard.inputs.launch_request import LaunchRequest
from closedloop.dashboard.inputs.study_day import judged
from closedloop.errors import ConfigError
from closedloop.protocol import load_protocol
from closedloop.rig import load_rig
from closedloop.studies.filling import Asked

T = TypeVar("T")


class Checked(NamedTuple):
    """What was found.

    Attributes:
        problems: one line each, none twice.
        budget: of light; None where it is not known.
        unknown: what could not be loaded, and so keeps the budget from being known.
    """

    problems: tuple[str, ...]
    budget: Budget | None
    unknown: tuple[str, ...] = ()


def of_files(asked: LaunchRequest, own: Iterable[str]) -> Checked:
    """Protocol and rig as they stand on the page.

    Args:
        asked: what stands there.
        own: what is wrong with the session's own settings.
    """
    problems: list[str] = []
    protocol = _tried(lambda: load_protocol(asked.protocol, asked.overrides), problems)
    rig = _tried(lambda: load_rig(asked.rig), problems)
    found = budget.budget(protocol, rig) if protocol and rig else None
    problems += own
    problems += found.refusals if found else ()
    loaded = {"protocol": protocol, "rig": rig}
    return Checked(_once(problems), found, tuple(name for name, model in loaded.items() if model is None))


def of_study(asked: LaunchRequest, own: Iterable[str], today: date) -> Checked:
    """A session of a study: the study says whether it may be run."""
    if asked.study is None or asked.subject is None or asked.phase is None:
        return Checked((), None, ("session",))
    found = judged(asked.study, Asked(asked.subject, phase=asked.phase, reason=asked.reason), today)
    return Checked(_once([*found.problems, *own]), found.budget, () if found.budget else ("session",))


def _once(problems: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(problems))


def _tried(load: Callable[[], T], problems: list[str]) -> T | None:
    try:
        return load()
    except ConfigError as error:
        problems += error.problems
        return None
