"""The dashboard: what it costs the loop, how often it repaints, whether its memory grows, how soon Esc is dark.

    python benchmarks/dashboard.py                  about 3 minutes
    python benchmarks/dashboard.py --long --json    about 30 minutes, as one JSON object
    python benchmarks/dashboard.py --only esc       one of loop, repaint, memory, esc; may be repeated

The window is the real one, drawn by Qt's platform without a display (a virtual X server costs the same), 1366 x 728.

    loop      A session against echo.c (see latency.py). One dashboard watches it; every 3 s it is stopped (SIGSTOP) and
              let go again, so that both states see the same machine.
    repaint   An hour of readings at 1 kHz (short: ten minutes) is on screen, 33 more come before each picture.
    memory    Eight hours at 1 kHz (short: half an hour) are appended by another process while the window follows.
    esc       From Esc, posted to the window by another thread at a random moment, to Dark handed to the virtual
              stimulator's port: quiet, with plots that redraw the whole session without pause, and with that and two
              processes that take all they can of both cores, so that reader and door are starved.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import latency
import numpy as np
import psutil
from machine import machine, percentiles, ratios, say

from closedloop import framing, wire
from closedloop.recording import RecordingWriter, row_dtype
from closedloop.rig import load_rig
from closedloop.simulation import virtual_rig
from closedloop.steps import STEP, VALID, WARM

SIZE = "1366x728"
SWITCH_S, GUARD_S, SETTLE_S = 3.0, 0.3, 4.0


class Form(NamedTuple):
    """How much of everything."""

    rates_hz: tuple[int, ...]
    rounds: int  # of the loop, 2.4 s each with readings
    minutes: int  # on screen while it is repainted
    pictures: int
    slices: int  # of memory
    slice_minutes: int
    presses: int  # of Esc, in each mode


TINY = Form((130,), rounds=3, minutes=1, pictures=5, slices=2, slice_minutes=1, presses=1)
SHORT = Form((130, 1000), rounds=7, minutes=10, pictures=100, slices=6, slice_minutes=5, presses=2)
LONG = Form((130, 1000), rounds=60, minutes=60, pictures=300, slices=16, slice_minutes=30, presses=20)
KINDS = ("loop", "repaint", "memory", "esc")
RATE_HZ = 1000
WITHIN_S = 60.0
ESC_MODES = ("quiet", "plots busy", "plots busy, cores taken")


# The loop, with and without


class Beside:
    """A dashboard beside a session, stopped and let go in turn."""

    def __init__(self) -> None:
        self.spans: list[tuple[int, int, bool]] = []  # from, until (ns), and whether it ran
        self._window: subprocess.Popen[bytes] | None = None
        self._since_ns = 0
        self._runs = True

    def look(self, folder: Path) -> None:
        """Open it, and switch when it is time."""
        now_ns = time.monotonic_ns()
        if self._window is None:
            command = [sys.executable, "-m", "closedloop.dashboard", "watch", str(folder), "--size", SIZE]
            self._window = subprocess.Popen(command, env=os.environ | {"QT_QPA_PLATFORM": "offscreen"})
            self._since_ns = now_ns + round((SETTLE_S - SWITCH_S) * 1e9)
        if now_ns - self._since_ns < SWITCH_S * 1e9:
            return
        self.spans.append((self._since_ns + round(GUARD_S * 1e9), now_ns, self._runs))
        self._runs = not self._runs
        self._window.send_signal(signal.SIGCONT if self._runs else signal.SIGSTOP)
        self._since_ns = now_ns

    def close(self) -> None:
        """End it."""
        if self._window is not None:
            self._window.kill()
            self._window.wait()


def loop(form: Form) -> dict[str, Any]:
    """Microseconds from a reading to its command, with a dashboard and without."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform == "win32":
        return {"skipped": "needs pseudo-terminals and a C compiler called cc (Debian: apt install gcc)"}
    return {f"{rate} Hz": _loop_at(compiler, rate, form.rounds) for rate in form.rates_hz}


def _loop_at(compiler: str, rate_hz: int, rounds: int) -> dict[str, Any]:
    beside = Beside()
    try:
        ended, said = latency.conduct(compiler, rate_hz, rounds, latency.CHUNK_MS, beside.look)
    finally:
        beside.close()
    samples: dict[bool, list[float]] = {True: [], False: []}
    for line in said.splitlines():
        kind, *rest = line.split()
        if kind in "hf":
            at_ns = int(rest[1])
            for since, until, runs in beside.spans:
                if since <= at_ns < until:
                    samples[runs].append(float(rest[0]))
    with_, without = (percentiles(np.array(samples[runs])) for runs in (True, False))
    return {"ended": ended, "with_us": with_, "without_us": without, "ratio": ratios(with_, without)}


