"""The self-test against virtual boards in virtual time, good ones and bad ones: what is wrong must be found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from closedloop import framing, selftest, wire
from closedloop.errors import DeviceError
from closedloop.limits import Limits, effective
from closedloop.link import Link
from closedloop.rig import load_rig
from closedloop.selftest import Check, checks
from closedloop.selftest.bench import DAQ, STIMULATOR, Bench
from closedloop.selftest.figure import figure
from closedloop.selftest.measured import quantile
from closedloop.selftest.procedure import plan, procedure
from closedloop.selftest.record import Record
from closedloop.simulation.daq_board import DaqBoard, Sample
from closedloop.simulation.stimulator_board import StimulatorBoard

LIMITS = effective(None, lease_s=0.25)
STEP_US = 250
DELAY_US = 500  # on each line, each way
DARK_COUNTS, GLOW = 400, 900


class Room:
    """A DAQ's readings of a room with nothing in it but, perhaps, a photodiode in front of the fibre."""

    nano_units, input_count = 4_882_812, 0

    def __init__(self, rate_hz: float, *, photodiode: bool) -> None:
        self.rate_mhz = round(rate_hz * 1000)
        self._photodiode = photodiode
        self._seq = 0

    def rewind(self) -> None:
        self._seq = 0

    def due_us(self, ahead: int = 0) -> int:
        return (self._seq + ahead) * 1_000_000_000 // self.rate_mhz

    def take(self, light: float, /) -> Sample:
        count = DARK_COUNTS + self._seq * 7 % 5 + round(GLOW * light if self._photodiode else 0)
        self._seq += 1
        return Sample(self._seq - 1, count, count, count, count, inputs=0, flags=0)


@dataclass
class Line:
    """To a board and back, each way so many microseconds late; `obeys` may keep or change what the board hears."""

    board: Any
    now_us: Callable[[], int]
    obeys: Callable[[wire.Message], wire.Message | None] = field(default=lambda message: message)
    shows: Callable[[wire.Message], wire.Message | None] = field(default=lambda message: message)
    decoder: framing.Decoder = field(default_factory=framing.Decoder)
    out: list[tuple[int, bytes]] = field(default_factory=list)
    back: list[tuple[int, wire.Message]] = field(default_factory=list)

    def send(self, message: wire.Message) -> None:
        kept = self.obeys(message)
        if kept is not None:
            self.out.append((self.now_us() + DELAY_US, framing.encode(wire.pack(kept))))

    def deliver(self) -> None:
        while self.out and self.out[0][0] <= self.now_us():
            self.board.receive(self.out.pop(0)[1], self.now_us())

    def hear(self) -> list[wire.Message]:
        for payload in self.decoder.feed(self.board.take_output()):
            message = wire.unpack(payload)
            shown = None if message is None else self.shows(message)
            if shown is not None:
                self.back.append((self.now_us() + DELAY_US, shown))
        due = [message for at_us, message in self.back if at_us <= self.now_us()]
        self.back = [late for late in self.back if late[0] > self.now_us()]
        return due


