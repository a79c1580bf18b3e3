"""What saves power at the cost of time: slow and sleeping cores, battery, a computer that goes to sleep."""

from __future__ import annotations

import re

from closedloop.doctor.computer import LINUX, MACOS, WINDOWS, Computer
from closedloop.doctor.finding import Finding, Mend, good, unknown, warn
from closedloop.doctor.ports import RELOAD, rule, windows_setting
from closedloop.realtime import CORES_AWAKE

CLOCK, CORES, MAINS, SLEEP = "processor's clock", "sleep of cores", "mains power", "sleep of the computer"
_LATE_US = 100  # a core that takes longer to wake adds to each reading what our whole loop takes
_PLANS = {
    "8c5e7fda-e8bf-4a96-9a85-a6e23a8c635c": "high performance",
    "e9a42b02-d5df-448d-aa00-03f14749eb61": "ultimate performance",
    "381b4222-f694-41f0-9685-ff5bb260df2e": "balanced",
    "a1841308-3541-4fab-bc81-f71556f20b4a": "power saver",
}
_FAST_PLANS = ("high performance", "ultimate performance")
_INHIBIT = "systemd-inhibit --what=sleep:idle:handle-lid-switch closedloop run PROTOCOL --rig RIG"


def findings(computer: Computer, waiting: str | None = None) -> list[Finding]:
    """All that is asked here, in the order in which it is shown."""
    return [processor_clock(computer), core_sleep(computer, waiting), mains(computer), computer_sleep(computer)]


def processor_clock(computer: Computer) -> Finding:
    """Whether cores slow down between two readings."""
    if computer.system == LINUX:
        return _governor(computer)
    if computer.system == WINDOWS:
        return _power_plan(computer)
    if computer.system == MACOS:
        return _low_power_mode(computer)
    return unknown(CLOCK, "this system does not say")


