"""What is to be run: protocol, rig, animal, and the protocol's fields as a form. It starts nothing and judges nothing.

What is wrong is said by the loaders behind `closedloop check`, in their words, and the light budget is theirs too. The
outcome is a `LaunchRequest`, which is a command line.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, TypeVar, get_args

from PyQt6.QtCore import QSignalBlocker, Qt, QTimer, pyqtSignal
from PyQt6.QtGui import QKeySequence, QShortcut
from PyQt6.QtWidgets import (
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QScrollArea,
    QSplitter,
    QTextEdit,
    QVBoxLayout,
    QWidget,
)

from closedloop.analysis import budget
from closedloop.dashboard import style
from closedloop.dashboard.inputs.form import Box, Form, restyle
from closedloop.dashboard.theme import DARK, Theme
from closedloop.errors import ConfigError
from closedloop.model import Quantity, Seconds
from closedloop.protocol import Protocol, load_protocol
from closedloop.rig import Rig, load_rig
from closedloop.yaml_file import known, resolve
from closedloop.yaml_tree import read

CHECK_AFTER_MS = 250
LEAST_FREE_BYTES = 500_000_000
DATA_FOLDER = "closedloop-data"
_LABELS = {"--set: ": "", "--subject": "Subject", "--duration": "Duration", "--seed": "Seed", "--out": "Data folder"}
_MINDED = ("warning", "REFUSED", "verdict")
_SUBJECT = re.compile(r"[A-Za-z0-9]{1,64}")
_YAML = "YAML files (*.yaml *.yml);;All files (*)"

T = TypeVar("T")


@dataclass(frozen=True)
class LaunchRequest:
    """What a person asks to be run, as on the command line.

    Attributes:
        protocol: a bare name or a path.
        rig: likewise.
        subject: the animal; None for the folder's default.
        out: the data folder.
        duration: with its unit; None for the protocol's own.
        seed: of everything random; None to have one drawn.
        overrides: `--set` items.
    """

    protocol: str
    rig: str
    out: Path
    subject: str | None = None
    duration: str | None = None
    seed: int | None = None
    overrides: tuple[str, ...] = ()

    def arguments(self) -> list[str]:
        """The command line after `closedloop`."""
        given = {"--rig": self.rig, "--out": self.out, "--subject": self.subject}
        given |= {"--duration": self.duration, "--seed": self.seed}
        options = [f"{name}={value}" for name, value in given.items() if value is not None]
        changed = [f"--set={item}" for item in self.overrides]
        return ["run", self.protocol, *options, *changed, "--headless"]


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
        self.form = Form()
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
        seed = self.seed.text().strip()
        return LaunchRequest(
            protocol=self.protocol.currentText().strip(),
            rig=self.rig.currentText().strip(),
            out=Path(self.out.text().strip() or DATA_FOLDER).expanduser(),
            subject=self.subject.text().strip() or None,
            duration=self.duration.text().strip() or None,
            seed=int(seed) if _is_seed(seed) else None,
            overrides=tuple(self.form.overrides()),
        )

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
        problems += self._run_problems(asked)
        problems += found.refusals if found else ()
        self.problems = list(dict.fromkeys(problems))
        self.form.show_problems(self.problems)
        for name, field in self._own_fields().items():
            field.setProperty("wrong", any(problem.startswith(name) for problem in self.problems))
            restyle(field)
        self._show(found, protocol, rig)
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
        self._colour_problems()

    def _make_inputs(self) -> None:
        self.protocol = _names("protocols", "demo")
        self.rig = _names("rigs", "simulated")
        self.subject = _line("test", "The animal: 1 to 64 letters and digits.")
        self.out = _line(DATA_FOLDER, "Folder that the recording goes into; made if need be.")
        self.duration = _line("the protocol's", "Sample time to run for, such as 20 min; empty for the protocol's.")
        self.seed = _line("drawn", "Of everything random; empty to have one drawn. It is recorded.")
        self.subject.textEdited.connect(self._edited)
        for box in (self.protocol, self.rig):
            box.currentTextChanged.connect(self._edited)
        for line in (self.out, self.duration, self.seed):
            line.textEdited.connect(self._edited)
        self.form.edited.connect(self._edited)

    def _make_outputs(self) -> None:
        self._title = QLabel("New session")
        self.budget_text = QTextEdit()
        self.budget_text.setReadOnly(True)
        self.budget_text.setAccessibleName("Light budget")
        self.problem_list = QListWidget()
        self.problem_list.setWordWrap(True)
        self.problem_list.setAccessibleName("Problems")
        self.problem_list.setToolTip("Enter or a click leads to the field")
        self.problem_list.itemActivated.connect(self._lead_to)
        self.problem_list.itemClicked.connect(self._lead_to)
        self.free = QLabel()
        self.free.setObjectName("free")
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
        column.addLayout(self._pickers())
        column.addWidget(_caption("The protocol's fields. A change holds for this session alone, and is recorded."))
        self._page = QScrollArea()
        self._page.setWidgetResizable(True)
        self._page.setWidget(self.form)
        self._page.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        column.addWidget(self._page, 1)
        return left

    def _pickers(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(4, 1)
        self._pick(grid, 0, "&Protocol", self.protocol, lambda: self._open_file(self.protocol))
        self._pick(grid, 1, "&Rig", self.rig, lambda: self._open_file(self.rig))
        self._pick(grid, 2, "Data &folder", self.out, self._open_folder)
        for row, (name, line) in enumerate(
            (("S&ubject", self.subject), ("Duratio&n", self.duration), ("S&eed", self.seed))
        ):
            label = QLabel(name)
            label.setBuddy(line)
            grid.addWidget(label, row, 3)
            grid.addWidget(line, row, 4)
        grid.addWidget(self.free, 3, 0, 1, 5)
        return grid

    def _pick(self, grid: QGridLayout, row: int, name: str, field: QWidget, browse: Callable[[], None]) -> None:
        label = QLabel(name)
        label.setBuddy(field)
        button = QPushButton("Open…")
        button.setStyleSheet("min-height: 28px;")
        button.setAccessibleName(f"Open {name.replace('&', '').lower()}")
        button.clicked.connect(lambda _: browse())
        grid.addWidget(label, row, 0)
        grid.addWidget(field, row, 1)
        grid.addWidget(button, row, 2)

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

    def _edited(self, *_: object) -> None:
        self._said = []
        self._timer.start()

    def _open_file(self, box: QComboBox) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Open a file", box.currentText(), _YAML)
        if name:
            box.setCurrentText(name)

    def _open_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Folder for recordings", self.out.text())
        if name:
            self.out.setText(name)
            self._edited()

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

    def _run_problems(self, asked: LaunchRequest) -> Iterator[str]:
        """What is wrong with the session's own settings."""
        if asked.duration is not None:
            yield from _duration_problems(asked.duration)
        seed = self.seed.text().strip()
        if seed and not _is_seed(seed):
            yield f"--seed: must be a whole number from 0 on (got {seed}); leave it empty to have one drawn"
        if asked.subject and not _SUBJECT.fullmatch(asked.subject):
            said = "1 to 64 letters and digits (A-Z, a-z, 0-9), nothing else"
            yield f"--subject: {said} (got '{asked.subject}'); write for example 'M17'"
        yield from _folder_problems(asked.out)

    def _show(self, found: budget.Budget | None, protocol: Protocol | None, rig: Rig | None) -> None:
        wrong = [name for name, loaded in (("protocol", protocol), ("rig", rig)) if loaded is None]
        said = f"Not known yet: the {' and the '.join(wrong)} cannot be loaded; see the problems below."
        _set_html(self.budget_text, _table(budget.lines(found), self.theme) if found else said)
        self._list_problems()
        free = _free_bytes(self.request().out)
        self.free.setText("" if free is None else f"{free / 1e9:.1f} GB free on the disk of the data folder")

    def _list_problems(self) -> None:
        tried = [f"✕ the last try: {said}" for said in self._said if said not in self.problems]
        shown = [*(f"✕ {_plain(problem)}" for problem in self.problems), *tried] or ["✓ none"]
        if shown != [self._listed(row) for row in range(self.problem_list.count())]:
            self.problem_list.clear()
            self.problem_list.addItems(shown)
        self._colour_problems()

    def _colour_problems(self) -> None:
        colour = self.theme.danger if self.problems or self._said else self.theme.good
        self.problem_list.setStyleSheet(f"QListWidget::item {{ color: {colour}; padding: 3px; }}")

    def _listed(self, row: int) -> str:
        item = self.problem_list.item(row)
        return item.text() if item else ""

    def _lead_to(self, item: QListWidgetItem) -> None:
        """The keyboard to the field that a problem names."""
        key = self.form.concerned(item.text().removeprefix("✕ "))
        own = (field for name, field in self._own_fields().items() if item.text().startswith(f"✕ {_plain(name)}"))
        field = next(own, None) or self.form.field(key)
        if field is not None:
            field.setFocus()
            self._page.ensureWidgetVisible(field)

    def _own_fields(self) -> dict[str, QWidget]:
        """The session's own settings, by the names that problems give them."""
        return {"--subject:": self.subject, "--duration:": self.duration, "--seed:": self.seed, "--out:": self.out}

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


