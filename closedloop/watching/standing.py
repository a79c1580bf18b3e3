"""How a session stands, judged from what was recorded. It decides nothing about light, and guesses nothing.

Of a blinded session it says which train is planned now, and not whether it is lit; light that no plan explains is said.

An age is judged only while the session runs and all of it has been read. Light is what the stimulator told and what
the readings' copy of its output shows.

The heartbeat's age is what the newest row of health tells (its time less the heartbeat's), plus any silence of the
engine since then beyond the quarter of a second between two such rows, in whole hundredths of a second, rounded up. So
it rests at the time between two heartbeats while all is well, and grows with the clock when readings stop or the engine
hangs.
"""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np

from closedloop.arming import Phase
from closedloop.deliveries import ON_BOARD
from closedloop.model import Quantity, Seconds
from closedloop.readings import FLAG_LIGHT
from closedloop.recording import Event
from closedloop.recording.folder import SUMMARY
from closedloop.recording.layout import DType, Layout
from closedloop.steps import RESTARTED, WARM
from closedloop.watching.follower import Fresh, Stage
from closedloop.watching.planned import Planned, PlannedTrain
from closedloop.watching.status import UNHEARD, Line, State, Status, trip_words, veto_words

DAQ, STIMULATOR = "daq", "stimulator"

_SECOND_NS = 1_000_000_000
_LATE_S, _LATE_PERIODS, _SILENT_S = 0.3, 5, 2.0  # without a reading
_ASKED_S, _UNHEARD_S = 2.5, 5.0  # without a word of the stimulator, which is asked for its clock once a second
_HEALTH_S = 0.25  # between two rows of health
_SEEN_S = 0.25  # light that is shorter would be over before anybody saw the word
_UNTOLD_S = 1.0  # after its planned end, a train whose end was not told is over
_LOW_S, _LOW_BYTES = 1800.0, 500_000_000
_AND_EVENTS = 1.1  # events and health beside the readings


_CATCHING_UP = "reading what was recorded so far"
_PHASE_OF_NOTE = {"ready": Phase.READY, "disarmed": Phase.READY, "arm": Phase.ARMING, "armed": Phase.RUNNING}
_WILL_ARM = {"arm_asked": True, "disarmed": False}  # as soon as warm-up is over
_PAUSED = {"paused": True, "resumed": False}
_STATE_OF_PHASE = {Phase.READY: State.READY, Phase.ARMING: State.ARMING, Phase.RUNNING: State.ARMED}
_STATE_OF_ENDING = {
    "completed": State.COMPLETED,
    "stopped": State.STOPPED,
    "tripped": State.TRIPPED,
    "device_lost": State.DEVICE_LOST,
    "broken_off": State.BROKEN_OFF,  # as `recover` closes it
}
_WORDS_OF_STATE = {
    State.READY: "warm-up is over: arm when animal and room are ready",
    State.ARMING: "the stimulator is asked to arm",
    State.ARMED: "light is given when the protocol decides",
    State.PAUSED: "dark, and the block's clock stands still; Resume goes on, and arms again what was armed",
}


class Look(NamedTuple):
    """What is known of the session from outside its tables, at one moment.

    Attributes:
        stage: of the recording.
        problem: why it cannot be read, in words.
        summary: how it ended, or None.
        size_bytes: of its folder.
        caught_up: whether all rows that are there have been taken in.
        now_ns: the host's monotonic clock.
    """

    stage: Stage
    problem: str
    summary: dict[str, Any] | None
    size_bytes: int
    caught_up: bool
    now_ns: int


