"""One emulated board in virtual time: the real firmware's ELF, its pins, port and voltages. Never reads a wall clock.

Virtual time is in nanoseconds from power-on of the bench. A board whose crystal is off by some ppm counts its own
cycles faster or slower than that.
"""

from __future__ import annotations

import ctypes
import enum
import hashlib
import struct
from pathlib import Path
from typing import NamedTuple

from emulator import library
from emulator.elf import Symbol, ram_symbols
from emulator.pins import LIGHT, PINS, UART, channel

CRYSTAL_HZ = 16_000_000
CHUNK = 4096


class Kind(enum.IntEnum):
    """What an event is; as in `emulator.h`."""

    PIN = 1
    OVERRUN = 2
    RESET = 3
    LEVEL = 4
    SPI = 5
    RECEIVED = 6
    INPUT = 7
    CRASH = 8


class Cause(enum.IntEnum):
    """Why a board is reset: the flag of MCUSR that it leaves."""

    POWER_ON = 1
    EXTERNAL = 2
    BROWN_OUT = 4


class Event(NamedTuple):
    """An entry of the log; `value` as `emulator.h` says."""

    cycle: int
    kind: int
    value: int


class Edge(NamedTuple):
    """A change of a pin: virtual time, the board's own cycle, and the new level."""

    ns: int
    cycle: int
    level: int


class StoppedError(RuntimeError):
    """The processor stopped for good: it slept with interrupts off, or ran out of its program."""


