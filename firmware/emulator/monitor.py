"""A board with the monitor probe: any register read and written from a test. For the emulator's own tests alone."""

from __future__ import annotations

import struct

from emulator import library
from emulator.board import EmulatedBoard

STEP_NS = 200_000

# Data-space addresses; the same on both chips except where `MEGA` says otherwise (data sheets' register summaries).
REGISTERS = {
    "PINB": 0x23, "DDRB": 0x24, "PORTB": 0x25, "PINC": 0x26, "DDRC": 0x27, "PORTC": 0x28, "PIND": 0x29, "DDRD": 0x2A,
    "PORTD": 0x2B, "PINE": 0x2C, "DDRE": 0x2D, "PORTE": 0x2E, "TIFR1": 0x36, "EIFR": 0x3C, "EIMSK": 0x3D,
    "EECR": 0x3F, "EEDR": 0x40, "EEARL": 0x41, "EEARH": 0x42, "SPCR": 0x4C, "SPSR": 0x4D, "SPDR": 0x4E,
    "TIMSK1": 0x6F, "ADCL": 0x78, "ADCH": 0x79, "ADCSRA": 0x7A, "ADCSRB": 0x7B, "ADMUX": 0x7C, "TCCR1A": 0x80,
    "TCCR1B": 0x81, "TCCR1C": 0x82, "TCNT1L": 0x84, "TCNT1H": 0x85, "OCR1AL": 0x88, "OCR1AH": 0x89, "OCR1BL": 0x8A,
    "OCR1BH": 0x8B, "TIMSK2": 0x70, "TCCR2A": 0xB0, "TCCR2B": 0xB1, "OCR2B": 0xB4, "EICRA": 0x69, "EICRB": 0x6A,
    "SMCR": 0x53, "UCSR0A": 0xC0, "UCSR0B": 0xC1, "UCSR0C": 0xC2, "UBRR0L": 0xC4,
}  # fmt: skip


class Monitor(EmulatedBoard):
    """An emulated board that runs `probes/monitor.c`."""

    def __init__(self, mcu: str = "atmega328p", *, ppm: float = 0.0, seed: int = 0) -> None:
        super().__init__(library.make(f"{mcu}/monitor.elf"), mcu, ppm=ppm, seed=seed)
        self.ns = STEP_NS
        self.run_until(self.ns)

    def ask(self, request: bytes, ns: int = STEP_NS) -> bytes:
        """Sends a request, runs for `ns`, and returns what came back."""
        self.send(request)
        self.wait(ns)
        return self.receive()

    def wait(self, ns: int) -> None:
        """Lets the board run on for `ns`."""
        self.ns += ns
        self.run_until(self.ns)

    def read(self, register: str) -> int:
        """The value of a register."""
        return self.ask(struct.pack("<cH", b"R", REGISTERS[register]))[0]

    def write(self, **values: int) -> None:
        """Writes registers one after the other, in the order given."""
        for register, value in values.items():
            self.ask(struct.pack("<cHB", b"W", REGISTERS[register], value))

    def write_together(self, *values: tuple[str, int]) -> None:
        """Writes up to four registers within a few cycles of each other; interrupts are off afterwards."""
        body = b"".join(struct.pack("<HB", REGISTERS[register], value) for register, value in values)
        self.ask(bytes((ord("X"), len(values))) + body)

    def poke_register(self, register: str, value: int) -> None:
        """Sets a register from outside, as if the program had; no side effect of a write follows."""
        self._c.emulator_poke(self.handle, REGISTERS[register], value)

    def watch(self, counter: str, begun: int, within: int = 20_000) -> int:
        """Cycles from `begun` until a counter of the probe changes; -1 where it does not within so many."""
        before = self.peek(counter)
        for cycle in range(self.cycle, begun + within, 8):
            self.check(self._c.emulator_run(self.handle, cycle))
            if self.peek(counter) != before:
                return self.cycle - begun
        return -1

    def write16(self, register: str, value: int) -> None:
        """Writes a 16-bit register, high byte first."""
        self.write(**{f"{register}H": value >> 8, f"{register}L": value & 0xFF})
