"""Loop throughput: readings a second on one core, against the same filters in scipy, run by run in turn.

    python benchmarks/replay.py                 about 15 s
    python benchmarks/replay.py --long --json   more readings and runs, as one JSON object

The loop does all that a session does with a reading: counts to numbers, quality, feature, score, crossing, learning,
policy and limits, one step of output each. scipy does the filters alone, on arrays of floats made beforehand. Then the
same with the bank of matched filters, and how much memory a recording takes of which no step is kept.
"""

from __future__ import annotations

import argparse
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy
from machine import machine, say
from scipy.signal import butter, lfilter, sosfilt

from closedloop import detectors, limits
from closedloop.analysis import workers
from closedloop.analysis.detection import BATCH, detect
from closedloop.changes import rerun
from closedloop.detectors import Detector
from closedloop.detectors.threshold import Threshold
from closedloop.features import Feature
from closedloop.features.dff import Dff
from closedloop.features.isosbestic import Isosbestic
from closedloop.features.lowpass import Lowpass
from closedloop.loop import Loop, Plan
from closedloop.model import kinds
from closedloop.policies.closed_loop import ClosedLoop
from closedloop.quality import Quality
from closedloop.readings import READING, Readings, Stream
from closedloop.steps import STEP
from closedloop.train import Train

RATE_HZ, NANO_UNITS = 130.0, 10_000
BASELINE_S, EPOCH_S, CUTOFF_HZ = 60.0, 120.0, 5.0
SHORT, LONG = (500_000, 7), (5_000_000, 15)  # readings, runs
SINGLE = 20_000
AIM, BANK_AIM = 20_000_000, 2_000_000  # readings a second; with the bank of matched filters
MEASURED = (
    "readings a second on one core, as a replay takes them: 20,000 a call, the steps of each call in the place of the "
    "last's. loop: Loop.run, the whole chain. scipy: lfilter and "
    "sosfilt for the running means and the biquad of the same chain and nothing else, floats ready. The two take "
    "turns; ratio is loop over scipy, of the medians. one_reading_us: one call of Loop.run with one reading. "
    "matched_filter: dF/F, the bank, policy and limits. memory: most that is allocated while going through a recording."
)

Floats = npt.NDArray[np.float64]


def readings(count: int) -> tuple[Readings, Floats, Floats]:
    """Noise about a level with slow motion in both channels; also as volts, signal and control."""
    dice = np.random.default_rng(1)
    motion = np.sin(np.arange(count) * (2 * np.pi / (7 * RATE_HZ)))
    rows = np.zeros(count, READING)
    rows["ticks"] = np.rint(np.arange(count) * (1e6 / RATE_HZ))
    rows["seq"] = np.arange(count)
    for name, level in (("signal", 100_000), ("control", 80_000)):
        rows[f"{name}_lit"] = level * (1 + 0.005 * dice.standard_normal(count) + 0.004 * motion)
    scale = NANO_UNITS / 1e9
    return rows, rows["signal_lit"] * scale, rows["control_lit"] * scale


THRESHOLD = Threshold(threshold=4.0, release=2.0, minimum_duration=0.05, window=60.0)


def plan(*features: Feature, detector: Detector = THRESHOLD) -> Plan:
    """The session of `withdrawal_inhibition`, with these features and this detector."""
    return Plan(
        features=features,
        detector=detector,
        policy=ClosedLoop(refractory=5.0),
        quality=Quality(),
        train=Train(on=0.5),
        level=65_535,
        limits=limits.effective(lease_s=0.25),
        warm_up_s=300.0,
        recovery_s=0.5,
    )


def running_mean(values: Floats, time_constant_s: float) -> Floats:
    """Exponential, started at the first value."""
    alpha = 1 / (time_constant_s * RATE_HZ)
    out, _ = lfilter([alpha], [1, alpha - 1], values, zi=[values[0] * (1 - alpha)])
    return out  # type: ignore[no-any-return]


