"""Evidence that adds up: what a threshold is worth in false alarms, how soon a shift is found, what is forgotten."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from plans import NANO_UNITS, RATE_HZ, plan, readings
from pydantic import ValidationError

from closedloop.detectors.cusum import Cusum, readings_between_alarms, threshold_for
from closedloop.features.dff import Dff
from closedloop.loop import Loop
from closedloop.model import kernel
from closedloop.quality import Quality
from closedloop.steps import DETECTED, HIGH

KNOWN = {"mean": 0.0, "sd": 1.0}


@kernel
def _run(score_of: Any, follow: Any, learn: Any, memory: Any, p: Any, values: Any, out: Any) -> None:
    for i in range(len(values)):
        out[i] = score_of(memory, p, values[i])
        follow(memory, p, values[i])
        learn(memory, p, values[i])


@kernel
def _alarms(score_of: Any, follow: Any, resume: Any, memory: Any, p: Any, threshold: float, values: Any) -> int:
    """False alarms, each followed by a new start."""
    count = 0
    for value in values:
        if score_of(memory, p, value) >= threshold:
            count += 1
            resume(memory, p)
        else:
            follow(memory, p, value)
    return count


class Run:
    """One CUSUM with its memory."""

    def __init__(self, **fields: Any) -> None:
        self.detector = Cusum(**fields)
        self.memory = np.zeros(1, Cusum.memory_type)
        self.p = self.detector.parameters(RATE_HZ)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        out = np.zeros(len(values))
        _run(Cusum.score, Cusum.follow, Cusum.learn, self.memory[0], self.p[0], values, out)
        return out

    def shown(self, name: str) -> float:
        return float(Cusum.shown[name](self.memory[0], self.p[0]))


def white(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(count)


@pytest.mark.parametrize("shift", [0.5, 1.0])
def test_the_formula_says_how_many_false_alarms_there_are(shift: float) -> None:
    run = Run(shift=shift, false_alarms=1.0, **KNOWN)  # one a minute
    threshold = run.detector.crossing(RATE_HZ)["threshold"][0]
    values = white(6_000_000)  # a thousand minutes
    count = _alarms(Cusum.score, Cusum.follow, Cusum.resume, run.memory[0], run.p[0], threshold, values)
    assert count == pytest.approx(1000, rel=0.1)  # the count itself is known within 6 %


@pytest.mark.parametrize("shift", [0.2, 1.0, 3.0])
def test_the_threshold_of_a_rate_has_that_rate(shift: float) -> None:
    for wanted in (6000.0, 468_000.0, 1e8):
        assert readings_between_alarms(threshold_for(wanted, shift), shift) == pytest.approx(wanted, rel=1e-6)


def test_the_bounds_of_a_rate_are_those_of_the_loop_and_are_said() -> None:
    detector = Cusum(shift=0.5, false_alarms="1 /h")
    made = detector.crossing(130.0)
    assert made["threshold"] == pytest.approx(10.394, abs=0.001)
    assert made["release"] == pytest.approx(made["threshold"] / 2)
    assert "threshold 10.4" in detector.notes(130.0)[0]
    assert "1 /h false alarms" in detector.notes(130.0)[0]
    assert Cusum(threshold=7.0, release=3.0).crossing(130.0)["threshold"] == 7.0


def test_the_score_is_the_sum_of_log_likelihood_ratios_and_never_below_nothing() -> None:
    values = white(1000)
    scores = Run(shift=0.5, threshold=1000.0, **KNOWN)(values)
    total, expected = 0.0, []
    for value in values:
        total = max(0.0, total + 0.5 * value - 0.125)  # ln of N(0.5, 1) over N(0, 1)
        expected.append(total)
    np.testing.assert_allclose(scores, expected, atol=1e-9)


def test_down_finds_what_up_does_not() -> None:
    values = np.concatenate([white(500), white(200) - 1.0])
    up, down = (Run(direction=direction, **KNOWN)(values) for direction in ("up", "down"))
    assert down[500:].max() > 20
    assert up[500:].max() < 5
    np.testing.assert_allclose(up, Run(direction="down", **KNOWN)(-values))


def test_the_baseline_is_that_of_the_noise() -> None:
    run = Run(baseline=300.0)
    assert np.isnan(run.shown("baseline_mean"))
    scores = run(3.0 + 0.2 * white(200_000))
    assert np.isnan(scores[:6000]).all()
    assert np.isfinite(scores[6000:]).all()
    assert run.shown("baseline_mean") == pytest.approx(3.0, abs=0.2 * 0.015)
    assert run.shown("baseline_sd") == pytest.approx(0.2, rel=0.02)


def test_a_few_transients_hardly_move_the_baseline() -> None:
    values = white(200_000)
    values[::50] += 20.0  # two in a hundred: the plain mean would be 0.4 and the SD 3
    run = Run(baseline=300.0)
    run(values)
    assert abs(run.shown("baseline_mean")) < 0.06
    assert run.shown("baseline_sd") == pytest.approx(1.0, abs=0.06)


def test_a_wild_start_is_forgotten() -> None:
    run = Run(baseline=100.0)
    run(np.concatenate([[60.0], white(100_000)]))  # what stands out farther is vetoed
    assert abs(run.shown("baseline_mean")) < 0.05
    assert run.shown("baseline_sd") == pytest.approx(1.0, abs=0.05)


def test_a_given_baseline_is_known_at_once_and_not_learned() -> None:
    run = Run(**KNOWN)
    assert np.isfinite(run(white(10) + 5)).all()
    assert (run.shown("baseline_mean"), run.shown("baseline_sd")) == (0.0, 1.0)


def test_evidence_is_kept_to_twice_the_threshold_so_that_it_ends() -> None:
    run = Run(shift=1.0, threshold=10.0, release=5.0, **KNOWN)
    run(np.full(5000, 2.0))
    assert run.memory["evidence"][0] == 20.0
    after = run(white(200))
    assert np.argmax(after < 5.0) == pytest.approx(15 / 0.5, abs=15)


def test_light_or_a_veto_leaves_no_evidence() -> None:
    run = Run(**KNOWN)
    run(np.full(10, 3.0))
    assert run.memory["evidence"][0] > 0
    baseline = run.memory["mean"].copy(), run.memory["count"].copy()
    Cusum.resume(run.memory[0], run.p[0])
    assert run.memory["evidence"][0] == 0
    assert (run.memory["mean"], run.memory["count"]) == baseline


def test_what_is_no_number_scores_nan_and_changes_nothing() -> None:
    run = Run()
    run(white(10_000))
    before = run.memory.tobytes()
    assert np.isnan(run(np.array([np.nan, np.inf, -np.inf, 1e200]))).all()
    assert run.memory.tobytes() == before


def test_a_constant_signal_has_no_score() -> None:
    assert np.isnan(Run()(np.full(10_000, 2.0))).all()


def test_a_shift_and_a_direction_that_are_none_are_refused() -> None:
    with pytest.raises(ValidationError):
        Cusum(shift=0.0)
    with pytest.raises(ValidationError):
        Cusum(direction="both")
    with pytest.raises(ValidationError, match="lower release"):
        Cusum(threshold=3.0)


# ---- in the loop


def steps(sigmas: np.ndarray, detector: Cusum) -> np.ndarray:
    """A loop over noise in SD about 1 V, 0.5 % each; nothing is given, so that nothing but the detector acts."""
    of = plan(features=(Dff(),), detector=detector, warm_up_s=1e6, quality=Quality(settle=1.0))
    return Loop(of, rate_hz=RATE_HZ, nano_units=NANO_UNITS).run(readings(1 + 0.005 * sigmas))


def test_a_shift_of_one_sd_is_found_nearly_as_soon_as_can_be() -> None:
    sigmas, begins = white(600_000), np.arange(60_000, 590_000, 5000)
    for at in begins:
        sigmas[at : at + 150] += 1.0
    found = steps(sigmas, Cusum(false_alarms="1 /h"))
    exact = Run(shift=1.0, false_alarms="1 /h", **KNOWN)(sigmas)  # mean and SD known
    threshold = found["threshold"][0]
    mine = [np.argmax(found["bits"][at : at + 150] & DETECTED > 0) + 1 for at in begins]
    theirs = [np.argmax(exact[at : at + 150] >= threshold) + 1 for at in begins]
    assert all(found["bits"][at : at + 150].max() & DETECTED for at in begins)
    assert np.mean(theirs) > 0.9 * np.mean(mine)
    assert np.mean(mine) == pytest.approx(22, abs=4)  # ln(ARL KL) - 1 over KL, at 100 readings a second


def test_a_shift_does_not_become_the_baseline_while_it_is_held() -> None:
    sigmas = white(30_000)
    sigmas[20_000:20_900] += 3.0
    found = steps(sigmas, Cusum(hold=10.0))
    (begins,) = np.nonzero(found["bits"] & DETECTED)
    (begin,) = begins[begins > 19_000]
    assert 20_000 <= begin < 20_050
    assert len(set(found["baseline_mean"][begin + 1 : 20_900])) == 1
    over = begin + np.argmax(found["bits"][begin:] & HIGH == 0)
    assert 20_900 < over < 21_000
