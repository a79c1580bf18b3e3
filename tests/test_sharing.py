"""Remote watching: what is put out is what was recorded, nobody can steer, and alerts go where they should, once."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded_session import Recorded, protocol, ran

from closedloop import cli
from closedloop.errors import ConfigError
from closedloop.recording import Event, Recording
from closedloop.recording.session_writer import RecordingWriter
from closedloop.sharing import address, alerts, found, hooks, lsl, one_line, post, rigs, serving
from closedloop.sharing.following import FollowedSession
from closedloop.sharing.tick_times import TickTimes
from closedloop.watching.status import State, Status

SECOND_NS = 1_000_000_000
NOW = datetime.now().astimezone()
ALERT = alerts.Alert("tripped", "no heartbeat; look", Path("/data/sub-M1/ses-1"), "M1", "box one")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole session, light and all."""
    return ran(tmp_path_factory.mktemp("open"), {"kind": "closed_loop"}, blind=False)


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same animal and signal in two arms of a blinded study."""
    return {arm: ran(tmp_path_factory.mktemp(arm), {"kind": arm}) for arm in ("closed_loop", "sham")}


def whole(folder: Path) -> tuple[FollowedSession, list[Any]]:
    """A session followed to its end, and all that was found."""
    session, news = FollowedSession(folder, 0, alerts.HOWS), []
    while not session.is_over:
        news.append(session.turn(0))
    return session, news


# Time stamps


def test_readings_are_put_on_one_line_although_they_arrive_unevenly() -> None:
    draw = np.random.default_rng(3)
    ticks = np.arange(130 * 60, dtype=np.int64) * 7692
    true_ns = 5e9 + ticks * 1000 * (1 + 2e-5)
    host_ns = (true_ns + draw.exponential(1.5e6, len(ticks))).astype(np.int64)
    times = TickTimes()
    stamps = []
    for start in range(0, len(ticks), 13):
        times.add(ticks[start : start + 13], host_ns[start : start + 13])
        stamps.append(times.ns(ticks[start : start + 13]))
    off_ms = (np.concatenate(stamps) - true_ns)[130 * 10 :] / 1e6
    assert np.abs(off_ms).max() < 0.3  # a single arrival is off by 1.5 ms on average
    assert np.diff(np.concatenate(stamps)).min() > 0


def test_after_the_computer_has_slept_readings_get_the_new_time_within_seconds() -> None:
    ticks = np.arange(130 * 40, dtype=np.int64) * 7692
    host_ns = 5 * SECOND_NS + ticks * 1000
    host_ns[130 * 20 :] -= 600 * SECOND_NS  # the monotonic clock stood still, the board's did not
    times = TickTimes()
    for start in range(0, len(ticks), 13):
        times.add(ticks[start : start + 13], host_ns[start : start + 13])
    assert abs(float(times.ns(int(ticks[-1]))) - host_ns[-1]) < 1e6


def test_a_simulated_session_that_runs_faster_than_the_clock_is_timed_as_it_came() -> None:
    times = TickTimes(speed=10)
    times.add(np.array([0, 7692]), np.array([1000, 1000 + 769_200]))
    assert float(times.ns(7692)) == 770_200
    assert np.isnan(TickTimes().ns(5))


def test_the_offset_of_the_two_clocks_is_that_of_their_tightest_reading() -> None:
    spans = iter([(0, 7.0, 10_000), (20_000, 7.00002, 20_100), *[(30_000, 9.0, 90_000)] * 30])
    offset = lsl.clock_offset(lambda: next(spans))
    assert offset == (pytest.approx(7.00002 - 20_050e-9), pytest.approx(50e-9))


# What is told of a session


def test_a_followed_session_finds_every_reading_and_event_and_how_it_ended(recorded: Path) -> None:
    session, news = whole(recorded)
    recording = Recording.open(recorded)
    assert sum(len(one.rows) for one in news) == recording.table.head
    assert [e for one in news for e in one.events] == recording.events()
    state = session.state(0)
    assert (state["phase"], state["armed"], state["missing"]) == ("COMPLETED", False, 0)
    assert state["readings"] == recording.table.head
    assert state["ended"] == "COMPLETED"
    assert json.loads(json.dumps(state, allow_nan=False)) == state


def test_looking_changes_nothing_in_the_folder(recorded: Path) -> None:
    def contents() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in recorded.iterdir() if path.is_file()}

    before = contents()
    whole(recorded)
    assert contents() == before


def test_what_was_recorded_before_sharing_began_is_counted_and_not_streamed(recorded: Path) -> None:
    session = FollowedSession(recorded, 30 * SECOND_NS)
    rows = []
    while not session.is_over:
        rows.append(session.turn(0).rows)
    first_ns = min(int(one["host_ns"][0]) for one in rows if len(one))
    assert 30 * SECOND_NS <= first_ns < 30.1 * SECOND_NS
    assert session.state(0)["readings"] == Recording.open(recorded).table.head


def test_of_a_blinded_session_nothing_that_is_told_differs_between_the_arms(arms: dict[str, Path]) -> None:
    told = {}
    for arm, folder in arms.items():
        session, news = whole(folder)
        events = [lsl._marker(event) for one in news for event in one.events]
        told_alerts = [alert.as_dict() for one in news for alert in one.alerts]
        said = "".join(events) + json.dumps(session.state(0)) + json.dumps(told_alerts)
        assert not re.search(r"sham|closed_loop|light_on|light_off|command", said), arm
        assert session.state(0)["light"] is None
        told[arm] = [json.loads(event)["kind"] for event in events], [alert["how"] for alert in told_alerts]
    assert told["sham"] == told["closed_loop"]
    assert "decision" in told["sham"][0]


def test_the_state_of_a_blinded_rig_is_the_same_in_every_arm_from_second_to_second(tmp_path: Path) -> None:
    told: dict[str, list[Any]] = {}
    for arm in ("closed_loop", "sham"):
        session = Recorded(tmp_path / arm, protocol(policy={"kind": arm}))
        followed = FollowedSession(session.folder, 0)
        told[arm] = []
        for tenth in range(100, 400):
            session.run(tenth / 10)
            followed.turn(session.now_us * 1000)
            state = followed.state(session.now_us * 1000)
            told[arm].append({name: state[name] for name in ("phase", "reason", "armed", "light", "block", "vetoes")})
        if arm == "closed_loop":
            assert any(10 < at_s < 40 for at_s in session.lit_s)
        session.close()
    assert told["sham"] == told["closed_loop"]


# Alerts


def status(state: State, reason: str = "it is so") -> Status:
    return Status(state, reason)


def trip() -> Event:
    return Event(0, 10, "trip", None, "lease_expired", None, None, 10)


def test_a_trip_is_told_at_once_and_once() -> None:
    alarm = alerts.Alarm(Path("sub-M1/ses-1"), alerts.HOWS)
    header = {"subject": "M1", "rig": {"name": "box one"}}
    first = alarm.due(header, [trip()], status(State.TRIPPED), is_over=False)
    assert [(one.how, one.subject, one.rig) for one in first] == [("tripped", "M1", "box one")]
    assert "no heartbeat came in time" in first[0].reason
    assert alarm.due(header, [trip()], status(State.TRIPPED), is_over=False) == []
    assert alarm.due(header, [], status(State.TRIPPED), is_over=True) == []


@pytest.mark.parametrize(
    ("state", "how"),
    [
        (State.TRIPPED, "tripped"),
        (State.DEVICE_LOST, "device_lost"),
        (State.FAILED, "failed"),
        (State.BROKEN_OFF, "broken_off"),
        (State.STOPPED, "stopped"),
        (State.COMPLETED, "completed"),
    ],
)
def test_every_end_is_told_once_and_only_if_wanted(state: State, how: str) -> None:
    alarm = alerts.Alarm(Path("s"), alerts.HOWS)
    assert alarm.due({}, [], status(state), is_over=False) == []
    assert [one.how for _ in range(3) for one in alarm.due({}, [], status(state), is_over=True)] == [how]
    unwanted = alerts.Alarm(Path("s"), [one for one in alerts.HOWS if one != how])
    assert unwanted.due({}, [], status(state), is_over=True) == []


def test_a_session_whose_engine_was_killed_is_told_as_broken_off(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(RecordingWriter, "_write_summary", lambda *_: None)
    with_light = Recorded(tmp_path, protocol(policy={"kind": "closed_loop"}), blind=False)
    session = FollowedSession(with_light.folder, 0, alerts.HOWS)
    with_light.run(3)
    assert session.turn(0).alerts == []
    with_light.close()
    told = [one for _ in range(60) for one in session.turn(0).alerts]
    assert [one.how for one in told] == ["broken_off"]
    assert session.state(0)["phase"] == "BROKEN OFF"


def test_alerts_are_chosen_by_name_and_others_are_refused() -> None:
    assert alerts.chosen("tripped, broken_off") == ("tripped", "broken_off")
    for wrong in ("", ",", "tripped,fire"):
        with pytest.raises(ConfigError, match=r"--alert-on: .*; choose of tripped"):
            alerts.chosen(wrong)


def test_the_words_of_a_command_are_whole_arguments_and_no_shell_reads_them() -> None:
    command = hooks.command_of(f"{sys.executable} 'a b' {{how}} {{reason}} {{session}} $HOME ;")
    evil = ALERT._replace(reason="x; rm -rf ~ `y` $(z)")
    filled = hooks.filled(command, evil)
    assert filled[1:] == ["a b", "tripped", "x; rm -rf ~ `y` $(z)", str(ALERT.session), "$HOME", ";"]
    assert hooks.filled(command, ALERT._replace(reason="--exec=evil"))[3] == "exec=evil"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no program ''"),
        ("'unclosed", "quotation"),
        ("/no/such/program {how}", "no program '/no/such/program'"),
        (f"{sys.executable} --title={{how}}", "argument of its own"),
        ("{reason}", "no program"),
        (f"{sys.executable} {{subjet}}", "{subjet} is no word that is known; write one of {session}, {how}"),
    ],
)
def test_a_command_that_could_not_run_is_refused_at_the_start(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(why)):
        hooks.command_of(text)


def test_a_command_is_run_with_what_happened_and_its_failure_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    script = tmp_path / "tell.py"
    script.write_text("import sys, pathlib\npathlib.Path(sys.argv[1]).write_text('|'.join(sys.argv[2:]))\n")
    command = hooks.command_of(f"'{sys.executable}' '{script}' '{tmp_path / 'told'}' {{how}} {{subject}} {{reason}}")
    well = hooks.Hooks(command, None, "here", said.append)
    well.tell(ALERT, 0)
    well.close()
    assert (tmp_path / "told").read_text() == "tripped|M1|no heartbeat; look"
    assert len(said) == 1
    ill = hooks.Hooks((sys.executable, "-c", "raise SystemExit('no mail today')"), None, "here", said.append)
    ill.tell(ALERT, 0)
    ill.close()
    gone = hooks.Hooks((str(tmp_path / "gone"),), None, "here", said.append)
    gone.tell(ALERT, 0)
    assert "exit code 1: no mail today" in said[2]
    assert "No such file" in said[4]


def test_a_command_that_does_not_end_is_ended(tmp_path: Path) -> None:
    said: list[str] = []
    stuck = hooks.Hooks((sys.executable, "-c", "import threading; threading.Event().wait()"), None, "c", said.append)
    stuck.tell(ALERT, 0)
    assert stuck.look(SECOND_NS)
    assert not stuck.look(61 * SECOND_NS)
    assert "took longer than 60 s" in said[-1]


# The URL


@contextmanager
def server(*answers: int) -> Iterator[tuple[str, list[bytes]]]:
    """A server on loopback that answers so, the last for ever; and what it was sent."""
    got: list[bytes] = []
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["Content-Length"])))
            code = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(code)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}/alerts", got
        finally:
            http.shutdown()
            thread.join()


def test_an_alert_is_posted_as_json_and_names_no_path_of_the_computer() -> None:
    said: list[str] = []
    with server(200) as (url, got):
        told = hooks.Hooks(None, url, "rig-pc", said.append)
        told.tell(ALERT, 0)
        told.close()
    assert [json.loads(body) for body in got] == [
        {
            "computer": "rig-pc",
            "how": "tripped",
            "reason": "no heartbeat; look",
            "session": "sub-M1/ses-1",
            "subject": "M1",
            "rig": "box one",
        }
    ]
    assert said == ["alert: box one, M1 (ses-1): tripped: no heartbeat; look"]


def test_a_post_that_fails_is_tried_once_more_and_then_said() -> None:
    with server(500, 200) as (url, got):
        assert post.post(url, b"{}") == ""
        assert len(got) == 2
    with server(500) as (url, got):
        assert post.post(url, b"{}") == "the server answered 500 Internal Server Error"
        assert len(got) == 2
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert "refused" in post.post(f"http://127.0.0.1:{port}/", b"{}").lower()


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(code: int) -> None:
    with server(code) as (url, got):
        assert f"answered {code}" in post.post(url, b"{}")
    assert got == [b"{}", b"{}"]  # the two tries, nothing at /elsewhere


def test_no_proxy_is_used(monkeypatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    monkeypatch.delenv("no_proxy", raising=False)
    with server(200) as (url, got):
        assert post.post(url, b"{}") == ""
    assert got == [b"{}"]


def test_only_this_computer_and_private_networks_are_the_labs_own() -> None:
    own = ["127.0.0.1", "127.8.8.8", "10.1.2.3", "172.16.0.1", "172.31.255.1", "192.168.1.9", "169.254.3.4"]
    own += ["::1", "fd12::1", "fe80::1", "::ffff:192.168.1.9"]
    far = ["8.8.8.8", "172.32.0.1", "192.0.2.1", "0.0.0.0", "100.64.0.1", "255.255.255.255", "224.0.0.1", "240.0.0.1"]
    far += ["::", "2001:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1", "ff02::1"]
    assert [one for one in own if not address.is_own(one)] == []
    assert [one for one in far if address.is_own(one)] == []


def test_a_name_of_which_one_address_is_outside_is_refused_before_anything_is_sent(monkeypatch) -> None:
    def stands_for(*numbers: str) -> None:
        answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (number, 80)) for number in numbers]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer)

    opened: list[Any] = []
    monkeypatch.setattr(socket, "create_connection", lambda *one, **_: opened.append(one))
    stands_for("192.168.1.9", "93.184.216.34")
    with pytest.raises(ConfigError, match="outside this computer and the lab's own network"):
        hooks.Hooks(None, "http://lab.example/", "c", print)
    with pytest.raises(ConfigError, match="outside"):
        post.post("http://lab.example/", b"{}")
    assert opened == []


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "127.0.0.1",
        "http://",
        "http://user:secret@127.0.0.1/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1/a b",
        "http://127.0.0.1/\r\nX: y",
        "http://[::1/",
    ],
)
def test_a_url_that_cannot_be_posted_to_is_refused_in_words(url: str) -> None:
    with pytest.raises(ConfigError, match="--alert-url: "):
        hooks.Hooks(None, url, "c", print)


# Which sessions


def test_sessions_that_run_or_begin_are_found_and_those_that_are_over_are_not(tmp_path: Path, recorded: Path) -> None:
    shutil.copytree(recorded, tmp_path / "sub-M9" / "ses-20250101T000000")
    running = Recorded(tmp_path, protocol(policy={"kind": "closed_loop"}), blind=False)
    sessions = found.Sessions(tmp_path, NOW)
    assert sessions.fresh() == [(running.folder, False)]
    shutil.copytree(recorded, tmp_path / "sub-M9" / "ses-20250102T000000")  # an old one, put here meanwhile
    begun = Recorded(tmp_path, protocol(policy={"kind": "closed_loop"}), blind=False, subject="M2")
    assert sessions.fresh() == [(begun.folder, True)]
    assert sessions.fresh() == []
    (tmp_path / "sub-M3" / "ses-20260101T000000").mkdir(parents=True)  # not begun yet
    assert sessions.fresh() == []
    for one in (running, begun):
        one.close()


def test_a_short_session_that_began_and_ended_between_two_looks_is_told(tmp_path: Path, recorded: Path) -> None:
    sessions = found.Sessions(tmp_path, NOW)
    assert sessions.fresh() == []
    header = json.loads((recorded / "header.json").read_text()) | {"started": (NOW + timedelta(seconds=1)).isoformat()}
    folder = shutil.copytree(recorded, tmp_path / "sub-M1" / "ses-20260101T000000")
    (folder / "header.json").write_text(json.dumps(header))
    assert sessions.fresh() == [(folder, True)]


# Outlets and inlets


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """pylsl, kept to this computer."""
    config = tmp_path_factory.mktemp("lsl") / "lsl_api.cfg"
    scope = "[multicast]\nResolveScope = machine\nListenAddress = 127.0.0.1\n[ports]\nIPv6 = disable\n"
    config.write_text(scope + "[lab]\nKnownPeers = {127.0.0.1}\n[log]\nlevel = -3\n")
    before = os.environ.get("LSLAPICFG")
    os.environ["LSLAPICFG"] = str(config)  # read once, when the library is first used
    try:
        yield lsl.library()
    except ConfigError as error:
        pytest.skip(str(error))
    finally:
        os.environ.pop("LSLAPICFG") if before is None else os.environ.update(LSLAPICFG=before)


class Ear:
    """An inlet for one stream of one session, as a recorder has it."""

    def __init__(self, layer: Any, outlet: Any) -> None:
        mine = layer.resolve_bypred(f"uid='{outlet.get_info().uid()}'", 1, 10.0)
        self.inlet = layer.StreamInlet(mine[0], recover=False)
        self.inlet.open_stream(10.0)
        assert outlet.wait_for_consumers(10.0)

    def take(self, n: int) -> tuple[list[Any], list[float]]:
        """The next so many samples, and their time stamps; no more may have come."""
        pulled = [self.inlet.pull_sample(10.0) for _ in range(n)]
        assert self.inlet.pull_sample(0.0)[0] is None
        return [sample for sample, _ in pulled], [stamp for _, stamp in pulled]


def shared(folder: Path, layer: Any, *, said: list[str] | None = None, wanted: Any = None) -> serving.Share:
    say = (said if said is not None else []).append
    about = {"computer": "rig-pc", "hooks": wanted, "lsl": layer, "say": say, "now_ns": 0, "started": NOW}
    return serving.Share(folder, **about)


def test_another_program_receives_every_reading_event_and_light_with_its_time(tmp_path: Path, layer: Any) -> None:
    session = Recorded(tmp_path, protocol(policy={"kind": "closed_loop"}), blind=False)
    share = shared(session.folder, layer)
    share.turn(0)
    outlets = share._shared[0].outlets
    assert outlets is not None
    streams = {"signal": outlets._signal, "score": outlets._score, "events": outlets._events, "light": outlets._light}
    ears = {name: Ear(layer, outlet) for name, outlet in streams.items()}
    while session.controller.ending is None:
        session.run(session.now_us / 1e6 + 1)
        share.turn(session.now_us * 1000)
    session.close()
    while not share._shared[0].session.is_over:
        share.turn(session.now_us * 1000)
    recording = Recording.open(session.folder)
    rows, events = recording.rows(), recording.events()
    heard = {}
    heard["signal"], stamps = ears["signal"].take(len(rows))
    heard["score"], _ = ears["score"].take(len(rows))
    volts = (rows["signal_lit"].astype(np.int64) - rows["signal_dark"]) * (recording.header["nano_units"] / 1e9)
    np.testing.assert_array_equal(np.array(heard["signal"])[:, 0], rows["feature"])
    np.testing.assert_array_equal(np.array(heard["signal"])[:, 1], volts)
    np.testing.assert_array_equal(np.array(heard["score"])[:, 0], rows["score"])
    off_ms = (np.array(stamps) - outlets.offset.offset_s) * 1e3 - rows["host_ns"] / 1e6
    assert np.abs(off_ms).max() < 2.0  # of virtual time, whose step is 1 ms
    markers, marker_stamps = ears["events"].take(len(events))
    assert [json.loads(one[0])["kind"] for one in markers] == [event.kind for event in events]
    lit = [event for event in events if event.kind in ("light_on", "light_off")]
    light, light_stamps = ears["light"].take(len(lit))
    assert len(lit) > 4
    assert [one[0] for one in light] == [int(event.kind == "light_on") for event in lit]
    assert set(light_stamps) <= set(marker_stamps)


def test_a_stream_says_what_it_is_and_how_its_clock_was_got(recorded: Path, layer: Any) -> None:
    share = shared(recorded, layer)
    share.turn(0)
    outlets = share._shared[0].outlets
    assert outlets is not None
    info = Ear(layer, outlets._signal).inlet.info(10.0)
    header = Recording.open(recorded).header
    assert (info.name(), info.nominal_srate()) == ("closedloop-signal", header["rate_mhz"] / 1000)
    assert info.get_channel_labels() == ["feature", "signal", "control"]
    said = info.desc()
    assert said.child_value("subject") == "M1"
    assert said.child_value("protocol") == header["protocol_name"]
    assert float(said.child_value("lsl_uncertainty_us")) < 1000
    for name in ("rig", "session", "program", "daq_uncertainty_us", "time_stamps"):
        assert said.child_value(name)
    share.close()


def test_a_blinded_session_has_no_stream_of_light_and_no_word_of_its_arm(arms: dict[str, Path], layer: Any) -> None:
    for folder in arms.values():
        share = shared(folder, layer)
        share.turn(0)
        outlets = share._shared[0].outlets
        assert outlets is not None
        assert outlets._light is None
        xml = outlets._signal.get_info().as_xml() + outlets._events.get_info().as_xml()
        assert "<blinded>True</blinded>" in xml
        assert not re.search("sham|closed_loop|policy", xml)
        share.close()


def test_a_share_that_is_ended_and_begun_again_goes_on_under_the_same_name(tmp_path: Path, layer: Any) -> None:
    session = Recorded(tmp_path, protocol(policy={"kind": "closed_loop"}), blind=False)
    names = []
    for _ in range(2):
        share = shared(session.folder, layer)
        share.turn(0)
        names.append(share._shared[0].outlets._signal.get_info().source_id())  # type: ignore[union-attr]
        share.close()
    assert names[0] == names[1]
    session.close()


def test_rigs_are_seen_over_the_network_while_they_run_and_when_they_end(tmp_path: Path, layer: Any) -> None:
    session = Recorded(tmp_path, protocol(policy={"kind": "closed_loop"}), blind=False)
    share, inlets, heard = shared(session.folder, layer), lsl.StateInlets(layer), rigs.Rigs()
    share.turn(0)
    state = share._shared[0].outlets._state  # type: ignore[union-attr]
    source = state.get_info().source_id()

    def look(at_s: float) -> Any:
        while not (told := [one for one in inlets.turn() if one.source == source]):
            state.wait_for_consumers(0.05)
            session.run(session.now_us / 1e6 + 1)
            share.turn(session.now_us * 1000)
        heard.take(told, at_s)
        return next(one for one in heard.all(at_s) if one.source == source)

    seen = look(0.0)
    assert (seen.state["subject"], seen.state["rig"], seen.state["computer"]) == ("M1", "simulated", "rig-pc")
    session.run(600)
    session.close()
    for _ in range(10):
        share.turn(session.now_us * 1000)
    while not seen.state["ended"]:
        seen = look(1.0)
    assert seen.state["phase"] == "COMPLETED"
    share.turn(session.now_us * 1000 + 6 * SECOND_NS)
    assert share.is_over
    share.close()


def test_without_pylsl_one_plain_line_says_what_to_install(monkeypatch, capsys, recorded: Path) -> None:
    monkeypatch.setitem(sys.modules, "pylsl", None)
    assert cli.main(["share", str(recorded), "--lsl"]) == ConfigError.exit_code
    assert capsys.readouterr().err == "--lsl: pylsl is not installed; install it: pip install 'closedloop[lsl]'\n"


# The view of all rigs


def told(**state: Any) -> rigs.Told:
    return rigs.Told(
        state.pop("source", "a"), "pc", json.dumps({"rig": "box", "phase": "ARMED", "armed": True} | state)
    )


def cells(heard: rigs.Rigs, now_s: float) -> list[dict[str, str]]:
    return [dict(zip(rigs.COLUMNS, rigs.cells(one, now_s), strict=True)) for one in heard.all(now_s)]


def test_a_rig_that_falls_silent_is_never_shown_as_if_it_ran() -> None:
    heard = rigs.Rigs()
    heard.take([told(light=True, missing=3)], 0.0)
    assert cells(heard, 1.0)[0] | {"armed": "armed", "light": "ON", "last heard": "now"} == cells(heard, 1.0)[0]
    silent = cells(heard, 12.0)[0]
    assert silent["phase"] == "silent for 12 s"
    assert "ARMED" not in silent.values()
    assert (silent["armed"], silent["light"]) == ("?", "?")
    as_json = heard.all(12.0)[0].as_dict(12.0)
    assert (as_json["silent"], as_json["armed"], as_json["light"], as_json["phase"]) == (True, None, None, None)
    heard.take([told()], 13.0)
    assert cells(heard, 13.5)[0]["phase"] == "ARMED"


def test_a_rig_that_tells_its_state_but_has_no_readings_is_not_shown_as_armed() -> None:
    heard = rigs.Rigs()
    heard.take([told(age_s=8.2)], 0.0)
    assert cells(heard, 0.5)[0]["phase"] == "no reading for 8 s"
    assert cells(heard, 0.5)[0]["armed"] == "?"


def test_a_blinded_rig_says_that_it_is_and_one_that_ended_goes_after_a_while() -> None:
    heard = rigs.Rigs()
    heard.take([told(light=None), told(source="b", phase="COMPLETED", ended="COMPLETED", armed=False)], 0.0)
    assert cells(heard, 0.0)[0]["light"] == "blinded"
    assert cells(heard, 60.0)[1]["phase"] == "COMPLETED"
    assert [one.source for one in heard.all(700.0)] == ["a"]


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "[" * 100_000, '"x"', "{" + " " * 30_000 + "}"])
def test_what_is_no_state_is_left_out(text: str) -> None:
    heard = rigs.Rigs()
    heard.take([rigs.Told("a", "pc", text)], 0.0)
    assert heard.all(0.0) == []


def test_what_comes_from_the_network_moves_no_cursor_and_fills_no_memory() -> None:
    heard = rigs.Rigs()
    evil = {"subject": "\x1b[2J\x1b]0;x\x07M1\n\r", "rig": ["x"] * 1000, "age_s": float("nan"), "missing": {"a": "b"}}
    heard.take([told(**evil)], 0.0)
    shown = cells(heard, 0.0)[0]
    assert all(cell.isprintable() and len(cell) < 500 for cell in shown.values())
    heard.take((told(source=str(n)) for n in range(10_000)), 0.0)
    assert len(heard.all(0.0)) == 500
    assert one_line("a\x1b[1mb\u202e c\n" + "x" * 1000, 8) == "a [1mb c"


# The command


def test_an_ended_session_is_told_once_and_the_command_leaves(recorded: Path, tmp_path: Path, capsys) -> None:
    log = tmp_path / "share.log"
    told = f"'{sys.executable}' -c 'import sys; print(sys.argv[1], file=sys.stderr)' {{how}}"
    assert cli.main(["share", str(recorded), "--alert-command", told, "--log", str(log)]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("alert: ") == 1
    assert "COMPLETED" in err
    assert [line.split(" ", 1)[1] for line in log.read_text().splitlines()] == err.splitlines()[1:]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "nothing to share by"),
        (("--alert-on", "tripped"), "no alert is told"),
        (("--alert-command", sys.executable, "--alert-on", "fire"), "unknown: fire"),
        (("--alert-url", "http://8.8.8.8/"), "outside this computer"),
        (("--lsl", "--log", "/no/such/folder/share.log"), "there is no folder"),
    ],
)
def test_a_wrong_command_line_is_said_in_words(arguments: Any, why: str, tmp_path: Path, capsys) -> None:
    assert cli.main(["share", str(tmp_path), *arguments]) == ConfigError.exit_code
    assert why in capsys.readouterr().err
    assert cli.main(["share", str(tmp_path / "none"), "--lsl"]) == ConfigError.exit_code
    assert "no such folder" in capsys.readouterr().err


def test_a_folder_that_cannot_be_read_is_said_once_and_given_up(tmp_path: Path) -> None:
    folder = tmp_path / "ses-1"
    folder.mkdir()
    (folder / "header.json").write_text("{}")
    said: list[str] = []
    share = shared(folder, None, said=said)
    for second in range(40):
        share.turn(second * SECOND_NS)
    assert share.is_over
    assert len(said) == 1
    assert "header.json" in said[0]


@pytest.mark.parametrize("text", ["soon", "-1s", "0"])
def test_listening_for_no_time_at_all_is_refused(text: str, capsys) -> None:
    assert cli.main(["rigs", "--for", text, "--json"]) == ConfigError.exit_code
    assert "--for" in capsys.readouterr().err
