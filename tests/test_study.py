"""The report of a study finds what was put into virtual animals, and says where it cannot tell."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from sessions import command
from study_sessions import PHOTOMETRY, animal_readings, csv_file, protocol, session

from closedloop.analysis import anchoring
from closedloop.analysis.activity import Activity, How, trace
from closedloop.analysis.anchoring import make
from closedloop.analysis.level_course import Course
from closedloop.analysis.study import figure, reference, table, verdict
from closedloop.analysis.study.table import ALL, Asked, Report, Row
from closedloop.analysis.study.verdict import REFUSED, TOLD
from closedloop.anchor import Anchor
from closedloop.errors import ConfigError
from closedloop.readings import FLAG_LIGHT
from closedloop.simulation.animal_model import State
from closedloop.yaml_file import dump

MINUTES = 14.0


class Day(NamedTuple):
    """One session of the course: what is put in, and what differs between days for other reasons."""

    phase: str
    state: State
    coupling: float
    ratio: float
    lit: bool = False


COURSE = [
    Day("baseline", State(), 1.0, 0.0),
    Day("baseline", State(), 0.97, 0.006),
    Day("baseline", State(), 1.02, -0.005),
    Day("withdrawal day 1", State(event_rate=8), 0.9, 0.003),
    Day("withdrawal day 7", State(level=0.1), 0.8, 0.002),
    Day("withdrawal day 14", State(gain=1.6), 0.8, 0.0),
    Day("re-exposure", State(), 0.85, 0.004, lit=True),
]


def course(folder: Path, animal: str, seed: int, wander: float) -> list[Path]:
    """All sessions of one animal; `wander` scales what differs between days for no reason."""
    made = []
    for at, day in enumerate(COURSE):
        readings, scale = animal_readings(
            day.state, minutes=MINUTES, seed=seed + at, coupling=day.coupling, ratio=wander * day.ratio
        )
        if day.lit:
            readings["flags"][60_000:60_065] |= FLAG_LIGHT
        ran = protocol(day.phase)
        made.append(session(folder / animal / f"day{at}", readings, scale, subject=animal, ran=ran, day=at + 1))
    return made


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return course(tmp_path_factory.mktemp("study"), "M17", 100, 1.0)


@pytest.fixture(scope="module")
def unsteady(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return course(tmp_path_factory.mktemp("study"), "M18", 200, 8.0)


def anchor_of(sessions: Sequence[Path]) -> Anchor:
    return make([trace(path, How()) for path in sessions[:3]])[0]


@pytest.fixture(scope="module")
def anchors(steady: list[Path], unsteady: list[Path]) -> list[Anchor]:
    return [anchor_of(steady), anchor_of(unsteady)]


@pytest.fixture(scope="module")
def report(steady: list[Path], unsteady: list[Path], anchors: list[Anchor]) -> Report:
    return table.report([Asked(path) for path in (*steady, *unsteady)], anchors)


def row(found: Report, animal: str, phase: str, measure: str) -> Row:
    (one,) = [
        r for r in found.rows if (r.animal, r.phase, r.measure, r.session) == (animal, phase, measure, ALL)
    ]  # fmt: skip
    return one


def test_a_tonic_shift_is_found_through_a_fifth_of_the_light_lost(report: Report) -> None:
    found = row(report, "M17", "withdrawal day 7", "level")
    assert found.verdict == "raised"
    assert found.low < 10 < found.high
    assert found.value == pytest.approx(10, abs=1.5)


def test_the_same_shift_is_refused_where_the_animal_differs_more_from_day_to_day(report: Report) -> None:
    found = row(report, "M18", "withdrawal day 7", "level")
    assert found.kind == REFUSED
    assert "below the smallest detectable shift of" in found.verdict
    assert found.low < 0 < found.high
    assert found.low < 10 < found.high


def test_a_doubled_rate_is_found_as_a_rate_and_nothing_else(report: Report) -> None:
    for animal in ("M17", "M18"):
        found = row(report, animal, "withdrawal day 1", "rate")
        assert found.kind == TOLD
        assert found.verdict.startswith("raised")
        assert found.value / row(report, animal, "baseline", "rate").value == pytest.approx(1.8, abs=0.5)
        assert row(report, animal, "withdrawal day 1", "gain").kind != TOLD
        assert row(report, animal, "withdrawal day 1", "level").kind != TOLD


def test_larger_events_are_found_as_gain(report: Report) -> None:
    for animal in ("M17", "M18"):
        found = row(report, animal, "withdrawal day 14", "gain")
        assert found.kind == TOLD
        ratio = found.value / row(report, animal, "baseline", "gain").value
        assert 1.2 < ratio < 1.7  # 1.6 less what small events, now seen, take off the typical height


def test_what_is_back_is_not_told_from_the_reference(report: Report) -> None:
    assert row(report, "M17", "re-exposure", "level").kind == REFUSED
    assert row(report, "M17", "re-exposure", "gain").kind != TOLD


def test_phases_stand_in_the_order_of_the_study(report: Report) -> None:
    assert report.phases == ("baseline", "withdrawal day 1", "withdrawal day 7", "withdrawal day 14", "re-exposure")
    odd = ["-", "saline", "Withdrawal day 14", "withdrawal", "re-exposure", "withdrawal day 2", "Baseline 2"]
    assert sorted(odd, key=table._order) == [
        "Baseline 2", "withdrawal", "withdrawal day 2", "Withdrawal day 14", "re-exposure", "-", "saline",
    ]  # fmt: skip


def test_sessions_with_light_are_marked_and_no_measure_is_pooled_with_another(report: Report) -> None:
    assert {r.phase for r in report.rows if r.trains} == {"re-exposure"}
    assert any("[1 trains]" in line for line in table.lines(report))
    assert {r.measure for r in report.rows} == {"level", "rate", "gain"}
    assert any("light was given in 2 session(s)" in note for note in report.notes)


def test_several_sessions_of_a_phase_have_rows_of_their_own_and_one_together(report: Report) -> None:
    rates = [r for r in report.rows if (r.animal, r.phase, r.measure) == ("M17", "baseline", "rate")]
    whole, single = rates[0], rates[1:]
    assert whole.session == ALL
    assert len(single) == 3
    assert whole.n == sum(r.n for r in single)
    assert whole.high - whole.low < min(r.high - r.low for r in single)


def test_without_an_anchor_the_level_is_shown_against_the_baseline_and_not_judged(steady: list[Path]) -> None:
    found = table.report([Asked(path) for path in steady], [])
    level = row(found, "M17", "withdrawal day 7", "level")
    assert level.value == pytest.approx(10, abs=1.5)
    assert level.verdict == "no anchor, no verdict"
    assert row(found, "M17", "withdrawal day 1", "rate").kind == TOLD
    assert any("no verdict on level" in note for note in found.notes)
    alone = table.report([Asked(steady[4])], [])
    assert np.isnan(row(alone, "M17", "withdrawal day 7", "level").value)


def test_many_sessions_can_say_that_there_is_no_shift_beyond_what_one_could_tell() -> None:
    assert verdict.level_verdict(0.001, 0.02, 0.03).words == "no shift beyond ±3 %"
    assert verdict.level_verdict(-0.02, 0.015, 0.03).words == "lowered"
    assert verdict.level_verdict(0.01, 0.025, 0.03).kind == REFUSED


def test_rates_that_differ_from_day_to_day_widen_what_counts_as_a_change() -> None:
    def before(*counts: int) -> reference.Reference:
        return reference.Reference(counts, (10.0,) * len(counts), (), (), 0.0, (), None)

    calm, wild = before(50, 52, 48), before(20, 90, 40)
    assert calm.rate()[1].between == 0
    assert wild.rate()[1].between > 0.3
    doubled = Activity(100, 10.0, np.array([]))
    assert verdict.rate_verdict(doubled, 1, calm).kind == TOLD
    assert verdict.rate_verdict(doubled, 1, wild).kind != TOLD


@pytest.mark.parametrize(("wander", "most"), [(0.0, 0.06), (0.1, 0.09), (0.5, 0.13)])
def test_an_unchanged_rate_is_seldom_told_as_a_change(wander: float, most: float) -> None:
    """More often than in 5 of 100 where days differ much: three sessions do not always show how much."""
    random = np.random.default_rng(4)
    told = 0
    for _ in range(3000):
        rates = 60 * np.exp(wander * random.standard_normal(4))
        counts = random.poisson(rates)
        before = reference.Reference(tuple(counts[:3]), (15.0,) * 3, (), (), 0.0, (), None)
        told += verdict.rate_verdict(Activity(int(counts[3]), 15.0, np.array([])), 1, before).kind == TOLD
    assert told / 3000 < most


def test_a_session_through_another_fibre_is_an_error(steady: list[Path], anchors: list[Anchor], tmp_path: Path) -> None:
    readings, scale = animal_readings(State(), minutes=8, seed=1)
    other = PHOTOMETRY.model_copy(update={"fibre": "NAc"})
    odd = session(tmp_path / "odd", readings, scale, photometry=other)
    with pytest.raises(ConfigError, match="fibre: NAc, not VP-left"):
        table.report([Asked(steady[0]), Asked(odd)], anchors[:1])


def test_the_table_is_tidy_and_the_figure_is_drawn(report: Report, tmp_path: Path) -> None:
    table, vector, picture = figure.write(report, tmp_path / "out")
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:9] == ["animal", "phase", "session", "measure", "value", "low", "high", "n", "verdict"]
    assert len(rows) == len(report.rows) == 2 * 3 * (5 + 7)
    assert all(float(r["low"]) <= float(r["value"]) <= float(r["high"]) for r in rows if r["value"])
    text = vector.read_text()
    for word in ("M17", "M18", "re-exposure", "Level", "Rate", "Gain"):
        assert word in text
    assert picture.read_bytes().startswith(b"\x89PNG")
    again = figure.write(report, tmp_path / "again")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in (table, vector, picture)]


def test_the_command_prints_the_table_and_writes_the_files(
    steady: list[Path], anchors: list[Anchor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    anchors[0].save(tmp_path / "m17.json")
    out = ["--anchor", tmp_path / "m17.json", "--out", tmp_path / "out", "--json"]
    ran = command(capsys, "study", "report", *steady, *out)
    assert ran.code == 0, ran.said
    assert set(ran.summary["files"]) == {"csv", "svg", "png"}
    together = {(r["phase"], r["measure"]): r["verdict"] for r in ran.summary["rows"] if not r["session"]}
    assert together["withdrawal day 7", "level"] == "raised"
    bad: list[tuple[int, str, list[Any]]] = [
        (5, "cannot be opened", [tmp_path / "none" / "session"]),
        (2, "two anchors of M17", [steady[0], "--anchor", tmp_path / "m17.json", "--anchor", tmp_path / "m17.json"]),
        (2, "the same recording as", [steady[0], steady[0]]),
        (2, "cannot be read as an anchor", [steady[0], "--anchor", tmp_path / "none.json"]),
        (2, "must read SESSION=VALUE", [steady[0], "--phase", "other=baseline"]),
    ]
    for code, words, arguments in bad:
        failed = command(capsys, "study", "report", *arguments)
        assert (failed.code, words in failed.said) == (code, True), failed.said


def test_a_file_is_told_its_animal_and_phase(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readings, scale = animal_readings(State(), minutes=8, seed=3)
    file = csv_file(tmp_path / "a.csv", readings, scale)
    (tmp_path / "mine.yaml").write_text(dump(protocol()))
    nameless = command(capsys, "study", "report", file, "--protocol", tmp_path / "mine.yaml")
    assert nameless.code == 2
    assert "give --animal" in nameless.said
    told = ["--animal", f"{file}=M17", "--phase", f"{file}=withdrawal day 7", "--protocol", tmp_path / "mine.yaml"]
    ran = command(capsys, "study", "report", file, *told, "--json")
    assert ran.code == 0, ran.said
    assert ran.summary["phases"] == ["withdrawal day 7"]
    assert {r["animal"] for r in ran.summary["rows"]} == {"M17"}


def test_a_shift_is_told_as_often_as_its_interval_promises() -> None:
    random = np.random.default_rng(3)
    told = 0
    for _ in range(3000):
        means = random.normal(0, 0.01, 5)
        half = anchoring.half_width(float(np.std(means[:4], ddof=1)), 4, 1, Course(0, 1e-6, 0.5, 600).error ** 2)
        told += verdict.level_verdict(float(means[4] - np.mean(means[:4])), half, half).kind == TOLD
    assert 0.035 < told / 3000 < 0.065


def test_an_animal_is_not_given_another_name(tmp_path: Path) -> None:
    readings, nano_units = animal_readings(State(), minutes=3, seed=1)
    folder = session(tmp_path / "ses", readings, nano_units)
    with pytest.raises(ConfigError, match=r"--animal: .*ses says that it is of M17, not M18; leave this out"):
        table.report([Asked(folder, "M18")], [])
