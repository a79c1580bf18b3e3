"""`any` and `all`: several detectors as one, each with a crossing and statistics of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
from anchors import anchor
from plans import NANO_UNITS, RATE_HZ, plan, readings
from pydantic import Field, ValidationError

from closedloop import schema
from closedloop.detectors import Detector
from closedloop.detectors.all import AllOf
from closedloop.detectors.any import AnyOf
from closedloop.detectors.threshold import Threshold
from closedloop.errors import ConfigError
from closedloop.features import Feature
from closedloop.features.dff import Dff
from closedloop.loop import Loop
from closedloop.model import kernel
from closedloop.protocol import Protocol, load_protocol
from closedloop.quality import Quality
from closedloop.steps import DETECTED, HIGH, PLANNED, VALID
from closedloop.yaml_file import dump

DEMO = (Path(__file__).parents[1] / "configs" / "protocols" / "demo.yaml").read_text()
STILL = Quality(largest_step=10.0)  # no veto in these tests, and readings have a level for it to be judged by
LEVEL, SECOND = 10.0, 40.0  # of signal and control: so far apart that they are never taken for exchanged


@kernel
def _signal(memory: Any, p: Any, signal: float, control: float, learn: bool) -> float:
    return signal - LEVEL


@kernel
def _control(memory: Any, p: Any, signal: float, control: float, learn: bool) -> float:
    return np.nan if control > 90.0 else control - SECOND


class _Raw(Feature):
    kind: Literal["raw"] = "raw"
    memory_type: ClassVar[Any] = np.dtype([("nothing", "u1")], align=True)
    parameter_type: ClassVar[Any] = np.dtype([("nothing", "u1")], align=True)
    value: ClassVar[Any] = staticmethod(_signal)

    def parameters(self, rate_hz: float) -> Any:
        return np.zeros(1, self.parameter_type)


class _Second(_Raw):
    """The control, unknown above 50."""

    kind: Literal["second"] = "second"  # type: ignore[assignment]
    value: ClassVar[Any] = staticmethod(_control)


@kernel
def _score(memory: Any, p: Any, value: float) -> float:
    return value


@kernel
def _learn(memory: Any, p: Any, value: float) -> None:
    memory.learnt += 1


@kernel
def _follow(memory: Any, p: Any, value: float) -> None:
    memory.followed += 1


@kernel
def _learnt(memory: Any, p: Any) -> float:
    return float(memory.learnt)


class _Itself(Detector):
    """The value as its own score, and how often it was taught."""

    kind: Literal["itself"] = "itself"
    size: float | None = Field(None, description="Left to the anchor.")
    memory_type: ClassVar[Any] = np.dtype([("learnt", "i8"), ("followed", "i8")])
    parameter_type: ClassVar[Any] = np.dtype([("nothing", "u1")], align=True)
    score: ClassVar[Any] = staticmethod(_score)
    learn: ClassVar[Any] = staticmethod(_learn)
    follow: ClassVar[Any] = staticmethod(_follow)
    shown: ClassVar[Any] = {"learnt": _learnt}

    def parameters(self, rate_hz: float) -> Any:
        return np.zeros(1, self.parameter_type)

    def anchored(self, anchor: Any) -> Any:
        return self.model_copy(update={"size": anchor.events.size})

    @property
    def needs_anchor(self) -> bool:
        return self.size is None

    def notes(self, rate_hz: float) -> list[str]:
        return [f"at {rate_hz:g} Hz"]


TRIGGER = _Itself(threshold=3.0, release=2.0, hold=1.0)
GATE = _Itself(threshold=5.0, release=1.0, minimum_duration=0.03, hold=1.0, features=(_Second(),))


def ran(detector: Detector, first: Any, second: Any, **changes: Any) -> Any:
    """Steps over these values: what the first member sees, and what the one with `_Second` sees."""
    rows = readings(np.asarray(first) + LEVEL, np.asarray(second) + SECOND)
    rows["signal_lit"] += np.arange(len(rows)) % 2  # never flat
    whole = plan(**({"detector": detector, "features": (_Raw(),), "quality": STILL, "warm_up_s": 0.0} | changes))
    return Loop(whole, rate_hz=RATE_HZ, nano_units=NANO_UNITS).run(rows)


def reference(values: Any, member: Detector) -> tuple[list[bool], list[bool]]:
    """Known, and high, reading by reading: the rule in plain words."""
    known, highs, high, above = [], [], False, 0
    need = max(1, round(member.minimum_duration * RATE_HZ))
    for value in values:
        known.append(not np.isnan(value))
        if known[-1]:
            above = above + 1 if value >= member.threshold else 0
            high = value >= member.release if high else above >= need
        highs.append(high)
    return known, highs


def random_walks(seed: int, count: int = 3000) -> tuple[Any, Any]:
    dice = np.random.default_rng(seed)
    first, second = 3 + np.cumsum(dice.standard_normal((2, count)) * 0.5, axis=1)
    return 3 + 3 * np.sin(first), 3 + 3 * np.sin(second)


@pytest.mark.parametrize(("kind", "enough"), [(AllOf, 2), (AnyOf, 1)])
def test_the_score_counts_members_that_are_high_each_by_its_own_bounds(kind: type[Any], enough: int) -> None:
    first, second = random_walks(1)
    second[1000:1100] = 60.0  # unknown
    steps = ran(kind(of=(TRIGGER, GATE)), first, second, policy=load_protocol("baseline").policy)
    clean = (steps["bits"] & PLANNED == 0) | (steps["decision"] != 0)  # the reading that begins a train is heard yet
    with_nan = np.where(second > 50, np.nan, second)
    gates, triggers = reference(with_nan[clean], GATE), reference(first[clean], TRIGGER)
    expected = np.sum([np.logical_and(*gates), np.logical_and(*triggers)], axis=0)
    kept = ~np.array(gates[0]) & np.array(gates[1]) & (expected < enough)
    np.testing.assert_array_equal(steps["score"][clean], np.where(kept, np.nan, expected))
    assert {0.0, 1.0, 2.0} <= set(steps["score"])


def test_all_begins_where_the_last_member_becomes_high_and_ends_with_the_first() -> None:
    first, second = np.full(600, 0.1), np.full(600, 0.1)
    second[100:500], first[300:400] = 6.0, 4.0
    steps = ran(AllOf(of=(TRIGGER, GATE)), first, second)
    assert np.flatnonzero(steps["bits"] & DETECTED).tolist() == [300]
    again = ran(AllOf(of=(TRIGGER, GATE)), second, first + 2)  # the other is the trigger now, and needs three readings
    assert np.flatnonzero(again["bits"] & DETECTED).tolist() == [302]
    assert steps["bits"][399] & HIGH
    assert not steps["bits"][400] & HIGH


def test_a_gate_that_is_down_or_unknown_lets_nothing_through() -> None:
    first = np.full(1000, 0.1)
    first[200:220] = first[700:720] = 9.0
    for closed in (0.1, 60.0):
        steps = ran(AllOf(of=(TRIGGER, GATE)), first, np.full(1000, closed))
        assert not (steps["bits"] & DETECTED).any()
        assert not steps["decision"].any()
        assert (steps["bits"][500:] & VALID).all()  # known by its other member


def test_any_finds_what_one_member_finds_though_the_other_is_unknown() -> None:
    first = np.full(1000, 0.1)
    first[200:220] = first[700:720] = 9.0
    steps = ran(AnyOf(of=(TRIGGER, GATE)), first, np.full(1000, 60.0))
    assert np.flatnonzero(steps["bits"] & DETECTED).tolist() == [200, 700]


def test_nothing_is_known_while_no_member_is() -> None:
    steps = ran(AnyOf(of=(GATE, GATE)), np.full(500, 9.0), np.full(500, 60.0))
    assert np.isnan(steps["score"]).all()


def test_a_member_that_is_unknown_for_a_moment_begins_no_second_detection() -> None:
    first, second = np.full(3000, 4.0), np.full(3000, 6.0)
    second[300:400] = 60.0
    steps = ran(AllOf(of=(TRIGGER, GATE)), first, second)
    assert np.flatnonzero(steps["bits"] & DETECTED).tolist() == [2]
    assert np.isnan(steps["score"][310])


def test_a_member_that_stays_unknown_is_no_longer_high_after_ten_seconds() -> None:
    first, second = np.full(4000, 0.1), np.full(4000, 6.0)
    second[300:2000] = 60.0
    first[:400] = first[3000:3100] = 4.0
    steps = ran(AnyOf(of=(TRIGGER, GATE)), first, second)
    assert steps["bits"][1000] & HIGH
    assert not steps["bits"][1500] & HIGH
    assert np.flatnonzero(steps["bits"] & DETECTED).tolist() == [0, 2002]


def test_a_gate_that_is_up_for_minutes_learns_again_after_its_hold_and_the_others_all_along() -> None:
    first, second = np.full(6000, 0.1), np.full(6000, 6.0)
    steps = ran(AllOf(of=(TRIGGER, GATE)), first, second)
    gate, trigger = steps["learnt_2"], steps["learnt"]
    assert trigger[-1] == 6000
    assert gate[10] == gate[100] == 0  # held from its first reading up
    assert gate[-1] == pytest.approx(6000 - RATE_HZ, abs=5)


def test_light_ages_no_hold_and_teaches_no_member() -> None:
    first, second = np.full(1000, 0.1), np.full(1000, 0.1)
    first[100:105] = 4.0
    steps = ran(AnyOf(of=(TRIGGER, GATE)), first, second)
    light = (steps["bits"] & PLANNED) > 0
    assert 60 < light.sum() < 80  # 200 ms and 500 ms of recovery
    assert len(set(steps["learnt_2"][light][:-1])) == 1
    assert np.isnan(steps["itself_score"][light][1:]).all()
    assert np.isfinite(steps["itself_score"][~light]).all()


def test_two_of_three_may_be_asked_for() -> None:
    third = _Itself(threshold=8.0, release=8.0)
    first, second = np.full(600, 0.1), np.full(600, 0.1)
    second[100:500], first[300:400], first[550:] = 6.0, 4.0, 9.0
    steps = ran(AnyOf(threshold=2, of=(TRIGGER, GATE, third)), first, second)
    assert np.flatnonzero(steps["bits"] & DETECTED).tolist() == [300, 550]


def test_members_may_be_any_and_all_in_turn_and_the_same_detections_come_of_it() -> None:
    first, second = random_walks(2)
    sham = load_protocol("baseline").policy
    plain = ran(AllOf(of=(TRIGGER, GATE)), first, second, policy=sham)
    inner = AnyOf(of=(GATE, GATE), hold=1.0)
    nested = ran(AllOf(of=(AllOf(of=(TRIGGER, TRIGGER), hold=1.0), inner)), first, second, policy=sham)
    np.testing.assert_array_equal(nested["bits"] & DETECTED, plain["bits"] & DETECTED)
    assert (plain["bits"] & DETECTED).sum() > 5
    assert "any_score" in (nested.dtype.names or ())


def test_defaults_are_all_of_them_and_one_of_them() -> None:
    assert AllOf(of=(TRIGGER, GATE, TRIGGER)).threshold == AllOf(of=(TRIGGER, GATE, TRIGGER)).release == 3
    assert AnyOf(of=(TRIGGER, GATE, TRIGGER)).threshold == AnyOf(of=(TRIGGER, GATE, TRIGGER)).release == 1
    assert AnyOf(of=(TRIGGER, GATE), threshold=2, release=1).release == 1


def test_more_than_the_members_more_than_six_and_more_than_three_levels_are_refused() -> None:
    with pytest.raises(ValidationError, match="more than the 2 members"):
        AnyOf(threshold=3, of=(TRIGGER, GATE))
    for count in (1, 7):
        with pytest.raises(ValidationError, match=f"of has {count} of the 2 to 6 members"):
            AnyOf(of=(TRIGGER,) * count)
    deepest = AnyOf(of=(TRIGGER, AnyOf(of=(TRIGGER, AnyOf(of=(TRIGGER, TRIGGER))))))
    with pytest.raises(ValidationError, match="nested 4 deep"):
        AnyOf(of=(TRIGGER, deepest))


def test_what_members_leave_open_comes_from_the_anchor_and_what_they_need_is_passed_on() -> None:
    gate = GATE.model_copy(update={"features": (Dff(baseline=60.0),)})  # the chain that the anchor tells of
    votes = AllOf(of=(TRIGGER, AnyOf(of=(gate, TRIGGER))))
    assert votes.needs_anchor
    known: Any = votes.anchored(anchor())
    assert not known.needs_anchor
    assert known.of[1].of[0].size == anchor().events.size
    assert votes.notes(130.0) == ["at 130 Hz"] * 3
    with_control = Threshold(features=load_protocol("baseline").features)
    assert AllOf(of=(TRIGGER, with_control)).needs_control
    assert not votes.needs_control


def protocol(tmp_path: Path, detector: str) -> Protocol:
    start, end = DEMO.index("detector:"), DEMO.index("policy:")
    file = tmp_path / "mine.yaml"
    file.write_text(DEMO[:start] + detector + DEMO[end:])
    return load_protocol(str(file))


def mistakes(tmp_path: Path, detector: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        protocol(tmp_path, detector)
    line = DEMO[: DEMO.index("detector:")].count("\n")
    said = [one.removeprefix(f"{tmp_path / 'mine.yaml'}:") for one in str(refused.value).splitlines()]
    return [f"+{int(one.partition(':')[0]) - line}:{one.partition(':')[2]}" for one in said]


MEMBERS = """\
detector:
  kind: all
  of:
    - {kind: threshold, threshold: 5, features: [{kind: dff, baseline: 30 s}]}
    - kind: any
      of:
        - {kind: threshold, threshold: 2, release: 1, window: 20 s}
        - {kind: threshold, threshold: 8}
