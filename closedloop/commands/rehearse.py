"""`closedloop rehearse`: a whole study on virtual animals, in virtual time, before an animal is."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from closedloop.commands import duration_s, quantity_of, show
from closedloop.errors import ConfigError

if TYPE_CHECKING:
    from closedloop.analysis.rehearsal.report import Report
    from closedloop.analysis.rehearsal.script import Script

_OUT = Path("closedloop-rehearsed")
_EFFECT = 0.02  # a part for each second of full light, where neither --effect nor the rig says one


def add(commands: Any) -> None:
    """The command and its options."""
    parser = commands.add_parser(
        "rehearse", help="the whole study on virtual animals, under an assumed effect of light"
    )
    add = parser.add_argument
    add("study", metavar="STUDY", type=Path, help="study file")
    add("--animals", metavar="N", type=int, help="virtual animals, each in every arm (default: as many as the study's)")
    add(
        "--effect",
        metavar="PART",
        action="append",
        default=[],
        help="ASSUMED change of the preference for a chamber by each second of full light in it, such as '2 %%'; tried "
        "in both directions and at none; may be repeated (default: the rig's, or 2 %%)",
    )
    add("--chamber", metavar="NAME", help="its share of the time is the outcome (default: the one that gates light)")
    add("--rig", metavar="RIG", help="a simulated rig in place of the study's")
    add("--anchor", metavar="FILE", type=Path, help="of all virtual animals, in phases that use one")
    add("--duration", metavar="T", help="of every session, in place of the protocols'")
    add("--jobs", metavar="N", type=int, help="threads (default: one for each core)")
    add("--seed", metavar="N", type=int, default=1, help="of everything random (default: %(default)s)")
    add(
        "--out",
        metavar="DIR",
        type=Path,
        default=_OUT,
        help="tables and figure; written over (default: ./%(default)s)",
    )
    add("--json", action="store_true", help="one JSON object on standard output")
    parser.set_defaults(command=_rehearse)


def _rehearse(options: argparse.Namespace) -> int:
    from closedloop import terminal
    from closedloop.analysis.outputs import writable
    from closedloop.analysis.rehearsal import figure, tables
    from closedloop.analysis.rehearsal.report import Report
    from closedloop.analysis.rehearsal.script import read
    from closedloop.analysis.rehearsal.whole import rehearse_study

    _check(options)
    script = read(options.study, options.rig, duration_s(options.duration), options.anchor)
    effects = _effects(options.effect, script)
    chamber = _chamber(options.chamber, script)
    animals = options.animals or len(script.study.animals)
    with writable(options.out):  # found out before the work, not after it
        probe = options.out / ".writable"
        probe.touch()
        probe.unlink()
    with terminal.counting("readings") as bar:
        task = bar.add_task("", total=len(effects) * script.readings(animals))

        def advance(readings: int) -> None:
            bar.advance(task, readings)

        done = rehearse_study(script, animals, effects, options.seed, jobs=options.jobs, advance=advance)
    report = Report(done, chamber)
    written = [*tables.write(report, options.out), *figure.draw(report, options.out)]
    if options.json:
        show(report.as_dict() | {"written": [str(path) for path in written]}, (), as_json=True)
        return 0
    _tables(report)
    show({}, [str(path) for path in written], as_json=False)
    return 0


def _check(options: argparse.Namespace) -> None:
    """What cannot be on the command line, all of it at once."""
    wrong = {
        f"--animals: must be from 2 to 1000 (got {options.animals})": options.animals is not None
        and not 2 <= options.animals <= 1000,
        f"--jobs: must be at least 1 (got {options.jobs})": options.jobs is not None and options.jobs < 1,
        f"--seed: must not be below 0 (got {options.seed})": options.seed < 0,
    }
    if problems := [said for said, so in wrong.items() if so]:
        raise ConfigError(*problems)


def _effects(asked: Sequence[str], script: Script) -> list[float]:
    """Assumed effects: each size in both directions, and none."""
    arena = script.simulation.arena
    if arena is None and not asked:
        return [0.0]
    sizes = [_size(text) for text in asked] or [abs(arena.effect) if arena and arena.effect else _EFFECT]
    return list(dict.fromkeys([effect for size in sizes for effect in (size, -size) if size > 0] + [0.0]))


def _size(text: str) -> float:
    try:
        size = abs(quantity_of(text, "Fraction"))
    except ValueError as error:
        raise ConfigError(f"--effect: {error} (got {text}); write for example --effect '2 %'") from error
    if size > 0.9:
        raise ConfigError(f"--effect: must be at most 90 % for each second of full light (got {text})")
    return size


def _chamber(asked: str | None, script: Script) -> str | None:
    from closedloop.analysis.rehearsal.report import outcome_chamber

    gated = [gate.input for protocol in script.protocols.values() for gate in protocol.gates if gate.when == "high"]
    return outcome_chamber(script.simulation.arena, gated, asked)


def _tables(report: Report) -> None:
    """Doses, triggers and preference, then power."""
    from rich.console import Console

    from closedloop.analysis.rehearsal.report import ASSUMED

    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 160)
    whole = report.whole
    about = f"{whole.script.study.name}: {whole.animals} virtual animals, each in every arm, seed {whole.seed}"
    console.print(about, markup=False)
    console.print(ASSUMED, markup=False)
    console.print()
    _rows(report, console)
    if report.idle:
        said = "no train was planned in any arm, so nothing is compared: sessions too short, or a detector too strict"
        console.print(f"  WARNING {', '.join(report.idle)}: {said}", markup=False, style="bold")
    if report.contrasts:
        console.print()
        _power(report, console)


def _rows(report: Report, console: Any) -> None:
    """One row for each assumed effect, phase and arm; where no light fell it stands for all effects."""
    from rich.table import Table

    from closedloop.analysis.rehearsal.figure import percent

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("effect", "phase", "arm", "state"):
        table.add_column(name, no_wrap=name != "phase")
    for name in ("detected", "planned", "trains", "light", "energy", "match", "gate shut", _liked(report)):
        table.add_column(name, justify="right", no_wrap=True)
    for row in report.rows:
        dark = row.trains == 0
        if dark and row.effect != report.whole.effects[0]:
            continue
        table.add_row(
            "any" if dark else percent(row.effect), row.phase, row.arm, row.state,
            f"{row.detections_per_min:.2f} /min", f"{row.planned:.1f}", f"{row.trains:.1f}", f"{row.on_s:.1f} s",
            "-" if row.energy_mj is None else f"{row.energy_mj:.0f} mJ",
            _matched(row.planned_match), _percent(row.refused_gate), _preferred(row),
        )  # fmt: skip
    console.print(table, markup=False)
    console.print(
        "  a session, means over animals; planned: decided on, lit or dark by the arm; match: planned against the "
        "closed-loop arm's, ! where more than 5 % apart",
        markup=False,
        style="dim",
    )


def _liked(report: Report) -> str:
    return f"in {report.chamber}" if report.chamber else "preference"


def _matched(part: float | None) -> str:
    from closedloop.analysis.rehearsal.report import MATCH

    return _percent(part) + (" !" if part is not None and abs(part - 1) > MATCH else "")


def _percent(part: float | None) -> str:
    return "-" if part is None else f"{100 * part:.0f} %"


def _preferred(row: Any) -> str:
    if row.preference is None:
        return "-"
    spread = "" if row.preference_sd is None else f" (SD {100 * row.preference_sd:.0f})"
    return f"{100 * row.preference:.1f} %{spread}"


def _power(report: Report, console: Any) -> None:
    from rich.table import Table

    from closedloop.analysis.rehearsal.figure import percent
    from closedloop.analysis.rehearsal.power import STUDIES, P

    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    for name in ("effect", "phase", "contrast"):
        table.add_column(name, no_wrap=name != "phase")
    table.add_column("difference", justify="right")
    for size in report.contrasts[0].power:
        table.add_column(f"n={size.animals}", justify="right", no_wrap=True)
    for one in report.contrasts:
        difference = "-" if one.difference is None else f"{100 * one.difference:+.1f}"
        shares = (f"{100 * size.share:.0f} %" for size in one.power)
        table.add_row(percent(one.effect), one.phase, f"{one.arm} - {one.against}", difference, *shares)
    console.print(
        f"Power: part of {STUDIES} simulated studies with p < {P:g} (Welch), n animals per arm; with effect none these "
        "are false positives",
        markup=False,
    )
    console.print(table, markup=False)
