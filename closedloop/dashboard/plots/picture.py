"""What a stretch of a session is made of: which traces, which marks, in which units. Nothing is drawn here.

The live view and the figure draw the same picture, one in pixels, one on paper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from closedloop.dashboard.plots.shades import BLOCKS, Shade, Shades, look_of
from closedloop.watching.course import Course
from closedloop.watching.marks import Marks, Span
from closedloop.watching.measured import Measure, begun_with, measures, span_of, unit_of
from closedloop.watching.traces import Traces

Array = npt.NDArray[np.float64]

_MOST_SPANS = {"light": 1200, "withheld": 1200}  # of the rest 300: signs that are wider than a pixel
_OFF_PX = -9.0  # out of sight, and no further: Qt draws in floats of 32 bits in places
_UNITS = {"dff": "dF/F", "isosbestic": "dF/F", "whiten": "SD", "ratio": "ln(470/405)"}
_NO_SCORE = "no score yet: the detector is warming up"
_LEAST_PX = 58  # of a plot beside the others; where there is less room, control and feature are left for another look
_NOT_MEASURED = "not known yet, or not in this stretch"
_NO_CONTROL = "no control light in this stretch (is the 405 nm LED on, and does this rig measure it?)"


@dataclass(frozen=True)
class Subject:
    """What one plot is about.

    Attributes:
        name: of its trace.
        title: for people.
        unit: of its axis.
        colour: name of a colour of the theme.
        absent: said where there is nothing to draw.
        scale: from the trace's number to the unit.
        usual: in the unit, what the trace is compared with: a line across the plot; None for none.
        usual_name: what that is.
        span: in the unit, what the axis reaches over, whatever the trace does; None: it follows the trace.
        is_measure: whether it is something that the session's parts show of themselves.
        is_main: whether it is a level, a rate or a gain, which stand beside the signal.
    """

    name: str
    title: str
    unit: str
    colour: str
    absent: str
    scale: float = 1.0
    usual: float | None = None
    usual_name: str = ""
    span: tuple[float, float] | None = None
    is_measure: bool = False
    is_main: bool = False

    @property
    def in_unit(self) -> str:
        """The unit as it follows a number; "" where there is none."""
        return f" {self.unit}" if self.unit else ""


class Choice(Enum):
    """Which plots are on screen, as a button says it."""

    MAIN = "Main"
    SIGNALS = "Signals"
    MEASURED = "Measured"

    def after(self, subjects: Sequence[Subject]) -> Choice:
        """The next one that there is something for."""
        there = [choice for choice in Choice if choice.wanted(subjects)]
        return there[(there.index(self) + 1) % len(there)] if self in there else there[0]

    def wanted(self, subjects: Sequence[Subject], high_px: float = 0.0) -> tuple[str, ...]:
        """Names of what is to be seen on plots so high together; none where a session has nothing of the kind."""
        signals = [subject.name for subject in subjects if not subject.is_measure]
        main = [subject.name for subject in subjects if subject.is_main]
        measured = [subject.name for subject in subjects if subject.is_measure]
        if self is Choice.SIGNALS:
            return tuple(signals)
        if self is Choice.MEASURED:
            return ("score", *measured) if measured else ()
        if not main:
            return ()
        has_room = high_px >= _LEAST_PX * (len(signals) + len(main))
        return (*(signals if has_room else ("signal", "score")), *main)


class Look(NamedTuple):
    """What all plots of one picture share.

    Attributes:
        since_s, until_s: the time shown.
        shades: marks by kind, in the plots' own coordinates.
        hover_s: where the mouse is; None: elsewhere.
    """

    since_s: float
    until_s: float
    shades: Shades
    hover_s: float | None = None


def subjects_of(header: dict[str, Any], shown: Sequence[str] = ()) -> tuple[Subject, ...]:
    """The plots of a session: raw light, the feature and the score, as its protocol names them; then what is measured.

    Args:
        header: of the recording.
        shown: columns that the session's parts show of themselves.
    """
    chain = _kinds(header)
    detector = (header.get("protocol") or {}).get("detector") or {}
    unit = next((_UNITS[kind] for kind in reversed(chain) if kind in _UNITS), "a.u.")
    feature = f"feature ({', '.join(chain)})" if chain else "feature"
    return (
        Subject("signal", "470 nm signal", "V", "signal", "no readings in this stretch"),
        Subject("control", "405 nm control", "V", "control", _NO_CONTROL),
        Subject("feature", feature, unit, "feature", "no feature in this stretch: it is unknown under a veto"),
        Subject("score", "score", unit_of(detector), "score", _NO_SCORE, span=span_of(detector)),
        *map(_measured, measures(header, shown)),
    )


class Marker:
    """Marks as shades. Nothing is looked up again while nothing has happened and the picture stands still."""

    def __init__(self) -> None:
        self._known: object = None
        self._shades: dict[str, list[Shade]] = {}
        self._going_on: list[str] = []

    def shades(self, marks: Marks, look: Look, last_s: float, width: float, course: Course | None = None) -> Shades:
        """All marks of a stretch, on a plot so wide, and its blocks; what still goes on ends at the newest reading."""
        newest = marks.happenings(None, 1)
        known = (id(marks), newest[0].n if newest else None, look.since_s, look.until_s, width)
        scale = width / max(1e-9, look.until_s - look.since_s)
        if known != self._known:
            self._known = known
            self._shades = {kind: _shades(marks, kind, look.since_s, look.until_s, scale) for kind in marks.kinds}
            self._going_on = [kind for kind, found in self._shades.items() if found and found[-1].right == math.inf]
        end = (min(last_s, look.until_s) - look.since_s) * scale
        ended = {
            kind: [*self._shades[kind][:-1], self._shades[kind][-1]._replace(right=end)] for kind in self._going_on
        }
        return {**self._shades, **ended, **_blocks(course, look, last_s, scale)}


def _blocks(course: Course | None, look: Look, last_s: float, scale: float) -> dict[str, list[Shade]]:
    """The blocks of a stretch, every other one of another kind."""
    found: dict[str, list[Shade]] = {kind: [] for kind in BLOCKS} if course is not None and course.stretches else {}
    for stretch in course.stretches if course is not None else ():
        until_s = last_s if stretch.until_s is None else stretch.until_s
        if stretch.since_s <= look.until_s and until_s >= look.since_s:
            left = max(_OFF_PX, (stretch.since_s - look.since_s) * scale)
            right = (min(look.until_s, until_s) - look.since_s) * scale
            found[BLOCKS[stretch.number % 2]].append(Shade(left, right, stretch.name))
    return found


def extent_of(traces: Traces, subject: Subject, look: Look) -> tuple[float, float] | None:
    """What an axis has to reach over, in the subject's unit; None where there is nothing to draw."""
    extent = traces.extent(subject.name, look.since_s, look.until_s)
    if extent is None:
        return None
    fixed = [*(subject.span or ()), *([] if subject.usual is None else [subject.usual])]
    ends = [subject.scale * end for end in extent] if subject.span is None else []
    return min([*ends, *fixed]), max([*ends, *fixed])


