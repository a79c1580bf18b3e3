"""What stands between a board and this program on the way through USB. No port is opened here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from closedloop.doctor.computer import LINUX, MACOS, WINDOWS, Computer
from closedloop.doctor.finding import Finding, Mend, bad, good, unknown, warn

LATENCY, SUSPEND, RIGHTS, GRABBERS = "FTDI latency timer", "USB power saving", "rights on ports", "services on ports"
RULES = "/etc/udev/rules.d/99-closedloop.rules"
RELOAD = "sudo udevadm control --reload && sudo udevadm trigger"
_AGAIN = f"{RELOAD}, then unplug the board and plug it in again"
_SHORT_MS = 2  # at 1 ms the bridge waits no longer than USB itself; what it costs at 16 ms is in docs/doctor.md
_DEFAULT_MS = 16
_FTDI, _CH340 = "0403", "1a86"
_ARDUINO = "2341"
_FTDI_KEYS = r"SYSTEM\CurrentControlSet\Enum\FTDIBUS"
_PRESENT = r"HARDWARE\DEVICEMAP\SERIALCOMM"
_USB_SETTING = "2a737441-1930-4402-8d77-b2bebba308a3 48e6b7a6-50f5-4782-a5d4-53bb8f07e226"
_GROUPS = ("dialout", "uucp")
_NONE = "no USB serial port is plugged in; plug the boards in and look again"


class UsbPort(NamedTuple):
    """A serial port on USB, as Linux shows it: name, vendor (four hex digits), and the folder of its USB device."""

    name: str
    vendor: str
    folder: Path


def findings(computer: Computer) -> list[Finding]:
    """All that is asked here, in the order in which it is shown."""
    return [latency_timer(computer), usb_power(computer), rights(computer), grabbers(computer)]


def rule(*lines: str, then: str = _AGAIN) -> Mend:
    """Lines for a udev rule, where they go, and what makes them work."""
    return Mend(f"put this into {RULES}", lines, then)


def latency_timer(computer: Computer) -> Finding:
    """How long an FTDI bridge may keep bytes before it hands them on, in ms."""
    if computer.system == LINUX:
        ports = usb_ports(computer)
        timers = {p.name: computer.number(f"sys/bus/usb-serial/devices/{p.name}/latency_timer") for p in ports}
        known = {name: ms for name, ms in timers.items() if ms is not None}
        udev = 'ACTION=="add", SUBSYSTEM=="usb-serial", DRIVER=="ftdi_sio", ATTR{latency_timer}="1"'
        return _timers(known, [port.name for port in ports], rule(udev))
    if computer.system == WINDOWS:
        there = sorted(str(name) for name in computer.registry.values(_PRESENT).values())
        path = "Device Manager, Ports (COM & LPT), the port, Properties, Port Settings, Advanced, Latency Timer: 1"
        return _timers(_windows_timers(computer, there), there, Mend(path))
    if computer.system == MACOS:
        return _macos_timer(computer)
    return unknown(LATENCY, "this system does not say")


def _timers(known: dict[str, int], ports: Sequence[str], mend: Mend) -> Finding:
    if not known:
        return good(LATENCY, f"no FTDI bridge among {', '.join(ports)}") if ports else unknown(LATENCY, _NONE)
    slowest = max(known.values())
    said = ", ".join(f"{name} {ms} ms" for name, ms in known.items())
    if slowest <= _SHORT_MS:
        return good(LATENCY, said, slowest, "ms")
    cost = (
        f"{said}: readings come up to {slowest} ms late, unless a session is given low latency when it opens the port"
    )
    return warn(LATENCY, cost, mend, slowest, "ms")


def _windows_timers(computer: Computer, there: Sequence[str]) -> dict[str, int]:
    """Of ports that are plugged in; the registry remembers all that ever were."""
    registry, found = computer.registry, {}
    for bridge in registry.below(_FTDI_KEYS):
        for number in registry.below(f"{_FTDI_KEYS}\\{bridge}"):
            settings = registry.values(f"{_FTDI_KEYS}\\{bridge}\\{number}\\Device Parameters")
            if settings.get("PortName") in there:
                found[str(settings["PortName"])] = int(settings.get("LatencyTimer", _DEFAULT_MS))
    return found


def _macos_timer(computer: Computer) -> Finding:
    listed = computer.ask(["ioreg", "-p", "IOUSB", "-l", "-w", "0"])
    if listed is None:
        return unknown(LATENCY, "macOS did not list its USB devices")
    if not re.search(rf'"idVendor" = {int(_FTDI, 16)}\b', listed):
        return good(LATENCY, "no FTDI bridge is plugged in")
    see = Mend(
        "measure it; 16 ms and more is the timer. Then use a board with another bridge",
        ("closedloop selftest --rig RIG",),
    )
    return unknown(LATENCY, "an FTDI bridge is plugged in, and macOS does not show its timer", see)


def usb_ports(computer: Computer) -> list[UsbPort]:
    """Serial ports on USB, on Linux; elsewhere none."""
    found = []
    for tty in computer.paths("sys/class/tty/tty[UA][SC][BM]*"):
        folder = _usb_device((tty / "device").resolve(), computer.root.resolve())
        if folder is not None:
            vendor = (folder / "idVendor").read_text(encoding="ascii").strip()
            found.append(UsbPort(tty.name, vendor, folder))
    return found


def _usb_device(folder: Path, root: Path) -> Path | None:
    """The USB device that a port's device is an interface of."""
    for parent in (folder, *folder.parents):
        if parent == root:
            return None
        if (parent / "idVendor").is_file():
            return parent
    return None


