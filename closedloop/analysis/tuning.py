"""Which setting for a wanted rate of false alarms: fitted on one part of the recordings, scored on another.

A setting looks better on what it was chosen by than it is. So it is chosen on the first half of each recording and
scored on the second, and the other way round; or chosen on some recordings and scored on others. What is written for
use was chosen on all that may be fitted on; the figures that go with it are the ones held out (SCIENCE 6.1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np

from closedloop import wire
from closedloop.analysis.detection import Detected, batches
from closedloop.analysis.grid import Setting
from closedloop.analysis.replay import open_recording
from closedloop.analysis.scoring import Score, Ticks, pooled, score
from closedloop.analysis.workers import Run
from closedloop.errors import ConfigError
from closedloop.loop import VALID, WARM, Loop
from closedloop.protocol import Protocol
from closedloop.readings import Stream

# Where nobody says which thresholds to try
_WIDE, _CLOSE = 8, 9  # over all scores, twice; and between two of them that have the wanted rate between them
_ROUNDS = 2  # ... and once more between two of those
_BLOCK_S = 1.0  # its scores are compared by their largest one in so long
_DIGITS = 3
_NEVER = 1e12  # a threshold that no score reaches

Detect = Callable[[Sequence[Run]], list[Detected]]
Part = tuple[int, int]  # ticks: from, until


@dataclass(frozen=True)
class Material:
    """A recording to tune on.

    Attributes:
        name: for people.
        stream: its readings.
        onsets: ticks of what is to be detected; None where nobody knows.
        limits: it is run under these.
        full_power_mw: at the tip; None without calibration.
    """

    name: str
    stream: Stream
    onsets: Ticks | None
    limits: wire.Limits
    full_power_mw: float | None

    def run(self, protocol: Protocol) -> Run:
        """The protocol over it."""
        return Run(protocol.plan(self.limits, self.full_power_mw), self.stream)

    def halves(self, warm_up_s: float) -> tuple[Part, Part]:
        """Halves of the time after warm-up.

        Raises:
            ConfigError: there is none.
        """
        end = round(self.stream.duration_s * 1e6)
        seam = (round(warm_up_s * 1e6) + end) // 2
        if warm_up_s >= self.stream.duration_s:
            raise ConfigError(
                f"{self.name}: {self.stream.duration_s:g} s, and warm_up takes {warm_up_s:g} s; use a longer "
                "recording, or --set warm_up=..."
            )
        return (0, seam), (seam, end + 1)


def material_of(path: Path, protocol: Protocol, events: Callable[[Stream], tuple[Stream, Ticks | None]]) -> Material:
    """A recording as material, under the limits of its own session, if it is one.

    Args:
        path: a session folder, or a file of any format we know.
        protocol: what will be run over it, in many settings.
        events: gets the recording, returns what is to be tuned on and the onsets in it.

    Raises:
        RecordingError: it cannot be read.
        ConfigError: the protocol needs a control channel and there is none.
    """
    opened = open_recording(path)
    plan = opened.plan(protocol)
    header = opened.recording.header if opened.recording else None
    stream, onsets = events(opened.stream)
    return Material(str(path), stream, onsets, plan.limits, header["full_power_mw"] if header else None)


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
) -> Tuned:
    """Run all settings over all recordings, and choose.

    Args:
        settings: to try.
        fit: recordings to choose by.
        held: recordings to score the choice on; none: halves of the others, both ways.
        wanted_per_h: false alarms an hour, at most.
        window_s: longest delay of a hit.
        detect: runs loops; see `workers`.

    Raises:
        ConfigError: a recording is too short or all vetoed, or no setting has so few false alarms.
    """
    warm_up_s = max(setting.protocol.warm_up for setting in settings)
    halves = [material.halves(warm_up_s) for material in fit]
    everything = [*fit, *held]
    runs = [material.run(setting.protocol) for setting in settings for material in everything]
    found = detect(runs)
    by_setting = [found[at : at + len(everything)] for at in range(0, len(found), len(everything))]

    def scored(materials: Sequence[Material], first: int, parts: Sequence[Part | None]) -> tuple[Score, ...]:
        return tuple(
            pooled(
                [
                    score(mine.ticks, material.onsets, mine.watched, window_s, part)
                    for material, mine, part in zip(materials, made[first:], parts, strict=False)
                ]
            )
            for made in by_setting
        )

    whole = scored(fit, 0, [None] * len(fit))
    if held:
        named = {"fitted": whole, "held out": scored(held, len(fit), [None] * len(held))}
        ways = [("fitted", "held out")]
    else:
        named = {name: scored(fit, 0, [half[at] for half in halves]) for at, name in enumerate(_HALVES)}
        ways = [_HALVES, _HALVES[::-1]]
    _are_watched(fit, named)
    chosen = choose(settings, whole, wanted_per_h)
    held_out = tuple(_choice(settings, named, way, wanted_per_h) for way in ways)
    return Tuned(tuple(settings), whole, named, held_out, chosen, wanted_per_h)


_HALVES = ("first half", "second half")


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
    settings: Sequence[Setting], named: dict[str, tuple[Score, ...]], way: tuple[str, str], wanted_per_h: float
) -> Choice:
    """A part on which no setting has so few false alarms takes the one with fewest."""
    fitted, scored = (named[part] for part in way)
    best = _best(settings, fitted, wanted_per_h)
    at = _quietest(fitted) if best is None else best
    return Choice(at, way[0], fitted[at], way[1], scored[at])


def choose(settings: Sequence[Setting], scores: Sequence[Score], wanted_per_h: float) -> int:
    """The setting that detects most, then soonest, among those with no more false alarms than wanted.

    Where there are no labels, it is the one with most detections among those. A measured rate above the wanted one
    counts only if there is no other and the wanted one lies in its interval.

    Raises:
        ConfigError: all have more; says which comes nearest.
    """
    best = _best(settings, scores, wanted_per_h)
    if best is not None:
        return best
    nearest = _quietest(scores)
    low, high = scores[nearest].rate_interval
    raise ConfigError(
        f"--false-alarms: {wanted_per_h:g} an hour is below what any setting reaches; nearest is "
        f"{settings[nearest].name} with {scores[nearest].rate:.3g} an hour (95 %: {low:.3g} to {high:.3g}); "
        "vary further, or allow more"
    )


def _best(settings: Sequence[Setting], scores: Sequence[Score], wanted_per_h: float) -> int | None:
    reached = _reached(settings, scores, wanted_per_h)
    if not reached:
        unsure = [at for at, one in enumerate(scores) if one.hours > 0 and one.rate_interval[0] <= wanted_per_h]
        reached = [min(unsure, key=lambda at: scores[at].rate)] if unsure else []
    return max(reached, key=lambda at: _merit(scores[at])) if reached else None


def _reached(settings: Sequence[Setting], scores: Sequence[Score], wanted_per_h: float) -> list[int]:
    """Settings with few enough false alarms, coming down from the highest threshold of each kind.

    A threshold below the noise has few alarms too, as one detection lasts for ever: so the way down ends where there
    are too many.
    """
    kinds: dict[Any, list[int]] = {}
    for at, setting in enumerate(settings):
        kinds.setdefault(setting.others, []).append(at)
    found = []
    for numbers in kinds.values():
        for at in sorted(numbers, key=lambda at: -settings[at].threshold):
            if not scores[at].rate <= wanted_per_h:
                break
            found.append(at)
    return found


def _merit(one: Score) -> tuple[float, ...]:
    if not one.labelled:
        return (one.rate,)
    share = -1.0 if isnan(one.share) else one.share
    return share, -one.restricted_mean_s, -one.rate


def _quietest(scores: Sequence[Score]) -> int:
    return min(range(len(scores)), key=lambda at: scores[at].rate if scores[at].hours > 0 else float("inf"))


def thresholds(
    protocol: Protocol, materials: Sequence[Material], wanted_per_h: float, window_s: float, detect: Detect
) -> tuple[str, ...]:
    """Thresholds to try: over all scores in these recordings, and closely where the false alarms are as many as wanted.

    None lies below the protocol's release.

    Raises:
        ConfigError: no score is known, or all lie below release.
    """
    release = protocol.detector.release
    wide = _wide(protocol, materials)
    tried = {value for value in wide if value >= release}
    if not tried:
        names = ", ".join(material.name for material in materials)
        raise ConfigError(
            f"{names}: all scores lie below detector.release ({release:g}), the largest is {max(wide):.3g}; lower it "
            "with --set detector.release=..."
        )
    rates: dict[float, float] = {}
    for _ in range(_ROUNDS):
        new = sorted(tried - rates.keys())
        found = detect([material.run(_with(protocol, value)) for value in new for material in materials])
        for at, value in enumerate(new):
            mine = found[at * len(materials) : (at + 1) * len(materials)]
            rates[value] = pooled(
                [score(one.ticks, m.onsets, one.watched, window_s) for one, m in zip(mine, materials, strict=True)]
            ).rate
        low, high = _bracket(rates, wanted_per_h)
        tried.update(_rounded(np.linspace(low, high, _CLOSE)))
    return tuple(f"{value:.{_DIGITS + 2}g}" for value in sorted(tried))


def _with(protocol: Protocol, threshold: float) -> Protocol:
    detector = protocol.detector.model_copy(update={"threshold": threshold})
    return protocol.model_copy(update={"detector": detector})


def _bracket(rates: dict[float, float], wanted_per_h: float) -> tuple[float, float]:
    """From the highest threshold that has too many false alarms to the next one above it, which has not."""
    downward = sorted(rates, reverse=True)
    few = 0
    while few < len(downward) and rates[downward[few]] <= wanted_per_h:
        few += 1
    return downward[min(few, len(downward) - 1)], downward[max(few - 1, 0)]


def _rounded(values: Any) -> set[float]:
    return {float(f"{value:.{_DIGITS}g}") for value in values}


def _wide(protocol: Protocol, materials: Sequence[Material]) -> set[float]:
    """Thresholds from one crossing in two seconds, at most, to none; each by a factor rarer than the one before.

    Evidence that adds up falls back at each detection. So scores are looked at as they are with the protocol's own
    threshold, and with one that is never reached.

    Raises:
        ConfigError: no score is known.
    """
    found: set[float] = set()
    for looked_at in (protocol, _with(protocol, _NEVER)):
        largest = np.sort(np.concatenate([_largest(looked_at, material) for material in materials]))[::-1]
        if len(largest) == 0:
            names = ", ".join(material.name for material in materials)
            raise ConfigError(
                f"{names}: no score is known after warm-up ({protocol.warm_up:g} s): too short, or vetoed throughout; "
                "see what closedloop replay says of it"
            )
        top = largest[0] + 0.05 * abs(largest[0])
        found |= _rounded([*largest[np.geomspace(1, max(1, len(largest) // 2), _WIDE).astype(int) - 1], top])
    return found


def _largest(protocol: Protocol, material: Material) -> Any:
    """The largest score in each second that is fit to act on."""
    plan, stream = material.run(protocol)
    loop = Loop(plan, rate_hz=stream.rate_hz, nano_units=stream.nano_units)
    steps = np.zeros(min(len(stream.readings), len(next(batches(stream), ()))), loop.step_type)
    block = max(1, round(_BLOCK_S * stream.rate_hz))
    found = [np.zeros(0)]
    for batch in batches(stream):
        made = loop.run(batch, steps[: len(batch)])
        known = made["score"][(made["bits"] & (VALID | WARM)) == VALID | WARM]
        if len(known):
            found.append(np.maximum.reduceat(known, np.arange(0, len(known), block)))
    return np.concatenate(found)
