"""A YAML file to a frozen model, or every mistake in it at once, each with its line. Nothing in a file is executed.

YAML 1.1 is read the 1.2 way: `on` and `no` are words, `1e-3` is a number, `12:30` is text, and a key given twice is an
error. Anchors and tags have no use here and are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from closedloop.errors import ConfigError
from closedloop.model import FROM_FILE, Model, OneOf, Quantity

M = TypeVar("M", bound=Model)

_INDEX = re.compile(r"[0-9]{1,6}")
_INT = re.compile(r"[+-]?\d+")
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_NOTHING = ("", "~", "null", "Null", "NULL")
_DEEPEST = 40  # levels of a file; the deepest real one has five
_LONGEST = 60  # characters of a value that a message repeats

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
            if not isinstance(key_node, yaml.ScalarNode):
                self.problem(line, "YAML: a list or map where a name belongs; write 'name: value' lines")
                continue
            key = str(key_node.value)
            if key in values:
                first = self.lines[(*at, key)]
                self.problem(line, f"YAML: duplicate key '{_shown(key)}' (first on line {first}); keep one")
                continue
            self.lines[(*at, key)] = line
            values[key] = self.value(value_node, (*at, key))
        return values

    def line(self, at: Path_) -> int:
        """The line of a place, or of what encloses it."""
        while at and at not in self.lines:
            at = at[:-1]
        return self.lines.get(at, 1)


def _scalar(node: Any) -> Any:
    """A number, text, or None. `true` stays text: a field for truth understands it, one for numbers must not."""
    text = str(node.value)
    if node.style is not None or len(text) > _LONGEST:  # quoted, or no number anybody meant
        return text
    if text in _NOTHING:
        return None
    if _INT.fullmatch(text):
        return int(text)
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan")) if _FLOAT.fullmatch(text) else text


def load(model: type[M], path: Path | str, overrides: Sequence[str] = (), mistaken: Mapping[str, str] = {}) -> M:
    """The model that a file describes, with single fields changed.

    Args:
        model: what the file must be.
        path: as the user typed it; messages repeat it.
        overrides: such as "detector.threshold=5", applied before anything is judged.
        mistaken: fields by which another kind of file is known, and what to say of such a file.

    Raises:
        ConfigError: one line a problem, all of them.
    """
    tree, data = _read(Path(path))
    for field in mistaken.keys() & data.keys():
        raise ConfigError(f"{tree.name}:{tree.line((field,))}: {field}: {mistaken[field]}")
    overridden = [_override(tree, data, text) for text in overrides]
    try:
        found = model.model_validate(data, context=FROM_FILE)
    except ValidationError as errors:
        tree.problems += _lines(errors, tree, data, model, [o for o in overridden if o])
    if tree.problems:
        raise ConfigError(*sorted(dict.fromkeys(tree.problems), key=lambda said: _line_of(said, tree.name)))
    return found


def _line_of(problem: str, name: str) -> int:
    line = problem.removeprefix(f"{name}:").partition(":")[0]
    return int(line) if line.isdecimal() else 0


def _read(path: Path) -> tuple[_Tree, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        tree = _checked(text, str(path))
        node = yaml.compose(text, yaml.SafeLoader)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: the file is not text in UTF-8; save it as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the name") from error
    except yaml.YAMLError as error:
        raise ConfigError(_syntax(path, text, error)) from error
    if node is None:
        raise ConfigError(f"{path}:1: the file is empty; copy one from configs/ to begin with")
    data = tree.value(node)
    if not isinstance(data, dict):
        raise ConfigError(f"{path}:{tree.line(())}: must be a map (got {_shown(data)}); write 'name: value' lines")
    return tree, data


def _checked(text: str, name: str) -> _Tree:
    """An empty tree, once nothing is in the text that has no place in a configuration.

    Raises:
        ConfigError: anchors, aliases, tags, or levels without end.
        yaml.YAMLError: it is no YAML.
    """
    tree, depth = _Tree(name), 0
    for event in yaml.parse(text, yaml.SafeLoader):
        line = getattr(event.start_mark, "line", 0) + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) or _tagged(event):
            tree.problem(line, "YAML: anchors, aliases and tags are not used here; write the value out")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise ConfigError(f"{name}:{line}: YAML: more than {_DEEPEST} levels; check brackets and indentation")
    if tree.problems:
        raise ConfigError(*tree.problems)
    return tree


def _tagged(event: yaml.Event) -> bool:
    tag = getattr(event, "tag", None)
    return bool(tag) and tag != "!"


def _syntax(path: Path, text: str, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark else text.count("\n", 0, getattr(error, "position", 0)) + 1
    said = str(getattr(error, "problem", None) or error).splitlines()[0]
    if "\\t" in said:
        return f"{path}:{line}: YAML: a tab character; indent with spaces"
    if "but found another document" in said:
        return f"{path}:{line}: YAML: a second document begins here; keep one a file"
    if isinstance(error, yaml.reader.ReaderError):
        code = error.character if isinstance(error.character, int) else ord(error.character)
        return f"{path}:{line}: YAML: a control character (got {chr(code)!r}); take it out"
    return f"{path}:{line}: YAML: {said}; check indentation, colons and quotes near this line"


def _override(tree: _Tree, data: dict[str, Any], text: str) -> Path_ | None:
    """Change one field of the tree; returns its place."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        tree.problems.append(f"--set: {text}: must read KEY=VALUE; write for example detector.threshold=5")
        return None
    at: Path_ = tuple(int(part) if _INDEX.fullmatch(part) else part for part in key.split("."))
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
        for at, said in _said(error, model, data, _place(error["loc"], data)):
            where = ".".join(_shown(part) for part in at)
            yield f"{_file(at, tree, overridden)}: {where + ': ' if where else ''}{said}"


