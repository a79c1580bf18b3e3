"""The page before a session says what `check` would say, and what it starts is a command line that means the same."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import pytest
from PyQt6.QtCore import QPoint, QPointF, Qt
from PyQt6.QtGui import QWheelEvent
from PyQt6.QtWidgets import QComboBox, QWidget
from pytestqt.qtbot import QtBot
from sessions import command

from closedloop import cli
from closedloop.dashboard.inputs import run_problems
from closedloop.dashboard.inputs.entries import entries
from closedloop.dashboard.inputs.form import Form
from closedloop.dashboard.inputs.launch_request import LaunchRequest
from closedloop.dashboard.inputs.setup import Setup
from closedloop.dashboard.theme import THEMES
from closedloop.model import kinds
from closedloop.protocol import Protocol, load_protocol
from closedloop.rig import Rig
from closedloop.yaml_file import known, resolve
from closedloop.yaml_tree import read

PROTOCOLS = known("protocols")


@pytest.fixture
def page(qtbot: QtBot, tmp_path) -> Setup:
    made = Setup()
    qtbot.addWidget(made)
    made.resize(1366, 632)
    made.out.setText(str(tmp_path / "data"))
    made.check_now()
    made.show()
    made.requests = []
    made.start_asked.connect(made.requests.append)
    return made


def shown_problems(page) -> list[str]:
    return [page.problem_list.item(row).text() for row in range(page.problem_list.count())]


def beside(page, key) -> str:
    """What is said beside a field; nothing if nothing is shown."""
    label = page.form._problems[key]
    return "" if label.isHidden() else label.text()


def said_by_check(capsys, protocol, *overrides, rig="simulated") -> list[str]:
    """The lines of `closedloop check`, in their order."""
    items = [word for item in overrides for word in ("--set", item)]
    done = command(capsys, "check", protocol, "--rig", rig, "--json", *items)
    return done.said.splitlines() or done.summary["refusals"]


# Names


def test_bare_names_are_those_that_the_command_line_knows():
    assert known("protocols") == sorted(known("protocols"))
    assert {"demo", "withdrawal_inhibition"} <= set(known("protocols"))
    assert all(resolve(name, "rigs").is_file() for name in known("rigs"))
    assert known("nothing_of_this_name") == []


# The form


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_form_of_a_file_nobody_touched_changes_nothing(qtbot, name):
    form = Form()
    qtbot.addWidget(form)
    _, data = read(resolve(name, "protocols"))

    form.fill(Protocol, data)

    assert form.overrides() == []
    assert "detector.threshold" in form.fields()


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_field_written_out_again_means_the_same_protocol(qtbot, name):
    """What is shown, or stands for a field that is not written, is what the loader makes of it."""
    loaded = load_protocol(name)
    _, data = read(resolve(name, "protocols"))
    rows = [entry for entry in entries(Protocol, data) if not entry.heading and entry.effective]
    scalar = [
        entry for entry in rows if entry.key not in ("name", "description") and not entry.key.startswith("limits")
    ]

    if loaded.policy.kind == "yoked":  # what it does not say, its partner does
        scalar = [entry for entry in scalar if entry.text or not entry.key.startswith("policy.")]

    again = load_protocol(name, [f"{entry.key}={entry.effective}" for entry in scalar])

    assert again == loaded


def test_every_field_of_every_part_has_a_row_and_an_explanation(qtbot):
    for package, key in (("closedloop.detectors", "detector"), ("closedloop.policies", "policy")):
        for kind, part in kinds(package).items():
            rows = {entry.key: entry for entry in entries(Protocol, {key: {"kind": kind}})}
            assert {f"{key}.{name}" for name in part.model_fields} <= rows.keys()
            assert all(rows[f"{key}.{name}"].about for name in part.model_fields)


def test_the_form_knows_rigs_too(qtbot):
    form = Form()
    qtbot.addWidget(form)
    _, data = read(resolve("simulated", "rigs"))

    form.fill(Rig, data)
    form.set_text("daq.port", "COM3")

    assert form.text("light.core") == "200 um"
    assert form.overrides() == ["daq.port=COM3"]


def test_an_edit_is_a_set_item_and_taking_it_back_is_none(page):
    page.form.set_text("detector.threshold", "4.5")
    page.form.set_text("light.on", "100 ms")
    assert page.form.overrides() == ["detector.threshold=4.5", "light.on=100 ms"]

    page.form.set_text("detector.threshold", page.form._entries["detector.threshold"].text)

    assert page.form.overrides() == ["light.on=100 ms"]


def test_a_field_that_is_emptied_falls_back_to_its_default(page):
    page.form.set_text("detector.release", "")  # the file says what the default is
    page.form.set_text("light.power", "")
    page.check_now()

    assert page.form.overrides() == ["light.power="]
    assert page.problems == []


def test_another_kind_has_other_fields_and_what_does_not_fit_it_is_said_beside_it(page, capsys):
    page.form.set_text("policy.kind", "on_board")
    page.check_now()
    assert page.form.overrides() == ["policy.kind=on_board"]
    assert "policy.baseline" in page.form.fields()

    page.form.set_text("policy.baseline", "7 parsecs")
    page.check_now()
    assert "no unit of time" in beside(page, "policy.baseline")

    page.form.set_text("policy.kind", "closed_loop")
    page.check_now()
    assert "policy.baseline" not in page.form.fields()
    assert page.form.overrides() == []


@pytest.mark.parametrize("kind", ["cusum", "difference", "matched_filter", "onset"])
def test_what_is_written_for_another_kind_is_left_out(page, kind):
    page.form.set_text("detector.kind", kind)
    page.check_now()

    assert page.problems == []
    assert page.form.text("detector.minimum_duration") == "20 ms"  # both have it, and it means the same


def test_numbers_of_another_kind_become_the_defaults_of_this_one_and_may_be_typed_again(page):
    page.form.set_text("detector.kind", "cusum")
    assert page.form.text("detector.threshold") == ""  # 5 SD is no evidence of 5 nats
    page.form.set_text("detector.threshold", "5.0")
    page.check_now()

    assert page.form.overrides() == ["detector={kind: cusum, minimum_duration: 20 ms}", "detector.threshold=5.0"]
    page.form.set_text("detector.kind", "threshold")
    assert (page.form.overrides(), page.form.text("detector.window")) == ([], "4 s")


def test_a_detector_that_needs_the_animals_anchor_says_so_at_the_anchor(page):
    page.form.set_text("detector.kind", "state")
    page.check_now()

    assert "there is none; add 'anchor: FILE'" in beside(page, "anchor")
    assert {"detector.level.window", "detector.rate.times", "detector.gain.times"} <= set(page.form.fields())


def test_members_are_written_in_one_line(page):
    page.form.set_text("detector.kind", "any")
    page.check_now()
    assert "missing field" in beside(page, "detector.of")

    page.form.set_text("detector.of", "[{kind: difference}, {kind: threshold, window: 4 s}]")
    page.check_now()
    assert page.problems == []

    page.form.set_text("detector.of", "[{kind: difference}, {kind: thr")
    page.check_now()
    assert "cannot be read as YAML; check brackets" in beside(page, "detector.of")


def test_other_kinds_again_and_again_leave_no_widget_behind(page, qtbot):
    def widgets():
        return len(page.form.findChildren(QWidget))

    page.form.set_text("policy.kind", "on_board")
    page.form.set_text("policy.kind", "closed_loop")
    before = widgets()

    for _ in range(5):
        page.form.set_text("policy.kind", "on_board")
        page.form.set_text("policy.kind", "closed_loop")

    qtbot.waitUntil(lambda: widgets() <= before)


def test_what_a_file_says_and_nobody_knows_is_shown_with_its_problem(page, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(resolve("demo", "protocols").read_text().replace("  window: 4 s", "  widow: 4 s"))

    page.choose(str(path))

    assert "did you mean 'window'" in beside(page, "detector.widow")
    assert not page.start.isEnabled()


def test_the_mouse_wheel_over_a_list_changes_no_experiment(page, qtbot):
    box = page.form.field("policy.kind")
    assert isinstance(box, QComboBox)
    event = QWheelEvent(
        QPointF(5, 5),
        box.mapToGlobal(QPointF(5, 5)),
        QPoint(),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )

    box.wheelEvent(event)

    assert box.currentText() == "closed_loop"
    assert not event.isAccepted()


# Problems


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("detector.threshold", "high"),
        ("detector.threshold", "1"),
        ("detector.minimum_duration", "20"),
        ("light.on", "5 parsecs"),
        ("light.on", "2 s"),
        ("light.count", "2.5"),
        ("warm_up", "2 h"),
        ("quality.largest_step", "5000 %"),
        ("limits.short_duty", "90 %"),
        ("features.0.baseline", "-1 s"),
        ("light.power", "400 mW"),
    ],
)
def test_a_mistake_is_said_in_the_words_of_check_and_beside_its_field(page, capsys, key, text):
    page.form.set_text(key, text)
    page.check_now()

    assert page.problems == said_by_check(capsys, "demo", f"{key}={text}")
    concerned = [page.form.concerned(problem) for problem in page.problems]
    assert all(concerned)
    assert all(beside(page, where) for where in concerned)
    assert shown_problems(page) == [f"✕ {problem.removeprefix('--set: ')}" for problem in page.problems]
    assert not page.start.isEnabled()
    assert "problem" in page.why_not.text()


def test_all_mistakes_of_a_page_are_said_at_once(page):
    page.form.set_text("light.on", "5")
    page.rig.setCurrentText("simulatd")
    page.duration.setText("soon")
    page.seed.setText("-3")
    page.subject.setText("M 17")
    page.check_now()

    said = "\n".join(page.problems)
    for words in ("light.on", "did you mean 'simulated'", "--duration: is no time", "--seed", "--subject"):
        assert words in said


def test_a_mistake_that_is_mended_is_gone_everywhere(page):
    page.form.set_text("light.on", "5")
    page.check_now()
    page.form.set_text("light.on", "100 ms")
    page.check_now()

    assert beside(page, "light.on") == ""
    assert shown_problems(page) == ["✓ none"]
    assert page.start.isEnabled()


def test_a_file_that_cannot_be_read_leaves_an_empty_form_and_says_why(page, tmp_path):
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: [unclosed\n")

    page.choose(str(broken))

    assert page.form.fields() == []
    assert "YAML" in page.problems[0]
    assert "cannot be loaded" in page.budget_text.toPlainText()


def test_a_rig_in_place_of_a_protocol_is_said(page, tmp_path):
    page.choose(str(resolve("simulated", "rigs")))

    assert "belongs to a rig" in "\n".join(page.problems)


def test_a_file_that_was_mended_on_the_disk_is_read_again(page, tmp_path):
    path = tmp_path / "mine.yaml"
    text = resolve("demo", "protocols").read_text()
    path.write_text(text.replace("threshold: 5.0", "threshold: high"))
    page.choose(str(path))
    assert page.problems

    path.write_text(text.replace("threshold: 5.0", "threshold: 6.25"))
    os.utime(path, ns=(1, 1))
    page.check_now()

    assert page.problems == []
    assert page.form.text("detector.threshold") == "6.25"


def test_a_data_folder_that_is_a_file_or_full_is_said(page, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    page.out.setText(str(tmp_path / "file" / "data"))
    page.check_now()
    assert "is a file" in page.problems[0]

    page.out.setText(str(tmp_path / "data"))
    monkeypatch.setattr(run_problems, "LEAST_FREE_BYTES", 1 << 62)
    page.check_now()
    assert "make space or choose another data folder" in page.problems[0]


def test_a_problem_that_is_chosen_leads_to_its_field(page, qtbot):
    page.form.set_text("quality.settle", "x")
    page.check_now()

    page.problem_list.itemActivated.emit(page.problem_list.item(0))

    qtbot.waitUntil(lambda: page.form.field("quality.settle").hasFocus())


def test_an_edit_is_checked_by_itself_after_a_moment(page, qtbot):
    with qtbot.waitSignal(page.checked, timeout=5000):
        qtbot.keyClicks(page.duration, "x")

    assert "--duration" in page.problems[0]


def test_why_a_session_never_began_stays_until_something_is_changed(page, qtbot):
    page.said_by_session(["/dev/ttyACM0: in use by another program; close it"])
    page.check_now()
    assert "✕ the last try: /dev/ttyACM0: in use by another program; close it" in shown_problems(page)
    assert page.start.isEnabled()

    qtbot.keyClicks(page.subject, "M17")
    page.check_now()

    assert shown_problems(page) == ["✓ none"]


# The budget


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_budget_has_every_line_of_check(page, capsys, name):
    from closedloop.analysis import budget
    from closedloop.rig import load_rig

    page.choose(name)
    shown = " ".join(page.budget_text.toPlainText().split())

    for line in budget.lines(budget.budget(load_protocol(name), load_rig("simulated"))):
        assert " ".join(line.split()[2:]) in shown


def test_what_would_be_refused_comes_first_in_the_budget_and_keeps_start_off(page):
    page.form.set_text("light.on", "30 s")
    page.check_now()

    shown = page.budget_text.toPlainText()
    assert shown.index("REFUSED") < shown.index("one train")
    assert not page.start.isEnabled()


# Starting


def test_what_is_started_is_what_stands_on_the_page(page, qtbot, tmp_path):
    page.subject.setText("M17")
    page.duration.setText("20 s")
    page.seed.setText("7")
    page.form.set_text("detector.threshold", "4.5")

    qtbot.mouseClick(page.start, Qt.MouseButton.LeftButton)

    wanted = LaunchRequest(
        protocol="demo",
        rig="simulated",
        out=tmp_path / "data",
        subject="M17",
        duration="20 s",
        seed=7,
        overrides=("detector.threshold=4.5",),
    )
    assert page.requests == [wanted]


def test_start_by_keys_alone(page, qtbot):
    qtbot.keyClick(page, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)

    assert len(page.requests) == 1


def test_a_mistake_typed_a_moment_before_start_is_not_started(page, qtbot):
    page.form.set_text("light.on", "5")

    qtbot.mouseClick(page.start, Qt.MouseButton.LeftButton)

    assert page.requests == []
    assert not page.start.isEnabled()


def test_a_page_that_is_blocked_starts_nothing_and_says_why(page, qtbot):
    page.block("a session runs on this rig")

    qtbot.keyClick(page, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)

    assert page.requests == []
    assert "a session runs on this rig" in page.why_not.text()
    page.block("")
    assert page.start.isEnabled()


@pytest.mark.parametrize(
    "request_",
    [
        LaunchRequest("demo", "simulated", Path("data")),
        LaunchRequest("my lab/p.yaml", "r.yaml", Path("/a b/c"), "M17", "20 min", 0, ("light.on=100 ms", "name=-x")),
        LaunchRequest("demo", "simulated", Path("-odd"), duration="-5 s"),
    ],
)
def test_the_command_line_means_what_was_asked(request_):
    options: argparse.Namespace = cli._parser().parse_args(request_.arguments())

    assert (options.protocol, options.rig, options.out) == (request_.protocol, request_.rig, request_.out)
    assert (options.subject, options.duration, options.seed) == (request_.subject, request_.duration, request_.seed)
    assert tuple(options.overrides) == request_.overrides
    assert options.headless


def test_what_the_page_accepts_the_command_line_accepts(page, capsys):
    page.form.set_text("light.power", "2.5 mW")
    page.form.set_text("limits.trains_per_minute", "3")
    page.check_now()
    asked = page.request()

    assert page.problems == said_by_check(capsys, asked.protocol, *asked.overrides) == []


@pytest.mark.parametrize("theme", THEMES.values(), ids=lambda theme: theme.name)
def test_the_page_takes_either_theme_and_asks_nothing(page, theme):
    page.set_theme(theme)
    page.form.set_text("light.on", "5")
    page.check_now()

    assert page.requests == []


def test_a_small_screen_holds_the_page(page):
    hint = page.minimumSizeHint()

    assert hint.width() <= 1366
    assert hint.height() <= 640


def test_checking_compiles_nothing():
    """A compiler that starts in the window would hold it for seconds."""
    code = """
import json, os
os.environ["QT_QPA_PLATFORM"] = "offscreen"
from PyQt6.QtWidgets import QApplication
application = QApplication([])
from closedloop.dashboard.inputs.setup import Setup
from numba.core import event
heard = event.RecordingListener()
with event.install_listener("numba:compile", heard):
    page = Setup()
    page.check_now()
    page.form.set_text("detector.threshold", "6")
    page.check_now()
print(json.dumps([len(heard.buffer), page.problems]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert json.loads(done.stdout) == [0, []]


def test_a_wrong_subject_is_marked_named_as_on_the_page_and_led_to(page, qtbot):
    page.subject.setText("M 17")
    page.check_now()

    (shown,) = shown_problems(page)
    assert shown.startswith("✕ Subject: ")
    assert page.subject.property("wrong")
    page.problem_list.itemActivated.emit(page.problem_list.item(0))
    qtbot.waitUntil(page.subject.hasFocus)
    page.subject.setText("M17")
    page.check_now()
    assert not page.subject.property("wrong")
