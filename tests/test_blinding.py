"""A blinded session says the same in every arm: in its folder, on the terminal, to watchers, in summary and exports."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded_session import CODE, NOON, Recorded, protocol, ran, signal

from closedloop import session, terminal
from closedloop.analysis import export_csv
from closedloop.analysis.replay import open_recording, replay
from closedloop.analysis.summary import summarise
from closedloop.controller import Ending
from closedloop.errors import ConfigError, DeviceError, RecordingError
from closedloop.model import FROM_FILE
from closedloop.protocol import Protocol, load_protocol
from closedloop.readings import FLAG_LIGHT
from closedloop.recording import Recording, RecordingWriter, create, row_dtype
from closedloop.recording.folder import EVENTS, HEADER, SEALED, UNBLINDED
from closedloop.request import Request, refuse
from closedloop.rig import load_rig
from closedloop.steps import STEP
from closedloop.watching.preview import Rerun
from closedloop.watching.status import State
from closedloop.watching.watch import Watch

ARMS = ("closed_loop", "sham", "catch", "yoked", "delayed")
WORDS = {  # what may name an arm: its policy, its decisions, and words of its own
    "closed_loop": ("closed_loop", "closed loop", "fire"),
    "sham": ("sham",),
    "catch": ("catch", "bernoulli", "probability"),
    "yoked": ("yoked", "partner"),
    "delayed": ("delayed", "jitter"),
}


def policy_of(arm: str, partner: Path) -> dict[str, Any]:
    more: dict[str, Any] = {"yoked": {"partner": str(partner)}, "delayed": {"delay": "1 s"}}
    return {"kind": arm} | more.get(arm, {})


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A blinded session of each arm, on the same input."""
    data = tmp_path_factory.mktemp("data")
    made: dict[str, Path] = {}
    for number, arm in enumerate(ARMS):
        made[arm] = ran(data / str(number), policy_of(arm, made.get("closed_loop", data)))
    return made


def named(text: str, arm: str) -> list[str]:
    """Words of the arm in a text."""
    return [word for word in WORDS[arm] if re.search(rf"\b{word}", text, re.IGNORECASE)]


