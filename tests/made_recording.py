"""Recordings made up row by row, as a session on a good computer would leave them, each with what is to be wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from closedloop import wire
from closedloop.arming import Phase
from closedloop.health import HEALTH
from closedloop.recording import Recording, RecordingWriter, Rows, TableWriter, row_dtype
from closedloop.recording.folder import HEALTH_TABLE, SUMMARY
from closedloop.steps import STEP

RATE_HZ = 100.0
BEGAN_NS = 5_000_000_000_000
LEASE_MS = 250
HEADER: dict[str, Any] = {
    "rate_mhz": round(RATE_HZ * 1000),
    "nano_units": 1000,
    "input_names": [],
    "decisions": ["fire", "sham", "test"],
    "boards": {"daq": {}, "stimulator": {}},
    "limits": {**dict.fromkeys(wire.Limits._fields, 1000), "lease_ms": LEASE_MS},
    "real_time": {"scheduling": {"had": False, "why": "not allowed to this user"}},
    "speed": 1.0,
}
CLOCKS = {"residual_us": 40.0, "round_trip_us": 900.0, "drift_ppm": 20.0, "uncertainty_us": 60.0}


class Made:
    """One recording before it is written: `rows`, `health`, `events`, `header` and `summary`, to be changed at will.

    Args:
        seconds: of readings, one every 10 ms, each 2 ms after it was made.
    """

    def __init__(self, seconds: float = 60.0) -> None:
        count = round(seconds * RATE_HZ)
        self.rows: Rows = np.zeros(count, row_dtype(STEP))
        self.rows["ticks"] = np.arange(count) * 10_000
        self.rows["seq"] = np.arange(count)
        self.rows["host_ns"] = BEGAN_NS + self.rows["ticks"] * 1000 + 2_000_000
        self.health: Rows = np.zeros(round(seconds * 4), HEALTH)
        self.health["host_ns"] = BEGAN_NS + np.arange(len(self.health)) * 250_000_000
        self.health["ticks"] = np.arange(len(self.health)) * 250_000
        self.health["heartbeat_ns"] = self.health["host_ns"] - 9_000_000
        for board in ("daq", "stimulator"):
            for name, value in CLOCKS.items():
                self.health[f"{board}_{name}"] = value
        self.health["age_us"], self.health["turn_us"], self.health["most"] = 2100.0, 300.0, 1
        self.health["wall_offset_ns"] = 1_700_000_000 * 10**9
        self.health["phase"] = Phase.RUNNING
        self.events: list[dict[str, Any]] = []
        self.header = dict(HEADER)
        self.summary: dict[str, Any] | None = {"ended": "completed", "reason": "", "sent": count, "damaged_frames": 0}
        for train in range(1, 11):
            self.light(train, train * 4_000_000)

    def event(self, kind: str, ticks: int, **about: Any) -> None:
        """One event more; they are written in the order of their time."""
        self.events.append({"kind": kind, "ticks": ticks, "host_ns": BEGAN_NS + ticks * 1000, **about})

    def light(self, train: int, ticks: int, command_us: float = 150.0, light_us: float | None = 1200.0) -> None:
        """A train at once, with its latencies."""
        self.event("command", ticks, train=train, value=command_us)
        self.event("light_on", ticks + 4000, train=train, value=light_us)

    def lose(self, *at: int, told: bool = True) -> None:
        """These rows never came; `told`: and that was noticed."""
        for index in at:
            if told:
                self.event("gap", int(self.rows["ticks"][index + 1]), reason="missing", value=1.0)
        self.rows = np.delete(self.rows, at)

    def older(self, *names: str) -> None:
        """Health without these columns."""
        kept = [name for name in HEALTH.names or () if name not in names]
        rows = np.zeros(len(self.health), np.dtype([(name, HEALTH[name]) for name in kept], align=True))
        for name in kept:
            rows[name] = self.health[name]
        self.health = rows

    def write(self, folder: Path) -> Recording:
        """The recording, in this folder."""
        folder.mkdir(parents=True, exist_ok=True)
        about: dict[str, Any] = {"header": self.header, "protocol": "", "rig": "", "dtype": self.rows.dtype}
        writer = RecordingWriter.open(folder, **about)
        writer.append(self.rows)
        for event in sorted(self.events, key=lambda one: one["ticks"]):
            writer.event(**event)
        writer.close(self.summary or {})
        if self.summary is None:
            (folder / SUMMARY).unlink()
        (folder / HEALTH_TABLE).unlink()
        health = TableWriter(folder / HEALTH_TABLE, self.health.dtype)
        health.append(self.health)
        health.close()
        return Recording.open(folder)
