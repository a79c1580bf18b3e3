"""One rig on screen: the page before a session, or the session. It decides nothing, and Esc never waits for pictures.

Each turn of its timer does one small thing (read, plots, strip, one other panel), so that no event keeps Esc waiting.
"""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from PyQt6.QtCore import Qt, QTimer, pyqtSignal
from PyQt6.QtWidgets import QLabel, QStackedLayout, QVBoxLayout, QWidget

from closedloop.control import Order, Stop
from closedloop.dashboard.inputs.launch_request import LaunchRequest
from closedloop.dashboard.inputs.setup import Setup
from closedloop.dashboard.launch import Launched, launch
from closedloop.dashboard.session_page import SessionPage
from closedloop.dashboard.theme import DARK, Theme
from closedloop.recording.folder import HEADER
from closedloop.remote import Remote
from closedloop.watching.follower import Stage
from closedloop.watching.status import State
from closedloop.watching.watch import Watch

_STEP_MS = 8  # four steps make one picture: 30 a second
_IDLE_MS = 50
_HIDDEN_MS = 250
_LOADING_STEPS = 3
_CONNECT_EVERY_NS = 250_000_000
_ASK_AGAIN_NS = 1_500_000_000  # after Esc, a session of ours that still runs is asked another way
_KILL_NS = 10_000_000_000  # ... and ended; one that is starting may well take seconds
_OF_ESC = f"{Stop.__name__}:"  # what came of Esc is on screen; a second one finds the door shut
_UNREACHED = (
    "Esc has not reached the session: it takes no orders yet. It is sent as soon as it does; until then, "
    "stop it where it was started, by Ctrl-C"
)
_NOWHERE = "no session folder yet"
_ENDED = (Stage.FINISHED, Stage.BROKEN_OFF, Stage.UNREADABLE)


