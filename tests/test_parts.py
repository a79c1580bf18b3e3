"""What every feature, detector and policy must keep to. A new one is found here by itself."""

from __future__ import annotations

import doctest
import importlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from anchors import anchor
from plans import NANO_UNITS, RATE_HZ, noise, plan, readings, with_events

from closedloop import chain, detectors, features, policies
from closedloop.chain import Chain
from closedloop.detectors import Detector, Kernels, Whole, whole
from closedloop.detectors.threshold import Threshold
from closedloop.features import Feature
from closedloop.features.dff import Dff
from closedloop.gates import Gate
from closedloop.loop import Loop
from closedloop.model import Part, kernel, kinds
from closedloop.partner import Partner
from closedloop.policies import Policy, on_detection
from closedloop.protocol import Protocol, load_protocol
from closedloop.readings import READING, Readings
from closedloop.steps import PLANNED, STEP, VALID
from closedloop.train import Refusal
from closedloop.yaml_file import dump

FEATURES, DETECTORS, POLICIES = kinds(features), kinds(detectors), kinds(policies)
ALL = [(name, part) for family in (FEATURES, DETECTORS, POLICIES) for name, part in family.items()]
SECONDS = 300.0  # the longest that any part takes to know something, and some more
EVENTS_S = [float(at) for at in range(20, 300, 10)]


PARTNER = Partner(source="another session", times_us=(tuple(range(15_000_000, 280_000_000, 12_345_678)),))


def example(kind: type[Any]) -> Any:
    """One of this kind, with its defaults; of those made of others, with two others; what is open from an anchor."""
    members = (Threshold(window=20.0), Threshold(window=10.0, features=(Dff(baseline=20.0),)))
    others = {"of": members, "partner": PARTNER}
    needed = {name: value for name, value in others.items() if name == "of" or kind is POLICIES["yoked"]}
    part = kind(**{name: value for name, value in needed.items() if name in kind.model_fields})
    return part.anchored(anchor()) if isinstance(part, (Feature, Detector)) else part


def signal(seconds: float = SECONDS, seed: int = 1) -> np.ndarray:
    slow = 1 + 0.02 * np.sin(np.arange(round(seconds * RATE_HZ)) / 500)
    return with_events(noise(seconds, seed) * slow, [at for at in EVENTS_S if at < seconds - 1])


def control(seconds: float = SECONDS, seed: int = 1) -> np.ndarray:
    """Of the same motion, with noise of its own and no events."""
    slow = 1 + 0.02 * np.sin(np.arange(round(seconds * RATE_HZ)) / 500)
    return 0.8 * noise(seconds, seed + 100) * slow


@lru_cache(maxsize=64)
def _feature_run(parts: Chain) -> Any:
    value_of = parts.value

    @kernel
    def run(memory: Any, p: Any, signal: Any, control: Any, learn: bool, out: Any) -> None:
        for i in range(len(signal)):
            out[i] = value_of(memory, p, signal[i], control[i], learn)

    return run


@lru_cache(maxsize=64)
def _detector_run(kernels: Kernels) -> Any:
    prepare, score_of, follow, learn_from = kernels.prepare, kernels.score, kernels.follow, kernels.learn

    @kernel
    def run(memory: Any, p: Any, values: Any, signal: Any, control: Any, out: Any) -> None:
        for i in range(len(values)):
            prepare(memory, p, signal[i], control[i], True)
            out[i] = score_of(memory, p, values[i])
            follow(memory, p, values[i])
            learn_from(memory, p, values[i])

    return run


class FeatureRun:
    """A feature by itself, as a chain of one."""

    def __init__(self, kind: type[Feature]) -> None:
        parts = (example(kind),)
        self.kernels = chain.chain(parts)
        self.memory = np.zeros(1, chain.memory_of(parts))
        self.p = chain.parameters_of(parts, RATE_HZ)

    def values(self, signal: Any, control: Any, *, learn: bool = True) -> Any:
        out = np.zeros(len(signal))
        run = _feature_run(self.kernels)
        run(self.memory[0], self.p[0], np.asarray(signal, float), np.asarray(control, float), learn, out)
        return out

    def resume(self) -> None:
        self.kernels.resume(self.memory[0], self.p[0])


class DetectorRun:
    """A detector by itself, taught with every value."""

    def __init__(self, kind: type[Detector]) -> None:
        self.whole: Whole = whole(example(kind))
        self.memory = np.zeros(1, self.whole.memory)
        self.p = self.whole.parameters(RATE_HZ)

    def scores(self, values: Any, signal: Any, control: Any) -> Any:
        out = np.zeros(len(values))
        _detector_run(self.whole.kernels)(self.memory[0], self.p[0], values, signal, control, out)
        return out

    def score(self, value: float) -> float:
        return float(self.whole.kernels.score(self.memory[0], self.p[0], value))


