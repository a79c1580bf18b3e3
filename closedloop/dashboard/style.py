"""A theme as Qt knows it: palette, fonts and one style sheet, over the Fusion style. It draws nothing itself."""

from __future__ import annotations

import sys
from html import escape

from PyQt6.QtGui import QColor, QFont, QPalette
from PyQt6.QtWidgets import QApplication, QStyleFactory, QWidget

from closedloop.dashboard.theme import Theme

GLOVE_PX = 44  # the least height of what is pressed with gloves on
_MONOSPACED = {"win32": "Consolas", "darwin": "Menlo"}.get(sys.platform, "DejaVu Sans Mono")
_ROLES = {
    QPalette.ColorRole.Window: "ground",
    QPalette.ColorRole.WindowText: "text",
    QPalette.ColorRole.Base: "panel",
    QPalette.ColorRole.AlternateBase: "ground",
    QPalette.ColorRole.Text: "text",
    QPalette.ColorRole.PlaceholderText: "dim",
    QPalette.ColorRole.Button: "panel",
    QPalette.ColorRole.ButtonText: "text",
    QPalette.ColorRole.BrightText: "danger",
    QPalette.ColorRole.ToolTipBase: "panel",
    QPalette.ColorRole.ToolTipText: "text",
    QPalette.ColorRole.Highlight: "signal",
    QPalette.ColorRole.HighlightedText: "on_strong",
    QPalette.ColorRole.Link: "signal",
    QPalette.ColorRole.LinkVisited: "signal",
    QPalette.ColorRole.Light: "line",
    QPalette.ColorRole.Midlight: "line",
    QPalette.ColorRole.Mid: "line",
    QPalette.ColorRole.Dark: "ground",
    QPalette.ColorRole.Shadow: "ground",
}
_FAINT = (
    QPalette.ColorRole.WindowText,
    QPalette.ColorRole.Text,
    QPalette.ColorRole.ButtonText,
    QPalette.ColorRole.HighlightedText,
)


def apply(target: QApplication | QWidget, theme: Theme) -> None:
    """Make the whole application, or one widget with what is in it, look like this theme."""
    if isinstance(target, QApplication):
        target.setStyle(QStyleFactory.create("Fusion"))
    target.setPalette(palette(theme))
    target.setFont(words_font(theme))
    target.setStyleSheet(sheet(theme))


def palette(theme: Theme) -> QPalette:
    """The theme's colours in Qt's roles."""
    made = QPalette()
    for role, name in _ROLES.items():
        made.setColor(role, QColor(getattr(theme, name)))
    for role in _FAINT:
        made.setColor(QPalette.ColorGroup.Disabled, role, QColor(theme.dim))
    return made


def words_font(theme: Theme, px: int | None = None, *, bold: bool = False) -> QFont:
    """The system's own font for words, in pixels at a scale of 1."""
    font = QFont()
    font.setPixelSize(px or theme.font_px)
    font.setBold(bold)
    return font


def digits_font(theme: Theme, px: int | None = None, *, bold: bool = False) -> QFont:
    """A font whose digits are all of one width, so that a number that changes stays where it is."""
    font = QFont(_MONOSPACED)
    font.setStyleHint(QFont.StyleHint.Monospace)
    font.setPixelSize(px or theme.number_px)
    font.setBold(bold)
    return font


def plain_tip(words: str) -> str:
    """A tooltip that shows these words as they are: in those with tags Qt would see HTML, and open what it names."""
    return f"<span style='white-space: pre-wrap'>{escape(words)}</span>" if "<" in words or "&" in words else words


def mixed(colour: str, ground: str, part: float) -> QColor:
    """So much of a colour on a ground: an opaque tint, cheaper to paint than a transparent one."""
    over, under = QColor(colour), QColor(ground)
    return QColor(*(round(a * part + b * (1 - part)) for a, b in zip(_rgb(over), _rgb(under), strict=True)))


def _rgb(colour: QColor) -> tuple[int, int, int]:
    return colour.red(), colour.green(), colour.blue()


