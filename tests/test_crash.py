"""Whatever stops the writer, or spoils a file, costs what could not be kept and nothing else."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from sessions import command
from test_recording import HEADER, NOON, ROW, disk_full_after, make_rows
from test_session import LONG_TRAINS, running, wait_for_light

from closedloop.analysis.summary import summarise
from closedloop.errors import RecordingError
from closedloop.health import HEALTH
from closedloop.recording import Recording, RecordingWriter, create, recover
from closedloop.recording.layout import CHUNK_ROWS

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "crashes.py"
FILES = ("readings.table", "health.table", "events.jsonl", "header.json", "summary.json")
ROWS, EVENTS = 60, 30


def begin(data: Path) -> RecordingWriter:
    folder = create(data, None, NOON)
    return RecordingWriter.open(folder, header=HEADER, protocol="a: 1\n", rig="b: 2\n", dtype=ROW)


def session(data: Path) -> Path:
    """A short session that was closed."""
    writer = begin(data)
    writer.append(make_rows(0, ROWS))
    writer.health(np.zeros(4, HEALTH))
    for at in range(EVENTS):
        writer.event("note", ticks=at, host_ns=0, text="x" * at)
    writer.close({"ended": "completed", "reason": ""})
    return writer.folder


def assert_right_or_refused(folder: Path) -> bool:
    """Whether it can be read; what is given is right as far as it goes, what is refused is said in one line."""
    try:
        recording = Recording.open(folder)
        rows, events, health = recording.rows(), recording.events(), recording.health()
        _ = recording.summary
    except RecordingError as error:
        said = str(error)
    else:
        said = ""
    if said:
        assert "\n" not in said
        assert str(folder) in said
        return False
    assert rows.tobytes() == make_rows(0, ROWS)[: len(rows)].tobytes()
    assert health.tobytes() == np.zeros(4, HEALTH)[: len(health)].tobytes()
    assert [(event.n, event.ticks, event.text) for event in events] == [(i, i, "x" * i) for i in range(len(events))]
    return True


# kills and power cuts


@pytest.fixture(scope="module")
def crashes() -> dict[str, dict[str, object]]:
    if os.name != "posix":
        pytest.skip("kill -9 and fork are POSIX")
    line = [sys.executable, str(BENCHMARK), "--json", "--kills", "40", "--cuts", "25", "--seed", "3"]
    ran = subprocess.run(line, capture_output=True, text=True, timeout=300, check=False)
    assert ran.stdout, ran.stderr
    return json.loads(ran.stdout)


def test_nothing_that_was_appended_is_lost_when_the_writer_is_killed(crashes) -> None:
    found = crashes["kills"]
    assert found["problems"] == []
    assert (found["trials"], found["rows_lost"], found["events_lost"]) == (40, 0, 0)
    assert found["rows_told"] > 10_000
    assert found["events_told"] > 1000


def test_a_power_cut_takes_what_came_after_the_last_sync_at_most(crashes) -> None:
    found = crashes["power_cuts"]
    assert found["problems"] == []
    assert (found["trials"], found["synced_lost"]) == (25, 0)
    assert 0 < found["unsynced_lost"] <= found["rows_unsynced"]


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX")
def test_a_session_whose_engine_was_killed_is_closed_by_recover(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--headless", "--duration", "120s", "--seed", 3, "--out", tmp_path, "--set", "warm_up=2s", *LONG_TRAINS]
    with running("demo", *options) as process:
        folder = wait_for_light(process, tmp_path)
        during = command(capsys, "recover", folder, "--json")
        os.kill(json.loads((folder / "header.json").read_text())["computer"]["engine_pid"], signal.SIGKILL)
        process.communicate(timeout=60)
    assert during.code == 2
    rows, events = Recording.open(folder).rows(), Recording.open(folder).events()
    before = summarise(Recording.open(folder))
    done = command(capsys, "recover", folder, "--json")
    assert done.code == 0
    assert done.summary["recovered"]["readings"] == {"saved": len(rows), "lost": 0, "apart": 0, "torn_bytes": 0}
    assert done.summary["unfinished_trains"] == 1
    again = Recording.open(folder)
    assert again.finished
    assert again.rows().tobytes() == rows.tobytes()
    assert again.events() == events
    after = summarise(again)
    assert [name for name in before if repr(before[name]) != repr(after[name])] == ["reason"]
    assert not (folder / "control.json").exists()
    assert command(capsys, "recover", folder, "--json").summary == done.summary | {"changed": False}


# spoiled files


@pytest.mark.parametrize("name", FILES)
def test_a_session_with_a_file_cut_at_any_byte_of_its_last_block_is_right_as_far_as_it_goes_or_refused(
    tmp_path: Path, name: str
) -> None:
    folder = session(tmp_path)
    size = (folder / name).stat().st_size
    readable = []
    for end in range(size, max(-1, (size - 1) // 4096 * 4096 - 1), -1):
        os.truncate(folder / name, end)
        readable.append(assert_right_or_refused(folder))
    assert readable[0]
    if name.endswith(("table", "jsonl")):
        assert all(readable)


@pytest.mark.parametrize("name", ["readings.table", "health.table", "events.jsonl"])
def test_one_bit_flipped_anywhere_gives_no_wrong_row_and_no_wrong_event(tmp_path: Path, name: str) -> None:
    folder, dice = session(tmp_path), random.Random(5)
    data = (folder / name).read_bytes()
    refused = 0
    for _ in range(400):
        bit = dice.randrange(8 * len(data))
        spoiled = bytearray(data)
        spoiled[bit // 8] ^= 1 << bit % 8
        (folder / name).write_bytes(spoiled)
        refused += not assert_right_or_refused(folder)
    assert refused < 400


@pytest.mark.parametrize("name", ["header.json", "summary.json"])
def test_one_bit_flipped_in_a_text_is_refused_in_words_or_harms_no_row(tmp_path: Path, name: str) -> None:
    folder, dice = session(tmp_path), random.Random(6)
    data = (folder / name).read_bytes()
    for _ in range(300):
        bit = dice.randrange(8 * len(data))
        spoiled = bytearray(data)
        spoiled[bit // 8] ^= 1 << bit % 8
        (folder / name).write_bytes(spoiled)
        assert_right_or_refused(folder)


# a disk that is slow, full or refuses


def synced_elsewhere(writer: RecordingWriter) -> tuple[threading.Thread, list[Exception]]:
    problems: list[Exception] = []

    def sync() -> None:
        try:
            writer.sync()
        except RecordingError as error:
            problems.append(error)

    thread = threading.Thread(target=sync)
    thread.start()
    return thread, problems


def test_appends_do_not_wait_for_a_slow_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, rows = begin(tmp_path), make_rows(0, CHUNK_ROWS + 100)
    waits, go_on = threading.Event(), threading.Event()

    def slow(descriptor: int) -> None:
        waits.set()
        assert go_on.wait(60)

    monkeypatch.setattr(os, "fdatasync", slow, raising=False)
    thread, problems = synced_elsewhere(writer)
    assert waits.wait(60)
    for at in range(0, len(rows), 50):  # into the next chunk, too
        writer.append(rows[at : at + 50])
        writer.event("note", ticks=at, host_ns=0)
    assert thread.is_alive()  # the disk is not done yet
    assert Recording.open(writer.folder).rows().tobytes() == rows.tobytes()
    go_on.set()
    thread.join()
    monkeypatch.undo()
    writer.close({})
    assert problems == []
    assert Recording.open(writer.folder).table.verify() == len(rows)


def test_the_next_chunk_is_there_before_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, rows = begin(tmp_path), make_rows(0, CHUNK_ROWS + 5)
    writer.append(rows[: CHUNK_ROWS - 1])
    writer.sync()

    def never(*_: object) -> None:
        pytest.fail("space was taken by the thread that appends")

    monkeypatch.setattr("closedloop.recording.table_writer.allocate", never)
    writer.append(rows[CHUNK_ROWS - 1 :])
    monkeypatch.undo()
    writer.close({})
    assert Recording.open(writer.folder).rows().tobytes() == rows.tobytes()


@pytest.mark.skipif(sys.platform != "linux", reason="counts the page faults of a thread")
def test_an_append_after_a_sync_takes_no_page_fault(tmp_path: Path) -> None:
    import resource

    writer, rows = begin(tmp_path), make_rows(0, 4000)
    faults, at = 0, 0
    for second in range(8):
        for _ in range(400):
            before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
            writer.append(rows[at : at + 1])
            faults += (resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before) * (second > 1)
            at += 1
        writer.sync()
    writer.close({})
    assert faults <= 6  # of 2400 appends to 60 pages; the interpreter has some of its own


def test_a_disk_that_is_full_for_a_while_costs_nothing(tmp_path: Path) -> None:
    writer, rows = begin(tmp_path), make_rows(0, 2 * CHUNK_ROWS + 10)
    with disk_full_after((writer.folder / "readings.table").stat().st_size):
        writer.append(rows[: 2 * CHUNK_ROWS])
        writer.sync()  # finds no space for the third chunk, which is not needed yet
    writer.sync()
    writer.append(rows[2 * CHUNK_ROWS :])
    writer.close({})
    assert Recording.open(writer.folder).rows().tobytes() == rows.tobytes()


@pytest.mark.parametrize("number", [errno.EROFS, errno.EIO, errno.ENOSPC])
def test_a_disk_that_refuses_in_mid_session_is_said_and_what_can_be_closed_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    writer = begin(tmp_path)
    writer.append(make_rows(0, 10))

    def refuses(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    for name in ("fdatasync", "fsync"):
        monkeypatch.setattr(os, name, refuses, raising=False)
    with pytest.raises(RecordingError, match=os.strerror(number)) as caught:
        writer.sync()
    assert "\n" not in str(caught.value)
    with pytest.raises(RecordingError):
        writer.close({"ended": "failed", "reason": "the disk"})
    monkeypatch.undo()
    recording = Recording.open(writer.folder)
    assert len(recording.rows()) == 10
    assert not recording.being_written
    assert recover(writer.folder).summary["ended"] == "failed"


def test_an_event_on_a_disk_that_went_read_only_is_an_error_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = begin(tmp_path)

    class ReadOnly:
        def write(self, data: bytes) -> int:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    def unlink(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as while_read_only:
        while_read_only.setattr(writer._events, "_file", ReadOnly())
        while_read_only.setattr(Path, "unlink", unlink)
        with pytest.raises(RecordingError, match="not written: Read-only file system"):
            writer.event("trip", ticks=1, host_ns=1)
    writer.close({"ended": "failed"})
    assert Recording.open(writer.folder).events() == []


def test_several_read_while_one_writes(tmp_path: Path) -> None:
    writer, rows = begin(tmp_path), make_rows(0, 2000)
    readers = [Recording.open(writer.folder) for _ in range(4)]
    for at in range(0, 2000, 100):
        writer.append(rows[at : at + 100])
        assert all(len(reader.rows()) == at + 100 for reader in readers)
        assert all(reader.being_written for reader in readers)
    writer.close({})
