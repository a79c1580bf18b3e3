"""What is to be run: protocol, rig, animal, and the protocol's fields as a form. It starts nothing and judges nothing.

What is wrong is said by the loaders behind `closedloop check`, in their words, and the light budget is theirs too. The
outcome is a `LaunchRequest`, which is a command line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from PyQt6.QtCore import Qt, QTimer, pyqtSignal
from PyQt6.QtGui import QKeySequence, QShortcut
from PyQt6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSplitter,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from closedloop.dashboard import style
from closedloop.dashboard.inputs import checked
from closedloop.dashboard.inputs.budget_view import BudgetView
from closedloop.dashboard.inputs.form import Form
from closedloop.dashboard.inputs.launch_request import LaunchRequest
from closedloop.dashboard.inputs.problem_list import ProblemList
from closedloop.dashboard.inputs.run_fields import RunFields
from closedloop.dashboard.inputs.study_day import Day, Due, day_of, files_of
from closedloop.dashboard.inputs.study_list import StudyList
from closedloop.dashboard.theme import DARK, Theme
from closedloop.errors import ConfigError
from closedloop.protocol import Protocol
from closedloop.yaml_file import resolve
from closedloop.yaml_tree import read

CHECK_AFTER_MS = 250
_OF_FORM = "The protocol's fields. A change holds for this session alone, and is recorded."
_OF_STUDY = "Today in the study {}: pick a session. The study says the rest, and nothing of it is changed here."


class Setup(QWidget):
    """The page before a session.

    Attributes:
        start_asked: emitted with a LaunchRequest; only while nothing is wrong.
        checked: emitted after each check.
        form: the protocol's fields.
        problems: all that is wrong, one line each.
        today: the date by which a study's sessions are due.
    """

    start_asked = pyqtSignal(object)
    checked = pyqtSignal()

    def __init__(self, theme: Theme = DARK, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.problems: list[str] = []
        self.today: Callable[[], date] = date.today
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

    def choose_study(self, path: str) -> None:
        """Show what a study has due today; "" for none."""
        self._run.choose_study(path)
        self.check_now()

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
        self._show_study()
        asked = self.request()
        if asked.study is None:
            self._fill_form()
            asked = self.request()
        own = self._run.problems()
        found = checked.of_files(asked, own) if asked.study is None else checked.of_study(asked, own, self.today())
        self.problems = list(found.problems)
        if found.budget is not None:
            self.budget_text.show_budget(found.budget, self.theme)
        else:
            self.budget_text.show_unknown(list(found.unknown))
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
        self.study_list = StudyList()
        self.study_list.chosen.connect(self._take_due)
        self._day = Day()
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
        self.why_not.setTextFormat(Qt.TextFormat.PlainText)
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
        self._about = _caption(_OF_FORM)
        column.addWidget(self._about)
        self._page = QScrollArea()
        self._page.setWidgetResizable(True)
        self._page.setWidget(self.form)
        self._page.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._below = QStackedWidget()
        self._below.addWidget(self._page)
        self._below.addWidget(self.study_list)
        column.addWidget(self._below, 1)
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

    def _show_study(self) -> None:
        """The day of a study in place of the protocol's fields, which it fixes."""
        study = self._run.study_file
        if study is not None:
            self._day = day_of(study, self.today())
            self.study_list.show_day(self._day, self.theme)
        self._about.setText(_OF_FORM if study is None else _OF_STUDY.format(self._day.name or study.stem))
        self._below.setCurrentIndex(0 if study is None else 1)

    def _take_due(self, due: Due) -> None:
        """A session of the study was picked."""
        study = self._run.study_file
        if study is not None:
            self._run.take(due.animal, due.phase, files_of(study, due.animal, due.phase))
            self.check_now()

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
        asked = self.request()
        unsaid = "pick a session of the study" if asked.study is not None and asked.phase is None else ""
        said = self._blocked or wrong or unsaid
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
