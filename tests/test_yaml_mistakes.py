"""Mistakes that people make in YAML and on the command line. Each gets its line, its field, and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from closedloop import cli
from closedloop.errors import ConfigError
from closedloop.protocol import load_protocol
from closedloop.rig import load_rig
from closedloop.study import load_study

CONFIGS = Path(__file__).parents[1] / "configs"
PROTOCOL = (CONFIGS / "protocols" / "withdrawal_inhibition.yaml").read_text(encoding="utf-8")
RIG = (CONFIGS / "rigs" / "simulated.yaml").read_text(encoding="utf-8")
IN_BLOCKS = (CONFIGS / "protocols" / "abstinence_preference.yaml").read_text(encoding="utf-8")
STUDY = (CONFIGS / "studies" / "abstinence.yaml").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Mistake:
    """An edit of a good file, and what must be said of it.

    Attributes:
        old, new: the edit.
        at: the text of the line that must be named, in the edited file; None for the first line.
        field: the path that must be named.
        says: phrases that must occur, in this order.
    """

    old: str
    new: str
    at: str | None
    field: str
    says: tuple[str, ...]

    def edit(self, text: str) -> str:
        assert text.count(self.old) == 1, f"{text.count(self.old)} times: {self.old}"
        return text.replace(self.old, self.new)

    def line(self, text: str) -> int:
        return next((n for n, line in enumerate(text.splitlines(), 1) if self.at and self.at in line), 1)


def mistake(old: str, new: str, at: str | None, field: str, *says: str) -> Mistake:
    return Mistake(old, new, at, field, says)


IN_PROTOCOL = {
    "wrong unit": mistake(
        "on: 500 ms", "on: 500 mW", "on: 500 mW", "light.on", "'mW' is no unit of time", "(got 500 mW)", "; use s, ms,"
    ),
    "missing unit": mistake(
        "on: 500 ms", "on: 500", "on: 500", "light.on", "needs a unit (got 500); write for example '500 ms'"
    ),
    "missing unit in quotes": mistake("on: 500 ms", 'on: "500"', 'on: "500"', "light.on", "needs a unit (got 500);"),
    "unit of another case": mistake(
        "cutoff: 5 Hz",
        "cutoff: 5 hz",
        "cutoff: 5 hz",
        "features.1.cutoff",
        "no unit of frequency",
        "; use Hz, mHz or kHz",
    ),
    "bare share": mistake(
        "largest_step: 30 %", "largest_step: 0.3", "largest_step: 0.3", "quality.largest_step", "needs a unit", "'25 %'"
    ),
    "typo at the top": mistake(
        "warm_up: 5", "warmup: 5", "warmup: 5", "warmup", "unknown field; did you mean 'warm_up'?"
    ),
    "typo in a section": mistake(
        "ramp_off: 100", "ramp_of: 100", "ramp_of:", "light.ramp_of", "unknown field; did you mean 'ramp_off'?"
    ),
    "typo in a part": mistake(
        "  threshold: 4.0", "  thresold: 4.0", "thresold: 4.0", "detector.thresold", "did you mean 'threshold'?"
    ),
    "typo in a part of a list": mistake(
        "mode: adaptive", "mod: adaptive", "mod: adaptive", "features.0.mod", "did you mean 'mode'?"
    ),
    "typo in a value": mistake(
        "mode: adaptive", "mode: adaptiv", "mode: adaptiv", "features.0.mode", "'adaptive'", "(got adaptiv); use one"
    ),
    "unknown field like no other": mistake(
        "ramp_off: 100 ms", "zzz: 1", "zzz: 1", "light.zzz", "unknown field; known here: on, period"
    ),
    "unknown kind": mistake(
        "kind: threshold",
        "kind: thresold",
        "kind: thresold",
        "detector.kind",
        "unknown kind 'thresold'",
        "; did you mean 'threshold'? known in detectors: all, any, cusum",
    ),
    "missing kind": mistake(
        "  kind: threshold\n", "", "detector:", "detector.kind", "missing field; known in detectors: all, any, cusum"
    ),
    "kind is a number": mistake(
        "kind: threshold", "kind: 3", "kind: 3", "detector.kind", "unknown kind '3'", "known in"
    ),
    "missing field": mistake(
        "  on: 500 ms\n", "", "light:", "light.on", "missing field; add it, for example 'on: 500 ms'"
    ),
    "missing section": mistake(
        "policy:\n  kind: closed_loop\n  refractory: 5 s ",
        "#",
        None,
        "policy",
        "missing field; add it, for example 'policy:",
    ),
    "limit beyond the ceiling": mistake(
        "trains_per_minute: 10",
        "longest_on: 2 s",
        "longest_on:",
        "limits.longest_on",
        "may not exceed the board's ceiling of 1000 ms (got 2 s); lower it",
    ),
    "darkness below the board's": mistake(
        "trains_per_minute: 10",
        "least_off: 1 ms",
        "least_off:",
        "limits.least_off",
        "may not be below the board's least of 2 ms (got 1 ms); raise it",
    ),
    "tab": mistake("  on: 500 ms", "\ton: 500 ms", "\ton:", "YAML", "a tab character; indent with spaces"),
    "list where a map belongs": mistake(
        "  on: 500 ms\n  power: 5 mW",
        "  - on: 500 ms\n  - power: 5 mW\n#",
        "on: 500 ms",
        "YAML",
        "check indentation, colons",
    ),
    "list for a section": mistake(
        "limits:\n  trains_per_minute: 10",
        "limits:\n  - 10",
        "limits:",
        "limits",
        "must be a map (got a list); write a map: 'name: value' lines",
    ),
    "list for a part": mistake(
        "policy:\n  kind: closed_loop\n  refractory: 5 s",
        "policy:\n  - closed_loop\n",
        "policy:",
        "policy",
        "must be a map with a 'kind' (got a list); known in policies: catch, closed_loop, ",
    ),
    "text for a part": mistake(
        "policy:\n  kind: closed_loop\n  refractory: 5 s",
        "policy: closed_loop\n",
        "policy: closed_loop",
        "policy",
        "must be a map with a 'kind' (got closed_loop)",
    ),
    "text for a list": mistake(
        "recovery: 500 ms",
        "description: [a, b]\nrecovery: 500 ms",
        "description:",
        "description",
        "must be text (got a list); put it in quotes",
    ),
    "duplicate key": mistake(
        "duration: 30 min",
        "duration: 30 min\nduration: 40 min",
        "duration: 40 min",
        "YAML",
        "duplicate key 'duration' (first on line 17); keep one",
    ),
    "bad indentation": mistake("  power: 5 mW ", "   power: 5 mW ", "   power:", "YAML", "; check indentation"),
    "two documents": mistake("light:", "---\nlight:", "---", "YAML", "a second document begins here; keep one a file"),
    "anchor": mistake(
        "light:", "light: &light", "light: &light", "YAML", "anchors, aliases and tags", "write the value out"
    ),
    "alias": mistake("on: 500 ms", "on: *x", "on: *x", "YAML", "anchors, aliases and tags", "write the value out"),
    "tag that would run code": mistake(
        "condition: K3",
        "condition: !!python/object/apply:os.system [ls]",
        "!!python",
        "YAML",
        "anchors, aliases and tags are not used here; write the value out",
    ),
    "text for a number": mistake(
        "threshold: 4.0",
        "threshold: high",
        "threshold: high",
        "detector.threshold",
        "number",
        "(got high); write a number",
    ),
    "text for a whole number": mistake(
        "trains_per_minute: 10", "trains_per_minute: ten", "ten", "limits.trains_per_minute", "; write a whole number"
    ),
    "half a train": mistake(
        "trains_per_minute: 10", "trains_per_minute: 1.5", "1.5", "limits.trains_per_minute", "; write a whole number"
    ),
    "words for a time": mistake("on: 500 ms", "on: long", "on: long", "light.on", "is no time (got long); write for"),
    "a time of day": mistake("on: 500 ms", "on: 12:30", "on: 12:30", "light.on", "':30' is no unit of time"),
    "nothing for a time": mistake(
        "on: 500 ms", "on:", "on:", "light.on", "is no time (got nothing); write for example"
    ),
    "negative time": mistake(
        "recovery: 500 ms", "recovery: -1 s", "recovery:", "recovery", "must be at least 0 s (got -1 s); give a larger"
    ),
    "not a number of seconds": mistake(
        "on: 500 ms", "on: .nan s", "on: .nan s", "light.on", "is no time (got .nan s);"
    ),
    "endless seconds": mistake(
        "on: 500 ms", "on: 1e999 s", "on: 1e999 s", "light.on", "is too large (got 1e999 s); write"
    ),
    "absurd exponent": mistake(
        "on: 500 ms", "on: 1e99999999999999999999 s", "on: 1e9", "light.on", "is too large", "; write"
    ),
    "nan score": mistake("threshold: 4.0", "threshold: .nan", ".nan", "detector.threshold", "finite number (got nan);"),
    "endless score": mistake(
        "threshold: 4.0", "threshold: 1e999", "1e999", "detector.threshold", "finite number (got inf);"
    ),
    "truth for a number": mistake(
        "threshold: 4.0", "threshold: true", "threshold: true", "detector.threshold", "(got true); write a number"
    ),
    "truth for a whole number": mistake(
        "trains_per_minute: 10",
        "trains_per_minute: true",
        "true",
        "limits.trains_per_minute",
        "(got true); write a whole",
    ),
    "truth for a time": mistake("on: 500 ms", "on: true", "on: true", "light.on", "is no time (got true); write for"),
    "more than all": mistake(
        "trains_per_minute: 10", "level: 120 %", "level: 120 %", "limits.level", "must be at most 100 % (got 120 %)"
    ),
    "release above threshold": mistake(
        "release: 2.0",
        "release: 5",
        "release: 5",
        "detector.release",
        "must not lie above threshold (4) (got 5); lower",
    ),
    "period shorter than on": mistake(
        "ramp_off: 100 ms",
        "period: 300 ms",
        "period:",
        "light.period",
        "must be longer than on (0.5 s) (got 300 ms); lengthen it",
    ),
    "several pulses without period": mistake(
        "ramp_off: 100 ms",
        "count: 3",
        "count: 3",
        "light.count",
        "needs a period (got 3); add it, such as 'period: 2 s'",
    ),
    "duration shorter than warm-up": mistake(
        "duration: 30 min",
        "duration: 3 min",
        "duration:",
        "duration",
        "is over before warm_up (300 s) is (got 3 min); lengthen duration",
    ),
    "unknown version": mistake(
        "version: 1", "version: 2", "version: 2", "version", "must be 1 (got 2); use one of these"
    ),
    "number as name": mistake(
        "name: withdrawal_inhibition", "name: 123", "name: 123", "name", "must be text (got 123); put it in quotes"
    ),
    "empty name": mistake("name: withdrawal_inhibition", 'name: ""', 'name: ""', "name", "(got ); write something"),
    "no feature at all": mistake(
        "features:\n",
        "features: []\nx:\n",
        "features: []",
        "features",
        "at least 1 item",
        "(got an empty list); add one",
    ),
    "huge nesting": mistake(
        "condition: K3", "condition: " + "[" * 5000 + "]" * 5000, "[[[", "YAML", "more than 40 levels; check brackets"
    ),
    "open bracket": mistake("condition: K3", "condition: [K3", "condition:", "YAML", "; check indentation"),
    "control character": mistake(
        "condition: K3", "condition: K\x073", "condition: K", "YAML", "control character", "; take"
    ),
    "list as a name": mistake("condition: K3", "? [a, b]\n: K3", "? [a", "YAML", "a list or map where a name belongs;"),
    "terminal escape in a value": mistake(
        "on: 500 ms", r'on: "\e[31m5"', r"\e[31m", "light.on", r"is no time (got '\x1b[31m5'); write"
    ),
    "terminal escape in a name": mistake(
        "condition: K3",
        r'condition: "\e[2JK3"',
        r"\e[2J",
        "condition",
        r"cannot be printed",
        r"(got '\x1b[2JK3'); take",
    ),
    "a line of its own in a name": mistake(
        "condition: K3", r'condition: "K3\nall is safe"', "all is safe", "condition", "a second line", "; take it out"
    ),
    "text that runs backwards": mistake(
        "condition: K3", r'condition: "\u202eK3"', r"\u202e", "condition", "cannot be printed", "; take it out"
    ),
    "a time beyond all bounds": mistake(
        "on: 500 ms", "on: 1e300 s", "on: 1e300 s", "light.on", "is too large (got 1e300 s); write for example"
    ),
    "a page for a value": mistake("on: 500 ms", "on: " + "9" * 5000, "on: 999", "light.on", "9...); write for example"),
}

_BEFORE, _TEST = "name: before, lasts: 10 min", "{name: test, lasts: 20 min}"
_GATE, _SESSION = "when: high, debounce: 500 ms", "session_on: 90 s"
IN_EXPERIMENT = {
    "block without unit": mistake(
        _BEFORE, "name: before, lasts: 10", "name: before", "blocks.0.lasts", "needs a unit (got 10); write"
    ),
    "block without end": mistake(_TEST, "{name: test, trains: 5}", "trains: 5", "blocks.1.lasts", "missing", "; add"),
    "block without name": mistake(_TEST, "{lasts: 20 min}", "{lasts", "blocks.1.name", "missing", "name: baseline"),
    "release alone": mistake(
        _TEST, "{name: test, lasts: 20 min, release: 2}", "release: 2}", "blocks.1.release", "needs a threshold"
    ),
    "misspelt policy of a block": mistake(
        "policy: {kind: manual}", "policy: {kind: manuel}", "manuel", "blocks.0.policy.kind", "did you mean 'manual'?"
    ),
    "two lengths of a session": mistake(
        "warm_up: 5 min", "warm_up: 5 min\nduration: 30 min", "duration: 30", "duration", "blocks both", "; leave"
    ),
    "misspelt gates": mistake("gates:", "gate:", "gate:", "gate", "did you mean 'gates'?"),
    "gate without input": mistake("input: paired, ", "", "{when: high", "gates.0.input", "missing", "input: paired"),
    "a gate's direction": mistake(_GATE, "when: up", "when: up", "gates.0.when", "(got up); use one of these"),
    "edge without hold": mistake(_GATE, "when: rising", "when: rising", "gates.0", "for how long", "'hold: 2 s'"),
    "turning without speed": mistake(_GATE, "when: turning", "when: turning", "gates.0.at_least", "; write", "/min"),
    "debounce without unit": mistake(_GATE, "when: high, debounce: 5", "when:", "gates.0.debounce", "needs a unit"),
    "unknown opsin": mistake("opsin: Jaws", "opsin: Jawz", "Jawz", "preparation.opsin", "did you mean 'Jaws'?"),
    "compartment": mistake("soma", "axon", "axon", "preparation.compartment", "'soma' or 'terminals'", "; use one"),
    "neither yes nor no": mistake(
        "same_fibre: yes", "same_fibre: so", "same_fibre: so", "preparation.same_fibre", "(got so); "
    ),
    "power for irradiance": mistake(
        "site: VP", "site: VP\n  needed: 5 mW", "needed", "preparation.needed", "is no unit of irradiance", "mW/mm2"
    ),
    "dose without unit": mistake(_SESSION, "session_on: 90", "session_on", "limits.session_on", "needs a unit"),
    "power for energy": mistake(
        _SESSION, "session_energy: 9 mW", "session_energy", "limits.session_energy", "is no unit of energy", "use mJ"
    ),
    "too warm": mistake(_SESSION, "heating: 2 K", "heating", "limits.heating", "at most 1 K (got 2 K); "),
    "no train at all": mistake(
        "trains_per_session: 150", "trains_per_session: 0", "_session: 0", "limits.trains_per_session", "at least 1"
    ),
    "probability without unit": mistake(
        "kind: sham", "kind: catch\n  probability: 0.25", "0.25", "policy.probability", "needs a unit", "25 %"
    ),
    "a block of trains that does not fit": mistake(
        "kind: sham", "kind: catch\n  by: permuted_blocks\n  block: 6", "block: 6", "policy.block", "; choose a block"
    ),
    "nobody to be yoked to": mistake("kind: sham", "kind: yoked", "policy:", "policy.partner", "missing", "; add"),
    "a partner that is not there": mistake(
        "kind: sham", "kind: yoked\n  partner: away.csv", "away", "policy.partner", "cannot be read", "; give a session"
    ),
    "more trains than time": mistake(
        "kind: sham", "kind: open_loop\n  trains: 600\n  within: 10 min", "within", "policy.within", "too short"
    ),
    "a board that knows no blocks": mistake(
        "kind: sham", "kind: on_board", "policy:", "policy", "the board knows no blocks", "; leave them out"
    ),
}


IN_RIG = {
    "one board at two baud rates": mistake(
        "port: simulated\n  lease",
        "port: simulated\n  baud: 1000000\n  lease",
        "baud: 1000000",
        "stimulator.baud",
        "is not the daq's, and both are on one port (COM3) (got 1000000); make them equal",
    ),
    "more readings than the line carries": mistake(
        "rate: 130 Hz",
        "rate: 300 Hz\n  baud: 115200",
        "rate: 300 Hz",
        "daq.rate",
        "is more than a line of 115200 bits a second carries (263.314 Hz)",
        "lower it, or raise baud on the board and here",
    ),
    "one board simulated": mistake(
        "kind: arduino\n  port: simulated",
        "kind: arduino\n  port: COM4",
        "COM4",
        "stimulator.port",
        "does not go with daq.port (simulated) (got COM4); make both simulated, or neither",
    ),
    "nothing to simulate with": mistake(
        "simulation:\n  animal: {preset: demo}",
        "",
        None,
        "simulation",
        "is missing, and port 'simulated' needs it; add 'simulation: {}'",
    ),
    "lease shorter than two readings": mistake(
        "rate: 130 Hz",
        "rate: 5 Hz",
        "lease:",
        "stimulator.lease",
        "is shorter than two readings at 5 Hz, so light could never stay on (got 250 ms); make it 400 ms",
    ),
    "lease out of range": mistake(
        "lease: 250 ms",
        "lease: 2 s",
        "lease: 2 s",
        "stimulator.lease",
        "must be at most 0.5 s (got 2 s); give a smaller",
    ),
    "wrong unit of power": mistake(
        "full_power: 10 mW",
        "full_power: 10 mm",
        "10 mm",
        "light.full_power",
        "'mm' is no unit of power",
        "; use mW, uW or W",
    ),
    "typo in a driver": mistake(
        "rate: 130 Hz", "rat: 130 Hz", "rat: 130 Hz", "daq.rat", "unknown field; did you mean 'rate'?"
    ),
    "unknown driver": mistake(
        "kind: arduino",
        "kind: arduinno",
        "stimulator:",
        "stimulator",
        "; did you mean 'arduino'? known in stimulators:",
    ),
    "map where a list belongs": mistake(
        "inputs: [lever, chamber]", "inputs: {a: b}", "inputs:", "inputs", "must be a list (got a map); write a list"
    ),
    "one name for two inputs": mistake(
        "inputs: [lever, chamber]",
        "inputs: [lever, lever]",
        "inputs:",
        "inputs",
        "one name twice",
        "; give each its own",
    ),
    "a core of nothing": mistake("core: 200 um", "core: 1e-300 um", "core:", "light.core", "must be at least 1 um"),
    "no aperture at all": mistake(
        "aperture: 0.39", "aperture: 1e-300", "aperture:", "light.aperture", "must be at least 0.01"
    ),
    "no name for an input": mistake(
        "inputs: [lever, chamber]",
        "inputs: [lever, 2nd]",
        "inputs:",
        "inputs.1",
        "is no name (got 2nd); begin with a letter",
    ),
}


def wrong(load: Callable[..., Any], path: Path, *arguments: Any) -> list[str]:
    """The problems, each on a line of its own."""
    with pytest.raises(ConfigError) as caught:
        load(str(path), *arguments)
    assert caught.value.exit_code == 2
    assert all(len(problem.splitlines()) == 1 and problem.isprintable() for problem in caught.value.problems)
    return list(caught.value.problems)


def check(found: Mistake, text: str, load: Callable[..., Any], folder: Path) -> None:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    problems = wrong(load, path)
    start = f"{path}:{found.line(text)}: {found.field}: "
    (line,) = [problem for problem in problems if problem.startswith(start)] or [f"none is at {start}: {problems}"]
    assert re.search(".*".join(re.escape(phrase) for phrase in found.says), line), line
    assert "; " in line, f"says nothing of what to do: {line}"


@pytest.mark.parametrize("name", IN_PROTOCOL)
def test_a_mistake_in_a_protocol_is_explained(name: str, tmp_path: Path) -> None:
    check(IN_PROTOCOL[name], IN_PROTOCOL[name].edit(PROTOCOL), load_protocol, tmp_path)


@pytest.mark.parametrize("name", IN_EXPERIMENT)
def test_a_mistake_in_blocks_gates_dose_or_preparation_is_explained(name: str, tmp_path: Path) -> None:
    check(IN_EXPERIMENT[name], IN_EXPERIMENT[name].edit(IN_BLOCKS), load_protocol, tmp_path)


@pytest.mark.parametrize("name", IN_RIG)
def test_a_mistake_in_a_rig_is_explained(name: str, tmp_path: Path) -> None:
    text = IN_RIG[name].edit(RIG)
    if name == "one board at two baud rates":
        text = text.replace("port: simulated", "port: COM3")
    check(IN_RIG[name], text, load_rig, tmp_path)


@pytest.mark.parametrize(
    ("number", "lasts", "says"),
    [
        (10_000, "1 s", r"blocks: must have at most 32 items, not 10000 \(got a list\); take some out"),
        (2, "100 h", r"the session lasts 200\.083 h, more than 168 h; shorten it or its blocks"),
    ],
)
def test_a_session_without_end_is_refused_and_not_reckoned_with(
    number: int, lasts: str, says: str, tmp_path: Path
) -> None:
    before, found, _ = IN_BLOCKS.partition("\nblocks:")
    assert found
    rest = IN_BLOCKS[IN_BLOCKS.index("\ngates:") :]
    path = tmp_path / "mine.yaml"
    path.write_text(before + "\nblocks:\n" + f"  - {{name: one, lasts: {lasts}}}\n" * number + rest, encoding="utf-8")
    (line,) = wrong(load_protocol, path)
    assert re.fullmatch(rf"{re.escape(str(path))}:\d+: {says}", line), line


def edited(*names: str) -> str:
    text = PROTOCOL
    for name in names:
        text = IN_PROTOCOL[name].edit(text)
    return text


def test_six_mistakes_give_six_lines_in_the_order_of_the_file(tmp_path: Path) -> None:
    names = (
        "duplicate key",
        "typo in a part of a list",
        "text for a number",
        "wrong unit",
        "negative time",
        "half a train",
    )
    (tmp_path / "mine.yaml").write_text(edited(*names), encoding="utf-8")
    problems = wrong(load_protocol, tmp_path / "mine.yaml")
    assert len(problems) == 6
    for problem, name in zip(problems, names, strict=True):
        assert f": {IN_PROTOCOL[name].field}: " in problem


def test_each_limit_beyond_the_ceiling_has_a_line(tmp_path: Path) -> None:
    text = PROTOCOL.replace("trains_per_minute: 10", "longest_on: 2 s\n  least_off: 1 us\n  short_duty: 90 %")
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    problems = wrong(load_protocol, tmp_path / "mine.yaml")
    fields = [problem.split(": ")[1] for problem in problems]
    assert fields == ["limits.longest_on", "limits.least_off", "limits.short_duty"]


def test_a_single_feature_without_a_list_has_its_mistakes_explained_too(tmp_path: Path) -> None:
    text = re.sub(r"features:\n(  .*\n)+", "features: {kind: dff, basline: 60 s}\n", PROTOCOL)
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    (problem,) = wrong(load_protocol, tmp_path / "mine.yaml")
    assert "features.basline: unknown field; did you mean 'baseline'?" in problem


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "1: the file is empty; copy one from configs/ to begin with"),
        (b"# nothing but words\n\n", "1: the file is empty;"),
        (b"\n- a\n- b\n", "2: must be a map (got a list); write 'name: value' lines"),
        (b"hello", "1: must be a map (got hello); write 'name: value' lines"),
        (b"name: a\nnote: \xff\xfe\n", "2: the file is not text in UTF-8; save it as UTF-8"),
        ("name: a".encode("utf-16"), "1: the file is not text in UTF-8; save it as UTF-8"),
        (b"[" * 100_000, "1: YAML: more than 40 levels; check brackets and indentation"),
        (b"a: " * 3000, "1: YAML: mapping values are not allowed here; check indentation"),
        (b"&a [*a]", "1: YAML: anchors, aliases and tags are not used here; write the value out"),
        (b"%YAML 9.9\n---\na: b\n", "1: YAML: found incompatible YAML document"),
        (b"a: \x00b\n", "1: YAML: a control character (got '\\x00'); take it out"),
    ],
    ids=lambda value: str(value[:20]),
)
def test_what_is_no_configuration_at_all_gives_one_line(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    for load in (load_protocol, load_rig, load_study):
        problems = wrong(load, path)
        assert problems[0].startswith(f"{path}:{says}")
        assert len(problems) <= 2


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(PROTOCOL, encoding="utf-8-sig")
    assert load_protocol(str(tmp_path / "mine.yaml")).name == "withdrawal_inhibition"


def test_windows_line_ends_keep_the_line_numbers(tmp_path: Path) -> None:
    text = IN_PROTOCOL["wrong unit"].edit(PROTOCOL)
    (tmp_path / "mine.yaml").write_bytes(text.replace("\n", "\r\n").encode())
    (problem,) = wrong(load_protocol, tmp_path / "mine.yaml")
    assert f":{IN_PROTOCOL['wrong unit'].line(text)}: " in problem


@pytest.mark.parametrize(
    ("override", "says"),
    [
        (
            "detector.threshold",
            "--set: detector.threshold: must read KEY=VALUE; write for example detector.threshold=5",
        ),
        ("=5", "--set: =5: must read KEY=VALUE;"),
        ("detector.threshold=high", "--set: detector.threshold: must be a valid number"),
        ("detector.thresold=5", "--set: detector.thresold: unknown field; did you mean 'threshold'?"),
        ("detektor.threshold=5", "--set: detektor: unknown field; did you mean 'detector'?"),
        ("light.on=500", "--set: light.on: needs a unit (got 500); write for example '500 ms'"),
        ("light.on=", "--set: light.on: is no time (got nothing); write for example '500 ms'"),
        ("light.on.x=1 s", "--set: light.on.x: there is no field 'on' to look into; check the spelling"),
        ("features.9.cutoff=1 Hz", "--set: features.9.cutoff: there is no field '9' to look into"),
        ("features.x=1 Hz", "--set: features.x: there is no such place"),
        ("features.\u00b2=1 Hz", "--set: features.\u00b2: there is no such place"),
        ("detector.kind=wavelet", "--set: detector.kind: unknown kind 'wavelet'"),
        ("detector.release=9", "--set: detector.release: must not lie above threshold (4) (got 9); lower release"),
        ("limits.longest_on=2 s", "--set: limits.longest_on: may not exceed the board's ceiling"),
        ("duration=1 min", "--set: duration: is over before warm_up (300 s) is (got 1 min); lengthen duration"),
    ],
)
def test_a_mistake_in_set_is_explained(override: str, says: str) -> None:
    problems = wrong(load_protocol, Path("withdrawal_inhibition"), [override])
    assert problems[0].startswith(says), problems
    assert len(problems) == 1
    assert "; " in problems[0]


def test_set_changes_one_field_and_no_other() -> None:
    before = load_protocol("withdrawal_inhibition").model_dump()
    after = load_protocol("withdrawal_inhibition", ["detector.threshold=5", "features.1.cutoff=10 Hz"]).model_dump()
    before["detector"]["threshold"] = 5.0
    before["features"][1]["cutoff"] = 10.0
    assert after == before


def test_files_of_the_other_kind_are_recognised() -> None:
    (problem,) = wrong(load_protocol, CONFIGS / "rigs" / "simulated.yaml")
    assert re.search(r"simulated.yaml:\d+: daq: belongs to a rig, .*; give the rig after --rig", problem)
    (problem,) = wrong(load_rig, CONFIGS / "protocols" / "demo.yaml")
    assert re.search(r"demo.yaml:\d+: detector: belongs to a protocol, .*; give for example --rig simulated", problem)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("withdrawl_sham", "withdrawl_sham: no such file; did you mean 'withdrawal_sham'?"),
        ("withdrawal_sham.yaml", "withdrawal_sham.yaml: no such file; did you mean 'withdrawal_sham'?"),
        ("zzz", "zzz: no such file; give a path, or one of: abstinence_baseline, abstinence_catch, "),
        ("../configs/protocols/none.yaml", "../configs/protocols/none.yaml: no such file; "),
        ("x" * 5000, "x" * 60 + "...: cannot be read"),
        ("a\0b", "'a\\x00b': "),
        ("", ": no such file; "),
    ],
    ids=lambda value: value[:30].replace("\0", "NUL"),
)
def test_a_name_that_is_no_file_is_explained(name: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_protocol(name)
    assert str(caught.value).startswith(says)
    assert "; " in str(caught.value)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder; give a file in it"):
        load_protocol(str(tmp_path))


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "MINE", "--rig", "simulated"],
        ["run", "MINE", "--rig", "simulated", "--headless"],
        ["check", "withdrawal_inhibition", "--rig", "MINE"],
        ["check", "zzz"],
        ["check", "demo", "--set", "detector.threshold"],
        ["check", "demo", "--rig", "simulated", "--set", "rig.daq.rate=130"],
    ],
    ids=" ".join,
)
def test_the_command_line_says_it_on_standard_error_and_starts_nothing(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(edited("wrong unit", "typo in a part"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert cli.main([str(path) if word == "MINE" else word for word in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.strip()
    assert "Traceback" not in err
    assert [found.name for found in tmp_path.iterdir()] == ["mine.yaml"]


def test_problems_of_protocol_and_rig_are_reported_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    one.write_text(edited("wrong unit", "typo in a part"), encoding="utf-8")
    other.write_text(IN_RIG["typo in a driver"].edit(RIG), encoding="utf-8")
    assert cli.main(["check", str(one), "--rig", str(other), "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split(":")[0] for line in err.splitlines()] == [str(one), str(one), str(other)]


NASTY = [
    "",
    " ",
    "\t",
    ":",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "#",
    "'",
    '"',
    "|",
    ">",
    "&a ",
    "*a",
    "!!int ",
    "---\n",
    "? ",
    "\n",
]
NASTY += [
    "null",
    "true",
    ".nan",
    "-1",
    "1e400",
    "0x1",
    "9" * 70,
    "<<: ",
    "%",
    "\x00",
    "\u2028",
    "\ud800",
    "%YAML 1.1\n",
    "{}",
]


@settings(max_examples=300, deadline=None)
@given(
    text=st.sampled_from([PROTOCOL, RIG, IN_BLOCKS, STUDY]),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30), st.sampled_from(NASTY)), min_size=1, max_size=4),
)
def test_no_damage_to_a_file_gives_anything_but_lines(
    text: str, edits: list[tuple[float, int, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    for part, length, new in edits:
        at = round(part * len(text))
        text = text[:at] + new + text[at + length :]
    path = tmp_path_factory.getbasetemp() / "damaged.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    for load in (load_protocol, load_rig, load_study):
        try:
            load(str(path))
        except ConfigError as error:
            problems = error.problems
            assert problems
            assert all(re.match(r"[^:]+:\d+: ", problem) for problem in problems), problems
            assert all(len(problem.splitlines()) == 1 for problem in problems), problems


def test_set_may_fill_a_section_that_the_file_leaves_out(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(PROTOCOL.replace("  trains_per_minute: 10", ""), encoding="utf-8")
    protocol = load_protocol(str(tmp_path / "mine.yaml"), ["limits.longest_on=200 ms"])
    assert protocol.limits is not None
    assert protocol.limits.longest_on == 0.2
