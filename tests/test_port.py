from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator

import pytest

from closedloop import framing, wire
from closedloop.errors import DeviceError
from closedloop.link import Link
from closedloop.port import Port, wait


@pytest.fixture
def pty_pair() -> Iterator[tuple[int, Port]]:
    if not hasattr(os, "openpty"):
        pytest.skip("this system has no pseudo-terminals")
    import tty

    ours, theirs = os.openpty()
    tty.setraw(theirs)
    port = Port(os.ttyname(theirs), 500_000)
    os.close(theirs)
    yield ours, port
    port.close()


@pytest.fixture
def tcp_pair() -> Iterator[tuple[socket.socket, Port]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = Port(f"socket://127.0.0.1:{server.getsockname()[1]}", 500_000)
        ours, _ = server.accept()
    with ours:
        yield ours, port
        port.close()


def test_a_pseudo_terminal_carries_bytes_both_ways(pty_pair: tuple[int, Port]) -> None:
    ours, port = pty_pair
    os.write(ours, b"\x00\x11\x13\xff")
    assert wait([port], 5) == [port]
    assert port.read() == b"\x00\x11\x13\xff"
    port.write(b"\x00\x03\x0d\x0a")
    assert os.read(ours, 100) == b"\x00\x03\x0d\x0a"


def test_a_socket_carries_bytes_both_ways(tcp_pair: tuple[socket.socket, Port]) -> None:
    ours, port = tcp_pair
    ours.sendall(b"\x00\x11\xff")
    assert wait([port], 5) == [port]
    assert port.read() == b"\x00\x11\xff"
    port.write(b"\x01\x00")
    select.select([ours], [], [], 5)
    assert ours.recv(100) == b"\x01\x00"


def test_a_port_without_a_descriptor_is_asked_in_turn(
    tcp_pair: tuple[socket.socket, Port], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, port = tcp_pair
    monkeypatch.setattr(port, "_fd", None)  # as on Windows, where serial ports can't be waited on
    assert wait([port], 0.01) == []
    ours.sendall(b"\x07")
    assert wait([port], 5) == [port]
    assert port.read() == b"\x07"


def test_an_unplugged_device_is_an_error_in_words(tcp_pair: tuple[socket.socket, Port]) -> None:
    ours, port = tcp_pair
    ours.close()
    wait([port], 5)
    with pytest.raises(DeviceError, match="device is gone"):
        port.read()


def test_a_second_program_on_a_port_is_refused(pty_pair: tuple[int, Port]) -> None:
    with pytest.raises(DeviceError, match="close the program that uses it"):
        Port(pty_pair[1].name, 500_000)


def test_closing_twice_does_no_harm(pty_pair: tuple[int, Port]) -> None:
    pty_pair[1].close()
    pty_pair[1].close()


def answer(ours: socket.socket, identity: wire.Identity) -> None:
    ours.sendall(b"\x05garbage of a bootloader\x00" + framing.encode(wire.pack(identity)))


@pytest.mark.parametrize(
    ("identity", "said"),
    [
        (wire.Identity(wire.Board.DAQ, 1, wire.WIRE_HASH ^ 1, 7, 1), "speaks wire version"),
        (wire.Identity(wire.Board.STIMULATOR, 1, wire.WIRE_HASH, 7, 1), "exchange the ports"),
        (wire.Identity(9, 1, wire.WIRE_HASH, 7, 1), "unknown kind"),
    ],
)
def test_a_board_of_another_kind_or_version_is_not_spoken_to(
    identity: wire.Identity, said: str, tcp_pair: tuple[socket.socket, Port]
) -> None:
    ours, port = tcp_pair
    answer(ours, identity)
    with pytest.raises(DeviceError, match=said):
        Link(port).handshake(wire.Board.DAQ, within_s=5)


def test_garbage_before_the_handshake_is_no_damage_of_the_session(tcp_pair: tuple[socket.socket, Port]) -> None:
    ours, port = tcp_pair
    answer(ours, wire.Identity(wire.Board.DAQ, 1, wire.WIRE_HASH, 7, 1))
    link = Link(port)
    assert link.handshake(wire.Board.DAQ, within_s=5).unique_id == 7
    assert link.damaged == 0


def test_a_silent_port_is_given_up_with_advice(tcp_pair: tuple[socket.socket, Port]) -> None:
    with pytest.raises(DeviceError, match=r"no answer within 0.1 s; is it the right port"):
        Link(tcp_pair[1]).handshake(wire.Board.DAQ, within_s=0.1)


@pytest.mark.parametrize("ready", wire.TABLE.values(), ids=lambda kind: kind.__name__)
def test_what_was_made_ready_goes_out_for_no_other_message_of_equal_numbers(
    ready: type[wire.Message], pty_pair: tuple[int, Port]
) -> None:
    ours, port = pty_pair
    link = Link(port)
    one = ready(*(7 for _ in ready._fields))
    link.make_ready(one)
    for kind in wire.TABLE.values():
        message = kind(*(7 for _ in kind._fields))
        link.send(message)
        [payload] = framing.Decoder().feed(os.read(ours, 200))
        assert type(wire.unpack(payload)) is kind
        assert wire.unpack(payload) == message
