"""A session that was broken off is closed once, whatever happens meanwhile, and nothing whole in it is changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from test_recording import HEADER, NOON, ROW, STRIDE, disk_full_after, flipped, make_rows

from closedloop import cli
from closedloop.errors import ConfigError, RecordingError
from closedloop.health import HEALTH
from closedloop.recording import Recording, RecordingWriter, create, recover
from closedloop.recording.layout import CHUNK_ROWS, HEAD_AT, PAGE_BYTES, Layout
from closedloop.studies.sessions import Ran

ROWS, EVENTS = 500, 40


def fill(writer: RecordingWriter, rows: int = ROWS, events: int = EVENTS) -> None:
    """Readings, health and events as a session has them; one train is left lit."""
    writer.append(make_rows(0, rows))
    health = np.zeros(10, HEALTH)
    health["host_ns"] = np.arange(10) * 250_000_000 + 5_000_000_000
    health["damaged"] = 3
    writer.health(health)
    for at in range(events):
        kind = ("detection", "command", "light_on", "light_off")[at % 4]
        writer.event(kind, ticks=at, host_ns=at, train=at // 4 + 1)
    writer.event("command", ticks=events, host_ns=0, train=99)
    writer.event("light_on", ticks=events, host_ns=0, train=99)


def broken_off(data: Path, name: str = "a", rows: int = ROWS, **header: object) -> Path:
    """A copy of a session's folder, taken while its engine ran, as a kill leaves it."""
    about = HEADER | {"started_ns": 1_000_000_000, "decisions": ["fire"]} | header
    folder = create(data, name, NOON)
    writer = RecordingWriter.open(folder, header=about, protocol="a: 1\n", rig="b: 2\n", dtype=ROW)
    fill(writer, rows)
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    writer.close({"ended": "completed"})
    (folder / "summary.json").unlink()
    for at, data_of in kept.items():
        (folder / at).write_bytes(data_of)
    (folder / "control.json").write_text('{"port": 1, "token": "x"}')
    return folder


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def seen(folder: Path) -> tuple[str, list[object], str]:
    """All that readers are given."""
    recording = Recording.open(folder)
    rows, health = recording.rows(), recording.health()
    return sha256(rows.tobytes()).hexdigest(), list(recording.events()), sha256(health.tobytes()).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return broken_off(tmp_path)


def test_a_recovered_session_is_finished_and_readers_see_what_they_saw_before(folder: Path) -> None:
    before = seen(folder)
    assert not Recording.open(folder).finished
    assert recover(folder).changed
    recording = Recording.open(folder)
    assert (recording.finished, recording.being_written) == (True, False)
    assert seen(folder) == before
    assert (folder / "readings.table").stat().st_size == PAGE_BYTES + ROWS * STRIDE
    assert not {"control.json", "reserve"} & {path.name for path in folder.iterdir()}


def test_the_summary_says_what_was_saved_and_nothing_that_is_not_known(folder: Path) -> None:
    said = recover(folder).summary
    assert said["ended"] == "broken_off"
    assert "did not close the session" in said["reason"]
    assert said["unfinished_trains"] == 1
    assert said["damaged_frames"] == 3
    assert "sent" not in said
    last_ns = int(make_rows(0, ROWS)["host_ns"][-1])
    silent_s, lasted_s = said["recovered"].pop("silent_s"), said["recovered"].pop("lasted_s")
    assert silent_s == pytest.approx((7_250_000_000 - last_ns) / 1e9)
    assert lasted_s == pytest.approx(6.25)
    whole = {"lost": 0, "apart": 0, "torn_bytes": 0}
    assert said["recovered"] == {
        "readings": {"saved": ROWS, **whole},
        "health": {"saved": 10, **whole},
        "events": {"saved": EVENTS + 2, **whole},
    }


def test_a_second_recover_changes_no_byte_and_no_time_of_a_file(folder: Path) -> None:
    first = recover(folder)
    before = bytes_of(folder), [path.stat().st_mtime_ns for path in sorted(folder.iterdir())]
    second = recover(folder)
    assert (second.changed, second.summary) == (False, first.summary)
    assert (bytes_of(folder), [path.stat().st_mtime_ns for path in sorted(folder.iterdir())]) == before


