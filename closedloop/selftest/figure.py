"""A self-test as one picture, written as SVG by hand: latencies, pulse widths, and the verdict. It judges nothing."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from closedloop.selftest.check import Check
from closedloop.selftest.measured import COMMAND_TO_LIGHT_MS, width_error_ms
from closedloop.selftest.record import Record
from closedloop.selftest.sight import seen

_WIDTH, _PLOT_W, _PLOT_H, _TOP = 1180, 480, 190, 92
_BINS = 24
_LONGEST_LINE = 126
_INK, _GREY, _BLUE, _RED, _GREEN = "#1b2430", "#7a8798", "#2b6cb0", "#b3361b", "#2c6e43"
_COLOURS = {"ok": _GREEN, "not ok": _RED, "not measured": _GREY}


def figure(record: Record, checks: Sequence[Check], title: str) -> str:
    """The picture's text."""
    lines_at = _TOP + _PLOT_H + 78
    height = lines_at + 22 * len(checks) + 16
    shape = f'viewBox="0 0 {_WIDTH} {height}" font-family="Helvetica, Arial, sans-serif" font-size="13"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {shape} fill="{_INK}">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(40, 34, title, size=18),
        f'<g transform="translate(40 {_TOP})">{_latency(record)}</g>',
        f'<g transform="translate(660 {_TOP})">{_widths(record)}</g>',
        *(_line(check, lines_at + 22 * at) for at, check in enumerate(checks)),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _text(x: float, y: float, text: str, *, colour: str = _INK, anchor: str = "start", size: int = 13) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'
    )


def _stroke(x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1.0) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f} L{x2:.1f} {y2:.1f}" stroke="{colour}" stroke-width="{width}" fill="none"/>'


def _frame(title: str, below: str) -> str:
    axis = _stroke(0, _PLOT_H, _PLOT_W, _PLOT_H, _INK)
    return axis + _text(0, -14, title) + _text(_PLOT_W / 2, _PLOT_H + 40, below, anchor="middle", colour=_GREY)


def _nothing(title: str, below: str) -> str:
    return _frame(title, below) + _text(_PLOT_W / 2, _PLOT_H / 2, "not measured", anchor="middle", colour=_GREY)


def _round_up(value: float) -> float:
    """The next of a few round numbers."""
    step = 1e-3
    while True:
        for factor in (1, 1.5, 2, 3, 5, 7):
            if value <= step * factor:
                return step * factor
        step *= 10


def _latency(record: Record) -> str:
    title, below = "command to light", "ms, by the stimulator's clock"
    values = [(shot.on_ns - shot.sent_ns) / 1e6 for shot in record.of("width") if shot.on_ns is not None]
    if not values:
        return _nothing(title, below)
    span = _round_up(max(*values, COMMAND_TO_LIGHT_MS / 100))
    counts = [0] * _BINS
    for value in values:
        counts[min(_BINS - 1, max(0, int(value / span * _BINS)))] += 1
    width = _PLOT_W / _BINS
    bars = [
        f'<rect x="{at * width + 1:.1f}" y="{_PLOT_H * (1 - count / max(counts)):.1f}" width="{width - 2:.1f}" '
        f'height="{_PLOT_H * count / max(counts):.1f}" fill="{_BLUE}"/>'
        for at, count in enumerate(counts)
        if count
    ]
    ticks = [_text(_PLOT_W * part, _PLOT_H + 18, f"{span * part:g}", anchor="middle") for part in (0, 0.5, 1)]
    most = _text(_PLOT_W, -14, f"n = {len(values)}, tallest bar {max(counts)}", anchor="end", colour=_GREY)
    return _frame(title, below) + most + "".join(bars) + "".join(ticks)


def _widths(record: Record) -> str:
    """One column a pulse: as asked (bar), by the board's ticks (dot), by the DAQ's readings (stroke)."""
    title, below = (
        "pulse widths, pulse by pulse, ms",
        "bar: asked for; dot: the board's ticks; line: the DAQ's readings",
    )
    shots = [shot for shot in record.of("width") if shot.fired is not None]
    if not shots:
        return _nothing(title, below)
    span = _round_up(1.2 * max(shot.on_us for shot in shots) / 1e3)
    width = _PLOT_W / len(shots)
    marks = []
    for at, shot in enumerate(shots):
        x, asked_ms = at * width, shot.on_us / 1e3
        marks.append(_bar(x, asked_ms / span, width))
        if shot.fired is not None:
            said_ms = (shot.fired.off_ticks - shot.fired.on_ticks) % 2**32 / 1e3
            y = _PLOT_H * (1 - min(1.0, said_ms / span))
            marks.append(f'<circle cx="{x + width / 2:.1f}" cy="{y:.1f}" r="3.5" fill="{_BLUE}"/>')
        view = seen(record, shot)
        if view is not None:
            y = _PLOT_H * (1 - min(1.0, (asked_ms + width_error_ms(record, shot, view)) / span))
            marks.append(_stroke(x + 1, y, x + width - 1, y, _RED, 2))
    ticks = [_text(-6, _PLOT_H * (1 - part) + 4, f"{span * part:g}", anchor="end") for part in (0, 0.5, 1)]
    return _frame(title, below) + "".join(marks) + "".join(ticks)


def _bar(x: float, part: float, width: float) -> str:
    height = _PLOT_H * part
    return (
        f'<rect x="{x + 2:.1f}" y="{_PLOT_H - height:.1f}" width="{max(1.0, width - 4):.1f}" height="{height:.1f}" '
        f'fill="#e1e7ef"/>'
    )


def _line(check: Check, y: float) -> str:
    said = check.said if len(check.said) <= _LONGEST_LINE else check.said[: _LONGEST_LINE - 1] + "…"
    verdict = _text(40, y, check.verdict, colour=_COLOURS[check.verdict])
    return verdict + _text(140, y, check.name) + _text(340, y, said, colour=_GREY)
