"""What light does to the signal: measured in a virtual slab in virtual time, and taken away again where it may be."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_selftest import Stage
from test_tallying import Scene

from closedloop import cli
from closedloop.analysis import artefact_session
from closedloop.analysis.artefact import Found, Take, measure
from closedloop.artefact import LEAST_PULSES, Artefact, Course, Light, less, read
from closedloop.dead_time import DeadTime, board_phases
from closedloop.errors import ConfigError, DeviceError, RecordingError
from closedloop.limits import Limits, effective
from closedloop.readings import FLAG_NO_CONTROL
from closedloop.recording import Recording
from closedloop.rig import load_rig
from closedloop.selftest import artefact as selftest_artefact
from closedloop.selftest.artefact_light import Hearer, Wish, plan, procedure, take
from closedloop.simulation.animal import Animal, VirtualAnimal
from closedloop.simulation.animal_model import Artefact as Leak
from closedloop.simulation.slab import slab
from closedloop.watching.own_light import pulses_of

RATE_HZ, ON_US, AFTER_S = 130.0, 500_000, 2.0
READING_S = 1 / RATE_HZ
FAST = {"uncancelled": 0.5, "tail": 0.4, "decay": 0.03}


def seen(leak: Leak, pulses: int = 60, seed: int = 1) -> Take:
    """A slab under so many pulses, each beginning anywhere between two readings."""
    random = np.random.default_rng(seed)
    on = 3_000_000 + 4_000_000 * np.arange(pulses) + random.integers(0, 50_000, pulses)
    edges = np.stack([on, on + ON_US], axis=1)
    end = np.rint(np.arange(round((edges[-1, 1] / 1e6 + 4) * RATE_HZ)) * 1e6 / RATE_HZ)
    light = np.zeros(len(end))
    for first, last in edges:
        both = np.minimum(end, last) - np.maximum(end - 1e6 / RATE_HZ, first)
        light += np.clip(both, 0, None) * RATE_HZ / 1e6
    animal = VirtualAnimal(slab(Animal(preset="demo", artefact=leak)), RATE_HZ, seed)
    return Take(animal.run(light), RATE_HZ, animal.nano_units, edges, 1.0, AFTER_S)


def units(leak: Leak, part: float = 1.0) -> float:
    """What the model's leak adds to the signal at full light, in volts."""
    return part * leak.leak * leak.uncancelled * Animal(preset="demo").converter.full_scale_volts


def truly_back_s(leak: Leak, sigma: float) -> float:
    """By when the last reading in which the model's light lingers above sigma has come."""
    kept = math.exp(-READING_S / leak.decay)
    left = units(leak, leak.tail) * kept ** np.arange(2, 500)  # of readings dark throughout
    return (int(np.flatnonzero(left >= sigma)[-1]) + 2) * READING_S


def made(found: Found, **changes: Any) -> Artefact:
    assert found.signal.course is not None
    about = {
        "rig": "simulated",
        "measured": datetime(2026, 1, 1, tzinfo=UTC),
        "level": 1.0,
        "power": 10.0,
        "on": ON_US / 1e6,
        "rate": RATE_HZ,
        "pulses": found.pulses,
        "signal": found.signal.course,
        "control": found.control.course if found.control else None,
        "sha256": "0" * 64,
    }
    return Artefact(**(about | changes))


# Measuring


@pytest.mark.parametrize("leak", [0.02, 0.1])
def test_the_measured_recovery_is_the_models_within_a_reading(leak: float) -> None:
    model = Leak(leak=leak, **FAST)
    courses = [found.signal.course for found in (measure(seen(model, seed=seed)) for seed in range(9)) if found.is_over]
    assert len(courses) == 9
    off = [(course.recovery - truly_back_s(model, course.sigma)) / READING_S for course in courses if course]
    assert abs(np.median(off)) <= 1.001
    assert np.max(np.abs(off)) <= 2.001  # the latest of sixty pulses is late by chance, too


def test_size_and_decay_are_the_models() -> None:
    model = Leak(leak=0.1, **FAST)
    course = measure(seen(model)).signal.course
    assert course is not None
    assert course.decay == pytest.approx(model.decay, rel=0.1)
    assert course.size == pytest.approx(units(model), rel=0.02)
    assert course.size_dff == pytest.approx(course.size / course.level)


