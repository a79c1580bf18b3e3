"""Which setting for a wanted rate of false alarms: fitted on one part of the recordings, scored on another.

A setting looks better on what it was chosen by than it is. So it is chosen on the first half of each recording and
scored on the second, and the other way round; or chosen on some recordings and scored on others. What is written for
use was chosen on all that may be fitted on; the figures that go with it are the ones held out (SCIENCE 6.1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from types import MappingProxyType
from typing import Any

from closedloop.analysis.scoring import Score, pooled
from closedloop.analysis.tuning.grid import THRESHOLD, Setting
from closedloop.analysis.tuning.material import HALVES, Detect, Material, detected, parts_of, scores_of
from closedloop.errors import ConfigError


@dataclass(frozen=True)
class Choice:
    """A setting chosen on one part of the material and scored on another.

    Attributes:
        setting: its number.
        fitted_on: which part it was chosen by.
        fitted: how well it did there.
        scored_on: the part held out.
        scored: how well it did there.
    """

    setting: int
    fitted_on: str
    fitted: Score
    scored_on: str
    scored: Score


@dataclass(frozen=True)
class Tuned:
    """All of it.

    Attributes:
        settings: what was tried.
        scores: of each setting, on all that it may be chosen by.
        parts: of each setting, by name of the part.
        held_out: each way of fitting on one part and scoring on another.
        chosen: number of the setting for use, chosen on all that it may be chosen by.
        wanted_per_h: false alarms an hour, at most.
    """

    settings: tuple[Setting, ...]
    scores: tuple[Score, ...]
    parts: dict[str, tuple[Score, ...]]
    held_out: tuple[Choice, ...]
    chosen: int
    wanted_per_h: float

    @property
    def expected(self) -> Score:
        """What to expect of the setting elsewhere: all that was held out, together."""
        return pooled([choice.scored for choice in self.held_out])


def tune(
    settings: Sequence[Setting],
    fit: Sequence[Material],
    held: Sequence[Material],
    wanted_per_h: float,
    window_s: float,
    detect: Detect,
    laid: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Tuned:
    """Run all settings over all recordings, and choose.

    Args:
        settings: to try.
        fit: recordings to choose by.
        held: recordings to score the choice on; none: halves of the others, both ways.
        wanted_per_h: false alarms an hour, at most.
        window_s: longest delay of a hit.
        detect: runs loops; see `workers`.
        laid: thresholds by the part that laid them, where nobody said which to try; fitted on that part, only these
            are chosen from.

    Raises:
        ConfigError: a recording is too short or all vetoed, or no setting has so few false alarms.
    """
    warm_up_s = max(setting.protocol.warm_up for setting in settings)
    parts = parts_of(fit, warm_up_s, halved=not held)
    found = list(detected([setting.protocol for setting in settings], [*fit, *held], detect))
    mine = [one[: len(fit)] for one in found]
    whole = tuple(scores_of(one, fit, [None] * len(fit), window_s) for one in mine)
    named = {name: tuple(scores_of(one, fit, part, window_s) for one in mine) for name, part in parts.items()}
    ways = [HALVES, HALVES[::-1]]
    if held:
        named["held out"] = tuple(scores_of(one[len(fit) :], held, [None] * len(held), window_s) for one in found)
        ways = [("fitted", "held out")]
    _are_watched(fit, named)
    chosen = choose(settings, whole, wanted_per_h)
    held_out = tuple(_choice(_laid_by(settings, laid, way[0]), settings, named, way, wanted_per_h) for way in ways)
    return Tuned(tuple(settings), whole, named, held_out, chosen, wanted_per_h)


def _laid_by(settings: Sequence[Setting], laid: Mapping[str, Sequence[str]], part: str) -> list[int]:
    """Numbers of the settings that may be chosen on a part."""
    own = laid.get(part)
    return [at for at, one in enumerate(settings) if own is None or dict(one.changed)[THRESHOLD] in own]


def _are_watched(fit: Sequence[Material], named: dict[str, tuple[Score, ...]]) -> None:
    names = ", ".join(material.name for material in fit)
    for part, scores in named.items():
        if max(one.hours for one in scores) <= 0:
            raise ConfigError(
                f"{names}: no time is left to score in the {part}: warm-up and vetoes take it all; see what "
                "closedloop replay says of it, or use a longer recording"
            )
        if scores[0].labelled and max(one.events for one in scores) == 0:
            raise ConfigError(f"{names}: no event lies in the watched time of the {part}; give more of them")


def _choice(
    numbers: Sequence[int],
    settings: Sequence[Setting],
    named: Mapping[str, tuple[Score, ...]],
    way: tuple[str, str],
    wanted_per_h: float,
) -> Choice:
    """A part on which no setting has so few false alarms takes the one with fewest."""
    fitted, scored = (named[part] for part in way)
    best = _best(numbers, settings, fitted, wanted_per_h)
    at = _quietest(numbers, fitted) if best is None else best
    return Choice(at, way[0], fitted[at], way[1], scored[at])


def choose(settings: Sequence[Setting], scores: Sequence[Score], wanted_per_h: float) -> int:
    """The setting that detects most, then soonest, among those with no more false alarms than wanted.

    Where there are no labels, it is the one with most detections among those. A measured rate above the wanted one
    counts only if there is no other and the wanted one lies in its interval.

    Raises:
        ConfigError: all have more; says which comes nearest.
    """
    numbers = range(len(settings))
    best = _best(numbers, settings, scores, wanted_per_h)
    if best is not None:
        return best
    nearest = _quietest(numbers, scores)
    low, high = scores[nearest].rate_interval
    raise ConfigError(
        f"--false-alarms: {wanted_per_h:g} an hour is below what any setting reaches; nearest is "
        f"{settings[nearest].name} with {scores[nearest].rate:.3g} an hour (95 %: {low:.3g} to {high:.3g}); "
        "vary further, or allow more"
    )


def _best(
    numbers: Sequence[int], settings: Sequence[Setting], scores: Sequence[Score], wanted_per_h: float
) -> int | None:
    reached = _reached(numbers, settings, scores, wanted_per_h)
    if not reached:
        known = [at for at in numbers if scores[at].hours > 0]
        unsure = [at for at in known if scores[at].rate_interval[0] <= wanted_per_h]
        reached = [min(unsure, key=lambda at: scores[at].rate)] if unsure else []
    return max(reached, key=lambda at: _merit(scores[at])) if reached else None


def _reached(
    numbers: Sequence[int], settings: Sequence[Setting], scores: Sequence[Score], wanted_per_h: float
) -> list[int]:
    """Settings with few enough false alarms, coming down from the highest threshold of each kind.

    A threshold below the noise has few alarms too, as one detection lasts for ever: so the way down ends where there
    are too many.
    """
    kinds: dict[Any, list[int]] = {}
    for at in numbers:
        kinds.setdefault(settings[at].others, []).append(at)
    found = []
    for alike in kinds.values():
        for at in sorted(alike, key=lambda at: -settings[at].threshold):
            if not scores[at].rate <= wanted_per_h:
                break
            found.append(at)
    return found


def _merit(one: Score) -> tuple[float, ...]:
    if not one.labelled:
        return (one.rate,)
    share = -1.0 if isnan(one.share) else one.share
    return share, -one.restricted_mean_s, -one.rate


def _quietest(numbers: Sequence[int], scores: Sequence[Score]) -> int:
    return min(numbers, key=lambda at: scores[at].rate if scores[at].hours > 0 else float("inf"))
