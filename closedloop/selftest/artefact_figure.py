"""An artefact as one picture: every pulse, their median, and when that is lost in the noise. It judges nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from closedloop.analysis.artefact import Found, Measured
from closedloop.artefact import Numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _GREY, _RED, _LIGHT = "#1b2430", "#7a8798", "#b3361b", "#fff1d6"
_COLOURS = {"signal (470 nm)": "#0072B2", "control (405 nm)": "#8a3fa0"}
_LEAST = 0.02  # of sigma, the lowest that is drawn


def save(found: Found, rate_hz: float, title: str, path: Path) -> None:
    """The picture, in the format of the path's ending; one row a channel.

    Raises:
        OSError: the disk refuses.
    """
    channels = [("signal (470 nm)", found.signal)] + ([("control (405 nm)", found.control)] if found.control else [])
    style: dict[Any, Any] = {"font.size": 9, "svg.hashsalt": "closedloop", "svg.fonttype": "none"}
    with mpl.rc_context(style | {"axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(11, 0.8 + 3 * len(channels)), layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(channels), 2, squeeze=False, sharex="col")
        for row, (name, one) in zip(axes, channels, strict=True):
            _pulses(row[0], name, one, rate_hz)
            _noise(row[1], name, one, rate_hz)
        axes[-1][0].set_xlabel("time from the end of light (s)")
        axes[-1][1].set_xlabel("time after light (ms)")
        figure.suptitle(f"Light artefact of {title}: {found.pulses} pulses", fontsize=11, color=_INK)
        figure.savefig(path, dpi=130, metadata={"Date": None} if path.suffix == ".svg" else None)


def _pulses(axes: Axes, name: str, one: Measured, rate_hz: float) -> None:
    """Every pulse thin, their median thick, in percent of the level before."""
    percent = 100 / one.level
    under = (np.arange(one.lit.shape[1]) - one.lit.shape[1]) / rate_hz
    later = np.arange(1, one.after.shape[1] + 1) / rate_hz
    at = np.concatenate([under, later])
    values = np.concatenate([one.lit, one.after], axis=1) * percent
    axes.axvspan(float(under[0]), 0, color=_LIGHT, lw=0, zorder=0)
    axes.axhspan(-one.sigma * percent, one.sigma * percent, color="#eef1f5", lw=0, zorder=0.5)
    axes.plot(at, values.T, color=_GREY, alpha=0.25, lw=0.5, rasterized=True)
    axes.plot(at, np.nanmedian(values, axis=0), color=_COLOURS[name], lw=1.8, label="median of all pulses")
    axes.plot([], [], color=_GREY, lw=0.8, label="each pulse")
    axes.set_ylabel(f"{name}\n% of the level before")
    axes.set_title("yellow: light on; grey band: 1 sigma of the noise before", loc="left", fontsize=9, color=_INK)
    axes.legend(frameon=False, loc="upper right", fontsize=8)


def _noise(axes: Axes, name: str, one: Measured, rate_hz: float) -> None:
    """What is left after light, in sigma, against time on a logarithmic scale."""
    time_ms = np.arange(1, len(one.template) + 1) / rate_hz * 1e3
    axes.loglog(time_ms, _shown(np.nan_to_num(_median(one.after)) / one.sigma), ".", ms=3, color=_GREY, label="median")
    axes.loglog(time_ms, _shown(one.template / one.sigma), color=_COLOURS[name], lw=1.8, label="template")
    axes.axhline(1.0, color=_INK, lw=0.8, ls="--")
    recovery = None if one.course is None else one.course.recovery
    said = "not back in time" if recovery is None else f"recovery {recovery * 1e3:.4g} ms (99 % of pulses)"
    if recovery:
        axes.axvline(recovery * 1e3, color=_RED, lw=1.2)
    axes.set_title(f"left after light, in sigma; red: {said}", loc="left", fontsize=9, color=_INK)
    axes.legend(frameon=False, loc="lower left", fontsize=8)


def _median(values: Numbers) -> Numbers:
    known = np.isfinite(values).any(axis=0)
    found = np.full(values.shape[1], np.nan)
    found[known] = np.nanmedian(values[:, known], axis=0)
    return found


def _shown(values: Numbers) -> Numbers:
    shown: Numbers = np.maximum(np.abs(values), _LEAST)
    return shown