class EmulatedBoard:
    """A board that runs `elf` on `mcu` (`atmega328p` or `atmega2560`), its crystal off by `ppm`.

    `seed` says what RAM holds at power-up and how the converter's noise falls; EEPROM is erased at first.
    """

    def __init__(self, elf: Path, mcu: str = "atmega328p", *, ppm: float = 0.0, seed: int = 0) -> None:
        if mcu not in PINS:
            raise ValueError(f"no such chip here: {mcu}; there are {', '.join(PINS)}")
        if not Path(elf).is_file():
            raise FileNotFoundError(f"no firmware at {elf}; `make -C firmware` builds it")
        self.elf, self.mcu, self.ppm = Path(elf), mcu, ppm
        self.light_pin = LIGHT[mcu]
        self.events: list[Event] = []
        self._scale = CRYSTAL_HZ * round(1e9 + ppm * 1e3)  # cycles in 1e9 seconds
        self._c = library.load()
        self.handle: int = self._c.emulator_new(mcu.encode(), str(elf).encode(), self._scale / 1e9, seed)
        if not self.handle:
            raise RuntimeError(f"libsimavr could not load {elf} for {mcu}")
        port, bits = UART[mcu]
        self._c.emulator_mute(self.handle, port.encode(), bits)
        self._symbols: dict[str, Symbol] | None = None
        self._hash = hashlib.sha256()
        self._cycles = (ctypes.c_uint64 * CHUNK)()
        self._bytes = (ctypes.c_uint8 * CHUNK)()
        self._events = ctypes.create_string_buffer(CHUNK * struct.calcsize(library.EVENT))

    def close(self) -> None:
        """Frees the board; nothing may be asked of it afterwards."""
        if self.handle:
            self._c.emulator_free(self.handle)
        self.handle = 0

    # Time

    @property
    def cycle(self) -> int:
        """Cycles that the processor has counted since the bench's power-on; resets do not set it back."""
        return int(self._c.emulator_cycle(self.handle))

    @property
    def now_ns(self) -> int:
        """The virtual time that the board has reached."""
        return self.ns_of(self.cycle)

    def cycle_of(self, ns: int) -> int:
        """The board's cycle at this virtual time."""
        return ns * self._scale // 10**18

    def ns_of(self, cycle: int) -> int:
        """The virtual time at this cycle of the board."""
        return cycle * 10**18 // self._scale

    def run_until(self, ns: int) -> None:
        """Runs to this virtual time, up to an instruction more; raises StoppedError where it stops for good."""
        self.check(self._c.emulator_run(self.handle, self.cycle_of(ns)))

    def check(self, state: int) -> None:
        """Raises StoppedError where a run ended in this state of the processor."""
        if state:
            raise StoppedError(f"{self.elf.name} on {self.mcu} stopped in state {state} at cycle {self.cycle}")

    # Port

    def send(self, data: bytes, at_ns: int | None = None) -> None:
        """Puts bytes on the line to the board, the first start bit at `at_ns` or as soon as the line is free."""
        self._c.emulator_write(self.handle, data, len(data), 0 if at_ns is None else self.cycle_of(at_ns))

    def _read(self, ns: int | None) -> int:
        until = self.cycle if ns is None else self.cycle_of(ns)
        return int(self._c.emulator_read(self.handle, until, self._cycles, self._bytes, CHUNK))

    def receive(self, ns: int | None = None) -> bytes:
        """Bytes from the board whose last bit was out by `ns` (by now)."""
        data = b""
        while count := self._read(ns):
            data += bytes(self._bytes[:count])
        return data

    def receive_timed(self, ns: int | None = None) -> list[tuple[int, int]]:
        """The same bytes, each with the virtual time of its last bit: `(due_ns, byte)`."""
        timed: list[tuple[int, int]] = []
        while count := self._read(ns):
            timed += zip(map(self.ns_of, self._cycles[:count]), self._bytes[:count], strict=True)
        return timed

    # Pins and voltages

    def bit(self, pin: str) -> tuple[str, int]:
        """Port letter and bit of an Arduino pin; raises ValueError for a pin that the board does not have."""
        if pin not in PINS[self.mcu]:
            raise ValueError(
                f"{self.mcu} has no pin {pin!r}; pins are D0 to D{'53' if 'D53' in PINS[self.mcu] else '13'}"
            )
        return PINS[self.mcu][pin]

    def set_pin(self, pin: str, level: bool) -> None:
        """Drives an input from outside, until it is driven otherwise; resets do not change it."""
        port, bit = self.bit(pin)
        self._c.emulator_set_pin(self.handle, port.encode(), bit, int(level))

    def pin(self, pin: str) -> bool:
        """Whether an output is driven high now."""
        port, bit = self.bit(pin)
        return bool(self._c.emulator_outputs(self.handle, port.encode()) >> bit & 1)

    def set_adc_mv(self, pin: str, mv: float, noise_mv: float = 0.0) -> None:
        """Sets an analog pin's voltage, whatever the LEDs do, with gaussian noise of this sd."""
        for state in range(8):
            self.set_voltage(pin, state, mv, noise_mv)

    def set_voltage(self, pin: str, led_state: int, mv: float, noise_mv: float = 0.0) -> None:
        """Sets an analog pin's voltage for a state of the light: 1 for 405 nm, 2 for 470 nm, 4 for the stimulator's."""
        microvolts, noise = round(mv * 1000), round(noise_mv * 1000)
        self._c.emulator_set_voltage(self.handle, channel(pin), led_state, microvolts, noise)

    def set_leds(self, control_pin: str, signal_pin: str) -> None:
        """Says which outputs are the 405 nm and the 470 nm LED."""
        for led, pin in enumerate((control_pin, signal_pin)):
            port, bit = self.bit(pin)
            self._c.emulator_set_led(self.handle, led, port.encode(), bit)

    # What happened

    def drain(self) -> list[Event]:
        """Takes the new events over into `events`, and returns them."""
        new: list[Event] = []
        while count := self._c.emulator_events(self.handle, self._events, CHUNK):
            raw = self._events.raw[: count * struct.calcsize(library.EVENT)]
            self._hash.update(raw)
            new += map(Event._make, struct.iter_unpack(library.EVENT, raw))
        self.events += new
        return new

    def log_hash(self) -> str:
        """SHA-256 of all events so far: equal inputs give equal hashes."""
        self.drain()
        return self._hash.hexdigest()

    def of_kind(self, kind: Kind) -> list[Event]:
        """All events of this kind so far."""
        self.drain()
        return [event for event in self.events if event.kind == kind]

    def edges(self, pin: str) -> list[Edge]:
        """All changes of an output so far, from undriven, which counts as low."""
        port, bit = self.bit(pin)
        where = ord(port) << 8 | bit
        found = [event for event in self.of_kind(Kind.PIN) if event.value >> 8 == where]
        return [Edge(self.ns_of(event.cycle), event.cycle, event.value & 1) for event in found]

    def light_edges(self) -> list[Edge]:
        """All changes of the light gate so far."""
        return self.edges(self.light_pin)

    # Interventions

    def reset(self, cause: Cause = Cause.EXTERNAL, *, still_s: float = 0.0, garbage: int = 0) -> None:
        """Resets the processor, which then stands still for `still_s` (a bootloader), its pins let go.

        RAM keeps what it held unless `garbage` is the seed of what power-on finds there.
        """
        self._c.emulator_reset(self.handle, int(cause), round(still_s * CRYSTAL_HZ), garbage)

    def hang(self, *, interrupts: bool = True) -> None:
        """Makes the program jump to itself where it stands, until a reset, with its interrupts on or off.

        Between two instructions of the main loop, that is: of an interrupt, should one be running.
        """
        self._c.emulator_hang(self.handle, int(interrupts))

    def symbol(self, name: str) -> Symbol:
        """Where a variable of the firmware lies in RAM; raises KeyError with the names that are there."""
        if self._symbols is None:
            self._symbols = ram_symbols(self.elf)
        if name not in self._symbols:
            raise KeyError(
                f"{self.elf.name} has no variable {name!r} in RAM; it has {', '.join(sorted(self._symbols))}"
            )
        return self._symbols[name]

    def peek(self, name: str, offset: int = 0, size: int | None = None) -> int:
        """A variable (or `size` bytes of it from `offset`) as an unsigned number, little endian."""
        symbol = self.symbol(name)
        start, length = symbol.address + offset, symbol.size - offset if size is None else size
        return int.from_bytes((self._c.emulator_peek(self.handle, start + i) for i in range(length)), "little")

    def poke(self, name: str, value: int, offset: int = 0, size: int | None = None) -> None:
        """Sets a variable, or `size` bytes of it from `offset`; raises OverflowError where the value does not fit."""
        symbol = self.symbol(name)
        length = symbol.size - offset if size is None else size
        for i, byte in enumerate(value.to_bytes(length, "little")):
            self._c.emulator_poke(self.handle, symbol.address + offset + i, byte)

    def peek_eeprom(self, cell: int) -> int:
        """The content of an EEPROM cell; raises IndexError beyond the last one."""
        return self._cell(cell, -1)

    def poke_eeprom(self, cell: int, value: int) -> None:
        """Stores a byte in an EEPROM cell, at once; raises IndexError beyond the last one."""
        self._cell(cell, value & 0xFF)

    def _cell(self, cell: int, value: int) -> int:
        content: int = self._c.emulator_eeprom(self.handle, cell, value)
        if content < 0:
            raise IndexError(f"{self.mcu} has no EEPROM cell {cell}")
        return content
