"""An anchor says what an animal's drug-free sessions gave, and there is none where they cannot serve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sessions import command
from study_sessions import PHOTOMETRY, RATE_HZ, animal_readings, csv_file, noise_readings, protocol, session

from closedloop import anchor as anchors
from closedloop.analysis.activity import How, Trace, activity, trace
from closedloop.analysis.anchoring import level, make
from closedloop.analysis.estimates import poisson, typical
from closedloop.analysis.level_course import Course, course
from closedloop.anchor import Anchor
from closedloop.errors import ConfigError
from closedloop.features.ratio import Ratio
from closedloop.online.events import busy_share
from closedloop.readings import FLAG_LIGHT
from closedloop.simulation.animal_model import State
from closedloop.yaml_file import dump

RATIOS = [0.0, 0.008, -0.006]
MINUTES = 10.0


@pytest.fixture(scope="module")
def drug_free(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three sessions of one animal; light comes through a little worse each day, and the ratio wanders."""
    folder = tmp_path_factory.mktemp("drug_free")
    made = []
    for day, ratio in enumerate(RATIOS, 1):
        readings, scale = animal_readings(State(), minutes=MINUTES, seed=day, coupling=1 - 0.05 * day, ratio=ratio)
        made.append(session(folder / f"day{day}", readings, scale, day=day))
    return made


@pytest.fixture(scope="module")
def traces(drug_free: list[Path]) -> list[Trace]:
    return [trace(path, How()) for path in drug_free]


@pytest.fixture(scope="module")
def made(traces: list[Trace]) -> Anchor:
    return make(traces)[0]


def changed(one: Trace, **changes: Any) -> Trace:
    return Trace(**(vars(one) | changes))


def test_the_level_is_the_ratio_and_does_not_see_a_loss_that_both_channels_share(made: Anchor) -> None:
    assert made.level is not None
    steps = np.array(made.level.sessions) - made.level.sessions[0]
    np.testing.assert_allclose(steps, np.array(RATIOS) - RATIOS[0], atol=0.003)  # events alone move it by so much
    assert made.level.mean == pytest.approx(np.mean(made.level.sessions))
    assert made.level.between == pytest.approx(np.std(made.level.sessions, ddof=1))


def test_the_smallest_shift_is_that_of_a_prediction_interval(made: Anchor, traces: list[Trace]) -> None:
    found = made.level
    assert found is not None
    independent = np.median([one.course.seconds for one in traces if one.course]) / (2 * found.correlation)
    expected = 4.302653 * np.sqrt(found.between**2 * (1 + 1 / 3) + found.within**2 / independent)  # t(0.975, 2)
    assert found.smallest_shift == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("sessions", [3, 5, 8])
def test_no_more_than_one_unchanged_session_in_twenty_shifts_beyond_what_can_be_told(sessions: int) -> None:
    random = np.random.default_rng(sessions)
    false = 0
    for _ in range(4000):
        means = random.normal(0.2, 0.01, sessions + 1)
        found = level([Course(mean, 0.01, 1.0, 600) for mean in means[:-1]])
        assert found is not None
        false += abs(means[-1] - found.mean) > found.smallest_shift
    assert 0.03 < false / 4000 < 0.06


def test_events_are_those_of_the_chain_at_a_size_fixed_from_the_baseline(made: Anchor, traces: list[Trace]) -> None:
    events = made.events
    assert events.size == pytest.approx(3 * np.median([one.scatter for one in traces]))
    assert events.release == events.size / 2
    assert events.count == sum(activity(one, events.size, events.release).count for one in traces)
    assert 2.5 < events.rate < 5.5  # four a minute were put in; close ones merge, small ones are missed
    assert events.quantiles["50"] == pytest.approx(0.043, rel=0.2)
    assert events.log_mean == pytest.approx(np.log(events.quantiles["50"]), abs=0.1)


def test_the_time_in_which_no_event_could_begin_is_told(made: Anchor, traces: list[Trace]) -> None:
    size = made.events.size
    shares = [busy_share(one.values, one.clean, RATE_HZ, size, size / 2) for one in traces]
    assert min(shares) <= made.events.busy <= max(shares)
    assert 0.005 < made.events.busy < 0.3


