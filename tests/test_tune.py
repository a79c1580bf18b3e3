"""`tune` and `replay` of several: what is chosen by what, the same numbers whoever computes them, and clear errors."""

from __future__ import annotations

import csv
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from plans import NANO_UNITS, RATE_HZ, noise, readings, with_events

from closedloop import limits
from closedloop.analysis import workers
from closedloop.analysis.detection import detect
from closedloop.analysis.injection import Transient, inject, virtual
from closedloop.analysis.replay import Opened, open_recording, replay, summary_of
from closedloop.analysis.scoring import Score, score
from closedloop.analysis.tuning import choice, grid
from closedloop.analysis.tuning.material import Events, Material, detected, material_of
from closedloop.analysis.tuning.thresholds import thresholds
from closedloop.cli import main
from closedloop.errors import ConfigError
from closedloop.protocol import load_protocol
from closedloop.readings import Stream
from closedloop.simulation.animal import Animal
from closedloop.yaml_file import load

PROTOCOL = "demo"
EVENTS_S = list(np.arange(20.0, 290, 6.1))


def write(path: Path, volts: np.ndarray) -> Path:
    rows = [f"{at / RATE_HZ:.2f},{value!r}" for at, value in enumerate(volts.tolist())]
    path.write_text("\n".join(["time_s,signal", *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five minutes with an event of 3 % every 6.1 s."""
    volts = with_events(noise(300), EVENTS_S, size=0.03)
    return write(tmp_path_factory.mktemp("tune") / "events.csv", volts)


@pytest.fixture(scope="module")
def labels(recording: Path) -> Path:
    file = recording.with_name("labels.csv")
    file.write_text("time_s\n" + "".join(f"{at:.2f}\n" for at in EVENTS_S))
    return file


def tuned(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    """The JSON of a `tune` that must succeed."""
    code = main(["tune", *map(str, words), "--protocol", PROTOCOL, "--json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    return json.loads(out)  # type: ignore[no-any-return]


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The error lines of a `tune` that must not succeed, after its exit code."""
    code = main(["tune", *map(str, words), "--protocol", PROTOCOL])
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    return f"{code} {err}"


def made_score(rate: float, hits: int = 0, *, labelled: bool = False) -> Score:
    delays = np.where(np.arange(100) < hits, 0.1, np.nan)
    return Score(1.0, 1.0, round(rate), delays, np.ones(100), labelled)


def settings(*thresholds: str) -> tuple[grid.Setting, ...]:
    return grid.grid(PROTOCOL, [], {grid.THRESHOLD: thresholds}).settings


# values and settings


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("3:8:6", ("3", "4", "5", "6", "7", "8")),
        ("3,4.5,3", ("3", "4.5")),
        ("50 ms:200 ms:4", ("50 ms", "100 ms", "150 ms", "200 ms")),
        ("1:2:3 ", ("1", "1.5", "2")),
        ("1:3 s:2", ("1 s", "3 s")),
        ("adaptive,off", ("adaptive", "off")),
    ],
)
def test_values_are_a_list_or_a_range_with_both_ends(text: str, values: tuple[str, ...]) -> None:
    assert grid.values(text) == values


@pytest.mark.parametrize("text", ["", "a,", "1:2", "1:2:1", "1:x:3", "1 s:2 ms:3", "1:2:2.5"])
def test_values_that_make_no_sense_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--vary: detector\.threshold: .*write for example"):
        grid.varied([f"detector.threshold={text}"])


def test_all_combinations_are_tried_but_those_that_are_no_protocol() -> None:
    made = grid.grid(
        PROTOCOL, ["warm_up=6 s"], {"detector.threshold": ("1", "5", "6"), "detector.window": ("4 s", "8 s")}
    )
    assert [one.name for one in made.settings][:2] == [
        "detector.threshold=5 detector.window=4 s", "detector.threshold=5 detector.window=8 s"
    ]  # fmt: skip
    assert len(made.settings) == 4
    assert made.left_out == 2
    assert "release" in made.why  # 2 lies above a threshold of 1
    assert {one.protocol.warm_up for one in made.settings} == {6.0}


def test_a_fragment_says_what_changes_and_gives_lists_whole() -> None:
    changed = {"detector.threshold": ("7",), "features.1.cutoff": ("8 Hz",)}
    (setting,) = grid.grid(PROTOCOL, [], changed).settings
    assert grid.fragment(setting) == {
        "detector": {"threshold": 7.0},
        "features": [{"kind": "dff", "baseline": "20 s"}, {"kind": "lowpass", "cutoff": "8 Hz"}],
    }


@pytest.fixture
def computed(tmp_path: Path) -> Path:
    """A protocol whose detector computes its threshold."""
    fields = load_protocol(PROTOCOL).model_dump(mode="json", exclude_none=True)
    fields["detector"] = {"kind": "cusum", "false_alarms": "1 /min", "baseline": "20 s"}
    file = tmp_path / "computed.yaml"
    file.write_text(yaml.safe_dump(fields, sort_keys=False))
    return file


def test_a_computed_threshold_gives_way_to_the_one_that_is_tried(computed: Path) -> None:
    made = grid.grid(str(computed), [], {grid.THRESHOLD: ("20", "30")}).settings
    assert [one.threshold for one in made] == [20.0, 30.0]
    assert [one.protocol.detector.crossing(100.0)["release"][0] for one in made] == [10.0, 15.0]
    changed = grid.fragment(made[0])
    assert changed == {"detector": {"threshold": 20.0, "false_alarms": None, "release": 10.0}}

    fields = yaml.safe_load(computed.read_text())
    fields["detector"] |= changed["detector"]
    computed.write_text(yaml.safe_dump(fields, sort_keys=False))
    assert load_protocol(str(computed)) == made[0].protocol


def test_a_release_that_was_asked_for_stays(computed: Path) -> None:
    (made,) = grid.grid(str(computed), ["detector.release=3"], {grid.THRESHOLD: ("20",)}).settings
    assert made.along == (("detector.false_alarms", "null"),)
    assert made.protocol.detector.release == 3.0


def test_rates_that_a_threshold_is_computed_from_can_be_varied(computed: Path) -> None:
    often, seldom = grid.grid(str(computed), [], {"detector.false_alarms": ("1 /min", "1 /h")}).settings
    assert often.threshold < seldom.threshold
    assert often.others == seldom.others == ()


def test_a_protocol_read_once_is_the_one_read_each_time() -> None:
    changed = {"detector.threshold": ("5", "7"), "features.1.cutoff": ("3 Hz", "5 Hz"), "detector.hold": ("1 s",)}
    for setting in grid.grid(PROTOCOL, ["warm_up=6 s"], changed).settings:
        sets = [f"{key}={value}" for key, value in setting.changed]
        assert setting.protocol == load_protocol(PROTOCOL, ["warm_up=6 s", *sets])


# choosing


def test_the_choice_detects_most_among_those_with_few_enough_false_alarms() -> None:
    scores = [made_score(rate, hits, labelled=True) for rate, hits in ((90, 99), (50, 90), (10, 95), (0, 20))]
    assert choice.choose(settings("3", "4", "5", "6"), scores, 60) == 2


def test_without_labels_the_choice_is_the_most_sensitive_one_from_above() -> None:
    scores = [made_score(rate) for rate in (2, 90, 50, 10)]  # 3 is below the noise: one detection that never ends
    assert choice.choose(settings("3", "4", "5", "6"), scores, 60) == 2


def test_a_rate_above_the_wanted_one_counts_only_if_the_interval_holds_it() -> None:
    assert choice.choose(settings("3", "4"), [made_score(40), made_score(12)], 10) == 1
    with pytest.raises(ConfigError, match=r"nearest is detector.threshold=4 with 40 an hour \(95 %: 28.6 to 54.5\)"):
        choice.choose(settings("3", "4"), [made_score(80), made_score(40)], 10)


def test_what_is_held_out_never_takes_part_in_the_choice() -> None:
    """The second half is far noisier: a choice that had seen it would be another one."""
    quiet, loud = noise(200, sd=0.002), noise(200, seed=2, sd=0.002)
    loud = with_events(loud, list(np.arange(5.0, 195, 3.0)), size=0.03)  # events that nobody labelled
    stream = Stream(readings(np.concatenate([quiet, loud])), round(RATE_HZ * 1000), NANO_UNITS, "made")
    material = Material("made", stream, None, limits.effective(lease_s=0.25), None)
    tried = settings("3", "3.5", "4", "4.5", "5", "6", "8", "12", "20")
    found = choice.tune(tried, [material], [], 600, 1.0, lambda runs: workers.detect_here(runs, 2))
    by_first, by_second = found.held_out
    assert (by_first.fitted_on, by_first.scored_on) == ("first half", "second half")
    assert tried[by_first.setting].threshold < tried[by_second.setting].threshold
    assert by_first.fitted.rate <= 600 < by_first.scored.rate
    assert found.expected.false_alarms == by_first.scored.false_alarms + by_second.scored.false_alarms


def test_each_half_lays_its_own_thresholds() -> None:
    """What the second half holds moves no threshold that is tried on the first."""

    def laid(second: np.ndarray) -> dict[str, tuple[str, ...]]:
        both = np.concatenate([noise(200, sd=0.002), second])
        stream = Stream(readings(both), round(RATE_HZ * 1000), NANO_UNITS, "made")
        made = Material("made", stream, None, limits.effective(lease_s=0.25), None)
        return thresholds(
            load_protocol(PROTOCOL), [made], 60, 1.0, lambda runs: workers.detect_here(runs, 2), halved=True
        )

    quiet = noise(200, seed=2, sd=0.002)
    one, other = laid(quiet), laid(with_events(quiet, list(np.arange(15.0, 195, 3.0)), size=0.03))
    assert one["first half"] == other["first half"]
    assert one["second half"] != other["second half"]


def test_a_choice_on_a_half_is_of_the_thresholds_it_laid(recording: Path) -> None:
    tried = settings("4", "5", "6", "8")
    made = material_of(recording, load_protocol(PROTOCOL), lambda stream: Events(stream, None))
    laid = {"first half": ("4", "8"), "second half": ("5", "6")}

    def detect_all(runs: Any) -> Any:
        return workers.detect_here(runs, 2)

    found = choice.tune(tried, [made], [], 2000, 1.0, detect_all, laid)
    assert [tried[one.setting].changed[0][1] in laid[one.fitted_on] for one in found.held_out] == [True, True]


def test_false_alarms_are_counted_without_the_injected_events() -> None:
    still = Stream(readings(noise(300)), round(RATE_HZ * 1000), NANO_UNITS, "made")
    onsets = (np.arange(20.0, 290.0, 6.0) * 1e6).astype(np.int64)
    lit = inject(still, Transient(0.2, 0.05, 0.5), onsets)
    made = Material("made", lit, onsets, limits.effective(lease_s=0.25), None, bare=still)
    ((found,),) = detected([load_protocol(PROTOCOL)], [made], lambda runs: workers.detect_here(runs, 2))
    with_events_in, bare = (score(one.ticks, onsets, one.watched, 1.0) for one in found)
    both = made.score(found, 1.0)
    assert both.hits == with_events_in.hits > 40
    assert both.false_alarms == len(found[1].ticks) == bare.false_alarms + bare.hits
    assert both.among == (with_events_in.false_alarms, with_events_in.hours)


# one definition, live and offline


def test_detections_are_those_of_replay(recording: Path) -> None:
    protocol = load_protocol(PROTOCOL)
    opened = open_recording(recording)
    found = detect(opened.plan(protocol), opened.stream)
    events = [event for event in replay(recording, protocol).events() if event.kind == "detection"]
    assert len(events) > 20
    assert [event.ticks for event in events] == found.ticks.tolist()
    assert [event.value for event in events] == found.scores.tolist()


def test_the_summary_of_a_replay_is_the_same_with_and_without_steps(recording: Path) -> None:
    protocol = load_protocol(PROTOCOL)
    assert summary_of(open_recording(recording), protocol) == replay(recording, protocol).summary()


def test_memory_does_not_grow_with_the_recording() -> None:
    protocol = load_protocol(PROTOCOL)
    short = readings(noise(3000))
    peaks = []
    for times in (1, 4):
        rows = np.concatenate([short] * times)
        rows["ticks"], rows["seq"] = np.arange(len(rows)) * 10_000, np.arange(len(rows))
        opened = Opened(Stream(rows, round(RATE_HZ * 1000), NANO_UNITS, "made"), None)
        detect(opened.plan(protocol), opened.stream)
        tracemalloc.start()
        detect(opened.plan(protocol), opened.stream)
        summary_of(opened, protocol)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert len(rows) * 40 > 3 * peaks[1]  # what its steps would take
    assert peaks[1] < 1.2 * peaks[0]


# who computes it


def everything(result: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in result.items() if key != "written"}


def test_one_thread_or_many_give_the_same_numbers(
    recording: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (recording, "--labels", labels, "--vary", "detector.threshold=3:9:7", "--vary", "detector.window=4 s,6 s")
    one = tuned(capsys, *words, "--jobs", 1, "--out", tmp_path / "one")
    many = tuned(capsys, *words, "--jobs", 3, "--out", tmp_path / "many")
    assert len(one["settings"]) == 14
    assert everything(one) == everything(many)
    for name in ("tuned.yaml", "tune.csv", "tune.svg"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "many" / name).read_bytes()


@pytest.fixture
def scheduler() -> Iterator[str]:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, host="127.0.0.1", protocol="tcp://"
    ) as cluster:
        yield cluster.scheduler_address


def test_a_cluster_gives_the_same_numbers(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], scheduler: str
) -> None:
    other = write(tmp_path / "other.csv", noise(120, seed=4))
    words = (recording, other, "--inject", "5 %", "--vary", "detector.threshold=4:8:3", "--false-alarms", "20 /min")
    words += ("--out", tmp_path)  # the labelled events are false alarms here
    here = tuned(capsys, *words)
    there = tuned(capsys, *words, "--scheduler", scheduler)
    assert everything(here) == everything(there)


