"""What is said of a session: one word, one sentence, and figures. Nothing is read or judged here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from closedloop.train import Refusal
from closedloop.wire import Reason

BLOCK = "session"  # protocols have no blocks


class State(Enum):
    """How the session stands; the value is the word that is shown."""

    STARTING = "STARTING"
    WARM_UP = "WARM-UP"
    READY = "READY TO ARM"
    ARMING = "ARMING"
    ARMED = "ARMED"
    LIT = "LIGHT ON"
    VETOED = "SIGNAL VETO"
    PAUSED = "PAUSED"
    UNWIRED = "NO STIMULATOR"  # warm, and this rig cannot give light
    TRIPPED = "TRIPPED"
    DEVICE_LOST = "DEVICE LOST"
    STOPPED = "STOPPED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    BROKEN_OFF = "BROKEN OFF"
    UNREADABLE = "CANNOT READ"


class Line(NamedTuple):
    """How a board is heard: ok, late, silent, lost, ended, or none (nothing is known); and that in words."""

    state: str
    words: str


UNHEARD = Line("none", "nothing heard yet")


@dataclass(frozen=True)
class Status:
    """One look at a session.

    Attributes:
        state: the word.
        reason: why, and what to do, in a sentence.
        elapsed_s: of sample time.
        left_s: of the planned sample time; None where it is unknown or over.
        block: part of the protocol.
        is_recording: whether an engine is writing now.
        size_bytes: of the session's folder.
        free_s: until the disk is full, at the rate of this session; None where it is unknown or nothing is recorded.
        free_bytes: on that disk, likewise.
        daq: how it is heard.
        stimulator: how it is heard; None where the rig has none.
        heartbeat_age_s: how long the stimulator has had no proof of life, see standing.py; None where it is unknown.
        disk_low: less than half an hour or 500 MB is left.
        is_armed: the board said so, and nothing has ended it since; also where the word is of light or a veto.
    """

    state: State
    reason: str
    elapsed_s: float = 0.0
    left_s: float | None = None
    block: str = BLOCK
    is_recording: bool = False
    size_bytes: int = 0
    free_s: float | None = None
    free_bytes: int | None = None
    daq: Line = UNHEARD
    stimulator: Line | None = None
    heartbeat_age_s: float | None = None
    disk_low: bool = False
    is_armed: bool = False


_VETOES = {
    Refusal.GAP: "readings were missing: check the USB cable, and what else keeps this computer busy",
    Refusal.DROPPED: "readings lost a part, or the LEDs their order: check the DAQ's supply and its LED driver",
    Refusal.SATURATED: "the signal is at the converter's top: lower the LED power or the detector's gain",
    Refusal.FLAT: "one and the same count over and over: is the detector on, and connected to the DAQ?",
    Refusal.UNPLUGGED: "the signal fell far below its level: is the fibre plugged in?",
    Refusal.JUMP: "the signal leapt far above its level: was the fibre touched, or a lamp switched on?",
    Refusal.NO_SIGNAL: "nothing but noise so far: is the fibre connected, and are the LEDs on?",
    Refusal.BELOW_DARK: "the signal is no brighter with its LED on than off: is the LED lit and on its own socket?",
}
_TRIPS = {
    Reason.LEASE_EXPIRED: "no heartbeat came in time: check the DAQ's cable and what else this computer does",
    Reason.INTERLOCK_OPEN: "the interlock is open: look at lid, key and stop button",
    Reason.NOT_ARMED: "the stimulator did not let itself be armed: look at its interlock and supply",
    Reason.LIMITS_UNSET: "the stimulator knows no limits: it restarted; look at its supply",
    Reason.HOST_DARK: "the stimulator was told to be dark",
    Reason.HOST_DISARMED: "the stimulator was disarmed",
    Reason.GATE_CLOSED: "the external gate forbids light: look at what drives it",
    Reason.BAD_REQUEST: "the stimulator did not understand what it was asked: do its firmware and this program match?",
}


def veto_words(code: int) -> str:
    """What a veto means and what to do, by its number in the rows."""
    try:
        reason = Refusal(code)
    except ValueError:
        return f"veto {code}, which this version does not know: update closedloop"
    return _VETOES.get(reason, f"not fit to act on: {plain(reason.name)}")


def trip_words(name: str | None) -> str:
    """What a trip means and what to do, by the reason that the board gave."""
    known = {reason.name.lower(): words for reason, words in _TRIPS.items()}
    said = known.get(name or "", f"the stimulator tripped: {plain(name or 'it gave no reason')}")
    return f"{said}; then start a new session"


def plain(name: str) -> str:
    """A name as words."""
    return name.lower().replace("_", " ")