def sheet(theme: Theme) -> str:
    """The style sheet: what the palette cannot say. A property `tone` (good, warn, danger) makes a button strong."""
    strong = "".join(_strong(theme, tone) for tone in ("good", "warn", "danger"))
    return (
        _SHEET.format(
            t=theme,
            glove=GLOVE_PX - 2,
            tab=GLOVE_PX - 8,
            hover=mixed(theme.text, theme.panel, 0.10).name(),
            down=mixed(theme.text, theme.panel, 0.22).name(),
            handle=mixed(theme.text, theme.panel, 0.30).name(),
        )
        + strong
    )


def _strong(theme: Theme, tone: str) -> str:
    colour = getattr(theme, tone)
    down = mixed(theme.text, colour, 0.25).name()
    return (
        f'QPushButton[tone="{tone}"]:enabled {{ background: {colour}; color: {theme.on_strong};'
        f" border: 1px solid {colour}; font-weight: bold; }}\n"
        f'QPushButton[tone="{tone}"]:pressed {{ background: {down}; }}\n'
        f'QLabel[tone="{tone}"] {{ color: {colour}; }}\n'
    )


_SHEET = """
QWidget {{ color: {t.text}; selection-background-color: {t.signal}; selection-color: {t.on_strong}; }}
QMainWindow, QDialog {{ background: {t.ground}; }}
QLabel[dim="true"] {{ color: {t.dim}; }}
QToolTip {{ background: {t.panel}; color: {t.text}; border: 1px solid {t.line}; padding: 4px; }}
QPushButton, QToolButton {{
    background: {t.panel}; border: 1px solid {t.line}; border-radius: 4px; padding: 0 12px; min-height: {glove}px;
}}
QPushButton:hover, QToolButton:hover {{ background: {hover}; }}
QPushButton:pressed, QToolButton:pressed, QPushButton:checked, QToolButton:checked {{ background: {down}; }}
QPushButton:focus, QToolButton:focus {{ border: 2px solid {t.signal}; }}
QPushButton:disabled, QToolButton:disabled {{ color: {t.dim}; background: {t.ground}; }}
QLineEdit, QComboBox, QAbstractSpinBox, QPlainTextEdit, QTextEdit {{
    background: {t.panel}; border: 1px solid {t.line}; border-radius: 4px; padding: 2px 6px; min-height: 28px;
}}
QLineEdit:focus, QComboBox:focus, QAbstractSpinBox:focus, QPlainTextEdit:focus, QTextEdit:focus {{
    border: 2px solid {t.signal};
}}
QLineEdit:disabled, QComboBox:disabled, QAbstractSpinBox:disabled {{ color: {t.dim}; background: {t.ground}; }}
QComboBox QAbstractItemView {{ background: {t.panel}; border: 1px solid {t.line}; }}
QGroupBox {{ border: 1px solid {t.line}; border-radius: 4px; margin-top: 10px; padding-top: 8px; }}
QGroupBox::title {{ subcontrol-origin: margin; left: 8px; padding: 0 4px; color: {t.dim}; }}
QTabWidget::pane {{ border: 1px solid {t.line}; background: {t.ground}; top: -1px; }}
QTabBar {{ background: {t.ground}; }}
QTabBar::tab {{
    background: {t.ground}; color: {t.dim}; border: 1px solid {t.line}; border-top: 3px solid {t.line};
    padding: 0 14px; min-height: {tab}px;
}}
QTabBar::tab:selected {{ background: {t.panel}; color: {t.text}; border-top: 3px solid {t.signal}; }}
QTabBar::tab:focus {{ color: {t.signal}; }}
QScrollArea {{ background: {t.ground}; border: none; }}
QAbstractItemView {{ background: {t.panel}; border: 1px solid {t.line}; alternate-background-color: {t.ground}; }}
QHeaderView::section {{ background: {t.ground}; color: {t.dim}; border: none; padding: 4px; }}
QScrollBar:vertical {{ background: {t.ground}; width: 14px; }}
QScrollBar:horizontal {{ background: {t.ground}; height: 14px; }}
QScrollBar::handle {{ background: {handle}; border-radius: 4px; margin: 2px; min-width: 32px; min-height: 32px; }}
QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
QSplitter::handle {{ background: {t.line}; }}
"""