class Standing:
    """The little that must be remembered of a session to say how it stands.

    Args:
        folder: the session's, for the space on its disk.
        header: the recording's; empty until the session has begun.
    """

    def __init__(self, folder: Path, header: dict[str, Any]) -> None:
        self._header = header
        self._period_s = 1000 / header["rate_mhz"] if header.get("rate_mhz") else 0.0
        self._warm_up_s = _warm_up_s(header)
        self._wired = STIMULATOR in header.get("boards", {})
        self._disk = _Disk(folder, 0.0 if not self._period_s else float(header.get("speed") or 1) / self._period_s)
        self._light = _Light(_span_s(header))
        self._row: Any = None
        self._health: Any = None
        self._warm_from_s = 0.0
        self._will_arm = self._wired and not header.get("by_hand", False)
        self._phase, self._phase_ns = Phase.WARMING, 0
        self._trip: Event | None = None
        self._by_plan = _ByPlan(_span_s(header)) if header.get("blinded") else None
        self._output_high = False
        self._is_paused = False

    def add(self, fresh: Fresh) -> None:
        """Take in what was recorded since."""
        if self._by_plan is not None:
            self._by_plan.add(fresh)
        for event in fresh.events:
            self._hear(event)
        if len(fresh.health):
            self._health = fresh.health[-1]
            self._enter(int(self._health["phase"]), int(self._health["host_ns"]))
        if len(fresh.rows):
            self._row = fresh.rows[-1]
            self._output_high = fresh.output_high or bool(self._row["flags"] & FLAG_LIGHT)
            self._disk.row_dtype = fresh.rows.dtype
            restarted = np.flatnonzero(fresh.rows["bits"] & RESTARTED)
            if len(restarted):
                self._warm_from_s = float(fresh.rows["ticks"][restarted[-1]]) / 1e6

    def status(self, look: Look) -> Status:
        """How the session stands at this moment."""
        running = look.stage is Stage.RUNNING
        state, reason = self._word(look)
        free_bytes, free_s = self._disk.free(look.now_ns) if running else (None, None)
        low = (free_s is not None and free_s < _LOW_S) or (free_bytes is not None and free_bytes < _LOW_BYTES)
        return Status(
            state=state,
            reason=reason,
            elapsed_s=self._elapsed_s,
            left_s=self._left_s if running else None,
            is_recording=running,
            size_bytes=look.size_bytes,
            free_s=free_s,
            free_bytes=free_bytes,
            daq=self._daq(look),
            stimulator=self._stimulator(look) if self._wired else None,
            heartbeat_age_s=self._heartbeat_age_s(look),
            disk_low=low,
            is_armed=running and look.caught_up and self._phase is Phase.RUNNING and self._trip is None,
        )

    # What is remembered

    def _hear(self, event: Event) -> None:
        self._light.hear(event)
        if event.kind == "trip":
            self._trip = event
        elif event.kind == "note":
            self._will_arm = _WILL_ARM.get(event.reason or "", self._will_arm)
            self._is_paused = _PAUSED.get(event.reason or "", self._is_paused)
            if event.reason in _PHASE_OF_NOTE:
                self._enter(_PHASE_OF_NOTE[event.reason], event.host_ns)

    def _enter(self, phase: int, at_ns: int) -> None:
        """Rows of health and events tell the phase; the newer of them holds."""
        if at_ns >= self._phase_ns and phase in list(Phase):
            self._phase, self._phase_ns = Phase(phase), at_ns

    @property
    def _last_s(self) -> float:
        return 0.0 if self._row is None else float(self._row["ticks"]) / 1e6

    @property
    def _elapsed_s(self) -> float:
        return 0.0 if self._row is None else self._last_s + self._period_s

    @property
    def _left_s(self) -> float | None:
        expected_s = self._header.get("expected_s")
        return None if expected_s is None else max(0.0, float(expected_s) - self._elapsed_s)

    # The word

    def _word(self, look: Look) -> tuple[State, str]:
        match look.stage:
            case Stage.UNREADABLE:
                return State.UNREADABLE, look.problem
            case Stage.WAITING:
                return State.STARTING, look.problem or "the boards are being asked; the first reading is awaited"
            case Stage.FINISHED:
                return self._ended(look.summary or {})
            case Stage.BROKEN_OFF if SUMMARY in look.problem:
                return State.BROKEN_OFF, f"how it ended cannot be read: {look.problem}"
            case Stage.BROKEN_OFF:
                said = "the engine ended without closing the session; a board that it had armed went dark by its lease"
                return State.BROKEN_OFF, said
            case _:
                return self._running(look)

    def _ended(self, summary: dict[str, Any]) -> tuple[State, str]:
        state = _STATE_OF_ENDING.get(str(summary.get("ended")), State.FAILED)
        if state is State.TRIPPED and self._trip is not None:
            return state, trip_words(self._trip.reason)
        return state, str(summary.get("reason") or "no reason was recorded")

    def _running(self, look: Look) -> tuple[State, str]:
        if self._trip is not None:
            return State.TRIPPED, trip_words(self._trip.reason)
        if self._phase is Phase.ENDED:
            return State.STOPPED, "dark; the recording is being closed"
        if self._row is None:
            return State.STARTING, "the first reading is awaited"
        if not look.caught_up:
            return State.STARTING, _CATCHING_UP
        train = self._light.lit(self._last_s)
        if train is not None:
            return State.LIT, _train_words(train)
        if self._output_high and (self._by_plan is None or not self._by_plan.explains(self._last_s)):
            return State.LIT, self._unknown_light()
        return self._without_light(int(self._row["veto"]))

    def _unknown_light(self) -> str:
        said = "the readings show the stimulator's output high"
        return said if self._phase is Phase.RUNNING else f"{said}, and it is not armed: look at the light source"

    def _without_light(self, veto: int) -> tuple[State, str]:
        if self._is_paused:
            return State.PAUSED, _WORDS_OF_STATE[State.PAUSED]
        warm = bool(self._row["bits"] & WARM)
        if veto and warm and (self._phase is not Phase.WARMING or not self._wired):
            return State.VETOED, veto_words(veto)
        if not warm:
            left_s = max(0.0, self._warm_up_s - (self._last_s - self._warm_from_s))
            said = f"the baseline is being learned: {left_s:.0f} s left"
            if self._phase is Phase.WARMING and self._will_arm:
                said += ", then armed by itself"
            return self._phase_word(f"{said}; {veto_words(veto)}" if veto else said)
        if self._phase is Phase.WARMING and self._wired:
            return State.WARM_UP, veto_words(veto) if veto else "warm-up is over; waits for a reading fit to act on"
        return self._phase_word()

    def _phase_word(self, said: str = "") -> tuple[State, str]:
        warm = bool(self._row["bits"] & WARM)
        if self._phase is Phase.WARMING and warm and not self._wired:
            return State.UNWIRED, said or "this rig has no stimulator: trains are refused, the recording goes on"
        state = _STATE_OF_PHASE.get(self._phase, State.WARM_UP)
        planned = None if self._by_plan is None else self._by_plan.now(self._last_s)
        if planned is not None and state is State.ARMED:
            said = f"train {planned}, by plan; the session is blinded: whether it is lit is not shown"
        return state, said or _WORDS_OF_STATE.get(state, "")

    # The lines

    def _daq(self, look: Look) -> Line:
        if look.stage is not Stage.RUNNING:
            return self._off_line(look, DAQ)
        if self._row is None:
            return Line("none", "no reading yet")
        if not look.caught_up:
            return Line("none", _CATCHING_UP)
        age_s = _age_s(look.now_ns, int(self._row["host_ns"]))
        return _line(age_s, max(_LATE_S, _LATE_PERIODS * self._period_s), _SILENT_S, "readings arrive", "no reading")

    def _stimulator(self, look: Look) -> Line:
        if look.stage is not Stage.RUNNING:
            return self._off_line(look, STIMULATOR)
        heard_ns = 0 if self._health is None else int(self._health["stimulator_heard_ns"])
        if not heard_ns:
            return Line("none", "not heard yet")
        return _line(_age_s(look.now_ns, heard_ns), _ASKED_S, _UNHEARD_S, "it answers", "no answer")

    def _off_line(self, look: Look, board: str) -> Line:
        """A board of a session that does not run."""
        if look.stage in (Stage.WAITING, Stage.UNREADABLE):
            return UNHEARD
        summary = look.summary or {}
        if summary.get("ended") == "device_lost" and self._names(board, str(summary.get("reason"))):
            return Line("lost", str(summary["reason"]))
        return Line("ended", "the session is over")

    def _names(self, board: str, reason: str) -> bool:
        """Whether a reason speaks of this board, by its role or its port."""
        part = self._header.get("rig", {}).get(board)
        port = part.get("port") if isinstance(part, dict) else None
        return board in reason.lower() or bool(port and port != "simulated" and port in reason)

    def _heartbeat_age_s(self, look: Look) -> float | None:
        health = self._health
        if look.stage is not Stage.RUNNING or not self._wired or health is None or not health["heartbeat_ns"]:
            return None
        told_ns = int(health["host_ns"])
        heard_ns = told_ns if self._row is None else max(told_ns, int(self._row["host_ns"]))
        since_s = max(0.0, _age_s(look.now_ns, heard_ns) - _HEALTH_S)
        age_s = _age_s(told_ns, int(health["heartbeat_ns"])) + since_s
        return math.ceil(round(100 * age_s, 6)) / 100


