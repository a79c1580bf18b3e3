"""The doctor on made-up computers: what is found of each, and what is said to mend it."""

from __future__ import annotations

import json
import os
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pytest
from sessions import command

from closedloop import cli, wire
from closedloop.doctor import (
    Finding,
    Mend,
    Plan,
    State,
    data,
    examine,
    load,
    measure,
    plan_of,
    ports,
    power,
    program,
    rig_ports,
    rights,
    table,
    timing,
    worst_first,
)
from closedloop.doctor.computer import Battery, Computer, Memory, Mount, Person, this_computer
from closedloop.doctor.measure import ClockSteps, DiskLook, WakeUps
from closedloop.doctor.registry import Registry
from closedloop.errors import DeviceError
from closedloop.port import Port
from closedloop.protocol import load_protocol
from closedloop.recording import row_dtype
from closedloop.recording.layout import Layout
from closedloop.rig import load_rig
from closedloop.simulation import virtual_rig
from closedloop.steps import STEP

GIB = 2**30
CPU = "sys/devices/system/cpu/cpu0"
CLOCKS = "sys/devices/system/clocksource/clocksource0"
NO_RIGHTS = "Name:\tpython\nCapEff:\t0000000000000000\n"
ALL_RIGHTS = "CapEff:\t000001ffffffffff\n"
USB_SETTING = "48e6b7a6-50f5-4782-a5d4-53bb8f07e226"


def linux(root: Path, files: dict[str, str] | None = None, **more: Any) -> Computer:
    for name, text in (files or {}).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return Computer("Linux", root, **more)


def plugged_in(root: Path, name: str, vendor: str, control: str = "on", delay_ms: str = "2000") -> None:
    """A serial port on USB, as /sys has it: the port's device is a folder some way below the USB device."""
    usb = root / f"sys/devices/pci0/usb1/1-{name}"
    (usb / "power").mkdir(parents=True)
    (usb / "idVendor").write_text(vendor + "\n")
    (usb / "power/control").write_text(control + "\n")
    (usb / "power/autosuspend_delay_ms").write_text(delay_ms + "\n")
    interface = usb / "1-1:1.0" / name
    interface.mkdir(parents=True)
    tty = root / f"sys/class/tty/{name}"
    tty.mkdir(parents=True)
    (tty / "device").symlink_to(os.path.relpath(interface, tty))
    (root / "dev").mkdir(exist_ok=True)
    (root / "dev" / name).touch()


def answering(**answers: str) -> Any:
    """Asks of programs: the first answer whose key is among the words, with dashes for underscores."""
    known = {key.replace("_", "-"): text for key, text in answers.items()}
    return lambda words: next((text for key, text in known.items() if key in words), None)


def timer(root: Path, ms: int) -> Finding:
    plugged_in(root, "ttyUSB0", "0403")
    return ports.latency_timer(linux(root, {"sys/bus/usb-serial/devices/ttyUSB0/latency_timer": str(ms)}))


def mended(finding: Finding) -> str:
    """All words and lines of the mend."""
    assert finding.mend is not None
    return "\n".join((finding.mend.do, *finding.mend.paste, finding.mend.then))


# --- ports


def test_an_ftdi_bridge_at_16_ms_is_a_warning_with_its_udev_rule_and_where_it_goes(tmp_path: Path) -> None:
    found = timer(tmp_path, 16)
    assert (found.state, found.value, found.unit) == (State.WARN, 16, "ms")
    assert "ttyUSB0 16 ms" in found.found
    assert 'DRIVER=="ftdi_sio", ATTR{latency_timer}="1"' in mended(found)
    assert "/etc/udev/rules.d/" in mended(found)
    assert "udevadm control --reload" in mended(found)


def test_an_ftdi_bridge_at_1_ms_is_good(tmp_path: Path) -> None:
    assert timer(tmp_path, 1).state is State.GOOD


def test_boards_without_an_ftdi_bridge_need_no_timer(tmp_path: Path) -> None:
    plugged_in(tmp_path, "ttyACM0", "2341")
    found = ports.latency_timer(linux(tmp_path))
    assert found.state is State.GOOD
    assert "ttyACM0" in found.found


@pytest.mark.parametrize("look", [ports.latency_timer, ports.usb_power])
def test_what_is_asked_of_boards_is_not_known_without_boards(tmp_path: Path, look: Any) -> None:
    found = look(linux(tmp_path))
    assert found.state is State.UNKNOWN
    assert "plug the boards in" in found.found


def windows_ftdi(**settings: Any) -> Computer:
    bridge = r"SYSTEM\CurrentControlSet\Enum\FTDIBUS\VID_0403+PID_6001+A5\0000\Device Parameters"
    gone = r"SYSTEM\CurrentControlSet\Enum\FTDIBUS\VID_0403+PID_6001+B6\0000\Device Parameters"
    there = {r"\Device\VCP0": "COM3", r"\Device\USBSER000": "COM4"}
    keys = {
        r"HARDWARE\DEVICEMAP\SERIALCOMM": there,
        bridge: {"PortName": "COM3", **settings},
        gone: {"PortName": "COM9", "LatencyTimer": 200},
    }
    return Computer("Windows", registry=Registry(keys))