def test_the_noise_model_foretells_the_chain(made: Anchor, traces: list[Trace]) -> None:
    assert len(made.noise.coefficients) == 16
    assert made.noise.rate == RATE_HZ
    one = traces[0].values[traces[0].clean]
    foretold = sum(c * one[15 - at : -1 - at] for at, c in enumerate(made.noise.coefficients))
    left = one[16:] - foretold
    assert np.std(left) == pytest.approx(made.noise.sd, rel=0.3)
    assert np.corrcoef(one[1:], one[:-1])[0, 1] > 0.99
    assert abs(np.corrcoef(left[1:], left[:-1])[0, 1]) < 0.5  # a low pass has zeros, which no such model takes out


def test_a_file_gives_the_same_anchor_back_and_a_changed_one_is_refused(made: Anchor, tmp_path: Path) -> None:
    file = tmp_path / "m17.json"
    made.save(file)
    assert anchors.read(file) == made
    file.write_text(file.read_text().replace('"subject": "M17"', '"subject": "M18"'))
    with pytest.raises(ConfigError, match="changed after it was made"):
        anchors.read(file)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 2}, "is an anchor of version 2, and this program reads version 1"),
        ({"colour": "red"}, "colour: .*; an anchor is never changed by hand, make it anew"),
        ({"sha256": 5}, "sha256: .*; an anchor is never changed by hand, make it anew"),
    ],
)
def test_an_anchor_of_another_kind_is_refused_with_what_to_do(
    changes: dict[str, Any], words: str, made: Anchor, tmp_path: Path
) -> None:
    file = tmp_path / "other.json"
    file.write_text(json.dumps(made.model_dump(mode="json") | changes))
    with pytest.raises(ConfigError, match=words):
        anchors.read(file)


