"""A table for people as lines of text, as wide as the terminal, or as it needs to be in a file or a pipe."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from io import StringIO

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

_NO_TERMINAL = 200  # columns: wide enough that nothing is broken
_LEAST = 60


def of(columns: Mapping[str, Sequence[str]], wide: Sequence[str] = ()) -> Table:
    """A table of columns of equal length; those that are `wide` are broken where there is too little room."""
    table = Table()
    for name in columns:
        table.add_column(name, no_wrap=name not in wide, overflow="fold")
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table


def lines(table: Table) -> list[str]:
    """The table's lines, without colours."""
    table.box = SIMPLE
    table.pad_edge = False
    width = max(_LEAST, shutil.get_terminal_size().columns) if sys.stdout.isatty() else _NO_TERMINAL
    text = StringIO()
    Console(file=text, width=width, no_color=True, highlight=False).print(table, markup=False)
    return [line.rstrip() for line in text.getvalue().splitlines() if line.strip()]
