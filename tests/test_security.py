"""What a stranger's file, folder or line can do to whoever opens it: nothing but be refused in one line of words.

See docs/security.md for what is guaranteed and what is not.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from recorded_session import ran

import closedloop
from closedloop import anchor, calibration, cli, kernel_cache, partner_file, plain_file, screen, seal
from closedloop.analysis.replay import open_recording
from closedloop.analysis.summary import summarise
from closedloop.control import LONGEST_LINE, Arm, Order, Stop, line_of
from closedloop.door import FILE, Door
from closedloop.errors import ClosedLoopError, ConfigError, RecordingError
from closedloop.protocol import load_protocol
from closedloop.recording import Recording
from closedloop.recording import folder as files
from closedloop.recording.layout import FIELDS_AT, HEAD_AT, PAGE_BYTES, SYNCED_AT
from closedloop.remote import Remote
from closedloop.watching.follower import Follower, Stage
from closedloop.yaml_tree import read as read_yaml

PACKAGE = Path(closedloop.__file__).parent
ROOT = PACKAGE.parent
POSIX = pytest.mark.skipif(os.name != "posix", reason="pipes, devices, modes and owners are POSIX")
ESCAPE = "\x1b]0;owned\x07\x1b[31m"
MARKUP = "<img src='file:///etc/passwd'><b>x</b>"


def refused(capsys: pytest.CaptureFixture[str], code: int, *arguments: object) -> str:
    """What a command says that must refuse: no traceback, nothing on standard output, nothing a terminal obeys."""
    capsys.readouterr()
    assert cli.main([str(argument) for argument in arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert err.replace("\n", "").isprintable()
    assert err.strip()
    return err


def tree_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


# YAML


def demo(**changes: str) -> str:
    """The demo protocol with lines put in before it."""
    return "".join(f"{name}: {value}\n" for name, value in changes.items()) + "version: 1\n"


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\n" + "".join(f"c{n}: &c{n} [*b, *b, *b]\n" for n in range(40))
HOSTILE_YAML = {
    "object": "version: !!python/object/apply:os.system ['touch owned']\n",
    "object_new": "version: !!python/object/new:os.system ['touch owned']\n",
    "module": "version: !!python/module:os\n",
    "name": "version: !!python/name:os.system\n",
    "tagged_key": "!!python/object/apply:os.system ['touch owned']: 1\n",
    "local_tag": "version: !include /etc/passwd\n",
    "anchors": "version: &v 1\nname: *v\n",
    "billion_laughs": BOMB,
    "merge": "<<: {version: 1}\nversion: 1\n",
    "deep_flow": "[" * 100_000,
    "deep_block": "- " * 100_000,
    "deep_map": "{a: " * 50_000,
    "deep_keys": "? " * 50_000,
    "many_values": "a: [" + "1," * 150_000 + "]\n",
    "long_scalar": "name: " + "a" * 200_000 + "\n",
    "long_number": "seed: " + "9" * 100_000 + "\n",
    "nul": 'name: "a\\0b"\n',
    "raw_nul": "name: a\0b\n",
    "escape": 'name: "\\e]0;owned\\a"\n',
    "surrogate": 'name: "\\ud800"\n',
    "turned_around": "name: 'gnp.\u202exslx'\n",
    "line_separator": 'name: "a\\Lb"\n',
    "two_documents": "version: 1\n---\nversion: 1\n",
    "directive": "%YAML 1.1\n%TAG ! tag:python.org,2002:\n---\nversion: 1\n",
    "a_list": "- 1\n",
    "nothing": "",
}


@pytest.mark.parametrize("name", HOSTILE_YAML)
def test_a_hostile_yaml_file_is_refused_in_words_and_runs_nothing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.yaml").write_text(HOSTILE_YAML[name], encoding="utf-8")
    said = refused(capsys, 2, "run", "p.yaml", "--rig", "simulated", "--headless", "--out", tmp_path / "data")
    assert all(line.startswith("p.yaml") for line in said.splitlines())
    assert all(len(line) < 400 for line in said.splitlines())
    assert tree_of(tmp_path) == {"p.yaml"}


@POSIX
@pytest.mark.parametrize("command", ["check", "tune", "replay"])
def test_no_command_waits_for_a_pipe_or_reads_a_device_to_its_end(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    for name in ("pipe.yaml", "zero.yaml"):
        more = [] if command == "check" else [tmp_path / "none.ppd", "--protocol"]
        refused(capsys, 2, command, *more, tmp_path / name)


def readers() -> dict[str, Any]:
    """Whatever reads a file that a configuration names."""
    return {
        "yaml": read_yaml,
        "calibration": calibration.read,
        "anchor": anchor.read,
        "partner": partner_file.read,
        "sealed": lambda path: seal.unseal(plain_file.read_text(path)),
    }


@POSIX
@pytest.mark.parametrize("kind", readers())
@pytest.mark.parametrize("what", ["pipe", "zero", "random", "folder", "huge", "binary", "nothing"])
def test_what_a_configuration_names_is_read_only_if_it_is_a_file_of_sensible_size(
    kind: str, what: str, tmp_path: Path
) -> None:
    path = tmp_path / "named.yaml"
    if what == "pipe":
        os.mkfifo(path)
    elif what in ("zero", "random"):
        path.symlink_to(f"/dev/{what}")
    elif what == "folder":
        path.mkdir()
    elif what == "huge":
        with path.open("wb") as file:
            file.truncate(2**40)  # a terabyte of nothing: it takes no space
    elif what == "binary":
        path.write_bytes(bytes(range(256)) * 10)
    with pytest.raises((ClosedLoopError, OSError, UnicodeDecodeError)):
        readers()[kind](path)


PARTNERS = ["../../../etc/passwd", "/etc/passwd", "a\0b", "x" * 10_000, "x/" * 5000, "con", "\ud800", "~/x"]


@pytest.mark.parametrize("name", PARTNERS, ids=range(len(PARTNERS)))
def test_a_partner_that_a_protocol_names_is_read_and_never_written(name: str, tmp_path: Path) -> None:
    text = json.dumps(name)[1:-1] if name.isascii() else "\\ud800"
    yaml = (ROOT / "configs" / "protocols" / "demo.yaml").read_text().partition("\npolicy:")
    (tmp_path / "p.yaml").write_text(f'{yaml[0]}\npolicy: {{kind: yoked, partner: "{text}"}}\n')
    with pytest.raises(ConfigError) as error:
        load_protocol(str(tmp_path / "p.yaml"))
    assert all(line.isprintable() for line in str(error.value).split("\n"))
    assert tree_of(tmp_path) == {"p.yaml"}


@pytest.mark.parametrize(
    "port", ["spy:///dev/ttyACM0?file=owned", "alt://x?class=PosixPollSerial", "hwgrep://.*", "loop://", "SPY://x"]
)
def test_a_rig_file_cannot_make_the_serial_library_write_a_file(
    port: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = refused(capsys, 2, "run", "demo", "--rig", "arduino_uno", "--set", f"rig.daq.port={port}", "--headless")
    assert "is no serial port" in said
    assert tree_of(tmp_path) == set()


# Names

NAMES = [
    *("..", ".", "/", "../x", "/etc", "a/b", "a\\b", "C:\\x", "a\0b", "a\nb", "M1\n", " M1", "M1 ", "M1.", "M1..", ""),
    *("x" * 10_000, "x" * 65, "CON:", "é", "Ⅷ", "٣", "ﬀ", "a\u202eb", "a\u200db", ESCAPE, "-rf", "$(touch x)", "`x`"),
    *("M1;x", "M1&x", "%00", "..%2f", "~", "*", "a:b", "\ud800"),
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_no_subjects_name_leads_out_of_the_data_folder(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(capsys, 2, "run", "demo", "--rig", "simulated", "--headless", f"--subject={name}", "--out", "data")
    with pytest.raises(ConfigError):
        files.create(tmp_path / "data", name, __import__("datetime").datetime(2026, 1, 2))
    assert tree_of(tmp_path) == set()


@pytest.mark.parametrize("name", [one for one in NAMES if one.isascii()][:20], ids=range(20))
def test_no_animals_name_in_a_study_leads_out_of_its_data_folder(name: str, tmp_path: Path) -> None:
    from closedloop.study import load_study

    text = (ROOT / "configs" / "studies").glob("*.yaml")
    base = next(text, None)
    assert base is not None
    study = base.read_text()
    first = next(line for line in study.splitlines() if "id:" in line)
    (tmp_path / "s.yaml").write_text(study.replace(first, f"  - {{id: {json.dumps(name)}, start: 2026-03-02}}"))
    with pytest.raises(ConfigError):
        load_study(tmp_path / "s.yaml")
    assert tree_of(tmp_path) == {"s.yaml"}


# A stranger's recording


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session as it should be."""
    return ran(tmp_path_factory.mktemp("data"), {"kind": "closed_loop"}, blind=False)


