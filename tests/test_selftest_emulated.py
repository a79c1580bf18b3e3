"""The self-test against the real firmware, emulated, in virtual time: what it measures is what the light pin did."""

from __future__ import annotations

import importlib
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from closedloop import framing, selftest, wire
from closedloop.flash import firmware_folder
from closedloop.flash_steps import installed
from closedloop.limits import effective
from closedloop.selftest.bench import DAQ, STIMULATOR, Bench
from closedloop.selftest.check import Check, uncertain_ms
from closedloop.selftest.procedure import plan, procedure
from closedloop.selftest.record import Record

if os.environ.get("CI"):
    importlib.import_module("emulator.bench")
else:
    pytest.importorskip("emulator.bench", reason="the emulator is not built here", exc_type=Exception)

LIMITS = effective(None, lease_s=0.1)
STEP_NS = 50_000
BOOTED_NS = 300_000_000
RATE_HZ = 130.0


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The firmware, built anew."""
    if not installed().can_make:
        if os.environ.get("CI"):
            pytest.fail("avr-gcc and make are not installed")
        pytest.skip("avr-gcc and make are not installed")
    folder = tmp_path_factory.mktemp("firmware")
    elfs = [f"{folder}/uno-500000/{role}.elf" for role in ("daq", "stimulator", "both")]
    subprocess.run(["make", "-s", "-C", firmware_folder(), f"BUILD={folder}", *elfs], check=True)
    return folder / "uno-500000"


class Line:
    """The host's end of an emulated board's port, by messages."""

    def __init__(self, line: Any) -> None:
        self._line = line
        self.decoder = framing.Decoder()

    def send(self, message: wire.Message) -> None:
        self._line.write(framing.encode(wire.pack(message)))

    def hear(self) -> list[wire.Message]:
        return [m for payload in self.decoder.feed(self._line.read()) if (m := wire.unpack(payload)) is not None]


class Rig:
    """The documented rig, emulated, with a computer that understands everything at once."""

    def __init__(self, boards: dict[str, Any], bridge: Any) -> None:
        from emulator.bench import Bench as Emulation
        from emulator.pty_rig import lay_wires

        self.boards = boards
        self.emulation = Emulation(**boards)
        self.lines = {name: Line(self.emulation.connect(name, bridge())) for name in boards}
        lay_wires(self.emulation)
        self.daq, self.stimulator = self.lines.get("daq") or self.lines["both"], self.lines.get("stimulator")
        self.stimulator = self.stimulator or self.daq
        self.emulation.run(BOOTED_NS)
        self.stimulator.send(LIMITS)
        settings = self._started()
        self.record = Record(RATE_HZ, settings, is_one_board=self.stimulator is self.daq)
        self.record.limits, self.record.plan = LIMITS, plan(LIMITS, settings.rate_mhz / 1000, 8)
        self.bench = Bench(self.record, self.daq, self.stimulator, lambda: self.emulation.now_ns)

    def _started(self) -> wire.StreamSettings:
        self.daq.send(wire.StreamStart(round(RATE_HZ * 1000)))
        for _ in range(200):
            self.emulation.run(self.emulation.now_ns + STEP_NS)
            for message in self.daq.hear():
                if isinstance(message, wire.StreamSettings):
                    return message
        pytest.fail("the DAQ did not start")

    def run(self) -> dict[str, Check]:
        for _ in procedure(self.bench, lambda _: None):
            self.emulation.run(self.emulation.now_ns + STEP_NS)
            now_ns = self.emulation.now_ns
            if self.stimulator is not self.daq:
                self.bench.heard(STIMULATOR, self.stimulator.hear(), now_ns)
            self.bench.heard(DAQ, self.daq.hear(), now_ns)
            self.bench.turn(now_ns)
        return {check.name: check for check in selftest.checks(self.record)}

    def rises_ns(self) -> list[int]:
        return [edge.ns for edge in self.boards[next(iter(self.boards))].light_edges() if edge.level]


@pytest.mark.parametrize(("roles", "bridge"), [("two", "Ideal"), ("two", "Uno16U2"), ("one", "Ideal")])
def test_the_firmware_passes_and_is_measured_as_it_is(build: Path, roles: str, bridge: str) -> None:
    from emulator import bridge as bridges
    from emulator.board import EmulatedBoard

    names = ["both"] if roles == "one" else ["stimulator", "daq"]
    rig = Rig({name: EmulatedBoard(build / f"{name}.elf") for name in names}, getattr(bridges, bridge))
    found = rig.run()
    assert [f"{check.name}: {check.said}" for check in found.values() if check.verdict != "ok"] == []
    assert found["pulse width"].value == 0
    assert found["dark without heartbeats"].value == pytest.approx(LIMITS.lease_ms - 1, abs=0.5)  # early, never late
    rises_ns = rig.rises_ns()
    uncertain_ns = uncertain_ms(rig.record) * 1e6
    for shot in rig.record.of("width"):
        first_ns = min(ns for ns in rises_ns if ns > shot.sent_ns)
        assert shot.on_ns is not None
        assert abs(shot.on_ns - first_ns) <= uncertain_ns
    assert not rig.boards[names[0]].pin("D9")


def test_a_slow_clock_is_found(build: Path) -> None:
    from emulator.board import EmulatedBoard
    from emulator.bridge import Ideal

    stimulator = EmulatedBoard(build / "stimulator.elf", ppm=150)
    found = Rig({"stimulator": stimulator, "daq": EmulatedBoard(build / "daq.elf", ppm=-6021)}, Ideal).run()
    assert found["DAQ's clock"].value == pytest.approx(-6021, abs=40)
    assert found["clock ratio"].value == pytest.approx(6171, abs=80)
    assert [name for name, check in found.items() if check.verdict != "ok"] == ["DAQ's clock"]
