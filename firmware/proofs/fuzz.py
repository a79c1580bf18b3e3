"""Both fuzz targets, half of the time each; prints what was run, and what broke.

    python fuzz.py BUILD SECONDS

Inputs that found something new are kept in BUILD/corpus, so that the next run goes on from there. Exit 1 if a target
aborted; the input that did it is in BUILD.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

LONGEST_INPUT = 600  # bytes
TARGETS = ("fuzz-framing", "fuzz-stimulator")


def fuzz(build: Path, target: str, seconds: int) -> bool:
    """Runs one target; prints a line, or its last words if it aborted. Returns whether it held."""
    corpus = build / "corpus" / target
    corpus.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    options = [f"-max_total_time={seconds}", f"-max_len={LONGEST_INPUT}", "-print_final_stats=1", "-timeout=60"]
    command = [str(build / target), *options, f"-artifact_prefix={build}/{target}-", str(corpus)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603
    runs = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    covered = re.findall(r"cov: (\d+)", done.stderr)
    seconds_taken = time.perf_counter() - began
    print(  # noqa: T201
        f"{target}: {int(runs[1]) if runs else 0:,} runs, {covered[-1] if covered else 0} edges of code covered, "
        f"{seconds_taken:.0f} s: {'nothing broken' if done.returncode == 0 else 'BROKEN'}"
    )
    if done.returncode != 0:
        print(done.stderr[-4000:])  # noqa: T201
    return done.returncode == 0


def main(build: Path, seconds: int) -> int:
    """The exit code."""
    held = [fuzz(build, target, max(1, seconds // len(TARGETS))) for target in TARGETS]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