def loop_with(part: Part) -> Loop:
    family = {Feature: "features", Detector: "detector", Policy: "policy"}
    field = next(name for base, name in family.items() if isinstance(part, base))
    return Loop(plan(**{field: (part,) if field == "features" else part}), rate_hz=RATE_HZ, nano_units=NANO_UNITS)


def columns(steps: Any) -> dict[str, bytes]:
    """Bit for bit, but for the bytes between columns."""
    return {name: steps[name].tobytes() for name in steps.dtype.names}


def rows_of(seed: int = 1) -> Readings:
    return readings(signal(seed=seed), control(seed=seed))


@pytest.mark.parametrize(("name", "part"), ALL)
def test_kind_is_the_file_and_the_docstring_says_what_it_is(name: str, part: type[Part]) -> None:
    assert part.__module__.rpartition(".")[2] == name
    assert example(part).kind == name  # every part works with its defaults alone, or with those of its members
    assert part.__doc__
    assert importlib.import_module(part.__module__).__doc__


@pytest.mark.parametrize(("name", "part"), ALL)
def test_every_field_says_what_it_is_for(name: str, part: type[Part]) -> None:
    assert [field for field, info in part.model_fields.items() if field != "kind" and not info.description] == []


@pytest.mark.parametrize(("name", "part"), ALL)
def test_a_part_is_written_out_whole_and_reads_back_as_the_same(name: str, part: type[Part], tmp_path: Path) -> None:
    family = {Feature: "features", Detector: "detector", Policy: "policy"}
    field = next(field for base, field in family.items() if issubclass(part, base))
    made = (example(part),) if field == "features" else example(part)
    protocol = load_protocol("demo").model_copy(update={field: made})
    file = tmp_path / "again.yaml"
    file.write_text(dump(protocol))
    assert load_protocol(str(file)) == protocol


@pytest.mark.parametrize("kind", FEATURES.values())
def test_a_feature_is_finite_after_warm_up_and_nan_in_is_nan_out(kind: type[Feature]) -> None:
    run = FeatureRun(kind)
    assert np.isfinite(run.values(signal(), control())[-100:]).all()
    before = run.memory.copy()
    assert np.isnan(run.values([np.nan], [0.8]))
    assert run.memory.tobytes() == before.tobytes()
    assert np.isfinite(run.values(signal(10), control(10))[-100:]).all()


@pytest.mark.parametrize("kind", FEATURES.values())
def test_a_feature_never_sees_the_future(kind: type[Feature]) -> None:
    volts, second = signal(200), control(200)
    other = volts.copy()
    other[19_000:] *= 5
    one, two = (FeatureRun(kind).values(trace, second) for trace in (volts, other))
    np.testing.assert_array_equal(one[:19_000], two[:19_000])
    assert np.isfinite(one[18_900:19_000]).all()


@pytest.mark.parametrize("kind", DETECTORS.values())
def test_a_score_changes_nothing_and_is_nan_while_warming_up(kind: type[Detector]) -> None:
    run = DetectorRun(kind)
    assert np.isnan(run.score(1.0))
    volts, second = signal(), control()
    scores = run.scores(volts - 1, volts, second)
    assert np.isnan(scores[0])
    assert np.isfinite(scores[-100:]).all()
    before = run.memory.copy()
    first = run.score(0.05)
    assert np.isfinite(first)
    assert run.score(0.05) == first
    assert run.memory.tobytes() == before.tobytes()


@pytest.mark.parametrize("kind", [kind for kind in DETECTORS.values() if not kind.knows_nan])
def test_a_score_of_nan_is_nan(kind: type[Detector]) -> None:
    run, volts = DetectorRun(kind), signal()
    run.scores(volts - 1, volts, control())
    before = run.memory.copy()
    run.scores(np.full(1, np.nan), volts[:1], volts[:1])
    changed = [name for name in run.memory.dtype.names or () if run.memory[name].tobytes() != before[name].tobytes()]
    assert np.isnan(run.score(np.nan)) or changed == ["chain"]


@pytest.mark.parametrize(("name", "part"), ALL)
def test_a_batch_of_one_is_a_batch_of_many_bit_for_bit(name: str, part: type[Part]) -> None:
    rows = rows_of()
    many = loop_with(example(part)).run(rows)
    cuts = np.sort(np.random.default_rng(7).choice(np.arange(1, len(rows)), 200, replace=False))
    for pieces in (np.split(rows, cuts), np.split(rows, len(rows))):
        loop = loop_with(example(part))
        cut_up = np.concatenate([loop.run(piece) for piece in pieces])
        assert columns(cut_up) == columns(many)
    assert (many["bits"][-100:] & VALID).any()


