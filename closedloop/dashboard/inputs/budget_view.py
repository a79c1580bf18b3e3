"""The light budget as a table, in the words of `closedloop check`. It reckons nothing, and lets nothing pass."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

from PyQt6.QtWidgets import QTextEdit, QWidget

from closedloop.analysis import budget
from closedloop.dashboard.theme import Theme

_MINDED = ("warning", "REFUSED", "verdict")


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
    rows: list[tuple[str, str, bool]] = []
    for line in lines[1:]:
        *name, text = re.split(r"\s{2,}", line.strip(), maxsplit=1)
        minded = name[0] in _MINDED if name else rows[-1][2]
        rows.append(("".join(name), text, minded))
    rows.sort(key=lambda row: not row[2])
    cells = ["".join(_cells(name, text, theme)) for name, text, _ in rows]
    return f"<b>{escape(lines[0])}</b><table cellpadding='1'>{''.join(cells)}</table>"


def _cells(name: str, text: str, theme: Theme) -> Iterator[str]:
    colour = {"warning": theme.warn, "REFUSED": theme.danger, "verdict": theme.good}.get(name, theme.text)
    yield f"<tr><td style='color: {theme.dim}; padding-right: 12px; white-space: nowrap'>{escape(name)}</td>"
    yield f"<td style='color: {colour}'>{escape(text)}</td></tr>"
