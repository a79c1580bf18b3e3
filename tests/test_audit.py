"""What a session measures of itself: each item out of its bound gives its own warning, and no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_recording import BEGAN_NS, LEASE_MS, Made
from recorded_session import Recorded, protocol, ran

from closedloop.analysis.audit import Audit, audit
from closedloop.analysis.summary import summarise
from closedloop.recording import Recording
from closedloop.recording.folder import EVENTS, HEALTH_TABLE, TABLE
from closedloop.simulation.faults import Faults, Line
from closedloop.terminal import outcome
from closedloop.watching.auditing import GOOD, OUTSIDE, UNKNOWN, Findings
from closedloop.watching.auditing.clock_line import ClockLine

CLOSED_LOOP = {"kind": "closed_loop"}
NEW_FIELDS = (
    *(f"{board}_{what}" for board in ("daq", "stimulator") for what in ("drift_ppm", "uncertainty_us")),
    *("age_us", "turn_us", "wall_offset_ns", "most", "overruns", "clock_steps"),
)


def states(found: Audit) -> dict[str, str]:
    return {item.name: item.state for item in found.items}


def outside(found: Audit) -> list[str]:
    return [item.name for item in found.items if item.state == OUTSIDE]


def figures(found: Audit, name: str) -> dict[str, object]:
    return dict(next(item.figures for item in found.items if item.name == name))


def test_a_clean_session_has_no_warning_and_every_item_is_known(tmp_path: Path) -> None:
    found = audit(Made().write(tmp_path))
    assert found.warnings == ()
    assert set(states(found).values()) == {GOOD}
    assert figures(found, "read_to_command") == {
        "n": 10,
        **dict.fromkeys(("p50_us", "p99_us", "p99_9_us", "max_us"), 150.0),
    }
    assert figures(found, "overruns") == {"arrivals": 5900, "waited": 0, "most_in_one": 1}


def slow_commands(made: Made) -> None:
    for number in range(5):
        made.light(20 + number, 10_000_000 + number * 1_000_000, command_us=6000.0)


def slow_light(made: Made) -> None:
    made.light(20, 10_000_000, light_us=120_000.0)


def off_plan(made: Made) -> None:
    made.rows["train"][1000], made.rows["ahead"][1000] = 30, 500_000
    made.event("command", 10_000_000, train=30, value=150.0)
    made.event("light_on", 10_512_000, train=30, value=512_000.0)


def long_turns(made: Made) -> None:
    made.health["turn_us"][100:110] = 15_000.0


def old_readings(made: Made) -> None:
    made.health["age_us"][50] = 150_000.0


def often_old(made: Made) -> None:
    made.health["age_us"][50:60] = 12_000.0


def waiting(made: Made) -> None:
    for at in range(500, 900, 20):
        made.rows["host_ns"][at] = made.rows["host_ns"][at + 1]


def a_silence(made: Made) -> None:
    made.rows["host_ns"][3000:] += 100_000_000
    made.rows["host_ns"][3020:] -= 100_000_000
    made.rows["host_ns"][3000:3020] = np.linspace(
        made.rows["host_ns"][3000], made.rows["host_ns"][3020] - 1, 20, dtype=np.int64
    )


def late_heartbeats(made: Made) -> None:
    made.health["heartbeat_ns"][80] = made.health["host_ns"][80] - (LEASE_MS - 50) * 1_000_000


def held_up(made: Made) -> None:
    made.health = np.delete(made.health, slice(60, 68))


def missing(made: Made) -> None:
    made.lose(1000, 2000)


def missing_at_the_end(made: Made) -> None:
    made.rows = made.rows[:-3]


def damaged(made: Made) -> None:
    assert made.summary is not None
    made.summary["damaged_frames"] = 3


def repeated(made: Made) -> None:
    made.health["repeated"][40:] = 2


def refused_stale(made: Made) -> None:
    made.event("refused", 20_000_000, train=21, reason="stale")


def refused_unanswered(made: Made) -> None:
    made.event("refused", 20_000_000, train=21, reason="unanswered", text="the command was lost")


def lost_silently(made: Made) -> None:
    made.lose(1000, told=False)


def more_than_was_sent(made: Made) -> None:
    assert made.summary is not None
    made.summary["sent"] = 5999


def out_of_order(made: Made) -> None:
    made.rows["seq"][2000] = made.rows["seq"][1999]


def fast_clock(made: Made) -> None:
    made.rows["ticks"] = np.round(made.rows["ticks"] * 1.002)


def far_residuals(made: Made) -> None:
    made.health["stimulator_residual_us"] = -1500.0


def uncertain(made: Made) -> None:
    made.health["daq_uncertainty_us"] = 8000.0


def a_jump(made: Made) -> None:
    made.health["clock_steps"][70:] = 1
    made.event("note", 17_500_000, reason="clock_step", value=90_000.0, text="stimulator")


def wall_clock_set(made: Made) -> None:
    made.health["wall_offset_ns"][90:] -= 3_600_000_000_000


@pytest.mark.parametrize(
    ("wrong", "names", "words"),
    [
        (slow_commands, ["read_to_command"], "6 ms"),
        (slow_light, ["command_to_light"], "120 ms"),
        (off_plan, ["planned_light"], "12 ms"),
        (long_turns, ["turn"], "in 10 of 236"),
        (old_readings, ["age"], "150 ms at most"),
        (often_old, ["age"], "in 10 of 236"),
        (waiting, ["overruns"], "20 of 5880 arrivals, 2 readings"),
        (a_silence, ["gaps"], "110 ms"),
        (late_heartbeats, ["heartbeat"], "200 ms"),
        (held_up, ["health"], "2.25 s"),
        (missing, ["missing"], "2 readings (0.033 %)"),
        (missing_at_the_end, ["missing"], "3 readings"),
        (damaged, ["damaged"], "3 frames"),
        (repeated, ["repeated"], "2 readings came twice"),
        (refused_stale, ["refused"], "1 stale"),
        (refused_unanswered, ["refused"], "1 unanswered"),
        (lost_silently, ["missing", "accounting"], "0 were reported"),
        (more_than_was_sent, ["accounting"], "only 5999 were sent"),
        (fast_clock, ["drift"], "+2000 ppm by arrivals"),
        (far_residuals, ["clock_stimulator"], "residual 1.5 ms"),
        (uncertain, ["clock_daq"], "uncertainty 7.87 ms"),
        (a_jump, ["clock_steps"], "jumped once"),
        (wall_clock_set, ["wall_clock"], "once, by 3600 s"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_is_out_of_its_bound_is_said_and_nothing_else(
    tmp_path: Path, wrong: Callable[[Made], None], names: list[str], words: str
) -> None:
    made = Made()
    wrong(made)
    found = audit(made.write(tmp_path))
    assert [name for name in outside(found) if name != "real_time"] == names
    assert words in " ".join(found.warnings)


def test_what_was_not_had_of_the_system_is_a_warning_only_where_the_loop_was_too_slow(tmp_path: Path) -> None:
    made = Made()
    old_readings(made)
    (said,) = (item.said for item in audit(made.write(tmp_path)).items if item.name == "real_time")
    assert "scheduling: not allowed to this user" in said
    assert "closedloop doctor" in said


def test_sent_is_recorded_and_missing_exactly(tmp_path: Path) -> None:
    made = Made()
    made.event("gap", int(made.rows["ticks"][1002]), reason="missing", value=2.0)
    made.rows = np.delete(made.rows, (1000, 1001))[:-4]
    found = audit(made.write(tmp_path))
    assert figures(found, "accounting") == {"sent": 6000, "recorded": 5994, "missing": 2, "missing_after_last": 4}
    assert states(found)["accounting"] == GOOD


def test_rows_out_of_order_are_an_error_of_this_program_and_said_so(tmp_path: Path) -> None:
    made = Made()
    out_of_order(made)
    found = audit(made.write(tmp_path))
    assert "1 rows are not in the order" in " ".join(found.warnings)


def test_what_happens_in_the_first_second_is_the_engine_starting_and_no_fault(tmp_path: Path) -> None:
    made = Made()
    made.rows["host_ns"][1:30] = made.rows["host_ns"][30]
    made.health["age_us"][:3], made.health["turn_us"][:3] = 200_000.0, 200_000.0
    assert audit(made.write(tmp_path)).warnings == ()


def test_a_recording_older_than_the_new_fields_is_audited_as_far_as_it_goes(tmp_path: Path) -> None:
    made = Made()
    made.older(*NEW_FIELDS)
    del made.header["real_time"]
    found = audit(made.write(tmp_path))
    assert found.warnings == ()
    unknown = [item.name for item in found.items if item.state == UNKNOWN]
    assert unknown == ["turn", "age", "wall_clock", "real_time"]
    assert figures(found, "clock_daq")["residual_p50_us"] == pytest.approx(40, rel=0.1)


def test_a_recording_without_health_is_audited_all_the_same(tmp_path: Path) -> None:
    recording = Made().write(tmp_path)
    (tmp_path / HEALTH_TABLE).unlink()
    found = audit(recording)
    assert found.warnings == ()
    assert states(found)["heartbeat"] == UNKNOWN
    assert states(found)["accounting"] == GOOD


def test_of_a_broken_off_session_it_is_said_that_the_sum_cannot_be_made(tmp_path: Path) -> None:
    made = Made()
    made.summary = None
    made.lose(1000)
    found = audit(made.write(tmp_path))
    assert outside(found) == ["missing"]
    (item,) = (item for item in found.items if item.name == "accounting")
    assert (item.state, item.figures["missing"]) == (UNKNOWN, 1)
    assert "broken off" in item.said


@pytest.mark.parametrize("summary", [None, {"ended": "broken_off", "reason": "", "recovered": {}}])
def test_a_kill_between_a_row_and_the_word_of_its_gap_is_no_error(tmp_path: Path, summary: dict[str, object]) -> None:
    made = Made()
    made.summary = summary
    made.lose(len(made.rows) - 2, told=False)
    found = audit(made.write(tmp_path))
    assert outside(found) == ["missing"]
    assert "broken off" in next(item.said for item in found.items if item.name == "accounting")


def test_what_recover_put_apart_is_still_said_to_be_lost(tmp_path: Path) -> None:
    made = Made()
    cut = {"readings": {"saved": 5997, "lost": 3}, "events": {"saved": 20, "torn_bytes": 0}}
    made.summary = {"ended": "broken_off", "reason": "", "recovered": cut}
    found = audit(made.write(tmp_path))
    assert outside(found) == ["files"]
    assert found.warnings[0].startswith("3 rows cannot be read")


def test_what_the_power_took_is_said(tmp_path: Path) -> None:
    made = Made()
    made.summary = None
    made.write(tmp_path)
    table, log = tmp_path / TABLE, tmp_path / EVENTS
    table.write_bytes(table.read_bytes()[:-300])
    log.write_bytes(log.read_bytes()[:-7])
    found = audit(Recording.open(tmp_path))
    assert outside(found) == ["files"]
    assert figures(found, "files")["rows"] in range(1, 10)
    assert "restore it from a copy" in found.warnings[0]


def test_a_session_played_faster_says_nothing_of_real_time(tmp_path: Path) -> None:
    made = Made()
    made.header["speed"] = 10.0
    made.rows["host_ns"] = BEGAN_NS + made.rows["ticks"] * 100
    waiting(made)
    old_readings(made)
    found = audit(made.write(tmp_path))
    assert found.warnings == ()
    for name in ("age", "overruns", "drift"):
        assert states(found)[name] == UNKNOWN
    assert "10 times as fast" in next(item.said for item in found.items if item.name == "drift")


def test_an_empty_recording_has_an_audit(tmp_path: Path) -> None:
    made = Made()
    made.rows, made.health, made.events = made.rows[:0], made.health[:0], []
    assert made.summary is not None
    made.summary["sent"] = 0
    found = audit(made.write(tmp_path))
    assert found.warnings == ()
    json.dumps(found.told(), allow_nan=False)


def test_findings_do_not_depend_on_how_the_recording_is_cut_up() -> None:
    made = Made()
    for wrong in (waiting, a_silence, missing):
        wrong(made)
    dice = np.random.default_rng(3)
    whole, parts = Findings(made.header), Findings(made.header)
    whole.add_rows(made.rows)
    whole.add_health(made.health)
    at = 0
    while at < len(made.rows):
        size = int(dice.integers(1, 40))
        parts.add_rows(made.rows[at : at + size])
        parts.add_health(made.health[at : at + size])
        at += size
    for one in (whole, parts):
        one.close()
    for name in ("received", "jumped", "arrivals", "waited", "most", "longest_gap_ns", "health_gap_ns", "heartbeat_ns"):
        assert getattr(whole, name) == getattr(parts, name), name
    assert whole.line.ppm == pytest.approx(parts.line.ppm, abs=1e-9)


@pytest.mark.parametrize("ppm", [-5000.0, -40.0, 0.0, 3.0, 5000.0])
def test_the_speed_of_a_clock_is_found_beneath_late_and_lost_arrivals(ppm: float) -> None:
    dice = np.random.default_rng(11)
    ticks = np.arange(0, 600_000_000, 7692)
    true_ns = (ticks * 1000 / (1 + ppm / 1e6)).astype(np.int64)
    late_ns = (dice.exponential(400_000, len(ticks)) + 50_000_000 * (dice.random(len(ticks)) < 0.01)).astype(np.int64)
    kept = dice.random(len(ticks)) < 0.9
    line = ClockLine()
    line.add(ticks[kept], (true_ns + late_ns)[kept])
    assert line.ppm == pytest.approx(ppm, abs=0.5)


def test_memory_of_the_clocks_line_stays_flat_in_a_long_session() -> None:
    line = ClockLine()
    for hour in range(24):
        ticks = np.arange(hour * 3_600_000_000, (hour + 1) * 3_600_000_000, 500_000)
        line.add(ticks, ticks * 1000)
    assert len(line._points) <= 4096
    assert line.ppm == pytest.approx(0, abs=1e-6)


class Worn(Recorded):
    """A session whose line from the DAQ is worn."""

    def __init__(self, data: Path, faults: Faults, seed: str) -> None:
        super().__init__(data, protocol(policy=CLOSED_LOOP), blind=False)
        self.to_daq.wear = Line(faults, seed).carry
        self._board.damaged = 0

    def close(self) -> None:
        self._board.damaged = self.to_daq.decoder.damaged + self.to_stimulator.decoder.damaged
        self.controller.sent_by_board = self.to_daq.board.sent
        super().close()


@pytest.mark.parametrize(
    "faults",
    [
        Faults(damaged_fraction=0.01),
        Faults(truncated_fraction=0.01),
        Faults(duplicated_fraction=0.02),
        Faults(damaged_fraction=0.005, truncated_fraction=0.005, duplicated_fraction=0.01),
    ],
    ids=["damaged", "truncated", "duplicated", "all"],
)
def test_every_reading_that_a_worn_line_drops_is_accounted_for(tmp_path: Path, faults: Faults) -> None:
    recording = Recording.open(Worn(tmp_path, faults, "a worn line").whole())
    found = audit(recording)
    sums = figures(found, "accounting")
    assert states(found)["accounting"] == GOOD
    lost = int(str(sums["missing"])) + int(str(sums["missing_after_last"]))
    assert sums["sent"] == len(recording.rows()) + lost
    assert (lost > 0) == bool(faults.damaged_fraction or faults.truncated_fraction)


def test_sham_and_closed_loop_have_the_same_audit_to_the_last_byte(tmp_path: Path) -> None:
    told = {}
    for kind in ("closed_loop", "sham"):
        folder = ran(tmp_path / kind, {"kind": kind})
        told[kind] = json.dumps(audit(Recording.open(folder)).told(), allow_nan=False)
        assert "command_to_light" not in told[kind]
    assert told["closed_loop"] == told["sham"]
    sealed = audit(Recording.open(tmp_path / "closed_loop" / "sub-M1" / folder.name).sealed())
    assert figures(sealed, "command_to_light")["n"] != 0


def test_the_summary_and_the_terminal_tell_the_warnings(tmp_path: Path) -> None:
    recording = Recording.open(ran(tmp_path, CLOSED_LOOP, blind=False))
    summary = summarise(recording)
    assert summary["audit"] == audit(recording).told()
    summary["audit"] = {"warnings": []}
    assert outcome(summary)[-1].split() == ["audit", "nothing", "out", "of", "bounds"]
    summary["audit"] = {"warnings": ["the line is slow", "a clock jumped"]}
    assert [line.split(maxsplit=1) for line in outcome(summary)[-2:]] == [
        ["warning", "the line is slow"],
        ["warning", "a clock jumped"],
    ]
