"""Every serial message, once. Printed as C by `python -m closedloop.wire > firmware/core/wire.h`.

A message is one class below: its fields in wire order, little endian, no padding, after one byte that is its number
in `TABLE`. Both sides compare `WIRE_HASH`, a digest of all of this, before anything else is said; boards of another
version are not spoken to.

Ticks are microseconds on the board's own clock, unsigned 32 bits: they wrap every 71.6 minutes.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from enum import IntEnum
from hashlib import sha256
from typing import Annotated, Any, NamedTuple, get_args, get_type_hints

U8 = Annotated[int, "B"]
U16 = Annotated[int, "H"]
U32 = Annotated[int, "I"]
U64 = Annotated[int, "Q"]
I32 = Annotated[int, "i"]


class Board(IntEnum):
    """What answers on a port."""

    DAQ = 1
    STIMULATOR = 2
    BOTH = 3  # one board in both roles, on one port


class ResetCause(IntEnum):
    """Why the board last started."""

    POWER_ON = 1
    EXTERNAL = 2
    BROWN_OUT = 3
    WATCHDOG = 4


class State(IntEnum):
    """The stimulator's state. Light is possible in ARMED alone; TRIPPED is left by an explicit Arm alone."""

    DISARMED = 1
    ARMED = 2
    TRIPPED = 3


class Reason(IntEnum):
    """Why light was refused, cut short, or taken away."""

    NONE = 0
    NOT_ARMED = 1
    INTERLOCK_OPEN = 2
    BUSY = 3  # a train is running
    ON_TIME = 4  # longer than the longest on-time
    OFF_TIME = 5  # too soon after the last light
    DUTY_SHORT = 6
    DUTY_LONG = 7
    TRAIN_RATE = 8  # too many trains a minute
    LEVEL = 9
    BAD_REQUEST = 10  # zero on-time, period not longer than on-time, nothing prepared, and the like
    LATE = 11  # the start tick has passed
    LEASE_EXPIRED = 12  # no heartbeat within the lease
    HOST_DARK = 13  # the host said dark
    HOST_DISARMED = 14
    LIMITS_UNSET = 15  # no limits were set since the board started
    GATE_CLOSED = 16  # the external gate input forbids light; it trips nothing


class Feature(IntEnum):
    """What a DAQ board that watches by itself compares with its threshold."""

    SIGNAL = 1  # dF/F of the signal, against its own running level
    SIGNAL_LESS_CONTROL = 2  # dF/F of the signal less dF/F of the control


class Flag(IntEnum):
    """Bits of a reading's flags."""

    SIGNAL_SATURATED = 1
    CONTROL_SATURATED = 2
    DROPPED_CONVERSIONS = 4
    LIGHT = 8  # the stimulator's TTL copy was high during this reading
    NO_CONTROL = 16  # the device has no control channel: control is nan, not 0
    TRIGGER = 32  # at this reading the board, watching by itself, raised its trigger line


class Identify(NamedTuple):
    """Host to board: who is there?"""


class Identity(NamedTuple):
    """Board to host: sent when asked and once after each start."""

    board: U8
    firmware: U16
    wire_hash: U32
    unique_id: U64
    reset_cause: U8


class ClockQuery(NamedTuple):
    """Host to board: what time is it?"""

    query: U32


class ClockReply(NamedTuple):
    """Board to host: the ticks at which the query was understood."""

    query: U32
    ticks: U32


class StatisticsQuery(NamedTuple):
    """Host to board: how has the link been?"""


class Statistics(NamedTuple):
    """Board to host: counts since the board started."""

    frames: U32
    damaged_frames: U32
    overruns: U32


class StreamStart(NamedTuple):
    """Host to DAQ: start streaming; a rate of 0 means the board's own."""

    rate_mhz: U32


class StreamSettings(NamedTuple):
    """DAQ to host: the stream as it will be; sent before the first reading."""

    rate_mhz: U32
    nano_units: U32
    inputs: U8


class StreamStop(NamedTuple):
    """Host to DAQ: stop streaming."""


class StreamEnd(NamedTuple):
    """DAQ to host: the stream has ended; what was sent, so that what is missing can be counted exactly."""

    sent: U32
    dropped: U32


class Reading(NamedTuple):
    """DAQ to host: one reading. Flags as in `Flag`."""

    seq: U32
    ticks: U32
    signal_lit: I32
    signal_dark: I32
    control_lit: I32
    control_dark: I32
    inputs: U16
    flags: U16


class StreamRefused(NamedTuple):
    """DAQ to host: line or converter can't carry that rate; the highest that they can."""

    most_mhz: U32


