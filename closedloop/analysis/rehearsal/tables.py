"""A rehearsal as tidy tables: by arm, by contrast and by session. Every row says that it is of virtual animals."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from closedloop.analysis.outputs import writable
from closedloop.analysis.rehearsal.report import Report


def write(report: Report, out: Path) -> list[Path]:
    """rehearsal.csv, power.csv and sessions.csv in a folder; returns their paths.

    Raises:
        ConfigError: the folder cannot be written.
    """
    tables = {
        "rehearsal.csv": [{"assumed": "virtual", **asdict(row)} for row in report.rows],
        "power.csv": list(_power_rows(report)),
        "sessions.csv": list(_session_rows(report)),
    }
    with writable(out):
        return [_csv(rows, out / name) for name, rows in tables.items() if rows]


def _power_rows(report: Report) -> Iterator[dict[str, Any]]:
    for one in report.contrasts:
        about = {"assumed": "virtual", "effect": one.effect, "phase": one.phase, "arm": one.arm}
        for size in one.power:
            yield {**about, "against": one.against, "difference": one.difference, **size._asdict()}


def _session_rows(report: Report) -> Iterator[dict[str, Any]]:
    for key, one in sorted(report.whole.sessions.items()):
        spent = {f"in_{name}_s": round(seconds, 3) for name, seconds in one.occupancy_s.items()}
        yield {
            "assumed": "virtual",
            **key._asdict(),
            "animal": key.animal + 1,
            "detections": one.detections,
            "planned": one.planned,
            "trains": len(one.starts_us),
            "on_s": one.on_s,
            "energy_mj": one.energy_mj,
            **spent,
        }


def _csv(rows: list[dict[str, Any]], path: Path) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows)
    return path
