"""A YAML file to a frozen model, or every mistake in it at once, each with its line. Nothing in a file is executed.

YAML 1.1 is read the 1.2 way: `on` and `no` are words, `1e-3` is a number, `12:30` is text, and a key given twice is an
error. Anchors and tags have no use here and are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from closedloop.errors import ConfigError
from closedloop.model import FROM_FILE, Model, OneOf, Quantity

M = TypeVar("M", bound=Model)

_INT = re.compile(r"[+-]?\d+")
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS = {"": None, "~": None, "null": None, "Null": None, "true": True, "True": True, "false": False, "False": False}

Path_ = tuple[str | int, ...]


class _Tree:
    """The plain values of a file, and the line each stands on."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: dict[Path_, int] = {}
        self.problems: list[str] = []

    def problem(self, line: int, said: str) -> None:
        self.problems.append(f"{self.name}:{line}: {said}")

    def value(self, node: yaml.Node, at: Path_ = ()) -> Any:
        """Plain values of a node, filling `lines` on the way."""
        self.lines.setdefault(at, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._map(node, at)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*at, i)) for i, item in enumerate(node.value)]
        return _scalar(node)

    def _map(self, node: yaml.MappingNode, at: Path_) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
            if key in values:
                self.problem(line, f"YAML: duplicate key '{key}' (first on line {self.lines[(*at, key)]}); keep one")
                continue
            self.lines[(*at, key)] = line
            values[key] = self.value(value_node, (*at, key))
        return values

    def line(self, at: Path_) -> int:
        """The line of a place, or of what encloses it."""
        while at and at not in self.lines:
            at = at[:-1]
        return self.lines.get(at, 1)


def _scalar(node: yaml.Node) -> Any:
    text = str(node.value)
    if node.style is not None:  # quoted: text, whatever it looks like
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    return float(text.replace(".inf", "inf").replace(".nan", "nan")) if _FLOAT.fullmatch(text) else text


def load(model: type[M], path: Path | str, overrides: Sequence[str] = ()) -> M:
    """The model that a file describes, with single fields changed.

    Args:
        model: what the file must be.
        path: as the user typed it; messages repeat it.
        overrides: such as "detector.threshold=5", applied before anything is judged.

    Raises:
        ConfigError: one line a problem, all of them.
    """
    tree, data = _read(Path(path))
    overridden = [_override(tree, data, text) for text in overrides]
    if tree.problems:
        raise ConfigError(*tree.problems)
    try:
        return model.model_validate(data, context=FROM_FILE)
    except ValidationError as errors:
        raise ConfigError(*_lines(errors, tree, data, model, [o for o in overridden if o])) from None


def _read(path: Path) -> tuple[_Tree, dict[str, Any]]:
    tree = _Tree(str(path))
    try:
        text = path.read_text(encoding="utf-8")
        for event in yaml.parse(text, yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) or _tagged(event):
                line = event.start_mark.line + 1
                tree.problem(line, "YAML: anchors, aliases and tags are not used here; write the value out")
                raise ConfigError(*tree.problems)
        node = yaml.compose(text, yaml.SafeLoader)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the name") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}:1: the file is not text in UTF-8; save it as UTF-8") from error
    except yaml.YAMLError as error:
        raise ConfigError(_syntax(path, error)) from error
    if node is None:
        raise ConfigError(f"{path}:1: the file is empty; copy one from configs/ to begin with")
    data = tree.value(node)
    if not isinstance(data, dict):
        raise ConfigError(f"{path}:1: a list or a single value where a map belongs; write 'name: value' lines")
    return tree, data


def _tagged(event: yaml.Event) -> bool:
    tag = getattr(event, "tag", None)
    return bool(tag) and tag != "!"


