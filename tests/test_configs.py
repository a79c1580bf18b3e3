"""The configurations that are shipped, and the schemas that help to write more."""

from __future__ import annotations

import json
import re
import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sessions import command

from closedloop import gates, schema, yaml_file, yaml_tree
from closedloop.analysis.budget import budget
from closedloop.analysis.rehearsal import script
from closedloop.errors import ConfigError
from closedloop.limits import effective
from closedloop.loop import Loop
from closedloop.model import kinds
from closedloop.protocol import Protocol, load_protocol
from closedloop.rig import load_rig
from closedloop.simulation.animal import Animal, VirtualAnimal
from closedloop.study import load_study

CONFIGS = Path(__file__).parents[1] / "configs"
ABSTINENCE = CONFIGS / "studies" / "abstinence.yaml"
PROTOCOLS = sorted(path.stem for path in (CONFIGS / "protocols").glob("*.yaml"))
STUDY = [name for name in PROTOCOLS if name.startswith("abstinence_")]
SESSIONS = [f"abstinence_{what}" for what in ("baseline", "conditioning", "preference", "reexposure", "withdrawal")]
RIGS = sorted(path.stem for path in (CONFIGS / "rigs").glob("*.yaml"))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_shipped_protocol_loads_and_bears_its_files_name(name: str) -> None:
    assert load_protocol(name).name == name
    assert load_protocol(str(CONFIGS / "protocols" / f"{name}.yaml")) == load_protocol(name)


@pytest.mark.parametrize("name", RIGS)
def test_a_shipped_rig_loads_and_bears_its_files_name(name: str) -> None:
    assert load_rig(name).name == name