@pytest.mark.parametrize("detector", DETECTORS.values())
@pytest.mark.parametrize("feature", FEATURES.values())
def test_any_detector_on_any_feature_knows_its_score_and_cuts_change_nothing(
    feature: type[Feature], detector: type[Detector]
) -> None:
    volts, second = signal(), control()
    values = FeatureRun(feature).values(volts, second)
    many = DetectorRun(detector).scores(values, volts, second)
    assert np.isfinite(many[-100:]).all()
    cuts = np.sort(np.random.default_rng(8).choice(np.arange(1, len(volts)), 100, replace=False))
    one, two = FeatureRun(feature), DetectorRun(detector)
    cut_up = []
    for piece, other in zip(np.split(volts, cuts), np.split(second, cuts), strict=True):
        cut_up.append(two.scores(one.values(piece, other), piece, other))
    np.testing.assert_array_equal(np.concatenate(cut_up), many)


@pytest.mark.parametrize(("name", "part"), ALL)
def test_two_loops_share_nothing(name: str, part: type[Part]) -> None:
    first, second = rows_of(), rows_of(seed=2)
    alone = loop_with(example(part)).run(first)
    one, two = loop_with(example(part)), loop_with(example(part))
    together = []
    for mine, others in zip(np.array_split(first, 9), np.array_split(second, 9), strict=True):
        together.append(one.run(mine))
        two.run(others)
    assert columns(np.concatenate(together)) == columns(alone)


@pytest.mark.parametrize(("name", "part"), [one for one in ALL if not issubclass(one[1], Policy)])
def test_what_is_shown_has_a_name_of_its_own_and_is_nan_while_unknown(name: str, part: type[Any]) -> None:
    loop = loop_with(example(part))
    shown = (loop.step_type.names or ())[len(STEP.names or ()) :]
    taken = {*(READING.names or ()), *(STEP.names or ()), "host_ns"}
    assert [one for one in shown if not one.isidentifier() or one in taken] == []
    steps = loop.run(rows_of())
    for one in shown:
        assert np.isnan(steps[one][0]), one
        assert np.isfinite(steps[one]).any(), one


def artefact(rows: Readings, at: int, lasts: int) -> Readings:
    """The same readings with light in the signal, ten times as bright as all else."""
    rows = rows.copy()
    rows["signal_lit"][at : at + lasts] *= 10
    return rows


@pytest.mark.parametrize(("name", "part"), [one for one in ALL if not issubclass(one[1], Policy)])
def test_nothing_of_our_own_light_is_left_after_its_recovery(name: str, part: type[Any]) -> None:
    rows, at = rows_of(), 24_500  # in mid interval between two events
    runs = []
    for trace in (rows, artefact(rows, at + 1, 60)):
        loop = loop_with(example(part))
        before = loop.run(trace[:at])
        loop.ask_test_pulse()
        runs.append(np.concatenate([before, loop.run(trace[at:])]))
    (dark, lit), shown = runs, (runs[0].dtype.names or ())[len(STEP.names or ()) :]
    own = np.flatnonzero(dark["bits"] & PLANNED)
    assert at in own
    after = int(own[own < at + 100].max()) + 1
    for column in ("feature", "score", *shown):
        np.testing.assert_allclose(lit[column][after:], dark[column][after:], rtol=1e-9, atol=1e-12, err_msg=column)
    known = np.isfinite(dark["score"][after : after + 500])
    assert known.any()  # what was learned slowly is kept


def policy_steps(policy: Policy, rows: Readings, **changes: Any) -> Any:
    return Loop(plan(policy=policy, **changes), rate_hz=RATE_HZ, nano_units=NANO_UNITS).run(rows)


@pytest.mark.parametrize("kind", POLICIES.values())
def test_a_policy_gives_no_light_while_the_score_is_unknown(kind: type[Policy]) -> None:
    rows = readings(signal(60))
    rows["flags"] |= 16  # no control channel, so that an isosbestic feature knows nothing
    steps = policy_steps(example(kind), rows, features=(FEATURES["isosbestic"](),))
    assert np.isnan(steps["score"]).all()
    wanted = steps["decision"] != 0  # by a plan that does not look at the score
    assert steps["refused"][wanted].all()
    assert not wanted.any() or kind.decide is not on_detection


