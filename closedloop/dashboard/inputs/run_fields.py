"""What a session is run with besides the protocol's fields: files, animal, data folder. It loads and starts nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from PyQt6.QtCore import QSignalBlocker, pyqtSignal
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
        self.free = QLabel()
        self.free.setObjectName("free")
        self._lay_out()
        for box in (self.protocol, self.rig):
            box.currentTextChanged.connect(self.edited)
        for line in (self.subject, self.out, self.duration, self.seed):
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
            overrides=tuple(overrides),
        )

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
        return {"--subject:": self.subject, "--duration:": self.duration, "--seed:": self.seed, "--out:": self.out}

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
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

    def _open_file(self, box: QComboBox) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Open a file", box.currentText(), _YAML)
        if name:
            box.setCurrentText(name)

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