def _names(folder: str, first: str) -> Box:
    box = Box()
    box.setEditable(True)
    box.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
    names = known(folder)
    blocked = QSignalBlocker(box)
    box.addItems(names)
    box.setCurrentText(first if first in names else "")
    blocked.unblock()
    box.setToolTip("A bare name from the list, or the path of a file")
    box.setAccessibleName(folder.removesuffix("s"))
    box.setMinimumContentsLength(12)
    return box


def _line(otherwise: str, about: str) -> QLineEdit:
    line = QLineEdit()
    line.setPlaceholderText(otherwise)
    line.setToolTip(about)
    return line


def _caption(text: str) -> QLabel:
    label = QLabel(text)
    label.setObjectName("caption")
    label.setWordWrap(True)
    return label


def _set_html(field: QTextEdit, html: str) -> None:
    """Only if it is another text: the place that was scrolled to stays."""
    if field.property("shown") != html:
        field.setProperty("shown", html)
        field.setHtml(html)


def _table(lines: list[str], theme: Theme) -> str:
    """The budget's aligned lines as a table, which wraps and needs no special font; what to mind comes first."""
    rows: list[tuple[str, str, bool]] = []
    for line in lines[1:]:
        *name, text = re.split(r"\s{2,}", line.strip(), maxsplit=1)
        minded = name[0] in _MINDED if name else rows[-1][2]
        rows.append(("".join(name), text, minded))
    rows.sort(key=lambda row: not row[2])
    cells = ["".join(_cells(name, text, theme)) for name, text, _ in rows]
    return f"<b>{escape(lines[0])}</b><table cellpadding='1'>{''.join(cells)}</table>"


