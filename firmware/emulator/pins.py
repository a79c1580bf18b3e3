"""Which port bit an Arduino pin is, on the two chips, and which channel of the converter."""

from __future__ import annotations

UNO = {f"D{i}": ("D", i) for i in range(8)} | {f"D{i + 8}": ("B", i) for i in range(6)}
UNO |= {f"A{i}": ("C", i) for i in range(6)}

_MEGA_PORTS = (
    "E0 E1 E4 E5 G5 E3 H3 H4 H5 H6 B4 B5 B6 B7 J1 J0 H1 H0 D3 D2 D1 D0 A0 A1 A2 A3 A4 A5 A6 A7 C7 C6 C5 C4 C3 C2 "
    "C1 C0 D7 G2 G1 G0 L7 L6 L5 L4 L3 L2 L1 L0 B3 B2 B1 B0"
)
MEGA = {f"D{i}": (bit[0], int(bit[1])) for i, bit in enumerate(_MEGA_PORTS.split())}
MEGA |= {f"A{i}": ("F", i) for i in range(8)} | {f"A{i + 8}": ("K", i) for i in range(8)}

PINS = {"atmega328p": UNO, "atmega2560": MEGA}
LIGHT = {"atmega328p": "D9", "atmega2560": "D11"}
UART = {"atmega328p": ("D", 0b11), "atmega2560": ("E", 0b11)}


def channel(pin: str) -> int:
    """The converter's channel of an analog pin, `A3` -> 3; raises ValueError for any other pin."""
    if not pin.startswith("A") or not pin[1:].isdecimal():
        raise ValueError(f"{pin} is not an analog pin (A0 to A15)")
    return int(pin[1:])
