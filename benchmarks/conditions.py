"""What goes on beside a session while its latency is measured: nothing, a dashboard, or a process that takes a core."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

CONDITIONS = {
    "idle": "nothing but the session",
    "dashboard": "`closedloop watch` on the session's folder, its window drawn by Qt's platform without a display",
    "burnt": "one process beside it that computes without end, at normal priority and pinned to no core",
}
_SIZE = "1366x728"
_HOG = """
import os
parent = os.getppid()
while os.getppid() == parent:  # whatever becomes of the benchmark, this must not go on for ever
    for _ in range(1_000_000):
        pass
"""


class Beside:
    """The other process of one condition."""

    def __init__(self, condition: str) -> None:
        self._condition = condition
        self._process: subprocess.Popen[bytes] | None = None
        if condition == "burnt":
            self._process = subprocess.Popen([sys.executable, "-c", _HOG])

    @property
    def lead_ms(self) -> int:
        """How much earlier than usual the session must start, so that the other one is at work when figures begin."""
        return 5000 if self._condition == "dashboard" else 0

    def look(self, folder: Path) -> None:
        """Open the dashboard as soon as there is a folder to show."""
        if self._condition != "dashboard" or self._process is not None:
            return
        command = [sys.executable, "-m", "closedloop.dashboard", "watch", str(folder), "--size", _SIZE]
        self._process = subprocess.Popen(command, env=os.environ | {"QT_QPA_PLATFORM": "offscreen"})

    def cpu_s(self) -> float | None:
        """Processor time until now, in seconds; None without another process.

        Raises:
            RuntimeError: it has ended, so the condition is not what it says.
        """
        if self._process is None:
            return None
        if self._process.poll() is not None:
            raise RuntimeError(f"the other process of the condition {self._condition} ended by itself")
        return process_cpu_s(self._process.pid)

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def process_cpu_s(process: int) -> float | None:
    """Processor time of one process until now, in seconds; None if it is gone."""
    try:
        times: Any = psutil.Process(process).cpu_times()
    except psutil.Error:
        return None
    return float(times.user + times.system)
