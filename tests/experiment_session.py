"""A session of an experiment as its recording tells it: blocks, gates, pauses, a limit that is reached."""

from __future__ import annotations

import numpy as np

from closedloop.recording import RecordingWriter, row_dtype
from closedloop.steps import GATE_OPEN, LATCHED, STEP, VALID, WARM
from closedloop.train import Refusal
from closedloop.watching.watch import Watch

RATE_HZ = 100
ROW = row_dtype(STEP)
BLOCKS = [
    {"name": "baseline", "lasts": "20 s", "policy": {"kind": "manual"}},
    {"name": "closed loop", "lasts": "40 s", "trains": 3},
    {"name": "washout", "lasts": "10 s", "readings": 800},
]
GATES = [{"input": "paired", "when": "high", "debounce": "200 ms", "hold": "0 s", "window": "1 s"}]
BOARD = {"board": 1, "firmware": 1, "wire_hash": 1, "unique_id": 1, "reset_cause": 1}


def header(**other):
    """Of the recording; `protocol` adds to the protocol."""
    protocol = {
        "warm_up": "5 s",
        "policy": {"kind": "closed_loop"},
        "detector": {"kind": "threshold", "threshold": 4.0, "release": 2.0},
        "features": [{"kind": "dff"}],
        "blocks": BLOCKS,
        "gates": GATES,
    } | other.pop("protocol", {})
    return {
        "rate_mhz": RATE_HZ * 1000,
        "nano_units": 100_000,
        "input_names": ["paired", "neutral", "lever"],
        "started_ns": 0,
        "protocol": protocol,
        "rig": {"name": "box", "limits": None},
        "decisions": ["fire", "test", "sham"],
        "blocks": [block["name"] for block in protocol["blocks"]],
        "limits": {
            "on_us": 1_000_000,
            "off_us": 2_000,
            "level": 65_535,
            "short_window_ms": 60_000,
            "short_on_ms": 15_000,
            "long_window_ms": 600_000,
            "long_on_ms": 60_000,
            "trains_per_minute": 60,
            "lease_ms": 250,
        },
        "dose": {"trains": None, "on_s": None, "energy_mj": None, "kelvin": 1.0},
        "command": {"on_us": 500_000, "period_us": 500_000, "pulses": 1, "level": 32_768, "ramp_off_us": 0},
        "tip_mw": 5.0,
        "boards": {"daq": BOARD, "stimulator": BOARD},
        "speed": 1.0,
        "expected_s": 75.0,
    } | other


class Session:
    """A recording that grows as it is told to, and a watch of it."""

    def __init__(self, folder, **about):
        folder.mkdir(parents=True, exist_ok=True)
        self.writer = RecordingWriter.open(folder, header=header(**about), protocol="a: 1\n", rig="b: 2\n", dtype=ROW)
        self.watch = Watch(folder)
        self.inputs, self.bits, self.kelvin, self.block = 0, VALID | WARM | GATE_OPEN, 0.0, 0
        self._rows, self._train = 0, 0

    @property
    def ticks(self):
        """Of the newest reading."""
        return max(0, self._rows - 1) * (1_000_000 // RATE_HZ)

    def read(self, seconds, **fields):
        """Readings; what is not named stays as it was."""
        rows = np.zeros(round(seconds * RATE_HZ), ROW)
        numbers = np.arange(self._rows, self._rows + len(rows))
        rows["ticks"], rows["seq"] = numbers * (1_000_000 // RATE_HZ), numbers
        rows["signal_lit"] = 10_000 + 40 * (numbers % 50 < 10) + numbers % 7 * 5
        rows["control_lit"] = 8_000 + numbers % 5 * 5
        rows["feature"], rows["score"], rows["threshold"] = 0.01, np.sin(numbers / 30) * 3, 4.0
        rows["inputs"], rows["bits"], rows["kelvin"], rows["block"] = self.inputs, self.bits, self.kelvin, self.block
        for name, value in fields.items():
            rows[name] = value
        self._rows += len(rows)
        self.writer.append(rows)

    def enter(self, block, seconds):
        """A block, with the note that a session makes of it."""
        names = ["warm-up", *(one["name"] for one in BLOCKS)]
        self.block = block
        self.read(0.01)
        self.note("block", names[block] if block < len(names) else "the last block is over", float(block))
        self.read(seconds - 0.01)

    def note(self, reason, text=None, value=None):
        self.event("note", reason=reason, text=text, value=value)

    def event(self, kind, **fields):
        self.writer.event(kind, ticks=self.ticks, host_ns=self.ticks * 1000, **fields)

    def train(self, decision=1, refused=Refusal.NONE, name="fire", delivered=True):
        """A decision at the next reading, and what came of it."""
        self._train += 1
        self.read(0.01, decision=decision, refused=int(refused), train=self._train)
        self.event("detection", train=self._train, value=4.5)
        self.event("decision", train=self._train, reason=name)
        if refused:
            self.event("refused", train=self._train, reason=refused.name.lower())
        elif delivered:
            self.event("light_on", train=self._train, value=900.0)
            self.read(0.5)
            self.event("light_off", train=self._train, value=500_000.0)

    def arm(self):
        self.note("armed", "the stimulator is armed")

    def latch(self, refusal=Refusal.DOSE_TRAINS, name="fire", said=None):
        """The session's limit is reached at the next reading."""
        self.bits |= LATCHED
        self._train += 1
        self.read(0.01, decision=1, refused=int(refusal), train=self._train)
        self.event("decision", train=self._train, reason=name)
        self.event("refused", train=self._train, reason=refusal.name.lower())
        which = refusal.name.lower()
        self.note(
            "latched", said or f"the session's limit is reached ({which}): no light from here on, decisions are sham"
        )

    def look(self):
        """Everything that was recorded has been taken in."""
        for _ in range(20):
            self.watch.turn(self.ticks * 1000)
        return self.watch

    def close(self, **summary):
        self.writer.close({"ended": "completed", "reason": "the last block is over"} | summary)
