"""Quantities, parts by kind, and the way out of and back into a file."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from closedloop import model, yaml_file
from closedloop.features.dff import Dff
from closedloop.features.isosbestic import Isosbestic
from closedloop.features.lowpass import Lowpass
from closedloop.limits import Limits
from closedloop.model import FROM_FILE, Model, OneOf, Quantity, digest, kinds
from closedloop.protocol import Protocol, load_protocol
from closedloop.rig import Rig, load_rig
from closedloop.train import Train

CONFIGS = Path(__file__).parents[1] / "configs"
TYPES = {
    name: getattr(model, name)
    for name in ("Seconds", "Hertz", "Milliwatts", "Nanometres", "Micrometres", "Millimetres", "Fraction", "Rate")
}


def read(kind: Any, value: object, *, from_file: bool = True) -> Any:
    return TypeAdapter(kind).validate_python(value, context=FROM_FILE if from_file else None)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("Seconds", "2 s", 2.0),
        ("Seconds", "500 ms", 0.5),
        ("Seconds", "0.1 ms", 0.0001),
        ("Seconds", "250 us", 0.00025),
        ("Seconds", "250 µs", 0.00025),
        ("Seconds", "250 μs", 0.00025),
        ("Seconds", "5 min", 300.0),
        ("Seconds", "1.5 h", 5400.0),
        ("Hertz", "130 Hz", 130.0),
        ("Hertz", "100 mHz", 0.1),
        ("Hertz", "1 kHz", 1000.0),
        ("Milliwatts", "5 mW", 5.0),
        ("Milliwatts", "300 uW", 0.3),
        ("Milliwatts", "300 µW", 0.3),
        ("Milliwatts", "0.01 W", 10.0),
        ("Nanometres", "638 nm", 638.0),
        ("Micrometres", "200 um", 200.0),
        ("Micrometres", "200 µm", 200.0),
        ("Micrometres", "0.2 mm", 200.0),
        ("Millimetres", "0.5 mm", 0.5),
        ("Millimetres", "500 um", 0.5),
        ("Millimetres", "500 µm", 0.5),
        ("Fraction", "30 %", 0.3),
        ("Fraction", "7%", 0.07),
        ("Rate", "3 /min", 3.0),
        ("Rate", "2 /s", 120.0),
        ("Rate", "60 /h", 1.0),
    ],
)
def test_every_unit_is_read_and_correctly_rounded(kind: str, text: str, value: float) -> None:
    assert read(TYPES[kind], text) == value


def test_the_table_above_has_every_unit() -> None:
    marks: Any = next(m for m in test_every_unit_is_read_and_correctly_rounded.pytestmark)  # type: ignore[attr-defined]
    tried = {(kind, text.lstrip("0123456789. ").replace("μ", "µ")) for kind, text, _ in marks.args[1]}
    assert tried == {(kind, unit) for kind, type_ in TYPES.items() for unit in get_args(type_)[1].units}


@pytest.mark.parametrize(
    ("text", "value"),
    [("2s", 2.0), ("  2   s  ", 2.0), ("+2 s", 2.0), ("-2 s", -2.0), ("2. s", 2.0), (".5 s", 0.5), ("1e-3 s", 0.001)],
)
def test_numbers_may_be_written_in_any_usual_way(text: str, value: float) -> None:
    assert read(model.Seconds, text) == value


@pytest.mark.parametrize(
    "value", [2, 2.0, "2", True, None, math.nan, [], {}, "s", "2 S", "2 s s", "1,5 s", "nan s", ""]
)
def test_what_has_no_number_with_its_unit_is_refused_from_a_file(value: object) -> None:
    with pytest.raises(ValidationError):
        read(model.Seconds, value)


@pytest.mark.parametrize("value", [2, 2.0, "2 s", "2000 ms"])
def test_in_python_a_bare_number_means_the_types_own_unit(value: object) -> None:
    assert read(model.Seconds, value, from_file=False) == 2.0


@pytest.mark.parametrize("value", [True, math.nan, math.inf, -math.inf, "2", None])
def test_what_is_no_number_is_refused_from_python_too(value: object) -> None:
    with pytest.raises(ValidationError):
        read(model.Seconds, value, from_file=False)


@pytest.mark.parametrize("kind", TYPES)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_quantity_reads_back_as_the_very_same_float(kind: str, value: float) -> None:
    quantity: Quantity = get_args(TYPES[kind])[1]
    text = quantity.text(value)
    if abs(value) > quantity.most:
        with pytest.raises(ValueError, match="is too large"):
            quantity.parse(text)
        return
    back = quantity.parse(text)
    assert (back, math.copysign(1, back)) == (value, math.copysign(1, value))


@pytest.mark.parametrize(("kind", "text"), [("Seconds", "0.5 s"), ("Fraction", "30 %"), ("Hertz", "130 Hz")])
def test_a_quantity_is_written_as_a_person_would(kind: str, text: str) -> None:
    quantity: Quantity = get_args(TYPES[kind])[1]
    assert quantity.text(quantity.parse(text)) == text


@given(st.text(max_size=12))
def test_no_text_raises_anything_but_a_value_error(text: str) -> None:
    quantity: Quantity = get_args(model.Seconds)[1]
    refused = ""
    try:
        assert math.isfinite(quantity.parse(text))
    except ValueError as problem:
        refused = str(problem)
    assert not refused or "; " in refused


def test_bounds_hold_in_the_types_own_unit_whatever_was_written() -> None:
    with pytest.raises(ValidationError):
        Train.model_validate({"on": "1 s", "ramp_off": "1001 ms"}, context=FROM_FILE)


def test_a_model_cannot_be_changed_and_takes_no_unknown_field() -> None:
    train = Train(on=0.5)
    with pytest.raises(ValidationError):
        train.on = 1.0  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Train(on=0.5, onn=1.0)  # type: ignore[call-arg]


def test_plain_numbers_must_have_an_end() -> None:
    for value in (math.nan, math.inf):
        with pytest.raises(ValidationError):
            load_protocol("demo").detector.__class__(threshold=value)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty package of parts; forgotten afterwards."""
    folder = tmp_path / "some_parts"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "some_parts"]:
        del sys.modules[name]