def test_without_an_artefact_nothing_is_left_out_after_light() -> None:
    found = measure(seen(Leak(leak=0.0)))
    assert found.signal.course is not None
    assert found.control is not None
    assert found.control.course is not None
    assert found.signal.course.recovery == found.control.course.recovery == 0.0
    assert found.signal.course.decay is None
    assert found.signal.course.size < 0.2 * found.signal.course.sigma


def test_five_times_the_artefact_takes_longer_by_what_its_decay_says() -> None:
    small, large = (measure(seen(Leak(leak=leak, **FAST))).signal.course for leak in (0.02, 0.1))
    assert small is not None
    assert large is not None
    assert large.recovery - small.recovery == pytest.approx(FAST["decay"] * math.log(5), abs=1.5 * READING_S)


def test_what_outlasts_the_time_looked_at_has_no_recovery() -> None:
    found = measure(seen(Leak(leak=0.2, uncancelled=1.0, tail=0.5, decay=60.0), pulses=6))
    assert found.signal.course is None
    assert not found.is_over


def test_pulses_with_readings_missing_are_left_out_and_counted() -> None:
    whole = seen(Leak(leak=0.1, **FAST))
    kept = np.delete(whole.readings, np.searchsorted(whole.readings["ticks"], whole.pulses_us[:12, 1]) + 30)
    found = measure(Take(kept, RATE_HZ, whole.nano_units, whole.pulses_us, 1.0, AFTER_S))
    assert (found.pulses, found.left_out) == (48, 12)
    assert not made(found).learned


def test_saturation_is_counted() -> None:
    found = measure(seen(Leak(leak=0.9, uncancelled=1.0, tail=0.0), pulses=5))
    assert found.signal.course is not None
    assert found.signal.course.saturated == 5
    assert any("saturated in 5 of 5" in note for note in made(found).notes(0.5))


def test_no_signal_and_no_control_are_said() -> None:
    whole = seen(Leak(leak=0.02, **FAST), pulses=5)
    alone = whole.readings.copy()
    alone["flags"] |= FLAG_NO_CONTROL
    assert measure(Take(alone, RATE_HZ, whole.nano_units, whole.pulses_us, 1.0, AFTER_S)).control is None
    dead = whole.readings.copy()
    dead["signal_lit"] = dead["signal_dark"]
    with pytest.raises(RecordingError, match="no signal"):
        measure(Take(dead, RATE_HZ, whole.nano_units, whole.pulses_us, 1.0, AFTER_S))
    with pytest.raises(RecordingError, match="nothing can be measured"):
        measure(Take(whole.readings, RATE_HZ, whole.nano_units, whole.pulses_us + 10**9, 1.0, AFTER_S))


# Taking away


def test_what_a_template_leaves_of_other_pulses_is_below_the_noise() -> None:
    model = Leak(leak=0.1, **FAST)
    artefact = made(measure(seen(model, seed=1)))
    other = seen(model, seed=2)
    rows = other.readings
    raw = (rows["signal_lit"].astype(float) - rows["signal_dark"]) * other.nano_units / 1e9
    left = less(raw, rows["ticks"], artefact, "signal", Light(other.pulses_us, RATE_HZ))
    sigma = artefact.signal.sigma
    assert np.ptp(raw) > 20 * sigma
    offs, middles = [], []
    for on_us, off_us in other.pulses_us:
        since, first, last = np.searchsorted(rows["ticks"], (on_us - 500_000, on_us - 10_000, off_us + 500_000))
        off = left[first:last] - np.median(left[since:first])
        offs.append(off)
        middles.append(np.median(off[4:60]))
    assert abs(np.mean(np.concatenate(offs))) < 0.2 * sigma
    assert np.std(np.concatenate(offs)) < 1.5 * sigma
    assert np.max(np.abs(middles)) < sigma


