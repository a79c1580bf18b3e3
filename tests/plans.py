"""Plans and signals that several tests use."""

from __future__ import annotations

import numpy as np

from closedloop import limits
from closedloop.detectors.threshold import Threshold
from closedloop.features.dff import Dff
from closedloop.loop import Plan
from closedloop.policies.closed_loop import ClosedLoop
from closedloop.quality import Quality
from closedloop.readings import READING, Readings
from closedloop.train import Train

RATE_HZ = 100.0
NANO_UNITS = 10_000  # 10 microvolts a count


def plan(**changes: object) -> Plan:
    """A short loop: dF/F over 10 s, threshold 6 over 5 s, warm-up 8 s, 200 ms trains."""
    defaults = {
        "features": (Dff(baseline=10.0),),
        "detector": Threshold(threshold=6.0, release=3.0, window=5.0),
        "policy": ClosedLoop(refractory=2.0),
        "quality": Quality(settle=1.0),
        "train": Train(on=0.2),
        "level": 65_535,
        "limits": limits.effective(lease_s=0.25),
        "warm_up_s": 8.0,
        "recovery_s": 0.5,
    }
    return Plan(**(defaults | changes))  # type: ignore[arg-type]


def readings(signal: np.ndarray, control: np.ndarray | None = None, rate_hz: float = RATE_HZ) -> Readings:
    """Readings of these volts, one every 1/rate_hz."""
    rows = np.zeros(len(signal), READING)
    rows["ticks"] = np.rint(np.arange(len(signal)) * 1e6 / rate_hz)
    rows["seq"] = np.arange(len(signal))
    rows["signal_lit"] = np.rint(np.asarray(signal) * 1e9 / NANO_UNITS)
    rows["control_lit"] = np.rint(np.asarray(0.8 * signal if control is None else control) * 1e9 / NANO_UNITS)
    return rows


def noise(seconds: float, seed: int = 1, level: float = 1.0, sd: float = 0.005) -> np.ndarray:
    """A steady level with white noise, in volts."""
    return level * (1 + sd * np.random.default_rng(seed).standard_normal(round(seconds * RATE_HZ)))


def with_events(signal: np.ndarray, at_s: list[float], size: float = 0.1, lasts_s: float = 0.5) -> np.ndarray:
    """The signal with square events of this relative size added."""
    signal = signal.copy()
    for start in at_s:
        signal[round(start * RATE_HZ) : round((start + lasts_s) * RATE_HZ)] *= 1 + size
    return signal
