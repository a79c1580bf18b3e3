"""The fields of a YAML file as a form, made from its model. It judges nothing: what is typed becomes `--set` items.

A unit stays in the text as in the file ("500 ms"). Whether a text is right is said by whoever loads the file with these
items, in the words of `closedloop check`; `show_problems` puts each beside the field that it names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from PyQt6.QtCore import QSignalBlocker, Qt, pyqtSignal
from PyQt6.QtGui import QWheelEvent
from PyQt6.QtWidgets import QComboBox, QGridLayout, QLabel, QLineEdit, QSizePolicy, QWidget

from closedloop.dashboard.inputs.entries import Entry, entries, fitting, in_one_line
from closedloop.dashboard.inputs.tone import restyle
from closedloop.model import Model

Input = QLineEdit | QComboBox

_NAMED = re.compile(r"(?:^|: )([A-Za-z_][\w.]*): ")
_ADVISED = re.compile(r"'([a-z_]+): ")  # what the words say to write
_MENTIONED = re.compile(r"[a-z_]+(?:\.[a-z_0-9]+)+")


class Box(QComboBox):
    """A box that the mouse wheel leaves alone: scrolling past it must not change an experiment."""

    def wheelEvent(self, event: QWheelEvent | None) -> None:  # noqa: N802 - Qt's name
        """Left to the page."""
        if event is not None:
            event.ignore()


class Form(QWidget):
    """A row for each field of a file.

    Attributes:
        edited: emitted after each edit of a person, never when the form is filled.
    """

    edited = pyqtSignal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._grid = QGridLayout(self)
        self._grid.setColumnStretch(1, 1)
        self._grid.setVerticalSpacing(4)
        self._model: type[Model] | None = None
        self._data: dict[str, Any] = {}
        self._typed: dict[str, str] = {}
        self._entries: dict[str, Entry] = {}
        self._inputs: dict[str, Input] = {}
        self._problems: dict[str, QLabel] = {}

    def fill(self, model: type[Model], data: dict[str, Any]) -> None:
        """Show what a file says; what was typed before is forgotten."""
        self._model, self._data, self._typed, self._entries = model, data, {}, {}
        self._build()

    def clear(self) -> None:
        """No file, no rows."""
        self._model, self._data, self._typed, self._entries = None, {}, {}, {}
        self._clear()

    def overrides(self) -> list[str]:
        """What was typed and differs from the file, as `--set` items; kinds first: they decide what else there is."""
        items = [(self._entries[key], text) for key, text in self._typed.items() if key in self._inputs]
        changed = [(entry, text) for entry, text in items if (text or entry.otherwise) != entry.effective]
        ordered = sorted(changed, key=lambda item: (not item[0].package, item[0].key.count(".")))
        return [self._item(entry, text or entry.otherwise) for entry, text in ordered]

    def _item(self, entry: Entry, text: str) -> str:
        """One item; of another kind the whole section, if something is written there that does not hold for it."""
        section = entry.key.rpartition(".")[0]
        written = _get(self._data, section.split(".")) if entry.package else None
        if not isinstance(written, dict):
            return f"{entry.key}={text}"
        kept = fitting(written, entry.package, entry.text, text)
        return f"{entry.key}={text}" if len(kept) == len(written) else f"{section}={in_one_line(kept)}"

    def text(self, key: str) -> str:
        """What a field shows."""
        return _text_of(self._inputs[key])

    def set_text(self, key: str, text: str) -> None:
        """As if a person had typed it."""
        field = self._inputs[key]
        if isinstance(field, QComboBox):
            field.setCurrentText(text)
            return
        field.setText(text)
        field.textEdited.emit(text)

    def fields(self) -> list[str]:
        """The keys of all fields, in order."""
        return list(self._inputs)

    def field(self, key: str) -> Input | None:
        """The line or box of a field; None if the form has no such field."""
        return self._inputs.get(key)

    def show_problems(self, problems: Sequence[str]) -> None:
        """Say each problem beside the field that it names."""
        said: dict[str, list[str]] = {}
        for problem in problems:
            key, words = self._named(problem)
            if key:
                said.setdefault(key, []).append(words)
        for key, label in self._problems.items():
            label.setText("\n".join(said.get(key, [])))
            label.setVisible(key in said)
            field = self._inputs.get(key)
            if field is not None:
                field.setProperty("wrong", key in said)
                restyle(field)

    def concerned(self, problem: str) -> str:
        """The field that a problem names, or the section; "" if it is none of the form's."""
        return self._named(problem)[0]

    def _named(self, problem: str) -> tuple[str, str]:
        """The field a problem names, or what encloses it, and what it says; else the first that its words mention."""
        for match in _NAMED.finditer(problem):
            key = match[1]
            while key and key not in self._problems:
                key = key.rpartition(".")[0]
            if key:
                return key, problem[match.end() :] if key == match[1] else problem[match.start(1) :]
        found = [match[0] for match in _MENTIONED.finditer(problem)] + [m[1] for m in _ADVISED.finditer(problem)]
        return next((key for key in found if key in self._problems), ""), problem

    def _build(self) -> None:
        """All rows anew: another kind has other fields."""
        self._clear()
        for row, entry in enumerate(entries(self._model, self._shown()) if self._model else ()):
            self._add(row, entry)
        self._grid.setRowStretch(self._grid.rowCount(), 1)

    def _shown(self) -> dict[str, Any]:
        """The file's data with the kinds that were chosen, less what is written for another kind."""
        data: dict[str, Any] = _copy(self._data)
        for key, text in self._typed.items():
            if key.endswith(".kind"):
                _put(data, key.split("."), text)
                entry, section = self._entries[key], key.split(".")[:-1]
                written = _get(data, section)
                if entry.package and entry.text not in ("", text) and isinstance(written, dict):
                    _put(data, section, fitting(written, entry.package, entry.text, text))
        return data

    def _clear(self) -> None:
        while (item := self._grid.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.setParent(None)
                widget.deleteLater()
        for row in range(self._grid.rowCount()):
            self._grid.setRowStretch(row, 0)
        self._inputs, self._problems = {}, {}

    def _add(self, row: int, entry: Entry) -> None:
        label = QLabel(entry.name, self)
        label.setTextFormat(Qt.TextFormat.PlainText)
        label.setToolTip(entry.about)
        label.setContentsMargins(14 * entry.depth, 0, 0, 0)
        label.setObjectName("heading" if entry.heading else "name")
        self._grid.addWidget(label, 2 * row, 0, Qt.AlignmentFlag.AlignVCenter)
        problem = QLabel(self)
        problem.setTextFormat(Qt.TextFormat.PlainText)
        problem.setWordWrap(True)
        problem.setObjectName("problem")
        problem.hide()
        self._problems[entry.key] = problem
        self._grid.addWidget(problem, 2 * row + 1, 0, 1, 2)
        if entry.heading:
            return
        if entry.key not in self._entries or not entry.package:  # the kind that the file has stays known
            self._entries[entry.key] = entry
        field = self._made(entry)
        label.setBuddy(field)
        self._inputs[entry.key] = field
        self._grid.addWidget(field, 2 * row, 1)

    def _made(self, entry: Entry) -> Input:
        text = self._typed.get(entry.key, entry.text)
        field = _box(entry, text) if entry.choices else _line(entry, text)
        field.setParent(self)
        field.setToolTip(f"{entry.about}\n{entry.key}".strip())
        field.setAccessibleName(entry.key)
        if isinstance(field, QComboBox):
            field.currentTextChanged.connect(lambda chosen, key=entry.key: self._edit(key, chosen))
        else:
            field.textEdited.connect(lambda typed, key=entry.key: self._edit(key, typed))
        return field

    def _edit(self, key: str, text: str) -> None:
        self._typed[key] = text.strip()
        if key.endswith(".kind"):
            section = key.removesuffix("kind")
            self._typed = {k: typed for k, typed in self._typed.items() if k == key or not k.startswith(section)}
            self._build()
            self._inputs[key].setFocus()
        self.edited.emit()


def _text_of(field: Input) -> str:
    return field.currentText() if isinstance(field, QComboBox) else field.text()


def _line(entry: Entry, text: str) -> QLineEdit:
    field = QLineEdit(text)
    field.setPlaceholderText(f"{entry.otherwise}  (default)" if entry.otherwise else "none")
    field.setReadOnly(entry.foreign)
    return field


def _box(entry: Entry, text: str) -> Box:
    field = Box()
    blocked = QSignalBlocker(field)
    shown = text or entry.otherwise
    field.addItems(entry.choices if shown in entry.choices else (shown, *entry.choices))
    field.setCurrentText(shown)
    blocked.unblock()
    field.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    field.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    return field


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _get(data: Any, parts: list[str]) -> Any:
    """What stands there; None where nothing does."""
    for part in parts:
        if isinstance(data, list):
            data = data[int(part)] if part.isdecimal() and int(part) < len(data) else None
        else:
            data = data.get(part) if isinstance(data, dict) else None
    return data


def _put(data: Any, parts: list[str], text: Any) -> None:
    for part in parts[:-1]:
        data = data[int(part)] if isinstance(data, list) else data.setdefault(part, {})
    last = parts[-1]
    if isinstance(data, list):
        data[int(last)] = text
    else:
        data[last] = text