@pytest.fixture
def strange(honest: Path, tmp_path: Path) -> Path:
    """A copy of it, for a stranger to work on."""
    return shutil.copytree(honest, tmp_path / "sub-M1" / "ses-20260504T120000")


def opened(folder: Path) -> None:
    """All that can be read of a recording. Raises RecordingError, or nothing."""
    recording = Recording.open(folder)
    assert recording.rows().dtype.hasobject is False
    recording.table.verify()
    recording.events()
    recording.health()
    _ = (recording.summary, recording.stream)


def followed(folder: Path) -> Follower:
    """What `watch` reads of it: it never raises."""
    follower = Follower(folder)
    for _ in range(5):
        follower.turn()
    return follower


def test_an_honest_session_can_be_opened(honest: Path) -> None:
    opened(honest)
    assert followed(honest).stage is Stage.FINISHED


FILES_OF_A_SESSION = (files.HEADER, files.TABLE, files.EVENTS, files.HEALTH_TABLE, files.SUMMARY)


@POSIX
@pytest.mark.parametrize("what", ["pipe", "/dev/zero", "/dev/random", "/dev/tty", "/etc/passwd", "folder", "loop"])
@pytest.mark.parametrize("name", FILES_OF_A_SESSION)
def test_a_session_folder_with_something_else_in_a_files_place_is_refused_at_once(
    name: str, what: str, strange: Path
) -> None:
    (strange / name).unlink()
    if what == "pipe":
        os.mkfifo(strange / name)
    elif what == "folder":
        (strange / name).mkdir()
    elif what == "loop":
        (strange / name).symlink_to(name)
    else:
        (strange / name).symlink_to(what)
    before = Path("/etc/passwd").read_bytes()
    try:
        opened(strange)
    except RecordingError as error:
        assert "\n" not in str(error)  # noqa: PT017 - it may also be read as if the file were not there
    followed(strange)
    assert Path("/etc/passwd").read_bytes() == before