@pytest.mark.parametrize("rig", RIGS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_shipped_protocol_is_refused_on_a_shipped_rig(protocol: str, rig: str) -> None:
    done, with_what = load_protocol(protocol), load_rig(rig)
    unsaid = "the rig does not say what it measures with; give it a photometry section"
    compared = done.anchor is not None and with_what.photometry is None
    unwired = gates.problems(done.gates, with_what.inputs)
    assert budget(done, with_what).refusals == (*((f"anchor of virtual: {unsaid}",) if compared else ()), *unwired)


@pytest.mark.parametrize("name", STUDY)
def test_a_protocol_of_the_study_runs_on_the_rig_of_the_study(name: str) -> None:
    assert budget(load_protocol(name), load_rig(load_study(ABSTINENCE).rig)).refusals == ()


@pytest.mark.parametrize("name", STUDY)
def test_protocols_of_the_study_differ_in_nothing_that_they_should_share(name: str) -> None:
    one, other = load_protocol(name), load_protocol("abstinence_withdrawal")
    shared = ("warm_up", "features", "detector", "light", "recovery", "quality", "limits", "preparation")
    assert {field for field in shared if getattr(one, field) != getattr(other, field)} == set()


@pytest.mark.parametrize("name", sorted(set(STUDY) - set(SESSIONS)))
def test_a_control_differs_from_the_session_of_withdrawal_in_name_code_and_policy_alone(name: str) -> None:
    one, other = load_protocol(name).model_dump(), load_protocol("abstinence_withdrawal").model_dump()
    assert {key for key in one if one[key] != other[key]} == {"name", "condition", "policy"}
    assert f"abstinence_{one['policy']['kind']}" == name


def test_every_policy_of_the_host_has_a_protocol_that_shows_it() -> None:
    shown = {policy.kind for name in PROTOCOLS for policy in load_protocol(name).policies}
    assert shown == set(kinds("closedloop.policies"))


def test_the_studys_phases_use_its_sessions_and_give_light_by_an_arm_alone() -> None:
    study = load_study(ABSTINENCE)
    assert {phase.protocol for phase in study.phases} == set(SESSIONS)
    for phase in study.phases:
        lit = any(policy.fire_code for policy in load_protocol(phase.protocol).policies)
        assert phase.arms or not lit, phase.name


def test_the_study_can_be_rehearsed_with_every_arm_that_it_has() -> None:
    rehearsed = script.read(ABSTINENCE)
    arms = [rehearsed.arms(phase) for phase in rehearsed.study.phases if phase.arms]
    assert all(found[-1] == "yoked" and set(found) == {"closed_loop", "sham", "catch", "yoked"} for found in arms)


def test_arms_of_the_study_share_their_refractory_time_or_have_a_partners() -> None:
    arms = load_study(ABSTINENCE).arms
    assert {arm.policy.get("refractory") for arm in arms if arm.yoked_to is None} == {"6 s"}
    assert load_protocol("abstinence_withdrawal").policy.refractory == 6.0


def test_the_study_is_randomised_planned_and_refused_before_its_day(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = shutil.copy(ABSTINENCE, tmp_path)
    assert command(capsys, "randomise", file, "--json").code == 0
    ran = command(capsys, "study", "plan", file, "--date", "2027-01-04", "--json")
    assert ran.code == 0, ran.said
    assert [one["state"] for one in ran.summary["today"]] == ["due"] * 8
    assert command(capsys, "run", "--study", file, "--subject", "M01", "--headless").code == 2


@pytest.mark.parametrize("folder", ["protocols", "rigs", "calibrations", "studies"])
def test_a_shipped_file_points_editors_to_its_schema(folder: str) -> None:
    for path in (CONFIGS / folder).glob("*.yaml"):
        first = path.read_text(encoding="utf-8").splitlines()[0]
        named = path.parent / first.removeprefix("# yaml-language-server: $schema=")
        assert named.resolve().is_file(), path


def test_sham_differs_from_inhibition_in_name_code_and_policy_alone() -> None:
    real = load_protocol("withdrawal_inhibition").model_dump()
    sham = load_protocol("withdrawal_sham").model_dump()
    assert {key for key in real if real[key] != sham[key]} == {"name", "condition", "policy"}
    assert real["policy"].pop("kind") == "closed_loop"
    assert sham["policy"].pop("kind") == "sham"
    assert real["policy"] == sham["policy"]


def test_reexposure_and_baseline_use_the_loop_of_withdrawal() -> None:
    real = load_protocol("withdrawal_inhibition").model_dump()
    for name in ("reexposure", "baseline"):
        other = load_protocol(name).model_dump()
        assert {key for key in real if real[key] != other[key]} <= {"name", "condition", "phase", "policy"}


def test_the_gate_listens_to_the_chain_of_baseline_and_the_trigger_is_that_of_the_onset_protocol() -> None:
    gated, onset = load_protocol("withdrawal_gated"), load_protocol("withdrawal_onset")
    trigger = gated.detector.of[0]  # type: ignore[attr-defined]
    assert gated.features == load_protocol("baseline").features
    assert trigger.features == onset.features
    assert trigger.model_copy(update={"features": ()}) == onset.detector
    apart = {"name", "condition", "anchor", "features", "detector"}
    assert gated.model_dump(exclude=apart) == onset.model_dump(exclude=apart)


def test_the_shipped_anchor_is_a_virtual_animals_on_the_simulated_rigs() -> None:
    anchor = load_protocol("withdrawal_gated").anchor
    assert anchor is not None
    assert anchor.subject == "virtual"
    for rig in ("simulated", "simulated_withdrawal"):
        assert load_rig(rig).photometry == anchor.photometry


def test_the_shipped_anchor_has_the_levels_of_the_animals_in_its_script() -> None:
    script = runpy.run_path(str(CONFIGS / "anchors" / "make_simulated.py"))
    anchor, rig = load_protocol("withdrawal_gated").anchor, load_rig("simulated")
    assert anchor is not None
    assert anchor.level is not None
    assert len(anchor.sessions) == script["DAYS"]
    for day, told in enumerate(anchor.level.sessions, 1):
        readings = VirtualAnimal(script["animal"](day), rig.daq.rate, seed=day).run(
            np.zeros(round(1800 * rig.daq.rate))
        )
        clean = readings[readings["ticks"] > anchor.warm_up * 1e6]
        signal, control = (clean[f"{name}_lit"].astype(float) - clean[f"{name}_dark"] for name in ("signal", "control"))
        assert np.mean(np.log(signal / control)) == pytest.approx(told, abs=5e-4)


@pytest.mark.parametrize(("preset", "opens"), [("withdrawal", True), ("null", False)])
def test_the_gated_protocol_gives_light_in_withdrawal_alone(preset: str, opens: bool) -> None:
    protocol, rig = load_protocol("withdrawal_gated"), load_rig("simulated_withdrawal")
    assert rig.simulation is not None
    assert rig.simulation.animal.preset == "withdrawal"
    virtual = VirtualAnimal(Animal.model_validate({"preset": preset}), rig.daq.rate, seed=1)
    plan = protocol.plan(effective(rig.limits, protocol.limits, lease_s=0.25), rig.full_power_mw, rig.photometry)
    loop = Loop(plan, rate_hz=rig.daq.rate, nano_units=virtual.nano_units)
    readings = virtual.run(np.zeros(round(protocol.lasts_s * rig.daq.rate)))
    steps = loop.run(readings)
    minutes = readings["ticks"][(steps["decision"] != 0) & (steps["refused"] == 0)] / 60e6
    before, withdrawal = np.sum(minutes < 6), np.sum((minutes >= 6) & (minutes < 24))
    assert before == 0
    assert withdrawal >= 10 if opens else len(minutes) == 0
    assert len(minutes) - withdrawal <= 0.1 * withdrawal  # a gate shuts as slowly as it opens


def test_codes_do_not_tell_the_arm() -> None:
    codes = [load_protocol(name).condition for name in PROTOCOLS]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[A-Z]\d", code) for code in codes)


def test_a_file_of_ones_own_comes_before_a_shipped_one_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_protocol("demo").name == "demo"
    (tmp_path / "demo").write_text(
        (CONFIGS / "protocols" / "demo.yaml").read_text(encoding="utf-8").replace("name: demo", "name: mine"),
        encoding="utf-8",
    )
    assert load_protocol("demo").name == "mine"


def test_in_a_wheel_the_configs_are_inside_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = tmp_path / "closedloop" / "configs" / "protocols"
    shelf.mkdir(parents=True)
    (shelf / "other.yaml").write_text("", encoding="utf-8")
    monkeypatch.setattr(yaml_file, "__file__", str(tmp_path / "closedloop" / "yaml_file.py"))
    assert yaml_file.resolve("other", "protocols") == shelf / "other.yaml"
    with pytest.raises(ConfigError, match="give a path, or one of: other"):
        yaml_file.resolve("zzz", "protocols")


def test_a_bare_name_does_not_leave_its_folder() -> None:
    with pytest.raises(ConfigError):
        load_protocol("../rigs/simulated")


@pytest.mark.parametrize("name", schema.FILES)
def test_the_schema_in_its_file_is_up_to_date(name: str) -> None:
    written = (schema.FOLDER / name).read_text(encoding="utf-8")
    assert written == schema.text(schema.FILES[name]), "run: python -m closedloop.schema"


@pytest.mark.parametrize("name", schema.FILES)
def test_every_field_of_a_schema_is_described(name: str) -> None:
    made = schema.schema(schema.FILES[name])
    fields = [(field, told) for found in maps(made) for field, told in found.get("properties", {}).items()]
    assert len(fields) > 10
    assert [field for field, told in fields if not (told.get("description") or "$ref" in told)] == []
    assert all(defined["description"] for defined in made["$defs"].values())


@pytest.mark.parametrize("name", schema.FILES)
def test_every_reference_of_a_schema_leads_somewhere(name: str) -> None:
    made = schema.schema(schema.FILES[name])
    references = {found["$ref"] for found in maps(made) if isinstance(found.get("$ref"), str)}
    assert references == {f"#/$defs/{defined}" for defined in made["$defs"]}


@pytest.mark.parametrize(
    ("name", "path"),
    [("protocol.schema.json", path) for path in sorted((CONFIGS / "protocols").glob("*.yaml"))]
    + [("rig.schema.json", path) for path in sorted((CONFIGS / "rigs").glob("*.yaml"))]
    + [("calibration.schema.json", path) for path in sorted((CONFIGS / "calibrations").glob("*.yaml"))]
    + [("study.schema.json", path) for path in sorted((CONFIGS / "studies").glob("*.yaml"))],
    ids=lambda value: value.stem if isinstance(value, Path) else "",
)
def test_a_shipped_file_fits_its_schema(name: str, path: Path) -> None:
    made = json.loads((schema.FOLDER / name).read_text(encoding="utf-8"))
    assert fits(yaml_tree.read(path)[1], made, made)


MISTAKES = {
    "demo": [("on: 200 ms", "on: 200"), ("kind: dff", "kind: df"), ("light:", "lite:")],
    "withdrawal_gated": [
        ("      rise: 50 ms", "      rice: 50 ms"),  # in a member
        ("features: [{kind: isosbestic, mode", "features: [{kind: isosbestic, mod"),  # in a member's own chain
        ("rate: {times: 2}", "rate: {time: 2}"),  # in a section of a member
        ("hyperactive: 10 min", "hyperactive: 10"),
        ("- kind: state", "- kind: stat"),
        ("  of:", "  off:"),
    ],
}


@pytest.mark.parametrize(
    ("name", "old", "new"), [(name, old, new) for name, mistakes in MISTAKES.items() for old, new in mistakes]
)
def test_a_mistake_does_not_fit_the_schema(name: str, old: str, new: str, tmp_path: Path) -> None:
    made = json.loads((schema.FOLDER / "protocol.schema.json").read_text(encoding="utf-8"))
    text = (CONFIGS / "protocols" / f"{name}.yaml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "mine.yaml").write_text(text.replace(old, new), encoding="utf-8")
    assert not fits(yaml_tree.read(tmp_path / "mine.yaml")[1], made, made)


def test_members_of_members_fit_the_schema() -> None:
    made = schema.schema(Protocol)
    inner = {"kind": "any", "of": [{"kind": "threshold"}, {"kind": "rate", "event": "5 %"}]}
    outer = {"kind": "all", "of": [inner, {"kind": "state", "level": {"smallest": "10 %"}}]}
    assert fits(outer, made["properties"]["detector"], made)
    inner["of"] = [{"kind": "threshold"}, {"kind": "rate", "event": 5}]
    assert not fits(outer, made["properties"]["detector"], made)


@pytest.mark.parametrize("name", schema.FILES)
def test_each_kind_is_written_out_once(name: str) -> None:
    consts = [
        found["properties"]["kind"]["const"]
        for found in maps(schema.schema(schema.FILES[name]))
        if "const" in found.get("properties", {}).get("kind", {})
    ]
    packages = {
        "protocol.schema.json": ("features", "detectors", "policies"),
        "rig.schema.json": ("sources", "stimulators"),
        "study.schema.json": ("policies",),
    }
    assert sorted(consts) == sorted(kind for one in packages.get(name, ()) for kind in kinds(f"closedloop.{one}"))


def maps(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from maps(item)


TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}


def fits(value: Any, part: dict[str, Any], whole: dict[str, Any]) -> bool:
    """As much of JSON schema as ours use."""
    if "$ref" in part:
        return fits(value, whole["$defs"][part["$ref"].rpartition("/")[2]], whole)
    if "anyOf" in part:
        return any(fits(value, one, whole) for one in part["anyOf"])
    if "const" in part or "enum" in part:
        return value in part.get("enum", [part.get("const")])
    if not isinstance(value, TYPES[part["type"]]):
        return False
    if isinstance(value, list):
        return all(fits(item, part["items"], whole) for item in value)
    if isinstance(value, dict):
        known, other = part.get("properties", {}), part.get("additionalProperties", False)
        for pattern, named in part.get("patternProperties", {}).items():
            known = known | {key: named for key in value if re.search(pattern, key)}
        return (
            (bool(other) or set(value) <= set(known))
            and set(part.get("required", [])) <= set(value)
            and all(fits(item, known.get(key, other), whole) for key, item in value.items())
        )
    return not isinstance(value, str) or re.search(part.get("pattern", ""), value) is not None
