"""The last minutes of a session re-run with another threshold, in a process of its own. It reaches no engine.

    python -m closedloop.watching.preview SESSION

One question a line of JSON on standard input, one answer a line on standard output, until the input ends. Its own
process, because the loop is compiled when it first runs, which takes seconds that a window does not have.

    {"threshold": 4.5, "release": 2.0, "minutes": 5}
    {"since_s": 0.0, "until_s": 40.0, "detections": [12.1], "fires": [12.1], "decision": "fire", "refused": {},
     "per_min": 1.5, "exact": true, "problem": null, ...}
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from pydantic import ValidationError

from closedloop import wire
from closedloop.anchor import photometry_of
from closedloop.errors import ClosedLoopError, RecordingError
from closedloop.loop import Loop
from closedloop.model import FROM_FILE, Model, Part, Quantity, models_in, parts_within
from closedloop.protocol import Protocol, Setting
from closedloop.readings import READING, Readings
from closedloop.recording import Recording
from closedloop.recording import folder as files
from closedloop.recording.blinding import DECIDED
from closedloop.steps import DETECTED, VALID
from closedloop.train import Refusal
from closedloop.yaml_file import load

MOST_ROWS_FROM_START = 1_000_000  # a tenth of a second of work; beyond, only what the memories need
MOST_MINUTES = 60.0
_TIME_CONSTANTS = 5.0  # after so many, less than 1 % of an exponential memory is what it began with
_BATCH = 100_000
_BINS = 80
_NICENESS = 10


class Rerun:
    """The recorded readings through fresh loops, one a question; readings are read from the disk once.

    Args:
        folder: of the session, running or over.

    Raises:
        RecordingError: it cannot be read.
        ConfigError: its protocol is not one that this version knows.
    """

    def __init__(self, folder: Path) -> None:
        shown = Recording.open(folder)
        self._recording = shown.sealed()  # a blinded session is re-run as it was, and its answers do not say how
        self._protocol = _own(self._recording) if shown.blinded else load(Protocol, folder / files.PROTOCOL)
        self._decision = DECIDED if shown.blinded else self._protocol.decisions[0]
        self._first = 0
        self._readings = np.empty(0, READING)

    def answer(self, threshold: float, release: float, minutes: float) -> dict[str, Any]:
        """What the last minutes would have given; times in seconds of sample time since the first reading.

        Raises:
            RecordingError: the rows cannot be read.
        """
        lead_s = self._lead_s()
        self._read_on((minutes * 60 + lead_s) * self._rate_hz)
        readings = self._readings
        until_s = float(readings["ticks"][-1]) / 1e6 if len(readings) else 0.0
        since_s = max(0.0, until_s - minutes * 60)
        if self._first:
            readings = readings[np.searchsorted(readings["ticks"], (since_s - lead_s) * 1e6) :]
        ticks, steps, scores = self._marked(readings, threshold, release, since_s * 1e6)
        within = ticks >= since_s * 1e6
        return {
            "threshold": threshold,
            "release": release,
            "since_s": since_s,
            "until_s": until_s,
            **_told(ticks[within] / 1e6, steps[within], self._decision),
            "scores": _histogram(scores),
            "exact": self._first == 0,
            "relearned": [] if self._first == 0 else self._relearned(),
            "unit": self._protocol.detector.score_unit,
            "problem": None,
        } | _per_minute(until_s - since_s, steps[within])

    @property
    def _rate_hz(self) -> float:
        return float(self._recording.header["rate_mhz"]) / 1000

    def _lead_s(self) -> float:
        """How much earlier the loop must begin so that by the time looked at it remembers what it would have."""
        limits = self._limits()
        parts: list[Part] = [*self._protocol.features, self._protocol.detector]
        longest_s = max((time_s for part in parts for time_s in _times_s(part)), default=0.0)
        presence_s = 2 * (self._protocol.quality.presence_window or 0.0)
        forgets_s = max(_TIME_CONSTANTS * longest_s, presence_s) + self._protocol.warm_up
        return max(forgets_s, limits.short_window_ms / 1000, limits.long_window_ms / 1000)

    def _relearned(self) -> list[str]:
        """Parts that keep what the session began with, which a re-run from later on learns from other readings."""
        parts = [part for one in (*self._protocol.features, self._protocol.detector) for part in parts_within(one)]
        return sorted({part.kind for part in parts if part.keeps_its_start})

    def _limits(self) -> wire.Limits:
        return wire.Limits(**self._recording.header["limits"])

    def _read_on(self, needed: float) -> None:
        """Take in what was recorded since, and let go of what no question needs any more."""
        head = self._recording.table.head
        wanted_from = 0 if head <= MOST_ROWS_FROM_START else max(0, head - int(needed))
        if wanted_from < self._first or wanted_from >= self._first + len(self._readings):
            self._first, self._readings = wanted_from, np.empty(0, READING)
        fresh = self._recording.rows(self._first + len(self._readings), head)
        kept = self._readings[wanted_from - self._first :]
        self._first = wanted_from
        self._readings = np.concatenate([kept, _as_readings(fresh)])

    def _marked(self, readings: Readings, threshold: float, release: float, since: float) -> tuple[Any, Any, Any]:
        """Of a fresh loop: ticks and steps of all detections and decisions, and the scores fit to act on since then."""
        header = self._recording.header
        photometry = photometry_of(header, str(self._recording.folder))
        setting = Setting.of(header, self._protocol.light)
        plan = self._protocol.plan(self._limits(), header["full_power_mw"], photometry, setting)
        loop = Loop(plan, rate_hz=self._rate_hz, nano_units=header["nano_units"])
        loop.set_threshold(threshold, release)  # as a session does it: a detector's own cap stays where it was
        ticks, marked, scores = [], [], []
        for start in range(0, max(1, len(readings)), _BATCH):
            batch = readings[start : start + _BATCH]
            steps = loop.run(batch)
            at = np.flatnonzero(steps["train"])
            ticks.append(batch["ticks"][at])
            marked.append(steps[at])
            scores.append(steps["score"][((steps["bits"] & VALID) != 0) & (batch["ticks"] >= since)])
        return np.concatenate(ticks), np.concatenate(marked), np.concatenate(scores)


def _as_readings(rows: Any) -> Readings:
    readings = np.empty(len(rows), READING)
    for name in READING.names or ():
        readings[name] = rows[name]
    return readings


def _times_s(part: Model) -> list[float]:
    """All lengths of time that a part's parameters name, those of its own parts too."""
    own = [
        float(getattr(part, name))
        for name, info in type(part).model_fields.items()
        if any(isinstance(found, Quantity) and found.dimension == "time" for found in info.metadata)
        and getattr(part, name) is not None
    ]
    return own + [time_s for inner in models_in(part) for time_s in _times_s(inner)]