def _cells(name: str, text: str, theme: Theme) -> Iterator[str]:
    colour = {"warning": theme.warn, "REFUSED": theme.danger, "verdict": theme.good}.get(name, theme.text)
    yield f"<tr><td style='color: {theme.dim}; padding-right: 12px; white-space: nowrap'>{escape(name)}</td>"
    yield f"<td style='color: {colour}'>{escape(text)}</td></tr>"


def _tried(load: Callable[[], T], problems: list[str]) -> T | None:
    try:
        return load()
    except ConfigError as error:
        problems += error.problems
        return None


def _is_seed(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _duration_problems(text: str) -> Iterator[str]:
    quantity: Any = next(found for found in get_args(Seconds) if isinstance(found, Quantity))
    try:
        if quantity.parse(text) <= 0:
            yield f"--duration: must be longer than nothing (got {text}); write for example 20s"
    except ValueError as error:
        yield f"--duration: {error}"


def _plain(problem: str) -> str:
    """As it reads beside the fields, and not on a command line."""
    for option, label in _LABELS.items():
        if problem.startswith(option):
            return label + problem.removeprefix(option)
    return problem


def _nearest(folder: Path) -> Path:
    """The folder itself, or what there is of its way."""
    return next((place for place in (folder, *folder.absolute().parents) if place.exists()), Path.cwd())


def _free_bytes(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(_nearest(folder)).free
    except OSError:
        return None


def _folder_problems(folder: Path) -> Iterator[str]:
    place = _nearest(folder)
    if not place.is_dir():
        yield f"--out: {place} is a file, and the recording needs a folder; choose another data folder"
        return
    if not os.access(place, os.W_OK):
        yield f"--out: {place}: cannot be written; choose another data folder"
        return
    free = _free_bytes(folder)
    if free is not None and free < LEAST_FREE_BYTES:
        said = f"only {free / 1e6:.0f} MB are free, a session wants {LEAST_FREE_BYTES / 1e6:.0f}"
        yield f"--out: {place}: {said}; make space or choose another data folder"
