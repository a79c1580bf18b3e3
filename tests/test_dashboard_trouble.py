"""The dashboard in a hostile world: what is wrong is said in words with what to do, and the session is left alone."""

from __future__ import annotations

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import contextlib
import gc
import hashlib
import json
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PyQt6.QtCore import QCoreApplication, QEvent, Qt, QTimer
from PyQt6.QtTest import QTest
from PyQt6.QtWidgets import QApplication, QDialog, QFileDialog, QWidget
from pytestqt.qtbot import QtBot
from windows import Windows

from closedloop.control import AddNote, Arm, Order, Stop
from closedloop.dashboard.launch import Launched, launch
from closedloop.dashboard.station import Station
from closedloop.dashboard.window import Window
from closedloop.door import FILE, Door
from closedloop.health import HEALTH
from closedloop.recording import Recording, RecordingWriter, Rows, row_dtype
from closedloop.remote import Remote
from closedloop.steps import STEP, WARM
from closedloop.watching.status import State
from closedloop.watching.watch import Watch

END_S = 30.0
RATE_HZ = 130
CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
HEADER: dict[str, Any] = {
    "rate_mhz": RATE_HZ * 1000,
    "nano_units": 1,
    "input_names": ["lever"],
    "decisions": ["fire", "test"],
    "boards": {"daq": {}, "stimulator": {}},
    "protocol": {"warm_up": "1 s", "detector": {"kind": "threshold", "threshold": 5.0, "release": 2.0}},
    "by_hand": True,
    "expected_s": 600,
}
DONE = {"ended": "completed", "reason": "the duration is over"}


def readings(count: int, start: int = 0, **columns: object) -> Rows:
    """Plain rows at 130 Hz, all fit to act on."""
    rows = np.zeros(count, row_dtype(STEP))
    rows["seq"] = np.arange(start, start + count)
    rows["ticks"] = np.arange(start, start + count) * 1_000_000 // RATE_HZ
    rows["signal_lit"] = 1_000_000_000 + 1_000_000 * (rows["seq"] % 40)
    rows["control_lit"] = 800_000_000
    rows["host_ns"] = time.monotonic_ns()
    rows["threshold"], rows["bits"] = 5.0, WARM | 1
    for name, values in columns.items():
        rows[name] = values
    return rows


class Engine:
    """What the engine's process does to the world outside: a real recording that grows, and a real door.

    Attributes:
        orders: all that came through the door, in order.
    """

    def __init__(self, folder: Path, **header: object) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.orders: list[Order] = []
        self.writer = RecordingWriter.open(folder, header=HEADER | header, protocol="", rig="", dtype=row_dtype(STEP))
        self._door: Door | None = None
        self._keeper: threading.Thread | None = None
        self._count = 0

    def go_on(self, count: int = RATE_HZ, **columns: object) -> None:
        """More readings."""
        self.writer.append(readings(count, self._count, **columns))
        self._count += count

    def reach(self, phase: int) -> None:
        """A row of health: 2 waits for a person, 4 armed."""
        row = np.zeros(1, HEALTH)
        now_ns = time.monotonic_ns()
        row["ticks"] = max(0, self._count - 1) * 1_000_000 // RATE_HZ
        for name in ("host_ns", "heartbeat_ns", "daq_heard_ns", "stimulator_heard_ns"):
            row[name] = now_ns
        row["phase"], row["armed"] = phase, phase == 4
        self.writer.health(row)

    def open_door(self) -> None:
        self._door = Door(self.folder, self.orders.append)
        self._keeper = threading.Thread(target=self._door.serve, name="door")
        self._keeper.start()

    def close(self, summary: dict[str, Any] | None = None) -> None:
        if self._door is not None and self._keeper is not None:
            self._door.close()
            self._keeper.join()
            self._door = None
        self.writer.close(summary or DONE)


def closed(folder: Path, rows: Rows | None = None, **header: object) -> Path:
    """A whole recording of these rows."""
    engine = Engine(folder, **header)
    engine.writer.append(readings(260) if rows is None else rows)
    engine.close()
    return folder


