"""Tuning as one picture: false alarms against what is detected and how soon, held out too. It judges nothing."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from closedloop.analysis.scoring import Score
from closedloop.analysis.tuning.choice import Tuned

_INK, _GREY, _BLUE, _RED = "#1b2430", "#7a8798", "#2b6cb0", "#b3361b"
_HELD = ("#2c6e43", "#8a5a00")
_TITLE = 150  # characters of a line of the title
_LEAST = 0.3  # of the false alarms that one in all hours would be: where "none" is drawn


def draw(tuned: Tuned, title: str, paths: Sequence[Path]) -> None:
    """The picture, in the format of each path's ending.

    Raises:
        OSError: the disk refuses.
    """
    with mpl.rc_context({"font.size": 9, "svg.hashsalt": "closedloop", "svg.fonttype": "none"}):
        figure = Figure(figsize=(11, 4.6), layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2)
        if tuned.expected.labelled:
            _detected(left, tuned)
            _delays(right, tuned)
        else:
            _rates(left, tuned)
            _exceeded(right, tuned)
        figure.suptitle(textwrap.fill(title, _TITLE), fontsize=10, color=_INK)
        for path in paths:
            figure.savefig(path, dpi=130, metadata={"Date": None} if path.suffix == ".svg" else None)


def _floor(scores: Sequence[Score]) -> float:
    """Where a rate of none is drawn on a logarithmic axis."""
    return _LEAST / max(score.hours for score in scores)


def _shown_rate(score: Score, floor: float) -> float:
    return max(score.rate, floor)


def _curve(tuned: Tuned) -> tuple[list[Score], float]:
    scores = sorted((one for one in tuned.scores if one.hours > 0), key=lambda one: one.rate)
    return scores, _floor(scores)


def _frame(axes: Any, tuned: Tuned, floor: float, what: str) -> None:
    axes.set_xscale("log")
    axes.set_xlabel("false alarms an hour (far left: none)")
    axes.set_ylabel(what)
    axes.axvline(tuned.wanted_per_h, color=_GREY, linestyle="--", linewidth=1, label="wanted, at most")
    axes.set_xlim(left=floor / 1.5)
    axes.spines[["top", "right"]].set_visible(False)


def _detected(axes: Any, tuned: Tuned) -> None:
    scores, floor = _curve(tuned)
    rates = [_shown_rate(one, floor) for one in scores]
    shares = np.array([one.share for one in scores]) * 100
    intervals = np.array([one.share_interval for one in scores]).T * 100
    axes.errorbar(
        rates, shares, np.abs(intervals - shares), fmt="o", color=_BLUE, alpha=0.55, markersize=3.5, elinewidth=0.7,
        label=f"all {len(scores)} settings, 95 % (Wilson)",
    )  # fmt: skip
    axes.plot(rates, [100 * one.chance for one in scores], color=_GREY, linewidth=1, label="by chance alone")
    for choice, colour in zip(tuned.held_out, _HELD, strict=False):
        _held_out(axes, choice.scored, floor, colour, f"held out: {choice.scored_on}")
    best = tuned.scores[tuned.chosen]
    axes.plot([_shown_rate(best, floor)], [100 * best.share], "o", mfc="none", mec=_RED, ms=10, label="chosen")
    _frame(axes, tuned, floor, "events detected, %")
    axes.set_ylim(-3, 103)
    axes.legend(frameon=False, fontsize=8)


def _held_out(axes: Any, score: Score, floor: float, colour: str, label: str) -> None:
    """One point with the intervals of both its numbers."""
    rate, share = _shown_rate(score, floor), 100 * score.share
    low, high = score.rate_interval
    down, up = (100 * edge for edge in score.share_interval)
    reach = ([share - down], [up - share]), ([rate - max(low, floor)], [high - rate])
    y_reach, x_reach = np.maximum(reach, 0.0)  # rounding may put an end a hair inside
    axes.errorbar(
        [rate], [share], y_reach, x_reach, fmt="D", color=colour, markersize=5, elinewidth=1.4, capsize=3, label=label,
    )  # fmt: skip


def _delays(axes: Any, tuned: Tuned) -> None:
    scores, floor = _curve(tuned)
    rates = [_shown_rate(one, floor) for one in scores]
    columns = {
        "median, misses censored": ([one.delay(0.5) for one in scores], "o", _BLUE),
        "p95, misses censored": ([one.delay(0.95) for one in scores], "^", _GREY),
        "restricted mean": ([one.restricted_mean_s for one in scores], ".", _INK),
    }
    for label, (delays, mark, colour) in columns.items():
        if np.isnan(delays).all():
            continue
        axes.plot(rates, np.array(delays) * 1000, mark, color=colour, alpha=0.7, markersize=4, label=label)
    best = tuned.scores[tuned.chosen]
    axes.plot([_shown_rate(best, floor)], [1000 * best.restricted_mean_s], "o", mfc="none", mec=_RED, ms=10)
    _frame(axes, tuned, floor, "delay, ms")
    axes.set_ylim(0, 1030 * best.window_s)
    axes.legend(frameon=False, fontsize=8)


def _rates(axes: Any, tuned: Tuned) -> None:
    """Detections an hour of each setting, in order of threshold."""
    floor = _floor(tuned.scores)
    pairs = [(setting.threshold, one) for setting, one in zip(tuned.settings, tuned.scores, strict=True)]
    rates = np.array([_shown_rate(one, floor) for _, one in pairs])
    edges = np.array([one.rate_interval for _, one in pairs]).T
    reach = np.abs(np.maximum(edges, floor) - rates)
    axes.errorbar(
        [at for at, _ in pairs], rates, reach, fmt="o", color=_BLUE, alpha=0.6, markersize=3.5, elinewidth=0.8,
        label="all settings, 95 % (Poisson)",
    )  # fmt: skip
    axes.axhline(tuned.wanted_per_h, color=_GREY, linestyle="--", linewidth=1, label="wanted, at most")
    best = tuned.settings[tuned.chosen].threshold, rates[tuned.chosen]
    axes.plot([best[0]], [best[1]], "o", mfc="none", mec=_RED, ms=10, label="chosen")
    axes.set_yscale("log")
    axes.set_xlabel("threshold")
    axes.set_ylabel("detections an hour (lowest: none)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)


def _exceeded(axes: Any, tuned: Tuned) -> None:
    """Fitted against held out, each way."""
    floor = _floor(tuned.scores)
    ends = [tuned.wanted_per_h]
    for choice, colour in zip(tuned.held_out, _HELD, strict=False):
        x, y = _shown_rate(choice.fitted, floor), _shown_rate(choice.scored, floor)
        low, high = choice.scored.rate_interval
        reach = [[y - max(low, floor)], [max(high - y, 0)]]
        axes.errorbar([x], [y], reach, fmt="D", color=colour, capsize=3, label=f"scored on: {choice.scored_on}")
        ends += [x, y, max(low, floor), high]
    both = [min(ends) / 1.5, max(ends) * 1.5]
    axes.plot(both, both, color=_GREY, linewidth=1, label="the same")
    axes.axhline(tuned.wanted_per_h, color=_GREY, linestyle="--", linewidth=1, label="wanted, at most")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("detections an hour where it was chosen")
    axes.set_ylabel("... where it was held out")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