def scipy_dff(signal: Floats, control: Floats) -> Floats:
    """Running baseline, dF/F, biquad."""
    del control
    baseline = running_mean(signal, BASELINE_S)
    return sosfilt(_SOS, (signal - baseline) / baseline)  # type: ignore[no-any-return]


def scipy_isosbestic(signal: Floats, control: Floats) -> Floats:
    """Two running baselines, running covariance and variance, dF/F of what the slope does not explain, biquad."""
    baseline, control_baseline = running_mean(signal, BASELINE_S), running_mean(control, BASELINE_S)
    ds, dc = signal - baseline, control - control_baseline
    slope = running_mean(ds * dc, EPOCH_S) / (running_mean(dc * dc, EPOCH_S) + 1e-30)
    expected = baseline + slope * dc
    return sosfilt(_SOS, (signal - expected) / expected)  # type: ignore[no-any-return]


_SOS = butter(2, CUTOFF_HZ, fs=RATE_HZ, output="sos")
CHAINS: dict[str, tuple[Feature, Callable[[Floats, Floats], Floats]]] = {
    "dff": (Dff(baseline=BASELINE_S), scipy_dff),
    "isosbestic": (Isosbestic(mode="adaptive", baseline=BASELINE_S, epoch=EPOCH_S), scipy_isosbestic),
}


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def through(loop: Loop, rows: Readings) -> None:
    """All readings through a loop, as a replay does it."""
    for _ in rerun(loop, rows, (), BATCH):
        pass


def measure(name: str, count: int, runs: int) -> dict[str, Any]:
    """One chain: loop and scipy in turn, so many runs of so many readings."""
    feature, by_scipy = CHAINS[name]
    made = plan(feature, Lowpass(cutoff=CUTOFF_HZ))
    rows, signal, control = readings(count)
    fresh = [Loop(made, rate_hz=RATE_HZ, nano_units=NANO_UNITS) for _ in range(runs)]
    fresh[0].compile()
    loop_s, scipy_s = [], []
    for loop in fresh:
        loop_s.append(_seconds(lambda loop=loop: through(loop, rows)))  # type: ignore[misc]
        scipy_s.append(_seconds(lambda: by_scipy(signal, control)))
    loop_rate, scipy_rate = _rates(count, loop_s), _rates(count, scipy_s)
    return {
        "chain": f"{name}+lowpass+threshold+closed_loop",
        "readings": count,
        "runs": runs,
        "loop_per_s": loop_rate,
        "scipy_per_s": scipy_rate,
        "ratio": round(loop_rate["median"] / scipy_rate["median"], 2),
        "aim_met": loop_rate["best"] >= AIM,
        "one_reading_us": one_reading(made, rows),
        "same": agreement(made, rows, by_scipy(signal, control)),
    }


def matched_filter(count: int, runs: int) -> dict[str, Any]:
    """The bank of matched filters on dF/F; says why where it cannot be run."""
    kind: Any = kinds(detectors).get("matched_filter")
    if kind is None:
        return {"skipped": "there is no detector of the kind matched_filter"}
    detector = kind()
    if detector.needs_anchor:
        return {"skipped": "the detector matched_filter needs an anchor"}
    rows, _, _ = readings(count)
    made = plan(Dff(baseline=BASELINE_S), detector=detector)
    fresh = [Loop(made, rate_hz=RATE_HZ, nano_units=NANO_UNITS) for _ in range(runs)]
    fresh[0].compile()
    rate = _rates(count, [_seconds(lambda loop=loop: through(loop, rows)) for loop in fresh])  # type: ignore[misc]
    return {
        "chain": "dff+matched_filter+closed_loop",
        "readings": count,
        "runs": runs,
        "loop_per_s": rate,
        "aim_met": rate["best"] >= BANK_AIM,
        "one_reading_us": one_reading(made, rows),
    }