def test_a_template_goes_with_power_and_with_the_length_of_a_pulse() -> None:
    course = Course(level=1.0, sigma=0.01, size=0.2, size_dff=0.2, recovery=0.1, lit=(0.2,) * 4, after=(0.1, 0.0))
    artefact = made(measure(seen(Leak(), pulses=2)), signal=course, control=None, rate=100.0)
    since = np.arange(-1, 12) / 100.0
    assert artefact.added(course, since, 0.05, 100.0) == pytest.approx(
        [0, 0] + [0.2] * 5 + [0.1, 0.05] + [0.0] * 4, abs=1e-9
    )
    half = artefact.part(0.9, 5.0)
    assert half == 0.5
    assert artefact.part(0.25, None) == 0.25
    assert artefact.added(course, since, 0.05, 100.0, half)[3] == pytest.approx(0.1)
    assert artefact.added(course, np.array([0.005]), 0.05, 100.0)[0] == pytest.approx(0.1)  # half of it was lit


# On the screen, and of a session


def scene(tmp_path: Path, artefact: Artefact | None, **changes: Any) -> Scene:
    rig = {"name": "simulated"} | ({} if artefact is None else {"artefact": artefact.model_dump(mode="json")})
    one_pulse = {"on_us": 500_000, "period_us": 0, "pulses": 1, "level": 65_535, "ramp_off_us": 0}
    return Scene(tmp_path, rig=rig, command=one_pulse, tip_mw=10.0, **changes)


def flat(pulses: int = LEAST_PULSES) -> Artefact:
    """Adds 100 counts of 1000 in light, and nothing after it."""
    course = Course(level=0.1, sigma=0.001, size=0.01, size_dff=0.1, recovery=0.01, lit=(0.01,) * 40, after=(0.0,) * 90)
    return made(measure(seen(Leak(), pulses=2)), signal=course, control=None, rate=100.0, pulses=pulses)


def with_light(one: Scene) -> Scene:
    one.record(10.01).record(0.5, signal_lit=1100).record(14)
    return one.train(1, 10.0, off_s=10.5)


@pytest.mark.parametrize(("pulses", "blind", "shown"), [(50, False, True), (49, False, False), (50, True, False)])
def test_averages_show_the_signal_less_a_learned_template(
    tmp_path: Path, pulses: int, blind: bool, shown: bool
) -> None:
    code = "K7" if blind else None
    (average,) = with_light(scene(tmp_path, flat(pulses), blinded=code)).end().watch().peri.averages()
    assert average.mean[51:54] == pytest.approx(10.0)
    assert (average.less is not None) == shown
    if average.less is not None:
        assert average.less == pytest.approx(0.0, abs=1e-6)


def test_without_a_template_there_is_the_raw_average_alone(tmp_path: Path) -> None:
    (average,) = with_light(scene(tmp_path, None)).end().watch().peri.averages()
    assert average.less is None


def test_a_session_is_cleaned_beside_what_was_recorded(tmp_path: Path) -> None:
    recording = Recording.open(with_light(scene(tmp_path, None)).end().folder)
    cleaned = artefact_session.cleaned(recording, flat())
    assert cleaned.pulses == 1
    assert np.ptp(cleaned.signal_raw) == pytest.approx(0.01)
    assert np.ptp(cleaned.signal) < 1e-6
    with pytest.raises(RecordingError, match="needs 50"):
        artefact_session.cleaned(recording, flat(49))


@pytest.mark.parametrize(
    ("opsin", "policy", "why"),
    [
        ("Jaws", "open_loop", "Jaws: inhibition would be taken away"),
        (None, "open_loop", "does not say so"),
        ("none", "closed_loop", "light follows events"),
    ],
)
def test_a_sessions_own_template_is_refused_where_light_does_more(
    tmp_path: Path, opsin: str | None, policy: str, why: str
) -> None:
    protocol = {"preparation": {"opsin": opsin} if opsin else None, "policy": {"kind": policy}}
    one = with_light(scene(tmp_path, None, protocol=protocol))
    with pytest.raises(RecordingError, match=why):
        artefact_session.own(Recording.open(one.end().folder))


