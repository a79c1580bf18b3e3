"""A whole study rehearsed: reproducible, arms share all but the light, sums and powers are what they say they are."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from closedloop.analysis.rehearsal import animals, figure, power, tables, whole
from closedloop.analysis.rehearsal.animals import SCRIPT, Spread, draw, in_phase, state_of
from closedloop.analysis.rehearsal.report import Report, outcome_chamber
from closedloop.analysis.rehearsal.script import read
from closedloop.cli import main
from closedloop.errors import ConfigError
from closedloop.rig import load_rig
from closedloop.simulation.animal import Animal
from closedloop.simulation.arena import Arena

RIG = """
version: 1
name: small_box
daq: {kind: photometry_board, port: simulated, rate: 100 Hz}
stimulator: {kind: arduino, port: simulated, lease: 250 ms}
light: {wavelength: 638 nm, full_power: 10 mW, core: 200 um, aperture: 0.39, depth: 0.5 mm}
inputs: [paired, unpaired]
simulation:
  animal: {preset: demo}
  arena: {chambers: [paired, unpaired], dwell: 4 s}
"""
PROTOCOL = """
version: 1
name: gated
warm_up: 10 s
duration: 60 s
features: {kind: dff}
detector: {kind: threshold, threshold: 4.0, release: 2.0, window: 10 s}
policy: {kind: closed_loop, refractory: 1 s}
gates: {input: paired}
light: {on: 300 ms, power: 4 mW}
quality: {settle: 1 s}
"""
STUDY = """
version: 1
name: small
rig: rig.yaml
animals:
  - {id: M01, start: 2026-03-02}
  - {id: M02, start: 2026-03-02}
arms:
  - {name: lit, policy: {kind: closed_loop, refractory: 1 s}}
  - {name: dark, policy: {kind: sham, refractory: 1 s}}
phases:
  - {name: pre-test, days: [-2, -1], protocol: protocol.yaml, anchor: none}
  - {name: withdrawal, days: 7, protocol: protocol.yaml, arms: yes, anchor: none}
"""
EFFECTS = (2.0, 0.0)
ANIMALS, SEED = 4, 3


def written(folder: Path, study: str = STUDY, rig: str = RIG, protocol: str = PROTOCOL) -> Path:
    for name, text in (("rig.yaml", rig), ("protocol.yaml", protocol), ("study.yaml", study)):
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "study.yaml"


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    return read(written(tmp_path_factory.mktemp("study")))


@pytest.fixture(scope="module")
def rehearsed(script):
    return whole.rehearse_study(script, ANIMALS, EFFECTS, SEED, jobs=2)


@pytest.fixture(scope="module")
def report(rehearsed):
    return Report(rehearsed, "paired")


def test_every_animal_goes_through_every_phase_and_arm(rehearsed):
    seen = {(key.effect, key.animal, key.phase, key.session, key.arm) for key in rehearsed.sessions}
    each = [("pre-test", 1, "-"), ("pre-test", 2, "-"), ("withdrawal", 1, "dark"), ("withdrawal", 1, "lit")]
    assert seen == {(effect, animal, *one) for effect in EFFECTS for animal in range(ANIMALS) for one in each}


def test_readings_are_counted_before_they_are_made(script):
    counted = []
    whole.rehearse_study(script, 2, [0.0], SEED, jobs=2, advance=counted.append)
    assert sum(counted) == script.readings(2) == 2 * (2 + 2) * 6000


def test_the_same_seed_is_the_same_study_however_many_threads_there_are(script, report):
    again = Report(whole.rehearse_study(script, ANIMALS, EFFECTS, SEED, jobs=1), "paired")
    assert again.as_dict() == report.as_dict()
    other = Report(whole.rehearse_study(script, ANIMALS, EFFECTS, SEED + 1), "paired")
    assert other.as_dict() != report.as_dict()


def test_an_assumed_effect_is_the_same_whatever_else_is_tried(script, rehearsed):
    alone = whole.rehearse_study(script, ANIMALS, [EFFECTS[0]], SEED)
    for key, session in alone.sessions.items():
        assert asdict(session) == asdict(rehearsed.sessions[key])


def test_without_an_effect_every_arm_has_one_path(rehearsed):
    for animal in range(ANIMALS):
        lit, dark = (rehearsed.sessions[whole.Key(0.0, animal, "withdrawal", 1, arm)] for arm in ("lit", "dark"))
        assert lit.path == dark.path
        assert len(lit.starts_us) > 3
        assert dark.starts_us == ()
        assert dark.planned > 3


YOKED = STUDY.replace(
    "phases:",
    """  - {name: yoked, policy: {kind: yoked, partner: '{partner}', refractory: 0 s}, yoked_to: lit}
  - name: shuffled
    policy: {kind: open_loop, partner: '{partner}', refractory: 0 s, least_interval: 0 s}
    yoked_to: lit
  - {name: again, policy: {kind: yoked, partner: '{own: pre-test}', refractory: 0 s}}
