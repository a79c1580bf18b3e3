"""How a widget's property becomes its colour. The style sheet has the colours; none is chosen here."""

from __future__ import annotations

from PyQt6.QtWidgets import QWidget


def set_tone(widget: QWidget, tone: str) -> None:
    """What the style sheet colours it by, such as "warn"; "" for nothing."""
    widget.setProperty("tone", tone)
    restyle(widget)


def restyle(widget: QWidget) -> None:
    """Make the style sheet look at the widget's properties again."""
    if (style := widget.style()) is not None:
        style.unpolish(widget)
        style.polish(widget)
