"""Both boards as a self-test has them on its bench: messages in, messages out, what was seen. It opens no port.

Heartbeats go out because readings come in, as in a session, and never because time passed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from closedloop import wire
from closedloop.clock import ClockFit, tick_difference
from closedloop.errors import DeviceError
from closedloop.selftest.record import Record, Shot, Sight

DAQ, STIMULATOR = "daq", "stimulator"
_QUERY_NS = 247_000_000  # an odd period, so as not to beat with the readings
_BEAT_US = 10_000
_SILENT_NS = 2_000_000_000
_SETTLED_NS = 1_000_000_000  # until then an Identity may answer a question of the handshake
_PPM_SPAN_NS = 10_000_000_000
_PPM_REPLIES = 16  # fewer say little about a clock's speed
_STEP_NS = 10_000_000  # no clock runs so wrong between two replies: it stood still, or the computer slept


class Line(Protocol):
    """Where messages to one board go."""

    def send(self, message: wire.Message) -> None:
        """Write one message."""


class Bench:
    """The boards, and what they said.

    Attributes:
        record: what was seen so far.
        state: the stimulator's, as it said last.
        beats: whether readings send heartbeats.
        now_ns: the host's time of the last turn.
        boards: the names of the boards; one board in both roles is the DAQ's.
    """

    def __init__(self, record: Record, daq: Line, stimulator: Line | None, clock: Callable[[], int]) -> None:
        self.record = record
        self.clock = clock
        self.beats = True
        self.state: int = wire.State.DISARMED
        self.now_ns = self._began_ns = self._reading_ns = clock()
        self.limits_crc: int | None = None
        self.boards = (DAQ,) if stimulator in (None, daq) else (DAQ, STIMULATOR)
        self._lines = {DAQ: daq} | ({STIMULATOR: stimulator} if stimulator is not None else {})
        self._keeper = {DAQ: DAQ, STIMULATOR: self.boards[-1]}  # whose clock a role goes by
        self._fits = {board: ClockFit() for board in self.boards}
        self._replied = dict.fromkeys(self.boards, 0)
        self._known_until = dict.fromkeys(self.boards, (0, 0))  # sights and requests at the last reply
        self._asked: dict[int, tuple[str, int]] = {}
        self._replies: dict[int, int] = {}
        self._queries = 0
        self._next_query_ns = 0
        self._shots: dict[int, Shot] = {}
        self._beat_ticks: int | None = None

    # What the host says

    def say(self, message: wire.Message, board: str = STIMULATOR) -> int:
        """Send a message; returns the host's time just before."""
        sent_ns = self.clock()
        self._lines[board].send(message)
        return sent_ns

    def fire(self, purpose: str, on_us: int, level: int, *, period_us: int = 0, pulses: int = 1) -> Shot:
        """Ask for a train at once; period and pulses only where there are several."""
        train = len(self.record.shots) + 1
        request = wire.Fire(train, on_us, period_us, pulses, level, ramp_off_us=0, scheduled=0, start=0)
        reading = self.record.sights[-1] if self.record.sights else None
        shot = Shot(train, purpose, on_us, reading, first_sight=len(self.record.sights))
        self.record.shots.append(shot)
        self._shots[train] = shot
        shot.sent_ns = self.say(request)
        return shot

    def ask_time(self, board: str) -> int:
        """Ask for a board's ticks; returns the query's number, for `reply`."""
        self._queries += 1
        self._asked[self._queries] = (self._keeper[board], self.clock())
        self.say(wire.ClockQuery(self._queries), board)
        return self._queries

    def reply(self, query: int) -> int | None:
        """Ticks at which a board understood this query; None while it has not answered."""
        return self._replies.get(query)

    def last_heartbeat(self) -> tuple[int, int]:
        """One more heartbeat, and no other after it; its host time, and the query that follows it at once."""
        self.beats = False
        seq = self.record.sights[-1].seq if self.record.sights else 0
        return self.say(wire.Heartbeat(seq)), self.ask_time(STIMULATOR)

    # What the boards say

    def heard(self, board: str, messages: list[wire.Message], now_ns: int) -> None:
        """Take what a board said.

        Raises:
            DeviceError: it restarted, or could not be written to.
        """
        self.now_ns = max(self.now_ns, now_ns)
        for message in messages:
            match message:
                case wire.Reading():
                    self._on_reading(message, now_ns)
                case wire.ClockReply():
                    self._on_reply(message, now_ns)
                case wire.Identity():
                    self._on_identity(board, message, now_ns)
                case wire.Statistics():
                    self.record.statistics[board] = message
                case wire.StreamEnd():
                    self.record.stream_end = message
                case _:
                    self._on_light(message)

    def turn(self, now_ns: int) -> None:
        """Called between arrivals as well: asks the boards for their time.

        Raises:
            DeviceError: the DAQ is silent.
        """
        self.now_ns = max(self.now_ns, now_ns)
        if self.record.stream_end is None and now_ns - self._reading_ns > _SILENT_NS + 2 * self.record.period_ns:
            raise DeviceError(f"no reading from the DAQ for {_SILENT_NS / 1e9:g} s; check its cable and power")
        if now_ns >= self._next_query_ns:
            self._next_query_ns = now_ns + _QUERY_NS
            for board in self.boards:
                self.ask_time(board)

    def _on_reading(self, reading: wire.Reading, now_ns: int) -> None:
        self._reading_ns = now_ns
        fit = self._fits[DAQ]
        host_ns = fit.host_ns(reading.ticks) if fit.known else None
        self.record.sights.append(Sight(reading.seq, reading.ticks, host_ns, reading.flags, reading.signal_dark))
        due = self._beat_ticks is None or tick_difference(reading.ticks, self._beat_ticks) >= _BEAT_US
        if self.beats and due and STIMULATOR in self._lines:
            self._beat_ticks = reading.ticks
            self.say(wire.Heartbeat(reading.seq))

    def _on_reply(self, reply: wire.ClockReply, now_ns: int) -> None:
        board, asked_ns = self._asked.pop(reply.query, ("", 0))
        if not board:
            return
        self._replies[reply.query] = reply.ticks
        self._unless_it_stepped(board, asked_ns, now_ns, reply.ticks)
        fit = self._fits[board]
        fit.add(asked_ns, now_ns, reply.ticks)
        self._replied[board] += 1
        worst_ns = self.record.clock_ns.get(board, 0) if self.record.shots else 0  # of all that light was timed with
        self.record.clock_ns[board] = max(worst_ns, fit.uncertainty_ns)
        if self._replied[board] >= _PPM_REPLIES:
            ahead = fit.ticks_at(now_ns + _PPM_SPAN_NS) - fit.ticks_at(now_ns)
            self.record.ppm[board] = (ahead * 1000 / _PPM_SPAN_NS - 1) * 1e6

    def _unless_it_stepped(self, board: str, asked_ns: int, now_ns: int, ticks: int) -> None:
        """A clock that stepped is learnt anew, and what was timed with it since the reply before is forgotten."""
        fit = self._fits[board]
        slack_ns = _STEP_NS + (now_ns - asked_ns) // 2
        if fit.known and abs(fit.host_ns(ticks) - (asked_ns + now_ns) // 2) > slack_ns:
            self.record.clock_steps += 1
            self._fits[board], self._replied[board] = ClockFit(), 0
            self._forget_times(board)
        self._known_until[board] = (len(self.record.sights), len(self.record.shots))

    def _forget_times(self, board: str) -> None:
        sights, shots = self.record.sights, self.record.shots
        sights_known, shots_known = self._known_until[board]
        if board == self._keeper[DAQ]:
            sights[sights_known:] = [sight._replace(host_ns=None) for sight in sights[sights_known:]]
        if board == self._keeper[STIMULATOR]:
            for shot in shots[max(0, shots_known - 1) :]:
                shot.on_ns = shot.off_ns = None

    def _on_identity(self, board: str, identity: wire.Identity, now_ns: int) -> None:
        if now_ns - self._began_ns > _SETTLED_NS:
            cause = wire.named(wire.ResetCause, identity.reset_cause).replace("_", " ")
            raise DeviceError(f"the {board} board restarted during the self-test ({cause}); look at its supply")

    def _on_light(self, message: wire.Message) -> None:
        match message:
            case wire.Status(state, reason, _):
                self.state = state
                self.record.states.append((state, reason))
            case wire.Trip(reason, _):
                self.state = wire.State.TRIPPED
                self.record.trips.append((len(self.record.shots), reason))
            case wire.LimitsSet(crc):
                self.limits_crc = crc
            case wire.Started(train, on_ticks) if train in self._shots:
                self._shots[train].started = message
                self._shots[train].on_ns = self._stimulator_ns(on_ticks)
            case wire.Fired(train) if train in self._shots:
                self._on_fired(self._shots[train], message)
            case wire.Refused(train, reason) if train in self._shots:
                self._shots[train].refused = reason
                self._shots[train].last_sight = len(self.record.sights)

    def _on_fired(self, shot: Shot, fired: wire.Fired) -> None:
        shot.fired, shot.last_sight = fired, len(self.record.sights)
        shot.off_ns = self._stimulator_ns(fired.off_ticks)
        if shot.started is None:  # lost on the line
            shot.on_ns = self._stimulator_ns(fired.on_ticks)

    def _stimulator_ns(self, ticks: int) -> int | None:
        fit = self._fits[self._keeper[STIMULATOR]]
        return fit.host_ns(ticks) if fit.known else None