def test_links_to_a_sessions_own_files_elsewhere_are_followed(strange: Path, tmp_path: Path) -> None:
    for name in FILES_OF_A_SESSION:
        (strange / name).rename(tmp_path / name)
        (strange / name).symlink_to(tmp_path / name)
    opened(strange)


def page(strange: Path) -> bytearray:
    return bytearray((strange / files.TABLE).read_bytes())


def with_fields(strange: Path, change: Any, row_bytes: int | None = None, stride: int | None = None) -> None:
    """The readings' first page with other fields, and a check that is right."""
    data = page(strange)
    size = int.from_bytes(data[20:24], "little")
    about = json.loads(data[FIELDS_AT : FIELDS_AT + size])
    changed = change(about)
    text = changed if isinstance(changed, bytes) else json.dumps(changed, separators=(",", ":")).encode()
    data[FIELDS_AT : FIELDS_AT + size] = b"\0" * size
    data[FIELDS_AT : FIELDS_AT + len(text)] = text
    for at, value in ((12, row_bytes), (16, stride), (20, len(text))):
        if value is not None:
            data[at : at + 4] = value.to_bytes(4, "little")
    data[24:28] = crc32(bytes(data[:24]) + text).to_bytes(4, "little")
    (strange / files.TABLE).write_bytes(data)


