"""The simulated rig behind its real ports: what the boards do in a process of their own, and what kills end in."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closedloop import wire
from closedloop.errors import ConfigError, DeviceError
from closedloop.framing import Decoder, encode
from closedloop.link import Link
from closedloop.port import Port, wait
from closedloop.readings import FLAG_LIGHT, FLAG_NO_CONTROL, READING, Stream
from closedloop.simulation import Simulation
from closedloop.simulation.faults import Faults, Line
from closedloop.simulation.pace import Drift, Pace
from closedloop.simulation.rig_process import WINDOW, Order, Rig
from closedloop.simulation.truth import Truth, read
from closedloop.simulation.virtual_rig import VirtualRig, start

HAS_PTY = os.name == "posix"
TRANSPORTS = ["pty", "tcp"] if HAS_PTY else ["tcp"]
LEASE_S = 0.25
LIMITS = wire.CEILING._replace(lease_ms=round(LEASE_S * 1000))
PATIENCE_S = 20.0
LATE_S = 0.15  # what a busy test machine may add to an instant; the microseconds are tested in device time


class Host:
    """A host that reads what comes and never sleeps."""

    def __init__(self, port: str, board: wire.Board) -> None:
        self.link = Link(Port(port, 500_000))
        self.identity = self.link.handshake(board)

    def say(self, *messages: wire.Message) -> None:
        for message in messages:
            self.link.send(message)

    def hear(self, timeout_s: float = 0.2) -> list[wire.Message]:
        return self.link.decode(self.link.port.read()) if wait([self.link.port], timeout_s) else []

    def until(self, kind: type, count: int = 1) -> list[Any]:
        """Everything heard up to the `count`th message of a kind; its last is that one or one after it."""
        heard: list[Any] = []
        deadline = time.monotonic() + PATIENCE_S
        while count > 0:
            assert time.monotonic() < deadline, f"no {kind.__name__} in {heard[-5:]}"
            new = self.hear()
            count -= sum(isinstance(m, kind) for m in new)
            heard += new
        return heard

    def until_gone(self) -> list[wire.Message]:
        """Everything heard until the device is lost, which must happen.

        Raises:
            DeviceError: as it must; what was heard is in `last_words`.
        """
        self.last_words: list[wire.Message] = []
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            self.last_words += self.hear()
        return self.last_words

    def next(self, kind: type) -> Any:
        return next(m for m in self.until(kind) if isinstance(m, kind))


class Bench:
    """Two hosts at a rig."""

    def __init__(self, rig: VirtualRig, truth: Path) -> None:
        self.rig, self.folder = rig, truth
        self.daq = Host(rig.daq_port, wire.Board.DAQ)
        self.stimulator = Host(rig.stimulator_port, wire.Board.STIMULATOR)

    def arm(self) -> None:
        self.stimulator.say(LIMITS, wire.Arm())
        assert self.stimulator.next(wire.Status).state == wire.State.ARMED

    def truth(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in read(self.folder) if line["kind"] == kind]

    def follow(self, daq_messages: list[wire.Message]) -> None:
        """A heartbeat for the last reading, as the engine sends it."""
        seqs = [m.seq for m in daq_messages if isinstance(m, wire.Reading)]
        if seqs:
            self.stimulator.say(wire.Heartbeat(seqs[-1]))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Any]:
    with ExitStack() as stack:

        def begin(simulation: Simulation | None = None, **order: Any) -> Bench:
            order = {"rate_hz": 100.0, "seed": 1, "truth": tmp_path, **order}
            rig = stack.enter_context(start(simulation or Simulation(), **order))
            made = Bench(rig, order["truth"])
            stack.callback(made.daq.link.close)
            stack.callback(made.stimulator.link.close)
            return made

        yield begin


def recording(seconds: float, rate_hz: float = 100.0) -> Stream:
    n = round(seconds * rate_hz)
    readings = np.zeros(n, READING)
    readings["ticks"] = np.rint(np.arange(n) * 1e6 / rate_hz)
    readings["seq"] = np.arange(n)
    readings["signal_lit"] = np.arange(n) * 7 - 1000
    readings["flags"] = FLAG_NO_CONTROL
    return Stream(readings, round(rate_hz * 1000), 1000, "a test")


def fire(train: int, on_us: int = 20_000) -> wire.Fire:
    return wire.Fire(train, on_us, on_us, 1, 65_535, 0, scheduled=0, start=0)


def readings_in(messages: list[Any]) -> list[wire.Reading]:
    return [m for m in messages if isinstance(m, wire.Reading)]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_animal_and_light_over_real_ports(bench: Any, transport: Any) -> None:
    b = bench(Simulation(transport=transport), rate_hz=130.0)
    assert b.daq.identity.wire_hash == b.stimulator.identity.wire_hash == wire.WIRE_HASH
    b.daq.say(wire.StreamStart(0))
    assert b.daq.next(wire.StreamSettings).rate_mhz == 130_000
    b.arm()
    b.stimulator.say(fire(5))
    messages: list[Any] = []
    while len(readings_in(messages)) < 60:
        messages += b.daq.hear()
        b.follow(messages)
    heard = b.stimulator.until(wire.Fired)
    b.daq.say(wire.StreamStop())
    messages += b.daq.until(wire.StreamEnd)
    readings = readings_in(messages)

    fired = next(m for m in heard if isinstance(m, wire.Fired))
    assert (fired.train, fired.lit_us, fired.reason) == (5, 20_000, 0)
    seqs = [r.seq for r in readings]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    assert messages[-1] == wire.StreamEnd(seqs[-1] + 1, 0)
    rise, fall = b.truth("light")
    assert (rise["level"], fall["level"]) == (1, 0)
    assert fall["stimulator_us"] - rise["stimulator_us"] == 20_000
    flagged = [r.seq for r in readings if r.flags & FLAG_LIGHT]
    touched = range(int(rise["time_s"] * 130) + 1, int(fall["time_s"] * 130) + 2)
    assert flagged == [seq for seq in touched if seq in seqs]
    assert next(line["state"] for line in b.truth("state")) == "ARMED"


def test_a_recording_comes_through_bit_for_bit_at_twenty_times_its_speed(bench: Any) -> None:
    stream = recording(10.0)
    b = bench(stream=stream, speed=20.0)
    b.daq.say(wire.StreamStart(0))
    began_s = time.monotonic()
    messages: list[Any] = []
    while not any(isinstance(m, wire.StreamEnd) for m in messages):
        heard = b.daq.hear()
        b.follow(heard)
        messages += heard
        assert time.monotonic() < began_s + PATIENCE_S
    took_s = time.monotonic() - began_s
    readings = readings_in(messages)
    assert messages[-1] == wire.StreamEnd(1000, 0)
    assert [r.seq for r in readings] == list(range(1000))
    assert [r.signal_lit for r in readings] == stream.readings["signal_lit"].tolist()
    assert {r.flags for r in readings} == {FLAG_NO_CONTROL}
    first = readings[0].ticks
    assert [(r.ticks - first) % 2**32 for r in readings] == stream.readings["ticks"].tolist()
    assert 0.45 < took_s < 5, "faster than the wall, and not faster than asked"


def test_a_fast_recording_waits_for_a_host_that_does_not_follow(bench: Any) -> None:
    b = bench(stream=recording(600.0), speed=100.0)
    b.stimulator.say(wire.Heartbeat(0))
    b.daq.say(wire.StreamStart(0))
    began_s = time.monotonic()
    seqs = []
    while time.monotonic() < began_s + 0.6:
        seqs += [r.seq for r in readings_in(b.daq.hear(0.05))]
    waited_s = time.monotonic() - began_s
    assert 20 < seqs[-1] <= WINDOW + 1 + waited_s * 100 + 5


def test_a_fast_recording_gives_a_silent_host_half_its_lease_in_wall_time_and_then_goes_dark(bench: Any) -> None:
    """At 15 Hz the window of readings outlasts the lease: by that alone light would end in 2.5 ms of wall time."""
    b = bench(stream=recording(600.0, rate_hz=15.0), speed=100.0)
    b.daq.say(wire.StreamStart(0))
    b.daq.until(wire.Reading)
    b.arm()
    b.stimulator.say(wire.Heartbeat(0), fire(1, on_us=1_000_000))
    b.stimulator.until(wire.Started)
    silent_since_s = time.monotonic()
    trip = b.stimulator.next(wire.Trip)
    assert trip.reason == wire.Reason.LEASE_EXPIRED
    assert 0.4 * LEASE_S < time.monotonic() - silent_since_s < LEASE_S + LATE_S
    rise, fall = b.truth("light")
    assert fall["stimulator_us"] - rise["stimulator_us"] <= LEASE_S * 1e6


KILLED_HOST = """
import sys, time
from closedloop import wire
from closedloop.port import wait
from test_virtual_rig import LIMITS, Host, fire
host = Host(sys.argv[1], wire.Board.STIMULATOR)
host.say(LIMITS, wire.Arm(), fire(1, on_us=1_000_000))
host.until(wire.Started)
print("lit", flush=True)
while True:
    host.say(wire.Heartbeat(1))
    host.hear(0.01)
