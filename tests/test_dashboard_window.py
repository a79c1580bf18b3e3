"""The window: Esc, starting and following sessions, problems in words, what it remembers. Sessions are real."""

from __future__ import annotations

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PyQt6 import sip
from PyQt6.QtCore import Qt
from PyQt6.QtGui import QImage
from PyQt6.QtTest import QTest
from PyQt6.QtWidgets import QApplication, QComboBox, QLineEdit, QScrollArea, QTabWidget, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot
from windows import Windows

from closedloop.dashboard import app
from closedloop.dashboard.emergency import Emergency, RedButton
from closedloop.dashboard.help_overlay import HelpOverlay
from closedloop.dashboard.launch import Launched, launch, running_sessions
from closedloop.dashboard.layout_memory import LayoutMemory
from closedloop.dashboard.problems import ProblemBar
from closedloop.dashboard.screenshot import grab
from closedloop.dashboard.station import Station
from closedloop.dashboard.theme import DARK, LIGHT
from closedloop.dashboard.window import Window
from closedloop.recording import Recording, RecordingWriter, row_dtype
from closedloop.steps import STEP
from closedloop.watching.status import State

END_S = 60.0


# Esc


class Keyboard(QWidget):
    """A window with a text field and a list, and what Esc and Shift+Esc did in it."""

    def __init__(self) -> None:
        super().__init__()
        self.dark: list[str] = []
        self.line, self.box = QLineEdit(), QComboBox()
        self.box.addItems(["demo", "baseline", "sham"])
        column = QVBoxLayout(self)
        column.addWidget(self.line)
        column.addWidget(self.box)
        self.emergency = Emergency(lambda: self.dark.append("here"), lambda: self.dark.append("everywhere"), self)
        application().installEventFilter(self.emergency)

    def closeEvent(self, event) -> None:  # noqa: N802 - Qt's name
        application().removeEventFilter(self.emergency)
        super().closeEvent(event)


def application() -> QApplication:
    there = QApplication.instance()
    assert isinstance(there, QApplication)
    return there


@pytest.fixture
def keyboard(qtbot: QtBot) -> Keyboard:
    made = Keyboard()
    qtbot.addWidget(made)
    made.show()
    qtbot.waitExposed(made)
    return made


def test_esc_is_heard_with_the_cursor_in_a_text_field(keyboard: Keyboard) -> None:
    keyboard.line.setFocus()
    QTest.keyClick(keyboard.line, Qt.Key.Key_Escape)
    assert set(keyboard.dark) == {"here"}


def test_esc_is_heard_while_a_list_is_open_and_closes_it_too(keyboard: Keyboard, qtbot: QtBot) -> None:
    keyboard.box.showPopup()
    view = keyboard.box.view()
    qtbot.waitUntil(view.isVisible)
    QTest.keyClick(view, Qt.Key.Key_Escape)
    assert set(keyboard.dark) == {"here"}
    qtbot.waitUntil(lambda: not view.isVisible())


def test_shift_esc_is_for_all_rigs(keyboard: Keyboard) -> None:
    QTest.keyClick(keyboard.line, Qt.Key.Key_Escape, Qt.KeyboardModifier.ShiftModifier)
    assert set(keyboard.dark) == {"everywhere"}


def test_other_keys_reach_the_text_field_and_nothing_else(keyboard: Keyboard) -> None:
    QTest.keyClicks(keyboard.line, "lever?")
    assert keyboard.line.text() == "lever?"
    assert keyboard.dark == []


def test_the_red_button_acts_when_pressed_not_when_let_go(qtbot: QtBot) -> None:
    pressed: list[str] = []
    button = RedButton(lambda: pressed.append("dark"))
    qtbot.addWidget(button)
    button.show()
    QTest.mousePress(button, Qt.MouseButton.LeftButton)
    assert pressed == ["dark"]
    QTest.mouseRelease(button, Qt.MouseButton.LeftButton)
    assert pressed == ["dark"]
    assert button.focusPolicy() == Qt.FocusPolicy.NoFocus


# Problems, help, memory


def test_problems_are_counted_and_a_repeated_one_is_there_once(qtbot: QtBot) -> None:
    bar = ProblemBar()
    qtbot.addWidget(bar)
    assert bar.isHidden()
    for said in ("COM3: busy", "disk: full", "COM3: busy", "COM3: busy", "  "):
        bar.say(said)
    assert bar.problems == ["disk: full", "COM3: busy"]
    assert bar.newest == "COM3: busy"
    assert not bar.isHidden()
    bar.dismiss_button.click()
    assert bar.newest == "disk: full"
    bar.dismiss()
    assert bar.isHidden()