def _governor(computer: Computer) -> Finding:
    files = computer.paths("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
    governors = sorted({file.read_text(encoding="ascii").strip() for file in files})
    if not governors:
        return unknown(CLOCK, "Linux sets no governor here, as in most virtual machines: the host's own decides")
    if governors == ["performance"]:
        return good(CLOCK, f"governor performance on all of {len(files)} cores")
    prefers = computer.text("sys/devices/system/cpu/cpu0/cpufreq/energy_performance_preference")
    if prefers == "performance":
        return good(CLOCK, f"governor {', '.join(governors)}, which prefers performance")
    said = f"governor {', '.join(governors)}" + (f", preference {prefers}" if prefers else "")
    mend = Mend(
        "until the next start (on a desktop also: powerprofilesctl set performance)",
        ("sudo cpupower frequency-set -g performance",),
    )
    return warn(CLOCK, f"{said}: cores slow down while they wait, and are slow when a reading comes", mend)


def _power_plan(computer: Computer) -> Finding:
    said = computer.ask(["powercfg", "/getactivescheme"]) or ""
    found = re.search(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", said.lower())
    if found is None:
        return unknown(CLOCK, "Windows did not say which power plan it follows")
    plan = _PLANS.get(found.group(), f"one of its maker's ({found.group()})")
    if plan in _FAST_PLANS:
        return good(CLOCK, f"power plan: {plan}")
    mend = Mend(
        "in a terminal (or: Settings, Power, Power mode: best performance)", ("powercfg /setactive SCHEME_MIN",)
    )
    return warn(CLOCK, f"power plan: {plan}; cores slow down while they wait", mend)


def _low_power_mode(computer: Computer) -> Finding:
    value = _pmset(computer, "lowpowermode")
    if value is None:
        return unknown(CLOCK, "macOS does not say whether Low Power Mode is on")
    if value == 0:
        return good(CLOCK, "Low Power Mode is off")
    return warn(CLOCK, "Low Power Mode is on: cores are slow", Mend("System Settings, Battery, Low Power Mode: Never"))


def _pmset(computer: Computer, name: str) -> int | None:
    found = re.search(rf"^\s*{name}\s+(\d+)", computer.ask(["pmset", "-g"]) or "", re.MULTILINE)
    return int(found.group(1)) if found else None


def core_sleep(computer: Computer, waiting: str | None = None) -> Finding:
    """How long a core may take to wake, in us.

    Args:
        computer: the computer.
        waiting: of the rig's file; None: no rig was named.
    """
    if computer.system != LINUX:
        return unknown(CORES, "this system does not say how deeply cores sleep; what it costs is in 'wake-ups'")
    latencies = _wake_latencies_us(computer)
    if not latencies:
        return unknown(CORES, "Linux shows no sleep states here, as in most virtual machines: the host's own decides")
    deepest = max(latencies)
    said = f"up to {deepest} us to wake"
    if deepest <= _LATE_US:
        return good(CORES, said, deepest, "us")
    if not computer.may_open(computer.root / CORES_AWAKE.relative_to("/")):
        asked = rule(f'KERNEL=="{CORES_AWAKE.name}", GROUP="dialout", MODE="0660"', then=RELOAD)
        return warn(CORES, f"{said}, and a session may not forbid it ({CORES_AWAKE})", asked, deepest, "us")
    if waiting == "awake":
        return good(CORES, f"{said}; the rig's sessions forbid it", deepest, "us")
    return warn(
        CORES, f"{said}; a session may forbid it", Mend("in the rig's file", ("waiting: awake",)), deepest, "us"
    )


def _wake_latencies_us(computer: Computer) -> list[int]:
    """Of the sleep states that are not switched off."""
    folders = computer.paths("sys/devices/system/cpu/cpu0/cpuidle/state*")
    states = [folder.relative_to(computer.root).as_posix() for folder in folders]
    used = [state for state in states if computer.number(f"{state}/disable") != 1]
    return [latency for state in used if (latency := computer.number(f"{state}/latency")) is not None]


def mains(computer: Computer) -> Finding:
    """Whether the computer runs from its battery."""
    battery = computer.battery
    if battery is None:
        return good(MAINS, "no battery is seen")
    level = f"battery at {battery.percent:.0f} %"
    if battery.plugged is None:
        return unknown(MAINS, f"{level}; whether mains power is connected is not said")
    if battery.plugged:
        return good(MAINS, f"connected, {level}", battery.percent, "%")
    mend = Mend("connect the charger for the whole session")
    return warn(MAINS, f"{level}, not charging: the system saves power, and the session ends with it", mend)


def computer_sleep(computer: Computer) -> Finding:
    """Whether the computer suspends itself while nobody types."""
    if computer.system == LINUX:
        return _linux_sleep(computer)
    if computer.system == WINDOWS:
        return _windows_sleep(computer)
    if computer.system == MACOS:
        return _macos_sleep(computer)
    return unknown(SLEEP, "this system does not say")


def _linux_sleep(computer: Computer) -> Finding:
    if not computer.text("sys/power/state"):
        return good(SLEEP, "this computer can't suspend")
    setting = ["org.gnome.settings-daemon.plugins.power", "sleep-inactive-ac-type"]
    said = (computer.ask(["gsettings", "get", *setting]) or "").strip().strip("'")
    mend = Mend("start the session so that nothing suspends it", (_INHIBIT,))
    if not said:
        return unknown(SLEEP, "whether the desktop suspends an idle computer is not said here", mend)
    if said == "nothing":
        return good(SLEEP, "the desktop does not suspend on mains power")
    off = Mend(
        "switch it off, or start the session with systemd-inhibit", (f"gsettings set {' '.join(setting)} nothing",)
    )
    return warn(SLEEP, f"the desktop does '{said}' when idle on mains power: no readings, no light, till woken", off)


def _windows_sleep(computer: Computer) -> Finding:
    seconds = windows_setting(computer, "SUB_SLEEP STANDBYIDLE")
    if seconds is None:
        return unknown(SLEEP, "Windows did not say after what time it sleeps")
    if seconds == 0:
        return good(SLEEP, "never, on mains power")
    mend = Mend("in a terminal", ("powercfg /change standby-timeout-ac 0",))
    return warn(SLEEP, f"after {seconds / 60:.0f} min without a key, on mains power", mend, seconds / 60, "min")


def _macos_sleep(computer: Computer) -> Finding:
    minutes = _pmset(computer, "sleep")
    if minutes is None:
        return unknown(SLEEP, "macOS did not say after what time it sleeps")
    if minutes == 0:
        return good(SLEEP, "never")
    mend = Mend("start the session so that it stays awake", ("caffeinate -is closedloop run PROTOCOL --rig RIG",))
    return warn(SLEEP, f"after {minutes} min without a key", mend, minutes, "min")
