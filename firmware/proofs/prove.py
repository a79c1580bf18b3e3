"""The interlock under Frama-C's WP: every promise of contracts.h, with no overflow and no stray access. Prints N of N.

    python prove.py BUILD                    integers of 16 bits, as on the boards
    python prove.py BUILD --machdep x86_64   as on this computer
    python prove.py BUILD --short            only the calls that take seconds

First the lemmas about sums, by the inductions in scripts/; then the interlock, which only uses them. The provers'
answers are in BUILD/prove.txt. Exit 1 unless every goal is proved.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
CORE = HERE.parent / "core"
LONGEST_S = 180  # for one goal and one prover; on a quiet computer the hardest takes about a minute


SHORT = (
    "least,less,least16,interlock_due,interlock_heartbeat,interlock_arm,interlock_ready,interlock_fall,interlock_end"
)


def command(machdep: str, *more: str) -> list[str]:
    """Frama-C, without the file it is to look at."""
    flags = f"-I{CORE} -I{HERE} {' '.join(more)}"
    return [
        "frama-c",
        *("-machdep", machdep, f"-cpp-extra-args={flags}"),
        *("-wp", "-wp-rte", "-warn-unsigned-overflow", "-warn-unsigned-downcast"),
        *("-wp-prover", "script,cvc4,z3", "-wp-session", str(HERE / "scripts"), "-wp-cache", "none"),
        *("-wp-timeout", str(LONGEST_S), "-wp-par", str(os.cpu_count() or 1)),
    ]


def prove(name: str, words: list[str], report: Path) -> tuple[int, int]:
    """Proved goals and all goals of one run."""
    began = time.perf_counter()
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)  # noqa: S603
    with report.open("a") as file:
        file.write(f"{' '.join(words)}\n{done.stdout}\n")
    found = re.search(r"Proved goals: *(\d+) / (\d+)", done.stdout)
    proved, goals = (int(found[1]), int(found[2])) if found and done.returncode == 0 else (0, 1)
    print(f"{name}: {proved}/{goals} goals proved, {time.perf_counter() - began:.0f} s", flush=True)  # noqa: T201
    for line in re.findall(r"\[(?:Failed|Timeout)\] Goal (\S+)", done.stdout):
        print(f"    not proved: {line}")  # noqa: T201
    return proved, goals


def find_provers(build: Path) -> None:
    """Tells Why3 which provers there are, in a file of our own."""
    os.environ["WHY3CONFIG"] = str((build / "why3.conf").resolve())
    subprocess.run(["why3", "config", "detect"], capture_output=True, check=True)  # noqa: S607


def main(build: Path, machdep: str, functions: str) -> int:
    """The exit code."""
    report = build / "prove.txt"
    report.write_text("")
    find_provers(build)
    lemmas = command(machdep, "-DSTEPS")
    interlock = command(machdep, f"-include {HERE / 'contracts.h'}")
    interlock += ["-wp-fct", functions] if functions else []
    runs = [
        prove("sums", [*lemmas, str(HERE / "totals.c")], report),
        prove("interlock", [*interlock, "-wp-prop=-@lemma", str(CORE / "interlock.c")], report),
    ]
    return 0 if all(proved == goals for proved, goals in runs) else 1


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("build", type=Path)
    asked.add_argument("--machdep", default="gcc_x86_16")
    asked.add_argument("--short", action="store_true")
    arguments = asked.parse_args()
    sys.exit(main(arguments.build, arguments.machdep, SHORT if arguments.short else ""))
