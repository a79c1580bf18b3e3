"""Where a session is in its protocol: the block that is on, what is left of it, pauses and gates.

Blocks come from the rows, which have the loop's own numbers; their clock goes by sample time and stands still while the
session is paused, as in `schedule`. Which of several gates is shut is followed here from the inputs, for the rows say
of all of them together alone; that they are open is what the rows say.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from pydantic import TypeAdapter

from closedloop.gates import Gate
from closedloop.model import FROM_FILE, Seconds
from closedloop.recording import Event, Rows
from closedloop.schedule import OVER, WARM_UP, Block
from closedloop.steps import GATE_OPEN
from closedloop.watching.follower import Fresh

_WHOLE = "session"
_MOST_STRETCHES = 256  # a protocol has no more than 32 blocks
_MOST_PAUSES = 1000
_OPEN = np.iinfo(np.int64).max
_SECONDS: TypeAdapter[float] = TypeAdapter(Seconds)


class Stretch(NamedTuple):
    """A block as it was.

    Attributes:
        number: as in the rows; schedule.WARM_UP before the first.
        name: from the protocol.
        since_s: of sample time.
        until_s: likewise; None while it is on.
    """

    number: int
    name: str
    since_s: float
    until_s: float | None


class Left(NamedTuple):
    """What is left of a block; None where it does not end by that, or where there is no block.

    Attributes:
        seconds: by the blocks' clock, at the most.
        trains: that are not refused.
        readings: received.
    """

    seconds: float | None = None
    trains: int | None = None
    readings: int | None = None


class GateState(NamedTuple):
    """One gate.

    Attributes:
        words: "paired high".
        input: the name of its input.
        is_open: whether it lets light pass.
        why: what a shut gate waits for; empty of an open one.
    """

    words: str
    input: str
    is_open: bool
    why: str


class Course:
    """Of one session.

    Args:
        header: the recording's; empty until the session has begun.

    Attributes:
        number: of the block that is on, as in the rows.
        stretches: all blocks so far, warm-up too, oldest first; none where the protocol has no blocks.
        is_paused: whether a person paused it.
        are_gates_open: as of the last reading; True where there are none.
        inputs: all digital inputs at the last reading, bit 0 first; None before there is one.
    """

    def __init__(self, header: dict[str, Any]) -> None:
        protocol = header.get("protocol") or {}
        self.number = WARM_UP
        self.stretches: deque[Stretch] = deque(maxlen=_MOST_STRETCHES)
        self.is_paused = False
        self.are_gates_open = True
        self.inputs: int | None = None
        self._blocks = tuple(_blocks(protocol.get("blocks") or ()))
        self._warm_up_us = _warm_up_us(protocol.get("warm_up"))
        names = header.get("input_names") or ()
        period_us = round(1e9 / (header.get("rate_mhz") or 1e9))
        self._gates = tuple(_Gate(gate, list(names).index(gate.input), period_us) for gate in _gates(protocol, names))
        self._pauses: deque[tuple[int, int]] = deque(maxlen=_MOST_PAUSES)
        self._ticks = -1
        self._began = 0
        self._trains = self._readings = 0

    def add(self, fresh: Fresh) -> None:
        """Take in what was recorded since."""
        for event in fresh.events:
            if event.kind == "note":
                self._hear(event)
        if len(fresh.rows):
            self._follow_blocks(fresh.rows)
            self.are_gates_open = not self._gates or bool(fresh.rows["bits"][-1] & GATE_OPEN)
            for gate in self._gates:
                gate.follow(fresh.rows)
            self._ticks = int(fresh.rows["ticks"][-1])
            self.inputs = int(fresh.rows["inputs"][-1])

    @property
    def has_blocks(self) -> bool:
        """Whether the protocol has blocks."""
        return bool(self._blocks)

    @property
    def name(self) -> str:
        """Of the part that is on."""
        return self.stretches[-1].name if self.stretches else _WHOLE

    @property
    def after(self) -> str:
        """The name of the block that comes next; "" where none does."""
        following = 0 if self.number == WARM_UP else self.number
        return self._blocks[following].name if following < len(self._blocks) else ""

    @property
    def count(self) -> int:
        """Blocks of the protocol."""
        return len(self._blocks)

    @property
    def paused_s(self) -> float:
        """All pauses so far."""
        return self._paused_us(0, max(0, self._ticks)) / 1e6

    @property
    def left(self) -> Left:
        """Of the block that is on, or of warm-up."""
        if self.stretches and self.number == WARM_UP:
            return Left(max(0.0, (self._warm_up_us - self._ticks) / 1e6))
        if not 1 <= self.number <= len(self._blocks):
            return Left()
        block = self._blocks[self.number - 1]
        passed_us = self._ticks - self._began - self._paused_us(self._began, self._ticks)
        return Left(
            max(0.0, block.lasts - passed_us / 1e6),
            None if block.trains is None else max(0, block.trains - self._trains),
            None if block.readings is None else max(0, block.readings - self._readings),
        )

    @property
    def gates(self) -> tuple[GateState, ...]:
        """All gates of the protocol, as of the last reading."""
        states = tuple(gate.state(self._ticks) for gate in self._gates)
        if self.are_gates_open:
            return tuple(state._replace(is_open=True, why="") for state in states)
        return states

    # Blocks

    def _hear(self, event: Event) -> None:
        if event.reason == "paused":
            self.is_paused = True
            self._pauses.append((event.ticks, _OPEN))
        elif event.reason == "resumed":
            self.is_paused = False
            if self._pauses:
                self._pauses[-1] = (self._pauses[-1][0], event.ticks)

    def _follow_blocks(self, rows: Rows) -> None:
        if not self._blocks or "block" not in (rows.dtype.names or ()):
            return
        numbers, ticks = rows["block"], rows["ticks"].astype(np.int64)
        changes = (np.flatnonzero(numbers[1:] != numbers[:-1]) + 1).tolist()
        for start, stop in zip([0, *changes], [*changes, len(rows)], strict=True):
            if not self.stretches or int(numbers[start]) != self.number:
                self._enter(int(numbers[start]), int(ticks[start]))
            self._count(rows[start:stop], ticks[start:stop])

    def _enter(self, number: int, ticks: int) -> None:
        if self.stretches:
            self.stretches[-1] = self.stretches[-1]._replace(until_s=ticks / 1e6)
        self.number, self._began = number, ticks
        self._trains = self._readings = 0
        self.stretches.append(Stretch(number, self._name(number), ticks / 1e6, None))

    def _name(self, number: int) -> str:
        if number == WARM_UP:
            return "warm-up"
        if number == OVER:
            return "over"
        return self._blocks[number - 1].name if number <= len(self._blocks) else f"block {number}"

    def _count(self, rows: Rows, ticks: Any) -> None:
        """Decisions that the loop did not refuse, and readings, as the schedule counts them."""
        self._trains += int(np.count_nonzero((rows["decision"] != 0) & (rows["refused"] == 0)))
        paused = sum(int(np.count_nonzero((ticks > since) & (ticks <= until))) for since, until in self._pauses)
        self._readings += len(rows) - paused

    def _paused_us(self, since: int, until: int) -> int:
        overlaps = (min(to, until) - max(at, since) for at, to in self._pauses)
        return sum(max(0, overlap) for overlap in overlaps)


class _Gate:
    """One gate, followed by the changes of its input."""

    def __init__(self, gate: Gate, bit: int, period_us: int) -> None:
        self._gate, self._bit, self._period_us = gate, bit, period_us
        self._is_edge = gate.when not in ("high", "low")
        self._inverted = gate.when in ("low", "falling")
        self._active: bool | None = None  # None: nothing was read yet
        self._since = 0
        self._is_counted = False  # whether the stretch that is on has made its edge
        self._until = -1
        self._edges: deque[int] = deque(maxlen=gate.edges)
        self._ticks = 0

    def follow(self, rows: Rows) -> None:
        """Take in the changes of the input in these rows."""
        active = (rows["inputs"].astype(np.int64) >> self._bit & 1 == 1) != self._inverted
        if self._active is None:
            self._active, self._since = bool(active[0]), int(rows["ticks"][0])
            self._is_counted = self._active  # what was so before the session is no edge
        before = np.concatenate(([self._active], active[:-1]))
        for at in np.flatnonzero(active != before).tolist():
            self._change(bool(active[at]), int(rows["ticks"][at]), int(rows["ticks"][at - 1]) if at else self._ticks)
        self._ticks = int(rows["ticks"][-1])
        self._settle(self._ticks)

    def state(self, ticks: int) -> GateState:
        """As of this reading."""
        gate, why = self._gate, ""
        is_open = ticks <= self._until
        if not is_open:
            why = self._waits_for_edge() if self._is_edge else self._waits_for_level(ticks)
        return GateState(gate.words, gate.input, is_open, why)

    def _change(self, active: bool, ticks: int, last: int) -> None:
        self._settle(last)
        self._active, self._since, self._is_counted = active, ticks, False

    def _settle(self, ticks: int) -> None:
        """What the input's state up to this reading means."""
        debounce_us, hold_us = round(self._gate.debounce * 1e6), round(self._gate.hold * 1e6)
        if not self._active or ticks - self._since < debounce_us:
            return
        if not self._is_edge:
            self._until = ticks + hold_us
        elif not self._is_counted:
            self._is_counted = True
            self._edges.append(self._since + debounce_us)
            if self._gate.when != "turning":
                self._until = self._edges[-1] + hold_us
        window_us = round(self._gate.window * 1e6)
        is_full = len(self._edges) == self._gate.edges and self._edges[-1] - self._edges[0] < window_us
        if self._gate.when == "turning" and is_full:
            last = self._edges[0] + window_us - self._period_us  # reading within the window
            self._until = max(self._until, last + hold_us)

    def _waits_for_level(self, ticks: int) -> str:
        if self._active:
            return f"{self._gate.debounce - (ticks - self._since) / 1e6:.1f} s more"
        return f"the input is {'high' if self._inverted else 'low'}"

    def _waits_for_edge(self) -> str:
        return "it does not turn" if self._gate.when == "turning" else "no edge lately"


def _blocks(written: Any) -> Iterator[Block]:
    """The protocol's blocks; of each what matters here, for a policy may be kept from whoever watches."""
    for one in written:
        fields = {name: value for name, value in one.items() if name in Block.model_fields and name != "policy"}
        try:
            yield Block.model_validate(fields, context=FROM_FILE)
        except ValueError:
            return


def _warm_up_us(written: Any) -> int:
    try:
        return round(_SECONDS.validate_python(written, context=FROM_FILE) * 1e6)
    except ValueError:
        return 0


def _gates(protocol: dict[str, Any], names: Any) -> Iterator[Gate]:
    for one in protocol.get("gates") or ():
        try:
            gate = Gate.model_validate(one, context=FROM_FILE)
        except ValueError:
            continue
        if gate.input in names:
            yield gate