def test_a_storm_of_problems_stays_a_bar(qtbot: QtBot) -> None:
    bar = ProblemBar()
    qtbot.addWidget(bar)
    for number in range(1000):
        bar.say(f"problem {number}: " + "words " * 200)
    assert len(bar.problems) == 50
    assert bar.maximumHeight() < 100


def test_the_help_sheet_leaves_state_and_red_button_in_sight_and_goes_by_a_click(qtbot: QtBot) -> None:
    window = QWidget()
    qtbot.addWidget(window)
    window.resize(1366, 728)
    sheet = HelpOverlay(DARK, window)
    window.show()
    sheet.toggle()
    assert sheet.isVisible()
    assert sheet.geometry().bottomRight() == window.rect().bottomRight()
    assert sheet.geometry().top() >= 150
    assert sheet.sizeHint().height() <= 640 - sheet.geometry().top()
    QTest.mouseClick(sheet, Qt.MouseButton.LeftButton)
    assert not sheet.isVisible()


def test_what_is_remembered_is_there_the_next_day(tmp_path: Path) -> None:
    memory = LayoutMemory(tmp_path)
    assert memory.theme is DARK
    assert memory.geometry is None
    assert not memory.is_guide_done
    memory.keep("theme", "light")
    memory.keep("rig", "left box")
    memory.keep("guide", "done")
    memory.save()
    again = LayoutMemory(tmp_path)
    assert (again.theme, again.text("rig"), again.is_guide_done) == (LIGHT, "left box", True)


def test_a_damaged_memory_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "dashboard.ini").write_bytes(b"\x00\xff[[[theme\n= =purple")
    memory = LayoutMemory(tmp_path)
    assert memory.theme is DARK
    assert memory.geometry is None


# Starting a session


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Launched]]:
    """Sessions started by a test; what still runs at its end is ended."""
    all_of_them: list[Launched] = []
    yield all_of_them
    for one in all_of_them:
        one.kill()
        one.wait(END_S)


def test_a_launch_that_fails_says_why_in_words(tmp_path: Path, started: list[Launched]) -> None:
    one = launch(["run", "no_such_protocol", "--rig", "simulated", "--headless"], tmp_path / "logs")
    started.append(one)
    assert one.wait(END_S) == 2
    assert one.folder is None
    assert len(one.problems) == 1
    assert "no_such_protocol" in one.problems[0]
    assert one.log.parent == tmp_path / "logs"


