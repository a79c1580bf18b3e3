"""The virtual animal does what its description says, the same way every time, and tells the truth about it."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from closedloop.model import FROM_FILE
from closedloop.readings import FLAG_CONTROL_SATURATED, FLAG_SIGNAL_SATURATED, Readings
from closedloop.simulation.animal import Animal, Label, VirtualAnimal
from closedloop.simulation.animal_model import (
    Artefact,
    Bleaching,
    Blood,
    Converter,
    Events,
    Indicator,
    Inhibition,
    Motion,
    Noise,
    Phase,
    State,
)
from closedloop.simulation.animal_presets import PRESETS, PresetName

RATE_HZ = 130.0

SILENT: dict[str, Any] = {
    "noise": Noise(white=0, control_white=0, red=0, shot=0, electronic=0, line=0),
    "motion": Motion(wander=0, dip_rate=0),
    "blood": Blood(wander=0),
    "bleaching": Bleaching(fast=0, slow=0),
    "control_bleaching": Bleaching(fast=0, slow=0),
    "artefact": Artefact(leak=0),
    "converter": Converter(bits=24),
}


def silent(**given_fields: Any) -> Animal:
    """An animal in which nothing varies but what the test is about."""
    return Animal(**({"states": {"baseline": State(event_rate=0)}} | SILENT | given_fields))


def dark(seconds: float) -> npt.NDArray[np.float64]:
    return np.zeros(round(seconds * RATE_HZ))


def run(animal: Animal, light: npt.NDArray[np.float64], seed: int = 1) -> tuple[Readings, list[Label]]:
    virtual = VirtualAnimal(animal, RATE_HZ, seed)
    return virtual.run(light), virtual.labels


def lit(readings: Readings, channel: str) -> npt.NDArray[np.float64]:
    """LED on less LED off."""
    difference: npt.NDArray[np.float64] = readings[f"{channel}_lit"].astype(float) - readings[f"{channel}_dark"]
    return difference


def events(labels: list[Label]) -> list[Label]:
    return [label for label in labels if label.kind == "event"]


def flicker(readings: int, seed: int = 0) -> npt.NDArray[np.float64]:
    """Light that comes and goes, as a closed loop would give it."""
    random = np.random.default_rng(seed)
    return np.repeat(random.choice([0.0, 0.0, 0.4, 1.0], readings // 40 + 1), 40)[:readings]


@pytest.mark.parametrize("preset", get_args(PresetName))
def test_one_by_one_is_the_same_as_all_at_once(preset: PresetName) -> None:
    light = flicker(2500)
    at_once, labels = run(Animal(preset=preset), light)
    virtual = VirtualAnimal(Animal(preset=preset), RATE_HZ, 1)
    names = ["signal_lit", "signal_dark", "control_lit", "control_dark", "flags"]
    assert [virtual.reading(value) for value in light] == at_once[names].tolist()
    assert virtual.labels == labels


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, 3000), max_size=6))
def test_it_does_not_matter_how_a_run_is_cut_up(cuts: list[int]) -> None:
    animal, light = Animal(preset="demo"), flicker(3000)
    whole, labels = run(animal, light)
    virtual = VirtualAnimal(animal, RATE_HZ, 1)
    pieces = np.concatenate([virtual.run(piece) for piece in np.split(light, sorted(cuts))])
    for name in ("signal_lit", "signal_dark", "control_lit", "control_dark", "flags", "seq"):
        assert np.array_equal(pieces[name], whole[name])
    assert virtual.labels == labels


def test_the_same_seed_gives_the_same_animal_and_another_seed_another() -> None:
    first, again, other = (run(Animal(preset="demo"), dark(20), seed) for seed in (7, 7, 8))
    assert np.array_equal(first[0], again[0])
    assert first[1] == again[1]
    assert not np.array_equal(first[0]["signal_lit"], other[0]["signal_lit"])
    assert first[1] != other[1]


@pytest.mark.parametrize("preset", ["demo", "withdrawal", "motion_heavy"])
def test_candidate_events_do_not_depend_on_the_light(preset: PresetName) -> None:
    candidates = [
        [(label.kind, label.time_s, label.state, label.candidate) for label in run(Animal(preset=preset), light)[1]]
        for light in (dark(400), flicker(52_000), np.ones(52_000))
    ]
    assert candidates[0] == candidates[1] == candidates[2]


def test_light_that_neither_inhibits_nor_leaks_changes_nothing() -> None:
    animal = Animal(preset="demo", inhibition=Inhibition(efficacy=0), artefact=Artefact(leak=0))
    assert np.array_equal(run(animal, dark(60))[0], run(animal, flicker(7800))[0])


def test_events_are_the_same_at_another_rate() -> None:
    animal = Animal(preset="demo")
    fast = VirtualAnimal(animal, 1000, 3)
    slow = VirtualAnimal(animal, 20, 3)
    fast.run(np.zeros(60_000))
    slow.run(np.zeros(1_200))
    pairs = list(zip(events(fast.labels), events(slow.labels), strict=False))
    assert len(pairs) > 10
    assert all(one.time_s == other.time_s for one, other in pairs)


def test_light_lowers_what_activity_there_is_and_the_photometry_with_it() -> None:
    animal = silent(
        states={"baseline": State(level=0.06, event_rate=20)},
        indicator=Indicator(resting=0.04, half=50),
        inhibition=Inhibition(efficacy=0.75),
    )
    unlit, labels = run(animal, dark(120))
    inhibited, suppressed = run(animal, np.ones(len(unlit)))
    start = animal.converter.signal * 2**24
    fall = (lit(unlit, "signal") - lit(inhibited, "signal")).mean() / start
    mean_drive = lit(unlit, "signal").mean() / start - 1 + 0.04  # resting counts, too
    assert fall == pytest.approx(0.75 * mean_drive, rel=0.05)
    assert not any(label.suppressed for label in labels)
    assert all(label.suppressed for label in events(suppressed))
    assert all(label.amplitude == pytest.approx(0.25 * (label.candidate or 0)) for label in events(suppressed)[1:])
    assert np.array_equal(unlit["control_lit"], inhibited["control_lit"])


def test_an_event_cut_short_by_light_is_labelled_with_what_was_left_of_it() -> None:
    animal = silent(
        states={"baseline": State(event_rate=6)},
        events=Events(lasts=2, lasts_spread=0, regularity=50),
        inhibition=Inhibition(efficacy=1, opsin_on=0.001, opsin_off=0.001),
    )
    labels = events(run(animal, dark(60))[1])
    light = dark(60)
    light[round((labels[0].time_s + 0.5) * RATE_HZ) : round((labels[0].time_s + 3) * RATE_HZ)] = 1
    cut = events(run(animal, light)[1])
    assert cut[0].amplitude == pytest.approx(0.25 * (cut[0].candidate or 0), rel=0.02)
    assert cut[0].suppressed
    assert cut[1:] == labels[1:]


@pytest.mark.parametrize("opsin_off", [0.01, 1.0])
def test_inhibition_outlasts_the_light_by_the_opsins_closing_time(opsin_off: float) -> None:
    animal = silent(
        indicator=Indicator(rise=0.001, decay=0.002, resting=0.5, hill=1, half=50),
        inhibition=Inhibition(opsin_off=opsin_off),
    )
    light = dark(20)
    light[1300:1430] = 1
    signal = lit(run(animal, light)[0], "signal")
    fall = signal[:1300].mean() - signal
    half_s = np.argmax(fall[1430:] < fall[1429] / 2) / RATE_HZ
    assert half_s == pytest.approx(opsin_off * np.log(2), abs=0.03)


@pytest.mark.parametrize("regularity", [1.0, 30.0])
def test_events_come_at_the_rate_asked_for(regularity: float) -> None:
    animal = silent(states={"baseline": State(event_rate=20)}, events=Events(regularity=regularity))
    found = events(run(animal, dark(3600))[1])
    assert abs(len(found) - 1200) < 3.5 * np.sqrt(1200 / regularity) + 1
    intervals = np.diff(sorted(label.time_s for label in found))
    assert intervals.std() / intervals.mean() == pytest.approx(1 / np.sqrt(regularity), rel=0.15)


def test_the_rate_is_right_from_the_start_of_a_short_phase() -> None:
    animal = silent(
        states={"calm": State(event_rate=0), "busy": State(event_rate=12)},
        sequence=(Phase(state="calm", lasts=5), Phase(state="busy", lasts=5)),
        events=Events(regularity=20, lasts=0.1),
    )
    found = events(run(animal, dark(4000))[1])
    assert {label.state for label in found} == {"busy"}
    assert abs(len(found) - 400) < 4 * np.sqrt(400)


def test_a_transient_is_as_high_as_its_label_says() -> None:
    animal = silent(
        states={"baseline": State(event_rate=3)},
        events=Events(amplitude=0.05, regularity=100),
        indicator=Indicator(half=100),
    )
    readings, labels = run(animal, dark(600))
    dff = lit(readings, "signal") / lit(readings, "signal").min() - 1
    for label in events(labels):
        start = round(label.time_s * RATE_HZ)
        around = dff[start : start + round(5 * RATE_HZ)]
        assert around.max() == pytest.approx(label.amplitude, rel=0.08)
        assert dff[start - 1] < 0.01


def test_a_large_transient_saturates() -> None:
    def height(amplitude: float) -> float:
        animal = silent(
            states={"baseline": State(event_rate=3)},
            events=Events(amplitude=amplitude, amplitude_spread=0, regularity=100),
            indicator=Indicator(half=2),
        )
        signal = lit(run(animal, dark(60))[0], "signal")
        return float(signal.max() / signal.min() - 1)

    assert height(8) < 0.6 * 200 * height(0.04)


def test_each_state_has_a_level_rate_and_gain_of_its_own() -> None:
    animal = silent(
        states={
            "baseline": State(level=0, event_rate=6, gain=1),
            "withdrawal": State(level=0.1, event_rate=18, gain=2),
            "re_exposure": State(level=-0.02, event_rate=0, gain=1),
        },
        sequence=tuple(Phase(state=state, lasts=600) for state in ("baseline", "withdrawal", "re_exposure")),
        events=Events(amplitude_spread=0.2),
    )
    readings, labels = run(animal, dark(3600))
    signal = lit(readings, "signal").reshape(2, 3, -1)[:, :, 1300:]
    quiet = np.percentile(signal, 2, axis=2) / (animal.converter.signal * 2**24) - 1
    assert np.allclose(quiet, [[0, 0.1, -0.02]] * 2, atol=0.01)
    found = {state: [label.candidate for label in events(labels) if label.state == state] for state in animal.states}
    assert len(found["baseline"]) == pytest.approx(120, abs=38)
    assert len(found["withdrawal"]) == pytest.approx(360, abs=66)
    assert not found["re_exposure"]
    ratio = np.median(np.array(found["withdrawal"], float)) / np.median(np.array(found["baseline"], float))
    assert ratio == pytest.approx(2, rel=0.12)
    states = [(label.state, label.time_s) for label in labels if label.kind == "state"]
    assert states == [(phase.state, 600.0 * n) for n, phase in enumerate(animal.sequence * 2)]


def test_exponential_dwell_lasts_as_told_on_average() -> None:
    animal = silent(
        states={"a": State(event_rate=0), "b": State(event_rate=0)},
        sequence=(Phase(state="a", lasts=10), Phase(state="b", lasts=10)),
        dwell="exponential",
    )
    times = [label.time_s for label in run(animal, dark(4000))[1]]
    assert len(times) == pytest.approx(400, abs=70)
    assert np.diff(times).std() == pytest.approx(10, rel=0.25)


def test_bleaching_follows_its_two_exponentials_in_each_channel() -> None:
    animal = silent(
        bleaching=Bleaching(fast=0.1, fast_time=30, slow=0.3, slow_time=600),
        control_bleaching=Bleaching(fast=0, slow=0.2, slow_time=600),
    )
    readings, _ = run(animal, dark(600))
    time_s = readings["ticks"] / 1e6
    signal = lit(readings, "signal") / lit(readings, "signal")[0]
    expected = 1 - 0.1 * -np.expm1(-time_s / 30) - 0.3 * -np.expm1(-time_s / 600)
    assert np.allclose(signal, expected, atol=1e-3)
    assert lit(readings, "control")[-1] / lit(readings, "control")[0] == pytest.approx(0.8736, abs=1e-3)


def test_motion_is_shared_and_white_noise_is_not() -> None:
    def correlation(animal: Animal) -> float:
        readings, _ = run(animal, dark(300))
        return float(np.corrcoef(lit(readings, "signal"), lit(readings, "control"))[0, 1])

    assert correlation(silent(motion=Motion(wander=0.01, dip_rate=10))) > 0.999
    assert correlation(Animal(preset="motion_heavy")) > 0.7
    assert abs(correlation(silent(noise=Noise(red=0, line=0, shot=0)))) < 0.03


def test_blood_dims_the_control_more_than_the_signal_while_neurons_change_nothing() -> None:
    animal = Animal(**(SILENT | {"preset": "null"}))
    readings, labels = run(animal, dark(1800))
    before, after = slice(130 * 1300, 130 * 1430), slice(130 * 1600, 130 * 1790)
    for channel, expected in (("signal", -0.03), ("control", -0.03 * animal.blood.control_ratio)):
        trace = lit(readings, channel)
        assert np.percentile(trace[after], 5) / np.percentile(trace[before], 5) - 1 == pytest.approx(
            expected, abs=0.005
        )
    rates = [sum(label.state == state for label in events(labels)) for state in ("withdrawal", "re_exposure")]
    assert rates[0] / 3 == pytest.approx(rates[1], abs=20)


def test_noise_has_the_spectrum_measured_on_real_recordings() -> None:
    readings, _ = run(Animal(preset="akam_like"), dark(1800))
    control = lit(readings, "control")
    percent = (control / control.mean() * 100).reshape(-1, 7800)
    percent = percent - percent.mean(axis=1, keepdims=True)
    window = np.hanning(7800)
    power = np.mean(np.abs(np.fft.rfft(percent * window)) ** 2, axis=0) * 2 / (RATE_HZ * np.sum(window**2))
    frequency = np.fft.rfftfreq(7800, 1 / RATE_HZ)

    def density(low: float, high: float) -> float:
        return float(np.sqrt(power[(frequency >= low) & (frequency < high)].mean()))

    assert 0.6 < density(0.1, 0.3) < 1.5
    assert 0.3 < density(0.3, 1) < 0.65
    assert 0.04 < density(20, 45) < 0.09
    assert density(49.9, 50.1) > 2 * density(45, 49)


def test_the_white_preset_is_white() -> None:
    readings, _ = run(Animal(preset="white"), dark(300))
    control = lit(readings, "control")
    assert abs(np.corrcoef(control[1:], control[:-1])[0, 1]) < 0.02
    assert control.std() / control.mean() == pytest.approx(0.005, rel=0.05)


def test_the_artefact_is_on_lit_and_dark_alike_and_lingers() -> None:
    animal = silent(inhibition=Inhibition(efficacy=0), artefact=Artefact(leak=0.1, uncancelled=0.2, tail=0.5, decay=1))
    light = dark(10)
    light[650:780] = 1
    readings, _ = run(animal, light)
    full = 2**24
    lit_rise = (readings["signal_lit"] - readings["signal_lit"][0]) / full
    dark_rise = (readings["signal_dark"] - readings["signal_dark"][0]) / full
    assert lit_rise[700] == pytest.approx(0.1, abs=1e-5)
    assert dark_rise[700] == pytest.approx(0.08, abs=1e-5)
    assert lit_rise[779 + 130] == pytest.approx(0.05 * np.exp(-1), rel=0.01)
    assert lit_rise[649] == 0


@pytest.mark.parametrize(
    ("converter", "flags"),
    [
        (Converter(signal=1.2, control=0.2), FLAG_SIGNAL_SATURATED),
        (Converter(signal=0.2, control=1.2), FLAG_CONTROL_SATURATED),
        (Converter(signal=0.2, control=0.2, ambient=0.99), FLAG_SIGNAL_SATURATED | FLAG_CONTROL_SATURATED),
        (Converter(), 0),
    ],
)
def test_saturation_is_clipped_and_flagged(converter: Converter, flags: int) -> None:
    readings, _ = run(silent(converter=converter), dark(5))
    assert np.all(readings["flags"] == flags)
    assert readings["signal_lit"].max() <= 32767
    assert (readings["signal_lit"].max() == 32767) == bool(flags & FLAG_SIGNAL_SATURATED)


def test_a_wrong_signed_control_falls_when_the_signal_rises() -> None:
    animal = silent(states={"baseline": State(event_rate=10)}, indicator=Indicator(control_response=-0.2))
    readings, _ = run(animal, dark(120))
    assert np.corrcoef(lit(readings, "signal"), lit(readings, "control"))[0, 1] < -0.999


def test_counts_have_the_scale_of_a_pyphotometry_board() -> None:
    assert VirtualAnimal(Animal(), RATE_HZ, 0).nano_units == 101_220


@pytest.mark.parametrize("seed", range(20))
def test_the_demo_is_calm_first_and_then_shows_several_transients(seed: int) -> None:
    found = [label.time_s for label in events(run(Animal(preset="demo"), dark(20), seed)[1])]
    assert len(found) >= 3
    assert min(found) >= 7


def test_a_field_that_is_given_stands_above_the_presets() -> None:
    animal = Animal.model_validate({"preset": "demo", "events": {"amplitude": "20 %"}, "noise": {"red": "0 %"}})
    demo = Animal(preset="demo")
    assert animal.events.amplitude == pytest.approx(0.2)
    assert animal.events.regularity == demo.events.regularity
    assert animal.noise.white == demo.noise.white
    assert animal.states == demo.states


@pytest.mark.parametrize("preset", get_args(PresetName))
def test_what_is_dumped_is_read_back_the_same(preset: PresetName) -> None:
    animal = Animal(preset=preset)
    assert Animal.model_validate(animal.model_dump(mode="json"), context=FROM_FILE) == animal
    assert set(PRESETS) == set(get_args(PresetName))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"preset": "withdrawl"}, "preset"),
        ({"sequence": [{"state": "calm", "lasts": "5 s"}]}, "no state is called 'calm'; states are baseline"),
        ({"indicator": {"rise": "2 s", "decay": "1 s"}}, "shorten indicator.rise"),
        ({"bleaching": {"fast": "60 %", "slow": "50 %"}}, "lower one of them"),
        ({"noise": {"whit": "1 %"}}, "whit"),
    ],
)
def test_a_mistake_in_the_description_is_told(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Animal.model_validate(wrong)
