"""Whether light may be given at all: when the board is asked to arm, and who has to say so. Nothing here gives light.

WARMING --(first reading fit to act on)--> READY --(nobody has to be waited for)--> ARMING --(board says armed)-->
RUNNING
RUNNING or ARMING --(a person disarms or pauses)--> READY, which only a person leaves again
any state --(the session ends)--> ENDED, which nothing leaves
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from closedloop import wire
from closedloop.logbook import Logbook

_ANSWER_NS = 2_000_000_000


class Phase(IntEnum):
    """Where the session is, as rows of health number it."""

    WARMING = 1
    READY = 2
    ARMING = 3
    RUNNING = 4
    ENDED = 5

    @property
    def words(self) -> str:
        """For people."""
        return _WORDS[self]


_WORDS = {
    Phase.WARMING: "in warm-up",
    Phase.READY: "ready to arm",
    Phase.ARMING: "being armed",
    Phase.RUNNING: "armed",
    Phase.ENDED: "over",
}


class Arming:
    """The phase of one session.

    Args:
        log: where every step is written down.
        tell: writes a message to the stimulator.
        wired: whether there is a stimulator; without one nothing is ever armed.
        by_hand: whether a person has to say so.

    Attributes:
        phase: where the session is.
    """

    def __init__(self, log: Logbook, tell: Callable[[wire.Message], None], *, wired: bool, by_hand: bool) -> None:
        self.phase = Phase.WARMING
        self._log = log
        self._tell = tell
        self._wired = wired
        self._may_arm = not by_hand
        self._asked_ns = 0
        self._armed_when_paused = False

    def warm(self, now_ns: int) -> None:
        """A reading is fit to act on."""
        if self.phase is not Phase.WARMING or not self._wired:
            return
        self.phase = Phase.READY
        if self._may_arm:
            self._arm(now_ns)
        else:
            self._log.note("ready", "warm-up is over: waits for a person to arm", now_ns)

    def ask(self, now_ns: int) -> None:
        """A person arms."""
        if not self._wired:
            self._log.note("order_refused", "arm: this rig gives no light", now_ns)
        elif self.phase is Phase.WARMING:
            self._may_arm = True
            self._log.note("arm_asked", "to be armed as soon as warm-up is over", now_ns)
        elif self.phase is Phase.READY:
            self._log.note("arm_asked", "armed by hand", now_ns)
            self._arm(now_ns)
        else:
            self._log.note("order_refused", f"arm: the session is {self.phase.words} already", now_ns)

    def disarm(self, now_ns: int) -> None:
        """A person disarms; no way leads from here to light but a person's `ask`."""
        self._may_arm = False
        self._armed_when_paused = False
        if self.phase in (Phase.ARMING, Phase.RUNNING):
            self.phase = Phase.READY
            self._tell(wire.Disarm())
        self._log.note("disarmed", "disarmed by hand: dark until armed again", now_ns)

    def pause(self, now_ns: int) -> None:
        """A person pauses: dark, and armed again by nobody but a person."""
        self._armed_when_paused = self.phase in (Phase.ARMING, Phase.RUNNING)
        if self._armed_when_paused:
            self.phase = Phase.READY
            self._tell(wire.Disarm())
        self._log.note("paused", "paused by hand: dark, and the blocks' clock stands still", now_ns)

    def resume(self, now_ns: int) -> None:
        """A person goes on, and arms again what was armed when it was paused."""
        self._log.note("resumed", "resumed by hand", now_ns)
        if self._armed_when_paused and self.phase is Phase.READY:
            self._arm(now_ns)
        self._armed_when_paused = False

    def is_confirmed(self, status: wire.Status, now_ns: int) -> bool:
        """Take the board's word; False if it is tripped, or does not arm though asked."""
        if status.state == wire.State.ARMED and self.phase is Phase.ARMING:
            self.phase = Phase.RUNNING
            self._log.note("armed", "the stimulator is armed", now_ns)
            return True
        return status.state != wire.State.TRIPPED and self.phase is not Phase.ARMING

    def is_overdue(self, now_ns: int) -> bool:
        """Whether the board was asked to arm, and has not answered for too long."""
        return self.phase is Phase.ARMING and now_ns - self._asked_ns > _ANSWER_NS

    def _arm(self, now_ns: int) -> None:
        self.phase = Phase.ARMING
        self._asked_ns = now_ns
        self._tell(wire.Arm())
        self._log.note("arm", "the stimulator is asked to arm", now_ns)
