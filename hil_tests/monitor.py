"""An independent judge of light: what was said to the board and done to it, against when there was light.

It shares no code with boards or firmware, knows nothing of their state, and judges from outside: whatever the board
thought, this light should not have been. Silence of this judge is what each test ends with.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

from closedloop.wire import CEILING, ON_BOARD_TRAIN, Arm, Begin, Dark, Disarm, Fire, Heartbeat, Limits, Message, Prepare

_FOREVER_S = 1e12


class Episode(NamedTuple):
    """Something was done to the board by hand: reset, interlock open, gate shut, gate open, trigger."""

    at_s: float
    kind: str


class SaidToBoard(Protocol):
    """A message on its way to the board."""

    @property
    def at_s(self) -> float:
        """When it was written."""

    @property
    def message(self) -> Message:
        """What it says."""

    @property
    def surely(self) -> bool:
        """Whether the line was whole, so that it must have come."""


class Lit(Protocol):
    """Light from one time to another."""

    @property
    def rise_s(self) -> float:
        """When it came on."""

    @property
    def fall_s(self) -> float:
        """When it went off."""


class Slack(NamedTuple):
    """What the judge can't know better.

    Attributes:
        edge_s: how exactly edges are known.
        command_s: from writing a command, or moving a contact, to its effect; queues on the line included.
        rate: how wrong the board's clock may be, as a part of 1.
    """

    edge_s: float
    command_s: float
    rate: float = 0.0


class Monitor:
    """Judges one run, all of it at its end."""

    def __init__(
        self, spans: Sequence[Lit], said: Sequence[SaidToBoard], episodes: Sequence[Episode], slack: Slack
    ) -> None:
        self._spans = spans
        self._said = sorted(said, key=lambda one: one.at_s)
        self._episodes = sorted(episodes)
        self._slack = slack
        self._rises_s = [span.rise_s for span in spans]
        self._resets_s = [0.0, *(e.at_s for e in self._episodes if e.kind == "reset"), _FOREVER_S]

    def complaints(self) -> list[str]:
        """All that was wrong with the light, in words; empty where it was right."""
        return [*self._each_life(), *self._forbidden_light(), *self._dead_leases(), *self._uncommanded()]

    # What limits say, between one reset and the next: a reset forgets the dose, and is dark.

    def _each_life(self) -> Iterator[str]:
        for from_s, to_s in pairwise(self._resets_s):
            spans = [s for s in self._spans if from_s <= s.rise_s < to_s]
            limits = self._loosest(from_s, to_s)
            if limits is None:
                yield from (f"light at {s.rise_s:.6f} s, and no limits were set" for s in spans)
            else:
                yield from self._too_long(spans, limits)
                yield from self._too_much(spans, limits)

    def _loosest(self, from_s: float, to_s: float) -> Limits | None:
        """The loosest that could be in force, if any of the limits said had come; never looser than the ceiling."""
        said = [one.message for one in self._said if from_s <= one.at_s < to_s and isinstance(one.message, Limits)]
        if not said:
            return None
        loosest = Limits(*(min(top, max(values)) for top, *values in zip(CEILING, *said, strict=True)))
        return loosest._replace(
            off_us=max(CEILING.off_us, min(limits.off_us for limits in said)),
            short_window_ms=CEILING.short_window_ms,
            long_window_ms=CEILING.long_window_ms,
        )

    def _too_long(self, spans: list[Lit], limits: Limits) -> Iterator[str]:
        longest_s = limits.on_us / 1e6 * (1 + self._slack.rate) + self._slack.edge_s
        for span in spans:
            if span.fall_s - span.rise_s > longest_s:
                yield f"light of {span.fall_s - span.rise_s:.6f} s at {span.rise_s:.6f} s"
        shortest_s = limits.off_us / 1e6 * (1 - self._slack.rate) - self._slack.edge_s
        for one, other in pairwise(spans):
            if other.rise_s - one.fall_s < shortest_s:
                yield f"darkness of {other.rise_s - one.fall_s:.6f} s at {one.fall_s:.6f} s"

    def _too_much(self, spans: list[Lit], limits: Limits) -> Iterator[str]:
        """In windows that end at a fall: while light is on, the sum over a window that ends now can't fall."""
        windows = ((limits.short_window_ms, limits.short_on_ms), (limits.long_window_ms, limits.long_on_ms))
        falls = [s.fall_s for s in spans]
        for window_ms, on_ms in windows:
            for end in range(len(spans)):
                begin_s = falls[end] - window_ms / 1e3
                first = bisect_left(falls, begin_s)
                lit_s = sum(s.fall_s - max(s.rise_s, begin_s) for s in spans[first : end + 1])
                if lit_s > (on_ms / 1e3) * (1 + self._slack.rate) + self._slack.edge_s * (end - first + 1):
                    yield f"{lit_s:.6f} s of light in the {window_ms} ms before {falls[end]:.6f} s"

    # When there may be none at all.

    def _forbidden_light(self) -> Iterator[str]:
        """After a start, a reset, Dark, Disarm or an open interlock: none before the next Arm was said."""
        arms_s = self._said_at((Arm,))
        ends = [(0.0, "start")]
        ends += [(one.at_s, type(one.message).__name__) for one in self._said if one.surely and _ends(one.message)]
        ends += [(e.at_s, e.kind) for e in self._episodes if e.kind in {"reset", "interlock open"}]
        for at_s, why in ends:
            after = bisect_left(arms_s, at_s)
            until_s = arms_s[after] if after < len(arms_s) else _FOREVER_S
            yield from self._light_within(at_s + self._slack.command_s, until_s, f"after {why} at {at_s:.6f} s")
        for shut, opened in self._shut_gates():
            yield from self._light_within(shut + self._slack.command_s, opened, f"gate shut at {shut:.6f} s")

    def _shut_gates(self) -> Iterator[tuple[float, float]]:
        shut_s: float | None = None
        for at_s, kind in [*self._episodes, Episode(_FOREVER_S, "gate open")]:
            if kind == "gate shut" and shut_s is None:
                shut_s = at_s
            elif kind == "gate open" and shut_s is not None:
                yield shut_s, at_s
                shut_s = None

    def _dead_leases(self) -> Iterator[str]:
        """No light later than a lease after the last heartbeat or Arm that was said, whether it came or not."""
        lease_ms = [one.message.lease_ms for one in self._said if isinstance(one.message, Limits)]
        lease_s = min(CEILING.lease_ms, max(lease_ms, default=0)) / 1e3 * (1 + self._slack.rate)
        beats_s = [*self._said_at((Arm, Heartbeat)), _FOREVER_S]
        for beat_s, next_s in pairwise(beats_s):
            until_s = beat_s + lease_s + self._slack.command_s
            yield from self._light_within(until_s, next_s, f"last heartbeat said at {beat_s:.6f} s")

    def _uncommanded(self) -> Iterator[str]:
        """No more pulses than were asked for, each train number once in each session."""
        asked: dict[tuple[int, int], int] = {}
        session = prepared = triggered = 0
        rows: list[tuple[float, Message | Episode]] = [(one.at_s, one.message) for one in self._said]
        rows += [(episode.at_s, episode) for episode in self._episodes]
        for _, row in sorted(rows, key=lambda row: row[0]):
            if isinstance(row, Limits):
                session += 1
            elif isinstance(row, Fire) and row.train < ON_BOARD_TRAIN:
                asked[session, row.train] = max(row.pulses, asked.get((session, row.train), 0))
            elif isinstance(row, Begin) and row.train < ON_BOARD_TRAIN:
                asked[session, row.train] = max(prepared, asked.get((session, row.train), 0))
            elif isinstance(row, Prepare):
                prepared = max(prepared, row.pulses)
            elif isinstance(row, Episode) and row.kind == "trigger":
                triggered += prepared
        most = sum(asked.values()) + triggered
        if len(self._spans) > most:
            yield f"{len(self._spans)} pulses were given, and {most} were asked for"

    def _said_at(self, kinds: tuple[type[Message], ...]) -> list[float]:
        return [one.at_s for one in self._said if isinstance(one.message, kinds)]

    def _light_within(self, from_s: float, to_s: float, why: str) -> Iterator[str]:
        """Complaints about light between two times."""
        from_s += self._slack.edge_s
        if from_s >= to_s:
            return
        for span in reversed(self._spans[: bisect_left(self._rises_s, to_s)]):
            if span.fall_s <= from_s:
                return
            yield f"light from {span.rise_s:.6f} to {span.fall_s:.6f} s: {why}"


def _ends(message: Message) -> bool:
    return isinstance(message, Dark | Disarm)
