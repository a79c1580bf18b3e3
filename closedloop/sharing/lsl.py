"""Lab Streaming Layer: outlets of a session, and the outlets of others' rigs. The only file that knows pylsl.

Kothe et al. 2024, "The Lab Streaming Layer for Synchronized Multimodal Recording". LSL asks no one for a password and
encrypts nothing: who is on the network sees what is put out here.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from closedloop.errors import ConfigError
from closedloop.recording import Event
from closedloop.sharing import one_line
from closedloop.sharing.following import News
from closedloop.sharing.rigs import Told
from closedloop.sharing.tick_times import Numbers
from closedloop.watching.traces import values_of

STATE = "closedloop-state"

_BUFFERED_S = 60  # for a receiver that is slow
_CONFIGS = (Path("lsl_api.cfg"), Path.home() / "lsl_api" / "lsl_api.cfg", Path("/etc/lsl_api/lsl_api.cfg"))
_QUIET = "[log]\nlevel = -3\n"
_LIGHT = {"light_on": 1, "light_off": 0}
_BRACKETS = 32
_MOST_INLETS = 500

Brackets = Callable[[], tuple[int, float, int]]
Channels = Sequence[tuple[str, str]]  # name and unit

SIGNAL: Channels = (("feature", "as in the protocol"), ("signal", "volts"), ("control", "volts"))
SCORE: Channels = (("score", "as in the protocol"), ("threshold", "as in the protocol"))


class ClockOffset(NamedTuple):
    """LSL's clock less the host's monotonic clock.

    Attributes:
        offset_s: add it to monotonic seconds.
        uncertainty_s: half of the time within which both were read.
    """

    offset_s: float
    uncertainty_s: float


def clock_offset(read: Brackets) -> ClockOffset:
    """The best of several readings of LSL's clock between two of the monotonic clock.

    Args:
        read: monotonic ns before, LSL's clock in s, monotonic ns after.
    """
    spans = [read() for _ in range(_BRACKETS)]
    before, between, after = min(spans, key=lambda span: span[2] - span[0])
    return ClockOffset(between - (before + after) / 2e9, (after - before) / 2e9)


def library() -> Any:
    """The module pylsl, quiet unless the lab has a configuration of its own.

    Raises:
        ConfigError: it, or the library that it needs, is not installed.
    """
    try:
        import pylsl
    except ImportError as error:
        raise ConfigError("--lsl: pylsl is not installed; install it: pip install 'closedloop[lsl]'") from error
    except (RuntimeError, OSError) as error:
        said = "pylsl found no liblsl; install it (conda install -c conda-forge liblsl, or a package of"
        raise ConfigError(f"--lsl: {said} github.com/sccn/liblsl/releases) and name it in PYLSL_LIB") from error
    if not os.environ.get("LSLAPICFG") and not any(path.is_file() for path in _CONFIGS):
        with contextlib.suppress(AttributeError, NotImplementedError):  # an older library says what it does
            pylsl.set_config_content(_QUIET)
    return pylsl


class Outlets:
    """Of one session. Of a blinded one there is none for light.

    Args:
        lsl: as `library` gives it.
        header: the recording's.
        folder: the session's.
        computer: this one's name.
        clock: of the boards, as known now, for the streams' descriptions.
    """

    def __init__(
        self, lsl: Any, header: dict[str, Any], folder: Path, computer: str, clock: dict[str, float | None]
    ) -> None:
        self._lsl = lsl
        self._nano_units = int(header["nano_units"])
        self.offset = self._measured()
        self._first_offset_s = self.offset.offset_s
        self._about = _about(header, folder, computer, clock, self.offset)
        self._id = _identity(folder, computer)
        rate_hz = max(0.0, header["rate_mhz"] / 1000 * float(header.get("speed") or 1))
        self._signal = self._outlet("closedloop-signal", "Photometry", lsl.cf_double64, SIGNAL, rate_hz)
        self._score = self._outlet("closedloop-score", "Score", lsl.cf_double64, SCORE, rate_hz)
        self._events = self._outlet("closedloop-events", "Markers", lsl.cf_string, [("event", "JSON")])
        self._state = self._outlet(STATE, "State", lsl.cf_string, [("state", "JSON")])
        self._light = None
        if not header.get("blinded"):
            self._light = self._outlet("closedloop-light", "Stimulus", lsl.cf_int8, [("light", "0 or 1")])

    @property
    def drift_us(self) -> float:
        """How far the two clocks have moved against each other since the start."""
        return (self.offset.offset_s - self._first_offset_s) * 1e6

    def measure(self) -> None:
        """Read both clocks again; what is sent from now on goes by that."""
        self.offset = self._measured()

    def push(self, news: News) -> None:
        """What is new, as one chunk a stream."""
        if len(news.rows):
            stamps = self._stamps(news.rows_ns)
            values = values_of(news.rows, self._nano_units)
            for outlet, names in ((self._signal, SIGNAL), (self._score, SCORE)):
                outlet.push_chunk(np.column_stack([values[name] for name, _ in names]), stamps)
        for event, stamp in zip(news.events, self._stamps(news.events_ns), strict=True):
            self._events.push_sample([_marker(event)], stamp)
            if self._light is not None and event.kind in _LIGHT:
                self._light.push_sample([_LIGHT[event.kind]], stamp)

    def tell(self, state: dict[str, Any], now_ns: int) -> None:
        """How the session stands now."""
        own = {
            "lsl_offset_s": self.offset.offset_s,
            "lsl_uncertainty_us": round(self.offset.uncertainty_s * 1e6, 3),
            "lsl_drift_us": round(self.drift_us, 3),
        }
        self._state.push_sample([json.dumps(state | own)], now_ns / 1e9 + self.offset.offset_s)

    def _stamps(self, host_ns: Numbers) -> list[float]:
        stamps: list[float] = (host_ns / 1e9 + self.offset.offset_s).tolist()
        return stamps

    def _measured(self) -> ClockOffset:
        return clock_offset(lambda: (time.perf_counter_ns(), self._lsl.local_clock(), time.perf_counter_ns()))

    def _outlet(self, name: str, kind: str, form: int, channels: Channels, rate_hz: float = 0.0) -> Any:
        info = self._lsl.StreamInfo(name, kind, len(channels), rate_hz, form, f"{self._id}/{name}")
        description = info.desc()
        for key, value in self._about.items():
            description.append_child_value(key, value)
        labels = description.append_child("channels")
        for label, unit in channels:
            channel = labels.append_child("channel")
            for key, value in (("label", label), ("unit", unit), ("type", kind)):
                channel.append_child_value(key, value)
        return self._lsl.StreamOutlet(info, 0, _BUFFERED_S)


def _marker(event: Event) -> str:
    """What a recorder keeps of an event; a value that is unknown is null."""
    value = event.value if event.value is not None and np.isfinite(event.value) else None
    said = {"kind": event.kind, "train": event.train, "reason": event.reason, "value": value, "ticks_us": event.ticks}
    return json.dumps(said)


def _identity(folder: Path, computer: str) -> str:
    """The same whenever this session is shared from this computer, so that receivers find it again."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", f"{computer}-{folder.parent.name}-{folder.name}")
    return f"{name}-{crc32(str(folder.resolve()).encode()):08x}"