class Stage:
    """Two virtual boards, a host, and a clock that all of them see."""

    def __init__(self, *, rate_hz: float = 130.0, limits: wire.Limits = LIMITS, wired: str = "ttl") -> None:
        self.now_us = 1_000_000
        self.said: list[str] = []
        self.limits = limits
        self.stimulator = StimulatorBoard(now_us=self.now_us)
        self.daq = DaqBoard(Room(rate_hz, photodiode=wired == "photodiode"), now_us=self.now_us)
        self.to_daq = Line(self.daq, lambda: self.now_us)
        self.to_stimulator = Line(self.stimulator, lambda: self.now_us)
        if wired != "ttl":
            self.to_daq.shows = _without_light_flag
        for line, message in ((self.to_stimulator, limits), (self.to_daq, wire.StreamStart(0))):
            line.board.receive(framing.encode(wire.pack(message)), self.now_us)
            line.board.take_output()
        self.record = Record(rate_hz, wire.StreamSettings(round(rate_hz * 1000), Room.nano_units, 0))
        self.record.limits, self.record.plan = limits, plan(limits, rate_hz, 8)
        self.bench = Bench(self.record, self.to_daq, self.to_stimulator, lambda: self.now_us * 1000)
        self.ppm = 0.0  # of the stimulator's clock against the world's

    def run(self) -> dict[str, Check]:
        """The whole self-test in virtual time; the checks by name."""
        for _ in procedure(self.bench, self.said.append):
            self.step()
        return {check.name: check for check in checks(self.record)}

    def step(self) -> None:
        self.now_us += STEP_US
        self.to_stimulator.deliver()
        self.to_daq.deliver()
        self.stimulator.advance(self.now_us)
        self.daq.advance(self.now_us, self.stimulator.mean_level)
        now_ns = self.now_us * 1000
        self.bench.heard(STIMULATOR, self.to_stimulator.hear(), now_ns)
        self.bench.heard(DAQ, self.to_daq.hear(), now_ns)
        self.bench.turn(now_ns)

    @property
    def lit(self) -> bool:
        return self.stimulator.light > 0


def _without_light_flag(message: wire.Message) -> wire.Message:
    return message._replace(flags=message.flags & ~wire.Flag.LIGHT) if isinstance(message, wire.Reading) else message


def failed(found: dict[str, Check], verdict: str = "not ok") -> list[str]:
    return [name for name, check in found.items() if check.verdict == verdict]


@pytest.mark.parametrize("rate_hz", [10.0, 130.0, 1000.0])
def test_a_good_rig_passes_every_check(rate_hz: float) -> None:
    stage = Stage(rate_hz=rate_hz)
    found = stage.run()
    assert [check.said for check in found.values() if check.verdict != "ok"] == []
    assert selftest.exit_code(list(found.values())) == 0
    assert len(found) == 19


def test_latencies_are_what_they_are() -> None:
    found = Stage().run()
    latency = found["command to light"]
    assert latency.value == pytest.approx(DELAY_US / 1e3, abs=STEP_US / 1e3)
    after_reading = found["reading to light"]
    assert after_reading.value == pytest.approx(2 * DELAY_US / 1e3, abs=2 * STEP_US / 1e3)
    assert found["dark on command"].value == pytest.approx(DELAY_US / 1e3, abs=STEP_US / 1e3)
    assert found["dark without heartbeats"].value == pytest.approx(LIMITS.lease_ms, abs=0.001)


def test_it_ends_dark_and_disarmed_and_gives_no_more_light_than_it_says() -> None:
    stage = Stage()
    stage.run()
    assert not stage.lit
    assert stage.stimulator.state != wire.State.ARMED
    light = stage.record.plan
    assert light is not None
    given_us = stage.stimulator.lit_us(0, stage.now_us)
    assert sum(light.widths_us) < given_us <= light.most_lit_us


def test_light_is_seen_by_a_photodiode_where_no_wire_tells_of_it() -> None:
    found = Stage(wired="photodiode").run()
    assert failed(found) == []
    assert "the photodetector" in found["light, seen by the DAQ"].said
    assert failed(found, "not measured") == ["light that nobody asked for"]


def test_what_the_daq_cannot_see_is_not_measured_and_does_not_pass() -> None:
    found = Stage(wired="nothing").run()
    assert failed(found) == []
    unseen = [
        "light, seen by the DAQ",
        "pulse width, seen by the DAQ",
        "... seen by the DAQ",
        "light that nobody asked for",
    ]
    assert failed(found, "not measured") == unseen
    assert "D8" in found[unseen[0]].said
    assert selftest.exit_code(list(found.values())) == 3


