from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from plans import noise, with_events
from sessions import command

from closedloop.analysis.replay import replay
from closedloop.analysis.summary import lit_s, missing, percentiles
from closedloop.limits import effective
from closedloop.protocol import load_protocol
from closedloop.recording import Event
from closedloop.steps import VALID

EVENTS = [25.0, 40.0]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A minute of a plain CSV with two events and one digital input."""
    signal = with_events(noise(60), EVENTS)
    control = noise(60, seed=2)
    lines = ["time_s,signal,control,input_lever"]
    lines += [
        f"{i / 100},{float(s)!r},{float(c)!r},{int(i > 3000)}"
        for i, (s, c) in enumerate(zip(signal, control, strict=True))
    ]
    file = tmp_path / "minute.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_replay_prints_the_public_summary_and_nothing_else(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran = command(capsys, "replay", recording, "--protocol", "demo", "--json")
    assert ran.code == 0
    assert set(ran.summary) == {
        "session", "protocol", "condition", "seed", "duration_s", "rate_hz", "readings", "detections", "decisions",
        "refused", "trains", "latency_us", "ended", "reason",
    }  # fmt: skip
    assert ran.summary["decisions"] == {"fire": 2}
    assert ran.summary["duration_s"] == pytest.approx(60.0)


def test_the_csv_export_gives_every_number_back_exactly(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert command(capsys, "replay", recording, "--protocol", "demo", "--json", "--out", out).code == 0
    with (out / "samples.csv").open() as file:
        samples = list(csv.DictReader(file))
    assert list(samples[0]) == [
        "time_s", "device_ticks", "signal", "control", "feature", "score", "threshold", "lit", "valid", "input_lever",
    ]  # fmt: skip
    replayed = replay(recording, load_protocol("demo"))
    for name in ("feature", "score", "threshold"):
        written = np.array([float(s[name]) for s in samples])
        np.testing.assert_array_equal(written, replayed.steps[name])
    valid = np.array([int(s["valid"]) for s in samples])
    np.testing.assert_array_equal(valid, (replayed.steps["bits"] & VALID) != 0)
    assert [int(s["input_lever"]) for s in samples] == [int(i > 3000) for i in range(6000)]
    with (out / "events.csv").open() as file:
        events = list(csv.DictReader(file))
    assert [(e["kind"], e["train"]) for e in events] == [
        ("detection", "1"),
        ("decision", "1"),
        ("detection", "2"),
        ("decision", "2"),
    ]
    assert [float(e["time_s"]) for e in events[::2]] == pytest.approx(EVENTS, abs=0.1)


def test_a_folder_that_cannot_be_written_is_said_in_words(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    ran = command(capsys, "replay", recording, "--protocol", "demo", "--out", tmp_path / "file" / "out")
    assert ran.code == 2
    assert "choose another folder with --out" in ran.said


def test_a_recording_without_control_is_refused_where_the_protocol_needs_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "single.csv"
    file.write_text("time_s,signal\n" + "\n".join(f"{i / 10},{1 + i % 7 / 100}" for i in range(600)))
    ran = command(capsys, "replay", file, "--protocol", "withdrawal_inhibition")
    assert ran.code == 2
    assert "needs a control channel" in ran.said
    assert command(capsys, "replay", file, "--protocol", "demo", "--json").code == 0


def test_check_prints_the_budget_and_refuses_with_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    fine = command(capsys, "check", "withdrawal_inhibition", "--rig", "simulated", "--json")
    assert fine.code == 0
    assert json.loads(json.dumps(fine.summary))["tip_mw"] == pytest.approx(5.0)
    too_much = command(capsys, "check", "demo", "--rig", "simulated", "--json", "--set", "light.power=50 mW")
    assert too_much.code == 2
    assert too_much.summary["refusals"]


def test_missing_readings_are_counted_by_the_board_or_by_the_jumps() -> None:
    seq = np.array([0, 1, 2, 5, 6], dtype=np.uint32)
    assert missing(seq, None) == 2
    assert missing(seq, 9) == 4
    assert missing(np.array([2**32 - 1, 1], dtype=np.uint32), None) == 2**32 - 1 + 1
    assert missing(seq[:0], None) == 0


def test_a_train_whose_end_was_never_heard_counts_as_run_to_its_end() -> None:
    def event(kind: str, train: int, value: float | None) -> Event:
        return Event(0, 0, kind, train, None, value, None, 0)

    heard = [event("light_on", 1, 300.0), event("light_off", 1, 150_000.0), event("light_on", 2, 300.0)]
    assert lit_s(heard, {"on_us": 200_000, "pulses": 2, "ramp_off_us": 100_000}) == pytest.approx(0.15 + 0.5)


def test_percentiles_of_nothing_are_nothing() -> None:
    assert percentiles([]) is None
    assert percentiles([1.0, 2.0, 3.0]) == {"p50": 2.0, "p99": 2.98, "p99_9": 2.998, "max": 3.0}


def test_a_power_without_calibration_is_not_taken_for_full_power_in_a_replay() -> None:
    protocol = load_protocol("demo", ["limits.level=60 %"])
    limits = effective(protocol.limits, lease_s=0.25)
    assert protocol.plan(limits, 10.0).level == round(0.5 * 65_535)
    assert protocol.plan(limits, None).level == 0
