"""What a session is run with besides the protocol's fields: files, animal, data folder. It loads and starts nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from PyQt6.QtCore import QSignalBlocker, Qt, pyqtSignal
from PyQt6.QtWidgets import QComboBox, QFileDialog, QGridLayout, QLabel, QLineEdit, QPushButton, QWidget

from closedloop.dashboard.inputs.form import Box
from closedloop.dashboard.inputs.launch_request import LaunchRequest
from closedloop.dashboard.inputs.problem_list import plain
from closedloop.dashboard.inputs.run_problems import free_bytes, is_seed, run_problems
from closedloop.dashboard.inputs.tone import restyle
from closedloop.yaml_file import known

DATA_FOLDER = "closedloop-data"
_YAML = "YAML files (*.yaml *.yml);;All files (*)"


class RunFields(QWidget):
    """The upper part of the page before a session.

    Attributes:
        edited: emitted after each edit of a person.
    """

    edited = pyqtSignal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.protocol = _names("protocols", "demo")
        self.rig = _names("rigs", "simulated")
        self.subject = _line("test", "The animal: 1 to 64 letters and digits.")
        self.out = _line(DATA_FOLDER, "Folder that the recording goes into; made if need be.")
        self.duration = _line("the protocol's", "Sample time to run for, such as 20 min; empty for the protocol's.")
        self.seed = _line("drawn", "Of everything random; empty to have one drawn. It is recorded.")
        self.study = _line("none", "A study's file: it says protocol, rig, data folder and seed of its sessions.")
        self.reason = _line("none", "Why a session is run out of order, late, or once more; it is kept.")
        self._phase = ""
        self.free = QLabel()
        self.free.setTextFormat(Qt.TextFormat.PlainText)
        self.free.setObjectName("free")
        self._lay_out()
        for box in (self.protocol, self.rig):
            box.currentTextChanged.connect(self.edited)
        for line in (self.subject, self.out, self.duration, self.seed, self.study, self.reason):
            line.textEdited.connect(self.edited)

    def request(self, overrides: Sequence[str]) -> LaunchRequest:
        """What stands here now, right or wrong, with the protocol's changed fields."""
        seed = self.seed.text().strip()
        return LaunchRequest(
            protocol=self.protocol.currentText().strip(),
            rig=self.rig.currentText().strip(),
            out=self._out_folder(),
            subject=self.subject.text().strip() or None,
            duration=self.duration.text().strip() or None,
            seed=int(seed) if is_seed(seed) else None,
            overrides=() if self.study_file else tuple(overrides),
            study=self.study_file,
            phase=self._phase or None if self.study_file else None,
            reason=self.reason.text().strip() or None if self.study_file else None,
        )

    @property
    def study_file(self) -> Path | None:
        """The study that was chosen; None without one."""
        text = self.study.text().strip()
        return Path(text).expanduser() if text else None

    def choose_study(self, path: str) -> None:
        """Take another study, or none; which of its sessions is still to be said."""
        self.study.setText(path)
        self._phase = ""
        self.show_study()
        self.edited.emit()

    def take(self, animal: str, phase: str, files: tuple[str, str, str]) -> None:
        """The session of a study that was picked: protocol, rig and data folder are the study's."""
        self._phase = phase
        blocked = [QSignalBlocker(one) for one in (self.protocol, self.rig)]
        self.subject.setText(animal)
        for box, name in zip((self.protocol, self.rig), files[:2], strict=True):
            box.setCurrentText(name)
        del blocked
        self.out.setText(files[2])
        for line in (self.duration, self.seed, self.reason):
            line.clear()
        self.edited.emit()

    def show_study(self) -> None:
        """What a study says cannot be said here."""
        is_free = self.study_file is None
        for field in (self.protocol, self.rig, self.out, self.subject, self.duration, self.seed, *self._opens):
            field.setEnabled(is_free)
        for widget in (self.reason, self._reason_name):
            widget.setVisible(not is_free)

    def problems(self) -> Iterator[str]:
        """What is wrong with the session's own settings; the files are their loaders' to judge."""
        return run_problems(self.request(()), self.seed.text().strip())

    def show_problems(self, problems: Sequence[str]) -> None:
        """Mark the fields that problems name."""
        for name, field in self._named().items():
            field.setProperty("wrong", any(problem.startswith(name) for problem in problems))
            restyle(field)

    def concerned(self, words: str) -> QWidget | None:
        """The field that a problem names, in its plain words; None if it is none of these."""
        return next((field for name, field in self._named().items() if words.startswith(plain(name))), None)

    def show_free(self) -> None:
        """How much room there is for the recording."""
        free = free_bytes(self._out_folder())
        self.free.setText("" if free is None else f"{free / 1e9:.1f} GB free on the disk of the data folder")

    def _out_folder(self) -> Path:
        return Path(self.out.text().strip() or DATA_FOLDER).expanduser()

    def _named(self) -> dict[str, QWidget]:
        """The session's own settings, by the names that problems give them."""
        named = {"--subject:": self.subject, "--duration:": self.duration, "--seed:": self.seed, "--out:": self.out}
        return {**named, "--reason:": self.reason, "--study:": self.study}

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(4, 1)
        self._opens = (
            self._pick(grid, 0, "&Protocol", self.protocol, lambda: self._open_file(self.protocol)),
            self._pick(grid, 1, "&Rig", self.rig, lambda: self._open_file(self.rig)),
            self._pick(grid, 2, "Data &folder", self.out, self._open_folder),
        )
        self._pick(grid, 3, "Stud&y", self.study, self._open_study)
        self._reason_name = QLabel("Reason")
        self._reason_name.setBuddy(self.reason)
        grid.addWidget(self._reason_name, 3, 3)
        grid.addWidget(self.reason, 3, 4)
        self.study.textEdited.connect(lambda _: self.show_study())
        self.show_study()
        for row, (name, line) in enumerate(
            (("S&ubject", self.subject), ("Duratio&n", self.duration), ("S&eed", self.seed))
        ):
            label = QLabel(name)
            label.setBuddy(line)
            grid.addWidget(label, row, 3)
            grid.addWidget(line, row, 4)
        grid.addWidget(self.free, 4, 0, 1, 5)

    def _pick(self, grid: QGridLayout, row: int, name: str, field: QWidget, browse: Callable[[], None]) -> QPushButton:
        label = QLabel(name)
        label.setBuddy(field)
        button = QPushButton("Open…")
        button.setStyleSheet("min-height: 28px;")
        button.setAccessibleName(f"Open {name.replace('&', '').lower()}")
        button.clicked.connect(lambda _: browse())
        grid.addWidget(label, row, 0)
        grid.addWidget(field, row, 1)
        grid.addWidget(button, row, 2)
        return button

    def _open_file(self, box: QComboBox) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Open a file", box.currentText(), _YAML)
        if name:
            box.setCurrentText(name)

    def _open_study(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Open a study", self.study.text(), _YAML)
        if name:
            self.choose_study(name)

    def _open_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Folder for recordings", self.out.text())
        if name:
            self.out.setText(name)
            self.edited.emit()


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
