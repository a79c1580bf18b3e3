"""Makes every picture of the dashboard in this folder, from real sessions on simulated rigs: `python docs/pictures.py`.

No picture is drawn or mended by hand: what is on it was on the window. It takes about seven minutes, needs no display,
and leaves nothing behind but `docs/pictures/*.png`. Names on the command line make those pictures alone.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from closedloop.dashboard.station import Station
    from closedloop.dashboard.window import Window

RATE_HZ = 130
FOLDER = Path(__file__).with_name("pictures")
LAPTOP, DESK = (1366, 728), (1920, 1040)  # what a title bar leaves of 1366 x 768 and 1920 x 1080
MOST_S = 60.0
MOST_COLOURS = 256
RIG = """version: 1
name: {name}
daq: {{kind: photometry_board, port: simulated, rate: 130 Hz}}
stimulator: {{kind: arduino, port: simulated, lease: 250 ms}}
light: {{wavelength: 638 nm, full_power: 10 mW, core: 200 um, aperture: 0.39, depth: 0.5 mm}}
inputs: [lever, chamber]
simulation:
  animal: {{preset: demo}}
  faults: {faults}
"""
HYPERACTIVE = """version: 1
name: hyperactive
condition: W7
warm_up: 5 s
duration: 5 min
features: [{kind: dff, baseline: 60 s}]
detector:
  kind: state
  threshold: 0.75
  release: 0.5
  minimum_duration: 1 s
  event: 8 %
  event_release: 2 %
  level: {window: 20 s, mean: 0.2, sd: 0.02, smallest: 5 %}
  rate: {base_rate: 6 /min}
  gain: {reference: 12 %, spread: 0.35}
policy: {kind: closed_loop, refractory: 20 s}
light: {on: 500 ms, power: 5 mW}
"""
PLACE = """version: 1
name: place_preference
phase: conditioning
condition: {condition}
warm_up: 8 s
features: [{{kind: dff, baseline: 8 s}}]
detector: {{kind: threshold, threshold: 3.0, release: 1.5, window: 10 s}}
policy: {{kind: closed_loop, refractory: 1 s}}
blocks:
  - {{name: baseline, lasts: 10 s, policy: {{kind: manual}}}}
  - {{name: treatment, lasts: 3 min, trains: 60}}
  - {{name: washout, lasts: 10 s, policy: {{kind: manual}}}}
gates: [{{input: paired, debounce: 200 ms}}]
light: {{on: 300 ms, power: 5 mW}}
limits: {{trains_per_session: {trains}, trains_per_minute: 30}}
"""
CHAMBERS = """version: 1
name: cpp box
daq: {kind: photometry_board, port: simulated, rate: 130 Hz}
stimulator: {kind: arduino, port: simulated, lease: 250 ms}
light: {wavelength: 638 nm, full_power: 10 mW, core: 200 um, aperture: 0.39, depth: 0.5 mm}
limits: {session_on: 60 s}
inputs: [paired, neutral, unpaired]
simulation:
  animal: {preset: demo}
  arena: {chambers: [paired, neutral, unpaired], passage: neutral, dwell: 6 s, preference: {neutral: 0.3}}
"""
STUDY = """version: 1
name: VP withdrawal
rig: cpp.yaml
animals:
  - {{id: M11, sex: female, start: {today}}}
  - {{id: M12, sex: male, start: {today}}}
  - {{id: M13, sex: female, start: {today}}}
  - {{id: M14, sex: male, start: {today}}}
arms:
  - {{name: closed_loop, policy: {{kind: closed_loop, refractory: 1 s}}}}
  - {{name: sham, policy: {{kind: sham, refractory: 1 s}}}}
phases:
  - {{name: conditioning, days: [0, 1, 2], protocol: place.yaml, arms: yes, anchor: none}}
  - {{name: withdrawal day 7, days: 9, protocol: place.yaml, arms: yes, anchor: none}}
