"""A session of a study is picked from what is due today; what the study says cannot be said on the page."""

from __future__ import annotations

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest
from PyQt6.QtCore import QPoint, Qt
from PyQt6.QtWidgets import QComboBox, QLabel, QLineEdit, QListWidget, QTextEdit
from study_files import day, plain_study, randomised, run, write_study

from closedloop import cli
from closedloop.dashboard.inputs.setup import Setup


@pytest.fixture
def page(qtbot):
    made = Setup()
    qtbot.addWidget(made)
    made.resize(1366, 632)
    made.show()
    made.requests = []
    made.start_asked.connect(made.requests.append)
    made.today = lambda: day(1)
    return made


def pick(qtbot, page, animal):
    """Click on the line of an animal."""
    lines = page.study_list
    row = next(row for row, words in enumerate(lines.words()) if f"  {animal} " in words)
    at = lines.visualItemRect(lines.item(row)).center()
    qtbot.mouseClick(lines.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(at))


def first_of(opened):
    return min(opened.allocation.animals, key=lambda one: one.rank).id


def texts(page):
    """All that stands on the page."""
    found = [one.text() for one in page.findChildren(QLabel)] + [one.text() for one in page.findChildren(QLineEdit)]
    found += [one.currentText() for one in page.findChildren(QComboBox) if one.isVisible()]
    found += [one.toPlainText() for one in page.findChildren(QTextEdit)]
    found += [one.item(row).text() for one in page.findChildren(QListWidget) for row in range(one.count())]
    return "\n".join(found)


def test_what_is_due_today_is_listed_in_the_order_of_the_day(page, tmp_path):
    opened = randomised(tmp_path)
    page.choose_study(str(opened.files.study))

    in_order = sorted(opened.allocation.animals, key=lambda one: one.rank)
    due = [line for line in page.study_list.words() if line.startswith("○")]
    assert [line.split()[1] for line in due] == [one.id for one in in_order]
    assert all("withdrawal day 1" in line and "due" in line for line in due)
    assert all(f"code {one.code}" in line for one, line in zip(in_order, due, strict=True))
    assert not page.start.isEnabled()
    assert "pick a session" in page.why_not.text()


def test_a_click_fills_in_the_session_and_starts_nothing(qtbot, page, tmp_path):
    opened = randomised(tmp_path)
    page.choose_study(str(opened.files.study))
    animal = first_of(opened)

    pick(qtbot, page, animal)

    assert page.requests == []
    assert page.problems == []
    assert page.subject.text() == animal
    assert page.protocol.currentText().endswith("quick.yaml")
    assert page.rig.currentText().endswith("simulated.yaml")
    assert page.out.text() == str(opened.files.data(opened.study))
    for field in (page.protocol, page.rig, page.subject, page.out, page.duration, page.seed):
        assert not field.isEnabled()
    assert page.start.isEnabled()


def test_what_is_started_is_the_command_line_that_the_study_takes(qtbot, page, tmp_path, capsys):
    opened = randomised(tmp_path)
    page.choose_study(str(opened.files.study))
    animal = first_of(opened)
    pick(qtbot, page, animal)

    page.start.click()

    (asked,) = page.requests
    expected = ["run", f"--study={opened.files.study}", f"--subject={animal}", "--phase=withdrawal day 1", "--headless"]
    assert asked.arguments() == expected
    options = cli._parser().parse_args(asked.arguments())
    assert (str(options.study), options.subject, options.phase) == (str(opened.files.study), animal, "withdrawal day 1")


def test_a_session_out_of_order_wants_a_reason(qtbot, page, tmp_path):
    opened = randomised(tmp_path)
    page.choose_study(str(opened.files.study))
    last = max(opened.allocation.animals, key=lambda one: one.rank).id
    pick(qtbot, page, last)
    assert any("comes first in the order of the day" in problem for problem in page.problems)
    assert not page.start.isEnabled()

    page._run.reason.setText("the first one's fibre is loose")
    page.check_now()

    assert page.problems == []
    assert page.request().arguments()[-2] == "--reason=the first one's fibre is loose"


def test_a_session_that_is_done_cannot_be_picked(qtbot, page, tmp_path):
    opened = randomised(tmp_path)
    animal = first_of(opened)
    run(opened, animal, day(1))
    page.choose_study(str(opened.files.study))

    pick(qtbot, page, animal)

    assert page.request().phase is None
    assert any(line.startswith("✓") and animal in line for line in page.study_list.words())


def test_without_its_study_the_page_is_free_again(qtbot, page, tmp_path):
    opened = randomised(tmp_path)
    page.choose_study(str(opened.files.study))
    pick(qtbot, page, first_of(opened))

    page.choose_study("")

    assert page.request().study is None
    assert page.protocol.isEnabled()
    assert page.form.isVisible()
    assert page.request().arguments()[0:2] != ["run", "--study"]


def test_a_study_that_is_not_randomised_or_not_there_says_what_to_do(page, tmp_path):
    path = write_study(tmp_path, plain_study())
    page.choose_study(str(path))
    assert any("closedloop randomise" in line for line in page.study_list.words())

    page.choose_study(str(tmp_path / "nowhere.yaml"))
    assert any("nowhere.yaml" in line for line in page.study_list.words())
    assert not page.start.isEnabled()


def test_nothing_on_the_page_of_a_blinded_study_names_an_arm(qtbot, page, tmp_path):
    said = plain_study()
    said["arms"] = [
        {"name": "lemon", "policy": {"kind": "closed_loop"}},
        {"name": "quince", "policy": {"kind": "sham"}},
    ]
    opened = randomised(tmp_path, said) if randomised.__code__.co_argcount > 1 else randomised(tmp_path)
    page.choose_study(str(opened.files.study))
    shown = []
    for one in sorted(opened.allocation.animals, key=lambda one: one.rank)[:1]:
        pick(qtbot, page, one.id)
        shown.append(texts(page))
    assert all(word not in text for text in shown for word in ("lemon", "quince", "sham", "closed_loop"))


def test_the_budget_of_a_session_is_the_same_in_every_arm(qtbot, page, tmp_path):
    opened = randomised(tmp_path)
    page.choose_study(str(opened.files.study))
    seen = set()
    for one in opened.allocation.animals:
        pick(qtbot, page, one.id)
        page._run.reason.setText("to compare")
        page.check_now()
        seen.add(page.budget_text.toPlainText().replace(one.code, "CODE"))
    assert len({opened.arm_of(one.id) for one in opened.allocation.animals}) == 2
    assert len(seen) == 1
