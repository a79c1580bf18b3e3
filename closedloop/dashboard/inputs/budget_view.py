"""The light budget as a table, in the words of `closedloop check`. It reckons nothing, and lets nothing pass."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

from PyQt6.QtWidgets import QTextEdit, QWidget

from closedloop.analysis import budget
from closedloop.dashboard.theme import Theme

_MINDED = {"REFUSED": 0, "warning": 1, "verdict": 2}  # what to mind comes first, in this order


class BudgetView(QTextEdit):
    """A page that can be scrolled and not written on."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setReadOnly(True)
        self.setAccessibleName("Light budget")
        self._shown = ""

    def show_budget(self, found: budget.Budget, theme: Theme) -> None:
        """The table of a protocol on a rig."""
        self._show(_table(budget.lines(found), theme))

    def show_unknown(self, wrong: list[str]) -> None:
        """There is none, because these files cannot be loaded."""
        self._show(f"Not known yet: the {' and the '.join(wrong)} cannot be loaded; see the problems below.")

    def _show(self, html: str) -> None:
        """Only if it is another text: the place that was scrolled to stays."""
        if html != self._shown:
            self._shown = html
            self.setHtml(html)


def _table(lines: list[str], theme: Theme) -> str:
    """The budget's aligned lines as a table, which wraps and needs no special font; what to mind comes first."""
    rows: list[tuple[str, str, str]] = []
    for line in lines[1:]:
        *name, text = re.split(r"\s{2,}", line.strip(), maxsplit=1)
        said = "".join(name)
        rows.append((said, text, said or (rows[-1][2] if rows else "")))
    rows.sort(key=lambda row: _MINDED.get(row[2], len(_MINDED)))
    cells = ["".join(_cells(*row, theme)) for row in rows]
    return f"<b>{escape(lines[0])}</b><table cellpadding='1'>{''.join(cells)}</table>"


def _cells(name: str, text: str, kind: str, theme: Theme) -> Iterator[str]:
    """Name and text; `kind` is the name of the first of several lines, whose colour the others share."""
    colour = {"warning": theme.warn, "REFUSED": theme.danger, "verdict": theme.good}.get(kind, theme.text)
    yield f"<tr><td style='color: {theme.dim}; padding-right: 12px; white-space: nowrap'>{escape(name)}</td>"
    yield f"<td style='color: {colour}'>{escape(text)}</td></tr>"
