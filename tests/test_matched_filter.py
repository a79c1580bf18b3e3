"""The bank of matched filters against plain numpy: whitened templates, sums, model; and what is forgotten."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from anchors import anchor
from driven import drive
from plans import NANO_UNITS, RATE_HZ, plan, readings
from pydantic import ValidationError
from scipy.signal import lfilter

from closedloop.detectors.matched_filter import MatchedFilter
from closedloop.errors import ConfigError
from closedloop.features.dff import Dff
from closedloop.loop import Loop
from closedloop.online import autoregressive
from closedloop.online.templates import transient
from closedloop.steps import DETECTED, PLANNED

LENGTHS = (4, 8, 16, 32, 64)
COEFFICIENTS, SD = (0.6, -0.2, 0.1), 0.004
GIVEN: dict[str, Any] = {"coefficients": COEFFICIENTS, "sd": SD, "rate": RATE_HZ}


class Run:
    """One detector with its memory."""

    def __init__(self, **fields: Any) -> None:
        self.detector = MatchedFilter(**fields)
        self.memory = np.zeros(1, MatchedFilter.memory_type)
        self.p = self.detector.parameters(RATE_HZ)

    def __call__(self, values: np.ndarray, *, learn: bool = True) -> np.ndarray:
        out = np.zeros(len(values))
        parts = MatchedFilter.score, MatchedFilter.follow, MatchedFilter.learn
        drive(*parts, self.memory[0], self.p[0], values, learn, out)
        return out


@cache
def coloured(count: int = 30_000, seed: int = 1) -> np.ndarray:
    white = np.random.default_rng(seed).standard_normal(count + 500)
    return SD * lfilter([1.0], [1.0, *(-one for one in COEFFICIENTS)], white)[500:]


def shape(readings_after: int) -> np.ndarray:
    return transient((np.arange(readings_after) + 0.5) / RATE_HZ, 0.05, 0.5)


def templates() -> list[np.ndarray]:
    """Whitened, of unit norm, oldest first."""
    white = lfilter([1.0, *(-one for one in COEFFICIENTS)], 1.0, shape(64))
    return [white[:n] / np.linalg.norm(white[:n]) for n in LENGTHS]


def sums(values: np.ndarray) -> np.ndarray:
    """Every template's sum at every reading; nan until its window is full."""
    innovations = autoregressive.innovations(values, np.array(COEFFICIENTS)) / SD
    out = np.full((len(LENGTHS), len(values)), np.nan)
    for row, template in zip(out, templates(), strict=True):
        for at in range(len(template) - 1, len(values)):
            row[at] = template @ innovations[at - len(template) + 1 : at + 1]
    return out


def test_the_score_is_the_largest_sum_of_whitened_templates_and_innovations() -> None:
    values = coloured(600)
    scores = Run(leap=1e9, **GIVEN)(values, learn=False)
    everything = sums(values)
    np.testing.assert_allclose(scores[80:], everything[:, 80:].max(axis=0), rtol=1e-9)
    assert np.isnan(scores[:6]).all()  # three readings of past, three of the shortest template
    np.testing.assert_allclose(scores[6:10], everything[0, 6:10], rtol=1e-9)


def test_each_sum_is_in_its_own_scale_and_the_level_is_followed() -> None:
    values, run = 2 * coloured(4000) + 0.001, Run(leap=1e9, scale=5.0, **GIVEN)
    scores = run(values)
    innovations = autoregressive.innovations(values, np.array(COEFFICIENTS)) / SD
    levels = lfilter([1 / 500], [1.0, -(1 - 1 / 500)], values)  # after each reading; foretold from the one before last
    innovations[3:] -= levels[1:-2] * (1 - sum(COEFFICIENTS)) / SD
    square, scored = np.ones(5), 0
    for at in range(3, len(values)):
        now = [t @ innovations[at - len(t) + 1 : at + 1] if at >= 2 + len(t) else np.nan for t in templates()]
        if at >= 6:
            assert scores[at] == pytest.approx(np.nanmax(now / np.sqrt(square)), rel=1e-9)
        if at >= 3 + 63:
            scored += 1
            square += max(1 / (scored + 250), 1 / 500) * (np.minimum(np.square(now), 4 * square) - square)
    np.testing.assert_allclose(run.memory["square"][0], square, rtol=1e-9)
    assert np.sqrt(square) == pytest.approx(np.full(5, 2.0), rel=0.15)


def test_a_transient_alone_gives_the_root_of_its_energy_in_white_noise() -> None:
    quiet = np.concatenate([np.zeros(100), 0.02 * shape(64)])
    scores = Run(leap=1e9, **GIVEN)(quiet, learn=False)
    whitened = lfilter([1.0, *(-one for one in COEFFICIENTS)], 1.0, 0.02 * shape(64)) / SD
    for length in LENGTHS:
        assert scores[99 + length] >= np.linalg.norm(whitened[:length]) * (1 - 1e-9)
    assert scores[-1] == pytest.approx(np.linalg.norm(whitened), rel=1e-9)


def test_the_model_is_that_of_the_first_clean_readings_and_stays() -> None:
    run = Run(epoch=60.0, order=8)
    values = 0.3 + coloured()
    scores = run(values[:20_000])
    assert np.isnan(scores[:6000]).all()
    assert np.isfinite(scores[6010:]).all()
    coefficients, sd = autoregressive.fit(values[:6000], 8)
    np.testing.assert_allclose(run.memory["coefficients"][0, :8], coefficients, rtol=1e-6, atol=1e-9)
    assert run.memory["sd"][0] == pytest.approx(sd, rel=1e-9)
    before = run.memory["coefficients"].tobytes(), run.memory["weights"].tobytes()
    run(5 * values[20_000:])
    assert (run.memory["coefficients"].tobytes(), run.memory["weights"].tobytes()) == before


