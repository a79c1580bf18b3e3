"""What pydantic found wrong, as lines for the person who wrote the file: where, what, what came, and what to do.

Nothing is decided here; a model has already refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from closedloop.model import Model, OneOf, Quantity
from closedloop.yaml_tree import Place, Tree, has, shown, written

_ADVICE = {
    "literal_error": "use one of these",
    "int_parsing": "write a whole number",
    "int_parsing_size": "write a smaller number",
    "int_type": "write a whole number",
    "int_from_float": "write a whole number",
    "float_type": "write a number",
    "float_parsing": "write a number",
    "finite_number": "write a number that has an end",
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
    "string_type": "put it in quotes if it is meant as text",
    "string_too_short": "write something",
    "string_too_long": "shorten it",
    "string_pattern_mismatch": "begin with a letter; letters, digits and _ may follow",
    "list_type": "write a list: lines that begin with '- '",
    "tuple_type": "write a list: lines that begin with '- '",
    "model_type": "write a map: 'name: value' lines, indented",
    "dict_type": "write a map: 'name: value' lines, indented",
    "too_short": "add one",
    "too_long": "take some out",
}
_WHAT = {
    "model_type": "must be a map",
    "dict_type": "must be a map",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "string_type": "must be text",
    "string_pattern_mismatch": "is no name",
}
_BOUNDS = {
    "greater_than": ("gt", "must be above", "give a larger number"),
    "greater_than_equal": ("ge", "must be at least", "give a larger number"),
    "less_than": ("lt", "must be below", "give a smaller number"),
    "less_than_equal": ("le", "must be at most", "give a smaller number"),
}
_SHOULD = re.compile(r"^(Input|String|Tuple|List) should\b")
_CROSS_FIELD = re.compile(
    r"(?P<field>[a-z_]+(?:\.(?:[a-z_]+|[0-9]+))*)(?: \((?P<got>[^)]*)\))? (?P<what>[^;]+)(?P<advice>; .*)?"
)


def explain(
    errors: ValidationError, tree: Tree, data: Any, model: type[Model], overridden: Sequence[Place]
) -> Iterator[str]:
    """One line a mistake.

    Args:
        errors: what the model refused.
        tree: of the file, for its lines.
        data: its plain values, overrides included.
        model: what the file was to be.
        overridden: places that the command line changed.
    """
    for error in errors.errors(include_url=False):
        for at, said in _said(error, model, data, _place(error["loc"], data)):
            where = ".".join(shown(part) for part in at)
            yield f"{_file(at, tree, overridden)}: {where + ': ' if where else ''}{said}"


def _file(at: Place, tree: Tree, overridden: Sequence[Place]) -> str:
    """Where a place was written: on the command line, or in a line of the file."""
    if any(at[: len(o)] == o or (at == o[: len(at)] and at not in tree.lines) for o in overridden):
        return "--set"
    return f"{tree.name}:{tree.line(at)}"


def _place(loc: tuple[str | int, ...], data: Any) -> Place:
    """Where an error is in the file: without pydantic's own steps, and without an index where there is no list."""
    at: Place = ()
    for part in loc:
        if isinstance(part, str) and part.startswith(("function-", "list[")):
            continue
        if isinstance(part, int) and isinstance(data, dict):
            continue  # a single feature, written without its list
        at = (*at, part)
        data = data[part] if has(data, part) else None
    return at


def _said(error: Any, model: type[Model], data: Any, at: Place) -> Iterator[tuple[Place, str]]:
    """The places that an error concerns, and what to say of each."""
    kind = error["type"]
    if kind == "value_error":
        for line in error["msg"].removeprefix("Value error, ").splitlines():
            yield _cross_field(line, model, data, at)
    elif kind == "extra_forbidden":
        yield at, f"unknown field; {_nearest(str(at[-1]), _fields(model, data, at[:-1]))}"
    elif kind == "missing":
        yield at, f"missing field; add it, for example '{at[-1]}: {_example(model, data, at)}'"
    elif kind in ("quantity", "part"):
        what, _, advice = error["msg"].partition("; ")
        got = "" if isinstance(error["input"], dict) else f" (got {shown(error['input'])})"
        yield (*at, "kind") if kind == "part" and not got else at, f"{what}{got}; {advice}"
    else:
        yield at, _of_pydantic(error, _quantity(model, data, at), shown(written(data, at, error["input"])))


def _cross_field(line: str, model: type[Model], data: Any, at: Place) -> tuple[Place, str]:
    """A model's own rule, said of the field that it begins with: "period (50 ms) must be longer than ...; ..."."""
    match = _CROSS_FIELD.fullmatch(line)
    if match is None or match["field"].partition(".")[0] not in _fields(model, data, at):
        return at, line
    at = (*at, *(int(part) if part.isdecimal() else part for part in match["field"].split(".")))
    got = shown(written(data, at, match["got"] or ""))
    return at, f"{match['what']}{f' (got {got})' if got else ''}{match['advice'] or ''}"


def _of_pydantic(error: Any, quantity: Quantity | None, got: str) -> str:
    kind = error["type"]
    if kind in _BOUNDS:
        name, what, advice = _BOUNDS[kind]
        bound = error["ctx"][name]
        return f"{what} {quantity.text(bound) if quantity else format(bound, 'g')} (got {got}); {advice}"
    what = _WHAT.get(kind) or _SHOULD.sub("must", error["msg"]).replace(" after validation", "")
    return f"{what} (got {got}); {_ADVICE.get(kind, 'see the comments in configs/')}"


def _nearest(name: str, known: dict[str, FieldInfo]) -> str:
    near = get_close_matches(name, known, 1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known)}"


def _fields(model: type[Model], data: Any, at: Place) -> dict[str, FieldInfo]:
    """The fields that are known at a place, whatever part or nested model it is."""
    current: type[Model] | None = model
    info: FieldInfo | None = None
    for part in at:
        data = data[part] if has(data, part) else None
        if isinstance(part, str):
            info = current.model_fields.get(part) if current else None
        current = _model_of(info, data) if info else None
    return dict(current.model_fields) if current else {}


def _model_of(info: FieldInfo, data: Any) -> type[Model] | None:
    for found in [*info.metadata, *_inside(info.annotation)]:
        if isinstance(found, OneOf) and isinstance(data, dict):
            return found.part(data)
        if isinstance(found, type) and issubclass(found, Model) and isinstance(data, dict):
            return found
    return None


def _inside(annotation: Any) -> Iterator[Any]:
    """An annotation and all that it is made of: members of unions, items of lists, metadata."""
    yield annotation
    yield from getattr(annotation, "__metadata__", ())
    for argument in get_args(annotation):
        yield from _inside(argument)


def _example(model: type[Model], data: Any, at: Place) -> str:
    quantity = _quantity(model, data, at)
    if quantity is not None:
        return quantity.example
    info = _fields(model, data, at[:-1]).get(str(at[-1]))
    return str(info.examples[0]) if info and info.examples else "..."


def _quantity(model: type[Model], data: Any, at: Place) -> Quantity | None:
    """What a field's number measures, if anything."""
    info = _fields(model, data, at[:-1]).get(str(at[-1])) if at else None
    parts = [*info.metadata, *_inside(info.annotation)] if info else []
    return next((found for found in parts if isinstance(found, Quantity)), None)
