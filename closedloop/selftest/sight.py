"""Which readings saw a pulse: by the flag of the stimulator's TTL copy, or by what the photodetector counted."""

from __future__ import annotations

from math import ceil
from statistics import median
from typing import NamedTuple

from closedloop import wire
from closedloop.selftest.record import Record, Shot, Sight

_BEFORE = 16  # readings that show what darkness counts
_NOISES = 8.0  # a step of so many times the noise of darkness is light
_LEAST_STEP = 8  # counts, where darkness has no noise at all
_MORE_READINGS, _MORE_NS = 2, 30_000_000  # by so much the answer may be earlier than the readings


class Seen(NamedTuple):
    """What the DAQ saw of one pulse; host times in nanoseconds, None where the DAQ's clock is unknown.

    Attributes:
        first_ns: of the first reading with light in it.
        last_ns: of the last one.
        lit_readings: from the first to the last.
        readings_until: from the reading at which light was asked for to the first one.
        by_flag: whether the flag told, or the photodetector.
    """

    first_ns: int | None
    last_ns: int | None
    lit_readings: int
    readings_until: int
    by_flag: bool


def seen(record: Record, shot: Shot) -> Seen | None:
    """The pulse as the readings have it, None where they have none."""
    around = _around(record, shot)
    by_flag = [sight for sight in around if sight.flags & wire.Flag.LIGHT]
    lit = by_flag or _by_detector(record, shot, around)
    if not lit:
        return None
    first, last = lit[0], lit[-1]
    since = shot.reading.seq if shot.reading else first.seq
    return Seen(first.host_ns, last.host_ns, last.seq - first.seq + 1, first.seq - since, bool(by_flag))


def stray(record: Record) -> int | None:
    """Readings flagged as lit outside all requests; None where no request was ever seen by its flag."""
    flagged = [sight for sight in record.sights if sight.flags & wire.Flag.LIGHT]
    if not flagged:
        return None
    asked = {sight.seq for shot in record.shots for sight in _around(record, shot)}
    return sum(sight.seq not in asked for sight in flagged)


def _around(record: Record, shot: Shot) -> list[Sight]:
    """Readings from the request to a little after its last answer, which may overtake them."""
    margin = _MORE_READINGS + ceil(_MORE_NS / record.period_ns)
    last = shot.last_sight
    if last is None:
        last = shot.first_sight + ceil(shot.on_us * 1000 / record.period_ns)
    others = [other.first_sight for other in record.shots if other.train > shot.train]
    return record.sights[shot.first_sight : min([last + margin, *others])]


def _by_detector(record: Record, shot: Shot, around: list[Sight]) -> list[Sight]:
    before = [sight.detector for sight in record.sights[: shot.first_sight][-_BEFORE:]]
    if len(before) < _BEFORE:
        return []
    dark = median(before)
    noise = 1.4826 * median(abs(count - dark) for count in before)
    step = max(_LEAST_STEP, _NOISES * noise)
    return [sight for sight in around if sight.detector - dark > step]
