"""`closedloop rigs`: all rigs of a lab that `closedloop share --lsl` shows, one line each. It only listens."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from closedloop.commands import duration_s, say, show

_TURN_S = 0.25
_LOOK_S = 5.0  # where nobody looks on: long enough for a state of every rig


def add(commands: Any) -> None:
    """The command and its options."""
    parser = commands.add_parser("rigs", help="all rigs of the lab that are shared: phase, armed, light, missing")
    parser.add_argument(
        "--for",
        dest="lasts",
        metavar="T",
        help="listen so long, such as 5s (default: in a terminal until Ctrl-C, else 5 s)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, at the end")
    parser.set_defaults(command=_rigs)


def _rigs(options: argparse.Namespace) -> int:
    import time

    from closedloop import terminal_table
    from closedloop.sharing import lsl, rigs

    is_live = sys.stdout.isatty() and not options.json
    said_s = duration_s(options.lasts, "--for")
    lasts_s = said_s if said_s is not None or is_live else _LOOK_S
    heard, inlets = rigs.Rigs(), lsl.StateInlets(lsl.library())
    if is_live:
        _watch(heard, inlets, lasts_s)
        return 0
    say(f"listening for {lasts_s:g} s")
    _listen(heard, inlets, lasts_s, lambda _: None)
    now_s = time.perf_counter()
    found = heard.all(now_s)
    lines = terminal_table.lines(rigs.table(found, now_s)) if found else [rigs.NONE]
    show({"rigs": [one.as_dict(now_s) for one in found]}, lines, as_json=options.json)
    return 0


def _watch(heard: Any, inlets: Any, lasts_s: float | None) -> None:
    """A table that is drawn anew until the time is over, or Ctrl-C."""
    from rich.live import Live
    from rich.text import Text

    from closedloop.sharing import rigs

    with Live(auto_refresh=False) as live:

        def draw(now_s: float) -> None:
            found = heard.all(now_s)
            live.update(rigs.table(found, now_s) if found else Text(rigs.NONE), refresh=True)

        _listen(heard, inlets, lasts_s, draw)


def _listen(heard: Any, inlets: Any, lasts_s: float | None, look: Callable[[float], None]) -> None:
    import time

    from closedloop.sharing.pause import pause

    began_s = now_s = time.perf_counter()
    while lasts_s is None or now_s < began_s + lasts_s:
        heard.take(inlets.turn(), now_s)
        look(now_s)
        pause(_TURN_S)
        now_s = time.perf_counter()