def test_windows_has_the_timer_in_its_registry_and_ports_long_gone_are_left_out() -> None:
    found = ports.latency_timer(windows_ftdi(LatencyTimer=16))
    assert (found.state, found.value) == (State.WARN, 16)
    assert "COM9" not in found.found
    assert "Device Manager" in mended(found)
    assert ports.latency_timer(windows_ftdi(LatencyTimer=1)).state is State.GOOD


def test_windows_says_nothing_of_a_timer_that_was_never_changed_and_it_is_16_ms() -> None:
    assert ports.latency_timer(windows_ftdi()).value == 16


def test_macos_does_not_show_the_timer_and_that_is_said() -> None:
    with_bridge = Computer("Darwin", ask=answering(IOUSB='  "idVendor" = 1027\n'))
    found = ports.latency_timer(with_bridge)
    assert found.state is State.UNKNOWN
    assert "closedloop selftest --rig" in mended(found)
    without = Computer("Darwin", ask=answering(IOUSB='  "idVendor" = 10271\n'))
    assert ports.latency_timer(without).state is State.GOOD
    assert ports.latency_timer(Computer("Darwin")).state is State.UNKNOWN


def test_a_board_that_linux_may_put_to_sleep_is_a_warning_with_a_rule_for_its_vendor(tmp_path: Path) -> None:
    plugged_in(tmp_path, "ttyACM0", "2341", control="auto")
    plugged_in(tmp_path, "ttyUSB0", "1a86")
    found = ports.usb_power(linux(tmp_path))
    assert found.state is State.WARN
    assert "ttyUSB0" not in found.found
    assert 'ATTR{idVendor}=="2341", ATTR{power/control}="on"' in mended(found)
    assert "1a86" not in mended(found)


def test_a_board_that_is_never_put_to_sleep_is_good(tmp_path: Path) -> None:
    plugged_in(tmp_path, "ttyACM0", "2341", control="auto", delay_ms="-1000")
    plugged_in(tmp_path, "ttyACM1", "2341")
    assert ports.usb_power(linux(tmp_path)).state is State.GOOD


def setting(on_mains: int, on_battery: int) -> str:
    """What powercfg prints, in another language than ours, with the setting's own range before it."""
    german = "Mögliche Einstellung, Index: 000\nIndex der aktuellen Wechselstromeinstellung: 0x{:08x}\n"
    return german.format(on_mains) + f"Index der aktuellen Gleichstromeinstellung: 0x{on_battery:08x}\n"


def test_selective_suspend_of_windows_is_read_in_any_language() -> None:
    asleep = Computer("Windows", ask=lambda words: setting(1, 0) if USB_SETTING in words else None)
    found = ports.usb_power(asleep)
    assert found.state is State.WARN
    assert f"{USB_SETTING} 0" in mended(found)
    awake = replace(asleep, ask=lambda _: setting(0, 1))
    assert ports.usb_power(awake).state is State.GOOD
    assert ports.usb_power(replace(asleep, ask=lambda _: "nonsense")).state is State.UNKNOWN


def test_a_port_that_may_not_be_opened_is_bad_and_the_group_is_named(tmp_path: Path) -> None:
    plugged_in(tmp_path, "ttyACM0", "2341")
    shut = linux(
        tmp_path, {"etc/group": "root:x:0:\ndialout:x:20:bob"}, may_open=lambda _: False, person=Person("ann", False)
    )
    found = ports.rights(shut)
    assert found.state is State.BAD
    assert "sudo usermod -aG dialout ann" in mended(found)
    of_arch = linux(tmp_path, {"etc/group": "uucp:x:14:"}, may_open=lambda _: False, person=Person("ann", False))
    assert "-aG uucp ann" in mended(ports.rights(of_arch))


def test_who_joined_the_group_only_has_to_log_out_and_in(tmp_path: Path) -> None:
    plugged_in(tmp_path, "ttyACM0", "2341")
    joined = linux(
        tmp_path, {"etc/group": "dialout:x:20:bob,ann"}, may_open=lambda _: False, person=Person("ann", False)
    )
    found = ports.rights(joined)
    assert found.state is State.BAD
    assert found.mend == Mend("log out and in")


def test_rights_on_ports_without_a_port_go_by_the_groups_or_are_not_known(tmp_path: Path) -> None:
    ann = Person("ann", False, frozenset({"ann", "dialout"}))
    assert ports.rights(linux(tmp_path, person=ann)).state is State.GOOD
    assert ports.rights(linux(tmp_path, person=ann._replace(groups=frozenset({"ann"})))).state is State.UNKNOWN
    assert ports.rights(Computer("Windows")).state is State.GOOD
    assert ports.rights(Computer("Darwin")).state is State.GOOD


@pytest.mark.parametrize(
    ("running", "said", "mend"),
    [
        ("ModemManager", "ModemManager", 'ENV{ID_MM_DEVICE_IGNORE}="1"'),
        ("brltty", "braille", "apt remove brltty"),
        ("serial-monitor", "serial monitor", "close it"),
    ],
)
def test_programs_that_take_ports_are_named(tmp_path: Path, running: str, said: str, mend: str) -> None:
    found = ports.grabbers(linux(tmp_path, programs=frozenset({"bash", running})))
    assert found.state is State.WARN
    assert said in found.found
    assert mend in mended(found)


