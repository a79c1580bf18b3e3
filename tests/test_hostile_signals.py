"""Readings that no animal gives, and files that are none: no light, words in place of a traceback, and life afterwards.

Every detector and every feature is found by itself. What counts as alive afterwards is what the same loop does without
the hostile stretch: it finds events again by the end of the recording.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plans import NANO_UNITS, RATE_HZ, noise, plan, readings, with_events
from test_parts import DETECTORS, FEATURES, example

from closedloop import cli
from closedloop.limits import effective
from closedloop.loop import Loop, Plan
from closedloop.protocol import Setting, load_protocol
from closedloop.readings import FLAG_NO_CONTROL, Readings
from closedloop.simulation.animal import Animal, VirtualAnimal
from closedloop.steps import DETECTED, VALID, WARM
from closedloop.train import Refusal
from closedloop.yaml_file import known

BEGINS_S, LASTS_S, SECONDS = 120.0, 20.0, 480.0
SETTLES_S = 1.0  # a veto lasts so long after its cause
LAST_S = 100.0  # of the recording: whoever lives finds events in it
EXTREME = 2**31 - 1


def _each(*values: int) -> Callable[[Readings], None]:
    def change(rows: Readings) -> None:
        for column, value in zip(("signal_lit", "signal_dark", "control_lit", "control_dark"), values, strict=True):
            rows[column] = value

    return change


def _no_control(rows: Readings) -> None:
    rows["flags"] |= FLAG_NO_CONTROL
    rows["control_lit"] = 0


def _alternating(rows: Readings) -> None:
    for column in ("signal_lit", "control_lit"):
        rows[column][::2], rows[column][1::2] = EXTREME, -EXTREME - 1


def _any_number(rows: Readings) -> None:
    dice = np.random.default_rng(5)
    for column in ("signal_lit", "signal_dark", "control_lit", "control_dark"):
        rows[column] = dice.integers(-EXTREME - 1, EXTREME, len(rows), endpoint=True)


def _negative_light(rows: Readings) -> None:
    for channel in ("signal", "control"):
        rows[f"{channel}_dark"] = 2 * rows[f"{channel}_lit"]


def _constant(rows: Readings) -> None:
    for channel in ("signal", "control"):
        rows[f"{channel}_lit"] = rows[f"{channel}_lit"][0]


def _no_light_in_the_control(rows: Readings) -> None:
    rows["control_lit"] = 0


HOSTILE: dict[str, Callable[[Readings], None]] = {
    "zeros": _each(0, 0, 0, 0),
    "constant": _constant,
    "greatest": _each(EXTREME, 0, EXTREME, 0),
    "greatest_over_least": _each(EXTREME, -EXTREME - 1, EXTREME, -EXTREME - 1),
    "least": _each(-EXTREME - 1, EXTREME, -EXTREME - 1, EXTREME),
    "alternating": _alternating,
    "any_number": _any_number,
    "negative_light": _negative_light,
    "no_light_in_the_control": _no_light_in_the_control,
    "no_control": _no_control,
}


@lru_cache
def clean() -> Readings:
    """Ten minutes of noise about a slow course, an event every ten seconds, and a control of the same course."""
    slow = 1 + 0.02 * np.sin(np.arange(round(SECONDS * RATE_HZ)) / 500)
    events = [float(at) for at in range(15, round(SECONDS) - 2, 10)]
    return readings(with_events(noise(SECONDS) * slow, events), 0.8 * noise(SECONDS, 2) * slow)


def hostile(kind: str, begins_s: float = BEGINS_S, lasts_s: float = LASTS_S, rows: Readings | None = None) -> Readings:
    rows = (clean() if rows is None else rows).copy()
    stretch = (rows["ticks"] >= begins_s * 1e6) & (rows["ticks"] < (begins_s + lasts_s) * 1e6)
    if kind == "gap_of_an_hour":
        rows["ticks"][rows["ticks"] >= begins_s * 1e6] += 3_600_000_000
        return rows
    first, last = np.flatnonzero(stretch)[[0, -1]]
    HOSTILE[kind](rows[first : last + 1])
    return rows


def fired(steps: Any) -> Any:
    return (steps["decision"] != 0) & (steps["refused"] == 0)


def run(of: Plan, rows: Readings, nano_units: int = NANO_UNITS, rate_hz: float = RATE_HZ) -> Any:
    return Loop(of, rate_hz=rate_hz, nano_units=nano_units).run(rows)


def plan_with(part: Any) -> Plan:
    """The part, with all else as in other tests; warm-up lets every one of them learn first."""
    changes = {"features": (example(part),)} if part in FEATURES.values() else {"detector": example(part)}
    return plan(**changes, warm_up_s=90.0)


PARTS = [*FEATURES.values(), *DETECTORS.values()]


@pytest.mark.parametrize("kind", [*HOSTILE, "gap_of_an_hour"])
@pytest.mark.parametrize("part", PARTS)
def test_nothing_fires_in_a_hostile_stretch_and_events_are_found_again_afterwards(part: Any, kind: str) -> None:
    rows = hostile(kind)
    usual, steps = run(plan_with(part), clean()), run(plan_with(part), rows)
    assert not np.isinf(steps["score"]).any()
    assert not np.isinf(steps["feature"]).any()
    begins = round(BEGINS_S * RATE_HZ)
    needy = kind == "no_control" and not plan_with(part).detector.needs_control and not _features_need_control(part)
    if not needy:  # a loop that needs no control may go on without it
        ends = begins + round((SETTLES_S if kind == "gap_of_an_hour" else LASTS_S) * RATE_HZ)
        assert not fired(steps[begins + 8 : ends]).any()
    last = slice(-round(LAST_S * RATE_HZ), None)
    assert (steps["bits"][last] & VALID).any()
    if (usual["bits"][last] & DETECTED).sum() > 2:
        assert (steps["bits"][last] & DETECTED).any()


def _features_need_control(part: Any) -> bool:
    return any(feature.needs_control for feature in plan_with(part).features)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("kind", ["zeros", "constant", "any_number", "negative_light"])
def test_a_recording_of_nothing_else_never_fires(part: Any, kind: str) -> None:
    rows = hostile(kind, 0.0, SECONDS)
    steps = run(plan_with(part), rows)
    assert not fired(steps).any()
    assert set(steps["veto"][-1000:]) - {0} or np.isnan(steps["score"][-1000:]).all()


@pytest.mark.parametrize("part", PARTS)
def test_what_begins_below_its_dark_never_fires_there_and_lives_afterwards(part: Any) -> None:
    steps = run(plan_with(part), hostile("negative_light", 0.0, BEGINS_S))
    dark, last = round(BEGINS_S * RATE_HZ), slice(-round(LAST_S * RATE_HZ), None)
    assert not fired(steps[:dark]).any()
    assert set(steps["veto"][300:dark]) == {Refusal.BELOW_DARK}
    assert (steps["bits"][last] & VALID).any()


@lru_cache
def animal(minutes: float) -> tuple[Readings, int]:
    virtual = VirtualAnimal(Animal.model_validate({"states": {"baseline": {"event_rate": 8.0}}}), 130.0, seed=4)
    readings = virtual.run(np.zeros(round(minutes * 60 * 130)))
    readings["inputs"] = 0xFFFF  # all gates are open
    return readings, virtual.nano_units


def shipped(name: str) -> Plan:
    protocol = load_protocol(name)
    setting = Setting(input_names=tuple(gate.input for gate in protocol.gates))
    return protocol.plan(effective(protocol.limits, lease_s=0.5), 10.0, None, setting)


@pytest.mark.parametrize("name", known("protocols"))
def test_the_shipped_protocols_do_not_fire_in_hostile_stretches_and_live_on(name: str) -> None:
    of = shipped(name)
    rows, nano_units = animal(22.0)
    usual = run(of, rows, nano_units, 130.0)
    last = rows["ticks"] > 18 * 60e6
    for kind in [*HOSTILE, "gap_of_an_hour"]:
        bad = hostile(kind, 480.0, 30.0, rows)
        steps = run(of, bad, nano_units, 130.0)
        within = (rows["ticks"] >= 480.1e6) & (rows["ticks"] < (485e6 if kind == "gap_of_an_hour" else 510e6))
        if kind != "no_control" or any(feature.needs_control for feature in of.features):
            assert not fired(steps[within]).any(), kind
        assert (steps["bits"][last] & VALID).any(), kind
        if (usual["bits"][last] & DETECTED).sum() > 2:
            assert (steps["bits"][last] & DETECTED).any(), kind


@pytest.mark.parametrize("name", known("protocols"))
@pytest.mark.parametrize("kind", ["zeros", "constant", "any_number", "negative_light"])
def test_the_shipped_protocols_never_fire_on_nothing_else(name: str, kind: str) -> None:
    rows, nano_units = animal(12.0)
    of = shipped(name)
    assert not fired(run(of, hostile(kind, 0.0, 1e6, rows), nano_units, 130.0)).any()


def test_what_is_refused_in_a_hostile_stretch_has_a_reason_of_its_own() -> None:
    reasons = {
        "zeros": {Refusal.UNPLUGGED, Refusal.FLAT},
        "greatest": {Refusal.JUMP, Refusal.FLAT},
        "negative_light": {Refusal.UNPLUGGED},
        "no_light_in_the_control": {Refusal.UNPLUGGED},
        "gap_of_an_hour": {0},  # all is forgotten, and warm-up begins anew
    }
    for kind, expected in reasons.items():
        steps = run(plan(), hostile(kind))
        begins = round(BEGINS_S * RATE_HZ)
        assert set(steps["veto"][begins + 10 : begins + 90]) <= expected, kind
        assert kind != "gap_of_an_hour" or not (steps["bits"][begins : begins + 700] & WARM).any()


GOOD = "time_s,signal,control\n" + "".join(f"{at / 100},1.{at % 7},0.8\n" for at in range(500))
FILES: dict[str, bytes] = {
    "empty.csv": b"",
    "one_line.csv": b"time_s,signal,control\n",
    "one_reading.csv": b"time_s,signal,control\n0,1,1\n",
    "backwards.csv": GOOD.replace("\n2.5,", "\n0.5,").encode(),
    "standing.csv": GOOD.replace("\n2.5,", "\n2.49,").encode(),
    "no_time.csv": GOOD.replace("\n2.5,", "\n,").encode(),
    "words.csv": GOOD.replace("\n2.5,1", "\n2.5,high").encode(),
    "other_columns.csv": b"a,b,c\n1,2,3\n4,5,6\n",
    "cut.csv": GOOD.encode()[:-5] + b"\n9",
    "infinite.csv": GOOD.replace("\n2.5,1", "\n2.5,inf").encode(),
    "picture.png": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9,
    "notes.txt": b"Mouse 3 was tired today.\n",
    "data.json": json.dumps({"readings": [1, 2, 3]}).encode(),
    "zeros.ppd": bytes(5000),
    "noise.ppd": np.random.default_rng(6).bytes(5000),
    "cut.ppd": (700).to_bytes(2, "little") + b'{"subject_ID": "m1"',
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_recording_is_refused_in_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(FILES[name])
    code = cli.main(["replay", str(tmp_path / name), "--protocol", "demo", "--json"])
    said = capsys.readouterr()
    assert code == 5, said
    assert said.out.strip() == ""
    assert len(said.err.strip().splitlines()) == 1
    assert name in said.err
    assert "Traceback" not in said.err