def test_a_session_that_was_closed_properly_needs_nothing(tmp_path: Path) -> None:
    writer = RecordingWriter.open(
        create(tmp_path, None, NOON), header=HEADER, protocol="", rig="", dtype=ROW
    )  # fmt: skip
    fill(writer)
    writer.close({"ended": "completed", "reason": ""})
    before = bytes_of(writer.folder)
    assert recover(writer.folder) == (False, {"ended": "completed", "reason": ""})
    assert bytes_of(writer.folder) == before


def test_a_running_session_is_refused_and_not_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writer = RecordingWriter.open(create(tmp_path, None, NOON), header=HEADER, protocol="", rig="", dtype=ROW)
    fill(writer)
    before = bytes_of(writer.folder)
    with pytest.raises(ConfigError, match="is running"):
        recover(writer.folder)
    assert cli.main(["recover", str(writer.folder)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert bytes_of(writer.folder) == before
    writer.close({"ended": "completed"})


def test_a_session_is_its_engines_until_the_summary_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = RecordingWriter.open(create(tmp_path, None, NOON), header=HEADER, protocol="", rig="", dtype=ROW)
    fill(writer)
    tried = []
    settle = type(writer._events).close

    def close_events(events: object) -> None:
        settle(events)
        with pytest.raises(ConfigError, match="is running"):
            recover(writer.folder)
        tried.append(True)

    monkeypatch.setattr(type(writer._events), "close", close_events)
    writer.close({"ended": "completed"})
    assert tried
    assert Recording.open(writer.folder).summary == {"ended": "completed"}


def test_of_two_recovers_at_once_one_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = []
    truncate = os.fsync

    def meanwhile(descriptor: int) -> None:
        if not refused:
            refused.append(True)
            with pytest.raises(ConfigError, match="recovered just now"):
                recover(folder)
        truncate(descriptor)

    monkeypatch.setattr(os, "fsync", meanwhile)
    assert recover(folder).changed
    assert refused


def test_a_summary_that_lacked_only_its_name_is_the_engines_own(folder: Path) -> None:
    (folder / "summary.json.part").write_text(json.dumps({"ended": "completed", "reason": "all done", "sent": 500}))
    said = recover(folder).summary
    assert (said["ended"], said["reason"], said["sent"]) == ("completed", "all done", 500)
    assert not list(folder.glob("*.part"))


@pytest.mark.parametrize("torn", ["", "{", '{"ended": "comp', "[]", '{"other": 1}'])
def test_a_summary_that_was_not_whole_is_none(folder: Path, torn: str) -> None:
    (folder / "summary.json.part").write_text(torn)
    assert recover(folder).summary["ended"] == "broken_off"
    assert not list(folder.glob("*.part"))


# what was torn


def test_a_row_that_was_half_written_is_kept_beside(folder: Path) -> None:
    table = folder / "readings.table"
    data, half = table.read_bytes(), make_rows(ROWS, ROWS + 1).tobytes()[:31]
    at = PAGE_BYTES + ROWS * STRIDE
    table.write_bytes(data[:at] + half + data[at + len(half) :])
    before = seen(folder)
    said = recover(folder).summary["recovered"]["readings"]
    kept = (folder / "readings.table.torn").read_bytes()
    assert half.startswith(kept)
    assert half[len(kept) :].strip(b"\0") == b""
    assert (said["saved"], said["torn_bytes"]) == (ROWS, len(kept))
    assert seen(folder) == before


def test_a_whole_row_that_was_not_counted_is_saved(folder: Path) -> None:
    """A power cut may keep a row and lose the page with the counter."""
    table = folder / "readings.table"
    data = bytearray(table.read_bytes())
    data[HEAD_AT : HEAD_AT + 8] = (ROWS - 60).to_bytes(8, "little")
    table.write_bytes(data)
    assert len(Recording.open(folder).rows()) == ROWS
    assert recover(folder).summary["recovered"]["readings"]["saved"] == ROWS
    assert Recording.open(folder).rows().tobytes() == make_rows(0, ROWS).tobytes()


def test_whole_rows_behind_a_page_that_was_lost_stay_where_they_are(folder: Path) -> None:
    table = folder / "readings.table"
    data = table.read_bytes()
    table.write_bytes(data[: 2 * PAGE_BYTES] + bytes(PAGE_BYTES) + data[3 * PAGE_BYTES :])
    before = seen(folder)
    good = PAGE_BYTES // STRIDE
    said = recover(folder).summary["recovered"]["readings"]
    behind = ROWS - -(-2 * PAGE_BYTES // STRIDE)
    assert said == {"saved": good, "lost": ROWS - good, "apart": behind, "torn_bytes": 0}
    assert table.read_bytes()[2 * PAGE_BYTES :] == (bytes(PAGE_BYTES) + data[3 * PAGE_BYTES :])[: ROWS * STRIDE - 4096]
    assert seen(folder) == before


def test_an_event_log_is_cut_after_its_last_whole_line_and_the_rest_kept(folder: Path) -> None:
    log = folder / "events.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"n":42,"ticks":7,"ki' + bytes(100))
    before = seen(folder)
    said = recover(folder).summary["recovered"]["events"]
    assert said == {"saved": EVENTS + 2, "lost": 0, "apart": 0, "torn_bytes": 21}
    assert log.read_bytes() == whole
    assert (folder / "events.jsonl.torn").read_bytes() == b'{"n":42,"ticks":7,"ki'
    assert seen(folder) == before


def test_whole_lines_behind_a_damaged_one_stay_in_the_log(folder: Path) -> None:
    log = folder / "events.jsonl"
    data = log.read_bytes()
    log.write_bytes(flipped(data, data.index(b"\n") + 5))
    said = recover(folder).summary["recovered"]["events"]
    assert (said["saved"], said["apart"], said["torn_bytes"]) == (1, EVENTS, 0)
    assert len(log.read_bytes()) == len(data)


# recover itself is broken off

KILL_AT_EVERY_LINE = """
import os, shutil, sys
from pathlib import Path
from closedloop.recording import cut, recover
from closedloop.recording import folder as files
from closedloop.recording import recovery

origin, places = Path(sys.argv[1]), Path(sys.argv[2])
WATCHED = {module.__file__ for module in (cut, files, recovery)}


def attempt(place, lines):
    left = [lines]

    def each_line(frame, event, argument):
        if event == "line":
            left[0] -= 1
            if left[0] < 0:
                os._exit(9)
        return each_line

    sys.settrace(lambda frame, event, argument: each_line if frame.f_code.co_filename in WATCHED else None)
    recover(place)
    os._exit(0)


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


shutil.copytree(origin, places / "whole")
recover(places / "whole")
wanted, kills, step = bytes_of(places / "whole"), 0, int(sys.argv[3])
while True:
    place = places / str(kills)
    shutil.copytree(origin, place)
    child = os.fork() or attempt(place, kills)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == 0:
        break
    assert code == 9, code
    recover(place)
    assert bytes_of(place) == wanted, kills
    shutil.rmtree(place)
    kills += step
print(kills)
"""


@pytest.mark.skipif(os.name != "posix", reason="no fork")
def test_a_recover_killed_at_any_line_is_finished_by_the_next_with_the_same_bytes(tmp_path: Path) -> None:
    folder = broken_off(tmp_path / "data")
    for name, rows, stride in (("readings.table", ROWS, STRIDE), ("health.table", 10, Layout.of(HEALTH).stride)):
        data, end = (folder / name).read_bytes(), PAGE_BYTES + rows * stride
        (folder / name).write_bytes(data[:end] + b"torn" + data[end + 4 :])
    with (folder / "events.jsonl").open("ab") as file:
        file.write(b'{"n":42,"tic')
    (folder / "summary.json.part").write_text('{"ended"')
    (tmp_path / "places").mkdir()
    step = os.environ.get("CLOSEDLOOP_KILL_STEP", "23")  # 1 takes two minutes
    line = [sys.executable, "-c", KILL_AT_EVERY_LINE, str(folder), str(tmp_path / "places"), step]
    ran = subprocess.run(line, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 100


# what stands in the way


def test_a_full_disk_leaves_a_session_that_can_be_recovered_later(folder: Path) -> None:
    with (folder / "events.jsonl").open("ab") as file:
        file.write(b'{"n":42,"tic')
    before = seen(folder)
    with disk_full_after(1), pytest.raises(RecordingError, match="nothing is lost"):
        recover(folder)
    assert seen(folder) == before
    assert recover(folder).summary["recovered"]["events"]["torn_bytes"] == 12
    assert seen(folder) == before


def test_a_link_to_somebody_elses_file_is_not_cut(folder: Path, tmp_path: Path) -> None:
    thesis = tmp_path / "thesis.txt"
    thesis.write_text("all my work, on one line")
    (folder / "events.jsonl").unlink()
    (folder / "events.jsonl").symlink_to(thesis)
    with pytest.raises(RecordingError, match="link"):
        recover(folder)
    assert thesis.read_text() == "all my work, on one line"


@pytest.mark.parametrize("name", ["header.json", "readings.table", "events.jsonl"])
def test_what_cannot_be_read_is_one_line_exit_5_and_is_left_as_it_is(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / name).unlink()
    before = bytes_of(folder)
    assert cli.main(["recover", str(folder), "--json"]) == 5
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert bytes_of(folder) == before


def test_a_damaged_health_table_is_left_as_it_is_and_the_rest_is_saved(folder: Path) -> None:
    (folder / "health.table").write_bytes(b"no table")
    said = recover(folder).summary
    assert said["recovered"]["health"] is None
    assert said["recovered"]["readings"]["saved"] == ROWS
    assert (folder / "health.table").read_bytes() == b"no table"


def test_a_session_older_than_the_health_table_is_recovered(folder: Path) -> None:
    (folder / "health.table").unlink()
    assert recover(folder).summary["recovered"]["health"] is None


def test_a_session_without_a_single_reading_is_closed(tmp_path: Path) -> None:
    folder = broken_off(tmp_path, rows=0)
    said = recover(folder).summary["recovered"]
    assert said["readings"]["saved"] == 0
    assert said["silent_s"] is None
    assert len(Recording.open(folder).rows()) == 0


def test_rows_beyond_one_chunk_are_saved(tmp_path: Path) -> None:
    folder = broken_off(tmp_path, rows=2 * CHUNK_ROWS + 17)
    before = seen(folder)
    assert recover(folder).summary["recovered"]["readings"]["saved"] == 2 * CHUNK_ROWS + 17
    assert seen(folder) == before


# what is told


def test_a_person_is_told_what_was_saved_and_the_second_time_that_nothing_was_to_be_done(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["recover", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "500 readings saved" in said
    assert "42 events saved" in said
    assert "the end of 1 train is not recorded: the stimulator ended the light by its lease" in said
    assert cli.main(["recover", str(folder)]) == 0
    assert "nothing to do, it was recovered before" in capsys.readouterr().out


def test_a_script_is_told_the_same_in_one_object(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["recover", str(folder), "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert cli.main(["recover", str(folder), "--json"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert (first.pop("changed"), second.pop("changed")) == (True, False)
    assert first == second
    assert first["recovered"]["readings"]["saved"] == ROWS


def test_of_a_blinded_session_nothing_is_told_that_light_would_change(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = broken_off(tmp_path, blinded="K7", decisions=["decided", "test"])
    assert cli.main(["recover", str(folder), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["unfinished_trains"] is None
    assert said["recovered"].keys() == {"readings", "health", "lasted_s", "silent_s"}
    assert cli.main(["recover", str(folder)]) == 0
    assert "train" not in capsys.readouterr().out


def test_a_recovered_session_of_a_study_does_not_count_as_whole(folder: Path) -> None:
    said = recover(folder).summary
    assert not Ran(folder, {}, said["ended"]).whole
