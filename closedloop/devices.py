"""What answers on this computer's serial ports. It asks who is there and nothing else; nothing is armed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from closedloop import wire
from closedloop.errors import DeviceError
from closedloop.link import Link, named
from closedloop.port import Port, available

_BAUD = 500_000
_WITHIN_S = 3.0


@dataclass(frozen=True)
class Found:
    """One port, and what is on it."""

    port: str
    description: str
    usb: str | None  # VID:PID and serial number, where it is a USB device
    board: str | None  # what answered, or None
    wire_hash: str | None
    unique_id: str | None
    problem: str | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def found(baud: int = _BAUD) -> list[Found]:
    """Every serial port of this computer, each asked who is there. Opening a port restarts an Arduino Uno."""
    return [_ask(port, baud) for port in available()]


def _ask(port: Any, baud: int) -> Found:
    usb = None if port.vid is None else f"{port.vid:04x}:{port.pid:04x} {port.serial_number or ''}".strip()
    try:
        link = Link(Port(port.device, baud))
    except DeviceError as problem:
        return Found(port.device, port.description, usb, None, None, None, str(problem))
    try:
        identity = link.ask(_WITHIN_S)
    except DeviceError as problem:
        return Found(port.device, port.description, usb, None, None, None, str(problem))
    finally:
        link.close()
    stranger = identity.wire_hash != wire.WIRE_HASH
    problem_text = f"speaks wire {identity.wire_hash:08x}, this program {wire.WIRE_HASH:08x}" if stranger else None
    board, version, unique = named(identity.board), f"{identity.wire_hash:08x}", f"{identity.unique_id:016x}"
    return Found(port.device, port.description, usb, board, version, unique, problem_text)


def lines(ports: Sequence[Found]) -> list[str]:
    """For people."""
    if not ports:
        return ["no serial ports on this computer; a simulated rig needs none: closedloop demo"]
    return [f"{p.port:<16} {p.board or '-':<18} {p.description}{'  ' + p.problem if p.problem else ''}" for p in ports]
