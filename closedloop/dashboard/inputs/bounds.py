"""Threshold and release of the detector's score, and Apply. They only ask: in force is what the recording says.

A readback comes in under blocked signals, so that it is never an order, and never over what somebody is changing.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from PyQt6.QtCore import QSignalBlocker, Qt, pyqtSignal
from PyQt6.QtGui import QWheelEvent
from PyQt6.QtWidgets import QDoubleSpinBox, QGridLayout, QLabel, QPushButton, QSizePolicy, QWidget

from closedloop.dashboard import style
from closedloop.dashboard.theme import Theme
from closedloop.watching.measured import too_high

MOST_SCORE = 1000.0
_LINE = "\n"
_STEP = 0.1
_STEPS = {"probability": 0.01, "members": 1.0}


class Bounds(NamedTuple):
    """Of the detector's score; nan is unknown."""

    threshold: float
    release: float


UNKNOWN = Bounds(math.nan, math.nan)


class BoundsField(QWidget):
    """Both numbers with their steps, Apply, and why it cannot be pressed.

    Attributes:
        valueChanged: emitted with threshold and release as they stand here, applied or not.
        applied: emitted with the Bounds to be asked for.
    """

    valueChanged = pyqtSignal(float, float)  # noqa: N815 - the name Qt's own widgets use
    applied = pyqtSignal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._in_force = UNKNOWN
        self._why_fixed = ""
        self._highest = math.nan
        self._unit = ""
        self.threshold, self.release = _Number("threshold"), _Number("release")
        self.steps: list[QPushButton] = []
        self._labels: list[QLabel] = []
        self.apply = QPushButton("Apply")
        self.apply.setMinimumHeight(style.GLOVE_PX)
        self.apply.setToolTip("From the next reading on; recorded with its time (Enter in a field)")
        self.why = QLabel()
        self.why.setTextFormat(Qt.TextFormat.PlainText)
        self.why.setObjectName("dim")
        self.why.setWordWrap(True)
        self._lay_out()
        self.apply.clicked.connect(self._apply)
        for number in (self.threshold, self.release):
            number.valueChanged.connect(self._edited)
            if (line := number.lineEdit()) is not None:
                line.returnPressed.connect(self._apply)

    @property
    def in_force(self) -> Bounds:
        """As the session has them; nan where it is not known."""
        return self._in_force

    def value(self) -> Bounds:
        """As they stand here, applied or not."""
        return Bounds(self.threshold.value(), self.release.value())

    def setValue(self, bounds: Bounds) -> None:  # noqa: N802 - the name Qt's own widgets use
        """Other numbers, told once if they differ; what is nan stays as it is."""
        before = self.value()
        for number, value in zip((self.threshold, self.release), bounds, strict=True):
            if not math.isnan(value) and not _is_same(number.value(), value, number.decimals()):
                blocked = QSignalBlocker(number)
                number.setValue(value)
                blocked.unblock()
        if self.value() != before:
            self.valueChanged.emit(*self.value())

    def point_at(self, threshold: float) -> None:
        """Move the threshold there, as if typed; nothing is applied, and the release never lies above it."""
        if self.threshold.isEnabled():
            self.release.setValue(min(self.release.value(), threshold))
            self.threshold.setValue(threshold)

    def begin(self) -> None:
        """Another session: nothing is in force that is known."""
        self._in_force = UNKNOWN

    def read_back(self, in_force: Bounds) -> None:
        """What the session has, into the fields too, unless somebody is changing them."""
        untouched = self._is_untouched
        self._in_force = in_force
        if untouched:
            self.setValue(in_force)

    def allow(self, *, may_turn: bool, why_fixed: str) -> None:
        """Whether the numbers can be turned, and why they cannot be applied; "" if they can."""
        self._why_fixed = why_fixed
        for field in (self.threshold, self.release, *self.steps):
            field.setEnabled(may_turn)
        self._show_apply()

    def cap(self, highest: float) -> None:
        """The most that the score can come to; nan where nothing caps it."""
        if highest != self._highest:
            self._highest = highest
            self._show_apply()

    def set_unit(self, unit: str) -> None:
        """Of the score: what a step is, and what the numbers are called."""
        if unit == self._unit:
            return
        self._unit = unit
        for number, label in zip((self.threshold, self.release), self._labels, strict=True):
            number.setSingleStep(_STEPS.get(unit, _STEP))
            number.setDecimals(3 if unit == "probability" else 2)
            label.setText(f"{label.text().partition(_LINE)[0]}{_LINE}({unit if unit not in ('', 'SD') else 'score'})")

    def take_keyboard(self) -> None:
        """What is typed next is the threshold."""
        self.threshold.setFocus()
        self.threshold.selectAll()

    def set_theme(self, theme: Theme) -> None:
        """Take other fonts; the colours are the panel's."""
        self.apply.setFont(style.words_font(theme, theme.number_px - 2, bold=True))
        for number in (self.threshold, self.release):
            number.setFont(style.digits_font(theme))

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(2, 1)
        self._lay_out_number(grid, 0, "Thresho&ld\n(score)", self.threshold)
        self._lay_out_number(grid, 1, "R&elease\n(score)", self.release)
        self.apply.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        grid.addWidget(self.apply, 0, 4, 2, 1)
        grid.addWidget(self.why, 2, 0, 1, 5)

    def _lay_out_number(self, grid: QGridLayout, row: int, name: str, number: _Number) -> None:
        label = QLabel(name)
        label.setTextFormat(Qt.TextFormat.PlainText)
        label.setObjectName("dim")
        label.setBuddy(number)
        self._labels.append(label)
        less, more = _step_button("−", number), _step_button("+", number)
        less.clicked.connect(number.stepDown)
        more.clicked.connect(number.stepUp)
        self.steps += [less, more]
        for column, widget in enumerate((label, less, number, more)):
            grid.addWidget(widget, row, column)

    def _edited(self) -> None:
        self._show_apply()
        self.valueChanged.emit(*self.value())

    def _apply(self) -> None:
        if self.apply.isEnabled():
            self.applied.emit(self.value())

    @property
    def _is_untouched(self) -> bool:
        if self.threshold.hasFocus() or self.release.hasFocus():
            return False
        decimals = self.threshold.decimals()
        pairs = zip(self.value(), self._in_force, strict=True)
        return all(math.isnan(there) or _is_same(here, there, decimals) for here, there in pairs)

    def _show_apply(self) -> None:
        wanted, in_force = self.value(), self._in_force
        upside_down = wanted.release > wanted.threshold
        decimals = self.threshold.decimals()
        changed = not all(_is_same(here, there, decimals) for here, there in zip(wanted, in_force, strict=True))
        beyond = too_high(wanted.threshold, self._highest) if changed else ""
        self.apply.setEnabled(not self._why_fixed and changed and not upside_down and not beyond)
        said = self._why_fixed
        if not said and upside_down:
            said = f"Release ({wanted.release:g}) must not lie above threshold ({wanted.threshold:g}); lower release."
        elif not said and beyond:
            said = beyond
        elif not said and changed and not math.isnan(in_force.threshold):
            said = f"Not applied yet; in force: {in_force.threshold:g}, release {in_force.release:g}."
        if self.why.text() != said:
            self.why.setText(said)


class _Number(QDoubleSpinBox):
    """A bound of the score; the wheel turns it only while it has the keyboard."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setRange(-MOST_SCORE, MOST_SCORE)
        self.setDecimals(2)
        self.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setSingleStep(_STEP)
        self.setMinimumHeight(style.GLOVE_PX)
        self.setKeyboardTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(name)

    def wheelEvent(self, event: QWheelEvent | None) -> None:  # noqa: N802 - Qt's name
        """Left to the page unless it is meant."""
        if self.hasFocus():
            super().wheelEvent(event)
        elif event is not None:
            event.ignore()


def _step_button(sign: str, number: _Number) -> QPushButton:
    """A step that gloves can press; held down, it goes on."""
    button = QPushButton(sign)
    button.setFixedSize(style.GLOVE_PX, style.GLOVE_PX)
    button.setStyleSheet("padding: 0;")
    button.setAutoRepeat(True)
    button.setAccessibleName(f"{number.accessibleName()} {sign}")
    return button


def _is_same(here: float, there: float, decimals: int) -> bool:
    return abs(here - there) < 0.5 * 0.1**decimals  # finer than a field shows
