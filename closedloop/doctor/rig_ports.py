"""The rig's own ports: there, free, and answered by the right board. Opening a port restarts an Arduino Uno."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from closedloop import wire
from closedloop.doctor.finding import Finding, Mend, bad, good
from closedloop.errors import DeviceError
from closedloop.link import Link, named
from closedloop.port import Port, available
from closedloop.rig import SIMULATED, Rig

Ask = Callable[[str, int], wire.Identity]
_BAUD = 500_000
_BOARDS = {
    ("daq",): (wire.Board.DAQ, wire.Board.BOTH),
    ("stimulator",): (wire.Board.STIMULATOR, wire.Board.BOTH),
    ("daq", "stimulator"): (wire.Board.BOTH,),
}


def ask(port: str, baud: int) -> wire.Identity:
    """Who is on a port; nothing is armed.

    Raises:
        DeviceError: no such port, it is in use, or nobody answers.
    """
    link = Link(Port(port, baud))
    try:
        return link.ask()
    finally:
        link.close()


def names() -> list[str]:
    """Of the serial ports that this computer has."""
    return [str(port.device) for port in available()]


def announcement(rig: Rig) -> str | None:
    """What is said before any port is opened; None if none will be."""
    ports = [port for port in dict(_ports(rig)) if port != SIMULATED]
    return f"opening {', '.join(ports)}: this restarts an Arduino Uno; nothing is armed" if ports else None


def findings(rig: Rig, have: Callable[[], list[str]] = names, who: Ask = ask) -> list[Finding]:
    """One for each of the rig's ports."""
    there = have()
    return [_look(port, roles, there, who) for port, roles in _ports(rig)]


def _ports(rig: Rig) -> Iterator[tuple[str, tuple[tuple[str, int], ...]]]:
    """Each port with its roles in the rig, and their baud rates."""
    ports = {"daq": rig.daq.port, "stimulator": rig.stimulator.wired_to}
    bauds = {"daq": getattr(rig.daq, "baud", _BAUD), "stimulator": getattr(rig.stimulator, "baud", _BAUD)}
    for name in dict.fromkeys(port for port in ports.values() if port):
        yield name, tuple((role, bauds[role]) for role, port in ports.items() if port == name)


def _look(port: str, roles: tuple[tuple[str, int], ...], there: list[str], who: Ask) -> Finding:
    wanted = tuple(role for role, _ in roles)
    name = f"rig's {' and '.join(wanted)}"
    if port == SIMULATED:
        return good(name, "simulated: needs no port")
    if "://" not in port and port not in there and not Path(port).exists():
        seen = f"there are {', '.join(there)}" if there else "there is none at all"
        mend = Mend("plug the board in, or name the right port in the rig's file", ("closedloop devices",))
        return bad(name, f"no port {port}; {seen}", mend)
    try:
        identity = who(port, roles[0][1])
    except DeviceError as problem:
        said, _, to_do = str(problem).partition("; ")
        return bad(name, said, Mend(to_do or "check cable and power"))
    return _answered(name, port, identity, _BOARDS[wanted])


def _answered(name: str, port: str, identity: wire.Identity, boards: tuple[wire.Board, ...]) -> Finding:
    flash = f"closedloop flash --board uno --port {port}"
    if identity.wire_hash != wire.WIRE_HASH:
        said = f"{port}: speaks wire {identity.wire_hash:08x}, this program {wire.WIRE_HASH:08x}"
        return bad(name, said, Mend("update the board (uno, nano or mega)", (flash,)))
    if identity.board not in boards:
        said = f"{port}: a {named(identity.board)} answers, where a {named(boards[0])} should be"
        return bad(name, said, Mend("name the right port in the rig's file, or give the board the other role"))
    return good(name, f"{port}: {named(identity.board)} answers")
