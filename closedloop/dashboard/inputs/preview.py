"""What the setting under the cursor would have given in the last minutes. It asks a process of its own, and no session.

Only the newest question is kept: a knob that is turned asks once it rests.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from PyQt6.QtCore import QCoreApplication, Qt, QTimer, pyqtSignal
from PyQt6.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from closedloop.dashboard import style
from closedloop.dashboard.inputs.bounds import Bounds
from closedloop.dashboard.inputs.preview_chart import ScoreChart
from closedloop.dashboard.inputs.preview_process import Answer, PreviewProcess
from closedloop.dashboard.inputs.preview_raster import Raster
from closedloop.dashboard.inputs.preview_words import footnote, result
from closedloop.dashboard.panel import Panel, alone
from closedloop.dashboard.theme import DARK, Theme
from closedloop.watching.measured import begun_with
from closedloop.watching.watch import Watch

MINUTES = 5.0
ASK_AFTER_MS = 250
_ASK_AGAIN_S = 10.0  # of sample time, while the session goes on


class Preview(Panel):
    """The last minutes again, with the setting under the cursor beside the one in force.

    Attributes:
        pointed: emitted with a threshold when somebody clicks one among the scores.
        answered: emitted with each answer of the process.
    """

    pointed = pyqtSignal(float)
    answered = pyqtSignal(object)

    def __init__(self, theme: Theme = DARK, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self._folder: Path | None = None
        self._last_s = 0.0
        self._cursor: Bounds | None = None
        self._in_force: Bounds | None = None
        self._answers: dict[Bounds, Answer] = {}
        self._dead = ""
        self._process = PreviewProcess(self)
        self._process.answered.connect(self._take)
        self._process.free.connect(self._ask_on)
        self._process.died.connect(self._died)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(ASK_AFTER_MS)
        self._timer.timeout.connect(self.ask_now)
        self._make()
        self.set_theme(theme)
        if (application := QCoreApplication.instance()) is not None:
            application.aboutToQuit.connect(self.stop)

    def show_watch(self, watch: Watch) -> None:
        """Follow the session; ask again when there is enough that is new."""
        if watch.follower.folder != self._folder:
            self.stop()
            self._folder = watch.follower.folder
            self._cursor, self._in_force, self._answers, self._dead = None, None, {}, ""
        self._last_s = watch.traces.last_s if watch.header else 0.0
        if self._in_force is None and watch.header:
            self._in_force = _of_header(watch.header)
        if self.isVisible():
            self._ask_on()
        if not self._answers:
            self._tell()

    def set_cursor(self, threshold: float, release: float) -> None:
        """What would be asked for; the question goes out when it has rested a moment."""
        if (threshold, release) != self._cursor:
            self._cursor = Bounds(threshold, release)
            self._timer.start()
            self._tell()
            self._draw()

    def set_in_force(self, threshold: float, release: float) -> None:
        """What the session has."""
        if (threshold, release) != self._in_force:
            self._in_force = Bounds(threshold, release)
            self._timer.start()

    def ask_now(self) -> None:
        """Put the next question, if there is one and none is out."""
        self._timer.stop()
        setting = self._next()
        if setting is None or self._process.is_asked or self._dead or self._folder is None or not self._last_s:
            return
        self._process.ask(self._folder, setting, MINUTES)
        self._tell()

    def stop(self) -> None:
        """Let go of the session: no process is left, and no question goes out by itself."""
        self._timer.stop()
        self._process.stop()

    def set_theme(self, theme: Theme) -> None:
        """Take other colours."""
        super().set_theme(theme)
        self._scores.theme = self._raster.theme = theme
        self._there.setFont(style.words_font(theme, theme.number_px - 3, bold=True))
        self._now.setFont(style.words_font(theme, theme.number_px - 3))
        self.setStyleSheet(f"#dim {{ color: {theme.dim}; }}")
        self._draw()

    def _make(self) -> None:
        self._there, self._now, self._about = QLabel(), QLabel(), QLabel()
        self._about.setObjectName("dim")
        self._scores, self._raster = ScoreChart(self.theme), Raster(self.theme)
        self._scores.hovered.connect(self._hover)
        self._scores.clicked.connect(self.pointed)
        self._again = QPushButton("Try again")
        self._again.setMinimumHeight(style.GLOVE_PX)
        self._again.clicked.connect(self._try_again)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 8, 8, 8)
        for label in (self._there, self._now, self._about):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
        for widget in (self._there, self._now, self._scores, self._raster, self._about, self._again):
            column.addWidget(widget)
        column.addStretch(1)

    @property
    def said(self) -> str:
        """All words that are shown."""
        return "\n".join(label.text() for label in (self._there, self._now, self._about) if label.text())

    def _hover(self, threshold: float) -> None:
        now = self._cursor or self._in_force
        if now is not None:
            self.set_cursor(threshold, min(now.release, threshold))

    def _next(self) -> Bounds | None:
        """The setting whose answer is wanted most; None if all that are wanted are there and new enough."""
        wanted = [setting for setting in (self._cursor, self._in_force) if setting is not None]
        due = [setting for setting in wanted if setting.release <= setting.threshold and self._is_old(setting)]
        unknown = (setting for setting in due if setting not in self._answers)
        return next(unknown, due[0] if due else None)

    def _is_old(self, setting: Bounds) -> bool:
        answer = self._answers.get(setting)
        return answer is None or self._last_s - float(answer.get("until_s", self._last_s)) > _ASK_AGAIN_S

    def _ask_on(self) -> None:
        """The next question, unless the knob is still being turned."""
        if not self._timer.isActive():
            self.ask_now()

    def _take(self, setting: Bounds, answer: Answer) -> None:
        kept = [known for known in (self._cursor, self._in_force) if known in self._answers]
        self._answers = {known: self._answers[known] for known in kept if known is not None} | {setting: answer}
        self._tell()
        self._draw()
        self.answered.emit(answer)

    def _died(self, why: str) -> None:
        self._dead = f"The preview's process ended ({why}). The session is not concerned."
        self.stop()
        self._tell()

    def _try_again(self) -> None:
        self._dead = ""
        self._answers = {}
        self.ask_now()
        self._tell()

    def _tell(self) -> None:
        """Everything in words."""
        cursor, in_force = self._cursor or self._in_force, self._in_force
        self._again.setVisible(bool(self._dead))
        there = self._answers.get(cursor) if cursor else None
        now = self._answers.get(in_force) if in_force and in_force != cursor else None
        self._there.setText(self._dead or self._headline(cursor, there))
        self._now.setText(f"Now, {result(in_force, now)}" if in_force and now and not self._dead else "")
        self._about.setText(footnote(there) if there and not self._dead else "")
        for label in (self._now, self._about):
            label.setVisible(bool(label.text()))

    def _headline(self, setting: Bounds | None, answer: Answer | None) -> str:
        if answer is not None and setting is not None:
            said = result(setting, answer)
            return said[0].upper() + said[1:]
        if self._folder is None or not self._last_s:
            return "Nothing to preview yet: there are no readings."
        if setting is not None and setting.release > setting.threshold:
            threshold, release = setting
            return f"Release ({release:g}) lies above threshold ({threshold:g}): lower release to preview it."
        if self._process.is_asked and not self._answers:
            return "The last minutes are re-run; the first time takes some seconds …"
        return "The last minutes are re-run …"

    def _draw(self) -> None:
        cursor, in_force = self._cursor or self._in_force, self._in_force
        there = self._answers.get(cursor) if cursor else None
        now = self._answers.get(in_force) if in_force else None
        shown = there or now or {}
        self._scores.show_scores(shown.get("scores"), cursor, in_force)
        self._raster.show_times(there if there != now else None, now)


def _of_header(header: dict[str, Any]) -> Bounds | None:
    """Those that the session began with; None where it does not say both."""
    begun = begun_with(header)
    return Bounds(begun.threshold, begun.release) if math.isfinite(begun.threshold + begun.release) else None


if __name__ == "__main__":
    raise SystemExit(alone(Preview))
