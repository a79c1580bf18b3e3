"""The process that re-runs the last minutes, and its lines of JSON. One question is out at a time, and none is kept.

It never outlives who asked: `stop` kills it, and nothing is heard of it after that. Its signals lead to bound methods,
which Qt lets go with their owner; a lambda would be called after its widget has gone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from PyQt6.QtCore import QObject, QProcess, pyqtSignal

from closedloop.dashboard.inputs.bounds import Bounds

_KILL_MS = 500

Answer = dict[str, Any]


class PreviewProcess(QObject):
    """Started by the first question, for the session folder of that question.

    Attributes:
        answered: emitted with the Bounds that were asked for and the Answer.
        free: emitted when all that was said is taken in, and another question may be put.
        died: emitted with the reason when it ended by itself; it is stopped by then.
    """

    answered = pyqtSignal(object, object)
    free = pyqtSignal()
    died = pyqtSignal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._process: QProcess | None = None
        self._out: Bounds | None = None

    @property
    def is_asked(self) -> bool:
        """Whether a question is out."""
        return self._out is not None

    def ask(self, folder: Path, setting: Bounds, minutes: float) -> None:
        """Put a question; only while none is out."""
        process = self._process or self._started(folder)
        question = {"threshold": setting.threshold, "release": setting.release, "minutes": minutes}
        self._out = setting
        process.write(json.dumps(question).encode() + b"\n")

    def stop(self) -> None:
        """No process is left, and what it was asked is not answered."""
        process, self._process, self._out = self._process, None, None
        if process is None:
            return
        process.blockSignals(True)
        if process.state() != QProcess.ProcessState.NotRunning:
            process.kill()
            process.waitForFinished(_KILL_MS)
        process.deleteLater()

    def _started(self, folder: Path) -> QProcess:
        process = QProcess(self)
        process.readyReadStandardOutput.connect(self._hear)
        process.finished.connect(self._end)
        process.errorOccurred.connect(self._end)
        process.start(sys.executable, ["-P", "-m", "closedloop.watching.preview", str(folder)])
        self._process = process
        return process

    def _hear(self) -> None:
        while self._process is not None and self._process.canReadLine():
            line = bytes(self._process.readLine().data())
            setting, self._out = self._out, None
            if setting is not None:
                self.answered.emit(setting, _read(line))
        self.free.emit()

    def _end(self) -> None:
        if self._process is None:
            return
        said = bytes(self._process.readAllStandardError().data()).decode(errors="replace").strip().splitlines()
        why = said[-1] if said else self._process.errorString()
        self.stop()
        self.died.emit(why)


def _read(line: bytes) -> Answer:
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    unreadable = {"problem": f"the preview's process said {line[:60]!r}, which is no answer"}
    return answer if isinstance(answer, dict) else unreadable