HOSTILE_FIELDS: dict[str, Any] = {
    "objects": lambda a: a | {"formats": ["O"] * len(a["names"])},
    "one_object": lambda a: a | {"formats": ["|O", *a["formats"][1:]]},
    "texts": lambda a: a | {"formats": ["<U4", *a["formats"][1:]]},
    "bytes": lambda a: a | {"formats": ["|S4", *a["formats"][1:]]},
    "raw": lambda a: a | {"formats": ["|V4", *a["formats"][1:]]},
    "dates": lambda a: a | {"formats": ["<M8[us]", *a["formats"][1:]]},
    "huge_field": lambda a: a | {"formats": ["(1000000000,)f8", *a["formats"][1:]]},
    "huge_text": lambda a: a | {"formats": ["U2000000000", *a["formats"][1:]]},
    "nested": lambda a: a | {"formats": [[["x", "O"]], *a["formats"][1:]]},
    "huge_row": lambda a: a | {"itemsize": 2**31 - 1},
    "endless_row": lambda a: a | {"itemsize": 10**30},
    "negative_row": lambda a: a | {"itemsize": -1},
    "no_row": lambda a: a | {"itemsize": 0},
    "outside": lambda a: a | {"offsets": [10**9, *a["offsets"][1:]]},
    "before": lambda a: a | {"offsets": [-8, *a["offsets"][1:]]},
    "twice": lambda a: a | {"names": [a["names"][1], *a["names"][1:]]},
    "no_names": lambda a: a | {"names": []},
    "numbers_for_names": lambda a: a | {"names": list(range(len(a["names"])))},
    "lacking": lambda a: {"names": a["names"]},
    "list": lambda a: [a],
    "number": lambda a: 7,
    "deep": lambda a: b"[" * 3800,
    "nan": lambda a: a | {"itemsize": float("nan")},
    "code": lambda a: a | {"formats": ["__import__('os').system('touch owned')", *a["formats"][1:]]},
}


@pytest.mark.parametrize("name", HOSTILE_FIELDS)
def test_a_table_of_anything_but_plain_numbers_is_refused(name: str, strange: Path) -> None:
    with_fields(strange, HOSTILE_FIELDS[name])
    with pytest.raises(RecordingError):
        opened(strange)
    assert followed(strange).stage is Stage.UNREADABLE


@pytest.mark.parametrize(
    ("row_bytes", "stride"),
    [(0, 0), (0, 8), (2**32 - 1, 2**32 - 8), (8, 8), (None, 0), (None, 1), (None, 2**31), (1, None)],
)
def test_a_table_whose_sizes_contradict_its_fields_is_refused(
    row_bytes: int | None, stride: int | None, strange: Path
) -> None:
    with_fields(strange, lambda about: about, row_bytes, stride)
    with pytest.raises(RecordingError):
        opened(strange)


@pytest.mark.parametrize("rows", [2**63, 2**64 - 1, 10**12])
def test_rows_that_are_claimed_and_not_there_cost_no_memory(rows: int, strange: Path) -> None:
    whole = len(Recording.open(strange).rows())
    data = page(strange)
    for at in (HEAD_AT, SYNCED_AT):
        data[at : at + 8] = rows.to_bytes(8, sys.byteorder)
    (strange / files.TABLE).write_bytes(data)
    recording = Recording.open(strange)
    assert len(recording.rows()) == whole
    assert recording.table.cut == rows - whole


@POSIX
def test_a_hole_of_a_terabyte_is_no_row(strange: Path) -> None:
    whole = len(Recording.open(strange).rows())
    data = page(strange)
    for at in (HEAD_AT, SYNCED_AT):
        data[at : at + 8] = (2**36).to_bytes(8, sys.byteorder)
    with (strange / files.TABLE).open("wb") as file:
        file.write(data)
        file.truncate(2**42)
    try:
        assert len(Recording.open(strange).rows()) == whole
    except RecordingError as error:
        assert "\n" not in str(error)  # noqa: PT017 - both are right
    assert len(followed(strange).rows(0, 10)) == 10


@POSIX
@pytest.mark.parametrize("name", [files.HEADER, files.EVENTS, files.SUMMARY])
def test_a_text_file_of_a_terabyte_is_not_read_to_its_end(name: str, strange: Path) -> None:
    with (strange / name).open("r+b") as file:
        file.truncate(2**40)
    try:
        opened(strange)
    except RecordingError as error:
        assert "\n" not in str(error)  # noqa: PT017 - what is before the hole may be read
    followed(strange)


