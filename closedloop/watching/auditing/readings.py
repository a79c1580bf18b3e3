"""Whether every reading is accounted for: sent by the board = recorded + reported missing, exactly."""

from __future__ import annotations

from collections.abc import Iterator

from closedloop.watching.auditing.findings import Findings
from closedloop.watching.auditing.item import DOCTOR, GOOD, OUTSIDE, UNKNOWN, Closed, Figures, Item, none_of


def completeness(found: Findings, closed: Closed) -> Iterator[Item]:
    """What was lost, damaged, doubled or refused, and whether the sums agree."""
    lost = _missing(found, closed)
    part = f" ({100 * lost / max(1, found.received + lost):.2g} %)" if lost else ""
    yield none_of(
        "missing",
        "readings missing",
        lost,
        f"{lost} readings{part} never came; they are left out, not filled in: look at the DAQ's cable, and {DOCTOR}",
    )
    damaged, repeated = found.damaged, found.repeated
    said = f"{damaged} frames came damaged and were thrown away: look at cable, shield and ground of the boards"
    yield none_of("damaged", "damaged frames", damaged, said)
    said = f"{repeated} readings came twice and were left out: no harm is done, but no sound line does that: look at it"
    yield none_of("repeated", "repeated readings", repeated, said)
    yield _refused(found)
    yield _accounting(found, closed)


def _missing(found: Findings, closed: Closed) -> int:
    """By the board's own count where it was told, else by jumps of its numbers; see `counting.missing`."""
    sent = _sent(closed)
    return found.jumped if sent is None else max(0, sent - found.received)


def _sent(closed: Closed) -> int | None:
    sent = None if closed.summary is None else closed.summary.get("sent")
    return sent if isinstance(sent, int) else None


def _refused(found: Findings) -> Item:
    refused = dict(sorted(found.refused.items()))
    words = ", ".join(f"{count} {reason}" for reason, count in refused.items()) or "0"
    title = "refused for being late"
    figures: Figures = {"n": sum(refused.values()), **refused}
    if not refused:
        return Item("refused", title, figures, words, "none", GOOD)
    said = f"trains were withheld because something came too late ({words}): the animal had less light than was decided"
    return Item("refused", title, figures, words, "none", OUTSIDE, f"{said}; {DOCTOR}")


def _accounting(found: Findings, closed: Closed) -> Item:
    """Sent by the board = recorded + reported missing, exactly; nothing is lost silently."""
    title, bound = "sent = recorded + missing", "exactly"
    sent, recorded = _sent(closed), found.received
    after = None if sent is None or not recorded else sent - 1 - found.last_seq
    figures: Figures = {
        "sent": sent,
        "recorded": recorded,
        "missing": found.told_missing,
        "missing_after_last": after,
    }
    wrong = _unaccounted(found, closed, after)
    if wrong:
        words = f"{'?' if sent is None else sent} sent, {recorded} recorded, {found.told_missing} told as missing"
        said = f"readings are not accounted for ({wrong}): please report this, with the recording"
        return Item("accounting", title, figures, words, bound, OUTSIDE, said)
    if sent is None:
        words = f"{recorded} recorded, {found.told_missing} missing, how many were sent is not known"
        return Item("accounting", title, figures, words, bound, UNKNOWN, _not_asked(closed))
    words = f"{sent} = {recorded} + {sent - recorded}"
    return Item("accounting", title, figures, words, bound, GOOD)


def _unaccounted(found: Findings, closed: Closed, after: int | None) -> str:
    """What does not add up, in words; "" if all does. Where it was broken off, the last gap may be untold."""
    if found.disordered:
        return f"{found.disordered} rows are not in the order of their numbers"
    if found.told_missing != found.jumped and _is_whole(closed):
        return f"numbers jump over {found.jumped} readings, and {found.told_missing} were reported as missing"
    if after is not None and after < 0:
        return f"the last reading on record has number {found.last_seq}, and only {_sent(closed)} were sent"
    return ""


def _is_whole(closed: Closed) -> bool:
    """Whether all that was written down is there: a row comes first, and its gap is told a moment later."""
    if closed.summary is None or closed.cut_rows or closed.cut_bytes:
        return False
    return closed.summary.get("ended") not in ("broken_off", "failed")


def _not_asked(closed: Closed) -> str:
    if closed.running:
        return "the session runs; the board tells it at the end"
    if closed.summary is None or closed.summary.get("ended") == "broken_off":
        return "the session was broken off, and the board could not be asked; gaps are told by the readings' numbers"
    return "the board did not answer at the end; gaps are told by the readings' numbers"
