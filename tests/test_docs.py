"""What README.md and docs/ say is true of the code, as far as a program can see."""

from __future__ import annotations

import json
import pkgutil
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sessions import command
from test_configs import fits

from closedloop import cli, detectors, schema, wire, yaml_tree
from closedloop.changes import TEST_PULSE
from closedloop.limits import Limits
from closedloop.model import kinds
from closedloop.protocol import Protocol, load_protocol
from closedloop.recording import Recording
from closedloop.train import Refusal

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROTOCOL_PAGES = ("anchors.md", "choose_a_detector.md", "tune_a_detector.md")
TEXTS = {page: page.read_text(encoding="utf-8") for page in PAGES}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def links() -> list[tuple[Path, str]]:
    found = [(page, target) for page, text in TEXTS.items() for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    return [(page, target) for page, target in found if "://" not in target]


def command_lines() -> list[str]:
    shown = [line for text in TEXTS.values() for block in blocks(text, "") for line in block.splitlines()]
    return [line for line in shown if line.startswith(("closedloop ", "python3 start.py "))]


def test_there_is_something_to_check() -> None:
    assert len(PAGES) > 10
    assert len(links()) > 15
    assert len(command_lines()) > 8


@pytest.mark.parametrize(("page", "target"), links(), ids=lambda value: Path(str(value)).name)
def test_every_relative_link_leads_somewhere(page: Path, target: str) -> None:
    assert (page.parent / target.partition("#")[0]).exists()


@pytest.mark.parametrize("line", command_lines())
def test_every_command_line_shown_is_one(line: str) -> None:
    _, *words = shlex.split(line)
    if words[0] == "start.py":
        words = words[1:]
    if words[0] != "test":  # start.py's own
        assert cli._parser().parse_args(words).command


def test_the_readme_names_every_command_there_is() -> None:
    said = TEXTS[ROOT / "README.md"] + TEXTS[ROOT / "docs" / "add_a_detector.md"]
    subcommands: Any = cli._parser()._subparsers
    for name in subcommands._group_actions[0].choices:
        assert re.search(rf"(closedloop|start\.py) {name}\b", said), name


@pytest.mark.parametrize(("number", "message"), wire.TABLE.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_the_wire_page_has_every_message_with_its_number_and_fields(number: int, message: type[wire.Message]) -> None:
    row = next(r for r in TEXTS[ROOT / "docs" / "wire.md"].splitlines() if f"| `{message.__name__}` |" in r)
    _, shown_number, _, _, shown_fields, *_ = (cell.strip() for cell in row.split("|"))
    types = {code: name.lower() for name, code in zip(("U8", "U16", "U32", "U64", "I32"), "BHIQi", strict=True)}
    fields = ", ".join(f"{name} {types[code]}" for name, code in wire._codes(message))
    assert (int(shown_number, 16), shown_fields) == (number, fields or "–")


@pytest.mark.parametrize("enum", wire.ENUMS)
def test_the_wire_page_has_every_number_with_its_name(enum: Any) -> None:
    text = " ".join(TEXTS[ROOT / "docs" / "wire.md"].split())
    assert f"**{enum.__name__}** " + ", ".join(f"{x.value} {x.name}" for x in enum) in text


def test_the_pages_name_every_reason_for_which_light_is_refused() -> None:
    recording = " ".join(TEXTS[ROOT / "docs" / "recording.md"].split())
    assert ", ".join(f"{x.value} {x.name.lower()}" for x in Refusal if x) in recording
    safety = TEXTS[ROOT / "docs" / "safety.md"]
    boards = {x.name.lower() for x in wire.Reason if x and not x.name.startswith("HOST_")}
    assert [name for name in {x.name.lower() for x in Refusal if x} | boards if f"`{name}`" not in safety] == []


def test_every_test_named_in_the_pages_exists() -> None:
    tests = {
        name for file in ROOT.glob("*tests/*.py") for name in re.findall(r"def (test_\w+)", file.read_text("utf-8"))
    }
    named = {name for text in TEXTS.values() for name in re.findall(r"`(test_\w+)`", text)}
    assert named
    assert named - {TEST_PULSE} <= tests


def dotted_names() -> list[str]:
    """`module.name` and `module.Class.method`, where the first part is a module of ours and not a file or a field."""
    names = {name for text in TEXTS.values() for name in re.findall(r"`(\w+(?:\.\w+)+)`", text)}
    ours = {path.stem for path in (ROOT / "closedloop").iterdir()}
    others = {f"limits.{field}" for field in Limits.model_fields}
    return sorted(
        name
        for name in names - others
        if name.partition(".")[0] in ours and not name.endswith((".py", ".yaml", ".table", ".csv", ".png", ".svg"))
    )


@pytest.mark.parametrize("name", dotted_names())
def test_what_the_pages_name_by_its_module_is_there(name: str) -> None:
    assert pkgutil.resolve_name(f"closedloop.{name}")


def test_every_other_name_on_the_path_is_in_the_source() -> None:
    files = [*(ROOT / "closedloop").rglob("*.py"), *(ROOT / "firmware").glob("[ac]*r*/*.[ch]")]
    source = "\n".join(file.read_text("utf-8") for file in files)
    path = TEXTS[ROOT / "docs" / "path_of_a_reading.md"]
    words = {word for name in re.findall(r"`([\w.]+)`", path) for word in name.split(".")} - {"py"}
    assert len(words) > 60
    assert [word for word in words if not re.search(rf"\b{word}\b", source, re.IGNORECASE)] == []


def test_the_example_detector_is_found_by_yaml_and_detects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = TEXTS[ROOT / "docs" / "add_a_detector.md"]
    (code,), (used,) = blocks(page, "python"), blocks(page, "yaml")
    (tmp_path / "running_z.py").write_text(code)
    monkeypatch.setattr(detectors, "__path__", [*detectors.__path__, str(tmp_path)])
    assert "running_z" in kinds(detectors)

    demo = (ROOT / "configs" / "protocols" / "demo.yaml").read_text()
    file = tmp_path / "mine.yaml"
    file.write_text(re.sub(r"^detector:\n(  .*\n)+", used, demo, flags=re.MULTILINE))
    assert load_protocol(str(file)).detector.kind == "running_z"
    trace = 1 + 0.005 * np.random.default_rng(1).standard_normal(6000)
    trace[5000:5050] *= 1.2
    rows = "\n".join(f"{at / 100},{value:.9f}" for at, value in enumerate(trace))
    (tmp_path / "trace.csv").write_text(f"time_s,signal\n{rows}\n")
    ran = command(capsys, "replay", tmp_path / "trace.csv", "--protocol", file, "--json")
    assert ran.code == 0, ran.said
    assert ran.summary["decisions"]["fire"] >= 1


def fragments() -> list[str]:
    """Parts of a protocol that the pages show; those that show none of its fields are of a rig, or of another file."""
    shown = [block for page in PROTOCOL_PAGES for block in blocks(TEXTS[ROOT / "docs" / page], "yaml")]
    return [block for block in shown if set(sections(block)) <= set(Protocol.model_fields)]


def sections(text: str) -> dict[str, str]:
    """Top-level fields of a YAML file, each with its lines."""
    return {found[1]: found[0] for found in re.finditer(r"^(\w+):.*\n(?:[ ].*\n)*", text, flags=re.MULTILINE)}


@pytest.mark.parametrize("block", fragments())
def test_every_part_of_a_protocol_that_is_shown_loads(block: str, tmp_path: Path) -> None:
    demo = sections((ROOT / "configs" / "protocols" / "demo.yaml").read_text("utf-8"))
    shown = sections(block)
    if "anchor" in shown:
        shutil.copy(ROOT / "configs" / "anchors" / "simulated.json", tmp_path / "M17.anchor.json")
        demo["features"] = sections((ROOT / "configs" / "protocols" / "baseline.yaml").read_text("utf-8"))["features"]
    (tmp_path / "mine.yaml").write_text("".join((demo | shown).values()), encoding="utf-8")
    loaded = load_protocol(str(tmp_path / "mine.yaml"))
    assert loaded.rate_problems(130.0) == []
    made = json.loads((schema.FOLDER / "protocol.schema.json").read_text("utf-8"))
    assert fits(yaml_tree.read(tmp_path / "mine.yaml")[1], made, made)


def test_choosing_a_detector_shows_every_kind_there_is() -> None:
    page = TEXTS[ROOT / "docs" / "choose_a_detector.md"]
    shown = "".join(block for block in blocks(page, "yaml"))
    assert [kind for kind in kinds(detectors) if f"`{kind}`" not in page] == []
    assert [kind for kind in kinds(detectors) if f"kind: {kind}" not in shown and kind != "any"] == []
    readme = TEXTS[ROOT / "README.md"]
    assert [kind for kind in kinds(detectors) if f"`{kind}`" not in readme] == []


def test_the_reader_on_the_recording_page_reads_a_session_without_the_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = blocks(TEXTS[ROOT / "docs" / "recording.md"], "python")
    there: dict[str, Any] = {}
    exec(code, there)
    ran = command(capsys, "demo", "--headless", "--duration", "2s", "--json", "--out", tmp_path)
    assert ran.code == 0, ran.said
    folder = Path(ran.summary["session"])
    rows = there["read_table"](folder / "readings.table")
    assert rows.tobytes() == Recording.open(folder).rows().tobytes()
    page = TEXTS[ROOT / "docs" / "recording.md"]
    assert [name for name in rows.dtype.names if f"`{name}`" not in page] == []
    assert [key for key in Recording.open(folder).header if f"`{key}`" not in page] == []
    assert [path.name for path in folder.iterdir() if path.name not in page] == []