def test_an_open_interlock_leaves_light_unmeasured_and_says_so() -> None:
    stage = Stage()
    stage.stimulator.set_interlock(False, stage.now_us)
    stage.stimulator.take_output()
    found = stage.run()
    assert stage.stimulator.edges == []
    assert "close the interlock" in found["light"].said
    assert found["dark without heartbeats"].verdict == "not measured"
    assert selftest.exit_code(list(found.values())) != 0


def test_a_lease_that_never_ends_is_found() -> None:
    stage = Stage()
    original = stage.stimulator.advance

    def advance(now_us: int) -> None:
        stage.stimulator.interlock.heartbeat()
        original(now_us)

    stage.stimulator.advance = advance  # type: ignore[method-assign]
    found = stage.run()
    assert found["dark without heartbeats"].verdict == "not ok"
    assert selftest.exit_code(list(found.values())) == 4


def test_a_lease_that_is_too_long_is_found() -> None:
    stage = Stage(limits=LIMITS._replace(lease_ms=400))
    stage.record.limits = LIMITS  # what was asked for
    slack = _saying(stage, wire.Limits, lambda limits: limits._replace(lease_ms=400))
    stage.bench.say = slack  # type: ignore[method-assign]
    found = stage.run()
    assert found["dark without heartbeats"].verdict == "not ok"
    assert found["dark without heartbeats"].value == pytest.approx(400, abs=0.01)
    assert found["... seen by the DAQ"].verdict == "not ok"


def _saying(stage: Stage, kind: type[Any], change: Callable[[Any], Any]) -> Callable[..., int]:
    say = Bench.say

    def changed(message: wire.Message, board: str = STIMULATOR) -> int:
        return say(stage.bench, change(message) if isinstance(message, kind) else message, board)

    return changed


@pytest.mark.parametrize(
    ("cheat", "name"),
    [
        (lambda fire: fire._replace(on_us=min(fire.on_us, 50_000)), "refused if too long"),
        (lambda fire: fire._replace(level=min(fire.level, 100)), "refused if too strong"),
    ],
)
def test_a_board_that_gives_what_it_must_refuse_is_found(cheat: Callable[[wire.Fire], wire.Fire], name: str) -> None:
    limits = effective(Limits(level="50 %"), lease_s=0.25)
    stage = Stage(limits=limits)
    stage.to_stimulator.obeys = lambda message: cheat(message) if isinstance(message, wire.Fire) else message
    found = stage.run()
    assert found[name].verdict == "not ok"
    assert found[name].said == "light was given"
    assert selftest.exit_code(list(found.values())) == 4


def test_a_board_that_never_answers_a_forbidden_request_is_not_measured() -> None:
    stage = Stage()
    stage.to_stimulator.shows = lambda message: None if isinstance(message, wire.Refused) else message
    found = stage.run()
    assert found["refused while disarmed"].verdict == "not measured"
    assert selftest.exit_code(list(found.values())) == 3


def test_a_looser_ceiling_is_found() -> None:
    stage = Stage()
    stage.to_stimulator.shows = lambda m: m._replace(crc=m.crc ^ 1) if isinstance(m, wire.LimitsSet) else m
    found = stage.run()
    assert found["limits stay under the ceiling"].verdict == "not ok"
    assert selftest.exit_code(list(found.values())) == 4


def test_light_that_nobody_asked_for_is_found() -> None:
    stage = Stage()
    flagged = {200, 201}  # after the clocks, before the first pulse

    def shows(message: wire.Message) -> wire.Message:
        if isinstance(message, wire.Reading) and message.seq in flagged:
            return message._replace(flags=message.flags | wire.Flag.LIGHT)
        return message

    stage.to_daq.shows = shows
    found = stage.run()
    assert found["light that nobody asked for"].value == 2
    assert selftest.exit_code(list(found.values())) == 4


