"""How long a dress rehearsal takes: a whole study on virtual animals, and whether one thread and all agree.

    python benchmarks/rehearse.py                 about 10 s: 4 animals, 3 sessions of 10 min
    python benchmarks/rehearse.py --long --json   12 animals, 6 sessions of 30 min, as one JSON object

What is timed is all that `closedloop rehearse` does for one assumed effect, after the study has been read: machine
code, and every animal, phase and arm closed over its light, reading by reading in virtual time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from machine import machine, say

from closedloop.analysis import workers
from closedloop.analysis.rehearsal.report import Report
from closedloop.analysis.rehearsal.script import Script, read
from closedloop.analysis.rehearsal.whole import Whole, rehearse_study

SHORT, LONG = (4, 3, 600.0), (12, 6, 1800.0)  # animals, sessions, seconds of each
EFFECT, SEED = 0.02, 1
AIM_S = 120.0  # of the long form, on two cores
MEASURED = (
    "seconds from the study's parts to all sessions rehearsed, compilation in them; cpu_s: of all threads together, "
    "which other programs on the computer change little. sessions: animals times days times arms: each virtual animal "
    "goes through every arm, so there are more than animals times days. one_thread_s, all_threads_s: the same again, "
    "compiled already. same: whether one thread and all gave the same report, to the last digit."
)
_STUDY = """
version: 1
name: rehearsal
rig: simulated_cpp
animals:
  - {{id: M01, start: 2026-03-02}}
  - {{id: M02, start: 2026-03-02}}
arms:
  - {{name: lit, policy: {{kind: closed_loop, refractory: 5 s}}}}
  - {{name: dark, policy: {{kind: sham, refractory: 5 s}}}}
phases:
  - {{name: baseline, days: {before}, protocol: withdrawal_sham, anchor: none}}
  - {{name: withdrawal, days: {after}, protocol: withdrawal_inhibition, arms: yes, anchor: none}}
"""


def study(sessions: int, lasts_s: float) -> Script:
    """A third of the sessions without arms, the others with two."""
    before = max(1, sessions // 3)
    days = {"before": [day - before for day in range(before)], "after": list(range(1, sessions - before + 1))}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.yaml"
        path.write_text(_STUDY.format(**days), encoding="utf-8")
        return read(path, duration_s=lasts_s)


def rehearsed(script: Script, animals: int, jobs: int) -> tuple[float, float, Whole]:
    """Seconds, processor seconds, and what came of it."""
    began, cpu_s = time.perf_counter(), time.process_time()
    whole = rehearse_study(script, animals, [EFFECT], SEED, jobs=jobs)
    return time.perf_counter() - began, time.process_time() - cpu_s, whole


def measure(animals: int, sessions: int, lasts_s: float, *, long: bool) -> dict[str, Any]:
    """All threads with compilation, then one thread and all without."""
    script = study(sessions, lasts_s)
    took_s, cpu_s, _ = rehearsed(script, animals, workers.cores())
    one_s, _, by_one = rehearsed(script, animals, 1)
    all_s, _, by_all = rehearsed(script, animals, workers.cores())
    readings = script.readings(animals)
    reports = [Report(whole, "paired").as_dict() for whole in (by_one, by_all)]
    return {
        "animals": animals,
        "days": sessions,
        "session_s": lasts_s,
        "sessions": len(by_all.sessions),
        "rate_hz": script.rate_hz,
        "readings": readings,
        "took_s": round(took_s, 2),
        "cpu_s": round(cpu_s, 2),
        "times_real_time": round(len(by_all.sessions) * lasts_s / took_s),
        "aim_s": AIM_S if long else None,
        "aim_met": took_s < AIM_S if long else None,
        "one_thread_s": round(one_s, 2),
        "all_threads_s": round(all_s, 2),
        "threads": workers.cores(),
        "speed_up": round(one_s / all_s, 2),
        "readings_per_s": round(readings / all_s),
        "same": reports[0] == reports[1],
    }


def table(result: dict[str, Any]) -> Iterator[str]:
    """For people."""
    yield f"{result['animals']} animals x {result['days']} days x {result['session_s'] / 60:g} min, two arms"
    yield f"  {result['sessions']} sessions, {result['readings'] / 1e6:.1f} million readings"
    yield f"  {result['took_s']} s with compilation, {result['times_real_time']} times real time"
    one, many = result["one_thread_s"], result["all_threads_s"]
    yield f"  compiled already: one thread {one} s, all {many} s ({result['speed_up']} times); same: {result['same']}"
    yield f"  {result['readings_per_s'] / 1e6:.2f} million readings/s on {result['threads']} threads"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--long", action="store_true", help="12 animals, 6 sessions of 30 min")
    parser.add_argument("--animals", metavar="N", type=int, help="other than the form's")
    parser.add_argument("--minutes", metavar="M", type=float, help="of a session, other than the form's")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    asked = parser.parse_args()
    animals, sessions, lasts_s = LONG if asked.long else SHORT
    animals, lasts_s = asked.animals or animals, lasts_s if asked.minutes is None else 60 * asked.minutes
    result = {
        "benchmark": "rehearse",
        "form": "long" if asked.long else "short",
        "machine": machine(),
        "measured": MEASURED,
        **measure(animals, sessions, lasts_s, long=asked.long),
    }
    say(result, table(result), as_json=asked.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
