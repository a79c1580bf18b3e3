"""The rows of a form, from a model and what a file says of it. Nothing is drawn, and no text is judged here.

A unit stays in the text as in the file ("500 ms").
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from closedloop.model import InFile, Model, OneOf, Quantity, kinds

_HIDDEN = {"version"}


@dataclass(frozen=True)
class Entry:
    """One row of the form.

    Attributes:
        key: as after `--set`, such as "detector.threshold".
        depth: 0 for a field of the file itself.
        text: as written in the file; "" where it is absent.
        otherwise: what holds where nothing is written.
        choices: all that may be chosen; empty if anything may be written.
        about: what it is, for people.
        heading: whether it only heads the rows below it.
        foreign: whether the file has it and the model does not know it.
        package: of a kind, where the parts are that may be chosen; "" of anything else.
    """

    key: str
    depth: int
    text: str = ""
    otherwise: str = ""
    choices: tuple[str, ...] = ()
    about: str = ""
    heading: bool = False
    foreign: bool = False
    package: str = ""

    @property
    def effective(self) -> str:
        """What holds without any edit."""
        return self.text or self.otherwise

    @property
    def name(self) -> str:
        """As people say it: "warm up"; items of a list are counted from 1."""
        *before, last = self.key.split(".")
        return f"{before[-1].rstrip('s')} {int(last) + 1}" if last.isdecimal() else last.replace("_", " ")


def entries(model: type[Model], data: Mapping[str, Any], prefix: str = "", depth: int = 0) -> Iterator[Entry]:
    """The rows for a model and what a file says of it, in the model's order; a part's `kind` comes first."""
    names = sorted(model.model_fields, key=lambda name: name != "kind")
    for name in names:
        if name not in _HIDDEN:
            yield from _of_field(model.model_fields[name], data.get(name), f"{prefix}{name}", depth)
    for name in data:
        if name not in model.model_fields:
            yield Entry(f"{prefix}{name}", depth, _written(data[name]), foreign=True, about="Not known here.")


def _of_field(info: FieldInfo, value: Any, key: str, depth: int) -> Iterator[Entry]:
    about = info.description or ""
    if (family := _first(info, OneOf)) is not None and value is None and _needs_several(info):
        example = (info.examples or [""])[0]
        yield Entry(key, depth, about=f"{about}\nFor example {example}")
    elif family is not None:
        yield from _of_parts(family, value, key, depth, about)
    elif (model := _model_in(info.annotation)) is not None and get_origin(info.annotation) is tuple:
        yield from _of_several(model, value, key, depth, about)
    elif model is not None and _first(info, InFile) is None:
        yield Entry(key, depth, about=about, heading=True)
        rows = entries(model, value if isinstance(value, dict) else {}, f"{key}.", depth + 1)
        is_off = value is None and info.default is None and not info.is_required() and info.default_factory is None
        yield from (replace(row, otherwise="") if is_off else row for row in rows)
    else:
        otherwise = _default(info)
        yield Entry(key, depth, _written(value), otherwise, _choices(info, otherwise), about)


def _of_several(model: type[Model], value: Any, key: str, depth: int, about: str) -> Iterator[Entry]:
    """Blocks, gates: each that is written with its fields; where none is, one line that they can be written in."""
    if not value or isinstance(value, str):
        yield Entry(key, depth, _written(value), about=f"{about}\nFor example [{{{_example(model)}}}]")
        return
    for at, item in enumerate(value) if isinstance(value, list) else ((None, value),):
        place = key if at is None else f"{key}.{at}"
        yield Entry(place, depth, about=about, heading=True)
        yield from entries(model, item if isinstance(item, dict) else {}, f"{place}.", depth + 1)


def _example(model: type[Model]) -> str:
    """The fields that must be given, as they could be written."""
    needed = {name: info for name, info in model.model_fields.items() if info.is_required()}
    return ", ".join(f"{name}: {(info.examples or [_unit_example(info)])[0]}" for name, info in needed.items())


def _unit_example(info: FieldInfo) -> str:
    quantity = _first(info, Quantity)
    if quantity is None:
        return "..."
    return "5 min" if quantity.dimension == "time" else quantity.example


def _of_parts(family: OneOf, value: Any, key: str, depth: int, about: str) -> Iterator[Entry]:
    """A part, or a chain of them, each with the fields of its kind."""
    if isinstance(value, list):
        for at, item in enumerate(value):
            yield from _of_parts(family, item, f"{key}.{at}", depth, about)
        return
    known = kinds(family.package)
    written = value if isinstance(value, dict) else {}
    kind = str(written.get("kind") or "")
    yield Entry(key, depth, about=about, heading=True)
    chosen = f"Which of the {family.package.rpartition('.')[2]}."
    yield Entry(f"{key}.kind", depth + 1, kind, "", tuple(known), chosen, package=family.package)
    if kind in known:
        rows = entries(known[kind], written, f"{key}.", depth + 1)
        yield from (row for row in rows if row.key != f"{key}.kind")


def _needs_several(info: FieldInfo) -> bool:
    """Whether a part alone is not enough: then all of them are written in one line."""
    extra = info.json_schema_extra
    return isinstance(extra, dict) and "minItems" in extra


def fitting(written: Mapping[str, Any], package: str, old: str, new: str) -> dict[str, Any]:
    """What is written of a part of one kind and holds for another as well: fields that both have, with one default."""
    known = kinds(package)
    if old not in known or new not in known:
        return {**written, "kind": new}
    before, after = known[old].model_fields, known[new].model_fields
    same = [name for name in written if name in before and name in after and _is_same(before[name], after[name])]
    return {"kind": new} | {name: written[name] for name in same if name != "kind"}


def in_one_line(value: Any) -> str:
    """Maps, lists and plain values as they stand in one line of YAML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {in_one_line(item)}" for name, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(in_one_line, value))}]"
    text = _written(value)
    return json.dumps(text, ensure_ascii=False) if set(text) & set(",:{}[]#&*!|>'\"%@`") else text


def _is_same(one: FieldInfo, other: FieldInfo) -> bool:
    return one.default == other.default and one.default_factory is other.default_factory


def _inside(annotation: Any) -> Iterator[Any]:
    yield annotation
    yield from getattr(annotation, "__metadata__", ())
    for argument in get_args(annotation):
        yield from _inside(argument)


def _first(info: FieldInfo, kind: type[Any]) -> Any:
    found = [*info.metadata, *_inside(info.annotation)]
    return next((one for one in found if isinstance(one, kind)), None)


def _model_in(annotation: Any) -> type[Model] | None:
    models = (one for one in _inside(annotation) if isinstance(one, type) and issubclass(one, Model))
    return next(models, None)


def _choices(info: FieldInfo, otherwise: str) -> tuple[str, ...]:
    literals = [one for one in _inside(info.annotation) if get_origin(one) is Literal]
    named = tuple(str(choice) for one in literals for choice in get_args(one))
    named = named or (("true", "false") if info.annotation is bool else ())
    return named if not named or otherwise else ("", *named)


def _default(info: FieldInfo) -> str:
    if info.is_required() or info.default is None or info.default_factory is not None:
        return ""
    quantity = _first(info, Quantity)
    return str(quantity.text(info.default)) if quantity is not None else _written(info.default)


def _written(value: Any) -> str:
    """A plain value as it stands in YAML."""
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_written(item) for item in value)}]"
    return " ".join(str(value).split())
