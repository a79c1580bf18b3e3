"""What a session that is over measured of itself: warnings first, in words, then all that was within its bounds."""

from __future__ import annotations

from typing import NamedTuple

from PyQt6.QtCore import QRectF
from PyQt6.QtGui import QFont, QFontMetricsF, QPainter, QResizeEvent
from PyQt6.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from closedloop.dashboard.panel import Panel, alone
from closedloop.dashboard.readout import shapes
from closedloop.dashboard.readout.lettering import RIGHT, wrapped, write
from closedloop.dashboard.readout.painted import Painted
from closedloop.dashboard.style import words_font
from closedloop.dashboard.theme import DARK, Theme
from closedloop.watching.auditing import GOOD, OUTSIDE, UNKNOWN, Audit, Item
from closedloop.watching.watch import Watch

_LINE_PX, _APART_PX, _MARK_PX = 19, 5, 24
_FRAME_PX = 10  # what Painted.framed takes, left and right
_MOST_LINES = 8
_LEAST_PX = 300
_ORDER = (OUTSIDE, GOOD, UNKNOWN)
_LOOKS = {OUTSIDE: ("triangle", "warn"), GOOD: ("tick", "good"), UNKNOWN: ("dash", "dim")}


class _Entry(NamedTuple):
    item: Item
    beside: str  # the title, where there is room
    lines: tuple[str, ...]

    @property
    def high_px(self) -> int:
        return _LINE_PX * (1 + len(self.lines)) + _APART_PX


def heading(audit: Audit) -> str:
    """All of it in one line."""
    count = len(audit.warnings)
    if not count:
        return "SELF-AUDIT: nothing out of bounds"
    return f"SELF-AUDIT: {count} {'warning' if count == 1 else 'warnings'}"


def told(item: Item) -> str:
    """What stands under an item's title."""
    return item.words if item.state == GOOD else item.said or item.words


class _Sheet(Painted):
    """One item below the other, as wide as there is room."""

    value = Audit(())

    def show_audit(self, value: Audit) -> None:
        if value == self.value:
            return
        self.value = value
        self._lay_out()
        self.setAccessibleName("\n".join((heading(value), *(f"{i.title}: {told(i)}" for i in self._items()))))
        self.update()

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802  # Qt's name
        super().resizeEvent(event)
        self._lay_out()

    def paint(self, painter: QPainter) -> None:
        box = self.framed(painter, "warn" if self.value.warnings else "line")
        top = QRectF(box.left(), box.top(), box.width(), _LINE_PX)
        tone = self.colour("warn" if self.value.warnings else "dim")
        write(painter, top, heading(self.value), words_font(self.theme, bold=bool(self.value.warnings)), tone)
        at = box.top() + _LINE_PX + _APART_PX
        for entry in self._entries():
            self._paint_entry(painter, QRectF(box.left(), at, box.width(), entry.high_px), entry)
            at += entry.high_px

    def _paint_entry(self, painter: QPainter, box: QRectF, entry: _Entry) -> None:
        shape, colour = _LOOKS[entry.item.state]
        mark = QRectF(box.left(), box.top() + 2, _LINE_PX - 4, _LINE_PX - 4)
        shapes.draw(painter, shape, mark, self.colour(colour))
        line = QRectF(box.left() + _MARK_PX, box.top(), box.width() - _MARK_PX, _LINE_PX)
        is_bad = entry.item.state == OUTSIDE
        write(painter, line, entry.item.title, words_font(self.theme, bold=is_bad), self.colour("text"))
        write(painter, line, entry.beside, words_font(self.theme), self.colour("dim"), RIGHT)
        for number, words in enumerate(entry.lines, 1):
            below = line.translated(0, number * _LINE_PX)
            write(painter, below, words, words_font(self.theme), self.colour("warn" if is_bad else "dim"))

    def _items(self) -> list[Item]:
        return sorted(self.value.items, key=lambda item: _ORDER.index(item.state))

    def _entries(self) -> list[_Entry]:
        width, font = self.width() - 2 * _FRAME_PX - _MARK_PX, words_font(self.theme)
        return [_entry(item, font, width) for item in self._items()]

    def _lay_out(self) -> None:
        self.set_high(_LINE_PX + 3 * _APART_PX + sum(entry.high_px for entry in self._entries()))


def _entry(item: Item, font: QFont, width: float) -> _Entry:
    """A figure that is well stands beside its title, if it fits; all else below."""
    metrics = QFontMetricsF(font)
    taken = metrics.horizontalAdvance(item.title) + 16 + metrics.horizontalAdvance(told(item))
    if item.state == GOOD and taken <= width:
        return _Entry(item, told(item), ())
    return _Entry(item, "", tuple(wrapped(told(item), font, width, _MOST_LINES)))


class AuditSheet(Panel):
    """The audit of a session that is over; until then it is not there."""

    def __init__(self, theme: Theme = DARK, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self._sheet = _Sheet(theme, self, least_px=_LEAST_PX, high_px=_LINE_PX)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._sheet)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_watch(self, watch: Watch) -> None:
        """Draw a watch's audit, once there is one."""
        self.show_audit(watch.audit or Audit(()))

    def show_audit(self, audit: Audit) -> None:
        """Draw this audit."""
        self._sheet.show_audit(audit)

    @property
    def said(self) -> str:
        """What it says, a line an item."""
        return self._sheet.accessibleName()

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        self._sheet.set_theme(theme)


if __name__ == "__main__":
    raise SystemExit(alone(AuditSheet))
