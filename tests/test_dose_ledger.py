"""The ledger of light: by plan and as delivered, whose limit holds, what latched; live, in the summary, in exports."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from experiment_session import ROW, header
from recorded_session import ran

from closedloop import terminal
from closedloop.analysis import export_csv
from closedloop.analysis.summary import summarise
from closedloop.health import HEALTH
from closedloop.limits import CEILING
from closedloop.recording import Event, Recording
from closedloop.watching.bounds import whose
from closedloop.watching.dose import Dose
from closedloop.watching.follower import Fresh
from closedloop.watching.planned import Planned
from closedloop.watching.watch import Watch

# Of a session


def test_dose_is_told_by_plan_and_as_delivered_and_whose_limit_holds(tmp_path: Path) -> None:
    limits = {"trains_per_session": 3, "session_on": "5 s", "heating": "0.9 K"}
    folder = ran(tmp_path, {"kind": "closed_loop"}, changes={"limits": limits}, blind=False)
    recording = Recording.open(folder)
    summary = summarise(recording)
    dose = summary["dose"]
    assert dose["delivered"]["trains"] == summary["trains"]["delivered"] == dose["planned"]["trains"] == 3
    assert dose["delivered"]["on_s"] == pytest.approx(summary["trains"]["on_s"])
    assert dose["delivered"]["energy_mj"] == pytest.approx(summary["trains"]["energy_mj"])
    assert dose["delivered"]["kelvin"] == pytest.approx(dose["planned"]["kelvin"], abs=0.01)
    assert dose["planned"]["kelvin"] == pytest.approx(float(np.nanmax(recording.rows()["kelvin"])))
    assert dose["limits"]["trains"] == {"most": 3, "of": "protocol"}
    assert dose["limits"]["on_s"] == {"most": 5.0, "of": "protocol"}
    assert dose["limits"]["energy_mj"] == {"most": None, "of": None}
    assert dose["limits"]["kelvin"] == {"most": 0.9, "of": "protocol"}


def test_a_limit_that_is_reached_shows_live_in_the_summary_and_in_words(tmp_path: Path) -> None:
    changes = {"limits": {"trains_per_session": 2}}
    folder = ran(tmp_path, {"kind": "closed_loop"}, changes=changes, blind=False)
    summary = summarise(Recording.open(folder))
    assert summary["dose"]["latched"]["limit"] == "dose_trains"
    assert summary["trains"]["delivered"] == 2
    assert summary["decisions"]["sham"] >= 1
    watch = Watch(folder)
    for _ in range(8):
        watch.turn(0)
    gauge = next(one for one in watch.dose.gauges(watch.traces.last_s) if one.name == "trains in all")
    assert (gauge.limit, gauge.whose) == (2.0, "protocol")
    assert gauge.value >= 2
    assert "2 trains delivered" in gauge.note
    assert "reached" in gauge.note
    assert watch.dose.latched is not None
    assert any("limit reached" in line for line in terminal.outcome(summary))


def test_exports_hold_the_ledger_train_by_train(tmp_path: Path) -> None:
    recording = Recording.open(ran(tmp_path / "data", {"kind": "closed_loop"}, blind=False))
    paths = {path.name: path for path in export_csv.export_session(recording, tmp_path)}
    lines = [line.split(",") for line in paths["dose.csv"].read_text().splitlines()]
    summary = summarise(recording)
    assert lines[0] == ["time_s", "train", "planned_s", "delivered_s", "on_s", "energy_mj", "kelvin"]
    assert len(lines) - 1 == summary["dose"]["planned"]["trains"]
    assert float(lines[-1][4]) == pytest.approx(summary["trains"]["on_s"])
    assert float(lines[-1][5]) == pytest.approx(summary["trains"]["energy_mj"])
    told = json.loads(paths["totals.json"].read_text())
    assert told["inputs"] == summary["inputs"]
    assert "session" not in told


# Turn by turn


def fresh(
    trains: dict[int, float], events: tuple[Event, ...] = (), until_s: float = 30.0, ahead_s: float = 0.0
) -> Fresh:
    """Rows every 10 ms up to a time; at these times trains were decided."""
    rows = np.zeros(round(until_s * 100), ROW)
    rows["ticks"] = np.arange(len(rows)) * 10_000
    for number, at_s in trains.items():
        row = rows[round(at_s * 100)]
        row["train"], row["decision"], row["ahead"] = number, 1, round(ahead_s * 1e6)
    return Fresh(rows, list(events), np.zeros(0, HEALTH))


def event(kind: str, at_s: float, train: int | None = None, **about: Any) -> Event:
    said = {"reason": None, "value": None, "text": None} | about
    return Event(0, round(at_s * 1e6), kind, train, said["reason"], said["value"], said["text"], 0)


def gauges(dose: Dose, now_s: float) -> dict[str, Any]:
    return {gauge.name: gauge for gauge in dose.gauges(now_s)}


@pytest.mark.parametrize(
    ("rig", "protocol", "of"),
    [
        (None, None, "ceiling"),
        ({"trains_per_minute": 20}, None, "rig"),
        ({"trains_per_minute": 20}, {"trains_per_minute": 10}, "protocol"),
        ({"trains_per_minute": 10}, {"trains_per_minute": 20}, "rig"),
        ({"trains_per_minute": CEILING.trains_per_minute}, None, "ceiling"),
        ({"trains_per_minute": "many"}, {"trains_per_minute": 10}, "protocol"),
    ],
)
def test_the_limit_in_force_says_whose_it_is(rig: Any, protocol: Any, of: str) -> None:
    about = header(rig={"limits": rig}, protocol={"limits": protocol})
    assert whose(about)["trains_per_minute"] == of
    assert gauges(Dose(about), 0.0)["trains in 60 s"].whose == of


def test_limits_of_a_session_are_shown_only_where_there_are_some() -> None:
    about = header(dose={"trains": 4, "on_s": None, "energy_mj": 20.0, "kelvin": 0.5})
    shown = gauges(Dose(about), 0.0)
    assert (shown["trains in all"].limit, shown["energy in all"].limit, shown["warming"].limit) == (4.0, 20.0, 0.5)
    assert "lit in all" not in shown
    assert gauges(Dose(header()), 0.0).keys().isdisjoint({"trains in all", "lit in all", "energy in all"})


def test_what_the_board_refused_is_counted_against_the_limit_and_is_no_planned_train() -> None:
    about = header(dose={"trains": 4, "on_s": None, "energy_mj": None, "kelvin": 1.0})
    dose = Dose(about)
    dose.add(fresh({1: 5.0, 2: 10.0}, (event("refused", 10.01, 2, reason="stale"),)))
    assert dose.ledger()["planned"]["trains"] == 1
    assert gauges(dose, 30.0)["trains in all"].value == 2.0


def test_a_blinded_ledger_goes_by_plan_and_takes_back_what_is_refused_later() -> None:
    dose = Dose(header(blinded="K7"))
    dose.add(fresh({1: 5.0, 2: 10.0}))
    assert gauges(dose, 30.0)["lit in 60 s"].value == pytest.approx(1.0)
    assert gauges(dose, 30.0)["trains in 60 s"].note == "by plan"
    nothing = Fresh(np.zeros(0, ROW), [event("refused", 10.3, 2, reason="unanswered")], np.zeros(0, HEALTH))
    dose.add(nothing)
    assert gauges(dose, 30.0)["lit in 60 s"].value == pytest.approx(0.5)
    assert gauges(dose, 30.0)["trains in 60 s"].value == 1.0
    assert dose.ledger()["planned"]["trains"] == 1
    assert dose.ledger()["delivered"] is None


def test_a_train_planned_ahead_is_light_when_it_is_due_and_not_before() -> None:
    dose = Dose(header(blinded="K7"))
    dose.add(fresh({1: 5.0}, ahead_s=4.0))
    assert gauges(dose, 8.9)["lit in 60 s"].value == 0.0
    assert gauges(dose, 9.25)["lit in 60 s"].value == pytest.approx(0.25)
    (one,) = Planned().add(fresh({1: 5.0}, ahead_s=4.0)).made
    assert (one.decided_s, one.on_s) == (5.0, 9.0)


def test_a_latched_limit_says_which_and_when() -> None:
    dose = Dose(header(dose={"trains": None, "on_s": 1.0, "energy_mj": None, "kelvin": 1.0}))
    assert dose.latched is None
    dose.add(fresh({}, (event("note", 12.0, reason="latched", text="the session's limit is reached (dose_on): no"),)))
    assert dose.latched == ("dose_on", 12.0)
    assert "no light from 12 s on" in gauges(dose, 30.0)["lit in all"].note
    assert dose.ledger()["latched"] == {"limit": "dose_on", "at_s": 12.0}


def test_without_calibration_energy_and_warming_are_unknown_and_not_nothing() -> None:
    dose = Dose(header(tip_mw=None))
    dose.add(fresh({1: 5.0}, (event("light_on", 5.0, 1), event("light_off", 5.5, 1, value=500_000.0))))
    told = dose.ledger()["delivered"]
    assert told == {"trains": 1, "on_s": 0.5, "energy_mj": None, "kelvin": None}
    assert math.isnan(gauges(dose, 6.0)["warming"].value)
