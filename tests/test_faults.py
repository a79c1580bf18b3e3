"""The fault list: its page and its judge, and the faults of disks, files and processes. Boards: hil_tests/."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from backend_mock import MockBench
from commands import fire
from controller_session import LEASE_S
from fault_judge import judge, told
from fault_judge import report as reported
from fault_session import EVENT_S, FaultSession
from fault_table import AGAIN, FAULTS, PAGE, UNKNOWN, WITHOUT, Report, Table, renewed, shown
from sessions import truth
from test_recording import disk_full_after
from test_session import running, wait_for_light

from closedloop.errors import ConfigError, DeviceError, RecordingError
from closedloop.port import Port
from closedloop.recording import Recording, RecordingWriter
from closedloop.recording.layout import PAGE_BYTES

Faults = Callable[[Report], None]

POSIX = pytest.mark.skipif(os.name != "posix", reason="kill -9 and pseudo-terminals are POSIX")
EVENTS_S = (EVENT_S, EVENT_S + 3.0)
KILLS, CUTS = (200, 200) if os.environ.get("FAULTS_LONG") else (10, 10)


@pytest.fixture
def bench() -> Any:
    return MockBench()


# the page


def test_the_page_has_a_row_for_every_fault_and_each_says_what_was_measured() -> None:
    rows = shown(PAGE.read_text(encoding="utf-8"))
    assert list(rows) == [*FAULTS, *WITHOUT], f"print the table again: {AGAIN}"
    for fault, (_, on, times, spurious, lost, dark, said) in rows.items():
        if fault in WITHOUT:
            assert said.startswith("not injected: ")
            continue
        assert on != UNKNOWN, fault
        assert int(times.replace(",", "")) > 0, fault
        assert spurious in {"0", UNKNOWN}, fault
        assert lost in {"0", UNKNOWN}, fault
        assert dark == UNKNOWN or float(dark) <= 1000, fault
        assert said, fault


def test_a_report_of_spurious_light_or_of_silent_loss_fails_its_test() -> None:
    table = Table()
    for wrong in ({"spurious": 1}, {"lost": 1}, {"lost": -1}):
        with pytest.raises(AssertionError, match="flat on mock"):
            table.add(Report("flat", "mock", 1, "goes on", **wrong))
    with pytest.raises(KeyError):
        table.add(Report("no such fault", "mock", 1, ""))


def test_a_page_keeps_the_rows_of_what_was_not_injected_in_a_run() -> None:
    text = PAGE.read_text(encoding="utf-8")
    table = Table([Report("flat", "mock", 2, "a", lost=0), Report("flat", "emulated-uno", 1, "b", dark_ms=249.6)])
    before, after = shown(text), shown(renewed(text, table.rows()))
    assert after["flat"][1:] == ["mock, emulated-uno", "3", "0", "0", "250", "a; or b"]
    assert {key: cells for key, cells in after.items() if key != "flat"} == {
        key: cells for key, cells in before.items() if key != "flat"
    }


# the judge


def whole(bench: MockBench, data: Path, seconds: float = EVENT_S + 1.5) -> FaultSession:
    return FaultSession(bench, data, on_s=0.2).for_s(seconds)


def test_the_judge_finds_nothing_wrong_with_a_session_that_nothing_befell(bench: MockBench, tmp_path: Path) -> None:
    session = whole(bench, tmp_path)
    verdict = judge(session, session.close(), bench.now_s, None)
    assert (verdict.spurious, verdict.lost, verdict.told) == (0, 0, "goes on")
    assert len(bench.spans()) == 1


def test_the_judge_sees_light_that_no_recorded_command_explains(bench: MockBench, tmp_path: Path) -> None:
    session = whole(bench, tmp_path)
    bench.stimulator.say(fire(99, on_us=20_000))
    session.for_s(0.1)
    assert judge(session, session.close(), bench.now_s, None).spurious == 1


def test_the_judge_sees_light_after_it_should_have_been_dark(bench: MockBench, tmp_path: Path) -> None:
    session = whole(bench, tmp_path)
    [span] = bench.spans()
    recording = session.close()
    assert judge(session, recording, span.rise_s, 0.3).spurious == 0
    verdict = judge(session, recording, span.rise_s, 0.1)
    assert verdict.spurious == 1
    assert verdict.dark_ms == pytest.approx(200, abs=0.1)


def test_the_judge_sees_a_reading_that_is_neither_recorded_nor_reported_missing(
    bench: MockBench, tmp_path: Path
) -> None:
    session = whole(bench, tmp_path)
    at = len(session.sent) // 2
    session.sent.insert(at, (0.0, session.sent[at][1]._replace(seq=1 << 30)))
    assert judge(session, session.close(), bench.now_s, None).lost == 1


def test_the_judge_sees_a_reading_that_was_recorded_otherwise_than_sent(bench: MockBench, tmp_path: Path) -> None:
    session = whole(bench, tmp_path)
    at_s, reading = session.sent[5]
    session.sent[5] = at_s, reading._replace(signal_lit=reading.signal_lit + 1)
    with pytest.raises(AssertionError, match="signal_lit"):
        judge(session, session.close(), bench.now_s, None)


# disks


def conducted(session: FaultSession, seconds: float) -> FaultSession:
    """As session.py does: dark first, then the reason, then the error is the user's to read."""
    try:
        session.for_s(seconds)
    except RecordingError as problem:
        session.controller.end("failed", f"{problem}".replace(str(session.folder), "SESSION"))
    return session


