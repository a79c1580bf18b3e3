"""What a figure was measured on, and how many samples it takes to name a percentile. It measures nothing itself."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_PERCENTILES = {"p50": 50.0, "p99": 99.0, "p99_9": 99.9}


def machine() -> dict[str, Any]:
    """Processor, cores, kernel and Python; no date, no name of the computer."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return models[0] if models else platform.machine()


def percentiles(values: npt.NDArray[np.float64]) -> dict[str, float | int | None]:
    """n, p50, p99, p99_9 and max; a percentile of which less than one sample lies beyond is None, not a guess."""
    found: dict[str, float | int | None] = {"n": len(values)}
    for name, percent in _PERCENTILES.items():
        known = len(values) * (100 - percent) / 100 >= 0.999
        found[name] = round(float(np.percentile(values, percent)), 1) if known else None
    return found | {"max": round(float(values.max()), 1) if len(values) else None}


def ratios(of: dict[str, Any], to: dict[str, Any]) -> dict[str, float | None]:
    """One set of percentiles over another; None where either is unknown."""
    return {p: round(of[p] / to[p], 2) if of[p] is not None and to[p] else None for p in _PERCENTILES}


def say(result: dict[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
    """One JSON object on standard output, or lines for people."""
    sys.stdout.write(json.dumps(result) + "\n" if as_json else "\n".join(lines) + "\n")