class Desk(Windows):
    """... and what else happens around them."""

    def timer(self, act: Callable[[], object]) -> QTimer:
        """Something that happens again and again, in a dialog's own loop too."""
        made = QTimer(self._windows[-1])
        made.timeout.connect(act)
        made.start(20)
        return made

    def run(self, *arguments: object) -> Launched:
        """A session by the command line, as somebody else would start it."""
        one = launch([str(argument) for argument in arguments], self.folder / "logs")
        self.launched.append(one)
        return one

    def begun(self, one: Launched) -> Path:
        def header() -> bool:
            one.poll()
            return one.folder is not None and (one.folder / "header.json").is_file()

        self.until(header)
        assert one.folder is not None
        return one.folder


@pytest.fixture
def desk(qtbot: QtBot, tmp_path: Path) -> Iterator[Desk]:
    made = Desk(qtbot, tmp_path)
    yield made
    assert not [
        dialog for dialog in QApplication.topLevelWidgets() if isinstance(dialog, QDialog) and dialog.isVisible()
    ]
    made.close()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A session that runs, warm and ready to be armed."""
    made = Engine(tmp_path / "ses-1")
    made.go_on(3 * RATE_HZ)
    made.reach(2)
    made.open_door()
    yield made
    made.close()


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute of a signal with events, played at fifty times its speed through the whole loop."""
    folder = tmp_path_factory.mktemp("played")
    rows = readings(60 * RATE_HZ)
    noise = np.random.default_rng(1).standard_normal(len(rows))
    high = (np.arange(len(rows)) % (5 * RATE_HZ)) < RATE_HZ // 4
    rows["signal_lit"] = 1e9 * (1 + 0.004 * noise + 0.1 * high)
    rows["inputs"] = high
    source = closed(folder / "source" / "ses-1", rows)
    out = folder / "data"
    options = ["--rig", "simulated", "--play", str(source), "--speed", "50", "--headless", "--json", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "closedloop.cli", "run", "demo", *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (session,) = out.glob("sub-*/ses-*")
    return session


def fingerprint(folder: Path) -> dict[str, str]:
    """Of every file of a session."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def seen(folder: Path, most_rows: int = 20_000) -> Watch:
    """All of a session, without a window."""
    watch = Watch(folder)
    version = -1
    while watch.loaded < 1 or watch.version != version:
        version = watch.version
        watch.turn(time.monotonic_ns(), most_rows)
    return watch


# Recordings that are damaged, strange or old


def cut(name: str, at: int) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:at])


def written(name: str, data: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(data)


def gone(*names: str) -> Callable[[Path], object]:
    return lambda folder: [(folder / name).unlink() for name in names]


def header(**changes: object) -> Callable[[Path], object]:
    """Other fields in the header; ... takes one away."""

    def change(folder: Path) -> None:
        about = json.loads((folder / "header.json").read_text()) | changes
        kept = {name: value for name, value in about.items() if value is not ...}
        (folder / "header.json").write_text(json.dumps(kept))

    return change


def newer_table(folder: Path) -> None:
    data = bytearray((folder / "readings.table").read_bytes())
    data[8] = 7
    (folder / "readings.table").write_bytes(data)


def other_table(folder: Path) -> None:
    shutil.copyfile(folder / "health.table", folder / "readings.table")


def broken_log(folder: Path) -> None:
    data = bytearray((folder / "events.jsonl").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "events.jsonl").write_bytes(data)


WHOLE, CANNOT, OFF = State.COMPLETED, State.UNREADABLE, State.BROKEN_OFF
DAMAGE: dict[str, tuple[Callable[[Path], object], State, tuple[str, ...]]] = {
    "no byte of the table": (cut("readings.table", 0), CANNOT, ("readings.table", "restore")),
    "half of its first page": (cut("readings.table", 300), CANNOT, ("first page", "restore")),
    "its first page alone": (cut("readings.table", 4096), WHOLE, ("readings are lost", "restore")),
    "the table cut in mid-row": (cut("readings.table", 50_001), WHOLE, ("readings are lost", "restore")),
    "the table cut, no summary": (
        lambda folder: (cut("readings.table", 50_001)(folder), gone("summary.json")(folder)),
        OFF,
        ("readings are lost", "restore"),
    ),
    "no table": (gone("readings.table"), CANNOT, ("readings.table", "restore")),
    "another table in its place": (other_table, CANNOT, ("its rows lack", "another version")),
    "a newer table": (newer_table, CANNOT, ("newer", "update closedloop")),
    "a newer header": (header(format_version=99), CANNOT, ("newer", "update closedloop")),
    "half a header": (cut("header.json", 700), CANNOT, ("header.json", "restore")),
    "an empty header": (cut("header.json", 0), CANNOT, ("header.json", "restore")),
    "no header": (gone("header.json"), CANNOT, ("header.json is missing", "restore")),
    "a header of nonsense": (header(protocol="x", boards=None, tip_mw="much"), CANNOT, ("protocol", "restore")),
    "a torn event": (cut("events.jsonl", 1000), WHOLE, ("events after number", "restore")),
    "a damaged event": (broken_log, WHOLE, ("events after number", "restore")),
    "no events": (gone("events.jsonl"), WHOLE, ("events.jsonl", "restore")),
    "events of nonsense": (written("events.jsonl", bytes(range(256)) * 9), WHOLE, ("events", "restore")),
    "half a summary": (cut("summary.json", 40), OFF, ("summary.json", "restore")),
    "no summary": (gone("summary.json"), OFF, ()),
    "half a health table": (cut("health.table", 100), WHOLE, ("health.table", "restore")),
    "no health table": (gone("health.table"), WHOLE, ()),
    "an older header": (header(expected_s=..., by_hand=..., boards=..., decisions=["fire"]), WHOLE, ()),
    "hardly a header": (
        header(protocol=..., rig=..., limits=..., command=..., tip_mw=..., decisions=..., speed=..., boards=...),
        WHOLE,
        (),
    ),
}


def test_every_damage_is_said_in_words_and_all_that_is_left_is_shown(desk: Desk, played: Path) -> None:
    window = desk.open()
    station = window.add_station()
    for number, (name, (damage, state, words)) in enumerate(DAMAGE.items()):
        folder = desk.folder / f"ses-{number}"
        shutil.copytree(played, folder)
        damage(folder)
        before = fingerprint(folder)
        window.problems.problems.clear()
        print(name)
        station.attach(folder)
        desk.until(lambda state=state: station.state is state)
        desk.until(lambda: station.is_shown_whole)
        for tab in range(station.page.tabs.count()):
            station.page.tabs.setCurrentIndex(tab)
            station.redraw()
        desk.until(lambda words=words: all(word in window.problems.newest for word in words))
        assert bool(window.problems.problems) == bool(words), (name, window.problems.problems)
        said = station.page.strip.said()
        assert state.value in said["state"], name
        assert ("NOT RECORDING" in said["recording"]) == (state is not WHOLE), name
        assert fingerprint(folder) == before, name


ODD: dict[str, tuple[Rows, dict[str, object]]] = {
    "no reading": (readings(0), {}),
    "one reading": (readings(1), {}),
    "scores that are all unknown": (readings(500, score=np.nan, feature=np.nan, threshold=np.nan), {}),
    "sixteen inputs": (
        readings(500, inputs=np.arange(500) % 65_536),
        {"input_names": [f"a rather long input name {n}" for n in range(16)]},
    ),
    "no stimulator": (readings(500), {"boards": {"daq": {}}}),
    "detection by the board": (readings(500, score=np.nan), {"protocol": {"policy": {"kind": "on_board"}}}),
    "a clock of another boot": (readings(500, host_ns=2**62), {"started_ns": 2**62}),
    "a gap of a day": (np.concatenate([readings(50), readings(50, 130 * 86_400)]), {}),
    "the highest counts": (readings(500, signal_lit=2**31 - 1, control_lit=-(2**31)), {}),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_recording_is_shown_like_any_other(name: str, desk: Desk) -> None:
    rows, about = ODD[name]
    folder = closed(desk.folder / "ses-1", rows, **about)
    window = desk.open()
    station = window.watch(folder)
    desk.until(lambda: station.state is State.COMPLETED and station.is_shown_whole)
    for tab in range(station.page.tabs.count()):
        station.page.tabs.setCurrentIndex(tab)
        station.redraw()
        QApplication.processEvents()
    assert station.watch is not None
    assert station.watch.tallies.received == len(rows)
    assert window.problems.problems == []


def test_a_session_played_at_fifty_times_its_speed_is_whole_in_the_window(desk: Desk, played: Path) -> None:
    station = desk.open().watch(played)
    desk.until(lambda: station.state is State.COMPLETED and station.is_shown_whole)
    assert station.watch is not None
    tallies, recording = station.watch.tallies, Recording.open(played)
    assert tallies.received == 60 * RATE_HZ
    assert tallies.detections > 3
    assert tallies.missing == 0
    lit = [event for event in recording.events() if event.kind == "light_on"]
    assert tallies.trains["delivered"] == len(lit) > 3
    assert len(station.watch.marks.spans("light", 0, 60)) == len(lit)


def test_a_folder_that_is_renamed_while_it_is_watched_is_said_and_found_again(desk: Desk, engine: Engine) -> None:
    window = desk.open()
    station = window.watch(engine.folder)
    desk.until(lambda: station.state is State.READY)
    elsewhere = engine.folder.with_name("moved")
    engine.folder.rename(elsewhere)
    desk.until(lambda: station.state is State.UNREADABLE)
    assert "the folder is gone" in window.problems.newest
    desk.until(lambda: "NOT RECORDING" in station.page.strip.said()["recording"])
    elsewhere.rename(engine.folder)
    engine.go_on()
    desk.until(lambda: station.state is State.READY)
    assert station.watch is not None
    desk.until(lambda: station.watch.tallies.received == 4 * RATE_HZ)


def test_a_folder_that_is_deleted_keeps_what_was_shown(desk: Desk, played: Path) -> None:
    folder = desk.folder / "ses-1"
    shutil.copytree(played, folder)
    window = desk.open()
    station = window.watch(folder)
    desk.until(lambda: station.is_shown_whole and station.watch.loaded == 1)
    shutil.rmtree(folder)
    desk.until(lambda: station.state is State.UNREADABLE)
    assert "put it back" in window.problems.newest
    assert station.watch is not None
    assert station.watch.tallies.received == 60 * RATE_HZ
    time_s, volts = station.watch.traces.curve("signal", 0, 60, 500)
    assert np.isfinite(volts).any()
    assert len(time_s) == len(volts)


# Esc, whatever else is going on


def stops(engine: Engine) -> list[str]:
    return [order.reason for order in engine.orders if isinstance(order, Stop)]


class Seat:
    """One window on a session that runs, and the Esc key."""

    def __init__(self, desk: Desk, engine: Engine) -> None:
        self.desk = desk
        self.engine = engine
        self.window = desk.open()
        self.station = self.window.watch(engine.folder)
        desk.until(lambda: self.station.state is State.READY)
        desk.until(lambda: self.station.remote is not None and self.station.remote.connected)
        desk.until(self.station.page.controls.arm.isEnabled)

    def esc(self, widget: QWidget) -> None:
        """Esc where the keyboard is; exactly one order comes of it."""
        assert stops(self.engine) == []
        QTest.keyClick(widget, Qt.Key.Key_Escape)
        self.desk.until(lambda: stops(self.engine))
        assert stops(self.engine) == ["Esc"]

    def beside(self) -> Station:
        """The page before a session, in a tile beside the one that runs."""
        other = self.window.add_station()
        QTest.keyClick(self.window, Qt.Key.Key_F3)
        assert self.window.shown == self.window.stations
        return other


@pytest.fixture
def seat(desk: Desk, engine: Engine) -> Seat:
    return Seat(desk, engine)


@pytest.mark.parametrize("field", ["note", "threshold", "release", "arm", "disarm"])
def test_esc_in_any_control_is_dark(field: str, seat: Seat) -> None:
    widget = getattr(seat.station.page.controls, field)
    widget.setFocus()
    QTest.keyClicks(widget, "3")
    seat.esc(widget)


def test_esc_takes_the_first_of_two_presses_to_arm_back_and_is_dark(seat: Seat) -> None:
    arm = seat.station.page.controls.arm
    QTest.keyClick(seat.window, Qt.Key.Key_R, CONTROL)
    assert arm.is_asking
    seat.esc(arm)
    assert not arm.is_asking
    QTest.keyClick(seat.window, Qt.Key.Key_R, CONTROL)
    assert [order for order in seat.engine.orders if isinstance(order, Arm)] == []


def test_esc_with_a_list_open_is_dark(seat: Seat) -> None:
    box = seat.beside().setup.protocol
    box.showPopup()
    seat.desk.until(box.view().isVisible)
    seat.esc(box.view())


def test_esc_with_a_menu_open_is_dark(seat: Seat) -> None:
    note = seat.station.page.controls.note
    menu = note.createStandardContextMenu()
    assert menu is not None
    menu.popup(note.mapToGlobal(note.rect().center()))
    seat.desk.until(menu.isVisible)
    seat.esc(menu)
    menu.deleteLater()


def test_esc_in_the_dialog_that_opens_a_recording_is_dark_and_closes_it(seat: Seat) -> None:
    QTest.keyClick(seat.window, Qt.Key.Key_O, CONTROL)
    seat.desk.until(lambda: seat.window.findChild(QFileDialog) is not None)
    dialog = seat.window.findChild(QFileDialog)
    assert dialog is not None
    seat.esc(dialog)
    seat.desk.until(lambda: seat.window.findChild(QFileDialog) is None)


def test_esc_in_a_dialog_of_the_page_before_a_session_is_dark(seat: Seat) -> None:
    setup = seat.beside().setup
    opened = next(b for b in setup.findChildren(QWidget) if b.accessibleName() == "Open data folder")
    pressed: list[str] = []

    def press() -> None:
        dialog = QApplication.activeModalWidget()
        if isinstance(dialog, QFileDialog):
            pressed.append(type(dialog).__name__)
            QTest.keyClick(dialog, Qt.Key.Key_Escape)
            timer.stop()

    timer = seat.desk.timer(press)
    QTest.mouseClick(opened, Qt.MouseButton.LeftButton)  # it comes back when the dialog is closed
    seat.desk.until(lambda: stops(seat.engine))
    assert stops(seat.engine) == ["Esc"]
    assert pressed


def test_esc_with_the_help_sheet_open_is_dark_and_puts_it_away(seat: Seat) -> None:
    QTest.keyClick(seat.window, Qt.Key.Key_F1)
    assert seat.window.help is not None
    assert seat.window.help.isVisible()
    seat.esc(seat.window)
    assert not seat.window.help.isVisible()


def test_esc_on_the_guide_is_dark(seat: Seat) -> None:
    seat.window.guide.show()
    seat.window.guide.away_button.setFocus()
    seat.esc(seat.window.guide.away_button)


def test_esc_before_the_session_takes_orders_arrives_as_soon_as_it_does(desk: Desk) -> None:
    engine = Engine(desk.folder / "ses-1")
    engine.go_on()
    window = desk.open()
    station = window.watch(engine.folder)
    desk.until(lambda: station.is_running)
    QTest.keyClick(window, Qt.Key.Key_Escape)
    desk.until(lambda: "it takes no orders yet" in window.problems.newest)
    engine.open_door()
    desk.until(lambda: stops(engine))
    assert stops(engine) == ["Esc"]
    engine.close()


def test_esc_while_a_long_recording_is_still_being_read_is_dark(desk: Desk) -> None:
    engine = Engine(desk.folder / "ses-1")
    engine.go_on(400_000)
    engine.open_door()
    window = desk.open()
    station = window.watch(engine.folder)
    desk.until(lambda: station.remote is not None and station.remote.connected)
    assert station.watch is not None
    assert station.watch.loaded < 1
    QTest.keyClick(window, Qt.Key.Key_Escape)
    assert station.watch.loaded < 1
    desk.until(lambda: stops(engine))
    engine.close()


def test_esc_reaches_a_session_whose_folder_was_moved_away(seat: Seat) -> None:
    elsewhere = seat.engine.folder.with_name("moved")
    seat.engine.folder.rename(elsewhere)
    seat.desk.until(lambda: seat.station.state is State.UNREADABLE)
    seat.esc(seat.window)
    elsewhere.rename(seat.engine.folder)


def test_two_windows_on_one_session_both_give_orders(seat: Seat) -> None:
    other = Seat(seat.desk, seat.engine)
    for number, one in enumerate((seat, other, seat, other)):
        note = one.station.page.controls.note
        note.setText(f"note {number}")
        QTest.keyClick(note, Qt.Key.Key_Return)
        seat.desk.until(lambda number=number: AddNote(f"note {number}") in seat.engine.orders)
    QTest.keyClick(other.window, Qt.Key.Key_Escape)
    seat.desk.until(lambda: len(stops(seat.engine)) == 2)  # one application here: both windows hear its keys
    assert [type(order).__name__ for order in seat.engine.orders] == ["AddNote"] * 4 + ["Stop"] * 2


def test_a_stranger_on_the_port_of_a_killed_session_is_told_from_it(desk: Desk, engine: Engine) -> None:
    way = json.loads((engine.folder / FILE).read_text())
    for port in (99_999, "x", None):
        (engine.folder / FILE).write_text(json.dumps(way | {"port": port}))
        assert not Remote(engine.folder).connect()
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        stranger.settimeout(END_S)
        (engine.folder / FILE).write_text(json.dumps(way | {"port": stranger.getsockname()[1]}))
        window = desk.open()
        station = window.watch(engine.folder)
        desk.until(lambda: station.remote is not None and station.remote.connected)
        client, _ = stranger.accept()
        client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n[]\n{}\n")
        desk.until(lambda: "is not this session" in " ".join(window.problems.problems))
        client.close()


def test_a_place_for_logs_that_cannot_be_made_is_said_and_nothing_starts(qtbot: QtBot, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("a file")
    desk = Desk(qtbot, tmp_path)
    window = desk.open()
    station = window.idle("demo", "simulated", tmp_path / "data")
    station.setup.start.click()
    assert station.launched is None
    assert "cannot be started from here" in window.problems.newest
    desk.close()


# Nothing is left behind


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts in /proc")
def test_twenty_sessions_leave_no_widget_thread_process_or_file_behind(desk: Desk, played: Path) -> None:
    window = desk.open()
    window.idle("demo", "simulated", desk.folder)
    this = psutil.Process()
    others = {child.pid for child in this.children(recursive=True)}  # an earlier test's, such as multiprocessing's own

    def children() -> set[int]:
        return {child.pid for child in this.children(recursive=True)} - others

    def once() -> None:
        station = window.add_station()
        station.attach(played)
        desk.until(lambda: station.is_shown_whole)
        for tab in range(station.page.tabs.count()):  # the last one starts a process for its question
            station.page.tabs.setCurrentIndex(tab)
            station.redraw()
        QTest.keyClick(window, Qt.Key.Key_W, CONTROL)

    def left() -> tuple[int, int, int, int]:
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
        QApplication.processEvents()
        gc.collect()
        return (
            len(QApplication.allWidgets()),
            threading.active_count(),
            len(children()),
            open_files(),
        )

    once()
    once()
    desk.until(lambda: not children())
    left()
    before = left()
    for _ in range(18):
        once()
    desk.until(lambda: not children())
    desk.until(lambda: left() <= before)
    assert all(now <= then for now, then in zip(left(), before, strict=True))


# All that was seen live is there again


def test_a_window_that_is_opened_afterwards_shows_what_one_that_was_there_had_seen(played: Path) -> None:
    live, again = seen(played, 97), seen(played)
    for name in ("received", "missing", "detections", "decisions", "refused", "trains", "lit_s"):
        assert getattr(live.tallies, name) == getattr(again.tallies, name), name
    assert live.marks.kinds == again.marks.kinds
    for kind in live.marks.kinds:
        assert live.marks.spans(kind, 0, 60) == again.marks.spans(kind, 0, 60), kind
    assert live.marks.happenings(None, 500) == again.marks.happenings(None, 500)
    assert [(a.key, a.n) for a in live.peri.averages()] == [(a.key, a.n) for a in again.peri.averages()]
    assert live.status == again.status


# What keeps a session from starting


def start(desk: Desk, window: Window, station: Station) -> str:
    """Press Start; what the page then says. The session must not have begun."""
    station.setup.start.click()
    assert station.launched is not None, station.setup.problems
    desk.launched.append(station.launched)
    desk.until(lambda: station.watch is None)
    assert station.setup.isVisible()
    assert window.problems.newest in station.failure
    return station.failure


def rig_at(folder: Path, daq: str, stimulator: str) -> Path:
    rig = folder / "box.yaml"
    rig.write_text(
        "version: 1\nname: box\nlight: {wavelength: 638 nm, full_power: 10 mW, core: 200 um, aperture: 0.39}\n"
        f"daq: {{kind: photometry_board, port: {daq}}}\nstimulator: {{kind: arduino, port: {stimulator}}}\n"
    )
    return rig


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo-terminals here")
def test_a_port_that_another_program_holds_is_said_with_what_to_do(desk: Desk) -> None:
    import fcntl

    ours, theirs = os.openpty()
    fcntl.flock(theirs, fcntl.LOCK_EX)
    try:
        window = desk.open()
        rig = rig_at(desk.folder, os.ttyname(theirs), str(desk.folder / "ttyB"))
        said = start(desk, window, window.idle("demo", str(rig), desk.folder / "data"))
        assert os.ttyname(theirs) in said
        assert "close the program that uses it" in said
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder in which nobody can make another")
def test_a_data_folder_in_which_nothing_can_be_made_is_said(desk: Desk) -> None:
    window = desk.open()
    station = window.idle("demo", "simulated", Path("/proc/data"))
    said = " ".join(station.setup.problems) or start(desk, window, station)  # for root the check sees no reason
    assert "/proc" in said
    assert "choose another data folder" in said


def test_a_bad_protocol_rig_subject_or_folder_is_said_on_the_page_and_nothing_starts(desk: Desk) -> None:
    bad, text = desk.folder / "bad.yaml", desk.folder / "text.yaml"
    bad.write_text("version: 1\nname: bad\ndetector: {kind: threshold, thresold: 4}\nlight: {on: 5 weeks}\n")
    text.write_bytes(b"\xff\xfe\x00 not: [yaml")
    window = desk.open()
    station = window.idle(str(bad), "simulated", desk.folder)
    setup = station.setup
    for protocol, rig, words in (
        (str(bad), "simulated", "did you mean 'threshold'"),
        (str(text), "simulated", "text.yaml"),
        ("nosuchprotocol", "simulated", "nosuchprotocol"),
        (str(desk.folder), "simulated", str(desk.folder)),
        ("demo", "nosuchrig", "nosuchrig"),
        ("demo", str(bad), "bad.yaml"),
    ):
        setup.choose(protocol, rig)
        assert words in " ".join(setup.problems), protocol
        assert not setup.start.isEnabled()
        QTest.keyClick(setup, Qt.Key.Key_Return, CONTROL)
        assert station.launched is None
    setup.choose("demo", "simulated")
    assert setup.problems == []
    for field, wrong, words in (
        (setup.subject, "../M 17", "--subject"),
        (setup.subject, "Mäuschen", "--subject"),
        (setup.out, str(bad), "is a file"),
        (setup.duration, "long", "--duration"),
        (setup.seed, "-1", "--seed"),
    ):
        before = field.text()
        field.setText(wrong)
        setup.check_now()
        assert words in " ".join(setup.problems), wrong
        assert not setup.start.isEnabled()
        field.setText(before)
    setup.check_now()
    assert setup.start.isEnabled()


def test_the_dashboard_command_shows_the_problems_of_the_protocol_that_it_was_given(tmp_path: Path) -> None:
    bad, picture = tmp_path / "bad.yaml", tmp_path / "picture.png"
    bad.write_text("version: 1\nname: bad\n")
    done = program("dashboard", bad, "--rig", "nosuchrig", "--out", tmp_path, "--screenshot", picture)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert picture.is_file()


def program(*arguments: object, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command line on a computer without display, platform or memory."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "SYSTEMROOT") if name in os.environ}
    place = folder or Path(str(next(a for a in arguments if isinstance(a, Path)))).parent
    environment = kept | {"HOME": str(place), "CLOSEDLOOP_CONFIG": str(place / "config")}
    command = [sys.executable, "-m", "closedloop.cli", *map(str, arguments)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True)
    try:
        out, said = process.communicate(timeout=4 * END_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return subprocess.CompletedProcess(command, process.returncode, out, said)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is always a display")
def test_without_a_display_nothing_is_raised_and_one_line_says_why(tmp_path: Path) -> None:
    nothing = program("watch", tmp_path / "nothing")
    assert nothing.returncode == 5
    assert "no such session folder" in nothing.stderr
    without = program("dashboard", "demo", folder=tmp_path)
    assert without.returncode == 3
    assert without.stderr.startswith("no display is found")
    for done in (nothing, without):
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1


def test_a_session_that_trips_still_gives_its_picture_its_code_and_one_object(tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    faults = [f"--set=rig.simulation.faults.{fault}" for fault in ("stall_at=6500ms", "stall_for=2s")]
    options = ["--rig=simulated", "--seed=3", "--duration=20s", "--json", *faults, "--out", tmp_path / "data"]
    done = program("run", "demo", *options, "--screenshot", picture)
    assert done.returncode == 4, done.stderr
    assert json.loads(done.stdout)["ended"] == "tripped"
    assert "Traceback" not in done.stderr
    assert picture.is_file()


# What happens in mid-session


def test_a_person_garbage_and_strangers_at_the_door_and_then_a_dead_engine(desk: Desk) -> None:
    one = desk.run("run", "demo", "--rig=simulated", "--by-hand", "--headless", "--seed=3", f"--out={desk.folder}")
    folder = desk.begun(one)
    window = desk.open()
    station = window.watch(folder)
    desk.until(lambda: station.remote is not None and station.remote.connected)
    knock(folder, 200)
    page = station.page
    desk.until(page.controls.note.isEnabled)
    for remark in ("lever jammed", "ü→∞ " * 50, "<b>bold</b> \\n {}"):
        page.controls.note.setText(remark)
        QTest.keyClick(page.controls.note, Qt.Key.Key_Return)
    recording = Recording.open(folder)

    def remarks() -> list[str | None]:
        return [event.text for event in recording.events() if event.reason == "remark" and event.text]

    desk.until(lambda: len(remarks()) == 3)
    assert remarks() == ["lever jammed", ("ü→∞ " * 50).strip(), "<b>bold</b> \\n {}"]
    before = recording.table.head
    desk.until(lambda: recording.table.head > before + 2 * RATE_HZ)
    rows = recording.rows()
    assert np.array_equal(np.diff(rows["seq"]), np.ones(len(rows) - 1))
    assert not [event for event in recording.events() if event.kind in ("light_on", "trip")]
    os.kill(recording.header["computer"]["engine_pid"], signal.SIGKILL)
    desk.until(lambda: station.state is State.BROKEN_OFF)
    desk.until(lambda: "NOT RECORDING" in page.strip.said()["recording"])
    assert "without closing the session" in page.strip.said()["state"]
    desk.until(page.new_button.isVisible)
    assert one.wait(END_S) == 3
    assert station.watch is not None
    desk.until(lambda: station.watch.tallies.received == Recording.open(folder).table.head)


def knock(folder: Path, times: int) -> None:
    """Nonsense at the door: without and with the token, torn, long, and in numbers."""
    way = json.loads((folder / FILE).read_text())
    dice = random.Random(1)
    for number in range(times):
        with socket.create_connection(("127.0.0.1", way["port"]), timeout=5) as client:
            order = {"token": way["token"], "order": dice.choice(["fire", "threshold", "note", "arm", ""]), "x": number}
            text = json.dumps(order).encode()
            client.sendall(
                dice.choice([dice.randbytes(300), text, text + b"\n", text[: number % 50] + b"\n", b"\n" * 9])
            )


def test_a_rig_that_dies_is_device_lost_in_words(desk: Desk) -> None:
    one = desk.run("run", "demo", "--rig=simulated", "--headless", "--seed=3", f"--out={desk.folder}")
    folder = desk.begun(one)
    window = desk.open()
    station = window.watch(folder)
    desk.until(lambda: station.state is State.WARM_UP)
    assert station.watch is not None
    engine = station.watch.header["computer"]["engine_pid"]
    parent = psutil.Process(engine).parent()
    assert parent is not None
    others = [child for child in parent.children() if child.pid != engine]
    rigs = [child for child in others if "resource_tracker" not in " ".join(child.cmdline())]
    for rig in rigs:
        rig.kill()
    desk.until(lambda: station.state is State.DEVICE_LOST)
    said = station.page.strip.said
    desk.until(lambda: "cable" in said()["state"])
    assert "NOT RECORDING" in said()["recording"]
    assert one.wait(END_S) == 3


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", place], capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"no small disk here: {made.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_disk_that_fills_up_is_loud_and_the_session_ends_in_words(desk: Desk, played: Path, small_disk: Path) -> None:
    options = ["--rig=simulated", f"--play={played}", "--speed=10", "--headless", "--seed=3", f"--out={small_disk}"]
    one = desk.run("run", "demo", "--set=warm_up=2s", *options)
    folder = desk.begun(one)
    window = desk.open()
    station = window.watch(folder)
    said = station.page.strip.said
    desk.until(lambda: "disk low" in said()["recording"])
    assert "DISK LOW" in said()["recording"]
    hog = small_disk / "hog"
    with contextlib.suppress(OSError), hog.open("wb", buffering=0) as file:
        while file.write(bytes(4096)) == 4096:
            pass
    desk.until(lambda: station.state is State.FAILED)
    desk.until(lambda: "NOT RECORDING" in said()["recording"])
    desk.until(lambda: "the disk is full; make space" in said()["state"])
    one.wait(END_S)
    assert Recording.open(folder).finished
    assert station.watch is not None
    assert station.watch.tallies.received == Recording.open(folder).table.head > 0