def _file(at: Path_, tree: _Tree, overridden: Sequence[Path_]) -> str:
    """Where a place was written: on the command line, or in a line of the file."""
    if any(at[: len(o)] == o or (at == o[: len(at)] and at not in tree.lines) for o in overridden):
        return "--set"
    return f"{tree.name}:{tree.line(at)}"


def _place(loc: tuple[str | int, ...], data: Any) -> Path_:
    """Where an error is in the file: without pydantic's own steps, and without an index where there is no list."""
    at: Path_ = ()
    for part in loc:
        if isinstance(part, str) and part.startswith(("function-", "list[")):
            continue
        if isinstance(part, int) and isinstance(data, dict):
            continue  # a single feature, written without its list
        at = (*at, part)
        data = data[part] if _has(data, part) else None
    return at


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
_CROSS_FIELD = re.compile(r"(?P<field>[a-z_]+(?:\.[a-z_]+)*)(?: \((?P<got>[^)]*)\))? (?P<what>[^;]+)(?P<advice>; .*)?")


def _said(error: Any, model: type[Model], data: Any, at: Path_) -> Iterator[tuple[Path_, str]]:
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
        got = "" if isinstance(error["input"], dict) else f" (got {_shown(error['input'])})"
        yield (*at, "kind") if kind == "part" and not got else at, f"{what}{got}; {advice}"
    else:
        yield at, _of_pydantic(error, _quantity(model, data, at), _shown(_at(data, at, error["input"])))


def _cross_field(line: str, model: type[Model], data: Any, at: Path_) -> tuple[Path_, str]:
    """A model's own rule, said of the field that it begins with: "period (50 ms) must be longer than ...; ..."."""
    match = _CROSS_FIELD.fullmatch(line)
    if match is None or match["field"].partition(".")[0] not in _fields(model, data, at):
        return at, line
    at = (*at, *match["field"].split("."))
    got = _shown(_at(data, at, match["got"] or ""))
    return at, f"{match['what']}{f' (got {got})' if got else ''}{match['advice'] or ''}"


def _of_pydantic(error: Any, quantity: Quantity | None, got: str) -> str:
    kind = error["type"]
    if kind in _BOUNDS:
        name, what, advice = _BOUNDS[kind]
        bound = error["ctx"][name]
        return f"{what} {quantity.text(bound) if quantity else format(bound, 'g')} (got {got}); {advice}"
    what = _WHAT.get(kind) or error["msg"].replace("Input should", "must").replace("String should", "must")
    return f"{what} (got {got}); {_ADVICE.get(kind, 'see the comments in configs/')}"


def _shown(value: object) -> str:
    """A value as a message repeats it: on one line, and not for ever."""
    if isinstance(value, (dict, list)):
        name = "map" if isinstance(value, dict) else "list"
        return f"a {name}" if value else f"an empty {name}"
    text = "nothing" if value is None else str(value)
    text = text if text.isprintable() else repr(text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


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


def _at(data: Any, at: Path_, otherwise: Any) -> Any:
    """What was written at a place, as it was written."""
    for part in at:
        if not _has(data, part):
            return otherwise
        data = data[part]
    return data


def _has(data: Any, part: str | int) -> bool:
    if isinstance(data, list):
        return isinstance(part, int) and part < len(data)
    return isinstance(data, dict) and part in data


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
    quantity = _quantity(model, data, at)
    if quantity is not None:
        return quantity.example
    info = _fields(model, data, at[:-1]).get(str(at[-1]))
    return str(info.examples[0]) if info and info.examples else "..."


def _quantity(model: type[Model], data: Any, at: Path_) -> Quantity | None:
    """What a field's number measures, if anything."""
    info = _fields(model, data, at[:-1]).get(str(at[-1])) if at else None
    parts = [*info.metadata, *_inside(info.annotation)] if info else []
    return next((found for found in parts if isinstance(found, Quantity)), None)


def resolve(name: str, folder: str) -> Path:
    """The file a user means: a path, or the bare name of a file in configs/.

    Args:
        name: as typed.
        folder: "protocols" or "rigs".

    Raises:
        ConfigError: there is no such file; says which bare names there are.
    """
    path = Path(name)
    try:
        if path.is_file():
            return path
        if path.is_dir() and path.name != name:
            raise ConfigError(f"{name}: is a folder; give a file in it")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{_shown(name)}: cannot be read ({error}); check the name") from error
    shelves = [shelf / folder for shelf in _shelves()]
    for shelf in shelves:
        if (found := shelf / f"{name}.yaml").is_file() and path.name == name:
            return found
    known = sorted(file.stem for shelf in shelves for file in shelf.glob("*.yaml"))
    near = get_close_matches(name, known, 1)
    hint = f"did you mean '{near[0]}'?" if near else f"give a path, or one of: {', '.join(known)}"
    raise ConfigError(f"{_shown(name)}: no such file; {hint}")


def _shelves() -> list[Path]:
    """Where the configs are: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).parent
    places = [place for place in (package.parent / "configs", package / "configs") if place.is_dir()]
    here = Path.cwd()
    return [place.relative_to(here) if place.is_relative_to(here) else place for place in places]


def dump(model: Model) -> str:
    """The model as YAML text, every field written out; reads back as an equal model."""
    return yaml.safe_dump(model.model_dump(mode="json", exclude_none=True), sort_keys=False, allow_unicode=True)