def test_a_modem_managers_rule_is_for_the_boards_that_are_plugged_in(tmp_path: Path) -> None:
    plugged_in(tmp_path, "ttyUSB0", "10c4")
    found = ports.grabbers(linux(tmp_path, programs=frozenset({"ModemManager"})))
    assert '"10c4"' in mended(found)
    assert '"2341"' not in mended(found)


def test_no_program_in_the_way_is_good_and_no_list_of_programs_is_not_known(tmp_path: Path) -> None:
    assert ports.grabbers(linux(tmp_path, programs=frozenset({"bash"}))).state is State.GOOD
    assert ports.grabbers(linux(tmp_path)).state is State.UNKNOWN


# --- power


def governed(root: Path, *governors: str, prefers: str | None = None) -> Finding:
    files = {f"sys/devices/system/cpu/cpu{n}/cpufreq/scaling_governor": one for n, one in enumerate(governors)}
    if prefers:
        files[f"{CPU}/cpufreq/energy_performance_preference"] = prefers
    return power.processor_clock(linux(root, files))


def test_one_core_that_saves_power_is_a_warning(tmp_path: Path) -> None:
    found = governed(tmp_path, "performance", "powersave", prefers="balance_power")
    assert found.state is State.WARN
    assert "powersave" in found.found
    assert "balance_power" in found.found
    assert "cpupower frequency-set -g performance" in mended(found)


def test_cores_at_full_speed_are_good_by_governor_or_by_preference(tmp_path: Path) -> None:
    assert governed(tmp_path / "a", "performance", "performance").state is State.GOOD
    assert governed(tmp_path / "b", "powersave", prefers="performance").state is State.GOOD


def test_without_a_governor_the_clock_is_not_known(tmp_path: Path) -> None:
    assert power.processor_clock(linux(tmp_path)).state is State.UNKNOWN


@pytest.mark.parametrize(
    ("plan", "state"),
    [
        ("381b4222-f694-41f0-9685-ff5bb260df2e", State.WARN),
        ("8C5E7FDA-E8BF-4A96-9A85-A6E23A8C635C", State.GOOD),
        ("00000000-1111-2222-3333-444444444444", State.WARN),
    ],
)
def test_the_power_plan_of_windows_goes_by_its_number_not_its_name(plan: str, state: State) -> None:
    said = f"GUID des Energieschemas: {plan}  (Ausbalanciert)\n"
    assert power.processor_clock(Computer("Windows", ask=lambda _: said)).state is state
    assert power.processor_clock(Computer("Windows")).state is State.UNKNOWN


def macos(**settings: int) -> Computer:
    said = "System-wide power settings:\nCurrently in use:\n"
    return Computer("Darwin", ask=answering(_g=said + "".join(f" {name:<20} {n}\n" for name, n in settings.items())))


def test_low_power_mode_of_macos_is_a_warning() -> None:
    found = power.processor_clock(macos(lowpowermode=1, sleep=1))
    assert found.state is State.WARN
    assert "System Settings" in mended(found)
    assert power.processor_clock(macos(lowpowermode=0)).state is State.GOOD
    assert power.processor_clock(macos(sleep=1)).state is State.UNKNOWN


def asleep(root: Path, *states: tuple[int, int], may_open: bool = False, waiting: str = "sleep") -> Finding:
    files = {}
    for n, (latency_us, off) in enumerate(states):
        files |= {f"{CPU}/cpuidle/state{n}/latency": str(latency_us), f"{CPU}/cpuidle/state{n}/disable": str(off)}
    return power.core_sleep(linux(root, files, may_open=lambda _: may_open), waiting)


def test_cores_that_sleep_deeply_are_a_warning_unless_the_rig_forbids_it_and_may(tmp_path: Path) -> None:
    found = asleep(tmp_path / "a", (2, 0), (890, 0))
    assert (found.state, found.value, found.unit) == (State.WARN, 890, "us")
    assert 'KERNEL=="cpu_dma_latency"' in mended(found)
    may = asleep(tmp_path / "b", (2, 0), (890, 0), may_open=True)
    assert may.state is State.WARN
    assert "waiting: awake" in mended(may)
    assert asleep(tmp_path / "c", (2, 0), (890, 0), may_open=True, waiting="awake").state is State.GOOD
    assert asleep(tmp_path / "d", (2, 0), (890, 0), waiting="awake").state is State.WARN


def test_a_sleep_that_is_switched_off_does_not_count(tmp_path: Path) -> None:
    found = asleep(tmp_path, (2, 0), (890, 1))
    assert (found.state, found.value) == (State.GOOD, 2)


def test_sleep_of_cores_is_not_known_where_it_is_not_shown(tmp_path: Path) -> None:
    assert power.core_sleep(linux(tmp_path)).state is State.UNKNOWN
    assert power.core_sleep(Computer("Windows")).state is State.UNKNOWN


@pytest.mark.parametrize(
    ("battery", "state"),
    [
        (None, State.GOOD),
        (Battery(True, 80), State.GOOD),
        (Battery(False, 80), State.WARN),
        (Battery(None, 80), State.UNKNOWN),
    ],
)
def test_running_from_the_battery_is_a_warning(battery: Battery | None, state: State) -> None:
    assert power.mains(Computer("Linux", battery=battery)).state is state