def texts_of_folder(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".table" and path.name != SEALED:
            yield path.name, path.read_text("utf-8")


def watched(folder: Path) -> Watch:
    watch = Watch(folder)
    for _ in range(12):
        watch.turn(0)
    return watch


def texts_of_watch(watch: Watch) -> str:
    """All that a watcher could show in words."""
    marks = watch.marks
    said: list[Any] = [watch.header, watch.status, marks.kinds, marks.happening_kinds, marks.happenings(most=1000)]
    said += [marks.spans(kind, 0, 1e6) for kind in marks.kinds]
    said += [vars(watch.tallies)[name] for name in ("decisions", "given", "trains", "refused")]
    said += [watch.dose.gauges(watch.traces.last_s), watch.dose.ledger(), watch.rates.occupancy(), watch.traces.names]
    return repr(said)


@pytest.mark.parametrize("arm", ARMS)
def test_nothing_in_the_folder_names_the_arm(folders: dict[str, Path], arm: str) -> None:
    found = {name: named(text, arm) for name, text in texts_of_folder(folders[arm])}
    assert {"header.json", "protocol.yaml", "events.jsonl", "summary.json", "rig.yaml"} <= found.keys()
    assert {name: words for name, words in found.items() if words} == {}
    assert named((folders[arm] / SEALED).read_text(), arm) == []


@pytest.mark.parametrize("arm", ARMS)
def test_nothing_that_is_shown_or_written_of_it_names_the_arm(
    folders: dict[str, Path], arm: str, tmp_path: Path
) -> None:
    recording = Recording.open(folders[arm])
    summary = summarise(recording)
    line = terminal.SessionLine(55.0)
    line._recording = Recording.open(folders[arm])
    line._read(line._recording)
    paths = export_csv.export_session(recording, tmp_path)
    told = [json.dumps(summary), *terminal.outcome(summary), line.text(), texts_of_watch(watched(folders[arm]))]
    told += [path.read_text("utf-8") for path in paths]
    told += [json.dumps(recording.header), repr(recording.events()), json.dumps(recording.summary)]
    assert [words for words in (named(text, arm) for text in told) if words] == []
    assert summary["trains"]["planned"] > 0
    assert {summary["trains"][name] for name in ("commanded", "delivered", "on_s", "energy_mj")} == {None}
    assert summary["dose"]["delivered"] is None
    assert summary["latency_us"] == {"read_to_command": None, "command_to_light": None}


def columns(rows: Any) -> dict[str, bytes]:
    """Every byte but those between the columns, which nothing writes."""
    return {name: rows[name].tobytes() for name in rows.dtype.names}


def test_sham_and_closed_loop_come_out_the_same_to_the_last_byte(folders: dict[str, Path], tmp_path: Path) -> None:
    exported, shown = {}, {}
    for arm in ("closed_loop", "sham"):
        recording = Recording.open(folders[arm])
        paths = export_csv.export_session(recording, tmp_path / arm)
        exported[arm] = {path.name: path.read_bytes() for path in paths}
        watch = watched(folders[arm])
        shown[arm] = [
            columns(recording.rows()),
            recording.events(),
            columns(recording.health()),
            recording.header | {"sealed": ""},
            {**summarise(recording), "session": ""},
            terminal.outcome({**summarise(recording), "session": ""}),
            texts_of_watch(watch),
        ]
        assert (folders[arm] / HEADER).stat().st_size > 0
    assert sorted(exported["sham"]) == ["dose.csv", "events.csv", "samples.csv", "totals.json"]
    assert exported["closed_loop"] == exported["sham"]
    assert shown["closed_loop"] == shown["sham"]
    files = ("header.json", "protocol.yaml", "rig.yaml")
    assert [(folders["sham"] / f).read_bytes() for f in files] == [
        (folders["closed_loop"] / f).read_bytes() for f in files
    ]
    truth = {arm: Recording.open(folders[arm]).sealed() for arm in ("closed_loop", "sham")}
    lit = {arm: sum(e.kind == "light_on" for e in one.events()) for arm, one in truth.items()}
    assert lit["closed_loop"] > 0 == lit["sham"]


@pytest.mark.parametrize("arm", ARMS)
def test_a_blinded_session_replays_by_its_own_sealed_protocol_to_the_last_bit(
    folders: dict[str, Path], arm: str
) -> None:
    true = Recording.open(folders[arm]).sealed()
    own = Protocol.model_validate(true.header["protocol"], context=FROM_FILE)
    assert own.policy.kind == arm
    assert list(own.decisions) == true.header["decisions"]
    again, rows = replay(folders[arm], own), true.rows()
    for name in again.steps.dtype.names:
        assert again.steps[name].tobytes() == np.ascontiguousarray(rows[name]).tobytes(), name


def test_a_threshold_set_by_hand_is_done_again_in_a_replay_of_a_blinded_session(tmp_path: Path) -> None:
    from closedloop import control

    live = Recorded(tmp_path, protocol())
    live.run(20)
    live.controller.obey(control.SetThreshold(50.0, 25.0), live.now_us * 1000)
    folder = live.whole()
    true = Recording.open(folder).sealed()
    again = replay(folder, Protocol.model_validate(true.header["protocol"], context=FROM_FILE))
    assert again.steps["threshold"].tobytes() == np.ascontiguousarray(true.rows()["threshold"]).tobytes()
    assert 50.0 in again.steps["threshold"]


def test_exports_of_a_replay_do_not_show_where_light_was(folders: dict[str, Path], tmp_path: Path) -> None:
    assert open_recording(folders["sham"]).blinded
    samples = {}
    for arm in ("closed_loop", "sham"):
        replayed = replay(folders[arm], protocol())
        samples[arm] = export_csv.export_replay(replayed, tmp_path / arm)[0].read_bytes()
    assert samples["closed_loop"] == samples["sham"]
    assert (np.array(replay(folders["closed_loop"], protocol()).stream.readings["flags"]) & FLAG_LIGHT).any()


@pytest.mark.parametrize("arm", ["closed_loop", "sham", "catch"])
def test_another_threshold_is_previewed_without_saying_what_was_decided(folders: dict[str, Path], arm: str) -> None:
    answer = Rerun(folders[arm]).answer(6.0, 3.0, 5)
    assert answer["decision"] == "decided"
    assert len(answer["fires"]) == summarise(Recording.open(folders[arm]))["trains"]["planned"]
    assert named(repr(list(answer.values())), arm) == []


@pytest.mark.parametrize("arm", ["closed_loop", "sham"])
@pytest.mark.parametrize("kind", ["yoked", "open_loop"])
def test_how_many_trains_it_gave_is_not_told_to_who_names_it_as_a_partner(
    folders: dict[str, Path], arm: str, kind: str
) -> None:
    asked = "policy={kind: " + kind + ", partner: " + str(folders[arm]) + "}"
    with pytest.raises(ConfigError) as refused:
        load_protocol("demo", [asked])
    said = "is blinded, and its trains would tell its arm; run closedloop unblind first"
    assert str(refused.value) == f"--set: policy.partner: {folders[arm]}: {said}"


def test_raw_files_keep_all_that_was_delivered(folders: dict[str, Path]) -> None:
    raw = Recording.open(folders["closed_loop"])
    kinds = [json.loads(line)["kind"] for line in (raw.folder / EVENTS).read_text().splitlines()]
    assert kinds.count("light_on") == kinds.count("light_off") == kinds.count("command") > 0
    assert (raw.table.rows()["flags"] & FLAG_LIGHT).any()
    assert not (raw.rows()["flags"] & FLAG_LIGHT).any()


def test_the_truth_is_shown_once_the_folder_says_it_was_unblinded(tmp_path: Path) -> None:
    folder = ran(tmp_path, {"kind": "catch", "probability": "50 %"})
    before = Recording.open(folder)
    assert before.blinded
    assert before.header["condition"] == CODE
    assert set(summarise(before)["decisions"]) == {"decided"}
    (folder / UNBLINDED).write_text('{"arm": "omission"}')
    after = Recording.open(folder)
    summary = summarise(after)
    assert not after.blinded
    assert summary["decisions"]["fire"] + summary["decisions"]["catch"] == summarise(before)["trains"]["planned"]
    assert summary["trains"]["delivered"] == summary["decisions"]["fire"] > 0
    assert after.header["protocol"]["policy"]["kind"] == "catch"
    assert after.header["drawn"][0]["policy"] == "catch"
    assert "closedloop.policies.catch" in after.header["hashes"]["parts"]
    reasons = [event.reason for event in after.events() if event.kind == "decision"]
    assert {"fire", "catch"} == set(reasons)
    assert after.header["protocol_yaml"].startswith("version: 1")
    assert watched(folder).tallies.trains["delivered"] == summary["trains"]["delivered"]


@pytest.mark.parametrize("harm", ["missing", "cut", "changed", "another's"])
def test_what_was_put_apart_is_refused_in_words_if_it_was_harmed(tmp_path: Path, harm: str) -> None:
    folder = ran(tmp_path / "a", {"kind": "sham"})
    sealed = folder / SEALED
    text = sealed.read_text()
    if harm == "missing":
        sealed.unlink()
    elif harm == "cut":
        sealed.write_text(text[: len(text) // 2])
    elif harm == "changed":
        sealed.write_text(text.replace(text.split()[1], "0" * 64))
    else:
        other = ran(tmp_path / "b", {"kind": "closed_loop"}, subject="M2")
        sealed.write_bytes((other / SEALED).read_bytes())
    recording = Recording.open(folder)
    with pytest.raises(RecordingError, match=r"sealed: .*restore"):
        recording.sealed()
    assert summarise(recording)["trains"]["planned"] > 0


def test_a_test_pulse_by_hand_is_named_in_every_arm_and_its_light_in_none(tmp_path: Path) -> None:
    from closedloop import control

    shown = {}
    for arm in ("closed_loop", "sham"):
        live = Recorded(tmp_path / arm, protocol(policy={"kind": arm}))
        live.run(21)
        live.controller.obey(control.TestPulse(), live.now_us * 1000)
        recording = Recording.open(live.whole())
        shown[arm] = summarise(recording)["decisions"], recording.rows()["decision"].tolist(), recording.events()
        assert sum(e.kind == "light_on" and e.train is not None for e in recording.sealed().events()) >= 1
    assert shown["closed_loop"] == shown["sham"]
    assert shown["sham"][0]["test"] == 1


def test_a_limit_of_the_session_is_told_alike_in_every_arm(tmp_path: Path) -> None:
    told = {}
    for arm in ("closed_loop", "sham"):
        folder = ran(tmp_path / arm[:2], {"kind": arm}, changes={"limits": {"trains_per_session": 2}})
        assert [named(text, arm) for _, text in texts_of_folder(folder)] == [[]] * len(list(texts_of_folder(folder)))
        summary = summarise(Recording.open(folder))
        told[arm] = {**summary, "session": ""}
        assert summary["dose"]["latched"]["limit"] == "dose_trains"
        watch = watched(folder)
        assert watch.dose.latched is not None
        assert named(texts_of_watch(watch), arm) == []
        assert named(" ".join(terminal.outcome(summary)), arm) == []
    assert told["closed_loop"] == told["sham"]


# While it runs


def test_a_planned_train_is_said_alike_while_it_runs(tmp_path: Path) -> None:
    words: dict[str, list[Any]] = {}
    for arm in ("closed_loop", "sham"):
        live = Recorded(tmp_path / arm, protocol(policy={"kind": arm}))
        watch = Watch(live.folder)
        words[arm] = []
        while live.now_us < 20e6:
            live.run(live.now_us / 1e6 + 0.05)
            watch.turn(live.now_us * 1000)
            words[arm].append((watch.status.state, watch.status.reason, repr(watch.dose.gauges(live.now_us / 1e6))))
        live.close()
    assert words["closed_loop"] == words["sham"]
    assert any("by plan; the session is blinded" in reason for _, reason, _ in words["sham"])
    assert State.LIT not in {state for state, _, _ in words["sham"]}


def test_light_that_no_plan_explains_is_said_in_a_blinded_session_too(tmp_path: Path) -> None:
    live = Recorded(tmp_path, protocol(policy={"kind": "sham"}))
    live.run(10)
    watch = Watch(live.folder)
    watch.turn(live.now_us * 1000)
    assert watch.status.state is State.ARMED
    row = live.writer._tables[0].dtype
    rogue = np.zeros(1, row)
    rogue["ticks"], rogue["seq"], rogue["flags"], rogue["bits"] = live.controller._log.ticks + 10_000, 1001, 8, 33
    live.writer.append(rogue)
    watch.turn(live.now_us * 1000)
    assert watch.status.state is State.LIT
    assert "output high" in watch.status.reason
    live.close()


def test_a_session_of_the_engine_puts_its_arm_apart(tmp_path: Path) -> None:
    made = load_protocol("demo", ["policy.kind=sham"]).in_arm(load_protocol("demo", ["policy.kind=sham"]).policy, CODE)
    rig = load_rig("simulated")
    done = session.run(Request(protocol=made, rig=rig, out=tmp_path, seed=3, duration_s=1.0, blind=True))
    recording = Recording.open(done.folder)
    assert recording.blinded
    assert recording.header["protocol"]["policy"] == {"kind": "blinded", "code": CODE}
    assert [named(text, "sham") for _, text in texts_of_folder(done.folder) if named(text, "sham")] == []
    assert recording.sealed().header["decisions"] == ["sham", "test"]


# Before it begins


def test_what_a_policy_cannot_do_is_refused_without_naming_it(tmp_path: Path) -> None:
    rig = load_rig("simulated")
    made = protocol(gates=[], blocks=[], duration="1 min").in_arm(
        Protocol.model_validate(
            {**protocol(gates=[], blocks=[], duration="1 min").model_dump(mode="json"), "policy": {"kind": "on_board"}},
            context=FROM_FILE,
        ).policy,
        CODE,
    )
    request = Request(protocol=made, rig=rig, out=tmp_path, seed=1, blind=True)
    with pytest.raises(ConfigError, match="condition K7: the arm's policy cannot work here") as refused:
        refuse(request)
    assert "on_board" not in str(refused.value)
    refuse(replace(request, blind=False))
    assert session._why(DeviceError("on_board: lost"), request) == "the arm's policy: lost"
    assert Ending("failed", session._why(ValueError("x"), request)).reason == "ValueError: x"


def test_a_session_that_is_not_blinded_has_nothing_put_apart(tmp_path: Path) -> None:
    folder = ran(tmp_path, {"kind": "sham"}, blind=False)
    recording = Recording.open(folder)
    assert not (folder / SEALED).exists()
    assert recording.sealed() is recording
    assert recording.header["decisions"] == ["sham", "test"]
    assert recording.header["blinded"] is None
    assert summarise(recording)["decisions"] == {"sham": 4}


# Older recordings


def test_recordings_without_the_newer_columns_and_keys_open_everywhere(tmp_path: Path) -> None:
    live = Recorded(tmp_path / "new", protocol(policy={"kind": "closed_loop"}), blind=False)
    new = Recording.open(live.whole())
    older = np.dtype(
        [(name, STEP[name]) for name in STEP.names if name not in ("ahead", "block", "kelvin")], align=True
    )
    keys = ("drawn", "blocks", "dose", "study", "blinded")
    header = {name: said for name, said in new.header.items() if name not in keys}
    folder = create(tmp_path, "old", NOON)
    writer = RecordingWriter.open(folder, header=header, protocol="a: 1\n", rig="b: 2\n", dtype=row_dtype(older))
    rows, fresh = new.rows(), np.zeros(new.table.head, row_dtype(older))
    for name in fresh.dtype.names:
        fresh[name] = rows[name]
    writer.append(fresh)
    for event in new.events():
        writer.event(**{name: said for name, said in event._asdict().items() if name != "n"})
    writer.close({"ended": "completed", "reason": "the duration is over"})
    recording = Recording.open(folder)
    summary = summarise(recording)
    assert summary["trains"] == summarise(new)["trains"]
    assert summary["blocks"] == []
    assert summary["outside_gate_s"] == 0.0
    assert summary["dose"]["planned"]["trains"] == summary["trains"]["delivered"]
    assert terminal.outcome(summary)
    assert len(export_csv.export_session(recording, tmp_path / "out")) == 4
    watch = watched(folder)
    assert watch.status.state is State.COMPLETED
    assert watch.tallies.trains["delivered"] == summary["trains"]["delivered"]
    assert len(replay(folder, protocol()).steps) == len(signal()) - (len(signal()) - new.table.head)
