"""Mistakes that people make in YAML and on the command line. Each gets its line, its field, and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from closedloop import cli
from closedloop.errors import ConfigError
from closedloop.protocol import load_protocol
from closedloop.rig import load_rig

CONFIGS = Path(__file__).parents[1] / "configs"
PROTOCOL = (CONFIGS / "protocols" / "withdrawal_inhibition.yaml").read_text(encoding="utf-8")
RIG = (CONFIGS / "rigs" / "simulated.yaml").read_text(encoding="utf-8")


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
        "detector:",
        "detector",
        "unknown kind 'thresold'",
        "; did you mean 'threshold'? known in detectors: threshold",
    ),
    "missing kind": mistake(
        "  kind: threshold\n", "", "detector:", "detector", "missing field 'kind'; known in detectors: threshold"
    ),
    "kind is a number": mistake("kind: threshold", "kind: 3", "detector:", "detector", "unknown kind '3'", "known in"),
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
        "must be a map with a 'kind' (got a list); known in policies: closed_loop, sham",
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
        "duplicate key 'duration' (first on line 15); keep one",
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
        "on: 500 ms", r'on: "\e[31m5"', "on:", "light.on", r"is no time (got '\x1b[31m5'); write"
    ),
    "a page for a value": mistake("on: 500 ms", "on: " + "9" * 5000, "on: 999", "light.on", "9...); write for example"),
}

IN_RIG = {
    "both boards on one port": mistake(
        "port: simulated\n  lease",
        "port: simulated # x\n  lease",
        "port: simulated # x",
        "stimulator.port",
        "is the daq's port as well (got COM3); give each its own",
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


@pytest.mark.parametrize("name", IN_RIG)
def test_a_mistake_in_a_rig_is_explained(name: str, tmp_path: Path) -> None:
    text = IN_RIG[name].edit(RIG)
    if name == "both boards on one port":
        text = text.replace("port: simulated", "port: COM3")
        check(mistake("", "", "COM3 # x", IN_RIG[name].field, *IN_RIG[name].says), text, load_rig, tmp_path)
    else:
        check(IN_RIG[name], text, load_rig, tmp_path)
