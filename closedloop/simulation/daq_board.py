"""The virtual DAQ: streams readings of a virtual animal or of a recording, in device time.

No I/O happens here, no clock is read and there is no thread. Readings keep the ticks and numbers they have: one that
the line cannot take is dropped and counted, or waits, but is never moved in time or sent twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol
from zlib import crc32

from closedloop.readings import FLAG_LIGHT, FLAG_TRIGGER, Stream
from closedloop.simulation.serial_end import TICKS, SerialEnd
from closedloop.simulation.watcher import Watcher
from closedloop.wire import (
    Board,
    Message,
    Reading,
    ResetCause,
    StreamEnd,
    StreamRefused,
    StreamSettings,
    StreamStart,
    StreamStop,
    Watch,
    WatchSet,
    pack,
)

UNIQUE_ID = 0xDA00_0001
BOOT_TICKS = TICKS - 30_000_000  # the ticks wrap 30 s after start-up, so that every longer run has wrapped
_AMPLE = 1 << 30

LightBetween = Callable[[int, int], float]  # mean level from 0 to 1 between two device times


class Sample(NamedTuple):
    """What the converter gave for one reading; `seq` counts from the stream's start, gaps included."""

    seq: int
    signal_lit: int
    signal_dark: int
    control_lit: int
    control_dark: int
    inputs: int
    flags: int


class ReadingSource(Protocol):
    """Where a board's readings come from."""

    rate_mhz: int
    nano_units: int
    input_count: int

    def rewind(self) -> None:
        """A new stream begins: numbers and times count from zero again."""

    def due_us(self, ahead: int = 0) -> int | None:
        """When the next reading is complete, or the one `ahead` of it, after the stream's start; None past the end."""

    def take(self, light: float, /) -> Sample:
        """The next reading, given the mean level of light since the one before."""


class Animal(Protocol):
    """What is needed of a virtual animal."""

    @property
    def nano_units(self) -> int:
        """Units per count, in 1e-9."""

    def reading(self, light: float) -> tuple[int, int, int, int, int]:
        """Signal lit and dark, control lit and dark, flags."""


class Arena(Protocol):
    """What is needed of a virtual arena."""

    def reading(self, light: float) -> int:
        """Digital inputs, bit 0 first."""


