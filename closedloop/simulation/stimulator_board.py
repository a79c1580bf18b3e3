"""The virtual stimulator: what the real board's firmware must do, as a pure state machine in device time.

No I/O happens here, no clock is read and there is no thread: the caller says what time it is. Whatever the host sends,
there is light only while armed, with a live lease and a closed interlock, inside the limits in force.

    state      Arm        Disarm, Dark    interlock opens    lease ends     start-up, reset
    DISARMED   ARMED *    DISARMED        TRIPPED            -              DISARMED
    ARMED      ARMED *    DISARMED        TRIPPED            TRIPPED        DISARMED
    TRIPPED    ARMED *    TRIPPED         TRIPPED            -              DISARMED

    * refused, state unchanged, while no limits were set since start-up or the interlock is open. The lease starts anew.

Every way out of ARMED ends the light at that microsecond. A trip is latched: Dark is obeyed in it, but only Arm leaves
it, and closing the interlock alone does nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from zlib import crc32

from closedloop.simulation.dose import Ledger, Request, edges_of, refusal, tighter
from closedloop.simulation.serial_end import TICKS, SerialEnd
from closedloop.wire import (
    CEILING,
    Arm,
    Board,
    Dark,
    Disarm,
    Fire,
    Fired,
    Heartbeat,
    Limits,
    LimitsSet,
    Message,
    Reason,
    Refused,
    ResetCause,
    Started,
    State,
    Status,
    Trip,
    pack,
)

ANSWERS_KEPT = 64  # a Fire repeated within so many trains is answered again, never delivered again
UNIQUE_ID = 0x5710_0001
BOOT_TICKS = TICKS - 10_000_000  # the ticks wrap 10 s after start-up, so that every longer run has wrapped

_DISARMED, _ARMED, _TRIPPED = State.DISARMED, State.ARMED, State.TRIPPED
_ARM = Reason.NONE  # the one cause that is no reason for darkness

NEXT: dict[State, dict[Reason, State]] = {
    _DISARMED: {
        _ARM: _ARMED,
        Reason.HOST_DISARMED: _DISARMED,
        Reason.HOST_DARK: _DISARMED,
        Reason.INTERLOCK_OPEN: _TRIPPED,
    },
    _ARMED: {
        _ARM: _ARMED,
        Reason.HOST_DISARMED: _DISARMED,
        Reason.HOST_DARK: _DISARMED,
        Reason.INTERLOCK_OPEN: _TRIPPED,
        Reason.LEASE_EXPIRED: _TRIPPED,
    },
    _TRIPPED: {
        _ARM: _ARMED,
        Reason.HOST_DISARMED: _TRIPPED,
        Reason.HOST_DARK: _TRIPPED,
        Reason.INTERLOCK_OPEN: _TRIPPED,
    },
}


class _Delivery:
    """One train on its way: the edges to come, and the light given so far."""

    def __init__(self, fire: Fire, start_us: int) -> None:
        self.train = fire.train
        self.first_us: int | None = None
        self.last_us = self.lit_us = self.pulses = 0
        self._edges: Iterator[tuple[int, float]] = edges_of(fire, start_us)
        self.next_edge: tuple[int, float] | None = next(self._edges)

    def pass_edge(self) -> bool:
        """On to the next edge; whether there is one."""
        self.next_edge = next(self._edges, None)
        return self.next_edge is not None


class StimulatorBoard:
    """A stimulator in device time (microseconds, any integer that never falls).

    Attributes:
        edges: every change of light since the start, as (device time, level from 0 to 1), exact.
        light: the level now, 0 to 1.
        state: as on the wire.
        last_heartbeat: `seq` of the last heartbeat since start-up, in any state, or None.
        lease_until_us: when light ends unless a heartbeat comes, None while not armed.
        limits: those in force.
    """

    def __init__(
        self,
        *,
        now_us: int = 0,
        boot_ticks: int = BOOT_TICKS,
        unique_id: int = UNIQUE_ID,
        interlock_closed: bool = True,
    ) -> None:
        self.serial = SerialEnd(Board.STIMULATOR, now_us=now_us, boot_ticks=boot_ticks, unique_id=unique_id)
        self.edges: list[tuple[int, float]] = []
        self.light = 0.0
        self._now_us = now_us
        self._interlock_closed = interlock_closed
        self._forget()

    def _forget(self) -> None:
        self.state = State.DISARMED
        self.last_heartbeat: int | None = None
        self.lease_until_us: int | None = None
        self.limits = CEILING
        self._limits_are_set = False
        self._trip_reason = Reason.NONE
        self._delivery: _Delivery | None = None
        self._answers: OrderedDict[int, Message | None] = OrderedDict()
        self._ledger = Ledger()
        self._lit_since_us = 0

    # What the outside does to the board.

    def receive(self, data: bytes, now_us: int) -> None:
        """Take bytes from the host that arrived at this device time; everything due before it happens first."""
        self.advance(now_us)
        for message in self.serial.hear(data, self._now_us):
            self._obey(message)
            self.advance(self._now_us)

    def advance(self, now_us: int) -> None:
        """Let device time pass: edges and the end of the lease happen at their own microsecond."""
        while (due_us := self.next_due_us) is not None and due_us <= now_us:
            self._now_us = max(self._now_us, due_us)
            if self.lease_until_us is not None and due_us == self.lease_until_us:
                self._go(Reason.LEASE_EXPIRED)
            else:
                self._pass_edge()
        self._now_us = max(self._now_us, now_us)

    def set_interlock(self, closed: bool, now_us: int) -> None:
        """The interlock input changed, or did not."""
        self.advance(now_us)
        opens = self._interlock_closed and not closed
        self._interlock_closed = closed
        if opens:
            self._go(Reason.INTERLOCK_OPEN)

    def reset(self, cause: ResetCause, now_us: int) -> None:
        """Power or watchdog: dark, disarmed, and everything forgotten, limits and dose included."""
        self.advance(now_us)
        self._set_light(0.0)
        self._forget()
        self.serial.restart(cause, self._now_us)

    def take_output(self) -> bytes:
        """Bytes for the host since the last call."""
        return self.serial.take_output()

    # What the outside can see.

    @property
    def next_due_us(self) -> int | None:
        """When something happens by itself next: an edge or the end of the lease."""
        edge = self._delivery.next_edge if self._delivery else None
        times = [at for at in (self.lease_until_us, edge and edge[0]) if at is not None]
        return min(times, default=None)

    def lit_us(self, since_us: int, until_us: int) -> int:
        """Microseconds with any light between two device times, neither of them after now."""
        return sum(length for length, level in self._stretches(since_us, until_us) if level > 0)

    def mean_level(self, since_us: int, until_us: int) -> float:
        """Mean level, 0 to 1, between two device times, neither of them after now."""
        if until_us <= since_us:
            return self.light
        dose = sum(length * level for length, level in self._stretches(since_us, until_us))
        return dose / (until_us - since_us)

    def _stretches(self, since_us: int, until_us: int) -> Iterator[tuple[int, float]]:
        """Lengths of constant level, newest first, because what is asked for is nearly always recent."""
        for at_us, level in reversed(self.edges):
            if at_us < until_us:
                yield until_us - max(at_us, since_us), level
                until_us = at_us
            if at_us <= since_us:
                return

    # What the host says.

    def _obey(self, message: Message) -> None:
        match message:
            case Dark():
                self._go(Reason.HOST_DARK)
            case Disarm():
                self._go(Reason.HOST_DISARMED)
            case Heartbeat():
                self._on_heartbeat(message)
            case Fire():
                self._on_fire(message)
            case Arm():
                self._on_arm()
            case Limits():
                self._on_limits(message)
            case _:
                self.serial.ignored += 1

    def _on_heartbeat(self, message: Heartbeat) -> None:
        self.last_heartbeat = message.seq
        if self.state is State.ARMED:
            self._renew_lease()

    def _on_limits(self, message: Limits) -> None:
        if self.state is not State.ARMED:
            self._answers.clear()  # a new session counts its trains from one again; the dose is not forgotten
        in_force = self.limits if self.state is State.ARMED else CEILING
        self.limits = tighter(message, in_force)
        self._limits_are_set = True
        self.serial.say(LimitsSet(crc32(pack(self.limits))))

    def _on_arm(self) -> None:
        if not self._limits_are_set:
            self._say_status(Reason.LIMITS_UNSET)
        elif not self._interlock_closed:
            self._say_status(Reason.INTERLOCK_OPEN)
        else:
            self._go(_ARM)

    def _on_fire(self, fire: Fire) -> None:
        if fire.train in self._answers:
            self._repeat_answer(fire.train)
            return
        start_us = self.serial.when_us(fire.start, self._now_us) if fire.scheduled else self._now_us
        reason = self._refusal(fire, start_us)
        if reason is Reason.NONE:
            self._delivery = _Delivery(fire, start_us)
            self._remember(fire.train, None)
        else:
            self._say_and_remember(Refused(fire.train, reason))

    def _refusal(self, fire: Fire, start_us: int) -> Reason:
        if not self._interlock_closed:
            return Reason.INTERLOCK_OPEN
        if self.state is not State.ARMED:
            return Reason.NOT_ARMED
        if self._delivery is not None:
            return Reason.BUSY
        return refusal(Request(fire, start_us, self._now_us, self.limits, self._ledger))

    def _repeat_answer(self, train: int) -> None:
        answer = self._answers[train]
        if answer is not None:  # None: still on its way, and its end will be said
            self.serial.say(answer)

    # What follows from it.

    def _go(self, cause: Reason) -> None:
        before = self.state
        self.state = NEXT[before][cause]
        if self.state is State.ARMED:
            self._renew_lease()
            self._say_status(Reason.NONE)
            return
        self.lease_until_us = None
        self._end_train(cause)
        if self.state is State.TRIPPED and before is not State.TRIPPED:
            self._trip_reason = cause
            self.serial.say(Trip(cause, self.serial.ticks(self._now_us)))
        self._say_status(self._trip_reason if self.state is State.TRIPPED else cause)

    def _renew_lease(self) -> None:
        self.lease_until_us = self._now_us + self.limits.lease_ms * 1000

    def _say_status(self, reason: Reason) -> None:
        self.serial.say(Status(self.state, reason, self.serial.ticks(self._now_us)))

    def _pass_edge(self) -> None:
        delivery = self._delivery
        if delivery is None or delivery.next_edge is None:
            return
        _, level = delivery.next_edge
        is_last = not delivery.pass_edge()
        self._set_light(level)
        if is_last:
            self._end_train(Reason.NONE)

    def _set_light(self, level: float) -> None:
        if level == self.light:
            return
        self.edges.append((self._now_us, level))
        was, self.light = self.light, level
        if was == 0:
            self._on_rise()
        elif level == 0:
            self._on_fall()

    def _on_rise(self) -> None:
        self._lit_since_us = self._now_us
        if self._delivery is None:
            return
        self._delivery.pulses += 1
        if self._delivery.first_us is None:
            self._delivery.first_us = self._now_us
            self._ledger.add_train(self._now_us)
            self.serial.say(Started(self._delivery.train, self.serial.ticks(self._now_us)))

    def _on_fall(self) -> None:
        self._ledger.add_span(self._lit_since_us, self._now_us)
        if self._delivery is not None:
            self._delivery.last_us = self._now_us
            self._delivery.lit_us += self._now_us - self._lit_since_us

    def _end_train(self, reason: Reason) -> None:
        self._set_light(0.0)
        done, self._delivery = self._delivery, None
        if done is None:
            return
        if done.first_us is None:
            self._say_and_remember(Refused(done.train, reason))
            return
        on, off = self.serial.ticks(done.first_us), self.serial.ticks(done.last_us)
        self._say_and_remember(Fired(done.train, on, off, done.pulses, done.lit_us, reason))

    def _say_and_remember(self, answer: Refused | Fired) -> None:
        self.serial.say(answer)
        self._remember(answer.train, answer)

    def _remember(self, train: int, answer: Message | None) -> None:
        self._answers[train] = answer
        while len(self._answers) > ANSWERS_KEPT:
            self._answers.popitem(last=False)
