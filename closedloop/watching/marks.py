"""What happened in a session, as spans of time to be drawn and as words to be listed. Nothing is drawn here.

Light is what the stimulator told of its first and last light, never what was wanted. Kinds are found in the recording:
a decision that was not known yet gets its own. Memory does not grow with the session: where there are too many
spans of a kind the oldest are put together, and of the words the newest are kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from closedloop.recording import Event, Rows
from closedloop.train import Refusal
from closedloop.watching.follower import Fresh
from closedloop.watching.planned import planned_in
from closedloop.wire import ON_BOARD_TRAIN

_BRIGHT = ("fire", "test", "on_board")  # decisions that are seen as light, or as refused
_MOST_SPANS = 200_000  # of a kind
_MOST_HAPPENINGS = 20_000
_MOST_OF_KIND = 5_000
_MOST_RELEASES = 1_000
_MOST_AWAITED = 64  # decisions whose light may still come
_LATE_US = 500_000  # after a train's planned end, its last light is not told any more
_OPEN = np.iinfo(np.int64).max
_NO_TRAIN = -1
_NO_VETO = ("PAUSED",)  # refusals whose name is a note of another kind
_VETOES = {reason.name.lower() for reason in Refusal if reason and reason.name not in _NO_VETO}


class Span(NamedTuple):
    """A stretch of time, or a moment.

    Attributes:
        kind: light, refused, veto, paused, gap, detection, trip, note, input:NAME, or the name of a dark decision.
        since_s: when it began.
        until_s: when it ended; None: it still goes on; the same as `since_s`: a moment.
        label: what it is, in few words.
        train: the train it belongs to, if there is one.
    """

    kind: str
    since_s: float
    until_s: float | None
    label: str
    train: int | None


class Happening(NamedTuple):
    """One event, in words.

    Attributes:
        n: its number in the recording.
        at_s: when.
        kind: light, detection, decision, command, refused, veto, gap, input, trip, note ...
        train: the train it belongs to, or None.
        words: for people.
    """

    n: int
    at_s: float
    kind: str
    train: int | None
    words: str


@lru_cache(maxsize=256)
def _plain(name: str) -> str:
    return name.replace("_", " ")


def _named(train: int | None) -> str:
    """A train as people call it; those that the trigger line began are numbered by the board."""
    if train is None:
        return "a train"
    return f"on-board train {train - ON_BOARD_TRAIN}" if train > ON_BOARD_TRAIN else f"train {train}"


def _time(micros: float) -> str:
    """A time from microseconds, in the unit that fits it."""
    if abs(micros) < 1000:
        return f"{micros:.0f} µs"
    return f"{micros / 1e3:.3g} ms" if abs(micros) < 1e6 else f"{micros / 1e6:.4g} s"


class _Lane:
    """All spans of one kind, in the order in which they began. Only the last can be going on."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._count = 0
        self._since = np.zeros(64, np.int64)
        self._until = np.zeros(64, np.int64)
        self._train = np.zeros(64, np.int64)
        self._many = np.zeros(64, np.int64)  # how many spans were put together in this one
        self._labels = np.full(64, "", object)

    @property
    def is_open(self) -> bool:
        """Whether the last one still goes on."""
        return self._count > 0 and self._until[self._count - 1] == _OPEN

    @property
    def last_train(self) -> int | None:
        """Of the last one."""
        return int(self._train[self._count - 1]) if self._count else None

    @property
    def last_since(self) -> int:
        """Ticks at which the last one began; 0 if there is none."""
        return int(self._since[self._count - 1]) if self._count else 0

    def add(self, since: int, until: int, label: str, train: int | None = None) -> None:
        """One more; what is still going on ends at its beginning."""
        if self.is_open:
            self.end(since)
        self._make_room()
        at = self._count
        self._since[at], self._until[at], self._labels[at] = since, until, label
        self._train[at] = _NO_TRAIN if train is None else train
        self._many[at] = 1
        self._count += 1

    def end(self, until: int, label: str | None = None) -> None:
        """The last one ended, at these ticks."""
        at = self._count - 1
        self._until[at] = max(until, self._since[at])
        if label is not None:
            self._labels[at] = label

    def take_back(self) -> None:
        """The last one was none."""
        self._count -= 1

    def between(self, since: int, until: int, most: int) -> list[Span]:
        """Those of a range of ticks; neighbours are put together where there would be more than `most`."""
        start = int(np.searchsorted(self._until[: self._count], since))
        stop = int(np.searchsorted(self._since[: self._count], until, side="right"))
        if stop - start <= max(1, most):
            return [self._span(at, at, int(self._many[at])) for at in range(start, stop)]
        width = max(1, -(-(until - since) // max(1, most - 1)))
        columns = np.maximum(self._since[start:stop], since) // width
        firsts = np.concatenate(([0], np.flatnonzero(np.diff(columns)) + 1))
        many = np.add.reduceat(self._many[start:stop], firsts).tolist()
        lasts = np.append(firsts[1:], stop - start) - 1
        pairs = zip((firsts + start).tolist(), (lasts + start).tolist(), many, strict=True)
        return [self._span(first, last, count) for first, last, count in pairs]

    def _span(self, first: int, last: int, many: int) -> Span:
        until = int(self._until[last])
        label = str(self._labels[first]) if many == 1 else f"{many} × {_plain(self.kind)}"
        train = int(self._train[first])
        return Span(
            self.kind,
            int(self._since[first]) / 1e6,
            None if until == _OPEN else until / 1e6,
            label,
            None if train == _NO_TRAIN or many > 1 else train,
        )

    def _make_room(self) -> None:
        if self._count < len(self._since):
            return
        if self._count >= _MOST_SPANS:
            self._merge_oldest()
            return
        size = min(_MOST_SPANS, 2 * len(self._since))
        for name in ("_since", "_until", "_train", "_many", "_labels"):
            old = getattr(self, name)
            setattr(self, name, np.concatenate((old, np.zeros(size - len(old), old.dtype))))

    def _merge_oldest(self) -> None:
        """The older half, two and two."""
        pairs = self._count // 4
        self._until[:pairs] = self._until[1 : 2 * pairs : 2]
        self._many[:pairs] = self._many[0 : 2 * pairs : 2] + self._many[1 : 2 * pairs : 2]
        for column in (self._since, self._train, self._labels):
            column[:pairs] = column[0 : 2 * pairs : 2]
        for column in (self._since, self._until, self._train, self._many, self._labels):
            column[pairs : self._count - pairs] = column[2 * pairs : self._count].copy()
        self._count -= pairs


class Marks:
    """All that is marked in one session. Times are seconds since the first reading.

    Args:
        header: of the recording.

    Attributes:
        input_names: digital inputs, bit 0 first; each has its kind "input:NAME" from the beginning.
        releases: lower bounds of the detector's score set by hand, as (when, value), oldest first.
    """

    def __init__(self, header: dict[str, Any]) -> None:
        self.input_names = tuple(str(name) for name in header.get("input_names") or ())
        self.releases: deque[tuple[float, float]] = deque(maxlen=_MOST_RELEASES)
        self._planned_us = _planned_us(header.get("command") or {})
        self._period_us = 1e9 / (header.get("rate_mhz") or 1e9)
        self._lanes = {f"input:{name}": _Lane(f"input:{name}") for name in self.input_names}
        self._bright = () if header.get("blinded") else _BRIGHT  # of a blinded session nothing is seen but the plan
        self._ahead: dict[int, int] = {}  # microseconds to the first light of trains that are planned ahead
        self._decided: dict[int, str] = {}
        self._newest: deque[Happening] = deque(maxlen=_MOST_HAPPENINGS)
        self._of_kind: dict[str, deque[Happening]] = {}
        self._seen_rows = False
        self._tellers: dict[str, Callable[[Event], tuple[str, str]]] = {
            "detection": self._detection,
            "decision": self._decision,
            "command": self._command,
            "light_on": self._light_on,
            "light_off": self._light_off,
            "refused": self._refused,
            "gap": self._gap,
            "input": self._input,
            "trip": self._trip,
            "note": self._note,
        }

    def add(self, fresh: Fresh) -> None:
        """What one turn found."""
        if len(fresh.rows) and not self._seen_rows:
            self._seen_rows = True
            self._begin_inputs(fresh.rows)
        self._look_ahead(fresh.rows)
        for event in fresh.events:
            kind, words = self._tellers.get(event.kind, _unknown)(event)
            happening = Happening(event.n, event.ticks / 1e6, kind, event.train, words)
            self._newest.append(happening)
            self._of_kind.setdefault(kind, deque(maxlen=_MOST_OF_KIND)).append(happening)
        if len(fresh.rows):
            self._end_overdue(int(fresh.rows["ticks"][-1]))

    def end(self) -> None:
        """The session is over: light whose end was never told ended by plan."""
        self._end_overdue(_OPEN)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Of spans, as far as they were discovered."""
        return tuple(self._lanes)

    @property
    def happening_kinds(self) -> tuple[str, ...]:
        """Of happenings, as far as they were discovered."""
        return tuple(self._of_kind)

    def spans(self, kind: str, since_s: float, until_s: float, most: int = 400) -> list[Span]:
        """Spans of one kind that touch a range, oldest first; neighbours are put together beyond `most`."""
        lane = self._lanes.get(kind)
        return lane.between(_ticks(since_s), _ticks(until_s), most) if lane else []

    def happenings(self, kind: str | None = None, most: int = 200) -> list[Happening]:
        """The newest happenings of one kind, or of all, newest first."""
        source = self._newest if kind is None else self._of_kind.get(kind, deque())
        newest = reversed(source)
        return [happening for happening, _ in zip(newest, range(most), strict=False)]

    def _lane(self, kind: str) -> _Lane:
        if kind not in self._lanes:
            self._lanes[kind] = _Lane(kind)
        return self._lanes[kind]

    def _moment(self, kind: str, event: Event, label: str) -> None:
        self._lane(kind).add(event.ticks, event.ticks, label, event.train)

    # Decisions and light

    def _look_ahead(self, rows: Rows) -> None:
        later = [one for one in planned_in(rows) if one.on_s > one.decided_s]
        self._ahead |= {one.train: round((one.on_s - one.decided_s) * 1e6) for one in later}
        while len(self._ahead) > _MOST_AWAITED:
            del self._ahead[next(iter(self._ahead))]

    def _detection(self, event: Event) -> tuple[str, str]:
        words = "detection" if event.value is None else f"detection, score {event.value:.3g}"
        self._moment("detection", event, words)
        return "detection", words

    def _decision(self, event: Event) -> tuple[str, str]:
        name = event.reason or "decision"
        if event.train is not None:
            self._decided[event.train] = name
            if len(self._decided) > _MOST_AWAITED:
                del self._decided[next(iter(self._decided))]
        if name not in self._bright:
            since = event.ticks + self._ahead.pop(event.train or 0, 0)
            self._lane(name).add(since, since + self._planned_us, _plain(name), event.train)
        said = "decided" if name == "decided" else f"{_plain(name)} decided"  # blinded: no arm is named
        return "decision", f"{said}, {_named(event.train)}"

    def _command(self, event: Event) -> tuple[str, str]:
        after = "" if event.value is None else f", {_time(event.value)} after its reading"
        return "command", f"{_named(event.train)} commanded{after}"

    def _light_on(self, event: Event) -> tuple[str, str]:
        decided = self._decided.get(event.train or 0, event.reason or "light")
        self._end_light(event.ticks)
        self._lane("light").add(event.ticks, _OPEN, _plain(decided), event.train)
        after = "" if event.value is None else f", {_time(event.value)} after the command"
        by_line = ", begun by the trigger line" if event.reason == "on_board" else ""
        return "light", f"light on, {_named(event.train)}{by_line}{after}"

    def _light_off(self, event: Event) -> tuple[str, str]:
        lane = self._lane("light")
        cut = f", cut short: {_plain(event.reason)}" if event.reason else ""
        if event.train is not None and lane.last_train == event.train:
            decided = self._decided.pop(event.train, "light")
            lane.end(event.ticks, f"{_plain(decided)}{cut}" if cut else None)
        lit = "" if event.value is None else f", lit {_time(event.value)}"
        return "light", f"light off, {_named(event.train)}{lit}{cut}"

    def _refused(self, event: Event) -> tuple[str, str]:
        name = self._decided.pop(event.train or 0, None)
        if name is not None and name not in self._bright and self._lane(name).last_train == event.train:
            self._lane(name).take_back()
        label = _plain(event.reason or "no reason given")
        self._moment("refused", event, label)
        said = f" ({event.text})" if event.text else ""
        return "refused", f"{_named(event.train)} refused: {label}{said}"

    def _end_light(self, at_most: int) -> None:
        lane = self._lane("light")
        if lane.is_open:
            lane.end(min(at_most, lane.last_since + self._planned_us) if self._planned_us else at_most)

    def _end_overdue(self, now: int) -> None:
        """Light whose end was not told in time ended by plan: the message was lost, or nobody took it down."""
        lane = self._lanes.get("light")
        if lane is None or not lane.is_open or not self._planned_us:
            return
        if now > lane.last_since + self._planned_us + _LATE_US:
            self._end_light(now)

    # The rest

    def _gap(self, event: Event) -> tuple[str, str]:
        missing = int(event.value or 0)
        words = f"{missing} reading{'' if missing == 1 else 's'} missing"
        since = event.ticks - round((missing + 1) * self._period_us)
        self._lane("gap").add(max(0, since), event.ticks, words)
        return "gap", words

    def _begin_inputs(self, rows: Rows) -> None:
        """Inputs that are high from the first reading on: the log has changes alone."""
        if "inputs" not in (rows.dtype.names or ()):
            return
        for bit, name in enumerate(self.input_names):
            if int(rows["inputs"][0]) >> bit & 1:
                self._lane(f"input:{name}").add(int(rows["ticks"][0]), _OPEN, name)

    def _input(self, event: Event) -> tuple[str, str]:
        name = event.reason or "input"
        lane = self._lane(f"input:{name}")
        if event.value:
            lane.add(event.ticks, _OPEN, name)
        elif lane.is_open:
            lane.end(event.ticks)
        return "input", f"{name} {'high' if event.value else 'low'}"

    def _trip(self, event: Event) -> tuple[str, str]:
        label = _plain(event.reason or "no reason given")
        self._moment("trip", event, label)
        return "trip", f"the stimulator tripped: {label}"

    def _note(self, event: Event) -> tuple[str, str]:
        reason = event.reason or ""
        if reason in _VETOES:
            self._lane("veto").add(event.ticks, _OPEN, _plain(reason))
            return "veto", f"not fit to act on: {_plain(reason)}"
        if reason == "veto_over":
            self._end_veto(event.ticks)
            return "veto", "fit to act on again"
        words = self._said(event)
        if reason == "paused":
            self._lane("paused").add(event.ticks, _OPEN, "paused")
        elif reason == "resumed" and "paused" in self._lanes and self._lanes["paused"].is_open:
            self._lanes["paused"].end(event.ticks)
        if reason not in ("first_reading", "block"):
            self._moment("note", event, words)
        return "note", words

    def _end_veto(self, ticks: int) -> None:
        lane = self._lane("veto")
        if lane.is_open:
            lane.end(ticks)

    def _said(self, event: Event) -> str:
        """A note in words."""
        reason, text = event.reason or "", event.text or ""
        if reason == "remark":
            return text
        if reason == "threshold":
            self._set_release(event)
            return f"threshold set to {event.value:g}, {text}" if event.value is not None else f"threshold, {text}"
        return text or _plain(reason) or "note"

    def _set_release(self, event: Event) -> None:
        try:
            self.releases.append((event.ticks / 1e6, float((event.text or "").removeprefix("release "))))
        except ValueError:
            return


def _unknown(event: Event) -> tuple[str, str]:
    """An event of a kind that this version does not know."""
    return event.kind, " ".join(filter(None, (_plain(event.kind), event.reason, event.text)))


def _planned_us(command: dict[str, Any]) -> int:
    """From the first light to the last of a train as planned, ramp included."""
    if not command:
        return 0
    pulses = max(1, int(command.get("pulses") or 1))
    period_us, on_us = int(command.get("period_us") or 0), int(command.get("on_us") or 0)
    return (pulses - 1) * period_us + on_us + int(command.get("ramp_off_us") or 0)


def _ticks(seconds: float) -> int:
    return round(min(max(seconds, -1e12), 1e12) * 1e6)