def line(text: bytes) -> bytes:
    return text + b',"check":"%08x"}\n' % crc32(text)


HOSTILE_EVENTS = {
    "no_json": b"{this",
    "list": b"[1",
    "deep": b'{"n":' + b"[" * 100_000,
    "words_for_number": b'{"n":0,"ticks":"x","kind":"note","host_ns":0',
    "huge_number": b'{"n":0,"ticks":' + b"9" * 5000 + b',"kind":"note","host_ns":0',
    "beyond_64_bits": b'{"n":0,"ticks":99999999999999999999999,"kind":"note","host_ns":0',
    "map_for_kind": b'{"n":0,"ticks":1,"kind":{},"host_ns":0',
    "no_value": b'{"n":0,"ticks":1,"kind":"note","value":"code","host_ns":0',
    "not_text": b'{"n":0,"ticks":1,"kind":"\xff\xfe","host_ns":0',
}


@pytest.mark.parametrize("name", HOSTILE_EVENTS)
def test_an_event_that_no_program_of_ours_wrote_is_damage(name: str, strange: Path) -> None:
    (strange / files.EVENTS).write_bytes(line(HOSTILE_EVENTS[name]))
    recording = Recording.open(strange)
    assert recording.events() == []
    assert recording.log.cut > 0
    with pytest.raises(ConfigError):
        partner_file.read(strange)
    followed(strange)