def memory(count: int) -> dict[str, Any]:
    """Megabytes allocated at most while going through so many readings, and through four times as many."""
    made, peaks = plan(Dff(baseline=BASELINE_S)), []
    for times in (1, 4):
        rows, _, _ = readings(count * times)
        stream = Stream(rows, round(RATE_HZ * 1000), NANO_UNITS, "made")
        workers.detect_here([workers.Run(made, stream)], 1)  # compiled from here on
        tracemalloc.start()
        detect(made, stream)
        peaks.append(round(tracemalloc.get_traced_memory()[1] / 1e6, 2))
        tracemalloc.stop()
    steps_mb = round(4 * count * STEP.itemsize / 1e6, 2)
    return {
        "readings": [count, 4 * count],
        "peak_mb": peaks,
        "flat": peaks[1] < 1.1 * peaks[0],
        "its_steps_mb": steps_mb,
    }


def _rates(count: int, seconds: list[float]) -> dict[str, int]:
    return {"best": round(count / min(seconds)), "median": round(count / float(np.median(seconds)))}


def one_reading(of: Plan, rows: Readings) -> dict[str, float]:
    """Microseconds of one call with one reading, p50 and p99."""
    loop = Loop(of, rate_hz=RATE_HZ, nano_units=NANO_UNITS)
    took_us = [1e6 * _seconds(lambda at=at: loop.run(rows[at : at + 1])) for at in range(min(SINGLE, len(rows)))]  # type: ignore[misc]
    return {"p50": round(float(np.median(took_us)), 2), "p99": round(float(np.percentile(took_us, 99)), 2)}


def agreement(of: Plan, rows: Readings, by_scipy: Floats) -> float:
    """Correlation of both features in the last half: whether the two computed the same thing.

    It is not quite 1: the loop's means use past readings alone, and stand still in detections and light.
    """
    steps = Loop(of, rate_hz=RATE_HZ, nano_units=NANO_UNITS).run(rows)
    half = len(rows) // 2
    mine, theirs = steps["feature"][half:], by_scipy[half:]
    mine, theirs = mine - mine.mean(), theirs - theirs.mean()
    return round(float(mine @ theirs / sqrt(mine @ mine * (theirs @ theirs))), 6)


def table(result: dict[str, Any]) -> Iterator[str]:
    """For people."""
    yield f"{'million readings/s':42}{'best':>8}{'median':>8}"
    for chain in result["chains"]:
        for who in ("loop", "scipy"):
            rate = chain[f"{who}_per_s"]
            yield f"{who:6}{chain['chain']:36}{rate['best'] / 1e6:>8.1f}{rate['median'] / 1e6:>8.1f}"
        one = chain["one_reading_us"]
        yield f"{'':6}ratio {chain['ratio']}; one reading {one['p50']} us, p99 {one['p99']}; same {chain['same']}"
    bank, flat = result["matched_filter"], result["memory"]
    if "skipped" in bank:
        yield f"matched_filter: not measured: {bank['skipped']}"
    else:
        rate = bank["loop_per_s"]
        yield f"loop  {bank['chain']:36}{rate['best'] / 1e6:>8.1f}{rate['median'] / 1e6:>8.1f}"
    least, most = flat["peak_mb"]
    yield f"memory: {least} MB for {flat['readings'][0]} readings, {most} MB for {flat['readings'][1]}"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--long", action="store_true", help="more readings and runs")
    parser.add_argument("--readings", type=int, help="readings in one run")
    parser.add_argument("--runs", type=int, help="runs of each")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    asked = parser.parse_args()
    count, runs = LONG if asked.long else SHORT
    result = {
        "benchmark": "replay",
        "form": "long" if asked.long else "short",
        "machine": machine() | {"scipy": scipy.__version__},
        "measured": MEASURED,
        "aim_per_s": AIM,
        "matched_filter_aim_per_s": BANK_AIM,
        "chains": [measure(name, asked.readings or count, asked.runs or runs) for name in CHAINS],
        "matched_filter": matched_filter(asked.readings or count, asked.runs or runs),
        "memory": memory(asked.readings or count),
    }
    say(result, table(result), as_json=asked.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
