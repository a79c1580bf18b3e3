"""The command line: what is typed becomes a request; results go to standard output, everything else to standard error.

Exit codes: 0 done, 2 wrong command line or YAML, 3 device, 4 trip, 5 unreadable recording, 130 interrupted.
"""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from closedloop.commands import (
    add_set,
    anchor,
    configured,
    doctor,
    duration_s,
    randomise,
    recover,
    rehearse,
    replay,
    rigs,
    say,
    share,
    show,
    study,
    study_run,
    tune,
    unblind,
)
from closedloop.errors import ClosedLoopError, ConfigError, DeviceError, Tripped

_ENDINGS = {"completed": 0, "stopped": 0, "device_lost": DeviceError.exit_code, "tripped": Tripped.exit_code}
_INTERRUPTED = 130
_DATA = Path("closedloop-data")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    parser = _parser()
    try:
        options = parser.parse_args(arguments)
    except SystemExit as leaving:  # argparse has said why
        return int(leaving.code or 0)
    for name in ("SIGTERM", "SIGBREAK"):  # the second is how Windows asks a process to end
        if number := getattr(signal, name, None):
            signal.signal(number, signal.default_int_handler)
    try:
        command: Callable[[argparse.Namespace], int] = options.command
        return command(options)
    except ClosedLoopError as error:
        for line in str(error).splitlines():
            print(line, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="closedloop",
        description="Closed-loop optogenetics. For research in animals under an approved protocol; not for humans.",
        epilog="PROTOCOL and RIG are a path, or the bare name of a file in configs/. Start with: closedloop demo",
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_run(commands)
    _add_dashboard(commands)
    _add_watch(commands)
    _add_check(commands)
    replay.add(commands)
    recover.add(commands)
    _add_export(commands)
    _add_devices(commands)
    doctor.add(commands)
    _add_flash(commands)
    _add_selftest(commands)
    anchor.add(commands)
    study.add(commands)
    rehearse.add(commands)
    randomise.add(commands)
    unblind.add(commands)
    tune.add(commands)
    share.add(commands)
    rigs.add(commands)
    return parser


def _version() -> str:
    from closedloop import wire

    return f"closedloop {version('closedloop')}, wire {wire.WIRE_HASH:08x}"


def _add_session_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--subject", metavar="ID", help="the animal; letters and digits")
    add("--out", metavar="DIR", type=Path, default=_DATA, help="data folder (default: ./%(default)s)")
    add("--duration", metavar="T", help="sample time to run for, such as 20s or '5 min'")
    add("--headless", action="store_true", help="no dashboard")
    add("--by-hand", action="store_true", help="arm only when somebody at a dashboard does so, not after warm-up")
    _add_screenshot(parser)
    add("--seed", metavar="N", type=int, help="of everything random (default: drawn, and recorded)")
    add("--play", metavar="RECORDING", type=Path, help="the simulated DAQ plays this instead of the virtual animal")
    add("--speed", metavar="K", type=float, default=1.0, help="play so many times as fast")
    add("--json", action="store_true", help="one JSON object on standard output")
    add_set(parser)


def _add_screenshot(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--screenshot",
        metavar="FILE.png",
        type=Path,
        help="picture of the dashboard, without a display too; of a session that runs, at its end",
    )


def _add_dashboard(commands: Any) -> None:
    parser = commands.add_parser("dashboard", help="pick, check, start, arm and stop sessions in a window")
    parser.add_argument("protocol", metavar="PROTOCOL", nargs="?")
    parser.add_argument("--rig", metavar="RIG")
    parser.add_argument("--out", metavar="DIR", type=Path, help=f"data folder (default: ./{_DATA})")
    _add_screenshot(parser)
    parser.set_defaults(command=_dashboard)


def _add_watch(commands: Any) -> None:
    parser = commands.add_parser("watch", help="attach a dashboard to a running session, or look through one")
    parser.add_argument("session", metavar="SESSION", type=Path)
    _add_screenshot(parser)
    parser.set_defaults(command=_watch)


def _add_demo(commands: Any) -> None:
    parser = commands.add_parser("demo", help="the whole system on a simulated rig, without hardware")
    _add_session_options(parser)
    parser.set_defaults(command=_run, protocol="demo", rig="simulated")


def _add_run(commands: Any) -> None:
    parser = commands.add_parser("run", help="one session")
    parser.add_argument("protocol", metavar="PROTOCOL", nargs="?")
    parser.add_argument("--rig", metavar="RIG")
    _add_session_options(parser)
    study_run.add(parser)
    parser.set_defaults(command=_run, defaults={"out": _DATA})


def _add_check(commands: Any) -> None:
    parser = commands.add_parser("check", help="validate a protocol and print its light budget; starts nothing")
    parser.add_argument("protocol", metavar="PROTOCOL")
    parser.add_argument("--rig", metavar="RIG")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    add_set(parser)
    parser.set_defaults(command=_check)


def _add_export(commands: Any) -> None:
    parser = commands.add_parser("export", help="a session in other programs' formats")
    parser.add_argument("session", metavar="SESSION", type=Path)
    parser.add_argument("--to", choices=["csv"], required=True)
    parser.add_argument("--out", metavar="DIR", type=Path, help="default: export/SESSION beside the session")
    parser.set_defaults(command=_export)


def _add_devices(commands: Any) -> None:
    parser = commands.add_parser("devices", help="serial ports, and what answers on them")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.set_defaults(command=_devices)


def _add_flash(commands: Any) -> None:
    parser = commands.add_parser("flash", help="build the firmware and put it on a board")
    add = parser.add_argument
    add("--board", choices=["uno", "nano", "mega"], required=True)
    add("--port", metavar="PORT", required=True)
    add("--role", choices=["daq", "stimulator", "both"], help="default: what the board on the port is already")
    add("--baud", metavar="N", type=int, default=500_000, help="500000 or 1000000 (default: %(default)s)")
    add("--old-bootloader", action="store_true", help="a Nano with the older bootloader (57600)")
    add("--json", action="store_true", help="one JSON object on standard output")
    parser.set_defaults(command=_flash)


def _add_selftest(commands: Any) -> None:
    parser = commands.add_parser("selftest", help="measure a rig: latency, pulse widths, lease, refusals; GIVES LIGHT")
    add = parser.add_argument
    add("--rig", metavar="RIG", required=True)
    add("--artefact", action="store_true", help="what light does to the signal, the fibre in a fluorescent slab")
    add("--trains", metavar="N", type=int, help="pulses to measure (default: 20; with --artefact 60)")
    add("--on", metavar="T", help="with --artefact: how long each pulse is lit (default: 500 ms, or the rig's limit)")
    add("--after", metavar="T", help="with --artefact: how long is looked at after each (default: 2 s)")
    add("--level", metavar="L", help="with --artefact: part of full power (default: the most that the limits allow)")
    add("--out", metavar="DIR", type=Path, default=_DATA, help="for picture and figures (default: ./%(default)s)")
    add("--json", action="store_true", help="one JSON object on standard output")
    parser.set_defaults(command=_selftest)


def _run(options: argparse.Namespace) -> int:
    from closedloop import screen, session, terminal
    from closedloop.analysis import summary
    from closedloop.recording import Recording
    from closedloop.request import refuse

    request = _request(options)
    if request.study is not None:
        refuse(request)  # before the study's audit hears of it
        study_run.begin(options, request.study)
    window = screen.Beside(wanted=not options.headless, picture=_picture(options), say=say)
    with window, terminal.SessionLine(request.expected_s) as line:

        def look(folder: Path) -> None:
            line.look(folder)
            window.look(folder)

        done = session.run(request, look)
    result = summary.summarise(Recording.open(done.folder))
    show(result, terminal.outcome(result), as_json=options.json)
    if options.screenshot and not options.screenshot.exists():
        say(f"{options.screenshot}: no picture was taken; what the dashboard said of it stands above")
    if done.interrupted:
        return _INTERRUPTED
    if _ENDINGS.get(done.ending.how, 1):
        print(done.ending.reason, file=sys.stderr)
    return _ENDINGS.get(done.ending.how, 1)


def _request(options: argparse.Namespace) -> Any:
    from closedloop.analysis.replay import read_recording
    from closedloop.request import Request

    of_study = study_run.filled(options)
    if of_study is None:
        protocol, rig = configured(options)
        if rig is None:
            raise ConfigError("--rig: a session needs a rig; add --rig simulated, or your own")
        said = {"protocol": protocol, "rig": rig, "out": options.out.resolve(), "seed": _seed(options.seed)}
    else:
        said = study_run.taken(of_study)
    return Request(
        **said,
        subject=options.subject,
        duration_s=duration_s(options.duration),
        play=read_recording(options.play) if options.play else None,
        speed=_speed(options.speed),
        by_hand=options.by_hand,
    )


def _seed(given: int | None) -> int:
    return secrets.randbits(31) if given is None else given


def _picture(options: argparse.Namespace) -> Path | None:
    """Where a picture goes; refused before anything is started if it can't be written there."""
    path: Path | None = options.screenshot
    if path is None:
        return None
    if path.suffix.lower() != ".png":
        raise ConfigError(f"--screenshot: must be a .png file (got {path}); write for example dashboard.png")
    if not path.resolve().parent.is_dir():
        raise ConfigError(f"--screenshot: there is no folder {path.resolve().parent}; make it, or choose another")
    path.unlink(missing_ok=True)
    return path.resolve()


def _dashboard(options: argparse.Namespace) -> int:
    from closedloop import screen

    return screen.show("idle", *_shown(options, "protocol", "rig", "out"))


def _watch(options: argparse.Namespace) -> int:
    from closedloop import screen
    from closedloop.recording import Recording

    Recording.open(options.session)
    return screen.show("watch", options.session, *_shown(options))


def _shown(options: argparse.Namespace, *names: str) -> list[object]:
    """The window's own options, from those of the command."""
    given: dict[str, Any] = {name: getattr(options, name) for name in names} | {"screenshot": _picture(options)}
    positional = given.pop("protocol", None)
    named: list[object] = []
    for name, value in given.items():
        named += [] if value is None else [f"--{name}", value]
    return [*([positional] if positional else []), *named]


def _speed(speed: float) -> float:
    if not 0 < speed <= 1000:
        raise ConfigError(f"--speed: must be above 0 and at most 1000 (got {speed:g})")
    return speed


def _check(options: argparse.Namespace) -> int:
    from closedloop.analysis import budget

    protocol, rig = configured(options)
    found = budget.budget(protocol, rig)
    show(found.as_dict(), budget.lines(found), as_json=options.json)
    return ConfigError.exit_code if found.refusals else 0


def _export(options: argparse.Namespace) -> int:
    from closedloop import terminal
    from closedloop.analysis import export_csv
    from closedloop.recording import Recording

    recording = Recording.open(options.session)
    out = options.out or options.session.resolve().parent / "export" / options.session.resolve().name
    with terminal.counting("samples") as bar:
        task = bar.add_task("", total=recording.table.head)
        for path in export_csv.export_session(recording, out, lambda n: bar.advance(task, n)):
            print(path)
    return 0


def _devices(options: argparse.Namespace) -> int:
    from closedloop import devices

    found = devices.found()
    show({"ports": [port.as_dict() for port in found]}, devices.lines(found), as_json=options.json)
    return 0


def _flash(options: argparse.Namespace) -> int:
    from closedloop import flash
    from closedloop.flash_steps import Job

    job = Job(options.board, options.port, options.role, options.baud, options.old_bootloader)
    done = flash.flash(job, say)
    show(done, flash.lines(done), as_json=options.json)
    return 0


def _selftest(options: argparse.Namespace) -> int:
    from datetime import datetime

    from closedloop import selftest
    from closedloop.commands import artefact
    from closedloop.rig import load_rig

    if options.trains is not None and options.trains < 1:
        raise ConfigError(f"--trains: must be at least 1 (got {options.trains})")
    rig = load_rig(options.rig)
    if options.artefact:
        return artefact.run(rig, options)
    artefact.refuse_its_options(options)
    trains = options.trains or selftest.TRAINS
    for line in selftest.announcement(rig, trains):
        say(line)
    artefact.confirm(rig)
    result = selftest.selftest(rig, trains, say)
    picture, figures = selftest.write(result, rig, options.out, datetime.now().astimezone())
    written = {"picture": str(picture), "figures": str(figures)}
    show(result.as_dict() | written, [*selftest.lines(result.checks), str(picture)], as_json=options.json)
    return selftest.exit_code(result.checks)


if __name__ == "__main__":
    sys.exit(main())
