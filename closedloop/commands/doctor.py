"""`closedloop doctor`: what on this computer would spoil timing or lose data, and the mend. It changes nothing."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from closedloop.commands import add_set, configured, say
from closedloop.errors import ConfigError

_DATA = Path("closedloop-data")
_PIPE_COLUMNS = 120  # where there is no terminal to be as wide as


def add(commands: Any) -> None:
    """The command and its options."""
    parser = commands.add_parser(
        "doctor",
        help="what on this computer would spoil timing or lose data, and the mend",
        description="Looks at ports, power saving, rights, clocks and the disk, and measures for about 4 s; it changes "
        "nothing. Without --rig no port is opened.",
    )
    add_option = parser.add_argument
    add_option("--rig", metavar="RIG", help="try its ports, too; this restarts an Arduino Uno, and arms nothing")
    add_option("--protocol", metavar="PROTOCOL", help="whose length must fit the disk (default: an hour)")
    add_option("--out", metavar="DIR", type=Path, default=_DATA, help="data folder (default: ./%(default)s)")
    add_option("--json", action="store_true", help="one JSON object on standard output")
    add_set(parser)
    parser.set_defaults(command=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    """Exit code 0 whatever was found: nothing went wrong in looking."""
    try:
        from closedloop import doctor
        from closedloop.doctor import rig_ports
    except ImportError as problem:  # one of the libraries that everything here needs
        raise ConfigError(
            f"this program is not whole ({problem}); install it again: pip install closedloop"
        ) from problem

    protocol, rig = _given(options)
    plan = doctor.plan_of(options.out.resolve(), protocol, rig)
    if rig is not None and (warning := rig_ports.announcement(rig)):
        say(warning)
    computer = doctor.this_computer()
    with _progress() as bar:
        task = bar.add_task("", total=doctor.STEPS)

        def advance() -> None:
            bar.advance(task)
            bar.refresh()

        found = doctor.examine(computer, plan, rig, advance)
    _show(computer, plan, found, as_json=options.json)
    return 0


def _progress() -> Any:
    """A bar that is drawn between the parts alone: a thread that draws would be measured, too."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from closedloop import terminal

    return Progress(
        TextColumn("looking and measuring, about 4 s"),
        BarColumn(),
        MofNCompleteColumn(),
        console=terminal.error_console(),
        transient=True,
        auto_refresh=False,
        disable=not sys.stderr.isatty(),
    )


def _given(options: argparse.Namespace) -> tuple[Any, Any]:
    """Protocol and rig, each None if it was not named."""
    from closedloop.protocol import split_overrides
    from closedloop.rig import load_rig

    if options.protocol:
        return configured(options)
    return None, load_rig(options.rig, split_overrides(options.overrides)[1]) if options.rig else None


def _show(computer: Any, plan: Any, found: Any, *, as_json: bool) -> None:
    import json
    import platform

    from rich.console import Console

    from closedloop.doctor import counts, table

    if as_json:
        about = {"system": platform.platform(), "folder": str(plan.folder), "needed_bytes": plan.needed_bytes}
        print(json.dumps(about | counts(found) | {"findings": [one.as_dict() for one in found]}))
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _PIPE_COLUMNS
    console = Console(highlight=False, soft_wrap=True)
    for line in table.lines(found, width):
        console.print(line)
