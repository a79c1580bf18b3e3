"""The preview: a re-run is the loop itself, is told in words, and leaves no process behind. Recordings are real."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import numpy as np
import pytest
from plans import NANO_UNITS, RATE_HZ, noise, readings, with_events
from PyQt6.QtCore import QPoint, QProcess, Qt
from pytestqt.qtbot import QtBot

from closedloop.dashboard.inputs.bounds import Bounds
from closedloop.dashboard.inputs.preview import Preview
from closedloop.dashboard.inputs.preview_words import footnote, result
from closedloop.detectors.cusum import Cusum
from closedloop.detectors.rate import EventRate
from closedloop.detectors.threshold import Threshold
from closedloop.features.dff import Dff
from closedloop.limits import effective
from closedloop.loop import Loop
from closedloop.policies.closed_loop import ClosedLoop
from closedloop.policies.sham import Sham
from closedloop.protocol import Protocol
from closedloop.quality import Quality
from closedloop.recording import RecordingWriter, row_dtype
from closedloop.steps import STEP, told
from closedloop.train import Refusal, Train
from closedloop.watching import preview
from closedloop.watching.watch import Watch
from closedloop.yaml_file import dump

ROW = row_dtype(STEP)
LIMITS = effective(lease_s=0.25)
SECONDS = 60.0
EVENTS_S = [15.0, 20.0, 20.9, 30.0, 40.0, 50.0]
SIZES = [0.08, 0.08, 0.08, 0.03, 0.08, 0.03]
ANSWERED_MS = 60_000  # the first answer waits for the compiler


def protocol(**changes) -> Protocol:
    fields = {
        "version": 1,
        "name": "two sizes",
        "warm_up": 8.0,
        "duration": SECONDS,
        "features": (Dff(baseline=10.0),),
        "detector": Threshold(threshold=10.0, release=3.0, window=5.0),
        "policy": ClosedLoop(refractory=2.0),
        "light": Train(on=0.2),
        "quality": Quality(settle=1.0),
    }
    return Protocol(**(fields | changes))


def signal(seconds=SECONDS):
    made = noise(seconds)
    for at_s, size in zip(EVENTS_S, SIZES, strict=True):
        made = with_events(made, [at_s], size)
    return made


def as_run(made: Protocol, rows):
    return Loop(made.plan(LIMITS, None), rate_hz=RATE_HZ, nano_units=NANO_UNITS).run(rows)


@dataclass
class Recorded:
    folder: Path
    fires_s: list[float]
    refused: dict[str, int]


def write(folder: Path, made: Protocol, seconds=SECONDS, **header) -> Recorded:
    """A session as the loop itself decides it, recorded and closed."""
    rows = readings(signal(seconds))
    steps = as_run(made, rows)
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        "rate_mhz": round(RATE_HZ * 1000),
        "nano_units": NANO_UNITS,
        "input_names": [],
        "limits": LIMITS._asdict(),
        "full_power_mw": None,
        "protocol": made.model_dump(mode="json"),
        "decisions": list(made.policy.decisions),
    }
    writer = RecordingWriter.open(folder, header=about | header, protocol=dump(made), rig="name: r\n", dtype=ROW)
    table = np.zeros(len(rows), ROW)
    for source in (rows, steps):
        for name in set(source.dtype.names) & set(ROW.names):
            table[name] = source[name]
    writer.append(table)
    fires_s, refused = [], {}
    for at in np.flatnonzero(steps["train"]):
        step, ticks = steps[at], int(rows["ticks"][at])
        why = Refusal(step["refused"])
        for kind, reason, value in told(step, made.policy.decisions, why):
            writer.event(kind, ticks=ticks, host_ns=0, train=int(step["train"]), reason=reason, value=value)
        if why:
            refused[why.name.lower()] = refused.get(why.name.lower(), 0) + 1
        elif step["decision"]:
            fires_s.append(ticks / 1e6)
    writer.close({"ended": "completed"})
    return Recorded(folder, fires_s, refused)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Recorded:
    return write(tmp_path_factory.mktemp("session"), protocol())


# The re-run


def test_the_setting_in_force_gives_again_what_the_session_did(recorded):
    said = preview.Rerun(recorded.folder).answer(10.0, 3.0, 5.0)

    assert len(recorded.fires_s) >= 3
    assert said["fires"] == pytest.approx(recorded.fires_s)
    assert said["refused"] == recorded.refused == {"refractory": 1}
    assert said["exact"] is True
    assert said["problem"] is None


def test_a_lower_threshold_finds_the_smaller_events_as_a_session_with_it_would(recorded, tmp_path):
    lower = write(tmp_path / "lower", protocol(detector=Threshold(threshold=4.5, release=2.0, window=5.0)))

    said = preview.Rerun(recorded.folder).answer(4.5, 2.0, 5.0)

    assert said["fires"] == pytest.approx(lower.fires_s)
    assert len(said["fires"]) > len(recorded.fires_s)


def test_only_the_last_minutes_are_told_but_the_loop_remembers_what_was_before(recorded):
    said = preview.Rerun(recorded.folder).answer(10.0, 3.0, 0.5)

    assert said["since_s"] == pytest.approx(said["until_s"] - 30.0)
    assert said["fires"] == pytest.approx([at_s for at_s in recorded.fires_s if at_s >= said["since_s"]])
    assert said["per_min"] == pytest.approx(len(said["fires"]) * 2)


def test_scores_are_counted_over_the_minutes_asked_for_alone(recorded):
    rerun = preview.Rerun(recorded.folder)

    few, many = (sum(rerun.answer(10.0, 3.0, minutes)["scores"]["counts"]) for minutes in (0.25, 0.5))

    assert 0 < few < many < 0.5 * 60 * RATE_HZ


def test_of_a_long_session_the_end_is_the_same_though_its_beginning_is_left_out(tmp_path, monkeypatch):
    short = {"detector": Threshold(threshold=10.0, release=3.0, window=1.0), "features": (Dff(baseline=1.0),)}
    session = write(tmp_path / "long", protocol(**short), seconds=700.0)
    whole = preview.Rerun(session.folder).answer(10.0, 3.0, 0.5)
    monkeypatch.setattr(preview, "MOST_ROWS_FROM_START", 1000)

    part = preview.Rerun(session.folder).answer(10.0, 3.0, 0.5)

    assert (whole["exact"], part["exact"]) == (True, False)
    assert part["fires"] == whole["fires"]


def test_parts_that_keep_what_a_session_began_with_are_named_where_its_beginning_is_left_out(tmp_path, monkeypatch):
    rate = EventRate(event=0.04, baseline=20.0, window=1.0)
    session = write(tmp_path / "long", protocol(features=(Dff(baseline=1.0),), detector=rate), seconds=700.0)
    assert preview.Rerun(session.folder).answer(4.0, 2.0, 0.5)["relearned"] == []
    monkeypatch.setattr(preview, "MOST_ROWS_FROM_START", 1000)

    part = preview.Rerun(session.folder).answer(4.0, 2.0, 0.5)

    assert part["relearned"] == ["rate"]
    assert "rate learned anew" in footnote(part)


def test_a_threshold_that_was_computed_can_be_moved_and_its_cap_stays(tmp_path):
    cusum = Cusum(mean=0.0, sd=0.005, false_alarms=1.0)
    session = write(tmp_path / "computed", protocol(detector=cusum))
    threshold, release = cusum.bounds(RATE_HZ)
    rerun = preview.Rerun(session.folder)

    there, beyond = rerun.answer(threshold, release, 5.0), rerun.answer(2 * threshold + 1000, release, 5.0)

    assert there["fires"] == pytest.approx(session.fires_s)
    assert len(session.fires_s) >= 3
    assert beyond["fires"] == []
    assert result(Bounds(threshold, release), there).startswith(f"at {threshold:.4g} nats")


def test_rows_recorded_between_two_questions_are_in_the_second_answer(tmp_path):
    made = protocol()
    rows = readings(signal())
    folder = tmp_path / "running"
    folder.mkdir()
    about = {"rate_mhz": 100_000, "nano_units": NANO_UNITS, "input_names": [], "limits": LIMITS._asdict()}
    about["full_power_mw"] = None
    writer = RecordingWriter.open(folder, header=about, protocol=dump(made), rig="name: r\n", dtype=ROW)
    table = np.zeros(len(rows), ROW)
    for name in rows.dtype.names:
        table[name] = rows[name]
    writer.append(table[:2500])
    rerun = preview.Rerun(folder)
    first = rerun.answer(10.0, 3.0, 5.0)
    writer.append(table[2500:])
    second = rerun.answer(10.0, 3.0, 5.0)
    writer.close({"ended": "completed"})

    assert first["fires"] == [at_s for at_s in second["fires"] if at_s <= first["until_s"]]
    assert len(second["fires"]) > len(first["fires"])


def test_a_sham_policy_is_told_by_its_own_decision(tmp_path):
    session = write(tmp_path / "sham", protocol(policy=Sham(refractory=2.0)))

    said = preview.Rerun(session.folder).answer(10.0, 3.0, 5.0)

    assert said["decision"] == "sham"
    assert said["fires"] == pytest.approx(session.fires_s)


# Questions and answers


def answers(folder: Path, *questions: str) -> list[dict]:
    out = io.StringIO()
    preview.serve(folder, io.StringIO("".join(f"{question}\n" for question in questions)), out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("nonsense", "line of JSON"),
        ("[1]", "line of JSON"),
        ('{"threshold": 4}', "release"),
        ('{"threshold": "high", "release": 2}', "high"),
        ('{"threshold": 2, "release": 4}', "release (4) must not lie above threshold (2)"),
        ('{"threshold": NaN, "release": 1}', "finite"),
        ('{"threshold": 4, "release": 2, "minutes": 0}', "minutes"),
    ],
)
def test_a_question_that_is_none_is_answered_in_words_and_the_next_one_counts(recorded, question, said):
    wrong, right = answers(recorded.folder, question, '{"threshold": 10, "release": 3}')

    assert said in wrong["problem"]
    assert right["problem"] is None


def test_a_folder_that_is_no_session_is_said_in_words(tmp_path):
    (said,) = answers(tmp_path / "nowhere", '{"threshold": 10, "release": 3}')

    assert "there is no such session folder" in said["problem"]


def test_a_protocol_of_another_version_is_said_in_words(tmp_path):
    session = write(tmp_path / "session", protocol())
    (session.folder / "protocol.yaml").write_text("version: 1\nname: x\n")

    (said,) = answers(session.folder, '{"threshold": 10, "release": 3}')

    assert "missing field" in said["problem"]


def test_a_header_without_limits_is_said_in_words(tmp_path):
    session = write(tmp_path / "session", protocol(), limits=None)

    (said,) = answers(session.folder, '{"threshold": 10, "release": 3}')

    assert "header.json: has no limits" in said["problem"]


def test_the_process_answers_line_by_line_and_ends_with_its_input(recorded):
    asked = '{"threshold": 10, "release": 3}\n{"threshold": 4.5, "release": 2}\n'
    done = subprocess.run(
        [sys.executable, "-m", "closedloop.watching.preview", str(recorded.folder)],
        input=asked,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    first, second = (json.loads(line) for line in done.stdout.splitlines())

    assert first["fires"] == pytest.approx(recorded.fires_s)
    assert len(second["fires"]) > len(first["fires"])
    assert done.stderr == ""


# The panel


@pytest.fixture
def panel(qtbot: QtBot) -> Iterator[Preview]:
    made = Preview()
    qtbot.addWidget(made)
    made.resize(400, 430)
    made.show()
    yield made
    made.stop()


def watched(folder: Path) -> Watch:
    watch = Watch(folder)
    for _ in range(10):
        watch.turn(0)
    return watch


def test_without_a_session_the_panel_says_so_and_starts_nothing(panel, tmp_path):
    panel.show_watch(watched(tmp_path / "nowhere"))
    panel.set_cursor(4.0, 2.0)
    panel.ask_now()

    assert "Nothing to preview yet" in panel.said
    assert panel.findChildren(QProcess) == []


def test_what_the_cursor_rests_on_is_told_beside_what_is_in_force_and_what_it_passed_is_not_asked(
    panel, qtbot, recorded
):
    heard = []
    panel.answered.connect(heard.append)
    panel.show_watch(watched(recorded.folder))
    for threshold in (9.0, 8.0, 7.0, 4.5):
        panel.set_cursor(threshold, 2.0)

    qtbot.waitUntil(lambda: len(heard) == 2, timeout=ANSWERED_MS)

    times = {answer["threshold"]: len(answer["fires"]) for answer in heard}
    assert set(times) == {4.5, 10.0}
    assert times[4.5] > times[10.0]
    assert f"At 4.5 (release 2): would have fired {times[4.5]} times in the last 60 s" in panel.said
    assert f"Now, at 10 (release 3): would have fired {times[10.0]} times" in panel.said
    assert "1 refused: refractory" in panel.said

    panel.set_cursor(2.0, 5.0)
    panel.ask_now()

    assert "Release (5) lies above threshold (2)" in panel.said
    assert len(heard) == 2

    scores = panel._scores
    with qtbot.waitSignal(panel.pointed) as pointed:
        qtbot.mouseClick(scores, Qt.MouseButton.LeftButton, pos=QPoint(scores.width() // 2, scores.height() // 2))

    assert scores._low < pointed.args[0] < max(scores._high, 10.0)


def test_a_process_that_dies_is_said_in_words_and_tried_again_when_asked(panel, qtbot, recorded):
    watch = watched(recorded.folder)
    panel.show_watch(watch)
    (process,) = panel.findChildren(QProcess)
    process.waitForStarted(5000)
    process.kill()
    qtbot.waitUntil(lambda: "process ended" in panel.said, timeout=5000)
    panel.show_watch(watch)
    assert "process ended" in panel.said

    with qtbot.waitSignal(panel.answered, timeout=ANSWERED_MS):
        qtbot.mouseClick(panel._again, Qt.MouseButton.LeftButton)

    assert "would have fired" in panel.said


def test_nothing_runs_on_after_the_panel_is_stopped(panel, recorded):
    panel.show_watch(watched(recorded.folder))
    (process,) = panel.findChildren(QProcess)
    process.waitForStarted(5000)
    number = process.processId()

    panel.stop()

    assert process.state() == QProcess.ProcessState.NotRunning
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
