"""Every mutant of the interlock and the train must be caught by the search, or be harmless for the reason it gives.

    python mutants.py BUILD            the small searches: a minute
    python mutants.py BUILD --long     and the larger one, for those that the small ones let pass

Prints a table; exit 1 if a mutant survives that should not, or is caught that was called harmless.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from mutant_table import MUTANTS, Mutant

HERE = Path(__file__).parent
CORE = HERE.parent / "core"
CC = ("cc", "-std=c99", "-O1", "-w")
LONGEST_S = 300.0
PROOF_STEPS = re.compile(r"^ *(?://@[^\n]*|/\*@.*?\*/)\n", re.MULTILINE | re.DOTALL)
SMALL, LARGE = (1, 2), (1, 2, 3)


class StaleError(Exception):
    """The table names a line that the source no longer has."""


def mutated(mutant: Mutant) -> str:
    """The source with the mistake in it.

    Raises:
        StaleError: the place is gone; the table has to follow the source.
    """
    source = PROOF_STEPS.sub("", (CORE / mutant.file).read_text())
    parts = source.split(mutant.old)
    if len(parts) < mutant.nth + 2:
        raise StaleError(f"{mutant.file} has no {mutant.old!r}")
    head, tail = mutant.old.join(parts[: mutant.nth + 1]), mutant.old.join(parts[mutant.nth + 1 :])
    return head + mutant.new + tail


def run(command: list[str]) -> tuple[bool, str]:
    """Whether a check passed, and its first line. One that never ends has noticed something too."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        return False, "it does not end"
    words = (done.stdout + done.stderr).strip().splitlines()
    return done.returncode == 0, words[0] if words else f"exit {done.returncode}"


def compiled(folder: Path, name: str, sources: list[Path], *flags: str) -> list[str]:
    """The command that runs a check built from these sources."""
    program = folder / name
    command = [*CC, *flags, "-I", str(CORE), "-I", str(HERE), *map(str, sources), "-o", str(program)]
    subprocess.run(command, check=True)  # noqa: S603
    return [str(program)]


def checks(mutant: Mutant, folder: Path, scales: tuple[int, ...]) -> list[tuple[str, list[str]]]:
    """The checks that this mutant has to pass, by name."""
    source = folder / mutant.file
    source.write_text(mutated(mutant))
    if mutant.file == "train.c":
        return [("trains", compiled(folder, "trains", [HERE / "train_cases.c", source]))]
    rest = [HERE / "search.c", HERE / "monitor.c", HERE / "states.c", source]
    scaled = ("-include", str(HERE / "scaled.h"), "-DMORE_LIMITS")
    return [(f"search {s}", compiled(folder, f"search{s}", rest, *scaled, f"-DSCALE={s}")) for s in scales]


def verdict(mutant: Mutant, folder: Path, scales: tuple[int, ...]) -> str:
    """Who caught it and how, or nothing."""
    for name, command in checks(mutant, folder, scales):
        passed, words = run(command)
        if not passed:
            return f"{name}: {words}"
    return ""


def one_line(text: str) -> str:
    """Source code for a table."""
    return " ".join(text.split()) or "(nothing)"


def main(build: Path, scales: tuple[int, ...]) -> int:
    """Prints the table; returns the exit code."""
    began = time.perf_counter()
    folder = build / "mutants"
    folder.mkdir(parents=True, exist_ok=True)
    wrong = 0
    for number, mutant in enumerate(MUTANTS, 1):
        caught = verdict(mutant, folder, scales)
        as_said = bool(caught) != bool(mutant.harmless)
        wrong += not as_said
        says = caught or (f"harmless: {mutant.harmless}" if mutant.harmless else "SURVIVED")
        print(f"{number:3} {mutant.file}: {one_line(mutant.old)}  ->  {one_line(mutant.new)}")  # noqa: T201
        print(f"    {'' if as_said else 'WRONG: '}{says}")  # noqa: T201
    harmless = sum(bool(mutant.harmless) for mutant in MUTANTS)
    seconds = time.perf_counter() - began
    print(f"{len(MUTANTS)} mutants, {harmless} of them harmless, {wrong} wrong; {seconds:.0f} s")  # noqa: T201
    shutil.rmtree(folder)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), LARGE if "--long" in sys.argv else SMALL))