class _Light:
    """Which train is lit now, as told."""

    def __init__(self, span_s: float) -> None:
        self._span_s = span_s
        self._train: int | None = None
        self._on_s = 0.0
        self._reason: str | None = None
        self._over = True

    def hear(self, event: Event) -> None:
        if event.kind == "light_on":
            self._train, self._on_s, self._over = event.train or 0, event.ticks / 1e6, False
            self._reason = event.reason
        elif event.kind == "light_off" and (event.train or 0) == self._train:
            self._over = True

    def lit(self, now_s: float) -> str | None:
        """The train that is lit, in words' terms: its number, or where it came from; None if all is dark."""
        if self._train is None:
            return None
        longest_s = _SEEN_S if self._over else self._span_s + _UNTOLD_S
        if now_s - self._on_s > longest_s:
            return None
        return ON_BOARD if self._reason == ON_BOARD else str(self._train)


class _ByPlan:
    """Which train is planned now."""

    def __init__(self, span_s: float) -> None:
        self._span_s = span_s
        self._planned = Planned()
        self._last: PlannedTrain | None = None

    def add(self, fresh: Fresh) -> None:
        plans = self._planned.add(fresh)
        if plans.made:
            self._last = plans.made[-1]
        if self._last in plans.taken_back:
            self._last = None

    def now(self, now_s: float) -> int | None:
        """Its number; None while there is none."""
        last = self._last
        return last.train if last is not None and 0 <= now_s - last.on_s <= max(self._span_s, _SEEN_S) else None

    def explains(self, now_s: float) -> bool:
        """Whether a planned train may be what is seen of light."""
        last = self._last
        return last is not None and last.decided_s <= now_s <= last.on_s + self._span_s + _UNTOLD_S