"""


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_killed_host_leaves_darkness_within_its_lease(bench: Any, transport: Any) -> None:
    b = bench(Simulation(transport=transport), stream=recording(60.0))
    b.stimulator.link.close()
    b.daq.say(wire.StreamStart(0))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    script = [sys.executable, "-c", KILLED_HOST, b.rig.stimulator_port]
    with subprocess.Popen(script, stdout=subprocess.PIPE, text=True, env=environment) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == "lit\n"
        host.kill()
        host.wait()
        killed_ns = time.monotonic_ns()
    flags: list[int] = []
    while not any(f & FLAG_LIGHT for f in flags) or flags[-1] & FLAG_LIGHT:
        flags += [r.flags for r in readings_in(b.daq.until(wire.Reading))]
    assert b.rig.alive
    rise, fall = b.truth("light")
    assert (rise["level"], fall["level"]) == (1, 0)
    assert fall["host_ns"] - killed_ns < (LEASE_S + LATE_S) * 1e9
    assert [line["state"] for line in b.truth("state")] == ["ARMED", "TRIPPED"]


def test_another_host_may_come_after_one_that_broke_off_and_has_to_arm_anew(bench: Any) -> None:
    b = bench(Simulation(transport="tcp"), stream=recording(60.0))
    b.daq.say(wire.StreamStart(0))
    b.arm()
    b.stimulator.link.port.write(encode(wire.pack(fire(1)))[:5])
    b.stimulator.link.close()
    b.daq.until(wire.Reading, 40)  # 0.4 s: the lease has ended
    second = Host(b.rig.stimulator_port, wire.Board.STIMULATOR)
    second.say(fire(2))
    assert second.next(wire.Refused) == wire.Refused(2, wire.Reason.NOT_ARMED)
    second.say(wire.Arm(), fire(3))
    assert second.next(wire.Started).train == 3
    second.link.close()


@pytest.mark.skipif(not HAS_PTY, reason="processes cannot be stopped and continued on this system")
def test_a_simulator_that_is_held_up_does_not_blame_the_host(bench: Any) -> None:
    b = bench(stream=recording(60.0))
    b.daq.say(wire.StreamStart(0))
    b.arm()
    b.stimulator.say(fire(1, on_us=200_000))
    b.stimulator.until(wire.Started)
    os.kill(b.rig.pid, signal.SIGSTOP)
    deadline = time.monotonic() + 2 * LEASE_S
    while (left := deadline - time.monotonic()) > 0:
        b.stimulator.say(wire.Heartbeat(1))
        b.stimulator.hear(min(left, 0.05))
    os.kill(b.rig.pid, signal.SIGCONT)
    heard = b.stimulator.until(wire.Fired)
    fired = next(m for m in heard if isinstance(m, wire.Fired))
    assert (fired.lit_us, fired.reason) == (200_000, wire.Reason.NONE)
    assert not [m for m in heard if isinstance(m, wire.Trip)]
    assert max(line["seconds"] for line in b.truth("held_up")) > LEASE_S


ORPHAN = """
import sys
from test_virtual_rig import recording
from closedloop.simulation import Simulation
from closedloop.simulation.virtual_rig import start
if __name__ == "__main__":
    rig = start(Simulation(transport="tcp"), rate_hz=100, seed=1, stream=recording(60.0))
    print(rig.daq_port, flush=True)
    sys.stdin.read()
