"""Rate, gain and state: each finds what it is for and is silent about the rest; thresholds keep what they promise."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anchors import anchor
from plans import NANO_UNITS, RATE_HZ, plan, readings
from pydantic import ValidationError

from closedloop.anchor import Anchor, Events, Level
from closedloop.detectors import Detector
from closedloop.detectors.all import AllOf
from closedloop.detectors.gain import EventGain
from closedloop.detectors.rate import EventRate
from closedloop.detectors.state import GainEvidence, LevelEvidence, RateEvidence, State
from closedloop.detectors.threshold import Threshold
from closedloop.errors import ConfigError
from closedloop.loop import Loop
from closedloop.model import kernel
from closedloop.online.events import EVENT_MEMORY, ONSET, event_parameters, follow, ready
from closedloop.online.run_length import gauss_alarms, gauss_threshold, poisson_alarms, poisson_threshold
from closedloop.protocol import load_protocol
from closedloop.readings import FLAG_LIGHT, FLAG_NO_CONTROL
from closedloop.steps import DETECTED, HIGH

RATE_MIN = 3.0  # events a minute of the calm animal
AT_LEVEL = 0.2  # ln(signal / control) of the anchor
QUIET: dict[str, Any] = {"rate": None, "gain": None}


def events_at(
    minutes: float, a_minute: float, seed: int, height: float = 0.05, spread: float = 0.35, after: float = 0.0
) -> np.ndarray:
    """dF/F of Poisson events in little noise, at RATE_HZ; none before `after` minutes."""
    dice = np.random.default_rng(seed)
    n = round(minutes * 60 * RATE_HZ)
    shape = np.exp(-np.arange(300) / 40) - np.exp(-np.arange(300) / 8)
    drawn = np.where(dice.random(n) < a_minute / (60 * RATE_HZ), height * np.exp(spread * dice.standard_normal(n)), 0.0)
    drawn[: round(after * 60 * RATE_HZ)] = 0.0
    return np.convolve(drawn, shape / shape.max())[:n] + 0.002 * dice.standard_normal(n)


def run(detector: Detector, dff: np.ndarray, control: np.ndarray | None = None, flags: Any = 0) -> Any:
    """Steps of a loop over a signal with this dF/F; the control is steady and as bright as the anchor says."""
    n = len(dff)
    steady = np.exp(-AT_LEVEL) * (1 + 0.002 * np.random.default_rng(99).standard_normal(n))
    rows = readings(1 + dff, steady if control is None else control)
    rows["flags"] |= np.asarray(flags, rows["flags"].dtype)
    return Loop(plan(detector=detector), rate_hz=RATE_HZ, nano_units=NANO_UNITS).run(rows)


def detections(steps: Any) -> np.ndarray:
    return np.flatnonzero(steps["bits"] & DETECTED) / RATE_HZ


def rate_detector(**changes: Any) -> EventRate:
    return EventRate(**({"event": 0.02, "base_rate": RATE_MIN, "false_alarms": 1 / 60} | changes))


def gain_detector(**changes: Any) -> EventGain:
    known = {"event": 0.02, "reference": 0.05, "spread": 0.35, "base_rate": RATE_MIN, "false_alarms": 1 / 60}
    return EventGain(**(known | changes))


# --- thresholds ------------------------------------------------------------------------------------------------------


@kernel
def poisson_run(times: float, a_minute: float, nats: float, spare: float, waits: Any) -> int:
    """Alarms of a sum over events that come after these minutes each."""
    total, high, alarms = 0.0, False, 0
    for wait in waits:
        total = max(0.0, total - (times - 1) * a_minute * wait)
        high = high and total >= nats / 2
        total = min(total + np.log(times), nats + spare)
        if not high and total >= nats:
            high, alarms = True, alarms + 1
    return alarms


@kernel
def gauss_run(shift: float, nats: float, values: Any) -> int:
    """Alarms of a sum over these values, in SD."""
    total, high, alarms = 0.0, False, 0
    for z in values:
        total = min(max(0.0, total + shift * min(max(z - shift / 2, -3.0), 3.0)), nats + 1.0)
        high = high and total >= nats / 2
        if not high and total >= nats:
            high, alarms = True, alarms + 1
    return alarms


@pytest.mark.parametrize(("times", "a_minute"), [(1.5, 3.0), (2.0, 3.0), (3.0, 12.0)])
def test_a_poisson_threshold_gives_the_false_alarms_it_was_asked_for(times: float, a_minute: float) -> None:
    spare = 2 * np.log(times)
    nats = poisson_threshold(times, 1 / (60 * a_minute), 0.5, spare)
    waits = np.random.default_rng(1).exponential(1 / a_minute, 300_000)
    alarms = poisson_run(times, a_minute, nats, spare, waits)
    assert alarms / (waits.sum() / 60) == pytest.approx(1.0, rel=0.12)  # some 1 % to 6 % of that is chance


@pytest.mark.parametrize("shift", [0.5, 1.2])
def test_a_gaussian_threshold_gives_the_false_alarms_it_was_asked_for(shift: float) -> None:
    nats = gauss_threshold(shift, 3.0, 1 / 500, 0.5, 1.0)
    alarms = gauss_run(shift, nats, np.random.default_rng(2).standard_normal(400_000))
    assert alarms / 400_000 * 500 == pytest.approx(1.0, rel=0.15)


def test_fewer_false_alarms_need_a_higher_threshold() -> None:
    assert poisson_alarms(2.0, 3.0, 0.5, 1.4) > poisson_alarms(2.0, 4.0, 0.5, 1.4) > poisson_alarms(2.0, 5.0, 0.5, 1.4)
    assert gauss_alarms(1.0, 3.0, 3.0, 0.5, 1.0) > gauss_alarms(1.0, 3.0, 4.0, 0.5, 1.0)


@pytest.mark.parametrize("alarms", [1e-12, 10.0])
def test_false_alarms_that_cannot_be_had_are_refused_with_words(alarms: float) -> None:
    with pytest.raises(ValidationError, match="can't be had; allow"):
        rate_detector(false_alarms=alarms)


# --- rate ------------------------------------------------------------------------------------------------------------


def test_a_tripled_rate_is_found_within_the_time_that_the_theory_allows() -> None:
    delays = []
    for seed in range(12):
        calm, raised = events_at(6, RATE_MIN, seed), events_at(10, 9.0, seed + 50)
        found = detections(run(rate_detector(), np.concatenate([calm, raised])))
        later = found[found >= 360]
        if not len(found[found < 360]):
            delays.append(later[0] - 360 if len(later) else 600.0)
    assert len(delays) >= 9
    assert np.mean(delays) < 63 + 2 * 40 / len(delays) ** 0.5  # the exact CUSUM's 63 s, and two standard errors


def test_false_alarms_of_rate_are_as_few_as_asked_for() -> None:
    count = sum(len(detections(run(rate_detector(), events_at(120, RATE_MIN, seed)))) for seed in (1, 2, 3))
    assert count <= 12  # six are expected in six hours


def test_the_rate_is_shown_and_unknown_at_first() -> None:
    steps = run(rate_detector(), events_at(20, 9.0, 5))
    assert np.isnan(steps["rate"][:100]).all()
    assert np.median(steps["rate"][-60_000:]) == pytest.approx(9.0, rel=0.3)


def test_a_higher_gain_is_no_higher_rate() -> None:
    calm, large = events_at(10, RATE_MIN, 7), events_at(10, RATE_MIN, 8, height=0.1)
    assert not len(detections(run(rate_detector(), np.concatenate([calm, large]))))


def test_a_base_rate_is_learned_and_then_kept() -> None:
    detector = EventRate(event=0.02, baseline=300.0, threshold=4.0, release=2.0)
    dff = np.concatenate([events_at(10, RATE_MIN, 3), events_at(8, 15.0, 4)])
    steps = run(detector, dff)
    known = np.flatnonzero(np.isfinite(steps["score"]))[0] / RATE_HZ
    assert 300 < known < 303
    found = detections(steps)
    assert len(found)
    assert found[0] > 600


def test_release_comes_in_reasonable_time_after_a_long_state() -> None:
    steps = run(rate_detector(), np.concatenate([events_at(30, 15.0, 1), events_at(8, RATE_MIN, 2)]))
    high = (steps["bits"] & HIGH) != 0
    assert high[round(1800 * RATE_HZ) - 1]
    assert not high[-1]


def test_own_light_neither_adds_an_event_nor_time() -> None:
    dff = events_at(10, RATE_MIN, 6)
    lit = np.zeros(len(dff), bool)
    for at in range(6000, 60_000, 1500):
        lit[at : at + 50] = True
    flags = np.where(lit, FLAG_LIGHT, 0)
    dark, light = run(rate_detector(), dff), run(rate_detector(), np.where(lit, 0.5, dff), flags=flags)
    assert detections(light).tolist() == detections(dark).tolist()
    unlit = ~lit & np.isfinite(dark["score"])
    assert np.abs(light["score"] - dark["score"])[unlit].max() < 1.5 * np.log(2)  # an event lost here or there


# --- gain ------------------------------------------------------------------------------------------------------------


def test_larger_events_are_found_and_their_gain_is_shown() -> None:
    steps = run(gain_detector(), np.concatenate([events_at(20, RATE_MIN, 1), events_at(20, RATE_MIN, 2, height=0.1)]))
    found = detections(steps)
    assert len(found)
    assert found[0] > 1200
    assert np.isnan(steps["gain"][:1000]).all()
    assert steps["gain"][round(1190 * RATE_HZ)] == pytest.approx(1.0, rel=0.3)
    assert steps["gain"][-1] == pytest.approx(2.0, rel=0.3)


def test_more_events_are_no_larger_events() -> None:
    steps = run(gain_detector(), events_at(30, 9.0, 2))
    assert np.nanmedian(steps["gain"]) == pytest.approx(1.0, abs=0.15)
    assert len(detections(steps)) <= 4  # of 270 events; one and a half are expected


def test_one_artefact_however_high_is_no_raised_gain() -> None:
    dff = events_at(20, RATE_MIN, 1)
    before = run(gain_detector(), dff)
    dff[72_000:72_050] += 0.25
    after = run(gain_detector(), dff)
    assert before["score"][71_990] == after["score"][71_990] == 0
    assert 2 < after["score"][72_200] < 2.5  # 2 SD of its log-likelihood, no more
    assert len(detections(after)) == len(detections(before))


def test_heights_are_learned_and_then_kept() -> None:
    detector = EventGain(event=0.02, baseline=40, threshold=5.0, release=2.5)
    steps = run(detector, np.concatenate([events_at(20, RATE_MIN, 3), events_at(15, RATE_MIN, 4, height=0.12)]))
    assert np.isnan(steps["score"][: round(300 * RATE_HZ)]).all()
    found = detections(steps)
    assert len(found)
    assert found[0] > 1200
    assert steps["gain"][-1] == pytest.approx(2.4, rel=0.35)


# --- state -----------------------------------------------------------------------------------------------------------


@lru_cache
def reference(**changes: Any) -> Anchor:
    """An anchor of events as `events_at` makes them."""
    events = Events(
        size=0.02, release=0.01, rate=RATE_MIN, rates=(3.0,) * 3, count=270, log_mean=float(np.log(0.05)), log_sd=0.35
    )
    return anchor(events=events, **changes)


def state(**changes: Any) -> State:
    return State(**changes).anchored(reference())


@pytest.mark.parametrize(("a_minute", "height"), [(9.0, 0.05), (RATE_MIN, 0.1), (9.0, 0.08)])
def test_one_measure_alone_is_enough_for_hyperactivity(a_minute: float, height: float) -> None:
    dff = np.concatenate([events_at(10, RATE_MIN, 1), events_at(12, a_minute, 2, height=height)])
    steps = run(state(), dff)
    found = detections(steps)
    assert len(found)
    assert found[0] > 600
    assert steps["score"][-1] > 0.5


def test_a_calm_animal_is_calm() -> None:
    steps = run(state(level=LevelEvidence(smallest=0.1)), events_at(60, RATE_MIN, 3))
    assert len(detections(steps)) <= 1
    known = steps["score"][np.isfinite(steps["score"])]
    assert ((known >= 0) & (known <= 1)).all()
    assert np.median(known) < 0.3


def test_the_filter_is_the_two_state_bayes_filter_of_the_book() -> None:
    detector = state(gain=None, minimum_duration=0.0)
    dff = events_at(8, 6.0, 4)
    steps = run(detector, dff)
    q01, q10 = (-np.expm1(-1 / (dwell * RATE_HZ)) for dwell in (detector.calm, detector.hyperactive))
    memory, p = np.zeros(1, EVENT_MEMORY)[0], event_parameters(RATE_HZ, 0.02, 0.01)[0]
    chance, expected = 0.0, []
    known = steps["feature"][np.isfinite(steps["feature"])]
    for value in known[:20_000]:
        open_now = ready(memory, p)
        likelihood = np.exp(-RATE_MIN / 60 / RATE_HZ) if open_now else 1.0
        likelihood *= 2.0 if follow(memory, p, value) & ONSET else 1.0
        prior = chance * (1 - q10) + (1 - chance) * q01
        odds = prior / (1 - prior) * likelihood
        chance = odds / (1 + odds)
        expected.append(chance)
    found = steps["score"][np.isfinite(steps["score"])]
    np.testing.assert_allclose(found[1000:19_000], expected[1001:19_001], rtol=1e-6)


def test_a_tonic_shift_is_found_though_a_fifth_of_the_light_is_lost() -> None:
    quiet = events_at(15, RATE_MIN, 5)
    tonic = state(level=LevelEvidence(smallest=0.1), **QUIET)
    control = 0.8 * np.exp(-AT_LEVEL) * np.ones(len(quiet))
    for shift, is_found in ((0.0, False), (0.1, True)):
        steps = run(tonic, 0.8 * (1 + shift) * (1 + quiet) - 1, control)
        assert bool(len(detections(steps))) == is_found
        assert steps["level"][-1] == pytest.approx(shift, abs=0.02)
        assert np.isnan(steps["score"][: round(59 * RATE_HZ)]).all()  # the window is not full yet


def test_a_state_is_a_gate_for_an_onset_detector() -> None:
    dff = np.concatenate([events_at(10, RATE_MIN, 1), events_at(12, 9.0, 2, height=0.08)])
    onset = Threshold(window=20.0, threshold=6.0, release=3.0)
    gated = AllOf(of=(State(), onset)).anchored(reference())
    alone, open_gate = detections(run(onset, dff)), run(state(), dff)["bits"] & HIGH != 0
    found = detections(run(gated, dff))
    assert (alone < 600).any()
    assert not (found < 600).any()
    assert len(found) > 5
    assert open_gate[np.rint(found * RATE_HZ).astype(int)].all()


def test_a_minute_more_of_the_same_level_is_no_more_evidence() -> None:
    dff = np.zeros(round(900 * RATE_HZ)) + 1e-3 * np.random.default_rng(1).standard_normal(round(900 * RATE_HZ))
    steps = run(state(level=LevelEvidence(smallest=0.1), **QUIET), 1.05 * (1 + dff) - 1)
    early, late = steps["score"][round(400 * RATE_HZ)], steps["score"][-1]
    assert late == pytest.approx(early, rel=0.5)
    assert late < 0.95


def test_a_level_without_a_control_is_unknown_and_nothing_is_said() -> None:
    detector = state(level=LevelEvidence(smallest=0.1))
    assert detector.needs_control
    assert np.isnan(run(detector, events_at(3, 9.0, 1), flags=FLAG_NO_CONTROL)["score"]).all()


def test_a_finer_level_than_the_anchor_can_tell_is_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match=r"shift of 4 % is refused.*is 5\.13 %.*level\.smallest"):
        State(level=LevelEvidence(smallest=0.04)).anchored(anchor())
    allowed = State(level=LevelEvidence()).anchored(anchor()).level
    assert allowed is not None
    assert allowed.smallest == pytest.approx(np.expm1(0.05))


def test_days_that_differ_much_make_one_shift_say_less() -> None:
    known = anchor().level
    assert known is not None
    wide = Level(**(known.model_dump() | {"between": 0.04}))
    narrow, broad = (
        State(level=LevelEvidence(smallest=0.2)).anchored(anchor(level=level)).parameters(RATE_HZ)["inner"]["variance"]
        for level in (known, wide)
    )
    assert broad[0] > 10 * narrow[0]
    assert broad[0] == pytest.approx(0.04**2 * (1 + 1 / 3) + 0.005**2 / 6)


def test_an_anchor_without_level_or_heights_is_refused_where_they_are_needed() -> None:
    with pytest.raises(ValueError, match="without a control channel; leave level out"):
        State(level=LevelEvidence()).anchored(anchor(level=None))
    empty = anchor(events=Events(size=0.02, release=0.01, rate=0.0, rates=(0.0,) * 3, count=0))
    with pytest.raises(ValueError, match="no events to compare heights with"):
        State().anchored(empty)
    with pytest.raises(ValueError, match="no events to compare heights with"):
        EventGain().anchored(empty)
    rate = EventRate().anchored(empty).base_rate
    assert rate is not None
    assert rate > 0


@pytest.mark.parametrize(
    ("kind", "wrong", "said"),
    [
        (State, {"rate": None, "gain": None}, "at least one of level, rate and gain"),
        (State, {"event": 0.01, "event_release": 0.02}, "lower event_release"),
        (EventRate, {"base_rate": 3.0, "baseline": 60.0}, "leave one of them out"),
        (EventRate, {"baseline": 60.0, "false_alarms": 0.1}, "leave false_alarms out"),
        (EventRate, {"event": 0.01, "event_release": 0.02}, "lower event_release"),
        (EventGain, {"baseline": 20, "spread": 0.3}, "either those two or baseline"),
        (EventGain, {"baseline": 20, "false_alarms": 0.1}, "leave false_alarms out"),
        (EventGain, {"event": 0.01, "event_release": 0.02}, "lower event_release"),
    ],
)
def test_what_contradicts_itself_is_refused(kind: Any, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        kind(**wrong)


def test_check_tells_what_was_computed_and_how_well_what_is_learned_is_known() -> None:
    assert rate_detector().notes(RATE_HZ) == ["rate: threshold 3.91 and release 1.95, for false alarms at 1 /h"]
    assert "false alarms" in gain_detector().notes(RATE_HZ)[0]
    assert "wrong by some 26 %" in EventRate(event=0.02, baseline=300.0).notes(RATE_HZ)[0]
    assert "wrong by some 10 %" in EventGain(event=0.02, baseline=25).notes(RATE_HZ)[0]
    crossing = rate_detector().crossing(RATE_HZ)
    assert crossing["threshold"][0] == pytest.approx(3.91, abs=0.01)


def test_what_is_given_needs_no_anchor_and_is_not_overruled_by_one() -> None:
    assert EventRate().needs_anchor
    assert EventGain().needs_anchor
    assert State().needs_anchor
    given = State(
        event=0.03, rate=RateEvidence(base_rate=7.0), gain=GainEvidence(reference=0.1, spread=0.2), level=None
    )
    assert not given.needs_anchor
    kept = given.anchored(anchor())
    assert kept == given
    assert not rate_detector().needs_anchor
    assert rate_detector().anchored(anchor()) == rate_detector()
    assert not gain_detector().needs_anchor
    assert gain_detector().anchored(anchor()) == gain_detector()


def test_a_protocol_with_a_level_that_cannot_be_told_is_refused_at_its_line(tmp_path: Path) -> None:
    chain = load_protocol("demo").model_dump(mode="json")["features"]
    anchor().model_copy(update={"features": tuple(chain)}).save(tmp_path / "anchor.json")
    demo = (Path(__file__).parents[1] / "configs" / "protocols" / "demo.yaml").read_text()
    start, end = demo.index("detector:"), demo.index("policy:")
    for name, level in (("fine", "4 %"), ("fair", "10 %")):
        detector = f"anchor: anchor.json\ndetector: {{kind: state, level: {{smallest: {level}}}}}\n"
        (tmp_path / f"{name}.yaml").write_text(demo[:start] + detector + demo[end:])
    assert load_protocol(str(tmp_path / "fair.yaml")).anchored_parts()[1].needs_control
    with pytest.raises(ConfigError, match=r"fine\.yaml.*shift of 4 % is refused"):
        load_protocol(str(tmp_path / "fine.yaml"))