def test_an_interrupt_ends_all_threads_within_a_batch() -> None:
    begun: list[int] = []
    batches: list[int] = []

    def work(item: int, count: Any) -> None:
        begun.append(item)
        while True:  # until the others are told to end
            batches.append(item)
            count(1)

    def interrupt(readings: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workers.everywhere(work, range(50), 2, interrupt)
    assert begun == [0, 1]


def test_an_interrupted_tune_says_so(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "_until_done", interrupt)
    code = main(["tune", str(recording), "--protocol", PROTOCOL, "--out", str(tmp_path)])
    assert (code, capsys.readouterr().err) == (130, "interrupted\n")


# the command


def test_labelled_events_are_found_and_the_fragment_loads(
    recording: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = tuned(capsys, recording, "--labels", labels, "--false-alarms", "60 /h", "--out", tmp_path)
    expected, chosen = result["expected"], result["chosen"]["set"]["detector.threshold"]
    assert expected["detected"] > 0.9
    assert expected["delay_s"]["median"] < 0.1
    assert expected["false_alarms_per_h_95"][0] <= 60
    assert {choice["fitted_on"] for choice in result["held_out"]} == {"first half", "second half"}

    text = (tmp_path / "tuned.yaml").read_text()
    assert "events.csv" in text
    assert "false alarms an hour (95 %:" in text
    changed = yaml.safe_load(text)
    assert changed == {"detector": {"threshold": float(chosen)}}
    whole = (Path(__file__).parents[1] / "configs" / "protocols" / "demo.yaml").read_text()
    file = tmp_path / "merged.yaml"
    file.write_text(whole.replace("threshold: 5.0", text.splitlines()[-1].strip()))
    assert load(type(load_protocol(PROTOCOL)), file) == load_protocol(PROTOCOL, [f"detector.threshold={chosen}"])

    rows = list(csv.DictReader((tmp_path / "tune.csv").read_text().splitlines()))
    assert len(rows) == 3 * len(result["settings"])
    assert (tmp_path / "tune.png").read_bytes()[:4] == b"\x89PNG"


def test_people_get_a_table_and_the_verdict(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--vary", "detector.threshold=4,6,9", "--false-alarms", "20 /min", "--out", str(tmp_path)]
    assert main(["tune", str(recording), "--protocol", PROTOCOL, *words]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines()[0].split()[:3] == ["threshold", "false", "alarms/h"]
    assert "* " in out
    assert "chosen by the first half, scored on the second half: detector.threshold=" in out
    assert "no events are known" in out
    assert str(tmp_path / "tuned.yaml") in out


def test_other_recordings_can_be_held_out(
    recording: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = write(tmp_path / "silent.csv", noise(200, seed=9))
    (tmp_path / "none.csv").write_text("time_s\n100\n")
    words = (recording, "--labels", labels, "--score", silent, "--score-labels", tmp_path / "none.csv")
    result = tuned(capsys, *words, "--vary", "detector.threshold=4:9:6", "--out", tmp_path)
    (choice,) = result["held_out"]
    assert (choice["fitted_on"], choice["scored_on"]) == ("fitted", "held out")
    assert choice["set"] == result["chosen"]["set"]
    assert choice["scored"]["hours"] == pytest.approx(195 / 3600, abs=1e-4)
    assert choice["scored"]["events"] == 1


def test_a_virtual_animal_needs_no_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--animal", "demo", "--hours", 0.2, "--vary", "detector.threshold=4:9:4", "--out", tmp_path)
    result = tuned(capsys, *words)
    assert result["expected"]["detected"] > 0.8
    assert result["truth"].startswith("those of a virtual animal (demo")


def test_the_animal_is_that_of_the_seed() -> None:
    animal = Animal.model_validate({"preset": "demo"})
    (one, at), (same, at_too), (other, _) = (virtual(animal, 0.05, 130.0, seed) for seed in (1, 1, 2))
    assert one.readings.tobytes() == same.readings.tobytes() != other.readings.tobytes()
    assert at.tolist() == at_too.tolist()


# errors


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "2 RECORDING: there is none"),
        (("REC", "--vary", "detector.thresold=3,4"), "2 --vary: detector.thresold: unknown field"),
        (("REC", "--vary", "detector.threshold"), "2 --vary: detector.threshold: must read KEY=VALUES"),
        (("REC", "--vary", "detector.threshold=,"), "2 --vary: detector.threshold: has an empty value"),
        (("REC", "--vary", "detector.window=3"), "needs a unit"),
        (
            ("REC", "--vary", "detector.threshold=1:9:9999", "--vary", "detector.hold=1 s,2 s"),
            "2 --vary: 19998 settings",
        ),
        (("REC", "--false-alarms", "3"), "2 --false-alarms: needs a unit"),
        (("REC", "--false-alarms", "0 /h"), "2 --false-alarms: must be more than nothing"),
        (("REC", "--window", "1"), "2 --window: needs a unit"),
        (("REC", "--inject", "2"), "2 --inject: needs a unit"),
        (("REC", "--inject", "2 %", "--inject-every", "1 s"), "2 --inject-every: must be longer"),
        (("REC", "--inject", "2 %", "--inject-rise", "1 s"), "2 --inject-rise: must be shorter"),
        (("REC", "--inject", "2 %", "--labels", "x.csv"), "2 --labels, --inject, --animal"),
        (("REC", "--animal", "demo"), "2 --animal: stands in place"),
        (("--animal", "demmo"), "2 --animal: there is no 'demmo'; did you mean 'demo'?"),
        (("REC", "REC", "--labels", "x.csv"), "2 --labels: 1 files for 2 recordings"),
        (("REC", "REC"), "2 REC: the same recording as"),
        (("REC", "--score", "REC"), "2 REC: the same recording as"),
        (("REC", "--labels", "x.csv"), "5 x.csv: cannot be opened"),
        (("nothing.csv",), "5 nothing.csv: cannot be opened"),
        (("REC", "--jobs", "0"), "2 --jobs: must be at least 1"),
        (("REC", "--set", "warm_up=10 min", "--set", "duration=1 h"), "events.csv: 300 s, and warm_up takes 600 s"),
        (
            ("REC", "--vary", "warm_up=10 min,11 min", "--set", "duration=1 h"),
            "events.csv: 300 s, and warm_up takes 660 s; use a longer",
        ),
        (("REC", "--scheduler", "tcp://127.0.0.1:9", "--vary", "detector.threshold=4,5"), "2 --scheduler: no Dask"),
        (
            ("REC", "--vary", "detector.threshold=2,2.2", "--false-alarms", "1 /h"),
            "2 --false-alarms: 1 an hour is below",
        ),
    ],
)
def test_mistakes_get_one_clear_line(
    words: tuple[str, ...], said: str, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(workers, "_CONNECT_S", 0.2)
    given = [str(recording) if word == "REC" else word for word in words]
    line = refused(capsys, *given, "--out", tmp_path / "out")
    assert said.replace("REC:", f"{recording}:") in line
    assert line.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_known_before_the_work(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(workers, "detect_here", lambda *_: pytest.fail("the work was done in vain"))
    assert "2 " in (said := refused(capsys, recording, "--out", tmp_path / "file" / "out"))
    assert "cannot be written" in said


def test_labels_outside_the_recording_are_refused(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("time_s\n100\n4000\n")
    said = refused(capsys, recording, "--labels", file, "--out", tmp_path)
    assert said.startswith(f"5 {file}:3: time_s: 4000 lies outside the recording")


def test_an_onset_is_given_once(recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("time_s\n100\n50\n100\n")
    said = refused(capsys, recording, "--labels", file, "--out", tmp_path)
    assert said == f"5 {file}:2: time_s: 100 is there more than once; give each onset once\n"


def test_a_recording_that_is_vetoed_throughout_is_no_ground_to_choose_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flat = write(tmp_path / "flat.csv", np.full(6000, 1.0))
    assert "no score is known" in refused(capsys, flat, "--out", tmp_path)
    assert "vetoes take it all" in refused(capsys, flat, "--vary", "detector.threshold=3,4", "--out", tmp_path)


# replay of several


def test_several_replays_are_those_of_each(recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write(tmp_path / "other.csv", noise(60, seed=4))
    words = ["replay", "--protocol", PROTOCOL, "--json"]
    singles = []
    for path in (recording, other):
        assert main([*words, str(path)]) == 0
        singles.append(json.loads(capsys.readouterr().out))
    assert main([*words, str(recording), str(other)]) == 0
    both = json.loads(capsys.readouterr().out)["replays"]
    assert [one.pop("recording") for one in both] == [str(recording), str(other)]
    assert both == singles

    assert main(["replay", "--protocol", PROTOCOL, str(recording), str(other), "--out", str(tmp_path / "out")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.csv")) == [
        "events/events.csv", "events/samples.csv", "other/events.csv", "other/samples.csv"
    ]  # fmt: skip


def test_one_bad_recording_of_several_is_named(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("time_s,signal\n")
    assert main(["replay", "--protocol", PROTOCOL, str(recording), str(bad)]) == 5
    assert str(bad) in capsys.readouterr().err