def test_a_sessions_own_template_is_learned_without_opsin_from_trains_blind_to_the_signal(tmp_path: Path) -> None:
    protocol = {"preparation": {"opsin": "none"}, "policy": {"kind": "open_loop"}}
    one = scene(tmp_path, None, protocol=protocol, started="2026-01-01T12:00:00+00:00")
    noise = np.random.default_rng(4)
    for number in range(55):
        at = one.rows / 100 + 2
        for seconds, height in ((2.01, 1000), (0.5, 1100), (2.49, 1000)):
            count = round(seconds * 100)
            one.record(
                seconds,
                signal_lit=height + noise.integers(-4, 5, count),
                control_lit=900 + noise.integers(-4, 5, count),
            )
        one.train(number + 1, at, off_s=at + 0.5)
    found = artefact_session.own(Recording.open(one.end().folder), after_s=1.5)
    assert found.learned
    assert found.signal.size == pytest.approx(0.01, rel=0.05)
    assert found.recovery <= 0.02


# The light


@pytest.mark.parametrize(
    "limits",
    [
        None,
        Limits(trains_per_minute=10),
        Limits(short_duty=0.02),
        Limits(long_duty=0.01, longest_on=0.2),
        Limits(level=0.1, least_off=1.0),
    ],
)
def test_pulses_stay_within_every_limit_and_none_is_refused(limits: Limits | None) -> None:
    stage = Stage(limits=effective(limits, lease_s=0.25))
    light = plan(Wish(pulses=8, on_s=0.1, after_s=0.3), stage.limits, RATE_HZ)
    bench = Hearer(stage.record, stage.to_daq, stage.to_stimulator, lambda: stage.now_us * 1000)
    stage.bench = bench
    done: list[int] = []
    for _ in procedure(bench, light, lambda: done.append(1)):
        stage.step()
    shots = stage.record.of("artefact")
    assert len(shots) == len(done) == 8
    assert [shot.refused for shot in shots] == [None] * 8
    found = take(bench, light, stage.record.settings)
    assert (found.pulses_us[:, 1] - found.pulses_us[:, 0]) == pytest.approx(100_000, abs=300)
    assert not stage.lit


def test_readings_and_light_are_on_one_clock() -> None:
    stage = Stage(wired="photodiode")
    light = plan(Wish(pulses=3, on_s=0.1, after_s=0.3), stage.limits, RATE_HZ)
    bench = Hearer(stage.record, stage.to_daq, stage.to_stimulator, lambda: stage.now_us * 1000)
    stage.bench = bench
    for _ in procedure(bench, light, lambda: None):
        stage.step()
    found = take(bench, light, stage.record.settings)
    lit = found.readings["ticks"][found.readings["signal_dark"] > 900]
    for on_us, off_us in found.pulses_us:
        inside = lit[(lit > on_us - 20_000) & (lit < off_us + 20_000)]
        assert on_us - 1000 <= inside[0] <= on_us + 9000
        assert off_us - 9000 <= inside[-1] <= off_us + 9000


def test_a_stimulator_that_refuses_ends_the_measurement() -> None:
    stage = Stage()
    light = plan(Wish(pulses=8, on_s=0.1, after_s=0.1), stage.limits, RATE_HZ)._replace(on_us=stage.limits.on_us + 1)
    bench = Hearer(stage.record, stage.to_daq, stage.to_stimulator, lambda: stage.now_us * 1000)
    stage.bench = bench

    def give() -> None:
        for _ in procedure(bench, light, lambda: None):
            stage.step()

    with pytest.raises(DeviceError, match="refuses light: on_time"):
        give()


@pytest.mark.parametrize(
    ("wish", "said"),
    [(Wish(on_s=1.5), "--on"), (Wish(level=0.9), "--level"), (Wish(level=1e-6), "smallest step")],
)
def test_light_beyond_a_limit_is_refused_before_anything_is_opened(wish: Wish, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        plan(wish, effective(Limits(level=0.5), lease_s=0.25), RATE_HZ)


# Files


def test_an_artefact_reads_back_and_says_what_it_means_for_a_protocol(tmp_path: Path) -> None:
    artefact = made(measure(seen(Leak(leak=0.1, **FAST))))
    artefact.save(tmp_path / "a.yaml")
    assert read(tmp_path / "a.yaml") == artefact
    assert artefact.notes(0.5) == []
    assert "needs" in artefact.notes(0.05)[0]
    assert artefact.mismatches("simulated", None) == []
    assert artefact.mismatches("other", 638.0) == ["rig: simulated, not other"]


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("pulses: 0", "pulses"),
        ("level: 0 %", "level"),
        ("rate: 130", "rate"),
        ("sha256: abc", "sha256"),
        ("pulse: 1", "pulse"),
    ],
)
def test_a_spoilt_file_is_refused_with_its_line(tmp_path: Path, line: str, field: str) -> None:
    path = tmp_path / "a.yaml"
    made(measure(seen(Leak(), pulses=2))).save(path)
    kept = [one for one in path.read_text().splitlines() if not one.startswith(f"{line.partition(':')[0]}:")]
    path.write_text("\n".join([*kept, line]))
    with pytest.raises(ConfigError, match=f"a.yaml:{len(kept) + 1}: {field}: "):
        read(path)


