"""A YAML file to a frozen model, or every mistake in it at once, each with its line; and a model to YAML again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from closedloop.errors import ConfigError
from closedloop.mistakes import explain
from closedloop.model import FROM_FILE, Model
from closedloop.yaml_tree import Place, Tree, plain, read, shown, typed

M = TypeVar("M", bound=Model)

_INDEX = re.compile(r"[0-9]{1,6}")


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
    tree, data = read(Path(path))
    for field in mistaken.keys() & data.keys():
        raise ConfigError(f"{tree.name}:{tree.line((field,))}: {field}: {mistaken[field]}")
    overridden = [_override(tree, data, text) for text in overrides]
    try:
        found = model.model_validate(data, context={**FROM_FILE, "folder": Path(path).parent, "typed": True})
    except ValidationError as errors:
        tree.problems += explain(errors, tree, data, model, [o for o in overridden if o])
    if tree.problems:
        raise ConfigError(*sorted(dict.fromkeys(tree.problems), key=lambda said: _line_of(said, tree.name)))
    return found


def _line_of(problem: str, name: str) -> int:
    line = problem.removeprefix(f"{name}:").partition(":")[0]
    return int(line) if line.isdecimal() else 0


def _override(tree: Tree, data: dict[str, Any], text: str) -> Place | None:
    """Change one field of the tree; returns its place."""
    key, equals, value = text.partition("=")
    if not equals or not key or not text.isprintable():
        tree.problems.append(f"--set: {shown(text)}: must read KEY=VALUE; write for example detector.threshold=5")
        return None
    at: Place = tuple(int(part) if _INDEX.fullmatch(part) else part for part in key.split("."))
    holder: Any = data
    for part in at[:-1]:
        holder = _child(holder, part)
        if not isinstance(holder, (dict, list)):
            tree.problems.append(f"--set: {key}: there is no field '{part}' to look into; check the spelling")
            return None
    try:
        holder[at[-1]] = typed(value)
    except (ConfigError, yaml.YAMLError):
        tree.problems.append(f"--set: {key}: {shown(value)}: cannot be read as YAML; check brackets, colons and commas")
        return None
    except (TypeError, IndexError):
        tree.problems.append(f"--set: {key}: there is no such place; check the spelling")
        return None
    return at


def _child(holder: Any, part: str | int) -> Any:
    if isinstance(holder, dict):
        if holder.get(part) is None:  # an optional section that the file leaves out
            holder[part] = {}
        return holder[part]
    if isinstance(holder, list) and isinstance(part, int) and part < len(holder):
        return holder[part]
    return None


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
        raise ConfigError(f"{shown(name)}: cannot be read ({error}); check the name") from error
    for shelf in _shelves():
        if (found := shelf / folder / f"{name}.yaml").is_file() and path.name == name:
            return found
    names = known(folder)
    near = get_close_matches(name, names, 1)
    hint = f"did you mean '{near[0]}'?" if near else f"give a path, or one of: {', '.join(names)}"
    raise ConfigError(f"{shown(name)}: no such file; {hint}")


def known(folder: str) -> list[str]:
    """The bare names that `resolve` finds in this folder of configs/, in order."""
    return sorted({file.stem for shelf in _shelves() for file in (shelf / folder).glob("*.yaml")})


def _shelves() -> list[Path]:
    """Where the configs are: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).parent
    places = [place for place in (package.parent / "configs", package / "configs") if place.is_dir()]
    here = Path.cwd()
    return [place.relative_to(here) if place.is_relative_to(here) else place for place in places]


class _Dumper(yaml.SafeDumper):
    """Quotes text that would otherwise be read back as something else."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain(text) == text else "'")


_Dumper.add_representer(str, _text)


def dump(model: Model) -> str:
    """The model as YAML text, every field written out; reads back as an equal model."""
    return text_of(model.model_dump(mode="json", exclude_none=True))


def text_of(fields: Mapping[str, Any]) -> str:
    """Plain fields as YAML text, in their order."""
    return yaml.dump(dict(fields), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
