"""Whether a stimulator board may give light: the twin of firmware/core/interlock.c, tested to be its equal.

No check here can be switched off, and none trusts the host. Times are integer microseconds that remain or have
passed; no clock is read.

    state      Arm        Disarm, Dark    interlock opens    lease ends     start-up, reset
    DISARMED   ARMED *    DISARMED        TRIPPED            -              DISARMED
    ARMED      ARMED *    DISARMED        TRIPPED            TRIPPED        DISARMED
    TRIPPED    ARMED *    TRIPPED         TRIPPED            -              DISARMED

    * refused, state unchanged, while no limits were set since start-up or the interlock is open. The lease starts anew.

The dose is kept in buckets, in a ring that is one bucket longer than its window: whatever the window's phase, it lies
within the ring. So no window holds more than its limit, and what is refused may be one bucket too much.
"""

from __future__ import annotations

from typing import NamedTuple

from closedloop.wire import CEILING, Limits, Reason, State

BUCKET_US = 1_000_000
BUCKETS = 61
LONG_EVERY = 10
LONG_BUCKETS = 61
NEVER = (1 << 32) - 1

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


def tighter(wanted: Limits) -> Limits:
    """What a board makes of limits: field by field the tighter of them and its ceiling; its windows are its own."""
    lower = (min(a, b) for a, b in zip(wanted, CEILING, strict=True))
    return Limits(*lower)._replace(
        off_us=max(wanted.off_us, CEILING.off_us),
        short_window_ms=CEILING.short_window_ms,
        long_window_ms=CEILING.long_window_ms,
    )


class Request(NamedTuple):
    """A train as far as its light is concerned; `wait_us` is until its first light."""

    on_us: int
    ramp_off_us: int
    wait_us: int
    pulses: int
    level: int

    @property
    def light_us(self) -> int:
        """All of its light, ramp included."""
        return self.on_us * self.pulses + self.ramp_off_us