class _Disk:
    """Space on the session's disk, asked for at most once a second."""

    def __init__(self, folder: Path, rows_hz: float) -> None:
        self.row_dtype: DType | None = None
        self._folder = folder
        self._rows_hz = rows_hz
        self._asked_ns: int | None = None
        self._free_bytes: int | None = None

    def free(self, now_ns: int) -> tuple[int | None, float | None]:
        """Bytes that are free, and for how many seconds they last."""
        if self._asked_ns is None or not 0 <= now_ns - self._asked_ns < _SECOND_NS:
            self._asked_ns = now_ns
            self._free_bytes = _free_bytes(self._folder)
        if self._free_bytes is None or self.row_dtype is None or not self._rows_hz:
            return self._free_bytes, None
        bytes_a_second = Layout.of(self.row_dtype).stride * self._rows_hz * _AND_EVENTS
        return self._free_bytes, self._free_bytes / bytes_a_second


def _free_bytes(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _line(age_s: float, late_s: float, silent_s: float, well: str, ill: str) -> Line:
    if age_s < late_s:
        return Line("ok", well)
    if age_s < silent_s:
        return Line("late", f"{ill} for {age_s:.1f} s")
    return Line("silent", f"{ill} for {age_s:.0f} s: check its cable and power")


def _age_s(now_ns: int, then_ns: int) -> float:
    return max(0.0, (now_ns - then_ns) / _SECOND_NS)


def _train_words(train: str) -> str:
    return "a train begun by the trigger line" if train == ON_BOARD else f"train {train}"


def _span_s(header: dict[str, Any]) -> float:
    """From a train's first light to its last, by plan."""
    command = header.get("command")
    if not command:
        return 0.0
    rest_us = (int(command["pulses"]) - 1) * int(command["period_us"])
    return float(rest_us + int(command["on_us"]) + int(command["ramp_off_us"])) / 1e6


def _warm_up_s(header: dict[str, Any]) -> float:
    """The protocol's warm-up, which the header holds as text with its unit; 0 where it does not."""
    text = header.get("protocol", {}).get("warm_up")
    quantity = get_args(Seconds)[1]
    try:
        return float(quantity.parse(text)) if isinstance(quantity, Quantity) else 0.0
    except (TypeError, ValueError):
        return 0.0
