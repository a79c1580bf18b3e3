"""What came of tuning, written: JSON, a table as CSV, and a protocol fragment that says where it comes from."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from closedloop.analysis.scoring import Score
from closedloop.analysis.tuning.choice import Choice, Tuned
from closedloop.analysis.tuning.grid import Setting, fragment

_COLUMNS = (
    "hours", "false_alarms", "false_alarms_per_h", "false_alarms_per_h_low", "false_alarms_per_h_high",
    "events", "hits", "detected", "detected_low", "detected_high", "chance",
    "delay_median_s", "delay_p95_s", "delay_restricted_mean_s", "delay_median_of_hits_s",
)  # fmt: skip
_WIDTH = 110


@dataclass(frozen=True)
class About:
    """Where figures come from, for whoever reads them later.

    Attributes:
        protocol: as typed.
        overrides: what was changed in all settings.
        recordings: names of those that settings were chosen by.
        held_out: names of those that they were scored on; none: halves of the others.
        truth: in words, what was to be detected.
        window_s: longest delay of a hit.
        left_out: combinations that are no protocol.
        why: what is wrong with the first of them.
    """

    protocol: str
    overrides: tuple[str, ...]
    recordings: tuple[str, ...]
    held_out: tuple[str, ...]
    truth: str
    window_s: float
    left_out: int
    why: str


def as_dict(tuned: Tuned, about: About) -> dict[str, Any]:
    """One JSON object."""
    return {
        "protocol": about.protocol,
        "overrides": list(about.overrides),
        "recordings": list(about.recordings),
        "held_out_recordings": list(about.held_out),
        "truth": about.truth,
        "window_s": about.window_s,
        "wanted_false_alarms_per_h": tuned.wanted_per_h,
        "settings": [
            {
                "set": dict(setting.changed),
                "all": tuned.scores[at].as_dict(),
                "parts": {name: scores[at].as_dict() for name, scores in tuned.parts.items()},
            }
            for at, setting in enumerate(tuned.settings)
        ],
        "settings_left_out": about.left_out,
        "held_out": [_choice(tuned, choice) for choice in tuned.held_out],
        "expected": tuned.expected.as_dict(),
        "chosen": {"set": dict(_chosen(tuned).changed), "fitted": tuned.scores[tuned.chosen].as_dict()},
    }


def _chosen(tuned: Tuned) -> Setting:
    return tuned.settings[tuned.chosen]


def _choice(tuned: Tuned, choice: Choice) -> dict[str, Any]:
    return {
        "set": dict(tuned.settings[choice.setting].changed),
        "fitted_on": choice.fitted_on,
        "fitted": choice.fitted.as_dict(),
        "scored_on": choice.scored_on,
        "scored": choice.scored.as_dict(),
    }


def in_words(score: Score) -> str:
    """Rate, detections and delay with their intervals, on one line."""
    low, high = score.rate_interval
    said = f"{score.rate:.3g} false alarms an hour (95 %: {low:.3g} to {high:.3g}) in {score.hours:.2f} h"
    if not score.labelled or not score.events:
        return said
    low, high = score.share_interval
    said += f"; {score.hits} of {score.events} events detected, {100 * score.share:.1f} %"
    said += f" (95 %: {100 * low:.1f} to {100 * high:.1f}; by chance {100 * score.chance:.1f} %)"
    return f"{said}; median delay {milliseconds(score.delay(0.5))}, p95 {milliseconds(score.delay(0.95))}"


def milliseconds(delay_s: float) -> str:
    """A delay for people; what lies beyond the window is not known."""
    return f"{1000 * delay_s:.0f} ms" if delay_s == delay_s else "beyond the window"  # noqa: PLR0124 - nan


def verdict(tuned: Tuned, about: About) -> Iterator[str]:
    """For people, after the table."""
    yield f"chosen: {_chosen(tuned).name}"
    yield f"  on what it was chosen by: {in_words(tuned.scores[tuned.chosen])}"
    for choice in tuned.held_out:
        way = f"the {choice.fitted_on}, scored on the {choice.scored_on}"
        way = "the recordings given, scored on those of --score" if about.held_out else way
        yield f"  chosen by {way}: {tuned.settings[choice.setting].name}"
        yield f"    {in_words(choice.scored)}"
    if len(tuned.held_out) > 1:
        yield f"  to be expected (all that was held out): {in_words(tuned.expected)}"
    among = tuned.scores[tuned.chosen].rate_among
    if among == among:  # noqa: PLR0124 - nan
        yield f"  false alarms are those without the injected events; between these there are {among:.3g} an hour"
    low, high = tuned.expected.rate_interval
    wanted = tuned.wanted_per_h
    if low > wanted:
        yield f"  held out there are more false alarms than the {wanted:g} an hour asked for: recordings differ"
    elif high > wanted:
        yield f"  the interval reaches beyond the {wanted:g} an hour asked for; more hours would narrow it"
    if not tuned.expected.labelled:
        yield "  no events are known, so every detection counts as a false alarm, and none as a hit; give --labels,"
        yield "  --inject or --animal to see what is detected"
    if about.left_out:
        yield f"  {about.left_out} combinations are no valid protocol and were left out; of the first: {about.why}"


def tuned_yaml(tuned: Tuned, about: About) -> str:
    """The protocol fragment: what the chosen setting changes, with where it comes from as a comment."""
    said = [
        f"Fragment of a protocol, made by closedloop tune from {about.protocol}"
        + (f" with {', '.join(about.overrides)}" if about.overrides else ""),
        f"recordings: {', '.join(about.recordings)}",
        f"held out: {', '.join(about.held_out) or 'halves of each, both ways'}",
        f"events: {about.truth}; a hit within {about.window_s:g} s of the onset",
        f"wanted: at most {tuned.wanted_per_h:g} false alarms an hour",
        f"to be expected, by what was held out: {in_words(tuned.expected)}",
        f"on what it was chosen by: {in_words(tuned.scores[tuned.chosen])}",
        f"Write it into the protocol, or: closedloop run {about.protocol} --rig RIG "
        + " ".join(
            f"--set {_quoted(f'{key}={value}')}" for key, value in (*_chosen(tuned).changed, *_chosen(tuned).along)
        ),
    ]
    comment = "".join(f"# {line}\n" for line in said)
    body = yaml.safe_dump(fragment(_chosen(tuned)), sort_keys=False, allow_unicode=True, width=_WIDTH)
    return comment + body


def _quoted(text: str) -> str:
    return f'"{text}"' if " " in text else text


def write_csv(tuned: Tuned, path: Path) -> None:
    """One row a setting and part.

    Raises:
        OSError: the disk refuses.
    """
    keys = [key for key, _ in tuned.settings[0].changed]
    parts: dict[str, Sequence[Score]] = {"all": tuned.scores, **tuned.parts}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*keys, "part", *_COLUMNS])
        for at, setting in enumerate(tuned.settings):
            for part, scores in parts.items():
                writer.writerow([*(value for _, value in setting.changed), part, *_row(scores[at])])


def _row(score: Score) -> list[object]:
    """Empty where unknown."""
    share = (score.events, score.hits, score.share, *score.share_interval, score.chance)
    delays = (score.delay(0.5), score.delay(0.95), score.restricted_mean_s, score.median_of_hits_s)
    numbers = [*share, *delays] if score.labelled else [""] * (len(share) + len(delays))
    cells = [score.hours, score.false_alarms, score.rate, *score.rate_interval, *numbers]
    return ["" if isinstance(cell, float) and cell != cell else cell for cell in cells]  # noqa: PLR0124 - nan
