"""Onsets of transients: weights and scores against plain numpy, at every rate, and what must never be one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driven import drive
from plans import NANO_UNITS, RATE_HZ, plan, readings
from pydantic import ValidationError

from closedloop import formats
from closedloop.analysis import scoring
from closedloop.analysis.detection import detect
from closedloop.analysis.injection import Transient, inject, random_onsets
from closedloop.detectors.onset import Onset
from closedloop.features.dff import Dff
from closedloop.loop import Loop
from closedloop.online import templates
from closedloop.online.templates import transient
from closedloop.steps import DETECTED, PLANNED

SD = 0.007


class Run:
    """One detector with its memory."""

    def __init__(self, rate_hz: float = RATE_HZ, **fields: Any) -> None:
        self.detector = Onset(**fields)
        self.memory = np.zeros(1, Onset.memory_type)
        self.p = self.detector.parameters(rate_hz)

    def __call__(self, values: np.ndarray, *, learn: bool = True) -> np.ndarray:
        out = np.zeros(len(values))
        drive(Onset.score, Onset.follow, Onset.learn, self.memory[0], self.p[0], values, learn, out)
        return out


def white(seconds: float, rate_hz: float = RATE_HZ, seed: int = 1) -> np.ndarray:
    return SD * np.random.default_rng(seed).standard_normal(round(seconds * rate_hz))


def events(seconds: float, at_s: np.ndarray, size: float, rate_hz: float = RATE_HZ, rise: float = 0.05) -> np.ndarray:
    at = np.arange(round(seconds * rate_hz)) / rate_hz
    return sum((size * transient(at - start, rise, 0.5) for start in at_s), np.zeros(len(at)))


# ---- exact


def test_a_transient_has_a_peak_of_one_and_nothing_before_its_onset() -> None:
    at = np.linspace(-1, 5, 60_001)
    shape = transient(at, 0.05, 0.5)
    assert shape.max() == pytest.approx(1, abs=1e-6)
    assert at[np.argmax(shape)] == pytest.approx(templates.peak_s(0.05, 0.5), abs=1e-3)
    assert not shape[at <= 0].any()


@pytest.mark.parametrize("slower", [0.0, 1.4])
def test_weights_are_those_of_the_largest_ratio_of_event_to_all_else(slower: float) -> None:
    taps, ago = 40, np.arange(40) / RATE_HZ
    weights = templates.onset_weights(RATE_HZ, taps, 0.05, 0.5, 0.12, slower)
    assert weights.sum() == pytest.approx(0, abs=1e-9)
    assert weights @ weights == pytest.approx(1)
    others = np.zeros((taps, taps))
    kinds = [(rise, decay) for rise in (2, 3, 4, 6) for decay in (1, 3)]
    for rise, decay in kinds:
        for since in np.linspace(0.03, 0.3, 36):
            one = transient(since - ago, rise * 0.05, decay * 0.5)
            others += np.outer(one, one) / (36 * len(kinds))
    covariance = np.eye(taps) + slower**2 * others
    wanted = transient(0.12 - ago, 0.05, 0.5)

    def ratio(of: np.ndarray) -> float:
        return float(of @ wanted / np.sqrt(of @ covariance @ of))

    dice = np.random.default_rng(1)
    for _ in range(200):  # no other weights of sum 0 do better
        other = weights + 0.1 * dice.standard_normal(taps)
        assert ratio(other - other.mean()) < ratio(weights) * (1 + 1e-6)


def by_hand(values: np.ndarray, p: Any, learn_until: int) -> np.ndarray:
    """The same, from the definition: no partial sums, no ring."""
    taps, block, first = int(p["taps"]), int(p["block"]), int(p["first"])
    weights = p["weights"].reshape(-1, len(p["weights"]) // len(p["edges"]))
    slow = fast = rms = 0.0
    count = scored = row = 0
    x: list[float] = []
    out = np.full(len(values), np.nan)
    for i, value in enumerate(values):
        noise, early = max(slow, fast), count < first
        reach = p["leap"] * np.sqrt(noise)
        limited = value if early or not x or noise == 0 else min(max(value, x[-1] - reach), x[-1] + reach)
        x.append(limited)
        y = np.nan
        if len(x) >= taps * block and not early:
            window = np.array(x[-taps * block :]).reshape(taps, block).mean(1)[::-1]
            y = weights[row, :taps] @ window / np.sqrt(noise)
        out[i] = y / np.sqrt(rms if scored else 1.0)
        q = np.nan
        if len(x) >= 3 * block:
            older, old, new = np.array(x[-3 * block :]).reshape(3, block).mean(1)
            q = (new - 2 * old + older) ** 2 / 6
            clipped = q if early or fast == 0 else min(q, p["clip"] * fast)
            fast += max(1 / (count + 1), p["burst_alpha"]) * (clipped - fast)
            fast = max(fast, 0.01 * slow)
        if len(x) % (taps * block) == 0:
            row = max(at for at, edge in enumerate(p["edges"]) if at == 0 or p["slower"] >= edge * np.sqrt(slow))
        if i >= learn_until:
            continue
        if not np.isnan(q):
            clipped = q if early or slow == 0 else min(q, p["clip"] * slow)
            count += 1
            slow += max(1 / count, p["noise_alpha"]) * (clipped - slow)
        if not np.isnan(y):
            before = rms if scored else 1.0
            scored += 1
            weight = max(1 / (scored + p["prior"]), p["scale_alpha"])
            rms = max(before + weight * (min(y * y, p["scale_clip"] * before) - before), 0.25)
    return out


@pytest.mark.parametrize("rate_hz", [13.0, 130.0, 500.0])
def test_scores_are_those_of_the_definition(rate_hz: float) -> None:
    values = white(30, rate_hz) + events(30, np.array([12.3, 20.7]), 0.04, rate_hz)
    values[round(25 * rate_hz)] += 1.0  # a wild reading
    run, until = Run(rate_hz), round(22 * rate_hz)
    scores = np.concatenate([run(values[:until]), run(values[until:], learn=False)])
    expected = by_hand(values, run.p[0], until)
    np.testing.assert_array_equal(np.isnan(scores), np.isnan(expected))
    np.testing.assert_allclose(scores, expected, rtol=1e-6, atol=1e-9)
    assert np.count_nonzero(np.isfinite(scores)) > 26 * rate_hz


def test_a_held_detector_learns_no_scale() -> None:
    run = Run()
    run(white(60))
    before = {name: run.memory[name].copy() for name in ("count", "scored", "slow", "square")}
    run(white(10, seed=2) + 0.05, learn=False)
    assert {name: run.memory[name] for name in before} == before


# ---- at every rate


@pytest.mark.parametrize("rate_hz", [10.0, 13.0, 30.0, 130.0, 1000.0])
def test_white_noise_has_scores_of_one_sd_and_large_events_are_found_soon(rate_hz: float) -> None:
    at_s = np.arange(60, 290, 10) + np.random.default_rng(3).uniform(0, 1, 23)
    run = Run(rate_hz)
    assert np.nanstd(run(white(120, rate_hz))) == pytest.approx(1.05, abs=0.15)
    made = white(300, rate_hz) + events(300, at_s, 0.1, rate_hz)
    scores = Run(rate_hz)(made)
    soon = round(0.25 * rate_hz)
    found = [np.nanmax(scores[(at := int(start * rate_hz) + 1) : at + soon + 1]) > 4.2 for start in at_s]
    assert np.mean(found) > 0.9


def test_at_high_rates_it_costs_no_more_taps() -> None:
    assert Onset().shape(130.0) == (65, 1)
    assert Onset().shape(1000.0) == (62, 8)
    assert Onset().shape(10.0) == (5, 1)
    for rate_hz in (10.0, 31.0, 130.0, 131.0, 999.0, 5000.0, 1e6):
        taps, block = Onset().shape(rate_hz)
        assert 4 <= taps <= 65
        assert block <= 32
    assert "62" not in Onset().notes(130.0)[0]
    assert "means of 8" in Onset().notes(1000.0)[0]
    assert [len(Onset().notes(rate_hz)) for rate_hz in (10.0, 30.0, 130.0)] == [2, 2, 1]


def test_slower_events_count_less_where_they_are_expected() -> None:
    at_s = np.arange(30, 290, 13.0)
    quick, slow = (events(300, at_s, 0.03, rise=rise) for rise in (0.05, 0.2))
    shares = []
    for slower in (0.0, 0.0095):
        peaks = []
        for made in (quick, slow):
            scores = Run(slower=slower)(white(300) + made)
            peaks.append(np.mean([np.nanmax(scores[round(at * 100) :][:60]) for at in at_s]))
        shares.append(peaks[1] / peaks[0])
    assert shares[1] < 0.9 * shares[0]


# ---- what is no onset


def steps(values: np.ndarray, detector: Onset | None = None) -> Any:
    """A loop over these changes of 1 V."""
    of = plan(features=(Dff(baseline=60.0),), detector=detector or Onset(), warm_up_s=1e6)
    return Loop(of, rate_hz=RATE_HZ, nano_units=NANO_UNITS).run(readings(1 + values))


def detections(of: Any) -> np.ndarray:
    return np.flatnonzero(of["bits"] & DETECTED)


def test_a_wild_reading_is_no_onset_and_leaves_nothing() -> None:
    values = white(120)
    values[np.arange(2000, 11_000, 700)] += 0.25  # 36 SD; more would be vetoed
    assert len(detections(steps(values))) <= len(detections(steps(white(120))))
    assert len(detections(steps(values, Onset(leap=1e9)))) >= 13


def test_a_burst_of_artefact_silences_itself() -> None:
    values, alone = white(120), white(120)
    values[8000:8400] *= 10
    assert len(detections(steps(values))) <= len(detections(steps(alone))) + 2


def test_a_step_across_unknown_readings_is_no_onset_but_a_short_gap_is_bridged() -> None:
    values = white(60)
    values[4000:] += 0.1
    values[3970:4000] = np.nan
    scores = Run()(values)
    assert np.nanmax(scores[3970:4200]) < 4.2
    assert np.isnan(scores[3970:4049]).all()  # half a second without, then known again
    assert np.isfinite(scores[4050:]).all()
    values = white(60)
    values[4000:4002] = np.nan
    assert np.isfinite(Run()(values)[4002:]).all()


def test_numbers_that_are_none_change_nothing_for_long() -> None:
    run = Run()
    run(white(60))
    bad = np.array([np.nan, np.inf, -np.inf, 1e300])
    assert np.isnan(run(bad)).all()
    assert np.isfinite(run(white(10, seed=2))[60:]).all()
    assert np.nanmax(run(white(10, seed=3))) < 5


def test_a_dead_signal_has_no_score_and_what_comes_after_has_one() -> None:
    run = Run()
    assert np.isnan(run(np.zeros(5000))).all()
    scores = run(white(120))
    assert np.isfinite(scores[100:]).all()
    assert np.nanstd(scores[3000:]) == pytest.approx(1.05, abs=0.15)
    run = Run()
    run(white(60))
    run(np.full(6000, 0.01))
    assert np.count_nonzero(run(white(60, seed=5)) > 4.2) < 20


def test_our_own_light_and_its_artefact_are_no_onset() -> None:
    volts, at = 1 + white(60), 3000
    rows = readings(volts)
    rows["signal_lit"][at + 1 : at + 55] *= 5  # past the train's 200 ms, within its 500 ms of recovery
    loop = Loop(plan(detector=Onset(), features=(Dff(baseline=60.0),)), rate_hz=RATE_HZ, nano_units=NANO_UNITS)
    before = loop.run(rows[:at])
    loop.ask_test_pulse()
    after = loop.run(rows[at:])
    assert np.count_nonzero(after["bits"][:60] & PLANNED) >= 50
    assert not len(detections(after))
    assert len(detections(before)) < 2
    own = np.flatnonzero(after["bits"] & PLANNED).max()
    known = own + 1 + np.argmax(np.isfinite(after["score"][own + 1 :]))
    assert known - own == 50  # the window is full of clean readings again


def test_most_small_events_in_a_real_recording_are_found_at_two_false_alarms_a_minute(shared_data: Path) -> None:
    stream = formats.read(shared_data / "m17-R-2018-12-12-090409.ppd")
    of = plan(features=(Dff(),), detector=Onset(), warm_up_s=20.0, recovery_s=0.0)
    of = plan(**(vars(of) | {"train": of.train.model_copy(update={"on": 0.001})}))  # never blind after a detection
    bare, middle = detect(of, stream), round(stream.duration_s / 2 * 1e6)
    onsets = random_onsets(stream, 21, every_s=11.5, apart_s=8.0)
    found = detect(of, inject(stream, Transient(0.02), onsets))
    for part in ((0, middle), (middle, 2 * middle)):
        alarms = scoring.score(bare.ticks, None, bare.watched, 1.0, part)
        made = scoring.score(found.ticks, onsets, found.watched, 1.0, part)
        assert alarms.rate / 60 < 2.7
        assert made.share > 0.61  # what the difference of adjacent windows finds (SCIENCE 6.4)
        assert made.median_of_hits_s < 0.130


def test_the_benchmark_says_where_it_looked_for_the_recording(tmp_path: Path) -> None:
    command = [sys.executable, str(Path(__file__).parents[1] / "benchmarks" / "detectors.py"), "--only", "real"]
    where = os.environ | {"CLOSEDLOOP_RECORDINGS": str(tmp_path)}
    ran = subprocess.run(command, capture_output=True, text=True, env=where, timeout=120, check=True)
    assert "skipped: no recording" in ran.stdout
    assert str(tmp_path) in ran.stdout


def test_kinetics_that_are_none_are_refused() -> None:
    with pytest.raises(ValidationError, match="shorten rise"):
        Onset(rise=0.5, decay=0.1)
    with pytest.raises(ValidationError):
        Onset(slower=-0.01)
    with pytest.raises(ValidationError, match="lower release"):
        Onset(threshold=2.0)
