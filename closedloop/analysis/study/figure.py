"""A study's report as files: a tidy table, and a figure of level, rate and gain. It computes nothing.

One column a phase, in the order of the study; one symbol and colour an animal, joined from phase to phase. Symbols
differ as well as colours (those of Okabe and Ito), so that the figure survives a black-and-white printer.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import astuple, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from closedloop.analysis.outputs import writable
from closedloop.analysis.study.table import ALL, MEASURES, UNITS, Animal, Report, Row
from closedloop.analysis.study.verdict import REFUSED, TOLD

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_SYMBOLS = ("o", "s", "^", "D", "v", "P", "X")
_TITLES = {
    "level": "Level: shift against the reference (%)",
    "rate": "Rate: events a minute",
    "gain": "Gain: typical event height (%)",
}
_APART, _SPREAD = 0.16, 0.6  # from animal to animal, and at most for all, in widths of a phase
_KEY = (
    "Large symbol: all sessions of a phase, with 95 % interval; small: each session. Star: trains, lit or dark.\n"
    "Filled: differs from the animal's own reference. Open: not told, or the reference itself. Dashed: verdict refused."
)
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "closedloop",
}
_COLUMNS = ("animal", "phase", "session", "measure", "value", "low", "high", "n", "verdict")


def write(report: Report, out: Path) -> list[Path]:
    """study.csv, study.svg and study.png in a folder; returns their paths.

    Raises:
        ConfigError: the folder cannot be written.
    """
    with writable(out):
        return [_table(report, out / "study.csv"), *_figure(report, out)]


def _table(report: Report, path: Path) -> Path:
    """One row a number; a session's name is empty where it stands for all of the phase."""
    names = [one.name for one in fields(Row)]
    rest = [name for name in names if name not in _COLUMNS]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*_COLUMNS, *rest, "unit"])
        for row in report.rows:
            said = dict(zip(names, astuple(row), strict=True))
            writer.writerow([*(_text(said[name]) for name in (*_COLUMNS, *rest)), UNITS[row.measure]])
    return path


def _text(value: Any) -> Any:
    """What is unknown is an empty cell."""
    return "" if isinstance(value, float) and not np.isfinite(value) else value


def _figure(report: Report, out: Path) -> Iterator[Path]:
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        inches = 2.6 + max(1.0, _APART * len(report.animals)) * len(report.phases)
        figure = Figure(figsize=(max(6.8, inches), 8.2), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(len(MEASURES), 1, sharex=True)
        for axes, measure in zip(panels, MEASURES, strict=True):
            _panel(axes, report, measure)
        panels[-1].set_xticks(range(len(report.phases)), [_broken(phase) for phase in report.phases])
        panels[-1].set_xlim(-0.5, len(report.phases) - 0.5)
        handles, labels = panels[1].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=min(6, len(labels)), frameon=False)
        figure.supxlabel(_KEY, fontsize=7, x=0.02, ha="left")
        for suffix, more in ((".svg", {"metadata": {"Date": None}}), (".png", {"dpi": 200})):
            figure.savefig(out / f"study{suffix}", **more)
            yield out / f"study{suffix}"


def _broken(phase: str) -> str:
    """A long name in lines: 'withdrawal / day 7'."""
    words, rows = phase.split(), [""]
    for word in words:
        if rows[-1] and len(rows[-1]) + len(word) > 10:
            rows.append(word)
        else:
            rows[-1] = f"{rows[-1]} {word}".strip()
    return "\n".join(rows)


def _panel(axes: Axes, report: Report, measure: str) -> None:
    axes.set_title(_TITLES[measure], loc="left", fontsize=9)
    axes.grid(axis="y", color="#e3e3e3", linewidth=0.6)
    axes.set_axisbelow(True)
    if measure == "level":
        axes.axhline(0, color="#777777", linewidth=0.8)
    for at, animal in enumerate(report.animals):
        apart = min(_APART, _SPREAD / max(1, len(report.animals) - 1))
        offset = apart * (at - (len(report.animals) - 1) / 2)
        _draw(axes, report, animal, measure, at, offset)
    if measure != "level":
        axes.set_ylim(bottom=0)
    if not any(np.isfinite(row.value) for row in report.rows if row.measure == measure):
        axes.text(0.5, 0.5, "not known", transform=axes.transAxes, ha="center", color="#777777")


def _draw(axes: Axes, report: Report, animal: Animal, measure: str, at: int, offset: float) -> None:
    """One animal in one panel."""
    colour, symbol = _COLOURS[at % len(_COLOURS)], _SYMBOLS[(at + at // len(_COLOURS)) % len(_SYMBOLS)]
    places = {phase.casefold(): place for place, phase in enumerate(report.phases)}
    rows = [row for row in animal.rows if row.measure == measure]
    whole = sorted(((places[row.phase.casefold()] + offset, row) for row in rows if row.session == ALL), key=_x)
    axes.plot([x for x, _ in whole], [row.value for _, row in whole], color=colour, linewidth=0.9, alpha=0.6)
    for x, row in whole:
        _symbol(axes, x, row, colour, symbol)
        single = [one.value for one in rows if one.phase == row.phase and one.session != ALL]
        if len(single) > 1:
            beside = [x + 0.4 * _APART] * len(single)
            axes.plot(beside, single, symbol, color=colour, ms=2.5, alpha=0.7, mew=0)
    axes.plot([], [], symbol + "-", color=colour, ms=6, linewidth=0.9, label=animal.name)


def _x(placed: tuple[float, Row]) -> float:
    return placed[0]


def _symbol(axes: Axes, x: float, row: Row, colour: str, symbol: str) -> None:
    """All sessions of one animal in one phase."""
    if not np.isfinite(row.value):
        return
    below_above = [[row.value - row.low], [row.high - row.value]] if np.isfinite(row.low) else None
    face = colour if row.kind == TOLD else "white"
    drawn = axes.errorbar(
        x, row.value, below_above, fmt=symbol, color=colour, mfc=face, ms=6, capsize=2.5, elinewidth=1.1
    )
    if row.kind == REFUSED:
        for bar in drawn.lines[2]:
            bar.set_linestyle((0, (2, 1.5)))
    if row.trains:
        top = row.high if np.isfinite(row.high) else row.value
        axes.annotate("★", (x, top), (0, 2), textcoords="offset points", ha="center", color=colour)
