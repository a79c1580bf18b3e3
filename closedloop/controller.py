"""One session's traffic: messages in; commands, rows and events out. No thread, no clock, and no port is read here.

The order within one arrival is the order of its worth: decide, command light, prove to the stimulator that a good
reading came, and only then write down what happened. Time is given by the caller, so the same controller runs on wall
time with serial ports and on virtual time with emulated boards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from closedloop import control, wire
from closedloop.arming import Arming, Phase
from closedloop.changes import TEST_PULSE, THRESHOLD
from closedloop.deciding import TEST
from closedloop.deliveries import Deliveries
from closedloop.errors import DeviceError
from closedloop.intake import Intake
from closedloop.limits import Command
from closedloop.logbook import Logbook, Recorder
from closedloop.loop import Loop
from closedloop.policies import FIRE
from closedloop.readings import MOST_AT_ONCE, Readings
from closedloop.schedule import OVER
from closedloop.steps import VALID, WARM, Steps, told
from closedloop.timekeeper import DAQ, STIMULATOR, Timekeeper
from closedloop.train import Refusal
from closedloop.vitals import Vitals

_HEARTBEAT_US = 10_000  # of sample time between heartbeats
_STALE_NS = 100_000_000  # a reading that is older than this when it is understood is too old to act on
_FIT = VALID | WARM
_AT_ONCE = -1
_U32 = (1 << 32) - 1
_REFUSALS = tuple(Refusal)  # by number; quicker than Refusal(number)


class Ending(NamedTuple):
    """How a session ended: completed, stopped, tripped or device_lost; and why, in words."""

    how: str
    reason: str


class Sender(Protocol):
    """What carries messages to a board."""

    def send(self, message: wire.Message) -> None:
        """Write one message.

        Raises:
            DeviceError: the board is gone.
        """


class _Newest(NamedTuple):
    """Of an arrival's last reading."""

    ticks: int
    seq: int


@runtime_checkable
class QuickSender(Sender, Protocol):
    """A line that can pack messages before they are needed."""

    def make_ready(self, *messages: wire.Message) -> None:
        """These may be sent next; what was made ready before is forgotten."""


@dataclass(frozen=True)
class Orders:
    """What the controller is to do; fixed for the session."""

    rate_hz: float
    decisions: tuple[str, ...]  # all that may be decided, number 1 first
    duration_us: int | None
    real_time: bool  # False when a recording is played faster than it was made
    input_names: tuple[str, ...] = ()
    by_hand: bool = False  # whether arming waits for a person
    by_board: bool = False  # whether the DAQ board detects by itself, by a threshold of its own
    command: Command | None = None  # the session's train, for those that are planned; None where none is
    blocks: tuple[str, ...] = ()  # the names of the session's blocks