"""


def test_the_rig_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "orphan.py"
    script.write_text(ORPHAN)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout is not None
        host = Host(parent.stdout.readline().strip(), wire.Board.DAQ)
        parent.kill()
        with pytest.raises(DeviceError):
            host.until_gone()
        host.link.close()


def test_stopping_twice_does_no_harm_and_leaves_the_truth(tmp_path: Path) -> None:
    rig = start(Simulation(), rate_hz=100, seed=1, stream=recording(1.0), truth=tmp_path / "a" / "truth")
    assert rig.alive
    rig.stop()
    rig.stop()
    assert not rig.alive
    assert read(tmp_path / "a" / "truth") == []


def test_hands_at_the_rig(bench: Any) -> None:
    b = bench(stream=recording(60.0))
    b.arm()
    b.rig.open_interlock()
    assert b.stimulator.next(wire.Trip).reason == wire.Reason.INTERLOCK_OPEN
    b.rig.close_interlock()
    b.rig.reset_stimulator()
    assert b.stimulator.next(wire.Identity).reset_cause == wire.ResetCause.BROWN_OUT
    b.rig.unplug()
    with pytest.raises(DeviceError):
        b.daq.until_gone()


def test_faults_damage_the_line_and_nothing_that_arrives_is_wrong(bench: Any) -> None:
    faults = Faults(damaged_fraction=0.05, duplicated_fraction=0.05, truncated_fraction=0.05)
    stream = recording(60.0)
    b = bench(Simulation(faults=faults), stream=stream, speed=60.0)
    settings = None
    while settings is None:
        b.daq.say(wire.StreamStart(0))
        settings = next((m for m in b.daq.hear() if isinstance(m, wire.StreamSettings)), None)
    messages = b.daq.until(wire.Reading, 1500)
    readings = readings_in(messages)
    assert b.daq.link.damaged > 50
    assert len({r.seq for r in readings}) < len(readings)
    assert all(r.signal_lit == 7 * r.seq - 1000 for r in readings)


def test_a_stall_loses_readings_and_an_unplugged_cable_is_a_lost_device(bench: Any) -> None:
    b = bench(Simulation(faults=Faults(stall_at=0.1, stall_for=0.2, unplug_at=0.5)), stream=recording(60.0))
    b.daq.say(wire.StreamStart(0))
    with pytest.raises(DeviceError):
        b.daq.until_gone()
    seqs = [r.seq for r in readings_in(b.daq.last_words)]
    assert set(seqs[:5]) == set(range(5))
    assert 40 <= seqs[-1] <= 50
    assert 15 <= seqs[-1] + 1 - len(seqs) <= 25
    assert [line["time_s"] >= 0.5 for line in b.truth("unplugged")] == [True]


@pytest.mark.skipif(not HAS_PTY, reason="this system has no pseudo-terminals")
def test_what_a_host_does_not_read_in_time_is_dropped_counted_and_seen(bench: Any) -> None:
    b = bench(Simulation(transport="pty"), stream=recording(1.0, rate_hz=5000.0))
    b.daq.say(wire.StreamStart(0))
    deadline = time.monotonic() + 0.9
    while (left := deadline - time.monotonic()) > 0:
        b.stimulator.hear(left)
    messages = b.daq.until(wire.StreamEnd)
    readings, end = readings_in(messages), messages[-1]
    assert end.dropped > 0
    assert end.sent == len(readings)
    assert end.sent + end.dropped == 5000


@pytest.mark.skipif(not HAS_PTY, reason="this system has no pseudo-terminals")
def test_a_fast_recording_waits_for_a_full_line_and_loses_nothing(bench: Any) -> None:
    b = bench(Simulation(transport="pty"), stream=recording(15.0, rate_hz=1000.0), speed=20.0)
    b.daq.say(wire.StreamStart(0))
    deadline = time.monotonic() + 0.8
    while (left := deadline - time.monotonic()) > 0:
        b.stimulator.hear(left)
    messages = b.daq.until(wire.StreamEnd)
    assert messages[-1] == wire.StreamEnd(15_000, 0)
    assert [r.seq for r in readings_in(messages)] == list(range(15_000))


def test_what_cannot_be_simulated_is_refused_before_anything_starts() -> None:
    with pytest.raises(ConfigError, match="only a recording"):
        start(Simulation(), rate_hz=100, seed=1, speed=2)
    with pytest.raises(ConfigError, match="above 0"):
        start(Simulation(), rate_hz=100, seed=1, stream=recording(1.0), speed=0)


# One turn, pace and wear, without a process


def test_a_heartbeat_found_on_waking_after_the_lease_counts_and_one_that_is_not_there_does_not() -> None:
    rig = Rig(Order(Simulation(), 100.0, 1, recording(1.0), 1.0, None), Truth(None))
    assert rig.stimulator_cable.port is not None
    port = Port(rig.stimulator_cable.port.name, 500_000)
    port.write(b"".join(encode(wire.pack(m)) for m in (LIMITS, wire.Arm())))
    deadline = time.monotonic() + PATIENCE_S
    while rig.stimulator.state is not wire.State.ARMED and time.monotonic() < deadline:
        rig.turn()
    ends_us = rig.stimulator.lease_until_us
    assert ends_us is not None
    port.write(encode(wire.pack(wire.Heartbeat(1))))
    assert select.select([rig.stimulator_cable.port], [], [], PATIENCE_S)[0]

    rig._listen(ends_us + 5_000, [rig.stimulator_cable.port])
    rig._let_time_pass(ends_us + 5_000)
    assert rig.stimulator.state is wire.State.ARMED
    assert rig.stimulator.lease_until_us == ends_us - 1 + LIMITS.lease_ms * 1000

    rig._listen(ends_us * 2, [])
    rig._let_time_pass(ends_us * 2)
    assert rig.stimulator.state is wire.State.TRIPPED
    port.close()
    rig.daq_cable.unplug()
    rig.stimulator_cable.unplug()


def test_at_speed_one_device_time_is_wall_time() -> None:
    pace = Pace(1.0, wall_ns=5_000)
    assert pace.advance(1_005_000, None) == 1_000
    assert pace.advance(1_005_000, 0) == 1_000
    assert pace.wall_ns_of(3_000, None) == 3_005_000


def test_fast_time_waits_for_the_host_at_the_pace_of_the_wall() -> None:
    pace = Pace(20.0, wall_ns=0)
    assert pace.advance(1_000_000, None) == 20_000
    assert pace.advance(2_000_000, 30_000) == 30_000 + 500
    assert pace.advance(3_000_000, 30_000) == 31_500


@given(st.floats(0.5, 100), st.integers(0, 10**9), st.integers(0, 10**6), st.none() | st.integers(0, 2 * 10**6))
def test_waking_when_told_is_never_too_early(speed: float, start_ns: int, due_us: int, fast_us: int | None) -> None:
    pace = Pace(speed, start_ns)
    assert due_us <= pace.advance(pace.wall_ns_of(due_us, fast_us), fast_us) <= due_us + 1 + speed / 500


@given(st.floats(-1000, 1000), st.integers(0, 10**12))
def test_drift_there_and_back_is_the_first_microsecond_that_shows_it(ppm: float, us: int) -> None:
    drift = Drift(ppm)
    there = drift.daq_us(us)
    assert drift.stimulator_us(there) >= us
    assert there == 0 or drift.stimulator_us(there - 1) < us
    assert abs(drift.stimulator_us(us) - us * (1 + ppm / 1e6)) < 1 + us * 1e-9


def test_a_new_cable_carries_every_byte_and_a_worn_one_always_the_same_wear() -> None:
    line = b"".join(encode(wire.pack(wire.Heartbeat(n))) for n in range(300))
    assert Line(Faults(), "1").carry(line) == line
    worn = Faults(damaged_fraction=0.2, truncated_fraction=0.1, duplicated_fraction=0.2)
    once, again = Line(worn, "1").carry(line), Line(worn, "1").carry(line)
    assert once == again != line
    assert Line(worn, "2").carry(line) != once
    decoder = Decoder()
    seqs = [message.seq for p in decoder.feed(once) if isinstance(message := wire.unpack(p), wire.Heartbeat)]
    assert decoder.damaged > 20
    assert seqs == sorted(seqs)
    assert set(seqs) <= set(range(300))
