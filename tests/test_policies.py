"""What each arm wants and when, through the loop: live, in a replay and in batches of any size."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from partner_sessions import block, logged, planned_us
from plans import NANO_UNITS, RATE_HZ, noise, plan, readings, with_events
from scipy.stats import binom
from study_sessions import animal_readings
from virtual_session import VirtualSession

from closedloop import formats
from closedloop.loop import Loop, Plan
from closedloop.model import kinds
from closedloop.policies import Policy
from closedloop.policies.catch import Catch
from closedloop.policies.closed_loop import ClosedLoop
from closedloop.policies.delayed import Delayed
from closedloop.policies.inverse import Inverse
from closedloop.policies.open_loop import OpenLoop
from closedloop.policies.sham import Sham
from closedloop.policies.yoked import Yoked
from closedloop.protocol import load_protocol
from closedloop.readings import Readings
from closedloop.simulation.animal import Animal
from closedloop.steps import DETECTED, HIGH
from closedloop.train import Refusal, Train

EVENTS_S = [12.0, 18.0, 21.0, 22.5, 30.0, 36.0]
SEED = 11


def loop_of(loop_plan: Plan, rate_hz: float = RATE_HZ) -> Loop:
    return Loop(loop_plan, rate_hz=rate_hz, nano_units=NANO_UNITS)


def policies() -> list[Policy]:
    partner: Any = {"source": "x", "times_us": [[5_000_000, 9_123_456, 20_000_001]]}
    own = {"catch": {"probability": 0.5}, "delayed": {"delay": 1.0, "jitter": 3.0}, "yoked": {"partner": partner}}
    own |= {"open_loop": {"trains": 5, "within": 25.0, "least_interval": 2.5}, "inverse": {"every": 3.0}}
    return [kind(**own.get(name, {})) for name, kind in kinds("closedloop.policies").items()]  # type: ignore[misc]


def trains(steps: Any, rows: Readings) -> list[tuple[int, int, int, int]]:
    at = np.flatnonzero(steps["decision"])
    columns = (rows["ticks"][at], steps["ahead"][at], steps["decision"][at], steps["refused"][at])
    return list(zip(*(column.tolist() for column in columns), strict=True))


def fired_s(steps: Any, rows: Readings) -> list[float]:
    return [(ticks + ahead) / 1e6 for ticks, ahead, _, refused in trains(steps, rows) if not refused]


@pytest.mark.parametrize("policy", policies(), ids=lambda one: one.kind)
def test_live_replay_and_batches_give_the_same_trains(policy: Policy) -> None:
    signal = readings(with_events(noise(40), EVENTS_S))
    live = VirtualSession(signal, plan(policy=policy, seed=SEED)).run(39.5)
    rows = live.rows
    replayed = loop_of(live.plan).run(rows)
    cuts = np.sort(np.random.default_rng(2).choice(len(rows), 60, replace=False))
    again = loop_of(live.plan)
    assert trains(np.concatenate([again.run(part) for part in np.split(rows, cuts)]), rows) == trains(replayed, rows)
    assert trains(np.concatenate(live.notebook.steps), rows) == trains(replayed, rows)
    assert trains(replayed, rows) or not policy.decisions or policy.kind == "on_board"
    lit = [e["train"] for e in live.notebook.events if e["kind"] == "light_on" and e["reason"] is None]
    wanted = [e["train"] for e in live.notebook.events if e["kind"] == "decision" and e["reason"] == "fire"]
    refused = [e["train"] for e in live.notebook.events if e["kind"] == "refused"]
    assert sorted(lit) == sorted(set(wanted) - set(refused))


def recordings(shared: Path) -> list[Any]:
    names = ("m17-R-2018-12-12-090409.ppd", "martianova_example.csv", "ibl_npm_region4_unplugged.csv")
    return [formats.read(shared / name) for name in names]


def assert_differ_in_the_arm_alone(loops: tuple[Loop, Loop], rows: Readings) -> int:
    closed, sham = (loop.run(rows) for loop in loops)
    for name in closed.dtype.names or ():
        if name != "decision":
            assert closed[name].tobytes() == sham[name].tobytes(), name
    assert ((closed["decision"] != 0) == (sham["decision"] != 0)).all()
    return int(np.count_nonzero(closed["decision"]))


def test_sham_and_closed_loop_on_real_recordings_differ_in_the_arm_alone(shared_data: Path) -> None:
    decided = 0
    for stream in recordings(shared_data):
        protocol = load_protocol("demo")
        made = []
        for policy in (ClosedLoop(), Sham()):
            arm = protocol.in_arm(policy, "A").model_copy(update={"light": Train(on=0.2)})
            limits = plan().limits
            loop_plan = arm.plan(limits, None)
            made.append(Loop(loop_plan, rate_hz=stream.rate_hz, nano_units=stream.nano_units))
            assert loop_plan.decisions[0] == ("fire" if policy.kind == "closed_loop" else "sham")
        decided += assert_differ_in_the_arm_alone((made[0], made[1]), stream.readings)
    assert decided > 50


@pytest.mark.parametrize("state", list(Animal().states))
def test_sham_and_closed_loop_on_a_virtual_animal_differ_in_the_arm_alone(state: str) -> None:
    rows, nano_units = animal_readings(Animal().states[state], minutes=6, seed=3)
    arms = [Loop(plan(policy=one), rate_hz=130.0, nano_units=nano_units) for one in (ClosedLoop(), Sham())]
    assert_differ_in_the_arm_alone((arms[0], arms[1]), rows)


# catch


def ten_hours() -> Readings:
    events = list(np.arange(15.0, 36_000 - 5, 6.0))
    return readings(with_events(noise(36_000), events))


@pytest.fixture(scope="module")
def long_run() -> Readings:
    return ten_hours()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_catch_leaves_out_its_share_over_ten_virtual_hours(long_run: Readings, seed: int) -> None:
    policy = Catch(probability=0.25)
    steps = loop_of(plan(policy=policy, seed=seed)).run(long_run)
    taken = steps["decision"][(steps["decision"] != 0) & (steps["refused"] == 0)] == 2
    assert len(taken) > 5000
    low, high = binom.interval(0.95, len(taken), 0.25)
    assert low <= taken.sum() <= high
    assert taken.tolist() == (policy.assignment(seed)[: len(taken)] != 0).tolist()


def test_permuted_blocks_hold_the_very_share_in_each_block() -> None:
    drawn = Catch(by="permuted_blocks", block=8).assignment(1)[:80_000].reshape(-1, 8)
    assert (drawn.sum(axis=1) == 2).all()
    assert len({row.tobytes() for row in drawn}) == 28  # all orders there are
    low, high = binom.interval(1 - 1e-6, 10_000, 0.25)
    assert ((low <= drawn.sum(axis=0)) & (drawn.sum(axis=0) <= high)).all()


def test_what_is_refused_uses_up_no_assignment() -> None:
    rows = readings(with_events(noise(60), [float(at) for at in range(10, 58, 1)]))
    policy = Catch(probability=0.5, refractory=2.0)
    steps = loop_of(plan(policy=policy, seed=SEED)).run(rows)
    wanted = steps["decision"] != 0
    taken = steps["decision"][wanted & (steps["refused"] == 0)] == 2
    assert (steps["refused"][wanted] != 0).sum() > 5
    assert taken.tolist() == (policy.assignment(SEED)[: len(taken)] != 0).tolist()
    assert 0 < taken.sum() < len(taken)


def test_the_header_tells_the_assignment_in_the_order_of_use() -> None:
    policy = Catch()
    drawn = policy.drawn(3)
    assert drawn["assignment"] == "".join("fc"[one] for one in policy.assignment(3)[: drawn["shown"]])
    assert (drawn["probability"], drawn["by"]) == (0.25, "bernoulli")
    assert policy.drawn(4)["sha256"] != drawn["sha256"]


def test_catch_gives_no_light_where_nothing_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = loop_of(plan(policy=Catch(probability=0.01), seed=SEED))
    policies_memory = loop._memory["policies"]
    policies_memory[policies_memory.dtype.names[0]]["used"] = 1 << 17
    rows = readings(with_events(noise(40), EVENTS_S))
    steps = loop.run(rows)
    assert {2} == set(steps["decision"][steps["decision"] != 0].tolist())


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"probability": 0.3, "by": "permuted_blocks"}, "whole number of catch trials"),
        ({"probability": 0.01, "by": "permuted_blocks", "block": 10}, "whole number of catch trials"),
        ({"probability": 0.0}, "greater than 0"),
        ({"probability": 1.0}, "less than 1"),
    ],
)
def test_a_share_that_cannot_be_drawn_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Catch(**fields)


# delayed


def delayed_run(events: list[float], seconds: float = 60, **fields: Any) -> Any:
    rows = readings(with_events(noise(seconds), events))
    return logged(rows, plan(policy=Delayed(**fields), seed=SEED))


@pytest.mark.parametrize("delay", [0.0, 0.0123456, 0.2, 0.777777, 5.0, 10.0])
def test_a_delayed_train_comes_to_the_microsecond(delay: float) -> None:
    ran = delayed_run([12.0, 30.0], delay=delay, refractory=0.0)
    detected = ran.rows["ticks"][(ran.steps["bits"] & DETECTED) != 0] / 1e6
    assert np.allclose(ran.since_start_s, detected + delay, atol=1e-9)


def test_jitter_is_drawn_in_advance_and_told() -> None:
    events = [12.0, 40.0, 70.0, 100.0]
    ran = delayed_run(events, 130, delay=5.0, jitter=15.0)
    drawn = Delayed(delay=5.0, jitter=15.0).drawn(SEED)
    assert drawn is not None
    assert np.allclose(np.subtract(ran.since_start_s, events), np.array(drawn["delay_us"][:4]) / 1e6, atol=1e-9)
    all_drawn = Delayed(delay=5.0, jitter=15.0).delays_us(SEED)
    assert 5e6 <= all_drawn.min() < 5.01e6
    assert 19.99e6 < all_drawn.max() <= 20e6
    assert Delayed().drawn(SEED) is None


@pytest.mark.parametrize(("on_new", "at_s"), [("keep", [17.0, 35.0]), ("restart", [20.0, 35.0]), ("drop", [35.0])])
def test_a_detection_while_a_train_is_pending_does_what_the_protocol_says(on_new: str, at_s: list[float]) -> None:
    ran = delayed_run([12.0, 15.0, 30.0], delay=5.0, on_new=on_new)
    assert np.allclose(ran.since_start_s, at_s)
    assert np.count_nonzero(ran.steps["bits"] & DETECTED) == 3  # all on the record


def test_a_delayed_train_is_refused_at_its_own_time_and_recorded() -> None:
    ran = delayed_run([12.0, 13.5, 16.0], delay=0.5, refractory=3.0)
    assert [Refusal(r).name for _, _, _, r in trains(ran.steps, ran.rows)] == ["NONE", "REFRACTORY", "NONE"]


def test_an_event_in_warm_up_gives_no_train_after_it() -> None:
    rows = readings(with_events(noise(40), [17.0]))
    steps = loop_of(plan(policy=Delayed(delay=5.0), warm_up_s=20.0)).run(rows)
    assert (steps["bits"] & DETECTED).any()
    assert not steps["decision"].any()


def test_a_train_pending_where_its_block_ends_is_not_given_in_a_later_one() -> None:
    blocks = (block("loop", 6.0), block("rest", 3.0, policy=Sham()), block("loop again", 20.0))
    rows = readings(with_events(noise(40), [12.0, 25.0]))
    ran = logged(rows, plan(policy=Delayed(delay=4.0), blocks=blocks))
    assert np.allclose(ran.since_start_s, [29.0])


# inverse


def test_inverse_acts_after_so_long_below_release_and_once_a_quiet_stretch() -> None:
    rows = readings(with_events(noise(50), [12.0, 20.0, 30.0]))
    steps = loop_of(plan(policy=Inverse(after=2.0))).run(rows)
    fired = fired_s(steps, rows)
    high = (steps["bits"] & HIGH) != 0
    ends = rows["ticks"][1:][high[:-1] & ~high[1:]] / 1e6
    assert len(ends) == 3
    assert np.allclose(fired, [8.0 + 2.0, *(ends - 0.01 + 2.0)])
    assert not (high & (steps["decision"] != 0)).any()


def test_inverse_every_repeats_within_a_quiet_stretch() -> None:
    rows = readings(with_events(noise(50), [30.0]))
    steps = loop_of(plan(policy=Inverse(after=2.0, every=5.0))).run(rows)
    fired = np.array(fired_s(steps, rows))
    assert np.allclose(fired[:4], [10.0, 15.0, 20.0, 25.0])
    assert ((fired < 30) | (fired > 32.4)).all()
    assert np.allclose(np.diff(fired[fired > 31]), 5.0)


def test_inverse_asks_again_after_a_refusal_and_each_time_waits_anew() -> None:
    rows = readings(noise(40))
    rows["inputs"][2500:] = 1
    from closedloop.gates import Gate

    steps = loop_of(plan(policy=Inverse(after=4.0), gates=(Gate(input="in"),), input_names=("in",))).run(rows)
    asked = [(ticks / 1e6, Refusal(r).name) for ticks, _, _, r in trains(steps, rows)]
    assert asked == [(12.0, "GATE"), (16.0, "GATE"), (20.0, "GATE"), (24.0, "GATE"), (28.0, "NONE")]


# open loop


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_open_loop_gives_its_number_within_its_time_and_keeps_apart(seed: int) -> None:
    policy = OpenLoop(trains=20, within=300.0, least_interval=5.0)
    ran = logged(readings(noise(320)), plan(policy=policy, seed=seed))
    given = np.array(ran.since_start_s) - 8.0
    assert len(given) == 20
    assert np.allclose(given, np.array(policy.times_us(seed)[0]) / 1e6, atol=1e-9)
    assert given.min() >= 0
    assert given.max() <= 300
    assert np.diff(given).min() >= 5.0 - 1e-9


def test_intervals_above_the_least_are_exponential() -> None:
    policy = OpenLoop(trains=2000, within=20_000.0, least_interval=5.0)
    beyond = np.diff(np.array(policy.times_us(1)[0]) / 1e6) - 5.0
    mean = (20_000 - 1999 * 5) / 2001
    assert abs(beyond.mean() / mean - 1) < 0.05
    assert abs(beyond.std() / mean - 1) < 0.1
    assert abs(np.mean(beyond > mean) - np.exp(-1)) < 0.03


def test_open_loop_of_each_block_is_drawn_for_itself() -> None:
    blocks = (block("one", 30.0), block("rest", 5.0, policy=Sham()), block("two", 30.0))
    policy = OpenLoop(trains=4, within=28.0, least_interval=3.0)
    ran = logged(readings(noise(80)), plan(policy=policy, seed=SEED, blocks=blocks))
    one, two, *_ = policy.times_us(SEED)
    assert np.allclose(np.array(ran.since_start_s) * 1e6, [*(np.array(one) + 8e6), *(np.array(two) + 43e6)])
    told = policy.drawn(SEED)["times_us"]
    assert told[:2] == [list(one), list(two)]


def test_open_loop_is_matched_in_count_light_and_energy_to_a_partner_with_hundreds_of_trains() -> None:
    rng = np.random.default_rng(5)
    times = np.cumsum(np.rint((1.5 + rng.exponential(6.0, 200)) * 1e6)).astype(int)
    partner: Any = {"source": "x", "times_us": [times.tolist()]}
    rows = readings(noise(times[-1] / 1e6 + 20))
    closed, opened = (
        loop_of(plan(policy=policy, seed=SEED, power_mw=5.0)).run(rows)
        for policy in (Yoked(partner=partner), OpenLoop(partner=partner))
    )
    given = [((one["decision"] != 0) & (one["refused"] == 0)).sum() for one in (closed, opened)]
    assert abs(given[1] / given[0] - 1) <= 0.05  # one train of the session: light and energy go with the count
    assert given[0] >= 190


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"trains": 100, "within": 300.0}, "too short for 100 trains"),
        ({"partner": {"source": "x", "times_us": [[1]]}, "trains": 5}, "partner both say"),
    ],
)
def test_open_loop_that_cannot_be_drawn_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        OpenLoop(**fields)


def test_open_loop_whose_trains_would_meet_is_refused_before_the_start() -> None:
    from closedloop.limits import command

    lasts = Train(on=0.5, period=1.0, count=6)
    (said,) = OpenLoop().problems(command(lasts, None)._asdict(), lasts.lit_us / 1e6)
    assert said == (
        "least_interval (5 s) lets trains meet: a train lasts 5.5 s, and 0 s of refractory follow; "
        "lengthen least_interval"
    )
    assert OpenLoop(least_interval=6.0).problems(command(lasts, None)._asdict(), lasts.lit_us / 1e6) == []


def test_planned_light_on_virtual_boards_begins_when_it_was_planned() -> None:
    policy = OpenLoop(trains=5, within=20.0, least_interval=2.5)
    ran = VirtualSession(readings(noise(30)), plan(policy=policy, seed=SEED)).run(29)
    assert np.abs(np.array(ran.lit_s) * 1e6 - planned_us(ran)).max() <= 1000  # lit_s is rounded to the millisecond


def test_the_assignment_is_in_the_file_before_the_first_trigger(tmp_path: Path) -> None:
    from closedloop import session
    from closedloop.recording import Recording
    from closedloop.request import Request
    from closedloop.rig import load_rig

    stream = formats.Stream(readings(with_events(noise(60), [*EVENTS_S, 42.0, 48.0])), 100_000, NANO_UNITS, "x")
    policy = Catch(probability=0.5)
    protocol = load_protocol("demo", ["warm_up=8 s"]).model_copy(update={"policy": policy})
    seen: list[tuple[Any, int]] = []

    def look(folder: Path) -> None:
        if not seen and (folder / "header.json").exists():
            recording = Recording.open(folder)
            seen.append((recording.header["drawn"], sum(e.train is not None for e in recording.events())))

    request = Request(protocol, load_rig("simulated"), tmp_path, SEED, play=stream, speed=10.0)
    ran = Recording.open(session.run(request, look).folder)
    assert seen == [([{"policy": "catch", **policy.drawn(SEED)}], 0)]  # and no trigger yet
    assert ran.header["drawn"] == seen[0][0]
    rows = ran.rows()
    taken = "".join(" fc"[one] for one in rows["decision"][(rows["decision"] != 0) & (rows["refused"] == 0)])
    assert len(taken) > 3
    assert taken == ran.header["drawn"][0]["assignment"][: len(taken)]


# the page


def page() -> str:
    return (Path(__file__).parents[1] / "docs" / "arms.md").read_text("utf-8")


def test_the_page_has_every_policy_there_is() -> None:
    assert [kind for kind in kinds("closedloop.policies") if f"| `{kind}` |" not in page()] == []


@pytest.mark.parametrize("shown", re.findall(r"^```yaml\n(.*?)^```", page(), re.DOTALL | re.MULTILINE))
def test_what_the_page_shows_loads(shown: str, tmp_path: Path) -> None:
    demo = (Path(__file__).parents[1] / "configs" / "protocols" / "demo.yaml").read_text("utf-8")
    there = tmp_path / "trains.csv"
    there.write_text("time_s\n1.0\n20.0\n")
    shown = re.sub(r"(?<=partner: )\S+", str(there), shown)
    replaced = r"^duration:.*\n" if shown.startswith("blocks:") else r"^policy:.*\n"
    assert re.search(replaced, demo, flags=re.MULTILINE)
    file = tmp_path / "mine.yaml"
    file.write_text(re.sub(replaced, lambda _: shown, demo, flags=re.MULTILINE), encoding="utf-8")
    assert load_protocol(str(file))
