"""Findings as lines for people: one line or two each, and the mend below what is not good."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from rich.text import Text

from closedloop.doctor.finding import Finding, Mend, State, counts

_STYLES = {State.BAD: "bold red", State.WARN: "yellow", State.UNKNOWN: "cyan", State.GOOD: "green"}
_STATE_WIDTH = 9


def lines(findings: Sequence[Finding], width: int) -> list[Text]:
    """The table, no line of words wider than `width`; lines to paste are whole, however wide."""
    names = max((len(finding.name) for finding in findings), default=0) + 2
    shown = [line for finding in findings for line in _finding(finding, names, width)]
    return [*shown, Text(), *map(Text, textwrap.wrap(verdict(findings), width))]


def verdict(findings: Sequence[Finding]) -> str:
    """How many there are of each state, and what that means."""
    of = counts(findings)
    said = f"{of['bad']} bad, {of['warn']} warnings, {of['unknown']} not known, {of['good']} good"
    if of["bad"]:
        return f"{said}: mend what is bad before a session that matters"
    return f"{said}: sessions will run" + ("; warnings cost time" if of["warn"] else "")


def _finding(finding: Finding, names: int, width: int) -> Iterator[Text]:
    indent = _STATE_WIDTH + names
    first, *rest = textwrap.wrap(finding.found, max(20, width - indent), break_on_hyphens=False)
    yield Text.assemble(
        (f"{finding.state.value:<{_STATE_WIDTH}}", _STYLES[finding.state]), f"{finding.name:<{names}}{first}"
    )
    for line in rest:
        yield Text(" " * indent + line)
    if finding.mend is not None:
        yield from _mend(finding.mend, width)


def _mend(mend: Mend, width: int) -> Iterator[Text]:
    left = " " * _STATE_WIDTH
    yield from _words(f"mend: {mend.do}" + (":" if mend.paste else ""), width)
    for line in mend.paste:
        yield Text(f"{left}  {line}", style="bold")
    if mend.then:
        yield from _words(f"then: {mend.then}", width)


def _words(words: str, width: int) -> Iterator[Text]:
    left = " " * _STATE_WIDTH
    for line in textwrap.wrap(
        words, max(30, width), initial_indent=left, subsequent_indent=left + " " * 6, break_on_hyphens=False
    ):
        yield Text(line, style="dim")
