"""The dashboard's page: its pictures are those that the command makes, its keys and states those that there are."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("PyQt6")

from pytestqt.qtbot import QtBot

from closedloop.dashboard import help_overlay
from closedloop.dashboard.help_overlay import keys_of
from closedloop.dashboard.plots.plots import Plots
from closedloop.watching.status import State

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "dashboard.md").read_text(encoding="utf-8")
PNG = b"\x89PNG\r\n\x1a\n"
MOST_BYTES, MOST_BYTES_IN_ALL = 150_000, 2_000_000


@pytest.fixture(scope="module")
def command():
    """The command that makes the pictures, not run."""
    spec = importlib.util.spec_from_file_location("docs_pictures", DOCS / "pictures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def shown() -> list[str]:
    return re.findall(r"!\[[^\]]+\]\(pictures/(\w+)\.png\)", PAGE)


def table(heading: str) -> list[list[str]]:
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def test_the_page_shows_each_picture_that_the_command_makes_once_and_no_other(command) -> None:
    assert sorted(shown()) == sorted(command.NAMES)
    assert len(set(command.NAMES)) == len(command.NAMES)


def test_each_picture_is_there_is_small_and_none_is_left_over(command) -> None:
    files = sorted((DOCS / "pictures").iterdir())
    assert [file.name for file in files] == sorted(f"{name}.png" for name in command.NAMES)
    sizes = [file.stat().st_size for file in files]
    assert max(sizes) <= MOST_BYTES
    assert sum(sizes) <= MOST_BYTES_IN_ALL
    assert all(file.read_bytes().startswith(PNG) for file in files)


def test_the_command_says_which_pictures_there_are_when_asked_for_another(command, capsys) -> None:
    assert command.main(["sunset"]) == 2
    said = capsys.readouterr().err
    assert "sunset" in said
    assert "light_on" in said


def test_the_page_has_the_keys_that_the_help_sheet_has(qtbot: QtBot) -> None:
    plots = Plots()
    qtbot.addWidget(plots)
    groups = {
        "Stop": help_overlay.STOP,
        "Light": help_overlay.LIGHT,
        "Window": help_overlay.WINDOW,
        "Plots": keys_of(plots.keys) + help_overlay.IN_PLOTS,
    }
    assert table("All keys") == [[group, key, words] for group, keys in groups.items() for key, words in keys]


def test_the_page_has_every_state_in_its_order() -> None:
    assert [row[0] for row in table("The states, and what to look at first")] == [state.value for state in State]
