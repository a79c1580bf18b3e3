"""Transients of known size in real background: how many are found, how soon, at two false alarms a minute.

The background is one session of one mouse (GCaMP6f in dopamine axons, 61 min at 130 Hz). Each half in turn gives the
threshold, in the recording as it is, and the other half is scored: false alarms in the recording as it is, hits and
delays with transients multiplied into what the LED gives. Nothing else is fitted, and each detector has its defaults,
with half its threshold as release. The animal's own events count as false alarms, so all rates are pessimistic. The
background of all injections is the same, and so are its false alarms: intervals of hits say nothing of another mouse.

The same is done with a virtual animal without events of its own, and, for `onset`, with what tells where the limit is:
Gaussian noise of the recording's spectrum, and the recording mirrored, in which the animal's own events point down.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from progress import each
from scipy.ndimage import uniform_filter1d
from scipy.signal import lfilter

from closedloop import formats, limits
from closedloop.analysis import scoring
from closedloop.analysis.detection import Detected, detect
from closedloop.analysis.injection import Transient, inject, random_onsets, virtual
from closedloop.detectors import Detector
from closedloop.detectors.cusum import Cusum
from closedloop.detectors.difference import Difference
from closedloop.detectors.matched_filter import MatchedFilter
from closedloop.detectors.onset import Onset
from closedloop.detectors.threshold import Threshold
from closedloop.features import Feature
from closedloop.features.dff import Dff
from closedloop.features.lowpass import Lowpass
from closedloop.features.whiten import Whiten
from closedloop.loop import Plan
from closedloop.online import autoregressive
from closedloop.policies.sham import Sham
from closedloop.quality import Quality
from closedloop.readings import Stream
from closedloop.simulation.animal import Animal
from closedloop.train import Train

NAME = "real"
TITLE = "transients of 1 to 4 % in real background, at 2 false alarms a minute"

DATA = Path(os.environ.get("CLOSEDLOOP_RECORDINGS", Path(__file__).parents[2] / "shared" / "data"))
RECORDING = "m17-R-2018-12-12-090409.ppd"

ALARMS = 2.0  # a minute
WINDOW_S = 1.0  # after an onset; a detection later than that is none
WARM_UP_S = 20.0
EVERY_S, APART_S = 11.5, 8.0  # injected onsets, on average and at least
HALVES = ((0, 1), (1, 0))  # fitted on, scored on
STEP = 1.08  # from one threshold that is tried to the next
BISECTIONS = 6
FEWER, OF_ONSETS = (5, 10), ("difference", "matched_filter", "onset")  # readings taken together, and by what
SPECTRUM = 32  # order of the model of the recording's noise
SLOW_S = 120.0  # level about which the recording is mirrored
AIMS = ({"size": 0.02, "detected": 0.75, "median_s": 0.130}, {"size": 0.04, "detected": 0.98, "median_s": 0.080})
REQUIRED = 0.61  # of 2 %: what the difference of adjacent windows finds (SCIENCE 6.4)


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    seeds: int  # injections of the same background
    sizes: tuple[float, ...]
    virtual_h: float


SHORT, LONG = Size(2, (0.02, 0.04), 0.5), Size(10, (0.01, 0.02, 0.03, 0.04), 2.0)


@dataclass(frozen=True)
class Candidate:
    """A chain and a detector with the threshold at which the search for the right one begins, from above."""

    name: str
    features: tuple[Feature, ...]
    detector: Detector
    highest: float
    light_s: float = 0.001  # shorter than a reading lasts: the detector by itself, never blind after a detection
    recovery_s: float = 0.0

    def plan(self, threshold: float) -> Plan:
        """The loop with this threshold and half of it as release."""
        return Plan(
            features=self.features,
            detector=self.detector.model_copy(update={"threshold": threshold, "release": threshold / 2}),
            policy=Sham(),
            quality=Quality(),
            train=Train(on=self.light_s),
            level=65_535,
            limits=limits.effective(lease_s=0.25),
            warm_up_s=WARM_UP_S,
            recovery_s=self.recovery_s,
        )


ONSET = Candidate("onset", (Dff(),), Onset(), 8.0)
BLIND = replace(ONSET, name="onset_in_session", light_s=0.5, recovery_s=0.5)  # each detection costs a second
CANDIDATES = (
    Candidate("threshold", (Lowpass(cutoff=5.0), Dff()), Threshold(), 9.0),
    Candidate("difference", (Dff(),), Difference(), 9.0),
    Candidate("cusum_whitened", (Dff(), Whiten()), Cusum(), 30.0),
    Candidate("matched_filter", (Dff(),), MatchedFilter(), 12.0),
    ONSET,
)


@dataclass(frozen=True)
class Background:
    """A recording, and what each candidate does in it as it is."""

    stream: Stream
    runs: dict[tuple[str, float], Detected] = field(default_factory=dict)

    @cached_property
    def halves(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Ticks from which and until which."""
        middle = round(self.stream.duration_s / 2 * 1e6)
        return (0, middle), (middle, round(self.stream.duration_s * 1e6) + 1)

    def run(self, candidate: Candidate, threshold: float) -> Detected:
        """Its detections in the recording as it is."""
        key = candidate.name, threshold
        if key not in self.runs:
            self.runs[key] = detect(candidate.plan(threshold), self.stream)
        return self.runs[key]

    def alarms(self, candidate: Candidate, threshold: float, half: int) -> scoring.Score:
        """Detections in one half of it."""
        found = self.run(candidate, threshold)
        return scoring.score(found.ticks, None, found.watched, WINDOW_S, self.halves[half])

    def fitted(self, candidate: Candidate, half: int) -> float:
        """The lowest threshold with no more than the wanted rate in this half, sought from above.

        From above, because far below it detections merge and there are few again.
        """
        high = candidate.highest
        while self.alarms(candidate, high / STEP, half).rate <= 60 * ALARMS and high > 0.05 * candidate.highest:
            high /= STEP
        low = high / STEP
        for _ in range(BISECTIONS):
            middle = (low * high) ** 0.5
            if self.alarms(candidate, middle, half).rate > 60 * ALARMS:
                low = middle
            else:
                high = middle
        return high


