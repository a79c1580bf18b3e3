"""Which part of the session is on screen: a frozen value, and the bar that edits it. It knows no recording."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from PyQt6.QtCore import QSignalBlocker, Qt, pyqtSignal
from PyQt6.QtGui import QAction, QHideEvent, QKeySequence, QShowEvent
from PyQt6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QScrollBar, QSizePolicy, QVBoxLayout, QWidget

from closedloop.dashboard.plots.axes import clock
from closedloop.dashboard.theme import DARK, Theme

SPANS: dict[str, float | None] = {"5 s": 5.0, "30 s": 30.0, "2 min": 120.0, "10 min": 600.0, "All": None}
LEAST_SPAN_S = 0.05
BUTTON_PX = 44
_LEAST_WHOLE_S = 5.0
_TICKS_PER_S = 20  # of the scroll bar: eight hours are well within a C int


@dataclass(frozen=True)
class View:
    """What is on screen, in seconds of the session.

    Attributes:
        span_s: how much; None: all of the session.
        until_s: its end; None: the newest reading, whatever comes.
    """

    span_s: float | None = 30.0
    until_s: float | None = None

    @property
    def is_following(self) -> bool:
        """Whether the newest reading stays on screen."""
        return self.until_s is None

    def window(self, last_s: float) -> tuple[float, float]:
        """From when to when, if the newest reading is at `last_s`."""
        if self.span_s is None:
            return 0.0, _whole_s(last_s) if self.until_s is None else max(self.until_s, _LEAST_WHOLE_S)
        until_s = last_s if self.until_s is None else self.until_s
        until_s = max(until_s, self.span_s)
        return until_s - self.span_s, until_s

    def followed(self) -> View:
        """The same span at the newest reading."""
        return replace(self, until_s=None)

    def paused(self, last_s: float) -> View:
        """The same picture, standing still."""
        return replace(self, until_s=self.window(last_s)[1])

    def spanning(self, span_s: float | None, last_s: float) -> View:
        """Another span around the middle of this picture; at the newest reading if this one is."""
        if self.is_following or span_s is None:
            return View(span_s, self.until_s)
        since_s, until_s = self.window(last_s)
        return View(span_s, 0.5 * (since_s + until_s + span_s)).within(last_s)

    def zoomed(self, factor: float, about_s: float, last_s: float) -> View:
        """A longer or shorter span with `about_s` where it is, or with the newest reading where it is."""
        since_s, until_s = self.window(last_s)
        whole_s = max(last_s, _LEAST_WHOLE_S)
        span_s = max(LEAST_SPAN_S, (until_s - since_s) * factor)
        if span_s >= whole_s and factor > 1:
            return View(None, self.until_s)
        if self.is_following:
            return View(span_s)
        part = (until_s - about_s) / (until_s - since_s)
        return View(span_s, about_s + part * span_s).within(last_s)

    def panned(self, by_s: float, last_s: float) -> View:
        """Moved towards later times by so much; it stands still then."""
        since_s, until_s = self.window(last_s)
        return View(until_s - since_s, until_s + by_s).within(last_s)

    def jumped(self, at_s: float, last_s: float) -> View:
        """Standing still with `at_s` in the middle; all of the session becomes 30 s of it."""
        span_s = 30.0 if self.span_s is None else self.span_s
        return View(span_s, at_s + 0.5 * span_s).within(last_s)

    def within(self, last_s: float) -> View:
        """Not beyond either end of the session."""
        span_s = self.span_s or 0.0
        until_s = self.until_s or 0.0
        return replace(self, until_s=max(span_s, min(until_s, max(last_s, span_s))))


def _whole_s(last_s: float) -> float:
    """A little more than there is, so that the picture of all of it does not move with every reading."""
    step_s = max(_LEAST_WHOLE_S, last_s) / 200
    step_s = 2.0 ** math.ceil(math.log2(step_s))
    return max(_LEAST_WHOLE_S, math.ceil(last_s / step_s) * step_s)


class TimelineBar(QWidget):
    """Buttons for span and plots, a scroll bar, follow or pause, and a way to a figure. `changed` carries a `View`.

    Attributes:
        keys: what can be done by key; the texts are for a help page.
    """

    changed = pyqtSignal(object)
    figure_asked = pyqtSignal()
    choice_asked = pyqtSignal()

    def __init__(self, theme: Theme = DARK, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._view = View()
        self._last_s = 0.0
        self._shown: object = None
        self.keys: list[QAction] = []
        self.spans = {name: self._button(name, f"Show {name.lower()}") for name in SPANS}
        self.follow = self._button("Hold  F", "Stand still, or follow the newest reading (F)")
        self.choice = self._button("", "Which plots are shown: the main ones, the signals, all that is measured (M)")
        self.choice.hide()
        self.figure = self._button("Figure", "Save what is on screen as PNG or SVG (Ctrl+S)")
        self.words = QLabel("", self)
        self.words.setTextFormat(Qt.TextFormat.PlainText)
        self.slider = QScrollBar(Qt.Orientation.Horizontal, self)
        self._arrange()
        self._connect()
        self.set_theme(theme)
        self._refresh()

    def value(self) -> View:
        """What is on screen."""
        return self._view

    def setValue(self, view: View) -> None:  # noqa: N802 - the name Qt's own widgets use
        """Show another part; says so by `changed` if it is another."""
        if view == self._view:
            return
        self._view = view
        self._refresh()
        self.changed.emit(view)

    def window_s(self, last_s: float) -> tuple[float, float]:
        """From when to when, now that the newest reading is at `last_s`."""
        if last_s != self._last_s:
            self._last_s = last_s
            self._refresh()
        return self._view.window(last_s)

    def toggle(self) -> None:
        """Follow if it stands still, else pause."""
        view = self._view
        self.setValue(view.paused(self._last_s) if view.is_following else view.followed())

    def show_span(self, span_s: float | None) -> None:
        """As its button does."""
        self.setValue(self._view.spanning(span_s, self._last_s))

    def zoom(self, factor: float, about_s: float | None = None) -> None:
        """Less than 1: closer, about the middle if no time is given."""
        middle_s = sum(self._view.window(self._last_s)) / 2
        self.setValue(self._view.zoomed(factor, middle_s if about_s is None else about_s, self._last_s))

    def pan(self, by_s: float) -> None:
        """Towards later times."""
        self.setValue(self._view.panned(by_s, self._last_s))

    def pan_parts(self, parts: float) -> None:
        """Towards later times by so many widths of the picture."""
        since_s, until_s = self._view.window(self._last_s)
        self.pan(parts * (until_s - since_s))

    def jump(self, at_s: float) -> None:
        """Stand still around a moment."""
        self.setValue(self._view.jumped(at_s, self._last_s))

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        self.setStyleSheet(
            f"TimelineBar {{ background: {theme.ground}; }}"
            f"QPushButton {{ background: {theme.panel}; color: {theme.text}; border: 1px solid {theme.line};"
            f" border-radius: 4px; padding: 0 8px; font-size: {theme.font_px + 2}px; }}"
            f"QPushButton:checked {{ border: 3px solid {theme.text}; padding: 0 6px; }}"
            f"QPushButton:focus {{ border: 2px dotted {theme.text}; }}"
            f"QLabel {{ color: {theme.text}; font-size: {theme.font_px + 1}px; }}"
            f"QScrollBar {{ background: {theme.panel}; height: 22px; border: 1px solid {theme.line}; }}"
            f"QScrollBar::handle {{ background: {theme.dim}; min-width: 28px; border-radius: 3px; margin: 2px; }}"
            "QScrollBar::add-line, QScrollBar::sub-line { width: 0; }"
        )

    def show_choice(self, name: str) -> None:
        """Which plots are on screen; "" where there is no choice."""
        self.choice.setText(f"{name}  M" if name else "")
        self.choice.setVisible(bool(name))

    def add_key(self, owner: QWidget, words: str, keys: tuple[str, ...], do: Callable[[], None]) -> QAction:
        """Keys of the owner's window that do something while this bar is on screen: of several bars, one may be."""
        action = QAction(words, owner)
        action.setShortcuts([QKeySequence(key) for key in keys])
        action.setEnabled(self.isVisible())
        action.triggered.connect(lambda _=False: do())
        owner.addAction(action)
        self.keys.append(action)
        return action

    def add_keys(self, owner: QWidget) -> None:
        """All that this bar does by key."""
        for number, (name, span_s) in enumerate(SPANS.items(), 1):
            words = "Show the whole session" if span_s is None else f"Show {name}"
            self.add_key(owner, words, (str(number),), partial(self.show_span, span_s))
        self.add_key(owner, "Follow the newest reading, or stand still", ("F",), self.toggle)
        self.add_key(owner, "Closer", ("+", "="), partial(self.zoom, 0.5))
        self.add_key(owner, "Farther", ("-",), partial(self.zoom, 2.0))
        self.add_key(owner, "Earlier", (",", "Alt+Left"), partial(self.pan_parts, -0.5))
        self.add_key(owner, "Later", (".", "Alt+Right"), partial(self.pan_parts, 0.5))
        self.add_key(owner, "Save a figure", ("Ctrl+S",), self.figure_asked.emit)

    def showEvent(self, a0: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """The keys are this bar's."""
        super().showEvent(a0)
        for action in self.keys:
            action.setEnabled(True)

    def hideEvent(self, a0: QHideEvent | None) -> None:  # noqa: N802 - Qt's name
        """The keys are another's."""
        super().hideEvent(a0)
        for action in self.keys:
            action.setEnabled(False)

    def _button(self, name: str, tip: str) -> QPushButton:
        button = QPushButton(name, self)
        button.setToolTip(tip)
        button.setMinimumHeight(BUTTON_PX)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.setSizePolicy(QSizePolicy.Policy.MinimumExpanding, QSizePolicy.Policy.Fixed)
        return button

    def _arrange(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(4)
        for button in self.spans.values():
            button.setCheckable(True)
            row.addWidget(button)
        self.words.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.words.setMinimumWidth(190)
        row.addWidget(self.words, 1)
        row.addWidget(self.choice)
        self.follow.setMinimumWidth(124)
        row.addWidget(self.follow)
        row.addWidget(self.figure)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.slider)
        column.addLayout(row)
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.slider.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def _connect(self) -> None:
        for name, button in self.spans.items():
            button.clicked.connect(lambda _=False, span_s=SPANS[name]: self._press(span_s))
        self.follow.clicked.connect(lambda _=False: self.toggle())
        self.choice.clicked.connect(lambda _=False: self.choice_asked.emit())
        self.figure.clicked.connect(lambda _=False: self.figure_asked.emit())
        self.slider.valueChanged.connect(self._scrolled)

    def _press(self, span_s: float | None) -> None:
        self.show_span(span_s)
        self._shown = None
        self._refresh()

    def _scrolled(self, since: int) -> None:
        since_s, _ = self._view.window(self._last_s)
        self.setValue(self._view.panned(since / _TICKS_PER_S - since_s, self._last_s))

    def _refresh(self) -> None:
        """Put the view into the widgets; nothing of it comes back as a wish."""
        since_s, until_s = self._view.window(self._last_s)
        decimals = 1 if until_s - since_s < 60 else 0
        words = f"{clock(since_s, decimals)} – {clock(until_s, decimals)}  of {clock(self._last_s)}"
        if (self._view, words) == self._shown:
            return
        self._shown = (self._view, words)
        self.words.setText(words)
        self.follow.setText("Hold  F" if self._view.is_following else "▶ Follow  F")
        for name, button in self.spans.items():
            button.setChecked(SPANS[name] == self._view.span_s)
        self._refresh_scroll(since_s, until_s)

    def _refresh_scroll(self, since_s: float, until_s: float) -> None:
        blocked = QSignalBlocker(self.slider)
        span = max(1, round((until_s - since_s) * _TICKS_PER_S))
        self.slider.setRange(0, max(0, round(self._last_s * _TICKS_PER_S) - span))
        self.slider.setPageStep(span)
        self.slider.setSingleStep(max(1, span // 10))
        self.slider.setValue(round(since_s * _TICKS_PER_S))
        blocked.unblock()