def test_pulses_that_are_too_long_are_found_by_both_boards() -> None:
    stage = Stage()
    stage.to_stimulator.obeys = lambda m: (
        m._replace(on_us=m.on_us * 2) if isinstance(m, wire.Fire) and m.on_us < 100_000 else m
    )
    found = stage.run()
    assert found["pulse width"].verdict == "not ok"
    assert found["pulse width"].value == pytest.approx(50_000)
    assert found["pulse width, seen by the DAQ"].verdict == "not ok"


def test_lost_readings_are_counted() -> None:
    stage = Stage()
    lost = {50, 51, 700}
    stage.to_daq.shows = lambda m: None if isinstance(m, wire.Reading) and m.seq in lost else m
    found = stage.run()
    assert failed(found) == ["readings"]
    assert found["readings"].value == len(lost)
    assert selftest.exit_code(list(found.values())) == 3


@pytest.mark.parametrize("ppm", [-9000, -2000, 200, 9000])
def test_a_clock_that_runs_wrong_is_measured(ppm: float) -> None:
    stage = Stage()
    stage.to_daq.shows = lambda m: (
        m._replace(ticks=round(m.ticks * (1 + ppm / 1e6)) % 2**32)
        if isinstance(m, wire.Reading | wire.ClockReply)
        else m
    )
    stage.daq.serial._boot_ticks = 0
    found = stage.run()
    assert found["DAQ's clock"].value == pytest.approx(ppm, abs=30)
    assert found["DAQ's clock"].verdict == ("ok" if abs(ppm) <= 5000 else "not ok")
    assert found["clock ratio"].value == pytest.approx(-ppm, rel=0.02, abs=60)
    assert found["command to light"].verdict == "ok"


def test_a_clock_that_stood_still_spoils_no_latency() -> None:
    stage = Stage()
    before_us = 40_000
    stage.to_stimulator.shows = lambda m: (
        m._replace(ticks=(m.ticks - before_us) % 2**32)
        if isinstance(m, wire.ClockReply) and stage.now_us > 6_000_000
        else m._replace(on_ticks=(m.on_ticks - before_us) % 2**32)
        if isinstance(m, wire.Started) and stage.now_us > 6_000_000
        else m
    )
    found = stage.run()
    assert stage.record.clock_steps == 1
    assert found["command to light"].value == pytest.approx(DELAY_US / 1e3, abs=STEP_US / 1e3)


def test_a_trip_in_the_middle_ends_the_light_and_is_named() -> None:
    stage = Stage()
    stage.to_stimulator.obeys = lambda m: None if isinstance(m, wire.Heartbeat) and stage.now_us > 6_000_000 else m
    found = stage.run()
    assert found["unexpected trips"].verdict == "not ok"
    assert "lease_expired" in found["unexpected trips"].said
    assert found["dark without heartbeats"].verdict == "not measured"
    assert not stage.lit


def test_a_restart_in_the_middle_is_a_lost_device() -> None:
    stage = Stage()
    step = stage.step

    def with_a_dip() -> None:
        step()
        if stage.now_us == 5_000_000:
            stage.stimulator.reset(wire.ResetCause.BROWN_OUT, stage.now_us)

    stage.step = with_a_dip  # type: ignore[method-assign]
    with pytest.raises(DeviceError, match="stimulator board restarted"):
        stage.run()


def test_a_silent_daq_is_a_lost_device() -> None:
    stage = Stage()
    stage.to_daq.shows = lambda m: None if isinstance(m, wire.Reading) and stage.now_us > 4_000_000 else m
    with pytest.raises(DeviceError, match="no reading"):
        stage.run()
    stage.stimulator.advance(stage.now_us + LIMITS.lease_ms * 1000)
    assert not stage.lit


def test_the_plan_keeps_to_tight_limits() -> None:
    limits = effective(Limits(longest_on="3 ms", trains_per_minute=5, level="10 %"), lease_s=0.1)
    light = plan(limits, 130.0, 20)
    assert max(light.widths_us) == light.long_on_us == 3000
    assert len(light.widths_us) == 3
    assert light.level == limits.level
    assert light.long_period_us - light.long_on_us >= limits.off_us
    found = Stage(limits=limits).run()
    assert failed(found) == []
    assert found["dark without heartbeats"].verdict == "ok"