@dataclass(frozen=True)
class Injected:
    """The same background with transients of one size, once for each seed."""

    size: float
    onsets: list[scoring.Ticks]
    streams: list[Stream]

    @classmethod
    def into(cls, background: Background, size: float, seeds: range) -> Injected:
        """Onsets are the same for all sizes."""
        onsets = [random_onsets(background.stream, seed, EVERY_S, APART_S) for seed in seeds]
        return cls(size, onsets, [inject(background.stream, Transient(size), at) for at in onsets])


def hits(background: Background, candidate: Candidate, threshold: float, half: int, of: Injected) -> dict[str, Any]:
    """What is found of the injected events in one half, and what would have been without them."""
    part, scores, chance = background.halves[half], [], []
    bare = background.run(candidate, threshold)
    for onsets, stream in zip(of.onsets, of.streams, strict=True):
        found = detect(candidate.plan(threshold), stream)
        scores.append(scoring.score(found.ticks, onsets, found.watched, WINDOW_S, part))
        chance.append(scoring.score(bare.ticks, onsets, bare.watched, WINDOW_S, part))
    made, by_chance = scoring.pooled(scores), scoring.pooled(chance).share
    said = made.as_dict()
    kept = {name: said[name] for name in ("events", "hits", "detected", "detected_95", "delay_s")}
    return {"size": of.size} | kept | {"by_chance": by_chance, "net": made.share - by_chance}


def both_ways(background: Background, candidate: Candidate, injected: list[Injected]) -> list[dict[str, Any]]:
    """Fitted on one half and scored on the other, and the other way round."""
    found = []
    for fitted, scored in HALVES:
        threshold = background.fitted(candidate, fitted)
        alarms = background.alarms(candidate, threshold, scored)
        found.append(
            {
                "fitted": "AB"[fitted],
                "scored": "AB"[scored],
                "threshold": round(threshold, 3),
                "false_alarms": alarms.false_alarms,
                "minutes": round(60 * alarms.hours, 2),
                "a_minute": alarms.rate / 60,
                "a_minute_95": [edge / 60 for edge in alarms.rate_interval],
                "sizes": [hits(background, candidate, threshold, scored, of) for of in injected],
            }
        )
    return found


# ---- what limits it


def relative(stream: Stream) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Slow level of what the LED gives, and change relative to it."""
    rows = stream.readings
    signal = (rows["signal_lit"] - rows["signal_dark"]).astype(np.float64)
    slow = uniform_filter1d(signal, round(SLOW_S * stream.rate_hz), mode="nearest")
    return slow, signal / slow - 1


def with_change(stream: Stream, slow: npt.NDArray[np.float64], change: npt.NDArray[np.float64]) -> Stream:
    """The recording with another change about its slow level."""
    rows = stream.readings.copy()
    rows["signal_lit"] = rows["signal_dark"] + np.rint(slow * (1 + change)).astype(np.int64)
    return replace(stream, readings=rows)


def gaussian(stream: Stream, seed: int) -> Stream:
    """Gaussian noise with the spectrum of each half of the recording, about its slow level: noise without events."""
    slow, change = relative(stream)
    dice, halves = np.random.default_rng(seed), []
    for half in np.array_split(change, 2):
        coefficients, sd = autoregressive.fit(half - half.mean(), SPECTRUM)
        halves.append(lfilter([sd], np.concatenate([[1.0], -coefficients]), dice.standard_normal(len(half))))
    return with_change(stream, slow, np.concatenate(halves))


def mirrored(stream: Stream) -> Stream:
    """The recording upside down about its slow level: noise stays what it is, the animal's own events point down."""
    slow, change = relative(stream)
    return with_change(stream, slow, -change)


