"""`closedloop share`: puts running sessions on the lab's network, read only, and calls somebody when one ends."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from closedloop.commands import say
from closedloop.errors import ConfigError

_DATA = Path("closedloop-data")
_TURN_S = 0.1


def add(commands: Any) -> None:
    """The command and its options."""
    parser = commands.add_parser(
        "share",
        help="show running sessions to other programs and computers, read only; call somebody when one ends",
        description="A process beside the sessions: it reads their recordings as they grow, and can be begun and ended "
        "at any time. Nothing can be steered through it.",
        epilog="The words {session} {how} {reason} {subject} {rig} in CMD become whole arguments; no shell reads it.",
    )
    one = parser.add_argument
    said = "one session's folder, or a data folder: all of its sessions that run or begin (default: ./%(default)s)"
    one("path", metavar="SESSION|DATA", nargs="?", type=Path, default=_DATA, help=said)
    one("--lsl", action="store_true", help="Lab Streaming Layer outlets: signal, score, events, light, state")
    one("--alert-command", metavar="CMD", help="program and arguments to run on an alert")
    one("--alert-url", metavar="URL", help="HTTP POST of a small JSON, to this computer or the lab's own network alone")
    one("--alert-on", metavar="HOW,...", help="which endings are told (default: all); see docs/remote_watching.md")
    one("--once", action="store_true", help="of a data folder: leave when the first session is over")
    one("--log", metavar="FILE", type=Path, help="add what is said on standard error to this file, with the time")
    parser.set_defaults(command=_share)


def _share(options: argparse.Namespace) -> int:
    import time
    from datetime import datetime

    from closedloop.sharing import alerts, hooks, lsl, pause, serving

    _refuse(options)
    tell = _teller(options.log)
    wanted = alerts.chosen(options.alert_on) if options.alert_on is not None else alerts.HOWS
    command = hooks.command_of(options.alert_command) if options.alert_command is not None else None
    told = hooks.Hooks(command, options.alert_url, platform.node(), tell) if command or options.alert_url else None
    share = serving.Share(
        options.path.resolve(),
        computer=platform.node(),
        hooks=told,
        wanted=wanted,
        lsl=lsl.library() if options.lsl else None,
        say=tell,
        now_ns=time.perf_counter_ns(),
        started=datetime.now().astimezone(),
    )
    say(f"{options.path.resolve()}: followed until it is over, or Ctrl-C; nothing is changed in it")
    try:
        while not share.is_over and not (options.once and share.done):
            if not share.turn(time.perf_counter_ns()):
                pause.pause(_TURN_S)
    finally:
        share.close()
    return 0


def _refuse(options: argparse.Namespace) -> None:
    """What can be seen to be wrong before anything is begun.

    Raises:
        ConfigError: all of it.
    """
    problems = []
    if not (options.lsl or options.alert_command is not None or options.alert_url is not None):
        problems.append("share: there is nothing to share by; add --lsl, --alert-command or --alert-url")
    if options.alert_on is not None and options.alert_command is None and options.alert_url is None:
        problems.append("--alert-on: no alert is told; add --alert-command or --alert-url")
    if not options.path.is_dir():
        problems.append(f"{options.path}: there is no such folder; name a session's folder or a data folder")
    if options.log is not None and not options.log.resolve().parent.is_dir():
        problems.append(f"--log: there is no folder {options.log.resolve().parent}; make it, or choose another")
    if problems:
        raise ConfigError(*problems)


def _teller(log: Path | None) -> Callable[[str], None]:
    """Lines go to standard error, and to the log with the time; a log that cannot be written is said, once."""
    from datetime import datetime

    is_well = True

    def tell(line: str) -> None:
        nonlocal is_well
        say(line)
        if log is None:
            return
        try:
            with log.open("a", encoding="utf-8") as file:
                file.write(f"{datetime.now().astimezone().isoformat(timespec='seconds')} {line}\n")
            is_well = True
        except OSError as error:
            if is_well:
                say(f"{log}: not written: {error.strerror}; what is said stands here alone")
            is_well = False

    return tell
