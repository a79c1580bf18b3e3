"""Transients: one begins once, ends once, and its height is its peak."""

from __future__ import annotations

import numpy as np
import pytest

from closedloop.online.events import busy_share, events_in

RATE_HZ = 100.0


def found(values: np.ndarray, clean: np.ndarray | None = None, **settings: float) -> tuple[list[int], list[float]]:
    settings = {"size": 0.1, "release": 0.05} | settings
    clean = np.ones(len(values), bool) if clean is None else clean
    onsets, peaks = events_in(values, clean, RATE_HZ, **settings)
    return onsets.tolist(), peaks.tolist()


def test_an_event_begins_at_size_and_is_over_below_release() -> None:
    values = np.array([0.0, 0.09, 0.1, 0.3, 0.06, 0.1, 0.05, 0.04, 0.1, 0.0])
    assert found(values) == ([2, 8], [0.3, 0.1])


def test_an_event_on_the_tail_of_another_is_counted_and_its_height_is_its_own() -> None:
    values = np.array([0.0, 0.2, 0.5, 0.3, 0.25, 0.3, 0.4, 0.55, 0.3, 0.0])
    onsets, peaks = found(values)
    assert onsets == [1, 6]
    np.testing.assert_allclose(peaks, [0.5, 0.3])


def test_a_dip_smaller_than_an_event_does_not_make_two_of_one() -> None:
    assert found(np.array([0.0, 0.2, 0.13, 0.2, 0.5, 0.45, 0.5, 0.6, 0.0])) == ([1], [0.6])


def test_the_share_of_time_in_which_none_can_begin_is_told() -> None:
    values = np.zeros(1000)
    values[100:200] = 0.2
    assert busy_share(values, np.ones(1000, bool), RATE_HZ, 0.1, 0.05) == pytest.approx(0.1, abs=0.002)


def test_what_is_up_from_the_start_has_no_onset() -> None:
    assert found(np.array([0.2, 0.3, 0.07, 0.2, 0.0, 0.2, 0.0])) == ([5], [0.2])


def test_a_step_of_the_baseline_is_counted_once_and_has_no_height() -> None:
    values = np.zeros(5000)
    values[1000:] = 0.2
    values[4000:] = 0.0
    values[4500:4510] = 0.4
    onsets, peaks = found(values)
    assert onsets == [1000, 4500]
    assert np.isnan(peaks[0])
    assert peaks[1] == 0.4


def test_an_event_that_light_cuts_off_has_no_height_and_none_is_made_of_its_rest() -> None:
    values = np.array([0.0, 0.2, 0.9, 0.2, 0.2, 0.0, 0.2, 0.0])
    clean = np.ones(len(values), bool)
    clean[2] = False
    onsets, peaks = found(values, clean)
    assert onsets == [1, 6]
    assert np.isnan(peaks[0])
    assert peaks[1] == 0.2


def test_nan_is_left_out_like_what_is_not_clean() -> None:
    assert found(np.array([0.0, np.nan, 0.2, 0.0, 0.2, 0.0])) == ([4], [0.2])


def test_no_values_no_events() -> None:
    assert found(np.zeros(0)) == ([], [])


def test_a_release_above_size_is_refused_with_words() -> None:
    with pytest.raises(ValueError, match="lower release"):
        events_in(np.zeros(3), np.ones(3, bool), RATE_HZ, 0.1, 0.2)


def test_events_of_known_onset_are_all_found_in_noise() -> None:
    dice = np.random.default_rng(1)
    at = np.arange(500, 60_000, 700)
    values = 0.003 * dice.standard_normal(61_000)
    kernel = np.exp(-np.arange(200) / 40) * (1 - np.exp(-np.arange(200) / 5))
    heights = 0.1 * np.exp(0.2 * dice.standard_normal(len(at)))
    for onset, height in zip(at, heights, strict=True):
        values[onset : onset + 200] += height * kernel / kernel.max()
    onsets, peaks = events_in(values, np.ones(len(values), bool), RATE_HZ, 0.03, 0.01)
    assert len(onsets) == len(at)
    assert (np.abs(onsets - at) <= 12).all()
    np.testing.assert_allclose(peaks, heights, rtol=0.2)
