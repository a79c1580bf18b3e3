"""A rehearsal as one picture: preference and dose by arm, and power against animals. It judges nothing."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from closedloop.analysis.outputs import writable
from closedloop.analysis.rehearsal.power import P
from closedloop.analysis.rehearsal.report import ASSUMED, Report, Row
from closedloop.analysis.rehearsal.script import NO_ARM

_INK, _GREY = "#1b2430", "#7a8798"
_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito
_SYMBOLS = ("o", "s", "^", "D", "v", "P", "X")
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "closedloop",
    "svg.fonttype": "none",
}
_UPRIGHT = 5  # so many names of phases fit side by side


def percent(effect: float) -> str:
    """An assumed effect in words."""
    return "none" if effect == 0 else f"{100 * effect:+g} %/s"


def draw(report: Report, out: Path) -> list[Path]:
    """rehearsal.svg and rehearsal.png in a folder; returns their paths.

    Raises:
        ConfigError: the folder cannot be written.
    """
    paths = [out / "rehearsal.svg", out / "rehearsal.png"]
    with mpl.rc_context(_STYLE), writable(out):
        figure = Figure(figsize=(12, 4.8), layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        phases = [phase.name for phase in report.whole.script.study.phases]
        doses, liked, powers = figure.subplots(1, 3)
        _doses(doses, report, phases)
        _preference(liked, report, phases)
        _power(powers, report)
        title = f"{report.whole.script.study.name}: rehearsal on {report.whole.animals} virtual animals. {ASSUMED}"
        figure.suptitle(textwrap.fill(title, 150), fontsize=10, color=_INK)
        for path in paths:
            figure.savefig(path, dpi=130, metadata={"Date": None} if path.suffix == ".svg" else None)
    return paths


def _arms(rows: Sequence[Row]) -> list[str]:
    """In their order, without phases in which the protocol's own policy stands."""
    return [arm for arm in dict.fromkeys(row.arm for row in rows) if arm != NO_ARM]


def _colour(arms: Sequence[str], arm: str) -> str:
    return _GREY if arm == NO_ARM else _COLOURS[arms.index(arm) % len(_COLOURS)]


def _phases_below(axes: Any, phases: Sequence[str]) -> None:
    if len(phases) <= _UPRIGHT:
        axes.set_xticks(range(len(phases)), [textwrap.fill(phase, 12) for phase in phases], fontsize=8)
    else:
        axes.set_xticks(range(len(phases)), phases, fontsize=8, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.6, len(phases) - 0.4)


def _doses(axes: Any, report: Report, phases: Sequence[str]) -> None:
    """Trains a session under the first assumed effect: delivered filled, decided on but dark open."""
    effect = report.whole.effects[0]
    rows = [row for row in report.rows if row.effect == effect]
    arms = _arms(rows)
    width = 0.8 / max(1, len(arms))
    for arm in dict.fromkeys(row.arm for row in rows):
        own = [row for row in rows if row.arm == arm]
        beside = 0.0 if arm == NO_ARM else width * (arms.index(arm) - (len(arms) - 1) / 2)
        x, colour = np.array([phases.index(row.phase) + beside for row in own]), _colour(arms, arm)
        axes.bar(x, [row.planned for row in own], width * 0.9, fill=False, edgecolor=colour, linewidth=1.2)
        label = "protocol's own policy" if arm == NO_ARM else arm
        axes.bar(x, [row.trains for row in own], width * 0.9, color=colour, label=label)
    _phases_below(axes, phases)
    axes.set_ylabel("trains a session (open: decided on, dark)")
    axes.set_title(f"Dose (assumed: {percent(effect)})", fontsize=10)
    axes.margins(y=0.25)
    axes.set_ylim(bottom=0, top=None if any(row.planned for row in rows) else 1)
    axes.legend(frameon=False, fontsize=8, loc="upper left")


def _preference(axes: Any, report: Report, phases: Sequence[str]) -> None:
    """Means over animals with SD, by arm and assumed effect, in phases with arms."""
    if report.chamber is None:
        _nothing(axes, "no arena: no preference")
        return
    rows = [row for row in report.rows if row.arm != NO_ARM and row.preference is not None]
    arms, effects = _arms(rows), report.whole.effects
    shown = [phase for phase in phases if any(row.phase == phase for row in rows)]
    places = [(arm, effect) for arm in arms for effect in effects]
    for row in rows:
        beside = places.index((row.arm, row.effect)) - (len(places) - 1) / 2
        axes.errorbar(
            shown.index(row.phase) + 0.8 / len(places) * beside,
            100 * (row.preference or 0),
            100 * (row.preference_sd or 0),
            fmt=_symbol(effects, row.effect),
            color=_colour(arms, row.arm),
            markersize=5,
            elinewidth=0.8,
            capsize=2,
        )
    for effect in effects:
        axes.plot([], [], _symbol(effects, effect), color=_GREY, label=f"assumed: {percent(effect)}")
    axes.axhline(50, color=_GREY, linewidth=0.8, linestyle=":")
    _phases_below(axes, shown)
    axes.set_ylabel(f"time on the sides spent in '{report.chamber}' (%), SD")
    axes.set_title("Preference (colours: arms, as on the left)", fontsize=10)
    axes.margins(y=0.25)
    axes.legend(frameon=False, fontsize=8, loc="upper left")


def _symbol(effects: Sequence[float], effect: float) -> str:
    return _SYMBOLS[effects.index(effect) % len(_SYMBOLS)]


def _power(axes: Any, report: Report) -> None:
    """Of the last phase with arms: one line for each arm and assumed effect."""
    contrasts = [one for one in report.contrasts if one.power and one.phase == _last_phase(report)]
    if not contrasts:
        _nothing(axes, "no arms to compare")
        return
    arms, effects = _arms(report.rows), report.whole.effects
    for one in contrasts:
        axes.plot(
            [size.animals for size in one.power],
            [100 * size.share for size in one.power],
            marker=_symbol(effects, one.effect),
            color=_colour(arms, one.arm),
            linewidth=1.2,
            markersize=4.5,
            label=f"{one.arm}, {percent(one.effect)}",
        )
    axes.axhline(100 * P, color=_GREY, linewidth=0.8, linestyle="--")
    axes.set_ylim(-2, 102)
    axes.set_xlabel("animals per arm")
    axes.set_ylabel(f"simulated studies with p < {P:g} (%)")
    axes.set_title(f"Power against {contrasts[0].against}: {contrasts[0].phase}", fontsize=10)
    axes.legend(frameon=False, fontsize=7, loc="upper left")


def _last_phase(report: Report) -> str:
    return report.contrasts[-1].phase if report.contrasts else ""


def _nothing(axes: Any, why: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, why, ha="center", va="center", color=_GREY, transform=axes.transAxes)