def part_file(folder: Path, file: str, kind: str, name: str = "Some") -> None:
    text = f"class {name}(Part):\n    kind: Literal['{kind}'] = '{kind}'\n    x: float = 1.0\n"
    path = folder / f"{file}.py"
    head = "" if path.exists() else "from typing import Literal\nfrom closedloop.model import Part\n"
    with path.open("a") as out:
        out.write(head + text)
    importlib.invalidate_caches()


def test_a_file_dropped_in_is_a_kind_at_once(package: Path) -> None:
    class Holder(Model):
        part: Annotated[Any, OneOf("some_parts")]

    part_file(package, "first", "first")
    assert list(kinds("some_parts")) == ["first"]
    part_file(package, "second", "second")
    assert list(kinds("some_parts")) == ["first", "second"]
    held = Holder.model_validate({"part": {"kind": "second", "x": 3}})
    assert held.model_dump() == {"part": {"kind": "second", "x": 3.0}}


def test_a_folder_appended_to_the_packages_path_is_searched_too(package: Path, tmp_path: Path) -> None:
    part_file(package, "first", "first")
    more = tmp_path / "more"
    more.mkdir()
    part_file(more, "third", "third")
    importlib.import_module("some_parts").__path__.append(str(more))
    assert list(kinds("some_parts")) == ["first", "third"]


def test_a_part_must_bear_its_files_name(package: Path) -> None:
    part_file(package, "first", "furst")
    with pytest.raises(TypeError, match="must say kind: Literal\\['first'\\]"):
        kinds("some_parts")


def test_two_parts_in_a_file_are_refused(package: Path) -> None:
    part_file(package, "first", "first")
    part_file(package, "first", "first", "Other")
    with pytest.raises(TypeError, match="a file holds one part \\(found Some, Other\\)"):
        kinds("some_parts")


def test_helpers_and_imported_parts_are_no_parts(package: Path) -> None:
    (package / "helper.py").write_text("from closedloop.features.dff import Dff\nfrom closedloop.model import Part\n")
    part_file(package, "first", "first", "_Base")
    assert kinds("some_parts") == {}


@pytest.mark.parametrize("family", ["features", "detectors", "policies", "sources", "stimulators"])
def test_every_shipped_part_bears_its_files_name(family: str) -> None:
    found = kinds(f"closedloop.{family}")
    assert found
    for name, part in found.items():
        assert (part.model_fields["kind"].default, part.__module__) == (name, f"closedloop.{family}.{name}")


def back(found: Model, path: Path) -> Any:
    path.write_text(yaml_file.dump(found), encoding="utf-8")
    return yaml_file.load(type(found), path)


@pytest.mark.parametrize("path", sorted((CONFIGS / "protocols").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_protocol_written_out_reads_back_equal(path: Path, tmp_path: Path) -> None:
    protocol = load_protocol(str(path))
    again = back(protocol, tmp_path / "again.yaml")
    assert again == protocol
    assert digest(again) == digest(protocol)
    assert [type(part) for part in again.features] == [type(part) for part in protocol.features]


@pytest.mark.parametrize("path", sorted((CONFIGS / "rigs").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_rig_written_out_reads_back_equal(path: Path, tmp_path: Path) -> None:
    rig = load_rig(str(path))
    assert back(rig, tmp_path / "again.yaml") == rig


ODD = st.floats(1e-3, 1e3, allow_subnormal=False)


@settings(max_examples=40, deadline=None)
@given(
    baseline=ODD,
    cutoff=ODD,
    power=ODD,
    duty=st.floats(1e-3, 0.25),
    words=st.sampled_from(
        ["", "no", "1e3", "12:30", "ä\nb: c", "# x", "true", "~", "2001-01-01", " padded ", "0x1f", "=", "<<"]
    ),
)
def test_no_field_of_any_part_is_lost_on_the_way(
    baseline: float, cutoff: float, power: float, duty: float, words: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    protocol = load_protocol("withdrawal_inhibition").model_copy(
        update={
            "description": words,
            "features": (Isosbestic(baseline=baseline, epoch=cutoff), Dff(baseline=power), Lowpass(cutoff=cutoff)),
            "light": Train(on=baseline, period=baseline + power, count=3, power=power, ramp_off=duty),
            "limits": Limits(short_duty=duty),
        }
    )
    assert back(protocol, tmp_path_factory.getbasetemp() / "odd.yaml") == protocol


def test_what_is_written_out_says_every_parameter_with_its_unit() -> None:
    text = yaml_file.dump(load_protocol("withdrawal_inhibition"))
    for line in (
        "kind: isosbestic",
        "baseline: 60 s",
        "cutoff: 5 Hz",
        "refractory: 5 s",
        "hold: 10 s",
        "ramp_off: 0.1 s",
    ):
        assert line in text


def test_the_same_digest_means_the_same_words() -> None:
    one, other = load_protocol("demo"), load_protocol("demo", ["detector.threshold=5.5"])
    assert digest(one) == digest(load_protocol("demo"))
    assert digest(one) != digest(other)


def test_models_are_built_in_python_without_units() -> None:
    made = Protocol.model_validate(load_protocol("demo").model_dump())
    assert made == load_protocol("demo")
    assert Rig.model_validate(load_rig("simulated").model_dump()) == load_rig("simulated")
