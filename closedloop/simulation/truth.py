"""What really happened on the simulated rig, written as it happens. The program under test must never read it."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

FILE_NAME = "truth.jsonl"


class Truth:
    """One JSON object a line, flushed line by line so that it outlives any kill; nothing if there is no folder."""

    def __init__(self, folder: Path | None) -> None:
        self._file: TextIO | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / FILE_NAME).open("a", encoding="utf-8", buffering=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, kind: str, **values: Any) -> None:
        """Append one line."""
        if self._file is not None:
            self._file.write(json.dumps({"kind": kind, **values}) + "\n")


def read(folder: Path) -> list[dict[str, Any]]:
    """All complete lines written so far."""
    text = (folder / FILE_NAME).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
