"""Colours and sizes, one frozen value a theme. Colour never says anything alone: a word or a shape says it too.

The hues are Okabe and Ito's eight, which people with colour-blindness tell apart.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Theme:
    """All colours, as #rrggbb; sizes in pixels at a scale of 1.

    Attributes:
        name: dark or light.
        ground: behind everything.
        panel: of a panel.
        line: borders, grids, axes.
        text: to be read.
        dim: to be read when looked for: units, captions.
        signal: 470 nm.
        control: 405 nm.
        feature: the feature.
        score: the score.
        threshold: threshold and hysteresis band.
        light: delivered light.
        withheld: sham, catch: decided, and no light by design.
        refused: wanted and refused.
        veto: signal not fit to act on.
        gap: readings missing.
        good: all is well.
        warn: to be looked at.
        danger: trip, device lost, not recording; the red button.
        on_strong: text on good, warn, danger, light.
    """

    name: str
    ground: str
    panel: str
    line: str
    text: str
    dim: str
    signal: str
    control: str
    feature: str
    score: str
    threshold: str
    light: str
    withheld: str
    refused: str
    veto: str
    gap: str
    good: str
    warn: str
    danger: str
    on_strong: str
    font_px: int = 13
    number_px: int = 18
    state_px: int = 34


DARK = Theme(
    name="dark",
    ground="#0b0d0f",
    panel="#14171a",
    line="#343a40",
    text="#d5d8da",
    dim="#8d959c",
    signal="#56b4e9",
    control="#cc79a7",
    feature="#d5d8da",
    score="#009e73",
    threshold="#e69f00",
    light="#f0e442",
    withheld="#8fa7c4",
    refused="#d55e00",
    veto="#7a6a5a",
    gap="#5a3a3a",
    good="#009e73",
    warn="#e69f00",
    danger="#e0432f",
    on_strong="#0b0d0f",
)
LIGHT = Theme(
    name="light",
    ground="#f1f2f3",
    panel="#ffffff",
    line="#c3c8cc",
    text="#15181a",
    dim="#5a6269",
    signal="#0072b2",
    control="#a6477f",
    feature="#15181a",
    score="#00704f",
    threshold="#b86f00",
    light="#d9c400",
    withheld="#5f7fa5",
    refused="#c04f00",
    veto="#b9a995",
    gap="#d9b0b0",
    good="#00855f",
    warn="#b86f00",
    danger="#c9301d",
    on_strong="#ffffff",
)
THEMES = {theme.name: theme for theme in (DARK, LIGHT)}
