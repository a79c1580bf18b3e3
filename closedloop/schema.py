"""JSON schemas of protocol and rig files, for editors. `python -m closedloop.schema` writes them to configs/schema.

They help while typing; what counts is `closedloop check`, which knows the rules between fields as well.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from closedloop.model import Model
from closedloop.protocol import Protocol
from closedloop.rig import Rig

FOLDER = Path(__file__).parents[1] / "configs" / "schema"
FILES: dict[str, type[Model]] = {"protocol.schema.json": Protocol, "rig.schema.json": Rig}


def schema(model: type[Model]) -> dict[str, Any]:
    """The schema of one kind of file, with every kind of part there is now."""
    made = model.model_json_schema()
    shared = made.pop("$defs", {})
    body = _plain(made, shared)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **body, **({"$defs": shared} if shared else {})}


def _plain(value: Any, shared: dict[str, Any]) -> Any:
    """The same schema with the definitions of its parts moved to the one place where references look for them."""
    if isinstance(value, list):
        return [_plain(item, shared) for item in value]
    if not isinstance(value, dict):
        return value
    for name, definition in value.get("$defs", {}).items():
        shared[name] = _plain(definition, shared)
    return {key: _plain(item, shared) for key, item in value.items() if key != "$defs"}


def text(model: type[Model]) -> str:
    """The schema as it stands in its file."""
    return json.dumps(schema(model), indent=1, ensure_ascii=False) + "\n"


def main(folder: Path = FOLDER) -> None:
    """Write both."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, model in FILES.items():
        (folder / name).write_text(text(model), encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
