"""Autoregressive models of a stream and of an array, and what is left of a value after its past has been taken out."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from anchors import anchor
from plans import NANO_UNITS, RATE_HZ, plan, readings
from pydantic import ValidationError
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

from closedloop.anchor import Noise
from closedloop.detectors.cusum import Cusum
from closedloop.errors import ConfigError
from closedloop.features.dff import Dff
from closedloop.features.whiten import Whiten
from closedloop.loop import Loop
from closedloop.model import kernel
from closedloop.online import autoregressive
from closedloop.steps import DETECTED

ORDER = 4
CUSUM = Cusum(threshold=9.0, release=4.5)  # about six false alarms an hour in white noise at 100 readings/s


@cache
def coloured(count: int = 60_000, seed: int = 1) -> np.ndarray:
    """AR(2) noise about 5, with a spectrum that has a hump."""
    white = np.random.default_rng(seed).standard_normal(count + 500)
    return 5 + 0.01 * lfilter([1.0], [1.0, -1.2, 0.5], white)[500:]


@kernel
def _run(value_of: Any, resume: Any, memory: Any, p: Any, x: Any, learn: Any, interrupted: Any, out: Any) -> None:
    for i in range(len(x)):
        if interrupted[i]:
            resume(memory, p)
        out[i] = value_of(memory, p, x[i], np.nan, learn[i])


class Run:
    """One whitening feature with its memory."""

    def __init__(self, feature: Whiten) -> None:
        self.memory = np.zeros(1, feature.memory_type)
        self.p = feature.parameters(RATE_HZ)

    def __call__(self, x: np.ndarray, learn: Any = True, interrupted: Any = False) -> np.ndarray:
        out = np.zeros(len(x))
        flags = [np.broadcast_to(flag, len(x)).copy() for flag in (learn, interrupted)]
        _run(Whiten.value, Whiten.resume, self.memory[0], self.p[0], x.copy(), *flags, out)
        return out

    @property
    def coefficients(self) -> np.ndarray:
        return self.memory["coefficients"][0, :ORDER]


def test_a_fit_solves_the_equations_of_yule_and_walker() -> None:
    x = coloured()
    coefficients, sd = autoregressive.fit(x, ORDER)
    about = x - x.mean()
    lags = np.array([about[: len(x) - lag] @ about[lag:] for lag in range(ORDER + 1)]) / len(x)
    expected = solve_toeplitz(lags[:ORDER], lags[1:])
    np.testing.assert_allclose(coefficients, expected, rtol=1e-8)
    assert sd == pytest.approx(np.sqrt(lags[0] - expected @ lags[1:]), rel=1e-8)
    np.testing.assert_allclose(coefficients, [1.2, -0.5, 0, 0], atol=0.02)


@pytest.mark.parametrize("order", [1, 16, 64])
def test_a_model_of_any_order_is_stable(order: int) -> None:
    x = np.cumsum(np.random.default_rng(2).standard_normal(3000))  # a random walk: hardly stationary
    coefficients, sd = autoregressive.fit(x, order)
    assert np.abs(np.roots([1.0, *-coefficients])).max() < 1
    assert sd > 0


@pytest.mark.parametrize(
    ("x", "order", "said"),
    [
        (np.ones(100), 4, "no noise"),
        (np.arange(8.0), 4, "more than 8 values"),
        (np.full(100, np.nan), 4, "got 0"),
        (np.arange(100.0), 0, "order 1 to 64"),
        (np.arange(100.0), 65, "order 1 to 64"),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_words(x: np.ndarray, order: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        autoregressive.fit(x, order)


def test_no_product_reaches_across_a_gap() -> None:
    x = coloured()[:2000].copy()
    x[1000] = np.nan
    x[1001:] += 3.0  # another level after the gap
    apart = x - np.where(np.arange(2000) > 1000, 3.0, 0.0)
    whole, _ = autoregressive.fit(np.delete(apart, 1000), 1)
    split, _ = autoregressive.fit(apart, 1)
    np.testing.assert_allclose(split, whole, atol=2e-3)
    left = autoregressive.innovations(x, whole)
    assert np.isnan(left[1000:1002]).all()
    assert np.isfinite(left[1002:]).all()


def test_a_stream_gives_the_model_of_the_array_to_the_last_bit() -> None:
    run, x = Run(Whiten(order=ORDER, epoch=30.0)), coloured()
    run(x)
    coefficients, sd = autoregressive.fit(x[:3000], ORDER)
    assert run.coefficients.tolist() == coefficients.tolist()
    assert run.memory["sd"][0] == sd


def test_light_and_what_is_not_to_be_learned_splits_the_stream_as_nan_splits_the_array() -> None:
    x, split = coloured()[:3100], coloured()[:3100].copy()
    learn = np.ones(len(x), bool)
    learn[1000:1100] = False
    split[~learn] = np.nan
    for interrupted in (False, np.arange(len(x)) == 1100):
        run = Run(Whiten(order=ORDER, epoch=30.0))
        run(x, learn, interrupted)
        assert run.coefficients.tolist() == autoregressive.fit(split, ORDER)[0].tolist()


def test_innovations_are_white_and_of_sd_one() -> None:
    out = Run(Whiten(order=ORDER, epoch=100.0))(coloured())
    assert np.isnan(out[:6000]).all()
    known = out[20_000:]
    assert known.std() == pytest.approx(1, abs=0.02)
    assert abs(known.mean()) < 0.1
    for lag in range(1, 20):
        assert abs(np.corrcoef(known[lag:], known[:-lag])[0, 1]) < 0.02


def test_the_model_gets_better_until_the_epoch_is_over_and_then_stays() -> None:
    run, x = Run(Whiten(order=ORDER, epoch=200.0)), coloured()
    seen = []
    for end in (6000, 12_000, 19_999, 20_000, 40_000):
        run(x[run.memory["sums"]["count"][0] : end])
        seen.append(run.coefficients.tolist())
    assert seen[0] != seen[1] == seen[2] != seen[3] == seen[4]


def test_after_an_interruption_it_is_unknown_until_the_past_is_full_again() -> None:
    run, x = Run(Whiten(order=ORDER, epoch=30.0)), coloured()
    run(x[:5000])
    out = run(x[5000:5020], interrupted=np.arange(20) == 5)
    assert np.isfinite(out[:5]).all()
    assert np.isnan(out[5 : 5 + ORDER]).all()
    assert np.isfinite(out[5 + ORDER :]).all()


def test_a_signal_without_noise_gives_no_model_and_one_that_comes_later_does() -> None:
    run = Run(Whiten(order=ORDER, epoch=30.0))
    assert np.isnan(run(np.full(9500, 5.0))).all()
    out = run(coloured())
    assert np.isfinite(out[-1000:]).all()
    assert out[-40_000:].std() == pytest.approx(1, abs=0.1)


def test_what_is_no_number_changes_nothing() -> None:
    run = Run(Whiten(order=ORDER, epoch=30.0))
    run(coloured()[:4000])
    before = run.memory.tobytes()
    assert np.isnan(run(np.array([np.nan, np.inf, -np.inf, 1e200]))).all()
    assert run.memory.tobytes() == before


def test_the_anchors_model_is_there_from_the_first_readings_on() -> None:
    x = coloured()
    coefficients, sd = autoregressive.fit(x, ORDER)
    noise = Noise(rate=RATE_HZ, coefficients=tuple(coefficients), sd=sd)
    feature = Whiten(model="anchor").anchored(anchor(noise=noise))
    out = Run(feature)(x[:5000])
    assert np.isnan(out[:ORDER]).all()
    np.testing.assert_allclose(out[ORDER:], autoregressive.innovations(x[:5000], coefficients)[ORDER:] / sd, rtol=1e-9)
    assert Whiten().anchored(anchor(noise=noise)) == Whiten()  # not asked for
    assert feature.notes(RATE_HZ) == []


def test_a_model_of_another_rate_is_refused_in_words() -> None:
    feature = Whiten(model="anchor").anchored(anchor())
    assert feature.parameters(RATE_HZ * 1.01)["given"]
    with pytest.raises(ConfigError, match="of 100 readings/s, and these come at 130"):
        feature.parameters(130.0)


def test_without_an_anchor_its_model_is_refused_in_words() -> None:
    assert Whiten(model="anchor").needs_anchor
    assert not Whiten(model="anchor").anchored(anchor()).needs_anchor
    with pytest.raises(ConfigError, match="there is no anchor"):
        Whiten(model="anchor").parameters(RATE_HZ)
    assert "there is no anchor" in Whiten(model="anchor").notes(RATE_HZ)[0]
    assert "unknown for 60 s" in Whiten().notes(RATE_HZ)[0]


def test_half_a_model_is_refused() -> None:
    with pytest.raises(ValidationError, match="add what is missing"):
        Whiten(coefficients=(0.5,), sd=1.0)


def test_in_coloured_noise_an_independent_threshold_holds_after_whitening_and_not_before() -> None:
    dice = np.random.default_rng(4)
    noise = lfilter([1.0], [1.0, -0.9], dice.standard_normal(round(2.2 * 3600 * RATE_HZ)))
    rows = readings(1 + 0.002 * noise)
    alarms = {}
    for features in ((Dff(),), (Dff(), Whiten())):
        loop = Loop(plan(features=features, detector=CUSUM), rate_hz=RATE_HZ, nano_units=NANO_UNITS)
        alarms[len(features)] = np.count_nonzero(loop.run(rows)["bits"][-round(2 * 3600 * RATE_HZ) :] & DETECTED)
    assert 3 <= alarms[2] <= 30  # twelve are expected
    assert alarms[1] > 50 * alarms[2]