# A long recording, without an engine


def write(folder: Path) -> None:
    """Another process: appends as many readings as each line of standard input says, and answers."""
    header = _header()
    writer = RecordingWriter.open(folder, header=header, protocol="{}\n", rig="{}\n", dtype=row_dtype(STEP))
    randomness, done, trains = np.random.default_rng(1), 0, 0
    for line in sys.stdin:
        until = done + int(line)
        while done < until:
            rows = _rows(randomness, done, min(20_000, until - done), writer.append.__self__.dtype)  # type: ignore[attr-defined]
            writer.append(rows)
            done += len(rows)
            for at in range(trains * 60_000, done, 60_000):  # a train a minute
                trains += 1
                about = {"ticks": at * 1000, "host_ns": time.monotonic_ns(), "train": trains}
                writer.event("detection", value=6.0, **about)
                writer.event("decision", reason="fire", **about)
                writer.event("command", value=150.0, **about)
                writer.event("light_on", value=900.0, **about)
                writer.event("light_off", value=200_000.0, **about)
        writer.sync()
        print("done", flush=True)
    writer.close({"ended": "completed", "reason": "the benchmark is over", "sent": done})


def _rows(randomness: np.random.Generator, first: int, count: int, dtype: Any) -> Any:
    rows = np.zeros(count, dtype)
    index = np.arange(first, first + count)
    rows["ticks"], rows["seq"] = index * (1_000_000 // RATE_HZ), index
    slow = np.sin(index / 30_000)
    noise = randomness.standard_normal((3, count))
    rows["signal_lit"] = 1_000_000 + 20_000 * slow + 5_000 * noise[0]
    rows["control_lit"] = 800_000 + 10_000 * slow + 5_000 * noise[1]
    rows["feature"], rows["score"], rows["threshold"] = noise[0] * 0.005, noise[2], 5.0
    rows["bits"] = VALID | WARM
    rows["host_ns"] = time.monotonic_ns()
    return rows


def _header() -> dict[str, Any]:
    return {
        "rate_mhz": RATE_HZ * 1000,
        "nano_units": 1000,
        "input_names": ["lever"],
        "protocol_name": "benchmark",
        "condition": "-",
        "decisions": ["fire", "test"],
        "expected_s": 8 * 3600.0,
        "by_hand": False,
        "speed": 1.0,
        "seed": 1,
        "subject": None,
        "protocol": {
            "detector": {"kind": "threshold", "threshold": 5.0, "release": 2.0},
            "features": [{"kind": "dff"}],
        },
        "rig": {"name": "benchmark"},
        "limits": wire.CEILING._asdict(),
        "command": {"on_us": 200_000, "period_us": 200_000, "pulses": 1, "level": 65_535, "ramp_off_us": 0},
        "full_power_mw": 10.0,
        "tip_mw": 5.0,
        "boards": {"daq": {}, "stimulator": {}},
    }


class Appender:
    """The process that writes."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, __file__, "--write", str(folder)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def append(self, readings: int) -> None:
        """So many more, and wait until they are there."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the writer has no pipes")
        self._process.stdin.write(f"{readings}\n")
        self._process.stdin.flush()
        if self._process.stdout.readline() != "done\n":
            raise RuntimeError("the writer died")

    def close(self) -> None:
        """The end of the session."""
        self._process.communicate()


@contextmanager
def following(first: int) -> Iterator[tuple[Any, Any, Appender]]:
    """Application, page and watch of a window, an appender, and its first readings on screen."""
    from closedloop.dashboard import app
    from closedloop.dashboard.session_page import SessionPage
    from closedloop.dashboard.theme import DARK
    from closedloop.watching.watch import Watch

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "ses-20260101T000000"
        folder.mkdir()
        appender = Appender(folder)
        appender.append(first)
        application = app.make(DARK)
        page = SessionPage(lambda: None, DARK)
        page.resize(*map(int, SIZE.split("x")))
        watch = Watch(folder)
        page.begin(watch)
        page.show()

        def picture() -> None:
            watch.turn(time.monotonic_ns())
            for step in page.steps(watch):
                step()
                application.processEvents()

        while watch.loaded < 1:
            picture()
        try:
            yield page, picture, appender
        finally:
            page.release()
            page.close()
            page.deleteLater()
            application.processEvents()
            appender.close()


