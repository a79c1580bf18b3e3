"""Trains of another session: read from its folder, refused where they do not fit, and given again at their times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from partner_sessions import OneBoard, TwoClocks, block, logged, planned_us, rises_us, session_folder
from plans import NANO_UNITS, noise, plan, readings, with_events
from virtual_session import VirtualSession

from closedloop import limits, partner_file
from closedloop.loop import Loop
from closedloop.partner import Partner
from closedloop.policies.closed_loop import ClosedLoop
from closedloop.policies.manual import Manual
from closedloop.policies.open_loop import OpenLoop
from closedloop.policies.yoked import Yoked
from closedloop.train import Refusal, Train

EVENTS_S = [12.0, 15.3, 17.8, 22.2, 26.1]
LASTS_S = 28.0
WARM_UP_US = 8_000_000


def light() -> Any:
    return readings(with_events(noise(LASTS_S + 1), EVENTS_S))


def other_signal() -> Any:
    return readings(with_events(noise(LASTS_S + 1, seed=9), [14.0, 20.0]))


@pytest.fixture(scope="module")
def partner_session() -> VirtualSession:
    return OneBoard(light(), plan()).run(LASTS_S)


@pytest.fixture(scope="module")
def partner_folder(partner_session: VirtualSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return session_folder(tmp_path_factory.mktemp("partner") / "ses", partner_session)


def off_us(one: Any, other: Any) -> float:
    return float(np.abs(np.subtract(one, other)).max())


def test_a_partner_is_what_was_delivered_since_its_warm_up(
    partner_folder: Path, partner_session: VirtualSession
) -> None:
    lit = rises_us(partner_session)
    read = partner_file.read(partner_folder)
    assert len(lit) == len(EVENTS_S)
    (times,) = read.times_us
    assert off_us(np.add(times, WARM_UP_US), lit) <= 1
    assert read.subject == "M17"
    assert read.command is not None
    assert read.command["on_us"] == 200_000


def test_on_one_board_yoked_light_is_the_partners_within_one_device_tick(
    partner_folder: Path, partner_session: VirtualSession
) -> None:
    read = partner_file.read(partner_folder)
    ran = OneBoard(other_signal(), plan(policy=Yoked(partner=read))).run(LASTS_S)
    assert planned_us(ran) == [at + WARM_UP_US for at in read.times_us[0]]
    assert off_us(rises_us(ran), planned_us(ran)) <= 1
    assert off_us(rises_us(ran), rises_us(partner_session)) <= 1


@pytest.mark.parametrize(("drift_ppm", "late_ms", "most_us"), [(50.0, 0, 1), (-5000.0, 0, 1.006), (50.0, 3, 2)])
def test_on_two_boards_yoked_light_is_off_by_the_error_of_the_clocks_lines_and_no_more(
    partner_folder: Path, drift_ppm: float, late_ms: int, most_us: float
) -> None:
    read = partner_file.read(partner_folder)
    ran = TwoClocks(other_signal(), plan(policy=Yoked(partner=read)), drift_ppm, late_ms).run(LASTS_S)
    assert planned_us(ran) == [at + WARM_UP_US for at in read.times_us[0]]
    print(drift_ppm, late_ms, np.subtract(ran.true_rises_us, planned_us(ran)))
    assert off_us(ran.true_rises_us, planned_us(ran)) <= most_us


@pytest.mark.parametrize("seed", [2, 3, 4])  # of four intervals, one order in 24 is the partner's own
def test_open_loop_delivers_the_partners_trains_and_light_at_times_of_its_own(
    partner_folder: Path, partner_session: VirtualSession, seed: int
) -> None:
    read = partner_file.read(partner_folder)
    ran = OneBoard(other_signal(), plan(policy=OpenLoop(partner=read), seed=seed)).run(LASTS_S)
    there, here = partner_session.stimulator, ran.stimulator
    assert len(rises_us(ran)) == len(rises_us(partner_session))
    lit_us = there.lit_us(0, partner_session.now_us)
    assert here.lit_us(0, ran.now_us) == pytest.approx(lit_us, rel=0.01)  # and so energy, at one level
    assert {level for _, level in here.edges} == {level for _, level in there.edges}
    assert off_us(rises_us(ran), rises_us(partner_session)) > 100_000


BLOCKS = (
    block("baseline", 4.0, policy=Manual()),
    block("loop", 9.0),
    block("rest", 5.0, policy=Manual()),
    block("loop again", 15.0),
    block("washout", 5.0, policy=Manual()),
)
OFTEN = [14.0, 18.0, 22.0, 26.0, 30.0, 34.0, 38.0]


@pytest.mark.parametrize("pauses", [(), ((19.5, 25.0),), ((5.0, 6.0), (13.0, 13.5), (31.0, 33.123))])
def test_time_counts_within_each_block_and_pauses_do_not(pauses: Any, tmp_path: Path) -> None:
    there = logged(readings(with_events(noise(60), OFTEN)), plan(blocks=BLOCKS), pauses)
    folder = session_folder(tmp_path / "ses", there)
    read = partner_file.read(folder)
    assert len(read.times_us) == 2
    assert all(read.times_us)
    assert read.count == len(there.since_start_s)
    here = logged(readings(noise(60, seed=4)), plan(blocks=BLOCKS, policy=Yoked(partner=read)), pauses)
    assert here.since_start_s == there.since_start_s


def test_a_block_that_begins_later_here_gets_its_trains_later(tmp_path: Path) -> None:
    there = logged(readings(with_events(noise(60), OFTEN)), plan(blocks=BLOCKS))
    read = partner_file.read(session_folder(tmp_path / "ses", there))
    later = (BLOCKS[0].model_copy(update={"lasts": 10.0}), *BLOCKS[1:])
    here = logged(readings(noise(70, seed=4)), plan(blocks=later, policy=Yoked(partner=read)))
    assert np.allclose(np.subtract(here.since_start_s, there.since_start_s), 6.0)


def test_a_block_that_ends_by_its_trains_ends_so_for_the_yoked_too(tmp_path: Path) -> None:
    by_trains = (BLOCKS[0], BLOCKS[1].model_copy(update={"trains": 2, "lasts": 30.0}), *BLOCKS[2:])
    there = logged(readings(with_events(noise(60), OFTEN)), plan(blocks=by_trains))
    read = partner_file.read(session_folder(tmp_path / "ses", there))
    here = logged(readings(noise(60, seed=4)), plan(blocks=by_trains, policy=Yoked(partner=read)))
    assert [len(times) for times in read.times_us] == [2, 4]
    assert len(here.since_start_s) == 6
    earlier = np.subtract(there.since_start_s, here.since_start_s)  # it ends at a decision, and a plan's is earlier
    assert earlier[:2].max() == 0
    assert np.allclose(earlier[2:], 0.02)


def test_where_the_partners_blocks_have_policies_of_their_own_those_with_light_count(tmp_path: Path) -> None:
    blocks = (block("baseline", 10.0), block("loop", 30.0, policy=ClosedLoop()))
    there = logged(readings(with_events(noise(50), OFTEN)), plan(blocks=blocks, policy=Manual()))
    read = partner_file.read(session_folder(tmp_path / "ses", there))
    assert len(read.times_us) == 1
    assert read.count == len(there.since_start_s) > 3
    assert read.times_us[0][0] == round((there.since_start_s[0] - 18.0) * 1e6)


def yoked(times_s: list[float], **about: Any) -> Yoked:
    return Yoked(partner=Partner(source="x", times_us=(tuple(round(at * 1e6) for at in times_s),), **about))


def given(steps: Any) -> Any:
    return (steps["decision"] != 0) & (steps["refused"] == 0)


def test_each_planned_train_is_wanted_once_also_when_it_is_refused() -> None:
    ran = logged(readings(noise(40)), plan(policy=yoked([5.0, 6.0, 7.0]), train=Train(on=0.2, period=0.4, count=4)))
    wanted = ran.steps["decision"] != 0
    assert wanted.sum() == 3
    assert [Refusal(code) for code in ran.steps["refused"][wanted]] == [Refusal.NONE, Refusal.REFRACTORY, Refusal.NONE]


def test_what_fell_into_a_gap_is_refused_on_the_record_and_not_left_out() -> None:
    rows = readings(noise(40))
    rows = np.delete(rows, np.arange(1500, 1900))  # 15 s to 19 s
    ran = logged(rows, plan(policy=yoked([7.5, 8.0, 9.0, 15.0])))
    wanted = np.flatnonzero(ran.steps["decision"])
    assert len(wanted) == 4
    assert {Refusal(code).name for code in ran.steps["refused"][wanted[:3]]} == {"GAP"}
    assert ran.steps["refused"][wanted[3]] == 0


def test_at_the_rate_of_a_camera_a_train_is_planned_two_readings_before() -> None:
    rows = readings(noise(30))[::5]  # 20 Hz
    steps = Loop(plan(policy=yoked([5.0321, 9.99])), rate_hz=20.0, nano_units=NANO_UNITS).run(rows)
    at = np.flatnonzero(given(steps))
    assert (rows["ticks"][at] + steps["ahead"][at]).tolist() == [13_032_100, 17_990_000]
    assert (steps["ahead"][at] > 50_000).all()


def test_a_session_of_an_exported_table_is_replayed_from_its_first_reading(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text(
        "time_s,kind,train,reason,value\n9.5,detection,1,,\n9.5,light_on,1,,\n10.0,light_off,1,,\n14.25,light_on,2,,\n"
    )
    read = partner_file.read(tmp_path / "events.csv")
    ran = logged(readings(noise(30)), plan(policy=Yoked(partner=read)))
    assert ran.since_start_s == [9.5, 14.25]


def test_a_table_of_times_is_by_block_and_a_saved_partner_reads_back(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("time_s,block\n1.5,1\n3.25,1\n0.5,2\n")
    read = partner_file.read(tmp_path / "mine.csv")
    assert read.times_us == ((1_500_000, 3_250_000), (500_000,))
    read.save(tmp_path / "mine.yaml")
    assert partner_file.read(tmp_path / "mine.yaml") == read


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_open_loop_of_a_partner_has_its_count_light_and_intervals(partner_folder: Path, seed: int) -> None:
    policy = OpenLoop(partner=partner_file.read(partner_folder))
    ran = logged(other_signal(), plan(policy=policy, seed=seed))
    theirs, mine = policy.partner.times_us[0], np.rint(np.asarray(ran.since_start_s) * 1e6) - WARM_UP_US
    assert len(mine) == len(theirs)
    assert np.sort(np.diff(mine)).tolist() == np.sort(np.diff(theirs)).tolist()
    assert {policy.times_us(s) for s in range(5)} != {policy.times_us(seed)}


def test_the_worst_case_of_yoked_and_matched_light_is_the_partners(tmp_path: Path) -> None:
    assert yoked([1.0, 4.5, 6.75, 30.0]).least_interval == 2.25
    assert Yoked(partner=yoked([1.0, 4.5]).partner, least_interval=1.0).least_interval == 1.0
    several = Partner(source="x", times_us=((1_000_000, 9_000_000), (3_000_000,)))
    assert Yoked(partner=several).least_interval == pytest.approx(2.9)  # the next block may follow at once
    assert OpenLoop(partner=several).least_interval == pytest.approx(2.9)
    assert OpenLoop().least_interval == 5.0


COMMAND = limits.command(Train(on=0.2), None)._asdict()
CEILING = limits.effective(lease_s=0.25)


@pytest.mark.parametrize(
    ("about", "session", "said"),
    [
        ({}, {}, None),
        ({"command": COMMAND}, {}, None),
        ({"command": COMMAND | {"on_us": 100_000}}, {}, "on_us 100000, those of this protocol 200000"),
        ({"command": COMMAND | {"pulses": 3, "period_us": 400_000}}, {}, "period_us 400000"),
        ({"command": COMMAND | {"level": 60_000}}, {}, "level 60000, not 65535"),
        ({"command": COMMAND | {"level": 63_000}}, {}, None),
        ({"command": COMMAND | {"level": 30_000}, "tip_mw": 5.0}, {"tip_mw": 5.1}, None),  # another rig's full power
        ({"command": COMMAND, "tip_mw": 5.0}, {"tip_mw": 6.0}, "5 mW at the tip, not 6"),
        ({}, {"limits": CEILING}, None),
        ({}, {"limits": CEILING._replace(trains_per_minute=4)}, "it had 5 trains in a minute"),
        ({}, {"limits": CEILING._replace(short_on_ms=700)}, "it had 1 s of light in 60 s"),
        ({}, {"limits": CEILING._replace(long_on_ms=900)}, "it had 1 s of light in 600 s"),
        ({}, {"limits": CEILING._replace(off_us=2_000_000)}, "two of its trains are 0.8 s apart"),
    ],
)
def test_a_partner_whose_light_or_limits_differ_in_ways_that_matter_is_refused(
    about: dict[str, Any], session: dict[str, Any], said: str | None
) -> None:
    policy = yoked([1.0, 2.0, 5.0, 9.0, 60.0], **about)
    problems = policy.problems(COMMAND, 0.2, **session)
    assert (problems == []) if said is None else (said in problems[0] and ";" in problems[0])
    given_so = "limits" not in session or said is None
    assert given_so or len(problems) == 1


@pytest.mark.parametrize("tight", [{}, {"trains_per_minute": 4}, {"short_on_ms": 700}, {"off_us": 2_000_000}])
def test_what_check_refuses_is_what_the_loop_would_refuse(tight: dict[str, int]) -> None:
    policy, in_force = yoked([1.0, 2.0, 5.0, 9.0, 60.0]), CEILING._replace(**tight)
    ran = logged(readings(noise(80)), plan(policy=policy, limits=in_force))
    refused = ran.steps["refused"][ran.steps["decision"] != 0]
    assert refused.any() == bool(policy.problems(COMMAND, 0.2, limits=in_force))
