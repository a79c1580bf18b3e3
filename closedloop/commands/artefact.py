"""`closedloop selftest --artefact`: what a rig's light does to its signal, measured in a fluorescent slab."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime
from typing import TYPE_CHECKING

from closedloop.commands import quantity_of, say, show
from closedloop.errors import ConfigError

if TYPE_CHECKING:
    from closedloop.rig import Rig
    from closedloop.selftest.artefact_light import Wish

_OPTIONS = ("on", "after", "level")


def refuse_its_options(options: argparse.Namespace) -> None:
    """What belongs to --artefact, given without it.

    Raises:
        ConfigError: one of them is there.
    """
    given = [name for name in _OPTIONS if getattr(options, name) is not None]
    if given:
        raise ConfigError(f"--{given[0]}: belongs to --artefact; add that, or leave it out")


def confirm(rig: Rig) -> None:
    """Wait for a person to say that no animal is on the fibre; a simulated rig and a script are not asked."""
    from closedloop.rig import SIMULATED

    if sys.stdin.isatty() and rig.daq.port != SIMULATED and rig.stimulator.wired_to:
        input("Press Enter when the fibre is out of the animal; Ctrl-C to leave it. ")


def run(rig: Rig, options: argparse.Namespace) -> int:
    """The whole measurement; returns the exit code.

    Raises:
        ConfigError: such light may not be given, or the folder cannot be written.
        DeviceError: a board was lost, or there is no signal.
    """
    from closedloop import terminal
    from closedloop.selftest import artefact

    light = artefact.planned(rig, _wish(rig, options))
    for line in artefact.announcement(rig, light):
        say(line)
    confirm(rig)
    with terminal.counting("pulses") as bar:
        task = bar.add_task("", total=light.pulses)
        measured = artefact.run(rig, light, lambda: bar.advance(task))
    written = artefact.write(measured, options.out, datetime.now().astimezone())
    files = {name: None if path is None else str(path) for name, path in written._asdict().items()}
    named = [path for name, path in files.items() if path and name in ("artefact", "picture")]
    show(artefact.as_dict(measured) | files, [*artefact.lines(measured), *named], as_json=options.json)
    return measured.exit_code


def _wish(rig: Rig, options: argparse.Namespace) -> Wish:
    from closedloop.selftest.artefact_light import Wish

    usual = Wish()
    longest = rig.limits.longest_on if rig.limits and rig.limits.longest_on is not None else usual.on_s
    return Wish(
        pulses=options.trains or usual.pulses,
        on_s=_given(options, "on", "Seconds", min(usual.on_s, longest)),
        after_s=_given(options, "after", "Seconds", usual.after_s),
        level=None if options.level is None else _given(options, "level", "Fraction", 1.0),
    )


def _given(options: argparse.Namespace, name: str, kind: str, usual: float) -> float:
    text = getattr(options, name)
    if text is None:
        return usual
    try:
        value = quantity_of(text, kind)
    except ValueError as error:
        raise ConfigError(f"--{name}: {error}") from error
    if not 0 < value <= _MOST[name]:
        raise ConfigError(f"--{name}: must be above 0 and at most {_MOST[name]:g} (got {text})")
    return value


_MOST = {"on": 1.0, "after": 120.0, "level": 1.0}