def test_a_program_error_is_one_line_and_names_the_log(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"])
    process.wait()
    log = tmp_path / "run-x.log"
    log.write_text("Traceback (most recent call last):\n  File ...\nKeyError: 'x'\n")
    one = Launched(process, log)
    one.poll()
    assert one.problems == [
        f"KeyError: 'x'; this is an error of the program: please report it, with the file {log}",
    ]


def test_a_line_is_read_once_it_is_whole(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    log = tmp_path / "run-x.log"
    one = Launched(process, log)
    for part in ("session: /da", "ta/sub-test/ses-1\nwarm", "-up\n"):
        with log.open("a") as file:
            file.write(part)
        one.poll()
    assert one.folder == Path("/data/sub-test/ses-1")
    assert one.said == ["warm-up"]


def test_old_logs_are_taken_away(tmp_path: Path, started: list[Launched]) -> None:
    for number in range(30):
        (tmp_path / f"run-{number}.log").write_text("")
    one = launch(["--version"], tmp_path)
    started.append(one)
    assert one.wait(END_S) == 0
    assert len(list(tmp_path.glob("run-*.log"))) == 20


def test_a_data_folder_that_is_missing_has_no_running_sessions(tmp_path: Path) -> None:
    assert running_sessions(tmp_path / "nowhere") == []


# The window


CONTROL = Qt.KeyboardModifier.ControlModifier
READINGS = 520


class Desk(Windows):
    """... and the sessions that they have started."""

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def start(self, window: Window, *, rig: str = "simulated") -> Station:
        """By a click on Start, on the page of a new tab."""
        station = window.idle("demo", rig, self.data)
        station.setup.start.click()
        assert station.setup.problems == []
        assert station.launched is not None
        self.launched.append(station.launched)
        return station


@pytest.fixture
def desk(qtbot: QtBot, tmp_path: Path) -> Iterator[Desk]:
    made = Desk(qtbot, tmp_path)
    yield made
    made.close()


def ended(station: Station) -> bool:
    return station.launched is not None and station.launched.exit_code is not None


def recorded(folder: Path, rows: int = READINGS) -> Path:
    """A session that was broken off: four seconds at 130 Hz, with nothing in them."""
    header = {"rate_mhz": 130_000, "nano_units": 1, "input_names": ["lever"], "decisions": ["fire", "test"]}
    dtype = row_dtype(STEP)
    folder.mkdir(parents=True)
    writer = RecordingWriter.open(folder, header=header, protocol="", rig="", dtype=dtype)
    table = np.zeros(rows, dtype)
    table["ticks"] = np.arange(rows) * 1_000_000 // 130
    table["seq"] = np.arange(rows)
    table["signal_lit"] = 1_000_000_000 + 1_000_000 * np.arange(rows)
    writer.append(table)
    writer.close({"ended": "completed", "reason": "the duration is over"})
    return folder


def test_a_session_is_started_armed_and_stopped_by_clicks_and_keys(desk: Desk) -> None:
    window = desk.open()
    station = desk.start(window)
    assert station.state is State.STARTING
    desk.until(lambda: station.state is State.READY)
    page = station.page
    page.tabs.setCurrentWidget(page.events)
    QTest.keyClick(window, Qt.Key.Key_R, CONTROL)  # from another tab: the controls come to the front
    assert page.controls.isVisible()
    desk.until(lambda: page.controls.arm.text().startswith("CONFIRM"))
    QTest.keyClick(window, Qt.Key.Key_R, CONTROL)
    desk.until(lambda: station.state in (State.ARMED, State.LIT))
    desk.until(lambda: station.state is State.LIT)
    page.controls.note.setFocus()
    QTest.keyClick(page.controls.note, Qt.Key.Key_Escape)
    desk.until(lambda: station.state is State.STOPPED)
    desk.until(lambda: ended(station))
    assert station.launched is not None
    assert station.launched.exit_code == 0
    assert station.watch is not None
    recording = Recording.open(station.watch.follower.folder)
    reasons = [event.reason for event in recording.events()]
    assert "arm_asked" in reasons
    assert any(event.kind == "light_on" for event in recording.events())
    assert (recording.summary or {})["reason"] == "Esc"
    assert window.problems.problems == []
    assert "simulated · STOPPED" in window.tabs.tabText(0)
    QTest.keyClick(window, Qt.Key.Key_F5)
    assert station.watch is None
    assert station.setup.isVisible()


def test_a_session_outlives_its_window_and_the_next_window_finds_it(desk: Desk) -> None:
    first = desk.open()
    station = desk.start(first)
    desk.until(lambda: station.state is State.WARM_UP)
    assert station.watch is not None
    folder = station.watch.follower.folder
    first.close()
    assert first.left_running == [folder]
    assert desk.launched[0].wait(0.1) is None
    second = desk.open()
    second.attach_running(desk.data)
    (again,) = second.stations
    assert again.watch is not None
    assert again.watch.follower.folder == folder
    desk.until(lambda: again.state is State.READY)
    desk.until(lambda: again.remote is not None and again.remote.connected)
    assert again.folder == folder
    QTest.mousePress(again.page.red, Qt.MouseButton.LeftButton)
    desk.until(lambda: again.state is State.STOPPED)
    assert desk.launched[0].wait(END_S) == 0


def test_esc_ends_sessions_that_have_no_folder_yet_and_shift_esc_those_of_all_rigs(desk: Desk) -> None:
    window = desk.open()
    stations = [desk.start(window), desk.start(window)]
    assert window.shown == stations[1:]
    QTest.keyClick(window, Qt.Key.Key_Escape, Qt.KeyboardModifier.ShiftModifier)
    for station in stations:
        desk.until(lambda station=station: station.watch is None)
        assert station.setup.isVisible() == (station is window.current)
    assert [one.wait(END_S) is not None for one in desk.launched] == [True, True]
    assert running_sessions(desk.data) == []
    assert window.problems.problems == []


def test_esc_before_a_session_takes_orders_is_sent_as_soon_as_it_does(desk: Desk, tmp_path: Path) -> None:
    elsewhere = launch(["run", "demo", "--rig=simulated", f"--out={desk.data}", "--headless", "--by-hand"], tmp_path)
    desk.launched.append(elsewhere)
    window = desk.open()

    def has_folder() -> bool:
        elsewhere.poll()
        return elsewhere.folder is not None

    desk.until(has_folder)
    assert elsewhere.folder is not None
    station = window.watch(elsewhere.folder)
    QTest.keyClick(window, Qt.Key.Key_Escape)
    desk.until(lambda: station.state is State.STOPPED)
    assert elsewhere.wait(END_S) == 0


@pytest.mark.skipif(os.name != "posix", reason="a kill that nothing can catch")
def test_killing_the_window_leaves_the_session_running(desk: Desk, tmp_path: Path) -> None:
    environment = {**os.environ, "CLOSEDLOOP_CONFIG": str(tmp_path / "killed"), "QT_QPA_PLATFORM": "offscreen"}
    with subprocess.Popen(
        [sys.executable, "-c", _WINDOW_THAT_STARTS_A_SESSION, "idle", "demo", "--rig", "simulated", "--out", desk.data],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as window:
        assert window.stdout is not None
        folder = Path(window.stdout.readline().strip())
        window.kill()
    station = desk.open().watch(folder)
    desk.until(lambda: station.state is State.READY)
    desk.until(lambda: station.remote is not None and station.remote.connected)
    station.dark()
    desk.until(lambda: station.state is State.STOPPED)
    assert Recording.open(folder).finished


def test_esc_with_nothing_running_does_nothing(desk: Desk, tmp_path: Path) -> None:
    window = desk.open()
    window.idle("demo", "simulated", desk.data)
    window.watch(recorded(tmp_path / "ses-1"))
    desk.until(lambda: window.stations[0].state is State.COMPLETED)
    QTest.keyClick(window, Qt.Key.Key_Escape)
    QTest.keyClick(window, Qt.Key.Key_Escape, Qt.KeyboardModifier.ShiftModifier)
    assert window.problems.problems == []


def test_a_port_that_cannot_be_opened_is_said_on_the_page_and_in_the_bar(desk: Desk, tmp_path: Path) -> None:
    rig = tmp_path / "box.yaml"
    rig.write_text(
        "version: 1\nname: box\nlight: {wavelength: 638 nm, full_power: 10 mW, core: 200 um, aperture: 0.39}\n"
        f"daq: {{kind: photometry_board, port: {tmp_path / 'ttyA'}}}\n"
        f"stimulator: {{kind: arduino, port: {tmp_path / 'ttyB'}}}\n"
    )
    window = desk.open()
    station = desk.start(window, rig=str(rig))
    desk.until(lambda: station.watch is None)
    assert "ttyA" in window.problems.newest
    assert station.setup.isVisible()
    assert window.problems.newest in station.failure


def test_a_recording_of_a_newer_version_is_said_in_words(desk: Desk, tmp_path: Path) -> None:
    folder = recorded(tmp_path / "ses-1")
    header = folder / "header.json"
    header.write_text(header.read_text().replace('"format_version": 1', '"format_version": 99'))
    window = desk.open()
    station = window.watch(folder)
    desk.until(lambda: station.state is State.UNREADABLE)
    assert "newer" in window.problems.newest
    assert "update closedloop" in window.problems.newest


def test_tabs_and_tiles_show_the_same_rigs(desk: Desk, tmp_path: Path) -> None:
    window = desk.open()
    for number in range(3):
        station = window.add_station()
        station.attach(recorded(tmp_path / f"ses-{number}"))
    assert [station.isVisible() for station in window.stations] == [False, False, True]
    assert window.stop_all.isVisible()
    QTest.keyClick(window, Qt.Key.Key_1, CONTROL)
    assert window.shown == window.stations[:1]
    QTest.keyClick(window, Qt.Key.Key_F3)
    assert window.shown == window.stations
    assert all(station.isVisible() and not station.page.column.isVisible() for station in window.stations)
    assert [station.page.name.text()[0] for station in window.stations] == ["1", "2", "3"]
    QTest.keyClick(window, Qt.Key.Key_F3)
    assert window.stations[0].page.column.isVisible()


def test_a_closed_tab_leaves_no_widget_behind(desk: Desk, tmp_path: Path) -> None:
    window = desk.open()
    window.idle("demo", "simulated", desk.data)
    before = len(window.findChildren(QWidget))
    station = window.add_station()
    station.attach(recorded(tmp_path / "ses-1"))
    desk.until(lambda: station.state is State.COMPLETED)
    QTest.keyClick(window, Qt.Key.Key_W, CONTROL)
    assert len(window.stations) == 1
    desk.until(lambda: sip.isdeleted(station))
    assert len(window.findChildren(QWidget)) == before


def test_both_themes_and_small_and_large_windows_show_all_panels(desk: Desk, tmp_path: Path) -> None:
    window = desk.open()
    station = window.watch(recorded(tmp_path / "ses-1"))
    desk.until(lambda: station.is_shown_whole)
    QTest.keyClick(window, Qt.Key.Key_F2)
    assert window.theme is LIGHT
    for size in ((1366, 728), (1920, 1080)):
        window.resize(*size)
        assert grab(window, tmp_path / "picture.png") == ""
        assert (window.width(), window.height()) == size
        for tab in range(station.page.tabs.count()):
            station.page.tabs.setCurrentIndex(tab)
            application().processEvents()
            for panel in filter(QWidget.isVisible, station.page.panels):
                assert panel.width() <= _room(panel)


def _room(panel: QWidget) -> int:
    """How wide the part of the window is that a panel lies in."""
    area = panel.parentWidget()
    while area is not None and not isinstance(area, (QScrollArea, QTabWidget, Window)):
        area = area.parentWidget()
    assert area is not None
    return area.viewport().width() if isinstance(area, QScrollArea) else area.width()


def test_the_guide_leads_through_a_session_and_stays_away_once_put_away(desk: Desk) -> None:
    window = desk.open()
    station = window.idle("baseline", "simulated", desk.data)
    assert "simulated rig" in window.guide.words
    window.guide.try_button.click()
    assert station.launched is not None
    desk.launched.append(station.launched)
    assert station.setup.request().protocol == "demo"
    assert "starting" in window.guide.words
    window.guide.away_button.click()
    assert not window.guide.isVisible()
    assert desk.open().guide.isHidden()


# The process


def test_an_error_in_a_panel_is_said_once_and_the_window_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    said: list[str] = []
    app.survive_errors(said.append)
    for _ in range(30):
        try:
            {}["nothing"]
        except KeyError as error:
            sys.excepthook(type(error), error, error.__traceback__)
    assert len(said) == 1
    assert "KeyError: 'nothing'" in said[0]
    assert capsys.readouterr().err.count("Traceback") == 1


def dashboard(*arguments: object, display: bool = False) -> subprocess.CompletedProcess[str]:
    """The program itself, on a computer without a display unless told otherwise."""
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    if display:
        environment["QT_QPA_PLATFORM"] = "offscreen"
    return subprocess.run(
        [sys.executable, "-m", "closedloop.dashboard", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=END_S,
        check=False,
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is always a display")
def test_without_a_display_the_window_says_what_to_do(tmp_path: Path) -> None:
    done = dashboard("watch", tmp_path)
    assert done.returncode == 3
    assert "no display" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_picture_of_a_recording_needs_no_display(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOSEDLOOP_CONFIG", str(tmp_path / "config"))
    picture = tmp_path / "pictures" / "review.png"
    done = dashboard("watch", recorded(tmp_path / "ses-1"), "--screenshot", picture, "--size", "1366x728")
    assert (done.returncode, done.stderr) == (0, "")
    image = QImage(str(picture))
    assert (image.width(), image.height()) == (1366, 728)


def test_a_picture_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOSEDLOOP_CONFIG", str(tmp_path / "config"))
    done = dashboard("watch", recorded(tmp_path / "ses-1"), "--screenshot", tmp_path / "picture.nonsense")
    assert done.returncode == 2
    assert "picture.nonsense" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="elsewhere there is no SIGTERM")
def test_sigterm_closes_the_window_properly(tmp_path: Path) -> None:
    environment = {**os.environ, "CLOSEDLOOP_CONFIG": str(tmp_path / "config"), "QT_QPA_PLATFORM": "offscreen"}
    window = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-c", _WINDOW_THAT_SAYS_SO, "idle", "--out", str(tmp_path)],
        stdout=subprocess.PIPE,
        env=environment,
    )
    with window:
        assert window.stdout is not None
        assert window.stdout.readline() == b"shown\n"
        window.terminate()
        assert window.wait(END_S) == 0
    assert (tmp_path / "config" / "dashboard.ini").is_file()


_WINDOW_THAT_STARTS_A_SESSION = """
import sys
from PyQt6.QtCore import QTimer
from closedloop.dashboard import window
from closedloop.dashboard.__main__ import main
class Starting(window.Window):
    def showEvent(self, event):
        self.stations[0].setup.start.click()
        self.timer = QTimer(self)
        self.timer.timeout.connect(self.look)
        self.timer.start(50)
    def look(self):
        if self.stations[0].is_begun:
            self.timer.stop()
            print(self.stations[0].folder, flush=True)
window.Window = Starting
sys.exit(main(sys.argv[1:]))
"""
_WINDOW_THAT_SAYS_SO = """
import sys
from PyQt6.QtCore import QTimer
from closedloop.dashboard import window
from closedloop.dashboard.__main__ import main
class Speaking(window.Window):
    def showEvent(self, event):
        QTimer.singleShot(0, lambda: print("shown", flush=True))
window.Window = Speaking
sys.exit(main(sys.argv[1:]))
"""