class Watch(NamedTuple):
    """Host to DAQ: watch the stream and raise the trigger line by yourself; a threshold of 0 ends that.

    `threshold` and `release` are parts of the running level in 1/65536, `minimum` and `warm_up` are readings,
    and the running level follows with a time constant of 2**`shift` readings.
    """

    feature: U8
    shift: U8
    threshold: U16
    release: U16
    minimum: U16
    warm_up: U32
    refractory_us: U32


class WatchSet(NamedTuple):
    """DAQ to host: CRC-32 of the Watch message that is now in force."""

    crc: U32


class Heartbeat(NamedTuple):
    """Host to stimulator: a good reading arrived, this one; the lease starts anew."""

    seq: U32


class Limits(NamedTuple):
    """Host to stimulator: limits for the session. They may tighten the board's ceiling, never loosen it.

    Given while not armed they begin a session, whose train numbers are new.
    """

    on_us: U32
    off_us: U32
    short_window_ms: U32
    short_on_ms: U32
    long_window_ms: U32
    long_on_ms: U32
    trains_per_minute: U16
    lease_ms: U16
    level: U16


class LimitsSet(NamedTuple):
    """Stimulator to host: CRC-32 of the Limits message that is now in force, each value the tighter of the two."""

    crc: U32


class Arm(NamedTuple):
    """Host to stimulator: light is allowed from now on; clears a trip."""


class Disarm(NamedTuple):
    """Host to stimulator: dark, and no light until the next Arm."""


class Status(NamedTuple):
    """Stimulator to host: sent after every change of state, and after Dark."""

    state: U8
    reason: U8
    ticks: U32


class Fire(NamedTuple):
    """Host to stimulator: one train of light. Sent twice with one number it is delivered once.

    Numbers rise, and stay below 2**31: those above are of trains that the trigger line began.
    `level` is in 1/65535 of full power; `start` is a tick, used if `scheduled` is 1.
    """

    train: U32
    on_us: U32
    period_us: U32
    pulses: U16
    level: U16
    ramp_off_us: U32
    scheduled: U8
    start: U32


class Started(NamedTuple):
    """Stimulator to host: the train's first light, as delivered."""

    train: U32
    on_ticks: U32


class Fired(NamedTuple):
    """Stimulator to host: the train is over; last light, as delivered. `reason` is not 0 if it was cut short."""

    train: U32
    on_ticks: U32
    off_ticks: U32
    pulses: U16
    lit_us: U32
    reason: U8


class Refused(NamedTuple):
    """Stimulator to host: this train was not and will not be delivered."""

    train: U32
    reason: U8


class Dark(NamedTuple):
    """Host to stimulator: dark at once and disarm; always obeyed."""


class Trip(NamedTuple):
    """Stimulator to host: tripped; dark until an explicit Arm."""

    reason: U8
    ticks: U32


class Prepare(NamedTuple):
    """Host to stimulator: the train of this session, to be begun by Begin; 0 pulses take it back.

    If `by_trigger` is 1, a pulse on the trigger line begins it as well, while armed.
    """

    on_us: U32
    period_us: U32
    pulses: U16
    level: U16
    ramp_off_us: U32
    by_trigger: U8


class Prepared(NamedTuple):
    """Stimulator to host: CRC-32 of the Prepare message that is now in force."""

    crc: U32


class Begin(NamedTuple):
    """Host to stimulator: the prepared train, now, under this number: Fire in a third of its bytes."""

    train: U32


Message = (
    Identify | Identity | ClockQuery | ClockReply | StatisticsQuery | Statistics
    | StreamStart | StreamSettings | StreamStop | StreamEnd | Reading | StreamRefused
    | Watch | WatchSet | Heartbeat | Limits | LimitsSet | Arm | Disarm | Status | Fire | Started | Fired | Refused
    | Dark | Trip | Prepare | Prepared | Begin
)  # fmt: skip

TABLE: dict[int, type[Message]] = {
    0x01: Identify,
    0x02: Identity,
    0x03: ClockQuery,
    0x04: ClockReply,
    0x05: StatisticsQuery,
    0x06: Statistics,
    0x10: StreamStart,
    0x11: StreamSettings,
    0x12: StreamStop,
    0x13: StreamEnd,
    0x14: Reading,
    0x15: StreamRefused,
    0x16: Watch,
    0x17: WatchSet,
    0x20: Heartbeat,
    0x21: Limits,
    0x22: LimitsSet,
    0x23: Arm,
    0x24: Disarm,
    0x25: Status,
    0x26: Fire,
    0x27: Started,
    0x28: Fired,
    0x29: Refused,
    0x2A: Dark,
    0x2B: Trip,
    0x2C: Prepare,
    0x2D: Prepared,
    0x2E: Begin,
}

