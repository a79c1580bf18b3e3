"""Scores of detections: hand-made cases with known answers, and truth put into real and virtual recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plans import NANO_UNITS, RATE_HZ, noise, plan, readings, with_events
from scipy.stats import poisson

from closedloop import formats
from closedloop.analysis import detection, estimates, scoring
from closedloop.analysis.detection import detect
from closedloop.analysis.injection import Transient, inject, random_onsets, virtual
from closedloop.errors import ConfigError
from closedloop.loop import Loop
from closedloop.readings import FLAG_LIGHT, Stream
from closedloop.simulation.animal import Animal
from closedloop.steps import DETECTED

ALWAYS = np.array([[0, 3_600_000_000]])


def seconds(*times: float) -> np.ndarray:
    return np.rint(np.array(times, float) * 1e6).astype(np.int64)


def stream_of(volts: np.ndarray) -> Stream:
    return Stream(readings(volts), round(RATE_HZ * 1000), NANO_UNITS, "made")


def test_each_event_takes_the_earliest_free_detection_within_its_window() -> None:
    onsets = seconds(10, 10.5, 20, 30)
    detections = seconds(9.999, 10.6, 10.7, 21.0, 30.0)
    taken = scoring.match(detections, onsets, 1_000_000)
    assert taken.tolist() == [1, 2, -1, 4]  # the window ends before its last tick; an onset itself is in time


def test_a_second_detection_in_a_window_is_a_false_alarm() -> None:
    found = scoring.score(seconds(10.1, 10.2, 50), seconds(10), ALWAYS, 1.0)
    assert (found.hits, found.events, found.false_alarms) == (1, 1, 2)
    assert found.rate == pytest.approx(2.0)
    assert found.delays_s[0] == pytest.approx(0.1)


def test_time_that_nobody_watched_counts_for_nothing() -> None:
    watched = np.array([[0, 100_000_000], [200_000_000, 300_000_000]])
    found = scoring.score(seconds(10.1, 150, 150.1, 250), seconds(10, 150, 290), watched, 1.0)
    assert (found.events, found.hits, found.false_alarms) == (2, 1, 1)
    assert found.hours == pytest.approx(200 / 3600)


def test_parts_add_up_and_an_event_at_the_seam_keeps_its_detection() -> None:
    detections, onsets = seconds(99, 100.2, 250), seconds(99.9, 240)
    seam = 100_000_000
    parts = [scoring.score(detections, onsets, ALWAYS, 1.0, part) for part in ((0, seam), (seam, 3_600_000_000))]
    assert [(one.hits, one.events, one.false_alarms) for one in parts] == [(1, 1, 1), (0, 1, 1)]
    whole, together = scoring.score(detections, onsets, ALWAYS, 1.0), scoring.pooled(parts)
    assert together.hours == pytest.approx(whole.hours)
    assert together.as_dict()["delay_s"] == whole.as_dict()["delay_s"]
    assert (together.hits, together.events, together.false_alarms) == (whole.hits, whole.events, whole.false_alarms)


@pytest.mark.parametrize("count", [0, 1, 7, 240])
def test_the_poisson_interval_is_exact(count: int) -> None:
    low, high = estimates.poisson_interval(count)
    assert poisson.cdf(count, high) == pytest.approx(0.025)
    assert poisson.sf(count - 1, low) == pytest.approx(0.025 if count else 1.0)


def test_the_wilson_interval_is_the_published_one() -> None:
    assert scoring.wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998, table I
    assert scoring.wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert np.isnan(scoring.wilson(0, 0)).all()


def test_misses_are_censored_in_median_p95_and_restricted_mean() -> None:
    delays = np.array([0.1, 0.2, 0.3, np.nan, np.nan])
    found = scoring.Score(1.0, 1.0, 0, delays, np.ones(5))
    assert found.delay(0.5) == pytest.approx(0.3)  # 60 % by then; of the hits alone it would be 0.2
    assert found.median_of_hits_s == pytest.approx(0.2)
    assert np.isnan(found.delay(0.95))
    assert found.restricted_mean_s == pytest.approx((0.1 + 0.2 + 0.3 + 1 + 1) / 5)


def test_an_event_that_was_followed_for_a_short_time_counts_for_that_time() -> None:
    times, left = scoring.survival(np.array([1.0, 2.0, 2.5, 4.0]), np.array([True, False, True, False]))
    assert times.tolist() == [1.0, 2.5]
    assert left == pytest.approx([3 / 4, 3 / 4 * 1 / 2])  # by hand: one of four, then one of two


def test_random_alarms_hit_as_many_windows_as_chance_says() -> None:
    dice = np.random.default_rng(5)
    alarms = np.sort(dice.integers(0, 360_000_000_000, 20_000))
    onsets = np.arange(2_000_000, 360_000_000_000, 20_000_000)
    always = np.array([[0, 360_000_000_000]])
    found = scoring.score(alarms, onsets, always, 1.0)
    assert found.share == pytest.approx(1 - np.exp(-20_000 / 360_000), rel=0.05)
    assert found.chance == pytest.approx(found.share, rel=0.1)


def test_detections_are_those_of_the_loop_and_batches_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = stream_of(with_events(noise(200), list(np.arange(20.0, 190, 3.7))))
    steps = Loop(plan(), rate_hz=RATE_HZ, nano_units=NANO_UNITS).run(stream.readings)
    at = np.flatnonzero(steps["bits"] & DETECTED)
    assert len(at) > 20
    for batch in (100_000, 977, 1):
        monkeypatch.setattr(detection, "BATCH", batch)
        found = detect(plan(), stream)
        assert found.ticks.tobytes() == stream.readings["ticks"][at].tobytes()
        assert found.scores.tobytes() == steps["score"][at].tobytes()
        assert found.watched.tolist() == [[8_000_000, 200_000_000]]
        assert found.trains == np.count_nonzero(steps["decision"][steps["refused"] == 0])


def test_vetoes_gaps_and_foreign_light_are_not_watched() -> None:
    stream = stream_of(noise(100))
    rows = np.delete(stream.readings, slice(4000, 4500))  # 5 s are missing
    rows["flags"][7000:7100] |= FLAG_LIGHT
    found = detect(plan(), Stream(rows, stream.rate_mhz, NANO_UNITS, "with a gap"))
    assert found.watched.tolist() == [[8_000_000, 40_000_000], [46_000_000, 75_000_000], [76_000_000, 100_000_000]]


def test_an_injected_event_is_multiplied_into_the_light_of_the_led_alone() -> None:
    stream = stream_of(np.full(3000, 1.0))
    stream.readings["signal_dark"] = 20_000
    made = inject(stream, Transient(0.02), np.array([5_003_000]))
    rows = made.readings
    lit = rows["signal_lit"].astype(float) - rows["signal_dark"]
    dff = lit / (stream.readings["signal_lit"] - 20_000.0) - 1
    assert dff.max() == pytest.approx(0.02, abs=2e-5)
    assert rows["ticks"][np.argmax(dff)] / 1e6 == pytest.approx(5.003 + Transient(0.02).peak_s, abs=0.02)
    assert not dff[:501].any()
    for name in ("ticks", "control_lit", "control_dark", "signal_dark", "flags"):
        assert (rows[name] == stream.readings[name]).all()
    assert (inject(stream, Transient(0.0), np.array([5_003_000])).readings == stream.readings).all()


def test_onsets_are_random_seeded_and_apart() -> None:
    stream = stream_of(np.full(round(1000 * RATE_HZ), 1.0))
    onsets = random_onsets(stream, 3, every_s=10.0, apart_s=4.0)
    assert onsets.tolist() == random_onsets(stream, 3, every_s=10.0, apart_s=4.0).tolist()
    assert onsets.tolist() != random_onsets(stream, 4, every_s=10.0, apart_s=4.0).tolist()
    assert np.diff(onsets).min() >= 4_000_000
    assert np.diff(onsets).mean() == pytest.approx(10e6, rel=0.2)
    with pytest.raises(ConfigError, match="too short"):
        random_onsets(stream_of(np.full(200, 1.0)), 3)


def test_the_virtual_animal_says_when_its_events_begin() -> None:
    animal = Animal.model_validate({"preset": "white"})
    stream, onsets = virtual(animal, 0.2, RATE_HZ, 2)
    assert len(stream.readings) == 0.2 * 3600 * RATE_HZ
    assert 20 < len(onsets) < 80  # 4 a minute
    rows: Any = stream.readings
    signal = (rows["signal_lit"].astype(float) - rows["signal_dark"])[: len(rows) // 1]
    after = [signal[round(t / 1e6 * RATE_HZ) :][30:60].mean() / signal[round(t / 1e6 * RATE_HZ) - 20 :][:20].mean()
             for t in onsets[1:-1].tolist()]  # fmt: skip
    assert np.median(after) > 1.01


def test_large_events_in_a_real_recording_are_found_soon(shared_data: Path) -> None:
    stream = formats.read(shared_data / "m17-R-2018-12-12-090409.ppd")
    onsets = random_onsets(stream, 1, every_s=20.0)
    made = inject(stream, Transient(0.1), onsets)
    found = detect(plan(), made)
    result = scoring.score(found.ticks, onsets, found.watched, 1.0)
    without = detect(plan(), stream)
    plainly = scoring.score(without.ticks, onsets, without.watched, 1.0)
    assert result.share > 0.5 > 4 * plainly.share
    assert plainly.share < 3 * plainly.chance