def test_in_noise_of_the_model_the_score_is_in_sd() -> None:
    scores = Run(epoch=60.0)(coloured())[7000:]
    assert 0.4 < scores.mean() < 1.3  # the largest of five
    assert scores.std() == pytest.approx(0.9, abs=0.15)


def test_a_level_that_moves_is_followed() -> None:
    run = Run(**GIVEN)
    run(coloured() + 0.01)
    assert run.memory["mean"][0] == pytest.approx(0.01, abs=0.001)
    assert abs(run(coloured(seed=2) + 0.01)[3000:].mean() - 0.8) < 0.4


def test_unknown_readings_and_light_leave_no_past() -> None:
    run = Run(**GIVEN)
    run(coloured())
    slow = run.memory["square"].copy()
    assert np.isnan(run(np.array([np.nan]))).all()
    scores = run(coloured(200, seed=3) + 0.05)
    assert np.isnan(scores[:6]).all()
    assert np.isfinite(scores[6:]).all()
    MatchedFilter.resume(run.memory[0], run.p[0])
    assert run.memory["filled"][0] == 0
    assert run.memory["past"]["count"][0] == 0
    assert (run.memory["square"] > 0.5 * slow).all()


def test_an_epoch_without_noise_begins_anew() -> None:
    run = Run(epoch=20.0)
    assert np.isnan(run(np.zeros(10_000))).all()
    assert np.isfinite(run(coloured(10_000))[-1000:]).all()


def test_numbers_that_are_none_have_no_score_and_kill_nothing() -> None:
    run = Run(**GIVEN)
    run(coloured())
    assert np.isnan(run(np.array([np.nan, np.inf, -np.inf, 1e300]))).all()
    assert np.isfinite(run(coloured(300, seed=2))[6:]).all()


# ---- in the loop


def steps(values: np.ndarray, detector: MatchedFilter) -> Any:
    of = plan(features=(Dff(baseline=60.0),), detector=detector, warm_up_s=1e6)
    return Loop(of, rate_hz=RATE_HZ, nano_units=NANO_UNITS).run(readings(1 + values))


def detections(of: Any) -> np.ndarray:
    return np.flatnonzero(of["bits"] & DETECTED)


def test_transients_are_found_soon_and_wild_readings_are_none() -> None:
    values, at = coloured().copy(), np.arange(14_000, 29_000, 700)
    alone = len(detections(steps(values, MatchedFilter())))
    for begin in at:
        values[begin : begin + 300] += 0.04 * transient((np.arange(300) + 0.5) / RATE_HZ, 0.05, 0.5)
    found = detections(steps(values, MatchedFilter()))
    delays = [np.min(found[found >= begin], initial=10**9) - begin for begin in at]
    assert np.median(delays) <= 8  # 80 ms
    assert np.mean(np.array(delays) < 30) > 0.95
    wild = coloured().copy()
    wild[at] += 0.2  # 50 SD
    assert len(detections(steps(wild, MatchedFilter()))) <= alone + 1


def test_our_own_light_and_its_artefact_are_no_transient() -> None:
    rows, at = readings(1 + coloured()), 20_000
    rows["signal_lit"][at + 1 : at + 55] *= 5  # within the 200 ms of light and 500 ms of recovery
    of = plan(detector=MatchedFilter(), features=(Dff(baseline=60.0),))
    loop = Loop(of, rate_hz=RATE_HZ, nano_units=NANO_UNITS)
    loop.run(rows[:at])
    loop.ask_test_pulse()
    after = loop.run(rows[at : at + 1000])
    own = int(np.flatnonzero(after["bits"] & PLANNED).max())
    assert own >= 55
    assert not len(detections(after[: own + 300]))
    assert np.isnan(after["score"][own + 1 : own + 17]).all()
    assert np.isfinite(after["score"][own + 25 :]).all()


# ---- settings


def test_the_model_of_an_anchor_is_there_from_the_start() -> None:
    asked = MatchedFilter(model="anchor")
    assert asked.needs_anchor
    with pytest.raises(ConfigError, match="there is no anchor"):
        asked.parameters(RATE_HZ)
    made = asked.anchored(anchor())
    assert not made.needs_anchor
    assert made.parameters(RATE_HZ)["order"][0] == 2
    assert np.isfinite(Run(**made.model_dump())(coloured())[6:]).all()
    with pytest.raises(ConfigError, match="come at 130;"):
        made.parameters(130.0)
    assert MatchedFilter().anchored(anchor()) == MatchedFilter()


def test_half_a_model_and_kinetics_that_are_none_are_refused() -> None:
    with pytest.raises(ValidationError, match="needs coefficients, sd and rate"):
        MatchedFilter(sd=0.1)
    with pytest.raises(ValidationError, match="shorten rise"):
        MatchedFilter(rise=1.0)
    with pytest.raises(ValidationError):
        MatchedFilter(order=65)


def test_notes_say_what_the_templates_are_in_time() -> None:
    assert "30.8 to 492 ms" in MatchedFilter().notes(130.0)[0]
    assert "unknown for 120 s" in MatchedFilter().notes(130.0)[1]
    assert len(MatchedFilter(**GIVEN).notes(100.0)) == 1
    assert "onset is the better" in MatchedFilter().notes(10.0)[-1]
    assert "end before" in MatchedFilter().notes(2000.0)[-1]