class Live:
    """An animal as a source, in an arena or in none; it lives on from one stream to the next.

    Args:
        animal: what is measured.
        rate_hz: readings a second.
        arena: where it is; None: all inputs stay low.
        input_count: digital inputs that the board says it has.
    """

    def __init__(self, animal: Animal, rate_hz: float, arena: Arena | None = None, input_count: int = 0) -> None:
        self._animal, self._arena = animal, arena
        self._seq = 0
        self.input_count = input_count
        self.rate_mhz = round(rate_hz * 1000)
        self.nano_units = animal.nano_units

    def rewind(self) -> None:
        """Numbers and times count from zero again."""
        self._seq = 0

    def due_us(self, ahead: int = 0) -> int:
        """Readings come at the nominal rate for ever; rounded to the microsecond, without drift."""
        return ((self._seq + ahead) * 1_000_000_000 + self.rate_mhz // 2) // self.rate_mhz

    def take(self, light: float, /) -> Sample:
        """The animal's next reading, and where it is."""
        signal_lit, signal_dark, control_lit, control_dark, flags = self._animal.reading(light)
        inputs = 0 if self._arena is None else self._arena.reading(light)
        sample = Sample(self._seq, signal_lit, signal_dark, control_lit, control_dark, inputs, flags)
        self._seq += 1
        return sample


class Playback:
    """A recording as a source, with its own times, gaps and flags; each stream begins at its beginning."""

    def __init__(self, stream: Stream) -> None:
        self._readings = stream.readings
        self._first_seq = int(stream.readings["seq"][0]) if len(stream.readings) else 0
        self._at = 0
        self.rate_mhz = stream.rate_mhz
        self.nano_units = stream.nano_units
        self.input_count = len(stream.input_names)

    def rewind(self) -> None:
        """Back to the first reading."""
        self._at = 0

    def due_us(self, ahead: int = 0) -> int | None:
        """As recorded."""
        at = self._at + ahead
        return int(self._readings["ticks"][at]) if at < len(self._readings) else None

    def take(self, _light: float, /) -> Sample:
        """As recorded; light cannot act on the past."""
        _, seq, *values = self._readings[self._at].item()
        self._at += 1
        return Sample((seq - self._first_seq) % TICKS, *values)


class DaqBoard:
    """A DAQ board in device time (microseconds, any integer that never falls).

    Attributes:
        streaming: between StreamStart and StreamEnd.
        streams: streams started so far.
        started_us: device time of the stream's first reading.
        last_seq: number of the last reading of this stream, sent or not; -1 before the first.
        dropped: readings of this stream that were not sent.
        mute: readings are taken but lost, and nobody watches, as when the board is held up.
        watcher: what raises the trigger line by itself.
        on_trigger: told the device time at which the trigger line rose; who is wired to it, if anybody.
    """

    def __init__(
        self,
        source: ReadingSource,
        *,
        now_us: int = 0,
        boot_ticks: int = BOOT_TICKS,
        unique_id: int = UNIQUE_ID,
        waits_for_line: bool = False,
        most_rate_mhz: int | None = None,
    ) -> None:
        self.serial = SerialEnd(Board.DAQ, now_us=now_us, boot_ticks=boot_ticks, unique_id=unique_id)
        self.streaming = self.mute = False
        self.streams = self.sent = self.dropped = self.started_us = 0
        self.last_seq = -1
        self.watcher = Watcher()
        self.on_trigger: Callable[[int], None] | None = None
        self._source = source
        self._waits_for_line = waits_for_line
        self._most_rate_mhz = most_rate_mhz
        self._read_until_us = 0

    def receive(self, data: bytes, now_us: int) -> None:
        """Take bytes from the host that arrived at this device time."""
        for message in self.serial.hear(data, now_us):
            self._obey(message, now_us)

    def advance(self, now_us: int, light_between: LightBetween, *, room: int = _AMPLE) -> None:
        """Send the readings that are due; `room` of them at most fit the line, the rest is dropped or waits."""
        while self.streaming and (due_us := self.next_due_us) is not None and due_us <= now_us:
            if room <= 0 and self._waits_for_line:
                return
            self._send_reading(due_us, light_between, lost=room <= 0 or self.mute)
            room -= 1

    def reset(self, cause: ResetCause, now_us: int) -> None:
        """Power or watchdog: the stream is over, without a word."""
        self.streaming = False
        self.watcher = Watcher()
        self.serial.restart(cause, now_us)

    def take_output(self) -> bytes:
        """Bytes for the host since the last call."""
        return self.serial.take_output()

    @property
    def next_due_us(self) -> int | None:
        """When the next reading is complete."""
        return self.due_us(0)

    def due_us(self, ahead: int) -> int | None:
        """When the reading so many after the next one is complete, None if there is none."""
        after_start_us = self._source.due_us(ahead) if self.streaming else None
        return None if after_start_us is None else self.started_us + after_start_us

    def _obey(self, message: Message, now_us: int) -> None:
        match message:
            case StreamStart(rate_mhz):
                self._start(rate_mhz, now_us)
            case StreamStop():
                self._end()
            case Watch():
                self.watcher.set(message)
                self.serial.say(WatchSet(crc32(pack(self.watcher.settings))))
            case _:
                self.serial.ignored += 1

    def _start(self, rate_mhz: int, now_us: int) -> None:
        """Always from the first reading: a host that did not hear the settings asks again."""
        source = self._source
        if self._most_rate_mhz is not None and (rate_mhz or source.rate_mhz) > self._most_rate_mhz:
            self.serial.say(StreamRefused(self._most_rate_mhz))
            return
        source.rewind()
        self.watcher.restart()
        self.streaming = True
        self.streams += 1
        self.sent = self.dropped = 0
        self.last_seq = -1
        self.started_us = self._read_until_us = now_us
        self.serial.say(StreamSettings(source.rate_mhz, source.nano_units, source.input_count))
        self._end_if_over()

    def _send_reading(self, due_us: int, light_between: LightBetween, *, lost: bool) -> None:
        light = light_between(self._read_until_us, due_us)
        sample = self._source.take(light)
        self.dropped += sample.seq - self.last_seq - 1  # missing in the recording itself
        self.last_seq, self._read_until_us = sample.seq, due_us
        if light > 0:
            sample = sample._replace(flags=sample.flags | FLAG_LIGHT)
        reading = self._watched(Reading(sample.seq, self.serial.ticks(due_us), *sample[1:]), due_us)
        if lost:
            self.dropped += 1
            self.serial.overruns += 1
        else:
            self.sent += 1
            self.serial.say(reading)
        self._end_if_over()

    def _watched(self, reading: Reading, due_us: int) -> Reading:
        """The trigger rises before the reading is said, and also for one that the line cannot take."""
        if self.mute or not self.watcher.take(reading):
            return reading
        if self.on_trigger is not None:
            self.on_trigger(due_us)
        return reading._replace(flags=reading.flags | FLAG_TRIGGER)

    def _end_if_over(self) -> None:
        if self._source.due_us() is None:
            self._end()

    def _end(self) -> None:
        """Also where nothing streams: a host that did not hear the end asks again."""
        self.streaming = False
        self.serial.say(StreamEnd(self.sent, self.dropped))
