"""`closedloop anchor`: an animal's drug-free reference, written once and never over another file."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from closedloop.commands import show
from closedloop.errors import ConfigError

if TYPE_CHECKING:
    from closedloop.analysis.activity import Activity, Trace
    from closedloop.analysis.estimates import Estimate
    from closedloop.anchor import Anchor, Photometry

_NEEDED = ("sensor", "fibre", "signal_power")
_MEASURED = (*_NEEDED, "control_power", "signal_dark", "control_dark")


def add(commands: Any) -> None:
    """The command and its options."""
    parser = commands.add_parser("anchor", help="an animal's drug-free reference from three sessions or more")
    one = parser.add_argument
    one("sessions", metavar="SESSION", type=Path, nargs="+", help="drug-free sessions of one animal, or files")
    one("--out", metavar="FILE", type=Path, required=True, help="where to; never over another file")
    one("--protocol", metavar="PROTOCOL", help="chain of features and warm-up, for files or in place of the sessions'")
    one("--subject", metavar="ID", help="the animal, of recordings that do not say")
    one("--json", action="store_true", help="one JSON object on standard output")
    add_photometry(parser)
    parser.set_defaults(command=_anchor)


def add_photometry(parser: argparse.ArgumentParser) -> None:
    """Options for what recordings were measured with that do not say it themselves."""
    one = parser.add_argument_group("what was measured with, of recordings that do not say").add_argument
    one("--sensor", metavar="NAME", help="indicator, with its lot")
    one("--fibre", metavar="NAME", help="which implanted fibre")
    one("--signal-power", metavar="P", help="470 nm LED at the tip, such as '30 uW'")
    one("--control-power", metavar="P", help="405 nm LED at the tip")
    one("--signal-dark", metavar="X", type=float, help="signal with the cord in the dark, in the recording's units")
    one("--control-dark", metavar="X", type=float, help="the same of the control")


def photometry_given(options: argparse.Namespace) -> Photometry | None:
    """What the options say; None if they say nothing.

    Raises:
        ConfigError: they say it wrongly, or half of it.
    """
    from pydantic import ValidationError

    from closedloop.anchor import Photometry
    from closedloop.model import FROM_FILE

    said = {name: getattr(options, name) for name in _MEASURED if getattr(options, name) is not None}
    if not said:
        return None
    if lacking := [f"--{name.replace('_', '-')}" for name in _NEEDED if name not in said]:
        raise ConfigError(f"{', '.join(lacking)}: missing; what was measured with is said whole, or by the rig")
    try:
        return Photometry.model_validate(said, context=FROM_FILE)
    except ValidationError as error:
        problems = [(str(one["loc"][0]).replace("_", "-"), one) for one in error.errors()]
        raise ConfigError(*(f"--{name}: {one['msg']} (got {one['input']})" for name, one in problems)) from error


def _anchor(options: argparse.Namespace) -> int:
    from closedloop import terminal
    from closedloop.analysis import anchoring
    from closedloop.analysis.activity import How, trace
    from closedloop.protocol import load_protocol

    if options.out.exists():
        raise ConfigError(f"{options.out}: is there already, and an anchor is frozen; choose another name")
    if not options.out.resolve().parent.is_dir():
        raise ConfigError(f"--out: there is no folder {options.out.resolve().parent}; make it, or choose another")
    protocol = load_protocol(options.protocol) if options.protocol else None
    how = How(protocol=protocol, subject=options.subject, photometry=photometry_given(options))
    traces = []
    with terminal.counting("sessions") as bar:
        task = bar.add_task("", total=len(options.sessions))
        for path in options.sessions:
            traces.append(trace(path, how))
            bar.advance(task)
    anchor, found = anchoring.make(traces)
    anchor.save(options.out)
    result = anchor.model_dump(mode="json") | {"file": str(options.out)}
    show(result, list(_lines(anchor, traces, found, options.out)), as_json=options.json)
    return 0


def _lines(anchor: Anchor, traces: Sequence[Trace], found: Sequence[Activity], out: Path) -> Iterator[str]:
    names = _short([trace.source for trace in traces])
    width = max(map(len, names))
    yield f"{anchor.subject}, {anchor.photometry.sensor}, {anchor.photometry.fibre}"
    yield f"  {'session':<{width}}  minutes  {'level (ln ratio)':<17}  {'events/min':<15}  height (%)"
    for name, trace, one in zip(names, traces, found, strict=True):
        level = _plus_minus(trace.course.estimate()) if trace.course else "no control"
        gain = _interval(one.gain, 100) if one.gain else "too few events"
        rate = _interval(one.rate, 1)
        yield f"  {name:<{width}}  {trace.minutes:7.1f}  {level:<17}  {rate:<15}  {gain}"
    yield from _verdict(anchor)
    yield str(out)


def _short(sources: Sequence[str]) -> list[str]:
    """Names without their folders, if they differ."""
    names = [Path(source).name for source in sources]
    return names if len(set(names)) == len(names) else list(sources)


def _interval(estimate: Estimate, times: float) -> str:
    value, low, high = (f"{times * number:.3g}" for number in estimate[:3])
    return f"{value} ({low}-{high})"


def _plus_minus(estimate: Estimate) -> str:
    return f"{estimate.value:.4f} ± {estimate.high - estimate.value:.4f}"


def _verdict(anchor: Anchor) -> Iterator[str]:
    from closedloop.analysis.anchoring import percent

    events = anchor.events
    yield f"an event is a rise through {100 * events.size:.3g} %; {events.count} in all, {events.rate:.3g} a minute"
    if anchor.level is None:
        yield "no control channel: no level, and no tonic shift can be told"
        return
    level = anchor.level
    between, smallest = percent(level.between), percent(level.smallest_shift)
    yield f"from day to day the level differs by {between:.2g} % (SD of {len(level.sessions)} sessions)"
    yield f"smallest tonic shift that one session can tell: {smallest:.2g} %"
