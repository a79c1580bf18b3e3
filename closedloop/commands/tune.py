"""`closedloop tune`: detector settings against false alarms and delays, on recordings, injected events or animals."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from closedloop.commands import add_set, show
from closedloop.commands.tune_material import materials, quantity, window_s
from closedloop.errors import ConfigError

if TYPE_CHECKING:
    from closedloop.analysis.detection import Detected
    from closedloop.analysis.tuning.choice import Tuned
    from closedloop.analysis.tuning.report import About
    from closedloop.analysis.workers import Run

_ROWS = 26  # of the table; all are in the CSV
_OUT = Path("closedloop-tuned")


def add(commands: Any) -> None:
    """The command and its options."""
    parser = commands.add_parser("tune", help="detector settings against false alarms an hour and detection delay")
    add = parser.add_argument
    add("recordings", metavar="RECORDING", type=Path, nargs="*", help="session folder, .ppd or .csv")
    add("--protocol", metavar="PROTOCOL", required=True, help="file, or bare name; its settings are varied")
    add(
        "--vary",
        metavar="KEY=VALUES",
        action="append",
        default=[],
        help="values to try, as detector.threshold=3:8:20 (from, to, how many) or detector.window='30 s,60 s'; may be "
        "repeated for all combinations (default: detector.threshold, over what the scores say)",
    )
    add("--false-alarms", metavar="RATE", default="1 /min", help="at most so many (default: '%(default)s')")
    add("--window", metavar="T", default="1 s", help="a later detection is none (default: %(default)s)")
    truth = parser.add_argument_group("what is to be detected", "without any of these: every detection is false")
    add = truth.add_argument
    add("--labels", metavar="FILE.csv", type=Path, action="append", help="onsets (time_s); once for each RECORDING")
    add("--inject", metavar="SIZE", help="put events of this peak dF/F into the recordings, such as '2 %%'")
    add("--inject-rise", metavar="T", default="50 ms", help="their rise (default: %(default)s)")
    add("--inject-decay", metavar="T", default="500 ms", help="their decay (default: %(default)s)")
    add("--inject-every", metavar="T", default="15 s", help="one in so long, on average (default: %(default)s)")
    add("--animal", metavar="PRESET", help="a virtual animal in place of RECORDING")
    add("--hours", metavar="H", type=float, default=2.0, help="of the virtual animal (default: %(default)s)")
    held = parser.add_argument_group("what is held out", "without these: halves of each RECORDING, both ways")
    add = held.add_argument
    add("--score", metavar="RECORDING", type=Path, nargs="+", default=[], help="choose on the others, score on these")
    add("--score-labels", metavar="FILE.csv", type=Path, action="append", help="onsets in them; once for each")
    add = parser.add_argument
    add("--jobs", metavar="N", type=int, help="threads (default: one for each core)")
    add("--scheduler", metavar="ADDRESS", help="spread the work over this Dask cluster, such as tcp://host:8786")
    add(
        "--out",
        metavar="DIR",
        type=Path,
        default=_OUT,
        help="fragment, figure and table; written over (default: ./%(default)s)",
    )
    add("--seed", metavar="N", type=int, default=1, help="of injected events and virtual animal (default: %(default)s)")
    add("--json", action="store_true", help="one JSON object on standard output")
    add_set(parser)
    parser.set_defaults(command=_tune)


def _tune(options: argparse.Namespace) -> int:
    from closedloop.analysis.tuning import choice, grid, report
    from closedloop.analysis.tuning.material import each_once
    from closedloop.analysis.tuning.thresholds import thresholds
    from closedloop.protocol import load_protocol

    _check(options)
    vary = grid.varied(options.vary)
    protocol = load_protocol(options.protocol, options.overrides)
    wanted_per_h, longest_s = 60 * quantity("--false-alarms", options.false_alarms, "Rate"), window_s(options)
    _writable(options.out)
    fit, held, truth = materials(options, protocol)
    each_once([*fit, *held])
    with _detecting(options) as detect:
        laid = {} if vary else thresholds(protocol, fit, wanted_per_h, longest_s, detect, halved=not held)
        values = sorted({value for own in laid.values() for value in own}, key=float)
        tried = grid.grid(options.protocol, options.overrides, vary or {grid.THRESHOLD: tuple(values)})
        tuned = choice.tune(tried.settings, fit, held, wanted_per_h, longest_s, detect, laid)
    names, held_names = (tuple(material.name for material in some) for some in (fit, held))
    overrides = tuple(options.overrides)
    about = report.About(options.protocol, overrides, names, held_names, truth, longest_s, tried.left_out, tried.why)
    written = _write(tuned, about, options.out)
    if options.json:
        result = report.as_dict(tuned, about) | {"written": [str(path) for path in written]}
        show(result, (), as_json=True)
        return 0
    _table(tuned)
    show({}, [*report.verdict(tuned, about), *(str(path) for path in written)], as_json=False)
    return 0


def _check(options: argparse.Namespace) -> None:
    """What contradicts itself on the command line, all of it at once."""
    o = options
    truths = sum(bool(one) for one in (o.labels, o.inject, o.animal))
    wrong = {
        "--animal: stands in place of recordings, and there are some; leave one of them out": o.animal and o.recordings,
        "RECORDING: there is none to tune on; give one or more, or --animal akam_like": not o.animal
        and not o.recordings,
        "--labels, --inject, --animal: events come from one of them; leave the others out": truths > 1,
        "--score: a virtual animal is scored by halves; leave --score out": o.animal and o.score,
        "--score: those recordings have no labels; add --score-labels, one for each": o.labels
        and o.score
        and not o.score_labels,
        "--score-labels: needs --labels for the recordings to choose by, too": o.score_labels and not o.labels,
        f"--jobs: must be at least 1 (got {o.jobs})": o.jobs is not None and o.jobs < 1,
        f"--hours: must be above 0 and at most 100 (got {o.hours:g})": not 0 < o.hours <= 100,
        f"--seed: must not be below 0 (got {o.seed})": o.seed < 0,
    }
    problems = [said for said, so in wrong.items() if so]
    problems += _uneven("--labels", o.labels, o.recordings) + _uneven("--score-labels", o.score_labels, o.score)
    if problems:
        raise ConfigError(*problems)


def _uneven(name: str, labels: Sequence[Path] | None, recordings: Sequence[Path]) -> list[str]:
    if not labels or len(labels) == len(recordings):
        return []
    return [f"{name}: {len(labels)} files for {len(recordings)} recordings; give one for each, in their order"]


def _writable(out: Path) -> None:
    """Found out before the work, not after it."""
    from closedloop.analysis.outputs import writable

    probe = out / ".writable"
    with writable(out):
        probe.touch()
        probe.unlink()


@contextmanager
def _detecting(options: argparse.Namespace) -> Iterator[Callable[[Sequence[Run]], list[Detected]]]:
    """What runs loops, here or on a cluster, with a bar that shows how far it is."""
    from closedloop import terminal
    from closedloop.analysis import workers

    with terminal.counting("readings") as bar:

        def detect(runs: Sequence[Run]) -> list[Detected]:
            task = bar.add_task("", total=sum(len(run.stream.readings) for run in runs))

            def advance(readings: int) -> None:
                bar.advance(task, readings)

            if options.scheduler is not None:
                return workers.detect_on_cluster(runs, options.scheduler, advance)
            return workers.detect_here(runs, options.jobs or workers.cores(), advance)

        yield detect


def _write(tuned: Tuned, about: About, out: Path) -> list[Path]:
    """Fragment, figure and table; returns their paths."""
    from closedloop.analysis.tuning import figure, report

    fragment, table = out / "tuned.yaml", out / "tune.csv"
    pictures = [out / "tune.svg", out / "tune.png"]
    try:
        fragment.write_text(report.tuned_yaml(tuned, about), encoding="utf-8")
        report.write_csv(tuned, table)
        figure.draw(tuned, f"{about.protocol}; events: {about.truth}", pictures)
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written ({error.strerror}); choose another folder with --out") from error
    return [fragment, *pictures, table]


def _table(tuned: Tuned) -> None:
    """The settings whose rates lie nearest to the wanted one, in the order they were given."""
    from rich.console import Console
    from rich.table import Table

    labelled = tuned.expected.labelled
    table = Table(box=None, pad_edge=False, header_style="")
    table.add_column("", no_wrap=True)
    for name in [*_short(tuned), *_HEAD[: None if labelled else 2]]:
        table.add_column(name, justify="right", no_wrap=True)
    for at in _nearest(tuned):
        score = tuned.scores[at]
        cells = ["*" if at == tuned.chosen else "", *(value for _, value in tuned.settings[at].changed)]
        low, high = score.rate_interval
        cells += [f"{score.rate:.3g}", f"{low:.3g}-{high:.3g}"]
        if labelled:
            low, high = score.share_interval
            cells += [f"{100 * score.share:.1f} %", f"{100 * low:.0f}-{100 * high:.0f}"]
            cells += [_delay(score.delay(part), score.window_s) for part in (0.5, 0.95)]
        table.add_row(*cells)
    left = len(tuned.settings) - table.row_count
    Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 160).print(table, markup=False)
    if left:
        print(f"  ... and {left} more, farther from the wanted rate: all are in tune.csv")


_HEAD = ("false alarms/h", "95 %", "detected", "95 %", "median", "p95")


def _short(tuned: Tuned) -> list[str]:
    """The last part of each field's name, or all of it where that is not enough."""
    keys = [key for key, _ in tuned.settings[0].changed]
    ends = [key.rpartition(".")[2] for key in keys]
    return [key if ends.count(end) > 1 else end for key, end in zip(keys, ends, strict=True)]


def _delay(delay_s: float, window_s: float) -> str:
    return f"{1000 * delay_s:.0f} ms" if delay_s == delay_s else f"> {window_s:g} s"  # noqa: PLR0124 - nan


def _nearest(tuned: Tuned) -> list[int]:
    def distance(at: int) -> float:
        return abs(tuned.scores[at].rate - tuned.wanted_per_h) if tuned.scores[at].hours > 0 else float("inf")

    near = sorted(range(len(tuned.settings)), key=distance)[:_ROWS]
    return sorted({*near, tuned.chosen})
