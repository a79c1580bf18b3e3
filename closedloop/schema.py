"""JSON schemas of all kinds of YAML files, for editors. `python -m closedloop.schema` writes them to configs/schema.

They help while typing; what counts is `closedloop check`, which knows the rules between fields as well.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, get_args

from closedloop.calibration import Calibration
from closedloop.model import (
    PARTS_OF,
    Fraction,
    Hertz,
    Micrometres,
    Millimetres,
    Milliwatts,
    Model,
    Nanometres,
    Part,
    Quantity,
    Rate,
    Seconds,
    kinds,
)
from closedloop.protocol import Protocol
from closedloop.rig import Rig
from closedloop.study import Study

FOLDER = Path(__file__).parents[1] / "configs" / "schema"
_TYPES = (Seconds, Hertz, Milliwatts, Nanometres, Micrometres, Millimetres, Fraction, Rate)
_QUANTITIES: dict[str, Quantity] = {next(iter(q.units)): q for q in (get_args(kind)[1] for kind in _TYPES)}
_FIRST_UNIT = re.compile(r"\(([^|()\[]+)[|)]")
FILES: dict[str, type[Model]] = {
    "protocol.schema.json": Protocol,
    "rig.schema.json": Rig,
    "calibration.schema.json": Calibration,
    "study.schema.json": Study,
}


def schema(model: type[Model]) -> dict[str, Any]:
    """The schema of one kind of file, with every kind of part there is now, each written out once.

    Raises:
        TypeError: two parts have sections of one name that differ.
    """
    shared: dict[str, Any] = {}
    body = _plain(model.model_json_schema(), shared)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **body, "$defs": dict(sorted(shared.items()))}


def _plain(value: Any, shared: dict[str, Any]) -> Any:
    """The same schema: definitions where references look for them, first paragraphs alone, defaults with their unit."""
    if isinstance(value, list):
        return [_plain(item, shared) for item in value]
    if not isinstance(value, dict):
        return value
    for name, definition in value.get("$defs", {}).items():
        _share(name, _plain(definition, shared), shared)
    made = {key: _plain(item, shared) for key, item in value.items() if key not in ("$defs", "title")}
    if package := made.pop(PARTS_OF, None):
        made["$ref"] = _any_of(package, shared)
    if isinstance(made.get("description"), str):
        made["description"] = made["description"].partition("\n\n")[0].replace("\n", " ")
    if made.get("type") == "boolean":
        del made["type"]
        made["enum"] = [True, False, "yes", "no"]  # YAML 1.2, which editors go by, takes yes for text
    if isinstance(made.get("default"), float) and made.get("type") == "string":
        made["default"] = _QUANTITIES[_FIRST_UNIT.findall(made["pattern"])[-1]].text(made["default"])
    return made


def _any_of(package: str, shared: dict[str, Any]) -> str:
    """A reference to any part of a package. Parts may hold parts, even their own kind, so each stands by its name."""
    family = package.rpartition(".")[2]
    if family not in shared:
        parts = kinds(package)
        references = [{"$ref": f"#/$defs/{family}.{kind}"} for kind in parts]
        shared[family] = {"description": f"One of the {family}, by its kind.", "anyOf": references}
        for kind, part in parts.items():
            shared[f"{family}.{kind}"] = _plain(_of_part(part, family), shared)
    return f"#/$defs/{family}"


def _of_part(part: type[Part], family: str) -> dict[str, Any]:
    made = part.model_json_schema()
    made["properties"]["kind"]["description"] = f"Which of the {family}."
    return {**made, "required": ["kind", *made.get("required", [])]}


def _share(name: str, definition: Any, shared: dict[str, Any]) -> None:
    if shared.setdefault(name, definition) != definition:
        raise TypeError(f"two sections are called {name} and differ; rename one of the classes")


def text(model: type[Model]) -> str:
    """The schema as it stands in its file."""
    return json.dumps(schema(model), indent=1, ensure_ascii=False) + "\n"


def main(folder: Path = FOLDER) -> None:
    """Write all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, model in FILES.items():
        (folder / name).write_text(text(model), encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