def repaint(form: Form) -> dict[str, Any]:
    """Milliseconds a picture, and how many a second that makes: the last 30 s, and the whole session."""
    found: dict[str, Any] = {"minutes_on_screen": form.minutes}
    with following(form.minutes * 60 * RATE_HZ) as (page, picture, appender):
        for name, span_s in (("last 30 s", 30.0), ("whole session", None)):
            page.plots.timeline.show_span(span_s)
            times_ms = []
            for _ in range(form.pictures):
                appender.append(33)
                page.update()
                began = time.perf_counter()
                picture()
                times_ms.append((time.perf_counter() - began) * 1000)
            spread = percentiles(np.array(times_ms))
            found[name] = {"ms": spread, "a_second": round(1000 / float(np.mean(times_ms)), 1)}
    return found


def memory(form: Form) -> dict[str, Any]:
    """Memory of this process alone, without files and libraries that others map too (MB), while hours are appended."""
    used: list[float] = []
    with following(form.slice_minutes * 60 * RATE_HZ) as (_, picture, appender):
        for _ in range(form.slices):
            used.append(_own_mb())
            for _ in range(form.slice_minutes):
                appender.append(60 * RATE_HZ)
                for _ in range(4):
                    picture()
    return {"minutes_a_slice": form.slice_minutes, "own_mb": used, "last_over_second": round(used[-1] / used[1], 3)}


def _own_mb() -> float:
    process = psutil.Process()
    shared = getattr(process.memory_info(), "shared", None)
    own = process.memory_full_info().uss if shared is None else process.memory_info().rss - shared
    return round(own / 1e6, 1)


# Esc


class Tap:
    """A cable with a tap: between the engine and the virtual stimulator, with a stamp for each Dark handed on."""

    def __init__(self, port: str) -> None:
        self.dark_ns: list[int] = []
        self._ours, theirs = os.openpty()
        tty.setraw(theirs)
        self.name = os.ttyname(theirs)
        self._theirs = theirs
        self._board = os.open(port, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._board)
        self._over, self._end = os.pipe()
        self._thread = threading.Thread(target=self._carry, name="tap")
        self._thread.start()

    def _carry(self) -> None:
        decoder, other = framing.Decoder(), {self._ours: self._board, self._board: self._ours}
        while True:
            ready, _, _ = select.select([self._ours, self._board, self._over], [], [])
            if self._over in ready:
                return
            for end in ready:
                data = os.read(end, 65_536)
                os.write(other[end], data)
                if end == self._ours and any(isinstance(wire.unpack(p), wire.Dark) for p in decoder.feed(data)):
                    self.dark_ns.append(time.monotonic_ns())

    def close(self) -> None:
        """Pull it."""
        os.write(self._end, b"\0")
        self._thread.join()
        for end in (self._ours, self._theirs, self._board, self._over, self._end):
            os.close(end)


def esc(form: Form) -> dict[str, Any]:
    """Milliseconds from Esc to Dark at the virtual stimulator; each press ends a session of its own."""
    if sys.platform == "win32":
        return {"skipped": "needs pseudo-terminals"}
    return {mode: _presses(mode, form.presses) for mode in ESC_MODES}


def _presses(mode: str, count: int) -> dict[str, Any]:
    """So many, of sessions that had not ended in the dark by themselves before the key."""
    times_ms: list[float] = []
    ended_before = 0
    while len(times_ms) < count and ended_before <= count:
        took_ms = _press(mode)
        if took_ms is None:
            ended_before += 1
        else:
            times_ms.append(took_ms)
    return percentiles(np.array(times_ms)) | {"ended_before": ended_before}


def _press(mode: str) -> float | None:
    rig = load_rig("simulated")
    if rig.simulation is None:
        raise RuntimeError("the simulated rig has no simulation")
    virtual = virtual_rig.start(rig.simulation, rate_hz=rig.daq.rate, seed=1)
    with tempfile.TemporaryDirectory() as name, virtual:
        tap = Tap(virtual.stimulator_port)
        try:
            with _session(Path(name), virtual.daq_port, tap.name) as folder:
                hogs = _hogs(2 if "cores" in mode else 0)
                return _pressed(folder, tap, hogs, busy="busy" in mode)
        finally:
            tap.close()