def limited_by(background: Background, injected: list[Injected], seeds: range) -> dict[str, Any]:
    """What `onset` would find if there were noise alone, and which way its false alarms point."""
    noise = Background(gaussian(background.stream, seeds[0]))
    down = Background(mirrored(background.stream))
    small = next(of for of in injected if of.size == AIMS[0]["size"])
    sides = []
    for half in (0, 1):
        threshold = background.fitted(ONSET, half)
        from_below = down.fitted(ONSET, half)
        sides.append(
            {
                "half": "AB"[half],
                "threshold_of_2_up": round(threshold, 3),
                "down_a_minute": down.alarms(ONSET, threshold, half).rate / 60,
                "threshold_of_2_down": round(from_below, 3),
                "up_a_minute": background.alarms(ONSET, from_below, half).rate / 60,
                "found_at_2_down": hits(background, ONSET, from_below, half, small)["detected"],
                "found_at_2_up": hits(background, ONSET, threshold, half, small)["detected"],
            }
        )
    in_noise = both_ways(noise, ONSET, [Injected.into(noise, small.size, seeds)])
    blind = both_ways(background, BLIND, injected)
    return {"size": small.size, "in_session": blind, "gaussian_noise_of_the_same_spectrum": in_noise, "sides": sides}


# ---- fewer readings


