"""kill -9 of a real host process in mid-pulse, at random moments, with the firmware in real time on pseudo-terminals.

Judged in board time, from the rig's own log: the last frame that the board received against the fall of its light. So
a busy machine makes it slow and never makes it pass. In virtual time the same is in test_hil_faults.py.
"""

from __future__ import annotations

import json
import os
import random
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from backend_emulated import FIRMWARE, elves
from commands import EARLY_S
from fault_table import Report
from host_process import LEASE_MS, PULSE_US

KILLS, EACH_RIG = 100, 25  # a rig's board allows 60 trains and 15 s of light a minute
PATIENCE_S = 15.0
RENEWS = (0x20, 0x23)  # Heartbeat, Arm

pytestmark = [
    pytest.mark.backends("emulated-uno"),
    pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals need Linux or macOS"),
]


class Rig:
    """Two emulated boards in real time, and what their log says."""

    def __init__(self, folder: Path, backend: str) -> None:
        fifo = folder / "log"
        os.mkfifo(fifo)
        daq, stimulator = elves(backend)
        command = [sys.executable, "-m", "emulator.pty_rig", "--daq", daq, "--stimulator", stimulator, "--log", fifo]
        paths = os.pathsep.join([str(FIRMWARE), os.environ.get("PYTHONPATH", "")])
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": paths},
        )
        self._log = os.open(fifo, os.O_RDONLY)
        self._rest = b""
        self.events: list[dict[str, object]] = []
        self.ports: dict[str, str] = json.loads(self._process.stdout.readline())

    def read(self, wait_s: float) -> None:
        """What the log says by then, or as soon as it says anything."""
        if select.select([self._log], [], [], wait_s)[0]:
            *lines, self._rest = (self._rest + os.read(self._log, 65_536)).split(b"\n")
            rows = [json.loads(line) for line in lines]
            self.events += [row for row in rows if row.get("board") == "stimulator"]

    def watch(self, seconds: float) -> None:
        """So much wall time."""
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            self.read(left_s)

    @property
    def lit(self) -> bool:
        levels = [row["level"] for row in self.events if row["event"] == "light"]
        return bool(levels and levels[-1])

    def wait_for_dark(self) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while self.lit:
            assert time.monotonic() < end_s, "the light did not go out"
            self.read(0.1)

    def close(self) -> None:
        self._process.stdin.close()
        while self._process.poll() is None:
            self.read(0.1)
        os.close(self._log)
        self._process.stdout.close()
        self._process.stderr.close()


def kill_in_mid_pulse(rig: Rig, after_s: float) -> None:
    """A host lights, and dies so long after it heard of it."""
    host = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("host_process.py"), rig.ports["daq"], rig.ports["stimulator"]],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(FIRMWARE.parent)},
    )
    try:
        assert select.select([host.stdout], [], [], PATIENCE_S)[0], "the host did not light"
        assert host.stdout.readline() == "lit\n"
        rig.watch(after_s)
    finally:
        host.kill()
        host.wait()
        host.stdout.close()
    rig.wait_for_dark()


def pulses(events):
    """For each: its width, and the time from the last Heartbeat or Arm that the board received to its fall, in ms."""
    received_ns = rise_ns = 0
    for row in sorted(events, key=lambda row: row["ns"]):
        if row["event"] == "received" and row["message"] in RENEWS:
            received_ns = row["ns"]
        elif row["event"] == "light" and row["level"]:
            rise_ns = row["ns"]
        elif row["event"] == "light":
            yield (row["ns"] - rise_ns) / 1e6, (row["ns"] - received_ns) / 1e6


def test_a_host_killed_in_mid_pulse_leaves_darkness_within_the_lease(backend, tmp_path, faults):
    dice = random.Random(7)
    found = []
    for first in range(0, KILLS, EACH_RIG):
        folder = tmp_path / str(first)
        folder.mkdir()
        rig = Rig(folder, backend)
        try:
            for _ in range(EACH_RIG):
                kill_in_mid_pulse(rig, dice.uniform(0, 0.28))
        finally:
            rig.close()
        found += list(pulses(rig.events))
        assert not rig.lit
    assert len(found) == KILLS
    cut = [silence_ms for width_ms, silence_ms in found if width_ms < PULSE_US / 1e3 - 1]
    print(f"{len(cut)} of {KILLS} pulses cut, {min(cut):.3f} to {max(cut):.3f} ms after the last heartbeat")
    assert len(cut) > 0.9 * KILLS
    assert all(LEASE_MS - EARLY_S * 1e3 <= silence_ms <= LEASE_MS for silence_ms in cut)
    assert all(width_ms <= PULSE_US / 1e3 + 1e-3 for width_ms, _ in found)
    said = "`broken off`; `closedloop recover` says what was saved"
    faults(Report("host_killed", f"{backend} in real time", KILLS, said, dark_ms=max(cut)))
