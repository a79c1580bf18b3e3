"""The recording keeps what it acknowledged, believes nothing torn, and is not changed by being looked at."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256
from math import inf, nan
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from closedloop.errors import ConfigError, RecordingError
from closedloop.readings import READING
from closedloop.recording import (
    EventReader,
    EventWriter,
    Recording,
    RecordingWriter,
    TableReader,
    TableWriter,
    create,
    row_dtype,
)
from closedloop.recording.layout import CHUNK_ROWS, PAGE_BYTES, SYNCED_AT, Layout

STEP = np.dtype([("feature", "<f8"), ("score", "<f8"), ("threshold", "<f8"), ("bits", "u1")])
ROW = row_dtype(STEP)
STRIDE = Layout.of(ROW).stride
NOON = datetime(2025, 6, 1, 12, 0, 0)
HEADER = {"rate_mhz": 130_000, "nano_units": 101_220, "input_names": ["lever"], "seed": 7}


def make_rows(start, stop):
    rows = np.zeros(stop - start, ROW)
    for i, name in enumerate(ROW.names):
        rows[name] = (np.arange(start, stop) * (i + 1) + i) % 200
    rows["ticks"] = np.arange(start, stop) * 7692
    rows["score"][::5] = nan
    return rows


def begin(folder):
    return RecordingWriter.open(folder, header=HEADER, protocol="a: 1\n", rig="b: 2\n", dtype=ROW)


def running_table(folder, rows, synced=0):
    """Bytes of a table whose writer never closed it."""
    writer = TableWriter(folder / "t", ROW)
    writer.append(rows[:synced])
    if synced:
        writer.sync()
    writer.append(rows[synced:])
    data = (folder / "t").read_bytes()
    writer.close()
    return data


def read(path, data):
    path.write_bytes(data)
    return TableReader(path)


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 0x20]) + data[at + 1 :]


def same(got, expected):
    return got.tobytes() == expected.tobytes()


def fingerprint(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return [(str(p), p.stat().st_mtime_ns, sha256(p.read_bytes()).hexdigest()) for p in files]


@contextmanager
def disk_full_after(size):
    resource = pytest.importorskip("resource", reason="no limit on file sizes on this system")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def child(script, *arguments):
    source = "import os, sys\nsys.path[:0] = [sys.argv[1], sys.argv[2]]\nfrom test_recording import *\n" + script
    here = Path(__file__).parent
    command = [sys.executable, "-c", source, str(here.parent), str(here), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


# tables


def test_rows_come_back_bit_for_bit_in_their_own_dtype(tmp_path) -> None:
    rows = make_rows(0, 1000)
    writer = TableWriter(tmp_path / "t", ROW)
    for row in np.split(rows, 1000):
        writer.append(row)
    got = TableReader(tmp_path / "t").rows()
    writer.close()
    assert same(got, rows)
    assert got.dtype == ROW
    assert got.dtype.isalignedstruct
    assert got.flags.c_contiguous
    assert not got.flags.writeable


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 3 * CHUNK_ROWS), max_size=4), st.booleans())
def test_batches_of_any_size_are_one_run_of_rows_across_chunks(tmp_path_factory, sizes, closed) -> None:
    path = tmp_path_factory.mktemp("t") / "t"
    rows = make_rows(0, sum(sizes))
    writer = TableWriter(path, ROW)
    for batch in np.split(rows, np.cumsum(sizes)[:-1]) if sizes else []:
        writer.append(batch)
    if closed:
        writer.close()
    reader = TableReader(path)
    assert same(reader.rows(), rows)
    assert (reader.verify(), reader.cut) == (len(rows), 0)
    writer.close()
    assert path.stat().st_size == PAGE_BYTES + len(rows) * STRIDE


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (3, 7), (-4, None), (8, 3), (50, 60), (0, 99)])
def test_rows_are_taken_as_a_slice_takes_them(tmp_path, start, stop) -> None:
    rows = make_rows(0, 10)
    reader = read(tmp_path / "copy", running_table(tmp_path, rows))
    assert same(reader.rows(start, stop), rows[start:stop])


def test_a_reader_follows_a_writer_that_grows_the_file(tmp_path) -> None:
    total = 5 * CHUNK_ROWS
    writer = child(
        "w = TableWriter(Path(sys.argv[3]), ROW)\nos.write(1, b'r')\nrows = make_rows(0, int(sys.argv[4]))\n"
        "for i in range(len(rows)): w.append(rows[i : i + 1])\nw.close()",
        tmp_path / "t",
        total,
    )
    assert writer.stdout.read(1) == b"r"
    reader, seen, count = TableReader(tmp_path / "t"), [], 0
    while count < total and (writer.poll() is None or reader.head > count):
        rows = reader.rows(count)
        count += len(rows)
        seen += [rows.tobytes()] * (len(rows) > 0)  # as bytes: numpy leaves what it likes between joined fields
    writer.communicate()
    assert b"".join(seen) == make_rows(0, total).tobytes()
    assert len(seen) > 1


def test_syncing_from_another_thread_never_claims_more_than_was_appended(tmp_path) -> None:
    writer, rows = TableWriter(tmp_path / "t", ROW), make_rows(0, 2 * CHUNK_ROWS)
    claims, done = [], threading.Event()

    def sync_on_and_on() -> None:
        while not done.is_set():
            writer.sync()
            with (tmp_path / "t").open("rb") as file:
                file.seek(SYNCED_AT)
                claims.append((int.from_bytes(file.read(8), "little"), writer.head))

    thread = threading.Thread(target=sync_on_and_on)
    thread.start()
    for i in range(len(rows)):
        writer.append(rows[i : i + 1])
    done.set()
    thread.join()
    writer.close()
    assert claims
    assert all(synced <= head for synced, head in claims)
    assert same(TableReader(tmp_path / "t").rows(), rows)


@pytest.mark.parametrize("synced", [0, 3, 6])
def test_a_table_cut_at_any_byte_gives_the_whole_rows_before_it(tmp_path, synced) -> None:
    rows = make_rows(0, 6)
    data = running_table(tmp_path, rows, synced)
    for size in range(PAGE_BYTES, PAGE_BYTES + 6 * STRIDE + 1):
        reader = read(tmp_path / "copy", data[:size])
        whole = (size - PAGE_BYTES) // STRIDE
        assert same(reader.rows(), rows[:whole])
        assert reader.cut == 6 - whole


def test_a_table_cut_in_its_first_page_is_an_error_in_words_or_empty(tmp_path) -> None:
    data = running_table(tmp_path, make_rows(0, 6))
    used = len(data[:PAGE_BYTES].rstrip(b"\0"))
    for size in range(used):
        with pytest.raises(RecordingError, match="copy"):
            read(tmp_path / "copy", data[:size])
    for size in range(used, PAGE_BYTES, 7):
        reader = read(tmp_path / "copy", data[:size])
        assert (reader.head, reader.cut) == (0, 6)


def test_a_flipped_byte_in_the_unsynced_tail_is_cut(tmp_path) -> None:
    rows = make_rows(0, 6)
    data = running_table(tmp_path, rows, synced=3)
    for at in range(3 * STRIDE, 6 * STRIDE):
        if at % STRIDE >= ROW.itemsize + 4:  # padding means nothing
            continue
        reader = read(tmp_path / "copy", flipped(data, PAGE_BYTES + at))
        assert (reader.head, reader.cut) == (at // STRIDE, 6 - at // STRIDE)
        assert same(reader.rows(), rows[: at // STRIDE])


def test_a_page_that_never_reached_the_disk_is_cut(tmp_path) -> None:
    rows = make_rows(0, 200)
    data = running_table(tmp_path, rows, synced=10)
    lost = slice(2 * PAGE_BYTES, 3 * PAGE_BYTES)
    reader = read(tmp_path / "copy", data[: lost.start] + bytes(PAGE_BYTES) + data[lost.stop :])
    assert reader.head == PAGE_BYTES // STRIDE
    assert same(reader.rows(), rows[: PAGE_BYTES // STRIDE])


def test_a_good_row_in_the_wrong_place_is_cut(tmp_path) -> None:
    data = running_table(tmp_path, make_rows(0, 6))
    row = data[PAGE_BYTES : PAGE_BYTES + STRIDE]
    assert read(tmp_path / "copy", data.replace(data[PAGE_BYTES + STRIDE : PAGE_BYTES + 2 * STRIDE], row)).head == 1


def test_verify_finds_damage_in_rows_that_were_on_the_disk(tmp_path) -> None:
    rows = make_rows(0, 6)
    data = running_table(tmp_path, rows, synced=6)
    reader = read(tmp_path / "copy", flipped(data, PAGE_BYTES + 2 * STRIDE + 5))
    assert reader.head == 6
    assert reader.verify() == 2
    assert (reader.head, reader.cut) == (2, 4)
    assert same(reader.rows(), rows[:2])


def test_every_flipped_byte_of_the_first_page_that_matters_is_an_error_in_words(tmp_path) -> None:
    data = running_table(tmp_path, make_rows(0, 2))
    used = len(data[:PAGE_BYTES].rstrip(b"\0"))
    for at in [*range(28), *range(192, used)]:
        with pytest.raises(RecordingError):
            read(tmp_path / "copy", flipped(data, at))


def test_counters_beyond_the_file_are_not_believed(tmp_path) -> None:
    data = bytearray(running_table(tmp_path, make_rows(0, 6)))
    data[64 + 6] = data[SYNCED_AT + 6] = 0xFF
    assert read(tmp_path / "copy", bytes(data[: PAGE_BYTES + 6 * STRIDE])).head == 6


def test_a_full_disk_is_said_in_words_and_what_was_appended_stays(tmp_path) -> None:
    writer, rows = TableWriter(tmp_path / "t", ROW), make_rows(0, CHUNK_ROWS + 10)
    with disk_full_after((tmp_path / "t").stat().st_size), pytest.raises(RecordingError, match="no space"):
        writer.append(rows)
    assert writer.head == CHUNK_ROWS
    writer.append(rows[CHUNK_ROWS:])  # somebody has made space
    writer.close()
    assert same(TableReader(tmp_path / "t").rows(), rows)


def test_space_on_the_disk_is_taken_before_the_rows_come(tmp_path) -> None:
    writer = TableWriter(tmp_path / "t", ROW)
    file = (tmp_path / "t").stat()
    writer.close()
    if not hasattr(file, "st_blocks"):
        pytest.skip("this system does not say how much space a file has")
    assert file.st_size >= PAGE_BYTES + CHUNK_ROWS * STRIDE
    assert file.st_blocks * 512 >= file.st_size


def test_rows_of_another_dtype_are_refused(tmp_path) -> None:
    writer = TableWriter(tmp_path / "t", ROW)
    with pytest.raises(TypeError):
        writer.append(np.zeros(1, READING))
    with pytest.raises(ValueError, match="plain numbers"):
        TableWriter(tmp_path / "u", np.dtype([("trace", "<f8", (3,))]))
    writer.close()
    writer.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"formats": ["|O", "<i4"]},
        {"formats": ["<U2", "<i4"]},
        {"formats": ["<i8", "<i4"], "itemsize": 1 << 40},
        {"names": ["a", "a"]},
        {"offsets": [-8, 0]},
        {"offsets": None},
        {"itemsize": 16},
    ],
)
def test_a_first_page_that_describes_objects_or_nonsense_is_refused_in_words(tmp_path, changes) -> None:
    layout = Layout.of(np.dtype([("a", "<i8"), ("b", "<i4")]))
    about = {"names": ["a", "b"], "formats": ["<i8", "<i4"], "offsets": [0, 8], "itemsize": 12, "aligned": False}
    fields = json.dumps(about | changes).encode()
    prefix = struct.pack("<8sIIII", b"CLTABLE\n", 1, layout.row_bytes, layout.stride, len(fields))
    page = (prefix + struct.pack("<I", crc32(prefix + fields))).ljust(192, b"\0") + fields
    with pytest.raises(RecordingError, match="first page"):
        read(tmp_path / "t", page.ljust(PAGE_BYTES, b"\0") + bytes(1000))


# events


def write_events(path, count=4):
    writer = EventWriter(path)
    for i in range(count):
        writer.append("light_on", ticks=i * 10, host_ns=i, train=i, value=i / 7, text='a "check":"00000000"}\nµ')
    writer.close()
    return path.read_bytes()


values = st.none() | st.floats(allow_nan=False) | st.sampled_from([nan, inf, -inf])


@given(st.lists(st.tuples(st.text(), st.none() | st.integers(0, 2**32), st.none() | st.text(), values)))
def test_events_come_back_as_they_were_and_are_plain_json(tmp_path_factory, events) -> None:
    path = tmp_path_factory.mktemp("e") / "e"
    writer = EventWriter(path)
    for kind, train, text, value in events:
        writer.append(kind, ticks=-5, host_ns=2**62, train=train, reason=text, value=value, text=text)
    writer.close()
    got = EventReader(path).events()
    expected = [(i, -5, k, train, text, v, text, 2**62) for i, (k, train, text, v) in enumerate(events)]
    assert repr([tuple(event) for event in got]) == repr(expected)
    for line in path.read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)


def test_an_event_log_cut_at_any_byte_gives_the_whole_lines_before_it(tmp_path) -> None:
    data = write_events(tmp_path / "e")
    for size in range(len(data) + 1):
        (tmp_path / "copy").write_bytes(data[:size])
        reader = EventReader(tmp_path / "copy")
        whole = data[:size].count(b"\n")
        assert len(reader.events()) == whole
        assert reader.cut == size - (data[:size].rfind(b"\n") + 1)


def test_reading_stops_before_a_line_with_a_flipped_byte(tmp_path) -> None:
    data = write_events(tmp_path / "e")
    for at in range(len(data)):
        (tmp_path / "copy").write_bytes(flipped(data, at))
        reader = EventReader(tmp_path / "copy")
        assert len(reader.events()) == data[:at].count(b"\n")
        assert reader.cut == len(data) - (data[:at].rfind(b"\n") + 1)


def test_a_lost_or_repeated_line_is_damage(tmp_path) -> None:
    lines = write_events(tmp_path / "e").splitlines(keepends=True)
    for order, good in (([0, 2, 3], 1), ([0, 1, 1, 2], 2), ([1, 2], 0)):
        (tmp_path / "copy").write_bytes(b"".join(lines[i] for i in order))
        assert len(EventReader(tmp_path / "copy").events()) == good


def test_a_growing_event_log_is_followed_by_number(tmp_path) -> None:
    writer = EventWriter(tmp_path / "e")
    reader, seen = EventReader(tmp_path / "e"), []
    for i in range(5):
        writer.append("note", ticks=i, host_ns=0, text=f"{i}")
        seen += reader.events(after=len(seen) - 1)
    writer.close()
    assert [event.text for event in seen] == ["0", "1", "2", "3", "4"]


def test_an_event_is_written_into_the_space_that_is_made_for_it(tmp_path) -> None:
    resource = pytest.importorskip("resource", reason="no limit on file sizes on this system")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    made = []

    def make_space() -> bool:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        made.append(True)
        return True

    writer = EventWriter(tmp_path / "e", make_space)
    with disk_full_after(20):
        writer.append("trip", ticks=1, host_ns=1)
    writer.close()
    assert [event.kind for event in EventReader(tmp_path / "e").events()] == ["trip"]
    assert made == [True]


def test_an_event_torn_by_a_full_disk_does_not_hide_the_next(tmp_path) -> None:
    writer = EventWriter(tmp_path / "e")
    writer.append("note", ticks=0, host_ns=0)
    with (
        disk_full_after((tmp_path / "e").stat().st_size + 20),
        pytest.raises(RecordingError, match="no space"),
    ):
        writer.append("trip", ticks=1, host_ns=1)
    writer.append("trip", ticks=2, host_ns=2)
    writer.close()
    assert [event.ticks for event in EventReader(tmp_path / "e").events()] == [0, 2]


# sessions


def test_a_session_is_readable_while_it_runs_and_after(tmp_path) -> None:
    folder = create(tmp_path, "M17", NOON)
    writer, rows = begin(folder), make_rows(0, 100)
    writer.append(rows)
    writer.event("detection", ticks=5, host_ns=1, train=1, value=4.5)
    writer.sync()
    recording = Recording.open(folder)
    assert (recording.finished, recording.being_written, recording.summary) == (False, True, None)
    assert same(recording.rows(90), rows[90:])
    writer.close({"ended": "completed", "energy_mj": nan, "n": np.int64(3)})
    writer.close({"ended": "again"})
    assert (recording.finished, recording.being_written) == (True, False)
    assert recording.summary == {"ended": "completed", "energy_mj": None, "n": 3}
    assert recording.header["seed"] == 7
    assert [event.kind for event in recording.events()] == ["detection"]
    assert (folder / "protocol.yaml").read_bytes() == b"a: 1\n"
    assert (folder / "rig.yaml").read_bytes() == b"b: 2\n"


def test_the_stream_of_a_recording_is_its_readings_to_the_last_bit(tmp_path) -> None:
    writer, rows = begin(create(tmp_path, None, NOON)), make_rows(0, 50)
    writer.append(rows)
    writer.close({})
    stream = Recording.open(writer.folder).stream
    assert stream.readings.dtype == READING
    assert all((stream.readings[name] == rows[name]).all() for name in READING.names)
    assert (stream.rate_mhz, stream.nano_units, stream.input_names) == (130_000, 101_220, ("lever",))


def test_looking_at_a_session_changes_nothing(tmp_path) -> None:
    writer = begin(create(tmp_path, None, NOON))
    writer.append(make_rows(0, 10))
    before = fingerprint(tmp_path)
    for _ in range(2):
        recording = Recording.open(writer.folder)
        recording.rows(), recording.events(), recording.table.verify()
        assert recording.being_written
    assert fingerprint(tmp_path) == before
    writer.close({})


KILLED = """
writer = begin(create(Path(sys.argv[3]), None, NOON))
rows = make_rows(0, 400_000)
at = 0
while True:
    size = 1 + at % 3
    writer.append(rows[at : at + size])
    at += size
    if at % 10 == 0:
        writer.event("note", ticks=at, host_ns=0)
    os.write(1, bytes([size]))
