"""pyPhotometry's .ppd files. A file whose layout we do not know for certain is refused, never guessed at.

A JSON header, then one 16-bit word a sample: the converter's code in bits 15..1, a digital input in bit 0.
From version 1.1 pulsed files hold two words a sample, lit and dark; an older reader shows plausible nonsense
of them, and so would we of a mode that is not in `MODES`. Layout: the pyPhotometry documentation and sources,
versions 0.1 to 1.1; of the paired layout no recorded file was at hand.

Frames that were lost on the way to the host were written as zero words (since 0.3). They come out as missing
readings; so does a true zero in all channels at once, which only a dark fibre gives.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from closedloop.errors import RecordingError
from closedloop.readings import FLAG_CONTROL_SATURATED, FLAG_SIGNAL_SATURATED, READING, Stream

WHAT = "pyPhotometry .ppd"

NEWEST = (1, 1)
PAIRED_SINCE = (1, 1)  # pulsed files hold lit and dark words
PADDED_SINCE = (0, 3)  # lost frames are written as zeros
ADC_MAX = 32768  # codes; before 1.1 the header does not say
SATURATED = 0.98  # of the converter's full scale: where pyPhotometry itself warns of clipping
OLDEST_HEADER_BYTES = 42  # a binary header from before the JSON one

Codes = npt.NDArray[np.int32]


class Mode(NamedTuple):
    """How a cycle of samples is laid out: signal first, then control; a third channel is left out."""

    channels: int
    pulsed: bool


MODES = {
    "2EX_2EM_continuous": Mode(2, pulsed=False),
    "2EX_1EM_pulsed": Mode(2, pulsed=True),
    "2EX_2EM_pulsed": Mode(2, pulsed=True),
    "3EX_2EM_pulsed": Mode(3, pulsed=True),
    "2 colour continuous": Mode(2, pulsed=False),
    "1 colour time div.": Mode(2, pulsed=True),
    "2 colour time div.": Mode(2, pulsed=True),
    "GCaMP/RFP": Mode(2, pulsed=False),
    "GCaMP/RFP_dif": Mode(2, pulsed=True),
}


@dataclass(frozen=True)
class Header:
    """What the JSON header says, checked.

    Attributes:
        source: the file, for messages.
        mode: layout of a cycle.
        version: of pyPhotometry, for comparing.
        rate_hz: samples a second of each channel.
        nano_units: volts per code, in 1e-9.
        adc_max: code at the converter's full scale.
    """

    source: str
    mode: Mode
    version: tuple[int, ...]
    rate_hz: float
    nano_units: int
    adc_max: int

    @property
    def words_per_channel(self) -> int:
        """2 where each sample is a lit and a dark word, else 1."""
        return 2 if self.mode.pulsed and self.version >= PAIRED_SINCE else 1

    @property
    def inputs(self) -> tuple[str, ...]:
        """Digital inputs recorded, in bit order; with three LEDs the second line drives the third."""
        return ("digital_1",) if self.mode.channels == 3 else ("digital_1", "digital_2")


def recognises(path: Path, head: bytes) -> bool:
    """Whether this is a .ppd: by its name, or by a JSON header after the two length bytes."""
    return path.suffix.lower() == ".ppd" or (head[2:3] == b"{" and b"volts_per_division" in head)


def read(path: Path) -> Stream:
    """The readings of one .ppd; an incomplete last cycle is left out.

    Raises:
        RecordingError: truncated or damaged header, unknown mode, newer version, or no samples.
    """
    header_bytes, body = _split(path, path.read_bytes())
    header = parse_header(str(path), header_bytes)
    channels, per_channel = header.mode.channels, header.words_per_channel
    words = np.frombuffer(body, "<u2", count=len(body) // 2)
    whole = len(words) // (channels * per_channel) * channels * per_channel
    cycles = words[:whole].reshape(-1, channels, per_channel)
    codes = (cycles >> 1).astype(np.int32)
    lit = codes[:, :, 0]
    dark = codes[:, :, 1] if per_channel == 2 else np.zeros_like(lit)
    return stream_of_codes(header, lit, dark, (cycles[:, :, 0] & 1).astype(np.int32))


def parse_header(source: str, text: bytes) -> Header:
    """The header of a .ppd, which is also the .json beside a pyPhotometry CSV.

    Raises:
        RecordingError: not JSON, a key missing or of a wrong type, unknown mode, newer version.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordingError(f"{source}: the header is not JSON ({error}); the file is damaged") from error
    if not isinstance(found, dict):
        raise RecordingError(f"{source}: the header is no JSON object; the file is damaged")
    return Header(
        source,
        _mode(source, found),
        _version(source, found),
        _rate_hz(source, found),
        _nano_units(source, found),
        _adc_max(source, found),
    )