@pytest.mark.parametrize(
    ("can", "desktop", "state", "mend"),
    [
        ("", None, State.GOOD, None),
        ("freeze mem disk", "'nothing'", State.GOOD, None),
        ("freeze mem disk", "'suspend'", State.WARN, "gsettings set"),
        ("freeze mem disk", None, State.UNKNOWN, "systemd-inhibit"),
    ],
)
def test_a_computer_that_suspends_itself_is_a_warning(
    tmp_path: Path, can: str, desktop: str | None, state: State, mend: str | None
) -> None:
    found = power.computer_sleep(linux(tmp_path, {"sys/power/state": can}, ask=lambda _: desktop))
    assert found.state is state
    assert mend is None or mend in mended(found)


def test_windows_and_macos_say_after_what_time_they_sleep() -> None:
    sleepy = power.computer_sleep(Computer("Windows", ask=lambda _: setting(1800, 600)))
    assert (sleepy.state, sleepy.value, sleepy.unit) == (State.WARN, 30, "min")
    assert "powercfg /change standby-timeout-ac 0" in mended(sleepy)
    assert power.computer_sleep(Computer("Windows", ask=lambda _: setting(0, 600))).state is State.GOOD
    assert power.computer_sleep(macos(displaysleep=10, sleep=1)).value == 1
    assert "caffeinate" in mended(power.computer_sleep(macos(sleep=1)))
    assert power.computer_sleep(macos(displaysleep=10, sleep=0)).state is State.GOOD
    assert power.computer_sleep(Computer("Darwin")).state is State.UNKNOWN


# --- rights


def test_priority_that_is_refused_is_mended_by_a_line_for_this_very_person(tmp_path: Path) -> None:
    refused = linux(
        tmp_path, {"proc/self/status": NO_RIGHTS}, person=Person("ann"), real_time=lambda: nullcontext("no permission")
    )
    found = rights.priority(refused)
    assert found.state is State.WARN
    assert "no permission" in found.found
    assert "ann - rtprio 50" in mended(found)
    assert "/etc/security/limits.d/" in mended(found)
    assert rights.priority(replace(refused, real_time=nullcontext)).state is State.GOOD


@pytest.mark.parametrize(("status", "limits"), [(ALL_RIGHTS, {"rtprio": 0}), (NO_RIGHTS, {"rtprio": 50})])
def test_priority_refused_in_spite_of_the_right_is_laid_to_the_cgroup(
    tmp_path: Path, status: str, limits: dict[str, int]
) -> None:
    found = rights.priority(
        linux(tmp_path, {"proc/self/status": status}, limits=limits, real_time=lambda: nullcontext("no"))
    )
    assert found.state is State.WARN
    assert "cgroup" in found.found
    assert "rtprio" not in mended(found)


@pytest.mark.parametrize(
    ("memlock", "root", "state"),
    [(8 * 2**20, False, State.WARN), (4 * GIB, False, State.WARN), (-1, False, State.GOOD), (2**20, True, State.GOOD)],
)
def test_memory_may_be_locked_by_root_or_without_a_limit(memlock: int, root: bool, state: State) -> None:
    found = rights.memory(Computer("Linux", limits={"memlock": memlock}, person=Person("ann", root)))
    assert found.state is state
    assert state is State.GOOD or "ann - memlock unlimited" in mended(found)


def test_what_a_system_gives_to_nobody_is_said() -> None:
    assert rights.priority(Computer("Windows")).state is State.GOOD
    assert rights.priority(Computer("Darwin", person=Person("ann", False))).state is State.WARN
    assert rights.memory(Computer("Windows")).state is State.WARN
    assert rights.memory(Computer("Darwin", limits={"memlock": -1})).state is State.WARN
    assert rights.memory(Computer("Linux")).state is State.UNKNOWN
    assert rights.administrator(Computer("Windows")).state is State.UNKNOWN


def test_running_as_root_is_a_warning() -> None:
    assert rights.administrator(Computer("Linux", person=Person("root", True))).state is State.WARN
    assert rights.administrator(Computer("Linux", person=Person("ann", False))).state is State.GOOD


# --- clocks and waiting


def test_a_slow_clock_source_is_a_warning_and_the_better_one_is_named(tmp_path: Path) -> None:
    slow = {f"{CLOCKS}/current_clocksource": "hpet", f"{CLOCKS}/available_clocksource": "hpet tsc acpi_pm"}
    found = timing.clock_source(linux(tmp_path, slow))
    assert found.state is State.WARN
    assert "echo tsc | sudo tee /sys/devices/system/clocksource" in mended(found)
    only = timing.clock_source(linux(tmp_path, {**slow, f"{CLOCKS}/available_clocksource": "hpet"}))
    assert "dmesg" in mended(only)


def test_a_fast_clock_source_is_good_and_none_is_not_known(tmp_path: Path) -> None:
    assert timing.clock_source(linux(tmp_path)).state is State.UNKNOWN
    assert timing.clock_source(Computer("Darwin")).state is State.UNKNOWN
    assert timing.clock_source(linux(tmp_path, {f"{CLOCKS}/current_clocksource": "tsc"})).state is State.GOOD


@pytest.mark.parametrize(
    ("steps", "state"),
    [
        (ClockSteps(40, 90.0, 0), State.GOOD),
        (ClockSteps(50_000, 90.0, 0), State.WARN),
        (ClockSteps(15_625_000, 30.0, 0), State.BAD),
        (ClockSteps(40, 90.0, 2), State.BAD),
    ],
)
def test_a_clock_is_judged_by_its_steps(steps: ClockSteps, state: State) -> None:
    assert timing.clock(Computer("Linux"), steps).state is state