phases:""",
).replace("  - {id: M02", "".join(f"  - {{id: M1{at}, start: 2026-03-02}}\n" for at in range(3)) + "  - {id: M02")


def test_yoked_animals_get_the_trains_of_the_next_animal_at_their_times(tmp_path):
    script = read(written(tmp_path, YOKED, protocol=PROTOCOL.replace("gates: {input: paired}\n", "")))
    done = whole.rehearse_study(script, 3, [0.0], SEED)
    for animal in range(3):
        lit, own, yoked, shuffled = (
            done.sessions[whole.Key(0.0, who, "withdrawal", 1, arm)]
            for who, arm in (((animal + 1) % 3, "lit"), (animal, "lit"), (animal, "yoked"), (animal, "shuffled"))
        )
        assert_again(yoked.starts_us, lit.starts_us)
        assert lit.starts_us != own.starts_us
        assert len(shuffled.starts_us) == pytest.approx(len(lit.starts_us), abs=2)
        assert shuffled.starts_us != lit.starts_us
        again = done.sessions[whole.Key(0.0, animal, "withdrawal", 1, "again")]
        assert_again(again.starts_us, done.sessions[whole.Key(0.0, animal, "pre-test", 2, "-")].starts_us)


def assert_again(given: tuple[int, ...], partner: tuple[int, ...]) -> None:
    """At the partner's very times; before its detector knows anything, an animal's trains are refused."""
    assert given == partner[len(partner) - len(given) :]
    assert len(given) >= max(10, len(partner) - 2)


def test_days_and_animals_differ(rehearsed):
    paths = [one.path for key, one in rehearsed.sessions.items() if (key.effect, key.arm) == (0.0, "-")]
    assert len({tuple(path) for path in paths}) == len(paths) == 2 * ANIMALS


def test_rows_are_means_over_sessions(report, rehearsed):
    row = next(one for one in report.rows if (one.effect, one.phase, one.arm) == (2.0, "withdrawal", "lit"))
    sessions = [
        one for key, one in rehearsed.sessions.items() if key[0] == 2.0 and key[2] == "withdrawal" and key[4] == "lit"
    ]
    assert len(sessions) == ANIMALS
    assert row.trains == np.mean([len(one.starts_us) for one in sessions])
    lit_s = [sum(min(0.3, 60 - start_us / 1e6) for start_us in one.starts_us) for one in sessions]
    assert row.on_s == pytest.approx(np.mean(lit_s), abs=0.01)
    assert row.energy_mj == pytest.approx(4.0 * row.on_s, rel=1e-3)
    shares = [one.occupancy_s["paired"] / sum(one.occupancy_s.values()) for one in sessions]
    assert row.preference == pytest.approx(np.mean(shares))
    assert row.preference_sd == pytest.approx(np.std(shares, ddof=1))
    assert row.planned_match == 1.0
    dark = next(one for one in report.rows if (one.effect, one.phase, one.arm) == (2.0, "withdrawal", "dark"))
    assert dark.on_match == 0.0
    assert dark.planned_match == pytest.approx(dark.planned / row.planned)


def test_an_outcome_is_the_animals_mean_over_its_sessions(report, rehearsed):
    first = [rehearsed.sessions[whole.Key(0.0, 0, "pre-test", session, "-")] for session in (1, 2)]
    shares = [one.occupancy_s["paired"] / sum(one.occupancy_s.values()) for one in first]
    assert report.outcome(0.0, "pre-test", "-")[0] == pytest.approx(np.mean(shares))


def test_an_assumed_attraction_is_a_difference_and_none_is_none(report):
    differences = {one.effect: one.difference for one in report.contrasts}
    assert differences[2.0] > 0.02
    assert differences[0.0] == 0.0
    assert {(one.arm, one.against) for one in report.contrasts} == {("lit", "dark")}


def test_every_output_says_that_it_is_no_finding(report, tmp_path):
    paths = [*tables.write(report, tmp_path), *figure.draw(report, tmp_path)]
    assert {path.name for path in paths} == {
        *("rehearsal.csv", "power.csv", "sessions.csv", "rehearsal.svg", "rehearsal.png")
    }
    assert "no finding" in report.as_dict()["assumed"]
    assert "no finding" in (tmp_path / "rehearsal.svg").read_text(encoding="utf-8").replace("\n", " ")
    for name in ("rehearsal.csv", "power.csv", "sessions.csv"):
        with (tmp_path / name).open(encoding="utf-8") as file:
            assert {row["assumed"] for row in csv.DictReader(file)} == {"virtual"}
    assert (tmp_path / "rehearsal.png").stat().st_size > 10_000


# ---- Power


def test_where_nothing_differs_about_one_study_in_twenty_does():
    pool = np.random.default_rng(8).normal(0.5, 0.1, 40)
    for one in power.power(pool, pool, seed=1):
        assert one.low - 0.02 < 0.05 < one.high + 0.02
        assert one.studies == power.STUDIES


def test_power_is_what_theory_says_of_a_normal_pool():
    from scipy.stats import nct, t

    random = np.random.default_rng(9)
    one, other = random.normal(1.0, 1.0, 4000), random.normal(0.0, 1.0, 4000)
    found = {p.animals: p.share for p in power.power(one, other, seed=1)}
    for size, share in found.items():
        spread = np.sqrt((np.var(one) + np.var(other)) / 2)
        shift, free = (one.mean() - other.mean()) / spread * np.sqrt(size / 2), 2 * size - 2
        expected = nct.sf(t.ppf(0.975, free), free, shift) + nct.cdf(t.ppf(0.025, free), free, shift)
        assert share == pytest.approx(expected, abs=0.04)


def test_a_pool_without_spread_or_animals_has_no_result():
    assert [one.share for one in power.power(np.full(5, 0.5), np.full(5, 0.5), seed=1)] == [0.0] * len(power.SIZES)
    assert power.power(np.array([np.nan]), np.array([0.5]), seed=1) == []


# ---- Animals


def test_animals_differ_and_fewer_are_the_first_of_more():
    animal, arena = Animal(preset="withdrawal"), Arena(chambers=("paired", "neutral", "unpaired"), passage="neutral")
    many, few = draw(animal, arena, 200, 1, Spread()), draw(animal, arena, 3, 1, Spread())
    assert many[:3] == few
    rates = np.log([one.animal.states["withdrawal"].event_rate / 10 for one in many])
    assert np.std(rates) == pytest.approx(Spread().rate, rel=0.15)
    assert np.mean(rates) == pytest.approx(0, abs=0.06)
    liked = np.log([one.arena.preference["paired"] for one in many])
    assert np.std(liked) == pytest.approx(Spread().preference, rel=0.15)
    assert all("neutral" not in one.arena.preference for one in many)
    assert draw(animal, None, 1, 1, Spread())[0].arena is None


@pytest.mark.parametrize(
    ("phase", "state"),
    [
        ("baseline", "baseline"),
        ("withdrawal day 14", "withdrawal"),
        ("Withdrawal", "withdrawal"),
        ("re-exposure cocaine", SCRIPT),
        ("pre-test", SCRIPT),
    ],
)
def test_a_phase_called_by_a_state_is_spent_in_it(phase, state):
    animal = Animal(preset="withdrawal")
    assert state_of(animal, phase) == state
    found = in_phase(animal, phase)
    assert found.sequence == animal.sequence if state == SCRIPT else {one.state for one in found.sequence} == {state}


def test_the_outcome_is_the_gates_chamber_unless_another_is_asked_for():
    arena = Arena(chambers=("paired", "unpaired"))
    assert outcome_chamber(arena, ["lever", "unpaired"], None) == "unpaired"
    assert outcome_chamber(arena, [], None) == "paired"
    assert outcome_chamber(arena, ["unpaired"], "paired") == "paired"
    assert outcome_chamber(None, [], None) is None
    with pytest.raises(ConfigError, match="chambers are paired, unpaired"):
        outcome_chamber(arena, [], "hall")
    with pytest.raises(ConfigError, match="no arena"):
        outcome_chamber(None, [], "paired")


# ---- The command


def test_the_command_prints_tables_and_writes_files(tmp_path, capsys):
    study = written(tmp_path)
    asked = ["rehearse", str(study), "--animals", "3", "--effect", "20 %", "--out", str(tmp_path / "out")]
    assert main([*asked, "--duration", "30 s"]) == 0
    said = capsys.readouterr().out
    assert "no finding" in said
    assert "+20 %/s" in said
    assert "-20 %/s" in said
    assert "lit - dark" in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("power.csv", "rehearsal.csv", "rehearsal.png", "rehearsal.svg", "sessions.csv")
    ]


def test_json_is_one_object_and_the_same_each_time(tmp_path, capsys):
    study = written(tmp_path)
    found = []
    for _ in range(2):
        asked = ["rehearse", str(study), "--duration", "20 s", "--seed", "5", "--json", "--out", str(tmp_path / "out")]
        assert main(asked) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]
    assert found[0]["effects"] == [0.02, -0.02, 0.0]
    assert found[0]["animals"] == 2
    assert len(found[0]["rows"]) == 3 * 3


REFUSED = [
    (["--animals", "1"], "--animals: must be from 2 to 1000 (got 1)"),
    (["--effect", "much"], "--effect: is no share"),
    (["--effect", "5"], "--effect: needs a unit"),
    (["--effect", "95 %"], "--effect: must be at most 90 %"),
    (["--chamber", "hall"], "--chamber: no chamber is called so (got hall); chambers are paired, unpaired"),
    (["--rig", "simulated", "--effect", "2 %"], "has no input 'paired'|there is no input 'paired'|no simulation.arena"),
    (["--rig", "arduino_uno"], "is no simulated rig"),
    (["--jobs", "0"], "--jobs: must be at least 1"),
    (["--seed", "-1"], "--seed: must not be below 0"),
    (["--duration", "0 s"], "--duration: must be longer than nothing"),
]


@pytest.mark.parametrize(("options", "said"), REFUSED, ids=[" ".join(options) for options, _ in REFUSED])
def test_what_cannot_be_rehearsed_is_refused_in_a_line(options, said, tmp_path, capsys):
    study = written(tmp_path)
    assert main(["rehearse", str(study), "--out", str(tmp_path / "out"), *options]) == 2
    error = capsys.readouterr().err
    assert any(one in error for one in said.split("|")), error
    assert "Traceback" not in error
    assert not (tmp_path / "out" / "rehearsal.csv").exists()


def test_a_study_that_is_not_there_or_wrong_is_refused(tmp_path, capsys):
    assert main(["rehearse", str(tmp_path / "none.yaml")]) == 2
    study = written(tmp_path, STUDY.replace("days: 7", "day: 7"))
    assert main(["rehearse", str(study), "--out", str(tmp_path / "out")]) == 2
    assert "study.yaml:" in capsys.readouterr().err


def test_all_that_is_assumed_is_in_the_json(report):
    found = report.as_dict()
    assert found["spread"] == animals.SPREAD._asdict()
    assert found["power"]["p"] == power.P
    assert found["rig"] == "small_box"
    assert load_rig("simulated_cpp").simulation.arena.effect == 0


ANCHOR = Path(__file__).parents[1] / "configs" / "anchors" / "simulated.json"


def test_phases_that_use_an_anchor_get_the_one_that_is_given(tmp_path):
    anchored = STUDY.replace("protocol: protocol.yaml, arms: yes, anchor: none", "protocol: open.yaml, arms: yes")
    gated = (ANCHOR.parents[1] / "protocols" / "withdrawal_gated.yaml").read_text(encoding="utf-8")
    (tmp_path / "open.yaml").write_text(
        "\n".join(line for line in gated.splitlines() if not line.startswith("anchor:")), encoding="utf-8"
    )
    study = written(tmp_path, anchored)
    with pytest.raises(ConfigError, match="phase withdrawal: give the virtual animals an anchor, such as --anchor"):
        read(study)
    script = read(study, anchor=ANCHOR)
    assert script.protocols["withdrawal"].anchor is not None
    assert script.protocols["pre-test"].anchor is None
    with pytest.raises(ConfigError, match=r"none\.json"):
        read(study, anchor=tmp_path / "none.json")
