"""Published and computed values, and the shape that any such model must have."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedloop import optics
from closedloop.optics import Warmth, warmed

DEPTHS = st.floats(0, 10)
POWERS = st.floats(0.01, 500)
CORES = st.floats(0.01, 2)
APERTURES = st.floats(0.05, 1.2)


@pytest.mark.parametrize(("power_mw", "core_mm", "expected"), [(1, 0.2, 31.8), (5, 0.2, 159), (10, 0.4, 79.6)], ids=str)
def test_tip_irradiance_is_power_over_area(power_mw: float, core_mm: float, expected: float) -> None:
    assert optics.tip_irradiance(power_mw, core_mm) == pytest.approx(expected, rel=0.005)


@pytest.mark.parametrize(
    ("power_mw", "core_mm", "aperture", "depth_mm", "expected"),
    [
        (1, 0.2, 0.39, 0.1, 8.9),
        (1, 0.2, 0.39, 0.25, 2.7),
        (1, 0.2, 0.39, 0.5, 0.77),
        (1, 0.2, 0.39, 1.0, 0.16),
        (5, 0.2, 0.39, 0.1, 44),
        (5, 0.2, 0.39, 0.25, 13.7),
        (5, 0.2, 0.39, 0.5, 3.9),
        (5, 0.2, 0.39, 1.0, 0.82),
        (10, 0.4, 0.5, 0.1, 26),
        (10, 0.4, 0.5, 0.25, 9.4),
        (10, 0.4, 0.5, 0.5, 3.1),
        (10, 0.4, 0.5, 1.0, 0.74),
        (5, 0.2, 0.37, 0.5, 4.14),
    ],
)
def test_aravanis_gives_the_table_of_the_domain_notes(
    power_mw: float, core_mm: float, aperture: float, depth_mm: float, expected: float
) -> None:
    irradiance = optics.tip_irradiance(power_mw, core_mm) * optics.aravanis(depth_mm, core_mm, aperture)
    assert irradiance == pytest.approx(expected, rel=0.03)


def test_the_two_models_bracket_the_published_value() -> None:
    low, high = optics.target_irradiance(5, 0.2, 0.37, 0.5)
    assert (low, high) == pytest.approx((4.14, 5.17), rel=0.005)
    assert low < 4.9 < high  # Yizhar 2011


@given(CORES, APERTURES)
def test_at_the_tip_all_light_is_there(core_mm: float, aperture: float) -> None:
    assert optics.aravanis(0, core_mm, aperture) == pytest.approx(1)
    assert optics.foutz(0, core_mm, aperture) == pytest.approx(1)


@given(DEPTHS, DEPTHS, CORES, APERTURES)
def test_deeper_is_never_brighter(one: float, other: float, core_mm: float, aperture: float) -> None:
    near, far = sorted((one, other))
    for model in (optics.aravanis, optics.foutz):
        assert 0 <= model(far, core_mm, aperture) <= model(near, core_mm, aperture) * (1 + 1e-12)


@given(st.floats(0, 2), CORES, APERTURES)
def test_without_absorption_foutz_becomes_aravanis(depth_mm: float, core_mm: float, aperture: float) -> None:
    with_little = optics.foutz(depth_mm, core_mm, aperture, scattering=11.2, absorption=1e-9)
    assert with_little == pytest.approx(optics.aravanis(depth_mm, core_mm, aperture, 11.2), rel=1e-4)


def test_no_depth_overflows() -> None:
    assert optics.foutz(1e6, 0.2, 0.39) == 0.0


def test_adiabatic_heating_is_as_published() -> None:
    assert optics.adiabatic_heating(irradiance=0.49, absorption=1.0, on_s=3) == pytest.approx(0.38, abs=0.01)


@pytest.mark.parametrize(("distance_mm", "expected"), [(0.25, 0.60), (0.5, 0.30), (1.0, 0.15)])
def test_steady_conduction_is_as_computed(distance_mm: float, expected: float) -> None:
    assert optics.conducted_heating(1.0, distance_mm) == pytest.approx(expected, abs=0.005)


def test_conducted_heat_arrives_late_and_never_exceeds_the_steady_state() -> None:
    rising = [optics.conducted_heating(1.0, 0.5, t) for t in (0, 0.1, 1, 10, 1000)]
    assert rising[0] == 0
    assert rising == sorted(rising)
    assert rising[-1] < optics.conducted_heating(1.0, 0.5)


def test_steady_light_warms_both_poles_to_the_measured_plateau() -> None:
    assert warmed(Warmth(), 4.0, 1000) == pytest.approx((1.0, 1.0))


def test_a_pole_has_gone_most_of_the_way_after_its_time_constant() -> None:
    part = 1 - math.exp(-1)
    assert warmed(Warmth(), 4.0, optics.FAST_S).fast == pytest.approx(part)
    assert warmed(Warmth(), 4.0, optics.SLOW_S).slow == pytest.approx(part)


@given(POWERS, st.floats(0, 100), st.floats(0, 100), st.floats(0, 5), st.floats(0, 5))
def test_the_heat_budget_does_not_depend_on_how_time_is_cut(
    power_mw: float, one_s: float, other_s: float, fast: float, slow: float
) -> None:
    begun = Warmth(fast, slow)
    at_once = warmed(begun, power_mw, one_s + other_s)
    assert warmed(warmed(begun, power_mw, one_s), power_mw, other_s) == pytest.approx(at_once, rel=1e-9, abs=1e-9)


@given(POWERS, st.floats(0, 1000))
def test_darkness_cools_to_rest(power_mw: float, on_s: float) -> None:
    warm = warmed(Warmth(), power_mw, on_s)
    assert warmed(warm, 0.0, 10).kelvin <= warm.kelvin
    assert warmed(warm, 0.0, 1e4).kelvin == pytest.approx(0, abs=1e-9)


def test_the_online_budget_is_not_below_what_was_measured_deeper() -> None:
    assert warmed(Warmth(), 1.0, 1e4).kelvin >= 0.116  # K/mW at 563 um


@given(POWERS, st.floats(0.001, 1), st.floats(0.001, 5), st.integers(1, 50), st.floats(0, 5))
def test_pulses_in_one_step_are_the_same_as_one_by_one(
    power_mw: float, on_s: float, off_s: float, count: int, begun: float
) -> None:
    warmth = Warmth(begun, begun)
    for _ in range(count - 1):
        warmth = warmed(warmed(warmth, power_mw, on_s), 0.0, off_s)
    last = warmed(warmth, power_mw, on_s)
    at_once = optics.warmed_by_pulses(Warmth(begun, begun), power_mw, on_s, on_s + off_s, count)
    assert at_once == pytest.approx(last, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("model", [optics.aravanis, optics.foutz])
@given(part=st.floats(1e-4, 0.999), core_mm=st.floats(0.05, 1), aperture=st.floats(0.1, 0.9))
def test_the_depth_of_a_part_is_where_the_model_has_it(
    model: Callable[..., float], part: float, core_mm: float, aperture: float
) -> None:
    depth_mm = optics.depth_of_part(part, model, core_mm, aperture)
    assert depth_mm == 20.0 or model(depth_mm, core_mm, aperture) == pytest.approx(part, rel=1e-6)


def test_the_depth_at_which_an_irradiance_is_met_is_between_those_of_the_models() -> None:
    near, far = optics.depth_reached(4.9, 5, 0.2, 0.37)  # Yizhar 2011: 4.9 mW/mm2 at 0.5 mm
    assert near < 0.5 < far
    assert (near, far) == pytest.approx((0.45, 0.52), abs=0.02)


def test_what_is_not_even_met_at_the_tip_has_no_depth() -> None:
    assert optics.depth_reached(1000, 5, 0.2, 0.39) == (0.0, 0.0)
    assert optics.depth_reached(159.1, 5, 0.2, 0.39) == pytest.approx((0, 0), abs=1e-3)


@given(st.floats(0.01, 100), st.floats(0.01, 100))
def test_more_light_is_never_met_deeper(one: float, other: float) -> None:
    less, more = sorted((one, other))
    assert optics.depth_reached(more, 5, 0.2, 0.39) <= optics.depth_reached(less, 5, 0.2, 0.39)


def test_absorption_is_that_of_the_table_and_straight_between() -> None:
    for tissue in optics.TISSUE:
        assert optics.absorption(tissue.nm) == pytest.approx(tissue.absorption)
    assert optics.absorption(610) == pytest.approx((0.19 + 0.05) / 2)


@pytest.mark.parametrize(("nm", "known"), [(405, False), (469, False), (470, True), (790, True), (791, False)])
def test_absorption_beyond_the_table_is_unknown(nm: float, known: bool) -> None:
    assert (optics.absorption(nm) is not None) == known


def test_measured_plateaus_lie_below_the_bound_of_conduction_and_not_above_the_budget() -> None:
    for distance_mm, measured in ((0.1, 0.25), (0.563, 0.116)):  # K/mW at 473 nm, Biomed. Opt. Express 7:4450
        assert measured < optics.conducted_heating(1.0, distance_mm)
        assert measured <= warmed(Warmth(), 1.0, 1e4).kelvin