def _about(
    header: dict[str, Any], folder: Path, computer: str, clock: dict[str, float | None], offset: ClockOffset
) -> dict[str, str]:
    """The description that all streams of a session share; of a blinded one without a word of the arm."""
    said = {
        "program": f"closedloop {version('closedloop')}",
        "computer": computer,
        "rig": (header.get("rig") or {}).get("name"),
        "subject": header.get("subject") or "test",
        "session": "/".join(folder.parts[-2:]),
        "protocol": header.get("protocol_name"),
        "rate_hz": header["rate_mhz"] / 1000,
        "speed": header.get("speed"),
        "blinded": bool(header.get("blinded")),
        "time_stamps": "DAQ ticks by the quickest arrivals of the last minute; the shortest way to the host is in them",
        "lsl_offset_s": offset.offset_s,
        "lsl_uncertainty_us": round(offset.uncertainty_s * 1e6, 3),
    }
    said |= {name: "unknown" if value is None else value for name, value in clock.items()}
    return {key: one_line("" if value is None else value) for key, value in said.items()}


class StateInlets:
    """Hears the states of all rigs on the network. It only receives."""

    def __init__(self, lsl: Any) -> None:
        self._lsl = lsl
        self._resolver = lsl.ContinuousResolver("name", STATE)
        self._inlets: dict[str, tuple[Any, Any]] = {}

    def turn(self) -> list[Told]:
        """The newest state of each that told one since the last turn."""
        for info in self._resolver.results():
            is_new = info.uid() not in self._inlets and len(self._inlets) < _MOST_INLETS
            if is_new and info.channel_format() == self._lsl.cf_string:
                self._inlets[info.uid()] = info, self._lsl.StreamInlet(info, max_buflen=10, recover=False)
        return [told for uid in list(self._inlets) if (told := self._newest(uid)) is not None]

    def _newest(self, uid: str) -> Told | None:
        info, inlet = self._inlets[uid]
        try:
            samples, _ = inlet.pull_chunk(timeout=0.0)
        except self._lsl.util.LostError:
            del self._inlets[uid]  # its state is silent from now on, or has told its end
            return None
        text = str(samples[-1][0]) if samples else None
        return None if text is None else Told(info.source_id() or uid, info.hostname(), text)
