"""Partner files that cannot be used: one line each, with the protocol's file and line, what is wrong and what to do."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from partner_sessions import logged, session_folder
from plans import noise, plan, readings, with_events
from sessions import command

from closedloop.errors import ConfigError
from closedloop.policies.closed_loop import ClosedLoop
from closedloop.policies.sham import Sham
from closedloop.protocol import load_protocol

DEMO = (Path(__file__).parents[1] / "configs" / "protocols" / "demo.yaml").read_text("utf-8")


def protocol_with(folder: Path, partner: object, kind: str = "yoked") -> Path:
    policy = f"policy:\n  kind: {kind}\n  partner: {partner}\n"
    text = re.sub(r"^policy:.*\n", policy, DEMO, flags=re.MULTILINE)
    assert policy in text
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def whole(folder: Path, **header: object) -> Path:
    ran = logged(readings(with_events(noise(30), [12.0, 18.0, 24.0])), plan())
    return session_folder(folder / "ses", ran, **header)


def changed(name: str, change: Callable[[str], str]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        file = whole(folder) / name
        file.write_text(change(file.read_text("utf-8")), encoding="utf-8")
        return file.parent

    return make


def without(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        file = whole(folder) / name
        file.unlink()
        return file.parent

    return make


def file(name: str, text: str | bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return make


def sham(folder: Path) -> Path:
    ran = logged(readings(noise(20)), plan(policy=Sham()))
    return session_folder(folder / "ses", ran)


def unknown_time(folder: Path) -> Path:
    ran = logged(readings(with_events(noise(30), [12.0])), plan())
    for event in ran.notebook.events:
        event.update({"value": None} if event["kind"] == "light_on" else {})
    return session_folder(folder / "ses", ran)


SAVED = "format: closedloop-trains\nversion: 1\nsource: x\n"

CASES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "nothing there": (lambda folder: folder / "nothing", "is not there; give a session folder"),
    "an empty folder": (lambda folder: folder, "header.json: cannot be read"),
    "some other file": (file("trains.txt", "1\n"), "is neither a session folder nor a .csv or .yaml"),
    "not over": (
        without("summary.json"),
        "is not over, or was broken off; wait for its end, or run closedloop recover",
    ),
    "no events": (without("events.jsonl"), "events.jsonl: cannot be read"),
    "damaged header": (changed("header.json", lambda text: text[:50]), "header.json is damaged; restore it"),
    "a header of something else": (changed("header.json", lambda _: "{}"), "is no session of closedloop"),
    "a header that is a list": (changed("header.json", lambda _: "[]"), "is no session of closedloop"),
    "a header without a protocol": (changed("header.json", lambda text: text.replace('"protocol"', '"p"')), "damaged"),
    "a damaged event": (changed("events.jsonl", lambda text: text.replace("light_on", "light_of", 1)), "is damaged"),
    "played faster": (lambda folder: whole(folder, speed=20), "was played faster than it was made"),
    "sham": (sham, "gave no light, and none of its policies can"),
    "times unknown": (unknown_time, "a board's clock was not known; give another session"),
    "an empty table": (file("t.csv", ""), ":1: has no column time_s"),
    "a table without times": (file("t.csv", "when,block\n1,1\n"), ":1: has no column time_s"),
    "no number": (file("t.csv", "time_s\n1.0\nsoon\n"), ":3: time_s is no time (got soon)"),
    "nan": (file("t.csv", "time_s\nnan\n"), ":2: time_s is no time (got nan)"),
    "no end": (file("t.csv", "time_s\n1e300\n"), ":2: time_s is no time (got 1e300)"),
    "before the start": (file("t.csv", "time_s\n-1\n"), ":2: time_s must rise from 0 on"),
    "twice": (file("t.csv", "time_s\n1\n1\n"), ":3: time_s must rise from 0 on"),
    "a block that is none": (file("t.csv", "time_s,block\n1,0\n"), ":2: block must be 1 to 32 (got 0)"),
    "half a block": (file("t.csv", "time_s,block\n1,1.5\n"), ":2: block must be 1 to 32 (got 1.5)"),
    "a short line": (file("t.csv", "block,time_s\n1\n"), ":2: time_s is no time"),
    "not text": (file("t.csv", b"time_s\n\xff\xfe\n"), "cannot be read as CSV"),
    "too many": (
        file("t.csv", "time_s\n" + "\n".join(str(at) for at in range(9000))),
        "9000 trains; at most 8192",
    ),
    "a typo in a saved file": (file("t.yaml", SAVED + "times_us: [[1]]\ncolck: block\n"), "did you mean 'clock'?"),
    "no times in a saved file": (file("t.yaml", SAVED), "times_us: missing field"),
    "times that fall": (file("t.yaml", SAVED + "times_us: [[2, 1]]\n"), "must rise within a block"),
}


@pytest.mark.parametrize("kind", ["yoked", "open_loop"])
@pytest.mark.parametrize("case", CASES)
def test_an_invalid_partner_is_refused_with_its_place_and_what_to_do(case: str, kind: str, tmp_path: Path) -> None:
    make, said = CASES[case]
    mine = protocol_with(tmp_path, make(tmp_path), kind)
    with pytest.raises(ConfigError) as refused:
        load_protocol(str(mine))
    (line,) = refused.value.problems
    assert line.startswith(f"{mine}:{mine.read_text().splitlines().index(f'  kind: {kind}') + 2}: policy.partner: ")
    assert said in line
    assert ";" in line or "did you mean" in line
    assert "\n" not in line


def test_a_yoked_policy_without_a_partner_says_what_to_add(tmp_path: Path) -> None:
    mine = protocol_with(tmp_path, "x")
    mine.write_text(mine.read_text().replace("  partner: x\n", ""))
    with pytest.raises(ConfigError, match="partner: missing field; add it, for example 'partner: data/sub-M17"):
        load_protocol(str(mine))


def test_a_relative_partner_begins_at_the_protocols_own_folder(tmp_path: Path) -> None:
    whole(tmp_path)
    assert load_protocol(str(protocol_with(tmp_path, "ses"))).policy.partner.count == 3


def test_a_partner_that_could_have_had_light_and_had_none_is_a_dark_session_and_check_says_so(tmp_path: Path) -> None:
    ran = logged(readings(noise(20)), plan())
    session_folder(tmp_path / "ses", ran)
    policy = load_protocol(str(protocol_with(tmp_path, "ses"))).policy
    assert policy.partner.count == 0
    assert policy.notes() == [f"{tmp_path.name}/ses had no light: this session stays dark"]


def test_a_blinded_partner_is_refused_in_the_same_words_whether_it_had_light_or_not(tmp_path: Path) -> None:
    said = []
    for policy in (Sham(), ClosedLoop()):
        place = tmp_path / policy.kind
        place.mkdir()
        ran = logged(readings(with_events(noise(20), [12.0, 16.0])), plan(policy=policy))
        session_folder(place / "ses", ran, decisions=["decided", "test"], blinded="A")
        with pytest.raises(ConfigError, match="is blinded, and its trains would tell its arm") as refused:
            load_protocol(str(protocol_with(place, "ses")))
        said.append(str(refused.value).replace(str(place), ""))
    assert said[0] == said[1]


def test_a_recording_holds_the_trains_and_not_the_place_they_were_in(tmp_path: Path) -> None:
    folder = whole(tmp_path)
    protocol = load_protocol(str(protocol_with(tmp_path, "ses")))
    told = json.loads(json.dumps(protocol.model_dump(mode="json", exclude_none=True)))
    (folder / "events.jsonl").unlink()
    again = type(protocol).model_validate(told, context={"from_file": True})
    assert again == protocol


@pytest.mark.parametrize("seed", range(30))
def test_no_damage_of_a_partners_folder_raises_anything_but_words(seed: int, tmp_path: Path) -> None:
    random, folder = np.random.default_rng(seed), whole(tmp_path)
    path = folder / ["header.json", "events.jsonl", "summary.json"][seed % 3]
    data = bytearray(path.read_bytes())
    for at in random.integers(0, len(data), 1 + seed % 4):
        data[at] = random.integers(0, 256)
    path.write_bytes(data[: None if seed % 2 else random.integers(0, len(data))])
    mine = protocol_with(tmp_path, folder)
    with contextlib.suppress(ConfigError):
        load_protocol(str(mine))


def test_nothing_is_started_with_another_train_than_the_partners(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole(tmp_path)  # 200 ms at full level
    mine = protocol_with(tmp_path, "ses")
    ran = command(capsys, "run", mine, "--rig", "simulated", "--headless", "--json", "--out", tmp_path / "out")
    assert ran.code == 2
    assert "policy yoked: partner: its light was level 65535, not 32768" in ran.said
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").rglob("header.json"))
