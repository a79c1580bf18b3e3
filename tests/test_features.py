"""Each feature against plain numpy, what it does after light and garbage, and chains of them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anchors import anchor
from plans import NANO_UNITS, plan, readings
from scipy.signal import butter, lfilter, lfilter_zi

from closedloop import chain, features, formats
from closedloop.detectors.difference import Difference as DifferenceDetector
from closedloop.features import Feature
from closedloop.features.despike import Despike
from closedloop.features.dff import Dff
from closedloop.features.difference import Difference
from closedloop.features.isosbestic import Isosbestic
from closedloop.features.lowpass import Lowpass
from closedloop.features.ratio import Ratio
from closedloop.loop import Loop
from closedloop.model import kernel, kinds
from closedloop.online import robust, windows
from closedloop.quality import Quality
from closedloop.readings import FLAG_LIGHT, FLAG_NO_CONTROL, scale_of

RATE_HZ = 100.0
ALL = [pytest.param(part, id=name) for name, part in kinds(features).items()]


@lru_cache(maxsize=64)
def driver(value: Any) -> Any:
    """The kernel of one chain over arrays, compiled."""

    @kernel
    def run(memory: Any, p: Any, signal: Any, control: Any, learn: bool, out: Any) -> None:
        for at in range(len(signal)):
            out[at] = value(memory[0], p[0], signal[at], control[at], learn)

    return run


class Run:
    """A chain with its memory, fed in pieces."""

    def __init__(self, *parts: Feature, rate_hz: float = RATE_HZ) -> None:
        self.parts = parts
        self.chain = chain.chain(parts)
        self.memory = np.zeros(1, chain.memory_of(parts))
        self.p = chain.parameters_of(parts, rate_hz)

    def __call__(self, signal: np.ndarray, control: np.ndarray | None = None, learn: bool = True) -> np.ndarray:
        signal = np.asarray(signal, float)
        control = np.full(len(signal), np.nan) if control is None else np.asarray(control, float)
        out = np.empty(len(signal))
        driver(self.chain.value)(self.memory, self.p, signal, control, learn, out)
        return out

    def of(self, at: int) -> tuple[Any, Any]:
        """Memory and parameters of one feature of the chain."""
        name = (self.memory.dtype.names or ())[at]
        return self.memory[0][name], self.p[0][name]

    def resume(self) -> None:
        for at, part in enumerate(self.parts):
            part.resume(*self.of(at))

    def shown(self, name: str) -> float:
        return float(type(self.parts[0]).shown[name](*self.of(0)))

    def copy(self) -> Run:
        other = Run(*self.parts)
        other.memory, other.p = self.memory.copy(), self.p
        return other


def light(seconds: float, seed: int = 1, rate_hz: float = RATE_HZ) -> tuple[np.ndarray, np.ndarray]:
    """Signal and control that share slow movements, each with noise of its own."""
    random = np.random.default_rng(seed)
    n = round(seconds * rate_hz)
    shared = lfilter([0.02], [1, -0.98], random.standard_normal(n)) * 0.1
    signal = 1 + 0.6 * shared + 0.004 * random.uniform(-1, 1, n)
    control = 0.5 * (1 + shared + 0.002 * random.uniform(-1, 1, n))
    return signal, control


def running_mean(x: np.ndarray, full: int) -> np.ndarray:
    """Before each value: the plain mean of all before, and from `full` on an exponential one."""
    plain = np.cumsum(x[:full]) / np.arange(1, full + 1)
    a = 1 / full
    later = lfilter([a], [1, a - 1], x[full:], zi=[plain[-1] * (1 - a)])[0]
    return np.concatenate([[np.nan], plain, later])[:-1]


# Each against plain numpy


def test_dff_is_the_change_from_a_plain_and_then_exponential_mean() -> None:
    signal, _ = light(60)
    f0 = running_mean(signal, 1000)
    expected = signal / f0 - 1
    expected[:100] = np.nan
    np.testing.assert_allclose(Run(Dff(baseline=10.0))(signal), expected, rtol=1e-9, atol=1e-13)


def test_lowpass_is_a_butterworth_of_second_order_begun_at_rest() -> None:
    signal, _ = light(20)
    b, a = butter(2, 5.0, fs=RATE_HZ)
    expected = lfilter(b, a, signal, zi=lfilter_zi(b, a) * signal[0])[0]
    expected[:20] = np.nan  # 1 / cutoff
    np.testing.assert_allclose(Run(Lowpass(cutoff=5.0))(signal), expected, rtol=1e-9)


def test_ratio_is_the_log_of_the_channels_above_their_dark_offsets() -> None:
    signal, control = light(5)
    got = Run(Ratio(signal_dark=0.1, control_dark=0.05))(signal, control)
    np.testing.assert_allclose(got, np.log((signal - 0.1) / (control - 0.05)), rtol=1e-12)


@pytest.mark.parametrize("readings_each", [1, 2, 7, 10, 512])
def test_difference_is_that_of_the_means_of_two_adjacent_windows(readings_each: int) -> None:
    signal, _ = light(60)
    view = np.lib.stride_tricks.sliding_window_view(signal, 2 * readings_each)
    expected = view[:, readings_each:].mean(axis=1) - view[:, :readings_each].mean(axis=1)
    got = Run(Difference(window=readings_each / RATE_HZ))(signal)
    assert np.isnan(got[: 2 * readings_each - 1]).all()
    np.testing.assert_allclose(got[2 * readings_each - 1 :], expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("width", [3, 5])
def test_despike_is_a_running_median(width: int) -> None:
    signal = np.random.default_rng(4).integers(0, 6, 2000).astype(float)  # many are equal
    expected = np.median(np.lib.stride_tricks.sliding_window_view(signal, width), axis=1)
    got = Run(Despike(width=width))(signal)
    assert np.isnan(got[: width - 1]).all()
    np.testing.assert_array_equal(got[width - 1 :], expected)


def test_isosbestic_is_weighted_least_squares_where_nothing_is_left_out() -> None:
    rate_hz, epoch, full = 10.0, 300, 200
    random = np.random.default_rng(6)  # uniform noise has no outliers
    shared, own = 0.02 * random.uniform(-1, 1, 1200), 0.004 * random.uniform(-1, 1, 1200)
    signal, control = 2 * (1 + 0.6 * shared + own), 0.5 * (1 + shared)
    run = Run(Isosbestic(baseline=full / rate_hz, epoch=epoch / rate_hz), rate_hz=rate_hz)
    x = signal / running_mean(signal, full) - 1
    y = control / running_mean(control, full) - 1
    start = 10  # one second, from which on the baselines are known
    weights = np.zeros(0)
    got, expected = run(signal[:start], control[:start]), []
    for at in range(start, 1200):
        slope = 0.0
        if at > start + 1:
            w = np.sqrt(weights)
            design = np.stack([y[start:at], np.ones(at - start)], axis=1)
            slope = float(np.linalg.lstsq(design * w[:, None], x[start:at] * w, rcond=None)[0][0])
        slope = min(max(slope, 0.0), 2.0)
        if at > start + 1:
            assert run.shown("isosbestic_slope") == pytest.approx(slope, rel=1e-6, abs=1e-9)
        expected.append((x[at] - slope * y[at]) / (1 + slope * y[at]))
        got = np.append(got, run(signal[at : at + 1], control[at : at + 1]))
        gain = max(1 / (len(weights) + 1), 1 / epoch)
        weights = np.append(weights * (1 - gain), gain)
    assert np.isnan(got[:start]).all()
    np.testing.assert_allclose(got[start:], expected, rtol=1e-6, atol=1e-12)
    correlation = np.corrcoef(x[-600:], y[-600:])[0, 1]
    assert run.shown("isosbestic_r") == pytest.approx(correlation, abs=0.02)


# The control channel


def test_isosbestic_takes_out_what_both_channels_share() -> None:
    signal, control = light(300)
    own = 0.004 / np.sqrt(3)  # SD of the signal's uniform noise, which no control knows of
    corrected = Run(Isosbestic())(signal, control)[15_000:]
    plain = Run(Dff())(signal)[15_000:]
    assert 0.95 * own < corrected.std() < 1.3 * own
    assert plain.std() > 2 * corrected.std()


def test_wild_readings_do_not_bend_the_slope() -> None:
    signal, control = light(300)
    steady = Run(Isosbestic())
    steady(signal, control)
    random = np.random.default_rng(8)
    wild_signal, wild_control = signal.copy(), control.copy()
    at = random.choice(np.arange(700, 30_000), 300, replace=False)  # one reading in a hundred
    wild_signal[at[:200]] *= 1.8
    wild_control[at[100:]] *= 0.4
    shaken = Run(Isosbestic())
    shaken(wild_signal, wild_control)
    assert steady.shown("isosbestic_slope") == pytest.approx(0.6, rel=0.1)
    assert shaken.shown("isosbestic_slope") == pytest.approx(steady.shown("isosbestic_slope"), rel=0.1)


def test_a_wrong_signed_control_is_left_out_and_not_mirrored() -> None:
    signal, control = light(120)
    mirrored = 1 - control
    run = Run(Isosbestic())
    got = run(signal, mirrored)
    off = Run(Isosbestic(mode="off"))(signal, mirrored)
    assert run.shown("isosbestic_slope") == 0.0
    assert run.shown("isosbestic_r") < -0.5
    np.testing.assert_allclose(got[3000:], off[3000:], rtol=0, atol=1e-15)


def test_the_slope_is_clamped_to_the_steepest() -> None:
    _, control = light(120)
    signal = 1 + 5 * (control / 0.5 - 1)
    run = Run(Isosbestic(steepest=1.5))
    run(signal, control)
    assert run.shown("isosbestic_slope") == 1.5
    assert run.shown("isosbestic_r") > 0.95


def test_what_is_shown_is_nan_while_unknown_and_without_a_control() -> None:
    signal, control = light(60)
    for run in (Run(Isosbestic()), Run(Isosbestic(mode="off"))):
        run(signal[:50] if run.parts[0].needs_control else signal, control)
        assert np.isnan([run.shown("isosbestic_slope"), run.shown("isosbestic_r")]).all()


def m17(shared_data: Path) -> tuple[np.ndarray, np.ndarray, float]:
    stream = formats.read(shared_data / "m17-R-2018-12-12-090409.ppd")
    rows, scale = stream.readings, scale_of(stream.nano_units)
    signal = (rows["signal_lit"].astype(float) - rows["signal_dark"]) * scale
    return signal, (rows["control_lit"].astype(float) - rows["control_dark"]) * scale, stream.rate_hz


def test_a_fixed_slope_stands_still_after_its_epoch_on_a_real_recording(shared_data: Path) -> None:
    signal, control, rate_hz = m17(shared_data)
    fixed = Run(Isosbestic(mode="fixed", epoch=120.0), rate_hz=rate_hz)
    end = round(121 * rate_hz)  # one second of baseline, then the epoch
    slopes = []
    for at in range(0, end, 1300):
        fixed(signal[at : min(at + 1300, end)], control[at : min(at + 1300, end)])
        slopes.append(fixed.shown("isosbestic_slope"))
    assert len(set(slopes)) > 5  # it learns
    last = fixed.shown("isosbestic_slope")
    assert 0 <= last <= 2
    fixed(signal[end:], control[end:])
    assert fixed.shown("isosbestic_slope") == last


def test_a_drug_step_after_the_epoch_does_not_bend_a_fixed_slope(shared_data: Path) -> None:
    signal, control, rate_hz = m17(shared_data)
    step = round(600 * rate_hz)
    drug = signal.copy()
    drug[step:] *= 1.2 + 0.05 * np.linspace(0, 1, len(drug) - step)
    plain, after = (Run(Isosbestic(mode="fixed"), rate_hz=rate_hz) for _ in range(2))
    a, b = plain(signal, control), after(drug, control)
    assert after.shown("isosbestic_slope") == plain.shown("isosbestic_slope")
    late = step + round(400 * rate_hz)  # the baseline has followed
    assert np.corrcoef(a[late:], b[late:])[0, 1] > 0.99
    assert b[step : step + 130].mean() > 0.15  # what the drug does is seen


def test_a_tonic_shift_and_lost_coupling_are_kept_apart_by_the_ratio_alone() -> None:
    signal, control = light(900)
    shifted, dimmed = 1.1 * signal * 0.8, control * 0.8  # +10 % of activity, 20 % of the light lost
    before = Run(Ratio(signal_dark=0.1, control_dark=0.02))(signal + 0.1, control + 0.02)
    now = Run(Ratio(signal_dark=0.1, control_dark=0.02))(shifted + 0.1, dimmed + 0.02)
    assert now.mean() - before.mean() == pytest.approx(np.log(1.1), rel=1e-6)
    for part in (Dff(), Isosbestic()):
        one, other = Run(part)(signal, control)[60_000:], Run(part)(shifted, dimmed)[60_000:]
        assert abs(one.mean() - other.mean()) < 0.001  # a session's own baseline takes the shift out


def test_open_dark_offsets_come_from_the_anchor_and_are_0_without_one() -> None:
    usual = anchor().photometry
    reference = anchor(photometry=usual.model_copy(update={"signal_dark": 0.1, "control_dark": 0.05}))
    assert Ratio().anchored(reference) == Ratio(signal_dark=0.1, control_dark=0.05)
    assert Ratio(signal_dark=0.0).anchored(reference) == Ratio(signal_dark=0.0, control_dark=0.05)
    assert Run(Ratio())(np.array([2.0]), np.array([1.0]))[0] == pytest.approx(np.log(2))
    assert "no signal_dark and no control_dark" in Ratio().notes(RATE_HZ)[0]
    assert Ratio().anchored(reference).notes(RATE_HZ) == []


# Windows


@pytest.mark.parametrize(("window", "used"), [(0.001, "1 is used (10 ms)"), (6.0, "512 are used (5.12e+03 ms)")])
def test_a_window_that_cannot_be_is_told(window: float, used: str) -> None:
    for part in (Difference(window=window), DifferenceDetector(window=window)):
        assert used in part.notes(RATE_HZ)[0]
    assert Difference(window=0.1).notes(RATE_HZ) == Difference(window=5.12).notes(RATE_HZ) == []


def test_what_left_the_windows_left_no_trace() -> None:
    signal, _ = light(10)
    wild = signal.copy()
    wild[300:310] = 1e30
    clean, shaken = Run(Difference())(signal), Run(Difference())(wild)
    np.testing.assert_array_equal(shaken[330:], clean[330:])


def test_a_constant_has_no_difference_at_all() -> None:
    steps = np.concatenate([np.full(200, 0.3), np.full(200, 0.1)])
    got = Run(Difference(window=0.13))(steps)
    assert not got[25:200].any()
    assert not got[230:].any()


def test_a_day_does_not_wear_the_sums_out() -> None:
    signal, _ = light(100)
    day = np.tile(signal, 864)
    run = Run(Difference())
    got = run(day)
    np.testing.assert_allclose(got[-5000:], got[5000:10_000], rtol=0, atol=1e-14)


# Freezing and resuming


@pytest.mark.parametrize("kind", ALL)
def test_nothing_seen_without_learning_is_remembered_after_a_resume(kind: type[Feature]) -> None:
    signal, control = light(200)
    run = Run(kind())
    run(signal, control)
    frozen = run.copy()
    frozen(1.5 * signal[:1000], 0.7 * control[:1000], learn=False)
    for one in (run, frozen):
        one.resume()
    calm, shaken = (one(signal[:3000], control[:3000], learn=False) for one in (run, frozen))
    np.testing.assert_allclose(shaken, calm, rtol=0, atol=1e-12)
    assert np.isfinite(calm[-1000:]).all()


@pytest.mark.parametrize("part", [Dff(), Isosbestic(), Isosbestic(mode="fixed"), Isosbestic(mode="off"), Ratio()])
def test_a_memory_that_is_all_baseline_is_not_touched_without_learning(part: Feature) -> None:
    signal, control = light(60)
    run = Run(part)
    for _ in range(2):
        before = run.memory.tobytes()
        run(1.3 * signal, control, learn=False)
        assert run.memory.tobytes() == before
        run(signal, control)


@pytest.mark.parametrize(
    ("part", "blind"), [(Difference(window=0.1), 19), (Despike(width=5), 4), (Lowpass(cutoff=4.0), 25)]
)
def test_a_resumed_window_knows_nothing_until_it_is_full_of_clean_readings(part: Feature, blind: int) -> None:
    signal, _ = light(10)
    run, fresh = Run(part), Run(part)
    run(50 * signal)
    run.resume()
    got = run(signal)
    assert np.isnan(got[:blind]).all()
    assert np.isfinite(got[blind:]).all()
    np.testing.assert_array_equal(got, fresh(signal))


def test_the_first_values_after_a_resume_are_no_noisier_than_the_others() -> None:
    noise = np.random.default_rng(3).standard_normal(400_000)
    run = Run(Lowpass(cutoff=5.0))
    usual = np.nanstd(run(noise))
    firsts = []
    for at in range(0, len(noise), 400):
        run.resume()
        firsts.append(run(noise[at : at + 40])[20])
    assert np.std(firsts) < 1.1 * usual


def in_loop(parts: tuple[Feature, ...], rows: np.ndarray) -> Any:
    steps = plan(features=parts, quality=Quality(settle=1.0, largest_step=5.0))
    return Loop(steps, rate_hz=RATE_HZ, nano_units=NANO_UNITS).run(rows)


def test_own_light_leaves_nothing_in_the_windows() -> None:
    signal, control = light(40)
    lit = signal.copy()
    lit[2000:2050] *= 2.5
    rows, clean = readings(lit, control), readings(signal, control)
    for one in (rows, clean):
        one["flags"][2000:2050] |= FLAG_LIGHT
    parts = (Despike(), Difference())
    with_artefact, without = in_loop(parts, rows)["feature"], in_loop(parts, clean)["feature"]
    assert np.nanmax(np.abs(with_artefact[2000:2050])) > 1  # it is shown while it is there
    over = 2049 + round(0.5 * RATE_HZ)  # the recovery counts from the last lit reading
    np.testing.assert_array_equal(with_artefact[over:], without[over:])
    assert np.isnan(with_artefact[over : over + 21]).all()  # 2 of the median, 19 of the windows
    assert np.isfinite(with_artefact[over + 21 :]).all()


def test_slope_and_correlation_are_columns_of_a_step_and_stand_still_under_own_light() -> None:
    signal, control = light(60)
    rows = readings(signal, control)
    rows["flags"][4000:4500] |= FLAG_LIGHT
    steps = in_loop((Isosbestic(),), rows)
    for name in ("isosbestic_slope", "isosbestic_r"):
        assert np.isnan(steps[name][:100]).all()
        assert len(np.unique(steps[name][4000:4500])) == 1
        assert len(np.unique(steps[name][3000:4000])) > 500
    assert steps["isosbestic_slope"][-1] == pytest.approx(0.6, rel=0.15)


def test_a_ratio_without_a_control_is_unknown_and_never_acted_on() -> None:
    signal, control = light(30)
    rows = readings(signal, control)
    rows["flags"] |= FLAG_NO_CONTROL
    steps = in_loop((Ratio(),), rows)
    assert np.isnan(steps["feature"]).all()
    assert not steps["decision"].any()


# Chains


@pytest.mark.parametrize(
    "parts", [(Isosbestic(), Despike(), Difference()), (Ratio(), Lowpass(), Dff()), (Dff(), Lowpass(), Despike())]
)
def test_a_chain_of_three_gives_each_the_number_of_the_one_before(parts: tuple[Feature, ...]) -> None:
    signal, control = light(40)
    signal[700:720] = np.nan
    together = Run(*parts)(signal, control)
    number = signal
    for part in parts:
        number = Run(part)(number, control)
    np.testing.assert_array_equal(together, number)
    assert np.isfinite(together[-1000:]).all()


def test_a_spike_is_gone_after_despike_and_one_reading_late() -> None:
    signal, control = light(40)
    spiky = signal.copy()
    spiky[3000] *= 4
    got, usual = Run(Ratio(), Despike())(spiky, control), Run(Ratio(), Despike())(signal, control)
    np.testing.assert_array_equal(got[3003:], usual[3003:])
    assert np.abs(got[2998:3003] - usual[2998:3003]).max() < 0.02  # the spike was 1.4
    step = np.concatenate([np.zeros(50), np.ones(50)])
    assert np.flatnonzero(Run(Despike())(step) == 1)[0] == 51


# Garbage

GARBAGE = {
    "nan": (np.nan, np.nan),
    "infinite": (np.inf, -np.inf),
    "zeros": (0.0, 0.0),
    "constant": (0.7, 0.7),
    "negative light": (-1.0, -0.3),
    "huge": (1e300, 1e300),
    "as large as counts get": (2e9, 2e9),
    "control alone": (1.0, 0.0),
}

# Seconds of clean readings after which a feature is known again, as its docstring says; others: their learning epoch.
KNOWN_AGAIN_S = {Dff: 1.01, Isosbestic: 1.01, Lowpass: 0.2, Ratio: 0.0, Difference: 0.2, Despike: 0.02}


@pytest.mark.parametrize("kind", ALL)
def test_an_hour_of_garbage_kills_no_feature(kind: type[Feature]) -> None:
    signal, control = light(200)
    n = round(3600 * RATE_HZ)
    random = np.random.default_rng(9)
    kinds_of_garbage = [(np.full(n, a), np.full(n, b)) for a, b in GARBAGE.values()]
    kinds_of_garbage.append((1e40 * random.standard_cauchy(n), 1e40 * random.standard_cauchy(n)))
    for bad_signal, bad_control in kinds_of_garbage:
        for warm in (0, len(signal)):
            run = Run(kind())
            run(signal[:warm], control[:warm])
            assert not np.isinf(run(bad_signal, bad_control)).any()
            again = run(signal, control)
            assert not np.isinf(again).any()
            assert np.isfinite(again[round(KNOWN_AGAIN_S.get(kind, 150.0) * RATE_HZ) :]).all()


def test_a_slope_that_learned_garbage_is_right_again_after_a_few_epochs() -> None:
    signal, control = light(1200)
    for bad in (np.zeros(6000), np.full(6000, 0.7), 10 * np.random.default_rng(5).standard_cauchy(6000)):
        run = Run(Isosbestic(epoch=60.0))
        run(bad, bad[::-1])
        run(signal, control)
        assert run.shown("isosbestic_slope") == pytest.approx(0.6, rel=0.15)


def test_a_new_baseline_holds_none_of_the_darkness_before_it() -> None:
    signal, control = light(60)
    for part in (Dff(), Isosbestic()):
        run = Run(part)
        run(np.full(3050, -100.0), np.full(3050, -100.0))  # ends in the midst of a second
        known = run(signal, control)[102:]
        assert np.abs(known).max() < 0.2


# Windows of robust statistics, and the detector on differences


def test_trailing_median_and_mad_are_those_of_the_window() -> None:
    values = np.random.default_rng(2).standard_normal(3000)
    memory, p = np.zeros(1, robust.TRAILING), robust.trailing(2.0, 100.0)
    kept = int(p["points"][0])
    assert kept == 199
    for at, value in enumerate(values):
        robust.add(memory[0], p[0], value)
        if at % 371 == 370 and at >= kept:
            window = values[at - kept + 1 : at + 1]
            assert memory["median"][0] == np.median(window)
            mad = np.median(np.abs(window - np.median(window)))
            assert memory["mad"][0] == pytest.approx(mad, rel=1e-12)
            assert robust.deviation(memory[0], p[0], 3.0) == pytest.approx((3.0 - np.median(window)) / (1.4826 * mad))


def detector() -> tuple[DifferenceDetector, Any, Any]:
    made = DifferenceDetector(window=0.1, baseline=5.0)
    return made, np.zeros(1, made.memory_type)[0], made.parameters(RATE_HZ)[0]


def feed(made: DifferenceDetector, memory: Any, p: Any, values: np.ndarray, learn: bool = True) -> np.ndarray:
    """Scores, in the order in which the loop calls its kernels."""
    scores = np.empty(len(values))
    for at, value in enumerate(values):
        scores[at] = made.score(memory, p, value)
        made.follow(memory, p, value)
        if learn:
            made.learn(memory, p, value)
    return scores


def test_the_difference_detector_scores_the_present_against_past_differences() -> None:
    values = np.random.default_rng(5).standard_normal(1500)
    got = feed(*detector(), values)
    d = np.full(len(values), np.nan)
    view = np.lib.stride_tricks.sliding_window_view(values, 20)
    d[19:] = view[:, 10:].mean(axis=1) - view[:, :10].mean(axis=1)
    kept = 499  # of 5 s at 100 readings/s, an odd number
    assert np.isnan(got[: 19 + kept]).all()
    for at in range(19 + kept, 1500, 97):
        past = d[at - kept : at]
        mad = np.median(np.abs(past - np.median(past)))
        assert got[at] == pytest.approx((d[at] - np.median(past)) / (1.4826 * mad), rel=1e-9)


def test_its_windows_follow_a_detection_and_its_statistics_do_not() -> None:
    values = np.random.default_rng(5).standard_normal(1500)
    made, memory, p = detector()
    feed(made, memory, p, values[:1000])
    before = memory["past"].copy()
    feed(made, memory, p, 100 + values[1000:1200], learn=False)
    assert memory["past"].tobytes() == before.tobytes()
    after = feed(made, memory, p, 100 + values[1200:1300])
    assert np.abs(after).max() < 6  # the step is long past, as the windows saw it


def test_its_windows_are_empty_after_light_and_its_statistics_are_kept() -> None:
    values = np.random.default_rng(5).standard_normal(1500)
    made, memory, p = detector()
    feed(made, memory, p, values[:1000])
    made.resume(memory, p)
    scores = feed(made, memory, p, 50 + values[1000:1100])
    assert np.isnan(scores[:19]).all()
    assert np.abs(scores[19:]).max() < 6


def test_an_infinite_value_is_no_score_and_is_not_learned() -> None:
    values = np.random.default_rng(5).standard_normal(1500)
    made, memory, p = detector()
    feed(made, memory, p, values)
    before = memory["past"].tobytes()
    for wild in (np.inf, -np.inf, 1e200):
        assert np.isnan(made.score(memory, p, wild))
    feed(made, memory, p, np.full(50, np.nan), learn=False)
    assert memory["past"].tobytes() == before
    assert np.isfinite(feed(made, memory, p, values)[100:]).all()


def test_windows_of_one_reading_give_the_plain_difference() -> None:
    memory = np.zeros(1, windows.ADJACENT)[0]
    got = [windows.push(memory, 1, float(x)) for x in (1, 4, 9, 16)]
    np.testing.assert_array_equal(got, [np.nan, 3, 5, 7])