def release_at(header: dict[str, Any], marks: Marks, times_s: Array) -> Array:
    """The lower bound of the hysteresis band at these times, as planned and as changed by hand; nan where unknown."""
    changes = list(marks.releases)
    since_s = np.array([-np.inf, *(at_s for at_s, _ in changes)])
    values: Array = np.array([begun_with(header).release, *(value for _, value in changes)])
    found: Array = values[np.searchsorted(since_s, times_s, side="right") - 1]
    return found


def _kinds(header: dict[str, Any]) -> list[str]:
    features = (header.get("protocol") or {}).get("features") or ()
    return [str(feature.get("kind", "?")) for feature in features if isinstance(feature, dict)]


def _measured(measure: Measure) -> Subject:
    colour = "score" if measure.is_main or measure.unit else "feature"
    return Subject(
        measure.name,
        measure.title,
        measure.unit,
        colour,
        _NOT_MEASURED,
        measure.scale,
        measure.usual,
        measure.usual_name,
        is_measure=True,
        is_main=measure.is_main,
    )


def _shades(marks: Marks, kind: str, since_s: float, until_s: float, scale: float) -> list[Shade]:
    return [
        Shade(
            max(_OFF_PX, (span.since_s - since_s) * scale),
            math.inf if span.until_s is None else (min(until_s, span.until_s) - since_s) * scale,
            _label(span),
        )
        for span in marks.spans(kind, since_s, until_s, _MOST_SPANS.get(look_of(kind), 300))
    ]


def _label(span: Span) -> str:
    """Light has its train's number, which the board counts by itself if the trigger line began it."""
    if span.train is None or span.kind != "light":
        return span.label
    decided, comma, rest = span.label.partition(",")
    return f"{decided} {span.train & 0x7FFFFFFF}{comma}{rest}"
