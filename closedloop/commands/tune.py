"""`closedloop tune`: detector settings against false alarms and delays, on recordings, injected events or animals."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from closedloop.commands import add_set, show
from closedloop.errors import ConfigError

if TYPE_CHECKING:
    from closedloop.analysis.detection import Detected
    from closedloop.analysis.scoring import Ticks
    from closedloop.analysis.tuning import Material, Tuned
    from closedloop.analysis.tuning_report import About
    from closedloop.analysis.workers import Run
    from closedloop.protocol import Protocol
    from closedloop.readings import Stream

_ROWS = 26  # of the table; all are in the CSV
_OUT = Path("closedloop-tuned")


def add(commands: Any) -> None:
    """The command and its options."""
    parser = commands.add_parser("tune", help="detector settings against false alarms an hour and detection delay")
    add = parser.add_argument
    add("recordings", metavar="RECORDING", type=Path, nargs="*")
    add("--protocol", metavar="PROTOCOL", required=True)
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
    add("--out", metavar="DIR", type=Path, default=_OUT, help="for fragment, figure and table (default: ./%(default)s)")
    add("--seed", metavar="N", type=int, default=1, help="of injected events and virtual animal (default: %(default)s)")
    add("--json", action="store_true", help="one JSON object on standard output")
    add_set(parser)
    parser.set_defaults(command=_tune)


def _tune(options: argparse.Namespace) -> int:
    from closedloop.analysis import grid, tuning, tuning_report
    from closedloop.protocol import load_protocol

    _check(options)
    vary = grid.varied(options.vary)
    protocol = load_protocol(options.protocol, options.overrides)
    wanted_per_h, window_s = 60 * _quantity("--false-alarms", options.false_alarms, "Rate"), _window_s(options)
    _writable(options.out)
    fit, held, truth = _materials(options, protocol)
    with _detecting(options) as detect:
        vary = vary or {grid.THRESHOLD: tuning.thresholds(protocol, fit, wanted_per_h, window_s, detect)}
        tried = grid.grid(options.protocol, options.overrides, vary)
        tuned = tuning.tune(tried.settings, fit, held, wanted_per_h, window_s, detect)
    names, held_names = (tuple(material.name for material in some) for some in (fit, held))
    overrides = tuple(options.overrides)
    about = tuning_report.About(
        options.protocol, overrides, names, held_names, truth, window_s, tried.left_out, tried.why
    )
    written = _write(tuned, about, options.out)
    if options.json:
        result = tuning_report.as_dict(tuned, about) | {"written": [str(path) for path in written]}
        show(result, (), as_json=True)
        return 0
    _table(tuned)
    show({}, [*tuning_report.verdict(tuned, about), *(str(path) for path in written)], as_json=False)
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


def _quantity(option: str, text: str, kind: str) -> float:
    """A number above 0 with its unit, in the first unit of its kind."""
    from pydantic import TypeAdapter, ValidationError

    from closedloop import model

    try:
        value: float = TypeAdapter(getattr(model, kind)).validate_python(text)
    except ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{option}: {said} (got {text})") from error
    if not value > 0:
        raise ConfigError(f"{option}: must be more than nothing (got {text})")
    return value


def _window_s(options: argparse.Namespace) -> float:
    return _quantity("--window", options.window, "Seconds")


def _writable(out: Path) -> None:
    """Found out before the work, not after it."""
    probe = out / ".writable"
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written ({error.strerror}); choose another folder with --out") from error


def _materials(options: argparse.Namespace, protocol: Protocol) -> tuple[list[Material], list[Material], str]:
    """Recordings to choose by, those held out, and in words what is to be detected."""
    if options.animal:
        return [_animal(options, protocol)], [], f"those of a virtual animal ({options.animal}, seed {options.seed})"
    if options.inject:
        return _injected(options, protocol)
    labels = options.labels or [None] * len(options.recordings)
    score_labels = options.score_labels or [None] * len(options.score)
    fit = [_labelled(path, file, protocol) for path, file in zip(options.recordings, labels, strict=True)]
    held = [_labelled(path, file, protocol) for path, file in zip(options.score, score_labels, strict=True)]
    files = ", ".join(str(file) for file in [*labels, *score_labels] if file)
    return fit, held, f"labels of {files}" if files else "none known; every detection counts as a false alarm"


def _labelled(path: Path, labels: Path | None, protocol: Protocol) -> Material:
    from closedloop.analysis.tuning import material_of

    def onsets(stream: Stream) -> Ticks | None:
        return None if labels is None else _onsets(labels, stream)

    return material_of(path, protocol, lambda stream: (stream, onsets(stream)))


def _onsets(file: Path, stream: Stream) -> Ticks:
    """Labels of a recording.

    Raises:
        RecordingError: the file cannot be read, or is not about this recording.
    """
    import numpy as np

    from closedloop.errors import RecordingError
    from closedloop.formats import table

    try:
        read = table.read(file, ("time_s",))
    except OSError as error:
        raise RecordingError(f"{file}: cannot be opened: {error.strerror}; check the path") from error
    times = read.column("time_s")
    beyond = np.flatnonzero(~((times >= 0) & (times < stream.duration_s)))
    if len(beyond):
        said = f"time_s: {times[beyond[0]]:g} lies outside the recording ({stream.source}, {stream.duration_s:g} s)"
        raise RecordingError(f"{file}:{read.lines[beyond[0]]}: {said}; give seconds from its first reading")
    return np.rint(np.sort(times) * 1e6).astype(np.int64)


def _injected(options: argparse.Namespace, protocol: Protocol) -> tuple[list[Material], list[Material], str]:
    from closedloop.analysis.injection import Transient, inject, random_onsets
    from closedloop.analysis.tuning import material_of

    size = _quantity("--inject", options.inject, "Fraction")
    rise_s = _quantity("--inject-rise", options.inject_rise, "Seconds")
    decay_s = _quantity("--inject-decay", options.inject_decay, "Seconds")
    every_s = _quantity("--inject-every", options.inject_every, "Seconds")
    if not rise_s < decay_s:
        raise ConfigError(f"--inject-rise: must be shorter than the decay (got {rise_s:g} s and {decay_s:g} s)")
    transient, apart_s = Transient(size, rise_s, decay_s), max(_window_s(options), 2 * decay_s)
    if not apart_s < every_s:
        said = f"--inject-every: must be longer than window and than twice the decay (got {every_s:g} s); lengthen it"
        raise ConfigError(said)

    def made(at: int) -> Callable[[Stream], tuple[Stream, Ticks]]:
        def with_events(stream: Stream) -> tuple[Stream, Ticks]:
            onsets = random_onsets(stream, options.seed + at, every_s, apart_s)
            return inject(stream, transient, onsets), onsets

        return with_events

    paths = [*options.recordings, *options.score]
    found = [material_of(path, protocol, made(at)) for at, path in enumerate(paths)]
    truth = f"injected, {100 * size:g} % dF/F, rise {rise_s:g} s, decay {decay_s:g} s, seed {options.seed}"
    return found[: len(options.recordings)], found[len(options.recordings) :], truth


def _animal(options: argparse.Namespace, protocol: Protocol) -> Material:
    from difflib import get_close_matches

    from closedloop.analysis.injection import virtual
    from closedloop.analysis.tuning import Material
    from closedloop.limits import effective
    from closedloop.simulation.animal import Animal
    from closedloop.simulation.animal_presets import PRESETS

    if options.animal not in PRESETS:
        near = get_close_matches(options.animal, PRESETS, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(PRESETS)}"
        raise ConfigError(f"--animal: there is no '{options.animal}'; {hint}")
    animal = Animal.model_validate({"preset": options.animal})
    stream, onsets = virtual(animal, options.hours, _ANIMAL_HZ, options.seed)
    return Material(stream.source, stream, onsets, effective(protocol.limits, lease_s=0.5), None)


_ANIMAL_HZ = 130.0


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

            if options.scheduler:
                return workers.detect_on_cluster(runs, options.scheduler, advance)
            return workers.detect_here(runs, options.jobs or workers.cores(), advance)

        yield detect


def _write(tuned: Tuned, about: About, out: Path) -> list[Path]:
    """Fragment, figure and table; returns their paths."""
    from closedloop.analysis import tuning_figure, tuning_report

    fragment, table = out / "tuned.yaml", out / "tune.csv"
    pictures = [out / "tune.svg", out / "tune.png"]
    try:
        fragment.write_text(tuning_report.tuned_yaml(tuned, about), encoding="utf-8")
        tuning_report.write_csv(tuned, table)
        tuning_figure.draw(tuned, f"{about.protocol}; events: {about.truth}", pictures)
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written ({error.strerror}); choose another folder with --out") from error
    return [fragment, *pictures, table]


def _table(tuned: Tuned) -> None:
    """The settings whose rates lie nearest to the wanted one, in the order they were given."""
    from rich.console import Console
    from rich.table import Table

    from closedloop.analysis.tuning_report import milliseconds

    table = Table(box=None, pad_edge=False, header_style="")
    for name in ("setting", "false alarms/h", "95 %"):
        table.add_column(name, justify="left" if name == "setting" else "right", no_wrap=True)
    labelled = tuned.expected.labelled
    for name in ("detected", "95 %", "median", "p95") if labelled else ():
        table.add_column(name, justify="right", no_wrap=True)
    for at in _nearest(tuned):
        score, name = tuned.scores[at], tuned.settings[at].name
        low, high = score.rate_interval
        cells = [f"{'* ' if at == tuned.chosen else '  '}{name}", f"{score.rate:.3g}", f"{low:.3g}-{high:.3g}"]
        if labelled:
            low, high = score.share_interval
            cells += [f"{100 * score.share:.1f} %", f"{100 * low:.0f}-{100 * high:.0f}"]
            cells += [milliseconds(score.delay(part)) for part in (0.5, 0.95)]
        table.add_row(*cells)
    left = len(tuned.settings) - table.row_count
    Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 160).print(table, markup=False)
    if left:
        print(f"  ... and {left} more, farther from the wanted rate: all are in tune.csv")


def _nearest(tuned: Tuned) -> list[int]:
    def distance(at: int) -> float:
        return abs(tuned.scores[at].rate - tuned.wanted_per_h) if tuned.scores[at].hours > 0 else float("inf")

    near = sorted(range(len(tuned.settings)), key=distance)[:_ROWS]
    return sorted({*near, tuned.chosen})