def usb_power(computer: Computer) -> Finding:
    """Whether the system may put a board's USB to sleep when nothing was said for a while."""
    if computer.system == LINUX:
        return _linux_usb_power(computer)
    if computer.system == WINDOWS:
        return _windows_usb_power(computer)
    if computer.system == MACOS:
        return good(SUSPEND, "macOS lets an open port be")
    return unknown(SUSPEND, "this system does not say")


def _linux_usb_power(computer: Computer) -> Finding:
    ports = usb_ports(computer)
    sleepy = [port for port in ports if _may_sleep(port.folder)]
    if not ports:
        return unknown(SUSPEND, _NONE)
    if not sleepy:
        return good(SUSPEND, f"off for {', '.join(port.name for port in ports)}")
    mend = rule(
        *(
            f'ACTION=="add", SUBSYSTEM=="usb", ATTR{{idVendor}}=="{vendor}", ATTR{{power/control}}="on"'
            for vendor in dict.fromkeys(port.vendor for port in sleepy)
        )
    )
    names = ", ".join(port.name for port in sleepy)
    return warn(SUSPEND, f"{names} may be put to sleep: bytes come late, or the board is lost", mend)


def _may_sleep(folder: Path) -> bool:
    def said(name: str) -> str:
        try:
            return (folder / "power" / name).read_text(encoding="ascii").strip()
        except OSError:
            return ""

    return said("control") == "auto" and not said("autosuspend_delay_ms").startswith("-")


def _windows_usb_power(computer: Computer) -> Finding:
    on_mains = windows_setting(computer, _USB_SETTING)
    if on_mains is None:
        return unknown(SUSPEND, "Windows did not say whether USB selective suspend is on")
    if on_mains == 0:
        return good(SUSPEND, "USB selective suspend is off on mains power")
    off = (f"powercfg /setacvalueindex SCHEME_CURRENT {_USB_SETTING} 0", "powercfg /setactive SCHEME_CURRENT")
    mend = Mend("in a terminal as administrator (or: Power Options, USB settings, selective suspend: disabled)", off)
    return warn(SUSPEND, "USB selective suspend is on: a quiet board may be put to sleep, or lost", mend)


def windows_setting(computer: Computer, setting: str) -> int | None:
    """A power setting of Windows on mains power, by its group and name; None if it is not said.

    The words of the answer are in the user's language; its last two hexadecimal numbers are on mains and on battery.
    """
    said = computer.ask(["powercfg", "/query", "SCHEME_CURRENT", *setting.split()])
    numbers = re.findall(r"\b0x[0-9a-fA-F]{8}\b", said or "")
    return int(numbers[-2], 16) if len(numbers) >= 2 else None


def rights(computer: Computer) -> Finding:
    """Whether this person may open the ports."""
    if computer.system in (MACOS, WINDOWS):
        return good(RIGHTS, "everybody may open ports here")
    if computer.system != LINUX:
        return unknown(RIGHTS, "this system does not say")
    devices = [computer.root / "dev" / port.name for port in usb_ports(computer)]
    shut = [device for device in devices if not computer.may_open(device)]
    if shut:
        return _shut(computer, [device.name for device in shut])
    if devices:
        return good(RIGHTS, f"may open {', '.join(device.name for device in devices)}")
    if computer.person.root or set(_GROUPS) & (computer.person.groups or set()):
        return good(RIGHTS, "may open any serial port")
    return unknown(RIGHTS, "no USB serial port is plugged in to try, and you are in neither group dialout nor uucp")


def _shut(computer: Computer, names: Sequence[str]) -> Finding:
    members = {
        name: listed.split(",")
        for name, _, _, listed in (
            line.split(":") for line in (computer.text("etc/group") or "").splitlines() if line.count(":") == 3
        )
    }
    group = next((name for name in _GROUPS if name in members), _GROUPS[0])
    me = computer.person.name
    said = f"{', '.join(names)} may not be opened by {me}"
    if me in members.get(group, ()):
        return bad(RIGHTS, f"{said}, who is in the group {group}, but not yet since logging in", Mend("log out and in"))
    return bad(RIGHTS, said, Mend("join the group", (f"sudo usermod -aG {group} {me}",), "log out and in"))


def grabbers(computer: Computer) -> Finding:
    """Programs that open serial ports unasked, or keep them."""
    if not computer.programs:
        return unknown(GRABBERS, "the list of running programs may not be read")
    if "ModemManager" in computer.programs:
        lines = [
            f'ACTION=="add", SUBSYSTEM=="usb", ATTR{{idVendor}}=="{vendor}", ENV{{ID_MM_DEVICE_IGNORE}}="1"'
            for vendor in _vendors(computer)
        ]
        mend = Mend(f"put this into {RULES} (or: sudo systemctl disable --now ModemManager)", tuple(lines), _AGAIN)
        return warn(GRABBERS, "ModemManager runs: it may talk to a board that is plugged in, for up to 30 s", mend)
    if "brltty" in computer.programs:
        mend = Mend("unless somebody here reads braille", ("sudo apt remove brltty",), "plug the board in again")
        return warn(GRABBERS, "brltty runs: it takes boards with a CH340 for braille displays, and their port", mend)
    held = sorted(name for name in computer.programs if name.lower().startswith(("serial-monitor", "arduino")))
    if held:
        mend = Mend("close it, or its serial monitor, before a session")
        return warn(GRABBERS, f"{held[0]} runs: its serial monitor keeps a port for itself", mend)
    return good(GRABBERS, "none that is known to open ports unasked")


def _vendors(computer: Computer) -> list[str]:
    """Of the boards that are plugged in; without any, the three that boards like ours have."""
    return list(dict.fromkeys(p.vendor for p in usb_ports(computer))) or [_ARDUINO, _FTDI, _CH340]