def test_the_command_measures_a_simulated_rig_and_says_if_it_was_not_enough(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["selftest", "--artefact", "--rig", "simulated", "--trains", "3", "--on", "100ms", "--after", "300ms"]
    code = cli.main([*asked, "--out", str(tmp_path), "--json"])
    out = capsys.readouterr()
    said = json.loads(out.out)
    assert "LIGHT WILL BE GIVEN" in out.err
    assert code == said["exit_code"] == 3
    assert (said["pulses"] + said["left_out"], said["learned"]) == (3, False)  # a busy computer may lose one
    assert Path(said["data"]).is_file()
    assert "<svg" in Path(said["picture"]).read_text()
    if said["artefact"]:
        assert read(Path(said["artefact"])).pulses == said["pulses"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--on", "100ms"], "--on: belongs to --artefact"),
        (["--artefact", "--after", "5"], "--after"),
        (["--artefact", "--trains", "0"], "--trains"),
        (["--artefact", "--level", "200 %"], "--level"),
    ],
)
def test_a_wrong_command_line_gives_no_light(more: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["selftest", "--rig", "simulated", *more]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "LIGHT" not in err


def test_a_rig_without_light_is_refused(tmp_path: Path) -> None:
    dry = "version: 1\nname: m\ndaq: {kind: photometry_board, port: COM3}\nstimulator: {kind: dry_run}\n"
    (tmp_path / "m.yaml").write_text(dry)
    with pytest.raises(ConfigError, match="gives no light"):
        selftest_artefact.planned(load_rig(str(tmp_path / "m.yaml")), Wish())


# Dead time


@pytest.mark.parametrize("rate_hz", [10, 40, 100, 130, 250, 1000])
def test_the_documented_part_of_light_in_dead_time_is_what_the_board_leaves(rate_hz: int) -> None:
    text = (Path(__file__).parents[1] / "docs" / "measure_the_artefact.md").read_text(encoding="utf-8")
    phases = board_phases(rate_hz)
    passes = DeadTime().share(rate_hz)
    row = f"| {rate_hz} | {phases.optical_us / 1e3:.2f} | {phases.period_us / 1e3:.2f} | {passes * 100:.0f} % |"
    assert row in text


def test_dead_time_of_another_board_is_what_its_readings_leave() -> None:
    interleaved = DeadTime(optical=0.0016, settle=0.0003)
    assert interleaved.share(130.0) == pytest.approx(0.75, abs=0.01)  # SCIENCE 4.2
    assert DeadTime(optical=0.01).share(130.0) == 0.0
    assert "no light is given" in DeadTime(optical=0.01).notes(130.0)[0]
    assert len(interleaved.notes(130.0, off_time_constant=0.05)) == 1
    chopped = DeadTime().notes(130.0, off_time_constant=0.005)
    assert "inhibition is chopped" in chopped[1]


def test_a_trains_pulses_are_told_as_far_as_it_came() -> None:
    command = {"on_us": 200, "period_us": 500, "pulses": 3}
    assert pulses_of(command, 1000, 2250) == [(1000, 1200), (1500, 1700), (2000, 2250)]  # the last one ramps off
    assert pulses_of(command, 1000, 1600) == [(1000, 1200), (1500, 1600)]  # cut short in the second
    assert pulses_of({"on_us": 200, "period_us": 0, "pulses": 1}, 1000, 1200) == [(1000, 1200)]
    assert pulses_of({}, 1000, 1200) == [(1000, 1200)]