ENUMS: tuple[type[IntEnum], ...] = (Board, ResetCause, State, Reason, Feature, Flag)

ON_BOARD_TRAIN = 1 << 31  # trains that the trigger line began are numbered by the board, from here on

# What every stimulator board refuses to exceed whatever it is told (SCIENCE: longest pulse, rest, two duty windows).
CEILING = Limits(
    on_us=1_000_000,
    off_us=2_000,
    short_window_ms=60_000,
    short_on_ms=15_000,
    long_window_ms=600_000,
    long_on_ms=60_000,
    trains_per_minute=60,
    lease_ms=500,
    level=65_535,
)


def _codes(message: type[Message]) -> list[tuple[str, str]]:
    hints = get_type_hints(message, include_extras=True)
    return [(name, get_args(hints[name])[1]) for name in message._fields]


_NUMBERS = {message: number for number, message in TABLE.items()}
_STRUCTS = {
    number: struct.Struct("<B" + "".join(code for _, code in _codes(message))) for number, message in TABLE.items()
}


def pack(message: Message) -> bytes:
    """The payload of a message.

    Raises:
        struct.error: a value does not fit its field: a bug of the sender, never of the line.
    """
    number = _NUMBERS[type(message)]
    return _STRUCTS[number].pack(number, *message)


def unpack(payload: bytes) -> Message | None:
    """The message in a payload, or None where number or length is unknown (another version; counted by the caller)."""
    layout = _STRUCTS.get(payload[0])
    if layout is None or layout.size != len(payload):
        return None
    return TABLE[payload[0]]._make(layout.unpack(payload)[1:])


def size(message: type[Message]) -> int:
    """Bytes of a message's payload, its number included."""
    return _STRUCTS[_NUMBERS[message]].size


def named(enum: type[IntEnum], value: int) -> str:
    """The name of a value in lower case; of one that a newer board may send, its number."""
    try:
        return enum(value).name.lower()
    except ValueError:
        return f"unknown_{value}"


def describe() -> str:
    """All messages and their values as text: what the hash is taken of."""
    lines = [f"{number} {m.__name__} {_codes(m)}" for number, m in TABLE.items()]
    lines += [f"{e.__name__} {[(x.name, int(x)) for x in e]}" for e in ENUMS]
    return "\n".join([*lines, f"ceiling {tuple(CEILING)}", f"on_board_train {ON_BOARD_TRAIN}"])


WIRE_HASH = int.from_bytes(sha256(describe().encode()).digest()[:4], "little")

_C_TYPES = {"B": "uint8_t", "H": "uint16_t", "I": "uint32_t", "Q": "uint64_t", "i": "int32_t"}


def _upper(name: str) -> str:
    return "".join("_" + c if c.isupper() and i else c for i, c in enumerate(name)).upper()


def _struct_lines(number: int, message: type[Message]) -> Iterator[str]:
    summary = (message.__doc__ or "").strip().splitlines()[0]
    yield f"/* {summary} */"
    yield f"#define WIRE_{_upper(message.__name__)} 0x{number:02X}"
    fields: list[Any] = _codes(message)
    if fields:
        yield "typedef struct __attribute__((packed)) {"
        yield from (f"    {_C_TYPES[code]} {name};" for name, code in fields)
        yield f"}} wire_{_upper(message.__name__).lower()}_t;"
    yield ""


def c_header() -> str:
    """The same table for the firmware. Regenerated, never edited."""
    lines = [
        "/* Printed by `python -m closedloop.wire`; do not edit. Fields are little endian and packed. */",
        "#ifndef CLOSEDLOOP_WIRE_H",
        "#define CLOSEDLOOP_WIRE_H",
        "#include <stdint.h>",
        "",
        f"#define WIRE_HASH 0x{WIRE_HASH:08X}UL",
        "",
    ]
    for enum in ENUMS:
        lines += [f"#define {_upper(enum.__name__)}_{x.name} {int(x)}" for x in enum] + [""]
    for name, value in CEILING._asdict().items():
        lines.append(f"#define CEILING_{name.upper()} {value}UL")
    lines += [f"#define ON_BOARD_TRAIN {ON_BOARD_TRAIN}UL", ""]
    for number, message in TABLE.items():
        lines += _struct_lines(number, message)
    return "\n".join([*lines, "#endif", ""])


if __name__ == "__main__":
    sys.stdout.write(c_header())
