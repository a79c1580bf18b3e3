"""The boards' side of a port: a pseudo-terminal where the system has them, a TCP port on this computer elsewhere.

Nothing here waits. Bytes that the other side does not take stay in a queue whose length is bounded by who fills it.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Literal, Protocol

from closedloop.errors import ConfigError

_CHUNK = 4096

Transport = Literal["auto", "pty", "tcp"]


class BoardPort(Protocol):
    """One port, seen from the board."""

    name: str

    def fileno(self) -> int:
        """What `select` waits on: for bytes, or for somebody to connect."""

    def read(self) -> bytes:
        """What has arrived, perhaps nothing."""

    def write(self, data: bytes) -> int:
        """How many of these bytes were taken, perhaps none."""

    def close(self) -> None:
        """Pull the cable."""


class TcpPort:
    """A TCP port on this computer, one client at a time; a second one waits unanswered."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1)
        self._listener.setblocking(False)
        self._client: socket.socket | None = None
        self.name = f"socket://127.0.0.1:{self._listener.getsockname()[1]}"

    def fileno(self) -> int:
        """The client if there is one, else who may come."""
        return (self._client or self._listener).fileno()

    def read(self) -> bytes:
        """What the client sent; accepts one if there is none."""
        if self._client is None:
            self._accept()
            return b""
        try:
            data = self._client.recv(_CHUNK)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self._drop()
        return data

    def write(self, data: bytes) -> int:
        """Bytes with nobody there are lost, as on a real line, so that the next client hears nothing old."""
        if self._client is None:
            return len(data)
        try:
            return self._client.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self._drop()
            return 0

    def close(self) -> None:
        """Both the client and the listener."""
        self._drop()
        self._listener.close()

    def _accept(self) -> None:
        try:
            self._client, _ = self._listener.accept()
        except OSError:
            return  # gone before we looked
        self._client.setblocking(False)
        self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


if sys.platform != "win32":
    import tty

    class PtyPort:
        """A pseudo-terminal. We keep the client's end open too, so that a client may die and another one come."""

        def __init__(self) -> None:
            self._ours, self._theirs = os.openpty()
            tty.setraw(self._theirs)
            os.set_blocking(self._ours, False)
            self.name = os.ttyname(self._theirs)

        def fileno(self) -> int:
            """Our end."""
            return self._ours

        def read(self) -> bytes:
            """What the client sent."""
            try:
                return os.read(self._ours, _CHUNK)
            except OSError:  # nothing there
                return b""

        def write(self, data: bytes) -> int:
            """As much as the terminal's buffer holds."""
            try:
                return os.write(self._ours, data)
            except OSError:  # full
                return 0

        def close(self) -> None:
            """Both ends; the client reads an error from now on."""
            os.close(self._ours)
            os.close(self._theirs)


def open_port(transport: Transport) -> BoardPort:
    """A fresh port of this kind.

    Raises:
        ConfigError: pseudo-terminals were asked for on a system without them.
    """
    if sys.platform != "win32" and transport != "tcp":
        return PtyPort()
    if transport == "pty":
        raise ConfigError("simulation.transport: this system has no pseudo-terminals (got pty); use auto or tcp")
    return TcpPort()