"""


@pytest.mark.parametrize("acknowledged", [1, 5_000, 9_001])
def test_no_acknowledged_row_or_event_is_lost_when_the_writer_is_killed(tmp_path, acknowledged) -> None:
    writer = child(KILLED, tmp_path)
    sizes = writer.stdout.read(acknowledged)
    writer.kill()
    sizes += writer.communicate()[0]
    recording = Recording.open(next(tmp_path.glob("sub-test/ses-*")))
    assert (recording.finished, recording.being_written) == (False, False)
    count = recording.table.verify()
    assert sum(sizes) <= count <= sum(sizes) + 3
    assert same(recording.rows(), make_rows(0, 400_000)[:count])
    ends = np.cumsum(list(sizes))
    assert [e.ticks for e in recording.events()][: (ends % 10 == 0).sum()] == list(ends[ends % 10 == 0])
    assert (recording.table.cut, recording.log.cut) == (0, 0)


def test_a_second_writer_is_refused_while_the_first_runs_and_after(tmp_path) -> None:
    writer = begin(create(tmp_path, None, NOON))
    writer.append(make_rows(0, 10))
    for _ in range(2):
        before = fingerprint(tmp_path)
        with pytest.raises(ConfigError, match="already holds a recording"):
            begin(writer.folder)
        assert fingerprint(tmp_path) == before
        writer.close({})


@pytest.mark.parametrize(
    "subject",
    ["", ".", "..", "../x", "a/b", "a\\b", "C:x", "M 17", "M-17", "M_17", "µ", "M17\n", "a\0", "a" * 65],
)
def test_a_subject_cannot_lead_out_of_the_data_folder(tmp_path, subject) -> None:
    with pytest.raises(ConfigError, match="letters and digits"):
        create(tmp_path / "data", subject, NOON)
    assert not list(tmp_path.iterdir())


def test_sessions_in_one_second_get_folders_of_their_own(tmp_path) -> None:
    names = [create(tmp_path, "M17", datetime(2025, 12, 31, 23, 59, 58)).name for _ in range(3)]
    assert names == ["ses-20251231T235958", "ses-20251231T235959", "ses-20260101T000000"]


def test_a_data_folder_that_cannot_be_written_is_said_in_words(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="--out"):
        create(tmp_path / "file", None, NOON)
    with pytest.raises(ConfigError, match="--out"):
        begin(tmp_path / "nowhere")
    with disk_full_after(PAGE_BYTES), pytest.raises(ConfigError, match="--out"):
        begin(create(tmp_path, None, NOON))


def test_a_header_without_what_a_replay_needs_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="nano_units"):
        RecordingWriter.open(tmp_path, header={"rate_mhz": 1}, protocol="", rig="", dtype=ROW)


def test_a_full_disk_does_not_keep_a_session_from_closing(tmp_path) -> None:
    writer = begin(create(tmp_path, None, NOON))
    with disk_full_after((writer.folder / "readings.table").stat().st_size):
        with pytest.raises(RecordingError, match="no space"):
            writer.append(make_rows(0, 2 * CHUNK_ROWS + 1))
        writer.close({"ended": "stopped"})
    assert Recording.open(writer.folder).summary == {"ended": "stopped"}
    assert Recording.open(writer.folder).table.verify() == 2 * CHUNK_ROWS


def test_a_session_on_a_full_disk_gives_up_its_reserve_and_says_so_at_the_next_sync(tmp_path) -> None:
    writer = begin(create(tmp_path, None, NOON))
    assert (writer.folder / "reserve").stat().st_size > 100_000
    writer.sync()
    with disk_full_after(20), pytest.raises(RecordingError, match="no space"):
        writer.event("trip", ticks=1, host_ns=1)
    assert not (writer.folder / "reserve").exists()
    with pytest.raises(RecordingError, match="disk is full"):
        writer.sync()
    writer.close({})
    assert Recording.open(writer.folder).finished


def test_an_ended_session_holds_no_reserve(tmp_path) -> None:
    writer = begin(create(tmp_path, None, NOON))
    writer.close({})
    names = {path.name for path in writer.folder.iterdir()}
    assert names == {
        "header.json",
        "protocol.yaml",
        "rig.yaml",
        "readings.table",
        "health.table",
        "events.jsonl",
        "summary.json",
    }


def edit(header, **changes):
    header.write_text(json.dumps(json.loads(header.read_text()) | changes))


DAMAGES = {
    "newer": (lambda h: edit(h, format_version=2), "newer"),
    "not ours": (lambda h: edit(h, format="other"), "not the header"),
    "rate missing": (lambda h: edit(h, rate_mhz=None), "rate_mhz"),
    "a list": (lambda h: h.write_text("[]"), "not a map"),
    "not text": (lambda h: h.write_bytes(b"\xff\0"), "damaged"),
    "removed": (lambda h: h.unlink(), "header.json is missing"),
    "no table": (lambda h: (h.parent / "readings.table").unlink(), "cannot be opened"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_session_is_one_clear_line(tmp_path, damage) -> None:
    writer = begin(create(tmp_path, None, NOON))
    writer.close({})
    change, phrase = DAMAGES[damage]
    change(writer.folder / "header.json")
    with pytest.raises(RecordingError, match=phrase) as caught:
        Recording.open(writer.folder)
    assert "\n" not in str(caught.value)
    assert str(writer.folder) in str(caught.value)


def test_a_header_cut_at_any_byte_is_an_error_in_words(tmp_path) -> None:
    writer = begin(create(tmp_path, None, NOON))
    writer.close({})
    header = writer.folder / "header.json"
    whole = header.read_bytes()
    for size in range(len(whole) - 2):
        header.write_bytes(whole[:size])
        with pytest.raises(RecordingError):
            Recording.open(writer.folder)


def test_what_is_no_session_folder_is_one_clear_line(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file", str(tmp_path / "nothing")):
        with pytest.raises(RecordingError, match="session folder"):
            Recording.open(path)


def test_a_damaged_summary_does_not_keep_the_rows_from_being_read(tmp_path) -> None:
    writer = begin(create(tmp_path, None, NOON))
    writer.append(make_rows(0, 3))
    writer.close({})
    (writer.folder / "summary.json").write_text("{")
    recording = Recording.open(writer.folder)
    assert len(recording.rows()) == 3
    with pytest.raises(RecordingError, match="damaged"):
        _ = recording.summary
