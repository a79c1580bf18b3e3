"""What the setting under the cursor would have given in the last minutes. It asks a process of its own.

One question is out at a time, and only the newest next one is kept: a knob that is turned asks once it rests.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PyQt6.QtCore import QCoreApplication, QProcess, QRectF, Qt, QTimer, pyqtSignal
from PyQt6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen
from PyQt6.QtWidgets import QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from closedloop.dashboard import style
from closedloop.dashboard.panel import Panel, alone
from closedloop.dashboard.theme import DARK, Theme
from closedloop.watching.watch import Watch

MINUTES = 5.0
ASK_AFTER_MS = 250
_ASK_AGAIN_S = 10.0  # of sample time, while the session goes on
_KILL_MS = 500
_MARGIN_PX = 8.0
_AXIS_PX = 18.0

Setting = tuple[float, float]  # threshold, release
Answer = dict[str, Any]


class Preview(Panel):
    """The last minutes again, with the setting under the cursor beside the one in force.

    Attributes:
        pointed: emitted with a threshold when somebody clicks one among the scores.
        answered: emitted with each answer of the process.
        marks: emitted with the times, in seconds, at which the setting under the cursor would have begun a train.
    """

    pointed = pyqtSignal(float)
    answered = pyqtSignal(object)
    marks = pyqtSignal(object)

    def __init__(self, theme: Theme = DARK, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent)
        self._folder: Path | None = None
        self._last_s = 0.0
        self._cursor: Setting | None = None
        self._in_force: Setting | None = None
        self._answers: dict[Setting, Answer] = {}
        self._out: Setting | None = None
        self._process: QProcess | None = None
        self._dead = ""
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
            self._folder, self._cursor, self._in_force, self._answers, self._dead = (
                watch.follower.folder,
                None,
                None,
                {},
                "",
            )
        self._last_s = watch.traces.last_s if watch.header else 0.0
        if self._in_force is None and watch.header:
            self._in_force = _of_header(watch.header)
        if self.isVisible() and not self._timer.isActive():
            self.ask_now()
        if not self._answers:
            self._tell()

    def set_cursor(self, threshold: float, release: float) -> None:
        """What would be asked for; the question goes out when it has rested a moment."""
        if (threshold, release) != self._cursor:
            self._cursor = (threshold, release)
            self._timer.start()
            self._tell()
            self._draw()

    def set_in_force(self, threshold: float, release: float) -> None:
        """What the session has."""
        if (threshold, release) != self._in_force:
            self._in_force = (threshold, release)
            self._timer.start()

    def ask_now(self) -> None:
        """Put the next question, if there is one and none is out."""
        self._timer.stop()
        setting = self._next()
        if setting is None or self._out is not None or self._dead or not self._last_s:
            return
        process = self._running()
        threshold, release = setting
        question = {"threshold": threshold, "release": release, "minutes": MINUTES}
        self._out = setting
        process.write(json.dumps(question).encode() + b"\n")
        self._tell()

    def stop(self) -> None:
        """Let go of the session: no process is left, and no question goes out by itself."""
        self._timer.stop()
        process, self._process, self._out = self._process, None, None
        if process is None:
            return
        process.blockSignals(True)
        if process.state() != QProcess.ProcessState.NotRunning:
            process.kill()
            process.waitForFinished(_KILL_MS)
        process.deleteLater()

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
        self._scores, self._raster = _Scores(self.theme), _Raster(self.theme)
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
            self.set_cursor(threshold, min(now[1], threshold))

    def _next(self) -> Setting | None:
        """The setting whose answer is wanted most; None if all that are wanted are there and new enough."""
        wanted = [setting for setting in (self._cursor, self._in_force) if setting is not None]
        due = [setting for setting in wanted if setting[1] <= setting[0] and self._is_old(setting)]
        unknown = (setting for setting in due if setting not in self._answers)
        return next(unknown, due[0] if due else None)

    def _is_old(self, setting: Setting) -> bool:
        answer = self._answers.get(setting)
        return answer is None or self._last_s - float(answer.get("until_s", self._last_s)) > _ASK_AGAIN_S

    def _running(self) -> QProcess:
        if self._process is not None:
            return self._process
        process = QProcess(self)
        process.readyReadStandardOutput.connect(self._hear)
        process.finished.connect(lambda *_: self._died())
        process.errorOccurred.connect(lambda _: self._died())
        process.start(sys.executable, ["-m", "closedloop.watching.preview", str(self._folder)])
        self._process = process
        return process

    def _hear(self) -> None:
        while self._process is not None and self._process.canReadLine():
            line = bytes(self._process.readLine().data())
            setting, self._out = self._out, None
            if setting is not None:
                self._take(setting, _read(line))
        if not self._timer.isActive():
            self.ask_now()

    def _take(self, setting: Setting, answer: Answer) -> None:
        kept = [known for known in (self._cursor, self._in_force) if known in self._answers]
        self._answers = {known: self._answers[known] for known in kept if known is not None} | {setting: answer}
        self._tell()
        self._draw()
        self.answered.emit(answer)
        if setting == (self._cursor or self._in_force):
            self.marks.emit(tuple(answer.get("fires", ())))

    def _died(self) -> None:
        if self._process is None:
            return
        said = bytes(self._process.readAllStandardError().data()).decode(errors="replace").strip().splitlines()
        why = said[-1] if said else self._process.errorString()
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
        self._now.setText(f"Now, {_result(in_force, now)}" if in_force and now and not self._dead else "")
        self._about.setText(_footnote(there) if there and not self._dead else "")
        for label in (self._now, self._about):
            label.setVisible(bool(label.text()))

    def _headline(self, setting: Setting | None, answer: Answer | None) -> str:
        if answer is not None and setting is not None:
            said = _result(setting, answer)
            return said[0].upper() + said[1:]
        if self._folder is None or not self._last_s:
            return "Nothing to preview yet: there are no readings."
        if setting is not None and setting[1] > setting[0]:
            return f"Release ({setting[1]:g}) lies above threshold ({setting[0]:g}): lower release to preview it."
        if self._out is not None and not self._answers:
            return "The last minutes are re-run; the first time takes some seconds …"
        return "The last minutes are re-run …"

    def _draw(self) -> None:
        cursor, in_force = self._cursor or self._in_force, self._in_force
        there = self._answers.get(cursor) if cursor else None
        now = self._answers.get(in_force) if in_force else None
        shown = there or now or {}
        self._scores.show_scores(shown.get("scores"), cursor, in_force)
        self._raster.show_times(there if there != now else None, now)


def _read(line: bytes) -> Answer:
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    unreadable = {"problem": f"the preview's process said {line[:60]!r}, which is no answer"}
    return answer if isinstance(answer, dict) else unreadable


def _of_header(header: dict[str, Any]) -> Setting | None:
    protocol = header.get("protocol")
    detector = protocol.get("detector") if isinstance(protocol, dict) else None
    if not isinstance(detector, dict):
        return None
    bounds = detector.get("threshold"), detector.get("release")
    numbers = [float(value) for value in bounds if isinstance(value, (int, float))]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else None


def _result(setting: Setting, answer: Answer) -> str:
    """Such as: at 4.5 (release 2): would have fired 7 times in the last 5 min (3 refused: refractory)."""
    at = f"at {setting[0]:.4g} (release {setting[1]:.4g}): "
    if answer.get("problem"):
        return f"{at}not known: {answer['problem']}"
    fires, decision = answer["fires"], answer["decision"]
    if decision == "on_board":
        return f"{at}{_times(len(answer['detections']))} detected by this loop {_span(answer)}; the board decides"
    did = "would have fired" if decision == "fire" else f"would have decided '{decision}'"
    refused = ", ".join(f"{count} refused: {reason.replace('_', ' ')}" for reason, count in answer["refused"].items())
    return f"{at}{did} {_times(len(fires))} {_span(answer)}{f' ({refused})' if refused else ''}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _span(answer: Answer) -> str:
    span_s = answer["until_s"] - answer["since_s"]
    return f"in the last {span_s / 60:.3g} min" if span_s >= 60 else f"in the last {span_s:.0f} s"


def _footnote(answer: Answer) -> str:
    if answer.get("problem"):
        return ""
    how = "re-run from the session's start" if answer["exact"] else "re-run from long enough before"
    return f"{answer['per_min']:.3g} a minute; {how}, on the readings as they were: light that was given shows in them."


class _Scores(QWidget):
    """How often each score was there, in a logarithmic scale; where the mouse is, a threshold is tried.

    Attributes:
        hovered: emitted with the score under the mouse.
        clicked: likewise, when it is pressed.
    """

    hovered = pyqtSignal(float)
    clicked = pyqtSignal(float)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.theme = theme
        self.setMouseTracking(True)
        self.setMinimumHeight(104)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip("Scores of the last minutes. Move to try a threshold, click to put it into the field")
        self.setAccessibleName("Scores of the last minutes")
        self._counts: Sequence[int] = ()
        self._low, self._high = 0.0, 1.0
        self._lines: tuple[Setting | None, Setting | None] = (None, None)

    def show_scores(self, scores: dict[str, Any] | None, cursor: Setting | None, in_force: Setting | None) -> None:
        """New bars, and lines at both thresholds."""
        if scores:
            self._counts, self._low, self._high = scores["counts"], scores["low"], scores["high"]
        self._lines = (cursor, in_force)
        self.update()

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Try what is under the mouse."""
        if event is not None and self._counts:
            self.hovered.emit(self._score_at(event.position().x()))

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802 - Qt's name
        """Choose it."""
        if event is not None and self._counts:
            self.clicked.emit(self._score_at(event.position().x()))

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Bars, lines, an axis with its name."""
        with QPainter(self) as painter:
            box = self._box()
            painter.fillRect(self.rect(), QColor(self.theme.panel))
            painter.setFont(style.words_font(self.theme, self.theme.font_px - 2))
            if self._counts:
                self._paint_bars(painter, box)
                self._paint_axis(painter, box)
                self._paint_lines(painter, box)
            else:
                painter.setPen(QColor(self.theme.dim))
                painter.drawText(box, Qt.AlignmentFlag.AlignCenter, "no scores yet: they come after warm-up")

    def _box(self) -> QRectF:
        return QRectF(self.rect()).adjusted(_MARGIN_PX, _AXIS_PX, -_MARGIN_PX, -_AXIS_PX)

    def _score_at(self, x: float) -> float:
        box = self._box()
        part = (x - box.left()) / max(1.0, box.width())
        score = self._shown_low + min(1.0, max(0.0, part)) * (self._shown_high - self._shown_low)
        return round(score, 1)

    @property
    def _shown_low(self) -> float:
        return self._low

    @property
    def _shown_high(self) -> float:
        """The thresholds are always in the picture."""
        thresholds = [setting[0] for setting in self._lines if setting is not None]
        return max(self._high, *thresholds, self._low + 1e-9) if thresholds else max(self._high, self._low + 1e-9)

    def _x(self, box: QRectF, score: float) -> float:
        part = (score - self._shown_low) / (self._shown_high - self._shown_low)
        return box.left() + min(1.0, max(0.0, part)) * box.width()

    def _paint_bars(self, painter: QPainter, box: QRectF) -> None:
        most = math.log1p(max(self._counts)) or 1.0
        step = (self._high - self._low) / len(self._counts)
        for at, count in enumerate(self._counts):
            left, right = self._x(box, self._low + at * step), self._x(box, self._low + (at + 1) * step)
            height = box.height() * math.log1p(count) / most
            bar = QRectF(left, box.bottom() - height, max(1.0, right - left - 0.5), height)
            painter.fillRect(bar, QColor(self.theme.score))

    def _paint_axis(self, painter: QPainter, box: QRectF) -> None:
        painter.setPen(QColor(self.theme.dim))
        below = QRectF(box.left(), box.bottom() + 1, box.width(), _AXIS_PX)
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft, f"{self._shown_low:.3g}")
        painter.drawText(below, Qt.AlignmentFlag.AlignRight, f"{self._shown_high:.3g}")
        painter.drawText(below, Qt.AlignmentFlag.AlignHCenter, "score; bars: readings, log scale")

    def _paint_lines(self, painter: QPainter, box: QRectF) -> None:
        """The one in force is solid, the one tried is dashed; both say their number."""
        cursor, in_force = self._lines
        tried = cursor is not None and cursor != in_force
        lower = tried and in_force is not None and cursor is not None and cursor[0] < in_force[0]
        if in_force is not None:
            self._paint_line(painter, box, in_force[0], "now", left=tried and not lower)
        if tried and cursor is not None:
            self._paint_line(painter, box, cursor[0], "try", left=lower)

    def _paint_line(self, painter: QPainter, box: QRectF, score: float, name: str, *, left: bool) -> None:
        """Its number stands on the side away from the other line."""
        x = self._x(box, score)
        colour = QColor(self.theme.threshold if name == "try" else self.theme.text)
        painter.setPen(QPen(colour, 1, Qt.PenStyle.DashLine if name == "try" else Qt.PenStyle.SolidLine))
        painter.drawLine(round(x), round(box.top()), round(x), round(box.bottom()))
        words = f"{name} {score:.4g}"
        width = painter.fontMetrics().horizontalAdvance(words) + 4.0
        begin = min(max(box.left(), x - width if left else x + 3), box.right() - width)
        painter.drawText(QRectF(begin, 1, width, _AXIS_PX), Qt.AlignmentFlag.AlignLeft, words)


class _Raster(QWidget):
    """When trains would have begun: one row for what is tried, one for what is in force."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.theme = theme
        self.setMinimumHeight(74)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("When trains would have begun")
        self._rows: list[tuple[str, str, Answer]] = []

    def show_times(self, there: Answer | None, now: Answer | None) -> None:
        """New rows; an answer that is a problem has no times."""
        rows = (("try", "threshold", there), ("now", "text", now))
        self._rows = [(name, colour, answer) for name, colour, answer in rows if answer and "fires" in answer]
        self.update()

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Ticks, and an axis with its unit."""
        with QPainter(self) as painter:
            painter.fillRect(self.rect(), QColor(self.theme.panel))
            painter.setFont(style.words_font(self.theme, self.theme.font_px - 2))
            box = QRectF(self.rect()).adjusted(34, 4, -_MARGIN_PX, -_AXIS_PX - 2)
            for at, (name, colour, answer) in enumerate(self._rows):
                height = box.height() / 2
                row = QRectF(box.left(), box.top() + at * height, box.width(), height - 4)
                self._paint_row(painter, row, name, QColor(getattr(self.theme, colour)), answer)
            if self._rows:
                self._paint_axis(painter, box, self._rows[0][2])

    def _paint_row(self, painter: QPainter, row: QRectF, name: str, colour: QColor, answer: Answer) -> None:
        painter.setPen(colour)
        label = QRectF(4, row.top(), 30, row.height())
        painter.drawText(label, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, name)
        since_s, span_s = answer["since_s"], max(1e-9, answer["until_s"] - answer["since_s"])
        times = answer["detections"] if answer["decision"] == "on_board" else answer["fires"]
        for at_s in times:
            x = round(row.left() + (at_s - since_s) / span_s * row.width())
            painter.drawLine(x, round(row.top()), x, round(row.bottom()))

    def _paint_axis(self, painter: QPainter, box: QRectF, answer: Answer) -> None:
        painter.setPen(QColor(self.theme.dim))
        below = QRectF(box.left(), box.bottom() + 2, box.width(), _AXIS_PX)
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft, f"{answer['since_s']:.0f} s")
        painter.drawText(below, Qt.AlignmentFlag.AlignHCenter, "time in the session")
        painter.drawText(below, Qt.AlignmentFlag.AlignRight, f"{answer['until_s']:.0f} s")


if __name__ == "__main__":
    raise SystemExit(alone(Preview))