def test_a_full_disk_ends_the_session_dark_and_in_words(bench: MockBench, tmp_path: Path, faults: Faults) -> None:
    session = FaultSession(bench, tmp_path, EVENTS_S)
    full_s = session.until_lit()
    with disk_full_after(20):  # a limit on the size of files stands for it
        conducted(session, 3.0)
    session.boards_for_s(1.0)
    assert session.how == "failed"
    faults(reported("disk_full", session, full_s, LEASE_S + 1.0))


def test_a_disk_that_turns_read_only_ends_the_session_dark_and_in_words(
    bench: MockBench, tmp_path: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_descriptor: int) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    session = FaultSession(bench, tmp_path, EVENTS_S)
    refused_s = session.until_lit()
    with monkeypatch.context() as disk:
        disk.setattr(os, "fdatasync" if hasattr(os, "fdatasync") else "fsync", refuse)
        conducted(session, 3.0)
    session.boards_for_s(1.0)
    assert session.how == "failed"
    faults(reported("disk_read_only", session, refused_s, 1.0 + LEASE_S))


def test_a_disk_that_takes_seconds_holds_up_neither_readings_nor_light(
    bench: MockBench, tmp_path: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, over = threading.Event(), threading.Event()

    def wait(_descriptor: int) -> None:
        begun.set()
        over.wait(60)

    session = FaultSession(bench, tmp_path, EVENTS_S, on_s=0.2)
    session.for_s(EVENT_S - 0.5)
    session._next_sync_s = np.inf  # the program syncs in a thread of its own: here it is
    with monkeypatch.context() as disk:
        disk.setattr(os, "fdatasync" if hasattr(os, "fdatasync") else "fsync", wait)
        syncing = threading.Thread(target=session.writer.sync)
        syncing.start()
        assert begun.wait(60)
        session.for_s(4.5)
        assert syncing.is_alive()
        over.set()
        syncing.join()
    assert len(bench.spans()) == 2
    faults(reported("disk_slow", session, bench.now_s))


# recordings


def test_a_recording_cut_at_any_byte_of_its_last_block_gives_what_is_whole_and_nothing_else(
    bench: MockBench, tmp_path: Path, faults: Faults
) -> None:
    """An engine that died: nothing was closed. Tables are cut in their last rows, the log in its last lines."""
    session = whole(bench, tmp_path)
    rows, events = session.reopened().rows(), session.reopened().events()
    copy, times = tmp_path / "copy", 0
    for name, last in (("readings.table", _last_row(session.folder)), ("events.jsonl", None)):
        shutil.copytree(session.folder, copy)
        data = (copy / name).read_bytes()
        end = last or len(data)
        for cut in range(end - 300, end):
            (copy / name).write_bytes(data[:cut])
            found = Recording.open(copy)
            assert found.rows().tobytes() == rows[: len(found.rows())].tobytes()
            assert found.events() == events[: len(found.events())]
            assert len(found.rows()) >= len(rows) - 4
            times += 1
        shutil.rmtree(copy)
    session.close()
    said = "`broken off`; it opens up to the last whole row and line; `closedloop recover` says what was cut"
    faults(Report("truncated", "files", times, said, None, 0))


def _last_row(folder: Path) -> int:
    """Where the last row ends in the table: from its first page, as docs/recording.md tells."""
    data = (folder / "readings.table").read_bytes()
    _, _, stride, _ = np.frombuffer(data, "<u4", 4, offset=8).tolist()
    return PAGE_BYTES + int(np.frombuffer(data, "<u8", 1, offset=64)[0]) * stride


READER = """
import sys
from closedloop.recording import Recording
recording = Recording.open(sys.argv[1])
print(len(recording.rows()), recording.being_written)
"""


def test_a_second_process_may_read_a_running_recording_and_not_write_it(
    bench: MockBench, tmp_path: Path, faults: Faults
) -> None:
    session = whole(bench, tmp_path, EVENT_S + 0.3)
    seen = subprocess.run(
        [sys.executable, "-c", READER, session.folder], capture_output=True, text=True, check=True, timeout=60
    )
    assert seen.stdout.split() == [str(len(session.reopened().rows())), "True"]
    header = session.reopened().header
    with pytest.raises(ConfigError) as refused:
        RecordingWriter.open(session.folder, header=header, protocol="", rig="", dtype=session.reopened().rows().dtype)
    session.for_s(1.0)
    verdict = judge(session, session.close(), bench.now_s, None)
    said = f"the reader: nothing; the writer: {refused.value}".replace(str(session.folder), "SESSION")
    faults(Report("second_writer", "files", 2, said, verdict.spurious, verdict.lost))


def crashes() -> Any:
    """benchmarks/crashes.py, which kills writers and cuts the power in earnest."""
    folder = Path(__file__).parents[1] / "benchmarks"
    sys.path.insert(0, str(folder))
    try:
        spec = importlib.util.spec_from_file_location("crashes", folder / "crashes.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(folder))


@POSIX
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # fork with threads: the child writes, and is killed
def test_a_writer_killed_at_random_instants_loses_nothing_that_was_appended(faults: Faults) -> None:
    trials = crashes().kills(KILLS, 1)
    assert [problem for one in trials for problem in one.problems] == []
    lost = sum(max(0, one.told_rows - one.rows) for one in trials)
    said = "`broken off`; `closedloop recover` says what was saved"
    faults(Report("engine_killed", "files", len(trials), said, None, lost))


@POSIX
def test_a_power_cut_takes_no_more_than_what_came_since_the_last_sync(faults: Faults) -> None:
    trials = crashes().cuts(CUTS, 1)
    assert [problem for one in trials for problem in one.problems] == []
    lost = sum(max(0, one.synced - one.rows) for one in trials)
    said = "`broken off`; what came since the last sync, one second at most, may be gone: `closedloop recover` says it"
    faults(Report("power_cut", "files", len(trials), said, None, lost))


# processes


@POSIX
def test_a_second_session_on_the_same_rig_is_refused_by_the_lock_of_its_port(faults: Faults) -> None:
    ours, theirs = os.openpty()
    first = Port(os.ttyname(theirs), 500_000)
    try:
        with pytest.raises(DeviceError) as refused:
            Port(first.name, 500_000)
    finally:
        first.close()
        os.close(ours)
        os.close(theirs)
    faults(Report("two_engines", "ports", 1, f"the second: {refused.value}".replace(first.name, "PORT"), None))


@POSIX
def test_an_edited_protocol_and_a_killed_dashboard_are_nothing_to_a_running_session(
    tmp_path: Path, faults: Faults
) -> None:
    protocol = tmp_path / "mine.yaml"
    shutil.copy(Path(__file__).parents[1] / "configs" / "protocols" / "demo.yaml", protocol)
    run = ["run", protocol, "--rig", "simulated", "--headless", "--duration", "12s", "--seed", "3", "--json"]
    with running(*run, "--out", tmp_path / "data") as process:
        folder = wait_for_light(process, tmp_path / "data")
        protocol.write_text(protocol.read_text().replace("threshold: 5.0", "threshold: 0.1"))
        kill_a_dashboard(folder)
        protocol.unlink()
        out, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    summary, recording = json.loads(out), Recording.open(folder)
    assert summary["ended"] == "completed"
    assert recording.header["protocol"]["detector"]["threshold"] == 5.0
    assert "threshold: 5" in (folder / "protocol.yaml").read_text()
    assert recording.header["hashes"]["protocol"]
    assert set(recording.rows()["threshold"]) == {5.0}
    rises = sum(t["kind"] == "light" and t["level"] > 0 for t in truth(folder))
    spurious = rises - summary["trains"]["commanded"]
    sent = (recording.summary or {})["sent"]
    lost = sent - len(recording.rows()) - summary["readings"]["missing"]
    told = f"`{summary['ended']}`: {summary['reason']}"
    faults(
        Report("protocol_edited", "simulated", 2, f"{told}; the header has what was run, and its hash", spurious, lost)
    )
    faults(Report("dashboard_killed", "simulated", 1, told, spurious, lost))


def kill_a_dashboard(folder: Path) -> None:
    """One that shows this session: its process is killed once it reads the rows."""
    command = subprocess.Popen(
        [sys.executable, "-m", "closedloop.cli", "watch", folder],
        env=os.environ | {"QT_QPA_PLATFORM": "offscreen", "CLOSEDLOOP_CONFIG": str(folder.parents[2] / "config")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    family: list[psutil.Process] = []
    try:
        while not any(shows(one, folder / "readings.table") for one in family):
            with contextlib.suppress(subprocess.TimeoutExpired):
                command.wait(0.05)
            assert command.poll() is None
            parent = psutil.Process(command.pid)
            family = [parent, *parent.children(recursive=True)]
    finally:
        for one in reversed(family):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        command.wait()


def shows(process: psutil.Process, table: Path) -> bool:
    """Whether this process has the table open."""
    try:
        return str(table) in {opened.path for opened in process.open_files()}
    except psutil.Error:
        return False


@POSIX
def test_an_engine_killed_while_lit_leaves_darkness_and_every_reading_before(tmp_path: Path, faults: Faults) -> None:
    long = ["--set", "light.on=900ms", "--set", "light.power=3 mW", "--set", "policy.refractory=500ms"]
    with running("demo", "--headless", "--duration", "60s", "--seed", "3", "--out", tmp_path, *long) as process:
        folder = wait_for_light(process, tmp_path)
        os.kill(json.loads((folder / "header.json").read_text())["computer"]["engine_pid"], signal.SIGKILL)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 3
    true, recording = truth(folder), Recording.open(folder)
    lights = [t for t in true if t["kind"] == "light"]
    commands = sum(e.kind == "command" for e in recording.events())
    assert lights[-1]["level"] == 0
    rows = recording.rows()
    started_us = next(t["device_us"] for t in true if t["kind"] == "stream")
    dark_ms = (lights[-1]["device_us"] - started_us - int(rows["ticks"][-1])) / 1e3
    assert dark_ms < 1e3 * LEASE_S + 20
    spurious = max(0, sum(t["level"] > 0 for t in lights) - commands)
    missing = sum(round(e.value or 0) for e in recording.events() if e.kind == "gap")
    lost = int(rows["seq"][-1]) + 1 - len(rows) - missing
    assert told(recording).startswith("`broken off`")
    faults(Report("host_killed", "simulated", 1, said.strip().splitlines()[-1], spurious, lost, dark_ms))