def averaged(stream: Stream, readings: int) -> Stream:
    """Sums of so many readings, each with the time of its last: a slower converter, of the same light."""
    rows, count = stream.readings, len(stream.readings) // readings * readings
    made = rows[readings - 1 : count : readings].copy()
    for name in ("signal_lit", "signal_dark", "control_lit", "control_dark"):
        made[name] = rows[name][:count].astype(np.int64).reshape(-1, readings).sum(axis=1)
    made["seq"] = np.arange(len(made))
    slower = {"rate_mhz": round(stream.rate_mhz / readings), "nano_units": max(1, stream.nano_units // readings)}
    return replace(stream, readings=made, **slower)


def at_lower_rates(stream: Stream, injected: list[Injected]) -> list[dict[str, Any]]:
    """The detectors of onsets where the readings are means of 5 and of 10."""
    found = []
    for readings in FEWER:
        slow = Background(averaged(stream, readings))
        same = [Injected(of.size, of.onsets, [averaged(one, readings) for one in of.streams]) for of in injected]
        ways = {one.name: both_ways(slow, one, same) for one in CANDIDATES if one.name in OF_ONSETS}
        detectors = [{"detector": name, "ways": way} for name, way in ways.items()]
        found.append({"rate_hz": slow.stream.rate_hz, "detectors": detectors})
    return found


# ---- the section


def measured(
    background: Background, injected: list[Injected], candidates: tuple[Candidate, ...]
) -> list[dict[str, Any]]:
    """Each candidate, both ways."""
    return [
        {
            "detector": candidate.name,
            "chain": [feature.kind for feature in candidate.features],
            "ways": both_ways(background, candidate, injected),
        }
        for candidate in each(candidates, f"{background.stream.source[:24]}, {len(injected)} sizes")
    ]


def without_events(hours: float, seed: int) -> Stream:
    """A virtual animal that has none of its own."""
    animal = Animal.model_validate({"preset": "akam_like", "states": {"baseline": {"event_rate": "0 /min"}}})
    return virtual(animal, hours, 130.0, seed)[0]


def aims(detectors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was aimed at, and what `onset` reached in the worse half."""
    (ways,) = (one["ways"] for one in detectors if one["detector"] == "onset")
    said = []
    for aim in AIMS:
        of = [size for way in ways for size in way["sizes"] if size["size"] == aim["size"]]
        medians = [size["delay_s"]["median"] for size in of]
        worst = None if None in medians else max(medians)
        reached = min(size["detected"] for size in of)
        met = reached >= aim["detected"] and worst is not None and worst <= aim["median_s"]
        said.append(aim | {"reached": reached, "reached_median_s": worst, "met": met})
    return said


def of_background(stream: Stream, size: Size, seeds: range, more: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The figures of one background, and what else is asked of it."""
    background = Background(stream)
    injected = [Injected.into(background, one, seeds) for one in size.sizes]
    found = measured(background, injected, CANDIDATES)
    return {"source": stream.source, "minutes": round(stream.duration_s / 60, 1), "detectors": found} | more(
        background, injected, found
    )


def run(long: bool, seed: int) -> dict[str, Any]:
    """The figures: the real recording, what limits them, the virtual animal."""
    size = LONG if long else SHORT
    seeds = range(100 * seed, 100 * seed + size.seeds)
    file = DATA / RECORDING
    if not file.is_file():
        return {"skipped": f"no recording: {RECORDING} is not in {DATA}; name its folder in CLOSEDLOOP_RECORDINGS"}

    def more(background: Background, injected: list[Injected], found: list[dict[str, Any]]) -> dict[str, Any]:
        best = min(size["detected"] for size in _of(found, "onset", AIMS[0]["size"]))
        required = {"size": AIMS[0]["size"], "more_than": REQUIRED, "reached": best, "met": best > REQUIRED}
        slower = at_lower_rates(background.stream, [of for of in injected if of.size in SHORT.sizes])
        limit = limited_by(background, injected, seeds)
        return {"required": required, "aims": aims(found), "limited_by": limit, "lower_rates": slower}

    real = of_background(formats.read(file), size, seeds, more)
    made = of_background(without_events(size.virtual_h, seed), size, seeds, lambda *_: {})
    return {"wanted_a_minute": ALARMS, "window_s": WINDOW_S, "warm_up_s": WARM_UP_S, "real": real, "virtual": made}


def _of(found: list[dict[str, Any]], detector: str, size: float) -> list[dict[str, Any]]:
    ways = next(one["ways"] for one in found if one["detector"] == detector)
    return [one for way in ways for one in way["sizes"] if one["size"] == size]


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1e3 * seconds:.0f}"


def _row(detector: str, way: dict[str, Any]) -> Iterator[str]:
    low, high = way["a_minute_95"]
    yield (
        f"  {detector:16}{way['fitted']} > {way['scored']}  threshold {way['threshold']:<7g} "
        f"{way['a_minute']:.2f} /min ({low:.2f}-{high:.2f})"
    )
    for one in way["sizes"]:
        low, high = one["detected_95"]
        delay = one["delay_s"]
        yield (
            f"      {100 * one['size']:g} %: {100 * one['detected']:5.1f} % ({100 * low:.1f}-{100 * high:.1f}), net "
            f"{100 * one['net']:5.1f} %, median {_ms(delay['median']):>4} ms, p95 {_ms(delay['p95']):>4} ms, "
            f"median of hits {_ms(delay['median_of_hits']):>4} ms  (n {one['events']})"
        )


def _table(detectors: list[dict[str, Any]]) -> Iterator[str]:
    for one in detectors:
        for way in one["ways"]:
            yield from _row(one["detector"], way)


def _limits(found: dict[str, Any]) -> Iterator[str]:
    yield "onset in a session: 500 ms of light and 500 ms of recovery after each detection, nothing found in either"
    for way in found["in_session"]:
        yield from _row("onset", way)
    yield f"what limits onset at {100 * found['size']:g} %"
    for way in found["gaussian_noise_of_the_same_spectrum"]:
        (one,) = way["sizes"]
        yield (
            f"  Gaussian noise of the same spectrum, {way['fitted']} > {way['scored']}: {100 * one['detected']:.1f} % "
            f"at {way['a_minute']:.2f} /min"
        )
    for side in found["sides"]:
        yield (
            f"  {side['half']}: at 2 /min upwards, {side['down_a_minute']:.2f} /min point down; 2 /min of those "
            f"leave {side['up_a_minute']:.1f} /min upwards, and {100 * side['found_at_2_down']:.1f} % are found "
            f"(at 2 /min upwards, fitted on the same half, {100 * side['found_at_2_up']:.1f} %)"
        )


def lines(result: dict[str, Any]) -> Iterator[str]:
    """For people."""
    if "skipped" in result:
        yield f"skipped: {result['skipped']}"
        return
    for name in ("real", "virtual"):
        found = result[name]
        yield f"{Path(found['source']).name}, {found['minutes']:g} min; detected of injected, misses censored in delays"
        yield from _table(found["detectors"])
    real = result["real"]
    for aim in real["aims"]:
        yield (
            f"aim at {100 * aim['size']:g} %: {100 * aim['detected']:g} % within {_ms(aim['median_s'])} ms (median); "
            f"onset, worse half: {100 * aim['reached']:.1f} %, {_ms(aim['reached_median_s'])} ms"
        )
    yield from _limits(real["limited_by"])
    for slower in real["lower_rates"]:
        yield f"the same recording in means, {slower['rate_hz']:g} readings/s"
        yield from _table(slower["detectors"])
