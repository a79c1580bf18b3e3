"""The plain values of a YAML file, and the line of each. Nothing in a file is executed, and nothing is judged.

YAML 1.1 is read the 1.2 way: `on` and `no` are words, `1e-3` is a number, `12:30` is text, and a key given twice is an
error. Anchors and tags have no use here and are refused.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Any

import yaml

from closedloop import plain_file
from closedloop.errors import ConfigError

_INT = re.compile(r"[+-]?\d+")
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_NOTHING = ("", "~", "null", "Null", "NULL")
_MOST_BYTES = 2_000_000  # of a file; a partner of 8192 trains has a tenth of that
_MOST_VALUES = 100_000  # of a file, and their names; reading takes seconds then
_DEEPEST = 40  # levels of a file; the deepest real one has five
_UNSHOWABLE = ("Cc", "Cs", "Zl", "Zp")  # of Unicode's categories
_TURNING = {chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}  # of the direction of writing
_LONGEST = 60  # characters of a value that a message repeats

Place = tuple[str | int, ...]


class Tree:
    """The plain values of a file, and the line each stands on."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: dict[Place, int] = {}
        self.problems: list[str] = []

    def problem(self, line: int, said: str) -> None:
        """Note a mistake in a line."""
        self.problems.append(f"{self.name}:{line}: {said}")

    def value(self, node: yaml.Node, at: Place = ()) -> Any:
        """Plain values of a node, filling `lines` on the way."""
        self.lines.setdefault(at, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._map(node, at)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*at, i)) for i, item in enumerate(node.value)]
        return self._scalar(node)

    def _scalar(self, node: yaml.Node) -> Any:
        """A number, text, or None; what is quoted is text, whatever it looks like."""
        text = str(node.value)
        if strange := unshowable(text):
            said = f"{strange!a} cannot be shown, and has no place in a configuration; take it out"
            self.problem(node.start_mark.line + 1, f"YAML: a control character ({said})")
        return text if getattr(node, "style", None) is not None else plain(text)

    def _map(self, node: yaml.MappingNode, at: Place) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.problem(line, "YAML: a list or map where a name belongs; write 'name: value' lines")
                continue
            key = str(self._scalar(key_node)) if unshowable(str(key_node.value)) else str(key_node.value)
            if key in values:
                first = self.lines[(*at, key)]
                self.problem(line, f"YAML: duplicate key '{shown(key)}' (first on line {first}); keep one")
                continue
            self.lines[(*at, key)] = line
            values[key] = self.value(value_node, (*at, key))
        return values

    def line(self, at: Place) -> int:
        """The line of a place, or of what encloses it."""
        while at and at not in self.lines:
            at = at[:-1]
        return self.lines.get(at, 1)


def unshowable(text: str) -> str:
    """The first character of a text that a terminal or a file name would obey instead of showing it; '' if none.

    Escape and other controls, halves of surrogate pairs, and what turns the direction of writing around.
    """
    return next((one for one in text if _is_unshowable(one)), "")


def _is_unshowable(one: str) -> bool:
    return one not in "\n\t" and (unicodedata.category(one) in _UNSHOWABLE or one in _TURNING)


def plain(text: str) -> Any:
    """What a word without quotes means. `true` stays text: a field for truth understands it, no other must."""
    if text in _NOTHING:
        return None
    if len(text) > _LONGEST:  # no number anybody meant
        return text
    if _INT.fullmatch(text):
        return int(text)
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan")) if _FLOAT.fullmatch(text) else text


def typed(text: str) -> Any:
    """What a value on a command line means: a word without quotes, or a list or a map in its brackets.

    Raises:
        ConfigError: something in the brackets has no place in a configuration.
        yaml.YAMLError: they hold no YAML.
    """
    if text[:1] not in ("[", "{"):
        return plain(text)
    tree = _checked(text, "--set")
    node = yaml.compose(text, yaml.SafeLoader)
    made = None if node is None else tree.value(node)
    if tree.problems:
        raise ConfigError(*tree.problems)
    return made


def read(path: Path) -> tuple[Tree, dict[str, Any]]:
    """A file's lines and plain values; the tree's `problems` hold what is wrong with single keys.

    Raises:
        ConfigError: it cannot be read, is no YAML, or no map.
    """
    try:
        text = plain_file.read_text(path, _MOST_BYTES)
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
        raise ConfigError(f"{path}:{tree.line(())}: must be a map (got {shown(data)}); write 'name: value' lines")
    return tree, data


def _checked(text: str, name: str) -> Tree:
    """An empty tree, once nothing is in the text that has no place in a configuration.

    Raises:
        ConfigError: anchors, aliases, tags, too many values, or levels without end.
        yaml.YAMLError: it is no YAML.
    """
    tree, depth = Tree(name), 0
    for count, event in enumerate(yaml.parse(text, yaml.SafeLoader)):
        line = getattr(event.start_mark, "line", 0) + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) or _tagged(event):
            tree.problem(line, "YAML: anchors, aliases and tags are not used here; write the value out")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if count > _MOST_VALUES:
            raise ConfigError(f"{name}:{line}: YAML: more than {_MOST_VALUES:,} values; is this a configuration?")
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


def written(data: Any, at: Place, otherwise: Any) -> Any:
    """What was written at a place, as it was written."""
    for part in at:
        if not has(data, part):
            return otherwise
        data = data[part]
    return data


def has(data: Any, part: str | int) -> bool:
    """Whether a map has this key, or a list this index."""
    if isinstance(data, list):
        return isinstance(part, int) and part < len(data)
    return isinstance(data, dict) and part in data


def shown(value: object) -> str:
    """A value as a message repeats it: on one line, and not for ever."""
    if isinstance(value, (dict, list)):
        name = "map" if isinstance(value, dict) else "list"
        return f"a {name}" if value else f"an empty {name}"
    text = "nothing" if value is None else str(value)
    text = text if text.isprintable() else repr(text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