def _histogram(scores: Any) -> dict[str, Any] | None:
    """Readings in bins of equal width from the lowest score to the highest; None where no score is known."""
    if len(scores) == 0:
        return None
    counts, edges = np.histogram(scores, _BINS)
    return {"low": float(edges[0]), "high": float(edges[-1]), "counts": counts.tolist()}


def _own(recording: Recording) -> Protocol:
    """The protocol that a blinded session ran with.

    Raises:
        RecordingError: this version does not know it; without a word of what is in it.
    """
    try:
        return Protocol.model_validate(recording.header["protocol"], context=FROM_FILE)
    except ValidationError:
        raise RecordingError(f"{recording.folder}: its protocol is of another version of closedloop") from None


def _told(at_s: Any, steps: Any, decision: str) -> dict[str, Any]:
    begun = (steps["decision"] != 0) & (steps["refused"] == 0)
    refused = Counter(Refusal(int(reason)).name.lower() for reason in steps["refused"] if reason)
    return {
        "detections": at_s[(steps["bits"] & DETECTED) != 0].tolist(),
        "fires": at_s[begun].tolist(),
        "decision": decision,
        "refused": dict(refused),
    }


def _per_minute(span_s: float, steps: Any) -> dict[str, float]:
    begun = int(np.count_nonzero((steps["decision"] != 0) & (steps["refused"] == 0)))
    return {"per_min": begun * 60 / span_s if span_s > 0 else 0.0}


def _numbers(line: str) -> tuple[float, float, float]:
    """Threshold, release and minutes of a question.

    Raises:
        ValueError: it is none.
    """
    try:
        asked = json.loads(line)
        threshold, release = float(asked["threshold"]), float(asked["release"])
        minutes = float(asked.get("minutes", 5))
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"a question is a line of JSON with threshold, release and minutes ({error})") from error
    if not (np.isfinite(threshold) and np.isfinite(release) and 0 < minutes <= MOST_MINUTES):
        raise ValueError(f"threshold and release must be finite, minutes above 0 and at most {MOST_MINUTES:g}")
    if release > threshold:
        raise ValueError(f"release ({release:g}) must not lie above threshold ({threshold:g}); lower release")
    return threshold, release, minutes


def serve(folder: Path, questions: TextIO, answers: TextIO) -> None:
    """Answer until there are no more questions; whatever is wrong is an answer too."""
    rerun: Rerun | None = None
    for line in questions:
        try:
            rerun = rerun or Rerun(folder)
            said = rerun.answer(*_numbers(line))
        except (ClosedLoopError, ValueError) as error:
            said = {"problem": str(error)}
        except (KeyError, TypeError) as error:
            said = {"problem": f"{folder}: its header lacks what a re-run needs ({error}); recorded by an old version?"}
        answers.write(json.dumps(said) + "\n")
        answers.flush()


def main(arguments: list[str]) -> int:
    """Serve one session until standard input is closed, behind everything else that the computer has to do."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m closedloop.watching.preview SESSION\n")
        return 2
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    serve(Path(arguments[0]), sys.stdin, sys.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
