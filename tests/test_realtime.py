"""What the engine asks of the computer: had, or not had and why; never an error, and never needed."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys

import pytest

from closedloop import realtime
from closedloop.errors import ConfigError
from closedloop.port import Waiter
from closedloop.rig import load_rig

PREPARE = """
import json, os
from closedloop import realtime
with realtime.prepared("{waiting}", real_time={real_time}, low_latency=False) as had:
    policy = os.sched_getscheduler(0) if hasattr(os, "sched_getscheduler") else None
    print(json.dumps([{{name: one._asdict() for name, one in had.items()}}, policy]))
"""


def prepared(waiting: str = "sleep", *, real_time: bool = True) -> tuple[dict, int | None]:
    """In a process of its own, for what is had stays with the process."""
    told = subprocess.run(
        [sys.executable, "-c", PREPARE.format(waiting=waiting, real_time=real_time)],
        check=True,
        capture_output=True,
        text=True,
    )
    had, policy = json.loads(told.stdout)
    return had, policy


def test_each_means_is_had_or_says_why_not() -> None:
    had, policy = prepared()
    assert set(had) == {"priority", "memory_lock", "collector", "low_latency_ports"}
    assert all(one["had"] or one["why"] for one in had.values())
    if policy is not None:
        assert (policy == os.SCHED_FIFO) == had["priority"]["had"]


def test_cores_are_kept_awake_only_where_that_was_asked_for() -> None:
    had, _ = prepared("awake")
    assert had["cores_awake"]["had"] or had["cores_awake"]["why"]


def test_a_recording_played_faster_goes_before_nobody() -> None:
    had, policy = prepared(real_time=False)
    assert not had["priority"]["had"]
    assert policy in (None, getattr(os, "SCHED_OTHER", None))


def test_a_reader_that_spins_leaves_its_core_to_others() -> None:
    had, policy = prepared("spin")
    assert not had["priority"]["had"]
    assert policy in (None, getattr(os, "SCHED_OTHER", None))


def test_a_right_that_is_refused_is_told_and_is_no_error(monkeypatch, tmp_path) -> None:
    def refuse(*_args):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse, raising=False)
    assert realtime.priority("sleep") == (False, "Operation not permitted; " + realtime._GIVEN)
    monkeypatch.setattr(realtime, "CORES_AWAKE", tmp_path / "none" / "here")
    with realtime.cores_awake() as had:
        assert not had.had
        assert "No such file" in had.why


def test_cores_are_kept_awake_for_as_long_as_it_is_held(monkeypatch, tmp_path) -> None:
    device = tmp_path / "cpu_dma_latency"
    device.touch()
    monkeypatch.setattr(realtime, "CORES_AWAKE", device)
    with realtime.cores_awake() as had:
        assert had.had
        assert device.read_bytes() == bytes(4)


def test_a_small_limit_of_locked_memory_is_not_used_up(monkeypatch) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (8 << 20, 8 << 20))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert not realtime.memory_lock().had
    assert "8192 kB" in realtime.memory_lock().why


def test_nothing_is_collected_while_a_reading_waits_but_what_is_tidied() -> None:
    was = gc.isenabled()
    try:
        assert realtime.collector().had
        assert not gc.isenabled()
        cycle: list[object] = []
        cycle.append(cycle)
        del cycle
        before = gc.get_count()[0]
        realtime.tidy()
        assert gc.get_count()[0] < before
    finally:
        gc.unfreeze()
        if was:
            gc.enable()


@pytest.mark.skipif(os.name != "posix", reason="needs pipes that can be waited on")
@pytest.mark.parametrize("spin", [False, True])
def test_a_waiter_finds_the_ports_that_have_bytes_and_waits_no_longer_than_told(spin: bool) -> None:
    class Pipe:
        def __init__(self) -> None:
            self.fd, self.end = os.pipe()

    pipes = [Pipe(), Pipe()]
    waiter = Waiter(pipes, spin=spin)  # type: ignore[arg-type]
    assert waiter.wait(0.01) == []
    os.write(pipes[1].end, b"x")
    assert waiter.wait(10) == [pipes[1]]
    os.write(pipes[0].end, b"x")
    assert set(waiter.wait(10)) == set(pipes)
    waiter.close()
    for pipe in pipes:
        os.close(pipe.fd)
        os.close(pipe.end)


def test_waiting_is_sleep_unless_the_rig_says_otherwise_and_a_typo_is_an_error() -> None:
    assert load_rig("simulated", []).waiting == "sleep"
    assert load_rig("simulated", ["waiting=awake"]).waiting == "awake"
    with pytest.raises(ConfigError, match="waiting"):
        load_rig("simulated", ["waiting=bussy"])
