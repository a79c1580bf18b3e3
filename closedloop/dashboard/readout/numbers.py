"""What the session has counted so far, in figures that stay where they are. It counts nothing itself."""

from __future__ import annotations

from collections.abc import Iterator

from PyQt6.QtCore import QRectF
from PyQt6.QtGui import QPainter
from PyQt6.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from closedloop.dashboard.panel import Panel, alone
from closedloop.dashboard.readout import amounts
from closedloop.dashboard.readout.figures import Figure, Group, loop_groups
from closedloop.dashboard.readout.lettering import RIGHT, write
from closedloop.dashboard.readout.painted import Painted
from closedloop.dashboard.style import digits_font, words_font
from closedloop.dashboard.theme import DARK, Theme
from closedloop.watching.auditing import Findings
from closedloop.watching.tallies import Tallies
from closedloop.watching.watch import Watch

_ROW_PX = 23
_LEAST_PX = 300
_APART_PX = 20  # between the two columns


def groups(tallies: Tallies, findings: Findings) -> tuple[Group, ...]:
    """All figures of a session, grouped, whatever decisions, refusals and boards it has."""
    trains = tallies.trains
    decided = list(_decided(tallies))
    refused = [Figure(_plain(reason), amounts.whole(n)) for reason, n in tallies.refused.items()]
    total = Figure("detections", amounts.whole(tallies.detections))
    return (
        Group("DETECTED, DECIDED", (total, *(decided or [Figure("decisions", "none yet")]))),
        Group("TRAINS", (*(Figure(_plain(name), amounts.whole(n)) for name, n in trains.items()), *_light(tallies))),
        Group("REFUSED", tuple(refused) or (Figure("by any reason", "none"),)),
        *_measured(tallies),
        Group("READINGS", tuple(_readings(tallies))),
        *loop_groups(findings),
    )


def _measured(tallies: Tallies) -> Iterator[Group]:
    """What the session's features and detector show of themselves, each by itself; no group where they show nothing."""
    if tallies.shown:
        figures = [Figure(_plain(name), amounts.shown(name, value)) for name, value in tallies.shown.items()]
        yield Group("MEASURED", tuple(figures))


def _decided(tallies: Tallies) -> Iterator[Figure]:
    for kind, count in tallies.decisions.items():
        yield Figure(_plain(kind), amounts.whole(count))
        given = tallies.given.get(kind, count)
        if given != count:
            yield Figure(f"{_plain(kind)}, given", amounts.whole(given))


def _light(tallies: Tallies) -> tuple[Figure, ...]:
    energy = tallies.energy_mj
    known = "unknown" if energy is None else amounts.number(energy, "mJ")
    how = ", by plan" if tallies.blinded else ""
    return Figure(f"time lit{how}", amounts.number(tallies.lit_s, "s")), Figure(f"energy{how}", known)


def _readings(tallies: Tallies) -> Iterator[Figure]:
    yield Figure("received", amounts.whole(tallies.received))
    for name in ("missing", "damaged", "repeated"):
        count = getattr(tallies, name)
        yield Figure(name, amounts.whole(count), "warn" if count else "")


def _plain(name: str) -> str:
    return name.replace("_", " ")


class _Sheet(Painted):
    """Two columns of groups, each group whole."""

    value: tuple[Group, ...] = ()

    def show_groups(self, value: tuple[Group, ...]) -> None:
        if value == self.value:
            return
        self.value = value
        self.set_high(round(max(_high(column) for column in _columns(value))) + 4)
        self.setAccessibleName("\n".join(_words(group) for group in value))
        self.update()

    def paint(self, painter: QPainter) -> None:
        box = self.framed(painter)
        wide = (box.width() - _APART_PX) / 2
        for number, column in enumerate(_columns(self.value)):
            left = box.left() + number * (wide + _APART_PX)
            self._paint_column(painter, QRectF(left, box.top(), wide, box.height()), column)

    def _paint_column(self, painter: QPainter, box: QRectF, column: list[Group]) -> None:
        top = box.top()
        for group in column:
            line = QRectF(box.left(), top, box.width(), _ROW_PX)
            write(painter, line, group.title, words_font(self.theme, self.theme.font_px - 2), self.colour("dim"))
            for row, figure in enumerate(group.figures, 1):
                self._paint_figure(painter, line.translated(0, row * _ROW_PX), figure)
            top += _high([group])

    def _paint_figure(self, painter: QPainter, line: QRectF, figure: Figure) -> None:
        name, digits = words_font(self.theme), digits_font(self.theme, self.theme.number_px - 2)
        mark = "\u25b2 " if figure.tone else ""
        write(painter, line, figure.words, digits, self.colour(figure.tone or "text"), RIGHT)
        taken = painter.fontMetrics().horizontalAdvance(figure.words) + 8
        write(painter, line.adjusted(0, 0, -taken, 0), mark + figure.name, name, self.colour(figure.tone or "text"))


def _words(group: Group) -> str:
    return "\n".join((group.title, *(f"{figure.name}: {figure.words}" for figure in group.figures)))


def _high(column: list[Group]) -> float:
    return sum((len(group.figures) + 1.3) * _ROW_PX for group in column)


def _columns(value: tuple[Group, ...]) -> tuple[list[Group], list[Group]]:
    """The groups in two columns in their order, cut where the higher column is lowest."""
    cuts = range(len(value) + 1)
    best = min(cuts, key=lambda cut: max(_high(list(value[:cut])), _high(list(value[cut:]))))
    return list(value[:best]), list(value[best:])


class Numbers(Panel):
    """Detections, trains by decision, refused by reason, readings missing, energy; how loop and clocks are now."""

    def __init__(self, theme: Theme = DARK, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self._sheet = _Sheet(theme, self, least_px=_LEAST_PX, high_px=8 * _ROW_PX)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._sheet)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_watch(self, watch: Watch) -> None:
        """Draw what a watch has counted."""
        self.show_tallies(watch.tallies, watch.findings)

    def show_tallies(self, tallies: Tallies, findings: Findings) -> None:
        """Draw these figures."""
        self._sheet.show_groups(groups(tallies, findings))

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        self._sheet.set_theme(theme)


if __name__ == "__main__":
    raise SystemExit(alone(Numbers))