@pytest.mark.parametrize("kind", POLICIES.values())
def test_a_policy_decides_the_same_for_the_same_input_and_seed(kind: type[Policy]) -> None:
    rows = rows_of()
    one, two = (policy_steps(example(kind), rows, seed=5) for _ in range(2))
    assert columns(one) == columns(two)
    assert set(kind.decisions) >= {"fire"} or example(kind).fire_code == 0
    drawn = example(kind).drawn(5)
    assert drawn == example(kind).drawn(5)
    assert drawn is None or json.loads(json.dumps(drawn)) == drawn  # it goes into the header
    if drawn is not None:
        assert drawn != example(kind).drawn(6)
        assert columns(policy_steps(example(kind), rows, seed=6)) != columns(one)


@pytest.mark.parametrize("kind", POLICIES.values())
def test_what_a_policy_wants_and_does_not_get_is_on_the_record_with_its_reason(kind: type[Policy]) -> None:
    rows = rows_of()
    shut = policy_steps(example(kind), rows, gates=(Gate(input="chamber"),), input_names=("chamber",))
    freely = policy_steps(example(kind), rows)
    wanted, given = shut["decision"] != 0, freely["decision"] != 0
    assert wanted.any() == given.any()
    assert shut["refused"][wanted].all()
    assert (shut["train"][wanted] > 0).all()
    assert not (shut["bits"] & PLANNED).any()  # no light, by plan
    after_warm_up = wanted & (rows["ticks"] >= 10_000_000)
    assert {Refusal(code) for code in shut["refused"][after_warm_up].tolist()} <= {Refusal.GATE}


@pytest.mark.parametrize("kind", POLICIES.values())
def test_a_policy_gives_nothing_in_warm_up(kind: type[Policy]) -> None:
    steps = policy_steps(example(kind), readings(signal(60)), warm_up_s=55.0)
    wanted = steps["decision"] != 0
    before = np.arange(len(steps)) < 5500
    assert steps["refused"][wanted & before].all()


NEW_DETECTOR = '''
"""How far a value stands above zero, in units of its own choosing."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from closedloop.detectors import Detector
from closedloop.model import kernel


@kernel
def _score(memory: Any, p: Any, value: float) -> float:
    return value / p.one if memory.plain_count >= 500 else np.nan


@kernel
def _learn(memory: Any, p: Any, value: float) -> None:
    memory.plain_count += 1


class Plain(Detector):
    """value / one, after five hundred readings."""

    kind: Literal["plain"] = "plain"
    one: float = Field(0.01, gt=0, description="What counts as one.")

    memory_type: ClassVar[np.dtype[Any]] = np.dtype([("plain_count", "i8")])
    parameter_type: ClassVar[np.dtype[Any]] = np.dtype([("one", "f8")])
    score: ClassVar[Any] = staticmethod(_score)
    learn: ClassVar[Any] = staticmethod(_learn)

    def parameters(self, rate_hz: float) -> Any:
        return np.array([(self.one,)], self.parameter_type)
'''


@pytest.fixture
def with_a_new_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One file in one more folder of detectors; nothing else is changed."""
    (tmp_path / "plain.py").write_text(NEW_DETECTOR)
    monkeypatch.setattr(detectors, "__path__", [*detectors.__path__, str(tmp_path)])
    return tmp_path


@pytest.mark.usefixtures("with_a_new_detector")
def test_a_new_detector_is_one_file_found_by_yaml_and_by_these_tests(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    demo = (Path(__file__).parents[1] / "configs" / "protocols" / "demo.yaml").read_text()
    start, end = demo.index("detector:"), demo.index("policy:")
    file.write_text(demo[:start] + "detector: {kind: plain, threshold: 3.0, release: 1.0, one: 0.02}\n" + demo[end:])
    protocol: Protocol = load_protocol(str(file))
    assert protocol.detector.model_dump() == {
        "kind": "plain", "threshold": 3.0, "release": 1.0, "minimum_duration": 0.0, "hold": 10.0, "features": (),
        "one": 0.02
    }  # fmt: skip

    found = kinds(detectors)
    assert set(found) == {*DETECTORS, "plain"}
    new: Any = found["plain"]
    test_kind_is_the_file_and_the_docstring_says_what_it_is("plain", new)
    test_every_field_says_what_it_is_for("plain", new)
    test_a_score_changes_nothing_and_is_nan_while_warming_up(new)
    test_a_score_of_nan_is_nan(new)
    test_a_batch_of_one_is_a_batch_of_many_bit_for_bit("plain", new)
    test_two_loops_share_nothing("plain", new)
    test_nothing_of_our_own_light_is_left_after_its_recovery("plain", new)


@pytest.mark.parametrize("name", ["closedloop.features.dff"])
def test_examples_in_docstrings_run(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