@contextmanager
def _hogs(count: int) -> Iterator[None]:
    command = [sys.executable, "-c", "while True: pass"]
    hogs = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


@contextmanager
def _session(data: Path, daq_port: str, stimulator_port: str) -> Iterator[Path]:
    overrides = {"rig.daq.port": daq_port, "rig.stimulator.port": stimulator_port, "rig.stimulator.lease": "500 ms"}
    sets = [word for key, value in overrides.items() for word in ("--set", f"{key}={value}")]
    command = ["run", "demo", "--rig", "simulated", "--headless", "--out", str(data), *sets]
    log = (data / "log").open("w")
    process = subprocess.Popen([sys.executable, "-m", "closedloop.cli", *command], stdout=log, stderr=log)
    try:
        _until("a door", lambda: process.poll() is not None or any(data.glob("sub-*/ses-*/control.json")), _nap)
        if process.poll() is not None:
            raise RuntimeError((data / "log").read_text())
        yield next(data.glob("sub-*/ses-*"))
    finally:
        process.terminate()
        process.wait()
        log.close()


def _nap() -> None:
    time.sleep(0.02)


def _until(what: str, condition: Callable[[], object], meanwhile: Callable[[], object]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {WITHIN_S:g} s in vain for {what}")
        meanwhile()


def _pressed(folder: Path, tap: Tap, hogs: AbstractContextManager[None], *, busy: bool) -> float | None:
    from PyQt6.QtCore import QCoreApplication, QEvent, QEventLoop, Qt, QTimer
    from PyQt6.QtGui import QKeyEvent

    from closedloop.dashboard import app
    from closedloop.dashboard.layout_memory import LayoutMemory
    from closedloop.dashboard.theme import DARK
    from closedloop.dashboard.window import Window
    from closedloop.watching.status import State

    over = (State.TRIPPED, State.DEVICE_LOST, State.STOPPED, State.FAILED, State.COMPLETED, State.BROKEN_OFF)
    application = app.make(DARK)

    def live() -> None:
        application.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents, 20)

    window = Window(LayoutMemory())
    window.resize(*map(int, SIZE.split("x")))
    window.show()
    station = window.watch(folder)
    redraw = QTimer()
    if busy:
        station.page.plots.timeline.show_span(None)
        redraw.timeout.connect(station.redraw)
        redraw.start(0)
    _until("an armed session", lambda: station.state in (State.ARMED, State.LIT), live)
    tap.dark_ns.clear()
    pressed_ns: list[int] = []
    key = QKeyEvent(QEvent.Type.KeyPress, Qt.Key.Key_Escape, Qt.KeyboardModifier.NoModifier)

    def press() -> None:
        time.sleep(random.uniform(0.1, 0.6))
        pressed_ns.append(time.monotonic_ns())
        QCoreApplication.postEvent(window, key)

    finger = threading.Thread(target=press)
    with hogs:
        finger.start()
        _until("dark", lambda: pressed_ns and (tap.dark_ns or station.state in over), live)
        finger.join()
    redraw.stop()
    window.close()
    window.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    took_ms = (tap.dark_ns[0] - pressed_ns[0]) / 1e6 if tap.dark_ns else -1.0
    return took_ms if took_ms > 0 else None  # below: the lease was over first, as it must be on a starved computer


def table(result: dict[str, Any]) -> Iterator[str]:
    """For people."""
    for kind in KINDS:
        for name, value in result.get(kind, {}).items():
            yield f"{kind:<8} {name:<24} {value}"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--long", action="store_true", help="about 30 minutes")
    parser.add_argument("--tiny", action="store_true", help="to see that it runs; its figures say nothing")
    parser.add_argument("--only", choices=KINDS, action="append", help="one part; may be repeated")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.write:
        write(asked.write)
        return 0
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    name, form = ("tiny", TINY) if asked.tiny else ("long", LONG) if asked.long else ("short", SHORT)
    result: dict[str, Any] = {"benchmark": "dashboard", "form": name, "machine": machine()}
    with tempfile.TemporaryDirectory() as config, contextlib.chdir(config):
        os.environ["CLOSEDLOOP_CONFIG"] = config
        for kind in asked.only or KINDS:
            result[kind] = globals()[kind](form)
    say(result, table(result), as_json=asked.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
