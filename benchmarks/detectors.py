"""How good the detectors are, section by section, through the real loop: delay and power at equal false alarms.

    python benchmarks/detectors.py                       every section in its short form
    python benchmarks/detectors.py --only noise          one of them; may be repeated
    python benchmarks/detectors.py --long --json         figures worth quoting, as one JSON object

A section is a module beside this one, `detection_SECTION.py`, with

    NAME, TITLE                                   of the section, and what it asks
    run(long, seed) -> dict                       the figures, all of which JSON can hold
    lines(result) -> Iterator[str]                the same for people

and shows a bar with `progress.each` where it takes longer than a few seconds. All numbers are drawn from `--seed`, so
that the same command gives the same figures on every computer. A section of which the module is missing is passed
over, and the exit status says so at the end.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from machine import machine, say

SECTIONS = ("noise", "real", "states", "stress")
MEASURED = (
    "virtual time: readings go through Loop.run, as in replay. Thresholds are set on recordings apart from those that "
    "are scored. Intervals are 95 %; those of counts are exact (Poisson)."
)


def section(name: str) -> Any | None:
    """The module of a section; None if there is none."""
    module = f"detection_{name}"
    return importlib.import_module(module) if importlib.util.find_spec(module) else None


def run(name: str, *, long: bool, seed: int) -> dict[str, Any]:
    """The figures of one section, with its title and how long it took."""
    made = section(name)
    if made is None:
        return {"missing": f"detection_{name}.py"}
    began = time.perf_counter()
    found: dict[str, Any] = made.run(long, seed)
    return {"title": made.TITLE} | found | {"took_s": round(time.perf_counter() - began, 1)}


def lines(result: dict[str, Any]) -> Iterator[str]:
    """All sections for people."""
    for name, found in result["sections"].items():
        made = section(name)
        if made is None or "missing" in found:
            yield f"{name}: missing ({found.get('missing')})"
            continue
        yield f"{name}: {made.TITLE} ({found['took_s']:g} s)"
        yield from (f"  {line}" for line in made.lines(found))
        yield ""


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--long", action="store_true", help="many more virtual hours: narrower intervals")
    parser.add_argument("--only", action="append", choices=SECTIONS, metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--seed", type=int, default=1, help="of all that is drawn (default 1)")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    asked = parser.parse_args()
    names = [name for name in SECTIONS if name in (asked.only or SECTIONS)]
    result = {
        "benchmark": "detectors",
        "form": "long" if asked.long else "short",
        "seed": asked.seed,
        "machine": machine(),
        "measured": MEASURED,
        "sections": {name: run(name, long=asked.long, seed=asked.seed) for name in names},
    }
    say(result, lines(result), as_json=asked.json)
    missing = [found["missing"] for found in result["sections"].values() if "missing" in found]
    if missing:
        sys.stderr.write(f"{Path(__file__).name}: without {', '.join(missing)}\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
