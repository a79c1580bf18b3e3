"""Opens the window: `python -m closedloop.dashboard idle | watch SESSION`. It starts no session by itself.

Exit codes: 0 closed or the picture is taken, 2 wrong command line or no picture, 3 no display or no Qt.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from PyQt6.QtWidgets import QApplication

    from closedloop.dashboard.layout_memory import LayoutMemory
    from closedloop.dashboard.window import Window

_DATA = Path("closedloop-data")
_SIZE = re.compile(r"([1-9][0-9]{2,4})x([1-9][0-9]{2,4})")
_WRONG, _NO_DISPLAY = 2, 3
_NO_QT = "the dashboard needs PyQt6 and pyqtgraph: pip install 'closedloop[dashboard]', or run with --headless"


def main(arguments: Sequence[str] | None = None) -> int:
    """Open the window; returns when it is closed, with the exit code."""
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as leaving:  # argparse has said why
        return int(leaving.code or 0)
    if said := _cannot(picture=options.screenshot is not None):
        _say(said)
        return _NO_DISPLAY
    return _run(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m closedloop.dashboard", description="The window.")
    kinds = parser.add_subparsers(required=True, dest="kind", metavar="idle | watch")
    idle = kinds.add_parser("idle", help="set up a session; those that run already get a tab each")
    idle.add_argument("protocol", metavar="PROTOCOL", nargs="?", default="")
    idle.add_argument("--rig", metavar="RIG", default="")
    idle.add_argument("--out", metavar="DIR", type=Path, help=f"data folder (default: as last time, or ./{_DATA})")
    watch = kinds.add_parser("watch", help="look at a session: it runs, has ended or was broken off")
    watch.add_argument("sessions", metavar="SESSION", type=Path, nargs="+")
    for one in (idle, watch):
        one.add_argument("--screenshot", metavar="FILE", type=Path, help="save a picture when all is shown, and leave")
        one.add_argument("--when", metavar="STATE", help="with --screenshot: in this state, such as 'LIGHT ON'")
        one.add_argument("--theme", choices=["dark", "light"], help="default: as last time")
        one.add_argument("--size", metavar="WxH", type=_size, help="of the window, in pixels")
        one.add_argument("--tiles", action="store_true", help="all rigs at once")
    return parser


def _size(text: str) -> tuple[int, int]:
    found = _SIZE.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"must read WIDTHxHEIGHT, such as 1366x728 (got {text})")
    return int(found[1]), int(found[2])


def _cannot(*, picture: bool) -> str:
    """Why there can be no window, in words; a picture alone needs no display."""
    try:
        from closedloop.dashboard import app
    except ModuleNotFoundError as missing:
        if missing.name not in ("PyQt6", "pyqtgraph"):
            raise
        return _NO_QT
    said = app.no_window(dict(os.environ))
    if said and picture:
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
        return ""
    return said


def _run(options: argparse.Namespace) -> int:
    from closedloop.dashboard import app
    from closedloop.dashboard.layout_memory import LayoutMemory
    from closedloop.dashboard.theme import THEMES
    from closedloop.dashboard.window import Window

    memory = LayoutMemory()
    theme = THEMES[options.theme] if options.theme else memory.theme
    application = app.make(theme)
    window = Window(memory, theme)
    app.survive_errors(window.problems.say)
    app.close_on_signals(window.close)
    window.closed.connect(application.quit)
    try:
        _fill(window, options, Path(memory.text("out") or _DATA))
        _place(window, options, memory)
        return _take_picture(application, window, options) if options.screenshot else application.exec()
    finally:
        window.close()
        for folder in window.left_running:
            _say(f"the session goes on; to see it again: closedloop watch {folder}")


def _fill(window: Window, options: argparse.Namespace, data: Path) -> None:
    if options.kind == "watch":
        window.guide.hide()
        for session in options.sessions:
            window.watch(session)
        window.tabs.setCurrentIndex(0)
    else:
        window.attach_running(options.out or data)
        if not window.stations or options.protocol or options.rig:
            window.idle(options.protocol, options.rig, options.out)
    if options.tiles:
        window.toggle_tiles()


def _place(window: Window, options: argparse.Namespace, memory: LayoutMemory) -> None:
    """Size and place: as asked, as last time, or all of the screen."""
    if options.size:
        window.resize(*options.size)
        window.show()
    elif options.screenshot:
        window.resize(1366, 728)
        window.show()
    elif memory.geometry is not None and window.restoreGeometry(memory.geometry):
        window.show()
    else:
        window.showMaximized()


def _take_picture(application: QApplication, window: Window, options: argparse.Namespace) -> int:
    from closedloop.dashboard.screenshot import Screenshot
    from closedloop.watching.status import State

    words = {state.value: state for state in State}
    if options.when and options.when.upper() not in words:
        _say(f"--when: unknown state '{options.when}'; known: {', '.join(words)}")
        return _WRONG
    failures: list[str] = []

    def done(problem: str) -> None:
        if problem:
            failures.append(problem)
        application.quit()

    Screenshot(window, options.screenshot, done, words[options.when.upper()] if options.when else None)
    application.exec()
    for problem in failures:
        _say(problem)
    return _WRONG if failures else 0


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


def _leave(code: int) -> NoReturn:
    """End the process; past Qt's own end where there was a window."""
    if "PyQt6.QtWidgets" in sys.modules:
        from closedloop.dashboard import app

        app.leave(code)
    sys.exit(code)


if __name__ == "__main__":
    _leave(main())
