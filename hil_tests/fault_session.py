"""A whole session on a bench, recorded in a folder as the program records it, that a fault is to befall. No judgement.

Beside the program's own controller, loop and recording there is a tap on the DAQ's line, before any wear: what the
board really sent, and when.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bench import Bench
from controller_session import ControllerSession
from line import Line

from closedloop import framing, session, wire
from closedloop.errors import DeviceError
from closedloop.readings import READING
from closedloop.recording import Recording, RecordingWriter, create, row_dtype

WARM_UP_S = 5.5
EVENT_S = 6.5  # the first event, after the stream's start
_NOON = datetime(2026, 5, 4, 12, 0, 0)
_SYNC_S = 1.0
_ONE_READ = 100  # messages


class _Usb:
    """A line whose loss the system tells, as it does of a USB cable pulled at the computer."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def send(self, message: wire.Message) -> None:
        """Say it.

        Raises:
            DeviceError: the cable is out.
        """
        if self._line.cut:
            raise DeviceError("the device is gone")
        self._line.say(message)


class FaultSession(ControllerSession):
    """One recorded session.

    Attributes:
        sent: every reading that the DAQ put on its line since the stream began, with the bench's time.
        asleep_s: how much the host's monotonic clock is behind, for it stands still while the host sleeps.
        slept_s: when, on that clock.
        folder: the recording.
    """

    def __init__(
        self, bench: Bench, data: Path, events_s: Sequence[float] = (EVENT_S,), on_s: float = 0.9, *, usb: bool = False
    ) -> None:
        self.folder = create(data, None, _NOON)
        self.sent: list[tuple[float, wire.Reading]] = []
        self.asleep_s = self.slept_s = 0.0
        self._usb = usb
        self._decoder = framing.Decoder()
        self._next_sync_s = 0.0
        self._waiting = False
        bench.daq.tap = self._on_line
        super().__init__(bench, events_s, on_s, WARM_UP_S)

    def _on_line(self, at_s: float, data: bytes) -> None:
        for payload in self._decoder.feed(data):
            message = wire.unpack(payload)
            if isinstance(message, wire.StreamSettings):
                self.sent.clear()
            elif isinstance(message, wire.Reading):
                self.sent.append((at_s, message))

    def _sender(self, line: Line) -> Any:
        return _Usb(line) if self._usb else super()._sender(line)

    def _recorder(self, settings: wire.StreamSettings) -> Any:
        header = {"rate_mhz": settings.rate_mhz, "nano_units": settings.nano_units, "input_names": []}
        header |= {"decisions": list(self._plan.decisions), "speed": 1, "started_ns": 0}
        dtype = row_dtype(self._loop.step_type)
        self.writer = RecordingWriter.open(self.folder, header=header, protocol="", rig="", dtype=dtype)
        return session._Rows(self.writer, self._loop.step_type, (None, None))

    def now_ns(self) -> int:
        return round((self.bench.now_s - self.asleep_s) * 1e9)

    def sleep(self, seconds: float) -> None:
        """The host sleeps, and its monotonic clock with it; the boards live on."""
        self.slept_s = self.now_ns() / 1e9
        self.boards_for_s(seconds)
        self.asleep_s += seconds

    def bench_s(self, host_ns: int) -> float:
        """The bench's time of a recorded time of the host."""
        host_s = host_ns / 1e9
        return host_s + (self.asleep_s if host_s > self.slept_s else 0.0)

    def look(self) -> None:
        """Turns as the engine has them, the end of a port as it meets it, and a sync now and then."""
        super().look()
        while self._waiting:
            super().look()
        if self._usb and (self.bench.daq.cut or self.bench.stimulator.cut):
            self.controller.end("device_lost", "the device is gone")
        if self.bench.now_s >= self._next_sync_s:
            self._next_sync_s = self.bench.now_s + _SYNC_S
            self.writer.sync()

    def _news(self, line: Line) -> list[wire.Message]:
        """No more at once than one read of a port holds."""
        since = self._heard[id(line)]
        self._heard[id(line)] = min(len(line.heard), since + _ONE_READ)
        self._waiting = any(self._heard[id(one)] < len(one.heard) for one in (self.bench.daq, self.bench.stimulator))
        return [heard.message for heard in line.heard[since : since + _ONE_READ]]

    def until_lit(self) -> float:
        """Let it run until there is light; returns when."""
        while not self.bench.is_lit():
            self.step()
            assert self.how is None, self.controller.ending
            assert self.bench.now_s - self._from_s < 20
        return self.bench.now_s

    def for_s(self, seconds: float) -> FaultSession:
        """So much longer, or until it ends."""
        until_s = self.bench.now_s + seconds
        while self.bench.now_s < until_s and self.how is None:
            self.step()
        return self

    def boards_for_s(self, seconds: float) -> FaultSession:
        """The boards live on, whatever has become of the program."""
        until_s = self.bench.now_s + seconds
        while self.bench.now_s < until_s:
            self._live()
            self.bench.host_runs = False
            self.bench.run(self.bench.step_s)
        return self

    def close(self) -> Recording:
        """The end of the recording as the program writes it; stopped by hand if it still goes on."""
        if self.controller.ending is None:
            self.controller.end("stopped", "by hand")
        board: Any = SimpleNamespace(identity=None, damaged=self.bench.daq.damaged + self.bench.stimulator.damaged)
        self.writer.close(session._outcome(self.controller, board, None))
        return self.reopened()

    def reopened(self) -> Recording:
        """What is in the folder, closed or not."""
        return Recording.open(self.folder)


READING_FIELDS = [name for name in READING.names or () if name not in {"ticks", "seq"}]