NOTHING = object()
VALUES: list[Any] = [NOTHING, None, True, -1, 10**400, float("nan"), ESCAPE, [[]], {}, {"a": 1}]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_a_header_with_anything_in_any_place_is_opened_or_refused(value: Any, strange: Path) -> None:
    header = json.loads((strange / files.HEADER).read_text())
    demo = load_protocol("demo")
    for name in header:
        changed = {one: said for one, said in header.items() if one != name}
        changed |= {} if value is NOTHING else {name: value}
        (strange / files.HEADER).write_text(json.dumps(changed))
        with suppress(ConfigError, RecordingError):
            partner_file.read(strange)
        try:
            opened(strange)
            summarise(Recording.open(strange))
            open_recording(strange).steps(demo)
        except ClosedLoopError as error:
            assert str(error).isprintable(), name  # noqa: PT017 - it may also be opened
            followed(strange)


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 100_000, b"9" * 100_000, b"\xff\xfe{", b"", b"nan", b"[]"])
@pytest.mark.parametrize("name", [files.HEADER, files.SUMMARY])
def test_json_that_is_deep_long_or_none_is_refused_in_one_line(
    name: str, text: bytes, strange: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (strange / name).write_bytes(text)
    with pytest.raises(RecordingError) as error:
        opened(strange)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500
    if name == files.HEADER:
        assert refused(capsys, 5, "replay", strange, "--protocol", "demo").count("\n") == 1


def test_what_is_sealed_and_unpacks_without_end_is_refused() -> None:
    import base64
    import zlib

    bomb = base64.b64encode(zlib.compress(b"[" * 200_000_000, 9)).decode()
    with pytest.raises(RecordingError, match="damaged"):
        seal.unseal(f"closedloop-seal-1 {'0' * 64} {bomb}")
    deep = base64.b64encode(zlib.compress(b"[" * 100_000, 9)).decode()
    with pytest.raises(RecordingError, match="damaged"):
        seal.unseal(f"closedloop-seal-1 {'0' * 64} {deep}")


@POSIX
def test_an_export_does_not_write_through_a_strangers_links(strange: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    out = strange.parent / "export" / strange.name
    out.mkdir(parents=True)
    for name in ("samples.csv", "events.csv", "dose.csv", "totals.json"):
        (out / name).symlink_to(victim)
    assert cli.main(["export", str(strange), "--to", "csv"]) == 0
    assert victim.read_text() == "mine"
    assert (out / "samples.csv").stat().st_size > 1000


FOREIGN = {
    "pickle.ppd": b"\x80\x04\x95cos\nsystem\n(S'touch owned'\ntR.",
    "numpy.npy": b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
    "claims.ppd": b"\xff\xff{" + b" " * 100,
    "deep.ppd": (60_000).to_bytes(2, "little") + b"[" * 60_000,
    "huge.csv": b"time_s,signal,control\n" + b"9" * 100_000 + b",1,1\n",
    "formula.csv": b"time_s,signal,control\n=cmd|'/C calc'!A0,1,1\n",
    "escape.csv": b"time_s,signal,control\n" + ESCAPE.encode() + b",1,1\n",
    "nul.csv": b"time_s,signal,control\n\0,1,1\n",
    "columns.csv": b"time_s,signal," + b"input_x," * 100_000 + b"\n",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_strangers_recording_of_another_program_is_refused_in_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(FOREIGN[name])
    assert refused(capsys, 5, "replay", name, "--protocol", "demo").count("\n") == 1
    assert tree_of(tmp_path) == {name}


@POSIX
@pytest.mark.parametrize("name", ["x.ppd", "x.csv", "x"])
def test_a_foreign_recording_that_is_no_file_is_refused_at_once(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / name)
    refused(capsys, 5, "replay", tmp_path / name, "--protocol", "demo")
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/dev/zero")
    refused(capsys, 5, "replay", tmp_path / name, "--protocol", "demo")


def test_what_a_recording_says_is_shown_by_a_terminal_and_not_obeyed(
    strange: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header = json.loads((strange / files.HEADER).read_text())
    header["protocol"]["name"] = ESCAPE
    (strange / files.HEADER).write_text(json.dumps(header))
    renamed = strange.rename(strange.parent / f"ses-{ESCAPE.replace('/', '')}")
    cli.main(["replay", str(renamed), "--protocol", "demo"])
    cli.main(["replay", str(renamed / "none"), "--protocol", "demo"])
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert "\x07" not in out + err


# The control channel


class Served:
    """A door in a folder, with somebody who hears at it."""

    def __init__(self, folder: Path) -> None:
        self.orders: list[Order] = []
        self.door = Door(folder, self.orders.append)
        self.thread = threading.Thread(target=self.door.serve)
        self.thread.start()
        self.way = json.loads((folder / FILE).read_text())

    def ask(self, line: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.way["port"])) as client:
            client.sendall(line)
            with client.makefile("rb") as answers:
                return answers.readline()

    def close(self) -> None:
        self.door.close()
        self.thread.join()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path)
    yield made
    made.close()


TOKENS: list[Any] = ["", "x", "0" * 64, None, 7, ["a"], {}, True, "é" * 64, "\ud800", "0" * 3000]


@pytest.mark.parametrize("token", TOKENS, ids=range(len(TOKENS)))
def test_nobody_without_the_token_is_obeyed(token: Any, served: Served) -> None:
    answer = json.loads(served.ask(json.dumps({"token": token, "order": "stop", "reason": "x"}).encode() + b"\n"))
    assert answer["problem"]
    assert served.orders == []


NONSENSE = [
    b"[" * (LONGEST_LINE - 10),
    b'{"token":' * 400,
    b"9" * 4000,
    b"\xff\xfe\n",
    b"nan",
    b"",
    b"\0",
    b"GET / HTTP/1.1\r\nHost: localhost",
    b"__import__('os').system('touch owned')",
]


@pytest.mark.parametrize("text", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_ends_no_door(text: bytes, served: Served) -> None:
    served.ask(text + b"\n")
    assert json.loads(served.ask(line_of(Stop("still here"), served.way["token"])))["problem"] == ""
    assert served.orders == [Stop("still here")]


@pytest.mark.parametrize(
    "fields",
    [
        '"order":"threshold","threshold":' + "9" * 3000 + ',"release":1',
        '"order":"threshold","threshold":1e999,"release":1',
        '"order":"threshold","threshold":NaN,"release":NaN',
        '"order":"threshold","threshold":true,"release":1',
        '"order":"note","text":7',
        '"order":["stop"],"reason":"x"',
        '"order":"__init__"',
        '"order":"arm","more":1',
    ],
)
def test_an_order_that_makes_no_sense_is_answered_and_ends_nothing(fields: str, served: Served) -> None:
    answer = json.loads(served.ask(f'{{"token":"{served.way["token"]}",{fields}}}\n'.encode()))
    assert answer["problem"]
    assert len(answer["problem"]) < 300
    assert served.orders == []
    assert json.loads(served.ask(line_of(Arm(), served.way["token"])))["problem"] == ""


def test_a_line_that_never_ends_ends_its_client_alone(served: Served) -> None:
    with suppress(ConnectionError):
        assert served.ask(b"x" * (3 * LONGEST_LINE)) == b""
    assert json.loads(served.ask(line_of(Arm(), served.way["token"])))["problem"] == ""


def test_the_door_listens_to_this_computer_alone(served: Served) -> None:
    assert served.door._listener.getsockname()[0] == "127.0.0.1"


@POSIX
def test_the_token_is_its_owners_alone_and_goes_through_no_link(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        served = Served(tmp_path)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    served.close()
    assert not (tmp_path / FILE).exists()
    (tmp_path / FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        Door(tmp_path, lambda _: None)
    assert not (tmp_path / "elsewhere").exists()


WAYS: list[Any] = [
    {"port": 22, "token": "0" * 64},
    {"port": 80, "token": "0" * 64},
    {"port": -1, "token": "0" * 64},
    {"port": 2**70, "token": "0" * 64},
    {"port": "8000", "token": "0" * 64},
    {"port": 8000.5, "token": "0" * 64},
    {"port": 50_000, "token": "GET / HTTP/1.1\r\n"},
    {"port": 50_000, "token": 7},
    {"port": 50_000, "token": "A" * 64},
    {"port": 50_000},
    [],
    "x" * 100_000,
]


@pytest.mark.parametrize("way", WAYS, ids=range(len(WAYS)))
def test_a_strangers_folder_sends_orders_nowhere(way: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reached: list[Any] = []
    monkeypatch.setattr(socket, "create_connection", lambda *about, **more: reached.append(about))
    (tmp_path / FILE).write_text(json.dumps(way))
    assert not Remote(tmp_path).send(Stop("x"))
    assert reached == []


@POSIX
def test_a_way_in_that_is_a_pipe_or_a_device_is_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / FILE)
    assert not Remote(tmp_path).connect()
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).symlink_to("/dev/zero")
    assert not Remote(tmp_path).connect()


def test_a_port_that_answers_without_end_is_let_go(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        (tmp_path / FILE).write_text(json.dumps({"port": server.getsockname()[1], "token": "0" * 64}))
        remote = Remote(tmp_path)
        assert remote.connect()
        peer, _ = server.accept()
        with peer:
            peer.settimeout(10)
            for _ in range(100):
                try:
                    peer.sendall(b"x" * 10_000)
                except OSError:
                    break
                remote.answers()
        assert not remote.connected


# The program itself


def test_machine_code_is_kept_where_nobody_else_can_put_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    place = kernel_cache.place()
    assert place is not None
    if os.name == "posix":
        assert not place.stat().st_mode & 0o022
        assert not place.parent.stat().st_mode & 0o022


@POSIX
def test_machine_code_that_others_could_have_put_there_is_thrown_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    place = kernel_cache.place()
    assert place is not None
    (place / "planted.nbi").write_text("pickle")
    place.parent.chmod(0o777)
    assert kernel_cache.place() == place
    assert not (place / "planted.nbi").exists()
    assert not place.parent.stat().st_mode & 0o022


@POSIX
def test_another_users_folder_of_machine_code_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    (tmp_path / "theirs").mkdir()
    (tmp_path / "closedloop-kernels").symlink_to(tmp_path / "theirs")
    assert kernel_cache.place() is None
    (tmp_path / "closedloop-kernels").unlink()
    assert kernel_cache.place() is not None
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    assert kernel_cache.place() is None


FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "joblib", "code", "codeop", "ctypes"}
FORBIDDEN_NAMES = {("os", "system"), ("os", "popen"), ("yaml", "load"), ("yaml", "unsafe_load"), ("yaml", "full_load")}
ALLOWED = {
    name: {"ctypes"} for name in ("realtime.py", "space.py", "app.py")
}  # calls of the system that Python does not have


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imported(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    return {(node.module or "").split(".")[0]} if isinstance(node, ast.ImportFrom) else set()


def suspicious(node: ast.AST, path: Path) -> str:
    """Why a piece of source has no place here; '' if it has."""
    if wrong := (imported(node) & FORBIDDEN_MODULES) - ALLOWED.get(path.name, set()):
        return f"imports {', '.join(wrong)}"
    if not isinstance(node, ast.Call):
        return ""
    if isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
        return f"calls {node.func.id}"
    if isinstance(node.func, ast.Attribute) and (ast.unparse(node.func.value), node.func.attr) in FORBIDDEN_NAMES:
        return f"calls {ast.unparse(node.func)}"
    for keyword in node.keywords:
        if keyword.arg in ("shell", "allow_pickle") and not is_false(keyword.value):
            return f"says {keyword.arg}"
    return ""


def is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def test_nothing_in_the_program_runs_text_or_reads_pickles() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{getattr(node, 'lineno', 0)}: {why}"
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (why := suspicious(node, path))
    ]
    assert len(modules()) > 100
    assert found == []


def labels_without_a_format() -> list[str]:
    """Labels of the dashboard that are given a text which does not stand in the program, and guess its format."""
    found = []
    for path in sorted((PACKAGE / "dashboard").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if not (isinstance(node, ast.Assign) and "QLabel(" in ast.unparse(node.value)):
                continue
            for target in map(ast.unparse, node.targets):
                told = f"{target}.setTextFormat(Qt.TextFormat.PlainText)" in text
                if not told and f"{target}.setText(" in text:
                    found.append(f"{path.name}:{node.lineno}: {target}")
    return found


def test_no_label_of_the_dashboard_takes_a_recordings_words_for_html() -> None:
    assert labels_without_a_format() == []


def test_a_tip_shows_tags_and_does_not_obey_them() -> None:
    pytest.importorskip("PyQt6")
    from closedloop.dashboard.style import plain_tip

    assert "<img" not in plain_tip(MARKUP)
    assert plain_tip("signal: 5 V") == "signal: 5 V"


@pytest.mark.parametrize(
    "kind", ["../../os", "os", "os.path", "subprocess", "__init__", "..", "threshold.Threshold", "a\\0b"]
)
def test_a_kind_is_a_part_of_the_program_and_never_a_modules_name(kind: str, tmp_path: Path) -> None:
    load_protocol("demo")
    text = (ROOT / "configs" / "protocols" / "demo.yaml").read_text()
    (tmp_path / "p.yaml").write_text(text.replace("kind: ", f'kind: "{kind}" # ', 1))
    before = set(sys.modules)
    with pytest.raises(ConfigError, match="kind"):
        load_protocol(str(tmp_path / "p.yaml"))
    assert set(sys.modules) - before == set()


def test_a_session_starts_in_a_folder_full_of_a_strangers_modules(tmp_path: Path) -> None:
    for name in ("yaml", "numpy", "closedloop", "serial", "pydantic", "json", "pickle", "multiprocessing"):
        (tmp_path / f"{name}.py").write_text("open('owned', 'w').close()")
    script = shutil.which("closedloop", path=str(Path(sys.executable).parent))
    if script is None:
        pytest.skip("not installed as a command")
    subprocess.run([script, "--version"], cwd=tmp_path, check=True, capture_output=True)
    subprocess.run([*screen.command("--help")], cwd=tmp_path, check=True, capture_output=True)
    session = [script, "demo", "--headless", "--duration", "2s"]  # engine and simulated rig are processes, too
    subprocess.run(session, cwd=tmp_path, check=True, capture_output=True)
    assert not (tmp_path / "owned").exists()


def test_no_process_of_ours_looks_for_modules_in_the_folder_it_starts_in() -> None:
    started = [
        f"{path.relative_to(PACKAGE)}: {line.strip()}"
        for path in modules()
        for line in path.read_text(encoding="utf-8").splitlines()
        if '"-m"' in line and '"-P", "-m"' not in line
    ]
    assert started == []


def test_no_array_is_read_from_a_file_by_a_function_that_could_unpickle() -> None:
    for path in modules():
        text = path.read_text(encoding="utf-8")
        assert "np.load(" not in text, path
        assert "np.fromfile(" not in text, path
    assert np.lib.format.MAGIC_PREFIX == b"\x93NUMPY"
    assert PAGE_BYTES == 4096
