"""How long tuning takes: settings times hours of recording, on all cores and on one, and whether the results agree.

    python benchmarks/tune.py                 about 15 s
    python benchmarks/tune.py --long --json   200 settings of 10 h at 130 Hz, as one JSON object

What is timed is all that `closedloop tune` does after it has read its recordings: settings made from the protocol,
machine code, runs, scores, choice. Each run is the whole loop: counts, quality, features, detector, policy, limits.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from typing import Any

from machine import machine, say

from closedloop import limits
from closedloop.analysis import injection, workers
from closedloop.analysis.tuning import choice, grid
from closedloop.analysis.tuning.material import Material
from closedloop.protocol import load_protocol
from closedloop.simulation.animal import Animal

PROTOCOL, RATE_HZ, WANTED_PER_H, WINDOW_S = "withdrawal_inhibition", 130.0, 60.0, 1.0
SHORT, LONG = (40, 2.0), (200, 10.0)  # settings, hours
AIM_S = 60.0  # of the long form, on two cores
MEASURED = (
    "seconds from the protocol's text to the chosen setting, compilation in them; cpu_s: of all threads "
    "together, which other programs on the computer change little. The recording, a virtual animal with known events, "
    "is made before. settings: thresholds and low-pass cut-offs. one_thread_s: a few of the settings on "
    "one thread, and on all, for the speed-up. same: whether one thread and all gave the same numbers."
)


def settings(count: int) -> dict[str, tuple[str, ...]]:
    """So many combinations of threshold and cut-off."""
    return {
        "detector.threshold": grid.values(f"2.5:9:{count // 4}"),
        "features.1.cutoff": ("3 Hz", "5 Hz", "8 Hz", "10 Hz"),
    }


def tune(material: Material, count: int, jobs: int) -> tuple[float, choice.Tuned]:
    """Seconds, and what came of it."""
    began = time.perf_counter()
    tried = grid.grid(PROTOCOL, [], settings(count)).settings
    found = choice.tune(tried, [material], [], WANTED_PER_H, WINDOW_S, lambda runs: workers.detect_here(runs, jobs))
    return time.perf_counter() - began, found


def measure(count: int, hours: float, *, long: bool) -> dict[str, Any]:
    """All settings on all cores; a few of them on one thread and on all."""
    stream, onsets = injection.virtual(Animal.model_validate({"preset": "withdrawal"}), hours, RATE_HZ, 1)
    protocol = load_protocol(PROTOCOL)
    material = Material("virtual animal", stream, onsets, limits.effective(protocol.limits, lease_s=0.5), None)
    cpu_s = time.process_time()
    took_s, found = tune(material, count, workers.cores())
    cpu_s = time.process_time() - cpu_s
    few = max(8, count // 20 // 4 * 4)
    one_s, by_one = tune(material, few, 1)
    all_s, by_all = tune(material, few, workers.cores())
    readings = len(stream.readings) * count
    return {
        "settings": count,
        "hours": hours,
        "rate_hz": RATE_HZ,
        "took_s": round(took_s, 2),
        "cpu_s": round(cpu_s, 2),
        "readings_per_s": round(readings / took_s),
        "aim_s": AIM_S if long else None,
        "aim_met": took_s < AIM_S if long else None,
        "few_settings": few,
        "one_thread_s": round(one_s, 2),
        "all_threads_s": round(all_s, 2),
        "threads": workers.cores(),
        "speed_up": round(one_s / all_s, 2),
        "same": [one.as_dict() for one in by_one.scores] == [one.as_dict() for one in by_all.scores],
        "chosen": found.settings[found.chosen].name,
        "held_out": found.expected.as_dict(),
    }


def table(result: dict[str, Any]) -> Iterator[str]:
    """For people."""
    yield f"{result['settings']} settings x {result['hours']:g} h at {result['rate_hz']:g} Hz"
    yield f"  {result['took_s']} s, {result['cpu_s']} s of processor"
    yield f"  {result['readings_per_s'] / 1e6:.1f} million readings/s on {result['threads']} threads"
    few, one, many = result["few_settings"], result["one_thread_s"], result["all_threads_s"]
    yield f"  {few} of them: one thread {one} s, all {many} s, {result['speed_up']} times; same: {result['same']}"
    held = result["held_out"]
    yield f"  chosen {result['chosen']}; held out {held['false_alarms_per_h']:.1f} /h, {100 * held['detected']:.1f} %"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--long", action="store_true", help="200 settings, 10 h")
    parser.add_argument("--settings", type=int, help="how many; rounded down to a multiple of four")
    parser.add_argument("--hours", type=float, help="of recording")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    asked = parser.parse_args()
    count, hours = LONG if asked.long else SHORT
    long = asked.long and not asked.settings and not asked.hours
    result = {
        "benchmark": "tune",
        "form": "long" if asked.long else "short",
        "machine": machine(),
        "measured": MEASURED,
        **measure((asked.settings or count) // 4 * 4, asked.hours or hours, long=long),
    }
    say(result, table(result), as_json=asked.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
