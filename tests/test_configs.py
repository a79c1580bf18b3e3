"""The configurations that are shipped, and the schemas that help to write more."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from closedloop import schema, yaml_file, yaml_tree
from closedloop.analysis.budget import budget
from closedloop.errors import ConfigError
from closedloop.protocol import load_protocol
from closedloop.rig import load_rig

CONFIGS = Path(__file__).parents[1] / "configs"
PROTOCOLS = sorted(path.stem for path in (CONFIGS / "protocols").glob("*.yaml"))
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
    assert budget(load_protocol(protocol), load_rig(rig)).refusals == ()


@pytest.mark.parametrize("folder", ["protocols", "rigs"])
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
    assert len(fields) > 20
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
    + [("rig.schema.json", path) for path in sorted((CONFIGS / "rigs").glob("*.yaml"))],
    ids=lambda value: value.stem if isinstance(value, Path) else "",
)
def test_a_shipped_file_fits_its_schema(name: str, path: Path) -> None:
    made = json.loads((schema.FOLDER / name).read_text(encoding="utf-8"))
    assert fits(yaml_tree.read(path)[1], made, made)


@pytest.mark.parametrize(("old", "new"), [("on: 200 ms", "on: 200"), ("kind: dff", "kind: df"), ("light:", "lite:")])
def test_a_mistake_does_not_fit_the_schema(old: str, new: str, tmp_path: Path) -> None:
    made = json.loads((schema.FOLDER / "protocol.schema.json").read_text(encoding="utf-8"))
    text = (CONFIGS / "protocols" / "demo.yaml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "mine.yaml").write_text(text.replace(old, new), encoding="utf-8")
    assert not fits(yaml_tree.read(tmp_path / "mine.yaml")[1], made, made)


def maps(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from maps(item)


TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "null": type(None)}


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
        known = part.get("properties", {})
        return (
            set(value) <= set(known)
            and set(part.get("required", [])) <= set(value)
            and all(fits(item, known[key], whole) for key, item in value.items())
        )
    return not isinstance(value, str) or re.search(part.get("pattern", ""), value) is not None