class Station(QWidget):
    """One rig.

    Attributes:
        setup: the page before a session.
        page: the session's panels.
        watch: what is known of the session; None before there is one.
        remote: its door; None before there is a folder.
        launched: its process, if it was started here.
        said: emitted with a problem in words.
        changed: emitted when title or state are others.
    """

    said = pyqtSignal(str)
    changed = pyqtSignal()

    def __init__(self, logs: Path, theme: Theme = DARK, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setup = Setup(theme)
        self.page = SessionPage(self._red, theme)
        self.watch: Watch | None = None
        self.remote: Remote | None = None
        self.launched: Launched | None = None
        self._logs = logs
        self._request: LaunchRequest | None = None
        self._dark_ns = -_ASK_AGAIN_NS  # when Esc was last pressed
        self._is_stop_due = False  # Esc was pressed before the session had a door
        self._urges: list[tuple[int, Callable[[], None]]] = []
        self._next_connect_ns = 0
        self._known: tuple[str, State | None] = ("", None)
        self._said_of_folder = ""
        self._failure = QLabel()
        self._failure.setObjectName("failure")
        self._failure.setWordWrap(True)
        self._failure.setTextFormat(Qt.TextFormat.PlainText)
        self._failure.hide()
        self._before = QWidget()
        column = QVBoxLayout(self._before)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._failure)
        column.addWidget(self.setup, 1)
        self._layers = QStackedLayout(self)
        self._layers.addWidget(self._before)
        self._layers.addWidget(self.page)
        self.setup.start_asked.connect(self.start)
        self.page.asked.connect(self.send)
        self.page.new_asked.connect(self.leave)
        self._paint_failure(theme)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._step)
        self._steps: Iterator[Callable[[], None]] = iter(())
        self._timer.start(_STEP_MS)

    @property
    def title(self) -> str:
        """The rig's name, as far as it is known."""
        if self.watch is None:
            return _bare(self.setup.rig.currentText().strip()) or "rig"
        rig = self.watch.header.get("rig")
        name = rig.get("name") if isinstance(rig, dict) else None
        return str(name or (_bare(self._request.rig) if self._request else self.watch.follower.folder.name))

    @property
    def state(self) -> State | None:
        """How the session stands; None if there is none."""
        return self.watch.status.state if self.watch else None

    @property
    def folder(self) -> Path | None:
        """Of the session's recording; None before it is made."""
        return self.watch.follower.folder if self.watch is not None and self.remote is not None else None

    @property
    def is_running(self) -> bool:
        """Whether a session is starting or runs."""
        if self.launched is not None and self.launched.exit_code is None:
            return True
        return self.watch is not None and self.watch.follower.stage is Stage.RUNNING

    @property
    def failure(self) -> str:
        """Why the last session did not start, as it stands on the page before a session; empty if it did."""
        return "" if self._failure.isHidden() else self._failure.text()

    @property
    def is_begun(self) -> bool:
        """Whether there is a session that has its header."""
        return self.watch is not None and bool(self.watch.follower.header)

    @property
    def is_shown_whole(self) -> bool:
        """Whether the session is over and all of it has been read; without one there is nothing to wait for."""
        if self.watch is None or self.watch.follower.stage is Stage.UNREADABLE:
            return True
        if self.launched is None and not self.watch.follower.folder.is_dir():
            return True
        return self.watch.loaded >= 1 and not self.is_running

    def start(self, request: LaunchRequest) -> None:
        """Start a session; what keeps it from starting is said in words."""
        if self.is_running:
            return
        run, *others = request.arguments()
        try:
            self.launched = launch([run, "--by-hand", *others], self._logs)
        except OSError as error:
            self.said.emit(f"{self._logs}: the session cannot be started from here: {error.strerror or error}")
            return
        self._request = request
        self._show(Watch(self._logs / _NOWHERE))

    def attach(self, folder: Path) -> None:
        """Watch a session that runs, or look through one that has ended."""
        self.launched = None
        self._follow(folder)

    def send(self, order: Order) -> None:
        """Give an order; what is wrong with it is said when the session answers."""
        if self.remote is not None:
            self.remote.send(order)

    def dark(self) -> None:
        """Dark, now, by the open socket; nothing, if nothing runs. No widget is touched: see `show_dark`."""
        sent = self.remote is not None and self.remote.connected and self.remote.send(Stop("Esc"))
        if not self.is_running and not self._may_begin:
            return
        now_ns = time.perf_counter_ns()
        if not sent and now_ns - self._dark_ns > _ASK_AGAIN_NS:
            self._dark_without_door()
        self._dark_ns = now_ns
        if self.launched is not None and not self._urges:
            self._urges = [(now_ns + _ASK_AGAIN_NS, self.launched.stop)] if sent else []
            self._urges.append((now_ns + _KILL_NS, self.launched.kill))

    def show_dark(self) -> None:
        """What is on screen follows Esc."""
        self.page.cancel()

    def leave(self) -> None:
        """Back to the page before a session, once this one is over."""
        if self.is_running:
            return
        self.close_session()
        self._failure.hide()
        self._layers.setCurrentWidget(self._before)
        self.setup.check_now()
        self._tell()

    def close_session(self) -> None:
        """Let go of the session, which goes on if it runs."""
        if self.remote is not None:
            self.remote.close()
        self.page.release()
        self.watch, self.remote, self.launched = None, None, None
        self._urges.clear()
        self._is_stop_due = False
        self._steps = iter(())

    def shut(self) -> None:
        """The end of this station: no timer, no socket, no process of its own is left."""
        self._timer.stop()
        self.close_session()
        gc.unfreeze()  # what was kept from collection may be collected now: plots hold on to each other

    def set_compact(self, compact: bool) -> None:
        """As a tile, without the column of panels; or whole."""
        self.page.set_compact(compact)

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self.setup.set_theme(theme)
        self._paint_failure(theme)
        self.page.set_theme(theme)
        self.redraw()

    def _paint_failure(self, theme: Theme) -> None:
        self._failure.setStyleSheet(
            f"#failure {{ color: {theme.text}; background: {theme.panel}; border: 2px solid {theme.danger};"
            f" border-radius: 4px; padding: 8px; font-size: {theme.font_px + 3}px; }}"
        )

    def redraw(self) -> None:
        """Draw everything there is now; for a picture of the window."""
        if self.watch is not None:
            self.page.show_all(self.watch)

    @property
    def _may_begin(self) -> bool:
        """Whether this is a folder in which somebody else's session is about to begin."""
        return self.watch is not None and self.watch.follower.stage is Stage.WAITING

    def _red(self) -> None:
        self.dark()
        self.show_dark()

    def _dark_without_door(self) -> None:
        """The door was shut when last tried: try again; and if it is, ask the session's process, as Ctrl-C would."""
        if self.remote is not None and self.remote.send(Stop("Esc")):
            return
        if self.launched is not None:
            self.launched.stop()
            return
        self._is_stop_due = True
        self.said.emit(_UNREACHED)

    def _follow(self, folder: Path) -> None:
        if self.remote is not None:
            self.remote.close()
        self.remote = Remote(folder)
        self._next_connect_ns = 0
        self._show(Watch(folder))

    def _show(self, watch: Watch) -> None:
        self.watch = watch
        self._said_of_folder = ""
        self.page.begin(watch)
        self._layers.setCurrentWidget(self.page)
        self.page.plots.setFocus()  # where no key gives an order
        self._steps = iter(())
        self._tell()

    def _step(self) -> None:
        """One small thing; the next one when the timer comes again."""
        interval = _HIDDEN_MS if not self.isVisible() else _IDLE_MS if self.watch is None else _STEP_MS
        if self._timer.interval() != interval:
            self._timer.setInterval(interval)
        step = next(self._steps, None)
        if step is None:
            self._steps = self._round()
            step = next(self._steps)
        step()

    def _round(self) -> Iterator[Callable[[], None]]:
        """All that makes one picture, in small steps; reading comes oftener while there is much to read."""
        yield self._look
        watch = self.watch
        if watch is None or not self.isVisible():
            return
        if watch.loaded < 1 and watch.follower.header:
            yield from itertools.repeat(self._read, _LOADING_STEPS)
        yield from self.page.steps(watch)

    def _read(self) -> None:
        if self.watch is None:
            return
        was_loading = self.watch.loaded < 1
        self.watch.turn(time.perf_counter_ns())
        if was_loading and self.watch.loaded == 1:
            gc.collect()
            gc.freeze()  # what is here stays: a later collection, which Esc might wait for, need not go through it

    def _look(self) -> None:
        """Process, recording, door."""
        self._poll_process()
        self._read()
        self._mind_door()
        self._insist()
        self._tell()

    def _poll_process(self) -> None:
        launched = self.launched
        if launched is None:
            return
        ended_before = launched.exit_code is not None
        launched.poll()
        if launched.folder is not None and self.remote is None:
            self._follow(launched.folder)
        if launched.exit_code is not None and not ended_before:
            self._process_ended(launched)

    def _process_ended(self, launched: Launched) -> None:
        """A session that never began leads back to the page before it; one that did says itself how it ended."""
        problems = [] if self._urges else launched.problems  # after Esc there is nothing to explain
        for problem in problems:
            self.said.emit(problem)
        began = launched.folder is not None and (launched.folder / HEADER).is_file()
        if self.watch is None or self.watch.follower.header or began:
            return
        self.leave()
        self._failure.setText("\n".join(["The session did not start.", *problems]))
        self._failure.setVisible(bool(problems))

    def _mind_door(self) -> None:
        """Keep the door open, so that Esc finds it open; pass on what was answered."""
        remote, watch = self.remote, self.watch
        if remote is None or watch is None:
            return
        now_ns = time.perf_counter_ns()
        if not remote.connected and now_ns >= self._next_connect_ns and watch.follower.stage not in _ENDED:
            self._next_connect_ns = now_ns + _CONNECT_EVERY_NS
            if remote.connect() and self._is_stop_due:
                self._is_stop_due = not remote.send(Stop("Esc"))
        for answer in remote.answers():
            if not answer.startswith(_OF_ESC):
                self.said.emit(answer)
        if watch.follower.problem != self._said_of_folder:
            self._said_of_folder = watch.follower.problem
            self.said.emit(watch.follower.problem)

    def _insist(self) -> None:
        """After Esc a session of ours that does not end is asked another way, and at last ended."""
        if not self.is_running:
            self._urges.clear()
        elif self._urges and time.perf_counter_ns() >= self._urges[0][0]:
            self._urges.pop(0)[1]()

    def _tell(self) -> None:
        known = (self.title, self.state)
        if known != self._known:
            self._known = known
            self.changed.emit()


def _bare(name: str) -> str:
    """A rig's name as short as a tab needs it: of a file, its name alone."""
    return Path(name).stem if name.endswith((".yaml", ".yml")) else name