def test_a_rig_without_a_stimulator_measures_its_readings_alone() -> None:
    stage = Stage()
    stage.record.limits = stage.record.plan = None
    stage.bench = Bench(stage.record, stage.to_daq, None, lambda: stage.now_us * 1000)
    for _ in procedure(stage.bench, stage.said.append):
        stage.now_us += STEP_US
        stage.to_daq.deliver()
        stage.daq.advance(stage.now_us, lambda *_: 0.0)
        stage.bench.heard(DAQ, stage.to_daq.hear(), stage.now_us * 1000)
        stage.bench.turn(stage.now_us * 1000)
    found = {check.name: check for check in checks(stage.record)}
    assert found["readings"].verdict == "ok"
    assert failed(found, "not measured") == ["light"]
    assert stage.stimulator.edges == []


def test_the_quantile_is_a_value_that_was_measured() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([float(n) for n in range(1, 21)], 0.95) == 19.0
    assert quantile([5.0], 0.95) == 5.0


@pytest.mark.parametrize("wired", ["ttl", "nothing"])
def test_the_figure_is_valid_and_escapes_what_it_shows(wired: str) -> None:
    stage = Stage(wired=wired)
    found = list(stage.run().values())
    text = figure(stage.record, found, "<rig> & co")
    root = ElementTree.fromstring(text)
    assert "<rig> & co" in "".join(root.itertext())
    assert all(check.name in "".join(root.itertext()) for check in found)
    empty = Record(130.0, stage.record.settings)
    assert "not measured" in figure(empty, checks(empty), "nothing")


def test_a_person_is_told_of_the_light_before(tmp_path: Path) -> None:
    said = selftest.announcement(load_rig("simulated"))
    assert "LIGHT WILL BE GIVEN" in said[0]
    assert "disconnect" in said[0]
    assert "1.60 s" in said[1]
    measuring = "version: 1\nname: m\ndaq: {kind: photometry_board, port: COM3}\nstimulator: {kind: dry_run}\n"
    (tmp_path / "m.yaml").write_text(measuring)
    assert "no light" in selftest.announcement(load_rig(str(tmp_path / "m.yaml")))[0]


def test_a_simulated_rig_is_tested_over_real_serial_bytes(tmp_path: Path) -> None:
    rig = load_rig("simulated")
    said: list[str] = []
    result = selftest.selftest(rig, trains=2, say=said.append, seed=3)
    found = {check.name: check for check in result.checks}
    assert "light: 2 pulses" in said
    assert found["dark without heartbeats"].value == pytest.approx(250, abs=0.5)
    assert found["light"].verdict == found["refused while disarmed"].verdict == "ok"
    assert found["light, seen by the DAQ"].verdict != "not measured"
    assert [check for check in result.checks if check.safety and check.verdict == "not ok"] == []
    picture, figures = selftest.write(result, rig, tmp_path, datetime(2026, 1, 1, 12))
    assert picture.name == "selftest_simulated_20260101T120000.svg"
    assert "exit_code" in figures.read_text()
    assert selftest.lines(result.checks)[-1].endswith("not measured")


def test_the_light_is_dark_after_an_exception_and_after_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[wire.Message] = []
    rig = load_rig("simulated")
    real = Link.send

    def send(link: Any, message: wire.Message) -> None:
        sent.append(message)
        real(link, message)

    def interrupted(line: str) -> None:
        if line.startswith("light"):
            raise KeyboardInterrupt

    monkeypatch.setattr(Link, "send", send)
    with pytest.raises(KeyboardInterrupt):
        selftest.selftest(rig, say=interrupted)
    assert isinstance(sent[-1], wire.Dark)
    assert any(isinstance(message, wire.Arm) for message in sent)
