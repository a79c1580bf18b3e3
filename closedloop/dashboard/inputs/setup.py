"""What is to be run: protocol, rig, animal, and the protocol's fields as a form. It starts nothing and judges nothing.

What is wrong is said by the loaders behind `closedloop check`, in their words, and the light budget is theirs too. The
outcome is a `LaunchRequest`, which is a command line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from PyQt6.QtCore import Qt, QTimer, pyqtSignal
from PyQt6.QtGui import QKeySequence, QShortcut
from PyQt6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QScrollArea, QSplitter, QVBoxLayout, QWidget

from closedloop.analysis import budget
from closedloop.dashboard import style
from closedloop.dashboard.inputs.budget_view import BudgetView
from closedloop.dashboard.inputs.form import Form
from closedloop.dashboard.inputs.launch_request import LaunchRequest
from closedloop.dashboard.inputs.problem_list import ProblemList
from closedloop.dashboard.inputs.run_fields import RunFields
from closedloop.dashboard.theme import DARK, Theme
from closedloop.errors import ConfigError
from closedloop.protocol import Protocol, load_protocol
from closedloop.rig import load_rig
from closedloop.yaml_file import resolve
from closedloop.yaml_tree import read

CHECK_AFTER_MS = 250

T = TypeVar("T")


class Setup(QWidget):
    """The page before a session.

    Attributes:
        start_asked: emitted with a LaunchRequest; only while nothing is wrong.
        checked: emitted after each check.
        form: the protocol's fields.
        problems: all that is wrong, one line each.
    """

    start_asked = pyqtSignal(object)
    checked = pyqtSignal()

    def __init__(self, theme: Theme = DARK, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.problems: list[str] = []
        self.theme = theme
        self._blocked = ""
        self._said: list[str] = []
        self._filled_from: tuple[Path, int] | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(CHECK_AFTER_MS)
        self._timer.timeout.connect(self.check_now)
        self._make_inputs()
        self._make_outputs()
        self._lay_out()
        self.set_theme(theme)
        self._timer.start()

    def request(self) -> LaunchRequest:
        """What stands on the page now, right or wrong."""
        return self._run.request(self.form.overrides())

    def choose(self, protocol: str = "", rig: str = "") -> None:
        """Show another protocol or rig: a bare name or a path."""
        for box, name in ((self.protocol, protocol), (self.rig, rig)):
            if name:
                box.setCurrentText(name)
        self.check_now()

    def block(self, why: str) -> None:
        """Keep Start from being pressed, and say why; "" lets it be pressed again."""
        self._blocked = why
        self._show_start()

    def said_by_session(self, problems: Sequence[str]) -> None:
        """Why a session that was started from here never began; shown until something is changed or tried again."""
        self._said = list(problems)
        self.check_now()

    def check_now(self) -> None:
        """Load and judge all that stands on the page, and say what is wrong."""
        self._timer.stop()
        self._fill_form()
        asked = self.request()
        problems: list[str] = []
        protocol = _tried(lambda: load_protocol(asked.protocol, asked.overrides), problems)
        rig = _tried(lambda: load_rig(asked.rig), problems)
        found = budget.budget(protocol, rig) if protocol and rig else None
        problems += self._run.problems()
        problems += found.refusals if found else ()
        self.problems = list(dict.fromkeys(problems))
        if found:
            self.budget_text.show_budget(found, self.theme)
        else:
            loaded = (("protocol", protocol), ("rig", rig))
            self.budget_text.show_unknown([name for name, model in loaded if model is None])
        self._show_problems()
        self._run.show_free()
        self._show_start()
        self.checked.emit()

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self.theme = theme
        self._title.setFont(style.words_font(theme, theme.number_px + 2, bold=True))
        self.start.setFont(style.words_font(theme, theme.number_px, bold=True))
        self.setStyleSheet(
            f"#heading {{ font-weight: bold; font-size: {theme.number_px - 3}px; padding-top: 6px; }}"
            f"#problem {{ color: {theme.danger}; }}"
            f'QLineEdit[wrong="true"], QComboBox[wrong="true"] {{ border: 2px solid {theme.danger}; }}'
            f"#caption, #free {{ color: {theme.dim}; }}"
        )
        self.problem_list.set_theme(theme)

    def _make_inputs(self) -> None:
        self.form = Form()
        self._run = run = RunFields()
        self.protocol, self.rig, self.out = run.protocol, run.rig, run.out
        self.subject, self.duration, self.seed = run.subject, run.duration, run.seed
        run.edited.connect(self._edited)
        self.form.edited.connect(self._edited)

    def _make_outputs(self) -> None:
        self._title = QLabel("New session")
        self.budget_text = BudgetView()
        self.problem_list = ProblemList()
        self.problem_list.chosen.connect(self._lead_to)
        self.start = QPushButton("&Start session")
        self.start.setMinimumHeight(60)
        self.start.setProperty("tone", "good")
        self.start.setToolTip("Start the session: it warms up, and gives no light before it is armed (Ctrl+Return)")
        self.start.clicked.connect(self._ask_start)
        self.why_not = QLabel()
        self.why_not.setWordWrap(True)
        for keys in ("Ctrl+Return", "Ctrl+Enter"):
            QShortcut(QKeySequence(keys), self, self._ask_start)

    def _lay_out(self) -> None:
        page = QSplitter(Qt.Orientation.Horizontal)
        page.setChildrenCollapsible(False)
        page.addWidget(self._left())
        page.addWidget(self._right())
        page.setStretchFactor(0, 1)
        page.setStretchFactor(1, 1)
        page.setSizes([640, 640])
        outer = QVBoxLayout(self)
        outer.addWidget(self._title)
        outer.addWidget(page, 1)

    def _left(self) -> QWidget:
        left = QWidget()
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 6, 0)
        column.addWidget(self._run)
        column.addWidget(_caption("The protocol's fields. A change holds for this session alone, and is recorded."))
        self._page = QScrollArea()
        self._page.setWidgetResizable(True)
        self._page.setWidget(self.form)
        self._page.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        column.addWidget(self._page, 1)
        return left

    def _right(self) -> QWidget:
        right = QWidget()
        column = QVBoxLayout(right)
        column.setContentsMargins(6, 0, 0, 0)
        column.addWidget(_caption("Light budget: the worst case, if every train came as early as the limits let it"))
        column.addWidget(self.budget_text, 3)
        column.addWidget(_caption("Problems"))
        column.addWidget(self.problem_list, 1)
        row = QHBoxLayout()
        row.addWidget(self.why_not, 1)
        row.addWidget(self.start)
        column.addLayout(row)
        return right

    def _edited(self) -> None:
        self._said = []
        self._timer.start()

    def _fill_form(self) -> None:
        """The form anew, if it is another file, or the file was changed."""
        name = self.protocol.currentText().strip()
        try:
            path = resolve(name, "protocols")
            source = path, path.stat().st_mtime_ns
            if source == self._filled_from:
                return
            _, data = read(path)
        except (ConfigError, OSError):  # the check says why
            source, data = None, {}
        self._filled_from = source
        if data:
            self.form.fill(Protocol, data)
        else:
            self.form.clear()

    def _show_problems(self) -> None:
        """In the list, and beside or around the fields that they name."""
        self.form.show_problems(self.problems)
        self._run.show_problems(self.problems)
        self.problem_list.show_problems(self.problems, self._said, self.theme)

    def _lead_to(self, problem: str) -> None:
        """The keyboard to the field that a problem names."""
        field = self._run.concerned(problem) or self.form.field(self.form.concerned(problem))
        if field is not None:
            field.setFocus()
            self._page.ensureWidgetVisible(field)

    def _show_start(self) -> None:
        count = len(self.problems)
        wrong = f"{count} problem{'s' if count > 1 else ''} to solve first" if count else ""
        said = self._blocked or wrong
        self.start.setEnabled(not said)
        self.why_not.setText(f"Start is off: {said}." if said else "Ready. The light stays off until it is armed.")

    def _ask_start(self) -> None:
        """What is started was checked as it stands, not as it stood a quarter of a second ago."""
        self._said = []
        self.check_now()
        if self.start.isEnabled():
            self.start_asked.emit(self.request())


def _caption(text: str) -> QLabel:
    label = QLabel(text)
    label.setObjectName("caption")
    label.setWordWrap(True)
    return label


def _tried(load: Callable[[], T], problems: list[str]) -> T | None:
    try:
        return load()
    except ConfigError as error:
        problems += error.problems
        return None