class Controller:
    """Decides nothing that the loop does not decide, and forgets nothing that the boards report."""

    def __init__(
        self,
        orders: Orders,
        loop: Loop,
        daq: Sender,
        stimulator: Sender | None,
        recorder: Recorder,
        now_ns: Callable[[], int],
        wall_ns: Callable[[], int] | None = None,
    ) -> None:
        """Take the loop and the lines; `stimulator` is None where the rig has none, and then nothing is ever armed.

        `now_ns` is the host's monotonic clock, for everything; `wall_ns` the one that people set, for the record alone.
        """
        self.ending: Ending | None = None
        self.counter = Intake()
        self.sent_by_board: int | None = None
        self.statistics: dict[str, wire.Statistics] = {}
        self._orders = orders
        self._lit_codes = {at for at, name in enumerate(orders.decisions, 1) if name in (FIRE, TEST)}
        self._loop = loop
        self._boards = {DAQ: daq} | ({STIMULATOR: stimulator} if stimulator else {})
        self._quick = stimulator if isinstance(stimulator, QuickSender) else None
        self._recorder = recorder
        self._log = Logbook(recorder, orders.input_names, orders.blocks)
        self._times = Timekeeper(tuple(self._boards), real_time=orders.real_time)
        self._now_ns = now_ns
        self._wall_ns = wall_ns
        self._wired = STIMULATOR in self._boards
        self._arming = Arming(self._log, self._tell, wired=self._wired, by_hand=orders.by_hand)
        self._deliveries = Deliveries(self._log, self._times, self.counter)
        self._paused = False
        self._missing = 0  # readings, as told so far
        self._last_train = 0
        self._next_heartbeat = 0
        self._vitals = Vitals(self._times, orders.rate_hz, lit=self._wired)
        self._answers: dict[type[Any], Callable[[Any, int], None]] = {
            wire.Started: self._deliveries.on_started,
            wire.Fired: self._deliveries.on_fired,
            wire.Refused: self._on_refused,
            wire.Trip: self._on_trip,
            wire.Status: self._on_status,
        }

    # Readings

    def daq_messages(self, messages: list[wire.Message], now_ns: int) -> None:
        """What the DAQ said, in the order it said it, at the moment its bytes were read."""
        readings = [m for m in messages if type(m) is wire.Reading]
        for at in range(0, len(readings), MOST_AT_ONCE):
            self.arrival(self.counter.accept(readings[at : at + MOST_AT_ONCE]), [], now_ns)
        self.arrival(self.counter.accept([]), [m for m in messages if type(m) is not wire.Reading], now_ns)

    def arrival(self, readings: Readings, others: list[wire.Message], now_ns: int) -> None:
        """The same, with the new readings as rows; `counter` has counted them."""
        if len(readings) or others:
            self._vitals.heard_ns[DAQ] = now_ns
        if len(readings):
            self._on_readings(readings, now_ns)
        for message in others:
            if isinstance(message, wire.StreamEnd):
                self.sent_by_board = message.sent
                self.end("completed", "the stream ended")
            elif isinstance(message, wire.StreamSettings):
                self.end("device_lost", "the DAQ began its stream anew in mid-session; start the session again")
            else:
                self._on_common(message, DAQ, now_ns)

    def _on_readings(self, readings: Readings, now_ns: int) -> None:
        steps = self._loop.take(readings)
        trains = steps["train"].tolist()
        newest = _Newest(*readings[-1].item()[:2])
        if any(trains):
            self._act(readings, steps, trains, now_ns)
        self._prove_life(newest, now_ns)
        age_ns = self._age_ns(newest.ticks, now_ns)
        missing, self._missing = self.counter.missing - self._missing, self.counter.missing
        self._log.keep(readings, steps, missing, now_ns)
        self._after(readings, steps, newest, now_ns)
        self._make_ready(max(trains), newest.seq + 1)
        self._vitals.pace.count(len(readings), age_ns, self._now_ns() - now_ns)

    def _age_ns(self, ticks: int, now_ns: int) -> float:
        return self._times.age_ns(self.counter.first_ticks + ticks, now_ns)

    def _act(self, readings: Readings, steps: Steps, trains: list[int], now_ns: int) -> None:
        """Command what these steps want, first of all things."""
        for at, train in enumerate(trains):
            if train:
                ticks = readings["ticks"].item(at)
                self._carry_out(train, steps[at], ticks, self._age_ns(ticks, now_ns), now_ns)

    def _make_ready(self, train: int, seq: int) -> None:
        """What may have to be said at the next reading, packed beforehand, while nothing waits."""
        self._last_train = max(self._last_train, train)
        if self._quick is not None:
            self._quick.make_ready(wire.Begin(self._last_train + 1), wire.Heartbeat(seq & _U32))

    def _carry_out(self, train: int, step: Any, ticks: int, age_ns: float, now_ns: int) -> None:
        """Send what one step wants; only then write down detection, decision, and command or refusal."""
        decision, refused = int(step["decision"]), _REFUSALS[step["refused"]]
        fires = not refused and decision in self._lit_codes
        if decision and not refused and (fires or self._wired):
            refused = self._live_refusal(age_ns)
        sent_ns = None
        if fires and not refused:
            start = self._start_of(ticks, int(step["ahead"]))
            refused = Refusal.NO_CLOCK if start is None else refused
            sent_ns = None if start is None else self._fire(train, start)
        for kind, reason, value in told(step, self._orders.decisions, refused):
            self._log.event(kind, now_ns, ticks, train=train, reason=reason, value=value)
        if sent_ns is not None:
            self._log.event("command", sent_ns, ticks, train=train, value=(sent_ns - now_ns) / 1000)

    def _live_refusal(self, age_ns: float) -> Refusal:
        """What only a live run can know: is the board armed, and is the reading fresh?"""
        if self.phase is not Phase.RUNNING:
            return Refusal.NOT_ARMED
        if self._orders.real_time and age_ns > _STALE_NS:
            return Refusal.STALE
        return Refusal.NONE

    def _start_of(self, ticks: int, ahead_us: int) -> int | None:
        """Tick of the stimulator at which a train begins: _AT_ONCE, or None while its clock is not known."""
        if not ahead_us:
            return _AT_ONCE
        first = self.counter.first_ticks + ticks + ahead_us
        if self._boards.get(STIMULATOR) is self._boards[DAQ]:
            return first % (1 << 32)  # one board, one clock
        return self._times.ticks_of(STIMULATOR, DAQ, first)

    def _fire(self, train: int, start: int) -> int:
        c = self._orders.command
        if start != _AT_ONCE and c is not None:
            self._tell(wire.Fire(train, c.on_us, c.period_us, c.pulses, c.level, c.ramp_off_us, 1, start))
        else:
            self._tell(wire.Begin(train))
        sent_ns = self._now_ns()
        self._deliveries.command(train, sent_ns)
        return sent_ns

    def _prove_life(self, newest: _Newest, now_ns: int) -> None:
        """A heartbeat, because a good reading arrived; never because time passed."""
        if self.ending is not None or newest.ticks < self._next_heartbeat:
            return
        self._next_heartbeat = newest.ticks + _HEARTBEAT_US
        self._vitals.heartbeat_ns = now_ns
        self._tell(wire.Heartbeat(newest.seq))

    def _after(self, readings: Readings, steps: Steps, newest: _Newest, now_ns: int) -> None:
        """What a reading sets going once it is recorded: the first one, arming, the end."""
        self._vitals.reading(now_ns)
        if self.counter.received == len(readings):
            self._log.event("note", now_ns, 0, reason="first_reading", value=float(self.counter.first_ticks))
        if self.phase is Phase.WARMING and (steps["bits"] & _FIT == _FIT).any():
            self._arming.warm(now_ns)
        if int(steps["block"][-1]) == OVER:
            self.end("completed", "the last block is over")
        duration_us = self._orders.duration_us
        if duration_us is not None and newest.ticks >= duration_us:
            self.end("completed", "the duration is over")

    # Light

    def stimulator_messages(self, messages: list[wire.Message], now_ns: int) -> None:
        """What the stimulator said, in the order it said it."""
        for message in messages:
            answer = self._answers.get(type(message))
            if answer is not None:
                answer(message, now_ns)
            else:
                self._on_common(message, STIMULATOR, now_ns)

    def _on_status(self, status: wire.Status, now_ns: int) -> None:
        if not self._arming.is_confirmed(status, now_ns):
            self._trip(wire.named(wire.Reason, status.reason), now_ns)

    def _on_refused(self, refused: wire.Refused, now_ns: int) -> None:
        """The board's own refusal; if it says that it is not armed, and nobody disarmed it, its trip was not heard."""
        self._deliveries.on_refused(refused, now_ns)
        if refused.reason == wire.Reason.NOT_ARMED and self.phase is Phase.RUNNING:
            self._trip("it is not armed any more, and why was lost on the line", now_ns)

    def _on_trip(self, trip: wire.Trip, now_ns: int) -> None:
        self._trip(wire.named(wire.Reason, trip.reason), now_ns)

    def _trip(self, reason: str, now_ns: int) -> None:
        if self.ending is not None:
            return
        self._log.event("trip", now_ns, reason=reason)
        self.end("tripped", f"the stimulator tripped: {reason}")

    # What a person asks for

    def obey(self, order: control.Order, now_ns: int) -> None:  # noqa: C901 - one line an order
        """Carry out an order, between two readings; what cannot be done is written down with its reason."""
        match order:
            case control.Stop(reason):
                self.end("stopped", reason)
            case control.AddNote(text):
                self._log.note("remark", text, now_ns)
            case control.Arm():
                self._arming.ask(now_ns)
            case control.Disarm():
                self._arming.disarm(now_ns)
            case control.Pause():
                self._pause(now_ns)
            case control.Resume():
                self._resume(now_ns)
            case control.TestPulse():
                self._loop.ask_test_pulse()
                self._log.note(TEST_PULSE, "a test pulse is asked for, by hand", now_ns)
            case control.SetThreshold(threshold, release):
                self._set_threshold(threshold, release, now_ns)

    def _pause(self, now_ns: int) -> None:
        if self._paused:
            self._log.note("order_refused", "pause: the session is paused already", now_ns)
            return
        self._paused = True
        self._loop.pause(True)
        self._arming.pause(now_ns)

    def _resume(self, now_ns: int) -> None:
        if not self._paused:
            self._log.note("order_refused", "resume: the session is not paused", now_ns)
            return
        self._paused = False
        self._loop.pause(False)
        self._arming.resume(now_ns)

    def _set_threshold(self, threshold: float, release: float, now_ns: int) -> None:
        if self._orders.by_board:
            said = "threshold: the DAQ board detects by itself here; change policy.threshold in the protocol"
            self._log.note("order_refused", said, now_ns)
            return
        if self._loop.highest is not None and threshold > self._loop.highest:
            most = f"the score goes up to {self._loop.highest:.4g} in this session"
            said = f"threshold: {threshold:g} would never be reached, {most}; choose no more than that"
            self._log.note("order_refused", said, now_ns)
            return
        self._loop.set_threshold(threshold, release)
        self._log.event("note", now_ns, reason=THRESHOLD, value=threshold, text=f"release {release!r}")

    # Both boards

    def messages_of_both(self, messages: list[wire.Message], now_ns: int) -> None:
        """What one board in both roles said; its stimulator first, for what that says may be a trip."""
        if messages:
            self._vitals.heard_ns[STIMULATOR] = now_ns
        self.stimulator_messages([m for m in messages if type(m) in self._answers], now_ns)
        self.daq_messages([m for m in messages if type(m) not in self._answers], now_ns)

    def arrival_of_both(self, readings: Readings, others: list[wire.Message], now_ns: int) -> None:
        """The same, with the new readings as rows."""
        self._vitals.heard_ns[STIMULATOR] = now_ns
        self.stimulator_messages([m for m in others if type(m) in self._answers], now_ns)
        self.arrival(readings, [m for m in others if type(m) not in self._answers], now_ns)

    def _on_common(self, message: wire.Message, board: str, now_ns: int) -> None:
        if isinstance(message, wire.ClockReply):
            self._vitals.heard_ns[board] = now_ns
            jumped_us = self._times.on_reply(message, now_ns)
            if jumped_us is not None:
                self._log.event("note", now_ns, reason="clock_step", value=jumped_us, text=board)
        elif isinstance(message, wire.Statistics):
            self.statistics[board] = message
        elif isinstance(message, wire.Identity):
            cause = wire.named(wire.ResetCause, message.reset_cause).replace("_", " ")
            self.end("device_lost", f"the {board} board restarted in mid-session ({cause}); look at its supply")

    def _tell(self, message: wire.Message, board: str = STIMULATOR) -> None:
        """Write to a board, if there is one; if it is gone the session ends, and the readings at hand are recorded."""
        line = self._boards.get(board)
        if line is None:
            return
        try:
            line.send(message)
        except DeviceError as problem:  # a lost stimulator ends in the dark without us, by its lease
            self.end("device_lost", str(problem))

    # Time and end

    def housekeeping(self, now_ns: int) -> None:
        """Called now and then, also while nothing arrives: clock queries, missing answers, and the silence of a DAQ."""
        for board, question in self._times.questions(now_ns).items():
            self._tell(question, board)
        self._deliveries.give_up_unanswered(now_ns)
        if self._arming.is_overdue(now_ns):
            self.end(
                "device_lost", "the stimulator does not confirm that it is armed; check its cable, and start again"
            )
        if (row := self._vitals.row(now_ns)) is not None:
            self._note_health(row, now_ns)
        if silence := self._vitals.silence(now_ns):
            self.end("device_lost", silence)

    def _note_health(self, row: Any, now_ns: int) -> None:
        row["ticks"] = self._log.ticks
        row["wall_offset_ns"] = self._wall_ns() - now_ns if self._wall_ns else 0
        row["repeated"], row["outstanding"] = self.counter.repeated, self._deliveries.outstanding
        row["phase"], row["armed"] = self.phase, self.phase is Phase.RUNNING
        self._recorder.health(row)

    def end(self, how: str, reason: str) -> None:
        """Dark, at once; the first cause is the one that counts."""
        if self.ending is not None:
            return
        self.ending = Ending(how, reason)
        self._arming.phase = Phase.ENDED
        try:
            if STIMULATOR in self._boards:
                self._boards[STIMULATOR].send(wire.Dark())
        except DeviceError as problem:
            self.ending = Ending("device_lost", str(problem))

    @property
    def phase(self) -> Phase:
        """Where the session is."""
        return self._arming.phase

    @property
    def outstanding(self) -> int:
        """Trains commanded and not over."""
        return self._deliveries.outstanding