"""


def test_members_are_read_from_yaml_and_written_out_whole(tmp_path: Path) -> None:
    read = protocol(tmp_path, MEMBERS)
    inner = AnyOf(of=(Threshold(threshold=2.0, release=1.0, window=20.0), Threshold(threshold=8.0)))
    assert read.detector == AllOf(of=(Threshold(threshold=5.0, features=(Dff(baseline=30.0),)), inner))
    again = tmp_path / "again.yaml"
    again.write_text(dump(read))
    assert load_protocol(str(again)) == read


def test_a_mistake_in_a_member_is_told_with_its_line_and_its_place(tmp_path: Path) -> None:
    assert mistakes(tmp_path, MEMBERS.replace("threshold: 8", "treshold: 8").replace("20 s", "20")) == [
        "+7: detector.of.1.of.0.window: needs a unit (got 20); write for example '500 ms'",
        "+8: detector.of.1.of.1.treshold: unknown field; did you mean 'threshold'?",
    ]
    (line,) = mistakes(tmp_path, MEMBERS.replace("threshold: 5", "threshold: 1"))
    assert line.startswith("+4: detector.of.0.release: must not lie above threshold (1)")
    (line,) = mistakes(tmp_path, MEMBERS.replace("kind: threshold, threshold: 8", "kind: thresold"))
    assert line.startswith("+8: detector.of.1.of.1.kind: unknown kind 'thresold'; did you mean 'threshold'?")
    (line,) = mistakes(tmp_path, "detector: {kind: all}\n")
    assert line.startswith("+1: detector.of: missing field; add it")
    (line,) = mistakes(tmp_path, "detector: {kind: all, of: [{kind: threshold}]}\n")
    assert line.startswith("+1: detector.of: has 1 of the 2 to 6 members")
    (line,) = mistakes(tmp_path, "detector: {kind: any, threshold: 3, of: [{kind: threshold}, {kind: threshold}]}\n")
    assert line.startswith("+1: detector.threshold: is more than the 2 members there are (got 3)")


def test_the_schema_for_editors_has_an_end() -> None:
    made = schema.schema(Protocol)
    of = made["$defs"]["detectors.all"]["properties"]["of"]
    assert (of["minItems"], of["maxItems"]) == (2, 6)
    assert of["items"] == {"$ref": "#/$defs/detectors"} == {"$ref": made["properties"]["detector"]["$ref"]}


def test_kernels_are_built_once_for_members_of_the_same_kinds() -> None:
    one, two = AllOf(of=(TRIGGER, GATE)), AllOf(of=(_Itself(threshold=9.0), GATE.model_copy(update={"hold": 3.0})))
    assert one.kernels() == two.kernels()
    assert one.memory_layout() is two.memory_layout()
