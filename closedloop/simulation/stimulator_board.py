"""The virtual stimulator: the twin of firmware/core/stimulator.c, tested to be its equal to the byte and microsecond.

No I/O happens here, no clock is read and there is no thread: the caller says what time it is. Whatever the host sends,
there is light only while armed, with a live lease and a closed interlock, inside the limits in force: see
`interlock.py`. Every way out of ARMED ends the light at that microsecond. A trip is latched: Dark is obeyed in it, but
only Arm leaves it, and closing the interlock alone does nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from zlib import crc32

from closedloop.simulation.interlock import NEVER, Interlock, Request
from closedloop.simulation.light_train import LONGEST_WAIT_US, edges_of, is_sound
from closedloop.simulation.serial_end import TICKS, SerialEnd
from closedloop.wire import (
    ON_BOARD_TRAIN,
    Arm,
    Begin,
    Board,
    Dark,
    Disarm,
    Fire,
    Fired,
    Heartbeat,
    Limits,
    LimitsSet,
    Message,
    Prepare,
    Prepared,
    Reason,
    Refused,
    ResetCause,
    Started,
    State,
    Status,
    Trip,
    pack,
)

ANSWERS_KEPT = 4  # a Fire repeated within so many answers is answered again; it is never delivered again
FULL_LEVEL = 65_535
UNIQUE_ID = 0x5710_0001
BOOT_TICKS = TICKS - 10_000_000  # the ticks wrap 10 s after start-up, so that every longer run has wrapped
_NOTHING = Prepare(0, 0, 0, 0, 0, by_trigger=0)


class _Delivery:
    """One train on its way: the edges to come, and the light given so far."""

    def __init__(self, fire: Fire, start_us: int) -> None:
        self.train = fire.train
        self.first_us: int | None = None
        self.last_us = self.lit_us = self.pulses = 0
        self._edges: Iterator[tuple[int, int]] = edges_of(fire, start_us)
        self.next_edge: tuple[int, int] | None = next(self._edges)

    def pass_edge(self) -> None:
        """On to the next edge, if there is one."""
        self.next_edge = next(self._edges, None)


class StimulatorBoard:
    """A stimulator in device time (microseconds, any integer that never falls).

    Attributes:
        edges: every change of light since the start, or since those that were forgotten, as (device time, level from
            0 to 1), exact.
        last_heartbeat: `seq` of the last heartbeat since start-up, in any state, or None.
        interlock: what decides about light.
    """

    def __init__(
        self,
        *,
        now_us: int = 0,
        boot_ticks: int = BOOT_TICKS,
        unique_id: int = UNIQUE_ID,
        interlock_closed: bool = True,
        gate_open: bool = True,
        lead_us: int = 0,
        notice_us: int = 0,
    ) -> None:
        self.serial = SerialEnd(Board.STIMULATOR, now_us=now_us, boot_ticks=boot_ticks, unique_id=unique_id)
        self.edges: list[tuple[int, float]] = []
        self._level = 0
        self._now_us = now_us
        self._lead_us = lead_us
        self._notice_us = notice_us
        self._start(interlock_closed, gate_open)

    def _start(self, interlock_closed: bool, gate_open: bool) -> None:
        self.interlock = Interlock()
        self.interlock.closed, self.interlock.gate_open = interlock_closed, gate_open
        self.last_heartbeat: int | None = None
        self._delivery: _Delivery | None = None
        self._prepared = _NOTHING
        self._on_board_trains = self._lit_since_us = 0
        self._forget_trains()

    def _forget_trains(self) -> None:
        self._last_train = 0
        self._answers: OrderedDict[int, Refused | Fired] = OrderedDict()
        self._prepared = _NOTHING

    # What the outside does to the board.

    def receive(self, data: bytes, now_us: int) -> None:
        """Take bytes from the host that arrived at this device time; everything due before it happens first."""
        self.advance(now_us)
        for message in self.serial.hear(data, self._now_us):
            self._obey(message)
            self._settle()

    def advance(self, now_us: int) -> None:
        """Let device time pass: edges and the end of the lease happen at their own microsecond."""
        while (due_us := self.next_due_us) is not None and due_us <= now_us:
            self._pass_to(due_us)
            self._settle()
        self._pass_to(now_us)

    def set_interlock(self, closed: bool, now_us: int) -> None:
        """The interlock input changed, or did not."""
        self.advance(now_us)
        opens = self.interlock.closed and not closed
        self.interlock.closed = closed
        if opens:
            self._go(Reason.INTERLOCK_OPEN)

    def set_gate(self, is_open: bool, now_us: int) -> None:
        """The external gate input: if it is shut, a train is cut short and none begins; nothing trips."""
        self.advance(now_us)
        self.interlock.set_gate(is_open)
        if not is_open:
            self._end_train(Reason.GATE_CLOSED)

    def trigger(self, now_us: int) -> None:
        """The trigger line rose: begin the prepared train, if there is one and the board is armed."""
        self.advance(now_us)
        p = self._prepared
        if p.pulses == 0 or not p.by_trigger or self._delivery is not None:
            return
        if self.interlock.ready() is Reason.NOT_ARMED:
            return
        self._on_board_trains += 1
        self._begin(self._prepared_train(ON_BOARD_TRAIN + self._on_board_trains))
        self._settle()

    def reset(self, cause: ResetCause, now_us: int) -> None:
        """Power or watchdog: dark, disarmed, and everything forgotten, limits and dose included."""
        self.advance(now_us)
        self._set_level(0)
        self._start(self.interlock.closed, self.interlock.gate_open)
        self.serial.restart(cause, self._now_us)

    def prolong_lease(self, us: int) -> None:
        """Let a running lease last so much longer. No firmware does this: see `rig_process` for who may, and why."""
        if self.state is State.ARMED:
            self.interlock.lease_left_us += us

    def take_output(self) -> bytes:
        """Bytes for the host since the last call."""
        return self.serial.take_output()

    def forget_edges(self, before_us: int) -> None:
        """Let go of what lies before this device time; what light there was at it stays known."""
        older = bisect_right(self.edges, (before_us, -1.0))
        del self.edges[: max(0, older - 1)]

    # What the outside can see.

    @property
    def state(self) -> State:
        """As on the wire."""
        return self.interlock.state

    @property
    def limits(self) -> Limits:
        """Those in force."""
        return self.interlock.limits

    @property
    def light(self) -> float:
        """The level now, 0 to 1."""
        return self._level / FULL_LEVEL

    @property
    def lease_until_us(self) -> int | None:
        """When light ends unless a heartbeat comes, None while not armed."""
        return self._now_us + self.interlock.lease_left_us if self.state is State.ARMED else None

    @property
    def next_due_us(self) -> int | None:
        """When something happens by itself next: an edge or the end of the lease."""
        times = []
        if (in_us := self.interlock.due_us) < NEVER:
            times.append(self._now_us + in_us)
        if self._delivery is not None and self._delivery.next_edge is not None:
            times.append(self._delivery.next_edge[0])
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
            case Dark() | Disarm():
                self._go(Reason.HOST_DARK if isinstance(message, Dark) else Reason.HOST_DISARMED)
            case Heartbeat():
                self.last_heartbeat = message.seq
                self.interlock.heartbeat()
            case Begin(train):
                self._on_fire(self._prepared_train(train))
            case Fire():
                self._on_fire(message)
            case Arm():
                self._say_status(self.interlock.arm())
            case Limits():
                self._on_limits(message)
            case Prepare():
                self._prepared = message
                self.serial.say(Prepared(crc32(pack(message))))
            case _:
                self.serial.ignored += 1

    def _prepared_train(self, train: int) -> Fire:
        p = self._prepared
        return Fire(train, p.on_us, p.period_us, p.pulses, p.level, p.ramp_off_us, scheduled=0, start=0)

    def _on_limits(self, message: Limits) -> None:
        if self.state is not State.ARMED:
            self._forget_trains()  # a new session counts its trains from one again; the dose is not forgotten
        self.interlock.set_limits(message)
        self.serial.say(LimitsSet(crc32(pack(self.limits))))

    def _on_fire(self, fire: Fire) -> None:
        """Numbers rise within a session: one not above the last is never lit, however late or often it comes."""
        if fire.train >= ON_BOARD_TRAIN:
            self.serial.say(Refused(fire.train, Reason.BAD_REQUEST))
        elif fire.train > self._last_train:
            self._last_train = fire.train
            self._begin(fire)
        elif fire.train in self._answers:
            self.serial.say(self._answers[fire.train])

    def _begin(self, fire: Fire) -> None:
        now_us = self._now_us
        start_us = self.serial.when_us(fire.start, now_us) if fire.scheduled else now_us + self._lead_us
        reason = self._refusal(fire, start_us - now_us)
        if reason is Reason.NONE:
            self._delivery = _Delivery(fire, start_us)
        else:
            self._say_and_remember(Refused(fire.train, reason))

    def _refusal(self, fire: Fire, wait_us: int) -> Reason:
        reason = self.interlock.ready()
        if reason is not Reason.NONE or self._delivery is not None:
            return reason or Reason.BUSY
        if not is_sound(fire, self.limits.off_us) or fire.scheduled > 1 or wait_us > LONGEST_WAIT_US:
            return Reason.BAD_REQUEST
        if wait_us < 0 or (fire.scheduled and wait_us < self._notice_us):
            return Reason.LATE
        return self.interlock.grant(Request(fire.on_us, fire.ramp_off_us, wait_us, fire.pulses, fire.level))

    # What follows from it.

    def _pass_to(self, at_us: int) -> None:
        if at_us > self._now_us:
            before = self.state
            self.interlock.pass_time(at_us - self._now_us)
            self._now_us = at_us
            if self.state is not before:
                self._follow(self.interlock.trip_reason, before)

    def _settle(self) -> None:
        """Take the edges that are due now; follow the interlock if it ended a pulse by itself."""
        while self._delivery is not None and self._delivery.next_edge is not None:
            at_us, level = self._delivery.next_edge
            if at_us > self._now_us:
                break
            self._take_edge(self._delivery, level)
        if self._level > 0 and not self.interlock.lit:
            self._end_train(Reason.ON_TIME)

    def _take_edge(self, delivery: _Delivery, level: int) -> None:
        if self._level == 0 and not self.interlock.rise():
            self._end_train(Reason.OFF_TIME)
            return
        delivery.pass_edge()
        if delivery.next_edge is None:
            self._end_train(Reason.NONE)
            return
        if level == 0:
            self.interlock.fall()
        self._set_level(level)

    def _go(self, cause: Reason) -> None:
        before = self.state
        self.interlock.go(cause)
        self._follow(cause, before)

    def _follow(self, cause: Reason, before: State) -> None:
        """Say what became of the train, and of the state."""
        self._end_train(cause)
        if self.state is not State.TRIPPED:
            self._say_status(cause)
            return
        reason = self.interlock.trip_reason
        if before is not State.TRIPPED:
            self.serial.say(Trip(reason, self.serial.ticks(self._now_us)))
        self._say_status(reason)

    def _say_status(self, reason: Reason) -> None:
        self.serial.say(Status(self.state, reason, self.serial.ticks(self._now_us)))

    def _set_level(self, level: int) -> None:
        if level == self._level:
            return
        was, self._level = self._level, level
        self.edges.append((self._now_us, self.light))
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
            self.serial.say(Started(self._delivery.train, self.serial.ticks(self._now_us)))

    def _on_fall(self) -> None:
        if self._delivery is not None:
            self._delivery.last_us = self._now_us
            self._delivery.lit_us += self._now_us - self._lit_since_us

    def _end_train(self, reason: Reason) -> None:
        self.interlock.end()
        self._set_level(0)
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
        if answer.train < ON_BOARD_TRAIN:
            self._answers[answer.train] = answer
            while len(self._answers) > ANSWERS_KEPT:
                self._answers.popitem(last=False)