def test_the_command_prints_a_table_writes_the_file_and_never_overwrites_it(
    drug_free: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "m17.json"
    ran = command(capsys, "anchor", *drug_free, "--out", file, "--json")
    assert ran.code == 0, ran.said
    assert ran.summary["subject"] == "M17"
    written = file.read_bytes()
    again = command(capsys, "anchor", *drug_free, "--out", file, "--json")
    assert (again.code, file.read_bytes()) == (2, written)
    assert "frozen" in again.said


def refusals(traces: list[Trace]) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        make(traces)
    return list(refused.value.problems)


OTHER = {
    "subject": ({"subject": "M18"}, "subject: M18, not M17"),
    "nobody": ({"subject": None}, "give --subject"),
    "sensor": ({"photometry": PHOTOMETRY.model_copy(update={"sensor": "GCaMP8m"})}, "sensor: GCaMP8m, not GCaMP6f"),
    "fibre": ({"photometry": PHOTOMETRY.model_copy(update={"fibre": "NAc"})}, "fibre: NAc, not VP-left"),
    "power": ({"photometry": PHOTOMETRY.model_copy(update={"signal_power": 0.04})}, "signal_power: 0.04 mW"),
    "nothing": ({"photometry": None}, "give --sensor, --fibre and --signal-power"),
    "light": ({"trains": 7}, "light was given in it (7 trains)"),
    "phase": ({"phase": "withdrawal day 7"}, "phase 'withdrawal day 7'"),
    "rate": ({"rate_hz": 100.0}, "100 readings a second, not 130"),
    "chain": ({"features": ()}, "other features"),
    "single": ({"course": None}, "no control channel"),
    "noise": ({"present": False}, "nothing but noise"),
}


@pytest.mark.parametrize("name", OTHER)
def test_a_session_that_cannot_serve_is_refused_with_its_reason(name: str, traces: list[Trace]) -> None:
    changes, words = OTHER[name]
    odd = changed(traces[2], source="odd", **changes)
    said = refusals([traces[0], traces[1], odd])
    assert any(line.startswith("odd: ") and words in line for line in said), said


def test_too_few_too_short_and_twice_are_all_said_at_once(traces: list[Trace]) -> None:
    short = changed(traces[0], clean=traces[0].clean & (np.arange(len(traces[0].clean)) < 3 * 60 * RATE_HZ))
    said = "\n".join(refusals([short, short]))
    assert "needs 3 drug-free sessions or more (got 2)" in said
    assert "given 2 times" in said
    assert "5 min are needed" in said


def test_a_session_of_noise_is_seen_to_be_noise(tmp_path: Path) -> None:
    plain = protocol()
    blind = plain.model_copy(update={"quality": plain.quality.model_copy(update={"presence_window": None})})
    file = csv_file(tmp_path / "noise.csv", noise_readings(9), 100_000)
    assert not trace(file, How(protocol=blind)).present
    assert trace(file, How(protocol=plain)).minutes == 0  # with the presence check nothing is fit for use at all


def test_files_need_what_they_do_not_say(
    drug_free: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = []
    for seed in (1, 2, 3):
        readings, scale = animal_readings(State(), minutes=MINUTES, seed=seed, ratio=RATIOS[seed - 1])
        files.append(csv_file(tmp_path / f"{seed}.csv", readings, scale))
    out = ["--out", tmp_path / "a.json", "--json"]
    bare = command(capsys, "anchor", *files, *out)
    assert bare.code == 2
    assert "give --protocol" in bare.said
    (tmp_path / "mine.yaml").write_text(dump(protocol()))
    chain = ["--protocol", tmp_path / "mine.yaml"]
    nameless = command(capsys, "anchor", *files, *out, *chain)
    assert nameless.code == 2
    assert "give --subject" in nameless.said
    half = command(capsys, "anchor", *files, *out, *chain, "--subject", "M17", "--sensor", "GCaMP6f")
    assert half.code == 2
    assert "--fibre, --signal-power: missing" in half.said
    said = ["--subject", "M17", "--sensor", "GCaMP6f", "--fibre", "VP-left", "--signal-power", "30 uW"]
    wrong = command(capsys, "anchor", *files, *out, *chain, *said[:-1], "30")
    assert wrong.code == 2
    assert "--signal-power" in wrong.said
    dark = ["--signal-dark", "0.1", "--control-dark", "0.05"]
    whole = command(capsys, "anchor", *files, *out, *chain, *said, *dark)
    assert whole.code == 0, whole.said
    assert whole.summary["photometry"]["signal_dark"] == pytest.approx(0.1)
    first = np.loadtxt(files[0], delimiter=",", skiprows=1)[round(200 * RATE_HZ) :]
    expected = float(np.mean(np.log((first[:, 1] - 0.1) / (first[:, 2] - 0.05))))
    assert whole.summary["level"]["sessions"][0] == pytest.approx(expected, abs=0.003)


def test_what_cannot_be_read_is_said_in_words(
    drug_free: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", tmp_path / "a.json"]
    assert command(capsys, "anchor", tmp_path / "none", *drug_free, *out, "--protocol", "baseline").code == 5
    assert command(capsys, "anchor", tmp_path, *drug_free, *out).code == 5
    nowhere = command(capsys, "anchor", *drug_free, "--out", tmp_path / "no" / "a.json")
    assert nowhere.code == 2
    assert "there is no folder" in nowhere.said
    assert not list(tmp_path.iterdir())


@pytest.fixture
def with_anchor(made: Anchor, tmp_path: Path) -> Path:
    """A protocol that names the animal's anchor, beside it."""
    made.save(tmp_path / "m17.json")
    text = dump(protocol("withdrawal day 7")) + "anchor: m17.json\n"
    (tmp_path / "mine.yaml").write_text(text)
    return tmp_path / "mine.yaml"


def rig_of(folder: Path, **changes: Any) -> Path:
    from closedloop.rig import load_rig

    measured = PHOTOMETRY.model_copy(update=changes)
    rig = load_rig("simulated").model_copy(update={"photometry": measured})
    (folder / "rig.yaml").write_text(dump(rig))
    return folder / "rig.yaml"


def test_check_and_run_refuse_another_fibre_sensor_power_or_animal(
    with_anchor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fine = command(capsys, "check", with_anchor, "--rig", rig_of(tmp_path), "--json")
    assert fine.code == 0, fine.summary
    other = rig_of(tmp_path, fibre="NAc", signal_power=0.05)
    checked = command(capsys, "check", with_anchor, "--rig", other, "--json")
    assert checked.code == 2
    assert len(checked.summary["refusals"]) == 2
    ran = command(capsys, "run", with_anchor, "--rig", other, "--headless", "--subject", "M17", "--out", tmp_path / "d")
    assert ran.code == 2
    assert [line.partition(": ")[2].split(";")[0] for line in ran.said.splitlines()] == [
        "fibre: NAc, not VP-left",
        "signal_power: 0.05 mW, not 0.03 mW",
    ]
    rig = rig_of(tmp_path)
    ran = command(capsys, "run", with_anchor, "--rig", rig, "--headless", "--subject", "M18", "--out", tmp_path / "d")
    assert ran.code == 2
    assert "subject: M18, not M17" in ran.said
    assert not (tmp_path / "d").exists()


def test_a_protocol_with_an_anchor_that_was_changed_is_refused(
    with_anchor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "m17.json"
    data = json.loads(file.read_text())
    data["level"]["smallest_shift"] /= 10
    file.write_text(json.dumps(data))
    ran = command(capsys, "check", with_anchor)
    assert ran.code == 2
    assert "anchor: " in ran.said
    assert "changed after it was made" in ran.said


def test_a_session_of_another_animal_is_not_replayed_against_this_ones_anchor(
    with_anchor: Path, drug_free: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readings, scale = animal_readings(State(), minutes=0.5, seed=9)
    other = session(tmp_path / "other", readings, scale, subject="M18")
    ran = command(capsys, "replay", other, "--protocol", with_anchor)
    assert ran.code == 2
    assert "subject: M18, not M17" in ran.said
    assert command(capsys, "replay", drug_free[0], "--protocol", with_anchor, "--json").code == 0


def test_light_and_its_recovery_are_left_out(tmp_path: Path) -> None:
    readings, scale = animal_readings(State(), minutes=6, seed=4)
    plain = trace(session(tmp_path / "dark", readings, scale), How())
    lit = readings.copy()
    lit["flags"][40_000:40_130] |= FLAG_LIGHT
    lit["signal_lit"][40_000:40_130] += 5000
    shone = trace(session(tmp_path / "lit", lit, scale), How())
    assert (plain.trains, shone.trains) == (0, 1)
    left_out = np.flatnonzero(plain.clean & ~shone.clean)
    assert left_out[0] == 40_000
    least = 130 + 0.5 * RATE_HZ  # one second, and half a second of recovery; then the chain needs a moment
    assert least - 1 <= len(left_out) < least + 0.5 * RATE_HZ
    assert plain.course is not None
    assert shone.course is not None
    assert shone.course.mean == pytest.approx(plain.course.mean, abs=1e-4)


@pytest.mark.parametrize(("count", "low", "high"), [(0, 0.0, 3.6889), (1, 0.0253, 5.5716), (10, 4.7954, 18.3904)])
def test_the_interval_of_a_count_is_the_exact_one(count: int, low: float, high: float) -> None:
    assert poisson(count, 1.0)[1:3] == pytest.approx((low, high), abs=1e-4)  # as tabulated by Garwood
    assert poisson(count, 2.0)[1:3] == pytest.approx((low / 2, high / 2), abs=1e-4)


def test_a_typical_height_has_the_interval_of_a_log_normal_median() -> None:
    random = np.random.default_rng(5)
    held = [typical(0.04 * np.exp(0.4 * random.standard_normal(30))) for _ in range(2000)]
    inside = np.mean([one is not None and one.low < 0.04 < one.high for one in held])
    assert 0.93 < inside < 0.97
    assert typical(np.ones(4)) is None


@pytest.mark.parametrize("phi", [0.0, 0.8])
def test_the_error_of_a_mean_level_is_what_repeated_sessions_scatter_by(phi: float) -> None:
    random = np.random.default_rng(6)
    means, errors = [], []
    for _ in range(150):
        noise = random.standard_normal(700)
        for at in range(1, 700):
            noise[at] += phi * noise[at - 1]
        found = course(np.arange(600), noise[100:])
        means.append(found.mean)
        errors.append(found.error)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(means), rel=0.25)


def test_the_level_is_the_mean_of_the_number_that_the_ratio_feature_gives_live(tmp_path: Path) -> None:
    readings, scale = animal_readings(State(), minutes=6, seed=4)
    dark = PHOTOMETRY.model_copy(update={"signal_dark": 0.05, "control_dark": 0.02})
    chain = (Ratio(signal_dark=0.05, control_dark=0.02),)
    found = trace(session(tmp_path / "a", readings, scale, photometry=dark), How(features=chain))
    assert found.course is not None
    assert found.course.mean == pytest.approx(np.mean(found.values[found.clean]), abs=1e-4)
