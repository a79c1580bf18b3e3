"""What the window remembers from one day to the next: size, theme, last choices. Nothing of an experiment is kept here.

It lies in `dashboard.ini` in the user's folder for settings, or in the folder that CLOSEDLOOP_CONFIG names.
"""

from __future__ import annotations

import os
from pathlib import Path

from PyQt6.QtCore import QByteArray, QSettings, QStandardPaths

from closedloop.dashboard.theme import DARK, THEMES, Theme

_WHERE = "CLOSEDLOOP_CONFIG"


def config_folder() -> Path:
    """The user's folder for settings and logs; it need not be there yet."""
    if given := os.environ.get(_WHERE):
        return Path(given)
    place = QStandardPaths.StandardLocation.GenericConfigLocation
    return Path(QStandardPaths.writableLocation(place) or ".") / "closedloop"


class LayoutMemory:
    """Reads and writes single settings; a setting that is missing or damaged is its default."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or config_folder()
        self._settings = QSettings(str(self.folder / "dashboard.ini"), QSettings.Format.IniFormat)

    @property
    def logs(self) -> Path:
        """Where sessions that are started here write what they say."""
        return self.folder / "logs"

    @property
    def theme(self) -> Theme:
        """The theme of last time."""
        return THEMES.get(self.text("theme"), DARK)

    @property
    def geometry(self) -> QByteArray | None:
        """Size and place of the window of last time; None the first time."""
        value = self._settings.value("geometry")
        return value if isinstance(value, QByteArray) and not value.isEmpty() else None

    @property
    def is_guide_done(self) -> bool:
        """Whether the first-start guide was seen to its end, or put away."""
        return self.text("guide") == "done"

    def text(self, name: str, default: str = "") -> str:
        """One setting."""
        value = self._settings.value(name, default)
        return value if isinstance(value, str) else default

    def keep(self, name: str, value: str | QByteArray) -> None:
        """Remember one setting."""
        self._settings.setValue(name, value)

    def save(self) -> None:
        """Write it all to the file now; a folder that cannot be written is no reason to complain."""
        self._settings.sync()