def stream_of_codes(header: Header, lit: Codes, dark: Codes, digital: Codes) -> Stream:
    """A stream of converter codes at a fixed rate, without the cycles that never arrived.

    Args:
        header: what the file says of itself.
        lit: codes with the LED on, of shape (cycles, channels); signal first, then control.
        dark: codes with the LED off, of the same shape; 0 where the device subtracted them by itself.
        digital: 0 or 1, of shape (cycles, at least the number of inputs).

    Raises:
        RecordingError: nothing arrived at all.
    """
    arrived = lit.any(axis=1) | dark.any(axis=1) | digital.any(axis=1)
    kept = np.flatnonzero(arrived) if header.version >= PADDED_SINCE else np.arange(len(lit))
    if len(kept) == 0:
        raise RecordingError(f"{header.source}: no samples after the header; was the file copied completely?")
    numbers = kept - kept[0]
    readings = np.zeros(len(kept), READING)
    readings["ticks"] = np.rint(numbers * 1e6 / header.rate_hz)
    readings["seq"] = numbers
    for channel, name in enumerate(("signal", "control")):
        readings[f"{name}_lit"] = lit[kept, channel]
        readings[f"{name}_dark"] = dark[kept, channel]
    for bit in range(len(header.inputs)):
        readings["inputs"] |= (digital[kept, bit] << bit).astype(np.uint16)
    highest = np.maximum(lit, dark)[kept]
    for channel, flag in enumerate((FLAG_SIGNAL_SATURATED, FLAG_CONTROL_SATURATED)):
        readings["flags"][highest[:, channel] > SATURATED * header.adc_max] |= flag
    return Stream(readings, round(header.rate_hz * 1000), header.nano_units, header.source, header.inputs)


def _split(path: Path, data: bytes) -> tuple[bytes, bytes]:
    """Header and body; the header's length comes first."""
    size = int.from_bytes(data[:2], "little")
    header = data[2 : 2 + size]
    if size == OLDEST_HEADER_BYTES and not header.startswith(b"{"):
        raise RecordingError(
            f"{path}: the header is the binary one from before pyPhotometry wrote JSON, not supported; "
            "export the recording as time_s,signal,control"
        )
    if len(data) < 2 or len(header) < size:
        raise RecordingError(
            f"{path}: the header should have {size} bytes but the file ends after {len(header)} of them; "
            "copy the file again"
        )
    return header, data[2 + size :]


def _field(source: str, found: dict[str, Any], key: str, kind: type | tuple[type, ...]) -> Any:
    value = found.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise RecordingError(f"{source}: the header has no usable '{key}' (got {value!r}); damaged?")
    return value


def _mode(source: str, found: dict[str, Any]) -> Mode:
    name = _field(source, found, "mode", str)
    if name not in MODES:
        raise RecordingError(f"{source}: mode '{name}' is unknown; known modes are {', '.join(MODES)}")
    mode = MODES[name]
    signals = found.get("n_analog_signals", mode.channels)
    if signals != mode.channels:
        raise RecordingError(f"{source}: mode '{name}' has {mode.channels} signals (header: {signals!r})")
    return mode


def _version(source: str, found: dict[str, Any]) -> tuple[int, ...]:
    """Version as numbers: old headers hold a JSON number (0.2), newer ones text ("1.0.2")."""
    value = _field(source, found, "version", (str, int, float))
    try:
        version = tuple(int(part) for part in str(value).split("."))
    except ValueError:
        raise RecordingError(f"{source}: version {value!r} is no version; the file is damaged") from None
    if version[:2] > NEWEST:
        newest = ".".join(map(str, NEWEST))
        raise RecordingError(
            f"{source}: written by pyPhotometry {value}, newer than {newest}, the newest we know; "
            "update this program, or export the recording as time_s,signal,control"
        )
    return version


def _rate_hz(source: str, found: dict[str, Any]) -> float:
    rate_hz = _field(source, found, "sampling_rate", (int, float))
    if not 0.001 <= rate_hz <= 1e6:
        raise RecordingError(f"{source}: sampling_rate must be from 1 mHz to 1 MHz (got {rate_hz!r})")
    return float(rate_hz)


def _nano_units(source: str, found: dict[str, Any]) -> int:
    """Volts per code of both channels, in 1e-9; a stream has one scale."""
    volts = _field(source, found, "volts_per_division", list)
    if len(volts) < 2 or not all(isinstance(each, int | float) and 0 < each < 1 for each in volts):
        raise RecordingError(f"{source}: volts_per_division must be two voltages (got {volts!r})")
    signal, control = (round(each * 1e9) for each in volts[:2])
    if signal != control or signal == 0:
        raise RecordingError(
            f"{source}: volts_per_division must be the same for both channels (got {volts!r}); "
            "export the recording as time_s,signal,control"
        )
    return int(signal)


def _adc_max(source: str, found: dict[str, Any]) -> int:
    value = _field(source, {"ADC_max_value": ADC_MAX} | found, "ADC_max_value", int)
    if not 0 < value <= 2 * ADC_MAX:
        raise RecordingError(f"{source}: ADC_max_value must be from 1 to {2 * ADC_MAX} (got {value!r})")
    return int(value)
