"""What a person sees in the terminal: the progress line, and the outcome in words. It reads recordings alone."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from closedloop.errors import RecordingError
from closedloop.recording import Recording
from closedloop.train import Refusal

_PLAIN_EVERY_S = 10.0  # of sample time, where the line can't be redrawn


def error_console() -> Console:
    """Where everything but results goes."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def counting(what: str) -> Progress:
    """A bar for work of known length; silent where standard error is no terminal."""
    return Progress(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=error_console(),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


class SessionLine:
    """The progress line of a running session, made from its recording as it grows."""

    def __init__(self, expected_s: float) -> None:
        self._expected_s = expected_s
        self._folder: Path | None = None
        self._recording: Recording | None = None
        self._rows = 0
        self._last_event = -1
        self._counts: Counter[str] = Counter()
        self._decided: set[int | None] = set()
        self._latency_us: float | None = None
        self._missing = 0
        self._seconds = 0.0
        self._veto = 0
        self._armed = False
        self._next_plain_s = 0.0
        self._live = Live(console=error_console(), auto_refresh=False, transient=True)

    def __enter__(self) -> SessionLine:
        if sys.stderr.isatty():
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def look(self, folder: Path) -> None:
        """Read what is new in the recording, and redraw."""
        if folder != self._folder:
            self._folder = folder
            self._live.console.print(f"session: {folder}", markup=False)
        if self._recording is None:
            self._recording = _opened(folder)
        if self._recording is None:
            self._redraw("starting: boards, handshake, machine code ...")
            return
        self._read(self._recording)
        if self._live.is_started:
            self._redraw(self.text())
        elif self._seconds >= self._next_plain_s:
            self._next_plain_s = self._seconds + _PLAIN_EVERY_S
            error_console().print(self.text())

    def _redraw(self, line: str) -> None:
        if self._live.is_started:
            self._live.update(Text(line, no_wrap=True, overflow="ellipsis"), refresh=True)

    def _read(self, recording: Recording) -> None:
        rows = recording.rows(self._rows)
        for event in recording.events(self._last_event):
            self._last_event = event.n
            self._counts[event.kind] += 1
            self._armed = self._armed or event.reason == "armed"
            if event.kind == "decision":
                self._decided.add(event.train)
            if event.kind == "refused":
                self._decided.discard(event.train)
            if event.kind == "gap":
                self._missing += int(event.value or 0)
            if event.kind == "command":
                self._latency_us = event.value
        if len(rows):
            self._rows += len(rows)
            self._seconds = float(rows["ticks"][-1]) / 1e6
            self._veto = int(rows["veto"][-1])

    def text(self) -> str:
        """The line: where the session is, time left, readings, gaps, detections, trains, latency."""
        c = self._counts
        blinded = self._recording is not None and self._recording.blinded
        trains = f"{self._planned} planned" if blinded else f"{c['light_on']}/{max(c['command'], c['light_on'])} trains"
        state = Refusal(self._veto).name.lower() if self._veto else "armed" if self._armed else "warm-up"
        latency = "-" if self._latency_us is None else f"{self._latency_us / 1000:.2f} ms"
        return (
            f"{state:<9} {_clock(max(0.0, self._expected_s - self._seconds))} left  "
            f"{self._rows} readings, {self._missing} missing  {c['detection']} detections  "
            f"{trains}  {c['refused']} refused{'' if blinded else f'  latency {latency}'}"
        )

    @property
    def _planned(self) -> int:
        """Trains that were decided and not refused."""
        return len(self._decided)


def _opened(folder: Path) -> Recording | None:
    try:
        return Recording.open(folder)
    except RecordingError:
        return None  # not begun yet


def _clock(seconds: float) -> str:
    whole = int(np.ceil(seconds))
    return (
        f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
        if whole >= 3600
        else f"{whole // 60}:{whole % 60:02d}"
    )


def _light(summary: dict[str, Any]) -> str:
    trains = summary["trains"]
    if summary["session"] is None:
        return f"none in a replay; a live run would have asked for {trains['commanded']} trains"
    if summary.get("blinded"):
        return f"{trains['planned']} trains planned; what was delivered is told once the study is unblinded"
    energy = "" if trains["energy_mj"] is None else f", {trains['energy_mj']:.1f} mJ"
    own = trains["on_board"]
    by_board = f", {own} begun by the DAQ board" if own else ""
    commanded = f"{trains['delivered'] - own} of {trains['commanded']} trains delivered"
    return f"{commanded}{by_board}, {trains['on_s']:.3f} s lit{energy}"


def outcome(summary: dict[str, Any]) -> list[str]:
    """A summary in words, for people."""
    readings = summary["readings"]
    decisions = ", ".join(f"{n} {kind}" for kind, n in summary["decisions"].items()) or "none"
    refused = ", ".join(f"{n} {reason}" for reason, n in summary["refused"].items()) or "none"
    received, damaged = readings["received"], readings["damaged_frames"]
    rows = {
        "time": f"{summary['duration_s']:.1f} s at {summary['rate_hz']:g} readings/s, seed {summary['seed']}",
        "readings": f"{received} received, {readings['missing']} missing, {damaged} damaged frames",
        "detections": f"{summary['detections']}; decisions: {decisions}; refused: {refused}",
        "light": _light(summary),
        "read to command": _spread(summary["latency_us"]["read_to_command"]),
        "command to light": _spread(summary["latency_us"]["command_to_light"]),
        "recording": summary["session"],
    }
    rows |= _session(summary)
    title = f"{summary['protocol']} ({summary['condition']}): {summary['ended']}: {summary['reason']}"
    return [title, *(f"  {name:<18}{said}" for name, said in rows.items() if said), *_audit(summary)]


def _audit(summary: dict[str, Any]) -> list[str]:
    """What was out of bounds, a line each; a replay has no audit, for it has no time of its own."""
    audit = summary.get("audit")
    if audit is None:
        return []
    warnings = [f"  {'warning':<18}{said}" for said in audit["warnings"]]
    return warnings or [f"  {'audit':<18}nothing out of bounds"]


def _session(summary: dict[str, Any]) -> dict[str, str]:
    """What is told of a session beyond the summary of a replay, where there is something to tell."""
    told = {}
    latched = (summary.get("dose") or {}).get("latched")
    if latched:
        limit = latched["limit"].removeprefix("dose_")
        told["limit reached"] = f"the session's limit ({limit}) at {latched['at_s']:.1f} s: no light from there on"
    chambers = summary.get("inputs") or {}
    if chambers:
        high = (f"{name} {one['on_s']:.1f} s in {one['entries']} entries" for name, one in chambers.items())
        told["inputs high"] = ", ".join(high)
    blocks = summary.get("blocks") or []
    if blocks:
        told["blocks"] = ", ".join(f"{one['name']} {one['lasts_s']:.1f} s" for one in blocks)
    if summary.get("outside_gate_s"):
        told["outside a gate"] = f"{summary['outside_gate_s']:.3f} s of light, the tails of trains"
    return told


def _spread(latency_us: dict[str, float] | None) -> str | None:
    if latency_us is None:
        return None
    return f"{latency_us['p50'] / 1000:.2f} ms median, {latency_us['max'] / 1000:.2f} ms at most"