def test_a_windows_whose_clock_is_coarse_is_told_what_to_update() -> None:
    found = timing.clock(Computer("Windows"), ClockSteps(15_625_000, 30.0, 0))
    assert "15.6 ms" in found.found
    assert "performance counter" in mended(found)


@pytest.mark.parametrize(
    ("late", "rate_hz", "state"),
    [
        (WakeUps(330, 60, 300, 900), 130, State.GOOD),
        (WakeUps(330, 60, 1500, 3000), 130, State.WARN),
        (WakeUps(330, 60, 300, 25_000), 130, State.WARN),
        (WakeUps(330, 60, 1500, 3000), 1000, State.BAD),
        (WakeUps(330, 6000, 13_000, 16_000), 130, State.BAD),
    ],
)
def test_late_wake_ups_are_held_against_the_time_between_readings(late: WakeUps, rate_hz: float, state: State) -> None:
    found = timing.wake_ups(Computer("Linux"), late, rate_hz)
    assert found.state is state
    assert f"{late.p99_us:.0f} us" in found.found


def test_what_counts_is_how_late_a_session_wakes_with_the_priority_that_it_will_have() -> None:
    ordinary, first = WakeUps(330, 110, 3600, 7100), WakeUps(330, 50, 150, 1500)
    found = timing.wake_ups(Computer("Linux"), ordinary, 130, first)
    assert (found.state, found.value) == (State.GOOD, 150)
    assert "without it 110, 3600 and 7100 us" in found.found
    without = timing.wake_ups(Computer("Linux"), ordinary, 130)
    assert without.state is State.WARN
    assert "real-time scheduling" in mended(without)


def test_wake_ups_are_measured_against_the_time_that_was_asked_for() -> None:
    now = [0]

    def wait(seconds: float) -> None:
        now[0] += round(seconds * 1e9) + (20_000_000 if now[0] == 0 else 100_000)

    found = measure.wake_ups(200, lambda: now[0], wait)
    assert (found.waits, round(found.p50_us), round(found.max_us)) == (200, 100, 20_000)


