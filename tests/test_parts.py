"""What every feature, detector and policy must keep to. A new one is found here by itself."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plans import NANO_UNITS, RATE_HZ, noise, plan, readings, with_events

from closedloop import detectors, features, policies
from closedloop.detectors import Detector
from closedloop.features import Feature
from closedloop.loop import VALID, Loop
from closedloop.model import Part, kinds
from closedloop.policies import Policy
from closedloop.protocol import Protocol, load_protocol

FEATURES, DETECTORS, POLICIES = kinds(features), kinds(detectors), kinds(policies)
ALL = [(name, part) for family in (FEATURES, DETECTORS, POLICIES) for name, part in family.items()]


def made(part: Feature | Detector) -> tuple[Any, Any]:
    return np.zeros(1, part.memory_type)[0], part.parameters(RATE_HZ)[0]


def signal(seconds: float = 100) -> np.ndarray:
    slow = 1 + 0.02 * np.sin(np.arange(round(seconds * RATE_HZ)) / 500)
    return with_events(noise(seconds) * slow, [70.0, 80.0])


@pytest.mark.parametrize(("name", "part"), ALL)
def test_kind_is_the_file_and_the_docstring_says_what_it_is(name: str, part: type[Part]) -> None:
    assert part.__module__.rpartition(".")[2] == name
    assert part().kind == name  # every part works with its defaults alone
    assert part.__doc__
    assert importlib.import_module(part.__module__).__doc__


@pytest.mark.parametrize(("name", "part"), ALL)
def test_every_field_says_what_it_is_for(name: str, part: type[Part]) -> None:
    assert [field for field, info in part.model_fields.items() if field != "kind" and not info.description] == []


@pytest.mark.parametrize("kind", FEATURES.values())
def test_a_feature_is_finite_after_warm_up_and_nan_in_is_nan_out(kind: type[Feature]) -> None:
    feature = kind()
    memory, p = made(feature)
    volts = signal()
    values = [feature.value(memory, p, s, 0.8 * s, True) for s in volts]
    assert np.isfinite(values[-100:]).all()
    before = memory.copy()
    assert np.isnan(feature.value(memory, p, np.nan, 0.8, True))
    assert memory.tobytes() == before.tobytes()
    after = [feature.value(memory, p, s, 0.8 * s, True) for s in volts[-100:]]
    assert np.isfinite(after).all()


@pytest.mark.parametrize("kind", FEATURES.values())
def test_a_feature_never_sees_the_future(kind: type[Feature]) -> None:
    feature = kind()
    volts = signal(20)
    other = volts.copy()
    other[1000:] *= 5
    runs = []
    for trace in (volts, other):
        memory, p = made(feature)
        runs.append([feature.value(memory, p, s, 0.8 * s, True) for s in trace[:1001]])
    np.testing.assert_array_equal(runs[0][:1000], runs[1][:1000])


@pytest.mark.parametrize("kind", DETECTORS.values())
def test_a_score_changes_nothing_and_is_nan_while_warming_up(kind: type[Detector]) -> None:
    detector = kind()
    memory, p = made(detector)
    assert np.isnan(detector.score(memory, p, 1.0))
    for value in noise(100) - 1:
        detector.learn(memory, p, value)
    before = memory.copy()
    first = detector.score(memory, p, 0.05)
    assert np.isfinite(first)
    assert detector.score(memory, p, 0.05) == first
    assert memory.tobytes() == before.tobytes()
    assert np.isnan(detector.score(memory, p, np.nan))


@pytest.mark.parametrize("kind", DETECTORS.values())
def test_two_starts_share_nothing(kind: type[Detector]) -> None:
    detector = kind()
    (one, p), (two, _) = made(detector), made(detector)
    for value in noise(100) - 1:
        detector.learn(one, p, value)
    assert not two.tobytes().strip(b"\0")


def loop_with(part: Part) -> Loop:
    family = {Feature: "features", Detector: "detector", Policy: "policy"}
    field = next(name for base, name in family.items() if isinstance(part, base))
    return Loop(plan(**{field: (part,) if field == "features" else part}), rate_hz=RATE_HZ, nano_units=NANO_UNITS)


@pytest.mark.parametrize(("name", "part"), ALL)
def test_a_batch_of_one_is_a_batch_of_many_bit_for_bit(name: str, part: type[Part]) -> None:
    rows = readings(signal())
    whole = loop_with(part()).run(rows)
    loop = loop_with(part())
    one_by_one = np.zeros(len(rows), loop.step_type)
    for at in range(len(rows)):
        one_by_one[at : at + 1] = loop.run(rows[at : at + 1])
    assert one_by_one.tobytes() == whole.tobytes()
    assert (whole["bits"][-100:] & VALID).any()


@pytest.mark.parametrize("kind", POLICIES.values())
def test_a_policy_never_wants_light_while_the_score_is_unknown(kind: type[Policy]) -> None:
    rows = readings(signal(60))
    rows["flags"] |= 16  # no control channel, so that an isosbestic feature knows nothing
    unknown = plan(policy=kind(), features=(FEATURES["isosbestic"](),))
    steps = Loop(unknown, rate_hz=RATE_HZ, nano_units=NANO_UNITS).run(rows)
    assert np.isnan(steps["score"]).all()
    assert not steps["decision"].any()


@pytest.mark.parametrize("kind", POLICIES.values())
def test_a_policy_decides_the_same_for_the_same_input(kind: type[Policy]) -> None:
    rows = readings(signal())
    assert loop_with(kind()).run(rows).tobytes() == loop_with(kind()).run(rows).tobytes()
    assert set(kind.decisions) >= {"fire"} or kind().fire_code == 0


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
    return value / p.unit if memory.count >= 500 else np.nan


@kernel
def _learn(memory: Any, p: Any, value: float) -> None:
    memory.count += 1


class Plain(Detector):
    """value / unit, after five hundred readings."""

    kind: Literal["plain"] = "plain"
    unit: float = Field(0.01, gt=0, description="What counts as one.")

    memory_type: ClassVar[np.dtype[Any]] = np.dtype([("count", "i8")])
    parameter_type: ClassVar[np.dtype[Any]] = np.dtype([("unit", "f8")])
    score: ClassVar[Any] = staticmethod(_score)
    learn: ClassVar[Any] = staticmethod(_learn)

    def parameters(self, rate_hz: float) -> Any:
        return np.array([(self.unit,)], self.parameter_type)
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
    file.write_text(demo[:start] + "detector: {kind: plain, threshold: 3.0, release: 1.0, unit: 0.02}\n" + demo[end:])
    protocol: Protocol = load_protocol(str(file))
    assert protocol.detector.model_dump() == {
        "kind": "plain", "threshold": 3.0, "release": 1.0, "minimum_duration": 0.0, "hold": 10.0, "features": (),
        "unit": 0.02
    }  # fmt: skip

    found = kinds(detectors)
    assert set(found) == {*DETECTORS, "plain"}
    new: Any = found["plain"]
    test_kind_is_the_file_and_the_docstring_says_what_it_is("plain", new)
    test_every_field_says_what_it_is_for("plain", new)
    test_a_score_changes_nothing_and_is_nan_while_warming_up(new)
    test_two_starts_share_nothing(new)
    test_a_batch_of_one_is_a_batch_of_many_bit_for_bit("plain", new)


@pytest.mark.parametrize("name", ["closedloop.features.dff"])
def test_examples_in_docstrings_run(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
