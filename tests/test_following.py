"""A session is followed in short turns: nothing twice, nothing lost, no extreme hidden, whatever lies in the folder."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from math import isnan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from closedloop.health import HEALTH
from closedloop.recording import EventReader, EventWriter, RecordingWriter, TableReader, row_dtype
from closedloop.recording.events import Event, EventTail
from closedloop.steps import STEP
from closedloop.watching import marks as marks_module
from closedloop.watching import traces as traces_module
from closedloop.watching.follower import Follower, Fresh, Stage
from closedloop.watching.marks import Marks
from closedloop.watching.traces import NAMES, Traces

ROW = row_dtype(STEP)
PERIOD_US = 1000
COMMAND = {"on_us": 500_000, "period_us": 1_000_000, "pulses": 2, "level": 65_535, "ramp_off_us": 100_000}
HEADER = {"rate_mhz": 1_000_000, "nano_units": 100_000, "input_names": ["lever", "lick"], "command": COMMAND}
PLANNED_S = 1.6


def make_rows(start, stop, first_us=0):
    rows = np.zeros(stop - start, ROW)
    numbers = np.arange(start, stop)
    rows["ticks"] = first_us + numbers * PERIOD_US
    rows["seq"] = numbers
    rows["signal_lit"] = 20_000 + numbers % 7
    rows["signal_dark"] = 500
    rows["control_lit"] = 10_000
    rows["score"] = np.sin(numbers / 100)
    rows["threshold"] = 3
    return rows


def make_health(start, stop):
    rows = np.zeros(stop - start, HEALTH)
    rows["ticks"] = np.arange(start, stop) * 250_000
    return rows


def begin(folder, **header):
    folder.mkdir(exist_ok=True)
    return RecordingWriter.open(folder, header=HEADER | header, protocol="a: 1\n", rig="b: 2\n", dtype=ROW)


@contextmanager
def running(folder, **header):
    writer = begin(folder, **header)
    try:
        yield writer
    finally:
        writer.close({"ended": "completed"})


def finished(folder, rows=1000):
    with running(folder) as writer:
        writer.append(make_rows(0, rows))
        writer.event("detection", ticks=5000, host_ns=0, train=1, value=4.0)
    return folder


def broken_off(folder, rows=1000):
    """What is left of a session whose engine was killed: no summary, nobody holds the table."""
    finished(folder, rows)
    (folder / "summary.json").unlink()
    return folder


def all_of(follower, most_rows=20_000, turns=1000):
    found = []
    for _ in range(turns):
        found.append(follower.turn(most_rows))
        if follower.loaded == 1.0:
            break
    return found


# events, forwards


def test_a_tail_gives_each_event_once_and_keeps_none(tmp_path) -> None:
    writer = EventWriter(tmp_path / "e")
    tail = EventTail(tmp_path / "e")
    assert tail.more() == []
    for round_ in range(3):
        for at in range(4):
            writer.append("note", ticks=at, host_ns=0, text=f"{round_}")
        assert [event.text for event in tail.more()] == [str(round_)] * 4
        assert tail.more() == []
    writer.close()
    assert tail.count == 12


@settings(max_examples=30, deadline=None)
@given(most=st.integers(1, 400))
def test_however_little_a_tail_reads_at_once_it_gives_all_events_in_order(tmp_path_factory, most) -> None:
    path = tmp_path_factory.mktemp("log") / "e"
    writer = EventWriter(path)
    for at in range(20):
        writer.append("note", ticks=at, host_ns=0, text="x" * (7 * at))
    writer.close()
    tail, got = EventTail(path), []
    while not tail.at_end:
        got += tail.more(most)
    assert got == EventReader(path).events()
    assert tail.cut == 0


def test_a_tail_stops_at_a_torn_line_and_goes_on_when_it_is_whole(tmp_path) -> None:
    writer = EventWriter(tmp_path / "whole")
    for at in range(3):
        writer.append("note", ticks=at, host_ns=0)
    writer.close()
    data = (tmp_path / "whole").read_bytes()
    (tmp_path / "e").write_bytes(data[:-10])
    tail = EventTail(tmp_path / "e")
    assert [event.ticks for event in tail.more()] == [0, 1]
    assert tail.cut > 0
    (tmp_path / "e").write_bytes(data)
    assert [event.ticks for event in tail.more()] == [2]
    assert tail.cut == 0


# the folder


def test_a_session_is_waited_for_then_followed_then_finished(tmp_path) -> None:
    folder = tmp_path / "ses"
    follower = Follower(folder)
    assert len(follower.turn().rows) == 0
    assert follower.stage is Stage.WAITING
    assert "no such folder" in follower.problem
    folder.mkdir()
    follower.turn()
    assert (follower.stage, follower.problem, follower.header) == (Stage.WAITING, "", {})
    with running(folder) as writer:
        follower.turn()
        assert follower.stage is Stage.RUNNING
        assert follower.header["rate_mhz"] == HEADER["rate_mhz"]
        writer.append(make_rows(0, 5))
        assert follower.turn().rows["seq"].tolist() == [0, 1, 2, 3, 4]
        assert len(follower.turn().rows) == 0
        writer.append(make_rows(5, 7))
        assert follower.turn().rows["seq"].tolist() == [5, 6]
        assert follower.summary is None
    follower.turn()
    assert follower.stage is Stage.FINISHED
    assert follower.summary == {"ended": "completed"}
    assert follower.problem == ""


def test_a_turn_reads_no_more_than_it_may_and_nothing_is_lost(tmp_path) -> None:
    follower = Follower(finished(tmp_path / "ses", 1000))
    found = all_of(follower, most_rows=70)
    assert max(len(fresh.rows) for fresh in found) == 70
    assert np.concatenate([fresh.rows for fresh in found]).tobytes() == make_rows(0, 1000).tobytes()
    assert follower.loaded == 1.0


def test_what_is_loaded_is_told_as_a_part(tmp_path) -> None:
    follower = Follower(finished(tmp_path / "ses", 1000))
    assert follower.loaded == 0.0
    follower.turn(250)
    assert follower.loaded == 0.25


def test_events_and_health_come_with_the_rows_of_their_time(tmp_path) -> None:
    with running(tmp_path / "ses") as writer:
        for at in range(10):
            writer.event("note", ticks=at * 100_000, host_ns=0)
        writer.append(make_rows(0, 1000))
        writer.health(make_health(0, 4))
    found = all_of(Follower(tmp_path / "ses"), most_rows=200)
    for fresh in found[:-1]:
        until = fresh.rows["ticks"][-1]
        assert all(until - 200_000 < event.ticks <= until for event in fresh.events)
        assert (fresh.health["ticks"] <= until).all()
    assert [event.n for fresh in found for event in fresh.events] == list(range(10))
    assert np.concatenate([fresh.health for fresh in found])["ticks"].tolist() == [0, 250_000, 500_000, 750_000]


def test_events_after_the_last_reading_are_given_too(tmp_path) -> None:
    with running(tmp_path / "ses") as writer:
        writer.append(make_rows(0, 10))
        writer.event("trip", ticks=10**9, host_ns=0, reason="lease_expired")
    assert [event.kind for fresh in all_of(Follower(tmp_path / "ses")) for event in fresh.events] == ["trip"]


def test_a_recording_older_than_the_health_table_is_read(tmp_path) -> None:
    folder = finished(tmp_path / "ses")
    (folder / "health.table").unlink()
    follower = Follower(folder)
    found = all_of(follower)
    assert sum(len(fresh.rows) for fresh in found) == 1000
    assert (follower.stage, follower.problem) == (Stage.FINISHED, "")


def test_a_broken_off_session_gets_a_fair_chance_before_it_is_called_so(tmp_path) -> None:
    follower = Follower(broken_off(tmp_path / "ses"))
    stages = [(follower.turn(), follower.stage)[1] for _ in range(4)]
    assert stages == [Stage.RUNNING, Stage.RUNNING, Stage.BROKEN_OFF, Stage.BROKEN_OFF]


def test_a_table_that_is_just_being_made_is_waited_for_and_one_left_behind_is_said(tmp_path) -> None:
    (tmp_path / "readings.table").touch()
    follower = Follower(tmp_path)
    for _ in range(10):
        follower.turn()
    assert follower.stage is Stage.WAITING
    assert "lost" not in follower.problem
    for _ in range(100):
        follower.turn()
    assert follower.stage is Stage.UNREADABLE
    assert "never began" in follower.problem


def test_a_session_whose_end_is_being_written_is_not_called_broken_off(tmp_path) -> None:
    with running(tmp_path / "ses"):
        follower = Follower(tmp_path / "ses")
        follower.turn()
    summary = (tmp_path / "ses" / "summary.json").read_bytes()
    (tmp_path / "ses" / "summary.json").unlink()
    for _ in range(10):
        follower.turn()
        assert follower.stage is Stage.RUNNING
    (tmp_path / "ses" / "summary.json").write_bytes(summary)
    follower.turn()
    assert follower.stage is Stage.FINISHED


def test_a_session_that_died_while_it_was_watched_is_called_broken_off_in_the_end(tmp_path) -> None:
    with running(tmp_path / "ses"):
        follower = Follower(tmp_path / "ses")
        follower.turn()
    (tmp_path / "ses" / "summary.json").unlink()
    for _ in range(60):
        follower.turn()
    assert follower.stage is Stage.BROKEN_OFF


@pytest.mark.parametrize(
    ("file", "harm", "words"),
    [
        ("header.json", lambda data: data[:-20], "header.json"),
        ("header.json", lambda data: json.dumps({**json.loads(data), "format_version": 99}).encode(), "newer"),
        ("readings.table", lambda data: data[:100], "first page"),
        ("readings.table", lambda data: b"", "first page"),
        ("readings.table", lambda data: b"X" + data[1:], "not a table"),
    ],
)
def test_what_cannot_be_read_is_said_and_not_raised(tmp_path, file, harm, words) -> None:
    folder = finished(tmp_path / "ses")
    whole = (folder / file).read_bytes()
    (folder / file).write_bytes(harm(whole))
    follower = Follower(folder)
    assert len(follower.turn().rows) == 0
    assert follower.stage is Stage.UNREADABLE
    assert words in follower.problem
    assert len(follower.rows(0, 10)) == 0
    (folder / file).write_bytes(whole)
    assert len(follower.turn().rows) == 1000
    assert (follower.stage, follower.problem) == (Stage.FINISHED, "")


@pytest.mark.parametrize("file", ["events.jsonl", "health.table", "summary.json"])
def test_damage_beside_the_table_is_said_and_the_readings_are_shown(tmp_path, file) -> None:
    folder = finished(tmp_path / "ses")
    (folder / file).write_bytes(b"damaged\n")
    follower = Follower(folder)
    assert len(follower.turn().rows) == 1000
    for _ in range(5):
        follower.turn()
    assert follower.stage is (Stage.BROKEN_OFF if file == "summary.json" else Stage.FINISHED)
    assert "copy" in follower.problem


def test_a_missing_log_is_said_and_the_readings_are_shown(tmp_path) -> None:
    folder = finished(tmp_path / "ses")
    (folder / "events.jsonl").unlink()
    follower = Follower(folder)
    assert len(follower.turn().rows) == 1000
    assert "events.jsonl" in follower.problem


def test_a_table_that_shrinks_and_a_folder_that_vanishes_do_not_raise(tmp_path) -> None:
    folder = finished(tmp_path / "ses")
    follower = Follower(folder)
    follower.turn(500)
    table = folder / "readings.table"
    table.write_bytes(table.read_bytes()[:20_000])
    for _ in range(3):
        assert len(follower.turn().rows) == 0
    assert "lost or damaged" in follower.problem
    assert 0 < len(follower.rows(0, 500)) < 500
    shutil.rmtree(folder)
    for _ in range(3):
        assert follower.turn().events == []
    assert follower.stage is Stage.UNREADABLE
    assert "the folder is gone" in follower.problem
    assert len(follower.rows(0, 500)) == 0


def test_a_folder_of_other_things_and_a_file_are_told_from_a_session(tmp_path) -> None:
    (tmp_path / "letter.txt").write_text("dear all")
    follower = Follower(tmp_path)
    follower.turn()
    assert "not a session folder" in follower.problem
    follower = Follower(tmp_path / "letter.txt")
    follower.turn()
    assert "a file" in follower.problem


def test_following_changes_nothing_and_the_size_is_that_of_the_files(tmp_path) -> None:
    folder = finished(tmp_path / "ses")
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    follower = Follower(folder)
    all_of(follower)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()} == before
    assert follower.size_bytes == sum((folder / name).stat().st_size for name in ("readings.table", "events.jsonl"))


# traces


def shrink(patch):
    """Memory so small that a few thousand readings fill it: the same code, and a session of hours in no time."""
    for name, value in (("_NEWEST", 256), ("_MOST_CELLS", 128), ("_PAGE", 64), ("_MOST_ROWS", 256)):
        patch.setattr(traces_module, name, value)


@pytest.fixture
def small(monkeypatch):
    shrink(monkeypatch)


def traces_of(rows, cuts=(), header=HEADER):
    traces = Traces(header, lambda start, stop: rows[start:stop])
    for part in np.split(rows, sorted(cuts)):
        traces.add(part)
    return traces


def test_curves_are_in_volts_and_what_is_unknown_is_nan() -> None:
    rows = make_rows(0, 100)
    rows["flags"][50:] = 16
    rows["score"][:10] = np.nan
    traces = traces_of(rows)
    x, y = traces.curve("signal", 0, 1, 1000)
    assert x.tolist() == (rows["ticks"] / 1e6).tolist()
    np.testing.assert_allclose(y, (rows["signal_lit"] - 500) * 1e-4, rtol=1e-6)
    assert np.isnan(traces.curve("control", 0, 1, 1000)[1]).tolist() == [False] * 50 + [True] * 50
    assert np.isnan(traces.curve("score", 0, 1, 1000)[1]).tolist() == [True] * 10 + [False] * 90
    assert isnan(traces.latest("control"))
    assert traces.latest("score") == rows["score"][-1]
    assert (traces.last_s, traces.duration_s) == (0.099, 0.1)


def test_nothing_is_known_before_the_first_reading() -> None:
    traces = Traces({}, lambda start, stop: make_rows(0, 0))
    for name in NAMES:
        x, y = traces.curve(name, 0, 10, 100)
        assert len(x) == len(y) == 0
        assert traces.extent(name, 0, 10) is None
        assert isnan(traces.latest(name))
    assert (traces.rows, traces.last_s, traces.duration_s) == (0, 0.0, 0.0)


def test_a_difference_of_counts_beyond_31_bits_does_not_wrap() -> None:
    rows = make_rows(0, 2)
    rows["signal_lit"], rows["signal_dark"] = 2**31 - 1, -(2**31)
    assert traces_of(rows).latest("signal") == pytest.approx((2**32 - 1) * 1e-4)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_transient_of_a_single_reading_is_lost_at_any_zoom(data) -> None:
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        count = data.draw(st.integers(1, 3000))
        at = data.draw(st.integers(0, count - 1))
        rows = make_rows(0, count)
        rows["score"][at] = data.draw(st.sampled_from([100.0, -100.0]))
        traces = traces_of(rows, data.draw(st.lists(st.integers(0, count), max_size=6)))
        at_s = at * PERIOD_US / 1e6
        since = at_s - data.draw(st.floats(0, 4))
        until = at_s + data.draw(st.floats(0, 4))
        points = data.draw(st.integers(16, 400))
        x, y = traces.curve("score", since, until, points)
    assert len(x) == len(y) <= 2 * points
    found = np.flatnonzero(y == rows["score"][at])
    assert len(found)
    column_s, cell_s = (until - since) / (2 * points / 3 - 4), 0.064
    assert abs(x[found] - at_s).min() <= column_s + cell_s


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_gap_wider_than_a_column_is_a_break_in_the_curve_and_nothing_else_is(data) -> None:
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        count = data.draw(st.integers(2, 3000))
        at = data.draw(st.integers(1, count - 1))
        gap_s = data.draw(st.sampled_from([0.0, 0.05, 0.5, 5.0]))
        rows = make_rows(0, count)
        rows["ticks"][at:] += round(gap_s * 1e6)
        traces = traces_of(rows)
        points = data.draw(st.integers(64, 400))
        x, y = traces.curve("score", 0, traces.last_s, points)
    holes = x[np.isnan(y)]
    before, after = rows["ticks"][at - 1] / 1e6, rows["ticks"][at] / 1e6
    assert all(before < hole < after for hole in holes)
    if gap_s and gap_s > 2 * traces.last_s / (2 * points / 3 - 4):
        assert len(holes) == 1


def test_one_missing_reading_is_a_break_where_readings_are_told_apart() -> None:
    rows = np.delete(make_rows(0, 100), 50)
    x, y = traces_of(rows).curve("score", 0.04, 0.06, 500)
    assert np.isnan(y).sum() == 1
    assert x[np.isnan(y)] == pytest.approx(0.050)


def test_times_increase_and_the_line_comes_from_outside_the_range(small) -> None:
    traces = traces_of(make_rows(0, 3000))
    for since, until in ((0.5, 0.6), (1.5, 2.9), (2.95, 2.96), (0.0, 3.0), (-5.0, 10.0)):
        x, _ = traces.curve("signal", since, until, 64)
        assert (np.diff(x) >= 0).all()
        assert x[0] <= max(since, 0)
        assert x[-1] >= min(until, traces.last_s)


def test_a_past_range_is_read_from_the_recording_once(small) -> None:
    rows, fetched = make_rows(0, 3000), []

    def fetch(start, stop):
        fetched.append((start, stop))
        return rows[start:stop]

    traces = Traces(HEADER, fetch)
    traces.add(rows)
    x, y = traces.curve("score", 1.0, 1.02, 64)
    inside = (x >= 1.0) & (x <= 1.02)
    np.testing.assert_allclose(y[inside], rows["score"][1000:1021], rtol=1e-6)
    count = len(fetched)
    for _ in range(10):
        traces.curve("signal", 1.0, 1.02, 64)
        traces.curve("score", 1.001, 1.021, 64)
    assert len(fetched) == count > 0


def test_a_recording_that_cannot_be_read_again_is_shown_as_far_as_it_is_known(small) -> None:
    rows = make_rows(0, 3000)
    rows["score"][1000] = 50
    traces = Traces(HEADER, lambda start, stop: rows[:0])
    traces.add(rows)
    _, y = traces.curve("score", 0.95, 1.05, 200)
    assert np.nanmax(y) == 50


def test_rows_in_pieces_make_the_same_curves_as_rows_at_once(small) -> None:
    rows = make_rows(0, 2500)
    whole = traces_of(rows)
    pieces = traces_of(rows, range(1, 2500, 33))
    for since, until in ((0, 2.5), (2.3, 2.5), (0.4, 0.5)):
        for name in NAMES:
            for one, other in zip(
                whole.curve(name, since, until, 48), pieces.curve(name, since, until, 48), strict=True
            ):
                np.testing.assert_array_equal(one, other)


def test_the_columns_do_not_move_when_the_range_does() -> None:
    rows = make_rows(0, 20_000)
    rows["score"] = np.random.default_rng(3).normal(size=len(rows))
    traces = traces_of(rows)
    x, y = traces.curve("score", 5.0, 15.0, 200)
    moved_x, moved_y = traces.curve("score", 5.003, 15.003, 200)
    drawn = set(zip(x.tolist(), y.tolist(), strict=True))
    moved = set(zip(moved_x.tolist(), moved_y.tolist(), strict=True))
    assert len(drawn & moved) > 0.95 * len(drawn)


def test_an_axis_follows_a_transient_and_not_an_unplugged_fibre() -> None:
    rows = make_rows(0, 10_000)
    rows["score"] = np.random.default_rng(4).normal(size=len(rows))
    rows["score"][5000] = 30
    rows["signal_lit"][7000] = 0
    traces = traces_of(rows)
    assert traces.extent("score", 0, 10)[1] == 30
    low, high = traces.extent("signal", 0, 10)
    assert 1.9 < low < high < 2.0


def test_memory_of_traces_does_not_grow_with_the_session(small) -> None:
    traces = Traces(HEADER, make_rows)
    sizes = []
    for start in range(0, 60_000, 500):
        traces.add(make_rows(start, start + 500))
        traces.curve("score", 0, traces.last_s, 64)
        traces.curve("score", start / 2000, start / 2000 + 0.05, 64)
        sizes.append(len(traces._newest.cells.first) + len(traces._overview.cells.first) + len(traces._pages._pages))
    assert max(sizes) <= 512 + 128 + traces_module._MOST_PAGES


def test_older_rows_without_some_fields_are_shown_as_far_as_they_go() -> None:
    rows = np.zeros(10, [("ticks", "<i8"), ("signal_lit", "<i4"), ("signal_dark", "<i4")])
    rows["ticks"] = np.arange(10) * PERIOD_US
    traces = traces_of(rows)
    assert np.isnan(traces.curve("feature", 0, 1, 100)[1]).all()
    assert len(traces.curve("signal", 0, 1, 100)[1]) == 10


# marks


class Log:
    """Events as a recording has them, and the marks they make."""

    def __init__(self, header=HEADER) -> None:
        self.marks = Marks(header)
        self._n = 0

    def add(self, kind, at_s, *, train=None, reason=None, value=None, text=None):
        event = Event(self._n, round(at_s * 1e6), kind, train, reason, value, text, 0)
        self._n += 1
        self.marks.add(Fresh(make_rows(0, 0), [event], np.zeros(0, HEALTH)))
        return self

    def rows_until(self, at_s):
        number = round(at_s * 1000)
        self.marks.add(Fresh(make_rows(number, number + 1), [], np.zeros(0, HEALTH)))
        return self

    def spans(self, kind, since_s=0, until_s=1e6, most=400):
        return [(s.since_s, s.until_s, s.label, s.train) for s in self.marks.spans(kind, since_s, until_s, most)]

    def train(self, number, at_s, decision="fire"):
        self.add("decision", at_s, train=number, reason=decision)
        self.add("command", at_s, train=number, value=80.0)
        return self.add("light_on", at_s + 0.002, train=number, value=1300.0)


def test_light_lasts_from_the_first_light_told_to_the_last() -> None:
    log = Log().train(1, 10)
    assert log.spans("light") == [(10.002, None, "fire", 1)]
    log.add("light_off", 11.602, train=1, value=1.1e6)
    assert log.spans("light") == [(10.002, 11.602, "fire", 1)]
    assert log.spans("light", 11.7, 20) == log.spans("light", 0, 9) == []
    assert len(log.spans("light", 11, 11.1)) == 1


def test_light_cut_short_says_why() -> None:
    log = Log().train(1, 10).add("light_off", 10.5, train=1, value=5e5, reason="host_dark")
    assert log.spans("light") == [(10.002, 10.5, "fire, cut short: host dark", 1)]


def test_light_whose_end_was_never_told_ends_by_plan_and_a_late_word_counts() -> None:
    log = Log().train(1, 10).rows_until(11)
    assert log.spans("light")[0][1] is None
    log.rows_until(13)
    assert log.spans("light")[0][1] == pytest.approx(10.002 + PLANNED_S)
    log.add("light_off", 11.0, train=1, value=1e6)
    assert log.spans("light")[0][1] == 11.0


def test_light_that_goes_on_when_the_session_is_over_ended_by_plan() -> None:
    log = Log().train(1, 10)
    log.marks.end()
    assert log.spans("light")[0][1] == pytest.approx(10.002 + PLANNED_S)


def test_light_that_the_trigger_line_began_is_light_too() -> None:
    log = Log().add("light_on", 3, train=2**31 + 1, reason="on_board").add("light_off", 4, train=2**31 + 1)
    assert log.spans("light") == [(3.0, 4.0, "on board", 2**31 + 1)]
    assert log.marks.happenings()[1].words == "light on, on-board train 1, begun by the trigger line"


def test_a_dark_decision_of_any_name_has_a_kind_of_its_own_for_as_long_as_its_train() -> None:
    log = Log().add("decision", 5, train=1, reason="yoked_sham")
    assert log.spans("yoked_sham") == [(5.0, 5.0 + PLANNED_S, "yoked sham", 1)]
    assert "yoked_sham" in log.marks.kinds
    assert "light" not in log.marks.kinds


def test_a_refused_dark_decision_is_refused_and_no_sham() -> None:
    log = Log().add("decision", 5, train=1, reason="sham").add("refused", 5, train=1, reason="refractory")
    assert log.spans("sham") == []
    assert log.spans("refused") == [(5.0, 5.0, "refractory", 1)]


def test_vetoes_follow_one_another_until_they_are_over() -> None:
    log = Log().add("note", 1, reason="no_signal").add("note", 2, reason="saturated")
    assert log.spans("veto") == [(1.0, 2.0, "no signal", None), (2.0, None, "saturated", None)]
    log.add("note", 3, reason="veto_over")
    assert log.spans("veto")[-1] == (2.0, 3.0, "saturated", None)
    assert log.spans("note") == []


def test_a_gap_reaches_from_reading_to_reading() -> None:
    log = Log().add("gap", 2, reason="missing", value=12.0).add("gap", 3, reason="missing", value=1.0)
    assert log.spans("gap") == [
        (pytest.approx(1.987), 2.0, "12 readings missing", None),
        (pytest.approx(2.998), 3.0, "1 reading missing", None),
    ]


def test_inputs_are_spans_also_when_high_from_the_beginning() -> None:
    marks = Marks(HEADER)
    assert marks.kinds == ("input:lever", "input:lick")
    rows = make_rows(0, 10)
    rows["inputs"] = 2
    events = [
        Event(0, 4_000_000, "input", None, "lick", 0.0, None, 0),
        Event(1, 5_000_000, "input", None, "lever", 1.0, None, 0),
        Event(2, 6_000_000, "input", None, "digital_3", 1.0, None, 0),
    ]
    marks.add(Fresh(rows, events, np.zeros(0, HEALTH)))
    assert [tuple(span[1:3]) for span in marks.spans("input:lick", 0, 10)] == [(0.0, 4.0)]
    assert [tuple(span[1:3]) for span in marks.spans("input:lever", 0, 10)] == [(5.0, None)]
    assert marks.kinds[-1] == "input:digital_3"


@pytest.mark.parametrize(
    ("event", "kind", "words"),
    [
        ({"kind": "detection", "value": 4.21}, "detection", "detection, score 4.21"),
        ({"kind": "decision", "reason": "fire", "train": 12}, "decision", "fire decided, train 12"),
        (
            {"kind": "command", "value": 85.0, "train": 12},
            "command",
            "train 12 commanded, 85 µs after its reading",
        ),
        (
            {"kind": "light_on", "value": 1300.0, "train": 12},
            "light",
            "light on, train 12, 1.3 ms after the command",
        ),
        ({"kind": "light_on", "train": 12}, "light", "light on, train 12"),
        (
            {"kind": "light_off", "value": 1e6, "train": 12, "reason": "lease_expired"},
            "light",
            "light off, train 12, lit 1 s, cut short: lease expired",
        ),
        (
            {"kind": "refused", "reason": "busy", "train": 3, "text": "by the stimulator"},
            "refused",
            "train 3 refused: busy (by the stimulator)",
        ),
        ({"kind": "input", "reason": "lever", "value": 1.0}, "input", "lever high"),
        ({"kind": "trip", "reason": "lease_expired"}, "trip", "the stimulator tripped: lease expired"),
        ({"kind": "note", "reason": "no_signal"}, "veto", "not fit to act on: no signal"),
        ({"kind": "note", "reason": "remark", "text": "rears"}, "note", "rears"),
        (
            {"kind": "note", "reason": "threshold", "value": 2.5, "text": "release 1.5"},
            "note",
            "threshold set to 2.5, release 1.5",
        ),
        ({"kind": "note", "reason": "armed", "text": "the stimulator is armed"}, "note", "the stimulator is armed"),
        ({"kind": "anchor", "reason": "lap", "text": "third"}, "anchor", "anchor lap third"),
    ],
)
def test_a_happening_is_told_in_words(event, kind, words) -> None:
    log = Log()
    log.add(event.pop("kind"), 1, **event)
    assert [(h.n, h.at_s, h.kind, h.words) for h in log.marks.happenings()] == [(0, 1.0, kind, words)]
    assert log.marks.happening_kinds == (kind,)


def test_bounds_set_by_hand_are_known_apart_from_remarks() -> None:
    log = Log().add("note", 1, reason="remark", text="release 9")
    log.add("note", 2, reason="threshold", value=2.5, text="release 1.5")
    assert list(log.marks.releases) == [(2.0, 1.5)]


def test_happenings_come_newest_first_of_one_kind_or_of_all() -> None:
    log = Log()
    for at in range(10):
        log.add("detection" if at % 2 else "trip", at)
    assert [h.n for h in log.marks.happenings(most=3)] == [9, 8, 7]
    assert [h.n for h in log.marks.happenings("trip", 3)] == [8, 6, 4]
    assert log.marks.happenings("gap", 3) == []


def test_too_many_spans_for_a_picture_are_put_together_and_cover_the_same_time() -> None:
    log = Log()
    for at in range(1000):
        log.add("detection", at)
    spans = log.spans("detection", 0, 1000, most=50)
    assert 40 <= len(spans) <= 51
    assert (spans[0][0], spans[-1][1]) == (0.0, 999.0)
    assert spans[0][2].endswith("× detection")
    assert sum(int(span[2].split()[0]) for span in spans) == 1000
    assert len(log.spans("detection", 10, 20, most=50)) == 11


def test_memory_of_marks_does_not_grow_with_the_session(monkeypatch) -> None:
    monkeypatch.setattr(marks_module, "_MOST_SPANS", 256)
    monkeypatch.setattr(marks_module, "_MOST_HAPPENINGS", 100)
    monkeypatch.setattr(marks_module, "_MOST_OF_KIND", 50)
    log = Log()
    for at in range(3000):
        log.train(at + 1, 10 * at).add("light_off", 10 * at + 1, train=at + 1)
    lane = log.marks._lanes["light"]
    assert len(lane._since) == 256
    assert lane._many[: lane._count].sum() == 3000
    assert (np.diff(lane._since[: lane._count]) > 0).all()
    assert log.spans("light", 29_990, 30_000) == [(29990.002, 29991.0, "fire", 3000)]
    assert len(log.marks.happenings(most=10_000)) == 100
    assert len(log.marks.happenings("light", 10_000)) == 50
    assert len(log.marks._decided) <= 64


def test_a_real_session_is_told_the_same_live_and_afterwards(tmp_path) -> None:
    live, marks = Follower(tmp_path / "ses"), Marks(HEADER)
    with running(tmp_path / "ses") as writer:
        for second in range(10):
            writer.append(make_rows(second * 1000, (second + 1) * 1000))
            ticks = second * 1_000_000
            writer.event("decision", ticks=ticks, host_ns=0, train=second + 1, reason="fire")
            writer.event("light_on", ticks=ticks + 2000, host_ns=0, train=second + 1, value=1000.0)
            writer.event("light_off", ticks=ticks + 500_000, host_ns=0, train=second + 1, value=498_000.0)
            marks.add(live.turn())
    afterwards, later = Follower(tmp_path / "ses"), Marks(HEADER)
    for fresh in all_of(afterwards, most_rows=333):
        later.add(fresh)
    assert later.spans("light", 0, 10) == marks.spans("light", 0, 10)
    assert later.happenings(most=100) == marks.happenings(most=100)
    assert len(later.spans("light", 0, 10)) == 10
    assert len(TableReader(tmp_path / "ses" / "readings.table").rows()) == 10_000