def test_a_clock_that_steps_or_goes_back_is_seen_by_looking() -> None:
    looks = iter(range(30_000))
    coarse = measure.clock_steps(lambda: next(looks) // 100 * 15_625_000)
    assert (coarse.step_ns, coarse.backwards) == (15_625_000, 0)
    back = iter([*range(100), 50, *range(100, 30_000)])
    assert measure.clock_steps(lambda: next(back)).backwards == 1


@pytest.mark.parametrize(
    ("files", "state"),
    [
        ({"proc/version": "Linux 5.15 Microsoft", "proc/cpuinfo": "flags : fpu"}, State.WARN),
        ({"proc/cpuinfo": "flags : fpu hypervisor"}, State.WARN),
        ({"proc/cpuinfo": "flags : fpu vme"}, State.GOOD),
        ({"proc/cpuinfo": "Features : fp asimd"}, State.UNKNOWN),
        ({}, State.UNKNOWN),
    ],
)
def test_a_virtual_machine_is_told_where_the_processor_tells(
    tmp_path: Path, files: dict[str, str], state: State
) -> None:
    assert timing.virtual(linux(tmp_path, files)).state is state


def test_virtual_machines_of_windows_and_macos_are_told() -> None:
    def windows(product: str) -> Computer:
        return Computer("Windows", registry=Registry({timing._BIOS: {"SystemProductName": product}}))

    assert timing.virtual(windows("VMware7,1")).state is State.WARN
    assert timing.virtual(windows("OptiPlex 7090")).state is State.GOOD
    assert timing.virtual(Computer("Windows")).state is State.UNKNOWN
    assert timing.virtual(Computer("Darwin", ask=lambda _: "1\n")).state is State.WARN
    assert timing.virtual(Computer("Darwin", ask=lambda _: "0\n")).state is State.GOOD


# --- load


def test_one_core_many_programs_and_little_memory_are_said() -> None:
    small = Computer("Linux", cores=1, load=1.5, memory=Memory(4 * GIB, GIB // 2, 2 * GIB, GIB))
    assert [(one.name, one.state) for one in load.findings(small)] == [
        (load.CORES, State.WARN),
        (load.LOAD, State.WARN),
        (load.MEMORY, State.WARN),
    ]
    full = replace(small, memory=Memory(4 * GIB, GIB // 10, 0, 0))
    assert load.memory(full).state is State.BAD


def test_a_roomy_computer_is_good_and_one_that_says_nothing_is_not_known() -> None:
    roomy = Computer("Linux", cores=8, load=0.4, memory=Memory(16 * GIB, 9 * GIB, 0, 0))
    assert {one.state for one in load.findings(roomy)} == {State.GOOD}
    assert {one.state for one in load.findings(Computer("Windows"))} == {State.UNKNOWN}


# --- the data folder

DISKS = (
    Mount("/", "ext4"),
    Mount("/home", "btrfs"),
    Mount("/home/ann/lab", "nfs4"),
    Mount("/tmp", "tmpfs"),
    Mount("/media/stick", "vfat"),
    Mount("/mnt/server", "fuse.sshfs"),
    Mount("/mnt/ntfs", "fuseblk"),
)


@pytest.mark.parametrize(
    ("folder", "state"),
    [
        ("/var/data", State.GOOD),
        ("/home/ann/data", State.GOOD),
        ("/home/ann/lab/data", State.BAD),
        ("/home/ann/laboratory", State.GOOD),
        ("/tmp/x", State.BAD),
        ("/media/stick/x", State.WARN),
        ("/mnt/server/x", State.WARN),
        ("/mnt/ntfs/x", State.GOOD),
    ],
)
def test_a_folder_is_judged_by_the_file_system_it_is_on(folder: str, state: State) -> None:
    assert data.kind(Computer("Linux", mounts=DISKS), PurePosixPath(folder)).state is state


def test_network_disks_of_windows_and_macos_are_told() -> None:
    windows = Computer("Windows", mounts=(Mount("C:\\", "NTFS", "rw,fixed"), Mount("Z:\\", "NTFS", "rw,remote")))
    assert data.kind(windows, PureWindowsPath("c:/Users/ann")).state is State.GOOD
    assert data.kind(windows, PureWindowsPath("Z:/data")).state is State.BAD
    assert data.kind(windows, PureWindowsPath("//server/share/data")).state is State.BAD
    assert data.kind(windows, PureWindowsPath("Q:/data")).state is State.UNKNOWN
    mac = Computer("Darwin", mounts=(Mount("/", "apfs"), Mount("/Volumes/lab", "smbfs")))
    assert data.kind(mac, PurePosixPath("/Users/ann")).state is State.GOOD
    assert data.kind(mac, PurePosixPath("/Volumes/lab/x")).state is State.BAD


@pytest.mark.parametrize(
    "folder",
    [
        PureWindowsPath("C:/Users/ann/OneDrive - University of X/data"),
        PureWindowsPath("C:/Users/ann/OneDrive/Desktop"),
        PurePosixPath("/Users/ann/Library/Mobile Documents/com~apple~CloudDocs/x"),
        PurePosixPath("/Users/ann/Library/CloudStorage/GoogleDrive-a@b.c/x"),
        PurePosixPath("/home/ann/Dropbox/x"),
    ],
)
def test_a_folder_that_is_copied_to_a_cloud_is_a_warning(folder: Any) -> None:
    found = data.cloud(folder)
    assert found.state is State.WARN
    assert "copy afterwards" in mended(found)


def test_a_folder_called_boxes_is_no_cloud() -> None:
    assert data.cloud(PurePosixPath("/home/ann/boxes/megaphone")).state is State.GOOD


def hour(rate_hz: float = 130.0) -> Plan:
    return Plan(Path("/data"), rate_hz, row_dtype(STEP), 3600.0, "an hour")


def test_an_hour_needs_its_rows_and_a_little_more() -> None:
    rows = 3600 * 130 * Layout.of(row_dtype(STEP)).stride
    assert rows < hour().needed_bytes < 1.3 * rows


@pytest.mark.parametrize(("times", "state"), [(0.5, State.BAD), (1.5, State.WARN), (100, State.GOOD)])
def test_space_is_held_against_what_the_session_needs(times: float, state: State) -> None:
    found = data.space(hour(), round(times * hour().needed_bytes))
    assert found.state is state
    assert (times >= 1) or "full after about 30 min" in found.found


def test_space_that_is_not_said_is_not_known() -> None:
    assert data.space(hour(), None).state is State.UNKNOWN


def test_the_length_and_the_rows_are_those_of_the_protocol_on_the_rig() -> None:
    protocol, rig = load_protocol("withdrawal_inhibition"), load_rig("simulated")
    plan = plan_of(Path("/data"), protocol, rig)
    assert (plan.lasts_s, plan.rate_hz) == (protocol.lasts_s, rig.daq.rate)
    assert Layout.of(plan.dtype).stride > Layout.of(row_dtype(STEP)).stride  # the parts' own columns
    assert protocol.name in plan.of


@pytest.mark.parametrize(
    ("look", "state"),
    [
        (DiskLook(None, True, 4.0, 9.0, 120.0), State.GOOD),
        (DiskLook(None, True, 40.0, 400.0, 20.0), State.WARN),
        (DiskLook(None, True, 40.0, 1400.0, 20.0), State.BAD),
        (DiskLook(None, True, 4.0, 9.0, 0.01), State.BAD),
        (DiskLook("Read-only file system"), State.BAD),
    ],
)
def test_a_disk_is_judged_by_how_long_a_second_of_readings_takes(look: DiskLook, state: State) -> None:
    found = data.speed(hour(), look)
    assert found.state is state
    assert look.problem is None or look.problem in found.found


def test_a_disk_without_locks_is_bad() -> None:
    assert data.locks(DiskLook(None, False, 1, 1, 100)).state is State.BAD
    assert data.locks(DiskLook(None, True, 1, 1, 100)).state is State.GOOD
    assert data.locks(DiskLook("no space")).state is State.UNKNOWN


def test_the_disk_is_tried_with_a_real_recording_and_nothing_is_left(tmp_path: Path) -> None:
    found = measure.disk(tmp_path, row_dtype(STEP))
    assert found.problem is None
    assert found.locked_out
    assert 0 < found.sync_p50_ms <= found.sync_max_ms
    assert found.mb_per_s > 0
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_said_and_not_raised(tmp_path: Path) -> None:
    assert measure.disk(tmp_path / "none", row_dtype(STEP)).problem


def test_a_folder_that_is_still_to_be_made_is_tried_where_it_will_be(tmp_path: Path) -> None:
    assert data.there(tmp_path / "a" / "b") == tmp_path.resolve()


def test_a_file_in_place_of_a_folder_and_a_disk_that_is_not_there_are_said(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert data.there(file) == file.resolve()
    assert measure.disk(data.there(file), row_dtype(STEP)).problem


# --- the program


def test_a_library_that_is_missing_is_named() -> None:
    lacking = "libEGL.so.1: cannot open shared object file"
    found = program.qt(Computer("Linux"), lambda _: lacking)
    assert found.state is State.WARN
    assert "apt install libegl1" in mended(found)
    assert "--force-reinstall PyQt6" in mended(program.qt(Computer("Windows"), lambda _: "DLL load failed"))
    assert program.numba(lambda _: "No module named 'numba'").state is State.BAD
    assert program.missing("closedloop_none") is not None
    assert program.missing("numpy") is None


def test_python_of_32_bits_is_bad() -> None:
    assert program.python((3, 12, 1), 32).state is State.BAD
    assert program.python((3, 12, 1), 64).state is State.GOOD


def test_kernels_that_cannot_be_kept_are_a_warning(tmp_path: Path) -> None:
    assert program.kernels(None).state is State.WARN
    assert "none yet" in program.kernels(tmp_path).found
    (tmp_path / "one.nbc").touch()
    assert program.kernels(tmp_path).found.startswith("1 ")


# --- the rig's ports


def identity(board: int = wire.Board.DAQ, wire_hash: int = wire.WIRE_HASH) -> wire.Identity:
    fields = dict.fromkeys(wire.Identity._fields, 0)
    return wire.Identity(**fields | {"board": board, "wire_hash": wire_hash})


BOARDS = {"/dev/ttyX0": identity(), "/dev/ttyX1": identity(wire.Board.STIMULATOR)}
WIRED = ["daq.port=/dev/ttyX0", "stimulator.port=/dev/ttyX1"]


def looked(overrides: list[str], boards: dict[str, wire.Identity | str], there: list[str] | None = None) -> Any:
    asked = []

    def who(port: str, baud: int) -> wire.Identity:
        asked.append((port, baud))
        board = boards[port]
        if isinstance(board, str):
            raise DeviceError(board)
        return board

    rig = load_rig("arduino_uno", overrides)
    return rig_ports.findings(rig, lambda: list(boards) if there is None else there, who), asked


def test_a_rig_whose_boards_answer_is_good_and_each_is_asked_once() -> None:
    found, asked = looked(WIRED, BOARDS)
    assert [one.state for one in found] == [State.GOOD, State.GOOD]
    assert [port for port, _ in asked] == ["/dev/ttyX0", "/dev/ttyX1"]


def test_a_port_that_is_not_there_is_bad_and_never_opened() -> None:
    found, asked = looked(WIRED, BOARDS, there=["/dev/ttyX1"])
    assert [one.state for one in found] == [State.BAD, State.GOOD]
    assert "there are /dev/ttyX1" in found[0].found
    assert [port for port, _ in asked] == ["/dev/ttyX1"]


def test_boards_that_were_swapped_are_bad() -> None:
    found, _ = looked(["daq.port=/dev/ttyX1", "stimulator.port=/dev/ttyX0"], BOARDS)
    assert [one.state for one in found] == [State.BAD, State.BAD]
    assert "stimulator board answers, where a DAQ board should be" in found[0].found


def test_a_port_in_use_is_bad_and_the_mend_is_the_devices_own() -> None:
    said = "/dev/ttyX0: can't be opened (busy); close the program that uses it"
    found, _ = looked(WIRED, {**BOARDS, "/dev/ttyX0": said})
    assert found[0].state is State.BAD
    assert mended(found[0]).startswith("close the program that uses it")


def test_a_board_of_another_version_is_to_be_flashed() -> None:
    found, _ = looked(WIRED, {**BOARDS, "/dev/ttyX0": identity(wire_hash=1)})
    assert found[0].state is State.BAD
    assert "closedloop flash --board uno --port /dev/ttyX0" in mended(found[0])


def test_a_simulated_rig_opens_no_port() -> None:
    rig = load_rig("simulated")
    assert rig_ports.announcement(rig) is None
    found = rig_ports.findings(rig, list, lambda *_: pytest.fail("a port was opened"))
    assert {one.state for one in found} == {State.GOOD}


def test_one_board_in_both_roles_is_one_port() -> None:
    rig = load_rig("one_arduino", ["daq.port=/dev/ttyX0", "stimulator.port=/dev/ttyX0"])
    found = rig_ports.findings(rig, lambda: ["/dev/ttyX0"], lambda *_: identity(wire.Board.BOTH))
    assert [(one.name, one.state) for one in found] == [("rig's daq and stimulator", State.GOOD)]


def test_it_is_said_beforehand_that_opening_a_port_restarts_an_uno() -> None:
    said = rig_ports.announcement(load_rig("arduino_uno", WIRED))
    assert said is not None
    assert "/dev/ttyX0" in said
    assert "restarts an Arduino Uno" in said


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal to be taken")
def test_real_ports_are_opened_asked_and_closed_again_unless_somebody_has_them() -> None:
    rig = load_rig("simulated")
    assert rig.simulation is not None
    virtual = virtual_rig.start(rig.simulation.model_copy(update={"transport": "pty"}), rate_hz=130, seed=1)
    try:
        overrides = [f"daq.port={virtual.daq_port}", f"stimulator.port={virtual.stimulator_port}"]
        wired = load_rig("arduino_uno", overrides)
        assert [one.state for one in rig_ports.findings(wired, list)] == [State.GOOD, State.GOOD]
        held = Port(virtual.daq_port, 500_000)
        found = rig_ports.findings(wired, list)
        held.close()
    finally:
        virtual.stop()
    assert [one.state for one in found] == [State.BAD, State.GOOD]
    assert mended(found[0]).startswith("close the program that uses it")


# --- what is shown

SOME = [
    Finding("clock", State.GOOD, "tsc"),
    Finding("first warning", State.WARN, "late " * 40, 3.0, "ms", Mend("put this into FILE", ("x" * 150,), "log out")),
    Finding("folder", State.BAD, "on the network", mend=Mend("record elsewhere")),
    Finding("second warning", State.WARN, "sleepy", mend=None),
    Finding("timer", State.UNKNOWN, "not said"),
]


def test_the_worst_comes_first_and_equals_keep_their_order() -> None:
    assert [one.name for one in worst_first(SOME)] == ["folder", "first warning", "second warning", "timer", "clock"]


@pytest.mark.parametrize("width", [80, 120])
def test_words_fit_the_terminal_and_lines_to_paste_are_whole(width: int) -> None:
    shown = [line.plain for line in table.lines(SOME, width)]
    assert [line for line in shown if len(line) > width] == [" " * 11 + "x" * 150]
    assert any(line.strip() == "mend: put this into FILE:" for line in shown)
    assert any(line.strip() == "then: log out" for line in shown)


def test_the_last_line_counts_them() -> None:
    assert table.verdict(SOME).startswith("1 bad, 2 warnings, 1 not known, 1 good")


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measurements that take no time, for tests that are about something else."""
    monkeypatch.setattr(measure, "wake_ups", lambda: WakeUps(330, 60, 300, 900))


def test_the_command_gives_one_json_object_with_every_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quick(monkeypatch)
    ran = command(capsys, "doctor", "--rig", "simulated", "--protocol", "demo", "--out", tmp_path, "--json")
    found = ran.summary["findings"]
    assert ran.code == 0
    assert ran.summary["bad"] == sum(one["state"] == "bad" for one in found)
    assert sum(ran.summary[state] for state in ("bad", "warn", "unknown", "good")) == len(found)
    assert len({one["name"] for one in found}) == len(found)
    assert {"rig's daq and stimulator", "FTDI latency timer", "disk speed", "wake-ups"} <= {
        one["name"] for one in found
    }
    assert all(one["mend"] for one in found if one["state"] == "bad")
    assert list(tmp_path.iterdir()) == []


def test_the_command_leaves_with_0_whatever_it_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quick(monkeypatch)
    monkeypatch.setattr(measure, "disk", lambda *_: DiskLook("Read-only file system"))
    assert cli.main(["doctor", "--out", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("bad      disk speed")
    assert "Read-only file system" in out
    assert err == ""


def test_a_program_that_lacks_a_library_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "closedloop.doctor", None)
    monkeypatch.delattr("closedloop.doctor", raising=False)
    assert cli.main(["doctor"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "pip install closedloop" in said


def test_a_protocol_that_is_none_is_refused_before_anything_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--protocol", "no_such", "--json"]) == 2
    assert capsys.readouterr().out == ""


def test_a_protocol_alone_is_taken_at_the_usual_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quick(monkeypatch)
    ran = command(capsys, "doctor", "--protocol", "demo", "--out", tmp_path, "--json")
    space = next(one for one in ran.summary["findings"] if one["name"] == data.SPACE)
    assert "at 130 readings/s" in space["found"]


@pytest.mark.parametrize("system", ["Linux", "Darwin", "Windows", "FreeBSD"])
def test_a_computer_that_says_nothing_is_never_called_bad_and_nothing_is_guessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    quick(monkeypatch)
    mute = Computer(system, tmp_path / "no such root", real_time=lambda: nullcontext("refused"))
    found = examine(mute, replace(hour(), folder=tmp_path))
    assert [one.name for one in found if one.state is State.BAD] == []
    asked = {ports.LATENCY, power.CLOCK, power.CORES, timing.SOURCE, timing.VIRTUAL, load.CORES, load.LOAD, load.MEMORY}
    assert {one.name for one in found if one.state is State.UNKNOWN} >= asked


def test_this_very_computer_can_be_looked_at_and_its_scheduling_is_given_back() -> None:
    before = os.sched_getscheduler(0) if hasattr(os, "sched_getscheduler") else None
    here = this_computer()
    with here.real_time() as refused:
        assert refused is None or isinstance(refused, str)
    assert here.mounts
    assert here.cores
    assert json.dumps(rights.priority(here).as_dict())
    assert before is None or os.sched_getscheduler(0) == before