def _syntax(path: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark else 1
    said = str(getattr(error, "problem", None) or error).splitlines()[0]
    if "\\t" in said:
        return f"{path}:{line}: YAML: a tab character; indent with spaces"
    if "several documents" in str(error) or "single document" in str(error):
        return f"{path}:{line}: YAML: a second document begins here; keep one a file"
    return f"{path}:{line}: YAML: {said}; check indentation, colons and quotes near this line"


def _override(tree: _Tree, data: dict[str, Any], text: str) -> Path_ | None:
    """Change one field of the tree; returns its place."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        tree.problems.append(f"--set: {text}: must read KEY=VALUE; write for example detector.threshold=5")
        return None
    at: Path_ = tuple(int(part) if part.isdigit() else part for part in key.split("."))
    holder: Any = data
    for part in at[:-1]:
        holder = _child(holder, part)
        if not isinstance(holder, (dict, list)):
            tree.problems.append(f"--set: {key}: there is no field '{part}' to look into; check the spelling")
            return None
    try:
        holder[at[-1]] = _scalar(yaml.ScalarNode("", value))
    except (TypeError, IndexError):
        tree.problems.append(f"--set: {key}: there is no such place; check the spelling")
        return None
    return at


def _child(holder: Any, part: str | int) -> Any:
    if isinstance(holder, dict):
        return holder.setdefault(part, {})
    if isinstance(holder, list) and isinstance(part, int) and part < len(holder):
        return holder[part]
    return None


def _lines(
    errors: ValidationError, tree: _Tree, data: Any, model: type[Model], overridden: Sequence[Path_]
) -> Iterator[str]:
    for error in errors.errors(include_url=False):
        at: Path_ = tuple(part for part in error["loc"] if _is_place(part))
        where = ".".join(str(part) for part in at)
        said = _said(error, model, data, at)
        place = "--set" if any(at[: len(o)] == o for o in overridden) else f"{tree.name}:{tree.line(at)}"
        yield f"{place}: {where + ': ' if where else ''}{said}"


def _is_place(part: str | int) -> bool:
    return isinstance(part, int) or not part.startswith(("function-", "list["))


_ADVICE = {
    "greater_than": "give a larger number",
    "greater_than_equal": "give a larger number",
    "less_than": "give a smaller number",
    "less_than_equal": "give a smaller number",
    "literal_error": "use one of these",
    "int_parsing": "write a whole number",
    "int_type": "write a whole number",
    "int_from_float": "write a whole number",
    "float_type": "write a number",
    "float_parsing": "write a number",
    "string_type": "put it in quotes if it is meant as text",
    "list_type": "write a list: lines that begin with '- '",
    "tuple_type": "write a list: lines that begin with '- '",
    "model_type": "write a map: 'name: value' lines, indented",
    "dict_type": "write a map: 'name: value' lines, indented",
    "bool_type": "write true or false",
}


def _said(error: Any, model: type[Model], data: Any, at: Path_) -> str:
    kind, message = error["type"], error["msg"]
    if kind == "extra_forbidden":
        return f"unknown field; {_nearest(str(at[-1]), _fields(model, data, at[:-1]))}"
    if kind == "missing":
        return f"missing field; add it, for example '{at[-1]}: {_example(model, data, at)}'"
    if kind == "value_error":
        return message.removeprefix("Value error, ")  # type: ignore[no-any-return]
    got = "" if isinstance(error["input"], (dict, list)) and kind != "model_type" else f" (got {_shown(error['input'])})"
    if kind in ("quantity", "part"):
        what, _, advice = message.partition("; ")
        return f"{what}{got}; {advice}" if advice else f"{what}{got}"
    message = message.removeprefix("Input ")
    return f"{message}{got}; {_ADVICE.get(kind, 'see the comments in configs/')}"


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, list):
        return "a list"
    return "nothing" if value is None else str(value)


def _nearest(name: str, known: dict[str, FieldInfo]) -> str:
    near = get_close_matches(name, known, 1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(known)}"


def _fields(model: type[Model], data: Any, at: Path_) -> dict[str, FieldInfo]:
    """The fields that are known at a place, whatever part or nested model it is."""
    current: type[Model] | None = model
    info: FieldInfo | None = None
    for part in at:
        data = data[part] if _has(data, part) else None
        if isinstance(part, str):
            info = current.model_fields.get(part) if current else None
        current = _model_of(info, data) if info else None
    return dict(current.model_fields) if current else {}


def _has(data: Any, part: str | int) -> bool:
    return part in data if isinstance(data, dict) else isinstance(data, list) and isinstance(part, int)


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


def _example(model: type[Model], data: Any, at: Path_) -> str:
    info = _fields(model, data, at[:-1]).get(str(at[-1]))
    if info is None:
        return "..."
    for found in [*info.metadata, *_inside(info.annotation)]:
        if isinstance(found, Quantity):
            return found.example
    return str(info.examples[0]) if info.examples else "..."


def resolve(name: str, folder: str) -> Path:
    """The file a user means: a path, or the bare name of a file in configs/.

    Args:
        name: as typed.
        folder: "protocols" or "rigs".

    Raises:
        ConfigError: there is no such file; says which bare names there are.
    """
    path = Path(name)
    if path.is_file():
        return path
    shelves = [shelf / folder for shelf in _shelves()]
    for shelf in shelves:
        if (found := shelf / f"{name}.yaml").is_file() and path.name == name:
            return found
    known = sorted(file.stem for shelf in shelves for file in shelf.glob("*.yaml"))
    near = get_close_matches(name, known, 1)
    hint = f"did you mean '{near[0]}'?" if near else f"give a path, or one of: {', '.join(known)}"
    raise ConfigError(f"{name}: no such file; {hint}")


def _shelves() -> list[Path]:
    """Where the configs are: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).parent
    places = [place for place in (package.parent / "configs", package / "configs") if place.is_dir()]
    here = Path.cwd()
    return [place.relative_to(here) if place.is_relative_to(here) else place for place in places]


def dump(model: Model) -> str:
    """The model as YAML text, every field written out; reads back as an equal model."""
    return yaml.safe_dump(model.model_dump(mode="json", exclude_none=True), sort_keys=False, allow_unicode=True)
