"""Clocks and waiting: whether time can be told, and whether the computer is there when a reading comes."""

from __future__ import annotations

from closedloop.doctor.computer import LINUX, MACOS, WINDOWS, Computer
from closedloop.doctor.finding import Finding, Mend, bad, good, unknown, warn
from closedloop.doctor.measure import ClockSteps, WakeUps

SOURCE, CLOCK, WAKE, VIRTUAL = "clock source", "clock's steps", "wake-ups", "virtual machine"
_GOOD_SOURCES = ("tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page", "riscv_clocksource", "timebase")
_LATE_US = 1000.0
_STALL_US = 20_000.0
_COARSE_NS, _USELESS_NS = 10_000, 1_000_000
_BIOS = r"HARDWARE\DESCRIPTION\System\BIOS"
_MADE_UP = ("virtual", "vmware", "kvm", "qemu", "parallels")


def clock_source(computer: Computer) -> Finding:
    """What Linux tells the time by."""
    if computer.system != LINUX:
        return unknown(SOURCE, "this system does not say; its steps are measured below")
    folder = "sys/devices/system/clocksource/clocksource0"
    source = computer.text(f"{folder}/current_clocksource")
    if not source:
        return unknown(SOURCE, "Linux does not say")
    if source in _GOOD_SOURCES:
        return good(SOURCE, source)
    others = (computer.text(f"{folder}/available_clocksource") or "").split()
    better = next((name for name in _GOOD_SOURCES if name in others), None)
    if better:
        mend = Mend(
            "until the next start; why the kernel gave it up is in: sudo dmesg | grep -i clocksource",
            (f"echo {better} | sudo tee /{folder}/current_clocksource",),
        )
    else:
        mend = Mend(
            "see why the kernel gave up tsc, and update the firmware", ("sudo dmesg | grep -i -e tsc -e clocksource",)
        )
    return warn(
        SOURCE, f"{source}: a look at the clock takes a microsecond or more, and each reading takes several", mend
    )


def clock(computer: Computer, steps: ClockSteps) -> Finding:
    """The monotonic clock as measured."""
    step_us = steps.step_ns / 1e3
    said = f"smallest step {_time(steps.step_ns)}, {_time(steps.read_ns)} a look"
    if steps.backwards:
        went = f"went backwards {steps.backwards} times in a row of looks: times in a recording can't be believed"
        return bad(CLOCK, went, Mend("update the firmware; in a virtual machine, run on the real computer instead"))
    if steps.step_ns >= _USELESS_NS:
        return bad(
            CLOCK,
            f"{said}: latencies can't be told, nor can boards' clocks be followed",
            _finer(computer),
            step_us,
            "us",
        )
    if steps.step_ns >= _COARSE_NS:
        return warn(CLOCK, said, _finer(computer), step_us, "us")
    return good(CLOCK, f"{said}, never backwards", step_us, "us")


def _time(ns: float) -> str:
    return f"{ns / 1e6:.1f} ms" if ns >= 1e6 else f"{ns / 1e3:.1f} us" if ns >= 1e3 else f"{ns:.0f} ns"


def _finer(computer: Computer) -> Mend | None:
    if computer.system == WINDOWS:
        return Mend("update Windows and the firmware: its performance counter should step by 100 ns")
    return None


def wake_ups(computer: Computer, ordinary: WakeUps, rate_hz: float, first: WakeUps | None = None) -> Finding:
    """How late waits ended, against the time from reading to reading.

    Args:
        computer: the computer.
        ordinary: as an ordinary program waits.
        rate_hz: readings a second.
        first: as a session waits that has real-time scheduling; None where that is not to be had.
    """
    found, between_us = first or ordinary, 1e6 / rate_hz
    said = _late(found)
    if first is not None:
        without = f"{ordinary.p50_us:.0f}, {ordinary.p99_us:.0f} and {ordinary.max_us:.0f} us"
        said += f" with a session's priority, without it {without}"
    if found.p99_us >= between_us:
        return bad(
            WAKE, f"{said}; readings come every {between_us:.0f} us", _prompter(computer, first), found.p99_us, "us"
        )
    if found.p99_us >= _LATE_US or found.max_us >= _STALL_US:
        return warn(WAKE, said, _prompter(computer, first), found.p99_us, "us")
    return good(WAKE, said, found.p99_us, "us")


def _late(found: WakeUps) -> str:
    return f"late by {found.p50_us:.0f} us (half), {found.p99_us:.0f} us (99 of 100), {found.max_us:.0f} us (worst)"


def _prompter(computer: Computer, first: WakeUps | None) -> Mend:
    if computer.system == WINDOWS:
        return Mend("close other programs, and choose the power plan 'high performance'")
    if computer.system == LINUX and first is None:
        return Mend("get real-time scheduling, see there; and close other programs")
    return Mend("close other programs; see also power saving, sleep of cores and virtual machine")


def virtual(computer: Computer) -> Finding:
    """Whether another system underneath shares out this computer's time."""
    kind = _virtual_kind(computer)
    if kind is None:
        return unknown(VIRTUAL, "this system does not say")
    if not kind:
        return good(VIRTUAL, "no")
    mend = Mend("run sessions with animals on the computer itself; simulated ones may run here")
    return warn(VIRTUAL, f"{kind}: its host may stop it for ms at any time, and hands USB on late", mend)


def _virtual_kind(computer: Computer) -> str | None:
    """What it is; nothing for a real computer; None if it is not said."""
    if computer.system == LINUX:
        if "microsoft" in (computer.text("proc/version") or "").lower():
            return "Windows Subsystem for Linux"
        about = computer.text("proc/cpuinfo")
        if about is None or "flags" not in about:
            return None  # only the flags of x86 tell
        return "yes" if "hypervisor" in about.split() else ""
    if computer.system == WINDOWS:
        product = str(computer.registry.values(_BIOS).get("SystemProductName", ""))
        return None if not product else product if any(name in product.lower() for name in _MADE_UP) else ""
    if computer.system == MACOS:
        said = (computer.ask(["sysctl", "-n", "kern.hv_vmm_present"]) or "").strip()
        return {"0": "", "1": "yes"}.get(said)
    return None
