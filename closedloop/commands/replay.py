"""`closedloop replay`: the same loop over recordings, as fast as it goes. Without --out no step is kept."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from closedloop.commands import add_set, configured, show
from closedloop.errors import ConfigError

if TYPE_CHECKING:
    from closedloop.protocol import Protocol


def add(commands: Any) -> None:
    """The command and its options."""
    parser = commands.add_parser("replay", help="run the same loop over recordings, as fast as it goes")
    add = parser.add_argument
    add("recordings", metavar="RECORDING", type=Path, nargs="+")
    add("--protocol", metavar="PROTOCOL", required=True)
    add("--seed", metavar="N", type=int, help="default: the recording's own, or 0")
    add("--out", metavar="DIR", type=Path, help="write samples.csv and events.csv here; of several, a folder for each")
    add("--jobs", metavar="N", type=int, help="recordings at once (default: one for each core)")
    add("--json", action="store_true", help="one JSON object on standard output")
    add_set(parser)
    parser.set_defaults(command=_replay)


def _replay(options: argparse.Namespace) -> int:
    from closedloop import terminal

    if options.jobs is not None and options.jobs < 1:
        raise ConfigError(f"--jobs: must be at least 1 (got {options.jobs})")
    protocol, _ = configured(options)
    results = _exported(options, protocol) if options.out else _counted(options, protocol)
    if len(results) == 1:
        show(results[0], terminal.outcome(results[0]), as_json=options.json)
        return 0
    replays = [{"recording": str(path), **result} for path, result in zip(options.recordings, results, strict=True)]
    show({"replays": replays}, [_line(one) for one in replays], as_json=options.json)
    return 0


def _line(one: dict[str, Any]) -> str:
    """One replay of several."""
    decisions = ", ".join(f"{count} {kind}" for kind, count in one["decisions"].items()) or "no decisions"
    refused = sum(one["refused"].values())
    return (
        f"{one['recording']}: {one['duration_s']:.1f} s, {one['readings']['received']} readings, "
        f"{one['detections']} detections, {decisions}, {refused} refused"
    )


def _counted(options: argparse.Namespace, protocol: Protocol) -> list[dict[str, Any]]:
    """Summaries, several recordings at once; memory does not grow with the steps."""
    from closedloop import terminal
    from closedloop.analysis.replay import open_recording, summary_of
    from closedloop.analysis.workers import cores, everywhere

    first = open_recording(options.recordings[0])
    first.steps(protocol)[0].compile()  # here, or every thread would compile the same
    with terminal.counting("replay") as bar:
        task = bar.add_task("", total=None)
        lengths: dict[int, int] = {}

        def one(at: int, count: Callable[[int], None]) -> dict[str, Any]:
            opened = open_recording(options.recordings[at]) if at else first
            lengths[at] = len(opened.stream.readings)
            return summary_of(opened, protocol, options.seed, lambda readings, _: count(readings))

        def advance(readings: int) -> None:
            known = len(lengths) == len(options.recordings)
            bar.update(task, advance=readings, total=sum(lengths.values()) if known else None)

        return everywhere(one, range(len(options.recordings)), options.jobs or cores(), advance)


def _exported(options: argparse.Namespace, protocol: Protocol) -> list[dict[str, Any]]:
    """Summaries, with both files of each recording written; one recording after the other."""
    from closedloop import terminal
    from closedloop.analysis import export_csv
    from closedloop.analysis.replay import replay

    results = []
    for path, out in zip(options.recordings, _folders(options.out, options.recordings), strict=True):
        with terminal.counting("replay") as bar:
            task = bar.add_task("", total=None)
            replayed = replay(path, protocol, options.seed, _advancing(bar, task))
        with terminal.counting("samples") as bar:
            task = bar.add_task("", total=len(replayed.steps))
            export_csv.export_replay(replayed, out, _counting(bar, task))
        results.append(replayed.summary())
    return results


def _advancing(bar: Any, task: Any) -> Callable[[int, int], None]:
    return lambda n, of: bar.update(task, advance=n, total=of)


def _counting(bar: Any, task: Any) -> Callable[[int], None]:
    return lambda n: bar.advance(task, n)


def _folders(out: Path, recordings: list[Path]) -> list[Path]:
    """Where each one's files go; of several with one name, numbered from the second on."""
    if len(recordings) == 1:
        return [out]
    taken: list[str] = []
    for path in recordings:
        name = path.resolve().stem if path.is_file() else path.resolve().name
        free = (name if at == 1 else f"{name}_{at}" for at in range(1, len(recordings) + 1))
        taken.append(next(one for one in free if one not in taken))
    return [out / name for name in taken]