class Ledger:
    """Light given and trains begun, in buckets of time since the start."""

    def __init__(self) -> None:
        self._passed_us = 0
        self._short: dict[int, int] = {}
        self._long: dict[int, int] = {}
        self._trains: dict[int, int] = {}

    def pass_time(self, us: int, *, lit: bool) -> None:
        """So much time has passed, in light or in the dark."""
        while us > 0:
            step = min(us, BUCKET_US - self._passed_us % BUCKET_US)
            if lit:
                bucket = self._passed_us // BUCKET_US
                self._short[bucket] = self._short.get(bucket, 0) + step
                self._long[bucket // LONG_EVERY] = self._long.get(bucket // LONG_EVERY, 0) + step
            self._passed_us += step
            us -= step

    def add_train(self) -> None:
        """A train gives its first light now."""
        bucket = self._passed_us // BUCKET_US
        self._trains[bucket] = self._trains.get(bucket, 0) + 1

    @property
    def short_us(self) -> int:
        """Light in the short window's ring."""
        return _sum(self._short, self._passed_us // BUCKET_US - BUCKETS)

    @property
    def long_us(self) -> int:
        """Light in the long window's ring."""
        return _sum(self._long, self._passed_us // BUCKET_US // LONG_EVERY - LONG_BUCKETS)

    @property
    def trains(self) -> int:
        """Trains in the minute's ring."""
        return _sum(self._trains, self._passed_us // BUCKET_US - BUCKETS)


def _sum(buckets: dict[int, int], out_until: int) -> int:
    """Over the ring, forgetting what has left it."""
    for bucket in [bucket for bucket in buckets if bucket <= out_until]:
        del buckets[bucket]
    return sum(buckets.values())


class Interlock:
    """The state that decides.

    Attributes:
        state: as on the wire.
        trip_reason: of the last trip.
        closed: the interlock; taken as open until it is seen closed.
        gate_open: the external gate; the same.
        lit: whether there is light.
        limits: those in force.
        lease_left_us: above 0 exactly while armed.
    """

    def __init__(self) -> None:
        self.state = _DISARMED
        self.trip_reason = Reason.NONE
        self.closed = self.gate_open = self.lit = False
        self.limits = CEILING
        self.lease_left_us = 0
        self._limits_are_set = self._counted = False
        self._on_left_us = 0
        self._granted_us = 0
        self._rested_us = CEILING.off_us  # a start takes far longer than that, and it is dark
        self._ledger = Ledger()

    def pass_time(self, us: int) -> None:
        """End light that has lasted too long, and trip if the lease ends."""
        self._ledger.pass_time(us, lit=self.lit)
        if self.lit:
            self._on_left_us = max(0, self._on_left_us - us)
            self._granted_us = max(0, self._granted_us - us)
            if self._on_left_us == 0 or self._granted_us == 0:
                self.fall()
        else:
            self._rested_us += min(us, max(0, self.limits.off_us - self._rested_us))
        if self.state is _ARMED:
            self.lease_left_us = max(0, self.lease_left_us - us)
            if self.lease_left_us == 0:
                self.go(Reason.LEASE_EXPIRED)

    @property
    def due_us(self) -> int:
        """How long until `pass_time` has something to end."""
        if self.state is not _ARMED:
            return NEVER
        return min(self.lease_left_us, self._on_left_us, self._granted_us) if self.lit else self.lease_left_us

    def set_limits(self, wanted: Limits) -> None:
        """Take the tighter of these and the ceiling, unless armed."""
        if self.state is not _ARMED:
            self.limits = tighter(wanted)
            self._limits_are_set = True

    def arm(self) -> Reason:
        """Arm, and clear a trip; NONE, or why not."""
        if not self._limits_are_set or self.limits.lease_ms == 0:
            return Reason.LIMITS_UNSET
        if not self.closed:
            return Reason.INTERLOCK_OPEN
        self.go(_ARM)
        return Reason.NONE

    def heartbeat(self) -> None:
        """The lease starts anew if armed."""
        if self.state is _ARMED:
            self.lease_left_us = self.limits.lease_ms * 1000

    def go(self, cause: Reason) -> None:
        """Follow the table; every way but Arm is dark."""
        before = self.state
        self.state = NEXT[before][cause]
        if self.state is _ARMED:
            self.heartbeat()
            return
        self.end()
        self.lease_left_us = 0
        if self.state is _TRIPPED and before is not _TRIPPED:
            self.trip_reason = cause

    def set_gate(self, is_open: bool) -> None:
        """The external gate; shutting it ends light and the train in hand, and trips nothing."""
        self.gate_open = is_open
        if not is_open:
            self.end()

    def ready(self) -> Reason:
        """Whether a train could begin at all, as far as the state goes."""
        if not self.closed:
            return Reason.INTERLOCK_OPEN
        if self.state is not _ARMED:
            return Reason.NOT_ARMED
        if not self.gate_open:
            return Reason.GATE_CLOSED
        return Reason.BUSY if self._granted_us > 0 else Reason.NONE

    def grant(self, train: Request) -> Reason:
        """Grant a train its light, all of it or none: NONE, or the first limit against it."""
        reason = self.ready() or self._limit_against(train)
        if reason is Reason.NONE:
            self._granted_us = train.light_us
            self._counted = False
        return reason

    def _limit_against(self, train: Request) -> Reason:
        limits, ledger = self.limits, self._ledger
        checks = (
            (Reason.BAD_REQUEST, 0 in (train.pulses, train.on_us, train.level)),
            (Reason.ON_TIME, train.on_us + train.ramp_off_us > limits.on_us),
            (Reason.OFF_TIME, limits.off_us - self._rested_us > train.wait_us),
            (Reason.LEVEL, train.level > limits.level),
            (Reason.DUTY_SHORT, train.light_us > limits.short_on_ms * 1000 - ledger.short_us),
            (Reason.DUTY_LONG, train.light_us > limits.long_on_ms * 1000 - ledger.long_us),
            (Reason.TRAIN_RATE, ledger.trains >= limits.trains_per_minute),
        )
        return next((reason for reason, holds in checks if holds), Reason.NONE)

    def rise(self) -> bool:
        """Light on, if that is allowed now."""
        rested = self._rested_us >= self.limits.off_us
        if self.ready() not in {Reason.NONE, Reason.BUSY} or self._granted_us == 0 or self.lit or not rested:
            return False
        if not self._counted:
            self._ledger.add_train()
            self._counted = True
        self.lit = True
        self._on_left_us = self.limits.on_us
        return True

    def fall(self) -> None:
        """Light off; the train may rise again."""
        if self.lit:
            self._rested_us = 0
        self.lit = False
        self._on_left_us = 0

    def end(self) -> None:
        """Light off, and the train is over: what it did not give is taken back."""
        self.fall()
        self._granted_us = 0