allocation: {{stratify: [sex], counterbalance: {{paired_side: [left, right]}}}}
"""
SETTLE_S = 0.6  # a few repaints: texts and ranges follow one another


class Scene(NamedTuple):
    """What happens before and while pictures are taken, and their names in that order."""

    act: Callable[[Studio], None]
    names: tuple[str, ...]


class Studio:
    """A folder of its own for sessions and settings, and the means to look at them.

    Args:
        folder: all that is made goes here.
        wanted: names of the pictures to be kept.

    Attributes:
        running: sessions that were started, by name.
    """

    def __init__(self, folder: Path, wanted: Sequence[str]) -> None:
        os.environ["CLOSEDLOOP_CONFIG"] = str(folder / "settings")
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
        from closedloop.dashboard import app
        from closedloop.dashboard.launch import Launched
        from closedloop.dashboard.theme import DARK

        self.folder = folder
        self.data = folder / "closedloop-data"
        self.taken: list[str] = []
        self._wanted = wanted
        self.running: dict[str, Launched] = {}
        self._application = app.make(DARK)
        (folder / "settings").mkdir()

    def rig(self, name: str, faults: str = "{}") -> str:
        """A simulated rig with something wrong with it; its file."""
        path = self.folder / f"{name}.yaml"
        path.write_text(RIG.format(name=name, faults=faults), encoding="utf-8")
        return str(path)

    def run(self, name: str, *arguments: str) -> None:
        """Start a session without a window; it arms itself."""
        from closedloop.dashboard.launch import launch

        words = ["run", *arguments, f"--out={self.data / name}", "--headless", "--seed=7"]
        self.running[name] = launch(words, self.folder / "logs")

    def session(self, name: str) -> Path:
        """The folder of a session that was started."""
        launched = self.running[name]

        def found() -> bool:
            launched.poll()
            return launched.folder is not None or launched.exit_code is not None

        self.until(f"a folder of {name}", found)
        if launched.folder is None:
            raise SystemExit(f"{name}: {launched.said}")
        return launched.folder

    def ended(self, name: str) -> Path:
        """The folder of a session, once that is over."""
        launched = self.running[name]

        def over() -> bool:
            launched.poll()
            return launched.exit_code is not None

        self.until(f"the end of {name}", over, 240.0)
        return self.session(name)

    def kill(self, name: str) -> None:
        """As a crash or a power cut would."""
        self.running[name].kill()
        self.running[name].wait(MOST_S)

    @contextmanager
    def window(self, size: tuple[int, int] = LAPTOP, *, light: bool = False, guide: bool = False) -> Iterator[Window]:
        """The window, on a screen of that size."""
        from closedloop.dashboard import style
        from closedloop.dashboard.layout_memory import LayoutMemory
        from closedloop.dashboard.theme import DARK, LIGHT
        from closedloop.dashboard.window import Window

        theme = LIGHT if light else DARK
        style.apply(self._application, theme)
        memory = LayoutMemory()
        memory.keep("guide", "" if guide else "done")
        window = Window(memory, theme)
        window.resize(*size)
        window.show()
        try:
            yield window
        finally:
            for station in window.stations:
                if station.launched is not None:
                    station.launched.stop()
                    station.launched.wait(MOST_S)
            window.close()
            window.deleteLater()
            self.live(0.05)

    def until(self, what: str, condition: Callable[[], object], most_s: float = MOST_S) -> None:
        """Let windows live until something is so."""
        from PyQt6.QtCore import QEventLoop  # noqa: TID251 - these are pictures of a Qt window

        deadline = time.monotonic() + most_s
        while not condition():
            if time.monotonic() > deadline:
                raise SystemExit(f"waited {most_s:g} s in vain for {what}")
            self._application.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 10)
            self._application.thread().msleep(2)

    def live(self, seconds: float) -> None:
        """Let windows live so long."""
        over = time.monotonic() + seconds
        self.until("time to pass", lambda: time.monotonic() >= over)

    def until_state(self, station: Station, *words: str) -> None:
        """Wait until a rig is in one of these states."""
        self.until(" or ".join(words), lambda: station.state is not None and station.state.value in words)

    def until_whole(self, station: Station) -> None:
        """Wait until a session that is over has been read, and drawn."""
        self.until("all of the session", lambda: station.is_shown_whole)
        self.live(SETTLE_S)

    def take(self, window: Window, name: str) -> None:
        """Keep what is on the window now."""
        self.taken.append(name)
        if name not in self._wanted:
            return
        for station in window.shown:
            station.redraw()
        self._application.processEvents()
        path = FOLDER / f"{name}.png"
        save(window, path)
        sys.stderr.write(f"{name}: {path.stat().st_size / 1000:.0f} kB\n")

    def close(self) -> None:
        """End what still runs."""
        for launched in self.running.values():
            launched.kill()
            launched.wait(MOST_S)


def save(window: Window, path: Path) -> None:
    """With no more colours than a palette holds, for a small file; the rarer ones become the nearest of those."""
    from PyQt6.QtGui import QImage  # noqa: TID251 - these are pictures of a Qt window

    image = window.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    width, height = image.width(), image.height()
    bits = image.constBits()
    bits.setsize(image.sizeInBytes())
    pixels = np.frombuffer(bits.asarray(), np.uint32).reshape(height, width) & 0xFFFFFF
    colours, places, counts = np.unique(pixels, return_inverse=True, return_counts=True)
    palette = colours[np.argsort(counts)[::-1][:MOST_COLOURS]]
    nearest = np.array([_nearest(colour, palette) for colour in colours], np.uint8)
    plain = np.ascontiguousarray(nearest[places.reshape(height, width)])
    small = QImage(plain.tobytes(), width, height, width, QImage.Format.Format_Indexed8)
    small.setColorTable([int(colour) | 0xFF000000 for colour in palette])
    path.parent.mkdir(exist_ok=True)
    if not small.save(str(path), "PNG", 0):
        raise SystemExit(f"{path}: cannot be written")


def _nearest(colour: int, palette: np.ndarray) -> int:
    shifts = np.array([16, 8, 0])
    apart = (palette[:, None].astype(np.int64) >> shifts & 255) - (int(colour) >> shifts & 255)
    return int(np.argmin((apart**2).sum(axis=1)))


def before(studio: Studio) -> None:
    """The page before a session, right and wrong; what the first start says; all keys."""
    with studio.window(guide=True) as window:
        window.idle("demo", "simulated", Path("closedloop-data"))
        studio.live(SETTLE_S)
        studio.take(window, "first_start")
    with studio.window() as window:
        setup = window.idle("demo", "simulated", Path("closedloop-data")).setup
        setup.subject.setText("M17")
        setup.check_now()
        studio.live(SETTLE_S)
        studio.take(window, "idle")
        setup.form.set_text("warm_up", "5 mW")
        setup.form.set_text("features.0.baseline", "20")
        setup.subject.setText("M 17")
        setup.check_now()
        studio.live(SETTLE_S)
        studio.take(window, "mistakes")


def by_hand(studio: Studio) -> None:
    """A session as a person leads it, from Start to Esc."""
    with studio.window() as window:
        station = window.idle("demo", "simulated", Path("closedloop-data"))
        station.setup.duration.setText("10 min")
        station.setup.check_now()
        station.start(station.setup.request())
        studio.until_state(station, "WARM-UP")
        studio.until("a few seconds of signal", lambda: station.watch.traces.last_s > 3)
        studio.take(window, "warm_up")
        studio.until_state(station, "READY TO ARM")
        studio.live(1.0)
        studio.take(window, "ready")
        controls = station.page.controls
        controls.arm.click()
        studio.live(1.0)
        studio.take(window, "confirm")
        if not controls.arm.is_asking:  # this computer was too busy to ask in time
            controls.arm.click()
            studio.live(0.6)
        controls.arm.click()
        studio.until_state(station, "ARMED", "LIGHT ON")
        studio.until("some seconds armed", lambda: station.watch.traces.last_s > 15)
        controls.note.setText("cage lid closed")
        controls.note.returnPressed.emit()
        studio.until_state(station, "LIGHT ON")
        studio.until_state(station, "ARMED")
        studio.live(SETTLE_S)
        studio.take(window, "armed")
        studio.until_state(station, "LIGHT ON")
        studio.take(window, "light_on")
        studio.until_state(station, "ARMED")
        station.page.tabs.setCurrentIndex(1)
        studio.live(SETTLE_S)
        studio.take(window, "numbers")
        _preview(studio, window, station)
        window.help_asked()
        studio.live(0.1)
        studio.take(window, "keys")
        window.dark()
        studio.until_state(station, "STOPPED")
        station.page.tabs.setCurrentIndex(0)
        studio.until_whole(station)
        studio.take(window, "stopped")
        station.page.tabs.setCurrentIndex(1)
        studio.live(SETTLE_S)
        studio.take(window, "audit")


def _preview(studio: Studio, window: Window, station: Station) -> None:
    """Another threshold is tried, and what it would have given is there."""
    page = station.page
    answers: list[object] = []
    page.preview.answered.connect(answers.append)
    page.tabs.setCurrentIndex(page.tabs.count() - 1)
    page.controls.threshold.setValue(8.0)
    studio.until("the answers of the preview", lambda: len(answers) >= 2, 150.0)
    studio.live(SETTLE_S)
    studio.take(window, "preview")


def vetoed(studio: Studio) -> None:
    """A fibre is pulled out of its socket; that is played from a file."""
    played = studio.folder / "pulled_fibre.csv"
    _write_session(played, 120.0, pulled_s=14.0)
    studio.run("vetoed", "demo", f"--rig={studio.rig('left')}", f"--play={played}")
    with studio.window() as window:
        station = window.watch(studio.session("vetoed"))
        studio.until_state(station, "SIGNAL VETO")
        studio.live(1.5)
        studio.take(window, "vetoed")
        _tiles(studio, window)
    studio.kill("vetoed")


def _tiles(studio: Studio, window: Window) -> None:
    """Beside the rig with the pulled fibre: one that works, and one that has tripped."""
    studio.run("right", "demo", f"--rig={studio.rig('right')}", "--duration=5 min")
    right = _beside(window, studio.session("right"))
    _beside(window, studio.ended("tripped"))
    window.toggle_tiles()
    studio.until_state(right, "ARMED", "LIGHT ON")
    studio.until("light", lambda: right.state.value == "LIGHT ON")
    studio.take(window, "tiles")
    studio.kill("right")


def _beside(window: Window, folder: Path) -> Station:
    """A tab of its own for a session."""
    station = window.add_station()
    station.attach(folder)
    return station


def _write_session(path: Path, duration_s: float, pulled_s: float = math.inf) -> None:
    """Made-up photometry: events of one shape, bleaching, movement in both colours, and an animal at a lever."""
    dice = np.random.default_rng(7)
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    begins_s = np.cumsum(np.maximum(1.6, dice.exponential(4.5, len(time_s) // 200)))
    events = np.zeros(len(time_s))
    for begin_s, size in zip(begins_s, dice.uniform(0.08, 0.3, len(begins_s)), strict=True):
        since_s = np.clip(time_s - begin_s, 0, None)
        events += size * (1 - np.exp(-since_s / 0.1)) * np.exp(-since_s / 0.6)
    movement = 0.004 * np.convolve(dice.standard_normal(len(time_s)), np.ones(60) / 8, "same")
    kept = np.where(time_s < pulled_s, 1 - 0.04 * time_s / duration_s, 0.25)
    signal = kept * (1.0 + events + movement) + 0.006 * dice.standard_normal(len(time_s))
    control = kept * (0.82 + movement) + 0.005 * dice.standard_normal(len(time_s))
    lever = (time_s % 11.3 < 0.8).astype(int)
    chamber = (time_s % 60 > 25).astype(int)
    rows = zip(time_s, signal, control, lever, chamber, strict=True)
    lines = [f"{at:.6f},{a:.6f},{b:.6f},{c},{d}" for at, a, b, c, d in rows]
    path.write_text("\n".join(["time_s,signal,control,input_lever,input_chamber", *lines, ""]), encoding="utf-8")


def measured(studio: Studio) -> None:
    """Four minutes, played ten times as fast, in which level, rate and gain are measured."""
    played = studio.folder / "measured.csv"
    _write_session(played, 240.0)
    protocol = studio.folder / "hyperactive.yaml"
    protocol.write_text(HYPERACTIVE, encoding="utf-8")
    words = ("--duration=238 s", f"--play={played}", "--speed=10")
    studio.run("measured", str(protocol), f"--rig={studio.rig('box')}", *words)
    with studio.window() as window:
        station = window.watch(studio.ended("measured"))
        studio.until_whole(station)
        station.page.plots.timeline.show_span(None)
        studio.live(SETTLE_S)
        studio.take(window, "measured")


def ended_badly(studio: Studio) -> None:
    """The board trips; the cables are pulled; the program is killed."""
    studio.ended("tripped")
    studio.run("lost", "demo", f"--rig={studio.rig('unplugged', '{unplug_at: 14 s}')}")
    studio.run("broken", "demo", f"--rig={studio.rig('simulated')}")
    broken = studio.session("broken")
    with studio.window() as window:
        station = window.watch(broken)
        studio.until("light in the session to be killed", lambda: (at := station.watch) and at.traces.last_s > 16)
        studio.kill("broken")
    for name, folder in (
        ("tripped", studio.ended("tripped")),
        ("device_lost", studio.ended("lost")),
        ("broken", broken),
    ):
        with studio.window() as window:
            station = window.watch(folder)
            studio.until_whole(station)
            studio.take(window, {"broken": "not_recording"}.get(name, name))


def experiment(studio: Studio) -> None:
    """Blocks, a gate, a pause; and a session whose limit of trains is soon reached."""
    rig = _in_folder(studio, "cpp.yaml", CHAMBERS)
    plain = _in_folder(studio, "blocks.yaml", PLACE.format(condition="K3", trains=60))
    limited = _in_folder(studio, "limited.yaml", PLACE.format(condition="K4", trains=3))
    studio.run("blocks", str(plain), f"--rig={rig}", "--subject=M11")
    studio.run("limited", str(limited), f"--rig={rig}", "--subject=M12")
    with studio.window() as window:
        station = window.watch(studio.session("blocks"))
        page = station.page
        studio.until(
            "trains in the second block", lambda: station.watch and station.watch.tallies.given.get("fire", 0) > 2
        )
        studio.until("a train that the gate refused", lambda: station.watch.tallies.refused.get("gate", 0) > 0)
        page.plots.timeline.show_span(None)
        studio.live(1.0)
        studio.take(window, "blocks")
        page.controls.pause.click()
        studio.until_state(station, "PAUSED")
        studio.live(5.0)
        studio.take(window, "paused")
    studio.kill("blocks")
    with studio.window() as window:
        station = window.watch(studio.session("limited"))
        station.page.plots.timeline.show_span(None)
        studio.until("the limit", lambda: station.watch and station.watch.dose.latched)
        studio.live(4.0)
        studio.take(window, "limit")
    studio.kill("limited")


def _in_folder(studio: Studio, name: str, text: str) -> Path:
    path = studio.folder / name
    path.write_text(text, encoding="utf-8")
    return path


def study(studio: Studio) -> None:
    """What is due today, and a session of it, blinded."""
    from closedloop.studies.files import Files, open_study
    from closedloop.studies.making import make, write
    from closedloop.study import load_study

    _in_folder(studio, "cpp.yaml", CHAMBERS)
    _in_folder(studio, "place.yaml", PLACE.format(condition="'-'", trains=60))
    path = _in_folder(studio, "study.yaml", STUDY.format(today=date.today().isoformat()))
    allocation, key, _ = make(load_study(path), path, 5)
    write(Files(path), allocation, key)
    first = min(open_study(path).allocation.animals, key=lambda one: one.rank).id
    with studio.window() as window:
        station = window.idle("demo", "simulated", Path("closedloop-data"))
        setup = station.setup
        setup.choose_study(str(path))
        lines = setup.study_list
        row = next(row for row, words in enumerate(lines.words()) if first in words)
        lines.setCurrentRow(row)
        lines.itemClicked.emit(lines.item(row))
        studio.live(SETTLE_S)
        studio.take(window, "study")
        station.start(setup.request())
        studio.until_state(station, "READY TO ARM")
        _arm(studio, station)
        studio.until("planned trains", lambda: station.watch.tallies.given.get("decided", 0) > 2, 120.0)
        station.page.plots.timeline.show_span(None)
        studio.live(2.0)
        studio.take(window, "blinded")


def _arm(studio: Studio, station: Station) -> None:
    """Two presses, as often as this computer is too busy to take the second in time."""
    arm = station.page.controls.arm
    while station.state is None or station.state.value == "READY TO ARM":
        arm.click()
        studio.live(0.7)


def review(studio: Studio) -> None:
    """Five minutes, played ten times as fast; then looked through."""
    played = studio.folder / "five_minutes.csv"
    _write_session(played, 300.0)
    words = ("--duration=298 s", f"--play={played}", "--speed=10", "--set=light.on=300ms")
    studio.run("review", "demo", f"--rig={studio.rig('box')}", *words)
    folder = studio.ended("review")
    with studio.window() as window:
        station = window.watch(folder)
        studio.until_whole(station)
        tabs = station.page.tabs
        for name, tab in (("review", "Averages"), ("events", "Events")):
            tabs.setCurrentIndex(next(at for at in range(tabs.count()) if tabs.tabText(at) == tab))
            if name == "review":
                station.page.plots.timeline.show_span(None)
            else:
                station.page.plots.timeline.show_span(30.0)
                station.page.plots.jump(60.0)
            studio.live(SETTLE_S)
            studio.take(window, name)
    with studio.window(light=True) as window:
        station = window.watch(folder)
        studio.until_whole(station)
        station.page.plots.timeline.show_span(120.0)
        studio.live(SETTLE_S)
        studio.take(window, "light_theme")
    with studio.window(DESK) as window:
        station = window.watch(folder)
        studio.until_whole(station)
        studio.take(window, "large_screen")


SCENES = (
    Scene(before, ("first_start", "idle", "mistakes")),
    Scene(
        by_hand,
        ("warm_up", "ready", "confirm", "armed", "light_on", "numbers", "preview", "keys", "stopped", "audit"),
    ),
    Scene(ended_badly, ("tripped", "device_lost", "not_recording")),
    Scene(vetoed, ("vetoed", "tiles")),
    Scene(measured, ("measured",)),
    Scene(experiment, ("blocks", "paused", "limit")),
    Scene(study, ("study", "blinded")),
    Scene(review, ("review", "events", "light_theme", "large_screen")),
)
NAMES = tuple(name for scene in SCENES for name in scene.names)


def main(arguments: Sequence[str]) -> int:
    """Make the pictures that are named, or all."""
    wanted = tuple(arguments) or NAMES
    if unknown := sorted(set(wanted) - set(NAMES)):
        sys.stderr.write(f"no such picture: {', '.join(unknown)}; known: {', '.join(NAMES)}\n")
        return 2
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="closedloop-pictures-") as name, contextlib.chdir(name):
        studio = Studio(Path(name), wanted)
        try:
            studio.run("tripped", "demo", f"--rig={studio.rig('stalling', '{stall_at: 14 s}')}")
            for scene in SCENES:
                if set(scene.names) & set(wanted):
                    scene.act(studio)
        finally:
            studio.close()
    sys.stderr.write(f"{time.monotonic() - began:.0f} s\n")
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    raise SystemExit(main(sys.argv[1:]))
